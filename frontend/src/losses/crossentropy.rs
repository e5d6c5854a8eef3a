//! Cross-entropies. From probabilities they are what Keras computes on JAX: the probabilities of classes are divided by their
//! sum, and all are kept [`EPSILON`](composites::EPSILON) away from 0 and 1. That a softmax before them can be fused into a stable form is a matter of
//! graph rules.

use super::class::{common, loss_class, to_same_rank};
use super::{Axis, Loss, Target};
use crate::{Error, Result, Scope, shape_text};
use kc_ir::manifest::ValueCheck;
use kc_ir::tensor::Value;
use kc_ir::tensor::composites::{self, Scores};
use kc_ir::tensor::ops::{Binary, Compare, Reduction};
use kc_ir::{DType, Dim, TensorType};

loss_class! {
    /// `-ln p[class]`, with the true class as an integer. `keras.losses.SparseCategoricalCrossentropy`.
    SparseCategoricalCrossentropy "sparse_categorical_crossentropy" {
        /// Whether predictions are logits, not probabilities (default: no).
        from_logits: bool = false,
        /// A class whose samples have no loss and do not count in the mean (default: none); it may be below 0.
        ignore_class: Option<i64> = None,
        /// The axis of the classes; below 0 it counts from the last (default: -1).
        axis: Axis = Axis(-1),
    }
}

impl SparseCategoricalCrossentropy {
    /// Where the true class is not the ignored one; `None` where no class is ignored.
    fn counted(&self, scope: &mut Scope, classes: Value) -> Result<Option<Value>> {
        let Some(ignored) = self.ignore_class else { return Ok(None) };
        let ignored = scope.splat_like(ignored, classes)?;
        Ok(Some(scope.compare(Compare::NotEqual, classes, ignored)?))
    }
}

impl Loss for SparseCategoricalCrossentropy {
    common!();
    /// Integers `[B, ...]`: the predictions' shape without the axis of the classes.
    fn target(&self, prediction: &TensorType) -> Result<Target> {
        let mut target = class_target_of(&Loss::name(self), prediction, self.axis)?;
        if self.ignore_class.is_some() {
            target.checks.clear();
        }
        Ok(target)
    }
    fn call(&self, scope: &mut Scope, y_true: Value, y_pred: Value) -> Result<Value> {
        let ty = scope.tensor_type(y_pred).clone();
        let axis = self.axis.resolve(&ty)?;
        let mut classes = class_numbers_along(scope, y_true, y_pred, axis)?;
        let mut scores = y_pred;
        let counted = self.counted(scope, classes)?;
        if let Some(counted) = counted {
            let zero = scope.splat_like(0i64, classes)?;
            classes = scope.select(counted, classes, zero)?;
            let axes: Vec<usize> = (0..ty.rank()).filter(|&kept| kept != axis).collect();
            let along = scope.broadcast(counted, &ty.shape, &axes)?;
            let zero = scope.splat_like(0.0, scores)?;
            scores = scope.select(along, scores, zero)?;
        }
        let losses = cross_entropy(scope, classes, scores, axis, Targets::Classes, self.from_logits)?;
        let Some(counted) = counted else { return Ok(losses) };
        let zero = scope.splat_like(0.0, losses)?;
        Ok(scope.select(counted, losses, zero)?)
    }
    fn mask(&self, scope: &mut Scope, y_true: Value, y_pred: Value, _: Value) -> Result<Option<Value>> {
        let axis = self.axis.resolve(scope.tensor_type(y_pred))?;
        let classes = class_numbers_along(scope, y_true, y_pred, axis)?;
        self.counted(scope, classes)
    }
}

loss_class! {
    /// `-sum(y_true * ln p)`, with the true classes as probabilities. `keras.losses.CategoricalCrossentropy`.
    CategoricalCrossentropy "categorical_crossentropy" {
        /// Whether predictions are logits, not probabilities (default: no).
        from_logits: bool = false,
        /// Of each target this share is spread over all classes (default: 0).
        label_smoothing: f64 = 0.0,
        /// The axis of the classes; below 0 it counts from the last (default: -1).
        axis: Axis = Axis(-1),
    }
}

impl Loss for CategoricalCrossentropy {
    common!();
    fn target(&self, prediction: &TensorType) -> Result<Target> {
        smoothing(&Loss::name(self), self.label_smoothing)?;
        classes(&Loss::name(self), prediction)?;
        Ok(Target { ty: prediction.clone(), checks: Vec::new() })
    }
    fn call(&self, scope: &mut Scope, y_true: Value, y_pred: Value) -> Result<Value> {
        let (classes, _) = classes(&Loss::name(self), scope.tensor_type(y_pred))?;
        let (y_true, y_pred) = like(scope, y_true, y_pred)?;
        let y_true = smooth(scope, y_true, self.label_smoothing, classes as f64)?;
        let axis = self.axis.resolve(scope.tensor_type(y_pred))?;
        cross_entropy(scope, y_true, y_pred, axis, Targets::Probabilities, self.from_logits)
    }
}

loss_class! {
    /// `-y_true * ln p - (1 - y_true) * ln(1 - p)`, its mean over an axis. `keras.losses.BinaryCrossentropy`.
    BinaryCrossentropy "binary_crossentropy" {
        /// Whether predictions are logits, not probabilities (default: no).
        from_logits: bool = false,
        /// Each target is moved towards 1/2 by half of this share (default: 0).
        label_smoothing: f64 = 0.0,
        /// The axis of the mean; below 0 it counts from the last (default: -1).
        axis: Axis = Axis(-1),
    }
}

