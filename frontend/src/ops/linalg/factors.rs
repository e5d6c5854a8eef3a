//! Factorisations.

use super::super::arguments::wrong;
use super::super::complex::Complex;
use super::super::declare::functions;
use super::super::tensor::Tensor;
use super::{built, matrices, square, transposed, unit_like};
use kc_ir::tensor::ops::{Diagonal, Factors, Triangle};

functions! {
    /// The lower triangular `L` with `L L^T = x`, of symmetric positive definite matrices.
    cholesky Cholesky(x) {
        /// Whether the upper triangular `L^T` is given instead (default: no).
        upper: bool = false,
    } = |_, &[x]| {
        let [lower] = built(square(x)?, |b, x| Ok([b.cholesky(x)?]))?;
        Ok(if upper { transposed(lower) } else { lower })
    };
    /// The inverse of the matrix whose Cholesky factor is given.
    cholesky_inverse CholeskyInverse(x) {
        /// Whether the factor is upper triangular (default: no).
        upper: bool = false,
    } = |_, &[x]| {
        let x = square(x)?;
        let triangle = if upper { Triangle::Upper } else { Triangle::Lower };
        let unit = unit_like(x).value();
        let [inverse] = built(x, |b, x| Ok([b.triangular_solve(x, unit, triangle, Diagonal::Given)?]))?;
        let (left, right) = if upper { (inverse, transposed(inverse)) } else { (transposed(inverse), inverse) };
        super::super::contraction::product(left, right)
    };
    /// `x = Q R` with orthonormal columns of `Q` and an upper triangular `R`: two results, `.results()`.
    qr Qr(x) {
        /// `"reduced"` (as many columns as the lesser extent; default) or `"complete"`.
        mode: String = "reduced".to_string(),
    } = |_, &[x]| {
        let factors = match mode.as_str() {
            "reduced" => Factors::Reduced,
            "complete" => Factors::Full,
            other => return Err(wrong(format!("`mode` is `{other}`, expected `reduced` or `complete`"))),
        };
        built(matrices(x)?, |b, x| b.qr(x, factors))
    };
    /// `P x = L U` with partial pivoting: `L` below its diagonal of ones and `U` in one matrix, and the row that each row was exchanged
    /// with: two results, `.results()`.
    lu_factor LuFactor(x) {} = |_, &[x]| {
        let [factors, pivots, _] = built(matrices(x)?, |b, x| b.lu(x))?;
        Ok([factors, pivots])
    };
    /// The eigenvalues, ascending, and the eigenvectors as columns of symmetric matrices: two results, `.results()`.
    eigh Eigh(x) {} = |_, &[x]| built(square(x)?, |b, x| b.eigh(x));
    /// `x = U diag(s) V^T`: `U`, the singular values, descending, and `V^T`, three results; or the singular values alone.
    svd SVD(x) {
        /// Whether `U` and `V` are square (default: yes).
        full_matrices: bool = true,
        /// Whether `U` and `V` are given too (default: yes).
        compute_uv: bool = true,
    } = |_, &[x]| {
        let x = matrices(x)?;
        if !compute_uv {
            return Ok(built(x, |b, x| Ok([b.singular_values(x)?]))?.to_vec());
        }
        let factors = if full_matrices { Factors::Full } else { Factors::Reduced };
        Ok(built(x, |b, x| b.svd(x, factors))?.to_vec())
    };
}

/// The eigenvalues, in no order, and the right eigenvectors as columns of square matrices.
#[track_caller]
pub fn eig(x: impl Into<Tensor>) -> (Complex, Complex) {
    let [values, imaginary, vectors, parts] = declared::eig(x).results();
    ((values, imaginary).into(), (vectors, parts).into())
}

pub use declared::Eig;

mod declared {
    use super::*;

    functions! {
        /// The parts of what [`super::eig`] gives.
        eig Eig(x) {} = |_, &[x]| built(square(x)?, |b, x| b.eig(x));
    }
}
