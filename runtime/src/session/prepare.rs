//! A plan, made ready for one set of extents: every size is a number, every pointer but those of inputs and outputs is known.

use super::SessionError;
use crate::pool::{DIVIDED_WORK, Job, MAXIMUM_PARTS, Part};
use kc_abi::call::{ALIGNMENT, KernelFn};
use kc_abi::manifest::{Entry, Place, Step};
use kc_abi::{Dim, Symbol};

/// Ranges of tasks that a thread is given of each launch: more than one, so that a thread that comes late leaves some.
const PARTS_PER_THREAD: i64 = 4;

/// What a plan is prepared with.
pub(super) struct Surroundings<'a> {
    pub(super) entry: &'a Entry,
    /// A kernel and its scratch bytes, one a kernel of the manifest.
    pub(super) kernels: &'a [KernelFn],
    /// Pointer and size of each state tensor.
    pub(super) state: &'a [(*mut u8, usize)],
    /// Pointer and size of the constants.
    pub(super) constants: (*mut u8, usize),
    pub(super) threads: usize,
    /// Whether every launch is a step of its own, so that its time can be told from the others'.
    pub(super) separate: bool,
}

/// A pointer that is not known before the step: position in the pointer table, and input, output or arena offset.
type Patch = (usize, usize);

pub(super) struct Prepared {
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
    parts: Box<[Part]>,
    steps: Box<[PreparedStep]>,
}

struct PreparedStep {
    first_part: usize,
    end_part: usize,
    /// One end of a range of parts a thread; empty where the calling thread executes all.
    ends: Box<[u16]>,
    /// Number of the first launch, counted over the plan.
    launch: usize,
    work: i64,
}

impl Prepared {
    pub(super) fn new(
        around: &Surroundings,
        values: &[i64],
        value_of: &dyn Fn(&Symbol) -> Option<i64>,
    ) -> Result<Self, SessionError> {
        let entry = around.entry;
        let plan = &entry.plan;
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

        // what each buffer has, and what it needs
        let mut bytes = Vec::with_capacity(plan.buffers.len());
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
            if needed > has {
                return Err(wrong(format!("buffer {index} needs {needed} bytes of {place}, which has {has}")));
            }
            bytes.push(needed);
        }

        let mut pointers: Vec<*mut u8> = Vec::new();
        let (mut inputs, mut outputs, mut arena_patches) = (Vec::new(), Vec::new(), Vec::new());
        let mut dims: Vec<i64> = Vec::new();
        let mut prepared_launches: Vec<Vec<Ready>> = Vec::with_capacity(plan.steps.len());
        let mut launch_number = 0;
        for step in split(&plan.steps, around.separate) {
            let mut launches = Vec::with_capacity(step.len());
            for launch in step {
                let number = launch_number;
                launch_number += 1;
                let kernel = *around
                    .kernels
                    .get(launch.kernel)
                    .ok_or_else(|| wrong(format!("launch {number} runs kernel {}, which is missing", launch.kernel)))?;
                let first_pointer = pointers.len();
                let mut touched = 0i64;
                for &index in &launch.buffers {
                    let buffer = plan
                        .buffers
                        .get(index)
                        .ok_or_else(|| wrong(format!("launch {number} takes buffer {index}, which is missing")))?;
                    touched = touched.saturating_add(bytes[index] as i64);
                    let position = pointers.len();
                    pointers.push(match buffer.place {
                        Place::State(i) => around.state[i].0,
                        // within the constants, or an empty buffer at their end
                        Place::Constant(offset) => around.constants.0.wrapping_add(offset as usize),
                        Place::Input(i) => {
                            inputs.push((position, i));
                            std::ptr::null_mut()
                        }
                        Place::Output(i) => {
                            outputs.push((position, i));
                            std::ptr::null_mut()
                        }
                        Place::Slot(i) => {
                            arena_patches.push((position, slots[i].0));
                            std::ptr::null_mut()
                        }
                    });
                }
                let first_dim = dims.len();
                for dim in &launch.dims {
                    let value = dim.evaluate(value_of);
                    dims.push(value.ok_or_else(|| wrong(format!("dimension {dim} of launch {number} has no value")))?);
                }
                let tasks = size(&launch.tasks, &|| format!("the tasks of launch {number}"))?;
                let work = size(&launch.work, &|| format!("the work of launch {number}"))?;
                let work = if work == 0 { touched } else { work };
                launches.push(Ready { kernel, first_pointer, first_dim, tasks, work, number });
            }
            prepared_launches.push(launches);
        }

