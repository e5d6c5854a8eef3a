//! Masks, recurrent layers and regularizers, beside what Keras gives for the same weights and inputs.

use kc::prelude::*;
use kc_ir::manifest::StateRole;
use kc_ir::tensor::{Argument, Literal, Module, ResultSlot, Scalar, interpret};

type Model = kc::Result<kc::Model>;

/// The first values of the state: of weights `sin(0.7 i + k) / 2` for element `i` of weight `k`, else 0.
fn state(module: &Module) -> Vec<Literal> {
    let mut weights = 0;
    let value = |tensor: &kc_ir::manifest::StateTensor| {
        let shape: Vec<usize> = tensor.ty.constant_shape().unwrap().iter().map(|&extent| extent as usize).collect();
        let elements: usize = shape.iter().product();
        let is_weight = matches!(tensor.role, StateRole::Trainable | StateRole::NonTrainable);
        let number = f64::from(weights);
        weights += i32::from(is_weight);
        let values = (0..elements).map(|i| match (is_weight, tensor.ty.dtype.is_float()) {
            (true, _) => Scalar::Float(((0.7 * i as f64 + number).sin() * 0.5) as f32 as f64),
            (false, true) => Scalar::Float(0.0),
            (false, false) => Scalar::Int(0),
        });
        Literal::from_scalars(tensor.ty.dtype, shape, values.collect::<Vec<_>>())
    };
    module.state.iter().map(value).collect()
}

/// `cos(0.3 i) * scale` for element `i`.
fn input(shape: &[usize], scale: f64) -> Literal {
    let elements: usize = shape.iter().product();
    Literal::f32(shape, &(0..elements).map(|i| ((0.3 * i as f64).cos() * scale) as f32).collect::<Vec<_>>())
}

/// What an entry point gives: outputs, and the loss where it is a step.
fn run(model: &kc::Model, name: &str, inputs: &[Literal]) -> Vec<Vec<f64>> {
    let module = model.module().unwrap();
    let state = state(&module);
    let function = module.function(name).unwrap();
    let arguments: Vec<Literal> = function
        .arguments
        .iter()
        .map(|argument| match *argument {
            Argument::Input(index) => inputs[index].clone(),
            Argument::State(index) => state[index].clone(),
        })
        .collect();
    let results = interpret(&function.graph, &arguments).unwrap();
    let shown = results.iter().zip(&function.results).filter(|(_, slot)| match **slot {
        ResultSlot::Output(_) => true,
        ResultSlot::State(index) => name == "test_step" && module.state[index].name == "loss/total",
    });
    shown.map(|(result, _)| result.to_f64_vec()).collect()
}

fn assert_close(name: &str, ours: &[f64], right: &[f64]) {
    assert_eq!(ours.len(), right.len(), "{name}: {ours:?}");
    for (a, b) in ours.iter().zip(right) {
        assert!((a - b).abs() < 2e-6, "{name}: {ours:?}\nexpected {right:?}");
    }
}

fn predicts(name: &str, model: Model, inputs: &[Literal], right: &[&[f64]]) {
    let model = model.unwrap_or_else(|error| panic!("{name}: {error}"));
    let ours = run(&model, "predict", inputs);
    assert_eq!(ours.len(), right.len(), "{name}");
    ours.iter().zip(right).for_each(|(ours, right)| assert_close(name, ours, right));
}

fn masked(layer: impl Call) -> Model {
    let (x, mask) = (Input::new([4, 3]), Input::new([4]).dtype("bool"));
    kc::Model::new([&x, &mask], layer.call_all([&x, &mask])?)
}

fn with_states(layer: impl Call) -> Model {
    let (x, first, second) = (Input::new([4, 3]), Input::new([2]), Input::new([2]));
    kc::Model::new([&x, &first, &second], layer.call_all([&x, &first, &second])?)
}

fn plain(layer: impl Call) -> Model {
    let x = Input::new([4, 3]);
    kc::Model::new(&x, layer.call_all(&x)?)
}

