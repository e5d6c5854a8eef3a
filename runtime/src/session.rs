//! [`Session`]: a package in execution.

mod argument;
mod bind;
#[cfg(feature = "cuda")]
mod cuda;
#[cfg(any(feature = "cuda", feature = "pjrt"))]
mod device;
mod divide;
mod error;
mod execute;
mod executor;
#[cfg(feature = "std")]
mod model;
mod predictor;
mod prepare;
#[cfg(feature = "std")]
mod profile;
#[cfg(feature = "pjrt")]
mod xla;

pub use argument::{Argument, View};
pub use error::{LoadError, SessionError};
#[cfg(feature = "std")]
pub use model::Model;
pub use predictor::Predictor;
#[cfg(feature = "std")]
pub use profile::{LaunchTime, Profile};

use crate::array::{Array, shape_text};
use crate::heap::*;
#[cfg(feature = "std")]
use crate::image::Image;
use crate::intrinsics::{Functions, provides};
#[cfg(feature = "std")]
use crate::intrinsics::{host_target, machine_has};
use crate::memory::AlignedBytes;
use crate::package::Package;
#[cfg(feature = "std")]
use crate::package::Variant;
#[cfg(feature = "std")]
use crate::pool::Pool;
#[cfg(feature = "train")]
use crate::random::initial_seeds;
use alloc::sync::Arc;
use core::sync::atomic::AtomicBool;
#[cfg(feature = "std")]
use executor::Executor;
use kc_abi::Dim;
#[cfg(feature = "std")]
use kc_abi::call::INTRINSICS_VERSION;
use kc_abi::call::{ALIGNMENT, Intrinsic, KernelFn};
use kc_abi::library::LibraryFunction;
#[cfg(feature = "std")]
use kc_abi::manifest::StateRole;
use kc_abi::manifest::{Code, Entry, Manifest, StateTensor};
#[cfg(feature = "std")]
use std::path::PathBuf;

/// How a session executes.
#[derive(Clone, Debug, Default)]
pub struct SessionOptions {
    /// Number of threads, the caller's included; 0 (the default): one for each processor. Results do not depend on it.
    pub threads: usize,
    /// Whether to measure the time of every launch (see [`Session::profile`]); each launch is then waited for.
    #[cfg(feature = "std")]
    pub profile: bool,
    /// See [`Session::set_interrupt`]; `None` (the default): nothing interrupts.
    pub interrupt: Option<Arc<AtomicBool>>,
    /// See [`Session::set_round_limit`]; `None` (the default): no limit.
    pub round_limit: Option<u64>,
    /// Where a package for XLA runs. One for GPUs runs on the first that the driver shows.
    #[cfg(feature = "std")]
    pub device: DeviceOptions,
}

/// What a session of a package for XLA is given.
#[cfg(feature = "std")]
#[derive(Clone, Debug, Default)]
pub struct DeviceOptions {
    /// The plug-in's file; `None` (the default): the one that is found (see `kc_runtime::pjrt::find`).
    pub plugin: Option<PathBuf>,
    /// The folder where compiled programs are kept for the next session; `None` (the default): they are not kept.
    pub cache: Option<PathBuf>,
    /// The processes that train one model together, of which this is one; `None` (the default): those that Keras' variables name (see
    /// `kc_runtime::pjrt::Processes::from_environment`).
    #[cfg(feature = "pjrt")]
    pub processes: Option<crate::pjrt::Processes>,
}

/// For how many sets of extents an entry point keeps its prepared plan; the oldest gives way.
const PREPARED_PLANS: usize = 8;

/// A package in execution: its code in memory, its state, and what a step needs, prepared once for each batch size, so
/// that a step allocates nothing.
///
/// ```no_run
/// # use kc_runtime::{Array, Package, Session, SessionOptions};
/// let package = Package::read("mnist.kcp".as_ref())?;
/// let mut session = Session::new(&package, &SessionOptions::default())?;
/// let image = Array::from_slice(&[0f32; 784], &[1, 28, 28])?;
/// let probabilities = session.run("predict", &[&image])?;
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[cfg(feature = "std")]
pub struct Session {
    /// The state; where it lies on devices, what was last read or written of it.
    state: Vec<Array>,
    executor: Executor,
    /// Where a package runs that is not for this processor.
    #[cfg(any(feature = "cuda", feature = "pjrt"))]
    device: Option<device::Device>,
}

