//! Fourier transforms by the crate `rustfft`. What a length needs is prepared when a thread meets it first, and kept; then nothing
//! is allocated.

use super::matrix::{Float, Matrix};
use kc_abi::library::Region;
use rustfft::num_complex::Complex;
use rustfft::{FftNum, FftPlanner};
use std::cell::RefCell;
use std::thread::LocalKey;

/// A thread's prepared transforms and memory.
pub(super) struct Workspace<T: FftNum> {
    planner: FftPlanner<T>,
    line: Vec<Complex<T>>,
    scratch: Vec<Complex<T>>,
}

/// Numbers that are transformed.
pub(super) trait Transformed: Float + FftNum {
    fn workspace() -> &'static LocalKey<RefCell<Workspace<Self>>>;
}

macro_rules! transformed {
    ($($ty:ident)*) => { $(
        impl Transformed for $ty {
            fn workspace() -> &'static LocalKey<RefCell<Workspace<Self>>> {
                thread_local! {
                    static WORKSPACE: RefCell<Workspace<$ty>> =
                        RefCell::new(Workspace { planner: FftPlanner::new(), line: vec![], scratch: vec![] });
                }
                &WORKSPACE
            }
        }
    )* };
}

transformed! { f32 f64 }

/// # Safety
/// The regions are those of [`LibraryFunction::Fft`](kc_abi::library::LibraryFunction::Fft), of `T`.
pub(super) unsafe fn transform<T: Transformed>(regions: &[Region], inverse: bool) {
    // SAFETY: by the caller.
    let [real, imaginary, mut real_result, mut imaginary_result] =
        unsafe { [0, 1, 2, 3].map(|i| Matrix::<T>::new(&regions[i])) };
    let n = real.columns;
    if n == 0 {
        return;
    }
    let transformed = T::workspace().try_with(|workspace| {
        let Workspace { planner, line, scratch } = &mut *workspace.borrow_mut();
        let plan = if inverse { planner.plan_fft_inverse(n) } else { planner.plan_fft_forward(n) };
        let zero = Complex { re: T::ZERO, im: T::ZERO };
        line.resize(line.len().max(n), zero);
        scratch.resize(scratch.len().max(plan.get_inplace_scratch_len()), zero);
        let line = &mut line[..n];
        for (j, x) in line.iter_mut().enumerate() {
            *x = Complex { re: real.get(0, j), im: imaginary.get(0, j) };
        }
        plan.process_with_scratch(line, scratch);
        let scale = if inverse { T::of_f64(n as f64) } else { T::ONE };
        for (j, x) in line.iter().enumerate() {
            real_result.set(0, j, x.re / scale);
            imaginary_result.set(0, j, x.im / scale);
        }
    });
    // no kernel runs on a thread that has ended
    if transformed.is_err() {
        real_result.fill(|_, _| T::NAN);
        imaginary_result.fill(|_, _| T::NAN);
    }
}
