//! Scheduling: from an optimised graph to a program of kernels.
//!
//! 1. [`expand`]: composites become their bodies, convolutions lose their padding;
//! 2. [`cluster`]: ops that share an iteration space become one kernel;
//! 3. [`store`]: which values live in buffers, which are computed where they are read;
//! 4. one kernel a cluster: [`map`] (elementwise, rows with reductions), [`contraction`] (convolutions by tiles among them), [`attention`], [`roots`] (other loops);
//! 5. [`control`]: regions become the steps of loops and branches;
//! 6. [`kept`]: what depends on the state alone comes first;
//! 7. kernels that do not depend on each other share a step;
//! 8. [`horizontal`]: the launches of a step become few.

mod attention;
mod cluster;
mod contraction;
mod control;
mod cumulative;
mod emit;
mod expand;
mod functions;
mod horizontal;
mod indexed;
mod kept;
mod library;
mod loops;
mod map;
mod parts;
mod ranks;
mod roots;
mod store;

use crate::{Contraction, Target};
use cluster::{Clusters, Space};
pub use contraction::register_tiles;
use contraction::{Packing, Parts};
use control::Assembly;
use emit::{Emitter, Seams, Unsuited};
use kc_ir::kernel::{Access, Kernel, Launch, MemoryId, Program, Role, Step};
use kc_ir::tensor::operations;
use kc_ir::tensor::ops::StopGradient;
use kc_ir::tensor::{Argument, Function, Graph, Node, Op, ResultSlot, TypeError, Value};
use kc_ir::{Dim, Symbol};
use std::collections::{BTreeMap, BTreeSet};
use store::Stored;

/// Operations of an element from which on two vectors are computed at a time: those of one exponential function.
const LONG_CHAIN: f64 = 12.0;

/// Schedules an entry point whose `gradient` ops are expanded.
///
/// # Errors
/// An op that kernels cannot compute.
pub fn schedule(function: &Function, target: &Target) -> Result<Program, TypeError> {
    apart(function, target).map(|program| horizontal::fuse(program, target)).map(|program| parts::mark(program, target))
}

/// The program of [`schedule`] with a launch for each of the kernels that it launches as one.
///
/// # Errors
/// An op that kernels cannot compute.
pub fn schedule_apart(function: &Function, target: &Target) -> Result<Program, TypeError> {
    apart(function, target).map(|program| parts::mark(program, target))
}

fn apart(function: &Function, target: &Target) -> Result<Program, TypeError> {
    let mut symbols = vec![];
    for parameter in &function.graph.parameters {
        function.graph.tensor_type(*parameter).shape.iter().for_each(|dim| dim.collect_symbols(&mut symbols));
    }
    schedule_within(function, target, &Within { depth: 0, symbols }).map(kept::first)
}

/// Where a graph is scheduled.
#[derive(Clone, Debug)]
struct Within {
    /// Number of loops and branches around.
    depth: usize,
    /// The symbols of the outermost graph.
    symbols: Vec<Symbol>,
}

impl Within {
    /// The counter of a loop here.
    fn counter(&self) -> Symbol {
        control::counter(self.depth, &self.symbols)
    }
}

fn schedule_within(function: &Function, target: &Target, within: &Within) -> Result<Program, TypeError> {
    let mut copied = BTreeSet::new();
    loop {
        let (draft, unsafe_states) = draft(function, &copied, target, within)?;
        if unsafe_states.is_empty() {
            return draft.emit(target, within);
        }
        // their new values are computed beside and copied when nothing reads the old ones any more
        copied.extend(unsafe_states);
    }
}

/// A graph's clusters, and the state tensors that cannot be updated in place.
fn draft<'f>(
    function: &'f Function,
    copied: &BTreeSet<usize>,
    target: &Target,
    within: &Within,
) -> Result<(Draft<'f>, Vec<usize>), TypeError> {
    let graph = cluster::split_reductions(expand::expand(&function.graph, target)?, &map::nominal)?;
    let mut draft = Draft::new(function, control::prepare(graph), copied, target.contraction, within)?;
    let unsafe_states = draft.order_state_updates();
    Ok((draft, unsafe_states))
}

/// Which values depend on the state alone, where no state is updated.
fn constants(function: &Function, graph: &Graph) -> Vec<bool> {
    if function.results.iter().any(|slot| matches!(slot, ResultSlot::State(_))) {
        return vec![false; graph.nodes.len()];
    }
    let mut constant: Vec<bool> = vec![];
    for node in &graph.nodes {
        let of_constants =
            || !node.operands.is_empty() && node.operands.iter().all(|operand| constant[operand.index()]);
        constant.push(match &node.op {
            Op::Parameter(parameter) => matches!(function.arguments[parameter.index], Argument::State(_)),
            Op::Constant(_) => true,
            op => op.operation().regions().is_empty() && of_constants(),
        });
    }
    constant
}

