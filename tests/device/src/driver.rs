//! The functions of NVIDIA's driver that the runtime calls, with the names and the meaning that `cuda.h` gives them.
//!
//! Work that is given to a stream is done as late as the driver's contract allows, when the host waits for it; copies are done as soon as
//! it allows, or late as well with `KC_TEST_DEVICE_COPIES=late`. So a missing wait shows in the numbers. What must not be is written to
//! the file that `KC_TEST_DEVICE_LOG` names, else to the standard error.
//!
//! | variable | what | without it |
//! |---|---|---|
//! | `KC_TEST_DEVICE` | the architecture: `80`, `90`, `100`; `none` for a driver without a device | `90` |
//! | `KC_TEST_DEVICE_DRIVER` | the version of the driver | `13000` |
//! | `KC_TEST_DEVICE_BYTES` | bytes of memory | `1073741824` |
//! | `KC_TEST_DEVICE_COPIES` | `early` or `late` | `early` |
//! | `KC_TEST_DEVICE_LOG` | where to say what is wrong | the standard error |

mod queue;
mod setup;

use crate::memory::Memory;
use crate::ptx::{self, Function};
use queue::{Graph, Launched, Work};
use setup::Setup;
use std::alloc::Layout;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread::{ThreadId, current};

/// What the driver's functions return.
type Code = c_int;

const SUCCESS: Code = 0;
const INVALID_VALUE: Code = 1;
const OUT_OF_MEMORY: Code = 2;
const NOT_INITIALIZED: Code = 3;
const NO_DEVICE: Code = 100;
const INVALID_DEVICE: Code = 101;
const INVALID_CONTEXT: Code = 201;
const NO_BINARY_FOR_GPU: Code = 209;
const INVALID_PTX: Code = 218;
const UNSUPPORTED_PTX_VERSION: Code = 222;
const INVALID_HANDLE: Code = 400;
const NOT_FOUND: Code = 500;
const NOT_READY: Code = 600;
const ILLEGAL_ADDRESS: Code = 700;
const CAPTURE_UNSUPPORTED: Code = 900;
const CAPTURE_ISOLATION: Code = 905;

/// The mode of recording that concerns the thread alone.
const THREAD_LOCAL: c_uint = 1;

/// The one context's handle.
const CONTEXT: usize = 0x00c0_1e87;

thread_local! {
    /// The context that this thread has made current.
    static CURRENT: Cell<usize> = const { Cell::new(0) };
}

#[derive(Default)]
struct Stream {
    queue: VecDeque<Work>,
    captured: Option<Captured>,
}

/// Work that is recorded, and the thread that has it recorded: what is not allowed meanwhile is not allowed to that thread.
struct Captured {
    works: Vec<Work>,
    by: ThreadId,
}

#[derive(Clone, Copy, Default)]
struct Event {
    /// The last record's number; 0 where there was none.
    record: u64,
}

/// The driver and its device.
struct Driver {
    setup: Setup,
    is_initialized: bool,
    retained: usize,
    memory: Memory,
    next: usize,
    modules: BTreeMap<usize, Vec<Arc<Function>>>,
    functions: BTreeMap<usize, Arc<Function>>,
    streams: BTreeMap<usize, Stream>,
    events: BTreeMap<usize, Event>,
    graphs: BTreeMap<usize, Arc<Graph>>,
    executables: BTreeMap<usize, Arc<Graph>>,
    host: BTreeMap<usize, Layout>,
    records: u64,
    done: BTreeSet<u64>,
    /// What a kernel's fault makes of every later call.
    failed: Option<Code>,
}

// SAFETY: the pointers in it are of memory that callers own and may use from any thread, as the driver's interface has it.
unsafe impl Send for Driver {}

static DRIVER: LazyLock<Mutex<Driver>> = LazyLock::new(|| {
    let setup = Setup::from_environment();
    Mutex::new(Driver {
        memory: Memory::new(setup.bytes),
        setup,
        is_initialized: false,
        retained: 0,
        next: 0x1000,
        modules: BTreeMap::new(),
        functions: BTreeMap::new(),
        streams: BTreeMap::new(),
        events: BTreeMap::new(),
        graphs: BTreeMap::new(),
        executables: BTreeMap::new(),
        host: BTreeMap::new(),
        records: 0,
        done: BTreeSet::new(),
        failed: None,
    })
});

