//! Kernels of elementwise clusters and of rows with reductions.

use super::cluster::reduced_axes;
use super::emit::{At, Coordinate, Emitter, Unsuited};
use super::loops::Stored;
use crate::target::NOMINAL_EXTENT;
use kc_ir::kernel::{Index, Instruction, Register};
use kc_ir::tensor::operations::LOAD_AND_STORE;
use kc_ir::tensor::ops::*;
use kc_ir::tensor::{Op, Scalar, Value};
use kc_ir::{DType, Dim};

/// Elements that one task computes where each costs little more than loading and storing it.
const ELEMENTS_PER_TASK: i64 = 8192;

/// Elements that one task computes where each costs so many additions beside being loaded and stored.
pub(super) fn elements_per_task(operations: f64) -> i64 {
    let share = LOAD_AND_STORE / (LOAD_AND_STORE + operations).max(1.0);
    // a power of two, so that tasks of whole vectors stay such
    1 << ((2.0 * ELEMENTS_PER_TASK as f64 * share) as i64).clamp(256, ELEMENTS_PER_TASK).ilog2()
}

/// The extent in which unknown extents count when work is divided.
pub(super) fn nominal(dim: &Dim) -> i64 {
    dim.evaluate(&|_| Some(NOMINAL_EXTENT)).unwrap_or(NOMINAL_EXTENT).max(1)
}

/// A division of `units` into tasks of `per_task` units: the number of tasks, and the first unit and the number of units of
/// the kernel's task.
pub(super) fn divide(em: &mut Emitter, units: &Dim, per_task: i64) -> (Dim, Index, Index) {
    if units.as_constant().is_some_and(|n| n <= per_task) {
        return (Dim::constant(1), Index::Constant(0), em.extent(units));
    }
    let first = em.hold(em.b.task() * per_task);
    let length = match units.as_constant() {
        Some(n) if n % per_task == 0 => Index::Constant(per_task),
        _ => {
            let rest = em.extent(units) - first.clone();
            em.hold(rest.min(per_task))
        }
    };
    (units.ceil_div(per_task), first, length)
}

/// Elements of each of several equal tasks: a multiple of `unit`, and if there is one, a divisor of `elements`, so that no task
/// needs code for a shorter end.
fn equal_tasks(elements: i64, per_task: i64, unit: i64) -> i64 {
    let fewest = (elements + per_task - 1) / per_task;
    let divides = |tasks: &i64| elements % (tasks * unit) == 0;
    match (fewest..=2 * fewest).find(divides) {
        Some(tasks) => elements / tasks,
        None => ((elements + fewest - 1) / fewest + unit - 1) / unit * unit,
    }
}

/// All elements in row-major order; `lanes` at a time. Suits clusters that read everything at their own position.
pub(super) fn flat(
    em: &mut Emitter,
    lanes: u32,
    per_task: i64,
    shape: &[Dim],
    outputs: &[Stored],
) -> Result<Dim, Unsuited> {
    let elements: Dim = shape.iter().cloned().product();
    let per_task = match elements.as_constant() {
        Some(n) if n > per_task => equal_tasks(n, per_task, i64::from(lanes.max(16))),
        _ => per_task,
    };
    let (tasks, first, length) = divide(em, &elements, per_task);
    em.vector_loop(lanes, first, length, &[], |em, position, _| {
        em.store_all(outputs, &At::Flat(Coordinate::lanes(position)))?;
        Ok(vec![])
    })?;
    Ok(tasks)
}

/// Row after row, `lanes` elements of the last axis at a time.
pub(super) fn nested(
    em: &mut Emitter,
    lanes: u32,
    per_task: i64,
    shape: &[Dim],
    outputs: &[Stored],
) -> Result<Dim, Unsuited> {
    let [rows @ .., last] = shape else {
        em.store_all(outputs, &At::Multi(vec![]))?;
        return Ok(Dim::constant(1));
    };
    let count: Dim = rows.iter().cloned().product();
    let (tasks, first, length) = divide(em, &count, (per_task / nominal(last)).max(1));
    let end = em.hold(first.clone() + length);
    em.for_each(first, end, 1, |em, row| {
        let outer: Vec<Coordinate> = em.unravel(rows, row).into_iter().map(Coordinate::fixed).collect();
        em.last_axis(lanes, last, &[], |em, column, _| {
            let at = At::Multi(outer.iter().cloned().chain([Coordinate::lanes(column)]).collect());
            em.store_all(outputs, &at)?;
            Ok(vec![])
        })?;
        Ok(())
    })?;
    Ok(tasks)
}

