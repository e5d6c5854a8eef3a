//! Random numbers of `jax.random` from random bits: their dtypes, and how bits become integers and floats.

use super::random::{block, key_words};
use crate::tensor::literal::round;
use crate::tensor::ops::{BitcastConvert, Iota, RandomBits};
use crate::tensor::{Scalar, Tensor, TypeError};
use kc_abi::{DType, Dim, TensorType};

/// The unsigned type of so many bits.
pub(super) fn unsigned(bits: u32) -> DType {
    match bits {
        8 => DType::U8,
        16 => DType::U16,
        32 => DType::U32,
        _ => DType::U64,
    }
}

/// `jax.random.bits`: so many bits an element, from a key.
pub(super) fn random_bits<'s, 'b>(key: Tensor<'s, 'b>, shape: &[Dim], bits: u32) -> Tensor<'s, 'b> {
    if bits < 64 {
        return narrow(key.with_op(RandomBits { shape: shape.to_vec() }), bits);
    }
    let elements = shape.iter().cloned().product::<Dim>();
    let iota = Iota { ty: TensorType { dtype: DType::U64, shape: vec![elements] }, axis: 0 };
    let counter = key.scope().op(iota, &[]);
    let word = |bits: Tensor<'s, 'b>| bits.and(key.scope().scalar(DType::U64, 0xFFFF_FFFFi64)).convert(DType::U32);
    let words = block(key_words(key), word(counter.shift_right(counter.number(32.0))), word(counter));
    of_words(words, 64).reshape(shape)
}

/// Bits of a block's two words.
pub(super) fn of_words<'s, 'b>([high, low]: [Tensor<'s, 'b>; 2], bits: u32) -> Tensor<'s, 'b> {
    if bits < 64 {
        return narrow(high.xor(low), bits);
    }
    let [high, low] = [high, low].map(|word| word.convert(DType::U64));
    high.shift_left(high.number(32.0)).or(low)
}

/// The lowest bits of words.
fn narrow<'s, 'b>(words: Tensor<'s, 'b>, bits: u32) -> Tensor<'s, 'b> {
    if bits == 32 {
        return words;
    }
    words.and(words.number(f64::from((1u32 << bits) - 1))).convert(unsigned(bits))
}

/// How floats of a type are made of bits.
#[derive(Clone, Copy)]
pub(super) struct Floats {
    pub dtype: DType,
    /// How many bits are drawn.
    pub bits: u32,
    /// How many of them are the fraction of a number from 1 to 2.
    fraction: u32,
    /// The bits of 1.
    one: i64,
    /// How far the largest number below 2 is from it.
    pub step_below_two: f64,
    /// The smallest normal number.
    pub tiny: f64,
}

impl Floats {
    pub fn of(op: &str, dtype: DType) -> Result<Floats, TypeError> {
        let (bits, fraction, one, tiny) = match dtype {
            DType::F16 => (16, 10, 0x3C00, 2f64.powi(-14)),
            DType::Bf16 => (8, 7, 0x3F80, 2f64.powi(-126)),
            DType::F32 => (32, 23, 0x3F80_0000, 2f64.powi(-126)),
            DType::F64 => (64, 52, 0x3FF0_0000_0000_0000, f64::MIN_POSITIVE),
            other => {
                let message = format!("the dtype is {other}, expected one of f16, bf16, f32, f64");
                return Err(TypeError::new(op, message));
            }
        };
        Ok(Floats { dtype, bits, fraction, one, step_below_two: 2f64.powi(-(fraction as i32)), tiny })
    }

    /// A number, rounded to the dtype.
    pub fn round(self, x: f64) -> f64 {
        round(self.dtype, Scalar::Float(x)).to_f64()
    }

    /// `sqrt 2`, rounded to the dtype.
    pub fn sqrt_2(self) -> f64 {
        self.round(std::f64::consts::SQRT_2)
    }

    /// Numbers in `0..1`: random bits as the fraction of a number in `1..2`, less 1.
    fn unit<'s, 'b>(self, bits: Tensor<'s, 'b>) -> Tensor<'s, 'b> {
        let number = |dtype: DType, value: i64| bits.scope().scalar(dtype, value);
        let own = bits.ty().dtype;
        let whole = unsigned(if self.bits == 8 { 16 } else { self.bits });
        let fraction = bits.shift_right(number(own, (self.bits - self.fraction).into())).convert(whole);
        fraction.or(number(whole, self.one)).with_op(BitcastConvert { dtype: self.dtype }) - 1.0
    }

    /// Numbers in `low..high`.
    pub fn uniform<'s, 'b>(self, bits: Tensor<'s, 'b>, low: f64, high: f64) -> Tensor<'s, 'b> {
        let unit = self.unit(bits);
        let (low, high) = (self.round(low), self.round(high));
        if (low, high) == (0.0, 1.0) {
            return unit;
        }
        let span = self.round(high - low);
        // XLA contracts this to a multiplication and addition with one rounding where the machine has them
        let scaled = match self.dtype {
            DType::F32 => (unit.convert(DType::F64) * span + low).convert(DType::F32),
            DType::F64 => multiply_add(unit, span, low),
            _ => unit * span + low,
        };
        scaled.maximum(low)
    }

    /// Normal numbers.
    pub fn normal<'s, 'b>(self, bits: Tensor<'s, 'b>) -> Tensor<'s, 'b> {
        // the number above -1
        let low = -1.0 + self.step_below_two / 2.0;
        self.uniform(bits, low, 1.0).erf_inv() * self.sqrt_2()
    }

    /// Numbers of the Gumbel distribution.
    pub fn gumbel<'s, 'b>(self, bits: Tensor<'s, 'b>) -> Tensor<'s, 'b> {
        -(-self.uniform(bits, self.tiny, 1.0).log()).log()
    }
}

/// `x * factor + addend` of f64, with the error of the product added (Dekker, 1971).
fn multiply_add<'s, 'b>(x: Tensor<'s, 'b>, factor: f64, addend: f64) -> Tensor<'s, 'b> {
    const SPLIT: f64 = 134_217_729.0;
    let high = {
        let scaled = x * SPLIT;
        scaled - (scaled - x)
    };
    let low = x - high;
    let factor_high = {
        let scaled = factor * SPLIT;
        scaled - (scaled - factor)
    };
    let factor_low = factor - factor_high;
    let product = x * factor;
    let error = ((high * factor_high - product) + high * factor_low + low * factor_high) + low * factor_low;
    let sum = product + addend;
    let part = sum - product;
    let lost = (product - (sum - part)) + (part.number(addend) - part);
    sum + (lost + error)
}