fn driver() -> MutexGuard<'static, Driver> {
    DRIVER.lock().unwrap_or_else(PoisonError::into_inner)
}

type Outcome = Result<(), Code>;

impl Driver {
    fn handle(&mut self) -> usize {
        self.next += 0x10;
        self.next
    }

    fn wrong(&self, code: Code, what: &str) -> Code {
        self.setup.say(what);
        code
    }

    fn stream(&mut self, stream: usize) -> Result<&mut Stream, Code> {
        self.streams.get_mut(&stream).ok_or(INVALID_HANDLE)
    }

    /// Whether this thread has a stream's work recorded, when some calls are not allowed to it.
    fn captures(&self) -> bool {
        let own = |captured: &Captured| captured.by == current().id();
        self.streams.values().any(|stream| stream.captured.as_ref().is_some_and(own))
    }

    /// Whether all of these bytes are the host's memory that the driver gave.
    fn is_pinned(&self, start: usize, bytes: usize) -> bool {
        let found = self.host.range(..=start).next_back();
        found.is_some_and(|(own, layout)| start + bytes <= own + layout.size())
    }

    /// What is still there when the context goes.
    fn leaks(&self) -> Vec<String> {
        let counts = [
            (self.memory.allocations(), "allocations"),
            (self.host.len(), "allocations of the host's memory"),
            (self.modules.len(), "modules"),
            (self.streams.len(), "streams"),
            (self.events.len(), "events"),
            (self.graphs.len(), "graphs"),
            (self.executables.len(), "executable graphs"),
        ];
        let left = counts.into_iter().filter(|(count, _)| *count > 0);
        left.map(|(count, what)| format!("{count} {what} left")).collect()
    }
}

/// Runs a call of a function that needs no context.
fn plain(call: impl FnOnce(&mut Driver) -> Outcome) -> Code {
    let mut driver = driver();
    if !driver.is_initialized {
        return NOT_INITIALIZED;
    }
    call(&mut driver).err().unwrap_or(SUCCESS)
}

/// Runs a call of a function that needs a context.
fn within(call: impl FnOnce(&mut Driver) -> Outcome) -> Code {
    plain(|driver| {
        if CURRENT.get() != CONTEXT || driver.retained == 0 {
            return Err(driver.wrong(INVALID_CONTEXT, "a call without a current context"));
        }
        match driver.failed {
            Some(code) => Err(code),
            None => call(driver),
        }
    })
}

/// # Safety
/// The pointer must be valid for a write, or null.
unsafe fn give<T>(place: *mut T, value: T) -> Outcome {
    if place.is_null() {
        return Err(INVALID_VALUE);
    }
    // SAFETY: by the caller.
    unsafe { place.write(value) };
    Ok(())
}

