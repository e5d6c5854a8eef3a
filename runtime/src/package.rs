//! [`Package`]: a compiled model, and the one file that holds it.
//!
//! The layout is in the crate's README.

mod error;
#[cfg(feature = "std")]
mod file;
mod layout;
pub mod safetensors;
#[cfg(feature = "signature")]
mod signature;
mod tools;

pub use error::PackageError;
#[cfg(feature = "std")]
pub use file::replace_file;
pub use layout::{Hash, Section};
#[cfg(feature = "signature")]
pub use signature::{PublicKey, SecretKey, SignatureError};
pub use tools::MergeError;

use crate::array::{Array, shape_text};
use crate::heap::*;
use crate::intrinsics::{host_architecture, host_target, machine_has};
use crate::memory::{AlignedBytes, Region};
use alloc::sync::Arc;
use kc_abi::codec;
use kc_abi::manifest::{CodeTarget, FORMAT_VERSION, Manifest};
use layout::{MAXIMUM_VARIANTS, Sections};
#[cfg(feature = "std")]
use std::fs::File;
#[cfg(feature = "std")]
use std::path::Path;

/// A compiled model: what it is, its machine code for one kind of machine, its constants and its state.
#[derive(Clone, Debug)]
pub struct Package {
    /// Entry points, state, kernels.
    pub manifest: Manifest,
    /// A flat position-independent image.
    pub code: AlignedBytes,
    /// What [`kc_abi::manifest::Place::Constant`] points into.
    pub constants: AlignedBytes,
    /// The state tensors in the manifest's order; `None` where `init` has not run.
    pub state: Option<Vec<Array>>,
    /// The same model for other machines, in the file's order; they are kept, not executed.
    pub others: Vec<Variant>,
}

/// The code of a package for one kind of machine, as it lies in the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Variant {
    /// What it is for.
    pub target: CodeTarget,
    /// Its place among all in the file: the first that a machine can execute is taken.
    pub rank: usize,
    manifest: AlignedBytes,
    code: AlignedBytes,
    constants: AlignedBytes,
}

/// How much of a package is read at once.
#[derive(Clone, Copy, PartialEq)]
enum Check {
    /// All but the contents of the weights and of other machines' code.
    Load,
    /// Every byte.
    Everything,
}

impl Package {
    /// Maps a package's file and takes the code that is for this machine, else the first. The header, this code, its manifest and its
    /// constants are hashed and checked; the weights' bytes are read when they are used, and [`Package::verify`] hashes them.
    ///
    /// The file must not be written in place while the package or its state lives; replace it, as [`Package::write`] does.
    #[cfg(feature = "std")]
    pub fn read(path: &Path) -> Result<Self, PackageError> {
        in_file(path, |region| Self::of_region(region, Check::Load))
    }

    /// Reads the manifest for this machine alone.
    #[cfg(feature = "std")]
    pub fn read_manifest(path: &Path) -> Result<Manifest, PackageError> {
        in_file(path, |region| {
            let sections = Sections::parse(region.bytes())?;
            let targets = targets(&sections)?;
            manifest(&sections, preferred(&targets))
        })
    }

    /// Checks every byte of a package's file: all hashes, those of the weights and of other machines' code included.
    #[cfg(feature = "std")]
    pub fn verify(path: &Path) -> Result<Self, PackageError> {
        in_file(path, |region| Self::of_region(region, Check::Everything))
    }

