//! `cargo xtask bench`: measurements, beside other houses' programs where asked.

use crate::process::{Outcome, cargo, program, run, target_dir, works};
use crate::{mlir_plugin, setup};
use std::path::{Path, PathBuf};

/// Runs `kc bench` on the MLP example; with `--peers` beside PyTorch. Further options go to `kc bench`.
pub fn bench(arguments: &[String]) -> Outcome {
    mlir_plugin::build().map(drop).unwrap_or_else(|reason| println!("without the MLIR plug-in: {reason}"));
    run(cargo().args(["build", "--release", "--package", "kc-tool"]))?;
    let mut command = program(&target_dir().join("release/kc").to_string_lossy());
    command.args(["bench", "frontend/examples/mnist_mlp.rs"]);
    if arguments.iter().any(|argument| argument == "--peers") {
        let python = torch(&target_dir().join("peers"))?;
        command.arg("--peer").arg(format!("{} benches/torch_mlp.py", python.display()));
    }
    command.args(arguments.iter().filter(|argument| *argument != "--peers"));
    run(&mut command)
}

/// The Python of a virtual environment that has PyTorch.
fn torch(folder: &Path) -> Outcome<PathBuf> {
    let python = folder.join("bin/python");
    let interpreter = python.to_string_lossy().into_owned();
    if works(program(&interpreter).args(["-c", "import torch"])) {
        return Ok(python);
    }
    if !works(program("python3").args(["-c", "import venv, ensurepip"])) {
        setup::apt_install(&["python3-venv"])?;
    }
    println!("installing PyTorch into {}", folder.display());
    run(program("python3").args(["-m", "venv"]).arg(folder))?;
    run(program(&interpreter).args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "torch",
        "numpy",
    ]))?;
    Ok(python)
}
