//! Matrix products, on the calling thread: kernels divide the work among threads.

use kc_abi::call::GemmArguments;

/// See [`kc_abi::call::Intrinsics::gemm_f32`].
pub(super) unsafe extern "C" fn gemm_f32(arguments: *const GemmArguments) {
    // SAFETY: the caller keeps the contract of `GemmArguments`.
    unsafe { product::<f32>(&*arguments) }
}

/// See [`kc_abi::call::Intrinsics::gemm_f64`].
pub(super) unsafe extern "C" fn gemm_f64(arguments: *const GemmArguments) {
    // SAFETY: the caller keeps the contract of `GemmArguments`.
    unsafe { product::<f64>(&*arguments) }
}

trait Float: Copy + 'static + std::ops::Add<Output = Self> + std::ops::Mul<Output = Self> {
    const ZERO: Self;
    const ONE: Self;
}
impl Float for f32 {
    const ZERO: f32 = 0.0;
    const ONE: f32 = 1.0;
}
impl Float for f64 {
    const ZERO: f64 = 0.0;
    const ONE: f64 = 1.0;
}

/// # Safety
/// The matrices must be readable, `c` writable, at all `m`, `n`, `k` positions.
#[cfg(feature = "gemm")]
unsafe fn product<T: Float>(arguments: &GemmArguments) {
    let g = arguments;
    let extent = |value: i64| usize::try_from(value).unwrap_or(0);
    let read_c = g.accumulate != 0;
    let alpha = if read_c { T::ONE } else { T::ZERO };
    // SAFETY: by the caller. The crate computes `c = alpha*c + beta*a*b` and takes column strides first.
    unsafe {
        gemm::gemm(
            extent(g.m),
            extent(g.n),
            extent(g.k),
            g.c.cast::<T>(),
            g.c_column_stride as isize,
            g.c_row_stride as isize,
            read_c,
            g.a.cast::<T>(),
            g.a_column_stride as isize,
            g.a_row_stride as isize,
            g.b.cast::<T>(),
            g.b_column_stride as isize,
            g.b_row_stride as isize,
            alpha,
            T::ONE,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// # Safety
/// The matrices must be readable, `c` writable, at all `m`, `n`, `k` positions.
#[cfg(not(feature = "gemm"))]
unsafe fn product<T: Float>(arguments: &GemmArguments) {
    let g = arguments;
    let (a, b, c) = (g.a.cast::<T>(), g.b.cast::<T>(), g.c.cast::<T>());
    for i in 0..g.m {
        for j in 0..g.n {
            // SAFETY: by the caller, for all positions of the three matrices.
            unsafe {
                let c = c.offset((i * g.c_row_stride + j * g.c_column_stride) as isize);
                let mut sum = if g.accumulate != 0 { *c } else { T::ZERO };
                for p in 0..g.k {
                    let a = *a.offset((i * g.a_row_stride + p * g.a_column_stride) as isize);
                    let b = *b.offset((p * g.b_row_stride + j * g.b_column_stride) as isize);
                    sum = sum + a * b;
                }
                *c = sum;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: Float + PartialEq + std::fmt::Debug + From<f32>>(gemm: unsafe extern "C" fn(*const GemmArguments)) {
        // small integers: every order of summation gives the same bits
        for (m, n, k) in [(1, 1, 1), (3, 5, 7), (64, 10, 128), (33, 70, 129), (2, 3, 0), (1, 64, 300)] {
            for transposed in [false, true] {
                for accumulate in [0, 1] {
                    let value = |i: i64| T::from(((i * 7 + 3) % 11 - 5) as f32);
                    let a: Vec<T> = (0..m * k).map(value).collect();
                    let b: Vec<T> = (0..k * n).map(|i| value(i + 1)).collect();
                    let mut c: Vec<T> = (0..m * n).map(|i| value(i + 2)).collect();
                    let strides = |rows: i64, columns: i64| if transposed { (1, rows) } else { (columns, 1) };
                    let ((ar, ac), (br, bc)) = (strides(m, k), strides(k, n));
                    let expected: Vec<T> = (0..m * n)
                        .map(|ij| {
                            let (i, j) = (ij / n, ij % n);
                            let start = if accumulate == 1 { c[ij as usize] } else { T::ZERO };
                            (0..k).fold(start, |sum, p| {
                                sum + a[(i * ar + p * ac) as usize] * b[(p * br + j * bc) as usize]
                            })
                        })
                        .collect();
                    let arguments = GemmArguments {
                        m,
                        n,
                        k,
                        a: a.as_ptr().cast(),
                        a_row_stride: ar,
                        a_column_stride: ac,
                        b: b.as_ptr().cast(),
                        b_row_stride: br,
                        b_column_stride: bc,
                        c: c.as_mut_ptr().cast(),
                        c_row_stride: n,
                        c_column_stride: 1,
                        accumulate,
                    };
                    // SAFETY: the vectors hold the matrices.
                    unsafe { gemm(&arguments) };
                    assert_eq!(c, expected, "{m}x{n}x{k}, transposed {transposed}, accumulate {accumulate}");
                }
            }
        }
    }

    #[test]
    fn products_are_exact_on_small_integers() {
        check::<f32>(gemm_f32);
        check::<f64>(gemm_f64);
    }
}
