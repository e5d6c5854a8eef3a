//! Convolutions by Winograd's tiles ([`WinogradConvolution`]). A task has some tiles of the result, and some panels of its features: it
//! transforms the part of the images that its tiles depend on into scratch memory, multiplies the 16 matrices there by the transformed
//! filters, a panel at a time, and transforms the products back, where the epilogue follows.
//!
//! Each element is computed in the same way whatever the tasks are.

use super::super::emit::{At, Coordinate, Emitter, Unsuited};
use super::super::functions::binary;
use super::super::loops::Stored;
use super::super::map::divide;
use super::super::store::{View, view};
use super::{Tile, multiply_add, tile_time};
use crate::Target;
use crate::target::NOMINAL_EXTENT;
use kc_ir::kernel::{Index, MemoryId, Register};
use kc_ir::tensor::composites::{Composite, SPAN, TILE, WinogradConvolution};
use kc_ir::tensor::ops::{Binary, Pad};
use kc_ir::tensor::{Builder, Graph, Literal, Op, Scalar, TypeError, Value};
use kc_ir::{DType, Dim, TensorType};

/// Products of a tile, a channel and a feature.
const PLACES: i64 = SPAN * SPAN;

/// The convolution that an op is, if it is one by tiles.
pub(in crate::schedule) fn convolution(op: &Op) -> Option<&WinogradConvolution> {
    match op {
        Op::Composite(Composite::WinogradConvolution(convolution)) => Some(convolution),
        _ => None,
    }
}

/// Whether a kernel of this file computes the op: of f32, for images of known extents.
pub(in crate::schedule) fn suits(op: &Op, types: &[&TensorType], target: &Target) -> bool {
    let shape = |convolution| Shape::of(convolution, types.first()?);
    types.iter().all(|ty| ty.dtype == DType::F32)
        && target.convolves_by_tiles()
        && convolution(op).and_then(shape).is_some()
}

/// The value whose buffer has the images: one whose channels are side by side.
pub(super) fn images(graph: &Graph, op: Value) -> View {
    let operand = graph.node(op).operands[0];
    let seen = view(graph, operand);
    let strides = || super::strides(&graph.tensor_type(operand).shape);
    if seen.strides[3].is(1) { seen } else { View { base: operand, offset: Dim::default(), strides: strides() } }
}

/// Arithmetic operations of the products.
pub(super) fn operations(graph: &Graph, op: Value) -> Dim {
    let node = graph.node(op);
    let shape = convolution(&node.op).and_then(|c| Shape::of(c, graph.tensor_type(node.operands[0])));
    shape
        .map_or(Dim::default(), |shape| shape.all_tiles() * Dim::constant(2 * PLACES * shape.channels * shape.features))
}

/// The extents of a convolution.
struct Shape {
    batch: Dim,
    image: [i64; 2],
    /// Zeros before the image.
    before: [i64; 2],
    result: [i64; 2],
    channels: i64,
    features: i64,
}

impl Shape {
    fn of(convolution: &WinogradConvolution, images: &TensorType) -> Option<Self> {
        let [batch, height, width, channels] = images.shape.as_slice() else { return None };
        let [result_height, result_width] = convolution.extents([height, width]);
        Some(Shape {
            batch: batch.clone(),
            image: [height.as_constant()?, width.as_constant()?],
            before: convolution.padding.map(|(low, _)| low),
            result: [result_height.as_constant()?, result_width.as_constant()?],
            channels: channels.as_constant()?,
            features: convolution.features,
        })
    }

    /// Tiles along an axis of an image.
    fn tiles(&self, axis: usize) -> i64 {
        (self.result[axis] + TILE - 1) / TILE
    }

    fn all_tiles(&self) -> Dim {
        self.batch.clone() * Dim::constant(self.tiles(0) * self.tiles(1))
    }
}

/// How the work is cut.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Cut {
    /// The register tile of products.
    tile: Tile,
    /// Tiles of the result in a task.
    tiles: i64,
    /// Panels of features in a task.
    panels: i64,
}

