//! NVIDIA's driver, opened at run time: what a session of a package for GPUs needs of it, each thing given back when it is dropped.
//!
//! A program with the feature `cuda` starts where there is no driver; [`CudaError`] says then what is missing. Every call of the
//! driver goes through `call`, so that nothing that it says is lost.

mod error;
mod memory;
mod stream;

pub use error::CudaError;
pub(crate) use memory::{DeviceMemory, PinnedMemory};
pub(crate) use stream::{Event, Graph, Stream};

use cudarc::driver::sys;
use error::call;
use std::ffi::{CStr, CString};
use std::sync::Arc;

/// The first version of CUDA whose driver has all functions that are called here, as `cuDriverGetVersion` says it: 12.0.
const OLDEST_DRIVER: i32 = 12_000;

/// Bytes for what the driver says of PTX that it refuses.
const LOG_BYTES: usize = 8192;

/// A GPU of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Its name: `NVIDIA H200`.
    pub name: String,
    /// Its compute capability: (9, 0) is `sm_90`.
    pub capability: (i32, i32),
    /// Bytes of its memory.
    pub memory: usize,
}

/// The driver's version, once it is known to be one that can be used.
fn open() -> Result<i32, CudaError> {
    // SAFETY: asks whether a library can be opened.
    if !unsafe { sys::is_culib_present() } {
        return Err(CudaError::NoDriver);
    }
    let mut version = 0;
    // SAFETY: a place for a number; the function may be called before all others.
    unsafe { call("cuDriverGetVersion", sys::cuDriverGetVersion(&mut version)) }?;
    if version < OLDEST_DRIVER {
        return Err(CudaError::OldDriver { has: version, needs: OLDEST_DRIVER, what: "this runtime".into() });
    }
    // SAFETY: no pointers.
    let code = unsafe { sys::cuInit(0) };
    if code == sys::CUresult::CUDA_ERROR_NO_DEVICE {
        return Err(CudaError::NoDevice);
    }
    call("cuInit", code)?;
    Ok(version)
}

fn device(ordinal: i32) -> Result<sys::CUdevice, CudaError> {
    let mut device = 0;
    // SAFETY: a place for the handle.
    unsafe { call("cuDeviceGet", sys::cuDeviceGet(&mut device, ordinal)) }?;
    Ok(device)
}

fn describe(device: sys::CUdevice) -> Result<DeviceInfo, CudaError> {
    use sys::CUdevice_attribute::{
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR as MAJOR, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR as MINOR,
    };
    let attribute = |which| {
        let mut value = 0;
        // SAFETY: a place for the number.
        unsafe { call("cuDeviceGetAttribute", sys::cuDeviceGetAttribute(&mut value, which, device)) }.map(|()| value)
    };
    let mut name = [0u8; 256];
    // SAFETY: a place for so many characters, the last of which stays zero.
    unsafe { call("cuDeviceGetName", sys::cuDeviceGetName(name.as_mut_ptr().cast(), 255, device)) }?;
    let mut memory = 0;
    // SAFETY: a place for the number.
    unsafe { call("cuDeviceTotalMem", sys::cuDeviceTotalMem_v2(&mut memory, device)) }?;
    let name = CStr::from_bytes_until_nul(&name).map_or_else(|_| String::new(), |name| name.to_string_lossy().into());
    Ok(DeviceInfo { name, capability: (attribute(MAJOR)?, attribute(MINOR)?), memory })
}

/// The driver's version (13000 is CUDA 13.0) and the GPUs that it finds.
///
/// # Errors
/// There is no driver, it is too old, or it finds no GPU.
pub fn devices() -> Result<(i32, Vec<DeviceInfo>), CudaError> {
    let version = open()?;
    let mut count = 0;
    // SAFETY: a place for the number.
    unsafe { call("cuDeviceGetCount", sys::cuDeviceGetCount(&mut count)) }?;
    let devices = (0..count).map(|ordinal| describe(device(ordinal)?)).collect::<Result<_, CudaError>>()?;
    Ok((version, devices))
}

/// A GPU in use: the driver's primary context of it, which all of a process share.
#[derive(Debug)]
pub(crate) struct Context {
    device: sys::CUdevice,
    handle: sys::CUcontext,
    info: DeviceInfo,
    version: i32,
}

// SAFETY: the driver's functions may be called from any thread that has made the context current.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}

