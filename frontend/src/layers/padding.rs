//! Layers that put zeros around a sample.

use super::spatial::DataFormat;
use crate::error::did_you_mean;
use crate::layer::{arguments, base, one_input};
use crate::{Base, Config, Error, Layer, Result, Scope, shape_text};
use kc_ir::tensor::ops::Pad;
use kc_ir::tensor::{Literal, Scalar, Value};
use serde_json::json;

/// Zeros before and after each of `N` axes: one number for all, one for each axis, or a pair for each axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zeros<const N: usize>(pub(super) [(i64, i64); N]);

impl<const N: usize> From<i64> for Zeros<N> {
    fn from(all: i64) -> Self {
        Zeros([(all, all); N])
    }
}

impl From<(i64, i64)> for Zeros<1> {
    fn from(sides: (i64, i64)) -> Self {
        Zeros([sides])
    }
}

impl From<(i64, i64)> for Zeros<2> {
    fn from((height, width): (i64, i64)) -> Self {
        Zeros([(height, height), (width, width)])
    }
}

impl From<(i64, i64, i64)> for Zeros<3> {
    fn from((first, second, third): (i64, i64, i64)) -> Self {
        Zeros([(first, first), (second, second), (third, third)])
    }
}

impl From<((i64, i64), (i64, i64))> for Zeros<2> {
    fn from((height, width): ((i64, i64), (i64, i64))) -> Self {
        Zeros([height, width])
    }
}

impl From<((i64, i64), (i64, i64), (i64, i64))> for Zeros<3> {
    fn from((first, second, third): ((i64, i64), (i64, i64), (i64, i64))) -> Self {
        Zeros([first, second, third])
    }
}

/// The tensor with zeros around its spatial axes.
fn padded<const N: usize>(
    scope: &mut Scope,
    inputs: &[Value],
    zeros: &Zeros<N>,
    format: &DataFormat,
) -> Result<Vec<Value>> {
    let x = one_input(inputs)?;
    let ty = scope.tensor_type(x).clone();
    let first = match format {
        DataFormat::ChannelsLast => 1,
        DataFormat::ChannelsFirst => 2,
        DataFormat::Unknown(given) => {
            let known = did_you_mean(given, &["channels_last", "channels_first"]);
            return Err(Error::model(format!("unknown data format `{given}`{known}")));
        }
    };
    if ty.rank() != N + 2 {
        return Err(Error::model(format!(
            "the input's shape is {}, expected {} axes: the batch, {N} that are padded and the channels",
            shape_text(&ty.shape),
            N + 2
        )));
    }
    if zeros.0.iter().any(|&(low, high)| low < 0 || high < 0) {
        return Err(Error::model(format!("`padding` is {:?}, expected numbers of at least 0", zeros.0)));
    }
    let mut pad = Pad { low: vec![0; ty.rank()], high: vec![0; ty.rank()], interior: vec![0; ty.rank()] };
    for (axis, &(low, high)) in zeros.0.iter().enumerate() {
        (pad.low[first + axis], pad.high[first + axis]) = (low, high);
    }
    let zero = if ty.dtype.is_float() { Scalar::Float(0.0) } else { Scalar::Int(0) };
    let zero = scope.constant(Literal::scalar(ty.dtype, zero))?;
    Ok(vec![scope.add(pad, &[x, zero])?])
}

macro_rules! layers {
    ($($(#[$doc:meta])* $name:ident of $axes:literal, $padding:literal)*) => { $(
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name {
            base: Base,
            padding: Zeros<$axes>,
            data_format: DataFormat,
        }

        impl $name {
            /// With Keras' defaults: one zero on each side.
            #[track_caller]
            #[allow(clippy::new_without_default)]
            pub fn new() -> Self {
                let base = Base::new(stringify!($name));
                $name { base, padding: Zeros::from(1), data_format: DataFormat::ChannelsLast }
            }

            arguments! {
                #[doc = $padding]
                padding: Zeros<$axes>,
                /// Where the channels are: `"channels_last"` (default) or `"channels_first"`.
                data_format: DataFormat,
            }
        }

        impl Layer for $name {
            base!();

            fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
                padded(scope, inputs, &self.padding, &self.data_format)
            }

            fn config(&self) -> Config {
                let padding = if let [(low, high)] = self.padding.0[..] { json!([low, high]) } else { json!(self.padding.0[..]) };
                Config::from([
                    ("padding".into(), padding),
                    ("data_format".into(), json!(self.data_format.name())),
                ])
            }
        }
    )* };
}

layers! {
    /// Zeros before and after the steps of a sequence. `keras.layers.ZeroPadding1D`.
    ZeroPadding1D of 1, "Zeros on each side, or before and after: `2`, `(1, 2)` (default: 1)."
    /// Zeros around an image. `keras.layers.ZeroPadding2D`.
    ZeroPadding2D of 2, "Zeros on all sides, by axis, or by side: `2`, `(1, 2)`, `((1, 2), (0, 3))` (default: 1)."
    /// Zeros around a volume. `keras.layers.ZeroPadding3D`.
    ZeroPadding3D of 3, "Zeros on all sides, by axis, or by side: `2`, `(1, 2, 2)`, `((1, 2), (0, 3), (0, 0))` (default: 1)."
}
