//! Orthogonal factors by Householder reflections.

use super::Matrix;

/// `Q` with `inner` columns and `R` with as many rows. A reflection maps the rest of a column to its first axis, with the sign
/// opposite to the first element's; a column that is there already is left as it is (LAPACK's `geqrf`).
pub(super) fn qr(a: &Matrix, inner: usize) -> (Matrix, Matrix) {
    let (m, n) = (a.rows, a.columns);
    let mut r = a.clone();
    let mut q = Matrix::identity(m);
    for j in 0..m.min(n) {
        let mut v: Vec<f64> = (j..m).map(|i| r[(i, j)]).collect();
        let rest = v[1..].iter().map(|x| x * x).sum::<f64>();
        if rest == 0.0 {
            continue;
        }
        let norm = (v[0] * v[0] + rest).sqrt();
        v[0] += norm.copysign(v[0]);
        let scale = 2.0 / v.iter().map(|x| x * x).sum::<f64>();
        // r becomes (1 - scale v v^T) r, q becomes q (1 - scale v v^T)
        for k in j..n {
            let dot: f64 = v.iter().zip(j..).map(|(x, i)| x * r[(i, k)]).sum();
            v.iter().zip(j..).for_each(|(x, i)| r[(i, k)] -= scale * x * dot);
        }
        for i in 0..m {
            let dot: f64 = v.iter().zip(j..).map(|(x, k)| x * q[(i, k)]).sum();
            v.iter().zip(j..).for_each(|(x, k)| q[(i, k)] -= scale * x * dot);
        }
        (j + 1..m).for_each(|i| r[(i, j)] = 0.0);
    }
    let (mut thin_q, mut thin_r) = (Matrix::zeros(m, inner), Matrix::zeros(inner, n));
    for k in 0..inner {
        (0..m).for_each(|i| thin_q[(i, k)] = q[(i, k)]);
        (0..n).for_each(|j| thin_r[(k, j)] = r[(k, j)]);
    }
    (thin_q, thin_r)
}
