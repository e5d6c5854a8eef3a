//! A plan, made ready for one set of extents: every size is a number, every pointer but those of inputs and outputs is known.

use super::SessionError;
use super::divide::{Ready, divide, work_of};
use super::execute::{Execution, Limits, Machine, Moving, PreparedStep, Scalar, Stopped, Term};
use crate::heap::*;
use crate::pool::Part;
use kc_abi::call::ALIGNMENT;
use kc_abi::manifest::{Buffer, Entry, Launch, Place, Plan, Step};
use kc_abi::{Dim, Symbol};

/// What a plan is prepared with.
pub(super) struct Surroundings<'a, K> {
    pub(super) entry: &'a Entry,
    /// One of the entry point's.
    pub(super) plan: &'a Plan,
    /// The manifest's kernels.
    pub(super) kernels: &'a [K],
    /// Pointer and size of each state tensor, in the machine's memory.
    pub(super) state: &'a [(*mut u8, usize)],
    /// Pointer and size of the constants.
    pub(super) constants: (*mut u8, usize),
    pub(super) threads: usize,
    /// Whether every launch is a step of its own, so that its time can be told from the others'.
    pub(super) separate: bool,
}

/// A pointer that is not known before the step: position in the pointer table, input, output or arena offset, bytes behind that.
type Patch = (usize, usize, isize);

pub(super) struct Prepared<K> {
    /// The symbols' values that it is for.
    pub(super) values: Box<[i64]>,
    /// Extents of the outputs.
    pub(super) output_shapes: Box<[Vec<usize>]>,
    /// Bytes of arena that it needs.
    pub(super) arena_bytes: usize,
    arena: *mut u8,
    pointers: Box<[*mut u8]>,
    inputs: Box<[Patch]>,
    outputs: Box<[Patch]>,
    slots: Box<[Patch]>,
    /// The parts point into it.
    _dims: Box<[i64]>,
    parts: Box<[Part<K>]>,
    steps: Box<[PreparedStep]>,
    /// How many of them give the same while the state and the arena stay.
    pub(super) kept: usize,
    /// The round that each loop is in.
    rounds: Box<[i64]>,
}

