//! Matrices on the last two axes: what formulas of linear algebra are written with.

use super::{Diagonal, Triangle};
use crate::tensor::ops::{Binary, Compare, DotGeneral, Gather, GatherMode, IndexedWindows, Iota, Reduction};
use crate::tensor::{Builder, TypeError, Value};
use kc_abi::{DType, Dim, TensorType};

impl Builder {
    /// `A B` for each index of the leading axes, which both have alike.
    pub fn matrix_product(&mut self, a: Value, b: Value) -> Result<Value, TypeError> {
        let batch = self.matrix_batch("matrix_product", a)?;
        self.matrix_batch("matrix_product", b)?;
        let axes: Vec<usize> = (0..batch).collect();
        let product = DotGeneral {
            lhs_batch: axes.clone(),
            rhs_batch: axes,
            lhs_contract: vec![batch + 1],
            rhs_contract: vec![batch],
        };
        self.add(product, &[a, b])
    }

    /// The last two axes exchanged.
    pub fn matrix_transpose(&mut self, a: Value) -> Result<Value, TypeError> {
        let batch = self.matrix_batch("matrix_transpose", a)?;
        let permutation: Vec<usize> = (0..batch).chain([batch + 1, batch]).collect();
        self.transpose(a, &permutation)
    }

    /// `(A + A^T) / 2`
    pub fn symmetric_part(&mut self, a: Value) -> Result<Value, TypeError> {
        let transposed = self.matrix_transpose(a)?;
        let sum = self.binary(Binary::Add, a, transposed)?;
        self.scaled(sum, 0.5)
    }

    /// A triangle, with zeros elsewhere; `diagonal` is the lowest (of the lower triangle: highest) diagonal that is kept: 0 is the main one,
    /// positive ones are above it.
    pub fn triangle(&mut self, a: Value, triangle: Triangle, diagonal: i64) -> Result<Value, TypeError> {
        let zeros = self.splat_like(0.0, a)?;
        let kept = self.in_triangle(a, triangle, diagonal)?;
        self.select(kept, a, zeros)
    }

    /// Whether each element is in the triangle.
    fn in_triangle(&mut self, a: Value, triangle: Triangle, diagonal: i64) -> Result<Value, TypeError> {
        let batch = self.matrix_batch("triangle", a)?;
        let ty = TensorType { dtype: DType::I32, shape: self.tensor_type(a).shape.clone() };
        let row = self.add(Iota { ty: ty.clone(), axis: batch }, &[])?;
        let column = self.add(Iota { ty, axis: batch + 1 }, &[])?;
        let offset = self.splat_like(diagonal, row)?;
        let limit = self.binary(Binary::Add, row, offset)?;
        let comparison = match triangle {
            Triangle::Lower => Compare::LessEqual,
            Triangle::Upper => Compare::GreaterEqual,
        };
        self.compare(comparison, column, limit)
    }

    /// Whether each element is on the main diagonal.
    fn on_diagonal(&mut self, a: Value) -> Result<Value, TypeError> {
        let batch = self.matrix_batch("diagonal", a)?;
        let ty = TensorType { dtype: DType::I32, shape: self.tensor_type(a).shape.clone() };
        let row = self.add(Iota { ty: ty.clone(), axis: batch }, &[])?;
        let column = self.add(Iota { ty, axis: batch + 1 }, &[])?;
        self.compare(Compare::Equal, row, column)
    }

    /// The main diagonal of square matrices, as vectors on the last axis.
    pub fn matrix_diagonal(&mut self, a: Value) -> Result<Value, TypeError> {
        let on = self.on_diagonal(a)?;
        let batch = self.matrix_batch("diagonal", a)?;
        let zeros = self.splat_like(0.0, a)?;
        let only = self.select(on, a, zeros)?;
        self.reduce(Reduction::Sum, &[batch], only)
    }

    /// Square matrices with vectors of the last axis on their diagonals.
    pub fn diagonal_matrix(&mut self, vector: Value) -> Result<Value, TypeError> {
        let columns = self.as_columns(vector)?;
        let on = self.on_diagonal(columns)?;
        let zeros = self.splat_like(0.0, columns)?;
        self.select(on, columns, zeros)
    }

