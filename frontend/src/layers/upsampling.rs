//! Layers that repeat positions.

use super::spatial::{DataFormat, Pair};
use crate::error::did_you_mean;
use crate::layer::{arguments, base, one_input};
use crate::{Base, Config, Error, Layer, Result, Scope, shape_text};
use kc_ir::Dim;
use kc_ir::tensor::Value;
use serde_json::json;

/// Each position of the spatial axes so many times.
fn repeated(scope: &mut Scope, inputs: &[Value], sizes: &[i64], format: &DataFormat) -> Result<Vec<Value>> {
    let mut x = one_input(inputs)?;
    let shape = scope.tensor_type(x).shape.clone();
    let first = if format.is_channels_first()? { 2 } else { 1 };
    if shape.len() != sizes.len() + 2 {
        return Err(Error::model(format!(
            "the input's shape is {}, expected {} axes: the batch, {} of positions and the channels",
            shape_text(&shape),
            sizes.len() + 2,
            sizes.len()
        )));
    }
    if let Some(size) = sizes.iter().find(|&&size| size < 1) {
        return Err(Error::model(format!("`size` is {size}, expected numbers of at least 1")));
    }
    let mut shape = shape;
    for (axis, &size) in (first..).zip(sizes) {
        let mut apart = shape.clone();
        apart.insert(axis + 1, Dim::constant(size));
        let kept: Vec<usize> = (0..apart.len()).filter(|&own| own != axis + 1).collect();
        x = scope.broadcast(x, &apart, &kept)?;
        shape[axis] = shape[axis].clone() * Dim::constant(size);
        x = scope.reshape(x, &shape)?;
    }
    Ok(vec![x])
}

/// Each step of a sequence so many times. `keras.layers.UpSampling1D`.
#[derive(Clone, Debug)]
pub struct UpSampling1D {
    base: Base,
    size: i64,
}

impl UpSampling1D {
    /// Each step `size` times; Keras' default is 2.
    #[track_caller]
    pub fn new(size: i64) -> Self {
        UpSampling1D { base: Base::new("UpSampling1D"), size }
    }
}

impl Layer for UpSampling1D {
    base!();

    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
        repeated(scope, inputs, &[self.size], &DataFormat::ChannelsLast)
    }

    fn config(&self) -> Config {
        Config::from([("size".into(), json!(self.size))])
    }
}

/// Each row and column of an image so many times. `keras.layers.UpSampling2D`.
#[derive(Clone, Debug)]
pub struct UpSampling2D {
    base: Base,
    size: Pair,
    data_format: DataFormat,
    interpolation: String,
}

impl UpSampling2D {
    /// So many times in height and width; Keras' default is 2.
    #[track_caller]
    pub fn new(size: impl Into<Pair>) -> Self {
        let (base, interpolation) = (Base::new("UpSampling2D"), "nearest".to_string());
        UpSampling2D { base, size: size.into(), data_format: DataFormat::ChannelsLast, interpolation }
    }

    arguments! {
        /// `"channels_last"` (default) or `"channels_first"`.
        data_format: DataFormat,
        /// Only `"nearest"` (default).
        interpolation: String,
    }
}

impl Layer for UpSampling2D {
    base!();

    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
        if self.interpolation != "nearest" {
            let known = did_you_mean(&self.interpolation, &["nearest"]);
            return Err(Error::model(format!("unknown interpolation `{}`{known}", self.interpolation)));
        }
        repeated(scope, inputs, &self.size.0, &self.data_format)
    }

    fn config(&self) -> Config {
        Config::from([
            ("size".into(), json!(self.size.0)),
            ("data_format".into(), json!(self.data_format.name())),
            ("interpolation".into(), json!(self.interpolation)),
        ])
    }
}

/// Each position along three axes so many times. `keras.layers.UpSampling3D`.
#[derive(Clone, Debug)]
pub struct UpSampling3D {
    base: Base,
    size: [i64; 3],
    data_format: DataFormat,
}

impl UpSampling3D {
    /// So many times along each axis; Keras' default is `[2, 2, 2]`.
    #[track_caller]
    pub fn new(size: [i64; 3]) -> Self {
        UpSampling3D { base: Base::new("UpSampling3D"), size, data_format: DataFormat::ChannelsLast }
    }

    arguments! {
        /// `"channels_last"` (default) or `"channels_first"`.
        data_format: DataFormat,
    }
}

impl Layer for UpSampling3D {
    base!();

    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
        repeated(scope, inputs, &self.size, &self.data_format)
    }

    fn config(&self) -> Config {
        Config::from([("size".into(), json!(self.size)), ("data_format".into(), json!(self.data_format.name()))])
    }
}
