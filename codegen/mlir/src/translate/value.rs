//! Types and constants.

use super::{Known, Result, Translator};
use kc_abi::DType;
use kc_ir::kernel::{Index, RegisterType};
use kc_ir::tensor::{Literal, Scalar};

/// The type of one lane in a register.
pub(super) fn lane_type(dtype: DType) -> &'static str {
    match dtype {
        DType::F64 => "f64",
        DType::F32 => "f32",
        DType::F16 | DType::Bf16 | DType::I16 | DType::U16 => "i16",
        DType::I8 | DType::U8 => "i8",
        DType::I32 | DType::U32 => "i32",
        DType::I64 | DType::U64 => "i64",
        DType::Bool => "i1",
    }
}

/// Whether values of the type are computed in f32 and rounded.
pub(super) fn is_narrow_float(dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::Bf16)
}

/// A vector of `lanes` elements, or one.
pub(super) fn vector_of(element: &str, lanes: u32) -> String {
    if lanes == 1 { element.to_string() } else { format!("vector<{lanes}x{element}>") }
}

pub(super) fn type_of(dtype: DType, lanes: u32) -> String {
    vector_of(lane_type(dtype), lanes)
}

pub(super) fn register_type(ty: RegisterType) -> String {
    type_of(ty.dtype, ty.lanes)
}

/// The type in memory: as in registers, but for bool a byte.
pub(super) fn memory_type(dtype: DType, lanes: u32) -> String {
    vector_of(if dtype == DType::Bool { "i8" } else { lane_type(dtype) }, lanes)
}

impl Translator<'_> {
    /// A value in every lane, given as MLIR's text of one lane.
    pub(super) fn splat_constant(&mut self, text: &str, element: &str, lanes: u32) -> String {
        self.constant_text(match lanes {
            1 if element == "i1" => text.to_string(),
            1 => format!("{text} : {element}"),
            _ => format!("dense<{text}> : vector<{lanes}x{element}>"),
        })
    }

    /// An integer of that many bits in every lane.
    pub(super) fn int_constant(&mut self, bits: u32, value: i128, lanes: u32) -> String {
        let value = if bits == 64 { i128::from(value as i64) } else { value };
        self.splat_constant(&value.to_string(), &format!("i{bits}"), lanes)
    }

    /// A value of the dtype in every lane, by its bits.
    pub(super) fn scalar_constant(&mut self, dtype: DType, value: Scalar, lanes: u32) -> String {
        let literal = Literal::scalar(dtype, value);
        let bits = literal.bytes().iter().rev().fold(0u64, |bits, &byte| bits << 8 | u64::from(byte));
        match dtype {
            DType::F32 => self.splat_constant(&format!("0x{bits:08X}"), "f32", lanes),
            DType::F64 => self.splat_constant(&format!("0x{bits:016X}"), "f64", lanes),
            DType::Bool => self.splat_constant(if bits == 0 { "false" } else { "true" }, "i1", lanes),
            _ => {
                let shift = 64 - dtype.bits();
                self.int_constant(dtype.bits(), i128::from(((bits << shift) as i64) >> shift), lanes)
            }
        }
    }

    /// `0, step, 2*step, ...` as integers of that many bits, wrapped.
    pub(super) fn iota(&mut self, bits: u32, step: i64, lanes: u32) -> String {
        let shift = 64 - bits;
        let lane = |lane: i64| (lane.wrapping_mul(step) << shift >> shift).to_string();
        let values: Vec<String> = (0..i64::from(lanes)).map(lane).collect();
        self.constant_text(format!("dense<[{}]> : vector<{lanes}xi{bits}>", values.join(", ")))
    }

    /// The mask of the first `count` lanes of `whole`, of which a thread holds `lanes`. It is compared in elements of `bits`, those of the masked
    /// value where they can count the lanes.
    pub(super) fn mask(&mut self, count: &Index, lanes: u32, whole: u32, bits: u32) -> Result<String> {
        let bits = if bits == 8 && lanes > 127 { 16 } else { bits };
        let key = Known::Mask { count: count.clone(), whole, bits };
        if let Some(name) = self.known(&key) {
            return Ok(name);
        }
        let mut bound = self.index(count)?;
        if let Some(first) = self.first_lane(whole) {
            bound = self.op(&format!("arith.subi {bound}, {first} : i64"));
        }
        if bits < 64 {
            let (zero, all) = (self.i64(0), self.i64(i64::from(lanes)));
            bound = self.op(&format!("arith.maxsi {bound}, {zero} : i64"));
            bound = self.op(&format!("arith.minsi {bound}, {all} : i64"));
            bound = self.op(&format!("arith.trunci {bound} : i64 to i{bits}"));
        }
        let iota = self.iota(bits, 1, lanes);
        let ty = format!("vector<{lanes}xi{bits}>");
        let bound = self.op(&format!("vector.broadcast {bound} : i{bits} to {ty}"));
        let name = self.op(&format!("arith.cmpi slt, {iota}, {bound} : {ty}"));
        self.remember(key, &name);
        Ok(name)
    }
}
