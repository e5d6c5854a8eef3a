//! Normalisations, and the moments they are made of.

use super::super::arguments::{Axes, wrong};
use super::super::declare::functions;
use super::super::function::Operand;
use super::super::promotion::{FLOAT, float, promote_float, result_type, statistics_type};
use super::super::reduction::keep;
use kc_ir::tensor::composites::{BatchNormInfer, EPSILON, RmsNorm};
use kc_ir::tensor::{Real, Tensor as Formula, TypeError};
use kc_ir::{DType, Dim};

functions! {
    /// The mean and the variance over axes: two results, `.results()`. What is narrower than `float32` is computed in that.
    moments Moments(x; axes: Axes) {
        /// Whether the results keep the axes, with extent 1 (default: no).
        keepdims: bool = false,
        /// Whether all replicas are counted; they are not (default: no).
        synchronized: bool = false,
    } = |_, &[x]| {
        if synchronized {
            return Err(wrong("`synchronized` moments need a collective, expected `synchronized(false)`"));
        }
        let axes = axes.of_rank(x.shape().len())?;
        let given = float(x);
        let dtype = given.ty().dtype;
        let wide = given.convert(statistics_type(dtype));
        let mean = wide.mean(&axes);
        let variance = (wide - mean.broadcast_along(&wide.shape(), &axes)).square().mean(&axes);
        Ok([mean, variance].map(|moment| {
            // float16 holds nothing beyond its largest number, and Keras holds bfloat16 to the same limit
            let narrow = matches!(dtype, DType::F16 | DType::Bf16);
            let moment = if narrow { moment.maximum(-F16_MAX).minimum(F16_MAX) } else { moment };
            keep(moment.convert(dtype), &wide.shape(), &axes, keepdims)
        }))
    };
    /// `(x - mean) / sqrt(variance + epsilon) scale + offset`, with vectors along an axis.
    batch_normalization BatchNorm(x, mean, variance; axis: i64) [
        /// What is added at last (default: nothing).
        offset,
        /// The factor (default: none).
        scale,
    ] {
        /// Added to the variance (default: 1e-3).
        epsilon: f64 = 1e-3,
    } = |scope, &[x, mean, variance]| {
        let shape = x.shape();
        let axis = super::super::arguments::axis(axis, shape.len())?;
        let vectors = [Some(mean), Some(variance), scale, offset];
        if vectors.iter().flatten().any(|vector| vector.shape() != [shape[axis].clone()]) {
            return Err(wrong(format!("expected vectors of {} elements, as axis {axis} of `x` has", shape[axis])));
        }
        let given: Vec<Operand<'s, 'b>> = [Some(x)].into_iter().chain(vectors).flatten().collect();
        let dtype = result_type(given.iter().map(|operand| operand.kind).chain([FLOAT]));
        let operands: Vec<Formula<'s, 'b>> = given.iter().map(|operand| operand.convert(dtype)).collect();
        let op = BatchNormInfer { axis, epsilon: Real(epsilon), scale: scale.is_some(), center: offset.is_some() };
        Ok(scope.op(op, &operands))
    };
    /// `(x - mean) / sqrt(variance + epsilon) gamma + beta`, with the moments of `x` over axes, in at least `float32`.
    layer_normalization LayerNorm(x) [
        /// The factor, of the axes' extents (default: none).
        gamma,
        /// What is added at last, of the axes' extents (default: nothing).
        beta,
    ] {
        /// The axes that are normalised together (default: -1).
        axis: Axes = Axes::Some(vec![-1]),
        /// Added to the variance (default: 1e-7).
        epsilon: Option<f64> = None,
    } = |scope, &[x]| {
        let axes = axis.of_rank(x.shape().len())?;
        let given = float(x);
        let mut operands = vec![given];
        for parameter in [gamma, beta].into_iter().flatten() {
            operands.push(along(parameter, given, &axes)?);
        }
        let epsilon = Real(epsilon.unwrap_or(EPSILON));
        let op = kc_ir::tensor::composites::LayerNorm { axes, epsilon, scale: gamma.is_some(), center: beta.is_some() };
        let [y, _, _] = scope.ops(op, &operands);
        Ok(y.convert(x.ty().dtype))
    };
    /// `x / sqrt(mean(x^2) + epsilon) scale` over axes, in at least `float32`.
    rms_normalization RMSNorm(x) [
        /// The factor, of the axes' extents (default: none).
        scale,
    ] {
        /// The axes that are normalised together (default: -1).
        axis: Axes = Axes::Some(vec![-1]),
        /// Added to the mean of the squares (default: 1e-7).
        epsilon: Option<f64> = None,
    } = |scope, &[x]| {
        let given = at_least_one_axis(float(x));
        let axes = axis.of_rank(given.shape().len())?;
        let mut operands = vec![given];
        if let Some(scale) = scale {
            operands.push(along(scale, given, &axes)?);
        }
        let op = RmsNorm { axes, epsilon: Real(epsilon.unwrap_or(EPSILON)), scale: scale.is_some() };
        let [y, _] = scope.ops(op, &operands);
        Ok(y.convert(x.ty().dtype))
    };
    /// `x / max(norm(x), epsilon)` along axes.
    normalize Normalize(x) {
        /// The axes (default: -1).
        axis: Axes = Axes::Some(vec![-1]),
        /// The norm's order, at least 1: `sum(|x|^order)^(1 / order)` (default: 2).
        order: i64 = 2,
        /// The least norm that counts (default: 1e-7).
        epsilon: Option<f64> = None,
    } = |_, &[x]| {
        if order < 1 {
            return Err(wrong(format!("`order` is {order}, expected at least 1")));
        }
        let x = at_least_one_axis(float(x));
        let axes = axis.of_rank(x.shape().len())?;
        let epsilon = epsilon.unwrap_or(EPSILON);
        let wide = |sums: Formula<'s, 'b>| sums.broadcast_along(&x.shape(), &axes);
        Ok(match order {
            2 => x * wide(x.square().sum(&axes).rsqrt().minimum(1.0 / epsilon)),
            _ if axes.len() > 1 => return Err(wrong("norms of an order other than 2 are taken along one axis")),
            1 => x / wide(x.abs().sum(&axes).maximum(epsilon)),
            _ => {
                let sum = x.abs().power(x.number(order as f64).broadcast_to(&x.shape())).sum(&axes);
                let root = sum.power(sum.number(1.0 / order as f64).broadcast_to(&sum.shape()));
                x / wide(root.maximum(epsilon))
            }
        })
    };
    /// The peak signal-to-noise ratio `20 log10(max_val) - 10 log10(mean((x1 - x2)^2))`, in decibels.
    psnr PSNR(x1, x2; max_val: f64) = |_, &[a, b]| {
        let [a, b] = promote_float([a, b]);
        if a.shape() != b.shape() {
            return Err(wrong("expected two tensors of one shape"));
        }
        let axes: Vec<usize> = (0..a.shape().len()).collect();
        let error = (a - b).square().mean(&axes);
        Ok(error.log() * (-10.0 / std::f64::consts::LN_10) + 20.0 * max_val.log10())
    };
}

/// The largest number of `float16`.
const F16_MAX: f64 = 65504.0;

/// A scalar as a vector.
fn at_least_one_axis<'s, 'b>(x: Formula<'s, 'b>) -> Formula<'s, 'b> {
    if x.shape().is_empty() { x.reshape(&[Dim::constant(1)]) } else { x }
}

/// A parameter with the extents of axes, whatever axes of extent 1 it is given with.
fn along<'s, 'b>(parameter: Operand<'s, 'b>, x: Formula<'s, 'b>, axes: &[usize]) -> Result<Formula<'s, 'b>, TypeError> {
    let extents: Vec<Dim> = axes.iter().map(|&axis| x.shape()[axis].clone()).collect();
    let given = parameter.convert(statistics_type(x.ty().dtype));
    let elements = |shape: &[Dim]| shape.iter().cloned().product::<Dim>();
    if elements(&given.shape()) == elements(&extents) {
        return Ok(given.reshape(&extents));
    }
    if given.shape().is_empty() {
        return Ok(given.broadcast_to(&extents));
    }
    Err(wrong(format!("a parameter has the shape {}, expected that of the axes", crate::shape_text(&given.shape()))))
}
