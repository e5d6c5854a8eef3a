//! Activations as layers.

use super::Axes;
use crate::activations::Activation;
use crate::constraints::Constraint;
use crate::initializers::Initializer;
use crate::layer::{arguments, base, one_input, passes_masks};
use crate::{Base, Config, Error, Layer, Result, Scope};
use kc_ir::tensor::ops::{Binary, Compare};
use kc_ir::tensor::{Real, Value, composites, express};
use kc_ir::{DType, TensorType};
use serde_json::json;

/// `x` above the threshold and up to the largest value, `negative_slope * (x - threshold)` below. `keras.layers.ReLU`.
#[derive(Clone, Debug)]
pub struct ReLU {
    base: Base,
    max_value: Option<f64>,
    negative_slope: f64,
    threshold: f64,
}

impl ReLU {
    /// With Keras' defaults: `max(x, 0)`.
    #[track_caller]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        ReLU { base: Base::new("ReLU"), max_value: None, negative_slope: 0.0, threshold: 0.0 }
    }

    arguments! {
        /// The largest value (default: none).
        max_value: Option<f64>,
        /// The slope below the threshold (default: 0).
        negative_slope: f64,
        /// Where the slope changes (default: 0).
        threshold: f64,
    }
}

impl Layer for ReLU {
    base!();
    passes_masks!();

    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
        let x = one_input(inputs)?;
        let x = scope.float(x)?;
        for (argument, value) in [
            ("max_value", self.max_value),
            ("negative_slope", Some(self.negative_slope)),
            ("threshold", Some(self.threshold)),
        ] {
            if let Some(value) = value.filter(|value| value.is_nan() || *value < 0.0) {
                return Err(Error::model(format!("`{argument}` is {value}, expected a number of at least 0")));
            }
        }
        let mut y = if self.threshold == 0.0 && self.negative_slope == 0.0 {
            scope.add(composites::Relu {}, &[x])?
        } else {
            let threshold = scope.splat_like(self.threshold, x)?;
            let above = scope.compare(Compare::Greater, x, threshold)?;
            let over = scope.binary(Binary::Subtract, x, threshold)?;
            let below = scope.binary_constant(Binary::Multiply, over, self.negative_slope)?;
            scope.select(above, x, below)?
        };
        if let Some(max_value) = self.max_value {
            y = scope.binary_constant(Binary::Minimum, y, max_value)?;
        }
        Ok(vec![y])
    }

    fn config(&self) -> Config {
        Config::from([
            ("max_value".into(), json!(self.max_value)),
            ("negative_slope".into(), json!(self.negative_slope)),
            ("threshold".into(), json!(self.threshold)),
        ])
    }
}

/// Softmax along an axis, or over several. Called with a second tensor, a mask that broadcasts to the first, only elements where
/// the mask is true (or above 0.5) take part and the others become 0. `keras.layers.Softmax`.
#[derive(Clone, Debug)]
pub struct Softmax {
    base: Base,
    axis: Axes,
}

impl Softmax {
    /// Along the last axis.
    #[track_caller]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Softmax { base: Base::new("Softmax"), axis: Axes::from(-1) }
    }

    arguments! {
        /// The axis or the axes; negative counts from the last (default: -1).
        axis: Axes,
    }
}

impl Layer for Softmax {
    base!();
    passes_masks!();

    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
        let (x, mask) = match *inputs {
            [x] => (scope.float(x)?, None),
            [x, mask] => (scope.float(x)?, Some(mask)),
            _ => return Err(Error::model(format!("expected 1 input, or 2 with a mask, got {}", inputs.len()))),
        };
        let ty = scope.tensor_type(x).clone();
        let axes = self.axis.of(&ty, "axis")?;
        let mask = mask.map(|mask| kept(scope, mask, &ty)).transpose()?;
        let masked = match mask {
            Some(mask) => {
                let hidden = scope.splat_like(large_negative(ty.dtype), x)?;
                scope.select(mask, x, hidden)?
            }
            None => x,
        };
        let y = match axes.as_slice() {
            &[axis] => scope.add(composites::Softmax { axis }, &[masked])?,
            _ => express(scope, |formula| {
                let x = formula.tensor(masked);
                let total = x.with_op(composites::LogSumExp { axes: axes.clone() });
                (x - total.broadcast_along(&ty.shape, &axes)).exp().value()
            })?,
        };
        let Some(mask) = mask else { return Ok(vec![y]) };
        let zero = scope.splat_like(0.0, y)?;
        Ok(vec![scope.select(mask, y, zero)?])
    }

    fn config(&self) -> Config {
        let axis = match &self.axis {
            Axes::One(axis) => json!(axis),
            Axes::List(axes) => json!(axes),
        };
        Config::from([("axis".into(), axis)])
    }
}

/// A mask as bools of the shape of what is masked.
fn kept(scope: &mut Scope, mask: Value, ty: &TensorType) -> Result<Value> {
    let given = scope.tensor_type(mask).clone();
    let fits = given.rank() == ty.rank()
        && given.shape.iter().zip(&ty.shape).all(|(mask, extent)| mask.is(1) || mask == extent);
    if !fits {
        return Err(Error::model(format!(
            "the mask's shape {} cannot be broadcast to the input's shape {}: each of its axes must be 1 or the input's",
            crate::shape_text(&given.shape),
            crate::shape_text(&ty.shape)
        )));
    }
    let mask = if given.dtype == DType::Bool {
        mask
    } else {
        let mask = scope.float(mask)?;
        let half = scope.splat_like(0.5, mask)?;
        scope.compare(Compare::Greater, mask, half)?
    };
    Ok(scope.broadcast_to(mask, &ty.shape)?)
}

