//! Reading and writing at positions that are data. No position is used before it is moved into the tensor or known to lie in it.

use super::emit::{At, Coordinate, Emitted, Emitter, Unsuited};
use super::map::{divide, nominal};
use kc_ir::kernel::{Index, MemoryId, Register};
use kc_ir::tensor::ops::*;
use kc_ir::tensor::{Op, Scalar, Value};
use kc_ir::{DType, Dim};

/// Where a window lies in the operand.
#[derive(Clone)]
pub(super) struct Window {
    /// By axis of the operand its first position, moved into the operand.
    first: Vec<Index>,
    /// Whether it is read or written at all: whether it lies there unmoved, where that is asked, and fits into the operand, where that is
    /// not known. `None` where it always is.
    is_used: Option<Register>,
}

/// The windows that the body of a loop asks for, outside of branches and further loops.
#[derive(Clone)]
pub(super) struct Wanted {
    depth: usize,
    windows: Vec<(Value, Vec<Index>)>,
}

impl Emitter<'_> {
    /// Computes the windows that are the same in all rounds of a loop, of which one round is `body`, before the loop.
    pub fn hoist_windows(&mut self, body: impl FnOnce(&mut Self) -> Result<(), Unsuited>) -> Result<(), Unsuited> {
        if !self.gathers {
            return Ok(());
        }
        let before = self.b.mark();
        let mut trial = self.clone();
        trial.wanted = Some(Wanted { depth: self.depth() + 1, windows: vec![] });
        // where the loop cannot be emitted, the attempt in earnest says so
        if body(&mut trial).is_err() {
            return Ok(());
        }
        for (gather, batch) in trial.wanted.map(|wanted| wanted.windows).unwrap_or_default() {
            if batch.iter().all(|index| index.is_defined_before(before)) {
                self.gathered(gather, &batch)?;
            }
        }
        Ok(())
    }

    /// The window of a gather for an index of the batch axes.
    fn gathered(&mut self, value: Value, batch: &[Index]) -> Result<Window, Unsuited> {
        if let Some(known) = self.known_window(value, batch) {
            return Ok(known);
        }
        let depth = self.depth();
        if let Some(wanted) = self.wanted.as_mut().filter(|wanted| wanted.depth == depth) {
            wanted.windows.push((value, batch.to_vec()));
        }
        let node = self.graph.node(value);
        let Op::Gather(gather) = &node.op else { return Err(Unsuited) };
        let shape = &self.ty(node.operands[0]).shape;
        let may_move = gather.mode == GatherMode::Clip;
        let window = self.window(&gather.windows, may_move, shape, &gather.sizes, node.operands[1], batch)?;
        self.bind_window(value, batch, &window);
        Ok(window)
    }

    /// Both conditions.
    fn both(&mut self, a: Option<Register>, b: Register) -> Option<Register> {
        Some(match a {
            Some(a) => self.b.binary(Binary::And, a, b),
            None => b,
        })
    }

    /// The window of an index of the batch axes.
    fn window(
        &mut self,
        windows: &IndexedWindows,
        may_move: bool,
        shape: &[Dim],
        sizes: &[Dim],
        indices: Value,
        batch: &[Index],
    ) -> Result<Window, Unsuited> {
        let mut window = Window { first: vec![Index::Constant(0); shape.len()], is_used: None };
        for (extent, size) in shape.iter().zip(sizes) {
            let rest = extent.clone() - size.clone();
            if rest.as_constant().is_none() {
                let rest = self.extent(&rest);
                let fits = self.less(Index::Constant(-1), rest);
                window.is_used = self.both(window.is_used, fits);
            }
        }
        for (component, &axis) in windows.index_map.iter().enumerate() {
            let place = batch.iter().cloned().chain([Index::Constant(component as i64)]);
            let mut start = self.scalar(indices, &At::Multi(place.map(Coordinate::fixed).collect()))?;
            if self.ty(indices).dtype == DType::U64 {
                // as an index it would be below 0
                let largest = self.b.constant(DType::U64, 1, Scalar::Int(i64::MAX.into()));
                start = self.b.binary(Binary::Minimum, start, largest);
            }
            let start = Index::Register(start);
            let last = self.extent(&(shape[axis].clone() - sizes[axis].clone()));
            if !may_move {
                let (low, high) =
                    (self.less(Index::Constant(-1), start.clone()), self.less(start.clone(), last.clone() + 1));
                window.is_used = self.both(window.is_used, low);
                window.is_used = self.both(window.is_used, high);
            }
            window.first[axis] = self.hold(start.min(last).max(0));
        }
        Ok(window)
    }

    /// An element (or several of the last axis) of windows at positions that are data.
    pub fn gather(&mut self, value: Value, gather: &Gather, at: &At) -> Emitted {
        let coordinates = self.multi(value, at)?;
        let operand = self.graph.node(value).operands[0];
        let ty = self.ty(operand);
        let batch: Vec<Coordinate> =
            gather.windows.batch_axes(coordinates.len()).into_iter().map(|axis| coordinates[axis].clone()).collect();
        // the windows of several lanes must be one
        if self.lanes > 1 && batch.iter().any(|coordinate| coordinate.step != 0) {
            return Err(Unsuited);
        }
        let batch: Vec<Index> = batch.into_iter().map(|coordinate| coordinate.index).collect();
        let window = self.gathered(value, &batch)?;
        let axes = gather.windows.axes(ty.rank(), coordinates.len());
        let moved = axes.into_iter().zip(window.first).map(|(axis, first)| match axis {
            WindowAxis::Batch(of) => coordinates[of].clone(),
            WindowAxis::Window { offset: None, .. } => Coordinate::fixed(first),
            WindowAxis::Window { offset: Some(of), .. } => {
                Coordinate { index: first + coordinates[of].index.clone(), step: coordinates[of].step }
            }
        });
        let moved = At::Multi(moved.collect());
        let read = |this: &mut Self| this.value(operand, &moved);
        match window.is_used {
            None => read(self),
            Some(is_used) => self.branch(is_used, read, |this| {
                let lanes = this.lanes;
                Ok(this.b.constant(ty.dtype, lanes, gather.mode.filler(ty.dtype)))
            }),
        }
    }
}

