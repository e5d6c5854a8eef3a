//! Contractions through shared memory. A task computes a tile of the result. What its block of threads reads of both operands is copied into
//! shared memory, one part of the summed variables beside the product of the part before; at the edges copies fill up with zeros. Products of
//! half-precision floats are tensor cores' ([`cores`](super::cores)), those of f32 the threads' own ([`threads`](super::threads)); both sum in
//! f32.
//!
//! The sums go through shared memory, some rows at a time, to the epilogue.

use super::super::emit::{Emitter, Unsuited};
use super::super::map::{divide, nominal};
use super::threads::Grid;
use super::{Plan, cores};
use crate::{Factors, Target};
use kc_ir::kernel::{ALIGNMENT, Index, Lines, MemoryId, Register, TileCopy};
use kc_ir::tensor::Scalar;
use kc_ir::tensor::ops::Binary;
use kc_ir::{DType, Dim, TensorType};

/// Parts of the operands that are in shared memory at a time, at most.
const STAGES: i64 = 4;

/// Bytes of shared memory that each block has.
const SHARED: i64 = 48 << 10;

/// Bytes between lines in shared memory, so that eight lines' pieces of 16 bytes lie in banks of their own.
const PADDING_BYTES: i64 = 16;

/// Tiles whose operands shared memory holds twice, beside the sums of some rows.
const TILES: [(i64, i64); 8] = [(128, 64), (64, 128), (64, 64), (128, 32), (32, 128), (64, 32), (32, 64), (32, 32)];

/// What multiplies.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unit {
    /// Tensor cores.
    Cores,
    /// Each thread for itself.
    Threads,
}

/// How operands lie for a product of tiles.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    unit: Unit,
    /// Variables whose values are the rows.
    rows: Vec<usize>,
    /// Summed variables over whose values parts go.
    inner: Vec<usize>,
    /// Which neighbours the operands have in memory, and in shared memory.
    lines: [Lines; 2],
}

/// A contraction as products of tiles.
pub(super) struct Product<'t, 'p> {
    plan: &'t Plan<'p>,
    pub(super) unit: Unit,
    /// Variables whose values are the rows, the innermost last.
    rows: Vec<usize>,
    columns: usize,
    /// The result's other variables.
    outer: Vec<usize>,
    /// Summed variables over whose values parts go, the innermost last.
    inner: Vec<usize>,
    /// Summed variables of which a part has one value each.
    outer_summed: Vec<usize>,
    /// Rows and columns of a tile.
    pub(super) tile: (i64, i64),
    /// Parts in which sums are computed.
    parts: i64,
    /// Which neighbours the operands have in memory, and in shared memory.
    pub(super) lines: [Lines; 2],
}

/// An operand's part in shared memory.
pub(in crate::schedule) struct Part {
    pub memory: MemoryId,
    /// Position of its first element.
    pub start: Index,
    /// Which elements are neighbours.
    pub lines: Lines,
    /// Elements from one line to the next.
    pub stride: i64,
    /// Elements by which a step along the free variable moves, and one along the summed variable.
    pub steps: (i64, i64),
}

/// Rows of a tile whose sums lie in memory.
pub(super) struct Rows {
    /// The first row's number within the tile.
    pub first: i64,
    /// Rows from one to the next.
    pub step: i64,
    pub count: i64,
    /// Position of the first row's sums.
    pub base: i64,
}

/// Some of a tile's sums on their way through memory.
pub(super) struct Stored<'s> {
    /// Writes them.
    pub store: Box<dyn Fn(&mut Emitter, MemoryId) + 's>,
    pub rows: Vec<Rows>,
}

/// A tile's place.
struct Place {
    /// Positions in both operands where all variables but the outer ones are 0.
    origin: [Index; 2],
    row: Index,
    column: Index,
    /// The number of the part of the sums.
    part: Index,
}

