//! Every op's gradient against central differences in f64. An op, function or composite without cases fails the test.

mod cases;

use cases::Case;
use kc_ir::tensor::ops::*;
use kc_ir::tensor::{Builder, Graph, Literal, Op, Scalar, ScanOptions, Type, TypeError, Value, interpret, verify};
use kc_ir::{DType, Dim, TensorType};
use kc_passes::differentiate;

/// A number between 0 and 1 that looks random.
fn hash(i: usize) -> f64 {
    ((i as f64 * 12.9898 + 4.1414).sin() * 43758.5453).rem_euclid(1.0)
}

/// A scalar that depends on every element of every result: the sum of the results times fixed weights.
fn scalar_of(b: &mut Builder, value: Value) -> Value {
    let mut sum: Option<Value> = None;
    for (number, result) in b.projections(value).unwrap().into_iter().enumerate() {
        let ty = b.tensor_type(result).clone();
        if !ty.dtype.is_float() {
            continue;
        }
        let shape: Vec<usize> = ty.constant_shape().unwrap().into_iter().map(|extent| extent as usize).collect();
        let elements: usize = shape.iter().product();
        let weights = (0..elements).map(|i| Scalar::Float(hash(100 * number + i) - 0.4));
        let weights = b.constant(Literal::from_scalars(ty.dtype, shape, weights)).unwrap();
        let product = b.binary(Binary::Multiply, result, weights).unwrap();
        let axes: Vec<usize> = (0..ty.rank()).collect();
        let part = b.reduce(Reduction::Sum, &axes, product).unwrap();
        sum = Some(match sum {
            None => part,
            Some(sum) => b.binary(Binary::Add, sum, part).unwrap(),
        });
    }
    sum.expect("an op with a floating-point result")
}

/// Which derivative is compared.
#[derive(Clone, Copy, PartialEq)]
enum Order {
    First,
    Second,
}

/// The scalar of a case (for the second derivative one of the first), and its derivatives by all operands of a floating-point
/// type.
fn graphs(case: &Case, order: Order) -> (Graph, Graph, Vec<usize>) {
    let mut b = Builder::new();
    let operands: Vec<Value> = case.operands.iter().map(|operand| b.parameter("x", operand.ty()).unwrap()).collect();
    let value = b.add(case.op.clone(), &operands).unwrap_or_else(|error| panic!("{}: {error}", case.name));
    let mut scalar = scalar_of(&mut b, value);
    let by: Vec<usize> = (0..operands.len()).filter(|&i| case.operands[i].dtype().is_float()).collect();
    if order == Order::Second {
        let arguments: Vec<Value> = std::iter::once(scalar).chain(by.iter().map(|&i| operands[i])).collect();
        let slopes = b.add(Gradient {}, &arguments).unwrap();
        scalar = scalar_of(&mut b, slopes);
    }
    let forward = differentiate(&b.clone().finish(vec![scalar])).unwrap();
    let arguments: Vec<Value> = std::iter::once(scalar).chain(by.iter().map(|&i| operands[i])).collect();
    let gradient = b.add(Gradient {}, &arguments).unwrap();
    let derivatives = b.projections(gradient).unwrap();
    (forward, b.finish(derivatives), by)
}

fn nudged(literal: &Literal, position: usize, by: f64) -> Literal {
    let values = literal
        .scalars()
        .enumerate()
        .map(|(i, value)| if i == position { Scalar::Float(value.to_f64() + by) } else { value });
    Literal::from_scalars(literal.dtype(), literal.shape().to_vec(), values.collect::<Vec<_>>())
}

