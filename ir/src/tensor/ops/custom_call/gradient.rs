//! Gradients of library functions. `X'` stands for the cotangent of `X`.

use super::{CustomFunction, Diagonal, Factors, Triangle};
use crate::tensor::ops::{Backward, Binary, Concatenate, Cotangents, Pad};
use crate::tensor::{Builder, TypeError, Value};
use kc_abi::{Dim, TensorType};

type Made = Result<Value, TypeError>;

pub(super) fn gradient(function: CustomFunction, b: &mut Builder, at: &Backward<'_>) -> Result<Cotangents, TypeError> {
    // a cotangent that is missing is zeros
    let mut given = Vec::with_capacity(at.results.len());
    for (&result, cotangent) in at.results.iter().zip(at.cotangents) {
        given.push(match cotangent {
            Some(cotangent) => *cotangent,
            None => b.splat_like(0.0, result)?,
        });
    }
    let a = at.operands[0];
    Ok(match function {
        CustomFunction::Fft | CustomFunction::InverseFft => fourier(function, b, at, &given)?,
        CustomFunction::Cholesky => vec![Some(cholesky(b, at.results[0], given[0])?)],
        CustomFunction::TriangularSolve { triangle, diagonal } => {
            triangular_solve(b, at, given[0], triangle, diagonal)?
        }
        CustomFunction::Lu => vec![Some(lu(b, a, at.results, given[0])?)],
        CustomFunction::Qr { factors } => vec![Some(qr(b, a, at.results, &given, factors)?)],
        CustomFunction::Eigh => vec![Some(eigh(b, at.results, &given)?)],
        CustomFunction::Svd { factors } => vec![Some(svd(b, a, at.results, &given, factors)?)],
        CustomFunction::SingularValues => {
            // A' = U diag(s') V^T
            let [u, _, v] = b.svd(a, Factors::Reduced)?;
            let scaled = columns_scaled(b, u, given[0])?;
            vec![Some(b.matrix_product(scaled, v)?)]
        }
        CustomFunction::Eig => {
            return Err(TypeError::new(
                "eig",
                "eigenvectors of a matrix that is not symmetric have no derivative here",
            ));
        }
    })
}

/// The transforms are symmetric matrices, so the cotangent is that of the conjugate one, times or divided by the length.
fn fourier(
    function: CustomFunction,
    b: &mut Builder,
    at: &Backward<'_>,
    given: &[Value],
) -> Result<Cotangents, TypeError> {
    let ty = b.tensor_type(given[0]).clone();
    let length = ty.shape.last().cloned().unwrap_or(Dim::constant(1));
    let length = b.dimension(length, ty.dtype)?;
    let length = b.broadcast(length, &ty.shape, &[])?;
    let (parts, scale) = match function {
        CustomFunction::Fft => (b.inverse_fft(given[0], given[1])?, Binary::Multiply),
        _ => (b.fft(given[0], given[1])?, Binary::Divide),
    };
    let mut cotangents = at.none();
    for (cotangent, part) in cotangents.iter_mut().zip(parts) {
        *cotangent = Some(b.binary(scale, part, length)?);
    }
    Ok(cotangents)
}

/// What a function of the lower triangle of a symmetric matrix gives that triangle, from the symmetric matrix' cotangent: each element
/// beside the diagonal stands for two.
fn of_lower_triangle(b: &mut Builder, cotangent: Value) -> Made {
    let transposed = b.matrix_transpose(cotangent)?;
    let both = b.binary(Binary::Add, cotangent, transposed)?;
    let below = b.triangle(both, Triangle::Lower, -1)?;
    let diagonal = b.matrix_diagonal(cotangent)?;
    let diagonal = b.diagonal_matrix(diagonal)?;
    b.binary(Binary::Add, below, diagonal)
}

/// The lower triangle with half of its diagonal.
fn lower_half(b: &mut Builder, x: Value) -> Made {
    let lower = b.triangle(x, Triangle::Lower, 0)?;
    let below = b.triangle(x, Triangle::Lower, -1)?;
    let sum = b.binary(Binary::Add, lower, below)?;
    b.scaled(sum, 0.5)
}

