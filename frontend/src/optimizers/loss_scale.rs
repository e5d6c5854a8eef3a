//! Gradients of narrow dtypes that do not underflow: those of a loss that is scaled up.

use super::{Optimizer, OptimizerSpec, choose};
use crate::initializers::Initializer;
use crate::layer::arguments;
use crate::scope::Store;
use crate::{Error, Result, Scope};
use kc_ir::manifest::StateRole;
use kc_ir::tensor::Value;
use kc_ir::tensor::ops::{Binary, Compare, Reduction, Unary};
use kc_ir::{DType, TensorType};
use std::sync::Arc;

/// An optimizer whose loss is multiplied by a scale before it is differentiated, and whose gradients are divided by it: f16 has no
/// numbers for small derivatives. `keras.optimizers.LossScaleOptimizer`.
///
/// A step with a gradient that is not finite changes neither weights nor the optimizer's state, and halves the scale; as many steps
/// in a row without one as `dynamic_growth_steps` double it. All of that is part of the compiled step, and its state,
/// `step_counter` and `dynamic_scale`, is saved with the optimizer's. `compile` wraps the optimizer of a model with the policy
/// `"mixed_float16"` by itself, unless [`Compile::auto_scale_loss`](crate::model::Compile::auto_scale_loss) says otherwise.
///
/// ```
/// use kc::prelude::*;
///
/// let mut model = Sequential::new().add(Input::new([4])).add(Dense::new(1).dtype("mixed_float16"));
/// model.compile(LossScaleOptimizer::new(Adam::new()).initial_scale(1024.0), "mse", ())?;
/// # Ok::<(), kc::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct LossScaleOptimizer {
    inner_optimizer: OptimizerSpec,
    initial_scale: f64,
    dynamic_growth_steps: u32,
    name: String,
}

impl LossScaleOptimizer {
    /// Scales the loss of that optimizer, an object or a name.
    pub fn new(inner_optimizer: impl Into<OptimizerSpec>) -> Self {
        LossScaleOptimizer {
            inner_optimizer: inner_optimizer.into(),
            initial_scale: 32768.0,
            dynamic_growth_steps: 2000,
            name: "loss_scale_optimizer".to_string(),
        }
    }

    arguments! {
        /// The scale of the first step (default: 2^15). One that is too large is soon halved, one too small is slowly doubled.
        initial_scale: f64,
        /// After how many steps without an overflow the scale is doubled (default: 2000).
        dynamic_growth_steps: u32,
        /// The name, with which its own state tensors' names begin (default: `"loss_scale_optimizer"`).
        name: String,
    }

    /// The optimizer, and how its loss is scaled.
    pub(super) fn resolve(&self) -> Result<(Arc<dyn Optimizer>, LossScale)> {
        let (optimizer, within) = self.inner_optimizer.resolve()?;
        if within.is_some() {
            return Err(Error::model("the optimizer of a `LossScaleOptimizer` is one itself: wrap an optimizer once"));
        }
        if !(self.initial_scale.is_finite() && self.initial_scale > 0.0) {
            let given = self.initial_scale;
            return Err(Error::model(format!("`initial_scale` is {given}, expected a finite number above 0")));
        }
        if self.dynamic_growth_steps == 0 {
            return Err(Error::model("`dynamic_growth_steps` is 0, expected at least 1"));
        }
        let (initial_scale, growth_steps, name) = (self.initial_scale, self.dynamic_growth_steps, self.name.clone());
        Ok((optimizer, LossScale { name, initial_scale, growth_steps }))
    }
}

impl From<LossScaleOptimizer> for OptimizerSpec {
    fn from(optimizer: LossScaleOptimizer) -> Self {
        OptimizerSpec::Scaled(Box::new(optimizer))
    }
}

/// How a loss is scaled.
#[derive(Clone, Debug)]
pub(crate) struct LossScale {
    name: String,
    initial_scale: f64,
    growth_steps: u32,
}

/// The state tensors of a [`LossScale`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct LossScaleState {
    /// Steps since the scale changed: i64 scalar.
    step_counter: usize,
    /// The scale: f32 scalar.
    dynamic_scale: usize,
}

impl LossScale {
    pub fn add_state(&self, store: &mut Store) -> Result<LossScaleState> {
        let mut scalar = |name: &str, dtype, value| {
            let name = format!("{}/{name}", self.name);
            store.add(name, StateRole::Optimizer, TensorType::scalar(dtype), Initializer::Constant(value))
        };
        Ok(LossScaleState {
            step_counter: scalar("step_counter", DType::I64, 0.0)?,
            dynamic_scale: scalar("dynamic_scale", DType::F32, self.initial_scale)?,
        })
    }

    /// Whether all elements of all gradients are finite, a truth value; gives the state its values after the step.
    pub fn update(&self, scope: &mut Scope, state: LossScaleState, gradients: &[Value]) -> Result<Value> {
        let mut all = None;
        for &gradient in gradients {
            let finite = scope.unary(Unary::IsFinite, gradient)?;
            let axes: Vec<usize> = (0..scope.tensor_type(finite).rank()).collect();
            let finite = scope.reduce(Reduction::Min, &axes, finite)?;
            all = Some(match all {
                Some(all) => scope.binary(Binary::And, all, finite)?,
                None => finite,
            });
        }
        let all = all.ok_or_else(|| Error::model("there are no gradients"))?;

        let (steps, scale) = (scope.state(state.step_counter)?, scope.state(state.dynamic_scale)?);
        let (zero, one) = (scope.splat_like(0i64, steps)?, scope.splat_like(1i64, steps)?);
        let last = scope.splat_like(i64::from(self.growth_steps) - 1, steps)?;
        let grows = scope.compare(Compare::Equal, steps, last)?;
        let next = scope.binary(Binary::Add, steps, one)?;
        let next = scope.select(grows, zero, next)?;
        let next = scope.select(all, next, zero)?;
        scope.set_state(state.step_counter, next)?;
        let double = scope.binary_constant(Binary::Multiply, scale, 2.0)?;
        let half = scope.binary_constant(Binary::Multiply, scale, 0.5)?;
        let grown = scope.select(grows, double, scale)?;
        let next = scope.select(all, grown, half)?;
        scope.set_state(state.dynamic_scale, next)?;
        Ok(all)
    }
}

impl LossScaleState {
    /// The scale of this step.
    pub fn scale(self, scope: &mut Scope) -> Result<Value> {
        scope.state(self.dynamic_scale)
    }
}

/// Gives a state tensor a value; where there is a truth value that does not hold, it keeps that of before.
pub(crate) fn set_where(scope: &mut Scope, holds: Option<Value>, index: usize, value: Value) -> Result<()> {
    let value = match holds {
        Some(holds) => {
            let before = scope.state(index)?;
            choose(scope, holds, value, before)?
        }
        None => value,
    };
    scope.set_state(index, value)
}
