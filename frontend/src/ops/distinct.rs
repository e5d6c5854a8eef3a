//! Functions whose results are as long as their operands' values say: of arrays they look at the values first.

use super::arguments::{Axes, wrong};
use super::call::Call;
use super::creation::Bound;
use super::formulas::{boolean, concatenate, flat, iota, known_extent, pad, slice, truth};
use super::function::{Function, Operand};
use super::host::first_value;
use super::sorting::sorted_with_positions;
use super::taking::taken;
use super::tensor::Tensor;
use crate::{Error, Result};
use kc_ir::tensor::ops::{Cumulative, IndexedWindows, Reduction, Scatter, ScatterKind, ScatterMode};
use kc_ir::tensor::{Literal, Scalar, Scope, Tensor as Formula, TypeError};
use kc_ir::{DType, Dim};
use std::sync::Arc;

/// The distinct elements in ascending order; every NaN is distinct. With `return_index` and its kin there are further results:
/// `.tensors()?`. Without `size` the operand must be an array or a function of arrays.
#[track_caller]
pub fn unique(x: impl Into<Tensor>) -> Call<Unique> {
    let function = Unique {
        sorted: true,
        return_index: false,
        return_inverse: false,
        return_counts: false,
        axis: Axes::All,
        size: None,
        fill_value: Bound::None,
    };
    Call::new(function, [x.into()])
}

/// The positions of the elements that are not zero, in row-major order: one result an axis, `.tensors()?`. The operand must be an array
/// or a function of arrays.
#[track_caller]
pub fn nonzero(x: impl Into<Tensor>) -> Call<Nonzero> {
    Call::new(Nonzero { count: None }, [x.into()])
}

/// The arguments of [`unique`].
#[derive(Clone, Debug)]
pub struct Unique {
    sorted: bool,
    return_index: bool,
    return_inverse: bool,
    return_counts: bool,
    axis: Axes,
    size: Option<i64>,
    fill_value: Bound,
}

impl Call<Unique> {
    /// Whether the elements must be in order; they always are (default: yes).
    pub fn sorted(mut self, sorted: bool) -> Self {
        self.function.sorted = sorted;
        self
    }
    /// Whether the positions of their first occurrences are a result too (default: no).
    pub fn return_index(mut self, return_index: bool) -> Self {
        self.function.return_index = return_index;
        self
    }
    /// Whether for each element of `x` its position in the result is a result too (default: no).
    pub fn return_inverse(mut self, return_inverse: bool) -> Self {
        self.function.return_inverse = return_inverse;
        self
    }
    /// Whether how often each occurs is a result too (default: no).
    pub fn return_counts(mut self, return_counts: bool) -> Self {
        self.function.return_counts = return_counts;
        self
    }
    /// How long the result is (default: as many as there are).
    pub fn size(mut self, size: i64) -> Self {
        self.function.size = Some(size);
        self
    }
    /// What the result is filled up with to its size (default: the smallest element).
    pub fn fill_value(mut self, fill_value: impl Into<Bound>) -> Self {
        self.function.fill_value = fill_value.into();
        self
    }
    /// The axis along which slices are compared: of vectors 0 or -1 alone (default: all elements in one axis).
    pub fn axis(mut self, axis: impl Into<Axes>) -> Self {
        self.function.axis = axis.into();
        self
    }
}

/// How many distinct values there are.
fn count_distinct(values: &Literal) -> i64 {
    let is_float = values.dtype().is_float();
    let mut scalars: Vec<Scalar> = values.scalars().collect();
    let order = |a: &Scalar, b: &Scalar| match (a, b) {
        (Scalar::Float(a), Scalar::Float(b)) => (a + 0.0).total_cmp(&(b + 0.0)),
        (a, b) => a.to_i128().cmp(&b.to_i128()),
    };
    scalars.sort_by(order);
    let is_nan = |scalar: &Scalar| is_float && scalar.to_f64().is_nan();
    scalars.dedup_by(|a, b| !is_nan(a) && order(a, b).is_eq());
    scalars.len() as i64
}

