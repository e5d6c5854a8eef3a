//! From kernels to machine code.
//!
//! * [`Backend`]: what a code generator is; [`CodeImage`]: what it makes.
//! * [`mlir`]: the performance back end, a plug-in that needs LLVM to be built.
//! * [`cuda`]: PTX for NVIDIA's GPUs, by the same plug-in.
//! * [`Cranelift`]: the embedded back end.
//! * [`stablehlo`]: graphs as StableHLO text, for XLA.
//! * [`compile_object`]: entry points as C functions that need no runtime.
//! * [`conformance`]: the suite that every back end must pass.
//! * [`roof`]: the machine's limits, for measurements.

mod backend;
mod choice;
#[cfg(unix)]
pub mod conformance;
mod cranelift;
pub mod cuda;
pub mod eager;
mod image;
pub mod mlir;
mod object;
mod outside;
mod pipeline;
pub mod roof;
pub mod stablehlo;

pub use backend::{Backend, CodegenError, Form};
pub use choice::BackendChoice;
pub use cranelift::Cranelift;
pub use image::CodeImage;
pub use object::{Object, ObjectOptions};
pub use pipeline::{
    CompileError, Optimised, Options, Stage, compile, compile_object, compile_observed, optimise, schedule_function,
};
