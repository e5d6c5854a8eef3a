//! Reductions over axes.

use super::{Backward, Binary, Compare, Cotangents, Operation, ascending_axes, axis, one_tensor};
use crate::tensor::interpret::{Array, Data, Evaluation, positions, strides};
use crate::tensor::{Builder, Type, TypeError, express, integer_range};
use kc_abi::{DType, TensorType};
use serde::{Deserialize, Serialize};

/// An associative function with a neutral element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reduction {
    /// The sum, 0 of nothing.
    Sum,
    /// The product, 1 of nothing.
    Product,
    /// The largest (NaN if there is one); the smallest value of the dtype of nothing.
    Max,
    /// The smallest (NaN if there is one); the largest value of the dtype of nothing.
    Min,
}

impl Reduction {
    /// The result for no floats.
    pub fn neutral_float(self) -> f64 {
        match self {
            Reduction::Sum => 0.0,
            Reduction::Product => 1.0,
            Reduction::Max => f64::NEG_INFINITY,
            Reduction::Min => f64::INFINITY,
        }
    }

    /// The result for no integers (or bools).
    pub fn neutral_int(self, dtype: DType) -> i128 {
        match self {
            Reduction::Sum => 0,
            Reduction::Product => 1,
            Reduction::Max => integer_range(dtype).0,
            Reduction::Min => integer_range(dtype).1,
        }
    }

    /// Two floats combined, not rounded.
    pub fn floats(self, a: f64, b: f64) -> f64 {
        match self {
            Reduction::Sum => a + b,
            Reduction::Product => a * b,
            Reduction::Max => Binary::Maximum.of_float(a, b),
            Reduction::Min => Binary::Minimum.of_float(a, b),
        }
    }

    /// Two integers combined, modulo 2^128.
    pub fn ints(self, a: i128, b: i128) -> i128 {
        match self {
            Reduction::Sum => a.wrapping_add(b),
            Reduction::Product => a.wrapping_mul(b),
            Reduction::Max => a.max(b),
            Reduction::Min => a.min(b),
        }
    }
}

fn without(ty: &TensorType, dtype: DType, axes: &[usize]) -> Type {
    let shape = ty.shape.iter().enumerate().filter(|(i, _)| !axes.contains(i)).map(|(_, dim)| dim.clone()).collect();
    Type::Tensor(TensorType { dtype, shape })
}

/// Reduces over axes, which the result does not have. Of bools `max` is "any" and `min` is "all".
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reduce {
    /// How elements are combined.
    pub kind: Reduction,
    /// The reduced axes, ascending.
    pub axes: Vec<usize>,
}

