//! Shapes and axes: functions that move elements and compute nothing.

use super::arguments::{Axes, axis as counted, distinct, resolve_shape, wrong};
use super::declare::functions;
use super::formulas::{concatenate as join, flat, known_extent, reverse, slice, with_axis, without_axis};
use super::promotion::accumulation_type;
use crate::IntoShape;
use kc_ir::Dim;
use kc_ir::tensor::{Tensor as Formula, TypeError};

/// A shape as an argument: `[2, 3]`, `()`, extents with symbols.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape(pub(super) Vec<Dim>);

impl<S: IntoShape> From<S> for Shape {
    fn from(shape: S) -> Shape {
        Shape(shape.into_shape())
    }
}

/// A list of integers as an argument: `2` or `[1, 2]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Integers {
    pub(super) values: Vec<i64>,
    /// Whether it was one number.
    pub(super) is_one: bool,
}

impl From<i32> for Integers {
    fn from(value: i32) -> Self {
        Integers { values: vec![value.into()], is_one: true }
    }
}
impl From<i64> for Integers {
    fn from(value: i64) -> Self {
        Integers { values: vec![value], is_one: true }
    }
}
impl<const N: usize> From<[i64; N]> for Integers {
    fn from(values: [i64; N]) -> Self {
        Integers { values: values.to_vec(), is_one: false }
    }
}
impl From<Vec<i64>> for Integers {
    fn from(values: Vec<i64>) -> Self {
        Integers { values, is_one: false }
    }
}
impl From<&[i64]> for Integers {
    fn from(values: &[i64]) -> Self {
        Integers { values: values.to_vec(), is_one: false }
    }
}

/// [`Integers`] that may be left out, for what the function says then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OptionalIntegers(pub(super) Option<Integers>);

impl<I: Into<Integers>> From<I> for OptionalIntegers {
    fn from(integers: I) -> Self {
        OptionalIntegers(Some(integers.into()))
    }
}

