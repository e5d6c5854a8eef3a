//! The sentiment of film reviews with a recurrent network: word embeddings, an LSTM, one probability.
//!
//! `kc fit frontend/examples/imdb_lstm.rs --epochs 3 --batch-size 32`, or as an ordinary program:
//! `cargo run --release --example imdb_lstm`.

use kc::datasets::{Imdb, Split};
use kc::prelude::*;
use kc::utils::pad_sequences;

const WORDS: usize = 10_000;
const LENGTH: usize = 100;

#[kc::model]
fn imdb_lstm() -> kc::Result<Sequential> {
    let mut model = Sequential::new()
        .add(Input::new([LENGTH as i64]).dtype("int32"))
        .add(Embedding::new(WORDS, 64))
        .add(LSTM::new(128))
        .add(Dense::new(1).activation("sigmoid"));
    model.compile("adam", "binary_crossentropy", ["accuracy"])?;
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
    let mut model = imdb_lstm()?;
    model.fit(x_train, y_train, Fit::new().epochs(3).batch_size(32))?;
    let logs = model.evaluate(x_test, y_test)?;
    println!("{:?}", logs.iter().collect::<Vec<_>>());
    Ok(())
}
