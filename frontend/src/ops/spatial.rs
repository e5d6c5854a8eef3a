//! Windows over the spatial axes of images, and elements by position.

use super::arguments::wrong;
use super::formulas::{iota, slice};
use super::movement::Integers;
use crate::layers::{DataFormat, Padding};
use kc_ir::tensor::ops::{Constant, Gather, GatherMode, IndexedWindows, Scatter, ScatterKind, ScatterMode};
use kc_ir::tensor::{Literal, Scalar, Scope, Tensor as Formula, TypeError};
use kc_ir::{DType, Dim};

/// Where the channels and the spatial axes of a batch of images are.
pub(super) struct Layout {
    /// The spatial axes in order.
    pub spatial: Vec<usize>,
    /// The axis of the channels.
    pub channels: usize,
}

/// Whether the channels come before the spatial axes.
pub(super) fn is_channels_first(format: &DataFormat) -> Result<bool, TypeError> {
    match format {
        DataFormat::ChannelsLast => Ok(false),
        DataFormat::ChannelsFirst => Ok(true),
        DataFormat::Unknown(name) => Err(wrong(format!(
            "unknown data format `{name}`{}",
            crate::error::did_you_mean(name, &["channels_last", "channels_first"])
        ))),
    }
}

/// The axes of a batch of that rank, which has at least one spatial axis.
pub(super) fn layout(format: &DataFormat, rank: usize) -> Result<Layout, TypeError> {
    let is_first = is_channels_first(format)?;
    if rank < 3 {
        return Err(wrong("expected at least 3 axes: the batch, the channels and spatial ones"));
    }
    Ok(match is_first {
        true => Layout { spatial: (2..rank).collect(), channels: 1 },
        false => Layout { spatial: (1..rank - 1).collect(), channels: rank - 1 },
    })
}

/// The numbers of an argument, one a spatial axis.
pub(super) fn one_each(argument: &str, given: &Integers, axes: usize, least: i64) -> Result<Vec<i64>, TypeError> {
    let values = if given.is_one { vec![given.values[0]; axes] } else { given.values.clone() };
    if values.len() != axes {
        return Err(wrong(format!("`{argument}` has {} numbers, expected one or {axes}", values.len())));
    }
    match values.iter().find(|&&value| value < least) {
        Some(value) => Err(wrong(format!("`{argument}` has {value}, expected at least {least}"))),
        None => Ok(values),
    }
}

/// Elements before and after an axis for windows that reach over so many elements.
pub(super) fn amounts(padding: &Padding, extent: &Dim, reach: i64, stride: i64) -> Result<(i64, i64), TypeError> {
    padding.amounts(extent, reach, stride).map_err(|error| wrong(error.to_string()))
}

/// How far a window reaches.
pub(super) fn reach(size: i64, dilation: i64) -> i64 {
    (size - 1).saturating_mul(dilation).saturating_add(1)
}

/// A vector of `int32`.
pub(super) fn positions<'s, 'b>(scope: &'s Scope<'b>, values: &[i64]) -> Formula<'s, 'b> {
    let scalars = values.iter().map(|&value| Scalar::Int(value.into()));
    scope.op(Constant { value: Literal::from_scalars(DType::I32, vec![values.len()], scalars) }, &[])
}

/// The axis replaced by the axes of the positions, whose elements are taken; the nearest element where there is none.
pub(super) fn take<'s, 'b>(x: Formula<'s, 'b>, axis: usize, positions: Formula<'s, 'b>) -> Formula<'s, 'b> {
    let (mut sizes, mut indices) = (x.shape(), positions.shape());
    let count = indices.len();
    let rank = sizes.len() + count - 1;
    sizes[axis] = Dim::constant(1);
    indices.push(Dim::constant(1));
    let windows = IndexedWindows {
        offset: (0..rank).filter(|&other| other < axis || other >= axis + count).collect(),
        collapsed: vec![axis],
        operand_batch: vec![],
        indices_batch: vec![],
        index_map: vec![axis],
    };
    x.scope().op(Gather { windows, sizes, mode: GatherMode::Clip }, &[x, positions.reshape(&indices)])
}

/// The axis replaced by two: the windows that lie inside of it, and the elements of each.
pub(super) fn windows<'s, 'b>(
    x: Formula<'s, 'b>,
    axis: usize,
    (size, stride, dilation): (i64, i64, i64),
) -> Result<Formula<'s, 'b>, TypeError> {
    let extent = x.shape()[axis].clone();
    let free = extent.clone() - Dim::constant(reach(size, dilation));
    if free.as_constant().is_some_and(|free| free < 0) {
        return Err(wrong(format!("a window of {size} elements does not fit into axis {axis} of extent {extent}")));
    }
    let count = free.floor_div(&Dim::constant(stride)) + Dim::constant(1);
    let shape = [count.clone(), Dim::constant(size)];
    if dilation == 1 && (size == stride || size == 1) {
        // windows side by side
        let all = match size {
            1 => slice(x, axis, 0i64, extent, stride),
            _ => slice(x, axis, 0i64, count * Dim::constant(size), 1),
        };
        let mut split = x.shape();
        split.splice(axis..=axis, shape);
        return Ok(all.reshape(&split));
    }
    let scope = x.scope();
    let first = iota(scope, DType::I32, &shape, 0) * stride;
    Ok(take(x, axis, first + iota(scope, DType::I32, &shape, 1) * dilation))
}

/// Two axes, the windows and the elements of each, replaced by the axis of that extent that the windows lie on, where they are added
/// up.
pub(super) fn sum_windows<'s, 'b>(
    x: Formula<'s, 'b>,
    axis: usize,
    extent: i64,
    (stride, dilation): (i64, i64),
) -> Formula<'s, 'b> {
    let (scope, shape) = (x.scope(), x.shape());
    let places = [shape[axis].clone(), shape[axis + 1].clone()];
    let places = iota(scope, DType::I32, &places, 0) * stride + iota(scope, DType::I32, &places, 1) * dilation;
    let mut indices = places.shape();
    indices.push(Dim::constant(1));
    let mut whole = shape.clone();
    whole.splice(axis..axis + 2, [Dim::constant(extent)]);
    let windows = IndexedWindows {
        offset: (0..shape.len()).filter(|&other| other != axis && other != axis + 1).collect(),
        collapsed: vec![axis],
        operand_batch: vec![],
        indices_batch: vec![],
        index_map: vec![axis],
    };
    let add = Scatter { kind: ScatterKind::Add, windows, mode: ScatterMode::Drop };
    scope.op(add, &[x.number(0.0).broadcast_to(&whole), places.reshape(&indices), x])
}
