//! Kernels of contractions: register tiles of generated code, or matrix products of the runtime's library, each with an
//! epilogue of elementwise ops.
//!
//! A contraction is seen as loops over variables in which both operands' and the result's positions are linear:
//! `dot_general` with any batch, free and summed axes, convolutions with strides, dilations and groups, their gradients.

mod blocks;
mod cores;
mod cut;
mod groups;
mod packing;
mod shared;
mod threads;
mod tile;
pub(super) mod winograd;

use super::cluster::{Role, role};
use super::emit::{At, Coordinate, Emitter, Unsuited};
use super::expand::{accumulator, narrow, strides};
use super::loops::Stored;
use super::map::{divide, nominal};
use super::store::{View, view};
use crate::{Contraction, Factors, Target};
use cut::{Blocks, Right};
use kc_ir::kernel::{Access, Gemm, Index, Kernel, Matrix, MemoryId, Register};
use kc_ir::tensor::ops::*;
use kc_ir::tensor::{Graph, Op, Scalar, Value};
use kc_ir::{DType, Dim, Symbol, TensorType};
pub(super) use packing::Packing;
pub(super) use shared::Part;
use std::collections::BTreeSet;
pub(super) use threads::Grid;
use tile::choose_tile;
pub use tile::register_tiles;
pub(super) use tile::{Tile, tile_time, tiles};

/// A loop variable of a contraction.
#[derive(Clone, Debug)]
struct Variable {
    extent: Dim,
    /// Elements by which a step moves in the left and in the right operand.
    left: Dim,
    right: Dim,
    /// The result's axis and how far a step moves on it; `None` for a summed variable.
    out: Option<(usize, Dim)>,
}

/// A contraction as loops.
#[derive(Clone, Debug)]
struct Form {
    left: View,
    right: View,
    variables: Vec<Variable>,
}

/// Whether an op is what the kernels here compute.
pub(super) fn is_one(op: &Op) -> bool {
    matches!(op, Op::DotGeneral(_) | Op::Convolution(_)) || winograd::convolution(op).is_some()
}

/// The values whose buffers a contraction's kernel reads.
pub(super) fn operands(graph: &Graph, op: Value, by: Contraction) -> Vec<Value> {
    if winograd::convolution(&graph.node(op).op).is_some() {
        return vec![winograd::images(graph, op).base, graph.node(op).operands[1]];
    }
    let form = form(graph, op, by);
    vec![form.left.base, form.right.base]
}

/// Arithmetic operations of a contraction, as many of f32 as take as long; 0 for any other op.
pub(super) fn operations(graph: &Graph, target: &Target, op: Value) -> Dim {
    match graph.node(op).op {
        Op::DotGeneral(_) | Op::Convolution(_) => {
            let views = [0, 1].map(|operand| view(graph, graph.node(op).operands[operand]));
            let [left, right] = views;
            let factor = graph.node(op).operands[0];
            let factor = graph.tensor_type(narrow(graph, factor).unwrap_or(factor)).dtype;
            let variables = linear(graph, op, left, right).variables;
            let all = variables.into_iter().map(|v| v.extent).product::<Dim>() * Dim::constant(2);
            all.floor_div(&Dim::constant(target.products_at_once(factor)))
        }
        Op::Composite(_) => winograd::operations(graph, op),
        _ => Dim::default(),
    }
}

fn form(graph: &Graph, op: Value, by: Contraction) -> Form {
    let node = graph.node(op);
    let (lhs, rhs) = match [0, 1].map(|operand| narrow(graph, node.operands[operand])) {
        [Some(lhs), Some(rhs)] => (lhs, rhs),
        _ => (node.operands[0], node.operands[1]),
    };
    let form = linear(graph, op, view(graph, lhs), view(graph, rhs));
    // an operand that is vectorised must have neighbours side by side; else its move is carried out
    let dense =
        |value: Value| View { base: value, offset: Dim::default(), strides: strides(&graph.tensor_type(value).shape) };
    let Some(vector) = vector_variable(&form, graph.tensor_type(op).rank()) else { return form };
    // tiles in shared memory take summed neighbours as well
    if by == Contraction::Streamed
        && Plan::with(graph, op, form.clone(), [MemoryId(0); 2], &[]).layout(Factors::F32).is_some()
    {
        return form;
    }
    let suits = |step: fn(&Variable) -> &Dim| {
        let own = step(&form.variables[vector]);
        own.is(0) || own.is(1)
    };
    let left = if suits(|variable| &variable.left) { form.left.clone() } else { dense(lhs) };
    let right = if suits(|variable| &variable.right) { form.right.clone() } else { dense(rhs) };
    linear(graph, op, left, right)
}