impl Cut {
    /// The cut of least estimated time. Products wait for the filters where these do not stay in the near caches; transforms are loads,
    /// additions and stores.
    fn of(shape: &Shape, target: &Target) -> Self {
        let lanes = i64::from(target.lanes());
        let up = |n: i64, part: i64| (n + part - 1) / part;
        let vectors_needed = up(shape.features, lanes);
        // times are in quarters of a cycle, as those of tiles are: of a vector of channels, of one of features, of a byte from afar
        const IMAGES: i64 = 140;
        const RESULTS: i64 = 160;
        const BYTES_AT_ONCE: i64 = 2;
        let far = target.cache_bytes[1] as i64;
        let per_image = shape.tiles(0) * shape.tiles(1);
        let batches = shape.batch.as_constant().map_or(vec![1, NOMINAL_EXTENT], |n| vec![n]);
        let mut best: Option<(f64, Cut)> = None;
        for tile in super::tiles(target, i64::MAX, vectors_needed) {
            let (width, step_time) = (tile.vectors * lanes, tile_time(target, tile, true));
            let all_panels = up(shape.features, width);
            let filter_bytes = 4 * PLACES * shape.channels * width;
            let are_far = filter_bytes * all_panels > far / 2;
            let tile_bytes = 4 * PLACES * (shape.channels + lanes + width);
            let most = (far * 5 / 8 / tile_bytes / tile.rows).max(1);
            for groups in 1..=most {
                for column_blocks in 1..=all_panels.min(2 * i64::from(target.threads)) {
                    let cut = Cut { tile, tiles: groups * tile.rows, panels: up(all_panels, column_blocks) };
                    let products = (PLACES * cut.panels * groups * shape.channels) as f64 * step_time;
                    let transforms =
                        cut.tiles * (up(shape.channels, lanes) * IMAGES + cut.panels * tile.vectors * RESULTS);
                    let waiting = if are_far { cut.panels * filter_bytes / BYTES_AT_ONCE } else { 0 };
                    let time = |batch: &i64| {
                        let all = (per_image * batch).max(1);
                        let tasks = up(all, cut.tiles) * up(all_panels, cut.panels);
                        let rounds = up(tasks, i64::from(target.threads));
                        rounds as f64 * (products + (transforms + waiting) as f64) / all as f64
                    };
                    let time: f64 = batches.iter().map(time).sum();
                    if best.is_none_or(|(least, _)| time < least) {
                        best = Some((time, cut));
                    }
                }
            }
        }
        best.map_or(Cut { tile: Tile { rows: 1, vectors: 1 }, tiles: 1, panels: 1 }, |(_, cut)| cut)
    }
}

/// Transformed filters `[16, panels, channels, width]` in the panels that the kernel reads.
pub(in crate::schedule) fn in_panels(
    b: &mut Builder,
    op: &Op,
    images: Value,
    filters: Value,
    target: &Target,
) -> Result<Value, TypeError> {
    let shape = convolution(op).and_then(|convolution| Shape::of(convolution, b.tensor_type(images)));
    let Some(shape) = shape else { return Ok(filters) };
    let lanes = i64::from(target.lanes());
    let width = Cut::of(&shape, target).tile.vectors * lanes;
    let panels = (shape.features + width - 1) / width;
    let channels = shape.channels;
    let [_, given_panels, _, given] = b.tensor_type(filters).shape.as_slice() else { return Ok(filters) };
    if given_panels.is(panels) && given.is(width) {
        return Ok(filters);
    }
    let all = given_panels.clone() * given.clone();
    let filters = b.transpose(filters, &[0, 2, 1, 3])?;
    let mut filters = b.reshape(filters, &[Dim::constant(PLACES), Dim::constant(channels), all.clone()])?;
    let missing = all.as_constant().map_or(0, |all| panels * width - all);
    if missing != 0 {
        let zero = b.constant(Literal::scalar(DType::F32, 0.0))?;
        filters = b.add(Pad { low: vec![0; 3], high: vec![0, 0, missing], interior: vec![0; 3] }, &[filters, zero])?;
    }
    let filters = b.reshape(filters, &[PLACES, channels, panels, width].map(Dim::constant))?;
    b.transpose(filters, &[0, 2, 1, 3])
}

