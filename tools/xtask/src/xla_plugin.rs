//! `cargo xtask xla`: gets XLA's plug-in for the CPU, which the tests execute on.

use crate::process::{Outcome, program, run, target_dir, works};
use crate::setup;
use std::path::{Path, PathBuf};

/// The package, with the hash of the only file that is taken for it: its publisher is not known to us, so it serves tests alone.
const PACKAGE: &str =
    "xla-cpu-pjrt==0.0.1 --hash=sha256:55837b6b7b47daa717f2d9a5a03563ea0ceaa338d06a81a1e2d3f060d960decc";

/// Where the package has the plug-in, and its name in `target/plugins`.
const FILE: (&str, &str) = ("xla_plugins/xla_cpu_pjrt/xla_cpu_pjrt.so", "xla_cpu_pjrt.so");

/// The chore.
pub fn command(arguments: &[String]) -> Outcome {
    if !arguments.is_empty() {
        return Err(format!("`cargo xtask xla` takes no arguments, got `{}`", arguments.join(" ")));
    }
    println!("{}", install()?.display());
    Ok(())
}

/// Puts the plug-in where the tests look for it; gives its path. Quick where it is there.
pub fn install() -> Outcome<PathBuf> {
    let plugin = target_dir().join("plugins").join(FILE.1);
    if plugin.is_file() {
        return Ok(plugin);
    }
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err("XLA's plug-in for the CPU exists for x86-64 Linux only".to_owned());
    }
    let folder = target_dir().join("xla");
    let packages = pip_install(&folder, PACKAGE)?;
    let file = packages.join(FILE.0);
    let failed = |error: std::io::Error| format!("cannot put {} to {}: {error}", file.display(), plugin.display());
    plugin.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(failed)?;
    std::fs::hard_link(&file, &plugin).or_else(|_| std::fs::copy(&file, &plugin).map(drop)).map_err(failed)?;
    Ok(plugin)
}

/// Installs a requirement, a line of pip's, into a virtual environment; gives its folder of packages.
pub fn pip_install(folder: &Path, requirement: &str) -> Outcome<PathBuf> {
    let python = folder.join("bin/python").to_string_lossy().into_owned();
    if !works(program(&python).args(["-m", "pip", "--version"])) {
        if !works(program("python3").args(["-c", "import venv, ensurepip"])) {
            setup::apt_install(&["python3-venv"])?;
        }
        run(program("python3").args(["-m", "venv"]).arg(folder))?;
    }
    println!("installing {} into {}", requirement.split_whitespace().next().unwrap_or_default(), folder.display());
    let list = folder.join("requirements.txt");
    std::fs::write(&list, format!("{requirement}\n"))
        .map_err(|error| format!("cannot write {}: {error}", list.display()))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--requirement"];
    run(program(&python).args(pip).arg(&list))?;
    let ask = ["-c", "import sysconfig; print(sysconfig.get_paths()['platlib'])"];
    crate::process::output(program(&python).args(ask)).map(|path| PathBuf::from(path.trim()))
}