fn linear(graph: &Graph, op: Value, left: View, right: View) -> Form {
    let node = graph.node(op);
    let lhs_shape = &graph.tensor_type(node.operands[0]).shape;
    let rhs_shape = &graph.tensor_type(node.operands[1]).shape;
    let one = || Dim::constant(1);
    let mut variables = vec![];
    match &node.op {
        Op::DotGeneral(dot) => {
            let mut axis = 0..;
            let mut out = || axis.next().map(|a| (a, one()));
            for (&l, &r) in dot.lhs_batch.iter().zip(&dot.rhs_batch) {
                variables.push(Variable {
                    extent: lhs_shape[l].clone(),
                    left: left.strides[l].clone(),
                    right: right.strides[r].clone(),
                    out: out(),
                });
            }
            for l in dot.lhs_free(lhs_shape.len()) {
                variables.push(Variable {
                    extent: lhs_shape[l].clone(),
                    left: left.strides[l].clone(),
                    right: Dim::default(),
                    out: out(),
                });
            }
            for r in dot.rhs_free(rhs_shape.len()) {
                variables.push(Variable {
                    extent: rhs_shape[r].clone(),
                    left: Dim::default(),
                    right: right.strides[r].clone(),
                    out: out(),
                });
            }
            for (&l, &r) in dot.lhs_contract.iter().zip(&dot.rhs_contract) {
                variables.push(Variable {
                    extent: lhs_shape[l].clone(),
                    left: left.strides[l].clone(),
                    right: right.strides[r].clone(),
                    out: None,
                });
            }
        }
        Op::Convolution(convolution) => {
            let (groups, batch_groups) =
                (Dim::constant(convolution.feature_groups), Dim::constant(convolution.batch_groups));
            let axes = &convolution.axes;
            let split = groups.clone() * batch_groups.clone();
            let features = rhs_shape[axes.rhs[0]].floor_div(&split);
            let inputs = rhs_shape[axes.rhs[1]].clone();
            let batch = lhs_shape[axes.lhs[0]].floor_div(&batch_groups);
            let (l, r) = (|i: usize| left.strides[axes.lhs[i]].clone(), |i: usize| right.strides[axes.rhs[i]].clone());
            let group = |extent: Dim, step: Dim| Variable {
                extent,
                left: step,
                right: features.clone() * r(0),
                out: Some((axes.out[1], features.clone())),
            };
            variables.push(group(groups, inputs.clone() * l(1)));
            variables.push(group(batch_groups, batch.clone() * l(0)));
            variables.push(Variable {
                extent: batch,
                left: l(0),
                right: Dim::default(),
                out: Some((axes.out[0], one())),
            });
            for s in 0..convolution.strides.len() {
                let extent = graph.tensor_type(op).shape[axes.out[2 + s]].clone();
                variables.push(Variable {
                    extent,
                    left: l(2 + s) * Dim::constant(convolution.strides[s]),
                    right: Dim::default(),
                    out: Some((axes.out[2 + s], one())),
                });
            }
            variables.push(Variable {
                extent: features,
                left: Dim::default(),
                right: r(0),
                out: Some((axes.out[1], one())),
            });
            for s in 0..convolution.strides.len() {
                let extent = rhs_shape[axes.rhs[2 + s]].clone();
                variables.push(Variable {
                    extent,
                    left: l(2 + s) * Dim::constant(convolution.rhs_dilation[s]),
                    right: r(2 + s),
                    out: None,
                });
            }
            variables.push(Variable { extent: inputs, left: l(1), right: r(1), out: None });
        }
        _ => {}
    }
    variables.retain(|variable| !variable.extent.is(1));
    Form { left, right, variables: merged(variables) }
}

/// The variables with those summed ones as one that have equal steps between all their values, in the order in which they are
/// summed: the longest steps in the right operand first.
fn merged(variables: Vec<Variable>) -> Vec<Variable> {
    let (mut merged, mut summed): (Vec<Variable>, Vec<Variable>) =
        variables.into_iter().partition(|variable| variable.out.is_some());
    summed.sort_by_key(|variable| -nominal(&variable.right));
    let first = merged.len();
    for inner in summed {
        let whole = |step: &Dim| inner.extent.clone() * step.clone();
        match merged.get_mut(first..).and_then(|summed| summed.last_mut()) {
            Some(outer) if outer.left == whole(&inner.left) && outer.right == whole(&inner.right) => {
                *outer = Variable { extent: outer.extent.clone() * inner.extent.clone(), ..inner };
            }
            _ => merged.push(inner),
        }
    }
    merged
}

