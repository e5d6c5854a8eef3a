//! A kernel as a function: parameters, tasks, statements.

use super::vector::{Vector, element_of, part_count};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::*;
use cranelift_codegen::ir::{
    AbiParam, AliasRegionData, Block, BlockArg, Function, InstBuilder, MemFlagsData, Signature, StackSlot,
    StackSlotData, StackSlotKind, UserFuncName, Value,
};
use cranelift_codegen::isa::{CallConv, TargetFrontendConfig};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use kc_ir::DType;
use kc_ir::kernel::{Axis, For, If, Instruction, Kernel, Register, Space, Statement};
use kc_ir::tensor::{Literal, Scalar};
use kc_runtime::kc_abi::call::Environment;
use std::collections::BTreeMap;
use std::mem::offset_of;

/// An error says why the kernel cannot be translated.
pub(super) type Translated<T = ()> = Result<T, String>;

/// Why a kernel for a GPU is refused.
const NO_TILES: &str =
    "matrices of tensor cores, lanes that lie apart, and copies that go on beside, which only GPUs have";

/// The function of a kernel that the verifier accepts, with the signature of [`kc_runtime::kc_abi::call::KernelFn`].
pub(super) fn function(
    kernel: &Kernel,
    config: TargetFrontendConfig,
    fused: bool,
    builders: &mut FunctionBuilderContext,
) -> Translated<Function> {
    let mut signature = Signature::new(config.default_call_conv);
    signature.params = vec![AbiParam::new(I64); 5];
    let mut function = Function::with_name_signature(UserFuncName::user(0, 0), signature);
    let mut builder = FunctionBuilder::new(&mut function, builders);
    let entry = builder.create_block();
    builder.append_block_params_for_function_params(entry);
    builder.switch_to_block(entry);
    let parameters = builder.block_params(entry).to_vec();
    let widest = kernel.registers.iter().map(|ty| ty.lanes * ty.dtype.bytes() as u32).max().unwrap_or(0);
    let slot = builder.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, widest.max(16), 4));
    let mut region = |number: usize| {
        let data = AliasRegionData { user_id: number as u32, description: "memory".into() };
        let region = builder.func.dfg.alias_regions.insert(data);
        MemFlagsData::new().with_notrap().with_alias_region(Some(region))
    };
    let flags = (0..kernel.memory.len()).map(&mut region).collect();
    let stack_flags = region(kernel.memory.len());
    let mut translator = Translator {
        kernel,
        builder,
        convention: config.default_call_conv,
        fused,
        registers: vec![None; kernel.registers.len()],
        axes: BTreeMap::new(),
        dims: vec![],
        bases: vec![],
        flags,
        stack_flags,
        environment: parameters[4],
        slot,
        gemm_slot: None,
        library_slot: None,
    };
    translator.arguments(parameters[0], parameters[1]);
    translator.tasks(parameters[2], parameters[3])?;
    translator.builder.ins().return_(&[]);
    translator.builder.seal_all_blocks();
    translator.builder.finalize(config);
    Ok(function)
}

pub(super) struct Translator<'k, 'f> {
    pub kernel: &'k Kernel,
    pub builder: FunctionBuilder<'f>,
    pub convention: CallConv,
    /// Whether multiply-add is one instruction.
    pub fused: bool,
    registers: Vec<Option<Vector>>,
    pub axes: BTreeMap<Axis, Value>,
    pub dims: Vec<Value>,
    /// Address of each memory.
    pub bases: Vec<Value>,
    /// Flags of accesses to each memory.
    pub flags: Vec<MemFlagsData>,
    /// Flags of accesses to stack slots.
    pub stack_flags: MemFlagsData,
    pub environment: Value,
    pub slot: StackSlot,
    pub gemm_slot: Option<StackSlot>,
    /// Arguments of the largest library call so far, and its bytes.
    pub library_slot: Option<(StackSlot, u32)>,
}

