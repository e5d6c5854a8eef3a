//! [`Predictor`]: a package whose code lies where it is executed.

use super::executor::Executor;
use super::{Argument, EntryId, Program, SessionError, SessionOptions};
use crate::array::Array;
use crate::heap::*;
use crate::intrinsics::Functions;
use crate::package::Package;
use alloc::sync::Arc;
use kc_abi::call::{INTRINSICS_VERSION, KernelFn};
use kc_abi::manifest::Entry;

/// A package that one thread predicts with, where there is no system that maps memory for its code: that lies already where the processor
/// executes it, in flash memory or in what a linker placed. It needs no `std`: memory for weights that are not aligned, for the
/// intermediate values and the outputs comes from the program's allocator, all of it before a second call with the same extents.
///
/// ```no_run
/// # use kc_runtime::{Array, Functions, Package, Predictor};
/// # fn predict(file: &'static [u8], code: &'static [u8]) -> Result<(), Box<dyn std::error::Error>> {
/// let package = Package::from_static(file)?;
/// // SAFETY: `code` is the package's, in memory that may be executed, on a processor that has its features.
/// let mut model = unsafe { Predictor::in_place(package, code, &Functions::ALL) }?;
/// let probabilities = model.predict(&[Array::from_slice(&[0u8; 784], &[1, 28, 28])?])?;
/// # Ok(())
/// # }
/// ```
pub struct Predictor {
    executor: Executor,
    state: Vec<Array>,
    predict: EntryId,
}

impl Predictor {
    /// Loads a package with weights, whose code `code` is.
    ///
    /// # Safety
    /// The processor must be able to execute what lies at `code`, and have the features that the package's target names. A package is
    /// code: it must be one that may be trusted.
    pub unsafe fn in_place(
        mut package: Package,
        code: &'static [u8],
        functions: &'static Functions,
    ) -> Result<Self, SessionError> {
        let described = &package.manifest.code;
        if !described.programs.is_empty() {
            return Err(SessionError::OnDevice { target: described.target.clone() });
        }
        if described.intrinsics_version > INTRINSICS_VERSION {
            let package = described.intrinsics_version;
            return Err(SessionError::Intrinsics { package, runtime: INTRINSICS_VERSION });
        }
        super::check_library(described)?;
        if *code != *package.code {
            let (given, expected) = (code.len(), package.code.len());
            return Err(SessionError::Manifest(format!(
                "the {given} bytes where the code should lie are not the package's {expected} bytes of code"
            )));
        }
        let Some(state) = package.state.take() else { return Err(SessionError::NoWeights) };
        super::check_state(&package.manifest, &state)?;
        let kernels = described.kernels.iter().map(|kernel| {
            let start = usize::try_from(kernel.offset).ok().and_then(|offset| code.get(offset..)).map(<[u8]>::as_ptr);
            let start =
                start.ok_or_else(|| SessionError::Manifest(format!("kernel `{}` is outside the code", kernel.name)))?;
            // SAFETY: the package's writer put a kernel at each offset; the caller says that it may be executed there.
            Ok(unsafe { core::mem::transmute::<*const u8, KernelFn>(start) })
        });
        let kernels = kernels.collect::<Result<_, SessionError>>()?;
        let program = Arc::new(Program::with_kernels(package, kernels, functions)?);
        let predict = program.predict()?;
        let options = SessionOptions { threads: 1, ..SessionOptions::default() };
        Ok(Predictor { executor: Executor::new(program, &options)?, state, predict })
    }

    /// The entry point's inputs and outputs.
    pub fn signature(&self) -> &Entry {
        &self.executor.program.manifest.entries[self.predict.0]
    }

    /// The outputs in new arrays.
    pub fn predict<A: Argument>(&mut self, inputs: &[A]) -> Result<Vec<Array>, SessionError> {
        let mut outputs = Vec::new();
        // SAFETY: the state is never written, neither by the entry point nor by anyone else, and lives as long as the executor.
        unsafe { self.executor.run_into(&self.state, self.predict, inputs, &mut outputs) }?;
        Ok(outputs)
    }

    /// The outputs in memory of the caller, each as many bytes as the output has, aligned to its elements.
    pub fn predict_to<A: Argument>(&mut self, inputs: &[A], outputs: &mut [&mut [u8]]) -> Result<(), SessionError> {
        // SAFETY: as above.
        unsafe { self.executor.run_to(&self.state, self.predict, inputs, outputs) }
    }
}