/// The kernel of an op that [`suits`]; `memory` has the images' buffer and that of the filters in panels.
pub(super) fn kernel(
    em: &mut Emitter,
    target: &Target,
    lanes: u32,
    op: Value,
    [images, filters]: [MemoryId; 2],
    outputs: &[Stored],
) -> Result<Dim, Unsuited> {
    let operands = &em.graph.node(op).operands;
    let shape = convolution(&em.graph.node(op).op).and_then(|c| Shape::of(c, em.ty(operands[0]))).ok_or(Unsuited)?;
    let [_, panels, _, width] = em.ty(operands[1]).shape.as_slice() else { return Err(Unsuited) };
    let (all_panels, width) = (panels.as_constant().ok_or(Unsuited)?, width.as_constant().ok_or(Unsuited)?);
    let cut = Cut::of(&shape, target);
    let wide = i64::from(target.lanes());
    if width != cut.tile.vectors * wide {
        return Err(Unsuited);
    }
    // lines of a power of two would displace each other
    let apart = shape.channels + wide;
    let spans = em.b.scratch("spans", DType::F32, (PLACES * cut.tiles * apart) as u64);
    let sums = em.b.scratch("sums", DType::F32, (PLACES * cut.tiles * width) as u64);
    let all_tiles = shape.all_tiles();
    let units = [Dim::constant((all_panels + cut.panels - 1) / cut.panels), all_tiles.ceil_div(cut.tiles)];
    let (tasks, first, length) = divide(em, &units.iter().cloned().product(), 1);
    let end = em.hold(first.clone() + length);
    let view = self::images(em.graph, op);
    let task =
        Task { op, shape, cut, wide: target.lanes(), apart, width, all_panels, images, filters, spans, sums, view };
    em.for_each(first, end, 1, |em, unit| {
        let mut indices = em.unravel(&units, unit);
        let first_tile = em.hold(indices.pop().unwrap_or(Index::Constant(0)) * cut.tiles);
        let first_panel = em.hold(indices.pop().unwrap_or(Index::Constant(0)) * cut.panels);
        let count = match all_tiles.as_constant() {
            Some(n) if n % cut.tiles == 0 => Index::Constant(cut.tiles),
            _ => {
                let rest = em.extent(&all_tiles) - first_tile.clone();
                em.hold(rest.min(cut.tiles))
            }
        };
        let panels = match all_panels % cut.panels {
            0 => Index::Constant(cut.panels),
            _ => em.hold((Index::Constant(all_panels) - first_panel.clone()).min(cut.panels)),
        };
        em.for_each(0, count.clone(), 1, |em, tile| task.transform_images(em, first_tile.clone(), tile))?;
        em.for_each(0, panels, 1, |em, panel| {
            let panel = em.hold(first_panel + panel);
            em.for_each(0, PLACES, 1, |em, place| task.products(em, place, &panel, &count))?;
            em.for_each(0, count, 1, |em, tile| task.transform_back(em, lanes, outputs, first_tile, tile, &panel))
        })
    })?;
    Ok(tasks)
}

struct Task {
    op: Value,
    shape: Shape,
    cut: Cut,
    /// Lanes of what is no epilogue.
    wide: u32,
    /// Elements from one tile's channels to the next one's, in scratch memory.
    apart: i64,
    /// Features of a panel.
    width: i64,
    all_panels: i64,
    images: MemoryId,
    filters: MemoryId,
    /// For each place, for each tile the channels.
    spans: MemoryId,
    /// For each place, for each tile the features of a panel.
    sums: MemoryId,
    view: View,
}

/// `B^T d`: of four rows.
fn transform([a, b, c, d]: [Register; 4], em: &mut Emitter) -> [Register; 4] {
    let mut of = |function, x, y| binary(&mut em.b, function, x, y);
    [of(Binary::Subtract, a, c), of(Binary::Add, b, c), of(Binary::Subtract, c, b), of(Binary::Subtract, b, d)]
}

/// `A^T m`: of four rows.
fn back([a, b, c, d]: [Register; 4], em: &mut Emitter) -> [Register; 2] {
    let mut of = |function, x, y| binary(&mut em.b, function, x, y);
    let (sum, difference) = (of(Binary::Add, b, c), of(Binary::Subtract, b, c));
    [of(Binary::Add, a, sum), of(Binary::Subtract, difference, d)]
}

impl Task {
    /// The image, the row and the column of a tile.
    fn place(&self, em: &mut Emitter, tile: Index) -> [Index; 3] {
        let shape = [self.shape.batch.clone(), Dim::constant(self.shape.tiles(0)), Dim::constant(self.shape.tiles(1))];
        let mut indices = em.unravel(&shape, tile).into_iter();
        [(); 3].map(|()| indices.next().unwrap_or(Index::Constant(0)))
    }

