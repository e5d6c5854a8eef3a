//! Packages made of packages: for more machines, or for predicting alone.

use super::{Package, PackageError, Variant, codec};
use crate::array::Array;
use crate::errors::{errors, from_errors};
use crate::heap::*;
use crate::memory::AlignedBytes;
use kc_abi::call::{ALIGNMENT, Intrinsic};
use kc_abi::manifest::{DeviceProgram, Entry, Kernel, Manifest, Place, StateRole, launches, launches_mut};

errors! {
    /// Why packages cannot be merged or stripped.
    #[derive(Debug)]
    pub enum MergeError {
        /// Other state tensors.
        #[error("the packages are of different models: {0}")]
        Model(String),
        /// Code for the same machine twice.
        #[error("both packages have code for {0}")]
        Target(String),
        /// A package that cannot be read.
        #[error("{0}")]
        Package(PackageError),
        /// Nothing would be left.
        #[error("the package has no entry point `predict`, which is what would be left")]
        NoPredict,
    }
}
from_errors!(PackageError => MergeError::Package);

impl Package {
    /// All code of both packages in one. The state is this package's, or the other's where this has none. Code that needs more of the
    /// CPU comes first, so that a machine takes the best that it can execute.
    pub fn merge(self, other: Package) -> Result<Package, MergeError> {
        let differs = || self.manifest.state.iter().zip(&other.manifest.state).find(|(own, other)| own != other);
        if self.manifest.state.len() != other.manifest.state.len() {
            let (own, other) = (self.manifest.state.len(), other.manifest.state.len());
            return Err(MergeError::Model(format!("one has {own} state tensors, the other {other}")));
        }
        if let Some((own, other)) = differs() {
            return Err(MergeError::Model(format!(
                "state tensor `{}` {} here, `{}` {} there",
                own.name, own.ty, other.name, other.ty
            )));
        }
        let (mut variants, state) = self.into_variants();
        let (others, other_state) = other.into_variants();
        for other in others {
            if variants.iter().any(|variant| variant.target == other.target) {
                return Err(MergeError::Target(other.target.to_string()));
            }
            variants.push(other);
        }
        variants.sort_by(|a, b| {
            let by = |variant: &Variant| (variant.target.target.clone(), usize::MAX - variant.target.features.len());
            by(a).cmp(&by(b)).then_with(|| a.target.backend.cmp(&b.target.backend).reverse())
        });
        Ok(of_variants(variants, state.or(other_state))?)
    }

    /// The package with the entry point `predict` alone, its code, and the weights; what only training needs is left out.
    pub fn strip(self) -> Result<Package, MergeError> {
        let (variants, state) = self.into_variants();
        let mut manifests = variants.iter().map(Variant::manifest).collect::<Result<Vec<_>, _>>()?;
        let mut keep: Vec<bool> = Vec::new();
        for manifest in &mut manifests {
            let number = manifest.entries.iter().position(|entry| entry.name == "predict");
            manifest.code.programs.retain(|program| Some(program.entry) == number);
            manifest.code.programs.iter_mut().for_each(|program| program.entry = 0);
            manifest.entries.retain(|entry| entry.name == "predict");
            let Some(predict) = manifest.entries.first() else { return Err(MergeError::NoPredict) };
            keep.resize(manifest.state.len(), false);
            for (keep, tensor) in keep.iter_mut().zip(&manifest.state) {
                *keep |= matches!(tensor.role, StateRole::Trainable | StateRole::NonTrainable);
            }
            for buffer in predict.plans().flat_map(|plan| &plan.buffers) {
                if let Place::State(index) = buffer.place {
                    keep.get_mut(index).into_iter().for_each(|keep| *keep = true);
                }
            }
            let places =
                manifest.code.programs.iter().flat_map(|program| program.arguments.iter().chain(&program.results));
            for place in places {
                if let Place::State(index) = *place {
                    keep.get_mut(index).into_iter().for_each(|keep| *keep = true);
                }
            }
        }
        let stripped = variants.into_iter().zip(manifests).map(|(variant, mut manifest)| {
            keep_state(&mut manifest, &keep);
            let code = if manifest.code.programs.is_empty() {
                keep_kernels(&mut manifest, variant.code)
            } else {
                keep_programs(&mut manifest, variant.code)
            };
            Variant { manifest: codec::encode(&manifest).into(), code, ..variant }
        });
        let state = state.map(|state| kept(state, &keep));
        Ok(of_variants(stripped.collect(), state)?)
    }

    /// All variants in the file's order, and the state.
    fn into_variants(self) -> (Vec<Variant>, Option<Vec<Array>>) {
        let own = Variant {
            target: self.target(),
            rank: self.rank(),
            manifest: codec::encode(&self.manifest).into(),
            code: self.code,
            constants: self.constants,
        };
        let mut variants = self.others;
        variants.push(own);
        variants.sort_by_key(|variant| variant.rank);
        (variants, self.state)
    }
}

/// The package of variants in the order of preference.
fn of_variants(variants: Vec<Variant>, state: Option<Vec<Array>>) -> Result<Package, PackageError> {
    let targets: Vec<_> = variants.iter().map(|variant| variant.target.clone()).collect();
    let chosen = super::preferred(&targets);
    let mut ranked: Vec<Variant> =
        variants.into_iter().enumerate().map(|(rank, variant)| Variant { rank, ..variant }).collect();
    let own = ranked.remove(chosen);
    Ok(Package { manifest: own.manifest()?, code: own.code, constants: own.constants, state, others: ranked })
}

