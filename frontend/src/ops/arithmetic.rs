//! Sums, products, quotients, extrema of two operands.

use super::declare::functions;
use super::formulas::{is_nan, together};
use super::promotion::{FLOAT, float, promote, promote_float, promote_numbers, result_type};
use super::tensor::Tensor;
use kc_ir::DType;
use kc_ir::tensor::Tensor as Formula;

functions! {
    /// `x1 + x2`; of bools "or".
    add Add(x1, x2) = |_, &[a, b]| {
        let [a, b] = promote([a, b]);
        a + b
    };
    /// `x1 - x2`
    subtract Subtract(x1, x2) = |_, &[a, b]| {
        let [a, b] = promote([a, b]);
        a - b
    };
    /// `x1 * x2`; of bools "and".
    multiply Multiply(x1, x2) = |_, &[a, b]| {
        let [a, b] = promote([a, b]);
        a * b
    };
    /// `x1 / x2`, of integers too a floating-point number.
    divide Divide(x1, x2) = |_, &[a, b]| {
        let [a, b] = promote_float([a, b]);
        a / b
    };
    /// `x1 / x2`, of integers too a floating-point number.
    true_divide TrueDivide(x1, x2) = |_, &[a, b]| {
        let [a, b] = promote_float([a, b]);
        a / b
    };
    /// `x1 / x2`, 0 where `x2` is 0.
    divide_no_nan DivideNoNan(x1, x2) = |_, &[a, b]| {
        let [a, b] = promote_float([a, b]);
        let [a, b] = together(a, b)?;
        let is_zero = b.equal(0.0);
        Ok(is_zero.select(a.zeros_like(), a / is_zero.select(b.number(1.0), b)))
    };
    /// `floor(x1 / x2)`
    floor_divide FloorDivide(x1, x2) = |_, &[a, b]| {
        let [a, b] = promote_numbers([a, b]);
        let [a, b] = together(a, b)?;
        Ok(floor_divide_of(a, b))
    };
    /// `x1 - floor(x1 / x2) * x2`: the sign of `x2`. Keras' `mod`.
    mod_ Mod(x1, x2) = |_, &[a, b]| {
        let [a, b] = promote_numbers([a, b]);
        let [a, b] = together(a, b)?;
        Ok(modulo(a, b))
    };
    /// `x1 - trunc(x1 / x2) * x2`: the sign of `x1`.
    fmod Fmod(x1, x2) = |_, &[a, b]| {
        let [a, b] = promote_numbers([a, b]);
        a.remainder(nonzero(b))
    };
    /// `x1^x2`
    power Power(x1, x2) = |_, &[a, b]| {
        let [a, b] = promote_numbers([a, b]);
        a.power(b)
    };
    /// The larger, NaN where one is NaN.
    maximum Maximum(x1, x2) = |_, &[a, b]| {
        let [a, b] = promote([a, b]);
        a.maximum(b)
    };
    /// The smaller, NaN where one is NaN.
    minimum Minimum(x1, x2) = |_, &[a, b]| {
        let [a, b] = promote([a, b]);
        a.minimum(b)
    };
    /// The larger; where one is NaN the other.
    fmax Fmax(x1, x2) = |_, &[a, b]| {
        let [a, b] = promote([a, b]);
        let [a, b] = together(a, b)?;
        Ok(a.greater(b).or(is_nan(b)).select(a, b))
    };
    /// The smaller; where one is NaN the other.
    fmin Fmin(x1, x2) = |_, &[a, b]| {
        let [a, b] = promote([a, b]);
        let [a, b] = together(a, b)?;
        Ok(a.less(b).or(is_nan(b)).select(a, b))
    };
    /// 0 where `x1` is negative, 1 where it is positive, `x2` where it is 0.
    heaviside Heaviside(x1, x2) = |_, &[a, b]| {
        let [a, b] = promote_float([a, b]);
        let [a, b] = together(a, b)?;
        Ok(a.less(0.0).select(a.number(0.0), a.greater(0.0).select(a.number(1.0), is_nan(a).select(a, b))))
    };
    /// `-x`
    negative Negative(x) = |_, &[x]| -*x;
    /// `|x|`
    absolute Absolute(x) = |_, &[x]| magnitude(*x);
    /// `1 / x`, of integers too a floating-point number.
    reciprocal Reciprocal(x) = |_, &[x]| 1.0 / float(x);
    /// `x * x`
    square Square(x) = |_, &[x]| promote_numbers([x])[0].square();
    /// -1, 0 or 1; NaN of NaN.
    sign Sign(x) = |_, &[x]| x.sign();
    /// `min(max(x, x_min), x_max)`
    clip Clip(x, x_min, x_max) = |_, &[x, low, high]| {
        let x = super::Operand { tensor: number_of(*x), kind: super::Kind::strong(number_of(*x).ty().dtype) };
        let dtype = result_type([x.kind, low.kind, high.kind]);
        let [x, low, high] = [x, low, high].map(|operand| operand.convert(dtype));
        low.maximum(x).minimum(high)
    };
    /// The greatest common divisor of integers, at least 0.
    gcd Gcd(x1, x2) = |_, &[a, b]| {
        let [a, b] = promote([a, b]);
        Ok(common_divisor(a, b)?)
    };
    /// The least common multiple of integers, at least 0.
    lcm Lcm(x1, x2) = |_, &[a, b]| {
        let [a, b] = promote([a, b]);
        let [a, b] = together(magnitude(a), magnitude(b))?;
        let divisor = common_divisor(a, b)?;
        let is_zero = divisor.equal(0.0);
        Ok(a * is_zero.select(b, b / is_zero.select(divisor.number(1.0), divisor)))
    };
    /// `x1 * 2^x2` for an integer `x2`.
    ldexp Ldexp(x1, x2) = |_, &[x, exponent]| {
        if !exponent.ty().dtype.is_integer() {
            return Err(super::arguments::wrong(format!("the exponent is {}, expected an integer type", exponent.ty().dtype)));
        }
        let dtype = result_type([x.kind, FLOAT]);
        // of three factors each is a normal number, and what they cannot reach is 0 or infinite
        let reach = match dtype {
            DType::F64 => 1022,
            DType::F16 => 14,
            _ => 126,
        };
        let exponent = exponent.convert(DType::I32).maximum(-3 * reach).minimum(3 * reach);
        let third = exponent / 3i64;
        let power = |exponent: Formula<'s, 'b>| {
            let exponent = exponent.convert(dtype);
            exponent.number(2.0).broadcast_to(&exponent.shape()).power(exponent)
        };
        Ok(x.convert(dtype) * power(third) * power(third) * power(exponent - third * 2i64))
    };
}

