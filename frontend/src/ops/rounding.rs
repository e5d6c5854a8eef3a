//! Rounding, bits, and what kind of number an element is.

use super::arguments::{DTypeName, wrong};
use super::declare::functions;
use super::formulas::{boolean, concatenate, infinity, is_nan, slice, with_axis};
use super::promotion::{float, promote, promote_float, promote_numbers};
use super::tensor::Tensor;
use kc_ir::tensor::ops::BitcastConvert;
use kc_ir::tensor::{Tensor as Formula, TypeError};
use kc_ir::{DType, Dim};

functions! {
    /// The smallest integer not below x, as a floating-point number.
    ceil Ceil(x) = |_, &[x]| float(x).ceil();
    /// The largest integer not above x, as a floating-point number.
    floor Floor(x) = |_, &[x]| float(x).floor();
    /// x without its fraction; integers as they are.
    trunc Trunc(x) = |_, &[x]| if x.ty().dtype.is_float() { x.trunc() } else { *x };
    /// x rounded to a number of decimals, ties to even.
    round Round(x) {
        /// The number of decimals; negative for tens, hundreds .. (default: 0).
        decimals: i64 = 0,
    } = |_, &[x]| {
        let dtype = x.ty().dtype;
        let factor = 10f64.powi(decimals.clamp(-400, 400) as i32);
        if !dtype.is_float() {
            if decimals >= 0 {
                return Ok(vec![*x]);
            }
            let x = x.convert(DType::F32);
            return Ok(vec![((x * factor).round_even() / factor).convert(dtype)]);
        }
        if decimals == 0 {
            return Ok(vec![x.round_even()]);
        }
        // narrow types have no room for the factor
        let wide = if dtype == DType::F64 { *x } else { x.convert(DType::F32) };
        ((wide * factor).round_even() / factor).convert(dtype)
    };
    /// Whether an element is neither infinite nor NaN.
    isfinite Isfinite(x) = |scope, &[x]| {
        if x.ty().dtype.is_float() { x.is_finite() } else { boolean(scope, true, &x.shape()) }
    };
    /// Whether an element is infinite.
    isinf Isinf(x) = |scope, &[x]| {
        if x.ty().dtype.is_float() { x.abs().equal(infinity(*x)) } else { boolean(scope, false, &x.shape()) }
    };
    /// Whether an element is NaN.
    isnan Isnan(x) = |scope, &[x]| {
        if x.ty().dtype.is_float() { is_nan(*x) } else { boolean(scope, false, &x.shape()) }
    };
    /// Whether an element is negative infinity.
    isneginf Isneginf(x) = |scope, &[x]| {
        if x.ty().dtype.is_float() { x.equal(-infinity(*x)) } else { boolean(scope, false, &x.shape()) }
    };
    /// Whether an element is positive infinity.
    isposinf Isposinf(x) = |scope, &[x]| {
        if x.ty().dtype.is_float() { x.equal(infinity(*x)) } else { boolean(scope, false, &x.shape()) }
    };
    /// Whether an element has no imaginary part: yes.
    isreal Isreal(x) = |scope, &[x]| boolean(scope, true, &x.shape());
    /// Whether the sign bit is set: of negative numbers, -0 included.
    signbit Signbit(x) = |scope, &[x]| {
        let dtype = x.ty().dtype;
        if dtype.is_float() {
            bits(*x).less(0.0)
        } else if dtype.is_signed_integer() {
            x.less(0.0)
        } else {
            boolean(scope, false, &x.shape())
        }
    };
    /// NaN and infinities replaced by numbers.
    nan_to_num NanToNum(x) {
        /// What replaces NaN (default: 0).
        nan: f64 = 0.0,
        /// What replaces infinity (default: the largest number of the dtype).
        posinf: Option<f64> = None,
        /// What replaces negative infinity (default: the smallest number of the dtype).
        neginf: Option<f64> = None,
    } = |_, &[x]| {
        let dtype = x.ty().dtype;
        if !dtype.is_float() {
            return Ok(vec![*x]);
        }
        let largest = largest(dtype);
        let x = is_nan(*x).select(x.number(nan), *x);
        let x = x.equal(infinity(x)).select(x.number(posinf.unwrap_or(largest)), x);
        x.equal(-infinity(x)).select(x.number(neginf.unwrap_or(-largest)), x)
    };
    /// The next number of the dtype after `x1` towards `x2`.
    nextafter Nextafter(x1, x2) = |_, &[a, b]| {
        let [a, b] = promote_float([a, b]);
        let [a, b] = super::formulas::together(a, b)?;
        let pattern = bits(a);
        // away from 0 the pattern grows; from 0 it becomes that of the smallest number, with the sign of `b`
        let outwards = a.less(b).equal(a.greater(0.0));
        let moved = outwards.select(pattern + 1i64, pattern - 1i64);
        let smallest = pattern.zeros_like() + 1i64;
        let sign = bits(-a.zeros_like());
        let from_zero = b.less(0.0).select(smallest.or(sign), smallest);
        let next = from_bits(a.equal(0.0).select(from_zero, moved), a.ty().dtype);
        let next = a.equal(b).select(b, next);
        Ok(is_nan(a).or(is_nan(b)).select(a + b, next))
    };
    /// Bitwise and of integers or bools.
    bitwise_and BitwiseAnd(x, y) = |_, &[a, b]| {
        let [a, b] = promote([a, b]);
        a.and(b)
    };
    /// Bitwise or of integers or bools.
    bitwise_or BitwiseOr(x, y) = |_, &[a, b]| {
        let [a, b] = promote([a, b]);
        a.or(b)
    };
    /// Bitwise exclusive or of integers or bools.
    bitwise_xor BitwiseXor(x, y) = |_, &[a, b]| {
        let [a, b] = promote([a, b]);
        a.xor(b)
    };
    /// The complement of the bits; of bools the negation.
    bitwise_invert BitwiseInvert(x) = |_, &[x]| x.complement();
    /// The complement of the bits; of bools the negation.
    bitwise_not BitwiseNot(x) = |_, &[x]| x.complement();
    /// `x << y`: zeros move in.
    bitwise_left_shift BitwiseLeftShift(x, y) = |_, &[a, b]| {
        let [a, b] = promote_numbers([a, b]);
        a.shift_left(b)
    };
    /// `x << y`: zeros move in.
    left_shift LeftShift(x, y) = |_, &[a, b]| {
        let [a, b] = promote_numbers([a, b]);
        a.shift_left(b)
    };
    /// `x >> y`: the sign bit moves in, of unsigned integers zeros.
    bitwise_right_shift BitwiseRightShift(x, y) = |_, &[a, b]| {
        let [a, b] = promote_numbers([a, b]);
        a.shift_right(b)
    };
    /// `x >> y`: the sign bit moves in, of unsigned integers zeros.
    right_shift RightShift(x, y) = |_, &[a, b]| {
        let [a, b] = promote_numbers([a, b]);
        a.shift_right(b)
    };
    /// The conjugate of real numbers: themselves.
    conjugate Conjugate(x) = |_, &[x]| *x;
    /// The real part of real numbers: themselves.
    real Real(x) = |_, &[x]| *x;
    /// The imaginary part of real numbers: zeros.
    imag Imag(x) = |_, &[x]| x.zeros_like();
    /// The same tensor.
    copy Copy(x) = |_, &[x]| *x;
    /// The elements' bytes as elements of another dtype; where they are more or fewer, so are those of the last axis.
    view View(x) {
        /// The dtype (default: that of `x`).
        dtype: DTypeName = DTypeName::Default,
    } = |_, &[x]| reinterpret(*x, dtype.or(x.ty().dtype)?);
}