        let mut pointers = pointers.into_boxed_slice();
        let dims = dims.into_boxed_slice();
        let mut parts = Vec::new();
        let mut steps = Vec::with_capacity(prepared_launches.len());
        let pointer_table = pointers.as_mut_ptr();
        for launches in &prepared_launches {
            let first_part = parts.len();
            let ends = divide(launches, around.threads, |launch, first_task, end_task| {
                parts.push(Part {
                    kernel: launch.kernel,
                    buffers: pointer_table.wrapping_add(launch.first_pointer).cast_const(),
                    dims: dims.as_ptr().wrapping_add(launch.first_dim),
                    first_task,
                    end_task,
                });
            });
            let launch = launches.first().map_or(0, |launch| launch.number);
            let work = work_of(launches);
            steps.push(PreparedStep { first_part, end_part: parts.len(), ends, launch, work });
        }

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
            arena: std::ptr::null_mut(),
            pointers,
            inputs: inputs.into(),
            outputs: outputs.into(),
            slots: arena_patches.into(),
            _dims: dims,
            parts: parts.into(),
            steps: steps.into(),
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
            for &(position, offset) in &self.slots {
                self.pointers[position] = arena.wrapping_add(offset);
            }
        }
        for &(position, index) in &self.inputs {
            self.pointers[position] = input(index);
        }
        for &(position, index) in &self.outputs {
            self.pointers[position] = output(index);
        }
    }

    /// The steps as jobs, with the number of each one's first launch.
    pub(super) fn jobs(&self, scratch: *mut u8, scratch_stride: usize) -> impl Iterator<Item = (usize, Job<'_>)> {
        self.steps.iter().map(move |step| {
            let parts = &self.parts[step.first_part..step.end_part];
            (step.launch, Job { parts, ends: &step.ends, scratch, scratch_stride, work: step.work })
        })
    }
}

struct Ready {
    kernel: KernelFn,
    first_pointer: usize,
    first_dim: usize,
    tasks: i64,
    work: i64,
    number: usize,
}

/// The plan's steps, or each launch as a step.
fn split(steps: &[Step], separate: bool) -> impl Iterator<Item = &[kc_abi::manifest::Launch]> {
    steps.iter().flat_map(move |step| step.launches.chunks(if separate { 1 } else { step.launches.len().max(1) }))
}

fn work_of(launches: &[Ready]) -> i64 {
    launches.iter().fold(0i64, |sum, launch| sum.saturating_add(launch.work))
}

/// Calls `part` with the ranges of tasks in the order of the threads they are given to, and returns where each thread's end;
/// nothing, and whole launches, where one thread does it all.
fn divide(launches: &[Ready], threads: usize, mut part: impl FnMut(&Ready, i64, i64)) -> Box<[u16]> {
    let work = work_of(launches);
    let tasks = launches.iter().fold(0i64, |sum, launch| sum.saturating_add(launch.tasks));
    let most = launches.len() * threads * PARTS_PER_THREAD as usize;
    if threads < 2 || work < DIVIDED_WORK || tasks < 2 || most > MAXIMUM_PARTS {
        launches.iter().filter(|launch| launch.tasks > 0).for_each(|launch| part(launch, 0, launch.tasks));
        return Box::new([]);
    }
    let mut count = 0u16;
    let at = |launch: &Ready, thread: usize, threads: usize| {
        (i128::from(launch.tasks) * thread as i128 / threads as i128) as i64
    };
    (0..threads)
        .map(|thread| {
            for launch in launches {
                let (first, end) = (at(launch, thread, threads), at(launch, thread + 1, threads));
                let pieces = PARTS_PER_THREAD.min(end - first);
                for piece in 0..pieces {
                    let cut = |piece: i64| first + ((end - first) as i128 * piece as i128 / pieces as i128) as i64;
                    part(launch, cut(piece), cut(piece + 1));
                    count += 1;
                }
            }
            count
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    unsafe extern "C" fn nothing(
        _: *const *mut u8,
        _: *const i64,
        _: i64,
        _: i64,
        _: *const kc_abi::call::Environment,
    ) {
    }

    #[test]
    fn ranges_cover_all_tasks_once() {
        for tasks in [[1, 0], [2, 5], [100, 3], [7, 1000]] {
            for threads in [1, 2, 3, 16] {
                let ready = |number: usize| Ready {
                    kernel: nothing,
                    first_pointer: 0,
                    first_dim: 0,
                    tasks: tasks[number],
                    work: DIVIDED_WORK,
                    number,
                };
                let mut seen = [vec![0; tasks[0] as usize], vec![0; tasks[1] as usize]];
                let mut parts = 0;
                let ends = divide(&[ready(0), ready(1)], threads, |launch, first, end| {
                    parts += 1;
                    assert!(first < end);
                    seen[launch.number][first as usize..end as usize].iter_mut().for_each(|n| *n += 1);
                });
                assert!(seen.iter().flatten().all(|&n| n == 1), "{tasks:?} on {threads}");
                if let Some(&last) = ends.last() {
                    assert_eq!((ends.len(), usize::from(last)), (threads, parts));
                }
            }
        }
    }
}
