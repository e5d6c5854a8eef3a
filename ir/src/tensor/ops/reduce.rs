//! Reductions over axes.

use super::{Operation, ascending_axes, axis, one_tensor};
use crate::tensor::{Type, TypeError};
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
}
