//! Cross-entropies. From probabilities they are what Keras computes on JAX: the probabilities of classes are divided by their
//! sum, and all are kept [`EPSILON`](composites::EPSILON) away from 0 and 1. That a softmax before them can be fused into a stable form is a matter of
//! graph rules.

use super::{Loss, LossReduction, Target, mean_last};
use crate::layer::arguments;
use crate::{Error, Result, Scope, shape_text};
use kc_ir::manifest::ValueCheck;
use kc_ir::tensor::Value;
use kc_ir::tensor::composites::{self, Scores};
use kc_ir::tensor::ops::Binary;
use kc_ir::{DType, TensorType};

/// `-ln p[class]`, with the true class as an integer. `keras.losses.SparseCategoricalCrossentropy`.
#[derive(Clone, Debug, Default)]
pub struct SparseCategoricalCrossentropy {
    from_logits: bool,
    reduction: LossReduction,
}

impl SparseCategoricalCrossentropy {
    /// With Keras' defaults.
    pub fn new() -> Self {
        Self::default()
    }

    arguments! {
        /// Whether predictions are logits, not probabilities (default: no).
        from_logits: bool,
        /// How the samples' losses become one number (default: `"sum_over_batch_size"`).
        reduction: LossReduction,
    }
}

impl Loss for SparseCategoricalCrossentropy {
    fn name(&self) -> String {
        "sparse_categorical_crossentropy".to_string()
    }
    fn reduction(&self) -> LossReduction {
        self.reduction
    }
    /// Integers `[B, ...]`: the predictions' shape without the last axis.
    fn target(&self, prediction: &TensorType) -> Result<Target> {
        let (classes, shape) = classes(&self.name(), prediction)?;
        let ty = TensorType { dtype: DType::I32, shape };
        Ok(Target { ty, checks: vec![ValueCheck::ClassLabels { classes }] })
    }
    fn call(&self, scope: &mut Scope, y_true: Value, y_pred: Value) -> Result<Value> {
        cross_entropy(scope, y_true, y_pred, true, self.from_logits)
    }
}

/// `-sum(y_true * ln p)`, with the true classes as probabilities. `keras.losses.CategoricalCrossentropy`.
#[derive(Clone, Debug, Default)]
pub struct CategoricalCrossentropy {
    from_logits: bool,
    label_smoothing: f64,
    reduction: LossReduction,
}

impl CategoricalCrossentropy {
    /// With Keras' defaults.
    pub fn new() -> Self {
        Self::default()
    }

    arguments! {
        /// Whether predictions are logits, not probabilities (default: no).
        from_logits: bool,
        /// Of each target this share is spread over all classes (default: 0).
        label_smoothing: f64,
        /// How the samples' losses become one number (default: `"sum_over_batch_size"`).
        reduction: LossReduction,
    }
}

impl Loss for CategoricalCrossentropy {
    fn name(&self) -> String {
        "categorical_crossentropy".to_string()
    }
    fn reduction(&self) -> LossReduction {
        self.reduction
    }
    fn target(&self, prediction: &TensorType) -> Result<Target> {
        smoothing(&self.name(), self.label_smoothing)?;
        classes(&self.name(), prediction)?;
        Ok(Target { ty: prediction.clone(), checks: Vec::new() })
    }
    fn call(&self, scope: &mut Scope, y_true: Value, y_pred: Value) -> Result<Value> {
        let (classes, _) = classes(&self.name(), scope.tensor_type(y_pred))?;
        let y_true = smooth(scope, y_true, self.label_smoothing, classes as f64)?;
        cross_entropy(scope, y_true, y_pred, false, self.from_logits)
    }
}

/// `-y_true * ln p - (1 - y_true) * ln(1 - p)`, its mean over the last axis. `keras.losses.BinaryCrossentropy`.
#[derive(Clone, Debug, Default)]
pub struct BinaryCrossentropy {
    from_logits: bool,
    label_smoothing: f64,
    reduction: LossReduction,
}

impl BinaryCrossentropy {
    /// With Keras' defaults.
    pub fn new() -> Self {
        Self::default()
    }

    arguments! {
        /// Whether predictions are logits, not probabilities (default: no).
        from_logits: bool,
        /// Each target is moved towards 1/2 by half of this share (default: 0).
        label_smoothing: f64,
        /// How the samples' losses become one number (default: `"sum_over_batch_size"`).
        reduction: LossReduction,
    }
}

impl Loss for BinaryCrossentropy {
    fn name(&self) -> String {
        "binary_crossentropy".to_string()
    }
    fn reduction(&self) -> LossReduction {
        self.reduction
    }
    fn target(&self, prediction: &TensorType) -> Result<Target> {
        smoothing(&self.name(), self.label_smoothing)?;
        Ok(Target { ty: prediction.clone(), checks: Vec::new() })
    }
    fn call(&self, scope: &mut Scope, y_true: Value, y_pred: Value) -> Result<Value> {
        let y_true = smooth(scope, y_true, self.label_smoothing, 2.0)?;
        let values =
            scope.add(composites::BinaryCrossEntropy { scores: scores(self.from_logits) }, &[y_true, y_pred])?;
        mean_last(scope, values)
    }
}

/// The number of classes of predictions, and their shape without the last axis.
fn classes(loss: &str, prediction: &TensorType) -> Result<(i64, Vec<kc_ir::Dim>)> {
    let known = prediction.shape.split_last().and_then(|(last, rest)| Some((last.as_constant()?, rest.to_vec())));
    match known {
        Some((classes, shape)) if !shape.is_empty() => Ok((classes, shape)),
        _ => Err(Error::model(format!(
            "loss `{loss}` takes predictions of shape (None, classes), the model's output is {}",
            shape_text(&prediction.shape)
        ))),
    }
}

fn smoothing(loss: &str, label_smoothing: f64) -> Result<()> {
    if (0.0..=1.0).contains(&label_smoothing) {
        return Ok(());
    }
    Err(Error::model(format!(
        "loss `{loss}`: `label_smoothing` is {label_smoothing}, expected a number between 0 and 1"
    )))
}

/// `y * (1 - share) + share / classes`
fn smooth(scope: &mut Scope, y: Value, share: f64, classes: f64) -> Result<Value> {
    if share == 0.0 {
        return Ok(y);
    }
    let kept = scope.binary_constant(Binary::Multiply, y, 1.0 - share)?;
    scope.binary_constant(Binary::Add, kept, share / classes)
}

/// What predictions are.
fn scores(from_logits: bool) -> Scores {
    if from_logits { Scores::Logits } else { Scores::Probabilities }
}

/// `-sum(target * ln p)` over the last axis; a sparse target holds class numbers.
fn cross_entropy(scope: &mut Scope, target: Value, output: Value, sparse: bool, from_logits: bool) -> Result<Value> {
    let axis = scope.tensor_type(output).rank().saturating_sub(1);
    let scores = scores(from_logits);
    Ok(scope.add(composites::CategoricalCrossEntropy { axis, sparse, scores }, &[target, output])?)
}
