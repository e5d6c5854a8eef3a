//! [`Session`]: a package in execution.

mod bind;
mod divide;
mod error;
mod execute;
mod prepare;
mod profile;

pub use error::SessionError;
pub use profile::{LaunchTime, Profile};

use crate::array::{Array, shape_text};
use crate::image::Image;
use crate::intrinsics::{host_target, machine_has, provides};
use crate::memory::AlignedBytes;
use crate::package::Package;
use crate::pool::Pool;
use crate::random::initial_seeds;
use bind::Signature;
use kc_abi::call::{ALIGNMENT, INTRINSICS_VERSION, KernelFn};
use kc_abi::library::LibraryFunction;
use kc_abi::manifest::{Manifest, StateRole};
use prepare::{Prepared, Surroundings};
use std::borrow::Borrow;
use std::sync::Arc;
use std::time::Instant;

/// How a session executes.
#[derive(Clone, Debug, Default)]
pub struct SessionOptions {
    /// Number of threads, the caller's included; 0 (the default): one for each processor. Results do not depend on it.
    pub threads: usize,
    /// Whether to measure the time of every launch (see [`Session::profile`]); each launch is then waited for.
    pub profile: bool,
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
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Session {
    manifest: Arc<Manifest>,
    kernels: Vec<KernelFn>,
    constants: AlignedBytes,
    state: Vec<Array>,
    entries: Vec<EntryState>,
    arena: AlignedBytes,
    scratch: AlignedBytes,
    scratch_stride: usize,
    pool: Arc<Pool>,
    profile: Option<Profile>,
    /// Holds what `kernels` point into.
    image: Option<Image>,
}

// SAFETY: the raw pointers of the prepared plans point into memory that the session owns.
unsafe impl Send for Session {}

struct EntryState {
    signature: Signature,
    values: Vec<i64>,
    prepared: Vec<Prepared>,
    oldest: usize,
}

/// An entry point of a session, found once by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryId(usize);

impl Session {
    /// Loads a package's code, constants and state. State tensors are zero where the package holds none (call
    /// [`Session::init`]).
    ///
    /// A package is code: only run what you trust.
    pub fn new(package: &Package, options: &SessionOptions) -> Result<Self, SessionError> {
        check_machine(&package.manifest)?;
        let image = Image::load(&package.code)?;
        let kernels = package.manifest.code.kernels.iter();
        // SAFETY: the package's writer put a kernel at each offset, for the machine and features checked above.
        let kernels = kernels.map(|kernel| unsafe { image.kernel(kernel.offset) }).collect::<Result<_, _>>()?;
        let manifest = Arc::new(package.manifest.clone());
        let mut session = Self::assemble(manifest, kernels, &package.constants, options)?;
        session.image = Some(image);
        if let Some(state) = &package.state {
            session.set_state(state)?;
        }
        Ok(session)
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
        Self::assemble(manifest, kernels, constants, options)
    }

    fn assemble(
        manifest: Arc<Manifest>,
        kernels: Vec<KernelFn>,
        constants: &[u8],
        options: &SessionOptions,
    ) -> Result<Self, SessionError> {
        if kernels.len() != manifest.code.kernels.len() {
            let (given, listed) = (kernels.len(), manifest.code.kernels.len());
            return Err(SessionError::Manifest(format!("it lists {listed} kernels, the code has {given}")));
        }
        let mut state = Vec::with_capacity(manifest.state.len());
        for tensor in &manifest.state {
            let extents = tensor.ty.shape.iter().map(|dim| usize::try_from(dim.as_constant()?).ok());
            let shape: Vec<usize> = extents.collect::<Option<_>>().ok_or_else(|| {
                SessionError::Manifest(format!("state tensor `{}` has the shape {}", tensor.name, tensor.ty))
            })?;
            let array = Array::zeros(tensor.ty.dtype, &shape).map_err(SessionError::from);
            state.push(array.map_err(|error| error.for_memory_of(|| format!("state tensor `{}`", tensor.name)))?);
        }
        let entries = manifest
            .entries
            .iter()
            .map(|entry| {
                let signature = Signature::new(entry)?;
                Ok(EntryState { signature, values: Vec::new(), prepared: Vec::new(), oldest: 0 })
            })
            .collect::<Result<_, SessionError>>()?;
        let pool = Arc::new(Pool::new(options.threads));
        let largest = manifest.code.kernels.iter().map(|kernel| kernel.scratch_bytes).max().unwrap_or(0);
        let scratch_stride = usize::try_from(largest)
            .ok()
            .and_then(|bytes| bytes.checked_next_multiple_of(ALIGNMENT))
            .filter(|stride| stride.checked_mul(pool.threads()).is_some_and(|all| all < isize::MAX as usize / 2))
            .ok_or_else(|| SessionError::Manifest(format!("a kernel needs {largest} bytes of scratch memory")))?;
        let mut own_constants = memory(constants.len(), || "the model's constants".to_owned())?;
        own_constants.copy_from_slice(constants);
        Ok(Session {
            constants: own_constants,
            scratch: memory(scratch_stride * pool.threads(), || "the kernels' scratch memory".to_owned())?,
            arena: AlignedBytes::default(),
            profile: options.profile.then(Profile::default),
            image: None,
            manifest,
            kernels,
            state,
            entries,
            scratch_stride,
            pool,
        })
    }