    /// Transforms what a tile depends on. Most tiles have all of it within the image; of others the elements outside are 0.
    fn transform_images(&self, em: &mut Emitter, first: Index, tile: Index) -> Result<(), Unsuited> {
        let [image, row, column] = self.place(em, first + tile.clone());
        let start = [(row, 0), (column, 1)].map(|(n, axis)| em.hold(n * TILE - self.shape.before[axis]));
        let mut origin = em.extent(&self.view.offset);
        for (index, stride) in [&image, &start[0], &start[1]].into_iter().zip(&self.view.strides) {
            origin = origin + index.clone() * em.extent(stride);
        }
        let origin = em.hold(origin);
        let to = em.hold(tile * self.apart);
        let mut inside: Option<Register> = None;
        for (axis, start) in start.iter().enumerate() {
            let (before, image) = (self.shape.before[axis], self.shape.image[axis]);
            let mut conditions = vec![];
            if before > 0 {
                conditions.push(em.less(Index::Constant(-1), start.clone()));
            }
            if (self.shape.tiles(axis) - 1) * TILE - before + SPAN > image {
                conditions.push(em.less(start.clone(), Index::Constant(image - SPAN + 1)));
            }
            for condition in conditions {
                inside = Some(inside.map_or(condition, |others| em.b.binary(Binary::And, others, condition)));
            }
        }
        let Some(inside) = inside else { return self.transform_span(em, &origin, &to, None) };
        em.b.open_branch(inside);
        em.scope(|em| self.transform_span(em, &origin, &to, None))?;
        em.b.open_otherwise(vec![]);
        em.scope(|em| {
            let limited = |index: Index| index.max(0).min(1);
            let within = [0, 1].map(|axis| {
                [0, 1, 2, 3].map(|n| {
                    let at = start[axis].clone() + n;
                    let rest = Index::Constant(self.shape.image[axis]) - at.clone();
                    em.hold(limited(at + 1) * limited(rest))
                })
            });
            self.transform_span(em, &origin, &to, Some(within))
        })?;
        em.b.close_branch(vec![]);
        Ok(())
    }

    /// Transforms 4 x 4 elements, of which those rows and columns are `within` the image for which it has 1.
    fn transform_span(
        &self,
        em: &mut Emitter,
        origin: &Index,
        to: &Index,
        within: Option<[[Index; 4]; 2]>,
    ) -> Result<(), Unsuited> {
        let wide = i64::from(self.wide);
        let steps = [1, 2].map(|axis| em.extent(&self.view.strides[axis]));
        em.vector_loop(self.wide, Index::Constant(0), Index::Constant(self.shape.channels), &[], |em, channel, _| {
            let span = [0, 1, 2, 3].map(|i| {
                [0, 1, 2, 3].map(|j| {
                    let at = origin.clone() + steps[0].clone() * (i as i64) + steps[1].clone() * (j as i64);
                    let count = within.as_ref().map(|[rows, columns]| {
                        let all = em.count.clone().map_or(Index::Constant(wide), |count| count.min(wide));
                        rows[i].clone() * columns[j].clone() * all
                    });
                    let count = count.map(|count| em.hold(count)).or(em.count.clone());
                    em.b.load(self.images, at + channel.clone(), self.wide, count)
                })
            });
            let columns = [0, 1, 2, 3].map(|j| transform(span.map(|row| row[j]), em));
            for i in 0..4 {
                let row = transform(columns.map(|column| column[i]), em);
                for (j, value) in row.into_iter().enumerate() {
                    let place = (i as i64 * SPAN + j as i64) * (self.cut.tiles * self.apart);
                    em.b.store(self.spans, to.clone() + channel.clone() + place, value, em.count.clone());
                }
            }
            Ok(vec![])
        })?;
        Ok(())
    }

    /// Position of a panel of filters at a place.
    fn panel(&self, em: &mut Emitter, place: &Index, panel: &Index) -> Index {
        let size = self.shape.channels * self.width;
        em.hold(place.clone() * (self.all_panels * size) + panel.clone() * size)
    }

