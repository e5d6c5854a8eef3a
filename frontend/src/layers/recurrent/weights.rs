//! What the cells share: arguments, weights, dropout.

use super::cell::{Drawn, contract, dropout_factors, features, part, times};
use crate::activations::Activation;
use crate::constraints::Constraint;
use crate::initializers::Initializer;
use crate::random::Seed;
use crate::regularizers::Regularizer;
use crate::{Config, Error, Result, Scope};
use kc_ir::tensor::Value;
use kc_ir::tensor::ops::Binary;
use kc_ir::{Dim, TensorType};
use serde_json::json;

/// The arguments of a cell with a kernel for the input and one for the state.
#[derive(Clone, Debug)]
pub(super) struct Weights {
    pub units: i64,
    pub activation: Activation,
    pub recurrent_activation: Activation,
    pub use_bias: bool,
    pub kernel_initializer: Initializer,
    pub recurrent_initializer: Initializer,
    pub bias_initializer: Initializer,
    pub kernel_regularizer: Regularizer,
    pub recurrent_regularizer: Regularizer,
    pub bias_regularizer: Regularizer,
    pub kernel_constraint: Constraint,
    pub recurrent_constraint: Constraint,
    pub bias_constraint: Constraint,
    pub dropout: f64,
    pub recurrent_dropout: f64,
    pub seed: Seed,
}

impl Weights {
    pub fn new(units: usize) -> Self {
        Weights {
            units: i64::try_from(units).unwrap_or(i64::MAX),
            activation: Activation::Tanh,
            recurrent_activation: Activation::Sigmoid,
            use_bias: true,
            kernel_initializer: Initializer::from("glorot_uniform"),
            recurrent_initializer: Initializer::from("orthogonal"),
            bias_initializer: Initializer::Zeros,
            kernel_regularizer: Regularizer::None,
            recurrent_regularizer: Regularizer::None,
            bias_regularizer: Regularizer::None,
            kernel_constraint: Constraint::None,
            recurrent_constraint: Constraint::None,
            bias_constraint: Constraint::None,
            dropout: 0.0,
            recurrent_dropout: 0.0,
            seed: Seed::drawn(),
        }
    }

    /// Gives a copy for another cell seeds of its own.
    pub fn renew(&mut self) {
        self.kernel_initializer = self.kernel_initializer.renewed();
        self.recurrent_initializer = self.recurrent_initializer.renewed();
        self.bias_initializer = self.bias_initializer.renewed();
        self.seed = self.seed.renewed();
    }

    /// Creates the weights of so many gates.
    pub fn build(
        &self,
        scope: &mut Scope,
        inputs: &[TensorType],
        gates: i64,
        bias: (&[i64], &Initializer),
    ) -> Result<()> {
        if !(1..=i64::from(i32::MAX) / gates).contains(&self.units) {
            let (given, most) = (self.units, i64::from(i32::MAX) / gates);
            return Err(Error::model(format!("`units` is {given}, expected a number from 1 to {most}")));
        }
        for (argument, rate) in [("dropout", self.dropout), ("recurrent_dropout", self.recurrent_dropout)] {
            if !rate.is_finite() {
                return Err(Error::model(format!("`{argument}` is {rate}, expected a number between 0 and 1")));
            }
        }
        let columns = gates * self.units;
        let kernel = [features(inputs)?, columns];
        scope.add_constrained_weight("kernel", &kernel, &self.kernel_initializer, &self.kernel_constraint)?;
        scope.regularize("kernel", &self.kernel_regularizer)?;
        let (initializer, constraint) = (&self.recurrent_initializer, &self.recurrent_constraint);
        scope.add_constrained_weight("recurrent_kernel", &[self.units, columns], initializer, constraint)?;
        scope.regularize("recurrent_kernel", &self.recurrent_regularizer)?;
        if self.use_bias {
            let (shape, initializer) = bias;
            scope.add_constrained_weight("bias", shape, initializer, &self.bias_constraint)?;
            scope.regularize("bias", &self.bias_regularizer)?;
        }
        let dropped = self.rate(self.dropout) > 0.0 || self.rate(self.recurrent_dropout) > 0.0;
        if dropped { scope.add_seed_generator(&self.seed) } else { Ok(()) }
    }

    /// A rate as Keras takes it: moved into 0..=1.
    pub fn rate(&self, given: f64) -> f64 {
        given.clamp(0.0, 1.0)
    }

    /// Whether each gate has its own factors of dropout.
    pub fn is_split(&self) -> bool {
        self.rate(self.recurrent_dropout) > 0.0
    }

