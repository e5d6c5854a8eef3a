//! Large contractions in blocks. A task computes a block of the result, a block of the summed variables after the other: it copies
//! what it reads of both operands side by side into scratch memory, where register tiles find it near and without gaps, whatever
//! the operands' layouts are. Sums between blocks stay in scratch memory too; where the last block is added, the epilogue follows.
//!
//! A right operand that stays the same from call to call is copied once, by a kernel of its own: [`Packing`](super::Packing).
//!
//! Each element is the sum of its products in the order of the summed variables, one after the other, whatever the blocks are.

use super::super::emit::{Coordinate, Emitter, Unsuited};
use super::super::expand::accumulator;
use super::super::map::divide;
use super::cut::{Blocks, LINE_BYTES, Left, Right, Split};
use super::groups::{Columns, OFFSET, for_groups, offset, whole_index, woven};
use super::tile::IN_FLIGHT;
use super::{Finish, Plan, multiply_add};
use kc_ir::kernel::{Index, MemoryId, Register};
use kc_ir::tensor::Scalar;
use kc_ir::tensor::ops::Binary;
use kc_ir::{DType, Dim};

/// A block of some variables: what is copied, and where it is.
struct Part<'p> {
    split: &'p Split,
    /// The first value of the variable that is cut.
    start: Index,
    /// How many values of it.
    length: Index,
}

impl Part<'_> {
    /// The block's variables with their numbers of values, the innermost last.
    fn extents(&self, plan: &Plan, em: &mut Emitter) -> Vec<(usize, Index)> {
        let cut = self.split.cut.map(|(v, _)| (v, self.length.clone()));
        let within = self.split.within.iter().map(|&v| (v, em.extent(&plan.form.variables[v].extent)));
        cut.into_iter().chain(within).collect()
    }
}

/// The block of that number: the values of the variables outside, and the part of the variable that is cut.
fn part<'p>(em: &mut Emitter, plan: &Plan, split: &'p Split, mut numbers: Vec<Index>) -> (Vec<Index>, Part<'p>) {
    let (mut start, mut length) = (Index::Constant(0), Index::Constant(1));
    if let Some((v, values)) = split.cut {
        let number = numbers.pop().unwrap_or(Index::Constant(0));
        start = em.hold(number * values);
        let extent = &plan.form.variables[v].extent;
        length = match extent.as_constant() {
            Some(n) if n % values == 0 => Index::Constant(values),
            _ => {
                let rest = em.extent(extent) - start.clone();
                em.hold(rest.min(values))
            }
        };
    }
    (numbers, Part { split, start, length })
}

/// Numbers of blocks: the extents outside, then the parts of the variable that is cut.
fn counts(plan: &Plan, split: &Split) -> Vec<Dim> {
    let outside = split.outside.iter().map(|&v| plan.form.variables[v].extent.clone());
    outside.chain(split.cut.map(|(v, values)| plan.form.variables[v].extent.ceil_div(values))).collect()
}

impl Plan<'_> {
    /// The contraction in blocks, one a task.
    pub(super) fn blocked(&self, em: &mut Emitter, blocks: &Blocks) -> Result<Dim, Unsuited> {
        let Blocks { tile, lanes, .. } = *blocks;
        let width = tile.vectors * i64::from(lanes);
        let sum_blocks = counts(self, &blocks.summed);
        let is_one = sum_blocks.iter().all(|count| count.is(1));
        let right = match blocks.right {
            Right::Copied => em.b.scratch("right", self.factors[1], (blocks.panels * blocks.panel_apart()) as u64),
            Right::Packed => self.memory[1],
        };
        let left = em.b.scratch(
            "left",
            if self.is_offset() { DType::U8 } else { self.factors[0] },
            match blocks.left {
                Left::InPlace(apart) => tile.rows * apart,
                Left::Lines(apart) => blocks.rows.size * apart,
                Left::Tiles => blocks.row_tiles * blocks.tile_apart(),
            } as u64,
        );
        let tiles = if is_one { 1 } else { blocks.run * blocks.panels * blocks.row_tiles };
        let sums = em.b.scratch("sums", accumulator(self.dtype), (tiles * tile.rows * width) as u64);
        let offsets = self.is_offset().then(|| em.b.scratch("offsets", self.dtype, (blocks.panels * width) as u64));
        let row_blocks = counts(self, &blocks.rows);
        let all_row_blocks: Dim = row_blocks.iter().cloned().product();
        let columns = self.extent(self.vector);
        let column_blocks = columns.ceil_div(blocks.panels * width);
        let both = blocks.both.iter().map(|&v| self.form.variables[v].extent.clone());
        let ends = blocks.order.of([column_blocks, all_row_blocks.ceil_div(blocks.run)]);
        let units: Vec<Dim> = both.chain(ends).collect();
        let (tasks, first, length) = divide(em, &units.iter().cloned().product(), 1);
        let end = em.hold(first.clone() + length);
        em.for_each(first, end, 1, |em, unit| {
            let mut indices = em.unravel(&units, unit);
            let inner = indices.pop().unwrap_or(Index::Constant(0));
            let outer = indices.pop().unwrap_or(Index::Constant(0));
            let [column_block, run] = blocks.order.of([outer, inner]);
            let origin = self.origins(em, &blocks.both, &indices);
            let first = em.hold(run * blocks.run);
            let length = match all_row_blocks.as_constant() {
                Some(n) if n % blocks.run == 0 => Index::Constant(blocks.run),
                _ => {
                    let rest = em.extent(&all_row_blocks) - first.clone();
                    em.hold(rest.min(blocks.run))
                }
            };
            let first_panel = em.hold(column_block * blocks.panels);
            let column = em.hold(first_panel.clone() * width);
            let panels = match columns.ceil_div(width).as_constant() {
                Some(n) if n % blocks.panels == 0 => Index::Constant(blocks.panels),
                _ => {
                    let rest = em.extent(&columns) - column.clone() + (width - 1);
                    em.hold(rest.floor_div(width).min(blocks.panels))
                }
            };
            let task = Task {
                plan: self,
                blocks,
                outer: blocks.both.iter().copied().zip(indices).collect(),
                origin,
                first_panel,
                column,
                panels,
                row_blocks: &row_blocks,
                run: (first, length),
                memory: [left, right],
                sums,
                offsets,
            };
            if is_one {
                let (_, summed) = part(em, self, &blocks.summed, vec![Index::Constant(0); sum_blocks.len()]);
                return task.sum_block(em, &summed, &[], None);
            }
            let count: Dim = sum_blocks.iter().cloned().product();
            let end = em.extent(&count);
            let end = em.hold(end);
            em.for_each(0, end.clone(), 1, |em, number| {
                let indices = em.unravel(&sum_blocks, number.clone());
                let (outside, summed) = part(em, self, &blocks.summed, indices);
                let is_first = em.less(number.clone(), Index::Constant(1));
                let is_last = em.less(end - Index::Constant(2), number);
                task.sum_block(em, &summed, &outside, Some(Ends { is_first, is_last }))
            })
        })?;
        Ok(tasks)
    }
}

