//! Running the command on files in a folder of the test's own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder with files, in which `kc` is run. All tests share kc's cache, so the frontend is built once.
pub struct Place {
    folder: PathBuf,
}

/// What a run of `kc` gave.
#[derive(Debug)]
pub struct Run {
    /// The exit code.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Place {
    /// An empty folder of that name.
    pub fn new(name: &str) -> Place {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        if folder.exists() {
            std::fs::remove_dir_all(&folder).expect("a test's own folder");
        }
        std::fs::create_dir_all(&folder).expect("a test's own folder");
        Place { folder }
    }

    /// Path of a file in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes a file.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).expect("a test's own folder");
    }

    /// The command, to be run in the folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kc"));
        command
            .args(arguments)
            .current_dir(&self.folder)
            .env("KC_CACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache"))
            .env("KC_SOURCE", concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
            // Set by the cargo that runs the tests, not by a person's shell.
            .env_remove("CARGO_TARGET_DIR")
            .env_remove("RUST_BACKTRACE");
        command
    }

    /// Runs `kc`.
    pub fn kc(&self, arguments: &[&str]) -> Run {
        run(&mut self.command(arguments))
    }

    /// Runs `kc`, which must succeed, and returns its standard output.
    pub fn succeed(&self, arguments: &[&str]) -> String {
        let run = self.kc(arguments);
        assert_eq!(run.code, Some(0), "kc {}\n{}{}", arguments.join(" "), run.stdout, run.stderr);
        run.stdout
    }

    /// Runs `kc`, which must fail with nothing on standard output, and returns its message.
    pub fn fail(&self, arguments: &[&str]) -> String {
        let run = self.kc(arguments);
        assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "kc {}\n{}", arguments.join(" "), run.stderr);
        run.stderr
    }
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Run {
    let Output { status, stdout, stderr } = command.output().expect("kc was built for this test");
    let text = |bytes| String::from_utf8(bytes).expect("kc prints UTF-8");
    Run { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

/// A model of four features and three classes.
pub const MODEL: &str = r#"use kc::prelude::*;

#[kc::model]
fn classifier() -> kc::Result<Sequential> {
    let mut model = Sequential::new()
        .add(Input::new([4]))
        .add(Dense::new(8).activation("relu"))
        .add(Dense::new(3).activation("softmax"));
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])?;
    Ok(model)
}
"#;