impl Translator<'_, '_> {
    fn arguments(&mut self, buffers: Value, dims: Value) {
        let flags = MemFlagsData::trusted().with_readonly();
        let (starts, bytes) = self.kernel.scratch_layout();
        let scratch = (bytes > 0).then(|| {
            let offset = offset_of!(Environment, scratch) as i32;
            self.builder.ins().load(I64, flags, self.environment, offset)
        });
        let mut starts = starts.into_iter();
        for (number, memory) in (0..).zip(&self.kernel.memory) {
            let base = match (memory.space, scratch) {
                (Space::Scratch { .. }, Some(scratch)) => {
                    let start = self.integer(I64, starts.next().unwrap_or_default() as i64);
                    self.builder.ins().iadd(scratch, start)
                }
                // scratch memory without elements is never accessed
                (Space::Scratch { .. }, None) => self.environment,
                (Space::Parameter(_), _) => self.builder.ins().load(I64, flags, buffers, number * 8),
            };
            self.bases.push(base);
        }
        for number in 0..self.kernel.dims as i32 {
            let dim = self.builder.ins().load(I64, flags, dims, number * 8);
            self.dims.push(dim);
        }
    }

    fn tasks(&mut self, first: Value, end: Value) -> Translated {
        let kernel = self.kernel;
        self.rounds(kernel.task, first, end, 1, vec![], |translator, _| {
            translator.block(&kernel.body)?;
            Ok(vec![])
        })?;
        Ok(())
    }

    /// A loop with the test at its end, behind one test at its start. `body` is given the carried values and returns the next
    /// ones; those after the loop are returned.
    fn rounds(
        &mut self,
        axis: Axis,
        start: Value,
        end: Value,
        step: i64,
        carried: Vec<Vector>,
        body: impl FnOnce(&mut Self, Vec<Vector>) -> Translated<Vec<Vector>>,
    ) -> Translated<Vec<Vector>> {
        let (inside, after) = (self.builder.create_block(), self.builder.create_block());
        let variable = self.builder.append_block_param(inside, I64);
        let parameters: Vec<Vector> = carried.iter().map(|x| self.block_parameters(inside, x)).collect();
        let results: Vec<Vector> = carried.iter().map(|x| self.block_parameters(after, x)).collect();
        let some = self.builder.ins().icmp(IntCC::SignedLessThan, start, end);
        let initial: Vec<BlockArg> = parts(&carried).collect();
        let entry: Vec<BlockArg> = [start.into()].into_iter().chain(initial.iter().copied()).collect();
        self.builder.ins().brif(some, inside, &entry, after, &initial);
        self.builder.switch_to_block(inside);
        let outer = self.axes.insert(axis, variable);
        let next = body(self, parameters)?;
        match outer {
            Some(outer) => self.axes.insert(axis, outer),
            None => self.axes.remove(&axis),
        };
        let next: Vec<Vector> = next.iter().zip(&carried).map(|(next, like)| self.shaped(next, like)).collect();
        let step = self.integer(I64, step);
        let following = self.builder.ins().iadd(variable, step);
        let more = self.builder.ins().icmp(IntCC::SignedLessThan, following, end);
        let last: Vec<BlockArg> = parts(&next).collect();
        let again: Vec<BlockArg> = [following.into()].into_iter().chain(last.iter().copied()).collect();
        self.builder.ins().brif(more, inside, &again, after, &last);
        self.builder.switch_to_block(after);
        Ok(results)
    }

    /// Parameters of a block for a register of that shape.
    fn block_parameters(&mut self, block: Block, like: &Vector) -> Vector {
        let ty = like.part_type();
        let parts = like.parts.iter().map(|_| self.builder.append_block_param(block, ty)).collect::<Vec<_>>();
        if like.lanes == 1 { Vector::scalar(like.element, parts[0]) } else { like.with(parts) }
    }

    /// A mask in the width of another; others are of one shape anyway.
    fn shaped(&mut self, x: &Vector, like: &Vector) -> Vector {
        if x.element == like.element { x.clone() } else { self.mask(x, like.element) }
    }

    pub fn jump(&mut self, block: Block, values: &[Value]) {
        let arguments: Vec<BlockArg> = values.iter().map(|&value| value.into()).collect();
        self.builder.ins().jump(block, &arguments);
    }

    /// A register's value.
    pub fn register(&self, register: Register) -> Vector {
        match &self.registers[register.0 as usize] {
            Some(vector) => vector.clone(),
            // the verifier has seen that every register is defined before its uses
            None => Vector { element: I8, lanes: 1, parts: vec![], splat: None },
        }
    }

    fn dtype(&self, register: Register) -> DType {
        self.kernel.registers[register.0 as usize].dtype
    }

    fn define(&mut self, register: Register, value: Vector) {
        self.registers[register.0 as usize] = Some(value);
    }

