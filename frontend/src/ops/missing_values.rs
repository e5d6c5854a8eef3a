//! Reductions that leave NaN out.

use super::arguments::Axes;
use super::declare::functions;
use super::formulas::{infinity, is_nan};
use super::promotion::{accumulation_type, statistics_type};
use super::reduction::{in_own, keep, position, reduce, reductions};
use kc_ir::tensor::Tensor as Formula;
use kc_ir::tensor::ops::{Extremum, Reduction};

/// With another number for NaN.
pub(super) fn without_nan<'s, 'b>(x: Formula<'s, 'b>, instead: Formula<'s, 'b>) -> Formula<'s, 'b> {
    if x.ty().dtype.is_float() { is_nan(x).select(instead.broadcast_to(&x.shape()), x) } else { x }
}

/// An extremum of the numbers; NaN where there are none.
fn extremum<'s, 'b>(kind: Reduction, x: Formula<'s, 'b>, axes: &[usize], keepdims: bool) -> Formula<'s, 'b> {
    if !x.ty().dtype.is_float() {
        return reduce(kind, x, axes, keepdims);
    }
    let least = if kind == Reduction::Max { -infinity(x) } else { infinity(x) };
    let numbers = reduce(kind, without_nan(x, least), axes, keepdims);
    let none = reduce(Reduction::Min, is_nan(x), axes, keepdims);
    none.select(x.number(f64::NAN), numbers)
}

/// How many elements are numbers, in the dtype of statistics.
fn count<'s, 'b>(x: Formula<'s, 'b>, axes: &[usize], keepdims: bool) -> Formula<'s, 'b> {
    let dtype = statistics_type(x.ty().dtype);
    reduce(Reduction::Sum, x.equal(x).convert(dtype), axes, keepdims)
}

/// The sum of the numbers divided by how many they are.
fn mean<'s, 'b>(x: Formula<'s, 'b>, axes: &[usize], keepdims: bool) -> Formula<'s, 'b> {
    let wide = x.convert(statistics_type(x.ty().dtype));
    reduce(Reduction::Sum, without_nan(wide, wide.number(0.0)), axes, keepdims) / count(x, axes, keepdims)
}

fn variance<'s, 'b>(x: Formula<'s, 'b>, axes: &[usize], keepdims: bool) -> Formula<'s, 'b> {
    let wide = x.convert(statistics_type(x.ty().dtype));
    let centre = mean(x, axes, true).broadcast_to(&x.shape());
    // NaN replaced before it is squared, so that no derivative meets it
    let squares = (without_nan(wide, centre) - centre).square();
    reduce(Reduction::Sum, squares, axes, keepdims) / count(x, axes, keepdims)
}

reductions! {
    /// The largest element over axes but NaN; NaN where there is no other.
    nanmax Nanmax = |x, axes, keepdims| extremum(Reduction::Max, *x, &axes, keepdims);
    /// The smallest element over axes but NaN; NaN where there is no other.
    nanmin Nanmin = |x, axes, keepdims| extremum(Reduction::Min, *x, &axes, keepdims);
    /// The sum over axes, NaN as 0.
    nansum Nansum = |x, axes, keepdims| {
        let x = without_nan(*x, x.number(0.0));
        reduce(Reduction::Sum, x.convert(accumulation_type(x.ty().dtype)), &axes, keepdims)
    };
    /// The product over axes, NaN as 1.
    nanprod Nanprod = |x, axes, keepdims| {
        let x = without_nan(*x, x.number(1.0));
        reduce(Reduction::Product, x.convert(accumulation_type(x.ty().dtype)), &axes, keepdims)
    };
    /// The mean over axes without NaN.
    nanmean Nanmean = |x, axes, keepdims| in_own(mean(*x, &axes, keepdims), x.ty().dtype);
    /// The variance over axes without NaN.
    nanvar Nanvar = |x, axes, keepdims| in_own(variance(*x, &axes, keepdims), x.ty().dtype);
    /// The standard deviation over axes without NaN.
    nanstd Nanstd = |x, axes, keepdims| in_own(variance(*x, &axes, keepdims).sqrt(), x.ty().dtype);
}

macro_rules! positions {
    ($($(#[$doc:meta])* $name:ident $class:ident $kind:ident;)*) => { functions! { $(
        $(#[$doc])*
        $name $class(x) {
            /// The axis (default: none, all elements in row-major order).
            axis: Axes = Axes::All,
            /// Whether the result keeps the axes, with extent 1 (default: no).
            keepdims: bool = false,
        } = |_, &[x]| {
            if !x.ty().dtype.is_float() {
                return Ok(vec![position(Extremum::$kind, *x, &axis, keepdims)?]);
            }
            let least = if Extremum::$kind == Extremum::Max { -infinity(*x) } else { infinity(*x) };
            let found = position(Extremum::$kind, without_nan(*x, least), &axis, keepdims)?;
            let axes = axis.of_rank(x.shape().len())?;
            let none = keep(is_nan(*x).reduce(Reduction::Min, &axes), &x.shape(), &axes, keepdims);
            Ok(none.select(found.number(-1.0), found))
        };
    )* } };
}
positions! {
    /// The position of the first largest element but NaN; -1 where there is no other.
    nanargmax Nanargmax Max;
    /// The position of the first smallest element but NaN; -1 where there is no other.
    nanargmin Nanargmin Min;
}
