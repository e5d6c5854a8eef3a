//! `cargo xtask nightly`: what is too long for every change.

use crate::mnist;
use crate::process::{Outcome, cargo, run};
use std::ops::Range;
use std::time::{Duration, Instant};

/// The seeds, beyond those that every change runs.
const SEEDS: Range<u64> = 2_000..102_000;
/// Cases of one run of a suite.
const CHUNK: u64 = 2_000;
/// Package and tests of each suite that random kernels and graphs go through.
const SUITES: [(&str, &[&str]); 2] =
    [("kc-codegen", &["--tests", "random_kernels"]), ("kc-tests", &["--test", "fuzz", "random_graphs"])];
/// How long texts and files with faults are read.
const READING: Duration = Duration::from_secs(600);
/// Faulty texts of each kind in one run.
const TEXTS: u64 = 20_000;

/// Long fuzzing of every back end and every reader, and the training of every example to its accuracy.
pub fn nightly(arguments: &[String]) -> Outcome {
    let seeds = match arguments {
        [] => SEEDS,
        [option, range] if option == "--seeds" => range
            .split_once("..")
            .and_then(|(start, end)| Some(start.parse().ok()?..end.parse().ok()?))
            .ok_or_else(|| format!("`--seeds {range}` is no range; expected START..END"))?,
        _ => return Err("`cargo xtask nightly` takes `--seeds START..END` or nothing".to_owned()),
    };
    mnist::check_all()?;
    for (package, tests) in SUITES {
        for first in seeds.clone().step_by(CHUNK as usize) {
            suite(package, tests, first..(first + CHUNK).min(seeds.end))?;
        }
    }
    let start = Instant::now();
    for first in (seeds.start..).step_by(TEXTS as usize) {
        suite("kc-tests", &["--test", "readers"], first..first + TEXTS)?;
        if start.elapsed() > READING {
            break;
        }
    }
    Ok(())
}

/// Runs tests with other seeds than they have, optimised, with all assertions.
fn suite(package: &str, tests: &[&str], seeds: Range<u64>) -> Outcome {
    println!("{package} {}, seeds {seeds:?}", tests.join(" "));
    let mut command = cargo();
    command.env("KC_FUZZ_SEED", seeds.start.to_string());
    command.env("KC_FUZZ_CASES", (seeds.end - seeds.start).to_string());
    command.args(["test", "--profile", "nightly", "--quiet", "--package", package]);
    run(command.args(tests))
}
