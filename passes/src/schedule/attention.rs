//! Kernels of attention and its gradient that never hold all scores: rows meet columns block by block, with the scores of one pair of
//! blocks in the thread's scratch memory. Forward, a task has a block of rows, whose largest score and sum are brought up to date with
//! each block of columns. Backward, a task has a batch and head, and computes the probabilities of each pair of blocks once again.
//!
//! Products are the runtime's library's, register tiles ([`tiles`]) or, on a GPU and forward only, those of a block of threads ([`block`]).

mod block;
mod tiles;

use super::emit::{At, Coordinate, Emitter, Unsuited};
use super::expand::strides;
use super::functions::{binary, unary};
use super::loops::Stored;
use super::map::divide;
use super::store::{View, view};
use crate::{Contraction, Target};
use block::Block;
use kc_ir::kernel::{Gemm, Index, Instruction, Matrix, MemoryId, Register};
use kc_ir::tensor::composites::{Composite, DotProductAttention};
use kc_ir::tensor::ops::{Binary, Compare, Reduction, Unary};
use kc_ir::tensor::{Graph, Op, Scalar, Value};
use kc_ir::{DType, Dim, TensorType};
use std::collections::BTreeMap;
use tiles::{Cut, Tiles};

/// Rows of the scores that a task holds, of products by the library.
const ROWS: i64 = 32;

/// Columns of the scores that a task holds, likewise.
const COLUMNS: i64 = 128;

/// What an excluded score is.
const EXCLUDED: f64 = -0.7 * f32::MAX as f64;

/// Which of the composites an op is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Forward,
    Gradient,
}

fn kind(op: &Op) -> Option<(Kind, &DotProductAttention)> {
    let Op::Composite(composite) = op else { return None };
    match composite {
        Composite::DotProductAttention(attention) => Some((Kind::Forward, attention)),
        Composite::DotProductAttentionGradient(gradient) => Some((Kind::Gradient, &gradient.attention)),
        _ => None,
    }
}

/// Whether a kernel of this file computes the op: of f32, with known features, without dropout. On a GPU no gradient, and no more features than
/// shared memory holds.
pub(super) fn suits(op: &Op, types: &[&TensorType], by: Contraction) -> bool {
    let Some((kind, attention)) = kind(op) else { return false };
    let fits = |ty: &&TensorType| features(ty).is_some_and(|features| features <= block::FEATURES);
    if by == Contraction::Streamed && !(kind == Kind::Forward && types.iter().take(3).all(fits)) {
        return false;
    }
    let plain = |ty: &&&TensorType| ty.dtype == DType::F32 && ty.rank() == 4 && features(ty).is_some();
    attention.dropout.0 == 0.0 && types.iter().take(3).filter(plain).count() == 3
}

fn features(ty: &TensorType) -> Option<i64> {
    ty.shape.last().and_then(Dim::as_constant).filter(|features| (1..=512).contains(features))
}

/// Positions of the operands that are matrices, which must lie in buffers.
pub(super) fn matrices(op: &Op) -> Vec<usize> {
    match kind(op) {
        None => vec![],
        Some((Kind::Forward, _)) => vec![0, 1, 2],
        Some((Kind::Gradient, attention)) => vec![0, 1, 2, attention.operands() + 3],
    }
}

/// Whether the kernel sums in its results, which it so reads as well.
pub(super) fn accumulates(op: &Op) -> bool {
    matches!(kind(op), Some((Kind::Gradient, _)))
}

/// A matrix as the kernel reads it: where a GPU copies features as neighbours, they are such.
fn seen(graph: &Graph, operand: Value, by: Contraction) -> View {
    let view = view(graph, operand);
    if by != Contraction::Streamed || view.strides.last().is_some_and(|step| step.is(1)) {
        return view;
    }
    View { base: operand, offset: Dim::default(), strides: strides(&graph.tensor_type(operand).shape) }
}

/// The values whose buffers the kernel reads, or that it computes where it reads them.
pub(super) fn reads(graph: &Graph, op: Value, by: Contraction) -> Vec<Value> {
    let node = graph.node(op);
    let matrices = matrices(&node.op);
    let of = |(position, &operand): (usize, &Value)| match matrices.contains(&position) {
        true => seen(graph, operand, by).base,
        false => operand,
    };
    node.operands.iter().enumerate().map(of).collect()
}

/// The values that must lie in buffers.
pub(super) fn buffers(graph: &Graph, op: Value, by: Contraction) -> Vec<Value> {
    let node = graph.node(op);
    matrices(&node.op).into_iter().map(|position| seen(graph, node.operands[position], by).base).collect()
}

