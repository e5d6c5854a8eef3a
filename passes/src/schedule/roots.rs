//! Kernels of clusters around an op with loops of its own: reductions over leading axes and window ops.

use super::cluster::reduced_axes;
use super::emit::{At, Coordinate, Emitter, Unsuited};
use super::expand::accumulator;
use super::loops::Stored;
use super::map::{arg_combine, arg_start, divide, nominal};
use kc_ir::kernel::{Index, Instruction, MemoryId, Register};
use kc_ir::tensor::ops::*;
use kc_ir::tensor::{Op, Scalar, Value};
use kc_ir::{DType, Dim};

/// Elementary operations that one task executes, about.
const OPERATIONS_PER_TASK: i64 = 1 << 15;

/// Executes `body` for every row of the result (all axes but the last) and, `lanes` at a time, the last axis; rows are
/// divided into tasks by the work of one element.
pub(super) fn over_result(
    em: &mut Emitter,
    lanes: u32,
    shape: &[Dim],
    operations: i64,
    mut body: impl FnMut(&mut Emitter, Vec<Coordinate>) -> Result<(), Unsuited>,
) -> Result<Dim, Unsuited> {
    let [rows @ .., last] = shape else {
        let outer = std::mem::replace(&mut em.lanes, 1);
        body(em, vec![])?;
        em.lanes = outer;
        return Ok(Dim::constant(1));
    };
    // a unit of work is one row of one block of columns
    let block =
        if nominal(last) * operations > OPERATIONS_PER_TASK { i64::from(lanes) * 4 } else { nominal(last).max(1) };
    let blocks = if last.as_constant().is_some_and(|n| n > block) { last.ceil_div(block) } else { Dim::constant(1) };
    let rows_count: Dim = rows.iter().cloned().product();
    let units = rows_count * blocks.clone();
    let per_unit = nominal(last).min(block) * operations;
    let (tasks, first, length) = divide(em, &units, (OPERATIONS_PER_TASK / per_unit.max(1)).max(1));
    let end = em.hold(first.clone() + length);
    em.for_each(first, end, 1, |em, unit| {
        let blocks = em.extent(&blocks);
        let row = em.hold(unit.clone().floor_div(blocks.clone()));
        let column = if blocks == Index::Constant(1) {
            Index::Constant(0)
        } else {
            em.hold(unit.modulo(blocks.clone()) * block)
        };
        let extent = em.extent(last);
        let length = match (&blocks, last.as_constant()) {
            (Index::Constant(1), _) => extent,
            (_, Some(n)) if n % block == 0 => Index::Constant(block),
            _ => em.hold((extent - column.clone()).min(block)),
        };
        let outer: Vec<Coordinate> = em.unravel(rows, row).into_iter().map(Coordinate::fixed).collect();
        em.vector_loop(lanes, column, length, &[], |em, column, _| {
            body(em, outer.iter().cloned().chain([Coordinate::lanes(column)]).collect())?;
            Ok(vec![])
        })?;
        Ok(())
    })?;
    Ok(tasks)
}

/// A reduction whose last axis is kept: elements of the last axis side by side, the reduced axes one after the other.
pub(super) fn reduce(em: &mut Emitter, lanes: u32, op: Value, outputs: &[Stored]) -> Result<Dim, Unsuited> {
    let node = em.graph.node(op);
    let operand = node.operands[0];
    let axes = reduced_axes(&node.op);
    let operand_ty = em.ty(operand);
    let reduced: Vec<Dim> = axes.iter().map(|&axis| operand_ty.shape[axis].clone()).collect();
    let operations = nominal(&reduced.iter().cloned().product());
    let shape = &em.ty(op).shape;
    over_result(em, lanes, shape, operations, |em, kept| {
        let start = match &node.op {
            Op::ArgReduce(reduce) => arg_start(em, reduce, operand_ty.dtype),
            Op::Reduce(reduce) => vec![em.neutral(reduce.kind, operand_ty.dtype)],
            _ => return Err(Unsuited),
        };
        let results = reduced_nest(em, &reduced, vec![], &start, &mut |em, inner, carried| {
            let first = inner[0].index.clone();
            let (mut kept, mut inner) = (kept.iter().cloned(), inner.iter().cloned());
            let coordinates = (0..operand_ty.rank())
                .filter_map(|axis| if axes.contains(&axis) { inner.next() } else { kept.next() })
                .collect();
            let value = em.value(operand, &At::Multi(coordinates))?;
            Ok(match &node.op {
                Op::ArgReduce(reduce) => arg_combine(em, reduce.kind, carried, value, first),
                Op::Reduce(reduce) => vec![em.combine(reduce.kind, carried[0], value)],
                _ => return Err(Unsuited),
            })
        })?;
        let result = match &node.op {
            Op::ArgReduce(reduce) => em.b.convert(reduce.dtype, results[1]),
            _ => results[0],
        };
        let at = At::Multi(kept);
        em.bind(op, at.clone(), result);
        em.store_all(outputs, &at)
    })
}

