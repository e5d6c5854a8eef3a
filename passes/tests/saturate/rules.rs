//! Every rule: both sides give the same numbers in the rule's class, and a changed right side is told apart.

use crate::random::{Random, Values, arguments, same_bits, ulps};
use crate::samples::{self, sample};
use kc_ir::DType;
use kc_ir::tensor::composites::{Activation, Composite, Scores};
use kc_ir::tensor::ops::{Binary, Extremum, Gather, GatherMode, Reduction, Unary};
use kc_ir::tensor::text::print_graph;
use kc_ir::tensor::{Builder, Graph, Literal, Op, Value, interpret};
use kc_passes::saturate::rules::all;
use kc_passes::saturate::{Numeric, Rule};
use std::collections::BTreeSet;

/// Samples a rule is checked on.
const SAMPLES: u64 = 60;

/// Units in the last place that another order of sums of at most 27 products between -16 and 16 may differ by.
const REASSOCIATION_ULPS: f64 = 64.0;

/// Whether two results agree in a class.
fn agree(numeric: Numeric, left: &Literal, right: &Literal) -> Result<(), String> {
    let within = |found: f64, admitted: f64| {
        if found <= admitted { Ok(()) } else { Err(format!("{found} ulps apart, {admitted} are admitted")) }
    };
    match numeric {
        Numeric::Exact => same_bits(left, right),
        Numeric::Reassociates => within(ulps(left, right, false), REASSOCIATION_ULPS),
        Numeric::Approximates(bound) => within(ulps(left, right, bound.elementwise), bound.ulps),
    }
}

/// One instance of a rule: its two sides and the arguments.
struct Instance {
    left: Graph,
    right: Graph,
    arguments: Vec<Literal>,
}

fn instance(rule: &Rule, seed: u64) -> Instance {
    let mut random = Random::new(seed * 1000 + 17);
    let exact = rule.numeric == Numeric::Exact;
    let (dtypes, usual): (&[DType], Values) = if exact {
        (&[DType::F32, DType::F64, DType::F16, DType::Bf16], Values::Special)
    } else {
        (&[DType::F32, DType::F64], Values::Within(2.0))
    };
    let dtype = random.one_of(dtypes);
    let sample =
        sample(rule.name, &mut random, dtype, usual).unwrap_or_else(|| panic!("rule `{}` has no sample", rule.name));
    let (left, right) = rule.instance(&sample.bindings).unwrap_or_else(|error| panic!("rule `{}`: {error}", rule.name));
    let right =
        right.unwrap_or_else(|| panic!("rule `{}` does not apply to its sample\n{}", rule.name, print_graph(&left)));
    for graph in [&left, &right] {
        kc_ir::tensor::verify(graph).unwrap_or_else(|error| panic!("rule `{}`: {error}", rule.name));
    }
    let values =
        |name: &str| sample.values.iter().find(|(known, _)| *known == name).map_or(usual, |(_, values)| *values);
    let arguments = arguments(&mut random, &left, 2, |name, _| values(name));
    Instance { left, right, arguments }
}

fn value(graph: &Graph, arguments: &[Literal]) -> Literal {
    interpret(graph, arguments).unwrap_or_else(|error| panic!("{error}\n{}", print_graph(graph))).remove(0)
}

#[test]
fn every_rule_has_a_sample_and_a_name_of_its_own() {
    let rules: Vec<&str> = all().map(|rule| rule.name).collect();
    let unique: BTreeSet<&str> = rules.iter().copied().collect();
    assert_eq!(unique.len(), rules.len());
    let sampled: BTreeSet<&str> = samples::names().into_iter().collect();
    assert_eq!(sampled, unique);
}

#[test]
fn both_sides_of_every_rule_agree() {
    for rule in all() {
        for seed in 0..SAMPLES {
            let Instance { left, right, arguments } = instance(rule, seed);
            agree(rule.numeric, &value(&left, &arguments), &value(&right, &arguments)).unwrap_or_else(|error| {
                panic!("rule `{}`, sample {seed}: {error}\n{}{}", rule.name, print_graph(&left), print_graph(&right))
            });
        }
    }
}

