//! `keras.utils`.

pub use crate::base::clear_session;

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher, RandomState};

thread_local! {
    static SEED: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Makes what follows in this thread repeatable: initial weights, dropout and the order of the samples are drawn from this seed.
/// Without it they differ from run to run.
pub fn set_random_seed(seed: u64) {
    SEED.set(Some(seed));
}

/// The next seed: of those that [`set_random_seed`] began, else one that the operating system chose.
pub(crate) fn next_seed() -> u64 {
    match SEED.get() {
        None => RandomState::new().build_hasher().finish(),
        Some(state) => {
            // splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014)
            SEED.set(Some(state.wrapping_add(0x9E37_79B9_7F4A_7C15)));
            let mut z = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ (z >> 31)
        }
    }
}
