//! What a command says when it cannot do its work.

use std::fmt;

/// A message for the person at the terminal.
#[derive(Debug)]
pub enum Failure {
    /// One message of ours; printed after `error: `.
    Message(String),
    /// Ctrl-C ended the work; what was kept.
    Interrupted(String),
    /// Nobody reads standard output any more: nothing is said.
    Closed,
    /// Diagnostics that are complete as they stand: rustc's, or those of a traced model.
    Rendered(String),
}

/// The result of a command.
pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// A failure with a message.
    pub fn new(message: impl fmt::Display) -> Self {
        Failure::Message(message.to_string())
    }
}

impl Failure {
    /// The exit code of the process.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Message(_) | Failure::Rendered(_) => 1,
            // As a shell counts a process that SIGPIPE ended.
            Failure::Closed => 141,
            // As a shell counts a process that SIGINT ended.
            Failure::Interrupted(_) => 130,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Message(message) => write!(formatter, "error: {}", message.trim_end()),
            Failure::Interrupted(message) => formatter.write_str(message),
            Failure::Closed => Ok(()),
            Failure::Rendered(text) => formatter.write_str(text.trim_end()),
        }
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Failure::Message(message)
    }
}

/// Adds to an error what was being done, and to what.
pub trait Context<T> {
    /// `what: error`.
    fn context(self, what: impl FnOnce() -> String) -> Outcome<T>;
}

impl<T, E: fmt::Display> Context<T> for Result<T, E> {
    fn context(self, what: impl FnOnce() -> String) -> Outcome<T> {
        self.map_err(|error| Failure::new(format_args!("{}: {error}", what())))
    }
}
