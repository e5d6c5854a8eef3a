//! Random kernels: straight-line vector code, loops that carry values, branches, partial loads and stores.

use super::compare::Case;
use super::functions::special_values;
use kc_ir::DType;
use kc_ir::kernel::{Access, Index, KernelBuilder, MemoryId, Register, RegisterType, is_basic, is_basic_binary};
use kc_ir::tensor::ops::{Binary, Compare, Reduction, Unary};
use kc_ir::tensor::{Literal, Scalar, integer_range};

/// Numbers that a seed determines (splitmix64).
pub(super) struct Random(pub u64);

impl Random {
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.bits() % bound.max(1) as u64) as usize
    }

    fn choose<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }
}

/// Elements of each buffer.
const ELEMENTS: i64 = 96;
const LANES: [u32; 5] = [1, 2, 4, 8, 16];
const TASKS: i64 = 3;

/// The case of a seed.
pub(super) fn case(seed: u64) -> Case {
    let mut random = Random(seed);
    let mut dtypes = vec![DType::F32, DType::I32];
    for _ in 0..2 {
        let dtype = random.choose(DType::ALL);
        if !dtypes.contains(&dtype) {
            dtypes.push(dtype);
        }
    }
    let mut builder = KernelBuilder::new(&format!("random_{seed}"));
    let mut buffers = Vec::new();
    let inputs: Vec<MemoryId> = dtypes
        .iter()
        .map(|&dtype| {
            buffers.push(input_bytes(&mut random, dtype));
            builder.parameter(&format!("in_{dtype}"), dtype, Access::Read)
        })
        .collect();
    let outputs: Vec<MemoryId> = dtypes
        .iter()
        .map(|&dtype| {
            buffers.push(input_bytes(&mut random, dtype));
            builder.parameter(&format!("out_{dtype}"), dtype, Access::ReadWrite)
        })
        .collect();
    let mut generator =
        Generator { random, builder, dtypes, inputs, outputs, pool: Vec::new(), axes: Vec::new(), next_output: 0 };
    generator.steps(14, 0);
    for register in generator.pool.clone() {
        generator.store(register);
    }
    let dims = vec![generator.random.below(40) as i64];
    let kernel = generator.builder.finish(1);
    Case { kernel, buffers, dims, tasks: 0..TASKS }
}

fn input_bytes(random: &mut Random, dtype: DType) -> Vec<u8> {
    let special = special_values(dtype);
    let mut bytes = Vec::new();
    for _ in 0..ELEMENTS {
        let value = match random.below(3) {
            0 => random.choose(&special),
            _ if dtype.is_float() => Scalar::Float((random.below(4001) as f64 - 2000.0) / 64.0),
            _ => {
                let (low, high) = integer_range(dtype);
                Scalar::Int((random.below(41) as i128 - 20).clamp(low, high))
            }
        };
        bytes.extend_from_slice(Literal::scalar(dtype, value).bytes());
    }
    bytes
}

struct Generator {
    random: Random,
    builder: KernelBuilder,
    dtypes: Vec<DType>,
    inputs: Vec<MemoryId>,
    outputs: Vec<MemoryId>,
    /// Registers in scope.
    pool: Vec<Register>,
    /// Loop variables in scope, each below 4.
    axes: Vec<Index>,
    /// Where the next store goes, per task.
    next_output: i64,
}

impl Generator {
    fn steps(&mut self, count: usize, depth: usize) {
        for _ in 0..count {
            let register = match self.random.below(if depth < 2 { 14 } else { 12 }) {
                0 | 1 => self.load(),
                2 => self.constant(),
                3 => self.unary(),
                4..=6 => self.binary(),
                7 => self.multiply_add(),
                8 => self.compare(),
                9 => self.select(),
                10 => self.convert(),
                11 => self.reduce(),
                12 => {
                    self.for_loop(depth);
                    continue;
                }
                _ => {
                    self.branch(depth);
                    continue;
                }
            };
            self.pool.push(register);
        }
    }