/// A block of the result.
struct Task<'t, 'p> {
    plan: &'t Plan<'p>,
    blocks: &'t Blocks,
    /// The values of the variables that have one in the task.
    outer: Vec<(usize, Index)>,
    /// The positions in both operands where those variables have these values.
    origin: [Index; 2],
    first_panel: Index,
    column: Index,
    panels: Index,
    /// Numbers of blocks of rows, the first one of the task and how many it has.
    row_blocks: &'t [Dim],
    run: (Index, Index),
    /// Memory of the copied left operand and of the panels.
    memory: [MemoryId; 2],
    sums: MemoryId,
    /// What the left factors' offset adds to the columns' sums.
    offsets: Option<MemoryId>,
}

/// A block of rows of a task.
struct Lines<'t, 'p> {
    task: &'t Task<'t, 'p>,
    /// Its number in the task.
    number: Index,
    /// Position of the task's first panel, and the distance of panels.
    right: (Index, i64),
    rows: Part<'t>,
    /// The values of the variables that have one in the block.
    outer: Vec<(usize, Index)>,
}

impl Task<'_, '_> {
    /// Adds a block of the summed variables; where it is the last one, the epilogue follows.
    fn sum_block(
        &self,
        em: &mut Emitter,
        summed: &Part,
        outside: &[Index],
        ends: Option<Ends>,
    ) -> Result<(), Unsuited> {
        let blocks = self.blocks;
        let [mut left, mut right] = self.origin.clone();
        for (&v, index) in blocks.summed.outside.iter().zip(outside) {
            (left, right) = self.moved(em, [left, right], v, index.clone());
        }
        if let Some((v, _)) = blocks.summed.cut {
            (left, right) = self.moved(em, [left, right], v, summed.start.clone());
        }
        let (left, right) = (em.hold(left), em.hold(right));
        let values = summed.extents(self.plan, em);
        let right = match blocks.right {
            Right::Copied => {
                self.copy_right(em, right, &values)?;
                (Index::Constant(0), blocks.panel_apart())
            }
            Right::Packed => {
                let summed = self.plan.summed().into_iter().map(|v| &self.plan.form.variables[v].extent);
                let depths: Vec<_> = summed.map(|extent| (0, em.extent(extent))).collect();
                let apart = self.width() * self.padded(em, &depths).as_constant().unwrap_or(1);
                (em.hold(right + self.first_panel.clone() * apart), apart)
            }
        };
        self.sum_offsets(em, &right, &values)?;
        let (first, length) = self.run.clone();
        em.for_each(0, length, 1, |em, number| {
            let indices = em.unravel(self.row_blocks, first + number.clone());
            let (outside, rows) = part(em, self.plan, &blocks.rows, indices);
            let mut left = left;
            for (&v, index) in blocks.rows.outside.iter().zip(&outside) {
                (left, _) = self.moved(em, [left, Index::Constant(0)], v, index.clone());
            }
            if let Some((v, _)) = blocks.rows.cut {
                (left, _) = self.moved(em, [left, Index::Constant(0)], v, rows.start.clone());
            }
            let left = em.hold(left);
            let outside = blocks.rows.outside.iter().copied().zip(outside);
            let outer = self.outer.iter().cloned().chain(outside).collect();
            let lines = Lines { task: self, number, right: right.clone(), rows, outer };
            match blocks.left {
                Left::InPlace(_) => {}
                Left::Lines(apart) => lines.copy_lines(em, left.clone(), &values, apart)?,
                Left::Tiles => lines.copy_tiles(em, left.clone(), &values)?,
            }
            em.for_each(0, self.panels.clone(), 1, |em, panel| {
                let column = em.hold(self.column.clone() + panel.clone() * self.width());
                lines.for_tiles(em, left.clone(), |em, [group, tile], left, outer, row| {
                    let (panel, column) = (panel.clone(), column.clone());
                    lines.tile(em, [panel, group, tile], left, outer, [row, column], &values, ends)
                })
            })
        })
    }

