//! Instructions, loads and stores.

use super::value::{is_narrow_float, lane_type, memory_type, register_type, type_of, vector_of};
use super::{Result, Translator};
use kc_abi::DType;
use kc_abi::call::MathFunction;
use kc_ir::kernel::{Index, Instruction, MemoryId, Register, RegisterType};
use kc_ir::tensor::ops::{Binary, Compare, Reduction, Unary};

impl Translator<'_> {
    /// Emits an instruction and gives the name of its value.
    pub(super) fn instruction(&mut self, register: Register, instruction: &Instruction) -> Result<String> {
        let Some(&result) = self.kernel.registers.get(register.0 as usize) else {
            return self.error(format!("register {} has no type", register.0));
        };
        let RegisterType { dtype, lanes } = result;
        match instruction {
            Instruction::Constant(value) => Ok(self.scalar_constant(dtype, *value, lanes)),
            Instruction::Position { index, step } => {
                self.note_position(register, index);
                self.position(index, *step, result, self.whole_lanes(register))
            }
            Instruction::Splat(x) => {
                let (x, ty) = self.operand(*x)?;
                if ty.lanes > 1 { self.repeat(register, &x, ty) } else { Ok(self.splat(&x, lane_type(dtype), lanes)) }
            }
            Instruction::Unary(function, x) => {
                let (x, ty) = self.operand(*x)?;
                self.unary(*function, &x, ty)
            }
            Instruction::Binary(function, a, b) => {
                let ((a, ty), (b, _)) = (self.operand(*a)?, self.operand(*b)?);
                self.binary(*function, &a, &b, ty)
            }
            Instruction::MultiplyAdd(a, b, c) => {
                let (a, b, c) = (self.register(*a)?, self.register(*b)?, self.register(*c)?);
                self.multiply_add(&a, &b, &c, result)
            }
            Instruction::MultiplyAddGroups(a, b, c) => {
                let (a, b, c) = (self.operand(*a)?, self.operand(*b)?, self.register(*c)?);
                self.multiply_add_groups(register, [a, b], &c)
            }
            Instruction::Compare(function, a, b) => {
                let ((a, ty), (b, _)) = (self.operand(*a)?, self.operand(*b)?);
                Ok(self.compare(*function, &a, &b, ty))
            }
            Instruction::Select(condition, a, b) => {
                let (condition, a, b) = (self.register(*condition)?, self.register(*a)?, self.register(*b)?);
                Ok(self.select(&condition, &a, &b, result))
            }
            Instruction::Convert(x) => {
                let (x, ty) = self.operand(*x)?;
                Ok(self.convert(&x, ty, dtype))
            }
            Instruction::Bitcast(x) => {
                let (x, ty) = self.operand(*x)?;
                let (from, to) = (register_type(ty), register_type(result));
                Ok(if from == to { x } else { self.op(&format!("arith.bitcast {x} : {from} to {to}")) })
            }
            Instruction::ReduceLanes(kind, x) => {
                let whole = self.whole_lanes(*x);
                let (x, ty) = self.operand(*x)?;
                self.reduce_lanes(*kind, x, ty, whole)
            }
            Instruction::Interleave(half, a, b) => {
                if self.whole_lanes(register) != lanes {
                    return self.error("lanes that are interleaved between threads, which have no code yet".to_owned());
                }
                let (a, b) = (self.register(*a)?, self.register(*b)?);
                let start = half.start(lanes);
                let turns = (start..start + lanes / 2).flat_map(|lane| [lane, lanes + lane]);
                let turns: Vec<String> = turns.map(|lane| lane.to_string()).collect();
                let ty = register_type(result);
                Ok(self.op(&format!("vector.shuffle {a}, {b} [{}] : {ty}, {ty}", turns.join(", "))))
            }
            Instruction::Load { memory, position, count } => {
                self.load(*memory, position, count.as_ref(), result, self.whole_lanes(register))
            }
            Instruction::Math(function, operands) => self.math(*function, operands, result),
            Instruction::LoadSpaced(spaced) => self.load_spaced(register, spaced),
            Instruction::LoadTiles(tiles, side) => self.load_tiles(register, tiles, *side),
            Instruction::MultiplyTiles(a, b, c) => self.multiply_tiles(*a, *b, *c),
        }
    }

    pub(super) fn operand(&self, register: Register) -> Result<(String, RegisterType)> {
        Ok((self.register(register)?, self.kernel.registers[register.0 as usize]))
    }

    pub(super) fn splat(&mut self, x: &str, element: &str, lanes: u32) -> String {
        match lanes {
            1 => x.to_string(),
            _ => self.op(&format!("vector.broadcast {x} : {element} to vector<{lanes}x{element}>")),
        }
    }

    fn position(&mut self, index: &Index, step: i64, result: RegisterType, whole: u32) -> Result<String> {
        let RegisterType { dtype, lanes } = result;
        let mut start = self.index(index)?;
        if let Some(first) = self.first_lane(whole) {
            let step = self.i64(step);
            let offset = self.op(&format!("arith.muli {first}, {step} : i64"));
            start = self.op(&format!("arith.addi {start}, {offset} : i64"));
        }
        if dtype.bits() < 64 {
            start = self.op(&format!("arith.trunci {start} : i64 to i{}", dtype.bits()));
        }
        if lanes == 1 {
            return Ok(start);
        }
        let start = self.splat(&start, lane_type(dtype), lanes);
        let offsets = self.iota(dtype.bits(), step, lanes);
        Ok(self.op(&format!("arith.addi {start}, {offsets} : {}", register_type(result))))
    }

    fn unary(&mut self, function: Unary, x: &str, ty: RegisterType) -> Result<String> {
        let RegisterType { dtype, lanes } = ty;
        let text = register_type(ty);
        if is_narrow_float(dtype) {
            return match function {
                Unary::Negate => {
                    let sign = self.int_constant(16, -0x8000, lanes);
                    Ok(self.op(&format!("arith.xori {x}, {sign} : {text}")))
                }
                Unary::Abs => {
                    let rest = self.int_constant(16, 0x7fff, lanes);
                    Ok(self.op(&format!("arith.andi {x}, {rest} : {text}")))
                }
                _ => {
                    let wide = self.widen(x, ty);
                    let value = self.unary(function, &wide, RegisterType { dtype: DType::F32, lanes })?;
                    Ok(self.narrow(&value, ty))
                }
            };
        }
        if dtype.is_float()
            && !self.cpu.rounds()
            && matches!(function, Unary::Floor | Unary::Ceil | Unary::Trunc | Unary::RoundEven)
        {
            return Ok(self.round_by_addition(function, x, ty));
        }
        let operation = match (function, dtype.is_float()) {
            (Unary::Negate, true) => "arith.negf",
            (Unary::Abs, true) => "math.absf",
            (Unary::Sqrt, true) => "math.sqrt",
            (Unary::Floor, true) => "math.floor",
            (Unary::Ceil, true) => "math.ceil",
            (Unary::Trunc, true) => "math.trunc",
            (Unary::RoundEven, true) => "math.roundeven",
            (Unary::Abs, false) if dtype.is_signed_integer() => "math.absi",
            (Unary::Abs, false) if dtype.is_unsigned_integer() => return Ok(x.to_string()),
            (Unary::PopulationCount, false) if dtype.is_integer() => "math.ctpop",
            (Unary::CountLeadingZeros, false) if dtype.is_integer() => "math.ctlz",
            (Unary::Negate, false) if dtype.is_integer() => {
                let zero = self.int_constant(dtype.bits(), 0, lanes);
                return Ok(self.op(&format!("arith.subi {zero}, {x} : {text}")));
            }
            (Unary::Not, false) => {
                let ones = match dtype {
                    DType::Bool => self.splat_constant("true", "i1", lanes),
                    _ => self.int_constant(dtype.bits(), -1, lanes),
                };
                return Ok(self.op(&format!("arith.xori {x}, {ones} : {text}")));
            }
            _ => {
                return self.error(format!("`{}` of {dtype} is not lowered to basic functions", function.text()));
            }
        };
        Ok(self.op(&format!("{operation} {x} : {text}")))
    }

    /// Rounding where no instruction does it: adding a number whose unit is 1 rounds to nearest, ties to even; a step of 1 mends the
    /// direction. The sign is the operand's, that of zeros too.
    fn round_by_addition(&mut self, function: Unary, x: &str, ty: RegisterType) -> String {
        let (text, element, lanes) = (register_type(ty), lane_type(ty.dtype), ty.lanes);
        let unit = if ty.dtype == DType::F32 { "8388608.0" } else { "4503599627370496.0" };
        let (unit, one) = (self.splat_constant(unit, element, lanes), self.splat_constant("1.0", element, lanes));
        let magnitude = self.op(&format!("math.absf {x} : {text}"));
        let sum = self.op(&format!("arith.addf {magnitude}, {unit} : {text}"));
        let nearest = self.op(&format!("arith.subf {sum}, {unit} : {text}"));
        let nearest = match function {
            Unary::Trunc => nearest,
            _ => self.op(&format!("math.copysign {nearest}, {x} : {text}")),
        };
        let (than, compare, step) = match function {
            Unary::Floor => (x, Compare::Greater, "subf"),
            Unary::Trunc => (magnitude.as_str(), Compare::Greater, "subf"),
            _ => (x, Compare::Less, "addf"),
        };
        let mut rounded = nearest.clone();
        if function != Unary::RoundEven {
            let beyond = self.compare(compare, &nearest, than, ty);
            let mended = self.op(&format!("arith.{step} {nearest}, {one} : {text}"));
            rounded = self.select(&beyond, &mended, &nearest, ty);
        }
        let signed = self.op(&format!("math.copysign {rounded}, {x} : {text}"));
        // larger numbers are whole already
        let small = self.compare(Compare::Less, &magnitude, &unit, ty);
        self.select(&small, &signed, x, ty)
    }

    fn select(&mut self, condition: &str, a: &str, b: &str, ty: RegisterType) -> String {
        let types = match ty.lanes {
            1 => lane_type(ty.dtype).to_string(),
            lanes => format!("{}, {}", type_of(DType::Bool, lanes), register_type(ty)),
        };
        self.op(&format!("arith.select {condition}, {a}, {b} : {types}"))
    }

    pub(super) fn binary(&mut self, function: Binary, a: &str, b: &str, ty: RegisterType) -> Result<String> {
        let RegisterType { dtype, lanes } = ty;
        if is_narrow_float(dtype) {
            let (a, b) = (self.widen(a, ty), self.widen(b, ty));
            let value = self.binary(function, &a, &b, RegisterType { dtype: DType::F32, lanes })?;
            return Ok(match function {
                // one of the operands
                Binary::Maximum | Binary::Minimum => self.narrow_exactly(&value, ty),
                _ => self.narrow(&value, ty),
            });
        }
        let signed = dtype.is_signed_integer();
        let operation = match (function, dtype.is_float(), dtype == DType::Bool) {
            (Binary::Add, true, _) => "addf",
            (Binary::Subtract, true, _) => "subf",
            (Binary::Multiply, true, _) => "mulf",
            (Binary::Divide, true, _) => "divf",
            (Binary::Maximum, true, _) => "maximumf",
            (Binary::Minimum, true, _) => "minimumf",
            (Binary::Add | Binary::Maximum | Binary::Or, false, true) => "ori",
            (Binary::Multiply | Binary::Minimum | Binary::And, false, true) => "andi",
            (Binary::Add, false, false) => "addi",
            (Binary::Subtract, false, false) => "subi",
            (Binary::Multiply, false, false) => "muli",
            (Binary::Divide, false, false) => {
                if signed {
                    "divsi"
                } else {
                    "divui"
                }
            }
            (Binary::Maximum, false, false) => {
                if signed {
                    "maxsi"
                } else {
                    "maxui"
                }
            }
            (Binary::Minimum, false, false) => {
                if signed {
                    "minsi"
                } else {
                    "minui"
                }
            }
            (Binary::And, false, false) => "andi",
            (Binary::Or, false, false) => "ori",
            (Binary::Xor, false, _) => "xori",
            (Binary::ShiftLeft, false, false) => "shli",
            (Binary::ShiftRight, false, false) => {
                if signed {
                    "shrsi"
                } else {
                    "shrui"
                }
            }
            _ => {
                return self.error(format!("`{}` of {dtype} is not lowered to basic functions", function.text()));
            }
        };
        Ok(self.op(&format!("arith.{operation} {a}, {b} : {}", register_type(ty))))
    }

    fn compare(&mut self, function: Compare, a: &str, b: &str, ty: RegisterType) -> String {
        let RegisterType { dtype, lanes } = ty;
        if is_narrow_float(dtype) {
            let (a, b) = (self.widen(a, ty), self.widen(b, ty));
            return self.compare(function, &a, &b, RegisterType { dtype: DType::F32, lanes });
        }
        let text = register_type(ty);
        if dtype.is_float() {
            let predicate = match function {
                Compare::Equal => "oeq",
                Compare::NotEqual => "une",
                Compare::Less => "olt",
                Compare::LessEqual => "ole",
                Compare::Greater => "ogt",
                Compare::GreaterEqual => "oge",
            };
            return self.op(&format!("arith.cmpf {predicate}, {a}, {b} : {text}"));
        }
        let sign = if dtype.is_signed_integer() { "s" } else { "u" };
        let predicate = match function {
            Compare::Equal => "eq".to_string(),
            Compare::NotEqual => "ne".to_string(),
            Compare::Less => format!("{sign}lt"),
            Compare::LessEqual => format!("{sign}le"),
            Compare::Greater => format!("{sign}gt"),
            Compare::GreaterEqual => format!("{sign}ge"),
        };
        self.op(&format!("arith.cmpi {predicate}, {a}, {b} : {text}"))
    }

    /// Halves are combined until one lane is left.
    fn reduce_lanes(&mut self, kind: Reduction, x: String, ty: RegisterType, whole: u32) -> Result<String> {
        let function = match kind {
            Reduction::Sum => Binary::Add,
            Reduction::Product => Binary::Multiply,
            Reduction::Max => Binary::Maximum,
            Reduction::Min => Binary::Minimum,
        };
        let (mut x, mut lanes) = (self.reduce_threads(function, x, ty, whole)?, ty.lanes);
        while lanes > 1 {
            let from = type_of(ty.dtype, lanes);
            lanes /= 2;
            let part = |translator: &mut Self, first: u32| {
                if lanes == 1 {
                    return translator
                        .op(&format!("vector.extract {x}[{first}] : {} from {from}", lane_type(ty.dtype)));
                }
                let positions: Vec<String> = (first..first + lanes).map(|lane| lane.to_string()).collect();
                translator.op(&format!("vector.shuffle {x}, {x} [{}] : {from}, {from}", positions.join(", ")))
            };
            let (low, high) = (part(self, 0), part(self, lanes));
            x = self.binary(function, &low, &high, RegisterType { dtype: ty.dtype, lanes })?;
        }
        Ok(x)
    }

    /// The table's function, lane by lane, computed in f64.
    fn math(&mut self, function: MathFunction, operands: &[Register], result: RegisterType) -> Result<String> {
        let RegisterType { dtype, lanes } = result;
        if !matches!(dtype, DType::F32 | DType::F64) {
            return self.error(format!("a call of {function:?} in {dtype}, expected f32 or f64"));
        }
        let offset = match operands.len() {
            1 => 24,
            2 => 32,
            n => return self.error(format!("a call of {function:?} with {n} operands, expected 1 or 2")),
        };
        let operands = self.register_list(operands)?;
        let table = (!self.cpu.is_gpu())
            .then(|| (self.intrinsic(offset), self.int_constant(32, i128::from(function as u32), 1)));
        let (element, vector) = (lane_type(dtype), register_type(result));
        let parameters = if operands.len() == 1 { "(i32, f64) -> f64" } else { "(i32, f64, f64) -> f64" };
        let mut all = match lanes {
            1 => String::new(),
            _ => self.splat_constant("0.0", element, lanes),
        };
        for lane in 0..lanes {
            let mut arguments = vec![];
            for operand in &operands {
                let mut x = operand.clone();
                if lanes > 1 {
                    x = self.op(&format!("vector.extract {x}[{lane}] : {element} from {vector}"));
                }
                if dtype == DType::F32 {
                    x = self.op(&format!("arith.extf {x} : f32 to f64"));
                }
                arguments.push(x);
            }
            let mut value = match &table {
                Some((entry, number)) => {
                    let arguments = arguments.join(", ");
                    self.op(&format!("llvm.call {entry}({number}, {arguments}) : !llvm.ptr, {parameters}"))
                }
                None => self.device_math(function, &arguments),
            };
            if dtype == DType::F32 {
                value = self.op(&format!("arith.truncf {value} : f64 to f32"));
            }
            all = match lanes {
                1 => value,
                _ => self.op(&format!("vector.insert {value}, {all}[{lane}] : {element} into {vector}")),
            };
        }
        Ok(all)
    }

    fn load(
        &mut self,
        memory: MemoryId,
        position: &Index,
        count: Option<&Index>,
        result: RegisterType,
        whole: u32,
    ) -> Result<String> {
        let RegisterType { dtype, lanes } = result;
        self.access(memory, position, whole, false);
        let pointer = self.address(memory, position)?;
        let pointer = self.part(pointer, &memory_type(dtype, 1), whole);
        let (stored, alignment) = (memory_type(dtype, lanes), self.alignment(memory, position, dtype, lanes));
        let value = match count {
            Some(count) if !covers(count, whole) => {
                let vector = vector_of_lanes(&memory_type(dtype, 1), lanes);
                let mask = self.mask(count, lanes, whole, dtype.bits())?;
                let other = self.constant_text(match dtype {
                    DType::F32 | DType::F64 => format!("dense<0.0> : {vector}"),
                    _ => format!("dense<0> : {vector}"),
                });
                let value = self.op(&format!(
                    "llvm.intr.masked.load {pointer}, {mask}, {other} {{alignment = {alignment} : i32}} : (!llvm.ptr, vector<{lanes}xi1>, {vector}) -> {vector}"
                ));
                match lanes {
                    1 => self.op(&format!("vector.extract {value}[0] : {stored} from {vector}")),
                    _ => value,
                }
            }
            _ => self.op(&format!("llvm.load {pointer} {{alignment = {alignment} : i64}} : !llvm.ptr -> {stored}")),
        };
        if dtype != DType::Bool {
            return Ok(value);
        }
        let zero = self.int_constant(8, 0, lanes);
        Ok(self.op(&format!("arith.cmpi ne, {value}, {zero} : {stored}")))
    }

    pub(super) fn store(
        &mut self,
        memory: MemoryId,
        position: &Index,
        register: Register,
        count: Option<&Index>,
    ) -> Result<()> {
        let (mut value, RegisterType { dtype, lanes }) = self.operand(register)?;
        let whole = self.whole_lanes(register);
        self.access(memory, position, whole, true);
        let pointer = self.address(memory, position)?;
        let pointer = self.part(pointer, &memory_type(dtype, 1), whole);
        let (stored, alignment) = (memory_type(dtype, lanes), self.alignment(memory, position, dtype, lanes));
        if dtype == DType::Bool {
            value = self.op(&format!("arith.extui {value} : {} to {stored}", type_of(dtype, lanes)));
        }
        match count {
            Some(count) if !covers(count, whole) => {
                let vector = vector_of_lanes(&memory_type(dtype, 1), lanes);
                let mask = self.mask(count, lanes, whole, dtype.bits())?;
                if lanes == 1 {
                    value = self.op(&format!("vector.broadcast {value} : {stored} to {vector}"));
                }
                let masked = format!(
                    "llvm.intr.masked.store {value}, {pointer}, {mask} {{alignment = {alignment} : i32}} : {vector}, vector<{lanes}xi1> into !llvm.ptr"
                );
                let element = memory_type(dtype, 1);
                if lanes == 1 || self.cpu.is_gpu() || !element.starts_with('i') || dtype.bits() == 64 {
                    self.store_line(whole, &masked);
                    return Ok(());
                }
                // LLVM 22 stores one narrowed lane as wide as it was before, over its neighbour (x86, constant masks)
                let (bound, one) = (self.index(count)?, self.i64(1));
                let alone = self.op(&format!("arith.cmpi eq, {bound}, {one} : i64"));
                self.line(&format!("scf.if {alone} {{"));
                let first = self.op(&format!("vector.extract {value}[0] : {element} from {vector}"));
                self.line(&format!(
                    "llvm.store {first}, {pointer} {{alignment = {alignment} : i64}} : {element}, !llvm.ptr"
                ));
                self.line("} else {");
                self.line(&masked);
                self.line("}");
            }
            _ => self.store_line(
                whole,
                &format!(
                    "llvm.store {value}, {pointer} {{alignment = {alignment} : i64}} : {}, !llvm.ptr",
                    vector_of(&memory_type(dtype, 1), lanes)
                ),
            ),
        }
        Ok(())
    }

    /// A line of the element's neighbours comes to the nearest cache; the threads of a GPU hide the way from memory themselves.
    pub(super) fn prefetch(&mut self, memory: MemoryId, position: &Index) -> Result<()> {
        if self.cpu.is_gpu() {
            return Ok(());
        }
        let pointer = self.address(memory, position)?;
        self.line(&format!(
            "\"llvm.intr.prefetch\"({pointer}) <{{rw = 0 : i32, hint = 3 : i32, cache = 1 : i32}}> : (!llvm.ptr) -> ()"
        ));
        Ok(())
    }

    /// A store of `whole` lanes, by the threads whose lanes they are.
    fn store_line(&mut self, whole: u32, text: &str) {
        match self.owner(whole) {
            Some(owner) => {
                self.line(&format!("scf.if {owner} {{"));
                self.line(text);
                self.line("}");
            }
            None => self.line(text),
        }
    }
}

/// Whether a constant count covers all lanes.
fn covers(count: &Index, lanes: u32) -> bool {
    count.as_constant().is_some_and(|count| count >= i64::from(lanes))
}

/// A vector type even where there is one lane.
fn vector_of_lanes(element: &str, lanes: u32) -> String {
    format!("vector<{lanes}x{element}>")
}