/// The variable that moves along the result's last axis by single steps.
fn vector_variable(form: &Form, rank: usize) -> Option<usize> {
    form.variables.iter().position(|v| v.out.as_ref().is_some_and(|(axis, step)| *axis + 1 == rank && step.is(1)))
}

/// The variable over whose values a tile has rows: one that moves the left operand only; rather one of known extent, which
/// tiles can divide, than one of unknown extent.
fn row_variable(form: &Form, vector: Option<usize>) -> Option<usize> {
    let moves_left_only = |&v: &usize| {
        let variable = &form.variables[v];
        Some(v) != vector && variable.out.is_some() && variable.right.is(0)
    };
    let worth = |&v: &usize| {
        let extent = &form.variables[v].extent;
        (extent.as_constant().is_some_and(|n| n >= 4), nominal(extent).min(64), v)
    };
    (0..form.variables.len()).filter(moves_left_only).max_by_key(worth)
}

/// How one operand of a contraction is packed that is the same in each call. `is_constant` tells which values are.
pub(super) fn packing(
    graph: &Graph,
    target: &Target,
    lanes: u32,
    op: Value,
    is_constant: impl Fn(Value) -> bool,
) -> Option<Packing> {
    if target.contraction != Contraction::Generated {
        return None;
    }
    let plan = Plan::of(graph, op, target.contraction, [MemoryId(0); 2], &[]);
    if !is_constant(plan.form.right.base) || is_constant(plan.form.left.base) {
        return None;
    }
    Packing::of(&plan, &Blocks::of(&plan, target, lanes, Right::Packed)?)
}

/// A contraction whose sums are computed in parts, by a kernel of its own: there are too few of them to occupy all processors.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    /// The values that the kernel reads.
    pub operands: Vec<Value>,
    /// The type of the buffer that it writes.
    pub ty: TensorType,
}

impl Parts {
    /// How a contraction's sums are computed in parts, where that pays.
    pub(super) fn of(graph: &Graph, target: &Target, op: Value) -> Option<Self> {
        if target.contraction != Contraction::Streamed {
            return None;
        }
        let plan = Plan::of(graph, op, target.contraction, [MemoryId(0); 2], &[]);
        Some(Parts { operands: operands(graph, op, target.contraction), ty: plan.parts(target)? })
    }

    /// The kernel of the parts: it reads a buffer for each of its operands, in which the numbers say which it is, and writes the last one.
    pub(super) fn kernel(
        &self,
        graph: &Graph,
        target: &Target,
        op: Value,
        name: &str,
        numbers: [usize; 2],
    ) -> Result<(Kernel, Vec<Symbol>, Dim), Unsuited> {
        let last = numbers[0].max(numbers[1]) + 1;
        let dtype = graph.tensor_type(op).dtype;
        let read = (0..last).map(|number| (format!("in{number}"), dtype, Access::Read));
        let buffers: Vec<_> = read.chain([("parts".to_string(), self.ty.dtype, Access::Write)]).collect();
        let mut em = Emitter::new(graph, name, &buffers);
        let memory = numbers.map(|number| MemoryId(number as u32));
        let plan = Plan::of(graph, op, target.contraction, memory, &[]);
        let tasks = plan.sum_parts(&mut em, target, MemoryId(last as u32))?;
        Ok((em.b.finish(em.dims.len() as u32), em.dims, tasks))
    }

    /// The kernel that adds the parts: the contraction's otherwise.
    pub(super) fn added(
        &self,
        em: &mut Emitter,
        target: &Target,
        lanes: u32,
        op: Value,
        parts: MemoryId,
        outputs: &[Stored],
    ) -> Result<Dim, Unsuited> {
        Plan::of(em.graph, op, target.contraction, [parts; 2], outputs).add_parts(em, target, lanes, parts)
    }
}

/// Multiply-adds of one task, about.
const MULTIPLY_ADDS_PER_TASK: i64 = 1 << 18;

