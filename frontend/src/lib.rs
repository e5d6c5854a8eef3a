//! The Keras API in Rust: `use kc::prelude::*;` is all that a model needs.
//!
//! Names, arguments, defaults and semantics are those of [Keras](https://keras.io); methods named after arguments set them:
//!
//! ```
//! use kc::prelude::*;
//!
//! let mut model = Sequential::new()
//!     .add(Input::new([784]))
//!     .add(Dense::new(128).activation("relu"))
//!     .add(Dropout::new(0.2))
//!     .add(Dense::new(10).activation("softmax"));
//! model.compile(Adam::new(), "sparse_categorical_crossentropy", ["accuracy"])?;
//! let module = model.module()?;
//! assert_eq!(module.functions.len(), 5);
//! # Ok::<(), kc::Error>(())
//! ```
//!
//! A model is traced into a [`kc_ir::tensor::Module`]; this crate computes nothing itself.

pub mod activations;
mod base;
pub mod config;
pub mod constraints;
mod data;
pub mod datasets;
pub mod distribution;
pub mod dtype_policies;
mod error;
pub mod initializers;
mod keras_tensor;
mod layer;
pub mod layers;
pub mod losses;
pub mod metrics;
pub mod mixed_precision;
pub mod model;
pub mod ops;
pub mod optimizers;
pub mod quantizers;
pub mod random;
pub mod regularizers;
mod remat_scope;
#[cfg(feature = "saving")]
pub mod saving;
mod scope;
mod trace_main;
pub mod utils;

pub use kc_runtime::{Array, Dataset, EvaluateOptions, History, Logs, Verbose};

/// `keras.callbacks`.
pub mod callbacks {
    pub use kc_runtime::training::callbacks::*;
    pub use kc_runtime::{Callback, Training};
}

pub use base::Base;
pub use data::{Data, IntoData};
pub use dtype_policies::DTypePolicy;
pub use error::{Error, LayerError, Result};
pub use kc_macros::{data, model};
pub use keras_tensor::{AsTensor, Call, Input, IntoShape, IntoTensors, KerasTensor, shape_text};
pub use layer::{Config, IntoLayer, Layer, LayerArguments, LayerRef};
pub use model::{IntoModel, Model, Sequential};
pub use ops::remat::remat;
pub use remat_scope::{OpenRematScope, RematScope};
pub use scope::Scope;
pub use trace_main::{missing, trace_main};

/// What a model file uses.
pub mod prelude {
    pub use crate::activations::Activation;
    pub use crate::callbacks::*;
    pub use crate::constraints::*;
    pub use crate::dtype_policies::{DTypePolicy, DTypePolicyMap};
    pub use crate::initializers::*;
    pub use crate::layers::*;
    pub use crate::losses::*;
    pub use crate::metrics::*;
    pub use crate::model::{Compile, Fit};
    pub use crate::ops::Expression;
    pub use crate::optimizers::*;
    pub use crate::quantizers::{AbsMaxQuantizer, Int8QuantizationConfig};
    pub use crate::random::SeedGenerator;
    pub use crate::regularizers::*;
    pub use crate::{
        Array, Base, Call, Config, Dataset, EvaluateOptions, History, Input, IntoLayer, KerasTensor, Layer,
        LayerArguments, LayerRef, Logs, Model, RematScope, Scope, Sequential, Verbose, cells, layers, ops,
    };
    pub use kc_ir::tensor::Value;
    pub use kc_ir::tensor::ops::{Binary, Compare, Reduction, Unary};
    pub use kc_ir::{DType, Dim, TensorType};
}

/// The examples of the project's README are documentation tests.
#[cfg(all(doctest, feature = "compile"))]
#[doc = include_str!("../../README.md")]
struct Readme;
