//! Random kernels.

use super::Subject;
use super::compare::{Case, check};
use super::generate::case;
use super::shrink::shrink;
use kc_ir::kernel::Kernel;
use std::ops::Range;

/// Number of kernels of the suite.
const SEEDS: u64 = 300;

/// The seeds of the suite; `KC_FUZZ_SEED` is the first (default 0), `KC_FUZZ_CASES` their number.
pub fn seeds() -> Range<u64> {
    let number =
        |variable, default| std::env::var(variable).ok().and_then(|text: String| text.parse().ok()).unwrap_or(default);
    let first = number("KC_FUZZ_SEED", 0);
    first..first + number("KC_FUZZ_CASES", SEEDS)
}

/// Compares the kernel of each seed with the interpreter; an error shows the first failing kernel, made small.
pub fn run(backend: &dyn Subject, seeds: Range<u64>) -> Result<(), String> {
    let cases: Vec<(u64, Case)> =
        seeds.map(|seed| (seed, case(seed))).filter(|(_, case)| backend.takes(&case.kernel)).collect();
    let kernels: Vec<Kernel> = cases.iter().map(|(_, case)| case.kernel.clone()).collect();
    let loaded = backend.load(&kernels)?;
    for (number, (seed, case)) in cases.iter().enumerate() {
        let result =
            case.interpreted(backend.rounding()).and_then(|expected| case.compare(&*loaded, number, &expected));
        if let Err(first) = result {
            let with = |kernel: &Kernel| Case { kernel: kernel.clone(), ..case.clone() };
            let fails = |kernel: &Kernel| check(backend, &with(kernel)).is_err();
            let small = if fails(&case.kernel) { shrink(&case.kernel, &fails) } else { case.kernel.clone() };
            let error = check(backend, &with(&small)).err().unwrap_or(first);
            return Err(format!("{}: the random kernel of seed {seed}:\n{error}", backend.name()));
        }
    }
    Ok(())
}
