//! Triangular and orthogonal factors, in the memory of the results: nothing is allocated. The sums run in the order of the rows
//! of the results, whose elements lie side by side.

use super::matrix::{Float, Matrix};

/// Row by row: `L[i][j] = (A[i][j] - sum_k L[i][k] L[j][k]) / L[j][j]`.
pub(super) fn cholesky<T: Float>(a: &Matrix<T>, l: &mut Matrix<T>) {
    let n = a.rows;
    let mut positive = true;
    for i in 0..n {
        for j in 0..=i {
            let mut rest = a.get(i, j);
            for k in 0..j {
                rest = rest - l.get(i, k) * l.get(j, k);
            }
            if i == j {
                positive &= rest > T::ZERO;
                l.set(i, i, rest.sqrt());
            } else {
                l.set(i, j, rest / l.get(j, j));
            }
        }
    }
    for i in 0..n {
        (i + 1..n).for_each(|j| l.set(i, j, T::ZERO));
        if !positive {
            (0..=i).for_each(|j| l.set(i, j, T::NAN));
        }
    }
}

/// Substitution, a row of all right sides at a time.
pub(super) fn triangular_solve<T: Float>(a: &Matrix<T>, b: &Matrix<T>, x: &mut Matrix<T>, upper: bool, unit: bool) {
    let n = a.rows;
    x.fill(|i, j| b.get(i, j));
    for step in 0..n {
        let i = if upper { n - 1 - step } else { step };
        for k in if upper { i + 1..n } else { 0..i } {
            x.subtract_row(i, k, a.get(i, k), 0);
        }
        if !unit {
            let pivot = a.get(i, i);
            (0..x.columns).for_each(|j| x.set(i, j, x.get(i, j) / pivot));
        }
    }
}

/// Elimination with the largest element of each column as pivot; of a column of zeros nothing is eliminated.
pub(super) fn lu<T: Float>(a: &Matrix<T>, factors: &mut Matrix<T>, pivots: &mut Matrix<i32>, order: &mut Matrix<i32>) {
    let (m, n) = (a.rows, a.columns);
    factors.fill(|i, j| a.get(i, j));
    order.fill(|_, i| i as i32);
    for j in 0..m.min(n) {
        let mut pivot = j;
        for i in j + 1..m {
            if factors.get(i, j).abs() > factors.get(pivot, j).abs() {
                pivot = i;
            }
        }
        pivots.set(0, j, pivot as i32);
        if pivot != j {
            factors.swap_rows(j, pivot);
            let (x, y) = (order.get(0, j), order.get(0, pivot));
            order.set(0, j, y);
            order.set(0, pivot, x);
        }
        let largest = factors.get(j, j);
        if largest == T::ZERO {
            continue;
        }
        for i in j + 1..m {
            let factor = factors.get(i, j) / largest;
            factors.set(i, j, factor);
            factors.subtract_row(i, j, factor, j + 1);
        }
    }
}

/// Householder reflections (LAPACK's `geqrf`, `orgqr`), in the memory of `Q`: below the diagonal of its first columns stands what each
/// reflection is made of, on and above it what becomes `R`, until the reflections are applied to the unit matrix, the last one first.
pub(super) fn qr<T: Float>(a: &Matrix<T>, q: &mut Matrix<T>, r: &mut Matrix<T>) {
    let (m, n, inner) = (a.rows, a.columns, q.columns);
    let steps = m.min(n);
    q.fill(|i, j| if j < steps { a.get(i, j) } else { unit(i, j) });
    r.fill(|i, j| if j < steps { T::ZERO } else { a.get(i, j) });
    for j in 0..steps {
        let rest = squares(q, j);
        if rest == 0.0 {
            continue;
        }
        let first = q.get(j, j);
        let norm = T::of_f64(libm::sqrt(first.to_f64() * first.to_f64() + rest));
        let image = -norm.copysign(first);
        (j + 1..m).for_each(|i| q.set(i, j, q.get(i, j) / (first - image)));
        q.set(j, j, image);
        let scale = scale(q, j);
        (j + 1..steps).for_each(|column| reflect_own(q, j, scale, column));
        (steps..n).for_each(|column| reflect(q, j, scale, r, column));
    }
    for j in 0..steps {
        (0..=j).for_each(|i| r.set(i, j, q.get(i, j)));
    }
    for j in (0..steps).rev() {
        let scale = scale(q, j);
        (j + 1..inner).for_each(|column| reflect_own(q, j, scale, column));
        (0..j).for_each(|i| q.set(i, j, T::ZERO));
        q.set(j, j, T::ONE - scale);
        (j + 1..m).for_each(|i| q.set(i, j, -scale * q.get(i, j)));
    }
}

fn unit<T: Float>(i: usize, j: usize) -> T {
    if i == j { T::ONE } else { T::ZERO }
}

/// The sum of squares below the diagonal.
fn squares<T: Float>(q: &Matrix<T>, j: usize) -> f64 {
    (j + 1..q.rows).map(|i| q.get(i, j).to_f64()).map(|x| x * x).sum()
}

/// The reflection is `1 - scale v v^T`, where `v` is 1 and what stands below the diagonal; none where that is zeros.
fn scale<T: Float>(q: &Matrix<T>, j: usize) -> T {
    match squares(q, j) {
        0.0 => T::ZERO,
        rest => T::of_f64(2.0 / (1.0 + rest)),
    }
}

/// Applies the reflection that stands in column `j` to another column of the same matrix.
fn reflect_own<T: Float>(q: &mut Matrix<T>, j: usize, scale: T, column: usize) {
    let dot = (j + 1..q.rows).fold(q.get(j, column), |dot, i| dot + q.get(i, j) * q.get(i, column)) * scale;
    q.set(j, column, q.get(j, column) - dot);
    (j + 1..q.rows).for_each(|i| q.set(i, column, q.get(i, column) - dot * q.get(i, j)));
}

/// The same for a column of another matrix.
fn reflect<T: Float>(q: &Matrix<T>, j: usize, scale: T, r: &mut Matrix<T>, column: usize) {
    let dot = (j + 1..q.rows).fold(r.get(j, column), |dot, i| dot + q.get(i, j) * r.get(i, column)) * scale;
    r.set(j, column, r.get(j, column) - dot);
    (j + 1..q.rows).for_each(|i| r.set(i, column, r.get(i, column) - dot * q.get(i, j)));
}
