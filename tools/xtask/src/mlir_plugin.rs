//! `cargo xtask mlir`: builds the MLIR plug-in and puts it where the compiler looks for it.

use crate::process::{self, Outcome, cargo, output, program, root, run, target_dir};
use crate::setup;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The version of LLVM that the plug-in's bindings are made for.
const LLVM: &str = "22";

/// Debian packages: LLVM and MLIR with their static libraries and headers, what those are linked with, and what the bindings'
/// generators need.
const PACKAGES: &[&str] = &[
    "llvm-22-dev",
    "libmlir-22-dev",
    "mlir-22-tools",
    "libpolly-22-dev",
    "libzstd-dev",
    "zlib1g-dev",
    "libxml2-dev",
    "libclang1-22",
    "clang-22",
    "g++",
];

/// Variables that name LLVM's folder to the crates `mlir-sys`, `llvm-sys` and `tblgen`.
const VARIABLES: &[&str] = &["MLIR_SYS_220_PREFIX", "LLVM_SYS_221_PREFIX", "TABLEGEN_220_PREFIX"];

/// The chore.
pub fn command(arguments: &[String]) -> Outcome {
    if !arguments.is_empty() {
        return Err(format!("`cargo xtask mlir` takes no arguments, got `{}`", arguments.join(" ")));
    }
    let plugin = build()?;
    println!("{}", plugin.display());
    Ok(())
}

/// Builds the plug-in, installing LLVM where it is missing and may be installed; gives its path. Quick where nothing changed.
pub fn build() -> Outcome<PathBuf> {
    let mut build = plugin_cargo()?;
    let target = build_dir();
    run(build.args(["build", "--quiet", "--release"]))
        .map_err(|error| format!("the MLIR plug-in could not be built: {error}"))?;
    let file = format!("{}kc_mlir{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let folder = target_dir().join("plugins");
    let plugin = folder.join(&file);
    install(&target.join("release").join(&file), &plugin)
        .map_err(|error| format!("cannot put the MLIR plug-in to {}: {error}", plugin.display()))?;
    Ok(plugin)
}

/// A cargo command on the plug-in's crate, with LLVM's folder in the environment.
pub fn plugin_cargo() -> Outcome<Command> {
    let prefix = llvm()?;
    let mut command = cargo();
    command.current_dir(root().join("codegen/mlir")).env("CARGO_TARGET_DIR", build_dir());
    for variable in VARIABLES {
        command.env(variable, &prefix);
    }
    Ok(command)
}

/// The plug-in's build folder: the workspace's own would be built anew for every change of LLVM's folder.
fn build_dir() -> PathBuf {
    target_dir().join("mlir")
}

/// LLVM's folder; LLVM is installed where it is missing.
fn llvm() -> Outcome<PathBuf> {
    if let Some(prefix) = installed_llvm() {
        return Ok(prefix);
    }
    setup::apt_install(PACKAGES).map_err(|error| {
        format!(
            "the MLIR plug-in needs LLVM {LLVM} with MLIR: {error}\nElsewhere set MLIR_SYS_220_PREFIX to the folder that LLVM {LLVM} is installed in."
        )
    })?;
    installed_llvm().ok_or_else(|| format!("LLVM {LLVM} with MLIR is not to be found although it was installed"))
}

fn installed_llvm() -> Option<PathBuf> {
    let given = std::env::var_os(VARIABLES[0]).map(|prefix| PathBuf::from(prefix).join("bin/llvm-config"));
    let known = [
        format!("llvm-config-{LLVM}"),
        "llvm-config".to_owned(),
        format!("/usr/lib/llvm-{LLVM}/bin/llvm-config"),
        format!("/opt/homebrew/opt/llvm@{LLVM}/bin/llvm-config"),
    ];
    given.into_iter().chain(known.into_iter().map(PathBuf::from)).find_map(|config| prefix_of(&config))
}

/// LLVM's folder by its `llvm-config`, if it is the right version and has MLIR.
fn prefix_of(config: &Path) -> Option<PathBuf> {
    let config = config.to_str()?;
    if !process::works(program(config).arg("--version")) {
        return None;
    }
    let ask = |question: &str| output(program(config).arg(question)).ok().map(|answer| answer.trim().to_owned());
    let version = ask("--version")?;
    let has_mlir = Path::new(&ask("--includedir")?).join("mlir-c/IR.h").is_file()
        && Path::new(&ask("--libdir")?).join("libMLIRIR.a").is_file();
    (version.split('.').next() == Some(LLVM) && has_mlir).then_some(PathBuf::from(ask("--prefix")?))
}

/// Copies the file unless the copy is newer; the place never holds a part of it.
fn install(built: &Path, plugin: &Path) -> std::io::Result<()> {
    let built_at = built.metadata()?.modified()?;
    if plugin.metadata().and_then(|metadata| metadata.modified()).is_ok_and(|placed_at| placed_at >= built_at) {
        return Ok(());
    }
    if let Some(folder) = plugin.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let part = plugin.with_extension(format!("part{}", std::process::id()));
    std::fs::copy(built, &part)?;
    std::fs::rename(&part, plugin)
}
