//! Lanewise functions.

use super::translate::{Translated, Translator};
use super::vector::{Vector, integer_of_bytes};
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::*;
use cranelift_codegen::ir::{InstBuilder, InstructionData, Value};
use kc_ir::DType;
use kc_ir::tensor::ops::{Binary, Compare, Reduction, Unary};

fn is_half(dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::Bf16)
}

impl Translator<'_, '_> {
    /// Lanes in which arithmetic is done: half precision in f32.
    fn widened(&mut self, dtype: DType, x: &Vector) -> Vector {
        if is_half(dtype) { self.convert(dtype, DType::F32, x) } else { x.clone() }
    }

    fn narrowed(&mut self, dtype: DType, x: Vector) -> Vector {
        if is_half(dtype) { self.convert(DType::F32, dtype, &x) } else { x }
    }

    /// Products of groups of lanes, each part of the groups by itself.
    pub fn multiply_add_groups(
        &mut self,
        sums: DType,
        [a, b]: [(DType, Vector); 2],
        sum: Vector,
    ) -> Translated<Vector> {
        let group = a.1.lanes / sum.lanes;
        let parts: Vec<u32> = if group == 2 { vec![1, 0] } else { (0..group).collect() };
        parts.into_iter().try_fold(sum, |sum, part| {
            let [a, b] = [&a, &b].map(|(dtype, x)| {
                let scalars: Vec<Value> =
                    (0..sum.lanes).map(|lane| self.lane(x, *dtype, lane * group + part)).collect();
                let one = self.assemble(*dtype, &scalars);
                self.convert(*dtype, sums, &one)
            });
            self.multiply_add(sums, &a, &b, &sum)
        })
    }

    pub fn unary(&mut self, function: Unary, dtype: DType, x: &Vector) -> Translated<Vector> {
        if is_half(dtype) {
            let ty = x.part_type();
            return match function {
                Unary::Negate => Ok(self.map(x, |t, part| {
                    let sign = t.integer(ty, 0x8000);
                    t.builder.ins().bxor(part, sign)
                })),
                Unary::Abs => Ok(self.map(x, |t, part| {
                    let rest = t.integer(ty, 0x7fff);
                    t.builder.ins().band(part, rest)
                })),
                _ => {
                    let wide = self.widened(dtype, x);
                    let result = self.unary(function, DType::F32, &wide)?;
                    Ok(self.narrowed(dtype, result))
                }
            };
        }
        let float = dtype.is_float();
        Ok(match function {
            Unary::Negate if float => self.map(x, |t, part| t.builder.ins().fneg(part)),
            Unary::Negate => self.map(x, |t, part| t.builder.ins().ineg(part)),
            Unary::Abs if float => self.map(x, |t, part| t.builder.ins().fabs(part)),
            Unary::Abs if dtype.is_unsigned_integer() => x.clone(),
            Unary::Abs => self.map(x, |t, part| t.builder.ins().iabs(part)),
            Unary::Sqrt => self.map(x, |t, part| t.builder.ins().sqrt(part)),
            Unary::Floor => self.map(x, |t, part| t.builder.ins().floor(part)),
            Unary::Ceil => self.map(x, |t, part| t.builder.ins().ceil(part)),
            Unary::Trunc => self.map(x, |t, part| t.builder.ins().trunc(part)),
            Unary::RoundEven => self.map(x, |t, part| t.builder.ins().nearest(part)),
            Unary::Not if dtype == DType::Bool && x.lanes == 1 => self.map(x, |t, part| {
                let one = t.integer(I8, 1);
                t.builder.ins().bxor(part, one)
            }),
            Unary::Not => self.map(x, |t, part| t.builder.ins().bnot(part)),
            Unary::PopulationCount => self.each_lane(x, dtype, dtype, |t, lane| t.builder.ins().popcnt(lane)),
            Unary::CountLeadingZeros => self.each_lane(x, dtype, dtype, |t, lane| t.builder.ins().clz(lane)),
            _ => return Err(format!("`{}` is not lowered to basic functions", function.text())),
        }
        .scalar_again())
    }