impl<K: Copy> Prepared<K> {
    pub(super) fn new(
        around: &Surroundings<'_, K>,
        values: &[i64],
        value_of: &dyn Fn(&Symbol) -> Option<i64>,
    ) -> Result<Self, SessionError> {
        let entry = around.entry;
        let plan = around.plan;
        let wrong = |detail: String| SessionError::Manifest(format!("plan of `{}`: {detail}", entry.name));
        let size = |dim: &Dim, what: &dyn Fn() -> String| -> Result<i64, SessionError> {
            dim.evaluate(value_of)
                .filter(|&value| value >= 0)
                .ok_or_else(|| wrong(format!("{} ({dim}) is no size", what())))
        };
        let bytes_of = |elements: i64, width: usize, what: &dyn Fn() -> String| -> Result<usize, SessionError> {
            usize::try_from(elements)
                .ok()
                .and_then(|n| n.checked_mul(width))
                .filter(|&n| n <= isize::MAX as usize / 2)
                .ok_or_else(|| SessionError::TooLarge { entry: entry.name.clone(), detail: what() })
        };

        let mut arena_bytes = 0usize;
        let mut slots = Vec::with_capacity(plan.slots.len());
        for (index, members) in plan.slots.iter().enumerate() {
            let what = || format!("slot {index}");
            let mut largest = 0;
            for member in members {
                largest = largest.max(bytes_of(size(member, &what)?, 1, &what)?);
            }
            slots.push((arena_bytes, largest));
            arena_bytes = arena_bytes
                .checked_add(largest.next_multiple_of(ALIGNMENT))
                .filter(|&n| n <= isize::MAX as usize / 2)
                .ok_or_else(|| SessionError::TooLarge { entry: entry.name.clone(), detail: "the arena".into() })?;
        }
        let tensor_bytes = |ty: &kc_abi::TensorType, what: &dyn Fn() -> String| {
            let elements = size(&ty.elements(), what)?;
            bytes_of(elements, ty.dtype.bytes(), what)
        };

        // how many bytes each buffer needs, how many its place has
        let mut spaces = Vec::with_capacity(plan.buffers.len());
        for (index, buffer) in plan.buffers.iter().enumerate() {
            let what = || format!("buffer {index}");
            let needed = bytes_of(size(&buffer.elements, &what)?, buffer.dtype.bytes(), &what)?;
            let missing = |kind: &str, i: usize| wrong(format!("buffer {index} lies in {kind} {i}, which is missing"));
            let (has, place) = match buffer.place {
                Place::Input(i) => {
                    let input = entry.inputs.get(i).ok_or_else(|| missing("input", i))?;
                    (tensor_bytes(&input.ty, &what)?, format!("input {i}"))
                }
                Place::Output(i) => {
                    let output = entry.outputs.get(i).ok_or_else(|| missing("output", i))?;
                    (tensor_bytes(&output.ty, &what)?, format!("output {i}"))
                }
                Place::State(i) => {
                    (around.state.get(i).ok_or_else(|| missing("state tensor", i))?.1, format!("state tensor {i}"))
                }
                Place::Slot(i) => (slots.get(i).ok_or_else(|| missing("slot", i))?.1, format!("slot {i}")),
                Place::Constant(offset) => {
                    let offset = usize::try_from(offset).unwrap_or(usize::MAX);
                    if !offset.is_multiple_of(ALIGNMENT) {
                        return Err(wrong(format!(
                            "buffer {index} lies at byte {offset} of the constants, no multiple of 64"
                        )));
                    }
                    (around.constants.1.saturating_sub(offset), format!("the constants from byte {offset}"))
                }
            };
            // what lies elsewhere in each round is checked where it is used
            if needed > has && buffer.offset.as_constant().is_some() {
                return Err(wrong(format!("buffer {index} needs {needed} bytes of {place}, which has {has}")));
            }
            spaces.push(Space { needed, has, place });
        }

        let mut preparation = Preparation {
            around,
            value_of,
            slots: &slots,
            spaces: &spaces,
            pointers: Vec::new(),
            patches: Default::default(),
            dims: Vec::new(),
            parts: Vec::new(),
            launch: 0,
            loops: Vec::new(),
            count: 0,
        };
        let Some((kept, others)) = plan.steps.split_at_checked(plan.kept) else {
            return Err(wrong(format!("it keeps {} of {} steps", plan.kept, plan.steps.len())));
        };
        let mut steps = preparation.steps(kept)?.into_vec();
        let kept = steps.len();
        steps.extend(preparation.steps(others)?);
        let Preparation { pointers, patches: [inputs, outputs, arena_patches], dims, parts, count, .. } = preparation;
        let (mut pointers, dims) = (pointers.into_boxed_slice(), dims.into_boxed_slice());
        let pointer_table = pointers.as_mut_ptr();
        let parts = parts
            .into_iter()
            .map(|part: UnplacedPart<K>| Part {
                kernel: part.kernel,
                buffers: pointer_table.wrapping_add(part.first_pointer).cast_const(),
                dims: dims.as_ptr().wrapping_add(part.first_dim),
                first_task: part.first_task,
                end_task: part.end_task,
            })
            .collect();
        let output_shapes = entry
            .outputs
            .iter()
            .map(|output| {
                let extent = |dim: &Dim| size(dim, &|| format!("the shape of output `{}`", output.name));
                output.ty.shape.iter().map(|dim| extent(dim).map(|value| value as usize)).collect()
            })
            .collect::<Result<Box<[Vec<usize>]>, SessionError>>()?;
        Ok(Prepared {
            values: values.into(),
            output_shapes,
            arena_bytes,
            arena: core::ptr::null_mut(),
            pointers,
            inputs: inputs.into(),
            outputs: outputs.into(),
            slots: arena_patches.into(),
            _dims: dims,
            parts,
            steps: steps.into(),
            kept,
            rounds: vec![0; count].into(),
        })
    }

