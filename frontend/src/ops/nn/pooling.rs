//! Pooling over windows.

use super::super::arguments::wrong;
use super::super::declare::functions;
use super::super::formulas::{concatenate, known_extent};
use super::super::function::Operand;
use super::super::movement::{Integers, OptionalIntegers};
use super::super::promotion::float;
use super::super::spatial::{amounts, layout, one_each, positions, take};
use crate::layers::{DataFormat, Padding};
use kc_ir::Dim;
use kc_ir::tensor::ops::{ReduceWindow, Reduction, Window};
use kc_ir::tensor::{Tensor as Formula, TypeError};

functions! {
    /// The largest element of each window of inputs `(batch, spatial.., channels)`.
    max_pool MaxPool(inputs; pool_size: Integers) {
        /// The step from one window to the next (default: the window's size).
        strides: OptionalIntegers = OptionalIntegers::default(),
        /// `"valid"` (default) or `"same"`.
        padding: Padding = Padding::Valid,
        /// `"channels_last"` (default) or `"channels_first"`.
        data_format: DataFormat = DataFormat::ChannelsLast,
    } = |scope, &[x]| {
        let window = window(*x, &pool_size, strides.0.as_ref(), &padding, &data_format)?;
        Ok(scope.op(ReduceWindow { kind: Reduction::Max, window }, &[*x]))
    };
    /// The mean of each window of inputs `(batch, spatial.., channels)`; what lies beyond the edge does not count.
    average_pool AveragePool(inputs; pool_size: Integers) {
        /// The step from one window to the next (default: the window's size).
        strides: OptionalIntegers = OptionalIntegers::default(),
        /// `"valid"` (default) or `"same"`.
        padding: Padding = Padding::Valid,
        /// `"channels_last"` (default) or `"channels_first"`.
        data_format: DataFormat = DataFormat::ChannelsLast,
    } = |scope, &[x]| {
        let x = float(x);
        let window = window(x, &pool_size, strides.0.as_ref(), &padding, &data_format)?;
        let elements = window.size.iter().product::<i64>() as f64;
        let sum = scope.op(ReduceWindow { kind: Reduction::Sum, window: window.clone() }, &[x]);
        if padding == Padding::Valid {
            return Ok(vec![sum / elements]);
        }
        // how many elements each window has, on axes that are not pooled once for all
        let mut counting = window;
        let mut shape = x.shape();
        for axis in (0..shape.len()).filter(|&axis| counting.size[axis] == 1) {
            (shape[axis], counting.strides[axis]) = (Dim::constant(1), 1);
        }
        let ones = x.number(1.0).broadcast_to(&shape);
        Ok(vec![sum / scope.op(ReduceWindow { kind: Reduction::Sum, window: counting }, &[ones])])
    };
    /// The mean of windows that divide each spatial axis as evenly as can be into as many as are asked for.
    adaptive_average_pool AdaptiveAveragePool(inputs; output_size: Integers) {
        /// `"channels_last"` (default) or `"channels_first"`.
        data_format: DataFormat = DataFormat::ChannelsLast,
    } = |_, &[x]| adaptive(x, Reduction::Sum, &output_size, &data_format);
    /// The largest element of windows that divide each spatial axis as evenly as can be into as many as are asked for.
    adaptive_max_pool AdaptiveMaxPool(inputs; output_size: Integers) {
        /// `"channels_last"` (default) or `"channels_first"`.
        data_format: DataFormat = DataFormat::ChannelsLast,
    } = |_, &[x]| adaptive(x, Reduction::Max, &output_size, &data_format);
}

/// Windows of extent 1 on all axes.
fn no_window(rank: usize) -> Window {
    Window {
        size: vec![1; rank],
        strides: vec![1; rank],
        padding: vec![(0, 0); rank],
        base_dilation: vec![1; rank],
        window_dilation: vec![1; rank],
    }
}

/// The windows over the spatial axes.
fn window(
    x: Formula<'_, '_>,
    size: &Integers,
    strides: Option<&Integers>,
    padding: &Padding,
    format: &DataFormat,
) -> Result<Window, TypeError> {
    let layout = layout(format, x.shape().len())?;
    let size_each = one_each("pool_size", size, layout.spatial.len(), 1)?;
    let strides = one_each("strides", strides.unwrap_or(size), layout.spatial.len(), 1)?;
    let mut window = no_window(x.shape().len());
    for (i, &axis) in layout.spatial.iter().enumerate() {
        let padding = amounts(padding, &x.shape()[axis], size_each[i], strides[i])?;
        (window.size[axis], window.strides[axis], window.padding[axis]) = (size_each[i], strides[i], padding);
    }
    Ok(window)
}

/// Windows of two sizes along each spatial axis, of which those that are wanted are taken.
fn adaptive<'s, 'b>(
    x: Operand<'s, 'b>,
    kind: Reduction,
    output_size: &Integers,
    format: &DataFormat,
) -> Result<Formula<'s, 'b>, TypeError> {
    let layout = layout(format, x.shape().len())?;
    let sizes = one_each("output_size", output_size, layout.spatial.len(), 1)?;
    let mut result = if kind == Reduction::Sum { float(x) } else { *x };
    for (&axis, &count) in layout.spatial.iter().zip(&sizes) {
        let extent = known_extent(&x.shape(), axis)?;
        if extent < 1 {
            return Err(wrong(format!("axis {axis} has no elements")));
        }
        let bounds = |i: i64| (i * extent / count, ((i + 1) * extent + count - 1) / count);
        let small = (extent + count - 1) / count;
        let is_big = |i: i64| bounds(i).1 - bounds(i).0 > small;
        let pooled = |size: i64| {
            let mut window = no_window(result.shape().len());
            window.size[axis] = size;
            let pooled = result.scope().op(ReduceWindow { kind, window }, &[result]);
            if kind == Reduction::Sum { pooled / size as f64 } else { pooled }
        };
        let mut parts = vec![pooled(small)];
        parts.extend((0..count).any(is_big).then(|| pooled(small + 1)));
        let behind = extent - small + 1;
        let wanted: Vec<i64> = (0..count).map(|i| bounds(i).0 + if is_big(i) { behind } else { 0 }).collect();
        let all = concatenate(result.scope(), &parts, axis);
        result = take(all, axis, positions(all.scope(), &wanted));
    }
    Ok(result)
}
