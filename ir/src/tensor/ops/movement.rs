//! Ops that move elements and compute nothing.

use super::{
    Backward, Binary, Cotangents, Operation, Reduction, ascending_axes, axis, one_per_axis, one_tensor, permutation,
    tensor,
};
use crate::tensor::interpret::{Array, Data, Evaluation, strides};
use crate::tensor::{Builder, Literal, Type, TypeError, Value};
use kc_abi::{Dim, TensorType};
use serde::{Deserialize, Serialize};

fn with_shape(ty: &TensorType, shape: Vec<Dim>) -> Type {
    Type::Tensor(TensorType { dtype: ty.dtype, shape })
}

/// `result[i...] = operand[i[axes[0]], i[axes[1]], ...]`, where unit extents of the operand are repeated.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Broadcast {
    /// The result's shape.
    pub shape: Vec<Dim>,
    /// For each axis of the operand its axis in the result, ascending.
    pub axes: Vec<usize>,
}

impl Operation for Broadcast {
    fn name(&self) -> &'static str {
        "broadcast"
    }
    fn infer(&self, operands: &[&Type]) -> Result<Type, TypeError> {
        let ty = one_tensor("broadcast", operands)?;
        super::extents("broadcast", &self.shape)?;
        one_per_axis("broadcast", "axes", self.axes.len(), ty.rank())?;
        ascending_axes("broadcast", &self.axes, self.shape.len())?;
        for (i, &a) in self.axes.iter().enumerate() {
            if !ty.shape[i].is(1) && ty.shape[i] != self.shape[a] {
                return Err(TypeError::new(
                    "broadcast",
                    format!("axis {i} of {ty} has extent {}, expected 1 or {}", ty.shape[i], self.shape[a]),
                ));
            }
        }
        Ok(with_shape(ty, self.shape.clone()))
    }
    /// The sum over what was repeated.
    fn gradient(&self, b: &mut Builder, at: &Backward<'_>) -> Result<Cotangents, TypeError> {
        let shape = b.tensor_type(at.operands[0]).shape.clone();
        let repeated = |axis: usize| match self.axes.iter().position(|&a| a == axis) {
            Some(i) => shape[i] != self.shape[axis],
            None => true,
        };
        let axes: Vec<usize> = (0..self.shape.len()).filter(|&axis| repeated(axis)).collect();
        let sum = b.reduce(Reduction::Sum, &axes, at.cotangent("broadcast")?)?;
        Ok(vec![Some(b.reshape(sum, &shape)?)])
    }
    fn evaluate(&self, at: &Evaluation<'_>) -> Result<Vec<Array>, String> {
        let x = &at.operands[0];
        let own = strides(x.shape());
        let mut steps = vec![0; at.shape().len()];
        for (i, &axis) in self.axes.iter().enumerate() {
            steps[axis] = if x.shape()[i] == at.shape()[axis] { own[i] } else { 0 };
        }
        Ok(vec![x.view(at.shape(), 0, &steps)?])
    }
}

/// The same elements in row-major order in another shape.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reshape {
    /// The result's shape.
    pub shape: Vec<Dim>,
}

impl Operation for Reshape {
    fn name(&self) -> &'static str {
        "reshape"
    }
    fn infer(&self, operands: &[&Type]) -> Result<Type, TypeError> {
        let ty = one_tensor("reshape", operands)?;
        super::extents("reshape", &self.shape)?;
        // the product of sums has as many terms as the product of their numbers
        let terms =
            |shape: &[Dim]| shape.iter().map(|dim| dim.terms().len().max(1)).try_fold(1usize, usize::checked_mul);
        if [&self.shape, &ty.shape].into_iter().any(|shape| terms(shape).is_none_or(|terms| terms > 1024)) {
            return Err(TypeError::new("reshape", format!("the extents of {ty} or of the result are too complex")));
        }
        let elements: Dim = self.shape.iter().cloned().product();
        if elements != ty.elements() {
            let result = TensorType { dtype: ty.dtype, shape: self.shape.clone() };
            return Err(TypeError::new(
                "reshape",
                format!("{ty} has {} elements, {result} has {elements}", ty.elements()),
            ));
        }
        Ok(with_shape(ty, self.shape.clone()))
    }
    fn gradient(&self, b: &mut Builder, at: &Backward<'_>) -> Result<Cotangents, TypeError> {
        let shape = b.tensor_type(at.operands[0]).shape.clone();
        Ok(vec![Some(b.reshape(at.cotangent("reshape")?, &shape)?)])
    }
    fn evaluate(&self, at: &Evaluation<'_>) -> Result<Vec<Array>, String> {
        Ok(vec![at.operands[0].with_shape(at.shape().to_vec())?])
    }
}

