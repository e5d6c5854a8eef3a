use super::cell::Cell;
use super::layer::Options;
use crate::layer::base;
use crate::{Base, Config, Layer, Result, Scope};
use kc_ir::TensorType;
use kc_ir::tensor::Value;
use serde_json::json;

/// A cell, repeated along time: a [`Cell`] of any kind, or a stack of them. `keras.layers.RNN`. It is called as
/// [`LSTM`](super::LSTM) is.
#[derive(Clone, Debug)]
pub struct RNN {
    base: Base,
    options: Options,
    cell: Box<dyn Cell>,
}

impl RNN {
    /// A layer that repeats that cell.
    #[track_caller]
    pub fn new(cell: impl Cell) -> Self {
        RNN { base: Base::new("RNN"), options: Options::default(), cell: Box::new(cell) }
    }

    super::layer::recurrent_options! {}

    /// Whether steps that the mask leaves out give zeros, instead of the output before (default: no).
    pub fn zero_output_for_mask(mut self, zero_output_for_mask: bool) -> Self {
        self.options.zero_output_for_mask = zero_output_for_mask;
        self
    }
}

super::layer::recurrent! { RNN, |layer| &*layer.cell, Config::from([(
    "cell".to_string(),
    json!({ "class_name": layer.cell.base().class(), "config": layer.cell.config() }),
)]) }
