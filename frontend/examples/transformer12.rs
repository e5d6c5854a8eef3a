//! A transformer encoder of the size of BERT base (Devlin et al., 2018): 12 blocks of 12 heads and 768 features, a distribution over
//! all words at each position.
//!
//! `kc compile frontend/examples/transformer12.rs`, `kc bench frontend/examples/transformer12.rs`.

use kc::prelude::*;

const WORDS: usize = 30_522;
const LENGTH: i64 = 128;
const FEATURES: usize = 768;
const HEADS: i64 = 12;
const BLOCKS: usize = 12;

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
        scope.add_weight("positions", &[LENGTH, FEATURES as i64], &"uniform".into())
    }
    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> kc::Result<Vec<Value>> {
        let positions = scope.weight("positions")?;
        Ok(vec![scope.binary(Binary::Add, inputs[0], positions)?])
    }
}

fn block(x: &KerasTensor) -> kc::Result<KerasTensor> {
    let y = MultiHeadAttention::new(HEADS, FEATURES as i64 / HEADS).dropout(0.1).call([x, x])?;
    let x = LayerNormalization::new().epsilon(1e-12).call(&Add::new().call([x, &Dropout::new(0.1).call(&y)?])?)?;
    let y = Dense::new(4 * FEATURES).activation("gelu").call(&x)?;
    let y = Dropout::new(0.1).call(&Dense::new(FEATURES).call(&y)?)?;
    LayerNormalization::new().epsilon(1e-12).call(&Add::new().call([&x, &y])?)
}

#[kc::model]
fn transformer12() -> kc::Result<Model> {
    let words = Input::new([LENGTH]).dtype("int32");
    let x = Embedding::new(WORDS, FEATURES).call(&words)?;
    let x = Positions { base: Base::new("Positions") }.call(&x)?;
    let mut x = LayerNormalization::new().epsilon(1e-12).call(&x)?;
    for _ in 0..BLOCKS {
        x = block(&x)?;
    }
    let y = Dense::new(WORDS).activation("softmax").call(&x)?;
    let mut model = Model::new(&words, &y)?;
    model.compile(Adam::new().learning_rate(1e-4), "sparse_categorical_crossentropy", ())?;
    Ok(model)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("{}", transformer12()?.summary()?);
    Ok(())
}