    /// Reads a package from memory; everything in it is hashed and checked.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PackageError> {
        Self::of_region(Arc::new(Region::copy_of(bytes)), Check::Everything)
    }

    /// A package within the program ([`include_package!`](crate::include_package)): checked as [`Package::read`] does, and not copied.
    pub fn from_static(bytes: &'static [u8]) -> Result<Self, PackageError> {
        Self::of_region(Arc::new(Region::of_static(bytes)), Check::Load)
    }

    fn of_region(region: Arc<Region>, check: Check) -> Result<Self, PackageError> {
        let sections = Sections::parse(region.bytes())?;
        if check == Check::Everything {
            sections.check_all()?;
        }
        let targets = targets(&sections)?;
        let chosen = preferred(&targets);
        let manifest = manifest(&sections, chosen)?;
        check_target(&manifest, &targets[chosen])?;
        let code = sections.get(Section::Code, chosen)?;
        check_kernels(&manifest, code.clone())?;
        let constants = sections.get(Section::Constants, chosen)?;
        let mut others = Vec::new();
        for (rank, target) in targets.iter().enumerate().filter(|(rank, _)| *rank != chosen) {
            let part = |section| Ok(AlignedBytes::shared(&region, sections.range(section, rank)?));
            others.push(Variant {
                target: target.clone(),
                rank,
                manifest: part(Section::Manifest)?,
                code: part(Section::Code)?,
                constants: part(Section::Constants)?,
            });
        }
        if check == Check::Everything {
            others.iter().try_for_each(|other| other.check(&manifest))?;
        }
        let state = match sections.find_range(Section::Weights, 0) {
            Some(range) => Some(state(&manifest, &region, range)?),
            None => None,
        };
        Ok(Package {
            code: AlignedBytes::shared(&region, code),
            constants: AlignedBytes::shared(&region, constants),
            manifest,
            state,
            others,
        })
    }

    /// What this package's own code is for.
    pub fn target(&self) -> CodeTarget {
        target_of(&self.manifest)
    }

    /// The place of this package's own code among all variants in the file.
    fn rank(&self) -> usize {
        let mut ranks: Vec<usize> = self.others.iter().map(|other| other.rank).collect();
        ranks.sort_unstable();
        ranks.iter().enumerate().find(|(at, rank)| at != *rank).map_or(ranks.len(), |(at, _)| at)
    }

    /// The package as the bytes of its file; the same bytes for the same package.
    pub fn to_bytes(&self) -> Result<Vec<u8>, PackageError> {
        let own = Variant {
            target: self.target(),
            rank: self.rank(),
            manifest: codec::encode(&self.manifest).into(),
            code: self.code.clone(),
            constants: self.constants.clone(),
        };
        let mut variants: Vec<&Variant> = self.others.iter().chain([&own]).collect();
        variants.sort_by_key(|variant| variant.rank);
        if variants.len() > MAXIMUM_VARIANTS {
            let count = variants.len();
            return Err(PackageError::Header(format!("code for {count} machines, at most {MAXIMUM_VARIANTS} fit")));
        }
        let targets: Vec<CodeTarget> = variants.iter().map(|variant| variant.target.clone()).collect();
        let targets = codec::encode(&targets);
        let weights = match &self.state {
            None => None,
            Some(state) => {
                check_state(&self.manifest, state)?;
                let names = self.manifest.state.iter().map(|tensor| tensor.name.as_str());
                Some(safetensors::write(names.zip(state)))
            }
        };
        let mut sections: Vec<(Section, usize, &[u8])> = vec![(Section::Targets, 0, &targets)];
        for (number, variant) in variants.iter().enumerate() {
            sections.push((Section::Manifest, number, &variant.manifest));
            sections.push((Section::Code, number, &variant.code));
            sections.push((Section::Constants, number, &variant.constants));
        }
        sections.extend(weights.as_deref().map(|bytes| (Section::Weights, 0, bytes)));
        Ok(layout::write(&sections))
    }

    /// Writes the package's file: beside `path` first, then in its place. Where that fails, a file that was at `path` is
    /// unchanged and nothing is left beside it.
    #[cfg(feature = "std")]
    pub fn write(&self, path: &Path) -> Result<(), PackageError> {
        replace_file(path, &self.to_bytes()?).map_err(|source| PackageError::Write { path: path.to_path_buf(), source })
    }
}

impl Variant {
    /// Its entry points, state and kernels.
    pub fn manifest(&self) -> Result<Manifest, PackageError> {
        decode_manifest(&self.manifest)
    }

    /// Size of its code in bytes.
    pub fn code_bytes(&self) -> usize {
        self.code.len()
    }

    /// Whether it is code of the model that `model` describes.
    fn check(&self, model: &Manifest) -> Result<(), PackageError> {
        let manifest = self.manifest()?;
        check_target(&manifest, &self.target)?;
        check_kernels(&manifest, 0..self.code.len())?;
        if manifest.state != model.state {
            return Err(PackageError::Manifest(format!("the code for {} has another model's state", self.target)));
        }
        Ok(())
    }
}

#[cfg(feature = "std")]
fn in_file<T>(path: &Path, read: impl FnOnce(Arc<Region>) -> Result<T, PackageError>) -> Result<T, PackageError> {
    let region = File::open(path).and_then(|file| Region::map(&file)).map_err(PackageError::Io);
    region
        .and_then(|region| read(Arc::new(region)))
        .map_err(|source| PackageError::InFile { path: path.to_path_buf(), source: Box::new(source) })
}

