//! Positions in sorted vectors, and how often values occur.

use super::arguments::wrong;
use super::call::Call;
use super::declare::functions;
use super::formulas::{at, concatenate, extent_of, flat, is_nan, with_axis};
use super::function::{Function, Operand};
use super::host::first_value;
use super::promotion::{float, promote};
use super::reduction::reduce;
use super::taking::clipped;
use super::tensor::Tensor;
use crate::Error;
use kc_ir::tensor::ops::{IndexedWindows, Reduction, Scatter, ScatterKind, ScatterMode};
use kc_ir::tensor::{Scope, Tensor as Formula, TypeError};
use kc_ir::{DType, Dim};
use std::sync::Arc;

functions! {
    /// For each value the position in a sorted vector where it would be inserted; `int32`.
    searchsorted SearchSorted(sorted_sequence, values) {
        /// `"left"`: before equal elements, `"right"`: behind them (default: `"left"`).
        side: String = "left".to_string(),
    } = |_, &[sorted, values]| {
        let [sorted, values] = promote([sorted, values]);
        let is_left = match side.as_str() {
            "left" => true,
            "right" => false,
            other => return Err(wrong(format!("`side` is `{other}`, expected `left` or `right`"))),
        };
        count_where(sorted, values, |element, value| if is_left { before(element, value) } else { before(value, element).complement() })
    };
    /// For each element the number of the interval between `bins` that it is in; `int32`. Bins ascend (`bins[i-1] <= x < bins[i]`) or
    /// descend (`bins[i-1] > x >= bins[i]`).
    digitize Digitize(x, bins) = |_, &[x, bins]| {
        let [x, bins] = promote([x, bins]);
        let [count] = &bins.shape()[..] else { return Err(wrong("the bins are no vector")) };
        let count = count.clone();
        if count.is(0) {
            return Ok(vec![x.zeros_like().convert(DType::I32)]);
        }
        let ascending = count_where(bins, x, |bin, x| before(x, bin).complement())?;
        let descending = count_where(bins, x, |bin, x| before(x, bin))?;
        let first = super::formulas::at(bins, 0, 0i64);
        let last = super::formulas::at(bins, 0, count - Dim::constant(1));
        last.greater_equal(first).broadcast_to(&x.shape()).select(ascending, descending)
    };
}

/// `a < b` in an order in which NaN is the last.
fn before<'s, 'b>(a: Formula<'s, 'b>, b: Formula<'s, 'b>) -> Formula<'s, 'b> {
    a.less(b).or(is_nan(b).and(is_nan(a).complement()))
}

/// For each value the number of a sorted vector's elements for which a relation holds, which holds for the first ones alone.
fn count_where<'s, 'b>(
    sorted: Formula<'s, 'b>,
    values: Formula<'s, 'b>,
    relation: impl Fn(Formula<'s, 'b>, Formula<'s, 'b>) -> Formula<'s, 'b>,
) -> Result<Formula<'s, 'b>, TypeError> {
    let shape = values.shape();
    let [extent] = &sorted.shape()[..] else {
        return Err(wrong(format!("the sorted sequence has {} axes, expected 1", sorted.shape().len())));
    };
    match extent.as_constant() {
        Some(count) if count > COMPARED => Ok(search(sorted, count, values, relation)),
        _ => {
            let rank = shape.len();
            let pairs = [&shape[..], std::slice::from_ref(extent)].concat();
            let own: Vec<usize> = (0..rank).collect();
            let holds = relation(sorted.broadcast(&pairs, &[rank]), values.broadcast(&pairs, &own));
            Ok(holds.convert(DType::I32).reduce(Reduction::Sum, &[rank]))
        }
    }
}

/// Up to how many elements of a sorted vector every value is compared with all of them.
const COMPARED: i64 = 16;

/// Binary search: the number of elements grows by powers of two, from the largest on.
fn search<'s, 'b>(
    sorted: Formula<'s, 'b>,
    count: i64,
    values: Formula<'s, 'b>,
    relation: impl Fn(Formula<'s, 'b>, Formula<'s, 'b>) -> Formula<'s, 'b>,
) -> Formula<'s, 'b> {
    let mut found = extent_of(values.scope(), &Dim::constant(0), DType::I32).broadcast_to(&values.shape());
    for bit in (0..=count.ilog2()).rev() {
        let more = found + (1i64 << bit);
        let holds = relation(clipped(sorted, more - 1i64, 0), values).and(more.less_equal(count));
        found = holds.select(more, found);
    }
    found
}

