//! The tensor IR: a graph of pure ops over typed tensors in static single assignment form.
//!
//! `ir/README.md` says how to add an op.

mod builder;
pub mod composites;
mod control;
mod differentiate;
mod error;
mod expression;
mod extract;
mod graph;
mod indexing;
pub mod interpret;
mod literal;
pub mod operations;
pub mod ops;
mod region;
mod specialise;
pub mod text;
mod verify;

pub use builder::{Builder, broadcast_shapes};
pub use control::{
    AssociativeScanOptions, BranchTrace, Combine, Halves, OpenRegion, ScanOptions, Scanned, TracedRegion,
    combined_in_halves,
};
pub use differentiate::differentiate;
pub use error::TypeError;
pub use expression::{Operand, Scope, Tensor, express};
pub use extract::Extract;
pub use graph::{Argument, Function, Graph, Location, Module, Node, ResultSlot, Type, Value};
pub use interpret::{InterpretError, InterpretOptions, interpret, interpret_with};
pub use literal::{Literal, Real, Scalar, bf16_from_f64, f16_from_f64, integer_range, round};
pub use ops::Op;
pub use region::Region;
pub use specialise::{bind_symbols, specialise, with_dims};
pub use verify::{VerifyError, verify, verify_function, verify_module};
