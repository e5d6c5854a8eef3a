//! `keras.saving`: files that Keras writes.
//!
//! A `.keras` file is a zip archive with `config.json`, `metadata.json` and `model.weights.h5`; a `.weights.h5` file is the
//! last alone. [`load_keras_weights`] reads the tensors of either by their paths, [`assign`] says which is which of a
//! model's state.

mod assign;
mod error;
mod weights;

pub use assign::assign;
pub use error::SavingError;
pub use weights::load_keras_weights;
