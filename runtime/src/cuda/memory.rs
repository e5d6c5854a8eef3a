//! Memory of the device, and memory of the host that the device copies from and to.

use super::error::call;
use super::{Context, CudaError};
use cudarc::driver::sys;
use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::Arc;

/// Memory of the device. It starts at a multiple of 256 bytes at least.
#[derive(Debug)]
pub(crate) struct DeviceMemory {
    address: u64,
    bytes: usize,
    context: Arc<Context>,
}

impl DeviceMemory {
    /// So many bytes (at least one is allocated), whose values are unknown; `what` names them where there is no memory.
    pub(crate) fn new(context: &Arc<Context>, bytes: usize, what: impl FnOnce() -> String) -> Result<Self, CudaError> {
        let mut address = 0;
        // SAFETY: a place for the address.
        let code = unsafe { sys::cuMemAlloc_v2(&mut address, bytes.max(1)) };
        if code == sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY {
            let (free, total) = context.memory()?;
            return Err(CudaError::OutOfMemory { what: what(), bytes, free, total });
        }
        call("cuMemAlloc", code)?;
        Ok(DeviceMemory { address, bytes, context: context.clone() })
    }

    /// Its first byte, as a pointer that only the device follows.
    pub(crate) fn pointer(&self) -> *mut u8 {
        std::ptr::without_provenance_mut(self.address as usize)
    }

    /// How many bytes it has.
    pub(crate) fn len(&self) -> usize {
        self.bytes
    }
}

impl Drop for DeviceMemory {
    fn drop(&mut self) {
        if self.context.make_current().is_ok() {
            // SAFETY: allocated by `new`; the driver waits for work that uses it.
            let _ = unsafe { sys::cuMemFree_v2(self.address) };
        }
    }
}

/// Memory of the host that stays where it is, so that copies go on while the program does.
#[derive(Debug)]
pub(crate) struct PinnedMemory {
    start: NonNull<u8>,
    bytes: usize,
    context: Arc<Context>,
}

// SAFETY: it is owned, and freed by any thread.
unsafe impl Send for PinnedMemory {}

impl PinnedMemory {
    /// So many bytes of zeros (at least one is allocated).
    pub(crate) fn new(context: &Arc<Context>, bytes: usize) -> Result<Self, CudaError> {
        let mut start: *mut c_void = std::ptr::null_mut();
        // SAFETY: a place for the pointer.
        unsafe { call("cuMemHostAlloc", sys::cuMemHostAlloc(&mut start, bytes.max(1), 0)) }?;
        let Some(start) = NonNull::new(start.cast::<u8>()) else {
            return Err(CudaError::Driver {
                function: "cuMemHostAlloc",
                name: "null".into(),
                text: "no memory was given".into(),
            });
        };
        // SAFETY: new memory of that size.
        unsafe { start.write_bytes(0, bytes.max(1)) };
        Ok(PinnedMemory { start, bytes, context: context.clone() })
    }

    /// Its first byte.
    pub(crate) fn pointer(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// How many bytes it has.
    pub(crate) fn len(&self) -> usize {
        self.bytes
    }
}

impl Drop for PinnedMemory {
    fn drop(&mut self) {
        if self.context.make_current().is_ok() {
            // SAFETY: allocated by `new`; who copied from it or to it has waited.
            let _ = unsafe { sys::cuMemFreeHost(self.start.as_ptr().cast()) };
        }
    }
}