/// Adds a copy of a value.
fn copy(graph: &mut Graph, value: Value) -> Value {
    let ty = graph.node(value).ty.clone();
    graph.nodes.push(Node { op: Op::StopGradient(StopGradient {}), operands: vec![value], ty, location: None });
    Value(graph.nodes.len() as u32 - 1)
}

/// How a cluster's elements are gone through.
#[derive(Clone, Copy)]
enum Nest {
    /// In row-major order.
    Flat,
    /// Row after row.
    Rows,
    /// In squares of the last axis and this one.
    Squares(usize),
    /// One by one.
    Scalars,
}

/// The buffer parameters of a kernel: those of the values that it reads and writes, then its temporaries.
struct Assigned {
    of: BTreeMap<Value, MemoryId>,
    first_temporary: u32,
    temporaries: Vec<kc_ir::TensorType>,
}

/// What a launch of a cluster's kernel needs.
struct Emitted {
    buffers: Vec<usize>,
    kernel: Kernel,
    dims: Vec<Symbol>,
    tasks: Dim,
}

/// A graph with its clusters and buffers.
struct Draft<'f> {
    function: &'f Function,
    graph: Graph,
    clusters: Clusters,
    stored: Stored,
    /// What each stored result is: the slot of the result whose value it is.
    slots: BTreeMap<Value, ResultSlot>,
    /// State tensors whose new value is a copy made at the end.
    copied: BTreeSet<usize>,
    /// How contractions are computed.
    contraction: Contraction,
    /// Contractions that read a packed operand, which stays the same from call to call.
    packed: BTreeMap<Value, Packing>,
    /// Contractions whose sums are computed in parts.
    parts: BTreeMap<Value, Parts>,
}

impl<'f> Draft<'f> {
    fn new(
        function: &'f Function,
        mut graph: Graph,
        copied: &BTreeSet<usize>,
        contraction: Contraction,
        within: &Within,
    ) -> Result<Self, TypeError> {
        let mut slots: BTreeMap<Value, ResultSlot> = BTreeMap::new();
        let mut results = vec![];
        // new states that are computed beside the old ones, and their copies at the end
        let (mut beside, mut last) = (vec![], vec![]);
        for (&result, &slot) in graph.results.clone().iter().zip(&function.results) {
            let argument = match &graph.node(result).op {
                Op::Parameter(parameter) => Some(function.arguments[parameter.index]),
                _ => None,
            };
            let kept = matches!((argument, slot), (Some(Argument::State(old)), ResultSlot::State(new)) if old == new);
            if kept {
                continue;
            }
            let mut value = result;
            let is_elsewhere = cluster::role(&graph.node(result).op) == cluster::Role::Source
                || slots.contains_key(&result)
                || control::is_carried(&graph, result);
            if is_elsewhere {
                // a buffer of its own, which its value is copied to
                value = copy(&mut graph, result);
            }
            if matches!(slot, ResultSlot::State(state) if copied.contains(&state)) {
                beside.push(value);
                value = copy(&mut graph, value);
                last.push(value);
            }
            slots.insert(value, slot);
            results.push(value);
        }
        graph.results = results;
        let mut clusters = Clusters::of(&graph);
        last.into_iter().for_each(|value| clusters.expel(&graph, value));
        let mut roots = [beside, clusters.long.clone()].concat();
        for cluster in &clusters.clusters {
            if let Space::Alone { op } = cluster.space {
                roots.extend(attention::buffers(&graph, op, contraction));
            }
            if let Space::Root { op, .. } = cluster.space {
                roots.extend(match graph.node(op).op {
                    ref contracts if contraction::is_one(contracts) => contraction::operands(&graph, op, contraction),
                    Op::ReduceWindow(_) | Op::SelectAndScatter(_) => graph.node(op).operands.clone(),
                    Op::Sort(_) | Op::TopK(_) => library::results(&graph, op),
                    Op::CustomCall(_) => [library::results(&graph, op), graph.node(op).operands.clone()].concat(),
                    _ => vec![],
                });
                if cluster::scatters(&graph.node(op).op) {
                    roots.push(op);
                }
            }
        }
        roots.extend(control::buffered(&graph, &clusters));
        if within.depth == 0 {
            roots.extend(kept::shared(&graph, &constants(function, &graph)));
        }
        let stored = Stored::decide(&graph, &mut clusters, &roots);
        let (copied, packed) = (copied.clone(), BTreeMap::new());
        let parts = BTreeMap::new();
        Ok(Draft { function, graph, clusters, stored, slots, copied, contraction, packed, parts })
    }

