//! Eigenvalues and eigenvectors.

use super::complex::Complex;
use super::{Matrix, leading};

/// Rounds of rotations, or steps an eigenvalue, after which the results are NaN: many times what any finite matrix takes.
const ROUNDS: usize = 100;

/// Eigenvalues, ascending, and orthonormal eigenvectors as columns, by Jacobi's rotations; reads the lower triangle.
pub(super) fn symmetric(lower: &Matrix) -> (Vec<f64>, Matrix) {
    let n = lower.rows;
    let mut a = lower.clone();
    for i in 0..n {
        (i + 1..n).for_each(|j| a[(i, j)] = lower[(j, i)]);
    }
    let mut v = Matrix::identity(n);
    if !a.is_finite() || !diagonalise(&mut a, &mut v) {
        return (vec![f64::NAN; n], Matrix { values: vec![f64::NAN; n * n], ..v });
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| a[(i, i)].total_cmp(&a[(j, j)]));
    let mut vectors = Matrix::zeros(n, n);
    for (target, &source) in order.iter().enumerate() {
        let column = v.column(source);
        let sign = leading(column.iter().map(|x| x.abs())).map_or(1.0, |i| 1f64.copysign(column[i]));
        (0..n).for_each(|i| vectors[(i, target)] = sign * column[i]);
    }
    (order.iter().map(|&i| a[(i, i)]).collect(), vectors)
}

/// Rotates pairs of axes until nothing is left beside the diagonal.
fn diagonalise(a: &mut Matrix, v: &mut Matrix) -> bool {
    let n = a.rows;
    for _ in 0..ROUNDS {
        let mut rotated = false;
        for p in 0..n {
            for q in p + 1..n {
                let beside = a[(p, q)];
                if beside.abs() <= f64::EPSILON * 1e-3 * (a[(p, p)].abs() + a[(q, q)].abs()) || beside.abs() < 1e-300 {
                    continue;
                }
                rotated = true;
                let theta = (a[(q, q)] - a[(p, p)]) / (2.0 * beside);
                let t = 1f64.copysign(theta) / (theta.abs() + libm::hypot(theta, 1.0));
                let c = 1.0 / libm::hypot(t, 1.0);
                let s = t * c;
                for k in 0..n {
                    let (x, y) = (a[(k, p)], a[(k, q)]);
                    (a[(k, p)], a[(k, q)]) = (c * x - s * y, s * x + c * y);
                }
                for k in 0..n {
                    let (x, y) = (a[(p, k)], a[(q, k)]);
                    (a[(p, k)], a[(q, k)]) = (c * x - s * y, s * x + c * y);
                    let (x, y) = (v[(k, p)], v[(k, q)]);
                    (v[(k, p)], v[(k, q)]) = (c * x - s * y, s * x + c * y);
                }
            }
        }
        if !rotated {
            return true;
        }
    }
    false
}

/// Eigenvalues and right eigenvectors (row-major, as columns) of any matrix: QR steps with shifts on a Hessenberg matrix, all in
/// complex numbers, then substitution in the triangle that is left.
pub(super) fn general(a: &Matrix) -> (Vec<Complex>, Vec<Complex>) {
    let n = a.rows;
    let nan = Complex { real: f64::NAN, imaginary: f64::NAN };
    let mut t: Vec<Vec<Complex>> = (0..n).map(|i| (0..n).map(|j| a[(i, j)].into()).collect()).collect();
    let mut q: Vec<Vec<Complex>> =
        (0..n).map(|i| (0..n).map(|j| if i == j { Complex::ONE } else { Complex::ZERO }).collect()).collect();
    if !a.is_finite() {
        return (vec![nan; n], vec![nan; n * n]);
    }
    // to a Hessenberg matrix, by rotations of rows that clear what is below the first diagonal
    for j in 0..n.saturating_sub(2) {
        for i in (j + 2..n).rev() {
            rotate(&mut t, &mut q, i - 1, j);
        }
    }
    let (mut end, mut steps) = (n, 0);
    while end > 1 {
        let small = |t: &[Vec<Complex>], i: usize| {
            let beside = t[i - 1][i - 1].magnitude() + t[i][i].magnitude();
            t[i][i - 1].magnitude() <= f64::EPSILON * beside.max(f64::MIN_POSITIVE / f64::EPSILON)
        };
        if small(&t, end - 1) {
            t[end - 1][end - 2] = Complex::ZERO;
            (end, steps) = (end - 1, 0);
            continue;
        }
        let start = (1..end).rev().find(|&i| small(&t, i)).unwrap_or(0);
        if start > 0 {
            t[start][start - 1] = Complex::ZERO;
        }
        steps += 1;
        if steps > ROUNDS {
            return (vec![nan; n], vec![nan; n * n]);
        }
        let shift = shift(&t, end, steps);
        (0..n).for_each(|i| t[i][i] = t[i][i] - shift);
        // t - shift = Q R becomes R Q
        let mut rotations = Vec::new();
        for i in start..end - 1 {
            let rotation = rotation(t[i][i], t[i + 1][i]);
            rotate_rows(&mut t, i, rotation);
            rotations.push((i, rotation));
        }
        for (i, rotation) in rotations {
            rotate_columns(&mut t, i, rotation);
            rotate_columns(&mut q, i, rotation);
        }
        (0..n).for_each(|i| t[i][i] = t[i][i] + shift);
    }
    let values: Vec<Complex> = (0..n).map(|i| t[i][i]).collect();
    (values, vectors(&t, &q))
}

