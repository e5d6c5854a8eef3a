//! Reading and writing at positions that are data.

use super::arguments::wrong;
use super::build;
use super::call::Call;
use super::declare::functions;
use super::function::{Function, Operand};
use super::movement::Shape;
use super::promotion::float;
use super::tensor::Tensor;
use kc_ir::tensor::ops::{
    Gather, GatherMode, IndexedWindows, Reduction, Scatter as ScatterOp, ScatterKind, ScatterMode,
};
use kc_ir::tensor::{Scope, Tensor as Formula, TypeError};
use kc_ir::{DType, Dim};
use std::panic::Location;

/// Windows that are indexed by the first axes of a tensor of that rank, one a component; the third tensor has the axes of the
/// indices first.
fn leading(components: usize, batch: usize, rank: usize) -> IndexedWindows {
    IndexedWindows {
        offset: (batch..batch + rank - components).collect(),
        collapsed: (0..components).collect(),
        operand_batch: vec![],
        indices_batch: vec![],
        index_map: (0..components).collect(),
    }
}

/// The number of components of indices whose last axis they are.
fn components(indices: Formula<'_, '_>, rank: usize) -> Result<usize, TypeError> {
    let dtype = indices.ty().dtype;
    let count = indices.shape().last().and_then(Dim::as_constant).filter(|_| dtype.is_integer());
    match count.and_then(|count| usize::try_from(count).ok()).filter(|&count| count <= rank) {
        Some(count) => Ok(count),
        None => Err(wrong(format!(
            "the indices are {}, expected integers `[.., n]` with n of at most {rank}",
            indices.ty()
        ))),
    }
}

/// Indices of which a negative one counts from the end.
fn counted<'s, 'b>(indices: Formula<'s, 'b>, shape: &[Dim]) -> Result<Formula<'s, 'b>, TypeError> {
    let indices = if indices.ty().dtype.is_unsigned_integer() { indices.convert(DType::I64) } else { indices };
    let count = components(indices, shape.len())?;
    let dtype = indices.ty().dtype;
    let extents: Vec<Formula<'s, 'b>> = shape[..count].iter().map(|extent| extent_of(indices, extent, dtype)).collect();
    let extents = super::formulas::concatenate(indices.scope(), &extents, 0).broadcast_to(&indices.shape());
    Ok(indices.less(0.0).select(indices + extents, indices))
}

/// An extent as a vector of one element.
fn extent_of<'s, 'b>(x: Formula<'s, 'b>, extent: &Dim, dtype: DType) -> Formula<'s, 'b> {
    let scalar = match extent.as_constant() {
        Some(extent) => x.scope().scalar(dtype, extent),
        None => x.scope().op(kc_ir::tensor::ops::Dimension { dim: extent.clone(), dtype }, &[]),
    };
    scalar.reshape(&[Dim::constant(1)])
}

/// How updates are combined with what they meet, by Keras' name.
fn kind(reduction: Option<&str>) -> Result<ScatterKind, TypeError> {
    Ok(match reduction.map(str::to_lowercase).as_deref() {
        None => ScatterKind::Set,
        Some("add") => ScatterKind::Add,
        Some("mul") => ScatterKind::Multiply,
        Some("max") => ScatterKind::Maximum,
        Some("min") => ScatterKind::Minimum,
        Some(other) => {
            let known = crate::error::did_you_mean(other, &["add", "mul", "max", "min"]);
            return Err(wrong(format!("unknown reduction `{other}`{known}, expected `add`, `mul`, `max` or `min`")));
        }
    })
}

