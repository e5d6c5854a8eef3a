//! Functions with a derivative of their own.

use super::build::{Known, address};
use super::control::{Reads, Traced, captures, failed, parameters, results_of, solid};
use super::function::{Function, Operand};
use super::structure::{Structure, flat, rebuilt};
use super::tensor::Tensor;
use crate::{Error, Result};
use kc_ir::tensor::{Builder, Scope, Tensor as Formula, TypeError, Value};
use std::collections::HashSet;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

const NAME: &str = "custom_gradient";

/// A function with a derivative of its own. `f` gives the output and the pullback: of the cotangents of the output, a structure like it,
/// that gives the derivative by each argument, of its dtype and shape. What stands there for an argument that is no floating-point
/// tensor is not read.
///
/// The pullback may read what `f` computes. What both read from outside has no derivative.
///
/// ```
/// use kc::ops::{self, Tensor};
///
/// let log1pexp = ops::custom_gradient(|x: Tensor| {
///     let e: Tensor = ops::exp(x).into();
///     (ops::log(&e + 1).into(), move |upstream: Tensor| upstream * (1 - 1 / (e + 1)))
/// });
/// let (value, derivative): (Tensor, Tensor) = ops::jvp(log1pexp, Tensor::from([0.0]), Tensor::from([1.0]))?;
/// assert_eq!(ops::evaluate(&[derivative])?[0].as_slice::<f32>()?, [0.5]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[track_caller]
pub fn custom_gradient<X: Structure, Y: Structure, G: FnOnce(Y) -> X>(f: impl Fn(X) -> (Y, G)) -> impl Fn(X) -> Y {
    let place = Location::caller();
    move |arguments| {
        let operands = match solid(&arguments) {
            Ok(operands) => operands,
            Err(error) => return failed(&f(arguments).0, &error),
        };
        let parameters = match parameters(&operands) {
            Ok(parameters) => parameters,
            Err(error) => return failed(&f(arguments).0, &error),
        };
        let (output, pullback) = f(rebuilt(&arguments, parameters.clone()));
        match call(&output, pullback, operands, parameters, place) {
            Ok(results) => rebuilt(&output, results),
            Err(error) => failed(&output, &error),
        }
    }
}

fn call<X: Structure, Y: Structure>(
    output: &Y,
    pullback: impl FnOnce(Y) -> X,
    operands: Vec<Tensor>,
    arguments: Vec<Tensor>,
    place: &'static Location<'static>,
) -> Result<Vec<Tensor>> {
    let results = solid(output)?;
    let cotangents = parameters(&results)?;
    let given = flat(&pullback(rebuilt(output, cotangents.clone())));
    if given.len() != arguments.len() {
        let message = format!("the pullback gives {} derivatives, expected {}", given.len(), arguments.len());
        return Err(Error::model(format!("`ops::{NAME}`: {message}")));
    }
    let mut derivatives = Vec::with_capacity(given.len());
    for (derivative, argument) in solid(&given)?.into_iter().zip(&arguments) {
        let is_float = argument.result_type()?.dtype.is_float();
        derivatives.push(if is_float { derivative } else { super::zeros_like(argument).into() });
    }
    let count = results.len();
    let mut value = Traced { parameters: arguments, results };
    let pullback = Traced { parameters: cotangents, results: derivatives };
    let outside = captures(&[value.clone(), pullback.clone()], Reads::Computed);
    let known: HashSet<_> = outside.iter().map(address).collect();
    let mut residuals = captures(std::slice::from_ref(&pullback), Reads::Computed);
    residuals.retain(|tensor| !known.contains(&address(tensor)));
    value.results.extend(residuals.iter().cloned());
    let operands = operands.into_iter().chain(outside.iter().cloned()).collect();
    let function = CustomGradient { value, count, residuals, pullback, outside };
    let results = Tensor::calls(Arc::new(function), operands, place);
    results.iter().try_for_each(|result| result.result_type().map(|_| ()))?;
    Ok(results)
}

/// The function of [`custom_gradient`]: operands are the arguments, then what it reads from outside.
struct CustomGradient {
    /// Of the arguments, the results and residuals.
    value: Traced,
    /// Number of results.
    count: usize,
    /// What the pullback reads of the value's computation: each node once, with all its results.
    residuals: Vec<Tensor>,
    /// Of the cotangents, the derivatives.
    pullback: Traced,
    /// What both read from outside.
    outside: Vec<Tensor>,
}

impl fmt::Debug for CustomGradient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{NAME} of {} tensors", self.value.parameters.len())
    }
}

/// What is known together with the values of a region's parameters.
fn with_parameters(known: &Known, region: &Traced, values: &[Value]) -> Known {
    let mut known = known.clone();
    known.extend(region.parameters.iter().map(address).zip(values.iter().map(|&value| vec![value])));
    known
}

/// Adds the values of nodes, each with all its results.
fn add_values(known: &mut Known, tensors: &[Tensor], values: &[Value]) {
    for (tensor, &value) in tensors.iter().zip(values) {
        known.entry(address(tensor)).or_default().push(value);
    }
}

impl Function for CustomGradient {
    fn name(&self) -> &'static str {
        NAME
    }

    fn class(&self) -> &'static str {
        "CustomGradient"
    }

    fn build<'s, 'b>(
        &self,
        scope: &'s Scope<'b>,
        operands: &[Operand<'s, 'b>],
    ) -> std::result::Result<Vec<Formula<'s, 'b>>, TypeError> {
        let values: Vec<Value> = operands.iter().map(|operand| operand.value()).collect();
        let (arguments, outside) = values.split_at(values.len() - self.outside.len());
        let mut known = Known::new();
        add_values(&mut known, &self.outside, outside);
        let value = |builder: &mut Builder, arguments: &[Value]| {
            let mut known = with_parameters(&known, &self.value, arguments);
            let mut results = results_of(builder, NAME, &self.value, &mut known)?;
            let residuals = results.split_off(self.count);
            Ok::<_, TypeError>((results, residuals))
        };
        let pullback = |builder: &mut Builder, residuals: &[Value], cotangents: &[Value]| {
            let mut known = with_parameters(&known, &self.pullback, cotangents);
            add_values(&mut known, &self.residuals, residuals);
            results_of(builder, NAME, &self.pullback, &mut known)
        };
        let results = scope.with_builder(|builder| builder.custom_gradient(arguments, value, pullback))?;
        Ok(results.into_iter().map(|value| scope.tensor(value)).collect())
    }
}