    fn width(&self) -> i64 {
        self.blocks.width()
    }

    fn moved(&self, em: &mut Emitter, [left, right]: [Index; 2], variable: usize, by: Index) -> (Index, Index) {
        let variable = &self.plan.form.variables[variable];
        let steps = [&variable.left, &variable.right].map(|step| em.extent(step));
        let [left_step, right_step] = steps;
        (left + by.clone() * left_step, right + by * right_step)
    }

    /// Loops over a block's variables, the innermost last, with the number of the value among the block's and the left and right
    /// positions that it moves by.
    fn nest(
        &self,
        em: &mut Emitter,
        variables: &[(usize, Index)],
        at: (Index, [Index; 2]),
        body: &mut dyn FnMut(&mut Emitter, Index, [Index; 2]) -> Result<(), Unsuited>,
    ) -> Result<(), Unsuited> {
        let [(variable, extent), rest @ ..] = variables else { return body(em, at.0, at.1) };
        let inner: Index = self.sizes(em, rest);
        em.for_each(0, extent.clone(), 1, |em, value| {
            let number = em.hold(at.0 + value.clone() * inner);
            let (left, right) = self.moved(em, at.1, *variable, value);
            let moved = [em.hold(left), em.hold(right)];
            self.nest(em, rest, (number, moved), body)
        })
    }

    /// Values of variables all of which lie within a block.
    fn sizes(&self, em: &mut Emitter, variables: &[(usize, Index)]) -> Index {
        let product = variables.iter().fold(Index::Constant(1), |product, (_, n)| product * n.clone());
        em.hold(product)
    }

    /// Values of the summed variables of a block, those of the innermost filled up to whole groups.
    fn padded(&self, em: &mut Emitter, values: &[(usize, Index)]) -> Index {
        let Some(((_, inner), around)) = values.split_last() else { return Index::Constant(1) };
        let inner = whole_index(em, inner, self.blocks.group);
        let extents = around.iter().map(|(_, n)| n.clone()).chain([inner]);
        em.hold(extents.fold(Index::Constant(1), |product, n| product * n))
    }

    /// Sums what the left factors' offset adds to the products of each column.
    fn sum_offsets(
        &self,
        em: &mut Emitter,
        (first, apart): &(Index, i64),
        values: &[(usize, Index)],
    ) -> Result<(), Unsuited> {
        let Some(offsets) = self.offsets else { return Ok(()) };
        let Blocks { tile, lanes, group, .. } = *self.blocks;
        let depth = self.padded(em, values);
        let zero = em.b.constant(self.plan.dtype, lanes, Scalar::Int(0));
        let factor = em.b.constant(DType::U8, lanes * group as u32, Scalar::Int(OFFSET.into()));
        em.for_each(0, self.panels.clone(), 1, |em, panel| {
            let right = em.hold(first.clone() + panel.clone() * *apart);
            let initial = vec![zero; tile.vectors as usize];
            let sums = em.for_carrying(0, depth, group, &initial, |em, value, sums| {
                let right = em.hold(right + value * self.width());
                let vectors = self.vectors(em, right);
                let pairs = vectors.into_iter().zip(sums);
                Ok(pairs.map(|(vector, &sum)| em.b.multiply_add_groups(factor, vector, sum)).collect())
            })?;
            let at = em.hold(panel * self.width());
            for (v, sum) in (0..).zip(sums) {
                em.b.store(offsets, at.clone() + v * i64::from(lanes), sum, None);
            }
            Ok(())
        })
    }

    /// The vectors of a group of summed values of a panel.
    fn vectors(&self, em: &mut Emitter, right: Index) -> Vec<Register> {
        let Blocks { tile, lanes, group, .. } = *self.blocks;
        let lanes = lanes * group as u32;
        let places = (0..tile.vectors).map(|v| right.clone() + v * i64::from(lanes));
        places.map(|at| em.b.load(self.memory[1], at, lanes, None)).collect()
    }

