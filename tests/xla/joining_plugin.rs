//! A PJRT plug-in of two devices in each process, which finds those of other processes as XLA's plug-in for GPUs does: each process puts
//! what it has into the key-value store, the first one gathers it. It compiles and executes nothing. Built by `tests/processes.rs`.

#![allow(dead_code, non_camel_case_types, non_snake_case, non_upper_case_globals)]

use std::ffi::{c_char, c_int};

include!(env!("KC_PJRT_BINDINGS"));

/// Of each process.
const DEVICES: i64 = 2;

struct Error {
    code: PJRT_Error_Code,
    message: String,
}

struct Client {
    devices: Vec<*mut PJRT_Device>,
    own: std::ops::Range<usize>,
}

unsafe fn text(pointer: *const c_char, length: usize) -> String {
    unsafe { String::from_utf8_lossy(std::slice::from_raw_parts(pointer.cast(), length)).into_owned() }
}

fn error(code: PJRT_Error_Code, message: String) -> *mut PJRT_Error {
    Box::into_raw(Box::new(Error { code, message })).cast()
}

unsafe extern "C" fn make_error(code: PJRT_Error_Code, message: *const c_char, size: usize) -> *mut PJRT_Error {
    error(code, unsafe { text(message, size) })
}

unsafe extern "C" fn error_message(arguments: *mut PJRT_Error_Message_Args) {
    unsafe {
        let message = &(*(*arguments).error.cast::<Error>()).message;
        ((*arguments).message, (*arguments).message_size) = (message.as_ptr().cast(), message.len());
    }
}

unsafe extern "C" fn error_code(arguments: *mut PJRT_Error_GetCode_Args) -> *mut PJRT_Error {
    unsafe { (*arguments).code = (*(*arguments).error.cast::<Error>()).code };
    std::ptr::null_mut()
}

unsafe extern "C" fn error_destroy(arguments: *mut PJRT_Error_Destroy_Args) {
    drop(unsafe { Box::from_raw((*arguments).error.cast::<Error>()) });
}

unsafe extern "C" fn initialize(_: *mut PJRT_Plugin_Initialize_Args) -> *mut PJRT_Error {
    std::ptr::null_mut()
}

/// The store, as the client's creation was given it.
struct Store<'a>(&'a PJRT_Client_Create_Args, PJRT_CallbackError);

impl Store<'_> {
    fn put(&mut self, key: &str, value: &str) -> Result<(), *mut PJRT_Error> {
        let mut arguments = PJRT_KeyValuePutCallback_Args {
            struct_size: size_of::<PJRT_KeyValuePutCallback_Args>(),
            key: key.as_ptr().cast(),
            key_size: key.len(),
            value: value.as_ptr().cast(),
            value_size: value.len(),
            callback_error: &raw mut self.1,
            user_arg: self.0.kv_put_user_arg,
            ..Default::default()
        };
        let error = unsafe { self.0.kv_put_callback.expect("a way to put")(&mut arguments) };
        if error.is_null() { Ok(()) } else { Err(error) }
    }

    fn get(&mut self, key: &str) -> Result<String, *mut PJRT_Error> {
        let mut arguments = PJRT_KeyValueGetCallback_Args {
            struct_size: size_of::<PJRT_KeyValueGetCallback_Args>(),
            key: key.as_ptr().cast(),
            key_size: key.len(),
            timeout_in_ms: 60_000,
            callback_error: &raw mut self.1,
            user_arg: self.0.kv_get_user_arg,
            ..Default::default()
        };
        let error = unsafe { self.0.kv_get_callback.expect("a way to get")(&mut arguments) };
        if !error.is_null() {
            return Err(error);
        }
        let value = unsafe { text(arguments.value, arguments.value_size) };
        unsafe { arguments.value_deleter_callback.expect("values are freed")(arguments.value) };
        Ok(value)
    }

    /// Whether a key has a value now.
    fn has(&mut self, key: &str) -> bool {
        let mut arguments = PJRT_KeyValueTryGetCallback_Args {
            struct_size: size_of::<PJRT_KeyValueTryGetCallback_Args>(),
            key: key.as_ptr().cast(),
            key_size: key.len(),
            callback_error: &raw mut self.1,
            user_arg: self.0.kv_try_get_user_arg,
            ..Default::default()
        };
        let failed = unsafe { self.0.kv_try_get_callback.expect("a way to try")(&mut arguments) };
        if failed.is_null() {
            unsafe { arguments.value_deleter_callback.expect("values are freed")(arguments.value) };
            return true;
        }
        let failed = unsafe { Box::from_raw(failed.cast::<Error>()) };
        assert_eq!(failed.code, PJRT_Error_Code_PJRT_Error_Code_NOT_FOUND, "{}", failed.message);
        false
    }
}