#[test]
fn recurrent_layers_leave_out_masked_steps() {
    let mask = Literal::from_scalars(DType::Bool, vec![2, 4], [1, 1, 0, 1, 0, 1, 1, 0].map(Scalar::Int));
    let inputs = [input(&[2, 4, 3], 1.0), mask];
    let lstm = [
        0.072368, -0.004801, -0.006137, -0.106869, -0.006137, -0.106869, -0.372461, -0.289896, 0.0, 0.0, -0.086867,
        -0.040732, 0.035278, 0.007753, 0.035278, 0.007753,
    ];
    let last = [-0.372461, -0.289896, 0.035278, 0.007753];
    let carry = [-0.712920, -0.378039, 0.081543, 0.021049];
    let layer = LSTM::new(2).return_sequences(true).return_state(true);
    predicts("lstm", masked(layer), &inputs, &[&lstm, &last, &carry]);
    predicts("last output", masked(LSTM::new(2)), &inputs, &[&last]);
    let backwards = [
        -0.175715, -0.157986, -0.175715, -0.157986, -0.230972, -0.212293, -0.301618, -0.244266, 0.0, 0.0, -0.199277,
        -0.154013, -0.344070, -0.248227, -0.344070, -0.248227,
    ];
    let layer = GRU::new(2).return_sequences(true).go_backwards(true).reset_after(false);
    predicts("backwards", masked(layer), &inputs, &[&backwards]);
    let simple = [
        0.787040, 0.665916, 0.833983, 0.745163, 0.833983, 0.745163, 0.383374, 0.097091, 0.0, 0.0, 0.508771, 0.116727,
        0.856548, 0.698662, 0.856548, 0.698662,
    ];
    let layer = || SimpleRNN::new(2).return_sequences(true);
    predicts("unrolled", masked(layer().unroll(true)), &inputs, &[&simple]);
    predicts("looped", masked(layer()), &inputs, &[&simple]);
    let both = [
        0.072368, -0.004801, -0.153290, 0.058632, -0.006137, -0.106869, 0.088144, 0.158534, 0.0, 0.0, 0.0, 0.0,
        -0.372461, -0.289896, 0.084065, 0.065623, 0.0, 0.0, 0.0, 0.0, -0.086867, -0.040732, -0.010325, 0.002857,
        0.035278, 0.007753, -0.147316, -0.048435, 0.0, 0.0, 0.0, 0.0,
    ];
    predicts("both ways", masked(Bidirectional::new(LSTM::new(2).return_sequences(true))), &inputs, &[&both]);
    let stacked = [
        0.213366, 0.260069, 0.313321, 0.379924, 0.313321, 0.379924, 0.413505, 0.448283, 0.0, 0.0, 0.237396, 0.258363,
        0.301949, 0.354228, 0.301949, 0.354228,
    ];
    let cells = StackedRNNCells::new(cells![LSTMCell::new(2), GRUCell::new(2)]);
    predicts("stacked", masked(RNN::new(cells).return_sequences(true)), &inputs, &[&stacked]);
    let zeros = [
        -0.119579, -0.139065, -0.153758, -0.221095, 0.0, 0.0, -0.244200, -0.294941, 0.0, 0.0, -0.192512, -0.164058,
        -0.294154, -0.248786, 0.0, 0.0,
    ];
    let layer = RNN::new(GRUCell::new(2)).return_sequences(true).zero_output_for_mask(true);
    predicts("zeros", masked(layer), &inputs, &[&zeros]);
}

#[test]
fn recurrent_layers_have_keras_arguments() {
    let x = input(&[2, 4, 3], 1.0);
    let states = [x.clone(), input(&[2, 2], 1.0), input(&[2, 2], 0.5)];
    let unrolled = [
        -0.363971, -0.273661, -0.375049, -0.212831, -0.198102, -0.105093, -0.031554, -0.030169, 0.071725, -0.005696,
        0.118206, 0.003914, -0.027430, -0.055700, -0.331073, -0.187403,
    ];
    let layer = || LSTM::new(2).return_sequences(true).go_backwards(true);
    predicts("unrolled", plain(layer().unroll(true)), std::slice::from_ref(&x), &[&unrolled]);
    predicts("looped", plain(layer()), std::slice::from_ref(&x), &[&unrolled]);
    let initial = [0.021989, 0.006791, 0.130600, 0.010032];
    predicts("initial", with_states(LSTM::new(2).activation("relu")), &states, &[&initial]);
    let (forward, backward) = ([-0.271199, -0.333325, -0.346223, -0.313184], [0.230914, 0.337007, 0.464677, 0.462615]);
    let layer = Bidirectional::new(GRU::new(2).return_state(true)).merge_mode(None);
    predicts("apart", plain(layer), std::slice::from_ref(&x), &[&forward, &backward, &forward, &backward]);
    let mean = [0.074524, 0.093357, 0.133696, 0.120176];
    predicts("mean", with_states(Bidirectional::new(GRU::new(2)).merge_mode("ave")), &states, &[&mean]);
    let product = [-0.124053, 0.015458, 0.030704, 0.329451];
    let layer = Bidirectional::new(SimpleRNN::new(2)).merge_mode("mul");
    predicts("product", plain(layer), std::slice::from_ref(&x), &[&product]);
    let gru = [-0.343969, -0.287366, -0.407851, -0.265752];
    let layer = GRU::new(2).reset_after(false).recurrent_dropout(0.5);
    predicts("inference", plain(layer), &[x], &[&gru]);
}

