use super::compile::{Access, CompiledKernel, IndexCode, IndexStep, Op, Slots};
use super::lanes::{self, Operands, integer_of};
use super::tiles::Copies;
use super::{InterpretError, MultiplyAddRounding, convert, gemm, library};
use crate::kernel::Space;
use kc_abi::DType;
use std::ops::Range;

/// The state of one execution of a kernel.
pub(super) struct Machine<'a> {
    pub code: &'a CompiledKernel<'a>,
    fused: bool,
    slots: Vec<u64>,
    variables: Vec<i64>,
    stack: Vec<i64>,
    scratch: Vec<Vec<u8>>,
    pub task: i64,
    pub copies: Copies,
}

pub(super) type Executed<T = ()> = Result<T, InterpretError>;

impl<'a> Machine<'a> {
    pub fn new(code: &'a CompiledKernel<'a>, rounding: MultiplyAddRounding, dims: &[i64]) -> Executed<Self> {
        let kernel = code.kernel;
        if dims.len() != kernel.dims as usize {
            return Err(InterpretError::Arguments {
                place: format!("kernel `{}`", kernel.name),
                message: format!("got {} dimensions, expected {}", dims.len(), kernel.dims),
            });
        }
        let mut variables = vec![0; code.variables];
        variables[..dims.len()].copy_from_slice(dims);
        let scratch = kernel.memory.iter().filter_map(|memory| match memory.space {
            Space::Parameter(_) => None,
            Space::Scratch { elements } => Some(vec![0xff; elements as usize * memory.dtype.bytes()]),
        });
        Ok(Machine {
            code,
            fused: rounding == MultiplyAddRounding::Once,
            slots: vec![0; code.slots],
            variables,
            stack: Vec::new(),
            scratch: scratch.collect(),
            task: 0,
            copies: Copies::default(),
        })
    }

    /// Executes tasks.
    pub fn run(&mut self, buffers: &mut [Vec<u8>], tasks: Range<i64>) -> Executed {
        let kernel = self.code.kernel;
        let place = || format!("kernel `{}`", kernel.name);
        if buffers.len() != kernel.parameters() {
            let message = format!("got {} buffers, expected {}", buffers.len(), kernel.parameters());
            return Err(InterpretError::Arguments { place: place(), message });
        }
        for (buffer, memory) in buffers.iter().zip(&kernel.memory) {
            if buffer.len() % memory.dtype.bytes() != 0 {
                let message =
                    format!("`{}` has {} bytes, not a whole number of {}", memory.name, buffer.len(), memory.dtype);
                return Err(InterpretError::Arguments { place: place(), message });
            }
        }
        for task in tasks {
            self.task = task;
            self.variables[self.code.task_variable as usize] = task;
            self.scratch.iter_mut().for_each(|scratch| scratch.fill(0xff));
            self.copies = Copies::default();
            self.task(buffers)?;
        }
        Ok(())
    }

