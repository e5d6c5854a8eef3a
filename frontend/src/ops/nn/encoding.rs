//! Class numbers as vectors.

use super::super::arguments::{DTypeName, wrong};
use super::super::declare::functions;
use super::super::formulas::{iota, with_axis};
use super::super::reduction::reduce;
use kc_ir::tensor::ops::Reduction;
use kc_ir::tensor::{Tensor as Formula, TypeError};
use kc_ir::{DType, Dim};

functions! {
    /// For each class number a vector that is 1 there and 0 elsewhere; 0 everywhere for a number that is no class.
    one_hot OneHot(x; num_classes: i64) {
        /// The axis of the vectors in the result (default: the last).
        axis: i64 = -1,
        /// The dtype (default: `"float32"`).
        dtype: DTypeName = DTypeName::Default,
    } = |_, &[x]| encode(*x, num_classes, axis, dtype.or(DType::F32)?);
    /// For each vector of class numbers a vector that is 1 at all of them and 0 elsewhere.
    multi_hot MultiHot(inputs; num_classes: i64) {
        /// The axis of the vectors in the result (default: the last).
        axis: i64 = -1,
        /// The dtype (default: `"float32"`).
        dtype: DTypeName = DTypeName::Default,
    } = |_, &[x]| {
        let encoded = encode(x.convert(DType::I32), num_classes, axis, dtype.or(DType::F32)?)?;
        Ok(reduce(Reduction::Max, encoded, &[usize::from(x.shape().len() > 1)], false))
    };
}

fn encode<'s, 'b>(x: Formula<'s, 'b>, num_classes: i64, axis: i64, dtype: DType) -> Result<Formula<'s, 'b>, TypeError> {
    if num_classes < 0 {
        return Err(wrong(format!("`num_classes` is {num_classes}, expected at least 0")));
    }
    let axis = super::super::arguments::axis(axis, x.shape().len() + 1)?;
    let mut shape = x.shape();
    shape.insert(axis, Dim::constant(num_classes));
    let x = if x.ty().dtype == DType::Bool { x.convert(DType::I32) } else { x };
    let classes = iota(x.scope(), x.ty().dtype, &shape, axis);
    Ok(with_axis(x, axis).broadcast_to(&shape).equal(classes).convert(dtype))
}
