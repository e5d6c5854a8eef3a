//! Graphs as Graphviz text, for people.

use kc_ir::tensor::{Graph, Op};
use std::fmt::Write;

/// The graph in Graphviz' `dot` language: a box an op with its name, type and layer, an ellipse a parameter or result, plain text a
/// constant.
pub fn dot(graph: &Graph) -> String {
    let mut text = String::from("digraph {\n  rankdir=TB; node [shape=box, fontname=\"monospace\", fontsize=10];\n");
    for (value, node) in graph.values().zip(&graph.nodes) {
        let index = value.index();
        let (label, shape) = match &node.op {
            Op::Parameter(parameter) => (parameter.name.clone(), ", shape=ellipse"),
            Op::Constant(constant) => {
                let label = constant.value.splat_value().map_or("constant".to_string(), |x| x.to_f64().to_string());
                (label, ", shape=plaintext")
            }
            op => (op.operation().name().to_string(), ""),
        };
        let layer = node.location.as_ref().map(|location| location.layer.as_str()).filter(|layer| !layer.is_empty());
        let layer = layer.map(|layer| format!("\\n{}", escaped(layer))).unwrap_or_default();
        let ty = node.ty.to_string();
        let _ = writeln!(text, "  n{index} [label=\"{}\\n{}{layer}\"{shape}];", escaped(&label), escaped(&ty));
        for operand in &node.operands {
            let _ = writeln!(text, "  n{} -> n{index};", operand.index());
        }
    }
    for (position, result) in graph.results.iter().enumerate() {
        let _ = writeln!(text, "  r{position} [label=\"result {position}\", shape=ellipse];");
        let _ = writeln!(text, "  n{} -> r{position};", result.index());
    }
    text.push_str("}\n");
    text
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