    fn task(&mut self, buffers: &mut [Vec<u8>]) -> Executed {
        let code = self.code;
        let mut at = 0;
        while let Some(op) = code.ops.get(at) {
            at += 1;
            match op {
                Op::Constant { d, bits } => self.slots[d.at as usize..(d.at + d.lanes) as usize].fill(*bits),
                Op::Position { d, dtype, index, step } => {
                    let mut value = self.index(*index)?;
                    let mask = u64::MAX >> (64 - dtype.bits());
                    for slot in &mut self.slots[d.at as usize..(d.at + d.lanes) as usize] {
                        *slot = value as u64 & mask;
                        value = value.wrapping_add(*step);
                    }
                }
                Op::Splat { d, a } => {
                    for lane in 0..d.lanes {
                        self.slots[(d.at + lane) as usize] = self.slots[(a.at + lane % a.lanes) as usize];
                    }
                }
                Op::Copy { d, a } => {
                    self.slots.copy_within(*a as usize..(*a + d.lanes) as usize, d.at as usize);
                }
                Op::Unary { function, dtype, d, a } => {
                    lanes::unary(&mut self.slots, *function, *dtype, &operands(d.at, *a, *a, d.lanes));
                }
                Op::Binary { function, dtype, d, a, b } => {
                    lanes::binary(&mut self.slots, *function, *dtype, &operands(d.at, *a, *b, d.lanes));
                }
                Op::MultiplyAdd { dtype, d, a, b, c } => {
                    let o = operands(d.at, *a, *b, d.lanes);
                    lanes::multiply_add(&mut self.slots, *dtype, self.fused, &o, *c as usize);
                }
                Op::MultiplyAddGroups { dtypes, d, a, b, c } => {
                    let o = operands(d.at, *a, *b, d.lanes);
                    lanes::multiply_add_groups(&mut self.slots, *dtypes, &o, *c as usize);
                }
                Op::Compare { function, dtype, d, a, b } => {
                    lanes::compare(&mut self.slots, *function, *dtype, &operands(d.at, *a, *b, d.lanes));
                }
                Op::Select { d, condition, a, b } => {
                    for lane in 0..d.lanes {
                        let chosen = if self.slots[(condition + lane) as usize] != 0 { a + lane } else { b + lane };
                        self.slots[(d.at + lane) as usize] = self.slots[chosen as usize];
                    }
                }
                Op::Convert { from, to, d, a } => {
                    convert::convert(&mut self.slots, *from, *to, d.at as usize, *a as usize, d.lanes as usize);
                }
                Op::Reduce { function, dtype, d, a, scratch } => {
                    self.slots.copy_within(a.at as usize..(a.at + a.lanes) as usize, *scratch as usize);
                    let mut lanes = a.lanes;
                    while lanes > 1 {
                        lanes /= 2;
                        let o = operands(*scratch, *scratch, scratch + lanes, lanes);
                        lanes::binary(&mut self.slots, *function, *dtype, &o);
                    }
                    self.slots[*d as usize] = self.slots[*scratch as usize];
                }
                Op::Interleave { d, a, b } => {
                    for lane in 0..d.lanes {
                        let from = if lane % 2 == 0 { a } else { b } + lane / 2;
                        self.slots[(d.at + lane) as usize] = self.slots[from as usize];
                    }
                }
                Op::Math { function, dtype, d, a, b } => {
                    lanes::math_lanes(&mut self.slots, *function, *dtype, &operands(d.at, *a, *b, d.lanes));
                }
                Op::Load(access) => self.load(access, buffers)?,
                Op::Store(access) => self.store(access, buffers)?,
                Op::Gemm(code) => gemm::gemm(self, code, buffers)?,
                Op::Library(code) => library::call(self, code, buffers)?,
                Op::LoadSpaced(code) => self.load_spaced(code, buffers)?,
                Op::StoreSpaced(code) => self.store_spaced(code, buffers)?,
                Op::LoadTiles(code, side) => self.load_tiles(code, *side, buffers)?,
                Op::StoreTiles(code) => self.store_tiles(code, buffers)?,
                Op::MultiplyTiles { dtype, d, a, b, c } => self.multiply_tiles(*dtype, *d, [*a, *b, *c]),
                Op::Copies(code) => self.copy(code, buffers)?,
                Op::CommitCopies => self.commit_copies(),
                Op::AwaitCopies(pending) => self.await_copies(*pending, buffers),
                Op::Begin { axis, start, end, limit, exit } => {
                    let (first, end) = (self.index(*start)?, self.index(*end)?);
                    self.variables[*axis as usize] = first;
                    self.variables[*limit as usize] = end;
                    if first >= end {
                        at = *exit as usize;
                    }
                }
                Op::Next { axis, limit, step, body } => {
                    let (value, overflow) = self.variables[*axis as usize].overflowing_add(*step);
                    self.variables[*axis as usize] = value;
                    if !overflow && value < self.variables[*limit as usize] {
                        at = *body as usize;
                    }
                }
                Op::JumpUnless { condition, target } => {
                    if self.slots[*condition as usize] == 0 {
                        at = *target as usize;
                    }
                }
                Op::Jump { target } => at = *target as usize,
            }
        }
        Ok(())
    }

    /// The value of an index.
    pub fn index(&mut self, code: IndexCode) -> Executed<i64> {
        self.stack.clear();
        // the value on top of the stack is kept apart
        let mut top = 0i64;
        for step in &self.code.indices[code.start as usize..code.end as usize] {
            match *step {
                IndexStep::Constant(value) => {
                    self.stack.push(top);
                    top = value;
                }
                IndexStep::Variable(variable) => {
                    self.stack.push(top);
                    top = self.variables[variable as usize];
                }
                IndexStep::Scaled(variable, factor) => {
                    self.stack.push(top);
                    top = self.variables[variable as usize].wrapping_mul(factor);
                }
                IndexStep::Register(slot, dtype) => {
                    self.stack.push(top);
                    top = integer_of(self.slots[slot as usize], dtype);
                }
                IndexStep::AddConstant(value) => top = top.wrapping_add(value),
                IndexStep::AddScaled(variable, factor) => {
                    top = top.wrapping_add(self.variables[variable as usize].wrapping_mul(factor));
                }
                IndexStep::Add
                | IndexStep::Multiply
                | IndexStep::FloorDiv
                | IndexStep::Modulo
                | IndexStep::Min
                | IndexStep::Max => {
                    let below = self.stack.pop().unwrap_or_default();
                    top = match step {
                        IndexStep::Add => below.wrapping_add(top),
                        IndexStep::Multiply => below.wrapping_mul(top),
                        IndexStep::Min => below.min(top),
                        IndexStep::Max => below.max(top),
                        _ if top < 1 => {
                            let kernel = self.code.kernel.name.clone();
                            return Err(InterpretError::Divisor { kernel, task: self.task, divisor: top });
                        }
                        IndexStep::FloorDiv => below.div_euclid(top),
                        _ => below.rem_euclid(top),
                    };
                }
            }
        }
        Ok(top)
    }