/// Squares of the last axis and another one, for clusters that read along that one, as transposes do: each is computed with its lanes along
/// the other axis, then transposed in registers. Its columns are along the last axis.
pub(super) fn transposed(
    em: &mut Emitter,
    lanes: u32,
    axis: usize,
    per_task: i64,
    shape: &[Dim],
    outputs: &[Stored],
) -> Result<Dim, Unsuited> {
    let side = i64::from(lanes);
    let Some((last, outer)) = shape.split_last() else { return Err(Unsuited) };
    let is_narrow = |dim: &Dim| dim.as_constant().is_some_and(|n| n < side / 4);
    if lanes < 4 || is_narrow(last) || is_narrow(&shape[axis]) {
        return Err(Unsuited);
    }
    // rows that lie in few of a cache's sets displace each other: more of each is written at once
    let displaces = |dim: &Dim| dim.as_constant().is_none_or(|n| n % 128 == 0);
    let width = if displaces(last) || displaces(&shape[axis]) { 64 } else { 16 }.max(side);
    // one after the other along the other axis, so that what is read is read on
    let run = nominal(&shape[axis]).min(per_task / width).max(1);
    let chunk = (run + side - 1) / side * side;
    let mut units: Vec<Dim> = outer.to_vec();
    units[axis] = Dim::constant(1);
    units.extend([last.ceil_div(width), shape[axis].ceil_div(chunk)]);
    let (tasks, first, length) = divide(em, &units.iter().cloned().product(), (per_task / (chunk * width)).max(1));
    let end = em.hold(first.clone() + length);
    em.lanes = lanes;
    em.for_each(first, end, 1, |em, unit| {
        let mut at = em.unravel(&units, unit);
        let start = em.hold(at.pop().unwrap_or(Index::Constant(0)) * chunk);
        let column = em.hold(at.pop().unwrap_or(Index::Constant(0)) * width);
        let columns = em.extent(last);
        let last_column = em.hold(columns.min(column.clone() + width));
        let squares = |em: &mut Emitter, row: Index, rows: Option<Index>| {
            em.for_each(column.clone(), last_column.clone(), side, |em, column| {
                let at: Vec<Coordinate> = at.iter().cloned().chain([column]).map(Coordinate::fixed).collect();
                square(em, axis, at, row, rows, outputs)
            })
        };
        let extent = em.extent(&shape[axis]);
        let end = em.hold(extent.clone().min(start.clone() + chunk));
        let is_whole = extent.as_constant().is_some_and(|n| n % side == 0);
        let whole = match is_whole {
            true => end.clone(),
            false => em.hold((end.clone() - start.clone()).floor_div(side) * side + start.clone()),
        };
        if extent.as_constant().is_none_or(|n| n >= side) {
            em.for_each(start, whole.clone(), side, |em, row| squares(em, row, None))?;
        }
        if is_whole {
            return Ok(());
        }
        em.for_each(whole, end.clone(), side, |em, row| {
            let rest = em.hold(end - row.clone());
            squares(em, row, Some(rest))
        })
    })?;
    Ok(tasks)
}

/// A square whose first element is at `at`, with `row` along the axis; where `rows` is some, it has so many rows and no more.
fn square(
    em: &mut Emitter,
    axis: usize,
    at: Vec<Coordinate>,
    row: Index,
    rows: Option<Index>,
    outputs: &[Stored],
) -> Result<(), Unsuited> {
    let side = i64::from(em.lanes);
    let Some((first_column, outer)) = at.split_last() else { return Err(Unsuited) };
    let first_column = first_column.index.clone();
    let columns = outputs.first().and_then(|output| output.shape.last()).ok_or(Unsuited)?;
    let is_whole = columns.as_constant().is_some_and(|n| n % side == 0);
    let columns = em.extent(columns);
    let place = |row: Coordinate, column: Coordinate| {
        let mut place = outer.to_vec();
        place[axis] = row;
        At::Multi(place.into_iter().chain([column]).collect())
    };
    em.count = rows.clone();
    let mut squares: Vec<Vec<Register>> = vec![vec![]; outputs.len()];
    for number in 0..side {
        let column = first_column.clone() + number;
        // those that there are not are the last one again
        let column = if is_whole { column } else { em.hold(column.min(columns.clone() - Index::Constant(1))) };
        let at = place(Coordinate::lanes(row.clone()), Coordinate::fixed(column));
        for (output, square) in outputs.iter().zip(&mut squares) {
            square.push(em.value(output.value, &at)?);
        }
    }
    em.count = None;
    for (output, square) in outputs.iter().zip(squares) {
        for (number, vector) in (0..side).zip(em.b.transpose(square)) {
            let at = place(Coordinate::fixed(row.clone() + number), Coordinate::lanes(first_column.clone()));
            let present = (!is_whole).then(|| columns.clone() - first_column.clone());
            // of a row that there is not, nothing
            let of_row = rows.clone().map(|rows| (rows - Index::Constant(number)) * side);
            let count = [present, of_row].into_iter().flatten().reduce(Index::min);
            em.count = count.map(|count| count.min(side));
            em.store(output.memory, output.shape, &at, vector)?;
            em.count = None;
        }
    }
    Ok(())
}

