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

/// What predictions keep from one to the next is computed anew where the weights have changed, in whatever way.
fn predictions_follow(backend: &dyn Backend) -> Result<(), Box<dyn std::error::Error>> {
    kc::utils::clear_session();
    let mut model = Sequential::new()
        .add(Input::new([10, 10, 1]))
        .add(Conv2D::new(16, 3).use_bias(false))
        .add(BatchNormalization::new())
        .add(ReLU::new())
        .add(GlobalAveragePooling2D::new())
        .add(Dense::new(10).activation("softmax"));
    model.compile(SGD::new(), "sparse_categorical_crossentropy", ["accuracy"])?;
    let package = compile(&Model::from(model).module()?, backend, &Options::default())?;
    let kept = package.manifest.entry("predict").map(|entry| entry.plan.kept);
    assert!(kept > Some(0), "the filters that normalisation scales depend on the state alone");
    let pixels: Vec<f32> = (0..300).map(|position| (position * 7919 % 1009) as f32 / 504.5 - 1.0).collect();
    let images = Array::from_slice(&pixels, &[3, 10, 10, 1])?;
    let mut session = Session::new(&package, &SessionOptions::default())?;
    let mut seen: Vec<Vec<Array>> = Vec::new();
    let mut predict = |session: &mut Session| -> Result<(), Box<dyn std::error::Error>> {
        let mut fresh = Session::new(&package, &SessionOptions::default())?;
        fresh.set_state(session.state()?)?;
        let given = session.run("predict", &[&images])?;
        assert!(given == fresh.run("predict", &[&images])?, "prediction {} is not of the present weights", seen.len());
        assert!(given == session.run("predict", &[&images])?, "prediction {} differs from the next", seen.len());
        assert!(!seen.contains(&given), "prediction {} is one from before", seen.len());
        seen.push(given);
        Ok(())
    };
    session.init(1)?;
    predict(&mut session)?;
    for (index, tensor) in package.manifest.state.iter().enumerate().filter(|(_, tensor)| tensor.ty.rank() == 1) {
        if tensor.name.ends_with("gamma") || tensor.name.ends_with("moving_variance") {
            let values = vec![1.25f32; session.state()?[index].elements()];
            session.set_state_tensor(index, &Array::from_slice(&values, &[values.len()])?)?;
            predict(&mut session)?;
        }
    }
    session.init(2)?;
    predict(&mut session)?;
    let state = train(&package, 1)?;
    session.set_state(&state)?;
    predict(&mut session)?;
    let (targets, weights) = (Array::from_slice(&[1i32, 2, 3], &[3])?, Array::from_slice(&[1f32; 3], &[3])?);
    session.run("train_step", &[&images, &targets, &weights])?;
    predict(&mut session)?;
    assert!(seen.len() > 5, "only {} predictions", seen.len());
    Ok(())
}

#[test]
fn predictions_are_of_the_present_weights() {
    predictions_follow(cranelift().expect("the embedded back end")).expect("it predicts");
    match mlir() {
        Ok(backend) => predictions_follow(backend).expect("it predicts"),
        Err(reason) => eprintln!("mlir is skipped: {reason}"),
    }
}
