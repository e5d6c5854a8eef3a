//! Averages, correlations, counts.

use super::arguments::{Axes, axis as counted, wrong};
use super::build::literal;
use super::call::Call;
use super::declare::functions;
use super::formulas::{flat, iota, is_nan, slice};
use super::function::{Function, Operand};
use super::host::concrete;
use super::promotion::{FLOAT, float, promote, result_type};
use super::reduction::reduce;
use super::tensor::Tensor;
use crate::Error;
use kc_ir::tensor::ops::Reduction;
use kc_ir::tensor::{Scope, Tensor as Formula, TypeError};
use kc_ir::{DType, Dim};
use std::sync::Arc;

functions! {
    /// The weighted mean over axes: `sum(x * weights) / sum(weights)`.
    average Average(x) {
        /// The reduced axes (default: all).
        axis: Axes = Axes::All,
    } = |_, operands| {
        let dtype = result_type(operands.iter().map(|operand| operand.kind).chain([FLOAT]));
        let x = operands.first().ok_or_else(|| wrong("expected a tensor"))?.convert(dtype);
        let shape = x.shape();
        let axes = axis.of_rank(shape.len())?;
        let Some(weights) = operands.get(1) else {
            return Ok(vec![super::reduction::mean_of(x, &axes, false)]);
        };
        let mut weights = weights.convert(dtype);
        if weights.shape() != shape {
            let own: Vec<Dim> = axes.iter().map(|&axis| shape[axis].clone()).collect();
            if weights.shape() != own || axis == Axes::All {
                return Err(wrong(format!(
                    "the weights' shape is {}, expected that of `x` or of its averaged axes",
                    crate::shape_text(&weights.shape())
                )));
            }
            weights = weights.broadcast(&shape, &axes);
        }
        Ok((x * weights).reduce(Reduction::Sum, &axes) / weights.reduce(Reduction::Sum, &axes))
    };
    /// The correlation coefficients of a matrix' rows.
    corrcoef Corrcoef(x) = |_, &[x]| {
        let x = float(x);
        let shape = x.shape();
        let rows = match shape.len() {
            1 => x.reshape(&[Dim::constant(1), shape[0].clone()]),
            2 => x,
            rank => return Err(wrong(format!("it has {rank} axes, expected 1 or 2"))),
        };
        let centred = rows - rows.mean_keep(&[1]);
        let products = super::contraction::contract(centred, centred, vec![1], vec![1])?;
        let covariance = products / (centred.count(&[1]) - 1.0);
        let square = covariance.shape();
        let deviations = super::movement::diagonal_of(covariance, 0, 0, 1)?.sqrt();
        let scaled = covariance / deviations.broadcast(&square, &[0]) / deviations.broadcast(&square, &[1]);
        let result = scaled.maximum(-1.0).minimum(1.0);
        if shape.len() == 1 { result.reshape(&[]) } else { result }
    };
    /// The integral along an axis by the trapezoidal rule.
    trapezoid Trapezoid(y) {
        /// The distance of the points (default: 1).
        dx: f64 = 1.0,
        /// The axis (default: the last).
        axis: i64 = -1,
    } = |_, operands| {
        let first = operands.first().ok_or_else(|| wrong("expected a tensor"))?;
        let axis = counted(axis, first.shape().len())?;
        let dtype = result_type(operands.iter().map(|operand| operand.kind).chain([FLOAT]));
        let pairs = |x: Formula<'s, 'b>, axis: usize| {
            let extent = x.shape()[axis].clone();
            [slice(x, axis, 1i64, extent.clone(), 1), slice(x, axis, 0i64, extent - Dim::constant(1), 1)]
        };
        let y = first.convert(dtype);
        let [next, last] = pairs(y, axis);
        let heights = (next + last) * 0.5;
        let areas = match operands.get(1) {
            None => heights * dx,
            Some(x) => {
                let x = x.convert(dtype);
                let along = if x.shape().len() == 1 { 0 } else { axis };
                let [next, last] = pairs(x, along);
                let width = next - last;
                let places = if along == axis && width.shape().len() == y.shape().len() {
                    (0..y.shape().len()).collect()
                } else {
                    vec![axis]
                };
                heights * width.broadcast(&heights.shape(), &places)
            }
        };
        Ok(areas.reduce(Reduction::Sum, &[axis]))
    };
    /// For each value the position in a sorted vector where it would be inserted; `int32`.
    searchsorted Searchsorted(sorted_sequence, values) {
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
        let count = bins.shape().first().cloned().unwrap_or_default();
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

/// For each value the number of a vector's elements for which a relation holds.
fn count_where<'s, 'b>(
    sorted: Formula<'s, 'b>,
    values: Formula<'s, 'b>,
    relation: impl FnOnce(Formula<'s, 'b>, Formula<'s, 'b>) -> Formula<'s, 'b>,
) -> Result<Formula<'s, 'b>, TypeError> {
    let shape = values.shape();
    let [extent] = &sorted.shape()[..] else {
        return Err(wrong(format!("the sorted sequence has {} axes, expected 1", sorted.shape().len())));
    };
    let rank = shape.len();
    let pairs = [&shape[..], std::slice::from_ref(extent)].concat();
    let own: Vec<usize> = (0..rank).collect();
    let values = values.broadcast(&pairs, &own);
    let sorted = sorted.broadcast(&pairs, &[rank]);
    Ok(relation(sorted, values).convert(DType::I32).reduce(Reduction::Sum, &[rank]))
}

impl Call<Average> {
    /// The weights: of the shape of `x`, or of the averaged axes (default: all 1).
    pub fn weights(mut self, weights: impl Into<Tensor>) -> Self {
        self.operands.truncate(1);
        self.operands.push(weights.into());
        self
    }
}

impl Call<Trapezoid> {
    /// The points: a vector, or of the shape of `y` (default: at distances `dx`).
    pub fn x(mut self, x: impl Into<Tensor>) -> Self {
        self.operands.truncate(1);
        self.operands.push(x.into());
        self
    }
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
        let count = x.shape()[0].clone();
        let pairs = [Dim::constant(bins), count];
        let [below, above] = [slice(ends, 0, 0i64, bins, 1), slice(ends, 0, 1i64, bins + 1, 1)]
            .map(|end| end.broadcast(&pairs, &[0]));
        let x = x.broadcast(&pairs, &[1]);
        let is_last = super::formulas::iota(scope, DType::I32, &pairs, 0).equal(bins - 1);
        let inside = x.greater_equal(below).and(x.less(above).or(is_last.and(x.equal(above))));
        [inside.convert(x.ty().dtype).reduce(Reduction::Sum, &[1]), ends]
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
        let Some(x) = operands.first() else { return Ok(None) };
        let values = literal(&concrete(self.name(), x)?)?;
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
        let counts = [&shape[..], &[Dim::constant(self.minlength)]].concat();
        let own: Vec<usize> = (0..rank).collect();
        let number = iota(scope, DType::I32, &counts, rank);
        let hits = x.convert(DType::I32).broadcast(&counts, &own).equal(number);
        let hits = match operands.get(1) {
            None => hits.convert(DType::I32),
            Some(weights) if weights.shape() == shape => {
                let weights = weights.broadcast(&counts, &own);
                hits.select(weights, weights.zeros_like())
            }
            Some(weights) => return Err(wrong(format!("the weights are {}, expected the shape of `x`", weights.ty()))),
        };
        Ok(vec![hits.reduce(Reduction::Sum, &[rank - 1])])
    }
}
