use std::path::{Path, PathBuf};
use thiserror::Error;

/// A file of Keras that cannot be read, or does not fit the model.
#[derive(Debug, Error)]
pub enum SavingError {
    /// The operating system refused.
    #[error("cannot read {}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("{} is damaged or no {expected}: {message}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The format, such as `.keras file`.
        expected: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// A tensor of the model has no value in the file.
    #[error("the file has no `{key}`, which layer `{layer}` ({class}) needs for `{state}`; it has: {known}")]
    Missing {
        /// The path in the file that was looked for.
        key: String,
        /// The layer's name.
        layer: String,
        /// Its class.
        class: String,
        /// The state tensor's name.
        state: String,
        /// The paths of the tensors in the file.
        known: String,
    },
    /// A tensor of the file is not that of the model.
    #[error("`{state}` is {expected}, but `{key}` in the file is {given}")]
    Mismatch {
        /// The state tensor's name.
        state: String,
        /// Its type.
        expected: String,
        /// The path in the file.
        key: String,
        /// The type there.
        given: String,
    },
    /// A weight that lies deeper than a layer of the model, whose path in files is not known.
    #[error(
        "the weights of layer `{layer}` ({class}) cannot be found in a file: `{state}` belongs to a layer inside of it"
    )]
    Nested {
        /// The layer's name.
        layer: String,
        /// Its class.
        class: String,
        /// The state tensor's name.
        state: String,
    },
}

impl SavingError {
    pub(super) fn format(path: &Path, expected: &'static str, message: impl ToString) -> SavingError {
        SavingError::Format { path: path.to_owned(), expected, message: message.to_string() }
    }
}
