//! Contractions of half-precision floats on tensor cores. A task computes a tile of the result: its block's warps stand in a grid of two by two,
//! each with a quarter of the tile in registers, summed in f32. What the block reads of both operands is copied into shared memory, one part of
//! the summed variables beside the product of the part before. At the edges copies fill up with zeros.
//!
//! The sums go through shared memory, some rows at a time, to the epilogue.

use super::super::emit::{Emitter, Unsuited};
use super::super::map::{divide, nominal};
use super::Plan;
use crate::Target;
use kc_ir::kernel::fragment::{BLOCK_LANES, EXTENT};
use kc_ir::kernel::{Index, Lines, MemoryId, Register, Side, TileCopy, Tiles};
use kc_ir::tensor::Scalar;
use kc_ir::{DType, Dim};

/// Warps of a block along rows and columns of its tile.
const WARPS: i64 = 2;

/// Rows and columns of a warp's matrices.
const MATRIX: i64 = EXTENT as i64;

/// Summed values that are copied at a time.
const DEPTH: i64 = 32;

/// Parts of the operands that are in shared memory at a time.
const STAGES: i64 = 2;

/// Elements between lines in shared memory: with 16 bytes, eight lines' pieces of 16 bytes lie in banks of their own.
const PADDING: i64 = 8;

/// Tiles that shared memory holds twice, beside the sums of some rows.
const TILES: [(i64, i64); 8] = [(128, 64), (64, 128), (64, 64), (128, 32), (32, 128), (64, 32), (32, 64), (32, 32)];

/// A contraction as products of tiles.
struct Product<'t, 'p> {
    plan: &'t Plan<'p>,
    /// Variables whose values are the rows, the innermost last: a step of each is as many steps of the next as that has values.
    rows: Vec<usize>,
    columns: usize,
    inner: usize,
    /// Summed variables of which a part has one value each.
    outer_summed: Vec<usize>,
    /// Rows and columns of a tile.
    tile: (i64, i64),
    /// Which neighbours the operands have in memory, and in shared memory.
    lines: [Lines; 2],
}

/// A tile's place.
struct Place {
    /// Positions in both operands of its first row and column where all summed variables are 0.
    origin: [Index; 2],
    row: Index,
    column: Index,
}

impl Plan<'_> {
    /// The contraction by tiles of tensor cores; `None` where it has too few rows, columns or summed values to fill them, or where neither
    /// they nor the summed values are neighbours in memory.
    pub(super) fn tiles(&self, em: &mut Emitter, target: &Target, lanes: u32) -> Option<Result<Dim, Unsuited>> {
        const LEAST: i64 = 8;
        let form = &self.form;
        let (rows, columns) = (self.rows?, self.vector?);
        if !matches!(self.dtype, DType::F16 | DType::Bf16) || !form.variables[columns].left.is(0) {
            return None;
        }
        let count = |v: usize| nominal(&form.variables[v].extent);
        let mut merged = vec![rows];
        let first = |merged: &[usize]| {
            let inner = &form.variables[merged[0]];
            let step = inner.extent.clone() * inner.left.clone();
            self.outer().into_iter().find(|v| {
                let outer = &form.variables[*v];
                !merged.contains(v) && outer.right.is(0) && !step.is(0) && outer.left == step
            })
        };
        while let Some(outer) = first(&merged) {
            merged.insert(0, outer);
        }
        let height: i64 = merged.iter().map(|&v| count(v)).product();
        // where both operands' neighbours are such, each copy has the longest lines
        let summed = self.summed();
        let neighbours = |v: &usize| {
            let variable = &form.variables[*v];
            (variable.left.is(1), variable.right.is(1), count(*v))
        };
        let inner = summed.iter().copied().max_by_key(neighbours)?;
        if [height, count(columns), count(inner)].into_iter().any(|count| count < LEAST)
            || summed.iter().any(|&v| form.variables[v].extent.is(0))
        {
            return None;
        }
        let left = match (form.variables[inner].left.is(1), form.variables[rows].left.is(1)) {
            (true, _) => Lines::Rows,
            (false, true) => Lines::Columns,
            (false, false) => return None,
        };
        let right = match (form.variables[columns].right.is(1), form.variables[inner].right.is(1)) {
            (true, _) => Lines::Rows,
            (false, true) => Lines::Columns,
            (false, false) => return None,
        };
        let outer: i64 = self.outer().into_iter().filter(|v| !merged.contains(v)).map(count).product();
        let product = Product {
            plan: self,
            rows: merged,
            columns,
            inner,
            outer_summed: summed.into_iter().filter(|&v| v != inner).collect(),
            tile: choose(target, height, count(columns), outer),
            lines: [left, right],
        };
        Some(product.emit(em, lanes))
    }
}

