//! Kernels around calls of the runtime's library. A task handles whole lines, so tasks are independent.

use super::emit::{At, Coordinate, Emitter, Unsuited};
use super::loops::Stored;
use super::map::{divide, nominal};
use crate::Contraction;
use kc_ir::kernel::{Index, LibraryCall, LibraryFunction, Matrix, MemoryId, Region};
use kc_ir::tensor::operations;
use kc_ir::tensor::ops::*;
use kc_ir::tensor::{Graph, Op, Type, Value};
use kc_ir::{DType, Dim, TensorType};
use std::collections::BTreeMap;

/// Elementary operations that one task executes, about.
const OPERATIONS_PER_TASK: i64 = 1 << 15;
/// Elementary operations of sorting, an element.
const SORTING: i64 = 32;
/// Bytes of a line's workspace up to which it is the thread's scratch memory; a larger or unknown one is a buffer.
const SCRATCH: i64 = 1 << 18;
/// The same for a GPU's block of threads.
const SHARED: i64 = 1 << 15;

/// Bytes of a line's workspace up to which it is scratch memory.
pub(super) fn scratch_bytes(by: Contraction) -> i64 {
    match by {
        Contraction::Streamed => SHARED,
        Contraction::Generated | Contraction::Library => SCRATCH,
    }
}

/// The results of an op: itself, or the projections of the tuple that the graph has.
pub(super) fn results(graph: &Graph, op: Value) -> Vec<Value> {
    if graph.node(op).ty.as_tensor().is_some() {
        return vec![op];
    }
    let names = |value: &Value| {
        let node = graph.node(*value);
        matches!(node.op, Op::Projection(_)) && node.operands[0] == op
    };
    graph.values().filter(names).collect()
}

/// The position of a result among the op's results.
pub(super) fn number(graph: &Graph, result: Value) -> usize {
    match &graph.node(result).op {
        Op::Projection(projection) => projection.index,
        _ => 0,
    }
}

/// Memory that a line needs beside operands and results: keys and positions of a sort.
pub(super) struct Workspace {
    dtypes: Vec<DType>,
    /// Elements of each.
    pub length: Dim,
    /// Lines.
    pub lines: Dim,
}

pub(super) fn workspace(graph: &Graph, op: Value) -> Option<Workspace> {
    let node = graph.node(op);
    let key = |i: usize| graph.tensor_type(node.operands[i]);
    let along = |axis: usize| {
        let mut others = key(0).shape.clone();
        let length = others.remove(axis);
        (length, others.into_iter().product())
    };
    let (keys, axis) = match &node.op {
        Op::Sort(sort) => (sort.keys, sort.axis),
        Op::TopK(_) => (1, key(0).rank() - 1),
        _ => return None,
    };
    let (length, lines) = along(axis);
    Some(Workspace { dtypes: (0..keys).map(|i| key(i).dtype).chain([DType::U64]).collect(), length, lines })
}

impl Workspace {
    /// Elements of each, where so many bytes of scratch memory hold all.
    fn scratch(&self, most: i64) -> Option<u64> {
        let length = self.length.as_constant().filter(|&n| n >= 0)?;
        let bytes: i64 = self.dtypes.iter().map(|dtype| dtype.bytes() as i64).sum();
        (length.checked_mul(bytes)? <= most).then_some(length as u64)
    }

    /// A line's workspace in scratch memory, where so many bytes of it hold all.
    pub(super) fn declare(&self, em: &mut Emitter, most: i64) -> Option<Vec<MemoryId>> {
        let elements = self.scratch(most)?.max(1);
        let declare = |(i, &dtype): (usize, &DType)| em.b.scratch(&format!("line{i}"), dtype, elements);
        Some(self.dtypes.iter().enumerate().map(declare).collect())
    }
}

