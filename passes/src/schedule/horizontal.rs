//! Launches of one step as one: a kernel whose tasks are those of several kernels, one after the other. They do not depend on each
//! other, so that one launch, and one wait for its end, serves all.

use crate::Target;
use kc_ir::kernel::{
    Access, Axis, For, Gemm, If, Index, Instruction, Kernel, Launch, Matrix, Memory, MemoryId, Program, Register,
    RegisterType, Space, Spaced, Statement, Step, TileCopy, Tiles, print_kernel,
};
use kc_ir::tensor::ops::Compare;
use kc_ir::{DType, Dim, Symbol};
use std::collections::{BTreeMap, HashMap};

/// Kernels that become one, at most: each task looks for its kernel.
const MOST: usize = 16;

/// Buffers of such a kernel, at most.
const BUFFERS: usize = 48;

/// Statements of such a kernel, at most.
const STATEMENTS: usize = 4000;

/// Bytes of scratch memory of such a kernel on a GPU, at most: those of a block's shared memory, but for what reductions exchange.
const SHARED: u64 = 47 << 10;

/// The program with the launches of each step in as few kernels as the limits admit.
pub(super) fn fuse(program: Program, target: &Target) -> Program {
    let Program { name, symbols, kernels, buffers, steps, kept } = program;
    let mut fused = Fused {
        from: Program { name: name.clone(), symbols: symbols.clone(), kernels, buffers, steps: vec![], kept },
        kernels: vec![],
        known: BTreeMap::new(),
        scratch: if target.block_threads > 1 { SHARED } else { u64::MAX },
    };
    let steps = steps.into_iter().map(|step| fused.step(step)).collect();
    Program { name, symbols, kernels: fused.kernels, buffers: fused.from.buffers, steps, kept }
}

struct Fused {
    from: Program,
    kernels: Vec<Kernel>,
    known: BTreeMap<String, usize>,
    /// Bytes of scratch memory of a kernel, at most.
    scratch: u64,
}

impl Fused {
    fn step(&mut self, step: Step) -> Step {
        let mut inside = |steps: Vec<Step>| steps.into_iter().map(|step| self.step(step)).collect::<Vec<_>>();
        match step {
            Step::Launches(launches) => Step::Launches(self.launches(launches)),
            Step::Loop { counter, rounds, steps } => Step::Loop { counter, rounds, steps: inside(steps) },
            Step::While { condition, holds, steps } => {
                Step::While { condition: inside(condition), holds, steps: inside(steps) }
            }
            Step::Branch { index, branches } => {
                Step::Branch { index, branches: branches.into_iter().map(inside).collect() }
            }
        }
    }

    fn launches(&mut self, launches: Vec<Launch>) -> Vec<Launch> {
        let mut groups: Vec<Group> = vec![];
        for launch in launches {
            let size = statements(&self.from.kernels[launch.kernel].body);
            let open = groups.iter_mut().find(|group| group.takes(&self.from, &launch, size, self.scratch));
            match open {
                Some(group) => group.add(&self.from, launch, size),
                None => {
                    let mut group = Group::default();
                    group.add(&self.from, launch, size);
                    groups.push(group);
                }
            }
        }
        groups.into_iter().map(|group| self.group(group)).collect()
    }

    fn group(&mut self, group: Group) -> Launch {
        let (kernel, mut launch) = match <[Launch; 1]>::try_from(group.launches) {
            Ok([launch]) => (self.from.kernels[launch.kernel].clone(), launch),
            Err(launches) => merged(&self.from, &launches, &group.buffers),
        };
        let anonymous = Kernel { name: String::new(), ..kernel.clone() };
        launch.kernel = *self.known.entry(print_kernel(&anonymous)).or_insert_with(|| {
            self.kernels.push(kernel);
            self.kernels.len() - 1
        });
        launch
    }
}

/// Launches that become one.
#[derive(Default)]
struct Group {
    launches: Vec<Launch>,
    /// The buffers, each once, with what is done to them.
    buffers: Vec<(usize, Access)>,
    statements: usize,
    /// Scratch memory of all.
    scratch: Vec<(DType, u64)>,
}

