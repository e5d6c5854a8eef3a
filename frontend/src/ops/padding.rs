//! Padding.

use super::arguments::wrong;
use super::declare::functions;
use super::formulas::{concatenate, known_extent, pad as pad_with, reverse, slice};
use super::reduction::{keep, mean_of};
use kc_ir::Dim;
use kc_ir::tensor::ops::Reduction;
use kc_ir::tensor::{Tensor as Formula, TypeError};

/// Elements before and after each axis: one number for all, a pair for all, or a pair an axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PadWidth(Vec<[i64; 2]>);

impl From<i32> for PadWidth {
    fn from(width: i32) -> Self {
        PadWidth(vec![[width.into(); 2]])
    }
}
impl From<i64> for PadWidth {
    fn from(width: i64) -> Self {
        PadWidth(vec![[width; 2]])
    }
}
impl From<[i64; 2]> for PadWidth {
    fn from(widths: [i64; 2]) -> Self {
        PadWidth(vec![widths])
    }
}
impl<const N: usize> From<[[i64; 2]; N]> for PadWidth {
    fn from(widths: [[i64; 2]; N]) -> Self {
        PadWidth(widths.to_vec())
    }
}
impl<const N: usize> From<[(i64, i64); N]> for PadWidth {
    fn from(widths: [(i64, i64); N]) -> Self {
        PadWidth(widths.map(|(low, high)| [low, high]).to_vec())
    }
}
impl From<Vec<[i64; 2]>> for PadWidth {
    fn from(widths: Vec<[i64; 2]>) -> Self {
        PadWidth(widths)
    }
}

functions! {
    /// More elements before and after each axis.
    pad Pad(x; pad_width: PadWidth) {
        /// What they are: `"constant"`, `"edge"` (the nearest element), `"reflect"` (mirrored at the edge's element), `"symmetric"`
        /// (mirrored at the edge), `"wrap"` (from the other end), `"linear_ramp"` (falling to 0), `"maximum"`, `"minimum"`, `"mean"`
        /// (of the axis), `"empty"` (not to be relied on). Default: `"constant"`.
        mode: String = "constant".to_string(),
        /// The value of the mode `"constant"` (default: 0).
        constant_values: Option<f64> = None,
    } = |_, &[x]| {
        let rank = x.shape().len();
        let widths = match pad_width.0.as_slice() {
            [all] => vec![*all; rank],
            each if each.len() == rank => each.to_vec(),
            each => return Err(wrong(format!("`pad_width` has {} pairs, expected 1 or {rank}", each.len()))),
        };
        if let Some(width) = widths.as_flattened().iter().find(|&&width| width < 0) {
            return Err(wrong(format!("`pad_width` has {width}, expected at least 0")));
        }
        if constant_values.is_some() && mode != "constant" {
            return Err(wrong(format!("`constant_values` is for the mode `constant`, the mode is `{mode}`")));
        }
        let value = x.number(constant_values.unwrap_or(0.0));
        let padded = |x: Formula<'s, 'b>, axis: usize, low: i64, high: i64| match mode.as_str() {
            "constant" | "empty" => Ok(pad_with(x, axis, low, high, value)),
            "edge" => Ok(edge(x, axis, low, high)),
            "reflect" => mirrored(x, axis, low, high, 1),
            "symmetric" => mirrored(x, axis, low, high, 0),
            "wrap" => wrapped(x, axis, low, high),
            "linear_ramp" => Ok(ramp(x, axis, low, high)),
            "maximum" => Ok(with_both(x, axis, low, high, |x| keep(x.reduce(Reduction::Max, &[axis]), &x.shape(), &[axis], true))),
            "minimum" => Ok(with_both(x, axis, low, high, |x| keep(x.reduce(Reduction::Min, &[axis]), &x.shape(), &[axis], true))),
            "mean" => Ok(with_both(x, axis, low, high, |x| mean_like(x, axis))),
            other => Err(wrong(format!(
                "unknown mode `{other}`{}",
                crate::error::did_you_mean(
                    other,
                    &["constant", "edge", "reflect", "symmetric", "wrap", "linear_ramp", "maximum", "minimum", "mean", "empty"]
                )
            ))),
        };
        (0..rank).zip(widths).try_fold(*x, |x, (axis, [low, high])| {
            if low == 0 && high == 0 { Ok(x) } else { padded(x, axis, low, high) }
        })
    };
}

/// The mean along an axis, which stays; of integers rounded.
fn mean_like<'s, 'b>(x: Formula<'s, 'b>, axis: usize) -> Formula<'s, 'b> {
    let dtype = x.ty().dtype;
    let mean = mean_of(x, &[axis], true);
    if dtype.is_float() { mean } else { mean.round_even().convert(dtype) }
}

