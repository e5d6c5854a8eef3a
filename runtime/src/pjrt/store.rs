//! The key-value store by which the processes of one computation find each other: process 0 serves it over TCP.
//!
//! Numbers are little-endian. A connection starts with [`GREETING`], the number of processes (u32), the own one (u32) and a number that is
//! the same for all connections of a process (u64); an answer follows. Then requests and answers alternate. A request is a byte ([`GET`], [`PUT`]),
//! how long it may wait in milliseconds (u32), a key and a value; an answer is a byte and a value. Keys and values are a length (u32) and
//! bytes. Whoever can reach the address can take part: networks between the processes are trusted.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The first bytes of a connection, the protocol's version among them.
const GREETING: &[u8; 8] = b"kcstore1";
const GET: u8 = 1;
const PUT: u8 = 2;

/// The longest key or value that is read.
const LONGEST: usize = 1 << 28;
/// Between two attempts to reach the store.
const PAUSE: Duration = Duration::from_millis(50);
/// For how long a value is waited for at most, and how long the network may take beside that.
const FOREVER: Duration = Duration::from_secs(24 * 3600);
const NETWORK: Duration = Duration::from_secs(30);

/// Why the store gives no value, or takes none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// No process put the key in time.
    Late(String),
    /// The key has a value.
    Exists(String),
    /// A process ended that others wait for.
    Left(String),
    /// The store does not take this process.
    Refused(String),
    /// The connection.
    Network(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Late(text)
            | StoreError::Exists(text)
            | StoreError::Left(text)
            | StoreError::Refused(text)
            | StoreError::Network(text) => formatter.write_str(text),
        }
    }
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        StoreError::Network(match error.kind() {
            io::ErrorKind::UnexpectedEof => "process 0 closed the connection".to_owned(),
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "process 0 does not answer".to_owned(),
            _ => error.to_string(),
        })
    }
}

/// Answers: a value, or what is wrong.
type Answer = Result<Vec<u8>, StoreError>;

fn write_answer(stream: &mut impl Write, answer: &Answer) -> io::Result<()> {
    let (kind, bytes) = match answer {
        Ok(value) => (0, value.as_slice()),
        Err(StoreError::Late(text)) => (1, text.as_bytes()),
        Err(StoreError::Exists(text)) => (2, text.as_bytes()),
        Err(StoreError::Left(text)) => (3, text.as_bytes()),
        Err(StoreError::Refused(text) | StoreError::Network(text)) => (4, text.as_bytes()),
    };
    let mut message = vec![kind];
    put_bytes(&mut message, bytes);
    stream.write_all(&message)
}

fn read_answer(stream: &mut impl Read) -> Answer {
    let [kind] = read_array(stream)?;
    let bytes = read_bytes(stream)?;
    let text = || String::from_utf8_lossy(&bytes).into_owned();
    Err(match kind {
        0 => return Ok(bytes),
        1 => StoreError::Late(text()),
        2 => StoreError::Exists(text()),
        3 => StoreError::Left(text()),
        _ => StoreError::Refused(text()),
    })
}

fn put_bytes(message: &mut Vec<u8>, bytes: &[u8]) {
    message.extend((bytes.len() as u32).to_le_bytes());
    message.extend(bytes);
}