    pub fn binary(&mut self, function: Binary, dtype: DType, a: &Vector, b: &Vector) -> Translated<Vector> {
        if is_half(dtype) {
            let (wide_a, wide_b) = (self.widened(dtype, a), self.widened(dtype, b));
            let result = self.binary(function, DType::F32, &wide_a, &wide_b)?;
            return Ok(self.narrowed(dtype, result));
        }
        let signed = dtype.is_signed_integer();
        let result = match dtype {
            DType::F32 | DType::F64 => match function {
                Binary::Add => self.zip(a, b, |t, a, b| t.builder.ins().fadd(a, b)),
                Binary::Subtract => self.zip(a, b, |t, a, b| t.builder.ins().fsub(a, b)),
                Binary::Multiply => self.zip(a, b, |t, a, b| t.builder.ins().fmul(a, b)),
                Binary::Divide => self.zip(a, b, |t, a, b| t.builder.ins().fdiv(a, b)),
                Binary::Maximum | Binary::Minimum => self.extremum(function, a, b),
                _ => return Err(format!("`{}` of {dtype} is not lowered to basic functions", function.text())),
            },
            DType::Bool => {
                let b = self.mask(b, a.element);
                match function {
                    Binary::Add | Binary::Maximum | Binary::Or => self.zip(a, &b, |t, a, b| t.builder.ins().bor(a, b)),
                    Binary::Multiply | Binary::Minimum | Binary::And => {
                        self.zip(a, &b, |t, a, b| t.builder.ins().band(a, b))
                    }
                    Binary::Xor => self.zip(a, &b, |t, a, b| t.builder.ins().bxor(a, b)),
                    _ => return Err(format!("`{}` of {dtype} is not lowered to basic functions", function.text())),
                }
            }
            _ => match function {
                Binary::Add => self.zip(a, b, |t, a, b| t.builder.ins().iadd(a, b)),
                Binary::Subtract => self.zip(a, b, |t, a, b| t.builder.ins().isub(a, b)),
                Binary::Multiply => self.integer_product(dtype, a, b),
                Binary::Divide => self.each_pair(a, b, dtype, |t, a, b| {
                    if signed { t.builder.ins().sdiv(a, b) } else { t.builder.ins().udiv(a, b) }
                }),
                Binary::Maximum if signed => self.zip(a, b, |t, a, b| t.builder.ins().smax(a, b)),
                Binary::Maximum => self.zip(a, b, |t, a, b| t.builder.ins().umax(a, b)),
                Binary::Minimum if signed => self.zip(a, b, |t, a, b| t.builder.ins().smin(a, b)),
                Binary::Minimum => self.zip(a, b, |t, a, b| t.builder.ins().umin(a, b)),
                Binary::And => self.zip(a, b, |t, a, b| t.builder.ins().band(a, b)),
                Binary::Or => self.zip(a, b, |t, a, b| t.builder.ins().bor(a, b)),
                Binary::Xor => self.zip(a, b, |t, a, b| t.builder.ins().bxor(a, b)),
                Binary::ShiftLeft | Binary::ShiftRight => {
                    let shift = |t: &mut Self, x: Value, amount: Value| match function {
                        Binary::ShiftLeft => t.builder.ins().ishl(x, amount),
                        _ if signed => t.builder.ins().sshr(x, amount),
                        _ => t.builder.ins().ushr(x, amount),
                    };
                    match b.splat {
                        Some(amount) if a.lanes > 1 => {
                            let amount = self.resize(&Vector::scalar(b.element, amount), I32, false).parts[0];
                            self.map(a, |t, part| shift(t, part, amount))
                        }
                        _ => self.each_pair(a, b, dtype, shift),
                    }
                }
                Binary::Remainder | Binary::Power | Binary::Atan2 => {
                    return Err(format!("`{}` of {dtype} is not lowered to basic functions", function.text()));
                }
            },
        };
        Ok(result.scalar_again())
    }