    /// Puts this call's pointers in the tables.
    pub(super) fn patch(
        &mut self,
        arena: *mut u8,
        input: impl Fn(usize) -> *mut u8,
        output: impl Fn(usize) -> *mut u8,
    ) {
        if self.arena != arena {
            self.arena = arena;
            for &(position, offset, bytes) in &self.slots {
                self.pointers[position] = arena.wrapping_add(offset).wrapping_offset(bytes);
            }
        }
        for &(position, index, bytes) in &self.inputs {
            self.pointers[position] = input(index).wrapping_offset(bytes);
        }
        for &(position, index, bytes) in &self.outputs {
            self.pointers[position] = output(index).wrapping_offset(bytes);
        }
    }

    /// Hands the launches to the machine as jobs, one after the other, each with the number of its first launch. An error says what ended
    /// it; what follows was not executed then.
    ///
    /// # Safety
    /// [`Prepared::patch`] must have put pointers in the tables, and the machine must execute the jobs: what they write decides what is
    /// executed next. Where `is_kept` is true, the arena must hold what the kept steps left there, with the present state.
    pub(super) unsafe fn execute(
        &mut self,
        scratch: *mut u8,
        scratch_stride: usize,
        is_kept: bool,
        limits: Limits<'_>,
        machine: &mut dyn Machine<K>,
    ) -> Result<(), Stopped> {
        let mut execution = Execution {
            pointers: &mut self.pointers,
            parts: &self.parts,
            rounds: &mut self.rounds,
            scratch,
            scratch_stride,
            limits,
            machine,
        };
        // SAFETY: by the caller.
        unsafe { execution.steps(&self.steps[if is_kept { self.kept } else { 0 }..]) }
    }
}

/// What is known of a buffer and its place, in bytes.
struct Space {
    needed: usize,
    has: usize,
    place: String,
}

/// A part whose tables are still growing.
struct UnplacedPart<K> {
    kernel: K,
    first_pointer: usize,
    first_dim: usize,
    first_task: i64,
    end_task: i64,
}

/// A loop around what is being prepared.
struct Around {
    counter: Symbol,
    number: usize,
    rounds: i64,
    moving: Vec<Moving>,
}

struct Preparation<'a, K> {
    around: &'a Surroundings<'a, K>,
    value_of: &'a dyn Fn(&Symbol) -> Option<i64>,
    /// Offset in the arena and size.
    slots: &'a [(usize, usize)],
    spaces: &'a [Space],
    pointers: Vec<*mut u8>,
    /// Of inputs, outputs and slots.
    patches: [Vec<Patch>; 3],
    dims: Vec<i64>,
    parts: Vec<UnplacedPart<K>>,
    launch: usize,
    loops: Vec<Around>,
    /// Number of loops.
    count: usize,
}