functions! {
    /// Zeros of a shape, to which values are added at indices `[.., n]` of its first `n` axes; of what lies outside nothing is.
    scatter Scatter(indices, values; shape: Shape) = |_, &[indices, values]| {
        let zeros = values.number(0.0).broadcast_to(&shape.0);
        let indices = counted(*indices, &shape.0)?;
        write(zeros, indices, *values, ScatterKind::Add)
    };
    /// The inputs with updates at indices `[n, m]` of their first `m` axes; what lies outside is left out.
    scatter_update ScatterUpdate(inputs, indices, updates) {
        /// How an update is combined with what it meets: `"add"`, `"mul"`, `"max"`, `"min"` (default: it replaces it; of several the
        /// last does).
        reduction: Reduced = Reduced(None),
    } = |_, &[x, indices, updates]| {
        let kind = kind(reduction.0.as_deref())?;
        let batch: Vec<usize> = (0..indices.shape().len().saturating_sub(1)).rev().collect();
        // as Keras has it, batch axes of the indices are in reversed order in the updates
        let order: Vec<usize> = batch.iter().copied().chain([batch.len()]).collect();
        let indices = counted(indices.transpose(&order), &x.shape())?;
        write(*x, indices, updates.convert(x.ty().dtype), kind)
    };
    /// A box with the extents of `updates` in the inputs replaced by them; one that does not lie inside is moved until it does.
    slice_update SliceUpdate(inputs, start_indices, updates) = |scope, &[x, start, updates]| {
        let rank = x.shape().len();
        if rank == 0 {
            return Ok(vec![*updates]);
        }
        let windows = box_at(*start, rank)?;
        let update = ScatterOp { kind: ScatterKind::Set, windows, mode: ScatterMode::Clip };
        Ok(vec![scope.op(update, &[*x, *start, updates.convert(x.ty().dtype)])])
    };
    /// The sums of rows with the same segment number; rows of no segment are left out.
    segment_sum SegmentSum(data, segment_ids) {
        /// The number of segments, which must be given.
        num_segments: Option<i64> = None,
        /// Whether the numbers ascend; it changes nothing (default: no).
        sorted: bool = false,
    } = |_, &[data, ids]| segments(data, ids, num_segments, ScatterKind::Add);
    /// The products of rows with the same segment number; rows of no segment are left out.
    segment_prod SegmentProd(data, segment_ids) {
        /// The number of segments, which must be given.
        num_segments: Option<i64> = None,
        /// Whether the numbers ascend; it changes nothing (default: no).
        sorted: bool = false,
    } = |_, &[data, ids]| segments(data, ids, num_segments, ScatterKind::Multiply);
    /// The largest elements of rows with the same segment number, of no rows the smallest value of the dtype.
    segment_max SegmentMax(data, segment_ids) {
        /// The number of segments, which must be given.
        num_segments: Option<i64> = None,
        /// Whether the numbers ascend; it changes nothing (default: no).
        sorted: bool = false,
    } = |_, &[data, ids]| segments(data, ids, num_segments, ScatterKind::Maximum);
    /// The smallest elements of rows with the same segment number, of no rows the largest value of the dtype.
    segment_min SegmentMin(data, segment_ids) {
        /// The number of segments, which must be given.
        num_segments: Option<i64> = None,
        /// Whether the numbers ascend; it changes nothing (default: no).
        sorted: bool = false,
    } = |_, &[data, ids]| segments(data, ids, num_segments, ScatterKind::Minimum);
    /// Whether the prediction of the target's class is among the `k` largest; equal ones count as not larger.
    in_top_k InTopK(targets, predictions; k: i64) = |scope, &[targets, predictions]| {
        let predictions = float(predictions);
        let shape = predictions.shape();
        if shape.is_empty() || targets.shape() != shape[..shape.len() - 1] {
            return Err(wrong("expected predictions with one axis more than the targets, that of the classes"));
        }
        let batch = shape.len() - 1;
        let mut one = targets.shape();
        one.push(Dim::constant(1));
        let indices = targets.reshape(&one);
        let extent = extent_of(indices, &shape[batch], indices.ty().dtype).broadcast_to(&one);
        let indices = indices.less(0.0).select(indices + extent, indices);
        let windows = IndexedWindows {
            offset: vec![],
            collapsed: vec![batch],
            operand_batch: (0..batch).collect(),
            indices_batch: (0..batch).collect(),
            index_map: vec![batch],
        };
        let sizes = vec![Dim::constant(1); batch + 1];
        let chosen = scope.op(Gather { windows, sizes, mode: GatherMode::Invalid }, &[predictions, indices]);
        let chosen = chosen.equal(chosen).select(chosen, f64::NEG_INFINITY);
        let larger = predictions.greater(chosen.broadcast_along(&shape, &[batch])).convert(DType::I32);
        Ok(larger.sum(&[batch]).less(k as f64))
    };
}

/// The name of a reduction, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reduced(Option<String>);

impl From<&str> for Reduced {
    fn from(name: &str) -> Self {
        Reduced(Some(name.to_string()))
    }
}

impl From<Option<&str>> for Reduced {
    fn from(name: Option<&str>) -> Self {
        Reduced(name.map(str::to_string))
    }
}

/// Updates at indices of the first axes.
fn write<'s, 'b>(
    x: Formula<'s, 'b>,
    indices: Formula<'s, 'b>,
    updates: Formula<'s, 'b>,
    kind: ScatterKind,
) -> Result<Formula<'s, 'b>, TypeError> {
    let count = components(indices, x.shape().len())?;
    let batch = indices.shape().len() - 1;
    let shape = [&indices.shape()[..batch], &x.shape()[count..]].concat();
    let windows = leading(count, batch, x.shape().len());
    let updates = updates.broadcast_to(&shape);
    Ok(x.scope().op(ScatterOp { kind, windows, mode: ScatterMode::Drop }, &[x, indices, updates]))
}

/// The windows of a box whose first positions are a vector.
fn box_at(start: Formula<'_, '_>, rank: usize) -> Result<IndexedWindows, TypeError> {
    if start.shape() != [Dim::constant(rank as i64)] || !start.ty().dtype.is_integer() {
        return Err(wrong(format!("the start is {}, expected {rank} integers", start.ty())));
    }
    Ok(IndexedWindows {
        offset: (0..rank).collect(),
        collapsed: vec![],
        operand_batch: vec![],
        indices_batch: vec![],
        index_map: (0..rank).collect(),
    })
}