/// A package's code in memory, and what it needs that never changes; any number of threads execute it.
struct Program {
    manifest: Arc<Manifest>,
    kernels: Vec<KernelFn>,
    /// What the kernels may call.
    functions: &'static Functions,
    constants: AlignedBytes,
    /// The same model for other machines.
    #[cfg(feature = "std")]
    others: Vec<Variant>,
    /// Holds what `kernels` point into.
    #[cfg(feature = "std")]
    image: Option<Image>,
}

impl Program {
    #[cfg(feature = "std")]
    fn load(package: Package, functions: &'static Functions) -> Result<Self, SessionError> {
        if is_for_device(&package.manifest.code) {
            return Self::for_devices(package, functions);
        }
        check_machine(&package.manifest)?;
        let image = Image::load(&package.code)?;
        let kernels = package.manifest.code.kernels.iter();
        // SAFETY: the package's writer put a kernel at each offset, for the machine and features checked above.
        let kernels = kernels.map(|kernel| unsafe { image.kernel(kernel.offset) }).collect::<Result<_, _>>()?;
        Ok(Program { image: Some(image), ..Self::with_kernels(package, kernels, functions)? })
    }

    /// `kernels` are those of the package's manifest.
    fn with_kernels(
        package: Package,
        kernels: Vec<KernelFn>,
        functions: &'static Functions,
    ) -> Result<Self, SessionError> {
        let mut constants = package.constants;
        if !constants.as_pointer().addr().is_multiple_of(ALIGNMENT) {
            let mut aligned = memory(constants.len(), || "the model's constants".to_owned())?;
            aligned.copy_from_slice(&constants);
            constants = aligned;
        }
        Ok(Program {
            manifest: Arc::new(package.manifest),
            kernels,
            functions,
            constants,
            #[cfg(feature = "std")]
            others: package.others,
            #[cfg(feature = "std")]
            image: None,
        })
    }

    /// A package whose code is not for this processor.
    #[cfg(feature = "std")]
    fn for_devices(package: Package, functions: &'static Functions) -> Result<Self, SessionError> {
        let code = &package.manifest.code;
        let (has, feature) =
            if is_for_gpu(code) { (cfg!(feature = "cuda"), "cuda") } else { (cfg!(feature = "pjrt"), "pjrt") };
        if !has {
            return Err(SessionError::NoDevices { target: code.target.clone(), feature });
        }
        let Package { manifest, constants, others, .. } = package;
        Ok(Program { manifest: Arc::new(manifest), kernels: Vec::new(), functions, constants, others, image: None })
    }

    /// The entry point `predict`, which must change nothing and call what there is.
    fn predict(&self) -> Result<EntryId, SessionError> {
        let predict = self.entry("predict")?;
        check_calls(&self.manifest, predict, self.functions)?;
        let entry = &self.manifest.entries[predict.0];
        if let Some(&index) = entry.updates.first() {
            let tensor = self.manifest.state.get(index).map_or_else(String::new, |tensor| tensor.name.clone());
            return Err(SessionError::Updates { entry: entry.name.clone(), tensor });
        }
        Ok(predict)
    }

    fn entry(&self, name: &str) -> Result<EntryId, SessionError> {
        let position = self.manifest.entries.iter().position(|entry| entry.name == name);
        position.map(EntryId).ok_or_else(|| SessionError::NoEntry {
            name: name.into(),
            known: match self.manifest.entries.as_slice() {
                [] => "none".into(),
                entries => entries.iter().map(|e| format!("`{}`", e.name)).collect::<Vec<_>>().join(", "),
            },
        })
    }

    /// State tensors of zeros.
    #[cfg(feature = "std")]
    fn zeros(&self) -> Result<Vec<Array>, SessionError> {
        let mut state = Vec::with_capacity(self.manifest.state.len());
        for tensor in &self.manifest.state {
            let extents = tensor.ty.shape.iter().map(|dim| usize::try_from(dim.as_constant()?).ok());
            let shape: Vec<usize> = extents.collect::<Option<_>>().ok_or_else(|| {
                SessionError::Manifest(format!("state tensor `{}` has the shape {}", tensor.name, tensor.ty))
            })?;
            let array = Array::zeros(tensor.ty.dtype, &shape).map_err(SessionError::from);
            state.push(array.map_err(|error| error.for_memory_of(|| format!("state tensor `{}`", tensor.name)))?);
        }
        Ok(state)
    }
}

