//! What a model is trained with.

use super::Model;
use crate::losses::{Loss, LossSpec};
use crate::metrics::{Metric, MetricSpec};
use crate::optimizers::{LossScale, LossScaleOptimizer, Optimizer, OptimizerSpec};
use crate::{Error, Result};
use std::sync::Arc;

/// Optimizer, losses and metrics, resolved. One entry an output.
#[derive(Clone, Debug)]
pub(crate) struct Compiled {
    pub optimizer: Arc<dyn Optimizer>,
    /// How the loss is scaled before it is differentiated.
    pub loss_scale: Option<LossScale>,
    pub losses: Vec<(Arc<dyn Loss>, Option<f64>)>,
    pub metrics: Vec<Vec<Arc<dyn Metric>>>,
    pub weighted_metrics: Vec<Vec<Arc<dyn Metric>>>,
    /// File and line of the call of `compile`.
    pub place: (&'static str, u32),
}

/// The arguments of [`Model::compile_with`]: those of Keras' `compile`, for what [`Model::compile`] does not say.
///
/// ```
/// use kc::prelude::*;
///
/// let mut model = Sequential::new().add(Input::new([4])).add(Dense::new(1));
/// model.compile_with(Compile::new().optimizer(SGD::new().momentum(0.9)).loss("mse").weighted_metrics(["mse"]))?;
/// # Ok::<(), kc::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Compile {
    optimizer: OptimizerSpec,
    losses: Vec<LossSpec>,
    loss_weights: Vec<f64>,
    metrics: Vec<Vec<MetricSpec>>,
    weighted_metrics: Vec<Vec<MetricSpec>>,
    auto_scale_loss: bool,
}

/// An optimizer, or its name.
pub trait IntoOptimizer: Into<OptimizerSpec> {}
impl<T: Into<OptimizerSpec>> IntoOptimizer for T {}

/// One loss (for all outputs), or an array of one loss an output; a loss is an object or a name.
pub trait IntoLosses {
    /// The losses.
    fn into_losses(self) -> Vec<LossSpec>;
}

impl<L: Into<LossSpec>> IntoLosses for L {
    fn into_losses(self) -> Vec<LossSpec> {
        vec![self.into()]
    }
}

impl<L: Into<LossSpec>, const N: usize> IntoLosses for [L; N] {
    fn into_losses(self) -> Vec<LossSpec> {
        self.map(Into::into).into()
    }
}

impl IntoLosses for Vec<LossSpec> {
    fn into_losses(self) -> Vec<LossSpec> {
        self
    }
}

/// Metrics of a model with one output (`["accuracy"]`), or, as a vector of vectors, of each output; `()` for none.
pub trait IntoMetrics {
    /// The metrics.
    fn into_metrics(self) -> Vec<Vec<MetricSpec>>;
}

impl<M: Into<MetricSpec>, const N: usize> IntoMetrics for [M; N] {
    fn into_metrics(self) -> Vec<Vec<MetricSpec>> {
        vec![self.map(Into::into).into()]
    }
}

impl IntoMetrics for Vec<MetricSpec> {
    fn into_metrics(self) -> Vec<Vec<MetricSpec>> {
        vec![self]
    }
}

impl IntoMetrics for Vec<Vec<MetricSpec>> {
    fn into_metrics(self) -> Vec<Vec<MetricSpec>> {
        self
    }
}

impl IntoMetrics for () {
    fn into_metrics(self) -> Vec<Vec<MetricSpec>> {
        Vec::new()
    }
}

