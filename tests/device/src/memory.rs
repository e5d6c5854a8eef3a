//! The device's memory: allocations at addresses of their own, and who touched each byte during a launch.

use std::collections::HashMap;

/// Addresses of the device start here: no host has memory there.
const FIRST_ADDRESS: u64 = 0x7f00_0000_0000_0000;

/// Every allocation starts at a multiple of this, as NVIDIA's do.
const ALIGNMENT: u64 = 512;

/// Bytes of the addresses between two allocations, which nothing may touch.
const GAP: u64 = 4096;

/// What memory holds that nobody has written: floats of it are NaN.
const UNWRITTEN: u8 = 0xff;

/// Memory in allocations.
pub struct Memory {
    allocations: Vec<Allocation>,
    next: u64,
    /// Bytes that may still be allocated.
    free: u64,
    total: u64,
    /// The allocation that was found last.
    last: usize,
}

struct Allocation {
    start: u64,
    bytes: Vec<u8>,
}

impl Memory {
    /// A device with so many bytes.
    pub fn new(total: u64) -> Self {
        Memory { allocations: Vec::new(), next: FIRST_ADDRESS, free: total, total, last: 0 }
    }

    /// The address of new memory; `None` where there is not enough.
    pub fn allocate(&mut self, bytes: u64) -> Option<u64> {
        if bytes == 0 || bytes > self.free {
            return None;
        }
        let start = self.next;
        self.next = (start + bytes + GAP).next_multiple_of(ALIGNMENT);
        self.free -= bytes;
        // addresses only grow, so they stay sorted
        self.allocations.push(Allocation { start, bytes: vec![UNWRITTEN; bytes as usize] });
        Some(start)
    }

    /// Gives an allocation back; `false` where there is none at the address.
    pub fn release(&mut self, address: u64) -> bool {
        let Ok(place) = self.allocations.binary_search_by_key(&address, |allocation| allocation.start) else {
            return false;
        };
        self.free += self.allocations.remove(place).bytes.len() as u64;
        self.last = 0;
        true
    }

    /// Free and all bytes.
    pub fn extent(&self) -> (u64, u64) {
        (self.free, self.total)
    }

    /// Number of allocations that were not given back.
    pub fn allocations(&self) -> usize {
        self.allocations.len()
    }

    /// The bytes at an address.
    ///
    /// # Errors
    /// Says where they are not all within one allocation.
    pub fn bytes(&mut self, address: u64, length: usize) -> Result<&mut [u8], String> {
        let fits = |allocation: &Allocation| {
            let offset = address.checked_sub(allocation.start)?;
            let end = offset.checked_add(length as u64)?;
            (end <= allocation.bytes.len() as u64).then_some(offset as usize..end as usize)
        };
        if let Some(range) = self.allocations.get(self.last).and_then(fits) {
            return Ok(&mut self.allocations[self.last].bytes[range]);
        }
        let after = self.allocations.partition_point(|allocation| allocation.start <= address);
        if let Some(place) = after.checked_sub(1) {
            if let Some(range) = fits(&self.allocations[place]) {
                self.last = place;
                return Ok(&mut self.allocations[place].bytes[range]);
            }
            let Allocation { start, bytes } = &self.allocations[place];
            let offset = address - start;
            return Err(format!(
                "{length} bytes at {address:#x}, byte {offset} behind the start of an allocation of {} bytes",
                bytes.len()
            ));
        }
        Err(format!("{length} bytes at {address:#x}, where there is no allocation"))
    }
}

/// Who touched a byte.
#[derive(Clone, Copy, Default)]
struct Touch {
    /// The thread that wrote last, counted over the grid from 1; 0 where nobody did.
    writer: u64,
    /// The barriers of its block before that.
    written_after: u32,
    /// The thread that read last, or [`MANY`] of its block since the last barrier.
    reader: u64,
    /// The barriers of its block before that.
    read_after: u32,
    /// The block that read, from 1, or [`MANY`].
    reading_block: u64,
}

const MANY: u64 = u64::MAX;

/// A thread in a launch.
#[derive(Clone, Copy, Debug)]
pub struct Toucher {
    /// Its number over the grid.
    pub thread: u64,
    /// Its block's.
    pub block: u64,
    /// Barriers that its block has passed.
    pub barriers: u32,
    /// Threads of a block.
    pub block_threads: u64,
}

const PAGE: u64 = 1024;

/// Who touched which byte of a memory since a launch or block began. Threads that no barrier of their block orders must not touch a byte
/// that one of them writes; threads of different blocks never.
#[derive(Default)]
pub struct Touches {
    pages: HashMap<u64, Box<[Touch; PAGE as usize]>>,
}

