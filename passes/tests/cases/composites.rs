use super::{Case, between, case, convolution, dims, matrices, small, u32s};
use kc_ir::DType;
use kc_ir::tensor::composites::*;
use kc_ir::tensor::ops::{ConvolutionAxes, DotGeneral};
use kc_ir::tensor::{Literal, Op, Real, Scalar};

/// Probabilities that sum to 1 along the last axis of extent 4.
fn probabilities(rows: usize) -> Literal {
    let values = between(&[rows, 4], 0.1, 1.0).to_f64_vec();
    let share = |i: usize| values[i] / values[i / 4 * 4..i / 4 * 4 + 4].iter().sum::<f64>();
    Literal::from_scalars(DType::F64, vec![rows, 4], (0..rows * 4).map(|i| Scalar::Float(share(i))))
}

fn losses() -> Vec<CategoricalCrossEntropy> {
    let scores = [Scores::Probabilities, Scores::Logits, Scores::ClippedLogits];
    let loss = |scores| [true, false].map(|sparse| CategoricalCrossEntropy { axis: 1, sparse, scores });
    scores.into_iter().flat_map(loss).collect()
}

/// For each loss the op of it and the operands: target and scores, then the others.
fn of_losses<T: Into<Op>>(op: impl Fn(CategoricalCrossEntropy) -> T, others: Vec<Literal>) -> Vec<Case> {
    let cases = losses().into_iter().map(|loss| {
        let target = if loss.sparse { u32s(&[1, 3, 0]) } else { probabilities(3) };
        let scores = match loss.scores {
            Scores::Probabilities => between(&[3, 4], 0.2, 0.9),
            Scores::Logits | Scores::ClippedLogits => between(&[3, 4], -2.0, 2.0),
        };
        case(op(loss), [vec![target, scores], others.clone()].concat())
    });
    cases.collect()
}

fn binary(loss: impl Fn(Scores) -> BinaryCrossEntropy) -> Vec<Case> {
    let of = |scores, values| case(loss(scores), vec![between(&[5], 0.1, 0.9), values]);
    vec![
        of(Scores::Probabilities, between(&[5], 0.2, 0.8)),
        of(Scores::Logits, between(&[5], -3.0, 3.0)),
        of(Scores::ClippedLogits, between(&[5], -3.0, 3.0)),
    ]
}

/// Attention of each kind, with the operands behind its own.
fn attentions<T: Into<Op>>(op: impl Fn(DotProductAttention) -> T, others: &[Literal]) -> Vec<Case> {
    let attention = |causal, bias, mask, dropout| DotProductAttention {
        scale: Real(0.7),
        causal,
        bias,
        mask,
        zero_excluded: causal,
        dropout: Real(dropout),
    };
    let first = || vec![small(&[2, 3, 2, 4]), between(&[2, 5, 2, 4], -1.1, 0.9), between(&[2, 5, 2, 3], -0.9, 1.2)];
    let bias = || vec![small(&[2, 1, 5])];
    let mask =
        || vec![Literal::from_scalars(DType::Bool, vec![3, 5], (0..15).map(|i| Scalar::Int((i % 3 != 2).into())))];
    let kinds = [
        (attention(false, false, false, 0.0), first()),
        (attention(true, true, false, 0.0), [first(), bias()].concat()),
        (attention(true, false, true, 0.0), [first(), mask()].concat()),
        (attention(false, true, true, 0.25), [first(), bias(), mask(), vec![u32s(&[0, 42])]].concat()),
    ];
    kinds.into_iter().map(|(attention, operands)| case(op(attention), [operands, others.to_vec()].concat())).collect()
}

/// What the gradients of attention take behind its operands.
fn statistics() -> Vec<Literal> {
    vec![between(&[2, 2, 3], 1.0, 2.0), between(&[2, 2, 3], 2.0, 4.0), small(&[2, 2, 3]), small(&[2, 3, 2, 3])]
}

