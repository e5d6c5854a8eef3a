//! Example graphs: steps of the networks that the compiler is made for, written without the frontend.

use kc_ir::tensor::composites::{
    AdamStepSize, AdamUpdate, BatchNormInfer, BatchNormTrain, CategoricalCrossEntropy, DotProductAttention, Dropout,
    Gelu, LayerNorm, Relu, Scores, SgdUpdate, Softmax,
};
use kc_ir::tensor::ops::{
    ArgReduce, Convolution, ConvolutionAxes, DotGeneral, Extremum, Gather, GatherMode, Gradient, IndexedWindows,
    Projection, ReduceWindow, Reduction, Slice, Window,
};
use kc_ir::tensor::{Builder, Graph, Real, Scope, Tensor, Value, express};
use kc_ir::{DType, Dim, TensorType};
use kc_passes::differentiate;

/// Every example, by name, differentiated.
pub fn all() -> Vec<(&'static str, Graph)> {
    vec![
        ("mlp_predict", mlp(Step::Predict)),
        ("mlp_test_step", mlp(Step::Test)),
        ("mlp_train_step", mlp(Step::Train)),
        ("cnn_predict", cnn(Step::Predict)),
        ("cnn_train_step", cnn(Step::Train)),
        ("gates_train_step", gates()),
        ("encoder_train_step", transformer(false)),
        ("decoder_train_step", transformer(true)),
        ("characters_train_step", characters()),
    ]
}

#[derive(Clone, Copy, PartialEq)]
pub enum Step {
    Predict,
    Test,
    Train,
}

/// A graph under construction.
struct Net {
    builder: Builder,
    weights: Vec<Value>,
    results: Vec<Value>,
}

impl Net {
    fn new() -> Self {
        Net { builder: Builder::new(), weights: vec![], results: vec![] }
    }

    fn input(&mut self, name: &str, dtype: DType, shape: &[Dim]) -> Value {
        self.builder.parameter(name, TensorType::new(dtype, shape.iter().cloned())).unwrap()
    }

    fn weight(&mut self, name: &str, shape: &[i64]) -> Value {
        let shape: Vec<Dim> = shape.iter().map(|&extent| Dim::constant(extent)).collect();
        let value = self.input(name, DType::F32, &shape);
        self.weights.push(value);
        value
    }

    fn formula<const N: usize>(
        &mut self,
        of: [Value; N],
        formula: impl for<'s, 'b> FnOnce(&'s Scope<'b>, [Tensor<'s, 'b>; N]) -> Tensor<'s, 'b>,
    ) -> Value {
        express(&mut self.builder, |scope| formula(scope, of.map(|value| scope.tensor(value))).value()).unwrap()
    }

    /// The weighted mean loss of probabilities and classes, and the number of right answers as a result.
    fn loss(&mut self, probabilities: Value, labels: Value, weights: Value) -> Value {
        let loss = CategoricalCrossEntropy { axis: 1, sparse: true, scores: Scores::Probabilities };
        let rows = self.builder.add(loss, &[labels, probabilities]).unwrap();
        let mean = self.formula([rows, weights], |_, [rows, weights]| (rows * weights).mean(&[0]));
        let guess =
            self.builder.add(ArgReduce { kind: Extremum::Max, axis: 1, dtype: DType::I32 }, &[probabilities]).unwrap();
        let right =
            self.formula([labels, guess], |_, [labels, guess]| labels.equal(guess).convert(DType::F32).sum(&[0]));
        self.results.extend([mean, right]);
        mean
    }

    /// Adam, as Keras does it.
    fn adam(&mut self, loss: Value) {
        let operands: Vec<Value> = std::iter::once(loss).chain(self.weights.iter().copied()).collect();
        let gradients = self.builder.add(Gradient {}, &operands).unwrap();
        let rate = self.input("learning_rate", DType::F32, &[]);
        let step = self.input("iterations", DType::I64, &[]);
        let (beta_1, beta_2) = (Real(0.9), Real(0.999));
        let size = self.builder.add(AdamStepSize { beta_1, beta_2 }, &[rate, step]).unwrap();
        for (index, weight) in self.weights.clone().into_iter().enumerate() {
            let shape = self.builder.tensor_type(weight).shape.clone();
            let gradient = self.builder.add(Projection { index }, &[gradients]).unwrap();
            let first = self.input("first_moment", DType::F32, &shape);
            let second = self.input("second_moment", DType::F32, &shape);
            let update = AdamUpdate { beta_1, beta_2, epsilon: Real(1e-7), amsgrad: false };
            let updated = self.builder.add(update, &[weight, gradient, first, second, size]).unwrap();
            let updated = self.builder.projections(updated).unwrap();
            self.results.extend(updated);
        }
        let next = self.formula([step], |scope, [step]| step + scope.scalar(DType::I64, 1i64));
        self.results.push(next);
    }

