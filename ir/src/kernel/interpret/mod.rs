//! The interpreter of kernels and programs: lanes are loops, every access is checked.
//!
//! Floating-point operations are rounded once to their dtype; `f16` and `bf16` round the exact result of an operation in
//! `f32`, which is the same. Scalar functions are computed in f64, matrix products are accumulated in f64; both are then
//! rounded once. Scratch memory and buffers that are only written start with bytes of ones, so that a read of what was
//! never written shows.

mod compile;
mod convert;
mod gemm;
mod lanes;
mod library;
mod machine;
mod math;
mod program;
mod tiles;

pub use math::math;
pub use program::run_program;

use super::{Kernel, VerifyError, verify_kernel};
use compile::CompiledKernel;
use machine::Machine;
use std::ops::Range;

/// How [`MultiplyAdd`](super::Instruction::MultiplyAdd) of f32 and f64 rounds; of other floats it always rounds twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum MultiplyAddRounding {
    /// The product, then the sum.
    #[default]
    Twice,
    /// Only the sum, as targets with a fused instruction do.
    Once,
}

/// Why a kernel or program could not be executed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InterpretError {
    /// The kernel breaks the language's rules.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// Arguments that do not fit the kernel or program.
    #[error("{place}: {message}")]
    Arguments {
        /// The kernel, or the program and its launch.
        place: String,
        /// What was given, what was expected.
        message: String,
    },
    /// An access outside of memory.
    #[error(
        "kernel `{kernel}`, task {task}: {access} of {count} elements of `{memory}` at position {position}, \
         but it has {elements} elements"
    )]
    OutOfBounds {
        /// The kernel's name.
        kernel: String,
        /// The task's number.
        task: i64,
        /// `load`, `store`, `gemm` or the name of a library function.
        access: &'static str,
        /// The memory's name.
        memory: String,
        /// Position of the first element.
        position: i64,
        /// Number of elements.
        count: i64,
        /// How many there are.
        elements: usize,
    },
    /// A call of a library function with regions that do not fit to each other.
    #[error("kernel `{kernel}`, task {task}: {message}")]
    Library {
        /// The kernel's name.
        kernel: String,
        /// The task's number.
        task: i64,
        /// The function, and what it expects.
        message: String,
    },
    /// An index divides by what is not above 0.
    #[error("kernel `{kernel}`, task {task}: an index divides by {divisor}, expected a divisor above 0")]
    Divisor {
        /// The kernel's name.
        kernel: String,
        /// The task's number.
        task: i64,
        /// The divisor.
        divisor: i64,
    },
}

/// Executes tasks of a kernel on buffers, one a buffer parameter, as bytes.
pub fn run_kernel(
    kernel: &Kernel,
    buffers: &mut [Vec<u8>],
    dims: &[i64],
    tasks: Range<i64>,
) -> Result<(), InterpretError> {
    run_kernel_rounding(kernel, MultiplyAddRounding::default(), buffers, dims, tasks)
}

/// The same with a choice of how multiply-add rounds.
pub fn run_kernel_rounding(
    kernel: &Kernel,
    rounding: MultiplyAddRounding,
    buffers: &mut [Vec<u8>],
    dims: &[i64],
    tasks: Range<i64>,
) -> Result<(), InterpretError> {
    verify_kernel(kernel)?;
    let compiled = CompiledKernel::new(kernel);
    Machine::new(&compiled, rounding, dims)?.run(buffers, tasks)
}