fn read_array<const N: usize>(stream: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn read_number(stream: &mut impl Read) -> io::Result<u32> {
    read_array(stream).map(u32::from_le_bytes)
}

fn read_bytes(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let length = read_number(stream)? as usize;
    if length > LONGEST {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a text of {length} bytes, expected {LONGEST} at most"),
        ));
    }
    // what a faulty length announces is not allocated before it comes
    let mut bytes = Vec::new();
    stream.take(length as u64).read_to_end(&mut bytes)?;
    if bytes.len() == length { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// The store itself, in process 0. It ends with this.
pub struct Server {
    shared: Arc<Shared>,
    address: SocketAddr,
}

struct Shared {
    count: u32,
    table: Mutex<Table>,
    changed: Condvar,
}

#[derive(Default)]
struct Table {
    values: BTreeMap<Vec<u8>, Vec<u8>>,
    processes: BTreeMap<u32, Process>,
    ended: bool,
}

/// A process that was there.
struct Process {
    token: u64,
    connections: usize,
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        // no thread leaves it half changed
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, count: u32, id: u32, token: u64) -> Result<(), StoreError> {
        if count != self.count {
            let expected = self.count;
            return Err(StoreError::Refused(format!("it was started for {count} processes, process 0 for {expected}")));
        }
        let mut table = self.table();
        let process = table.processes.entry(id).or_insert(Process { token, connections: 0 });
        if process.token != token {
            return Err(StoreError::Refused(format!("there is another process with the number {id}")));
        }
        process.connections += 1;
        Ok(())
    }

    fn leave(&self, id: u32) {
        if let Some(process) = self.table().processes.get_mut(&id) {
            process.connections -= 1;
        }
        self.changed.notify_all();
    }

    fn get(&self, key: Vec<u8>, most: Duration) -> Answer {
        let shown = || String::from_utf8_lossy(&key).into_owned();
        let until = Instant::now() + most;
        let mut table = self.table();
        loop {
            if let Some(value) = table.values.get(&key) {
                return Ok(value.clone());
            }
            // only who is waited for can be missed: a question that may not wait is answered by what is there
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(StoreError::Late(format!("no process set `{}` within {most:?}", shown())));
            }
            if let Some((id, _)) = table.processes.iter().find(|(_, process)| process.connections == 0) {
                return Err(StoreError::Left(format!("process {id} ended while `{}` was waited for", shown())));
            }
            table = self.changed.wait_timeout(table, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> Answer {
        let mut table = self.table();
        if table.values.contains_key(&key) {
            return Err(StoreError::Exists(format!("`{}` is set already", String::from_utf8_lossy(&key))));
        }
        table.values.insert(key, value);
        self.changed.notify_all();
        Ok(Vec::new())
    }

    /// A connection, to its end.
    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(NETWORK))?;
        let mut reader = BufReader::new(stream.try_clone()?);
        if read_array(&mut reader)? != *GREETING {
            let message = "it speaks another protocol; expected the same kc in all processes".to_owned();
            return write_answer(&mut stream, &Err(StoreError::Refused(message)));
        }
        let (count, id) = (read_number(&mut reader)?, read_number(&mut reader)?);
        let entered = self.enter(count, id, u64::from_le_bytes(read_array(&mut reader)?));
        if let Err(refused) = entered {
            return write_answer(&mut stream, &Err(refused));
        }
        let ended = write_answer(&mut stream, &Ok(Vec::new()))
            .and_then(|()| stream.set_read_timeout(None))
            .and_then(|()| self.answer(&mut reader, &mut stream));
        self.leave(id);
        ended
    }

    fn answer(&self, reader: &mut impl Read, stream: &mut TcpStream) -> io::Result<()> {
        loop {
            let [kind] = read_array(reader)?;
            let most = Duration::from_millis(read_number(reader)?.into());
            let (key, value) = (read_bytes(reader)?, read_bytes(reader)?);
            let answer = match kind {
                GET => self.get(key, most),
                PUT => self.put(key, value),
                other => Err(StoreError::Refused(format!("the store knows no request {other}"))),
            };
            write_answer(stream, &answer)?;
        }
    }
}

impl Server {
    /// Serves so many processes at an address, such as `10.0.0.1:1234`; port 0 is any that is free.
    pub fn start(address: &str, count: usize) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { count: count as u32, table: Mutex::default(), changed: Condvar::new() });
        let of_listener = shared.clone();
        std::thread::Builder::new().name("kc-store".into()).spawn(move || {
            for stream in listener.incoming() {
                if of_listener.table().ended {
                    break;
                }
                let shared = of_listener.clone();
                let serve = move |stream| {
                    // the end of a connection is all there is to say
                    let _ = shared.serve(stream);
                };
                if let Ok(stream) = stream {
                    // a connection that finds no thread is closed, and says so to who made it
                    let _ = std::thread::Builder::new().name("kc-store".into()).spawn(move || serve(stream));
                }
            }
        })?;
        Ok(Server { shared, address })
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.table().ended = true;
        // the listener looks up at a connection
        let _ = TcpStream::connect(self.address);
    }
}

/// A process' connections to the store, one for each call that waits.
pub struct Store {
    address: String,
    count: u32,
    id: u32,
    token: u64,
    idle: Mutex<Vec<TcpStream>>,
}