/// The tile with the least estimated time: of what its products and its copies take, for as many tiles as are computed one after the other.
fn choose(target: &Target, rows: i64, columns: i64, outer: i64) -> (i64, i64) {
    /// Products that take as long as the copy of a value.
    const COPY: i64 = 24;
    let up = |n: i64, part: i64| (n + part - 1) / part;
    let time = |&(height, width): &(i64, i64)| {
        let tiles = up(rows, height) * up(columns, width) * outer;
        tiles.max(i64::from(target.threads)) * (height * width + COPY * (height + width))
    };
    TILES.into_iter().min_by_key(time).unwrap_or((32, 32))
}

impl Product<'_, '_> {
    fn extent(&self, variable: usize) -> Dim {
        self.plan.form.variables[variable].extent.clone()
    }

    fn row_extents(&self) -> Vec<Dim> {
        self.rows.iter().map(|&v| self.extent(v)).collect()
    }

    /// The innermost variable of the rows.
    fn inner_row(&self) -> usize {
        self.rows[self.rows.len() - 1]
    }

    /// Lines of an operand's part and elements of each.
    fn part(&self, operand: usize) -> (i64, i64) {
        let (height, width) = self.tile;
        match (operand, self.lines[operand]) {
            (0, Lines::Rows) => (height, DEPTH),
            (0, Lines::Columns) => (DEPTH, height),
            (_, Lines::Rows) => (DEPTH, width),
            (_, Lines::Columns) => (width, DEPTH),
        }
    }

    fn emit(&self, em: &mut Emitter, lanes: u32) -> Result<Dim, Unsuited> {
        let plan = self.plan;
        let (height, width) = self.tile;
        let operands: [MemoryId; 2] = [("left", 0), ("right", 1)].map(|(name, operand)| {
            let (lines, elements) = self.part(operand);
            em.b.scratch(name, plan.dtype, (STAGES * lines * (elements + PADDING)) as u64)
        });
        let apart = width + PADDING;
        let sums = em.b.scratch("sums", DType::F32, (WARPS * MATRIX * apart) as u64);
        let outer: Vec<usize> = plan.outer().into_iter().filter(|v| !self.rows.contains(v)).collect();
        let row_extents = self.row_extents();
        let all_rows: Dim = row_extents.iter().cloned().product();
        let extents = outer.iter().map(|&v| self.extent(v));
        let all_columns = self.extent(self.columns);
        let column_tiles = all_columns.ceil_div(width);
        let row_tiles = all_rows.ceil_div(height);
        let units: Vec<Dim> = extents.chain([column_tiles, row_tiles]).collect();
        let (tasks, unit, _) = divide(em, &units.iter().cloned().product(), 1);
        let mut indices = em.unravel(&units, unit);
        let row_tile = indices.pop().unwrap_or(Index::Constant(0));
        let column_tile = indices.pop().unwrap_or(Index::Constant(0));
        let (row, column) = (em.hold(row_tile * height), em.hold(column_tile * width));
        let [left, right] = plan.origins(em, &outer, &indices);
        let left = left + row.clone() * em.extent(&plan.form.variables[self.inner_row()].left);
        let right = right + column.clone() * em.extent(&plan.form.variables[self.columns].right);
        let place = Place { origin: [em.hold(left), em.hold(right)], row, column };
        let sum = self.sum(em, &place, operands)?;
        let outer: Vec<(usize, Index)> = outer.into_iter().zip(indices).collect();
        for (down, fragments) in sum.chunks(self.fragments(width)).enumerate() {
            for (across, &fragment) in fragments.iter().enumerate() {
                let tiles = Tiles {
                    memory: sums,
                    position: Index::Constant(across as i64 * MATRIX),
                    lines: Lines::Rows,
                    stride: apart,
                    across: WARPS,
                    steps: [MATRIX * apart, width / WARPS],
                };
                em.b.store_tiles(tiles, fragment);
            }
            for warp in 0..WARPS {
                let row = em.hold(place.row.clone() + (warp * height / WARPS + down as i64 * MATRIX));
                let extents = [(&all_rows, &row, MATRIX, height), (&all_columns, &place.column, width, width)];
                let [rows, columns] = extents.map(|(extent, first, most, tile)| match extent.as_constant() {
                    Some(n) if n % tile == 0 => Index::Constant(most),
                    _ => {
                        let rest = em.extent(extent) - first.clone();
                        em.hold(rest.min(most))
                    }
                });
                let base = warp * MATRIX * apart;
                // all columns at once, where the epilogue suits
                let lanes = if lanes == 1 { 1 } else { width as u32 };
                let count = (lanes > 1 && columns.as_constant() != Some(width)).then(|| columns.clone());
                em.for_each(0, rows, 1, |em, r| {
                    em.b.independent();
                    let here = em.hold(row.clone() + r.clone());
                    let mut fixed = outer.clone();
                    fixed.extend(self.rows.iter().copied().zip(em.unravel(&row_extents, here)));
                    let end = if lanes > 1 { Index::Constant(1) } else { columns };
                    em.for_each(0, end, 1, |em, c| {
                        em.b.independent();
                        let sum = em.b.load(sums, r.clone() * apart + base + c.clone(), lanes, count.clone());
                        (em.lanes, em.count) = (lanes, count.clone());
                        let finished = plan.finish_at(em, &fixed, place.column.clone() + c, sum);
                        (em.lanes, em.count) = (1, None);
                        finished
                    })
                })?;
            }
        }
        Ok(tasks)
    }

