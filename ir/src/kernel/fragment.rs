//! Fragments: matrices of [`EXTENT`] by [`EXTENT`] elements in registers, one for each warp of a block, spread over the warp's threads as the
//! tensor cores of NVIDIA's GPUs take them (`mma.m16n8k16` in the PTX ISA, twice side by side).
//!
//! A fragment has [`LANES`] lanes a warp. Lane `l` of a warp is element `l mod 8` of thread `l / 8`.

use super::{Index, MemoryId};

/// Rows and columns of a matrix.
pub const EXTENT: usize = 16;

/// Threads of a warp.
pub const WARP: usize = 32;

/// Lanes of a warp's matrix.
pub const LANES: usize = EXTENT * EXTENT;

/// Lanes of a register with a matrix for each of a block's four warps.
pub const BLOCK_LANES: u32 = 4 * LANES as u32;

/// Elements that a thread has of a matrix.
pub const HELD: usize = LANES / WARP;

/// An f32 rounded to tf32, which has 10 bits behind the point: to the nearest, of two equally near ones to that away from zero, as `cvt.rna.tf32`
/// rounds in PTX. The difference is at most 2^-11 of a finite value that is not denormal. NaN stays NaN.
pub fn to_tf32(value: f32) -> f32 {
    const DROPPED: u32 = 13;
    if !value.is_finite() {
        return value;
    }
    let half = 1 << (DROPPED - 1);
    f32::from_bits((value.to_bits() + half) & (u32::MAX << DROPPED))
}

/// What a fragment is in a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The left operand.
    Left,
    /// The right operand.
    Right,
    /// The sums, and the result.
    Sums,
}

impl Side {
    /// Row and column of a lane.
    pub const fn place(self, lane: usize) -> (usize, usize) {
        let (thread, element) = (lane / HELD % WARP, lane % HELD);
        let (line, pair) = (thread / 4, thread % 4 * 2 + element % 2);
        let (second, last) = (8 * (element / 2 % 2), 8 * (element / 4));
        match self {
            Side::Left | Side::Sums => (line + second, pair + last),
            Side::Right => (pair + second, line + last),
        }
    }
}

/// Which elements of a matrix lie side by side in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lines {
    /// Those of a row.
    Rows,
    /// Those of a column.
    Columns,
}

impl Lines {
    /// The name in the text form.
    pub const fn text(self) -> &'static str {
        match self {
            Lines::Rows => "rows",
            Lines::Columns => "columns",
        }
    }
}

/// Matrices in scratch memory, one for each warp. Warps are numbered row by row of a grid with `across` columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Tiles {
    /// The memory.
    pub memory: MemoryId,
    /// Position of the first warp's first element.
    pub position: Index,
    /// What lies side by side.
    pub lines: Lines,
    /// Elements from one line to the next.
    pub stride: i64,
    /// Columns of the grid of warps.
    pub across: i64,
    /// Elements from the matrix of a warp to that of the next one down, and to that of the next one to the right.
    pub steps: [i64; 2],
}

impl Tiles {
    /// Elements from the first warp's matrix to that of a warp.
    pub fn offset(&self, warp: i64) -> i64 {
        warp / self.across * self.steps[0] + warp % self.across * self.steps[1]
    }

    /// Elements from a matrix's first element to that in a row and a column.
    pub fn within(&self, (row, column): (usize, usize)) -> i64 {
        match self.lines {
            Lines::Rows => row as i64 * self.stride + column as i64,
            Lines::Columns => column as i64 * self.stride + row as i64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn tf32_has_ten_bits_behind_the_point() {
        let unit = 2f32.powi(-10);
        assert_eq!(to_tf32(1.0 + unit), 1.0 + unit);
        assert_eq!(to_tf32(1.0 + 0.5 * unit), 1.0 + unit);
        assert_eq!(to_tf32(-1.0 - 0.5 * unit), -1.0 - unit);
        assert_eq!(to_tf32(1.0 + 0.49 * unit), 1.0);
        assert_eq!(to_tf32(f32::MAX), f32::INFINITY);
        assert_eq!(to_tf32(f32::NEG_INFINITY), f32::NEG_INFINITY);
        assert!(to_tf32(f32::NAN).is_nan());
    }

    #[test]
    fn lanes_are_places_of_the_matrix() {
        for side in [Side::Left, Side::Right, Side::Sums] {
            let places: BTreeSet<(usize, usize)> = (0..LANES).map(|lane| side.place(lane)).collect();
            assert_eq!(places.len(), LANES);
            assert_eq!(places.last(), Some(&(EXTENT - 1, EXTENT - 1)));
        }
    }
}
