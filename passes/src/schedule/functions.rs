//! Elementwise functions in terms of what code generators translate: polynomials in f32 where kernels spend their time,
//! calls of the runtime's table elsewhere.

use kc_ir::DType;
use kc_ir::kernel::{Instruction, KernelBuilder, MathFunction, Register, is_basic, is_basic_binary};
use kc_ir::tensor::Scalar;
use kc_ir::tensor::ops::{Binary, Compare, Unary};

/// A constant with dtype and lanes of another register.
fn constant(b: &mut KernelBuilder, like: Register, value: f64) -> Register {
    let ty = b.register_type(like);
    let value = if ty.dtype.is_float() { Scalar::Float(value) } else { Scalar::Int(value as i128) };
    b.constant(ty.dtype, ty.lanes, value)
}

/// Computes in f32 what a half-precision type asks for.
fn is_half(dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::Bf16)
}

/// A function of one operand.
pub(super) fn unary(b: &mut KernelBuilder, function: Unary, x: Register) -> Register {
    let dtype = b.register_type(x).dtype;
    if is_half(dtype) {
        let wide = b.convert(DType::F32, x);
        let result = unary(b, function, wide);
        return if function == Unary::IsFinite { result } else { b.convert(dtype, result) };
    }
    let single = dtype == DType::F32;
    match function {
        Unary::Sign => sign(b, x),
        Unary::IsFinite => {
            let magnitude = b.unary(Unary::Abs, x);
            let infinity = constant(b, x, f64::INFINITY);
            b.compare(Compare::Less, magnitude, infinity)
        }
        Unary::Rsqrt => {
            let root = b.unary(Unary::Sqrt, x);
            let one = constant(b, x, 1.0);
            b.binary(Binary::Divide, one, root)
        }
        Unary::Exp if single => exp(b, x),
        Unary::Log if single => log(b, x),
        Unary::Tanh if single => tanh(b, x),
        Unary::Erf if single => erf(b, x),
        Unary::Erfc if single => erfc(b, x),
        Unary::Logistic => {
            // 1/(1 + e) or e/(1 + e) with e = exp(-|x|), which cannot overflow
            let magnitude = b.unary(Unary::Abs, x);
            let negated = b.unary(Unary::Negate, magnitude);
            let e = unary(b, Unary::Exp, negated);
            let (zero, one) = (constant(b, x, 0.0), constant(b, x, 1.0));
            let negative = b.compare(Compare::Less, x, zero);
            let numerator = b.select(negative, e, one);
            let denominator = b.binary(Binary::Add, one, e);
            b.binary(Binary::Divide, numerator, denominator)
        }
        basic if is_basic(basic) => b.unary(basic, x),
        other => {
            let ty = b.register_type(x);
            b.instruction(ty.dtype, ty.lanes, Instruction::Math(math_function(other), vec![x]))
        }
    }
}

/// The table's function; only functions that are neither basic nor composed above are asked for.
fn math_function(function: Unary) -> MathFunction {
    match function {
        Unary::Exp => MathFunction::Exp,
        Unary::Expm1 => MathFunction::Expm1,
        Unary::Log => MathFunction::Log,
        Unary::Log1p => MathFunction::Log1p,
        Unary::Cbrt => MathFunction::Cbrt,
        Unary::Sin => MathFunction::Sin,
        Unary::Cos => MathFunction::Cos,
        Unary::Tan => MathFunction::Tan,
        Unary::Asin => MathFunction::Asin,
        Unary::Acos => MathFunction::Acos,
        Unary::Atan => MathFunction::Atan,
        Unary::Sinh => MathFunction::Sinh,
        Unary::Cosh => MathFunction::Cosh,
        Unary::Tanh => MathFunction::Tanh,
        Unary::Asinh => MathFunction::Asinh,
        Unary::Acosh => MathFunction::Acosh,
        Unary::Atanh => MathFunction::Atanh,
        Unary::Erf => MathFunction::Erf,
        Unary::Erfc => MathFunction::Erfc,
        Unary::ErfInv => MathFunction::ErfInv,
        Unary::Lgamma => MathFunction::Lgamma,
        Unary::Digamma => MathFunction::Digamma,
        Unary::Negate
        | Unary::Abs
        | Unary::Sign
        | Unary::Sqrt
        | Unary::Rsqrt
        | Unary::Logistic
        | Unary::Floor
        | Unary::Ceil
        | Unary::Trunc
        | Unary::RoundEven
        | Unary::IsFinite
        | Unary::Not
        | Unary::PopulationCount
        | Unary::CountLeadingZeros => unreachable!("`{}` needs no table", function.text()),
    }
}