impl Group {
    fn takes(&self, program: &Program, launch: &Launch, statements: usize, most: u64) -> bool {
        let kernel = &program.kernels[launch.kernel];
        // tiles take so many registers that others would have few threads
        let alike = |other: &Launch| program.kernels[other.kernel].is_for_gpu() == kernel.is_for_gpu();
        let mut scratch = self.scratch.clone();
        place_scratch(&mut scratch, kernel);
        let bytes: u64 =
            scratch.iter().map(|(dtype, elements)| (dtype.bytes() as u64 * elements).next_multiple_of(64)).sum();
        if !self.launches.iter().all(alike) || bytes > most {
            return false;
        }
        // a buffer that two of them use must only be read, parts of one buffer likewise
        let apart = program.uses(launch).all(|(buffer, access)| {
            let (root, _) = program.root(buffer);
            let only_read = |other: Access| access == Access::Read && other == Access::Read;
            self.buffers.iter().all(|&(other, access)| program.root(other).0 != root || only_read(access))
        });
        let new = program.uses(launch).filter(|(buffer, _)| self.buffers.iter().all(|(other, _)| other != buffer));
        let simple = |launch: &Launch| launch.dims.iter().all(|dim| dim.as_symbol().is_some());
        apart
            && self.launches.len() < MOST
            && self.statements + statements <= STATEMENTS
            && self.buffers.len() + new.count() <= BUFFERS
            && simple(launch)
            && self.launches.iter().all(simple)
    }

    fn add(&mut self, program: &Program, launch: Launch, statements: usize) {
        for (buffer, access) in program.uses(&launch) {
            if self.buffers.iter().all(|(other, _)| *other != buffer) {
                self.buffers.push((buffer, access));
            }
        }
        self.statements += statements;
        place_scratch(&mut self.scratch, &program.kernels[launch.kernel]);
        self.launches.push(launch);
    }
}

fn statements(body: &[Statement]) -> usize {
    let of = |statement: &Statement| match statement {
        Statement::For(_) | Statement::If(_) => 1 + statement.blocks().map(statements).sum::<usize>(),
        // they are copied as they are only where they stand alone
        Statement::Library(_) => STATEMENTS + 1,
        Statement::Let(..)
        | Statement::Store { .. }
        | Statement::Prefetch { .. }
        | Statement::Gemm(_)
        | Statement::StoreTiles(..)
        | Statement::StoreSpaced(..)
        | Statement::Copy(_)
        | Statement::CommitCopies
        | Statement::AwaitCopies { .. } => 1,
    };
    body.iter().map(of).sum()
}

/// The places of a kernel's scratch memories among those of all kernels: no two execute at once in a thread, so they share memory of one dtype.
fn place_scratch(all: &mut Vec<(DType, u64)>, kernel: &Kernel) -> Vec<usize> {
    let mut taken = vec![false; all.len()];
    let mut places = vec![];
    for memory in &kernel.memory {
        let Space::Scratch { elements } = memory.space else { continue };
        let free = (0..all.len()).find(|&place| !taken[place] && all[place].0 == memory.dtype);
        let place = free.unwrap_or_else(|| {
            all.push((memory.dtype, 0));
            taken.push(false);
            all.len() - 1
        });
        taken[place] = true;
        all[place].1 = all[place].1.max(elements);
        places.push(place);
    }
    places
}

