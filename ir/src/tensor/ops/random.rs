//! Random bits.

use super::{Backward, Cotangents, Operation, one_tensor};
use crate::tensor::interpret::{Array, Data, Evaluation};
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
    fn evaluate(&self, at: &Evaluation<'_>) -> Result<Vec<Array>, String> {
        let word = |position: usize| at.operands[0].get(position).to_i128() as u32;
        let key = [word(0), word(1)];
        let elements: usize = at.shape().iter().product();
        let bits = (0..elements as u64).map(|i| {
            let [high, low] = threefry2x32(key, [(i >> 32) as u32, i as u32]);
            i128::from(high ^ low)
        });
        at.result(Data::Int(bits.collect()))
    }
}

/// The block function threefry2x32 with 20 rounds (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).
fn threefry2x32(key: [u32; 2], counter: [u32; 2]) -> [u32; 2] {
    const ROTATIONS: [[u32; 4]; 2] = [[13, 15, 26, 6], [17, 29, 16, 24]];
    let keys = [key[0], key[1], key[0] ^ key[1] ^ 0x1BD1_1BDA];
    let [mut x0, mut x1] = [counter[0].wrapping_add(keys[0]), counter[1].wrapping_add(keys[1])];
    for group in 0..5 {
        for rotation in ROTATIONS[group % 2] {
            x0 = x0.wrapping_add(x1);
            x1 = x1.rotate_left(rotation) ^ x0;
        }
        x0 = x0.wrapping_add(keys[(group + 1) % 3]);
        x1 = x1.wrapping_add(keys[(group + 2) % 3]).wrapping_add(group as u32 + 1);
    }
    [x0, x1]
}
