use super::monitor::{Mode, monitored};
use crate::package::{replace_file, safetensors};
use crate::training::{Callback, CallbackError, Logs, Training};
use kc_abi::manifest::StateRole;
use std::path::{Path, PathBuf};

/// When a checkpoint is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SaveFrequency {
    /// After each epoch.
    #[default]
    Epoch,
    /// Each time that many batches were trained.
    Batches(usize),
}

/// Writes the model while it trains (Keras' `ModelCheckpoint`): a package, or with [`ModelCheckpoint::save_weights_only`] the
/// weights in safetensors layout. A file is replaced whole or not at all.
#[derive(Clone, Debug)]
pub struct ModelCheckpoint {
    /// Where to. Fields in braces are replaced: `{epoch}` (from 1) and `{batch}` (from 1) with an optional width as
    /// in `{epoch:02d}`, and logs with an optional precision as in `{val_loss:.2f}`.
    pub filepath: String,
    /// The log that says what is best. Default: `val_loss`.
    pub monitor: String,
    /// Whether only a model that is better than all before is written. Default: no.
    pub save_best_only: bool,
    /// Whether only the weights are written. Default: no.
    pub save_weights_only: bool,
    /// Which way is better. Default: by the log's name.
    pub mode: Mode,
    /// When it is written. Default: after each epoch.
    pub save_freq: SaveFrequency,
    /// The value that the first model must be better than, with `save_best_only`.
    pub initial_value_threshold: Option<f64>,
    /// Whether it says what it writes. Default: no.
    pub verbose: bool,
    /// What was seen so far; it starts at its default.
    pub seen: ModelCheckpointSeen,
}

/// What a [`ModelCheckpoint`] has seen so far.
#[derive(Clone, Debug, Default)]
pub struct ModelCheckpointSeen {
    best: Option<f64>,
    epoch: usize,
    batches: usize,
    last: Option<PathBuf>,
}

impl ModelCheckpoint {
    /// A checkpoint after every epoch.
    pub fn new(filepath: impl Into<String>) -> Self {
        ModelCheckpoint {
            filepath: filepath.into(),
            monitor: "val_loss".into(),
            save_best_only: false,
            save_weights_only: false,
            mode: Mode::Auto,
            save_freq: SaveFrequency::Epoch,
            initial_value_threshold: None,
            verbose: false,
            seen: ModelCheckpointSeen::default(),
        }
    }

    /// The file that was written last.
    pub fn last(&self) -> Option<&Path> {
        self.seen.last.as_deref()
    }

    fn save(&mut self, training: &mut Training, batch: Option<usize>, logs: &Logs) -> Result<(), CallbackError> {
        let path = PathBuf::from(fill(&self.filepath, self.seen.epoch, batch, logs)?);
        let epoch = self.seen.epoch + 1;
        if self.save_best_only {
            let current = match monitored(self.name(), &self.monitor, logs) {
                Ok(current) => current,
                Err(missing) => {
                    training.note(format!("{missing}; no checkpoint is written"));
                    return Ok(());
                }
            };
            if !self.mode.improves(current, self.seen.best, 0.0) {
                if self.verbose {
                    let best = self.seen.best.unwrap_or(current);
                    training.note(format!("Epoch {epoch}: {} did not improve from {best:.5}", self.monitor));
                }
                return Ok(());
            }
            if self.verbose {
                let from = self.seen.best.map_or("nothing".into(), |best| format!("{best:.5}"));
                training.note(format!(
                    "Epoch {epoch}: {} improved from {from} to {current:.5}, saving model to {}",
                    self.monitor,
                    path.display()
                ));
            }
            self.seen.best = Some(current);
        } else if self.verbose {
            training.note(format!("Epoch {epoch}: saving model to {}", path.display()));
        }
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)
                .map_err(|error| format!("cannot make the folder `{}`: {error}", folder.display()))?;
        }
        if self.save_weights_only {
            let session = training.session();
            let manifest = session.manifest().clone();
            let tensors = manifest.state.iter().zip(session.state()?);
            let weights =
                tensors.filter(|(tensor, _)| matches!(tensor.role, StateRole::Trainable | StateRole::NonTrainable));
            let bytes = safetensors::write(weights.map(|(tensor, value)| (tensor.name.as_str(), value)));
            replace_file(&path, &bytes).map_err(|error| {
                format!("cannot write the weights `{}`: {error}; no file was changed", path.display())
            })?;
        } else {
            training.session().package()?.write(&path)?;
        }
        self.seen.last = Some(path);
        Ok(())
    }
}

