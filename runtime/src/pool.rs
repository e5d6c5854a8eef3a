//! The threads that execute launches.
//!
//! A job is a list of parts, divided into one range a thread before it starts. A thread executes its own range, then what
//! is left of the others'. Any thread may execute any part at any time, with the same bits: that is the contract of
//! [`KernelFn`]. Handing over a job takes no lock and allocates nothing.

#[cfg(not(feature = "threads"))]
mod alone;
#[cfg(feature = "threads")]
mod workers;

#[cfg(not(feature = "threads"))]
pub use alone::Pool;
#[cfg(feature = "threads")]
pub use workers::Pool;

use kc_abi::call::{Environment, Intrinsics, KernelFn};

/// Consecutive tasks of one launch.
#[derive(Clone, Copy, Debug)]
pub struct Part<K = Callable> {
    /// The kernel: its code, or its handle on a device.
    pub kernel: K,
    /// One pointer a buffer parameter.
    pub buffers: *const *mut u8,
    /// One value a dimension parameter.
    pub dims: *const i64,
    /// The first task.
    pub first_task: i64,
    /// One past the last task.
    pub end_task: i64,
}

/// A kernel in this process.
#[derive(Clone, Copy, Debug)]
pub struct Callable {
    /// Its code.
    pub function: KernelFn,
    /// What it may call.
    pub intrinsics: &'static Intrinsics,
}

impl Part {
    /// # Safety
    /// The contract of [`KernelFn`], with `scratch` as large as the kernel needs.
    unsafe fn execute(&self, scratch: *mut u8) {
        let Callable { function, intrinsics } = self.kernel;
        let environment = Environment { intrinsics, scratch };
        // SAFETY: by the caller.
        unsafe { function(self.buffers, self.dims, self.first_task, self.end_task, &environment) }
    }
}

/// Parts that do not depend on each other.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a, K = Callable> {
    /// The parts, at most [`MAXIMUM_PARTS`].
    pub parts: &'a [Part<K>],
    /// Thread `t` is given `parts[ends[t - 1]..ends[t]]` (from 0 for the first). Empty: the caller executes all.
    pub ends: &'a [u16],
    /// Scratch memory of thread 0; that of thread `t` starts `t * scratch_stride` bytes on.
    pub scratch: *mut u8,
    /// Bytes of scratch memory of one thread.
    pub scratch_stride: usize,
    /// Estimate of the work of all parts, in bytes moved plus operations.
    pub work: i64,
}

/// Steps of less work (bytes moved plus operations) than this are executed by the calling thread.
pub(crate) const DIVIDED_WORK: i64 = 1 << 20;
/// The largest number of parts of a job that is divided among threads.
pub const MAXIMUM_PARTS: usize = u16::MAX as usize;
