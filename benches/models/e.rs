//! Workload e: an LSTM of 128 units over 100 steps of 64 features.

use kc::prelude::*;

#[kc::model]
fn lstm() -> kc::Result<Sequential> {
    let mut model = Sequential::new().add(Input::new([100, 64])).add(LSTM::new(128)).add(Dense::new(10));
    let loss = SparseCategoricalCrossentropy::new().from_logits(true);
    model.compile(Adam::new(), loss, ())?;
    Ok(model)
}
