//! Layer and root-mean-square normalisation as Keras computes them.

use super::Composition;
use crate::tensor::ops::{Backward, Cotangents};
use crate::tensor::{Builder, Real, Scope, Tensor, TypeError, Value, express};
use kc_abi::DType;
use serde::{Deserialize, Serialize};

/// `keras.ops.layer_normalization`: operands are `x`, then `gamma` where there is a scale, then `beta` where there is a centre
/// (with the axes' extents); results are `y = x * inverse * gamma + (beta - mean * inverse * gamma)`, the mean and
/// `inverse = 1 / sqrt(variance + epsilon)` of `x` over the axes, which these two do not have. What is narrower than f32 is
/// computed in f32; `y` has the dtype of `x`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerNorm {
    /// The axes that are normalised together, in order.
    pub axes: Vec<usize>,
    /// Added to the variance.
    pub epsilon: Real,
    /// Whether there is a `gamma`.
    pub scale: bool,
    /// Whether there is a `beta`.
    pub center: bool,
}

/// `keras.ops.rms_normalization`: operands are `x`, then `gamma` where there is a scale (with the axes' extents); results are
/// `y = x * inverse * gamma` and `inverse = 1 / sqrt(mean(x^2) + epsilon)` over the axes, which it does not have. What is narrower
/// than f32 is computed in f32; `y` has the dtype of `x`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RmsNorm {
    /// The axes that are normalised together, in order.
    pub axes: Vec<usize>,
    /// Added to the mean of the squares.
    pub epsilon: Real,
    /// Whether there is a `gamma`.
    pub scale: bool,
}

/// What is computed in: f32, or wider where `x` is.
pub(super) fn computed_in(dtype: DType) -> DType {
    if dtype == DType::F64 { DType::F64 } else { DType::F32 }
}

/// The operand `x` and those behind it, where their number and the axes are right.
fn checked<'o>(
    b: &Builder,
    op: &str,
    operands: &'o [Value],
    axes: &[usize],
    parameters: usize,
) -> Result<(Value, &'o [Value]), TypeError> {
    let expected = 1 + parameters;
    let wrong = || TypeError::new(op, format!("expected {expected} operands, got {}", operands.len()));
    let (&x, rest) = operands.split_first().filter(|_| operands.len() == expected).ok_or_else(wrong)?;
    let ty = b.tensor_type(x);
    if !ty.dtype.is_float() {
        return Err(TypeError::new(op, format!("{ty} has no floating-point elements")));
    }
    let ordered = axes.windows(2).all(|pair| pair[0] < pair[1]);
    if axes.is_empty() || !ordered || axes.last().is_some_and(|&last| last >= ty.rank()) {
        return Err(TypeError::new(op, format!("expected axes of {ty} in increasing order, got {axes:?}")));
    }
    Ok((x, rest))
}

/// A parameter along the axes, repeated to a shape.
fn along<'s, 'b>(scope: &'s Scope<'b>, parameter: Value, like: Tensor<'s, 'b>, axes: &[usize]) -> Tensor<'s, 'b> {
    scope.tensor(parameter).convert(like.ty().dtype).broadcast(&like.shape(), axes)
}

/// The sum of a parameter's cotangents over all axes but those that it has.
fn summed<'s, 'b>(scope: &'s Scope<'b>, parameter: Value, terms: Tensor<'s, 'b>, axes: &[usize]) -> Value {
    let others: Vec<usize> = (0..terms.shape().len()).filter(|axis| !axes.contains(axis)).collect();
    terms.sum(&others).convert(scope.tensor(parameter).ty().dtype).value()
}

