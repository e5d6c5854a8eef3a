//! Eager execution: no fusion across ops. Every op of a traced graph (a composite is one op; views and constants are part of
//! the op that reads them) is a kernel of its own, dispatched one after the other, with its results in new arrays.
//!
//! It is what fused execution is compared with, and what a person debugs with.

mod compile;
mod execute;

use crate::{Backend, CompileError};
use compile::compile_ops;
use execute::Compiled;
use kc_ir::tensor::{Module, ResultSlot, bind_symbols};
use kc_runtime::{Array, SessionError, SessionOptions};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Why eager execution failed.
#[derive(Debug, thiserror::Error)]
pub enum EagerError {
    /// An op that cannot be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// An op that cannot be executed, or arguments that do not fit.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The module has no such entry point.
    #[error("the model has no entry point `{0}`")]
    NoEntry(String),
    /// More or fewer inputs than the entry point takes.
    #[error("entry point `{entry}` takes {expected} inputs, got {given}")]
    Inputs {
        /// The entry point.
        entry: String,
        /// How many were given.
        given: usize,
        /// How many it takes.
        expected: usize,
    },
    /// A state tensor too large for memory.
    #[error("state tensor `{name}`: {message}")]
    State {
        /// Its name.
        name: String,
        /// What was wrong.
        message: String,
    },
}

/// A module in eager execution, with its state.
pub struct Eager<'b> {
    module: Module,
    backend: &'b dyn Backend,
    options: SessionOptions,
    state: Vec<Array>,
    /// Compiled ops by the values of the symbols and the entry point.
    compiled: BTreeMap<(String, Vec<i64>), Compiled>,
}

impl<'b> Eager<'b> {
    /// A module whose state is zero; `init` makes the first values.
    pub fn new(module: Module, backend: &'b dyn Backend, options: SessionOptions) -> Result<Self, EagerError> {
        let zeros = |tensor: &kc_ir::manifest::StateTensor| {
            let failed = |message: String| EagerError::State { name: tensor.name.clone(), message };
            let shape =
                tensor.ty.constant_shape().ok_or_else(|| failed(format!("the shape {} is not known", tensor.ty)))?;
            let shape: Vec<usize> = shape.into_iter().map(|extent| extent.max(0) as usize).collect();
            Array::zeros(tensor.ty.dtype, &shape).map_err(|error| failed(error.to_string()))
        };
        let state = module.state.iter().map(zeros).collect::<Result<_, _>>()?;
        Ok(Eager { module, backend, options, state, compiled: BTreeMap::new() })
    }

    /// The state tensors, in the module's order.
    pub fn state(&self) -> &[Array] {
        &self.state
    }

    /// The state tensors, to be replaced by others of the same types.
    pub fn state_mut(&mut self) -> &mut [Array] {
        &mut self.state
    }

    /// Executes an entry point.
    pub fn run(&mut self, entry: &str, inputs: &[&Array]) -> Result<Vec<Array>, EagerError> {
        let Some(function) = self.module.function(entry) else { return Err(EagerError::NoEntry(entry.to_string())) };
        if inputs.len() != function.inputs.len() {
            let (entry, given, expected) = (entry.to_string(), inputs.len(), function.inputs.len());
            return Err(EagerError::Inputs { entry, given, expected });
        }
        let bound =
            bind_symbols(function.inputs.iter().map(|input| &input.ty).zip(inputs.iter().map(|array| array.shape())));
        let key = (entry.to_string(), bound.iter().map(|(_, value)| *value).collect::<Vec<_>>());
        let compiled = match self.compiled.entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(compile_ops(function, &bound, self.backend, &self.options)?),
        };
        let mut outputs: Vec<(usize, Array)> = vec![];
        for (slot, value) in compiled.run(entry, &self.options, &self.state, inputs)? {
            match slot {
                ResultSlot::State(state) => self.state[state] = value,
                ResultSlot::Output(output) => outputs.push((output, value)),
            }
        }
        outputs.sort_by_key(|(output, _)| *output);
        Ok(outputs.into_iter().map(|(_, value)| value).collect())
    }
}
