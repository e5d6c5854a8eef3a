//! Lanewise functions on slots.

use super::math::math;
use crate::tensor::ops::{Binary, Compare, Unary};
use crate::tensor::{bf16_from_f64, f16_from_f64};
use half::{bf16, f16};
use kc_abi::DType;
use kc_abi::call::MathFunction;

/// A lane's value, as the low bits of a slot.
pub(super) trait Lane: Copy + PartialOrd {
    fn of(bits: u64) -> Self;
    fn bits(self) -> u64;
}

/// A float with operations that round once.
trait Float: Lane {
    fn wide(self) -> f64;
    fn narrow(x: f64) -> Self;
    /// Applies a function of f32 or f64, whichever is the narrowest type that computes exactly enough.
    fn arithmetic(function: Arithmetic, a: Self, b: Self) -> Self;
    fn flip(self) -> Self;
    fn magnitude(self) -> Self;
}

#[derive(Clone, Copy)]
enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Sqrt,
}

macro_rules! lanes {
    ($($ty:ident $unsigned:ident)*) => {$(
        impl Lane for $ty {
            #[inline(always)]
            fn of(bits: u64) -> Self { bits as $ty }
            #[inline(always)]
            fn bits(self) -> u64 { self as $unsigned as u64 }
        }
    )*};
}
lanes! { i8 u8 i16 u16 i32 u32 i64 u64 u8 u8 u16 u16 u32 u32 u64 u64 }

macro_rules! float_lanes {
    ($($ty:ident $unsigned:ident $compute:ident, $widen:expr, $narrow:expr, $from:expr, $to:expr;)*) => {$(
        impl Lane for $ty {
            #[inline(always)]
            fn of(bits: u64) -> Self { <$ty>::from_bits(bits as $unsigned) }
            #[inline(always)]
            fn bits(self) -> u64 { self.to_bits() as u64 }
        }
        impl Float for $ty {
            #[inline(always)]
            fn wide(self) -> f64 { $widen(self) }
            #[inline(always)]
            fn narrow(x: f64) -> Self { $narrow(x) }
            #[inline(always)]
            fn arithmetic(function: Arithmetic, a: Self, b: Self) -> Self {
                let (a, b): ($compute, $compute) = ($from(a), $from(b));
                $to(match function {
                    Arithmetic::Add => a + b,
                    Arithmetic::Subtract => a - b,
                    Arithmetic::Multiply => a * b,
                    Arithmetic::Divide => a / b,
                    Arithmetic::Remainder => a % b,
                    Arithmetic::Sqrt => a.sqrt(),
                })
            }
            #[inline(always)]
            fn flip(self) -> Self { <$ty>::from_bits(self.to_bits() ^ (1 << ($unsigned::BITS - 1))) }
            #[inline(always)]
            fn magnitude(self) -> Self { <$ty>::from_bits(self.to_bits() & !(1 << ($unsigned::BITS - 1))) }
        }
    )*};
}
float_lanes! {
    f64 u64 f64, |x| x, |x| x, |x| x, |x| x;
    f32 u32 f32, f64::from, |x| x as f32, |x| x, |x| x;
    f16 u16 f32, f16::to_f64, f16_from_f64, f16::to_f32, f16::from_f32;
    bf16 u16 f32, bf16::to_f64, bf16_from_f64, bf16::to_f32, bf16::from_f32;
}

/// The slots that an operation works on: destination, operands and number of lanes.
pub(super) struct Operands {
    pub d: usize,
    pub a: usize,
    pub b: usize,
    pub lanes: usize,
}

#[inline(always)]
fn map<T: Lane, R: Lane>(slots: &mut [u64], o: &Operands, function: impl Fn(T) -> R) {
    for lane in 0..o.lanes {
        slots[o.d + lane] = function(T::of(slots[o.a + lane])).bits();
    }
}

