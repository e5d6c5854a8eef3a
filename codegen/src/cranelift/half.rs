//! Half precision by integer arithmetic, on a scalar or on four lanes at once. `ty` is `i32` or `i32x4`; a half is held in the
//! low 16 bits of a lane, the upper ones being zero.

use super::translate::Translator;
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::*;
use cranelift_codegen::ir::{InstBuilder, Type, Value};
use kc_ir::DType;

impl Translator<'_, '_> {
    fn choose(&mut self, ty: Type, condition: Value, a: Value, b: Value) -> Value {
        if ty.is_vector() {
            self.builder.ins().bitselect(condition, a, b)
        } else {
            self.builder.ins().select(condition, a, b)
        }
    }

    fn shift_right(&mut self, x: Value, amount: i64) -> Value {
        let amount = self.integer(I32, amount);
        self.builder.ins().ushr(x, amount)
    }

    fn shift_left(&mut self, x: Value, amount: i64) -> Value {
        let amount = self.integer(I32, amount);
        self.builder.ins().ishl(x, amount)
    }

    fn and(&mut self, ty: Type, x: Value, mask: i64) -> Value {
        let mask = self.integer(ty, mask);
        self.builder.ins().band(x, mask)
    }

    fn plus(&mut self, ty: Type, x: Value, value: i64) -> Value {
        let value = self.integer(ty, value);
        self.builder.ins().iadd(x, value)
    }

    fn above(&mut self, ty: Type, x: Value, bound: i64) -> Value {
        let bound = self.integer(ty, bound);
        self.builder.ins().icmp(IntCC::SignedGreaterThan, x, bound)
    }

    /// The f32 of half-precision bits.
    pub fn f32_of_half(&mut self, dtype: DType, ty: Type, bits: Value) -> Value {
        let float = if ty.is_vector() { F32X4 } else { F32 };
        if dtype == DType::Bf16 {
            let wide = self.shift_left(bits, 16);
            return self.cast(float, wide);
        }
        // exponent and fraction move to their places; a product by 2^112 corrects the bias and normalises subnormals
        let sign = self.and(ty, bits, 0x8000);
        let sign = self.shift_left(sign, 16);
        let magnitude = self.and(ty, bits, 0x7fff);
        let magnitude = self.shift_left(magnitude, 13);
        let scale = self.integer(ty, 0x7780_0000);
        let (value, scale) = (self.cast(float, magnitude), self.cast(float, scale));
        let scaled = self.builder.ins().fmul(value, scale);
        let scaled = self.cast(ty, scaled);
        // infinities and NaN keep all ones in the exponent
        let special = self.above(ty, magnitude, 0x0f7f_ffff);
        let ones = self.integer(ty, 0x7f80_0000);
        let all_ones = self.builder.ins().bor(magnitude, ones);
        let value = self.choose(ty, special, all_ones, scaled);
        let value = self.builder.ins().bor(value, sign);
        self.cast(float, value)
    }

    /// The half-precision bits of an f32, rounded to nearest even.
    pub fn half_of_f32(&mut self, dtype: DType, ty: Type, x: Value) -> Value {
        let bits = self.cast(ty, x);
        if dtype == DType::Bf16 {
            let upper = self.shift_right(bits, 16);
            let odd = self.and(ty, upper, 1);
            let rounded = self.plus(ty, bits, 0x7fff);
            let rounded = self.builder.ins().iadd(rounded, odd);
            let rounded = self.shift_right(rounded, 16);
            let magnitude = self.and(ty, bits, 0x7fff_ffff);
            let nan = self.above(ty, magnitude, 0x7f80_0000);
            let quiet = self.integer(ty, 0x40);
            let quiet = self.builder.ins().bor(upper, quiet);
            return self.choose(ty, nan, quiet, rounded);
        }
        let float = if ty.is_vector() { F32X4 } else { F32 };
        let sign = self.shift_right(bits, 16);
        let sign = self.and(ty, sign, 0x8000);
        let magnitude = self.and(ty, bits, 0x7fff_ffff);
        // normal results: the bias changes, the lost bits round
        let odd = self.shift_right(magnitude, 13);
        let odd = self.and(ty, odd, 1);
        let normal = self.plus(ty, magnitude, ((15 - 127) << 23) + 0xfff);
        let normal = self.builder.ins().iadd(normal, odd);
        let normal = self.shift_right(normal, 13);
        // subnormal results: a sum with 1/2 puts the last bit of the result into the last bit of the fraction
        let half = self.integer(ty, 0x3f00_0000);
        let (value, half_value) = (self.cast(float, magnitude), self.cast(float, half));
        let aligned = self.builder.ins().fadd(value, half_value);
        let aligned = self.cast(ty, aligned);
        let subnormal = self.builder.ins().isub(aligned, half);
        let infinity = self.integer(ty, 0x7c00);
        let nan = self.integer(ty, 0x7e00);
        let is_nan = self.above(ty, magnitude, 0x7f80_0000);
        let special = self.choose(ty, is_nan, nan, infinity);
        let is_special = self.above(ty, magnitude, 0x477f_ffff);
        let is_normal = self.above(ty, magnitude, 0x387f_ffff);
        let finite = self.choose(ty, is_normal, normal, subnormal);
        let value = self.choose(ty, is_special, special, finite);
        self.builder.ins().bor(value, sign)
    }

    /// An f64 in f32; where that is not exact, the neighbour whose last bit is 1, so that a later rounding to half precision is
    /// that of the f64.
    pub fn f32_round_to_odd(&mut self, x: Value) -> Value {
        let nearest = self.builder.ins().fdemote(F32, x);
        let back = self.builder.ins().fpromote(F64, nearest);
        let (above, below) = (FloatCC::GreaterThan, FloatCC::LessThan);
        let more = self.builder.ins().fcmp(above, back, x);
        let less = self.builder.ins().fcmp(below, back, x);
        let inexact = self.builder.ins().bor(more, less);
        let (back, x) = (self.builder.ins().fabs(back), self.builder.ins().fabs(x));
        let away = self.builder.ins().fcmp(above, back, x);
        let away = self.builder.ins().uextend(I32, away);
        let bits = self.cast(I32, nearest);
        let toward_zero = self.builder.ins().isub(bits, away);
        let one = self.integer(I32, 1);
        let odd = self.builder.ins().bor(toward_zero, one);
        let bits = self.builder.ins().select(inexact, odd, bits);
        self.cast(F32, bits)
    }
}
