//! `keras.losses`.

mod crossentropy;
mod regression;

pub use crossentropy::{BinaryCrossentropy, CategoricalCrossentropy, SparseCategoricalCrossentropy};
pub use regression::MeanSquaredError;

use crate::{Error, Result, Scope};
use kc_ir::TensorType;
use kc_ir::manifest::ValueCheck;
use kc_ir::tensor::Value;
use kc_ir::tensor::ops::{Binary, Reduction};
use std::fmt;
use std::sync::Arc;

/// A loss. Implement it to write one of your own.
pub trait Loss: fmt::Debug + Send + Sync + 'static {
    /// The name, as Keras gives it: `mean_squared_error`.
    fn name(&self) -> String;

    /// How the samples' losses become one number.
    fn reduction(&self) -> LossReduction {
        LossReduction::SumOverBatchSize
    }

    /// What the targets must be for predictions of this type; by default the same type.
    fn target(&self, prediction: &TensorType) -> Result<Target> {
        Ok(Target { ty: prediction.clone(), checks: Vec::new() })
    }

    /// The losses of the samples, `[B, ...]`.
    fn call(&self, scope: &mut Scope, y_true: Value, y_pred: Value) -> Result<Value>;
}

/// What a loss expects as targets.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Dtype and shape.
    pub ty: TensorType,
    /// What their values must satisfy.
    pub checks: Vec<ValueCheck>,
}

/// How the samples' losses become one number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LossReduction {
    /// Their weighted sum over their number; Keras' default.
    #[default]
    SumOverBatchSize,
    /// Their weighted sum.
    Sum,
    /// Their weighted sum over the sum of the weights.
    MeanWithSampleWeight,
    /// A name that no reduction has; `compile` reports it.
    #[doc(hidden)]
    Unknown,
}

impl From<&str> for LossReduction {
    fn from(name: &str) -> Self {
        match name {
            "sum_over_batch_size" | "mean" => LossReduction::SumOverBatchSize,
            "sum" => LossReduction::Sum,
            "mean_with_sample_weight" => LossReduction::MeanWithSampleWeight,
            _ => LossReduction::Unknown,
        }
    }
}

/// The scalar loss of a batch: the samples' losses, weighted and reduced.
pub(crate) fn total(
    loss: &dyn Loss,
    scope: &mut Scope,
    y_true: Value,
    y_pred: Value,
    sample_weight: Value,
) -> Result<Value> {
    let values = loss.call(scope, y_true, y_pred)?;
    let ty = scope.tensor_type(values).clone();
    let axes: Vec<usize> = (0..ty.rank()).collect();
    let weights = scope.convert(ty.dtype, sample_weight)?;
    let weights = scope.broadcast(weights, &ty.shape, &[0])?;
    let weighted = scope.binary(Binary::Multiply, values, weights)?;
    let sum = scope.reduce(Reduction::Sum, &axes, weighted)?;
    let divisor = match loss.reduction() {
        LossReduction::Sum => return Ok(sum),
        LossReduction::SumOverBatchSize => scope.dimension(ty.elements(), ty.dtype)?,
        LossReduction::MeanWithSampleWeight => scope.reduce(Reduction::Sum, &axes, weights)?,
        LossReduction::Unknown => {
            return Err(Error::model(format!(
                "loss `{}` has an unknown reduction; known are: sum_over_batch_size, sum, mean_with_sample_weight",
                loss.name()
            )));
        }
    };
    Ok(scope.binary(Binary::Divide, sum, divisor)?)
}

/// A loss by name or as an object.
#[derive(Clone, Debug)]
pub enum LossSpec {
    /// One of Keras' names.
    Named(String),
    /// An object.
    Object(Arc<dyn Loss>),
}

impl From<&str> for LossSpec {
    fn from(name: &str) -> Self {
        LossSpec::Named(name.to_string())
    }
}

impl<L: Loss> From<L> for LossSpec {
    fn from(loss: L) -> Self {
        LossSpec::Object(Arc::new(loss))
    }
}

const NAMES: &[&str] = &[
    "binary_crossentropy",
    "categorical_crossentropy",
    "mean_squared_error",
    "mse",
    "sparse_categorical_crossentropy",
];

impl LossSpec {
    /// The loss.
    pub(crate) fn resolve(&self) -> Result<Arc<dyn Loss>> {
        match self {
            LossSpec::Object(loss) => Ok(loss.clone()),
            LossSpec::Named(name) => match name.as_str() {
                "sparse_categorical_crossentropy" => Ok(Arc::new(SparseCategoricalCrossentropy::new())),
                "categorical_crossentropy" => Ok(Arc::new(CategoricalCrossentropy::new())),
                "binary_crossentropy" => Ok(Arc::new(BinaryCrossentropy::new())),
                "mean_squared_error" | "mse" => Ok(Arc::new(MeanSquaredError::new())),
                _ => Err(Error::model(format!("unknown loss `{name}`{}", crate::error::did_you_mean(name, NAMES)))),
            },
        }
    }
}

/// Mean over the last axis.
pub(crate) fn mean_last(scope: &mut Scope, x: Value) -> Result<Value> {
    let ty = scope.tensor_type(x).clone();
    let Some(last) = ty.rank().checked_sub(1) else { return Ok(x) };
    let sum = scope.reduce(Reduction::Sum, &[last], x)?;
    let extent = scope.dimension(ty.shape[last].clone(), ty.dtype)?;
    Ok(scope.binary(Binary::Divide, sum, extent)?)
}