/// The eigenvalue of the last two rows that is nearer to the last element; now and then another, to leave a circle.
fn shift(t: &[Vec<Complex>], end: usize, steps: usize) -> Complex {
    let (i, j) = (end - 2, end - 1);
    if steps.is_multiple_of(10) {
        return t[j][j] + Complex::from(t[j][i].magnitude());
    }
    let half = (t[i][i] - t[j][j]).scaled(0.5);
    let root = (half * half + t[i][j] * t[j][i]).sqrt();
    let sign = if half.real * root.real + half.imaginary * root.imaginary < 0.0 { -1.0 } else { 1.0 };
    let far = half + root.scaled(sign);
    if far.magnitude() == 0.0 { t[j][j] } else { t[j][j] - t[i][j] * t[j][i] / far }
}

/// `(c, s)` of the unitary matrix of rows `(c, s)` and `(-s*, c)`, `c` real, that maps `(x, y)` to `(r, 0)`.
fn rotation(x: Complex, y: Complex) -> (f64, Complex) {
    let norm = libm::hypot(x.magnitude(), y.magnitude());
    if norm == 0.0 || y.magnitude() == 0.0 {
        return (1.0, Complex::ZERO);
    }
    if x.magnitude() == 0.0 {
        return (0.0, y.conjugate().scaled(1.0 / y.magnitude()));
    }
    let phase = x.scaled(1.0 / x.magnitude());
    (x.magnitude() / norm, phase * y.conjugate().scaled(1.0 / norm))
}

fn rotate_rows(t: &mut [Vec<Complex>], i: usize, (c, s): (f64, Complex)) {
    let (above, below) = t.split_at_mut(i + 1);
    for (x, y) in above[i].iter_mut().zip(&mut below[0]) {
        (*x, *y) = (x.scaled(c) + s * *y, y.scaled(c) - s.conjugate() * *x);
    }
}

/// The columns times the conjugate transpose of the rotation.
fn rotate_columns(t: &mut [Vec<Complex>], i: usize, (c, s): (f64, Complex)) {
    for row in t.iter_mut() {
        let (x, y) = (row[i], row[i + 1]);
        row[i] = x.scaled(c) + s.conjugate() * y;
        row[i + 1] = y.scaled(c) - s * x;
    }
}

/// A similarity by a rotation of rows `i` and `i + 1` that makes the element of the latter in `column` 0.
fn rotate(t: &mut [Vec<Complex>], q: &mut [Vec<Complex>], i: usize, column: usize) {
    let rotation = rotation(t[i][column], t[i + 1][column]);
    rotate_rows(t, i, rotation);
    rotate_columns(t, i, rotation);
    rotate_columns(q, i, rotation);
    t[i + 1][column] = Complex::ZERO;
}

/// The eigenvectors of `Q T Q*`, each of norm 1 with its largest component real and positive.
fn vectors(t: &[Vec<Complex>], q: &[Vec<Complex>]) -> Vec<Complex> {
    let n = t.len();
    let largest = t.iter().flatten().map(|x| x.magnitude()).fold(0.0, f64::max);
    let mut vectors = vec![Complex::ZERO; n * n];
    for k in 0..n {
        let mut x = vec![Complex::ZERO; n];
        x[k] = Complex::ONE;
        for i in (0..k).rev() {
            let sum = (i + 1..=k).fold(Complex::ZERO, |sum, j| sum + t[i][j] * x[j]);
            let mut difference = t[k][k] - t[i][i];
            // equal values: as LAPACK does, one is moved by a rounding
            let least = (f64::EPSILON * largest).max(1e-150);
            if difference.magnitude() < least {
                difference = least.into();
            }
            x[i] = sum / difference;
        }
        let vector: Vec<Complex> = (0..n).map(|i| (0..=k).fold(Complex::ZERO, |sum, j| sum + q[i][j] * x[j])).collect();
        let norm = vector.iter().map(|x| x.magnitude()).fold(0.0, libm::hypot);
        let phase = leading(vector.iter().map(|x| x.magnitude()))
            .map_or(Complex::ONE, |i| vector[i].conjugate().scaled(1.0 / vector[i].magnitude()));
        for (i, component) in vector.into_iter().enumerate() {
            vectors[i * n + k] = (component * phase).scaled(1.0 / norm);
        }
    }
    vectors
}