    /// Matrices of a warp along an extent of the tile.
    fn fragments(&self, extent: i64) -> usize {
        (extent / (WARPS * MATRIX)) as usize
    }

    /// The tile's sums: the fragments row by row.
    fn sum(&self, em: &mut Emitter, place: &Place, operands: [MemoryId; 2]) -> Result<Vec<Register>, Unsuited> {
        let lanes = BLOCK_LANES;
        let (height, width) = self.tile;
        let mut rounds: Vec<Dim> = self.outer_summed.iter().map(|&v| self.extent(v)).collect();
        rounds.push(self.extent(self.inner).ceil_div(DEPTH));
        let end = em.extent(&rounds.iter().cloned().product());
        let end = em.hold(end);
        // where there is nothing to sum, nothing is read
        for stage in 0..STAGES - 1 {
            self.fetch_round(em, place, operands, &rounds, Index::Constant(stage), &end)?;
        }
        let zero = em.b.constant(DType::F32, lanes, Scalar::Float(0.0));
        let initial = vec![zero; self.fragments(height) * self.fragments(width)];
        em.for_carrying(0, end.clone(), 1, &initial, |em, round, sums| {
            em.b.await_copies((STAGES - 2) as u32);
            let next = em.hold(round.clone() + (STAGES - 1));
            self.fetch_round(em, place, operands, &rounds, next, &end)?;
            let stage = em.hold(round.modulo(STAGES));
            Ok(self.multiply(em, operands, stage, sums, lanes))
        })
    }

    /// Starts the copies of a round, if there is one of that number; in any case they are a group.
    fn fetch_round(
        &self,
        em: &mut Emitter,
        place: &Place,
        operands: [MemoryId; 2],
        rounds: &[Dim],
        round: Index,
        end: &Index,
    ) -> Result<(), Unsuited> {
        let is_one = match (round.as_constant(), end.as_constant()) {
            (Some(round), Some(end)) => Some(round < end),
            _ => None,
        };
        if is_one != Some(false) {
            let branch = is_one.is_none().then(|| em.less(round.clone(), end.clone()));
            if let Some(condition) = branch {
                em.b.open_branch(condition);
            }
            em.scope(|em| self.fetch(em, place, operands, rounds, round));
            if branch.is_some() {
                em.b.open_otherwise(vec![]);
                em.b.close_branch(vec![]);
            }
        }
        em.b.commit_copies();
        Ok(())
    }

