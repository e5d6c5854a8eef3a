use super::cell::{Cell, Drawn, call_cell, part};
use super::layer::{Options, recurrent_layer};
use super::weights::{Weights, weight_arguments};
use crate::activations::Activation;
use crate::constraints::Constraint;
use crate::initializers::Initializer;
use crate::layer::base;
use crate::random::Seed;
use crate::regularizers::Regularizer;
use crate::{Base, Config, Layer, Result, Scope};
use kc_ir::TensorType;
use kc_ir::tensor::Value;
use kc_ir::tensor::ops::Binary;
use serde_json::json;

/// A step of an [`LSTM`]. `keras.layers.LSTMCell`.
#[derive(Clone, Debug)]
pub struct LSTMCell {
    base: Base,
    weights: Weights,
    unit_forget_bias: bool,
}

impl LSTMCell {
    /// A cell of that many units.
    #[track_caller]
    pub fn new(units: usize) -> Self {
        LSTMCell { base: Base::new("LSTMCell"), weights: Weights::new(units), unit_forget_bias: true }
    }

    /// Whether the bias of the forget gate starts at 1 (default: yes).
    pub fn unit_forget_bias(mut self, unit_forget_bias: bool) -> Self {
        self.unit_forget_bias = unit_forget_bias;
        self
    }

    weight_arguments! { weights;
        /// The activation of the gates (default: `"sigmoid"`).
        recurrent_activation: Activation,
    }
}

impl Layer for LSTMCell {
    base!();

    fn build(&self, scope: &mut Scope, inputs: &[TensorType]) -> Result<()> {
        let bias = match self.unit_forget_bias {
            true => Initializer::UnitForgetBias(Box::new(self.weights.bias_initializer.clone())),
            false => self.weights.bias_initializer.clone(),
        };
        self.weights.build(scope, inputs, 4, (&[4 * self.weights.units], &bias))
    }

    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
        call_cell(self, scope, inputs)
    }

    fn config(&self) -> Config {
        let mut config = self.weights.config();
        config.insert("recurrent_activation".into(), json!(self.weights.recurrent_activation.name()));
        config.insert("unit_forget_bias".into(), json!(self.unit_forget_bias));
        config
    }
}

impl Cell for LSTMCell {
    fn state_sizes(&self) -> Vec<i64> {
        vec![self.weights.units; 2]
    }

    fn draw(&self, scope: &mut Scope, input: &TensorType) -> Result<Drawn> {
        // as Keras, which leaves everything where all would be dropped
        let mut drawn = self.weights.draw(scope, input, 4)?;
        if self.weights.rate(self.weights.dropout) == 1.0 {
            drawn.inputs.clear();
        }
        if self.weights.rate(self.weights.recurrent_dropout) == 1.0 {
            drawn.states.clear();
        }
        Ok(drawn)
    }

    fn project(&self, scope: &mut Scope, x: Value, drawn: &Drawn) -> Result<Value> {
        let bias = if self.weights.use_bias { Some(scope.weight("bias")?) } else { None };
        self.weights.input_part(scope, x, &drawn.inputs, bias)
    }

    fn step(&self, scope: &mut Scope, x: Value, states: &[Value], drawn: &Drawn) -> Result<(Value, Vec<Value>)> {
        let (h, c) = (states[0], states[1]);
        let kernel = scope.weight("recurrent_kernel")?;
        let recurrent = self.weights.scaled_contraction(scope, ("state", kernel), h, &drawn.states)?;
        let z = scope.binary(Binary::Add, x, recurrent)?;
        let mut gate = |number, activation: &Activation| {
            let z = part(scope, z, number, 4)?;
            activation.apply(scope, z)
        };
        let (activation, recurrent_activation) = (&self.weights.activation, &self.weights.recurrent_activation);
        let input = gate(0, recurrent_activation)?;
        let forget = gate(1, recurrent_activation)?;
        let candidate = gate(2, activation)?;
        let output = gate(3, recurrent_activation)?;
        let kept = scope.binary(Binary::Multiply, forget, c)?;
        let added = scope.binary(Binary::Multiply, input, candidate)?;
        let carry = scope.binary(Binary::Add, kept, added)?;
        let shown = activation.apply(scope, carry)?;
        let h = scope.binary(Binary::Multiply, output, shown)?;
        Ok((h, vec![h, carry]))
    }

    fn renew(&mut self) {
        self.base.renew();
        self.weights.renew();
    }
}

recurrent_layer! {
    /// Long short-term memory: of the gates `i, f, g, o`, each a quarter of `x . kernel + h . recurrent_kernel + bias`, the carry is
    /// `c = sigmoid(f) * c + sigmoid(i) * tanh(g)` and the state and output `h = sigmoid(o) * tanh(c)`. `keras.layers.LSTM`.
    ///
    /// It is called on sequences `(batch, time, features)`, behind which the first states may stand, then a mask of dtype bool `(batch, time)`
    /// where it is not the sequences' own. The outputs are the last output (with `return_sequences` all of them), with `return_state` then
    /// the last states.
    LSTM of LSTMCell "lstm_cell";
    /// The activation of the gates (default: `"sigmoid"`).
    recurrent_activation: Activation,
}

impl LSTM {
    /// Whether the bias of the forget gate starts at 1 (default: yes).
    pub fn unit_forget_bias(mut self, unit_forget_bias: bool) -> Self {
        self.cell.unit_forget_bias = unit_forget_bias;
        self
    }
}
