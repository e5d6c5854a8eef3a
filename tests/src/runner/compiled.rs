use super::Execution;
use kc_codegen::eager::Eager;
use kc_codegen::{Backend, Options, compile};
use kc_ir::tensor::Module;
use kc_runtime::{Array, DeviceOptions, Session, SessionOptions};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// A package of a back end.
pub struct Compiled(Session);

impl Compiled {
    pub fn new(module: &Module, backend: &dyn Backend, threads: usize) -> Result<Self, String> {
        let package = compile(module, backend, &Options::default()).map_err(|error| error.to_string())?;
        let options = SessionOptions { threads, ..SessionOptions::default() };
        Ok(Compiled(Session::new(&package, &options).map_err(|error| error.to_string())?))
    }

    pub fn on_xla(module: &Module) -> Result<Self, String> {
        let package = kc_codegen::stablehlo::compile(module, &Options::default(), &mut |_, _| {});
        let package = package.map_err(|error| error.to_string())?;
        let device = DeviceOptions { plugin: Some(xla_plugin()?), cache: None, ..DeviceOptions::default() };
        let options = SessionOptions { device, ..SessionOptions::default() };
        Ok(Compiled(Session::new(&package, &options).map_err(|error| error.to_string())?))
    }
}

/// The plug-in that executes on the CPU: the file that `KC_XLA_CPU` names, else where `cargo xtask` puts it.
pub fn xla_plugin() -> Result<PathBuf, String> {
    static FOUND: LazyLock<Result<PathBuf, String>> = LazyLock::new(|| {
        let path = match std::env::var_os("KC_XLA_CPU") {
            Some(path) => PathBuf::from(path),
            None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/plugins/xla_cpu_pjrt.so"),
        };
        match path.is_file() {
            true => Ok(path),
            false => {
                Err(format!("there is no {}; `cargo xtask xla` installs XLA's plug-in for the CPU", path.display()))
            }
        }
    });
    FOUND.clone()
}

/// Loads the GPU for tests, by whose name NVIDIA's driver is found from then on.
pub fn test_device() -> Result<(), String> {
    static LOADED: LazyLock<Result<(), String>> = LazyLock::new(|| {
        // built beside the tests' executables, which depend on it
        let executable = std::env::current_exe().map_err(|error| error.to_string())?;
        let folder = executable.parent().ok_or("the executable lies in no folder")?;
        let path = folder.join("libkc_test_device.so");
        // SAFETY: it initialises nothing when it is loaded.
        let library = unsafe { libloading::Library::new(&path) };
        std::mem::forget(library.map_err(|error| format!("{}: {error}", path.display()))?);
        Ok(())
    });
    LOADED.clone()
}

impl Execution for Compiled {
    fn run(&mut self, entry: &str, inputs: &[&Array]) -> Result<Vec<Array>, String> {
        self.0.run(entry, inputs).map_err(|error| error.to_string())
    }

    fn state(&mut self) -> Result<Vec<Array>, String> {
        self.0.state().map(<[Array]>::to_vec).map_err(|error| error.to_string())
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

    fn state(&mut self) -> Result<Vec<Array>, String> {
        Ok(self.0.state().to_vec())
    }

    fn set_state(&mut self, index: usize, value: &Array) -> Result<(), String> {
        self.0.state_mut()[index] = value.clone();
        Ok(())
    }
}
