//! A launch: its blocks one after the other, the warps of a block from barrier to barrier, the threads of a warp together as long as they
//! take the same way. What a GPU would leave undefined is an error: accesses outside of memory or not aligned, races, barriers and
//! shuffles that not all threads reach.

use crate::matrix::{Copies, distributed, product};
use crate::memory::{Memory, Toucher, Touches};
use crate::ptx::{Address, Element, Function, Instruction, Op, Operand, Shuffle, Space, Special, insert_bits};
use std::fmt;
use std::ops::Range;

/// Where a block's shared memory lies in the window of all addresses.
pub const SHARED_WINDOW: u64 = 0x1_0000_0000;

/// Where a thread's own memory lies in the window of all addresses.
pub const LOCAL_WINDOW: u64 = 0x2_0000_0000;

/// Where a module's data lie in the window of all addresses.
pub const DATA_WINDOW: u64 = 0x4_0000_0000;

/// Threads of a warp.
const WARP: usize = 32;

/// Instructions of warps that a launch may execute; a loop without end is one with more.
const LIMIT: u64 = 4_000_000_000;

/// What a launch is given.
pub struct Launch<'a> {
    /// The kernel.
    pub function: &'a Function,
    /// Blocks along each axis.
    pub grid: [u32; 3],
    /// Threads of a block along each axis.
    pub block: [u32; 3],
    /// The blocks to execute, counted along x first; all of them are `0..x*y*z`.
    pub blocks: Range<u64>,
    /// The parameters' bytes.
    pub parameters: &'a [u8],
}

/// What a GPU would leave undefined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The kernel.
    pub kernel: String,
    /// The line of the PTX.
    pub line: usize,
    /// The block, along x.
    pub block: u32,
    /// The thread within the block.
    pub thread: usize,
    /// What it did.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fault { kernel, line, block, thread, what } = self;
        write!(formatter, "{kernel}, line {line}, block {block}, thread {thread}: {what}")
    }
}

/// Executes a launch.
///
/// # Errors
/// The first thing that is wrong.
pub fn launch(memory: &mut Memory, launch: &Launch<'_>) -> Result<(), Fault> {
    let [x, y, _] = launch.grid;
    let mut touches = Touches::default();
    let mut executed = 0;
    for number in launch.blocks.clone() {
        let place = [
            (number % u64::from(x)) as u32,
            (number / u64::from(x) % u64::from(y)) as u32,
            (number / (u64::from(x) * u64::from(y))) as u32,
        ];
        Block::new(launch, place, number, memory, &mut touches, &mut executed).run()?;
    }
    Ok(())
}

/// Threads of a warp that go together.
#[derive(Clone, Copy, Debug)]
struct Group {
    at: usize,
    lanes: u32,
    /// Whether it waits for other threads of the warp to come to the same instruction.
    parked: bool,
}

struct Warp {
    registers: Vec<[u64; WARP]>,
    /// By where they are, the least first; none twice.
    groups: Vec<Group>,
}

struct Block<'a> {
    launch: &'a Launch<'a>,
    place: [u32; 3],
    number: u64,
    memory: &'a mut Memory,
    touches: &'a mut Touches,
    executed: &'a mut u64,
    shared: Vec<u8>,
    shared_touches: Touches,
    copies: Copies,
    local: Vec<u8>,
    data: Vec<u8>,
    barriers: u32,
    threads: usize,
}

impl<'a> Block<'a> {
    fn new(
        launch: &'a Launch<'a>,
        place: [u32; 3],
        number: u64,
        memory: &'a mut Memory,
        touches: &'a mut Touches,
        executed: &'a mut u64,
    ) -> Self {
        let threads = launch.block.iter().product::<u32>() as usize;
        Block {
            shared: vec![0xff; launch.function.shared_bytes],
            local: vec![0xff; launch.function.local_bytes * threads],
            data: launch.function.data.to_vec(),
            launch,
            place,
            number,
            memory,
            touches,
            executed,
            shared_touches: Touches::default(),
            copies: Copies::new(threads, launch.function.shared_bytes),
            barriers: 0,
            threads,
        }
    }

