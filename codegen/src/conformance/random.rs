//! Random kernels.

use super::compare::{Case, check, rounding};
use super::generate::case;
use super::run::Loaded;
use super::shrink::shrink;
use crate::Backend;
use kc_ir::kernel::Kernel;
use std::ops::Range;

/// Number of kernels of the suite.
const SEEDS: u64 = 300;

/// The seeds of the suite, or those that the variable `KC_FUZZ_SEEDS` names as `START..END`.
///
/// # Panics
/// Where the variable is something else.
pub fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("KC_FUZZ_SEEDS") else { return 0..SEEDS };
    let range = text.split_once("..").and_then(|(start, end)| Some(start.parse().ok()?..end.parse().ok()?));
    range.unwrap_or_else(|| panic!("KC_FUZZ_SEEDS is `{text}`, expected START..END"))
}

/// Compares the kernel of each seed with the interpreter; an error shows the first failing kernel, made small.
pub fn run(backend: &dyn Backend, seeds: Range<u64>) -> Result<(), String> {
    let cases: Vec<Case> = seeds.clone().map(case).collect();
    let kernels: Vec<Kernel> = cases.iter().map(|case| case.kernel.clone()).collect();
    let loaded = Loaded::new(backend, &kernels)?;
    for (number, case) in cases.iter().enumerate() {
        let result = case.interpreted(rounding(backend)).and_then(|expected| case.compare(&loaded, number, &expected));
        if let Err(first) = result {
            let with = |kernel: &Kernel| Case { kernel: kernel.clone(), ..case.clone() };
            let fails = |kernel: &Kernel| check(backend, &with(kernel)).is_err();
            let small = if fails(&case.kernel) { shrink(&case.kernel, &fails) } else { case.kernel.clone() };
            let seed = seeds.start + number as u64;
            let error = check(backend, &with(&small)).err().unwrap_or(first);
            return Err(format!("{}: the random kernel of seed {seed}:\n{error}", backend.name()));
        }
    }
    Ok(())
}
