//! The models of the cases in mixed precision (`golden/mixed.py`).

use kc::config::set_dtype_policy;
use kc::prelude::*;
use kc::{Error, Result};

/// The model of the case `mixed_<dtype>_<network>_<what>`, or `pure_..` where weights have the dtype too; compiled where the case trains.
pub fn build(case: &super::Case, name: &str) -> Result<Model> {
    let unknown = || Error::model(format!("no model is known for the case `{}`", case.name));
    let words: Vec<&str> = name.splitn(4, '_').collect();
    let &[kind, dtype, network, what] = words.as_slice() else { return Err(unknown()) };
    let policy = if kind == "pure" { dtype.to_string() } else { format!("mixed_{dtype}") };
    set_dtype_policy(policy.as_str())?;
    let model = match network {
        "mlp" => mlp(),
        "cnn" => cnn(),
        "lstm" => lstm(),
        "block" => block(dtype == "float16"),
        _ => Err(unknown()),
    };
    set_dtype_policy("float32")?;
    let mut model = model?;
    if what != "train" {
        let loss = SparseCategoricalCrossentropy::new().from_logits(true);
        model.compile(super::models::optimizer(&case.optimizer)?, loss, ["accuracy"])?;
    }
    Ok(model)
}

fn mlp() -> Result<Model> {
    let x = Input::new([12]).name("in0");
    let y = Dense::new(16).activation("relu").call(&x)?;
    let y = Dense::new(16).activation("tanh").call(&y)?;
    Model::new(&x, &Dense::new(4).call(&y)?)
}

fn cnn() -> Result<Model> {
    let x = Input::new([10, 10, 2]).name("in0");
    let y = Conv2D::new(8, 3).use_bias(false).call(&x)?;
    let y = BatchNormalization::new().momentum(0.9).call(&y)?;
    let y = Activation::new("silu").call(&y)?;
    let y = AveragePooling2D::new(2).call(&y)?;
    let y = Conv2D::new(8, 3).padding("same").activation("tanh").call(&y)?;
    let y = GlobalAveragePooling2D::new().call(&y)?;
    Model::new(&x, &Dense::new(4).call(&y)?)
}

fn lstm() -> Result<Model> {
    let x = Input::new([5, 6]).name("in0");
    let y = LSTM::new(8).call(&x)?;
    Model::new(&x, &Dense::new(4).call(&y)?)
}

fn block(by_scores: bool) -> Result<Model> {
    let words = Input::new([6]).dtype("int32").name("in0");
    let x = Embedding::new(300, 8).call(&words)?;
    let y = LayerNormalization::new().call(&x)?;
    let attention = MultiHeadAttention::new(2, 4).return_attention_scores(by_scores);
    let y = attention.call_all([&y, &y])?.remove(0);
    let x = Add::new().call([&x, &y])?;
    let y = LayerNormalization::new().call(&x)?;
    let y = Dense::new(16).activation("gelu").call(&y)?;
    let y = Dense::new(8).call(&y)?;
    let y = GlobalAveragePooling1D::new().call(&Add::new().call([&x, &y])?)?;
    Model::new(&words, &Dense::new(4).dtype("float32").call(&y)?)
}