/// What a manifest's code is for.
fn target_of(manifest: &Manifest) -> CodeTarget {
    let code = &manifest.code;
    CodeTarget { backend: code.backend.clone(), target: code.target.clone(), features: code.features.clone() }
}

fn targets(sections: &Sections) -> Result<Vec<CodeTarget>, PackageError> {
    let bytes = sections.contents(sections.get(Section::Targets, 0)?);
    let targets: Vec<CodeTarget> = codec::decode(bytes).map_err(|error| PackageError::Targets(error.to_string()))?;
    match targets.len() {
        1..=MAXIMUM_VARIANTS => Ok(targets),
        count => Err(PackageError::Targets(format!("code for {count} machines, expected 1 to {MAXIMUM_VARIANTS}"))),
    }
}

/// Whether code for an architecture and system is for this one; without a system its architecture counts.
fn is_host(target: &str) -> bool {
    let architecture = target.split('-').next().unwrap_or_default();
    target == host_target() || cfg!(target_os = "none") && architecture == host_architecture()
}

/// The first that this machine can execute, else the first.
fn preferred(targets: &[CodeTarget]) -> usize {
    let fits = |target: &CodeTarget| is_host(&target.target) && target.features.iter().all(|name| machine_has(name));
    targets.iter().position(fits).unwrap_or(0)
}

fn manifest(sections: &Sections, variant: usize) -> Result<Manifest, PackageError> {
    decode_manifest(sections.contents(sections.get(Section::Manifest, variant)?))
}

fn decode_manifest(bytes: &[u8]) -> Result<Manifest, PackageError> {
    let manifest: Manifest = codec::decode(bytes).map_err(|error| PackageError::Manifest(error.to_string()))?;
    if manifest.format != FORMAT_VERSION {
        return Err(PackageError::Version { found: manifest.format, expected: FORMAT_VERSION });
    }
    Ok(manifest)
}

fn check_target(manifest: &Manifest, target: &CodeTarget) -> Result<(), PackageError> {
    let own = target_of(manifest);
    if own != *target {
        return Err(PackageError::Targets(format!("{target} is listed, the manifest says {own}")));
    }
    Ok(())
}

fn check_kernels(manifest: &Manifest, code: core::ops::Range<usize>) -> Result<(), PackageError> {
    let bytes = code.len();
    match manifest.code.kernels.iter().find(|kernel| kernel.offset >= bytes as u64) {
        Some(kernel) => Err(PackageError::Kernel { kernel: kernel.name.clone(), offset: kernel.offset, bytes }),
        None => Ok(()),
    }
}

/// The state tensors, as parts of the region.
fn state(
    manifest: &Manifest,
    region: &Arc<Region>,
    range: core::ops::Range<usize>,
) -> Result<Vec<Array>, PackageError> {
    let mut layout = safetensors::Layout::default();
    for tensor in &manifest.state {
        let extents = tensor.ty.shape.iter().map(|dim| usize::try_from(dim.as_constant()?).ok());
        let added = extents.collect::<Option<Vec<usize>>>().and_then(|shape| {
            layout.add(&tensor.name, tensor.ty.dtype, &shape)?;
            Some(shape)
        });
        if added.is_none() {
            return Err(PackageError::Manifest(format!("state tensor `{}` is {}", tensor.name, tensor.ty)));
        }
    }
    let header = layout.header();
    let contents = &region.bytes()[range.clone()];
    if contents.len() as u128 != header.len() as u128 + layout.data_bytes() as u128 {
        let (expected, found) = (header.len() as u128 + layout.data_bytes() as u128, contents.len());
        return Err(PackageError::Weights(format!("{found} bytes for state tensors that take {expected}")));
    }
    if contents[..header.len()] != header {
        return Err(PackageError::Weights("its header is not that of the manifest's state tensors".into()));
    }
    let first = range.start + header.len();
    Ok(layout
        .tensors
        .iter()
        .map(|tensor| {
            let place = first + tensor.place.start..first + tensor.place.end;
            Array::of_region(tensor.dtype, &tensor.shape, region, place)
        })
        .collect())
}

/// Whether there is one tensor for each of the manifest's, with its dtype and shape.
fn check_state(manifest: &Manifest, state: &[Array]) -> Result<(), PackageError> {
    if state.len() != manifest.state.len() {
        let (given, expected) = (state.len(), manifest.state.len());
        return Err(PackageError::Weights(format!("{given} tensors for the manifest's {expected}")));
    }
    for (array, expected) in state.iter().zip(&manifest.state) {
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
