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
use kc_passes::{differentiate, is_part_of_reader, simplify};
use kc_runtime::{Session, SessionError, SessionOptions};
use std::collections::BTreeMap;

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

#[cfg(test)]
mod tests {
    use super::*;
    use kc_ir::tensor::composites::Relu;
    use kc_ir::tensor::ops::{Binary, DotGeneral};
    use kc_ir::{DType, TensorType};
    use kc_passes::unfused;

    /// Kernels that calls execute.
    fn kernels(calls: &[Call]) -> usize {
        let of = |call: &Call| match call {
            Call::Op { .. } => 1,
            Call::Scan(scan) => scan.length * kernels(&scan.body.calls),
            Call::Cond { branches, .. } => branches.iter().map(|branch| kernels(&branch.calls)).max().unwrap_or(0),
            Call::While { condition, body, .. } => kernels(&condition.calls) + kernels(&body.calls),
        };
        calls.iter().map(of).sum()
    }

    #[test]
    fn every_kernel_is_one_that_the_unfused_traffic_counts() {
        let mut b = Builder::new();
        let ty = |shape: &[i64]| TensorType::new(DType::F32, shape.iter().copied());
        let x = b.parameter("x", ty(&[5, 3, 8])).unwrap();
        let w = b.parameter("w", ty(&[8, 8])).unwrap();
        let transposed = b.transpose(w, &[1, 0]).unwrap();
        let dot = DotGeneral { lhs_batch: vec![], rhs_batch: vec![], lhs_contract: vec![2], rhs_contract: vec![0] };
        let product = b.add(dot, &[x, transposed]).unwrap();
        let h = b.add(Relu {}, &[product]).unwrap();
        // the state is a view when the scan starts
        let zeros = b.splat(DType::F32, 0.0, &[3i64.into(), 8i64.into()]).unwrap();
        let mut body = Builder::new();
        let state = body.parameter("state", ty(&[3, 8])).unwrap();
        let element = body.parameter("element", ty(&[3, 8])).unwrap();
        let double = body.binary(Binary::Add, element, element).unwrap();
        let next = body.binary(Binary::Add, state, double).unwrap();
        let body = Region::new(body.finish(vec![next, double]));
        let scan = kc_ir::tensor::ops::Scan { carried: 1, sequences: 1, length: 5i64.into(), reverse: false, body };
        let scan = b.add(scan, &[zeros, h]).unwrap();
        let results = b.projections(scan).unwrap();
        let last = b.transpose(results[0], &[1, 0]).unwrap();
        let graph = b.finish(vec![last, results[1]]);
        let mut ops = Ops::default();
        ops.graph(&graph).unwrap();
        let traffic = unfused(&graph, &|_| None);
        // the product, the activation, the zeros, two sums a round, the transposed result
        assert_eq!((kernels(&ops.calls), traffic.launches), (3 + 2 * 5 + 1, 14.0));
        let (all, one, kernel) = (5 * 3 * 8, 3 * 8, 8 * 8);
        let elements = (2 * all + kernel) + 2 * all + one + 5 * (2 * one + 3 * one) + 2 * one;
        assert_eq!(traffic.bytes, f64::from(4 * elements));
    }
}
