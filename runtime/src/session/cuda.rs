//! A package for GPUs in execution. State, constants and the arena lie in the device's memory; a step is its kernels' launches, captured as
//! one graph when its extents are first seen. Inputs go through pinned memory and a stream of their own into one of two places, so that
//! the next step's are copied while the present step computes. The host waits for the device only where it needs what the device
//! computed: outputs, state, and numbers that decide what a plan does next.

use super::bind::Signature;
use super::execute::{Limits, Machine, Stopped};
use super::prepare::{Prepared, Surroundings};
use super::{Argument, PREPARED_PLANS, SessionError, fit_outputs};
use crate::array::Array;
use crate::cuda::{Context, CudaError, DeviceMemory, Event, Function, Graph, Module, PinnedMemory, Stream};
use crate::pool::Job;
use kc_abi::Symbol;
use kc_abi::manifest::{Entry, Launch, Manifest, Step, launches};
use std::ffi::c_void;
use std::sync::Arc;

/// Every tensor starts at a multiple of this many bytes in the device's memory.
const ALIGNMENT: usize = 256;

/// A kernel, ready to be launched.
#[derive(Clone, Copy)]
struct Kernel {
    function: Function,
    /// Threads of a block.
    threads: u32,
    /// Number of buffer parameters, then of dimensions.
    buffers: usize,
    dims: usize,
}

/// An entry point's plans.
struct EntryPlans {
    signature: Signature,
    values: Vec<i64>,
    ready: Vec<Ready>,
    oldest: usize,
}

/// A plan for certain extents, with the memory that its inputs and outputs go through.
struct Ready {
    plan: Prepared<Kernel>,
    /// Whether the plan asks the host what to do next, so that it is no graph.
    asks: bool,
    /// Where the inputs and the outputs lie in a place: offset and bytes.
    inputs: Vec<(usize, usize)>,
    outputs: Vec<(usize, usize)>,
    /// Two, taken in turn.
    places: Vec<InOut>,
    next: usize,
}

/// Memory for the inputs and outputs of one step, on the device and on the host.
struct InOut {
    /// The step as it is with this place and the present arena.
    graph: Option<Graph>,
    device: DeviceMemory,
    host: PinnedMemory,
    /// Behind the copy of the inputs.
    copied: Event,
    /// Behind the step.
    done: Event,
}

pub(super) struct Device {
    entries: Vec<EntryPlans>,
    arena: Option<DeviceMemory>,
    /// What `state` and `constants` point into.
    _fixed: DeviceMemory,
    /// Pointer and bytes.
    state: Vec<(*mut u8, usize)>,
    constants: (*mut u8, usize),
    /// What single tensors are copied through.
    transfer: Option<PinnedMemory>,
    kernels: Vec<Kernel>,
    _module: Module,
    compute: Stream,
    copies: Stream,
    /// Whether the device's value of a state tensor is the present one.
    device_has: Vec<bool>,
    /// Whether the host's is.
    host_has: Vec<bool>,
    /// After a fault nothing goes on.
    failed: Option<CudaError>,
    code: Vec<u8>,
    context: Arc<Context>,
}

// SAFETY: the pointers are of the device's memory, which it owns, and no thread follows them.
unsafe impl Send for Device {}

