//! Systems of equations, inverses and determinants, with gradients that do not pass through factors. Matrices are the last two axes.

use super::Composition;
use crate::tensor::ops::{
    Backward, Binary, Compare, Concatenate, Cotangents, Diagonal, Factors, Iota, Reduction, Slice, Transposed,
    Triangle, Unary,
};
use crate::tensor::{Builder, Real, Scalar, TypeError, Value};
use kc_abi::{DType, Dim, TensorType};
use serde::{Deserialize, Serialize};

/// `X` with `A X = B`: operands are square matrices `A` and matrices `B`; by factors with partial pivoting. Where `A` is singular, `X` is not
/// finite (`jax.numpy.linalg.solve`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Solve {}

impl Composition for Solve {
    fn name(&self) -> &'static str {
        "solve"
    }

    fn body(&self, b: &mut Builder, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
        let [a, right] = b.operands("solve", operands)?;
        square("solve", b, a)?;
        let [factors, _, rows] = b.lu(a)?;
        Ok(vec![b.solve_by_factors([factors, rows], right, Transposed::No)?])
    }

    /// `B' = A^-T X'`, `A' = -B' X^T`
    fn gradient(&self, b: &mut Builder, at: &Backward<'_>) -> Result<Option<Cotangents>, TypeError> {
        let g = at.cotangent("solve")?;
        let [factors, _, rows] = b.lu(at.operands[0])?;
        let right = b.solve_by_factors([factors, rows], g, Transposed::Yes)?;
        let left = match at.wanted[0] {
            true => {
                let solution = b.matrix_transpose(at.results[0])?;
                let product = b.matrix_product(right, solution)?;
                Some(b.scaled(product, -1.0)?)
            }
            false => None,
        };
        Ok(Some(vec![left, Some(right)]))
    }
}

/// `A^-1`, not finite where `A` is singular (`jax.numpy.linalg.inv`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inverse {}

impl Composition for Inverse {
    fn name(&self) -> &'static str {
        "inverse"
    }

    fn body(&self, b: &mut Builder, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
        let [a] = b.operands("inverse", operands)?;
        square("inverse", b, a)?;
        let unit = unit_like(b, a)?;
        Ok(vec![b.add(Solve {}, &[a, unit])?])
    }

    /// `-X^T X' X^T`
    fn gradient(&self, b: &mut Builder, at: &Backward<'_>) -> Result<Option<Cotangents>, TypeError> {
        let g = at.cotangent("inverse")?;
        let transposed = b.matrix_transpose(at.results[0])?;
        let left = b.matrix_product(transposed, g)?;
        let both = b.matrix_product(left, transposed)?;
        Ok(Some(vec![Some(b.scaled(both, -1.0)?)]))
    }
}

/// The determinant of square matrices; up to three rows by its definition, else by factors (`jax.numpy.linalg.det`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Determinant {}

impl Composition for Determinant {
    fn name(&self) -> &'static str {
        "determinant"
    }

    fn body(&self, b: &mut Builder, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
        let [a] = b.operands("determinant", operands)?;
        let n = square("determinant", b, a)?;
        Ok(vec![match n.as_constant() {
            Some(n @ 1..=3) => by_definition(b, a, n)?,
            _ => {
                let factored = Factored::new(b, a)?;
                let product = b.reduce(Reduction::Product, &[factored.batch], factored.diagonal)?;
                b.binary(Binary::Multiply, product, factored.sign)?
            }
        }])
    }

    /// The cotangent times the cofactors, which are finite where the matrix is singular too.
    fn gradient(&self, b: &mut Builder, at: &Backward<'_>) -> Result<Option<Cotangents>, TypeError> {
        let a = at.operands[0];
        if matches!(square("determinant", b, a)?.as_constant(), Some(1..=3)) {
            return Ok(None);
        }
        let g = at.cotangent("determinant")?;
        let adjugate = adjugate(b, a)?;
        let cofactors = b.matrix_transpose(adjugate)?;
        let shape = b.tensor_type(a).shape.clone();
        let g = b.broadcast(g, &shape, &(0..shape.len() - 2).collect::<Vec<_>>())?;
        Ok(Some(vec![Some(b.binary(Binary::Multiply, g, cofactors)?)]))
    }
}

/// The sign of the determinant and the logarithm of its magnitude: 0 and -infinity of a singular matrix
/// (`jax.numpy.linalg.slogdet`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogDeterminant {}

