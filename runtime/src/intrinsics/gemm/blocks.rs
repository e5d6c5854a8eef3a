//! Products of any size and stride, made of tiles.

use super::vectors::{Float, MOST_COLUMNS, ROWS, Tile};
use crate::memory::AlignedBytes;

/// `c = a*b` or `c += a*b`; strides count elements.
#[derive(Clone, Copy)]
pub(super) struct Matrices<T> {
    pub(super) m: usize,
    pub(super) n: usize,
    pub(super) k: usize,
    pub(super) a: *const T,
    pub(super) a_row: isize,
    pub(super) a_column: isize,
    pub(super) b: *const T,
    pub(super) b_row: isize,
    pub(super) b_column: isize,
    pub(super) c: *mut T,
    pub(super) c_row: isize,
    pub(super) c_column: isize,
    pub(super) accumulate: bool,
}

impl<T> Matrices<T> {
    /// The transposed product, `c' = b' * a'`.
    fn transposed(self) -> Self {
        Matrices {
            m: self.n,
            n: self.m,
            a: self.b,
            a_row: self.b_column,
            a_column: self.b_row,
            b: self.a,
            b_row: self.a_column,
            b_column: self.a_row,
            c_row: self.c_column,
            c_column: self.c_row,
            ..self
        }
    }

    /// Elements that are moved because they do not lie as tiles need them.
    fn moved(&self) -> usize {
        let b = if self.b_column == 1 || self.n == 1 { 0 } else { self.n * self.k };
        b + if self.c_column == 1 { 0 } else { self.m * self.n }
    }
}

/// Rows of `b` that a pass goes over, so that a tile's columns of them stay in the first cache.
const DEPTH: usize = 256;
/// Columns of `b` that are packed at a time.
const WIDTH: usize = 1024;
/// Rows of `a` that a pass goes over, so that they stay in the second cache.
const HEIGHT: usize = 384;
/// From this many rows on, columns of `b` are read so often that it pays to bring them together.
const PACKED_ROWS: usize = 8 * ROWS;

/// Calls with memory for packed columns of `b`: the thread's own, or, without `std`, memory of this call.
fn with_packed(compute: impl FnOnce(&mut AlignedBytes)) {
    #[cfg(feature = "std")]
    {
        thread_local! {
            static PACKED: core::cell::RefCell<AlignedBytes> = core::cell::RefCell::new(AlignedBytes::default());
        }
        PACKED.with_borrow_mut(compute);
    }
    #[cfg(not(feature = "std"))]
    compute(&mut AlignedBytes::default());
}

/// # Safety
/// The matrices must be readable, `c` writable, at all `m`, `n`, `k` positions.
pub(super) unsafe fn multiply<T: Float>(matrices: Matrices<T>) {
    let swapped = matrices.transposed();
    let g = if swapped.moved() < matrices.moved() { swapped } else { matrices };
    if g.m == 0 || g.n == 0 {
        return;
    }
    if g.k == 0 {
        if !g.accumulate {
            for i in 0..g.m as isize {
                for j in 0..g.n as isize {
                    // SAFETY: by the caller.
                    unsafe { *g.c.offset(i * g.c_row + j * g.c_column) = T::ZERO };
                }
            }
        }
        return;
    }
    with_packed(|packed| {
        let widest = T::tiles().columns();
        let needed = DEPTH.min(g.k) * WIDTH.min(g.n.next_multiple_of(widest)) * size_of::<T>();
        if packed.len() < needed {
            *packed = AlignedBytes::zeros(needed);
        }
        let packed = packed.as_pointer().cast::<T>();
        for first_column in (0..g.n).step_by(WIDTH) {
            let columns = WIDTH.min(g.n - first_column);
            for depth in (0..g.k).step_by(DEPTH) {
                // SAFETY: within the matrices; `packed` holds DEPTH rows of WIDTH columns.
                unsafe { pass(&g, packed, first_column, columns, depth) };
            }
        }
    });
}

