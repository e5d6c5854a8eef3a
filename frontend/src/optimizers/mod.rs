//! `keras.optimizers`.

mod accumulation;
mod adam;
mod loss_scale;
mod settings;
mod sgd;

pub(crate) use accumulation::Accumulation;
pub use adam::Adam;
pub use loss_scale::LossScaleOptimizer;
pub(crate) use loss_scale::{LossScale, LossScaleState, set_where};
pub use settings::Settings;
pub use sgd::SGD;

use crate::{Error, Result, Scope};
use kc_ir::tensor::{Op, Value};
use std::fmt;
use std::sync::Arc;

/// An optimizer. Implement it to write one of your own; gradient transforms, weight decay and averaging are done around it.
pub trait Optimizer: fmt::Debug + Send + Sync + 'static {
    /// The class in snake case: `adam`; state tensors are named `adam/...`.
    fn name(&self) -> String;

    /// The arguments that all optimizers take.
    fn settings(&self) -> &Settings;

    /// Whether its own arguments can be used; a model is not compiled with those that cannot.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Names of the optimizer's variables for each weight; they have the weight's type and start at 0.
    fn slots(&self) -> Vec<&'static str>;

    /// The new value of a weight; `step.slots` are changed in place.
    fn update(&self, scope: &mut Scope, step: &mut UpdateStep) -> Result<Value>;
}

/// What an optimizer's update of one weight is made of.
#[derive(Debug)]
pub struct UpdateStep {
    /// The weight.
    pub variable: Value,
    /// The derivative of the loss by it.
    pub gradient: Value,
    /// Its slots, in order of [`Optimizer::slots`].
    pub slots: Vec<Value>,
    /// The learning rate: f32 scalar.
    pub learning_rate: Value,
    /// Number of updates before this one: i64 scalar.
    pub iterations: Value,
}

impl UpdateStep {
    /// Adds an op whose results are the weight and the slots after the step; keeps the slots, returns the weight.
    pub fn finish(&mut self, scope: &mut Scope, update: Op, operands: &[Value]) -> Result<Value> {
        let tuple = scope.add(update, operands)?;
        let results = scope.projections(tuple)?;
        match results.split_first() {
            Some((&variable, slots)) if slots.len() == self.slots.len() => {
                self.slots.copy_from_slice(slots);
                Ok(variable)
            }
            _ => Err(Error::model(format!(
                "an update has {} results, expected the weight and {} slots",
                results.len(),
                self.slots.len()
            ))),
        }
    }
}

/// The first tensor where a truth value (a scalar) holds, else the second.
fn choose(scope: &mut Scope, predicate: Value, updated: Value, kept: Value) -> Result<Value> {
    let shape = scope.tensor_type(kept).shape.clone();
    let predicate = scope.broadcast_to(predicate, &shape)?;
    Ok(scope.select(predicate, updated, kept)?)
}

/// An optimizer by name or as an object.
#[derive(Clone, Debug)]
pub enum OptimizerSpec {
    /// One of Keras' names.
    Named(String),
    /// An object.
    Object(Arc<dyn Optimizer>),
    /// One whose loss is scaled.
    Scaled(Box<LossScaleOptimizer>),
}

impl From<&str> for OptimizerSpec {
    fn from(name: &str) -> Self {
        OptimizerSpec::Named(name.to_string())
    }
}

impl<O: Optimizer> From<O> for OptimizerSpec {
    fn from(optimizer: O) -> Self {
        OptimizerSpec::Object(Arc::new(optimizer))
    }
}

impl OptimizerSpec {
    /// The optimizer, and how its loss is scaled.
    pub(crate) fn resolve(&self) -> Result<(Arc<dyn Optimizer>, Option<LossScale>)> {
        match self {
            OptimizerSpec::Object(optimizer) => Ok((optimizer.clone(), None)),
            OptimizerSpec::Scaled(scaled) => scaled.resolve().map(|(optimizer, scale)| (optimizer, Some(scale))),
            OptimizerSpec::Named(name) => match name.to_lowercase().as_str() {
                "adam" => Ok((Arc::new(Adam::new()), None)),
                "sgd" => Ok((Arc::new(SGD::new()), None)),
                _ => Err(Error::model(format!(
                    "unknown optimizer `{name}`{}",
                    crate::error::did_you_mean(name, &["adam", "sgd"])
                ))),
            },
        }
    }
}
