//! How the samples' losses become one number.

use super::class::to_same_rank;
use super::{Loss, LossReduction};
use crate::{Error, Result, Scope};
use kc_ir::Dim;
use kc_ir::tensor::Value;
use kc_ir::tensor::ops::{Binary, Compare, Reduction};

/// The losses of the samples, weighted and reduced.
pub(super) fn weighted<L: Loss + ?Sized>(
    loss: &L,
    scope: &mut Scope,
    y_true: Value,
    y_pred: Value,
    sample_weight: Option<Value>,
) -> Result<Value> {
    let (values, weights) = values_and_weights(loss, scope, y_true, y_pred, sample_weight)?;
    let values = match weights {
        Some(weights) => aligned_product(scope, values, weights)?,
        None => values,
    };
    reduced(loss, scope, values, weights)
}

/// The scalar loss of a batch of a training step, whose samples always have weights: 1 where none are given.
pub(crate) fn total(
    loss: &dyn Loss,
    scope: &mut Scope,
    y_true: Value,
    y_pred: Value,
    sample_weight: Value,
) -> Result<Value> {
    if loss.reduction() == LossReduction::None {
        return Err(Error::model(format!(
            "loss `{}` has the reduction `none`, training needs one number: use `sum_over_batch_size` or `sum`",
            loss.name()
        )));
    }
    let (values, weights) = values_and_weights(loss, scope, y_true, y_pred, Some(sample_weight))?;
    let weights = weights.unwrap_or(sample_weight);
    if scope.tensor_type(values).rank() == 0 {
        // one number for all samples: their mean weight scales it, so that weights of 1 change nothing
        let mean = mean_of_all(scope, weights)?;
        return Ok(scope.binary(Binary::Multiply, values, mean)?);
    }
    let values = aligned_product(scope, values, weights)?;
    reduced(loss, scope, values, Some(weights))
}

/// The samples' losses, and their weights times the mask of those that count: by the predictions' mask, and by the loss.
fn values_and_weights<L: Loss + ?Sized>(
    loss: &L,
    scope: &mut Scope,
    y_true: Value,
    y_pred: Value,
    sample_weight: Option<Value>,
) -> Result<(Value, Option<Value>)> {
    let predicted = scope.mask_of(y_pred);
    let y_pred = scope.convert(loss.dtype(), y_pred)?;
    let y_true =
        if scope.tensor_type(y_true).dtype.is_integer() { y_true } else { scope.convert(loss.dtype(), y_true)? };
    let values = loss.call(scope, y_true, y_pred)?;
    let dtype = scope.tensor_type(values).dtype;
    let weights = sample_weight.map(|weights| scope.convert(dtype, weights)).transpose()?;
    let mask = match (predicted, loss.mask(scope, y_true, y_pred, values)?) {
        (None, None) => return Ok((values, weights)),
        (Some(mask), None) | (None, Some(mask)) => mask,
        (Some(predicted), Some(counted)) => scope.binary(Binary::And, predicted, counted)?,
    };
    let counted = scope.convert(dtype, mask)?;
    // a mean is one over the samples that count: they weigh more
    let mask = match loss.reduction() {
        LossReduction::SumOverBatchSize => {
            let ty = scope.tensor_type(counted).clone();
            let axes: Vec<usize> = (0..ty.rank()).collect();
            let valid = scope.reduce(Reduction::Sum, &axes, counted)?;
            let all = scope.dimension(ty.elements(), dtype)?;
            let share = divide_no_nan(scope, all, valid)?;
            scope.binary(Binary::Multiply, counted, share)?
        }
        _ => counted,
    };
    match weights {
        Some(weights) => Ok((values, Some(aligned_product(scope, mask, weights)?))),
        None => Ok((values, Some(mask))),
    }
}

/// Weighted losses, reduced.
fn reduced<L: Loss + ?Sized>(loss: &L, scope: &mut Scope, values: Value, weights: Option<Value>) -> Result<Value> {
    let ty = scope.tensor_type(values).clone();
    let axes: Vec<usize> = (0..ty.rank()).collect();
    if axes.is_empty() || loss.reduction() == LossReduction::None {
        return Ok(values);
    }
    let sum = scope.reduce(Reduction::Sum, &axes, values)?;
    match (loss.reduction(), weights) {
        (LossReduction::Sum | LossReduction::None, _) => Ok(sum),
        (LossReduction::MeanWithSampleWeight, Some(weights)) => {
            let axes: Vec<usize> = (0..scope.tensor_type(weights).rank()).collect();
            let divisor = scope.reduce(Reduction::Sum, &axes, weights)?;
            divide_no_nan(scope, sum, divisor)
        }
        (LossReduction::SumOverBatchSize | LossReduction::MeanWithSampleWeight, _) => {
            let divisor = scope.dimension(ty.elements(), ty.dtype)?;
            Ok(scope.binary(Binary::Divide, sum, divisor)?)
        }
        (LossReduction::Unknown, _) => Err(Error::model(format!(
            "loss `{}` has an unknown reduction; known are: sum_over_batch_size, sum, mean_with_sample_weight, none",
            loss.name()
        ))),
    }
}

fn mean_of_all(scope: &mut Scope, x: Value) -> Result<Value> {
    let ty = scope.tensor_type(x).clone();
    let axes: Vec<usize> = (0..ty.rank()).collect();
    let sum = scope.reduce(Reduction::Sum, &axes, x)?;
    let count = scope.dimension(ty.elements(), ty.dtype)?;
    Ok(scope.binary(Binary::Divide, sum, count)?)
}

/// `a / b`, 0 where `b` is 0.
fn divide_no_nan(scope: &mut Scope, a: Value, b: Value) -> Result<Value> {
    let (zero, one) = (scope.splat_like(0.0, b)?, scope.splat_like(1.0, b)?);
    let nothing = scope.compare(Compare::Equal, b, zero)?;
    let divisor = scope.select(nothing, one, b)?;
    let quotient = scope.binary(Binary::Divide, a, divisor)?;
    Ok(scope.select(nothing, zero, quotient)?)
}

/// The product of losses and weights, whose shapes are broadcast; weights of fewer axes are those of the first axes.
fn aligned_product(scope: &mut Scope, values: Value, weights: Value) -> Result<Value> {
    let (values, weights) = to_same_rank(scope, values, weights)?;
    let (ty, given) = (scope.tensor_type(values).clone(), scope.tensor_type(weights).clone());
    let leading = given.rank() < ty.rank() && given.shape.iter().zip(&ty.shape).all(|(a, b): (&Dim, &Dim)| a == b);
    let weights =
        if leading { scope.broadcast(weights, &ty.shape, &(0..given.rank()).collect::<Vec<_>>())? } else { weights };
    Ok(scope.binary(Binary::Multiply, values, weights)?)
}