impl Touches {
    /// Forgets all.
    pub fn clear(&mut self) {
        self.pages.clear();
    }

    /// Notes an access.
    ///
    /// # Errors
    /// Says which other thread's access races with it.
    pub fn note(
        &mut self,
        address: u64,
        length: usize,
        by: Toucher,
        writes: bool,
        non_coherent: bool,
    ) -> Result<(), String> {
        let mut at = address;
        let end = address + length as u64;
        while at < end {
            let page = self.pages.entry(at / PAGE).or_insert_with(|| Box::new([Touch::default(); PAGE as usize]));
            let stop = end.min((at / PAGE + 1) * PAGE);
            for touch in &mut page[(at % PAGE) as usize..=((stop - 1) % PAGE) as usize] {
                touch.note(by, writes, non_coherent)?;
            }
            at = stop;
        }
        Ok(())
    }
}

impl Touch {
    fn note(&mut self, by: Toucher, writes: bool, non_coherent: bool) -> Result<(), String> {
        let Toucher { thread, block, barriers, block_threads } = by;
        let (own, own_block) = (thread + 1, block + 1);
        let verb = if writes { "writes" } else { "reads" };
        if self.writer != 0 {
            let other = self.writer - 1;
            if non_coherent {
                return Err(format!("reads as read-only memory what thread {other} of the grid wrote in this launch"));
            }
            let other_block = other / block_threads;
            if other_block != block || (self.written_after == barriers && self.writer != own) {
                return Err(format!("{verb} what thread {other} of the grid (block {other_block}) writes, unordered"));
            }
        }
        if writes {
            let races = match (self.reading_block, self.reader) {
                (0, _) => false,
                (reading, _) if reading != own_block => true,
                (_, reader) => self.read_after == barriers && reader != own,
            };
            if races {
                let reader = match self.reader {
                    MANY => "several threads".to_string(),
                    reader => format!("thread {} of the grid", reader - 1),
                };
                return Err(format!("writes what {reader} reads, unordered"));
            }
            (self.writer, self.written_after) = (own, barriers);
            return Ok(());
        }
        self.reader = match self.reader {
            reader if self.reading_block == own_block && self.read_after == barriers && reader != own => MANY,
            _ => own,
        };
        self.read_after = barriers;
        self.reading_block = if self.reading_block == 0 || self.reading_block == own_block { own_block } else { MANY };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(thread: u64, barriers: u32) -> Toucher {
        Toucher { thread, block: thread / 32, barriers, block_threads: 32 }
    }

    #[test]
    fn only_what_is_unordered_races() {
        let mut touches = Touches::default();
        let mut note =
            |address, thread, barriers, writes| touches.note(address, 4, by(thread, barriers), writes, false);
        assert_eq!(note(0, 0, 0, true), Ok(()));
        assert_eq!(note(0, 0, 0, false), Ok(()));
        assert_eq!(note(4, 1, 0, true), Ok(()), "neighbours");
        assert!(note(0, 1, 0, false).is_err(), "read after another thread's write");
        assert_eq!(note(0, 1, 1, false), Ok(()), "a barrier between");
        assert!(note(0, 2, 1, true).is_err(), "write after another thread's read");
        assert_eq!(note(0, 2, 2, true), Ok(()), "a barrier between");
        assert!(note(0, 33, 9, false).is_err(), "barriers of one block do not order another's");
        assert_eq!((note(64, 3, 0, false), note(64, 40, 0, false)), (Ok(()), Ok(())), "all may read");
        assert!(note(64, 3, 5, true).is_err(), "another block reads it");
    }

    #[test]
    fn addresses_outside_of_allocations_are_errors() {
        let mut memory = Memory::new(1 << 20);
        let a = memory.allocate(100).unwrap();
        let b = memory.allocate(100).unwrap();
        assert!(b >= a + 100 + GAP && a.is_multiple_of(ALIGNMENT));
        assert_eq!(memory.bytes(a + 96, 4).unwrap(), [UNWRITTEN; 4]);
        let error = memory.bytes(a + 98, 4).unwrap_err();
        assert!(error.ends_with("byte 98 behind the start of an allocation of 100 bytes"), "{error}");
        assert!(memory.release(a) && !memory.release(a) && memory.bytes(a, 1).is_err());
        assert!(memory.allocate(1 << 20).is_none() && memory.extent() == ((1 << 20) - 100, 1 << 20));
    }
}
