//! Random instances of each rule's left side: what its variables stand for, and what values its operands take.

use crate::random::{Random, Values};
use kc_ir::tensor::composites::*;
use kc_ir::tensor::ops::*;
use kc_ir::tensor::{Literal, Op, Real};
use kc_ir::{DType, Dim, TensorType};
use kc_passes::saturate::Binding;
use std::cell::{Cell, RefCell};

/// Bindings of a rule's variables, and values of its operands by name.
pub struct Sample {
    pub bindings: Vec<(&'static str, Binding)>,
    pub values: Vec<(&'static str, Values)>,
}

/// Collects a sample.
struct Draw<'r> {
    random: RefCell<&'r mut Random>,
    dtype: DType,
    /// What unnamed operands take.
    usual: Cell<Values>,
    sample: RefCell<Sample>,
}

impl Draw<'_> {
    fn extent(&self) -> i64 {
        self.random.borrow_mut().extent(1, 5)
    }
    fn shape(&self, rank: usize) -> Vec<i64> {
        (0..rank).map(|_| self.extent()).collect()
    }
    fn any_shape(&self) -> Vec<i64> {
        let rank = self.random.borrow_mut().below(4);
        self.shape(rank)
    }
    fn one_of<T: Copy>(&self, from: &[T]) -> T {
        self.random.borrow_mut().one_of(from)
    }
    fn ty(&self, shape: &[i64]) -> TensorType {
        TensorType::new(self.dtype, dims(shape))
    }
    fn tensor(&self, name: &'static str, shape: &[i64]) {
        self.tensor_of(name, self.dtype, shape, self.usual.get());
    }
    fn tensor_of(&self, name: &'static str, dtype: DType, shape: &[i64], values: Values) {
        let mut sample = self.sample.borrow_mut();
        sample.bindings.push((name, Binding::Tensor(TensorType::new(dtype, dims(shape)))));
        sample.values.push((name, values));
    }
    fn splat(&self, name: &'static str, value: f64, shape: &[i64]) {
        let binding = Binding::Splat(Literal::scalar(self.dtype, value), self.ty(shape));
        self.sample.borrow_mut().bindings.push((name, binding));
    }
    fn op(&self, name: &'static str, op: impl Into<Op>) {
        self.sample.borrow_mut().bindings.push((name, Binding::Attributes(op.into())));
    }
    /// A vector's broadcast along an axis.
    fn along(&self, name: &'static str, shape: &[i64], axis: usize) {
        self.op(name, Broadcast { shape: dims(shape), axes: vec![axis] });
    }
    /// A contraction `d` of `left` and `right`; its result's shape.
    fn contraction(&self, left: &'static str, right: &'static str) -> Vec<i64> {
        let (batch, rows, inner, columns) = (self.extent(), self.extent(), self.extent(), self.extent());
        let plain = |lhs: &[usize], rhs: &[usize]| DotGeneral {
            lhs_batch: vec![],
            rhs_batch: vec![],
            lhs_contract: lhs.to_vec(),
            rhs_contract: rhs.to_vec(),
        };
        let (op, lhs, rhs, result) = match self.one_of(&[0, 1, 2, 3]) {
            0 => (plain(&[1], &[0]), vec![rows, inner], vec![inner, columns], vec![rows, columns]),
            1 => (plain(&[0], &[1]), vec![inner, rows], vec![columns, inner], vec![rows, columns]),
            2 => (plain(&[2], &[0]), vec![batch, rows, inner], vec![inner, columns], vec![batch, rows, columns]),
            _ => (
                DotGeneral { lhs_batch: vec![0], rhs_batch: vec![0], lhs_contract: vec![2], rhs_contract: vec![1] },
                vec![batch, rows, inner],
                vec![batch, inner, columns],
                vec![batch, rows, columns],
            ),
        };
        self.op("d", op);
        self.tensor(left, &lhs);
        self.tensor(right, &rhs);
        result
    }
    /// A convolution `v` of `x` and `k`; its result's shape.
    fn convolution(&self) -> Vec<i64> {
        self.convolution_of(self.dtype)
    }
    fn convolution_of(&self, dtype: DType) -> Vec<i64> {
        let (batch, height, width) = (self.one_of(&[1, 2]), self.one_of(&[3, 4]), self.one_of(&[3, 5]));
        let (inputs, filters, size) = (self.one_of(&[1, 2]), self.one_of(&[1, 3]), self.one_of(&[1, 2, 3]));
        let op = Convolution {
            axes: ConvolutionAxes::channels_last(2),
            strides: vec![1, self.one_of(&[1, 2])],
            padding: vec![(0, 1), (1, 0)],
            lhs_dilation: vec![1, 1],
            rhs_dilation: vec![1, 1],
            feature_groups: 1,
            batch_groups: 1,
        };
        let result = vec![batch, height + 1 - size + 1, (width + 1 - size) / op.strides[1] + 1, filters];
        self.op("v", op);
        let usual = self.usual.get();
        self.tensor_of("x", dtype, &[batch, height, width, inputs], usual);
        self.tensor_of("k", dtype, &[size, size, inputs, filters], usual);
        result
    }
    fn dense(&self) -> (Vec<i64>, DotGeneral) {
        let (rows, inner, columns) = (self.extent(), self.extent(), self.extent());
        self.tensor("x", &[rows, inner]);
        self.tensor("w", &[inner, columns]);
        self.tensor("b", &[columns]);
        (
            vec![rows, columns],
            DotGeneral { lhs_batch: vec![], rhs_batch: vec![], lhs_contract: vec![1], rhs_contract: vec![0] },
        )
    }
    fn fused_dense(&self) {
        let (_, contraction) = self.dense();
        self.op("d", Dense { contraction, activation: Activation::Identity });
    }
    fn fused_convolution(&self) {
        let shape = self.convolution();
        let Some((_, Binding::Attributes(Op::Convolution(convolution)))) =
            self.sample.borrow().bindings.iter().find(|(name, _)| *name == "v").cloned()
        else {
            unreachable!("just bound")
        };
        self.sample.borrow_mut().bindings.retain(|(name, _)| *name != "v");
        self.op("v", ConvolutionBias { convolution, activation: Activation::Identity });
        self.tensor("b", &[shape[3]]);
    }
    /// A cross-entropy `l` with its target `t`; the scores' shape and the axis.
    fn loss(&self, scores: Scores) -> (Vec<i64>, CategoricalCrossEntropy) {
        let (shape, axis) = self.one_of(&[(&[3, 4][..], 1), (&[2, 5, 3][..], 1), (&[6][..], 0)]);
        let sparse = self.one_of(&[true, false]);
        if sparse {
            let rows: Vec<i64> = (0..shape.len()).filter(|&a| a != axis).map(|a| shape[a]).collect();
            self.tensor_of("t", DType::I32, &rows, Values::Below(shape[axis]));
        } else {
            self.tensor_of("t", self.dtype, shape, Values::Shares);
        }
        (shape.to_vec(), CategoricalCrossEntropy { axis, sparse, scores })
    }
    /// Logits from close together to far apart.
    fn logits(&self, shape: &[i64]) {
        let size =
            if self.dtype == DType::F64 || self.dtype == DType::F32 { self.one_of(&[1.0, 4.0, 40.0]) } else { 2.0 };
        self.tensor_of("x", self.dtype, shape, Values::Within(size));
    }
    fn rows(&self, name: &'static str, shape: &[i64], axis: usize) {
        let rows: Vec<i64> = (0..shape.len()).filter(|&a| a != axis).map(|a| shape[a]).collect();
        self.tensor_of(name, self.dtype, &rows, Values::Within(1.0));
    }
}