impl Device {
    /// Has the driver assemble the package's PTX, and gives state and constants their memory.
    pub(super) fn new(manifest: &Manifest, code: &[u8], constants: &[u8]) -> Result<Self, SessionError> {
        let context = Context::new()?;
        let target = manifest.code.target.trim_start_matches("nvptx64-");
        let module = Module::load(&context, code, target)?;
        let kernels = kernels(manifest, &module)?;
        let mut bytes = 0usize;
        let mut place = |size: usize| {
            let start = bytes;
            bytes = start.checked_add(size)?.checked_next_multiple_of(ALIGNMENT)?;
            Some((start, size))
        };
        let too_large = || SessionError::Manifest("its state is larger than memory".into());
        let sizes = manifest.state.iter().map(|tensor| {
            let elements = tensor.ty.elements().as_constant().and_then(|elements| usize::try_from(elements).ok())?;
            place(elements.checked_mul(tensor.ty.dtype.bytes())?)
        });
        let state = sizes.collect::<Option<Vec<_>>>().ok_or_else(too_large)?;
        let constant_place = place(constants.len()).ok_or_else(too_large)?;
        let fixed = DeviceMemory::new(&context, bytes, || "the model's state and constants".into())?;
        let at = |(start, size): (usize, usize)| (fixed.pointer().wrapping_add(start), size);
        let mut device = Device {
            entries: manifest.entries.iter().map(EntryPlans::new).collect::<Result<_, _>>()?,
            arena: None,
            state: state.into_iter().map(at).collect(),
            constants: at(constant_place),
            _fixed: fixed,
            transfer: None,
            kernels,
            _module: module,
            compute: Stream::new(&context)?,
            copies: Stream::new(&context)?,
            device_has: vec![false; manifest.state.len()],
            host_has: vec![true; manifest.state.len()],
            failed: None,
            code: code.to_vec(),
            context,
        };
        device.upload(device.constants.0, constants)?;
        Ok(device)
    }

    pub(super) fn code(&self) -> &[u8] {
        &self.code
    }

    /// Brings the value of a state tensor to the host.
    pub(super) fn read(&mut self, index: usize, host: &mut Array) -> Result<(), SessionError> {
        if self.host_has[index] {
            return Ok(());
        }
        self.begin()?;
        let from = self.state[index].0;
        self.download(from, host.bytes_mut())?;
        self.host_has[index] = true;
        Ok(())
    }

    /// Notes that the host's value of a state tensor is the one that counts.
    pub(super) fn replaced(&mut self, index: usize) {
        self.device_has[index] = false;
        self.host_has[index] = true;
    }

    /// Waits until all that was started has ended.
    pub(super) fn wait(&mut self) -> Result<(), SessionError> {
        self.begin()?;
        let waited = self.compute.synchronize();
        self.noted(waited)
    }

    /// Starts an entry point, and waits for its outputs where it has some.
    pub(super) fn run<A: Argument>(
        &mut self,
        manifest: &Manifest,
        entry: usize,
        inputs: &[A],
        state: &[Array],
        outputs: &mut Vec<Array>,
        limits: Limits<'_>,
    ) -> Result<(), SessionError> {
        self.begin()?;
        let index = self.prepare(manifest, entry, inputs)?;
        let description = &manifest.entries[entry];
        fit_outputs(description, &self.entries[entry].ready[index].plan.output_shapes, outputs)?;
        for (number, value) in state.iter().enumerate() {
            if !self.device_has[number] {
                self.upload(self.state[number].0, value.bytes())?;
                self.device_has[number] = true;
            }
        }
        // while the call has not ended, the device may have changed any of them
        description.updates.iter().for_each(|&index| self.host_has[index] = false);
        let done = self.step(description, entry, index, inputs, outputs, limits);
        done.map_err(|stopped| match stopped {
            Failure::Stopped(Stopped::Interrupted) => SessionError::Interrupted { entry: description.name.clone() },
            Failure::Stopped(Stopped::Rounds) => {
                SessionError::Rounds { entry: description.name.clone(), limit: limits.rounds }
            }
            Failure::Stopped(Stopped::Machine) => self.failed.clone().unwrap_or(CudaError::NoDevice).into(),
            Failure::Device(error) => self.fail(error).into(),
        })
    }