/// `A' = L^-T phi(L^T L') L^-1`, where `phi` takes the lower triangle with half of the diagonal (Murray, 2016).
fn cholesky(b: &mut Builder, l: Value, cotangent: Value) -> Made {
    let cotangent = b.triangle(cotangent, Triangle::Lower, 0)?;
    let transposed = b.matrix_transpose(l)?;
    let product = b.matrix_product(transposed, cotangent)?;
    let phi = lower_half(b, product)?;
    let left = b.triangular_solve(transposed, phi, Triangle::Upper, Diagonal::Given)?;
    // (X L^-1)^T = L^-T X^T
    let left = b.matrix_transpose(left)?;
    let both = b.triangular_solve(transposed, left, Triangle::Upper, Diagonal::Given)?;
    let symmetric = b.symmetric_part(both)?;
    of_lower_triangle(b, symmetric)
}

/// `B' = A^-T X'` and `A' = -B' X^T` within the triangle.
fn triangular_solve(
    b: &mut Builder,
    at: &Backward<'_>,
    cotangent: Value,
    triangle: Triangle,
    diagonal: Diagonal,
) -> Result<Cotangents, TypeError> {
    let transposed = b.matrix_transpose(at.operands[0])?;
    let right = b.triangular_solve(transposed, cotangent, triangle.transposed(), diagonal)?;
    let left = match at.wanted[0] {
        true => {
            let solution = b.matrix_transpose(at.results[0])?;
            let product = b.matrix_product(right, solution)?;
            let product = b.scaled(product, -1.0)?;
            let beside = match (diagonal, triangle) {
                (Diagonal::Given, _) => 0,
                (Diagonal::Ones, Triangle::Lower) => -1,
                (Diagonal::Ones, Triangle::Upper) => 1,
            };
            Some(b.triangle(product, triangle, beside)?)
        }
        false => None,
    };
    Ok(vec![left, Some(right)])
}

/// `A' = P^T L^-T (strictly lower part of L^T L' + upper part of U' U^T) U^-T`; factors of a matrix that is not square are extended by
/// ones on the diagonal, and what is added is cut off at the end.
fn lu(b: &mut Builder, a: Value, results: &[Value], cotangent: Value) -> Made {
    let batch = b.matrix_batch("lu", a)?;
    let ty = b.tensor_type(a).clone();
    let added = added_to_square(&ty, batch)?;
    let (mut factors, mut cotangent, rows) = (results[0], cotangent, results[2]);
    if added != [0, 0] {
        factors = with_edges(b, factors, [0, 0], added)?;
        cotangent = with_edges(b, cotangent, [0, 0], added)?;
        let extra = Dim::constant(added[0] + added[1]);
        let ones = b.unit_matrix(ty.dtype, &ty.shape[..batch], &extra)?;
        let n = b.tensor_type(factors).shape[batch].as_constant().unwrap_or(0) - (added[0] + added[1]);
        let ones = with_edges(b, ones, [n, n], [0, 0])?;
        factors = b.binary(Binary::Add, factors, ones)?;
    }
    let n = b.tensor_type(factors).shape[batch].clone();
    let one = b.unit_matrix(ty.dtype, &ty.shape[..batch], &n)?;
    let below = b.triangle(factors, Triangle::Lower, -1)?;
    let lower = b.binary(Binary::Add, below, one)?;
    let lower = b.matrix_transpose(lower)?;
    let upper = b.triangle(factors, Triangle::Upper, 0)?;
    let upper = b.matrix_transpose(upper)?;
    let of_lower = b.triangle(cotangent, Triangle::Lower, -1)?;
    let of_upper = b.triangle(cotangent, Triangle::Upper, 0)?;
    let left = b.matrix_product(lower, of_lower)?;
    let left = b.triangle(left, Triangle::Lower, -1)?;
    let right = b.matrix_product(of_upper, upper)?;
    let right = b.triangle(right, Triangle::Upper, 0)?;
    let middle = b.binary(Binary::Add, left, right)?;
    let left = b.triangular_solve(lower, middle, Triangle::Upper, Diagonal::Ones)?;
    // X U^-T = (U^-1 X^T)^T
    let left = b.matrix_transpose(left)?;
    let solved = b.triangular_solve(factors, left, Triangle::Upper, Diagonal::Given)?;
    let mut solved = b.matrix_transpose(solved)?;
    if added != [0, 0] {
        solved = with_edges(b, solved, [0, 0], added.map(|count| -count))?;
    }
    let axis = b.tensor_type(rows).rank() - 1;
    let places = b.argsort(rows, axis, crate::tensor::ops::Direction::Ascending, kc_abi::DType::I32)?;
    b.permuted_rows(solved, places)
}

