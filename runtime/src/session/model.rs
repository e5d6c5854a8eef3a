//! [`Model`]: a package that many threads predict with.

use super::executor::Executor;
use super::{Argument, EntryId, Program, SessionError, SessionOptions};
use crate::array::Array;
use crate::intrinsics::Functions;
use crate::package::Package;
use crate::pool::Pool;
use kc_abi::manifest::{Entry, Manifest, StateTensor};
use std::sync::{Arc, Mutex, PoisonError};

/// A package that any number of threads predict with at the same time: code, constants and weights are there once, and each thread that
/// predicts has an arena of its own meanwhile. A call with extents seen before allocates nothing, once there have been as many calls at
/// the same time as there are now.
///
/// ```no_run
/// # use kc_runtime::{Array, Model, Package};
/// let model = Model::new(Package::read("mnist.kcp".as_ref())?)?;
/// let image = Array::from_slice(&[0u8; 784], &[1, 28, 28])?;
/// let probabilities = model.predict(&[&image])?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Model {
    program: Arc<Program>,
    state: Vec<Array>,
    predict: EntryId,
    pool: Arc<Pool>,
    idle: Mutex<Vec<Executor>>,
}

impl Model {
    /// Loads a package. Each prediction is computed by the thread that asks for it.
    ///
    /// A package is code: only run what you trust.
    pub fn new(package: Package) -> Result<Self, SessionError> {
        Self::with_threads(package, 1)
    }

    /// The same where a prediction is divided among so many threads (0: one for each processor), the caller's included; they are started
    /// when there is work that is worth it. Predictions at the same time share them: one that finds them busy computes by itself.
    pub fn with_threads(package: Package, threads: usize) -> Result<Self, SessionError> {
        Self::load(package, threads, &Functions::ALL)
    }

    /// As [`Model::new`], with no more functions for the kernels to call than these, so that a program need not hold others.
    pub fn with_functions(package: Package, functions: &'static Functions) -> Result<Self, SessionError> {
        Self::load(package, 1, functions)
    }

    fn load(mut package: Package, threads: usize, functions: &'static Functions) -> Result<Self, SessionError> {
        let state = match package.state.take() {
            Some(state) => state,
            None if package.manifest.has_weights() => return Err(SessionError::NoWeights),
            // what there is, metrics and the like, a prediction does not read
            None => zeros(&package.manifest)?,
        };
        let program = Arc::new(Program::load(package, functions)?);
        super::check_state(&program.manifest, &state)?;
        Self::assemble(program, state, Arc::new(Pool::new(threads)))
    }

    pub(super) fn assemble(program: Arc<Program>, state: Vec<Array>, pool: Arc<Pool>) -> Result<Self, SessionError> {
        if super::is_for_device(&program.manifest.code) {
            return Err(SessionError::OnDevice { target: program.manifest.code.target.clone() });
        }
        let predict = program.predict()?;
        let model = Model { program, state, predict, pool, idle: Mutex::new(Vec::new()) };
        model.give_back(model.executor()?);
        Ok(model)
    }

    /// The package's manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.program.manifest
    }

    /// The entry point's inputs and outputs.
    pub fn signature(&self) -> &Entry {
        &self.program.manifest.entries[self.predict.0]
    }

    /// The weights, in the manifest's order.
    pub fn state(&self) -> &[Array] {
        &self.state
    }

    /// The outputs in new arrays.
    pub fn predict<A: Argument>(&self, inputs: &[A]) -> Result<Vec<Array>, SessionError> {
        let mut outputs = Vec::new();
        self.predict_into(inputs, &mut outputs)?;
        Ok(outputs)
    }

    /// The outputs in arrays that are written where they have the outputs' dtypes and shapes, and replaced by new ones otherwise.
    pub fn predict_into<A: Argument>(&self, inputs: &[A], outputs: &mut Vec<Array>) -> Result<(), SessionError> {
        let mut executor = self.executor()?;
        // SAFETY: the state is never written, neither by the entry point nor by anyone else, and lives as long as the model.
        let done = unsafe { executor.run_into(&self.state, self.predict, inputs, outputs) };
        self.give_back(executor);
        done
    }

    /// The outputs in memory of the caller, each as many bytes as the output has, aligned to its elements.
    pub fn predict_to<A: Argument>(&self, inputs: &[A], outputs: &mut [&mut [u8]]) -> Result<(), SessionError> {
        let mut executor = self.executor()?;
        // SAFETY: as above.
        let done = unsafe { executor.run_to(&self.state, self.predict, inputs, outputs) };
        self.give_back(executor);
        done
    }

    fn executor(&self) -> Result<Executor, SessionError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match idle {
            Some(executor) => Ok(executor),
            None => Executor::with_pool(self.program.clone(), self.pool.clone(), &SessionOptions::default()),
        }
    }

    fn give_back(&self, executor: Executor) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(executor);
    }
}

/// State tensors of zeros.
fn zeros(manifest: &Manifest) -> Result<Vec<Array>, SessionError> {
    let zeros = |tensor: &StateTensor| {
        let shape: Option<Vec<usize>> =
            tensor.ty.shape.iter().map(|extent| usize::try_from(extent.as_constant()?).ok()).collect();
        shape.and_then(|shape| Array::zeros(tensor.ty.dtype, &shape).ok()).ok_or(SessionError::NoWeights)
    };
    manifest.state.iter().map(zeros).collect()
}