impl Loss for BinaryCrossentropy {
    common!();
    fn target(&self, prediction: &TensorType) -> Result<Target> {
        smoothing(&Loss::name(self), self.label_smoothing)?;
        Ok(Target { ty: prediction.clone(), checks: Vec::new() })
    }
    fn call(&self, scope: &mut Scope, y_true: Value, y_pred: Value) -> Result<Value> {
        let (y_true, y_pred) = like(scope, y_true, y_pred)?;
        let y_true = smooth(scope, y_true, self.label_smoothing, 2.0)?;
        let values =
            scope.add(composites::BinaryCrossEntropy { scores: scores(self.from_logits) }, &[y_true, y_pred])?;
        mean_along(scope, values, self.axis)
    }
}

/// The number of classes of predictions, and their shape without the last axis.
pub(super) fn classes(loss: &str, prediction: &TensorType) -> Result<(i64, Vec<Dim>)> {
    let known = prediction.shape.split_last().and_then(|(last, rest)| Some((last.as_constant()?, rest.to_vec())));
    match known {
        Some((classes, shape)) if !shape.is_empty() => Ok((classes, shape)),
        _ => Err(Error::model(format!(
            "loss `{loss}` takes predictions of shape (None, classes), the model's output is {}",
            shape_text(&prediction.shape)
        ))),
    }
}

/// Class numbers: integers of the predictions' shape without the last axis.
pub(super) fn class_target(loss: &str, prediction: &TensorType) -> Result<Target> {
    class_target_of(loss, prediction, Axis(-1))
}

fn class_target_of(loss: &str, prediction: &TensorType, axis: Axis) -> Result<Target> {
    classes(loss, prediction)?;
    let axis = axis.resolve(prediction)?;
    let mut shape = prediction.shape.clone();
    let checks = shape.remove(axis).as_constant().map(|classes| ValueCheck::ClassLabels { classes });
    Ok(Target { ty: TensorType { dtype: DType::I32, shape }, checks: checks.into_iter().collect() })
}

/// Targets as class numbers: integers of the predictions' shape without the last axis.
pub(super) fn class_numbers(scope: &mut Scope, y_true: Value, y_pred: Value) -> Result<Value> {
    let last = scope.tensor_type(y_pred).rank().saturating_sub(1);
    class_numbers_along(scope, y_true, y_pred, last)
}

fn class_numbers_along(scope: &mut Scope, y_true: Value, y_pred: Value, axis: usize) -> Result<Value> {
    let (given, prediction) = (scope.tensor_type(y_true).clone(), scope.tensor_type(y_pred).clone());
    let y_true = if given.dtype.is_integer() { y_true } else { scope.convert(DType::I32, y_true)? };
    // one class number where the predictions have classes
    if given.rank() == prediction.rank() && given.shape.get(axis).is_some_and(|extent| extent.is(1)) {
        let mut shape = given.shape;
        shape.remove(axis);
        return Ok(scope.reshape(y_true, &shape)?);
    }
    Ok(y_true)
}

/// Targets of the predictions' dtype and rank.
pub(super) fn like(scope: &mut Scope, y_true: Value, y_pred: Value) -> Result<(Value, Value)> {
    let dtype = scope.tensor_type(y_pred).dtype;
    let y_true = scope.convert(dtype, y_true)?;
    to_same_rank(scope, y_true, y_pred)
}

pub(super) fn smoothing(loss: &str, label_smoothing: f64) -> Result<()> {
    if (0.0..=1.0).contains(&label_smoothing) {
        return Ok(());
    }
    Err(Error::model(format!(
        "loss `{loss}`: `label_smoothing` is {label_smoothing}, expected a number between 0 and 1"
    )))
}

/// `y * (1 - share) + share / classes`
pub(super) fn smooth(scope: &mut Scope, y: Value, share: f64, classes: f64) -> Result<Value> {
    if share == 0.0 {
        return Ok(y);
    }
    let kept = scope.binary_constant(Binary::Multiply, y, 1.0 - share)?;
    scope.binary_constant(Binary::Add, kept, share / classes)
}

/// The mean over an axis.
pub(super) fn mean_along(scope: &mut Scope, x: Value, axis: Axis) -> Result<Value> {
    let ty = scope.tensor_type(x).clone();
    if ty.rank() == 0 {
        return Ok(x);
    }
    let axis = axis.resolve(&ty)?;
    let sum = scope.reduce(Reduction::Sum, &[axis], x)?;
    let extent = scope.dimension(ty.shape[axis].clone(), ty.dtype)?;
    Ok(scope.binary(Binary::Divide, sum, extent)?)
}

/// What predictions are.
fn scores(from_logits: bool) -> Scores {
    if from_logits { Scores::Logits } else { Scores::Probabilities }
}

/// What targets are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Targets {
    Classes,
    Probabilities,
}

/// `-sum(target * ln p)` over the axis.
fn cross_entropy(
    scope: &mut Scope,
    target: Value,
    output: Value,
    axis: usize,
    kind: Targets,
    from_logits: bool,
) -> Result<Value> {
    let loss =
        composites::CategoricalCrossEntropy { axis, sparse: kind == Targets::Classes, scores: scores(from_logits) };
    Ok(scope.add(loss, &[target, output])?)
}
