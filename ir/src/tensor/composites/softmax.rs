//! Softmax and its relatives, stable for large logits.

use super::Composition;
use crate::tensor::ops::{Backward, Binary, Cotangents, Reduction, Unary};
use crate::tensor::{Builder, TypeError, Value};
use serde::{Deserialize, Serialize};

/// `exp(x - max x) / sum exp(x - max x)` along an axis.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Softmax {
    /// The axis along which the results sum to 1.
    pub axis: usize,
}

impl Composition for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn body(&self, b: &mut Builder, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
        let [x] = b.operands("softmax", operands)?;
        let shifted = shifted(b, x, self.axis)?;
        let e = b.unary(Unary::Exp, shifted)?;
        let sum = b.reduce_keep(Reduction::Sum, &[self.axis], e)?;
        Ok(vec![b.binary(Binary::Divide, e, sum)?])
    }

    /// `y * (g - sum(g * y))`
    fn gradient(&self, b: &mut Builder, at: &Backward<'_>) -> Result<Option<Cotangents>, TypeError> {
        let gradient = SoftmaxGradient { axis: self.axis };
        Ok(Some(vec![Some(b.add(gradient, &[at.results[0], at.cotangent(self.name())?])?)]))
    }
}

/// The gradient of [`Softmax`]: `y * (g - sum(g * y))` of its result `y` and the cotangent `g`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SoftmaxGradient {
    /// The axis of the softmax.
    pub axis: usize,
}

impl Composition for SoftmaxGradient {
    fn name(&self) -> &'static str {
        "softmax_gradient"
    }

    fn body(&self, b: &mut Builder, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
        let [y, g] = b.operands("softmax_gradient", operands)?;
        let product = b.binary(Binary::Multiply, g, y)?;
        let sum = b.reduce_keep(Reduction::Sum, &[self.axis], product)?;
        let centred = b.binary(Binary::Subtract, g, sum)?;
        Ok(vec![b.binary(Binary::Multiply, y, centred)?])
    }
}

/// `x - max x - ln sum exp(x - max x)` along an axis.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSoftmax {
    /// The axis along which the exponentials of the results sum to 1.
    pub axis: usize,
}

impl Composition for LogSoftmax {
    fn name(&self) -> &'static str {
        "log_softmax"
    }

    fn body(&self, b: &mut Builder, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
        let [x] = b.operands("log_softmax", operands)?;
        let shifted = shifted(b, x, self.axis)?;
        let e = b.unary(Unary::Exp, shifted)?;
        let sum = b.reduce_keep(Reduction::Sum, &[self.axis], e)?;
        let log = b.unary(Unary::Log, sum)?;
        Ok(vec![b.binary(Binary::Subtract, shifted, log)?])
    }

    /// `g - exp(y) * sum(g)`
    fn gradient(&self, b: &mut Builder, at: &Backward<'_>) -> Result<Option<Cotangents>, TypeError> {
        let (y, g) = (at.results[0], at.cotangent(self.name())?);
        let sum = b.reduce_keep(Reduction::Sum, &[self.axis], g)?;
        let probability = b.unary(Unary::Exp, y)?;
        let share = b.binary(Binary::Multiply, probability, sum)?;
        Ok(Some(vec![Some(b.binary(Binary::Subtract, g, share)?)]))
    }
}

/// `x - max x` along an axis.
fn shifted(b: &mut Builder, x: Value, axis: usize) -> Result<Value, TypeError> {
    let max = b.reduce_keep(Reduction::Max, &[axis], x)?;
    b.binary(Binary::Subtract, x, max)
}
