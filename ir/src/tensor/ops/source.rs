//! Ops without operands.

use super::{Backward, Cotangents, Operation};
use crate::tensor::interpret::{Array, Data, Evaluation, positions};
use crate::tensor::{Builder, Literal, Scalar, Type, TypeError};
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
    /// The interpreter binds the graph's arguments itself.
    fn evaluate(&self, _: &Evaluation<'_>) -> Result<Vec<Array>, String> {
        Err("a parameter has no value of its own".into())
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
    fn evaluate(&self, _: &Evaluation<'_>) -> Result<Vec<Array>, String> {
        Ok(vec![Array::from_literal(&self.value)])
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
    fn evaluate(&self, at: &Evaluation<'_>) -> Result<Vec<Array>, String> {
        let mut steps = vec![0; at.shape().len()];
        steps[self.axis] = 1;
        let values = positions(at.shape(), 0, &steps).map(|position| Scalar::Int(position.into()));
        at.result(Data::collect(self.ty.dtype.is_float(), values))
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
    fn evaluate(&self, at: &Evaluation<'_>) -> Result<Vec<Array>, String> {
        let extent = Scalar::Int(at.symbols.dim(&self.dim)?.into());
        at.result(Data::collect(self.dtype.is_float(), std::iter::once(extent)))
    }
}