    /// The contractions with an operand that depends on the state alone, for which it pays to pack that; none where state is updated.
    fn packings(&self, target: &Target) -> BTreeMap<Value, Packing> {
        let constant = constants(self.function, &self.graph);
        let packing = |op: Value| {
            let lanes = self.graph.tensor_type(op).shape.last().map_or(target.lanes(), |n| target.lanes_along(n));
            contraction::packing(&self.graph, target, lanes, op, |value| constant[value.index()])
        };
        self.contractions().filter_map(|op| Some((op, packing(op)?))).collect()
    }

    /// The contractions that have a kernel, and elements.
    fn contractions(&self) -> impl Iterator<Item = Value> {
        let roots = self.clusters.clusters.iter().filter_map(|cluster| match cluster.space {
            Space::Root { op, .. } => {
                matches!(self.graph.node(op).op, Op::DotGeneral(_) | Op::Convolution(_)).then_some(op)
            }
            _ => None,
        });
        // what has no elements is not computed
        roots.filter(|op| self.graph.tensor_type(*op).shape.iter().all(|extent| !extent.is(0)))
    }

    /// The values that a cluster's kernel reads from buffers.
    fn leaves(&self, number: usize) -> BTreeSet<Value> {
        let mut leaves = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let needed = self.needed(number);
        let mut open: Vec<Value> = needed.iter().flat_map(|&member| self.reads_of(member)).collect();
        while let Some(value) = open.pop() {
            if !seen.insert(value) || needed.contains(&value) {
                continue;
            }
            let op = &self.graph.node(value).op;
            let buffer = match op {
                Op::Parameter(_) => true,
                Op::Constant(constant) => constant.value.splat_value().is_none(),
                _ => self.stored.values.contains(&value),
            };
            if buffer {
                leaves.insert(value);
            } else {
                open.extend(self.reads_of(value));
            }
        }
        leaves
    }

    /// What computing a value reads: of a contraction the buffers behind its operands that are not packed.
    fn reads_of(&self, value: Value) -> Vec<Value> {
        match self.graph.node(value).op {
            _ if self.parts.contains_key(&value) => vec![],
            ref op if contraction::is_one(op) => {
                let packed = self.packed.get(&value).map(|packing| packing.base);
                let operands = contraction::operands(&self.graph, value, self.contraction);
                operands.into_iter().filter(|&operand| Some(operand) != packed).collect()
            }
            Op::Composite(_) => attention::reads(&self.graph, value, self.contraction),
            Op::OptimizationBarrier(_) => vec![self.graph.node(value).operands[0]],
            _ => self.graph.node(value).operands.clone(),
        }
    }

    /// Whether a kernel that computes these members gathers.
    fn gathers(&self, needed: &BTreeSet<Value>) -> bool {
        let mut open: Vec<Value> = needed.iter().copied().collect();
        let mut seen = needed.clone();
        while let Some(value) = open.pop() {
            let node = self.graph.node(value);
            if matches!(node.op, Op::Gather(_)) {
                return true;
            }
            let computed = |operand: &Value| !self.stored.is_leaf(&self.graph, *operand);
            open.extend(node.operands.iter().copied().filter(computed).filter(|&operand| seen.insert(operand)));
        }
        false
    }

    /// Where along an axis of that extent, the last of values that these are computed from, parts of them meet.
    fn seams(&self, needed: &BTreeSet<Value>, extent: i64) -> Seams {
        /// More parts than this are better computed element by element than each by code of its own.
        const MOST: usize = 15;
        let mut at = BTreeSet::new();
        let mut open: Vec<Value> = needed.iter().copied().collect();
        let mut seen = needed.clone();
        while let Some(value) = open.pop() {
            let node = self.graph.node(value);
            let last_of = |value: &Value| self.graph.node(*value).ty.as_tensor()?.shape.last()?.as_constant();
            if last_of(&value) == Some(extent) {
                let axis = self.graph.tensor_type(value).rank() - 1;
                match &node.op {
                    Op::Pad(pad) if pad.interior[axis] == 0 => at.extend([pad.low[axis], extent - pad.high[axis]]),
                    Op::Concatenate(concatenate) if concatenate.axis == axis => {
                        let mut end = 0;
                        at.extend(node.operands.iter().filter_map(last_of).map(|part| {
                            end += part;
                            end
                        }));
                    }
                    _ => {}
                }
            }
            let computed = |operand: &Value| !self.stored.is_leaf(&self.graph, *operand);
            open.extend(node.operands.iter().copied().filter(computed).filter(|&operand| seen.insert(operand)));
        }
        at.retain(|position| (1..extent).contains(position));
        if at.len() > MOST {
            at.clear();
        }
        Seams { extent, at: at.into_iter().collect() }
    }