    fn fetch(&self, em: &mut Emitter, place: &Place, operands: [MemoryId; 2], rounds: &[Dim], round: Index) {
        let form = &self.plan.form;
        let stage = em.hold(round.clone().modulo(STAGES));
        let mut numbers = em.unravel(rounds, round);
        let part = numbers.pop().unwrap_or(Index::Constant(0));
        let depth = em.hold(part * DEPTH);
        let mut positions = place.origin.clone();
        for (&v, number) in self.outer_summed.iter().zip(numbers).chain([(&self.inner, depth.clone())]) {
            let steps = [&form.variables[v].left, &form.variables[v].right].map(|step| em.extent(step));
            for (position, step) in positions.iter_mut().zip(steps) {
                *position = position.clone() + number.clone() * step;
            }
        }
        let summed = em.extent(&form.variables[self.inner].extent) - depth;
        let summed = em.hold(summed);
        let all: [Dim; 2] = [self.row_extents().into_iter().product(), self.extent(self.columns)];
        let free = [(&all[0], &place.row), (&all[1], &place.column)].map(|(extent, first)| {
            let rest = em.extent(extent) - first.clone();
            em.hold(rest)
        });
        for (operand, (position, free)) in positions.into_iter().zip(free).enumerate() {
            let (lines, elements) = self.part(operand);
            let has_free_lines = matches!((operand, self.lines[operand]), (0, Lines::Rows) | (1, Lines::Columns));
            let variable = match (has_free_lines, operand) {
                (false, _) => self.inner,
                (true, 0) => self.inner_row(),
                (true, _) => self.columns,
            };
            let step = [&form.variables[variable].left, &form.variables[variable].right][operand];
            let (valid_lines, valid_elements) =
                if has_free_lines { (free, summed.clone()) } else { (summed.clone(), free) };
            let (from_position, from_stride) = (em.hold(position), em.extent(step));
            em.b.copy(TileCopy {
                to: operands[operand],
                to_position: stage.clone() * (lines * (elements + PADDING)),
                to_stride: elements + PADDING,
                from: self.plan.memory[operand],
                from_position,
                from_stride,
                lines,
                elements,
                valid_lines,
                valid_elements,
            });
        }
    }

    /// Adds the products of a stage.
    fn multiply(
        &self,
        em: &mut Emitter,
        operands: [MemoryId; 2],
        stage: Index,
        sums: &[Register],
        lanes: u32,
    ) -> Vec<Register> {
        let (height, width) = self.tile;
        let mut sums = sums.to_vec();
        for depth in (0..DEPTH).step_by(EXTENT) {
            let [left, right] = [(Side::Left, height), (Side::Right, width)].map(|(side, extent)| {
                let operand = usize::from(side == Side::Right);
                let (lines, elements) = self.part(operand);
                let stride = elements + PADDING;
                // elements by which a step along the free variable and along the summed one moves
                let steps = match (side, self.lines[operand]) {
                    (Side::Left, Lines::Rows) | (Side::Right, Lines::Columns) => (stride, 1),
                    _ => (1, stride),
                };
                let fragment = |number: usize| {
                    let within = number as i64 * MATRIX * steps.0 + depth * steps.1;
                    let warp = extent / WARPS * steps.0;
                    let tiles = Tiles {
                        memory: operands[operand],
                        position: stage.clone() * (lines * stride) + within,
                        lines: self.lines[operand],
                        stride,
                        across: WARPS,
                        steps: if side == Side::Left { [warp, 0] } else { [0, warp] },
                    };
                    em.b.load_tiles(tiles, side, lanes)
                };
                (0..self.fragments(extent)).map(fragment).collect::<Vec<Register>>()
            });
            for (row, sums) in left.iter().zip(sums.chunks_mut(right.len())) {
                for (column, sum) in right.iter().zip(sums) {
                    *sum = em.b.multiply_tiles(*row, *column, *sum);
                }
            }
        }
        sums
    }
}