    fn ty(&mut self) -> RegisterType {
        RegisterType { dtype: self.random.choose(&self.dtypes), lanes: self.random.choose(&LANES) }
    }

    /// A register of that type: one of the pool where there is one, mostly.
    fn of_type(&mut self, ty: RegisterType) -> Register {
        let known: Vec<Register> =
            self.pool.iter().copied().filter(|&register| self.builder.register_type(register) == ty).collect();
        if !known.is_empty() && self.random.below(8) > 0 {
            return self.random.choose(&known);
        }
        if self.random.below(2) == 0
            && let Some(number) = self.dtypes.iter().position(|&dtype| dtype == ty.dtype)
        {
            return self.load_from(self.inputs[number], ty.lanes);
        }
        let value = self.random.choose(&special_values(ty.dtype));
        self.builder.constant(ty.dtype, ty.lanes, value)
    }

    /// A register of the pool.
    fn any(&mut self) -> Register {
        if self.pool.is_empty() {
            let ty = self.ty();
            return self.of_type(ty);
        }
        self.random.choose(&self.pool.clone())
    }

    fn load(&mut self) -> Register {
        let number = self.random.below(self.inputs.len());
        let lanes = self.random.choose(&LANES);
        self.load_from(self.inputs[number], lanes)
    }

    fn load_from(&mut self, memory: MemoryId, lanes: u32) -> Register {
        let axis =
            if self.axes.is_empty() { self.builder.task() } else { self.random.choose_clone(&self.axes.clone()) };
        let stride = self.random.below(8) as i64;
        let start = self.random.below(40) as i64;
        let position = axis * stride + start;
        // without a count the furthest lane is 40 + 3*7 + 16
        let count = match self.random.below(3) {
            0 => Some(Index::Dim(0) - Index::Constant(self.random.below(30) as i64)),
            1 => Some(Index::Constant(self.random.below(lanes as usize + 2) as i64)),
            _ => None,
        };
        self.builder.load(memory, position, lanes, count)
    }

    fn constant(&mut self) -> Register {
        let ty = self.ty();
        let value = self.random.choose(&special_values(ty.dtype));
        self.builder.constant(ty.dtype, ty.lanes, value)
    }

    fn unary(&mut self) -> Register {
        let x = self.any();
        let dtype = self.builder.register_type(x).dtype;
        let known: Vec<Unary> =
            Unary::ALL.iter().copied().filter(|&f| is_basic(f) && f.domain().contains(dtype)).collect();
        let function = self.random.choose(&known);
        self.builder.unary(function, x)
    }

    fn binary(&mut self) -> Register {
        let a = self.any();
        let ty = self.builder.register_type(a);
        let mut b = self.of_type(ty);
        let known: Vec<Binary> =
            Binary::ALL.iter().copied().filter(|&f| is_basic_binary(f) && f.domain().contains(ty.dtype)).collect();
        let function = self.random.choose(&known);
        if ty.dtype.is_integer() {
            match function {
                // a divisor of at least 1
                Binary::Divide => {
                    let one = self.builder.constant(ty.dtype, ty.lanes, 1i64);
                    b = self.builder.binary(Binary::Maximum, b, one);
                }
                Binary::ShiftLeft | Binary::ShiftRight => {
                    let mask = self.builder.constant(ty.dtype, ty.lanes, i64::from(ty.dtype.bits()) - 1);
                    b = self.builder.binary(Binary::And, b, mask);
                }
                _ => {}
            }
        }
        self.builder.binary(function, a, b)
    }

    fn multiply_add(&mut self) -> Register {
        let a = self.any();
        let ty = self.builder.register_type(a);
        if ty.dtype == DType::Bool {
            return a;
        }
        let (b, c) = (self.of_type(ty), self.of_type(ty));
        self.builder.multiply_add(a, b, c)
    }

    fn compare(&mut self) -> Register {
        let a = self.any();
        let b = self.of_type(self.builder.register_type(a));
        let function = self.random.choose(Compare::ALL);
        self.builder.compare(function, a, b)
    }

