use super::settings::settings;
use super::{Optimizer, Settings, UpdateStep};
use crate::layer::arguments;
use crate::{Error, Result, Scope};
use kc_ir::tensor::composites::SgdUpdate;
use kc_ir::tensor::{Real, Value};

/// Gradient descent, with momentum where asked. `keras.optimizers.SGD`.
///
/// `w -= rate * g`; with momentum `m = momentum * m - rate * g` and `w += m`, or with Nesterov's
/// `w += momentum * m - rate * g`.
#[derive(Clone, Debug)]
pub struct SGD {
    settings: Settings,
    momentum: f64,
    nesterov: bool,
}

impl SGD {
    /// With Keras' defaults: learning rate 0.01, no momentum.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        SGD { settings: Settings::new(0.01), momentum: 0.0, nesterov: false }
    }

    arguments! {
        /// The share of the last update that is kept, between 0 and 1 (default: 0).
        momentum: f64,
        /// Whether the momentum is applied before the gradient is (default: no).
        nesterov: bool,
    }

    settings!();
}

impl Optimizer for SGD {
    fn name(&self) -> String {
        self.settings.name.clone().unwrap_or_else(|| "sgd".to_string())
    }

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn check(&self) -> Result<()> {
        if !(0.0..=1.0).contains(&self.momentum) {
            return Err(Error::model(format!(
                "optimizer `{}`: `momentum` must be a float between [0, 1], got {}",
                self.name(),
                self.momentum
            )));
        }
        Ok(())
    }

    fn slots(&self) -> Vec<&'static str> {
        if self.momentum == 0.0 { vec![] } else { vec!["momentum"] }
    }

    fn update(&self, scope: &mut Scope, step: &mut UpdateStep) -> Result<Value> {
        let mut operands = vec![step.variable, step.gradient, step.learning_rate];
        operands.extend(&step.slots);
        let update = SgdUpdate { momentum: Real(self.momentum), nesterov: self.nesterov };
        step.finish(scope, update.into(), &operands)
    }
}