/// A contraction's kernel. `memory` has what [`operands`] names; where one of these is packed, `packed` tells how, and where it is.
pub(super) fn contraction(
    em: &mut Emitter,
    target: &Target,
    lanes: u32,
    op: Value,
    memory: [MemoryId; 2],
    packed: Option<(&Packing, MemoryId)>,
    outputs: &[Stored],
) -> Result<Dim, Unsuited> {
    if winograd::convolution(&em.graph.node(op).op).is_some() {
        return winograd::kernel(em, target, lanes, op, memory, outputs);
    }
    let dtype = em.ty(op).dtype;
    let mut plan = Plan::of(em.graph, op, target.contraction, memory, outputs);
    if let Some((packing, memory)) = packed {
        let blocks = Blocks::of(&plan, target, lanes, Right::Packed).ok_or(Unsuited)?;
        packing.apply(&mut plan, &blocks);
        plan.memory[1] = memory;
        return plan.blocked(em, &blocks);
    }
    let product_dtype = dtype == DType::F32 || dtype == DType::F64;
    if target.contraction == Contraction::Library
        && product_dtype
        && let Some(result) = plan.library(em, lanes)
    {
        return result;
    }
    if target.contraction == Contraction::Streamed {
        return plan.tiles(em, target, lanes).unwrap_or_else(|| plan.generated(em, target, lanes));
    }
    match Blocks::of(&plan, target, lanes, Right::Copied) {
        Some(blocks) => plan.blocked(em, &blocks),
        None => plan.generated(em, target, lanes),
    }
}

/// A tile of sums in memory, row by row.
struct Finish {
    sums: MemoryId,
    /// Position of the first sum.
    base: Index,
    /// Sums from one row to the next.
    width: i64,
    /// The row and the column of the first sum.
    row: Index,
    column: Index,
    /// How many rows and columns are wanted.
    rows: Index,
    columns: Index,
}

struct Plan<'p> {
    op: Value,
    dtype: DType,
    /// Dtypes of what is multiplied where it lies.
    factors: [DType; 2],
    form: Form,
    memory: [MemoryId; 2],
    /// The vectorised variable, if the result has one.
    vector: Option<usize>,
    /// The variable over whose values a tile has rows.
    rows: Option<usize>,
    outputs: &'p [Stored<'p>],
}