functions! {
    /// The same elements in row-major order in another shape; one extent may be -1, for what is left.
    reshape Reshape(x; newshape: Shape) = |_, &[x]| Ok(x.reshape(&resolve_shape(&newshape.0, &x.shape())?));
    /// All elements in one axis.
    ravel Ravel(x) = |_, &[x]| flat(*x);
    /// Repeated along axes of extent 1 and new leading ones.
    broadcast_to BroadcastTo(x; shape: Shape) = |_, &[x]| {
        let own = x.shape();
        if kc_ir::tensor::broadcast_shapes(&own, &shape.0).as_ref() != Some(&shape.0) {
            return Err(wrong(format!("it cannot be broadcast to the shape {}", crate::shape_text(&shape.0))));
        }
        x.broadcast_to(&shape.0)
    };
    /// New axes of extent 1, at these places of the result.
    expand_dims ExpandDims(x; axis: Axes) = |_, &[x]| {
        let Axes::Some(given) = axis else { return Err(wrong("expected an axis")) };
        let mut axes = distinct(&given, x.shape().len() + given.len())?;
        axes.sort_unstable();
        axes.into_iter().fold(*x, with_axis)
    };
    /// Without axes of extent 1.
    squeeze Squeeze(x) {
        /// The axes to leave out (default: all of extent 1).
        axis: Axes = Axes::All,
    } = |_, &[x]| {
        let shape = x.shape();
        let axes = match &axis {
            Axes::All => (0..shape.len()).filter(|&axis| shape[axis].is(1)).collect(),
            given => given.of_rank(shape.len())?,
        };
        if let Some(axis) = axes.iter().find(|&&axis| !shape[axis].is(1)) {
            return Err(wrong(format!("axis {axis} has the extent {}, expected 1", shape[*axis])));
        }
        axes.into_iter().rev().fold(*x, without_axis)
    };
    /// Permuted axes: axis `i` of the result is axis `axes[i]` of `x`.
    transpose Transpose(x) {
        /// The permutation (default: the axes in reversed order).
        axes: Axes = Axes::All,
    } = |_, &[x]| {
        let rank = x.shape().len();
        let permutation = match &axes {
            Axes::All => (0..rank).rev().collect(),
            Axes::Some(given) => distinct(given, rank)?,
        };
        if permutation.len() != rank {
            return Err(wrong(format!("`axes` has {} entries, expected one for each of {rank} axes", permutation.len())));
        }
        x.transpose(&permutation)
    };
    /// Two axes exchanged.
    swapaxes Swapaxes(x; axis1: i64, axis2: i64) = |_, &[x]| {
        let rank = x.shape().len();
        let mut permutation: Vec<usize> = (0..rank).collect();
        permutation.swap(counted(axis1, rank)?, counted(axis2, rank)?);
        Ok(x.transpose(&permutation))
    };
    /// Axes moved to other places; the others keep their order.
    moveaxis Moveaxis(x; source: Integers, destination: Integers) = |_, &[x]| {
        let rank = x.shape().len();
        let (source, destination) = (distinct(&source.values, rank)?, distinct(&destination.values, rank)?);
        if source.len() != destination.len() {
            return Err(wrong(format!("`source` has {} axes, `destination` {}", source.len(), destination.len())));
        }
        let mut permutation: Vec<usize> = (0..rank).filter(|axis| !source.contains(axis)).collect();
        let mut moves: Vec<(usize, usize)> = destination.into_iter().zip(source).collect();
        moves.sort_unstable();
        moves.into_iter().for_each(|(to, from)| permutation.insert(to, from));
        x.transpose(&permutation)
    };
    /// In reversed order.
    flip Flip(x) {
        /// The reversed axes (default: all).
        axis: Axes = Axes::All,
    } = |_, &[x]| Ok(reverse(*x, &axis.of_rank(x.shape().len())?));
    /// Columns in reversed order.
    fliplr Fliplr(x) = |_, &[x]| {
        counted(1, x.shape().len())?;
        Ok(reverse(*x, &[1]))
    };
    /// Rows in reversed order.
    flipud Flipud(x) = |_, &[x]| {
        counted(0, x.shape().len())?;
        Ok(reverse(*x, &[0]))
    };
    /// Rotated by quarter turns from the first of two axes to the second.
    rot90 Rot90(x) {
        /// The number of turns (default: 1).
        k: i64 = 1,
        /// The two axes (default: 0 and 1).
        axes: Integers = Integers::from([0, 1]),
    } = |_, &[x]| {
        let rank = x.shape().len();
        let axes = distinct(&axes.values, rank)?;
        let &[first, second] = axes.as_slice() else { return Err(wrong("expected two axes")) };
        let mut permutation: Vec<usize> = (0..rank).collect();
        permutation.swap(first, second);
        match k.rem_euclid(4) {
            0 => *x,
            1 => reverse(*x, &[second]).transpose(&permutation),
            2 => reverse(*x, &[first.min(second), first.max(second)]),
            _ => reverse(x.transpose(&permutation), &[second]),
        }
    };
    /// Elements moved on along axes; what leaves at the end comes in at the start.
    roll Roll(x; shift: Integers) {
        /// The axes, one a shift (default: all elements in one axis).
        axis: Axes = Axes::All,
    } = |_, &[x]| {
        let shape = x.shape();
        let Axes::Some(given) = axis else {
            let all = shift.values.iter().sum();
            return Ok(vec![rolled(flat(*x), 0, all)?.reshape(&shape)]);
        };
        let axes = given.iter().map(|&axis| counted(axis, shape.len())).collect::<Result<Vec<_>, _>>()?;
        let count = axes.len().max(shift.values.len());
        if [axes.len(), shift.values.len()].into_iter().any(|length| length != 1 && length != count) {
            return Err(wrong(format!("{} shifts and {} axes, expected as many", shift.values.len(), axes.len())));
        }
        (0..count).try_fold(*x, |x, i| rolled(x, axes[i % axes.len()], shift.values[i % shift.values.len()]))
    };
    /// Each element several times along an axis.
    repeat Repeat(x; repeats: Integers) {
        /// The axis (default: all elements in one axis).
        axis: Axes = Axes::All,
    } = |_, &[x]| {
        let (x, axis) = match axis.one(x.shape().len())? {
            Some(axis) => (*x, axis),
            None => (flat(*x), 0),
        };
        if let Some(times) = repeats.values.iter().find(|&&times| times < 0) {
            return Err(wrong(format!("`repeats` has {times}, expected at least 0")));
        }
        if let [times] = repeats.values[..] {
            return Ok(vec![repeated(x, axis, times)]);
        }
        let extent = known_extent(&x.shape(), axis)?;
        if repeats.values.len() as i64 != extent {
            return Err(wrong(format!("`repeats` has {} entries, expected one or {extent}", repeats.values.len())));
        }
        let parts: Vec<Formula<'s, 'b>> = (0..)
            .zip(&repeats.values)
            .map(|(position, &times): (i64, &i64)| repeated(slice(x, axis, position, position + 1, 1), axis, times))
            .collect();
        if parts.is_empty() { x } else { join(x.scope(), &parts, axis) }
    };
    /// The whole tensor several times along each axis.
    tile Tile(x; repeats: Integers) = |_, &[x]| {
        let mut repeats = repeats.values;
        if let Some(times) = repeats.iter().find(|&&times| times < 0) {
            return Err(wrong(format!("`repeats` has {times}, expected at least 0")));
        }
        let mut shape = x.shape();
        while repeats.len() < shape.len() {
            repeats.insert(0, 1);
        }
        while shape.len() < repeats.len() {
            shape.insert(0, Dim::constant(1));
        }
        let times = |axis: usize| Dim::constant(repeats[axis]);
        let spread: Vec<Dim> = (0..shape.len()).flat_map(|axis| [times(axis), shape[axis].clone()]).collect();
        let axes: Vec<usize> = (0..shape.len()).map(|axis| 2 * axis + 1).collect();
        let result: Vec<Dim> = (0..shape.len()).map(|axis| times(axis) * shape[axis].clone()).collect();
        x.reshape(&shape).broadcast(&spread, &axes).reshape(&result)
    };
}

