use super::Composition;
use crate::tensor::ops::{Backward, Cotangents, Reduction};
use crate::tensor::{Builder, Tensor, TypeError, Value, express};
use serde::{Deserialize, Serialize};

/// `ln sum e^x` over axes, which the result does not have, without overflow. Where all elements are -infinity it is -infinity,
/// with derivatives of 0.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSumExp {
    /// The axes that are summed over.
    pub axes: Vec<usize>,
}

/// A finite number where `x` is infinite: 0.
fn finite<'s, 'b>(x: Tensor<'s, 'b>) -> Tensor<'s, 'b> {
    x.abs().less(f64::INFINITY).select(x, 0.0)
}

impl Composition for LogSumExp {
    fn name(&self) -> &'static str {
        "log_sum_exp"
    }

    fn body(&self, b: &mut Builder, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
        let [x] = b.operands(self.name(), operands)?;
        express(b, |scope| {
            let x = scope.tensor(x);
            let max = finite(x.reduce(Reduction::Max, &self.axes));
            let shifted = x - max.broadcast_along(&x.shape(), &self.axes);
            vec![(shifted.exp().sum(&self.axes).log() + max).value()]
        })
    }

    /// `g * e^(x - y)`
    fn gradient(&self, b: &mut Builder, at: &Backward<'_>) -> Result<Option<Cotangents>, TypeError> {
        let g = at.cotangent(self.name())?;
        let cotangents = express(b, |scope| {
            let [x, y, g] = [at.operands[0], at.results[0], g].map(|value| scope.tensor(value));
            let along = |t: Tensor<'_, '_>| scope.tensor(t.broadcast_along(&x.shape(), &self.axes).value());
            vec![Some((along(g) * (x - along(finite(y))).exp()).value())]
        });
        cotangents.map(Some)
    }
}