    /// The products at a place by register tiles. Rows behind the last one are computed of what scratch memory has, and not used.
    fn products(&self, em: &mut Emitter, place: Index, panel: &Index, count: &Index) -> Result<(), Unsuited> {
        let (Tile { rows, vectors }, wide) = (self.cut.tile, i64::from(self.wide));
        let right = self.panel(em, &place, panel);
        let left = em.hold(place.clone() * (self.cut.tiles * self.apart));
        let to = em.hold(place * (self.cut.tiles * self.width));
        let groups = em.hold((count.clone() + (rows - 1)).floor_div(rows));
        em.for_each(0, groups, 1, |em, group| {
            let left = em.hold(left + group.clone() * (rows * self.apart));
            let to = em.hold(to + group * (rows * self.width));
            let zero = em.b.constant(DType::F32, self.wide, Scalar::Float(0.0));
            let initial = vec![zero; (rows * vectors) as usize];
            let total = em.for_carrying(0, self.shape.channels, 1, &initial, |em, channel, sums| {
                let right = em.hold(right + channel.clone() * self.width);
                let columns: Vec<Register> =
                    (0..vectors).map(|v| em.b.load(self.filters, right.clone() + v * wide, self.wide, None)).collect();
                let mut next = Vec::with_capacity(sums.len());
                for (r, sums) in sums.chunks(vectors as usize).enumerate() {
                    let at = left.clone() + channel.clone() + r as i64 * self.apart;
                    let factor = em.b.load(self.spans, at, 1, None);
                    let factor = em.b.splat(self.wide, factor);
                    for (&column, &sum) in columns.iter().zip(sums) {
                        next.push(multiply_add(em, DType::F32, factor, column, sum));
                    }
                }
                Ok(next)
            })?;
            for (r, sums) in total.chunks(vectors as usize).enumerate() {
                for (v, &sum) in sums.iter().enumerate() {
                    em.b.store(self.sums, to.clone() + (r as i64 * self.width + v as i64 * wide), sum, None);
                }
            }
            Ok(())
        })
    }

    /// Transforms a tile's products back, and computes and writes the cluster's values there.
    fn transform_back(
        &self,
        em: &mut Emitter,
        lanes: u32,
        outputs: &[Stored],
        first: Index,
        tile: Index,
        panel: &Index,
    ) -> Result<(), Unsuited> {
        let [image, row, column] = self.place(em, first + tile.clone());
        let [row, column] = [row, column].map(|n| em.hold(n * TILE));
        let from = em.hold(tile * self.width);
        let feature = em.hold(panel.clone() * self.width);
        let length = match self.shape.features % self.width {
            0 => Index::Constant(self.width),
            _ if self.all_panels == 1 => Index::Constant(self.shape.features),
            _ => em.hold((Index::Constant(self.shape.features) - feature.clone()).min(self.width)),
        };
        em.vector_loop(lanes, Index::Constant(0), length, &[], |em, offset, _| {
            let places = [0, 1, 2, 3].map(|i| {
                [0, 1, 2, 3].map(|j| {
                    let place = (i * SPAN + j) * (self.cut.tiles * self.width);
                    em.b.load(self.sums, from.clone() + offset.clone() + place, lanes, em.count.clone())
                })
            });
            let columns = [0, 1, 2, 3].map(|j| back(places.map(|row| row[j]), em));
            let at = em.hold(feature.clone() + offset);
            for i in 0..2 {
                let results = back(columns.map(|column| column[i]), em);
                for (j, result) in results.into_iter().enumerate() {
                    let place = [row.clone() + i as i64, column.clone() + j as i64].map(|index| em.hold(index));
                    // of an odd extent the last tile has a result too much
                    let ends =
                        [(0, i), (1, j)].into_iter().filter(|&(axis, n)| n == 1 && self.shape.result[axis] % TILE != 0);
                    let inside = ends.fold(None, |inside: Option<Register>, (axis, _)| {
                        let within = em.less(place[axis].clone(), Index::Constant(self.shape.result[axis]));
                        Some(inside.map_or(within, |others| em.b.binary(Binary::And, others, within)))
                    });
                    let [y, x] = place;
                    let at = vec![
                        Coordinate::fixed(image.clone()),
                        Coordinate::fixed(y),
                        Coordinate::fixed(x),
                        Coordinate::lanes(at.clone()),
                    ];
                    let write = |em: &mut Emitter| {
                        let at = At::Multi(at);
                        em.bind(self.op, at.clone(), result);
                        em.store_all(outputs, &at)
                    };
                    match inside {
                        None => write(em)?,
                        Some(inside) => {
                            em.b.open_branch(inside);
                            em.scope(write)?;
                            em.b.open_otherwise(vec![]);
                            em.b.close_branch(vec![]);
                        }
                    }
                }
            }
            Ok(vec![])
        })?;
        Ok(())
    }
}
