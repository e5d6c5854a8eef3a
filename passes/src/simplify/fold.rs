//! Constants.

use super::Simplifier;
use kc_ir::tensor::{Builder, Literal, Op, Value, interpret};

/// Elements that a folded constant, or an operand of one, may have.
const FOLDED_ELEMENTS: usize = 64;

impl Simplifier {
    /// The value of an op of small constants, by the interpreter.
    pub(super) fn fold(&self, op: &Op, operands: &[Value]) -> Option<Literal> {
        // a broadcast constant is kept as it is: it takes no memory
        if operands.is_empty()
            || matches!(op, Op::Broadcast(_) | Op::Gradient(_) | Op::OptimizationBarrier(_))
            || !op.operation().regions().is_empty()
        {
            return None;
        }
        let mut builder = Builder::new();
        let constants = operands.iter().map(|&operand| match self.op(operand) {
            Op::Constant(constant) if constant.value.elements() <= FOLDED_ELEMENTS => {
                builder.constant(constant.value.clone()).ok()
            }
            _ => None,
        });
        let constants = constants.collect::<Option<Vec<Value>>>()?;
        let result = builder.add(op.clone(), &constants).ok()?;
        let ty = builder.graph().node(result).ty.as_tensor()?.clone();
        let elements = ty.elements().as_constant()?;
        if usize::try_from(elements).ok()? > FOLDED_ELEMENTS {
            return None;
        }
        interpret(&builder.finish(vec![result]), &[]).ok()?.pop()
    }
}