    /// Copies the right operand: for each panel and each group of summed values the panel's columns, behind the last one zeros.
    fn copy_right(&self, em: &mut Emitter, right: Index, values: &[(usize, Index)]) -> Result<(), Unsuited> {
        let (width, lanes, apart) = (self.width(), self.blocks.lanes, self.blocks.panel_apart());
        let right = em.hold(right + self.column.clone());
        let columns = self.plan.extent(self.plan.vector);
        let is_whole = columns.as_constant().is_some_and(|n| n % width == 0);
        let columns = em.extent(&columns);
        let zero = Index::Constant(0);
        let few_panels = self.panels.as_constant().filter(|&panels| panels <= 4);
        if self.blocks.group > 1 {
            let Some(((inner, extent), around)) = values.split_last() else { return Err(Unsuited) };
            let step = em.extent(&self.plan.form.variables[*inner].right);
            let depth = whole_index(em, extent, self.blocks.group);
            return self.nest(em, around, (zero.clone(), [zero, right]), &mut |em, number, [_, right]| {
                let first = em.hold(number * depth.clone());
                for_groups(em, extent, self.blocks.group, &[], |em, value, lines, _| {
                    let from = em.hold(right.clone() + value.clone() * step.clone());
                    let to = em.hold((first.clone() + value) * width);
                    em.for_each(0, self.panels.clone(), 1, |em, panel| {
                        let from = em.hold(from + panel.clone() * width);
                        let rest = columns.clone() - self.column.clone() - panel.clone() * width;
                        let rest = if is_whole { None } else { Some(em.hold(rest)) };
                        let to = em.hold(to + panel * apart);
                        let memory = [self.plan.memory[1], self.memory[1]];
                        let group = self.blocks.group;
                        Columns { memory, lanes, width, group, rest }.copy(em, [from, to], &step, lines.as_ref());
                        Ok(())
                    })?;
                    Ok(vec![])
                })?;
                Ok(())
            });
        }
        let copy = |em: &mut Emitter, panel: Index, number: &Index, right: &Index| {
            let from = em.hold(right.clone() + panel.clone() * width);
            let rest = columns.clone() - self.column.clone() - panel.clone() * width;
            let rest = if is_whole { rest } else { em.hold(rest) };
            let to = em.hold(panel * apart + number.clone() * width);
            for v in 0..self.blocks.tile.vectors {
                let offset = v * i64::from(lanes);
                let count = (!is_whole).then(|| rest.clone() - Index::Constant(offset));
                let vector = em.b.load(self.plan.memory[1], from.clone() + offset, lanes, count);
                em.b.store(self.memory[1], to.clone() + offset, vector, None);
            }
        };
        self.nest(em, values, (zero.clone(), [zero, right]), &mut |em, number, [_, right]| match few_panels {
            Some(panels) => {
                (0..panels).for_each(|panel| copy(em, Index::Constant(panel), &number, &right));
                Ok(())
            }
            None => em.for_each(0, self.panels.clone(), 1, |em, panel| {
                copy(em, panel, &number, &right);
                Ok(())
            }),
        })
    }
}

impl Lines<'_, '_> {
    /// Copies the left operand row by row.
    fn copy_lines(&self, em: &mut Emitter, left: Index, values: &[(usize, Index)], apart: i64) -> Result<(), Unsuited> {
        let rows = self.rows.extents(self.task.plan, em);
        self.nest_lines(em, &rows, (Index::Constant(0), left), &mut |em, line, left| {
            self.copy_line(em, line * apart, left, values)
        })
    }

    /// Copies a row's values to a place in scratch memory.
    fn copy_line(&self, em: &mut Emitter, to: Index, left: Index, values: &[(usize, Index)]) -> Result<(), Unsuited> {
        let Some(((inner, extent), around)) = values.split_last() else { return Err(Unsuited) };
        let inner = &self.task.plan.form.variables[*inner].left;
        let lanes = if inner.is(1) { self.task.blocks.lanes } else { 1 };
        let step = em.extent(inner);
        let line = em.hold(to);
        let zero = Index::Constant(0);
        let group = self.task.blocks.group;
        let padded = whole_index(em, extent, group);
        self.task.nest(em, around, (zero.clone(), [left, zero]), &mut |em, number, [left, _]| {
            let to = em.hold(line.clone() + number * padded.clone());
            if *extent != padded {
                // what is multiplied by zeros must be finite
                let memory = self.task.memory[0];
                let dtype = em.b.memory_dtype(memory);
                let zero = if dtype.is_float() { Scalar::Float(0.0) } else { Scalar::Int(0) };
                let zeros = em.b.constant(dtype, group as u32, zero);
                em.b.store(memory, to.clone() + padded.clone() - group, zeros, None);
            }
            em.vector_loop(lanes, Index::Constant(0), extent.clone(), &[], |em, value, _| {
                let from = left.clone() + value.clone() * step.clone();
                let vector = em.b.load(self.task.plan.memory[0], from, lanes, em.count.clone());
                let vector = if self.task.offsets.is_some() { offset(em, vector) } else { vector };
                em.b.store(self.task.memory[0], to.clone() + value, vector, em.count.clone());
                Ok(vec![])
            })?;
            Ok(())
        })
    }