    /// The members of a cluster that its stored members need.
    fn needed(&self, number: usize) -> BTreeSet<Value> {
        let cluster = &self.clusters.clusters[number];
        let mut needed = BTreeSet::new();
        let mut open: Vec<Value> =
            cluster.members.iter().copied().filter(|member| self.stored.values.contains(member)).collect();
        let mut seen = BTreeSet::new();
        while let Some(value) = open.pop() {
            if !seen.insert(value) {
                continue;
            }
            let own = self.clusters.cluster_of[value.index()] == Some(number);
            if own {
                needed.insert(value);
            } else if self.stored.is_leaf(&self.graph, value) {
                continue;
            }
            open.extend(&self.graph.node(value).operands);
        }
        needed
    }

    /// Lets every update of a state tensor in place wait for the kernels that read the old value. Returns the state tensors
    /// where that is impossible.
    fn order_state_updates(&mut self) -> Vec<usize> {
        let mut impossible = vec![];
        let leaves: Vec<BTreeSet<Value>> =
            (0..self.clusters.clusters.len()).map(|number| self.leaves(number)).collect();
        let mut readers_of: BTreeMap<Value, Vec<usize>> = BTreeMap::new();
        for (number, leaves) in leaves.iter().enumerate() {
            leaves.iter().for_each(|&leaf| readers_of.entry(leaf).or_default().push(number));
        }
        let mut olds: BTreeMap<usize, Value> = BTreeMap::new();
        for &parameter in &self.graph.parameters {
            if let Op::Parameter(p) = &self.graph.node(parameter).op
                && let Argument::State(state) = self.function.arguments[p.index]
            {
                olds.entry(state).or_insert(parameter);
            }
        }
        for (&value, &slot) in &self.slots {
            let ResultSlot::State(state) = slot else { continue };
            let old = olds.get(&state).copied();
            let (Some(old), Some(own)) = (old, self.clusters.cluster_of[value.index()]) else { continue };
            let same_element = self.graph.tensor_type(old).shape == self.graph.tensor_type(value).shape
                && !self.clusters.reads_through_view(&self.graph, own, old, |v| self.stored.is_leaf(&self.graph, v))
                && !self.reads_as_operand_of_root(own, old);
            let readers: Vec<usize> =
                readers_of.get(&old).into_iter().flatten().copied().filter(|&number| number != own).collect();
            let late = readers.iter().any(|&reader| self.clusters.depends(reader, own));
            if late || (leaves[own].contains(&old) && !same_element) {
                if !self.copied.contains(&state) {
                    impossible.push(state);
                }
                continue;
            }
            self.clusters.wait(own, readers);
        }
        impossible
    }

    fn reads_as_operand_of_root(&self, number: usize, value: Value) -> bool {
        let (Space::Root { op, .. } | Space::Alone { op }) = self.clusters.clusters[number].space else { return false };
        match self.graph.node(op).op {
            // the tensor that is updated is read at the same index
            Op::Scatter(_) => self.reads_of(op)[1..].contains(&value),
            _ => self.reads_of(op).contains(&value),
        }
    }

