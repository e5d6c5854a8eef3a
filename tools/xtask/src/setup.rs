//! Installing what the checks need and the machine lacks.

use crate::process::{Outcome, program, run, target_dir, works};

/// Installs Debian packages; needs root or a sudo that asks nothing.
pub fn apt_install(packages: &[&str]) -> Outcome {
    let root = crate::process::output(program("id").arg("-u")).is_ok_and(|user| user.trim() == "0");
    let apt = |arguments: &[&str]| {
        let mut command = if root { program("env") } else { program("sudo") };
        if !root {
            command.args(["-n", "env"]);
        }
        command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-o", "Dpkg::Use-Pty=0"]).args(arguments);
        command
    };
    if !works(program("apt-get").arg("--version")) {
        return Err(format!("this machine has no apt-get; install {} by hand", packages.join(", ")));
    }
    if !root && !works(program("sudo").args(["-n", "true"])) {
        return Err(format!("neither root nor sudo without a password; run `apt-get install {}`", packages.join(" ")));
    }
    println!("installing {}", packages.join(" "));
    let install: Vec<&str> = ["install", "-y", "--no-install-recommends"].iter().chain(packages).copied().collect();
    // A machine that has run `apt-get update` lately needs no second one.
    run(&mut apt(&install)).or_else(|_| {
        run(&mut apt(&["update"]))?;
        run(&mut apt(&install))
    })
}

/// NVIDIA's assembler of PTX, as a package of PyPI: the version whose figures the tests expect.
const ASSEMBLER: &str = "nvidia-cuda-nvcc==13.5.37";

/// Makes sure that `ptxas` lies in `target/cuda`, where the tests look for it.
pub fn ptxas() -> Outcome {
    let folder = target_dir().join("cuda");
    if works(program(&folder.join("nvidia/cu13/bin/ptxas").to_string_lossy()).arg("--version")) {
        return Ok(());
    }
    println!("installing {ASSEMBLER} into {}", folder.display());
    let mut pip = program("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--target"]);
    run(pip.arg(&folder).arg(ASSEMBLER)).map_err(|error| format!("ptxas could not be installed: {error}"))
}

/// Makes sure that `cargo fmt` or `cargo clippy` is there.
pub fn rust_component(component: &str, subcommand: &str) -> Outcome {
    if works(crate::process::cargo().args([subcommand, "--version"])) {
        return Ok(());
    }
    println!("installing the Rust component {component}");
    run(program("rustup").args(["component", "add", component]))
        .map_err(|error| format!("`cargo {subcommand}` is missing and could not be installed: {error}"))
}

/// Whether `cargo nextest` is there.
pub fn has_nextest() -> bool {
    works(crate::process::cargo().args(["nextest", "--version"]))
}