/// How many rows and columns make a matrix square.
fn added_to_square(ty: &TensorType, batch: usize) -> Result<[i64; 2], TypeError> {
    let [m, n] = [&ty.shape[batch], &ty.shape[batch + 1]];
    match (m.as_constant(), n.as_constant()) {
        _ if m == n => Ok([0, 0]),
        (Some(m), Some(n)) => Ok([(n - m).max(0), (m - n).max(0)]),
        _ => {
            let message = format!("{ty} is not known to be square, expected that or known extents for its derivative");
            Err(TypeError::new("lu", message))
        }
    }
}

/// Matrices with zeros before and after their rows and columns; a negative number cuts off so many.
fn with_edges(b: &mut Builder, x: Value, low: [i64; 2], high: [i64; 2]) -> Made {
    let ty = b.tensor_type(x);
    let (dtype, rank) = (ty.dtype, ty.rank());
    let on_axes = |edges: [i64; 2]| [vec![0; rank - 2], edges.to_vec()].concat();
    let zero = b.splat(dtype, 0.0, &[])?;
    b.add(Pad { low: on_axes(low), high: on_axes(high), interior: vec![0; rank] }, &[x, zero])
}

/// Of a matrix with no more columns than rows by [`thin_qr`]. Of a wide one `[A1 A2]` with square `A1 = Q R1` and `R2 = Q^T A2`:
/// `A1'` is that of `Q' + A2 R2'^T` and `R1'`, and `A2' = Q R2'`. Of all rows of `Q = [Q1 Q2]`, `Q2` counts by [`of_completion`].
fn qr(b: &mut Builder, a: Value, results: &[Value], given: &[Value], factors: Factors) -> Made {
    let batch = b.matrix_batch("qr", a)?;
    let ty = b.tensor_type(a).clone();
    let (rows, columns) = (ty.shape[batch].clone(), ty.shape[batch + 1].clone());
    let ([q, r], [of_q, of_r]) = ([results[0], results[1]], [given[0], given[1]]);
    if rows == columns {
        return thin_qr(b, q, r, of_q, of_r);
    }
    let (Some(m), Some(n)) = (rows.as_constant(), columns.as_constant()) else {
        let message = format!("{ty} is not known to be square, expected that or known extents for its derivative");
        return Err(TypeError::new("qr", message));
    };
    if m < n {
        let square = with_edges(b, r, [0, 0], [0, m - n])?;
        let of_square = with_edges(b, of_r, [0, 0], [0, m - n])?;
        let of_rest = with_edges(b, of_r, [0, -m], [0, 0])?;
        let rest = with_edges(b, a, [0, -m], [0, 0])?;
        let transposed = b.matrix_transpose(of_rest)?;
        let through_rest = b.matrix_product(rest, transposed)?;
        let of_q = b.binary(Binary::Add, of_q, through_rest)?;
        let left = thin_qr(b, q, square, of_q, of_square)?;
        let right = b.matrix_product(q, of_rest)?;
        return b.add(Concatenate { axis: batch + 1 }, &[left, right]);
    }
    if factors == Factors::Reduced {
        return thin_qr(b, q, r, of_q, of_r);
    }
    let [q1, of_q1] = [with_edges(b, q, [0, 0], [0, n - m])?, with_edges(b, of_q, [0, 0], [0, n - m])?];
    let [q2, of_q2] = [with_edges(b, q, [0, -n], [0, 0])?, with_edges(b, of_q, [0, -n], [0, 0])?];
    let [r, of_r] = [with_edges(b, r, [0, 0], [n - m, 0])?, with_edges(b, of_r, [0, 0], [n - m, 0])?];
    let through_q2 = of_completion(b, [q1, q2], of_q2, [m, n])?;
    let of_q1 = b.binary(Binary::Add, of_q1, through_q2)?;
    thin_qr(b, q1, r, of_q1, of_r)
}