fn kept<T>(all: Vec<T>, keep: &[bool]) -> Vec<T> {
    all.into_iter().zip(keep).filter(|(_, keep)| **keep).map(|(one, _)| one).collect()
}

/// New numbers of what is kept.
fn numbers(keep: &[bool]) -> Vec<usize> {
    keep.iter().scan(0, |next, &keep| Some(core::mem::replace(next, *next + usize::from(keep)))).collect()
}

/// Leaves out state tensors that no plan has a buffer in.
fn keep_state(manifest: &mut Manifest, keep: &[bool]) {
    let numbers = numbers(keep);
    manifest.state = kept(core::mem::take(&mut manifest.state), keep);
    if let Some(distribution) = &mut manifest.model.distribution {
        distribution.state = kept(core::mem::take(&mut distribution.state), keep);
    }
    for program in &mut manifest.code.programs {
        for place in program.arguments.iter_mut().chain(&mut program.results) {
            if let Place::State(index) = place {
                *index = numbers.get(*index).copied().unwrap_or(usize::MAX);
            }
        }
    }
    for entry in &mut manifest.entries {
        entry.updates = entry.updates.iter().filter_map(|&index| numbers.get(index).copied()).collect();
        for buffer in entry.plans_mut().flat_map(|plan| &mut plan.buffers) {
            if let Place::State(index) = &mut buffer.place {
                *index = numbers.get(*index).copied().unwrap_or(usize::MAX);
            }
        }
    }
}

/// The parts of the code that programs for devices have.
fn keep_programs(manifest: &mut Manifest, code: AlignedBytes) -> AlignedBytes {
    let place = |program: &DeviceProgram| {
        let end = program.offset.checked_add(program.bytes)?;
        Some(usize::try_from(program.offset).ok()?..usize::try_from(end).ok()?)
    };
    let parts: Option<Vec<&[u8]>> = manifest.code.programs.iter().map(|program| code.get(place(program)?)).collect();
    let size = |parts: &Vec<&[u8]>| parts.iter().try_fold(0usize, |sum, part| sum.checked_add(part.len()));
    let Some(parts) = parts.filter(|parts| size(parts).is_some_and(|size| size < code.len())) else {
        // where one does not lie in the code, or nothing is gained, the code stays whole
        return code;
    };
    let kept_code = parts.concat();
    let mut start = 0;
    for program in &mut manifest.code.programs {
        program.offset = start;
        start += program.bytes;
    }
    kept_code.into()
}

/// Leaves out kernels that no plan launches, and the parts of the code that only they have.
fn keep_kernels(manifest: &mut Manifest, code: AlignedBytes) -> AlignedBytes {
    let mut launched = vec![false; manifest.code.kernels.len()];
    for launch in manifest.entries.iter().flat_map(Entry::plans).flat_map(|plan| launches(&plan.steps)) {
        launched.get_mut(launch.kernel).into_iter().for_each(|launched| *launched = true);
    }
    let numbers = numbers(&launched);
    for plan in manifest.entries.iter_mut().flat_map(Entry::plans_mut) {
        for launch in launches_mut(&mut plan.steps) {
            launch.kernel = numbers.get(launch.kernel).copied().unwrap_or(usize::MAX);
        }
    }
    let kernels = kept(core::mem::take(&mut manifest.code.kernels), &launched);
    let calls_library = |kernel: &Kernel| {
        kernel.calls.as_ref().is_none_or(|calls| calls.iter().any(|name| name == Intrinsic::Library.name()))
    };
    if !kernels.iter().any(calls_library) {
        manifest.code.library.clear();
    }
    // an instruction of AArch64 that takes the page of an address stays right where the code moves by whole pages
    let step = if manifest.code.target.starts_with("x86_64") { ALIGNMENT } else { 4096 };
    let starts = core::mem::take(&mut manifest.code.parts);
    let ends = starts.iter().skip(1).copied().chain([code.len() as u64]);
    let (mut kept_code, mut moved) = (Vec::new(), Vec::new());
    for (start, end) in starts.iter().copied().zip(ends) {
        let Some(part) = code.get(start as usize..end as usize) else { continue };
        if kernels.iter().any(|kernel| (start..end).contains(&kernel.offset)) {
            let place = kept_code.len().next_multiple_of(step) + start as usize % step;
            kept_code.resize(place, 0);
            kept_code.extend_from_slice(part);
            moved.push((start..end, place as u64));
        }
    }
    let is_lost = |kernel: &Kernel| !moved.iter().any(|(from, _)| from.contains(&kernel.offset));
    if kernels.iter().any(is_lost) || kept_code.len() >= code.len() {
        // where its parts are not known, or moving them gains nothing, the code stays whole
        manifest.code.kernels = kernels;
        manifest.code.parts = starts;
        return code;
    }
    let place = |offset: u64| {
        moved.iter().find(|(from, _)| from.contains(&offset)).map_or(offset, |(from, to)| to + (offset - from.start))
    };
    manifest.code.kernels =
        kernels.into_iter().map(|kernel| Kernel { offset: place(kernel.offset), ..kernel }).collect();
    manifest.code.parts = moved.iter().map(|(_, to)| *to).collect();
    kept_code.into()
}