fn segments<'s, 'b>(
    data: Operand<'s, 'b>,
    ids: Operand<'s, 'b>,
    num_segments: Option<i64>,
    kind: ScatterKind,
) -> Result<Formula<'s, 'b>, TypeError> {
    let count = num_segments
        .filter(|&count| count >= 0)
        .ok_or_else(|| wrong("the number of segments must be given: `.num_segments(n)`"))?;
    let mut shape = data.shape();
    if shape.is_empty() || ids.shape() != shape[..1] || !ids.ty().dtype.is_integer() {
        return Err(wrong("expected rows, and an integer for each"));
    }
    shape[0] = Dim::constant(count);
    let dtype = data.ty().dtype;
    let reduction = kind.reduction().unwrap_or(Reduction::Sum);
    let neutral = match dtype.is_float() {
        true => data.number(reduction.neutral_float()),
        false => data.scope().scalar(dtype, kc_ir::tensor::Scalar::Int(reduction.neutral_int(dtype))),
    };
    let indices = ids.reshape(&[ids.shape()[0].clone(), Dim::constant(1)]);
    write(neutral.broadcast_to(&shape), indices, *data, kind)
}

/// The box of a shape whose first position is given; an extent of -1 reaches to the end, where the start is an array. A box that does
/// not lie inside is moved until it does.
#[track_caller]
pub fn slice(inputs: impl Into<Tensor>, start_indices: impl Into<Tensor>, shape: impl Into<Shape>) -> Tensor {
    let (inputs, start, place) = (inputs.into(), start_indices.into(), Location::caller());
    let start_known = start.as_array().filter(|start| start.dtype().is_integer()).map(build::literal);
    let starts = match start_known.transpose() {
        Ok(literal) => literal.map(|literal| literal.scalars().map(|start| start.to_i128()).collect()),
        Err(error) => return Tensor::error(error),
    };
    let operands = if starts.is_some() { vec![inputs] } else { vec![inputs, start] };
    Call { function: Slice { starts, shape: shape.into().0 }, operands, place }.into()
}

/// The arguments of [`slice`](fn@slice).
#[derive(Clone, Debug)]
pub struct Slice {
    /// The first position, where it is known; otherwise it is an operand.
    starts: Option<Vec<i128>>,
    shape: Vec<Dim>,
}

impl Function for Slice {
    fn name(&self) -> &'static str {
        "slice"
    }

    fn class(&self) -> &'static str {
        "Slice"
    }

    fn build<'s, 'b>(
        &self,
        scope: &'s Scope<'b>,
        operands: &[Operand<'s, 'b>],
    ) -> Result<Vec<Formula<'s, 'b>>, TypeError> {
        let x = operands[0];
        let extents = x.shape();
        let rank = extents.len();
        if self.shape.len() != rank || self.starts.as_ref().is_some_and(|starts| starts.len() != rank) {
            return Err(wrong(format!("expected a start and a shape of {rank} numbers, as many as there are axes")));
        }
        if rank == 0 {
            return Ok(vec![*x]);
        }
        for (axis, (wanted, extent)) in self.shape.iter().zip(&extents).enumerate() {
            let beyond = (extent.clone() - wanted.clone()).as_constant().is_some_and(|rest| rest < 0);
            if beyond || wanted.as_constant().is_some_and(|wanted| wanted < -1) {
                return Err(wrong(format!(
                    "the box has the extent {wanted} on axis {axis}, expected at most {extent}, or -1 for all from the start"
                )));
            }
        }
        let Some(starts) = &self.starts else {
            if self.shape.iter().any(|extent| extent.is(-1)) {
                return Err(wrong("an extent of -1 needs a start that is an array"));
            }
            let start = operands[1];
            let gather = Gather { windows: box_at(*start, rank)?, sizes: self.shape.clone(), mode: GatherMode::Clip };
            return Ok(vec![scope.op(gather, &[*x, *start])]);
        };
        let (mut start, mut limit) = (Vec::with_capacity(rank), Vec::with_capacity(rank));
        for ((&given, wanted), extent) in starts.iter().zip(&self.shape).zip(&extents) {
            let given = Dim::constant(given.clamp(0, i64::MAX.into()) as i64);
            let wanted = if wanted.is(-1) { extent.clone() - given.clone() } else { wanted.clone() };
            // the last place at which the box lies inside
            let last = extent.clone() - wanted.clone();
            let first = match (given.as_constant(), last.as_constant()) {
                (Some(given), Some(last)) => Dim::constant(given.min(last)),
                _ => given,
            };
            limit.push(first.clone() + wanted);
            start.push(first);
        }
        Ok(vec![scope.op(kc_ir::tensor::ops::Slice { start, limit, stride: vec![1; rank] }, &[*x])])
    }
}
