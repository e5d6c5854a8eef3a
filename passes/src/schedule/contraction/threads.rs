//! Products of tiles by the threads of a block: the threads stand in a grid, and each has some rows and columns of the tile in registers.
//!
//! What a thread reads of an operand lies side by side in shared memory: neighbouring values of the free variable where these are neighbours
//! there, else neighbouring summed values.

use super::super::emit::Emitter;
use super::shared::{Part, Product, Rows, Stored};
use kc_ir::kernel::{Index, Lines, MemoryId, Register, Spaced};

/// Bits of the number of a block's threads.
const THREAD_BITS: u32 = 7;

/// Values that one instruction reads.
const TOGETHER: i64 = 4;

/// Columns, and rows, of the grid that a warp's threads are: neighbouring threads read neighbouring columns, and share rows.
const WARP_BITS: [u32; 2] = [3, 2];

/// An axis of a tile over the threads along it.
pub(in crate::schedule) struct Along {
    /// Values that a thread has.
    held: i64,
    /// How many of them follow each other. The threads' such pieces follow each other, then the next pieces of all.
    together: i64,
    pub(super) threads: i64,
}

impl Along {
    fn of(extent: i64, held: i64, are_neighbours: bool) -> Self {
        let together = if are_neighbours { TOGETHER.min(held) } else { 1 };
        Along { held, together, threads: extent / held }
    }

    /// The place of a thread's value from that of its first one.
    fn place(&self, number: i64) -> i64 {
        number % self.together + number / self.together * self.together * self.threads
    }

    fn bits(&self) -> u32 {
        self.threads.trailing_zeros()
    }
}

/// The threads over a tile.
pub(in crate::schedule) struct Grid {
    pub(super) rows: Along,
    columns: Along,
}

impl Grid {
    /// The grid for a tile, in which each thread has about as many rows as columns.
    pub(super) fn of(product: &Product) -> Self {
        Grid::new(product.tile, product.lines)
    }

    /// The same for a tile of so many rows and columns, of operands with such neighbours.
    pub(in crate::schedule) fn new((height, width): (i64, i64), lines: [Lines; 2]) -> Self {
        let held = (height * width) >> THREAD_BITS;
        // no more columns than rows, but for wide tiles
        let half = 1 << (held.trailing_zeros() / 2);
        let (rows, columns) = if width > height { (half, held / half) } else { (held / half, half) };
        Grid {
            rows: Along::of(height, rows, lines[0] == Lines::Columns),
            columns: Along::of(width, columns, lines[1] == Lines::Rows),
        }
    }

    fn lanes(&self) -> u32 {
        (self.columns.held as u32) << THREAD_BITS
    }

    /// How many registers have a tile's sums, one for each of a thread's rows, and the lanes of each: its columns.
    pub(in crate::schedule) fn sums(&self) -> (usize, u32) {
        (self.rows.held as usize, self.lanes())
    }

    /// Elements by which the bits of a lane's number move: first those of a thread's columns, then those of the thread. A step to the next thread
    /// below is of `down` elements, one to the next column of `across`.
    fn steps(&self, down: i64, across: i64) -> Vec<i64> {
        let held = (0..self.columns.held.trailing_zeros()).map(|bit| self.columns.place(1 << bit) * across);
        let threads = |axis: &Along, step: i64| (0..axis.bits()).map(|bit| step << bit).collect::<Vec<i64>>();
        let columns = (threads(&self.columns, self.columns.together * across), WARP_BITS[0]);
        let [columns, rows] = [columns, (threads(&self.rows, down), WARP_BITS[1])].map(|(steps, bits)| {
            let (warp, block) = steps.split_at(steps.len().min(bits as usize));
            [warp.to_vec(), block.to_vec()]
        });
        held.chain([&columns[0], &rows[0], &columns[1], &rows[1]].into_iter().flatten().copied()).collect()
    }

    /// Adds the products of the operands' parts.
    pub(in crate::schedule) fn multiply(
        &self,
        em: &mut Emitter,
        [left, right]: &[Part; 2],
        depth: i64,
        sums: &[Register],
    ) -> Vec<Register> {
        let mut sums = sums.to_vec();
        for k in 0..depth {
            let mut load = |part: &Part, within: i64, steps: Vec<i64>| {
                let spaced = Spaced { memory: part.memory, position: part.start.clone() + within, steps };
                em.b.load_spaced(spaced, self.lanes())
            };
            let columns = load(right, k * right.steps.1, self.steps(0, right.steps.0));
            let rows: Vec<Register> = (0..self.rows.held)
                .map(|row| {
                    let within = self.rows.place(row) * left.steps.0 + k * left.steps.1;
                    load(left, within, self.steps(self.rows.together * left.steps.0, 0))
                })
                .collect();
            for (row, sum) in rows.into_iter().zip(&mut sums) {
                *sum = em.b.multiply_add(row, columns, *sum);
            }
        }
        sums
    }

    /// Where the sums of a row of each thread lie in memory that has the tile, with so many elements from one row to the next.
    pub(in crate::schedule) fn own_row(&self, memory: MemoryId, stride: i64, row: usize) -> Spaced {
        let position = Index::Constant(self.rows.place(row as i64) * stride);
        Spaced { memory, position, steps: self.steps(self.rows.together * stride, 1) }
    }

    /// A tile's sums on their way through memory: one row of each thread at a time.
    pub(super) fn parts<'s>(&self, product: &Product, sums: &'s [Register]) -> Vec<Stored<'s>> {
        let apart = product.apart();
        let steps = self.steps(apart, 1);
        let part = |(row, sum): (i64, &'s Register)| {
            let steps = steps.clone();
            Stored {
                store: Box::new(move |em, memory| {
                    let spaced = Spaced { memory, position: Index::Constant(0), steps: steps.clone() };
                    em.b.store_spaced(spaced, *sum);
                }),
                rows: vec![Rows {
                    first: self.rows.place(row),
                    step: self.rows.together,
                    count: self.rows.threads,
                    base: 0,
                }],
            }
        };
        (0..).zip(sums).map(part).collect()
    }
}
