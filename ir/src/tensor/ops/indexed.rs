//! Windows of a tensor whose places are data: what `gather` reads and `scatter` writes.

use super::{arity, ascending_axes, axis, one_per_axis, tensor};
use crate::tensor::interpret::{Array, strides};
use crate::tensor::{Type, TypeError};
use kc_abi::{Dim, TensorType};
use serde::{Deserialize, Serialize};

/// How windows lie in a tensor, the *operand*, after StableHLO's `gather` and `scatter`.
///
/// The *indices* are integers of shape `[batch axes.., components]`: for each index of the batch axes one window, whose first
/// position on the operand's axis `index_map[k]` is component `k`; on other axes it is 0. The windows' elements are a
/// third tensor (the result of a gather, the updates of a scatter). Its axes are the batch axes, in order, and among them at
/// `offset` the axes of the window.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexedWindows {
    /// Axes of the third tensor that are axes of the window, ascending.
    pub offset: Vec<usize>,
    /// Axes of the operand on which the window has extent 1 and which the third tensor lacks, ascending.
    pub collapsed: Vec<usize>,
    /// Axes of the operand that each window takes one position of: that of its index on the batch axis beside it. The third
    /// tensor lacks them too.
    pub operand_batch: Vec<usize>,
    /// For each of `operand_batch` the batch axis of the indices.
    pub indices_batch: Vec<usize>,
    /// For each component of an index the operand's axis.
    pub index_map: Vec<usize>,
}

/// Where positions on an axis of the operand come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowAxis {
    /// The position on that axis of the third tensor.
    Batch(usize),
    /// The sum of both, where they are given.
    Window {
        /// The component of the index.
        start: Option<usize>,
        /// The position on that axis of the third tensor.
        offset: Option<usize>,
    },
}

impl IndexedWindows {
    /// For each axis of the operand where positions on it come from; `rank` is the third tensor's.
    pub fn axes(&self, operand_rank: usize, rank: usize) -> Vec<WindowAxis> {
        let batch = self.batch_axes(rank);
        let mut offset = self.offset.iter();
        let source = |axis: usize| {
            if let Some(i) = self.operand_batch.iter().position(|&a| a == axis) {
                return WindowAxis::Batch(batch[self.indices_batch[i]]);
            }
            let start = self.index_map.iter().position(|&a| a == axis);
            let offset = if self.collapsed.contains(&axis) { None } else { offset.next().copied() };
            WindowAxis::Window { start, offset }
        };
        (0..operand_rank).map(source).collect()
    }

    /// The third tensor's axes that are the indices' batch axes, in order.
    pub fn batch_axes(&self, rank: usize) -> Vec<usize> {
        (0..rank).filter(|axis| !self.offset.contains(axis)).collect()
    }

    /// Checks the operand and the indices (operands 0 and 1); `rank` is the third tensor's.
    pub(super) fn check<'a>(
        &self,
        op: &str,
        operands: &[&'a Type],
        count: usize,
    ) -> Result<(&'a TensorType, &'a TensorType), TypeError> {
        arity(op, operands, count)?;
        let (operand, indices) = (tensor(op, operands, 0)?, tensor(op, operands, 1)?);
        let fail = |message: String| Err(TypeError::new(op, message));
        if !indices.dtype.is_integer() {
            return fail(format!("the indices are {indices}, expected integers"));
        }
        let components = Dim::constant(self.index_map.len() as i64);
        let batch = match indices.shape.split_last() {
            Some((last, batch)) if *last == components => batch,
            _ => return fail(format!("the indices are {indices}, expected a last axis of extent {components}")),
        };
        ascending_axes(op, &self.collapsed, operand.rank())?;
        let mut named = self.index_map.clone();
        named.extend(&self.operand_batch);
        named.iter().try_for_each(|&a| axis(op, a, operand.rank()))?;
        named.sort_unstable();
        if named.windows(2).any(|pair| pair[0] == pair[1]) {
            return fail(format!(
                "`index_map` {:?} and `operand_batch` {:?} name an axis twice",
                self.index_map, self.operand_batch
            ));
        }
        if let Some(axis) = self.operand_batch.iter().find(|axis| self.collapsed.contains(axis)) {
            return fail(format!("axis {axis} is in both `operand_batch` and `collapsed`"));
        }
        let mut paired = self.indices_batch.clone();
        paired.sort_unstable();
        paired.dedup();
        if paired.len() != self.operand_batch.len() || self.indices_batch.len() != self.operand_batch.len() {
            return fail(format!(
                "`indices_batch` {:?} must name an axis for each of `operand_batch` {:?}",
                self.indices_batch, self.operand_batch
            ));
        }
        for (&own, &theirs) in self.operand_batch.iter().zip(&self.indices_batch) {
            axis(op, theirs, batch.len())?;
            if operand.shape[own] != batch[theirs] {
                return fail(format!("axis {own} of {operand} and axis {theirs} of the indices {indices} differ"));
            }
        }
        let windows = operand.rank().saturating_sub(self.collapsed.len() + self.operand_batch.len());
        if windows != self.offset.len() {
            return fail(format!("`offset` names {} axes, the windows have {windows}", self.offset.len()));
        }
        ascending_axes(op, &self.offset, batch.len() + windows)?;
        Ok((operand, indices))
    }

