//! Machine code in memory that is first written, then executed, never both.

use crate::errors::errors;
use kc_abi::call::KernelFn;
use memmap2::{Mmap, MmapMut};

/// A flat position-independent code image, mapped for reading and execution.
#[derive(Debug)]
pub struct Image {
    memory: Option<Mmap>,
}

errors! {
    /// Why a code image cannot be used.
    #[derive(Debug)]
    pub enum ImageError {
        /// The system gave no executable memory.
        #[error("no executable memory for {bytes} bytes of code: {source}")]
        Memory {
            /// Size of the image.
            bytes: usize,
            /// The system's answer.
            source: std::io::Error,
        },
        /// A kernel outside the image.
        #[error("the kernel starts at byte {offset} of a code image of {bytes} bytes")]
        Offset {
            /// Where the kernel should start.
            offset: u64,
            /// Size of the image.
            bytes: usize,
        },
    }
}

impl Image {
    /// Maps a copy of `code`.
    pub fn load(code: &[u8]) -> Result<Self, ImageError> {
        if code.is_empty() {
            return Ok(Image { memory: None });
        }
        let failed = |source| ImageError::Memory { bytes: code.len(), source };
        let mut memory = MmapMut::map_anon(code.len()).map_err(failed)?;
        memory.copy_from_slice(code);
        let memory = memory.make_exec().map_err(failed)?;
        synchronise_instructions(&memory);
        Ok(Image { memory: Some(memory) })
    }

    /// The code.
    pub fn bytes(&self) -> &[u8] {
        self.memory.as_deref().unwrap_or_default()
    }

    /// The kernel that starts at byte `offset`.
    ///
    /// # Safety
    /// At `offset` a function of the convention [`KernelFn`] must start, made for this machine; it must not be called
    /// after the image is dropped.
    pub unsafe fn kernel(&self, offset: u64) -> Result<KernelFn, ImageError> {
        let code = self.bytes();
        let start = usize::try_from(offset).ok().filter(|&start| start < code.len());
        let start = start.ok_or(ImageError::Offset { offset, bytes: code.len() })?;
        // SAFETY: within the image; the caller says that a kernel starts there.
        Ok(unsafe { std::mem::transmute::<*const u8, KernelFn>(code.as_ptr().add(start)) })
    }
}

#[cfg(not(target_arch = "aarch64"))]
fn synchronise_instructions(_code: &[u8]) {}

/// Makes the instruction cache see what was written.
#[cfg(target_arch = "aarch64")]
fn synchronise_instructions(code: &[u8]) {
    use std::arch::asm;
    let cache_type: u64;
    // SAFETY: reads a register that user programs may read.
    unsafe { asm!("mrs {}, ctr_el0", out(reg) cache_type, options(nomem, nostack)) };
    let data_line = 4usize << ((cache_type >> 16) & 15);
    let instruction_line = 4usize << (cache_type & 15);
    let (start, end) = (code.as_ptr() as usize, code.as_ptr() as usize + code.len());
    for line in (start & !(data_line - 1)..end).step_by(data_line) {
        // SAFETY: cleans a line of mapped memory.
        unsafe { asm!("dc cvau, {}", in(reg) line, options(nostack)) };
    }
    // SAFETY: barriers.
    unsafe { asm!("dsb ish", options(nostack)) };
    for line in (start & !(instruction_line - 1)..end).step_by(instruction_line) {
        // SAFETY: invalidates a line of mapped memory.
        unsafe { asm!("ic ivau, {}", in(reg) line, options(nostack)) };
    }
    // SAFETY: barriers.
    unsafe { asm!("dsb ish", "isb", options(nostack)) };
}