impl Plan<'_> {
    /// How the operands lie for a product of tiles; `None` where there are too few rows, columns or summed values to fill them, or where neither
    /// they nor the summed values are neighbours in memory.
    pub(super) fn layout(&self, factors: Factors) -> Option<Layout> {
        const LEAST: i64 = 8;
        let form = &self.form;
        let columns = self.vector?;
        let unit = match self.dtype {
            DType::F16 | DType::Bf16 => Unit::Cores,
            DType::F32 if factors == Factors::Tf32 => Unit::Cores,
            DType::F32 => Unit::Threads,
            _ => return None,
        };
        if !form.variables[columns].left.is(0) {
            return None;
        }
        // where both operands' neighbours are such, each copy has the longest lines
        let summed = self.summed();
        let neighbours = |v: &usize| {
            let variable = &form.variables[*v];
            (variable.left.is(1), variable.right.is(1), self.count(*v))
        };
        let inner = summed.iter().copied().max_by_key(neighbours)?;
        let moves_left_only = |&v: &usize| {
            let variable = &form.variables[v];
            v != columns && variable.out.is_some() && variable.right.is(0)
        };
        let free: Vec<usize> = (0..form.variables.len()).filter(moves_left_only).collect();
        let (left, rows) = match free.iter().find(|&&v| form.variables[v].left.is(1)) {
            _ if form.variables[inner].left.is(1) => (Lines::Rows, free),
            Some(&rows) => (Lines::Columns, self.merged_rows(rows, &free)),
            None => return None,
        };
        let right = match (form.variables[columns].right.is(1), form.variables[inner].right.is(1)) {
            (true, _) => Lines::Rows,
            (false, true) => Lines::Columns,
            (false, false) => return None,
        };
        // lines may follow each other along several axes, neighbours only along one
        let inner = if (left, right) == (Lines::Columns, Lines::Rows) { summed.clone() } else { vec![inner] };
        let all = |variables: &[usize]| variables.iter().map(|&v| self.count(v)).fold(1, i64::saturating_mul);
        if [all(&rows), self.count(columns), all(&inner)].into_iter().any(|count| count < LEAST)
            || summed.iter().any(|&v| form.variables[v].extent.is(0))
        {
            return None;
        }
        Some(Layout { unit, rows, inner, lines: [left, right] })
    }

    fn count(&self, variable: usize) -> i64 {
        nominal(&self.form.variables[variable].extent)
    }

    /// The variables whose values are neighbours with those of the innermost one.
    fn merged_rows(&self, rows: usize, free: &[usize]) -> Vec<usize> {
        let form = &self.form;
        let mut merged = vec![rows];
        let first = |merged: &[usize]| {
            let inner = &form.variables[merged[0]];
            let step = inner.extent.clone() * inner.left.clone();
            free.iter().copied().find(|v| !merged.contains(v) && !step.is(0) && form.variables[*v].left == step)
        };
        while let Some(outer) = first(&merged) {
            merged.insert(0, outer);
        }
        merged
    }

    /// The contraction as products of tiles; `None` where [`layout`](Self::layout) has none. `parts` says whether the sums may be computed in
    /// parts.
    fn product(&self, target: &Target, parts: bool) -> Option<Product<'_, '_>> {
        let Layout { unit, rows, inner, lines } = self.layout(target.factors)?;
        let columns = self.vector?;
        let is_outer = |v: &usize| self.form.variables[*v].out.is_some() && *v != columns && !rows.contains(v);
        let outer: Vec<usize> = (0..self.form.variables.len()).filter(is_outer).collect();
        let outer_summed = self.summed().into_iter().filter(|v| !inner.contains(v)).collect();
        let mut product =
            Product { plan: self, unit, rows, columns, outer, inner, outer_summed, tile: (0, 0), parts: 1, lines };
        (product.tile, product.parts) = product.choose(target, parts);
        Some(product)
    }

    /// The contraction by tiles in shared memory, whole sums at once; `None` where [`layout`](Self::layout) has none.
    pub(super) fn tiles(&self, em: &mut Emitter, target: &Target, lanes: u32) -> Option<Result<Dim, Unsuited>> {
        Some(self.product(target, false)?.emit(em, lanes, None))
    }

    /// The type of what has all parts of the sums, where these are better computed in parts.
    pub(super) fn parts(&self, target: &Target) -> Option<TensorType> {
        let product = self.product(target, true).filter(|product| product.parts > 1)?;
        let parts = Dim::constant(product.parts);
        let shape = vec![product.all(&product.outer) * parts, product.all(&product.rows), self.extent(self.vector)];
        Some(TensorType { dtype: DType::F32, shape })
    }

    /// Computes the parts of all sums into a buffer.
    pub(super) fn sum_parts(&self, em: &mut Emitter, target: &Target, parts: MemoryId) -> Result<Dim, Unsuited> {
        self.product(target, true).ok_or(Unsuited)?.emit(em, target.lanes(), Some(parts))
    }

    /// Adds the parts of each sum and computes the epilogue.
    pub(super) fn add_parts(
        &self,
        em: &mut Emitter,
        target: &Target,
        lanes: u32,
        from: MemoryId,
    ) -> Result<Dim, Unsuited> {
        /// Elements of a task.
        const ELEMENTS: i64 = 512;
        let product = self.product(target, true).ok_or(Unsuited)?;
        let variables: Vec<usize> = product.outer.iter().chain(&product.rows).copied().collect();
        let units = product.extents(&variables);
        let per_task = (ELEMENTS / self.count(product.columns)).max(1);
        let (tasks, first, length) = divide(em, &units.iter().cloned().product(), per_task);
        let (rows, columns) = (em.extent(&product.all(&product.rows)), em.extent(&product.extent(product.columns)));
        let end = em.hold(first.clone() + length);
        em.for_each(first, end, 1, |em, unit| {
            let outer = em.hold(unit.clone().floor_div(rows.clone()));
            let row = em.hold(unit.clone().modulo(rows.clone()));
            let indices = em.unravel(&units, unit);
            let fixed: Vec<(usize, Index)> = variables.iter().copied().zip(indices).collect();
            em.vector_loop(lanes, Index::Constant(0), columns.clone(), &[], |em, column, _| {
                let load = |em: &mut Emitter, part: Index| {
                    let line = (outer.clone() * product.parts + part) * rows.clone() + row.clone();
                    em.b.load(from, line * columns.clone() + column.clone(), em.lanes, em.count.clone())
                };
                let first = load(em, Index::Constant(0));
                let sum = em.for_carrying(1, product.parts, 1, &[first], |em, part, sum| {
                    let next = load(em, part);
                    Ok(vec![em.b.binary(Binary::Add, sum[0], next)])
                })?;
                self.finish_at(em, &fixed, column, sum[0])?;
                Ok(vec![])
            })?;
            Ok(())
        })?;
        Ok(tasks)
    }
}