fn check(case: &Case, order: Order) {
    let (forward, gradient, by) = graphs(case, order);
    let gradient = differentiate(&gradient).unwrap_or_else(|error| panic!("{}: {error}", case.name));
    verify(&gradient).unwrap_or_else(|error| panic!("{}: {error}", case.name));
    let derivatives = interpret(&gradient, &case.operands).unwrap_or_else(|error| panic!("{}: {error}", case.name));
    assert_eq!(derivatives.len(), by.len());
    let at = |operands: &[Literal]| interpret(&forward, operands).unwrap()[0].get(0).to_f64();
    let step = 1e-5;
    for (derivative, &operand) in derivatives.iter().zip(&by) {
        assert_eq!(derivative.ty(), case.operands[operand].ty(), "{}, operand {operand}", case.name);
        for position in 0..derivative.elements() {
            let mut operands = case.operands.clone();
            let mut value = |by: f64| {
                operands[operand] = nudged(&case.operands[operand], position, by);
                at(&operands)
            };
            let expected = (value(step) - value(-step)) / (2.0 * step);
            let given = derivative.get(position).to_f64();
            let error = (given - expected).abs();
            assert!(
                error <= 1e-6 * (1.0 + expected.abs()),
                "{}: the derivative by element {position} of operand {operand} is {given}, differences give {expected}",
                case.name
            );
        }
    }
}

/// Whether the op's derivative is what differences show.
fn is_compared(case: &Case) -> bool {
    let mut b = Builder::new();
    let operands: Vec<Value> = case.operands.iter().map(|operand| b.parameter("x", operand.ty()).unwrap()).collect();
    let is_float = |ty: &TensorType| ty.dtype.is_float();
    let result = match &case.op {
        // declared to be zero, expanded before, or without a derivative
        Op::StopGradient(_) | Op::Gradient(_) | Op::While(_) => return false,
        Op::CustomCall(CustomCall { function: CustomFunction::Eig }) => return false,
        // the parameter of a case is an op like others only in its text
        Op::Parameter(_) => return false,
        op => b.add(op.clone(), &operands).unwrap_or_else(|error| panic!("{}: {error}", case.name)),
    };
    let results = b.projections(result).unwrap();
    let mut results = results.iter().map(|&result| b.tensor_type(result));
    results.any(is_float) && case.operands.iter().any(|operand| operand.dtype().is_float())
}

#[test]
fn every_op_agrees_with_central_differences() {
    let compared: Vec<Case> = cases::all().into_iter().filter(is_compared).collect();
    assert!(compared.len() > 100, "only {} cases", compared.len());
    compared.iter().for_each(|case| check(case, Order::First));
}

/// Ops whose derivatives are ops of their own kind. At a zero the derivative of a scattered product counts the zeros, so it is
/// not compared there.
#[test]
fn derivatives_of_derivatives_agree_with_central_differences() {
    let is_tried = |case: &Case| {
        matches!(
            case.op,
            Op::Gather(_) | Op::Scatter(_) | Op::Cumulative(_) | Op::Recurrence(_) | Op::ReduceWindow(_) | Op::Unary(_)
        )
    };
    let has_zero = |case: &Case| {
        matches!(&case.op, Op::Scatter(scatter) if scatter.kind == ScatterKind::Multiply)
            && case.operands.iter().any(|operand| operand.dtype().is_float() && operand.to_f64_vec().contains(&0.0))
    };
    let is_small = |case: &Case| case.operands.iter().map(Literal::elements).sum::<usize>() <= 60;
    let suits = |case: &Case| is_tried(case) && is_small(case) && is_compared(case) && !has_zero(case);
    let compared: Vec<Case> = cases::all().into_iter().filter(suits).collect();
    assert!(compared.len() > 40, "only {} cases", compared.len());
    compared.iter().for_each(|case| check(case, Order::Second));
}

#[test]
fn derivatives_of_loops_and_choices_are_differentiated_themselves() {
    let has_regions = |case: &Case| !case.op.operation().regions().is_empty();
    let compared: Vec<Case> = cases::all().into_iter().filter(|case| has_regions(case) && is_compared(case)).collect();
    assert!(compared.len() > 10, "only {} cases", compared.len());
    compared.iter().for_each(|case| check(case, Order::Second));
}

