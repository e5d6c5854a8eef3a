//! What simplification makes of small graphs, and that it keeps their bits.

use crate::examples;
use crate::random::{Random, Values, arguments, same_bits};
use kc_ir::tensor::ops::*;
use kc_ir::tensor::text::print_graph;
use kc_ir::tensor::{Builder, Graph, Literal, Op, Scope, Tensor, Value, express, interpret};
use kc_ir::{DType, Dim, TensorType};
use kc_passes::simplify;

fn graph(dtypes: &[(DType, &[i64])], build: impl FnOnce(&mut Builder, &[Value]) -> Value) -> Graph {
    let mut b = Builder::new();
    let parameters: Vec<Value> = dtypes
        .iter()
        .map(|(dtype, shape)| {
            let dims = shape.iter().map(|&extent| if extent < 0 { Dim::symbol("B") } else { Dim::constant(extent) });
            b.parameter("x", TensorType::new(*dtype, dims)).unwrap()
        })
        .collect();
    let result = build(&mut b, &parameters);
    b.finish(vec![result])
}

/// Two f32[B, 3] tensors and a f32[3] vector.
fn formula(build: impl for<'s, 'b> FnOnce(&'s Scope<'b>, [Tensor<'s, 'b>; 3]) -> Tensor<'s, 'b>) -> Graph {
    graph(&[(DType::F32, &[-1, 3]), (DType::F32, &[-1, 3]), (DType::F32, &[3])], |b, values| {
        let values = [values[0], values[1], values[2]];
        express(b, |scope| build(scope, values.map(|value| scope.tensor(value))).value()).unwrap()
    })
}

/// The ops of a graph but parameters and constants, in order.
fn ops(graph: &Graph) -> String {
    let shown = graph.nodes.iter().filter(|node| !matches!(node.op, Op::Parameter(_) | Op::Constant(_)));
    shown.map(|node| node.op.operation().name()).collect::<Vec<_>>().join(" ")
}