impl Product<'_, '_> {
    /// The tile, and in how many parts its sums are computed, with the least estimated time: of what products and copies take, for as many tiles
    /// as are computed one after the other, and of adding the parts.
    fn choose(&self, target: &Target, parts: bool) -> ((i64, i64), i64) {
        /// Parts of a sum that go through shared memory at least.
        const ROUNDS: f64 = 4.0;
        // products that take as long as the copy of a value, and how many times those of f32 are computed at once
        let (copy, at_once) = match self.unit {
            Unit::Cores => (24.0, 4.0),
            Unit::Threads => (6.0, 1.0),
        };
        let up = |n: f64, part: i64| (n / part as f64).ceil();
        let count = |variables: &[usize]| variables.iter().map(|&v| self.plan.count(v) as f64).product::<f64>();
        let (rows, columns, outer) = (count(&self.rows), self.plan.count(self.columns) as f64, count(&self.outer));
        let rounds = count(&self.outer_summed) * up(count(&self.inner), self.depth());
        let blocks = f64::from(target.threads);
        let launch = 0.5 * target.cost.launch_nanoseconds * target.cost.contraction_flops_per_nanosecond * at_once;
        let most = if parts { (rounds / ROUNDS).clamp(1.0, blocks.max(1.0)) } else { 1.0 };
        let time = |(height, width): (i64, i64), parts: i64| {
            let tiles = up(rows, height) * up(columns, width) * outer * parts as f64;
            let each = (height * width) as f64 + copy * (height + width) as f64;
            let added = if parts > 1 { 2.0 * copy * rows * columns * outer * parts as f64 + launch } else { 0.0 };
            tiles.max(blocks) * each * self.depth() as f64 * up(rounds, parts) + added
        };
        let numbers = (0..32).map(|power| 1i64 << power).take_while(|parts| *parts as f64 <= most);
        let candidates = TILES.into_iter().flat_map(|tile| numbers.clone().map(move |parts| (tile, parts)));
        // the first of equal ones
        candidates.min_by(|a, b| time(a.0, a.1).total_cmp(&time(b.0, b.1))).unwrap_or(((32, 32), 1))
    }

