//! Reductions over axes.

use super::arguments::{Axes, DTypeName, wrong};
use super::declare::functions;
use super::formulas::{flat, truth};
use super::promotion::{accumulation_type, statistics_type};
use super::rounding::bits;
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

/// Declares reductions with `axis` and `keepdims`; the body sees the operand, the axes counted from the first, and `keepdims`.
macro_rules! reductions {
    ($($(#[$doc:meta])* $name:ident $class:ident = |$x:ident, $axes:ident, $keepdims:ident| $body:expr;)*) => { functions! { $(
        $(#[$doc])*
        $name $class(x) {
            /// The reduced axes (default: all).
            axis: Axes = Axes::All,
            /// Whether the result keeps the axes, with extent 1 (default: no).
            keepdims: bool = false,
        } = |_, &[$x]| {
            let ($axes, $keepdims) = (axis.of_rank($x.shape().len())?, keepdims);
            $body
        };
    )* } };
}
pub(super) use reductions;

reductions! {
    /// The sum over axes. Integers of less than 32 bits and bools are summed as `int32` or `uint32`.
    sum Sum = |x, axes, keepdims| {
        reduce(Reduction::Sum, x.convert(accumulation_type(x.ty().dtype)), &axes, keepdims)
    };
    /// The mean over axes: `sum(x) / count`, computed in at least `float32`.
    mean Mean = |x, axes, keepdims| mean_of(*x, &axes, keepdims);
    /// The largest element over axes.
    amax Amax = |x, axes, keepdims| extremum(Reduction::Max, *x, &axes, keepdims, None);
    /// The smallest element over axes.
    amin Amin = |x, axes, keepdims| extremum(Reduction::Min, *x, &axes, keepdims, None);
    /// The difference of the largest and the smallest element over axes.
    ptp Ptp = |x, axes, keepdims| {
        Ok(extremum(Reduction::Max, *x, &axes, keepdims, None)? - extremum(Reduction::Min, *x, &axes, keepdims, None)?)
    };
    /// Whether all elements over axes are not zero.
    all All = |x, axes, keepdims| reduce(Reduction::Min, truth(*x), &axes, keepdims);
    /// Whether some element over axes is not zero.
    any Any = |x, axes, keepdims| reduce(Reduction::Max, truth(*x), &axes, keepdims);
    /// The variance over axes: the mean of `(x - mean(x))^2`, computed in at least `float32`.
    var Var = |x, axes, keepdims| in_own(variance(*x, &axes, keepdims), x.ty().dtype);
    /// The standard deviation over axes: the square root of the variance.
    std Std = |x, axes, keepdims| in_own(variance(*x, &axes, keepdims).sqrt(), x.ty().dtype);
}

functions! {
    /// The product over axes. Integers of less than 32 bits and bools are multiplied as `int32` or `uint32`.
    prod Prod(x) {
        /// The reduced axes (default: all).
        axis: Axes = Axes::All,
        /// Whether the result keeps the axes, with extent 1 (default: no).
        keepdims: bool = false,
        /// The dtype in which is multiplied (default: that of `x`, integers of at least 32 bits).
        dtype: DTypeName = DTypeName::Default,
    } = |_, &[x]| {
        let axes = axis.of_rank(x.shape().len())?;
        let dtype = dtype.or(accumulation_type(x.ty().dtype))?;
        Ok(reduce(Reduction::Product, x.convert(dtype), &axes, keepdims))
    };
    /// The largest element over axes.
    max Max(x) {
        /// The reduced axes (default: all).
        axis: Axes = Axes::All,
        /// Whether the result keeps the axes, with extent 1 (default: no).
        keepdims: bool = false,
        /// What the result is at least (default: none; an axis without elements needs it).
        initial: Option<f64> = None,
    } = |_, &[x]| extremum(Reduction::Max, *x, &axis.of_rank(x.shape().len())?, keepdims, initial);
    /// The smallest element over axes.
    min Min(x) {
        /// The reduced axes (default: all).
        axis: Axes = Axes::All,
        /// Whether the result keeps the axes, with extent 1 (default: no).
        keepdims: bool = false,
        /// What the result is at most (default: none; an axis without elements needs it).
        initial: Option<f64> = None,
    } = |_, &[x]| extremum(Reduction::Min, *x, &axis.of_rank(x.shape().len())?, keepdims, initial);
    /// The number of elements over axes that are not zero; `int32`.
    count_nonzero CountNonzero(x) {
        /// The reduced axes (default: all).
        axis: Axes = Axes::All,
    } = |_, &[x]| {
        let axes = axis.of_rank(x.shape().len())?;
        Ok(truth(*x).convert(DType::I32).reduce(Reduction::Sum, &axes))
    };
    /// The position of the first largest element along an axis, of all elements in row-major order without one; `int32`.
    argmax Argmax(x) {
        /// The axis (default: none).
        axis: Axes = Axes::All,
        /// Whether the result keeps the axes, with extent 1 (default: no).
        keepdims: bool = false,
    } = |_, &[x]| position(Extremum::Max, with_ordered_zeros(*x), &axis, keepdims);
    /// The position of the first smallest element along an axis, of all elements in row-major order without one; `int32`.
    argmin Argmin(x) {
        /// The axis (default: none).
        axis: Axes = Axes::All,
        /// Whether the result keeps the axes, with extent 1 (default: no).
        keepdims: bool = false,
    } = |_, &[x]| position(Extremum::Min, with_ordered_zeros(*x), &axis, keepdims);
}

/// The largest or smallest element.
fn extremum<'s, 'b>(
    kind: Reduction,
    x: Formula<'s, 'b>,
    axes: &[usize],
    keepdims: bool,
    initial: Option<f64>,
) -> Result<Formula<'s, 'b>, TypeError> {
    if initial.is_none() && axes.iter().any(|&axis| x.shape()[axis].is(0)) {
        return Err(wrong("an axis without elements has no extremum, expected `initial`"));
    }
    let reduced = reduce(kind, x, axes, keepdims);
    Ok(match (initial, kind) {
        (None, _) => reduced,
        (Some(initial), Reduction::Max) => reduced.maximum(initial),
        (Some(initial), _) => reduced.minimum(initial),
    })
}

/// The position of the first extremum along an axis, or among all elements in row-major order; a NaN counts as the extremum.
pub(super) fn position<'s, 'b>(
    kind: Extremum,
    x: Formula<'s, 'b>,
    axis: &Axes,
    keepdims: bool,
) -> Result<Formula<'s, 'b>, TypeError> {
    let shape = x.shape();
    let (x, at, axes) = match axis.one(shape.len())? {
        Some(axis) => (x, axis, vec![axis]),
        None => (flat(x), 0, (0..shape.len()).collect()),
    };
    if x.shape()[at].is(0) {
        return Err(wrong("an axis without elements has no extremum"));
    }
    let result = x.scope().op(ArgReduce { kind, axis: at, dtype: DType::I32 }, &[x]);
    Ok(keep(result, &shape, &axes, keepdims))
}

/// With the number next to 0 for -0, which Keras on a CPU takes to be less than 0.
fn with_ordered_zeros<'s, 'b>(x: Formula<'s, 'b>) -> Formula<'s, 'b> {
    let ty = x.ty();
    if !ty.dtype.is_float() || ty.rank() == 0 {
        return x;
    }
    let wide = x.convert(statistics_type(ty.dtype));
    let is_negative_zero = wide.equal(0.0).and(bits(wide).less(0.0));
    is_negative_zero.select(-wide.smallest_normal(), wide)
}

/// Computed statistics of a tensor in the dtype that Keras gives them: the tensor's, if it is a floating-point one.
pub(super) fn in_own<'s, 'b>(computed: Formula<'s, 'b>, dtype: DType) -> Formula<'s, 'b> {
    if dtype.is_float() { computed.convert(dtype) } else { computed }
}

/// The mean, computed in at least `float32`.
pub(super) fn mean_of<'s, 'b>(x: Formula<'s, 'b>, axes: &[usize], keepdims: bool) -> Formula<'s, 'b> {
    let dtype = x.ty().dtype;
    in_own(keep(x.convert(statistics_type(dtype)).mean(axes), &x.shape(), axes, keepdims), dtype)
}

/// The variance, in at least `float32`.
fn variance<'s, 'b>(x: Formula<'s, 'b>, axes: &[usize], keepdims: bool) -> Formula<'s, 'b> {
    let x = x.convert(statistics_type(x.ty().dtype));
    let variance = (x - x.mean_keep(axes)).square().mean(axes);
    keep(variance, &x.shape(), axes, keepdims)
}