/// -1, 0, 1; of a float also -0 and NaN.
fn sign(b: &mut KernelBuilder, x: Register) -> Register {
    let ty = b.register_type(x);
    let (zero, one) = (constant(b, x, 0.0), constant(b, x, 1.0));
    let positive = b.compare(Compare::Greater, x, zero);
    let result = b.select(positive, one, x);
    if ty.dtype.is_unsigned_integer() {
        return result;
    }
    let minus_one = constant(b, x, -1.0);
    let negative = b.compare(Compare::Less, x, zero);
    b.select(negative, minus_one, result)
}

/// A function of two operands of one type.
pub(super) fn binary(b: &mut KernelBuilder, function: Binary, x: Register, y: Register) -> Register {
    let ty = b.register_type(x);
    let dtype = ty.dtype;
    // the larger and the smaller of two need no rounding
    if is_half(dtype) && !matches!(function, Binary::Maximum | Binary::Minimum) {
        let (wide_x, wide_y) = (b.convert(DType::F32, x), b.convert(DType::F32, y));
        let result = binary(b, function, wide_x, wide_y);
        return b.convert(dtype, result);
    }
    if dtype == DType::Bool {
        let bitwise = match function {
            Binary::Add | Binary::Maximum => Binary::Or,
            Binary::Multiply | Binary::Minimum => Binary::And,
            other => other,
        };
        return b.binary(bitwise, x, y);
    }
    if dtype.is_integer() {
        match function {
            Binary::Divide | Binary::Remainder => return integer_division(b, function, x, y),
            Binary::ShiftLeft | Binary::ShiftRight => return shift(b, function, x, y),
            Binary::Power => return integer_power(b, x, y),
            _ => {}
        }
    }
    if is_basic_binary(function) {
        return b.binary(function, x, y);
    }
    let table = match function {
        Binary::Power => MathFunction::Pow,
        Binary::Atan2 => MathFunction::Atan2,
        _ => MathFunction::Rem,
    };
    b.instruction(ty.dtype, ty.lanes, Instruction::Math(table, vec![x, y]))
}

/// Integer division or remainder without a trap: by 0 the quotient is -1 and the remainder the dividend; the smallest value by
/// -1 wraps.
fn integer_division(b: &mut KernelBuilder, function: Binary, x: Register, y: Register) -> Register {
    let (zero, one) = (constant(b, x, 0.0), constant(b, x, 1.0));
    let by_zero = b.compare(Compare::Equal, y, zero);
    let mut divisor = b.select(by_zero, one, y);
    let signed = b.register_type(x).dtype.is_signed_integer();
    let minus_one = if signed { constant(b, x, -1.0) } else { b.unary(Unary::Not, zero) };
    let by_minus_one = signed.then(|| b.compare(Compare::Equal, y, minus_one));
    if let Some(condition) = by_minus_one {
        divisor = b.select(condition, one, divisor);
    }
    let mut quotient = b.binary(Binary::Divide, x, divisor);
    if let Some(condition) = by_minus_one {
        let negated = b.unary(Unary::Negate, x);
        quotient = b.select(condition, negated, quotient);
    }
    if function == Binary::Divide {
        return b.select(by_zero, minus_one, quotient);
    }
    let product = b.binary(Binary::Multiply, quotient, y);
    let rest = b.binary(Binary::Subtract, x, product);
    b.select(by_zero, x, rest)
}

