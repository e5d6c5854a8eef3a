//! The ops of an entry point, each compiled by itself.

use super::EagerError;
use super::execute::{Block, Call, Compiled, Scan};
use crate::pipeline::compile_programs;
use crate::{Backend, CompileError, schedule_function};
use kc_ir::Dim;
use kc_ir::kernel::Program;
use kc_ir::manifest::{Input, InputRole, Output};
use kc_ir::tensor::ops::Projection;
use kc_ir::tensor::{
    Argument, Builder, Function, Graph, Module, Op, Region, ResultSlot, Type, TypeError, Value, specialise,
};
use kc_passes::{differentiate, simplify};
use kc_runtime::{Session, SessionError, SessionOptions};
use std::collections::BTreeMap;

/// Whether an op is computed by the kernel that reads it: constants, and views that cost nothing where arrays have strides.
fn is_part_of_reader(op: &Op) -> bool {
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

/// The ops of an entry point as a module of one function an op, and the calls that make up the entry point.
#[derive(Default)]
struct Ops {
    module: Module,
    /// Functions by the text of their graph: equal ops are compiled once.
    known: BTreeMap<String, usize>,
    calls: Vec<Call>,
    /// The place of each tensor of the present graph that is computed: by value and position in a tuple.
    places: BTreeMap<(Value, usize), usize>,
    /// Places of all graphs.
    count: usize,
}

/// Compiles the ops of an entry point for known extents.
pub(super) fn compile_ops(
    function: &Function,
    bound: &[(kc_ir::Symbol, i64)],
    backend: &dyn Backend,
    options: &SessionOptions,
) -> Result<Compiled, EagerError> {
    let failed = |error| CompileError::Graph { function: function.name.clone(), error };
    let value_of = |symbol: &kc_ir::Symbol| bound.iter().find(|(known, _)| known == symbol).map(|(_, value)| *value);
    let graph =
        differentiate(&function.graph).and_then(|graph| specialise(&simplify(&graph), &value_of)).map_err(failed)?;
    let mut ops = Ops::default();
    ops.graph(&graph).map_err(failed)?;
    let arguments = graph
        .parameters
        .iter()
        .zip(&function.arguments)
        .map(|(&value, &argument)| (ops.place(value, 0), argument))
        .collect();
    let results = graph
        .results
        .iter()
        .zip(&function.results)
        .map(|(&value, &slot)| (ops.place_of(&graph, value), slot))
        .collect();
    let programs: Vec<Program> = ops
        .module
        .functions
        .iter()
        .map(|function| schedule_function(function, backend.target()))
        .collect::<Result<_, _>>()?;
    let package = compile_programs(&ops.module, &programs, backend)?;
    let session = Session::new(&package, options)?;
    let entries = ops.module.functions.iter().map(|function| session.entry(&function.name));
    let entries = entries.collect::<Result<_, SessionError>>()?;
    let values = vec![None; ops.count];
    Ok(Compiled { session, entries, calls: ops.calls, arguments, results, values })
}

impl Ops {
    fn place(&mut self, value: Value, position: usize) -> usize {
        *self.places.entry((value, position)).or_insert_with(|| {
            self.count += 1;
            self.count - 1
        })
    }

    /// Adds the calls of a graph.
    fn graph(&mut self, graph: &Graph) -> Result<(), TypeError> {
        for value in graph.values() {
            let node = graph.node(value);
            match &node.op {
                Op::Parameter(_) => {
                    self.place(value, 0);
                }
                Op::Projection(_) => {}
                op if is_part_of_reader(op) && !graph.results.contains(&value) => {}
                Op::Cond(_) | Op::While(_) | Op::Scan(_) => self.regions(graph, value)?,
                _ => self.dispatch(graph, value)?,
            }
        }
        Ok(())
    }

    /// The calls of a region, whose values have places of their own.
    fn block(&mut self, region: &Region) -> Result<Block, TypeError> {
        let (places, calls) = (std::mem::take(&mut self.places), std::mem::take(&mut self.calls));
        let graph = region.graph();
        let made = self.graph(graph);
        let parameters = graph.parameters.iter().map(|&value| self.place(value, 0)).collect();
        let results = graph.results.iter().map(|&value| self.place_of(graph, value)).collect();
        self.places = places;
        let calls = std::mem::replace(&mut self.calls, calls);
        made.map(|()| Block { parameters, calls, results })
    }

    /// Adds the call of an op with regions, of whose operands all are computed.
    fn regions(&mut self, graph: &Graph, value: Value) -> Result<(), TypeError> {
        let node = graph.node(value);
        let mut operands = vec![];
        for &operand in &node.operands {
            if is_part_of_reader(&graph.node(operand).op) && !self.places.contains_key(&(operand, 0)) {
                self.dispatch(graph, operand)?;
            }
            operands.push(self.place_of(graph, operand));
        }
        let Type::Tuple(types) = &node.ty else {
            return Err(TypeError::new(node.op.operation().name(), "its type is no tuple"));
        };
        let outputs = (0..types.len()).map(|position| self.place(value, position)).collect();
        let call = match &node.op {
            Op::Cond(cond) => {
                let branches = cond.branches.iter().map(|branch| self.block(branch)).collect::<Result<_, _>>()?;
                Call::Cond { index: operands.remove(0), operands, branches, outputs }
            }
            Op::While(this) => {
                let (condition, body) = (self.block(&this.condition)?, self.block(&this.body)?);
                Call::While { operands, carried: this.carried, condition, body, outputs }
            }
            Op::Scan(op) => {
                let unknown = || TypeError::new("scan", "an extent is not known");
                let extent = |dim: &Dim| dim.as_constant().and_then(|extent| usize::try_from(extent).ok());
                let stacked = types[op.carried..].iter().map(|ty| {
                    let shape = ty.shape.iter().map(extent).collect::<Option<Vec<usize>>>();
                    Ok((ty.dtype, shape.ok_or_else(unknown)?))
                });
                Call::Scan(Scan {
                    operands,
                    carried: op.carried,
                    sequences: op.sequences,
                    length: extent(&op.length).ok_or_else(unknown)?,
                    reverse: op.reverse,
                    stacked: stacked.collect::<Result<_, TypeError>>()?,
                    body: self.block(&op.body)?,
                    outputs,
                })
            }
            op => return Err(TypeError::new(op.operation().name(), "it has no regions")),
        };
        self.calls.push(call);
        Ok(())
    }

    /// The place of a tensor that is a node's result or a projection of one.
    fn place_of(&mut self, graph: &Graph, value: Value) -> usize {
        match &graph.node(value).op {
            Op::Projection(projection) => self.place(graph.node(value).operands[0], projection.index),
            _ => self.place(value, 0),
        }
    }

    /// Adds the call that computes a node, with the constants and views that it reads.
    fn dispatch(&mut self, graph: &Graph, value: Value) -> Result<(), TypeError> {
        let mut builder = Builder::new();
        let mut inputs = vec![];
        let mut inner = BTreeMap::new();
        let operands = graph
            .node(value)
            .operands
            .iter()
            .map(|&operand| self.operand(graph, operand, &mut builder, &mut inputs, &mut inner));
        let operands = operands.collect::<Result<Vec<_>, _>>()?;
        let result = builder.add(graph.node(value).op.clone(), &operands)?;
        let results = match &graph.node(value).ty {
            Type::Tensor(_) => vec![result],
            Type::Tuple(types) => {
                (0..types.len()).map(|index| builder.add(Projection { index }, &[result])).collect::<Result<_, _>>()?
            }
        };
        let outputs = (0..results.len()).map(|position| self.place(value, position)).collect();
        let op_graph = builder.finish(results);
        let text = kc_ir::tensor::text::print_graph(&op_graph);
        let number = match self.known.get(&text) {
            Some(&number) => number,
            None => {
                self.known.insert(text, self.module.functions.len());
                self.module.functions.push(op_function(self.module.functions.len(), op_graph));
                self.module.functions.len() - 1
            }
        };
        self.calls.push(Call::Op { number, inputs, outputs });
        Ok(())
    }

    fn operand(
        &mut self,
        graph: &Graph,
        value: Value,
        builder: &mut Builder,
        inputs: &mut Vec<usize>,
        inner: &mut BTreeMap<Value, Value>,
    ) -> Result<Value, TypeError> {
        if let Some(&known) = inner.get(&value) {
            return Ok(known);
        }
        let node = graph.node(value);
        let added = if is_part_of_reader(&node.op) && !self.places.contains_key(&(value, 0)) {
            let operands = node.operands.iter().map(|&operand| self.operand(graph, operand, builder, inputs, inner));
            let operands = operands.collect::<Result<Vec<_>, _>>()?;
            builder.add(node.op.clone(), &operands)?
        } else {
            inputs.push(self.place_of(graph, value));
            builder.parameter("operand", graph.tensor_type(value).clone())?
        };
        inner.insert(value, added);
        Ok(added)
    }
}

/// A graph of one op as an entry point.
fn op_function(number: usize, graph: Graph) -> Function {
    let input = |(i, &value): (usize, &Value)| Input {
        name: format!("operand_{i}"),
        role: InputRole::Feature,
        ty: graph.tensor_type(value).clone(),
        checks: vec![],
    };
    let output =
        |(i, &value): (usize, &Value)| Output { name: format!("result_{i}"), ty: graph.tensor_type(value).clone() };
    Function {
        name: format!("op_{number}"),
        inputs: graph.parameters.iter().enumerate().map(input).collect(),
        outputs: graph.results.iter().enumerate().map(output).collect(),
        arguments: (0..graph.parameters.len()).map(Argument::Input).collect(),
        results: (0..graph.results.len()).map(ResultSlot::Output).collect(),
        graph,
    }
}