/// An entry point of a session, found once by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryId(usize);

#[cfg(feature = "std")]
impl Session {
    /// Loads a package's code, constants and state. State tensors are zero where the package holds none (call
    /// [`Session::init`]).
    ///
    /// A package is code: only run what you trust.
    pub fn new(package: &Package, options: &SessionOptions) -> Result<Self, SessionError> {
        Self::from_package(package.clone(), options)
    }

    /// The same of a package that is not needed any more: the state of a file is not copied, but read when it is used. What training
    /// writes stays in this process.
    pub fn from_package(mut package: Package, options: &SessionOptions) -> Result<Self, SessionError> {
        let state = package.state.take();
        #[cfg(any(feature = "cuda", feature = "pjrt"))]
        if is_for_device(&package.manifest.code) {
            let code = core::mem::take(&mut package.code);
            let mut session = Self::assemble(Program::load(package, &Functions::ALL)?, state, options)?;
            let program = &session.executor.program;
            let device = device::Device::new(&program.manifest, &code, &program.constants, &options.device)?;
            session.device = Some(device);
            return Ok(session);
        }
        Self::assemble(Program::load(package, &Functions::ALL)?, state, options)
    }

    /// A session whose kernels are functions of this process, one for each of the manifest's.
    ///
    /// # Safety
    /// The functions must do what the manifest's plans expect: touch only the buffers they are given, within their sizes,
    /// and as much scratch memory as the manifest says.
    pub unsafe fn from_functions(
        manifest: Arc<Manifest>,
        kernels: Vec<KernelFn>,
        constants: &[u8],
        options: &SessionOptions,
    ) -> Result<Self, SessionError> {
        let mut own_constants = memory(constants.len(), || "the model's constants".to_owned())?;
        own_constants.copy_from_slice(constants);
        let (functions, constants) = (&Functions::ALL, own_constants);
        let program = Program { manifest, kernels, functions, constants, others: Vec::new(), image: None };
        Self::assemble(program, None, options)
    }

    fn assemble(program: Program, state: Option<Vec<Array>>, options: &SessionOptions) -> Result<Self, SessionError> {
        let manifest = &program.manifest;
        if !is_for_device(&manifest.code) && program.kernels.len() != manifest.code.kernels.len() {
            let (given, listed) = (program.kernels.len(), manifest.code.kernels.len());
            return Err(SessionError::Manifest(format!("it lists {listed} kernels, the code has {given}")));
        }
        let state = match state {
            Some(mut state) => {
                check_state(manifest, &state)?;
                state.iter_mut().for_each(Array::make_writable);
                state
            }
            None => program.zeros()?,
        };
        Ok(Session {
            executor: Executor::new(Arc::new(program), options)?,
            state,
            #[cfg(any(feature = "cuda", feature = "pjrt"))]
            device: None,
        })
    }

    /// The package's manifest.
    pub fn manifest(&self) -> &Arc<Manifest> {
        &self.executor.program.manifest
    }

    /// Has the session execute with another's threads, so that many sessions do not start threads of their own. Where those are not
    /// as many as its own, it keeps its own.
    pub fn share_pool(&mut self, pool: &Arc<Pool>) {
        if pool.threads() == self.executor.pool.threads() {
            self.executor.pool = pool.clone();
        }
    }

