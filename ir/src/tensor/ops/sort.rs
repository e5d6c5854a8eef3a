//! Sorting.

use super::{Backward, Cotangents, Iota, Operation, Slice, axis, one_tensor, tensor};
use crate::library::{self, Extents, LibraryFunction, Part};
use crate::tensor::interpret::{Array, Data, Evaluation, positions, strides};
use crate::tensor::{Builder, Op, Type, TypeError, Value};
use kc_abi::library::MAX_REGIONS;
use kc_abi::{DType, Dim, TensorType};
use serde::{Deserialize, Serialize};

/// Which elements come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The smallest; NaN comes last.
    Ascending,
    /// The largest; NaN comes first.
    Descending,
}

/// Sorts operands of one shape together along an axis: by the first, where that is equal by the second, and so on for `keys` operands;
/// what is equal in all of them keeps its order. -0 is equal to 0 and every NaN to every other, as in `jax.lax.sort`. The result is the
/// sorted operand, or of several the tuple of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sort {
    /// The sorted axis.
    pub axis: usize,
    /// How many operands are compared, at least 1.
    pub keys: usize,
    /// Which elements come first.
    pub direction: Direction,
}

impl Sort {
    /// The order of every line along the axis: for each element of the result the position along the axis that it comes from.
    fn order(&self, at: &Evaluation<'_>) -> Result<Vec<usize>, String> {
        let shape = at.operands[0].shape();
        let n = shape[self.axis];
        let attributes = [i64::from(self.direction == Direction::Descending)];
        order_of_lines(LibraryFunction::Argsort, &attributes, &at.operands[..self.keys], self.axis, n)
    }
}

/// For each line along an axis, in row-major order of the others, the `count` positions that a function of its elements gives.
fn order_of_lines(
    function: LibraryFunction,
    attributes: &[i64],
    keys: &[Array],
    axis: usize,
    count: usize,
) -> Result<Vec<usize>, String> {
    let shape = keys[0].shape();
    let n = shape[axis];
    let mut outer = shape.to_vec();
    outer.remove(axis);
    let own = strides(shape);
    let mut steps = own.clone();
    steps.remove(axis);
    let line =
        |rows: usize, columns: usize, dtype: DType| Extents { dtype, rows: rows as i64, columns: columns as i64 };
    let mut order = Vec::new();
    for start in positions(&outer, 0, &steps) {
        let element = |i: usize| start as usize + i * own[axis] as usize;
        let parts: Vec<Part> = keys
            .iter()
            .map(|key| {
                let data = match key.data() {
                    Data::Float(values) => Data::Float((0..n).map(|i| values[element(i)]).collect()),
                    Data::Int(values) => Data::Int((0..n).map(|i| values[element(i)]).collect()),
                };
                Part { extents: line(1, n, key.dtype()), data }
            })
            .collect();
        match &library::evaluate(function, attributes, &parts, &[line(1, count, DType::U64)])?[..] {
            [Data::Int(found)] => order.extend(found.iter().map(|&position| position as usize)),
            _ => return Err("positions are integers".into()),
        }
    }
    Ok(order)
}

/// The elements of `array` at positions along an axis: `order` has `count` of them for each line.
fn taken(array: &Array, order: &[usize], axis: usize, count: usize) -> Result<Array, String> {
    let shape = array.shape();
    let own = strides(shape);
    let mut result_shape = shape.to_vec();
    result_shape[axis] = count;
    let inner: usize = shape[axis + 1..].iter().product();
    let outer: usize = shape[..axis].iter().product();
    let mut source = Vec::with_capacity(order.len());
    for a in 0..outer {
        for i in 0..count {
            for c in 0..inner {
                let position = order[(a * inner + c) * count + i];
                source.push(a * shape[axis] * inner + position * own[axis] as usize + c);
            }
        }
    }
    let data = match array.data() {
        Data::Float(values) => Data::Float(source.into_iter().map(|i| values[i]).collect()),
        Data::Int(values) => Data::Int(source.into_iter().map(|i| values[i]).collect()),
    };
    Array::new(array.dtype(), result_shape, data)
}