impl<'p> Plan<'p> {
    /// A contraction whose operands' buffers are in `memory`: its vectorised variable moves the right one.
    fn of(graph: &Graph, op: Value, by: Contraction, memory: [MemoryId; 2], outputs: &'p [Stored<'p>]) -> Self {
        Plan::with(graph, op, form(graph, op, by), memory, outputs)
    }

    fn with(graph: &Graph, op: Value, form: Form, memory: [MemoryId; 2], outputs: &'p [Stored<'p>]) -> Self {
        let ty = graph.tensor_type(op);
        let vector = vector_variable(&form, ty.rank());
        let rows = row_variable(&form, vector);
        let factors = [&form.left, &form.right].map(|operand| graph.tensor_type(operand.base).dtype);
        let plan = Plan { op, dtype: ty.dtype, factors, form, memory, vector, rows, outputs };
        let moves_left = |v: usize| plan.form.variables[v].right.is(0) && !plan.form.variables[v].left.is(0);
        if plan.vector.is_some_and(moves_left) { plan.swapped() } else { plan }
    }

    /// The same with left and right exchanged.
    fn swapped(mut self) -> Self {
        std::mem::swap(&mut self.form.left, &mut self.form.right);
        self.form.variables.iter_mut().for_each(|v| std::mem::swap(&mut v.left, &mut v.right));
        self.memory.swap(0, 1);
        self.factors.swap(0, 1);
        self.rows = row_variable(&self.form, self.vector);
        self
    }

    fn extent(&self, variable: Option<usize>) -> Dim {
        variable.map_or(Dim::constant(1), |v| self.form.variables[v].extent.clone())
    }

    /// The result's variables other than rows and vector.
    fn outer(&self) -> Vec<usize> {
        (0..self.form.variables.len())
            .filter(|&v| Some(v) != self.vector && Some(v) != self.rows && self.form.variables[v].out.is_some())
            .collect()
    }

    /// The summed variables, those with long steps in the right operand first.
    fn summed(&self) -> Vec<usize> {
        let mut summed: Vec<usize> =
            (0..self.form.variables.len()).filter(|&v| self.form.variables[v].out.is_none()).collect();
        summed.sort_by_key(|&v| (-nominal(&self.form.variables[v].right), v));
        summed
    }

    /// Computes and writes the cluster's values at a tile whose sums lie in memory.
    fn finish(&self, em: &mut Emitter, lanes: u32, outer: &[(usize, Index)], tile: Finish) -> Result<(), Unsuited> {
        let Finish { sums, base, width, row, column, rows, columns } = tile;
        em.for_each(0, rows, 1, |em, r| {
            let here = em.hold(row + r.clone());
            let fixed: Vec<(usize, Index)> = outer.iter().cloned().chain(self.rows.map(|v| (v, here))).collect();
            em.vector_loop(lanes, Index::Constant(0), columns, &[], |em, offset, _| {
                let at = base.clone() + (r.clone() * width + offset.clone());
                let sum = em.b.load(sums, at, lanes, em.count.clone());
                let position = em.hold(column.clone() + offset);
                self.finish_at(em, &fixed, position, sum)?;
                Ok(vec![])
            })?;
            Ok(())
        })
    }

    /// Computes and writes the cluster's values where the variables but that of the columns have these values, from a column on.
    fn finish_at(
        &self,
        em: &mut Emitter,
        fixed: &[(usize, Index)],
        column: Index,
        sum: Register,
    ) -> Result<(), Unsuited> {
        let mut values: Vec<(usize, Coordinate)> =
            fixed.iter().map(|(v, index)| (*v, Coordinate::fixed(index.clone()))).collect();
        values.extend(self.vector.map(|v| (v, Coordinate::lanes(column))));
        let at = self.result_at(em, &values);
        em.bind_unrounded(self.op, at.clone(), sum);
        em.store_all(self.outputs, &at)
    }

    /// The memory from which the epilogue reads elements at the places of the result's.
    fn read_beside(&self, em: &Emitter) -> Vec<MemoryId> {
        let shape = &em.ty(self.op).shape;
        let mut read = vec![];
        let mut open: Vec<Value> = self.outputs.iter().map(|output| output.value).collect();
        let mut seen: BTreeSet<Value> = open.iter().copied().collect();
        while let Some(value) = open.pop() {
            let node = em.graph.node(value);
            match em.memory(value) {
                Some(memory) if em.ty(value).shape == *shape && em.ty(value).dtype == self.dtype => read.push(memory),
                None if role(&node.op) == Role::Elementwise => {
                    open.extend(node.operands.iter().copied().filter(|&operand| seen.insert(operand)));
                }
                _ => {}
            }
        }
        read
    }

    /// The positions in both operands where the outer variables have these values.
    fn origins(&self, em: &mut Emitter, outer: &[usize], indices: &[Index]) -> [Index; 2] {
        let mut left = em.extent(&self.form.left.offset);
        let mut right = em.extent(&self.form.right.offset);
        for (&v, index) in outer.iter().zip(indices) {
            left = left + index.clone() * em.extent(&self.form.variables[v].left);
            right = right + index.clone() * em.extent(&self.form.variables[v].right);
        }
        [em.hold(left), em.hold(right)]
    }

    /// The result's index where the variables have these values.
    fn result_at(&self, em: &mut Emitter, values: &[(usize, Coordinate)]) -> At {
        let rank = em.ty(self.op).rank();
        let mut coordinates = vec![Coordinate::fixed(0); rank];
        for (v, coordinate) in values {
            let Some((axis, step)) = &self.form.variables[*v].out else { continue };
            let step = em.extent(step);
            let at = &mut coordinates[*axis];
            let factor = step.as_constant().unwrap_or(1);
            *at = Coordinate {
                index: at.index.clone() + coordinate.index.clone() * step,
                step: at.step + coordinate.step * factor,
            };
        }
        At::Multi(coordinates)
    }

    fn generated(&self, em: &mut Emitter, target: &Target, lanes: u32) -> Result<Dim, Unsuited> {
        let lanes = if self.vector.is_some() { lanes } else { 1 };
        let vector_steps = self.vector.map(|v| (&self.form.variables[v].left, &self.form.variables[v].right));
        if lanes > 1 && vector_steps.is_some_and(|(left, right)| !(left.is(0) || left.is(1)) || !right.is(1)) {
            return Err(Unsuited);
        }
        let (rows, columns) = (self.extent(self.rows), self.extent(self.vector));
        let tile = match columns.as_constant() {
            _ if lanes == 1 => Tile { rows: rows.as_constant().unwrap_or(4).clamp(1, 4), vectors: 1 },
            Some(n) => choose_tile(target, lanes, &rows, n),
            None => Tile { rows: 4, vectors: 1 },
        };
        let width = tile.vectors * i64::from(lanes);
        let scratch = em.b.scratch("tile", accumulator(self.dtype), (tile.rows * width) as u64);
        let (outer, summed) = (self.outer(), self.summed());
        let extents: Vec<Dim> = outer.iter().map(|&v| self.form.variables[v].extent.clone()).collect();
        let row_tiles = rows.ceil_div(tile.rows);
        let column_tiles = columns.ceil_div(width);
        let units_shape: Vec<Dim> = extents.iter().cloned().chain([column_tiles, row_tiles]).collect();
        let depth: i64 = summed.iter().map(|&v| nominal(&self.form.variables[v].extent)).product();
        let per_task = (MULTIPLY_ADDS_PER_TASK / (tile.rows * width * depth).max(1)).max(1);
        let (tasks, first, length) = divide(em, &units_shape.iter().cloned().product(), per_task);
        let end = em.hold(first.clone() + length);
        em.for_each(first, end, 1, |em, unit| {
            let mut indices = em.unravel(&units_shape, unit);
            let row_tile = indices.pop().unwrap_or(Index::Constant(0));
            let column_tile = indices.pop().unwrap_or(Index::Constant(0));
            let row = em.hold(row_tile * tile.rows);
            let column = em.hold(column_tile * width);
            let tiler = Tiler {
                plan: self,
                lanes,
                scratch,
                outer: outer.iter().copied().zip(indices).collect(),
                summed: &summed,
            };
            tiler.columns(em, tile, &rows, &columns, row, column)
        })?;
        Ok(tasks)
    }

    /// Matrix products by the library, a block of rows at a time, into scratch memory; then the epilogue. `None` where no
    /// variables form a matrix product worth a call.
    fn library(&self, em: &mut Emitter, lanes: u32) -> Option<Result<Dim, Unsuited>> {
        let (rows, vector) = (self.rows?, self.vector?);
        let columns = self.form.variables[vector].extent.as_constant()?;
        let mut summed = self.summed();
        let inner = summed.iter().position(|&v| nominal(&self.form.variables[v].extent) >= 8)?;
        let inner = summed.remove(inner);
        if !self.form.variables[vector].left.is(0) || columns > 8192 {
            return None;
        }
        Some(self.library_blocks(em, lanes, rows, vector, inner, &summed, columns))
    }

    #[allow(clippy::too_many_arguments)]
    fn library_blocks(
        &self,
        em: &mut Emitter,
        lanes: u32,
        rows: usize,
        vector: usize,
        inner: usize,
        summed: &[usize],
        columns: i64,
    ) -> Result<Dim, Unsuited> {
        const BLOCK_ELEMENTS: i64 = 1 << 14;
        let extent = self.form.variables[rows].extent.clone();
        let block = (BLOCK_ELEMENTS / columns).max(1).min(extent.as_constant().unwrap_or(64));
        let scratch = em.b.scratch("product", self.dtype, (block * columns) as u64);
        let outer = self.outer();
        let shape: Vec<Dim> =
            outer.iter().map(|&v| self.form.variables[v].extent.clone()).chain([extent.ceil_div(block)]).collect();
        let (tasks, first, length) = divide(em, &shape.iter().cloned().product(), 1);
        let end = em.hold(first.clone() + length);
        em.for_each(first, end, 1, |em, unit| {
            let mut indices = em.unravel(&shape, unit);
            let row = em.hold(indices.pop().unwrap_or(Index::Constant(0)) * block);
            let height = match extent.as_constant() {
                Some(n) if n % block == 0 => Index::Constant(block),
                _ => {
                    let rest = em.extent(&extent) - row.clone();
                    em.hold(rest.min(block))
                }
            };
            let [left, right] = self.origins(em, &outer, &indices);
            let row_step = em.extent(&self.form.variables[rows].left);
            let left = em.hold(left + row.clone() * row_step.clone());
            if !summed.is_empty() {
                let length = em.hold(height.clone() * columns);
                em.vector_loop(lanes, Index::Constant(0), length, &[], |em, position, _| {
                    let zero = em.neutral(Reduction::Sum, self.dtype);
                    em.b.store(scratch, position, zero, em.count.clone());
                    Ok(vec![])
                })?;
            }
            let steps = |em: &mut Emitter, v: usize| {
                [em.extent(&self.form.variables[v].left), em.extent(&self.form.variables[v].right)]
            };
            let [inner_left, inner_right] = steps(em, inner);
            let [_, column_step] = steps(em, vector);
            let depth = em.extent(&self.form.variables[inner].extent);
            self.sum(em, summed, [left, right], &[], &mut |em, [left, right], _| {
                em.b.gemm(Gemm {
                    m: height.clone(),
                    n: Index::Constant(columns),
                    k: depth.clone(),
                    a: Matrix {
                        memory: self.memory[0],
                        position: left,
                        row_stride: row_step.clone(),
                        column_stride: inner_left.clone(),
                    },
                    b: Matrix {
                        memory: self.memory[1],
                        position: right,
                        row_stride: inner_right.clone(),
                        column_stride: column_step.clone(),
                    },
                    c: Matrix {
                        memory: scratch,
                        position: Index::Constant(0),
                        row_stride: Index::Constant(columns),
                        column_stride: Index::Constant(1),
                    },
                    accumulate: !summed.is_empty(),
                });
                Ok(vec![])
            })?;
            let outer: Vec<(usize, Coordinate)> =
                outer.iter().copied().zip(indices.into_iter().map(Coordinate::fixed)).collect();
            em.for_each(0, height, 1, |em, r| {
                let here = em.hold(row + r.clone());
                em.vector_loop(lanes, Index::Constant(0), Index::Constant(columns), &[], |em, column, _| {
                    let values: Vec<(usize, Coordinate)> = outer
                        .iter()
                        .cloned()
                        .chain([(rows, Coordinate::fixed(here.clone())), (vector, Coordinate::lanes(column.clone()))])
                        .collect();
                    let at = self.result_at(em, &values);
                    let sum = em.b.load(scratch, r.clone() * columns + column, em.lanes, em.count.clone());
                    em.bind(self.op, at.clone(), sum);
                    em.store_all(self.outputs, &at)?;
                    Ok(vec![])
                })?;
                Ok(())
            })
        })?;
        Ok(tasks)
    }

    /// Loops over summed variables; the body gets the positions in both operands.
    fn sum(
        &self,
        em: &mut Emitter,
        summed: &[usize],
        at: [Index; 2],
        initial: &[Register],
        body: &mut dyn FnMut(&mut Emitter, [Index; 2], &[Register]) -> Result<Vec<Register>, Unsuited>,
    ) -> Result<Vec<Register>, Unsuited> {
        let [first, rest @ ..] = summed else { return body(em, at, initial) };
        let variable = &self.form.variables[*first];
        let end = em.extent(&variable.extent);
        let [left, right] = [&variable.left, &variable.right].map(|step| em.extent(step));
        em.for_carrying(0, end, 1, initial, |em, axis, carried| {
            let mut moved = [at[0].clone() + axis.clone() * left, at[1].clone() + axis * right];
            if !rest.is_empty() {
                moved = moved.map(|index| em.hold(index));
            }
            self.sum(em, rest, moved, carried, body)
        })
    }
}

