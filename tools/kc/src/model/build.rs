use super::diagnostics::Diagnostics;
use super::project::Project;
use crate::failure::{Context, Failure, Outcome};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Builds the project's program and returns its path. Warnings go to standard error; errors are the failure.
pub fn build(project: &Project, stamp: &str) -> Outcome<PathBuf> {
    project.write(stamp)?;
    let color = std::io::stderr().is_terminal();
    if color && !project.target.join("debug").exists() {
        crate::output::note("building kc's frontend, once; later builds of a model take seconds");
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(&cargo);
    command
        .arg("build")
        .arg(if color { "--message-format=json-diagnostic-rendered-ansi" } else { "--message-format=json" })
        .arg("--manifest-path")
        .arg(project.folder.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&project.target)
        .current_dir(&project.folder)
        .stdin(Stdio::null());
    // Settings of a build around us are not meant for this one.
    for name in ["CARGO_BUILD_TARGET", "CARGO_ENCODED_RUSTFLAGS", "RUSTFLAGS", "RUSTC_WORKSPACE_WRAPPER"] {
        command.env_remove(name);
    }
    let output = command.output().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Failure::new(
            "a model file is built by cargo, which is not there; install Rust with rustup (see rust-lang.org/tools/install)",
        ),
        _ => Failure::new(format_args!("cannot run {}: {error}", Path::new(&cargo).display())),
    })?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    let diagnostics = Diagnostics::read(&stdout, &project.name, &project.model, &project.shown);
    if output.status.success()
        && let Some(executable) = &diagnostics.executable
    {
        for warning in &diagnostics.own {
            crate::output::note(&format!("{warning}\n"));
        }
        return Ok(PathBuf::from(executable));
    }
    let messages = if !diagnostics.own.is_empty() { diagnostics.own } else { diagnostics.foreign };
    if messages.is_empty() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::new(format_args!("cargo cannot build {}:\n{}", project.shown.display(), said.trim())));
    }
    Err(Failure::Rendered(messages.join("\n\n")))
}

/// The files that the program was built from, from the dep-info that cargo leaves beside it.
pub fn inputs(project: &Project, executable: &Path) -> Outcome<Vec<PathBuf>> {
    let dep_info = executable.with_extension("d");
    let text = std::fs::read_to_string(&dep_info).context(|| format!("cannot read {}", dep_info.display()))?;
    let mut files = super::store::dependencies(&text);
    files.extend(["Cargo.toml", "Cargo.lock"].map(|name| project.folder.join(name)));
    files.push(project.model.clone());
    files.sort();
    files.dedup();
    Ok(files)
}
