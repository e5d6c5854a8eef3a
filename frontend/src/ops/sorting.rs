//! Sorting, and what is found by it: medians and quantiles.

use super::arguments::{Axes, axis as counted, wrong};
use super::declare::functions;
use super::formulas::{concatenate, extent_of, flat, iota, is_nan, known_extent, move_axis, slice, with_axis};
use super::function::Operand;
use super::promotion::promote_float;
use super::taking::{taken, taken_along};
use kc_ir::tensor::ops::{Direction, Reduction, Sort as SortOp};
use kc_ir::tensor::{Tensor as Formula, TypeError};
use kc_ir::{DType, Dim};

functions! {
    /// The elements in ascending order along an axis; NaN comes last.
    sort Sort(x) {
        /// The axis (default: the last).
        axis: i64 = -1,
    } = |_, &[x]| Ok(sorted(*x, counted(axis, x.shape().len())?));
    /// The positions along an axis in the order of their elements; equal ones in the order in which they stand. `int32`.
    argsort Argsort(x) {
        /// The axis (default: the last).
        axis: i64 = -1,
    } = |_, &[x]| {
        let x = if x.shape().is_empty() { flat(*x) } else { *x };
        Ok(sorted_with_positions(x, counted(axis, x.shape().len())?)[1])
    };
    /// Positions along an axis: first those of the `kth + 1` smallest elements, in their order, then the others. `int32`.
    argpartition Argpartition(x; kth: i64) {
        /// The axis; `None` for all elements in one axis (default: the last).
        axis: Axes = Axes::from(-1),
    } = |scope, &[x]| {
        let (x, axis) = match axis.one(x.shape().len())? {
            Some(axis) => (*x, axis),
            None => (flat(*x), 0),
        };
        let extent = known_extent(&x.shape(), axis)?;
        let kth = if kth < 0 { kth + extent } else { kth };
        if !(0..extent).contains(&kth) {
            return Err(wrong(format!("`kth` is {kth}, expected a position of an axis of extent {extent}")));
        }
        let [_, order] = sorted_with_positions(x, axis);
        let rest = slice(order, axis, kth + 1, extent, 1);
        concatenate(scope, &[slice(order, axis, 0i64, kth + 1, 1), sorted(rest, axis)], axis)
    };
}

/// Sorted along an axis.
pub(super) fn sorted<'s, 'b>(x: Formula<'s, 'b>, axis: usize) -> Formula<'s, 'b> {
    x.scope().op(SortOp { axis, keys: 1, direction: Direction::Ascending }, &[x])
}

/// Sorted along an axis, and where the elements stood.
pub(super) fn sorted_with_positions<'s, 'b>(x: Formula<'s, 'b>, axis: usize) -> [Formula<'s, 'b>; 2] {
    let positions = iota(x.scope(), DType::I32, &x.shape(), axis);
    x.scope().ops(SortOp { axis, keys: 1, direction: Direction::Ascending }, &[x, positions])
}

/// What is taken between two neighbours.
#[derive(Clone, Copy)]
enum Method {
    Linear,
    Lower,
    Higher,
    Nearest,
    Midpoint,
}

impl Method {
    fn from_name(name: &str) -> Result<Self, TypeError> {
        Ok(match name {
            "linear" => Method::Linear,
            "lower" => Method::Lower,
            "higher" => Method::Higher,
            "nearest" => Method::Nearest,
            "midpoint" => Method::Midpoint,
            other => {
                let known = ["linear", "lower", "higher", "nearest", "midpoint"];
                return Err(wrong(format!("unknown method `{other}`{}", crate::error::did_you_mean(other, &known))));
            }
        })
    }
}

/// What becomes of NaN.
#[derive(Clone, Copy, PartialEq)]
enum Missing {
    /// It is the result.
    Spreads,
    /// It is left out.
    Skipped,
}

