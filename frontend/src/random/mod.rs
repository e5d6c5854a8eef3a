//! `keras.random`: random tensors, seeds and their generators.
//!
//! ```
//! use kc::ops::Expression;
//! use kc::random;
//!
//! let x = random::uniform([2, 3]).minval(-1.0).seed(42).eval()?;
//! assert_eq!(x, random::uniform([2, 3]).minval(-1.0).seed(42).eval()?);
//! # Ok::<(), kc::Error>(())
//! ```
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

pub use crate::ops::random::*;
pub(crate) use global::{begin_layer, next_key, numpy, set_random_seed};
pub use seed::Seed;
pub(crate) use seed::{DrawnSeed, GeneratorSeed, replace};
pub use seed_generator::SeedGenerator;
