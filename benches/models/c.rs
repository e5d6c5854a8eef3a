//! Workload c: a convolutional network for images of 28 by 28.

use kc::prelude::*;

#[kc::model]
fn cnn() -> kc::Result<Sequential> {
    let mut model = Sequential::new()
        .add(Input::new([28, 28, 1]))
        .add(Conv2D::new(32, 3).activation("relu"))
        .add(Conv2D::new(64, 3).activation("relu"))
        .add(MaxPooling2D::new(2))
        .add(Dropout::new(0.25))
        .add(Flatten::new())
        .add(Dense::new(128).activation("relu"))
        .add(Dense::new(10));
    let loss = SparseCategoricalCrossentropy::new().from_logits(true);
    model.compile(Adam::new(), loss, ())?;
    Ok(model)
}
