//! `--callbacks`: callbacks by name, with the arguments and defaults that Keras gives them.

use crate::failure::{Failure, Outcome};
use kc_runtime::Callback;
use kc_runtime::training::callbacks::{
    CsvLogger, EarlyStopping, Mode, ModelCheckpoint, ReduceLROnPlateau, TerminateOnNaN,
};
use std::path::Path;
use std::str::FromStr;

const NAMES: &str = "early-stopping, model-checkpoint, reduce-lr-on-plateau, csv-logger, terminate-on-nan (arguments follow: NAME:KEY=VALUE,KEY=VALUE)";

/// The callback that a text such as `early-stopping:monitor=val_loss,patience=3` names. `has_validation` decides what is
/// monitored by default: Keras' `val_loss`, or `loss` where there is none.
pub fn parse(text: &str, has_validation: bool) -> Outcome<Box<dyn Callback>> {
    let (name, rest) = text.split_once(':').unwrap_or((text, ""));
    let mut arguments = Arguments::parse(name, rest)?;
    let monitor = if has_validation { "val_loss" } else { "loss" };
    let callback: Box<dyn Callback> = match name {
        "early-stopping" => {
            let mut callback = EarlyStopping::new(&arguments.text("monitor").unwrap_or_else(|| monitor.to_owned()));
            arguments.set("min_delta", &mut callback.min_delta)?;
            arguments.set("patience", &mut callback.patience)?;
            arguments.mode(&mut callback.mode)?;
            arguments.set("restore_best_weights", &mut callback.restore_best_weights)?;
            arguments.set("start_from_epoch", &mut callback.start_from_epoch)?;
            callback.baseline = arguments.value("baseline")?;
            callback.verbose = true;
            Box::new(callback)
        }
        "model-checkpoint" => {
            let path = arguments.text("filepath").ok_or_else(|| {
                Failure::new("`--callbacks model-checkpoint` needs a file: model-checkpoint:filepath=best.kcp")
            })?;
            let mut callback = ModelCheckpoint::new(path);
            callback.monitor = arguments.text("monitor").unwrap_or_else(|| monitor.to_owned());
            arguments.set("save_best_only", &mut callback.save_best_only)?;
            arguments.set("save_weights_only", &mut callback.save_weights_only)?;
            arguments.mode(&mut callback.mode)?;
            callback.initial_value_threshold = arguments.value("initial_value_threshold")?;
            Box::new(callback)
        }
        "reduce-lr-on-plateau" => {
            let mut callback = ReduceLROnPlateau::default();
            arguments.set("factor", &mut callback.factor)?;
            callback.monitor = arguments.text("monitor").unwrap_or_else(|| monitor.to_owned());
            arguments.set("patience", &mut callback.patience)?;
            arguments.set("min_delta", &mut callback.min_delta)?;
            arguments.set("cooldown", &mut callback.cooldown)?;
            arguments.set("min_lr", &mut callback.min_lr)?;
            arguments.mode(&mut callback.mode)?;
            callback.verbose = true;
            Box::new(callback)
        }
        "csv-logger" => {
            let path = arguments
                .text("filename")
                .ok_or_else(|| Failure::new("`--callbacks csv-logger` needs a file: csv-logger:filename=log.csv"))?;
            Box::new(CsvLogger::new(Path::new(&path)))
        }
        "terminate-on-nan" => Box::new(TerminateOnNaN),
        _ => return Err(Failure::new(format_args!("unknown callback `{name}`; there are {NAMES}"))),
    };
    arguments.none_left()?;
    Ok(callback)
}

struct Arguments<'a> {
    callback: &'a str,
    known: Vec<&'static str>,
    left: Vec<(&'a str, &'a str)>,
}

impl<'a> Arguments<'a> {
    fn parse(callback: &'a str, text: &'a str) -> Outcome<Self> {
        let mut left = Vec::new();
        for argument in text.split(',').filter(|argument| !argument.is_empty()) {
            left.push(argument.split_once('=').ok_or_else(|| {
                Failure::new(format_args!("`{argument}` is no argument of {callback}; expected KEY=VALUE"))
            })?);
        }
        Ok(Arguments { callback, known: Vec::new(), left })
    }

    fn text(&mut self, key: &'static str) -> Option<String> {
        self.known.push(key);
        let index = self.left.iter().position(|(name, _)| *name == key)?;
        Some(self.left.remove(index).1.to_owned())
    }

    fn value<T: FromStr>(&mut self, key: &'static str) -> Outcome<Option<T>> {
        let Some(text) = self.text(key) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| {
            let expected = std::any::type_name::<T>();
            Failure::new(format_args!("{}: `{key}={text}` is not valid; expected {expected}", self.callback))
        })
    }

    fn set<T: FromStr>(&mut self, key: &'static str, slot: &mut T) -> Outcome {
        if let Some(value) = self.value(key)? {
            *slot = value;
        }
        Ok(())
    }

    fn mode(&mut self, slot: &mut Mode) -> Outcome {
        *slot = match self.text("mode").as_deref() {
            None | Some("auto") => Mode::Auto,
            Some("min") => Mode::Min,
            Some("max") => Mode::Max,
            Some(other) => {
                return Err(Failure::new(format_args!(
                    "{}: `mode={other}` is not valid; expected auto, min or max",
                    self.callback
                )));
            }
        };
        Ok(())
    }

    fn none_left(&self) -> Outcome {
        match self.left.first() {
            None => Ok(()),
            Some((key, _)) => Err(Failure::new(format_args!(
                "{} has no argument `{key}`; there are {}",
                self.callback,
                if self.known.is_empty() { "none".to_owned() } else { self.known.join(", ") }
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn names_and_arguments_are_checked() {
        let message = |text| parse(text, true).err().map(|failure| failure.to_string());
        assert_eq!(message("early-stopping"), None);
        assert_eq!(message("early-stopping:monitor=val_accuracy,patience=3,mode=max"), None);
        assert_eq!(message("model-checkpoint:filepath=best.kcp,save_best_only=true"), None);
        assert_eq!(
            message("early-stopping:patience=soon").as_deref(),
            Some("error: early-stopping: `patience=soon` is not valid; expected usize")
        );
        assert_eq!(
            message("early-stopping:patient=3").as_deref(),
            Some(
                "error: early-stopping has no argument `patient`; there are monitor, min_delta, patience, mode, \
                 restore_best_weights, start_from_epoch, baseline"
            )
        );
        assert_eq!(
            message("model-checkpoint").as_deref(),
            Some("error: `--callbacks model-checkpoint` needs a file: model-checkpoint:filepath=best.kcp")
        );
        assert_eq!(
            message("stopping").as_deref(),
            Some(
                "error: unknown callback `stopping`; there are early-stopping, model-checkpoint, reduce-lr-on-plateau, \
                 csv-logger, terminate-on-nan (arguments follow: NAME:KEY=VALUE,KEY=VALUE)"
            )
        );
    }
}
