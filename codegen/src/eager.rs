//! Eager execution: no fusion across ops. Every op of a traced graph (a composite is one op; views and constants are part of
//! the op that reads them) is a kernel of its own, dispatched one after the other, with its results in new arrays.
//!
//! It is what fused execution is compared with, and what a person debugs with.

use crate::pipeline::compile_programs;
use crate::{Backend, CompileError, schedule_function};
use kc_ir::kernel::Program;
use kc_ir::manifest::{Input, InputRole, Output};
use kc_ir::tensor::ops::Projection;
use kc_ir::tensor::{
    Argument, Builder, Function, Graph, Module, Op, ResultSlot, Type, TypeError, Value, bind_symbols, specialise,
};
use kc_passes::{differentiate, simplify};
use kc_runtime::{Array, EntryId, Session, SessionError, SessionOptions};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Why eager execution failed.
#[derive(Debug, thiserror::Error)]
pub enum EagerError {
    /// An op that cannot be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// An op that cannot be executed, or arguments that do not fit.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The module has no such entry point.
    #[error("the model has no entry point `{0}`")]
    NoEntry(String),
    /// More or fewer inputs than the entry point takes.
    #[error("entry point `{entry}` takes {expected} inputs, got {given}")]
    Inputs {
        /// The entry point.
        entry: String,
        /// How many were given.
        given: usize,
        /// How many it takes.
        expected: usize,
    },
    /// A state tensor too large for memory.
    #[error("state tensor `{name}`: {message}")]
    State {
        /// Its name.
        name: String,
        /// What was wrong.
        message: String,
    },
}

/// A module in eager execution, with its state.
pub struct Eager<'b> {
    module: Module,
    backend: &'b dyn Backend,
    options: SessionOptions,
    state: Vec<Array>,
    /// Compiled ops by the values of the symbols and the entry point.
    compiled: BTreeMap<(String, Vec<i64>), Compiled>,
}

/// An entry point for known extents.
struct Compiled {
    session: Session,
    calls: Vec<Call>,
    /// Where the entry point's parameters and results lie among the values.
    arguments: Vec<(usize, Argument)>,
    results: Vec<(usize, ResultSlot)>,
    values: Vec<Option<Array>>,
}

/// The dispatch of one op.
struct Call {
    entry: EntryId,
    inputs: Vec<usize>,
    outputs: Vec<usize>,
}

impl<'b> Eager<'b> {
    /// A module whose state is zero; `init` makes the first values.
    pub fn new(module: Module, backend: &'b dyn Backend, options: SessionOptions) -> Result<Self, EagerError> {
        let zeros = |tensor: &kc_ir::manifest::StateTensor| {
            let failed = |message: String| EagerError::State { name: tensor.name.clone(), message };
            let shape =
                tensor.ty.constant_shape().ok_or_else(|| failed(format!("the shape {} is not known", tensor.ty)))?;
            let shape: Vec<usize> = shape.into_iter().map(|extent| extent.max(0) as usize).collect();
            Array::zeros(tensor.ty.dtype, &shape).map_err(|error| failed(error.to_string()))
        };
        let state = module.state.iter().map(zeros).collect::<Result<_, _>>()?;
        Ok(Eager { module, backend, options, state, compiled: BTreeMap::new() })
    }

    /// The state tensors, in the module's order.
    pub fn state(&self) -> &[Array] {
        &self.state
    }

    /// The state tensors, to be replaced by others of the same types.
    pub fn state_mut(&mut self) -> &mut [Array] {
        &mut self.state
    }

    /// Executes an entry point.
    pub fn run(&mut self, entry: &str, inputs: &[&Array]) -> Result<Vec<Array>, EagerError> {
        let Some(function) = self.module.function(entry) else { return Err(EagerError::NoEntry(entry.to_string())) };
        if inputs.len() != function.inputs.len() {
            let (entry, given, expected) = (entry.to_string(), inputs.len(), function.inputs.len());
            return Err(EagerError::Inputs { entry, given, expected });
        }
        let bound =
            bind_symbols(function.inputs.iter().map(|input| &input.ty).zip(inputs.iter().map(|array| array.shape())));
        let key = (entry.to_string(), bound.iter().map(|(_, value)| *value).collect::<Vec<_>>());
        let compiled = match self.compiled.entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(compile_ops(function, &bound, self.backend, &self.options)?),
        };
        let mut outputs: Vec<(usize, Array)> = vec![];
        for (slot, value) in compiled.run(&self.state, inputs)? {
            match slot {
                ResultSlot::State(state) => self.state[state] = value,
                ResultSlot::Output(output) => outputs.push((output, value)),
            }
        }
        outputs.sort_by_key(|(output, _)| *output);
        Ok(outputs.into_iter().map(|(_, value)| value).collect())
    }
}

