//! Registers as Cranelift values.

use super::translate::Translator;
use cranelift_codegen::ir::types::*;
use cranelift_codegen::ir::{ConstantData, Endianness, InstBuilder, MemFlagsData, Type, Value};
use kc_ir::DType;
use kc_ir::kernel::Half;

/// A register. One lane: a scalar, a bool being 0 or 1 in an `i8`. Several lanes: 128-bit vectors of `element`, in order; where
/// the lanes do not fill the only one, its upper lanes hold anything. Several bools are masks: all ones or all zeros in an
/// integer element of some width.
#[derive(Clone, Debug)]
pub(super) struct Vector {
    /// Type of a lane.
    pub element: Type,
    /// Number of lanes.
    pub lanes: u32,
    /// The scalar or the vectors.
    pub parts: Vec<Value>,
    /// The scalar that all lanes hold, where it is known to be one (of a mask: 0 or 1).
    pub splat: Option<Value>,
}

impl Vector {
    pub fn scalar(element: Type, value: Value) -> Self {
        Vector { element, lanes: 1, parts: vec![value], splat: Some(value) }
    }

    /// The type of each part.
    pub fn part_type(&self) -> Type {
        part_type(self.element, self.lanes)
    }

    /// The same shape with other parts.
    pub fn with(&self, parts: Vec<Value>) -> Self {
        Vector { element: self.element, lanes: self.lanes, parts, splat: None }
    }
}

/// The type of the parts of that many lanes.
pub(super) fn part_type(element: Type, lanes: u32) -> Type {
    if lanes == 1 { element } else { vector_type(element) }
}

/// The 128-bit vector of that element.
pub(super) fn vector_type(element: Type) -> Type {
    match element {
        F32 => F32X4,
        F64 => F64X2,
        I8 => I8X16,
        I16 => I16X8,
        I32 => I32X4,
        _ => I64X2,
    }
}

/// The number of parts of that many lanes.
pub(super) fn part_count(element: Type, lanes: u32) -> usize {
    if lanes == 1 { 1 } else { (lanes * element.bytes()).div_ceil(16) as usize }
}

/// How a lane of the dtype is held; half precision as its bits, bool as a byte.
pub(super) fn element_of(dtype: DType) -> Type {
    match dtype {
        DType::F64 => F64,
        DType::F32 => F32,
        _ => integer_of_bytes(dtype.bytes() as u32),
    }
}

/// The integer type of that many bytes.
pub(super) fn integer_of_bytes(bytes: u32) -> Type {
    match bytes {
        1 => I8,
        2 => I16,
        4 => I32,
        _ => I64,
    }
}

/// Flags of a cast between types of as many bits.
const CAST: MemFlagsData = MemFlagsData::new().with_endianness(Endianness::Little);

impl Translator<'_, '_> {
    /// The bits as another type of as many bits.
    pub fn cast(&mut self, to: Type, x: Value) -> Value {
        let from = self.builder.func.dfg.value_type(x);
        if from == to {
            x
        } else if from.is_vector() != to.is_vector() || from.lane_count() != to.lane_count() {
            self.builder.ins().bitcast(to, CAST, x)
        } else {
            let flags = if from.is_vector() { CAST } else { MemFlagsData::new() };
            self.builder.ins().bitcast(to, flags, x)
        }
    }

    /// An integer in every lane of an integer type.
    pub fn integer(&mut self, ty: Type, value: i64) -> Value {
        if ty.is_vector() {
            let bytes = ty.lane_type().bytes() as usize;
            let lane = value.to_le_bytes();
            let data: Vec<u8> = lane[..bytes].iter().copied().cycle().take(16).collect();
            self.vector_constant(ty, data)
        } else {
            let mask = u64::MAX >> (64 - ty.bits());
            self.builder.ins().iconst(ty, (value as u64 & mask) as i64)
        }
    }

    /// A vector of those bytes.
    pub fn vector_constant(&mut self, ty: Type, bytes: Vec<u8>) -> Value {
        let constant = self.builder.func.dfg.constants.insert(ConstantData::from(bytes));
        self.builder.ins().vconst(ty, constant)
    }

