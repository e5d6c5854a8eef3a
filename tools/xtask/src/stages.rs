//! `cargo xtask test`: the stages, in order, and their summary.

use crate::process::{Outcome, cargo, program, run, show, tee};
use crate::{imports, mlir_plugin, setup, xla_plugin};
use std::ops::Add;
use std::time::Instant;

/// What a stage that did not fail says.
enum Report {
    /// A check that counts nothing.
    Fine,
    /// A test runner's counts.
    Tests(Counts),
    /// What the stage needs is not on this machine, and cannot be installed: why.
    Skipped(String),
}

/// Counts of a test runner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
}

impl Counts {
    /// The last line of a run.
    fn verdict(self) -> String {
        match self {
            Counts { passed: 0, failed: 0 } => "ok".to_owned(),
            Counts { passed, failed } => format!("{passed} passed, {failed} failed"),
        }
    }
}

impl Add for Counts {
    type Output = Counts;

    fn add(self, other: Counts) -> Counts {
        Counts { passed: self.passed + other.passed, failed: self.failed + other.failed }
    }
}

struct Stage {
    name: &'static str,
    about: &'static str,
    run: fn() -> Outcome<Report>,
}

const STAGES: &[Stage] = &[
    Stage { name: "imports", about: "the crates import each other as the table allows", run: imports },
    Stage { name: "fmt", about: "cargo fmt --check", run: fmt },
    Stage { name: "clippy", about: "cargo clippy, warnings are errors", run: clippy },
    Stage {
        name: "features",
        about: "the frontend builds without its compiler, the runtime without std and with each of its features",
        run: features,
    },
    Stage { name: "doc", about: "cargo doc, warnings are errors", run: doc },
    Stage { name: "plugin", about: "the MLIR plug-in: formatting, clippy, build, tests; needs LLVM 22", run: plugin },
    Stage { name: "xla", about: "XLA's plug-in for the CPU, for the tests of the back end xla", run: xla },
    Stage { name: "ptxas", about: "NVIDIA's assembler, for the tests of PTX; needs pip", run: ptxas },
    Stage {
        name: "test",
        about: "unit and integration tests, by cargo nextest where it is installed",
        run: test_suite,
    },
    Stage { name: "doctest", about: "examples in the documentation", run: doctest },
];

/// The stages as lines of help.
pub fn help() -> String {
    let mut text = "stages of `test`:\n".to_owned();
    for stage in STAGES {
        text += &format!("  {:<18}  {}\n", stage.name, stage.about);
    }
    text
}

/// Runs the stages named, or all, prints a table of them and the line `N passed, N failed` (`ok` where there was nothing to count).
pub fn test(names: &[String]) -> Outcome {
    if names.iter().any(|name| matches!(name.as_str(), "help" | "--help" | "-h")) {
        print!("cargo xtask test [STAGE...]\n\n{}", help());
        return Ok(());
    }
    if let Some(unknown) = names.iter().find(|name| STAGES.iter().all(|stage| stage.name != name.as_str())) {
        return Err(format!("unknown stage `{unknown}`\n\n{}", help()));
    }
    let mut total = Counts::default();
    let mut lines = Vec::new();
    for stage in STAGES.iter().filter(|stage| names.is_empty() || names.iter().any(|name| name == stage.name)) {
        println!("==> {}: {}", stage.name, stage.about);
        let start = Instant::now();
        let outcome = (stage.run)();
        let seconds = start.elapsed().as_secs_f64();
        let rerun = || format!("failed; alone: cargo xtask test {}", stage.name);
        let says = match outcome {
            Ok(Report::Fine) => "ok".to_owned(),
            Ok(Report::Tests(counts)) => {
                total = total + counts;
                let counted = format!("{} passed, {} failed", counts.passed, counts.failed);
                if counts.failed == 0 { counted } else { format!("{counted}; {}", rerun()) }
            }
            Ok(Report::Skipped(reason)) => {
                println!("skipped: {reason}");
                format!("skipped: {}", reason.lines().next().unwrap_or_default())
            }
            Err(message) => {
                // A check that is not a test still fails the run: it counts as one.
                total.failed += 1;
                println!("error in stage {}: {message}", stage.name);
                rerun()
            }
        };
        lines.push(format!("{:<10} {seconds:>7.1} s  {says}", stage.name));
    }
    println!("\n{}\n{}", lines.join("\n"), total.verdict());
    if total.failed == 0 { Ok(()) } else { Err(String::new()) }
}

