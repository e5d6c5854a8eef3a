//! Layers that cut away the edges of a sample.

use super::padding::Zeros as Amounts;
use super::spatial::DataFormat;
use crate::layer::{arguments, base, one_input};
use crate::{Base, Config, Error, Layer, Result, Scope, shape_text};
use kc_ir::Dim;
use kc_ir::tensor::Value;
use kc_ir::tensor::ops::Slice;
use serde_json::json;

/// The tensor without the edges of its spatial axes.
fn cropped<const N: usize>(
    scope: &mut Scope,
    inputs: &[Value],
    amounts: &[(i64, i64); N],
    format: &DataFormat,
) -> Result<Vec<Value>> {
    let x = one_input(inputs)?;
    let shape = scope.tensor_type(x).shape.clone();
    let first = if format.is_channels_first()? { 2 } else { 1 };
    if shape.len() != N + 2 {
        return Err(Error::model(format!(
            "the input's shape is {}, expected {} axes: the batch, {N} that are cropped and the channels",
            shape_text(&shape),
            N + 2
        )));
    }
    let (mut start, mut limit) = (vec![Dim::constant(0); shape.len()], shape.clone());
    for (axis, &(low, high)) in (first..).zip(amounts) {
        let left = shape[axis].as_constant().is_none_or(|extent| extent > low + high);
        if low < 0 || high < 0 || !left {
            return Err(Error::model(format!(
                "`cropping` is {amounts:?}, expected numbers of at least 0 that leave something of {}",
                shape_text(&shape)
            )));
        }
        start[axis] = Dim::constant(low);
        limit[axis] = shape[axis].clone() - Dim::constant(high);
    }
    Ok(vec![scope.add(Slice { start, limit, stride: vec![1; shape.len()] }, &[x])?])
}

macro_rules! layers {
    ($($(#[$doc:meta])* $name:ident of $axes:literal, $default:literal, $cropping:literal)*) => { $(
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name {
            base: Base,
            cropping: Amounts<$axes>,
            data_format: DataFormat,
        }

        impl $name {
            /// With Keras' defaults.
            #[track_caller]
            #[allow(clippy::new_without_default)]
            pub fn new() -> Self {
                let base = Base::new(stringify!($name));
                $name { base, cropping: Amounts::from($default), data_format: DataFormat::ChannelsLast }
            }

            arguments! {
                #[doc = $cropping]
                cropping: Amounts<$axes>,
                /// Where the channels are: `"channels_last"` (default) or `"channels_first"`.
                data_format: DataFormat,
            }
        }

        impl Layer for $name {
            base!();

            fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
                cropped(scope, inputs, &self.cropping.0, &self.data_format)
            }

            fn config(&self) -> Config {
                let amounts = &self.cropping.0[..];
                let cropping = if let [(low, high)] = *amounts { json!([low, high]) } else { json!(amounts) };
                Config::from([
                    ("cropping".into(), cropping),
                    ("data_format".into(), json!(self.data_format.name())),
                ])
            }
        }
    )* };
}

layers! {
    /// Cuts away the first and last steps of a sequence. `keras.layers.Cropping1D`.
    Cropping1D of 1, 1, "Steps on each side, or before and after: `2`, `(1, 2)` (default: 1)."
    /// Cuts away the edges of an image. `keras.layers.Cropping2D`.
    Cropping2D of 2, 0, "Rows and columns on all sides, by axis, or by side: `2`, `(1, 2)`, `((1, 2), (0, 3))` (default: 0)."
    /// Cuts away the edges of a volume. `keras.layers.Cropping3D`.
    Cropping3D of 3, 1, "What is cut on all sides, by axis, or by side: `2`, `(1, 2, 2)`, `((1, 2), (0, 3), (0, 0))` (default: 1)."
}
