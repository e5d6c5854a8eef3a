use super::Composition;
use crate::tensor::ops::Slice;
use crate::tensor::{Builder, TypeError, Value, express};
use kc_abi::Dim;
use serde::{Deserialize, Serialize};

/// The gated linear unit `a / (1 + e^-b)` of the halves `a` and `b` of an axis, whose extent is known and even.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Glu {
    /// The axis that is halved.
    pub axis: usize,
}

impl Composition for Glu {
    fn name(&self) -> &'static str {
        "glu"
    }

    fn body(&self, b: &mut Builder, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
        let [x] = b.operands(self.name(), operands)?;
        let ty = b.tensor_type(x).clone();
        let even = |extent: &i64| extent % 2 == 0;
        let Some(extent) = ty.shape.get(self.axis).and_then(Dim::as_constant).filter(even) else {
            let message = format!("axis {} of {ty} cannot be halved, expected an even number of elements", self.axis);
            return Err(TypeError::new(self.name(), message));
        };
        let half = |half: i64| {
            let mut start = vec![Dim::constant(0); ty.rank()];
            let mut limit = ty.shape.clone();
            start[self.axis] = Dim::constant(half * extent / 2);
            limit[self.axis] = Dim::constant((half + 1) * extent / 2);
            Slice { start, limit, stride: vec![1; ty.rank()] }
        };
        express(b, |scope| {
            let x = scope.tensor(x);
            vec![(x.with_op(half(0)) * x.with_op(half(1)).logistic()).value()]
        })
    }
}