    /// The larger or smaller of floats; NaN if one is NaN; +0 is above -0.
    ///
    /// With a known bound that is neither NaN nor the zero that loses against the other one, a comparison that holds for NaN
    /// chooses: `x > bound or x is NaN ? x : bound`.
    fn extremum(&mut self, function: Binary, a: &Vector, b: &Vector) -> Vector {
        let maximum = function == Binary::Maximum;
        let losing_zero: f64 = if maximum { -0.0 } else { 0.0 };
        let suits = |bound: f64| !bound.is_nan() && bound.to_bits() != losing_zero.to_bits();
        let (x, bound) = match (self.known_float(a), self.known_float(b)) {
            (_, Some(bound)) if suits(bound) => (a, b),
            (Some(bound), _) if suits(bound) => (b, a),
            _ if maximum => return self.zip(a, b, |t, a, b| t.builder.ins().fmax(a, b)),
            _ => return self.zip(a, b, |t, a, b| t.builder.ins().fmin(a, b)),
        };
        let code = if maximum { FloatCC::UnorderedOrGreaterThan } else { FloatCC::UnorderedOrLessThan };
        let (ty, vector) = (x.part_type(), x.lanes > 1);
        self.zip(x, bound, |t, x, bound| {
            let chosen = t.builder.ins().fcmp(code, x, bound);
            if vector {
                let mask = t.cast(ty, chosen);
                t.builder.ins().bitselect(mask, x, bound)
            } else {
                t.builder.ins().select(chosen, x, bound)
            }
        })
    }

    /// The float that all lanes are known to be.
    fn known_float(&self, x: &Vector) -> Option<f64> {
        let function = &self.builder.func.dfg;
        match function.insts[function.value_def(x.splat?).inst()?] {
            InstructionData::UnaryIeee32 { imm, .. } => Some(f32::from_bits(imm.bits()).into()),
            InstructionData::UnaryIeee64 { imm, .. } => Some(f64::from_bits(imm.bits())),
            _ => None,
        }
    }

    fn integer_product(&mut self, dtype: DType, a: &Vector, b: &Vector) -> Vector {
        if a.lanes > 1 && a.element == I8 {
            // there are no products of bytes: they are taken in 16 bits
            let (a, b) = (self.resize(a, I16, false), self.resize(b, I16, false));
            let product = self.zip(&a, &b, |t, a, b| t.builder.ins().imul(a, b));
            return self.resize(&product, I8, dtype.is_signed_integer());
        }
        self.zip(a, b, |t, a, b| t.builder.ins().imul(a, b))
    }

    pub fn multiply_add(&mut self, dtype: DType, a: &Vector, b: &Vector, c: &Vector) -> Translated<Vector> {
        if self.fused && matches!(dtype, DType::F32 | DType::F64) {
            let pairs = a.parts.iter().zip(&b.parts).zip(&c.parts);
            let parts = pairs.map(|((&a, &b), &c)| self.builder.ins().fma(a, b, c)).collect();
            return Ok(a.with(parts).scalar_again());
        }
        let product = self.binary(Binary::Multiply, dtype, a, b)?;
        self.binary(Binary::Add, dtype, &product, c)
    }

