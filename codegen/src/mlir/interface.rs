//! The C interface between the loader and the plug-in. Both include this file, so it names nothing of either crate.

use serde::{Deserialize, Serialize};

/// Version of everything in this file and of the kernel IR's text form, which is what the plug-in reads: raised with every change of
/// either. The loader refuses a plug-in of another version.
pub const API_VERSION: u32 = 4;

/// `kc_mlir_api_version`: the plug-in's [`API_VERSION`].
pub type ApiVersionFn = unsafe extern "C" fn() -> u32;

/// `kc_mlir_compile`: reads a list of kernels in the kernel IR's text form and [`Options`] as JSON, both UTF-8, and fills
/// `output`. 0: `output` holds a code image ([`decode_image`]) or the text that was asked for; otherwise a [`Failure`] as
/// JSON. In both cases the caller hands `output` to `kc_mlir_free`.
pub type CompileFn = unsafe extern "C" fn(
    kernels: *const u8,
    kernels_length: usize,
    options: *const u8,
    options_length: usize,
    output: *mut Blob,
) -> i32;

/// `kc_mlir_free`: gives back what `kc_mlir_compile` allocated.
pub type FreeFn = unsafe extern "C" fn(blob: *mut Blob);

/// Bytes that the plug-in allocated.
#[repr(C)]
#[derive(Debug)]
pub struct Blob {
    /// First byte.
    pub data: *mut u8,
    /// Number of bytes.
    pub length: usize,
    /// Allocated bytes.
    pub capacity: usize,
}

/// What `kc_mlir_compile` gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// A code image.
    #[default]
    Image,
    /// MLIR as translated from the kernels.
    Mlir,
    /// LLVM IR after the optimising passes.
    Llvm,
    /// Assembly text.
    Asm,
    /// An object file with the kernels and [`Options::program`].
    Object,
}

/// What to compile for. Missing fields mean the machine that compiles.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// What is asked for.
    pub output: Output,
    /// LLVM's target triple; for a GPU, one of `nvptx64`, text alone can be asked for.
    pub triple: Option<String>,
    /// The CPU that instructions are scheduled for, as LLVM names it; the code runs on every CPU with `features`. Of a GPU the architecture that
    /// the code is for, such as `sm_90a`.
    pub tune: Option<String>,
    /// Instruction sets that the code may use, as Rust names them (`avx512f`, `bmi1`).
    pub features: Option<Vec<String>>,
    /// Functions and data around the kernels, as operations of MLIR's dialects llvm, scf and arith for the inside of a module; they
    /// call `@kernel_N` for the kernel of that number. For [`Output::Object`].
    pub program: String,
    /// The functions of the program that the object defines for others.
    pub exports: Vec<String>,
    /// Threads that compile; the result does not depend on their number.
    pub threads: Option<usize>,
}

/// Why there is no output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Name of the kernel at which it failed, if it was one.
    pub kernel: Option<String>,
    /// What was met, what was expected.
    pub message: String,
}

/// What stands before the code in an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageHeader {
    /// Byte offsets of the kernels' entry points in the code, in the order of the kernels.
    pub kernel_offsets: Vec<u64>,
    /// Instruction sets that the code needs, as Rust names them, sorted.
    pub features: Vec<String>,
    /// Byte offsets of the parts of the code that refer to nothing outside of themselves, ascending.
    #[serde(default)]
    pub parts: Vec<u64>,
}

/// The parts of an image: length of the header (8 bytes, little endian), [`ImageHeader`] as JSON, code. `None` for bytes that are no image.
pub fn decode_image(bytes: &[u8]) -> Option<(ImageHeader, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let (header, code) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    Some((serde_json::from_slice(header).ok()?, code))
}
