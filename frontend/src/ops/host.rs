//! What is known of a tensor without computing it.

use super::tensor::Tensor;
use crate::{Error, Result};
use kc_ir::tensor::Literal;
use kc_ir::{DType, Dim};

/// The shape; an extent that is not known yet, such as the batch size, is a symbol.
pub fn shape(x: impl Into<Tensor>) -> Result<Vec<Dim>> {
    Ok(x.into().result_type()?.shape)
}

/// The number of axes.
pub fn ndim(x: impl Into<Tensor>) -> Result<usize> {
    Ok(x.into().result_type()?.rank())
}

/// The number of elements.
pub fn size(x: impl Into<Tensor>) -> Result<Dim> {
    Ok(x.into().result_type()?.elements())
}

/// The dtype.
pub fn dtype(x: impl Into<Tensor>) -> Result<DType> {
    Ok(x.into().result_type()?.dtype)
}

/// Whether it is a tensor: whatever can be one, unless it carries an error.
pub fn is_tensor(x: impl Into<Tensor>) -> bool {
    x.into().result_type().is_ok()
}

/// The value of the first operand, which a function needs before it can be built.
pub(super) fn first_value(function: &str, operands: &[Tensor]) -> Result<Option<Literal>> {
    let Some(x) = operands.first() else { return Ok(None) };
    if !x.node.is_concrete {
        return Err(Error::model(format!(
            "`ops::{function}`: the result's shape depends on the values of {x:?}, expected an array or a function of arrays"
        )));
    }
    super::build::literal(&super::evaluate::one(x)?).map(Some)
}