    /// Loops over the rows of a block with the numbers of their lines and their positions in the left operand: those of the
    /// innermost variable fill whole tiles.
    fn nest_lines(
        &self,
        em: &mut Emitter,
        rows: &[(usize, Index)],
        at: (Index, Index),
        body: &mut dyn FnMut(&mut Emitter, Index, Index) -> Result<(), Unsuited>,
    ) -> Result<(), Unsuited> {
        let [(variable, extent), rest @ ..] = rows else { return body(em, at.0, at.1) };
        let inner = self.lines(em, rest);
        em.for_each(0, extent.clone(), 1, |em, value| {
            let number = em.hold(at.0 + value.clone() * inner);
            let (left, _) = self.task.moved(em, [at.1, Index::Constant(0)], *variable, value);
            let left = em.hold(left);
            self.nest_lines(em, rest, (number, left), body)
        })
    }

    /// Lines that rows of these variables have.
    fn lines(&self, em: &mut Emitter, rows: &[(usize, Index)]) -> Index {
        let Some(((_, last), around)) = rows.split_last() else { return Index::Constant(1) };
        let tile = self.task.blocks.tile.rows;
        let padded = (last.clone() + (tile - 1)).floor_div(tile) * tile;
        let product = around.iter().fold(padded, |product, (_, n)| product * n.clone());
        em.hold(product)
    }

    /// Copies the left operand tile by tile: for each group of summed values the tile's rows, which lie side by side.
    fn copy_tiles(&self, em: &mut Emitter, left: Index, values: &[(usize, Index)]) -> Result<(), Unsuited> {
        let Task { plan, blocks, .. } = *self.task;
        let Some(((inner, depth), around)) = values.split_last() else { return Err(Unsuited) };
        let zero = Index::Constant(0);
        let rows = blocks.tile.rows;
        let row_step = plan.rows.map(|v| em.extent(&plan.form.variables[v].left)).unwrap_or(zero.clone());
        let step = em.extent(&plan.form.variables[*inner].left);
        let padded = whole_index(em, depth, blocks.group);
        let extent = self.rows.extents(plan, em).pop().map(|(_, n)| n).unwrap_or(Index::Constant(1));
        let is_whole = extent.as_constant().is_some_and(|n| n % rows == 0);
        self.for_groups(em, left, |em, group, left, _| {
            self.task.nest(em, around, (zero.clone(), [left, zero.clone()]), &mut |em, number, [left, _]| {
                let number = em.hold(number * padded.clone());
                let count = em.hold(self.row_tiles(extent.clone()));
                for_groups(em, depth, blocks.group, &[], |em, value, lines, _| {
                    let left = em.hold(left.clone() + value.clone() * step.clone());
                    let number = em.hold(number.clone() + value);
                    em.for_each(0, count.clone(), 1, |em, tile| {
                        let row = em.hold(tile.clone() * rows);
                        let from = em.hold(left + row.clone() * row_step.clone());
                        let to = (group.clone() * blocks.row_tiles_of_group(plan) + tile) * blocks.tile_apart();
                        let to = em.hold(to + number * rows);
                        let rest = match is_whole {
                            true => Index::Constant(rows),
                            false => em.hold((extent.clone() - row).min(rows)),
                        };
                        self.copy_rows(em, [from, to], &step, rest, lines);
                        Ok(())
                    })?;
                    Ok(vec![])
                })?;
                Ok(())
            })
        })
    }

    /// Copies the rows of a tile, of which there are `rest`, for a group of summed values that are `step` apart, of which there are `lines`
    /// where these may be fewer.
    fn copy_rows(&self, em: &mut Emitter, [from, to]: [Index; 2], step: &Index, rest: Index, lines: Option<Index>) {
        let Task { plan, blocks, .. } = *self.task;
        let (rows, lanes) = (blocks.tile.rows, i64::from(blocks.lanes));
        for first in (0..rows).step_by(blocks.lanes as usize) {
            let part = (rows - first).min(lanes) * blocks.group;
            let loaded: Vec<Register> = (0..blocks.group)
                .map(|line| {
                    let count = rest.clone() - Index::Constant(first);
                    let there = lines.as_ref().map(|lines| (lines.clone() - Index::Constant(line)) * lanes);
                    let count = there.map_or(count.clone(), |there| count.min(there));
                    let at = from.clone() + step.clone() * line + first;
                    let vector = em.b.load(plan.memory[0], at, blocks.lanes, Some(count));
                    if self.task.offsets.is_some() { offset(em, vector) } else { vector }
                })
                .collect();
            for (number, vector) in (0..).zip(woven(em, &loaded)) {
                let count = part - number * lanes;
                if count > 0 {
                    let at = to.clone() + (first * blocks.group + number * lanes);
                    em.b.store(self.task.memory[0], at, vector, Some(Index::Constant(count.min(lanes))));
                }
            }
        }
    }

    fn row_tiles(&self, rows: Index) -> Index {
        (rows + (self.task.blocks.tile.rows - 1)).floor_div(self.task.blocks.tile.rows)
    }

