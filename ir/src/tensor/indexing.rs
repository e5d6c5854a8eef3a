//! The usual forms of gather and scatter: rows, elements along an axis, indices of several axes, boxes.

use super::ops::*;
use super::{Builder, Literal, Scalar, TypeError, Value};
use kc_abi::{DType, Dim};

/// Extents of 1 on all axes but those from `first` on, which are whole.
fn one_then_whole(shape: &[Dim], first: usize) -> Vec<Dim> {
    let size = |(axis, extent): (usize, &Dim)| if axis < first { Dim::constant(1) } else { extent.clone() };
    shape.iter().enumerate().map(size).collect()
}

/// Windows of one position along each of the first `components` axes, and of the others as a whole.
fn leading(batch_rank: usize, components: usize, operand_rank: usize) -> IndexedWindows {
    IndexedWindows {
        offset: (batch_rank..batch_rank + operand_rank - components).collect(),
        collapsed: (0..components).collect(),
        operand_batch: vec![],
        indices_batch: vec![],
        index_map: (0..components).collect(),
    }
}

/// Windows whose first position is one index vector.
fn boxes(rank: usize) -> IndexedWindows {
    IndexedWindows {
        offset: (0..rank).collect(),
        collapsed: vec![],
        operand_batch: vec![],
        indices_batch: vec![],
        index_map: (0..rank).collect(),
    }
}

impl Builder {
    /// Positions where those below 0 count from the end of an axis of that extent. Of integers of less than 32 bits the result
    /// is i32.
    pub fn from_end(&mut self, positions: Value, extent: &Dim) -> Result<Value, TypeError> {
        let given = self.tensor_type(positions).dtype;
        if !given.is_signed_integer() {
            return Ok(positions);
        }
        let dtype = if given.bits() < 32 { DType::I32 } else { given };
        let positions = self.convert(dtype, positions)?;
        let zero = self.constant(Literal::scalar(dtype, Scalar::Int(0)))?;
        let extent = self.dimension(extent.clone(), dtype)?;
        let (negative, moved) =
            (self.compare(Compare::Less, positions, zero)?, self.binary(Binary::Add, positions, extent)?);
        self.select(negative, moved, positions)
    }

    /// The slices of `x` at positions on an axis: the axis is replaced by all axes of `positions`.
    pub fn take(&mut self, x: Value, positions: Value, axis: usize, mode: GatherMode) -> Result<Value, TypeError> {
        let shape = self.tensor_type(x).shape.clone();
        if axis >= shape.len() {
            return Err(TypeError::new("take", format!("axis {axis} is out of range for rank {}", shape.len())));
        }
        let batch = self.tensor_type(positions).rank();
        let windows = IndexedWindows {
            offset: (0..axis).chain(axis + batch..shape.len() - 1 + batch).collect(),
            collapsed: vec![axis],
            operand_batch: vec![],
            indices_batch: vec![],
            index_map: vec![axis],
        };
        let mut sizes = shape;
        sizes[axis] = Dim::constant(1);
        let indices = self.components(&[positions])?;
        self.add(Gather { windows, sizes, mode }, &[x, indices])
    }

    /// `result[.., i, ..] = x[.., positions[.., i, ..], ..]`: the other axes of `x` and `positions`, which must be of one rank,
    /// are broadcast to each other.
    pub fn take_along_axis(
        &mut self,
        x: Value,
        positions: Value,
        axis: usize,
        mode: GatherMode,
    ) -> Result<Value, TypeError> {
        let (x, indices, windows) = self.along_axis("take_along_axis", x, positions, axis)?;
        let sizes = vec![Dim::constant(1); self.tensor_type(x).rank()];
        self.add(Gather { windows, sizes, mode }, &[x, indices])
    }

    /// `x` with `updates[.., i, ..]` combined at `[.., positions[.., i, ..], ..]`: all three are of one shape but for the axis.
    pub fn scatter_along_axis(
        &mut self,
        kind: ScatterKind,
        [x, positions, updates]: [Value; 3],
        axis: usize,
        mode: ScatterMode,
    ) -> Result<Value, TypeError> {
        let (x, indices, windows) = self.along_axis("scatter_along_axis", x, positions, axis)?;
        self.add(Scatter { kind, windows, mode }, &[x, indices, updates])
    }

    fn along_axis(
        &mut self,
        op: &str,
        x: Value,
        positions: Value,
        axis: usize,
    ) -> Result<(Value, Value, IndexedWindows), TypeError> {
        let (given, wanted) = (self.tensor_type(x).clone(), self.tensor_type(positions).clone());
        let fail = |message: String| Err(TypeError::new(op, message));
        if given.rank() != wanted.rank() || axis >= given.rank() {
            return fail(format!("{given} and the positions {wanted} must have the same axes, among them axis {axis}"));
        }
        let without = |shape: &[Dim]| (0..shape.len()).filter(|&a| a != axis).map(|a| shape[a].clone()).collect();
        let (ours, theirs): (Vec<Dim>, Vec<Dim>) = (without(&given.shape), without(&wanted.shape));
        let Some(common) = super::broadcast_shapes(&ours, &theirs) else {
            return fail(format!("{given} and the positions {wanted} cannot be broadcast beside axis {axis}"));
        };
        let shape_with = |extent: &Dim| {
            let mut shape = common.clone();
            shape.insert(axis, extent.clone());
            shape
        };
        let x = self.broadcast_to(x, &shape_with(&given.shape[axis]))?;
        let positions = self.broadcast_to(positions, &shape_with(&wanted.shape[axis]))?;
        let others: Vec<usize> = (0..given.rank()).filter(|&a| a != axis).collect();
        let windows = IndexedWindows {
            offset: vec![],
            collapsed: vec![axis],
            operand_batch: others.clone(),
            indices_batch: others,
            index_map: vec![axis],
        };
        Ok((x, self.components(&[positions])?, windows))
    }

