//! `keras.random`: seeds and their generators.
//!
//! What is random in Keras begins with Python's `random` and NumPy's `random`, which [`set_random_seed`] seeds: the first gives a seed
//! to every initializer and seed generator that is made without one, in the order in which they are made; the second orders the
//! samples of `fit`. Both are reproduced here number for number, so that a seed gives the weights, dropout masks and batches
//! that it gives in Keras.
//!
//! [`set_random_seed`]: crate::utils::set_random_seed

mod global;
mod seed;
mod seed_generator;

pub(crate) use global::{begin_layer, numpy, set_random_seed};
pub use seed::Seed;
pub(crate) use seed::{DrawnSeed, GeneratorSeed, replace};
pub use seed_generator::SeedGenerator;
