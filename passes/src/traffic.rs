//! What programs and graphs move and launch, counted for given extents.

use kc_ir::kernel::{Program, Step};
use kc_ir::tensor::{Graph, Op, Type, Value};
use kc_ir::{Dim, Symbol, TensorType};
use std::collections::BTreeSet;
use std::ops::{Add, AddAssign, Mul};

/// Bytes moved and kernels launched.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Traffic {
    /// Bytes that kernels read and write, each buffer once a launch.
    pub bytes: f64,
    /// Launches of kernels.
    pub launches: f64,
}

impl Add for Traffic {
    type Output = Traffic;
    fn add(self, other: Traffic) -> Traffic {
        Traffic { bytes: self.bytes + other.bytes, launches: self.launches + other.launches }
    }
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, other: Traffic) {
        *self = *self + other;
    }
}

impl Mul<f64> for Traffic {
    type Output = Traffic;
    fn mul(self, rounds: f64) -> Traffic {
        Traffic { bytes: self.bytes * rounds, launches: self.launches * rounds }
    }
}

/// The traffic of each launch of a program in the order of its steps, loops counted once.
pub fn launches(program: &Program, value_of: &dyn Fn(&Symbol) -> Option<i64>) -> Vec<Traffic> {
    let mut found = vec![];
    let mut open: Vec<&Step> = program.steps.iter().rev().collect();
    while let Some(step) = open.pop() {
        match step {
            Step::Launches(launches) => {
                found.extend(launches.iter().map(|launch| launch_traffic(program, &launch.buffers, value_of)));
            }
            other => open.extend(other.blocks().into_iter().flatten().rev()),
        }
    }
    found
}

/// The traffic of a program: loops as often as they run where that is known, else once; of branches the one that moves most.
pub fn traffic(program: &Program, value_of: &dyn Fn(&Symbol) -> Option<i64>) -> Traffic {
    steps_traffic(program, &program.steps, value_of)
}

fn steps_traffic(program: &Program, steps: &[Step], value_of: &dyn Fn(&Symbol) -> Option<i64>) -> Traffic {
    let mut sum = Traffic::default();
    for step in steps {
        let blocks = step.blocks().into_iter().map(|steps| steps_traffic(program, steps, value_of));
        sum += match step {
            Step::Launches(launches) => launches
                .iter()
                .map(|launch| launch_traffic(program, &launch.buffers, value_of))
                .fold(Traffic::default(), Add::add),
            Step::Loop { rounds, .. } => {
                let rounds = rounds.evaluate(value_of).unwrap_or(1).max(0) as f64;
                blocks.fold(Traffic::default(), Add::add) * rounds
            }
            Step::While { .. } => blocks.fold(Traffic::default(), Add::add),
            Step::Branch { .. } => blocks.max_by(|a, b| a.bytes.total_cmp(&b.bytes)).unwrap_or_default(),
        };
    }
    sum
}

fn launch_traffic(program: &Program, buffers: &[usize], value_of: &dyn Fn(&Symbol) -> Option<i64>) -> Traffic {
    let buffers: BTreeSet<usize> = buffers.iter().copied().collect();
    Traffic { bytes: buffers.iter().map(|&buffer| bytes(&program.buffers[buffer].ty, value_of)).sum(), launches: 1.0 }
}

fn bytes(ty: &TensorType, value_of: &dyn Fn(&Symbol) -> Option<i64>) -> f64 {
    let elements: f64 = ty.shape.iter().map(|dim: &Dim| dim.evaluate(value_of).unwrap_or(1).max(0) as f64).product();
    elements * ty.dtype.bytes() as f64
}

/// The traffic of a graph that is executed one op, primitive or composite, after the other. What only looks at its operand in another
/// way (broadcasts, reshapes, tuples) is no kernel, and is read as large as what it looks at. Regions count as the steps that execute
/// them: a scan's as often as it has rounds, of branches the one that moves most, other loops once.
pub fn unfused(graph: &Graph, value_of: &dyn Fn(&Symbol) -> Option<i64>) -> Traffic {
    let mut sum = Traffic::default();
    for node in &graph.nodes {
        if is_view(&node.op) || matches!(node.op, Op::Parameter(_) | Op::Constant(_) | Op::Dimension(_)) {
            continue;
        }
        if let Some(inside) = unfused_regions(&node.op, value_of) {
            sum += inside;
            continue;
        }
        let read: BTreeSet<Value> = node.operands.iter().map(|&operand| looked_at(graph, operand)).collect();
        let read: f64 = read.iter().map(|&value| type_bytes(&graph.node(value).ty, value_of)).sum();
        sum += Traffic { bytes: read + type_bytes(&node.ty, value_of), launches: 1.0 };
    }
    sum
}

/// The traffic of an op's regions, of those that compute its value.
fn unfused_regions(op: &Op, value_of: &dyn Fn(&Symbol) -> Option<i64>) -> Option<Traffic> {
    let mut regions = op.operation().regions().into_iter().map(|region| unfused(region.graph(), value_of));
    match op {
        Op::Scan(scan) => {
            let rounds = scan.length.evaluate(value_of).unwrap_or(1).max(0) as f64;
            regions.next().map(|round| round * rounds)
        }
        Op::Cond(_) => regions.max_by(|a, b| a.bytes.total_cmp(&b.bytes)),
        Op::While(_) => regions.reduce(Add::add),
        _ => regions.next(),
    }
}

fn is_view(op: &Op) -> bool {
    matches!(op, Op::Broadcast(_) | Op::Reshape(_) | Op::Projection(_) | Op::StopGradient(_))
}

/// What is read where a value is: through views, but for one tensor of a tuple.
fn looked_at(graph: &Graph, value: Value) -> Value {
    let node = graph.node(value);
    match &node.op {
        Op::Projection(_) => value,
        op if is_view(op) => looked_at(graph, node.operands[0]),
        _ => value,
    }
}

fn type_bytes(ty: &Type, value_of: &dyn Fn(&Symbol) -> Option<i64>) -> f64 {
    match ty {
        Type::Tensor(ty) => bytes(ty, value_of),
        Type::Tuple(types) => types.iter().map(|ty| bytes(ty, value_of)).sum(),
    }
}