/// Arithmetic operations.
pub(super) fn operations(graph: &Graph, op: Value) -> Dim {
    let node = graph.node(op);
    let [query, key, value] = [0, 1, 2].map(|position| &graph.tensor_type(node.operands[position]).shape);
    let products = match kind(&node.op) {
        Some((Kind::Forward, _)) => query[3].clone() + value[3].clone(),
        Some((Kind::Gradient, _)) => query[3].clone() * Dim::constant(3) + value[3].clone() * Dim::constant(2),
        None => Dim::default(),
    };
    query[..3].iter().cloned().product::<Dim>() * key[1].clone() * products * Dim::constant(2)
}

/// The kernel of an op that [`suits`].
pub(super) fn attention(
    em: &mut Emitter,
    target: &Target,
    lanes: u32,
    op: Value,
    memory: &BTreeMap<Value, MemoryId>,
    outputs: &[Stored],
) -> Result<Dim, Unsuited> {
    let node = em.graph.node(op);
    let (kind, settings) = kind(&node.op).ok_or(Unsuited)?;
    let operands = &node.operands;
    let matrix = |position: usize| -> Result<Tensor, Unsuited> {
        let view = seen(em.graph, operands[position], target.contraction);
        let memory = *memory.get(&view.base).ok_or(Unsuited)?;
        let features = features(em.ty(operands[position])).ok_or(Unsuited)?;
        Ok(Tensor { view, memory, features })
    };
    let behind = settings.operands();
    let mut others = operands[3..behind].iter().copied();
    let kernel = Kernel {
        lanes,
        settings,
        extents: [0, 1, 2].map(|axis| em.ty(operands[0]).shape[axis].clone()),
        columns: em.ty(operands[1]).shape[1].clone(),
        query: matrix(0)?,
        key: matrix(1)?,
        value: matrix(2)?,
        bias: if settings.bias { others.next() } else { None },
        mask: if settings.mask { others.next() } else { None },
        outputs,
    };
    if kind == Kind::Forward {
        let operands = [&kernel.query, &kernel.key, &kernel.value];
        let cut = match target.contraction {
            Contraction::Generated => Cut::of(target, lanes, &kernel.extents, &kernel.columns, operands),
            Contraction::Library | Contraction::Streamed => None,
        };
        let block = (target.contraction == Contraction::Streamed)
            .then(|| Block::new(em, [kernel.query.features, kernel.value.features]));
        return kernel.forward(em, cut, block);
    }
    let given = Given { statistics: [0, 1, 2].map(|index| operands[behind + index]), cotangent: matrix(behind + 3)? };
    kernel.gradient(em, &given)
}

/// An operand in a buffer: `[batch, positions, heads, features]`.
struct Tensor {
    view: View,
    memory: MemoryId,
    features: i64,
}

/// What gradients take behind the attention's own operands.
struct Given {
    /// The largest score and the sum of a row, and the sum of the result times its cotangent.
    statistics: [Value; 3],
    cotangent: Tensor,
}

struct Kernel<'k> {
    lanes: u32,
    settings: &'k DotProductAttention,
    /// Batch, rows, heads.
    extents: [Dim; 3],
    columns: Dim,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Option<Value>,
    mask: Option<Value>,
    outputs: &'k [Stored<'k>],
}

/// Where a task is: the batch and the head.
#[derive(Clone)]
struct Place {
    batch: Index,
    head: Index,
}

/// A range of rows or columns.
#[derive(Clone, Debug)]
struct Range {
    first: Index,
    length: Index,
}

/// Scratch memory that holds rows of so many elements.
#[derive(Clone, Copy)]
struct Panel {
    memory: MemoryId,
    stride: i64,
}

impl Panel {
    fn new(em: &mut Emitter, name: &str, rows: i64, stride: i64) -> Panel {
        Panel { memory: em.b.scratch(name, DType::F32, (rows * stride) as u64), stride }
    }

    fn matrix(self) -> Matrix {
        Matrix {
            memory: self.memory,
            position: Index::Constant(0),
            row_stride: Index::Constant(self.stride),
            column_stride: Index::Constant(1),
        }
    }

    fn transposed(self) -> Matrix {
        let Matrix { memory, position, row_stride, column_stride } = self.matrix();
        Matrix { memory, position, row_stride: column_stride, column_stride: row_stride }
    }

    fn load(self, em: &mut Emitter, row: &Index, column: Index) -> Register {
        em.b.load(self.memory, row.clone() * self.stride + column, em.lanes, em.count.clone())
    }

