//! Matrix products on the calling thread: kernels divide the work among threads.
//!
//! Every element of `c` is the sum of its products in the order of `k`, one after the other, each by one fused multiply and
//! add where the processor has it. So a result's bits do not depend on the matrices' other extents, and a product that is
//! divided among threads by rows or columns has the bits of the whole. Nothing is allocated once a thread has seen its largest product.

mod blocks;
mod vectors;

use blocks::{Matrices, multiply};
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

/// # Safety
/// The matrices must be readable, `c` writable, at all `m`, `n`, `k` positions.
unsafe fn product<T: vectors::Float>(g: &GemmArguments) {
    let extent = |value: i64| usize::try_from(value).unwrap_or(0);
    let matrices = Matrices {
        m: extent(g.m),
        n: extent(g.n),
        k: extent(g.k),
        a: g.a.cast::<T>(),
        a_row: g.a_row_stride as isize,
        a_column: g.a_column_stride as isize,
        b: g.b.cast::<T>(),
        b_row: g.b_row_stride as isize,
        b_column: g.b_column_stride as isize,
        c: g.c.cast::<T>(),
        c_row: g.c_row_stride as isize,
        c_column: g.c_column_stride as isize,
        accumulate: g.accumulate != 0,
    };
    // SAFETY: by the caller.
    unsafe { multiply(matrices) }
}

#[cfg(test)]
mod tests {
    use super::vectors::Float;
    use super::*;

    /// Integers so small that every order of summation gives the same bits.
    fn value(i: i64) -> f32 {
        ((i * 7 + 3) % 11 - 5) as f32
    }

    fn check<T: Float + PartialEq + std::fmt::Debug + From<f32>>(gemm: unsafe extern "C" fn(*const GemmArguments)) {
        let rows = [1, 2, 3, 4, 5, 6, 7, 25];
        let columns = [1, 3, 4, 8, 16, 17, 33, 70];
        let sizes = rows.into_iter().flat_map(|m| columns.map(|n| (m, n, 5)));
        let sizes = sizes.chain([(3, 5, 0), (2, 1, 1), (30, 20, 300), (2, 1030, 3), (390, 2, 3)]);
        for (m, n, k) in sizes {
            for layout in 0..8 {
                let rows_first = |bit: i64, rows: i64, columns: i64| {
                    if layout >> bit & 1 == 0 { (columns + 1, 1) } else { (1, rows + 2) }
                };
                let ((ar, ac), (br, bc)) = (rows_first(0, m, k), rows_first(1, k, n));
                let (cr, cc) = rows_first(2, m, n);
                let numbers =
                    |count: i64, shift: i64| -> Vec<T> { (0..count).map(|i| T::from(value(i + shift))).collect() };
                let size = |rows: i64, columns: i64| (rows + 2) * (columns + 2);
                let (a, b, before) = (numbers(size(m, k), 0), numbers(size(k, n), 1), numbers(size(m, n), 2));
                for accumulate in [0, 1] {
                    let mut c = before.clone();
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
                        c_row_stride: cr,
                        c_column_stride: cc,
                        accumulate,
                    };
                    // SAFETY: the vectors hold the matrices.
                    unsafe { gemm(&arguments) };
                    let mut expected = before.clone();
                    for i in 0..m {
                        for j in 0..n {
                            let c = &mut expected[(i * cr + j * cc) as usize];
                            let start = if accumulate == 1 { *c } else { T::from(0.0) };
                            *c = (0..k).fold(start, |sum, p| {
                                sum + a[(i * ar + p * ac) as usize] * b[(p * br + j * bc) as usize]
                            });
                        }
                    }
                    assert!(c == expected, "{m}x{n}x{k}, layout {layout}, accumulate {accumulate}");
                }
            }
        }
    }

    #[test]
    fn products_are_exact_on_small_integers() {
        check::<f32>(gemm_f32);
        check::<f64>(gemm_f64);
    }

    #[test]
    fn a_divided_product_has_the_bits_of_the_whole() {
        let (m, n, k) = (67, 131, 900);
        let numbers = |count: i64| -> Vec<f32> { (0..count).map(|i| (i as f32 * 0.37).sin()).collect() };
        let (a, b) = (numbers(m * k), numbers(k * n));
        let run = |row_step: i64, column_step: i64| {
            let mut c = vec![0f32; (m * n) as usize];
            for i in (0..m).step_by(row_step as usize) {
                for j in (0..n).step_by(column_step as usize) {
                    let arguments = GemmArguments {
                        m: row_step.min(m - i),
                        n: column_step.min(n - j),
                        k,
                        a: a[(i * k) as usize..].as_ptr().cast(),
                        a_row_stride: k,
                        a_column_stride: 1,
                        b: b[j as usize..].as_ptr().cast(),
                        b_row_stride: n,
                        b_column_stride: 1,
                        c: c[(i * n + j) as usize..].as_mut_ptr().cast(),
                        c_row_stride: n,
                        c_column_stride: 1,
                        accumulate: 0,
                    };
                    // SAFETY: the vectors hold the matrices.
                    unsafe { gemm_f32(&arguments) };
                }
            }
            c
        };
        let whole = run(m, n);
        for (rows, columns) in [(1, n), (m, 1), (5, 17), (32, 64)] {
            assert!(run(rows, columns) == whole, "parts of {rows}x{columns}");
        }
    }
}
