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
/// Processes that predict for long, of which the median is shown.
const STEADY_PROCESSES: usize = 3;
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
    /// Milliseconds from the start of a process to its end after one prediction.
    first: Vec<f64>,
    /// Nanoseconds of one of many predictions.
    steady: Vec<f64>,
    /// The class and its probability.
    answer: String,
}

impl Program {
    fn new(name: String, command: Command, processes: usize, size: Option<(u64, u64)>) -> Self {
        Program { name, command, processes, size, first: vec![], steady: vec![], answer: String::new() }
    }
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
        let kc = || program(&target.join("release/kc").to_string_lossy());
        let model = format!("frontend/examples/mnist_{}.rs", network.name);
        let new = package.with_extension("new");
        // one image at a time is what is measured
        run(kc().args(["compile", &model, "--exact-batch", "1", "--weights"]).arg(&trained).arg("-o").arg(&new))?;
        run(kc().arg("strip").arg(&new).arg("-o").arg(&new))?;
        // what has not changed makes no program old
        if std::fs::read(&new).ok() != std::fs::read(&package).ok() {
            std::fs::rename(&new, &package).map_err(|error| format!("cannot write {}: {error}", package.display()))?;
        }
        variables.push((format!("KC_DEPLOY_{}", network.name.to_uppercase()), package));
    }
    let build = |target: &Path, arguments: &[&str]| {
        let mut command = cargo();
        command.args(["build", "--quiet", "--manifest-path", "benches/deploy/Cargo.toml", "--target-dir"]);
        run(command.arg(target).args(arguments).envs(variables.iter().cloned()))
    };
    build(
        &folder,
        &["--profile", "small", "--bin", "nothing", "--bin", "kc_mlp", "--bin", "kc_cnn", "--bin", "kc_threads"],
    )?;
    let of_peers = folder.join("peers");
    for peer in &features {
        // each by itself: a program must not be linked with another's crates
        let binaries = NETWORKS.map(|network| format!("{peer}_{}", network.name));
        println!("building {}", binaries.join(" and "));
        build(&of_peers, &["--release", "--features", peer, "--bin", &binaries[0], "--bin", &binaries[1]])?;
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
        let path = if own { folder.join("small") } else { of_peers.join("release") }.join(name);
        let size = path.metadata().ok().map(|file| (file.len(), weights));
        let command = program(&path.to_string_lossy());
        Program::new(name.to_owned(), command, PROCESSES, size)
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
            programs.push(Program::new(name, command, SLOW_PROCESSES, None));
        }
    }
    measure(&mut programs)?;
    run(&mut program(&folder.join("small/kc_threads").to_string_lossy()))
}

/// The newest of what the build script wrote under that name.
fn built(folder: &Path, name: &str) -> Outcome<PathBuf> {
    let scripts = std::fs::read_dir(folder.join("small/build")).into_iter().flatten().flatten();
    let files = scripts.map(|entry| entry.path().join("out").join(name));
    let newest = files.filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path))).max();
    newest.map(|(_, path)| path).ok_or_else(|| format!("the build script wrote no {name}"))
}

/// ONNX Runtime's library, as its Python package brings it.
fn onnxruntime(python: &Path) -> Outcome<PathBuf> {
    let script = "import glob, os, onnxruntime; print(glob.glob(os.path.join(os.path.dirname(onnxruntime.__file__), 'capi', 'libonnxruntime.so*'))[0])";
    output(program(&python.to_string_lossy()).args(["-c", script])).map(|path| path.trim().into())
}

/// Starts the programs in turns, so that a slow moment meets all, and prints a table in Markdown.
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
    for program in &mut *programs {
        program.command.stdout(Stdio::piped()).arg("steady");
    }
    for _ in 0..STEADY_PROCESSES {
        for program in &mut *programs {
            let said = output(&mut program.command)?;
            let mut lines = said.lines();
            program.answer = lines.next().unwrap_or_default().to_owned();
            program.steady.extend(lines.next().and_then(|line| line.parse::<f64>().ok()));
        }
    }
    println!(
        "| | first prediction, ms | times kc's | one image, us | times kc's | binary, kB | without weights, kB | says |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let median = |values: &mut Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    };
    let mut ours = [None; 2];
    for Program { name, size, first, steady, answer, .. } in programs {
        let figures = [median(first), median(steady).map(|nanoseconds| nanoseconds / 1e3)];
        // the programs of a network follow kc's
        if name.starts_with("kc_") {
            ours = figures;
        }
        let shown = figures.map(|figure| figure.map_or(String::new(), |figure| format!("{figure:.2}")));
        let ratios = [0, 1].map(|i| figures[i].zip(ours[i]).map_or(String::new(), |(a, b)| format!("{:.1}", a / b)));
        let kilobytes = |bytes: Option<u64>| bytes.map_or(String::new(), |bytes| format!("{:.0}", bytes as f64 / 1e3));
        let whole = kilobytes(size.map(|(whole, _)| whole));
        let without = kilobytes(size.map(|(whole, weights)| whole.saturating_sub(weights)));
        println!(
            "| {name} | {} | {} | {} | {} | {whole} | {without} | {answer} |",
            shown[0], ratios[0], shown[1], ratios[1]
        );
    }
    Ok(())
}
