//! What the elementwise functions compute of one element: in f64 or i128, not yet rounded to the dtype.

use super::{Binary, Compare, Unary};
use crate::kernel::interpret::math;
use crate::tensor::Scalar;
use kc_abi::DType;
use kc_abi::call::MathFunction;

impl Unary {
    /// The value for a float; NaN for functions that do not take floats. `is_finite` gives 1 or 0.
    pub fn of_float(self, x: f64) -> f64 {
        let by = |function: MathFunction| math(function, x, 0.0);
        match self {
            Unary::Negate => -x,
            Unary::Abs => x.abs(),
            Unary::Sign if x == 0.0 || x.is_nan() => x,
            Unary::Sign => x.signum(),
            Unary::Exp => by(MathFunction::Exp),
            Unary::Expm1 => by(MathFunction::Expm1),
            Unary::Log => by(MathFunction::Log),
            Unary::Log1p => by(MathFunction::Log1p),
            Unary::Sqrt => x.sqrt(),
            Unary::Rsqrt => 1.0 / x.sqrt(),
            Unary::Cbrt => by(MathFunction::Cbrt),
            Unary::Sin => by(MathFunction::Sin),
            Unary::Cos => by(MathFunction::Cos),
            Unary::Tan => by(MathFunction::Tan),
            Unary::Asin => by(MathFunction::Asin),
            Unary::Acos => by(MathFunction::Acos),
            Unary::Atan => by(MathFunction::Atan),
            Unary::Sinh => by(MathFunction::Sinh),
            Unary::Cosh => by(MathFunction::Cosh),
            Unary::Tanh => by(MathFunction::Tanh),
            Unary::Asinh => by(MathFunction::Asinh),
            Unary::Acosh => by(MathFunction::Acosh),
            Unary::Atanh => by(MathFunction::Atanh),
            Unary::Logistic => 1.0 / (1.0 + math(MathFunction::Exp, -x, 0.0)),
            Unary::Erf => by(MathFunction::Erf),
            Unary::Erfc => by(MathFunction::Erfc),
            Unary::ErfInv => by(MathFunction::ErfInv),
            Unary::Lgamma => by(MathFunction::Lgamma),
            Unary::Digamma => by(MathFunction::Digamma),
            Unary::Floor => x.floor(),
            Unary::Ceil => x.ceil(),
            Unary::Trunc => x.trunc(),
            Unary::RoundEven => x.round_ties_even(),
            Unary::IsFinite => x.is_finite() as u8 as f64,
            Unary::Not | Unary::PopulationCount | Unary::CountLeadingZeros => f64::NAN,
        }
    }

    /// The value for an integer or bool of that dtype; 0 for functions that do not take them.
    pub fn of_int(self, dtype: DType, x: i128) -> i128 {
        let bits = dtype.bits();
        // the bits of the dtype, as a number that is not negative
        let pattern = x & ((1i128 << bits) - 1);
        match self {
            Unary::Negate => -x,
            Unary::Abs => x.abs(),
            Unary::Sign => x.signum(),
            Unary::Not if dtype == DType::Bool => 1 - x,
            Unary::Not => !x,
            Unary::PopulationCount => pattern.count_ones().into(),
            Unary::CountLeadingZeros => (pattern.leading_zeros() - (128 - bits)).into(),
            _ => 0,
        }
    }
}

impl Binary {
    /// The value for floats; NaN for functions that do not take floats.
    pub fn of_float(self, a: f64, b: f64) -> f64 {
        match self {
            Binary::Add => a + b,
            Binary::Subtract => a - b,
            Binary::Multiply => a * b,
            Binary::Divide => a / b,
            Binary::Remainder => math(MathFunction::Rem, a, b),
            Binary::Power => math(MathFunction::Pow, a, b),
            Binary::Maximum => maximum(a, b),
            Binary::Minimum => -maximum(-a, -b),
            Binary::Atan2 => math(MathFunction::Atan2, a, b),
            Binary::And | Binary::Or | Binary::Xor | Binary::ShiftLeft | Binary::ShiftRight => f64::NAN,
        }
    }

    /// The value for integers or bools of that dtype; 0 for functions that do not take them.
    pub fn of_int(self, dtype: DType, a: i128, b: i128) -> i128 {
        let in_range = (0..i128::from(dtype.bits())).contains(&b);
        match self {
            Binary::Add if dtype == DType::Bool => a | b,
            Binary::Add => a + b,
            Binary::Subtract => a - b,
            Binary::Multiply => a.wrapping_mul(b),
            Binary::Divide if b == 0 => -1,
            Binary::Divide => a / b,
            Binary::Remainder if b == 0 => a,
            Binary::Remainder => a % b,
            Binary::Power => integer_power(a, b),
            Binary::Maximum => a.max(b),
            Binary::Minimum => a.min(b),
            Binary::And => a & b,
            Binary::Or => a | b,
            Binary::Xor => a ^ b,
            Binary::ShiftLeft if in_range => a << b,
            Binary::ShiftLeft => 0,
            Binary::ShiftRight if in_range => a >> b,
            Binary::ShiftRight => -i128::from(a < 0),
            Binary::Atan2 => 0,
        }
    }
}

impl Compare {
    /// Whether it holds.
    pub fn holds(self, a: Scalar, b: Scalar) -> bool {
        let ordering = match (a, b) {
            (Scalar::Int(a), Scalar::Int(b)) => Some(a.cmp(&b)),
            (a, b) => a.to_f64().partial_cmp(&b.to_f64()),
        };
        match self {
            Compare::Equal => ordering.is_some_and(|ordering| ordering.is_eq()),
            Compare::NotEqual => !ordering.is_some_and(|ordering| ordering.is_eq()),
            Compare::Less => ordering.is_some_and(|ordering| ordering.is_lt()),
            Compare::LessEqual => ordering.is_some_and(|ordering| ordering.is_le()),
            Compare::Greater => ordering.is_some_and(|ordering| ordering.is_gt()),
            Compare::GreaterEqual => ordering.is_some_and(|ordering| ordering.is_ge()),
        }
    }
}

/// The larger; NaN if one is NaN; +0 is above -0.
pub(crate) fn maximum(a: f64, b: f64) -> f64 {
    if a.is_nan() || (!b.is_nan() && (a > b || (a == b && a.is_sign_positive()))) { a } else { b }
}

/// `base^exponent` modulo 2^128; 0 for an exponent below 0, unless the base is 1 or -1.
fn integer_power(base: i128, exponent: i128) -> i128 {
    if exponent < 0 {
        return match base {
            1 => 1,
            -1 => 1 - 2 * (exponent & 1),
            _ => 0,
        };
    }
    let (mut result, mut square, mut rest) = (1i128, base, exponent);
    while rest > 0 {
        if rest & 1 == 1 {
            result = result.wrapping_mul(square);
        }
        square = square.wrapping_mul(square);
        rest >>= 1;
    }
    result
}
