//! `cargo xtask nightly`: what is too long for every change.

use crate::mnist;
use crate::process::{Outcome, cargo, run};
use std::ops::Range;

/// The seeds of random kernels, beyond those that every change runs.
const SEEDS: Range<u64> = 300..40_300;
/// Seeds of one run of the suite, which compiles all its kernels at once.
const CHUNK: usize = 2_000;

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
    for start in seeds.clone().step_by(CHUNK) {
        let end = seeds.end.min(start + CHUNK as u64);
        println!("random kernels {start}..{end}");
        let mut command = cargo();
        command.env("KC_FUZZ_SEEDS", format!("{start}..{end}"));
        run(command.args(["test", "--release", "--quiet", "--package", "kc-codegen", "--tests", "random_kernels"]))?;
    }
    Ok(())
}
