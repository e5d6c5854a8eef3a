//! Control flow: building, text, types and values.

use kc_ir::tensor::ops::*;
use kc_ir::tensor::text::{parse_graph, print_graph};
use kc_ir::tensor::{
    Builder, Graph, InterpretOptions, Literal, Scalar, ScanOptions, TypeError, interpret, interpret_with, verify,
};
use kc_ir::{DType, Dim, TensorType};

fn f32s(shape: &[usize], values: impl IntoIterator<Item = f64>) -> Literal {
    Literal::from_scalars(DType::F32, shape.to_vec(), values.into_iter().map(Scalar::Float))
}

fn floats(literal: &Literal) -> Vec<f64> {
    literal.scalars().map(Scalar::to_f64).collect()
}

/// `c' = c*w + x[t]`, outputs `c'` and `x[t] - c`, over T elements.
fn recurrence(reverse: bool) -> Graph {
    let mut b = Builder::new();
    let c = b.parameter("c", TensorType::new(DType::F32, [2i64])).unwrap();
    let x = b.parameter("x", TensorType::new(DType::F32, [Dim::symbol("T"), Dim::constant(2)])).unwrap();
    let w = b.parameter("w", TensorType::new(DType::F32, [2i64])).unwrap();
    let scanned = b
        .scan::<TypeError>(&[c], &[x], &ScanOptions { reverse, ..Default::default() }, |b, carried, elements| {
            let product = b.binary(Binary::Multiply, carried[0], w)?;
            let next = b.binary(Binary::Add, product, elements[0])?;
            let difference = b.binary(Binary::Subtract, elements[0], carried[0])?;
            Ok((vec![next], vec![next, difference]))
        })
        .unwrap();
    b.finish([scanned.carried, scanned.outputs].concat())
}

#[test]
fn a_scan_is_printed_like_this_and_read_back() {
    let expected = r#"graph {
  %0: f32[2] = parameter {"index":0,"name":"c","ty":{"dtype":"f32","shape":[2]}}
  %1: f32[T, 2] = parameter {"index":1,"name":"x","ty":{"dtype":"f32","shape":["T",2]}}
  %2: f32[2] = parameter {"index":2,"name":"w","ty":{"dtype":"f32","shape":[2]}}
  %3: (f32[2], f32[T, 2], f32[T, 2]) = scan %0, %1, %2 {"carried":1,"sequences":1,"length":"T","reverse":false} region {
    %0: f32[2] = parameter {"index":0,"name":"operand","ty":{"dtype":"f32","shape":[2]}}
    %1: f32[2] = parameter {"index":1,"name":"operand","ty":{"dtype":"f32","shape":[2]}}
    %2: f32[2] = parameter {"index":2,"name":"capture","ty":{"dtype":"f32","shape":[2]}}
    %3: f32[2] = multiply %0, %2
    %4: f32[2] = add %3, %1
    %5: f32[2] = subtract %1, %0
    return %4, %4, %5
  }
  %4: f32[2] = projection %3 {"index":0}
  %5: f32[T, 2] = projection %3 {"index":1}
  %6: f32[T, 2] = projection %3 {"index":2}
  return %4, %5, %6
}
"#;
    let graph = recurrence(false);
    assert_eq!(print_graph(&graph), expected);
    assert_eq!(parse_graph(expected).unwrap(), graph);
}

#[test]
fn a_scan_goes_forward_and_backward() {
    let arguments = [f32s(&[2], [1.0, 2.0]), f32s(&[3, 2], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), f32s(&[2], [2.0, -1.0])];
    let forward: Vec<_> = interpret(&recurrence(false), &arguments).unwrap().iter().map(floats).collect();
    // t = 0: (3, 0); t = 1: (9, 4); t = 2: (23, 2)
    assert_eq!(forward[0], [23.0, 2.0]);
    assert_eq!(forward[1], [3.0, 0.0, 9.0, 4.0, 23.0, 2.0]);
    let backward: Vec<_> = interpret(&recurrence(true), &arguments).unwrap().iter().map(floats).collect();
    // t = 2: (7, 4); t = 1: (17, 0); t = 0: (35, 2)
    assert_eq!(backward[0], [35.0, 2.0]);
    assert_eq!(backward[1], [35.0, 2.0, 17.0, 0.0, 7.0, 4.0]);
    assert_eq!(backward[2], [-16.0, 2.0, -4.0, 0.0, 4.0, 4.0]);
}

#[test]
fn a_loop_without_an_end_stops_at_the_limit() {
    let mut b = Builder::new();
    let x = b.parameter("x", TensorType::scalar(DType::F32)).unwrap();
    let never = b
        .while_loop::<TypeError>(
            &[x],
            |b, carried| b.compare(Compare::Equal, carried[0], carried[0]),
            |_, carried| Ok(carried.to_vec()),
        )
        .unwrap();
    let graph = b.finish(never);
    let options = InterpretOptions { round_limit: 1000 };
    let error = interpret_with(&graph, &[f32s(&[], [1.0])], &options).unwrap_err().to_string();
    assert!(error.ends_with(": its loops take more rounds than they may"), "{error}");
}

