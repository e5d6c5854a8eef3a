//! The text form of graphs, functions and modules: one line a node, read back exactly.
//!
//! ```text
//! graph {
//!   %0: f32[B, 4] = parameter {"index":0,"name":"x","ty":{"dtype":"f32","shape":["B",4]}}
//!   %1: f32[B, 4] = softmax %0 {"axis":1} at "model.rs":7, "classifier"
//!   return %1
//! }
//! ```
//!
//! Each region of an op is a block behind its attributes, with values of its own:
//!
//! ```text
//!   %2: (f32[4], f32[T, 4]) = scan %0, %1 {"carried":1,"sequences":1,"length":"T","reverse":false} region {
//!     %0: f32[4] = parameter {"index":0,"name":"sum","ty":{"dtype":"f32","shape":[4]}}
//!     %1: f32[4] = parameter {"index":1,"name":"x","ty":{"dtype":"f32","shape":[4]}}
//!     %2: f32[4] = add %0, %1
//!     return %2, %2
//!   }
//! ```
//!
//! An op's mnemonic and attributes are its serialised form, so an op needs no printer or parser of its own. Values may have any
//! name in a text that is read; printed ones are numbered by position. Empty lines and lines that start with `//` are skipped.

mod parse;
mod print;
mod scan;

pub use parse::{parse_function, parse_graph, parse_module};
pub(super) use print::region_text;
pub use print::{print_function, print_graph, print_module, print_node};

use std::fmt;
use thiserror::Error;

/// A text that is no graph, function or module: where, and what was expected there.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct ParseError {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The offending line.
    pub text: String,
    /// What was found and what was expected.
    pub message: String,
}

/// Characters of the offending line that an error shows on each side of the column.
const SHOWN: usize = 80;

impl fmt::Display for ParseError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before = self.column.saturating_sub(1);
        let start = before.saturating_sub(SHOWN);
        let shown: String = self.text.chars().skip(start).take(2 * SHOWN).collect();
        writeln!(formatter, "line {}, column {}: {}", self.line, self.column, self.message)?;
        writeln!(formatter, "  | {shown}")?;
        write!(formatter, "  | {}^", " ".repeat(before - start))
    }
}