/// Checks the ops that are left, that simplifying again changes nothing, and that special values give the same bits.
fn check(name: &str, graph: &Graph, expected: &str) {
    let simple = simplify(graph);
    assert_eq!(ops(&simple), expected, "{name}: {}", print_graph(&simple));
    assert_eq!(print_graph(&simplify(&simple)), print_graph(&simple), "{name}: not idempotent");
    kc_ir::tensor::verify(&simple).unwrap();
    let mut random = Random::new(7);
    for _ in 0..20 {
        let given = arguments(&mut random, graph, 2, |_, _| Values::Special);
        let before = interpret(graph, &given).unwrap();
        let after = interpret(&simple, &given).unwrap();
        same_bits(&before[0], &after[0]).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn identities_of_floats() {
    for (name, graph, expected) in [
        ("x * 1", formula(|_, [x, ..]| x * 1.0), ""),
        ("x * -1", formula(|_, [x, ..]| x * -1.0), "negate"),
        ("x / 1", formula(|_, [x, ..]| x / 1.0), ""),
        ("x + 0 is not x for -0", formula(|_, [x, ..]| x + 0.0), "broadcast add"),
        ("x + -0", formula(|_, [x, ..]| x + -0.0), ""),
        ("|x| + 0", formula(|_, [x, ..]| x.abs() * 0.5 + 0.0), "abs broadcast multiply"),
        ("exp x * y + 0 may be -0", formula(|_, [x, y, _]| x.exp() * y + 0.0), "exp multiply broadcast add"),
        ("x - 0", formula(|_, [x, ..]| x - 0.0), ""),
        ("x - -0 is not x for -0", formula(|_, [x, ..]| x - -0.0), "broadcast subtract"),
        ("x * 0 is not 0 for NaN", formula(|_, [x, ..]| x * 0.0), "broadcast multiply"),
        ("x - x is not 0 for NaN", formula(|_, [x, ..]| x - x), "subtract"),
        ("x ^ 1", formula(|_, [x, ..]| x.power(1.0)), ""),
        ("-(-x)", formula(|_, [x, ..]| -(-x)), ""),
        ("x + -y", formula(|_, [x, y, _]| x + -y), "subtract"),
        ("x - -y", formula(|_, [x, y, _]| x - -y), "add"),
        ("|-x|", formula(|_, [x, ..]| (-x).abs()), "abs"),
        ("||x||", formula(|_, [x, ..]| x.abs().abs()), "abs"),
        ("floor(trunc x)", formula(|_, [x, ..]| x.trunc().floor()), "trunc"),
        ("max(x, x)", formula(|_, [x, ..]| x.maximum(x)), ""),
    ] {
        check(name, &graph, expected);
    }
}

#[test]
fn identities_of_integers_and_truths() {
    let integers = |build: fn(&mut Builder, Value) -> Value| graph(&[(DType::I32, &[-1])], |b, x| build(b, x[0]));
    let truths = |build: fn(&mut Builder, Value) -> Value| graph(&[(DType::Bool, &[-1])], |b, x| build(b, x[0]));
    for (name, graph, expected) in [
        ("x + 0", integers(|b, x| with(b, Binary::Add, x, 0)), ""),
        ("x * 0", integers(|b, x| with(b, Binary::Multiply, x, 0)), "broadcast"),
        ("x - x", integers(|b, x| b.binary(Binary::Subtract, x, x).unwrap()), "broadcast"),
        ("x << 0", integers(|b, x| with(b, Binary::ShiftLeft, x, 0)), ""),
        ("x / -1", integers(|b, x| with(b, Binary::Divide, x, -1)), "broadcast divide"),
        (
            "not not x",
            truths(|b, x| {
                let not = b.unary(Unary::Not, x).unwrap();
                b.unary(Unary::Not, not).unwrap()
            }),
            "",
        ),
        ("x and true", truths(|b, x| with(b, Binary::Multiply, x, 1)), ""),
        ("x and x", truths(|b, x| b.binary(Binary::And, x, x).unwrap()), ""),
        (
            "not x ? a : b",
            truths(|b, x| {
                let not = b.unary(Unary::Not, x).unwrap();
                let no = b.splat_like(0i64, x).unwrap();
                b.select(not, x, no).unwrap()
            }),
            "broadcast select",
        ),
    ] {
        check(name, &graph, expected);
    }
}

fn with(b: &mut Builder, function: Binary, x: Value, value: i64) -> Value {
    let value = b.splat_like(value, x).unwrap();
    b.binary(function, x, value).unwrap()
}

#[test]
fn operands_of_commutative_functions_have_one_order() {
    let one = formula(|_, [x, y, v]| (x + v) * (y * x));
    let other = formula(|_, [x, y, v]| (v + x) * (x * y));
    check("order", &one, "broadcast add multiply multiply");
    assert_eq!(ops(&simplify(&one)), ops(&simplify(&other)));
    let both = formula(|_, [x, y, _]| (x * y) + (y * x));
    check("shared", &both, "multiply add");
    check(
        "a constant goes right of a comparison",
        &formula(|_, [x, y, _]| {
            let zero = x.number(0.0).broadcast_to(&x.shape());
            zero.less(x).select(x, y.number(0.0).broadcast_to(&x.shape()))
        }),
        "broadcast greater select",
    );
}

#[test]
fn elementwise_ops_move_before_broadcasts() {
    check(
        "of a vector",
        &formula(|_, [x, _, v]| x * (v.broadcast_to(&x.shape()) + 1.0).sqrt()),
        "broadcast add sqrt broadcast multiply",
    );
    check(
        "of two",
        &formula(|_, [x, _, v]| {
            let shape = x.shape();
            x + v.broadcast_to(&shape) * v.exp().broadcast_to(&shape)
        }),
        "exp multiply broadcast add",
    );
}

#[test]
fn constants_are_folded() {
    check("scalar", &formula(|_, [x, ..]| x * (x.number(2.0) + 3.0).sqrt()), "broadcast multiply");
    let constant = graph(&[(DType::F32, &[2])], |b, x| {
        let c = b.constant(Literal::f32(&[2, 2], &[1.0, 2.0, 3.0, 4.0])).unwrap();
        let sum = b.reduce(Reduction::Sum, &[0], c).unwrap();
        b.binary(Binary::Add, x[0], sum).unwrap()
    });
    check("small tensor", &constant, "add");
    let large = graph(&[(DType::F32, &[100])], |b, x| {
        let c = b.constant(Literal::f32(&[100], &(0..100).map(|i| i as f32).collect::<Vec<_>>())).unwrap();
        let root = b.unary(Unary::Sqrt, c).unwrap();
        b.binary(Binary::Add, x[0], root).unwrap()
    });
    check("large tensor", &large, "sqrt add");
    let splat = graph(&[(DType::F32, &[100])], |b, x| {
        let c = b.constant(Literal::f32(&[100], &[2.0; 100])).unwrap();
        b.binary(Binary::Add, x[0], c).unwrap()
    });
    check("a tensor of one value is a broadcast scalar", &splat, "broadcast add");
}

#[test]
fn conversions_merge_where_the_middle_holds_every_value() {
    for (from, middle, to, expected) in [
        (DType::F32, DType::F64, DType::F32, ""),
        (DType::F32, DType::F64, DType::F16, "convert"),
        (DType::F64, DType::F32, DType::F64, "convert convert"),
        (DType::Bf16, DType::F16, DType::F32, "convert convert"),
        (DType::I8, DType::I32, DType::I8, ""),
        (DType::I32, DType::I8, DType::I32, "convert convert"),
        (DType::U8, DType::I16, DType::F32, "convert"),
        // -1 wraps to 255, but as a float it saturates to 0
        (DType::I8, DType::F32, DType::U8, "convert convert"),
        (DType::I16, DType::F32, DType::I32, "convert"),
        (DType::Bool, DType::U8, DType::Bool, ""),
        (DType::I64, DType::F64, DType::I64, "convert convert"),
    ] {
        let graph = graph(&[(from, &[-1, 3])], |b, x| {
            let x = b.convert(middle, x[0]).unwrap();
            b.convert(to, x).unwrap()
        });
        check(&format!("{from} {middle} {to}"), &graph, expected);
    }
}

#[test]
fn movements_merge() {
    let f32s = |shape: &'static [i64], build: fn(&mut Builder, Value) -> Value| {
        graph(&[(DType::F32, shape)], |b, x| build(b, x[0]))
    };
    for (name, graph, expected) in [
        (
            "reshape there and back",
            f32s(&[-1, 6], |b, x| {
                let x = b.reshape(x, &[Dim::symbol("B"), 2i64.into(), 3i64.into()]).unwrap();
                b.reshape(x, &[Dim::symbol("B"), 6i64.into()]).unwrap()
            }),
            "",
        ),
        (
            "transpose there and back",
            f32s(&[2, 3], |b, x| {
                let x = b.transpose(x, &[1, 0]).unwrap();
                b.transpose(x, &[1, 0]).unwrap()
            }),
            "",
        ),
        (
            "transposes compose",
            f32s(&[2, 3, 4], |b, x| {
                let x = b.transpose(x, &[1, 2, 0]).unwrap();
                b.transpose(x, &[1, 0, 2]).unwrap()
            }),
            "transpose",
        ),
        ("a transpose of unit axes", f32s(&[1, 3, 1], |b, x| b.transpose(x, &[1, 0, 2]).unwrap()), "reshape"),
        (
            "broadcasts compose",
            f32s(&[3], |b, x| {
                let x = b.broadcast(x, &[2i64.into(), 3i64.into()], &[1]).unwrap();
                b.broadcast(x, &[2i64.into(), 4i64.into(), 3i64.into()], &[0, 2]).unwrap()
            }),
            "broadcast",
        ),
        (
            "a broadcast of kept axes",
            f32s(&[3], |b, x| {
                let x = b.reshape(x, &[1i64.into(), 3i64.into()]).unwrap();
                b.broadcast_to(x, &[2i64.into(), 3i64.into()]).unwrap()
            }),
            "broadcast",
        ),
        (
            "a broadcast that repeats nothing",
            f32s(&[3], |b, x| b.broadcast(x, &[1i64.into(), 3i64.into()], &[1]).unwrap()),
            "reshape",
        ),
        (
            "a transposed broadcast",
            f32s(&[2, 3], |b, x| {
                let x = b.broadcast(x, &[2i64.into(), 4i64.into(), 3i64.into()], &[0, 2]).unwrap();
                b.transpose(x, &[2, 1, 0]).unwrap()
            }),
            "transpose broadcast",
        ),
        (
            "a reshaped broadcast",
            f32s(&[3], |b, x| {
                let x = b.broadcast(x, &[2i64.into(), 3i64.into()], &[1]).unwrap();
                b.reshape(x, &[2i64.into(), 1i64.into(), 3i64.into()]).unwrap()
            }),
            "broadcast",
        ),
        (
            "the whole slice",
            f32s(&[-1, 3], |b, x| {
                b.add(
                    Slice {
                        start: vec![0i64.into(); 2],
                        limit: vec![Dim::symbol("B"), 3i64.into()],
                        stride: vec![1, 1],
                    },
                    &[x],
                )
                .unwrap()
            }),
            "",
        ),
        (
            "no padding",
            f32s(&[-1, 3], |b, x| {
                let zero = b.constant(Literal::scalar(DType::F32, 0.0)).unwrap();
                b.add(Pad { low: vec![0; 2], high: vec![0; 2], interior: vec![0; 2] }, &[x, zero]).unwrap()
            }),
            "",
        ),
        (
            "reversed twice",
            f32s(&[2, 3], |b, x| {
                let x = b.add(Reverse { axes: vec![0, 1] }, &[x]).unwrap();
                b.add(Reverse { axes: vec![1] }, &[x]).unwrap()
            }),
            "reverse",
        ),
        ("one operand side by side", f32s(&[2, 3], |b, x| b.add(Concatenate { axis: 0 }, &[x]).unwrap()), ""),
        ("the largest of one", f32s(&[2, 1], |b, x| b.reduce(Reduction::Max, &[1], x).unwrap()), "reshape"),
        ("the sum of one is 0 + x", f32s(&[2, 1], |b, x| b.reduce(Reduction::Sum, &[1], x).unwrap()), "reduce"),
    ] {
        check(name, &graph, expected);
    }
}

#[test]
fn what_no_result_needs_is_dropped_but_parameters_stay() {
    let graph = graph(&[(DType::F32, &[2]), (DType::F32, &[3])], |b, x| {
        b.unary(Unary::Exp, x[1]).unwrap();
        b.unary(Unary::Log, x[0]).unwrap()
    });
    check("dead", &graph, "log");
    assert_eq!(simplify(&graph).parameters.len(), 2);
}

#[test]
fn stops_stay_until_the_graph_is_differentiated() {
    let stopped = graph(&[(DType::F32, &[])], |b, x| b.add(StopGradient {}, &[x[0]]).unwrap());
    check("differentiated", &stopped, "");
    let to_differentiate = graph(&[(DType::F32, &[])], |b, x| {
        let stopped = b.add(StopGradient {}, &[x[0]]).unwrap();
        let product = b.binary(Binary::Multiply, x[0], stopped).unwrap();
        let gradients = b.add(Gradient {}, &[product, x[0]]).unwrap();
        b.add(Projection { index: 0 }, &[gradients]).unwrap()
    });
    assert_eq!(ops(&simplify(&to_differentiate)), "stop_gradient multiply gradient projection");
}

#[test]
fn simplifying_networks_twice_is_simplifying_them_once() {
    for (name, graph) in examples::all() {
        let once = simplify(&graph);
        kc_ir::tensor::verify(&once).unwrap();
        assert_eq!(print_graph(&simplify(&once)), print_graph(&once), "{name}");
    }
}
