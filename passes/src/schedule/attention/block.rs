//! The products of attention by a GPU's block of threads: the queries of its rows stay in shared memory, where keys, then values, of a block of
//! columns are copied to.

use super::super::contraction::{Grid, Part};
use super::super::emit::Emitter;
use super::{Accumulate, Panel};
use kc_ir::DType;
use kc_ir::kernel::{Index, Lines, Matrix, MemoryId, TileCopy};
use kc_ir::tensor::Scalar;

/// Rows of a block.
pub(super) const ROWS: i64 = 32;

/// Columns of a block.
pub(super) const COLUMNS: i64 = 64;

/// Features that shared memory holds.
pub(super) const FEATURES: i64 = 64;

/// Elements between lines in shared memory.
const PADDING: i64 = 4;

/// Summed values of which a round of a product has code.
const DEPTH: i64 = 16;

/// The memory of a block of threads.
#[derive(Clone, Copy)]
pub(super) struct Block {
    queries: MemoryId,
    /// Keys, then values.
    columns: MemoryId,
    /// Features of queries and keys, and of values, and elements that have them in memory.
    features: [i64; 2],
}

/// Features as whole tiles have them.
fn padded(features: i64) -> i64 {
    (features + 31) / 32 * 32
}

/// Elements from one line of so many values to the next.
pub(super) fn stride(extent: i64) -> i64 {
    padded(extent) + PADDING
}

impl Block {
    /// The memory for so many features of queries and of values.
    pub(super) fn new(em: &mut Emitter, features: [i64; 2]) -> Self {
        let most = stride(features[0].max(features[1]));
        let queries = em.b.scratch("queries", DType::F32, (ROWS * stride(features[0])) as u64);
        let columns = em.b.scratch("columns", DType::F32, (COLUMNS * most) as u64);
        Block { queries, columns, features }
    }

    /// Copies so many lines of neighbouring features into shared memory, which nothing touches any more, and waits for them.
    fn fetch(em: &mut Emitter, (to, most): (MemoryId, i64), from: Matrix, lines: &Index, features: i64) {
        em.b.await_copies(0);
        em.b.copy(TileCopy {
            to,
            to_position: Index::Constant(0),
            to_stride: stride(features),
            from: from.memory,
            from_position: from.position,
            first_line: Index::Constant(0),
            from_strides: vec![from.row_stride],
            from_extents: vec![],
            lines: most,
            elements: padded(features),
            valid_lines: lines.clone(),
            valid_elements: Index::Constant(features),
        });
        em.b.commit_copies();
        em.b.await_copies(0);
    }

    /// Copies the queries of so many rows.
    pub(super) fn fetch_queries(&self, em: &mut Emitter, queries: Matrix, rows: &Index) {
        Self::fetch(em, (self.queries, ROWS), queries, rows, self.features[0]);
    }

    /// The products of the queries and so many keys; zero where there are none.
    pub(super) fn scores(&self, em: &mut Emitter, keys: Matrix, columns: &Index, scores: Panel) {
        let stride = stride(self.features[0]);
        Self::fetch(em, (self.columns, COLUMNS), keys, columns, self.features[0]);
        let part = |memory| Part { memory, start: Index::Constant(0), lines: Lines::Rows, stride, steps: (stride, 1) };
        let parts = [part(self.queries), part(self.columns)];
        let grid = Grid::new((ROWS, COLUMNS), [Lines::Rows, Lines::Columns]);
        product(em, &grid, parts, padded(self.features[0]), scores, Accumulate::No);
    }

    /// The products of the panel's powers and so many values.
    pub(super) fn results(
        &self,
        em: &mut Emitter,
        (powers, values): (Panel, Matrix),
        columns: &Index,
        sums: Panel,
        accumulate: Accumulate,
    ) {
        Self::fetch(em, (self.columns, COLUMNS), values, columns, self.features[1]);
        let stride = stride(self.features[1]);
        let (start, lines) = (Index::Constant(0), Lines::Rows);
        let left = Part {
            memory: powers.memory,
            start: start.clone(),
            lines,
            stride: powers.stride,
            steps: (powers.stride, 1),
        };
        let right = Part { memory: self.columns, start, lines, stride, steps: (1, stride) };
        let grid = Grid::new((ROWS, padded(self.features[1])), [Lines::Rows, Lines::Rows]);
        product(em, &grid, [left, right], COLUMNS, sums, accumulate);
    }
}

/// Writes or adds to a panel the product of what lies in shared memory.
fn product(em: &mut Emitter, grid: &Grid, parts: [Part; 2], depth: i64, to: Panel, accumulate: Accumulate) {
    let (count, lanes) = grid.sums();
    let initial: Vec<_> = match accumulate {
        Accumulate::No => {
            let zero = em.b.constant(DType::F32, lanes, Scalar::Float(0.0));
            vec![zero; count]
        }
        Accumulate::Yes => {
            (0..count).map(|row| em.b.load_spaced(grid.own_row(to.memory, to.stride, row), lanes)).collect()
        }
    };
    let (axis, carried) = em.b.open_loop(0, depth, DEPTH, &initial);
    let [left, right] = parts.map(|part| Part { start: part.start.clone() + axis.clone() * part.steps.1, ..part });
    let next = grid.multiply(em, &[left, right], DEPTH, &carried);
    let sums = em.b.close_loop(next);
    for (row, sum) in sums.into_iter().enumerate() {
        em.b.store_spaced(grid.own_row(to.memory, to.stride, row), sum);
    }
}
