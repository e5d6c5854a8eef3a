//! How a contraction is cut into blocks: what fits which cache, what is copied, and what a task has.

use super::super::map::nominal;
use super::Plan;
use super::groups::whole;
use super::tile::{Tile, tile_time, tiles};
use crate::Target;
use kc_ir::{DType, Dim};

/// Variables in three parts: a block has all values of those `within`, `cut.1` values of the variable `cut.0`, and one value of each
/// of those `outside`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Split {
    pub(super) outside: Vec<usize>,
    pub(super) cut: Option<(usize, i64)>,
    pub(super) within: Vec<usize>,
    /// Values within a block, the largest.
    pub(super) size: i64,
}

/// Splits variables, the innermost last, such that a block has at most `limit` values. Of the innermost variable a block has a
/// multiple of `unit` values, or all, which count as such a multiple.
fn split(variables: &[usize], extent: impl Fn(usize) -> Option<i64>, unit: i64, limit: i64) -> Split {
    let mut split = Split { outside: variables.to_vec(), cut: None, within: vec![], size: 1 };
    while let Some(v) = split.outside.pop() {
        let unit = if split.within.is_empty() { unit } else { 1 };
        let padded = extent(v).map(|n| whole(n, unit));
        match padded {
            Some(n) if split.size * n <= limit => {
                split.size *= n;
                split.within.insert(0, v);
            }
            _ => {
                let most = (limit / split.size / unit).max(1) * unit;
                let values = padded.map_or(most, |n| equal_parts(n, most, unit));
                if values > 1 {
                    split.cut = Some((v, values));
                    split.size *= values;
                } else {
                    split.outside.push(v);
                }
                break;
            }
        }
    }
    split
}

/// A multiple of `unit` up to `most` that divides `n`, if there is one that is not much smaller; else such that the parts are
/// about equal.
fn equal_parts(n: i64, most: i64, unit: i64) -> i64 {
    let parts = (n + most - 1) / most;
    let equal = ((n + parts - 1) / parts + unit - 1) / unit * unit;
    (most * 2 / 3..=most).rev().find(|part| part % unit == 0 && n % part == 0).unwrap_or(equal)
}

/// The order of tasks, which threads divide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Order {
    /// Tasks of the same columns follow each other.
    ColumnsOutside,
    /// Those of the same rows.
    RowsOutside,
}

impl Order {
    /// What is given for columns and rows, the outer one first; and the other way round.
    pub(super) fn of<T>(self, [columns, rows]: [T; 2]) -> [T; 2] {
        match self {
            Order::ColumnsOutside => [columns, rows],
            Order::RowsOutside => [rows, columns],
        }
    }
}

/// Where register tiles find the left operand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Left {
    /// Where it is; only the rows that fill no tile are copied as lines, this many elements apart.
    InPlace(i64),
    /// Copied: a line of summed values for each row, this many elements apart.
    Lines(i64),
    /// Copied: for each tile and each summed value the tile's rows.
    Tiles,
}

/// The cut of a contraction into blocks.
#[derive(Clone, Debug)]
pub(super) struct Blocks {
    pub(super) tile: Tile,
    pub(super) lanes: u32,
    /// Neighbours of the innermost summed variable that are multiplied at once.
    pub(super) group: i64,
    /// Elements of the operands that a line of the cache has.
    pub(super) line: i64,
    /// Variables that move the right operand as well, other than the vectorised one: one value of each in a task.
    pub(super) both: Vec<usize>,
    /// Variables that move the left operand only, that of the tiles' rows last: the rows that are copied at once.
    pub(super) rows: Split,
    /// Register tiles in them.
    pub(super) row_tiles: i64,
    /// How many such blocks of rows a task has, one after the other.
    pub(super) run: i64,
    /// Tiles side by side in a task.
    pub(super) panels: i64,
    pub(super) order: Order,
    pub(super) summed: Split,
    pub(super) left: Left,
    pub(super) right: Right,
}

/// Where register tiles find the right operand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Right {
    /// Each task copies its columns.
    Copied,
    /// In the order of a [`Packing`](super::Packing).
    Packed,
}

