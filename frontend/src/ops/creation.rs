//! Tensors made of no others.

use super::arguments::DTypeName;
use super::declare::functions;
use super::movement::Shape;
use kc_ir::DType;

functions! {
    /// Zeros of a shape.
    zeros Zeros(; shape: Shape) {
        /// The dtype (default: `"float32"`).
        dtype: DTypeName = DTypeName::Default,
    } = |scope, []| Ok(scope.scalar(dtype.or(DType::F32)?, 0.0).broadcast_to(&shape.0));
    /// Ones of a shape.
    ones Ones(; shape: Shape) {
        /// The dtype (default: `"float32"`).
        dtype: DTypeName = DTypeName::Default,
    } = |scope, []| Ok(scope.scalar(dtype.or(DType::F32)?, 1.0).broadcast_to(&shape.0));
}
