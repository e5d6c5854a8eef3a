//! The sentiment of film reviews with a transformer encoder: embeddings of words and positions, blocks of attention and dense layers, the
//! mean over the words, one probability.
//!
//! `kc fit frontend/examples/transformer.rs --epochs 3 --batch-size 32`, or as an ordinary program:
//! `cargo run --release --example transformer`.

use kc::datasets::{Imdb, Split};
use kc::prelude::*;
use kc::utils::pad_sequences;

const WORDS: usize = 10_000;
const LENGTH: usize = 128;
const FEATURES: usize = 256;
const HEADS: i64 = 8;
const BLOCKS: usize = 4;

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
        scope.add_weight("positions", &[LENGTH as i64, FEATURES as i64], &"uniform".into())
    }
    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> kc::Result<Vec<Value>> {
        let positions = scope.weight("positions")?;
        Ok(vec![scope.binary(Binary::Add, inputs[0], positions)?])
    }
}

fn block(x: &KerasTensor) -> kc::Result<KerasTensor> {
    let y = LayerNormalization::new().call(x)?;
    let y = MultiHeadAttention::new(HEADS, FEATURES as i64 / HEADS).call([&y, &y])?;
    let x = Add::new().call([x, &y])?;
    let y = LayerNormalization::new().call(&x)?;
    let y = Dense::new(4 * FEATURES).activation("gelu").call(&y)?;
    let y = Dense::new(FEATURES).call(&y)?;
    Add::new().call([&x, &y])
}

#[kc::model]
fn transformer() -> kc::Result<Model> {
    let words = Input::new([LENGTH as i64]).dtype("int32");
    let x = Embedding::new(WORDS, FEATURES).call(&words)?;
    let mut x = Positions { base: Base::new("Positions") }.call(&x)?;
    for _ in 0..BLOCKS {
        x = block(&x)?;
    }
    let x = GlobalAveragePooling1D::new().call(&LayerNormalization::new().call(&x)?)?;
    let y = Dense::new(1).activation("sigmoid").call(&x)?;
    let mut model = Model::new(&words, &y)?;
    model.compile(Adam::new().learning_rate(3e-4), "binary_crossentropy", ["accuracy"])?;
    Ok(model)
}

/// The last words of each review, by their ranks; shorter reviews begin with zeros.
#[kc::data]
fn reviews() -> Result<Split, Box<dyn std::error::Error>> {
    let ((x_train, y_train), (x_test, y_test)) = Imdb::new().num_words(WORDS as i32).load()?;
    Ok(((pad_sequences(&x_train, LENGTH)?, y_train), (pad_sequences(&x_test, LENGTH)?, y_test)))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ((x_train, y_train), (x_test, y_test)) = reviews()?;
    let mut model = transformer()?;
    model.fit(x_train, y_train, Fit::new().epochs(3).batch_size(32))?;
    let logs = model.evaluate(x_test, y_test)?;
    println!("{:?}", logs.iter().collect::<Vec<_>>());
    Ok(())
}