/// The values below which shares `q` of the elements over axes lie; `q` has at most one axis, which is the first of the result.
fn quantiles<'s, 'b>(
    x: Formula<'s, 'b>,
    q: Formula<'s, 'b>,
    axes: &[usize],
    keepdims: bool,
    method: Method,
    missing: Missing,
) -> Result<Formula<'s, 'b>, TypeError> {
    let scope = x.scope();
    let (shape, shares) = (x.shape(), q.shape());
    if shares.len() > 1 {
        return Err(wrong(format!("`q` has {} axes, expected at most 1", shares.len())));
    }
    // the reduced axes as one, the last
    let others: Vec<usize> = (0..shape.len()).filter(|axis| !axes.contains(axis)).collect();
    let outer: Vec<Dim> = others.iter().map(|&axis| shape[axis].clone()).collect();
    let count: Dim = axes.iter().map(|&axis| shape[axis].clone()).product();
    if count.is(0) {
        return Err(wrong("there are no elements"));
    }
    let line = [&outer[..], std::slice::from_ref(&count)].concat();
    let last = outer.len();
    let lines = x.transpose(&[&others[..], axes].concat()).reshape(&line);
    let ordered = sorted(lines, last);
    let q = flat(q);
    let counts = match missing {
        Missing::Spreads => extent_of(scope, &count, q.ty().dtype),
        Missing::Skipped => {
            let numbers = lines.equal(lines).convert(q.ty().dtype).reduce(Reduction::Sum, &[last]);
            with_axis(numbers, last)
        }
    };
    let places = q * (counts - 1.0);
    let (low, high) = (places.floor(), places.ceil());
    let weight = places - low;
    let largest = extent_of(scope, &count, DType::I32) - 1.0;
    let at = |place: Formula<'s, 'b>| {
        let place = place.convert(DType::I32).maximum(0.0).minimum(largest);
        if place.shape().len() == 1 && missing == Missing::Spreads {
            Ok(taken(ordered, place, last))
        } else {
            taken_along(ordered, place, last)
        }
    };
    let (below, above) = (at(low)?, at(high)?);
    let result = match method {
        Method::Linear => below * (1.0 - weight) + above * weight,
        Method::Lower => below,
        Method::Higher => above,
        Method::Nearest => {
            let is_low = weight.less_equal(0.5).broadcast_to(&below.shape());
            is_low.select(below, above)
        }
        Method::Midpoint => (below + above) * 0.5,
    };
    let is_missing = match missing {
        Missing::Spreads => is_nan(lines).reduce(Reduction::Max, &[last]),
        Missing::Skipped => is_nan(lines).reduce(Reduction::Min, &[last]),
    };
    let is_missing = with_axis(is_missing, last).broadcast_to(&result.shape());
    let result = is_missing.select(result.number(f64::NAN), result);
    let result = move_axis(result, last, 0);
    let kept = |axis: usize| if axes.contains(&axis) { Dim::constant(1) } else { shape[axis].clone() };
    let inner = if keepdims { (0..shape.len()).map(kept).collect() } else { outer };
    Ok(result.reshape(&[shares, inner].concat()))
}

/// Operands of a quantile in their dtype.
fn shares<'s, 'b>(operands: [Operand<'s, 'b>; 2], scale: f64) -> [Formula<'s, 'b>; 2] {
    let [x, q] = promote_float(operands);
    [x, if scale == 1.0 { q } else { q / scale }]
}

macro_rules! quantile_functions {
    ($($(#[$doc:meta])* $name:ident $class:ident $missing:ident $scale:expr;)*) => { functions! { $(
        $(#[$doc])*
        $name $class(x, q) {
            /// The reduced axes (default: all).
            axis: Axes = Axes::All,
            /// What is taken between two elements: `"linear"` (in between), `"lower"`, `"higher"`, `"nearest"`, `"midpoint"`. Default:
            /// `"linear"`.
            method: String = "linear".to_string(),
            /// Whether the result keeps the axes, with extent 1 (default: no).
            keepdims: bool = false,
        } = |_, &[x, q]| {
            let axes = axis.of_rank(x.shape().len())?;
            let [x, q] = shares([x, q], $scale);
            quantiles(x, q, &axes, keepdims, Method::from_name(&method)?, Missing::$missing)
        };
    )* } };
}
quantile_functions! {
    /// The value below which a share `q` of the elements over axes lies; NaN where an element is.
    quantile Quantile Spreads 1.0;
    /// The value below which `q` percent of the elements over axes lie; NaN where an element is.
    percentile Percentile Spreads 100.0;
    /// The value below which a share `q` of the elements over axes but NaN lies.
    nanquantile Nanquantile Skipped 1.0;
    /// The value below which `q` percent of the elements over axes but NaN lie.
    nanpercentile Nanpercentile Skipped 100.0;
}

macro_rules! medians {
    ($($(#[$doc:meta])* $name:ident $class:ident $missing:ident;)*) => { functions! { $(
        $(#[$doc])*
        $name $class(x) {
            /// The reduced axes (default: all).
            axis: Axes = Axes::All,
            /// Whether the result keeps the axes, with extent 1 (default: no).
            keepdims: bool = false,
        } = |_, &[x]| {
            let axes = axis.of_rank(x.shape().len())?;
            let [x] = promote_float([x]);
            quantiles(x, x.number(0.5), &axes, keepdims, Method::Midpoint, Missing::$missing)
        };
    )* } };
}
medians! {
    /// The element in the middle of the order over axes, of an even number the mean of the two; NaN where an element is.
    median Median Spreads;
    /// The element in the middle of the order over axes without NaN, of an even number the mean of the two.
    nanmedian Nanmedian Skipped;
}