    fn extent(&self, variable: usize) -> Dim {
        self.plan.form.variables[variable].extent.clone()
    }

    fn extents(&self, variables: &[usize]) -> Vec<Dim> {
        variables.iter().map(|&v| self.extent(v)).collect()
    }

    /// How many values variables have together.
    fn all(&self, variables: &[usize]) -> Dim {
        self.extents(variables).into_iter().product()
    }

    /// Summed values that are copied at a time.
    fn depth(&self) -> i64 {
        match self.unit {
            Unit::Cores if self.plan.dtype != DType::F32 => 32,
            Unit::Cores | Unit::Threads => 16,
        }
    }

    /// Elements between an operand's lines in shared memory.
    fn padding(&self, operand: usize) -> i64 {
        let least = PADDING_BYTES / self.plan.dtype.bytes() as i64;
        // a warp reads pieces of 8 bytes of lines of summed f32
        let by_pairs = matches!(self.unit, Unit::Cores) && self.plan.dtype == DType::F32 && self.is_free(operand);
        if by_pairs { 2 * least } else { least }
    }

    /// Whether an operand's lines are values of the free variable, and summed values are neighbours.
    fn is_free(&self, operand: usize) -> bool {
        (operand == 0) == (self.lines[operand] == Lines::Rows)
    }

    /// Lines of an operand's part and elements of each.
    fn part(&self, operand: usize) -> (i64, i64) {
        let ((height, width), depth) = (self.tile, self.depth());
        match (operand, self.lines[operand]) {
            (0, Lines::Rows) => (height, depth),
            (0, Lines::Columns) => (depth, height),
            (_, Lines::Rows) => (depth, width),
            (_, Lines::Columns) => (width, depth),
        }
    }

    /// Elements of an operand's part in shared memory.
    fn part_elements(&self, operand: usize) -> i64 {
        let (lines, elements) = self.part(operand);
        lines * (elements + self.padding(operand))
    }

    /// Parts of the operands that are in shared memory at a time: as many as it holds beside the sums, and a power of two, so that a part's place
    /// is easily found.
    fn stages(&self) -> i64 {
        let part = self.part_elements(0) + self.part_elements(1);
        let sums = self.rows_together() * self.apart() * DType::F32.bytes() as i64;
        // each memory starts at a multiple of so many bytes
        let rest = SHARED - sums - 3 * ALIGNMENT as i64;
        1 << (rest / (part * self.plan.dtype.bytes() as i64)).clamp(2, STAGES).ilog2()
    }

    /// Elements from one row of sums to the next in memory.
    pub(super) fn apart(&self) -> i64 {
        self.tile.1 + 8
    }

    /// Rows of sums that are in memory at a time.
    fn rows_together(&self) -> i64 {
        match self.unit {
            Unit::Cores => cores::ROWS,
            Unit::Threads => Grid::of(self).rows.threads,
        }
    }