/// A shift by any amount.
fn shift(b: &mut KernelBuilder, function: Binary, x: Register, y: Register) -> Register {
    let dtype = b.register_type(x).dtype;
    let (zero, last) = (constant(b, x, 0.0), constant(b, x, f64::from(dtype.bits() - 1)));
    let below = b.compare(Compare::Less, y, zero);
    let above = b.compare(Compare::Greater, y, last);
    let outside = b.binary(Binary::Or, below, above);
    let amount = b.select(outside, last, y);
    let shifted = b.binary(function, x, amount);
    if function == Binary::ShiftRight && dtype.is_signed_integer() {
        return shifted;
    }
    b.select(outside, zero, shifted)
}

/// Integer power by squaring, over the bits of the exponent.
fn integer_power(b: &mut KernelBuilder, x: Register, y: Register) -> Register {
    let dtype = b.register_type(x).dtype;
    let (zero, one) = (constant(b, x, 0.0), constant(b, x, 1.0));
    let exponent_bits = if dtype.is_signed_integer() { dtype.bits() - 1 } else { dtype.bits() };
    let results = b.for_carrying(0, i64::from(exponent_bits), 1, &[one, x, y], |b, _, carried| {
        let (result, base, exponent) = (carried[0], carried[1], carried[2]);
        let lowest = b.binary(Binary::And, exponent, one);
        let odd = b.compare(Compare::NotEqual, lowest, zero);
        let product = b.binary(Binary::Multiply, result, base);
        let next = b.select(odd, product, result);
        let square = b.binary(Binary::Multiply, base, base);
        let halved = b.binary(Binary::ShiftRight, exponent, one);
        vec![next, square, halved]
    });
    if !dtype.is_signed_integer() {
        return results[0];
    }
    // a negative exponent leaves 1 of 1, +-1 of -1, and 0 of all others
    let negative = b.compare(Compare::Less, y, zero);
    let minus_one = constant(b, x, -1.0);
    let is_one = b.compare(Compare::Equal, x, one);
    let is_minus_one = b.compare(Compare::Equal, x, minus_one);
    let lowest = b.binary(Binary::And, y, one);
    let odd = b.compare(Compare::NotEqual, lowest, zero);
    let alternating = b.select(odd, minus_one, one);
    let inverse = b.select(is_minus_one, alternating, zero);
    let inverse = b.select(is_one, one, inverse);
    b.select(negative, inverse, results[0])
}

/// `c[0] + x*(c[1] + x*(...))`
fn polynomial(b: &mut KernelBuilder, x: Register, coefficients: &[f64]) -> Register {
    let mut sum = constant(b, x, coefficients[coefficients.len() - 1]);
    for &c in coefficients.iter().rev().skip(1) {
        let c = constant(b, x, c);
        sum = b.multiply_add(sum, x, c);
    }
    sum
}

/// `2^n` for whole `n` in -126..=127, as bits of the exponent.
fn power_of_two(b: &mut KernelBuilder, n: Register) -> Register {
    let bias = constant(b, n, 127.0);
    let twenty_three = constant(b, n, 23.0);
    let biased = b.binary(Binary::Add, n, bias);
    let bits = b.binary(Binary::ShiftLeft, biased, twenty_three);
    b.bitcast(DType::F32, bits)
}

/// `1.5 * 2^23`: numbers from 2^23 to 2^24 have a last place of 1 in f32.
const MAGIC: f64 = 12_582_912.0;