fn imports() -> Outcome<Report> {
    imports::check().map(|()| Report::Fine)
}

fn fmt() -> Outcome<Report> {
    setup::rust_component("rustfmt", "fmt")?;
    run(cargo().args(["fmt", "--all", "--check"])).map(|()| Report::Fine)
}

fn clippy() -> Outcome<Report> {
    setup::rust_component("clippy", "clippy")?;
    run(cargo().args(["clippy", "--workspace", "--all-targets", "--keep-going", "--quiet", "--", "-D", "warnings"]))
        .map(|()| Report::Fine)
}

/// Machines without a system that the runtime is checked for.
const BARE: [&str; 2] = ["x86_64-unknown-none", "thumbv7em-none-eabihf"];

fn features() -> Outcome<Report> {
    run(cargo().args(["check", "--quiet", "--package", "kc", "--no-default-features"]))?;
    let runtime = |arguments: &[&str]| {
        run(cargo().args(["check", "--quiet", "--package", "kc-runtime", "--no-default-features"]).args(arguments))
    };
    for features in ["std", "threads", "train"] {
        runtime(&["--features", features])?;
    }
    for target in BARE {
        match run(program("rustup").args(["target", "add", target])) {
            Ok(()) => runtime(&["--target", target])?,
            Err(reason) => println!("without the check for {target}: {reason}"),
        }
    }
    Ok(Report::Fine)
}

fn doc() -> Outcome<Report> {
    let flags = format!("{} -D warnings", std::env::var("RUSTDOCFLAGS").unwrap_or_default());
    run(cargo().env("RUSTDOCFLAGS", flags.trim()).args(["doc", "--workspace", "--no-deps", "--quiet"]))
        .map(|()| Report::Fine)
}

/// Test programs of `kc-tests`, of thousands of small cases that share what they read: nextest's process a test would read it in each.
const TABLES: [&str; 2] = ["golden", "ops"];

fn test_suite() -> Outcome<Report> {
    let mut command = cargo();
    if !setup::has_nextest() {
        command.args(["test", "--workspace", "--no-fail-fast", "--lib", "--bins", "--tests", "--examples", "--quiet"]);
        let (success, lines) = tee(&mut command)?;
        return judge(success, libtest_counts(&lines), &show(&command)).map(Report::Tests);
    }
    let others = format!("not (package(kc-tests) and binary(/^({})$/))", TABLES.join("|"));
    command.args(["nextest", "run", "--workspace", "--no-fail-fast", "--no-tests=fail", "-E", &others]);
    command.args(["--status-level=fail", "--final-status-level=fail", "--show-progress=none", "--color=never"]);
    let (success, lines) = tee(&mut command)?;
    let counts = judge(success, nextest_counts(&lines), &show(&command));
    let mut command = cargo();
    command.args(["test", "--package", "kc-tests", "--no-fail-fast", "--quiet"]);
    TABLES.iter().for_each(|table| _ = command.args(["--test", table]));
    command.args(["--", "--quiet"]);
    let (success, lines) = tee(&mut command)?;
    let tables = judge(success, libtest_counts(&lines), &show(&command));
    Ok(Report::Tests(counts? + tables?))
}

/// Without it the tests of PTX say that they are skipped.
fn ptxas() -> Outcome<Report> {
    Ok(setup::ptxas().map_or_else(Report::Skipped, |()| Report::Fine))
}

fn doctest() -> Outcome<Report> {
    let mut command = cargo();
    command.args(["test", "--workspace", "--doc", "--no-fail-fast", "--quiet"]);
    let (success, lines) = tee(&mut command)?;
    judge(success, libtest_counts(&lines), &show(&command)).map(Report::Tests)
}

