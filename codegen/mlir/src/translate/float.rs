//! Conversions, and f16 and bf16 through f32. Everything is expanded to what the CPU has: no call of a support library is left.

use super::Translator;
use super::value::{is_narrow_float, lane_type, register_type, vector_of};
use kc_abi::DType;
use kc_ir::kernel::RegisterType;

impl Translator<'_> {
    fn int_op(&mut self, operation: &str, a: &str, b: &str, bits: u32, lanes: u32) -> String {
        self.op(&format!("arith.{operation} {a}, {b} : {}", vector_of(&format!("i{bits}"), lanes)))
    }

    /// The same with a constant on the right.
    fn int_op_by(&mut self, operation: &str, a: &str, b: i128, bits: u32, lanes: u32) -> String {
        let b = self.int_constant(bits, b, lanes);
        self.int_op(operation, a, &b, bits, lanes)
    }

    fn cast(&mut self, operation: &str, x: &str, from: &str, to: &str, lanes: u32) -> String {
        self.op(&format!("{operation} {x} : {} to {}", vector_of(from, lanes), vector_of(to, lanes)))
    }

    fn compare_ints(&mut self, predicate: &str, a: &str, b: i128, bits: u32, lanes: u32) -> String {
        let b = self.int_constant(bits, b, lanes);
        self.op(&format!("arith.cmpi {predicate}, {a}, {b} : {}", vector_of(&format!("i{bits}"), lanes)))
    }

    fn choose(&mut self, condition: &str, a: &str, b: &str, element: &str, lanes: u32) -> String {
        let types = match lanes {
            1 => element.to_string(),
            _ => format!("vector<{lanes}xi1>, vector<{lanes}x{element}>"),
        };
        self.op(&format!("arith.select {condition}, {a}, {b} : {types}"))
    }

    /// `a*b + c`: one rounding where the CPU has it.
    pub(super) fn multiply_add(&mut self, a: &str, b: &str, c: &str, ty: RegisterType) -> super::Result<String> {
        use kc_ir::tensor::ops::Binary::{Add, Multiply};
        if ty.dtype.is_float() && !is_narrow_float(ty.dtype) && self.cpu.fma() {
            return Ok(self.op(&format!("math.fma {a}, {b}, {c} : {}", register_type(ty))));
        }
        let product = self.binary(Multiply, a, b, ty)?;
        self.binary(Add, &product, c, ty)
    }

    /// f16 or bf16 bits as f32, exactly.
    pub(super) fn widen(&mut self, x: &str, ty: RegisterType) -> String {
        let lanes = ty.lanes;
        if ty.dtype == DType::F16 && self.cpu.half_conversions() {
            let half = self.cast("arith.bitcast", x, "i16", "f16", lanes);
            return self.cast("arith.extf", &half, "f16", "f32", lanes);
        }
        let bits = self.cast("arith.extui", x, "i16", "i32", lanes);
        if ty.dtype == DType::Bf16 {
            let bits = self.int_op_by("shli", &bits, 16, 32, lanes);
            return self.cast("arith.bitcast", &bits, "i32", "f32", lanes);
        }
        // exponent and fraction in place, the exponent's bias mended by a product with 2^112, infinities and NaN apart
        let rest = self.int_op_by("andi", &bits, 0x7fff, 32, lanes);
        let placed = self.int_op_by("shli", &rest, 13, 32, lanes);
        let placed_float = self.cast("arith.bitcast", &placed, "i32", "f32", lanes);
        let scale = self.splat_constant("0x77800000", "f32", lanes);
        let scaled = self.op(&format!("arith.mulf {placed_float}, {scale} : {}", vector_of("f32", lanes)));
        let scaled = self.cast("arith.bitcast", &scaled, "f32", "i32", lanes);
        let special = self.compare_ints("uge", &rest, 0x7c00, 32, lanes);
        let special_bits = self.int_op_by("ori", &placed, 0x7f80_0000, 32, lanes);
        let magnitude = self.choose(&special, &special_bits, &scaled, "i32", lanes);
        let sign = self.int_op_by("andi", &bits, 0x8000, 32, lanes);
        let sign = self.int_op_by("shli", &sign, 16, 32, lanes);
        let all = self.int_op("ori", &magnitude, &sign, 32, lanes);
        self.cast("arith.bitcast", &all, "i32", "f32", lanes)
    }

    /// f32 rounded to nearest even f16 or bf16, as bits.
    pub(super) fn narrow(&mut self, x: &str, ty: RegisterType) -> String {
        let lanes = ty.lanes;
        if ty.dtype == DType::F16 && self.cpu.half_conversions() {
            let half = self.cast("arith.truncf", x, "f32", "f16", lanes);
            return self.cast("arith.bitcast", &half, "f16", "i16", lanes);
        }
        let bits = self.cast("arith.bitcast", x, "f32", "i32", lanes);
        let rounded = match ty.dtype {
            DType::Bf16 => self.round_to_bf16(&bits, lanes),
            _ => self.round_to_f16(&bits, lanes),
        };
        self.cast("arith.trunci", &rounded, "i32", "i16", lanes)
    }

    /// f32 that is an f16 or bf16 (or NaN), as bits.
    pub(super) fn narrow_exactly(&mut self, x: &str, ty: RegisterType) -> String {
        if ty.dtype != DType::Bf16 {
            return self.narrow(x, ty);
        }
        let bits = self.cast("arith.bitcast", x, "f32", "i32", ty.lanes);
        let upper = self.int_op_by("shrui", &bits, 16, 32, ty.lanes);
        self.cast("arith.trunci", &upper, "i32", "i16", ty.lanes)
    }

    fn round_to_bf16(&mut self, bits: &str, lanes: u32) -> String {
        let upper = self.int_op_by("shrui", bits, 16, 32, lanes);
        let odd = self.int_op_by("andi", &upper, 1, 32, lanes);
        let half = self.int_op_by("addi", &odd, 0x7fff, 32, lanes);
        let sum = self.int_op("addi", bits, &half, 32, lanes);
        let rounded = self.int_op_by("shrui", &sum, 16, 32, lanes);
        let magnitude = self.int_op_by("andi", bits, 0x7fff_ffff, 32, lanes);
        let nan = self.compare_ints("ugt", &magnitude, 0x7f80_0000, 32, lanes);
        let quiet = self.int_op_by("ori", &upper, 0x40, 32, lanes);
        self.choose(&nan, &quiet, &rounded, "i32", lanes)
    }

    /// Numbers below 2^-14 are rounded by an addition that moves their last place to that of f16; the others by an integer addition.
    fn round_to_f16(&mut self, bits: &str, lanes: u32) -> String {
        let magnitude = self.int_op_by("andi", bits, 0x7fff_ffff, 32, lanes);
        let sign = self.int_op_by("shrui", bits, 16, 32, lanes);
        let sign = self.int_op_by("andi", &sign, 0x8000, 32, lanes);
        // subnormal
        let float = self.cast("arith.bitcast", &magnitude, "i32", "f32", lanes);
        let half = self.splat_constant("0x3F000000", "f32", lanes);
        let moved = self.op(&format!("arith.addf {float}, {half} : {}", vector_of("f32", lanes)));
        let moved = self.cast("arith.bitcast", &moved, "f32", "i32", lanes);
        let small = self.int_op_by("subi", &moved, 0x3f00_0000, 32, lanes);
        // normal
        let odd = self.int_op_by("shrui", &magnitude, 13, 32, lanes);
        let odd = self.int_op_by("andi", &odd, 1, 32, lanes);
        let rebias = self.int_op_by("addi", &magnitude, 0xfff - (112 << 23), 32, lanes);
        let sum = self.int_op("addi", &rebias, &odd, 32, lanes);
        let normal = self.int_op_by("shrui", &sum, 13, 32, lanes);
        let is_small = self.compare_ints("ult", &magnitude, 113 << 23, 32, lanes);
        let finite = self.choose(&is_small, &small, &normal, "i32", lanes);
        // infinite, too large, NaN
        let is_nan = self.compare_ints("ugt", &magnitude, 0x7f80_0000, 32, lanes);
        let (nan, infinity) = (self.int_constant(32, 0x7e00, lanes), self.int_constant(32, 0x7c00, lanes));
        let special = self.choose(&is_nan, &nan, &infinity, "i32", lanes);
        let is_special = self.compare_ints("uge", &magnitude, 0x4780_0000, 32, lanes);
        let rounded = self.choose(&is_special, &special, &finite, "i32", lanes);
        self.int_op("ori", &rounded, &sign, 32, lanes)
    }

    /// f64 to the f32 that rounds to f16 or bf16 as the f64 itself does: towards zero, with an odd last place where that is inexact.
    fn round_to_odd(&mut self, x: &str, lanes: u32) -> String {
        let nearest = self.cast("arith.truncf", x, "f64", "f32", lanes);
        let back = self.cast("arith.extf", &nearest, "f32", "f64", lanes);
        let double = vector_of("f64", lanes);
        let inexact = self.op(&format!("arith.cmpf une, {back}, {x} : {double}"));
        let (a, b) = (self.op(&format!("math.absf {back} : {double}")), self.op(&format!("math.absf {x} : {double}")));
        let above = self.op(&format!("arith.cmpf ogt, {a}, {b} : {double}"));
        let bits = self.cast("arith.bitcast", &nearest, "f32", "i32", lanes);
        let below = self.cast("arith.extsi", &above, "i1", "i32", lanes);
        let truncated = self.int_op("addi", &bits, &below, 32, lanes);
        let odd = self.int_op_by("ori", &truncated, 1, 32, lanes);
        let all = self.choose(&inexact, &odd, &bits, "i32", lanes);
        self.cast("arith.bitcast", &all, "i32", "f32", lanes)
    }

    /// Lanewise conversion, as the tensor op `convert`.
    pub(super) fn convert(&mut self, x: &str, from: RegisterType, to: DType) -> String {
        let lanes = from.lanes;
        let target = RegisterType { dtype: to, lanes };
        match (from.dtype, to) {
            (a, b) if a == b => x.to_string(),
            (a, DType::Bool) if a.is_float() => {
                let (wide, ty) =
                    if is_narrow_float(a) { (self.widen(x, from), DType::F32) } else { (x.to_string(), a) };
                let zero = self.splat_constant("0.0", lane_type(ty), lanes);
                self.op(&format!("arith.cmpf une, {wide}, {zero} : {}", vector_of(lane_type(ty), lanes)))
            }
            (a, DType::Bool) => self.compare_ints("ne", x, 0, a.bits(), lanes),
            (DType::Bool, b) if b.is_integer() => self.cast("arith.extui", x, "i1", lane_type(b), lanes),
            (DType::Bool, b) => {
                let one = self.scalar_constant(b, kc_ir::tensor::Scalar::Float(1.0), lanes);
                let zero = self.scalar_constant(b, kc_ir::tensor::Scalar::Float(0.0), lanes);
                self.choose(x, &one, &zero, lane_type(b), lanes)
            }
            (a, b) if is_narrow_float(a) => {
                let wide = self.widen(x, from);
                self.convert(&wide, RegisterType { dtype: DType::F32, lanes }, b)
            }
            (DType::F32, b) if is_narrow_float(b) => self.narrow(x, target),
            (DType::F64, b) if is_narrow_float(b) => {
                let single = self.round_to_odd(x, lanes);
                self.narrow(&single, target)
            }
            (DType::F32, DType::F64) => self.cast("arith.extf", x, "f32", "f64", lanes),
            (DType::F64, _) if to == DType::F32 => self.cast("arith.truncf", x, "f64", "f32", lanes),
            (DType::F32, b) if lanes > 1 && b.bits() <= 32 => self.float_to_integers(x, b, lanes),
            (a, b) if a.is_float() => {
                let name = if b.is_signed_integer() { "llvm.fptosi.sat" } else { "llvm.fptoui.sat" };
                self.op(&format!(
                    "llvm.call_intrinsic \"{name}\"({x}) : ({}) -> {}",
                    register_type(from),
                    register_type(target)
                ))
            }
            (_, b) if is_narrow_float(b) => {
                let double = self.convert(x, from, DType::F64);
                self.convert(&double, RegisterType { dtype: DType::F64, lanes }, b)
            }
            (a, b) if b.is_float() => {
                let operation = if a.is_signed_integer() { "arith.sitofp" } else { "arith.uitofp" };
                self.cast(operation, x, lane_type(a), lane_type(b), lanes)
            }
            (a, b) => {
                let operation = match (a.bits().cmp(&b.bits()), a.is_signed_integer()) {
                    (std::cmp::Ordering::Equal, _) => return x.to_string(),
                    (std::cmp::Ordering::Greater, _) => "arith.trunci",
                    (std::cmp::Ordering::Less, true) => "arith.extsi",
                    (std::cmp::Ordering::Less, false) => "arith.extui",
                };
                self.cast(operation, x, lane_type(a), lane_type(b), lanes)
            }
        }
    }

    /// Vectors of f32 as integers, saturated, NaN as 0. LLVM's own saturating conversion of vectors works lane by lane.
    fn float_to_integers(&mut self, x: &str, to: DType, lanes: u32) -> String {
        let signed = to.is_signed_integer();
        let (low, high) = kc_ir::tensor::integer_range(to);
        let ty = vector_of("f32", lanes);
        // one past the largest is a power of two, which f32 has
        let [least, past] = [low as f64, (high + 1) as f64]
            .map(|limit| self.scalar_constant(DType::F32, kc_ir::tensor::Scalar::Float(limit), lanes));
        let zero = self.splat_constant("0.0", "f32", lanes);
        let is_inside = self.op(&format!("arith.cmpf olt, {x}, {past} : {ty}"));
        let is_above = self.op(&format!("arith.cmpf oge, {x}, {past} : {ty}"));
        let inside = self.choose(&is_inside, x, &zero, "f32", lanes);
        let inside = self.op(&format!("arith.maximumf {inside}, {least} : {ty}"));
        let operation = if signed { "arith.fptosi" } else { "arith.fptoui" };
        let whole = self.cast(operation, &inside, "f32", lane_type(to), lanes);
        let largest = self.scalar_constant(to, kc_ir::tensor::Scalar::Int(high), lanes);
        self.choose(&is_above, &largest, &whole, lane_type(to), lanes)
    }
}