unsafe fn join(arguments: &PJRT_Client_Create_Args) -> Result<Client, *mut PJRT_Error> {
    let options = match arguments.num_options {
        0 => &[],
        count => unsafe { std::slice::from_raw_parts(arguments.create_options, count) },
    };
    let option = |name: &str| {
        let named = options.iter().find(|option| unsafe { text(option.name, option.name_size) } == name);
        named.map(|option| unsafe { option.__bindgen_anon_1.int64_value })
    };
    let (id, count) = (option("node_id").unwrap_or(0), option("num_nodes").unwrap_or(1));
    let mut store = Store(arguments, Some(make_error));
    store.put(&format!("local/{id}"), &DEVICES.to_string())?;
    if id > 0 {
        // process 0 has all it needs now, and must not end before the others have it too
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    if !store.has(&format!("local/{id}")) || store.has("nobody puts this") {
        return Err(error(PJRT_Error_Code_PJRT_Error_Code_INTERNAL, "the store forgets or invents".to_string()));
    }
    if id == 0 {
        let mut total = 0i64;
        for process in 0..count {
            total += store.get(&format!("local/{process}"))?.parse::<i64>().expect("a number");
        }
        store.put("global", &total.to_string())?;
    }
    let total: usize = store.get("global")?.parse().expect("a number");
    // the API's pointers mean something to this file alone
    let devices = (0..total).map(|device| std::ptr::without_provenance_mut(device + 1)).collect();
    Ok(Client { devices, own: (id * DEVICES) as usize..((id + 1) * DEVICES) as usize })
}

unsafe extern "C" fn client_create(arguments: *mut PJRT_Client_Create_Args) -> *mut PJRT_Error {
    match unsafe { join(&*arguments) } {
        Ok(client) => {
            unsafe { (*arguments).client = Box::into_raw(Box::new(client)).cast() };
            std::ptr::null_mut()
        }
        Err(error) => error,
    }
}

unsafe extern "C" fn client_destroy(arguments: *mut PJRT_Client_Destroy_Args) -> *mut PJRT_Error {
    drop(unsafe { Box::from_raw((*arguments).client.cast::<Client>()) });
    std::ptr::null_mut()
}

unsafe extern "C" fn platform_name(arguments: *mut PJRT_Client_PlatformName_Args) -> *mut PJRT_Error {
    let name = "joining";
    unsafe { ((*arguments).platform_name, (*arguments).platform_name_size) = (name.as_ptr().cast(), name.len()) };
    std::ptr::null_mut()
}

unsafe extern "C" fn client_devices(arguments: *mut PJRT_Client_Devices_Args) -> *mut PJRT_Error {
    unsafe {
        let devices = &(*(*arguments).client.cast::<Client>()).devices;
        ((*arguments).devices, (*arguments).num_devices) = (devices.as_ptr(), devices.len());
    }
    std::ptr::null_mut()
}

unsafe extern "C" fn own_devices(arguments: *mut PJRT_Client_AddressableDevices_Args) -> *mut PJRT_Error {
    unsafe {
        let client = &*(*arguments).client.cast::<Client>();
        let own = &client.devices[client.own.clone()];
        ((*arguments).addressable_devices, (*arguments).num_addressable_devices) = (own.as_ptr(), own.len());
    }
    std::ptr::null_mut()
}

unsafe extern "C" fn description(arguments: *mut PJRT_Device_GetDescription_Args) -> *mut PJRT_Error {
    unsafe { (*arguments).device_description = (*arguments).device.cast() };
    std::ptr::null_mut()
}

unsafe extern "C" fn kind(arguments: *mut PJRT_DeviceDescription_Kind_Args) -> *mut PJRT_Error {
    let kind = "none";
    unsafe { ((*arguments).device_kind, (*arguments).device_kind_size) = (kind.as_ptr().cast(), kind.len()) };
    std::ptr::null_mut()
}

unsafe extern "C" fn device_id(arguments: *mut PJRT_DeviceDescription_Id_Args) -> *mut PJRT_Error {
    unsafe { (*arguments).id = (*arguments).device_description.addr() as c_int - 1 };
    std::ptr::null_mut()
}

unsafe extern "C" fn device_process(arguments: *mut PJRT_DeviceDescription_ProcessIndex_Args) -> *mut PJRT_Error {
    unsafe { (*arguments).process_index = ((*arguments).device_description.addr() as c_int - 1) / DEVICES as c_int };
    std::ptr::null_mut()
}

#[unsafe(no_mangle)]
extern "C" fn GetPjrtApi() -> *const PJRT_Api {
    let mut api: PJRT_Api = unsafe { std::mem::zeroed() };
    api.struct_size = size_of::<PJRT_Api>();
    api.pjrt_api_version.minor_version = 90;
    api.PJRT_Error_Message = Some(error_message);
    api.PJRT_Error_GetCode = Some(error_code);
    api.PJRT_Error_Destroy = Some(error_destroy);
    api.PJRT_Plugin_Initialize = Some(initialize);
    api.PJRT_Client_Create = Some(client_create);
    api.PJRT_Client_Destroy = Some(client_destroy);
    api.PJRT_Client_PlatformName = Some(platform_name);
    api.PJRT_Client_Devices = Some(client_devices);
    api.PJRT_Client_AddressableDevices = Some(own_devices);
    api.PJRT_Device_GetDescription = Some(description);
    api.PJRT_DeviceDescription_Kind = Some(kind);
    api.PJRT_DeviceDescription_Id = Some(device_id);
    api.PJRT_DeviceDescription_ProcessIndex = Some(device_process);
    Box::leak(Box::new(api))
}