    fn fault(&self, line: usize, thread: usize, what: impl Into<String>) -> Fault {
        let kernel = self.launch.function.name.clone();
        Fault { kernel, line, block: self.place[0], thread, what: what.into() }
    }

    fn run(&mut self) -> Result<(), Fault> {
        let mut warps: Vec<Warp> = (0..self.threads.div_ceil(WARP))
            .map(|warp| {
                let lanes = (self.threads - warp * WARP).min(WARP);
                let lanes = if lanes == WARP { u32::MAX } else { (1 << lanes) - 1 };
                let group = Group { at: 0, lanes, parked: false };
                Warp { registers: vec![[0; WARP]; self.launch.function.registers], groups: vec![group] }
            })
            .collect();
        loop {
            for (number, warp) in warps.iter_mut().enumerate() {
                self.advance(warp, number * WARP)?;
            }
            if warps.iter().all(|warp| warp.groups.is_empty()) {
                return Ok(());
            }
            // whoever has not ended waits
            self.barriers += 1;
            warps.iter_mut().flat_map(|warp| &mut warp.groups).for_each(|group| group.at += 1);
        }
    }

    /// Executes a warp up to a barrier of the block, where its one group stands then, or to its end.
    fn advance(&mut self, warp: &mut Warp, first: usize) -> Result<(), Fault> {
        let instructions = &self.launch.function.instructions;
        while !warp.groups.is_empty() {
            let Some(number) = warp.groups.iter().position(|group| !group.parked) else {
                let line = instructions[warp.groups[0].at].line;
                return Err(self.fault(line, first, "threads of a warp wait for each other at different places"));
            };
            let Group { at, lanes, .. } = warp.groups[number];
            let Some(instruction) = instructions.get(at) else {
                warp.groups.remove(number);
                continue;
            };
            *self.executed += 1;
            if *self.executed > LIMIT {
                return Err(self.fault(instruction.line, first, "the launch does not end"));
            }
            let active = match instruction.guard {
                None => lanes,
                Some((predicate, value)) => {
                    let values = &warp.registers[predicate];
                    let holds = (0..WARP).filter(|lane| (values[*lane] != 0) == value);
                    lanes & holds.fold(0, |mask, lane| mask | 1 << lane)
                }
            };
            // who must come to an instruction before it is executed
            let members = match &instruction.op {
                Op::Barrier => Some(warp.groups.iter().fold(0, |all, group| all | group.lanes)),
                Op::Shuffle { operands: [.., members], .. } | Op::WarpBarrier(members) => {
                    Some(self.value(warp, *members, first, lanes.trailing_zeros() as usize) as u32)
                }
                _ => None,
            };
            if let Some(members) = members {
                if active != lanes {
                    return Err(self.fault(instruction.line, first, "threads wait for others under a condition"));
                }
                if active != members {
                    warp.groups[number].parked = true;
                    continue;
                }
            }
            match &instruction.op {
                Op::Barrier => return Ok(()),
                Op::Branch(_) | Op::Return => {
                    warp.groups[number] = Group { at: at + 1, lanes: lanes & !active, parked: false };
                    if let Op::Branch(target) = &instruction.op {
                        warp.groups.push(Group { at: *target, lanes: active, parked: false });
                    }
                    regroup(&mut warp.groups);
                    continue;
                }
                _ if active == 0 => {}
                _ => self.execute(instruction, warp, first, active)?,
            }
            warp.groups[number].at = at + 1;
            if warp.groups.len() > 1 {
                regroup(&mut warp.groups);
            }
        }
        Ok(())
    }

    fn value(&self, warp: &Warp, operand: Operand, first: usize, lane: usize) -> u64 {
        match operand {
            Operand::Register(register) => warp.registers[register][lane],
            Operand::Value(value) | Operand::Local(value) => value,
            Operand::Lane => lane as u64,
            Operand::Special(Special::Block, axis) => u64::from(self.place[axis]),
            Operand::Special(Special::Blocks, axis) => u64::from(self.launch.grid[axis]),
            Operand::Special(Special::Threads, axis) => u64::from(self.launch.block[axis]),
            Operand::Special(Special::Thread, axis) => {
                let (thread, [x, y, _]) = ((first + lane) as u32, self.launch.block);
                u64::from([thread % x, thread / x % y, thread / (x * y)][axis])
            }
        }
    }

