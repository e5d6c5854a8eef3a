//! `keras.utils`.

pub use crate::base::clear_session;

/// Seeds all that is random in what follows in this thread, as Keras does: a seed gives the initial weights, dropout masks and order
/// of the samples that Keras has with its JAX back end. Without it they differ from run to run. Layers and initializers take
/// their seeds when they are made: call it before the model is built.
pub fn set_random_seed(seed: u32) {
    crate::random::set_random_seed(seed);
}
