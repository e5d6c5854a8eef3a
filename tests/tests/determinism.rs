//! The same seed gives the same bits: for every compilation, run and number of threads.

use kc::prelude::*;
use kc_codegen::{Backend, Options, compile};
use kc_runtime::{Array, Package, Session, SessionOptions};
use kc_tests::runner::{cranelift, mlir};

/// Dropout, sums over the batch, and layers wide enough to be divided among threads.
fn mlp() -> kc::Result<Model> {
    kc::utils::clear_session();
    let mut model = Sequential::new()
        .add(Input::new([100]))
        .add(Dense::new(300).activation("relu"))
        .add(Dropout::new(0.3))
        .add(Dense::new(10).activation("softmax"));
    model.compile(Adam::new(), "sparse_categorical_crossentropy", ["accuracy"])?;
    Ok(model.into())
}

/// Convolutions, moving statistics and pooling.
fn cnn() -> kc::Result<Model> {
    kc::utils::clear_session();
    let mut model = Sequential::new()
        .add(Input::new([10, 10, 1]))
        .add(Conv2D::new(16, 3).activation("relu"))
        .add(BatchNormalization::new())
        .add(MaxPooling2D::new(2))
        .add(Conv2D::new(16, 3).padding("same").activation("relu"))
        .add(Flatten::new())
        .add(Dense::new(10).activation("softmax"));
    model.compile(SGD::new().momentum(0.9), "sparse_categorical_crossentropy", ["accuracy"])?;
    Ok(model.into())
}

/// A loop over steps, its gradient, and factors of dropout that are drawn before it.
fn lstm() -> kc::Result<Model> {
    kc::utils::clear_session();
    let mut model = Sequential::new()
        .add(Input::new([10, 10]))
        .add(LSTM::new(24).dropout(0.2).return_sequences(true))
        .add(LSTM::new(16).recurrent_dropout(0.1))
        .add(Dense::new(10).activation("softmax"));
    model.compile(Adam::new(), "sparse_categorical_crossentropy", ["accuracy"])?;
    Ok(model.into())
}

/// Attention with dropout of its probabilities, normalised over features.
fn attention() -> kc::Result<Model> {
    kc::utils::clear_session();
    let words = Input::new([10, 10]);
    let x = Dense::new(32).call(&words)?;
    let y = LayerNormalization::new().call(&x)?;
    let y = MultiHeadAttention::new(4, 8).dropout(0.2).call([&y, &y])?;
    let x = Add::new().call([&x, &Dropout::new(0.1).call(&y)?])?;
    let y = Dense::new(10).activation("softmax").call(&GlobalAveragePooling1D::new().call(&x)?)?;
    let mut model = Model::new(&words, &y)?;
    model.compile(Adam::new(), "sparse_categorical_crossentropy", ["accuracy"])?;
    Ok(model)
}

/// The models by their names.
type Models = [(&'static str, fn() -> kc::Result<Model>); 4];
const MODELS: Models = [("mlp", mlp), ("cnn", cnn), ("lstm", lstm), ("attention", attention)];

/// The state after some steps, the last of them with a batch of its own size.
fn train(package: &Package, threads: usize) -> Result<Vec<Array>, Box<dyn std::error::Error>> {
    let mut session = Session::new(package, &SessionOptions { threads, ..SessionOptions::default() })?;
    session.init(7)?;
    for (step, batch) in [64, 64, 64, 37].into_iter().enumerate() {
        let number = |position: usize| ((position * 7919 + step * 104729) % 1009) as f32 / 504.5 - 1.0;
        let features: Vec<f32> = (0..batch * 100).map(number).collect();
        let targets: Vec<i32> = (0..batch).map(|sample| ((sample * 31 + step) % 10) as i32).collect();
        let entry = package.manifest.entry("train_step").ok_or("no train_step")?;
        let mut shape: Vec<usize> = vec![batch];
        let extents = entry.inputs[0].ty.shape[1..].iter();
        shape.extend(extents.filter_map(|dim| dim.as_constant()).map(|extent| extent as usize));
        let features = Array::from_slice(&features, &shape)?;
        let targets = Array::from_slice(&targets, &[batch])?;
        let weights = Array::from_slice(&vec![1f32; batch], &[batch])?;
        session.run("train_step", &[&features, &targets, &weights])?;
    }
    Ok(session.state()?.to_vec())
}

fn same_bits(backend: &dyn Backend) -> Result<(), Box<dyn std::error::Error>> {
    for (name, model) in MODELS {
        let compiled = || -> Result<Package, Box<dyn std::error::Error>> {
            Ok(compile(&model()?.module()?, backend, &Options::default())?)
        };
        let package = compiled()?;
        assert!(package.to_bytes()? == compiled()?.to_bytes()?, "{name}: two compilations differ");
        let state = train(&package, 1)?;
        let changed =
            package.manifest.state.iter().zip(&state).filter(|(_, array)| array.bytes().iter().any(|&b| b != 0));
        assert!(changed.count() > 8, "{name}: nothing was trained");
        for threads in [1, 2, 3] {
            for (tensor, (again, first)) in
                package.manifest.state.iter().zip(train(&package, threads)?.iter().zip(&state))
            {
                assert!(again == first, "{name}: `{}` differs with {threads} threads", tensor.name);
            }
        }
    }
    Ok(())
}

#[test]
fn cranelift_gives_the_same_bits() {
    same_bits(cranelift().expect("the embedded back end")).expect("it trains");
}

#[test]
fn mlir_gives_the_same_bits() {
    match mlir() {
        Ok(backend) => same_bits(backend).expect("it trains"),
        Err(reason) => eprintln!("mlir is skipped: {reason}"),
    }
}
