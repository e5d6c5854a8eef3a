//! Reductions over axes.

use super::arguments::Axes;
use super::declare::functions;
use super::function::Operand;
use super::promotion::{accumulation_type, statistics_type};
use kc_ir::tensor::ops::{ArgReduce, Extremum, Reduction};
use kc_ir::tensor::{Tensor as Formula, TypeError};
use kc_ir::{DType, Dim};

/// A reduction; where axes are kept they have the extent 1.
pub(super) fn reduce<'s, 'b>(kind: Reduction, x: Formula<'s, 'b>, axes: &[usize], keepdims: bool) -> Formula<'s, 'b> {
    keep(x.reduce(kind, axes), &x.shape(), axes, keepdims)
}

/// A reduced tensor with its axes of extent 1 put back, where they are kept.
pub(super) fn keep<'s, 'b>(reduced: Formula<'s, 'b>, shape: &[Dim], axes: &[usize], keepdims: bool) -> Formula<'s, 'b> {
    if !keepdims {
        return reduced;
    }
    let extent = |axis: usize| if axes.contains(&axis) { Dim::constant(1) } else { shape[axis].clone() };
    reduced.reshape(&(0..shape.len()).map(extent).collect::<Vec<_>>())
}

/// The largest or smallest element.
fn extremum<'s, 'b>(
    kind: Reduction,
    x: Operand<'s, 'b>,
    axis: &Axes,
    keepdims: bool,
    initial: Option<f64>,
) -> Result<Formula<'s, 'b>, TypeError> {
    let axes = axis.of_rank(x.shape().len())?;
    if initial.is_none() && axes.iter().any(|&axis| x.shape()[axis].is(0)) {
        return Err(super::arguments::wrong("an axis without elements has no extremum, expected `initial`"));
    }
    let reduced = reduce(kind, *x, &axes, keepdims);
    Ok(match (initial, kind) {
        (None, _) => reduced,
        (Some(initial), Reduction::Max) => reduced.maximum(initial),
        (Some(initial), _) => reduced.minimum(initial),
    })
}

functions! {
    /// The sum over axes. Integers of less than 32 bits and bools are summed as `int32` or `uint32`.
    sum Sum(x) {
        /// The summed axes (default: all).
        axis: Axes = Axes::All,
        /// Whether the result keeps the axes, with extent 1 (default: no).
        keepdims: bool = false,
    } = |_, &[x]| {
        let axes = axis.of_rank(x.shape().len())?;
        Ok(reduce(Reduction::Sum, x.convert(accumulation_type(x.ty().dtype)), &axes, keepdims))
    };
    /// The mean over axes: `sum(x) / count`, computed in at least `float32`.
    mean Mean(x) {
        /// The reduced axes (default: all).
        axis: Axes = Axes::All,
        /// Whether the result keeps the axes, with extent 1 (default: no).
        keepdims: bool = false,
    } = |_, &[x]| {
        let axes = axis.of_rank(x.shape().len())?;
        Ok(mean_of(*x, &axes, keepdims))
    };
    /// The largest element over axes.
    max Max(x) {
        /// The reduced axes (default: all).
        axis: Axes = Axes::All,
        /// Whether the result keeps the axes, with extent 1 (default: no).
        keepdims: bool = false,
        /// What the result is at least (default: none; an axis without elements needs it).
        initial: Option<f64> = None,
    } = |_, &[x]| extremum(Reduction::Max, x, &axis, keepdims, initial);
    /// The smallest element over axes.
    min Min(x) {
        /// The reduced axes (default: all).
        axis: Axes = Axes::All,
        /// Whether the result keeps the axes, with extent 1 (default: no).
        keepdims: bool = false,
        /// What the result is at most (default: none; an axis without elements needs it).
        initial: Option<f64> = None,
    } = |_, &[x]| extremum(Reduction::Min, x, &axis, keepdims, initial);
}

/// The position of the first extremum along an axis, or among all elements in row-major order; a NaN counts as the extremum.
///
/// Keras on a CPU tells -0 from 0, as if it were the negative number next to 0.
fn position<'s, 'b>(
    kind: Extremum,
    x: Operand<'s, 'b>,
    axis: &Axes,
    keepdims: bool,
) -> Result<Formula<'s, 'b>, TypeError> {
    let shape = x.shape();
    let (flat, at, axes) = match axis.one(shape.len())? {
        Some(axis) => (*x, axis, vec![axis]),
        None => (x.reshape(&[shape.iter().cloned().product()]), 0, (0..shape.len()).collect()),
    };
    if flat.shape()[at].is(0) {
        return Err(super::arguments::wrong("an axis without elements has no extremum"));
    }
    let dtype = flat.ty().dtype;
    let flat = if dtype.is_float() && !shape.is_empty() {
        let wide = flat.convert(statistics_type(dtype));
        // of -0 the reciprocal is negative
        let is_negative_zero = wide.equal(0.0).and((1.0 / wide).less(0.0));
        is_negative_zero.select(-wide.smallest_normal(), wide)
    } else {
        flat
    };
    let result = x.scope().op(ArgReduce { kind, axis: at, dtype: DType::I32 }, &[flat]);
    Ok(keep(result, &shape, &axes, keepdims))
}

functions! {
    /// The position of the first largest element along an axis, of all elements in row-major order without one; `int32`.
    argmax Argmax(x) {
        /// The axis (default: none).
        axis: Axes = Axes::All,
        /// Whether the result keeps the axes, with extent 1 (default: no).
        keepdims: bool = false,
    } = |_, &[x]| position(Extremum::Max, x, &axis, keepdims);
    /// The position of the first smallest element along an axis, of all elements in row-major order without one; `int32`.
    argmin Argmin(x) {
        /// The axis (default: none).
        axis: Axes = Axes::All,
        /// Whether the result keeps the axes, with extent 1 (default: no).
        keepdims: bool = false,
    } = |_, &[x]| position(Extremum::Min, x, &axis, keepdims);
}

/// The mean, computed in at least `float32` and given in the dtype of a floating-point operand.
pub(super) fn mean_of<'s, 'b>(x: Formula<'s, 'b>, axes: &[usize], keepdims: bool) -> Formula<'s, 'b> {
    let dtype = x.ty().dtype;
    let wide = x.convert(statistics_type(dtype));
    let mean = keep(wide.mean(axes), &x.shape(), axes, keepdims);
    if dtype.is_float() { mean.convert(dtype) } else { mean }
}
