use super::settings::settings;
use super::{Optimizer, Settings, UpdateStep};
use crate::layer::arguments;
use crate::{Result, Scope};
use kc_ir::tensor::composites::{AdamStepSize, AdamUpdate};
use kc_ir::tensor::{Real, Value};

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
        let (beta_1, beta_2) = (Real(self.beta_1), Real(self.beta_2));
        let size = scope.add(AdamStepSize { beta_1, beta_2 }, &[step.learning_rate, step.iterations])?;
        let mut operands = vec![step.variable, step.gradient];
        operands.extend(&step.slots);
        operands.push(size);
        let update = AdamUpdate { beta_1, beta_2, epsilon: Real(self.epsilon), amsgrad: self.amsgrad };
        step.finish(scope, update.into(), &operands)
    }
}
