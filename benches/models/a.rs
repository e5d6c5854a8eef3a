//! Workload a: an MLP of 784, 128 and 10.

use kc::prelude::*;

#[kc::model]
fn mlp() -> kc::Result<Sequential> {
    let mut model =
        Sequential::new().add(Input::new([784])).add(Dense::new(128).activation("relu")).add(Dense::new(10));
    let loss = SparseCategoricalCrossentropy::new().from_logits(true);
    model.compile(Adam::new(), loss, ())?;
    Ok(model)
}
