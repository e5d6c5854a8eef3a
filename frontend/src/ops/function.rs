//! What a function of tensors declares, and how its results' types are found.

use super::promotion::Kind;
use super::tensor::{Source, Tensor, type_text};
use crate::{Error, Result};
use kc_ir::tensor::{Builder, Literal, Scope, Tensor as Formula, TypeError, Value, express};
use kc_ir::{DType, TensorType};
use std::fmt;
use std::ops::Deref;
use std::panic::Location;
use std::sync::Arc;

/// A function of tensors with its arguments.
pub trait Function: fmt::Debug + Send + Sync + 'static {
    /// The name: `max`.
    fn name(&self) -> &'static str;

    /// The name of Keras' operation in a functional model: `Max`.
    fn class(&self) -> &'static str;

    /// The function with what it must know of its operands' values, where the results' shapes depend on them; `None` where they do
    /// not.
    fn with_values(&self, _operands: &[Tensor]) -> Result<Option<Arc<dyn Function>>> {
        Ok(None)
    }

    /// How many of the first operands are not what the caller gave (a random function's key): errors do not show them.
    fn hidden(&self) -> usize {
        0
    }

    /// The computation: the results' formulas from those of the operands. An error says what was expected.
    fn build<'s, 'b>(
        &self,
        scope: &'s Scope<'b>,
        operands: &[Operand<'s, 'b>],
    ) -> Result<Vec<Formula<'s, 'b>>, TypeError>;
}

/// An operand within a function: a formula, and how its dtype is promoted.
#[derive(Clone, Copy)]
pub struct Operand<'s, 'b> {
    /// The formula.
    pub tensor: Formula<'s, 'b>,
    /// Its dtype in promotions.
    pub kind: Kind,
}

impl<'s, 'b> Deref for Operand<'s, 'b> {
    type Target = Formula<'s, 'b>;
    fn deref(&self) -> &Formula<'s, 'b> {
        &self.tensor
    }
}

/// What a function's body may give: a formula, several, or a result of them.
pub trait IntoResults<'s, 'b> {
    /// The results in order.
    fn into_results(self) -> Result<Vec<Formula<'s, 'b>>, TypeError>;
}

impl<'s, 'b> IntoResults<'s, 'b> for Formula<'s, 'b> {
    fn into_results(self) -> Result<Vec<Formula<'s, 'b>>, TypeError> {
        Ok(vec![self])
    }
}

impl<'s, 'b, const N: usize> IntoResults<'s, 'b> for [Formula<'s, 'b>; N] {
    fn into_results(self) -> Result<Vec<Formula<'s, 'b>>, TypeError> {
        Ok(self.to_vec())
    }
}

impl<'s, 'b> IntoResults<'s, 'b> for Vec<Formula<'s, 'b>> {
    fn into_results(self) -> Result<Vec<Formula<'s, 'b>>, TypeError> {
        Ok(self)
    }
}

impl<'s, 'b, T: IntoResults<'s, 'b>> IntoResults<'s, 'b> for Result<T, TypeError> {
    fn into_results(self) -> Result<Vec<Formula<'s, 'b>>, TypeError> {
        self?.into_results()
    }
}

/// Adds a function's ops to a graph; the results' values.
pub(super) fn add_ops(
    builder: &mut Builder,
    function: &dyn Function,
    operands: &[(Value, Kind)],
) -> Result<Vec<Value>, TypeError> {
    let values = express(builder, |scope| {
        let operands: Vec<Operand<'_, '_>> =
            operands.iter().map(|&(value, kind)| Operand { tensor: scope.tensor(value), kind }).collect();
        let results = function.build(scope, &operands)?;
        Ok(results.into_iter().map(Formula::value).collect::<Vec<Value>>())
    });
    values?
}

/// The types of a function's results, found on a graph that is thrown away.
pub(super) fn infer(
    function: &dyn Function,
    operands: &[Tensor],
    place: &'static Location<'static>,
) -> Result<Vec<TensorType>> {
    let types: Vec<TensorType> = operands.iter().map(Tensor::result_type).collect::<Result<_>>()?;
    try_infer(function, operands, &types).map_err(|error| {
        let given: Vec<String> = types.iter().skip(function.hidden()).map(type_text).collect();
        let given = if given.is_empty() { String::new() } else { format!(" got {}:", given.join(" and ")) };
        Error::model(format!("`ops::{}`:{given} {}", function.name(), error.message)).at((place.file(), place.line()))
    })
}

fn try_infer(function: &dyn Function, operands: &[Tensor], types: &[TensorType]) -> Result<Vec<TensorType>, TypeError> {
    let mut builder = Builder::new();
    // a value for what stands in for a formula after an error
    builder.constant(Literal::scalar(DType::Bool, 0i64))?;
    let mut values = Vec::with_capacity(operands.len());
    for (operand, ty) in operands.iter().zip(types) {
        let value = match &operand.node.source {
            Source::Number(number) => builder.constant(number.beside(types))?,
            _ => builder.parameter("operand", ty.clone())?,
        };
        values.push((value, operand.kind(builder.tensor_type(value).dtype)));
    }
    let results = add_ops(&mut builder, function, &values)?;
    Ok(results.into_iter().map(|value| builder.tensor_type(value).clone()).collect())
}
