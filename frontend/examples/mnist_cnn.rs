//! Digits with a small convolutional network.
//!
//! `kc fit frontend/examples/mnist_cnn.rs --data mnist --epochs 6 --batch-size 64`, or as an ordinary program:
//! `cargo run --release --example mnist_cnn`.

use kc::prelude::*;

#[kc::model]
fn mnist_cnn() -> kc::Result<Sequential> {
    let mut model = Sequential::new()
        .add(Input::new([28, 28]).dtype("uint8"))
        .add(Rescaling::new(1.0 / 255.0))
        .add(Reshape::new([28, 28, 1]))
        .add(Conv2D::new(32, 3).activation("relu"))
        .add(MaxPooling2D::new(2))
        .add(Conv2D::new(64, 3).activation("relu"))
        .add(MaxPooling2D::new(2))
        .add(Flatten::new())
        .add(Dropout::new(0.25))
        .add(Dense::new(128).activation("relu"))
        .add(Dropout::new(0.5))
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
    let mut model = mnist_cnn()?;
    model.fit(x_train, y_train, Fit::new().epochs(6).batch_size(64).validation_split(0.1))?;
    let logs = model.evaluate(x_test, y_test)?;
    println!("{:?}", logs.iter().collect::<Vec<_>>());
    Ok(())
}
