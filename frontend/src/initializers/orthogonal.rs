//! Orthonormal matrices from normal ones.

use super::affine;
use crate::{Error, Result, Scope};
use kc_ir::tensor::composites::RandomNormal;
use kc_ir::tensor::ops::{Binary, Compare, DotGeneral, Iota, Pad, Reduction, Slice, Unary};
use kc_ir::tensor::{ScanOptions, Value};
use kc_ir::{DType, Dim, TensorType};

/// Rows that are made orthogonal to the rows before them by one contraction.
const PANEL: i64 = 32;

/// The factor `Q` of `A = Q R` for normal `A`, with a positive diagonal of `R`, times a gain. `A` has as many rows as the last axis or
/// the others have elements, whichever are more, and the other number of columns.
pub(super) fn matrix(scope: &mut Scope, key: Value, ty: &TensorType, gain: f64) -> Result<Value> {
    let extents = ty.constant_shape().filter(|extents| extents.len() >= 2).ok_or_else(|| {
        let shape = crate::shape_text(&ty.shape);
        Error::model(format!("an orthogonal weight has 2 axes at least, the weight's shape is {shape}"))
    })?;
    let columns = extents[extents.len() - 1];
    let rows: i64 = extents[..extents.len() - 1].iter().product();
    let (longer, shorter) = (rows.max(columns), rows.min(columns));
    let a =
        scope.add(RandomNormal { dtype: ty.dtype, shape: [longer, shorter].map(Dim::constant).to_vec() }, &[key])?;
    let a = scope.transpose(a, &[1, 0])?;
    let mut q = orthonormal_rows(scope, a, [shorter, longer])?;
    if rows >= columns {
        q = scope.transpose(q, &[1, 0])?;
    }
    let q = scope.reshape(q, &ty.shape)?;
    affine(scope, q, gain, 0.0)
}

/// `x` less its part along orthonormal (or zero) rows `q`, taken away twice, since rounding leaves a bit of it.
fn less_projection(scope: &mut Scope, mut x: Value, q: Value) -> Result<Value> {
    for _ in 0..2 {
        let last = scope.tensor_type(x).rank() - 1;
        let contraction = |axis| DotGeneral {
            lhs_batch: vec![],
            rhs_batch: vec![],
            lhs_contract: vec![last],
            rhs_contract: vec![axis],
        };
        let along = scope.add(contraction(1), &[x, q])?;
        let part = scope.add(contraction(0), &[along, q])?;
        x = scope.binary(Binary::Subtract, x, part)?;
    }
    Ok(x)
}

/// `whole` with the slice of that number of the leading axis, which is 0, replaced.
fn with_slice(scope: &mut Scope, whole: Value, slice: Value, number: Value) -> Result<Value> {
    let shape = scope.tensor_type(whole).shape.clone();
    let numbers = scope.add(Iota { ty: TensorType { dtype: DType::I64, shape: shape[..1].to_vec() }, axis: 0 }, &[])?;
    let number = scope.broadcast(number, &shape[..1], &[])?;
    let here = scope.compare(Compare::Equal, numbers, number)?;
    let here = scope.broadcast(here, &shape, &[0])?;
    let slice = scope.broadcast(slice, &shape, &(1..shape.len()).collect::<Vec<_>>())?;
    Ok(scope.select(here, slice, whole)?)
}

/// The rows of a matrix, each less its part along those before and scaled to a length of 1 (Gram and Schmidt), panel by panel.
fn orthonormal_rows(scope: &mut Scope, a: Value, [rows, length]: [i64; 2]) -> Result<Value> {
    let (dtype, panels) = (scope.tensor_type(a).dtype, (rows + PANEL - 1) / PANEL);
    let zero = scope.splat(dtype, 0.0, &[])?;
    let pad = Pad { low: vec![0, 0], high: vec![panels * PANEL - rows, 0], interior: vec![0, 0] };
    let padded = scope.add(pad, &[a, zero])?;
    let split = [panels, PANEL, length].map(Dim::constant);
    let padded = scope.reshape(padded, &split)?;
    let nothing = scope.splat(dtype, 0.0, &split)?;
    let numbers = scope.add(Iota { ty: TensorType::new(DType::I64, [panels]), axis: 0 }, &[])?;
    let all = scope.scan(&[nothing], &[padded, numbers], &ScanOptions::default(), |scope, carried, elements| {
        let done = scope.reshape(carried[0], &[panels * PANEL, length].map(Dim::constant))?;
        let panel = less_projection(scope, elements[0], done)?;
        let panel = orthonormal_panel(scope, panel, length)?;
        Ok((vec![with_slice(scope, carried[0], panel, elements[1])?], vec![]))
    })?;
    let q = scope.reshape(all.carried[0], &[panels * PANEL, length].map(Dim::constant))?;
    let limit = [rows, length].map(Dim::constant).to_vec();
    Ok(scope.add(Slice { start: vec![Dim::constant(0); 2], limit, stride: vec![1, 1] }, &[q])?)
}

fn orthonormal_panel(scope: &mut Scope, panel: Value, length: i64) -> Result<Value> {
    let dtype = scope.tensor_type(panel).dtype;
    let shape = [PANEL, length].map(Dim::constant);
    let nothing = scope.splat(dtype, 0.0, &shape)?;
    let numbers = scope.add(Iota { ty: TensorType::new(DType::I64, [PANEL]), axis: 0 }, &[])?;
    let all = scope.scan(&[nothing], &[panel, numbers], &ScanOptions::default(), |scope, carried, elements| {
        let row = less_projection(scope, elements[0], carried[0])?;
        let square = scope.binary(Binary::Multiply, row, row)?;
        let sum = scope.reduce(Reduction::Sum, &[0], square)?;
        // rows of padding are 0 and stay so
        let sum = scope.binary_constant(Binary::Maximum, sum, f64::from(f32::MIN_POSITIVE))?;
        let scale = scope.unary(Unary::Rsqrt, sum)?;
        let row = scope.binary(Binary::Multiply, row, scale)?;
        Ok((vec![with_slice(scope, carried[0], row, elements[1])?], vec![]))
    })?;
    Ok(all.carried[0])
}
