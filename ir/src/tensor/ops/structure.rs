//! Ops about the graph itself.

use super::{Backward, Cotangents, Operation, one_tensor, tensor};
use crate::tensor::interpret::{Array, Evaluation};
use crate::tensor::{Builder, Type, TypeError};
use kc_abi::TensorType;
use serde::{Deserialize, Serialize};

/// Derivatives of a scalar: operands are the scalar, then the values to differentiate by; the result is the tuple of the
/// derivatives. Differentiation (a pass) replaces it by the reverse-mode graph; it has no evaluation of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gradient {}

impl Operation for Gradient {
    fn name(&self) -> &'static str {
        "gradient"
    }
    fn infer(&self, operands: &[&Type]) -> Result<Type, TypeError> {
        let of = tensor("gradient", operands, 0)?;
        if of.rank() != 0 || !of.dtype.is_float() {
            return Err(TypeError::new(
                "gradient",
                format!("got {of}, expected a floating-point scalar to differentiate"),
            ));
        }
        let types = (1..operands.len())
            .map(|i| tensor("gradient", operands, i).cloned())
            .collect::<Result<Vec<TensorType>, _>>()?;
        if let Some(ty) = types.iter().find(|ty| !ty.dtype.is_float()) {
            return Err(TypeError::new(
                "gradient",
                format!("cannot differentiate by {ty}, expected a floating-point tensor"),
            ));
        }
        Ok(Type::Tuple(types))
    }
    fn gradient(&self, _: &mut Builder, _: &Backward<'_>) -> Result<Cotangents, TypeError> {
        Err(TypeError::new("gradient", "it must be expanded before it is differentiated itself"))
    }
    fn evaluate(&self, _: &Evaluation<'_>) -> Result<Vec<Array>, String> {
        Err("derivatives have no value of their own, expected a differentiated graph".into())
    }
}

/// The tuple's tensor of that index.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Projection {
    /// Position in the tuple.
    pub index: usize,
}

impl Operation for Projection {
    fn name(&self) -> &'static str {
        "projection"
    }
    fn infer(&self, operands: &[&Type]) -> Result<Type, TypeError> {
        match operands {
            [Type::Tuple(types)] if self.index < types.len() => Ok(Type::Tensor(types[self.index].clone())),
            [Type::Tuple(types)] => {
                Err(TypeError::new("projection", format!("index {} of a tuple of {}", self.index, types.len())))
            }
            _ => {
                let ty = one_tensor("projection", operands)?;
                Err(TypeError::new("projection", format!("got {ty}, expected a tuple")))
            }
        }
    }
    /// Differentiation carries the cotangent to the tuple's slot itself.
    fn gradient(&self, _: &mut Builder, at: &Backward<'_>) -> Result<Cotangents, TypeError> {
        Ok(vec![Some(at.cotangent("projection")?)])
    }
    fn evaluate(&self, at: &Evaluation<'_>) -> Result<Vec<Array>, String> {
        at.operands.get(self.index).cloned().map(|tensor| vec![tensor]).ok_or("the tuple is too short".into())
    }
}

/// Its operand, whose derivative is taken to be zero.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StopGradient {}

impl Operation for StopGradient {
    fn name(&self) -> &'static str {
        "stop_gradient"
    }
    fn infer(&self, operands: &[&Type]) -> Result<Type, TypeError> {
        Ok(Type::Tensor(one_tensor("stop_gradient", operands)?.clone()))
    }
    fn gradient(&self, _: &mut Builder, at: &Backward<'_>) -> Result<Cotangents, TypeError> {
        Ok(at.none())
    }
    fn evaluate(&self, at: &Evaluation<'_>) -> Result<Vec<Array>, String> {
        Ok(vec![at.operands[0].clone()])
    }
}
