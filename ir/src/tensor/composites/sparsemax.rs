use super::Composition;
use crate::tensor::ops::{Cumulative, Direction, Iota, Reduction, Sort};
use crate::tensor::{Builder, TypeError, Value, express};
use kc_abi::TensorType;
use serde::{Deserialize, Serialize};

/// `max(x - t, 0)` along an axis as `keras.ops.sparsemax` has it: of the elements in descending order those count whose running sum `s`
/// fulfils `x > (s - 1) / position`, and `t = (sum of these s - 1) / (number of them)`. Where more than one counts, that is not the
/// projection of Martins and Astudillo (2016), whose threshold takes the last of these sums alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sparsemax {
    /// The axis.
    pub axis: usize,
}

impl Composition for Sparsemax {
    fn name(&self) -> &'static str {
        "sparsemax"
    }

    fn body(&self, b: &mut Builder, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
        let [x] = b.operands(self.name(), operands)?;
        let axis = self.axis;
        express(b, |scope| {
            let x = scope.tensor(x);
            let sorted = scope.op(Sort { axis, keys: 1, direction: Direction::Descending }, &[x]);
            let sums = scope.op(Cumulative { kind: Reduction::Sum, axis, reverse: false }, &[sorted]);
            let TensorType { dtype, shape } = x.ty();
            let count = scope.op(Iota { ty: TensorType { dtype, shape }, axis }, &[]) + 1.0;
            let supports = (sorted - (sums - 1.0) / count).greater(0.0).convert(dtype);
            let kept = supports.sum_keep(&[axis]);
            let threshold = ((supports * sums).sum_keep(&[axis]) - 1.0) / kept;
            vec![(x - threshold).maximum(0.0).value()]
        })
    }
}
