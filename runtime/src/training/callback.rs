use super::{History, Logs, TrainingError};
use crate::session::{Session, SessionError};
use kc_abi::manifest::StateRole;

/// Any error of a callback.
pub type CallbackError = Box<dyn std::error::Error + Send + Sync>;

/// What happens at the moments of a training, an evaluation or a prediction: Keras' `Callback`, with the same hooks.
///
/// Batches and epochs are counted from 0. An error ends the training.
#[allow(unused_variables)]
pub trait Callback {
    /// The callback's name, for errors.
    fn name(&self) -> &str;
    /// Before the first epoch.
    fn on_train_begin(&mut self, training: &mut Training) -> Result<(), CallbackError> {
        Ok(())
    }
    /// After the last epoch, and after an interruption.
    fn on_train_end(&mut self, training: &mut Training, history: &History) -> Result<(), CallbackError> {
        Ok(())
    }
    /// Before the first batch of an epoch.
    fn on_epoch_begin(&mut self, training: &mut Training, epoch: usize) -> Result<(), CallbackError> {
        Ok(())
    }
    /// After an epoch's batches and validation. What is added to the logs is in the history.
    fn on_epoch_end(&mut self, training: &mut Training, epoch: usize, logs: &mut Logs) -> Result<(), CallbackError> {
        Ok(())
    }
    /// Before a training step.
    fn on_train_batch_begin(&mut self, training: &mut Training, batch: usize) -> Result<(), CallbackError> {
        Ok(())
    }
    /// After a training step; [`Training::logs`] reads its logs.
    fn on_train_batch_end(&mut self, training: &mut Training, batch: usize) -> Result<(), CallbackError> {
        Ok(())
    }
    /// Before an evaluation, also that of an epoch.
    fn on_test_begin(&mut self, training: &mut Training) -> Result<(), CallbackError> {
        Ok(())
    }
    /// After an evaluation.
    fn on_test_end(&mut self, training: &mut Training, logs: &Logs) -> Result<(), CallbackError> {
        Ok(())
    }
    /// Before a test step.
    fn on_test_batch_begin(&mut self, training: &mut Training, batch: usize) -> Result<(), CallbackError> {
        Ok(())
    }
    /// After a test step; [`Training::logs`] reads its logs.
    fn on_test_batch_end(&mut self, training: &mut Training, batch: usize) -> Result<(), CallbackError> {
        Ok(())
    }
    /// Before a prediction.
    fn on_predict_begin(&mut self, training: &mut Training) -> Result<(), CallbackError> {
        Ok(())
    }
    /// After a prediction.
    fn on_predict_end(&mut self, training: &mut Training) -> Result<(), CallbackError> {
        Ok(())
    }
    /// Before a batch is predicted.
    fn on_predict_batch_begin(&mut self, training: &mut Training, batch: usize) -> Result<(), CallbackError> {
        Ok(())
    }
    /// After a batch was predicted.
    fn on_predict_batch_end(&mut self, training: &mut Training, batch: usize) -> Result<(), CallbackError> {
        Ok(())
    }
}

/// What a callback sees and may change.
pub struct Training<'a> {
    session: &'a mut Session,
    stop: bool,
    logs: Option<Logs>,
    notes: Vec<String>,
    /// Number of epochs that `fit` was asked for.
    pub epochs: usize,
    /// Number of batches of an epoch, or of the evaluation or prediction.
    pub steps: usize,
}

impl<'a> Training<'a> {
    pub(super) fn new(session: &'a mut Session, epochs: usize, steps: usize) -> Self {
        Training { session, stop: false, logs: None, notes: Vec::new(), epochs, steps }
    }

    /// The model.
    pub fn session(&mut self) -> &mut Session {
        self.session
    }

    /// Ends the training after this batch or epoch, as `model.stop_training = True` does.
    pub fn stop(&mut self) {
        self.stop = true;
    }

    /// Whether the training is about to end.
    pub fn stops(&self) -> bool {
        self.stop
    }

    /// The running values of loss and metrics since the epoch or the evaluation began. They are computed when they are first asked
    /// for after a step.
    pub fn logs(&mut self) -> Result<&Logs, SessionError> {
        if self.logs.is_none() {
            self.logs = Some(read_logs(self.session)?);
        }
        Ok(self.logs.get_or_insert_default())
    }

    /// Says something to the person who trains: a line after the progress bar.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    pub(super) fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// The logs that were read are out of date.
    pub(super) fn stepped(&mut self) {
        self.logs = None;
    }

    /// Copies of the model's weights (Keras' `get_weights`): index in the state and value.
    pub fn weights(&mut self) -> Result<Vec<(usize, crate::Array)>, SessionError> {
        let is_weight = |role| matches!(role, StateRole::Trainable | StateRole::NonTrainable);
        let manifest = self.session.manifest().clone();
        let state = manifest.state.iter().zip(self.session.state()?).enumerate();
        Ok(state.filter(|(_, (tensor, _))| is_weight(tensor.role)).map(|(i, (_, value))| (i, value.clone())).collect())
    }

    /// Puts weights back (Keras' `set_weights`).
    pub fn set_weights(&mut self, weights: &[(usize, crate::Array)]) -> Result<(), SessionError> {
        weights.iter().try_for_each(|(index, value)| self.session.set_state_tensor(*index, value))
    }
}

/// The values of the metric state.
pub(super) fn read_logs(session: &mut Session) -> Result<Logs, SessionError> {
    let values = session.run("metric_results", &[])?;
    let names = session.manifest().entry("metric_results").into_iter().flat_map(|entry| &entry.outputs);
    Ok(names.zip(&values).filter_map(|(output, value)| Some((output.name.as_str(), value.first_as_f64()?))).collect())
}

/// The callbacks of one training.
pub(super) struct Callbacks<'a, 'b>(pub(super) &'a mut [&'b mut dyn Callback]);

impl Callbacks<'_, '_> {
    /// Calls a hook of each, in order.
    pub(super) fn each(
        &mut self,
        mut hook: impl FnMut(&mut dyn Callback) -> Result<(), CallbackError>,
    ) -> Result<(), TrainingError> {
        for callback in self.0.iter_mut() {
            hook(&mut **callback)
                .map_err(|source| TrainingError::Callback { callback: callback.name().to_owned(), source })?;
        }
        Ok(())
    }
}

impl From<crate::array::ArrayError> for TrainingError {
    fn from(error: crate::array::ArrayError) -> Self {
        TrainingError::Session(error.into())
    }
}