/// Blocks of the last two axes, element after element: for clusters that read across rows, as transposes do, so that the lines
/// of memory that one row touches are still in the nearest cache for the next rows.
pub(super) fn blocked(em: &mut Emitter, per_task: i64, shape: &[Dim], outputs: &[Stored]) -> Result<Dim, Unsuited> {
    const BLOCK: i64 = 16;
    let [outer @ .., rows, columns] = shape else { return nested(em, 1, per_task, shape, outputs) };
    let units: Vec<Dim> = outer.iter().cloned().chain([columns.ceil_div(BLOCK)]).collect();
    let per_task = (per_task / (nominal(rows) * BLOCK)).max(1);
    let (tasks, first, length) = divide(em, &units.iter().cloned().product(), per_task);
    let end = em.hold(first.clone() + length);
    em.lanes = 1;
    em.for_each(first, end, 1, |em, unit| {
        let mut indices = em.unravel(&units, unit);
        let start = em.hold(indices.pop().unwrap_or(Index::Constant(0)) * BLOCK);
        let extent = em.extent(columns);
        let end = em.hold(extent.min(start.clone() + BLOCK));
        let rows = em.extent(rows);
        em.for_each(0, rows, 1, |em, row| {
            em.for_each(start, end, 1, |em, column| {
                let place = indices.into_iter().chain([row, column]);
                em.store_all(outputs, &At::Multi(place.map(Coordinate::fixed).collect()))
            })
        })
    })?;
    Ok(tasks)
}

/// Row after row: for each row the reductions in the order in which they depend on each other, then the values of the row and
/// of its elements.
pub(super) fn rows(
    em: &mut Emitter,
    lanes: u32,
    per_task: i64,
    outer: &[Dim],
    inner: &[Dim],
    members: &[Value],
    outputs: &[Stored],
) -> Result<Dim, Unsuited> {
    let count: Dim = outer.iter().cloned().product();
    let length: Dim = inner.iter().cloned().product();
    let (tasks, first, rows) = divide(em, &count, (per_task / nominal(&length)).max(1));
    let end = em.hold(first.clone() + rows);
    let phases = phases(em, members);
    em.for_each(first, end, 1, |em, row| {
        let coordinates: Vec<Coordinate> = em.unravel(outer, row).into_iter().map(Coordinate::fixed).collect();
        for phase in &phases {
            let (positions, sums): (Vec<Value>, Vec<Value>) =
                phase.iter().partition(|&&value| matches!(em.graph.node(value).op, Op::ArgReduce(_)));
            if !sums.is_empty() {
                reduce_row(em, lanes, &coordinates, inner, &sums)?;
            }
            for value in positions {
                arg_reduce_row(em, &coordinates, inner, value)?;
            }
        }
        let (of_rows, of_elements): (Vec<Stored>, Vec<Stored>) =
            outputs.iter().cloned().partition(|output| output.shape == outer);
        if !of_elements.is_empty() {
            em.nest(lanes, inner, &[], &mut |em, inner, _| {
                let at = At::Multi(coordinates.iter().cloned().chain(inner).collect());
                em.store_all(&of_elements, &at)?;
                Ok(vec![])
            })?;
        }
        let lanes = std::mem::replace(&mut em.lanes, 1);
        let stored = em.store_all(&of_rows, &At::Multi(coordinates));
        em.lanes = lanes;
        stored
    })?;
    Ok(tasks)
}

/// The reductions among a cluster's members, grouped such that each depends only on those of earlier groups.
fn phases(em: &Emitter, members: &[Value]) -> Vec<Vec<Value>> {
    let mut depth = std::collections::BTreeMap::new();
    let mut phases: Vec<Vec<Value>> = vec![];
    for &member in members {
        let node = em.graph.node(member);
        let before = node.operands.iter().filter_map(|operand| depth.get(operand)).copied().max().unwrap_or(0);
        let is_reduction = !reduced_axes(&node.op).is_empty();
        if is_reduction {
            phases.resize_with(phases.len().max(before + 1), Vec::new);
            phases[before].push(member);
        }
        depth.insert(member, before + usize::from(is_reduction));
    }
    phases
}

