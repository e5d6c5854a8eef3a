//! Random tensors from a key, equal to `jax.random`: bits and uniforms bit for bit.

use crate::{Result, Scope};
use kc_ir::tensor::ops::{Binary, BitcastConvert, Compare, RandomBits, Unary};
use kc_ir::tensor::{Literal, Value};
use kc_ir::{DType, Dim};

/// `[0, 1)` with 23 random bits.
fn unit(scope: &mut Scope, key: Value, shape: &[Dim]) -> Result<Value> {
    let bits = scope.add(RandomBits { shape: shape.to_vec() }, &[key])?;
    let nine = scope.constant(Literal::scalar(DType::U32, 9i64))?;
    let one = scope.constant(Literal::scalar(DType::U32, 0x3f80_0000i64))?;
    let mantissa = scope.binary(Binary::ShiftRight, bits, nine)?;
    let bits = scope.binary(Binary::Or, mantissa, one)?;
    let from_one = scope.add(BitcastConvert { dtype: DType::F32 }, &[bits])?;
    scope.binary_constant(Binary::Subtract, from_one, 1.0)
}

/// Uniform f32 in `[low, high)`.
pub fn uniform(scope: &mut Scope, key: Value, shape: &[Dim], low: f64, high: f64) -> Result<Value> {
    let unit = unit(scope, key, shape)?;
    if (low, high) == (0.0, 1.0) {
        return Ok(unit);
    }
    let span = f64::from(high as f32 - low as f32);
    let scaled = scope.binary_constant(Binary::Multiply, unit, span)?;
    let shifted = scope.binary_constant(Binary::Add, scaled, low)?;
    scope.binary_constant(Binary::Maximum, shifted, low)
}

/// Normal f32 with mean 0 and standard deviation 1.
pub fn normal(scope: &mut Scope, key: Value, shape: &[Dim]) -> Result<Value> {
    let low = f64::from((-1.0f32).next_up());
    let uniform = uniform(scope, key, shape, low, 1.0)?;
    let error = scope.unary(Unary::ErfInv, uniform)?;
    scope.binary_constant(Binary::Multiply, error, f64::from(std::f32::consts::SQRT_2))
}

/// Normal f32 with mean 0 and standard deviation 1, of which only what lies in `(-2, 2)` is taken.
pub fn truncated_normal(scope: &mut Scope, key: Value, shape: &[Dim]) -> Result<Value> {
    // erf(2 / sqrt 2)
    let bound = f64::from(0.954_499_7_f32);
    let uniform = uniform(scope, key, shape, -bound, bound)?;
    let error = scope.unary(Unary::ErfInv, uniform)?;
    let normal = scope.binary_constant(Binary::Multiply, error, f64::from(std::f32::consts::SQRT_2))?;
    let inside = f64::from(2.0f32.next_down());
    let above = scope.binary_constant(Binary::Maximum, normal, -inside)?;
    scope.binary_constant(Binary::Minimum, above, inside)
}

/// True with probability `p`.
pub fn bernoulli(scope: &mut Scope, key: Value, shape: &[Dim], p: f64) -> Result<Value> {
    let uniform = unit(scope, key, shape)?;
    let p = scope.splat_like(p, uniform)?;
    Ok(scope.compare(Compare::Less, uniform, p)?)
}
