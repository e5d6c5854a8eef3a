//! Work that streams hold, and when it is done.

use super::{CAPTURE_UNSUPPORTED, Code, Driver, ILLEGAL_ADDRESS, INVALID_VALUE, Outcome};
use crate::execute::{Launch, launch};
use crate::ptx::Function;
use std::ops::Range;
use std::sync::Arc;

/// A kernel that was given to a stream.
pub struct Launched {
    pub function: Arc<Function>,
    pub grid: [u32; 3],
    pub block: [u32; 3],
    pub parameters: Vec<u8>,
}

/// Work that was captured, in order.
pub struct Graph {
    pub works: Vec<Work>,
}

/// What a stream is given.
pub enum Work {
    ToDevice { to: u64, from: *const u8, bytes: usize },
    ToHost { to: *mut u8, from: u64, bytes: usize },
    Set { to: u64, value: u8, bytes: usize },
    Launch(Launched),
    Graph(Arc<Graph>),
    Record { record: u64 },
    Wait { record: u64 },
}

// SAFETY: whoever gives pointers keeps them valid, whatever thread uses them, as the driver's interface has it.
unsafe impl Send for Work {}
// SAFETY: it is not changed once it is made.
unsafe impl Sync for Work {}

impl Work {
    /// Whether it reads or writes the host's memory there.
    pub fn uses(&self, range: &Range<usize>) -> bool {
        match self {
            Work::ToDevice { from, .. } => range.contains(&from.addr()),
            Work::ToHost { to, .. } => range.contains(&to.addr()),
            Work::Set { .. } | Work::Launch(_) | Work::Graph(_) | Work::Record { .. } | Work::Wait { .. } => false,
        }
    }
}

impl Driver {
    /// Gives work to a stream.
    pub fn enqueue(&mut self, stream: usize, work: Work) -> Outcome {
        let held = self.stream(stream)?;
        match &mut held.captured {
            Some(captured) => captured.works.push(work),
            None => held.queue.push_back(work),
        }
        self.hurry()
    }

    /// Does what may be done as soon as it may: copies, where they are not to be late, and what costs no time.
    fn hurry(&mut self) -> Outcome {
        let streams: Vec<usize> = self.streams.keys().copied().collect();
        let mut goes_on = true;
        while goes_on {
            goes_on = false;
            for &stream in &streams {
                let late = self.setup.late_copies;
                let Some(work) = self.streams.get(&stream).and_then(|stream| stream.queue.front()) else { continue };
                let now = match work {
                    Work::ToDevice { .. } | Work::ToHost { .. } | Work::Set { .. } => !late,
                    Work::Record { .. } => true,
                    Work::Wait { record } => *record == 0 || self.done.contains(record),
                    Work::Launch(_) | Work::Graph(_) => false,
                };
                if now {
                    self.step(stream)?;
                    goes_on = true;
                }
            }
        }
        Ok(())
    }

    /// Does the first work of a stream.
    fn step(&mut self, stream: usize) -> Outcome {
        let Some(work) = self.stream(stream)?.queue.pop_front() else { return Ok(()) };
        if let Work::Wait { record } = work {
            return self.reach(record);
        }
        self.execute(&work)
    }

    /// Does all work of a stream.
    pub fn finish(&mut self, stream: usize) -> Outcome {
        if self.stream(stream)?.captured.is_some() {
            return Err(self.wrong(CAPTURE_UNSUPPORTED, "a stream is waited for while its work is captured"));
        }
        self.drain(stream)
    }

    fn drain(&mut self, stream: usize) -> Outcome {
        while !self.stream(stream)?.queue.is_empty() {
            self.step(stream)?;
        }
        Ok(())
    }

    /// Does all work that was given to streams before what is recorded.
    pub fn finish_all(&mut self) -> Outcome {
        if self.captures() {
            return Err(self.wrong(CAPTURE_UNSUPPORTED, "all work is waited for while some is recorded"));
        }
        let streams: Vec<usize> = self.streams.keys().copied().collect();
        streams.into_iter().try_for_each(|stream| self.drain(stream))
    }

    /// Does work until an event is reached.
    pub fn reach(&mut self, record: u64) -> Outcome {
        let holds = |work: &Work| matches!(work, Work::Record { record: own } if *own == record);
        while record != 0 && !self.done.contains(&record) {
            let found = self.streams.iter().find(|(_, stream)| stream.queue.iter().any(holds));
            let Some(stream) = found.map(|(handle, _)| *handle) else {
                return Err(self.wrong(INVALID_VALUE, "an event is waited for that nobody will reach"));
            };
            self.step(stream)?;
        }
        Ok(())
    }

    /// Does work at once.
    pub fn execute(&mut self, work: &Work) -> Outcome {
        let done = match work {
            Work::ToDevice { to, from, bytes } => self.memory.bytes(*to, *bytes).map(|place| {
                // SAFETY: the caller of the driver keeps the host's memory until the copy is done.
                place.copy_from_slice(unsafe { std::slice::from_raw_parts(*from, *bytes) });
            }),
            Work::ToHost { to, from, bytes } => self.memory.bytes(*from, *bytes).map(|place| {
                // SAFETY: as above.
                unsafe { to.copy_from_nonoverlapping(place.as_ptr(), *bytes) };
            }),
            Work::Set { to, value, bytes } => self.memory.bytes(*to, *bytes).map(|place| place.fill(*value)),
            Work::Launch(Launched { function, grid, block, parameters }) => {
                let blocks = 0..grid.iter().map(|&extent| u64::from(extent)).product();
                let given = Launch { function, grid: *grid, block: *block, blocks, parameters };
                launch(&mut self.memory, &given).map_err(|fault| fault.to_string())
            }
            Work::Graph(graph) => return graph.works.iter().try_for_each(|work| self.execute(work)),
            Work::Record { record } => {
                self.done.insert(*record);
                Ok(())
            }
            Work::Wait { .. } => Ok(()),
        };
        done.map_err(|what| self.fail(&what))
    }

    /// A fault: nothing goes on after it.
    fn fail(&mut self, what: &str) -> Code {
        self.failed = Some(ILLEGAL_ADDRESS);
        self.wrong(ILLEGAL_ADDRESS, what)
    }
}