fn dims(shape: &[i64]) -> Vec<Dim> {
    shape.iter().map(|&extent| Dim::constant(extent)).collect()
}

type Sampler = fn(&Draw);

/// A sample of a rule's variables.
const SAMPLERS: &[(&str, Sampler)] = &[
    ("divide-by-power-of-two", |d| {
        let shape = d.any_shape();
        d.tensor("x", &shape);
        d.splat("c", d.one_of(&[2.0, -4.0, 0.5, 0.0078125, 1024.0]), &shape);
    }),
    ("divide-by-constant", |d| {
        let shape = d.any_shape();
        d.tensor("x", &shape);
        d.splat("c", d.one_of(&[3.0, -0.8, 10.0, 0.3, 255.0]), &shape);
    }),
    ("maximum-with-zero", |d| {
        let shape = d.any_shape();
        d.tensor("x", &shape);
        d.splat("zero", 0.0, &shape);
    }),
    ("dense", |d| {
        let (shape, contraction) = d.dense();
        d.op("d", contraction);
        d.along("s", &shape, 1);
    }),
    ("dense-relu", |d| {
        d.fused_dense();
        d.op("r", Relu {});
    }),
    ("dense-logistic", |d| d.fused_dense()),
    ("dense-tanh", |d| d.fused_dense()),
    ("dense-gelu", |d| {
        d.fused_dense();
        d.op("g", Gelu {});
    }),
    ("dense-of-heads", |d| {
        let [batch, rows, inner, heads, features] = [0; 5].map(|_| d.extent());
        let shape = [batch, rows, heads, features];
        d.tensor("x", &[batch, rows, inner]);
        d.tensor("w", &[inner, heads, features]);
        d.tensor("b", &[heads, features]);
        d.op("s", Broadcast { shape: dims(&shape), axes: vec![2, 3] });
        d.op("d", DotGeneral { lhs_batch: vec![], rhs_batch: vec![], lhs_contract: vec![2], rhs_contract: vec![0] });
    }),
    ("attention-of-products", |d| attention_of_products(d, false, false)),
    ("attention-of-scaled-products", |d| attention_of_products(d, true, false)),
    ("biased-attention-of-products", |d| attention_of_products(d, false, true)),
    ("biased-attention-of-scaled-products", |d| attention_of_products(d, true, true)),
    ("attention-body", |d| attention(d, Mask::None, &[])),
    ("masked-attention-body", |d| attention(d, Mask::Some, &[])),
    ("attention-gradient-body", |d| attention(d, Mask::None, &["l", "s", "d", "g"])),
    ("masked-attention-gradient-body", |d| attention(d, Mask::Some, &["l", "s", "d", "g"])),
    ("merge-projections", |d| {
        d.usual.set(Values::Within(2.0));
        let [batch, rows, inner, heads, features] = [0; 5].map(|_| d.extent());
        d.tensor("x", &[batch, rows, inner]);
        for (kernel, bias) in [("q", "qb"), ("k", "kb"), ("v", "vb")] {
            d.tensor(kernel, &[inner, heads, features]);
            d.tensor(bias, &[heads, features]);
        }
        d.op("s", Broadcast { shape: dims(&[batch, rows, heads, features]), axes: vec![2, 3] });
        d.op("d", DotGeneral { lhs_batch: vec![], rhs_batch: vec![], lhs_contract: vec![2], rhs_contract: vec![0] });
        d.op("a", plain_attention(d));
        d.op("i", Projection { index: 0 });
    }),
    ("contract-transposed-left", |d| {
        let (rows, inner, columns) = (d.extent(), d.extent(), d.extent());
        d.tensor("x", &[inner, rows]);
        d.tensor("y", &[inner, columns]);
        d.op("p", Transpose { permutation: vec![1, 0] });
        d.op("d", DotGeneral { lhs_batch: vec![], rhs_batch: vec![], lhs_contract: vec![1], rhs_contract: vec![0] });
    }),
    ("contract-transposed-right", |d| {
        let (batch, rows, inner, columns) = (d.extent(), d.extent(), d.extent(), d.extent());
        d.tensor("x", &[batch, rows, inner]);
        d.tensor("y", &[columns, inner, batch]);
        d.op("p", Transpose { permutation: vec![2, 1, 0] });
        d.op("d", DotGeneral { lhs_batch: vec![0], rhs_batch: vec![0], lhs_contract: vec![2], rhs_contract: vec![1] });
    }),
    ("transposed-contraction", |d| {
        let result = d.contraction("x", "y");
        // exchanging the sides moves the right axis before the left ones, behind the batch
        let batched = matches!(&d.sample.borrow().bindings[0].1, Binding::Attributes(Op::DotGeneral(dot)) if !dot.lhs_batch.is_empty());
        let permutation = match (result.len(), batched) {
            (2, _) => vec![1, 0],
            (_, false) => vec![2, 0, 1],
            (_, true) => vec![0, 2, 1],
        };
        d.op("p", Transpose { permutation });
    }),
    ("convolution-bias", |d| {
        let shape = d.convolution();
        d.tensor("b", &[shape[3]]);
        d.along("s", &shape, 3);
    }),
    ("convolution-relu", |d| {
        d.fused_convolution();
        d.op("r", Relu {});
    }),
    ("convolution-by-tiles", |d| {
        let (batch, height, width) = (d.one_of(&[1, 2]), d.one_of(&[3, 6]), d.one_of(&[4, 5]));
        let (channels, features) = (d.one_of(&[1, 3, 16]), d.one_of(&[1, 5]));
        let mut axes = ConvolutionAxes::channels_last(2);
        let turned = d.one_of(&[true, false]);
        if turned {
            axes.rhs.swap(0, 1);
        }
        let op = Convolution {
            axes,
            strides: vec![1, 1],
            padding: vec![(0, 1), (2, 1)],
            lhs_dilation: vec![1, 1],
            rhs_dilation: vec![1, 1],
            feature_groups: 1,
            batch_groups: 1,
        };
        d.op("v", op);
        d.tensor_of("x", DType::F32, &[batch, height, width, channels], d.usual.get());
        let sides = if turned { [features, channels] } else { [channels, features] };
        d.tensor_of("k", DType::F32, &[3, 3, sides[0], sides[1]], d.usual.get());
    }),
    ("batch-norm-infer", |d| batch_norm(d, true, true)),
    ("batch-norm-infer-without-one", |d| {
        let scale = d.one_of(&[true, false]);
        batch_norm(d, scale, !scale);
    }),
    ("batch-norm-infer-without-both", |d| batch_norm(d, false, false)),
    ("scale-into-weights", |d| {
        let shape = d.contraction("x", "w");
        d.tensor("c", &shape[shape.len() - 1..]);
        d.along("s", &shape, shape.len() - 1);
    }),
    ("scale-into-kernel", |d| {
        let shape = d.convolution();
        d.tensor("c", &[shape[3]]);
        d.along("s", &shape, 3);
    }),
    ("scale-into-half-kernel", |d| {
        let shape = d.convolution_of(DType::Bf16);
        ["c", "d"].iter().for_each(|name| d.tensor_of(name, DType::F32, &[shape[3]], d.usual.get()));
        d.tensor_of("b", DType::Bf16, &[shape[3]], d.usual.get());
        d.along("s", &shape, 3);
        d.op("f", Convert { dtype: DType::F32 });
        d.op("h", Convert { dtype: DType::Bf16 });
    }),
    ("scale-through-shift", |d| two_vectors(d, "b", "c")),
    ("merge-shifts", |d| two_vectors(d, "a", "b")),
    ("cross-entropy-of-softmax", |d| {
        let (shape, loss) = d.loss(Scores::Probabilities);
        d.logits(&shape);
        d.op("s", Softmax { axis: loss.axis });
        d.op("l", loss);
    }),
    ("gradient-of-softmax-cross-entropy", |d| {
        let (shape, loss) = d.loss(Scores::Probabilities);
        d.logits(&shape);
        d.rows("g", &shape, loss.axis);
        d.op("s", Softmax { axis: loss.axis });
        d.op("d", SoftmaxGradient { axis: loss.axis });
        d.op("l", CategoricalCrossEntropyGradient { loss });
    }),
    ("loss-of-pair", |d| {
        let (shape, loss) = d.loss(d.one_of(&[Scores::Logits, Scores::ClippedLogits]));
        d.tensor("x", &shape);
        d.op("l", loss);
    }),
    ("gradient-of-pair", |d| {
        let (shape, loss) = d.loss(d.one_of(&[Scores::Logits, Scores::ClippedLogits]));
        d.tensor("x", &shape);
        d.rows("g", &shape, loss.axis);
        d.op("l", CategoricalCrossEntropyGradient { loss });
    }),
    ("largest-of-softmax", |d| {
        let shape = d.shape(2);
        d.tensor_of("x", d.dtype, &shape, Values::Within(4.0));
        d.op("s", Softmax { axis: 1 });
        d.op("r", ArgReduce { kind: Extremum::Max, axis: 1, dtype: DType::I32 });
    }),
    ("relu-gradient-before-pooling", |d| {
        // windows that overlap, touch, or leave gaps
        let (size, stride) = d.one_of(&[(2, 2), (3, 2), (3, 1), (1, 2)]);
        let (batch, extent, features) = (d.extent(), size + d.extent(), d.extent());
        let window = Window {
            size: vec![1, size, 1],
            strides: vec![1, stride, 1],
            padding: vec![(0, 0), (d.one_of(&[0, 1]), 0), (0, 0)],
            base_dilation: vec![1; 3],
            window_dilation: vec![1; 3],
        };
        let windows = (extent + window.padding[1].0 - size) / stride + 1;
        let shape = [batch, extent, features];
        d.tensor("x", &shape);
        d.tensor("g", &[batch, windows, features]);
        d.splat("zero", 0.0, &shape);
        d.op("s", SelectAndScatter { window });
    }),
    ("product-of-rows", |d| {
        let features = rows_of_table(d, &[GatherMode::Clip, GatherMode::Invalid]);
        if d.one_of(&[true, false]) {
            d.tensor("w", &[features, d.extent()]);
            d.op("d", dot([&[], &[], &[2], &[0]]));
        } else {
            d.tensor("w", &[d.extent(), features, d.extent()]);
            d.op("d", dot([&[], &[], &[2], &[1]]));
        }
    }),
    ("transposed-rows", |d| {
        rows_of_table(d, &[GatherMode::Clip, GatherMode::Invalid, GatherMode::Zero]);
        d.op("p", Transpose { permutation: d.one_of(&[[1, 0, 2], [1, 2, 0], [0, 2, 1]]).to_vec() });
    }),
    ("descent-of-rows", |d| {
        let (windows, [rows, columns]) = indexed_rows(d);
        let shape = [d.extent(), d.extent()];
        d.tensor("p", &shape);
        d.tensor("g", &[rows, columns, shape[1]]);
        d.tensor("r", &[]);
        d.splat("zero", 0.0, &shape);
        let mode = d.one_of(&[ScatterMode::Clip, ScatterMode::Drop]);
        d.op("s", Scatter { kind: ScatterKind::Add, windows, mode });
        d.op("a", SgdUpdate { momentum: Real(0.0), nesterov: false });
    }),
    ("neighbours", neighbours),
    ("three-neighbours", |d| beside_each_other(d, &["x", "y", "z"])),
    ("four-neighbours", |d| beside_each_other(d, &["x", "y", "z", "w"])),
];