/// The kernel of several launches, and its launch.
fn merged(program: &Program, launches: &[Launch], buffers: &[(usize, Access)]) -> (Kernel, Launch) {
    let mut memory: Vec<Memory> = vec![];
    for (number, &(buffer, access)) in buffers.iter().enumerate() {
        let dtype = program.buffers[buffer].ty.dtype;
        memory.push(Memory { name: format!("b{number}"), dtype, space: Space::Parameter(access), part: false });
    }
    let mut scratch: Vec<(DType, u64)> = vec![];
    let mut symbols: Vec<Symbol> = vec![];
    let mut writer = Writer {
        registers: vec![],
        axes: 1,
        memory: vec![],
        dims: vec![],
        given: vec![],
        names: HashMap::new(),
        loops: HashMap::new(),
    };
    let task = Axis(0);
    let number = writer.define(DType::I64, 1);
    let position = Instruction::Position { index: Index::Axis(task), step: 0 };
    // from the last kernel, which needs no question, to the first: each is the other side of the question before
    let mut questions: Vec<(Vec<Statement>, Register, Vec<Statement>)> = vec![];
    let mut last = vec![];
    let mut before = Dim::default();
    let mut starts = vec![];
    for (place, launch) in launches.iter().enumerate() {
        let kernel = &program.kernels[launch.kernel];
        let end = before.clone() + launch.tasks.clone();
        let question = (place + 1 < launches.len()).then(|| {
            let limit = writer.define(DType::I64, 1);
            let index = Index::from_dim(&end, &mut symbols);
            let holds = writer.define(DType::Bool, 1);
            let asked = vec![
                Statement::Let(limit, Instruction::Position { index, step: 0 }),
                Statement::Let(holds, Instruction::Compare(Compare::Less, number, limit)),
            ];
            (asked, holds)
        });
        let own = writer.define(DType::I64, 1);
        let index = Index::Axis(task) + Index::from_dim(&before, &mut symbols) * -1;
        let mut body = vec![Statement::Let(own, Instruction::Position { index, step: 0 })];
        writer.enter(kernel, launch, own, buffers, &mut scratch, &mut symbols);
        body.extend(kernel.body.iter().map(|statement| writer.statement(statement)));
        match question {
            Some((asked, holds)) => questions.push((asked, holds, body)),
            None => last = body,
        }
        if place > 0 {
            starts.push(before);
        }
        before = end;
    }
    let body = questions.into_iter().rev().fold(last, |otherwise, (mut asked, condition, then)| {
        let (then_values, otherwise_values, results) = (vec![], vec![], vec![]);
        asked.push(Statement::If(If { condition, then, then_values, otherwise, otherwise_values, results }));
        asked
    });
    let body = [vec![Statement::Let(number, position)], body].concat();
    for (dtype, elements) in scratch {
        let name = format!("s{}", memory.len());
        memory.push(Memory { name, dtype, space: Space::Scratch { elements }, part: false });
    }
    let first = &program.kernels[launches[0].kernel].name;
    let kernel = Kernel {
        name: format!("{first}_and_{}_more", launches.len() - 1),
        dims: symbols.len() as u32,
        memory,
        task,
        registers: writer.registers,
        body,
    };
    let launch = Launch {
        kernel: 0,
        buffers: buffers.iter().map(|(buffer, _)| *buffer).collect(),
        dims: symbols.iter().map(|symbol| Dim::symbol(&symbol.0)).collect(),
        tasks: before,
        parts: starts,
        work: work(program, launches),
    };
    (kernel, launch)
}

/// The work of all; what is unknown of one counts as its bytes where another's is known.
fn work(program: &Program, launches: &[Launch]) -> Dim {
    if launches.iter().all(|launch| launch.work.is(0)) {
        return Dim::default();
    }
    let bytes = |&buffer: &usize| {
        let ty = &program.buffers[buffer].ty;
        ty.elements() * Dim::constant(ty.dtype.bytes() as i64)
    };
    let of = |launch: &Launch| match launch.work.is(0) {
        true => launch.buffers.iter().map(bytes).fold(Dim::default(), |sum, bytes| sum + bytes),
        false => launch.work.clone(),
    };
    launches.iter().map(of).fold(Dim::default(), |sum, work| sum + work)
}

/// Writes the statements of kernels into another, with names of its own.
struct Writer {
    registers: Vec<RegisterType>,
    axes: u32,
    /// Of the kernel that is being written: its memory, dimensions, registers and axes there.
    memory: Vec<MemoryId>,
    dims: Vec<Index>,
    given: Vec<RegisterType>,
    names: HashMap<Register, Register>,
    loops: HashMap<Axis, Index>,
}

impl Writer {
    fn define(&mut self, dtype: DType, lanes: u32) -> Register {
        self.registers.push(RegisterType { dtype, lanes });
        Register(self.registers.len() as u32 - 1)
    }

