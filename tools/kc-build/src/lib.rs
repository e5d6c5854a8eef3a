//! For build scripts: puts a compiled Keras model into a Rust program, with an interface of its own types.
//!
//! ```toml
//! [dependencies]
//! kc-runtime = { path = "kc/runtime", default-features = false, features = ["std"] }
//! [build-dependencies]
//! kc-build = { path = "kc/tools/kc-build" }
//! ```
//!
//! ```no_run
//! // in build.rs
//! kc_build::package("mnist.kcp").unwrap();
//! ```
//!
//! ```text
//! // src/main.rs
//! kc_runtime::include_model!("mnist.rs");
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let probabilities: [f32; 10] = Mnist::new()?.predict(&[[0u8; 28]; 28])?;
//!     println!("{probabilities:?}");
//!     Ok(())
//! }
//! ```
//!
//! The package is part of the program; the program needs neither the compiler nor a file.

mod interface;

pub use interface::{features, interface, type_name};

use kc_runtime::{Package, PackageError};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Why there is no model for the program.
#[derive(Debug)]
pub enum BuildError {
    /// This is no build script of cargo's.
    OutDir,
    /// The package cannot be read.
    Package(PackageError),
    /// A file cannot be written or found.
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The command `kc` cannot be run, or found a mistake in the model.
    Compile(String),
}

impl fmt::Display for BuildError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BuildError::OutDir => formatter.write_str("`OUT_DIR` is not set: call this from a build script (build.rs)"),
            BuildError::Package(error) => write!(formatter, "{error}"),
            BuildError::Io { path, source } => write!(formatter, "{}: {source}", path.display()),
            BuildError::Compile(message) => formatter.write_str(message),
        }
    }
}

impl std::error::Error for BuildError {}

/// Puts a package into the program: writes `$OUT_DIR/NAME.rs`, NAME being the file's, with a type that predicts. Take it into the
/// program with `kc_runtime::include_model!("NAME.rs")`; [`interface`] says what is in it.
pub fn package(path: impl AsRef<Path>) -> Result<(), BuildError> {
    let path = path.as_ref();
    println!("cargo::rerun-if-changed={}", path.display());
    embed(path)
}

/// Compiles a model file with the command `kc` (the one that `KC` names, else the one on the path), for the machine that builds, and puts
/// the package into the program as [`package`] does. It has no weights: the program trains it, from `NAME::session()`.
pub fn model(path: impl AsRef<Path>) -> Result<(), BuildError> {
    let path = path.as_ref();
    println!("cargo::rerun-if-changed={}", path.display());
    println!("cargo::rerun-if-env-changed=KC");
    let package = out_dir()?.join(stem(path)).with_extension("kcp");
    let kc = std::env::var_os("KC").unwrap_or_else(|| "kc".into());
    let output = Command::new(&kc)
        .args(["compile".as_ref(), path.as_os_str(), "-o".as_ref(), package.as_os_str()])
        .output()
        .map_err(|error| {
            let kc = Path::new(&kc).display();
            BuildError::Compile(format!(
                "cannot run `{kc}`: {error}; install it (`cargo install --path tools/kc`) or set `KC`"
            ))
        })?;
    if !output.status.success() {
        return Err(BuildError::Compile(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    embed(&package)
}

fn embed(path: &Path) -> Result<(), BuildError> {
    let absolute = path.canonicalize().map_err(|source| BuildError::Io { path: path.to_owned(), source })?;
    let package = Package::verify(&absolute).map_err(BuildError::Package)?;
    let text = interface(&package, &stem(path), &format!("{absolute:?}"));
    let out = out_dir()?.join(stem(path)).with_extension("rs");
    std::fs::write(&out, text).map_err(|source| BuildError::Io { path: out, source })
}

fn out_dir() -> Result<PathBuf, BuildError> {
    std::env::var_os("OUT_DIR").map(PathBuf::from).ok_or(BuildError::OutDir)
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}