    /// The lane as a scalar; of a mask 0 or 1.
    pub fn lane(&mut self, x: &Vector, dtype: DType, lane: u32) -> Value {
        if let Some(scalar) = x.splat {
            return scalar;
        }
        let per_part = 16 / x.element.bytes();
        let part = x.parts[(lane / per_part) as usize];
        let value = self.builder.ins().extractlane(part, (lane % per_part) as u8);
        if dtype != DType::Bool {
            return value;
        }
        let byte = if x.element == I8 { value } else { self.builder.ins().ireduce(I8, value) };
        let one = self.integer(I8, 1);
        self.builder.ins().band(byte, one)
    }

    /// The lanes as scalars.
    pub fn lanes(&mut self, x: &Vector, dtype: DType) -> Vec<Value> {
        (0..x.lanes).map(|lane| self.lane(x, dtype, lane)).collect()
    }

    /// A register of those scalars.
    pub fn assemble(&mut self, dtype: DType, scalars: &[Value]) -> Vector {
        let element = element_of(dtype);
        if let [scalar] = scalars {
            return Vector::scalar(element, *scalar);
        }
        let ty = vector_type(element);
        let parts = scalars
            .chunks(16 / element.bytes() as usize)
            .map(|chunk| {
                let mut part = self.builder.ins().splat(ty, chunk[0]);
                for (lane, &scalar) in chunk.iter().enumerate().skip(1) {
                    part = self.builder.ins().insertlane(part, scalar, lane as u8);
                }
                part
            })
            .collect::<Vec<_>>();
        let vector = Vector { element, lanes: scalars.len() as u32, parts, splat: None };
        if dtype == DType::Bool { self.mask_of_bytes(&vector) } else { vector }
    }

    /// Bytes that are not zero, as a mask.
    pub fn mask_of_bytes(&mut self, x: &Vector) -> Vector {
        let zero = self.integer(I8X16, 0);
        let not_equal = cranelift_codegen::ir::condcodes::IntCC::NotEqual;
        let parts = x.parts.iter().map(|&part| self.builder.ins().icmp(not_equal, part, zero)).collect();
        x.with(parts)
    }

    /// A scalar in every lane; of a bool a mask of that width.
    pub fn splat(&mut self, dtype: DType, element: Type, lanes: u32, x: Value) -> Vector {
        if lanes == 1 {
            return Vector::scalar(element, x);
        }
        let lane = if dtype == DType::Bool { self.builder.ins().bmask(element, x) } else { x };
        let part = self.builder.ins().splat(vector_type(element), lane);
        Vector { element, lanes, parts: vec![part; part_count(element, lanes)], splat: Some(x) }
    }

    /// A mask with lanes as wide as those of `element`.
    pub fn mask(&mut self, x: &Vector, element: Type) -> Vector {
        let wanted = integer_of_bytes(element.bytes());
        if x.lanes == 1 || x.element == wanted {
            return x.clone();
        }
        if let Some(scalar) = x.splat {
            return self.splat(DType::Bool, wanted, x.lanes, scalar);
        }
        self.resize(x, wanted, true)
    }

    /// Integers in another width: extended by their sign or by zeros, or their low bits.
    pub fn resize(&mut self, x: &Vector, element: Type, signed: bool) -> Vector {
        let mut x = Vector { splat: None, ..x.clone() };
        if x.lanes == 1 {
            let value = self.resize_scalar(x.parts[0], element, signed);
            return Vector::scalar(element, value);
        }
        while x.element.bytes() < element.bytes() {
            let wider = integer_of_bytes(x.element.bytes() * 2);
            let count = part_count(wider, x.lanes);
            let mut parts = Vec::with_capacity(count);
            for &part in &x.parts {
                parts.push(if signed {
                    self.builder.ins().swiden_low(part)
                } else {
                    self.builder.ins().uwiden_low(part)
                });
                if parts.len() < count {
                    parts.push(if signed {
                        self.builder.ins().swiden_high(part)
                    } else {
                        self.builder.ins().uwiden_high(part)
                    });
                }
            }
            x = Vector { element: wider, lanes: x.lanes, parts, splat: None };
        }
        while x.element.bytes() > element.bytes() {
            let narrower = integer_of_bytes(x.element.bytes() / 2);
            let parts =
                x.parts.chunks(2).map(|pair| self.low_halves(narrower, pair[0], *pair.last().unwrap_or(&pair[0])));
            let parts = parts.collect();
            x = Vector { element: narrower, lanes: x.lanes, parts, splat: None };
        }
        x
    }