/// Moved on by that many places.
fn rolled<'s, 'b>(x: Formula<'s, 'b>, axis: usize, shift: i64) -> Result<Formula<'s, 'b>, TypeError> {
    let shape = x.shape();
    let extent = &shape[axis];
    let shift = match extent.as_constant() {
        Some(0) => 0,
        Some(extent) => shift.rem_euclid(extent),
        None => return Err(wrong(format!("axis {axis} of {} must have a known extent to be rolled", x.ty()))),
    };
    if shift == 0 {
        return Ok(x);
    }
    let cut = extent.clone() - Dim::constant(shift);
    let [tail, head] = [slice(x, axis, cut.clone(), extent.clone(), 1), slice(x, axis, 0i64, cut, 1)];
    Ok(join(x.scope(), &[tail, head], axis))
}

/// Each element that many times along an axis.
fn repeated<'s, 'b>(x: Formula<'s, 'b>, axis: usize, times: i64) -> Formula<'s, 'b> {
    let mut shape = x.shape();
    let mut spread = shape.clone();
    spread.insert(axis + 1, Dim::constant(times));
    shape[axis] = shape[axis].clone() * Dim::constant(times);
    with_axis(x, axis + 1).broadcast_to(&spread).reshape(&shape)
}

functions! {
    /// The differences of neighbours along an axis, `n` times.
    diff Diff(a) {
        /// How often (default: 1).
        n: i64 = 1,
        /// The axis (default: the last).
        axis: i64 = -1,
    } = |_, &[a]| {
        let axis = counted(axis, a.shape().len())?;
        if n < 0 {
            return Err(wrong(format!("`n` is {n}, expected at least 0")));
        }
        let mut x = *a;
        for _ in 0..n {
            let extent = x.shape()[axis].clone();
            if extent.as_constant().is_some_and(|extent| extent < 1) {
                break;
            }
            let before = extent.clone() - Dim::constant(1);
            let [next, last] = [slice(x, axis, 1i64, extent, 1), slice(x, axis, 0i64, before, 1)];
            x = if x.ty().dtype == kc_ir::DType::Bool { next.not_equal(last) } else { next - last };
        }
        x
    };
    /// The diagonal of two axes, as the last axis of the result.
    diagonal Diagonal(x) {
        /// How far above the main diagonal; negative for below (default: 0).
        offset: i64 = 0,
        /// The axis of the rows (default: 0).
        axis1: i64 = 0,
        /// The axis of the columns (default: 1).
        axis2: i64 = 1,
    } = |_, &[x]| {
        let rank = x.shape().len();
        diagonal_of(*x, offset, counted(axis1, rank)?, counted(axis2, rank)?)
    };
    /// The sum of the diagonal of two axes.
    trace Trace(x) {
        /// How far above the main diagonal; negative for below (default: 0).
        offset: i64 = 0,
        /// The axis of the rows (default: 0).
        axis1: i64 = 0,
        /// The axis of the columns (default: 1).
        axis2: i64 = 1,
    } = |_, &[x]| {
        let rank = x.shape().len();
        let diagonal = diagonal_of(*x, offset, counted(axis1, rank)?, counted(axis2, rank)?)?;
        Ok(diagonal.convert(accumulation_type(x.ty().dtype)).sum(&[rank - 2]))
    };
}

/// The diagonal of two axes: in row-major order, every element that is one more than a row behind the one before it.
pub(super) fn diagonal_of<'s, 'b>(
    x: Formula<'s, 'b>,
    offset: i64,
    rows_axis: usize,
    columns_axis: usize,
) -> Result<Formula<'s, 'b>, TypeError> {
    let rank = x.shape().len();
    if rows_axis == columns_axis {
        return Err(wrong("`axis1` and `axis2` are the same axis"));
    }
    let mut permutation: Vec<usize> = (0..rank).filter(|axis| ![rows_axis, columns_axis].contains(axis)).collect();
    permutation.extend([rows_axis, columns_axis]);
    let x = x.transpose(&permutation);
    let mut shape = x.shape();
    let (rows, columns) = (known_extent(&shape, rank - 2)?, known_extent(&shape, rank - 1)?);
    let (row, column) = ((-offset).max(0), offset.max(0));
    let count = (rows - row).min(columns - column).max(0);
    shape.truncate(rank - 2);
    shape.push(Dim::constant(rows * columns));
    let x = x.reshape(&shape);
    if count == 0 {
        return Ok(slice(x, rank - 2, 0i64, 0i64, 1));
    }
    let start = row * columns + column;
    let step = columns + 1;
    Ok(slice(x, rank - 2, start, start + (count - 1) * step + 1, step))
}
