//! `keras.layers`.

mod core;
mod dropout;
mod reshaping;

pub use core::{ActivationLayer, Dense};
pub use dropout::Dropout;
pub use reshaping::Flatten;