    fn block(&mut self, statements: &[Statement]) -> Translated {
        statements.iter().try_for_each(|statement| self.statement(statement))
    }

    fn statement(&mut self, statement: &Statement) -> Translated {
        match statement {
            Statement::Let(register, instruction) => {
                let value = self.instruction(*register, instruction)?;
                self.define(*register, value);
            }
            Statement::Store { memory, position, value, count } => {
                self.store(*memory, position, *value, count.as_ref());
            }
            // Cranelift has no such instruction
            Statement::Prefetch { .. } => {}
            Statement::For(l) => self.for_loop(l)?,
            Statement::If(branch) => self.branch(branch)?,
            Statement::Gemm(gemm) => self.gemm(gemm),
            Statement::Library(call) => self.library(call),
            Statement::StoreTiles(..)
            | Statement::StoreSpaced(..)
            | Statement::Copy(_)
            | Statement::CommitCopies
            | Statement::AwaitCopies { .. } => return Err(NO_TILES.to_string()),
        }
        Ok(())
    }

    fn for_loop(&mut self, l: &For) -> Translated {
        let (start, end) = (self.index(&l.start), self.index(&l.end));
        let initial = l.initial.iter().map(|&register| self.register(register)).collect();
        let results = self.rounds(l.axis, start, end, l.step, initial, |translator, carried| {
            for (&parameter, value) in l.parameters.iter().zip(carried) {
                translator.define(parameter, value);
            }
            translator.block(&l.body)?;
            Ok(l.next.iter().map(|&register| translator.register(register)).collect())
        })?;
        for (&result, value) in l.results.iter().zip(results) {
            self.define(result, value);
        }
        Ok(())
    }

    fn branch(&mut self, branch: &If) -> Translated {
        let condition = self.register(branch.condition).parts[0];
        let (then, otherwise, join) =
            (self.builder.create_block(), self.builder.create_block(), self.builder.create_block());
        self.builder.ins().brif(condition, then, &[], otherwise, &[]);
        self.builder.switch_to_block(then);
        self.block(&branch.then)?;
        let values: Vec<Vector> = branch.then_values.iter().map(|&register| self.register(register)).collect();
        let results: Vec<Vector> = values.iter().map(|x| self.block_parameters(join, x)).collect();
        let arguments: Vec<BlockArg> = parts(&values).collect();
        self.builder.ins().jump(join, &arguments);
        self.builder.switch_to_block(otherwise);
        self.block(&branch.otherwise)?;
        let others: Vec<Vector> = branch.otherwise_values.iter().map(|&register| self.register(register)).collect();
        let others: Vec<Vector> = others.iter().zip(&values).map(|(x, like)| self.shaped(x, like)).collect();
        let arguments: Vec<BlockArg> = parts(&others).collect();
        self.builder.ins().jump(join, &arguments);
        self.builder.switch_to_block(join);
        for (&result, value) in branch.results.iter().zip(results) {
            self.define(result, value);
        }
        Ok(())
    }

