use crate::initializers::Initializer;
use crate::layer::{arguments, base, one_input, passes_masks};
use crate::{Base, Config, Error, Layer, Result, Scope, shape_text};
use kc_ir::TensorType;
use kc_ir::tensor::composites::{BatchNormInfer, BatchNormTrain};
use kc_ir::tensor::ops::Binary;
use kc_ir::tensor::{Real, Value};
use serde_json::json;

/// `gamma * (x - mean) / sqrt(variance + epsilon) + beta` over all axes but one: in training by the batch's statistics, which
/// move the running ones, otherwise by the running ones. Inputs narrower than f32 are computed with in f32.
/// `keras.layers.BatchNormalization`.
#[derive(Clone, Debug)]
pub struct BatchNormalization {
    base: Base,
    axis: i64,
    momentum: f64,
    epsilon: f64,
    center: bool,
    scale: bool,
    beta_initializer: Initializer,
    gamma_initializer: Initializer,
    moving_mean_initializer: Initializer,
    moving_variance_initializer: Initializer,
}

impl BatchNormalization {
    /// With Keras' defaults.
    #[track_caller]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        BatchNormalization {
            base: Base::new("BatchNormalization"),
            axis: -1,
            momentum: 0.99,
            epsilon: 0.001,
            center: true,
            scale: true,
            beta_initializer: Initializer::Zeros,
            gamma_initializer: Initializer::Ones,
            moving_mean_initializer: Initializer::Zeros,
            moving_variance_initializer: Initializer::Ones,
        }
    }

    arguments! {
        /// The axis of the features; negative counts from the last (default: -1).
        axis: i64,
        /// The share of the running statistics that is kept in each step (default: 0.99).
        momentum: f64,
        /// Added to the variance (default: 0.001).
        epsilon: f64,
        /// Whether `beta` is added (default: yes).
        center: bool,
        /// Whether it is multiplied by `gamma` (default: yes).
        scale: bool,
        /// How `beta` starts (default: `"zeros"`).
        beta_initializer: Initializer,
        /// How `gamma` starts (default: `"ones"`).
        gamma_initializer: Initializer,
        /// How the running mean starts (default: `"zeros"`).
        moving_mean_initializer: Initializer,
        /// How the running variance starts (default: `"ones"`).
        moving_variance_initializer: Initializer,
    }
}

impl Layer for BatchNormalization {
    base!();
    passes_masks!();

    fn build(&self, scope: &mut Scope, inputs: &[TensorType]) -> Result<()> {
        let [input] = inputs else {
            return Err(Error::model(format!("expected 1 input, got {}", inputs.len())));
        };
        let axis = super::axis(input, "axis", self.axis)?;
        let features = input.shape[axis].as_constant().ok_or_else(|| {
            Error::model(format!("axis {axis} of the input's shape {} is not known", shape_text(&input.shape)))
        })?;
        if self.scale {
            scope.add_weight("gamma", &[features], &self.gamma_initializer)?;
        }
        if self.center {
            scope.add_weight("beta", &[features], &self.beta_initializer)?;
        }
        scope.add_non_trainable_weight("moving_mean", &[features], &self.moving_mean_initializer)?;
        scope.add_non_trainable_weight("moving_variance", &[features], &self.moving_variance_initializer)
    }

    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
        let x = one_input(inputs)?;
        let x = scope.widened(x)?;
        let dtype = scope.tensor_type(x).dtype;
        let weight = |scope: &mut Scope, name: &str| -> Result<Value> {
            let value = scope.variable(name)?;
            Ok(scope.convert(dtype, value)?)
        };
        let axis = super::axis(scope.tensor_type(x), "axis", self.axis)?;
        let (epsilon, scale, center) = (Real(self.epsilon), self.scale, self.center);
        let mut affine = Vec::new();
        if scale {
            affine.push(weight(scope, "gamma")?);
        }
        if center {
            affine.push(weight(scope, "beta")?);
        }
        if !scope.training() || !scope.trainable() {
            let mut operands = vec![x, weight(scope, "moving_mean")?, weight(scope, "moving_variance")?];
            operands.extend(affine);
            let y = scope.add(BatchNormInfer { axis, epsilon, scale, center }, &operands)?;
            return Ok(vec![scope.narrowed(y)?]);
        }
        let mut operands = vec![x];
        operands.extend(affine);
        let tuple = scope.add(BatchNormTrain { axis, epsilon, scale, center }, &operands)?;
        let y = scope.projection(tuple, 0)?;
        for (index, name) in [(1, "moving_mean"), (2, "moving_variance")] {
            let statistic = scope.projection(tuple, index)?;
            let moving = weight(scope, name)?;
            let kept = scope.binary_constant(Binary::Multiply, moving, self.momentum)?;
            let new = scope.binary_constant(Binary::Multiply, statistic, 1.0 - self.momentum)?;
            let moved = scope.binary(Binary::Add, kept, new)?;
            scope.assign(name, moved)?;
        }
        Ok(vec![scope.narrowed(y)?])
    }

    fn config(&self) -> Config {
        Config::from([
            ("axis".into(), json!(self.axis)),
            ("momentum".into(), json!(self.momentum)),
            ("epsilon".into(), json!(self.epsilon)),
            ("center".into(), json!(self.center)),
            ("scale".into(), json!(self.scale)),
        ])
    }
}
