//! The interpreter against numbers worked out by hand.

use kc_ir::tensor::ops::*;
use kc_ir::tensor::{Builder, Literal, Op, Scalar, interpret};
use kc_ir::{DType, Dim, TensorType};
use std::slice::from_ref;

fn evaluate(op: impl Into<Op>, operands: &[Literal]) -> Literal {
    let mut b = Builder::new();
    let parameters: Vec<_> = operands.iter().map(|operand| b.parameter("x", operand.ty()).unwrap()).collect();
    let value = b.add(op, &parameters).unwrap();
    interpret(&b.finish(vec![value]), operands).unwrap().remove(0)
}

fn counted(shape: &[usize]) -> Literal {
    let elements: usize = shape.iter().product();
    Literal::from_scalars(DType::F32, shape.to_vec(), (0..elements).map(|i| Scalar::Float(i as f64)))
}

fn ints(dtype: DType, values: &[i128]) -> Literal {
    Literal::from_scalars(dtype, vec![values.len()], values.iter().map(|&value| Scalar::Int(value)))
}

#[test]
fn integers_wrap_and_divide_as_declared() {
    let (a, b) = (ints(DType::I8, &[127, -128, -7, 5, 1]), ints(DType::I8, &[1, -1, 2, 0, 9]));
    for (function, expected) in [
        (Binary::Add, [-128, 127, -5, 5, 10]),
        (Binary::Multiply, [127, -128, -14, 0, 9]),
        (Binary::Divide, [127, -128, -3, -1, 0]),
        (Binary::Remainder, [0, 0, -1, 5, 1]),
        (Binary::Power, [127, 0, 49, 1, 1]),
        (Binary::ShiftLeft, [-2, 0, -28, 5, 0]),
        (Binary::ShiftRight, [63, -1, -2, 5, 0]),
    ] {
        assert_eq!(evaluate(function, &[a.clone(), b.clone()]), ints(DType::I8, &expected), "{}", function.text());
    }
    for (function, expected) in [
        (Unary::Abs, [127, -128, 7, 5, 1]),
        (Unary::Not, [-128, 127, 6, -6, -2]),
        (Unary::PopulationCount, [7, 1, 6, 2, 1]),
        (Unary::CountLeadingZeros, [1, 0, 0, 5, 7]),
    ] {
        assert_eq!(evaluate(function, from_ref(&a)), ints(DType::I8, &expected), "{}", function.text());
    }
    assert_eq!(
        evaluate(Binary::Divide, &[ints(DType::U8, &[9, 9]), ints(DType::U8, &[0, 2])]),
        ints(DType::U8, &[255, 4])
    );
}

#[test]
fn conversions_round_once() {
    let x = Literal::from_scalars(DType::F64, vec![6], [2.5, -2.5, 300.0, f64::NAN, -1.0, 1e300].map(Scalar::Float));
    let to = |dtype| evaluate(Convert { dtype }, from_ref(&x));
    assert_eq!(to(DType::I8), ints(DType::I8, &[2, -2, 127, 0, -1, 127]));
    assert_eq!(to(DType::U8), ints(DType::U8, &[2, 0, 255, 0, 0, 255]));
    assert_eq!(to(DType::Bool), ints(DType::Bool, &[1, 1, 1, 1, 1, 1]));
    assert_eq!(to(DType::F32).get(5), Scalar::Float(f64::INFINITY));
    // just above the middle between two neighbours: rounding by way of f32 would go down
    let middle = Literal::scalar(DType::F64, 1.0 + 2f64.powi(-11) + 2f64.powi(-40));
    assert_eq!(evaluate(Convert { dtype: DType::F16 }, &[middle]).get(0), Scalar::Float(1.0 + 2f64.powi(-10)));
}