/// Other ops of the same operands and type.
fn mutants(op: &Op) -> Vec<Op> {
    match op {
        Op::Unary(function) => {
            let others = [Unary::Negate, Unary::Abs, Unary::Exp, Unary::Sqrt, Unary::Rsqrt];
            others.into_iter().filter(|other| other != function).map(Op::from).collect()
        }
        Op::Binary(function) => {
            let others = [Binary::Add, Binary::Subtract, Binary::Multiply, Binary::Divide];
            // of truth values a product is "and"
            let same = |other: &Binary| other == function || (*function, *other) == (Binary::And, Binary::Multiply);
            others.into_iter().filter(|other| !same(other)).map(Op::from).collect()
        }
        Op::Reduce(reduce) => {
            let kind = if reduce.kind == Reduction::Sum { Reduction::Max } else { Reduction::Sum };
            vec![kc_ir::tensor::ops::Reduce { kind, ..reduce.clone() }.into()]
        }
        Op::ArgReduce(reduce) => vec![kc_ir::tensor::ops::ArgReduce { kind: Extremum::Min, ..reduce.clone() }.into()],
        Op::DotGeneral(dot) => {
            let other =
                |axes: &[usize], batch: &[usize]| (0..3).find(|axis| !axes.contains(axis) && !batch.contains(axis));
            let left = other(&dot.lhs_contract, &dot.lhs_batch)
                .map(|axis| kc_ir::tensor::ops::DotGeneral { lhs_contract: vec![axis], ..dot.clone() });
            let right = other(&dot.rhs_contract, &dot.rhs_batch)
                .map(|axis| kc_ir::tensor::ops::DotGeneral { rhs_contract: vec![axis], ..dot.clone() });
            [left, right].into_iter().flatten().map(Op::from).collect()
        }
        Op::Composite(composite) => composite_mutants(composite),
        Op::Gather(gather) => {
            let others = [GatherMode::Clip, GatherMode::Zero, GatherMode::Invalid];
            let others = others.into_iter().filter(|other| *other != gather.mode);
            others.map(|mode| Gather { mode, ..gather.clone() }.into()).collect()
        }
        Op::Constant(constant) => {
            constant.value.splat_value().filter(|_| constant.value.dtype().is_float()).map_or(vec![], |x| {
                let changed = Literal::scalar(constant.value.dtype(), x.to_f64() * 1.125 + 0.001);
                vec![kc_ir::tensor::ops::Constant { value: changed }.into()]
            })
        }
        _ => vec![],
    }
}

fn composite_mutants(composite: &Composite) -> Vec<Op> {
    let activations =
        [Activation::Identity, Activation::Relu, Activation::Logistic, Activation::Tanh, Activation::Gelu];
    match composite {
        Composite::Dense(dense) => {
            let others = activations.into_iter().filter(|other| *other != dense.activation);
            others.map(|activation| kc_ir::tensor::composites::Dense { activation, ..dense.clone() }.into()).collect()
        }
        Composite::ConvolutionBias(fused) => {
            let others = activations.into_iter().filter(|other| *other != fused.activation);
            others
                .map(|activation| kc_ir::tensor::composites::ConvolutionBias { activation, ..fused.clone() }.into())
                .collect()
        }
        Composite::WinogradConvolution(tiled) => {
            let padding = tiled.padding.map(|(low, high)| (high, low));
            vec![kc_ir::tensor::composites::WinogradConvolution { padding, ..tiled.clone() }.into()]
        }
        Composite::CategoricalCrossEntropy(loss) => {
            let mut loss = loss.clone();
            loss.scores = Scores::Probabilities;
            vec![loss.into()]
        }
        Composite::CategoricalCrossEntropyGradient(gradient) => {
            let mut gradient = gradient.clone();
            gradient.loss.scores = Scores::Probabilities;
            vec![gradient.into()]
        }
        Composite::CategoricalCrossEntropyWithGradient(pair) => {
            let mut pair = pair.clone();
            pair.loss.scores = Scores::Probabilities;
            vec![pair.into()]
        }
        Composite::DotProductAttention(attention) => {
            let mut attention = attention.clone();
            attention.scale.0 *= 1.25;
            vec![attention.into()]
        }
        Composite::Relu(_) => vec![Unary::Abs.into(), Unary::Negate.into()],
        _ => vec![],
    }
}

