//! Layers that compute nothing.

use crate::layer::{base, one_input};
use crate::{Base, Layer, Result, Scope};
use kc_ir::Dim;
use kc_ir::tensor::Value;

/// One axis beside the batch. `keras.layers.Flatten`.
#[derive(Clone, Debug)]
pub struct Flatten {
    base: Base,
}

impl Flatten {
    /// Flattens all axes but the first.
    #[track_caller]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Flatten { base: Base::new("Flatten") }
    }
}

impl Layer for Flatten {
    base!();

    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
        let x = one_input(inputs)?;
        let shape = &scope.tensor_type(x).shape;
        let [batch, rest @ ..] = shape.as_slice() else {
            return Err(crate::Error::model("the input is a scalar, expected at least a batch axis"));
        };
        let shape = vec![batch.clone(), rest.iter().cloned().product::<Dim>()];
        Ok(vec![scope.reshape(x, &shape)?])
    }
}
