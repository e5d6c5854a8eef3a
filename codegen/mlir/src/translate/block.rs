//! Kernels for a GPU. A block of threads executes a task, and a register's lanes are spread over the block's threads: of `lanes` lanes and
//! `threads` threads, thread `t` holds the `lanes / threads` lanes from `t * lanes / threads` on. Registers with fewer lanes than there are
//! threads, scalars among them, are held several times: lane `t mod lanes` by thread `t`; the first `lanes` threads store them.
//! So control flow is the same in all threads, and neighbours in a register are neighbours in memory for neighbouring threads.
//!
//! Lanes are reduced by a butterfly in the order of the tree that the kernel IR asks for: between warps through shared memory, within
//! a warp by shuffles, within a thread last. Scratch memory is shared memory. Where an access may meet what another thread wrote or is
//! yet to read, a barrier stands before it.

use super::value::{lane_type, type_of};
use super::{Result, Translator, entry, identifier};
use kc_abi::DType;
use kc_ir::kernel::{Access, For, Index, Instruction, Kernel, MemoryId, Register, RegisterType, Space, Statement};
use kc_ir::tensor::ops::Binary;
use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;

/// Bytes of shared memory that a block has without being asked for more, on every architecture.
const SHARED_BYTES: u64 = 48 << 10;

/// Bytes that every buffer's first element is aligned to.
const BUFFER_ALIGNMENT: usize = 16;

/// Threads that exchange values without memory.
const WARP: u32 = 32;

/// An access to memory since the last barrier.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    memory: MemoryId,
    writes: bool,
    lanes: u32,
    /// `None` where the position has another meaning by now.
    position: Option<Index>,
}

/// How a kernel is spread over threads, and what is known on the way through it.
#[derive(Debug)]
pub(super) struct Spread {
    pub(super) threads: u32,
    /// Lanes of each whole register.
    lanes: Vec<u32>,
    pub(super) pending: Vec<Pending>,
    /// Numbers of lanes whose first lane the prelude computes.
    firsts: BTreeSet<u32>,
    /// Whether values go through shared memory from thread to thread.
    exchanges: bool,
    /// Known divisors of loop variables and of positions held in registers; 0 where the value is 0.
    axes: HashMap<u32, i64>,
    registers: HashMap<u32, i64>,
}

/// The kernel as one thread sees it, and how it was spread.
pub(super) fn spread(kernel: &Kernel) -> (Kernel, Spread) {
    let threads = kernel.block_threads();
    let mut thread = kernel.clone();
    thread.registers.iter_mut().for_each(|ty| ty.lanes = (ty.lanes / threads).max(1));
    let spread = Spread {
        threads,
        lanes: kernel.registers.iter().map(|ty| ty.lanes).collect(),
        pending: vec![],
        firsts: BTreeSet::new(),
        exchanges: false,
        axes: HashMap::new(),
        registers: HashMap::new(),
    };
    (thread, spread)
}