type Body<'b> = dyn FnMut(&mut Emitter, &[Coordinate], &[Register]) -> Result<Vec<Register>, Unsuited> + 'b;

/// Loops over the extents one position at a time.
fn reduced_nest(
    em: &mut Emitter,
    extents: &[Dim],
    outer: Vec<Coordinate>,
    initial: &[Register],
    body: &mut Body,
) -> Result<Vec<Register>, Unsuited> {
    let [extent, rest @ ..] = extents else { return body(em, &outer, initial) };
    let end = em.extent(extent);
    em.for_carrying(0, end, 1, initial, |em, axis, carried| {
        let coordinates = outer.iter().cloned().chain([Coordinate::fixed(axis)]).collect();
        reduced_nest(em, rest, coordinates, carried, body)
    })
}

/// Whether an axis is not touched by a window.
fn untouched(window: &Window, axis: usize) -> bool {
    window.size[axis] == 1
        && window.strides[axis] == 1
        && window.padding[axis] == (0, 0)
        && window.base_dilation[axis] == 1
}

/// Loops over the positions of a window that lie inside of the operand; the body gets the operand's index and the
/// row-major number of the position in the window. `at` is the window's index.
#[allow(clippy::too_many_arguments)]
fn window_nest(
    em: &mut Emitter,
    window: &Window,
    shape: &[Dim],
    at: &[Coordinate],
    inside: Vec<Coordinate>,
    number: Index,
    initial: &[Register],
    body: &mut dyn FnMut(&mut Emitter, Vec<Coordinate>, Index, &[Register]) -> Result<Vec<Register>, Unsuited>,
) -> Result<Vec<Register>, Unsuited> {
    let axis = inside.len();
    if axis == shape.len() {
        return body(em, inside, number, initial);
    }
    if untouched(window, axis) {
        let inside = inside.into_iter().chain([at[axis].clone()]).collect();
        return window_nest(em, window, shape, at, inside, number, initial, body);
    }
    if at[axis].step != 0 && em.lanes > 1 {
        return Err(Unsuited);
    }
    let (size, stride, low) = (window.size[axis], window.strides[axis], window.padding[axis].0);
    let (base, dilation) = (window.base_dilation[axis], window.window_dilation[axis]);
    let extent = em.extent(&shape[axis]);
    let origin = em.hold(at[axis].index.clone() * stride - low);
    let spread = (extent - 1) * base + 1;
    // positions p = origin + w*dilation with 0 <= p < spread
    let padded = window.padding[axis] != (0, 0);
    let (start, end) = if padded {
        let start = em.hold(((origin.clone() * -1) + (dilation - 1)).max(0).floor_div(dilation));
        let end = em.hold((spread - origin.clone() + (dilation - 1)).max(0).floor_div(dilation).min(size));
        (start, end)
    } else {
        (Index::Constant(0), Index::Constant(size))
    };
    em.for_carrying(start, end, 1, initial, |em, w, carried| {
        let position = em.hold(w.clone() * dilation + origin.clone());
        let number = number.clone() * size + w;
        if base == 1 {
            let inside = inside.iter().cloned().chain([Coordinate::fixed(position)]).collect();
            return window_nest(em, window, shape, at, inside, number, carried, body);
        }
        // only every `base`-th position holds an element
        let rest =
            em.b.instruction(DType::I64, 1, Instruction::Position { index: position.clone().modulo(base), step: 0 });
        let zero = em.b.constant(DType::I64, 1, Scalar::Int(0));
        let holds = em.b.compare(Compare::Equal, rest, zero);
        em.b.open_branch(holds);
        let inside = inside.iter().cloned().chain([Coordinate::fixed(position.floor_div(base))]).collect();
        let values = em.scope(|em| window_nest(em, window, shape, at, inside, number, carried, body))?;
        em.b.open_otherwise(values);
        Ok(em.b.close_branch(carried.to_vec()))
    })
}

