//! `keras.activations`.

use crate::{Error, Result, Scope};
use kc_ir::tensor::Value;
use kc_ir::tensor::composites::{Gelu, LogSoftmax, Relu, Silu, Softmax};
use kc_ir::tensor::ops::{Binary, Unary};

macro_rules! activations {
    ($($(#[$doc:meta])* $variant:ident $($name:literal)|+;)*) => {
        /// An activation function. Made from its name: `"relu"`.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Activation {
            $($(#[$doc])* $variant,)*
            /// A name that no activation has; the layer that is called with it reports it.
            #[doc(hidden)]
            Unknown(String),
        }

        impl Activation {
            const NAMES: &[&str] = &[$($($name),+),*];

            /// Keras' name.
            pub fn name(&self) -> &str {
                match self {
                    $(Activation::$variant => [$($name),+][0],)*
                    Activation::Unknown(name) => name,
                }
            }
        }

        impl From<&str> for Activation {
            fn from(name: &str) -> Self {
                match name {
                    $($($name)|+ => Activation::$variant,)*
                    _ => Activation::Unknown(name.to_string()),
                }
            }
        }
    };
}

activations! {
    /// x
    Linear "linear";
    /// max(x, 0)
    Relu "relu";
    /// min(max(x, 0), 6)
    Relu6 "relu6";
    /// 1 / (1 + e^-x)
    Sigmoid "sigmoid";
    /// tanh x
    Tanh "tanh";
    /// e^x / sum e^x over the last axis
    Softmax "softmax";
    /// The logarithm of softmax over the last axis
    LogSoftmax "log_softmax";
    /// ln(1 + e^x)
    Softplus "softplus";
    /// x / (1 + |x|)
    Softsign "softsign";
    /// x / (1 + e^-x)
    Silu "silu" | "swish";
    /// x (1 + erf(x / sqrt 2)) / 2
    Gelu "gelu";
    /// x where x > 0, else e^x - 1
    Elu "elu";
    /// e^x
    Exponential "exponential";
    /// min(max(x/6 + 1/2, 0), 1)
    HardSigmoid "hard_sigmoid";
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
        let last = || -> Result<usize> {
            scope
                .tensor_type(x)
                .rank()
                .checked_sub(1)
                .ok_or_else(|| Error::model(format!("`{}` needs at least one axis, got a scalar", self.name())))
        };
        match self {
            Activation::Linear => Ok(x),
            Activation::Relu => Ok(scope.add(Relu {}, &[x])?),
            Activation::Relu6 => {
                let relu = scope.binary_constant(Binary::Maximum, x, 0.0)?;
                scope.binary_constant(Binary::Minimum, relu, 6.0)
            }
            Activation::Sigmoid => Ok(scope.unary(Unary::Logistic, x)?),
            Activation::Tanh => Ok(scope.unary(Unary::Tanh, x)?),
            Activation::Softmax => {
                let axis = last()?;
                Ok(scope.add(Softmax { axis }, &[x])?)
            }
            Activation::LogSoftmax => {
                let axis = last()?;
                Ok(scope.add(LogSoftmax { axis }, &[x])?)
            }
            Activation::Softplus => softplus(scope, x),
            Activation::Softsign => {
                let size = scope.unary(Unary::Abs, x)?;
                let below = scope.binary_constant(Binary::Add, size, 1.0)?;
                Ok(scope.binary(Binary::Divide, x, below)?)
            }
            Activation::Silu => Ok(scope.add(Silu {}, &[x])?),
            Activation::Gelu => Ok(scope.add(Gelu {}, &[x])?),
            Activation::Elu => {
                let zero = scope.splat_like(0.0, x)?;
                let positive = scope.compare(kc_ir::tensor::ops::Compare::Greater, x, zero)?;
                // where x > 0 the exponential is not taken, so that its derivative stays finite
                let safe = scope.binary(Binary::Minimum, x, zero)?;
                let curve = scope.unary(Unary::Expm1, safe)?;
                Ok(scope.select(positive, x, curve)?)
            }
            Activation::Exponential => Ok(scope.unary(Unary::Exp, x)?),
            Activation::HardSigmoid => {
                let slope = scope.binary_constant(Binary::Divide, x, 6.0)?;
                let line = scope.binary_constant(Binary::Add, slope, 0.5)?;
                let above = scope.binary_constant(Binary::Maximum, line, 0.0)?;
                scope.binary_constant(Binary::Minimum, above, 1.0)
            }
            Activation::Unknown(name) => Err(Error::model(format!(
                "unknown activation `{name}`{}",
                crate::error::did_you_mean(name, Activation::NAMES)
            ))),
        }
    }
}

/// `ln(1 + e^x) = max(x, 0) + ln(1 + e^-|x|)`, stable for large x.
fn softplus(scope: &mut Scope, x: Value) -> Result<Value> {
    let positive = scope.binary_constant(Binary::Maximum, x, 0.0)?;
    let size = scope.unary(Unary::Abs, x)?;
    let below = scope.unary(Unary::Negate, size)?;
    let e = scope.unary(Unary::Exp, below)?;
    let rest = scope.unary(Unary::Log1p, e)?;
    Ok(scope.binary(Binary::Add, positive, rest)?)
}
