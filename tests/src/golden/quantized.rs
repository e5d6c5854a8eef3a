//! The models of the cases that are quantised (`golden/quantized.py`).

use kc::config::set_dtype_policy;
use kc::prelude::*;
use kc::{Error, Result};

/// The model of the case `int8_<network>`, or `int8_<network>_mixed`.
pub fn build(name: &str) -> Result<Model> {
    let (network, policy) = match name.strip_suffix("_mixed") {
        Some(network) => (network, "mixed_bfloat16"),
        None => (name, "float32"),
    };
    set_dtype_policy(policy)?;
    let model = match network {
        "mlp" => mlp(),
        "steps" => steps(),
        "block" => block(),
        "einsum" => einsum(),
        _ => Err(Error::model(format!("no model is known for the case `int8_{name}`"))),
    };
    set_dtype_policy("float32")?;
    let model = model?;
    model.quantize("int8")?;
    Ok(model)
}

fn mlp() -> Result<Model> {
    let x = Input::new([12]).name("in0");
    let y = Dense::new(16).activation("tanh").call(&x)?;
    Model::new(&x, &Dense::new(5).use_bias(false).call(&y)?)
}

fn steps() -> Result<Model> {
    let x = Input::new([3, 6]).name("in0");
    let y = Dense::new(8).activation("relu").call(&x)?;
    Model::new(&x, &Dense::new(4).call(&y)?)
}

fn einsum() -> Result<Model> {
    let x = Input::new([6, 8]).name("in0");
    let y =
        EinsumDense::new("abc,cde->adbe", [Some(2), Some(6), Some(4)]).bias_axes("de").activation("tanh").call(&x)?;
    let y = EinsumDense::new("abcd,bde->ace", [None, Some(5)]).bias_axes("e").call(&y)?;
    Model::new(&x, &EinsumDense::new("abc,cd->abd", [None, Some(3)]).call(&y)?)
}

fn block() -> Result<Model> {
    let words = Input::new([6]).dtype("int32").name("in0");
    let x = Embedding::new(30, 8).call(&words)?;
    let y = LayerNormalization::new().call(&x)?;
    let y = MultiHeadAttention::new(2, 4).call([&y, &y])?;
    let x = Add::new().call([&x, &y])?;
    Model::new(&words, &Dense::new(4).call(&x)?)
}
