//! Losses of margins: targets are -1 or 1 (or, all of them, 0 or 1).

use super::Loss;
use super::class::{common, formula, loss_class, mean_last, sum_last};
use crate::{Result, Scope};
use kc_ir::tensor::ops::Reduction;
use kc_ir::tensor::{Tensor, Value};

loss_class! {
    /// `mean(max(1 - y_true * y_pred, 0))` over the last axis. `keras.losses.Hinge`.
    Hinge "hinge" {}
}

impl Loss for Hinge {
    common!();
    fn call(&self, scope: &mut Scope, y_true: Value, y_pred: Value) -> Result<Value> {
        formula(scope, y_true, y_pred, |y_true, y_pred| mean_last(margin(y_true, y_pred)))
    }
}

loss_class! {
    /// `mean(max(1 - y_true * y_pred, 0)^2)` over the last axis. `keras.losses.SquaredHinge`.
    SquaredHinge "squared_hinge" {}
}

impl Loss for SquaredHinge {
    common!();
    fn call(&self, scope: &mut Scope, y_true: Value, y_pred: Value) -> Result<Value> {
        formula(scope, y_true, y_pred, |y_true, y_pred| mean_last(margin(y_true, y_pred).square()))
    }
}

/// `max(1 - y_true * y_pred, 0)`; where all targets are 0 or 1, 0 counts as -1.
fn margin<'s, 'b>(y_true: Tensor<'s, 'b>, y_pred: Tensor<'s, 'b>) -> Tensor<'s, 'b> {
    let all: Vec<usize> = (0..y_true.shape().len()).collect();
    let (zero, one) = (y_true.number(0.0), y_true.number(1.0));
    let is_binary = y_true.equal(0.0).or(y_true.equal(1.0)).select(one, zero).reduce(Reduction::Min, &all);
    let is_binary = is_binary.greater(0.0).broadcast_to(&y_true.shape());
    let y_true = is_binary.select(y_true * 2.0 - 1.0, y_true);
    (1.0 - y_true * y_pred).maximum(0.0)
}

loss_class! {
    /// `max(neg - pos + 1, 0)` with `pos = sum(y_true * y_pred)` and `neg = max((1 - y_true) * y_pred)` over the last axis.
    /// `keras.losses.CategoricalHinge`.
    CategoricalHinge "categorical_hinge" {}
}

impl Loss for CategoricalHinge {
    common!();
    fn call(&self, scope: &mut Scope, y_true: Value, y_pred: Value) -> Result<Value> {
        formula(scope, y_true, y_pred, |y_true, y_pred| {
            let last = y_pred.shape().len().saturating_sub(1);
            let positive = sum_last(y_true * y_pred);
            let negative = ((1.0 - y_true) * y_pred).reduce(Reduction::Max, &[last]);
            (negative - positive + 1.0).maximum(0.0)
        })
    }
}
