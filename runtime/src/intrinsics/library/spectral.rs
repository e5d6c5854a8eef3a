//! Eigenvalues and singular values by the crate `nalgebra`, computed in f64. It allocates its matrices in every call.

use super::matrix::{Float, Matrix};
use nalgebra::{Complex, ComplexField, DMatrix, SVD, Schur, SymmetricEigen};

/// Steps for each row or column, after which the results are NaN: many times what finite matrices take.
const STEPS: usize = 200;
/// What counts as nothing beside a neighbour.
const PRECISION: f64 = f64::EPSILON;

/// The matrix in f64; `None` where an element is not finite.
fn gathered<T: Float>(a: &Matrix<T>) -> Option<DMatrix<f64>> {
    let matrix = DMatrix::from_fn(a.rows, a.columns, |i, j| a.get(i, j).to_f64());
    matrix.iter().all(|x| x.is_finite()).then_some(matrix)
}

fn steps(a: &DMatrix<f64>) -> usize {
    STEPS * a.nrows().max(a.ncols()).max(1)
}

/// The position of the component by which a vector's free sign or phase is chosen: the first whose magnitude is about the largest.
fn leading(magnitudes: impl Iterator<Item = f64> + Clone) -> Option<usize> {
    let largest = magnitudes.clone().fold(0.0, f64::max);
    magnitudes.into_iter().position(|magnitude| magnitude > 0.0 && magnitude >= 0.999 * largest)
}

fn sign(column: impl Iterator<Item = f64> + Clone) -> f64 {
    leading(column.clone().map(f64::abs)).and_then(|i| column.into_iter().nth(i)).map_or(1.0, |x| 1f64.copysign(x))
}

pub(super) fn symmetric<T: Float>(a: &Matrix<T>, values: &mut Matrix<T>, vectors: &mut Matrix<T>) {
    let n = a.rows;
    let lower = DMatrix::from_fn(n, n, |i, j| a.get(i.max(j), i.min(j)).to_f64());
    let found = lower.iter().all(|x| x.is_finite()).then_some(lower);
    let found = found.filter(|_| n > 0).and_then(|a| {
        let steps = steps(&a);
        SymmetricEigen::try_new(a, PRECISION, steps)
    });
    let Some(found) = found else {
        values.fill(|_, _| T::NAN);
        vectors.fill(|_, _| T::NAN);
        return;
    };
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| found.eigenvalues[i].total_cmp(&found.eigenvalues[j]));
    values.fill(|_, j| T::of_f64(found.eigenvalues[order[j]]));
    for (target, &source) in order.iter().enumerate() {
        let column = found.eigenvectors.column(source);
        let sign = sign(column.iter().copied());
        (0..n).for_each(|i| vectors.set(i, target, T::of_f64(sign * column[i])));
    }
}

/// Real and imaginary parts of values and vectors.
pub(super) fn general<T: Float>(a: &Matrix<T>, values: [&mut Matrix<T>; 2], vectors: [&mut Matrix<T>; 2]) {
    let n = a.rows;
    let found = gathered(a).filter(|_| n > 0).and_then(|a| {
        let steps = steps(&a);
        Some(Schur::try_new(a.map(|x| Complex::new(x, 0.0)), PRECISION, steps)?.unpack())
    });
    let ([values_re, values_im], [vectors_re, vectors_im]) = (values, vectors);
    let Some((q, t)) = found else {
        values_re.fill(|_, _| T::NAN);
        values_im.fill(|_, _| T::NAN);
        vectors_re.fill(|_, _| T::NAN);
        vectors_im.fill(|_, _| T::NAN);
        return;
    };
    values_re.fill(|_, j| T::of_f64(t[(j, j)].re));
    values_im.fill(|_, j| T::of_f64(t[(j, j)].im));
    let largest = t.iter().map(|x| x.modulus()).fold(0.0, f64::max);
    let least = (f64::EPSILON * largest).max(1e-150);
    for k in 0..n {
        // the eigenvector of the triangle, from its last component on
        let mut x = vec![Complex::new(0.0, 0.0); n];
        x[k] = Complex::new(1.0, 0.0);
        for i in (0..k).rev() {
            let sum = (i + 1..=k).fold(Complex::new(0.0, 0.0), |sum, j| sum + t[(i, j)] * x[j]);
            let difference = t[(k, k)] - t[(i, i)];
            x[i] = sum / if difference.modulus() < least { Complex::new(least, 0.0) } else { difference };
        }
        let vector: Vec<Complex<f64>> =
            (0..n).map(|i| (0..=k).fold(Complex::new(0.0, 0.0), |sum, j| sum + q[(i, j)] * x[j])).collect();
        let norm = vector.iter().map(|x| x.modulus()).fold(0.0, f64::hypot);
        let phase = leading(vector.iter().map(|x| x.modulus()))
            .map_or(Complex::new(1.0, 0.0), |i| vector[i].conj() / vector[i].modulus());
        for (i, component) in vector.into_iter().enumerate() {
            let component = component * phase / norm;
            vectors_re.set(i, k, T::of_f64(component.re));
            vectors_im.set(i, k, T::of_f64(component.im));
        }
    }
}