/// The reduction of every window.
pub(super) fn reduce_window(em: &mut Emitter, lanes: u32, op: Value, outputs: &[Stored]) -> Result<Dim, Unsuited> {
    let node = em.graph.node(op);
    let Op::ReduceWindow(reduce) = &node.op else { return Err(Unsuited) };
    let operand = node.operands[0];
    let (dtype, shape) = (em.ty(operand).dtype, &em.ty(operand).shape);
    let operations = reduce.window.size.iter().product();
    over_result(em, lanes, &em.ty(op).shape, operations, |em, kept| {
        let start = em.neutral(reduce.kind, accumulator(dtype));
        let results = window_nest(
            em,
            &reduce.window,
            shape,
            &kept,
            vec![],
            Index::Constant(0),
            &[start],
            &mut |em, inside, _, carried| {
                let value = em.value(operand, &At::Multi(inside))?;
                let value = em.b.convert(accumulator(dtype), value);
                Ok(vec![em.combine(reduce.kind, carried[0], value)])
            },
        )?;
        let at = At::Multi(kept);
        let result = em.b.convert(dtype, results[0]);
        em.bind(op, at.clone(), result);
        em.store_all(outputs, &at)
    })
}

/// Adds each source element at the first largest element of its window. A task handles one index of the first axis where
/// windows do not touch it, else everything.
pub(super) fn select_and_scatter(em: &mut Emitter, lanes: u32, op: Value, memory: MemoryId) -> Result<Dim, Unsuited> {
    let node = em.graph.node(op);
    let Op::SelectAndScatter(select) = &node.op else { return Err(Unsuited) };
    let (operand, source) = (node.operands[0], node.operands[1]);
    let ty = em.ty(operand);
    let (shape, source_shape, dtype) = (&ty.shape, &em.ty(source).shape, ty.dtype);
    let window = &select.window;
    let parallel = ty.rank() > 1 && untouched(window, 0);
    let (tasks, outer) = match parallel {
        true => (shape[0].clone(), vec![Coordinate::fixed(em.b.task())]),
        false => (Dim::constant(1), vec![]),
    };
    let lanes = if ty.rank() > 0 && untouched(window, ty.rank() - 1) { lanes } else { 1 };
    em.nest(lanes, &shape[outer.len()..], &[], &mut |em, inner, _| {
        let zero = em.neutral(Reduction::Sum, dtype);
        let at = At::Multi(outer.iter().cloned().chain(inner).collect());
        em.store(memory, shape, &at, zero)?;
        Ok(vec![])
    })?;
    em.nest(lanes, &source_shape[outer.len()..], &[], &mut |em, inner, _| {
        let kept: Vec<Coordinate> = outer.iter().cloned().chain(inner).collect();
        let addend = em.value(source, &At::Multi(kept.clone()))?;
        let argument = ArgReduce { kind: Extremum::Max, axis: 0, dtype: DType::I32 };
        let mut start = arg_start(em, &argument, dtype);
        // the first position counts even where all elements are the smallest value
        let lanes = em.lanes;
        start[1] = em.b.constant(DType::I32, lanes, Scalar::Int(-1));
        let found = window_nest(
            em,
            window,
            shape,
            &kept,
            vec![],
            Index::Constant(0),
            &start,
            &mut |em, inside, number, carried| {
                let candidate = em.value(operand, &At::Multi(inside))?;
                let mut next = arg_combine(em, Extremum::Max, carried, candidate, number.clone());
                let none = em.b.constant(DType::I32, lanes, Scalar::Int(0));
                let is_first = em.b.compare(Compare::Less, carried[1], none);
                let here = em.b.instruction(DType::I32, 1, Instruction::Position { index: number, step: 0 });
                let here = em.b.splat(lanes, here);
                next[1] = em.b.select(is_first, here, next[1]);
                next[0] = em.b.select(is_first, candidate, next[0]);
                Ok(next)
            },
        )?;
        window_nest(em, window, shape, &kept, vec![], Index::Constant(0), &[], &mut |em, inside, number, _| {
            let here = em.b.instruction(DType::I32, 1, Instruction::Position { index: number, step: 0 });
            let here = em.b.splat(lanes, here);
            let chosen = em.b.compare(Compare::Equal, here, found[1]);
            let zero = em.neutral(Reduction::Sum, dtype);
            let part = em.b.select(chosen, addend, zero);
            let at = At::Multi(inside);
            let position = em.position(shape, &at)?;
            let before = em.b.load(memory, position.index.clone(), lanes, em.count.clone());
            let after = super::functions::binary(&mut em.b, Binary::Add, before, part);
            em.store(memory, shape, &at, after)?;
            Ok(vec![])
        })?;
        Ok(vec![])
    })?;
    Ok(tasks)
}