/// Vectors that are written at once where nothing is computed.
const VECTORS: u32 = 4;

/// Elementary operations that one task of a scatter executes, about.
const OPERATIONS_PER_TASK: i64 = 1 << 14;

/// Tasks of a scatter at most: each looks at all indices.
const TASKS: i64 = 16;

/// Operations of looking at an index.
const OPERATIONS_PER_INDEX: i64 = 4;

/// The part of the result that a task of a scatter writes: a range of positions on one axis. Axes before it have one position.
struct Part {
    axis: usize,
    first: Index,
    end: Index,
    /// Whether it is not the whole result.
    is_proper: bool,
}

/// A scatter: each task makes its part of the result, first from the operand, then by all updates in their order that meet it.
/// Where the operand lies in the result's memory, only the updates are written.
pub(super) fn scatter(em: &mut Emitter, lanes: u32, op: Value, memory: MemoryId) -> Result<Dim, Unsuited> {
    let node = em.graph.node(op);
    let Op::Scatter(scatter) = &node.op else { return Err(Unsuited) };
    let [operand, indices, updates] = node.operands[..] else { return Err(Unsuited) };
    let shape = &em.ty(op).shape;
    let sizes = scatter.windows.sizes(shape.len(), &em.ty(updates).shape);
    let in_place = em.lies_in(operand, memory);
    let (tasks, part) = divided(em, scatter, op, &sizes, in_place);
    if !in_place {
        start(em, lanes, operand, memory, &part)?;
    }
    let last_is_window = matches!(
        scatter.windows.axes(shape.len(), em.ty(updates).rank()).last(),
        Some(WindowAxis::Window { offset: Some(_), .. })
    );
    let write = |em: &mut Emitter, lanes: u32| {
        let batch = batch_ranges(em, scatter, op, &part);
        em.lanes = 1;
        over_batch(em, &batch, vec![], &mut |em, batch| {
            let update = Update { scatter, op, memory, indices, updates, sizes: &sizes, part: &part, batch };
            update.write(em, lanes)
        })
    };
    // updates that are not side by side are written one by one
    let before = em.clone();
    if !last_is_window || lanes == 1 || write(em, lanes).is_err() {
        *em = before;
        write(em, 1)?;
    }
    Ok(tasks)
}

