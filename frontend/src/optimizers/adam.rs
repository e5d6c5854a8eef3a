use super::settings::settings;
use super::{Optimizer, Settings, UpdateStep};
use crate::layer::arguments;
use crate::{Result, Scope};
use kc_ir::tensor::Value;
use kc_ir::tensor::ops::{Binary, Unary};

/// Gradient descent scaled by estimates of the gradient's first and second moments (Kingma and Ba, 2014).
/// `keras.optimizers.Adam`.
///
/// `m += (1 - beta_1) (g - m)`, `v += (1 - beta_2) (g^2 - v)`,
/// `w -= rate * sqrt(1 - beta_2^t) / (1 - beta_1^t) * m / (sqrt v + epsilon)`.
#[derive(Clone, Debug)]
pub struct Adam {
    settings: Settings,
    beta_1: f64,
    beta_2: f64,
    epsilon: f64,
    amsgrad: bool,
}

impl Adam {
    /// With Keras' defaults: learning rate 0.001.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Adam { settings: Settings::new(0.001), beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7, amsgrad: false }
    }

    arguments! {
        /// Decay of the first moment (default: 0.9).
        beta_1: f64,
        /// Decay of the second moment (default: 0.999).
        beta_2: f64,
        /// Added to the root of the second moment (default: 1e-7).
        epsilon: f64,
        /// Whether the largest second moment so far is used (default: no).
        amsgrad: bool,
    }

    settings!();
}

impl Optimizer for Adam {
    fn name(&self) -> String {
        self.settings.name.clone().unwrap_or_else(|| "adam".to_string())
    }

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn slots(&self) -> Vec<&'static str> {
        if self.amsgrad { vec!["momentum", "velocity", "velocity_hat"] } else { vec!["momentum", "velocity"] }
    }

    fn update(&self, scope: &mut Scope, step: &mut UpdateStep) -> Result<Value> {
        let dtype = scope.tensor_type(step.variable).dtype;
        let gradient = step.gradient;
        let before = scope.convert(dtype, step.iterations)?;
        let t = scope.binary_constant(Binary::Add, before, 1.0)?;
        let correction = |scope: &mut Scope, beta: f64| -> Result<Value> {
            let base = scope.splat_like(beta, t)?;
            let power = scope.binary(Binary::Power, base, t)?;
            let one = scope.splat_like(1.0, t)?;
            Ok(scope.binary(Binary::Subtract, one, power)?)
        };
        let (first, second) = (correction(scope, self.beta_1)?, correction(scope, self.beta_2)?);
        let root = scope.unary(Unary::Sqrt, second)?;
        let scaled = scope.binary(Binary::Multiply, step.learning_rate, root)?;
        let alpha = scope.binary(Binary::Divide, scaled, first)?;

        let difference = scope.binary(Binary::Subtract, gradient, step.slots[0])?;
        let change = scope.binary_constant(Binary::Multiply, difference, 1.0 - self.beta_1)?;
        let m = scope.binary(Binary::Add, step.slots[0], change)?;
        let square = scope.binary(Binary::Multiply, gradient, gradient)?;
        let difference = scope.binary(Binary::Subtract, square, step.slots[1])?;
        let change = scope.binary_constant(Binary::Multiply, difference, 1.0 - self.beta_2)?;
        let v = scope.binary(Binary::Add, step.slots[1], change)?;
        (step.slots[0], step.slots[1]) = (m, v);
        let v = match step.slots.get_mut(2) {
            Some(largest) => {
                *largest = scope.binary(Binary::Maximum, *largest, v)?;
                *largest
            }
            None => v,
        };

        let numerator = scope.binary(Binary::Multiply, m, alpha)?;
        let root = scope.unary(Unary::Sqrt, v)?;
        let denominator = scope.binary_constant(Binary::Add, root, self.epsilon)?;
        let change = scope.binary(Binary::Divide, numerator, denominator)?;
        Ok(scope.binary(Binary::Subtract, step.variable, change)?)
    }
}
