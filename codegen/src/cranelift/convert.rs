//! Conversions between dtypes.

use super::translate::Translator;
use super::vector::{Vector, element_of, part_count, vector_type};
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::*;
use cranelift_codegen::ir::{ConstantData, InstBuilder, Type, Value};
use kc_ir::DType;

fn is_half(dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::Bf16)
}

/// Smallest and largest value, as bits of an i32, of an integer dtype of at most 16 bits.
fn bounds(dtype: DType) -> (i64, i64) {
    let (low, high) = kc_ir::tensor::integer_range(dtype);
    (low as i64, high as i64)
}

impl Translator<'_, '_> {
    /// The lanes in another dtype.
    pub fn convert(&mut self, from: DType, to: DType, x: &Vector) -> Vector {
        if from == to {
            return x.clone();
        }
        if x.lanes == 1 {
            let value = self.convert_scalar(from, to, x.parts[0]);
            return Vector::scalar(element_of(to), value);
        }
        if is_half(from) {
            let wide = self.halves_to_f32(from, x);
            return self.convert(DType::F32, to, &wide);
        }
        let integer = |dtype: DType| !dtype.is_float() && dtype != DType::Bool;
        match (from, to) {
            (DType::Bool, _) => self.convert_mask(to, x),
            (_, DType::Bool) => self.is_not_zero(from, x),
            (DType::F32, DType::F16 | DType::Bf16) => self.halves_of_f32(to, x),
            (DType::F32, DType::F64) => self.promote(x),
            (DType::F64, DType::F32) => self.demote(x),
            (DType::F32, DType::I32) => self.map(x, |t, part| t.builder.ins().fcvt_to_sint_sat(I32X4, part)).of(I32),
            (DType::F32, DType::U32) => self.map(x, |t, part| t.builder.ins().fcvt_to_uint_sat(I32X4, part)).of(I32),
            (DType::F32, DType::I8 | DType::I16 | DType::U8 | DType::U16) => {
                let (low, high) = bounds(to);
                let wide = self.map(x, |t, part| {
                    let whole = t.builder.ins().fcvt_to_sint_sat(I32X4, part);
                    let (low, high) = (t.integer(I32X4, low), t.integer(I32X4, high));
                    let whole = t.builder.ins().smax(whole, low);
                    t.builder.ins().smin(whole, high)
                });
                self.resize(&wide.of(I32), element_of(to), true)
            }
            (DType::U32, DType::F32) => self.map(x, |t, part| t.builder.ins().fcvt_from_uint(F32X4, part)).of(F32),
            (DType::I32 | DType::I8 | DType::I16 | DType::U8 | DType::U16, DType::F32) => {
                let wide = self.resize(x, I32, from.is_signed_integer());
                self.map(&wide, |t, part| t.builder.ins().fcvt_from_sint(F32X4, part)).of(F32)
            }
            (DType::I8 | DType::I16 | DType::U8 | DType::U16, DType::F16 | DType::Bf16) => {
                let exact = self.convert(from, DType::F32, x);
                self.halves_of_f32(to, &exact)
            }
            _ if integer(from) && integer(to) => self.resize(x, element_of(to), from.is_signed_integer()),
            _ => self.each_lane(x, from, to, |t, lane| t.convert_scalar(from, to, lane)),
        }
    }

    /// A mask as 0 and 1.
    fn convert_mask(&mut self, to: DType, x: &Vector) -> Vector {
        if is_half(to) {
            let one = if to == DType::F16 { 0x3c00 } else { 0x3f80 };
            return self.masked(x, I16, one);
        }
        match to {
            DType::F32 => self.masked(x, F32, i64::from(1f32.to_bits())),
            DType::F64 => self.masked(x, F64, 1f64.to_bits() as i64),
            _ => self.masked(x, element_of(to), 1),
        }
    }

    /// The bits `one` where the mask is set, else zeros.
    fn masked(&mut self, x: &Vector, element: Type, one: i64) -> Vector {
        let mask = self.mask(x, element);
        let ty = mask.part_type();
        let lanes = self.map(&mask, |t, part| {
            let one = t.integer(ty, one);
            let bits = t.builder.ins().band(part, one);
            t.cast(vector_type(element), bits)
        });
        lanes.of(element)
    }

    fn is_not_zero(&mut self, from: DType, x: &Vector) -> Vector {
        let ty = x.part_type();
        let mask = self.map(x, |t, part| {
            if from.is_float() {
                let zero = t.integer(ty.as_int(), 0);
                let zero = t.cast(ty, zero);
                t.builder.ins().fcmp(FloatCC::NotEqual, part, zero)
            } else {
                let zero = t.integer(ty, 0);
                t.builder.ins().icmp(IntCC::NotEqual, part, zero)
            }
        });
        mask.of(super::vector::integer_of_bytes(x.element.bytes()))
    }

    /// Half-precision lanes as f32.
    pub fn halves_to_f32(&mut self, from: DType, x: &Vector) -> Vector {
        let wide = self.resize(x, I32, false);
        let ty = wide.part_type();
        self.map(&wide, |t, part| t.f32_of_half(from, ty, part)).of(F32)
    }

