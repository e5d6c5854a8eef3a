//! Layers that compute element by element.

use crate::layer::{base, one_input, passes_masks};
use crate::{Base, Config, Layer, Result, Scope};
use kc_ir::tensor::Value;
use kc_ir::tensor::ops::Binary;
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
    passes_masks!();

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