functions! {
    /// How many elements are in each of equal intervals, and the intervals' ends: two results, `.results()`.
    histogram Histogram(x) {
        /// The number of intervals (default: 10).
        bins: i64 = 10,
        /// The first and the last end (default: the smallest and the largest element).
        range: Option<(f64, f64)> = None,
    } = |scope, &[x]| {
        let x = flat(float(x));
        if bins < 1 {
            return Err(wrong(format!("`bins` is {bins}, expected at least 1")));
        }
        let (low, high) = match range {
            Some((low, high)) => (x.number(low), x.number(high)),
            None => {
                let (low, high) = (reduce(Reduction::Min, x, &[0], false), reduce(Reduction::Max, x, &[0], false));
                let is_point = low.equal(high);
                (is_point.select(low - 0.5, low), is_point.select(high + 0.5, high))
            }
        };
        let ends = super::creation::spaced(low, high, bins + 1, true)?.0;
        // each element counts for the interval behind the last end that is not above it; the last end belongs to the last
        // interval
        let interval = count_where(ends, x, |end, x| before(x, end).complement())? - 1i64;
        let is_last = x.equal(at(ends, 0, bins));
        let interval = is_last.select(interval.number((bins - 1) as f64), interval);
        let counts = counted_up(interval, x.zeros_like() + 1.0, bins);
        [counts, ends]
    };
}

/// How often each number from 0 on occurs in a vector of integers, or in each row of a matrix: as many counts as the largest number
/// asks for, so that `x` must be an array. With weights their sums.
#[track_caller]
pub fn bincount(x: impl Into<Tensor>) -> Call<Bincount> {
    Call::new(Bincount { minlength: 0 }, [x.into()])
}

/// The arguments of [`bincount`].
#[derive(Clone, Debug)]
pub struct Bincount {
    minlength: i64,
}

impl Call<Bincount> {
    /// The weights, of the shape of `x` (default: all 1, and the counts are `int32`).
    pub fn weights(mut self, weights: impl Into<Tensor>) -> Self {
        self.operands.truncate(1);
        self.operands.push(weights.into());
        self
    }
    /// The least number of counts (default: 0).
    pub fn minlength(mut self, minlength: i64) -> Self {
        self.function.minlength = minlength;
        self
    }
}

impl Function for Bincount {
    fn name(&self) -> &'static str {
        "bincount"
    }
    fn class(&self) -> &'static str {
        "Bincount"
    }
    fn with_values(&self, operands: &[Tensor]) -> Result<Option<Arc<dyn Function>>, Error> {
        let Some(values) = first_value(self.name(), operands)? else { return Ok(None) };
        let largest = values.scalars().map(|value| value.to_i128()).max().unwrap_or(-1);
        let needed = i64::try_from(largest + 1).unwrap_or(i64::MAX);
        Ok(Some(Arc::new(Bincount { minlength: self.minlength.max(needed) })))
    }
    fn build<'s, 'b>(
        &self,
        scope: &'s Scope<'b>,
        operands: &[Operand<'s, 'b>],
    ) -> Result<Vec<Formula<'s, 'b>>, TypeError> {
        let x = **operands.first().ok_or_else(|| wrong("expected a tensor"))?;
        let shape = x.shape();
        let rank = shape.len();
        if !x.ty().dtype.is_integer() || !(1..=2).contains(&rank) {
            return Err(wrong("expected a vector or a matrix of integers"));
        }
        let x = x.convert(DType::I32).maximum(0i64);
        let weights = match operands.get(1) {
            None => x.zeros_like() + 1i64,
            Some(weights) if weights.shape() == shape => **weights,
            Some(weights) => return Err(wrong(format!("the weights are {}, expected the shape of `x`", weights.ty()))),
        };
        if rank == 1 {
            return Ok(vec![counted_up(x, weights, self.minlength)]);
        }
        let rows = super::formulas::known_extent(&shape, 0)?;
        let row = |x: Formula<'s, 'b>, position: i64| at(x, 0, position);
        let counts: Vec<Formula<'s, 'b>> = (0..rows)
            .map(|position| with_axis(counted_up(row(x, position), row(weights, position), self.minlength), 0))
            .collect();
        if counts.is_empty() {
            return Ok(vec![weights.number(0.0).broadcast_to(&[Dim::constant(0), Dim::constant(self.minlength)])]);
        }
        Ok(vec![concatenate(scope, &counts, 0)])
    }
}

/// The sums of weights by number, of the numbers 0 up to a count; others are left out.
fn counted_up<'s, 'b>(numbers: Formula<'s, 'b>, weights: Formula<'s, 'b>, count: i64) -> Formula<'s, 'b> {
    let windows = IndexedWindows {
        offset: vec![],
        collapsed: vec![0],
        operand_batch: vec![],
        indices_batch: vec![],
        index_map: vec![0],
    };
    let scatter = Scatter { kind: ScatterKind::Add, windows, mode: ScatterMode::Drop };
    let zeros = weights.number(0.0).broadcast_to(&[Dim::constant(count)]);
    weights.scope().op(scatter, &[zeros, with_axis(numbers, 1), weights])
}
