//! The library that compiled code calls on one task's part of its tensors: see [`LibraryFunction`]. Nothing is allocated by a
//! function unless its module says so.

mod factor;
#[cfg(feature = "fft")]
mod fourier;
mod matrix;
mod order;
#[cfg(feature = "linalg")]
mod spectral;

use kc_abi::DType;
use kc_abi::library::{Extents, LibraryFunction, MAX_REGIONS, Provider, Region, dtype_of_number};
use matrix::Matrix;

/// Whether this runtime computes a function: its features say so.
pub const fn provides(function: LibraryFunction) -> bool {
    match function.provider() {
        Provider::Core => true,
        Provider::Fft => cfg!(feature = "fft"),
        Provider::Linalg => cfg!(feature = "linalg"),
    }
}

/// See [`kc_abi::call::Intrinsics::library`]. A call whose regions do not fit, or whose function this runtime does not have, does nothing:
/// the verifier and the session have seen that there is none.
pub(super) unsafe extern "C" fn library(
    function: i64,
    regions: *const Region,
    region_count: i64,
    attributes: *const i64,
) {
    let Some(function) = LibraryFunction::from_number(function) else { return };
    let count = usize::try_from(region_count).unwrap_or(0);
    if count == 0 || count > MAX_REGIONS {
        return;
    }
    // SAFETY: the caller passes so many regions, and as many attributes as the function has.
    let (regions, attributes) = unsafe {
        (core::slice::from_raw_parts(regions, count), core::slice::from_raw_parts(attributes, function.attributes()))
    };
    let mut extents = [Extents { dtype: DType::F64, rows: 0, columns: 0 }; MAX_REGIONS];
    for (extents, region) in extents.iter_mut().zip(regions) {
        let Some(dtype) = dtype_of_number(region.dtype) else { return };
        *extents = Extents { dtype, rows: region.rows, columns: region.columns };
    }
    let extents = &extents[..count];
    if function.check(extents).is_err() || !provides(function) {
        return;
    }
    let set = |position: usize| attributes[position] != 0;
    // SAFETY: the caller's regions lie in memory that no other thread writes meanwhile, none that is written overlaps another, and
    // their dtypes and extents are those that the function takes.
    unsafe {
        match function {
            LibraryFunction::Argsort => order::argsort(&regions[..count - 1], &regions[count - 1], set(0)),
            LibraryFunction::Argtop => order::argtop(&regions[0], &regions[1]),
            LibraryFunction::Lu => match extents[0].dtype {
                DType::F32 => lu::<f32>(regions),
                _ => lu::<f64>(regions),
            },
            function => match extents[0].dtype {
                #[cfg(feature = "fft")]
                DType::F32 if function == LibraryFunction::Fft => fourier::transform::<f32>(regions, set(0)),
                #[cfg(feature = "fft")]
                DType::F64 if function == LibraryFunction::Fft => fourier::transform::<f64>(regions, set(0)),
                DType::F32 => floating::<f32>(function, regions, &set),
                _ => floating::<f64>(function, regions, &set),
            },
        }
    }
}

/// # Safety
/// As [`library`]; the matrix and its factors are of `T`.
unsafe fn lu<T: matrix::Float>(regions: &[Region]) {
    // SAFETY: by the caller; pivots and rows are of i32.
    unsafe {
        let (a, mut factors) = (Matrix::<T>::new(&regions[0]), Matrix::<T>::new(&regions[1]));
        factor::lu(&a, &mut factors, &mut Matrix::new(&regions[2]), &mut Matrix::new(&regions[3]));
    }
}

/// # Safety
/// As [`library`]; the matrices are of `T`.
unsafe fn floating<T: matrix::Float>(function: LibraryFunction, regions: &[Region], set: &dyn Fn(usize) -> bool) {
    // SAFETY: by the caller.
    let matrix = |position: usize| unsafe { Matrix::<T>::new(&regions[position]) };
    match function {
        LibraryFunction::Cholesky => factor::cholesky(&matrix(0), &mut matrix(1)),
        LibraryFunction::TriangularSolve => {
            factor::triangular_solve(&matrix(0), &matrix(1), &mut matrix(2), set(0), set(1));
        }
        LibraryFunction::Qr => factor::qr(&matrix(0), &mut matrix(1), &mut matrix(2)),
        #[cfg(feature = "linalg")]
        LibraryFunction::Eigh => spectral::symmetric(&matrix(0), &mut matrix(1), &mut matrix(2)),
        #[cfg(feature = "linalg")]
        LibraryFunction::Eig => {
            spectral::general(&matrix(0), [&mut matrix(1), &mut matrix(2)], [&mut matrix(3), &mut matrix(4)]);
        }
        #[cfg(feature = "linalg")]
        LibraryFunction::Svd => spectral::svd(&matrix(0), &mut matrix(1), &mut matrix(2), &mut matrix(3)),
        #[cfg(feature = "linalg")]
        LibraryFunction::SingularValues => spectral::singular_values(&matrix(0), &mut matrix(1)),
        _ => {}
    }
}
