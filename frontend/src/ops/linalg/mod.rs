//! `keras.ops.linalg`: matrices are the last two axes.

mod factors;
mod jvp;
mod norms;
mod systems;

pub use factors::*;
pub use jvp::*;
pub use norms::*;
pub use systems::*;

use super::arguments::wrong;
use super::function::Operand;
use super::promotion::{float, statistics_type};
use kc_ir::Dim;
use kc_ir::tensor::{Builder, Tensor as Formula, TypeError, Value};

/// Matrices of the dtype that is computed in.
fn matrices<'s, 'b>(x: Operand<'s, 'b>) -> Result<Formula<'s, 'b>, TypeError> {
    if x.shape().len() < 2 {
        return Err(wrong("expected at least 2 axes"));
    }
    let x = float(x);
    Ok(x.convert(statistics_type(x.ty().dtype)))
}

/// Square matrices.
fn square<'s, 'b>(x: Operand<'s, 'b>) -> Result<Formula<'s, 'b>, TypeError> {
    let x = matrices(x)?;
    let shape = x.shape();
    match &shape[shape.len() - 2..] {
        [rows, columns] if rows == columns => Ok(x),
        _ => Err(wrong("expected square matrices")),
    }
}

/// What the graph's builder makes of a matrix.
fn built<'s, 'b, const N: usize>(
    x: Formula<'s, 'b>,
    build: impl FnOnce(&mut Builder, Value) -> Result<[Value; N], TypeError>,
) -> Result<[Formula<'s, 'b>; N], TypeError> {
    let scope = x.scope();
    let values = scope.with_builder(|builder| build(builder, x.value()))?;
    Ok(values.map(|value| scope.tensor(value)))
}

/// The last two axes exchanged.
fn transposed<'s, 'b>(x: Formula<'s, 'b>) -> Formula<'s, 'b> {
    let rank = x.shape().len();
    let mut order: Vec<usize> = (0..rank).collect();
    order.swap(rank - 2, rank - 1);
    x.transpose(&order)
}

/// The unit matrices of the shape of square ones.
fn unit_like<'s, 'b>(x: Formula<'s, 'b>) -> Formula<'s, 'b> {
    let (shape, dtype) = (x.shape(), x.ty().dtype);
    let index = |axis: usize| super::formulas::iota(x.scope(), kc_ir::DType::I32, &shape, axis);
    index(shape.len() - 2).equal(index(shape.len() - 1)).convert(dtype)
}

/// The number of elements of an axis, if it is known.
fn known(shape: &[Dim], axis: usize) -> Result<i64, TypeError> {
    super::formulas::known_extent(shape, axis)
}