    fn execute(&mut self, instruction: &Instruction, warp: &mut Warp, first: usize, active: u32) -> Result<(), Fault> {
        let line = instruction.line;
        let lanes = (0..WARP).filter(|lane| active >> lane & 1 == 1);
        match &instruction.op {
            Op::Compute { function, destination, operands } => {
                let [a, b, c] = *operands;
                for lane in lanes {
                    let value = function(
                        self.value(warp, a, first, lane),
                        self.value(warp, b, first, lane),
                        self.value(warp, c, first, lane),
                    );
                    warp.registers[*destination][lane] = value;
                }
            }
            Op::InsertBits { destination, operands, bits } => {
                for lane in lanes {
                    let [a, b, start, length] = operands.map(|operand| self.value(warp, operand, first, lane));
                    warp.registers[*destination][lane] = insert_bits(a, b, start, length, *bits);
                }
            }
            Op::Pack { destination, parts, bits } => {
                for lane in lanes {
                    let value = parts.iter().enumerate().fold(0, |all, (number, part)| {
                        let part = self.value(warp, *part, first, lane) & (u64::MAX >> (64 - bits));
                        all | part << (number as u32 * bits)
                    });
                    warp.registers[*destination][lane] = value;
                }
            }
            Op::Unpack { destinations, source, bits } => {
                for lane in lanes {
                    let value = self.value(warp, *source, first, lane);
                    for (number, destination) in destinations.iter().enumerate() {
                        if let Some(destination) = destination {
                            let part = value >> (number as u32 * bits) & (u64::MAX >> (64 - bits));
                            warp.registers[*destination][lane] = part;
                        }
                    }
                }
            }
            Op::Load { space, destinations, address, element, non_coherent } => {
                for lane in lanes {
                    let address = self.address(warp, *address, first, lane);
                    let bytes = destinations.len() * element.bytes;
                    let thread = first + lane;
                    let mut parts = [0u8; 32];
                    let read = match space {
                        Space::Parameters => {
                            let range = address as usize..(address as usize).saturating_add(bytes);
                            self.launch.parameters.get(range).ok_or_else(|| "a parameter that there is not".to_string())
                        }
                        _ => {
                            let access = Access::Read(*non_coherent);
                            self.access(*space, address, bytes, thread, access).map(|bytes| &*bytes)
                        }
                    };
                    match read {
                        Ok(read) => parts[..bytes].copy_from_slice(read),
                        Err(what) => return Err(self.fault(line, thread, what)),
                    }
                    for (part, destination) in parts.chunks_exact(element.bytes).zip(destinations) {
                        if let Some(destination) = destination {
                            warp.registers[*destination][lane] = extend(part, *element);
                        }
                    }
                }
            }
            Op::Store { space, values, address, element } => {
                for lane in lanes {
                    let address = self.address(warp, *address, first, lane);
                    let mut parts = [0u8; 32];
                    let bytes = values.len() * element.bytes;
                    for (part, value) in parts.chunks_exact_mut(element.bytes).zip(values) {
                        let value = self.value(warp, *value, first, lane).to_le_bytes();
                        part.copy_from_slice(&value[..element.bytes]);
                    }
                    let thread = first + lane;
                    match self.access(*space, address, bytes, thread, Access::Write) {
                        Ok(written) => written.copy_from_slice(&parts[..bytes]),
                        Err(what) => return Err(self.fault(line, thread, what)),
                    }
                }
            }
            Op::Shuffle { mode, destination, in_range, operands } => {
                let before: [[u64; WARP]; 4] =
                    operands.map(|operand| std::array::from_fn(|lane| self.value(warp, operand, first, lane)));
                for lane in lanes {
                    let [_, distance, control, members] = [0, 1, 2, 3].map(|number| before[number][lane]);
                    if members as u32 != active {
                        let what = format!("a shuffle of the threads {members:#x}, which {active:#x} execute");
                        return Err(self.fault(line, first + lane, what));
                    }
                    let (clamp, segment) = ((control & 31) as usize, (control >> 8 & 31) as usize);
                    let most = lane & segment | clamp & !segment;
                    let least = lane & segment;
                    let distance = (distance & 31) as usize;
                    let (other, inside) = match mode {
                        Shuffle::Butterfly => (lane ^ distance, lane ^ distance <= most),
                        Shuffle::Up => (lane.wrapping_sub(distance), lane >= distance + most),
                        Shuffle::Down => (lane + distance, lane + distance <= most),
                        Shuffle::Index => (least | distance & !segment, least | distance & !segment <= most),
                    };
                    let other = if inside { other } else { lane };
                    if active >> other & 1 == 0 {
                        let what = format!("a shuffle takes the value of thread {other}, which does not take part");
                        return Err(self.fault(line, first + lane, what));
                    }
                    warp.registers[*destination][lane] = before[0][other] & 0xffff_ffff;
                    if let Some(in_range) = in_range {
                        warp.registers[*in_range][lane] = u64::from(inside);
                    }
                }
            }
            Op::WarpBarrier(members) => {
                for lane in lanes {
                    let members = self.value(warp, *members, first, lane);
                    if members as u32 != active {
                        let what = format!("a barrier of the threads {members:#x}, which {active:#x} reach");
                        return Err(self.fault(line, first + lane, what));
                    }
                }
            }
            Op::Copy { to, from, bytes, given } => {
                for lane in lanes {
                    let (to, from) = (self.address(warp, *to, first, lane), self.address(warp, *from, first, lane));
                    let given = self.value(warp, *given, first, lane) as u32 as usize;
                    let thread = first + lane;
                    let copied = self.start_copy(thread, to, from, *bytes, given);
                    copied.map_err(|what| self.fault(line, thread, what))?;
                }
            }
            Op::CommitCopies => lanes.for_each(|lane| self.copies.commit(first + lane)),
            Op::AwaitCopies(pending) => {
                for lane in lanes {
                    let thread = first + lane;
                    for (place, bytes) in self.copies.wait(thread, *pending) {
                        // what it has waited for, the thread has written now
                        match self.access(Space::Shared, place, bytes.len(), thread, Access::Write) {
                            Ok(written) => written.copy_from_slice(&bytes),
                            Err(what) => return Err(self.fault(line, thread, what)),
                        }
                    }
                }
            }
            Op::LoadMatrix { destinations, address, transposed } => {
                self.whole_warp(line, first, active)?;
                let mut read = [[0; 16]; WARP];
                for lane in lanes {
                    let address = self.address(warp, *address, first, lane);
                    match self.access(Space::Shared, address, 16, first + lane, Access::Read(false)) {
                        Ok(bytes) => read[lane].copy_from_slice(bytes),
                        Err(what) => return Err(self.fault(line, first + lane, what)),
                    }
                }
                for (destination, values) in destinations.iter().zip(distributed(&read, *transposed)) {
                    warp.registers[*destination] = values;
                }
            }
            Op::MultiplyMatrix { factors, destinations, operands } => {
                self.whole_warp(line, first, active)?;
                let given = operands.map(|operand| std::array::from_fn(|lane| self.value(warp, operand, first, lane)));
                for (destination, values) in destinations.iter().zip(product(&given, *factors)) {
                    warp.registers[*destination] = values;
                }
            }
            Op::Trap => return Err(self.fault(line, first + active.trailing_zeros() as usize, "a trap")),
            Op::Nothing | Op::Branch(_) | Op::Return | Op::Barrier | Op::Call { .. } => {}
        }
        Ok(())
    }

