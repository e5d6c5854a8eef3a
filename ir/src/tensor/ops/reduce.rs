//! Reductions over axes.

use super::{Backward, Cotangents, Operation, ascending_axes, axis, one_tensor};
use crate::tensor::{Builder, Type, TypeError, express};
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
}