    fn instruction(&mut self, register: Register, instruction: &Instruction) -> Translated<Vector> {
        let ty = self.kernel.registers[register.0 as usize];
        let (dtype, lanes) = (ty.dtype, ty.lanes);
        match instruction {
            Instruction::Constant(value) => Ok(self.constant(dtype, lanes, *value)),
            Instruction::Position { index, step } => {
                let element = element_of(dtype);
                let first = self.index(index);
                let first = self.resize(&Vector::scalar(I64, first), element, true).parts[0];
                if lanes == 1 {
                    return Ok(Vector::scalar(element, first));
                }
                let base = self.splat(dtype, element, lanes, first);
                let per_part = 16 / element.bytes();
                let part_ty = base.part_type();
                let parts = (0..part_count(element, lanes) as u32).zip(base.parts.clone()).map(|(number, part)| {
                    let steps = (0..per_part).flat_map(|lane| {
                        let offset = step.wrapping_mul(i64::from(number * per_part + lane));
                        offset.to_le_bytes()[..element.bytes() as usize].to_vec()
                    });
                    let steps = self.vector_constant(part_ty, steps.collect());
                    self.builder.ins().iadd(part, steps)
                });
                let parts = parts.collect();
                Ok(base.with(parts))
            }
            Instruction::Splat(x) => {
                let x = self.register(*x);
                if x.lanes > 1 {
                    let scalars: Vec<Value> = (0..lanes).map(|lane| self.lane(&x, dtype, lane % x.lanes)).collect();
                    return Ok(self.assemble(dtype, &scalars));
                }
                let scalar = x.parts[0];
                Ok(self.splat(dtype, element_of(dtype), lanes, scalar))
            }
            Instruction::Unary(function, x) => {
                let (dtype, x) = (self.dtype(*x), self.register(*x));
                self.unary(*function, dtype, &x)
            }
            Instruction::Binary(function, a, b) => {
                let (a, b) = (self.register(*a), self.register(*b));
                self.binary(*function, dtype, &a, &b)
            }
            Instruction::MultiplyAdd(a, b, c) => {
                let (a, b, c) = (self.register(*a), self.register(*b), self.register(*c));
                self.multiply_add(dtype, &a, &b, &c)
            }
            Instruction::MultiplyAddGroups(a, b, c) => {
                let factors = [a, b].map(|&x| (self.dtype(x), self.register(x)));
                let sum = self.register(*c);
                self.multiply_add_groups(dtype, factors, sum)
            }
            Instruction::Compare(function, a, b) => {
                let dtype = self.dtype(*a);
                let (a, b) = (self.register(*a), self.register(*b));
                Ok(self.compare(*function, dtype, &a, &b))
            }
            Instruction::Select(condition, a, b) => {
                let (condition, a, b) = (self.register(*condition), self.register(*a), self.register(*b));
                Ok(self.select(dtype, &condition, &a, &b))
            }
            Instruction::Convert(x) => {
                let (from, x) = (self.dtype(*x), self.register(*x));
                Ok(self.convert(from, dtype, &x))
            }
            Instruction::Bitcast(x) => {
                let x = self.register(*x);
                let element = element_of(dtype);
                let part_ty = super::vector::part_type(element, lanes);
                Ok(self.map(&x, |t, part| t.cast(part_ty, part)).of(element))
            }
            Instruction::ReduceLanes(kind, x) => {
                let x = self.register(*x);
                self.reduce(*kind, dtype, &x)
            }
            Instruction::Interleave(half, a, b) => {
                let start = half.start(lanes);
                let (a, b) = (self.register(*a), self.register(*b));
                if a.element.bytes() * lanes >= 16 && a.element == b.element {
                    return Ok(self.interleave(*half, &a, &b));
                }
                let turns = (start..start + lanes / 2).flat_map(|lane| [(&a, lane), (&b, lane)]);
                let scalars: Vec<Value> = turns.map(|(x, lane)| self.lane(x, dtype, lane)).collect();
                Ok(self.assemble(dtype, &scalars))
            }
            Instruction::Load { memory, position, count } => Ok(self.load(*memory, position, count.as_ref(), lanes)),
            Instruction::Math(function, operands) => {
                let operands: Vec<Vector> = operands.iter().map(|&x| self.register(x)).collect();
                Ok(self.math(*function, dtype, &operands))
            }
            Instruction::LoadSpaced(_) | Instruction::LoadTiles(..) | Instruction::MultiplyTiles(..) => {
                Err(NO_TILES.to_string())
            }
        }
    }

    fn constant(&mut self, dtype: DType, lanes: u32, value: Scalar) -> Vector {
        let literal = Literal::scalar(dtype, value);
        let mut bits = [0; 8];
        bits[..literal.bytes().len()].copy_from_slice(literal.bytes());
        let bits = u64::from_le_bytes(bits);
        let scalar = match dtype {
            DType::F32 => self.builder.ins().f32const(f32::from_bits(bits as u32)),
            DType::F64 => self.builder.ins().f64const(f64::from_bits(bits)),
            _ => self.integer(element_of(dtype), bits as i64),
        };
        if lanes == 1 || dtype == DType::Bool {
            return self.splat(dtype, element_of(dtype), lanes, scalar);
        }
        let bytes = literal.bytes().iter().copied().cycle().take(16).collect();
        let element = element_of(dtype);
        let part = self.vector_constant(super::vector::vector_type(element), bytes);
        Vector { element, lanes, parts: vec![part; part_count(element, lanes)], splat: Some(scalar) }
    }
}

/// The values of registers, as arguments of a block.
fn parts(vectors: &[Vector]) -> impl Iterator<Item = BlockArg> {
    vectors.iter().flat_map(|vector| &vector.parts).map(|&part| part.into())
}
