//! Code images in executable memory.

use kc_abi::call::{Environment, KernelFn};
use kc_ir::kernel::Kernel;
use kc_mlir::interface::{Options, decode_image};

/// A compiled image that can be called.
pub struct Loaded {
    memory: *mut u8,
    length: usize,
    offsets: Vec<u64>,
    /// Instruction sets that the code needs.
    pub features: Vec<String>,
}

impl Loaded {
    /// Compiles for this machine and maps the code.
    pub fn compile(kernels: &[Kernel], options: &Options) -> Result<Self, String> {
        let bytes = kc_mlir::compile(kernels, options).map_err(|error| error.to_string())?;
        let (header, code) = decode_image(&bytes).ok_or("no image")?;
        // SAFETY: a fresh private mapping of at least one byte, filled before it becomes executable.
        let memory = unsafe {
            let memory = libc::mmap(
                std::ptr::null_mut(),
                code.len().max(1),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            if memory == libc::MAP_FAILED {
                return Err("mmap failed".to_string());
            }
            std::ptr::copy_nonoverlapping(code.as_ptr(), memory.cast(), code.len());
            if libc::mprotect(memory, code.len().max(1), libc::PROT_READ | libc::PROT_EXEC) != 0 {
                return Err("mprotect failed".to_string());
            }
            memory.cast()
        };
        Ok(Loaded { memory, length: code.len().max(1), offsets: header.kernel_offsets, features: header.features })
    }

    /// Runs tasks of a kernel.
    ///
    /// # Safety
    /// As for [`KernelFn`].
    pub unsafe fn run(
        &self,
        kernel: usize,
        buffers: &[*mut u8],
        dims: &[i64],
        tasks: std::ops::Range<i64>,
        environment: &Environment,
    ) {
        // SAFETY: the offset is that of a function of this signature; the rest is the caller's promise.
        unsafe {
            let function: KernelFn = std::mem::transmute(self.memory.add(self.offsets[kernel] as usize));
            function(buffers.as_ptr(), dims.as_ptr(), tasks.start, tasks.end, environment);
        }
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `compile`.
        unsafe { libc::munmap(self.memory.cast(), self.length) };
    }
}
