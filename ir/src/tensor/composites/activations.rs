//! Activations whose gradient is not that of their body.

use super::Composition;
use crate::tensor::ops::{Backward, Cotangents};
use crate::tensor::{Builder, TypeError, Value, express};
use serde::{Deserialize, Serialize};

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
