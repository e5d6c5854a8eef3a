use super::*;
use crate::tensor::ops::Domain;
use kc_abi::Symbol;
use kc_abi::library::Extents;
use std::collections::BTreeSet;

/// What is wrong with a kernel, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{place}: {message}", if .kernel.is_empty() { String::new() } else { format!("kernel `{}`, ", .kernel) })]
pub struct VerifyError {
    /// The kernel's name; empty where it is none's.
    pub kernel: String,
    /// The statement, as the text form shows it in short.
    pub place: String,
    /// What was given, what was expected.
    pub message: String,
}

/// The largest number of lanes of a register.
pub const MAX_LANES: u32 = 1024;

/// Checks that a kernel obeys the rules of the language:
///
/// * buffer parameters come before scratch memory;
/// * registers have a power of two of lanes, are defined once, before their uses and in an enclosing block;
/// * axes, dimension parameters and memory exist where they are used; an axis is not defined within its own loop;
/// * every instruction's operands and result have the types that it says; carried and yielded values agree in number and type;
/// * fragments have a matrix for each warp and lie in scratch memory; copies go there from a parameter;
/// * memory is loaded and stored in its own dtype; what is only read is not written, and the other way round.
pub fn verify_kernel(kernel: &Kernel) -> Result<(), VerifyError> {
    let mut verifier = Verifier {
        kernel,
        place: "header".to_string(),
        visible: vec![false; kernel.registers.len()],
        defined: vec![false; kernel.registers.len()],
        axes: vec![kernel.task],
    };
    let scratch_first = kernel.memory.iter().position(|memory| matches!(memory.space, Space::Scratch { .. }));
    if scratch_first.is_some_and(|first| first < kernel.parameters()) {
        return verifier.fail("scratch memory stands before a buffer parameter; expected parameters first".to_string());
    }
    for (number, ty) in kernel.registers.iter().enumerate() {
        if !ty.lanes.is_power_of_two() || ty.lanes > MAX_LANES {
            let lanes = ty.lanes;
            return verifier.fail(format!("%{number} has {lanes} lanes; expected a power of two up to {MAX_LANES}"));
        }
    }
    verifier.block(&kernel.body, &[]).map(|_| ())
}

struct Verifier<'a> {
    kernel: &'a Kernel,
    place: String,
    /// By register: whether it may be used here.
    visible: Vec<bool>,
    /// By register: whether some statement before defines it.
    defined: Vec<bool>,
    axes: Vec<Axis>,
}

type Verified<T = ()> = Result<T, VerifyError>;

