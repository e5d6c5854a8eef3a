//! Pooling over all positions.

use super::spatial::DataFormat;
use crate::layer::{arguments, base, one_input};
use crate::{Base, Config, Error, Layer, Result, Scope, shape_text};
use kc_ir::tensor::Value;
use kc_ir::tensor::ops::{Binary, Reduction};
use kc_ir::{Dim, TensorType};
use serde_json::json;

/// The axes of the positions of an input with so many of them.
fn positions(format: &DataFormat, input: &TensorType, count: usize) -> Result<Vec<usize>> {
    let channels_first = format.is_channels_first()?;
    if input.rank() != count + 2 {
        return Err(Error::model(format!(
            "the input's shape is {}, expected {} axes: the batch, {count} of positions, the channels",
            shape_text(&input.shape),
            count + 2
        )));
    }
    let first = if channels_first { 2 } else { 1 };
    Ok((first..first + count).collect())
}

/// The reduced positions with unit axes in their places.
fn kept(scope: &mut Scope, reduced: Value, axes: &[usize], shape: &[Dim]) -> Result<Value> {
    let mut shape = shape.to_vec();
    axes.iter().for_each(|&axis| shape[axis] = Dim::constant(1));
    Ok(scope.reshape(reduced, &shape)?)
}

fn maximum(scope: &mut Scope, x: Value, axes: &[usize], _mask: Option<Value>) -> Result<Value> {
    Ok(scope.reduce(Reduction::Max, axes, x)?)
}

/// The mean, of what a mask of the time steps keeps where there is one.
fn mean(scope: &mut Scope, x: Value, axes: &[usize], mask: Option<Value>) -> Result<Value> {
    let ty = scope.tensor_type(x).clone();
    let (&[time], Some(mask)) = (axes, mask) else {
        // a sum of many is too large or too coarse for what is narrower than f32
        let wide = scope.widened(x)?;
        let dtype = scope.tensor_type(wide).dtype;
        let sum = scope.reduce(Reduction::Sum, axes, wide)?;
        let elements = axes.iter().map(|&axis| ty.shape[axis].clone()).product();
        let count = scope.dimension(elements, dtype)?;
        let mean = scope.binary(Binary::Divide, sum, count)?;
        return Ok(scope.convert(ty.dtype, mean)?);
    };
    let mask = scope.broadcast(mask, &ty.shape, &[0, time])?;
    let zero = scope.splat_like(0.0, x)?;
    let counted = scope.select(mask, x, zero)?;
    let sum = scope.reduce(Reduction::Sum, axes, counted)?;
    let counts = scope.convert(ty.dtype, mask)?;
    let count = scope.reduce(Reduction::Sum, axes, counts)?;
    Ok(scope.binary(Binary::Divide, sum, count)?)
}

macro_rules! global_pooling {
    ($($(#[$doc:meta])* $layer:ident $axes:literal $forward:ident;)*) => {
        $($(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $layer {
            base: Base,
            data_format: DataFormat,
            keepdims: bool,
        }

        impl $layer {
            /// With Keras' defaults.
            #[track_caller]
            #[allow(clippy::new_without_default)]
            pub fn new() -> Self {
                let base = Base::new(stringify!($layer));
                $layer { base, data_format: DataFormat::ChannelsLast, keepdims: false }
            }

            arguments! {
                /// `"channels_last"` (default) or `"channels_first"`.
                data_format: DataFormat,
                /// Whether the axes of the positions stay, with extent 1 (default: no).
                keepdims: bool,
            }
        }

        impl Layer for $layer {
            base!();

            fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
                let input = one_input(inputs)?;
                let x = scope.float(input)?;
                let ty = scope.tensor_type(x).clone();
                let axes = positions(&self.data_format, &ty, $axes)?;
                let mask = scope.mask_of(input);
                let y = $forward(scope, x, &axes, mask)?;
                Ok(vec![if self.keepdims { kept(scope, y, &axes, &ty.shape)? } else { y }])
            }

            fn config(&self) -> Config {
                Config::from([
                    ("data_format".into(), json!(self.data_format.name())),
                    ("keepdims".into(), json!(self.keepdims)),
                ])
            }
        })*
    };
}

global_pooling! {
    /// The mean over time steps, of those that the input's mask keeps where it has one. `keras.layers.GlobalAveragePooling1D`.
    GlobalAveragePooling1D 1 mean;
    /// The mean over height and width. `keras.layers.GlobalAveragePooling2D`.
    GlobalAveragePooling2D 2 mean;
    /// The mean over three axes of positions. `keras.layers.GlobalAveragePooling3D`.
    GlobalAveragePooling3D 3 mean;
    /// The largest element of each channel over time. `keras.layers.GlobalMaxPooling1D`.
    GlobalMaxPooling1D 1 maximum;
    /// The largest element of each channel over height and width. `keras.layers.GlobalMaxPooling2D`.
    GlobalMaxPooling2D 2 maximum;
    /// The largest element of each channel over three axes of positions. `keras.layers.GlobalMaxPooling3D`.
    GlobalMaxPooling3D 3 maximum;
}
