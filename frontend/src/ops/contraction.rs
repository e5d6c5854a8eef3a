//! Contractions.

use super::arguments::wrong;
use super::declare::functions;
use super::promotion::promote;
use kc_ir::DType;
use kc_ir::tensor::ops::DotGeneral;
use kc_ir::tensor::{Tensor as Formula, TypeError, broadcast_shapes};

functions! {
    /// The matrix product over the last axis of `x1` and the last but one of `x2` (the last, if it has one axis); leading axes are
    /// broadcast. Of two `int8` operands the result is `int32`.
    matmul Matmul(x1, x2) = |_, &[a, b]| {
        let [a, b] = promote([a, b]);
        if a.ty().dtype == DType::I8 {
            product(a.convert(DType::I32), b.convert(DType::I32))
        } else {
            product(a, b)
        }
    };
}

/// The matrix product as numpy has it.
pub(super) fn product<'s, 'b>(a: Formula<'s, 'b>, b: Formula<'s, 'b>) -> Result<Formula<'s, 'b>, TypeError> {
    let (left, right) = (a.shape(), b.shape());
    if left.is_empty() || right.is_empty() {
        return Err(wrong("a scalar has no matrix product, expected at least one axis of each: use `multiply`"));
    }
    let contracted = right.len().saturating_sub(2);
    if left[left.len() - 1] != right[contracted] {
        return Err(wrong(format!(
            "the last axis of the first has the extent {}, axis {contracted} of the second {}: expected equal ones",
            left[left.len() - 1],
            right[contracted]
        )));
    }
    let (left_batch, right_batch) = (&left[..left.len().saturating_sub(2)], &right[..contracted]);
    let batch = broadcast_shapes(left_batch, right_batch)
        .ok_or_else(|| wrong("the leading axes cannot be broadcast to each other"))?;
    // one side without leading axes needs none from the other
    let rank = if left_batch.is_empty() || right_batch.is_empty() { 0 } else { batch.len() };
    let spread = |x: Formula<'s, 'b>, own: usize| {
        if rank == 0 || own == 0 {
            return x;
        }
        let shape = x.shape();
        x.broadcast_to(&[&batch[..], &shape[own..]].concat())
    };
    let (a, b) = (spread(a, left_batch.len()), spread(b, right_batch.len()));
    let axes: Vec<usize> = (0..rank).collect();
    let contract = b.shape().len().saturating_sub(2);
    let op = DotGeneral {
        lhs_batch: axes.clone(),
        rhs_batch: axes,
        lhs_contract: vec![a.shape().len() - 1],
        rhs_contract: vec![contract],
    };
    let result = a.scope().op(op, &[a, b]);
    // free axes of the left, then of the right: the right's leading ones belong before the left's row
    if rank == 0 && contract > 0 && left.len() >= 2 {
        let rows = left.len() - 1;
        let ranks = result.shape().len();
        let mut permutation: Vec<usize> = (rows..rows + contract).collect();
        permutation.extend(0..rows);
        permutation.extend(rows + contract..ranks);
        return Ok(result.transpose(&permutation));
    }
    Ok(result)
}
