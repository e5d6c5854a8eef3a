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
    nodes(&function.graph, Locations::Shown, "  ", &mut text);
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
    nodes(graph, Locations::Shown, "  ", &mut text);
    text += &list("  return", graph.results.iter().map(Value::to_string));
    text += "}\n";
    text
}

/// The text of a graph without locations.
pub(in crate::tensor) fn region_text(graph: &Graph) -> String {
    let mut text = String::from("graph {\n");
    nodes(graph, Locations::Hidden, "  ", &mut text);
    text += &list("  return", graph.results.iter().map(Value::to_string));
    text += "}\n";
    text
}

/// Whether a text says where the user's program created what.
#[derive(Clone, Copy, PartialEq)]
enum Locations {
    Shown,
    Hidden,
}

/// A node as messages show it: its line in [`print_graph`], without what its regions do.
pub fn print_node(value: Value, node: &Node) -> String {
    let regions = node.op.operation().regions().iter().map(|_| " region {...}").collect::<String>();
    head_text(value, node) + &regions + &location_text(node)
}

/// The node's type, name, operands and attributes.
fn head_text(value: Value, node: &Node) -> String {
    let (mnemonic, attributes) = op_text(&node.op);
    let mut text = format!("{value}: {} = {mnemonic}", node.ty);
    for (i, operand) in node.operands.iter().enumerate() {
        write!(text, "{} {operand}", if i == 0 { "" } else { "," }).expect("writing to a String cannot fail");
    }
    if attributes != "{}" {
        text.push(' ');
        text += &attributes;
    }
    text
}

fn location_text(node: &Node) -> String {
    let Some(location) = &node.location else { return String::new() };
    let layer = if location.layer.is_empty() { String::new() } else { format!(", {}", json(&location.layer)) };
    format!(" at {}:{}{layer}", json(&location.file), location.line)
}

fn node_text(value: Value, node: &Node, locations: Locations, indentation: &str) -> String {
    let mut text = head_text(value, node);
    for region in node.op.operation().regions() {
        text += " region {\n";
        let inner = format!("{indentation}  ");
        nodes(region.graph(), locations, &inner, &mut text);
        text += &list(&format!("{inner}return"), region.graph().results.iter().map(Value::to_string));
        text += &format!("{indentation}}}");
    }
    if locations == Locations::Shown {
        text += &location_text(node);
    }
    text
}

fn nodes(graph: &Graph, locations: Locations, indentation: &str, text: &mut String) {
    for (value, node) in graph.values().zip(&graph.nodes) {
        text.push_str(indentation);
        text.push_str(&node_text(value, node, locations, indentation));
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