/// One slice, repeated before and after an axis.
fn with_both<'s, 'b>(
    x: Formula<'s, 'b>,
    axis: usize,
    low: i64,
    high: i64,
    one: impl FnOnce(Formula<'s, 'b>) -> Formula<'s, 'b>,
) -> Formula<'s, 'b> {
    let one = one(x);
    joined(x, axis, repeated(one, axis, low), repeated(one, axis, high))
}

fn edge<'s, 'b>(x: Formula<'s, 'b>, axis: usize, low: i64, high: i64) -> Formula<'s, 'b> {
    let extent = x.shape()[axis].clone();
    let first = slice(x, axis, 0i64, 1i64, 1);
    let last = slice(x, axis, extent.clone() - Dim::constant(1), extent, 1);
    joined(x, axis, repeated(first, axis, low), repeated(last, axis, high))
}

/// A slice of extent 1, that many times.
fn repeated<'s, 'b>(x: Formula<'s, 'b>, axis: usize, times: i64) -> Option<Formula<'s, 'b>> {
    let mut shape = x.shape();
    shape[axis] = Dim::constant(times);
    (times > 0).then(|| x.broadcast_to(&shape))
}

fn joined<'s, 'b>(
    x: Formula<'s, 'b>,
    axis: usize,
    low: Option<Formula<'s, 'b>>,
    high: Option<Formula<'s, 'b>>,
) -> Formula<'s, 'b> {
    let parts: Vec<Formula<'s, 'b>> = low.into_iter().chain([x]).chain(high).collect();
    concatenate(x.scope(), &parts, axis)
}

/// Mirrored at both ends, as often as it takes; the `shared` elements at an end are not repeated.
fn mirrored<'s, 'b>(
    x: Formula<'s, 'b>,
    axis: usize,
    mut low: i64,
    mut high: i64,
    shared: i64,
) -> Result<Formula<'s, 'b>, TypeError> {
    let mut x = x;
    let extent = known_extent(&x.shape(), axis)?;
    if extent == 0 {
        return Err(wrong(format!("axis {axis} has no elements to mirror")));
    }
    if extent <= shared {
        return Ok(edge(x, axis, low, high));
    }
    while low > 0 || high > 0 {
        let extent = known_extent(&x.shape(), axis)?;
        let (before, after) = (low.min(extent - shared), high.min(extent - shared));
        let part = |start: i64, limit: i64| (limit > start).then(|| reverse(slice(x, axis, start, limit, 1), &[axis]));
        let (start, end) = (part(shared, shared + before), part(extent - shared - after, extent - shared));
        x = joined(x, axis, start, end);
        (low, high) = (low - before, high - after);
    }
    Ok(x)
}

/// What follows at an end is what stands at the other.
fn wrapped<'s, 'b>(x: Formula<'s, 'b>, axis: usize, low: i64, high: i64) -> Result<Formula<'s, 'b>, TypeError> {
    let extent = known_extent(&x.shape(), axis)?;
    if extent == 0 {
        return Err(wrong(format!("axis {axis} has no elements to repeat")));
    }
    let mut parts = Vec::new();
    let rest = low % extent;
    parts.extend((rest > 0).then(|| slice(x, axis, extent - rest, extent, 1)));
    parts.extend(std::iter::repeat_n(x, (low / extent + 1 + high / extent) as usize));
    let rest = high % extent;
    parts.extend((rest > 0).then(|| slice(x, axis, 0i64, rest, 1)));
    Ok(concatenate(x.scope(), &parts, axis))
}

/// Falling in equal steps from the edges to 0.
fn ramp<'s, 'b>(x: Formula<'s, 'b>, axis: usize, low: i64, high: i64) -> Formula<'s, 'b> {
    let dtype = x.ty().dtype;
    let extent = x.shape()[axis].clone();
    let side = |one: Formula<'s, 'b>, width: i64, is_rising: bool| {
        let mut shape = one.shape();
        shape[axis] = Dim::constant(width);
        let position = super::formulas::iota(x.scope(), super::promotion::statistics_type(dtype), &shape, axis);
        let share = position / width as f64;
        let share = if is_rising { share } else { reverse(share, &[axis]) };
        let ramp = one.convert(share.ty().dtype).broadcast_to(&shape) * share;
        (width > 0).then(|| if dtype.is_float() { ramp } else { ramp.floor() }.convert(dtype))
    };
    let first = slice(x, axis, 0i64, 1i64, 1);
    let last = slice(x, axis, extent.clone() - Dim::constant(1), extent, 1);
    joined(x, axis, side(first, low, true), side(last, high, false))
}
