//! An opened plug-in, and how its functions are called.

use super::PjrtError;
use super::bindings::*;
use crate::errors::with_sources;
use libloading::Library;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// A plug-in in this process, which it stays in until the end: XLA's threads do not survive that its code is unloaded.
pub struct Plugin {
    api: *const PJRT_Api,
    path: PathBuf,
    attributes: BTreeMap<String, String>,
}

// SAFETY: the API's functions may be called from any thread, and its table is never written.
unsafe impl Send for Plugin {}
// SAFETY: as above.
unsafe impl Sync for Plugin {}

impl fmt::Debug for Plugin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Plugin({})", self.path.display())
    }
}

/// An argument of the API with zeros behind it, for what a newer plug-in reads there.
#[repr(C)]
pub(super) struct Padded<T> {
    pub(super) fields: T,
    rest: [u8; 256],
}

impl<T> Padded<T> {
    /// Zeros that say their size.
    ///
    /// # Safety
    /// `T` must be one of the API's structs: they start with `struct_size: usize`, and zeros are a value of each.
    pub(super) unsafe fn new() -> Self {
        // SAFETY: zeros are a value, and the first field is a usize.
        unsafe {
            let mut padded: Self = std::mem::zeroed();
            (&raw mut padded).cast::<usize>().write(size_of::<Self>());
            padded
        }
    }
}

/// Arguments of a function: a struct of the API, with fields set.
macro_rules! arguments {
    ($type:ident { $($field:ident: $value:expr),* $(,)? }) => {{
        // SAFETY: a struct of the API.
        #[allow(unused_mut, unused_unsafe)]
        let mut padded = unsafe { $crate::pjrt::api::Padded::<$crate::pjrt::bindings::$type>::new() };
        $(padded.fields.$field = $value;)*
        padded
    }};
}

/// Calls a function of the API with arguments made by `arguments!`; the fields that it fills can be read then.
macro_rules! call {
    ($plugin:expr, $function:ident, $arguments:expr) => {{
        let plugin: &$crate::pjrt::Plugin = $plugin;
        let place = std::mem::offset_of!($crate::pjrt::bindings::PJRT_Api, $function);
        // SAFETY: the table holds the field where it says that it is so long.
        let function = if plugin.has(place) { unsafe { (*plugin.api()).$function } } else { None };
        match function {
            None => Err(plugin.lacks(stringify!($function))),
            Some(function) => {
                // SAFETY: the arguments are the function's own struct, made of live pointers by the caller.
                let error = unsafe { function(&mut $arguments.fields) };
                plugin.check(stringify!($function), error)
            }
        }
    }};
}
pub(super) use {arguments, call};

/// A text of MLIR as the API takes programs.
pub(super) fn mlir(code: &mut [u8]) -> Padded<PJRT_Program> {
    const FORMAT: &[u8] = b"mlir";
    arguments!(PJRT_Program {
        code: code.as_mut_ptr().cast(),
        code_size: code.len(),
        format: FORMAT.as_ptr().cast(),
        format_size: FORMAT.len(),
    })
}

/// A text of the API.
///
/// # Safety
/// `pointer` must be null or readable for `length` bytes.
pub(super) unsafe fn text(pointer: *const std::os::raw::c_char, length: usize) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: the caller's.
    let bytes = unsafe { std::slice::from_raw_parts(pointer.cast::<u8>(), length) };
    String::from_utf8_lossy(bytes).into_owned()
}

/// The named values of the API as texts.
///
/// # Safety
/// `values` must be null or readable for `count` values.
#[allow(non_upper_case_globals)]
pub(super) unsafe fn named_values(values: *const PJRT_NamedValue, count: usize) -> BTreeMap<String, String> {
    if values.is_null() || count == 0 {
        return BTreeMap::new();
    }
    // SAFETY: the values say how long they are; a newer plug-in's may be longer than ours.
    let stride = unsafe { (*values).struct_size.max(size_of::<PJRT_NamedValue>()) };
    let value = |i: usize| {
        // SAFETY: within the values; the type says which member is there.
        unsafe {
            let value = &*values.byte_add(i * stride);
            let union = &value.__bindgen_anon_1;
            let shown = match value.type_ {
                PJRT_NamedValue_Type_PJRT_NamedValue_kString => text(union.string_value, value.value_size),
                PJRT_NamedValue_Type_PJRT_NamedValue_kInt64 => union.int64_value.to_string(),
                PJRT_NamedValue_Type_PJRT_NamedValue_kInt64List => {
                    let numbers = std::slice::from_raw_parts(union.int64_array_value, value.value_size);
                    numbers.iter().map(i64::to_string).collect::<Vec<_>>().join(".")
                }
                PJRT_NamedValue_Type_PJRT_NamedValue_kFloat => union.float_value.to_string(),
                PJRT_NamedValue_Type_PJRT_NamedValue_kBool => union.bool_value.to_string(),
                other => format!("a value of type {other}"),
            };
            (text(value.name, value.name_size), shown)
        }
    };
    (0..count).map(value).collect()
}