impl Composition for LogDeterminant {
    fn name(&self) -> &'static str {
        "log_determinant"
    }

    fn body(&self, b: &mut Builder, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
        let [a] = b.operands("log_determinant", operands)?;
        square("log_determinant", b, a)?;
        let factored = Factored::new(b, a)?;
        let signs = b.unary(Unary::Sign, factored.diagonal)?;
        let sign = b.reduce(Reduction::Product, &[factored.batch], signs)?;
        let sign = b.binary(Binary::Multiply, sign, factored.sign)?;
        let magnitudes = b.unary(Unary::Abs, factored.diagonal)?;
        let logarithms = b.unary(Unary::Log, magnitudes)?;
        Ok(vec![sign, b.reduce(Reduction::Sum, &[factored.batch], logarithms)?])
    }

    /// The logarithm's cotangent times `A^-T`; the sign is constant.
    fn gradient(&self, b: &mut Builder, at: &Backward<'_>) -> Result<Option<Cotangents>, TypeError> {
        let Some(g) = at.cotangents[1] else { return Ok(Some(at.none())) };
        let a = at.operands[0];
        let inverse = b.add(Inverse {}, &[a])?;
        let transposed = b.matrix_transpose(inverse)?;
        let shape = b.tensor_type(a).shape.clone();
        let g = b.broadcast(g, &shape, &(0..shape.len() - 2).collect::<Vec<_>>())?;
        Ok(Some(vec![Some(b.binary(Binary::Multiply, g, transposed)?)]))
    }
}

/// The pseudo-inverse `V diag(1 / s) U^T`, where singular values that are not above `rcond` times the largest count as zeros with a
/// reciprocal of 0 (`jax.numpy.linalg.pinv`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PseudoInverse {
    /// The least singular value that counts, as a share of the largest one.
    pub rcond: Real,
}

impl Composition for PseudoInverse {
    fn name(&self) -> &'static str {
        "pseudo_inverse"
    }

    fn body(&self, b: &mut Builder, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
        let [a] = b.operands("pseudo_inverse", operands)?;
        let batch = b.matrix_batch("pseudo_inverse", a)?;
        let [u, s, vt] = b.svd(a, Factors::Reduced)?;
        let largest = b.reduce_keep(Reduction::Max, &[batch], s)?;
        let limit = b.scaled(largest, self.rcond.0)?;
        let counts = b.compare(Compare::Greater, s, limit)?;
        let (one, zero) = (b.splat_like(1.0, s)?, b.splat_like(0.0, s)?);
        let safe = b.select(counts, s, one)?;
        let reciprocal = b.binary(Binary::Divide, one, safe)?;
        // of what is not finite the values are NaN, which are above nothing
        let is_number = b.compare(Compare::Equal, s, s)?;
        let missing = b.select(is_number, zero, s)?;
        let reciprocal = b.select(counts, reciprocal, missing)?;
        let columns = b.tensor_type(vt).shape[batch + 1].clone();
        let reciprocal = b.repeated_columns(reciprocal, &columns)?;
        let scaled = b.binary(Binary::Multiply, vt, reciprocal)?;
        let scaled = b.matrix_transpose(scaled)?;
        let u = b.matrix_transpose(u)?;
        Ok(vec![b.matrix_product(scaled, u)?])
    }

    /// `-P^T P' P^T + (1 - A P) P'^T P P^T + P^T P P'^T (1 - P A)` (Golub and Pereyra, 1973)
    fn gradient(&self, b: &mut Builder, at: &Backward<'_>) -> Result<Option<Cotangents>, TypeError> {
        let (a, p, g) = (at.operands[0], at.results[0], at.cotangent("pseudo_inverse")?);
        let p_transposed = b.matrix_transpose(p)?;
        let g_transposed = b.matrix_transpose(g)?;
        let inner = b.matrix_product(p_transposed, g)?;
        let inner = b.matrix_product(inner, p_transposed)?;
        // what P' has outside of the rows and columns of A
        let right = b.matrix_product(p, p_transposed)?;
        let right = b.matrix_product(g_transposed, right)?;
        let inside = b.matrix_product(a, p)?;
        let inside = b.matrix_product(inside, right)?;
        let right = b.binary(Binary::Subtract, right, inside)?;
        let left = b.matrix_product(p_transposed, p)?;
        let left = b.matrix_product(left, g_transposed)?;
        let inside = b.matrix_product(p, a)?;
        let inside = b.matrix_product(left, inside)?;
        let left = b.binary(Binary::Subtract, left, inside)?;
        let outer = b.binary(Binary::Add, left, right)?;
        Ok(Some(vec![Some(b.binary(Binary::Subtract, outer, inner)?)]))
    }
}

