//! `keras.ops.nn`: what layers compute.

mod activations;
mod attention;
mod beam;
mod blocks;
mod convolution;
mod crossentropy;
mod ctc;
mod encoding;
mod normalization;
mod pooling;
mod softmax;

pub use super::complex::polar;
pub use activations::*;
pub use attention::*;
pub use blocks::*;
pub use convolution::*;
pub use crossentropy::*;
pub use ctc::*;
pub use encoding::*;
pub use normalization::*;
pub use pooling::*;
pub use softmax::*;