#[test]
fn a_derivative_of_ones_own_is_taken_and_differentiated() {
    // f(x) = x^2 with the derivative 3 x y instead, where y is read from outside
    let custom = |b: &mut Builder, x: Value| {
        let y = b.splat_like(2.0, x).unwrap();
        let y = b.unary(Unary::Negate, y).unwrap();
        b.custom_gradient::<TypeError>(
            &[x],
            |b, x| Ok((vec![b.binary(Binary::Multiply, x[0], x[0])?], x.to_vec())),
            |b, residuals, cotangents| {
                let three = b.splat_like(3.0, y)?;
                let factor = b.binary(Binary::Multiply, three, y)?;
                let slope = b.binary(Binary::Multiply, residuals[0], factor)?;
                Ok(vec![b.binary(Binary::Multiply, slope, cotangents[0])?])
            },
        )
        .unwrap()[0]
    };
    assert_eq!(derivative(&[1.0, -2.0], custom), [-6.0, 12.0]);
    let twice = |b: &mut Builder, x: Value| {
        let y = custom(b, x);
        let sum = b.reduce(Reduction::Sum, &[0], y).unwrap();
        let gradient = b.add(Gradient {}, &[sum, x]).unwrap();
        b.projections(gradient).unwrap()[0]
    };
    assert_eq!(derivative(&[1.0, -2.0], twice), [-6.0, -6.0]);
}

#[test]
fn a_loop_of_an_unknown_number_of_rounds_has_no_derivative() {
    let mut b = Builder::new();
    let x = b.parameter("x", TensorType::scalar(DType::F32)).unwrap();
    let doubled = b
        .while_loop::<TypeError>(
            &[x],
            |b, carried| {
                let nine = b.splat_like(9.0, carried[0])?;
                b.compare(Compare::Less, carried[0], nine)
            },
            |b, carried| Ok(vec![b.binary(Binary::Add, carried[0], carried[0])?]),
        )
        .unwrap();
    let gradient = b.add(Gradient {}, &[doubled[0], x]).unwrap();
    let derivative = b.projections(gradient).unwrap();
    let error = differentiate(&b.finish(derivative)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "while: the number of its rounds is not known, so it cannot be differentiated in reverse; use a scan, or a loop \
         whose number of rounds is known"
    );
}

#[test]
fn a_scan_keeps_what_its_derivative_needs_and_nothing_else() {
    // s' = s + tanh(x[t] w): tanh alone is kept, the derivative by w is one contraction over all rounds, and what is not
    // asked for (by x) is not computed
    let mut b = Builder::new();
    let s = b.parameter("s", TensorType::new(DType::F32, [2i64, 3])).unwrap();
    let x = b.parameter("x", TensorType::new(DType::F32, [5i64, 2, 4])).unwrap();
    let w = b.parameter("w", TensorType::new(DType::F32, [4i64, 3])).unwrap();
    let scanned = b
        .scan::<TypeError>(&[s], &[x], &ScanOptions::default(), |b, carried, elements| {
            let product = b.matmul(elements[0], w)?;
            let squashed = b.unary(Unary::Tanh, product)?;
            Ok((vec![b.binary(Binary::Add, carried[0], squashed)?], vec![]))
        })
        .unwrap();
    let sum = b.reduce(Reduction::Sum, &[0, 1], scanned.carried[0]).unwrap();
    let gradient = b.add(Gradient {}, &[sum, w]).unwrap();
    let derivative = b.projections(gradient).unwrap();
    let graph = differentiate(&b.finish([derivative, vec![sum]].concat())).unwrap();
    let scans: Vec<(&Scan, String)> = graph
        .nodes
        .iter()
        .filter_map(|node| match &node.op {
            Op::Scan(scan) => Some((scan, node.ty.to_string())),
            _ => None,
        })
        .collect();
    let text = kc_ir::tensor::text::print_graph(&graph);
    let [(forward, there), (backward, back)] = &scans[..] else { panic!("{text}") };
    assert_eq!((there.as_str(), back.as_str()), ("(f32[2, 3], f32[5, 2, 3])", "(f32[2, 3], f32[5, 2, 3])"), "{text}");
    assert_eq!((forward.reverse, backward.reverse), (false, true), "{text}");
    let count = |graph: &Graph| graph.nodes.iter().filter(|node| matches!(node.op, Op::DotGeneral(_))).count();
    assert_eq!([count(forward.body.graph()), count(backward.body.graph()), count(&graph)], [1, 0, 1], "{text}");
}

