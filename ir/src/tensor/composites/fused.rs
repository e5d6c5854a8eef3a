//! Contractions and convolutions with what follows them in the same kernel.

use super::{Composition, Gelu};
use crate::tensor::ops::{Binary, Convolution, DotGeneral, Unary};
use crate::tensor::{Builder, TypeError, Value};
use serde::{Deserialize, Serialize};

/// A function of each element, computed while it is still in a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// x
    Identity,
    /// max(x, 0)
    Relu,
    /// 1 / (1 + e^-x)
    Logistic,
    /// tanh x
    Tanh,
    /// x (1 + erf(x / sqrt 2)) / 2
    Gelu,
}

impl Activation {
    fn apply(self, b: &mut Builder, x: Value) -> Result<Value, TypeError> {
        match self {
            Activation::Identity => Ok(x),
            Activation::Relu => {
                let zero = b.splat_like(0.0, x)?;
                b.binary(Binary::Maximum, x, zero)
            }
            Activation::Logistic => b.unary(Unary::Logistic, x),
            Activation::Tanh => b.unary(Unary::Tanh, x),
            Activation::Gelu => b.add(Gelu {}, &[x]),
        }
    }
}

/// `activation(contraction + bias)`: operands are those of the contraction and the bias, a vector along the result's last axis.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dense {
    /// The contraction.
    pub contraction: DotGeneral,
    /// What is applied to the sum.
    pub activation: Activation,
}

impl Composition for Dense {
    fn name(&self) -> &'static str {
        "dense"
    }

    fn body(&self, b: &mut Builder, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
        let [lhs, rhs, bias] = b.operands("dense", operands)?;
        let product = b.add(self.contraction.clone(), &[lhs, rhs])?;
        let shape = b.tensor_type(product).shape.clone();
        let last = shape
            .len()
            .checked_sub(1)
            .ok_or_else(|| TypeError::new("dense", "the contraction is a scalar, expected an axis for the bias"))?;
        let bias = b.broadcast(bias, &shape, &[last])?;
        let sum = b.binary(Binary::Add, product, bias)?;
        Ok(vec![self.activation.apply(b, sum)?])
    }
}

/// `activation(convolution + bias)`: operands are those of the convolution and the bias, a vector along the result's features.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvolutionBias {
    /// The convolution.
    pub convolution: Convolution,
    /// What is applied to the sum.
    pub activation: Activation,
}

impl Composition for ConvolutionBias {
    fn name(&self) -> &'static str {
        "convolution_bias"
    }

    fn body(&self, b: &mut Builder, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
        let [lhs, rhs, bias] = b.operands("convolution_bias", operands)?;
        let result = b.add(self.convolution.clone(), &[lhs, rhs])?;
        let shape = b.tensor_type(result).shape.clone();
        let bias = b.broadcast(bias, &shape, &[self.convolution.axes.out[1]])?;
        let sum = b.binary(Binary::Add, result, bias)?;
        Ok(vec![self.activation.apply(b, sum)?])
    }
}
