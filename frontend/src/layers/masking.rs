use crate::layer::{base, one_input};
use crate::{Base, Config, Error, Layer, Result, Scope};
use kc_ir::tensor::ops::{Compare, Reduction};
use kc_ir::tensor::{Scalar, Value};
use serde_json::json;

/// Marks the time steps all of whose features are a number as padding, which the layers behind are to leave out, and sets them to 0.
/// `keras.layers.Masking`.
#[derive(Clone, Debug)]
pub struct Masking {
    base: Base,
    mask_value: f64,
}

impl Masking {
    /// Of steps that are 0.
    #[track_caller]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Masking { base: Base::new("Masking"), mask_value: 0.0 }
    }

    crate::layer::arguments! {
        /// The number that padding consists of (default: 0).
        mask_value: f64,
    }
}

impl Layer for Masking {
    base!();

    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
        let x = one_input(inputs)?;
        let ty = scope.tensor_type(x).clone();
        let Some(last) = ty.rank().checked_sub(1).filter(|&last| last > 0) else {
            return Err(Error::model(format!(
                "the input's shape is {}, expected at least 2 axes, the last of features",
                crate::shape_text(&ty.shape)
            )));
        };
        let scalar = |value: f64| match ty.dtype.is_float() {
            true => Scalar::Float(value),
            false => Scalar::Int(value as i128),
        };
        let padding = scope.splat_like(scalar(self.mask_value), x)?;
        let differs = scope.compare(Compare::NotEqual, x, padding)?;
        let mask = scope.reduce(Reduction::Max, &[last], differs)?;
        let kept = scope.broadcast(mask, &ty.shape, &(0..last).collect::<Vec<_>>())?;
        let zero = scope.splat_like(scalar(0.0), x)?;
        let y = scope.select(kept, x, zero)?;
        scope.set_mask(y, mask);
        Ok(vec![y])
    }

    fn config(&self) -> Config {
        Config::from([("mask_value".into(), json!(self.mask_value))])
    }
}
