//! Random graphs: simplification and exact rules keep every bit, whatever the operands.

use crate::random::{Random, Values, arguments, same_bits};
use kc_ir::tensor::composites::{Relu, Softmax};
use kc_ir::tensor::ops::*;
use kc_ir::tensor::text::print_graph;
use kc_ir::tensor::{Builder, Graph, Literal, Op, TypeError, Value, interpret, verify};
use kc_ir::{DType, Dim, TensorType};
use kc_passes::{MathMode, SaturationOptions, Target, saturate, simplify};

/// Graphs that are tried.
const GRAPHS: u64 = 400;

const UNARY: &[Unary] =
    &[Unary::Negate, Unary::Abs, Unary::Exp, Unary::Sqrt, Unary::Logistic, Unary::Floor, Unary::Trunc, Unary::Tanh];
const BINARY: &[Binary] =
    &[Binary::Add, Binary::Subtract, Binary::Multiply, Binary::Divide, Binary::Maximum, Binary::Minimum, Binary::Power];
const NUMBERS: &[f64] = &[0.0, -0.0, 1.0, -1.0, 2.0, 0.25, 3.0, f64::INFINITY];

/// A graph of 16 random ops of f32 tensors with extents 1 to 3.
fn graph(random: &mut Random) -> Graph {
    let mut b = Builder::new();
    let mut values: Vec<Value> = vec![];
    for rank in [2, 2, 1, 0] {
        let shape: Vec<Dim> = (0..rank).map(|_| Dim::constant(random.extent(1, 3))).collect();
        values.push(b.parameter("x", TensorType::new(DType::F32, shape)).unwrap());
    }
    for _ in 0..16 {
        // what does not fit is not added
        if let Ok(value) = step(random, &mut b, &values) {
            values.push(value);
        }
    }
    let results = values.split_off(values.len().saturating_sub(3));
    b.finish(results)
}

fn step(random: &mut Random, b: &mut Builder, values: &[Value]) -> Result<Value, TypeError> {
    let x = random.one_of(values);
    let shape = b.tensor_type(x).shape.clone();
    let rank = shape.len();
    match random.below(14) {
        0 | 1 => b.unary(random.one_of(UNARY), x),
        2..=4 => b.binary(random.one_of(BINARY), x, random.one_of(values)),
        5 | 6 => {
            let number = b.splat_like(random.one_of(NUMBERS), x)?;
            let (left, right) = if random.below(4) == 0 { (number, x) } else { (x, number) };
            b.binary(random.one_of(BINARY), left, right)
        }
        7 => {
            let zero = b.splat_like(random.one_of(NUMBERS), x)?;
            let condition = b.compare(random.one_of(Compare::ALL), x, zero)?;
            let condition = if random.below(2) == 0 { b.unary(Unary::Not, condition)? } else { condition };
            b.select(condition, x, zero)
        }
        8 => {
            let middle = random.one_of(&[DType::F64, DType::F16, DType::I32, DType::Bool, DType::U8]);
            let converted = b.convert(middle, x)?;
            b.convert(DType::F32, converted)
        }
        9 => {
            let mut shape = shape;
            shape.insert(random.below(rank + 1), Dim::constant(random.extent(1, 2)));
            if shape.len() > 3 {
                return Ok(x);
            }
            b.broadcast_to(x, &shape)
        }
        10 => {
            let mut permutation: Vec<usize> = (0..rank).collect();
            permutation.rotate_left(random.below(rank.max(1)));
            b.transpose(x, &permutation)
        }
        11 => {
            let elements = shape.iter().cloned().product::<Dim>();
            b.reshape(
                x,
                &random.one_of(&[[0, 1], [1, 0]]).map(|of| if of == 0 { elements.clone() } else { Dim::constant(1) }),
            )
        }
        12 => match random.below(3) {
            0 if rank > 0 => b.reduce(random.one_of(&[Reduction::Max, Reduction::Sum]), &[random.below(rank)], x),
            1 if rank > 0 => b.add(Reverse { axes: vec![random.below(rank)] }, &[x]),
            _ if rank > 0 => b.add(Softmax { axis: rank - 1 }, &[x]),
            _ => b.add(Relu {}, &[x]),
        },
        _ => {
            let other = random.one_of(values);
            b.matmul(x, other)
        }
    }
}

fn check(what: &str, seed: u64, before: &Graph, after: &Graph, given: &[Literal]) {
    verify(after).unwrap_or_else(|error| panic!("{what}, graph {seed}: {error}"));
    let (expected, found) = (interpret(before, given).unwrap(), interpret(after, given).unwrap());
    for (position, (expected, found)) in expected.iter().zip(&found).enumerate() {
        same_bits(expected, found).unwrap_or_else(|error| {
            panic!("{what}, graph {seed}, result {position}: {error}\n{}{}", print_graph(before), print_graph(after))
        });
    }
}

#[test]
fn random_graphs_keep_their_bits() {
    let options = SaturationOptions { math: MathMode::Strict, ..SaturationOptions::default() };
    let mut ops = 0;
    for seed in 0..GRAPHS {
        let mut random = Random::new(seed);
        let graph = graph(&mut random);
        let simple = simplify(&graph);
        assert_eq!(
            print_graph(&simplify(&simple)),
            print_graph(&simple),
            "graph {seed} is not simplified once and for all"
        );
        let saturated = saturate(&graph, &Target::baseline(), &options).unwrap().graph;
        ops += graph.nodes.iter().filter(|node| !matches!(node.op, Op::Parameter(_))).count();
        for _ in 0..4 {
            let given = arguments(&mut random, &graph, 1, |_, _| Values::Special);
            check("simplified", seed, &graph, &simple, &given);
            check("saturated", seed, &graph, &saturated, &given);
        }
    }
    assert!(ops > 10 * GRAPHS as usize, "only {ops} ops were tried");
}
