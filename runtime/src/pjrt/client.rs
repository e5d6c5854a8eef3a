//! A plug-in's devices on this machine.

use super::api::{Plugin, arguments, call, mlir, text};
use super::bindings::*;
use super::{Buffer, CompileOptions, Executable, PjrtError};
use crate::array::Array;
use kc_abi::DType;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// A plug-in at work: devices, and what lies on them.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    plugin: &'static Plugin,
    client: *mut PJRT_Client,
    devices: Vec<Device>,
    platform: String,
}

/// A device of a client.
#[derive(Clone, Debug)]
pub struct Device {
    /// Its kind, such as `TPU v5 lite`.
    pub kind: String,
    pub(super) device: *mut PJRT_Device,
}

// SAFETY: the API's objects may be used from any thread.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}
// SAFETY: as above; it lives as long as its client, and is nothing by itself.
unsafe impl Send for Device {}
// SAFETY: as above.
unsafe impl Sync for Device {}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Client({}, {} devices)", self.0.platform, self.0.devices.len())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let mut destroy = arguments!(PJRT_Client_Destroy_Args { client: self.client });
        // a client that cannot be destroyed is left
        let _ = call!(self.plugin, PJRT_Client_Destroy, destroy);
    }
}

impl Client {
    /// The client that others of this process use, where there is one, else a new one: a TPU belongs to one client alone, and each has
    /// threads of its own.
    pub fn shared(plugin: &'static Plugin) -> Result<Self, PjrtError> {
        static CLIENTS: Mutex<BTreeMap<PathBuf, Weak<Inner>>> = Mutex::new(BTreeMap::new());
        let mut clients = CLIENTS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(inner) = clients.get(plugin.path()).and_then(Weak::upgrade) {
            return Ok(Client(inner));
        }
        let client = Self::new(plugin)?;
        clients.insert(plugin.path().to_path_buf(), Arc::downgrade(&client.0));
        Ok(client)
    }

    /// The devices that the plug-in has on this machine.
    pub fn new(plugin: &'static Plugin) -> Result<Self, PjrtError> {
        let none = |message: String| PjrtError::NoDevices { path: plugin.path().into(), message };
        let mut create = arguments!(PJRT_Client_Create_Args {});
        call!(plugin, PJRT_Client_Create, create).map_err(|error| match error {
            PjrtError::Xla { message, .. } => none(message),
            other => other,
        })?;
        let client = create.fields.client;
        let mut inner = Inner { plugin, client, devices: Vec::new(), platform: String::new() };
        let mut name = arguments!(PJRT_Client_PlatformName_Args { client: client });
        call!(plugin, PJRT_Client_PlatformName, name)?;
        // SAFETY: what the plug-in gave, which lives as long as the client.
        inner.platform = unsafe { text(name.fields.platform_name, name.fields.platform_name_size) };
        let mut devices = arguments!(PJRT_Client_AddressableDevices_Args { client: client });
        call!(plugin, PJRT_Client_AddressableDevices, devices)?;
        for i in 0..devices.fields.num_addressable_devices {
            // SAFETY: within the list.
            let device = unsafe { *devices.fields.addressable_devices.add(i) };
            let mut description = arguments!(PJRT_Device_GetDescription_Args { device: device });
            call!(plugin, PJRT_Device_GetDescription, description)?;
            let mut kind = arguments!(PJRT_DeviceDescription_Kind_Args {
                device_description: description.fields.device_description
            });
            call!(plugin, PJRT_DeviceDescription_Kind, kind)?;
            // SAFETY: what the plug-in gave.
            let kind = unsafe { text(kind.fields.device_kind, kind.fields.device_kind_size) };
            inner.devices.push(Device { kind, device });
        }
        if inner.devices.is_empty() {
            return Err(none("its list of devices is empty".into()));
        }
        Ok(Client(Arc::new(inner)))
    }

