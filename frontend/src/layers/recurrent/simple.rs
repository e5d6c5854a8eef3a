use super::cell::{Cell, Drawn, call_cell};
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

/// A step of a [`SimpleRNN`]. `keras.layers.SimpleRNNCell`.
#[derive(Clone, Debug)]
pub struct SimpleRNNCell {
    base: Base,
    weights: Weights,
}

impl SimpleRNNCell {
    /// A cell of that many units.
    #[track_caller]
    pub fn new(units: usize) -> Self {
        SimpleRNNCell { base: Base::new("SimpleRNNCell"), weights: Weights::new(units) }
    }

    weight_arguments! { weights; }
}

impl Layer for SimpleRNNCell {
    base!();

    fn build(&self, scope: &mut Scope, inputs: &[TensorType]) -> Result<()> {
        self.weights.build(scope, inputs, 1, (&[self.weights.units], &self.weights.bias_initializer))
    }

    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
        call_cell(self, scope, inputs)
    }

    fn config(&self) -> Config {
        self.weights.config()
    }
}

impl Cell for SimpleRNNCell {
    fn state_sizes(&self) -> Vec<i64> {
        vec![self.weights.units]
    }

    fn draw(&self, scope: &mut Scope, input: &TensorType) -> Result<Drawn> {
        self.weights.draw(scope, input, 1)
    }

    fn project(&self, scope: &mut Scope, x: Value, drawn: &Drawn) -> Result<Value> {
        let bias = if self.weights.use_bias { Some(scope.weight("bias")?) } else { None };
        self.weights.input_part(scope, x, &drawn.inputs, bias)
    }

    fn step(&self, scope: &mut Scope, x: Value, states: &[Value], drawn: &Drawn) -> Result<(Value, Vec<Value>)> {
        let kernel = scope.weight("recurrent_kernel")?;
        let recurrent = self.weights.scaled_contraction(scope, ("state", kernel), states[0], &drawn.states)?;
        let z = scope.binary(Binary::Add, x, recurrent)?;
        let h = self.weights.activation.apply(scope, z)?;
        Ok((h, vec![h]))
    }

    fn renew(&mut self) {
        self.base.renew();
        self.weights.renew();
    }
}

recurrent_layer! {
    /// The state and output `h = tanh(x . kernel + h . recurrent_kernel + bias)`. `keras.layers.SimpleRNN`. It is called as
    /// [`LSTM`](super::LSTM) is.
    SimpleRNN of SimpleRNNCell "simple_rnn_cell";
}