/// `result.shape[i] = operand.shape[permutation[i]]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transpose {
    /// For each axis of the result its axis in the operand.
    pub permutation: Vec<usize>,
}

impl Operation for Transpose {
    fn name(&self) -> &'static str {
        "transpose"
    }
    fn infer(&self, operands: &[&Type]) -> Result<Type, TypeError> {
        let ty = one_tensor("transpose", operands)?;
        permutation("transpose", &self.permutation, ty.rank())?;
        Ok(with_shape(ty, self.permutation.iter().map(|&a| ty.shape[a].clone()).collect()))
    }
    /// The inverse permutation.
    fn gradient(&self, b: &mut Builder, at: &Backward<'_>) -> Result<Cotangents, TypeError> {
        let mut inverse = vec![0; self.permutation.len()];
        self.permutation.iter().enumerate().for_each(|(i, &a)| inverse[a] = i);
        Ok(vec![Some(b.transpose(at.cotangent("transpose")?, &inverse)?)])
    }
    fn evaluate(&self, at: &Evaluation<'_>) -> Result<Vec<Array>, String> {
        Ok(vec![at.operands[0].transposed(&self.permutation)?])
    }
}

/// `result[i] = operand[start + i*stride]` on each axis, up to and without `limit`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slice {
    /// First position on each axis.
    pub start: Vec<Dim>,
    /// End position on each axis.
    pub limit: Vec<Dim>,
    /// Step on each axis, at least 1.
    pub stride: Vec<i64>,
}

impl Operation for Slice {
    fn name(&self) -> &'static str {
        "slice"
    }
    fn infer(&self, operands: &[&Type]) -> Result<Type, TypeError> {
        let ty = one_tensor("slice", operands)?;
        for (what, given) in [("start", self.start.len()), ("limit", self.limit.len()), ("stride", self.stride.len())] {
            one_per_axis("slice", what, given, ty.rank())?;
        }
        let mut shape = Vec::with_capacity(ty.rank());
        for i in 0..ty.rank() {
            let (start, limit, stride) = (&self.start[i], &self.limit[i], self.stride[i]);
            let extent = limit.clone() - start.clone();
            let bad = stride < 1
                || start.as_constant().is_some_and(|s| s < 0)
                || extent.as_constant().is_some_and(|e| e < 0)
                || (ty.shape[i].clone() - limit.clone()).as_constant().is_some_and(|rest| rest < 0);
            if bad {
                return Err(TypeError::new(
                    "slice",
                    format!("{start}..{limit} step {stride} does not lie in axis {i} of {ty}"),
                ));
            }
            shape.push(extent.ceil_div(stride));
        }
        Ok(with_shape(ty, shape))
    }
    /// Zeros around and between the elements.
    fn gradient(&self, b: &mut Builder, at: &Backward<'_>) -> Result<Cotangents, TypeError> {
        let g = at.cotangent("slice")?;
        let (ty, taken) = (b.tensor_type(at.operands[0]).clone(), b.tensor_type(g).shape.clone());
        let interior: Vec<i64> = self.stride.iter().map(|stride| stride - 1).collect();
        let ends: Vec<(Dim, Dim)> = (0..ty.rank())
            .map(|i| {
                let end = self.start[i].clone() + padded("slice", &taken[i], 0, 0, interior[i])?;
                Ok((self.start[i].clone(), ty.shape[i].clone() - end))
            })
            .collect::<Result<_, TypeError>>()?;
        let known: Option<Vec<(i64, i64)>> =
            ends.iter().map(|(low, high)| Some((low.as_constant()?, high.as_constant()?))).collect();
        if let Some(known) = known {
            let (low, high) = known.into_iter().unzip();
            let zero = b.constant(Literal::scalar(ty.dtype, 0.0))?;
            return Ok(vec![Some(b.add(Pad { low, high, interior }, &[g, zero])?)]);
        }
        // a padding that is a symbol's is made of blocks of zeros
        let mut sum = g;
        if interior.iter().any(|&interior| interior != 0) {
            let zero = b.constant(Literal::scalar(ty.dtype, 0.0))?;
            let none = vec![0; interior.len()];
            sum = b.add(Pad { low: none.clone(), high: none, interior }, &[g, zero])?;
        }
        for (i, (low, high)) in ends.into_iter().enumerate() {
            let (before, after) = (zeros_along(b, sum, i, low)?, zeros_along(b, sum, i, high)?);
            sum = b.add(Concatenate { axis: i }, &[before, sum, after])?;
        }
        Ok(vec![Some(sum)])
    }
    fn evaluate(&self, at: &Evaluation<'_>) -> Result<Vec<Array>, String> {
        let x = &at.operands[0];
        let own = strides(x.shape());
        let mut offset = 0;
        for (axis, start) in self.start.iter().enumerate() {
            let (start, limit) = (at.symbols.dim(start)?, at.symbols.dim(&self.limit[axis])?);
            if start < 0 || limit > x.shape()[axis] as i64 {
                return Err(format!("{start}..{limit} does not lie in axis {axis} of extent {}", x.shape()[axis]));
            }
            offset += start * own[axis];
        }
        let steps: Vec<i64> = own.iter().zip(&self.stride).map(|(own, stride)| own * stride).collect();
        Ok(vec![x.view(at.shape(), offset, &steps)?])
    }
}

