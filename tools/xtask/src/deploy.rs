//! `cargo xtask bench --deploy`: how large a deployed model is, how soon it predicts, and how long a prediction takes, beside other
//! frameworks.

use crate::process::{Outcome, cargo, output, program, root, run, show, target_dir};
use crate::{mlir_plugin, mnist, peers};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Processes of which the median is shown.
const PROCESSES: usize = 50;
/// Processes of a framework in Python, which starts in seconds.
const SLOW_PROCESSES: usize = 7;
/// Peers that are programs in Rust, each a feature of `benches/deploy`. `onnxruntime` calls the C API.
const RUST: [&str; 4] = ["tract", "candle", "burn", "onnxruntime"];
/// Peers in Python, with what pip calls them.
const PYTHON: [(&str, &str); 4] =
    [("onnxruntime.py", "onnxruntime"), ("torch.py", "torch"), ("jax.py", "jax"), ("keras.py", "keras")];

/// A model that is deployed.
struct Network {
    name: &'static str,
    /// Bytes of its weights.
    weights: u64,
}

const NETWORKS: [Network; 2] = [
    Network { name: "mlp", weights: 4 * (784 * 128 + 128 + 128 * 10 + 10) },
    Network { name: "cnn", weights: 4 * (9 * 32 + 32 + 9 * 32 * 64 + 64 + 1600 * 128 + 128 + 128 * 10 + 10) },
];

/// A program that predicts.
struct Program {
    name: String,
    command: Command,
    processes: usize,
    /// The size of its file and that of the weights in it.
    size: Option<(u64, u64)>,
    first: Vec<f64>,
}

/// Measures `frontend/examples/mnist_mlp.rs` and `mnist_cnn.rs`, trained where they are not there.
pub fn deploy(arguments: &[String]) -> Outcome {
    let known = || RUST.into_iter().chain(PYTHON.map(|(name, _)| name));
    let peers: Vec<&str> = match arguments {
        [] => RUST[..3].to_vec(),
        [option, names] if option == "--peers" => names.split(',').filter(|name| !name.is_empty()).collect(),
        _ => vec!["?"],
    };
    if peers.iter().any(|peer| !known().any(|name| name == *peer)) {
        let known: Vec<&str> = known().collect();
        return Err(format!(
            "`cargo xtask bench --deploy` takes `--peers` with some of {}, or nothing",
            known.join(",")
        ));
    }
    mlir_plugin::build().map(drop).unwrap_or_else(|reason| println!("without the MLIR plug-in: {reason}"));
    let (target, folder) = (target_dir(), target_dir().join("deploy"));
    std::fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    let features: Vec<&str> = peers.iter().copied().filter(|peer| RUST.contains(peer)).collect();
    let mut variables = vec![];
    for network in &NETWORKS {
        let trained = mnist::trained(network.name)?;
        let package = folder.join(format!("mnist_{}.kcp", network.name));
        run(program(&target.join("release/kc").to_string_lossy()).arg("strip").arg(&trained).arg("-o").arg(&package))?;
        variables.push((format!("KC_DEPLOY_{}", network.name.to_uppercase()), package));
    }
    let build = |target: &Path, arguments: &[&str]| {
        let mut command = cargo();
        command.args(["build", "--release", "--quiet", "--manifest-path", "benches/deploy/Cargo.toml", "--target-dir"]);
        run(command.arg(target).args(arguments).envs(variables.iter().cloned()))
    };
    // as README says for small programs; peers are built to be fast
    let small = "profile.release.opt-level=\"s\"";
    build(&folder, &["--config", small, "--bin", "nothing", "--bin", "kc_mlp", "--bin", "kc_cnn"])?;
    let of_peers = folder.join("peers");
    if !features.is_empty() {
        build(&of_peers, &["--bins", "--features", &features.join(",")])?;
    }
    let of_python: Vec<&str> =
        PYTHON.iter().filter(|(name, _)| peers.contains(name)).map(|(_, package)| *package).collect();
    let needs_python = !of_python.is_empty() || peers.contains(&"onnxruntime");
    let python = match needs_python {
        true => {
            let mut packages = vec!["numpy"];
            packages.extend(&of_python);
            packages.extend(peers.contains(&"onnxruntime").then_some("onnxruntime"));
            Some(peers::python(&target.join("peers"), &packages)?)
        }
        false => None,
    };
    let binary = |name: &str, weights: u64| {
        let own = name == "nothing" || name.starts_with("kc_");
        let path = if own { &folder } else { &of_peers }.join("release").join(name);
        let size = path.metadata().ok().map(|file| (file.len(), weights));
        let command = program(&path.to_string_lossy());
        Program { name: name.to_owned(), command, processes: PROCESSES, size, first: vec![] }
    };
    let mut programs = vec![binary("nothing", 0)];
    for network in &NETWORKS {
        for peer in ["kc"].iter().chain(&features) {
            let mut program = binary(&format!("{peer}_{}", network.name), network.weights);
            if *peer == "onnxruntime"
                && let Some(python) = &python
            {
                program.command.env("ORT_DYLIB_PATH", onnxruntime(python)?);
                program.size = None;
            }
            programs.push(program);
        }
        if network.name != "mlp" {
            continue;
        }
        for (name, package) in PYTHON.iter().filter(|(name, _)| peers.contains(name)) {
            let Some(python) = &python else { continue };
            let mut command = program(&python.to_string_lossy());
            command.arg(root().join("benches/deploy/first.py")).arg(package);
            command.arg(built(&folder, "mlp.onnx")?).arg(built(&folder, "mlp.bin")?);
            let name = format!("{}_mlp (Python)", name.trim_end_matches(".py"));
            programs.push(Program { name, command, processes: SLOW_PROCESSES, size: None, first: vec![] });
        }
    }
    measure(&mut programs)?;
    run(program(&folder.join("release/kc_mlp").to_string_lossy()).arg("threads"))
}

