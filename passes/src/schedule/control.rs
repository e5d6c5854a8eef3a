//! Ops with regions: each region is scheduled as a program of its own, which becomes steps of the outer program. Its parameters and
//! results are buffers of the outer one: an element of a sequence is a part whose offset follows the loop's counter, so kernels do
//! not know of loops.
//!
//! A carried value has one buffer, which the body updates in place, where nothing reads the old value after it is updated. Else a
//! scan has two, which take turns, and a while loop copies the new value at the end of a round.

use super::cluster::{Clusters, Space};
use super::store::view;
use super::{Draft, Within, draft};
use crate::Target;
use kc_ir::kernel::{Buffer, Program, Role, Step, launches_mut, print_kernel};
use kc_ir::tensor::ops::{Projection, Scan, StopGradient};
use kc_ir::tensor::{Argument, Function, Graph, Node, Op, Region, ResultSlot, Type, TypeError, Value};
use kc_ir::{DType, Dim, Symbol, TensorType};
use std::collections::hash_map::{Entry, HashMap};
use std::collections::{BTreeMap, BTreeSet};

/// Number of operands and results that an op carries through its rounds.
fn carried(op: &Op) -> usize {
    match op {
        Op::Scan(scan) => scan.carried,
        Op::While(this) => this.carried,
        _ => 0,
    }
}

/// Whether a value is the last one that a loop carries: it lies in the loop's buffer.
pub(super) fn is_carried(graph: &Graph, value: Value) -> bool {
    let node = graph.node(value);
    matches!(&node.op, Op::Projection(projection) if projection.index < carried(&graph.node(node.operands[0]).op))
}

/// The graph with a copy of each first value that a loop carries and of what is in no buffer, and all results of ops with regions.
pub(super) fn prepare(graph: Graph) -> Graph {
    if graph.nodes.iter().all(|node| node.op.operation().regions().is_empty()) {
        return graph;
    }
    let mut new = Graph::default();
    let mut values: Vec<Vec<Value>> = Vec::with_capacity(graph.nodes.len());
    for mut node in graph.nodes {
        if let Op::Projection(projection) = &node.op
            && let Some(&[first, ..]) = values.get(node.operands[0].index()).map(Vec::as_slice)
            && new.node(first).ty.as_tensor().is_some()
        {
            values.push(vec![values[node.operands[0].index()][projection.index]]);
            continue;
        }
        node.operands.iter_mut().for_each(|operand| *operand = values[operand.index()][0]);
        if node.op.operation().regions().is_empty() {
            values.push(vec![push(&mut new, node)]);
            continue;
        }
        for position in 0..node.operands.len() {
            let operand = node.operands[position];
            if position < carried(&node.op) || is_in_no_buffer(&new, operand) {
                let ty = new.node(operand).ty.clone();
                let copy =
                    Node { op: StopGradient {}.into(), operands: vec![operand], ty, location: node.location.clone() };
                node.operands[position] = push(&mut new, copy);
            }
        }
        let (ty, location) = (node.ty.clone(), node.location.clone());
        let tuple = push(&mut new, node);
        let Type::Tuple(types) = ty else {
            values.push(vec![tuple]);
            continue;
        };
        let projections = types.into_iter().enumerate().map(|(index, ty)| Node {
            op: Projection { index }.into(),
            operands: vec![tuple],
            ty: Type::Tensor(ty),
            location: location.clone(),
        });
        values.push(projections.map(|node| push(&mut new, node)).collect());
    }
    let rename = |old: Vec<Value>| old.into_iter().map(|value| values[value.index()][0]).collect();
    Graph { nodes: new.nodes, parameters: rename(graph.parameters), results: rename(graph.results) }
}

fn push(graph: &mut Graph, node: Node) -> Value {
    graph.nodes.push(node);
    Value(graph.nodes.len() as u32 - 1)
}

/// Whether a value is one number for all elements, positions or an extent, which kernels compute where they read it.
fn is_in_no_buffer(graph: &Graph, value: Value) -> bool {
    match &graph.node(view(graph, value).base).op {
        Op::Constant(constant) => constant.value.splat_value().is_some(),
        Op::Iota(_) | Op::Dimension(_) => true,
        _ => false,
    }
}

