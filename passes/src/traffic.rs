//! What programs and graphs move and launch, counted for given extents.

use crate::CostConstants;
use kc_ir::kernel::{Instruction, Launch, MemoryId, Program, Statement, Step};
use kc_ir::tensor::{Graph, Op, Type, Value};
use kc_ir::{Dim, Symbol, TensorType};
use std::collections::{BTreeMap, BTreeSet};
use std::iter::Sum;
use std::ops::{Add, AddAssign, Mul};

/// Bytes moved, kernels launched, and what they compute.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Traffic {
    /// Bytes that kernels read and write, each buffer once a kernel.
    pub bytes: f64,
    /// Launches of kernels.
    pub launches: f64,
    /// Arithmetic operations of contractions and library functions in a program of [`schedule_apart`](crate::schedule_apart); of
    /// graphs they are not counted.
    pub operations: f64,
}

impl CostConstants {
    /// Nanoseconds that this takes by the roofline: what moves and what is computed at once, after the launches.
    pub fn nanoseconds(&self, traffic: &Traffic) -> f64 {
        let moved = traffic.bytes / self.bytes_per_nanosecond;
        let computed = traffic.operations / self.contraction_flops_per_nanosecond;
        traffic.launches * self.launch_nanoseconds + moved.max(computed)
    }
}

impl Add for Traffic {
    type Output = Traffic;
    fn add(self, other: Traffic) -> Traffic {
        Traffic {
            bytes: self.bytes + other.bytes,
            launches: self.launches + other.launches,
            operations: self.operations + other.operations,
        }
    }
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, other: Traffic) {
        *self = *self + other;
    }
}

impl Sum for Traffic {
    fn sum<I: Iterator<Item = Traffic>>(traffics: I) -> Traffic {
        traffics.fold(Traffic::default(), Add::add)
    }
}

impl Mul<f64> for Traffic {
    type Output = Traffic;
    fn mul(self, rounds: f64) -> Traffic {
        Traffic { bytes: self.bytes * rounds, launches: self.launches * rounds, operations: self.operations * rounds }
    }
}

/// A launch of a program, and how often a call has it executed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Counted {
    /// The kernel, among those of the program.
    pub kernel: usize,
    /// What it moves each time.
    pub once: Traffic,
    /// How often it is launched in a call: once in each round of the loops around whose number of rounds is known, in others once; of
    /// branches only in those that move most.
    pub times: f64,
    /// Whether only the first call after the state changed executes it.
    pub kept: bool,
}

impl Counted {
    /// What a call moves by it.
    pub fn traffic(&self) -> Traffic {
        self.once * self.times
    }
}

/// Every launch of a program in the order of its steps: the one count of what kernels do. Kernels that are launched as one are one, each
/// part of which reads and writes its own buffers.
pub fn count(program: &Program, value_of: &dyn Fn(&Symbol) -> Option<i64>) -> Vec<Counted> {
    let (kept, rest) = program.steps.split_at(program.kept.min(program.steps.len()));
    let mut counted = count_steps(program, kept, value_of);
    counted.iter_mut().for_each(|launch| launch.kept = true);
    counted.extend(count_steps(program, rest, value_of));
    counted
}

/// The traffic of each call of a program, and of what only the first call after the state changed executes besides.
pub fn traffic(program: &Program, value_of: &dyn Fn(&Symbol) -> Option<i64>) -> [Traffic; 2] {
    let counted = count(program, value_of);
    let sum = |kept| counted.iter().filter(|launch| launch.kept == kept).map(Counted::traffic).sum();
    [sum(false), sum(true)]
}

fn count_steps(program: &Program, steps: &[Step], value_of: &dyn Fn(&Symbol) -> Option<i64>) -> Vec<Counted> {
    let mut counted = vec![];
    for step in steps {
        let mut blocks: Vec<Vec<Counted>> =
            step.blocks().into_iter().map(|steps| count_steps(program, steps, value_of)).collect();
        match step {
            Step::Launches(launches) => counted.extend(launches.iter().map(|launch| Counted {
                kernel: launch.kernel,
                once: launch_traffic(program, launch, value_of),
                times: 1.0,
                kept: false,
            })),
            Step::Loop { rounds, .. } => {
                let rounds = rounds.evaluate(value_of).unwrap_or(1).max(0) as f64;
                blocks.iter_mut().flatten().for_each(|launch| launch.times *= rounds);
            }
            Step::While { .. } => {}
            Step::Branch { .. } => {
                let bytes = |block: &Vec<Counted>| block.iter().map(Counted::traffic).sum::<Traffic>().bytes;
                let most = blocks.iter().map(bytes).enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b));
                for (number, block) in blocks.iter_mut().enumerate() {
                    if most.is_some_and(|(most, _)| most != number) {
                        block.iter_mut().for_each(|launch| launch.times = 0.0);
                    }
                }
            }
        }
        counted.extend(blocks.into_iter().flatten());
    }
    counted
}

