//! Softmax and its relatives.

use super::super::arguments::{Axes, distinct};
use super::super::declare::functions;
use super::super::promotion::float;
use kc_ir::Dim;
use kc_ir::tensor::composites;
use kc_ir::tensor::{Tensor as Formula, TypeError};

functions! {
    /// `e^x / sum(e^x)` along an axis, or over several together.
    softmax Softmax(x) {
        /// The axes (default: -1).
        axis: Axes = Axes::Some(vec![-1]),
    } = |_, &[x]| over(float(x), &axis, |x, axis| x.scope().op(composites::Softmax { axis }, &[x]));
    /// `x - ln(sum(e^x))` along an axis, or over several together.
    log_softmax LogSoftmax(x) {
        /// The axes (default: -1).
        axis: Axes = Axes::Some(vec![-1]),
    } = |_, &[x]| over(float(x), &axis, |x, axis| x.scope().op(composites::LogSoftmax { axis }, &[x]));
    /// Keras' sparsemax along an axis: see [`composites::Sparsemax`].
    sparsemax Sparsemax(x) {
        /// The axis (default: -1).
        axis: i64 = -1,
    } = |scope, &[x]| {
        let axis = super::super::arguments::axis(axis, x.shape().len())?;
        Ok(scope.op(composites::Sparsemax { axis }, &[float(x)]))
    };
}

/// A function along one axis, for axes that are seen as one.
fn over<'s, 'b>(
    x: Formula<'s, 'b>,
    axes: &Axes,
    function: impl Fn(Formula<'s, 'b>, usize) -> Formula<'s, 'b>,
) -> Result<Formula<'s, 'b>, TypeError> {
    let shape = x.shape();
    let axes = match axes {
        Axes::All => (0..shape.len()).collect(),
        Axes::Some(given) => distinct(given, shape.len())?,
    };
    if let [axis] = axes[..] {
        return Ok(function(x, axis));
    }
    let kept: Vec<usize> = (0..shape.len()).filter(|axis| !axes.contains(axis)).collect();
    let order = [&kept[..], &axes[..]].concat();
    let moved = x.transpose(&order);
    let mut joined: Vec<Dim> = kept.iter().map(|&axis| shape[axis].clone()).collect();
    joined.push(axes.iter().map(|&axis| shape[axis].clone()).product());
    let result = function(moved.reshape(&joined), kept.len()).reshape(&moved.shape());
    let mut back = vec![0; order.len()];
    order.iter().enumerate().for_each(|(place, &axis)| back[axis] = place);
    Ok(result.transpose(&back))
}