    /// The tiles, and the epilogue; or instead of that, where the sums are computed in parts, these into the memory of them.
    fn emit(&self, em: &mut Emitter, lanes: u32, parts: Option<MemoryId>) -> Result<Dim, Unsuited> {
        let plan = self.plan;
        let (height, width) = self.tile;
        let operands: [MemoryId; 2] = [("left", 0), ("right", 1)].map(|(name, operand)| {
            em.b.scratch(name, plan.dtype, (self.stages() * self.part_elements(operand)) as u64)
        });
        let apart = self.apart();
        let sums = em.b.scratch("sums", DType::F32, (self.rows_together() * apart) as u64);
        let row_extents = self.extents(&self.rows);
        let all_rows = self.all(&self.rows);
        let extents = self.extents(&self.outer).into_iter();
        let all_columns = self.extent(self.columns);
        let column_tiles = all_columns.ceil_div(width);
        let row_tiles = all_rows.ceil_div(height);
        let units: Vec<Dim> = extents.chain([Dim::constant(self.parts), column_tiles, row_tiles]).collect();
        let (tasks, unit, _) = divide(em, &units.iter().cloned().product(), 1);
        let mut indices = em.unravel(&units, unit);
        let row_tile = indices.pop().unwrap_or(Index::Constant(0));
        let column_tile = indices.pop().unwrap_or(Index::Constant(0));
        let (row, column) = (em.hold(row_tile * height), em.hold(column_tile * width));
        let part = indices.pop().unwrap_or(Index::Constant(0));
        // of all sums, those of the tile's part
        let mut number = Index::Constant(0);
        for (extent, index) in self.extents(&self.outer).iter().zip(&indices) {
            number = number * em.extent(extent) + index.clone();
        }
        let number = em.hold(number * self.parts + part.clone());
        let origin = plan.origins(em, &self.outer, &indices);
        let place = Place { origin, row, column, part };
        let sum = self.sum(em, &place, operands)?;
        let outer: Vec<(usize, Index)> = self.outer.iter().copied().zip(indices).collect();
        let stored = match self.unit {
            Unit::Cores => cores::parts(self, &sum),
            Unit::Threads => Grid::of(self).parts(self, &sum),
        };
        for part in stored {
            (part.store)(em, sums);
            for Rows { first, step, count, base } in part.rows {
                let row = em.hold(place.row.clone() + first);
                let rows = match all_rows.as_constant() {
                    Some(n) if n % height == 0 => Index::Constant(count),
                    _ => {
                        let rest = em.extent(&all_rows) - row.clone() + (step - 1);
                        em.hold(rest.floor_div(step).min(count))
                    }
                };
                let columns = match all_columns.as_constant() {
                    Some(n) if n % width == 0 => Index::Constant(width),
                    _ => {
                        let rest = em.extent(&all_columns) - place.column.clone();
                        em.hold(rest.min(width))
                    }
                };
                // all columns at once, where the epilogue suits
                let lanes = if lanes == 1 { 1 } else { width as u32 };
                let count = (lanes > 1 && columns.as_constant() != Some(width)).then(|| columns.clone());
                em.for_each(0, rows, 1, |em, r| {
                    em.b.independent();
                    let here = em.hold(row.clone() + r.clone() * step);
                    let mut fixed = outer.clone();
                    fixed.extend(self.rows.iter().copied().zip(em.unravel(&row_extents, here.clone())));
                    let end = if lanes > 1 { Index::Constant(1) } else { columns };
                    em.for_each(0, end, 1, |em, c| {
                        em.b.independent();
                        let sum = em.b.load(sums, r.clone() * apart + base + c.clone(), lanes, count.clone());
                        (em.lanes, em.count) = (lanes, count.clone());
                        let column = place.column.clone() + c;
                        let finished = match parts {
                            None => plan.finish_at(em, &fixed, column, sum),
                            Some(parts) => {
                                let line = number.clone() * em.extent(&all_rows) + here;
                                let position = line * em.extent(&all_columns) + column;
                                em.b.store(parts, position, sum, count.clone());
                                Ok(())
                            }
                        };
                        (em.lanes, em.count) = (1, None);
                        finished
                    })
                })?;
            }
        }
        Ok(tasks)
    }