/// The buffers that an op's kernel needs beside operands and results; they live as long as its step.
pub(super) fn temporaries(graph: &Graph, op: Value, scratch_bytes: i64) -> Vec<TensorType> {
    if let Op::CustomCall(_) = graph.node(op).op {
        return unused(graph, op);
    }
    match workspace(graph, op) {
        Some(workspace) if workspace.scratch(scratch_bytes).is_none() => {
            let shape = || [workspace.lines.clone(), workspace.length.clone()];
            workspace.dtypes.iter().map(|&dtype| TensorType::new(dtype, shape())).collect()
        }
        _ => vec![],
    }
}

/// Types of the results of a library function that nothing reads: it writes them all the same.
fn unused(graph: &Graph, op: Value) -> Vec<TensorType> {
    let named: Vec<usize> = results(graph, op).into_iter().map(|result| number(graph, result)).collect();
    match &graph.node(op).ty {
        Type::Tensor(_) => vec![],
        Type::Tuple(types) => {
            types.iter().enumerate().filter(|(i, _)| !named.contains(i)).map(|(_, ty)| ty.clone()).collect()
        }
    }
}

/// Elementary operations of all lines or matrices, about.
pub(super) fn operations(graph: &Graph, op: Value) -> Dim {
    if let Op::CustomCall(call) = &graph.node(op).op {
        let ty = graph.tensor_type(graph.node(op).operands[0]);
        return ty.elements() * Dim::constant(of_element(call.function, ty));
    }
    match workspace(graph, op) {
        Some(workspace) => workspace.lines * workspace.length * Dim::constant(SORTING),
        None => Dim::default(),
    }
}

/// A vector in memory.
fn vector(memory: MemoryId, position: Index, length: Index) -> Region {
    let matrix = Matrix { memory, position, row_stride: Index::Constant(0), column_stride: Index::Constant(1) };
    Region { matrix, rows: Index::Constant(1), columns: length }
}

/// Operations for each element of the vectors or matrices of that type.
fn of_element(function: CustomFunction, ty: &TensorType) -> i64 {
    let inner = &ty.shape[ty.rank() - function.inner_rank()..];
    let extents: Vec<f64> = inner.iter().map(|dim| nominal(dim) as f64).collect();
    operations::library(function, &extents) as i64
}

/// A library function for each index of the leading axes.
pub(super) fn custom_call(
    em: &mut Emitter,
    op: Value,
    memory_of: &BTreeMap<Value, MemoryId>,
    temporaries: &[MemoryId],
) -> Result<Dim, Unsuited> {
    let graph = em.graph;
    let node = graph.node(op);
    let Op::CustomCall(call) = &node.op else { return Err(Unsuited) };
    let first = graph.tensor_type(node.operands[0]);
    let batch = first.rank() - call.function.inner_rank();
    let types = match &node.ty {
        Type::Tensor(ty) => std::slice::from_ref(ty),
        Type::Tuple(types) => types,
    };
    let results = results(graph, op);
    let mut spare = temporaries.iter().copied();
    let mut written = Vec::with_capacity(types.len());
    for (position, ty) in types.iter().enumerate() {
        let named = results.iter().find(|&&result| number(graph, result) == position);
        let memory = named.map_or_else(|| spare.next(), |result| memory_of.get(result).copied());
        written.push((memory.ok_or(Unsuited)?, ty));
    }
    let mut read = Vec::with_capacity(node.operands.len());
    for &operand in &node.operands {
        read.push((*memory_of.get(&operand).ok_or(Unsuited)?, graph.tensor_type(operand)));
    }
    let count: Dim = first.shape[..batch].iter().cloned().product();
    let size: i64 = first.shape[batch..].iter().map(nominal).product();
    let per_task = (OPERATIONS_PER_TASK / (size * of_element(call.function, first)).max(1)).max(1);
    let (tasks, start, length) = divide(em, &count, per_task);
    let end = em.hold(start.clone() + length);
    let (function, attributes) = call.function.library();
    em.for_each(start, end, 1, |em, index| {
        let mut region = |(memory, ty): &(MemoryId, &TensorType)| {
            let inner = &ty.shape[batch..];
            let elements = em.extent(&inner.iter().cloned().product());
            let columns = inner.last().map_or(Index::Constant(1), |dim| em.extent(dim));
            let rows = if inner.len() == 2 { em.extent(&inner[0]) } else { Index::Constant(1) };
            let matrix = Matrix {
                memory: *memory,
                position: index.clone() * elements,
                row_stride: columns.clone(),
                column_stride: Index::Constant(1),
            };
            Region { matrix, rows, columns }
        };
        let reads = read.iter().map(&mut region).collect();
        let writes = written.iter().map(&mut region).collect();
        em.b.library(LibraryCall { function, reads, writes, attributes });
        Ok(())
    })?;
    Ok(tasks)
}

