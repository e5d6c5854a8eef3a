//! `cargo xtask bench --deploy`: how large a deployed model is, how soon it predicts, and how long a prediction takes, beside other
//! frameworks.

use crate::process::{Outcome, cargo, output, program, root, run, show, target_dir};
use crate::{mlir_plugin, mnist, peers};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Processes of which the median is shown.
const PROCESSES: usize = 50;
/// Peers in Rust: the program and the feature that builds it.
const RUST: [&str; 3] = ["tract", "candle", "burn"];

/// Measures the MLP of `frontend/examples/mnist_mlp.rs`, trained where it is not there.
pub fn deploy(arguments: &[String]) -> Outcome {
    let peers: Vec<&str> = match arguments {
        [] => RUST.to_vec(),
        [option, names] if option == "--peers" => names.split(',').filter(|name| !name.is_empty()).collect(),
        _ => return Err("`cargo xtask bench --deploy` takes `--peers tract,candle,burn,onnxruntime` or nothing".into()),
    };
    mlir_plugin::build().map(drop).unwrap_or_else(|reason| println!("without the MLIR plug-in: {reason}"));
    let (target, folder) = (target_dir(), target_dir().join("deploy"));
    let trained = target.join("mnist_mlp.kcp");
    if !trained.exists() {
        mnist::mnist(&[])?;
    }
    std::fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    let package = folder.join("mnist.kcp");
    run(cargo().args(["build", "--release", "--package", "kc-tool"]))?;
    run(program(&target.join("release/kc").to_string_lossy()).arg("strip").arg(&trained).arg("-o").arg(&package))?;
    let features: Vec<&str> = peers.iter().copied().filter(|peer| RUST.contains(peer)).collect();
    run(cargo()
        .args(["build", "--release", "--quiet", "--manifest-path", "benches/deploy/Cargo.toml", "--bins", "--features"])
        .arg(features.join(","))
        .arg("--target-dir")
        .arg(&folder)
        .env("KC_DEPLOY_PACKAGE", &package))?;
    let binary = |name: &str| program(&folder.join("release").join(name).to_string_lossy());
    let mut programs: Vec<(String, Command)> =
        ["nothing", "kc"].iter().chain(&features).map(|name| (name.to_string(), binary(name))).collect();
    if peers.contains(&"onnxruntime") {
        let python = peers::python(&target_dir().join("peers"))?;
        let mut command = program(&python.to_string_lossy());
        let models = std::fs::read_dir(folder.join("release/build")).into_iter().flatten().flatten();
        let model = models.map(|entry| entry.path().join("out/mnist.onnx")).find(|path| path.exists());
        command.arg(root().join("benches/deploy/onnxruntime_first.py")).arg(model.ok_or("the ONNX file is missing")?);
        programs.push(("onnxruntime (Python)".into(), command));
    }
    let mut first: Vec<Vec<f64>> = vec![vec![]; programs.len()];
    // in turns, so that a slow moment meets all
    for _ in 0..PROCESSES {
        for ((_, command), times) in programs.iter_mut().zip(&mut first) {
            let start = Instant::now();
            let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
            times.push(start.elapsed().as_secs_f64() * 1e3);
            if !status.is_ok_and(|status| status.success()) {
                return Err(format!("`{}` failed", show(command)));
            }
        }
    }
    println!("{:<22} {:>20} {:>18} {:>12}  says", "", "first prediction ms", "one image, us", "binary kB");
    for ((name, mut command), mut times) in programs.into_iter().zip(first) {
        times.sort_by(f64::total_cmp);
        let said = output(command.stdout(Stdio::piped()).arg("steady"))?;
        let mut lines = said.lines();
        let answer = lines.next().unwrap_or_default().to_owned();
        let steady = lines
            .next()
            .and_then(|line| line.parse::<f64>().ok())
            .map_or(String::new(), |time| format!("{:.2}", time / 1e3));
        let size = folder
            .join("release")
            .join(&name)
            .metadata()
            .map_or(String::new(), |file| format!("{:.0}", file.len() as f64 / 1e3));
        println!("{name:<22} {:>20.3} {steady:>18} {size:>12}  {answer}", times[times.len() / 2]);
    }
    let weights = (784 * 128 + 128 + 128 * 10 + 10) * 4;
    run(binary("kc").arg("threads"))?;
    println!("kc's binary holds {:.0} kB of weights", f64::from(weights) / 1e3);
    Ok(())
}
