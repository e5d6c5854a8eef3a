//! Functions that derivatives compute again.

use super::control::{Inlined, captured, failed};
use super::function::{Function, Operand};
use super::structure::{Structure, rebuilt};
use super::tensor::Tensor;
use crate::Result;
use kc_ir::tensor::{Builder, Scope, Tensor as Formula, TypeError, Value};
use std::panic::Location;
use std::sync::Arc;

/// The same function, of which a derivative keeps the arguments only and computes what is between again: less memory for more work.
/// `keras.remat`.
///
/// ```
/// use kc::ops::{self, Tensor};
///
/// let f = kc::remat(|x: Tensor| -> Tensor { ops::exp(ops::sin(x)).into() });
/// let (value, derivative): (Tensor, Tensor) = ops::jvp(f, Tensor::from([0.0]), Tensor::from([1.0]))?;
/// assert_eq!(ops::evaluate(&[derivative])?[0].as_slice::<f32>()?, [1.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[track_caller]
pub fn remat<X: Structure, Y: Structure>(f: impl Fn(X) -> Y) -> impl Fn(X) -> Y {
    let place = Location::caller();
    move |arguments| match call(&f, &arguments, place) {
        Ok(output) => output,
        Err(error) => failed(&f(arguments), &error),
    }
}

fn call<X: Structure, Y: Structure>(
    f: impl FnOnce(X) -> Y,
    arguments: &X,
    place: &'static Location<'static>,
) -> Result<Y> {
    let (inlined, output) = Inlined::trace(f, arguments)?;
    let arguments = inlined.arguments(arguments)?;
    let count = arguments.len();
    let operands = [arguments, captured(&inlined)].concat();
    let results = Tensor::calls(Arc::new(Remat { inlined, count }), operands, place);
    results.iter().try_for_each(|result| result.result_type().map(|_| ()))?;
    Ok(rebuilt(&output, results))
}

/// The function of [`remat`]: operands are the arguments, then what it reads from outside.
#[derive(Debug)]
struct Remat {
    inlined: Inlined,
    count: usize,
}

impl Function for Remat {
    fn name(&self) -> &'static str {
        "remat"
    }

    fn class(&self) -> &'static str {
        "Remat"
    }

    fn build<'s, 'b>(
        &self,
        scope: &'s Scope<'b>,
        operands: &[Operand<'s, 'b>],
    ) -> std::result::Result<Vec<Formula<'s, 'b>>, TypeError> {
        let values: Vec<Value> = operands.iter().map(|operand| operand.value()).collect();
        let (arguments, outside) = values.split_at(self.count);
        let body = |builder: &mut Builder| self.inlined.build(builder, self.name(), arguments, outside);
        let results = scope.with_builder(|builder| builder.remat(body))?;
        Ok(results.into_iter().map(|value| scope.tensor(value)).collect())
    }
}
