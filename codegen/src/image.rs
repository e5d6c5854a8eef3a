//! Machine code as packages hold it.

/// Machine code of kernels: flat, position-independent, without load-time relocations. It may be mapped at any address
/// that is a multiple of [`kc_runtime::kc_abi::call::ALIGNMENT`]; a kernel's address has the type [`kc_runtime::kc_abi::call::KernelFn`].
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct CodeImage {
    /// Code and constants.
    pub bytes: Vec<u8>,
    /// Where each kernel starts, in bytes from the start of the image, in the order in which they were given.
    pub kernel_offsets: Vec<u64>,
    /// CPU features that the code needs, by their names in Rust (`sse4.1`, `avx512f`), sorted.
    pub features: Vec<String>,
    /// See [`kc_runtime::kc_abi::manifest::Code::parts`].
    pub parts: Vec<u64>,
}