impl Blocks {
    /// The cut of a contraction for which copying both operands pays: the right operand does not fit the nearest cache, and
    /// there are enough rows to read the copy again and again, or it is copied once for many calls.
    pub(super) fn of(plan: &Plan, target: &Target, lanes: u32, right: Right) -> Option<Self> {
        const LEAST_ROW_TILES: i64 = 4;
        let is_packed = right == Right::Packed;
        let form = &plan.form;
        let (rows, vector) = (plan.rows?, &form.variables[plan.vector?]);
        let columns = vector.extent.as_constant()?;
        let element = plan.factors[1].bytes() as i64;
        let (group, line) = (plan.group(target), LINE_BYTES / element);
        let summed = plan.summed();
        if summed.iter().any(|&v| form.variables[v].extent.is(0)) {
            // no block whose end the epilogue could follow
            return None;
        }
        let depth: i64 = summed.iter().map(|&v| nominal(&form.variables[v].extent)).product();
        let [near, far] = target.cache_bytes.map(|bytes| bytes as i64 / element);
        let suits =
            (plan.factors == [DType::F32; 2] || group > 1) && lanes > 1 && vector.left.is(0) && vector.right.is(1);
        if !suits || columns < i64::from(lanes) {
            return None;
        }
        let (left_only, both): (Vec<usize>, Vec<usize>) =
            plan.outer().into_iter().partition(|&v| form.variables[v].right.is(0));
        let tile = packed_tile(target, lanes, &form.variables[rows].extent, columns);
        let width = tile.vectors * i64::from(lanes);
        let right_step = &form.variables[*summed.last()?].right;
        // what is multiplied by groups is not read where it lies
        if group == 1 && depth * width <= near_share(near, element, right_step, width) {
            return None;
        }
        let known = |v: usize| form.variables[v].extent.as_constant();
        // a panel of the right operand takes half of the nearest cache, or comes from the far one if that has few values; all panels take
        // half of the far one, the rows an eighth; packed panels come from afar, a tile's rows take half of the nearest cache, all rows a
        // quarter of the far one
        let most = match right {
            Right::Packed => near / 2 / tile.rows.max(8),
            Right::Copied if depth * width <= near * 3 / 4 => depth,
            Right::Copied => (near / 2 / width).max(near / 64),
        };
        let summed = split(&summed, known, group, most.max(8));
        let lines: Vec<usize> = left_only.into_iter().chain([rows]).collect();
        let count = |v: &usize| nominal(&form.variables[*v].extent);
        let all_lines: i64 = lines.iter().map(count).product();
        let is_large = || depth * columns * both.iter().map(count).product::<i64>() > far;
        let are_few = all_lines < LEAST_ROW_TILES * tile.rows || tile.rows < 2;
        if are_few && !(is_packed && (group > 1 || is_large())) {
            return None;
        }
        let steps = &form.variables[*lines.last()?].left;
        let inner = &form.variables[summed.within.last().copied().or(summed.cut.map(|(v, _)| v))?].left;
        // lines of cache that a tile reads at a time must not displace each other
        let share = |apart: &Dim| near_share(near, element, apart, line);
        let is_near = match inner.is(1) {
            true => share(steps) >= 2 * line * tile.rows,
            false => group == 1 && share(inner) >= 32 * line,
        };
        let apart = summed.size + i64::from(lanes);
        let left = match (is_near, steps.is(1) && !inner.is(1)) {
            (true, _) => Left::InPlace(apart),
            (false, true) => Left::Tiles,
            (false, false) => Left::Lines(apart),
        };
        let up = |n: i64, part: i64| (n + part - 1) / part;
        // an unknown extent may be 1, and there shall be tasks all the same
        let least = |v: &usize| known(*v).unwrap_or(1);
        let known_lines: i64 = lines.iter().map(least).product();
        let all_panels = up(columns, width);
        // where rows alone are copied, more tasks would copy them more often
        let copies_rows_alone = is_packed && !matches!(left, Left::InPlace(_));
        let tasks_per_thread = if copies_rows_alone { 1 } else { TASKS_PER_THREAD };
        let others: i64 = both.iter().map(least).product();
        let tasks = up(tasks_per_thread * i64::from(target.threads), others);
        let far_share = if is_packed { far / 4 } else { far / 8 };
        let most_rows = (far_share / summed.size / tile.rows).max(1) * tile.rows;
        // rows that tasks can share evenly are copied by one task each
        let are_shared = copies_rows_alone && known_lines % (tasks * tile.rows) == 0;
        let most_rows = if are_shared { most_rows.min(known_lines / tasks) } else { most_rows };
        let rows = split(&lines, known, tile.rows, most_rows);
        let row_blocks = up(known_lines, rows.size);
        let copied_lines = match left {
            // reading rows where they are costs something too
            Left::InPlace(_) => all_lines / 4,
            Left::Lines(_) => all_lines,
            // a tile's rows are copied at once, fewer than a vector has
            Left::Tiles => up(all_lines, tile.rows) * tile.rows.max(i64::from(lanes)),
        };
        let copied_columns = if is_packed { columns / 4 } else { columns };
        let least_lines = if is_packed { 1 } else { LEAST_LINES };
        // the division that takes least time: each run of rows copies its columns, each block of columns its rows, and copying an element
        // takes as long as sixteen multiply-adds of vectors' lanes
        const COPY: i64 = 16;
        let threads = i64::from(target.threads);
        let (panels, run, order) = (1..=all_panels)
            .filter(|panels| *panels == 1 || is_packed || panels * width * summed.size <= far / 2)
            .flat_map(|panels| [(panels, Order::ColumnsOutside), (panels, Order::RowsOutside)])
            .map(|(panels, order)| {
                let column_blocks = up(all_panels, panels);
                let runs = up(tasks, column_blocks).min(row_blocks);
                let run = up(row_blocks, runs).max(up(least_lines, rows.size));
                let missing = tasks - up(row_blocks, run) * column_blocks;
                let copied = copied_lines * column_blocks + copied_columns * up(all_lines, run * rows.size);
                let cuts = order.of([(all_panels, panels), (all_lines, run * rows.size)]);
                let tiles = largest_share(threads, others, cuts);
                ((missing.max(0), tiles * threads * width + COPY * copied, panels, order), (panels, run, order))
            })
            .min()
            .map(|(_, choice)| choice)?;
        let row_tiles = rows.size / tile.rows;
        Some(Blocks { tile, lanes, group, line, both, rows, row_tiles, run, panels, order, summed, left, right })
    }
}