    fn softmax(&mut self, logits: Value) -> Value {
        self.builder.add(Softmax { axis: 1 }, &[logits]).unwrap()
    }

    fn dense(&mut self, x: Value, name: &str, inputs: i64, units: i64) -> Value {
        let kernel = self.weight(&format!("{name}/kernel"), &[inputs, units]);
        let bias = self.weight(&format!("{name}/bias"), &[units]);
        let product = self.builder.matmul(x, kernel).unwrap();
        self.formula([product, bias], |_, [product, bias]| product + bias)
    }

    /// A convolution of 3 by 3 that keeps the shape.
    fn convolution(&mut self, x: Value, name: &str, inputs: i64, filters: i64, bias: bool) -> Value {
        let kernel = self.weight(&format!("{name}/kernel"), &[3, 3, inputs, filters]);
        let convolution = Convolution {
            axes: ConvolutionAxes::channels_last(2),
            strides: vec![1, 1],
            padding: vec![(1, 1), (1, 1)],
            lhs_dilation: vec![1, 1],
            rhs_dilation: vec![1, 1],
            feature_groups: 1,
            batch_groups: 1,
        };
        let x = self.builder.add(convolution, &[x, kernel]).unwrap();
        if !bias {
            return x;
        }
        let bias = self.weight(&format!("{name}/bias"), &[filters]);
        self.formula([x, bias], |_, [x, bias]| x + bias)
    }

    /// The reduction of windows of 2 by 2.
    fn pooled(&mut self, x: Value, kind: Reduction) -> Value {
        let window = Window {
            size: vec![1, 2, 2, 1],
            strides: vec![1, 2, 2, 1],
            padding: vec![(0, 0); 4],
            base_dilation: vec![1; 4],
            window_dilation: vec![1; 4],
        };
        self.builder.add(ReduceWindow { kind, window }, &[x]).unwrap()
    }

    fn relu(&mut self, x: Value) -> Value {
        self.builder.add(Relu {}, &[x]).unwrap()
    }

    fn dropout(&mut self, x: Value) -> Value {
        let key = self.input("seed", DType::U32, &[Dim::constant(2)]);
        self.builder.add(Dropout { rate: Real(0.2) }, &[x, key]).unwrap()
    }

    fn finish(self) -> Graph {
        let graph = differentiate(&self.builder.finish(self.results)).unwrap();
        kc_ir::tensor::verify(&graph).unwrap();
        graph
    }
}

/// 784-128-10 with dropout, softmax, cross-entropy of probabilities and Adam.
pub fn mlp(step: Step) -> Graph {
    let mut net = Net::new();
    let batch = Dim::symbol("B");
    let x = net.input("image", DType::F32, &[batch.clone(), Dim::constant(784)]);
    let hidden = net.dense(x, "hidden", 784, 128);
    let mut hidden = net.relu(hidden);
    if step == Step::Train {
        hidden = net.dropout(hidden);
    }
    let logits = net.dense(hidden, "classes", 128, 10);
    let probabilities = net.softmax(logits);
    if step == Step::Predict {
        net.results.push(probabilities);
        return net.finish();
    }
    let labels = net.input("label", DType::I32, std::slice::from_ref(&batch));
    let weights = net.input("weight", DType::F32, &[batch]);
    let loss = net.loss(probabilities, labels, weights);
    if step == Step::Train {
        net.adam(loss);
    }
    net.finish()
}

/// Two convolutions with batch normalisation and pooling, then a dense classifier.
pub fn cnn(step: Step) -> Graph {
    let mut net = Net::new();
    let batch = Dim::symbol("B");
    let image: Vec<Dim> = vec![batch.clone(), 28i64.into(), 28i64.into(), 1i64.into()];
    let mut x = net.input("image", DType::F32, &image);
    for (name, inputs, filters) in [("first", 1, 8), ("second", 8, 16)] {
        x = net.convolution(x, name, inputs, filters, true);
        if name == "second" {
            x = normalised(&mut net, x, filters, step);
        }
        x = net.relu(x);
        x = net.pooled(x, Reduction::Max);
    }
    let flat = net.builder.reshape(x, &[batch.clone(), Dim::constant(7 * 7 * 16)]).unwrap();
    let logits = net.dense(flat, "classes", 7 * 7 * 16, 10);
    let probabilities = net.softmax(logits);
    if step == Step::Predict {
        net.results.push(probabilities);
        return net.finish();
    }
    let labels = net.input("label", DType::I32, std::slice::from_ref(&batch));
    let weights = net.input("weight", DType::F32, &[batch]);
    let loss = net.loss(probabilities, labels, weights);
    net.adam(loss);
    net.finish()
}