/// The number of rows of square matrices.
fn square(op: &str, b: &Builder, a: Value) -> Result<Dim, TypeError> {
    let batch = b.matrix_batch(op, a)?;
    let ty = b.tensor_type(a);
    if ty.shape[batch] == ty.shape[batch + 1] {
        return Ok(ty.shape[batch].clone());
    }
    Err(TypeError::new(op, format!("the matrix is {ty}, expected a square one")))
}

fn unit_like(b: &mut Builder, a: Value) -> Result<Value, TypeError> {
    let TensorType { dtype, shape } = b.tensor_type(a).clone();
    let batch = shape.len() - 2;
    b.unit_matrix(dtype, &shape[..batch], &shape[batch])
}

/// The determinant of matrices with at most three rows.
fn by_definition(b: &mut Builder, a: Value, n: i64) -> Result<Value, TypeError> {
    let shape = b.tensor_type(a).shape.clone();
    let batch = shape.len() - 2;
    let element = |b: &mut Builder, i: i64, j: i64| {
        let place = |axis: usize, end: i64| match axis {
            _ if axis == batch => Dim::constant(i + end),
            _ if axis == batch + 1 => Dim::constant(j + end),
            _ => {
                if end == 0 {
                    Dim::default()
                } else {
                    shape[axis].clone()
                }
            }
        };
        let start = (0..shape.len()).map(|axis| place(axis, 0)).collect();
        let limit = (0..shape.len()).map(|axis| place(axis, 1)).collect();
        let slice = b.add(Slice { start, limit, stride: vec![1; shape.len()] }, &[a])?;
        b.reshape(slice, &shape[..batch])
    };
    let product = |b: &mut Builder, places: &[(i64, i64)]| {
        let mut product: Option<Value> = None;
        for &(i, j) in places {
            let factor = element(b, i, j)?;
            product = Some(match product {
                None => factor,
                Some(product) => b.binary(Binary::Multiply, product, factor)?,
            });
        }
        product.ok_or_else(|| TypeError::new("determinant", "a product of nothing"))
    };
    let terms: &[(Binary, &[(i64, i64)])] = match n {
        1 => &[(Binary::Add, &[(0, 0)])],
        2 => &[(Binary::Add, &[(0, 0), (1, 1)]), (Binary::Subtract, &[(0, 1), (1, 0)])],
        _ => &[
            (Binary::Add, &[(0, 0), (1, 1), (2, 2)]),
            (Binary::Add, &[(0, 1), (1, 2), (2, 0)]),
            (Binary::Add, &[(0, 2), (1, 0), (2, 1)]),
            (Binary::Subtract, &[(0, 2), (1, 1), (2, 0)]),
            (Binary::Subtract, &[(0, 0), (1, 2), (2, 1)]),
            (Binary::Subtract, &[(0, 1), (1, 0), (2, 2)]),
        ],
    };
    let mut sum = product(b, terms[0].1)?;
    for (sign, places) in &terms[1..] {
        let term = product(b, places)?;
        sum = b.binary(*sign, sum, term)?;
    }
    Ok(sum)
}

/// Factors with what a determinant is made of.
struct Factored {
    /// Number of leading axes.
    batch: usize,
    factors: Value,
    rows: Value,
    /// The diagonal of `U`.
    diagonal: Value,
    /// The sign of the exchanges of rows.
    sign: Value,
}

impl Factored {
    fn new(b: &mut Builder, a: Value) -> Result<Self, TypeError> {
        let batch = b.matrix_batch("determinant", a)?;
        let dtype = b.tensor_type(a).dtype;
        let [factors, pivots, rows] = b.lu(a)?;
        let diagonal = b.matrix_diagonal(factors)?;
        let numbers = b.add(Iota { ty: b.tensor_type(pivots).clone(), axis: batch }, &[])?;
        let exchanged = b.compare(Compare::NotEqual, pivots, numbers)?;
        let exchanged = b.convert(DType::I32, exchanged)?;
        let exchanges = b.reduce(Reduction::Sum, &[batch], exchanged)?;
        let one = b.splat_like(Scalar::Int(1), exchanges)?;
        let odd = b.binary(Binary::And, exchanges, one)?;
        let twice = b.binary(Binary::Add, odd, odd)?;
        let sign = b.binary(Binary::Subtract, one, twice)?;
        let sign = b.convert(dtype, sign)?;
        Ok(Factored { batch, factors, rows, diagonal, sign })
    }
}