/// The values that must lie in buffers for an op with regions: its operands and its results.
pub(super) fn buffered(graph: &Graph, clusters: &Clusters) -> Vec<Value> {
    let of = |number: usize| match clusters.clusters[number].space {
        Space::Regions { op } => {
            let results = clusters.clusters[number].members.iter().copied().filter(move |&member| member != op);
            graph.node(op).operands.iter().copied().chain(results).collect()
        }
        _ => vec![],
    };
    (0..clusters.clusters.len()).flat_map(of).collect()
}

/// The scheduled regions of an op.
pub(super) struct Scheduled {
    programs: Vec<Program>,
    /// Carried values with two buffers.
    doubled: BTreeSet<usize>,
}

/// Schedules the regions of an op.
pub(super) fn schedule_regions(op: &Op, target: &Target, within: &Within) -> Result<Scheduled, TypeError> {
    let inner = Within { depth: within.depth + 1, ..within.clone() };
    let input = |position| Argument::Input(position);
    match op {
        Op::Cond(cond) => {
            let programs = cond.branches.iter().map(|branch| {
                let arguments = (0..branch.graph().parameters.len()).map(input).collect();
                let results = (0..branch.graph().results.len()).map(ResultSlot::Output).collect();
                super::schedule_within(&function("branch", branch, arguments, results), target, &inner)
            });
            Ok(Scheduled { programs: programs.collect::<Result<_, _>>()?, doubled: BTreeSet::new() })
        }
        Op::While(this) => {
            let arguments = (0..this.condition.graph().parameters.len()).map(input).collect();
            let condition = function("condition", &this.condition, arguments, vec![ResultSlot::Output(0)]);
            let carry = |position| if position < this.carried { Argument::State(position) } else { input(position) };
            let arguments = (0..this.body.graph().parameters.len()).map(carry).collect();
            let results = (0..this.carried).map(ResultSlot::State).collect();
            let body = function("body", &this.body, arguments, results);
            let schedule = |function: &Function| super::schedule_within(function, target, &inner);
            Ok(Scheduled { programs: vec![schedule(&condition)?, schedule(&body)?], doubled: BTreeSet::new() })
        }
        Op::Scan(scan) => {
            let mut doubled = BTreeSet::new();
            loop {
                let in_place = |position: &usize| *position < scan.carried && !doubled.contains(position);
                let argument = |position| if in_place(&position) { Argument::State(position) } else { input(position) };
                let result = |position| {
                    if in_place(&position) { ResultSlot::State(position) } else { ResultSlot::Output(position) }
                };
                let arguments = (0..scan.body.graph().parameters.len()).map(argument).collect();
                let results = (0..scan.body.graph().results.len()).map(result).collect();
                let body = function("body", &scan.body, arguments, results);
                let (draft, unsafe_states) = draft(&body, &BTreeSet::new(), target, &inner)?;
                if unsafe_states.is_empty() {
                    return Ok(Scheduled { programs: vec![draft.emit(target, &inner)?], doubled });
                }
                doubled.extend(unsafe_states);
            }
        }
        _ => Err(TypeError::new(op.operation().name(), "it has no regions to schedule")),
    }
}

fn function(name: &str, region: &Region, arguments: Vec<Argument>, results: Vec<ResultSlot>) -> Function {
    let (inputs, outputs) = (vec![], vec![]);
    Function { name: name.to_string(), inputs, outputs, arguments, results, graph: region.graph().clone() }
}

/// `counter % 2`
fn parity(counter: &Dim) -> Dim {
    counter.clone() - counter.floor_div(&Dim::constant(2)) * Dim::constant(2)
}

/// A program that is being put together.
pub(super) struct Assembly {
    pub program: Program,
    pub buffer_of: BTreeMap<Value, usize>,
    /// Buffers that have a name.
    named: HashMap<Buffer, usize>,
    /// Kernels by their text without a name.
    kernels: BTreeMap<String, usize>,
}

impl Assembly {
    pub fn new(program: Program) -> Self {
        Assembly { program, buffer_of: BTreeMap::new(), named: HashMap::new(), kernels: BTreeMap::new() }
    }

