//! What breaks a law of the IR is named with its place.

use kc_ir::manifest::{Input, InputRole, Output, StateRole, StateTensor};
use kc_ir::tensor::ops::*;
use kc_ir::tensor::{Argument, Builder, Function, Graph, Module, ResultSlot, Type, Value, verify, verify_module};
use kc_ir::{DType, TensorType};

/// `%0` is a parameter, `%1` its negation, the result.
fn graph() -> Graph {
    let mut b = Builder::new();
    let x = b.parameter("x", TensorType::new(DType::F32, [2i64])).unwrap();
    let y = b.unary(Unary::Negate, x).unwrap();
    b.finish(vec![y])
}

/// The error of a graph after a change.
fn error(change: impl FnOnce(&mut Graph)) -> String {
    let mut graph = graph();
    assert_eq!(verify(&graph), Ok(()));
    change(&mut graph);
    verify(&graph).unwrap_err().to_string()
}

#[test]
fn an_operand_must_come_before() {
    let message = error(|graph| graph.nodes[1].operands[0] = Value(1));
    assert_eq!(message, "%1: f32[2] = negate %1: %1 is not computed before");
    let message = error(|graph| graph.nodes[1].operands[0] = Value(7));
    assert_eq!(message, "%1: f32[2] = negate %7: %7 is not computed before");
}

#[test]
fn a_type_must_be_that_of_the_type_rule() {
    let message = error(|graph| graph.nodes[1].ty = Type::Tensor(TensorType::new(DType::F32, [3i64])));
    assert_eq!(message, "%1: f32[3] = negate %0: the type is f32[2], the node says f32[3]");
    let message = error(|graph| graph.nodes[1].op = Op::Unary(Unary::Not));
    assert_eq!(
        message,
        "%1: f32[2] = not %0: not: got f32, expected an integer type or bool; its operands are (f32[2])"
    );
}

#[test]
fn parameters_and_results_must_be_nodes() {
    let message = error(|graph| graph.parameters.push(Value(1)));
    assert_eq!(message, "graph: it has 2 parameters, but 1 parameter nodes");
    let message = error(|graph| graph.parameters.clear());
    assert!(message.ends_with("the graph's parameter 0 is not this node"), "{message}");
    let message = error(|graph| graph.results[0] = Value(2));
    assert_eq!(message, "graph: the result %2 is no node");
}

/// A module with one state tensor `w`, one input and one output, all f32[2].
fn module() -> Module {
    let ty = TensorType::new(DType::F32, [2i64]);
    Module {
        state: vec![StateTensor { name: "w".into(), role: StateRole::Trainable, ty: ty.clone() }],
        functions: vec![Function {
            name: "predict".into(),
            inputs: vec![Input { name: "x".into(), role: InputRole::Feature, ty: ty.clone(), checks: vec![] }],
            outputs: vec![Output { name: "y".into(), ty }],
            arguments: vec![Argument::Input(0)],
            results: vec![ResultSlot::Output(0)],
            graph: graph(),
        }],
        ..Module::default()
    }
}

fn module_error(change: impl FnOnce(&mut Module)) -> String {
    let mut module = module();
    assert_eq!(verify_module(&module), Ok(()));
    change(&mut module);
    verify_module(&module).unwrap_err().to_string()
}

#[test]
fn a_function_must_fit_to_its_module() {
    let message = module_error(|module| module.functions[0].arguments[0] = Argument::State(3));
    assert_eq!(message, "function \"predict\": parameter 0 is bound to state 3, which is not there");
    let message = module_error(|module| module.functions[0].outputs[0].ty = TensorType::scalar(DType::F32));
    assert_eq!(message, "function \"predict\": result 0 is f32[2], but output 0 is f32[]");
    let message = module_error(|module| module.functions[0].results[0] = ResultSlot::State(0));
    assert_eq!(message, "function \"predict\": output 0 is not given a value");
    let message = module_error(|module| module.functions[0].arguments.clear());
    assert_eq!(message, "function \"predict\": the graph has 1 parameters, but 0 of them are bound");
    let message = module_error(|module| {
        module.functions[0].graph.results.push(Value(0));
        module.functions[0].results.push(ResultSlot::Output(0));
    });
    assert_eq!(message, "function \"predict\": result 1 gives Output(0) a second value");
}

#[test]
fn names_are_unique_and_state_has_no_symbols() {
    let message = module_error(|module| module.functions.push(module.functions[0].clone()));
    assert_eq!(message, "predict: two functions have this name");
    let message = module_error(|module| module.state.push(module.state[0].clone()));
    assert_eq!(message, "w: two state tensors have this name");
    let message = module_error(|module| module.state[0].ty.shape[0] = kc_ir::Dim::symbol("B"));
    assert_eq!(message, "state 0: its shape has symbols");
}