impl Compile {
    /// Keras' defaults; a loss is needed.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Compile {
            optimizer: OptimizerSpec::Named("adam".to_string()),
            losses: Vec::new(),
            loss_weights: Vec::new(),
            metrics: Vec::new(),
            weighted_metrics: Vec::new(),
            auto_scale_loss: true,
        }
    }

    /// The optimizer, or its name (default: `"adam"`).
    pub fn optimizer(mut self, optimizer: impl IntoOptimizer) -> Self {
        self.optimizer = optimizer.into();
        self
    }

    /// One loss, or one an output.
    pub fn loss(mut self, loss: impl IntoLosses) -> Self {
        self.losses = loss.into_losses();
        self
    }

    /// The factors of the outputs' losses in the total (default: 1 each).
    pub fn loss_weights(mut self, loss_weights: impl Into<Vec<f64>>) -> Self {
        self.loss_weights = loss_weights.into();
        self
    }

    /// Metrics that do not see sample weights.
    pub fn metrics(mut self, metrics: impl IntoMetrics) -> Self {
        self.metrics = metrics.into_metrics();
        self
    }

    /// Metrics that see sample and class weights.
    pub fn weighted_metrics(mut self, metrics: impl IntoMetrics) -> Self {
        self.weighted_metrics = metrics.into_metrics();
        self
    }

    /// Whether the optimizer of a model whose policy is `"mixed_float16"` is wrapped in a [`LossScaleOptimizer`] (default: yes).
    pub fn auto_scale_loss(mut self, auto_scale_loss: bool) -> Self {
        self.auto_scale_loss = auto_scale_loss;
        self
    }

    fn resolve(
        self,
        (model, policy): (&str, &str),
        outputs: &[String],
        place: (&'static str, u32),
    ) -> Result<Compiled> {
        let (mut optimizer, mut loss_scale) = self.optimizer.resolve()?;
        if self.auto_scale_loss && policy == "mixed_float16" && loss_scale.is_none() {
            (optimizer, loss_scale) = OptimizerSpec::from(LossScaleOptimizer::new(self.optimizer)).resolve()?;
        }
        optimizer.settings().check(&optimizer.name())?;
        optimizer.check()?;
        let per_output = |what: &str, given: usize| {
            Error::model(format!(
                "`{what}` has {given} entries, model `{model}` has {} outputs: {}",
                outputs.len(),
                outputs.join(", ")
            ))
        };
        let mut losses = self.losses.iter().map(LossSpec::resolve).collect::<Result<Vec<_>>>()?;
        if let ([loss], true) = (losses.as_slice(), outputs.len() > 1) {
            losses = vec![loss.clone(); outputs.len()];
        }
        if losses.len() != outputs.len() {
            return Err(per_output("loss", losses.len()));
        }
        if !self.loss_weights.is_empty() && self.loss_weights.len() != outputs.len() {
            return Err(per_output("loss_weights", self.loss_weights.len()));
        }
        let metrics = |what: &str, given: Vec<Vec<MetricSpec>>| -> Result<Vec<Vec<Arc<dyn Metric>>>> {
            match given.len() {
                0 => Ok(vec![Vec::new(); outputs.len()]),
                n if n == outputs.len() => {
                    given.iter().map(|metrics| metrics.iter().map(MetricSpec::resolve).collect()).collect()
                }
                n => Err(per_output(what, n)),
            }
        };
        Ok(Compiled {
            metrics: metrics("metrics", self.metrics)?,
            weighted_metrics: metrics("weighted_metrics", self.weighted_metrics)?,
            losses: losses
                .into_iter()
                .enumerate()
                .map(|(index, loss)| (loss, self.loss_weights.get(index).copied()))
                .collect(),
            optimizer,
            loss_scale,
            place,
        })
    }
}

impl Model {
    /// Says what the model is trained with: `model.compile(Adam::new(), "sparse_categorical_crossentropy", ["accuracy"])?`.
    /// Optimizer, loss and metrics are objects or names; `()` stands for no metrics (an empty array has no type).
    #[track_caller]
    pub fn compile(
        &mut self,
        optimizer: impl IntoOptimizer,
        loss: impl IntoLosses,
        metrics: impl IntoMetrics,
    ) -> Result<()> {
        self.compile_with(Compile::new().optimizer(optimizer).loss(loss).metrics(metrics))
    }

    /// [`Model::compile`] with all of Keras' arguments.
    #[track_caller]
    pub fn compile_with(&mut self, arguments: Compile) -> Result<()> {
        let place = crate::error::caller();
        let outputs = self.network()?.output_names();
        let policy = self.base.dtype_policy().default()?;
        let compiled = arguments.resolve((self.base.name(), policy.name()), &outputs, place);
        self.compiled = Some(compiled.map_err(|error| error.at(place))?);
        self.distribution = crate::distribution::distribution();
        self.engine.reset();
        Ok(())
    }
}
