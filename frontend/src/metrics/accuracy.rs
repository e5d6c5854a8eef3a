//! Accuracies: the share of right predictions.

use super::Metric;
use crate::{Error, Result, Scope, shape_text};
use kc_ir::DType;
use kc_ir::tensor::Value;
use kc_ir::tensor::ops::{ArgReduce, Compare, Extremum};

macro_rules! accuracies {
    ($($(#[$doc:meta])* $metric:ident $default:literal $values:ident;)*) => {
        $($(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $metric {
            name: String,
        }

        impl $metric {
            /// With Keras' defaults.
            #[allow(clippy::new_without_default)]
            pub fn new() -> Self {
                $metric { name: $default.to_string() }
            }
            /// The name of the log.
            pub fn name(mut self, name: impl Into<String>) -> Self {
                self.name = name.into();
                self
            }
        }

        impl Metric for $metric {
            fn name(&self) -> String {
                self.name.clone()
            }
            fn values(&self, scope: &mut Scope, y_true: Value, y_pred: Value) -> Result<Value> {
                $values(scope, y_true, y_pred, &self.name)
            }
        })*
    };
}

accuracies! {
    /// What Keras takes for `"accuracy"`: binary where predictions have one value a sample, sparse where targets have an axis
    /// less, else categorical.
    Accuracy "accuracy" by_shape;
    /// Predictions above 1/2 are taken as 1. `keras.metrics.BinaryAccuracy`.
    BinaryAccuracy "binary_accuracy" binary;
    /// The largest prediction against the largest target. `keras.metrics.CategoricalAccuracy`.
    CategoricalAccuracy "categorical_accuracy" categorical;
    /// The largest prediction against the class. `keras.metrics.SparseCategoricalAccuracy`.
    SparseCategoricalAccuracy "sparse_categorical_accuracy" sparse;
}

fn by_shape(scope: &mut Scope, y_true: Value, y_pred: Value, name: &str) -> Result<Value> {
    let (targets, predictions) = (scope.tensor_type(y_true), scope.tensor_type(y_pred));
    let single = |ty: &kc_ir::TensorType| ty.shape.last().is_some_and(|dim| dim.is(1));
    if single(predictions) {
        binary(scope, y_true, y_pred, name)
    } else if targets.rank() < predictions.rank() || single(targets) {
        sparse(scope, y_true, y_pred, name)
    } else {
        categorical(scope, y_true, y_pred, name)
    }
}

fn binary(scope: &mut Scope, y_true: Value, y_pred: Value, _name: &str) -> Result<Value> {
    let half = scope.splat_like(0.5, y_pred)?;
    let positive = scope.compare(Compare::Greater, y_pred, half)?;
    let dtype = scope.tensor_type(y_true).dtype;
    let predicted = scope.convert(dtype, positive)?;
    let shape = scope.tensor_type(y_true).shape.clone();
    let predicted = if scope.tensor_type(predicted).rank() == shape.len() + 1 {
        scope.reshape(predicted, &shape)?
    } else {
        predicted
    };
    let right = scope.compare(Compare::Equal, y_true, predicted)?;
    Ok(scope.convert(DType::F32, right)?)
}

fn position_of_largest(scope: &mut Scope, x: Value, name: &str) -> Result<Value> {
    let ty = scope.tensor_type(x);
    if ty.rank() < 2 {
        return Err(Error::model(format!(
            "metric `{name}` takes values of shape (None, classes), got {}",
            shape_text(&ty.shape)
        )));
    }
    let axis = ty.rank() - 1;
    Ok(scope.add(ArgReduce { kind: Extremum::Max, axis, dtype: DType::I32 }, &[x])?)
}

fn categorical(scope: &mut Scope, y_true: Value, y_pred: Value, name: &str) -> Result<Value> {
    let class = position_of_largest(scope, y_true, name)?;
    let predicted = position_of_largest(scope, y_pred, name)?;
    let right = scope.compare(Compare::Equal, class, predicted)?;
    Ok(scope.convert(DType::F32, right)?)
}

fn sparse(scope: &mut Scope, y_true: Value, y_pred: Value, name: &str) -> Result<Value> {
    let predicted = position_of_largest(scope, y_pred, name)?;
    let (targets, classes) = (scope.tensor_type(y_true).clone(), scope.tensor_type(predicted).clone());
    let y_true = if targets.rank() == classes.rank() + 1 { scope.reshape(y_true, &classes.shape)? } else { y_true };
    let predicted = scope.convert(targets.dtype, predicted)?;
    let right = scope.compare(Compare::Equal, y_true, predicted)?;
    Ok(scope.convert(DType::F32, right)?)
}
