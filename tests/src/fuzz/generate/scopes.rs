//! Scopes that derivatives treat otherwise, and running combinations.

use super::{Generator, Made};
use kc_ir::TensorType;
use kc_ir::tensor::ops::*;
use kc_ir::tensor::{AssociativeScanOptions, Builder, TypeError, Value};

impl Generator {
    /// Any ops in a region that derivatives compute again; all its results but the returned one go to the pool.
    pub(super) fn remat(&mut self) -> Made {
        let open = self.builder.begin_region(&[]);
        let made = self.inside(&[], 4);
        let count = 1 + self.random.below(2);
        let results: Vec<Value> = made.into_iter().rev().take(count).collect();
        let traced = self.builder.end_region(open, &results)?;
        if results.is_empty() {
            return Ok(None);
        }
        let mut values = self.builder.remat_of(&traced)?;
        let value = values.pop();
        self.pool.extend(values);
        Ok(value)
    }

    /// A function with any derivative, which reads what the function gives it, the cotangents and perhaps another value.
    pub(super) fn custom_gradient(&mut self) -> Made {
        let Some(x) = self.any_float() else { return Ok(None) };
        let ty = self.ty(x);
        let arguments = if self.random.chance(50) { vec![x] } else { vec![x, self.of_type(&ty)?] };
        let read = self.of_type(&ty)?;
        let types = vec![ty.clone(); arguments.len()];
        let open = self.builder.begin_region(&types);
        let mut known = open.parameters().to_vec();
        if self.random.chance(30) {
            known.push(read);
        }
        let made = self.body(&mut known, &ty);
        let count = 1 + self.random.below(2);
        let kept = 1 + self.random.below(2);
        let results: Vec<Value> = (0..count + kept).map(|_| self.random.pick(&known)).collect();
        let value = self.builder.end_region(open, &results)?;
        made?;
        let open = self.builder.begin_region(&vec![ty.clone(); kept + count]);
        let mut known = open.parameters().to_vec();
        if self.random.chance(30) {
            known.push(read);
        }
        let made = self.body(&mut known, &ty);
        let cotangents: Vec<Value> = arguments.iter().map(|_| self.random.pick(&known)).collect();
        let pullback = self.builder.end_region(open, &cotangents)?;
        made?;
        let mut values = self.builder.custom_gradient_of(&arguments, count, &value, pullback)?;
        let value = values.pop();
        self.pool.extend(values);
        Ok(value)
    }

    /// What is not taken for what it is of, or has no derivative.
    pub(super) fn barrier(&mut self) -> Made {
        let x = self.any();
        if self.random.chance(50) {
            return self.builder.add(StopGradient {}, &[x]).map(Some);
        }
        let operands = if self.random.chance(50) { vec![x] } else { vec![x, self.any()] };
        let barrier = self.builder.add(OptimizationBarrier {}, &operands)?;
        let parts = self.builder.projections(barrier)?;
        Ok(Some(self.random.pick(&parts)))
    }

    /// Running combinations by a function of one tensor, or of the factors and summands of a linear recurrence.
    pub(super) fn associative_scan(&mut self) -> Made {
        let Some(x) = self.any_where(|ty| ty.rank() > 0 && ty.dtype != kc_ir::DType::Bool) else { return Ok(None) };
        let ty = self.ty(x);
        let options = AssociativeScanOptions { axis: self.random.below(ty.rank()), reverse: self.random.chance(40) };
        if self.random.chance(60) {
            let short = ty.shape[options.axis].as_constant().is_some_and(|extent| extent < 10);
            let last = if short { Binary::Multiply } else { Binary::Add };
            let function = self.random.pick(&[Binary::Add, Binary::Maximum, Binary::Minimum, last]);
            let mut combine = |b: &mut Builder, before: &[Value], after: &[Value]| {
                b.binary(function, before[0], after[0]).map(|value| vec![value])
            };
            return Ok(self.builder.associative_scan::<TypeError>(&[x], &options, &mut combine)?.pop());
        }
        let addend = self.of_type(&ty)?;
        let mut combine = |b: &mut Builder, before: &[Value], after: &[Value]| {
            let factor = b.binary(Binary::Multiply, before[0], after[0])?;
            let scaled = b.binary(Binary::Multiply, before[1], after[0])?;
            Ok(vec![factor, b.binary(Binary::Add, scaled, after[1])?])
        };
        Ok(self.builder.associative_scan::<TypeError>(&[x, addend], &options, &mut combine)?.pop())
    }

    /// Adds some ops of any kind to the region that was begun last, which has these parameters: the values that they made.
    pub(super) fn inside(&mut self, parameters: &[Value], most: usize) -> Vec<Value> {
        let outer = self.pool.clone();
        self.depth += 1;
        self.pool.extend(parameters);
        let start = self.pool.len();
        let wanted = 1 + self.random.below(most);
        self.grow(start + wanted, 4 * wanted);
        let parameters_of_graph = self.builder.graph().parameters.clone();
        let made = self.pool.split_off(start);
        self.pool = outer;
        self.depth -= 1;
        // what a value of the region needs may be an argument of the whole graph
        let (arguments, made): (Vec<Value>, Vec<Value>) =
            made.into_iter().partition(|value| parameters_of_graph.contains(value));
        self.pool.extend(arguments);
        made
    }

    /// A value of that type that is as small as what is carried along: of floats a sine.
    pub(super) fn carried(&mut self, candidates: &[Value], ty: &TensorType, or: Value) -> Result<Value, TypeError> {
        let fitting: Vec<Value> = candidates.iter().copied().filter(|&value| self.ty(value) == *ty).collect();
        let value = if fitting.is_empty() { or } else { self.random.pick(&fitting) };
        if ty.dtype.is_float() { self.builder.unary(Unary::Sin, value) } else { Ok(value) }
    }
}
