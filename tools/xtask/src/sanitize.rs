//! The runtime under LLVM's sanitizers, which need a nightly Rust with its library's sources.

use crate::process::{Outcome, cargo, program, run, target_dir, works};
use std::time::Instant;

const TARGET: &str = "x86_64-unknown-linux-gnu";
/// Packages of one run.
const PACKAGES: u64 = 100_000;

/// Reads and executes hostile packages for so many seconds, with every access to memory checked.
pub fn packages(seconds: u64) -> Outcome<String> {
    let start = Instant::now();
    let mut read = 0;
    let mut how = "";
    for first in (0u64..).step_by(PACKAGES as usize) {
        how = test("address", "hostile", |command| {
            command.env("KC_FUZZ_SEED", first.to_string()).env("KC_FUZZ_CASES", PACKAGES.to_string());
        })?;
        read += PACKAGES;
        if start.elapsed().as_secs() > seconds {
            break;
        }
    }
    Ok(format!("{read} packages, {how}"))
}

/// Ten threads that predict with one model, with every access to memory watched for races.
pub fn threads() -> Outcome<String> {
    test("thread", "model", |_| ()).map(str::to_owned)
}

/// Runs a test of kc-runtime under a sanitizer; without one where this machine has no such Rust. Says which it was.
fn test(sanitizer: &str, name: &str, set: impl Fn(&mut std::process::Command)) -> Outcome<&'static str> {
    let tested = ["test", "--quiet", "--package", "kc-runtime", "--test", name];
    let sanitized = is_ready();
    let mut command = if sanitized { program("rustup") } else { cargo() };
    if sanitized {
        command.args(["run", "nightly", "cargo"]).args(tested).args([
            "-Zbuild-std",
            "--target",
            TARGET,
            "--target-dir",
        ]);
        command.arg(target_dir().join(format!("sanitize-{sanitizer}")));
        command.env("RUSTFLAGS", format!("-Zsanitizer={sanitizer}"));
    } else {
        command.args(tested);
    }
    set(&mut command);
    run(&mut command)?;
    Ok(if sanitized { "sanitized" } else { "without a sanitizer: no nightly Rust with `rust-src` is here" })
}

/// Whether there is a nightly Rust with the sources of its library; they are installed where they can be.
fn is_ready() -> bool {
    works(program("rustup").args(["component", "add", "rust-src", "--toolchain", "nightly"]))
        && cfg!(all(target_arch = "x86_64", target_os = "linux"))
}
