//! Pieces of formulas that several functions are made of.

use super::arguments::wrong;
use kc_ir::tensor::ops::{Concatenate, Dimension, Iota, Pad, Reverse, Slice};
use kc_ir::tensor::{Scope, Tensor as Formula, TypeError};
use kc_ir::{DType, Dim, TensorType};

/// Positions `start`, `start + step`, .. below `limit` of an axis.
pub(super) fn slice<'s, 'b>(
    x: Formula<'s, 'b>,
    axis: usize,
    start: impl Into<Dim>,
    limit: impl Into<Dim>,
    step: i64,
) -> Formula<'s, 'b> {
    let mut limits = x.shape();
    let mut starts = vec![Dim::constant(0); limits.len()];
    let mut stride = vec![1; limits.len()];
    (starts[axis], limits[axis], stride[axis]) = (start.into(), limit.into(), step);
    x.scope().op(Slice { start: starts, limit: limits, stride }, &[x])
}

/// The element at a position of an axis, which the result does not have.
pub(super) fn at<'s, 'b>(x: Formula<'s, 'b>, axis: usize, position: impl Into<Dim>) -> Formula<'s, 'b> {
    let position = position.into();
    let taken = slice(x, axis, position.clone(), position + Dim::constant(1), 1);
    without_axis(taken, axis)
}

/// Without an axis of extent 1.
pub(super) fn without_axis<'s, 'b>(x: Formula<'s, 'b>, axis: usize) -> Formula<'s, 'b> {
    let mut shape = x.shape();
    shape.remove(axis);
    x.reshape(&shape)
}

/// With a new axis of extent 1, which is that axis of the result.
pub(super) fn with_axis<'s, 'b>(x: Formula<'s, 'b>, axis: usize) -> Formula<'s, 'b> {
    let mut shape = x.shape();
    shape.insert(axis, Dim::constant(1));
    x.reshape(&shape)
}

/// In one axis.
pub(super) fn flat<'s, 'b>(x: Formula<'s, 'b>) -> Formula<'s, 'b> {
    x.reshape(&[elements(&x.shape())])
}

/// Product of the extents.
pub(super) fn elements(shape: &[Dim]) -> Dim {
    shape.iter().cloned().product()
}

/// The tensors, of one dtype, side by side along an axis.
pub(super) fn concatenate<'s, 'b>(scope: &'s Scope<'b>, xs: &[Formula<'s, 'b>], axis: usize) -> Formula<'s, 'b> {
    match xs {
        [one] => *one,
        _ => scope.op(Concatenate { axis }, xs),
    }
}

/// In reversed order along axes.
pub(super) fn reverse<'s, 'b>(x: Formula<'s, 'b>, axes: &[usize]) -> Formula<'s, 'b> {
    if axes.is_empty() { x } else { x.scope().op(Reverse { axes: axes.to_vec() }, &[x]) }
}

/// With copies of a scalar of its dtype before and after an axis.
pub(super) fn pad<'s, 'b>(
    x: Formula<'s, 'b>,
    axis: usize,
    low: i64,
    high: i64,
    value: Formula<'s, 'b>,
) -> Formula<'s, 'b> {
    let rank = x.shape().len();
    let along = |extent: i64| (0..rank).map(|i| if i == axis { extent } else { 0 }).collect();
    x.scope().op(Pad { low: along(low), high: along(high), interior: vec![0; rank] }, &[x, value])
}

/// The axis moved to the place of another; the others keep their order.
pub(super) fn move_axis<'s, 'b>(x: Formula<'s, 'b>, from: usize, to: usize) -> Formula<'s, 'b> {
    let mut permutation: Vec<usize> = (0..x.shape().len()).filter(|&axis| axis != from).collect();
    permutation.insert(to, from);
    x.transpose(&permutation)
}

/// Positions along an axis of a shape.
pub(super) fn iota<'s, 'b>(scope: &'s Scope<'b>, dtype: DType, shape: &[Dim], axis: usize) -> Formula<'s, 'b> {
    scope.op(Iota { ty: TensorType { dtype, shape: shape.to_vec() }, axis }, &[])
}

/// The extent of an axis, which must be known.
pub(super) fn known_extent(shape: &[Dim], axis: usize) -> Result<i64, TypeError> {
    shape[axis]
        .as_constant()
        .ok_or_else(|| wrong(format!("axis {axis} of the shape {} must have a known extent", crate::shape_text(shape))))
}

/// Whether elements are not NaN numbers; all elements of integers.
pub(super) fn is_nan<'s, 'b>(x: Formula<'s, 'b>) -> Formula<'s, 'b> {
    x.not_equal(x)
}

/// Whether elements are not zero; a bool as it is.
pub(super) fn truth<'s, 'b>(x: Formula<'s, 'b>) -> Formula<'s, 'b> {
    if x.ty().dtype == DType::Bool { x } else { x.not_equal(0.0) }
}

/// A constant of a bool.
pub(super) fn boolean<'s, 'b>(scope: &'s Scope<'b>, value: bool, shape: &[Dim]) -> Formula<'s, 'b> {
    scope.scalar(DType::Bool, i64::from(value)).broadcast_to(shape)
}

/// `+infinity` of the dtype of a floating-point tensor.
pub(super) fn infinity<'s, 'b>(x: Formula<'s, 'b>) -> Formula<'s, 'b> {
    x.number(f64::INFINITY)
}

/// Both, broadcast to their common shape.
pub(super) fn together<'s, 'b>(a: Formula<'s, 'b>, b: Formula<'s, 'b>) -> Result<[Formula<'s, 'b>; 2], TypeError> {
    let shape = kc_ir::tensor::broadcast_shapes(&a.shape(), &b.shape())
        .ok_or_else(|| wrong(format!("{} and {} cannot be broadcast to one shape", a.ty(), b.ty())))?;
    Ok([a.broadcast_to(&shape), b.broadcast_to(&shape)])
}

/// An extent as a scalar.
pub(super) fn extent_of<'s, 'b>(scope: &'s Scope<'b>, extent: &Dim, dtype: DType) -> Formula<'s, 'b> {
    match extent.as_constant() {
        Some(extent) => scope.scalar(dtype, extent),
        None => scope.op(Dimension { dim: extent.clone(), dtype }, &[]),
    }
}