    /// Begins another kernel, whose task number is in a register.
    fn enter(
        &mut self,
        kernel: &Kernel,
        launch: &Launch,
        task: Register,
        buffers: &[(usize, Access)],
        scratch: &mut Vec<(DType, u64)>,
        symbols: &mut Vec<Symbol>,
    ) {
        // names of the kernel's registers, behind those that are there
        self.names = HashMap::new();
        self.loops = HashMap::from([(kernel.task, Index::Register(task))]);
        self.dims = launch.dims.iter().map(|dim| Index::from_dim(dim, symbols)).collect();
        let mut scratch = place_scratch(scratch, kernel).into_iter();
        let mut given = launch.buffers.iter();
        self.memory = kernel
            .memory
            .iter()
            .map(|own| {
                let place = match own.space {
                    Space::Parameter(_) => {
                        let buffer = given.next();
                        buffers.iter().position(|(other, _)| Some(other) == buffer).unwrap_or_default()
                    }
                    Space::Scratch { .. } => buffers.len() + scratch.next().unwrap_or_default(),
                };
                MemoryId(place as u32)
            })
            .collect();
        self.given = kernel.registers.clone();
    }

    fn new_name(&mut self, register: Register) -> Register {
        let RegisterType { dtype, lanes } = self.given[register.0 as usize];
        let name = self.define(dtype, lanes);
        self.names.insert(register, name);
        name
    }

    fn new_names(&mut self, registers: &[Register]) -> Vec<Register> {
        registers.iter().map(|&register| self.new_name(register)).collect()
    }

    fn name(&self, register: Register) -> Register {
        self.names[&register]
    }

    fn names(&self, registers: &[Register]) -> Vec<Register> {
        registers.iter().map(|&register| self.name(register)).collect()
    }

    fn memory(&self, memory: MemoryId) -> MemoryId {
        self.memory[memory.0 as usize]
    }

    fn index(&self, index: &Index) -> Index {
        let both = |a: &Index, b: &Index| (Box::new(self.index(a)), Box::new(self.index(b)));
        match index {
            Index::Constant(value) => Index::Constant(*value),
            Index::Dim(dim) => self.dims[*dim as usize].clone(),
            Index::Axis(axis) => self.loops[axis].clone(),
            Index::Register(register) => Index::Register(self.name(*register)),
            Index::Add(a, b) => pair(both(a, b), Index::Add),
            Index::Multiply(a, b) => pair(both(a, b), Index::Multiply),
            Index::FloorDiv(a, b) => pair(both(a, b), Index::FloorDiv),
            Index::Modulo(a, b) => pair(both(a, b), Index::Modulo),
            Index::Min(a, b) => pair(both(a, b), Index::Min),
            Index::Max(a, b) => pair(both(a, b), Index::Max),
        }
    }

    fn matrix(&self, matrix: &Matrix) -> Matrix {
        Matrix {
            memory: self.memory(matrix.memory),
            position: self.index(&matrix.position),
            row_stride: self.index(&matrix.row_stride),
            column_stride: self.index(&matrix.column_stride),
        }
    }

    fn tiles(&self, tiles: &Tiles) -> Tiles {
        Tiles { memory: self.memory(tiles.memory), position: self.index(&tiles.position), ..tiles.clone() }
    }

    fn spaced(&self, spaced: &Spaced) -> Spaced {
        Spaced { memory: self.memory(spaced.memory), position: self.index(&spaced.position), ..spaced.clone() }
    }

    fn instruction(&self, instruction: &Instruction) -> Instruction {
        let of = |register: &Register| self.name(*register);
        match instruction {
            Instruction::Constant(value) => Instruction::Constant(*value),
            Instruction::Position { index, step } => Instruction::Position { index: self.index(index), step: *step },
            Instruction::Splat(x) => Instruction::Splat(of(x)),
            Instruction::Unary(function, x) => Instruction::Unary(*function, of(x)),
            Instruction::Binary(function, a, b) => Instruction::Binary(*function, of(a), of(b)),
            Instruction::MultiplyAdd(a, b, c) => Instruction::MultiplyAdd(of(a), of(b), of(c)),
            Instruction::MultiplyAddGroups(a, b, c) => Instruction::MultiplyAddGroups(of(a), of(b), of(c)),
            Instruction::Compare(function, a, b) => Instruction::Compare(*function, of(a), of(b)),
            Instruction::Select(a, b, c) => Instruction::Select(of(a), of(b), of(c)),
            Instruction::Convert(x) => Instruction::Convert(of(x)),
            Instruction::Bitcast(x) => Instruction::Bitcast(of(x)),
            Instruction::ReduceLanes(kind, x) => Instruction::ReduceLanes(*kind, of(x)),
            Instruction::Interleave(half, a, b) => Instruction::Interleave(*half, of(a), of(b)),
            Instruction::Load { memory, position, count } => Instruction::Load {
                memory: self.memory(*memory),
                position: self.index(position),
                count: count.as_ref().map(|count| self.index(count)),
            },
            Instruction::Math(function, of) => Instruction::Math(*function, self.names(of)),
            Instruction::LoadSpaced(spaced) => Instruction::LoadSpaced(Box::new(self.spaced(spaced))),
            Instruction::LoadTiles(tiles, side) => Instruction::LoadTiles(Box::new(self.tiles(tiles)), *side),
            Instruction::MultiplyTiles(a, b, c) => Instruction::MultiplyTiles(of(a), of(b), of(c)),
        }
    }