impl Function for Unique {
    fn name(&self) -> &'static str {
        "unique"
    }
    fn class(&self) -> &'static str {
        "Unique"
    }
    fn with_values(&self, operands: &[Tensor]) -> Result<Option<Arc<dyn Function>>, Error> {
        if self.size.is_some() {
            return Ok(None);
        }
        let Some(values) = first_value(self.name(), operands)? else { return Ok(None) };
        Ok(Some(Arc::new(Unique { size: Some(count_distinct(&values)), ..self.clone() })))
    }
    fn build<'s, 'b>(
        &self,
        scope: &'s Scope<'b>,
        operands: &[Operand<'s, 'b>],
    ) -> Result<Vec<Formula<'s, 'b>>, TypeError> {
        let x = **operands.first().ok_or_else(|| wrong("expected a tensor"))?;
        let shape = x.shape();
        if self.axis != Axes::All && (shape.len() != 1 || self.axis.of_rank(1)? != [0]) {
            return Err(wrong("slices of a tensor cannot be compared, expected a vector or no `axis`"));
        }
        let size = self.size.filter(|&size| size >= 0).ok_or_else(|| wrong("`size` is missing or negative"))?;
        let x = flat(x);
        let extent = known_extent(&x.shape(), 0)?;
        let ty = x.ty();
        if extent == 0 {
            let fill = x.number(0.0);
            return Ok(vec![pad(x, 0, 0, size, fill)]);
        }
        let [ordered, origin] = sorted_with_positions(x, 0);
        let differs = slice(ordered, 0, 1i64, extent, 1).not_equal(slice(ordered, 0, 0i64, extent - 1, 1));
        let is_first = concatenate(scope, &[boolean(scope, true, &[Dim::constant(1)]), differs], 0);
        let number = is_first.convert(DType::I32);
        let count = number.sum(&[0]);
        // where the first ones stand, then 0
        let starts = |size: i64| {
            let [_, places] = sorted_with_positions(number.number(1.0) - number, 0);
            let places = slice(places, 0, 0i64, size.min(extent), 1);
            let places = pad(places, 0, 0, (size - extent).max(0), places.number(0.0));
            iota(scope, DType::I32, &places.shape(), 0).less(count).select(places, 0.0)
        };
        let places = starts(size);
        let mut distinct = taken(ordered, places, 0);
        let fill = match &self.fill_value {
            Bound::None => None,
            Bound::Float(value) => Some(scope.scalar(ty.dtype, *value)),
            Bound::Extent(value) => {
                let value = value.as_constant().ok_or_else(|| wrong("`fill_value` must be known"))?;
                Some(scope.scalar(ty.dtype, value))
            }
        };
        if let Some(fill) = fill {
            let is_there = iota(scope, DType::I32, &distinct.shape(), 0).less(count);
            distinct = is_there.select(distinct, fill);
        }
        let mut results = vec![distinct];
        if self.return_index {
            results.push(taken(origin, places, 0));
        }
        if self.return_inverse {
            let rank = scope.op(Cumulative { kind: Reduction::Sum, axis: 0, reverse: false }, &[number]) - 1.0;
            let windows = IndexedWindows {
                offset: vec![],
                collapsed: vec![0],
                operand_batch: vec![],
                indices_batch: vec![],
                index_map: vec![0],
            };
            let scatter = Scatter { kind: ScatterKind::Set, windows, mode: ScatterMode::Drop };
            let origin = origin.reshape(&[Dim::constant(extent), Dim::constant(1)]);
            results.push(scope.op(scatter, &[rank.zeros_like(), origin, rank]).reshape(&shape));
        }
        if self.return_counts {
            let ends = starts(size + 1);
            let [start, end] = [slice(ends, 0, 0i64, size, 1), slice(ends, 0, 1i64, size + 1, 1)];
            // behind the last one the end of all
            let end = end.equal(0.0).select(end.number(extent as f64), end);
            let is_there = iota(scope, DType::I32, &start.shape(), 0).less(count);
            results.push(is_there.select(end - start, 0.0));
        }
        Ok(results)
    }
}

/// The arguments of [`nonzero`].
#[derive(Clone, Debug)]
pub struct Nonzero {
    count: Option<i64>,
}

impl Function for Nonzero {
    fn name(&self) -> &'static str {
        "nonzero"
    }
    fn class(&self) -> &'static str {
        "Nonzero"
    }
    fn with_values(&self, operands: &[Tensor]) -> Result<Option<Arc<dyn Function>>, Error> {
        let Some(values) = first_value(self.name(), operands)? else { return Ok(None) };
        let count = values.scalars().filter(|value| value.is_true()).count();
        Ok(Some(Arc::new(Nonzero { count: Some(count as i64) })))
    }
    fn build<'s, 'b>(&self, _: &'s Scope<'b>, operands: &[Operand<'s, 'b>]) -> Result<Vec<Formula<'s, 'b>>, TypeError> {
        let x = **operands.first().ok_or_else(|| wrong("expected a tensor"))?;
        let shape = x.shape();
        let count = self.count.ok_or_else(|| wrong("the number of elements that are not zero must be known"))?;
        if shape.is_empty() {
            return Err(wrong("a scalar has no positions, expected at least one axis"));
        }
        let [_, places] = sorted_with_positions(flat(truth(x)).complement().convert(DType::I32), 0);
        super::taking::unravelled(slice(places, 0, 0i64, count, 1), &shape)
    }
}