/// The conjugate: another name of [`conjugate`].
#[track_caller]
pub fn conj(x: impl Into<Tensor>) -> Tensor {
    conjugate(x)
}

/// The signed integer dtype of that many bytes.
fn signed(bytes: usize) -> DType {
    match bytes {
        1 => DType::I8,
        2 => DType::I16,
        4 => DType::I32,
        _ => DType::I64,
    }
}

/// The unsigned integer dtype of that many bytes.
fn unsigned(bytes: usize) -> DType {
    match bytes {
        1 => DType::U8,
        2 => DType::U16,
        4 => DType::U32,
        _ => DType::U64,
    }
}

/// The bits as signed integers.
pub(super) fn bits<'s, 'b>(x: Formula<'s, 'b>) -> Formula<'s, 'b> {
    from_bits(x, signed(x.ty().dtype.bytes()))
}

fn from_bits<'s, 'b>(x: Formula<'s, 'b>, dtype: DType) -> Formula<'s, 'b> {
    if x.ty().dtype == dtype { x } else { x.scope().op(BitcastConvert { dtype }, &[x]) }
}

/// The largest number of a floating-point dtype.
pub(super) fn largest(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => f64::MAX,
        DType::F16 => 65504.0,
        DType::Bf16 => (2.0 - 2f64.powi(-7)) * 2f64.powi(127),
        _ => f32::MAX.into(),
    }
}

/// The bytes as elements of a dtype.
fn reinterpret<'s, 'b>(x: Formula<'s, 'b>, dtype: DType) -> Result<Formula<'s, 'b>, TypeError> {
    let ty = x.ty();
    if ty.dtype == dtype {
        return Ok(x);
    }
    if ty.dtype == DType::Bool || dtype == DType::Bool {
        return Err(wrong(format!("{} cannot be seen as {dtype}: expected number types", ty.dtype)));
    }
    let (from, to) = (ty.dtype.bytes(), dtype.bytes());
    if from == to {
        return Ok(from_bits(x, dtype));
    }
    let rank = ty.rank();
    if rank == 0 {
        return Err(wrong(format!("a scalar of {} cannot be seen as {dtype}: expected dtypes of one size", ty.dtype)));
    }
    let pattern = from_bits(x, unsigned(from));
    let last = rank - 1;
    if from > to {
        // the low bytes come first
        let parts: Vec<Formula<'s, 'b>> = (0..from / to)
            .map(|part| with_axis(pattern.shift_right((8 * to * part) as i64).convert(unsigned(to)), rank))
            .collect();
        let mut shape = ty.shape;
        shape[last] = shape[last].clone() * Dim::from(from / to);
        return Ok(from_bits(concatenate(x.scope(), &parts, rank).reshape(&shape), dtype));
    }
    let parts = (to / from) as i64;
    let whole = ty.shape[last].exact_div(&Dim::constant(parts)).ok_or_else(|| {
        wrong(format!("the last axis of {ty} cannot be seen as {dtype}: its extent is no multiple of {parts}"))
    })?;
    let limit =
        |part: i64| Dim::constant(part) + (whole.clone() - Dim::constant(1)) * Dim::constant(parts) + Dim::constant(1);
    let joined = (0..parts).map(|part| {
        slice(pattern, last, part, limit(part), parts).convert(unsigned(to)).shift_left(8 * from as i64 * part)
    });
    let joined = joined.reduce(|a, b| a.or(b)).ok_or_else(|| wrong("there are no bytes"))?;
    Ok(from_bits(joined, dtype))
}
