//! Layers that compute element by element.

use crate::activations::Activation;
use crate::layer::{base, one_input};
use crate::{Base, Config, Error, Layer, Result, Scope};
use kc_ir::tensor::ops::{Binary, Compare};
use kc_ir::tensor::{Value, composites};
use serde_json::json;

/// `x * scale + offset`, of integers too. `keras.layers.Rescaling`.
#[derive(Clone, Debug)]
pub struct Rescaling {
    base: Base,
    scale: f64,
    offset: f64,
}

impl Rescaling {
    /// Rescaling by that factor: `1.0 / 255.0` for the bytes of an image.
    #[track_caller]
    pub fn new(scale: f64) -> Self {
        Rescaling { base: Base::new("Rescaling"), scale, offset: 0.0 }
    }

    crate::layer::arguments! {
        /// What is added (default: 0).
        offset: f64,
    }
}

impl Layer for Rescaling {
    base!();

    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
        let x = one_input(inputs)?;
        let x = scope.float(x)?;
        let scaled = scope.binary_constant(Binary::Multiply, x, self.scale)?;
        Ok(vec![scope.binary_constant(Binary::Add, scaled, self.offset)?])
    }

    fn config(&self) -> Config {
        Config::from([("scale".into(), json!(self.scale)), ("offset".into(), json!(self.offset))])
    }
}

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

    crate::layer::arguments! {
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

/// Softmax along an axis. `keras.layers.Softmax`.
#[derive(Clone, Debug)]
pub struct Softmax {
    base: Base,
    axis: i64,
}

impl Softmax {
    /// Along the last axis.
    #[track_caller]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Softmax { base: Base::new("Softmax"), axis: -1 }
    }

    crate::layer::arguments! {
        /// The axis; negative counts from the last (default: -1).
        axis: i64,
    }
}

impl Layer for Softmax {
    base!();

    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
        let x = one_input(inputs)?;
        let x = scope.float(x)?;
        let axis = super::axis(scope.tensor_type(x), "axis", self.axis)?;
        Ok(vec![scope.add(composites::Softmax { axis }, &[x])?])
    }

    fn config(&self) -> Config {
        Config::from([("axis".into(), json!(self.axis))])
    }
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

    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
        let x = one_input(inputs)?;
        let x = scope.float(x)?;
        Ok(vec![self.activation.apply(scope, x)?])
    }

    fn config(&self) -> Config {
        Config::from([("activation".into(), json!(self.activation.name()))])
    }
}
