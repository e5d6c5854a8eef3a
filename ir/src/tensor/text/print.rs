use crate::tensor::{Argument, Function, Graph, Module, Node, Op, ResultSlot, Value};
use serde::Serialize;
use std::fmt::Write;

/// The text of a module.
pub fn print_module(module: &Module) -> String {
    let mut text = format!("module {}\n", json(&module.model));
    for state in &module.state {
        text += &format!("state {}\n", json(state));
    }
    for function in &module.functions {
        text.push('\n');
        text += &print_function(function);
    }
    text
}

/// The text of a function.
pub fn print_function(function: &Function) -> String {
    let mut text = format!("function {} {{\n", json(&function.name));
    for input in &function.inputs {
        text += &format!("  input {}\n", json(input));
    }
    for output in &function.outputs {
        text += &format!("  output {}\n", json(output));
    }
    let arguments = function.arguments.iter().map(|argument| match argument {
        Argument::State(index) => format!("state {index}"),
        Argument::Input(index) => format!("input {index}"),
    });
    text += &list("  arguments", arguments);
    nodes(&function.graph, &mut text);
    // a function that is not verified may have results without slots: the longer list decides
    let slots = function.results.iter().map(|slot| match slot {
        ResultSlot::State(index) => format!(" as state {index}"),
        ResultSlot::Output(index) => format!(" as output {index}"),
    });
    let results = function.graph.results.iter().zip(slots).map(|(value, slot)| format!("{value}{slot}"));
    text += &list("  return", results);
    text += "}\n";
    text
}

/// The text of a graph.
pub fn print_graph(graph: &Graph) -> String {
    let mut text = String::from("graph {\n");
    nodes(graph, &mut text);
    text += &list("  return", graph.results.iter().map(Value::to_string));
    text += "}\n";
    text
}

/// The text of a node: the line of [`print_graph`] without indentation and line end.
pub fn print_node(value: Value, node: &Node) -> String {
    let (mnemonic, attributes) = op_text(&node.op);
    let mut text = format!("{value}: {} = {mnemonic}", node.ty);
    for (i, operand) in node.operands.iter().enumerate() {
        write!(text, "{} {operand}", if i == 0 { "" } else { "," }).expect("writing to a String cannot fail");
    }
    if attributes != "{}" {
        text.push(' ');
        text += &attributes;
    }
    if let Some(location) = &node.location {
        text += &format!(" at {}:{}", json(&location.file), location.line);
        if !location.layer.is_empty() {
            text += &format!(", {}", json(&location.layer));
        }
    }
    text
}

fn nodes(graph: &Graph, text: &mut String) {
    for (value, node) in graph.values().zip(&graph.nodes) {
        text.push_str("  ");
        text.push_str(&print_node(value, node));
        text.push('\n');
    }
}

fn list(keyword: &str, items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    format!("{keyword}{}{}\n", if items.is_empty() { "" } else { " " }, items.join(", "))
}

/// The mnemonic and the attributes (`{}` for none) of an op, from its serialised form `{"mnemonic":{...}}`.
pub(super) fn op_text(op: &Op) -> (String, String) {
    match op {
        Op::Unary(function) => (function.text().into(), "{}".into()),
        Op::Binary(function) => (function.text().into(), "{}".into()),
        Op::Compare(function) => (function.text().into(), "{}".into()),
        Op::Composite(composite) => tagged(&json(composite)),
        op => tagged(&json(op)),
    }
}

/// Takes `{"tag":value}` apart.
fn tagged(text: &str) -> (String, String) {
    let parts =
        text.strip_prefix("{\"").and_then(|rest| rest.strip_suffix('}')).and_then(|rest| rest.split_once("\":"));
    let (tag, value) = parts.expect("an op is serialised as an object with its tag");
    (tag.into(), value.into())
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("ops and manifests have only text keys")
}