    fn body(&mut self, body: &[Statement]) -> Vec<Statement> {
        body.iter().map(|statement| self.statement(statement)).collect()
    }

    fn statement(&mut self, statement: &Statement) -> Statement {
        match statement {
            Statement::Let(register, instruction) => {
                let instruction = self.instruction(instruction);
                Statement::Let(self.new_name(*register), instruction)
            }
            Statement::Store { memory, position, value, count } => Statement::Store {
                memory: self.memory(*memory),
                position: self.index(position),
                value: self.name(*value),
                count: count.as_ref().map(|count| self.index(count)),
            },
            Statement::Prefetch { memory, position } => {
                Statement::Prefetch { memory: self.memory(*memory), position: self.index(position) }
            }
            Statement::For(nested) => {
                let (start, end) = (self.index(&nested.start), self.index(&nested.end));
                let initial = self.names(&nested.initial);
                let axis = Axis(self.axes);
                self.axes += 1;
                self.loops.insert(nested.axis, Index::Axis(axis));
                let parameters = self.new_names(&nested.parameters);
                let body = self.body(&nested.body);
                let next = self.names(&nested.next);
                let results = self.new_names(&nested.results);
                let For { step, independent, .. } = *nested;
                Statement::For(For { axis, start, end, step, independent, parameters, initial, body, next, results })
            }
            Statement::If(branch) => {
                let condition = self.name(branch.condition);
                let then = self.body(&branch.then);
                let then_values = self.names(&branch.then_values);
                let otherwise = self.body(&branch.otherwise);
                let otherwise_values = self.names(&branch.otherwise_values);
                let results = self.new_names(&branch.results);
                Statement::If(If { condition, then, then_values, otherwise, otherwise_values, results })
            }
            Statement::Gemm(gemm) => Statement::Gemm(Box::new(Gemm {
                m: self.index(&gemm.m),
                n: self.index(&gemm.n),
                k: self.index(&gemm.k),
                a: self.matrix(&gemm.a),
                b: self.matrix(&gemm.b),
                c: self.matrix(&gemm.c),
                accumulate: gemm.accumulate,
            })),
            Statement::StoreTiles(tiles, value) => {
                Statement::StoreTiles(Box::new(self.tiles(tiles)), self.name(*value))
            }
            Statement::StoreSpaced(spaced, value) => {
                Statement::StoreSpaced(Box::new(self.spaced(spaced)), self.name(*value))
            }
            Statement::Copy(copy) => {
                let indices = |all: &[Index]| all.iter().map(|index| self.index(index)).collect();
                Statement::Copy(Box::new(TileCopy {
                    to: self.memory(copy.to),
                    to_position: self.index(&copy.to_position),
                    from: self.memory(copy.from),
                    from_position: self.index(&copy.from_position),
                    first_line: self.index(&copy.first_line),
                    from_strides: indices(&copy.from_strides),
                    from_extents: indices(&copy.from_extents),
                    valid_lines: self.index(&copy.valid_lines),
                    valid_elements: self.index(&copy.valid_elements),
                    ..**copy
                }))
            }
            // a kernel with a call stands alone
            Statement::Library(_) | Statement::CommitCopies | Statement::AwaitCopies { .. } => statement.clone(),
        }
    }
}

fn pair((a, b): (Box<Index>, Box<Index>), make: fn(Box<Index>, Box<Index>) -> Index) -> Index {
    make(a, b)
}
