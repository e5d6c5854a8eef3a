//! The text form is read back exactly, and a text that is none is an error with its place.

use kc_ir::manifest::{Input, InputRole, ModelInfo, Output, StateRole, StateTensor};
use kc_ir::tensor::ops::*;
use kc_ir::tensor::text::{parse_graph, parse_module, print_graph, print_module};
use kc_ir::tensor::{Argument, Builder, Function, Graph, Literal, Location, Module, ResultSlot, Scalar};
use kc_ir::{DType, Dim, TensorType};
use std::sync::Arc;

fn classifier() -> Graph {
    let mut b = Builder::new();
    let x = b.parameter("x", TensorType::new(DType::F32, [Dim::symbol("B"), Dim::constant(3)])).unwrap();
    let w = b.parameter("a \"name\"\n%0", TensorType::new(DType::F32, [3i64, 2])).unwrap();
    b.set_location(Some(Arc::new(Location { file: "dir/model \"x\".rs".into(), line: 7, layer: "dense".into() })));
    let y = b.matmul(x, w).unwrap();
    b.set_location(Some(Arc::new(Location { file: "model.rs".into(), line: 8, layer: String::new() })));
    let y = b.add(kc_ir::tensor::composites::Softmax { axis: 1 }, &[y]).unwrap();
    b.set_location(None);
    let y = b.unary(Unary::Negate, y).unwrap();
    b.finish(vec![y, x])
}

#[test]
fn a_graph_is_printed_like_this() {
    let expected = r#"graph {
  %0: f32[B, 3] = parameter {"index":0,"name":"x","ty":{"dtype":"f32","shape":["B",3]}}
  %1: f32[3, 2] = parameter {"index":1,"name":"a \"name\"\n%0","ty":{"dtype":"f32","shape":[3,2]}}
  %2: f32[B, 2] = dot_general %0, %1 {"lhs_batch":[],"rhs_batch":[],"lhs_contract":[1],"rhs_contract":[0]} at "dir/model \"x\".rs":7, "dense"
  %3: f32[B, 2] = softmax %2 {"axis":1} at "model.rs":8
  %4: f32[B, 2] = negate %3
  return %4, %0
}
"#;
    assert_eq!(print_graph(&classifier()), expected);
    assert_eq!(parse_graph(expected).unwrap(), classifier());
}

#[test]
fn a_module_is_read_back() {
    let module = module();
    let text = print_module(&module);
    assert_eq!(parse_module(&text).unwrap(), module, "{text}");
    // a module whose parts do not fit together is refused
    let error = parse_module(&text.replace("state 0", "state 1")).unwrap_err();
    assert_eq!(error.message, "function \"predict\": parameter 1 is bound to state 1, which is not there");
}

#[test]
fn constants_are_read_back_bit_for_bit() {
    let mut b = Builder::new();
    let mut results = vec![];
    let floats =
        [0.0, -0.0, 0.1, 1.0, -2.5e-40, 3.4e38, 1e300, 5e-324, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, -f64::NAN];
    for dtype in [DType::F64, DType::F32, DType::F16, DType::Bf16] {
        let literal = Literal::from_scalars(dtype, vec![4, 3], floats.map(Scalar::Float));
        results.push(b.constant(literal).unwrap());
    }
    results.push(
        b.constant(Literal::from_bytes(DType::F32, vec![2], 0x7f80_0001_ffff_ffffu64.to_le_bytes().to_vec()).unwrap())
            .unwrap(),
    );
    for (dtype, values) in [
        (DType::I64, [i64::MIN as i128, i64::MAX as i128]),
        (DType::U64, [0, u64::MAX as i128]),
        (DType::I8, [-128, 127]),
        (DType::Bool, [0, 1]),
    ] {
        results.push(b.constant(Literal::from_scalars(dtype, vec![2], values.map(Scalar::Int))).unwrap());
    }
    results.push(b.constant(Literal::from_scalars(DType::F32, vec![0, 2], [])).unwrap());
    let graph = b.finish(results);
    let text = print_graph(&graph);
    assert_eq!(parse_graph(&text).unwrap(), graph, "{text}");
}