/// The error of a graph's text.
fn error(text: &str) -> String {
    parse_graph(text).unwrap_err().message
}

#[test]
fn regions_that_do_not_fit_say_what_was_given_and_what_was_expected() {
    let graph = print_graph(&recurrence(false));
    for (from, to, message) in [
        ("scan %0, %1, %2", "scan %0, %1", "scan: its body takes 3 values, 2 are given"),
        ("scan %0, %1, %2", "scan %1, %1, %2", "scan: operand 0 is f32[T, 2], but its body takes f32[2] there"),
        ("scan %0, %1, %2", "scan %0, %0, %2", "scan: sequence 0 is f32[2], expected the leading extent T"),
        ("return %4, %4, %5", "return", "scan: its body gives 0 values, but it carries 1"),
        ("scan %0, %1, %2", "while %0, %1, %2", "unknown field `sequences`, expected `carried`"),
        (" region {", " region {\n    return\n  } region {", "scan does not take 2 regions"),
        ("scan %0, %1, %2", "cond %0, %1, %2", "unknown field `carried`, there are no fields"),
        ("    %4: f32[2] = add %3, %1", "    %4: f32[2] = add %3, %9", "%9 is not defined above"),
        ("    return %4, %4, %5\n  }", "    return %4, %4, %5\n", "expected `}`, found `%4:`"),
    ] {
        assert!(graph.contains(from), "{from}");
        assert_eq!(error(&graph.replacen(from, to, 1)), message, "{from} -> {to}");
    }
    let mut b = Builder::new();
    let x = b.parameter("x", TensorType::new(DType::F32, [2i64])).unwrap();
    let p = b.parameter("p", TensorType::scalar(DType::Bool)).unwrap();
    let wrong = |result: Result<Vec<_>, TypeError>| result.unwrap_err().to_string();
    assert_eq!(
        wrong(b.cond(x, |_| Ok(vec![x]), |_| Ok(vec![x]))),
        "cond: the index is f32[2], expected a bool or integer scalar"
    );
    assert_eq!(
        wrong(b.cond(p, |_| Ok(vec![x]), |_| Ok(vec![p]))),
        "cond: branch 0 gives (bool[]), branch 1 gives (f32[2]); expected equal types"
    );
    assert_eq!(
        wrong(b.while_loop(&[x], |_, carried| Ok(carried[0]), |_, carried| Ok(carried.to_vec()))),
        "while: its condition gives (f32[2]), expected one bool[]"
    );
    assert_eq!(
        wrong(b.while_loop(&[x], |_, _| Ok(p), |_, _| Ok(vec![p]))),
        "while: carried value 0 is f32[2], but its body gives bool[]; expected equal types"
    );
    assert_eq!(
        wrong(b.scan(&[x], &[], &ScanOptions::default(), |_, _, _| Ok((vec![], vec![]))).map(|s| s.carried)),
        "scan: expected the number of rounds, or a sequence with a leading axis to take it from"
    );
    // a region that failed leaves nothing behind
    let y = b.unary(Unary::Negate, x).unwrap();
    let graph = b.finish(vec![y]);
    assert_eq!(verify(&graph), Ok(()));
    assert_eq!(graph.nodes.len(), 3);
}

#[test]
fn regions_in_regions_read_what_is_around_them() {
    // a parameter that is added in a region is one of the graph
    let mut b = Builder::new();
    let x = b.parameter("x", TensorType::new(DType::F64, [3i64, 2])).unwrap();
    let scanned = b
        .scan::<TypeError>(&[], &[x], &ScanOptions::default(), |b, _, elements| {
            let row = elements[0];
            let w = b.parameter("w", TensorType::new(DType::F64, [2i64]))?;
            let scaled = b.binary(Binary::Multiply, row, w)?;
            let sum = b.reduce(Reduction::Sum, &[0], scaled)?;
            let zero = b.splat_like(0.0, sum)?;
            let positive = b.compare(Compare::Greater, sum, zero)?;
            let chosen =
                b.cond::<TypeError>(positive, |_| Ok(vec![row]), |b| Ok(vec![b.binary(Binary::Add, scaled, w)?]))?;
            Ok((vec![], chosen))
        })
        .unwrap();
    let graph = b.finish(scanned.outputs);
    assert_eq!(verify(&graph), Ok(()));
    assert_eq!(parse_graph(&print_graph(&graph)).unwrap(), graph);
    let f64s = |shape: &[usize], values: &[f64]| {
        Literal::from_scalars(DType::F64, shape.to_vec(), values.iter().map(|&x| Scalar::Float(x)))
    };
    let arguments = [f64s(&[3, 2], &[1.0, 2.0, -1.0, -2.0, 3.0, -4.0]), f64s(&[2], &[2.0, 1.0])];
    let results = interpret(&graph, &arguments).unwrap();
    assert_eq!(floats(&results[0]), [1.0, 2.0, 0.0, -1.0, 3.0, -4.0]);
}