/// The derivatives of a scalar that `build` makes of one f32 vector.
fn derivative(x: &[f32], build: impl FnOnce(&mut Builder, Value) -> Value) -> Vec<f64> {
    let literal = Literal::f32(&[x.len()], x);
    let mut b = Builder::new();
    let parameter = b.parameter("x", literal.ty()).unwrap();
    let y = build(&mut b, parameter);
    let axes: Vec<usize> = (0..b.tensor_type(y).rank()).collect();
    let sum = b.reduce(Reduction::Sum, &axes, y).unwrap();
    let gradient = b.add(Gradient {}, &[sum, parameter]).unwrap();
    let derivative = b.projections(gradient).unwrap();
    interpret(&differentiate(&b.finish(derivative)).unwrap(), &[literal]).unwrap()[0].to_f64_vec()
}

#[test]
fn where_there_is_a_corner_the_derivative_is_that_of_keras_on_jax() {
    let zeros = |b: &mut Builder, x: Value| b.splat_like(0.0, x).unwrap();
    let relu = kc_ir::tensor::composites::Relu {};
    assert_eq!(derivative(&[-1.0, 0.0, 2.0], |b, x| b.add(relu, &[x]).unwrap()), [0.0, 0.0, 1.0]);
    let at = |x: &[f32], op: Op| derivative(x, |b, x| b.add(op, &[x]).unwrap());
    let elu = kc_ir::tensor::composites::Elu { alpha: kc_ir::tensor::Real(0.5) };
    assert_eq!(at(&[0.0, 2.0], elu.into()), [0.5, 1.0]);
    let leaky_relu = kc_ir::tensor::composites::LeakyRelu { negative_slope: kc_ir::tensor::Real(0.25) };
    assert_eq!(at(&[-1.0, 0.0, 2.0], leaky_relu.into()), [0.25, 1.0, 1.0]);
    assert_eq!(at(&[0.0, 1.0, 6.0], kc_ir::tensor::composites::Relu6 {}.into()), [0.0, 1.0, 0.0]);
    assert_eq!(at(&[-1.0, 1.0, 1.5], kc_ir::tensor::composites::HardTanh {}.into()), [1.0, 1.0, 0.0]);
    let log_sum_exp = kc_ir::tensor::composites::LogSumExp { axes: vec![0] };
    assert_eq!(at(&[f32::NEG_INFINITY; 2], log_sum_exp.into()), [0.0, 0.0]);
    let maximum = |b: &mut Builder, x: Value| {
        let zero = zeros(b, x);
        b.binary(Binary::Maximum, x, zero).unwrap()
    };
    assert_eq!(derivative(&[-1.0, 0.0, 2.0], maximum), [0.0, 0.5, 1.0]);
    let largest = |b: &mut Builder, x: Value| b.reduce(Reduction::Max, &[0], x).unwrap();
    assert_eq!(derivative(&[3.0, 1.0, 3.0, 2.0], largest), [0.5, 0.0, 0.5, 0.0]);
    assert_eq!(derivative(&[-1.5, 0.0, 2.0], |b, x| b.unary(Unary::Abs, x).unwrap()), [-1.0, 1.0, 1.0]);
}

