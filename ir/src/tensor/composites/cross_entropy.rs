//! Categorical cross-entropy as Keras computes it, its gradient, and both at once.

use super::Composition;
use crate::tensor::literal::round;
use crate::tensor::ops::{Backward, Binary, Compare, Cotangents, Iota, Reduction, Unary};
use crate::tensor::{Builder, Scalar, TypeError, Value};
use kc_abi::TensorType;
use serde::{Deserialize, Serialize};

/// Keras' `backend.epsilon()`: probabilities are clipped to `[EPSILON, 1 - EPSILON]` before their logarithm.
pub const EPSILON: f64 = 1e-7;

/// What the second operand of a categorical cross-entropy holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scores {
    /// Probabilities: divided by their sum, then clipped (Keras' `from_logits=False`).
    Probabilities,
    /// Logits: the logarithm is that of their softmax (Keras' `from_logits=True`).
    Logits,
    /// Logits whose softmax is clipped as probabilities are.
    ClippedLogits,
}

/// `-sum(target * log p)` along an axis: one result an index of the other axes.
///
/// Operands: the target, then the scores (float). A sparse target holds class numbers (an integer type, the scores' shape
/// without the axis; a number outside of the axis counts for nothing), a dense one weights of the classes (the scores' type).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CategoricalCrossEntropy {
    /// The axis of the classes.
    pub axis: usize,
    /// Whether the target holds class numbers.
    pub sparse: bool,
    /// What the scores are.
    pub scores: Scores,
}

/// The gradient of [`CategoricalCrossEntropy`] by the scores: operands are those of the loss and the loss' cotangent. Scores that
/// were clipped have none.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CategoricalCrossEntropyGradient {
    /// The loss.
    pub loss: CategoricalCrossEntropy,
}

/// [`CategoricalCrossEntropy`] and its gradient by the scores for a cotangent of 1, from one pass over the scores.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CategoricalCrossEntropyWithGradient {
    /// The loss.
    pub loss: CategoricalCrossEntropy,
}

/// Values that loss and gradient share, all of the scores' type.
struct Parts {
    /// Dense target.
    target: Value,
    /// Logarithm of the probabilities.
    log: Value,
}

impl CategoricalCrossEntropy {
    /// A sparse target as a dense one.
    fn dense_target(&self, b: &mut Builder, target: Value, scores: Value) -> Result<Value, TypeError> {
        let ty = b.tensor_type(scores).clone();
        if !self.sparse {
            return Ok(target);
        }
        let given = b.tensor_type(target).clone();
        let mut shape = ty.shape.clone();
        if self.axis >= shape.len() {
            return Err(TypeError::new(self.name(), format!("axis {} is out of range for {ty}", self.axis)));
        }
        shape.remove(self.axis);
        if !given.dtype.is_integer() || given.shape != shape {
            let expected = TensorType { dtype: given.dtype, shape };
            return Err(TypeError::new(
                self.name(),
                format!("the target is {given}, expected class numbers of an integer type and shape {expected}"),
            ));
        }
        let classes =
            b.add(Iota { ty: TensorType { dtype: given.dtype, shape: ty.shape.clone() }, axis: self.axis }, &[])?;
        let axes: Vec<usize> = (0..ty.rank()).filter(|&axis| axis != self.axis).collect();
        let target = b.broadcast(target, &ty.shape, &axes)?;
        let hit = b.compare(Compare::Equal, target, classes)?;
        b.convert(ty.dtype, hit)
    }

    fn parts(&self, b: &mut Builder, target: Value, scores: Value) -> Result<Parts, TypeError> {
        let target = self.dense_target(b, target, scores)?;
        let log = match self.scores {
            Scores::Probabilities => {
                let (_, share) = self.shares(b, scores)?;
                let (low, high) = self.limits(b, scores);
                let clipped = clip(b, share, low, high)?;
                b.unary(Unary::Log, clipped)?
            }
            Scores::Logits => b.add(super::LogSoftmax { axis: self.axis }, &[scores])?,
            Scores::ClippedLogits => {
                let log = b.add(super::LogSoftmax { axis: self.axis }, &[scores])?;
                let (low, high) = self.limits(b, scores);
                clip(b, log, low.ln(), high.ln())?
            }
        };
        Ok(Parts { target, log })
    }

    /// The sum of the scores, repeated along the axis, and each score's share of it.
    fn shares(&self, b: &mut Builder, scores: Value) -> Result<(Value, Value), TypeError> {
        let sum = b.reduce_keep(Reduction::Sum, &[self.axis], scores)?;
        Ok((sum, b.binary(Binary::Divide, scores, sum)?))
    }

    /// Where probabilities are clipped, rounded to the scores' dtype.
    fn limits(&self, b: &Builder, scores: Value) -> (f64, f64) {
        let dtype = b.tensor_type(scores).dtype;
        let rounded = |x: f64| round(dtype, Scalar::Float(x)).to_f64();
        (rounded(EPSILON), rounded(1.0 - EPSILON))
    }

    fn value(&self, b: &mut Builder, parts: &Parts) -> Result<Value, TypeError> {
        let product = b.binary(Binary::Multiply, parts.target, parts.log)?;
        let sum = b.reduce(Reduction::Sum, &[self.axis], product)?;
        b.unary(Unary::Negate, sum)
    }