#[inline(always)]
fn zip<T: Lane, R: Lane>(slots: &mut [u64], o: &Operands, function: impl Fn(T, T) -> R) {
    for lane in 0..o.lanes {
        slots[o.d + lane] = function(T::of(slots[o.a + lane]), T::of(slots[o.b + lane])).bits();
    }
}

macro_rules! with_type {
    ($dtype:expr, $ty:ident => float $float:expr, integer $integer:expr, bool $bool:expr) => {
        match $dtype {
            DType::F64 => {
                type $ty = f64;
                $float
            }
            DType::F32 => {
                type $ty = f32;
                $float
            }
            DType::F16 => {
                type $ty = f16;
                $float
            }
            DType::Bf16 => {
                type $ty = bf16;
                $float
            }
            DType::I8 => {
                type $ty = i8;
                $integer
            }
            DType::I16 => {
                type $ty = i16;
                $integer
            }
            DType::I32 => {
                type $ty = i32;
                $integer
            }
            DType::I64 => {
                type $ty = i64;
                $integer
            }
            DType::U8 => {
                type $ty = u8;
                $integer
            }
            DType::U16 => {
                type $ty = u16;
                $integer
            }
            DType::U32 => {
                type $ty = u32;
                $integer
            }
            DType::U64 => {
                type $ty = u64;
                $integer
            }
            DType::Bool => $bool,
        }
    };
}

fn below_zero(x: impl Into<i128>) -> bool {
    x.into() < 0
}

/// The amount, where it is one of `0..bits`.
fn shift_amount(amount: impl Into<i128>, bits: u32) -> Option<u32> {
    u32::try_from(amount.into()).ok().filter(|&amount| amount < bits)
}

pub(super) fn unary(slots: &mut [u64], function: Unary, dtype: DType, o: &Operands) {
    with_type!(dtype, T =>
        float float_unary::<T>(slots, function, o),
        integer map::<T, T>(slots, o, |x| match function {
            Unary::Negate => x.wrapping_neg(),
            Unary::Abs => if below_zero(x) { x.wrapping_neg() } else { x },
            Unary::Sign => if below_zero(x) { !0 } else { (x != 0) as T },
            Unary::Not => !x,
            Unary::PopulationCount => x.count_ones() as T,
            Unary::CountLeadingZeros => x.leading_zeros() as T,
            // the verifier admits no function of floats here
            Unary::Exp | Unary::Expm1 | Unary::Log | Unary::Log1p | Unary::Sqrt | Unary::Rsqrt | Unary::Cbrt | Unary::Sin | Unary::Cos | Unary::Tan | Unary::Asin | Unary::Acos | Unary::Atan | Unary::Sinh | Unary::Cosh | Unary::Tanh | Unary::Asinh | Unary::Acosh | Unary::Atanh | Unary::Logistic | Unary::Erf | Unary::Erfc | Unary::ErfInv | Unary::Lgamma | Unary::Digamma | Unary::Floor | Unary::Ceil | Unary::Trunc | Unary::RoundEven | Unary::IsFinite => x,
        }),
        // the verifier admits only `not`
        bool map::<u8, u8>(slots, o, |x| x ^ 1)
    );
}

fn float_unary<T: Float>(slots: &mut [u64], function: Unary, o: &Operands) {
    match function {
        Unary::Negate => map::<T, T>(slots, o, T::flip),
        Unary::Abs => map::<T, T>(slots, o, T::magnitude),
        Unary::Sqrt => map::<T, T>(slots, o, |x| T::arithmetic(Arithmetic::Sqrt, x, x)),
        Unary::IsFinite => map::<T, u8>(slots, o, |x| x.wide().is_finite() as u8),
        _ => map::<T, T>(slots, o, |x| T::narrow(function.of_float(x.wide()))),
    }
}