    /// Checks the extents of a window, one an axis of the operand.
    pub(super) fn check_sizes(&self, op: &str, operand: &TensorType, sizes: &[Dim]) -> Result<(), TypeError> {
        one_per_axis(op, "sizes", sizes.len(), operand.rank())?;
        super::extents(op, sizes)?;
        for (axis, (size, extent)) in sizes.iter().zip(&operand.shape).enumerate() {
            // of a batch without elements there is no window
            let is_batch = self.operand_batch.contains(&axis) && size.is(1);
            if !is_batch && (extent.clone() - size.clone()).as_constant().is_some_and(|rest| rest < 0) {
                return Err(TypeError::new(
                    op,
                    format!("a window of {size} positions does not fit into axis {axis} of {operand}"),
                ));
            }
            if (self.collapsed.contains(&axis) || self.operand_batch.contains(&axis)) && !size.is(1) {
                return Err(TypeError::new(op, format!("the window has {size} positions on axis {axis}, expected 1")));
            }
        }
        Ok(())
    }

    /// The shape of the third tensor for windows of these extents.
    pub(super) fn shape(&self, indices: &TensorType, sizes: &[Dim]) -> Vec<Dim> {
        let is_offset = |axis: &usize| !self.collapsed.contains(axis) && !self.operand_batch.contains(axis);
        let mut window = (0..sizes.len()).filter(is_offset).map(|axis| sizes[axis].clone());
        let mut batch = indices.shape[..indices.rank().saturating_sub(1)].iter().cloned();
        let rank = self.offset.len() + indices.rank().saturating_sub(1);
        (0..rank).filter_map(|axis| if self.offset.contains(&axis) { window.next() } else { batch.next() }).collect()
    }

    /// The extents of a window, one an axis of the operand, from the third tensor's shape.
    pub fn sizes(&self, operand_rank: usize, shape: &[Dim]) -> Vec<Dim> {
        let size = |axis: WindowAxis| match axis {
            WindowAxis::Window { offset: Some(offset), .. } => shape[offset].clone(),
            WindowAxis::Window { offset: None, .. } | WindowAxis::Batch(_) => Dim::constant(1),
        };
        self.axes(operand_rank, shape.len()).into_iter().map(size).collect()
    }

    /// Calls `visit` for each element of the third tensor, of that shape, with its position and that in the operand, `None` where
    /// its window does not lie in the operand: window after window in row-major order of the indices.
    pub(super) fn visit(
        &self,
        place: Place,
        operand: &[usize],
        indices: &Array,
        shape: &[usize],
        mut visit: impl FnMut(usize, Option<usize>),
    ) {
        let axes = self.axes(operand.len(), shape.len());
        let batch_axes = self.batch_axes(shape.len());
        let [batch_shape, window_shape] =
            [&batch_axes, &self.offset].map(|axes| axes.iter().map(|&axis| shape[axis]).collect::<Vec<_>>());
        let (operand_strides, own_strides) = (strides(operand), strides(shape));
        for window in 0..batch_shape.iter().product() {
            let mut index = vec![0; shape.len()];
            batch_axes.iter().zip(unravel(window, &batch_shape)).for_each(|(&axis, position)| index[axis] = position);
            let first = |axis: usize| match axes[axis] {
                WindowAxis::Batch(of) => Some(index[of]),
                WindowAxis::Window { start: None, .. } => Some(0),
                WindowAxis::Window { start: Some(component), offset } => {
                    let size = offset.map_or(1, |offset| shape[offset]);
                    let start = indices.get(window * self.index_map.len() + component).to_i128();
                    place.first(start, operand[axis], size)
                }
            };
            let fits = |axis: usize| match axes[axis] {
                WindowAxis::Window { offset: Some(offset), .. } => shape[offset] <= operand[axis],
                WindowAxis::Window { offset: None, .. } => operand[axis] > 0,
                WindowAxis::Batch(_) => true,
            };
            let first: Option<Vec<usize>> = (0..operand.len()).map(|axis| first(axis).filter(|_| fits(axis))).collect();
            for element in 0..window_shape.iter().product() {
                let offsets = unravel(element, &window_shape);
                self.offset.iter().zip(offsets).for_each(|(&axis, position)| index[axis] = position);
                let position = |index: &[usize], axis: usize, first: usize| match axes[axis] {
                    WindowAxis::Window { offset: Some(offset), .. } => first + index[offset],
                    WindowAxis::Window { offset: None, .. } | WindowAxis::Batch(_) => first,
                };
                let target = first.as_ref().map(|first| {
                    let place = |axis: usize| position(&index, axis, first[axis]) * operand_strides[axis] as usize;
                    (0..operand.len()).map(place).sum()
                });
                visit(index.iter().zip(&own_strides).map(|(&i, &stride)| i * stride as usize).sum(), target);
            }
        }
    }
}

/// What becomes of windows that do not lie in the operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// They are moved into it.
    Moved,
    /// They have no place.
    Nowhere,
}

impl Place {
    /// The first position of a window on an axis.
    fn first(self, start: i128, extent: usize, size: usize) -> Option<usize> {
        let last = extent.checked_sub(size)? as i128;
        match self {
            Place::Moved => Some(start.clamp(0, last) as usize),
            Place::Nowhere => (0..=last).contains(&start).then_some(start as usize),
        }
    }
}

/// The index of a row-major position.
fn unravel(position: usize, shape: &[usize]) -> Vec<usize> {
    let mut rest = position;
    let mut index = vec![0; shape.len()];
    for axis in (0..shape.len()).rev() {
        (index[axis], rest) = (rest % shape[axis], rest / shape[axis]);
    }
    index
}