/// Padding with a scalar: operands are the tensor and the scalar. Negative `low` and `high` crop.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pad {
    /// Elements before the first, on each axis.
    pub low: Vec<i64>,
    /// Elements after the last, on each axis.
    pub high: Vec<i64>,
    /// Elements between two neighbours, on each axis, at least 0.
    pub interior: Vec<i64>,
}

impl Operation for Pad {
    fn name(&self) -> &'static str {
        "pad"
    }
    fn infer(&self, operands: &[&Type]) -> Result<Type, TypeError> {
        super::arity("pad", operands, 2)?;
        let (ty, value) = (tensor("pad", operands, 0)?, tensor("pad", operands, 1)?);
        if *value != TensorType::scalar(ty.dtype) {
            return Err(TypeError::new("pad", format!("the value is {value}, expected {}[]", ty.dtype)));
        }
        for (what, given) in [("low", &self.low), ("high", &self.high), ("interior", &self.interior)] {
            one_per_axis("pad", what, given.len(), ty.rank())?;
        }
        if self.interior.iter().any(|&i| i < 0) {
            return Err(TypeError::new("pad", format!("interior {:?} must not be negative", self.interior)));
        }
        let shape = (0..ty.rank())
            .map(|i| padded("pad", &ty.shape[i], self.low[i], self.high[i], self.interior[i]))
            .collect::<Result<Vec<_>, _>>()?;
        if let Some(axis) = shape.iter().position(|dim| dim.as_constant().is_some_and(|extent| extent < 0)) {
            return Err(TypeError::new("pad", format!("axis {axis} of {ty} becomes {} long", shape[axis])));
        }
        Ok(with_shape(ty, shape))
    }
    /// The elements taken back; the scalar's cotangent is the sum of the others.
    fn gradient(&self, b: &mut Builder, at: &Backward<'_>) -> Result<Cotangents, TypeError> {
        let g = at.cotangent("pad")?;
        let shape = b.tensor_type(at.operands[0]).shape.clone();
        let positive = |values: &[i64]| values.iter().map(|&value| value.max(0)).collect::<Vec<i64>>();
        let negative = |values: &[i64]| values.iter().map(|&value| (-value).max(0)).collect::<Vec<i64>>();
        let zero = b.constant(Literal::scalar(b.tensor_type(g).dtype, 0.0))?;
        let cropped = Pad { low: negative(&self.low), high: negative(&self.high), interior: vec![0; shape.len()] };
        let uncropped =
            if cropped.low.iter().chain(&cropped.high).all(|&n| n == 0) { g } else { b.add(cropped, &[g, zero])? };
        let start: Vec<Dim> = positive(&self.low).into_iter().map(Dim::constant).collect();
        let limit = (0..shape.len())
            .map(|i| Ok(start[i].clone() + padded("pad", &shape[i], 0, 0, self.interior[i])?))
            .collect::<Result<Vec<Dim>, TypeError>>()?;
        let stride = self.interior.iter().map(|interior| interior + 1).collect();
        let taken = b.add(Slice { start, limit, stride }, &[uncropped])?;
        let by_value = if at.wanted[1] {
            let axes: Vec<usize> = (0..shape.len()).collect();
            let (all, inside) = (b.reduce(Reduction::Sum, &axes, g)?, b.reduce(Reduction::Sum, &axes, taken)?);
            Some(b.binary(Binary::Subtract, all, inside)?)
        } else {
            None
        };
        Ok(vec![Some(taken), by_value])
    }
    fn evaluate(&self, at: &Evaluation<'_>) -> Result<Vec<Array>, String> {
        let (x, value) = (&at.operands[0], at.operands[1].get(0));
        let mut values = vec![value; at.shape().iter().product()];
        let target = strides(at.shape());
        let mut index = vec![0usize; x.shape().len()];
        for i in 0..x.elements() {
            let mut rest = i;
            for axis in (0..index.len()).rev() {
                (index[axis], rest) = (rest % x.shape()[axis], rest / x.shape()[axis]);
            }
            let place = |axis: usize| self.low[axis] + index[axis] as i64 * (self.interior[axis] + 1);
            if (0..index.len()).all(|axis| (0..at.shape()[axis] as i64).contains(&place(axis))) {
                values[(0..index.len()).map(|axis| place(axis) * target[axis]).sum::<i64>() as usize] = x.get(i);
            }
        }
        at.result(Data::collect(x.dtype().is_float(), values.into_iter()))
    }
}