    /// The lanes of a register.
    pub fn slots_of(&mut self, slots: Slots) -> &mut [u64] {
        &mut self.slots[slots.at as usize..(slots.at + slots.lanes) as usize]
    }

    /// The bytes of a memory.
    pub fn bytes<'b>(&'b mut self, memory: u32, buffers: &'b mut [Vec<u8>]) -> &'b mut [u8] {
        let memory = memory as usize;
        if memory < buffers.len() { &mut buffers[memory] } else { &mut self.scratch[memory - buffers.len()] }
    }

    pub fn out_of_bounds(
        &self,
        access: &'static str,
        memory: u32,
        (position, count): (i64, i64),
        elements: usize,
    ) -> InterpretError {
        InterpretError::OutOfBounds {
            kernel: self.code.kernel.name.clone(),
            task: self.task,
            access,
            memory: self.code.kernel.memory[memory as usize].name.clone(),
            position,
            count,
            elements,
        }
    }

    /// Position of the first byte and number of lanes that are accessed.
    fn place(&mut self, what: &'static str, access: &Access, buffers: &mut [Vec<u8>]) -> Executed<(usize, usize)> {
        let position = self.index(access.position)?;
        let lanes = i64::from(access.value.lanes);
        let count = match access.count {
            Some(count) => self.index(count)?.clamp(0, lanes),
            None => lanes,
        };
        let size = access.dtype.bytes();
        let elements = self.bytes(access.memory, buffers).len() / size;
        if count > 0 && (position < 0 || position.checked_add(count).is_none_or(|end| end > elements as i64)) {
            return Err(self.out_of_bounds(what, access.memory, (position, count), elements));
        }
        Ok(if count == 0 { (0, 0) } else { (position as usize * size, count as usize) })
    }

    fn load(&mut self, access: &Access, buffers: &mut [Vec<u8>]) -> Executed {
        let (start, count) = self.place("load", access, buffers)?;
        let memory = access.memory as usize;
        let bytes = if memory < buffers.len() { &buffers[memory] } else { &self.scratch[memory - buffers.len()] };
        let first = access.value.at as usize;
        let (read, rest) = self.slots[first..first + access.value.lanes as usize].split_at_mut(count);
        let size = access.dtype.bytes();
        let bytes = &bytes[start..start + count * size];
        match size {
            1 => read.iter_mut().zip(bytes).for_each(|(slot, &byte)| *slot = byte.into()),
            2 => read.iter_mut().zip(bytes.as_chunks::<2>().0).for_each(|(s, b)| *s = u16::from_le_bytes(*b).into()),
            4 => read.iter_mut().zip(bytes.as_chunks::<4>().0).for_each(|(s, b)| *s = u32::from_le_bytes(*b).into()),
            _ => read.iter_mut().zip(bytes.as_chunks::<8>().0).for_each(|(s, b)| *s = u64::from_le_bytes(*b)),
        }
        if access.dtype == DType::Bool {
            read.iter_mut().for_each(|slot| *slot = (*slot != 0).into());
        }
        rest.fill(0);
        Ok(())
    }

    fn store(&mut self, access: &Access, buffers: &mut [Vec<u8>]) -> Executed {
        let (start, count) = self.place("store", access, buffers)?;
        let memory = access.memory as usize;
        let first_scratch = buffers.len();
        let bytes =
            if memory < first_scratch { &mut buffers[memory] } else { &mut self.scratch[memory - first_scratch] };
        let first = access.value.at as usize;
        let written = &self.slots[first..first + count];
        let size = access.dtype.bytes();
        let bytes = &mut bytes[start..start + count * size];
        match size {
            1 => bytes.iter_mut().zip(written).for_each(|(byte, &slot)| *byte = slot as u8),
            2 => bytes.as_chunks_mut::<2>().0.iter_mut().zip(written).for_each(|(b, &s)| *b = (s as u16).to_le_bytes()),
            4 => bytes.as_chunks_mut::<4>().0.iter_mut().zip(written).for_each(|(b, &s)| *b = (s as u32).to_le_bytes()),
            _ => bytes.as_chunks_mut::<8>().0.iter_mut().zip(written).for_each(|(b, &s)| *b = s.to_le_bytes()),
        }
        Ok(())
    }
}

fn operands(d: u32, a: u32, b: u32, lanes: u32) -> Operands {
    Operands { d: d as usize, a: a as usize, b: b as usize, lanes: lanes as usize }
}