/// `det(A) A^-1` of matrices of any rank with at least two rows: in `U` the last element of the diagonal, the one that is 0 where the rank is
/// one less than full, is replaced by the reciprocal of what the determinant is without it; zeros where the rank is lower still.
fn adjugate(b: &mut Builder, a: Value) -> Result<Value, TypeError> {
    let factored = Factored::new(b, a)?;
    let batch = factored.batch;
    let TensorType { dtype, shape } = b.tensor_type(a).clone();
    let n = shape[batch].clone();
    let last = n.clone() - Dim::constant(1);
    let leading: Vec<usize> = (0..batch).collect();
    let whole = b.reduce(Reduction::Product, &[batch], factored.diagonal)?;
    let whole = b.binary(Binary::Multiply, whole, factored.sign)?;
    let vector_shape = b.tensor_type(factored.diagonal).shape.clone();
    let limit = vector_shape[..batch].iter().cloned().chain([last.clone()]).collect();
    let others = Slice { start: vec![Dim::default(); batch + 1], limit, stride: vec![1; batch + 1] };
    let others = b.add(others, &[factored.diagonal])?;
    let partial = b.reduce(Reduction::Product, &[batch], others)?;
    let partial = b.binary(Binary::Multiply, partial, factored.sign)?;
    let one = b.splat_like(1.0, partial)?;
    let corner = b.binary(Binary::Divide, one, partial)?;
    let numbers = TensorType { dtype: DType::I32, shape: shape.clone() };
    let row = b.add(Iota { ty: numbers.clone(), axis: batch }, &[])?;
    let column = b.add(Iota { ty: numbers, axis: batch + 1 }, &[])?;
    let end = b.dimension(last.clone(), DType::I32)?;
    let end = b.broadcast(end, &shape, &[])?;
    let [in_row, in_column] = [b.compare(Compare::Equal, row, end)?, b.compare(Compare::Equal, column, end)?];
    let in_corner = b.binary(Binary::And, in_row, in_column)?;
    let corner = b.broadcast(corner, &shape, &leading)?;
    let factors = b.select(in_corner, corner, factored.factors)?;
    // matrices of lower rank still
    let one_column: Vec<Dim> = shape[..batch + 1].iter().cloned().chain([Dim::constant(1)]).collect();
    let ones = b.splat(dtype, 1.0, &one_column)?;
    let probe = b.triangular_solve(factors, ones, Triangle::Upper, Diagonal::Given)?;
    let finite = b.unary(Unary::IsFinite, probe)?;
    let solvable = b.reduce(Reduction::Min, &[batch, batch + 1], finite)?;
    let solvable = b.broadcast(solvable, &shape, &leading)?;
    let zeros = b.splat_like(0.0, a)?;
    let unit = unit_like(b, a)?;
    let right = b.permuted_rows(unit, factored.rows)?;
    let right = b.select(solvable, right, zeros)?;
    let right = b.triangular_solve(factors, right, Triangle::Lower, Diagonal::Ones)?;
    let part = |b: &mut Builder, from: Dim, to: Dim| {
        let at = |axis: usize, own: &Dim, other: Dim| if axis == batch { own.clone() } else { other };
        let start = (0..batch + 2).map(|axis| at(axis, &from, Dim::default())).collect();
        let limit = (0..batch + 2).map(|axis| at(axis, &to, shape[axis].clone())).collect();
        b.add(Slice { start, limit, stride: vec![1; batch + 2] }, &[right])
    };
    let (above, below) = (part(b, Dim::default(), last.clone())?, part(b, last, n)?);
    let above_shape = b.tensor_type(above).shape.clone();
    let whole = b.broadcast(whole, &above_shape, &leading)?;
    let above = b.binary(Binary::Multiply, above, whole)?;
    let right = b.add(Concatenate { axis: batch }, &[above, below])?;
    let found = b.triangular_solve(factors, right, Triangle::Upper, Diagonal::Given)?;
    b.select(solvable, found, zeros)
}