    /// f32 lanes in half precision.
    pub fn halves_of_f32(&mut self, to: DType, x: &Vector) -> Vector {
        let ty = if x.lanes == 1 { I32 } else { I32X4 };
        let wide = self.map(x, |t, part| t.half_of_f32(to, ty, part)).of(I32);
        if x.lanes == 1 {
            return self.resize(&wide, I16, false);
        }
        let pairs = wide.parts.chunks(2);
        let parts = pairs.map(|pair| self.builder.ins().unarrow(pair[0], *pair.last().unwrap_or(&pair[0])));
        Vector { element: I16, lanes: x.lanes, parts: parts.collect(), splat: None }
    }

    /// The upper two lanes in the place of the lower two.
    fn upper_half(&mut self, x: Value) -> Value {
        let mask: Vec<u8> = (8..16).chain(8..16).collect();
        let mask = self.builder.func.dfg.immediates.push(ConstantData::from(mask));
        let bytes = self.cast(I8X16, x);
        let upper = self.builder.ins().shuffle(bytes, bytes, mask);
        self.cast(F32X4, upper)
    }

    fn promote(&mut self, x: &Vector) -> Vector {
        let count = part_count(F64, x.lanes);
        let mut parts = Vec::with_capacity(count);
        for &part in &x.parts {
            parts.push(self.builder.ins().fvpromote_low(part));
            if parts.len() < count {
                let upper = self.upper_half(part);
                parts.push(self.builder.ins().fvpromote_low(upper));
            }
        }
        Vector { element: F64, lanes: x.lanes, parts, splat: None }
    }

    fn demote(&mut self, x: &Vector) -> Vector {
        let mask: Vec<u8> = (0..8).chain(16..24).collect();
        let pairs: Vec<&[Value]> = x.parts.chunks(2).collect();
        let parts = pairs
            .into_iter()
            .map(|pair| {
                let low = self.builder.ins().fvdemote(pair[0]);
                let Some(&high) = pair.get(1) else { return low };
                let high = self.builder.ins().fvdemote(high);
                let mask = self.builder.func.dfg.immediates.push(ConstantData::from(mask.clone()));
                let (low, high) = (self.cast(I8X16, low), self.cast(I8X16, high));
                let both = self.builder.ins().shuffle(low, high, mask);
                self.cast(F32X4, both)
            })
            .collect();
        Vector { element: F32, lanes: x.lanes, parts, splat: None }
    }

    /// One lane.
    fn convert_scalar(&mut self, from: DType, to: DType, x: Value) -> Value {
        if is_half(from) {
            let bits = self.builder.ins().uextend(I32, x);
            let wide = self.f32_of_half(from, I32, bits);
            return self.convert_scalar(DType::F32, to, wide);
        }
        if from == to {
            return x;
        }
        let element = element_of(to);
        match (from.is_float(), to.is_float()) {
            (true, true) => match (from, to) {
                (DType::F64, DType::F32) => self.builder.ins().fdemote(F32, x),
                (_, DType::F64) => self.builder.ins().fpromote(F64, x),
                (_, half) => {
                    let x = if from == DType::F64 { self.f32_round_to_odd(x) } else { x };
                    let bits = self.half_of_f32(half, I32, x);
                    self.builder.ins().ireduce(I16, bits)
                }
            },
            (true, false) => match to {
                DType::Bool => {
                    let zero = if from == DType::F64 {
                        self.builder.ins().f64const(0.0)
                    } else {
                        self.builder.ins().f32const(0.0)
                    };
                    self.builder.ins().fcmp(FloatCC::NotEqual, x, zero)
                }
                DType::I32 | DType::I64 => self.builder.ins().fcvt_to_sint_sat(element, x),
                DType::U32 | DType::U64 => self.builder.ins().fcvt_to_uint_sat(element, x),
                _ => {
                    let whole = self.builder.ins().fcvt_to_sint_sat(I32, x);
                    let (low, high) = bounds(to);
                    let (low, high) = (self.integer(I32, low), self.integer(I32, high));
                    let whole = self.builder.ins().smax(whole, low);
                    let whole = self.builder.ins().smin(whole, high);
                    self.builder.ins().ireduce(element, whole)
                }
            },
            (false, true) => {
                let signed = from.is_signed_integer();
                let float = if to == DType::F32 { F32 } else { F64 };
                let wide = self.resize(&Vector::scalar(element_of(from), x), I64, signed).parts[0];
                let value = if from == DType::U64 {
                    self.builder.ins().fcvt_from_uint(float, wide)
                } else {
                    self.builder.ins().fcvt_from_sint(float, wide)
                };
                if is_half(to) { self.convert_scalar(DType::F64, to, value) } else { value }
            }
            (false, false) => {
                if to == DType::Bool {
                    let zero = self.integer(element_of(from), 0);
                    return self.builder.ins().icmp(IntCC::NotEqual, x, zero);
                }
                let x = Vector::scalar(element_of(from), x);
                self.resize(&x, element, from.is_signed_integer()).parts[0]
            }
        }
    }
}

impl Vector {
    /// The same parts, as lanes of another type of as many bytes.
    pub fn of(self, element: Type) -> Self {
        let splat = if self.lanes == 1 { self.parts.first().copied() } else { None };
        Vector { element, splat, ..self }
    }
}
