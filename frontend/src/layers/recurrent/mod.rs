//! Recurrent layers: cells, the layers that repeat them, and what wraps those.

mod bidirectional;
mod cell;
mod gru;
mod layer;
mod lstm;
mod rnn;
mod simple;
mod stacked;
mod weights;

pub use bidirectional::{Bidirectional, MergeMode};
pub use cell::{Cell, CopyCell, Drawn};
pub use gru::{GRU, GRUCell};
pub use layer::Recurrent;
pub use lstm::{LSTM, LSTMCell};
pub use rnn::RNN;
pub use simple::{SimpleRNN, SimpleRNNCell};
pub use stacked::StackedRNNCells;
