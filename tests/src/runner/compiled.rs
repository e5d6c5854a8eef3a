use super::Execution;
use kc_codegen::eager::Eager;
use kc_codegen::{Backend, Options, compile};
use kc_ir::tensor::Module;
use kc_runtime::{Array, Session, SessionOptions};

/// A package of a back end.
pub struct Compiled(Session);

impl Compiled {
    pub fn new(module: &Module, backend: &dyn Backend, threads: usize) -> Result<Self, String> {
        let package = compile(module, backend, &Options::default()).map_err(|error| error.to_string())?;
        let options = SessionOptions { threads, ..SessionOptions::default() };
        Ok(Compiled(Session::new(&package, &options).map_err(|error| error.to_string())?))
    }
}

impl Execution for Compiled {
    fn run(&mut self, entry: &str, inputs: &[&Array]) -> Result<Vec<Array>, String> {
        self.0.run(entry, inputs).map_err(|error| error.to_string())
    }

    fn state(&self) -> Vec<Array> {
        self.0.state().to_vec()
    }

    fn set_state(&mut self, index: usize, value: &Array) -> Result<(), String> {
        self.0.set_state_tensor(index, value).map_err(|error| error.to_string())
    }

    fn session(&mut self) -> Option<&mut Session> {
        Some(&mut self.0)
    }
}

/// One op at a time.
pub struct Dispatched(Eager<'static>);

impl Dispatched {
    pub fn new(module: &Module, backend: &'static dyn Backend, threads: usize) -> Result<Self, String> {
        let options = SessionOptions { threads, ..SessionOptions::default() };
        Ok(Dispatched(Eager::new(module.clone(), backend, options).map_err(|error| error.to_string())?))
    }
}

impl Execution for Dispatched {
    fn run(&mut self, entry: &str, inputs: &[&Array]) -> Result<Vec<Array>, String> {
        self.0.run(entry, inputs).map_err(|error| error.to_string())
    }

    fn state(&self) -> Vec<Array> {
        self.0.state().to_vec()
    }

    fn set_state(&mut self, index: usize, value: &Array) -> Result<(), String> {
        self.0.state_mut()[index] = value.clone();
        Ok(())
    }
}