/// Lines times panels of the thread that has most of them, where threads divide tasks in their order: `others` times those into which
/// lines and panels (all, and those of a task) are cut, the outer ones first.
fn largest_share(threads: i64, others: i64, [(outer, outer_part), (inner, inner_part)]: [(i64, i64); 2]) -> i64 {
    const MOST: i64 = 1 << 10;
    let parts = |all: i64, part: i64| (all + part - 1) / part;
    let (rounds, blocks) = (parts(outer, outer_part), parts(inner, inner_part));
    let tasks = others * rounds * blocks;
    if tasks > MOST {
        // no task matters
        return others * outer * inner / threads;
    }
    let size = |all: i64, part: i64, number: i64| part.min(all - number * part);
    let task =
        |number: i64| size(outer, outer_part, number / blocks % rounds) * size(inner, inner_part, number % blocks);
    let share = |thread: i64| (tasks * thread / threads..tasks * (thread + 1) / threads).map(task).sum();
    (0..threads).map(share).max().unwrap_or(0)
}

/// Bytes of a line of the cache.
pub(super) const LINE_BYTES: i64 = 64;

/// Tasks that a contraction shall have.
const TASKS_PER_THREAD: i64 = 2;

/// Rows that a task has at least: fewer would not pay for the copy of its columns.
const LEAST_LINES: i64 = 128;

/// Elements of the nearest cache that a panel of that width may take whose rows are that far apart: rows whose distance is a
/// multiple of a large power of two share few of the cache's sets.
fn near_share(near: i64, element: i64, apart: &Dim, width: i64) -> i64 {
    // a cache whose ways are a page each, as those of most processors
    const WAY_BYTES: i64 = 4096;
    let apart = nominal(apart) * element;
    let rows_of_other_sets = WAY_BYTES >> apart.trailing_zeros().min(WAY_BYTES.trailing_zeros());
    let reached = (rows_of_other_sets * width * element).min(WAY_BYTES);
    near * reached / WAY_BYTES * 3 / 4
}

/// The tile with the least estimated time where an incomplete tile takes twice as long as a whole one: its rows are copied.
fn packed_tile(target: &Target, lanes: u32, rows: &Dim, columns: i64) -> Tile {
    let rows = nominal(rows);
    // too few rows to be divided: the threads divide the columns
    let shared_by = if rows < 2 * LEAST_LINES { i64::from(target.threads) } else { 1 };
    let vectors_needed = (columns + i64::from(lanes) - 1) / i64::from(lanes);
    let tiles = tiles(target, rows, vectors_needed);
    let total = |tile: &Tile| {
        let column_tiles = (vectors_needed + tile.vectors - 1) / tile.vectors;
        let column_tiles = (column_tiles + shared_by - 1) / shared_by * shared_by;
        let row_tiles = rows / tile.rows + 2 * (rows % tile.rows).min(1);
        (column_tiles * row_tiles) as f64 * tile_time(target, *tile, false)
    };
    let order = |a: &Tile, b: &Tile| total(a).total_cmp(&total(b)).then_with(|| a.vectors.cmp(&b.vectors));
    tiles.min_by(order).unwrap_or(Tile { rows: 1, vectors: 1 })
}

impl Blocks {
    /// Elements from one panel of the copied right operand to the next. A line of the cache lies between them, as between tiles: what is
    /// written to all of them at once must not meet in the same sets.
    pub(super) fn panel_apart(&self) -> i64 {
        self.width() * self.summed.size + self.line
    }

    /// Elements from one tile of the copied left operand to the next.
    pub(super) fn tile_apart(&self) -> i64 {
        self.tile.rows * self.summed.size + self.line
    }

    /// Columns of a panel.
    pub(super) fn width(&self) -> i64 {
        self.tile.vectors * i64::from(self.lanes)
    }

    /// Register tiles in the rows that the innermost variable has in a block.
    pub(super) fn row_tiles_of_group(&self, plan: &Plan) -> i64 {
        let groups: i64 = self
            .rows
            .within
            .iter()
            .rev()
            .skip(1)
            .filter_map(|&v| plan.form.variables[v].extent.as_constant())
            .product();
        let cut = match self.rows.cut {
            Some((_, values)) if !self.rows.within.is_empty() => values,
            _ => 1,
        };
        self.row_tiles / groups / cut
    }
}
