use crate::errors::errors;
use cudarc::driver::sys::{self, CUresult};
use std::ffi::{CStr, c_char};

errors! {
    /// Why a GPU cannot be used, or what went wrong on it.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum CudaError {
        /// There is no driver.
        #[error(
            "this machine has no NVIDIA driver (libcuda.so.1 was not found); install it, or compile the model with `--target cpu`"
        )]
        NoDriver,
        /// The driver finds no device.
        #[error("the NVIDIA driver finds no GPU (is one hidden by CUDA_VISIBLE_DEVICES?); or compile the model with `--target cpu`")]
        NoDevice,
        /// The driver is too old.
        #[error("the NVIDIA driver is one of CUDA {}, {what} needs CUDA {}; update the driver", version(*has), version(*needs))]
        OldDriver {
            /// Its version, as `cuDriverGetVersion` says it.
            has: i32,
            /// The version that is needed.
            needs: i32,
            /// For what.
            what: String,
        },
        /// The driver is older than the package's PTX.
        #[error(
            "the NVIDIA driver is one of CUDA {}, which does not read the package's PTX, version {version}; update the driver, or compile \
             the model with `--arch sm_80`, whose PTX is older", crate::cuda::error::version(*has)
        )]
        OldPtx {
            /// Its version.
            has: i32,
            /// What the package has.
            version: String,
        },
        /// The package is for other GPUs.
        #[error("the package is for {package}, this GPU ({device}) is {own}; compile the model for it, or with `--arch sm_80` for all")]
        Architecture {
            /// What the package is for.
            package: String,
            /// The GPU's name.
            device: String,
            /// What it is.
            own: String,
        },
        /// The PTX has errors.
        #[error("the NVIDIA driver cannot assemble the package's PTX: {message}; compile the model again")]
        Ptx {
            /// What the driver says.
            message: String,
        },
        /// Not enough memory.
        #[error(
            "the GPU has no memory for {bytes} bytes: {what} ({free} of {total} bytes are free); use smaller batches or a smaller \
             model, or end other programs on the GPU"
        )]
        OutOfMemory {
            /// What it is for.
            what: String,
            /// How many bytes.
            bytes: usize,
            /// Bytes that are free.
            free: usize,
            /// All bytes.
            total: usize,
        },
        /// A kernel did what it must not.
        #[error(
            "a kernel failed on the GPU ({name}: {text}); what was on the GPU is lost: start again from the last checkpoint, and please \
             report it with the model"
        )]
        Fault {
            /// The driver's name of the error.
            name: String,
            /// The driver's text.
            text: String,
        },
        /// The driver says no.
        #[error("the NVIDIA driver ({function}): {name}: {text}")]
        Driver {
            /// The function.
            function: &'static str,
            /// Its name of the error.
            name: String,
            /// Its text.
            text: String,
        }
    }
}

/// `12.4` of 12040.
pub(super) fn version(number: i32) -> String {
    format!("{}.{}", number / 1000, number % 1000 / 10)
}

/// What a function of the driver said.
pub(super) fn call(function: &'static str, code: CUresult) -> Result<(), CudaError> {
    if code == CUresult::CUDA_SUCCESS {
        return Ok(());
    }
    let (mut name, mut text) = (std::ptr::null(), std::ptr::null());
    // SAFETY: places for pointers to texts of the driver.
    unsafe {
        let _ = sys::cuGetErrorName(code, &mut name);
        let _ = sys::cuGetErrorString(code, &mut text);
    }
    let [name, text] = [name, text].map(|text: *const c_char| {
        // SAFETY: null, or a text that stays.
        let text = (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) });
        text.map_or_else(|| format!("error {}", code as u32), |text| text.to_string_lossy().into_owned())
    });
    // what a kernel did, by whichever call it comes to light
    let is_fault = matches!(code as u32, 214 | 220 | 226 | 700..=702 | 710 | 714..=720);
    Err(if is_fault { CudaError::Fault { name, text } } else { CudaError::Driver { function, name, text } })
}