    fn emit(mut self, target: &Target, within: &Within) -> Result<Program, TypeError> {
        if within.depth == 0 {
            self.packed = self.packings(target);
        }
        let parts = |op| Some((op, Parts::of(&self.graph, target, op)?));
        self.parts = self.contractions().filter_map(parts).collect();
        let symbols = within.symbols.clone();
        let program = Program { name: self.function.name.clone(), symbols, ..Program::default() };
        let mut assembly = Assembly::new(program);
        let mut regions: BTreeMap<usize, (Value, control::Scheduled)> = BTreeMap::new();
        for (number, cluster) in self.clusters.clusters.iter().enumerate() {
            if let Space::Regions { op } = cluster.space {
                let scheduled = control::schedule_regions(&self.graph.node(op).op, target, within)?;
                self.place_carried(op, &scheduled, &mut assembly);
                regions.insert(number, (op, scheduled));
            }
        }
        let levels = cluster::Levels::of(&self.clusters.clusters);
        let mut steps: BTreeMap<usize, (Vec<Launch>, Vec<Step>)> = BTreeMap::new();
        // packed operands with their buffers, and for each level the launches before it that pack
        let mut packed: Vec<(Packing, usize)> = vec![];
        let mut packs: BTreeMap<usize, Vec<Launch>> = BTreeMap::new();
        for number in 0..self.clusters.clusters.len() {
            let cluster = &self.clusters.clusters[number];
            let (launches, others) = steps.entry(levels.level(number)).or_default();
            if let Some((op, scheduled)) = regions.get(&number) {
                others.push(self.regions_step(*op, scheduled, &mut assembly, within)?);
                continue;
            }
            let outputs: Vec<Value> =
                cluster.members.iter().copied().filter(|member| self.stored.values.contains(member)).collect();
            // what has no elements is not computed
            let empty = |&output: &Value| self.graph.tensor_type(output).shape.iter().any(|extent| extent.is(0));
            if outputs.iter().all(empty) {
                for &output in &outputs {
                    self.buffer(output, &mut assembly);
                }
                continue;
            }
            let root = match cluster.space {
                Space::Root { op, .. } => Some(op),
                _ => None,
            };
            let mut emitted = self.emit_kernel(target, number, &outputs, &mut assembly);
            if emitted.is_err() && root.is_some_and(|op| self.packed.remove(&op).is_some()) {
                emitted = self.emit_kernel(target, number, &outputs, &mut assembly);
            }
            let Emitted { mut buffers, kernel, dims, tasks } = emitted?;
            if let Some(packing) = root.and_then(|op| self.packed.get(&op)) {
                let known = packed.iter().find(|(known, _)| known == packing).map(|(_, buffer)| *buffer);
                let buffer = match known {
                    Some(buffer) => buffer,
                    None => {
                        let (launch, buffer) = self.pack(packing, &kernel.name, &mut assembly)?;
                        let computed = self.clusters.cluster_of[packing.base.index()];
                        let level = computed.map_or(0, |number| levels.level(number) + 1);
                        packs.entry(level).or_default().push(launch);
                        packed.push((packing.clone(), buffer));
                        buffer
                    }
                };
                buffers.push(buffer);
            }
            let mut work = self.work(target, number);
            if let Some((op, parts)) = root.and_then(|op| Some((op, self.parts.get(&op)?))) {
                let (mut launch, buffer) = self.launch_of_parts(target, op, parts, &kernel.name, &mut assembly)?;
                std::mem::swap(&mut launch.work, &mut work);
                packs.entry(levels.level(number)).or_default().push(launch);
                buffers.push(buffer);
            }
            let kernel = assembly.kernel(kernel);
            let dims = dims.iter().map(|symbol| Dim::symbol(&symbol.0)).collect();
            launches.push(Launch { kernel, buffers, dims, tasks, parts: vec![], work });
        }
        packs.keys().for_each(|&level| _ = steps.entry(level).or_default());
        let mut program = assembly.program;
        for (level, (launches, others)) in steps {
            program.steps.extend(packs.remove(&level).map(Step::Launches));
            program.steps.extend((!launches.is_empty()).then_some(Step::Launches(launches)));
            program.steps.extend(others);
        }
        Ok(program)
    }

    /// A cluster's kernel and its buffers, but that of a packed operand.
    fn emit_kernel(
        &self,
        target: &Target,
        number: usize,
        outputs: &[Value],
        assembly: &mut Assembly,
    ) -> Result<Emitted, TypeError> {
        let inputs: Vec<Value> = self.leaves(number).into_iter().collect();
        let mut buffers: Vec<usize> = vec![];
        let mut memory_of = BTreeMap::new();
        for value in inputs.iter().chain(outputs) {
            let buffer = self.buffer(*value, assembly);
            let place = buffers.iter().position(|&known| known == buffer).unwrap_or_else(|| {
                buffers.push(buffer);
                buffers.len() - 1
            });
            memory_of.insert(*value, MemoryId(place as u32));
        }
        let temporaries = self.temporaries(number);
        let first_temporary = buffers.len() as u32;
        for ty in &temporaries {
            buffers.push(assembly.program.buffers.len());
            assembly.program.buffers.push(kc_ir::kernel::Buffer { ty: ty.clone(), role: Role::Temporary });
        }
        let memory = Assigned { of: memory_of, first_temporary, temporaries };
        let (kernel, dims, tasks) = self.kernel(target, number, &inputs, outputs, &memory)?;
        Ok(Emitted { buffers, kernel, dims, tasks })
    }