impl Store {
    /// Connects process `id` of `count` to the store at an address, which may come to be within `most`.
    pub fn connect(address: &str, count: usize, id: usize, most: Duration) -> Result<Self, StoreError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // no two processes with one number have it
        let token = now.as_nanos() as u64 ^ u64::from(std::process::id()) << 32;
        let store =
            Store { address: address.to_owned(), count: count as u32, id: id as u32, token, idle: Mutex::default() };
        let until = Instant::now() + most;
        loop {
            match store.open() {
                Ok(stream) => {
                    store.rest(stream);
                    return Ok(store);
                }
                Err(StoreError::Network(_)) if Instant::now() < until => std::thread::sleep(PAUSE),
                Err(error) => return Err(error),
            }
        }
    }

    fn open(&self) -> Result<TcpStream, StoreError> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(NETWORK))?;
        let mut message = GREETING.to_vec();
        message.extend(self.count.to_le_bytes());
        message.extend(self.id.to_le_bytes());
        message.extend(self.token.to_le_bytes());
        stream.write_all(&message)?;
        read_answer(&mut stream)?;
        Ok(stream)
    }

    fn rest(&self, stream: TcpStream) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(stream);
    }

    /// The value of a key, which is waited for: no longer than `most`.
    pub fn get(&self, key: &[u8], most: Duration) -> Result<Vec<u8>, StoreError> {
        self.ask(GET, key, &[], most.min(FOREVER))
    }

    /// Sets the value of a key that has none.
    pub fn put(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.ask(PUT, key, value, Duration::ZERO).map(drop)
    }

    fn ask(&self, kind: u8, key: &[u8], value: &[u8], most: Duration) -> Answer {
        let length = key.len().max(value.len());
        if length > LONGEST {
            let shown = String::from_utf8_lossy(&key[..key.len().min(80)]);
            return Err(StoreError::Refused(format!("`{shown}` has {length} bytes, expected {LONGEST} at most")));
        }
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut stream = idle.map_or_else(|| self.open(), Ok)?;
        stream.set_read_timeout(Some(most + NETWORK))?;
        let mut message = vec![kind];
        message.extend((most.as_millis() as u32).to_le_bytes());
        put_bytes(&mut message, key);
        put_bytes(&mut message, value);
        stream.write_all(&message)?;
        let answer = read_answer(&mut stream);
        // behind a fault there is no next answer
        if !matches!(answer, Err(StoreError::Network(_))) {
            self.rest(stream);
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(60);

    fn served(count: usize) -> (Server, String) {
        let server = Server::start("127.0.0.1:0", count).expect("a free port");
        let address = server.address().to_string();
        (server, address)
    }

    #[test]
    fn a_value_is_waited_for_and_set_once() {
        let (_server, address) = served(2);
        let [first, second] = [0, 1].map(|id| Store::connect(&address, 2, id, LONG).expect("the store is there"));
        std::thread::scope(|scope| {
            // two calls of one process at once: the first waits for what the second sets
            let waiting = scope.spawn(|| first.get(b"topology/1", LONG));
            let own = scope.spawn(|| first.get(b"topology/0", LONG));
            first.put(b"topology/0", b"a\0b").expect("a new key");
            second.put(b"topology/1", b"").expect("a new key");
            assert_eq!(own.join().expect("no panic"), Ok(b"a\0b".to_vec()));
            assert_eq!(waiting.join().expect("no panic"), Ok(Vec::new()));
        });
        let exists = StoreError::Exists("`topology/1` is set already".to_owned());
        assert_eq!(first.put(b"topology/1", b"other"), Err(exists));
        let late = StoreError::Late("no process set `absent` within 20ms".to_owned());
        assert_eq!(second.get(b"absent", SOON), Err(late));
        let now = StoreError::Late("no process set `absent` within 0ns".to_owned());
        assert_eq!(second.get(b"absent", Duration::ZERO), Err(now));
    }

    #[test]
    fn who_waits_for_a_process_that_ended_is_told() {
        let (_server, address) = served(2);
        let [first, second] = [0, 1].map(|id| Store::connect(&address, 2, id, LONG).expect("the store is there"));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| first.get(b"key", LONG));
            drop(second);
            let left = StoreError::Left("process 1 ended while `key` was waited for".to_owned());
            assert_eq!(waiting.join().expect("no panic"), Err(left));
        });
    }

    #[test]
    fn processes_that_do_not_belong_together_are_refused() {
        let (_server, address) = served(2);
        let connect = |count, id| Store::connect(&address, count, id, LONG).map(drop);
        let other = "it was started for 3 processes, process 0 for 2".to_owned();
        assert_eq!(connect(3, 1), Err(StoreError::Refused(other)));
        let _first = Store::connect(&address, 2, 1, LONG).expect("the store is there");
        assert_eq!(connect(2, 1), Err(StoreError::Refused("there is another process with the number 1".to_owned())));
        let mut stream = TcpStream::connect(&address).expect("the store is there");
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("it reads");
        let says = "it speaks another protocol; expected the same kc in all processes".to_owned();
        assert_eq!(read_answer(&mut stream), Err(StoreError::Refused(says)));
    }

    #[test]
    fn nobody_at_the_address_is_an_error() {
        let (server, address) = served(1);
        drop(server);
        assert!(matches!(Store::connect(&address, 1, 0, SOON), Err(StoreError::Network(_))));
    }

    #[test]
    fn a_length_without_bytes_allocates_nothing() {
        let mut announced: &[u8] = &(1u32 << 28).to_le_bytes();
        assert_eq!(read_bytes(&mut announced).map_err(|error| error.kind()), Err(io::ErrorKind::UnexpectedEof));
        let mut longer: &[u8] = &u32::MAX.to_le_bytes();
        assert_eq!(read_bytes(&mut longer).map_err(|error| error.kind()), Err(io::ErrorKind::InvalidData));
    }
}