    /// The gradient by the scores for a cotangent of 1.
    fn unit_gradient(&self, b: &mut Builder, target: Value, scores: Value) -> Result<Value, TypeError> {
        let target = self.dense_target(b, target, scores)?;
        let (low, high) = self.limits(b, scores);
        match self.scores {
            // g = -target / p where p was not clipped; through p = scores / sum: (g - sum(g * p)) / sum
            Scores::Probabilities => {
                let (sum, share) = self.shares(b, scores)?;
                let kept = kept(b, target, share, low, high)?;
                let clipped = clip(b, share, low, high)?;
                let ratio = b.binary(Binary::Divide, kept, clipped)?;
                let g = b.unary(Unary::Negate, ratio)?;
                let product = b.binary(Binary::Multiply, g, share)?;
                let mean = b.reduce_keep(Reduction::Sum, &[self.axis], product)?;
                let centred = b.binary(Binary::Subtract, g, mean)?;
                b.binary(Binary::Divide, centred, sum)
            }
            // p * sum(target) - target, of the targets whose p was not clipped
            Scores::Logits | Scores::ClippedLogits => {
                let log = b.add(super::LogSoftmax { axis: self.axis }, &[scores])?;
                let probability = b.unary(Unary::Exp, log)?;
                let kept = match self.scores {
                    Scores::ClippedLogits => kept(b, target, log, low.ln(), high.ln())?,
                    Scores::Logits | Scores::Probabilities => target,
                };
                let total = b.reduce_keep(Reduction::Sum, &[self.axis], kept)?;
                let share = b.binary(Binary::Multiply, probability, total)?;
                b.binary(Binary::Subtract, share, kept)
            }
        }
    }

    /// A value of the loss' shape, repeated along the axis.
    fn repeated(&self, b: &mut Builder, value: Value, scores: Value) -> Result<Value, TypeError> {
        let shape = b.tensor_type(scores).shape.clone();
        let axes: Vec<usize> = (0..shape.len()).filter(|&axis| axis != self.axis).collect();
        b.broadcast(value, &shape, &axes)
    }
}

fn clip(b: &mut Builder, x: Value, low: f64, high: f64) -> Result<Value, TypeError> {
    let (low, high) = (b.splat_like(low, x)?, b.splat_like(high, x)?);
    let raised = b.binary(Binary::Maximum, x, low)?;
    b.binary(Binary::Minimum, raised, high)
}

/// The target where `x` lies within the limits, else 0; NaN where `x` is.
fn kept(b: &mut Builder, target: Value, x: Value, low: f64, high: f64) -> Result<Value, TypeError> {
    let dtype = b.tensor_type(x).dtype;
    let (low, high) = (b.splat_like(low, x)?, b.splat_like(high, x)?);
    let above = b.compare(Compare::GreaterEqual, x, low)?;
    let below = b.compare(Compare::LessEqual, x, high)?;
    let within = b.binary(Binary::And, above, below)?;
    let mask = b.convert(dtype, within)?;
    b.binary(Binary::Multiply, target, mask)
}

impl Composition for CategoricalCrossEntropy {
    fn name(&self) -> &'static str {
        "categorical_cross_entropy"
    }

    fn body(&self, b: &mut Builder, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
        let [target, scores] = b.operands(self.name(), operands)?;
        let parts = self.parts(b, target, scores)?;
        Ok(vec![self.value(b, &parts)?])
    }

    fn gradient(&self, b: &mut Builder, at: &Backward<'_>) -> Result<Option<Cotangents>, TypeError> {
        let cotangent = at.cotangent(self.name())?;
        let [target, scores] = b.operands(self.name(), at.operands)?;
        let by_target = if self.sparse || !at.wanted[0] {
            None
        } else {
            let parts = self.parts(b, target, scores)?;
            let repeated = self.repeated(b, cotangent, scores)?;
            let product = b.binary(Binary::Multiply, parts.log, repeated)?;
            Some(b.unary(Unary::Negate, product)?)
        };
        let gradient = CategoricalCrossEntropyGradient { loss: self.clone() };
        Ok(Some(vec![by_target, Some(b.add(gradient, &[target, scores, cotangent])?)]))
    }
}

impl Composition for CategoricalCrossEntropyGradient {
    fn name(&self) -> &'static str {
        "categorical_cross_entropy_gradient"
    }

    fn body(&self, b: &mut Builder, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
        let [target, scores, cotangent] = b.operands(self.name(), operands)?;
        let unit = self.loss.unit_gradient(b, target, scores)?;
        let repeated = self.loss.repeated(b, cotangent, scores)?;
        Ok(vec![b.binary(Binary::Multiply, unit, repeated)?])
    }
}

impl Composition for CategoricalCrossEntropyWithGradient {
    fn name(&self) -> &'static str {
        "categorical_cross_entropy_with_gradient"
    }

    fn body(&self, b: &mut Builder, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
        let [target, scores] = b.operands(self.name(), operands)?;
        let parts = self.loss.parts(b, target, scores)?;
        Ok(vec![self.loss.value(b, &parts)?, self.loss.unit_gradient(b, target, scores)?])
    }
}
