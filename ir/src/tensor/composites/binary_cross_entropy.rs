//! Binary cross-entropy as Keras computes it.

use super::{Composition, EPSILON, Scores};
use crate::tensor::ops::{Backward, Cotangents};
use crate::tensor::{Builder, Tensor, TypeError, Value, express};
use serde::{Deserialize, Serialize};

/// `-target * log p - (1 - target) * log(1 - p)`, element by element.
///
/// Operands: the target and the scores, both of one floating-point type. Logits give `p` by the logistic function.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BinaryCrossEntropy {
    /// What the scores are.
    pub scores: Scores,
}

/// `ln(1 / (1 + e^-x))` without overflow.
fn log_logistic<'s, 'b>(x: Tensor<'s, 'b>) -> Tensor<'s, 'b> {
    x.minimum(0.0) - (-x.abs()).exp().log1p()
}

impl Composition for BinaryCrossEntropy {
    fn name(&self) -> &'static str {
        "binary_cross_entropy"
    }

    fn body(&self, b: &mut Builder, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
        let [target, scores] = b.operands(self.name(), operands)?;
        let (target_type, scores_type) = (b.tensor_type(target), b.tensor_type(scores));
        if target_type != scores_type {
            let message = format!("the target is {target_type}, the scores are {scores_type}, expected one type");
            return Err(TypeError::new(self.name(), message));
        }
        express(b, |scope| {
            let (target, scores) = (scope.tensor(target), scope.tensor(scores));
            let clipped = |p: Tensor<'_, '_>| p.maximum(EPSILON).minimum(1.0 - EPSILON).value();
            let of_probability = |p: Tensor<'_, '_>| {
                let p = scope.tensor(clipped(p));
                -(target * p.log() + (1.0 - target) * (1.0 - p).log())
            };
            let loss = match self.scores {
                Scores::Probabilities => of_probability(scores),
                Scores::ClippedLogits => of_probability(scores.logistic()),
                Scores::Logits => -target * log_logistic(scores) - (1.0 - target) * log_logistic(-scores),
            };
            vec![loss.value()]
        })
    }

    /// Of logits: `(p - target) * g` for the scores, `-scores * g` for the target.
    fn gradient(&self, b: &mut Builder, at: &Backward<'_>) -> Result<Option<Cotangents>, TypeError> {
        let g = at.cotangent(self.name())?;
        match self.scores {
            Scores::Probabilities | Scores::ClippedLogits => Ok(None),
            Scores::Logits => {
                let cotangents = express(b, |scope| {
                    let [target, scores, g] = [at.operands[0], at.operands[1], g].map(|value| scope.tensor(value));
                    vec![Some((-scores * g).value()), Some(((scores.logistic() - target) * g).value())]
                });
                cotangents.map(Some)
            }
        }
    }
}