/// The newest of what the build script wrote under that name.
fn built(folder: &Path, name: &str) -> Outcome<PathBuf> {
    let scripts = std::fs::read_dir(folder.join("release/build")).into_iter().flatten().flatten();
    let files = scripts.map(|entry| entry.path().join("out").join(name));
    let newest = files.filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path))).max();
    newest.map(|(_, path)| path).ok_or_else(|| format!("the build script wrote no {name}"))
}

/// ONNX Runtime's library, as its Python package brings it.
fn onnxruntime(python: &Path) -> Outcome<PathBuf> {
    let script = "import glob, os, onnxruntime; print(glob.glob(os.path.join(os.path.dirname(onnxruntime.__file__), 'capi', 'libonnxruntime.so*'))[0])";
    output(program(&python.to_string_lossy()).args(["-c", script])).map(|path| path.trim().into())
}

/// Starts the programs in turns, so that a slow moment meets all, and prints a table.
fn measure(programs: &mut [Program]) -> Outcome {
    for round in 0..PROCESSES {
        for program in programs.iter_mut().filter(|program| round < program.processes) {
            let start = Instant::now();
            let status = program.command.stdout(Stdio::null()).stderr(Stdio::null()).status();
            program.first.push(start.elapsed().as_secs_f64() * 1e3);
            if !status.is_ok_and(|status| status.success()) {
                return Err(format!("`{}` failed", show(&program.command)));
            }
        }
    }
    println!(
        "{:<24} {:>20} {:>14} {:>11} {:>20}  says",
        "", "first prediction ms", "one image, us", "binary kB", "without weights, kB"
    );
    for Program { name, command, size, first, .. } in programs {
        first.sort_by(f64::total_cmp);
        let said = output(command.stdout(Stdio::piped()).arg("steady"))?;
        let mut lines = said.lines();
        let answer = lines.next().unwrap_or_default().to_owned();
        let steady = lines.next().and_then(|line| line.parse::<f64>().ok());
        let steady = steady.map_or(String::new(), |time| format!("{:.2}", time / 1e3));
        let kilobytes = |bytes: Option<u64>| bytes.map_or(String::new(), |bytes| format!("{:.0}", bytes as f64 / 1e3));
        let whole = kilobytes(size.map(|(whole, _)| whole));
        let without = kilobytes(size.map(|(whole, weights)| whole.saturating_sub(weights)));
        println!("{name:<24} {:>20.3} {steady:>14} {whole:>11} {without:>20}  {answer}", first[first.len() / 2]);
    }
    Ok(())
}