    fn address(&self, warp: &Warp, address: Address, first: usize, lane: usize) -> u64 {
        self.value(warp, address.base, first, lane).wrapping_add_signed(address.offset)
    }

    fn whole_warp(&self, line: usize, first: usize, active: u32) -> Result<(), Fault> {
        match active {
            u32::MAX => Ok(()),
            _ => Err(self.fault(line, first, format!("an instruction of a whole warp, which {active:#x} execute"))),
        }
    }

    /// Starts a copy into shared memory. What it writes must be ordered like a write of the thread from here until it is awaited.
    fn start_copy(&mut self, thread: usize, to: u64, from: u64, bytes: usize, given: usize) -> Result<(), String> {
        if given > bytes {
            return Err(format!("a copy of {bytes} bytes reads {given}"));
        }
        let mut copied = vec![0; bytes];
        if given > 0 {
            if !from.is_multiple_of(bytes as u64) {
                return Err(format!("a copy of {bytes} bytes at {from:#x}, which is no multiple of {bytes}"));
            }
            // by bytes, since a part may have any length
            for (place, byte) in copied[..given].iter_mut().enumerate() {
                *byte = self.access(Space::Global, from + place as u64, 1, thread, Access::Read(false))?[0];
            }
        }
        self.access(Space::Shared, to, bytes, thread, Access::Write)?.fill(0xff);
        self.copies.start(thread, to, copied);
        Ok(())
    }

