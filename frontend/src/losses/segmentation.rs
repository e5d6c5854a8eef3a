//! Losses of overlaps: one number for all samples, or one an index of the axes that are kept.

use super::Loss;
use super::class::{common, formula, loss_class};
use crate::layers::Axes;
use crate::{Result, Scope};
use kc_ir::TensorType;
use kc_ir::tensor::Value;
use kc_ir::tensor::composites::EPSILON;

/// The axes that an overlap is summed over: `-1`, `[1, 2]`, or all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summed(Option<Axes>);

impl<A: Into<Axes>> From<A> for Summed {
    fn from(axes: A) -> Self {
        Summed(Some(axes.into()))
    }
}

impl Summed {
    fn resolve(&self, ty: &TensorType) -> Result<Vec<usize>> {
        match &self.0 {
            Some(axes) => axes.of(ty, "axis"),
            None => Ok((0..ty.rank()).collect()),
        }
    }
}

loss_class! {
    /// `1 - 2 sum(y_true * y_pred) / (sum(y_true) + sum(y_pred))`. `keras.losses.Dice`.
    Dice "dice" {
        /// The axes of the sums (default: all).
        axis: Summed = Summed(None),
    }
}

impl Loss for Dice {
    common!();
    fn call(&self, scope: &mut Scope, y_true: Value, y_pred: Value) -> Result<Value> {
        let axes = self.axis.resolve(scope.tensor_type(y_pred))?;
        formula(scope, y_true, y_pred, |y_true, y_pred| {
            let intersection = (y_true * y_pred).sum(&axes);
            1.0 - intersection * 2.0 / (y_true.sum(&axes) + y_pred.sum(&axes) + EPSILON)
        })
    }
}

loss_class! {
    /// `1 - i / (i + alpha * p + beta * n)` with `i = sum(y_true * y_pred)`, `p = sum(y_true * (1 - y_pred))` and
    /// `n = sum((1 - y_true) * y_pred)`. `keras.losses.Tversky`.
    Tversky "tversky" {
        /// The weight of what is missed (default: 0.5).
        alpha: f64 = 0.5,
        /// The weight of what is predicted wrongly (default: 0.5).
        beta: f64 = 0.5,
        /// The axes of the sums (default: all).
        axis: Summed = Summed(None),
    }
}

impl Loss for Tversky {
    common!();
    fn call(&self, scope: &mut Scope, y_true: Value, y_pred: Value) -> Result<Value> {
        let axes = self.axis.resolve(scope.tensor_type(y_pred))?;
        let (alpha, beta) = (self.alpha, self.beta);
        formula(scope, y_true, y_pred, |y_true, y_pred| {
            let intersection = (y_true * y_pred).sum(&axes);
            let missed = ((1.0 - y_pred) * y_true).sum(&axes);
            let wrong = (y_pred * (1.0 - y_true)).sum(&axes);
            1.0 - intersection / (intersection + missed * alpha + wrong * beta + EPSILON)
        })
    }
}
