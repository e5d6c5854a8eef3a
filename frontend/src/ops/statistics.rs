//! Averages, correlations, integrals.

use super::arguments::{Axes, axis as counted, wrong};
use super::call::Call;
use super::declare::functions;
use super::formulas::slice;
use super::promotion::{FLOAT, float, result_type};
use super::tensor::Tensor;
use kc_ir::Dim;
use kc_ir::tensor::Tensor as Formula;
use kc_ir::tensor::ops::Reduction;

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
                let is_vector = x.shape().len() == 1;
                if !is_vector && x.shape() != y.shape() {
                    return Err(wrong(format!("the points are {}, expected a vector or the shape of `y`", x.ty())));
                }
                let along = if is_vector { 0 } else { axis };
                let [next, last] = pairs(x, along);
                let width = next - last;
                let places = if is_vector { vec![axis] } else { (0..y.shape().len()).collect() };
                heights * width.broadcast(&heights.shape(), &places)
            }
        };
        Ok(areas.reduce(Reduction::Sum, &[axis]))
    };
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