/// The division of a result into parts, and the part of the kernel's task.
fn divided(em: &mut Emitter, scatter: &Scatter, op: Value, sizes: &[Dim], in_place: bool) -> (Dim, Part) {
    let shape = &em.ty(op).shape;
    let Some(axis) = shape.iter().position(|extent| !extent.is(1)) else {
        let end = if shape.is_empty() { Index::Constant(0) } else { Index::Constant(1) };
        return (Dim::constant(1), Part { axis: 0, first: Index::Constant(0), end, is_proper: false });
    };
    let updates = em.ty(em.graph.node(op).operands[2]);
    let window = nominal(&sizes.iter().cloned().product());
    let indices = nominal(&updates.elements()) / window;
    let own = if in_place { 0 } else { nominal(&shape.iter().cloned().product()) };
    let work = own.saturating_add(indices.saturating_mul(window.saturating_add(OPERATIONS_PER_INDEX)));
    let tasks = match scatter.windows.axes(shape.len(), updates.rank())[axis] {
        // each looks at its own indices
        WindowAxis::Batch(_) => work / OPERATIONS_PER_TASK,
        WindowAxis::Window { .. } => {
            (work / OPERATIONS_PER_TASK).min(work / (indices * OPERATIONS_PER_INDEX).max(1)).min(TASKS)
        }
    };
    let rows = nominal(&shape[axis]);
    let per_task = rows.div_euclid(tasks.clamp(1, rows)) + i64::from(rows % tasks.clamp(1, rows) != 0);
    let (tasks, first, length) = divide(em, &shape[axis], per_task);
    let end = em.hold(first.clone() + length);
    let is_proper = !tasks.is(1);
    (tasks, Part { axis, first, end, is_proper })
}

/// The part of the result as it is before the first update.
fn start(em: &mut Emitter, lanes: u32, operand: Value, memory: MemoryId, part: &Part) -> Result<(), Unsuited> {
    let shape = &em.ty(operand).shape;
    let Some(inner) = shape.get(part.axis + 1..) else {
        let scalar = em.scalar(operand, &At::Multi(vec![]))?;
        em.b.store(memory, Index::Constant(0), scalar, None);
        return Ok(());
    };
    let row = inner.iter().cloned().product();
    let row = em.extent(&row);
    let flat = |em: &mut Emitter| -> Result<(), Unsuited> {
        let first = em.hold(part.first.clone() * row.clone());
        let length = em.hold((part.end.clone() - part.first.clone()) * row.clone());
        em.vector_loop(lanes * VECTORS, first, length, &[], |em, position, _| {
            let at = At::Flat(Coordinate::lanes(position));
            let element = em.value(operand, &at)?;
            em.store(memory, shape, &at, element)?;
            Ok(vec![])
        })?;
        Ok(())
    };
    let nested = |em: &mut Emitter, lanes: u32| {
        let before = vec![Coordinate::fixed(0); part.axis];
        em.for_each(part.first.clone(), part.end.clone(), 1, |em, row| {
            let outer: Vec<Coordinate> = before.into_iter().chain([Coordinate::fixed(row)]).collect();
            em.nest(lanes, inner, &[], &mut |em, inner, _| {
                let at = At::Multi(outer.iter().cloned().chain(inner).collect());
                let element = em.value(operand, &at)?;
                em.store(memory, shape, &at, element)?;
                Ok(vec![])
            })?;
            Ok(())
        })
    };
    let before = em.clone();
    if flat(em).is_ok() {
        return Ok(());
    }
    *em = before.clone();
    if nested(em, lanes).is_ok() {
        return Ok(());
    }
    *em = before;
    em.lanes = 1;
    nested(em, 1)
}

/// For each batch axis of the indices the positions that a task looks at.
fn batch_ranges(em: &mut Emitter, scatter: &Scatter, op: Value, part: &Part) -> Vec<(Index, Index)> {
    let updates = em.ty(em.graph.node(op).operands[2]);
    let axes = scatter.windows.axes(em.ty(op).rank(), updates.rank());
    let range = |axis: usize| {
        if axes.get(part.axis) == Some(&WindowAxis::Batch(axis)) {
            return (part.first.clone(), part.end.clone());
        }
        (Index::Constant(0), em.extent(&updates.shape[axis]))
    };
    scatter.windows.batch_axes(updates.rank()).into_iter().map(range).collect()
}

type OfBatch<'b> = dyn FnMut(&mut Emitter, &[Index]) -> Result<(), Unsuited> + 'b;

/// Nested loops over ranges; the body gets the position on each.
fn over_batch(
    em: &mut Emitter,
    ranges: &[(Index, Index)],
    outer: Vec<Index>,
    body: &mut OfBatch,
) -> Result<(), Unsuited> {
    let [(first, end), rest @ ..] = ranges else { return body(em, &outer) };
    em.for_each(first.clone(), end.clone(), 1, |em, position| {
        over_batch(em, rest, outer.into_iter().chain([position]).collect(), body)
    })
}

/// The updates of one window.
struct Update<'a> {
    scatter: &'a Scatter,
    op: Value,
    memory: MemoryId,
    indices: Value,
    updates: Value,
    sizes: &'a [Dim],
    part: &'a Part,
    batch: &'a [Index],
}

