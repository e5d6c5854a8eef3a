//! Batch normalisation as Keras computes it.

use super::Composition;
use crate::tensor::ops::{Backward, Cotangents};
use crate::tensor::{Builder, Real, Tensor, TypeError, Value, express};
use serde::{Deserialize, Serialize};

/// Normalisation by the statistics of the batch: operands are `x`, then `gamma` where there is a scale, then `beta` where there is
/// a centre (vectors along the axis); results are
/// `y = x * inverse + (beta - mean * inverse)` with `inverse = gamma / sqrt(variance + epsilon)`, the mean and the (biased)
/// variance of `x` over all axes but one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchNormTrain {
    /// The axis of the features.
    pub axis: usize,
    /// Added to the variance.
    pub epsilon: Real,
    /// Whether there is a `gamma`.
    pub scale: bool,
    /// Whether there is a `beta`.
    pub center: bool,
}

/// Normalisation by given statistics: operands are `x`, the mean and the variance, then `gamma` and `beta` as there; the result is
/// that `y`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchNormInfer {
    /// The axis of the features.
    pub axis: usize,
    /// Added to the variance.
    pub epsilon: Real,
    /// Whether there is a `gamma`.
    pub scale: bool,
    /// Whether there is a `beta`.
    pub center: bool,
}

/// The operands behind the first `N`, and the axes but the features'.
struct Parts<const N: usize> {
    first: [Value; N],
    gamma: Option<Value>,
    beta: Option<Value>,
    axes: Vec<usize>,
}

fn parts<const N: usize>(
    b: &Builder,
    op: &str,
    operands: &[Value],
    axis: usize,
    (scale, center): (bool, bool),
) -> Result<Parts<N>, TypeError> {
    let expected = N + scale as usize + center as usize;
    let wrong = || TypeError::new(op, format!("expected {expected} operands, got {}", operands.len()));
    let first = operands.first_chunk::<N>().copied().filter(|_| operands.len() == expected).ok_or_else(wrong)?;
    let x = b.tensor_type(first[0]);
    if axis >= x.rank() {
        return Err(TypeError::new(op, format!("axis {axis} is out of range for {x}")));
    }
    let mut rest = operands[N..].iter().copied();
    let gamma = if scale { rest.next() } else { None };
    Ok(Parts { first, gamma, beta: rest.next(), axes: (0..x.rank()).filter(|&other| other != axis).collect() })
}

/// `y`, of statistics that are vectors along the axis.
fn normalised<'s, 'b>(
    x: Tensor<'s, 'b>,
    mean: Tensor<'s, 'b>,
    variance: Tensor<'s, 'b>,
    (gamma, beta): (Option<Tensor<'s, 'b>>, Option<Tensor<'s, 'b>>),
    (axes, epsilon): (&[usize], f64),
) -> Tensor<'s, 'b> {
    let inverse = (variance + epsilon).rsqrt();
    let inverse = gamma.map_or(inverse, |gamma| inverse * gamma);
    let offset = -mean * inverse;
    let offset = beta.map_or(offset, |beta| offset + beta);
    let shape = x.shape();
    x * inverse.broadcast_along(&shape, axes) + offset.broadcast_along(&shape, axes)
}

impl Composition for BatchNormTrain {
    fn name(&self) -> &'static str {
        "batch_norm_train"
    }

    fn body(&self, b: &mut Builder, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
        let parts = parts::<1>(b, self.name(), operands, self.axis, (self.scale, self.center))?;
        express(b, |scope| {
            let [x] = parts.first.map(|value| scope.tensor(value));
            let affine = (parts.gamma.map(|value| scope.tensor(value)), parts.beta.map(|value| scope.tensor(value)));
            let mean = x.mean(&parts.axes);
            let centred = x - mean.broadcast_along(&x.shape(), &parts.axes);
            let variance = centred.square().mean(&parts.axes);
            let y = normalised(x, mean, variance, affine, (&parts.axes, self.epsilon.0));
            [y, mean, variance].map(Tensor::value).to_vec()
        })
    }

    /// With `c = x - mean`, `r = 1 / sqrt(variance + epsilon)` and means over the axes:
    /// `dx = gamma * r * (g - mean(g) - c * r^2 * mean(g * c)) + (g_mean + 2 * c * g_variance) / count`,
    /// `dgamma = r * sum(g * c)`, `dbeta = sum(g)`.
    fn gradient(&self, b: &mut Builder, at: &Backward<'_>) -> Result<Option<Cotangents>, TypeError> {
        let parts = parts::<1>(b, self.name(), at.operands, self.axis, (self.scale, self.center))?;
        let cotangents = express(b, |scope| {
            let [x] = parts.first.map(|value| scope.tensor(value));
            let shape = x.shape();
            let [mean, variance] = [at.results[1], at.results[2]].map(|value| scope.tensor(value));
            let [g, g_mean, g_variance] = [0, 1, 2].map(|i| at.cotangents[i].map(|value| scope.tensor(value)));
            let centred = x - mean.broadcast_along(&shape, &parts.axes);
            let count = x.count(&parts.axes);
            let (mut by_x, mut by_gamma, mut by_beta) = (Vec::new(), None, None);
            if let Some(g) = g {
                let r = (variance + self.epsilon.0).rsqrt();
                let (sum, product) = (g.sum(&parts.axes), (g * centred).sum(&parts.axes));
                let scale = parts.gamma.map_or(r, |gamma| r * scope.tensor(gamma));
                let (mean, slope) = (sum / count, product * r.square() / count);
                let [mean, slope, scale] = [mean, slope, scale].map(|v| v.broadcast_along(&shape, &parts.axes));
                by_x.push(scale * (g - mean - centred * slope));
                by_gamma = Some((r * product).value());
                by_beta = Some(sum.value());
            }
            by_x.extend(g_mean.map(|g| (g / count).broadcast_along(&shape, &parts.axes)));
            by_x.extend(g_variance.map(|g| centred * (g * 2.0 / count).broadcast_along(&shape, &parts.axes)));
            let by_x = by_x.into_iter().reduce(|sum, term| sum + term).map(Tensor::value);
            let given = [Some(by_x), parts.gamma.map(|_| by_gamma), parts.beta.map(|_| by_beta)];
            given.into_iter().flatten().collect()
        });
        cotangents.map(Some)
    }
}

impl Composition for BatchNormInfer {
    fn name(&self) -> &'static str {
        "batch_norm_infer"
    }

    fn body(&self, b: &mut Builder, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
        let parts = parts::<3>(b, self.name(), operands, self.axis, (self.scale, self.center))?;
        express(b, |scope| {
            let [x, mean, variance] = parts.first.map(|value| scope.tensor(value));
            let affine = (parts.gamma.map(|value| scope.tensor(value)), parts.beta.map(|value| scope.tensor(value)));
            vec![normalised(x, mean, variance, affine, (&parts.axes, self.epsilon.0)).value()]
        })
    }
}
