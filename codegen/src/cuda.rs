//! The back end `cuda`: PTX for NVIDIA's GPUs, by the MLIR plug-in. No GPU and no CUDA is needed to compile.
//!
//! | target | what has executed its code |
//! |---|---|
//! | `sm_80`, `sm_90a`, `sm_100a` | **no GPU**; `ptxas` assembles it, and the test device (`tests/device`) executes the suite of all back ends: whole for `sm_80`; files and functions of floats for the later ones, random kernels for `sm_100a` |
//!
//! | kernels | how |
//! |---|---|
//! | products of f16 and bf16 (`dot_general`, convolutions and their gradients) of at least 8 rows, columns and summed values, of which neighbours lie side by side | tensor cores (`mma.sync`) over tiles in shared memory that `cp.async` fills, two to four parts at a time |
//! | such of f32 | register tiles of up to 8 by 8 elements a thread, over the same tiles |
//! | such of f32 with [`Factors::Tf32`] (`kc compile --tf32`) | tensor cores, with factors in tf32: within [`kc_passes::TF32`] |
//! | of either, with too few tiles for the processors | sums in parts by a kernel of its own, added by that of the epilogue |
//! | other contractions | register tiles over operands that are read where they lie |
//! | loops over the elements of a sequence (`scan`, recurrent layers) | the launches of all rounds in the step's graph |
//! | attention of f32, forward, without dropout, up to 64 features | one kernel without the matrix of scores: blocks of 32 rows meet blocks of 64 columns in shared memory |
//! | other attention, and its gradient | products, and a softmax |
//! | `sort`, `argsort`, `top_k` | each element's place by comparison with all of its line: for lines of thousands of elements, not of millions |
//! | functions of the runtime's library (FFT, linear algebra) | refused |
//! | `wgmma`, TMA, cuBLASLt, cuDNN, several GPUs | absent |
//!
//! A task of a launch is a block of threads, over which the lanes of each register are spread; so kernels for a GPU are kernels with wide
//! registers, and the kernel interpreter executes them as it does any other.

use crate::mlir::interface::{Options, Output};
use crate::mlir::{Mlir, NotAvailable};
use crate::{Backend, CodeImage, CodegenError, Form};
use kc_ir::kernel::Kernel;
use kc_passes::{Contraction, CostConstants, Factors, Target, WinogradCost};
use std::fmt;
use std::str::FromStr;

const NAME: &str = "cuda";

/// LLVM's name of the machine.
const TRIPLE: &str = "nvptx64-nvidia-cuda";

/// An architecture of GPUs that PTX is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Architecture {
    /// Ampere (A100), and what runs its code: every later GPU.
    #[default]
    Sm80,
    /// Hopper (H100, H200), and no other.
    Sm90a,
    /// Blackwell (B200), and no other.
    Sm100a,
}

impl Architecture {
    /// All of them, the oldest first.
    pub const ALL: [Architecture; 3] = [Architecture::Sm80, Architecture::Sm90a, Architecture::Sm100a];

    /// The one whose code a GPU of a compute capability runs best; `None` where it runs none.
    pub fn for_capability(capability: (i32, i32)) -> Option<Self> {
        match capability {
            (10, 0) => Some(Architecture::Sm100a),
            (9, 0) => Some(Architecture::Sm90a),
            other => (other >= (8, 0)).then_some(Architecture::Sm80),
        }
    }

