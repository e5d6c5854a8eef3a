//! Losses between distributions.

use super::class::{common, formula, loss_class, mean_last, sum_last};
use super::crossentropy::{class_numbers, class_target, classes};
use super::{Loss, Target};
use crate::{Error, Result, Scope};
use kc_ir::TensorType;
use kc_ir::tensor::composites::EPSILON;
use kc_ir::tensor::{Value, express};

loss_class! {
    /// `sum(y_true * ln(y_true / y_pred))` over the last axis, with both at least [`EPSILON`] and at most 1.
    /// `keras.losses.KLDivergence`.
    KLDivergence "kl_divergence" {}
}

impl Loss for KLDivergence {
    common!();
    fn call(&self, scope: &mut Scope, y_true: Value, y_pred: Value) -> Result<Value> {
        formula(scope, y_true, y_pred, |y_true, y_pred| {
            let (y_true, y_pred) = (y_true.clip(EPSILON, 1.0), y_pred.clip(EPSILON, 1.0));
            sum_last(y_true * (y_true / y_pred).log())
        })
    }
}

loss_class! {
    /// `mean(y_pred - y_true * ln y_pred)` over the last axis. `keras.losses.Poisson`.
    Poisson "poisson" {}
}

impl Loss for Poisson {
    common!();
    fn call(&self, scope: &mut Scope, y_true: Value, y_pred: Value) -> Result<Value> {
        formula(scope, y_true, y_pred, |y_true, y_pred| mean_last(y_pred - y_true * (y_pred + EPSILON).log()))
    }
}

loss_class! {
    /// `(1 - p^q) / q` with `p` the probability of the true class, an integer: between cross-entropy (`q` towards 0) and the mean
    /// absolute error (`q` towards 1). `keras.losses.CategoricalGeneralizedCrossEntropy`.
    CategoricalGeneralizedCrossEntropy "categorical_generalized_cross_entropy" {
        /// The exponent, between 0 and 1 (default: 0.5).
        q: f64 = 0.5,
    }
}

impl Loss for CategoricalGeneralizedCrossEntropy {
    common!();
    /// Integers `[B, ...]`: the predictions' shape without the last axis.
    fn target(&self, prediction: &TensorType) -> Result<Target> {
        if !(self.q > 0.0 && self.q < 1.0) {
            let (loss, q) = (Loss::name(self), self.q);
            return Err(Error::model(format!("loss `{loss}`: `q` is {q}, expected a number between 0 and 1")));
        }
        class_target(&Loss::name(self), prediction)
    }
    fn call(&self, scope: &mut Scope, y_true: Value, y_pred: Value) -> Result<Value> {
        classes(&Loss::name(self), scope.tensor_type(y_pred))?;
        let y_true = class_numbers(scope, y_true, y_pred)?;
        Ok(express(scope, |tensors| {
            let (y_true, y_pred) = (tensors.tensor(y_true), tensors.tensor(y_pred));
            let last = y_pred.shape().len() - 1;
            let hit = y_true.broadcast_along(&y_pred.shape(), &[last]).equal(y_true.positions(&y_pred.shape(), last));
            let p = hit.select(y_pred, 0.0).sum(&[last]);
            ((1.0 - p.power(self.q)) / self.q).value()
        })?)
    }
}
