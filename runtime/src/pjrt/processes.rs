//! Several processes that train one model together: who they are, and how a plug-in asks the others.

use super::PjrtError;
use super::bindings::*;
use super::store::{Server, Store, StoreError};
use std::ffi::c_char;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long a process waits for process 0 at most, if it is not told.
const PATIENCE: Duration = Duration::from_secs(300);

/// The variables that Keras reads where `keras.distribution.initialize` is given nothing.
const VARIABLES: [&str; 3] =
    ["KERAS_DISTRIBUTION_JOB_ADDRESSES", "KERAS_DISTRIBUTION_NUM_PROCESSES", "KERAS_DISTRIBUTION_PROCESS_ID"];

/// A process, and those that it trains one model with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Processes {
    coordinator: String,
    count: usize,
    id: usize,
    patience: Duration,
}

impl Processes {
    /// Process `process_id`, from 0 on, of `num_processes`. Of the addresses, such as `10.0.0.1:1234,10.0.0.2:2345`, the first is used:
    /// there process 0 serves a key-value store, by which the plug-ins of all find each other.
    pub fn new(job_addresses: &str, num_processes: usize, process_id: usize) -> Result<Self, PjrtError> {
        let failed = |reason: String| Err(PjrtError::Processes { reason });
        let coordinator = job_addresses.split(',').next().unwrap_or_default().trim();
        let port =
            coordinator.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
        if !matches!(port, Some(Ok(1..))) {
            return failed(format!("got the job addresses `{job_addresses}`, expected HOST:PORT of process 0 first"));
        }
        if process_id >= num_processes || u32::try_from(num_processes).is_err() {
            return failed(format!("got the process {process_id} of {num_processes}, expected a number below that"));
        }
        let coordinator = coordinator.to_owned();
        Ok(Processes { coordinator, count: num_processes, id: process_id, patience: PATIENCE })
    }

    /// [`Processes::new`] with what Keras' variables `KERAS_DISTRIBUTION_JOB_ADDRESSES`, `_NUM_PROCESSES` and `_PROCESS_ID` say where an
    /// argument is `None`; `None` where nothing is said: the process is alone, or its plug-in finds the others by itself, as that of Cloud TPU.
    pub fn from_environment(
        job_addresses: Option<&str>,
        num_processes: Option<usize>,
        process_id: Option<usize>,
    ) -> Result<Option<Self>, PjrtError> {
        let given = [job_addresses.map(str::to_owned), num_processes.map(number), process_id.map(number)];
        let mut values = Vec::new();
        for (variable, given) in VARIABLES.iter().zip(given) {
            let set = || std::env::var(variable).ok().filter(|value| !value.is_empty());
            values.push(given.or_else(set));
        }
        let said = values.iter().flatten().count();
        if said == 0 {
            return Ok(None);
        }
        let [Some(addresses), Some(count), Some(id)] = &values[..] else {
            let lacking: Vec<&str> =
                VARIABLES.iter().zip(&values).filter(|(_, value)| value.is_none()).map(|(name, _)| *name).collect();
            let reason = format!("{} is not said; expected all of {}", lacking.join(" and "), VARIABLES.join(", "));
            return Err(PjrtError::Processes { reason });
        };
        let read = |variable: &str, text: &str| {
            let reason = || format!("{variable} is `{text}`, expected a number");
            text.parse().map_err(|_| PjrtError::Processes { reason: reason() })
        };
        Self::new(addresses, read(VARIABLES[1], count)?, read(VARIABLES[2], id)?).map(Some)
    }

    /// The same, which waits no longer for process 0 (default: five minutes).
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Their number.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The address of process 0, at which they meet.
    pub fn coordinator(&self) -> &str {
        &self.coordinator
    }

    /// The own number, from 0 on.
    pub fn id(&self) -> usize {
        self.id
    }

    /// The way to the others for one more client. Process 0 serves the store from the first one on, until it ends.
    pub(super) fn link(&self) -> Result<Link, PjrtError> {
        static JOINED: Mutex<Option<Joined>> = Mutex::new(None);
        let mut joined = JOINED.lock().unwrap_or_else(PoisonError::into_inner);
        let joined = match &mut *joined {
            Some(joined) => joined,
            empty => empty.insert(self.join()?),
        };
        if joined.processes != *self {
            let Processes { coordinator, count, id, .. } = &joined.processes;
            let reason = format!("this is process {id} of {count} at {coordinator} already, and cannot be another");
            return Err(PjrtError::Processes { reason });
        }
        joined.clients += 1;
        let prefix = format!("{}/", joined.clients);
        Ok(Link { store: joined.store.clone(), prefix, id: self.id as i64, count: self.count as i64 })
    }

