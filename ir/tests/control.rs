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