    /// The threads of this session.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.executor.pool
    }

    /// The entry point of that name.
    pub fn entry(&self, name: &str) -> Result<EntryId, SessionError> {
        self.executor.program.entry(name)
    }

    /// Has a flag end what runs: while it is set, a call ends with [`SessionError::Interrupted`] before the next round of a `while` loop.
    /// Another thread sets it, or the handler of a signal. Nothing else is interrupted: all else ends by itself. State tensors may have
    /// some of that call's values then. A plug-in's devices, once started, do not look at it. Returns the flag that there was.
    pub fn set_interrupt(&mut self, flag: Option<Arc<AtomicBool>>) -> Option<Arc<AtomicBool>> {
        core::mem::replace(&mut self.executor.interrupt, flag)
    }

    /// Limits the rounds that all `while` loops of one call may take together; a call with more ends with [`SessionError::Rounds`]. State
    /// tensors may have some of that call's values then. Rounds on a plug-in's devices are not counted.
    pub fn set_round_limit(&mut self, limit: Option<u64>) {
        self.executor.round_limit = limit;
    }

    /// Whether the package has that entry point.
    pub fn has_entry(&self, name: &str) -> bool {
        self.manifest().entry(name).is_some()
    }

    /// Executes an entry point and returns its outputs in new arrays. Where a `while` loop may not end: [`Session::set_interrupt`],
    /// [`Session::set_round_limit`].
    pub fn run(&mut self, entry: &str, inputs: &[&Array]) -> Result<Vec<Array>, SessionError> {
        let entry = self.entry(entry)?;
        let mut outputs = Vec::new();
        self.run_into(entry, inputs, &mut outputs)?;
        Ok(outputs)
    }

    /// Executes an entry point. `outputs` are written where they have the outputs' dtypes and shapes and replaced by new
    /// arrays otherwise: a call with the same extents as one before and the arrays it left allocates nothing.
    pub fn run_into<A: Argument>(
        &mut self,
        entry: EntryId,
        inputs: &[A],
        outputs: &mut Vec<Array>,
    ) -> Result<(), SessionError> {
        #[cfg(any(feature = "cuda", feature = "pjrt"))]
        if let Some(device) = &mut self.device {
            let Executor { program, .. } = &self.executor;
            let limits = self.executor.limits();
            return device.run(&program.manifest, entry.0, inputs, &self.state, outputs, limits);
        }
        // SAFETY: the state is writable, lives as long as the executor and is borrowed exclusively.
        unsafe { self.executor.run_into(&self.state, entry, inputs, outputs) }
    }

    /// Waits until all that was called has ended. Only devices go on after a call returned; an error of theirs is this call's.
    pub fn wait(&mut self) -> Result<(), SessionError> {
        #[cfg(any(feature = "cuda", feature = "pjrt"))]
        if let Some(device) = &mut self.device {
            return device.wait();
        }
        Ok(())
    }

    /// Runs `init`: every state tensor gets its first value, with the seeds that Keras draws after `set_random_seed(seed)`.
    #[cfg(feature = "train")]
    pub fn init(&mut self, seed: u32) -> Result<(), SessionError> {
        let entry = self.entry("init")?;
        let inputs = initial_seeds(&self.manifest().entries[entry.0].inputs, seed)?;
        self.run("init", &inputs.iter().collect::<Vec<_>>()).map(drop)
    }

    /// Runs `init` with these seeds, in the order in which Keras draws them.
    pub fn init_from(&mut self, seeds: &[u32]) -> Result<(), SessionError> {
        let seeds = Array::from_slice(seeds, &[seeds.len()])?;
        let inputs = [&seeds];
        let inputs = if seeds.bytes().is_empty() { &inputs[..0] } else { &inputs[..] };
        self.run("init", inputs).map(drop)
    }

    /// The state tensors, in the manifest's order. Where they lie on devices, those that have changed are copied from them.
    pub fn state(&mut self) -> Result<&[Array], SessionError> {
        #[cfg(any(feature = "cuda", feature = "pjrt"))]
        if let Some(device) = &mut self.device {
            let tensors = &self.executor.program.manifest.state;
            for (index, (value, tensor)) in self.state.iter_mut().zip(tensors).enumerate() {
                device.read(index, tensor, value)?;
            }
        }
        Ok(&self.state)
    }

    /// Writes the value of a state tensor.
    fn replace(&mut self, index: usize, value: &[u8]) {
        self.executor.state_changed();
        self.state[index].bytes_mut().copy_from_slice(value);
        #[cfg(any(feature = "cuda", feature = "pjrt"))]
        if let Some(device) = &mut self.device {
            device.replaced(index);
        }
    }

    /// Copies values into the state tensors; all must have the manifest's dtypes and shapes, else none is changed.
    pub fn set_state(&mut self, values: &[Array]) -> Result<(), SessionError> {
        check_state(self.manifest(), values)?;
        values.iter().enumerate().for_each(|(index, value)| self.replace(index, value.bytes()));
        Ok(())
    }

    /// The model with its present state as a package.
    pub fn package(&mut self) -> Result<Package, SessionError> {
        self.state()?;
        let program = &self.executor.program;
        let code = program.image.as_ref().map(Image::bytes);
        #[cfg(any(feature = "cuda", feature = "pjrt"))]
        let code = code.or(self.device.as_ref().map(device::Device::code));
        Ok(Package {
            manifest: (*program.manifest).clone(),
            code: code.ok_or(SessionError::NoCode)?.to_vec().into(),
            constants: program.constants.clone(),
            state: Some(self.state.clone()),
            others: program.others.clone(),
        })
    }

    /// The model with its present state, to predict with from many threads; each prediction is divided among as many threads as the session
    /// has.
    pub fn into_model(self) -> Result<Model, SessionError> {
        let Executor { program, pool, .. } = self.executor;
        Model::assemble(program, self.state, pool)
    }

    /// The position of a state tensor by its name.
    pub fn state_index(&self, name: &str) -> Option<usize> {
        self.manifest().state.iter().position(|tensor| tensor.name == name)
    }

    /// Copies a value into one state tensor, which must have its dtype and shape.
    ///
    /// # Panics
    /// Where the manifest has no state tensor of that index.
    pub fn set_state_tensor(&mut self, index: usize, value: &Array) -> Result<(), SessionError> {
        check_state_tensor(&self.manifest().state[index], value)?;
        self.replace(index, value.bytes());
        Ok(())
    }

    /// Sets every metric's accumulator to zero, as an epoch's or an evaluation's start does.
    pub fn reset_metrics(&mut self) {
        self.executor.state_changed();
        for index in 0..self.state.len() {
            if self.manifest().state[index].role == StateRole::Metric {
                self.state[index].bytes_mut().fill(0);
                #[cfg(any(feature = "cuda", feature = "pjrt"))]
                if let Some(device) = &mut self.device {
                    device.replaced(index);
                }
            }
        }
    }

    /// The learning rate, where the package has one.
    pub fn learning_rate(&mut self) -> Result<Option<f64>, SessionError> {
        let Some(index) = self.learning_rate_index() else { return Ok(None) };
        #[cfg(any(feature = "cuda", feature = "pjrt"))]
        if let Some(device) = &mut self.device {
            device.read(index, &self.executor.program.manifest.state[index], &mut self.state[index])?;
        }
        Ok(self.state[index].first_as_f64())
    }

    /// Sets the learning rate; `false` where the package has none.
    pub fn set_learning_rate(&mut self, value: f64) -> bool {
        let Some(index) = self.learning_rate_index() else { return false };
        let value = Array::scalar(value).cast(self.state[index].dtype());
        self.replace(index, value.bytes());
        true
    }

    fn learning_rate_index(&self) -> Option<usize> {
        let is_rate = |i: &usize| self.manifest().state[*i].role == StateRole::LearningRate;
        (0..self.state.len()).find(|i| is_rate(i) && self.state[*i].elements() == 1)
    }

    /// What was measured since the session was made or [`Session::take_profile`] was called; `None` where
    /// [`SessionOptions::profile`] is off.
    pub fn profile(&self) -> Option<&Profile> {
        self.executor.profile.as_ref()
    }

    /// The measurements, which then start anew.
    pub fn take_profile(&mut self) -> Option<Profile> {
        self.executor.profile.as_mut().map(core::mem::take)
    }
}