/// A scalar function of one or two operands, computed in f64.
pub(super) fn math_lanes(slots: &mut [u64], function: MathFunction, dtype: DType, o: &Operands) {
    match dtype {
        DType::F64 => zip::<f64, f64>(slots, o, |x, y| math(function, x, y)),
        // the verifier admits f32 and f64
        _ => zip::<f32, f32>(slots, o, |x, y| math(function, x.into(), y.into()) as f32),
    }
}

/// The larger; NaN if one is NaN; +0 is above -0.
fn maximum<T: Float>(a: T, b: T) -> T {
    let (x, y) = (a.wide(), b.wide());
    if x.is_nan() || (!y.is_nan() && (x > y || (x == y && !x.is_sign_negative()))) { a } else { b }
}

pub(super) fn binary(slots: &mut [u64], function: Binary, dtype: DType, o: &Operands) {
    with_type!(dtype, T =>
        float float_binary::<T>(slots, function, o),
        integer match function {
            Binary::Add => zip::<T, T>(slots, o, T::wrapping_add),
            Binary::Subtract => zip::<T, T>(slots, o, T::wrapping_sub),
            Binary::Multiply => zip::<T, T>(slots, o, T::wrapping_mul),
            Binary::Divide => zip::<T, T>(slots, o, |a, b| if b == 0 { !0 } else { a.wrapping_div(b) }),
            Binary::Remainder => zip::<T, T>(slots, o, |a, b| if b == 0 { a } else { a.wrapping_rem(b) }),
            Binary::Power => zip::<T, T>(slots, o, |a, b| function.of_int(dtype, a.into(), b.into()) as T),
            Binary::Maximum => zip::<T, T>(slots, o, T::max),
            Binary::Minimum => zip::<T, T>(slots, o, T::min),
            Binary::And => zip::<T, T>(slots, o, |a, b| a & b),
            Binary::Or => zip::<T, T>(slots, o, |a, b| a | b),
            Binary::Xor => zip::<T, T>(slots, o, |a, b| a ^ b),
            Binary::ShiftLeft => zip::<T, T>(slots, o, |a, b| {
                shift_amount(b, T::BITS).map_or(0, |b| a << b)
            }),
            Binary::ShiftRight => zip::<T, T>(slots, o, |a, b| match shift_amount(b, T::BITS) {
                Some(b) => a >> b,
                None if below_zero(a) => !0,
                None => 0,
            }),
            // a function of floats, which the verifier does not admit here
            Binary::Atan2 => {}
        },
        bool match function {
            Binary::Add | Binary::Maximum | Binary::Or => zip::<u8, u8>(slots, o, |a, b| a | b),
            Binary::Multiply | Binary::Minimum | Binary::And => zip::<u8, u8>(slots, o, |a, b| a & b),
            Binary::Xor => zip::<u8, u8>(slots, o, |a, b| a ^ b),
            // functions of numbers, which the verifier does not admit here
            Binary::Subtract | Binary::Divide | Binary::Remainder | Binary::Power | Binary::Atan2
            | Binary::ShiftLeft | Binary::ShiftRight => {}
        }
    );
}

fn float_binary<T: Float>(slots: &mut [u64], function: Binary, o: &Operands) {
    match function {
        Binary::Add => zip::<T, T>(slots, o, |a, b| T::arithmetic(Arithmetic::Add, a, b)),
        Binary::Subtract => zip::<T, T>(slots, o, |a, b| T::arithmetic(Arithmetic::Subtract, a, b)),
        Binary::Multiply => zip::<T, T>(slots, o, |a, b| T::arithmetic(Arithmetic::Multiply, a, b)),
        Binary::Divide => zip::<T, T>(slots, o, |a, b| T::arithmetic(Arithmetic::Divide, a, b)),
        Binary::Remainder => zip::<T, T>(slots, o, |a, b| T::arithmetic(Arithmetic::Remainder, a, b)),
        Binary::Maximum => zip::<T, T>(slots, o, maximum),
        Binary::Minimum => zip::<T, T>(slots, o, |a, b| maximum(a.flip(), b.flip()).flip()),
        // powers and angles; the verifier does not admit functions of integers and bools here
        _ => zip::<T, T>(slots, o, |a, b| T::narrow(function.of_float(a.wide(), b.wide()))),
    }
}