/// e^x in f32: `2^n * e^r` with `|r| <= ln(2)/2` and the series of e^r up to r^7 (minimax-like by its remainder of 5e-9); within
/// 2 ulp for all x, subnormal results included.
fn exp(b: &mut KernelBuilder, x: Register) -> Register {
    let (low, high) = (constant(b, x, -110.0), constant(b, x, 90.0));
    let clamped = b.binary(Binary::Maximum, x, low);
    let clamped = b.binary(Binary::Minimum, clamped, high);
    let log2_e = constant(b, x, std::f64::consts::LOG2_E);
    let scaled = b.binary(Binary::Multiply, clamped, log2_e);
    // added to a number whose last place is 1, the product is rounded to an integer, which the last bits of the sum are
    let last_place = constant(b, x, MAGIC);
    let shifted = b.binary(Binary::Add, scaled, last_place);
    let n = b.binary(Binary::Subtract, shifted, last_place);
    // ln 2 in two parts, the first exact in few bits
    let (first, second) = (constant(b, x, -0.693359375), constant(b, x, 2.121_944_400_546_905_8e-4));
    let r = b.multiply_add(n, first, clamped);
    let r = b.multiply_add(n, second, r);
    let series =
        polynomial(b, r, &[1.0, 1.0, 1.0 / 2.0, 1.0 / 6.0, 1.0 / 24.0, 1.0 / 120.0, 1.0 / 720.0, 1.0 / 5040.0]);
    // 2^n in two factors, since n may exceed the exponents of normal numbers
    let bits = b.bitcast(DType::I32, shifted);
    let of_zero = constant(b, bits, f64::from((MAGIC as f32).to_bits()));
    let whole = b.binary(Binary::Subtract, bits, of_zero);
    let one = constant(b, whole, 1.0);
    let half = b.binary(Binary::ShiftRight, whole, one);
    let rest = b.binary(Binary::Subtract, whole, half);
    let (half, rest) = (power_of_two(b, half), power_of_two(b, rest));
    let product = b.binary(Binary::Multiply, series, half);
    b.binary(Binary::Multiply, product, rest)
}

/// ln x in f32: `e*ln 2 + ln m` with m in [sqrt(1/2), sqrt 2), by the series of artanh; within 2 ulp, with the right values at
/// 0, infinity, below 0 and for subnormals.
fn log(b: &mut KernelBuilder, x: Register) -> Register {
    let smallest = constant(b, x, f64::from(f32::MIN_POSITIVE));
    let subnormal = b.compare(Compare::Less, x, smallest);
    let up = constant(b, x, 8_388_608.0);
    let scaled = b.binary(Binary::Multiply, x, up);
    let normal = b.select(subnormal, scaled, x);
    let bits = b.bitcast(DType::I32, normal);
    // the exponent such that the mantissa lies in [sqrt(1/2), sqrt 2)
    let root_half = constant(b, bits, f64::from(0x3f3504f3));
    let offset = b.binary(Binary::Subtract, bits, root_half);
    let twenty_three = constant(b, bits, 23.0);
    let exponent = b.binary(Binary::ShiftRight, offset, twenty_three);
    let moved = b.binary(Binary::ShiftLeft, exponent, twenty_three);
    let mantissa = b.binary(Binary::Subtract, bits, moved);
    let m = b.bitcast(DType::F32, mantissa);
    let e = b.convert(DType::F32, exponent);
    let (zero, correction) = (constant(b, x, 0.0), constant(b, x, -23.0));
    let shift = b.select(subnormal, correction, zero);
    let e = b.binary(Binary::Add, e, shift);
    // ln m = 2 artanh s with s = (m-1)/(m+1); f = m-1 is exact, and 2 artanh s = f - s*(f - R), R = 2(artanh s - s)/s
    let one = constant(b, x, 1.0);
    let f = b.binary(Binary::Subtract, m, one);
    let two = constant(b, x, 2.0);
    let denominator = b.binary(Binary::Add, f, two);
    let s = b.binary(Binary::Divide, f, denominator);
    let z = b.binary(Binary::Multiply, s, s);
    let series = polynomial(b, z, &[2.0 / 3.0, 2.0 / 5.0, 2.0 / 7.0, 2.0 / 9.0, 2.0 / 11.0]);
    let r = b.binary(Binary::Multiply, series, z);
    let rest = b.binary(Binary::Subtract, f, r);
    let low = constant(b, x, -2.121_944_400_546_905_8e-4);
    let tail = b.binary(Binary::Multiply, s, rest);
    let tail = b.unary(Unary::Negate, tail);
    let tail = b.multiply_add(e, low, tail);
    let near = b.binary(Binary::Add, f, tail);
    let high = constant(b, x, 0.693359375);
    let value = b.multiply_add(e, high, near);
    // special values
    let (infinity, minus_infinity, nan) =
        (constant(b, x, f64::INFINITY), constant(b, x, f64::NEG_INFINITY), constant(b, x, f64::NAN));
    let finite = b.compare(Compare::Less, x, infinity);
    let value = b.select(finite, value, x);
    let is_zero = b.compare(Compare::Equal, x, zero);
    let value = b.select(is_zero, minus_infinity, value);
    let negative = b.compare(Compare::Less, x, zero);
    b.select(negative, nan, value)
}

