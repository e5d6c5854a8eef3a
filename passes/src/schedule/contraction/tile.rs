//! Register tiles: which there are, and how long each takes.

use super::super::map::nominal;
use crate::{Target, TileTime};
use kc_ir::Dim;

/// How a contraction's result is cut into register tiles.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::schedule) struct Tile {
    pub rows: i64,
    pub vectors: i64,
}

/// The time of a tile per step of the summed variable, in quarters of a cycle: as measured, or estimated as that of its multiply-adds
/// (but no less than the latency of dependent ones), half as much for each row's factor, which stays in the nearest cache, and two
/// times that for each vector, three times where it comes from afar.
pub(in crate::schedule) fn tile_time(target: &Target, tile: Tile, from_afar: bool) -> f64 {
    const NOT_MEASURED: f64 = 1e30;
    let near = near_time(tile);
    let estimate = if from_afar { near + tile.vectors as f64 } else { near };
    let tile_of = |time: &TileTime| Tile { rows: time.rows.into(), vectors: time.vectors.into() };
    match target.tiles.iter().find(|time| tile_of(time) == tile) {
        Some(time) => {
            let estimated: f64 = target.tiles.iter().map(|time| near_time(tile_of(time))).sum();
            let measured: f64 = target.tiles.iter().map(|time| time.nanoseconds).sum();
            time.nanoseconds * estimated / measured * (estimate / near)
        }
        None if target.tiles.is_empty() => estimate,
        None => NOT_MEASURED,
    }
}

/// Multiply-adds that are in execution at once.
pub(super) const IN_FLIGHT: i64 = 8;

fn near_time(tile: Tile) -> f64 {
    ((2 * tile.rows * tile.vectors).max(2 * IN_FLIGHT) + tile.rows + 2 * tile.vectors) as f64
}

/// Rows and vectors of all register tiles that contractions may choose from.
pub fn register_tiles(target: &Target) -> impl Iterator<Item = [u32; 2]> {
    tiles(target, i64::MAX, i64::MAX).map(|tile| [tile.rows as u32, tile.vectors as u32])
}

/// The tiles that the registers hold, no larger than the rows and vectors that there are.
pub(in crate::schedule) fn tiles(
    target: &Target,
    rows: i64,
    vectors_needed: i64,
) -> impl Iterator<Item = Tile> + use<> {
    // code generators load several factors ahead
    const FACTORS_AHEAD: i64 = 5;
    let registers = i64::from(target.vector_registers);
    (1..=4i64.min(vectors_needed)).flat_map(move |vectors| {
        let most_rows = ((registers - vectors - FACTORS_AHEAD) / vectors).clamp(1, rows.min(14));
        (1..=most_rows).map(move |rows| Tile { rows, vectors })
    })
}

/// The tile with the least estimated time. Rows that fill no tile are computed one by one. Tiles of unknown extents have a power
/// of two of rows.
pub(super) fn choose_tile(target: &Target, lanes: u32, rows: &Dim, columns: i64) -> Tile {
    let is_known = rows.as_constant().is_some();
    let rows = nominal(rows);
    let vectors_needed = (columns + i64::from(lanes) - 1) / i64::from(lanes);
    let total = |tile: &Tile| {
        let column_tiles = (vectors_needed + tile.vectors - 1) / tile.vectors;
        let [whole, single] = [*tile, Tile { rows: 1, ..*tile }].map(|tile| tile_time(target, tile, true));
        column_tiles as f64 * ((rows / tile.rows) as f64 * whole + (rows % tile.rows) as f64 * single)
    };
    let suitable = tiles(target, rows, vectors_needed).filter(|tile| is_known || tile.rows.count_ones() == 1);
    // the last of equal ones
    let order =
        |a: &Tile, b: &Tile| total(a).total_cmp(&total(b)).then_with(|| (b.vectors, b.rows).cmp(&(a.vectors, a.rows)));
    suitable.min_by(order).unwrap_or(Tile { rows: 1, vectors: 1 })
}
