//! Every way to execute a module.

mod compiled;
mod interpreted;

pub use compiled::{test_device, xla_plugin};

use kc_codegen::cuda::{self, Architecture, Cuda};
use kc_codegen::{Backend, Cranelift, mlir::Mlir};
use kc_ir::DType;
use kc_ir::tensor::Module;
use kc_passes::{Contraction, Target};
use kc_runtime::{Array, Session};
use std::sync::LazyLock;

/// A module in execution.
pub trait Execution {
    /// Executes an entry point.
    fn run(&mut self, entry: &str, inputs: &[&Array]) -> Result<Vec<Array>, String>;

    /// The state tensors, in the module's order.
    fn state(&mut self) -> Result<Vec<Array>, String>;

    /// Replaces a state tensor.
    fn set_state(&mut self, index: usize, value: &Array) -> Result<(), String>;

    /// The session, where a package is executed.
    fn session(&mut self) -> Option<&mut Session> {
        None
    }
}

/// A way to execute modules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runner {
    /// The tensor interpreter on differentiated graphs.
    Interpreter,
    /// The tensor interpreter on what equality saturation makes of them.
    Saturated,
    /// The kernel interpreter, with kernels of 64-byte vectors and generated contractions.
    Kernels,
    /// The kernel interpreter, with kernels for any CPU.
    KernelsBaseline,
    /// The kernel interpreter, with kernels for a GPU: blocks are tasks, the lanes of their threads those of registers.
    KernelsGpu,
    /// Machine code of the embedded back end.
    Cranelift,
    /// Machine code of the plug-in.
    Mlir,
    /// One op at a time.
    Eager,
    /// StableHLO on XLA's plug-in for the CPU.
    Xla,
    /// PTX on the runtime, executed by the test device.
    Cuda,
}

impl Runner {
    /// Those that execute our own kernels for a CPU, or interpret graphs and kernels.
    pub const OWN: [Runner; 7] = [
        Runner::Interpreter,
        Runner::Saturated,
        Runner::Kernels,
        Runner::KernelsBaseline,
        Runner::Cranelift,
        Runner::Mlir,
        Runner::Eager,
    ];

    /// Those that functions and control flow are compared on: our own, and XLA.
    pub fn common() -> impl Iterator<Item = Runner> {
        Runner::OWN.into_iter().chain([Runner::Xla])
    }

    /// All but the test device, which executes each thread of a GPU by itself.
    pub const ALL: [Runner; 9] = [
        Runner::Interpreter,
        Runner::Saturated,
        Runner::Kernels,
        Runner::KernelsBaseline,
        Runner::KernelsGpu,
        Runner::Cranelift,
        Runner::Mlir,
        Runner::Eager,
        Runner::Xla,
    ];

    /// The name in reports and in `gaps.txt`.
    pub const fn name(self) -> &'static str {
        match self {
            Runner::Interpreter => "interpreter",
            Runner::Saturated => "interpreter-saturated",
            Runner::Kernels => "kernel-interpreter",
            Runner::KernelsBaseline => "kernel-interpreter-baseline",
            Runner::KernelsGpu => "kernel-interpreter-gpu",
            Runner::Cranelift => "cranelift",
            Runner::Mlir => "mlir",
            Runner::Eager => "eager",
            Runner::Xla => "xla",
            Runner::Cuda => "cuda",
        }
    }

    /// Why it cannot be used on this machine.
    pub fn unavailable(self) -> Option<String> {
        match self {
            Runner::Mlir => MLIR.as_ref().err().cloned(),
            Runner::Cranelift | Runner::Eager => CRANELIFT.as_ref().err().cloned(),
            Runner::Xla => compiled::xla_plugin().err(),
            Runner::Cuda => CUDA.as_ref().err().cloned().or_else(|| test_device().err()),
            Runner::Interpreter
            | Runner::Saturated
            | Runner::Kernels
            | Runner::KernelsBaseline
            | Runner::KernelsGpu => None,
        }
    }

    /// Prepares a module, with its state zero. `threads` is for those that have threads.
    pub fn load(self, module: &Module, threads: usize) -> Result<Box<dyn Execution>, String> {
        Ok(match self {
            Runner::Interpreter => Box::new(interpreted::Graphs::differentiated(module)?),
            Runner::Saturated => Box::new(interpreted::Graphs::saturated(module, &Target::baseline())?),
            Runner::Kernels => Box::new(interpreted::Programs::new(module, &wide_target())?),
            Runner::KernelsBaseline => Box::new(interpreted::Programs::new(module, &Target::baseline())?),
            Runner::KernelsGpu => Box::new(interpreted::Programs::new(module, &cuda::target(Architecture::Sm80))?),
            Runner::Cranelift => Box::new(compiled::Compiled::new(module, cranelift()?, threads)?),
            Runner::Mlir => Box::new(compiled::Compiled::new(module, mlir()?, threads)?),
            Runner::Eager => Box::new(compiled::Dispatched::new(module, cranelift()?, threads)?),
            Runner::Xla => Box::new(compiled::Compiled::on_xla(module)?),
            Runner::Cuda => {
                test_device()?;
                let backend = CUDA.as_ref().map_err(Clone::clone)?;
                Box::new(compiled::Compiled::new(module, backend, threads)?)
            }
        })
    }
}

static CRANELIFT: LazyLock<Result<Cranelift, String>> =
    LazyLock::new(|| Cranelift::new().map_err(|error| error.to_string()));
static MLIR: LazyLock<Result<Mlir, String>> = LazyLock::new(|| Mlir::find().map_err(|error| error.to_string()));

static CUDA: LazyLock<Result<Cuda, String>> =
    LazyLock::new(|| Cuda::new(Architecture::Sm80).map_err(|error| error.to_string()));

/// The embedded back end.
pub fn cranelift() -> Result<&'static dyn Backend, String> {
    CRANELIFT.as_ref().map(|backend| backend as &dyn Backend).map_err(Clone::clone)
}

/// The plug-in.
pub fn mlir() -> Result<&'static dyn Backend, String> {
    MLIR.as_ref().map(|backend| backend as &dyn Backend).map_err(Clone::clone)
}

/// Prepares a module for the kernel interpreter without equality saturation.
pub fn load_scheduled(module: &Module, target: &Target) -> Result<Box<dyn Execution>, String> {
    Ok(Box::new(interpreted::Programs::scheduled(module, target)?))
}

/// A machine with 64-byte vectors, for which contractions are generated, and with caches so small that little ones are large.
pub fn wide_target() -> Target {
    Target {
        name: "wide".to_string(),
        vector_bytes: 64,
        vector_registers: 32,
        fused_multiply_add: true,
        contraction: Contraction::Generated,
        groups: vec![DType::Bf16, DType::I8],
        cache_bytes: [1 << 10, 1 << 12],
        ..Target::baseline()
    }
}
