//! Products of tiles on tensor cores: a block's warps stand in a grid of two by two, each with a quarter of the tile in fragments.

use super::super::emit::Emitter;
use super::shared::{Part, Product, Rows, Stored};
use kc_ir::DType;
use kc_ir::kernel::fragment::{BLOCK_LANES, EXTENT, LANES};
use kc_ir::kernel::{Index, Lines, Register, Side, Spaced, Tiles};

/// Warps of a block along rows and columns of its tile.
const WARPS: i64 = 2;

/// Rows and columns of a warp's matrices.
const MATRIX: i64 = EXTENT as i64;

/// Rows of sums that are in memory at a time: one fragment's of each warp.
pub(super) const ROWS: i64 = WARPS * MATRIX;

/// Matrices of a warp along an extent of the tile.
fn fragments(extent: i64) -> usize {
    (extent / (WARPS * MATRIX)) as usize
}

/// How many registers have a tile's sums, the fragments row by row, and the lanes of each.
pub(super) fn sums(product: &Product) -> (usize, u32) {
    let (height, width) = product.tile;
    (fragments(height) * fragments(width), BLOCK_LANES)
}

/// Adds the products of the operands' parts.
pub(super) fn multiply(
    product: &Product,
    em: &mut Emitter,
    parts: &[Part; 2],
    depth: i64,
    sums: &[Register],
) -> Vec<Register> {
    let (height, width) = product.tile;
    let mut sums = sums.to_vec();
    for depth in (0..depth as usize).step_by(EXTENT) {
        let [left, right] = [(Side::Left, height), (Side::Right, width)].map(|(side, extent)| {
            let part = &parts[usize::from(side == Side::Right)];
            let fragment = |number: usize| {
                let within = number as i64 * MATRIX * part.steps.0 + depth as i64 * part.steps.1;
                let warp = extent / WARPS * part.steps.0;
                if em.b.memory_dtype(part.memory) == DType::F32 {
                    let position = part.start.clone() + within;
                    let steps = elements(side, part.steps, warp);
                    return em.b.load_spaced(Spaced { memory: part.memory, position, steps }, BLOCK_LANES);
                }
                let tiles = Tiles {
                    memory: part.memory,
                    position: part.start.clone() + within,
                    lines: part.lines,
                    stride: part.stride,
                    across: WARPS,
                    steps: if side == Side::Left { [warp, 0] } else { [0, warp] },
                };
                em.b.load_tiles(tiles, side, BLOCK_LANES)
            };
            (0..fragments(extent)).map(fragment).collect::<Vec<Register>>()
        });
        for (row, sums) in left.iter().zip(sums.chunks_mut(right.len())) {
            for (column, sum) in right.iter().zip(sums) {
                *sum = em.b.multiply_tiles(*row, *column, *sum);
            }
        }
    }
    sums
}

/// Elements by which the bits of a lane's number move in a fragment of f32: see [`Side::place`]. A step along the free variable, and one along the
/// summed one, is of so many elements, and one to the next warp.
fn elements(side: Side, (free, summed): (i64, i64), warp: i64) -> Vec<i64> {
    let lane = |lane: usize| match (side, side.place(lane)) {
        (Side::Right, (row, column)) => row as i64 * summed + column as i64 * free,
        (_, (row, column)) => row as i64 * free + column as i64 * summed,
    };
    let bits = (0..LANES.trailing_zeros()).map(|bit| lane(1 << bit));
    bits.chain(if side == Side::Left { [0, warp] } else { [warp, 0] }).collect()
}

/// A tile's sums on their way through memory: a row of each warp's fragments at a time.
pub(super) fn parts<'s>(product: &Product, sums: &'s [Register]) -> Vec<Stored<'s>> {
    let ((height, width), apart) = (product.tile, product.apart());
    let part = |(down, fragments): (usize, &'s [Register])| Stored {
        store: Box::new(move |em, memory| {
            for (across, &fragment) in fragments.iter().enumerate() {
                let tiles = Tiles {
                    memory,
                    position: Index::Constant(across as i64 * MATRIX),
                    lines: Lines::Rows,
                    stride: apart,
                    across: WARPS,
                    steps: [MATRIX * apart, width / WARPS],
                };
                em.b.store_tiles(tiles, fragment);
            }
        }),
        rows: (0..WARPS)
            .map(|warp| Rows {
                first: warp * height / WARPS + down as i64 * MATRIX,
                step: 1,
                count: MATRIX,
                base: warp * MATRIX * apart,
            })
            .collect(),
    };
    sums.chunks(fragments(width)).enumerate().map(part).collect()
}