/// tanh x in f32: a series near 0, `1 - 2/(e^(2|x|) + 1)` with the sign of x elsewhere.
fn tanh(b: &mut KernelBuilder, x: Register) -> Register {
    let magnitude = b.unary(Unary::Abs, x);
    let (one, two) = (constant(b, x, 1.0), constant(b, x, 2.0));
    let doubled = b.binary(Binary::Add, magnitude, magnitude);
    let e = exp(b, doubled);
    let denominator = b.binary(Binary::Add, e, one);
    let quotient = b.binary(Binary::Divide, two, denominator);
    let far = b.binary(Binary::Subtract, one, quotient);
    let negated = b.unary(Unary::Negate, far);
    let zero = constant(b, x, 0.0);
    let is_negative = b.compare(Compare::Less, x, zero);
    let far = b.select(is_negative, negated, far);
    // x + x^3 * p(x^2), for |x| < 0.625
    let z = b.binary(Binary::Multiply, x, x);
    let series =
        polynomial(b, z, &[-3.333_328_194e-1, 1.333_144_22e-1, -5.373_971_494e-2, 2.063_908_879e-2, -5.704_988_723e-3]);
    let cube = b.binary(Binary::Multiply, z, x);
    let near = b.multiply_add(cube, series, x);
    let bound = constant(b, x, 0.625);
    let is_far = b.compare(Compare::GreaterEqual, magnitude, bound);
    let value = b.select(is_far, far, near);
    let is_nan = b.compare(Compare::NotEqual, x, x);
    b.select(is_nan, x, value)
}

/// erf x in f32: `x p(x^2) / q(x^2)` with the coefficients that XLA has, constant beyond the x where it is 1 or -1.
fn erf(b: &mut KernelBuilder, x: Register) -> Register {
    let (low, high) = (constant(b, x, -3.743_921_162_776_799_4), constant(b, x, 3.743_921_162_776_799_4));
    let above = b.binary(Binary::Maximum, x, low);
    let x = b.binary(Binary::Minimum, above, high);
    let z = b.binary(Binary::Multiply, x, x);
    let p = polynomial(
        b,
        z,
        &[
            1.128_379_143_519_084,
            1.852_083_223_997_614_5e-1,
            5.095_569_506_238_086e-2,
            3.408_291_010_710_950_6e-3,
            2.290_506_586_506_134_6e-4,
        ],
    );
    let q = polynomial(
        b,
        z,
        &[
            1.0,
            4.974_692_511_006_753_8e-1,
            1.109_850_517_828_536_2e-1,
            1.407_047_017_116_766_7e-2,
            1.017_962_527_891_488_5e-3,
            2.354_796_647_131_318_5e-5,
            -1.179_160_295_436_169_7e-7,
        ],
    );
    let numerator = b.binary(Binary::Multiply, x, p);
    let value = b.binary(Binary::Divide, numerator, q);
    let (least, most) = (constant(b, x, -1.0), constant(b, x, 1.0));
    let above = b.binary(Binary::Maximum, value, least);
    b.binary(Binary::Minimum, above, most)
}