/// `|x|`: another name of [`absolute`].
#[track_caller]
pub fn abs(x: impl Into<Tensor>) -> Tensor {
    absolute(x)
}

/// A bool as `int32`.
fn number_of<'s, 'b>(x: Formula<'s, 'b>) -> Formula<'s, 'b> {
    if x.ty().dtype == DType::Bool { x.convert(DType::I32) } else { x }
}

/// `|x|`; what has no sign as it is.
pub(super) fn magnitude<'s, 'b>(x: Formula<'s, 'b>) -> Formula<'s, 'b> {
    let dtype = x.ty().dtype;
    if dtype == DType::Bool || dtype.is_unsigned_integer() { x } else { x.abs() }
}

/// Integers with 1 for 0: a remainder by 0 is then 0.
fn nonzero<'s, 'b>(x: Formula<'s, 'b>) -> Formula<'s, 'b> {
    if x.ty().dtype.is_float() { x } else { x.equal(0.0).select(x.number(1.0), x) }
}

/// `a - floor(a / b) * b`.
pub(super) fn modulo<'s, 'b>(a: Formula<'s, 'b>, b: Formula<'s, 'b>) -> Formula<'s, 'b> {
    let b = nonzero(b);
    let rest = a.remainder(b);
    if rest.ty().dtype.is_unsigned_integer() {
        return rest;
    }
    let differs = rest.not_equal(0.0).and(rest.less(0.0).not_equal(b.less(0.0)));
    differs.select(rest + b, rest)
}

/// `floor(a / b)`: of floating-point numbers the quotient of `a` without its remainder, so that it is the nearest integer.
pub(super) fn floor_divide_of<'s, 'b>(a: Formula<'s, 'b>, b: Formula<'s, 'b>) -> Formula<'s, 'b> {
    let dtype = a.ty().dtype;
    let rest = a.remainder(b);
    if dtype.is_unsigned_integer() {
        return a / b;
    }
    if dtype.is_float() {
        let quotient = b.equal(0.0).select(a, a - rest) / b;
        let differs = rest.not_equal(0.0).and(b.sign().not_equal(rest.sign()));
        return differs.select(quotient - 1.0, quotient).round_even();
    }
    let quotient = a / b;
    let differs = a.sign().not_equal(b.sign()).and(rest.not_equal(0.0));
    differs.select(quotient - 1.0, quotient)
}

/// Euclid's algorithm, with as many steps as numbers of that many bits can need.
fn common_divisor<'s, 'b>(a: Formula<'s, 'b>, b: Formula<'s, 'b>) -> Result<Formula<'s, 'b>, kc_ir::tensor::TypeError> {
    let dtype = a.ty().dtype;
    if !dtype.is_integer() {
        return Err(super::arguments::wrong(format!("the operands are {dtype}, expected integers")));
    }
    let [mut a, mut b] = together(magnitude(a), magnitude(b))?;
    // consecutive Fibonacci numbers need the most steps: their ratio is the golden one
    let steps = (f64::from(dtype.bits()) / 1.618_f64.log2()).ceil() as usize;
    for _ in 0..steps {
        let is_zero = b.equal(0.0);
        let rest = a.remainder(is_zero.select(b.number(1.0), b));
        (a, b) = (is_zero.select(a, b), is_zero.select(b, rest));
    }
    Ok(a)
}