fn launch_traffic(program: &Program, launch: &Launch, value_of: &dyn Fn(&Symbol) -> Option<i64>) -> Traffic {
    let of = |buffer: &usize| bytes(&program.buffers[*buffer].ty, value_of);
    let parts = match launch.parts.len() {
        0 => vec![launch.buffers.iter().copied().collect()],
        more => {
            let parts = parts(&program.kernels[launch.kernel].body, more);
            let buffer = |memory: &MemoryId| launch.buffers.get(memory.0 as usize).copied();
            parts.iter().map(|part| part.iter().filter_map(buffer).collect::<BTreeSet<usize>>()).collect()
        }
    };
    Traffic {
        bytes: parts.iter().flatten().map(of).sum(),
        launches: 1.0,
        operations: launch.work.evaluate(value_of).unwrap_or(0).max(0) as f64,
    }
}

/// The memory that each of the kernels uses which are one: so many times the body asks at its end whether the task is one of the first.
fn parts(body: &[Statement], more: usize) -> Vec<BTreeSet<MemoryId>> {
    let mut found = vec![];
    let mut rest = body;
    for _ in 0..more {
        let Some(Statement::If(question)) = rest.last() else { break };
        found.push(used(&question.then));
        rest = &question.otherwise;
    }
    found.push(used(rest));
    found
}

/// The memory that statements read or write.
fn used(statements: &[Statement]) -> BTreeSet<MemoryId> {
    let mut found = BTreeSet::new();
    for statement in statements {
        match statement {
            Statement::Let(_, Instruction::Load { memory, .. }) | Statement::Store { memory, .. } => {
                found.insert(*memory);
            }
            Statement::Let(_, Instruction::LoadTiles(tiles, _)) | Statement::StoreTiles(tiles, _) => {
                found.insert(tiles.memory);
            }
            Statement::Let(_, Instruction::LoadSpaced(spaced)) | Statement::StoreSpaced(spaced, _) => {
                found.insert(spaced.memory);
            }
            Statement::Copy(copy) => found.extend([copy.from, copy.to]),
            Statement::CommitCopies | Statement::AwaitCopies { .. } => {}
            Statement::Let(..) | Statement::Prefetch { .. } => {}
            Statement::For(nested) => found.extend(used(&nested.body)),
            Statement::If(branch) => found.extend(used(&branch.then).into_iter().chain(used(&branch.otherwise))),
            Statement::Gemm(product) => found.extend([&product.a, &product.b, &product.c].map(|matrix| matrix.memory)),
            Statement::Library(call) => found.extend(call.regions().map(|region| region.matrix.memory)),
        }
    }
    found
}

fn bytes(ty: &TensorType, value_of: &dyn Fn(&Symbol) -> Option<i64>) -> f64 {
    let elements: f64 = ty.shape.iter().map(|dim: &Dim| dim.evaluate(value_of).unwrap_or(1).max(0) as f64).product();
    elements * ty.dtype.bytes() as f64
}

/// Whether an op is part of the kernel that reads it even where nothing is fused: constants, and views, which cost nothing where arrays
/// have strides.
pub fn is_part_of_reader(op: &Op) -> bool {
    match op {
        Op::Constant(_) | Op::Iota(_) | Op::Dimension(_) => true,
        Op::Broadcast(_) | Op::Reshape(_) | Op::Transpose(_) | Op::Slice(_) | Op::StopGradient(_) => true,
        Op::OptimizationBarrier(_) => true,
        Op::Parameter(_)
        | Op::Unary(_)
        | Op::Binary(_)
        | Op::Compare(_)
        | Op::Select(_)
        | Op::Convert(_)
        | Op::BitcastConvert(_)
        | Op::Pad(_)
        | Op::Reverse(_)
        | Op::Concatenate(_)
        | Op::Gather(_)
        | Op::Scatter(_)
        | Op::Reduce(_)
        | Op::ArgReduce(_)
        | Op::Cumulative(_)
        | Op::Recurrence(_)
        | Op::DotGeneral(_)
        | Op::Convolution(_)
        | Op::ReduceWindow(_)
        | Op::SelectAndScatter(_)
        | Op::Sort(_)
        | Op::TopK(_)
        | Op::CustomCall(_)
        | Op::RandomBits(_)
        | Op::Composite(_)
        | Op::Gradient(_)
        | Op::Projection(_)
        | Op::Cond(_)
        | Op::While(_)
        | Op::Scan(_)
        | Op::Remat(_)
        | Op::CustomGradient(_) => false,
    }
}