/// Adds the products of some columns and some of the depth.
///
/// # Safety
/// As [`multiply`]; `packed` must hold them.
unsafe fn pass<T: Float>(g: &Matrices<T>, packed: *mut T, first_column: usize, columns: usize, depth: usize) {
    let tiles = T::tiles();
    let widest = tiles.columns();
    let k = DEPTH.min(g.k - depth);
    let accumulate = g.accumulate || depth > 0;
    // SAFETY: positions within the matrices, here and below.
    let b = unsafe { g.b.offset(depth as isize * g.b_row + first_column as isize * g.b_column) };
    let everything = g.b_column != 1 || g.m >= PACKED_ROWS;
    let panels = (0..columns).step_by(widest).map(|column| (column, widest.min(columns - column)));
    for (column, width) in panels.clone() {
        let padded = tiles.pick(ROWS, width).1;
        if everything || padded != width {
            // SAFETY: see above; panels before this one are `widest` columns wide.
            unsafe { pack(b.offset(column as isize * g.b_column), g, k, width, padded, packed.add(column * k)) };
        }
    }
    for first_row in (0..g.m).step_by(HEIGHT) {
        let end_row = g.m.min(first_row + HEIGHT);
        for (column, width) in panels.clone() {
            let padded = tiles.pick(ROWS, width).1;
            let (panel, panel_row) = if everything || padded != width {
                (packed.wrapping_add(column * k).cast_const(), padded as isize)
            } else {
                (b.wrapping_add(column), g.b_row)
            };
            for row in (first_row..end_row).step_by(ROWS) {
                let rows = ROWS.min(end_row - row);
                // SAFETY: see above.
                unsafe {
                    let tile = Tile {
                        k,
                        a: g.a.offset(row as isize * g.a_row + depth as isize * g.a_column),
                        a_row: g.a_row,
                        a_column: g.a_column,
                        b: panel,
                        b_row: panel_row,
                        c: g.c.offset(row as isize * g.c_row + (first_column + column) as isize * g.c_column),
                        c_row: g.c_row,
                        accumulate,
                    };
                    place(tile, rows, width, g.c_column);
                }
            }
        }
    }
}

/// Computes a tile of 1 to [`ROWS`] rows; where its columns are fewer than a tile function's or not beside each other in `c`,
/// beside `c` first.
///
/// # Safety
/// `a` and `c` must be valid at `rows` rows, `b` at the columns of the picked tile, `c` at `width` columns of stride `c_column`.
unsafe fn place<T: Float>(tile: Tile<T>, rows: usize, width: usize, c_column: isize) {
    let (function, columns) = T::tiles().pick(rows, width);
    // SAFETY: by the caller.
    unsafe {
        if columns == width && c_column == 1 {
            function(&tile);
            return;
        }
        let mut block = [T::ZERO; ROWS * MOST_COLUMNS];
        let at = |i: usize, j: usize| tile.c.offset(i as isize * tile.c_row + j as isize * c_column);
        if tile.accumulate {
            for i in 0..rows {
                for j in 0..width {
                    block[i * columns + j] = *at(i, j);
                }
            }
        }
        function(&Tile { c: block.as_mut_ptr(), c_row: columns as isize, ..tile });
        for i in 0..rows {
            for j in 0..width {
                *at(i, j) = block[i * columns + j];
            }
        }
    }
}

/// Brings `k` rows of `width` columns of `b` together, filled up with zeros to `padded` columns.
///
/// # Safety
/// `b` must be readable there, `to` writable.
unsafe fn pack<T: Float>(b: *const T, g: &Matrices<T>, k: usize, width: usize, padded: usize, to: *mut T) {
    // SAFETY: by the caller, here and below.
    unsafe {
        if g.b_column == 1 {
            for p in 0..k {
                let to = to.add(p * padded);
                core::ptr::copy_nonoverlapping(b.offset(p as isize * g.b_row), to, width);
                (width..padded).for_each(|j| *to.add(j) = T::ZERO);
            }
            return;
        }
        // in squares, so that the lines of both sides stay in the cache
        const SIDE: usize = 16;
        for p in (0..k).step_by(SIDE) {
            for j in (0..padded).step_by(SIDE) {
                for j in j..padded.min(j + SIDE) {
                    let column = b.wrapping_offset(j as isize * g.b_column);
                    for p in p..k.min(p + SIDE) {
                        *to.add(p * padded + j) =
                            if j < width { *column.offset(p as isize * g.b_row) } else { T::ZERO };
                    }
                }
            }
        }
    }
}
