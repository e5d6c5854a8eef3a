use super::monitor::{Mode, monitored};
use crate::training::{Callback, CallbackError, Logs, Training};

fn learning_rate(training: &mut Training) -> Result<f64, CallbackError> {
    training.session().learning_rate()?.ok_or_else(|| "the model has no learning rate to change".into())
}

/// Sets the learning rate when an epoch begins (Keras' `LearningRateScheduler`): the schedule is given the epoch, from 0, and
/// the present rate, and gives the new one.
pub struct LearningRateScheduler<F: FnMut(usize, f64) -> f64> {
    schedule: F,
}

impl<F: FnMut(usize, f64) -> f64> LearningRateScheduler<F> {
    /// A scheduler of that schedule.
    pub fn new(schedule: F) -> Self {
        LearningRateScheduler { schedule }
    }
}

impl<F: FnMut(usize, f64) -> f64> Callback for LearningRateScheduler<F> {
    fn name(&self) -> &str {
        "LearningRateScheduler"
    }

    fn on_epoch_begin(&mut self, training: &mut Training, epoch: usize) -> Result<(), CallbackError> {
        let rate = learning_rate(training)?;
        training.session().set_learning_rate((self.schedule)(epoch, rate));
        Ok(())
    }

    fn on_epoch_end(&mut self, training: &mut Training, _: usize, logs: &mut Logs) -> Result<(), CallbackError> {
        logs.set("learning_rate", learning_rate(training)?);
        Ok(())
    }
}

/// Lowers the learning rate when a value has stopped getting better (Keras' `ReduceLROnPlateau`).
#[derive(Clone, Debug)]
pub struct ReduceLROnPlateau {
    /// The log to watch. Default: `val_loss`.
    pub monitor: String,
    /// The rate is multiplied by this; less than 1. Default: 0.1.
    pub factor: f64,
    /// Epochs without improvement after which the rate is lowered. Default: 10.
    pub patience: usize,
    /// Which way is better. Default: by the log's name.
    pub mode: Mode,
    /// A change by this or less is none. Default: 0.0001.
    pub min_delta: f64,
    /// Epochs after a change that are not watched. Default: 0.
    pub cooldown: usize,
    /// The rate never gets lower than this. Default: 0.
    pub min_lr: f64,
    /// Whether it says when it lowers the rate. Default: no.
    pub verbose: bool,
    /// What was seen so far; it starts at its default.
    pub seen: ReduceLROnPlateauSeen,
}

/// What a [`ReduceLROnPlateau`] has seen so far.
#[derive(Clone, Debug, Default)]
pub struct ReduceLROnPlateauSeen {
    best: Option<f64>,
    wait: usize,
    cooldown_left: usize,
}

impl Default for ReduceLROnPlateau {
    fn default() -> Self {
        ReduceLROnPlateau {
            monitor: "val_loss".into(),
            factor: 0.1,
            patience: 10,
            mode: Mode::Auto,
            min_delta: 1e-4,
            cooldown: 0,
            min_lr: 0.0,
            verbose: false,
            seen: ReduceLROnPlateauSeen::default(),
        }
    }
}

impl Callback for ReduceLROnPlateau {
    fn name(&self) -> &str {
        "ReduceLROnPlateau"
    }

    fn on_train_begin(&mut self, _: &mut Training) -> Result<(), CallbackError> {
        if self.factor >= 1.0 {
            return Err(format!("`factor` must be less than 1, {} was given", self.factor).into());
        }
        self.mode = self.mode.resolve(self.name(), &self.monitor)?;
        self.seen = ReduceLROnPlateauSeen::default();
        Ok(())
    }

    fn on_epoch_end(&mut self, training: &mut Training, epoch: usize, logs: &mut Logs) -> Result<(), CallbackError> {
        let rate = learning_rate(training)?;
        logs.set("learning_rate", rate);
        let current = match monitored(self.name(), &self.monitor, logs) {
            Ok(current) => current,
            Err(missing) => {
                training.note(missing);
                return Ok(());
            }
        };
        if self.seen.cooldown_left > 0 {
            self.seen.cooldown_left -= 1;
            self.seen.wait = 0;
        }
        if self.mode.improves(current, self.seen.best, self.min_delta) {
            self.seen.best = Some(current);
            self.seen.wait = 0;
        } else if self.seen.cooldown_left == 0 {
            self.seen.wait += 1;
            if self.seen.wait >= self.patience && rate > self.min_lr {
                let new = (rate * self.factor).max(self.min_lr);
                training.session().set_learning_rate(new);
                if self.verbose {
                    training.note(format!("Epoch {}: ReduceLROnPlateau reducing learning rate to {new}.", epoch + 1));
                }
                self.seen.cooldown_left = self.cooldown;
                self.seen.wait = 0;
            }
        }
        Ok(())
    }
}
