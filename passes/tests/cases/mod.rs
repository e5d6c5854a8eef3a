//! For each op operands, at which it is evaluated, differentiated and written as text.

mod composites;
mod control;
mod indexed;

use kc_ir::tensor::composites::Composite;
use kc_ir::tensor::ops::*;
use kc_ir::tensor::{Literal, Op, Scalar};
use kc_ir::{DType, Dim, TensorType};

/// An op and its operands.
#[derive(Clone)]
pub struct Case {
    pub name: String,
    pub op: Op,
    pub operands: Vec<Literal>,
}

pub fn case(op: impl Into<Op>, operands: Vec<Literal>) -> Case {
    let op = op.into();
    let types: Vec<String> = operands.iter().map(|operand| operand.ty().to_string()).collect();
    Case { name: format!("{op:?} of {}", types.join(", ")), op, operands }
}

/// f64 values between `low` and `high` that look random; none two are close to each other.
pub fn between(shape: &[usize], low: f64, high: f64) -> Literal {
    let elements: usize = shape.iter().product();
    let salt = shape.iter().fold(7, |salt, extent| salt * 31 + extent) as f64;
    // a permutation of equal steps: no ties for extrema
    let mut order: Vec<usize> = (0..elements).collect();
    order.sort_by(|&a, &b| ((a as f64 + salt) * 0.754877).fract().total_cmp(&((b as f64 + salt) * 0.754877).fract()));
    let value = |i: usize| low + (high - low) * (order[i] as f64 + 0.37) / elements as f64;
    Literal::from_scalars(DType::F64, shape.to_vec(), (0..elements).map(|i| Scalar::Float(value(i))))
}

/// Between -1 and 1.
pub fn small(shape: &[usize]) -> Literal {
    between(shape, -1.0, 1.0)
}

/// Between -1 and 1, but 0 at some positions.
fn with_zeros(shape: &[usize], zeros: &[usize]) -> Literal {
    let value = |(i, x): (usize, Scalar)| if zeros.contains(&i) { Scalar::Float(0.0) } else { x };
    Literal::from_scalars(DType::F64, shape.to_vec(), small(shape).scalars().enumerate().map(value))
}

pub fn u32s(values: &[i128]) -> Literal {
    Literal::from_scalars(DType::U32, vec![values.len()], values.iter().map(|&value| Scalar::Int(value)))
}

fn dims(values: &[i64]) -> Vec<Dim> {
    values.iter().map(|&value| Dim::constant(value)).collect()
}

fn window(rank: usize) -> Window {
    Window {
        size: vec![1; rank],
        strides: vec![1; rank],
        padding: vec![(0, 0); rank],
        base_dilation: vec![1; rank],
        window_dilation: vec![1; rank],
    }
}

pub fn convolution(axes: ConvolutionAxes) -> Convolution {
    let spatial = axes.lhs.len() - 2;
    Convolution {
        axes,
        strides: vec![1; spatial],
        padding: vec![(0, 0); spatial],
        lhs_dilation: vec![1; spatial],
        rhs_dilation: vec![1; spatial],
        feature_groups: 1,
        batch_groups: 1,
    }
}

fn unary(function: Unary) -> Vec<Case> {
    let operand = match function {
        Unary::Acosh => between(&[7], 1.2, 4.0),
        Unary::Log | Unary::Sqrt | Unary::Rsqrt | Unary::Lgamma => between(&[7], 0.3, 4.0),
        Unary::Log1p | Unary::Asin | Unary::Acos | Unary::Atanh | Unary::ErfInv | Unary::Tan => {
            between(&[7], -0.8, 0.85)
        }
        Unary::Digamma => between(&[9], -1.8, 4.0),
        Unary::Not | Unary::PopulationCount | Unary::CountLeadingZeros => u32s(&[0, 1, 42]),
        _ => between(&[7], -2.2, 2.3),
    };
    vec![case(function, vec![operand])]
}

