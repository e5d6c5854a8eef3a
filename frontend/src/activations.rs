//! `keras.activations`.

use crate::{Error, Result, Scope};
use kc_ir::tensor::composites::{self, Glu, LogSoftmax, Relu, Softmax};
use kc_ir::tensor::ops::Unary;
use kc_ir::tensor::{Op, Real, Value};
use serde_json::json;

macro_rules! activations {
    ($(
        $(#[$doc:meta])*
        $variant:ident $({ $($(#[$field_doc:meta])* $field:ident: $ty:ty = $default:literal,)* })? $name:literal $(| $alias:literal)*;
    )*) => {
        /// An activation function. Made from its name (`"relu"`), with Keras' defaults for its arguments.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Activation {
            $($(#[$doc])* $variant $({ $($(#[$field_doc])* $field: $ty,)* })?,)*
            /// A name that no activation has; the layer that is called with it reports it.
            #[doc(hidden)]
            Unknown(String),
        }

        impl Activation {
            const NAMES: &[&str] = &[$($name, $($alias,)*)*];

            /// Keras' name.
            pub fn name(&self) -> &str {
                match self {
                    $(Activation::$variant $({ $($field: _),* })? => $name,)*
                    Activation::Unknown(name) => name,
                }
            }

            /// What stands for it in a layer's configuration: its name, or its name and its arguments where they are not the
            /// defaults.
            pub fn config(&self) -> serde_json::Value {
                if *self == Activation::from(self.name()) {
                    return json!(self.name());
                }
                match self {
                    $(Activation::$variant $({ $($field),* })? => json!({ "name": $name $($(, stringify!($field): $field)*)? }),)*
                    Activation::Unknown(name) => json!(name),
                }
            }
        }

        impl From<&str> for Activation {
            fn from(name: &str) -> Self {
                match name {
                    _ if name == NEEDS_ARGUMENTS => Activation::Unknown(name.to_string()),
                    $($name $(| $alias)* => Activation::$variant $({ $($field: $default),* })?,)*
                    _ => Activation::Unknown(name.to_string()),
                }
            }
        }
    };
}

/// The activation without default arguments: its name alone says nothing.
const NEEDS_ARGUMENTS: &str = "threshold";

activations! {
    /// x
    Linear "linear";
    /// max(x, 0)
    Relu "relu";
    /// min(max(x, 0), 6)
    Relu6 "relu6";
    /// x where x >= 0, else `negative_slope` x
    LeakyRelu {
        /// The slope below 0.
        negative_slope: f64 = 0.2,
    } "leaky_relu";
    /// 1 / (1 + e^-x)
    Sigmoid "sigmoid";
    /// tanh x
    Tanh "tanh";
    /// e^x / sum e^x along an axis
    Softmax {
        /// The axis; below 0 it counts from the last.
        axis: i64 = -1,
    } "softmax";
    /// The logarithm of softmax along an axis
    LogSoftmax {
        /// The axis; below 0 it counts from the last.
        axis: i64 = -1,
    } "log_softmax";
    /// Keras' sparsemax along an axis
    Sparsemax {
        /// The axis; below 0 it counts from the last.
        axis: i64 = -1,
    } "sparsemax";
    /// ln(1 + e^x)
    Softplus "softplus";
    /// x / (1 + |x|)
    Softsign "softsign";
    /// x / (1 + e^-x)
    Silu "silu" | "swish";
    /// x (1 + erf(x / sqrt 2)) / 2
    Gelu {
        /// Whether erf is approximated by tanh: x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2.
        approximate: bool = false,
    } "gelu";
    /// x where x > 0, else `alpha` (e^x - 1)
    Elu {
        /// The negative of the limit for small x.
        alpha: f64 = 1.0,
    } "elu";
    /// elu with the constants of self-normalising networks
    Selu "selu";
    /// max(x, 0) + `alpha` (e^(min(x, 0) / alpha) - 1)
    Celu {
        /// The negative of the limit for small x.
        alpha: f64 = 1.0,
    } "celu";
    /// a / (1 + e^-b) of the halves a and b of an axis
    Glu {
        /// The axis; below 0 it counts from the last.
        axis: i64 = -1,
    } "glu";
    /// e^x
    Exponential "exponential";
    /// min(max(x/6 + 1/2, 0), 1)
    HardSigmoid "hard_sigmoid";
    /// x hard_sigmoid(x)
    HardSilu "hard_silu" | "hard_swish";
    /// min(max(x, -1), 1)
    HardTanh "hard_tanh";
    /// x where |x| is above the threshold, else 0
    HardShrink {
        /// Up to which size elements become 0.
        threshold: f64 = 0.5,
    } "hard_shrink";
    /// x moved towards 0 by the threshold, and 0 where it would pass it
    SoftShrink {
        /// By how much.
        threshold: f64 = 0.5,
    } "soft_shrink";
    /// x - tanh x
    TanhShrink "tanh_shrink";
    /// x where x is above the threshold, else another number. It has no defaults: its name alone is no activation.
    Threshold {
        /// Above which elements are kept.
        threshold: f64 = 0.0,
        /// What the others become.
        default_value: f64 = 0.0,
    } "threshold";
    /// -ln(1 + e^-x)
    LogSigmoid "log_sigmoid";
    /// min(max(x/2 + 1/2, 0), 1)
    SparseSigmoid "sparse_sigmoid";
    /// 0 up to -1, x from 1 on, between them (x + 1)^2 / 4
    SparsePlus "sparse_plus";
    /// (x + sqrt(x^2 + `b`)) / 2
    Squareplus {
        /// How smooth the bend is.
        b: f64 = 4.0,
    } "squareplus";
    /// x tanh(ln(1 + e^x))
    Mish "mish";
}

impl Default for Activation {
    /// The identity.
    fn default() -> Self {
        Activation::Linear
    }
}

impl Activation {
    /// The activation of a tensor.
    pub fn apply(&self, scope: &mut Scope, x: Value) -> Result<Value> {
        if *self == Activation::Linear {
            return Ok(x);
        }
        scope.activation(x, |scope, x| self.of(scope, x))
    }

    fn of(&self, scope: &mut Scope, x: Value) -> Result<Value> {
        let axis = |axis: i64| -> Result<usize> {
            let ty = scope.tensor_type(x);
            if ty.rank() == 0 {
                return Err(Error::model(format!("`{}` needs at least one axis, got a scalar", self.name())));
            }
            crate::layers::axis(ty, "axis", axis)
        };
        let op: Op = match *self {
            Activation::Linear => return Ok(x),
            Activation::Relu => Relu {}.into(),
            Activation::Relu6 => composites::Relu6 {}.into(),
            Activation::LeakyRelu { negative_slope } => {
                composites::LeakyRelu { negative_slope: Real(negative_slope) }.into()
            }
            Activation::Sigmoid => Unary::Logistic.into(),
            Activation::Tanh => Unary::Tanh.into(),
            Activation::Softmax { axis: given } => Softmax { axis: axis(given)? }.into(),
            Activation::LogSoftmax { axis: given } => LogSoftmax { axis: axis(given)? }.into(),
            Activation::Sparsemax { axis: given } => composites::Sparsemax { axis: axis(given)? }.into(),
            Activation::Softplus => composites::Softplus {}.into(),
            Activation::Softsign => composites::Softsign {}.into(),
            Activation::Silu => composites::Silu {}.into(),
            Activation::Gelu { approximate: false } => composites::Gelu {}.into(),
            Activation::Gelu { approximate: true } => composites::GeluTanh {}.into(),
            Activation::Elu { alpha } => composites::Elu { alpha: Real(alpha) }.into(),
            Activation::Selu => composites::Selu {}.into(),
            Activation::Celu { alpha } => composites::Celu { alpha: Real(alpha) }.into(),
            Activation::Glu { axis: given } => Glu { axis: axis(given)? }.into(),
            Activation::Exponential => Unary::Exp.into(),
            Activation::HardSigmoid => composites::HardSigmoid {}.into(),
            Activation::HardSilu => composites::HardSilu {}.into(),
            Activation::HardTanh => composites::HardTanh {}.into(),
            Activation::HardShrink { threshold } => composites::HardShrink { threshold: Real(threshold) }.into(),
            Activation::SoftShrink { threshold } => composites::SoftShrink { threshold: Real(threshold) }.into(),
            Activation::TanhShrink => composites::TanhShrink {}.into(),
            Activation::Threshold { threshold, default_value } => {
                composites::Threshold { threshold: Real(threshold), default_value: Real(default_value) }.into()
            }
            Activation::LogSigmoid => composites::LogSigmoid {}.into(),
            Activation::SparseSigmoid => composites::SparseSigmoid {}.into(),
            Activation::SparsePlus => composites::SparsePlus {}.into(),
            Activation::Squareplus { b } => composites::Squareplus { b: Real(b) }.into(),
            Activation::Mish => composites::Mish {}.into(),
            Activation::Unknown(ref name) if name == NEEDS_ARGUMENTS => {
                return Err(Error::model(
                    "the activation `threshold` needs arguments: `Activation::Threshold { threshold, default_value }`",
                ));
            }
            Activation::Unknown(ref name) => {
                return Err(Error::model(format!(
                    "unknown activation `{name}`{}",
                    crate::error::did_you_mean(name, Activation::NAMES)
                )));
            }
        };
        Ok(scope.add(op, &[x])?)
    }
}