impl Compiled {
    /// Dispatches all ops; returns the results, outputs in their order.
    fn run(&mut self, state: &[Array], inputs: &[&Array]) -> Result<Vec<(ResultSlot, Array)>, EagerError> {
        let Compiled { session, calls, arguments, results, values } = self;
        let mut borrowed: BTreeMap<usize, &Array> = BTreeMap::new();
        for &(place, argument) in arguments.iter() {
            let array = match argument {
                Argument::Input(input) => inputs.get(input).copied(),
                Argument::State(number) => state.get(number),
            };
            borrowed.extend(array.map(|array| (place, array)));
        }
        for call in calls.iter() {
            let operands: Vec<&Array> = call
                .inputs
                .iter()
                .filter_map(|place| borrowed.get(place).copied().or(values[*place].as_ref()))
                .collect();
            let mut computed = Vec::with_capacity(call.outputs.len());
            session.run_into(call.entry, &operands, &mut computed)?;
            for (&place, array) in call.outputs.iter().zip(computed) {
                values[place] = Some(array);
            }
        }
        let mut last_use: BTreeMap<usize, usize> = BTreeMap::new();
        results.iter().enumerate().for_each(|(number, (place, _))| {
            last_use.insert(*place, number);
        });
        let mut computed = Vec::with_capacity(results.len());
        for (number, &(place, slot)) in results.iter().enumerate() {
            let value = match borrowed.get(&place) {
                Some(array) => Some((*array).clone()),
                None if last_use[&place] == number => values[place].take(),
                None => values[place].clone(),
            };
            computed.extend(value.map(|value| (slot, value)));
        }
        values.iter_mut().for_each(|value| *value = None);
        Ok(computed)
    }
}

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
struct Ops {
    module: Module,
    /// Functions by the text of their graph: equal ops are compiled once.
    known: BTreeMap<String, usize>,
    /// The function, the places of its inputs and of its outputs.
    calls: Vec<(usize, Vec<usize>, Vec<usize>)>,
    /// The place of each tensor that is computed: by value and position in a tuple.
    places: BTreeMap<(Value, usize), usize>,
}

fn compile_ops(
    function: &Function,
    bound: &[(kc_ir::Symbol, i64)],
    backend: &dyn Backend,
    options: &SessionOptions,
) -> Result<Compiled, EagerError> {
    let failed = |error| CompileError::Graph { function: function.name.clone(), error };
    let value_of = |symbol: &kc_ir::Symbol| bound.iter().find(|(known, _)| known == symbol).map(|(_, value)| *value);
    let graph =
        differentiate(&function.graph).and_then(|graph| specialise(&simplify(&graph), &value_of)).map_err(failed)?;
    let mut ops = Ops { module: Module::default(), known: BTreeMap::new(), calls: vec![], places: BTreeMap::new() };
    for value in graph.values() {
        let node = graph.node(value);
        match &node.op {
            Op::Parameter(_) => {
                ops.place(value, 0);
            }
            Op::Projection(_) => {}
            op if is_part_of_reader(op) && !graph.results.contains(&value) => {}
            _ => ops.dispatch(&graph, value).map_err(failed)?,
        }
    }
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
    let calls = ops.calls.into_iter().map(|(number, inputs, outputs)| {
        Ok(Call { entry: session.entry(&ops.module.functions[number].name)?, inputs, outputs })
    });
    let calls = calls.collect::<Result<_, SessionError>>()?;
    let values = vec![None; ops.places.len()];
    Ok(Compiled { session, calls, arguments, results, values })
}

impl Ops {
    fn place(&mut self, value: Value, position: usize) -> usize {
        let next = self.places.len();
        *self.places.entry((value, position)).or_insert(next)
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
        self.calls.push((number, inputs, outputs));
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
