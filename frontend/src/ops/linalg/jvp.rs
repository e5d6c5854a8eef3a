//! Derivatives in a direction.

use super::super::control::{Inlined, captured};
use super::super::function::{Function, Operand};
use super::super::structure::{Structure, flat, rebuilt};
use super::super::tensor::Tensor;
use crate::{Error, Result};
use kc_ir::tensor::ops::{Gradient, StopGradient};
use kc_ir::tensor::{Scope, Tensor as Formula, TypeError, Value};
use std::panic::Location;
use std::sync::Arc;

/// What a function gives at `primals`, and how that changes as the primals move along `tangents`: `J t` with the Jacobian `J`.
///
/// The gradient of `sum(u f(x))` by `x` is `J^T u`, which is linear in `u`; the gradient of `sum(t J^T u)` by `u` is `J t`.
///
/// # Errors
/// Where the tangents differ from the primals in their types, or the function's tensors are wrong.
#[track_caller]
pub fn jvp<X: Structure, Y: Structure>(fun: impl FnOnce(X) -> Y, primals: X, tangents: X) -> Result<(Y, Y)> {
    let place = Location::caller();
    let (inlined, outputs) = Inlined::trace(fun, &primals)?;
    let (points, directions) = (inlined.arguments(&primals)?, inlined.arguments(&tangents)?);
    for (point, direction) in points.iter().zip(&directions) {
        if point.result_type()? != direction.result_type()? {
            return Err(Error::model(format!("`ops::jvp`: the tangent {direction:?} has another type than {point:?}")));
        }
    }
    if points.len() != directions.len() {
        return Err(Error::model("`ops::jvp`: expected as many tangents as primals"));
    }
    let count = points.len();
    let outside = captured(&inlined);
    let operands = [points, directions, outside].concat();
    let results = Tensor::calls(Arc::new(Jvp { inlined, count }), operands, place);
    results.iter().try_for_each(|result| result.result_type().map(|_| ()))?;
    let (values, derivatives) = results.split_at(flat(&outputs).len());
    Ok((rebuilt(&outputs, values.to_vec()), rebuilt(&outputs, derivatives.to_vec())))
}

/// The function of [`jvp`]: operands are the primals, the tangents, and what it reads from outside.
#[derive(Debug)]
struct Jvp {
    inlined: Inlined,
    count: usize,
}

impl Function for Jvp {
    fn name(&self) -> &'static str {
        "jvp"
    }

    fn class(&self) -> &'static str {
        "JVP"
    }

    fn build<'s, 'b>(
        &self,
        scope: &'s Scope<'b>,
        operands: &[Operand<'s, 'b>],
    ) -> std::result::Result<Vec<Formula<'s, 'b>>, TypeError> {
        let (points, rest) = operands.split_at(self.count);
        let (directions, outside) = rest.split_at(self.count);
        // what the derivatives are by must be values of their own: equal ones differ by the zeros that are added
        let own = |(index, point): (usize, &Operand<'s, 'b>)| {
            let equal = points[..index].iter().filter(|other| other.value() == point.value()).count();
            (0..=equal).fold(point.tensor, |x, _| x + point.zeros_like())
        };
        let points: Vec<Formula<'s, 'b>> = points.iter().enumerate().map(own).collect();
        let values = |formulas: &[Formula<'s, 'b>]| formulas.iter().map(|x| x.value()).collect::<Vec<Value>>();
        let outside: Vec<Value> = outside.iter().map(|operand| operand.value()).collect();
        let at = values(&points);
        let outputs = scope.with_builder(|builder| self.inlined.build(builder, "jvp", &at, &outside))?;
        let outputs: Vec<Formula<'s, 'b>> = outputs.into_iter().map(|value| scope.tensor(value)).collect();
        // the pullback is linear in the weights, so their values do not matter, only that each is a value of its own
        let weight = |(index, output): (usize, &Formula<'s, 'b>)| {
            scope.op(StopGradient {}, &[output.number(index as f64).broadcast_to(&output.shape())])
        };
        let weights: Vec<Formula<'s, 'b>> = outputs.iter().enumerate().map(weight).collect();
        let sum = |pairs: Vec<Formula<'s, 'b>>| pairs.into_iter().reduce(|a, b| a + b);
        let weighted = sum(outputs.iter().zip(&weights).map(|(&y, &u)| (y * u).sum_all()).collect());
        let weighted = weighted.ok_or_else(|| TypeError::new("jvp", "expected a function of at least one tensor"))?;
        let pulled = gradients(weighted, &points)?;
        let turned = sum(pulled.iter().zip(directions).map(|(&p, t)| (p * t.tensor).sum_all()).collect());
        let turned = turned.ok_or_else(|| TypeError::new("jvp", "expected at least one primal"))?;
        let derivatives = gradients(turned, &weights)?;
        Ok([outputs, derivatives].concat())
    }
}

/// The derivatives of a scalar.
fn gradients<'s, 'b>(
    of: Formula<'s, 'b>,
    by: &[Formula<'s, 'b>],
) -> std::result::Result<Vec<Formula<'s, 'b>>, TypeError> {
    let scope = of.scope();
    let operands: Vec<Value> = std::iter::once(of).chain(by.iter().copied()).map(|x| x.value()).collect();
    let values = scope.with_builder(|builder| {
        let tuple = builder.add(Gradient {}, &operands)?;
        (0..by.len())
            .map(|index| builder.add(kc_ir::tensor::ops::Projection { index }, &[tuple]))
            .collect::<std::result::Result<Vec<Value>, TypeError>>()
    })?;
    Ok(values.into_iter().map(|value| scope.tensor(value)).collect())
}