    /// The factors of dropout in training: so many where each gate has its own, else one.
    pub fn draw(&self, scope: &mut Scope, input: &TensorType, gates: usize) -> Result<Drawn> {
        let mut drawn = Drawn::default();
        if !scope.training() {
            return Ok(drawn);
        }
        let count = if self.is_split() { gates } else { 1 };
        let rate = self.rate(self.dropout);
        if rate > 0.0 {
            drawn.inputs = dropout_factors(scope, input, rate, count)?;
        }
        let rate = self.rate(self.recurrent_dropout);
        if rate > 0.0 {
            let mut state = input.clone();
            if let Some(last) = state.shape.last_mut() {
                *last = Dim::constant(self.units);
            }
            drawn.states = dropout_factors(scope, &state, rate, count)?;
        }
        Ok(drawn)
    }

    /// The contraction with a weight, of a tensor that is scaled by one factor or by one a gate.
    pub fn scaled_contraction(
        &self,
        scope: &mut Scope,
        (what, weight): (&str, Value),
        x: Value,
        factors: &[Value],
    ) -> Result<Value> {
        if factors.len() < 2 {
            let x = times(scope, x, factors.first())?;
            return contract(scope, what, x, weight);
        }
        let count = factors.len() as i64;
        let mut parts = Vec::with_capacity(factors.len());
        for (number, factor) in (0..).zip(factors) {
            let x = times(scope, x, Some(factor))?;
            let kernel = part(scope, weight, number, count)?;
            parts.push(contract(scope, what, x, kernel)?);
        }
        let axis = scope.tensor_type(x).rank() - 1;
        Ok(scope.add(kc_ir::tensor::ops::Concatenate { axis }, &parts)?)
    }

    /// The part of all gates that comes from the inputs, with a bias where there is one.
    pub fn input_part(&self, scope: &mut Scope, x: Value, factors: &[Value], bias: Option<Value>) -> Result<Value> {
        let kernel = scope.weight("kernel")?;
        let z = self.scaled_contraction(scope, ("input", kernel), x, factors)?;
        match bias {
            Some(bias) => Ok(scope.binary(Binary::Add, z, bias)?),
            None => Ok(z),
        }
    }

    pub fn config(&self) -> Config {
        Config::from([
            ("units".into(), json!(self.units)),
            ("activation".into(), json!(self.activation.name())),
            ("use_bias".into(), json!(self.use_bias)),
            ("dropout".into(), json!(self.rate(self.dropout))),
            ("recurrent_dropout".into(), json!(self.rate(self.recurrent_dropout))),
            ("seed".into(), json!(self.seed.given())),
        ])
    }
}

/// Methods for the arguments that all cells have, of a cell and of its layer; `$place` is where its [`Weights`] are.
macro_rules! weight_arguments {
    ($($place:ident).+; $($extra:tt)*) => {
        super::weights::weight_arguments! { @ $($place).+;
            /// The activation of the new state (default: `"tanh"`).
            activation: Activation,
            /// Whether biases are added (default: yes).
            use_bias: bool,
            /// How the kernel of the input starts (default: `"glorot_uniform"`).
            kernel_initializer: Initializer,
            /// How the kernel of the state starts (default: `"orthogonal"`).
            recurrent_initializer: Initializer,
            /// How the bias starts (default: `"zeros"`).
            bias_initializer: Initializer,
            /// What the kernel of the input adds to the loss (default: nothing).
            kernel_regularizer: Regularizer,
            /// What the kernel of the state adds to the loss (default: nothing).
            recurrent_regularizer: Regularizer,
            /// What the bias adds to the loss (default: nothing).
            bias_regularizer: Regularizer,
            /// What the kernel of the input is held to (default: nothing).
            kernel_constraint: Constraint,
            /// What the kernel of the state is held to (default: nothing).
            recurrent_constraint: Constraint,
            /// What the bias is held to (default: nothing).
            bias_constraint: Constraint,
            /// The fraction of the input's features that training sets to zero, the same in all steps (default: 0).
            dropout: f64,
            /// The fraction of the state's features that training sets to zero, the same in all steps (default: 0).
            recurrent_dropout: f64,
            /// The seed of dropout (default: drawn where the layer is made).
            seed: Seed,
            $($extra)*
        }
    };
    (@ $($place:ident).+; $($(#[$doc:meta])* $name:ident: $ty:ty,)*) => {
        super::weights::weight_arguments! { @@ [$($place).+] $($(#[$doc])* $name: $ty,)* }
    };
    (@@ $place:tt $($(#[$doc:meta])* $name:ident: $ty:ty,)*) => {
        $(super::weights::weight_arguments! { @@@ $place $(#[$doc])* $name: $ty })*
    };
    (@@@ [$($place:ident).+] $(#[$doc:meta])* $name:ident: $ty:ty) => {
        $(#[$doc])*
        pub fn $name(mut self, $name: impl Into<$ty>) -> Self {
            crate::random::replace(&mut self.$($place).+.$name, $name.into());
            self
        }
    };
}
pub(super) use weight_arguments;
