//! Standard output: what a command gives.

use crate::failure::{Failure, Outcome};
use std::io::{ErrorKind, Write};

/// Writes a text to standard output. That nobody reads it any more ends the command without a word.
pub fn print(text: &str) -> Outcome {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure::Closed,
        _ => Failure::new(format_args!("cannot write to standard output: {error}")),
    })
}

/// Writes a line to standard error; there is nobody to tell where that is not possible.
pub fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