#[test]
fn movement() {
    let x = counted(&[2, 3]);
    assert_eq!(
        evaluate(Transpose { permutation: vec![1, 0] }, from_ref(&x)),
        Literal::f32(&[3, 2], &[0., 3., 1., 4., 2., 5.])
    );
    assert_eq!(evaluate(Reverse { axes: vec![1] }, from_ref(&x)), Literal::f32(&[2, 3], &[2., 1., 0., 5., 4., 3.]));
    let pad = Pad { low: vec![0, -1], high: vec![1, 2], interior: vec![1, 1] };
    let padded = evaluate(pad, &[x.clone(), Literal::scalar(DType::F32, 9.0)]);
    let expected = [9., 1., 9., 2., 9., 9., 9., 9., 9., 9., 9., 9., 9., 4., 9., 5., 9., 9., 9., 9., 9., 9., 9., 9.];
    assert_eq!(padded, Literal::f32(&[4, 6], &expected));
    let dims = |values: [i64; 2]| values.map(Dim::constant).to_vec();
    let slice = Slice { start: dims([1, 0]), limit: dims([2, 3]), stride: vec![1, 2] };
    assert_eq!(evaluate(slice, from_ref(&x)), Literal::f32(&[1, 2], &[3., 5.]));
    let joined = evaluate(Concatenate { axis: 1 }, &[x.clone(), Literal::f32(&[2, 1], &[8., 9.])]);
    assert_eq!(joined, Literal::f32(&[2, 4], &[0., 1., 2., 8., 3., 4., 5., 9.]));
    let repeated = evaluate(Broadcast { shape: dims([2, 3]), axes: vec![0, 1] }, &[Literal::f32(&[2, 1], &[1., 2.])]);
    assert_eq!(repeated, Literal::f32(&[2, 3], &[1., 1., 1., 2., 2., 2.]));
}

#[test]
fn reductions_know_nan_zeros_and_nothing() {
    let x = Literal::f32(&[2, 2], &[f32::NAN, 1.0, -0.0, 0.0]);
    let max = evaluate(Reduce { kind: Reduction::Max, axes: vec![1] }, from_ref(&x)).to_f64_vec();
    assert!(max[0].is_nan() && max[1] == 0.0 && max[1].is_sign_positive());
    let min = evaluate(Reduce { kind: Reduction::Min, axes: vec![1] }, &[x]).to_f64_vec();
    assert!(min[1] == 0.0 && min[1].is_sign_negative());
    let nothing = Literal::f32(&[0], &[]);
    for (kind, expected) in [
        (Reduction::Sum, 0.0),
        (Reduction::Product, 1.0),
        (Reduction::Max, f32::NEG_INFINITY),
        (Reduction::Min, f32::INFINITY),
    ] {
        assert_eq!(evaluate(Reduce { kind, axes: vec![0] }, from_ref(&nothing)), Literal::f32(&[], &[expected]));
    }
    let ties = Literal::f32(&[2, 3], &[1., 5., 5., 2., f32::NAN, f32::NAN]);
    let first = evaluate(ArgReduce { kind: Extremum::Max, axis: 1, dtype: DType::I32 }, &[ties]);
    assert_eq!(first, ints(DType::I32, &[1, 1]));
}

#[test]
fn a_sum_accumulates_wide() {
    // in f32 the ones would be lost beside the large number
    let x = Literal::f32(&[3], &[1e8, 1.0, -1e8]);
    assert_eq!(evaluate(Reduce { kind: Reduction::Sum, axes: vec![0] }, &[x]), Literal::f32(&[], &[1.0]));
}

#[test]
fn a_convolution_with_strides_dilations_and_groups() {
    // one image of 5 x 1 with 2 features in 2 groups, kernel of 2 with dilation 2, stride 2, padding 1
    let op = Convolution {
        axes: ConvolutionAxes::channels_last(1),
        strides: vec![2],
        padding: vec![(1, 1)],
        lhs_dilation: vec![1],
        rhs_dilation: vec![2],
        feature_groups: 2,
        batch_groups: 1,
    };
    let x = Literal::f32(&[1, 5, 2], &[1., 10., 2., 20., 3., 30., 4., 40., 5., 50.]);
    let kernel = Literal::f32(&[2, 1, 2], &[1., 2., 100., 3.]);
    // positions 2o - 1 + 2k: (-1, 1), (1, 3), (3, 5)
    let expected = [2. * 100., 20. * 3., 2. + 400., 20. * 2. + 40. * 3., 4., 40. * 2.];
    assert_eq!(evaluate(op, &[x, kernel]), Literal::f32(&[1, 3, 2], &expected));
}

