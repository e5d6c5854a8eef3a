//! Focal cross-entropies: those of easy samples weigh less (Lin et al., 2018).

use super::class::{common, formula, loss_class};
use super::crossentropy::{classes, mean_along, smoothing};
use super::{Axis, Loss, Target};
use crate::{Error, Result, Scope};
use kc_ir::TensorType;
use kc_ir::tensor::composites::{BinaryCrossEntropy, EPSILON, Scores, Softmax};
use kc_ir::tensor::{Literal, Scalar, Tensor, Value};

loss_class! {
    /// Binary cross-entropy times `(1 - p_t)^gamma`, with `p_t` the probability of what is true; the mean over an axis.
    /// `keras.losses.BinaryFocalCrossentropy`.
    BinaryFocalCrossentropy "binary_focal_crossentropy" {
        /// Whether the two classes are weighted by `alpha` and `1 - alpha` (default: no).
        apply_class_balancing: bool = false,
        /// The weight of the class 1 (default: 0.25).
        alpha: f64 = 0.25,
        /// The exponent (default: 2).
        gamma: f64 = 2.0,
        /// Whether predictions are logits, not probabilities (default: no).
        from_logits: bool = false,
        /// Each target is moved towards 1/2 by half of this share (default: 0).
        label_smoothing: f64 = 0.0,
        /// The axis of the mean; below 0 it counts from the last (default: -1).
        axis: Axis = Axis(-1),
    }
}

impl Loss for BinaryFocalCrossentropy {
    common!();
    fn target(&self, prediction: &TensorType) -> Result<Target> {
        smoothing(&Loss::name(self), self.label_smoothing)?;
        Ok(Target { ty: prediction.clone(), checks: Vec::new() })
    }
    fn call(&self, scope: &mut Scope, y_true: Value, y_pred: Value) -> Result<Value> {
        let losses = formula(scope, y_true, y_pred, |y_true, y_pred| {
            let y_true = smooth(y_true, self.label_smoothing, 2.0);
            let p = if self.from_logits { y_pred.logistic() } else { y_pred };
            let entropy = p.scope().op(BinaryCrossEntropy { scores: Scores::Probabilities }, &[y_true, p]);
            let true_share = y_true * p + (1.0 - y_true) * (1.0 - p);
            let focal = (1.0 - true_share).power(self.gamma) * entropy;
            if self.apply_class_balancing {
                (y_true * self.alpha + (1.0 - y_true) * (1.0 - self.alpha)) * focal
            } else {
                focal
            }
        })?;
        mean_along(scope, losses, self.axis)
    }
}

loss_class! {
    /// `-sum(alpha * (1 - p)^gamma * y_true * ln p)` over an axis. `keras.losses.CategoricalFocalCrossentropy`.
    CategoricalFocalCrossentropy "categorical_focal_crossentropy" {
        /// The weight of all classes, or one a class (default: 0.25).
        alpha: Alpha = Alpha(vec![0.25]),
        /// The exponent (default: 2).
        gamma: f64 = 2.0,
        /// Whether predictions are logits, not probabilities (default: no).
        from_logits: bool = false,
        /// Of each target this share is spread over all classes (default: 0).
        label_smoothing: f64 = 0.0,
        /// The axis of the classes; below 0 it counts from the last (default: -1).
        axis: Axis = Axis(-1),
    }
}

/// One weight for all classes, or one a class: `0.25`, `[0.25, 0.5]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Alpha(Vec<f64>);

impl From<f64> for Alpha {
    fn from(alpha: f64) -> Self {
        Alpha(vec![alpha])
    }
}

impl<const N: usize> From<[f64; N]> for Alpha {
    fn from(alpha: [f64; N]) -> Self {
        Alpha(alpha.into())
    }
}

impl Loss for CategoricalFocalCrossentropy {
    common!();
    fn target(&self, prediction: &TensorType) -> Result<Target> {
        let name = Loss::name(self);
        smoothing(&name, self.label_smoothing)?;
        let (classes, _) = classes(&name, prediction)?;
        let weights = self.alpha.0.len();
        if weights != 1 && weights as i64 != classes {
            return Err(Error::model(format!(
                "loss `{name}`: `alpha` has {weights} weights for {classes} classes, expected 1 or {classes}"
            )));
        }
        Ok(Target { ty: prediction.clone(), checks: Vec::new() })
    }
    fn call(&self, scope: &mut Scope, y_true: Value, y_pred: Value) -> Result<Value> {
        let ty = scope.tensor_type(y_pred).clone();
        self.target(&ty)?;
        let (classes, _) = classes(&Loss::name(self), &ty)?;
        let axis = self.axis.resolve(&ty)?;
        let weights = self.alpha.0.iter().map(|&weight| Scalar::Float(weight));
        let alpha = scope.constant(Literal::from_scalars(ty.dtype, vec![self.alpha.0.len()], weights))?;
        formula(scope, y_true, y_pred, |y_true, y_pred| {
            let y_true = smooth(y_true, self.label_smoothing, classes as f64);
            let p = if self.from_logits { y_pred.with_op(Softmax { axis }) } else { y_pred };
            let p = (p / p.sum_keep(&[axis])).clip(EPSILON, 1.0 - EPSILON);
            let weight = (1.0 - p).power(self.gamma) * p.scope().tensor(alpha);
            (weight * -y_true * p.log()).sum(&[axis])
        })
    }
}

/// `y * (1 - share) + share / classes`
fn smooth<'s, 'b>(y: Tensor<'s, 'b>, share: f64, classes: f64) -> Tensor<'s, 'b> {
    if share == 0.0 { y } else { y * (1.0 - share) + share / classes }
}