/// What the cotangent of `Q2` gives that of `Q1`: `Q2' Z + [Z^T M; -M]` with `M = Q2'^T (Q1 + Q2 Z)` and `Z = Q1b (Q1a - 1)^-1` for the
/// first `n` rows `Q1a` of `Q1` and the others `Q1b`, where reflections have made `Q` (Roberts and Roberts, 2020).
fn of_completion(b: &mut Builder, [q1, q2]: [Value; 2], of_q2: Value, [m, n]: [i64; 2]) -> Made {
    let ty = b.tensor_type(q1).clone();
    let batch = ty.rank() - 2;
    let [above, below] = [with_edges(b, q1, [0, 0], [n - m, 0])?, with_edges(b, q1, [-n, 0], [0, 0])?];
    let one = b.unit_matrix(ty.dtype, &ty.shape[..batch], &ty.shape[batch + 1])?;
    let reflected = b.binary(Binary::Subtract, above, one)?;
    let [reflected, below] = [b.matrix_transpose(reflected)?, b.matrix_transpose(below)?];
    let z_transposed = b.solve(reflected, below)?;
    let z = b.matrix_transpose(z_transposed)?;
    let through_z = b.matrix_product(q2, z)?;
    let sum = b.binary(Binary::Add, q1, through_z)?;
    let of_q2_transposed = b.matrix_transpose(of_q2)?;
    let middle = b.matrix_product(of_q2_transposed, sum)?;
    let first = b.matrix_product(of_q2, z)?;
    let top = b.matrix_product(z_transposed, middle)?;
    let bottom = b.scaled(middle, -1.0)?;
    let second = b.add(Concatenate { axis: batch }, &[top, bottom])?;
    b.binary(Binary::Add, first, second)
}

/// `A' = (Q' + Q copyltu(R R'^T - Q'^T Q)) R^-T`, where `copyltu` mirrors the lower triangle (Walter and Lehmann, 2010); of as many columns
/// of `Q` as `A` has.
fn thin_qr(b: &mut Builder, q: Value, r: Value, of_q: Value, of_r: Value) -> Made {
    let of_r = b.triangle(of_r, Triangle::Upper, 0)?;
    let of_r = b.matrix_transpose(of_r)?;
    let left = b.matrix_product(r, of_r)?;
    let of_q_transposed = b.matrix_transpose(of_q)?;
    let right = b.matrix_product(of_q_transposed, q)?;
    let middle = b.binary(Binary::Subtract, left, right)?;
    let half = lower_half(b, middle)?;
    let mirrored = b.matrix_transpose(half)?;
    let symmetric = b.binary(Binary::Add, half, mirrored)?;
    let moved = b.matrix_product(q, symmetric)?;
    let sum = b.binary(Binary::Add, of_q, moved)?;
    // X R^-T = (R^-1 X^T)^T
    let sum = b.matrix_transpose(sum)?;
    let solved = b.triangular_solve(r, sum, Triangle::Upper, Diagonal::Given)?;
    b.matrix_transpose(solved)
}

/// `A' = V (diag(w') + F o V^T V') V^T` with `F[i][j] = 1 / (w[j] - w[i])` beside the diagonal.
fn eigh(b: &mut Builder, results: &[Value], given: &[Value]) -> Made {
    let ([w, v], [of_w, of_v]) = ([results[0], results[1]], [given[0], given[1]]);
    let transposed = b.matrix_transpose(v)?;
    let product = b.matrix_product(transposed, of_v)?;
    let beside = over_differences(b, product, w)?;
    let diagonal = b.diagonal_matrix(of_w)?;
    let middle = b.binary(Binary::Add, diagonal, beside)?;
    let left = b.matrix_product(v, middle)?;
    let both = b.matrix_product(left, transposed)?;
    let symmetric = b.symmetric_part(both)?;
    of_lower_triangle(b, symmetric)
}

/// `X[i][j] / (w[j] - w[i])`, 0 on the diagonal.
fn over_differences(b: &mut Builder, x: Value, w: Value) -> Made {
    let columns = b.as_columns(w)?;
    let rows = b.matrix_transpose(columns)?;
    let differences = b.binary(Binary::Subtract, columns, rows)?;
    let ones = b.splat_like(1.0, w)?;
    let ones = b.diagonal_matrix(ones)?;
    let differences = b.binary(Binary::Add, differences, ones)?;
    let quotient = b.binary(Binary::Divide, x, differences)?;
    let below = b.triangle(quotient, Triangle::Lower, -1)?;
    let above = b.triangle(quotient, Triangle::Upper, 1)?;
    b.binary(Binary::Add, below, above)
}

