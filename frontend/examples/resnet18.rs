//! Photographs with a ResNet of 18 layers (He et al., 2015), for images of 32 by 32 pixels; of `IMAGE` pixels at least 64 it starts
//! with the strided window and the pooling of the original.
//!
//! `kc fit frontend/examples/resnet18.rs --epochs 10 --batch-size 128`, or as an ordinary program:
//! `cargo run --release --example resnet18`.

use kc::prelude::*;

/// Height and width of an image: 32 for CIFAR-10, 224 for ImageNet.
const IMAGE: i64 = 32;
const CLASSES: usize = 10;

/// A convolution without bias, normalised.
fn convolution(x: &KerasTensor, filters: usize, size: i64, strides: i64) -> kc::Result<KerasTensor> {
    let convolution = Conv2D::new(filters, size).strides(strides).padding("same").use_bias(false);
    let x = convolution.kernel_initializer("he_normal").call(x)?;
    BatchNormalization::new().call(&x)
}

/// Two convolutions, and the input added to what they give.
fn block(x: &KerasTensor, filters: usize, strides: i64) -> kc::Result<KerasTensor> {
    let y = ReLU::new().call(&convolution(x, filters, 3, strides)?)?;
    let y = convolution(&y, filters, 3, 1)?;
    let same = strides == 1 && x.shape().last() == Some(&Dim::constant(filters as i64));
    let shortcut = if same { x.clone() } else { convolution(x, filters, 1, strides)? };
    ReLU::new().call(&Add::new().call([&shortcut, &y])?)
}

#[kc::model]
fn resnet18() -> kc::Result<Model> {
    let images = Input::new([IMAGE, IMAGE, 3]).dtype("uint8");
    let x = Rescaling::new(1.0 / 127.5).offset(-1.0).call(&images)?;
    let mut x = if IMAGE < 64 {
        ReLU::new().call(&convolution(&x, 64, 3, 1)?)?
    } else {
        let x = ReLU::new().call(&convolution(&x, 64, 7, 2)?)?;
        MaxPooling2D::new(3).strides(2).padding("same").call(&x)?
    };
    for (stage, filters) in [64, 128, 256, 512].into_iter().enumerate() {
        x = block(&x, filters, if stage == 0 { 1 } else { 2 })?;
        x = block(&x, filters, 1)?;
    }
    let x = GlobalAveragePooling2D::new().call(&x)?;
    let y = Dense::new(CLASSES).activation("softmax").call(&x)?;
    let mut model = Model::new(&images, &y)?;
    model.compile(SGD::new().learning_rate(0.05).momentum(0.9), "sparse_categorical_crossentropy", ["accuracy"])?;
    Ok(model)
}

#[kc::data]
fn photographs() -> Result<kc::datasets::Split, kc::datasets::DatasetError> {
    kc::datasets::cifar10()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ((x_train, y_train), (x_test, y_test)) = photographs()?;
    let mut model = resnet18()?;
    model.fit(x_train, y_train, Fit::new().epochs(10).batch_size(128))?;
    let logs = model.evaluate(x_test, y_test)?;
    println!("{:?}", logs.iter().collect::<Vec<_>>());
    Ok(())
}
