//! [`Executor`]: the plans of a package's entry points, prepared, and the memory that they need beside the state.

#[cfg(feature = "std")]
use super::Profile;
use super::bind::Signature;
use super::execute::{Limits, Machine, Stopped};
use super::prepare::{Prepared, Surroundings};
use super::{Argument, EntryId, PREPARED_PLANS, Program, SessionError, SessionOptions, fit_outputs, memory};
use crate::array::Array;
use crate::heap::*;
use crate::memory::AlignedBytes;
use crate::pool::{Callable, Job, Pool};
use alloc::sync::Arc;
use core::sync::atomic::AtomicBool;
use kc_abi::call::ALIGNMENT;
#[cfg(feature = "std")]
use std::time::Instant;

/// Executes the entry points of a program over a state, which is the same in every call. One thread uses it at a time.
pub(super) struct Executor {
    entries: Vec<EntryState>,
    arena: AlignedBytes,
    scratch: AlignedBytes,
    scratch_stride: usize,
    /// The entry point and the prepared plan whose kept values the arena holds.
    kept: Option<(usize, usize)>,
    pub(super) pool: Arc<Pool>,
    #[cfg(feature = "std")]
    pub(super) profile: Option<Profile>,
    pub(super) interrupt: Option<Arc<AtomicBool>>,
    pub(super) round_limit: Option<u64>,
    pub(super) program: Arc<Program>,
}

// SAFETY: the raw pointers of the prepared plans point into memory that the executor owns, and into the state and the constants, which
// its owner keeps beside it.
unsafe impl Send for Executor {}

struct EntryState {
    signature: Signature,
    values: Vec<i64>,
    prepared: Vec<Prepared<Callable>>,
    oldest: usize,
}

/// The threads of this process, by what hands them a job.
struct Threads<F>(F);

impl<F: FnMut(usize, &Job<'_>)> Machine<Callable> for Threads<F> {
    fn run(&mut self, launch: usize, job: &Job<'_>) -> Result<(), Stopped> {
        (self.0)(launch, job);
        Ok(())
    }

    unsafe fn read(&mut self, pointer: *const u8, bytes: &mut [u8]) -> Result<(), Stopped> {
        // SAFETY: by the caller; all jobs have ended.
        unsafe { pointer.copy_to_nonoverlapping(bytes.as_mut_ptr(), bytes.len()) };
        Ok(())
    }
}

impl Executor {
    pub(super) fn new(program: Arc<Program>, options: &SessionOptions) -> Result<Self, SessionError> {
        Self::with_pool(program, Arc::new(Pool::new(options.threads)), options)
    }

    /// The same with threads that others use too, whatever their number in the options.
    pub(super) fn with_pool(
        program: Arc<Program>,
        pool: Arc<Pool>,
        options: &SessionOptions,
    ) -> Result<Self, SessionError> {
        let manifest = &program.manifest;
        let entries = manifest
            .entries
            .iter()
            .map(|entry| {
                let signature = Signature::new(entry)?;
                Ok(EntryState { signature, values: Vec::new(), prepared: Vec::new(), oldest: 0 })
            })
            .collect::<Result<_, SessionError>>()?;
        let largest = manifest.code.kernels.iter().map(|kernel| kernel.scratch_bytes).max().unwrap_or(0);
        let scratch_stride = usize::try_from(largest)
            .ok()
            .and_then(|bytes| bytes.checked_next_multiple_of(ALIGNMENT))
            .filter(|stride| stride.checked_mul(pool.threads()).is_some_and(|all| all < isize::MAX as usize / 2))
            .ok_or_else(|| SessionError::Manifest(format!("a kernel needs {largest} bytes of scratch memory")))?;
        Ok(Executor {
            entries,
            scratch: memory(scratch_stride * pool.threads(), || "the kernels' scratch memory".to_owned())?,
            arena: AlignedBytes::default(),
            #[cfg(feature = "std")]
            profile: options.profile.then(Profile::default),
            interrupt: options.interrupt.clone(),
            round_limit: options.round_limit,
            scratch_stride,
            kept: None,
            pool,
            program,
        })
    }

    /// Executes an entry point; outputs are written where they have the outputs' dtypes and shapes and replaced by new arrays
    /// otherwise.
    ///
    /// # Safety
    /// The state must be writable and the same in every call; while the call lasts, nobody else may touch the tensors that the entry
    /// point updates, or write another.
    pub(super) unsafe fn run_into<A: Argument>(
        &mut self,
        state: &[Array],
        entry: EntryId,
        inputs: &[A],
        outputs: &mut Vec<Array>,
    ) -> Result<(), SessionError> {
        let index = self.prepare(state, entry, inputs)?;
        let description = &self.program.manifest.entries[entry.0];
        let prepared = &self.entries[entry.0].prepared[index];
        fit_outputs(description, &prepared.output_shapes, outputs)?;
        // SAFETY: by the caller; the outputs are as large as the plan says.
        unsafe { self.execute(entry, index, inputs, |i| outputs[i].pointer()) }
    }

    /// The same with outputs in the caller's memory, each of which must have as many bytes as the output.
    ///
    /// # Safety
    /// As [`Executor::run_into`].
    pub(super) unsafe fn run_to<A: Argument>(
        &mut self,
        state: &[Array],
        entry: EntryId,
        inputs: &[A],
        outputs: &mut [&mut [u8]],
    ) -> Result<(), SessionError> {
        let index = self.prepare(state, entry, inputs)?;
        let description = &self.program.manifest.entries[entry.0];
        let shapes = &self.entries[entry.0].prepared[index].output_shapes;
        if outputs.len() != description.outputs.len() {
            let (expected, given) = (description.outputs.len(), outputs.len());
            return Err(SessionError::OutputCount { entry: description.name.clone(), expected, given });
        }
        for ((output, shape), given) in description.outputs.iter().zip(shapes).zip(&*outputs) {
            let expected = shape.iter().product::<usize>() * output.ty.dtype.bytes();
            if given.len() != expected || !given.as_ptr().addr().is_multiple_of(output.ty.dtype.bytes()) {
                return Err(SessionError::Output {
                    entry: description.name.clone(),
                    output: output.name.clone(),
                    expected,
                    given: given.len(),
                });
            }
        }
        // SAFETY: by the caller; the outputs are as large as the plan says.
        unsafe { self.execute(entry, index, inputs, |i| outputs[i].as_ptr().cast_mut()) }
    }