    /// Loops over the values of a block's rows but those of the innermost variable: with the number, the position in the left operand
    /// and the values.
    fn for_groups(
        &self,
        em: &mut Emitter,
        left: Index,
        mut body: impl FnMut(&mut Emitter, Index, Index, Vec<(usize, Index)>) -> Result<(), Unsuited>,
    ) -> Result<(), Unsuited> {
        let mut groups = self.rows.extents(self.task.plan, em);
        groups.pop();
        self.nest_groups(em, &groups, (Index::Constant(0), left, vec![]), &mut body)
    }

    fn nest_groups(
        &self,
        em: &mut Emitter,
        groups: &[(usize, Index)],
        at: (Index, Index, Vec<(usize, Index)>),
        body: &mut dyn FnMut(&mut Emitter, Index, Index, Vec<(usize, Index)>) -> Result<(), Unsuited>,
    ) -> Result<(), Unsuited> {
        let (number, left, values) = at;
        let [(variable, extent), rest @ ..] = groups else { return body(em, number, left, values) };
        let inner = self.task.sizes(em, rest);
        em.for_each(0, extent.clone(), 1, |em, value| {
            let number = em.hold(number + value.clone() * inner);
            let (left, _) = self.task.moved(em, [left, Index::Constant(0)], *variable, value.clone());
            let left = em.hold(left);
            let start = match self.task.blocks.rows.cut {
                Some((cut, _)) if cut == *variable => self.rows.start.clone(),
                _ => Index::Constant(0),
            };
            let values = values.into_iter().chain([(*variable, em.hold(start + value))]).collect();
            self.nest_groups(em, rest, (number, left, values), body)
        })
    }

    /// Loops over the register tiles of a panel: with the group's and the tile's number, the tile's position in the left operand, the
    /// values of all outer variables, and the tile's first row.
    fn for_tiles(
        &self,
        em: &mut Emitter,
        left: Index,
        body: impl Fn(&mut Emitter, [Index; 2], Index, &[(usize, Index)], Index) -> Result<(), Unsuited>,
    ) -> Result<(), Unsuited> {
        let Some((innermost, extent)) = self.rows.extents(self.task.plan, em).pop() else { return Err(Unsuited) };
        let start = match self.task.blocks.rows.cut {
            Some((cut, _)) if cut == innermost => self.rows.start.clone(),
            _ => Index::Constant(0),
        };
        let count = em.hold(self.row_tiles(extent));
        self.for_groups(em, left, |em, group, left, values| {
            let outer: Vec<(usize, Index)> = self.outer.iter().cloned().chain(values).collect();
            em.for_each(0, count.clone(), 1, |em, tile| {
                let row = em.hold(tile.clone() * self.task.blocks.tile.rows);
                let (left, _) = self.task.moved(em, [left, Index::Constant(0)], innermost, row.clone());
                let (left, row) = (em.hold(left), em.hold(start.clone() + row));
                body(em, [group, tile], left, &outer, row)
            })
        })
    }

