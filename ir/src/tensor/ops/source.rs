//! Ops without operands.

use super::{Backward, Cotangents, Operation};
use crate::tensor::{Builder, Literal, Type, TypeError};
use kc_abi::{DType, Dim, TensorType};
use serde::{Deserialize, Serialize};

/// The graph's argument of that index.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// Position in [`Graph::parameters`](crate::tensor::Graph::parameters).
    pub index: usize,
    /// For people.
    pub name: String,
    /// Dtype and shape.
    pub ty: TensorType,
}

impl Operation for Parameter {
    fn name(&self) -> &'static str {
        "parameter"
    }
    fn infer(&self, operands: &[&Type]) -> Result<Type, TypeError> {
        super::arity("parameter", operands, 0)?;
        super::extents("parameter", &self.ty.shape)?;
        Ok(Type::Tensor(self.ty.clone()))
    }
    fn gradient(&self, _: &mut Builder, at: &Backward<'_>) -> Result<Cotangents, TypeError> {
        Ok(at.none())
    }
}

/// A tensor known at compile time. Large splats are a scalar constant and a broadcast.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Constant {
    /// The tensor.
    pub value: Literal,
}

impl Operation for Constant {
    fn name(&self) -> &'static str {
        "constant"
    }
    fn infer(&self, operands: &[&Type]) -> Result<Type, TypeError> {
        super::arity("constant", operands, 0)?;
        Ok(Type::Tensor(self.value.ty()))
    }
    fn gradient(&self, _: &mut Builder, at: &Backward<'_>) -> Result<Cotangents, TypeError> {
        Ok(at.none())
    }
}

/// `result[i0, i1, ...] = i[axis]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Iota {
    /// Dtype (not bool) and shape of the result.
    pub ty: TensorType,
    /// The axis that is counted.
    pub axis: usize,
}

impl Operation for Iota {
    fn name(&self) -> &'static str {
        "iota"
    }
    fn infer(&self, operands: &[&Type]) -> Result<Type, TypeError> {
        super::arity("iota", operands, 0)?;
        super::extents("iota", &self.ty.shape)?;
        super::axis("iota", self.axis, self.ty.rank())?;
        if self.ty.dtype == DType::Bool {
            return Err(TypeError::new("iota", "positions cannot be bool"));
        }
        Ok(Type::Tensor(self.ty.clone()))
    }
    fn gradient(&self, _: &mut Builder, at: &Backward<'_>) -> Result<Cotangents, TypeError> {
        Ok(at.none())
    }
}

/// The value of a dimension, such as the batch size, as a scalar.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dimension {
    /// The dimension; its symbols occur in the parameters' shapes.
    pub dim: Dim,
    /// The result's dtype, not bool; a float is rounded to nearest.
    pub dtype: DType,
}

impl Operation for Dimension {
    fn name(&self) -> &'static str {
        "dimension"
    }
    fn infer(&self, operands: &[&Type]) -> Result<Type, TypeError> {
        super::arity("dimension", operands, 0)?;
        if self.dtype == DType::Bool {
            return Err(TypeError::new("dimension", "an extent cannot be bool, expected a number type"));
        }
        Ok(Type::Tensor(TensorType::scalar(self.dtype)))
    }
    fn gradient(&self, _: &mut Builder, at: &Backward<'_>) -> Result<Cotangents, TypeError> {
        Ok(at.none())
    }
}
