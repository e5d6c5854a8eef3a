//! Dtypes of tensors, and tensors between hosts and expressions.

use super::arguments::DTypeName;
use super::declare::functions;
use super::tensor::Tensor;
use crate::Result;
use kc_ir::DType;
use kc_ir::tensor::{Scalar, Tensor as Formula, integer_range, round};
use kc_runtime::Array;

functions! {
    /// The values in another dtype; of a floating-point number its integer part.
    cast Cast(x; dtype: DTypeName) = |_, &[x]| Ok(x.convert(dtype.or(x.ty().dtype)?));
    /// The values in another dtype, those that it does not hold replaced by the nearest that it does.
    saturate_cast SaturateCast(x; dtype: DTypeName) = |_, &[x]| Ok(saturate(*x, dtype.or(x.ty().dtype)?));
    /// The tensor, in another dtype where one is given.
    convert_to_tensor ConvertToTensor(x) {
        /// The dtype (default: as it is).
        dtype: DTypeName = DTypeName::Default,
    } = |_, &[x]| Ok(x.convert(dtype.or(x.ty().dtype)?));
    /// The tensor, whose derivative is taken to be zero.
    stop_gradient StopGradient(variable) = |scope, &[x]| scope.op(kc_ir::tensor::ops::StopGradient {}, &[*x]);
}

/// The tensor's value, computed.
pub fn convert_to_numpy(x: impl Into<Tensor>) -> Result<Array> {
    super::evaluate::one(&x.into())
}

/// The values in another dtype, those that it does not hold replaced by the nearest that it does.
pub(super) fn saturate<'s, 'b>(x: Formula<'s, 'b>, dtype: DType) -> Formula<'s, 'b> {
    let given = x.ty().dtype;
    if given == DType::Bool || given == dtype {
        return x.convert(dtype);
    }
    let (low, high) = limits(given, dtype);
    let bound = |value: Scalar| x.scope().scalar(given, value);
    x.maximum(bound(low)).minimum(bound(high)).convert(dtype)
}

/// The smallest and the largest value of a dtype; of floating-point numbers those that are finite.
fn range(dtype: DType) -> (Scalar, Scalar) {
    let largest = match dtype {
        DType::F64 => f64::MAX,
        DType::F32 => f32::MAX.into(),
        DType::F16 => 65504.0,
        DType::Bf16 => 3.389_531_389_251_535_5e38,
        _ => {
            let (low, high) = integer_range(dtype);
            return (Scalar::Int(low), Scalar::Int(high));
        }
    };
    (Scalar::Float(-largest), Scalar::Float(largest))
}

/// The limits that values of a dtype are held to, so that another dtype holds them; of floating-point numbers rounded to that dtype,
/// as the conversion itself takes what is beyond a limit to be it.
fn limits(given: DType, wanted: DType) -> (Scalar, Scalar) {
    let ((own_low, own_high), (low, high)) = (range(given), range(wanted));
    let nearer = |limit: Scalar, own: Scalar| if limit.to_f64().abs() < own.to_f64().abs() { limit } else { own };
    (round(given, nearer(low, own_low)), round(given, nearer(high, own_high)))
}