    /// The number of a kernel; identical ones are one.
    pub fn kernel(&mut self, kernel: kc_ir::kernel::Kernel) -> usize {
        let mut anonymous = kernel.clone();
        anonymous.name = String::new();
        *self.kernels.entry(print_kernel(&anonymous)).or_insert_with(|| {
            self.program.kernels.push(kernel);
            self.program.kernels.len() - 1
        })
    }

    /// A buffer of its own, or the one there is with that role where it has a name.
    pub fn buffer(&mut self, ty: TensorType, role: Role) -> usize {
        let new = Buffer { ty, role };
        let number = self.program.buffers.len();
        if new.role != Role::Temporary {
            match self.named.entry(new.clone()) {
                Entry::Occupied(known) => return *known.get(),
                Entry::Vacant(place) => place.insert(number),
            };
        }
        self.program.buffers.push(new);
        number
    }

    /// The steps of another program; `bind` gives the buffers of its inputs, outputs and states.
    fn embed(&mut self, inner: &Program, bind: &mut dyn FnMut(&mut Assembly, &Buffer) -> usize) -> Vec<Step> {
        let mut buffers: Vec<usize> = Vec::with_capacity(inner.buffers.len());
        for buffer in &inner.buffers {
            let number = match &buffer.role {
                Role::Temporary | Role::Constant(_) => self.buffer(buffer.ty.clone(), buffer.role.clone()),
                Role::Part { of, offset } => {
                    self.buffer(buffer.ty.clone(), Role::Part { of: buffers[*of], offset: offset.clone() })
                }
                Role::Input(_) | Role::Output(_) | Role::State(_) => bind(self, buffer),
            };
            buffers.push(number);
        }
        let kernels: Vec<usize> = inner.kernels.iter().map(|kernel| self.kernel(kernel.clone())).collect();
        let mut steps = inner.steps.clone();
        for launch in launches_mut(&mut steps) {
            launch.kernel = kernels[launch.kernel];
            launch.buffers.iter_mut().for_each(|buffer| *buffer = buffers[*buffer]);
        }
        rename_decisions(&mut steps, &buffers);
        steps
    }
}

fn rename_decisions(steps: &mut [Step], buffers: &[usize]) {
    for step in steps {
        match step {
            Step::While { holds: buffer, .. } | Step::Branch { index: buffer, .. } => *buffer = buffers[*buffer],
            Step::Launches(_) | Step::Loop { .. } => {}
        }
        step.blocks_mut().into_iter().for_each(|steps| rename_decisions(steps, buffers));
    }
}