impl Context {
    /// The first GPU.
    pub(crate) fn new() -> Result<Arc<Self>, CudaError> {
        let version = open()?;
        let device = device(0)?;
        let info = describe(device)?;
        let mut handle = std::ptr::null_mut();
        // SAFETY: a place for the handle.
        unsafe { call("cuDevicePrimaryCtxRetain", sys::cuDevicePrimaryCtxRetain(&mut handle, device)) }?;
        let context = Context { device, handle, info, version };
        context.make_current()?;
        Ok(Arc::new(context))
    }

    /// Makes it the one of this thread; every call of the driver is for the thread's.
    pub(crate) fn make_current(&self) -> Result<(), CudaError> {
        // SAFETY: the handle is valid while `self` is.
        unsafe { call("cuCtxSetCurrent", sys::cuCtxSetCurrent(self.handle)) }
    }

    /// Free and all bytes of the device's memory.
    fn memory(&self) -> Result<(usize, usize), CudaError> {
        let (mut free, mut total) = (0, 0);
        // SAFETY: places for two numbers.
        unsafe { call("cuMemGetInfo", sys::cuMemGetInfo_v2(&mut free, &mut total)) }?;
        Ok((free, total))
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: retained by `new`; nothing that was made in it is left, since all of that holds it.
        let _ = unsafe { sys::cuDevicePrimaryCtxRelease_v2(self.device) };
    }
}

/// A kernel of a module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Function(pub(super) sys::CUfunction);

// SAFETY: a handle; whoever uses it keeps its module.
unsafe impl Send for Function {}

/// PTX that the driver has assembled.
#[derive(Debug)]
pub(crate) struct Module {
    handle: sys::CUmodule,
    context: Arc<Context>,
}

// SAFETY: as a context.
unsafe impl Send for Module {}

impl Module {
    /// Has the driver assemble PTX, which ends without a zero. `target` is the architecture that it is for: `sm_90a`.
    pub(crate) fn load(context: &Arc<Context>, ptx: &[u8], target: &str) -> Result<Self, CudaError> {
        use sys::CUjit_option::{CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
        let text = CString::new(ptx).map_err(|_| CudaError::Ptx { message: "the text holds a zero".into() })?;
        let mut log = vec![0u8; LOG_BYTES];
        let mut options = [CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES];
        let mut values = [log.as_mut_ptr().cast(), std::ptr::without_provenance_mut(LOG_BYTES - 1)];
        let mut handle = std::ptr::null_mut();
        // SAFETY: a text that ends with a zero, and as many options as values: a buffer and its size.
        let code = unsafe {
            sys::cuModuleLoadDataEx(
                &mut handle,
                text.as_ptr().cast(),
                options.len() as u32,
                options.as_mut_ptr(),
                values.as_mut_ptr(),
            )
        };
        let (major, minor) = context.info.capability;
        match code {
            sys::CUresult::CUDA_ERROR_NO_BINARY_FOR_GPU => {
                let device = context.info.name.clone();
                Err(CudaError::Architecture { package: target.into(), device, own: format!("sm_{major}{minor}") })
            }
            sys::CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION => {
                Err(CudaError::OldPtx { has: context.version, version: ptx_version(ptx) })
            }
            sys::CUresult::CUDA_ERROR_INVALID_PTX => {
                let log = CStr::from_bytes_until_nul(&log).map_or_else(|_| "".into(), CStr::to_string_lossy);
                Err(CudaError::Ptx { message: log.trim().into() })
            }
            code => {
                call("cuModuleLoadDataEx", code)?;
                Ok(Module { handle, context: context.clone() })
            }
        }
    }

    /// The kernel of that name.
    pub(crate) fn function(&self, name: &str) -> Result<Function, CudaError> {
        let text = CString::new(name).map_err(|_| CudaError::Ptx { message: format!("the name {name:?}") })?;
        let mut function = std::ptr::null_mut();
        // SAFETY: a place for the handle, a text that ends with a zero.
        let code = unsafe { sys::cuModuleGetFunction(&mut function, self.handle, text.as_ptr()) };
        if code == sys::CUresult::CUDA_ERROR_NOT_FOUND {
            return Err(CudaError::Ptx { message: format!("it has no kernel `{name}`") });
        }
        call("cuModuleGetFunction", code)?;
        Ok(Function(function))
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        if self.context.make_current().is_ok() {
            // SAFETY: loaded by `load`; its kernels are not launched any more.
            let _ = unsafe { sys::cuModuleUnload(self.handle) };
        }
    }
}

/// The version that PTX says it has: `8.6`.
fn ptx_version(ptx: &[u8]) -> String {
    let text = String::from_utf8_lossy(ptx);
    let line = text.lines().find_map(|line| line.trim().strip_prefix(".version"));
    line.map_or_else(|| "unknown".into(), |version| version.trim().into())
}
