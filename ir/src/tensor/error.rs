use thiserror::Error;

/// Operands or attributes that an op does not take. The message says what was given and what was expected.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{op}: {message}")]
pub struct TypeError {
    /// The op's name in the text form.
    pub op: String,
    /// What was given, what was expected.
    pub message: String,
}

impl TypeError {
    /// An error of the op of that name.
    pub fn new(op: impl Into<String>, message: impl Into<String>) -> Self {
        TypeError { op: op.into(), message: message.into() }
    }
}
