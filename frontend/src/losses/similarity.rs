//! Losses between samples of a batch.

use super::class::{common, loss_class};
use super::{Loss, Target};
use crate::{Error, Result, Scope, shape_text};
use kc_ir::tensor::composites::{LogSumExp, Softplus};
use kc_ir::tensor::ops::DotGeneral;
use kc_ir::tensor::{Tensor, Value, express};
use kc_ir::{DType, TensorType};

loss_class! {
    /// The circle loss of normalised embeddings `[B, n]` and the samples' classes `[B]` (Sun et al., 2020); samples without loss
    /// do not count in the mean. `keras.losses.Circle`.
    Circle "circle" {
        /// The scale (default: 80).
        gamma: f64 = 80.0,
        /// How far similarities may be from their optimum (default: 0.4).
        margin: f64 = 0.4,
        /// Whether a sample is not compared with itself (default: yes).
        remove_diagonal: bool = true,
    }
}

impl Loss for Circle {
    common!();

    /// The classes: integers `[B]`.
    fn target(&self, prediction: &TensorType) -> Result<Target> {
        match prediction.shape.as_slice() {
            [batch, _] => {
                let ty = TensorType { dtype: DType::I32, shape: vec![batch.clone()] };
                Ok(Target { ty, checks: Vec::new() })
            }
            shape => Err(Error::model(format!(
                "loss `{}` takes predictions of shape (None, features), the model's output is {}",
                Loss::name(self),
                shape_text(shape)
            ))),
        }
    }

    fn call(&self, scope: &mut Scope, y_true: Value, y_pred: Value) -> Result<Value> {
        self.target(scope.tensor_type(y_pred))?;
        let labels = scope.convert(DType::I32, y_true)?;
        let batch = scope.tensor_type(y_pred).shape[0].clone();
        let labels = scope.reshape(labels, std::slice::from_ref(&batch))?;
        let contraction =
            DotGeneral { lhs_batch: vec![], rhs_batch: vec![], lhs_contract: vec![1], rhs_contract: vec![1] };
        let (gamma, margin) = (self.gamma, self.margin);
        Ok(express(scope, |tensors| {
            let (labels, y_pred) = (tensors.tensor(labels), tensors.tensor(y_pred));
            let pairs = [batch.clone(), batch];
            let distance = (1.0 - tensors.op(contraction, &[y_pred, y_pred])).maximum(0.0);
            let same = labels.broadcast(&pairs, &[0]).equal(labels.broadcast(&pairs, &[1]));
            let differs = labels.broadcast(&pairs, &[0]).not_equal(labels.broadcast(&pairs, &[1]));
            let positive = if self.remove_diagonal {
                same.and(labels.positions(&pairs, 0).not_equal(labels.positions(&pairs, 1)))
            } else {
                same
            };
            let near = (distance + margin).maximum(0.0) * (margin - distance) * -gamma;
            let far = (1.0 + margin - distance).maximum(0.0) * (1.0 - margin - distance) * gamma;
            (total(positive, near) + total(differs, far)).with_op(Softplus {}).value()
        })?)
    }

    fn mask(&self, scope: &mut Scope, _: Value, _: Value, losses: Value) -> Result<Option<Value>> {
        Ok(Some(express(scope, |tensors| tensors.tensor(losses).greater(0.0).value())?))
    }
}

/// `ln sum e^score` over the pairs of each sample that are kept.
fn total<'s, 'b>(kept: Tensor<'s, 'b>, scores: Tensor<'s, 'b>) -> Tensor<'s, 'b> {
    kept.select(scores, f64::NEG_INFINITY).with_op(LogSumExp { axes: vec![1] })
}
