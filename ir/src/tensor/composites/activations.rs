//! Activations whose gradient is not that of their body.

use super::Composition;
use crate::tensor::ops::{Backward, Cotangents};
use crate::tensor::{Builder, TypeError, Value, express};
use serde::{Deserialize, Serialize};
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

/// `max(x, 0)`. Its derivative at 0 is 0, as in Keras (that of `maximum` is 1/2 there).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Relu {}

impl Composition for Relu {
    fn name(&self) -> &'static str {
        "relu"
    }

    fn body(&self, b: &mut Builder, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
        let [x] = b.operands(self.name(), operands)?;
        express(b, |scope| vec![scope.tensor(x).maximum(0.0).value()])
    }

    /// `g` where `y > 0`: the operand need not be kept.
    fn gradient(&self, b: &mut Builder, at: &Backward<'_>) -> Result<Option<Cotangents>, TypeError> {
        let (y, g) = (at.results[0], at.cotangent(self.name())?);
        let cotangents = express(b, |scope| {
            let (y, g) = (scope.tensor(y), scope.tensor(g));
            vec![Some(y.greater(0.0).select(g, 0.0).value())]
        });
        cotangents.map(Some)
    }
}

/// `x (1 + erf(x / sqrt 2)) / 2`, computed as Keras does: `x / 2 * erfc(-x / sqrt 2)`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gelu {}

impl Composition for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn body(&self, b: &mut Builder, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
        let [x] = b.operands(self.name(), operands)?;
        express(b, |scope| {
            let x = scope.tensor(x);
            vec![(x * 0.5 * (x * -FRAC_1_SQRT_2).erfc()).value()]
        })
    }

    /// `g * (P(x) + x * p(x))`, with the distribution function `P` and the density `p` of the normal distribution.
    fn gradient(&self, b: &mut Builder, at: &Backward<'_>) -> Result<Option<Cotangents>, TypeError> {
        let g = at.cotangent(self.name())?;
        let gradient = express(b, |scope| {
            let x = scope.tensor(at.operands[0]);
            let below = (x * -FRAC_1_SQRT_2).erfc() * 0.5;
            let density = (x.square() * -0.5).exp() * (FRAC_2_SQRT_PI * FRAC_1_SQRT_2 * 0.5);
            Some((scope.tensor(g) * (below + x * density)).value())
        });
        Ok(Some(vec![gradient?]))
    }
}

/// `x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2`, which is near [`Gelu`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GeluTanh {}

/// `sqrt(2 / pi)`
const ROOT: f64 = FRAC_2_SQRT_PI * FRAC_1_SQRT_2;

/// The factor of the cube.
const CUBE: f64 = 0.044715;

impl Composition for GeluTanh {
    fn name(&self) -> &'static str {
        "gelu_tanh"
    }

    fn body(&self, b: &mut Builder, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
        let [x] = b.operands(self.name(), operands)?;
        express(b, |scope| {
            let x = scope.tensor(x);
            let t = ((x + x.square() * x * CUBE) * ROOT).tanh();
            vec![(x * ((t + 1.0) * 0.5)).value()]
        })
    }

    /// With `t = tanh(u)`: `g * (1 + t + x * (1 - t^2) * du) / 2`, `du = sqrt(2 / pi) (1 + 3 * 0.044715 x^2)`.
    fn gradient(&self, b: &mut Builder, at: &Backward<'_>) -> Result<Option<Cotangents>, TypeError> {
        let g = at.cotangent(self.name())?;
        let gradient = express(b, |scope| {
            let x = scope.tensor(at.operands[0]);
            let t = ((x + x.square() * x * CUBE) * ROOT).tanh();
            let slope = (x.square() * (3.0 * CUBE) + 1.0) * ROOT;
            let derivative = ((t + 1.0) + x * (-t.square() + 1.0) * slope) * 0.5;
            Some((scope.tensor(g) * derivative).value())
        });
        Ok(Some(vec![gradient?]))
    }
}

/// `x / (1 + e^-x)`, also known as swish.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Silu {}

impl Composition for Silu {
    fn name(&self) -> &'static str {
        "silu"
    }

    fn body(&self, b: &mut Builder, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
        let [x] = b.operands(self.name(), operands)?;
        express(b, |scope| {
            let x = scope.tensor(x);
            vec![(x * x.logistic()).value()]
        })
    }

    /// With `s = 1 / (1 + e^-x)`: `g * s * (1 + x * (1 - s))`.
    fn gradient(&self, b: &mut Builder, at: &Backward<'_>) -> Result<Option<Cotangents>, TypeError> {
        let g = at.cotangent(self.name())?;
        let gradient = express(b, |scope| {
            let x = scope.tensor(at.operands[0]);
            let s = x.logistic();
            Some((scope.tensor(g) * (s * (x * (-s + 1.0) + 1.0))).value())
        });
        Ok(Some(vec![gradient?]))
    }
}