impl Callback for ModelCheckpoint {
    fn name(&self) -> &str {
        "ModelCheckpoint"
    }

    fn on_train_begin(&mut self, _: &mut Training) -> Result<(), CallbackError> {
        if self.save_best_only {
            self.mode = self.mode.resolve(self.name(), &self.monitor)?;
            self.seen.best = self.seen.best.or(self.initial_value_threshold);
        }
        if self.save_freq == SaveFrequency::Batches(0) {
            return Err("`save_freq` must be at least 1 batch, 0 was given".into());
        }
        self.seen.batches = 0;
        Ok(())
    }

    fn on_epoch_begin(&mut self, _: &mut Training, epoch: usize) -> Result<(), CallbackError> {
        self.seen.epoch = epoch;
        Ok(())
    }

    fn on_train_batch_end(&mut self, training: &mut Training, batch: usize) -> Result<(), CallbackError> {
        let SaveFrequency::Batches(every) = self.save_freq else { return Ok(()) };
        self.seen.batches += 1;
        if self.seen.batches < every {
            return Ok(());
        }
        self.seen.batches = 0;
        let logs = training.logs()?.clone();
        self.save(training, Some(batch), &logs)
    }

    fn on_epoch_end(&mut self, training: &mut Training, epoch: usize, logs: &mut Logs) -> Result<(), CallbackError> {
        self.seen.epoch = epoch;
        if self.save_freq == SaveFrequency::Epoch { self.save(training, None, logs) } else { Ok(()) }
    }
}

/// The path with its fields replaced.
fn fill(pattern: &str, epoch: usize, batch: Option<usize>, logs: &Logs) -> Result<String, String> {
    let wrong = |field: &str, what: &str| format!("the field `{{{field}}}` of the path `{pattern}` {what}");
    let mut path = String::new();
    let mut rest = pattern;
    while let Some(open) = rest.find('{') {
        path.push_str(&rest[..open]);
        let field = &rest[open + 1..];
        let close = field.find('}').ok_or_else(|| format!("the path `{pattern}` has a `{{` without `}}`"))?;
        let (field, after) = (&field[..close], &field[close + 1..]);
        rest = after;
        let (name, format) = field.split_once(':').unwrap_or((field, ""));
        let count = match name {
            "epoch" => Some(epoch + 1),
            "batch" => Some(batch.map_or(1, |batch| batch + 1)),
            _ => None,
        };
        match count {
            Some(count) => {
                let digits = format.strip_suffix('d').unwrap_or(format);
                let width = if digits.is_empty() { Some(0) } else { digits.parse().ok().filter(|&width| width <= 99) };
                let width: usize = width.ok_or_else(|| wrong(field, "must have a form such as `:02d`"))?;
                path.push_str(&if digits.starts_with('0') {
                    format!("{count:0width$}")
                } else {
                    format!("{count:width$}")
                });
            }
            None => {
                let value =
                    logs.get(name).ok_or_else(|| wrong(field, &format!("is not among the logs: {}", logs.names())))?;
                let digits = format.strip_suffix('f').unwrap_or(format).strip_prefix('.');
                match (format, digits.and_then(|digits| digits.parse::<usize>().ok()).filter(|&digits| digits <= 99)) {
                    ("", _) => path.push_str(&value.to_string()),
                    (_, Some(digits)) => path.push_str(&format!("{value:.digits$}")),
                    (_, None) => return Err(wrong(field, "must have a form such as `:.2f`")),
                }
            }
        }
    }
    path.push_str(rest);
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_path_are_replaced() {
        let logs = Logs::from_iter([("val_loss", 0.12345)]);
        let fill = |pattern: &str| fill(pattern, 2, Some(41), &logs);
        assert_eq!(fill("w.{epoch:02d}-{val_loss:.2f}.kcp").unwrap(), "w.03-0.12.kcp");
        assert_eq!(fill("{epoch}/{batch}/{val_loss}").unwrap(), "3/42/0.12345");
        assert_eq!(
            fill("{loss:.2f}").unwrap_err(),
            "the field `{loss:.2f}` of the path `{loss:.2f}` is not among the logs: val_loss"
        );
        assert_eq!(fill("{epoch").unwrap_err(), "the path `{epoch` has a `{` without `}`");
        assert_eq!(
            fill("{epoch:x}").unwrap_err(),
            "the field `{epoch:x}` of the path `{epoch:x}` must have a form such as `:02d`"
        );
        assert_eq!(
            fill("{val_loss:2}").unwrap_err(),
            "the field `{val_loss:2}` of the path `{val_loss:2}` must have a form such as `:.2f`"
        );
    }
}
