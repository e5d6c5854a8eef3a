//! What all optimizers do around their update: clipping, weight decay, averaging.

use crate::{Error, Result, Scope};
use kc_ir::tensor::Value;
use kc_ir::tensor::ops::{Binary, Compare, Reduction, Unary};

/// The arguments that all optimizers take, with Keras' names and defaults.
#[derive(Clone, Debug)]
pub struct Settings {
    pub(crate) learning_rate: f64,
    pub(crate) weight_decay: Option<f64>,
    pub(crate) clipnorm: Option<f64>,
    pub(crate) clipvalue: Option<f64>,
    pub(crate) global_clipnorm: Option<f64>,
    pub(crate) use_ema: bool,
    pub(crate) ema_momentum: f64,
    pub(crate) ema_overwrite_frequency: Option<u32>,
    pub(crate) loss_scale_factor: Option<f64>,
    pub(crate) gradient_accumulation_steps: Option<u32>,
    pub(crate) name: Option<String>,
}

impl Settings {
    /// Keras' defaults.
    pub fn new(learning_rate: f64) -> Self {
        Settings {
            learning_rate,
            weight_decay: None,
            clipnorm: None,
            clipvalue: None,
            global_clipnorm: None,
            use_ema: false,
            ema_momentum: 0.99,
            ema_overwrite_frequency: None,
            loss_scale_factor: None,
            gradient_accumulation_steps: None,
            name: None,
        }
    }

    pub(crate) fn check(&self, optimizer: &str) -> Result<()> {
        let clips = [self.clipnorm, self.clipvalue, self.global_clipnorm];
        if clips.iter().flatten().count() > 1 {
            return Err(Error::model(format!(
                "optimizer `{optimizer}`: only one of `clipnorm`, `clipvalue` and `global_clipnorm` can be set, \
                 got clipnorm={:?}, clipvalue={:?}, global_clipnorm={:?}",
                self.clipnorm, self.clipvalue, self.global_clipnorm
            )));
        }
        if self.use_ema && !(0.0..=1.0).contains(&self.ema_momentum) {
            return Err(Error::model(format!(
                "optimizer `{optimizer}`: `ema_momentum` is {}, expected a number between 0 and 1",
                self.ema_momentum
            )));
        }
        if self.ema_overwrite_frequency == Some(0) {
            return Err(Error::model(format!(
                "optimizer `{optimizer}`: `ema_overwrite_frequency` is 0, expected at least 1"
            )));
        }
        if let Some(factor) = self.loss_scale_factor.filter(|factor| !factor.is_finite() || *factor == 0.0) {
            return Err(Error::model(format!(
                "optimizer `{optimizer}`: `loss_scale_factor` is {factor}, expected a finite number other than 0"
            )));
        }
        if let Some(steps @ 1) = self.gradient_accumulation_steps {
            return Err(Error::model(format!(
                "optimizer `{optimizer}`: `gradient_accumulation_steps` must be an integer >= 2, got {steps}"
            )));
        }
        if !self.learning_rate.is_finite() {
            return Err(Error::model(format!(
                "optimizer `{optimizer}`: `learning_rate` is {}, expected a finite number",
                self.learning_rate
            )));
        }
        Ok(())
    }

    /// The number of steps that an update takes, where gradients are accumulated.
    pub(crate) fn accumulation(&self) -> Option<u32> {
        self.gradient_accumulation_steps.filter(|&steps| steps > 0)
    }

    /// The gradients after clipping.
    pub(crate) fn clip(&self, scope: &mut Scope, gradients: Vec<Value>) -> Result<Vec<Value>> {
        let above_zero = |limit: Option<f64>| limit.filter(|&limit| limit > 0.0);
        if let Some(limit) = above_zero(self.clipnorm) {
            return gradients.into_iter().map(|gradient| clip_by_norm(scope, gradient, limit)).collect();
        }
        if let Some(limit) = above_zero(self.global_clipnorm) {
            return clip_by_global_norm(scope, gradients, limit);
        }
        if let Some(limit) = above_zero(self.clipvalue) {
            return gradients
                .into_iter()
                .map(|gradient| {
                    let above = scope.binary_constant(Binary::Maximum, gradient, -limit)?;
                    scope.binary_constant(Binary::Minimum, above, limit)
                })
                .collect();
        }
        Ok(gradients)
    }

    /// The weight after decay: `w - w * decay * rate`.
    pub(crate) fn decay(&self, scope: &mut Scope, variable: Value, learning_rate: Value) -> Result<Value> {
        let Some(decay) = self.weight_decay else { return Ok(variable) };
        let share = scope.binary_constant(Binary::Multiply, variable, decay)?;
        let dtype = scope.tensor_type(share).dtype;
        let learning_rate = scope.convert(dtype, learning_rate)?;
        let share = scope.binary(Binary::Multiply, share, learning_rate)?;
        Ok(scope.binary(Binary::Subtract, variable, share)?)
    }