    fn join(&self) -> Result<Joined, PjrtError> {
        let Processes { coordinator, count, id, patience } = self;
        let server = match id {
            0 => Some(
                Server::start(coordinator, *count)
                    .map_err(|error| self.store_error(format!("it cannot be served there: {error}")))?,
            ),
            _ => None,
        };
        let store =
            Store::connect(coordinator, *count, *id, *patience).map_err(|error| self.store_error(error.to_string()))?;
        self.meet(&store, "")?;
        Ok(Joined { processes: self.clone(), _server: server, store: Arc::new(store), clients: 0 })
    }

    fn store_error(&self, reason: String) -> PjrtError {
        let Processes { coordinator, count, id, .. } = self.clone();
        PjrtError::Store { coordinator, count, id, reason }
    }

    /// Waits until the plug-ins of all processes have made the client of this link: until then they read what process 0 serves, so that it
    /// must not end before.
    pub(super) fn made(&self, link: &Link) -> Result<(), PjrtError> {
        self.meet(&link.store, &format!("made/{}", link.prefix))
    }

    /// Waits until all processes are there, so that none ends before another has come. The keys of each such meeting begin with others.
    fn meet(&self, store: &Store, prefix: &str) -> Result<(), PjrtError> {
        let key = |what: &str, id: usize| format!("{prefix}{what}/{id}").into_bytes();
        let all = format!("{prefix}all").into_bytes();
        let failed = |error: StoreError| self.store_error(error.to_string());
        if self.id > 0 {
            store.put(&key("come", self.id), &[]).map_err(failed)?;
            store.get(&all, self.patience).map_err(failed)?;
            // process 0 may end as soon as it has this
            let _ = store.put(&key("seen", self.id), &[]);
            return Ok(());
        }
        for id in 1..self.count {
            store.get(&key("come", id), self.patience).map_err(|error| match error {
                StoreError::Late(_) => {
                    self.store_error(format!("process {id} did not come within {:?}", self.patience))
                }
                other => failed(other),
            })?;
        }
        store.put(&all, &[]).map_err(failed)?;
        for id in 1..self.count {
            // who has ended by now has seen it
            let _ = store.get(&key("seen", id), self.patience);
        }
        Ok(())
    }
}

/// What this process has joined.
struct Joined {
    processes: Processes,
    _server: Option<Server>,
    store: Arc<Store>,
    /// How many clients it has had: the keys of each are others, in all processes alike.
    clients: usize,
}

fn number(number: usize) -> String {
    number.to_string()
}

/// How one client of a plug-in reads and writes the store: what the API's callbacks are given.
pub(super) struct Link {
    store: Arc<Store>,
    prefix: String,
    id: i64,
    count: i64,
}

impl Link {
    /// The options of `PJRT_Client_Create` that say which process this is.
    pub(super) fn options(&self) -> [PJRT_NamedValue; 2] {
        let option = |name: &'static str, value: i64| PJRT_NamedValue {
            struct_size: size_of::<PJRT_NamedValue>(),
            extension_start: std::ptr::null_mut(),
            name: name.as_ptr().cast(),
            name_size: name.len(),
            type_: PJRT_NamedValue_Type_PJRT_NamedValue_kInt64,
            __bindgen_anon_1: PJRT_NamedValue__bindgen_ty_1 { int64_value: value },
            value_size: 1,
        };
        [option("node_id", self.id), option("num_nodes", self.count)]
    }

    fn key(&self, key: &[u8]) -> Vec<u8> {
        [self.prefix.as_bytes(), key].concat()
    }

    fn read(&self, key: &[u8], most: Duration) -> Result<Vec<u8>, StoreError> {
        self.store.get(&self.key(key), most)
    }
}

/// Bytes that a plug-in gave.
///
/// # Safety
/// `pointer` must be null or readable for `length` bytes as long as the result is used.
unsafe fn given<'a>(pointer: *const c_char, length: usize) -> &'a [u8] {
    match pointer.is_null() {
        true => &[],
        // SAFETY: the caller's.
        false => unsafe { std::slice::from_raw_parts(pointer.cast(), length) },
    }
}

/// The API's code of an error.
fn code(error: &StoreError) -> PJRT_Error_Code {
    match error {
        StoreError::Late(_) => PJRT_Error_Code_PJRT_Error_Code_DEADLINE_EXCEEDED,
        StoreError::Exists(_) => PJRT_Error_Code_PJRT_Error_Code_ALREADY_EXISTS,
        StoreError::Left(_) | StoreError::Network(_) => PJRT_Error_Code_PJRT_Error_Code_UNAVAILABLE,
        StoreError::Refused(_) => PJRT_Error_Code_PJRT_Error_Code_FAILED_PRECONDITION,
    }
}