/// `U`, values and `V` of a matrix with at least as many rows as columns, values descending; `V` has all columns, `U` as many.
fn tall(a: DMatrix<f64>) -> Option<(DMatrix<f64>, Vec<f64>, DMatrix<f64>)> {
    let (m, n) = (a.nrows(), a.ncols());
    if n == 0 {
        return Some((DMatrix::zeros(m, 0), vec![], DMatrix::zeros(0, 0)));
    }
    let steps = steps(&a);
    // numbers near 1, so that squares neither overflow nor vanish
    let scale = a.amax();
    let scaled = if scale > 0.0 { a / scale } else { a };
    let found = SVD::try_new(scaled, true, true, PRECISION, steps)?;
    let (u, vt) = (found.u?, found.v_t?);
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| found.singular_values[j].total_cmp(&found.singular_values[i]));
    let values = order.iter().map(|&i| found.singular_values[i] * if scale > 0.0 { scale } else { 1.0 }).collect();
    let u = DMatrix::from_fn(m, n, |i, j| u[(i, order[j])]);
    Some((u, values, DMatrix::from_fn(n, n, |i, j| vt[(order[j], i)])))
}

/// Columns that complete orthonormal ones.
fn completed(u: DMatrix<f64>, columns: usize) -> DMatrix<f64> {
    let (m, known) = (u.nrows(), u.ncols());
    let mut all = DMatrix::zeros(m, columns);
    all.columns_mut(0, known.min(columns)).copy_from(&u.columns(0, known.min(columns)));
    for next in known..columns {
        // what is left of the axis that the others reach least; twice, so that what rounding leaves of the first time goes
        let reach = |axis: usize| all.row(axis).columns(0, next).norm_squared();
        let axis = (0..m).min_by(|&a, &b| reach(a).total_cmp(&reach(b))).unwrap_or(0);
        let mut column = nalgebra::DVector::zeros(m);
        column[axis] = 1.0;
        for _ in 0..2 {
            for other in 0..next {
                let dot = all.column(other).dot(&column);
                column.axpy(-dot, &all.column(other), 1.0);
            }
            let norm = column.norm();
            column /= norm;
        }
        all.set_column(next, &column);
    }
    all
}

pub(super) fn svd<T: Float>(a: &Matrix<T>, u: &mut Matrix<T>, values: &mut Matrix<T>, vt: &mut Matrix<T>) {
    let is_tall = a.rows >= a.columns;
    let found = gathered(a).and_then(|a| tall(if is_tall { a } else { a.transpose() }));
    let Some((left, found, right)) = found else {
        u.fill(|_, _| T::NAN);
        values.fill(|_, _| T::NAN);
        vt.fill(|_, _| T::NAN);
        return;
    };
    let (left_columns, right_columns) = if is_tall { (u.columns, vt.rows) } else { (vt.rows, u.columns) };
    let (mut left, mut right) = (completed(left, left_columns), completed(right, right_columns));
    for j in 0..left_columns {
        let sign = sign(left.column(j).iter().copied());
        left.column_mut(j).scale_mut(sign);
        // of columns that only complete the others each has its own sign
        if j < found.len() {
            right.column_mut(j).scale_mut(sign);
        }
    }
    let (own, other) = if is_tall { (&left, &right) } else { (&right, &left) };
    u.fill(|i, j| T::of_f64(own[(i, j)]));
    values.fill(|_, j| T::of_f64(found[j]));
    vt.fill(|i, j| T::of_f64(other[(j, i)]));
}

pub(super) fn singular_values<T: Float>(a: &Matrix<T>, values: &mut Matrix<T>) {
    let is_tall = a.rows >= a.columns;
    match gathered(a).and_then(|a| tall(if is_tall { a } else { a.transpose() })) {
        Some((_, found, _)) => values.fill(|_, j| T::of_f64(found[j])),
        None => values.fill(|_, _| T::NAN),
    }
}
