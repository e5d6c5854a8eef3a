//! Every op's text form is read back exactly, and broken texts are errors.

mod cases;

use kc_ir::tensor::ops::{Gradient, Op};
use kc_ir::tensor::text::{parse_graph, print_graph};
use kc_ir::tensor::{Builder, Graph, Value, interpret};

fn graphs() -> Vec<Graph> {
    let graph = |case: cases::Case| {
        let mut b = Builder::new();
        let operands: Vec<Value> =
            case.operands.iter().map(|operand| b.parameter("x", operand.ty()).unwrap()).collect();
        let value = match case.op {
            Op::Parameter(parameter) => b.parameter(&parameter.name, parameter.ty).unwrap(),
            op => b.add(op, &operands).unwrap(),
        };
        let results = b.projections(value).unwrap();
        b.finish(results)
    };
    cases::all().into_iter().map(graph).collect()
}

#[test]
fn every_op_is_printed_under_its_name_and_read_back() {
    for graph in graphs() {
        let text = print_graph(&graph);
        assert_eq!(parse_graph(&text).as_ref(), Ok(&graph), "{text}");
        for node in &graph.nodes {
            let mnemonic = format!(" = {}", node.op.operation().name());
            assert!(text.contains(&mnemonic), "{mnemonic} is not in {text}");
        }
    }
}

#[test]
fn every_op_is_evaluated_and_its_results_have_their_types() {
    for case in cases::all() {
        if matches!(case.op, Op::Parameter(_) | Op::Gradient(Gradient {})) {
            continue;
        }
        let mut b = Builder::new();
        let operands: Vec<Value> =
            case.operands.iter().map(|operand| b.parameter("x", operand.ty()).unwrap()).collect();
        let value = b.add(case.op.clone(), &operands).unwrap();
        let results = b.projections(value).unwrap();
        let graph = b.finish(results.clone());
        let values = interpret(&graph, &case.operands).unwrap_or_else(|error| panic!("{}: {error}", case.name));
        for (value, result) in values.iter().zip(results) {
            assert_eq!(value.ty(), *graph.tensor_type(result), "{}", case.name);
        }
    }
}

/// Bytes that texts are broken with.
const BYTES: &[u8] = b"%0123456789-[](){},:\"=/*+ \n_abcfx\\\x80";

#[test]
fn broken_texts_are_errors_or_other_graphs_but_no_panic() {
    let mut state = 1u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % below
    };
    for graph in graphs() {
        let text = print_graph(&graph).into_bytes();
        for _ in 0..60 {
            let mut broken = text.clone();
            for _ in 0..1 + random(3) {
                let position = random(broken.len());
                match random(4) {
                    0 => drop(broken.remove(position)),
                    1 => broken[position] = BYTES[random(BYTES.len())],
                    2 => broken.insert(position, BYTES[random(BYTES.len())]),
                    _ => {
                        let end = (position + random(40)).min(broken.len());
                        let copy = broken[position..end].to_vec();
                        broken.splice(position..position, copy);
                    }
                }
            }
            if let Ok(graph) = parse_graph(&String::from_utf8_lossy(&broken)) {
                assert_eq!(parse_graph(&print_graph(&graph)).as_ref(), Ok(&graph));
            }
        }
    }
}
