//! Work in order, and what orders the work of two streams.

use super::error::call;
use super::{Context, CudaError, Function};
use cudarc::driver::sys;
use std::ffi::c_void;
use std::sync::Arc;

/// Work of the device that is done in order.
#[derive(Debug)]
pub(crate) struct Stream {
    handle: sys::CUstream,
    context: Arc<Context>,
}

// SAFETY: the driver's functions may be called from any thread that has made the context current.
unsafe impl Send for Stream {}

impl Stream {
    /// A stream that waits for no other.
    pub(crate) fn new(context: &Arc<Context>) -> Result<Self, CudaError> {
        let mut handle = std::ptr::null_mut();
        let flags = sys::CUstream_flags::CU_STREAM_NON_BLOCKING as u32;
        // SAFETY: a place for the handle.
        unsafe { call("cuStreamCreate", sys::cuStreamCreate(&mut handle, flags)) }?;
        Ok(Stream { handle, context: context.clone() })
    }

    /// Waits until all its work is done. What went wrong meanwhile is this call's error.
    pub(crate) fn synchronize(&self) -> Result<(), CudaError> {
        // SAFETY: the handle is valid while `self` is.
        unsafe { call("cuStreamSynchronize", sys::cuStreamSynchronize(self.handle)) }
    }

    /// Has its later work wait for what an event was recorded behind last.
    pub(crate) fn wait(&self, event: &Event) -> Result<(), CudaError> {
        // SAFETY: both handles are valid.
        unsafe { call("cuStreamWaitEvent", sys::cuStreamWaitEvent(self.handle, event.handle, 0)) }
    }

    /// Copies bytes to the device.
    ///
    /// # Safety
    /// `from` must be pinned memory of so many bytes, which nobody writes before the copy is done; `to` memory of the device.
    pub(crate) unsafe fn copy_to_device(&self, to: *mut u8, from: *const u8, bytes: usize) -> Result<(), CudaError> {
        if bytes == 0 {
            return Ok(());
        }
        let (to, from) = (to.addr() as u64, from.cast::<c_void>());
        // SAFETY: by the caller.
        unsafe { call("cuMemcpyHtoDAsync", sys::cuMemcpyHtoDAsync_v2(to, from, bytes, self.handle)) }
    }

    /// Copies bytes to the host.
    ///
    /// # Safety
    /// `to` must be pinned memory of so many bytes, which nobody touches before the copy is done; `from` memory of the device.
    pub(crate) unsafe fn copy_to_host(&self, to: *mut u8, from: *const u8, bytes: usize) -> Result<(), CudaError> {
        if bytes == 0 {
            return Ok(());
        }
        let (to, from) = (to.cast::<c_void>(), from.addr() as u64);
        // SAFETY: by the caller.
        unsafe { call("cuMemcpyDtoHAsync", sys::cuMemcpyDtoHAsync_v2(to, from, bytes, self.handle)) }
    }

    /// Launches a kernel of blocks along x.
    ///
    /// # Safety
    /// `parameters` must point to as many values as the kernel has parameters, each of its type, which the kernel may follow.
    pub(crate) unsafe fn launch(
        &self,
        function: Function,
        blocks: u32,
        threads: u32,
        parameters: &mut [*mut c_void],
    ) -> Result<(), CudaError> {
        let (parameters, none) = (parameters.as_mut_ptr(), std::ptr::null_mut());
        // SAFETY: by the caller.
        let code =
            unsafe { sys::cuLaunchKernel(function.0, blocks, 1, 1, threads, 1, 1, 0, self.handle, parameters, none) };
        call("cuLaunchKernel", code)
    }

    /// Makes a graph of what `give` gives to the stream, which is not done then.
    pub(crate) fn capture<E: From<CudaError>>(&self, give: impl FnOnce() -> Result<(), E>) -> Result<Graph, E> {
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the handle is valid.
        unsafe { call("cuStreamBeginCapture", sys::cuStreamBeginCapture_v2(self.handle, mode)) }?;
        let given = give();
        let mut graph = std::ptr::null_mut();
        // SAFETY: a place for the handle; the capture was begun above.
        let ended = unsafe { call("cuStreamEndCapture", sys::cuStreamEndCapture(self.handle, &mut graph)) };
        let mut executable = std::ptr::null_mut();
        let made = given.and_then(|()| {
            ended?;
            // SAFETY: a place for the handle, a graph.
            let code = unsafe { sys::cuGraphInstantiateWithFlags(&mut executable, graph, 0) };
            Ok(call("cuGraphInstantiate", code)?)
        });
        if !graph.is_null() {
            // SAFETY: made above; what was made of it does not need it.
            let _ = unsafe { sys::cuGraphDestroy(graph) };
        }
        made?;
        Ok(Graph { handle: executable, context: self.context.clone() })
    }

    /// Gives a graph's work to the stream.
    ///
    /// # Safety
    /// The memory that it was made for must be there.
    pub(crate) unsafe fn replay(&self, graph: &Graph) -> Result<(), CudaError> {
        // SAFETY: by the caller; both handles are valid.
        unsafe { call("cuGraphLaunch", sys::cuGraphLaunch(graph.handle, self.handle)) }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.context.make_current().is_ok() {
            // SAFETY: made by `new`; the driver does what work is left.
            let _ = unsafe { sys::cuStreamDestroy_v2(self.handle) };
        }
    }
}

/// A place in a stream's work.
#[derive(Debug)]
pub(crate) struct Event {
    handle: sys::CUevent,
    context: Arc<Context>,
}

// SAFETY: as a stream.
unsafe impl Send for Event {}

impl Event {
    /// An event that was not recorded: who waits for it goes on.
    pub(crate) fn new(context: &Arc<Context>) -> Result<Self, CudaError> {
        let mut handle = std::ptr::null_mut();
        let flags = sys::CUevent_flags::CU_EVENT_DISABLE_TIMING as u32;
        // SAFETY: a place for the handle.
        unsafe { call("cuEventCreate", sys::cuEventCreate(&mut handle, flags)) }?;
        Ok(Event { handle, context: context.clone() })
    }

    /// Puts it behind the work that the stream has.
    pub(crate) fn record(&self, stream: &Stream) -> Result<(), CudaError> {
        // SAFETY: both handles are valid.
        unsafe { call("cuEventRecord", sys::cuEventRecord(self.handle, stream.handle)) }
    }

    /// Waits until the stream has come to it.
    pub(crate) fn synchronize(&self) -> Result<(), CudaError> {
        // SAFETY: the handle is valid.
        unsafe { call("cuEventSynchronize", sys::cuEventSynchronize(self.handle)) }
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        if self.context.make_current().is_ok() {
            // SAFETY: made by `new`.
            let _ = unsafe { sys::cuEventDestroy_v2(self.handle) };
        }
    }
}

/// Work that was captured and made ready to be done many times.
#[derive(Debug)]
pub(crate) struct Graph {
    handle: sys::CUgraphExec,
    context: Arc<Context>,
}

// SAFETY: as a stream; one thread uses it at a time.
unsafe impl Send for Graph {}

impl Drop for Graph {
    fn drop(&mut self) {
        if self.context.make_current().is_ok() {
            // SAFETY: made by `capture`; work that was given to streams goes on.
            let _ = unsafe { sys::cuGraphExecDestroy(self.handle) };
        }
    }
}