/// Paddings and dilations stay below this, so that sums and products of a few of them cannot overflow.
pub(crate) const LARGEST_STEP: i64 = 1 << 31;

/// Checks that attributes which positions are computed from are of sensible size.
pub(crate) fn sensible<'a>(op: &str, what: &str, values: impl IntoIterator<Item = &'a i64>) -> Result<(), TypeError> {
    match values.into_iter().find(|value| value.unsigned_abs() >= LARGEST_STEP as u64) {
        Some(value) => Err(TypeError::new(op, format!("`{what}` has {value}, expected less than {LARGEST_STEP}"))),
        None => Ok(()),
    }
}

/// The extent of an axis after padding.
pub(crate) fn padded(op: &str, extent: &Dim, low: i64, high: i64, interior: i64) -> Result<Dim, TypeError> {
    sensible(op, "padding", &[low, high, interior])?;
    let spread = match extent.as_constant() {
        Some(0) => Dim::constant(0),
        _ => extent.clone() * Dim::constant(interior + 1) - Dim::constant(interior),
    };
    Ok(spread + Dim::constant(low + high))
}

/// Zeros of the shape of a value but for the extent of an axis.
fn zeros_along(b: &mut Builder, like: Value, axis: usize, extent: Dim) -> Result<Value, TypeError> {
    let TensorType { dtype, mut shape } = b.tensor_type(like).clone();
    shape[axis] = extent;
    b.splat(dtype, 0.0, &shape)
}

/// What a value must be padded with, by zeros, for `interior` zeros between neighbours, `low` before and `high` behind them. What is
/// not known of it is added here, as blocks of zeros.
pub(super) fn known_zeros(
    b: &mut Builder,
    x: Value,
    interior: Vec<i64>,
    low: &[Dim],
    high: &[Dim],
) -> Result<(Value, Pad), TypeError> {
    let known = |ends: &[Dim]| ends.iter().map(|end| end.as_constant().unwrap_or(0)).collect::<Vec<_>>();
    let rest = Pad { low: known(low), high: known(high), interior };
    if low.iter().chain(high).all(|end| end.as_constant().is_some()) {
        return Ok((x, rest));
    }
    let none = vec![0; low.len()];
    let zero = b.constant(Literal::scalar(b.tensor_type(x).dtype, 0.0))?;
    let spread = Pad { low: none.clone(), high: none.clone(), interior: rest.interior };
    let mut x = b.add(spread, &[x, zero])?;
    for axis in 0..low.len() {
        if low[axis].as_constant().is_none() {
            let zeros = zeros_along(b, x, axis, low[axis].clone())?;
            x = b.add(Concatenate { axis }, &[zeros, x])?;
        }
        if high[axis].as_constant().is_none() {
            let zeros = zeros_along(b, x, axis, high[axis].clone())?;
            x = b.add(Concatenate { axis }, &[x, zeros])?;
        }
    }
    Ok((x, Pad { interior: none, ..rest }))
}