    fn step<A: Argument>(
        &mut self,
        description: &Entry,
        entry: usize,
        index: usize,
        inputs: &[A],
        outputs: &mut [Array],
        limits: Limits<'_>,
    ) -> Result<(), Failure> {
        let Device { entries, arena, compute, copies, .. } = self;
        let Ready { plan, asks, inputs: input_places, outputs: output_places, places, next } =
            &mut entries[entry].ready[index];
        let place = &mut places[*next];
        *next = (*next + 1) % 2;
        let (host, device) = (place.host.pointer(), place.device.pointer());
        if let Some(end) = input_places.last().map(|(start, bytes)| start + bytes).filter(|end| *end > 0) {
            // the step before the last has its inputs
            place.copied.synchronize()?;
            for (input, &(start, bytes)) in inputs.iter().zip(&*input_places) {
                // SAFETY: the place was made for inputs of these shapes; nothing copies from it.
                unsafe { host.add(start).copy_from_nonoverlapping(input.pointer(), bytes) };
            }
            // and has computed with them
            copies.wait(&place.done)?;
            // SAFETY: nobody writes the host's memory before `copied` is reached.
            unsafe { copies.copy_to_device(device, host, end) }?;
            place.copied.record(copies)?;
            compute.wait(&place.copied)?;
        }
        let arena = arena.as_ref().map_or(std::ptr::null_mut(), DeviceMemory::pointer);
        let at = |places: &[(usize, usize)], index: usize| device.wrapping_add(places[index].0);
        plan.patch(arena, |index| at(input_places, index), |index| at(output_places, index));
        let mut launcher = Launcher { stream: compute, transfer: &place.host, failed: None };
        let scratch = std::ptr::null_mut();
        let mut launch = |launcher: &mut Launcher<'_>| {
            // SAFETY: the pointers are in the tables; the plan was checked against the sizes of all buffers.
            let done = unsafe { plan.execute(scratch, 0, false, limits, launcher) };
            done.map_err(|stopped| launcher.failed.take().map_or(Failure::Stopped(stopped), Failure::Device))
        };
        if *asks {
            launch(&mut launcher)?;
        } else {
            let graph = match &mut place.graph {
                Some(graph) => graph,
                none => none.insert(compute.capture(|| launch(&mut launcher))?),
            };
            // SAFETY: the graph goes where the arena or the place goes.
            unsafe { compute.replay(graph) }?;
        }
        place.done.record(compute)?;
        if description.outputs.is_empty() {
            return Ok(());
        }
        for &(start, bytes) in &*output_places {
            // SAFETY: the place was made for outputs of these shapes; nobody reads the host's memory before the device is waited for.
            unsafe { compute.copy_to_host(host.add(start), device.add(start), bytes) }?;
        }
        compute.synchronize()?;
        for (output, &(start, bytes)) in outputs.iter_mut().zip(&*output_places) {
            // SAFETY: the copies are done.
            output.bytes_mut().copy_from_slice(unsafe { std::slice::from_raw_parts(host.add(start), bytes) });
        }
        Ok(())
    }

    /// Makes the device the thread's, unless it has failed.
    fn begin(&mut self) -> Result<(), SessionError> {
        match &self.failed {
            Some(error) => Err(error.clone().into()),
            None => Ok(self.context.make_current()?),
        }
    }

    fn fail(&mut self, error: CudaError) -> CudaError {
        if matches!(error, CudaError::Fault { .. }) {
            self.failed = Some(error.clone());
        }
        error
    }

    fn noted(&mut self, result: Result<(), CudaError>) -> Result<(), SessionError> {
        result.map_err(|error| self.fail(error).into())
    }

    /// Pinned memory of at least so many bytes, which nothing uses.
    fn transfer(&mut self, bytes: usize) -> Result<*mut u8, CudaError> {
        let transfer = match self.transfer.take().filter(|transfer| transfer.len() >= bytes) {
            Some(transfer) => transfer,
            None => PinnedMemory::new(&self.context, bytes)?,
        };
        Ok(self.transfer.insert(transfer).pointer())
    }

    /// Copies bytes to the device, behind all that was started.
    fn upload(&mut self, to: *mut u8, bytes: &[u8]) -> Result<(), SessionError> {
        let copied = self.transfer(bytes.len()).and_then(|transfer| {
            // SAFETY: it is as large, and nothing else uses it before the device is waited for.
            unsafe {
                transfer.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
                self.compute.copy_to_device(to, transfer, bytes.len())?;
            }
            self.compute.synchronize()
        });
        self.noted(copied)
    }

    /// Copies bytes from the device, when all that was started has ended.
    fn download(&mut self, from: *const u8, bytes: &mut [u8]) -> Result<(), SessionError> {
        let copied = self.transfer(bytes.len()).and_then(|transfer| {
            // SAFETY: as above.
            unsafe {
                self.compute.copy_to_host(transfer, from, bytes.len())?;
                self.compute.synchronize()?;
                bytes.as_mut_ptr().copy_from_nonoverlapping(transfer, bytes.len());
            }
            Ok(())
        });
        self.noted(copied)
    }

    /// The index of the plan that is ready for the inputs' extents.
    fn prepare<A: Argument>(&mut self, manifest: &Manifest, entry: usize, inputs: &[A]) -> Result<usize, SessionError> {
        let description = &manifest.entries[entry];
        let EntryPlans { signature, values, ready, .. } = &mut self.entries[entry];
        signature.bind(description, inputs, values)?;
        if let Some(index) = ready.iter().position(|ready| *ready.plan.values == **values) {
            return Ok(index);
        }
        let exact = description.exact.iter().find(|exact| exact.values == *values);
        let plan = exact.map_or(&description.plan, |exact| &exact.plan);
        let around = Surroundings {
            entry: description,
            plan,
            kernels: &self.kernels,
            state: &self.state,
            constants: self.constants,
            threads: 1,
            separate: false,
        };
        let prepared = Prepared::new(&around, values, &|symbol: &Symbol| signature.value(symbol, values))?;
        let mut end = 0usize;
        let mut place = |bytes: usize| {
            let start = end.next_multiple_of(ALIGNMENT);
            end = start + bytes;
            (start, bytes)
        };
        let sizes = |input: &A| input.shape().iter().product::<usize>() * input.dtype().bytes();
        let input_places: Vec<_> = inputs.iter().map(|input| place(sizes(input))).collect();
        let outputs = description.outputs.iter().zip(&prepared.output_shapes);
        let output_places: Vec<_> =
            outputs.map(|(output, shape)| place(shape.iter().product::<usize>() * output.ty.dtype.bytes())).collect();
        let what = || format!("inputs and outputs of `{}`", description.name);
        let context = &self.context;
        let in_out = || {
            Ok(InOut {
                graph: None,
                device: DeviceMemory::new(context, end, what)?,
                host: PinnedMemory::new(context, end.max(size_of::<u64>()))?,
                copied: Event::new(context)?,
                done: Event::new(context)?,
            })
        };
        let new = Ready {
            asks: asks(&plan.steps),
            inputs: input_places,
            outputs: output_places,
            places: (0..2).map(|_| in_out()).collect::<Result<_, CudaError>>()?,
            next: 0,
            plan: prepared,
        };
        let needed = new.plan.arena_bytes;
        if needed > self.arena.as_ref().map_or(0, DeviceMemory::len) {
            // every graph knows where the arena was
            self.compute.synchronize()?;
            let places = self.entries.iter_mut().flat_map(|entry| &mut entry.ready).flat_map(|ready| &mut ready.places);
            places.for_each(|place| place.graph = None);
            self.arena = None;
            let what = || format!("intermediate values of `{}`", description.name);
            self.arena = Some(DeviceMemory::new(&self.context, needed, what)?);
        }
        let EntryPlans { ready, oldest, .. } = &mut self.entries[entry];
        if ready.len() < PREPARED_PLANS {
            ready.push(new);
            return Ok(ready.len() - 1);
        }
        let index = *oldest;
        *oldest = (index + 1) % PREPARED_PLANS;
        self.compute.synchronize()?;
        ready[index] = new;
        Ok(index)
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if self.context.make_current().is_ok() {
            // nothing may use the memory that goes
            let _ = self.compute.synchronize();
            let _ = self.copies.synchronize();
        }
    }
}

