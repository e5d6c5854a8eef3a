//! Workload f: an encoder of 4 blocks of attention over 128 words, hidden size 256.

use kc::prelude::*;

/// A trained vector for each position, added to what is there.
#[derive(Clone, Debug)]
struct Positions {
    base: Base,
}

impl Layer for Positions {
    fn base(&self) -> &Base {
        &self.base
    }
    fn base_mut(&mut self) -> &mut Base {
        &mut self.base
    }
    fn build(&self, scope: &mut Scope, _inputs: &[TensorType]) -> kc::Result<()> {
        scope.add_weight("positions", &[128, 256], &"uniform".into())
    }
    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> kc::Result<Vec<Value>> {
        let positions = scope.weight("positions")?;
        Ok(vec![scope.binary(Binary::Add, inputs[0], positions)?])
    }
}

#[kc::model]
fn encoder() -> kc::Result<Model> {
    let words = Input::new([128]).dtype("int32");
    let x = Embedding::new(8192, 256).call(&words)?;
    let x = Positions { base: Base::new("Positions") }.call(&x)?;
    let mut x = LayerNormalization::new().call(&x)?;
    for _ in 0..4 {
        let y = MultiHeadAttention::new(4, 64).call([&x, &x])?;
        x = LayerNormalization::new().call(&Add::new().call([&x, &y])?)?;
        let y = Dense::new(1024).activation("gelu").call(&x)?;
        let y = Dense::new(256).call(&y)?;
        x = LayerNormalization::new().call(&Add::new().call([&x, &y])?)?;
    }
    let y = Dense::new(2).call(&GlobalAveragePooling1D::new().call(&x)?)?;
    let mut model = Model::new(&words, &y)?;
    let loss = SparseCategoricalCrossentropy::new().from_logits(true);
    model.compile(Adam::new(), loss, ())?;
    Ok(model)
}