/// A module with a state tensor and one function.
fn module() -> Module {
    let mut module = Module { model: ModelInfo { name: "mlp".into(), ..ModelInfo::default() }, ..Module::default() };
    let ty = TensorType::new(DType::F32, [3i64, 2]);
    module.state.push(StateTensor { name: "dense/kernel".into(), role: StateRole::Trainable, ty });
    let x = TensorType::new(DType::F32, [Dim::symbol("B"), Dim::constant(3)]);
    let y = TensorType::new(DType::F32, [Dim::symbol("B"), Dim::constant(2)]);
    module.functions.push(Function {
        name: "predict".into(),
        inputs: vec![Input { name: "x".into(), role: InputRole::Feature, ty: x.clone(), checks: vec![] }],
        outputs: vec![Output { name: "same".into(), ty: x }, Output { name: "y".into(), ty: y }],
        arguments: vec![Argument::Input(0), Argument::State(0)],
        results: vec![ResultSlot::Output(1), ResultSlot::Output(0)],
        graph: classifier(),
    });
    module
}

#[test]
fn modules_that_are_cut_anywhere_are_errors() {
    let text = print_module(&module());
    let end = text.trim_end().len();
    let function = text.find("function").unwrap();
    for length in (0..end).filter(|&length| text.is_char_boundary(length)) {
        // a module may have no function and no state, but not half of one
        let cut = &text[..length];
        let whole = length > 0 && length <= function && (cut.ends_with('\n') || text[length..].starts_with('\n'));
        assert_eq!(parse_module(cut).is_ok(), whole, "{cut}");
    }
}

/// The message, line and column of the error of reading a text.
fn error(text: &str) -> String {
    match parse_graph(text) {
        Ok(graph) => panic!("read as {}", print_graph(&graph)),
        Err(error) => error.to_string(),
    }
}

#[test]
fn an_error_shows_the_line_and_the_place() {
    assert_eq!(
        error("graph {\n  %x: f32[2 = parameter\n"),
        "line 2, column 11: expected `]` after the extents, found `2`\n  |   %x: f32[2 = parameter\n  |           ^"
    );
}

#[test]
fn hostile_texts_are_errors_without_a_panic() {
    let deep = "[".repeat(200_000);
    for text in [
        String::new(),
        "graph".into(),
        "graph {".into(),
        "graph {\n%0: f32[] = constant {\"value\":".into(),
        format!("graph {{\n%0: f32[] = constant {deep}\nreturn\n}}"),
        format!("graph {{\n%0: f32[] = constant {{\"value\":{deep}}}\nreturn\n}}"),
        format!("graph {{\n%0: f32[{}] = parameter\nreturn\n}}", "(".repeat(200_000)),
        format!("graph {{\n%0: {} = parameter\nreturn\n}}", "(".repeat(200_000)),
        "graph {\n%0: f32[] = iota {\"ty\":{\"dtype\":\"f32\",\"shape\":[]},\"axis\":18446744073709551615}\nreturn\n}".into(),
        "graph {\n%0: f32[2] = negate %0\nreturn\n}".into(),
        "graph {\n%0: f32[] = constant {\"value\":{\"type\":\"f32\",\"shape\":[9223372036854775807,4],\"data\":[]}}\nreturn\n}".into(),
        "graph {\n%0: f32[] = parameter {\"index\":18446744073709551615,\"name\":\"\",\"ty\":{\"dtype\":\"f32\",\"shape\":[]}}\nreturn\n}".into(),
        "graph {\n%0: f32[4] = parameter {\"index\":0,\"name\":\"\",\"ty\":{\"dtype\":\"f32\",\"shape\":[4]}}\n%1: f32[] = constant {\"value\":{\"type\":\"f32\",\"shape\":[],\"data\":[0]}}\n%2: f32[4] = pad %0, %1 {\"low\":[9223372036854775807],\"high\":[1],\"interior\":[9223372036854775807]}\nreturn\n}".into(),
        "graph {\nreturn\n} more".into(),
        "graph {\nreturn\n}\nmore".into(),
        "graph {\n%é: f32[] = ü\nreturn\n}".into(),
    ] {
        error(&text);
    }
}