    /// The package's manifest.
    pub fn manifest(&self) -> &Arc<Manifest> {
        &self.manifest
    }

    /// Has the session execute with another's threads, so that many sessions do not start threads of their own. Where those are not
    /// as many as its own, it keeps its own.
    pub fn share_pool(&mut self, pool: &Arc<Pool>) {
        if pool.threads() == self.pool.threads() {
            self.pool = pool.clone();
        }
    }

    /// The threads of this session.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// The entry point of that name.
    pub fn entry(&self, name: &str) -> Result<EntryId, SessionError> {
        let position = self.manifest.entries.iter().position(|entry| entry.name == name);
        position.map(EntryId).ok_or_else(|| SessionError::NoEntry {
            name: name.into(),
            known: match self.manifest.entries.as_slice() {
                [] => "none".into(),
                entries => entries.iter().map(|e| format!("`{}`", e.name)).collect::<Vec<_>>().join(", "),
            },
        })
    }

    /// Whether the package has that entry point.
    pub fn has_entry(&self, name: &str) -> bool {
        self.manifest.entry(name).is_some()
    }

    /// Executes an entry point and returns its outputs in new arrays.
    pub fn run(&mut self, entry: &str, inputs: &[&Array]) -> Result<Vec<Array>, SessionError> {
        let entry = self.entry(entry)?;
        let mut outputs = Vec::new();
        self.run_into(entry, inputs, &mut outputs)?;
        Ok(outputs)
    }

    /// Executes an entry point. `outputs` are written where they have the outputs' dtypes and shapes and replaced by new
    /// arrays otherwise: a call with the same extents as one before and the arrays it left allocates nothing.
    pub fn run_into<A: Borrow<Array>>(
        &mut self,
        entry: EntryId,
        inputs: &[A],
        outputs: &mut Vec<Array>,
    ) -> Result<(), SessionError> {
        let index = self.prepare(entry, inputs)?;
        let description = &self.manifest.entries[entry.0];
        let prepared = &mut self.entries[entry.0].prepared[index];
        outputs.truncate(description.outputs.len());
        for (i, (output, shape)) in description.outputs.iter().zip(&prepared.output_shapes).enumerate() {
            let fits = |array: &Array| array.dtype() == output.ty.dtype && array.shape() == &**shape;
            if !outputs.get(i).is_some_and(fits) {
                let array = Array::zeros(output.ty.dtype, shape).map_err(SessionError::from).map_err(|error| {
                    error.for_memory_of(|| format!("output `{}` of `{}`", output.name, description.name))
                })?;
                outputs.truncate(i);
                outputs.push(array);
            }
        }
        prepared.patch(self.arena.as_pointer(), |i| inputs[i].borrow().pointer(), |i| outputs[i].pointer());
        let scratch = self.scratch.as_pointer();
        let start = Instant::now();
        let (pool, kernels) = (&self.pool, &self.manifest.code.kernels);
        let profile = &mut self.profile;
        // SAFETY: the pointers are in the tables; the plan was checked against the sizes of all buffers, and its launches keep the
        // kernels' contract.
        unsafe {
            match profile {
                None => prepared.execute(scratch, self.scratch_stride, &mut |_, job| pool.run(job)),
                Some(profile) => prepared.execute(scratch, self.scratch_stride, &mut |launch, job| {
                    let start = Instant::now();
                    pool.run(job);
                    profile.add_launch(description, kernels, launch, start.elapsed());
                }),
            }
        }
        if let Some(profile) = profile {
            profile.add_step(description, start.elapsed());
        }
        Ok(())
    }