impl EntryPlans {
    fn new(entry: &Entry) -> Result<Self, SessionError> {
        Ok(EntryPlans { signature: Signature::new(entry)?, values: Vec::new(), ready: Vec::new(), oldest: 0 })
    }
}

/// Why a step did not end.
enum Failure {
    Stopped(Stopped),
    Device(CudaError),
}

impl From<CudaError> for Failure {
    fn from(error: CudaError) -> Self {
        Failure::Device(error)
    }
}

/// The manifest's kernels; how many parameters each has is known from its launches.
fn kernels(manifest: &Manifest, module: &Module) -> Result<Vec<Kernel>, SessionError> {
    let wrong = |name: &str, what: &str| SessionError::Manifest(format!("kernel `{name}` {what}"));
    let mut counts: Vec<Option<(usize, usize)>> = vec![None; manifest.code.kernels.len()];
    for plan in manifest.entries.iter().flat_map(Entry::plans) {
        for Launch { kernel, buffers, dims, .. } in launches(&plan.steps) {
            let Some(known) = counts.get_mut(*kernel) else {
                return Err(SessionError::Manifest(format!("a launch runs kernel {kernel}, which is missing")));
            };
            let given = (buffers.len(), dims.len());
            if *known.get_or_insert(given) != given {
                return Err(wrong(&manifest.code.kernels[*kernel].name, "is launched with different parameters"));
            }
        }
    }
    let all = manifest.code.kernels.iter().zip(counts).enumerate();
    all.map(|(number, (kernel, counts))| {
        let threads = kernel.block_threads.filter(|threads| (1..=1024).contains(threads));
        let threads = threads.ok_or_else(|| wrong(&kernel.name, "does not say how many threads a block has"))?;
        let (buffers, dims) = counts.unwrap_or_default();
        Ok(Kernel { function: module.function(&format!("kernel_{number}"))?, threads, buffers, dims })
    })
    .collect()
}