/// A contraction: left and right batch axes, left and right summed ones.
fn dot([lhs_batch, rhs_batch, lhs_contract, rhs_contract]: [&[usize]; 4]) -> DotGeneral {
    let [lhs_batch, rhs_batch, lhs_contract, rhs_contract] =
        [lhs_batch, rhs_batch, lhs_contract, rhs_contract].map(<[usize]>::to_vec);
    DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract }
}

/// Windows that are rows of a matrix, at two axes of indices `i`, some of which are no rows; the extents of those axes.
fn indexed_rows(d: &Draw) -> (IndexedWindows, [i64; 2]) {
    let extents = [d.extent(), d.extent()];
    d.tensor_of("i", DType::I32, &[extents[0], extents[1], 1], Values::Below(6));
    let windows = IndexedWindows {
        offset: vec![2],
        collapsed: vec![0],
        operand_batch: vec![],
        indices_batch: vec![],
        index_map: vec![0],
    };
    (windows, extents)
}

/// The gather `g` of rows of a table `t`; their extent.
fn rows_of_table(d: &Draw, modes: &[GatherMode]) -> i64 {
    let (windows, _) = indexed_rows(d);
    let features = d.extent();
    d.tensor("t", &[d.extent(), features]);
    d.op("g", Gather { windows, sizes: dims(&[1, features]), mode: d.one_of(modes) });
    features
}

