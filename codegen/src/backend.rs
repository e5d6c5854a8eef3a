//! What a code generator is to the rest of the compiler.

use crate::CodeImage;
use kc_ir::kernel::{Kernel, Program};
use kc_passes::Target;
use std::fmt;

/// Translates kernels to machine code.
///
/// The kernels that a back end sees are lowered: only functions that [`kc_ir::kernel::is_basic`] and
/// [`kc_ir::kernel::is_basic_binary`] name are left. What code needs from outside itself (matrix products, scalar
/// functions) it calls through the table in its [`kc_runtime::kc_abi::call::Environment`].
pub trait Backend: Send + Sync {
    /// The name in `--backend` and in packages.
    fn name(&self) -> &'static str;

    /// The machine that code is made for.
    fn target(&self) -> &Target;

    /// The same, for the constants that were measured on it.
    fn target_mut(&mut self) -> &mut Target;

    /// Architecture and system that code is made for, as packages name them.
    fn machine(&self) -> &str {
        kc_runtime::intrinsics::host_target()
    }

    /// Threads of the block that executes a task of a kernel; `None` where a thread does.
    fn block_threads(&self, _kernel: &Kernel) -> Option<u32> {
        None
    }

    /// Whether the machine can execute an entry point, beside its kernels.
    fn check(&self, _program: &Program) -> Result<(), CodegenError> {
        Ok(())
    }

    /// One image with all kernels; equal kernels give equal bytes.
    fn compile(&self, kernels: &[Kernel]) -> Result<CodeImage, CodegenError>;

    /// A readable form of what becomes of the kernels.
    fn emit(&self, kernels: &[Kernel], form: Form) -> Result<String, CodegenError>;
}

/// A text form of a stage within a back end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// Cranelift's intermediate representation.
    Clif,
    /// MLIR before it is lowered to the llvm dialect.
    Mlir,
    /// LLVM IR after optimisation.
    Llvm,
    /// Machine instructions.
    Asm,
    /// NVIDIA's virtual machine instructions.
    Ptx,
}

impl Form {
    /// The name in `--emit`.
    pub const fn name(self) -> &'static str {
        match self {
            Form::Clif => "clif",
            Form::Mlir => "mlir",
            Form::Llvm => "llvm",
            Form::Asm => "asm",
            Form::Ptx => "ptx",
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Why kernels could not be translated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodegenError {
    /// The back end cannot make code for this machine.
    #[error("the back end {backend} is not available: {reason}")]
    Unavailable {
        /// The back end.
        backend: String,
        /// What is missing and what to do about it.
        reason: String,
    },
    /// A kernel that the back end does not translate.
    #[error("the back end {backend} cannot translate kernel `{kernel}`: {reason}")]
    Kernel {
        /// The back end.
        backend: String,
        /// The kernel's name.
        kernel: String,
        /// What was met, what was expected.
        reason: String,
    },
    /// An object that cannot be made.
    #[error("no object can be made: {reason}")]
    Object {
        /// What was met, what to do.
        reason: String,
    },
    /// An entry point whose steps the back end has no code for.
    #[error("the back end {backend} cannot compile `{entry}`: {reason}")]
    Entry {
        /// The back end.
        backend: String,
        /// The entry point.
        entry: String,
        /// What was met, what to do.
        reason: String,
    },
    /// A text form that the back end does not have.
    #[error("the back end {backend} has no form `{form}`; expected one of: {expected}")]
    Form {
        /// The back end.
        backend: String,
        /// The form that was asked for.
        form: Form,
        /// The forms that it has.
        expected: String,
    },
}
