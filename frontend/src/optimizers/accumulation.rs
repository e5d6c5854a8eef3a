//! Updates of every few steps, from the mean of the gradients since the last one.

use super::Settings;
use crate::{Result, Scope};
use kc_ir::tensor::Value;
use kc_ir::tensor::ops::{Binary, Compare};

/// Gradient accumulation in the step that is being traced.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accumulation {
    steps: u32,
    /// Whether this step updates the weights: a truth value, scalar.
    updates: Value,
}

impl Accumulation {
    /// How the step is done where gradients are accumulated, and the number of updates before it; `iterations` counts steps.
    pub fn new(scope: &mut Scope, settings: &Settings, iterations: Value) -> Result<(Option<Self>, Value)> {
        let Some(steps) = settings.accumulation() else { return Ok((None, iterations)) };
        let count = scope.splat_like(i64::from(steps), iterations)?;
        let one = scope.splat_like(1i64, iterations)?;
        let zero = scope.splat_like(0i64, iterations)?;
        let next = scope.binary(Binary::Add, iterations, one)?;
        let rest = scope.binary(Binary::Remainder, next, count)?;
        let updates = scope.compare(Compare::Equal, rest, zero)?;
        let done = scope.binary(Binary::Divide, iterations, count)?;
        Ok((Some(Accumulation { steps, updates }), done))
    }

    /// The gradient of an update in this step, and the accumulator after it, which an update empties.
    pub fn add(self, scope: &mut Scope, gradient: Value, accumulator: Value) -> Result<(Value, Value)> {
        let sum = scope.binary(Binary::Add, gradient, accumulator)?;
        let mean = scope.binary_constant(Binary::Divide, sum, f64::from(self.steps))?;
        let empty = scope.splat_like(0.0, sum)?;
        Ok((mean, self.choose(scope, empty, sum)?))
    }

    /// The first tensor where this step updates the weights, else the second.
    pub fn choose(self, scope: &mut Scope, updated: Value, kept: Value) -> Result<Value> {
        super::choose(scope, self.updates, updated, kept)
    }
}