/// Derivatives of ops at positions that are data, which JAX printed.
#[test]
fn where_positions_meet_the_derivative_is_that_of_keras_on_jax() {
    let weighted = |b: &mut Builder, y: Value| {
        let elements = b.tensor_type(y).elements().as_constant().unwrap();
        let weights =
            Literal::from_scalars(DType::F32, vec![elements as usize], (1..=elements).map(|i| Scalar::Float(i as f64)));
        let weights = b.constant(weights).unwrap();
        b.binary(Binary::Multiply, y, weights).unwrap()
    };
    let positions = |b: &mut Builder, values: &[i128]| {
        let values = values.iter().map(|&value| Scalar::Int(value));
        let literal = Literal::from_scalars(DType::I32, vec![values.len(), 1], values.collect::<Vec<_>>());
        b.constant(literal).unwrap()
    };
    let (x, updates) = ([1.0, 5.0, 2.0], [5.0, 3.0, 4.0, 9.0]);
    for (kind, of_x, of_updates) in [
        (ScatterKind::Set, [0.0, 0.0, 3.0], [0.0, 2.0, 1.0, 0.0]),
        (ScatterKind::Add, [1.0, 2.0, 3.0], [2.0, 2.0, 1.0, 0.0]),
        (ScatterKind::Maximum, [0.0, 1.0, 3.0], [1.0, 0.0, 1.0, 0.0]),
        (ScatterKind::Minimum, [1.0, 0.0, 3.0], [0.0, 2.0, 0.0, 0.0]),
    ] {
        let scatter = |b: &mut Builder, x: Value, updates: Value| {
            let indices = positions(b, &[1, 1, 0, 7]);
            let y = b.scatter_nd(kind, [x, indices, updates], ScatterMode::Drop).unwrap();
            weighted(b, y)
        };
        let by_x = derivative(&x, |b, x| {
            let updates = b.constant(Literal::f32(&[4], &updates)).unwrap();
            scatter(b, x, updates)
        });
        let by_updates = derivative(&updates, |b, updates| {
            let x = b.constant(Literal::f32(&[3], &x)).unwrap();
            scatter(b, x, updates)
        });
        assert_eq!((&by_x[..], &by_updates[..]), (&of_x[..], &of_updates[..]), "{kind:?}");
    }
    let clipped = |b: &mut Builder, x: Value| {
        let indices = positions(b, &[0, 3, -4, 1]);
        let y = b.gather_nd(x, indices, GatherMode::Clip).unwrap();
        weighted(b, y)
    };
    assert_eq!(derivative(&x, clipped), [4.0, 4.0, 2.0]);
    let running = |kind| {
        move |b: &mut Builder, x: Value| {
            let y = b.add(Cumulative { kind, axis: 0, reverse: false }, &[x]).unwrap();
            weighted(b, y)
        }
    };
    assert_eq!(derivative(&[2.0, 0.0, 3.0, 5.0], running(Reduction::Product)), [1.0, 142.0, 0.0, 0.0]);
    assert_eq!(derivative(&[2.0, 0.0, 0.0, 5.0], running(Reduction::Product)), [1.0, 4.0, 0.0, 0.0]);
    assert_eq!(derivative(&[2.0, 1.0, 3.0, 3.0], running(Reduction::Max)), [3.0, 0.0, 5.0, 2.0]);
    let trigamma = derivative(&[0.7, -0.3, -1.5, 3.25, 20.0], |b, x| b.unary(Unary::Digamma, x).unwrap());
    let expected = [2.8340487, 13.945161, 9.379247, 0.35979828, 0.05127082];
    assert!(trigamma.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5 * b), "{trigamma:?}");
}

#[test]
fn stopped_and_absent_ways_have_derivative_zero() {
    let stopped = |b: &mut Builder, x: Value| {
        let stopped = b.add(StopGradient {}, &[x]).unwrap();
        b.binary(Binary::Multiply, x, stopped).unwrap()
    };
    assert_eq!(derivative(&[3.0, 4.0], stopped), [3.0, 4.0]);
    let absent = |b: &mut Builder, _| b.constant(Literal::scalar(DType::F32, 1.0)).unwrap();
    assert_eq!(derivative(&[3.0, 4.0], absent), [0.0, 0.0]);
}

#[test]
fn a_gradient_of_a_gradient() {
    // y = x^3 summed; the derivative of the sum of squares of dy/dx = 3x^2 is 36 x^3
    let twice = |b: &mut Builder, x: Value| {
        let square = b.binary(Binary::Multiply, x, x).unwrap();
        let cube = b.binary(Binary::Multiply, square, x).unwrap();
        let sum = b.reduce(Reduction::Sum, &[0], cube).unwrap();
        let gradient = b.add(Gradient {}, &[sum, x]).unwrap();
        let slope = b.projections(gradient).unwrap()[0];
        b.binary(Binary::Multiply, slope, slope).unwrap()
    };
    assert_eq!(derivative(&[1.0, 2.0, -1.0], twice), [36.0, 288.0, -36.0]);
}