    fn select(&mut self) -> Register {
        let a = self.any();
        let ty = self.builder.register_type(a);
        let b = self.of_type(ty);
        let condition = self.of_type(RegisterType { dtype: DType::Bool, lanes: ty.lanes });
        self.builder.select(condition, a, b)
    }

    fn convert(&mut self) -> Register {
        let x = self.any();
        let dtype = self.random.choose(DType::ALL);
        self.builder.convert(dtype, x)
    }

    fn reduce(&mut self) -> Register {
        let x = self.any();
        let kinds = match self.builder.register_type(x).dtype {
            DType::Bool => &[Reduction::Max, Reduction::Min][..],
            _ => &[Reduction::Sum, Reduction::Product, Reduction::Max, Reduction::Min][..],
        };
        let kind = self.random.choose(kinds);
        let scalar = self.builder.reduce_lanes(kind, x);
        let lanes = self.random.choose(&LANES);
        self.builder.splat(lanes, scalar)
    }

    /// Generates inside a block; what it defines goes out of scope.
    fn inside(&mut self, depth: usize, carried: &[Register], axis: Option<Index>) -> Vec<Register> {
        let outside = self.pool.len();
        self.pool.extend(carried);
        let axes = self.axes.len();
        self.axes.extend(axis);
        let count = 2 + self.random.below(4);
        self.steps(count, depth + 1);
        let values = carried.iter().map(|&register| self.of_type(self.builder.register_type(register))).collect();
        self.axes.truncate(axes);
        self.pool.truncate(outside);
        values
    }

    fn for_loop(&mut self, depth: usize) {
        let initial: Vec<Register> = (0..self.random.below(3)).map(|_| self.any()).collect();
        let step = 1 + self.random.below(2) as i64;
        let end = match self.random.below(2) {
            0 => Index::Constant(self.random.below(5) as i64),
            _ => Index::Dim(0).min(4i64),
        };
        let mut builder = std::mem::replace(&mut self.builder, KernelBuilder::new(""));
        let results = builder.for_carrying(0, end, step, &initial, |inner, axis, carried| {
            std::mem::swap(inner, &mut self.builder);
            let next = self.inside(depth, carried, Some(axis));
            std::mem::swap(inner, &mut self.builder);
            next
        });
        self.builder = builder;
        self.pool.extend(results);
    }

    fn branch(&mut self, depth: usize) {
        let condition = self.of_type(RegisterType { dtype: DType::Bool, lanes: 1 });
        let like: Vec<Register> = (0..self.random.below(3)).map(|_| self.any()).collect();
        let mut builder = std::mem::replace(&mut self.builder, KernelBuilder::new(""));
        // both sides are generated through the same cell, one after the other
        let generator = std::cell::RefCell::new(&mut *self);
        let side = |inner: &mut KernelBuilder| {
            let mut generator = generator.borrow_mut();
            std::mem::swap(inner, &mut generator.builder);
            let values = generator.inside(depth, &like, None);
            std::mem::swap(inner, &mut generator.builder);
            values
        };
        let results = builder.branch(condition, side, side);
        self.builder = builder;
        self.pool.extend(results);
    }

    /// Stores a register to the output of its dtype, or its conversion to the first one.
    fn store(&mut self, register: Register) {
        let ty = self.builder.register_type(register);
        let number = self.dtypes.iter().position(|&dtype| dtype == ty.dtype);
        let register = if number.is_none() { self.builder.convert(self.dtypes[0], register) } else { register };
        let per_task = ELEMENTS / TASKS;
        let lanes = i64::from(ty.lanes);
        let start = self.next_output % (per_task - lanes + 1).max(1);
        self.next_output += lanes / 2 + 1;
        let position = self.builder.task() * per_task + start;
        let count = match self.random.below(3) {
            0 => Some(Index::Dim(0) - Index::Constant(self.random.below(30) as i64)),
            1 => Some(Index::Constant(self.random.below(ty.lanes as usize + 2) as i64)),
            _ => None,
        };
        self.builder.store(self.outputs[number.unwrap_or(0)], position, register, count);
    }
}

impl Random {
    fn choose_clone<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())].clone()
    }
}
