//! Running combinations in logarithmically many steps.

use super::arguments;
use super::structure::{Structure, flat, rebuilt};
use super::tensor::Tensor;
use super::{Index, Indices, concatenate, flip, get_item, reshape, stack};
use crate::{Error, Result};
use kc_ir::Dim;
use kc_ir::tensor::{Halves, combined_in_halves};

/// A scan by an associative function that can still be given its optional arguments: `ops::associative_scan(..).axis(1).results()`.
#[must_use]
pub struct AssociativeScan<F, S> {
    combine: F,
    elems: S,
    reverse: bool,
    axis: i64,
}

/// For each element along an axis the combination of it and all before: `f(f(e0, e1), e2)`. The function is associative, and gets
/// many elements at once, along that axis: `.results()`.
pub fn associative_scan<S: Structure, F: Fn(S, S) -> S>(f: F, elems: S) -> AssociativeScan<F, S> {
    AssociativeScan { combine: f, elems, reverse: false, axis: 0 }
}

impl<S: Structure, F: Fn(S, S) -> S> AssociativeScan<F, S> {
    /// Whether it goes from the last element to the first (default: no).
    pub fn reverse(mut self, reverse: bool) -> Self {
        self.reverse = reverse;
        self
    }

    /// The axis (default: 0).
    pub fn axis(mut self, axis: i64) -> Self {
        self.axis = axis;
        self
    }

    /// The combinations.
    ///
    /// # Errors
    /// Where the tensors do not have the same known extent along the axis.
    pub fn results(self) -> Result<S> {
        let mut elems = flat(&self.elems);
        let mut along = Vec::with_capacity(elems.len());
        for tensor in &elems {
            let ty = tensor.result_type()?;
            let wrong = |message: String| Error::model(format!("`ops::associative_scan`: {message}"));
            let axis = arguments::axis(self.axis, ty.rank()).map_err(|error| wrong(error.message))?;
            match ty.shape[axis].as_constant() {
                Some(extent) => along.push((axis, extent)),
                None => return Err(wrong(format!("axis {axis} of {tensor:?} must have a known extent"))),
            }
        }
        let Some(&(axis, extent)) = along.first() else { return Ok(self.elems) };
        if along.iter().any(|other| *other != (axis, extent)) {
            return Err(Error::model("`ops::associative_scan`: the tensors differ in their extent along the axis"));
        }
        if self.reverse {
            elems = elems.iter().map(|tensor| flip(tensor).axis(axis as i64).into()).collect();
        }
        let combine = |a: &[Tensor], b: &[Tensor]| {
            let all = (self.combine)(rebuilt(&self.elems, a.to_vec()), rebuilt(&self.elems, b.to_vec()));
            flat(&all)
        };
        let mut results = combined_in_halves(&mut Expressions { axis, combine }, &elems, extent)?;
        if self.reverse {
            results = results.iter().map(|tensor| flip(tensor).axis(axis as i64).into()).collect();
        }
        results.iter().try_for_each(|result| result.result_type().map(|_| ()))?;
        Ok(rebuilt(&self.elems, results))
    }
}

/// Expressions with what combines them along an axis.
struct Expressions<F> {
    axis: usize,
    combine: F,
}

impl<F: Fn(&[Tensor], &[Tensor]) -> Vec<Tensor>> Halves for Expressions<F> {
    type Tensor = Tensor;
    type Error = Error;

    fn part(&mut self, of: &[Tensor], start: i64, limit: i64, stride: i64) -> Result<Vec<Tensor>> {
        let mut key = vec![Index::from(..); self.axis];
        key.push(Index::Range { start: Some(start), stop: Some(limit), step: stride });
        Ok(of.iter().map(|tensor| get_item(tensor, Indices::from(key.clone()))).collect())
    }

    fn joined(&mut self, first: &[Tensor], second: &[Tensor]) -> Result<Vec<Tensor>> {
        let axis = self.axis as i64;
        Ok(first.iter().zip(second).map(|(a, b)| concatenate([a, b]).axis(axis).into()).collect())
    }

    fn woven(&mut self, even: &[Tensor], odd: &[Tensor], extent: i64) -> Result<Vec<Tensor>> {
        let pairs = even.iter().zip(odd).map(|(even, odd)| {
            let mut shape: Vec<Dim> = even.result_type()?.shape;
            shape[self.axis] = Dim::constant(2 * extent);
            Ok(reshape(stack([even, odd]).axis(self.axis as i64 + 1), shape))
        });
        pairs.collect()
    }

    fn combine(&mut self, first: &[Tensor], second: &[Tensor]) -> Result<Vec<Tensor>> {
        Ok((self.combine)(first, second))
    }
}