/// Brings values that are in sorted order back to where they come from: `positions` says where that is, along the axis.
fn unsorted(b: &mut Builder, axis: usize, positions: Value, values: &[Value]) -> Result<Vec<Value>, TypeError> {
    let operands: Vec<Value> = [positions].into_iter().chain(values.iter().copied()).collect();
    let sorted = b.add(Sort { axis, keys: 1, direction: Direction::Ascending }, &operands)?;
    Ok(b.projections(sorted)?.split_off(1))
}

impl Operation for Sort {
    fn name(&self) -> &'static str {
        "sort"
    }

    fn infer(&self, operands: &[&Type]) -> Result<Type, TypeError> {
        let first = tensor("sort", operands, 0)?;
        axis("sort", self.axis, first.rank())?;
        if self.keys == 0 || self.keys > operands.len() {
            return Err(TypeError::new(
                "sort",
                format!("got {} operands and {} keys, expected 1 to {0} keys", operands.len(), self.keys),
            ));
        }
        if self.keys >= MAX_REGIONS {
            return Err(TypeError::new("sort", format!("got {} keys, expected less than {MAX_REGIONS}", self.keys)));
        }
        let mut types = Vec::with_capacity(operands.len());
        for position in 0..operands.len() {
            let ty = tensor("sort", operands, position)?;
            if ty.shape != first.shape {
                return Err(TypeError::new("sort", format!("got {first} and {ty}, expected operands of one shape")));
            }
            types.push(ty.clone());
        }
        Ok(match <[TensorType; 1]>::try_from(types) {
            Ok([ty]) => Type::Tensor(ty),
            Err(types) => Type::Tuple(types),
        })
    }

    /// The cotangents in the order of the operands: sorted by the positions that the elements come from.
    fn gradient(&self, b: &mut Builder, at: &Backward<'_>) -> Result<Cotangents, TypeError> {
        let mut cotangents = at.none();
        let given: Vec<(usize, Value)> =
            (0..at.operands.len()).filter(|&i| at.wanted[i]).filter_map(|i| Some((i, at.cotangents[i]?))).collect();
        if given.is_empty() {
            return Ok(cotangents);
        }
        let is_position =
            |value: &Value| matches!(&b.graph().node(*value).op, Op::Iota(iota) if iota.axis == self.axis);
        let own = at.operands.iter().position(is_position).filter(|&i| i >= self.keys);
        let positions = match own {
            Some(own) => at.results[own],
            None => {
                let shape = b.tensor_type(at.operands[0]).shape.clone();
                let numbers = b.add(Iota { ty: TensorType { dtype: DType::I32, shape }, axis: self.axis }, &[])?;
                let operands: Vec<Value> = at.operands[..self.keys].iter().copied().chain([numbers]).collect();
                let sorted = b.add(self.clone(), &operands)?;
                b.projections(sorted)?[self.keys]
            }
        };
        let values: Vec<Value> = given.iter().map(|(_, cotangent)| *cotangent).collect();
        for ((operand, _), cotangent) in given.into_iter().zip(unsorted(b, self.axis, positions, &values)?) {
            cotangents[operand] = Some(cotangent);
        }
        Ok(cotangents)
    }

    fn evaluate(&self, at: &Evaluation<'_>) -> Result<Vec<Array>, String> {
        let order = self.order(at)?;
        let n = at.operands[0].shape()[self.axis];
        at.operands.iter().map(|operand| taken(operand, &order, self.axis, n)).collect()
    }
}

/// The `k` largest elements along the last axis, the largest first, and their positions (i32); of equal elements the first come first, and
/// NaN is larger than all others, as in `jax.lax.top_k`. The result is the tuple of values and positions. The extent of the axis must be
/// known.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopK {
    /// How many elements of a line are taken.
    pub k: usize,
}