impl Verifier<'_> {
    fn fail<T>(&self, message: String) -> Verified<T> {
        Err(VerifyError { kernel: self.kernel.name.clone(), place: self.place.clone(), message })
    }

    /// The type of a register that is used.
    fn used(&self, register: Register) -> Verified<RegisterType> {
        match self.visible.get(register.0 as usize) {
            Some(true) => Ok(self.kernel.registers[register.0 as usize]),
            Some(false) => self.fail(format!("%{} is used where it is not defined", register.0)),
            None => self.fail(format!("there is no register %{}", register.0)),
        }
    }

    fn define(&mut self, register: Register, scope: &mut Vec<Register>) -> Verified<RegisterType> {
        match self.defined.get(register.0 as usize) {
            None => self.fail(format!("there is no register %{}", register.0)),
            Some(true) => self.fail(format!("%{} is defined twice", register.0)),
            Some(false) => {
                self.defined[register.0 as usize] = true;
                self.visible[register.0 as usize] = true;
                scope.push(register);
                Ok(self.kernel.registers[register.0 as usize])
            }
        }
    }

    /// Checks a block and the values that it yields, whose types are returned. `parameters` are defined in it.
    fn block(&mut self, statements: &[Statement], parameters: &[Register]) -> Verified<Vec<Register>> {
        let mut scope = Vec::new();
        for &parameter in parameters {
            self.define(parameter, &mut scope)?;
        }
        for statement in statements {
            self.statement(statement, &mut scope)?;
        }
        Ok(scope)
    }

    fn leave(&mut self, scope: Vec<Register>) {
        scope.into_iter().for_each(|register| self.visible[register.0 as usize] = false);
    }

    fn types(&self, registers: &[Register]) -> Verified<Vec<RegisterType>> {
        registers.iter().map(|&register| self.used(register)).collect()
    }

    fn agree(&self, what: &str, given: &[RegisterType], expected: &[RegisterType]) -> Verified {
        let list = |types: &[RegisterType]| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        if given == expected {
            return Ok(());
        }
        self.fail(format!("{what} are ({}), expected ({})", list(given), list(expected)))
    }

    fn statement(&mut self, statement: &Statement, scope: &mut Vec<Register>) -> Verified {
        match statement {
            Statement::Let(register, instruction) => {
                self.place = format!("%{}", register.0);
                let operands = self.instruction_operands(instruction)?;
                let result = self.define(*register, scope)?;
                self.instruction(instruction, &operands, result)
            }
            Statement::Store { memory, position, value, count } => {
                self.place = format!("store of %{}", value.0);
                let memory = self.memory(*memory, Use::Write)?;
                let value = self.used(*value)?;
                if value.dtype != memory.dtype {
                    return self.fail(format!("a {value} is stored to memory of {}", memory.dtype));
                }
                self.index(position)?;
                count.as_ref().map_or(Ok(()), |count| self.index(count))
            }
            Statement::Prefetch { memory, position } => {
                self.place = "prefetch".to_string();
                self.memory(*memory, Use::Hint)?;
                self.index(position)
            }
            Statement::For(l) => self.for_loop(l, scope),
            Statement::If(branch) => {
                self.place = format!("if %{}", branch.condition.0);
                let condition = self.used(branch.condition)?;
                if condition != (RegisterType { dtype: DType::Bool, lanes: 1 }) {
                    return self.fail(format!("the condition is a {condition}, expected a bool"));
                }
                let place = self.place.clone();
                let mut sides = Vec::new();
                for (statements, values) in
                    [(&branch.then, &branch.then_values), (&branch.otherwise, &branch.otherwise_values)]
                {
                    let inner = self.block(statements, &[])?;
                    self.place.clone_from(&place);
                    sides.push(self.types(values)?);
                    self.leave(inner);
                }
                let mut results = Vec::new();
                for &result in &branch.results {
                    results.push(self.define(result, scope)?);
                }
                self.agree("the values of the branch taken where true", &sides[0], &results)?;
                self.agree("the values of the branch taken where false", &sides[1], &results)
            }
            Statement::Gemm(gemm) => {
                self.place = "gemm".to_string();
                let result_use = if gemm.accumulate { Use::Update } else { Use::Write };
                let mut dtypes = Vec::new();
                for (matrix, usage) in [(&gemm.a, Use::Read), (&gemm.b, Use::Read), (&gemm.c, result_use)] {
                    dtypes.push(self.memory(matrix.memory, usage)?.dtype);
                    for index in [&matrix.position, &matrix.row_stride, &matrix.column_stride] {
                        self.index(index)?;
                    }
                }
                for index in [&gemm.m, &gemm.n, &gemm.k] {
                    self.index(index)?;
                }
                match dtypes[..] {
                    [DType::F32, DType::F32, DType::F32] | [DType::F64, DType::F64, DType::F64] => Ok(()),
                    _ => {
                        let [a, b, c] = [dtypes[0], dtypes[1], dtypes[2]];
                        self.fail(format!("the matrices are of {a}, {b} and {c}; expected f32 or f64 for all three"))
                    }
                }
            }
            Statement::Library(call) => self.library(call),
            Statement::StoreTiles(tiles, value) => {
                self.place = format!("store_tiles of %{}", value.0);
                let value = self.used(*value)?;
                if tiles.lines == Lines::Columns {
                    return self.fail("sums are stored by columns; expected rows".to_string());
                }
                self.tiles(tiles, Use::Write, value, &[DType::F32])
            }
            Statement::StoreSpaced(spaced, value) => {
                self.place = format!("store_spaced of %{}", value.0);
                let value = self.used(*value)?;
                self.spaced(spaced, Use::Write, value)?;
                let mut places: Vec<i64> = (0..value.lanes).map(|lane| spaced.offset(lane)).collect();
                places.sort_unstable();
                if places.windows(2).any(|pair| pair[0] == pair[1]) {
                    return self.fail(format!("two lanes lie at one place by the steps {:?}", spaced.steps));
                }
                Ok(())
            }
            Statement::Copy(copy) => self.copy(copy),
            Statement::CommitCopies | Statement::AwaitCopies { .. } => Ok(()),
        }
    }

    /// Matrices of fragments of that type.
    fn tiles(&self, tiles: &Tiles, usage: Use, ty: RegisterType, dtypes: &[DType]) -> Verified {
        let memory = self.memory(tiles.memory, usage)?;
        if !matches!(memory.space, Space::Scratch { .. }) {
            return self.fail(format!("tiles lie in `{}`, a parameter; expected scratch memory", memory.name));
        }
        if memory.dtype != ty.dtype {
            return self.fail(format!("tiles of type {ty} lie in memory of {}", memory.dtype));
        }
        if tiles.stride < 1 || tiles.across < 1 {
            return self.fail(format!("a stride of {} and {} warps; expected at least 1", tiles.stride, tiles.across));
        }
        self.index(&tiles.position)?;
        self.fragment(ty, dtypes)
    }

    /// Elements for the lanes of a register of that type.
    fn spaced(&self, spaced: &Spaced, usage: Use, ty: RegisterType) -> Verified {
        let memory = self.memory(spaced.memory, usage)?;
        if !matches!(memory.space, Space::Scratch { .. }) {
            return self.fail(format!("lanes lie in `{}`, a parameter; expected scratch memory", memory.name));
        }
        if memory.dtype != ty.dtype {
            return self.fail(format!("lanes of type {ty} lie in memory of {}", memory.dtype));
        }
        let (given, expected) = (spaced.steps.len(), ty.lanes.trailing_zeros() as usize);
        if given != expected {
            return self.fail(format!("{given} steps for {} lanes; expected {expected}, one a bit", ty.lanes));
        }
        self.index(&spaced.position)
    }

    fn fragment(&self, ty: RegisterType, dtypes: &[DType]) -> Verified {
        let expected: Vec<String> =
            dtypes.iter().map(|&dtype| RegisterType { dtype, lanes: fragment::BLOCK_LANES }.to_string()).collect();
        if ty.lanes == fragment::BLOCK_LANES && dtypes.contains(&ty.dtype) {
            return Ok(());
        }
        self.fail(format!("a fragment of type {ty}; expected {}", expected.join(" or ")))
    }

    fn copy(&mut self, copy: &TileCopy) -> Verified {
        self.place = "copy".to_string();
        let from = self.memory(copy.from, Use::Read)?;
        let to = self.memory(copy.to, Use::Write)?;
        if !matches!(to.space, Space::Scratch { .. }) || !matches!(from.space, Space::Parameter(_)) {
            let message = format!("from `{}` to `{}`; expected a parameter and scratch memory", from.name, to.name);
            return self.fail(message);
        }
        if to.dtype != from.dtype {
            return self.fail(format!("from memory of {} to memory of {}", from.dtype, to.dtype));
        }
        if copy.lines < 1 || copy.elements < 1 || copy.to_stride < copy.elements {
            let TileCopy { lines, elements, to_stride, .. } = copy;
            return self.fail(format!("{lines} lines of {elements} elements, {to_stride} apart; expected some, apart"));
        }
        let (strides, extents) = (&copy.from_strides, &copy.from_extents);
        if strides.len() != extents.len() + 1 {
            let message = format!("{} strides and {} extents; expected one less", strides.len(), extents.len());
            return self.fail(message);
        }
        if let Some(extent) = extents.iter().filter_map(Index::as_constant).find(|extent| *extent < 1) {
            return self.fail(format!("{extent} lines along an axis; expected at least 1"));
        }
        let places = [&copy.to_position, &copy.from_position, &copy.first_line];
        let sizes = [&copy.valid_lines, &copy.valid_elements];
        places.into_iter().chain(sizes).chain(strides).chain(extents).try_for_each(|index| self.index(index))
    }

    fn library(&mut self, call: &LibraryCall) -> Verified {
        self.place = format!("library {}", call.function.name());
        let mut extents = Vec::new();
        let usages = call.reads.iter().map(|_| Use::Read).chain(call.writes.iter().map(|_| Use::Write));
        for (region, usage) in call.regions().zip(usages) {
            let dtype = self.memory(region.matrix.memory, usage)?.dtype;
            extents.push(Extents { dtype, rows: 0, columns: 0 });
            let matrix = &region.matrix;
            for index in [&matrix.position, &matrix.row_stride, &matrix.column_stride, &region.rows, &region.columns] {
                self.index(index)?;
            }
        }
        let (given, expected) = (call.attributes.len(), call.function.attributes());
        if given != expected {
            return self.fail(format!("got {given} attributes, expected {expected}"));
        }
        let wrong_number = (call.writes.len() != call.function.writes()).then_some("another number of regions");
        if let Some(expected) = wrong_number.or(call.function.check_dtypes(&extents).err()) {
            let given: Vec<String> = extents.iter().map(|region| region.dtype.to_string()).collect();
            return self.fail(format!("got regions of ({}), expected {expected}", given.join(", ")));
        }
        for (number, written) in call.writes.iter().enumerate() {
            let others = call.writes[number + 1..].iter().chain(&call.reads);
            if others.into_iter().any(|other| other.matrix.memory == written.matrix.memory) {
                let name = &self.kernel.memory[written.matrix.memory.0 as usize].name;
                return self.fail(format!("`{name}` is written, but it holds another region too"));
            }
        }
        let side_by_side = matches!(call.function, LibraryFunction::Argsort | LibraryFunction::Argtop);
        if side_by_side && call.writes[0].matrix.column_stride != Index::Constant(1) {
            return self.fail("positions are written side by side, expected the column stride 1".to_string());
        }
        Ok(())
    }

    fn for_loop(&mut self, l: &For, scope: &mut Vec<Register>) -> Verified {
        let place = format!("for i{}", l.axis.0);
        self.place.clone_from(&place);
        self.index(&l.start)?;
        self.index(&l.end)?;
        if l.step < 1 {
            return self.fail(format!("the step is {}, expected at least 1", l.step));
        }
        if l.independent && !l.parameters.is_empty() {
            return self.fail("the rounds are independent, but they carry values".to_string());
        }
        if self.axes.contains(&l.axis) {
            return self.fail("the axis is defined by a surrounding loop too".to_string());
        }
        let initial = self.types(&l.initial)?;
        self.axes.push(l.axis);
        let inner = self.block(&l.body, &l.parameters)?;
        self.axes.pop();
        self.place = place;
        let parameters = self.types(&l.parameters)?;
        let next = self.types(&l.next)?;
        self.leave(inner);
        let mut results = Vec::new();
        for &result in &l.results {
            results.push(self.define(result, scope)?);
        }
        self.agree("the initial values", &initial, &parameters)?;
        self.agree("the yielded values", &next, &parameters)?;
        self.agree("the results", &results, &parameters)
    }

    fn memory(&self, memory: MemoryId, usage: Use) -> Verified<&Memory> {
        let Some(found) = self.kernel.memory.get(memory.0 as usize) else {
            return self.fail(format!("there is no memory @{}", memory.0));
        };
        let wrong = match (found.space, usage) {
            (Space::Parameter(Access::Read), Use::Write | Use::Update) => "only read, but it is written here",
            (Space::Parameter(Access::Write), Use::Read | Use::Update) => "only written, but it is read here",
            (Space::Parameter(_) | Space::Scratch { .. }, _) => return Ok(found),
        };
        self.fail(format!("`{}` is {wrong}", found.name))
    }

    fn index(&self, index: &Index) -> Verified {
        match index {
            Index::Constant(_) => Ok(()),
            Index::Dim(number) if *number < self.kernel.dims => Ok(()),
            Index::Dim(number) => {
                self.fail(format!("there is no d{number}; the kernel has {} dimension parameters", self.kernel.dims))
            }
            Index::Axis(axis) if self.axes.contains(axis) => Ok(()),
            Index::Axis(axis) => self.fail(format!("axis {} is used outside of its loop", axis.0)),
            Index::Register(register) => {
                let ty = self.used(*register)?;
                if ty.lanes == 1 && ty.dtype.is_integer() {
                    return Ok(());
                }
                self.fail(format!("%{} is a {ty}; expected a scalar integer in an index", register.0))
            }
            Index::FloorDiv(_, b) | Index::Modulo(_, b) if b.as_constant().is_some_and(|value| value < 1) => {
                self.fail(format!("`{}` divides; expected a divisor above 0", print_index(b, self.kernel.task)))
            }
            Index::Add(a, b)
            | Index::Multiply(a, b)
            | Index::FloorDiv(a, b)
            | Index::Modulo(a, b)
            | Index::Min(a, b)
            | Index::Max(a, b) => {
                self.index(a)?;
                self.index(b)
            }
        }
    }

    fn instruction_operands(&self, instruction: &Instruction) -> Verified<Vec<RegisterType>> {
        match instruction {
            Instruction::Constant(_) => Ok(vec![]),
            Instruction::Position { index, .. } => self.index(index).map(|_| vec![]),
            Instruction::Splat(x)
            | Instruction::Unary(_, x)
            | Instruction::Convert(x)
            | Instruction::Bitcast(x)
            | Instruction::ReduceLanes(_, x) => self.types(&[*x]),
            Instruction::Binary(_, a, b) | Instruction::Compare(_, a, b) | Instruction::Interleave(_, a, b) => {
                self.types(&[*a, *b])
            }
            Instruction::MultiplyAdd(a, b, c)
            | Instruction::MultiplyAddGroups(a, b, c)
            | Instruction::Select(a, b, c) => self.types(&[*a, *b, *c]),
            Instruction::Load { position, count, .. } => {
                self.index(position)?;
                count.as_ref().map_or(Ok(()), |count| self.index(count))?;
                Ok(vec![])
            }
            Instruction::Math(_, operands) => self.types(operands),
            Instruction::LoadTiles(..) | Instruction::LoadSpaced(_) => Ok(vec![]),
            Instruction::MultiplyTiles(a, b, c) => self.types(&[*a, *b, *c]),
        }
    }

    fn domain(&self, name: &str, domain: Domain, dtype: DType) -> Verified {
        if domain.contains(dtype) {
            return Ok(());
        }
        self.fail(format!("`{name}` of {dtype}, which it does not take"))
    }

    fn instruction(&self, instruction: &Instruction, operands: &[RegisterType], result: RegisterType) -> Verified {
        let RegisterType { dtype, lanes } = result;
        let with = |dtype: DType| RegisterType { dtype, lanes };
        let expect = |expected: &[RegisterType]| self.agree("the operands", operands, expected);
        match instruction {
            Instruction::Constant(value) => {
                let fits = match value {
                    Scalar::Float(_) => dtype.is_float(),
                    Scalar::Int(value) => {
                        let (low, high) = crate::tensor::integer_range(dtype);
                        !dtype.is_float() && (low..=high).contains(value)
                    }
                };
                if fits { Ok(()) } else { self.fail(format!("the constant {value:?} is no value of {dtype}")) }
            }
            Instruction::Position { .. } if dtype.is_integer() => Ok(()),
            Instruction::Position { .. } => self.fail(format!("a position of type {result}; expected integers")),
            Instruction::Splat(_) => expect(&[RegisterType { dtype, lanes: operands[0].lanes.min(lanes) }]),
            Instruction::Unary(Unary::IsFinite, _) => {
                self.domain("is_finite", Domain::Float, operands[0].dtype)?;
                self.agree("the result", &[result], &[RegisterType { dtype: DType::Bool, ..operands[0] }])
            }
            Instruction::Unary(function, _) => {
                self.domain(function.text(), function.domain(), dtype)?;
                expect(&[result])
            }
            Instruction::Binary(function, ..) => {
                self.domain(function.text(), function.domain(), dtype)?;
                expect(&[result, result])
            }
            Instruction::MultiplyAdd(..) => {
                self.domain("multiply_add", Domain::Number, dtype)?;
                expect(&[result, result, result])
            }
            Instruction::MultiplyAddGroups(..) => {
                let factors = operands[..2].iter().map(|ty| ty.dtype);
                let group = match factors.collect::<Vec<_>>()[..] {
                    [DType::Bf16, DType::Bf16] if dtype == DType::F32 => 2,
                    [DType::I8 | DType::U8, DType::I8 | DType::U8] if dtype == DType::I32 => 4,
                    _ => {
                        let message = format!("groups of {} and {} summed in {dtype}", operands[0], operands[1]);
                        return self.fail(format!("{message}; expected bf16 in f32, or i8 or u8 in i32"));
                    }
                };
                let factor = |ty: RegisterType| RegisterType { lanes: lanes.saturating_mul(group), ..ty };
                expect(&[factor(operands[0]), factor(operands[1]), result])
            }
            Instruction::Compare(..) => {
                expect(&[operands[0], operands[0]])?;
                self.agree("the result", &[result], &[RegisterType { dtype: DType::Bool, ..operands[0] }])
            }
            Instruction::Select(..) => expect(&[with(DType::Bool), result, result]),
            Instruction::Convert(_) => expect(&[with(operands[0].dtype)]),
            Instruction::Bitcast(_) => {
                let from = operands[0].dtype;
                if from.bytes() != dtype.bytes() || from == DType::Bool || dtype == DType::Bool {
                    return self.fail(format!("{from} as {dtype}: they differ in size or are bool"));
                }
                expect(&[with(from)])
            }
            Instruction::ReduceLanes(kind, _) => {
                if dtype == DType::Bool && matches!(kind, Reduction::Sum | Reduction::Product) {
                    return self.fail("a sum or product of bools; expected max (any) or min (all)".to_string());
                }
                self.agree("the result", &[result], &[RegisterType { lanes: 1, ..operands[0] }])
            }
            Instruction::Interleave(half, ..) => {
                if lanes < 2 {
                    return self.fail(format!("`{}` of one lane; expected two at least", half.interleave_text()));
                }
                expect(&[result, result])
            }
            Instruction::Load { memory, .. } => {
                let memory = self.memory(*memory, Use::Read)?;
                if memory.dtype == dtype {
                    return Ok(());
                }
                self.fail(format!("a {result} is loaded from memory of {}", memory.dtype))
            }
            Instruction::Math(function, _) => {
                if !matches!(dtype, DType::F32 | DType::F64) {
                    return self.fail(format!("`{}` of {dtype}; expected f32 or f64", function.name()));
                }
                expect(&vec![result; function.operands()])
            }
            Instruction::LoadSpaced(spaced) => self.spaced(spaced, Use::Read, result),
            Instruction::LoadTiles(_, Side::Sums) => self.fail("sums are stored, not loaded".to_string()),
            Instruction::LoadTiles(tiles, _) => self.tiles(tiles, Use::Read, result, &[DType::F16, DType::Bf16]),
            Instruction::MultiplyTiles(..) => {
                self.fragment(operands[0], &[DType::F16, DType::Bf16, DType::F32])?;
                let sums = RegisterType { dtype: DType::F32, lanes };
                self.agree("the result", &[result], &[sums])?;
                expect(&[with(operands[0].dtype), with(operands[0].dtype), sums])
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Use {
    Hint,
    Read,
    Write,
    Update,
}

/// Checks a program's kernels, and that
///
/// * constants have their buffer's type;
/// * launches give each kernel as many buffers and dimensions as it has parameters, in the right dtypes;
/// * inputs and constants are not written, and a launch gives no buffer twice unless both are only read;
/// * no launch reads what another launch of the same step writes.
pub fn verify_program(program: &Program) -> Result<(), VerifyError> {
    program.kernels.iter().try_for_each(verify_kernel)?;
    let fail = |kernel: &str, place: String, message: String| {
        Err(VerifyError { kernel: kernel.to_string(), place: format!("program `{}`, {place}", program.name), message })
    };
    for (number, buffer) in program.buffers.iter().enumerate() {
        if let Role::Constant(literal) = &buffer.role
            && literal.ty() != buffer.ty
        {
            let message = format!("the constant is {}, expected {}", literal.ty(), buffer.ty);
            return fail("", format!("buffer {number}"), message);
        }
    }
    for (number, buffer) in program.buffers.iter().enumerate() {
        let Role::Part { of, .. } = buffer.role else { continue };
        let place = format!("buffer {number}");
        if of >= number {
            return fail("", place, format!("it is part of buffer {of}, expected one before it"));
        }
        if program.buffers[of].ty.dtype != buffer.ty.dtype {
            let message = format!("it is {}, buffer {of}, whose part it is, is {}", buffer.ty, program.buffers[of].ty);
            return fail("", place, message);
        }
    }
    Checker { program, counters: vec![] }.steps(&program.steps, "")?;
    kept_steps(program).or_else(|(step, message)| fail("", format!("step {step}"), message))
}

/// Whether the results of the steps that later calls need not repeat depend on the state and constants alone, and stay; else the step
/// that is wrong, and how.
fn kept_steps(program: &Program) -> Result<(), (usize, String)> {
    let (count, kept) = (program.steps.len(), program.kept);
    if kept > count {
        return Err((count, format!("{kept} steps are kept, there are {count}")));
    }
    let mut results = BTreeSet::new();
    for (number, step) in program.steps.iter().enumerate().take(kept) {
        let Step::Launches(launches) = step else {
            return Err((number, "it is kept, expected launches".to_string()));
        };
        for (buffer, access) in launches.iter().flat_map(|launch| program.uses(launch)) {
            let (root, _) = program.root(buffer);
            match (&program.buffers[root].role, access) {
                (Role::State(_) | Role::Constant(_), Access::Read) => {}
                (Role::Temporary, Access::Read) if results.contains(&root) => {}
                (Role::Temporary, Access::Write) => {
                    results.insert(root);
                }
                _ => {
                    let expected = "to read state, constants and what kept steps gave, and to write temporaries";
                    let access = access.text();
                    return Err((
                        number,
                        format!("it is kept, but has buffer {buffer} to {access}, expected {expected}"),
                    ));
                }
            }
        }
    }
    for (number, step) in program.steps.iter().enumerate().filter(|_| kept > 0) {
        for launch in launches(std::slice::from_ref(step)) {
            for (buffer, _) in program.uses(launch).filter(|(_, access)| *access != Access::Read) {
                let (root, _) = program.root(buffer);
                if matches!(program.buffers[root].role, Role::State(_)) || number >= kept && results.contains(&root) {
                    let message = format!("it writes buffer {buffer}, on which what kept steps gave depends");
                    return Err((number, message));
                }
            }
        }
    }
    Ok(())
}

struct Checker<'a> {
    program: &'a Program,
    /// Counters of the loops around.
    counters: Vec<&'a Symbol>,
}

impl<'a> Checker<'a> {
    fn fail<T>(&self, kernel: &str, place: String, message: String) -> Result<T, VerifyError> {
        let place = format!("program `{}`, {place}", self.program.name);
        Err(VerifyError { kernel: kernel.to_string(), place, message })
    }

    fn steps(&mut self, steps: &'a [Step], around: &str) -> Result<(), VerifyError> {
        for (number, step) in steps.iter().enumerate() {
            let place = format!("{around}step {number}");
            match step {
                Step::Launches(launches) => self.launches(launches, &place)?,
                Step::Loop { counter, steps, .. } => {
                    if self.counters.contains(&counter) || self.program.symbols.contains(counter) {
                        return self.fail("", place, format!("the counter {counter} is the name of something else"));
                    }
                    self.counters.push(counter);
                    self.steps(steps, &format!("{place}, "))?;
                    self.counters.pop();
                }
                Step::While { condition, holds, steps } => {
                    self.scalar(*holds, &place)?;
                    self.steps(condition, &format!("{place}, "))?;
                    self.steps(steps, &format!("{place}, "))?;
                }
                Step::Branch { index, branches } => {
                    self.scalar(*index, &place)?;
                    if branches.is_empty() {
                        return self.fail("", place, "it has no branches".to_string());
                    }
                    for steps in branches {
                        self.steps(steps, &format!("{place}, "))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Checks a buffer that decides what is executed.
    fn scalar(&self, buffer: usize, place: &str) -> Result<(), VerifyError> {
        match self.program.buffers.get(buffer) {
            Some(found) if found.ty.rank() == 0 && !found.ty.dtype.is_float() => self.in_scope(buffer, "", place),
            Some(found) => {
                let message = format!("buffer {buffer} is {}, expected a bool or integer scalar", found.ty);
                self.fail("", place.to_string(), message)
            }
            None => self.fail("", place.to_string(), format!("there is no buffer {buffer}")),
        }
    }

    /// Checks that the symbols of a part's offset are known where it is used.
    fn in_scope(&self, buffer: usize, kernel: &str, place: &str) -> Result<(), VerifyError> {
        let mut symbols = vec![];
        self.program.root(buffer).1.collect_symbols(&mut symbols);
        let known = |symbol: &Symbol| self.program.symbols.contains(symbol) || self.counters.contains(&symbol);
        match symbols.iter().find(|symbol| !known(symbol)) {
            None => Ok(()),
            Some(symbol) => {
                let message = format!("buffer {buffer} starts where {symbol} says, which is not known here");
                self.fail(kernel, place.to_string(), message)
            }
        }
    }

    fn launches(&mut self, launches: &[Launch], step: &str) -> Result<(), VerifyError> {
        let program = self.program;
        // buffer and launch
        let (mut written, mut read) = (Vec::new(), Vec::new());
        for (position, launch) in launches.iter().enumerate() {
            let place = format!("{step}, launch {position}");
            let Some(kernel) = program.kernels.get(launch.kernel) else {
                return self.fail("", place, format!("there is no kernel {}", launch.kernel));
            };
            let (buffers, dims) = (launch.buffers.len(), launch.dims.len());
            if buffers != kernel.parameters() || dims != kernel.dims as usize {
                let message = format!(
                    "got {buffers} buffers and {dims} dimensions, expected {} and {}",
                    kernel.parameters(),
                    kernel.dims
                );
                return self.fail(&kernel.name, place, message);
            }
            let mut given: Vec<(&Buffer, usize, bool)> = Vec::new();
            for (&buffer_number, memory) in launch.buffers.iter().zip(&kernel.memory) {
                let Some(buffer) = program.buffers.get(buffer_number) else {
                    return self.fail(&kernel.name, place, format!("there is no buffer {buffer_number}"));
                };
                self.in_scope(buffer_number, &kernel.name, &place)?;
                let root = &program.buffers[program.root(buffer_number).0];
                let writes = memory.space != Space::Parameter(super::Access::Read);
                if buffer.ty.dtype != memory.dtype {
                    let message = format!(
                        "buffer {buffer_number} is of {}, `{}` of {}",
                        buffer.ty.dtype, memory.name, memory.dtype
                    );
                    return self.fail(&kernel.name, place, message);
                }
                if writes && matches!(root.role, Role::Input(_) | Role::Constant(_)) {
                    let message = format!("`{}` is written, but buffer {buffer_number} must not be", memory.name);
                    return self.fail(&kernel.name, place, message);
                }
                if let Some((_, twice, _)) = given.iter().find(|(other, other_number, other_writes)| {
                    (writes || *other_writes) && same_storage(other, *other_number, buffer, buffer_number)
                }) {
                    let message =
                        format!("buffers {twice} and {buffer_number} are the same memory, and one is written");
                    return self.fail(&kernel.name, place, message);
                }
                given.push((buffer, buffer_number, writes));
                if writes {
                    written.push((buffer_number, position));
                }
                if memory.space != Space::Parameter(super::Access::Write) {
                    read.push((buffer_number, position));
                }
            }
        }
        for (buffer, reader) in read {
            if let Some((_, writer)) = written.iter().find(|(other, writer)| *other == buffer && *writer != reader) {
                let message = format!("buffer {buffer} is written by launch {writer} of the same step");
                let kernel = &program.kernels[launches[reader].kernel].name;
                return self.fail(kernel, format!("{step}, launch {reader}"), message);
            }
        }
        Ok(())
    }
}

/// Whether two buffers are known to share memory; whether parts do is known where offsets have values.
fn same_storage(a: &Buffer, a_number: usize, b: &Buffer, b_number: usize) -> bool {
    matches!((&a.role, &b.role), (Role::Part { of, .. }, _) if *of == b_number)
        || matches!((&a.role, &b.role), (_, Role::Part { of, .. }) if *of == a_number)
        || a_number == b_number
        || (a.role == b.role && matches!(a.role, Role::Input(_) | Role::Output(_) | Role::State(_)))
}