    /// The launch that packs an operand of the contraction with that name, and the packed operand's buffer.
    fn pack(&self, packing: &Packing, name: &str, assembly: &mut Assembly) -> Result<(Launch, usize), TypeError> {
        let name = format!("{name}_packed");
        let kernel = packing.kernel(&self.graph, &name);
        let (kernel, tasks) = kernel.map_err(|Unsuited| TypeError::new(name, "its operand cannot be packed"))?;
        let operand = self.buffer(packing.base, assembly);
        let buffer = assembly.buffer(packing.ty(), Role::Temporary);
        let kernel = assembly.kernel(kernel);
        let launch =
            Launch { kernel, buffers: vec![operand, buffer], dims: vec![], tasks, parts: vec![], work: Dim::default() };
        Ok((launch, buffer))
    }

    /// The launch that computes the parts of a contraction's sums, and their buffer.
    fn launch_of_parts(
        &self,
        target: &Target,
        op: Value,
        parts: &Parts,
        name: &str,
        assembly: &mut Assembly,
    ) -> Result<(Launch, usize), TypeError> {
        let name = format!("{name}_parts");
        let mut buffers: Vec<usize> = vec![];
        let mut number = |value: Value| {
            let buffer = self.buffer(value, assembly);
            buffers.iter().position(|&known| known == buffer).unwrap_or_else(|| {
                buffers.push(buffer);
                buffers.len() - 1
            })
        };
        let numbers = [number(parts.operands[0]), number(parts.operands[1])];
        let kernel = parts.kernel(&self.graph, target, op, &name, numbers);
        let (kernel, dims, tasks) =
            kernel.map_err(|Unsuited| TypeError::new(name, "its sums cannot be computed in parts"))?;
        let buffer = assembly.buffer(parts.ty.clone(), Role::Temporary);
        buffers.push(buffer);
        let dims = dims.iter().map(|symbol| Dim::symbol(&symbol.0)).collect();
        let kernel = assembly.kernel(kernel);
        Ok((Launch { kernel, buffers, dims, tasks, parts: vec![], work: Dim::default() }, buffer))
    }

    /// Types of the buffers that a cluster's kernel needs beside what it reads and writes.
    fn temporaries(&self, number: usize) -> Vec<kc_ir::TensorType> {
        match self.clusters.clusters[number].space {
            Space::Root { op, .. } => library::temporaries(&self.graph, op, library::scratch_bytes(self.contraction)),
            Space::Map(_) | Space::Rows { .. } | Space::Regions { .. } | Space::Alone { .. } => vec![],
        }
    }

    fn buffer(&self, value: Value, assembly: &mut Assembly) -> usize {
        if let Some(&buffer) = assembly.buffer_of.get(&value) {
            return buffer;
        }
        let role = match &self.graph.node(value).op {
            Op::Parameter(parameter) => match self.function.arguments[parameter.index] {
                Argument::Input(input) => Role::Input(input),
                Argument::State(state) => Role::State(state),
            },
            Op::Constant(constant) => Role::Constant(constant.value.clone()),
            _ => match self.slots.get(&value) {
                Some(&ResultSlot::Output(output)) => Role::Output(output),
                Some(&ResultSlot::State(state)) => Role::State(state),
                None => Role::Temporary,
            },
        };
        let buffer = assembly.buffer(self.graph.tensor_type(value).clone(), role);
        assembly.buffer_of.insert(value, buffer);
        buffer
    }