/// Positions in a table, of which 0 is padding.
fn words() -> Literal {
    Literal::from_scalars(DType::I32, vec![2, 4], [3, 4, 0, 0, 1, 2, 0, 5].map(Scalar::Int))
}

fn of_words(build: impl FnOnce(&KerasTensor) -> kc::Result<KerasTensor>, embedding: Embedding) -> Model {
    let words = Input::new([4]).dtype("int32");
    let output = build(&embedding.call(&words)?)?;
    kc::Model::new(&words, &output)
}

#[test]
fn masks_go_through_layers() {
    let embedding = || Embedding::new(6, 3).mask_zero(true);
    let through = |e: &KerasTensor| {
        let dense = Dense::new(2).call(e)?;
        let both = Concatenate::new().call([e, &dense])?;
        let sum = Add::new().call([&both, &Activation::new("tanh").call(&both)?])?;
        LSTM::new(2).call(&Dropout::new(0.5).call(&sum)?)
    };
    let right = [-0.070622, -0.158898, 0.142017, 0.060309];
    predicts("through layers", of_words(through, embedding()), &[words()], &[&right]);
    let along_time = |e: &KerasTensor| {
        let both = Concatenate::new().axis(1).call([e, &Dense::new(3).call(e)?])?;
        GlobalAveragePooling1D::new().call(&both)
    };
    let right = [0.350290, 0.231011, 0.003084, 0.178268, 0.000995, -0.176746];
    predicts("side by side", of_words(along_time, embedding()), &[words()], &[&right]);
    let same = |e: &KerasTensor| GlobalAveragePooling1D::new().call(&Reshape::new([4, 3]).call(e)?);
    let right = [0.217853, 0.244021, 0.155422, -0.148010, -0.271107, -0.266698];
    predicts("the same tensor", of_words(same, embedding()), &[words()], &[&right]);
    let ended = |e: &KerasTensor| {
        let reshaped = Reshape::new([2, 6]).call(e)?;
        GlobalAveragePooling1D::new().call(&Reshape::new([4, 3]).call(&reshaped)?)
    };
    let right = [0.108927, 0.283065, 0.324074, -0.111008, -0.122803, -0.076842];
    predicts("ends", of_words(ended, embedding()), &[words()], &[&right]);
}

#[test]
fn losses_have_keras_terms() {
    let loss = |name: &str, embedding: Embedding, dense: Dense, right: f64| {
        let mut model = of_words(|e| dense.call(e), embedding).unwrap();
        model.compile("sgd", "mse", ()).unwrap();
        let inputs = [words(), input(&[2, 4, 1], 1.0), Literal::f32(&[2], &[1.0, 1.0])];
        let total = run(&model, "test_step", &inputs);
        assert_close(name, &[total[0][0] / 2.0], &[right]);
    };
    let (embedding, dense) = (|| Embedding::new(6, 3), || Dense::new(1));
    loss("masked", embedding().mask_zero(true), dense(), 0.0861572);
    let regularized = dense().kernel_regularizer(L1L2::new().l1(0.1).l2(0.2)).bias_regularizer("l1");
    let columns = OrthogonalRegularizer::new().factor(0.3).mode("columns");
    loss("regularized", embedding().embeddings_regularizer(columns), regularized, 0.5907710);
    let rows = OrthogonalRegularizer::new();
    loss("rows", embedding().embeddings_regularizer(rows), dense(), 0.1901015);
    loss("activity", embedding(), dense().activity_regularizer("l2"), 0.2008748);
}

fn refused(layer: impl Layer, shape: &[i64]) -> String {
    kc::utils::clear_session();
    let error = Sequential::new().add(Input::new(shape)).add(layer).module().unwrap_err().to_string();
    error.split("\n  --> ").next().unwrap_or_default().to_string()
}

