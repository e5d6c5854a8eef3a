//! Elements at positions that are tensors.

use super::arguments::{Axes, wrong};
use super::declare::functions;
use super::formulas::{extent_of, flat, with_axis};
use super::movement::Shape;
use kc_ir::tensor::ops::{Gather, GatherMode, IndexedWindows};
use kc_ir::tensor::{Tensor as Formula, TypeError, broadcast_shapes};
use kc_ir::{DType, Dim};

functions! {
    /// The elements at positions of an axis; a negative one counts from the end. Where there is none: NaN, of integers the smallest
    /// (of unsigned ones the largest) number.
    take Take(x, indices) {
        /// The axis (default: all elements in one axis).
        axis: Axes = Axes::All,
    } = |_, &[x, indices]| {
        let (x, axis) = match axis.one(x.shape().len())? {
            Some(axis) => (*x, axis),
            None => (flat(*x), 0),
        };
        Ok(taken(x, positions(*indices, &x.shape()[axis])?, axis))
    };
    /// For each line along an axis the elements at positions of its own; the other axes are broadcast to each other.
    take_along_axis TakeAlongAxis(x, indices) {
        /// The axis (default: all elements in one axis).
        axis: Axes = Axes::All,
    } = |_, &[x, indices]| {
        let (x, indices, axis) = match axis.one(x.shape().len())? {
            Some(axis) => (*x, *indices, axis),
            None => (flat(*x), flat(*indices), 0),
        };
        taken_along(x, positions(indices, &x.shape()[axis])?, axis)
    };
    /// For each position among all elements of a shape its position on each axis: as many results, `.tensors()?`.
    unravel_index UnravelIndex(indices; shape: Shape) {} = |_, &[indices]| unravelled(*indices, &shape.0);
}

/// For each position among all elements of a shape its position on each axis.
pub(super) fn unravelled<'s, 'b>(indices: Formula<'s, 'b>, shape: &[Dim]) -> Result<Vec<Formula<'s, 'b>>, TypeError> {
    let dtype = indices.ty().dtype;
    let Some(extents) = shape.iter().map(Dim::as_constant).collect::<Option<Vec<i64>>>() else {
        return Err(wrong("the shape must be known"));
    };
    if !dtype.is_integer() {
        return Err(wrong(format!("the positions are {dtype}, expected integers")));
    }
    let count: i64 = extents.iter().product();
    // what lies outside is taken to be at the end
    let inside = indices.maximum(-count).minimum(count - 1);
    let inside = if dtype.is_signed_integer() { inside.less(0.0).select(inside + count, inside) } else { inside };
    let mut rest = inside;
    let mut places: Vec<Formula<'s, 'b>> = Vec::with_capacity(extents.len());
    for &extent in extents.iter().rev() {
        places.push(rest.remainder(extent));
        rest = rest / extent;
    }
    places.reverse();
    Ok(places)
}

/// Positions counted from the start, as integers of at least 32 bits.
pub(super) fn positions<'s, 'b>(indices: Formula<'s, 'b>, extent: &Dim) -> Result<Formula<'s, 'b>, TypeError> {
    let dtype = indices.ty().dtype;
    if !dtype.is_integer() && dtype != DType::Bool {
        return Err(wrong(format!("the indices are {dtype}, expected integers")));
    }
    if dtype.is_unsigned_integer() && dtype.bits() >= 32 {
        return Ok(indices);
    }
    let indices = if dtype.bits() < 32 { indices.convert(DType::I32) } else { indices };
    let extent = extent_of(indices.scope(), extent, indices.ty().dtype);
    Ok(indices.less(0.0).select(indices + extent, indices))
}

/// The elements at positions of an axis, which the axes of the positions replace.
pub(super) fn taken<'s, 'b>(x: Formula<'s, 'b>, positions: Formula<'s, 'b>, axis: usize) -> Formula<'s, 'b> {
    gathered(x, positions, axis, GatherMode::Invalid)
}

fn gathered<'s, 'b>(x: Formula<'s, 'b>, positions: Formula<'s, 'b>, axis: usize, mode: GatherMode) -> Formula<'s, 'b> {
    let mut sizes = x.shape();
    let rank = positions.shape().len();
    sizes[axis] = Dim::constant(1);
    let windows = IndexedWindows {
        offset: (0..axis).chain(axis + rank..sizes.len() - 1 + rank).collect(),
        collapsed: vec![axis],
        operand_batch: vec![],
        indices_batch: vec![],
        index_map: vec![axis],
    };
    x.scope().op(Gather { windows, sizes, mode }, &[x, with_axis(positions, rank)])
}

/// The elements at positions of an axis, of those outside the nearest.
pub(super) fn clipped<'s, 'b>(x: Formula<'s, 'b>, positions: Formula<'s, 'b>, axis: usize) -> Formula<'s, 'b> {
    gathered(x, positions, axis, GatherMode::Clip)
}

/// For each line along an axis the elements at its positions.
pub(super) fn taken_along<'s, 'b>(
    x: Formula<'s, 'b>,
    positions: Formula<'s, 'b>,
    axis: usize,
) -> Result<Formula<'s, 'b>, TypeError> {
    let (own, others) = (x.shape(), positions.shape());
    if own.len() != others.len() {
        return Err(wrong(format!("the indices have {} axes, expected {}", others.len(), own.len())));
    }
    let without = |shape: &[Dim]| {
        let mut shape = shape.to_vec();
        shape[axis] = Dim::constant(1);
        shape
    };
    let common = broadcast_shapes(&without(&own), &without(&others))
        .ok_or_else(|| wrong(format!("the indices {} cannot be broadcast to {}", positions.ty(), x.ty())))?;
    let along = |extent: &Dim| {
        let mut shape = common.clone();
        shape[axis] = extent.clone();
        shape
    };
    if common.iter().any(|extent| extent.is(0)) {
        // no line, nothing to read
        return Ok(x.number(0.0).broadcast_to(&along(&others[axis])));
    }
    let (x, positions) = (x.broadcast_to(&along(&own[axis])), positions.broadcast_to(&along(&others[axis])));
    let rank = own.len();
    let batch: Vec<usize> = (0..rank).filter(|&other| other != axis).collect();
    let windows = IndexedWindows {
        offset: vec![],
        collapsed: vec![axis],
        operand_batch: batch.clone(),
        indices_batch: batch,
        index_map: vec![axis],
    };
    let gather = Gather { windows, sizes: vec![Dim::constant(1); rank], mode: GatherMode::Invalid };
    Ok(x.scope().op(gather, &[x, with_axis(positions, rank)]))
}