/// The elements in reversed order along the axes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reverse {
    /// The reversed axes, ascending.
    pub axes: Vec<usize>,
}

impl Operation for Reverse {
    fn name(&self) -> &'static str {
        "reverse"
    }
    fn infer(&self, operands: &[&Type]) -> Result<Type, TypeError> {
        let ty = one_tensor("reverse", operands)?;
        ascending_axes("reverse", &self.axes, ty.rank())?;
        Ok(Type::Tensor(ty.clone()))
    }
    fn gradient(&self, b: &mut Builder, at: &Backward<'_>) -> Result<Cotangents, TypeError> {
        Ok(vec![Some(b.add(self.clone(), &[at.cotangent("reverse")?])?)])
    }
    fn evaluate(&self, at: &Evaluation<'_>) -> Result<Vec<Array>, String> {
        let x = &at.operands[0];
        let mut steps = strides(x.shape());
        let mut offset = 0;
        for &axis in &self.axes {
            offset += steps[axis] * (x.shape()[axis] as i64 - 1).max(0);
            steps[axis] = -steps[axis];
        }
        Ok(vec![x.view(at.shape(), offset, &steps)?])
    }
}

/// The operands, one or more, side by side along an axis.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Concatenate {
    /// The axis along which they are laid.
    pub axis: usize,
}

impl Operation for Concatenate {
    fn name(&self) -> &'static str {
        "concatenate"
    }
    fn infer(&self, operands: &[&Type]) -> Result<Type, TypeError> {
        let first = tensor("concatenate", operands, 0)?;
        axis("concatenate", self.axis, first.rank())?;
        let mut shape = first.shape.clone();
        for position in 1..operands.len() {
            let ty = tensor("concatenate", operands, position)?;
            let agrees = ty.dtype == first.dtype
                && ty.rank() == first.rank()
                && (0..ty.rank()).all(|i| i == self.axis || ty.shape[i] == first.shape[i]);
            if !agrees {
                return Err(TypeError::new(
                    "concatenate",
                    format!("{first} and {ty} differ outside of axis {}", self.axis),
                ));
            }
            shape[self.axis] = shape[self.axis].clone() + ty.shape[self.axis].clone();
        }
        Ok(with_shape(first, shape))
    }
    /// Each operand's part.
    fn gradient(&self, b: &mut Builder, at: &Backward<'_>) -> Result<Cotangents, TypeError> {
        let g = at.cotangent("concatenate")?;
        let shape = b.tensor_type(g).shape.clone();
        let mut position = Dim::constant(0);
        let mut cotangents = Vec::with_capacity(at.operands.len());
        for &operand in at.operands {
            let (mut start, mut limit) = (vec![Dim::constant(0); shape.len()], shape.clone());
            start[self.axis] = position.clone();
            position = position + b.tensor_type(operand).shape[self.axis].clone();
            limit[self.axis] = position.clone();
            cotangents.push(Some(b.add(Slice { start, limit, stride: vec![1; shape.len()] }, &[g])?));
        }
        Ok(cotangents)
    }
    fn evaluate(&self, at: &Evaluation<'_>) -> Result<Vec<Array>, String> {
        let outer: usize = at.shape()[..self.axis].iter().product();
        let mut values = Vec::with_capacity(at.shape().iter().product());
        for i in 0..outer {
            for x in at.operands {
                let block: usize = x.shape()[self.axis..].iter().product();
                values.extend((i * block..(i + 1) * block).map(|position| x.get(position)));
            }
        }
        at.result(Data::collect(at.operands[0].dtype().is_float(), values.into_iter()))
    }
}