/// Whether a plan reads numbers that decide what it does next.
fn asks(steps: &[Step]) -> bool {
    let decides = |step: &Step| matches!(step, Step::While { .. } | Step::Branch { .. });
    steps.iter().any(|step| decides(step) || step.blocks().into_iter().any(asks))
}

/// Gives the launches of a plan to a stream.
struct Launcher<'a> {
    stream: &'a Stream,
    /// Pinned memory of at least 8 bytes, which nothing uses while the plan is executed.
    transfer: &'a PinnedMemory,
    failed: Option<CudaError>,
}

impl Launcher<'_> {
    fn noted(&mut self, result: Result<(), CudaError>) -> Result<(), Stopped> {
        result.map_err(|error| {
            self.failed = Some(error);
            Stopped::Machine
        })
    }
}

impl Machine<Kernel> for Launcher<'_> {
    fn run(&mut self, _launch: usize, job: &Job<'_, Kernel>) -> Result<(), Stopped> {
        for part in job.parts {
            let Kernel { function, threads, buffers, dims } = part.kernel;
            let Ok(blocks) = i32::try_from(part.end_task) else {
                let error = CudaError::Driver {
                    function: "cuLaunchKernel",
                    name: format!("{} blocks", part.end_task),
                    text: "a launch has at most 2147483647; use smaller batches".into(),
                };
                return self.noted(Err(error));
            };
            // each parameter is given by a pointer to its value
            let values = (0..buffers).map(|number| part.buffers.wrapping_add(number).cast_mut().cast::<c_void>());
            let dims = (0..dims).map(|number| part.dims.wrapping_add(number).cast_mut().cast::<c_void>());
            let mut parameters: Vec<*mut c_void> = values.chain(dims).collect();
            // SAFETY: the kernel's launches have so many buffers and dimensions, and the plan's tables their values.
            let launched = unsafe { self.stream.launch(function, blocks as u32, threads, &mut parameters) };
            self.noted(launched)?;
        }
        Ok(())
    }

    unsafe fn read(&mut self, pointer: *const u8, bytes: &mut [u8]) -> Result<(), Stopped> {
        let host = self.transfer.pointer();
        // SAFETY: by the caller; at most 8 bytes are read.
        let copied = unsafe { self.stream.copy_to_host(host, pointer, bytes.len()) };
        let done = copied.and_then(|()| self.stream.synchronize());
        self.noted(done)?;
        // SAFETY: the copy is done.
        unsafe { bytes.as_mut_ptr().copy_from_nonoverlapping(host, bytes.len()) };
        Ok(())
    }
}

impl From<CudaError> for SessionError {
    fn from(error: CudaError) -> Self {
        SessionError::Device(Box::new(error))
    }
}
