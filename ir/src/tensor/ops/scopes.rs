//! Regions that say how their derivative is taken.

use super::{Backward, Cotangents, Operation, tensor};
use crate::tensor::interpret::{Array, Evaluation};
use crate::tensor::{Builder, Region, Type, TypeError};
use kc_abi::TensorType;
use serde::{Deserialize, Serialize};

/// Its first operand, once the others are there. No pass takes it for that operand, so what is computed of it is not taken for what is
/// computed of the operand, and is not computed before the others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizationBarrier {}

/// The results of a region of the operands, whose derivative computes the region again instead of keeping what it needs of it
/// (`jax.checkpoint`, `keras.remat`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remat {
    /// What is computed.
    #[serde(skip)]
    pub body: Region,
}

/// The results of a region of the operands, with a derivative of its own (`keras.ops.custom_gradient`). The region `value` gives the
/// results, then residuals; `pullback` takes the residuals, then a cotangent of each result, and gives the cotangents of the
/// `differentiated` first operands. The others have none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomGradient {
    /// Number of results.
    pub results: usize,
    /// Number of operands with cotangents.
    pub differentiated: usize,
    /// The results and what the pullback takes.
    #[serde(skip)]
    pub value: Region,
    /// The cotangents.
    #[serde(skip)]
    pub pullback: Region,
}

fn tuple<'a>(types: impl Iterator<Item = &'a TensorType>) -> Type {
    Type::Tuple(types.cloned().collect())
}

fn tensors<'a>(op: &str, operands: &[&'a Type]) -> Result<Vec<&'a TensorType>, TypeError> {
    (0..operands.len()).map(|position| tensor(op, operands, position)).collect()
}

impl Operation for OptimizationBarrier {
    fn name(&self) -> &'static str {
        "optimization_barrier"
    }
    fn infer(&self, operands: &[&Type]) -> Result<Type, TypeError> {
        match tensors("optimization_barrier", operands)?.first() {
            Some(first) => Ok(Type::Tensor((*first).clone())),
            None => Err(TypeError::new("optimization_barrier", "expected one operand at least, got none")),
        }
    }
    fn gradient(&self, _: &mut Builder, at: &Backward<'_>) -> Result<Cotangents, TypeError> {
        let mut cotangents = at.none();
        cotangents[0] = Some(at.cotangent("optimization_barrier")?);
        Ok(cotangents)
    }
    fn evaluate(&self, at: &Evaluation<'_>) -> Result<Vec<Array>, String> {
        Ok(vec![at.operands[0].clone()])
    }
}

impl Operation for Remat {
    fn name(&self) -> &'static str {
        "remat"
    }
    fn regions(&self) -> Vec<&Region> {
        vec![&self.body]
    }
    fn infer(&self, operands: &[&Type]) -> Result<Type, TypeError> {
        self.body.takes("remat", "body", &tensors("remat", operands)?, &|position| format!("operand {position}"))?;
        Ok(tuple(self.body.result_types()))
    }
    fn gradient(&self, _: &mut Builder, _: &Backward<'_>) -> Result<Cotangents, TypeError> {
        Err(TypeError::new("remat", "its gradient is that of its region, which differentiation builds"))
    }
    fn evaluate(&self, at: &Evaluation<'_>) -> Result<Vec<Array>, String> {
        at.region(&self.body, at.operands)
    }
}

impl Operation for CustomGradient {
    fn name(&self) -> &'static str {
        "custom_gradient"
    }
    fn regions(&self) -> Vec<&Region> {
        vec![&self.value, &self.pullback]
    }
    fn infer(&self, operands: &[&Type]) -> Result<Type, TypeError> {
        let wrong = |message: String| Err(TypeError::new("custom_gradient", message));
        let given = tensors("custom_gradient", operands)?;
        self.value.takes("custom_gradient", "value", &given, &|position| format!("operand {position}"))?;
        let all: Vec<&TensorType> = self.value.result_types().collect();
        let Some((results, residuals)) = all.split_at_checked(self.results) else {
            return wrong(format!("its value gives {} results, expected {} at least", all.len(), self.results));
        };
        let taken: Vec<&TensorType> = residuals.iter().chain(results).copied().collect();
        let what = |position: usize| match position.checked_sub(residuals.len()) {
            None => format!("residual {position}"),
            Some(result) => format!("the cotangent of result {result}"),
        };
        self.pullback.takes("custom_gradient", "pullback", &taken, &what)?;
        let cotangents: Vec<&TensorType> = self.pullback.result_types().collect();
        let expected = given.get(..self.differentiated);
        if expected != Some(&cotangents[..]) {
            let expected = tuple(given.iter().copied().take(self.differentiated));
            let cotangents = tuple(cotangents.into_iter());
            return wrong(format!("its pullback gives {cotangents}, expected the types of the operands: {expected}"));
        }
        Ok(tuple(results.iter().copied()))
    }
    fn gradient(&self, _: &mut Builder, _: &Backward<'_>) -> Result<Cotangents, TypeError> {
        Err(TypeError::new("custom_gradient", "its gradient is that of its pullback, which differentiation adds"))
    }
    fn evaluate(&self, at: &Evaluation<'_>) -> Result<Vec<Array>, String> {
        let mut results = at.region(&self.value, at.operands)?;
        results.truncate(self.results);
        Ok(results)
    }
}