    /// # Safety
    /// As [`Executor::run_into`]; the outputs must be as large as the prepared plan says.
    unsafe fn execute<A: Argument>(
        &mut self,
        entry: EntryId,
        index: usize,
        inputs: &[A],
        output: impl Fn(usize) -> *mut u8,
    ) -> Result<(), SessionError> {
        let description = &self.program.manifest.entries[entry.0];
        let prepared = &mut self.entries[entry.0].prepared[index];
        // where the call does not end, nothing is known of the arena
        let is_kept = self.kept.take() == Some((entry.0, index));
        let then_kept = (prepared.kept > 0 && description.updates.is_empty()).then_some((entry.0, index));
        prepared.patch(self.arena.as_pointer(), |i| inputs[i].pointer().cast_mut(), output);
        let scratch = self.scratch.as_pointer();
        let pool = &self.pool;
        let rounds = self.round_limit.unwrap_or(u64::MAX);
        let limits = Limits { interrupt: self.interrupt.as_deref(), rounds };
        let stopped = |stopped: Stopped| {
            let entry = description.name.clone();
            match stopped {
                Stopped::Interrupted => SessionError::Interrupted { entry },
                Stopped::Rounds => SessionError::Rounds { entry, limit: self.round_limit.unwrap_or(u64::MAX) },
                #[cfg(feature = "cuda")]
                Stopped::Machine => SessionError::Manifest(format!("`{entry}` has failed")),
            }
        };
        #[cfg(feature = "std")]
        if let Some(profile) = &mut self.profile {
            let kernels = &self.program.manifest.code.kernels;
            let start = Instant::now();
            let mut threads = Threads(|launch, job: &Job| {
                let start = Instant::now();
                // SAFETY: as below.
                unsafe { pool.run(job) };
                profile.add_launch(description, kernels, launch, start.elapsed());
            });
            // SAFETY: as below.
            unsafe { prepared.execute(scratch, self.scratch_stride, is_kept, limits, &mut threads) }
                .map_err(stopped)?;
            profile.add_step(description, start.elapsed());
            self.kept = then_kept;
            return Ok(());
        }
        // SAFETY: the launches keep the kernels' contract.
        let mut threads = Threads(|_, job: &Job| unsafe { pool.run(job) });
        // SAFETY: the pointers are in the tables; the plan was checked against the sizes of all buffers.
        unsafe { prepared.execute(scratch, self.scratch_stride, is_kept, limits, &mut threads) }.map_err(stopped)?;
        self.kept = then_kept;
        Ok(())
    }

    /// What ends `while` loops.
    #[cfg(any(feature = "cuda", feature = "pjrt"))]
    pub(super) fn limits(&self) -> Limits<'_> {
        Limits { interrupt: self.interrupt.as_deref(), rounds: self.round_limit.unwrap_or(u64::MAX) }
    }

    /// Says that somebody else has written the state.
    #[cfg(feature = "std")]
    pub(super) fn state_changed(&mut self) {
        self.kept = None;
    }

    /// Whether launches are measured.
    fn is_profiled(&self) -> bool {
        #[cfg(feature = "std")]
        return self.profile.is_some();
        #[cfg(not(feature = "std"))]
        false
    }

    /// The index of the plan that is prepared for the inputs' extents.
    fn prepare<A: Argument>(&mut self, state: &[Array], entry: EntryId, inputs: &[A]) -> Result<usize, SessionError> {
        let separate = self.is_profiled();
        let program = &self.program;
        let description = &program.manifest.entries[entry.0];
        let EntryState { signature, values, prepared, oldest } = &mut self.entries[entry.0];
        signature.bind(description, inputs, values)?;
        if let Some(index) = prepared.iter().position(|p| *p.values == **values) {
            return Ok(index);
        }
        let state: Vec<(*mut u8, usize)> = state.iter().map(|a| (a.pointer(), a.bytes().len())).collect();
        // launches are measured by their numbers in the plan for any extents
        let exact = description.exact.iter().find(|exact| !separate && exact.values == *values);
        let intrinsics = program.functions.table();
        let kernels: Vec<Callable> =
            program.kernels.iter().map(|&function| Callable { function, intrinsics }).collect();
        let around = Surroundings {
            entry: description,
            plan: exact.map_or(&description.plan, |exact| &exact.plan),
            kernels: &kernels,
            state: &state,
            constants: (program.constants.as_pointer(), program.constants.len()),
            threads: self.pool.threads(),
            separate,
        };
        // the new plan may take another's place, or a new arena
        self.kept = None;
        let new = Prepared::new(&around, values, &|symbol| signature.value(symbol, values))?;
        if new.arena_bytes > self.arena.len() {
            self.arena = memory(new.arena_bytes, || format!("intermediate values of `{}`", description.name))?;
        }
        if prepared.len() < PREPARED_PLANS {
            prepared.push(new);
            return Ok(prepared.len() - 1);
        }
        let index = *oldest;
        *oldest = (index + 1) % PREPARED_PLANS;
        prepared[index] = new;
        Ok(index)
    }
}