/// Emits the tiles at one place of the result.
struct Tiler<'t, 'p> {
    plan: &'t Plan<'p>,
    lanes: u32,
    scratch: MemoryId,
    /// Values of the outer variables.
    outer: Vec<(usize, Index)>,
    summed: &'t [usize],
}

impl Tiler<'_, '_> {
    /// Cuts the tile at the right edge.
    fn columns(
        &self,
        em: &mut Emitter,
        tile: Tile,
        rows: &Dim,
        columns: &Dim,
        row: Index,
        column: Index,
    ) -> Result<(), Unsuited> {
        let width = tile.vectors * i64::from(self.lanes);
        match columns.as_constant() {
            Some(n) if n % width == 0 => self.rows(em, tile, rows, row, column, None),
            Some(n) if n < width => self.rows(em, tile, rows, row, column, Some(Index::Constant(n))),
            _ => {
                let rest = em.extent(columns) - column.clone();
                let rest = em.hold(rest);
                let whole = em.less(Index::Constant(width - 1), rest.clone());
                em.b.open_branch(whole);
                em.scope(|em| self.rows(em, tile, rows, row.clone(), column.clone(), None))?;
                em.b.open_otherwise(vec![]);
                em.scope(|em| self.rows(em, tile, rows, row, column, Some(rest)))?;
                em.b.close_branch(vec![]);
                Ok(())
            }
        }
    }

