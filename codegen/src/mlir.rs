//! The back end `mlir`: a plug-in (`codegen/mlir`) that is opened where it is found.

pub(crate) mod interface;
mod machine;

pub use machine::Machine;

use crate::{Backend, CodeImage, CodegenError, Form};
use interface::{API_VERSION, ApiVersionFn, Blob, CompileFn, Failure, FreeFn, ImageHeader, Options, Output};
use kc_ir::kernel::{Kernel, print_kernels};
use kc_passes::Target;
use kc_runtime::with_sources;
use libloading::Library;
use std::path::{Path, PathBuf};

const NAME: &str = "mlir";

/// The variable that names the plug-in's file.
const VARIABLE: &str = "KC_MLIR_PLUGIN";

/// The plug-in cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAvailable {
    /// There is no file.
    #[error("the MLIR plug-in is not built; looked for\n{}\nbuild it with `cargo xtask mlir`", list(.0))]
    Missing(Vec<PathBuf>),
    /// The file is no such plug-in.
    #[error("the MLIR plug-in {} cannot be opened: {reason}\nbuild it again with `cargo xtask mlir`", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The plug-in is of another version of kc.
    #[error("the MLIR plug-in {} speaks version {found} of the interface, expected {API_VERSION}; build it again with `cargo xtask mlir`", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| format!("  {}", path.display())).collect::<Vec<_>>().join("\n")
}

impl From<NotAvailable> for CodegenError {
    fn from(error: NotAvailable) -> Self {
        CodegenError::Unavailable { backend: NAME.to_string(), reason: error.to_string() }
    }
}

/// The back end: code for the CPU that compiles, or another, through MLIR and LLVM.
#[derive(Debug)]
pub struct Mlir {
    compile: CompileFn,
    free: FreeFn,
    machine: Machine,
    target: Target,
    path: PathBuf,
    /// Keeps the functions above in memory.
    _library: Library,
}

impl Mlir {
    /// Opens the plug-in: the file that `KC_MLIR_PLUGIN` names; else the first `libkc_mlir.so` beside the executable, in a folder
    /// `plugins` beside one of the folders that the executable lies in (as `target/plugins` is for what cargo builds), in
    /// `target/plugins` of the checkout that this was built in (for an installed executable), in `~/.local/lib/kc`.
    pub fn find() -> Result<Self, NotAvailable> {
        let candidates = candidates();
        match candidates.iter().find(|path| path.is_file()) {
            Some(path) => Self::open(path),
            None => Err(NotAvailable::Missing(candidates)),
        }
    }

    /// Opens the plug-in in that file.
    pub fn open(path: &Path) -> Result<Self, NotAvailable> {
        let broken =
            |error: libloading::Error| NotAvailable::Broken { path: path.into(), reason: with_sources(&error) };
        // SAFETY: the file is the plug-in that the person named or built; its initialisers are LLVM's, which have no preconditions. The
        // functions' types are those of the interface's version, which is checked before another function is called.
        unsafe {
            let library = Library::new(path).map_err(broken)?;
            let version = library.get::<ApiVersionFn>(b"kc_mlir_api_version\0").map_err(broken)?;
            let found = version();
            if found != API_VERSION {
                return Err(NotAvailable::Version { path: path.into(), found });
            }
            Ok(Mlir {
                compile: *library.get::<CompileFn>(b"kc_mlir_compile\0").map_err(broken)?,
                free: *library.get::<FreeFn>(b"kc_mlir_free\0").map_err(broken)?,
                machine: Machine::Host,
                target: Machine::Host.target(),
                path: path.into(),
                _library: library,
            })
        }
    }

    /// The plug-in's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The same back end for another machine.
    pub fn for_machine(self, machine: Machine) -> Self {
        Mlir { target: machine.target(), machine, ..self }
    }

    /// An object file with the kernels, and around them a program (see the interface's options) that defines these functions.
    pub(crate) fn object(
        &self,
        kernels: &[Kernel],
        program: &str,
        exports: &[String],
    ) -> Result<Vec<u8>, CodegenError> {
        let options = Options {
            output: Output::Object,
            program: program.to_owned(),
            exports: exports.to_vec(),
            ..Options::default()
        };
        self.call_with(kernels, options)
    }