#[test]
fn what_cannot_be_is_refused() {
    assert_eq!(
        refused(LSTM::new(2), &[3]),
        "layer `lstm` (LSTM): the input's shape is (None, 3), expected 3 axes: (batch, time, features)"
    );
    assert_eq!(
        refused(GRU::new(0), &[4, 3]),
        "layer `gru/gru_cell` (GRUCell): `units` is 0, expected a number from 1 to 715827882"
    );
    assert_eq!(
        refused(LSTM::new(2).stateful(true), &[4, 3]),
        "layer `lstm` (LSTM): `stateful` needs to know the size of the batch, the input's shape is (None, 4, 3); \
         give it with `Input::new(..).batch_size(..)`"
    );
    assert_eq!(
        refused(Bidirectional::new(LSTM::new(2).go_backwards(true)), &[4, 3]),
        "layer `bidirectional` (Bidirectional): `go_backwards` is true for both layers, expected one of each direction"
    );
    assert_eq!(
        refused(Bidirectional::new(LSTM::new(2)).merge_mode("max"), &[4, 3]),
        "layer `bidirectional` (Bidirectional): `merge_mode` is `max`, expected `concat`, `sum`, `mul`, `ave` or `None`"
    );
    assert_eq!(
        refused(Embedding::new(0, 3), &[4]),
        "layer `embedding` (Embedding): `input_dim` is 0, expected a number from 1 to 2147483647"
    );
    assert_eq!(
        refused(Dense::new(2).kernel_regularizer("l3"), &[4]),
        "layer `dense` (Dense): `kernel_regularizer`: unknown regularizer `l3`; did you mean `l1`? \
         Known are: l1, l2, l1_l2, orthogonal_regularizer"
    );
    let (x, state) = (Input::new([4, 3]), Input::new([5]));
    let error = GRU::new(2).call([&x, &state]).unwrap_err().to_string();
    assert!(error.contains("a first state's shape is (None, 5), expected (None, 2)"), "{error}");
    let error = GRU::new(2).call([&x, &state, &state]).unwrap_err().to_string();
    assert!(
        error.contains(
            "expected sequences, then 1 first states and a mask of dtype bool where there are some; got 3 inputs"
        ),
        "{error}"
    );
}

#[test]
fn a_stateful_layer_goes_on_where_it_ended() {
    let x = Input::new([4, 3]).batch_size(2);
    let model = kc::Model::new(&x, LSTM::new(2).stateful(true).call(&x).unwrap()).unwrap();
    let module = model.module().unwrap();
    let names: Vec<&str> = module.state.iter().map(|state| state.name.rsplit('/').next().unwrap()).collect();
    assert_eq!(names, ["rnn_state", "rnn_state_1", "kernel", "recurrent_kernel", "bias"]);
    let predict = module.function("predict").unwrap();
    assert_eq!(predict.results, [ResultSlot::Output(0), ResultSlot::State(0), ResultSlot::State(1)]);
    assert_eq!(predict.graph.results[0], predict.graph.results[1]);
}

#[test]
fn orthogonal_weights_are_orthonormal() {
    for (rows, columns) in [(3, 8), (40, 36), (70, 70)] {
        let dense = Dense::new(columns).kernel_initializer("orthogonal").use_bias(false);
        let model = Sequential::new().add(Input::new([rows as i64])).add(dense);
        let module = model.module().unwrap();
        let init = module.function("init").unwrap();
        let seeds = Literal::from_scalars(DType::U32, vec![1], [Scalar::Int(1)]);
        let kernel = interpret(&init.graph, &[seeds]).unwrap()[0].to_f64_vec();
        let row = |i: usize| (0..columns).map(|j| kernel[i * columns + j]).collect::<Vec<_>>();
        let column = |j: usize| (0..rows).map(|i| kernel[i * columns + j]).collect::<Vec<_>>();
        let lines: Vec<Vec<f64>> =
            if rows < columns { (0..rows).map(row).collect() } else { (0..columns).map(column).collect() };
        for (i, a) in lines.iter().enumerate() {
            for (j, b) in lines.iter().enumerate() {
                let product: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
                let expected = if i == j { 1.0 } else { 0.0 };
                assert!((product - expected).abs() < 2e-6, "{rows} by {columns}: {i}, {j}: {product}");
            }
        }
    }
}