fn normalised(net: &mut Net, x: Value, filters: i64, step: Step) -> Value {
    if step != Step::Train {
        let filters = [Dim::constant(filters)];
        let statistics = ["mean", "variance", "normalisation/gamma", "normalisation/beta"];
        let operands = [vec![x], statistics.map(|name| net.input(name, DType::F32, &filters)).to_vec()].concat();
        let op = BatchNormInfer { axis: 3, epsilon: Real(1e-3), scale: true, center: true };
        return net.builder.add(op, &operands).unwrap();
    }
    let gamma = net.weight("normalisation/gamma", &[filters]);
    let beta = net.weight("normalisation/beta", &[filters]);
    let op = BatchNormTrain { axis: 3, epsilon: Real(1e-3), scale: true, center: true };
    let results = net.builder.add(op, &[x, gamma, beta]).unwrap();
    net.builder.projections(results).unwrap()[0]
}

/// A transformer block and a classifier of its mean; a decoder's attention is causal and masked.
pub fn transformer(decoder: bool) -> Graph {
    let mut net = Net::new();
    let (batch, positions) = (Dim::symbol("B"), Dim::constant(16));
    let x = net.input("x", DType::F32, &[batch.clone(), positions.clone(), Dim::constant(32)]);
    let h = layer_norm(&mut net, x, "attention_norm");
    let mut operands = vec![];
    for name in ["query", "key", "value"] {
        operands.push(projected(&mut net, h, name, &[32, 4, 8], &[4, 8], 1));
    }
    if decoder {
        operands.push(net.input("mask", DType::Bool, &[batch.clone(), 1i64.into(), 1i64.into(), positions]));
    }
    let attention = DotProductAttention {
        scale: Real(0.35),
        causal: decoder,
        bias: false,
        mask: decoder,
        zero_excluded: false,
        dropout: Real(0.0),
    };
    let attended = net.builder.add(attention, &operands).unwrap();
    let attended = net.builder.projections(attended).unwrap()[0];
    let h = projected(&mut net, attended, "output", &[4, 8, 32], &[32], 2);
    let x = net.formula([x, h], |_, [x, h]| x + h);
    let h = layer_norm(&mut net, x, "dense_norm");
    let h = projected(&mut net, h, "wide", &[32, 64], &[64], 1);
    let h = net.builder.add(Gelu {}, &[h]).unwrap();
    let h = projected(&mut net, h, "narrow", &[64, 32], &[32], 1);
    let features = net.formula([x, h], |_, [x, h]| (x + h).mean(&[1]));
    let logits = net.dense(features, "classes", 32, 10);
    let probabilities = net.softmax(logits);
    let labels = net.input("label", DType::I32, std::slice::from_ref(&batch));
    let weights = net.input("weight", DType::F32, &[batch]);
    let loss = net.loss(probabilities, labels, weights);
    net.adam(loss);
    net.finish()
}

fn layer_norm(net: &mut Net, x: Value, name: &str) -> Value {
    let gamma = net.weight(&format!("{name}/gamma"), &[32]);
    let beta = net.weight(&format!("{name}/beta"), &[32]);
    let op = LayerNorm { axes: vec![2], epsilon: Real(1e-3), scale: true, center: true };
    let results = net.builder.add(op, &[x, gamma, beta]).unwrap();
    net.builder.projections(results).unwrap()[0]
}

/// The contraction of the last axes with a kernel, plus a bias.
fn projected(net: &mut Net, x: Value, name: &str, kernel: &[i64], bias: &[i64], axes: usize) -> Value {
    let kernel = net.weight(&format!("{name}/kernel"), kernel);
    let bias = net.weight(&format!("{name}/bias"), bias);
    let rank = net.builder.tensor_type(x).rank();
    let op = DotGeneral {
        lhs_batch: vec![],
        rhs_batch: vec![],
        lhs_contract: (rank - axes..rank).collect(),
        rhs_contract: (0..axes).collect(),
    };
    let product = net.builder.add(op, &[x, kernel]).unwrap();
    net.formula([product, bias], |_, [product, bias]| product + bias)
}

/// Training of that many dense layers of 64 units.
pub fn deep(layers: usize) -> Graph {
    let mut net = Net::new();
    let batch = Dim::symbol("B");
    let mut x = net.input("x", DType::F32, &[batch.clone(), Dim::constant(64)]);
    for layer in 0..layers {
        x = net.dense(x, &format!("dense_{layer}"), 64, 64);
        x = net.relu(x);
    }
    let probabilities = net.softmax(x);
    let labels = net.input("label", DType::I32, std::slice::from_ref(&batch));
    let weights = net.input("weight", DType::F32, &[batch]);
    let loss = net.loss(probabilities, labels, weights);
    net.adam(loss);
    net.finish()
}