#[test]
fn a_derivative_takes_every_way_from_an_intermediate_value() {
    // z = y * x with y = x^2: by x it is 3 x^2, by y it is x
    let x = Literal::f32(&[], &[3.0]);
    let mut b = Builder::new();
    let parameter = b.parameter("x", x.ty()).unwrap();
    let y = b.binary(Binary::Multiply, parameter, parameter).unwrap();
    let z = b.binary(Binary::Multiply, y, parameter).unwrap();
    let gradient = b.add(Gradient {}, &[z, parameter, y]).unwrap();
    let derivatives = b.projections(gradient).unwrap();
    let graph = differentiate(&b.finish(derivatives)).unwrap();
    let values = interpret(&graph, &[x]).unwrap();
    assert_eq!([values[0].get(0), values[1].get(0)], [Scalar::Float(27.0), Scalar::Float(3.0)]);
}

#[test]
fn only_what_the_derivative_needs_is_computed() {
    // by the kernel of the first layer: no derivative by the data
    let mut b = Builder::new();
    let batch = Dim::symbol("B");
    let x = b.parameter("x", TensorType::new(DType::F32, [batch, Dim::constant(3)])).unwrap();
    let w = b.parameter("w", TensorType::new(DType::F32, [3i64, 2])).unwrap();
    let y = b.matmul(x, w).unwrap();
    let sum = b.reduce(Reduction::Sum, &[0, 1], y).unwrap();
    let gradient = b.add(Gradient {}, &[sum, w]).unwrap();
    let derivative = b.projections(gradient).unwrap();
    let graph = differentiate(&b.finish(derivative)).unwrap();
    verify(&graph).unwrap();
    let contractions = graph.nodes.iter().filter(|node| matches!(node.op, Op::DotGeneral(_))).count();
    assert_eq!(contractions, 1, "{}", kc_ir::tensor::text::print_graph(&graph));
    assert!(graph.nodes.iter().all(|node| matches!(node.ty, Type::Tensor(_))));
}

#[test]
fn an_op_without_a_gradient_says_so() {
    let mut b = Builder::new();
    let x = b.parameter("x", TensorType::new(DType::F32, [5000i64])).unwrap();
    let window = Window {
        size: vec![5000],
        strides: vec![1],
        padding: vec![(0, 0)],
        base_dilation: vec![1],
        window_dilation: vec![1],
    };
    let y = b.add(ReduceWindow { kind: Reduction::Product, window }, &[x]).unwrap();
    let y = b.reshape(y, &[]).unwrap();
    let gradient = b.add(Gradient {}, &[y, x]).unwrap();
    let derivative = b.projections(gradient).unwrap();
    let error = differentiate(&b.finish(derivative)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "reduce_window: with windows of [5000] it has no gradient, which takes ops for each position"
    );
}

#[test]
fn factors_without_a_derivative_say_so() {
    let error = |shape: [Dim; 2], function: CustomFunction| {
        let mut b = Builder::new();
        let x = b.parameter("x", TensorType::new(DType::F32, shape)).unwrap();
        let results = b.custom_call(function, &[x]).unwrap();
        let sum = b.reduce(Reduction::Sum, &[0, 1], results[0]).unwrap();
        let gradient = b.add(Gradient {}, &[sum, x]).unwrap();
        let derivative = b.projections(gradient).unwrap();
        differentiate(&b.finish(derivative)).unwrap_err().to_string()
    };
    let full = Factors::Full;
    assert_eq!(
        error([Dim::symbol("B"), Dim::constant(3)], CustomFunction::Qr { factors: full }),
        "qr: f32[B, 3] is not known to be square, expected that or known extents for its derivative"
    );
    assert_eq!(
        error([3, 2].map(Dim::constant), CustomFunction::Svd { factors: full }),
        "svd: the full factors of f32[3, 2] have no derivative; expected reduced ones"
    );
}