    /// Cuts the tile at the lower edge: there it is computed row by row.
    fn rows(
        &self,
        em: &mut Emitter,
        tile: Tile,
        rows: &Dim,
        row: Index,
        column: Index,
        count: Option<Index>,
    ) -> Result<(), Unsuited> {
        if rows.as_constant().is_some_and(|n| n % tile.rows == 0) {
            return self.tile(em, tile, row, column, count);
        }
        let end = em.extent(rows);
        let whole = em.less(row.clone() + (tile.rows - 1), end.clone());
        em.b.open_branch(whole);
        em.scope(|em| self.tile(em, tile, row.clone(), column.clone(), count.clone()))?;
        em.b.open_otherwise(vec![]);
        em.scope(|em| em.for_each(row, end, 1, |em, row| self.tile(em, Tile { rows: 1, ..tile }, row, column, count)))?;
        em.b.close_branch(vec![]);
        Ok(())
    }

    fn tile(
        &self,
        em: &mut Emitter,
        tile: Tile,
        row: Index,
        column: Index,
        count: Option<Index>,
    ) -> Result<(), Unsuited> {
        let (plan, lanes) = (self.plan, self.lanes);
        let variable = |v: Option<usize>| v.map(|v| &plan.form.variables[v]);
        let (outer, indices): (Vec<usize>, Vec<Index>) = self.outer.iter().cloned().unzip();
        let [mut left, mut right] = plan.origins(em, &outer, &indices);
        let row_step = match variable(plan.rows) {
            Some(rows) => em.extent(&rows.left),
            None => Index::Constant(0),
        };
        left = left + row.clone() * row_step.clone();
        let vector_left = variable(plan.vector).is_some_and(|v| v.left.is(1));
        if let Some(vector) = variable(plan.vector) {
            let steps = [&vector.left, &vector.right].map(|step| em.extent(step));
            left = left + column.clone() * steps[0].clone();
            right = right + column.clone() * steps[1].clone();
        }
        let at = [em.hold(left), em.hold(right)];
        // lanes that count in each vector
        let counts: Vec<Option<Index>> =
            (0..tile.vectors).map(|v| count.clone().map(|n| n - v * i64::from(lanes))).collect();
        let dtype = accumulator(plan.dtype);
        let zero = em.b.constant(dtype, lanes, if dtype.is_float() { Scalar::Float(0.0) } else { Scalar::Int(0) });
        let factor = |em: &mut Emitter, operand: usize, position: Index, lanes: u32, count: Option<Index>| {
            let value = em.b.load(plan.memory[operand], position, lanes, count);
            em.b.convert(dtype, value)
        };
        let initial = vec![zero; (tile.rows * tile.vectors) as usize];
        let sums = plan.sum(em, self.summed, at, &initial, &mut |em, [left, right], carried| {
            let vectors: Vec<Register> = (0..tile.vectors)
                .map(|v| factor(em, 1, right.clone() + v * i64::from(lanes), lanes, counts[v as usize].clone()))
                .collect();
            let mut next = Vec::with_capacity(carried.len());
            for r in 0..tile.rows {
                let position = left.clone() + row_step.clone() * r;
                let scalar = (!vector_left).then(|| {
                    let scalar = factor(em, 0, position.clone(), 1, None);
                    em.b.splat(lanes, scalar)
                });
                for v in 0..tile.vectors {
                    let left = scalar.unwrap_or_else(|| {
                        factor(em, 0, position.clone() + v * i64::from(lanes), lanes, counts[v as usize].clone())
                    });
                    let sum = carried[(r * tile.vectors + v) as usize];
                    next.push(multiply_add(em, dtype, left, vectors[v as usize], sum));
                }
            }
            Ok(next)
        })?;
        self.epilogue(em, tile, row, column, count, &sums)
    }