pub(super) fn greatest_common_divisor(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

impl Spread {
    /// A divisor of an index; 0 where it is 0.
    pub(super) fn divisor(&self, index: &Index) -> i64 {
        match index {
            Index::Constant(value) => value.checked_abs().unwrap_or(1),
            Index::Axis(axis) => self.axes.get(&axis.0).copied().unwrap_or(1),
            Index::Register(register) => self.registers.get(&register.0).copied().unwrap_or(1),
            Index::Add(a, b) | Index::Min(a, b) | Index::Max(a, b) | Index::Modulo(a, b) => {
                greatest_common_divisor(self.divisor(a), self.divisor(b))
            }
            Index::Multiply(a, b) => self.divisor(a).checked_mul(self.divisor(b)).unwrap_or(1),
            Index::Dim(_) | Index::FloorDiv(..) => 1,
        }
    }

    /// Whether two accesses at the same position are by the same thread.
    fn is_own(&self, lanes: u32) -> bool {
        lanes >= self.threads
    }
}

/// What a loop's body touches and defines.
#[derive(Default)]
struct Body<'k> {
    /// Memory, whether it is written, position, lanes.
    accesses: Vec<(MemoryId, bool, &'k Index, u32)>,
    registers: BTreeSet<Register>,
    axes: BTreeSet<u32>,
}

impl<'k> Body<'k> {
    fn collect(&mut self, statements: &'k [Statement], lanes: &[u32]) {
        for statement in statements {
            match statement {
                Statement::Let(register, instruction) => {
                    self.registers.insert(*register);
                    if let Instruction::Load { memory, position, .. } = instruction {
                        self.accesses.push((*memory, false, position, lanes[register.0 as usize]));
                    }
                    if let Instruction::LoadSpaced(spaced) = instruction {
                        self.accesses.push((spaced.memory, false, &spaced.position, 0));
                    }
                    if let Instruction::LoadTiles(tiles, _) = instruction {
                        self.accesses.push((tiles.memory, false, &tiles.position, 0));
                    }
                }
                Statement::Store { memory, position, value, .. } => {
                    self.accesses.push((*memory, true, position, lanes[value.0 as usize]));
                }
                Statement::For(inner) => {
                    self.axes.insert(inner.axis.0);
                    self.registers.extend(inner.parameters.iter().chain(&inner.results));
                    self.collect(&inner.body, lanes);
                }
                Statement::If(branch) => {
                    self.registers.extend(&branch.results);
                    self.collect(&branch.then, lanes);
                    self.collect(&branch.otherwise, lanes);
                }
                Statement::StoreTiles(tiles, _) => self.accesses.push((tiles.memory, true, &tiles.position, 0)),
                Statement::StoreSpaced(spaced, _) => self.accesses.push((spaced.memory, true, &spaced.position, 0)),
                Statement::Copy(copy) => self.accesses.push((copy.from, false, &copy.from_position, 0)),
                Statement::Gemm(_)
                | Statement::Library(_)
                | Statement::Prefetch { .. }
                | Statement::CommitCopies
                | Statement::AwaitCopies { .. } => {}
            }
        }
    }

    /// Whether an index is the same in every round of the loop over `axis`.
    fn is_fixed(&self, index: &Index, axis: u32) -> bool {
        match index {
            Index::Constant(_) | Index::Dim(_) => true,
            Index::Axis(other) => other.0 != axis && !self.axes.contains(&other.0),
            Index::Register(register) => !self.registers.contains(register),
            Index::Add(a, b)
            | Index::Multiply(a, b)
            | Index::FloorDiv(a, b)
            | Index::Modulo(a, b)
            | Index::Min(a, b)
            | Index::Max(a, b) => self.is_fixed(a, axis) && self.is_fixed(b, axis),
        }
    }

    /// Whether an index moves by as much as the loop's variable from round to round.
    fn moves_along(&self, index: &Index, axis: u32) -> bool {
        match index {
            Index::Axis(other) => other.0 == axis,
            Index::Add(a, b) => {
                (self.moves_along(a, axis) && self.is_fixed(b, axis))
                    || (self.is_fixed(a, axis) && self.moves_along(b, axis))
            }
            _ => false,
        }
    }
}

impl Translator<'_> {
    /// Lanes of a whole register.
    pub(super) fn whole_lanes(&self, register: Register) -> u32 {
        match &self.spread {
            Some(spread) => spread.lanes[register.0 as usize],
            None => self.kernel.registers[register.0 as usize].lanes,
        }
    }

    /// The number of the thread's first lane among `whole`, an `i64`; `None` where each thread holds all lanes.
    pub(super) fn first_lane(&mut self, whole: u32) -> Option<String> {
        let spread = self.spread.as_mut().filter(|_| whole > 1)?;
        spread.firsts.insert(whole);
        Some(format!("%first_{whole}"))
    }

    /// The pointer to the thread's part of `whole` lanes from `pointer` on.
    pub(super) fn part(&mut self, pointer: String, element: &str, whole: u32) -> String {
        match self.first_lane(whole) {
            Some(first) => {
                self.op(&format!("llvm.getelementptr {pointer}[{first}] : (!llvm.ptr, i64) -> !llvm.ptr, {element}"))
            }
            None => pointer,
        }
    }

    /// The alignment in bytes of a thread's `held` elements of memory from a position on.
    pub(super) fn alignment(&self, memory: MemoryId, position: &Index, dtype: DType, held: u32) -> usize {
        let starts_anywhere = self.kernel.memory[memory.0 as usize].part;
        match &self.spread {
            Some(spread) if !starts_anywhere && spread.divisor(position) % i64::from(held) == 0 => {
                (held as usize * dtype.bytes()).min(BUFFER_ALIGNMENT)
            }
            _ => dtype.bytes(),
        }
    }

    /// The condition under which a thread stores a value of `whole` lanes; `None` where every thread does.
    pub(super) fn owner(&mut self, whole: u32) -> Option<String> {
        let threads = self.spread.as_ref()?.threads;
        (whole < threads).then(|| {
            let whole = self.i64(whole.into());
            self.op(&format!("arith.cmpi ult, %thread, {whole} : i64"))
        })
    }

    pub(super) fn barrier(&mut self) {
        let all = self.int_constant(32, 0, 1);
        self.line(&format!("llvm.call_intrinsic \"llvm.nvvm.barrier.cta.sync.aligned.all\"({all}) : (i32) -> ()"));
    }

    /// Puts a barrier before an access that may meet another thread's.
    pub(super) fn access(&mut self, memory: MemoryId, position: &Index, lanes: u32, writes: bool) {
        let Some(spread) = &self.spread else { return };
        let meets = |other: &Pending| {
            other.memory == memory
                && (other.writes || writes)
                && !(spread.is_own(lanes) && other.lanes == lanes && other.position.as_ref() == Some(position))
        };
        let is_needed = spread.pending.iter().any(meets);
        if is_needed {
            self.barrier();
        }
        if let Some(spread) = &mut self.spread {
            if is_needed {
                spread.pending.clear();
            }
            spread.pending.push(Pending { memory, writes, lanes, position: Some(position.clone()) });
        }
    }

    /// Notes what is known of a position that a register holds.
    pub(super) fn note_position(&mut self, register: Register, index: &Index) {
        if let Some(spread) = &mut self.spread {
            let divisor = spread.divisor(index);
            spread.registers.insert(register.0, divisor);
        }
    }

    /// Before a loop of independent rounds: a barrier where one of them may meet what was accessed before, so that none needs one for that.
    pub(super) fn before_independent(&mut self, f: &For) {
        let Some(spread) = self.spread.as_mut().filter(|_| f.independent) else { return };
        let mut body = Body::default();
        body.collect(&f.body, &spread.lanes);
        let meets = |&(memory, writes, ..): &(MemoryId, bool, &Index, u32)| {
            spread.pending.iter().any(|other| other.memory == memory && (other.writes || writes))
        };
        if body.accesses.iter().any(meets) {
            spread.pending.clear();
            self.barrier();
        }
    }

    /// At the start of a loop's body: a barrier where rounds may meet. Gives what [`Translator::leave_loop`] takes.
    pub(super) fn enter_loop(&mut self, f: &For) -> Vec<(MemoryId, bool, u32)> {
        let Some(spread) = &mut self.spread else { return vec![] };
        let divisor = greatest_common_divisor(spread.divisor(&f.start), f.step);
        spread.axes.insert(f.axis.0, divisor);
        let mut body = Body::default();
        body.registers.extend(&f.parameters);
        body.collect(&f.body, &spread.lanes);
        let meets = body.accesses.iter().any(|&(memory, writes, position, lanes)| {
            let same = |other: &&(MemoryId, bool, &Index, u32)| other.0 == memory;
            let is_private = spread.is_own(lanes)
                && f.step >= i64::from(lanes)
                && body.moves_along(position, f.axis.0)
                && body.accesses.iter().filter(same).all(|other| other.2 == position && other.3 == lanes);
            writes && !is_private && !f.independent
        });
        let before = spread.pending.iter().map(|pending| (pending.memory, pending.writes, pending.lanes)).collect();
        if meets {
            spread.pending.clear();
            self.barrier();
        }
        before
    }

    /// After a loop: what was accessed before it, where there was no round, and what rounds accessed last.
    pub(super) fn leave_loop(&mut self, f: &For, before: Vec<(MemoryId, bool, u32)>) {
        let Some(spread) = &mut self.spread else { return };
        spread.axes.remove(&f.axis.0);
        spread.pending.iter_mut().for_each(|pending| pending.position = None);
        let before = before.into_iter();
        let before = before.map(|(memory, writes, lanes)| Pending { memory, writes, lanes, position: None });
        spread.pending.extend(before);
    }

    /// What is pending before the sides of a branch.
    pub(super) fn pending_marks(&self) -> PendingMarks {
        PendingMarks(self.spread.as_ref().map(|spread| spread.pending.clone()).unwrap_or_default())
    }

    /// The second side of a branch starts with what was pending before the first. Gives what the first left.
    pub(super) fn second_side(&mut self, before: PendingMarks) -> PendingMarks {
        let Some(spread) = &mut self.spread else { return before };
        PendingMarks(std::mem::replace(&mut spread.pending, before.0))
    }

    /// After a branch what either side left is pending.
    pub(super) fn join_sides(&mut self, first: PendingMarks) {
        if let Some(spread) = &mut self.spread {
            spread.pending.extend(first.0);
        }
    }

    /// Combines lane `l` with lane `l + whole/2` until each thread holds lanes of which the rest is its own, and gives those. Every thread of
    /// the block has the same result.
    pub(super) fn reduce_threads(
        &mut self,
        function: Binary,
        x: String,
        ty: RegisterType,
        whole: u32,
    ) -> Result<String> {
        let Some(threads) = self.spread.as_ref().map(|spread| spread.threads) else { return Ok(x) };
        let mut x = x;
        let mut distance = whole.min(threads) / 2;
        while distance > 0 {
            let other = self.thread_value(&x, ty, distance)?;
            x = self.binary(function, &x, &other, ty)?;
            distance /= 2;
        }
        Ok(x)
    }

    /// The value that the thread has whose number differs in the bit `distance`.
    fn thread_value(&mut self, x: &str, ty: RegisterType, distance: u32) -> Result<String> {
        let RegisterType { dtype, lanes } = ty;
        let (element, vector) = (lane_type(dtype), type_of(dtype, lanes));
        if lanes == 1 {
            return Ok(self.element_from_thread(x, dtype, distance));
        }
        let mut all = x.to_string();
        for lane in 0..lanes {
            let own = self.op(&format!("vector.extract {x}[{lane}] : {element} from {vector}"));
            let other = self.element_from_thread(&own, dtype, distance);
            all = self.op(&format!("vector.insert {other}, {all}[{lane}] : {element} into {vector}"));
        }
        Ok(all)
    }

    fn element_from_thread(&mut self, x: &str, dtype: DType, distance: u32) -> String {
        let (element, bits) = (lane_type(dtype), if dtype == DType::Bool { 1 } else { dtype.bits() });
        let integer = format!("i{bits}");
        let mut own = x.to_string();
        if element != integer {
            own = self.op(&format!("arith.bitcast {own} : {element} to {integer}"));
        }
        let words = bits.div_ceil(32);
        let word = format!("i{}", 32 * words);
        if integer != word {
            own = self.op(&format!("arith.extui {own} : {integer} to {word}"));
        }
        let mut other = if distance >= WARP {
            self.through_memory(&own, &word, distance)
        } else if words == 1 {
            self.shuffle(&own, distance)
        } else {
            let shift = self.int_constant(64, 32, 1);
            let low = self.op(&format!("arith.trunci {own} : i64 to i32"));
            let high = self.op(&format!("arith.shrui {own}, {shift} : i64"));
            let high = self.op(&format!("arith.trunci {high} : i64 to i32"));
            let [low, high] = [low, high].map(|half| {
                let half = self.shuffle(&half, distance);
                self.op(&format!("arith.extui {half} : i32 to i64"))
            });
            let high = self.op(&format!("arith.shli {high}, {shift} : i64"));
            self.op(&format!("arith.ori {low}, {high} : i64"))
        };
        if integer != word {
            other = self.op(&format!("arith.trunci {other} : {word} to {integer}"));
        }
        if element != integer {
            other = self.op(&format!("arith.bitcast {other} : {integer} to {element}"));
        }
        other
    }

    fn shuffle(&mut self, x: &str, distance: u32) -> String {
        let constants = [-1, i128::from(distance), 31].map(|value| self.int_constant(32, value, 1));
        let [all, distance, last] = constants;
        self.op(&format!(
            "llvm.call_intrinsic \"llvm.nvvm.shfl.sync.bfly.i32\"({all}, {x}, {distance}, {last}) : (i32, i32, i32, i32) -> i32"
        ))
    }

    fn through_memory(&mut self, x: &str, word: &str, distance: u32) -> String {
        if let Some(spread) = &mut self.spread {
            spread.exchanges = true;
        }
        let distance = self.i64(distance.into());
        let own = self.op(&format!("llvm.getelementptr %exchange[%thread] : (!llvm.ptr, i64) -> !llvm.ptr, {word}"));
        self.line(&format!("llvm.store {x}, {own} : {word}, !llvm.ptr"));
        self.barrier();
        let thread = self.op(&format!("arith.xori %thread, {distance} : i64"));
        let place = self.op(&format!("llvm.getelementptr %exchange[{thread}] : (!llvm.ptr, i64) -> !llvm.ptr, {word}"));
        let other = self.op(&format!("llvm.load {place} : !llvm.ptr -> {word}"));
        self.barrier();
        other
    }

    /// The body of the block's task.
    pub(super) fn block_task(&mut self) -> Result<()> {
        self.axes.insert(self.kernel.task.0, "%task".to_string());
        let kernel = self.kernel;
        self.region(&kernel.body)?;
        self.end_region(&[])
    }

    /// Blocks for which a processor shall have registers at least; `None` where the assembler chooses. It would choose as many as a processor may
    /// hold, and store registers in memory for that.
    fn residency(&self) -> Option<u32> {
        /// Sums of a matrix product, for which fewer blocks than others leave enough registers.
        const TILES: u32 = 3;
        /// Three quarters of the threads that a processor holds.
        const THREADS: u32 = 1536;
        /// Words that loops of such kernels carry in a thread.
        const CARRIED: u32 = 8;
        fn carried(kernel: &Kernel, statements: &[Statement]) -> u32 {
            let words = |register: &Register| {
                let ty = kernel.registers[register.0 as usize];
                ty.lanes * ty.dtype.bits().div_ceil(32)
            };
            let of = |statement: &Statement| match statement {
                Statement::For(f) => f.parameters.iter().map(words).sum::<u32>() + carried(kernel, &f.body),
                Statement::If(branch) => carried(kernel, &branch.then).max(carried(kernel, &branch.otherwise)),
                _ => 0,
            };
            statements.iter().map(of).max().unwrap_or(0)
        }
        if self.kernel.is_for_gpu() {
            return Some(TILES);
        }
        let threads = self.spread.as_ref()?.threads;
        (carried(self.kernel, &self.kernel.body) <= CARRIED && threads == 128).then_some(THREADS / threads)
    }

    /// The function around the body, and its shared memory. Its parameters are the buffers' addresses, each a multiple of
    /// [`BUFFER_ALIGNMENT`] unless it may be a part's, then the dimensions; a launch has a block of exactly that many threads for each task, along x.
    pub(super) fn finish_block(self, number: usize) -> Result<String> {
        let (kernel, Some(spread)) = (self.kernel, &self.spread) else { return self.error("the kernel is not spread") };
        let (starts, scratch_bytes) = kernel.scratch_layout();
        let exchange_bytes = if spread.exchanges { u64::from(spread.threads) * 8 } else { 0 };
        let shared_bytes = scratch_bytes + exchange_bytes;
        if shared_bytes > SHARED_BYTES {
            return self.error(format!(
                "it needs {shared_bytes} bytes of shared memory, a block has {SHARED_BYTES}; its tiles are too large"
            ));
        }
        let mut parameters = vec![];
        let mut prelude = String::new();
        let mut starts = starts.into_iter();
        let shared_part = |prelude: &mut String, pointer: &str, start: u64| {
            let _ = writeln!(
                prelude,
                "    {pointer}.shared = llvm.getelementptr %shared[{start}] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i8\n    \
                 {pointer} = llvm.addrspacecast {pointer}.shared : !llvm.ptr<3> to !llvm.ptr"
            );
        };
        if shared_bytes > 0 {
            let _ = writeln!(prelude, "    %shared = llvm.mlir.addressof @shared_{number} : !llvm.ptr<3>");
        }
        for (memory, pointer) in kernel.memory.iter().zip(&self.pointers) {
            match memory.space {
                // barriers order what other threads write: only what nobody writes is free of aliases for the compiler
                Space::Parameter(access) => {
                    let known = if access == Access::Read { ", llvm.noalias, llvm.readonly" } else { "" };
                    let alignment = if memory.part { memory.dtype.bytes() } else { BUFFER_ALIGNMENT };
                    parameters.push(format!("{pointer}: !llvm.ptr {{llvm.align = {alignment} : i64{known}}}"));
                }
                Space::Scratch { .. } => shared_part(&mut prelude, pointer, starts.next().unwrap_or(0)),
            }
        }
        if spread.exchanges {
            shared_part(&mut prelude, "%exchange", scratch_bytes);
        }
        parameters.extend((0..kernel.dims).map(|dim| format!("%d{dim}: i64")));
        for (name, source) in [("thread", "tid"), ("task", "ctaid")] {
            let _ = writeln!(
                prelude,
                "    %{name}_32 = llvm.call_intrinsic \"llvm.nvvm.read.ptx.sreg.{source}.x\"() : () -> i32\n    \
                 %{name} = arith.extui %{name}_32 : i32 to i64"
            );
        }
        for &whole in &spread.firsts {
            let (operation, by) = match whole / spread.threads {
                0 => ("andi", whole - 1),
                held => ("muli", held),
            };
            let _ = writeln!(
                prelude,
                "    %by_{whole} = arith.constant {by} : i64\n    %first_{whole} = arith.{operation} %thread, %by_{whole} : i64"
            );
        }
        let residency = match self.residency() {
            Some(blocks) => format!("nvvm.minctasm = {blocks} : i32, "),
            None => String::new(),
        };
        let shared = match shared_bytes {
            0 => String::new(),
            bytes => format!(
                "  llvm.mlir.global internal @shared_{number}() {{addr_space = 3 : i32, alignment = 64 : i64}} : !llvm.array<{bytes} x i8>\n"
            ),
        };
        Ok(format!(
            "  // {name}\n{shared}  llvm.func @{entry}({parameters}) attributes {{nvvm.kernel, nvvm.reqntid = array<i32: {threads}>, {residency}{attributes}}} {{\n\
             {prelude}{constants}{out}    llvm.return\n  }}\n",
            name = identifier(&kernel.name),
            entry = entry(number),
            parameters = parameters.join(", "),
            threads = spread.threads,
            attributes = self.cpu.function_attributes(),
            constants = self.prelude,
            out = self.out,
        ))
    }
}

/// What was accessed since the last barrier, at some place of the kernel.
pub(super) struct PendingMarks(Vec<Pending>);