impl Operation for TopK {
    fn name(&self) -> &'static str {
        "top_k"
    }

    fn infer(&self, operands: &[&Type]) -> Result<Type, TypeError> {
        let ty = one_tensor("top_k", operands)?;
        let Some(last) = ty.shape.last() else {
            return Err(TypeError::new("top_k", format!("got {ty}, expected at least one axis")));
        };
        match last.as_constant() {
            Some(extent) if extent >= self.k as i64 => {}
            Some(_) => {
                return Err(TypeError::new("top_k", format!("{ty} has no {} elements along its last axis", self.k)));
            }
            None => {
                let message = format!("{ty} is not known to have {} elements along its last axis", self.k);
                return Err(TypeError::new("top_k", message));
            }
        }
        let mut shape = ty.shape.clone();
        shape.pop();
        shape.push(Dim::constant(self.k as i64));
        Ok(Type::Tuple(vec![
            TensorType { dtype: ty.dtype, shape: shape.clone() },
            TensorType { dtype: DType::I32, shape },
        ]))
    }

    /// The cotangent of the values, followed by zeros, in the order of the operand.
    fn gradient(&self, b: &mut Builder, at: &Backward<'_>) -> Result<Cotangents, TypeError> {
        let Some(Some(cotangent)) = at.cotangents.first().copied() else { return Ok(at.none()) };
        let x = at.operands[0];
        let TensorType { dtype, shape } = b.tensor_type(x).clone();
        let axis = shape.len() - 1;
        let numbers = b.add(Iota { ty: TensorType { dtype: DType::I32, shape: shape.clone() }, axis }, &[])?;
        let sorted = b.add(Sort { axis, keys: 1, direction: Direction::Descending }, &[x, numbers])?;
        let positions = b.projections(sorted)?[1];
        let zeros = b.splat(dtype, 0.0, &shape)?;
        let rest = Slice {
            start: (0..=axis).map(|i| Dim::constant(if i == axis { self.k as i64 } else { 0 })).collect(),
            limit: shape.clone(),
            stride: vec![1; axis + 1],
        };
        let rest = b.add(rest, &[zeros])?;
        let whole = b.add(super::Concatenate { axis }, &[cotangent, rest])?;
        Ok(vec![unsorted(b, axis, positions, &[whole])?.pop()])
    }

    fn evaluate(&self, at: &Evaluation<'_>) -> Result<Vec<Array>, String> {
        let x = &at.operands[0];
        let axis = x.shape().len() - 1;
        if x.shape()[axis] < self.k {
            return Err(format!("{} elements have no {} largest ones", x.shape()[axis], self.k));
        }
        let order = order_of_lines(LibraryFunction::Argtop, &[], &at.operands[..1], axis, self.k)?;
        let values = taken(x, &order, axis, self.k)?;
        let positions = Data::Int(order.into_iter().map(|position| position as i128).collect());
        Ok(vec![values.clone(), Array::new(DType::I32, values.shape().to_vec(), positions)?])
    }
}

impl Builder {
    /// The operand in sorted order along an axis.
    pub fn sort(&mut self, x: Value, axis: usize, direction: Direction) -> Result<Value, TypeError> {
        self.add(Sort { axis, keys: 1, direction }, &[x])
    }

    /// The positions along an axis that sort the operand, stable.
    pub fn argsort(&mut self, x: Value, axis: usize, direction: Direction, dtype: DType) -> Result<Value, TypeError> {
        let shape = self.tensor_type(x).shape.clone();
        let positions = self.add(Iota { ty: TensorType { dtype, shape }, axis }, &[])?;
        Ok(self.sort_by(&[x], &[positions], axis, direction)?.swap_remove(0))
    }

    /// Other tensors in the order that sorts the keys, the first key first.
    pub fn sort_by(
        &mut self,
        keys: &[Value],
        others: &[Value],
        axis: usize,
        direction: Direction,
    ) -> Result<Vec<Value>, TypeError> {
        let sorted = self.add(Sort { axis, keys: keys.len(), direction }, &[keys, others].concat())?;
        Ok(self.projections(sorted)?.split_off(keys.len()))
    }

    /// The `k` largest elements along the last axis and their positions.
    pub fn top_k(&mut self, x: Value, k: usize) -> Result<[Value; 2], TypeError> {
        let found = self.add(TopK { k }, &[x])?;
        let both = self.projections(found)?;
        Ok([both[0], both[1]])
    }
}
