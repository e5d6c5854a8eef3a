//! Running other programs.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The result of a chore; the error is the text for the person who started it, empty where all has been said.
pub type Outcome<T = ()> = Result<T, String>;

/// The workspace's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("tools/xtask lies two folders below the root")
}

/// The workspace's build folder.
pub fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// A program, to be run in the workspace's root without standard input and without what `cargo run` put into the
/// environment for this process alone.
pub fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    command.current_dir(root()).stdin(Stdio::null());
    for (key, _) in std::env::vars_os() {
        let text = key.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&key);
        }
    }
    command
}

/// The cargo that started this process.
pub fn cargo() -> Command {
    program(&std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()))
}

/// The command as a person would type it.
pub fn show(command: &Command) -> String {
    let name = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    std::iter::once(name).chain(command.get_args()).map(|part| part.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Runs a command, its output going to ours.
pub fn run(command: &mut Command) -> Outcome {
    let status = command.status().map_err(|error| format!("cannot run `{}`: {error}", show(command)))?;
    if status.success() { Ok(()) } else { Err(format!("`{}` failed: {status}", show(command))) }
}

/// Runs a command and takes its standard output; its standard error goes to ours.
pub fn output(command: &mut Command) -> Outcome<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot run `{}`: {error}", show(command)))?;
    if !output.status.success() {
        return Err(format!("`{}` failed: {}", show(command), output.status));
    }
    String::from_utf8(output.stdout).map_err(|_| format!("`{}` printed something that is not UTF-8", show(command)))
}

/// Runs a command and gives each line of its standard output to `each` as it comes; its standard error goes to ours.
pub fn lines(command: &mut Command, mut each: impl FnMut(&str)) -> Outcome {
    let failed = |error, command: &Command| format!("cannot run `{}`: {error}", show(command));
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|error| failed(error, command))?;
    for line in child.stdout.take().into_iter().flat_map(|stream| BufReader::new(stream).lines()) {
        each(&line.map_err(|error| failed(error, command))?);
    }
    let status = child.wait().map_err(|error| failed(error, command))?;
    if status.success() { Ok(()) } else { Err(format!("`{}` failed: {status}", show(command))) }
}

/// Whether a program can be started and says so by its exit status; what it prints is dropped.
pub fn works(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Runs a command, shows its output as it comes, and returns whether it succeeded together with all lines of both
/// streams.
pub fn tee(command: &mut Command) -> Outcome<(bool, Vec<String>)> {
    fn follow(stream: impl Read, mut show: impl Write) -> Vec<String> {
        let mut lines = Vec::new();
        let mut reader = BufReader::new(stream);
        let mut bytes = Vec::new();
        while reader.read_until(b'\n', &mut bytes).is_ok_and(|count| count > 0) {
            // The lines are kept whether or not somebody still reads ours.
            let _ = show.write_all(&bytes).and_then(|()| show.flush());
            lines.push(String::from_utf8_lossy(&bytes).trim_end().to_owned());
            bytes.clear();
        }
        lines
    }
    let failed = |error, command: &Command| format!("cannot run `{}`: {error}", show(command));
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(|error| failed(error, command))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let lines = std::thread::scope(|scope| {
        let errors = stderr.map(|stream| scope.spawn(|| follow(stream, std::io::stderr())));
        let mut lines = stdout.map_or_else(Vec::new, |stream| follow(stream, std::io::stdout()));
        lines.extend(errors.and_then(|thread| thread.join().ok()).unwrap_or_default());
        lines
    });
    let status = child.wait().map_err(|error| failed(error, command))?;
    Ok((status.success(), lines))
}