    /// The unit matrix of `n` rows, with leading axes.
    pub fn unit_matrix(&mut self, dtype: DType, batch: &[Dim], n: &Dim) -> Result<Value, TypeError> {
        let shape: Vec<Dim> = batch.iter().cloned().chain([n.clone(), n.clone()]).collect();
        let zeros = self.splat(dtype, 0.0, &shape)?;
        let on = self.on_diagonal(zeros)?;
        self.convert(dtype, on)
    }

    /// A square matrix whose element `[i, j]` is `vector[j]`.
    pub(crate) fn as_columns(&mut self, vector: Value) -> Result<Value, TypeError> {
        let rows = self.tensor_type(vector).shape.last().cloned().unwrap_or(Dim::constant(1));
        self.repeated_rows(vector, &rows)
    }

    /// A matrix whose element `[i, j]` is `vector[j]`, of that many rows.
    pub(crate) fn repeated_rows(&mut self, vector: Value, rows: &Dim) -> Result<Value, TypeError> {
        let mut shape = self.tensor_type(vector).shape.clone();
        let last = shape.len().saturating_sub(1);
        shape.insert(last, rows.clone());
        let axes: Vec<usize> = (0..last).chain([last + 1]).collect();
        self.broadcast(vector, &shape, &axes)
    }

    /// A matrix whose element `[i, j]` is `vector[i]`, of that many columns.
    pub(crate) fn repeated_columns(&mut self, vector: Value, columns: &Dim) -> Result<Value, TypeError> {
        let mut shape = self.tensor_type(vector).shape.clone();
        let rank = shape.len();
        shape.push(columns.clone());
        self.broadcast(vector, &shape, &(0..rank).collect::<Vec<_>>())
    }

    /// The rows of matrices in another order: row `i` of the result is row `rows[i]`.
    pub fn permuted_rows(&mut self, a: Value, rows: Value) -> Result<Value, TypeError> {
        let batch = self.matrix_batch("permuted_rows", a)?;
        let mut index_shape = self.tensor_type(rows).shape.clone();
        index_shape.push(Dim::constant(1));
        let indices = self.reshape(rows, &index_shape)?;
        let columns = self.tensor_type(a).shape[batch + 1].clone();
        let windows = IndexedWindows {
            offset: vec![batch + 1],
            collapsed: vec![batch],
            operand_batch: (0..batch).collect(),
            indices_batch: (0..batch).collect(),
            index_map: vec![batch],
        };
        let sizes = (0..batch + 1).map(|_| Dim::constant(1)).chain([columns]).collect();
        self.add(Gather { windows, sizes, mode: GatherMode::Clip }, &[a, indices])
    }

    /// `X` with `A X = B`, or with `A^T X = B`, from the results `factors` and `rows` of [`lu`](Builder::lu) of `A`.
    pub(crate) fn solve_by_factors(
        &mut self,
        [factors, rows]: [Value; 2],
        b: Value,
        transposed: Transposed,
    ) -> Result<Value, TypeError> {
        match transposed {
            Transposed::No => {
                let b = self.permuted_rows(b, rows)?;
                let y = self.triangular_solve(factors, b, Triangle::Lower, Diagonal::Ones)?;
                self.triangular_solve(factors, y, Triangle::Upper, Diagonal::Given)
            }
            Transposed::Yes => {
                let factors = self.matrix_transpose(factors)?;
                let y = self.triangular_solve(factors, b, Triangle::Lower, Diagonal::Given)?;
                let z = self.triangular_solve(factors, y, Triangle::Upper, Diagonal::Ones)?;
                let axis = self.tensor_type(rows).rank() - 1;
                let places = self.argsort(rows, axis, crate::tensor::ops::Direction::Ascending, DType::I32)?;
                self.permuted_rows(z, places)
            }
        }
    }

    /// A tensor times a number.
    pub(crate) fn scaled(&mut self, x: Value, by: f64) -> Result<Value, TypeError> {
        let factor = self.splat_like(by, x)?;
        self.binary(Binary::Multiply, x, factor)
    }

    /// Number of leading axes.
    pub(crate) fn matrix_batch(&self, op: &str, a: Value) -> Result<usize, TypeError> {
        let ty = self.tensor_type(a);
        let fail = || TypeError::new(op, format!("got {ty}, expected at least two axes"));
        ty.rank().checked_sub(2).ok_or_else(fail)
    }
}

/// Which of a matrix and its transpose a system is solved for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transposed {
    /// The matrix.
    No,
    /// Its transpose.
    Yes,
}
