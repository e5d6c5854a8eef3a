//! Keras' functions of tensors (`keras.ops`), for arrays and symbolic tensors alike.
//!
//! A function gives a [`Tensor`]: an expression that has its dtype and shape at once and is computed where it is asked for.
//!
//! * Of arrays and numbers, [`Expression::eval`] computes it: the whole expression in one compiled graph.
//! * Of symbolic tensors it is an operation of a functional model, and stands wherever a [`KerasTensor`](crate::KerasTensor) does.
//! * Within [`Layer::forward`](crate::Layer::forward), [`Scope::tensor`](crate::Scope::tensor) makes it of values and
//!   [`Scope::build`](crate::Scope::build) adds it to the layer's graph.
//!
//! ```
//! use kc::ops::{self, Expression};
//! use kc::prelude::*;
//!
//! let x = Array::from_slice(&[1.0f32, 2.0, 3.0, 6.0], &[2, 2])?;
//! let centred = &x - ops::mean(&x).axis(0).keepdims(true);
//! assert_eq!(ops::max(&centred).eval()?.as_slice::<f32>()?, [2.0]);
//!
//! let input = Input::new([28, 28]);
//! let output = Dense::new(10).call(ops::reshape(&input, [-1, 784]) / 255.0)?;
//! let model = Model::new(&input, &output)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What Keras requires is an argument: a tensor, an array, a number or a list of numbers. What Keras lets one leave out is a method
//! of that name. A name that is a word of Rust has an underscore behind it: [`mod_`],
//! [`where_`]. Dtypes are promoted as Keras does on JAX, with 64 bits kept where they are given.

mod arguments;
mod build;
mod call;
mod declare;
mod evaluate;
mod formulas;
mod function;
mod promotion;
mod symbolic;
mod tensor;

mod arithmetic;
mod comparison;
mod contraction;
mod counting;
mod creation;
mod cumulative;
mod distinct;
mod einsum;
mod elementwise;
mod host;
mod indexing;
mod joining;
mod missing_values;
mod movement;
mod padding;
pub(crate) mod random;
mod reduction;
mod rounding;
mod sorting;
mod statistics;
mod taking;
mod windows;

mod associative_scan;
mod casting;
mod complex;
mod control;
mod custom_gradient;
mod einops;
mod fourier;
mod largest;
pub(crate) mod remat;
mod scattering;
mod sequences;
mod spatial;
mod structure;
mod vectorize;

pub mod image;
pub mod linalg;
pub mod nn;

pub use arguments::{Axes, DTypeName};
pub use call::{Call, Expression};
pub use evaluate::{evaluate, module};
pub use function::{Function, IntoResults, Operand};
pub use promotion::Kind;
pub use tensor::Tensor;
pub(crate) use tensor::scope_identity;

pub use arithmetic::*;
pub use comparison::*;
pub use contraction::*;
pub use counting::*;
pub use creation::*;
pub use cumulative::*;
pub use distinct::*;
pub use einsum::*;
pub use elementwise::*;
pub use host::*;
pub use indexing::*;
pub use joining::*;
pub use missing_values::*;
pub use movement::*;
pub use padding::*;
pub use reduction::*;
pub use rounding::*;
pub use sorting::*;
pub use statistics::*;
pub use taking::*;
pub use windows::*;

pub use associative_scan::*;
pub use casting::*;
pub use complex::*;
pub use control::*;
pub use custom_gradient::*;
pub use einops::*;
pub use fourier::*;
pub use largest::*;
pub use linalg::*;
pub use nn::*;
pub use scattering::*;
pub use sequences::*;
pub use structure::Structure;
pub use vectorize::*;
