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
    /// What was seen so far; it starts at its default.
    pub seen: EarlyStoppingSeen,
}

/// What a [`EarlyStopping`] has seen so far.
#[derive(Clone, Debug, Default)]
pub struct EarlyStoppingSeen {
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
            seen: EarlyStoppingSeen::default(),
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
        self.seen.best
    }

    /// The epoch, from 0, of the best value.
    pub fn best_epoch(&self) -> usize {
        self.seen.best_epoch
    }

    /// The epoch, from 0, after which the training was ended; `None` where it was not.
    pub fn stopped_epoch(&self) -> Option<usize> {
        self.seen.stopped_epoch
    }
}

impl Callback for EarlyStopping {
    fn name(&self) -> &str {
        "EarlyStopping"
    }

    fn on_train_begin(&mut self, _: &mut Training) -> Result<(), CallbackError> {
        self.mode = self.mode.resolve(self.name(), &self.monitor)?;
        self.seen = EarlyStoppingSeen::default();
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
        if self.restore_best_weights && self.seen.best_weights.is_none() {
            // the weights to restore where nothing ever gets better, as with NaN
            self.seen.best_weights = Some(training.weights()?);
            self.seen.best_epoch = epoch;
        }
        self.seen.wait += 1;
        if self.mode.improves(current, self.seen.best, self.min_delta) {
            self.seen.best = Some(current);
            self.seen.best_epoch = epoch;
            if self.restore_best_weights {
                self.seen.best_weights = Some(training.weights()?);
            }
            if self.mode.improves(current, self.baseline, self.min_delta) {
                self.seen.wait = 0;
            }
            return Ok(());
        }
        if self.seen.wait >= self.patience && epoch > 0 {
            self.seen.stopped_epoch = Some(epoch);
            training.stop();
        }
        Ok(())
    }

    fn on_train_end(&mut self, training: &mut Training, _: &History) -> Result<(), CallbackError> {
        if let (Some(epoch), true) = (self.seen.stopped_epoch, self.verbose) {
            training.note(format!("Epoch {}: early stopping", epoch + 1));
        }
        if let Some(weights) = self.seen.best_weights.take() {
            if self.verbose {
                training.note(format!(
                    "Restoring model weights from the end of the best epoch: {}.",
                    self.seen.best_epoch + 1
                ));
            }
            training.set_weights(&weights)?;
        }
        Ok(())
    }
}
