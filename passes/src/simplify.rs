//! Linear clean-up: what is never worse, bit for bit. Choices are the business of equality saturation.

mod fold;
mod identities;
mod movement;
mod regions;

use kc_ir::tensor::ops::{Constant, Projection};
use kc_ir::tensor::{Builder, Graph, Literal, Node, Op, Scalar, TypeError, Value};
use kc_ir::{DType, TensorType};
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

/// The same function in fewer and plainer ops: equal ops are shared, dead ones dropped, constants folded, chains of
/// conversions and movements merged, identities (`x * 1`, `-(-x)`) removed, elementwise ops moved before broadcasts, and
/// the operands of commutative functions put in one order (constants and broadcasts last). Results have the same bits.
/// Regions are simplified likewise; what they carry, read or give without need is dropped, and choices that are known are made.
///
/// Parameters and results keep their number and order; a surviving op keeps the location of the op that it stands for.
/// Simplifying twice is simplifying once. A graph that the verifier rejects is returned as it is.
pub fn simplify(graph: &Graph) -> Graph {
    simplify_within(graph, has_gradients(graph))
}

/// Whether a graph or a region in it is yet to be differentiated, so that `stop_gradient` means something.
fn has_gradients(graph: &Graph) -> bool {
    let of = |node: &Node| {
        let regions = node.op.operation().regions();
        matches!(node.op, Op::Gradient(_)) || regions.iter().any(|region| has_gradients(region.graph()))
    };
    graph.nodes.iter().any(of)
}

fn simplify_within(graph: &Graph, keeps_stops: bool) -> Graph {
    let mut current = Cow::Borrowed(graph);
    // One round does nearly all; a round that changes nothing is the proof of the fixed point.
    for _ in 0..MAX_ROUNDS {
        match round(&current, keeps_stops) {
            Ok(next) if next != *current => current = Cow::Owned(next),
            _ => break,
        }
    }
    current.into_owned()
}

/// Rounds after which [`simplify`] stops looking for more.
const MAX_ROUNDS: usize = 16;

fn round(graph: &Graph, keeps_stops: bool) -> Result<Graph, TypeError> {
    let mut simplifier = Simplifier { builder: Builder::new(), keeps_stops };
    let mut values: Vec<Option<Value>> = vec![None; graph.nodes.len()];
    for &parameter in &graph.parameters {
        let Node { op: Op::Parameter(declared), location, .. } = graph.node(parameter) else {
            return Err(TypeError::new("simplify", format!("{parameter} is no parameter")));
        };
        simplifier.builder.set_location(location.clone());
        values[parameter.index()] = Some(simplifier.builder.parameter(&declared.name, declared.ty.clone())?);
    }
    let used = used_results(graph);
    // what becomes of the results of ops with regions
    let mut tuples: HashMap<Value, Vec<Option<Value>>> = HashMap::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        if values[index].is_some() {
            continue;
        }
        if let (Op::Projection(projection), Some(results)) =
            (&node.op, node.operands.first().and_then(|t| tuples.get(t)))
        {
            values[index] = results.get(projection.index).copied().flatten();
            continue;
        }
        simplifier.builder.set_location(node.location.clone());
        let operands: Option<Vec<Value>> = node.operands.iter().map(|operand| values[operand.index()]).collect();
        let operands =
            operands.ok_or_else(|| TypeError::new("simplify", format!("an operand of node {index} comes after it")))?;
        if !node.op.operation().regions().is_empty() {
            let value = Value(index as u32);
            let used = used.get(&value).cloned().unwrap_or_default();
            tuples.insert(value, simplifier.regions(&node.op, operands, &used)?);
            continue;
        }
        values[index] = Some(simplifier.add(node.op.clone(), operands)?);
    }
    let results = graph.results.iter().map(|result| values[result.index()]).collect::<Option<Vec<Value>>>();
    let results = results.ok_or_else(|| TypeError::new("simplify", "a result names no node"))?;
    Ok(without_dead(simplifier.builder.finish(results)))
}

/// For each tuple which of its tensors are used.
fn used_results(graph: &Graph) -> HashMap<Value, BTreeSet<usize>> {
    let mut used: HashMap<Value, BTreeSet<usize>> = HashMap::new();
    for node in &graph.nodes {
        if let Op::Projection(projection) = &node.op {
            used.entry(node.operands[0]).or_default().insert(projection.index);
        }
    }
    used
}

/// The graph without the nodes that no result needs; parameters stay.
fn without_dead(graph: Graph) -> Graph {
    let mut live = vec![false; graph.nodes.len()];
    graph.parameters.iter().chain(&graph.results).for_each(|value| live[value.index()] = true);
    for (index, node) in graph.nodes.iter().enumerate().rev() {
        if live[index] {
            node.operands.iter().for_each(|operand| live[operand.index()] = true);
        }
    }
    let mut kept = Graph::default();
    let mut renamed = vec![Value(0); graph.nodes.len()];
    for (index, mut node) in graph.nodes.into_iter().enumerate().filter(|(index, _)| live[*index]) {
        renamed[index] = Value(kept.nodes.len() as u32);
        node.operands.iter_mut().for_each(|operand| *operand = renamed[operand.index()]);
        kept.nodes.push(node);
    }
    let rename = |values: Vec<Value>| values.into_iter().map(|value| renamed[value.index()]).collect();
    kept.parameters = rename(graph.parameters);
    kept.results = rename(graph.results);
    kept
}

