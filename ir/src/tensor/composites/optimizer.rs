//! Updates of one parameter by Keras' optimizers. A parameter is updated by one composite, so that all updates can share a kernel.

use super::Composition;
use crate::tensor::{Builder, Real, Tensor, TypeError, Value, express};
use serde::{Deserialize, Serialize};

/// `keras.optimizers.SGD`: operands are the parameter, its gradient and the learning rate (a scalar), then the momentum's buffer `m` where
/// the momentum is not 0; results are the new parameter and the new buffer:
/// `m = m * momentum - g * rate`, `p = p + m` (Nesterov: `p = p + (m * momentum - g * rate)`); without momentum `p = p - g * rate`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SgdUpdate {
    /// The share of the last step that is kept.
    pub momentum: Real,
    /// Whether the gradient's momentum is that of the next step.
    pub nesterov: bool,
}

impl Composition for SgdUpdate {
    fn name(&self) -> &'static str {
        "sgd_update"
    }

    fn body(&self, b: &mut Builder, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
        let has_momentum = self.momentum.0 != 0.0;
        let [parameter, gradient, rate] = b.operands(self.name(), operands.get(..3).unwrap_or(operands))?;
        let momentum = match (&operands[3..], has_momentum) {
            ([], false) => None,
            (&[momentum], true) => Some(momentum),
            (rest, _) => {
                let expected = 3 + has_momentum as usize;
                return Err(TypeError::new(
                    self.name(),
                    format!("expected {expected} operands, got {}", 3 + rest.len()),
                ));
            }
        };
        express(b, |scope| {
            let p = scope.tensor(parameter);
            let dtype = p.ty().dtype;
            let (g, rate) = (scope.tensor(gradient).convert(dtype), scope.tensor(rate).convert(dtype));
            match momentum {
                None => vec![(p - g * rate).value()],
                Some(m) => {
                    let m = scope.tensor(m) * self.momentum.0 - g * rate;
                    let step = if self.nesterov { m * self.momentum.0 - g * rate } else { m };
                    vec![(p + step).value(), m.value()]
                }
            }
        })
    }
}

/// The step size of `keras.optimizers.Adam`: operands are the learning rate and the number of finished steps (an integer), both scalars; the
/// result, of the rate's type, is `rate * sqrt(1 - beta_2^t) / (1 - beta_1^t)` with `t = steps + 1`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdamStepSize {
    /// Decay of the first moment.
    pub beta_1: Real,
    /// Decay of the second moment.
    pub beta_2: Real,
}

impl Composition for AdamStepSize {
    fn name(&self) -> &'static str {
        "adam_step_size"
    }

    fn body(&self, b: &mut Builder, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
        let [rate, iterations] = b.operands(self.name(), operands)?;
        express(b, |scope| {
            let (rate, iterations) = (scope.tensor(rate), scope.tensor(iterations));
            let step = (iterations + 1.0).convert(rate.ty().dtype);
            let power = |beta: Real| rate.number(beta.0).power(step);
            vec![(rate * (1.0 - power(self.beta_2)).sqrt() / (1.0 - power(self.beta_1))).value()]
        })
    }
}

/// `keras.optimizers.Adam`: operands are the parameter, its gradient, the first moment `m`, the second moment `v`, (with `amsgrad`) the
/// largest second moment so far, and the step size of [`AdamStepSize`] (a scalar); results are the new parameter, `m`, `v` (and the
/// largest `v`): `m = m + (g - m) * (1 - beta_1)`, `v = v + (g^2 - v) * (1 - beta_2)`, `p = p - m * step / (sqrt(v) + epsilon)`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdamUpdate {
    /// Decay of the first moment.
    pub beta_1: Real,
    /// Decay of the second moment.
    pub beta_2: Real,
    /// Added to the root of the second moment.
    pub epsilon: Real,
    /// Whether the largest second moment so far is used.
    pub amsgrad: bool,
}

impl Composition for AdamUpdate {
    fn name(&self) -> &'static str {
        "adam_update"
    }

    fn body(&self, b: &mut Builder, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
        let (first, largest, step) = if self.amsgrad {
            let [p, g, m, v, largest, step] = b.operands(self.name(), operands)?;
            ([p, g, m, v], Some(largest), step)
        } else {
            let [p, g, m, v, step] = b.operands(self.name(), operands)?;
            ([p, g, m, v], None, step)
        };
        express(b, |scope| {
            let [p, g, m, v] = first.map(|value| scope.tensor(value));
            let dtype = p.ty().dtype;
            let (g, step) = (g.convert(dtype), scope.tensor(step).convert(dtype));
            let m = m + (g - m) * (1.0 - self.beta_1.0);
            let v = v + (g.square() - v) * (1.0 - self.beta_2.0);
            let largest = largest.map(|largest| scope.tensor(largest).maximum(v));
            let p = p - m * step / (largest.unwrap_or(v).sqrt() + self.epsilon.0);
            let results = [Some(p), Some(m), Some(v), largest];
            results.into_iter().flatten().map(Tensor::value).collect()
        })
    }
}
