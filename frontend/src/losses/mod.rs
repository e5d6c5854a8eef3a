//! `keras.losses`: one file a kind; a loss is its arguments and the formula of the samples' losses.

mod class;
mod crossentropy;
mod focal;
mod hinge;
mod probabilistic;
mod reduce;
mod regression;
mod segmentation;
mod sequence;
mod similarity;

pub use crossentropy::{BinaryCrossentropy, CategoricalCrossentropy, SparseCategoricalCrossentropy};
pub use focal::{Alpha, BinaryFocalCrossentropy, CategoricalFocalCrossentropy};
pub use hinge::{CategoricalHinge, Hinge, SquaredHinge};
pub use probabilistic::{CategoricalGeneralizedCrossEntropy, KLDivergence, Poisson};
pub(crate) use reduce::total;
pub use regression::{
    CosineSimilarity, Huber, LogCosh, MeanAbsoluteError, MeanAbsolutePercentageError, MeanSquaredError,
    MeanSquaredLogarithmicError,
};
pub use segmentation::{Dice, Summed, Tversky};
pub use sequence::CTC;
pub use similarity::Circle;

use crate::{Error, Result, Scope};
use kc_ir::manifest::ValueCheck;
use kc_ir::tensor::Value;
use kc_ir::tensor::ops::{Binary, Reduction};
use kc_ir::{DType, TensorType};
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

    /// The dtype that targets and predictions are converted to; integer targets stay integers.
    fn dtype(&self) -> DType {
        DType::F32
    }

    /// What the targets must be for predictions of this type; by default the same type.
    fn target(&self, prediction: &TensorType) -> Result<Target> {
        Ok(Target { ty: prediction.clone(), checks: Vec::new() })
    }

    /// The losses of the samples, `[B, ...]`.
    fn call(&self, scope: &mut Scope, y_true: Value, y_pred: Value) -> Result<Value>;

    /// Which of the samples' `losses` count, as bools of their shape; by default all.
    fn mask(&self, _scope: &mut Scope, _y_true: Value, _y_pred: Value, _losses: Value) -> Result<Option<Value>> {
        Ok(None)
    }

    /// The losses of the samples, weighted and reduced: Keras' call of a loss object. Weights have the shape of the losses, or of
    /// their first axes.
    fn weighted(&self, scope: &mut Scope, y_true: Value, y_pred: Value, sample_weight: Option<Value>) -> Result<Value> {
        reduce::weighted(self, scope, y_true, y_pred, sample_weight)
    }
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
    /// None: the weighted losses themselves. A model cannot be trained with it.
    None,
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
            "none" => LossReduction::None,
            _ => LossReduction::Unknown,
        }
    }
}

/// The axis that a loss works along; below 0 it counts from the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis(i64);

impl From<i64> for Axis {
    fn from(axis: i64) -> Self {
        Axis(axis)
    }
}

impl Axis {
    fn resolve(self, ty: &TensorType) -> Result<usize> {
        crate::layers::axis(ty, "axis", self.0)
    }
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

macro_rules! names {
    ($($class:ident $($name:literal)|+;)*) => {
        /// Keras' names, those of the functions first.
        const NAMES: &[&str] = &[$($($name),+),*];

        /// The loss of a name, with Keras' defaults for its arguments.
        fn named(name: &str) -> Option<Arc<dyn Loss>> {
            match name {
                $($($name)|+ | stringify!($class) => Some(Arc::new($class::new())),)*
                _ => None,
            }
        }
    };
}

names! {
    BinaryCrossentropy "binary_crossentropy" | "bce" | "BCE";
    BinaryFocalCrossentropy "binary_focal_crossentropy";
    CategoricalCrossentropy "categorical_crossentropy";
    CategoricalFocalCrossentropy "categorical_focal_crossentropy";
    CategoricalHinge "categorical_hinge";
    Circle "circle";
    CosineSimilarity "cosine_similarity";
    CTC "ctc";
    Dice "dice";
    Hinge "hinge";
    Huber "huber";
    KLDivergence "kl_divergence" | "kld" | "KLD";
    LogCosh "log_cosh";
    MeanAbsoluteError "mean_absolute_error" | "mae" | "MAE";
    MeanAbsolutePercentageError "mean_absolute_percentage_error" | "mape" | "MAPE";
    MeanSquaredError "mean_squared_error" | "mse" | "MSE";
    MeanSquaredLogarithmicError "mean_squared_logarithmic_error" | "msle" | "MSLE";
    Poisson "poisson";
    SparseCategoricalCrossentropy "sparse_categorical_crossentropy";
    SquaredHinge "squared_hinge";
    Tversky "tversky";
}

impl LossSpec {
    /// The loss.
    pub(crate) fn resolve(&self) -> Result<Arc<dyn Loss>> {
        match self {
            LossSpec::Object(loss) => Ok(loss.clone()),
            LossSpec::Named(name) => named(name).ok_or_else(|| {
                Error::model(format!("unknown loss `{name}`{}", crate::error::did_you_mean(name, NAMES)))
            }),
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
