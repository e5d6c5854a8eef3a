//! Chains of ops that move elements.

use super::{Simplifier, Step, becomes};
use kc_ir::Dim;
use kc_ir::tensor::ops::{Broadcast, Pad, Reduce, Reduction, Reshape, Reverse, Slice, Transpose};
use kc_ir::tensor::{Op, TypeError, Value};

/// The extents that are not 1.
fn squeezed(shape: &[Dim]) -> impl Iterator<Item = &Dim> {
    shape.iter().filter(|dim| !dim.is(1))
}

/// The positions of the extents that are not 1.
fn squeezed_axes(shape: &[Dim]) -> Vec<usize> {
    (0..shape.len()).filter(|&axis| !shape[axis].is(1)).collect()
}

impl Simplifier {
    pub(super) fn reshape(&self, reshape: &Reshape, x: Value) -> Step {
        let ty = self.ty(x);
        if ty.shape == reshape.shape {
            return Step::Is(x);
        }
        match self.op(x) {
            Op::Reshape(_) => becomes(reshape.clone(), vec![self.operand(x)]),
            Op::Broadcast(inner) => {
                let shape = reshape.shape.clone();
                if inner.axes.is_empty() {
                    return becomes(Broadcast { shape, axes: vec![] }, vec![self.operand(x)]);
                }
                // only unit axes come or go: the broadcast goes there directly
                if !squeezed(&shape).eq(squeezed(&inner.shape)) {
                    return Step::Keep;
                }
                let (from, to) = (squeezed_axes(&inner.shape), squeezed_axes(&shape));
                let axes: Option<Vec<usize>> =
                    inner.axes.iter().map(|axis| from.iter().position(|a| a == axis).map(|at| to[at])).collect();
                match axes {
                    Some(axes) => becomes(Broadcast { shape, axes }, vec![self.operand(x)]),
                    None => Step::Keep,
                }
            }
            _ => Step::Keep,
        }
    }

    pub(super) fn transpose(&mut self, transpose: &Transpose, x: Value) -> Result<Step, TypeError> {
        let p = &transpose.permutation;
        if p.iter().copied().eq(0..p.len()) {
            return Ok(Step::Is(x));
        }
        let ty = self.ty(x);
        let moved: Vec<usize> = p.iter().copied().filter(|&axis| !ty.shape[axis].is(1)).collect();
        if moved.is_sorted() {
            let shape = p.iter().map(|&axis| ty.shape[axis].clone()).collect();
            return Ok(becomes(Reshape { shape }, vec![x]));
        }
        match self.op(x).clone() {
            Op::Transpose(inner) => {
                let permutation = p.iter().map(|&axis| inner.permutation[axis]).collect();
                Ok(becomes(Transpose { permutation }, vec![self.operand(x)]))
            }
            Op::Broadcast(inner) => {
                let shape = p.iter().map(|&axis| inner.shape[axis].clone()).collect();
                // (axis in the result, axis of the operand)
                let mut axes: Vec<(usize, usize)> = (inner.axes.iter().enumerate())
                    .map(|(of, axis)| (p.iter().position(|a| a == axis).unwrap_or(0), of))
                    .collect();
                axes.sort_unstable();
                let permutation = axes.iter().map(|&(_, of)| of).collect();
                let operand = self.add(Transpose { permutation }, vec![self.operand(x)])?;
                let axes = axes.into_iter().map(|(axis, _)| axis).collect();
                Ok(becomes(Broadcast { shape, axes }, vec![operand]))
            }
            _ => Ok(Step::Keep),
        }
    }

    pub(super) fn broadcast(&mut self, broadcast: &Broadcast, x: Value) -> Result<Step, TypeError> {
        let Broadcast { shape, axes } = broadcast;
        let ty = self.ty(x);
        if ty.shape == *shape {
            return Ok(Step::Is(x));
        }
        let repeats_none =
            squeezed(shape).eq(squeezed(&ty.shape)) && axes.iter().enumerate().all(|(i, &a)| ty.shape[i] == shape[a]);
        if repeats_none && !ty.shape.is_empty() {
            return Ok(becomes(Reshape { shape: shape.clone() }, vec![x]));
        }
        match self.op(x) {
            Op::Broadcast(inner) => {
                let axes = inner.axes.iter().map(|&axis| axes[axis]).collect();
                Ok(becomes(Broadcast { shape: shape.clone(), axes }, vec![self.operand(x)]))
            }
            Op::Reshape(_) => {
                let source = self.operand(x);
                let from = self.ty(source);
                if squeezed(&from.shape).count() != from.rank() || !from.shape.iter().eq(squeezed(&ty.shape)) {
                    return Ok(Step::Keep);
                }
                let axes = squeezed_axes(&ty.shape).into_iter().map(|axis| axes[axis]).collect();
                Ok(becomes(Broadcast { shape: shape.clone(), axes }, vec![source]))
            }
            _ => Ok(Step::Keep),
        }
    }

    pub(super) fn slice(&self, slice: &Slice, x: Value) -> Step {
        let ty = self.ty(x);
        let whole = (0..ty.rank())
            .all(|axis| slice.start[axis].is(0) && slice.limit[axis] == ty.shape[axis] && slice.stride[axis] == 1);
        if whole { Step::Is(x) } else { Step::Keep }
    }

    pub(super) fn pad(&self, pad: &Pad, operands: &[Value]) -> Step {
        let nothing = pad.low.iter().chain(&pad.high).chain(&pad.interior).all(|&count| count == 0);
        if nothing { Step::Is(operands[0]) } else { Step::Keep }
    }

    pub(super) fn reverse(&self, reverse: &Reverse, x: Value) -> Step {
        let shape = &self.ty(x).shape;
        let axes: Vec<usize> = reverse.axes.iter().copied().filter(|&axis| !shape[axis].is(1)).collect();
        if axes.is_empty() {
            return Step::Is(x);
        }
        if let Op::Reverse(inner) = self.op(x) {
            let axes = (0..shape.len()).filter(|axis| axes.contains(axis) != inner.axes.contains(axis)).collect();
            return becomes(Reverse { axes }, vec![self.operand(x)]);
        }
        if axes.len() < reverse.axes.len() { becomes(Reverse { axes }, vec![x]) } else { Step::Keep }
    }

    pub(super) fn reduce(&self, reduce: &Reduce, x: Value) -> Step {
        let shape = &self.ty(x).shape;
        // a sum of one element is 0 + x, which is not x for -0
        let exact = matches!(reduce.kind, Reduction::Max | Reduction::Min | Reduction::Product);
        if reduce.axes.is_empty() {
            Step::Is(x)
        } else if exact && reduce.axes.iter().all(|&axis| shape[axis].is(1)) {
            let kept = (0..shape.len()).filter(|axis| !reduce.axes.contains(axis)).map(|axis| shape[axis].clone());
            becomes(Reshape { shape: kept.collect() }, vec![x])
        } else {
            Step::Keep
        }
    }
}