    /// The bytes that a thread reads or writes.
    fn access(
        &mut self,
        space: Space,
        address: u64,
        bytes: usize,
        thread: usize,
        access: Access,
    ) -> Result<&mut [u8], String> {
        let (space, address) = match space {
            Space::Generic if (SHARED_WINDOW..LOCAL_WINDOW).contains(&address) => {
                (Space::Shared, address - SHARED_WINDOW)
            }
            Space::Generic if (LOCAL_WINDOW..2 * LOCAL_WINDOW).contains(&address) => {
                (Space::Local, address - LOCAL_WINDOW)
            }
            Space::Generic | Space::Global if (DATA_WINDOW..2 * DATA_WINDOW).contains(&address) => {
                (Space::Data, address - DATA_WINDOW)
            }
            Space::Generic => (Space::Global, address),
            other => (other, address),
        };
        if !address.is_multiple_of(bytes as u64) {
            return Err(format!("{bytes} bytes at {address:#x}, which is no multiple of {bytes}"));
        }
        let by = Toucher {
            thread: self.number * self.threads as u64 + thread as u64,
            block: self.number,
            barriers: self.barriers,
            block_threads: self.threads as u64,
        };
        let within = |size: usize, what: &str| {
            let end = usize::try_from(address).ok().and_then(|start| Some(start..start.checked_add(bytes)?));
            let message = || format!("{bytes} bytes at byte {address} of {what}, which has {size}");
            end.filter(|range| range.end <= size).ok_or_else(message)
        };
        match space {
            Space::Shared => {
                let range = within(self.shared.len(), "the block's shared memory")?;
                if self.copies.writes(address, bytes) {
                    return Err(format!("{bytes} bytes at byte {address} of shared memory, which a copy still writes"));
                }
                self.shared_touches.note(address, bytes, by, access == Access::Write, false)?;
                Ok(&mut self.shared[range])
            }
            Space::Local => {
                let size = self.launch.function.local_bytes;
                let range = within(size, "the thread's memory")?;
                let start = thread * size;
                Ok(&mut self.local[start + range.start..start + range.end])
            }
            Space::Parameters => Err("a parameter is written, or read by its address".into()),
            Space::Data if access == Access::Write => Err("the module's constant data are written".into()),
            Space::Data => {
                let range = within(self.data.len(), "the module's data")?;
                Ok(&mut self.data[range])
            }
            Space::Global | Space::Generic => {
                let found = self.memory.bytes(address, bytes)?;
                let non_coherent = access == Access::Read(true);
                self.touches.note(address, bytes, by, access == Access::Write, non_coherent)?;
                Ok(found)
            }
        }
    }
}

/// How memory is accessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    /// Whether by the way for memory that nobody writes meanwhile.
    Read(bool),
    Write,
}

/// Groups in order, those at one place together.
fn regroup(groups: &mut Vec<Group>) {
    groups.retain(|group| group.lanes != 0);
    groups.sort_by_key(|group| group.at);
    groups.dedup_by(|later, earlier| {
        let same = later.at == earlier.at;
        if same {
            earlier.lanes |= later.lanes;
            earlier.parked = false;
        }
        same
    });
}

