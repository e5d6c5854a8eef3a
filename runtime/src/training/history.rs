use crate::random::NumpyRandom;
use std::collections::BTreeMap;

/// Values of the loss and the metrics by name, sorted, as Keras shows them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Logs(BTreeMap<String, f64>);

impl Logs {
    /// No values.
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of that name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }

    /// Adds or replaces a value.
    pub fn set(&mut self, name: impl Into<String>, value: f64) {
        self.0.insert(name.into(), value);
    }

    /// Names and values in order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// The names, for messages: `accuracy, loss`.
    pub fn names(&self) -> String {
        self.0.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
    }
}

impl<N: Into<String>> FromIterator<(N, f64)> for Logs {
    fn from_iter<I: IntoIterator<Item = (N, f64)>>(values: I) -> Self {
        Logs(values.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }
}

/// What `fit` returns: the logs of each epoch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// Numbers of the epochs that ended, from 0.
    pub epochs: Vec<usize>,
    /// The values of each log, one an epoch in which it was there (`val_` logs are not in every epoch where
    /// `validation_freq` is above 1).
    pub logs: BTreeMap<String, Vec<f64>>,
    /// Whether the training was interrupted before its end.
    pub interrupted: bool,
    /// What orders are drawn from, after those of this training.
    pub order: NumpyRandom,
}

impl History {
    pub(super) fn push(&mut self, epoch: usize, logs: &Logs) {
        self.epochs.push(epoch);
        for (name, value) in logs.iter() {
            self.logs.entry(name.to_owned()).or_default().push(value);
        }
    }

    /// The values of a log, one an epoch.
    pub fn get(&self, name: &str) -> Option<&[f64]> {
        self.logs.get(name).map(Vec::as_slice)
    }

    /// The last value of a log.
    pub fn last(&self, name: &str) -> Option<f64> {
        self.get(name)?.last().copied()
    }
}