    fn store(self, em: &mut Emitter, row: &Index, column: Index, value: Register) {
        em.b.store(self.memory, row.clone() * self.stride + column, value, em.count.clone());
    }

    fn scalar(self, em: &mut Emitter, row: &Index) -> Register {
        em.b.load(self.memory, row.clone() * self.stride, 1, None)
    }

    /// Sets rows from a first one on to zero.
    fn clear(self, em: &mut Emitter, lanes: u32, first: Index, rows: &Index) -> Result<(), Unsuited> {
        let length = em.hold(rows.clone() * self.stride);
        em.vector_loop(lanes, first * self.stride, length, &[], |em, position, _| {
            let zero = em.neutral(Reduction::Sum, DType::F32);
            em.b.store(self.memory, position, zero, em.count.clone());
            Ok(vec![])
        })?;
        Ok(())
    }
}

impl Tensor {
    /// Positions from a first one on as rows, their features as columns.
    fn rows(&self, em: &mut Emitter, at: &Place, first: &Index) -> Matrix {
        let strides = self.view.strides.clone().map_extents(em);
        let [batch, position, head, feature] = strides;
        let origin = em.extent(&self.view.offset)
            + at.batch.clone() * batch
            + at.head.clone() * head
            + first.clone() * position.clone();
        Matrix { memory: self.memory, position: em.hold(origin), row_stride: position, column_stride: feature }
    }

    /// The transpose of that.
    fn columns(&self, em: &mut Emitter, at: &Place, first: &Index) -> Matrix {
        let Matrix { memory, position, row_stride, column_stride } = self.rows(em, at, first);
        Matrix { memory, position, row_stride: column_stride, column_stride: row_stride }
    }
}

trait MapExtents {
    fn map_extents(self, em: &mut Emitter) -> [Index; 4];
}

impl MapExtents for Vec<Dim> {
    fn map_extents(self, em: &mut Emitter) -> [Index; 4] {
        [0, 1, 2, 3].map(|axis| em.extent(&self[axis]))
    }
}

fn product(em: &mut Emitter, [m, n, k]: [Index; 3], a: Matrix, b: Matrix, c: Matrix, accumulate: Accumulate) {
    em.b.gemm(Gemm { m, n, k, a, b, c, accumulate: accumulate == Accumulate::Yes });
}

/// What a task holds of its rows.
#[derive(Clone, Copy)]
struct Softmax {
    /// Products, then powers, of the block of rows and columns.
    scores: Panel,
    /// Sums of powers times values.
    sums: Panel,
    /// The largest score so far.
    largest: Panel,
    /// The sum of powers so far.
    total: Panel,
}

/// How rows meet columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meets {
    /// All at once.
    Once,
    /// A block after the other: what was summed before is brought to the largest score so far.
    Blocks,
}

/// Whether a product is added to what is there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Accumulate {
    Yes,
    No,
}

type Row<'r> = dyn FnMut(&mut Emitter, Index) -> Result<(), Unsuited> + 'r;

