//! `fit`, `evaluate` and `predict`.

use super::Model;
use crate::error::caller;
use crate::random::numpy;
use crate::{Error, Result};
use kc_runtime::{Array, Callback, Dataset, EvaluateOptions, FitOptions, History, Logs, TrainingError, Verbose};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Arrays that a model takes: one, or one an input (or target).
pub trait IntoArrays {
    /// The arrays in order.
    fn into_arrays(self) -> Vec<Array>;
}

impl IntoArrays for Array {
    fn into_arrays(self) -> Vec<Array> {
        vec![self]
    }
}

impl IntoArrays for &Array {
    fn into_arrays(self) -> Vec<Array> {
        vec![self.clone()]
    }
}

impl IntoArrays for Vec<Array> {
    fn into_arrays(self) -> Vec<Array> {
        self
    }
}

impl IntoArrays for &[Array] {
    fn into_arrays(self) -> Vec<Array> {
        self.to_vec()
    }
}

impl<const N: usize> IntoArrays for [&Array; N] {
    fn into_arrays(self) -> Vec<Array> {
        self.into_iter().cloned().collect()
    }
}

/// The arguments of `fit` beside the data, with Keras' defaults.
#[derive(Default)]
pub struct Fit<'a> {
    options: FitOptions<'static>,
    validation_data: Option<Dataset>,
    sample_weight: Option<Array>,
    callbacks: Vec<&'a mut dyn Callback>,
}

macro_rules! options {
    ($($(#[$doc:meta])* $name:ident: $ty:ty $(=> $wrap:ident)?;)*) => {
        $($(#[$doc])*
        pub fn $name(mut self, $name: $ty) -> Self {
            self.options.$name = $($wrap)?($name);
            self
        })*
    };
}

impl<'a> Fit<'a> {
    /// With Keras' defaults: one epoch, batches of 32, shuffled.
    pub fn new() -> Self {
        Self::default()
    }

    options! {
        /// Samples of a step (default: 32).
        batch_size: usize;
        /// Number of the last epoch (default: 1).
        epochs: usize;
        /// What is shown (default: [`Verbose::Auto`]).
        verbose: Verbose;
        /// The fraction of the samples, from their end, that is for validation (default: 0).
        validation_split: f64;
        /// Whether each epoch visits the samples in another order (default: yes).
        shuffle: bool;
        /// Number of the first epoch, from 0 (default: 0).
        initial_epoch: usize;
        /// Steps of an epoch (default: all samples).
        steps_per_epoch: usize => Some;
        /// At most that many steps of validation (default: all samples).
        validation_steps: usize => Some;
        /// Samples of a validation step (default: `batch_size`).
        validation_batch_size: usize => Some;
        /// Validation follows every epoch whose number is a multiple of this (default: 1).
        validation_freq: usize;
        /// Ends the training after a step when it is set, or in a step's `while` loop, from another thread or the handler of a signal
        /// (default: nothing does). [`History::interrupted`] says so.
        interrupt: Arc<AtomicBool> => Some;
    }

    /// Samples for validation; they take precedence over `validation_split`.
    pub fn validation_data(mut self, x: impl IntoArrays, y: impl IntoArrays) -> Self {
        self.validation_data =
            Some(Dataset { features: x.into_arrays(), targets: y.into_arrays(), sample_weights: Vec::new() });
        self
    }

    /// Weights of the classes in the loss and the weighted metrics: `[(0, 1.0), (1, 2.5)]`; 1 for what is not named.
    pub fn class_weight(mut self, class_weight: impl IntoIterator<Item = (i64, f64)>) -> Self {
        self.options.class_weight = Some(class_weight.into_iter().collect());
        self
    }

    /// A weight for each sample in the loss and the weighted metrics.
    pub fn sample_weight(mut self, sample_weight: impl Into<Array>) -> Self {
        self.sample_weight = Some(sample_weight.into());
        self
    }

    /// Adds a callback; they are called in the order in which they were added.
    pub fn callback(mut self, callback: &'a mut dyn Callback) -> Self {
        self.callbacks.push(callback);
        self
    }
}

impl Model {
    /// Trains the model for a number of epochs: `model.fit(&x, &y, Fit::new().epochs(5).batch_size(64))?`.
    ///
    /// The data is checked once, before the first step: shapes, labels, NaN.
    #[track_caller]
    pub fn fit(&mut self, x: impl IntoArrays, y: impl IntoArrays, mut arguments: Fit) -> Result<History> {
        let here = caller();
        self.needs_compile("fit").map_err(|error| error.at(here))?;
        let sample_weights = arguments.sample_weight.into_iter().collect();
        let data = Dataset { features: x.into_arrays(), targets: y.into_arrays(), sample_weights };
        let options = FitOptions {
            validation_data: arguments.validation_data.as_ref(),
            order: numpy(|random| random.clone()),
            // Keras draws one to find the shapes
            skipped_orders: usize::from(!self.engine.see()),
            ..arguments.options.clone()
        };
        let history = self.with_session(|session| {
            kc_runtime::fit(session, &data, &options, &mut arguments.callbacks).map_err(failed)
        });
        let history = history.map_err(|error| error.at(here))?;
        numpy(|random| *random = history.order.clone());
        Ok(history)
    }

    /// The loss and the metrics over the samples, by name. Keras' `evaluate(return_dict=True)`.
    #[track_caller]
    pub fn evaluate(&self, x: impl IntoArrays, y: impl IntoArrays) -> Result<Logs> {
        self.evaluate_with(x, y, &EvaluateOptions::default())
    }

    /// [`Model::evaluate`] with a batch size, a number of steps, or without a progress bar.
    #[track_caller]
    pub fn evaluate_with(&self, x: impl IntoArrays, y: impl IntoArrays, options: &EvaluateOptions) -> Result<Logs> {
        let here = caller();
        self.needs_compile("evaluate").map_err(|error| error.at(here))?;
        self.engine.see();
        let data = Dataset { features: x.into_arrays(), targets: y.into_arrays(), sample_weights: Vec::new() };
        self.with_session(|session| kc_runtime::evaluate(session, &data, options, &mut []).map_err(failed))
            .map_err(|error| error.at(here))
    }

    /// The model's only output for the samples.
    #[track_caller]
    pub fn predict(&self, x: impl IntoArrays) -> Result<Array> {
        let options = EvaluateOptions { verbose: Verbose::Silent, ..EvaluateOptions::default() };
        let mut outputs = self.predict_with(x, &options)?;
        match (outputs.pop(), outputs.len()) {
            (Some(output), 0) => Ok(output),
            (_, rest) => Err(Error::run(format!(
                "model `{}` has {} outputs, expected 1: use `predict_with`",
                self.base.name(),
                rest + 1
            ))
            .at(caller())),
        }
    }

    /// All of the model's outputs for the samples.
    #[track_caller]
    pub fn predict_with(&self, x: impl IntoArrays, options: &EvaluateOptions) -> Result<Vec<Array>> {
        let here = caller();
        let data = Dataset { features: x.into_arrays(), ..Dataset::default() };
        self.with_session(|session| kc_runtime::predict(session, &data, options, &mut []).map_err(failed))
            .map_err(|error| error.at(here))
    }

    fn needs_compile(&self, method: &str) -> Result<()> {
        if self.compiled.is_some() {
            return Ok(());
        }
        Err(Error::model(format!(
            "model `{}` must be compiled before `{method}`: call `model.compile(optimizer, loss, metrics)`",
            self.base.name()
        )))
    }
}

fn failed(error: TrainingError) -> Error {
    Error::run(error.to_string())
}
