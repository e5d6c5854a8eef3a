//! Singular values by Jacobi's rotations of columns.

use super::{Matrix, leading};

const ROUNDS: usize = 100;

/// `U` with that many columns, singular values, descending, and `V` with that many columns.
pub(super) fn svd(a: &Matrix, u_columns: usize, v_columns: usize) -> (Matrix, Vec<f64>, Matrix) {
    if a.rows < a.columns {
        let (v, s, u) = svd(&a.transposed(), v_columns, u_columns);
        return (u, s, v);
    }
    let (m, n) = (a.rows, a.columns);
    let mut w = a.clone();
    let mut v = Matrix::identity(n);
    if !a.is_finite() || !orthogonalise(&mut w, &mut v) {
        let nan = |rows: usize, columns: usize| Matrix { rows, columns, values: vec![f64::NAN; rows * columns] };
        return (nan(m, u_columns), vec![f64::NAN; n], nan(n, v_columns));
    }
    let norm = |column: &[f64]| column.iter().fold(0.0, |norm, &x| libm::hypot(norm, x));
    let norms: Vec<f64> = (0..n).map(|j| norm(&w.column(j))).collect();
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| norms[j].total_cmp(&norms[i]));
    let largest = norms.iter().copied().fold(0.0, f64::max);
    let mut left: Vec<Vec<f64>> = Vec::new();
    let mut right = Matrix::zeros(n, v_columns);
    for (target, &source) in order.iter().enumerate() {
        let size = norms[source];
        // of a value that is a rounding of 0 the left vector is any that completes the others
        let mut column = match size > largest * f64::EPSILON * m as f64 * 1e-3 {
            true => w.column(source).into_iter().map(|x| x / size).collect(),
            false => complement(&left, m),
        };
        let sign = leading(column.iter().map(|x| x.abs())).map_or(1.0, |i| 1f64.copysign(column[i]));
        column.iter_mut().for_each(|x| *x *= sign);
        left.push(column);
        (0..n).for_each(|i| right[(i, target)] = sign * v[(i, source)]);
    }
    while left.len() < u_columns {
        left.push(complement(&left, m));
    }
    let mut u = Matrix::zeros(m, u_columns);
    for (j, column) in left.iter().enumerate() {
        (0..m).for_each(|i| u[(i, j)] = column[i]);
    }
    (u, order.iter().map(|&j| norms[j]).collect(), right)
}

/// Rotates pairs of columns until all are orthogonal to each other.
fn orthogonalise(w: &mut Matrix, v: &mut Matrix) -> bool {
    let (m, n) = (w.rows, w.columns);
    for _ in 0..ROUNDS {
        let mut rotated = false;
        for p in 0..n {
            for q in p + 1..n {
                let dot = |x: usize, y: usize| (0..m).map(|i| w[(i, x)] * w[(i, y)]).sum::<f64>();
                let (alpha, beta, gamma) = (dot(p, p), dot(q, q), dot(p, q));
                if gamma.abs() <= f64::EPSILON * (alpha * beta).sqrt() || gamma.abs() < 1e-290 {
                    continue;
                }
                rotated = true;
                let zeta = (beta - alpha) / (2.0 * gamma);
                let t = 1f64.copysign(zeta) / (zeta.abs() + libm::hypot(zeta, 1.0));
                let c = 1.0 / libm::hypot(t, 1.0);
                let s = t * c;
                let turn = |matrix: &mut Matrix, i: usize| {
                    let (x, y) = (matrix[(i, p)], matrix[(i, q)]);
                    (matrix[(i, p)], matrix[(i, q)]) = (c * x - s * y, s * x + c * y);
                };
                (0..m).for_each(|i| turn(w, i));
                (0..n).for_each(|i| turn(v, i));
            }
        }
        if !rotated {
            return true;
        }
    }
    false
}

/// A unit vector of that length that is orthogonal to the given ones: what is left of the axis that they reach least.
fn complement(known: &[Vec<f64>], length: usize) -> Vec<f64> {
    let reach = |axis: usize| known.iter().map(|vector| vector[axis] * vector[axis]).sum::<f64>();
    let axis = (0..length).min_by(|&a, &b| reach(a).total_cmp(&reach(b))).unwrap_or(0);
    let mut vector: Vec<f64> = (0..length).map(|i| if i == axis { 1.0 } else { 0.0 }).collect();
    // twice, so that what rounding leaves of the first time goes
    for _ in 0..2 {
        for other in known {
            let dot: f64 = vector.iter().zip(other).map(|(x, y)| x * y).sum();
            vector.iter_mut().zip(other).for_each(|(x, y)| *x -= dot * y);
        }
        let norm = vector.iter().fold(0.0, |norm, &x| libm::hypot(norm, x));
        vector.iter_mut().for_each(|x| *x /= norm);
    }
    vector
}
