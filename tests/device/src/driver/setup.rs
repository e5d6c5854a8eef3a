//! What the device is, by the environment.

use super::Code;
use std::ffi::{CStr, c_int};
use std::io::Write;

/// The device.
pub struct Setup {
    /// Its architecture, major and minor; `None` where there is no device.
    pub capability: Option<(c_int, c_int)>,
    /// The driver's version.
    pub version: c_int,
    /// Bytes of its memory.
    pub bytes: u64,
    /// Whether copies are done as late as may be, as all else is.
    pub late_copies: bool,
    log: Option<std::path::PathBuf>,
}

impl Setup {
    /// See the table of variables.
    pub fn from_environment() -> Self {
        let text = |name: &str| std::env::var(name).ok();
        let number = |name: &str| text(name).and_then(|text| text.parse::<u64>().ok());
        Setup {
            capability: match text("KC_TEST_DEVICE").as_deref() {
                Some("none") => None,
                Some("80") => Some((8, 0)),
                Some("100") => Some((10, 0)),
                _ => Some((9, 0)),
            },
            version: number("KC_TEST_DEVICE_DRIVER").map_or(13_000, |version| version as c_int),
            bytes: number("KC_TEST_DEVICE_BYTES").unwrap_or(1 << 30),
            late_copies: text("KC_TEST_DEVICE_COPIES").as_deref() == Some("late"),
            log: std::env::var_os("KC_TEST_DEVICE_LOG").map(Into::into),
        }
    }

    /// Says what must not be.
    pub fn say(&self, what: &str) {
        let file = |path| std::fs::OpenOptions::new().create(true).append(true).open(path).ok();
        let line = format!("test device: {what}\n");
        let _ = match self.log.as_ref().and_then(file) {
            Some(mut file) => file.write_all(line.as_bytes()),
            None => std::io::stderr().write_all(line.as_bytes()),
        };
    }

    /// Whether the device executes PTX for an architecture: one with a letter is for that alone, another for all later ones.
    pub fn executes(&self, target: &str) -> bool {
        let Some((major, minor)) = self.capability else { return false };
        let own = major * 10 + minor;
        let Some(number) = target.strip_prefix("sm_") else { return false };
        match number.strip_suffix('a') {
            Some(number) => number.parse() == Ok(own),
            None => number.parse::<c_int>().is_ok_and(|number| number <= own),
        }
    }
}

/// The first version of CUDA whose driver reads a version of PTX.
pub fn version_for((major, minor): (u32, u32)) -> c_int {
    // PTX 8.6 came with CUDA 12.7
    let minor = if major == 8 && minor >= 6 { minor + 1 } else { minor };
    ((major + 4) * 1000 + minor * 10) as c_int
}

/// Name and meaning of an error.
pub fn error(code: Code) -> (&'static CStr, &'static CStr) {
    match code {
        super::SUCCESS => (c"CUDA_SUCCESS", c"no error"),
        super::INVALID_VALUE => (c"CUDA_ERROR_INVALID_VALUE", c"invalid argument"),
        super::OUT_OF_MEMORY => (c"CUDA_ERROR_OUT_OF_MEMORY", c"out of memory"),
        super::NOT_INITIALIZED => (c"CUDA_ERROR_NOT_INITIALIZED", c"initialization error"),
        super::NO_DEVICE => (c"CUDA_ERROR_NO_DEVICE", c"no CUDA-capable device is detected"),
        super::INVALID_CONTEXT => (c"CUDA_ERROR_INVALID_CONTEXT", c"invalid device context"),
        super::NO_BINARY_FOR_GPU => {
            (c"CUDA_ERROR_NO_BINARY_FOR_GPU", c"no kernel image is available for execution on the device")
        }
        super::INVALID_PTX => (c"CUDA_ERROR_INVALID_PTX", c"a PTX JIT compilation failed"),
        super::UNSUPPORTED_PTX_VERSION => {
            (c"CUDA_ERROR_UNSUPPORTED_PTX_VERSION", c"the provided PTX was compiled with an unsupported toolchain.")
        }
        super::ILLEGAL_ADDRESS => (c"CUDA_ERROR_ILLEGAL_ADDRESS", c"an illegal memory access was encountered"),
        _ => (c"CUDA_ERROR_UNKNOWN", c"unknown error"),
    }
}