macro_rules! functions {
    ($($(#[$doc:meta])* fn $name:ident($($argument:ident: $type:ty),* $(,)?) $body:block)*) => {$(
        $(#[$doc])*
        ///
        /// # Safety
        /// As `cuda.h` says.
        #[unsafe(no_mangle)]
        #[allow(non_snake_case, reason = "the driver's names")]
        pub unsafe extern "C" fn $name($($argument: $type),*) -> Code $body
    )*};
}

// SAFETY of the writes and reads below: by their callers, as `cuda.h` says.
functions! {
    /// Has the driver ready.
    fn cuInit(flags: c_uint) {
        let mut driver = driver();
        if flags != 0 {
            return INVALID_VALUE;
        }
        if driver.setup.capability.is_none() {
            return NO_DEVICE;
        }
        driver.is_initialized = true;
        SUCCESS
    }

    /// The version of CUDA that it is of: 13000 is 13.0. Needs no `cuInit`.
    fn cuDriverGetVersion(version: *mut c_int) {
        let number = driver().setup.version;
        // SAFETY: see above.
        unsafe { give(version, number) }.err().unwrap_or(SUCCESS)
    }

    /// Number of devices.
    fn cuDeviceGetCount(count: *mut c_int) {
        // SAFETY: see above.
        plain(|_| unsafe { give(count, 1) })
    }

    /// A device's handle.
    fn cuDeviceGet(device: *mut c_int, ordinal: c_int) {
        // SAFETY: see above.
        plain(|_| if ordinal == 0 { unsafe { give(device, 0) } } else { Err(INVALID_DEVICE) })
    }

    /// A device's name.
    fn cuDeviceGetName(name: *mut c_char, length: c_int, _device: c_int) {
        plain(|_| {
            let text = c"test device".to_bytes_with_nul();
            if name.is_null() || (length as usize) < text.len() {
                return Err(INVALID_VALUE);
            }
            // SAFETY: see above.
            unsafe { name.cast::<u8>().copy_from_nonoverlapping(text.as_ptr(), text.len()) };
            Ok(())
        })
    }

    /// A fact about a device.
    fn cuDeviceGetAttribute(value: *mut c_int, attribute: c_int, _device: c_int) {
        plain(|driver| {
            let (major, minor) = driver.setup.capability.ok_or(NO_DEVICE)?;
            let found = match attribute {
                16 => 4,
                75 => major,
                76 => minor,
                _ => return Err(INVALID_VALUE),
            };
            // SAFETY: see above.
            unsafe { give(value, found) }
        })
    }

    /// Bytes of a device's memory.
    fn cuDeviceTotalMem_v2(bytes: *mut usize, _device: c_int) {
        // SAFETY: see above.
        plain(|driver| unsafe { give(bytes, driver.memory.extent().1 as usize) })
    }

    /// The device's one context, which counts those who have it.
    fn cuDevicePrimaryCtxRetain(context: *mut usize, _device: c_int) {
        plain(|driver| {
            driver.retained += 1;
            // SAFETY: see above.
            unsafe { give(context, CONTEXT) }
        })
    }

    /// Gives the context back. The last says what was left behind, and has all of it go.
    fn cuDevicePrimaryCtxRelease_v2(_device: c_int) {
        plain(|driver| {
            driver.retained = driver.retained.checked_sub(1).ok_or(INVALID_CONTEXT)?;
            if driver.retained == 0 {
                driver.leaks().iter().for_each(|leak| driver.setup.say(leak));
            }
            Ok(())
        })
    }

    /// Makes a context the thread's.
    fn cuCtxSetCurrent(context: usize) {
        plain(|_| {
            if context != 0 && context != CONTEXT {
                return Err(INVALID_CONTEXT);
            }
            CURRENT.set(context);
            Ok(())
        })
    }

    /// Loads PTX; of the options, those for a log of errors are known.
    fn cuModuleLoadDataEx(
        module: *mut usize,
        image: *const c_void,
        count: c_uint,
        options: *const c_int,
        values: *const *mut c_void,
    ) {
        within(|driver| {
            // SAFETY: see above; the text ends with a zero.
            let text = unsafe { CStr::from_ptr(image.cast()) }.to_str().map_err(|_| INVALID_PTX)?;
            let (mut log, mut size) = (std::ptr::null_mut::<u8>(), 0usize);
            for number in 0..count as usize {
                // SAFETY: there are so many of both.
                let (option, value) = unsafe { (*options.add(number), *values.add(number)) };
                match option {
                    5 => log = value.cast(),
                    6 => size = value.addr(),
                    _ => return Err(INVALID_VALUE),
                }
            }
            let explain = |message: &str| {
                if !log.is_null() && size > 0 {
                    let bytes = &message.as_bytes()[..message.len().min(size - 1)];
                    // SAFETY: the log has `size` bytes.
                    unsafe {
                        log.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
                        log.add(bytes.len()).write(0);
                    }
                }
            };
            let read = ptx::parse(text).map_err(|message| {
                explain(&message);
                INVALID_PTX
            })?;
            if driver.setup.version < setup::version_for(read.version) {
                return Err(UNSUPPORTED_PTX_VERSION);
            }
            if !driver.setup.executes(&read.target) {
                return Err(NO_BINARY_FOR_GPU);
            }
            let handle = driver.handle();
            driver.modules.insert(handle, read.functions.into_iter().map(Arc::new).collect());
            // SAFETY: see above.
            unsafe { give(module, handle) }
        })
    }

    /// Lets a module go.
    fn cuModuleUnload(module: usize) {
        within(|driver| {
            driver.finish_all()?;
            driver.modules.remove(&module).map(drop).ok_or(INVALID_HANDLE)
        })
    }

    /// A kernel of a module by its name.
    fn cuModuleGetFunction(function: *mut usize, module: usize, name: *const c_char) {
        within(|driver| {
            // SAFETY: see above.
            let name = unsafe { CStr::from_ptr(name) }.to_bytes();
            let functions = driver.modules.get(&module).ok_or(INVALID_HANDLE)?;
            let found = functions.iter().find(|function| function.name.as_bytes() == name).ok_or(NOT_FOUND)?.clone();
            let handle = driver.handle();
            driver.functions.insert(handle, found);
            // SAFETY: see above.
            unsafe { give(function, handle) }
        })
    }

    /// Memory of the device.
    fn cuMemAlloc_v2(address: *mut u64, bytes: usize) {
        within(|driver| {
            if driver.captures() {
                return Err(driver.wrong(CAPTURE_UNSUPPORTED, "memory is allocated while work is captured"));
            }
            if bytes == 0 {
                return Err(INVALID_VALUE);
            }
            let start = driver.memory.allocate(bytes as u64).ok_or(OUT_OF_MEMORY)?;
            // SAFETY: see above.
            unsafe { give(address, start) }
        })
    }

    /// Gives memory back, when all work has ended.
    fn cuMemFree_v2(address: u64) {
        within(|driver| {
            driver.finish_all()?;
            if driver.memory.release(address) {
                return Ok(());
            }
            Err(driver.wrong(INVALID_VALUE, &format!("{address:#x} is given back, which is no allocation")))
        })
    }

    /// Free and all bytes of memory.
    fn cuMemGetInfo_v2(free: *mut usize, total: *mut usize) {
        within(|driver| {
            let (left, all) = driver.memory.extent();
            // SAFETY: see above.
            unsafe {
                give(free, left as usize)?;
                give(total, all as usize)
            }
        })
    }

    /// Memory of the host that the device reads and writes.
    fn cuMemHostAlloc(pointer: *mut *mut c_void, bytes: usize, _flags: c_uint) {
        within(|driver| {
            let layout = Layout::from_size_align(bytes, 4096).ok().filter(|_| bytes > 0).ok_or(INVALID_VALUE)?;
            // SAFETY: the layout has a size.
            let start = unsafe { std::alloc::alloc(layout) };
            if start.is_null() {
                return Err(OUT_OF_MEMORY);
            }
            // SAFETY: new memory of that size.
            unsafe { start.write_bytes(0xff, bytes) };
            driver.host.insert(start.addr(), layout);
            // SAFETY: see above.
            unsafe { give(pointer, start.cast()) }
        })
    }

    /// Gives it back; nothing that was given to a stream may use it any more.
    fn cuMemFreeHost(pointer: *mut c_void) {
        within(|driver| {
            let start = pointer.addr();
            let Some(layout) = driver.host.remove(&start) else {
                return Err(driver.wrong(INVALID_VALUE, "host memory is given back that is no allocation"));
            };
            let range = start..start + layout.size();
            let is_used = driver.streams.values().flat_map(|stream| &stream.queue).any(|work| work.uses(&range));
            // SAFETY: allocated with that layout.
            unsafe { std::alloc::dealloc(pointer.cast(), layout) };
            if is_used {
                return Err(driver.wrong(INVALID_VALUE, "host memory is given back that a copy under way uses"));
            }
            Ok(())
        })
    }

    /// Copies to the device, in a stream.
    fn cuMemcpyHtoDAsync_v2(to: u64, from: *const c_void, bytes: usize, stream: usize) {
        within(|driver| {
            if !driver.is_pinned(from.addr(), bytes) {
                return Err(driver.wrong(INVALID_VALUE, "a copy in a stream from host memory that is not the driver's"));
            }
            driver.enqueue(stream, Work::ToDevice { to, from: from.cast(), bytes })
        })
    }

    /// Copies to the host, in a stream.
    fn cuMemcpyDtoHAsync_v2(to: *mut c_void, from: u64, bytes: usize, stream: usize) {
        within(|driver| {
            if !driver.is_pinned(to.addr(), bytes) {
                return Err(driver.wrong(INVALID_VALUE, "a copy in a stream to host memory that is not the driver's"));
            }
            driver.enqueue(stream, Work::ToHost { to: to.cast(), from, bytes })
        })
    }

    /// Copies to the device, and waits for it. Streams that do not wait for the default one do not know of it.
    fn cuMemcpyHtoD_v2(to: u64, from: *const c_void, bytes: usize) {
        within(|driver| driver.execute(&Work::ToDevice { to, from: from.cast(), bytes }))
    }

    /// Copies to the host, and waits for it, but for no stream that does not wait for the default one.
    fn cuMemcpyDtoH_v2(to: *mut c_void, from: u64, bytes: usize) {
        within(|driver| driver.execute(&Work::ToHost { to: to.cast(), from, bytes }))
    }

    /// Writes a byte all over, in a stream.
    fn cuMemsetD8Async(to: u64, value: u8, bytes: usize, stream: usize) {
        within(|driver| driver.enqueue(stream, Work::Set { to, value, bytes }))
    }

    /// A stream; only those that do not wait for the default one are known.
    fn cuStreamCreate(stream: *mut usize, flags: c_uint) {
        within(|driver| {
            if flags != 1 {
                return Err(INVALID_VALUE);
            }
            let handle = driver.handle();
            driver.streams.insert(handle, Stream::default());
            // SAFETY: see above.
            unsafe { give(stream, handle) }
        })
    }

    /// Lets a stream go when its work has ended.
    fn cuStreamDestroy_v2(stream: usize) {
        within(|driver| {
            driver.finish(stream)?;
            driver.streams.remove(&stream).map(drop).ok_or(INVALID_HANDLE)
        })
    }

    /// Waits for all work of a stream.
    fn cuStreamSynchronize(stream: usize) {
        within(|driver| driver.finish(stream))
    }

    /// Has a stream wait for an event's last record.
    fn cuStreamWaitEvent(stream: usize, event: usize, _flags: c_uint) {
        within(|driver| {
            let record = driver.events.get(&event).ok_or(INVALID_HANDLE)?.record;
            if driver.stream(stream)?.captured.is_some() {
                return Err(driver.wrong(CAPTURE_ISOLATION, "captured work waits for work that is not captured"));
            }
            driver.enqueue(stream, Work::Wait { record })
        })
    }

    /// Records what is given to a stream instead of doing it.
    fn cuStreamBeginCapture_v2(stream: usize, mode: c_uint) {
        within(|driver| {
            if mode != THREAD_LOCAL {
                return Err(driver.wrong(INVALID_VALUE, "work is recorded such that other threads' calls fail meanwhile"));
            }
            let stream = driver.stream(stream)?;
            if stream.captured.is_some() {
                return Err(CAPTURE_UNSUPPORTED);
            }
            stream.captured = Some(Captured { works: Vec::new(), by: current().id() });
            Ok(())
        })
    }

    /// What was recorded.
    fn cuStreamEndCapture(stream: usize, graph: *mut usize) {
        within(|driver| {
            let Captured { works, .. } = driver.stream(stream)?.captured.take().ok_or(INVALID_VALUE)?;
            let handle = driver.handle();
            driver.graphs.insert(handle, Arc::new(Graph { works }));
            // SAFETY: see above.
            unsafe { give(graph, handle) }
        })
    }

    /// Makes a graph ready.
    fn cuGraphInstantiateWithFlags(executable: *mut usize, graph: usize, _flags: u64) {
        within(|driver| {
            let graph = driver.graphs.get(&graph).ok_or(INVALID_HANDLE)?.clone();
            let handle = driver.handle();
            driver.executables.insert(handle, graph);
            // SAFETY: see above.
            unsafe { give(executable, handle) }
        })
    }

    /// Gives a graph to a stream.
    fn cuGraphLaunch(executable: usize, stream: usize) {
        within(|driver| {
            let graph = driver.executables.get(&executable).ok_or(INVALID_HANDLE)?.clone();
            driver.enqueue(stream, Work::Graph(graph))
        })
    }

    /// Lets a graph go.
    fn cuGraphDestroy(graph: usize) {
        within(|driver| driver.graphs.remove(&graph).map(drop).ok_or(INVALID_HANDLE))
    }

    /// Lets a graph that was made ready go.
    fn cuGraphExecDestroy(executable: usize) {
        within(|driver| driver.executables.remove(&executable).map(drop).ok_or(INVALID_HANDLE))
    }

    /// An event.
    fn cuEventCreate(event: *mut usize, _flags: c_uint) {
        within(|driver| {
            let handle = driver.handle();
            driver.events.insert(handle, Event::default());
            // SAFETY: see above.
            unsafe { give(event, handle) }
        })
    }

    /// Puts an event behind a stream's work.
    fn cuEventRecord(event: usize, stream: usize) {
        within(|driver| {
            driver.records += 1;
            let record = driver.records;
            driver.events.get_mut(&event).ok_or(INVALID_HANDLE)?.record = record;
            driver.enqueue(stream, Work::Record { record })
        })
    }

    /// Waits for an event's last record.
    fn cuEventSynchronize(event: usize) {
        within(|driver| {
            let record = driver.events.get(&event).ok_or(INVALID_HANDLE)?.record;
            driver.reach(record)
        })
    }

    /// Whether it has been reached. Asking has nothing go on.
    fn cuEventQuery(event: usize) {
        within(|driver| {
            let record = driver.events.get(&event).ok_or(INVALID_HANDLE)?.record;
            if record == 0 || driver.done.contains(&record) { Ok(()) } else { Err(NOT_READY) }
        })
    }

    /// Lets an event go.
    fn cuEventDestroy_v2(event: usize) {
        within(|driver| driver.events.remove(&event).map(drop).ok_or(INVALID_HANDLE))
    }

    /// Gives a kernel to a stream.
    fn cuLaunchKernel(
        function: usize,
        grid_x: c_uint,
        grid_y: c_uint,
        grid_z: c_uint,
        block_x: c_uint,
        block_y: c_uint,
        block_z: c_uint,
        shared_bytes: c_uint,
        stream: usize,
        parameters: *const *const c_void,
        extra: *const c_void,
    ) {
        within(|driver| {
            let function = driver.functions.get(&function).ok_or(INVALID_HANDLE)?.clone();
            let (grid, block) = ([grid_x, grid_y, grid_z], [block_x, block_y, block_z]);
            let threads: u64 = block.iter().map(|&extent| u64::from(extent)).product();
            let fits = grid.iter().all(|&extent| extent > 0)
                && grid_x <= i32::MAX as u32
                && grid_y.max(grid_z) <= 65_535
                && (1..=1024).contains(&threads)
                && function.required_threads.is_none_or(|required| required == block);
            if !fits || shared_bytes != 0 || !extra.is_null() {
                let what = format!("{}: a launch of {grid:?} blocks of {block:?} threads", function.name);
                return Err(driver.wrong(INVALID_VALUE, &what));
            }
            let mut bytes = vec![0u8; function.parameters.last().map_or(0, |last| last.offset + last.bytes)];
            for (number, parameter) in function.parameters.iter().enumerate() {
                let place = &mut bytes[parameter.offset..parameter.offset + parameter.bytes];
                // SAFETY: see above; there is one pointer a parameter, to as many bytes as it has.
                unsafe {
                    let from = (*parameters.add(number)).cast::<u8>();
                    place.copy_from_slice(std::slice::from_raw_parts(from, parameter.bytes));
                }
                if let Ok(address) = <[u8; 8]>::try_from(&*place).map(u64::from_le_bytes)
                    && !address.is_multiple_of(parameter.pointee_alignment)
                {
                    let (name, alignment) = (&parameter.name, parameter.pointee_alignment);
                    let what = format!("{name} is {address:#x}, which is no multiple of {alignment}");
                    return Err(driver.wrong(INVALID_VALUE, &what));
                }
            }
            driver.enqueue(stream, Work::Launch(Launched { function, grid, block, parameters: bytes }))
        })
    }

    /// An error's name.
    fn cuGetErrorName(code: Code, text: *mut *const c_char) {
        // SAFETY: see above.
        unsafe { give(text, setup::error(code).0.as_ptr()) }.err().unwrap_or(SUCCESS)
    }

    /// What an error means.
    fn cuGetErrorString(code: Code, text: *mut *const c_char) {
        // SAFETY: see above.
        unsafe { give(text, setup::error(code).1.as_ptr()) }.err().unwrap_or(SUCCESS)
    }
}