    /// Emits a cluster's kernel: the first loop nest that suits.
    fn kernel(
        &self,
        target: &Target,
        number: usize,
        inputs: &[Value],
        outputs: &[Value],
        memory: &Assigned,
    ) -> Result<(Kernel, Vec<Symbol>, Dim), TypeError> {
        let cluster = &self.clusters.clusters[number];
        let needed = self.needed(number);
        let members: Vec<Value> = cluster.members.iter().copied().filter(|member| needed.contains(member)).collect();
        let name = self.kernel_name(&members);
        let memory_of = &memory.of;
        let mut declared = vec![None; memory.first_temporary as usize];
        for (values, access) in [(inputs, Access::Read), (outputs, Access::Write)] {
            for value in values {
                let entry = &mut declared[memory_of[value].0 as usize];
                let access = if entry.is_some() { Access::ReadWrite } else { access };
                *entry = Some((
                    format!("{}{}", if access == Access::Read { "in" } else { "out" }, value.0),
                    self.graph.tensor_type(*value).dtype,
                    access,
                ));
            }
        }
        // what an op scatters into or sums in, it reads as well
        let scatters = match cluster.space {
            Space::Root { op, .. } => cluster::scatters(&self.graph.node(op).op),
            Space::Alone { op } => attention::accumulates(&self.graph.node(op).op),
            _ => false,
        };
        let mut declared: Vec<_> = declared
            .into_iter()
            .flatten()
            .map(|(name, dtype, access)| {
                (name, dtype, if scatters && access == Access::Write { Access::ReadWrite } else { access })
            })
            .chain((0..).zip(&memory.temporaries).map(|(i, ty)| (format!("line{i}"), ty.dtype, Access::ReadWrite)))
            .collect();
        let temporaries: Vec<MemoryId> = (memory.first_temporary..declared.len() as u32).map(MemoryId).collect();
        // a packed operand comes last, or parts of sums
        let packing = match cluster.space {
            Space::Root { op, .. } => self.packed.get(&op),
            _ => None,
        };
        let parts = match cluster.space {
            Space::Root { op, .. } => self.parts.get(&op).map(|parts| (parts, MemoryId(declared.len() as u32))),
            _ => None,
        };
        declared.extend(parts.map(|(parts, _)| ("parts".to_string(), parts.ty.dtype, Access::Read)));
        let packed = packing.map(|packing| (packing, MemoryId(declared.len() as u32)));
        declared.extend(packing.map(|packing| ("packed".to_string(), packing.ty().dtype, Access::Read)));
        let mut start = Emitter::new(&self.graph, &name, &declared);
        inputs.iter().for_each(|&value| start.set_readable(value, memory_of[&value]));
        start.gathers = self.gathers(&needed);
        let stored: Vec<loops::Stored> = outputs
            .iter()
            .map(|&value| loops::Stored {
                value,
                memory: memory_of[&value],
                shape: &self.graph.tensor_type(value).shape,
            })
            .collect();
        let (elements, along) = match &cluster.space {
            Space::Map(shape) => (shape.iter().cloned().product(), shape.last()),
            Space::Rows { inner, .. } => (Dim::default(), inner.last()),
            Space::Root { .. } | Space::Alone { .. } | Space::Regions { .. } => {
                (Dim::default(), stored.first().and_then(|output| output.shape.last()))
            }
        };
        let lanes = along.map_or(target.lanes(), |extent| target.lanes_along(extent));
        if let Some(extent) = along.and_then(Dim::as_constant) {
            start.seams = self.seams(&needed, extent);
        }
        let operations = self.operations(number).unwrap_or_default();
        let per_task = map::elements_per_task(operations);
        // functions are long chains of operations: two vectors at a time hide each other's latency
        let together = if target.block_threads == 1 && operations >= LONG_CHAIN { 2 } else { 1 };
        let attempt = |nest: Nest, lanes: u32| -> Result<(Kernel, Vec<Symbol>, Dim), Unsuited> {
            let mut em = start.clone();
            let tasks = match &cluster.space {
                Space::Map(shape) => match nest {
                    Nest::Flat => map::flat(&mut em, lanes, per_task, shape, &stored)?,
                    Nest::Rows => map::nested(&mut em, lanes, per_task, shape, &stored)?,
                    Nest::Squares(axis) => map::transposed(&mut em, lanes, axis, per_task, shape, &stored)?,
                    Nest::Scalars => map::blocked(&mut em, per_task, shape, &stored)?,
                },
                Space::Regions { .. } => return Err(Unsuited),
                _ if matches!(nest, Nest::Flat | Nest::Squares(_)) => return Err(Unsuited),
                Space::Alone { op } => attention::attention(&mut em, target, lanes, *op, memory_of, &stored)?,
                Space::Rows { outer, inner } => map::rows(&mut em, lanes, per_task, outer, inner, &members, &stored)?,
                Space::Root { op, .. } => match self.graph.node(*op).op {
                    ref contracts if contraction::is_one(contracts) => {
                        if let Some((parts, memory)) = parts {
                            return parts
                                .added(&mut em, target, lanes, *op, memory, &stored)
                                .map(|tasks| (em.b.finish(em.dims.len() as u32), em.dims, tasks));
                        }
                        let operands = contraction::operands(&self.graph, *op, self.contraction);
                        // where one of them is packed, the other has its place
                        let other = packing.and_then(|packing| operands.iter().find(|&&base| base != packing.base));
                        let memory_of = |base| other.or(Some(base)).and_then(|base| memory_of.get(base).copied());
                        let memory = [memory_of(&operands[0]), memory_of(&operands[1])];
                        let [Some(left), Some(right)] = memory else { return Err(Unsuited) };
                        contraction::contraction(&mut em, target, lanes, *op, [left, right], packed, &stored)?
                    }
                    Op::Reduce(_) | Op::ArgReduce(_) => roots::reduce(&mut em, lanes, *op, &stored)?,
                    Op::Sort(_) | Op::TopK(_) => {
                        let by = if target.block_threads > 1 { ranks::sort } else { library::sort };
                        by(&mut em, lanes, *op, &stored, &temporaries, library::scratch_bytes(self.contraction))?
                    }
                    Op::CustomCall(_) => library::custom_call(&mut em, *op, memory_of, &temporaries)?,
                    Op::ReduceWindow(_) => roots::reduce_window(&mut em, lanes, *op, &stored)?,
                    Op::SelectAndScatter(_) => roots::select_and_scatter(&mut em, lanes, *op, memory_of[op])?,
                    Op::Cumulative(_) | Op::Recurrence(_) => cumulative::running(&mut em, lanes, *op, &stored)?,
                    Op::Scatter(_) => indexed::scatter(&mut em, lanes, *op, memory_of[op])?,
                    _ => return Err(Unsuited),
                },
            };
            let dims = em.dims.clone();
            Ok((em.b.finish(dims.len() as u32), dims, tasks))
        };
        // lanes of a GPU are threads, which do not transpose
        let axes = match &cluster.space {
            Space::Map(shape) if target.block_threads == 1 => 0..shape.len().saturating_sub(1),
            _ => 0..0,
        };
        let widest = outputs.iter().map(|&output| self.graph.tensor_type(output).dtype.bytes() as u32).max();
        let square = target.vector_bytes / widest.unwrap_or(1).max(4);
        attempt(Nest::Flat, together * target.lanes_along(&elements))
            .or_else(|Unsuited| attempt(Nest::Rows, together * lanes))
            .or_else(|Unsuited| axes.rev().find_map(|axis| attempt(Nest::Squares(axis), square).ok()).ok_or(Unsuited))
            .or_else(|Unsuited| attempt(Nest::Scalars, 1))
            .map_err(|Unsuited| TypeError::new(name, "no kernel computes this combination of ops"))
    }