#[test]
fn windows_and_their_selection() {
    let window = Window {
        size: vec![2, 2],
        strides: vec![1, 2],
        padding: vec![(0, 0), (1, 0)],
        base_dilation: vec![1, 1],
        window_dilation: vec![1, 1],
    };
    let x = Literal::f32(&[2, 3], &[1., 5., 5., 4., 5., 0.]);
    let max = evaluate(ReduceWindow { kind: Reduction::Max, window: window.clone() }, from_ref(&x));
    assert_eq!(max, Literal::f32(&[1, 2], &[4., 5.]));
    let scattered = evaluate(SelectAndScatter { window }, &[x, Literal::f32(&[1, 2], &[7., 8.])]);
    assert_eq!(scattered, Literal::f32(&[2, 3], &[0., 8., 0., 7., 0., 0.]));
}

#[test]
fn symbols_are_bound_by_the_arguments() {
    let mut b = Builder::new();
    let batch = Dim::symbol("B");
    let x = b.parameter("x", TensorType::new(DType::F32, [batch.clone(), Dim::constant(2)])).unwrap();
    let y = b.parameter("y", TensorType::new(DType::F32, [batch.clone() * Dim::constant(2)])).unwrap();
    let flat = b.reshape(x, &[batch.clone() * Dim::constant(2)]).unwrap();
    let sum = b.binary(Binary::Add, flat, y).unwrap();
    let count = b.dimension(batch, DType::F32).unwrap();
    let mean = b.binary(Binary::Divide, sum, count).unwrap();
    let graph = b.finish(vec![mean]);
    let result = interpret(&graph, &[counted(&[3, 2]), counted(&[6])]).unwrap();
    assert_eq!(
        result[0].to_f64_vec(),
        [0.0, 2.0 / 3.0, 4.0 / 3.0, 2.0, 8.0 / 3.0, 10.0 / 3.0].map(|x| f64::from(x as f32))
    );
    let error = |arguments: &[Literal]| interpret(&graph, arguments).unwrap_err().to_string();
    assert_eq!(error(&[counted(&[3, 2])]), "the graph takes 2 arguments, got 1");
    assert_eq!(error(&[counted(&[3, 2]), counted(&[5])]), "argument 1 (`y`) is f32[5], expected f32[B*2] = f32[6]");
    assert_eq!(
        error(&[counted(&[3, 3]), counted(&[6])]),
        "argument 0 (`x`) is f32[3, 3], expected f32[B, 2] = f32[3, 2]"
    );
}

#[test]
fn what_is_too_large_is_an_error() {
    let mut b = Builder::new();
    let shape = vec![Dim::constant(1 << 22), Dim::constant(1 << 22)];
    let x = b.add(Iota { ty: TensorType { dtype: DType::F32, shape }, axis: 0 }, &[]).unwrap();
    let error = interpret(&b.finish(vec![x]), &[]).unwrap_err().to_string();
    assert!(error.ends_with("with the extents [4194304, 4194304] is too large to interpret"), "{error}");
}

/// Rows of a table.
fn rows() -> IndexedWindows {
    IndexedWindows {
        offset: vec![1],
        collapsed: vec![0],
        operand_batch: vec![],
        indices_batch: vec![],
        index_map: vec![0],
    }
}

#[test]
fn positions_outside_of_the_tensor_are_no_error() {
    let table = counted(&[3, 2]);
    let indices = ints(DType::I64, &[2, -1, i64::MAX.into()]).reshaped(vec![3, 1]).unwrap();
    let gather = |mode| {
        let op = Gather { windows: rows(), sizes: vec![Dim::constant(1), Dim::constant(2)], mode };
        evaluate(op, &[table.clone(), indices.clone()]).to_f64_vec()
    };
    assert_eq!(gather(GatherMode::Clip), [4., 5., 0., 1., 4., 5.]);
    assert_eq!(gather(GatherMode::Zero), [4., 5., 0., 0., 0., 0.]);
    let invalid = gather(GatherMode::Invalid);
    assert_eq!(invalid[..2], [4., 5.]);
    assert!(invalid[2..].iter().all(|x| x.is_nan()));
    let updates = Literal::f32(&[3, 2], &[10., 20., 30., 40., 50., 60.]);
    let scatter = |kind, mode| {
        let op = Scatter { kind, windows: rows(), mode };
        evaluate(op, &[table.clone(), indices.clone(), updates.clone()]).to_f64_vec()
    };
    assert_eq!(scatter(ScatterKind::Add, ScatterMode::Drop), [0., 1., 2., 3., 14., 25.]);
    assert_eq!(scatter(ScatterKind::Add, ScatterMode::Clip), [30., 41., 2., 3., 64., 85.]);
    // of several updates the last stays
    assert_eq!(scatter(ScatterKind::Set, ScatterMode::Clip), [30., 40., 2., 3., 50., 60.]);
    assert_eq!(scatter(ScatterKind::Maximum, ScatterMode::Clip), [30., 40., 2., 3., 50., 60.]);
    assert_eq!(scatter(ScatterKind::Minimum, ScatterMode::Clip), [0., 1., 2., 3., 4., 5.]);
    assert_eq!(scatter(ScatterKind::Multiply, ScatterMode::Clip), [0., 40., 2., 3., 2000., 6000.]);
}

