//! The example models: the LSTM learns, the others are as large as they should be.
#![cfg(feature = "compile")]

use kc::prelude::*;
use kc_runtime::{Package, Session, SessionOptions};

#[path = "../examples/imdb_lstm.rs"]
#[allow(dead_code)]
mod imdb_lstm;
#[path = "../examples/resnet18.rs"]
#[allow(dead_code)]
mod resnet18;
#[path = "../examples/resnet50.rs"]
#[allow(dead_code)]
mod resnet50;
#[path = "../examples/transformer.rs"]
#[allow(dead_code)]
mod transformer;
#[path = "../examples/transformer12.rs"]
#[allow(dead_code)]
mod transformer12;

/// Texts of words below 20, which are of the class 1 where the last word is below 10.
fn texts(count: usize, length: usize) -> (Array, Array) {
    let words: Vec<i32> = (0..count * length).map(|i| ((i * 7919 + i / 7 * 31) % 20) as i32).collect();
    let labels: Vec<i64> = words.chunks(length).map(|text| i64::from(text[length - 1] < 10)).collect();
    (Array::from_slice(&words, &[count, length]).unwrap(), Array::from_slice(&labels, &[count]).unwrap())
}

/// The losses of the epochs.
fn losses(model: &mut kc::Model, (x, y): (Array, Array), epochs: usize) -> Vec<f64> {
    let arguments = Fit::new().epochs(epochs).batch_size(8).verbose(Verbose::Silent);
    model.fit(x, y, arguments).expect("it trains").logs["loss"].clone()
}

#[test]
fn the_lstm_learns() {
    kc::utils::set_random_seed(1);
    let mut model = imdb_lstm::kc_model().expect("a model");
    let losses = losses(&mut model, texts(64, 100), 6);
    assert!(losses[5] < 0.7 * losses[0], "{losses:?}");
}

/// A model that only predicts, of the example's layers, with weights of that seed.
fn predicting(model: Result<kc::Model, String>, input: Input, seed: u32) -> kc::Result<kc::Model> {
    let outputs = model.expect("a model").call(&input)?;
    kc::utils::set_random_seed(seed);
    kc::Model::new(&input, &outputs)
}

#[test]
fn weights_that_are_kept_give_the_same_predictions() {
    let photographs: Vec<u8> = (0..2 * 32 * 32 * 3).map(|i| (i * 7919 % 251) as u8).collect();
    let examples: [(&str, fn() -> Result<kc::Model, String>, Input, Array); 2] = [
        (
            "resnet18",
            resnet18::kc_model,
            Input::new([32, 32, 3]).dtype("uint8"),
            Array::from_slice(&photographs, &[2, 32, 32, 3]).unwrap(),
        ),
        ("transformer", transformer::kc_model, Input::new([128]).dtype("int32"), texts(2, 128).0),
    ];
    for (name, example, input, x) in examples {
        let of_seed = |seed| predicting(example(), input.clone(), seed).expect("a model");
        let first = of_seed(1);
        let predictions = first.predict(x.clone()).expect("it predicts");
        let second = of_seed(2);
        assert!(second.predict(x.clone()).expect("it predicts") != predictions, "{name}: seeds do not matter");
        second.set_weights(&first.get_weights().expect("weights")).expect("the same shapes");
        assert!(second.predict(x.clone()).expect("it predicts") == predictions, "{name}: by weights");

        let file = std::env::temp_dir().join(format!("kc-{name}-{}.kcp", std::process::id()));
        first.package().expect("a package").write(&file).expect("a file for the test");
        let package = Package::read(&file);
        std::fs::remove_file(&file).expect("the test's own file");
        let mut session = Session::new(&package.expect("as written"), &SessionOptions::default()).expect("it starts");
        let read = session.run("predict", &[&x]).expect("it predicts");
        assert!(read == [predictions], "{name}: by a file");
    }
}

#[test]
fn large_models_are_as_large_as_they_should_be() {
    let parameters = |model: Result<kc::Model, String>| {
        kc::utils::clear_session();
        let module = model.expect("a model").module().expect("it can be traced");
        module.model.layers.iter().map(|layer| layer.parameters).sum::<u64>()
    };
    assert_eq!(parameters(resnet18::kc_model()), 11_183_562);
    // as keras.applications.ResNet50
    assert_eq!(parameters(resnet50::kc_model()), 25_636_712);
    assert_eq!(parameters(transformer::kc_model()), 5_752_577);
    assert_eq!(parameters(transformer12::kc_model()), 132_066_618);
}