type GetPjrtApi = unsafe extern "C" fn() -> *const PJRT_Api;

impl Plugin {
    /// Opens the plug-in in that file, or gives the one that is open.
    pub fn open(path: &Path) -> Result<&'static Plugin, PjrtError> {
        static OPEN: Mutex<BTreeMap<PathBuf, &'static Plugin>> = Mutex::new(BTreeMap::new());
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let key = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        if let Some(plugin) = open.get(&key) {
            return Ok(plugin);
        }
        let plugin: &'static Plugin = Box::leak(Box::new(Self::load(path)?));
        open.insert(key, plugin);
        Ok(plugin)
    }

    fn load(path: &Path) -> Result<Plugin, PjrtError> {
        let failed = |reason: String| PjrtError::Open { path: path.into(), reason };
        let said = |error: libloading::Error| failed(with_sources(&error));
        // the system looks for a name without a folder elsewhere
        let file = std::path::absolute(path).map_err(|error| failed(error.to_string()))?;
        // SAFETY: the person named the file as a plug-in, and a plug-in's initialisers have no preconditions. `GetPjrtApi` gives a
        // table whose head says its size and version, which are looked at before anything behind them.
        let api = unsafe {
            let library = Library::new(&file).map_err(said)?;
            let api = {
                let get = library.get::<GetPjrtApi>(b"GetPjrtApi\0").map_err(said)?;
                get()
            };
            std::mem::forget(library);
            api
        };
        if api.is_null() {
            return Err(failed("`GetPjrtApi` gives no table".into()));
        }
        let mut plugin = Plugin { api, path: path.into(), attributes: BTreeMap::new() };
        let (major, minor) = plugin.version();
        if major != 0 {
            return Err(PjrtError::Version { path: path.into(), major, minor });
        }
        let mut initialize = arguments!(PJRT_Plugin_Initialize_Args {});
        call!(&plugin, PJRT_Plugin_Initialize, initialize)?;
        let mut attributes = arguments!(PJRT_Plugin_Attributes_Args {});
        if call!(&plugin, PJRT_Plugin_Attributes, attributes).is_ok() {
            // SAFETY: what the plug-in gave.
            plugin.attributes = unsafe { named_values(attributes.fields.attributes, attributes.fields.num_attributes) };
        }
        Ok(plugin)
    }

    /// The plug-in's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Major and minor version of the API that it speaks.
    pub fn version(&self) -> (i32, i32) {
        // SAFETY: the head of the table.
        let version = unsafe { &(*self.api).pjrt_api_version };
        (version.major_version, version.minor_version)
    }

    /// What it says of itself, such as `stablehlo_current_version`.
    pub fn attributes(&self) -> &BTreeMap<String, String> {
        &self.attributes
    }

    pub(super) fn api(&self) -> *const PJRT_Api {
        self.api
    }

    /// Whether the table is long enough for a pointer at that place.
    pub(super) fn has(&self, place: usize) -> bool {
        // SAFETY: the head of the table.
        unsafe { (*self.api).struct_size >= place + size_of::<usize>() }
    }

    pub(super) fn lacks(&self, function: &'static str) -> PjrtError {
        PjrtError::Old { path: self.path.clone(), minor: self.version().1, function }
    }

    /// The error of a call, with XLA's text.
    pub(super) fn check(&self, function: &'static str, error: *mut PJRT_Error) -> Result<(), PjrtError> {
        if error.is_null() {
            return Ok(());
        }
        // SAFETY: an error of this plug-in, which is destroyed once, behind its last use; the three functions are the oldest of the API.
        unsafe {
            let api = &*self.api;
            let mut message = arguments!(PJRT_Error_Message_Args { error: error });
            if let Some(read) = api.PJRT_Error_Message {
                read(&mut message.fields);
            }
            let message = text(message.fields.message, message.fields.message_size);
            let mut code = arguments!(PJRT_Error_GetCode_Args { error: error });
            if let Some(read) = api.PJRT_Error_GetCode {
                read(&mut code.fields);
            }
            let mut destroy = arguments!(PJRT_Error_Destroy_Args { error: error });
            if let Some(end) = api.PJRT_Error_Destroy {
                end(&mut destroy.fields);
            }
            let exhausted = code.fields.code == PJRT_Error_Code_PJRT_Error_Code_RESOURCE_EXHAUSTED;
            Err(match exhausted || message.contains("Out of memory") {
                true => PjrtError::OutOfMemory { function, message },
                false => PjrtError::Xla { function, message },
            })
        }
    }
}