/// Reduces a row by several reductions in one loop.
fn reduce_row(
    em: &mut Emitter,
    lanes: u32,
    row: &[Coordinate],
    inner: &[Dim],
    values: &[Value],
) -> Result<(), Unsuited> {
    let kinds: Vec<Reduction> = values
        .iter()
        .map(|&value| match &em.graph.node(value).op {
            Op::Reduce(reduce) => reduce.kind,
            _ => Reduction::Sum,
        })
        .collect();
    let outer_lanes = std::mem::replace(&mut em.lanes, lanes);
    let neutral: Vec<Register> = values
        .iter()
        .zip(&kinds)
        .map(|(&value, &kind)| {
            let dtype = em.ty(value).dtype;
            em.neutral(kind, dtype)
        })
        .collect();
    em.lanes = outer_lanes;
    let sums = em.nest(lanes, inner, &neutral, &mut |em, inner, carried| {
        let at = At::Multi(row.iter().cloned().chain(inner).collect());
        let mut next = Vec::with_capacity(values.len());
        for (i, &value) in values.iter().enumerate() {
            let operand = em.value(em.graph.node(value).operands[0], &at)?;
            let masked = em.masked(operand, neutral[i]);
            next.push(em.combine(kinds[i], carried[i], masked));
        }
        Ok(next)
    })?;
    for ((&value, &kind), sum) in values.iter().zip(&kinds).zip(sums) {
        let scalar = em.b.reduce_lanes(kind, sum);
        em.bind(value, At::Multi(row.to_vec()), scalar);
    }
    Ok(())
}

/// The position of the first extremum of a row.
fn arg_reduce_row(em: &mut Emitter, row: &[Coordinate], inner: &[Dim], value: Value) -> Result<(), Unsuited> {
    let operand = em.graph.node(value).operands[0];
    let dtype = em.ty(operand).dtype;
    let Op::ArgReduce(reduce) = &em.graph.node(value).op else { return Err(Unsuited) };
    let outer_lanes = std::mem::replace(&mut em.lanes, 1);
    let start = arg_start(em, reduce, dtype);
    let found = em.nest(1, inner, &start, &mut |em, inner, carried| {
        let index = inner[0].index.clone();
        let at = At::Multi(row.iter().cloned().chain(inner).collect());
        let candidate = em.value(operand, &at)?;
        Ok(arg_combine(em, reduce.kind, carried, candidate, index))
    })?;
    em.lanes = outer_lanes;
    let position = em.b.convert(reduce.dtype, found[1]);
    em.bind(value, At::Multi(row.to_vec()), position);
    Ok(())
}

/// The extremum and the position before the first element, in `em.lanes` lanes.
pub(super) fn arg_start(em: &mut Emitter, reduce: &ArgReduce, dtype: DType) -> Vec<Register> {
    let kind = match reduce.kind {
        Extremum::Max => Reduction::Max,
        Extremum::Min => Reduction::Min,
    };
    let start = em.neutral(kind, dtype);
    let lanes = em.lanes;
    vec![start, em.b.constant(DType::I32, lanes, Scalar::Int(0))]
}

/// The extremum and its position after one more element: a strictly better one or the first NaN replaces them.
pub(super) fn arg_combine(
    em: &mut Emitter,
    kind: Extremum,
    carried: &[Register],
    candidate: Register,
    index: Index,
) -> Vec<Register> {
    let (best, position) = (carried[0], carried[1]);
    let comparison = match kind {
        Extremum::Max => Compare::Greater,
        Extremum::Min => Compare::Less,
    };
    let mut better = em.b.compare(comparison, candidate, best);
    if em.b.register_type(candidate).dtype.is_float() {
        let is_nan = em.b.compare(Compare::NotEqual, candidate, candidate);
        let was_number = em.b.compare(Compare::Equal, best, best);
        let first_nan = em.b.binary(Binary::And, is_nan, was_number);
        better = em.b.binary(Binary::Or, better, first_nan);
    }
    let here = em.b.instruction(DType::I32, 1, Instruction::Position { index, step: 0 });
    let lanes = em.lanes;
    let here = em.b.splat(lanes, here);
    vec![em.b.select(better, candidate, best), em.b.select(better, here, position)]
}