/// Makes the outputs arrays of an entry point's dtypes and these shapes, where they are others.
fn fit_outputs(entry: &Entry, shapes: &[Vec<usize>], outputs: &mut Vec<Array>) -> Result<(), SessionError> {
    outputs.truncate(entry.outputs.len());
    for (i, (output, shape)) in entry.outputs.iter().zip(shapes).enumerate() {
        let fits = |array: &Array| array.dtype() == output.ty.dtype && array.shape() == shape;
        if !outputs.get(i).is_some_and(fits) {
            let array = Array::zeros(output.ty.dtype, shape)
                .map_err(SessionError::from)
                .map_err(|error| error.for_memory_of(|| format!("output `{}` of `{}`", output.name, entry.name)))?;
            outputs.truncate(i);
            outputs.push(array);
        }
        outputs[i].make_writable();
    }
    Ok(())
}

/// Zeros for what is named.
fn memory(bytes: usize, what: impl FnOnce() -> String) -> Result<AlignedBytes, SessionError> {
    AlignedBytes::try_zeros(bytes).ok_or_else(|| SessionError::OutOfMemory { what: what(), bytes })
}

/// Whether there is one tensor for each of the manifest's, with its dtype and shape.
fn check_state(manifest: &Manifest, values: &[Array]) -> Result<(), SessionError> {
    if values.len() != manifest.state.len() {
        let (listed, given) = (manifest.state.len(), values.len());
        return Err(SessionError::Manifest(format!("it lists {listed} state tensors, {given} were given")));
    }
    manifest.state.iter().zip(values).try_for_each(|(tensor, value)| check_state_tensor(tensor, value))
}