impl Operation for Reduce {
    fn name(&self) -> &'static str {
        "reduce"
    }
    fn infer(&self, operands: &[&Type]) -> Result<Type, TypeError> {
        let ty = one_tensor("reduce", operands)?;
        ascending_axes("reduce", &self.axes, ty.rank())?;
        if ty.dtype == DType::Bool && matches!(self.kind, Reduction::Sum | Reduction::Product) {
            return Err(TypeError::new("reduce", format!("{ty} has no sum or product, expected a number type")));
        }
        Ok(without(ty, ty.dtype, &self.axes))
    }
    /// Of a sum the cotangent for each element; of an extremum in equal shares for those that are equal to it; of a product times
    /// the product of the other elements.
    fn gradient(&self, b: &mut Builder, at: &Backward<'_>) -> Result<Cotangents, TypeError> {
        let g = at.cotangent("reduce")?;
        let cotangent = express(b, |scope| {
            let [x, y, g] = [at.operands[0], at.results[0], g].map(|value| scope.tensor(value));
            let shape = x.shape();
            let [y, g] = [y, g].map(|reduced| reduced.broadcast_along(&shape, &self.axes));
            let cotangent = match self.kind {
                Reduction::Sum => g,
                Reduction::Max | Reduction::Min => {
                    let hit = x.equal(y).convert(x.ty().dtype);
                    g * hit / hit.sum_keep(&self.axes)
                }
                Reduction::Product => {
                    let is_zero = x.equal(0.0);
                    let zeros = is_zero.convert(x.ty().dtype).sum_keep(&self.axes);
                    let nonzero = is_zero.select(x.number(1.0), x);
                    let product = nonzero.reduce(Reduction::Product, &self.axes).broadcast_along(&shape, &self.axes);
                    // the others' product is not 0 where there is no zero, or where this is the only one
                    let alone =
                        is_zero.select(zeros.equal(1.0).convert(x.ty().dtype), zeros.equal(0.0).convert(x.ty().dtype));
                    g * (product / nonzero) * alone
                }
            };
            cotangent.value()
        });
        Ok(vec![Some(cotangent?)])
    }
    fn evaluate(&self, at: &Evaluation<'_>) -> Result<Vec<Array>, String> {
        let x = &at.operands[0];
        let mut steps = strides(at.shape());
        // reduced axes do not move the position in the result
        self.axes.iter().for_each(|&axis| steps.insert(axis, 0));
        let target = positions(x.shape(), 0, &steps);
        let elements: usize = at.shape().iter().product();
        let data = match x.data() {
            Data::Float(values) => {
                let mut sums = vec![self.kind.neutral_float(); elements];
                target.zip(values).for_each(|(i, &x)| sums[i as usize] = self.kind.floats(sums[i as usize], x));
                Data::Float(sums)
            }
            Data::Int(values) => {
                let mut sums = vec![self.kind.neutral_int(x.dtype()); elements];
                target.zip(values).for_each(|(i, &x)| sums[i as usize] = self.kind.ints(sums[i as usize], x));
                Data::Int(sums)
            }
        };
        at.result(data)
    }
}

/// Which extremum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Extremum {
    /// The largest.
    Max,
    /// The smallest.
    Min,
}

/// The position along an axis of the first largest or smallest element; a NaN counts as the extremum.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArgReduce {
    /// Which extremum.
    pub kind: Extremum,
    /// The reduced axis, which the result does not have.
    pub axis: usize,
    /// The result's dtype, an integer.
    pub dtype: DType,
}

impl Operation for ArgReduce {
    fn name(&self) -> &'static str {
        "arg_reduce"
    }
    fn infer(&self, operands: &[&Type]) -> Result<Type, TypeError> {
        let ty = one_tensor("arg_reduce", operands)?;
        axis("arg_reduce", self.axis, ty.rank())?;
        if !self.dtype.is_integer() {
            return Err(TypeError::new(
                "arg_reduce",
                format!("positions cannot be {}, expected an integer type", self.dtype),
            ));
        }
        Ok(without(ty, self.dtype, &[self.axis]))
    }
    fn gradient(&self, _: &mut Builder, at: &Backward<'_>) -> Result<Cotangents, TypeError> {
        Ok(at.none())
    }
    fn evaluate(&self, at: &Evaluation<'_>) -> Result<Vec<Array>, String> {
        let x = &at.operands[0];
        let own = strides(x.shape());
        let (extent, step) = (x.shape()[self.axis], own[self.axis]);
        if extent == 0 && !at.shape().contains(&0) {
            return Err("an axis without elements has no largest one".into());
        }
        let mut steps = own;
        steps.remove(self.axis);
        let best = positions(at.shape(), 0, &steps).map(|first| {
            let at = |i: usize| x.get((first + i as i64 * step) as usize);
            let is_nan = |i: usize| at(i).to_f64().is_nan();
            let better = |i: usize, best: usize| {
                !is_nan(best)
                    && (is_nan(i)
                        || match self.kind {
                            Extremum::Max => Compare::Greater.holds(at(i), at(best)),
                            Extremum::Min => Compare::Less.holds(at(i), at(best)),
                        })
            };
            (1..extent).fold(0, |best, i| if better(i, best) { i } else { best }) as i128
        });
        at.result(Data::Int(best.collect()))
    }
}