/// What hidden elements become: as small as the dtype can hold with room to spare.
fn large_negative(dtype: DType) -> f64 {
    if dtype == DType::F16 { -3e4 } else { -1e9 }
}

/// An activation as a layer of its own: `Activation::new("relu")` makes it. `keras.layers.Activation`.
#[derive(Clone, Debug)]
pub struct ActivationLayer {
    base: Base,
    activation: Activation,
}

impl Activation {
    /// A layer that applies the activation: `keras.layers.Activation("relu")`.
    #[track_caller]
    #[allow(clippy::new_ret_no_self)]
    pub fn new(activation: impl Into<Activation>) -> ActivationLayer {
        ActivationLayer { base: Base::new("Activation"), activation: activation.into() }
    }
}

impl Layer for ActivationLayer {
    base!();
    passes_masks!();

    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
        let x = one_input(inputs)?;
        let x = scope.float(x)?;
        Ok(vec![self.activation.apply(scope, x)?])
    }

    fn config(&self) -> Config {
        Config::from([("activation".into(), self.activation.config())])
    }
}

/// `x` where `x > 0`, else `alpha * (e^x - 1)`. `keras.layers.ELU`.
#[derive(Clone, Debug)]
pub struct ELU {
    base: Base,
    alpha: f64,
}

impl ELU {
    /// With Keras' defaults.
    #[track_caller]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        ELU { base: Base::new("ELU"), alpha: 1.0 }
    }

    arguments! {
        /// The negative of the limit for small `x` (default: 1).
        alpha: f64,
    }
}

impl Layer for ELU {
    base!();
    passes_masks!();

    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
        let x = one_input(inputs)?;
        let x = scope.float(x)?;
        Ok(vec![scope.add(composites::Elu { alpha: Real(self.alpha) }, &[x])?])
    }

    fn config(&self) -> Config {
        Config::from([("alpha".into(), json!(self.alpha))])
    }
}

/// `x` where `x >= 0`, else `negative_slope * x`. `keras.layers.LeakyReLU`.
#[derive(Clone, Debug)]
pub struct LeakyReLU {
    base: Base,
    negative_slope: f64,
}

impl LeakyReLU {
    /// With Keras' defaults.
    #[track_caller]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        LeakyReLU { base: Base::new("LeakyReLU"), negative_slope: 0.3 }
    }

    arguments! {
        /// The slope below 0 (default: 0.3).
        negative_slope: f64,
    }
}

impl Layer for LeakyReLU {
    base!();
    passes_masks!();

    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
        let x = one_input(inputs)?;
        let x = scope.float(x)?;
        let negative_slope = self.negative_slope;
        if negative_slope.is_nan() || negative_slope < 0.0 {
            return Err(Error::model(format!("`negative_slope` is {negative_slope}, expected a number of at least 0")));
        }
        Ok(vec![scope.add(composites::LeakyRelu { negative_slope: Real(negative_slope) }, &[x])?])
    }

    fn config(&self) -> Config {
        Config::from([("negative_slope".into(), json!(self.negative_slope))])
    }
}

/// `max(x, 0) - alpha * max(-x, 0)` with a weight `alpha` of the shape of a sample. `keras.layers.PReLU`.
#[derive(Clone, Debug)]
pub struct PReLU {
    base: Base,
    alpha_initializer: Initializer,
    alpha_constraint: Constraint,
    shared_axes: Option<Axes>,
}

impl PReLU {
    /// With Keras' defaults.
    #[track_caller]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        PReLU {
            base: Base::new("PReLU"),
            alpha_initializer: Initializer::Zeros,
            alpha_constraint: Constraint::None,
            shared_axes: None,
        }
    }

    arguments! {
        /// How the slopes start (default: `"zeros"`).
        alpha_initializer: Initializer,
        /// What the slopes are held to (default: nothing).
        alpha_constraint: Constraint,
    }

    /// The axes of the input, from 1, along which there is one slope (default: none): `[1, 2]` for one a channel of an image.
    pub fn shared_axes(mut self, shared_axes: impl Into<Axes>) -> Self {
        self.shared_axes = Some(shared_axes.into());
        self
    }
}

impl Layer for PReLU {
    base!();
    passes_masks!();

    fn build(&self, scope: &mut Scope, inputs: &[TensorType]) -> Result<()> {
        let [input] = inputs else {
            return Err(Error::model(format!("expected 1 input, got {}", inputs.len())));
        };
        let shared = self.shared_axes.iter().map(|axes| axes.of(input, "shared_axes"));
        let shared: Vec<usize> = shared.collect::<Result<Vec<_>>>()?.concat();
        if shared.contains(&0) {
            return Err(Error::model("`shared_axes` names the batch's axis 0, expected axes from 1"));
        }
        let extents = input.shape.iter().enumerate().skip(1).map(|(axis, extent)| match extent.as_constant() {
            _ if shared.contains(&axis) => Ok(1),
            Some(extent) => Ok(extent),
            None => Err(Error::model(format!(
                "axis {axis} of the input's shape {} is not known, expected a number or `.shared_axes([{axis}])`",
                crate::shape_text(&input.shape)
            ))),
        });
        let extents = extents.collect::<Result<Vec<i64>>>()?;
        scope.add_constrained_weight("alpha", &extents, &self.alpha_initializer, &self.alpha_constraint)
    }

    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
        let x = one_input(inputs)?;
        let x = scope.float(x)?;
        let alpha = scope.weight("alpha")?;
        Ok(vec![express(scope, |formula| {
            let (x, alpha) = (formula.tensor(x), formula.tensor(alpha));
            (x.with_op(composites::Relu {}) - alpha * (-x).with_op(composites::Relu {})).value()
        })?])
    }

    fn config(&self) -> Config {
        Config::from([("shared_axes".into(), self.shared_axes.as_ref().map_or(json!(null), Axes::config))])
    }
}