    /// The name in `--arch` and in PTX.
    pub const fn name(self) -> &'static str {
        match self {
            Architecture::Sm80 => "sm_80",
            Architecture::Sm90a => "sm_90a",
            Architecture::Sm100a => "sm_100a",
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Architecture {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Architecture::ALL.into_iter().find(|architecture| architecture.name() == text);
        found.ok_or_else(|| {
            let names = Architecture::ALL.map(Architecture::name).join(", ");
            format!("unknown architecture `{text}`; expected one of {names}")
        })
    }
}

/// A GPU, as scheduling and the cost model see it: blocks of 128 threads, 16 bytes of each register in a thread. The costs are those that the
/// data sheets of the architecture's first GPU say; no device has measured them.
pub fn target(architecture: Architecture) -> Target {
    const BLOCK_THREADS: u32 = 128;
    let (processors, bytes, flops) = match architecture {
        Architecture::Sm80 => (108, 1500.0, 19_500.0),
        Architecture::Sm90a => (132, 3300.0, 60_000.0),
        Architecture::Sm100a => (148, 7000.0, 75_000.0),
    };
    Target {
        name: format!("nvptx64 {architecture}"),
        vector_bytes: BLOCK_THREADS * 16,
        block_threads: BLOCK_THREADS,
        // tiles of up to 10 registers of 4 lanes a thread
        vector_registers: 16,
        fused_multiply_add: true,
        cache_bytes: [128 << 10, 32 << 20],
        threads: processors,
        contraction: Contraction::Streamed,
        factors: Factors::F32,
        groups: vec![],
        cost: CostConstants {
            bytes_per_nanosecond: bytes,
            contraction_flops_per_nanosecond: 0.5 * flops,
            elementwise_operations_per_nanosecond: 0.25 * flops,
            exponentials_per_nanosecond: 0.02 * flops,
            launch_nanoseconds: 2000.0,
            winograd: WinogradCost::default(),
        },
        tiles: vec![],
    }
}

/// The back end: PTX of one architecture.
#[derive(Debug)]
pub struct Cuda {
    plugin: Mlir,
    architecture: Architecture,
    target: Target,
}

impl Cuda {
    /// Opens the plug-in as [`Mlir::find`] does.
    pub fn new(architecture: Architecture) -> Result<Self, NotAvailable> {
        Ok(Cuda { plugin: Mlir::find()?, architecture, target: target(architecture) })
    }

    fn text(&self, kernels: &[Kernel], output: Output) -> Result<Vec<u8>, CodegenError> {
        let options = Options {
            output,
            triple: Some(TRIPLE.to_string()),
            tune: Some(self.architecture.name().to_string()),
            ..Options::default()
        };
        self.plugin.call_as(NAME, kernels, &options)
    }
}

impl Backend for Cuda {
    fn name(&self) -> &'static str {
        NAME
    }

    fn target(&self) -> &Target {
        &self.target
    }

    fn target_mut(&mut self) -> &mut Target {
        &mut self.target
    }

    fn machine(&self) -> &str {
        match self.architecture {
            Architecture::Sm80 => "nvptx64-sm_80",
            Architecture::Sm90a => "nvptx64-sm_90a",
            Architecture::Sm100a => "nvptx64-sm_100a",
        }
    }

    fn block_threads(&self, kernel: &Kernel) -> Option<u32> {
        Some(kernel.block_threads())
    }

    /// The image is one PTX module, in which `kernel_N` is the kernel of that number.
    fn compile(&self, kernels: &[Kernel]) -> Result<CodeImage, CodegenError> {
        let bytes = self.text(kernels, Output::Asm)?;
        let text = String::from_utf8_lossy(&bytes);
        let missing = |number: &usize| !text.contains(&format!(".entry kernel_{number}("));
        if let Some(number) = (0..kernels.len()).find(missing) {
            return Err(CodegenError::Kernel {
                backend: NAME.to_string(),
                kernel: kernels[number].name.clone(),
                reason: "the plug-in's PTX has no such kernel".to_string(),
            });
        }
        Ok(CodeImage { bytes, kernel_offsets: vec![0; kernels.len()], features: vec![], parts: vec![] })
    }

    fn emit(&self, kernels: &[Kernel], form: Form) -> Result<String, CodegenError> {
        let output = match form {
            Form::Mlir => Output::Mlir,
            Form::Llvm => Output::Llvm,
            Form::Ptx => Output::Asm,
            Form::Clif | Form::Asm => {
                let expected = [Form::Mlir, Form::Llvm, Form::Ptx].map(Form::name).join(", ");
                return Err(CodegenError::Form { backend: NAME.to_string(), form, expected });
            }
        };
        Ok(String::from_utf8_lossy(&self.text(kernels, output)?).into_owned())
    }
}
