//! A plug-in's devices on this machine.

use super::api::{Plugin, arguments, call, mlir, text};
use super::bindings::*;
use super::processes::{self, Link, Processes};
use super::{Buffer, CompileOptions, Executable, PjrtError};
use crate::array::Array;
use kc_abi::DType;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// A plug-in at work: devices, and what lies on them.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    plugin: &'static Plugin,
    client: *mut PJRT_Client,
    everywhere: Vec<Device>,
    devices: Vec<Device>,
    platform: String,
    /// What the plug-in's callbacks are given; they are called no more behind the client's end.
    link: Option<Box<Link>>,
}

/// A device of a client.
#[derive(Clone, Debug)]
pub struct Device {
    /// Its kind, such as `TPU v5 lite`.
    pub kind: String,
    /// The number by which programs name it, different from those of all others, also of other processes.
    pub id: u64,
    /// The number of the process that may use it.
    pub process: usize,
    pub(super) device: *mut PJRT_Device,
}

impl Device {
    /// # Safety
    /// The device must be one of the plug-in's, and alive.
    unsafe fn describe(plugin: &'static Plugin, device: *mut PJRT_Device) -> Result<Self, PjrtError> {
        let mut get = arguments!(PJRT_Device_GetDescription_Args { device: device });
        call!(plugin, PJRT_Device_GetDescription, get)?;
        let device_description = get.fields.device_description;
        let mut kind = arguments!(PJRT_DeviceDescription_Kind_Args { device_description: device_description });
        call!(plugin, PJRT_DeviceDescription_Kind, kind)?;
        let mut id = arguments!(PJRT_DeviceDescription_Id_Args { device_description: device_description });
        call!(plugin, PJRT_DeviceDescription_Id, id)?;
        let mut process =
            arguments!(PJRT_DeviceDescription_ProcessIndex_Args { device_description: device_description });
        call!(plugin, PJRT_DeviceDescription_ProcessIndex, process)?;
        // SAFETY: what the plug-in gave.
        let kind = unsafe { text(kind.fields.device_kind, kind.fields.device_kind_size) };
        let (id, process) = (id.fields.id.max(0) as u64, process.fields.process_index.max(0) as usize);
        Ok(Device { kind, id, process, device })
    }
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
    /// threads of its own. With several processes, each has to make its clients in the same order.
    pub fn shared(plugin: &'static Plugin, processes: Option<&Processes>) -> Result<Self, PjrtError> {
        static CLIENTS: Mutex<BTreeMap<PathBuf, Weak<Inner>>> = Mutex::new(BTreeMap::new());
        let mut clients = CLIENTS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(inner) = clients.get(plugin.path()).and_then(Weak::upgrade) {
            return Ok(Client(inner));
        }
        let client = match processes {
            Some(processes) => Self::joined(plugin, processes)?,
            None => Self::new(plugin)?,
        };
        clients.insert(plugin.path().to_path_buf(), Arc::downgrade(&client.0));
        Ok(client)
    }

    /// The devices that the plug-in has on this machine, or finds in a slice of which this machine is a part.
    pub fn new(plugin: &'static Plugin) -> Result<Self, PjrtError> {
        Self::create(plugin, None)
    }

    /// The devices that the plug-in has in all processes, which call this each.
    ///
    /// # Errors
    /// Also where the plug-in joins no processes, or some are not there in time.
    pub fn joined(plugin: &'static Plugin, processes: &Processes) -> Result<Self, PjrtError> {
        let client = Self::create(plugin, Some(Box::new(processes.link()?)))?;
        let shown = client.all_devices().iter().map(|device| device.process).collect::<BTreeSet<_>>().len();
        match shown == processes.count() {
            true => {
                client.0.link.iter().try_for_each(|link| processes.made(link))?;
                Ok(client)
            }
            false => Err(PjrtError::Alone { path: plugin.path().into(), shown, expected: processes.count() }),
        }
    }

    fn create(plugin: &'static Plugin, link: Option<Box<Link>>) -> Result<Self, PjrtError> {
        let none = |message: String| PjrtError::NoDevices { path: plugin.path().into(), message };
        let mut create = arguments!(PJRT_Client_Create_Args {});
        let options = link.as_ref().map(|link| link.options());
        if let (Some(link), Some(options)) = (&link, &options) {
            let user = (&raw const **link).cast_mut().cast();
            let fields = &mut create.fields;
            (fields.create_options, fields.num_options) = (options.as_ptr(), options.len());
            fields.kv_get_callback = Some(processes::get);
            fields.kv_get_user_arg = user;
            fields.kv_put_callback = Some(processes::put);
            fields.kv_put_user_arg = user;
            fields.kv_try_get_callback = Some(processes::try_get);
            fields.kv_try_get_user_arg = user;
        }
        call!(plugin, PJRT_Client_Create, create).map_err(|error| match error {
            PjrtError::Xla { message, .. } => none(message),
            other => other,
        })?;
        let client = create.fields.client;
        let (everywhere, devices) = (Vec::new(), Vec::new());
        let mut inner = Inner { plugin, client, everywhere, devices, platform: String::new(), link };
        let mut name = arguments!(PJRT_Client_PlatformName_Args { client: client });
        call!(plugin, PJRT_Client_PlatformName, name)?;
        // SAFETY: what the plug-in gave, which lives as long as the client.
        inner.platform = unsafe { text(name.fields.platform_name, name.fields.platform_name_size) };
        let mut everywhere = arguments!(PJRT_Client_Devices_Args { client: client });
        call!(plugin, PJRT_Client_Devices, everywhere)?;
        let mut own = arguments!(PJRT_Client_AddressableDevices_Args { client: client });
        call!(plugin, PJRT_Client_AddressableDevices, own)?;
        let (everywhere, own) = (&everywhere.fields, &own.fields);
        for (list, count, devices) in [
            (everywhere.devices, everywhere.num_devices, &mut inner.everywhere),
            (own.addressable_devices, own.num_addressable_devices, &mut inner.devices),
        ] {
            for i in 0..count {
                // SAFETY: within the list, whose devices live as long as the client.
                devices.push(unsafe { Device::describe(plugin, *list.add(i)) }?);
            }
        }
        if inner.devices.is_empty() {
            return Err(none("its list of devices is empty".into()));
        }
        inner.everywhere.sort_by_key(|device| device.id);
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

    /// The devices of all processes, by their numbers.
    pub fn all_devices(&self) -> &[Device] {
        &self.0.everywhere
    }

    /// The devices of a program that is partitioned so: the first of all processes, or one of this process.
    pub fn devices_of(&self, partitions: usize) -> &[Device] {
        match partitions {
            0 | 1 => &self.0.devices[..1],
            many => &self.0.everywhere[..many.min(self.0.everywhere.len())],
        }
    }

    /// Compiles StableHLO text for [`Client::devices_of`] its partitions.
    pub fn compile(&self, text: &str, options: &CompileOptions) -> Result<Executable, PjrtError> {
        let mut code = text.as_bytes().to_vec();
        let devices: Vec<u64> = self.devices_of(options.partitions).iter().map(|device| device.id).collect();
        let options = options.encode(self.platform(), &devices);
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
