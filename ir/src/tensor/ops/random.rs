//! Random bits.

use super::{Backward, Cotangents, Operation, one_tensor};
use crate::tensor::{Builder, Type, TypeError};
use kc_abi::{DType, Dim, TensorType};
use serde::{Deserialize, Serialize};

/// Uniform random bits `u32[shape]` from a key `u32[2]`: the same bits as `jax.random.bits` with
/// `jax_threefry_partitionable`: element `i` (row-major) is the exclusive or of the two words of
/// threefry2x32 (20 rounds) with that key on the counter `(i >> 32, i & 0xffffffff)`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomBits {
    /// The result's shape.
    pub shape: Vec<Dim>,
}

impl Operation for RandomBits {
    fn name(&self) -> &'static str {
        "random_bits"
    }
    fn infer(&self, operands: &[&Type]) -> Result<Type, TypeError> {
        let key = one_tensor("random_bits", operands)?;
        super::extents("random_bits", &self.shape)?;
        let expected = TensorType::new(DType::U32, [2i64]);
        if *key != expected {
            return Err(TypeError::new("random_bits", format!("the key is {key}, expected {expected}")));
        }
        Ok(Type::Tensor(TensorType { dtype: DType::U32, shape: self.shape.clone() }))
    }
    fn gradient(&self, _: &mut Builder, at: &Backward<'_>) -> Result<Cotangents, TypeError> {
        Ok(at.none())
    }
}