/// An element as a register holds it.
fn extend(bytes: &[u8], element: Element) -> u64 {
    let mut all = [0u8; 8];
    all[..bytes.len()].copy_from_slice(bytes);
    let value = u64::from_le_bytes(all);
    if !element.signed || element.bytes == 8 {
        return value;
    }
    let shift = 64 - 8 * element.bytes as u32;
    let extended = ((value << shift) as i64 >> shift) as u64;
    extended & (u64::MAX >> (64 - element.register_bits))
}

#[cfg(test)]
mod tests {
    use super::{Launch, launch};
    use crate::memory::Memory;
    use crate::ptx::parse;

    /// Two warps start a copy of 16 bytes a thread into shared memory, then do what is given: `%rd5` is the place that a thread writes, `%rd7`
    /// that of a thread of the other warp.
    fn after_copies(rest: &str) -> Result<(), String> {
        let text = format!(
            ".version 8.0\n.target sm_80\n.address_size 64\n
             .visible .entry k(\n.param .u64 .ptr .align 16 k_param_0\n)\n.reqntid 64\n{{
             .reg .b32 %r<8>;\n.reg .b64 %rd<8>;\n.shared .align 16 .b8 s[1024];
             ld.param.b64 %rd1, [k_param_0];
             mov.u32 %r1, %tid.x;
             shl.b32 %r2, %r1, 4;
             xor.b32 %r4, %r2, 512;
             cvt.u64.u32 %rd2, %r2;
             cvt.u64.u32 %rd6, %r4;
             mov.b64 %rd4, s;
             add.s64 %rd3, %rd1, %rd2;
             add.s64 %rd5, %rd4, %rd2;
             add.s64 %rd7, %rd4, %rd6;
             cp.async.cg.shared.global [%rd5], [%rd3], 16;
             cp.async.commit_group;
             {rest}
             ret;\n}}\n"
        );
        let module = parse(&text)?;
        let mut memory = Memory::new(1 << 20);
        let place = memory.allocate(1024).ok_or("no memory")?;
        memory.bytes(place, 1024)?.fill(7);
        let parameters = place.to_le_bytes();
        let (grid, block) = ([1, 1, 1], [64, 1, 1]);
        let given = Launch { function: &module.functions[0], grid, block, blocks: 0..1, parameters: &parameters };
        launch(&mut memory, &given).map_err(|fault| fault.what)
    }

    #[test]
    fn copies_are_seen_when_they_are_awaited() {
        let fails = |rest: &str, how: &str| {
            let what = after_copies(rest).expect_err(rest);
            assert!(what.contains(how), "{rest}: {what}");
        };
        let unordered = "unordered";
        let still = "which a copy still writes";
        fails("ld.shared.b32 %r3, [%rd5];", still);
        fails("st.shared.b32 [%rd5], %r1;", still);
        fails("cp.async.wait_group 1;\nld.shared.b32 %r3, [%rd5];", still);
        assert_eq!(after_copies("cp.async.wait_group 0;\nld.shared.b32 %r3, [%rd5];"), Ok(()));
        fails("cp.async.wait_group 0;\nld.shared.b32 %r3, [%rd7];", unordered);
        // a barrier orders nothing that nobody has waited for
        fails("bar.sync 0;\nld.shared.b32 %r3, [%rd7];", still);
        assert_eq!(after_copies("cp.async.wait_group 0;\nbar.sync 0;\nld.shared.b32 %r3, [%rd7];"), Ok(()));
        // the next copy must wait for those who read what was there
        let next = "cp.async.cg.shared.global [%rd5], [%rd3], 16;";
        let read = "cp.async.wait_group 0;\nbar.sync 0;\nld.shared.b32 %r3, [%rd7];";
        fails(&format!("{read}\n{next}"), still);
        assert_eq!(after_copies(&format!("{read}\nbar.sync 0;\n{next}")), Ok(()));
        let matrix = "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r0, %r1, %r2, %r3}, [%rd5];";
        fails(matrix, still);
        assert_eq!(after_copies(&format!("cp.async.wait_group 0;\n{matrix}")), Ok(()));
    }
}
