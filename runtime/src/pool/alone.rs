//! The calling thread alone.

use super::Job;

/// What executes jobs: the calling thread, where the feature `threads` is off.
#[derive(Debug)]
pub struct Pool(());

impl Pool {
    /// However many threads are asked for, it is one.
    pub fn new(_threads: usize) -> Self {
        Pool(())
    }

    /// 1
    pub fn threads(&self) -> usize {
        1
    }

    /// Executes a job.
    ///
    /// # Safety
    /// Every part must keep the contract of [`KernelFn`](kc_abi::call::KernelFn); scratch memory must be large enough for each kernel.
    pub unsafe fn run(&self, job: &Job) {
        for part in job.parts {
            // SAFETY: by the caller.
            unsafe { part.execute(job.scratch) };
        }
    }
}