/// The traffic of a graph whose ops are executed one after the other, as the eager back end does: a kernel for each primitive and each
/// composite, which reads what its operands are views of and writes its results. Regions count as the steps that execute them: a scan's
/// as often as it has rounds, of branches the one that moves most, other loops once.
pub fn unfused(graph: &Graph, value_of: &dyn Fn(&Symbol) -> Option<i64>) -> Traffic {
    let mut sum = Traffic::default();
    // views that are kernels of their own, since something needs them as tensors
    let mut made: BTreeSet<Value> = BTreeSet::new();
    for value in graph.values() {
        let op = &graph.node(value).op;
        let regions = unfused_regions(op, value_of);
        let alone: Vec<Value> = match (op, &regions) {
            (Op::Parameter(_) | Op::Projection(_), _) => vec![],
            (_, Some(_)) => graph.node(value).operands.clone(),
            (op, None) if is_part_of_reader(op) && !graph.results.contains(&value) => vec![],
            (_, None) => {
                sum += kernel(graph, value, &made, value_of);
                vec![]
            }
        };
        for operand in alone {
            if is_part_of_reader(&graph.node(operand).op) && !graph.results.contains(&operand) && made.insert(operand) {
                sum += kernel(graph, operand, &made, value_of);
            }
        }
        sum += regions.unwrap_or_default();
    }
    sum
}

/// The traffic of one op's kernel.
fn kernel(graph: &Graph, value: Value, made: &BTreeSet<Value>, value_of: &dyn Fn(&Symbol) -> Option<i64>) -> Traffic {
    let mut read: BTreeMap<Value, f64> = BTreeMap::new();
    for &operand in &graph.node(value).operands {
        read_through_views(graph, operand, f64::INFINITY, made, value_of, &mut read);
    }
    let bytes = read.values().sum::<f64>() + type_bytes(&graph.node(value).ty, value_of);
    Traffic { bytes, launches: 1.0, operations: 0.0 }
}

/// Adds the tensor behind views and how many of its bytes are read: no more than the smallest view has.
fn read_through_views(
    graph: &Graph,
    value: Value,
    most: f64,
    made: &BTreeSet<Value>,
    value_of: &dyn Fn(&Symbol) -> Option<i64>,
    read: &mut BTreeMap<Value, f64>,
) {
    let node = graph.node(value);
    let most = most.min(type_bytes(&node.ty, value_of));
    let is_tensor = made.contains(&value) || graph.results.contains(&value) || !is_part_of_reader(&node.op);
    if is_tensor {
        let bytes = read.entry(value).or_default();
        *bytes = bytes.max(most);
        return;
    }
    for &operand in &node.operands {
        read_through_views(graph, operand, most, made, value_of, read);
    }
}

/// The traffic of the regions of an op that is executed as steps.
fn unfused_regions(op: &Op, value_of: &dyn Fn(&Symbol) -> Option<i64>) -> Option<Traffic> {
    let mut regions = op.operation().regions().into_iter().map(|region| unfused(region.graph(), value_of));
    match op {
        Op::Scan(scan) => {
            let rounds = scan.length.evaluate(value_of).unwrap_or(1).max(0) as f64;
            regions.next().map(|round| round * rounds)
        }
        Op::Cond(_) => regions.max_by(|a, b| a.bytes.total_cmp(&b.bytes)),
        Op::While(_) => regions.reduce(Add::add),
        _ => None,
    }
}

fn type_bytes(ty: &Type, value_of: &dyn Fn(&Symbol) -> Option<i64>) -> f64 {
    match ty {
        Type::Tensor(ty) => bytes(ty, value_of),
        Type::Tuple(types) => types.iter().map(|ty| bytes(ty, value_of)).sum(),
    }
}
