//! Graphs as Graphviz text.

use kc_ir::tensor::ops::{Binary, Unary};
use kc_ir::tensor::{Builder, Location};
use kc_ir::{DType, Dim, TensorType};
use kc_passes::dot;
use std::sync::Arc;

#[test]
fn a_graph_is_boxes_and_arrows() {
    let mut b = Builder::new();
    let x = b.parameter("x \"quoted\"", TensorType::new(DType::F32, [Dim::symbol("B")])).unwrap();
    b.set_location(Some(Arc::new(Location { file: "model.rs".into(), line: 1, layer: "hidden".into() })));
    let two = b.splat_like(2.0, x).unwrap();
    let doubled = b.binary(Binary::Multiply, x, two).unwrap();
    let e = b.unary(Unary::Exp, doubled).unwrap();
    let expected = r#"digraph {
  rankdir=TB; node [shape=box, fontname="monospace", fontsize=10];
  n0 [label="x \"quoted\"\nf32[B]", shape=ellipse];
  n1 [label="2\nf32[]\nhidden", shape=plaintext];
  n2 [label="broadcast\nf32[B]\nhidden"];
  n1 -> n2;
  n3 [label="multiply\nf32[B]\nhidden"];
  n0 -> n3;
  n2 -> n3;
  n4 [label="exp\nf32[B]\nhidden"];
  n3 -> n4;
  r0 [label="result 0", shape=ellipse];
  n4 -> r0;
}
"#;
    assert_eq!(dot(&b.finish(vec![e])), expected);
}
