//! Systems of equations, inverses, determinants.

use super::super::arguments::wrong;
use super::super::contraction::product;
use super::super::declare::functions;
use super::super::formulas::{slice, with_axis, without_axis};
use super::super::function::Operand;
use super::super::promotion::{FLOAT, result_type, statistics_type};
use super::{built, known, matrices, square, transposed};
use kc_ir::DType;
use kc_ir::tensor::composites::{Determinant, Inverse, LogDeterminant, PseudoInverse, Solve as SolveOp};
use kc_ir::tensor::ops::{Diagonal, Factors, Reduction, Triangle};
use kc_ir::tensor::{Real, Tensor as Formula, TypeError, broadcast_shapes};

functions! {
    /// The determinant of square matrices.
    det Det(x) = |scope, &[x]| Ok(scope.op(Determinant {}, &[square(x)?]));
    /// The inverse of square matrices.
    inv Inv(x) = |scope, &[x]| Ok(scope.op(Inverse {}, &[square(x)?]));
    /// The sign of the determinant and the logarithm of its magnitude: two results, `.results()`.
    slogdet Slogdet(x) {} = |scope, &[x]| Ok(scope.ops::<2>(LogDeterminant {}, &[square(x)?]));
    /// The logarithm of the determinant's magnitude.
    logdet Logdet(x) = |scope, &[x]| {
        let [_, logarithm] = scope.ops(LogDeterminant {}, &[square(x)?]);
        Ok(logarithm)
    };
    /// `X` with `a X = b`; `b` is a vector or matrices.
    solve Solve(a, b) = |scope, &[a, b]| {
        let (a, b, is_vector) = system(a, b)?;
        let solution = scope.op(SolveOp {}, &[a, b]);
        Ok(if is_vector { without_axis(solution, solution.shape().len() - 1) } else { solution })
    };
    /// `X` with `a X = b` of triangular matrices `a`, of which only that triangle is read; `b` is a vector or matrices.
    solve_triangular SolveTriangular(a, b) {
        /// Whether `a` is lower triangular (default: upper).
        lower: bool = false,
    } = |_, &[a, b]| {
        let (a, b, is_vector) = system(a, b)?;
        let triangle = if lower { Triangle::Lower } else { Triangle::Upper };
        let right = b.value();
        let [solution] = built(a, |builder, a| Ok([builder.triangular_solve(a, right, triangle, Diagonal::Given)?]))?;
        Ok(if is_vector { without_axis(solution, solution.shape().len() - 1) } else { solution })
    };
    /// The `X` of least norm for which `|a X - b|` is least; `a` is a matrix, `b` a vector or a matrix.
    lstsq Lstsq(a, b) {
        /// The least singular value that counts, as a share of the largest (default: the rounding error).
        rcond: Option<f64> = None,
    } = |_, &[a, b]| {
        let dtype = statistics_type(result_type([a.kind, b.kind, FLOAT]));
        let (a, b) = (a.convert(dtype), b.convert(dtype));
        let ([rows, _], is_vector) = (&a.shape()[..], b.shape().len() == 1) else {
            return Err(wrong("expected a matrix `a`"));
        };
        let right = if is_vector { with_axis(b, 1) } else { b };
        if right.shape().len() != 2 || right.shape()[0] != *rows {
            return Err(wrong("expected a vector or a matrix `b` with as many rows as `a`"));
        }
        let most = known(&a.shape(), 0)?.max(known(&a.shape(), 1)?);
        let share = match rcond {
            None => epsilon(dtype) * most as f64,
            Some(rcond) if rcond < 0.0 => epsilon(dtype),
            Some(rcond) => rcond,
        };
        let [u, s, vt] = built(a, |b, a| b.svd(a, Factors::Reduced))?;
        let largest = slice(s, 0, 0i64, 1i64, 1);
        let counts = s.greater(0.0).and(s.greater_equal(largest * share));
        let inverse = counts.select(1.0 / counts.select(s, 1.0), 0.0);
        let along = product(transposed(u), right)?;
        let solution = product(transposed(vt), with_axis(inverse, 1) * along)?;
        Ok(if is_vector { without_axis(solution, 1) } else { solution })
    };
    /// The number of singular values above `tol`.
    matrix_rank MatrixRank(x) {
        /// The limit (default: the largest singular value times the greater extent times the rounding error).
        tol: Option<f64> = None,
    } = |_, &[x]| {
        let x = matrices(x)?;
        let shape = x.shape();
        let rank = shape.len();
        let [s] = built(x, |b, x| Ok([b.singular_values(x)?]))?;
        let axis = rank - 2;
        let limit = match tol {
            Some(tol) => s.number(tol).broadcast_to(&s.shape()),
            None => {
                let most = known(&shape, rank - 2)?.max(known(&shape, rank - 1)?);
                let largest = s.reduce(Reduction::Max, &[axis]) * (most as f64) * epsilon(x.ty().dtype);
                largest.broadcast_along(&s.shape(), &[axis])
            }
        };
        Ok(s.greater(limit).convert(DType::I32).sum(&[axis]))
    };
    /// The pseudo-inverse of matrices.
    pinv Pinv(x) {
        /// The least singular value that counts, as a share of the largest (default: ten times the greater extent times the rounding
        /// error).
        rcond: Option<f64> = None,
    } = |scope, &[x]| {
        let x = matrices(x)?;
        let rank = x.shape().len();
        let most = known(&x.shape(), rank - 2)?.max(known(&x.shape(), rank - 1)?);
        let rcond = rcond.unwrap_or(10.0 * most as f64 * epsilon(x.ty().dtype));
        Ok(scope.op(PseudoInverse { rcond: Real(rcond) }, &[x]))
    };
}

/// The distance of 1 from the next larger number.
fn epsilon(dtype: DType) -> f64 {
    if dtype == DType::F64 { f64::EPSILON } else { f32::EPSILON.into() }
}

/// Square matrices and right sides with the same leading axes, of one dtype; and whether the right side is a vector.
fn system<'s, 'b>(
    a: Operand<'s, 'b>,
    b: Operand<'s, 'b>,
) -> Result<(Formula<'s, 'b>, Formula<'s, 'b>, bool), TypeError> {
    let dtype = statistics_type(result_type([a.kind, b.kind, FLOAT]));
    let (a, b) = (square(a)?.convert(dtype), b.convert(dtype));
    let (left, mut right) = (a.shape(), b.shape());
    let is_vector = right.len() == 1;
    let b = if is_vector { with_axis(b, 1) } else { b };
    right = b.shape();
    let (rank, columns) = (left.len(), right.len());
    if columns < 2 || right[columns - 2] != left[rank - 1] {
        return Err(wrong("expected square matrices `a`, and a vector or matrices `b` with as many rows"));
    }
    let batch = broadcast_shapes(&left[..rank - 2], &right[..columns - 2])
        .ok_or_else(|| wrong("the leading axes cannot be broadcast to each other"))?;
    let a = a.broadcast_to(&[&batch[..], &left[rank - 2..]].concat());
    let b = b.broadcast_to(&[&batch[..], &right[columns - 2..]].concat());
    Ok((a, b, is_vector))
}