    /// The plug-in.
    pub fn plugin(&self) -> &'static Plugin {
        self.0.plugin
    }

    /// The platform's name, such as `cpu` or `tpu`.
    pub fn platform(&self) -> &str {
        &self.0.platform
    }

    /// The devices that this process may use.
    pub fn devices(&self) -> &[Device] {
        &self.0.devices
    }

    /// Compiles StableHLO text for the devices here.
    pub fn compile(&self, text: &str, options: &CompileOptions) -> Result<Executable, PjrtError> {
        let mut code = text.as_bytes().to_vec();
        let options = options.encode(self.platform());
        let program = mlir(&mut code);
        let mut compile = arguments!(PJRT_Client_Compile_Args {
            client: self.0.client,
            program: &raw const program.fields,
            compile_options: options.as_ptr().cast(),
            compile_options_size: options.len(),
        });
        call!(self.plugin(), PJRT_Client_Compile, compile)?;
        Executable::new(self.clone(), compile.fields.executable)
    }

    /// Loads what [`Executable::serialize`] gave, of the same plug-in.
    pub fn load(&self, bytes: &[u8]) -> Result<Executable, PjrtError> {
        let mut load = arguments!(PJRT_Executable_DeserializeAndLoad_Args {
            client: self.0.client,
            serialized_executable: bytes.as_ptr().cast(),
            serialized_executable_size: bytes.len(),
        });
        call!(self.plugin(), PJRT_Executable_DeserializeAndLoad, load)?;
        Executable::new(self.clone(), load.fields.loaded_executable)
    }

    /// A copy on a device of a tensor of these extents, whose elements are row-major. The transfer may end later; the memory may change
    /// as soon as this returns.
    ///
    /// # Errors
    /// Also where the bytes are not as many as the extents say.
    pub fn upload(&self, dtype: DType, shape: &[usize], bytes: &[u8], device: &Device) -> Result<Buffer, PjrtError> {
        let expected = shape.iter().try_fold(dtype.bytes(), |bytes, &extent| bytes.checked_mul(extent));
        if expected != Some(bytes.len()) {
            let message = format!("{} bytes were given for {dtype} of shape {shape:?}", bytes.len());
            return Err(PjrtError::Xla { function: "PJRT_Client_BufferFromHostBuffer", message });
        }
        let dims: Vec<i64> = shape.iter().map(|&extent| extent as i64).collect();
        let mut upload = arguments!(PJRT_Client_BufferFromHostBuffer_Args {
            client: self.0.client,
            data: bytes.as_ptr().cast(),
            type_: buffer_type(dtype),
            dims: dims.as_ptr(),
            num_dims: dims.len(),
            host_buffer_semantics: PJRT_HostBufferSemantics_PJRT_HostBufferSemantics_kImmutableOnlyDuringCall,
            device: device.device,
        });
        call!(self.plugin(), PJRT_Client_BufferFromHostBuffer, upload)?;
        let buffer = Buffer::new(self.clone(), upload.fields.buffer);
        super::Event::new(self.plugin(), upload.fields.done_with_host_buffer).wait()?;
        Ok(buffer)
    }

    /// Copies a buffer into an array of its dtype and shape, when it is computed.
    pub fn download(&self, buffer: &Buffer, array: &mut Array) -> Result<(), PjrtError> {
        buffer.read(array.bytes_mut())
    }
}

fn buffer_type(dtype: DType) -> PJRT_Buffer_Type {
    match dtype {
        DType::F64 => PJRT_Buffer_Type_PJRT_Buffer_Type_F64,
        DType::F32 => PJRT_Buffer_Type_PJRT_Buffer_Type_F32,
        DType::F16 => PJRT_Buffer_Type_PJRT_Buffer_Type_F16,
        DType::Bf16 => PJRT_Buffer_Type_PJRT_Buffer_Type_BF16,
        DType::I8 => PJRT_Buffer_Type_PJRT_Buffer_Type_S8,
        DType::I16 => PJRT_Buffer_Type_PJRT_Buffer_Type_S16,
        DType::I32 => PJRT_Buffer_Type_PJRT_Buffer_Type_S32,
        DType::I64 => PJRT_Buffer_Type_PJRT_Buffer_Type_S64,
        DType::U8 => PJRT_Buffer_Type_PJRT_Buffer_Type_U8,
        DType::U16 => PJRT_Buffer_Type_PJRT_Buffer_Type_U16,
        DType::U32 => PJRT_Buffer_Type_PJRT_Buffer_Type_U32,
        DType::U64 => PJRT_Buffer_Type_PJRT_Buffer_Type_U64,
        DType::Bool => PJRT_Buffer_Type_PJRT_Buffer_Type_PRED,
    }
}