/// Sorts: each line's keys are copied side by side, the library finds their order, and the operands' elements are stored in it.
pub(super) fn sort(
    em: &mut Emitter,
    lanes: u32,
    op: Value,
    outputs: &[Stored],
    temporaries: &[MemoryId],
    scratch_bytes: i64,
) -> Result<Dim, Unsuited> {
    let node = em.graph.node(op);
    let first = em.ty(node.operands[0]);
    let (axis, keys, call, taken) = match &node.op {
        Op::Sort(sort) => {
            let descending = i64::from(sort.direction == Direction::Descending);
            (sort.axis, sort.keys, (LibraryFunction::Argsort, vec![descending]), first.shape[sort.axis].clone())
        }
        Op::TopK(top) => (first.rank() - 1, 1, (LibraryFunction::Argtop, vec![]), Dim::constant(top.k as i64)),
        _ => return Err(Unsuited),
    };
    let space = workspace(em.graph, op).ok_or(Unsuited)?;
    let scratch = space.declare(em, scratch_bytes);
    let memory = scratch.as_deref().unwrap_or(temporaries).to_vec();
    let mut others = first.shape.clone();
    others.remove(axis);
    let per_task = (OPERATIONS_PER_TASK / (nominal(&space.length) * SORTING)).max(1);
    let (tasks, start, count) = divide(em, &space.lines, per_task);
    let end = em.hold(start.clone() + count);
    let length = em.extent(&space.length);
    let taken = em.extent(&taken);
    em.for_each(start, end, 1, |em, line| {
        let place = match scratch {
            Some(_) => Index::Constant(0),
            None => em.hold(line.clone() * length.clone()),
        };
        let fixed: Vec<Coordinate> = em.unravel(&others, line).into_iter().map(Coordinate::fixed).collect();
        let at = |along: Coordinate| {
            let mut coordinates = fixed.clone();
            coordinates.insert(axis, along);
            At::Multi(coordinates)
        };
        em.vector_loop(lanes, Index::Constant(0), length.clone(), &[], |em, position, _| {
            for (key, &memory) in memory.iter().enumerate().take(keys) {
                let value = em.value(node.operands[key], &at(Coordinate::lanes(position.clone())))?;
                em.b.store(memory, place.clone() + position.clone(), value, em.count.clone());
            }
            Ok(vec![])
        })?;
        em.b.library(LibraryCall {
            function: call.0,
            reads: memory[..keys].iter().map(|&key| vector(key, place.clone(), length.clone())).collect(),
            writes: vec![vector(memory[keys], place.clone(), taken.clone())],
            attributes: call.1.clone(),
        });
        em.lanes = 1;
        em.for_each(0, taken, 1, |em, rank| {
            let source = em.b.load(memory[keys], place.clone() + rank.clone(), 1, None);
            let from = at(Coordinate::fixed(Index::Register(source)));
            let to = at(Coordinate::fixed(rank));
            let mut values = Vec::with_capacity(outputs.len());
            for output in outputs {
                values.push(match (&node.op, number(em.graph, output.value)) {
                    (Op::TopK(_), 1) => em.b.convert(DType::I32, source),
                    (_, number) => em.value(node.operands[number], &from)?,
                });
            }
            for (output, value) in outputs.iter().zip(values) {
                em.store(output.memory, output.shape, &to, value)?;
            }
            Ok(())
        })
    })?;
    Ok(tasks)
}
