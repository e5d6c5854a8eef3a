//! Standard output: what a command gives.

use std::io::{self, Write};

/// Writes a text to standard output.
pub fn print(text: &str) -> Result<(), Unwritten> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(Unwritten)
}

/// Standard output cannot be written to.
#[derive(Debug)]
pub struct Unwritten(io::Error);

impl Unwritten {
    /// Whether nobody reads it any more, which is no mistake.
    pub fn is_closed(&self) -> bool {
        self.0.kind() == io::ErrorKind::BrokenPipe
    }
}

impl std::fmt::Display for Unwritten {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "cannot write to standard output: {}", self.0)
    }
}

impl std::error::Error for Unwritten {}