    /// The tile's sums, as the unit has them.
    fn sum(&self, em: &mut Emitter, place: &Place, operands: [MemoryId; 2]) -> Result<Vec<Register>, Unsuited> {
        let mut rounds = self.extents(&self.outer_summed);
        rounds.push(self.all(&self.inner).ceil_div(self.depth()));
        let all: Dim = rounds.iter().cloned().product();
        let end = em.extent(&all);
        let (start, end) = match self.parts {
            1 => (Index::Constant(0), em.hold(end)),
            parts => {
                let each = em.extent(&all.ceil_div(parts));
                let start = em.hold(place.part.clone() * each.clone());
                let end = (start.clone() + each).min(end);
                (start, em.hold(end))
            }
        };
        // where there is nothing to sum, nothing is read
        let stages = self.stages();
        for stage in 0..stages - 1 {
            let first = em.hold(start.clone() + stage);
            self.fetch_round(em, place, operands, &rounds, first, &end)?;
        }
        let (count, lanes) = match self.unit {
            Unit::Cores => cores::sums(self),
            Unit::Threads => Grid::of(self).sums(),
        };
        let zero = em.b.constant(DType::F32, lanes, Scalar::Float(0.0));
        let initial = vec![zero; count];
        em.for_carrying(start, end.clone(), 1, &initial, |em, round, sums| {
            em.b.await_copies((stages - 2) as u32);
            let next = em.hold(round.clone() + (stages - 1));
            self.fetch_round(em, place, operands, &rounds, next, &end)?;
            let stage = em.hold(round.modulo(stages));
            let parts = [0, 1].map(|operand| {
                let (lines, (_, elements)) = (self.lines[operand], self.part(operand));
                let stride = elements + self.padding(operand);
                let steps = if self.is_free(operand) { (stride, 1) } else { (1, stride) };
                let start = em.hold(stage.clone() * self.part_elements(operand));
                Part { memory: operands[operand], start, lines, stride, steps }
            });
            Ok(match self.unit {
                Unit::Cores => cores::multiply(self, em, &parts, self.depth(), sums),
                Unit::Threads => Grid::of(self).multiply(em, &parts, self.depth(), sums),
            })
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
        let stage = em.hold(round.clone().modulo(self.stages()));
        let mut numbers = em.unravel(rounds, round);
        let part = numbers.pop().unwrap_or(Index::Constant(0));
        let depth = em.hold(part * self.depth());
        let mut positions = place.origin.clone();
        for (&v, number) in self.outer_summed.iter().zip(numbers) {
            let steps = [&form.variables[v].left, &form.variables[v].right].map(|step| em.extent(step));
            for (position, step) in positions.iter_mut().zip(steps) {
                *position = position.clone() + number.clone() * step;
            }
        }
        let free = [(&self.rows[..], &place.row), (std::slice::from_ref(&self.columns), &place.column)];
        for (operand, (position, free)) in positions.into_iter().zip(free).enumerate() {
            let (lines, elements) = self.part(operand);
            let summed = (&self.inner[..], &depth);
            let (along, across) = if self.is_free(operand) { (free, summed) } else { (summed, free) };
            let [valid_lines, valid_elements] = [along, across].map(|(variables, first)| {
                let rest = em.extent(&self.all(variables)) - first.clone();
                em.hold(rest)
            });
            // neighbours are one element apart
            let from_position = em.hold(position + across.1.clone());
            let (mut from_extents, mut from_strides) = (vec![], vec![]);
            for (extent, stride) in self.axes(operand, along.0) {
                from_extents.push(em.extent(&extent));
                from_strides.push(em.extent(&stride));
            }
            from_extents.remove(0);
            em.b.copy(TileCopy {
                to: operands[operand],
                to_position: stage.clone() * self.part_elements(operand),
                to_stride: elements + self.padding(operand),
                from: self.plan.memory[operand],
                from_position,
                first_line: along.1.clone(),
                from_strides,
                from_extents,
                lines,
                elements,
                valid_lines,
                valid_elements,
            });
        }
    }

    /// Extents and an operand's steps along variables, the innermost last; those as one that go on where the next one ends.
    fn axes(&self, operand: usize, variables: &[usize]) -> Vec<(Dim, Dim)> {
        let mut axes: Vec<(Dim, Dim)> = vec![];
        for &v in variables {
            let variable = &self.plan.form.variables[v];
            let (extent, step) = (variable.extent.clone(), [&variable.left, &variable.right][operand].clone());
            match axes.last_mut() {
                Some((all, stride)) if *stride == extent.clone() * step.clone() => {
                    *all = all.clone() * extent;
                    *stride = step;
                }
                _ => axes.push((extent, step)),
            }
        }
        axes
    }
}