    /// The moving average after a step, and the weight, which every `ema_overwrite_frequency` steps becomes the average.
    pub(crate) fn average(
        &self,
        scope: &mut Scope,
        variable: Value,
        average: Value,
        iterations: Value,
    ) -> Result<(Value, Value)> {
        let zero = scope.splat_like(0i64, iterations)?;
        let later = scope.compare(Compare::NotEqual, iterations, zero)?;
        let dtype = scope.tensor_type(variable).dtype;
        let later = scope.convert(dtype, later)?;
        let momentum = scope.binary_constant(Binary::Multiply, later, self.ema_momentum)?;
        let one = scope.splat_like(1.0, momentum)?;
        let rest = scope.binary(Binary::Subtract, one, momentum)?;
        let old = scope.binary(Binary::Multiply, momentum, average)?;
        let new = scope.binary(Binary::Multiply, rest, variable)?;
        let average = scope.binary(Binary::Add, old, new)?;
        let Some(frequency) = self.ema_overwrite_frequency else { return Ok((variable, average)) };
        let one = scope.splat_like(1i64, iterations)?;
        let step = scope.binary(Binary::Add, iterations, one)?;
        let frequency = scope.splat_like(i64::from(frequency), iterations)?;
        let rest = scope.binary(Binary::Remainder, step, frequency)?;
        let overwrite = scope.compare(Compare::Equal, rest, zero)?;
        let shape = scope.tensor_type(variable).shape.clone();
        let overwrite = scope.broadcast_to(overwrite, &shape)?;
        Ok((scope.select(overwrite, average, variable)?, average))
    }
}

fn sum_of_squares(scope: &mut Scope, x: Value) -> Result<Value> {
    let square = scope.binary(Binary::Multiply, x, x)?;
    let axes: Vec<usize> = (0..scope.tensor_type(x).rank()).collect();
    Ok(scope.reduce(Reduction::Sum, &axes, square)?)
}

/// `g * limit / max(norm of g, limit)`
fn clip_by_norm(scope: &mut Scope, gradient: Value, limit: f64) -> Result<Value> {
    let sum = sum_of_squares(scope, gradient)?;
    let norm = scope.unary(Unary::Sqrt, sum)?;
    let divisor = scope.binary_constant(Binary::Maximum, norm, limit)?;
    let scaled = scope.binary_constant(Binary::Multiply, gradient, limit)?;
    Ok(scope.binary(Binary::Divide, scaled, divisor)?)
}

/// All gradients times `limit * min(1 / norm, 1 / limit)`, NaN where the norm is not finite.
fn clip_by_global_norm(scope: &mut Scope, gradients: Vec<Value>, limit: f64) -> Result<Vec<Value>> {
    let mut total = None;
    for &gradient in &gradients {
        let sum = sum_of_squares(scope, gradient)?;
        total = Some(match total {
            Some(total) => scope.binary(Binary::Add, total, sum)?,
            None => sum,
        });
    }
    let Some(total) = total else { return Ok(gradients) };
    let norm = scope.unary(Unary::Sqrt, total)?;
    let one = scope.splat_like(1.0, norm)?;
    let inverse = scope.binary(Binary::Divide, one, norm)?;
    let least = scope.binary_constant(Binary::Minimum, inverse, 1.0 / limit)?;
    let scale = scope.binary_constant(Binary::Multiply, least, limit)?;
    let not_finite = scope.binary(Binary::Subtract, norm, norm)?;
    let scale = scope.binary(Binary::Add, scale, not_finite)?;
    gradients.into_iter().map(|gradient| Ok(scope.binary(Binary::Multiply, gradient, scale)?)).collect()
}

/// Builder methods for the arguments that all optimizers take.
macro_rules! settings {
    () => {
        /// The learning rate, which callbacks may change while training.
        pub fn learning_rate(mut self, learning_rate: f64) -> Self {
            self.settings.learning_rate = learning_rate;
            self
        }
        /// The share of each weight, times the learning rate, that is taken away in each step (default: none).
        pub fn weight_decay(mut self, weight_decay: f64) -> Self {
            self.settings.weight_decay = Some(weight_decay);
            self
        }
        /// The largest norm of each weight's gradient (default: none).
        pub fn clipnorm(mut self, clipnorm: f64) -> Self {
            self.settings.clipnorm = Some(clipnorm);
            self
        }
        /// The largest absolute value of a gradient's element (default: none).
        pub fn clipvalue(mut self, clipvalue: f64) -> Self {
            self.settings.clipvalue = Some(clipvalue);
            self
        }
        /// The largest norm of all gradients together (default: none).
        pub fn global_clipnorm(mut self, global_clipnorm: f64) -> Self {
            self.settings.global_clipnorm = Some(global_clipnorm);
            self
        }
        /// Whether an exponential moving average of the weights is kept (default: no).
        pub fn use_ema(mut self, use_ema: bool) -> Self {
            self.settings.use_ema = use_ema;
            self
        }
        /// The share of the average that is kept in each step (default: 0.99).
        pub fn ema_momentum(mut self, ema_momentum: f64) -> Self {
            self.settings.ema_momentum = ema_momentum;
            self
        }
        /// After that many steps the weights become their average (default: never).
        pub fn ema_overwrite_frequency(mut self, steps: u32) -> Self {
            self.settings.ema_overwrite_frequency = Some(steps);
            self
        }
        /// What the loss is multiplied by before it is differentiated, and the gradients are divided by (default: 1). A
        /// [`LossScaleOptimizer`](crate::optimizers::LossScaleOptimizer) finds one by itself, and leaves this out.
        pub fn loss_scale_factor(mut self, loss_scale_factor: f64) -> Self {
            self.settings.loss_scale_factor = Some(loss_scale_factor);
            self
        }
        /// The number of steps whose gradients' mean makes one update, at least 2 (default: 0, every step is an update).
        pub fn gradient_accumulation_steps(mut self, steps: u32) -> Self {
            self.settings.gradient_accumulation_steps = Some(steps);
            self
        }
        /// The name, with which its state tensors' names begin.
        pub fn name(mut self, name: impl Into<String>) -> Self {
            self.settings.name = Some(name.into());
            self
        }
    };
}
pub(crate) use settings;