/// 1 - erf x in f32: of the magnitude a of x `e^(-a^2) / (1 + 2a)` times a polynomial in `(a - 2) / (a + 2)`, after Shepherd and
/// Laframboise (Chebyshev approximation of (1 + 2x) exp(x^2) erfc x, 1981), by the least squares of relative errors. The relative error is
/// about 3e-7 where a multiply-add rounds once, else 1e-5 at 10.
fn erfc(b: &mut KernelBuilder, x: Register) -> Register {
    let (one, two) = (constant(b, x, 1.0), constant(b, x, 2.0));
    // beyond 10.1 it is 0
    let (magnitude, most) = (b.unary(Unary::Abs, x), constant(b, x, 10.1));
    let magnitude = b.binary(Binary::Minimum, magnitude, most);
    // e^(-a^2) with what is lost by rounding the square
    let square = b.binary(Binary::Multiply, magnitude, magnitude);
    let negated = b.unary(Unary::Negate, square);
    let lost = b.multiply_add(magnitude, magnitude, negated);
    let e = exp(b, negated);
    let correction = b.binary(Binary::Multiply, e, lost);
    let e = b.binary(Binary::Subtract, e, correction);
    let (above, below) = (b.binary(Binary::Subtract, magnitude, two), b.binary(Binary::Add, magnitude, two));
    let q = b.binary(Binary::Divide, above, below);
    let p = polynomial(
        b,
        q,
        &[
            1.276_978_388_7,
            -9.276_399_779_4e-2,
            -1.660_311_128_9e-1,
            1.640_556_596_3e-1,
            -5.420_737_364_0e-2,
            -8.062_087_947_0e-3,
            8.641_395_087_6e-3,
            1.320_641_742_5e-3,
            -1.239_668_024_9e-3,
            -4.085_881_867_5e-4,
        ],
    );
    let divisor = b.multiply_add(two, magnitude, one);
    let quotient = b.binary(Binary::Divide, p, divisor);
    let value = b.binary(Binary::Multiply, quotient, e);
    let zero = constant(b, x, 0.0);
    let is_negative = b.compare(Compare::Less, x, zero);
    let reflected = b.binary(Binary::Subtract, two, value);
    b.select(is_negative, reflected, value)
}