/// `a*b + c`; the third operand lies at `c`.
pub(super) fn multiply_add(slots: &mut [u64], dtype: DType, fused: bool, o: &Operands, c: usize) {
    fn each<T: Lane>(slots: &mut [u64], o: &Operands, c: usize, function: impl Fn(T, T, T) -> T) {
        for lane in 0..o.lanes {
            let operands = (T::of(slots[o.a + lane]), T::of(slots[o.b + lane]), T::of(slots[c + lane]));
            slots[o.d + lane] = function(operands.0, operands.1, operands.2).bits();
        }
    }
    match dtype {
        DType::F32 if fused => return each::<f32>(slots, o, c, f32::mul_add),
        DType::F64 if fused => return each::<f64>(slots, o, c, f64::mul_add),
        _ => {}
    }
    with_type!(dtype, T =>
        float each::<T>(slots, o, c, |a, b, c| {
            T::arithmetic(Arithmetic::Add, T::arithmetic(Arithmetic::Multiply, a, b), c)
        }),
        integer each::<T>(slots, o, c, |a, b, c| a.wrapping_mul(b).wrapping_add(c)),
        // which the verifier does not admit
        bool {}
    );
}

/// `a*b + c` by groups: of two bf16, the last product first, or of four 8-bit integers.
pub(super) fn multiply_add_groups(slots: &mut [u64], dtypes: [DType; 2], o: &Operands, c: usize) {
    for lane in 0..o.lanes {
        let bits = slots[c + lane];
        slots[o.d + lane] = if dtypes == [DType::Bf16; 2] {
            let factor = |at: usize, part: usize| bf16::of(slots[at + 2 * lane + part]).to_f32();
            let sum = |sum: f32, part: usize| factor(o.a, part).mul_add(factor(o.b, part), sum);
            [1, 0].into_iter().fold(f32::of(bits), sum).bits()
        } else {
            let factor = |operand: usize, at: usize, part: usize| {
                integer_of(slots[at + 4 * lane + part], dtypes[operand]) as i32
            };
            let sum = |sum: i32, part: usize| sum.wrapping_add(factor(0, o.a, part) * factor(1, o.b, part));
            (0..4).fold(i32::of(bits), sum).bits()
        };
    }
}

pub(super) fn compare(slots: &mut [u64], function: Compare, dtype: DType, o: &Operands) {
    fn each<T: Lane>(slots: &mut [u64], function: Compare, o: &Operands) {
        match function {
            Compare::Equal => zip::<T, u8>(slots, o, |a, b| (a == b) as u8),
            Compare::NotEqual => zip::<T, u8>(slots, o, |a, b| (a != b) as u8),
            Compare::Less => zip::<T, u8>(slots, o, |a, b| (a < b) as u8),
            Compare::LessEqual => zip::<T, u8>(slots, o, |a, b| (a <= b) as u8),
            Compare::Greater => zip::<T, u8>(slots, o, |a, b| (a > b) as u8),
            Compare::GreaterEqual => zip::<T, u8>(slots, o, |a, b| (a >= b) as u8),
        }
    }
    with_type!(dtype, T =>
        float each::<T>(slots, function, o),
        integer each::<T>(slots, function, o),
        bool each::<u8>(slots, function, o)
    );
}

/// A register of an index, as i64.
pub(super) fn integer_of(bits: u64, dtype: DType) -> i64 {
    match dtype {
        DType::I8 => bits as i8 as i64,
        DType::I16 => bits as i16 as i64,
        DType::I32 => bits as i32 as i64,
        _ => bits as i64,
    }
}
