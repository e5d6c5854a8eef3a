//! The models of the cases about sequences: embeddings, masks, recurrent layers.

use kc::prelude::*;
use kc::{Error, Result};

/// The model of a case.
pub fn build(case: &super::Case) -> Result<Model> {
    let name = case.name.as_str();
    match name {
        "embedding" => embedded(Embedding::new(10, 6), None::<Masking>),
        "embedding_mask_gap" => embedded(masked_embedding(8), Some(GlobalAveragePooling1D::new())),
        "embedding_mask_mha" => embedding_mask_mha(),
        "embedding_mask_gru" => embedded(masked_embedding(6), Some(GRU::new(4).return_sequences(true))),
        "masking_lstm" => masking_lstm(),
        "lstm" => steps(LSTM::new(5)),
        "lstm_seq" => steps(LSTM::new(5).return_sequences(true).go_backwards(true)),
        "lstm_state" => steps(LSTM::new(5).return_sequences(true).return_state(true)),
        "lstm_nobias_hs" => steps(LSTM::new(5).use_bias(false).recurrent_activation("hard_sigmoid")),
        "gru" => steps(GRU::new(5)),
        "gru_seq" => steps(GRU::new(5).return_sequences(true).go_backwards(true)),
        "gru_state" => steps(GRU::new(5).return_sequences(true).return_state(true)),
        "gru_reset_before" => steps(GRU::new(5).reset_after(false)),
        "simplernn" => steps(SimpleRNN::new(5)),
        "simplernn_seq" => steps(SimpleRNN::new(5).return_sequences(true).go_backwards(true)),
        "simplernn_state" => steps(SimpleRNN::new(5).return_sequences(true).return_state(true)),
        "bidir_lstm" => steps(Bidirectional::new(LSTM::new(3).return_sequences(true))),
        "bidir_gru" => steps(Bidirectional::new(GRU::new(3).return_sequences(true))),
        "bidir_simplernn" => steps(Bidirectional::new(SimpleRNN::new(3).return_sequences(true))),
        "bidir_sum" => steps(Bidirectional::new(GRU::new(3)).merge_mode("sum")),
        "stacked_cells" => {
            let cells = cells![LSTMCell::new(4), GRUCell::new(3), SimpleRNNCell::new(5)];
            steps(RNN::new(StackedRNNCells::new(cells)))
        }
        _ => Err(Error::model(format!("no model is known for the case `{name}`"))),
    }
}

fn steps(layer: impl Call) -> Result<Model> {
    let input = Input::new([6, 4]).name("in0");
    let outputs = layer.call_all(&input)?;
    Model::new(&input, outputs)
}

fn masking_lstm() -> Result<Model> {
    let input = Input::new([5, 3]).name("in0");
    Model::new(&input, &LSTM::new(4).call(&Masking::new().call(&input)?)?)
}

fn masked_embedding(features: usize) -> Embedding {
    Embedding::new(10, features).mask_zero(true)
}

fn embedded(embedding: Embedding, layer: Option<impl Call>) -> Result<Model> {
    let input = Input::new([5]).dtype("int32").name("in0");
    let mut x = embedding.call(&input)?;
    if let Some(layer) = layer {
        x = layer.call(&x)?;
    }
    Model::new(&input, &x)
}

fn embedding_mask_mha() -> Result<Model> {
    let input = Input::new([5]).dtype("int32").name("in0");
    let x = masked_embedding(8).call(&input)?;
    Model::new(&input, &MultiHeadAttention::new(2, 4).call([&x, &x])?)
}