fn check_state_tensor(tensor: &StateTensor, value: &Array) -> Result<(), SessionError> {
    let same = |dim: &Dim, extent: &usize| dim.as_constant() == i64::try_from(*extent).ok();
    let shape = &tensor.ty.shape;
    let fits = value.dtype() == tensor.ty.dtype
        && value.shape().len() == shape.len()
        && shape.iter().zip(value.shape()).all(|(dim, extent)| same(dim, extent));
    if fits {
        return Ok(());
    }
    let expected: Option<Vec<usize>> = shape.iter().map(|dim| usize::try_from(dim.as_constant()?).ok()).collect();
    Err(SessionError::State {
        name: tensor.name.clone(),
        expected: expected.map_or(tensor.ty.to_string(), |shape| format!("{}{}", tensor.ty.dtype, shape_text(&shape))),
        given: format!("{}{}", value.dtype(), shape_text(value.shape())),
    })
}

/// Whether the functions have all that an entry point's kernels call.
fn check_calls(manifest: &Manifest, entry: EntryId, functions: &Functions) -> Result<(), SessionError> {
    let entry = &manifest.entries[entry.0];
    let launches = entry.plans().flat_map(|plan| kc_abi::manifest::launches(&plan.steps));
    for kernel in launches.filter_map(|launch| manifest.code.kernels.get(launch.kernel)) {
        let all = Intrinsic::ALL.map(Intrinsic::name);
        let calls: Vec<&str> = match &kernel.calls {
            Some(calls) => calls.iter().map(String::as_str).collect(),
            None => all.into(),
        };
        for name in calls {
            match Intrinsic::from_name(name) {
                None => return Err(SessionError::UnknownFunction { function: name.into() }),
                Some(function) if !functions.has(function) => {
                    return Err(SessionError::Absent { function: name.into(), kernel: kernel.name.clone() });
                }
                Some(_) => {}
            }
        }
    }
    Ok(())
}

/// Whether code is for a GPU of NVIDIA's.
#[cfg(feature = "std")]
fn is_for_gpu(code: &Code) -> bool {
    code.target.starts_with("nvptx64-")
}

/// Whether code is not for a processor.
#[cfg(feature = "std")]
fn is_for_device(code: &Code) -> bool {
    !code.programs.is_empty() || is_for_gpu(code)
}

/// Whether this process can execute the package's code.
#[cfg(feature = "std")]
fn check_machine(manifest: &Manifest) -> Result<(), SessionError> {
    let code = &manifest.code;
    if code.target != host_target() {
        return Err(SessionError::Target { package: code.target.clone(), machine: host_target() });
    }
    if code.intrinsics_version > INTRINSICS_VERSION {
        return Err(SessionError::Intrinsics { package: code.intrinsics_version, runtime: INTRINSICS_VERSION });
    }
    check_library(code)?;
    let mut missing: Vec<String> = code.features.iter().filter(|feature| !machine_has(feature)).cloned().collect();
    missing.sort_unstable();
    if missing.is_empty() { Ok(()) } else { Err(SessionError::Features { missing }) }
}

/// Whether this runtime has the functions of the library that the code calls.
fn check_library(code: &Code) -> Result<(), SessionError> {
    for name in &code.library {
        match LibraryFunction::from_name(name) {
            None => return Err(SessionError::UnknownFunction { function: name.clone() }),
            Some(function) if !provides(function) => {
                let feature = function.provider().feature().unwrap_or("default");
                return Err(SessionError::Function { function: name.clone(), feature });
            }
            Some(_) => {}
        }
    }
    Ok(())
}