/// `X diag(s)`
fn columns_scaled(b: &mut Builder, x: Value, s: Value) -> Made {
    let batch = b.matrix_batch("scaled", x)?;
    let rows = b.tensor_type(x).shape[batch].clone();
    let s = b.repeated_rows(s, &rows)?;
    b.binary(Binary::Multiply, x, s)
}

/// `X - X^T`
fn skew(b: &mut Builder, x: Value) -> Made {
    let transposed = b.matrix_transpose(x)?;
    b.binary(Binary::Subtract, x, transposed)
}

/// `X / diag(s)` by columns.
fn columns_divided(b: &mut Builder, x: Value, s: Value) -> Made {
    let batch = b.matrix_batch("divided", x)?;
    let rows = b.tensor_type(x).shape[batch].clone();
    let s = b.repeated_rows(s, &rows)?;
    b.binary(Binary::Divide, x, s)
}

/// `A' = U (K_U S + S K_V + diag(s')) V^T + (1 - U U^T) U' S^-1 V^T + U S^-1 V'^T (1 - V V^T)` of reduced factors, with
/// `K_U = skew(U^T U') / E`, `K_V = skew(V^T V') / E`, `E[i][j] = s[j]^2 - s[i]^2`.
fn svd(b: &mut Builder, a: Value, results: &[Value], given: &[Value], factors: Factors) -> Made {
    let batch = b.matrix_batch("svd", a)?;
    let ty = b.tensor_type(a).clone();
    if factors == Factors::Full && ty.shape[batch] != ty.shape[batch + 1] {
        let message = format!("the full factors of {ty} have no derivative; expected reduced ones");
        return Err(TypeError::new("svd", message));
    }
    let ([u, s, vt], [of_u, of_s, of_vt]) = ([results[0], results[1], results[2]], [given[0], given[1], given[2]]);
    let v = b.matrix_transpose(vt)?;
    let of_v = b.matrix_transpose(of_vt)?;
    let ut = b.matrix_transpose(u)?;
    let squares = b.binary(Binary::Multiply, s, s)?;
    let u_product = b.matrix_product(ut, of_u)?;
    let v_product = b.matrix_product(vt, of_v)?;
    let u_skew = skew(b, u_product)?;
    let u_skew = over_differences(b, u_skew, squares)?;
    let u_skew = columns_scaled(b, u_skew, s)?;
    let v_skew = skew(b, v_product)?;
    let v_skew = over_differences(b, v_skew, squares)?;
    let v_skew = b.matrix_transpose(v_skew)?;
    let v_skew = columns_scaled(b, v_skew, s)?;
    let v_skew = b.matrix_transpose(v_skew)?;
    let diagonal = b.diagonal_matrix(of_s)?;
    let middle = b.binary(Binary::Add, u_skew, v_skew)?;
    let middle = b.binary(Binary::Add, middle, diagonal)?;
    let left = b.matrix_product(u, middle)?;
    let mut cotangent = b.matrix_product(left, vt)?;
    let k = b.tensor_type(s).shape[batch].clone();
    if ty.shape[batch] != k {
        // what of U' lies outside of the columns of U
        let inside = b.matrix_product(u, u_product)?;
        let outside = b.binary(Binary::Subtract, of_u, inside)?;
        let outside = columns_divided(b, outside, s)?;
        let part = b.matrix_product(outside, vt)?;
        cotangent = b.binary(Binary::Add, cotangent, part)?;
    }
    if ty.shape[batch + 1] != k {
        let inside = b.matrix_product(v, v_product)?;
        let outside = b.binary(Binary::Subtract, of_v, inside)?;
        let outside = columns_divided(b, outside, s)?;
        let outside = b.matrix_transpose(outside)?;
        let part = b.matrix_product(u, outside)?;
        cotangent = b.binary(Binary::Add, cotangent, part)?;
    }
    Ok(cotangent)
}
