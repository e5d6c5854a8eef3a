use super::cell::{Cell, Drawn, call_cell, columns, contract, part, times};
use super::layer::{Options, recurrent_layer};
use super::weights::{Weights, weight_arguments};
use crate::activations::Activation;
use crate::constraints::Constraint;
use crate::initializers::Initializer;
use crate::layer::base;
use crate::random::Seed;
use crate::regularizers::Regularizer;
use crate::{Base, Config, Layer, Result, Scope};
use kc_ir::tensor::Value;
use kc_ir::tensor::ops::{Binary, Slice};
use kc_ir::{Dim, TensorType};
use serde_json::json;

/// A step of a [`GRU`]. `keras.layers.GRUCell`.
#[derive(Clone, Debug)]
pub struct GRUCell {
    base: Base,
    weights: Weights,
    reset_after: bool,
}

impl GRUCell {
    /// A cell of that many units.
    #[track_caller]
    pub fn new(units: usize) -> Self {
        GRUCell { base: Base::new("GRUCell"), weights: Weights::new(units), reset_after: true }
    }

    /// Whether the reset gate applies to the state's part after its contraction (default) or to the state before it.
    pub fn reset_after(mut self, reset_after: bool) -> Self {
        self.reset_after = reset_after;
        self
    }

    weight_arguments! { weights;
        /// The activation of the gates (default: `"sigmoid"`).
        recurrent_activation: Activation,
    }

    /// The bias of the inputs' part (0) or of the state's (1), where there is one.
    fn bias(&self, scope: &mut Scope, row: i64) -> Result<Option<Value>> {
        if !self.weights.use_bias || (row == 1 && !self.reset_after) {
            return Ok(None);
        }
        let bias = scope.weight("bias")?;
        if !self.reset_after {
            return Ok(Some(bias));
        }
        let columns = Dim::constant(3 * self.weights.units);
        let start = vec![Dim::constant(row), Dim::constant(0)];
        let limit = vec![Dim::constant(row + 1), columns.clone()];
        let row = scope.add(Slice { start, limit, stride: vec![1, 1] }, &[bias])?;
        Ok(Some(scope.reshape(row, &[columns])?))
    }
}

impl Layer for GRUCell {
    base!();

    fn build(&self, scope: &mut Scope, inputs: &[TensorType]) -> Result<()> {
        let columns = 3 * self.weights.units;
        let shape = if self.reset_after { vec![2, columns] } else { vec![columns] };
        self.weights.build(scope, inputs, 3, (&shape, &self.weights.bias_initializer))
    }

    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
        call_cell(self, scope, inputs)
    }

    fn config(&self) -> Config {
        let mut config = self.weights.config();
        config.insert("recurrent_activation".into(), json!(self.weights.recurrent_activation.name()));
        config.insert("reset_after".into(), json!(self.reset_after));
        config
    }
}

impl Cell for GRUCell {
    fn state_sizes(&self) -> Vec<i64> {
        vec![self.weights.units]
    }

    fn draw(&self, scope: &mut Scope, input: &TensorType) -> Result<Drawn> {
        // as Keras, which leaves everything where all would be dropped
        let mut drawn = self.weights.draw(scope, input, 3)?;
        if self.weights.rate(self.weights.dropout) == 1.0 {
            drawn.inputs.clear();
        }
        if self.weights.rate(self.weights.recurrent_dropout) == 1.0 {
            drawn.states.clear();
        }
        Ok(drawn)
    }

    fn project(&self, scope: &mut Scope, x: Value, drawn: &Drawn) -> Result<Value> {
        let bias = self.bias(scope, 0)?;
        self.weights.input_part(scope, x, &drawn.inputs, bias)
    }

    fn step(&self, scope: &mut Scope, x: Value, states: &[Value], drawn: &Drawn) -> Result<(Value, Vec<Value>)> {
        let (h, units) = (states[0], self.weights.units);
        let kernel = scope.weight("recurrent_kernel")?;
        let (activation, recurrent_activation) = (&self.weights.activation, &self.weights.recurrent_activation);
        let gate = |scope: &mut Scope, number: i64, inner: Value| {
            let own = part(scope, x, number, 3)?;
            let theirs = part(scope, inner, number, 3)?;
            let z = scope.binary(Binary::Add, own, theirs)?;
            recurrent_activation.apply(scope, z)
        };
        let (update, inner) = if self.reset_after {
            let mut inner = self.weights.scaled_contraction(scope, ("state", kernel), h, &drawn.states)?;
            if let Some(bias) = self.bias(scope, 1)? {
                inner = scope.binary(Binary::Add, inner, bias)?;
            }
            let (update, reset) = (gate(scope, 0, inner)?, gate(scope, 1, inner)?);
            let candidate = part(scope, inner, 2, 3)?;
            (update, scope.binary(Binary::Multiply, reset, candidate)?)
        } else {
            let factors = drawn.states.get(..2).unwrap_or_default();
            let gates = columns(scope, kernel, 0, 2 * units)?;
            let inner = self.weights.scaled_contraction(scope, ("state", gates), h, factors)?;
            let gate = |scope: &mut Scope, number: i64| {
                let own = part(scope, x, number, 3)?;
                let theirs = part(scope, inner, number, 2)?;
                let z = scope.binary(Binary::Add, own, theirs)?;
                recurrent_activation.apply(scope, z)
            };
            let (update, reset) = (gate(scope, 0)?, gate(scope, 1)?);
            let h = times(scope, h, drawn.states.get(2))?;
            let h = scope.binary(Binary::Multiply, reset, h)?;
            let kernel = columns(scope, kernel, 2 * units, 3 * units)?;
            (update, contract(scope, "state", h, kernel)?)
        };
        let own = part(scope, x, 2, 3)?;
        let z = scope.binary(Binary::Add, own, inner)?;
        let candidate = activation.apply(scope, z)?;
        let one = scope.splat_like(1.0, update)?;
        let renewed = scope.binary(Binary::Subtract, one, update)?;
        let kept = scope.binary(Binary::Multiply, update, h)?;
        let added = scope.binary(Binary::Multiply, renewed, candidate)?;
        let h = scope.binary(Binary::Add, kept, added)?;
        Ok((h, vec![h]))
    }

    fn renew(&mut self) {
        self.base.renew();
        self.weights.renew();
    }
}

recurrent_layer! {
    /// Gated recurrent units: of the update gate `z`, the reset gate `r` and the candidate `n`, each a third of the columns of the kernels,
    /// the state and output is `h = z * h + (1 - z) * tanh(n(x) + r * n(h))`. `keras.layers.GRU`. It is called as [`LSTM`](super::LSTM) is.
    GRU of GRUCell "gru_cell";
    /// The activation of the gates (default: `"sigmoid"`).
    recurrent_activation: Activation,
}

impl GRU {
    /// Whether the reset gate applies to the state's part after its contraction (default) or to the state before it.
    pub fn reset_after(mut self, reset_after: bool) -> Self {
        self.cell.reset_after = reset_after;
        self
    }
}