/// Random bits as `random_bits` defines them: threefry2x32 of the counters `(high, low)` with the key `(k0, k1)`, all u32 with
/// as many lanes.
pub(super) fn threefry(b: &mut KernelBuilder, k0: Register, k1: Register, high: Register, low: Register) -> Register {
    const ROTATIONS: [[u32; 4]; 2] = [[13, 15, 26, 6], [17, 29, 16, 24]];
    let parity = constant(b, k0, f64::from(0x1BD1_1BDAu32));
    let k2 = b.binary(Binary::Xor, k0, k1);
    let k2 = b.binary(Binary::Xor, k2, parity);
    let keys = [k0, k1, k2];
    let mut x0 = b.binary(Binary::Add, high, k0);
    let mut x1 = b.binary(Binary::Add, low, k1);
    for round in 0..5 {
        for rotation in ROTATIONS[round % 2] {
            x0 = b.binary(Binary::Add, x0, x1);
            let (left, right) = (constant(b, x1, f64::from(rotation)), constant(b, x1, f64::from(32 - rotation)));
            let upper = b.binary(Binary::ShiftLeft, x1, left);
            let lower = b.binary(Binary::ShiftRight, x1, right);
            x1 = b.binary(Binary::Or, upper, lower);
            x1 = b.binary(Binary::Xor, x1, x0);
        }
        x0 = b.binary(Binary::Add, x0, keys[(round + 1) % 3]);
        x1 = b.binary(Binary::Add, x1, keys[(round + 2) % 3]);
        let number = constant(b, x1, (round + 1) as f64);
        x1 = b.binary(Binary::Add, x1, number);
    }
    b.binary(Binary::Xor, x0, x1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kc_ir::kernel::interpret::{MultiplyAddRounding, run_kernel_rounding};
    use kc_ir::kernel::{Access, Index};

    /// f32 numbers of all signs and exponents, with special values.
    fn samples() -> Vec<f32> {
        let mut samples =
            vec![0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1.0, -1.0, 88.72284, -87.33655, -103.97208];
        for exponent in 0..255u32 {
            for i in 0..96u32 {
                let mantissa = i.wrapping_mul(0x9E37_79B9).rotate_left(exponent % 32) >> 9;
                let bits = exponent << 23 | mantissa;
                samples.extend([f32::from_bits(bits), f32::from_bits(bits | 1 << 31)]);
            }
        }
        samples
    }

    fn evaluate(function: Unary, samples: &[f32], rounding: MultiplyAddRounding) -> Vec<f32> {
        const LANES: u32 = 8;
        let mut b = KernelBuilder::new(function.text());
        let (x, y) = (b.parameter("x", DType::F32, Access::Read), b.parameter("y", DType::F32, Access::Write));
        b.for_each(0, Index::Dim(0), i64::from(LANES), |b, i| {
            let value = b.load(x, i.clone(), LANES, Some(Index::Dim(0) - i.clone()));
            let result = unary(b, function, value);
            b.store(y, i.clone(), result, Some(Index::Dim(0) - i));
        });
        let kernel = b.finish(1);
        let bytes = samples.iter().flat_map(|x| x.to_le_bytes()).collect();
        let mut buffers = [bytes, vec![0; samples.len() * 4]];
        run_kernel_rounding(&kernel, rounding, &mut buffers, &[samples.len() as i64], 0..1).unwrap();
        buffers[1].chunks_exact(4).map(|chunk| f32::from_le_bytes(chunk.try_into().unwrap())).collect()
    }

    /// The distance from the exact value in units of the last place of the rounded exact value.
    fn error_in_ulp(given: f32, exact: f64) -> f64 {
        let rounded = exact as f32;
        if given.is_nan() && rounded.is_nan() || given == rounded {
            return 0.0;
        }
        if !given.is_finite() || !rounded.is_finite() {
            return f64::INFINITY;
        }
        let ulp = f64::from(f32::from_bits(rounded.abs().to_bits() + 1)) - f64::from(rounded.abs());
        (f64::from(given) - exact).abs() / ulp
    }

    #[test]
    fn functions_in_f32_are_within_their_bounds_for_all_exponents() {
        let samples = samples();
        let cases: [(Unary, fn(f64) -> f64, f64); 5] = [
            (Unary::Exp, f64::exp, 2.0),
            (Unary::Log, f64::ln, 2.0),
            (Unary::Tanh, f64::tanh, 3.0),
            (Unary::Logistic, |x| 1.0 / (1.0 + (-x).exp()), 3.0),
            (Unary::Erf, |x| Unary::Erf.of_float(x), 4.0),
        ];
        for (function, exact, bound) in cases {
            for rounding in [MultiplyAddRounding::Once, MultiplyAddRounding::Twice] {
                let given = evaluate(function, &samples, rounding);
                let errors = samples.iter().zip(&given).map(|(&x, &y)| (error_in_ulp(y, exact(f64::from(x))), x, y));
                let (error, x, y) = errors.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
                assert!(error <= bound, "{}({x:e}) is {y:e}, {error} ulp off ({rounding:?})", function.text());
            }
        }
    }
}