#[test]
fn the_usual_forms_of_gather_and_scatter() {
    let mut b = Builder::new();
    let x = b.parameter("x", TensorType::new(DType::F32, [2i64, 3])).unwrap();
    let columns = b.parameter("columns", TensorType::new(DType::I32, [2i64, 2])).unwrap();
    let start = b.parameter("start", TensorType::new(DType::I32, [2i64])).unwrap();
    let segments = b.parameter("segments", TensorType::new(DType::I32, [2i64])).unwrap();
    let from_end = b.from_end(columns, &Dim::constant(3)).unwrap();
    let corner = [1i64, 2].map(Dim::constant);
    let piece = b.dynamic_slice(x, start, &corner).unwrap();
    let results = vec![
        b.take(x, from_end, 1, GatherMode::Invalid).unwrap(),
        b.take_along_axis(x, from_end, 1, GatherMode::Invalid).unwrap(),
        b.gather_nd(x, columns, GatherMode::Zero).unwrap(),
        piece,
        b.dynamic_update_slice(x, piece, segments).unwrap(),
        b.segments(Reduction::Sum, x, segments, 3i64).unwrap(),
        b.segments(Reduction::Max, x, segments, 2i64).unwrap(),
    ];
    let graph = b.finish(results);
    let arguments = [
        counted(&[2, 3]),
        ints(DType::I32, &[0, -1, 1, 1]).reshaped(vec![2, 2]).unwrap(),
        ints(DType::I32, &[1, 9]),
        ints(DType::I32, &[2, 0]),
    ];
    let values = interpret(&graph, &arguments).unwrap();
    let expected: [&[f64]; 7] = [
        &[0., 2., 1., 1., 3., 5., 4., 4.],
        &[0., 2., 4., 4.],
        &[0., 4.],
        &[4., 5.],
        &[0., 1., 2., 4., 5., 5.],
        &[3., 4., 5., 0., 0., 0., 0., 1., 2.],
        &[3., 4., 5., f64::NEG_INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY],
    ];
    for (value, expected) in values.iter().zip(expected) {
        assert_eq!(value.to_f64_vec(), expected);
    }
}

#[test]
fn running_reductions() {
    let x = Literal::f32(&[2, 3], &[1., 2., 3., 4., 0., f32::NAN]);
    let along = |kind, axis, reverse| evaluate(Cumulative { kind, axis, reverse }, from_ref(&x)).to_f64_vec();
    assert_eq!(along(Reduction::Sum, 1, false)[..5], [1., 3., 6., 4., 4.]);
    assert_eq!(along(Reduction::Sum, 0, true)[..2], [5., 2.]);
    assert_eq!(along(Reduction::Product, 1, true)[..3], [6., 6., 3.]);
    assert_eq!(along(Reduction::Max, 0, false)[..5], [1., 2., 3., 4., 2.]);
    assert!(along(Reduction::Min, 1, true)[3..].iter().all(|x| x.is_nan()));
    let wrapped = evaluate(
        Cumulative { kind: Reduction::Product, axis: 0, reverse: false },
        &[ints(DType::I8, &[100, 2, 3, -1])],
    );
    assert_eq!(wrapped, ints(DType::I8, &[100, -56, 88, -88]));
    let factors = Literal::f32(&[3], &[7., 2., 3.]);
    let addends = Literal::f32(&[3], &[1., 10., 100.]);
    let recurrence = |reverse| evaluate(Recurrence { axis: 0, reverse }, &[factors.clone(), addends.clone()]);
    assert_eq!(recurrence(false).to_f64_vec(), [1., 12., 136.]);
    assert_eq!(recurrence(true).to_f64_vec(), [1471., 210., 100.]);
}
