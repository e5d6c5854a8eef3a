use kc_ir::tensor::{Location, TypeError};
use std::fmt;
use std::sync::Arc;
use thiserror::Error;

/// What every fallible function of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a user can get wrong. The message says what was given, what was expected, and where.
#[derive(Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum Error {
    /// A layer cannot be built or called as asked.
    #[error("layer `{}` ({}): {}{}", .0.layer, .0.class, .0.message, place(&.0.location))]
    Layer(Box<LayerError>),
    /// A model, loss, metric or optimizer cannot be used as asked.
    #[error("{message}{}", .place.map(line).unwrap_or_default())]
    Model {
        /// What was given, what was expected.
        message: String,
        /// File and line of the call that is wrong, or where the model was made.
        place: Option<(&'static str, u32)>,
    },
    /// An op outside of any layer does not take its operands.
    #[error("{0}")]
    Op(#[from] TypeError),
    /// Data, files or compiled code could not be used.
    #[error("{message}{}", .place.map(line).unwrap_or_default())]
    Run {
        /// What happened, and what to do.
        message: String,
        /// File and line of the call, where it is one of a model's.
        place: Option<(&'static str, u32)>,
    },
}

impl From<kc_runtime::ArrayError> for Error {
    fn from(error: kc_runtime::ArrayError) -> Self {
        Error::run(error.to_string())
    }
}

/// The message: what a `main` that returns an error shows.
impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// A layer that cannot be built or called as asked.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerError {
    /// The layer's path.
    pub layer: String,
    /// Its class, as Keras names it.
    pub class: String,
    /// What was given, what was expected.
    pub message: String,
    /// Where the layer was made.
    pub location: Option<Arc<Location>>,
}

impl Error {
    /// An error of a model, loss, metric or optimizer.
    pub fn model(message: impl Into<String>) -> Self {
        Error::Model { message: message.into(), place: None }
    }

    /// The error with its place, where it has none yet.
    pub(crate) fn at(mut self, here: (&'static str, u32)) -> Self {
        if let Error::Model { place, .. } | Error::Run { place, .. } = &mut self {
            place.get_or_insert(here);
        }
        self
    }

    /// An error of data, files or compiled code.
    pub fn run(message: impl Into<String>) -> Self {
        Error::Run { message: message.into(), place: None }
    }
}

fn place(location: &Option<Arc<Location>>) -> String {
    location.as_ref().map_or_else(String::new, |location| location.shown())
}

fn line((file, line): (&str, u32)) -> String {
    format!("{}{file}:{line}", Location::ARROW)
}

/// File and line of the caller.
#[track_caller]
pub(crate) fn caller() -> (&'static str, u32) {
    let caller = std::panic::Location::caller();
    (caller.file(), caller.line())
}

/// The known name that an unknown one was probably meant to be: the nearest of those that have all its words
/// (`sparse_crossentropy`: `sparse_categorical_crossentropy`), or else the nearest, if it is near.
pub(crate) fn did_you_mean(unknown: &str, known: &[&str]) -> String {
    let has_words =
        |name: &str| unknown.contains('_') && unknown.split('_').all(|word| name.split('_').any(|own| own == word));
    let close = known
        .iter()
        .map(|name| (!has_words(name), distance(unknown, name), *name))
        .filter(|(other_words, distance, name)| !other_words || *distance <= 1 + name.len() / 4)
        .min();
    match close {
        Some((_, _, name)) => format!("; did you mean `{name}`? Known are: {}", known.join(", ")),
        None => format!("; known are: {}", known.join(", ")),
    }
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let next = (diagonal + usize::from(x != *y)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], next);
        }
    }
    row[b.len()]
}