    fn call(&self, kernels: &[Kernel], output: Output) -> Result<Vec<u8>, CodegenError> {
        self.call_with(kernels, Options { output, ..Options::default() })
    }

    fn call_with(&self, kernels: &[Kernel], options: Options) -> Result<Vec<u8>, CodegenError> {
        let (triple, features) = (self.machine.triple(), self.machine.features());
        self.call_as(NAME, kernels, &Options { triple, features, ..options })
    }

    /// What the plug-in gives with these options; `backend` is the name in errors.
    pub(crate) fn call_as(
        &self,
        backend: &str,
        kernels: &[Kernel],
        options: &Options,
    ) -> Result<Vec<u8>, CodegenError> {
        let unavailable = |reason: String| CodegenError::Unavailable { backend: backend.to_string(), reason };
        let text = print_kernels(kernels);
        let options = serde_json::to_vec(options).map_err(|error| unavailable(error.to_string()))?;
        let mut blob = Blob { data: std::ptr::null_mut(), length: 0, capacity: 0 };
        // SAFETY: both inputs are live for the call; the plug-in fills the blob in every case, and it is copied before it is given back.
        let (status, bytes) = unsafe {
            let status = (self.compile)(text.as_ptr(), text.len(), options.as_ptr(), options.len(), &mut blob);
            let bytes = std::slice::from_raw_parts(blob.data, blob.length).to_vec();
            (self.free)(&mut blob);
            (status, bytes)
        };
        if status == 0 {
            return Ok(bytes);
        }
        Err(match serde_json::from_slice(&bytes) {
            Ok(Failure { kernel: Some(kernel), message }) => {
                CodegenError::Kernel { backend: backend.to_string(), kernel, reason: message }
            }
            Ok(Failure { kernel: None, message }) => unavailable(message),
            Err(_) => unavailable(String::from_utf8_lossy(&bytes).into_owned()),
        })
    }
}

impl Backend for Mlir {
    fn name(&self) -> &'static str {
        NAME
    }

    fn target(&self) -> &Target {
        &self.target
    }

    fn target_mut(&mut self) -> &mut Target {
        &mut self.target
    }

    fn machine(&self) -> &str {
        self.machine.package_target()
    }

    fn compile(&self, kernels: &[Kernel]) -> Result<CodeImage, CodegenError> {
        let bytes = self.call(kernels, Output::Image)?;
        let Some((header, code)) = interface::decode_image(&bytes) else {
            let reason = format!("{} gave something that is no code image", self.path.display());
            return Err(CodegenError::Unavailable { backend: NAME.to_string(), reason });
        };
        let ImageHeader { kernel_offsets, features, parts } = header;
        Ok(CodeImage { bytes: code.to_vec(), kernel_offsets, features, parts })
    }

    fn emit(&self, kernels: &[Kernel], form: Form) -> Result<String, CodegenError> {
        let output = match form {
            Form::Mlir => Output::Mlir,
            Form::Llvm => Output::Llvm,
            Form::Asm => Output::Asm,
            Form::Clif | Form::Ptx => {
                let expected = [Form::Mlir, Form::Llvm, Form::Asm].map(Form::name).join(", ");
                return Err(CodegenError::Form { backend: NAME.to_string(), form, expected });
            }
        };
        Ok(String::from_utf8_lossy(&self.call(kernels, output)?).into_owned())
    }
}

/// Where the plug-in may lie, in the order in which it is looked for.
fn candidates() -> Vec<PathBuf> {
    if let Some(path) = std::env::var_os(VARIABLE) {
        return vec![path.into()];
    }
    let file = libloading::library_filename("kc_mlir");
    let mut candidates = Vec::new();
    if let Ok(executable) = std::env::current_exe() {
        let folders = executable.ancestors().skip(1);
        candidates.extend(folders.clone().take(1).map(|folder| folder.join(&file)));
        // `target/release/kc` and `target/debug/deps/some_test` both belong to `target/plugins`
        candidates.extend(folders.skip(1).take(2).map(|folder| folder.join("plugins").join(&file)));
    }
    // an installed executable lies elsewhere, the plug-in still where `cargo xtask mlir` puts it
    let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(|root| root.join("target/plugins").join(&file));
    candidates.extend(built_in.filter(|path| !candidates.contains(path)));
    candidates.extend(std::env::home_dir().map(|home| home.join(".local/lib/kc").join(&file)));
    candidates
}