/// Before the workspace's tests, which then run on the plug-in too.
fn plugin() -> Outcome<Report> {
    if let Err(reason) = mlir_plugin::plugin_cargo() {
        return Ok(Report::Skipped(reason));
    }
    run(mlir_plugin::plugin_cargo()?.args(["fmt", "--check"]))?;
    run(mlir_plugin::plugin_cargo()?.args([
        "clippy",
        "--quiet",
        "--release",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))?;
    mlir_plugin::build()?;
    let mut command = mlir_plugin::plugin_cargo()?;
    command.args(["test", "--release", "--no-fail-fast", "--quiet"]);
    let (success, lines) = tee(&mut command)?;
    judge(success, libtest_counts(&lines), &show(&command)).map(Report::Tests)
}

/// Before the workspace's tests, which skip the back end xla where its plug-in is not.
fn xla() -> Outcome<Report> {
    Ok(xla_plugin::install().map_or_else(Report::Skipped, |_| Report::Fine))
}

/// A runner that failed without a failed test (it did not build, it crashed) is a failed stage.
fn judge(success: bool, counts: Option<Counts>, command: &str) -> Outcome<Counts> {
    match counts {
        Some(counts) if success == (counts.failed == 0) => Ok(counts),
        _ => Err(format!("`{command}` {}", if success { "printed no counts" } else { "failed" })),
    }
}

/// The counts in nextest's line `Summary [ 0.5s] 12 tests run: 11 passed (1 slow), 1 failed, 0 skipped`.
fn nextest_counts(lines: &[String]) -> Option<Counts> {
    let (_, results) = lines.iter().rev().find(|line| line.trim_start().starts_with("Summary ["))?.split_once(": ")?;
    let mut counts = Counts::default();
    for part in results.split(", ") {
        let mut words = part.split_whitespace();
        let number: u64 = words.next()?.parse().ok()?;
        match words.next()? {
            "passed" => counts.passed += number,
            "skipped" => {}
            // Failed, timed out, failed to start.
            _ => counts.failed += number,
        }
    }
    Some(counts)
}

/// The sum of libtest's lines `test result: ok. 11 passed; 1 failed; 0 ignored; ...`.
fn libtest_counts(lines: &[String]) -> Option<Counts> {
    let mut total: Option<Counts> = None;
    for line in lines.iter().filter_map(|line| line.trim().strip_prefix("test result: ")) {
        let (_, counts) = line.split_once(". ")?;
        let total = total.get_or_insert_default();
        for part in counts.split("; ") {
            match part.trim().split_once(' ') {
                Some((number, "passed")) => total.passed += number.parse::<u64>().ok()?,
                Some((number, "failed")) => total.failed += number.parse::<u64>().ok()?,
                _ => {}
            }
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn nextest_summaries_are_counted() {
        let log = lines(
            "     Starting 3 tests across 2 binaries\n        FAIL [   0.010s] kc-ir a\n------------\n     Summary [   0.021s] 9 tests run: 5 passed (1 slow), 3 failed, 1 timed out, 4 skipped",
        );
        assert_eq!(nextest_counts(&log), Some(Counts { passed: 5, failed: 4 }));
        assert_eq!(nextest_counts(&lines("error: could not compile `kc-ir`")), None);
    }

    #[test]
    fn libtest_results_are_summed() {
        let log = lines(
            "running 2 tests\n..\ntest result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\ntest result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s",
        );
        assert_eq!(libtest_counts(&log), Some(Counts { passed: 5, failed: 1 }));
        assert_eq!(libtest_counts(&lines("error: could not compile `kc-ir`")), None);
    }

    #[test]
    fn the_last_line_counts_what_there_was_to_count() {
        assert_eq!(Counts::default().verdict(), "ok");
        assert_eq!(Counts { passed: 0, failed: 1 }.verdict(), "0 passed, 1 failed");
        assert_eq!(Counts { passed: 7, failed: 0 }.verdict(), "7 passed, 0 failed");
    }

    #[test]
    fn a_runner_that_fails_without_a_failed_test_fails_the_stage() {
        let counts = Counts { passed: 2, failed: 0 };
        let error = judge(false, Some(counts), "cargo nextest run").err();
        assert_eq!(error.as_deref(), Some("`cargo nextest run` failed"));
        assert!(judge(true, Some(counts), "cargo nextest run").is_ok());
    }
}
