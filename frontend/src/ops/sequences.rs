//! Distances, sequences, sums of exponentials.

use super::arguments::{Axes, wrong};
use super::declare::functions;
use super::formulas::{at, known_extent, with_axis};
use super::promotion::{float, promote_float};
use super::reduction::keep;
use super::spatial::windows;
use kc_ir::tensor::composites::LogSumExp;

macro_rules! floats {
    ($($(#[$doc:meta])* $name:ident $class:ident $method:ident;)*) => { functions! { $(
        $(#[$doc])*
        $name $class(x) = |_, &[x]| float(x).$method();
    )* } };
}
floats! {
    /// The error function.
    erf Erf erf;
    /// `1 - erf(x)`
    erfc Erfc erfc;
    /// The inverse of the error function.
    erfinv Erfinv erf_inv;
    /// `1 / sqrt(x)`
    rsqrt Rsqrt rsqrt;
}

functions! {
    /// `ln(sum(e^x))` over axes, without overflow.
    logsumexp Logsumexp(x) {
        /// The axes (default: all).
        axis: Axes = Axes::All,
        /// Whether the result keeps the axes, with extent 1 (default: no).
        keepdims: bool = false,
    } = |scope, &[x]| {
        let x = float(x);
        let axes = axis.of_rank(x.shape().len())?;
        Ok(keep(scope.op(LogSumExp { axes: axes.clone() }, &[x]), &x.shape(), &axes, keepdims))
    };
    /// The distance of each vector of `x` from each of `y`: `sqrt(sum((x[.., i, :] - y[.., j, :])^2))`.
    cdist CDist(x, y) = |_, &[x, y]| {
        let [x, y] = promote_float([x, y]);
        let (rows, columns) = (x.shape().len(), y.shape().len());
        if rows < 2 || columns < 2 || x.shape()[rows - 1] != y.shape()[columns - 1] {
            return Err(wrong("expected two tensors of at least 2 axes, with equally many elements along the last"));
        }
        let apart = with_axis(x, rows - 1) - with_axis(y, columns - 2);
        Ok(apart.square().sum(&[apart.shape().len() - 1]).sqrt())
    };
    /// Parts of that length of the last axis, each that stride behind the one before, along a new last axis but one.
    extract_sequences ExtractSequences(x; sequence_length: i64, sequence_stride: i64) = |_, &[x]| {
        if sequence_length < 1 || sequence_stride < 1 || x.shape().is_empty() {
            return Err(wrong(format!(
                "expected a length and a stride of at least 1, got {sequence_length} and {sequence_stride}, and at least one axis"
            )));
        }
        windows(*x, x.shape().len() - 1, (sequence_length, sequence_stride, 1))
    };
    /// The elements along an axis as tensors without it: `.tensors()`.
    unstack Unstack(x) {
        /// The number of tensors; it is the axis' extent (default: that).
        num: Option<i64> = None,
        /// The axis (default: 0).
        axis: i64 = 0,
    } = |_, &[x]| {
        let axis = super::arguments::axis(axis, x.shape().len())?;
        let extent = known_extent(&x.shape(), axis)?;
        if num.is_some_and(|num| num != extent) {
            return Err(wrong(format!("`num` is {}, the axis has {extent} elements", num.unwrap_or_default())));
        }
        Ok((0..extent).map(|position| at(*x, axis, position)).collect::<Vec<_>>())
    };
}