impl Draft<'_> {
    /// Gives the values that an op carries their buffers.
    pub(super) fn place_carried(&self, op: Value, scheduled: &Scheduled, assembly: &mut Assembly) {
        let node = self.graph.node(op);
        for (position, &copy) in node.operands.iter().take(carried(&node.op)).enumerate() {
            let ty = self.graph.tensor_type(copy).clone();
            let (first, last) = match &node.op {
                Op::Scan(scan) if scheduled.doubled.contains(&position) => {
                    let shape = [Dim::constant(2)].into_iter().chain(ty.shape.clone()).collect();
                    let pair = assembly.buffer(TensorType { dtype: ty.dtype, shape }, Role::Temporary);
                    let mut at = |offset| assembly.buffer(ty.clone(), Role::Part { of: pair, offset });
                    (at(Dim::default()), at(parity(&scan.length) * ty.elements()))
                }
                _ => {
                    let own = assembly.buffer(ty, Role::Temporary);
                    (own, own)
                }
            };
            assembly.buffer_of.insert(copy, first);
            if let Some(last_value) = self.projection(op, position) {
                assembly.buffer_of.insert(last_value, last);
            }
        }
    }

    /// One tensor of what regions give.
    fn projection(&self, op: Value, position: usize) -> Option<Value> {
        let number = self.clusters.cluster_of[op.index()]?;
        let is = |member: &Value| matches!(&self.graph.node(*member).op, Op::Projection(projection) if projection.index == position);
        self.clusters.clusters[number].members.iter().copied().find(is)
    }

    /// The step that executes an op with regions.
    pub(super) fn regions_step(
        &self,
        op: Value,
        scheduled: &Scheduled,
        assembly: &mut Assembly,
        within: &Within,
    ) -> Result<Step, TypeError> {
        let node = self.graph.node(op);
        let operands: Vec<usize> = node.operands.iter().map(|&operand| self.buffer(operand, assembly)).collect();
        let Type::Tuple(types) = &node.ty else {
            return Err(TypeError::new(node.op.operation().name(), "its type is no tuple"));
        };
        let results: Vec<Option<usize>> = (0..types.len())
            .map(|position| self.projection(op, position).map(|value| self.buffer(value, assembly)))
            .collect();
        let result = |assembly: &mut Assembly, position: usize| match results[position] {
            Some(buffer) => buffer,
            None => assembly.buffer(types[position].clone(), Role::Temporary),
        };
        match &node.op {
            Op::Cond(_) => {
                let branches = scheduled.programs.iter().map(|program| {
                    assembly.embed(program, &mut |assembly, buffer| match buffer.role {
                        Role::Output(position) => result(assembly, position),
                        Role::Input(position) | Role::State(position) => operands[position + 1],
                        _ => operands[0],
                    })
                });
                Ok(Step::Branch { branches: branches.collect(), index: operands[0] })
            }
            Op::While(_) => {
                let [condition, body] = &scheduled.programs[..] else {
                    return Err(TypeError::new("while", "it has a condition and a body"));
                };
                let holds = assembly.buffer(TensorType::scalar(DType::Bool), Role::Temporary);
                let condition = assembly.embed(condition, &mut |_, buffer| match buffer.role {
                    Role::Input(position) | Role::State(position) => operands[position],
                    _ => holds,
                });
                let steps = assembly.embed(body, &mut |_, buffer| match buffer.role {
                    Role::Input(position) | Role::State(position) | Role::Output(position) => operands[position],
                    _ => holds,
                });
                Ok(Step::While { condition, holds, steps })
            }
            Op::Scan(scan) => {
                let counter = within.counter();
                let steps = assembly.embed(&scheduled.programs[0], &mut |assembly, buffer| {
                    scan_buffer(scan, scheduled, assembly, buffer, &Dim::symbol(&counter.0), &operands, &result)
                });
                Ok(Step::Loop { counter, rounds: scan.length.clone(), steps })
            }
            other => Err(TypeError::new(other.operation().name(), "it has no regions to schedule")),
        }
    }
}

/// The buffer of the outer program that a buffer of a scan's body is.
fn scan_buffer(
    scan: &Scan,
    scheduled: &Scheduled,
    assembly: &mut Assembly,
    buffer: &Buffer,
    round: &Dim,
    operands: &[usize],
    result: &dyn Fn(&mut Assembly, usize) -> usize,
) -> usize {
    let elements = buffer.ty.elements();
    let element = match scan.reverse {
        false => round.clone() * elements.clone(),
        true => (scan.length.clone() - Dim::constant(1) - round.clone()) * elements.clone(),
    };
    // the first of a pair is a part of both
    let pair = |assembly: &Assembly, position: usize| assembly.program.root(operands[position]).0;
    let (of, offset) = match buffer.role {
        Role::Input(position) if scheduled.doubled.contains(&position) => {
            (pair(assembly, position), parity(round) * elements)
        }
        Role::Output(position) if scheduled.doubled.contains(&position) => {
            (pair(assembly, position), (Dim::constant(1) - parity(round)) * elements)
        }
        Role::Input(position) if (scan.carried..scan.carried + scan.sequences).contains(&position) => {
            (operands[position], element)
        }
        Role::Output(position) => (result(assembly, position), element),
        Role::Input(position) | Role::State(position) => return operands[position],
        Role::Temporary | Role::Constant(_) | Role::Part { .. } => return operands[0],
    };
    assembly.buffer(buffer.ty.clone(), Role::Part { of, offset })
}

/// A name for the counter of a loop that no symbol has.
pub(super) fn counter(depth: usize, symbols: &[Symbol]) -> Symbol {
    let mut name = format!("round{depth}");
    while symbols.iter().any(|symbol| *symbol.0 == *name) {
        name.push('_');
    }
    Symbol::new(&name)
}
