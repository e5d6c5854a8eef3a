//! Building regions that say how their derivative is taken.

use super::TracedRegion;
use crate::tensor::ops::{CustomGradient, Remat};
use crate::tensor::{Builder, TypeError, Value};
use kc_abi::TensorType;
use std::collections::BTreeSet;

impl Builder {
    /// The results of a closure, of which a derivative keeps nothing but what it reads: the rest is computed again.
    pub fn remat<E: From<TypeError>>(
        &mut self,
        body: impl FnOnce(&mut Builder) -> Result<Vec<Value>, E>,
    ) -> Result<Vec<Value>, E> {
        let traced = self.trace_region(&[], |b, _| body(b))?;
        Ok(self.remat_of(&traced)?)
    }

    /// The `remat` op of a region without parameters.
    pub fn remat_of(&mut self, body: &TracedRegion) -> Result<Vec<Value>, TypeError> {
        let captures = body.captures().to_vec();
        let body = body.region(self, &captures)?;
        let tuple = self.add(Remat { body }, &captures)?;
        self.projections(tuple)
    }

    /// The results of a region without parameters, whose ops are added as if there had been no region.
    pub fn inline_region(&mut self, body: &TracedRegion) -> Result<Vec<Value>, TypeError> {
        let captures = body.captures().to_vec();
        let body = body.region(self, &captures)?;
        self.inline(body.graph(), &captures)
    }

    /// The results of `value`, with a derivative of its own. `value` gets the arguments and returns the results and residuals; `pullback`
    /// gets the residuals and the results' cotangents and returns a cotangent of each argument, of its type. Other values that the
    /// closures read have no derivative.
    pub fn custom_gradient<E: From<TypeError>>(
        &mut self,
        arguments: &[Value],
        value: impl FnOnce(&mut Builder, &[Value]) -> Result<(Vec<Value>, Vec<Value>), E>,
        pullback: impl FnOnce(&mut Builder, &[Value], &[Value]) -> Result<Vec<Value>, E>,
    ) -> Result<Vec<Value>, E> {
        let types: Vec<TensorType> = arguments.iter().map(|&argument| self.tensor_type(argument).clone()).collect();
        let mut count = 0;
        let value = self.trace_region(&types, |b, arguments| {
            let (mut results, residuals) = value(b, arguments)?;
            count = results.len();
            results.extend(residuals);
            Ok::<_, E>(results)
        })?;
        let all = value.result_types();
        let (results, residuals) = all.split_at(count);
        let types: Vec<TensorType> = residuals.iter().chain(results).cloned().collect();
        let pullback = self.trace_region(&types, |b, values| {
            let (residuals, cotangents) = values.split_at(values.len() - count);
            pullback(b, residuals, cotangents)
        })?;
        Ok(self.custom_gradient_of(arguments, count, &value, pullback)?)
    }

    /// The `custom_gradient` op of a region of the arguments that gives `count` results and residuals, and one of the residuals and the
    /// results' cotangents.
    pub fn custom_gradient_of(
        &mut self,
        arguments: &[Value],
        count: usize,
        value: &TracedRegion,
        mut pullback: TracedRegion,
    ) -> Result<Vec<Value>, TypeError> {
        // what the pullback reads around it is kept for it
        let read = pullback.captures().to_vec();
        let captures: BTreeSet<Value> = value.captures().iter().chain(&read).copied().collect();
        let captures: Vec<Value> = captures.into_iter().collect();
        let mut value = value.clone();
        value.results.extend(&read);
        let value = value.region(self, &captures)?;
        let residuals = pullback.parameters.len() - count.min(pullback.parameters.len());
        let cotangents = pullback.parameters.split_off(residuals);
        let read_types: Vec<(Value, TensorType)> =
            read.iter().map(|&value| (value, self.tensor_type(value).clone())).collect();
        pullback.parameters.extend(read_types);
        pullback.parameters.extend(cotangents);
        let pullback = pullback.region(self, &[])?;
        let op = CustomGradient { results: count, differentiated: arguments.len(), value, pullback };
        let operands: Vec<Value> = arguments.iter().copied().chain(captures).collect();
        let tuple = self.add(op, &operands)?;
        self.projections(tuple)
    }
}