/// `x` and `y` one behind the other among zeros.
fn neighbours(d: &Draw) {
    let [rows, columns, first, second, before, behind] = [0; 6].map(|_| d.extent());
    let axis = d.one_of(&[0, 1, 2]);
    let shape = |extent: i64| {
        let mut shape = vec![rows, columns];
        shape.insert(axis, extent);
        shape
    };
    let pad = |low: i64, high: i64| {
        let (mut lows, mut highs) = (vec![0, 1], vec![2, 0]);
        lows.insert(axis, low);
        highs.insert(axis, high);
        Pad { low: lows, high: highs, interior: vec![0; 3] }
    };
    d.tensor("x", &shape(first));
    d.tensor("y", &shape(second));
    d.splat("zero", 0.0, &[]);
    d.op("p", pad(before, second + behind));
    d.op("q", pad(before + first, behind));
}

fn beside_each_other(d: &Draw, names: &[&'static str]) {
    let (rows, axis) = (d.extent(), d.one_of(&[0, 1]));
    for name in names {
        let mut shape = vec![rows];
        shape.insert(axis, d.extent());
        d.tensor(name, &shape);
    }
    d.op("c", Concatenate { axis });
}

/// Whether attention is masked.
#[derive(Clone, Copy, PartialEq)]
enum Mask {
    None,
    Some,
}

fn plain_attention(d: &Draw) -> DotProductAttention {
    DotProductAttention {
        scale: Real(0.5),
        causal: d.one_of(&[false, true]),
        bias: false,
        mask: false,
        zero_excluded: d.one_of(&[false, true]),
        dropout: Real(0.0),
    }
}

/// Attention `a` of `q`, `k`, `v` and a mask `m`; of its gradient also what that takes behind, by name.
fn attention(d: &Draw, mask: Mask, behind: &[&'static str]) {
    let [batch, rows, columns, heads, features, values] = [0; 6].map(|_| d.one_of(&[2, 3]));
    let usual = Values::Within(2.0);
    d.tensor_of("q", d.dtype, &[batch, rows, heads, features], usual);
    d.tensor_of("k", d.dtype, &[batch, columns, heads, features], usual);
    d.tensor_of("v", d.dtype, &[batch, columns, heads, values], usual);
    if mask == Mask::Some {
        d.tensor_of("m", DType::Bool, &[batch, 1, rows, columns], Values::Below(2));
    }
    let attention = DotProductAttention { mask: mask == Mask::Some, ..plain_attention(d) };
    let wide = if d.dtype == DType::F64 { DType::F64 } else { DType::F32 };
    for &name in behind {
        match name {
            "g" => d.tensor_of(name, d.dtype, &[batch, rows, heads, values], usual),
            _ => d.tensor_of(name, wide, &[batch, heads, rows], usual),
        }
    }
    match behind {
        [] => {
            d.op("i", Projection { index: d.one_of(&[0, 1, 2]) });
            d.op("a", attention);
        }
        _ => {
            d.op("i", Projection { index: d.one_of(&[0, 1, 2]) });
            d.op("a", DotProductAttentionGradient { attention });
        }
    }
}

/// Products `d` of `q` and `k`, perhaps times a scale `c` and with a bias `m`, their softmax `s`, and its product `e` with `v`: with up to
/// two axes of a batch, before the positions or around them.
fn attention_of_products(d: &Draw, scaled: bool, biased: bool) {
    let batch = d.one_of(&[&[][..], &[2], &[3, 2]]);
    let [rows, columns, features, values] = [0; 4].map(|_| d.one_of(&[2, 3]));
    let dtype = if d.dtype == DType::F64 { DType::F64 } else { DType::F32 };
    // shape; axes of the batch, of positions and of features
    let laid = |positions: i64, features: i64| -> (Vec<i64>, Vec<usize>, usize, usize) {
        match (batch, d.one_of(&[false, true])) {
            ([first, second], true) => (vec![*first, positions, *second, features], vec![0, 2], 1, 3),
            (_, true) => {
                ([batch, &[features, positions]].concat(), (0..batch.len()).collect(), batch.len() + 1, batch.len())
            }
            (_, false) => {
                ([batch, &[positions, features]].concat(), (0..batch.len()).collect(), batch.len(), batch.len() + 1)
            }
        }
    };
    let operands = [laid(rows, features), laid(columns, features), laid(columns, values)];
    for (name, (shape, ..)) in ["q", "k", "v"].into_iter().zip(&operands) {
        d.tensor_of(name, dtype, shape, Values::Within(2.0));
    }
    let scores = [batch, &[rows, columns]].concat();
    let [query, key, value] = operands;
    let own: Vec<usize> = (0..batch.len()).collect();
    d.op("d", dot([&query.1, &key.1, &[query.3], &[key.3]]));
    d.op("s", Softmax { axis: batch.len() + 1 });
    d.op("e", dot([&own, &value.1, &[batch.len() + 1], &[value.2]]));
    if scaled {
        let scale =
            Binding::Splat(Literal::scalar(dtype, d.one_of(&[0.5, 0.3])), TensorType::new(dtype, dims(&scores)));
        d.sample.borrow_mut().bindings.push(("c", scale));
    }
    if biased {
        d.tensor_of("m", dtype, &scores, Values::Within(2.0));
    }
}

fn two_vectors(d: &Draw, first: &'static str, second: &'static str) {
    let shape = d.shape(3);
    let axis = d.one_of(&[0, 1, 2]);
    d.tensor("x", &shape);
    d.tensor(first, &[shape[axis]]);
    d.tensor(second, &[shape[axis]]);
    d.along("s", &shape, axis);
}

fn batch_norm(d: &Draw, scale: bool, center: bool) {
    let shape = d.shape(3);
    let axis = d.one_of(&[1, 2]);
    d.tensor("x", &shape);
    d.tensor("m", &[shape[axis]]);
    d.tensor("v", &[shape[axis]]);
    // the fourth operand is whichever of the two there is
    if scale || center {
        d.tensor("g", &[shape[axis]]);
    }
    if scale && center {
        d.tensor("b", &[shape[axis]]);
    }
    d.op("n", BatchNormInfer { axis, epsilon: Real(1e-3), scale, center });
}

/// The rules that have samples.
pub fn names() -> Vec<&'static str> {
    SAMPLERS.iter().map(|(name, _)| *name).collect()
}

/// A sample of a rule; operands that it says nothing of take the usual values.
pub fn sample(rule: &str, random: &mut Random, dtype: DType, usual: Values) -> Option<Sample> {
    let (_, sampler) = SAMPLERS.iter().find(|(name, _)| *name == rule)?;
    let empty = Sample { bindings: vec![], values: vec![] };
    let draw = Draw { random: RefCell::new(random), dtype, usual: Cell::new(usual), sample: RefCell::new(empty) };
    sampler(&draw);
    Some(draw.sample.into_inner())
}