fn binary(function: Binary) -> Vec<Case> {
    let (a, b) = match function {
        Binary::And | Binary::Or | Binary::Xor | Binary::ShiftLeft | Binary::ShiftRight => {
            (u32s(&[12, 7]), u32s(&[2, 1]))
        }
        Binary::Power => (between(&[6], 0.4, 2.0), between(&[6], -1.5, 2.5)),
        Binary::Remainder => (between(&[6], 3.1, 7.9), between(&[6], 1.1, 1.6)),
        _ => (between(&[6], -2.0, 2.5), between(&[6], 0.6, 1.9)),
    };
    vec![case(function, vec![a, b])]
}

/// Random matrices with `shift` added to the main diagonal.
pub fn matrices(shape: &[usize], shift: f64) -> Literal {
    let given = small(shape);
    let (rows, columns) = (shape[shape.len() - 2], shape[shape.len() - 1]);
    let values = given.scalars().enumerate().map(|(i, x)| {
        let (row, column) = (i / columns % rows, i % columns);
        Scalar::Float(x.to_f64() + if row == column { shift } else { 0.0 })
    });
    Literal::from_scalars(DType::F64, shape.to_vec(), values.collect::<Vec<_>>())
}

fn custom_calls() -> Vec<Case> {
    let of = |function, operands| case(CustomCall { function }, operands);
    let solve = |triangle, diagonal| {
        let function = CustomFunction::TriangularSolve { triangle, diagonal };
        of(function, vec![matrices(&[2, 3, 3], 2.0), small(&[2, 3, 2])])
    };
    let qr = |factors, shape: &[usize]| of(CustomFunction::Qr { factors }, vec![matrices(shape, 1.0)]);
    let svd = |factors, shape: &[usize]| of(CustomFunction::Svd { factors }, vec![matrices(shape, 1.0)]);
    vec![
        of(CustomFunction::Fft, vec![small(&[2, 5]), between(&[2, 5], 0.0, 1.0)]),
        of(CustomFunction::InverseFft, vec![small(&[6]), between(&[6], 0.0, 1.0)]),
        of(CustomFunction::Cholesky, vec![matrices(&[2, 3, 3], 4.0)]),
        solve(Triangle::Lower, Diagonal::Given),
        solve(Triangle::Upper, Diagonal::Ones),
        of(CustomFunction::Lu, vec![matrices(&[2, 4, 4], 0.3)]),
        of(CustomFunction::Lu, vec![matrices(&[2, 4, 2], 0.3)]),
        of(CustomFunction::Lu, vec![matrices(&[3, 5], 0.3)]),
        qr(Factors::Reduced, &[2, 4, 3]),
        qr(Factors::Full, &[3, 3]),
        qr(Factors::Full, &[2, 5, 3]),
        qr(Factors::Reduced, &[2, 2, 4]),
        of(CustomFunction::Eigh, vec![matrices(&[2, 4, 4], 0.5)]),
        of(CustomFunction::Eig, vec![small(&[3, 3])]),
        svd(Factors::Reduced, &[2, 4, 3]),
        svd(Factors::Reduced, &[3, 5]),
        svd(Factors::Full, &[3, 3]),
        of(CustomFunction::SingularValues, vec![small(&[4, 2])]),
    ]
}