impl Kernel<'_> {
    /// Columns that a block has.
    fn block_columns(&self) -> i64 {
        self.columns.as_constant().map_or(COLUMNS, |columns| columns.clamp(1, COLUMNS))
    }

    /// Rows that a block has.
    fn block_rows(&self) -> i64 {
        self.extents[1].as_constant().map_or(ROWS, |rows| rows.clamp(1, ROWS))
    }

    /// Whether what lies after a row's position contributes nothing, in no row.
    fn skips(&self) -> bool {
        self.settings.causal && self.mask.is_none() && self.bias.is_none()
    }

    /// A task for each block of an axis, in each batch and head.
    fn tasks(
        &self,
        em: &mut Emitter,
        extent: &Dim,
        block: i64,
        body: impl FnOnce(&mut Emitter, Place, Range) -> Result<(), Unsuited>,
    ) -> Result<Dim, Unsuited> {
        let [batch, _, heads] = self.extents.clone();
        let shape = [batch, heads, extent.ceil_div(block)];
        let (tasks, first, length) = divide(em, &shape.iter().cloned().product(), 1);
        let end = em.hold(first.clone() + length);
        em.for_each(first, end, 1, |em, unit| {
            let mut indices = em.unravel(&shape, unit);
            let number = indices.pop().unwrap_or(Index::Constant(0));
            let head = indices.pop().unwrap_or(Index::Constant(0));
            let batch = indices.pop().unwrap_or(Index::Constant(0));
            let first = em.hold(number * block);
            let range = self.range(em, extent, block, first);
            body(em, Place { batch, head }, range)
        })?;
        Ok(tasks)
    }

    fn range(&self, em: &mut Emitter, extent: &Dim, block: i64, first: Index) -> Range {
        let length = match extent.as_constant() {
            Some(n) if n % block == 0 => Index::Constant(block),
            _ => {
                let rest = em.extent(extent) - first.clone();
                em.hold(rest.min(block))
            }
        };
        Range { first, length }
    }

    fn each_row(&self, em: &mut Emitter, rows: &Range, body: &mut Row) -> Result<(), Unsuited> {
        em.for_each(0, rows.length.clone(), 1, |em, row| {
            em.b.independent();
            body(em, row)
        })
    }

    /// The products of queries and keys of two blocks.
    fn products(&self, em: &mut Emitter, at: &Place, rows: &Range, columns: &Range, scores: Panel) {
        let (a, b) = (self.query.rows(em, at, &rows.first), self.key.columns(em, at, &columns.first));
        let sizes = [rows.length.clone(), columns.length.clone(), Index::Constant(self.query.features)];
        product(em, sizes, a, b, scores.matrix(), Accumulate::No);
    }

    /// Where a score lies among all: `column` is in lanes.
    fn index(at: &Place, row: &Index, column: &Index) -> [Coordinate; 4] {
        let [batch, head, row] = [&at.batch, &at.head, row].map(|index| Coordinate::fixed(index.clone()));
        [batch, head, row, Coordinate::lanes(column.clone())]
    }

    /// What an operand that broadcasts to the scores is there.
    fn broadcast(em: &mut Emitter, operand: Value, index: &[Coordinate; 4]) -> Result<Register, Unsuited> {
        let shape = &em.ty(operand).shape;
        let picked = shape.iter().zip(&index[4 - shape.len()..]).map(|(extent, coordinate)| match extent.is(1) {
            true => Coordinate::fixed(0),
            false => coordinate.clone(),
        });
        em.value(operand, &At::Multi(picked.collect()))
    }

    /// Whether scores are kept, where some may be excluded.
    fn kept(&self, em: &mut Emitter, at: &Place, row: &Index, column: &Index) -> Result<Option<Register>, Unsuited> {
        let mask = match self.mask {
            Some(mask) => Some(Self::broadcast(em, mask, &Self::index(at, row, column))?),
            None => None,
        };
        if !self.settings.causal {
            return Ok(mask);
        }
        let lanes = em.lanes;
        let [column, row] = [(column.clone(), 1), (row.clone(), 0)]
            .map(|(index, step)| em.b.instruction(DType::I32, lanes, Instruction::Position { index, step }));
        let causal = em.b.compare(Compare::LessEqual, column, row);
        Ok(Some(match mask {
            Some(mask) => binary(&mut em.b, Binary::And, mask, causal),
            None => causal,
        }))
    }

    /// A score: the product that the panel holds, scaled, biased and masked; and whether it is kept.
    fn score(
        &self,
        em: &mut Emitter,
        at: &Place,
        scores: Panel,
        (local, row): (&Index, &Index),
        (offset, column): (Index, &Index),
    ) -> Result<(Register, Option<Register>), Unsuited> {
        let lanes = em.lanes;
        let products = scores.load(em, local, offset);
        let scale = em.b.constant(DType::F32, lanes, Scalar::Float(self.settings.scale.0));
        let mut score = binary(&mut em.b, Binary::Multiply, products, scale);
        if let Some(bias) = self.bias {
            let bias = Self::broadcast(em, bias, &Self::index(at, row, column))?;
            let bias = em.b.convert(DType::F32, bias);
            score = binary(&mut em.b, Binary::Add, score, bias);
        }
        let kept = self.kept(em, at, row, column)?;
        if let Some(kept) = kept {
            let excluded = em.b.constant(DType::F32, lanes, Scalar::Float(EXCLUDED));
            score = em.b.select(kept, score, excluded);
        }
        Ok((score, kept))
    }

    /// Where a result is stored, if it is.
    fn output(&self, em: &Emitter, result: usize) -> Option<&Stored<'_>> {
        self.outputs.iter().find(|output| match &em.graph.node(output.value).op {
            Op::Projection(projection) => projection.index == result,
            _ => false,
        })
    }

    fn write(&self, em: &mut Emitter, result: usize, index: Vec<Coordinate>, value: Register) -> Result<(), Unsuited> {
        let Some(output) = self.output(em, result) else { return Ok(()) };
        em.store(output.memory, output.shape, &At::Multi(index), value)
    }

    /// Writes rows of a panel as the positions of a result `[batch, positions, heads, features]`.
    fn write_rows(
        &self,
        em: &mut Emitter,
        result: usize,
        at: &Place,
        rows: &Range,
        (panel, features): (Panel, i64),
        of: &mut dyn FnMut(&mut Emitter, &Index, Register) -> Register,
    ) -> Result<(), Unsuited> {
        self.each_row(em, rows, &mut |em, local| {
            let row = em.hold(rows.first.clone() + local.clone());
            em.vector_loop(self.lanes, Index::Constant(0), Index::Constant(features), &[], |em, column, _| {
                let value = panel.load(em, &local, column.clone());
                let value = of(em, &local, value);
                let fixed = [&at.batch, &row, &at.head].map(|index| Coordinate::fixed(index.clone()));
                self.write(em, result, fixed.into_iter().chain([Coordinate::lanes(column)]).collect(), value)?;
                Ok(vec![])
            })?;
            Ok(())
        })
    }

    /// Blocks of columns that rows attend to.
    fn each_columns(
        &self,
        em: &mut Emitter,
        rows: &Range,
        block: i64,
        body: &mut dyn FnMut(&mut Emitter, Range) -> Result<(), Unsuited>,
    ) -> Result<(), Unsuited> {
        let mut end = em.extent(&self.columns);
        if self.skips() {
            end = em.hold(end.min(rows.first.clone() + rows.length.clone()));
        }
        em.for_each(0, end, block, |em, first| {
            let columns = self.range(em, &self.columns, block, first);
            body(em, columns)
        })
    }

    fn forward(&self, em: &mut Emitter, cut: Option<Cut>, threads: Option<Block>) -> Result<Dim, Unsuited> {
        let features = self.value.features;
        // rows of a task and of a block of it, columns of a block, and what memory holds of these
        let (height, block, width) = match (cut, threads) {
            (_, Some(_)) => (block::ROWS, block::ROWS, block::COLUMNS),
            (Some(cut), _) => (cut.rows, cut.block, cut.columns),
            (None, None) => (self.block_rows(), self.block_rows(), self.block_columns()),
        };
        let padded = |columns| match threads {
            Some(_) => block::stride(columns),
            None => cut.map_or(columns, |cut| cut.padded(columns)),
        };
        let padded_height = (height + block - 1) / block * block;
        let scores = Panel::new(em, "scores", block, padded(width));
        let sums = Panel::new(em, "sums", padded_height, padded(features));
        let [largest, total] = ["largest", "total"].map(|name| Panel::new(em, name, height, 1));
        let softmax = Softmax { scores, sums, largest, total };
        let tiles = cut.map(|cut| Tiles::new(em, cut, self.query.features, features));
        let meets = match self.columns.as_constant() {
            Some(columns) if columns <= width => Meets::Once,
            _ => Meets::Blocks,
        };
        self.tasks(em, &self.extents[1], height, |em, at, rows| {
            if meets == Meets::Blocks {
                let cleared = if tiles.is_some() || threads.is_some() {
                    Index::Constant(padded_height)
                } else {
                    rows.length.clone()
                };
                sums.clear(em, self.lanes, Index::Constant(0), &cleared)?;
                self.each_row(em, &rows, &mut |em, local| {
                    let start = em.b.constant(DType::F32, 1, Scalar::Float(f64::NEG_INFINITY));
                    largest.store(em, &local, Index::Constant(0), start);
                    let zero = em.b.constant(DType::F32, 1, Scalar::Float(0.0));
                    total.store(em, &local, Index::Constant(0), zero);
                    Ok(())
                })?;
            }
            if let Some(threads) = threads {
                let queries = self.query.rows(em, &at, &rows.first);
                threads.fetch_queries(em, queries, &rows.length);
            }
            self.each_columns(em, &rows, width, &mut |em, columns| {
                if let Some(tiles) = &tiles {
                    tiles.pack(em, &at, &columns, [&self.key, &self.value])?;
                }
                self.each_block(em, &rows, (height, block), &mut |em, before, rows| {
                    let columns = match &tiles {
                        Some(tiles) => {
                            let columns = self.attended(em, &rows, columns.clone());
                            tiles.scores(em, &at, &rows, &columns, &self.query, scores)?;
                            columns
                        }
                        None => {
                            match threads {
                                Some(threads) => {
                                    let keys = self.key.rows(em, &at, &columns.first);
                                    threads.scores(em, keys, &columns.length, scores);
                                }
                                None => self.products(em, &at, &rows, &columns, scores),
                            }
                            columns.clone()
                        }
                    };
                    self.each_row(em, &rows, &mut |em, local| {
                        let row = em.hold(before.clone() + local.clone());
                        let locals = (&local, &row);
                        self.powers(em, &at, (&rows, &columns), locals, softmax, meets)
                    })?;
                    let accumulate = if meets == Meets::Once { Accumulate::No } else { Accumulate::Yes };
                    match &tiles {
                        Some(tiles) => tiles.results(em, [&rows, &columns], scores, (sums, &before), accumulate)?,
                        None => {
                            let values = self.value.rows(em, &at, &columns.first);
                            if let Some(threads) = threads {
                                threads.results(em, (scores, values), &columns.length, sums, accumulate);
                                return Ok(());
                            }
                            let sizes = [rows.length.clone(), Index::Constant(features), columns.length.clone()];
                            product(em, sizes, scores.matrix(), values, sums.matrix(), accumulate);
                        }
                    }
                    Ok(())
                })
            })?;
            for (result, panel) in [(1, largest), (2, total)] {
                self.each_row(em, &rows, &mut |em, local| {
                    let value = panel.scalar(em, &local);
                    let row = em.hold(rows.first.clone() + local);
                    let index = [&at.batch, &at.head, &row].map(|index| Coordinate::fixed(index.clone()));
                    self.write(em, result, index.into(), value)
                })?;
            }
            self.write_rows(em, 0, &at, &rows, (sums, features), &mut |em, local, sum| {
                let lanes = em.lanes;
                let all = total.scalar(em, local);
                let one = em.b.constant(DType::F32, 1, Scalar::Float(1.0));
                let share = binary(&mut em.b, Binary::Divide, one, all);
                let share = em.b.splat(lanes, share);
                let y = binary(&mut em.b, Binary::Multiply, sum, share);
                let largest = largest.scalar(em, local);
                self.zero_where_all_are_excluded(em, largest, y)
            })
        })
    }

    /// Blocks of a task's rows, with the number of rows before each.
    fn each_block(
        &self,
        em: &mut Emitter,
        rows: &Range,
        (height, block): (i64, i64),
        body: &mut dyn FnMut(&mut Emitter, Index, Range) -> Result<(), Unsuited>,
    ) -> Result<(), Unsuited> {
        if height == block {
            return body(em, Index::Constant(0), rows.clone());
        }
        em.for_each(0, rows.length.clone(), block, |em, before| {
            let first = em.hold(rows.first.clone() + before.clone());
            let length = match rows.length.as_constant() {
                Some(n) if n % block == 0 => Index::Constant(block),
                _ => em.hold((rows.length.clone() - before.clone()).min(block)),
            };
            body(em, before, Range { first, length })
        })
    }

    /// The columns of a block to which one of the rows attends at least.
    fn attended(&self, em: &mut Emitter, rows: &Range, columns: Range) -> Range {
        if !self.skips() {
            return columns;
        }
        let end = rows.first.clone() + rows.length.clone() - columns.first.clone();
        Range { length: em.hold(columns.length.min(end)), ..columns }
    }

    /// A row's value, or zero where all of the row is excluded and that is to have no probability.
    fn zero_where_all_are_excluded(&self, em: &mut Emitter, largest: Register, value: Register) -> Register {
        if !self.settings.zero_excluded || self.mask.is_none() {
            return value;
        }
        let lanes = em.lanes;
        let excluded = em.b.constant(DType::F32, 1, Scalar::Float(EXCLUDED));
        let all = em.b.compare(Compare::Equal, largest, excluded);
        let all = em.b.splat(lanes, all);
        let zero = em.b.constant(DType::F32, lanes, Scalar::Float(0.0));
        em.b.select(all, zero, value)
    }

    /// Turns a row of products into powers of the scores, relative to the largest so far, and brings the row's statistics and its
    /// sums of values up to date. The row has a number among those of `scores`, and one among those of the task.
    fn powers(
        &self,
        em: &mut Emitter,
        at: &Place,
        (rows, columns): (&Range, &Range),
        (local, number): (&Index, &Index),
        Softmax { scores, sums, largest, total }: Softmax,
        meets: Meets,
    ) -> Result<(), Unsuited> {
        let row = em.hold(rows.first.clone() + local.clone());
        em.lanes = self.lanes;
        let low = em.neutral(Reduction::Max, DType::F32);
        em.lanes = 1;
        let length = columns.length.clone();
        let most = em.vector_loop(self.lanes, Index::Constant(0), length.clone(), &[low], |em, offset, carried| {
            let column = em.hold(columns.first.clone() + offset.clone());
            let (score, _) = self.score(em, at, scores, (local, &row), (offset.clone(), &column))?;
            scores.store(em, local, offset, score);
            let low = em.neutral(Reduction::Max, DType::F32);
            let score = em.masked(score, low);
            // a NaN need not be the largest: the sum is NaN all the same
            let larger = em.b.compare(Compare::Greater, score, carried[0]);
            Ok(vec![em.b.select(larger, score, carried[0])])
        })?;
        let most = em.b.reduce_lanes(Reduction::Max, most[0]);
        let (after, shrink) = match meets {
            Meets::Once => (most, None),
            Meets::Blocks => {
                let before = largest.scalar(em, number);
                let after = binary(&mut em.b, Binary::Maximum, before, most);
                let shrink = binary(&mut em.b, Binary::Subtract, before, after);
                (after, Some(unary(&mut em.b, Unary::Exp, shrink)))
            }
        };
        largest.store(em, number, Index::Constant(0), after);
        em.lanes = self.lanes;
        let zero = em.neutral(Reduction::Sum, DType::F32);
        em.lanes = 1;
        let sum = em.vector_loop(self.lanes, Index::Constant(0), length, &[zero], |em, offset, carried| {
            let lanes = em.lanes;
            let score = scores.load(em, local, offset.clone());
            let after = em.b.splat(lanes, after);
            let power = binary(&mut em.b, Binary::Subtract, score, after);
            let power = unary(&mut em.b, Unary::Exp, power);
            scores.store(em, local, offset, power);
            let zero = em.neutral(Reduction::Sum, DType::F32);
            let power = em.masked(power, zero);
            Ok(vec![em.combine(Reduction::Sum, carried[0], power)])
        })?;
        let sum = em.b.reduce_lanes(Reduction::Sum, sum[0]);
        let Some(shrink) = shrink else {
            total.store(em, number, Index::Constant(0), sum);
            return Ok(());
        };
        let old = total.scalar(em, number);
        let old = binary(&mut em.b, Binary::Multiply, old, shrink);
        let new = binary(&mut em.b, Binary::Add, old, sum);
        total.store(em, number, Index::Constant(0), new);
        em.vector_loop(self.lanes, Index::Constant(0), Index::Constant(sums.stride), &[], |em, column, _| {
            let lanes = em.lanes;
            let value = sums.load(em, number, column.clone());
            let shrink = em.b.splat(lanes, shrink);
            let value = binary(&mut em.b, Binary::Multiply, value, shrink);
            sums.store(em, number, column, value);
            Ok(vec![])
        })?;
        Ok(())
    }

    /// Of two blocks the probabilities, and the derivative by the products of queries and keys, which takes the place of the products.
    fn derivative(
        &self,
        em: &mut Emitter,
        at: &Place,
        (rows, columns): (&Range, &Range),
        given: &Given,
        (scores, by_values): (Panel, Panel),
        probabilities: Panel,
    ) -> Result<(), Unsuited> {
        self.products(em, at, rows, columns, scores);
        let (a, b) = (given.cotangent.rows(em, at, &rows.first), self.value.columns(em, at, &columns.first));
        let sizes = [rows.length.clone(), columns.length.clone(), Index::Constant(self.value.features)];
        product(em, sizes, a, b, by_values.matrix(), Accumulate::No);
        self.each_row(em, rows, &mut |em, local| {
            let row = em.hold(rows.first.clone() + local.clone());
            let index = At::Multi([&at.batch, &at.head, &row].map(|index| Coordinate::fixed(index.clone())).into());
            let mut statistics = vec![];
            for statistic in given.statistics {
                statistics.push(em.scalar(statistic, &index)?);
            }
            em.vector_loop(self.lanes, Index::Constant(0), columns.length.clone(), &[], |em, offset, _| {
                let lanes = em.lanes;
                let column = em.hold(columns.first.clone() + offset.clone());
                let (score, kept) = self.score(em, at, scores, (&local, &row), (offset.clone(), &column))?;
                let [largest, sum, delta] = [0, 1, 2].map(|i| em.b.splat(lanes, statistics[i]));
                let power = binary(&mut em.b, Binary::Subtract, score, largest);
                let power = unary(&mut em.b, Unary::Exp, power);
                let probability = binary(&mut em.b, Binary::Divide, power, sum);
                let probability = self.zero_where_all_are_excluded(em, statistics[0], probability);
                let by_probability = by_values.load(em, &local, offset.clone());
                let centred = binary(&mut em.b, Binary::Subtract, by_probability, delta);
                let mut by_score = binary(&mut em.b, Binary::Multiply, probability, centred);
                if let (Some(kept), true) = (kept, self.mask.is_some()) {
                    let zero = em.b.constant(DType::F32, lanes, Scalar::Float(0.0));
                    by_score = em.b.select(kept, by_score, zero);
                }
                let scale = em.b.constant(DType::F32, lanes, Scalar::Float(self.settings.scale.0));
                let by_product = binary(&mut em.b, Binary::Multiply, by_score, scale);
                scores.store(em, &local, offset.clone(), by_product);
                probabilities.store(em, &local, offset, probability);
                Ok(vec![])
            })?;
            Ok(())
        })
    }

    fn gradient(&self, em: &mut Emitter, given: &Given) -> Result<Dim, Unsuited> {
        let (height, width) = (self.block_rows(), self.block_columns());
        let [scores, by_values, probabilities] =
            ["scores", "by_values", "probabilities"].map(|name| Panel::new(em, name, height, width));
        let by_keys = Panel::new(em, "by_keys", width, self.key.features);
        let by_value = Panel::new(em, "by_value", width, self.value.features);
        let [batch, rows, heads] = self.extents.clone();
        let shape = [batch, heads];
        let (tasks, first, length) = divide(em, &shape.iter().cloned().product(), 1);
        let last = em.hold(first.clone() + length);
        em.for_each(first, last, 1, |em, unit| {
            let mut indices = em.unravel(&shape, unit);
            let head = indices.pop().unwrap_or(Index::Constant(0));
            let at = Place { batch: indices.pop().unwrap_or(Index::Constant(0)), head };
            let end = em.extent(&rows);
            self.clear_queries(em, &at, &end)?;
            let columns_end = em.extent(&self.columns);
            em.for_each(0, columns_end, width, |em, first| {
                let columns = self.range(em, &self.columns, width, first);
                by_keys.clear(em, self.lanes, Index::Constant(0), &columns.length)?;
                by_value.clear(em, self.lanes, Index::Constant(0), &columns.length)?;
                let first = match self.skips() {
                    true => em.hold(columns.first.clone().floor_div(height) * height),
                    false => Index::Constant(0),
                };
                em.for_each(first, end.clone(), height, |em, first| {
                    let rows = self.range(em, &rows, height, first);
                    self.derivative(em, &at, (&rows, &columns), given, (scores, by_values), probabilities)?;
                    let queries = self.query.rows(em, &at, &rows.first);
                    let cotangents = given.cotangent.rows(em, &at, &rows.first);
                    for (panel, b, c) in [(scores, queries, by_keys), (probabilities, cotangents, by_value)] {
                        let sizes = [columns.length.clone(), Index::Constant(c.stride), rows.length.clone()];
                        product(em, sizes, panel.transposed(), b, c.matrix(), Accumulate::Yes);
                    }
                    if let Some(output) = self.output(em, 0) {
                        let keys = self.key.rows(em, &at, &columns.first);
                        let sums = self.query_rows(em, output, &at, &rows.first)?;
                        let sizes = [rows.length.clone(), Index::Constant(self.query.features), columns.length.clone()];
                        product(em, sizes, scores.matrix(), keys, sums, Accumulate::Yes);
                    }
                    Ok(())
                })?;
                for (result, panel) in [(1, by_keys), (2, by_value)] {
                    self.write_rows(em, result, &at, &columns, (panel, panel.stride), &mut |_, _, sum| sum)?;
                }
                Ok(())
            })
        })?;
        Ok(tasks)
    }

    /// Rows of the derivative by the queries, in its buffer.
    fn query_rows(&self, em: &mut Emitter, output: &Stored, at: &Place, first: &Index) -> Result<Matrix, Unsuited> {
        let index = [at.batch.clone(), first.clone(), at.head.clone(), Index::Constant(0)].map(Coordinate::fixed);
        let position = em.position(output.shape, &At::Multi(index.into()))?.index;
        let features = Index::Constant(self.query.features);
        let row_stride = em.extent(&self.extents[2]) * features;
        Ok(Matrix { memory: output.memory, position: em.hold(position), row_stride, column_stride: Index::Constant(1) })
    }

    /// Sets the derivative by the queries of a batch and head to zero.
    fn clear_queries(&self, em: &mut Emitter, at: &Place, rows: &Index) -> Result<(), Unsuited> {
        em.for_each(0, rows.clone(), 1, |em, row| {
            let features = Index::Constant(self.query.features);
            em.vector_loop(self.lanes, Index::Constant(0), features, &[], |em, column, _| {
                let zero = em.neutral(Reduction::Sum, DType::F32);
                let fixed = [&at.batch, &row, &at.head].map(|index| Coordinate::fixed(index.clone()));
                self.write(em, 0, fixed.into_iter().chain([Coordinate::lanes(column)]).collect(), zero)?;
                Ok(vec![])
            })?;
            Ok(())
        })
    }
}