/// What becomes of an op whose operands are simplified.
enum Step {
    /// It stays.
    Keep,
    /// It is that value.
    Is(Value),
    /// It is that op of those values, which may simplify further.
    Becomes(Box<Op>, Vec<Value>),
}

fn becomes(op: impl Into<Op>, operands: Vec<Value>) -> Step {
    Step::Becomes(Box::new(op.into()), operands)
}

struct Simplifier {
    builder: Builder,
    /// Whether the graph is yet to be differentiated, so that `stop_gradient` means something.
    keeps_stops: bool,
}

impl Simplifier {
    /// Adds an op in its simplest form.
    fn add(&mut self, op: impl Into<Op>, operands: Vec<Value>) -> Result<Value, TypeError> {
        let (mut op, mut operands) = (op.into(), operands);
        loop {
            match self.step(&op, &operands)? {
                Step::Keep => match self.fold(&op, &operands) {
                    Some(value) => (op, operands) = (Constant { value }.into(), vec![]),
                    None => return self.builder.add(op, &operands),
                },
                Step::Is(value) => return Ok(value),
                Step::Becomes(next, of) => (op, operands) = (*next, of),
            }
        }
    }

    fn step(&mut self, op: &Op, operands: &[Value]) -> Result<Step, TypeError> {
        match op {
            Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select(_) | Op::Convert(_) | Op::BitcastConvert(_) => {
                match self.elementwise(op, operands)? {
                    Step::Keep => self.before_broadcast(op, operands),
                    step => Ok(step),
                }
            }
            Op::Constant(constant) => self.constant(&constant.value),
            Op::Broadcast(broadcast) => self.broadcast(broadcast, operands[0]),
            Op::Reshape(reshape) => Ok(self.reshape(reshape, operands[0])),
            Op::Transpose(transpose) => self.transpose(transpose, operands[0]),
            Op::Slice(slice) => Ok(self.slice(slice, operands[0])),
            Op::Pad(pad) => Ok(self.pad(pad, operands)),
            Op::Reverse(reverse) => Ok(self.reverse(reverse, operands[0])),
            Op::Concatenate(_) => Ok(if let [only] = operands { Step::Is(*only) } else { Step::Keep }),
            Op::Reduce(reduce) => Ok(self.reduce(reduce, operands[0])),
            Op::StopGradient(_) if !self.keeps_stops => Ok(Step::Is(operands[0])),
            Op::Parameter(_)
            | Op::Iota(_)
            | Op::Gather(_)
            | Op::Scatter(_)
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
            | Op::Dimension(_)
            | Op::Composite(_)
            | Op::Gradient(_)
            | Op::Projection(Projection { .. })
            | Op::StopGradient(_)
            | Op::Cond(_)
            | Op::While(_)
            | Op::Scan(_)
            | Op::Remat(_)
            | Op::CustomGradient(_)
            | Op::OptimizationBarrier(_) => Ok(Step::Keep),
        }
    }

    fn ty(&self, value: Value) -> &TensorType {
        self.builder.tensor_type(value)
    }

    fn op(&self, value: Value) -> &Op {
        &self.builder.graph().node(value).op
    }

    fn operand(&self, value: Value) -> Value {
        self.builder.graph().node(value).operands[0]
    }

    /// The value that all elements are known to have.
    fn splat(&self, value: Value) -> Option<Scalar> {
        match self.op(value) {
            Op::Constant(constant) => constant.value.splat_value(),
            Op::Broadcast(_) => self.splat(self.operand(value)),
            _ => None,
        }
    }

    /// A splat of a type.
    fn filled(&mut self, ty: &TensorType, value: Scalar) -> Result<Value, TypeError> {
        self.builder.splat(ty.dtype, value, &ty.shape)
    }

    /// Larger constants of one value are a scalar and a broadcast.
    fn constant(&mut self, literal: &Literal) -> Result<Step, TypeError> {
        if literal.shape().is_empty() {
            return Ok(Step::Keep);
        }
        let Some(value) = literal.splat_value() else { return Ok(Step::Keep) };
        if literal.dtype().is_float() && value.to_f64().is_nan() {
            return Ok(Step::Keep); // a NaN's bits are not a scalar's value
        }
        let ty = literal.ty();
        Ok(Step::Is(self.filled(&ty, value)?))
    }
}

/// Whether every value of `from` is a value of `to`.
fn holds(to: DType, from: DType) -> bool {
    let mantissa = |dtype: DType| match dtype {
        DType::F64 => 53,
        DType::F32 => 24,
        DType::F16 => 11,
        DType::Bf16 => 8,
        other => other.bits(),
    };
    match (from, to) {
        _ if from == to => true,
        (DType::Bool, _) => true,
        (_, DType::Bool) => false,
        (DType::F16, DType::Bf16) | (DType::Bf16, DType::F16) => false,
        _ if from.is_float() => to.is_float() && mantissa(to) > mantissa(from),
        _ if to.is_float() => {
            // f16 overflows above 65504, which its 11 bits never reach
            mantissa(to) >= from.bits()
        }
        _ if from.is_unsigned_integer() && to.is_signed_integer() => to.bits() > from.bits(),
        _ if from.is_signed_integer() => to.is_signed_integer() && to.bits() >= from.bits(),
        _ => to.bits() >= from.bits(),
    }
}
