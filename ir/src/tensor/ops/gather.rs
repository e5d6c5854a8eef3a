//! Reading at positions that are data.

use super::indexed::{IndexedWindows, Place};
use super::{Backward, Cotangents, Operation, Scatter, ScatterKind, ScatterMode};
use crate::tensor::interpret::{Array, Data, Evaluation};
use crate::tensor::{Builder, Scalar, Type, TypeError, integer_range};
use kc_abi::{DType, Dim, TensorType};
use serde::{Deserialize, Serialize};

/// What a window reads that does not lie in the operand as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GatherMode {
    /// The nearest window that does. Where the operand has fewer elements than a window: zeros.
    Clip,
    /// Zeros.
    Zero,
    /// NaN; of signed integers the smallest, of unsigned ones the largest value, of bools true (JAX's `fill`).
    Invalid,
}

impl GatherMode {
    /// The element of a window that has no place in the operand.
    pub fn filler(self, dtype: DType) -> Scalar {
        match self {
            GatherMode::Clip | GatherMode::Zero if dtype.is_float() => Scalar::Float(0.0),
            GatherMode::Clip | GatherMode::Zero => Scalar::Int(0),
            GatherMode::Invalid if dtype.is_float() => Scalar::Float(f64::NAN),
            GatherMode::Invalid if dtype.is_signed_integer() => Scalar::Int(integer_range(dtype).0),
            GatherMode::Invalid => Scalar::Int(integer_range(dtype).1),
        }
    }
}

/// Windows of a tensor at positions that are data: operands are the tensor and the indices. No index is an error, whatever its
/// value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gather {
    /// How the windows lie in the operand and in the result.
    pub windows: IndexedWindows,
    /// Extents of a window, one an axis of the operand.
    pub sizes: Vec<Dim>,
    /// What windows read that do not lie in the operand.
    pub mode: GatherMode,
}

impl Operation for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }
    fn infer(&self, operands: &[&Type]) -> Result<Type, TypeError> {
        let (operand, indices) = self.windows.check("gather", operands, 2)?;
        self.windows.check_sizes("gather", operand, &self.sizes)?;
        Ok(Type::Tensor(TensorType { dtype: operand.dtype, shape: self.windows.shape(indices, &self.sizes) }))
    }
    /// The cotangents added up where the elements were read.
    fn gradient(&self, b: &mut Builder, at: &Backward<'_>) -> Result<Cotangents, TypeError> {
        let g = at.cotangent("gather")?;
        let zero = b.splat_like(0.0, at.operands[0])?;
        let mode = match self.mode {
            GatherMode::Clip => ScatterMode::Clip,
            GatherMode::Zero | GatherMode::Invalid => ScatterMode::Drop,
        };
        let add = Scatter { kind: ScatterKind::Add, windows: self.windows.clone(), mode };
        Ok(vec![Some(b.add(add, &[zero, at.operands[1], g])?), None])
    }
    fn evaluate(&self, at: &Evaluation<'_>) -> Result<Vec<Array>, String> {
        let (x, indices) = (&at.operands[0], &at.operands[1]);
        let place = match self.mode {
            GatherMode::Clip => Place::Moved,
            GatherMode::Zero | GatherMode::Invalid => Place::Nowhere,
        };
        let mut values = vec![self.mode.filler(x.dtype()); at.shape().iter().product()];
        self.windows.visit(place, x.shape(), indices, at.shape(), |own, source| {
            if let Some(source) = source {
                values[own] = x.get(source);
            }
        });
        at.result(Data::collect(x.dtype().is_float(), values.into_iter()))
    }
}