impl Builder {
    /// `X` with `A X = B` ([`Solve`]).
    pub fn solve(&mut self, a: Value, right: Value) -> Result<Value, TypeError> {
        self.add(Solve {}, &[a, right])
    }

    /// `A^-1` ([`Inverse`]).
    pub fn inverse(&mut self, a: Value) -> Result<Value, TypeError> {
        self.add(Inverse {}, &[a])
    }

    /// The determinant ([`Determinant`]).
    pub fn determinant(&mut self, a: Value) -> Result<Value, TypeError> {
        self.add(Determinant {}, &[a])
    }

    /// Sign and logarithm of the determinant ([`LogDeterminant`]).
    pub fn log_determinant(&mut self, a: Value) -> Result<[Value; 2], TypeError> {
        let both = self.add(LogDeterminant {}, &[a])?;
        let both = self.projections(both)?;
        Ok([both[0], both[1]])
    }

    /// The pseudo-inverse ([`PseudoInverse`]); without `rcond` it is ten roundings times the larger extent, as in JAX.
    pub fn pseudo_inverse(&mut self, a: Value, rcond: Option<f64>) -> Result<Value, TypeError> {
        let rcond = match rcond {
            Some(rcond) => rcond,
            None => 10.0 * self.singular_limit("pseudo_inverse", a)?,
        };
        self.add(PseudoInverse { rcond: Real(rcond) }, &[a])
    }

    /// The shortest `X` of those for which `A X - B` is shortest; singular values that are not above `rcond` times the largest count as zeros.
    /// Without `rcond` it is a rounding times the larger extent (`jax.numpy.linalg.lstsq`).
    pub fn least_squares(&mut self, a: Value, right: Value, rcond: Option<f64>) -> Result<Value, TypeError> {
        let rcond = match rcond {
            Some(rcond) => rcond,
            None => self.singular_limit("least_squares", a)?,
        };
        let inverse = self.add(PseudoInverse { rcond: Real(rcond) }, &[a])?;
        self.matrix_product(inverse, right)
    }

    /// How many singular values are above `tolerance` (i32); without it above the largest times a rounding times the larger extent
    /// (`jax.numpy.linalg.matrix_rank`).
    pub fn matrix_rank(&mut self, a: Value, tolerance: Option<f64>) -> Result<Value, TypeError> {
        let batch = self.matrix_batch("matrix_rank", a)?;
        let values = self.singular_values(a)?;
        let limit = match tolerance {
            Some(tolerance) => self.splat_like(tolerance, values)?,
            None => {
                let share = self.singular_limit("matrix_rank", a)?;
                let largest = self.reduce_keep(Reduction::Max, &[batch], values)?;
                self.scaled(largest, share)?
            }
        };
        let above = self.compare(Compare::Greater, values, limit)?;
        let above = self.convert(DType::I32, above)?;
        self.reduce(Reduction::Sum, &[batch], above)
    }

    /// `A^-1` of the symmetric `A` with that Cholesky factor, whose given triangle is read (`keras.ops.cholesky_inverse`).
    pub fn cholesky_inverse(&mut self, factor: Value, triangle: Triangle) -> Result<Value, TypeError> {
        let unit = unit_like(self, factor)?;
        let inverse = self.triangular_solve(factor, unit, triangle, Diagonal::Given)?;
        let transposed = self.matrix_transpose(inverse)?;
        match triangle {
            Triangle::Lower => self.matrix_product(transposed, inverse),
            Triangle::Upper => self.matrix_product(inverse, transposed),
        }
    }

    /// A rounding of the dtype times the larger extent.
    fn singular_limit(&self, op: &str, a: Value) -> Result<f64, TypeError> {
        let batch = self.matrix_batch(op, a)?;
        let ty = self.tensor_type(a);
        let (Some(m), Some(n)) = (ty.shape[batch].as_constant(), ty.shape[batch + 1].as_constant()) else {
            let message = format!("the extents of {ty} are not known, so an `rcond` or a tolerance must be given");
            return Err(TypeError::new(op, message));
        };
        let rounding = if ty.dtype == DType::F32 { f64::from(f32::EPSILON) } else { f64::EPSILON };
        Ok(rounding * m.max(n) as f64)
    }
}