/// The op at numbers on both sides of 0, and at others.
fn around(op: impl Into<Op>, others: &[f64]) -> Vec<Case> {
    let values: Vec<f64> = between(&[6], -2.0, 2.2).to_f64_vec().into_iter().chain(others.iter().copied()).collect();
    let values = Literal::from_scalars(DType::F64, vec![values.len()], values.into_iter().map(Scalar::Float));
    vec![case(op, vec![values])]
}

const ACTIVATIONS: [Activation; 5] =
    [Activation::Identity, Activation::Relu, Activation::Logistic, Activation::Tanh, Activation::Gelu];

/// The cases of the composite of that name.
pub fn cases(name: &str) -> Option<Vec<Case>> {
    let scalar = |value: f64| Literal::scalar(DType::F64, value);
    Some(match name {
        "relu" => vec![case(Relu {}, vec![between(&[6], -2.0, 2.2)])],
        "gelu" => vec![case(Gelu {}, vec![between(&[6], -2.0, 2.2)])],
        "gelu_tanh" => vec![case(GeluTanh {}, vec![between(&[6], -2.0, 2.2)])],
        "silu" => vec![case(Silu {}, vec![between(&[6], -2.0, 2.2)])],
        "layer_norm" => {
            let op =
                |axes: &[usize], scale, center| LayerNorm { axes: axes.to_vec(), epsilon: Real(1e-3), scale, center };
            vec![
                case(op(&[1], true, true), vec![small(&[3, 4]), between(&[4], 0.5, 1.5), small(&[4])]),
                case(op(&[0, 2], true, false), vec![small(&[2, 3, 2]), between(&[2, 2], 0.5, 1.5)]),
                case(op(&[1], false, true), vec![small(&[2, 3]), small(&[3])]),
                case(op(&[1], false, false), vec![small(&[2, 3])]),
            ]
        }
        "rms_norm" => {
            let op = |axes: &[usize], scale| RmsNorm { axes: axes.to_vec(), epsilon: Real(1e-6), scale };
            vec![
                case(op(&[1], true), vec![small(&[3, 4]), between(&[4], 0.5, 1.5)]),
                case(op(&[0, 2], false), vec![small(&[2, 3, 2])]),
            ]
        }
        "dot_product_attention" => attentions(|attention| attention, &[]),
        "dot_product_attention_gradient" => {
            attentions(|attention| DotProductAttentionGradient { attention }, &statistics())
        }
        "relu6" => around(Relu6 {}, &[-4.0, 9.0]),
        "leaky_relu" => around(LeakyRelu { negative_slope: Real(0.2) }, &[]),
        "elu" => around(Elu { alpha: Real(0.7) }, &[]),
        "selu" => around(Selu {}, &[]),
        "celu" => around(Celu { alpha: Real(0.7) }, &[]),
        "softplus" => around(Softplus {}, &[-800.0, 800.0]),
        "log_sigmoid" => around(LogSigmoid {}, &[-800.0, 800.0]),
        "softsign" => around(Softsign {}, &[]),
        "mish" => around(Mish {}, &[-800.0, 800.0]),
        "squareplus" => around(Squareplus { b: Real(4.0) }, &[]),
        "sparse_plus" => around(SparsePlus {}, &[]),
        "sparse_sigmoid" => around(SparseSigmoid {}, &[]),
        "hard_sigmoid" => around(HardSigmoid {}, &[-4.0, 4.0]),
        "hard_silu" => around(HardSilu {}, &[-4.0, 4.0]),
        "hard_tanh" => around(HardTanh {}, &[]),
        "hard_shrink" => around(HardShrink { threshold: Real(0.5) }, &[]),
        "soft_shrink" => around(SoftShrink { threshold: Real(0.5) }, &[]),
        "tanh_shrink" => around(TanhShrink {}, &[]),
        "threshold" => around(Threshold { threshold: Real(0.3), default_value: Real(-2.0) }, &[]),
        "glu" => vec![case(Glu { axis: 1 }, vec![small(&[2, 4])]), case(Glu { axis: 0 }, vec![small(&[2, 3])])],
        "log_sum_exp" => {
            let masked = [0.5, f64::NEG_INFINITY, -1.0].map(Scalar::Float);
            let masked = Literal::from_scalars(DType::F64, vec![1, 3], masked);
            vec![
                case(LogSumExp { axes: vec![1] }, vec![small(&[2, 4])]),
                case(LogSumExp { axes: vec![0, 2] }, vec![between(&[2, 3, 2], 700.0, 900.0)]),
                case(LogSumExp { axes: vec![1] }, vec![masked]),
            ]
        }
        "softmax" => {
            vec![case(Softmax { axis: 1 }, vec![small(&[2, 4])]), case(Softmax { axis: 0 }, vec![small(&[3, 2])])]
        }
        "softmax_gradient" => vec![case(SoftmaxGradient { axis: 1 }, vec![probabilities(2), small(&[2, 4])])],
        "log_softmax" => vec![case(LogSoftmax { axis: 1 }, vec![small(&[2, 4])])],
        "sparsemax" => vec![case(Sparsemax { axis: 1 }, vec![small(&[2, 4])])],
        "categorical_cross_entropy" => of_losses(|loss| loss, vec![]),
        "categorical_cross_entropy_gradient" => {
            of_losses(|loss| CategoricalCrossEntropyGradient { loss }, vec![small(&[3])])
        }
        "categorical_cross_entropy_with_gradient" => {
            of_losses(|loss| CategoricalCrossEntropyWithGradient { loss }, vec![])
        }
        "binary_cross_entropy" => binary(|scores| BinaryCrossEntropy { scores }),
        "batch_norm_train" => {
            let op = |axis, scale, center| BatchNormTrain { axis, epsilon: Real(1e-3), scale, center };
            vec![
                case(op(1, true, true), vec![small(&[5, 3]), small(&[3]), between(&[3], 1.0, 2.0)]),
                case(op(2, true, false), vec![small(&[2, 3, 2]), between(&[2], 0.5, 2.0)]),
                case(op(1, false, true), vec![small(&[2, 2, 3]), small(&[2])]),
                case(op(0, false, false), vec![small(&[2, 4])]),
            ]
        }
        "batch_norm_infer" => {
            let op = |axis, scale, center| BatchNormInfer { axis, epsilon: Real(1e-3), scale, center };
            let (x, mean, variance) = (small(&[2, 3]), small(&[3]), between(&[3], 0.5, 2.0));
            vec![
                case(
                    op(1, true, true),
                    vec![x.clone(), mean.clone(), variance.clone(), small(&[3]), between(&[3], 1.0, 2.0)],
                ),
                case(op(1, false, false), vec![x, mean, variance]),
            ]
        }
        "dropout" => {
            [0.0, 0.4, 1.0].map(|rate| case(Dropout { rate: Real(rate) }, vec![small(&[9]), u32s(&[0, 42])])).into()
        }
        "threefry" => vec![case(Threefry {}, vec![u32s(&[0, 42]), u32s(&[0, 0]), u32s(&[1, 2])])],
        "fold_in" => vec![case(FoldIn {}, vec![u32s(&[0, 42]), Literal::scalar(DType::U32, 3i64)])],
        "split_key" => vec![case(SplitKey { count: 3 }, vec![u32s(&[0, 42])])],
        "random_uniform" => {
            vec![case(
                RandomUniform { dtype: DType::F32, shape: dims(&[3]), low: Real(-1.0), high: Real(0.5) },
                vec![u32s(&[0, 42])],
            )]
        }
        "random_normal" => vec![case(RandomNormal { dtype: DType::F32, shape: dims(&[3]) }, vec![u32s(&[0, 42])])],
        "truncated_normal" => {
            vec![case(TruncatedNormal { dtype: DType::F32, shape: dims(&[3]) }, vec![u32s(&[0, 42])])]
        }
        "random_integers" => {
            let bounds = [-3i64, 5].map(|bound| Literal::scalar(DType::I64, bound));
            let op = RandomIntegers { dtype: DType::I16, shape: dims(&[3]) };
            vec![case(op, [vec![u32s(&[0, 42])], bounds.to_vec()].concat())]
        }
        "random_classes" => {
            vec![case(RandomClasses { dtype: DType::I32, count: 2 }, vec![small(&[2, 3]), u32s(&[0, 42])])]
        }
        // of integers, so that no derivative is asked for: a loop has none
        "random_gamma" | "random_beta" | "random_binomial" => vec![],
        "shuffle" => vec![case(Shuffle { axis: 1 }, vec![small(&[2, 3]), u32s(&[0, 42])])],
        "sgd_update" => {
            let op = |momentum, nesterov| SgdUpdate { momentum: Real(momentum), nesterov };
            let three = || vec![small(&[3]), between(&[3], 1.0, 2.0), scalar(0.1)];
            let four = || [three(), vec![between(&[3], 2.0, 3.0)]].concat();
            vec![case(op(0.0, false), three()), case(op(0.9, false), four()), case(op(0.9, true), four())]
        }
        "adam_step_size" => {
            let op = AdamStepSize { beta_1: Real(0.9), beta_2: Real(0.999) };
            vec![case(op, vec![scalar(0.1), Literal::scalar(DType::I64, 3i64)])]
        }
        "adam_update" => {
            let op = |amsgrad| AdamUpdate { beta_1: Real(0.9), beta_2: Real(0.999), epsilon: Real(1e-7), amsgrad };
            let first = || vec![small(&[3]), small(&[3]), between(&[3], 0.5, 1.0), between(&[3], 1.0, 2.0)];
            vec![
                case(op(false), [first(), vec![scalar(0.1)]].concat()),
                case(op(true), [first(), vec![between(&[3], 0.4, 2.7), scalar(0.1)]].concat()),
            ]
        }
        "dense" => {
            let contraction =
                DotGeneral { lhs_batch: vec![], rhs_batch: vec![], lhs_contract: vec![1], rhs_contract: vec![0] };
            let op = |activation| Dense { contraction: contraction.clone(), activation };
            ACTIVATIONS.map(|activation| case(op(activation), vec![small(&[2, 3]), small(&[3, 4]), small(&[4])])).into()
        }
        "convolution_bias" => {
            let op = |activation| ConvolutionBias {
                convolution: convolution(ConvolutionAxes::channels_last(1)),
                activation,
            };
            ACTIVATIONS
                .map(|activation| case(op(activation), vec![small(&[2, 5, 2]), small(&[3, 2, 3]), small(&[3])]))
                .into()
        }
        "winograd_filters" => vec![case(WinogradFilters {}, vec![small(&[3, 3, 2, 3])])],
        "winograd_convolution" => {
            let op = |padding| WinogradConvolution { padding, features: 3 };
            let panels = || small(&[16, 2, 2, 2]);
            vec![
                case(op([(1, 1), (0, 1)]), vec![small(&[2, 3, 4, 2]), panels()]),
                case(op([(0, 0), (2, 0)]), vec![small(&[1, 6, 3, 2]), panels()]),
            ]
        }
        "solve" => vec![case(Solve {}, vec![matrices(&[2, 4, 4], 0.7), small(&[2, 4, 3])])],
        "inverse" => vec![case(Inverse {}, vec![matrices(&[2, 3, 3], 0.7)])],
        "determinant" => {
            let mut cases: Vec<Case> = (1..=4).map(|n| case(Determinant {}, vec![matrices(&[2, n, n], 0.6)])).collect();
            // of rank 3 and of rank 2
            for row in [[1.0, 0.0, 1.0, 5.0], [3.0, 6.0, 9.0, 12.0]] {
                let rows = [[1.0, 2.0, 3.0, 4.0], [2.0, 4.0, 6.0, 8.0], [0.0, 1.0, 0.0, 2.0], row];
                let values = rows.concat().into_iter().map(Scalar::Float).collect::<Vec<_>>();
                cases.push(case(Determinant {}, vec![Literal::from_scalars(DType::F64, vec![4, 4], values)]));
            }
            cases
        }
        "log_determinant" => vec![case(LogDeterminant {}, vec![matrices(&[2, 4, 4], 0.6)])],
        "pseudo_inverse" => {
            let op = || PseudoInverse { rcond: Real(1e-10) };
            vec![case(op(), vec![matrices(&[2, 4, 3], 0.5)]), case(op(), vec![matrices(&[2, 4], 0.5)])]
        }
        _ => return None,
    })
}