    /// Arithmetic operations of a cluster, where they outweigh the bytes it moves; else 0.
    fn work(&self, target: &Target, number: usize) -> Dim {
        /// Multiply-adds of a contraction in the time of an addition that stands among functions.
        const CONTRACTED: f64 = 10.0;
        match &self.clusters.clusters[number].space {
            &Space::Root { op, .. } => {
                contraction::operations(&self.graph, target, op) + library::operations(&self.graph, op)
            }
            &Space::Alone { op } => attention::operations(&self.graph, op),
            space @ (Space::Map(_) | Space::Rows { .. }) => match self.operations(number) {
                Some(each) if each > operations::LOAD_AND_STORE => {
                    space.elements() * Dim::constant((CONTRACTED * each) as i64)
                }
                _ => Dim::default(),
            },
            Space::Regions { .. } => Dim::default(),
        }
    }

    /// What an element of an elementwise cluster or of one of rows costs, in additions; `None` for other clusters.
    fn operations(&self, number: usize) -> Option<f64> {
        let all = map::nominal(&match &self.clusters.clusters[number].space {
            space @ (Space::Map(_) | Space::Rows { .. }) => space.elements(),
            _ => return None,
        });
        // of a reduction as often as of what it reduces
        let times = |value: &Value| {
            let node = self.graph.node(*value);
            let over = if matches!(node.op, Op::Reduce(_)) { node.operands[0] } else { *value };
            map::nominal(&self.graph.tensor_type(over).elements()) as f64 / all as f64
        };
        let needed = self.needed(number);
        let each = |value: &Value| match &self.graph.node(*value).op {
            Op::Reduce(_) => 1.0,
            op => operations::elementwise(op).map_or(0.0, operations::Executed::operations),
        };
        Some(needed.iter().map(|value| times(value) * each(value)).sum())
    }

    /// A name for people: the layer and the most telling op.
    fn kernel_name(&self, members: &[Value]) -> String {
        let weight = |value: &Value| match cluster::role(&self.graph.node(*value).op) {
            cluster::Role::Root => 2,
            cluster::Role::Reduction => 1,
            _ => 0,
        };
        let Some(telling) = members.iter().max_by_key(|&value| (weight(value), value.0)) else {
            return "empty".to_string();
        };
        let node = self.graph.node(*telling);
        let layer = node.location.as_ref().map(|location| location.layer.as_str()).unwrap_or("");
        let text: String = format!("{layer}_{}", node.op.operation().name())
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .collect();
        text.trim_matches('_').to_string()
    }
}
