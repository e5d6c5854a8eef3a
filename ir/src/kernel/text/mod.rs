//! The text form of kernels and programs. What is printed parses to an equal value.
//!
//! ```text
//! # y = max(x, 0), 16 elements a task
//! kernel relu(x: f32 read, y: f32 write; dims 1) task t0 {
//!   %0: f32x16 = constant 0.0
//!   %1: f32x16 = load x[t0*16] count d0 - t0*16
//!   %2: f32x16 = maximum %1, %0
//!   store y[t0*16], %2 count d0 - t0*16
//! }
//! ```
//!
//! Indices know `+ - * // % min(,) max(,)`; loops and branches give values with `yield`; a name that is not unique or
//! not a word is written as a quoted text where it is declared and as `@2` (its position) where it is used.

mod lex;
mod parse;
mod parse_index;
mod parse_instruction;
mod print;
mod program;

pub use parse::{ParseError, parse_kernel, parse_kernels};
pub use print::{print_index, print_kernel, print_kernels};
pub use program::{parse_program, print_program};

#[cfg(test)]
mod tests;