impl<K: Copy> Preparation<'_, K> {
    fn wrong(&self, detail: String) -> SessionError {
        SessionError::Manifest(format!("plan of `{}`: {detail}", self.around.entry.name))
    }

    fn size(&self, dim: &Dim, what: &dyn Fn() -> String) -> Result<i64, SessionError> {
        let value = dim.evaluate(self.value_of).filter(|&value| value >= 0);
        value.ok_or_else(|| self.wrong(format!("{} ({dim}) is no size", what())))
    }

    fn steps(&mut self, steps: &[Step]) -> Result<Box<[PreparedStep]>, SessionError> {
        let mut prepared = Vec::with_capacity(steps.len());
        for step in steps {
            match step {
                Step::Launches(launches) => {
                    // each launch is a step of its own where its time is measured
                    let together = if self.around.separate { 1 } else { launches.len().max(1) };
                    for launches in launches.chunks(together) {
                        prepared.push(self.job(launches)?);
                    }
                }
                Step::Loop { counter, rounds, steps } => {
                    let rounds = self.size(rounds, &|| format!("the number of rounds of loop {counter}"))?;
                    if (self.value_of)(counter).is_some() || self.loops.iter().any(|other| other.counter == *counter) {
                        return Err(self.wrong(format!("the counter {counter} is the name of something else")));
                    }
                    let number = self.count;
                    self.count += 1;
                    self.loops.push(Around { counter: counter.clone(), number, rounds, moving: Vec::new() });
                    let steps = self.steps(steps)?;
                    let moving = self.loops.pop().map(|around| around.moving).unwrap_or_default().into();
                    prepared.push(PreparedStep::Loop { number, rounds, moving, steps });
                }
                Step::While { condition, holds, steps } => {
                    let holds = self.scalar(*holds)?;
                    let (condition, steps) = (self.steps(condition)?, self.steps(steps)?);
                    prepared.push(PreparedStep::While { condition, holds, steps });
                }
                Step::Branch { index, branches } => {
                    let index = self.scalar(*index)?;
                    if branches.is_empty() {
                        return Err(self.wrong("a choice has no branches".into()));
                    }
                    let branches = branches.iter().map(|steps| self.steps(steps)).collect::<Result<_, _>>()?;
                    prepared.push(PreparedStep::Branch { index, branches });
                }
            }
        }
        Ok(prepared.into())
    }

    /// A buffer whose number decides what is executed.
    fn scalar(&mut self, index: usize) -> Result<Scalar, SessionError> {
        let Some(buffer) = self.around.plan.buffers.get(index) else {
            return Err(self.wrong(format!("a loop or choice takes buffer {index}, which is missing")));
        };
        if buffer.dtype.is_float() || self.spaces[index].needed < buffer.dtype.bytes() {
            let elements = &buffer.elements;
            let message = format!("a loop or choice takes buffer {index}, {elements} elements of {}", buffer.dtype);
            return Err(self.wrong(message));
        }
        let position = self.pointers.len();
        self.pointers.push(core::ptr::null_mut());
        self.place(position, index, buffer)?;
        Ok(Scalar { position, dtype: buffer.dtype })
    }

    /// Sees to it that the pointer at a position of the table is the buffer's.
    fn place(&mut self, position: usize, index: usize, buffer: &Buffer) -> Result<(), SessionError> {
        let Some((start, terms)) = self.offset(&buffer.offset) else {
            return Err(self.wrong(format!("buffer {index} starts at {}, which is not known there", buffer.offset)));
        };
        let (mut low, mut high) = (i128::from(start), i128::from(start));
        for (around, step, half) in &terms {
            let rounds = self.loops[*around].rounds;
            let ends = [0, 1, rounds - 2, rounds - 1].into_iter().filter(|round| (0..rounds).contains(round));
            let reach =
                ends.map(|round| i128::from(round) * i128::from(*step) + i128::from(round >> 1) * i128::from(*half));
            low += reach.clone().min().unwrap_or(0);
            high += reach.max().unwrap_or(0);
        }
        let (width, space) = (buffer.dtype.bytes() as i128, &self.spaces[index]);
        let never = self.loops.iter().any(|around| around.rounds == 0);
        if !never && (low < 0 || high * width + space.needed as i128 > space.has as i128) {
            let (needed, has, place) = (space.needed, space.has, &space.place);
            let first = low * width;
            let last = high * width;
            return Err(self.wrong(format!(
                "buffer {index} needs {needed} bytes from byte {first} or up to {last} of {place}, which has {has}"
            )));
        }
        // in bytes, all of them within the place where a round is executed at all
        let bytes = |elements: i64| (elements as isize).wrapping_mul(width as isize);
        let innermost = terms.iter().map(|(around, ..)| *around).max();
        let base = match innermost {
            None => position,
            Some(around) => {
                let base = self.pointers.len();
                self.pointers.push(core::ptr::null_mut());
                let term = |(around, step, half): &(usize, i64, i64)| Term {
                    number: self.loops[*around].number,
                    step: bytes(*step),
                    half: bytes(*half),
                };
                let terms = terms.iter().map(term).collect();
                self.loops[around].moving.push(Moving { position, base, terms });
                base
            }
        };
        let start = bytes(start);
        match buffer.place {
            Place::State(i) => self.pointers[base] = self.around.state[i].0.wrapping_offset(start),
            // within the constants, or an empty buffer at their end
            Place::Constant(offset) => {
                self.pointers[base] = self.around.constants.0.wrapping_add(offset as usize).wrapping_offset(start);
            }
            Place::Input(i) => self.patches[0].push((base, i, start)),
            Place::Output(i) => self.patches[1].push((base, i, start)),
            Place::Slot(i) => self.patches[2].push((base, self.slots[i].0, start)),
        }
        Ok(())
    }

    /// An offset as its value in the first rounds of the loops around, and for each loop (by depth) the factors of the round and of half
    /// the round; `None` where it is no such sum.
    fn offset(&self, offset: &Dim) -> Option<(i64, Vec<(usize, i64, i64)>)> {
        if let Some(constant) = offset.as_constant() {
            return Some((constant, vec![]));
        }
        let known = offset.substitute(&|symbol| (self.value_of)(symbol).map(Dim::constant));
        let at = |depth: usize, round: i64| {
            known.evaluate(&|symbol| {
                let found = self.loops.iter().position(|around| around.counter == *symbol)?;
                Some(if found == depth { round } else { 0 })
            })
        };
        let start = at(usize::MAX, 0)?;
        let mut rebuilt = Dim::constant(start);
        let mut terms = Vec::new();
        for (depth, around) in self.loops.iter().enumerate() {
            let step = at(depth, 1)?.checked_sub(start)?;
            let half = at(depth, 2)?.checked_sub(start)?.checked_sub(step.checked_mul(2)?)?;
            if (step, half) != (0, 0) {
                let counter = Dim::symbol(&around.counter.0);
                rebuilt = rebuilt
                    + counter.clone() * Dim::constant(step)
                    + counter.floor_div(&Dim::constant(2)) * Dim::constant(half);
                terms.push((depth, step, half));
            }
        }
        (rebuilt == known).then_some((start, terms))
    }

    fn job(&mut self, launches: &[Launch]) -> Result<PreparedStep, SessionError> {
        let mut ready = Vec::with_capacity(launches.len());
        let first_launch = self.launch;
        for launch in launches {
            let number = self.launch;
            self.launch += 1;
            let Some(&kernel) = self.around.kernels.get(launch.kernel) else {
                return Err(self.wrong(format!("launch {number} runs kernel {}, which is missing", launch.kernel)));
            };
            let first_pointer = self.pointers.len();
            self.pointers.resize(first_pointer + launch.buffers.len(), core::ptr::null_mut());
            let mut touched = 0i64;
            for (position, &index) in launch.buffers.iter().enumerate() {
                let Some(buffer) = self.around.plan.buffers.get(index) else {
                    return Err(self.wrong(format!("launch {number} takes buffer {index}, which is missing")));
                };
                touched = touched.saturating_add(self.spaces[index].needed as i64);
                self.place(first_pointer + position, index, buffer)?;
            }
            let first_dim = self.dims.len();
            for dim in &launch.dims {
                let Some(value) = dim.evaluate(self.value_of) else {
                    return Err(self.wrong(format!("dimension {dim} of launch {number} has no value")));
                };
                self.dims.push(value);
            }
            let tasks = self.size(&launch.tasks, &|| format!("the tasks of launch {number}"))?;
            let mut bounds = vec![0];
            for start in &launch.parts {
                bounds.push(self.size(start, &|| format!("the parts of launch {number}"))?);
            }
            bounds.push(tasks);
            if !bounds.is_sorted() {
                return Err(self.wrong(format!("the parts of launch {number} are not in order")));
            }
            let parts = bounds.windows(2).map(|ends| ends[0]..ends[1]).collect();
            let work = self.size(&launch.work, &|| format!("the work of launch {number}"))?;
            let work = if work == 0 { touched } else { work };
            ready.push(Ready { kernel, first_pointer, first_dim, parts, work });
        }
        let first_part = self.parts.len();
        let ends = divide(&ready, self.around.threads, |launch, first_task, end_task| {
            let Ready { kernel, first_pointer, first_dim, .. } = *launch;
            self.parts.push(UnplacedPart { kernel, first_pointer, first_dim, first_task, end_task });
        });
        let (end_part, work) = (self.parts.len(), work_of(&ready));
        Ok(PreparedStep::Job { first_part, end_part, ends, launch: first_launch, work })
    }
}