/// What takes the place of one node.
enum Mutant {
    /// Another op of the same operands.
    Op(Op),
    /// The same op of its operands in reverse.
    Reversed(Op),
}

impl Mutant {
    fn all(op: &Op) -> Vec<Mutant> {
        let reversed = matches!(op, Op::Concatenate(_)).then(|| Mutant::Reversed(op.clone()));
        mutants(op).into_iter().map(Mutant::Op).chain(reversed).collect()
    }

    fn name(&self) -> String {
        match self {
            Mutant::Op(op) => op.operation().name().to_string(),
            Mutant::Reversed(op) => format!("reversed {}", op.operation().name()),
        }
    }
}

/// The graph with a mutant at one node; `None` where the types do not fit.
fn changed(graph: &Graph, at: usize, mutant: &Mutant) -> Option<Graph> {
    let mut builder = Builder::new();
    let mut values: Vec<Value> = Vec::with_capacity(graph.nodes.len());
    for (index, node) in graph.nodes.iter().enumerate() {
        let mut operands: Vec<Value> = node.operands.iter().map(|operand| values[operand.index()]).collect();
        let op = match mutant {
            Mutant::Op(op) if index == at => op.clone(),
            Mutant::Reversed(_) if index == at => {
                operands.reverse();
                node.op.clone()
            }
            _ => node.op.clone(),
        };
        let value = match &op {
            Op::Parameter(parameter) => builder.parameter(&parameter.name, parameter.ty.clone()).ok()?,
            op => builder.add(op.clone(), &operands).ok()?,
        };
        if builder.graph().node(value).ty != node.ty {
            return None;
        }
        values.push(value);
    }
    let results = graph.results.iter().map(|result| values[result.index()]).collect();
    Some(builder.finish(results))
}

#[test]
fn a_changed_right_side_of_every_rule_is_told_apart() {
    for rule in all() {
        let (mut tried, mut missed) = (BTreeSet::new(), BTreeSet::new());
        for seed in 0..SAMPLES {
            let Instance { left, right, arguments } = instance(rule, seed);
            let expected = value(&left, &arguments);
            for (at, node) in right.nodes.iter().enumerate() {
                for mutant in Mutant::all(&node.op) {
                    let Some(wrong) = changed(&right, at, &mutant) else { continue };
                    let name = format!("{} of {}", mutant.name(), node.op.operation().name());
                    let told = agree(rule.numeric, &expected, &value(&wrong, &arguments)).is_err();
                    // a change may do nothing to one sample; some sample must show it
                    if told {
                        missed.remove(&name);
                        tried.insert(name);
                    } else if !tried.contains(&name) {
                        missed.insert(name);
                    }
                }
            }
        }
        assert!(!tried.is_empty(), "rule `{}`: no changed right side was told apart; {missed:?} were not", rule.name);
        assert!(missed.is_empty(), "rule `{}`: {missed:?} were taken for right", rule.name);
    }
}

#[test]
fn a_result_that_is_off_by_little_more_than_the_class_admits_is_told_apart() {
    for rule in all() {
        let told = (0..SAMPLES).any(|seed| {
            let Instance { left, right, arguments } = instance(rule, seed);
            let (expected, given) = (value(&left, &arguments), value(&right, &arguments));
            let epsilon = if given.dtype() == DType::Bf16 { 0.0078125 } else { f32::EPSILON as f64 };
            let factor = match rule.numeric {
                Numeric::Exact => 1.0 + f64::EPSILON,
                Numeric::Reassociates => 1.0 + 4.0 * REASSOCIATION_ULPS * epsilon,
                Numeric::Approximates(bound) => 1.0 + (4.0 * bound.ulps).max(1.0) * epsilon,
            };
            let off = Literal::from_scalars(
                given.dtype(),
                given.shape().to_vec(),
                given.scalars().map(|x| match x {
                    kc_ir::tensor::Scalar::Float(x) => kc_ir::tensor::Scalar::Float(x * factor),
                    kc_ir::tensor::Scalar::Int(i) => kc_ir::tensor::Scalar::Int(i + 1),
                }),
            );
            agree(rule.numeric, &expected, &off).is_err()
        });
        assert!(told, "rule `{}`", rule.name);
    }
}
