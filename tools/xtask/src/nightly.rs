//! `cargo xtask nightly`: what is too long for every change.

use crate::mnist;
use crate::process::{Outcome, cargo, run};
use std::ops::Range;

/// The seeds, beyond those that every change runs.
const SEEDS: Range<u64> = 300..40_300;
/// Cases of one run of a suite, which compiles all its kernels at once.
const CHUNK: u64 = 2_000;
/// Package and test of each suite.
const SUITES: [(&str, &str); 2] =
    [("kc-codegen", "random_kernels"), ("kc-tests", "random_graphs_mean_the_same_everywhere")];

/// Long fuzzing of every back end, and the training of every example to its accuracy.
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
    for first in seeds.clone().step_by(CHUNK as usize) {
        let count = CHUNK.min(seeds.end - first);
        for (package, test) in SUITES {
            println!("{package}: {test}, seeds {first}..{}", first + count);
            let mut command = cargo();
            command.env("KC_FUZZ_SEED", first.to_string()).env("KC_FUZZ_CASES", count.to_string());
            run(command.args(["test", "--release", "--quiet", "--package", package, "--tests", test]))?;
        }
    }
    Ok(())
}
