use super::monitor::{Mode, monitored};
use crate::array::Array;
use crate::training::{Callback, CallbackError, History, Logs, Training};

/// Ends the training when a value has stopped getting better (Keras' `EarlyStopping`).
#[derive(Clone, Debug)]
pub struct EarlyStopping {
    /// The log to watch. Default: `val_loss`.
    pub monitor: String,
    /// A change by this or less is none. Default: 0.
    pub min_delta: f64,
    /// Epochs without improvement after which the training ends. Default: 0.
    pub patience: usize,
    /// Which way is better. Default: by the log's name.
    pub mode: Mode,
    /// The value must get better than this too.
    pub baseline: Option<f64>,
    /// Whether the weights of the best epoch are put back at the end. Default: no.
    pub restore_best_weights: bool,
    /// Epochs before this one are not watched. Default: 0.
    pub start_from_epoch: usize,
    /// Whether it says when it ends the training. Default: no.
    pub verbose: bool,
    wait: usize,
    best: Option<f64>,
    best_epoch: usize,
    best_weights: Option<Vec<(usize, Array)>>,
    stopped_epoch: Option<usize>,
}

impl Default for EarlyStopping {
    fn default() -> Self {
        EarlyStopping {
            monitor: "val_loss".into(),
            min_delta: 0.0,
            patience: 0,
            mode: Mode::Auto,
            baseline: None,
            restore_best_weights: false,
            start_from_epoch: 0,
            verbose: false,
            wait: 0,
            best: None,
            best_epoch: 0,
            best_weights: None,
            stopped_epoch: None,
        }
    }
}

impl EarlyStopping {
    /// Watches that log with Keras' defaults.
    pub fn new(monitor: &str) -> Self {
        EarlyStopping { monitor: monitor.into(), ..Default::default() }
    }

    /// The best value that was seen.
    pub fn best(&self) -> Option<f64> {
        self.best
    }

    /// The epoch, from 0, of the best value.
    pub fn best_epoch(&self) -> usize {
        self.best_epoch
    }

    /// The epoch, from 0, after which the training was ended; `None` where it was not.
    pub fn stopped_epoch(&self) -> Option<usize> {
        self.stopped_epoch
    }
}

impl Callback for EarlyStopping {
    fn name(&self) -> &str {
        "EarlyStopping"
    }

    fn on_train_begin(&mut self, _: &mut Training) -> Result<(), CallbackError> {
        self.mode = self.mode.resolve(self.name(), &self.monitor)?;
        (self.wait, self.best, self.best_epoch, self.best_weights, self.stopped_epoch) = (0, None, 0, None, None);
        Ok(())
    }

    fn on_epoch_end(&mut self, training: &mut Training, epoch: usize, logs: &mut Logs) -> Result<(), CallbackError> {
        let current = match monitored(self.name(), &self.monitor, logs) {
            Ok(current) => current,
            Err(missing) => {
                training.note(missing);
                return Ok(());
            }
        };
        if epoch < self.start_from_epoch {
            return Ok(());
        }
        if self.restore_best_weights && self.best_weights.is_none() {
            // the weights to restore where nothing ever gets better, as with NaN
            self.best_weights = Some(training.weights());
            self.best_epoch = epoch;
        }
        self.wait += 1;
        if self.mode.improves(current, self.best, self.min_delta) {
            self.best = Some(current);
            self.best_epoch = epoch;
            if self.restore_best_weights {
                self.best_weights = Some(training.weights());
            }
            if self.mode.improves(current, self.baseline, self.min_delta) {
                self.wait = 0;
            }
            return Ok(());
        }
        if self.wait >= self.patience && epoch > 0 {
            self.stopped_epoch = Some(epoch);
            training.stop();
        }
        Ok(())
    }

    fn on_train_end(&mut self, training: &mut Training, _: &History) -> Result<(), CallbackError> {
        if let (Some(epoch), true) = (self.stopped_epoch, self.verbose) {
            training.note(format!("Epoch {}: early stopping", epoch + 1));
        }
        if let Some(weights) = self.best_weights.take() {
            if self.verbose {
                training
                    .note(format!("Restoring model weights from the end of the best epoch: {}.", self.best_epoch + 1));
            }
            training.set_weights(&weights)?;
        }
        Ok(())
    }
}