/// A gated network, with kernels that are kept transposed, and plain gradient descent.
pub fn gates() -> Graph {
    let mut net = Net::new();
    let batch = Dim::symbol("B");
    let x = net.input("x", DType::F32, &[batch.clone(), Dim::constant(64)]);
    let target = net.input("y", DType::F32, &[batch, Dim::constant(32)]);
    let kernel = net.weight("kernel", &[32, 64]);
    let transposed = net.builder.transpose(kernel, &[1, 0]).unwrap();
    let product = net.builder.matmul(x, transposed).unwrap();
    let bias = net.weight("bias", &[32]);
    let gate = net.formula([product, bias], |_, [product, bias]| (product + bias).logistic());
    let candidate = net.dense(x, "candidate", 64, 32);
    let candidate = net.formula([candidate], |_, [candidate]| candidate.tanh());
    let output = net.formula([gate, candidate], |_, [gate, candidate]| gate * candidate);
    let loss = net.formula([output, target], |_, [output, target]| (output - target).square().mean(&[0, 1]));
    let by: Vec<Value> = std::iter::once(loss).chain(net.weights.iter().copied()).collect();
    let gradients = net.builder.add(Gradient {}, &by).unwrap();
    for (index, weight) in net.weights.clone().into_iter().enumerate() {
        let gradient = net.builder.add(Projection { index }, &[gradients]).unwrap();
        let updated = net.formula([weight, gradient], |_, [weight, gradient]| weight - gradient * 0.01);
        net.results.push(updated);
    }
    net.results.push(loss);
    net.finish()
}

/// A gated layer over characters (of few kinds), words and their classes (of many), first position first, and gradient descent.
pub fn characters() -> Graph {
    let mut net = Net::new();
    let (batch, positions) = (Dim::symbol("B"), Dim::constant(12));
    let mut embedded = vec![];
    for (name, kinds) in [("character", 20), ("word", 5000), ("class", 5000)] {
        let indices = net.input(name, DType::I32, &[batch.clone(), positions.clone(), 1i64.into()]);
        let table = net.weight(&format!("{name}/embeddings"), &[kinds, 16]);
        let windows = IndexedWindows {
            offset: vec![2],
            collapsed: vec![0],
            operand_batch: vec![],
            indices_batch: vec![],
            index_map: vec![0],
        };
        let gather = Gather { windows, sizes: vec![1i64.into(), 16i64.into()], mode: GatherMode::Invalid };
        let rows = net.builder.add(gather, &[table, indices]).unwrap();
        let rows = net.builder.transpose(rows, &[1, 0, 2]).unwrap();
        let kernel = net.weight(&format!("{name}/kernel"), &[16, 64]);
        let op = DotGeneral { lhs_batch: vec![], rhs_batch: vec![], lhs_contract: vec![2], rhs_contract: vec![0] };
        embedded.push(net.builder.add(op, &[rows, kernel]).unwrap());
    }
    let gates = net.formula([embedded[0], embedded[1], embedded[2]], |_, [x, y, z]| x + y + z);
    let [input, forget, candidate, output] = [0, 1, 2, 3].map(|gate: i64| {
        let slice = Slice {
            start: vec![Dim::default(), Dim::default(), Dim::constant(16 * gate)],
            limit: vec![positions.clone(), batch.clone(), Dim::constant(16 * (gate + 1))],
            stride: vec![1; 3],
        };
        net.builder.add(slice, &[gates]).unwrap()
    });
    let state = net.formula([input, forget, candidate, output], |_, [i, f, c, o]| {
        (i.logistic() * c.tanh() + f.logistic()).tanh() * o.logistic()
    });
    let features = net.formula([state], |_, [x]| x.mean(&[0]));
    let logits = net.dense(features, "classes", 16, 10);
    let probabilities = net.softmax(logits);
    let labels = net.input("label", DType::I32, std::slice::from_ref(&batch));
    let weights = net.input("weight", DType::F32, &[batch]);
    let loss = net.loss(probabilities, labels, weights);
    let by: Vec<Value> = std::iter::once(loss).chain(net.weights.iter().copied()).collect();
    let gradients = net.builder.add(Gradient {}, &by).unwrap();
    let rate = net.input("learning_rate", DType::F32, &[]);
    for (index, weight) in net.weights.clone().into_iter().enumerate() {
        let gradient = net.builder.add(Projection { index }, &[gradients]).unwrap();
        let update = SgdUpdate { momentum: Real(0.0), nesterov: false };
        let updated = net.builder.add(update, &[weight, gradient, rate]).unwrap();
        net.results.push(updated);
    }
    net.finish()
}
