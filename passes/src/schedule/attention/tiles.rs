//! Products of attention in register tiles. For each block of columns a task copies its keys, transposed, and its values into panels that
//! lie side by side; a tile's rows of queries stand alone too. Behind the last column and the last row there are zeros.

use super::{Accumulate, Panel, Place, Range, Tensor};
use crate::Target;
use crate::schedule::contraction::{Tile, tile_time, tiles};
use crate::schedule::emit::{Emitter, Unsuited};
use crate::schedule::map::nominal;
use kc_ir::kernel::{Index, Matrix, MemoryId, Register};
use kc_ir::tensor::Scalar;
use kc_ir::{DType, Dim};

/// Rows of the scores that a task has: at most the first, no fewer than the second to have more tasks.
const ROWS: [i64; 2] = [128, 32];

/// Columns that a block has at most.
const COLUMNS: i64 = 512;

/// Tasks for each thread, where there are rows enough.
const TASKS_PER_THREAD: i64 = 2;

/// How attention is cut into register tiles.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    tile: Tile,
    lanes: u32,
    /// Rows that a task has.
    pub rows: i64,
    /// Rows whose scores a task holds at once, whole tiles.
    pub block: i64,
    /// Columns that a block has.
    pub columns: i64,
}

impl Cut {
    /// The cut for scores of these extents (batch, rows, heads), of a query, a key and a value; `None` where features of one do not lie
    /// side by side.
    pub fn of(target: &Target, lanes: u32, extents: &[Dim; 3], columns: &Dim, operands: [&Tensor; 3]) -> Option<Self> {
        if lanes < 2 || operands.iter().any(|operand| !operand.view.strides[3].is(1)) {
            return None;
        }
        let [features, _, results] = operands.map(|operand| operand.features);
        let [batch, all_rows, heads] = extents.each_ref().map(|extent| extent.as_constant());
        let [most, least] = ROWS;
        let most = most.min(all_rows.unwrap_or(most)).max(1);
        let wanted = TASKS_PER_THREAD * i64::from(target.threads);
        let tasks = |rows: i64| batch.unwrap_or(1) * heads.unwrap_or(1) * (all_rows.unwrap_or(rows) / rows).max(1);
        let rows = [most, most / 2, most / 4].into_iter().find(|&rows| tasks(rows) >= wanted || rows <= least);
        let rows = rows.unwrap_or(least).max(1);
        // keys and values of a block take a quarter of the far cache
        let far = target.cache_bytes[1] as i64 / DType::F32.bytes() as i64;
        let step = 2 * i64::from(lanes);
        let block = (far / 4 / (features + results) / step * step).clamp(step, COLUMNS);
        let columns = columns.as_constant().map_or(block, |columns| columns.clamp(1, block));
        let up = |n: i64, part: i64| (n + part - 1) / part;
        let time = |tile: &Tile| {
            let width = tile.vectors * i64::from(lanes);
            let steps = up(columns, width) * features + up(results, width) * columns;
            (up(nominal(&extents[1]).min(rows), tile.rows) * steps) as f64 * tile_time(target, *tile, true)
        };
        let vectors = up(columns.max(results), i64::from(lanes));
        let order = |a: &Tile, b: &Tile| time(a).total_cmp(&time(b)).then_with(|| a.vectors.cmp(&b.vectors));
        let tile = tiles(target, rows, vectors).min_by(order)?;
        // a quarter of the near cache holds the scores
        let near = target.cache_bytes[0] as i64 / DType::F32.bytes() as i64;
        let most = (near / 4 / columns / tile.rows).clamp(1, up(rows, tile.rows));
        Some(Cut { tile, lanes, rows, block: most * tile.rows, columns })
    }

    fn width(&self) -> i64 {
        self.tile.vectors * i64::from(self.lanes)
    }

    /// The columns of whole panels.
    pub fn padded(&self, columns: i64) -> i64 {
        (columns + self.width() - 1) / self.width() * self.width()
    }
}

/// The memory that tiles are read from.
#[derive(Clone, Copy)]
pub(super) struct Tiles {
    cut: Cut,
    /// For each panel of columns and each feature the keys of the panel's columns.
    keys: MemoryId,
    /// For each panel of features and each column the column's values.
    values: MemoryId,
    /// The rows of queries of a block.
    queries: Panel,
    /// Features of a value.
    results: i64,
}

impl Tiles {
    pub fn new(em: &mut Emitter, cut: Cut, features: i64, results: i64) -> Self {
        let keys = em.b.scratch("keys", DType::F32, (cut.padded(cut.columns) * features) as u64);
        let values = em.b.scratch("values", DType::F32, (cut.padded(results) * cut.columns) as u64);
        let queries = Panel::new(em, "queries", cut.block, features);
        Tiles { cut, keys, values, queries, results }
    }