impl Update<'_> {
    /// Combines the window's elements with those of the task's part.
    fn write(&self, em: &mut Emitter, lanes: u32) -> Result<(), Unsuited> {
        let windows = &self.scatter.windows;
        let may_move = self.scatter.mode == ScatterMode::Clip;
        let shape = &em.ty(self.op).shape;
        let window = em.window(windows, may_move, shape, self.sizes, self.indices, self.batch)?;
        let rank = em.ty(self.updates).rank();
        let axes = windows.axes(shape.len(), rank);
        let mut condition = window.is_used;
        let part_axis = axes.get(self.part.axis).copied();
        if self.part.is_proper
            && let Some(WindowAxis::Window { offset, .. }) = part_axis
            && offset.is_none_or(|_| self.sizes[self.part.axis].is(1))
        {
            let row = window.first[self.part.axis].clone();
            let (low, high) = (em.less(self.part.first.clone() - 1, row.clone()), em.less(row, self.part.end.clone()));
            condition = em.both(condition, low);
            condition = em.both(condition, high);
        }
        let mut own = vec![Coordinate::fixed(0); rank];
        for (axis, position) in windows.batch_axes(rank).into_iter().zip(self.batch) {
            own[axis] = Coordinate::fixed(position.clone());
        }
        let Some(condition) = condition else { return self.elements(em, lanes, &axes, &window, vec![], own) };
        em.b.open_branch(condition);
        em.scope(|em| self.elements(em, lanes, &axes, &window, vec![], own))?;
        em.b.open_otherwise(vec![]);
        em.b.close_branch(vec![]);
        Ok(())
    }

    /// Loops over the axes of the operand that are not in `place` yet; `own` is the index in the updates.
    fn elements(
        &self,
        em: &mut Emitter,
        lanes: u32,
        axes: &[WindowAxis],
        window: &Window,
        place: Vec<Coordinate>,
        own: Vec<Coordinate>,
    ) -> Result<(), Unsuited> {
        let axis = place.len();
        let with = |coordinate: Coordinate| place.iter().cloned().chain([coordinate]).collect::<Vec<_>>();
        match axes.get(axis) {
            None => self.element(em, place, own),
            Some(&WindowAxis::Batch(of)) => {
                let coordinate = own[of].clone();
                self.elements(em, lanes, axes, window, with(coordinate), own)
            }
            Some(WindowAxis::Window { offset: None, .. }) => {
                self.elements(em, lanes, axes, window, with(Coordinate::fixed(window.first[axis].clone())), own)
            }
            Some(&WindowAxis::Window { offset: Some(offset), .. }) => {
                let first = window.first[axis].clone();
                let size = em.extent(&self.sizes[axis]);
                let (low, length) = if self.part.is_proper && self.part.axis == axis && size != Index::Constant(1) {
                    let low = em.hold((self.part.first.clone() - first.clone()).max(0));
                    let high = (self.part.end.clone() - first.clone()).min(size);
                    let length = em.hold((high - low.clone()).max(0));
                    (low, length)
                } else {
                    (Index::Constant(0), size)
                };
                let lanes = match self.sizes[axis].as_constant() {
                    Some(size) if lanes > 1 && size % i64::from(lanes * VECTORS) == 0 => lanes * VECTORS,
                    _ => lanes,
                };
                let round = |em: &mut Emitter, position: Index, step: i64| {
                    let mut own = own.clone();
                    own[offset] = Coordinate { index: position.clone(), step };
                    let there = Coordinate { index: position + first.clone(), step };
                    self.elements(em, lanes, axes, window, with(there), own)
                };
                if axis + 1 == axes.len() {
                    em.vector_loop(lanes, low, length, &[], |em, position, _| {
                        round(em, position, 1)?;
                        Ok(vec![])
                    })?;
                    return Ok(());
                }
                let end = em.hold(low.clone() + length);
                em.for_each(low, end, 1, |em, position| round(em, position, 0))
            }
        }
    }

    /// Combines an update (or several of the last axis) with what is there.
    fn element(&self, em: &mut Emitter, place: Vec<Coordinate>, own: Vec<Coordinate>) -> Result<(), Unsuited> {
        let shape = &em.ty(self.op).shape;
        let mut update = em.value(self.updates, &At::Multi(own))?;
        let place = At::Multi(place);
        if let Some(kind) = self.scatter.kind.reduction() {
            let position = em.position(shape, &place)?;
            let (lanes, count) = (em.lanes, em.count.clone());
            let before = em.b.load(self.memory, position.index, lanes, count);
            update = em.combine(kind, before, update);
        }
        em.store(self.memory, shape, &place, update)
    }
}
