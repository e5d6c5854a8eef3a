//! Digits with a multilayer perceptron.
//!
//! `kc fit frontend/examples/mnist_mlp.rs --data mnist --epochs 5 --batch-size 64`, or as an ordinary program:
//! `cargo run --release --example mnist_mlp`.

use kc::prelude::*;

#[kc::model]
fn mnist_mlp() -> kc::Result<Sequential> {
    let mut model = Sequential::new()
        .add(Input::new([28, 28]).dtype("uint8"))
        .add(Rescaling::new(1.0 / 255.0))
        .add(Flatten::new())
        .add(Dense::new(128).activation("relu"))
        .add(Dropout::new(0.2))
        .add(Dense::new(10).activation("softmax"));
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])?;
    Ok(model)
}

#[kc::data]
fn digits() -> Result<kc::datasets::Split, kc::datasets::DatasetError> {
    kc::datasets::mnist()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ((x_train, y_train), (x_test, y_test)) = digits()?;
    let mut model = mnist_mlp()?;
    model.fit(x_train, y_train, Fit::new().epochs(5).batch_size(64).validation_split(0.1))?;
    let logs = model.evaluate(x_test, y_test)?;
    println!("{:?}", logs.iter().collect::<Vec<_>>());
    Ok(())
}