    /// Computes and writes the cluster's values at the tile.
    fn epilogue(
        &self,
        em: &mut Emitter,
        tile: Tile,
        row: Index,
        column: Index,
        count: Option<Index>,
        sums: &[Register],
    ) -> Result<(), Unsuited> {
        let (plan, lanes) = (self.plan, self.lanes);
        let width = tile.vectors * i64::from(lanes);
        for r in 0..tile.rows {
            for v in 0..tile.vectors {
                em.b.store(
                    self.scratch,
                    Index::Constant(r * width + v * i64::from(lanes)),
                    sums[(r * tile.vectors + v) as usize],
                    None,
                );
            }
        }
        let columns = count.unwrap_or(Index::Constant(width)).min(width);
        let (base, rows) = (Index::Constant(0), Index::Constant(tile.rows));
        plan.finish(em, lanes, &self.outer, Finish { sums: self.scratch, base, width, row, column, rows, columns })
    }
}

fn multiply_add(em: &mut Emitter, dtype: DType, a: Register, b: Register, c: Register) -> Register {
    if dtype.is_float() {
        return em.b.multiply_add(a, b, c);
    }
    let product = super::functions::binary(&mut em.b, Binary::Multiply, a, b);
    super::functions::binary(&mut em.b, Binary::Add, product, c)
}