/// An error as the API wants it.
///
/// # Safety
/// `make` must be null or point to the plug-in's function.
unsafe fn fail(make: *mut PJRT_CallbackError, code: PJRT_Error_Code, error: &StoreError) -> *mut PJRT_Error {
    let text = error.to_string();
    // SAFETY: the caller's.
    match unsafe { make.as_ref() } {
        // SAFETY: the plug-in's function, which copies the text.
        Some(Some(make)) => unsafe { make(code, text.as_ptr().cast(), text.len()) },
        _ => std::ptr::null_mut(),
    }
}

/// A copy of a value that [`free`] frees: words, of which the first is its length in bytes; the pointer is to the second.
fn lend(value: &[u8]) -> *mut c_char {
    let mut words = vec![0usize; 1 + value.len().div_ceil(size_of::<usize>())];
    words[0] = value.len();
    let words = Box::into_raw(words.into_boxed_slice()).cast::<usize>();
    // SAFETY: as many bytes lie behind the first word.
    unsafe {
        let start = words.add(1).cast::<u8>();
        start.copy_from_nonoverlapping(value.as_ptr(), value.len());
        start.cast()
    }
}

unsafe extern "C" fn free(value: *mut c_char) {
    // SAFETY: what `lend` gave, once.
    unsafe {
        let words = value.cast::<usize>().sub(1);
        let count = 1 + words.read().div_ceil(size_of::<usize>());
        drop(Box::from_raw(std::ptr::slice_from_raw_parts_mut(words, count)));
    }
}

/// `PJRT_KeyValueGetCallback`: waits for a value. The user's argument is a [`Link`].
pub(super) unsafe extern "C" fn get(arguments: *mut PJRT_KeyValueGetCallback_Args) -> *mut PJRT_Error {
    // SAFETY: the plug-in gives the callback's own struct, and in it the argument that the client was created with and outlives.
    unsafe {
        let call = &mut *arguments;
        let most = Duration::from_millis(call.timeout_in_ms.max(0) as u64);
        match (*call.user_arg.cast::<Link>()).read(given(call.key, call.key_size), most) {
            Ok(value) => {
                (call.value, call.value_size) = (lend(&value), value.len());
                call.value_deleter_callback = Some(free);
                std::ptr::null_mut()
            }
            Err(error) => fail(call.callback_error, code(&error), &error),
        }
    }
}

/// `PJRT_KeyValueTryGetCallback`: a value that is there; where it is not, the error's code is NOT_FOUND.
pub(super) unsafe extern "C" fn try_get(arguments: *mut PJRT_KeyValueTryGetCallback_Args) -> *mut PJRT_Error {
    // SAFETY: as in `get`.
    unsafe {
        let call = &mut *arguments;
        match (*call.user_arg.cast::<Link>()).read(given(call.key, call.key_size), Duration::ZERO) {
            Ok(value) => {
                (call.value, call.value_size) = (lend(&value), value.len());
                call.value_deleter_callback = Some(free);
                std::ptr::null_mut()
            }
            Err(error @ StoreError::Late(_)) => {
                fail(call.callback_error, PJRT_Error_Code_PJRT_Error_Code_NOT_FOUND, &error)
            }
            Err(error) => fail(call.callback_error, code(&error), &error),
        }
    }
}

/// `PJRT_KeyValuePutCallback`: sets a value.
pub(super) unsafe extern "C" fn put(arguments: *mut PJRT_KeyValuePutCallback_Args) -> *mut PJRT_Error {
    // SAFETY: as in `get`.
    unsafe {
        let call = &*arguments;
        let link = &*call.user_arg.cast::<Link>();
        let key = link.key(given(call.key, call.key_size));
        match link.store.put(&key, given(call.value, call.value_size)) {
            Ok(()) => std::ptr::null_mut(),
            Err(error) => fail(call.callback_error, code(&error), &error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_does_not_come_is_named() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.expect("a free port").to_string();
        let processes = Processes::new(&address, 2, 0).expect("process 0").with_patience(Duration::from_millis(20));
        let error = processes.join().err().expect("nobody comes").to_string();
        let start =
            format!("process 0 of 2 does not meet the others by the key-value store of process 0 at {address}: ");
        assert!(error.starts_with(&(start + "process 1 did not come within 20ms; start all processes ")), "{error}");
    }

    #[test]
    fn a_value_that_is_lent_is_freed_whole() {
        for value in [&b""[..], b"a", b"12345678", b"123456789"] {
            let lent = lend(value);
            // SAFETY: as many bytes lie there, and nothing else frees them.
            unsafe {
                assert_eq!(given(lent, value.len()), value);
                free(lent);
            }
        }
    }
}