impl Composition for LayerNorm {
    fn name(&self) -> &'static str {
        "layer_norm"
    }

    fn body(&self, b: &mut Builder, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
        let parameters = usize::from(self.scale) + usize::from(self.center);
        let (x, parameters) = checked(b, self.name(), operands, &self.axes, parameters)?;
        let (gamma, beta) = (parameters.first().filter(|_| self.scale), parameters.last().filter(|_| self.center));
        express(b, |scope| {
            let given = scope.tensor(x);
            let x = given.convert(computed_in(given.ty().dtype));
            let shape = x.shape();
            let mean = x.mean(&self.axes);
            let centred = x - mean.broadcast_along(&shape, &self.axes);
            let inverse = (centred.square().mean(&self.axes) + self.epsilon.0).rsqrt();
            let [wide_mean, wide_inverse] = [mean, inverse].map(|value| value.broadcast_along(&shape, &self.axes));
            let factor = gamma.map_or(wide_inverse, |&gamma| wide_inverse * along(scope, gamma, x, &self.axes));
            let offset = -wide_mean * factor;
            let offset = beta.map_or(offset, |&beta| offset + along(scope, beta, x, &self.axes));
            let y = (x * factor + offset).convert(given.ty().dtype);
            [y, mean, inverse].map(Tensor::value).to_vec()
        })
    }

    /// With `n = (x - mean) * inverse`, `h = g * gamma` and means over the axes: `dx = inverse * (h - mean(h) - n * mean(h * n))`,
    /// `dgamma = sum(g * n)`, `dbeta = sum(g)`. The statistics' own derivatives are those of the body.
    fn gradient(&self, b: &mut Builder, at: &Backward<'_>) -> Result<Option<Cotangents>, TypeError> {
        let [Some(g), None, None] = at.cotangents else { return Ok(None) };
        let axes = &self.axes;
        let gamma = at.operands.get(1).filter(|_| self.scale);
        let beta = at.operands.last().filter(|_| self.center);
        let cotangents = express(b, |scope| {
            let given = scope.tensor(at.operands[0]);
            let x = given.convert(computed_in(given.ty().dtype));
            let g = scope.tensor(*g).convert(x.ty().dtype);
            let [mean, inverse] = [1, 2].map(|index| scope.tensor(at.results[index]).broadcast_along(&x.shape(), axes));
            let normal = (x - mean) * inverse;
            let mut cotangents = vec![None];
            if at.wanted[0] {
                let h = gamma.map_or(g, |&gamma| g * along(scope, gamma, x, axes));
                let by_x = inverse * (h - h.mean_keep(axes) - normal * (h * normal).mean_keep(axes));
                cotangents[0] = Some(by_x.convert(given.ty().dtype).value());
            }
            cotangents.extend(gamma.map(|&gamma| Some(summed(scope, gamma, g * normal, axes))));
            cotangents.extend(beta.map(|&beta| Some(summed(scope, beta, g, axes))));
            cotangents
        });
        cotangents.map(Some)
    }
}

impl Composition for RmsNorm {
    fn name(&self) -> &'static str {
        "rms_norm"
    }

    fn body(&self, b: &mut Builder, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
        let (x, parameters) = checked(b, self.name(), operands, &self.axes, usize::from(self.scale))?;
        express(b, |scope| {
            let given = scope.tensor(x);
            let x = given.convert(computed_in(given.ty().dtype));
            let inverse = (x.square().mean(&self.axes) + self.epsilon.0).rsqrt();
            let y = x * inverse.broadcast_along(&x.shape(), &self.axes);
            let y = parameters.first().map_or(y, |&gamma| y * along(scope, gamma, x, &self.axes));
            [y.convert(given.ty().dtype), inverse].map(Tensor::value).to_vec()
        })
    }

    /// With `n = x * inverse`, `h = g * gamma` and means over the axes: `dx = inverse * (h - n * mean(h * n))`, `dgamma = sum(g * n)`.
    /// The derivative of `inverse` itself is that of the body.
    fn gradient(&self, b: &mut Builder, at: &Backward<'_>) -> Result<Option<Cotangents>, TypeError> {
        let [Some(g), None] = at.cotangents else { return Ok(None) };
        let axes = &self.axes;
        let gamma = at.operands.get(1).filter(|_| self.scale);
        let cotangents = express(b, |scope| {
            let given = scope.tensor(at.operands[0]);
            let x = given.convert(computed_in(given.ty().dtype));
            let g = scope.tensor(*g).convert(x.ty().dtype);
            let inverse = scope.tensor(at.results[1]).broadcast_along(&x.shape(), axes);
            let normal = x * inverse;
            let mut cotangents = vec![None];
            if at.wanted[0] {
                let h = gamma.map_or(g, |&gamma| g * along(scope, gamma, x, axes));
                let by_x = inverse * (h - normal * (h * normal).mean_keep(axes));
                cotangents[0] = Some(by_x.convert(given.ty().dtype).value());
            }
            cotangents.extend(gamma.map(|&gamma| Some(summed(scope, gamma, g * normal, axes))));
            cotangents
        });
        cotangents.map(Some)
    }
}