/// The cases of the op of that name, composites apart.
fn cases(name: &str) -> Option<Vec<Case>> {
    let shaped = |shape: &[i64]| TensorType::new(DType::F64, shape.iter().copied());
    Some(match name {
        "parameter" => vec![case(Parameter { index: 0, name: "a \"name\"".into(), ty: shaped(&[2]) }, vec![])],
        "constant" => vec![case(Constant { value: small(&[2, 2]) }, vec![])],
        "iota" => vec![case(Iota { ty: shaped(&[2, 3]), axis: 1 }, vec![])],
        "dimension" => vec![case(Dimension { dim: Dim::constant(3), dtype: DType::F64 }, vec![])],
        "random_bits" => vec![case(RandomBits { shape: dims(&[3]) }, vec![u32s(&[0, 42])])],
        "arg_reduce" => {
            vec![case(ArgReduce { kind: Extremum::Max, axis: 1, dtype: DType::I64 }, vec![small(&[2, 3])])]
        }
        "compare" => Compare::ALL.iter().map(|&f| case(f, vec![small(&[4]), between(&[4], -0.3, 0.4)])).collect(),
        "gradient" => vec![case(Gradient {}, vec![small(&[]), small(&[2])])],
        // stands in every graph of an op with several results
        "projection" => vec![],
        "stop_gradient" => vec![case(StopGradient {}, vec![small(&[2])])],
        "bitcast_convert" => vec![case(BitcastConvert { dtype: DType::U64 }, vec![small(&[2])])],
        "select" => {
            let condition = Literal::from_scalars(DType::Bool, vec![4], [1, 0, 0, 1].map(Scalar::Int));
            vec![case(Select {}, vec![condition, small(&[4]), between(&[4], 2.0, 3.0)])]
        }
        "convert" => vec![case(Convert { dtype: DType::F64 }, vec![small(&[3])])],
        "broadcast" => {
            let op = |axes: &[usize]| Broadcast { shape: shaped(&[2, 3, 4]).shape, axes: axes.to_vec() };
            vec![
                case(op(&[]), vec![small(&[])]),
                case(op(&[1]), vec![small(&[3])]),
                case(op(&[0, 2]), vec![small(&[1, 4])]),
                case(op(&[0, 1, 2]), vec![small(&[2, 1, 1])]),
            ]
        }
        "reshape" => vec![case(Reshape { shape: dims(&[3, 4]) }, vec![small(&[2, 6])])],
        "transpose" => vec![case(Transpose { permutation: vec![2, 0, 1] }, vec![small(&[2, 3, 4])])],
        "reverse" => vec![case(Reverse { axes: vec![0, 2] }, vec![small(&[2, 3, 2])])],
        "slice" => {
            let op = |start: &[i64], limit: &[i64], stride: &[i64]| Slice {
                start: dims(start),
                limit: dims(limit),
                stride: stride.to_vec(),
            };
            vec![
                case(op(&[1, 0], &[3, 4], &[1, 1]), vec![small(&[4, 4])]),
                case(op(&[1, 0], &[4, 6], &[2, 4]), vec![small(&[4, 7])]),
                case(op(&[1, 2], &[1, 4], &[1, 1]), vec![small(&[4, 4])]),
            ]
        }
        "pad" => {
            let op = |low: &[i64], high: &[i64], interior: &[i64]| Pad {
                low: low.to_vec(),
                high: high.to_vec(),
                interior: interior.to_vec(),
            };
            vec![
                case(op(&[1, 0], &[0, 2], &[0, 0]), vec![small(&[2, 3]), small(&[])]),
                case(op(&[1, 2], &[0, 1], &[1, 2]), vec![small(&[2, 3]), small(&[])]),
                case(op(&[-1, 2], &[1, -1], &[1, 1]), vec![small(&[3, 3]), small(&[])]),
            ]
        }
        "concatenate" => vec![
            case(Concatenate { axis: 1 }, vec![small(&[2, 1]), small(&[2, 3]), small(&[2, 2])]),
            case(Concatenate { axis: 0 }, vec![small(&[2])]),
        ],
        "gather" => indexed::gather(),
        "scatter" => indexed::scatter(),
        "reduce" => {
            let op = |kind, axes: &[usize]| Reduce { kind, axes: axes.to_vec() };
            vec![
                case(op(Reduction::Sum, &[0, 2]), vec![small(&[2, 3, 2])]),
                case(op(Reduction::Max, &[1]), vec![small(&[3, 4])]),
                case(op(Reduction::Min, &[0]), vec![small(&[3, 4])]),
                case(op(Reduction::Product, &[1]), vec![with_zeros(&[2, 4], &[])]),
                case(op(Reduction::Product, &[1]), vec![with_zeros(&[2, 4], &[2, 4, 7])]),
            ]
        }
        "cumulative" => {
            let op = |kind, axis, reverse| Cumulative { kind, axis, reverse };
            let zeros = |zeros: &[usize]| with_zeros(&[2, 5], zeros);
            let mut cases = vec![
                case(op(Reduction::Product, 1, false), vec![zeros(&[])]),
                case(op(Reduction::Product, 1, false), vec![zeros(&[2, 6, 8])]),
                case(op(Reduction::Product, 1, true), vec![zeros(&[0, 5, 9])]),
                case(op(Reduction::Sum, 0, false), vec![small(&[7])]),
                case(op(Reduction::Sum, 0, true), vec![small(&[3, 18])]),
            ];
            for kind in [Reduction::Sum, Reduction::Product, Reduction::Max, Reduction::Min] {
                for (axis, reverse) in [(0, true), (1, false), (2, true)] {
                    cases.push(case(op(kind, axis, reverse), vec![small(&[2, 3, 5])]));
                }
            }
            cases
        }
        "recurrence" => [(0, false), (1, true), (1, false)]
            .map(|(axis, reverse)| case(Recurrence { axis, reverse }, vec![small(&[3, 5]), between(&[3, 5], 0.2, 1.0)]))
            .into(),
        "dot_general" => {
            let op =
                |lhs_batch: &[usize], rhs_batch: &[usize], lhs_contract: &[usize], rhs_contract: &[usize]| DotGeneral {
                    lhs_batch: lhs_batch.to_vec(),
                    rhs_batch: rhs_batch.to_vec(),
                    lhs_contract: lhs_contract.to_vec(),
                    rhs_contract: rhs_contract.to_vec(),
                };
            vec![
                case(op(&[], &[], &[1], &[0]), vec![small(&[2, 3]), small(&[3, 4])]),
                case(op(&[], &[], &[0], &[1]), vec![small(&[3, 2]), small(&[4, 3])]),
                case(op(&[1], &[2], &[0, 3], &[1, 0]), vec![small(&[2, 3, 2, 4]), small(&[4, 2, 3, 2])]),
                case(op(&[], &[], &[], &[]), vec![small(&[2]), small(&[3])]),
                case(op(&[], &[], &[0], &[0]), vec![small(&[3]), small(&[3])]),
            ]
        }
        "convolution" => {
            let last = || convolution(ConvolutionAxes::channels_last(2));
            let line = || convolution(ConvolutionAxes::channels_last(1));
            let (x, kernel) = (small(&[2, 5, 4, 2]), small(&[3, 2, 2, 3]));
            let pair = || vec![x.clone(), kernel.clone()];
            vec![
                case(last(), pair()),
                case(Convolution { strides: vec![2, 1], padding: vec![(1, 1), (0, 1)], ..last() }, pair()),
                case(Convolution { strides: vec![2, 3], padding: vec![(0, 1), (2, 1)], ..last() }, pair()),
                case(Convolution { rhs_dilation: vec![2, 3], padding: vec![(1, 0), (1, 2)], ..last() }, pair()),
                case(
                    Convolution {
                        lhs_dilation: vec![2, 3],
                        padding: vec![(2, 1), (1, 1)],
                        strides: vec![1, 2],
                        ..last()
                    },
                    pair(),
                ),
                case(Convolution { padding: vec![(-1, 1), (1, -1)], ..last() }, pair()),
                case(convolution(ConvolutionAxes::channels_first(1)), vec![small(&[2, 3, 5]), small(&[2, 3, 4])]),
                case(
                    Convolution { feature_groups: 2, strides: vec![2], padding: vec![(1, 1)], ..line() },
                    vec![small(&[2, 6, 4]), small(&[3, 2, 6])],
                ),
                case(Convolution { feature_groups: 4, ..line() }, vec![small(&[2, 5, 4]), small(&[3, 1, 8])]),
                case(Convolution { batch_groups: 2, ..line() }, vec![small(&[4, 5, 3]), small(&[2, 3, 4])]),
                case(convolution(ConvolutionAxes::channels_last(0)), vec![small(&[3, 2]), small(&[2, 4])]),
            ]
        }
        "reduce_window" => {
            let op = |kind, window| ReduceWindow { kind, window };
            let strided = || Window {
                size: vec![1, 3, 2],
                strides: vec![1, 2, 2],
                padding: vec![(0, 0), (1, 1), (0, 1)],
                ..window(3)
            };
            let dilated = || Window {
                size: vec![2, 1, 3],
                base_dilation: vec![1, 1, 2],
                window_dilation: vec![2, 1, 2],
                strides: vec![1, 1, 2],
                padding: vec![(1, 0), (0, 0), (2, 2)],
            };
            vec![
                case(op(Reduction::Sum, strided()), vec![small(&[2, 5, 4])]),
                case(op(Reduction::Sum, dilated()), vec![small(&[3, 2, 4])]),
                case(op(Reduction::Max, strided()), vec![small(&[2, 5, 4])]),
                case(op(Reduction::Min, strided()), vec![small(&[2, 5, 4])]),
                case(op(Reduction::Max, dilated()), vec![small(&[3, 2, 4])]),
                case(op(Reduction::Product, strided()), vec![with_zeros(&[2, 5, 4], &[])]),
                case(op(Reduction::Product, strided()), vec![with_zeros(&[1, 5, 4], &[0, 5, 6, 17])]),
                case(op(Reduction::Product, dilated()), vec![with_zeros(&[3, 2, 4], &[3, 9])]),
            ]
        }
        "select_and_scatter" => {
            let strided = Window { size: vec![3, 2], strides: vec![2, 2], padding: vec![(1, 1), (0, 1)], ..window(2) };
            let apart = Window { size: vec![2, 2], strides: vec![2, 2], ..window(2) };
            let dilated = Window {
                size: vec![2, 3],
                base_dilation: vec![1, 2],
                window_dilation: vec![2, 2],
                padding: vec![(1, 0), (2, 1)],
                ..window(2)
            };
            vec![
                case(SelectAndScatter { window: dilated }, vec![small(&[4, 3]), between(&[3, 4], 2.0, 3.0)]),
                case(SelectAndScatter { window: strided }, vec![small(&[5, 4]), between(&[3, 2], 2.0, 3.0)]),
                case(SelectAndScatter { window: apart }, vec![small(&[4, 6]), small(&[2, 3])]),
            ]
        }
        "sort" => {
            let op = |axis, keys, direction| Sort { axis, keys, direction };
            // every key twice, so that the second key decides
            let pairs = Literal::from_scalars(
                DType::F64,
                vec![2, 4],
                [1, 0, 1, 0, 0, 0, 1, 1].map(|x| Scalar::Float(x as f64)),
            );
            vec![
                case(op(1, 1, Direction::Ascending), vec![small(&[2, 5])]),
                case(op(0, 1, Direction::Descending), vec![small(&[4, 3])]),
                case(op(1, 1, Direction::Ascending), vec![small(&[2, 4, 3]), between(&[2, 4, 3], 1.0, 2.0)]),
                case(op(0, 1, Direction::Descending), vec![u32s(&[3, 1, 3, 2]), small(&[4])]),
                case(op(1, 2, Direction::Ascending), vec![small(&[2, 4]), pairs]),
            ]
        }
        "top_k" => vec![case(TopK { k: 3 }, vec![small(&[2, 7])]), case(TopK { k: 2 }, vec![u32s(&[5, 7, 7, 7, 1])])],
        "custom_call" => custom_calls(),
        "unary" => Unary::ALL.iter().flat_map(|&function| unary(function)).collect(),
        "binary" => Binary::ALL.iter().flat_map(|&function| binary(function)).collect(),
        other => return control::cases(other),
    })
}

/// The cases of all ops.
///
/// # Panics
/// Where an op, an elementwise function or a composite has no cases.
pub fn all() -> Vec<Case> {
    let of = |name: String| match name.as_str() {
        // the members are named, so that a failure says which one has no cases
        "composite" => {
            Composite::names().flat_map(|name| composites::cases(&name).unwrap_or_else(|| missing(&name))).collect()
        }
        name => cases(name).unwrap_or_else(|| missing(name)),
    };
    Op::names().flat_map(of).collect()
}

fn missing(name: &str) -> Vec<Case> {
    panic!("`{name}` has no cases; add them in passes/tests/cases")
}
