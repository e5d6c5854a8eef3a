//! The page that recognises drawn digits, in a browser without a screen.

use crate::cross::{self, Trained};
use crate::process::{Outcome, output, program, root, run, target_dir, works};
use crate::setup;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

const PAGE: &str = "frontend/examples/digits_page/index.html";
/// Names under which the browser may be installed.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// What the test adds to the page: it predicts the images that are served, with the module that the page has, then draws a one. What it
/// found stands in the document that the browser prints.
const SCRIPT: &str = r##"<pre id="result"></pre><script type="module">
  const result = document.getElementById("result");
  try {
    const { instance } = await WebAssembly.instantiateStreaming(fetch("mnist.wasm"));
    const images = new Uint8Array(await (await fetch("images")).arrayBuffer());
    const model = instance.exports, batch = BigInt(images.length / 784), size = Number(model.mnist_predict_workspace(batch));
    const input = (model.__heap_base.value + 63) & ~63, output = (input + images.length + 63) & ~63;
    const workspace = (output + 40 * Number(batch) + 63) & ~63;
    const missing = workspace + size - model.memory.buffer.byteLength;
    if (missing > 0) model.memory.grow(Math.ceil(missing / 65536));
    new Uint8Array(model.memory.buffer, input, images.length).set(images);
    const code = model.mnist_predict(batch, input, output, workspace, BigInt(size));
    if (code !== 0) throw new Error(`error ${code}`);
    const probabilities = [...new Float32Array(model.memory.buffer, output, 10 * Number(batch))];
    while (!document.querySelector("#table tr")) await new Promise(then => setTimeout(then, 10));
    const paper = document.getElementById("paper");
    paper.setPointerCapture = () => {};
    const { left, top } = paper.getBoundingClientRect();
    const event = (name, x, y) =>
      paper.dispatchEvent(new PointerEvent(name, { pointerId: 1, clientX: left + x, clientY: top + y, bubbles: true }));
    event("pointerdown", 150, 40);
    for (let y = 40; y <= 240; y += 10) event("pointermove", 150 - (y - 40) / 10, y);
    event("pointerup", 130, 240);
    const shown = [...document.querySelectorAll("#table tr")].map(row => parseFloat(row.cells[1].textContent));
    result.textContent = `drawn ${shown.indexOf(Math.max(...shown))} probabilities ${probabilities.join(" ")} end`;
  } catch (error) { result.textContent = `failed: ${error} end`; }
</script>"##;

/// The page predicts what the package predicts, within 1e-6, and knows a drawn one.
pub fn digits() -> Outcome<String> {
    let trained = match cross::trained()? {
        Trained::Package(path) => path,
        Trained::Skipped(reason) => return Ok(format!("skipped: {reason}")),
    };
    let browser = match browser() {
        Ok(browser) => browser,
        Err(reason) => return Ok(format!("skipped: no Chromium is here, and none can be installed: {reason}")),
    };
    let folder = target_dir().join("digits_page");
    std::fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    let module = folder.join("mnist.wasm");
    run(program(&target_dir().join("release/kc").to_string_lossy())
        .args(["compile", cross::MODEL, "--emit", "wasm", "--target", "wasm32", "--weights"])
        .arg(&trained)
        .arg("-o")
        .arg(&module))?;
    let read = |path: &std::path::Path| {
        std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
    };
    let page = [read(&root().join(PAGE))?, SCRIPT.into()].concat();
    let address = serve(vec![
        ("/", "text/html", page),
        ("/mnist.wasm", "application/wasm", read(&module)?),
        ("/images", "application/octet-stream", cross::images()),
    ])?;
    let document = output(program(&browser).args([
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--virtual-time-budget=20000",
        "--dump-dom",
        &format!("http://{address}/"),
    ]))?;
    let result = document.split_once("<pre id=\"result\">").and_then(|(_, rest)| rest.split_once(" end"));
    let Some((result, _)) = result else { return Err(format!("the page ended without a result: {document}")) };
    let words = result.strip_prefix("drawn ").and_then(|rest| rest.split_once(" probabilities "));
    let Some((drawn, probabilities)) = words else { return Err(format!("the page: {result}")) };
    let worst = cross::largest_difference(&cross::predicted_here(&trained)?, &cross::numbers(probabilities))?;
    if drawn != "1" {
        return Err(format!("the page takes a drawn 1 for a {drawn}"));
    }
    Ok(format!("a drawn 1 is known; {} probabilities differ by {worst:.1e} at most", cross::IMAGES * 10))
}

fn browser() -> Outcome<String> {
    let find = || BROWSERS.iter().find(|name| works(program(name).arg("--version")));
    if find().is_none() {
        setup::apt_install(&["chromium"])?;
    }
    find().map(|name| (*name).to_owned()).ok_or_else(|| "the installed one does not start".to_owned())
}

/// Gives these files to whoever asks on this machine, as long as the process lives; says under which address.
fn serve(files: Vec<(&'static str, &'static str, Vec<u8>)>) -> Outcome<String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| format!("cannot serve the page: {error}"))?;
    let address = listener.local_addr().map_err(|error| format!("cannot serve the page: {error}"))?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // a browser that goes away has what it wants
            let _ = answer(stream, &files);
        }
    });
    Ok(address.to_string())
}

fn answer(mut stream: TcpStream, files: &[(&str, &str, Vec<u8>)]) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let asked = request.split(' ').nth(1).unwrap_or_default();
    let found = files.iter().find(|(path, ..)| *path == asked);
    let (status, kind, contents) = match found {
        Some((_, kind, contents)) => ("200 OK", *kind, contents.as_slice()),
        None => ("404 Not Found", "text/plain", &[][..]),
    };
    let length = contents.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    stream.write_all(contents)
}
