//! Normalisation of groups of channels, and to a length of 1.

use super::Axes;
use crate::constraints::Constraint;
use crate::initializers::Initializer;
use crate::layer::{arguments, base, one_input, passes_masks};
use crate::regularizers::Regularizer;
use crate::{Base, Config, Error, Layer, Result, Scope, shape_text};
use kc_ir::tensor::composites::LayerNorm;
use kc_ir::tensor::ops::{Binary, Reduction, Unary};
use kc_ir::tensor::{Real, Value};
use kc_ir::{Dim, TensorType};
use serde_json::json;

/// `gamma * (x - mean) / sqrt(variance + epsilon) + beta` with the mean and the variance of each sample over the positions and the
/// channels of a group. `keras.layers.GroupNormalization`.
#[derive(Clone, Debug)]
pub struct GroupNormalization {
    base: Base,
    groups: i64,
    axis: i64,
    epsilon: f64,
    center: bool,
    scale: bool,
    beta_initializer: Initializer,
    gamma_initializer: Initializer,
    beta_regularizer: Regularizer,
    gamma_regularizer: Regularizer,
    beta_constraint: Constraint,
    gamma_constraint: Constraint,
}

impl GroupNormalization {
    /// So many groups of channels, or -1: a group for each channel. Keras' default is 32.
    #[track_caller]
    pub fn new(groups: i64) -> Self {
        GroupNormalization {
            base: Base::new("GroupNormalization"),
            groups,
            axis: -1,
            epsilon: 0.001,
            center: true,
            scale: true,
            beta_initializer: Initializer::Zeros,
            gamma_initializer: Initializer::Ones,
            beta_regularizer: Regularizer::None,
            gamma_regularizer: Regularizer::None,
            beta_constraint: Constraint::None,
            gamma_constraint: Constraint::None,
        }
    }

    arguments! {
        /// The axis of the channels (default: -1).
        axis: i64,
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
        /// What `beta` adds to the loss (default: nothing).
        beta_regularizer: Regularizer,
        /// What `gamma` adds to the loss (default: nothing).
        gamma_regularizer: Regularizer,
        /// What `beta` is held to (default: nothing).
        beta_constraint: Constraint,
        /// What `gamma` is held to (default: nothing).
        gamma_constraint: Constraint,
    }

    /// The axis of the channels, their number, and that of the groups.
    fn groups(&self, input: &TensorType) -> Result<(usize, i64, i64)> {
        let axis = super::axis(input, "axis", self.axis)?;
        let channels = input.shape[axis].as_constant().filter(|_| axis > 0).ok_or_else(|| {
            Error::model(format!("axis {axis} of the input's shape {} is not known", shape_text(&input.shape)))
        })?;
        let groups = if self.groups == -1 { channels } else { self.groups };
        if groups < 1 || channels % groups != 0 {
            return Err(Error::model(format!("{channels} channels cannot be split into {groups} groups")));
        }
        Ok((axis, channels, groups))
    }
}

impl Layer for GroupNormalization {
    base!();
    passes_masks!();

    fn autocast(&self) -> bool {
        false
    }

    fn build(&self, scope: &mut Scope, inputs: &[TensorType]) -> Result<()> {
        let [input] = inputs else {
            return Err(Error::model(format!("expected 1 input, got {}", inputs.len())));
        };
        let (_, channels, _) = self.groups(input)?;
        if self.scale {
            scope.add_constrained_weight("gamma", &[channels], &self.gamma_initializer, &self.gamma_constraint)?;
            scope.regularize("gamma", &self.gamma_regularizer)?;
        }
        if self.center {
            scope.add_constrained_weight("beta", &[channels], &self.beta_initializer, &self.beta_constraint)?;
            scope.regularize("beta", &self.beta_regularizer)?;
        }
        Ok(())
    }

    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
        let x = one_input(inputs)?;
        let x = scope.widened(x)?;
        let ty = scope.tensor_type(x).clone();
        let (axis, channels, groups) = self.groups(&ty)?;
        let mut grouped = ty.shape.clone();
        grouped[axis] = Dim::constant(channels / groups);
        grouped.insert(axis, Dim::constant(groups));
        let apart = scope.reshape(x, &grouped)?;
        let axes: Vec<usize> = (1..grouped.len()).filter(|&own| own != axis).collect();
        let norm = LayerNorm { axes, epsilon: Real(self.epsilon), scale: false, center: false };
        let tuple = scope.add(norm, &[apart])?;
        let normalized = scope.projection(tuple, 0)?;
        let mut y = scope.reshape(normalized, &ty.shape)?;
        for (used, name, function) in [(self.scale, "gamma", Binary::Multiply), (self.center, "beta", Binary::Add)] {
            if used {
                let weight = scope.weight(name)?;
                let weight = scope.convert(ty.dtype, weight)?;
                let weight = scope.broadcast(weight, &ty.shape, &[axis])?;
                y = scope.binary(function, y, weight)?;
            }
        }
        Ok(vec![scope.narrowed(y)?])
    }

    fn config(&self) -> Config {
        Config::from([
            ("groups".into(), json!(self.groups)),
            ("axis".into(), json!(self.axis)),
            ("epsilon".into(), json!(self.epsilon)),
            ("center".into(), json!(self.center)),
            ("scale".into(), json!(self.scale)),
        ])
    }
}

/// Vectors scaled to a length of 1: `x / sqrt(sum(x^2))`. `keras.layers.UnitNormalization`.
#[derive(Clone, Debug)]
pub struct UnitNormalization {
    base: Base,
    axis: Axes,
}

impl UnitNormalization {
    /// Along the last axis.
    #[track_caller]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        UnitNormalization { base: Base::new("UnitNormalization"), axis: Axes::from(-1) }
    }

    arguments! {
        /// The axis or axes of a vector (default: -1).
        axis: Axes,
    }
}

impl Layer for UnitNormalization {
    base!();
    passes_masks!();

    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
        let x = one_input(inputs)?;
        let x = scope.float(x)?;
        let axes = self.axis.of(&scope.tensor_type(x).clone(), "axis")?;
        Ok(vec![normalized(scope, x, &axes, 1e-12)?])
    }

    fn config(&self) -> Config {
        Config::from([("axis".into(), self.axis.config())])
    }
}

/// Vectors along axes, scaled to a length of 1; shorter ones than `epsilon` are divided by that.
pub(super) fn normalized(scope: &mut Scope, x: Value, axes: &[usize], epsilon: f64) -> Result<Value> {
    let square = scope.binary(Binary::Multiply, x, x)?;
    let sum = scope.reduce_keep(Reduction::Sum, axes, square)?;
    let inverse = scope.unary(Unary::Rsqrt, sum)?;
    let inverse = scope.binary_constant(Binary::Minimum, inverse, 1.0 / epsilon)?;
    Ok(scope.binary(Binary::Multiply, x, inverse)?)
}
