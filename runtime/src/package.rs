//! [`Package`]: a compiled model, and the one file that holds it.
//!
//! The layout is in the crate's README.

mod error;
mod file;
mod layout;
pub mod safetensors;

pub use error::PackageError;
pub use file::replace_file;
pub use layout::{Hash, Section};

use crate::array::{Array, shape_text};
use kc_abi::manifest::{FORMAT_VERSION, Manifest};
use layout::Sections;
use std::path::Path;

/// A compiled model: what it is, its machine code, its constants and its state.
#[derive(Clone, Debug)]
pub struct Package {
    /// Entry points, state, kernels.
    pub manifest: Manifest,
    /// A flat position-independent image.
    pub code: Vec<u8>,
    /// What [`kc_abi::manifest::Place::Constant`] points into.
    pub constants: Vec<u8>,
    /// The state tensors in the manifest's order; `None` where `init` has not run.
    pub state: Option<Vec<Array>>,
}

impl Package {
    /// Reads a package's file; everything in it is hashed and checked.
    pub fn read(path: &Path) -> Result<Self, PackageError> {
        let in_file = |source| PackageError::InFile { path: path.to_path_buf(), source: Box::new(source) };
        let bytes = std::fs::read(path).map_err(|error| in_file(PackageError::Io(error)))?;
        Self::from_bytes(&bytes).map_err(in_file)
    }

    /// Reads the manifest alone, as `read` does without the code's, the constants' and the state's hashes.
    pub fn read_manifest(path: &Path) -> Result<Manifest, PackageError> {
        let in_file = |source| PackageError::InFile { path: path.to_path_buf(), source: Box::new(source) };
        let bytes = std::fs::read(path).map_err(|error| in_file(PackageError::Io(error)))?;
        Sections::parse(&bytes).and_then(|sections| manifest(&sections)).map_err(in_file)
    }

    /// Reads a package from memory; everything in it is hashed and checked.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PackageError> {
        let sections = Sections::parse(bytes)?;
        let manifest = manifest(&sections)?;
        let code = sections.get(Section::Code)?;
        for kernel in &manifest.code.kernels {
            if kernel.offset >= code.len() as u64 {
                return Err(PackageError::Kernel {
                    kernel: kernel.name.clone(),
                    offset: kernel.offset,
                    bytes: code.len(),
                });
            }
        }
        let constants = sections.get(Section::Constants)?;
        let state = match sections.find(Section::Weights)? {
            Some(bytes) => Some(state(&manifest, bytes)?),
            None => None,
        };
        Ok(Package { code: code.to_vec(), constants: constants.to_vec(), manifest, state })
    }

    /// The package as the bytes of its file; the same bytes for the same package.
    pub fn to_bytes(&self) -> Result<Vec<u8>, PackageError> {
        let manifest = serde_json::to_vec(&self.manifest).map_err(|error| PackageError::Manifest(error.to_string()))?;
        let weights = match &self.state {
            None => None,
            Some(state) => {
                check_state(&self.manifest, state.len(), |i| Some(&state[i]))?;
                let names = self.manifest.state.iter().map(|tensor| tensor.name.as_str());
                Some(safetensors::write(names.zip(state)))
            }
        };
        let mut sections = vec![
            (Section::Manifest, &manifest[..]),
            (Section::Code, &self.code),
            (Section::Constants, &self.constants),
        ];
        sections.extend(weights.as_deref().map(|bytes| (Section::Weights, bytes)));
        Ok(layout::write(&sections))
    }

    /// Writes the package's file: beside `path` first, then in its place. Where that fails, a file that was at `path` is
    /// unchanged and nothing is left beside it.
    pub fn write(&self, path: &Path) -> Result<(), PackageError> {
        replace_file(path, &self.to_bytes()?).map_err(|source| PackageError::Write { path: path.to_path_buf(), source })
    }
}

fn manifest(sections: &Sections) -> Result<Manifest, PackageError> {
    let bytes = sections.get(Section::Manifest)?;
    let manifest: Manifest =
        serde_json::from_slice(bytes).map_err(|error| PackageError::Manifest(error.to_string()))?;
    if manifest.format != FORMAT_VERSION {
        return Err(PackageError::Version { found: manifest.format, expected: FORMAT_VERSION });
    }
    Ok(manifest)
}

fn state(manifest: &Manifest, bytes: &[u8]) -> Result<Vec<Array>, PackageError> {
    let mut tensors = safetensors::read(bytes).map_err(|error| PackageError::Weights(error.to_string()))?;
    if let Some(name) = tensors.keys().find(|name| !manifest.state.iter().any(|tensor| tensor.name == **name)) {
        return Err(PackageError::Weights(format!("tensor `{name}` is not in the manifest")));
    }
    let state: Vec<Option<Array>> = manifest.state.iter().map(|tensor| tensors.remove(&tensor.name)).collect();
    check_state(manifest, state.len(), |i| state[i].as_ref())?;
    Ok(state.into_iter().flatten().collect())
}

/// Whether there is one tensor for each of the manifest's, with its dtype and shape.
fn check_state<'a>(
    manifest: &Manifest,
    given: usize,
    tensor: impl Fn(usize) -> Option<&'a Array>,
) -> Result<(), PackageError> {
    if given != manifest.state.len() {
        let expected = manifest.state.len();
        return Err(PackageError::Weights(format!("{given} tensors for the manifest's {expected}")));
    }
    for (index, expected) in manifest.state.iter().enumerate() {
        let Some(array) = tensor(index) else {
            return Err(PackageError::Weights(format!("tensor `{}` is missing", expected.name)));
        };
        let shape: Option<Vec<i64>> = array.shape().iter().map(|&extent| i64::try_from(extent).ok()).collect();
        if array.dtype() != expected.ty.dtype || shape != expected.ty.constant_shape() {
            return Err(PackageError::Weights(format!(
                "tensor `{}` is {}{}, the manifest says {}",
                expected.name,
                array.dtype(),
                shape_text(array.shape()),
                expected.ty
            )));
        }
    }
    Ok(())
}