    /// One register tile: its sums so far, and a block of products more.
    #[allow(clippy::too_many_arguments)]
    fn tile(
        &self,
        em: &mut Emitter,
        [panel, group, tile_number]: [Index; 3],
        left: Index,
        outer: &[(usize, Index)],
        [row, column]: [Index; 2],
        values: &[(usize, Index)],
        ends: Option<Ends>,
    ) -> Result<(), Unsuited> {
        let Task { plan, blocks, .. } = *self.task;
        let Blocks { tile, lanes, .. } = *blocks;
        let width = self.task.width();
        let number = em.hold(group * blocks.row_tiles_of_group(plan) + tile_number);
        let (first_panel, apart) = self.right.clone();
        let right = em.hold(first_panel + panel.clone() * apart);
        let panel_number = panel.clone();
        let sums = match ends {
            None => Index::Constant(0),
            Some(_) => {
                let panel = self.number.clone() * blocks.panels + panel;
                em.hold((panel * blocks.row_tiles + number.clone()) * (tile.rows * width))
            }
        };
        let places = (0..tile.rows).flat_map(|r| (0..tile.vectors).map(move |v| r * width + v * i64::from(lanes)));
        let zeros = |em: &mut Emitter| {
            let dtype = accumulator(plan.dtype);
            let zero = if dtype.is_float() { Scalar::Float(0.0) } else { Scalar::Int(0) };
            let zero = em.b.constant(dtype, lanes, zero);
            vec![zero; (tile.rows * tile.vectors) as usize]
        };
        let initial: Vec<Register> = match &ends {
            None => zeros(em),
            Some(ends) => {
                em.b.open_branch(ends.is_first);
                let zeros = zeros(em);
                em.b.open_otherwise(zeros);
                let load = |at| em.b.load(self.task.sums, sums.clone() + at, lanes, None);
                let loaded = places.clone().map(load).collect();
                em.b.close_branch(loaded)
            }
        };
        let initial = self.without_offset(em, initial, panel_number);
        // rows that the tile has: constant where no tile is incomplete
        let rows = plan.extent(plan.rows);
        let rest = match rows.as_constant() {
            Some(n) if n % tile.rows == 0 => Index::Constant(tile.rows),
            _ => {
                let rest = em.extent(&rows) - row.clone();
                em.hold(rest.min(tile.rows))
            }
        };
        self.prefetch(em, outer, [&row, &column], &rest, ends)?;
        let depth = self.task.padded(em, values);
        let copied = |row_step: i64, step: i64, at: Index| Factors {
            memory: self.task.memory[0],
            at,
            row_step: Index::Constant(row_step),
            loops: vec![(depth.clone(), Index::Constant(step))],
        };
        let total = match blocks.left {
            Left::Lines(apart) => {
                let factors = copied(apart, 1, number * (tile.rows * apart));
                self.rows(em, &rest, factors, right, &initial)?
            }
            Left::Tiles => {
                let factors = copied(blocks.group, tile.rows, number * blocks.tile_apart());
                self.rows(em, &rest, factors, right, &initial)?
            }
            Left::InPlace(apart) => {
                let loops = values.iter().map(|(v, n)| (n.clone(), em.extent(&plan.form.variables[*v].left))).collect();
                let row_step = plan.rows.map_or(Index::Constant(0), |v| em.extent(&plan.form.variables[v].left));
                let there = Factors { memory: plan.memory[0], at: left.clone(), row_step: row_step.clone(), loops };
                match rest.as_constant() {
                    Some(_) => self.products(em, tile.rows, there, right, &initial)?,
                    None => {
                        let is_whole = em.less(Index::Constant(tile.rows - 1), rest.clone());
                        em.b.open_branch(is_whole);
                        let sums = em.scope(|em| self.products(em, tile.rows, there, right.clone(), &initial))?;
                        em.b.open_otherwise(sums);
                        let sums = em.scope(|em| {
                            em.for_each(0, rest.clone(), 1, |em, r| {
                                let from = em.hold(left + r.clone() * row_step);
                                self.copy_line(em, r * apart, from, values)
                            })?;
                            self.rows(em, &rest, copied(apart, 1, Index::Constant(0)), right, &initial)
                        })?;
                        em.b.close_branch(sums)
                    }
                }
            }
        };
        for (at, sum) in places.zip(total) {
            em.b.store(self.task.sums, sums.clone() + at, sum, None);
        }
        let finish = |em: &mut Emitter| {
            let columns = self.task.plan.extent(self.task.plan.vector);
            let length = match columns.as_constant() {
                Some(n) if n % width == 0 => Index::Constant(width),
                _ => {
                    let rest = em.extent(&columns) - column.clone();
                    em.hold(rest.min(width))
                }
            };
            let place =
                Finish { sums: self.task.sums, base: sums.clone(), width, row, column, rows: rest, columns: length };
            self.task.plan.finish(em, lanes, outer, place)
        };
        match ends {
            None => finish(em),
            Some(ends) => {
                em.b.open_branch(ends.is_last);
                em.scope(finish)?;
                em.b.open_otherwise(vec![]);
                em.b.close_branch(vec![]);
                Ok(())
            }
        }
    }
}

impl Lines<'_, '_> {
    /// Fetches what the epilogue of a tile reads at the tile's own places, such as an optimizer's state or what is added to the result,
    /// while the tile's products are computed.
    fn prefetch(
        &self,
        em: &mut Emitter,
        outer: &[(usize, Index)],
        [row, column]: [&Index; 2],
        rows: &Index,
        ends: Option<Ends>,
    ) -> Result<(), Unsuited> {
        let plan = self.task.plan;
        let read = plan.read_beside(em);
        if read.is_empty() {
            return Ok(());
        }
        let shape = &em.ty(plan.op).shape;
        // the epilogue follows the last block
        let rows = match ends {
            None => rows.clone(),
            Some(ends) => {
                let is_last = em.b.convert(DType::I64, ends.is_last);
                em.hold(Index::Register(is_last) * rows.clone())
            }
        };
        em.for_each(0, rows, 1, |em, r| {
            let fixed = |(v, index): (usize, Index)| (v, Coordinate::fixed(index));
            let ends =
                plan.rows.map(|v| (v, row.clone() + r)).into_iter().chain(plan.vector.map(|v| (v, column.clone())));
            let values: Vec<(usize, Coordinate)> = outer.iter().cloned().chain(ends).map(fixed).collect();
            let at = plan.result_at(em, &values);
            let position = em.position(shape, &at)?.index;
            let position = em.hold(position);
            for memory in read {
                let line = LINE_BYTES / plan.dtype.bytes() as i64;
                for line in (0..self.task.width()).step_by(line as usize) {
                    em.b.prefetch(memory, position.clone() + line);
                }
            }
            Ok(())
        })
    }
}

/// Which of the blocks of the summed variables it is.
#[derive(Clone, Copy)]
struct Ends {
    is_first: Register,
    is_last: Register,
}

/// Where the factors of a tile's rows lie.
#[derive(Clone)]
struct Factors {
    memory: MemoryId,
    /// That of the first row and the first summed value.
    at: Index,
    row_step: Index,
    /// Extents and steps of the summed variables, the innermost last.
    loops: Vec<(Index, Index)>,
}