    pub fn compare(&mut self, function: Compare, dtype: DType, a: &Vector, b: &Vector) -> Vector {
        if is_half(dtype) {
            let (a, b) = (self.widened(dtype, a), self.widened(dtype, b));
            return self.compare(function, DType::F32, &a, &b);
        }
        let b = if dtype == DType::Bool { self.mask(b, a.element) } else { b.clone() };
        let result = if dtype.is_float() {
            let code = match function {
                Compare::Equal => FloatCC::Equal,
                Compare::NotEqual => FloatCC::NotEqual,
                Compare::Less => FloatCC::LessThan,
                Compare::LessEqual => FloatCC::LessThanOrEqual,
                Compare::Greater => FloatCC::GreaterThan,
                Compare::GreaterEqual => FloatCC::GreaterThanOrEqual,
            };
            self.zip(a, &b, |t, a, b| t.builder.ins().fcmp(code, a, b))
        } else {
            let code = match (function, dtype.is_signed_integer()) {
                (Compare::Equal, _) => IntCC::Equal,
                (Compare::NotEqual, _) => IntCC::NotEqual,
                (Compare::Less, true) => IntCC::SignedLessThan,
                (Compare::Less, false) => IntCC::UnsignedLessThan,
                (Compare::LessEqual, true) => IntCC::SignedLessThanOrEqual,
                (Compare::LessEqual, false) => IntCC::UnsignedLessThanOrEqual,
                (Compare::Greater, true) => IntCC::SignedGreaterThan,
                (Compare::Greater, false) => IntCC::UnsignedGreaterThan,
                (Compare::GreaterEqual, true) => IntCC::SignedGreaterThanOrEqual,
                (Compare::GreaterEqual, false) => IntCC::UnsignedGreaterThanOrEqual,
            };
            self.zip(a, &b, |t, a, b| t.builder.ins().icmp(code, a, b))
        };
        let element = if a.lanes == 1 { I8 } else { integer_of_bytes(a.element.bytes()) };
        result.of(element)
    }

    pub fn select(&mut self, dtype: DType, condition: &Vector, a: &Vector, b: &Vector) -> Vector {
        if a.lanes == 1 {
            let chosen = self.builder.ins().select(condition.parts[0], a.parts[0], b.parts[0]);
            return Vector::scalar(a.element, chosen);
        }
        let b = if dtype == DType::Bool { self.mask(b, a.element) } else { b.clone() };
        let condition = self.mask(condition, a.element);
        let ty = a.part_type();
        let sides = a.parts.iter().zip(&b.parts);
        let parts = condition
            .parts
            .iter()
            .zip(sides)
            .map(|(&condition, (&a, &b))| {
                let condition = self.cast(ty, condition);
                self.builder.ins().bitselect(condition, a, b)
            })
            .collect();
        a.with(parts)
    }

    /// The lanes reduced to a scalar: halves are combined until one lane is left.
    pub fn reduce(&mut self, kind: Reduction, dtype: DType, x: &Vector) -> Translated<Vector> {
        let function = match kind {
            Reduction::Sum => Binary::Add,
            Reduction::Product => Binary::Multiply,
            Reduction::Max => Binary::Maximum,
            Reduction::Min => Binary::Minimum,
        };
        let mut x = Vector { splat: None, ..x.clone() };
        while x.parts.len() > 1 {
            let half = x.parts.len() / 2;
            let upper = Vector { lanes: x.lanes / 2, parts: x.parts.split_off(half), ..x.clone() };
            let lower = Vector { lanes: x.lanes / 2, ..x };
            x = self.binary(function, dtype, &lower, &upper)?;
        }
        let mut lanes: Vec<Vector> = self
            .lanes(&x, dtype)
            .into_iter()
            .map(|lane| Vector::scalar(super::vector::element_of(dtype), lane))
            .collect();
        while lanes.len() > 1 {
            let upper = lanes.split_off(lanes.len() / 2);
            let pairs: Vec<_> = lanes.iter().zip(&upper).collect();
            lanes =
                pairs.into_iter().map(|(a, b)| self.binary(function, dtype, a, b)).collect::<Translated<Vec<_>>>()?;
        }
        lanes.pop().ok_or_else(|| "a register without lanes".to_string())
    }
}

impl Vector {
    /// A scalar knows that all its lanes are it.
    fn scalar_again(self) -> Self {
        if self.lanes == 1 { Vector::scalar(self.element, self.parts[0]) } else { self }
    }
}