    /// The low half of each lane of `a`, then of `b`; `narrower` is the type of a half.
    fn low_halves(&mut self, narrower: Type, a: Value, b: Value) -> Value {
        let bytes = narrower.bytes() as u8;
        let mask: Vec<u8> = (0..16u8).map(|i| i / bytes * 2 * bytes + i % bytes).collect();
        let mask = self.builder.func.dfg.immediates.push(ConstantData::from(mask));
        let (a, b) = (self.cast(I8X16, a), self.cast(I8X16, b));
        let shuffled = self.builder.ins().shuffle(a, b, mask);
        self.cast(vector_type(narrower), shuffled)
    }

    /// Lanes of a half of two registers in turns, which fill whole vectors.
    pub fn interleave(&mut self, half: Half, a: &Vector, b: &Vector) -> Vector {
        let (bytes, ty) = (a.element.bytes() as u8, a.part_type());
        let count = a.parts.len();
        // of one part its own half, of several the parts of the half, each by its halves
        let first = half.start(a.lanes) * a.element.bytes();
        let parts = (0..count as u32)
            .map(|part| {
                let start = first + 8 * part;
                let (from, within) = ((start / 16) as usize, (start % 16) as u8);
                let lane = |i: u8| within + i / (2 * bytes) * bytes + i % bytes;
                let mask: Vec<u8> = (0..16u8).map(|i| lane(i) + if i / bytes % 2 == 1 { 16 } else { 0 }).collect();
                let mask = self.builder.func.dfg.immediates.push(ConstantData::from(mask));
                let (a, b) = (self.cast(I8X16, a.parts[from]), self.cast(I8X16, b.parts[from]));
                let shuffled = self.builder.ins().shuffle(a, b, mask);
                self.cast(ty, shuffled)
            })
            .collect();
        a.with(parts)
    }

    fn resize_scalar(&mut self, x: Value, to: Type, signed: bool) -> Value {
        let from = self.builder.func.dfg.value_type(x);
        match from.bytes().cmp(&to.bytes()) {
            std::cmp::Ordering::Equal => x,
            std::cmp::Ordering::Greater => self.builder.ins().ireduce(to, x),
            std::cmp::Ordering::Less if signed => self.builder.ins().sextend(to, x),
            std::cmp::Ordering::Less => self.builder.ins().uextend(to, x),
        }
    }

    /// Applies a function to the parts.
    pub fn map(&mut self, x: &Vector, mut function: impl FnMut(&mut Self, Value) -> Value) -> Vector {
        if x.lanes > 1
            && x.splat.is_some()
            && let Some(&first) = x.parts.first()
        {
            // all parts are the same
            let part = function(self, first);
            return x.with(vec![part; x.parts.len()]);
        }
        let parts = x.parts.iter().map(|&part| function(self, part)).collect();
        x.with(parts)
    }

    /// Applies a function to the parts of two registers of one shape.
    pub fn zip(
        &mut self,
        a: &Vector,
        b: &Vector,
        mut function: impl FnMut(&mut Self, Value, Value) -> Value,
    ) -> Vector {
        let parts = a.parts.iter().zip(&b.parts).map(|(&a, &b)| function(self, a, b)).collect();
        a.with(parts)
    }

    /// Applies a function to the lanes as scalars; the result's lanes are of `dtype`.
    pub fn each_lane(
        &mut self,
        x: &Vector,
        from: DType,
        dtype: DType,
        mut function: impl FnMut(&mut Self, Value) -> Value,
    ) -> Vector {
        let scalars: Vec<Value> = self.lanes(x, from).into_iter().map(|lane| function(self, lane)).collect();
        self.assemble(dtype, &scalars)
    }

    /// The same for two operands.
    pub fn each_pair(
        &mut self,
        a: &Vector,
        b: &Vector,
        dtype: DType,
        mut function: impl FnMut(&mut Self, Value, Value) -> Value,
    ) -> Vector {
        let (a, b) = (self.lanes(a, dtype), self.lanes(b, dtype));
        let scalars: Vec<Value> = a.into_iter().zip(b).map(|(a, b)| function(self, a, b)).collect();
        self.assemble(dtype, &scalars)
    }
}
