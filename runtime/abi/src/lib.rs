//! What the compiler and the runtime of kc share, and nothing else: [`DType`], symbolic dimensions
//! ([`Dim`]), the package's [`manifest`], the calling convention of compiled kernels ([`call`]) and the [`library`] that they may call.
//!
//! The crate is `no_std` (with `alloc`) and imports no other crate of the workspace.
#![no_std]
extern crate alloc;

pub mod call;
pub mod codec;
mod dim;
mod dtype;
pub mod library;
pub mod manifest;

pub use dim::{Atom, Dim, DimError, Symbol, Term};
pub use dtype::DType;
pub use manifest::TensorType;
