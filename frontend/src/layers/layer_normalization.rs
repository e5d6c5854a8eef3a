//! Normalisation of each sample by itself.

use crate::constraints::Constraint;
use crate::initializers::Initializer;
use crate::layer::{arguments, base, one_input, passes_masks};
use crate::{Base, Config, Error, Layer, Result, Scope, shape_text};
use kc_ir::TensorType;
use kc_ir::tensor::composites::{LayerNorm, RmsNorm};
use kc_ir::tensor::{Real, Value};
use serde_json::json;

/// An axis or several: `-1`, `[1, 2]`; negative ones count from the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Axes {
    /// One.
    One(i64),
    /// A list.
    List(Vec<i64>),
}

impl From<i64> for Axes {
    fn from(axis: i64) -> Self {
        Axes::One(axis)
    }
}

impl<const N: usize> From<[i64; N]> for Axes {
    fn from(axes: [i64; N]) -> Self {
        Axes::List(axes.into())
    }
}

impl From<Vec<i64>> for Axes {
    fn from(axes: Vec<i64>) -> Self {
        Axes::List(axes)
    }
}

impl Axes {
    /// The axes of an input, counted from the front, in order.
    pub(crate) fn of(&self, input: &TensorType, argument: &str) -> Result<Vec<usize>> {
        let given = match self {
            Axes::One(axis) => std::slice::from_ref(axis),
            Axes::List(axes) => axes,
        };
        let mut axes = given.iter().map(|&axis| super::axis(input, argument, axis)).collect::<Result<Vec<usize>>>()?;
        axes.sort_unstable();
        if axes.is_empty() || axes.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Error::model(format!("`{argument}` is {given:?}, expected at least one axis and none twice")));
        }
        Ok(axes)
    }

    /// The extents of the only input along the axes, which must be known.
    fn extents(&self, inputs: &[TensorType]) -> Result<Vec<i64>> {
        let [input] = inputs else {
            return Err(Error::model(format!("expected 1 input, got {}", inputs.len())));
        };
        let extent = |axis: usize| {
            input.shape[axis].as_constant().ok_or_else(|| {
                Error::model(format!("axis {axis} of the input's shape {} is not known", shape_text(&input.shape)))
            })
        };
        self.of(input, "axis")?.into_iter().map(extent).collect()
    }

    /// As Keras' `get_config` gives it: a list where the layer is built.
    pub(super) fn config(&self) -> serde_json::Value {
        match self {
            Axes::One(axis) => json!([axis]),
            Axes::List(axes) => json!(axes),
        }
    }
}

/// `gamma * (x - mean) / sqrt(variance + epsilon) + beta` with the mean and the variance of each sample over the axes.
/// `keras.layers.LayerNormalization`.
#[derive(Clone, Debug)]
pub struct LayerNormalization {
    base: Base,
    axis: Axes,
    epsilon: f64,
    center: bool,
    scale: bool,
    beta_initializer: Initializer,
    gamma_initializer: Initializer,
    beta_constraint: Constraint,
    gamma_constraint: Constraint,
}

impl LayerNormalization {
    /// With Keras' defaults.
    #[track_caller]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        LayerNormalization {
            base: Base::new("LayerNormalization"),
            axis: Axes::One(-1),
            epsilon: 0.001,
            center: true,
            scale: true,
            beta_initializer: Initializer::Zeros,
            gamma_initializer: Initializer::Ones,
            beta_constraint: Constraint::None,
            gamma_constraint: Constraint::None,
        }
    }

    arguments! {
        /// The axis or axes that are normalised together (default: -1).
        axis: Axes,
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
        /// What `beta` is held to (default: nothing), a [`Constraint`] or its name.
        beta_constraint: Constraint,
        /// What `gamma` is held to (default: nothing).
        gamma_constraint: Constraint,
    }
}

impl Layer for LayerNormalization {
    base!();
    passes_masks!();

    fn autocast(&self) -> bool {
        false
    }

    fn build(&self, scope: &mut Scope, inputs: &[TensorType]) -> Result<()> {
        let extents = self.axis.extents(inputs)?;
        if self.scale {
            scope.add_constrained_weight("gamma", &extents, &self.gamma_initializer, &self.gamma_constraint)?;
        }
        if self.center {
            scope.add_constrained_weight("beta", &extents, &self.beta_initializer, &self.beta_constraint)?;
        }
        Ok(())
    }

    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
        let x = one_input(inputs)?;
        let x = scope.float(x)?;
        let axes = self.axis.of(scope.tensor_type(x), "axis")?;
        let (scale, center) = (self.scale, self.center);
        let mut operands = vec![x];
        if scale {
            operands.push(scope.weight("gamma")?);
        }
        if center {
            operands.push(scope.weight("beta")?);
        }
        let tuple = scope.add(LayerNorm { axes, epsilon: Real(self.epsilon), scale, center }, &operands)?;
        let y = scope.projection(tuple, 0)?;
        Ok(vec![scope.narrowed(y)?])
    }

    fn config(&self) -> Config {
        Config::from([
            ("axis".into(), self.axis.config()),
            ("epsilon".into(), json!(self.epsilon)),
            ("center".into(), json!(self.center)),
            ("scale".into(), json!(self.scale)),
            ("rms_scaling".into(), json!(false)),
        ])
    }
}

/// `scale * x / sqrt(mean(x^2) + epsilon)` with the mean of each sample over the axes. `keras.layers.RMSNormalization`.
#[derive(Clone, Debug)]
pub struct RMSNormalization {
    base: Base,
    axis: Axes,
    epsilon: f64,
}

impl RMSNormalization {
    /// With Keras' defaults.
    #[track_caller]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        RMSNormalization { base: Base::new("RMSNormalization"), axis: Axes::One(-1), epsilon: 1e-6 }
    }

    arguments! {
        /// The axis or axes that are normalised together (default: -1).
        axis: Axes,
        /// Added to the mean of the squares (default: 1e-6).
        epsilon: f64,
    }
}

impl Layer for RMSNormalization {
    base!();

    fn build(&self, scope: &mut Scope, inputs: &[TensorType]) -> Result<()> {
        let extents = self.axis.extents(inputs)?;
        scope.add_weight("scale", &extents, &Initializer::Ones)
    }

    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
        let x = one_input(inputs)?;
        let x = scope.float(x)?;
        let axes = self.axis.of(scope.tensor_type(x), "axis")?;
        let weight = scope.weight("scale")?;
        let tuple = scope.add(RmsNorm { axes, epsilon: Real(self.epsilon), scale: true }, &[x, weight])?;
        Ok(vec![scope.projection(tuple, 0)?])
    }

    fn config(&self) -> Config {
        Config::from([("axis".into(), self.axis.config()), ("epsilon".into(), json!(self.epsilon))])
    }
}
