//! Triangular factors and solves.

use super::Matrix;

/// The lower triangular `L` with `L L^T = A`, from the lower triangle; its triangle is NaN where a pivot is not positive.
pub(super) fn cholesky(a: &Matrix) -> Matrix {
    let n = a.rows;
    let mut l = Matrix::zeros(n, n);
    let mut positive = true;
    for j in 0..n {
        let pivot = a[(j, j)] - (0..j).map(|k| l[(j, k)] * l[(j, k)]).sum::<f64>();
        positive &= pivot > 0.0;
        l[(j, j)] = pivot.sqrt();
        for i in j + 1..n {
            let rest = a[(i, j)] - (0..j).map(|k| l[(i, k)] * l[(j, k)]).sum::<f64>();
            l[(i, j)] = rest / l[(j, j)];
        }
    }
    if !positive {
        for i in 0..n {
            (0..=i).for_each(|j| l[(i, j)] = f64::NAN);
        }
    }
    l
}

/// `X` with `A X = B`, by substitution; `A` is one triangle, with ones on its diagonal where it is a unit triangle.
pub(super) fn triangular_solve(a: &Matrix, mut b: Matrix, upper: bool, unit: bool) -> Matrix {
    let n = a.rows;
    for column in 0..b.columns {
        for step in 0..n {
            let i = if upper { n - 1 - step } else { step };
            let known = if upper { i + 1..n } else { 0..i };
            let rest = b[(i, column)] - known.map(|k| a[(i, k)] * b[(k, column)]).sum::<f64>();
            b[(i, column)] = if unit { rest } else { rest / a[(i, i)] };
        }
    }
    b
}

/// Both factors in one matrix, the row that each row was exchanged with, and the new order of the rows.
pub(super) fn lu(mut a: Matrix) -> (Matrix, Vec<usize>, Vec<usize>) {
    let (m, n) = (a.rows, a.columns);
    let mut rows: Vec<usize> = (0..m).collect();
    let mut pivots = Vec::new();
    for j in 0..m.min(n) {
        let pivot = (j..m).fold(j, |best, i| if a[(i, j)].abs() > a[(best, j)].abs() { i } else { best });
        pivots.push(pivot);
        rows.swap(j, pivot);
        for k in 0..n {
            a.values.swap(j * n + k, pivot * n + k);
        }
        if a[(j, j)] == 0.0 {
            continue;
        }
        for i in j + 1..m {
            a[(i, j)] /= a[(j, j)];
            for k in j + 1..n {
                a[(i, k)] -= a[(i, j)] * a[(j, k)];
            }
        }
    }
    (a, pivots, rows)
}