    fn vectors(&self) -> impl Iterator<Item = i64> + use<> {
        let lanes = i64::from(self.cut.lanes);
        (0..self.cut.tile.vectors).map(move |vector| vector * lanes)
    }

    /// Copies keys and values of a block of columns.
    pub fn pack(
        &self,
        em: &mut Emitter,
        at: &Place,
        columns: &Range,
        [key, value]: [&Tensor; 2],
    ) -> Result<(), Unsuited> {
        self.pack_keys(em, at, columns, key)?;
        self.pack_values(em, at, columns, value)
    }

    /// Squares of as many columns as features are transposed in registers.
    fn pack_keys(&self, em: &mut Emitter, at: &Place, columns: &Range, key: &Tensor) -> Result<(), Unsuited> {
        let (width, lanes) = (self.cut.width(), i64::from(self.cut.lanes));
        let Matrix { memory, position, row_stride, .. } = key.rows(em, at, &columns.first);
        let is_whole = columns.length.as_constant().is_some_and(|n| n % width == 0);
        let panels = em.hold((columns.length.clone() + (width - 1)).floor_div(width));
        let square = |em: &mut Emitter, from: &Index, to: &Index, rest: &Index, features: i64| {
            let rows: Vec<Register> = (0..lanes)
                .map(|column| {
                    let count = match is_whole {
                        true => (features < lanes).then_some(Index::Constant(features)),
                        // nothing of a column that there is not
                        false => Some(((rest.clone() - Index::Constant(column)) * lanes).min(features)),
                    };
                    em.b.load(memory, from.clone() + row_stride.clone() * column, self.cut.lanes, count)
                })
                .collect();
            let columns = em.b.transpose(rows);
            for (feature, vector) in (0..features).zip(columns) {
                em.b.store(self.keys, to.clone() + feature * width, vector, None);
            }
        };
        let features = self.queries.stride;
        em.for_each(0, panels, 1, |em, panel| {
            for vector in self.vectors() {
                let column = em.hold(panel.clone() * width + vector);
                let from = em.hold(position.clone() + column.clone() * row_stride.clone());
                let to = em.hold(panel.clone() * (width * features) + vector);
                let rest = if is_whole { Index::Constant(lanes) } else { em.hold(columns.length.clone() - column) };
                let whole = features / lanes * lanes;
                em.for_each(0, whole, lanes, |em, feature| {
                    let from = em.hold(from.clone() + feature.clone());
                    let to = em.hold(to.clone() + feature * width);
                    square(em, &from, &to, &rest, lanes);
                    Ok(())
                })?;
                if whole < features {
                    square(em, &(from + whole), &(to + whole * width), &rest, features - whole);
                }
            }
            Ok(())
        })
    }

    fn pack_values(&self, em: &mut Emitter, at: &Place, columns: &Range, value: &Tensor) -> Result<(), Unsuited> {
        let width = self.cut.width();
        let Matrix { memory, position, row_stride, .. } = value.rows(em, at, &columns.first);
        em.for_each(0, columns.length.clone(), 1, |em, column| {
            let from = em.hold(position.clone() + column.clone() * row_stride.clone());
            let to = em.hold(column * width);
            for first in (0..self.results).step_by(width as usize) {
                for vector in self.vectors() {
                    let rest = self.results - first - vector;
                    let count = (rest < i64::from(self.cut.lanes)).then_some(Index::Constant(rest));
                    let values = em.b.load(memory, from.clone() + (first + vector), self.cut.lanes, count);
                    let panel = first * self.cut.columns;
                    em.b.store(self.values, to.clone() + (panel + vector), values, None);
                }
            }
            Ok(())
        })
    }

