//! The two intermediate representations of kc.
//!
//! * [`tensor`]: pure ops over typed tensors: what a traced model is, what differentiation and equality
//!   saturation rewrite, what XLA receives.
//! * [`kernel`]: explicit loop nests over flat buffers: what scheduling makes and code generators translate.
//!
//! [`library`] says what the functions of the runtime's library compute, which both may call.
//!
//! Each has a verifier, a text form that round-trips, and an interpreter. This crate knows nothing of layers,
//! back ends, files or threads.

pub mod kernel;
pub mod library;
pub mod tensor;

pub use kc_abi::{DType, Dim, Symbol, TensorType, manifest};
