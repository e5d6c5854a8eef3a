//! A ResNet of 50 layers (He et al., 2015) for photographs of 224 by 224 pixels, as `keras.applications.ResNet50` builds it.
//!
//! `kc compile frontend/examples/resnet50.rs`, `kc bench frontend/examples/resnet50.rs`.

use kc::prelude::*;

const CLASSES: usize = 1000;

/// A convolution, normalised.
fn convolution(x: &KerasTensor, filters: usize, size: i64, strides: i64) -> kc::Result<KerasTensor> {
    let x = Conv2D::new(filters, size).strides(strides).padding("same").call(x)?;
    BatchNormalization::new().epsilon(1.001e-5).call(&x)
}

/// Three convolutions, the middle one of fewer channels, and the input added to what they give.
fn bottleneck(x: &KerasTensor, filters: usize, strides: i64) -> kc::Result<KerasTensor> {
    let y = ReLU::new().call(&convolution(x, filters, 1, strides)?)?;
    let y = ReLU::new().call(&convolution(&y, filters, 3, 1)?)?;
    let y = convolution(&y, 4 * filters, 1, 1)?;
    let same = strides == 1 && x.shape().last() == Some(&Dim::constant(4 * filters as i64));
    let shortcut = if same { x.clone() } else { convolution(x, 4 * filters, 1, strides)? };
    ReLU::new().call(&Add::new().call([&shortcut, &y])?)
}

#[kc::model]
fn resnet50() -> kc::Result<Model> {
    let images = Input::new([224, 224, 3]);
    let x = ReLU::new().call(&convolution(&images.tensor()?, 64, 7, 2)?)?;
    let mut x = MaxPooling2D::new(3).strides(2).padding("same").call(&x)?;
    for (stage, (filters, blocks)) in [(64, 3), (128, 4), (256, 6), (512, 3)].into_iter().enumerate() {
        for number in 0..blocks {
            x = bottleneck(&x, filters, if number == 0 && stage > 0 { 2 } else { 1 })?;
        }
    }
    let x = GlobalAveragePooling2D::new().call(&x)?;
    let y = Dense::new(CLASSES).activation("softmax").call(&x)?;
    let mut model = Model::new(&images, &y)?;
    model.compile(SGD::new().learning_rate(0.1).momentum(0.9), "sparse_categorical_crossentropy", ["accuracy"])?;
    Ok(model)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("{}", resnet50()?.summary()?);
    Ok(())
}
