//! Losses between numbers.

use super::class::{common, formula, loss_class, mean_last};
use super::{Axis, Loss};
use crate::{Result, Scope};
use kc_ir::tensor::composites::{EPSILON, Softplus};
use kc_ir::tensor::{Tensor, Value};

loss_class! {
    /// `mean((y_true - y_pred)^2)` over the last axis. `keras.losses.MeanSquaredError`.
    MeanSquaredError "mean_squared_error" {}
}

impl Loss for MeanSquaredError {
    common!();
    fn call(&self, scope: &mut Scope, y_true: Value, y_pred: Value) -> Result<Value> {
        formula(scope, y_true, y_pred, |y_true, y_pred| mean_last((y_true - y_pred).square()))
    }
}

loss_class! {
    /// `mean(|y_true - y_pred|)` over the last axis. `keras.losses.MeanAbsoluteError`.
    MeanAbsoluteError "mean_absolute_error" {}
}

impl Loss for MeanAbsoluteError {
    common!();
    fn call(&self, scope: &mut Scope, y_true: Value, y_pred: Value) -> Result<Value> {
        formula(scope, y_true, y_pred, |y_true, y_pred| mean_last((y_true - y_pred).abs()))
    }
}

loss_class! {
    /// `100 mean(|y_true - y_pred| / |y_true|)` over the last axis. `keras.losses.MeanAbsolutePercentageError`.
    MeanAbsolutePercentageError "mean_absolute_percentage_error" {}
}

impl Loss for MeanAbsolutePercentageError {
    common!();
    fn call(&self, scope: &mut Scope, y_true: Value, y_pred: Value) -> Result<Value> {
        formula(scope, y_true, y_pred, |y_true, y_pred| {
            mean_last(((y_true - y_pred) / y_true.abs().maximum(EPSILON)).abs()) * 100.0
        })
    }
}

loss_class! {
    /// `mean((ln(1 + y_true) - ln(1 + y_pred))^2)` over the last axis. `keras.losses.MeanSquaredLogarithmicError`.
    MeanSquaredLogarithmicError "mean_squared_logarithmic_error" {}
}

impl Loss for MeanSquaredLogarithmicError {
    common!();
    fn call(&self, scope: &mut Scope, y_true: Value, y_pred: Value) -> Result<Value> {
        formula(scope, y_true, y_pred, |y_true, y_pred| mean_last((log_above(y_pred) - log_above(y_true)).square()))
    }
}

/// `ln(1 + y)` with `y` at least [`EPSILON`].
fn log_above<'s, 'b>(y: Tensor<'s, 'b>) -> Tensor<'s, 'b> {
    (y.maximum(EPSILON) + 1.0).log()
}

loss_class! {
    /// `-sum(u_true * u_pred)` along an axis, with `u` the vectors divided by their norms. `keras.losses.CosineSimilarity`.
    CosineSimilarity "cosine_similarity" {
        /// The axis of the vectors; below 0 it counts from the last (default: -1).
        axis: Axis = Axis(-1),
    }
}

impl Loss for CosineSimilarity {
    common!();
    fn call(&self, scope: &mut Scope, y_true: Value, y_pred: Value) -> Result<Value> {
        let axis = self.axis.resolve(scope.tensor_type(y_pred))?;
        formula(scope, y_true, y_pred, |y_true, y_pred| -(unit(y_true, axis) * unit(y_pred, axis)).sum(&[axis]))
    }
}

/// `x / norm(x)` along an axis; norms below [`EPSILON`] count as that.
fn unit<'s, 'b>(x: Tensor<'s, 'b>, axis: usize) -> Tensor<'s, 'b> {
    x * x.square().sum_keep(&[axis]).maximum(EPSILON * EPSILON).rsqrt()
}

loss_class! {
    /// Of the difference `d = y_pred - y_true`: `d^2 / 2` where `|d| <= delta`, else `delta |d| - delta^2 / 2`; the mean over the
    /// last axis. `keras.losses.Huber`.
    Huber "huber_loss" {
        /// Where the square ends (default: 1).
        delta: f64 = 1.0,
    }
}

impl Loss for Huber {
    common!();
    fn call(&self, scope: &mut Scope, y_true: Value, y_pred: Value) -> Result<Value> {
        let delta = self.delta;
        formula(scope, y_true, y_pred, |y_true, y_pred| {
            let error = y_pred - y_true;
            let size = error.abs();
            mean_last(size.less_equal(delta).select(error.square() * 0.5, size * delta - 0.5 * delta * delta))
        })
    }
}

loss_class! {
    /// `mean(ln cosh(y_pred - y_true))` over the last axis. `keras.losses.LogCosh`.
    LogCosh "log_cosh" {}
}

impl Loss for LogCosh {
    common!();
    fn call(&self, scope: &mut Scope, y_true: Value, y_pred: Value) -> Result<Value> {
        formula(scope, y_true, y_pred, |y_true, y_pred| {
            let error = y_pred - y_true;
            mean_last(error + (error * -2.0).with_op(Softplus {}) - std::f64::consts::LN_2)
        })
    }
}