impl Lines<'_, '_> {
    /// Adds a block of products to the sums of those rows that a tile has: where there may be a single row, fewer than all are computed
    /// if they are few.
    fn rows(
        &self,
        em: &mut Emitter,
        rows: &Index,
        factors: Factors,
        right: Index,
        initial: &[Register],
    ) -> Result<Vec<Register>, Unsuited> {
        let Task { plan, blocks, .. } = *self.task;
        let tile = blocks.tile;
        // as many as there must be for one multiply-add not to wait for the one before
        let few = (IN_FLIGHT / tile.vectors).max(1);
        if plan.extent(plan.rows).as_constant().is_some() || few >= tile.rows {
            return self.products(em, tile.rows, factors, right, initial);
        }
        let (some, others) = initial.split_at((few * tile.vectors) as usize);
        let are_few = em.less(rows.clone(), Index::Constant(few + 1));
        em.b.open_branch(are_few);
        let mut sums = em.scope(|em| self.products(em, few, factors.clone(), right.clone(), some))?;
        sums.extend(others);
        em.b.open_otherwise(sums);
        let sums = em.scope(|em| self.products(em, tile.rows, factors, right, initial))?;
        Ok(em.b.close_branch(sums))
    }

    /// Adds a block of products to the sums of so many rows.
    fn products(
        &self,
        em: &mut Emitter,
        rows: i64,
        factors: Factors,
        right: Index,
        initial: &[Register],
    ) -> Result<Vec<Register>, Unsuited> {
        let Task { plan, blocks, .. } = *self.task;
        let Blocks { tile, lanes, .. } = *blocks;
        let Factors { memory, at, row_step, mut loops } = factors;
        if blocks.group > 1
            && let [(extent, step)] = &loops[..]
        {
            let (at, right) = (em.hold(at), em.hold(right));
            return for_groups(em, extent, blocks.group, initial, |em, value, rest, sums| {
                let at = em.hold(at.clone() + value.clone() * step.clone());
                let right = em.hold(right.clone() + value * self.task.width());
                Ok(self.groups(em, rows, (memory, at, &row_step), rest, right, sums))
            });
        }
        if loops.is_empty() {
            let vectors = self.task.vectors(em, right);
            let mut sums = Vec::with_capacity(initial.len());
            for r in 0..rows {
                let factor = em.b.load(memory, at.clone() + row_step.clone() * r, 1, None);
                let factor = em.b.splat(lanes, factor);
                for v in 0..tile.vectors {
                    let sum = initial[(r * tile.vectors + v) as usize];
                    sums.push(multiply_add(em, plan.dtype, factor, vectors[v as usize], sum));
                }
            }
            return Ok(sums);
        }
        let (extent, step) = loops.remove(0);
        let (at, right) = (em.hold(at), em.hold(right));
        let extents: Vec<(usize, Index)> = loops.iter().map(|(n, _)| (0, n.clone())).collect();
        let inner = self.task.padded(em, &extents) * self.task.width();
        let inner = em.hold(inner);
        em.for_carrying(0, extent, 1, initial, |em, value, sums| {
            let at = em.hold(at + value.clone() * step);
            let right = em.hold(right + value * inner);
            self.products(em, rows, Factors { memory, at, row_step, loops }, right, sums)
        })
    }

    /// Adds the products of a group of summed values, of which there are `rest` where these may be fewer.
    fn groups(
        &self,
        em: &mut Emitter,
        rows: i64,
        (memory, at, row_step): (MemoryId, Index, &Index),
        rest: Option<Index>,
        right: Index,
        sums: &[Register],
    ) -> Vec<Register> {
        let Blocks { tile, lanes, group, .. } = *self.task.blocks;
        let vectors = self.task.vectors(em, right);
        let is_moved = self.task.offsets.is_none() || memory == self.task.memory[0];
        let mut next = Vec::with_capacity(sums.len());
        for r in 0..rows {
            let factors = em.b.load(memory, at.clone() + row_step.clone() * r, group as u32, rest.clone());
            let factors = em.b.splat(lanes * group as u32, factors);
            let factors = if is_moved { factors } else { offset(em, factors) };
            for (v, &vector) in (0..).zip(&vectors) {
                next.push(em.b.multiply_add_groups(factors, vector, sums[(r * tile.vectors + v) as usize]));
            }
        }
        next
    }

    /// The sums of a tile less what the left factors' offset will add to them.
    fn without_offset(&self, em: &mut Emitter, sums: Vec<Register>, panel: Index) -> Vec<Register> {
        let Some(offsets) = self.task.offsets else { return sums };
        let Blocks { tile, lanes, .. } = *self.task.blocks;
        let at = em.hold(panel * self.task.width());
        let places = (0..tile.vectors).map(|v| at.clone() + v * i64::from(lanes));
        let added: Vec<Register> = places.map(|at| em.b.load(offsets, at, lanes, None)).collect();
        let pairs = sums.into_iter().zip(added.into_iter().cycle());
        pairs.map(|(sum, added)| em.b.binary(Binary::Subtract, sum, added)).collect()
    }
}