    /// Index vectors from the positions on each axis, tensors of one type: stacked along a new last axis.
    pub fn components(&mut self, positions: &[Value]) -> Result<Value, TypeError> {
        let mut columns = Vec::with_capacity(positions.len());
        for &position in positions {
            let shape = [self.tensor_type(position).shape.clone(), vec![Dim::constant(1)]].concat();
            columns.push(self.reshape(position, &shape)?);
        }
        match columns[..] {
            [only] => Ok(only),
            [first, ..] => {
                let axis = self.tensor_type(first).rank() - 1;
                self.add(Concatenate { axis }, &columns)
            }
            [] => Err(TypeError::new("components", "expected the positions on at least one axis")),
        }
    }

    /// `result[i..] = x[indices[i.., 0], indices[i.., 1], .., :]`, as many leading axes of `x` as an index vector has components.
    pub fn gather_nd(&mut self, x: Value, indices: Value, mode: GatherMode) -> Result<Value, TypeError> {
        let shape = self.tensor_type(x).shape.clone();
        let (batch, components) = self.index_vectors("gather_nd", &shape, indices)?;
        let (windows, sizes) = (leading(batch, components, shape.len()), one_then_whole(&shape, components));
        self.add(Gather { windows, sizes, mode }, &[x, indices])
    }

    /// `x` with `updates[i..]` combined at `x[indices[i.., 0], indices[i.., 1], .., :]`.
    pub fn scatter_nd(
        &mut self,
        kind: ScatterKind,
        [x, indices, updates]: [Value; 3],
        mode: ScatterMode,
    ) -> Result<Value, TypeError> {
        let shape = self.tensor_type(x).shape.clone();
        let (batch, components) = self.index_vectors("scatter_nd", &shape, indices)?;
        self.add(Scatter { kind, windows: leading(batch, components, shape.len()), mode }, &[x, indices, updates])
    }

    /// The number of batch axes of index vectors and of their components, at most one an axis of the tensor.
    fn index_vectors(&self, op: &str, shape: &[Dim], indices: Value) -> Result<(usize, usize), TypeError> {
        let ty = self.tensor_type(indices);
        let components = ty.shape.last().and_then(Dim::as_constant).and_then(|n| usize::try_from(n).ok());
        match components.filter(|&n| n <= shape.len()) {
            Some(components) => Ok((ty.rank() - 1, components)),
            None => Err(TypeError::new(
                op,
                format!("the indices are {ty}, expected a last axis of at most {} components", shape.len()),
            )),
        }
    }

    /// For each segment the combination of the rows of `data` whose number in `segments` it is; rows of other numbers are left out.
    /// Of no rows: 0, 1, the smallest or the largest value, by the kind.
    pub fn segments(
        &mut self,
        kind: Reduction,
        data: Value,
        segments: Value,
        count: impl Into<Dim>,
    ) -> Result<Value, TypeError> {
        let ty = self.tensor_type(data).clone();
        let [_, row @ ..] = &ty.shape[..] else {
            return Err(TypeError::new("segments", format!("{ty} has no rows, expected at least one axis")));
        };
        let shape = [vec![count.into()], row.to_vec()].concat();
        let neutral = match ty.dtype.is_float() {
            true => Scalar::Float(kind.neutral_float()),
            false => Scalar::Int(kind.neutral_int(ty.dtype)),
        };
        let start = self.splat(ty.dtype, neutral, &shape)?;
        let kind = match kind {
            Reduction::Sum => ScatterKind::Add,
            Reduction::Product => ScatterKind::Multiply,
            Reduction::Max => ScatterKind::Maximum,
            Reduction::Min => ScatterKind::Minimum,
        };
        let indices = self.components(&[segments])?;
        self.scatter_nd(kind, [start, indices, data], ScatterMode::Drop)
    }

    /// The box of those extents whose first position is the index vector `start` (of shape `[rank]`), moved into the tensor where it
    /// would leave it.
    pub fn dynamic_slice(&mut self, x: Value, start: Value, sizes: &[Dim]) -> Result<Value, TypeError> {
        let windows = boxes(self.tensor_type(x).rank());
        self.add(Gather { windows, sizes: sizes.to_vec(), mode: GatherMode::Clip }, &[x, start])
    }

    /// The tensor with the box at `start` replaced by `update`; the box is moved into the tensor where it would leave it.
    pub fn dynamic_update_slice(&mut self, x: Value, update: Value, start: Value) -> Result<Value, TypeError> {
        let windows = boxes(self.tensor_type(x).rank());
        self.add(Scatter { kind: ScatterKind::Set, windows, mode: ScatterMode::Clip }, &[x, start, update])
    }
}
