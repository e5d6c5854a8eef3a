//! Random numbers that depend on a seed alone.

use std::ops::Range;
use std::time::{Duration, Instant};

/// A number that the environment may give.
fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is `{text}`, expected a number")))
}

/// The seeds of a test: `KC_FUZZ_CASES` of them (by default `cases`), from `KC_FUZZ_SEED` (by default 0) on.
pub fn seeds(cases: u64) -> Range<u64> {
    let first = number("KC_FUZZ_SEED").unwrap_or(0);
    first..first + number("KC_FUZZ_CASES").unwrap_or(cases)
}

/// [`seeds`], or, where `KC_FUZZ_SECONDS` is set, as many as are used in that time.
pub fn seeds_in_time(cases: u64) -> impl Iterator<Item = u64> {
    let until = number("KC_FUZZ_SECONDS").map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let seeds = seeds(cases);
    let seeds = if until.is_some() { seeds.start..u64::MAX } else { seeds };
    seeds.take_while(move |_| until.is_none_or(|until| Instant::now() < until))
}

/// A generator of random numbers: SplitMix64.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The generator of a seed.
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    /// 64 random bits.
    #[allow(clippy::should_implement_trait, reason = "it does not end")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`, which is not 0.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// A number between -1 and 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low + 1) as usize) as i64
    }

    /// True in that many of 100 cases.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of the values.
    pub fn pick<T: Clone>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())].clone()
    }

    /// The values in random order.
    pub fn shuffled<T>(&mut self, mut values: Vec<T>) -> Vec<T> {
        for i in (1..values.len()).rev() {
            let j = self.below(i + 1);
            values.swap(i, j);
        }
        values
    }
}