    /// The products of a block's rows of queries and keys.
    pub fn scores(
        &self,
        em: &mut Emitter,
        at: &Place,
        rows: &Range,
        columns: &Range,
        query: &Tensor,
        scores: Panel,
    ) -> Result<(), Unsuited> {
        let (width, features) = (self.cut.width(), self.queries.stride);
        let Matrix { memory, position, row_stride, .. } = query.rows(em, at, &rows.first);
        em.for_each(0, rows.length.clone(), 1, |em, row| {
            let from = em.hold(position + row.clone() * row_stride);
            em.vector_loop(self.cut.lanes, Index::Constant(0), Index::Constant(features), &[], |em, feature, _| {
                let values = em.b.load(memory, from.clone() + feature.clone(), em.lanes, em.count.clone());
                self.queries.store(em, &row, feature, values);
                Ok(vec![])
            })?;
            Ok(())
        })?;
        let count = self.row_tiles(em, rows);
        let end = em.hold(count.clone() * self.cut.tile.rows);
        if end != rows.length {
            em.for_each(rows.length.clone(), end, 1, |em, row| {
                self.queries.clear(em, self.cut.lanes, row, &Index::Constant(1))
            })?;
        }
        let panels = em.hold((columns.length.clone() + (width - 1)).floor_div(width));
        em.for_each(0, panels, 1, |em, panel| {
            let right = em.hold(panel.clone() * (width * features));
            let to = em.hold(panel * width);
            em.for_each(0, count, 1, |em, tile| {
                let row = em.hold(tile * self.cut.tile.rows);
                let zero = em.b.constant(DType::F32, self.cut.lanes, Scalar::Float(0.0));
                let initial = vec![zero; self.places(scores).count()];
                let depth = Index::Constant(features);
                let sums = self.products(em, (self.queries, &row), (self.keys, right), depth, &initial)?;
                let to = em.hold(to + row * scores.stride);
                for (place, sum) in self.places(scores).zip(sums) {
                    em.b.store(scores.memory, to.clone() + place, sum, None);
                }
                Ok(())
            })
        })
    }

    /// Adds the products of a block's rows of powers and values to the rows of `sums` from `first` on, or writes them there.
    pub fn results(
        &self,
        em: &mut Emitter,
        [rows, columns]: [&Range; 2],
        scores: Panel,
        (sums, first): (Panel, &Index),
        accumulate: Accumulate,
    ) -> Result<(), Unsuited> {
        let (width, lanes) = (self.cut.width(), self.cut.lanes);
        let count = self.row_tiles(em, rows);
        em.for_each(0, sums.stride / width, 1, |em, panel| {
            let right = em.hold(panel.clone() * (width * self.cut.columns));
            let to = em.hold(first.clone() * sums.stride + panel * width);
            em.for_each(0, count, 1, |em, tile| {
                let row = em.hold(tile * self.cut.tile.rows);
                let to = em.hold(to + row.clone() * sums.stride);
                let initial: Vec<Register> = match accumulate {
                    Accumulate::Yes => {
                        self.places(sums).map(|place| em.b.load(sums.memory, to.clone() + place, lanes, None)).collect()
                    }
                    Accumulate::No => {
                        let zero = em.b.constant(DType::F32, lanes, Scalar::Float(0.0));
                        vec![zero; self.places(sums).count()]
                    }
                };
                let depth = columns.length.clone();
                let results = self.products(em, (scores, &row), (self.values, right), depth, &initial)?;
                for (place, sum) in self.places(sums).zip(results) {
                    em.b.store(sums.memory, to.clone() + place, sum, None);
                }
                Ok(())
            })
        })
    }

    /// How many tiles have these rows.
    fn row_tiles(&self, em: &mut Emitter, rows: &Range) -> Index {
        let tile = self.cut.tile.rows;
        em.hold((rows.length.clone() + (tile - 1)).floor_div(tile))
    }

    /// Where the vectors of a tile lie in a panel.
    fn places(&self, panel: Panel) -> impl Iterator<Item = i64> + use<> {
        let tiles = *self;
        (0..self.cut.tile.rows).flat_map(move |row| tiles.vectors().map(move |vector| row * panel.stride + vector))
    }

    /// A tile's sums of products of rows on the left and a panel on the right.
    fn products(
        &self,
        em: &mut Emitter,
        (left, row): (Panel, &Index),
        (right, from): (MemoryId, Index),
        depth: Index,
        initial: &[Register],
    ) -> Result<Vec<Register>, Unsuited> {
        let (width, lanes) = (self.cut.width(), self.cut.lanes);
        let row = em.hold(row.clone() * left.stride);
        em.for_carrying(0, depth, 1, initial, |em, step, sums| {
            let (at, first) = (em.hold(from + step.clone() * width), em.hold(row + step));
            let vectors: Vec<Register> =
                self.vectors().map(|vector| em.b.load(right, at.clone() + vector, lanes, None)).collect();
            let mut next = Vec::with_capacity(sums.len());
            for (number, sums) in (0..self.cut.tile.rows).zip(sums.chunks(vectors.len())) {
                let factor = em.b.load(left.memory, first.clone() + number * left.stride, 1, None);
                let factor = em.b.splat(lanes, factor);
                next.extend(vectors.iter().zip(sums).map(|(&vector, &sum)| em.b.multiply_add(factor, vector, sum)));
            }
            Ok(next)
        })
    }
}
