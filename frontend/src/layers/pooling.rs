//! Pooling over images.

use super::spatial::{DataFormat, Padding, Pair, check_fit};
use crate::layer::{base, one_input};
use crate::{Base, Config, Layer, Result, Scope};
use kc_ir::tensor::Value;
use kc_ir::tensor::ops::{Binary, ReduceWindow, Reduction, Window};
use kc_ir::{Dim, TensorType};
use serde_json::json;

/// The arguments of a pooling layer.
#[derive(Clone, Debug)]
struct Pooling {
    pool_size: Pair,
    strides: Option<Pair>,
    padding: Padding,
    data_format: DataFormat,
}

impl Pooling {
    fn new(pool_size: Pair) -> Self {
        Pooling { pool_size, strides: None, padding: Padding::Valid, data_format: DataFormat::ChannelsLast }
    }

    /// The windows over an input of this type.
    fn window(&self, input: &TensorType) -> Result<Window> {
        let (spatial, _) = self.data_format.axes(input)?;
        let size = self.pool_size.positive("pool_size")?;
        let strides = self.strides.unwrap_or(self.pool_size).positive("strides")?;
        let mut window = Window {
            size: vec![1; 4],
            strides: vec![1; 4],
            padding: vec![(0, 0); 4],
            base_dilation: vec![1; 4],
            window_dilation: vec![1; 4],
        };
        for (i, &axis) in spatial.iter().enumerate() {
            let padding = self.padding.amounts(&input.shape[axis], size[i], strides[i])?;
            check_fit(input, axis, size[i], padding)?;
            (window.size[axis], window.strides[axis], window.padding[axis]) = (size[i], strides[i], padding);
        }
        Ok(window)
    }

    fn config(&self) -> Config {
        Config::from([
            ("pool_size".into(), json!(self.pool_size.0)),
            ("strides".into(), json!(self.strides.unwrap_or(self.pool_size).0)),
            ("padding".into(), json!(self.padding.name())),
            ("data_format".into(), json!(self.data_format.name())),
        ])
    }
}

macro_rules! pooling {
    ($($(#[$doc:meta])* $layer:ident $forward:ident;)*) => {
        $($(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $layer {
            base: Base,
            pooling: Pooling,
        }

        impl $layer {
            /// Pooling over windows of that size; windows lie side by side unless `strides` are given.
            #[track_caller]
            pub fn new(pool_size: impl Into<Pair>) -> Self {
                $layer { base: Base::new(stringify!($layer)), pooling: Pooling::new(pool_size.into()) }
            }
            /// The step from one window to the next (default: the window's size).
            pub fn strides(mut self, strides: impl Into<Pair>) -> Self {
                self.pooling.strides = Some(strides.into());
                self
            }
            /// `"valid"` (default) or `"same"`.
            pub fn padding(mut self, padding: impl Into<Padding>) -> Self {
                self.pooling.padding = padding.into();
                self
            }
            /// `"channels_last"` (default) or `"channels_first"`.
            pub fn data_format(mut self, data_format: impl Into<DataFormat>) -> Self {
                self.pooling.data_format = data_format.into();
                self
            }
        }

        impl Default for $layer {
            /// Windows of 2 by 2, as Keras' default `pool_size`.
            #[track_caller]
            fn default() -> Self {
                $layer::new(2)
            }
        }

        impl Layer for $layer {
            base!();
            fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
                let x = one_input(inputs)?;
                let x = scope.float(x)?;
                let ty = scope.tensor_type(x).clone();
                let window = self.pooling.window(&ty)?;
                Ok(vec![$forward(scope, x, ty, window)?])
            }
            fn config(&self) -> Config {
                self.pooling.config()
            }
        })*
    };
}

pooling! {
    /// The largest element of each window. `keras.layers.MaxPooling2D`.
    MaxPooling2D max_pool;
    /// The mean of each window; what lies beyond the edge does not count. `keras.layers.AveragePooling2D`.
    AveragePooling2D average_pool;
}

fn max_pool(scope: &mut Scope, x: Value, _ty: TensorType, window: Window) -> Result<Value> {
    Ok(scope.add(ReduceWindow { kind: Reduction::Max, window }, &[x])?)
}

fn average_pool(scope: &mut Scope, x: Value, ty: TensorType, window: Window) -> Result<Value> {
    let elements: i64 = window.size.iter().product();
    let padded = window.padding.iter().any(|&padding| padding != (0, 0));
    let sum = scope.add(ReduceWindow { kind: Reduction::Sum, window: window.clone() }, &[x])?;
    if !padded {
        return scope.binary_constant(Binary::Divide, sum, elements as f64);
    }
    let extents: Vec<Dim> = ty
        .shape
        .iter()
        .zip(&window.size)
        .map(|(dim, &size)| if size == 1 { Dim::constant(1) } else { dim.clone() })
        .collect();
    // an axis that is not pooled has one position here, whatever its stride
    let mut counting = window;
    for (stride, &size) in counting.strides.iter_mut().zip(&counting.size) {
        if size == 1 {
            *stride = 1;
        }
    }
    let ones = scope.splat(ty.dtype, 1.0, &extents)?;
    let counts = scope.add(ReduceWindow { kind: Reduction::Sum, window: counting }, &[ones])?;
    Ok(scope.binary(Binary::Divide, sum, counts)?)
}
