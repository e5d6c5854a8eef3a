//! `keras.metrics`.

mod accuracy;

pub use accuracy::{Accuracy, BinaryAccuracy, CategoricalAccuracy, SparseCategoricalAccuracy};

use crate::losses::LossSpec;
use crate::{Error, Result, Scope};
use kc_ir::tensor::Value;
use kc_ir::tensor::ops::{Binary, Compare, Reduction};
use kc_ir::{DType, TensorType};
use std::fmt;
use std::sync::Arc;

/// A metric: accumulators, how a batch changes them, and a result. A metric that is a mean over samples needs
/// [`Metric::name`] and [`Metric::values`] only.
pub trait Metric: fmt::Debug + Send + Sync + 'static {
    /// The name of the log: `accuracy`.
    fn name(&self) -> String;

    /// The values of the samples, `[B, ...]`, that the default [`Metric::update`] averages.
    fn values(&self, scope: &mut Scope, y_true: Value, y_pred: Value) -> Result<Value>;

    /// The accumulators, which start at 0.
    fn variables(&self) -> Vec<(&'static str, TensorType)> {
        vec![("total", TensorType::scalar(DType::F32)), ("count", TensorType::scalar(DType::F32))]
    }

    /// The accumulators after a batch; `sample_weight` is `f32[B]`.
    fn update(
        &self,
        scope: &mut Scope,
        state: &[Value],
        y_true: Value,
        y_pred: Value,
        sample_weight: Option<Value>,
    ) -> Result<Vec<Value>> {
        let values = self.values(scope, y_true, y_pred)?;
        update_mean(scope, state, values, sample_weight)
    }

    /// The result: a scalar f32.
    fn result(&self, scope: &mut Scope, state: &[Value]) -> Result<Value> {
        mean_result(scope, state)
    }
}

/// Adds values `[B, ...]` to the accumulators of a mean: their sum and their number, or their weighted sum and the sum of the
/// weights. Axes after the first are averaged before.
pub fn update_mean(scope: &mut Scope, state: &[Value], values: Value, weight: Option<Value>) -> Result<Vec<Value>> {
    let &[total, count] = state else {
        return Err(Error::model(format!("a mean has two accumulators, got {}", state.len())));
    };
    let mut values = scope.convert(DType::F32, values)?;
    while scope.tensor_type(values).rank() > 1 {
        values = crate::losses::mean_last(scope, values)?;
    }
    let axes: Vec<usize> = (0..scope.tensor_type(values).rank()).collect();
    let number = match weight {
        Some(weight) => {
            let weight = scope.convert(DType::F32, weight)?;
            values = scope.binary(Binary::Multiply, values, weight)?;
            scope.reduce(Reduction::Sum, &axes, weight)?
        }
        None => {
            let elements = scope.tensor_type(values).elements();
            scope.dimension(elements, DType::F32)?
        }
    };
    let sum = scope.reduce(Reduction::Sum, &axes, values)?;
    Ok(vec![scope.binary(Binary::Add, total, sum)?, scope.binary(Binary::Add, count, number)?])
}

/// `total / count`, 0 where the count is 0.
pub fn mean_result(scope: &mut Scope, state: &[Value]) -> Result<Value> {
    let &[total, count] = state else {
        return Err(Error::model(format!("a mean has two accumulators, got {}", state.len())));
    };
    let (zero, one) = (scope.f32(0.0)?, scope.f32(1.0)?);
    let nothing = scope.compare(Compare::Equal, count, zero)?;
    let divisor = scope.select(nothing, one, count)?;
    let mean = scope.binary(Binary::Divide, total, divisor)?;
    Ok(scope.select(nothing, zero, mean)?)
}

/// A metric by name or as an object.
#[derive(Clone, Debug)]
pub enum MetricSpec {
    /// One of Keras' names.
    Named(String),
    /// An object.
    Object(Arc<dyn Metric>),
}

impl From<&str> for MetricSpec {
    fn from(name: &str) -> Self {
        MetricSpec::Named(name.to_string())
    }
}

impl<M: Metric> From<M> for MetricSpec {
    fn from(metric: M) -> Self {
        MetricSpec::Object(Arc::new(metric))
    }
}

/// A loss as a metric: the mean of the samples' losses.
#[derive(Clone, Debug)]
struct LossMetric {
    name: String,
    loss: Arc<dyn crate::losses::Loss>,
}

impl Metric for LossMetric {
    fn name(&self) -> String {
        self.name.clone()
    }
    fn values(&self, scope: &mut Scope, y_true: Value, y_pred: Value) -> Result<Value> {
        self.loss.call(scope, y_true, y_pred)
    }
}

const NAMES: &[&str] = &[
    "accuracy",
    "acc",
    "binary_accuracy",
    "categorical_accuracy",
    "sparse_categorical_accuracy",
    "binary_crossentropy",
    "categorical_crossentropy",
    "sparse_categorical_crossentropy",
    "mean_squared_error",
    "mse",
];

impl MetricSpec {
    /// The metric.
    pub(crate) fn resolve(&self) -> Result<Arc<dyn Metric>> {
        let name = match self {
            MetricSpec::Object(metric) => return Ok(metric.clone()),
            MetricSpec::Named(name) => name.as_str(),
        };
        Ok(match name {
            "accuracy" | "acc" => Arc::new(Accuracy::new().name(name)),
            "binary_accuracy" => Arc::new(BinaryAccuracy::new()),
            "categorical_accuracy" => Arc::new(CategoricalAccuracy::new()),
            "sparse_categorical_accuracy" => Arc::new(SparseCategoricalAccuracy::new()),
            _ => match LossSpec::Named(name.to_string()).resolve() {
                Ok(loss) => Arc::new(LossMetric { name: name.to_string(), loss }),
                Err(_) => {
                    return Err(Error::model(format!(
                        "unknown metric `{name}`{}",
                        crate::error::did_you_mean(name, NAMES)
                    )));
                }
            },
        })
    }
}
