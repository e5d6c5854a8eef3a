use super::{Argument, Function, Graph, Module, Op, ResultSlot, Type, Value};
use kc_abi::TensorType;
use std::collections::BTreeSet;
use thiserror::Error;

/// A graph that breaks a law of the IR.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{place}: {message}")]
pub struct VerifyError {
    /// The node's line in the text form, or the function's name.
    pub place: String,
    /// What is wrong there.
    pub message: String,
}

/// Checks the laws of a graph: each operand is computed before, each type is that of the op's type rule, parameter `i` is the
/// node [`Op::Parameter`] of index `i`, results exist and are tensors; and those of each region.
pub fn verify(graph: &Graph) -> Result<(), VerifyError> {
    let mut parameters = 0;
    for (value, node) in graph.values().zip(&graph.nodes) {
        let wrong = |message: String| VerifyError { place: super::text::print_node(value, node), message };
        if let Some(operand) = node.operands.iter().find(|operand| **operand >= value) {
            return Err(wrong(format!("{operand} is not computed before")));
        }
        let types: Vec<&Type> = node.operands.iter().map(|&operand| &graph.node(operand).ty).collect();
        let inferred = node.op.infer(&types).map_err(|error| {
            let given: Vec<String> = types.iter().map(|ty| ty.to_string()).collect();
            wrong(format!("{error}; its operands are ({})", given.join(", ")))
        })?;
        if inferred != node.ty {
            return Err(wrong(format!("the type is {inferred}, the node says {}", node.ty)));
        }
        for region in node.op.operation().regions() {
            verify(region.graph()).map_err(|error| VerifyError {
                place: format!("{}: {}", node.op.operation().name(), error.place),
                message: error.message,
            })?;
        }
        if let Op::Parameter(parameter) = &node.op {
            parameters += 1;
            if graph.parameters.get(parameter.index) != Some(&value) {
                return Err(wrong(format!("the graph's parameter {} is not this node", parameter.index)));
            }
        }
    }
    let wrong = |message: String| VerifyError { place: "graph".into(), message };
    if parameters != graph.parameters.len() {
        return Err(wrong(format!("it has {} parameters, but {parameters} parameter nodes", graph.parameters.len())));
    }
    for &result in &graph.results {
        match graph.nodes.get(result.index()).map(|node| &node.ty) {
            Some(Type::Tensor(_)) => {}
            Some(ty) => return Err(wrong(format!("the result {result} is the tuple {ty}, expected a tensor"))),
            None => return Err(wrong(format!("the result {result} is no node"))),
        }
    }
    Ok(())
}

/// Checks a function's graph, and that its parameters and results have the types of the state, inputs and outputs that they are
/// bound to; each output must be given once.
pub fn verify_function(module: &Module, function: &Function) -> Result<(), VerifyError> {
    verify(&function.graph)?;
    let wrong = |message: String| VerifyError { place: format!("function {:?}", function.name), message };
    let check = |what: &str, position: usize, value: Value, slot: &str, expected: Option<&TensorType>| {
        let given = function.graph.tensor_type(value);
        match expected {
            Some(expected) if expected == given => Ok(()),
            Some(expected) => Err(wrong(format!("{what} {position} is {given}, but {slot} is {expected}"))),
            None => Err(wrong(format!("{what} {position} is bound to {slot}, which is not there"))),
        }
    };
    let graph = &function.graph;
    for (what, of_graph, bound) in [
        ("parameters", graph.parameters.len(), function.arguments.len()),
        ("results", graph.results.len(), function.results.len()),
    ] {
        if of_graph != bound {
            return Err(wrong(format!("the graph has {of_graph} {what}, but {bound} of them are bound")));
        }
    }
    for (position, (&value, argument)) in graph.parameters.iter().zip(&function.arguments).enumerate() {
        match *argument {
            Argument::State(index) => {
                let expected = module.state.get(index).map(|state| &state.ty);
                check("parameter", position, value, &format!("state {index}"), expected)?;
            }
            Argument::Input(index) => {
                let expected = function.inputs.get(index).map(|input| &input.ty);
                check("parameter", position, value, &format!("input {index}"), expected)?;
            }
        }
    }
    let mut written = BTreeSet::new();
    for (position, (&value, slot)) in graph.results.iter().zip(&function.results).enumerate() {
        if !written.insert(*slot) {
            return Err(wrong(format!("result {position} gives {slot:?} a second value")));
        }
        match *slot {
            ResultSlot::State(index) => {
                let expected = module.state.get(index).map(|state| &state.ty);
                check("result", position, value, &format!("state {index}"), expected)?;
            }
            ResultSlot::Output(index) => {
                let expected = function.outputs.get(index).map(|output| &output.ty);
                check("result", position, value, &format!("output {index}"), expected)?;
            }
        }
    }
    match (0..function.outputs.len()).find(|&index| !written.contains(&ResultSlot::Output(index))) {
        Some(missing) => Err(wrong(format!("output {missing} is not given a value"))),
        None => Ok(()),
    }
}

/// Checks every function; the names of the functions and of the state tensors must be unique, and state has no symbols.
pub fn verify_module(module: &Module) -> Result<(), VerifyError> {
    let wrong = |place: &str, message: &str| VerifyError { place: place.into(), message: message.into() };
    for (i, state) in module.state.iter().enumerate() {
        if state.ty.constant_shape().is_none() {
            return Err(wrong(&format!("state {i}"), "its shape has symbols"));
        }
    }
    let mut names: Vec<&str> = module.state.iter().map(|state| state.name.as_str()).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(wrong(pair[0], "two state tensors have this name"));
    }
    let mut names = BTreeSet::new();
    for function in &module.functions {
        if !names.insert(&function.name) {
            return Err(wrong(&function.name, "two functions have this name"));
        }
        verify_function(module, function)?;
    }
    Ok(())
}
