//! `keras.utils`.

pub use crate::base::clear_session;
use kc_runtime::{Array, ArrayError};

/// Seeds all that is random in what follows in this thread, as Keras does: a seed gives the initial weights, dropout masks and order
/// of the samples that Keras has with its JAX back end. Without it they differ from run to run. Layers and initializers take
/// their seeds when they are made: call it before the model is built.
pub fn set_random_seed(seed: u32) {
    crate::random::set_random_seed(seed);
}

/// The sequences as rows of so many numbers: what is too long loses its first ones, what is too short gets zeros before them. Keras'
/// `pad_sequences(sequences, maxlen=maxlen)`.
pub fn pad_sequences(sequences: &[Vec<i32>], maxlen: usize) -> Result<Array, ArrayError> {
    let mut rows = vec![0; sequences.len() * maxlen];
    for (row, sequence) in rows.chunks_exact_mut(maxlen.max(1)).zip(sequences) {
        let kept = &sequence[sequence.len().saturating_sub(maxlen)..];
        row[maxlen - kept.len()..].copy_from_slice(kept);
    }
    Array::from_slice(&rows, &[sequences.len(), maxlen])
}