    /// The index of the plan that is prepared for the inputs' extents.
    fn prepare<A: Borrow<Array>>(&mut self, entry: EntryId, inputs: &[A]) -> Result<usize, SessionError> {
        let description = &self.manifest.entries[entry.0];
        let EntryState { signature, values, prepared, oldest } = &mut self.entries[entry.0];
        signature.bind(description, inputs, values)?;
        if let Some(index) = prepared.iter().position(|p| *p.values == **values) {
            return Ok(index);
        }
        let state: Vec<(*mut u8, usize)> = self.state.iter().map(|a| (a.pointer(), a.bytes().len())).collect();
        let around = Surroundings {
            entry: description,
            kernels: &self.kernels,
            state: &state,
            constants: (self.constants.as_pointer(), self.constants.len()),
            threads: self.pool.threads(),
            separate: self.profile.is_some(),
        };
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

    /// Runs `init`: every state tensor gets its first value, with the seeds that Keras draws after `set_random_seed(seed)`.
    pub fn init(&mut self, seed: u32) -> Result<(), SessionError> {
        let entry = self.entry("init")?;
        let inputs = initial_seeds(&self.manifest.entries[entry.0].inputs, seed)?;
        self.run("init", &inputs.iter().collect::<Vec<_>>()).map(drop)
    }

    /// Runs `init` with these seeds, in the order in which Keras draws them.
    pub fn init_from(&mut self, seeds: &[u32]) -> Result<(), SessionError> {
        let seeds = Array::from_slice(seeds, &[seeds.len()])?;
        let inputs = [&seeds];
        let inputs = if seeds.bytes().is_empty() { &inputs[..0] } else { &inputs[..] };
        self.run("init", inputs).map(drop)
    }

    /// The state tensors, in the manifest's order.
    pub fn state(&self) -> &[Array] {
        &self.state
    }

    /// Copies values into the state tensors; all must have the manifest's dtypes and shapes, else none is changed.
    pub fn set_state(&mut self, values: &[Array]) -> Result<(), SessionError> {
        if values.len() != self.state.len() {
            return Err(SessionError::Manifest(format!(
                "it lists {} state tensors, {} were given",
                self.state.len(),
                values.len()
            )));
        }
        for (index, value) in values.iter().enumerate() {
            self.check_state(index, value)?;
        }
        for (tensor, value) in self.state.iter_mut().zip(values) {
            tensor.bytes_mut().copy_from_slice(value.bytes());
        }
        Ok(())
    }

    /// The model with its present state as a package.
    pub fn package(&self) -> Result<Package, SessionError> {
        let Some(image) = &self.image else { return Err(SessionError::NoCode) };
        Ok(Package {
            manifest: (*self.manifest).clone(),
            code: image.bytes().to_vec(),
            constants: self.constants.to_vec(),
            state: Some(self.state.clone()),
        })
    }

    /// The position of a state tensor by its name.
    pub fn state_index(&self, name: &str) -> Option<usize> {
        self.manifest.state.iter().position(|tensor| tensor.name == name)
    }

    /// Copies a value into one state tensor, which must have its dtype and shape.
    ///
    /// # Panics
    /// Where the manifest has no state tensor of that index.
    pub fn set_state_tensor(&mut self, index: usize, value: &Array) -> Result<(), SessionError> {
        self.check_state(index, value)?;
        self.state[index].bytes_mut().copy_from_slice(value.bytes());
        Ok(())
    }

    fn check_state(&self, index: usize, value: &Array) -> Result<(), SessionError> {
        let tensor = &self.state[index];
        if value.dtype() != tensor.dtype() || value.shape() != tensor.shape() {
            let text = |array: &Array| format!("{}{}", array.dtype(), shape_text(array.shape()));
            return Err(SessionError::State {
                name: self.manifest.state[index].name.clone(),
                expected: text(tensor),
                given: text(value),
            });
        }
        Ok(())
    }

    /// Sets every metric's accumulator to zero, as an epoch's or an evaluation's start does.
    pub fn reset_metrics(&mut self) {
        for (tensor, description) in self.state.iter_mut().zip(&self.manifest.state) {
            if description.role == StateRole::Metric {
                tensor.bytes_mut().fill(0);
            }
        }
    }

    /// The learning rate, where the package has one.
    pub fn learning_rate(&self) -> Option<f64> {
        self.state[self.learning_rate_index()?].first_as_f64()
    }

    /// Sets the learning rate; `false` where the package has none.
    pub fn set_learning_rate(&mut self, value: f64) -> bool {
        let Some(index) = self.learning_rate_index() else { return false };
        let tensor = &mut self.state[index];
        let value = Array::scalar(value).cast(tensor.dtype());
        tensor.bytes_mut().copy_from_slice(value.bytes());
        true
    }

    fn learning_rate_index(&self) -> Option<usize> {
        let is_rate = |i: &usize| self.manifest.state[*i].role == StateRole::LearningRate;
        (0..self.state.len()).find(|i| is_rate(i) && self.state[*i].elements() == 1)
    }

    /// What was measured since the session was made or [`Session::take_profile`] was called; `None` where
    /// [`SessionOptions::profile`] is off.
    pub fn profile(&self) -> Option<&Profile> {
        self.profile.as_ref()
    }

    /// The measurements, which then start anew.
    pub fn take_profile(&mut self) -> Option<Profile> {
        self.profile.as_mut().map(std::mem::take)
    }
}

/// Zeros for what is named.
fn memory(bytes: usize, what: impl FnOnce() -> String) -> Result<AlignedBytes, SessionError> {
    AlignedBytes::try_zeros(bytes).ok_or_else(|| SessionError::OutOfMemory { what: what(), bytes })
}

/// Whether this process can execute the package's code.
fn check_machine(manifest: &Manifest) -> Result<(), SessionError> {
    let code = &manifest.code;
    if code.target != host_target() {
        return Err(SessionError::Target { package: code.target.clone(), machine: host_target() });
    }
    if code.intrinsics_version > INTRINSICS_VERSION {
        return Err(SessionError::Intrinsics { package: code.intrinsics_version, runtime: INTRINSICS_VERSION });
    }
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
    let mut missing: Vec<String> = code.features.iter().filter(|feature| !machine_has(feature)).cloned().collect();
    missing.sort();
    if missing.is_empty() { Ok(()) } else { Err(SessionError::Features { missing }) }
}
