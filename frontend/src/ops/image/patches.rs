//! Patches of images and volumes.

use super::super::arguments::wrong;
use super::super::declare::functions;
use super::super::formulas::{pad, with_axis, without_axis};
use super::super::movement::{Integers, OptionalIntegers};
use super::super::spatial::{amounts, is_channels_first, one_each, reach, windows};
use crate::layers::{DataFormat, Padding};
use kc_ir::Dim;
use kc_ir::tensor::{Tensor as Formula, TypeError};

functions! {
    /// Windows of images, each as the channels of one element of the result: `(batch, rows, columns, height width channels)`. With
    /// three sizes, windows of volumes, as [`extract_patches_3d`].
    extract_patches ExtractPatches(images; size: Integers) {
        /// The step from one window to the next (default: the size).
        strides: OptionalIntegers = OptionalIntegers::default(),
        /// The step between the elements of a window (default: 1).
        dilation_rate: Integers = 1.into(),
        /// `"valid"` (default) or `"same"`.
        padding: Padding = Padding::Valid,
        /// `"channels_last"` (default) or `"channels_first"`.
        data_format: DataFormat = DataFormat::ChannelsLast,
    } = |_, &[x]| {
        let spatial = if size.values.len() == 3 { 3 } else { 2 };
        extract(*x, spatial, [&size, strides.0.as_ref().unwrap_or(&size), &dilation_rate], &padding, &data_format)
    };
    /// Windows of volumes, each as the channels of one element of the result.
    extract_patches_3d ExtractPatches3D(volumes; size: Integers) {
        /// The step from one window to the next (default: the size).
        strides: OptionalIntegers = OptionalIntegers::default(),
        /// The step between the elements of a window (default: 1).
        dilation_rate: Integers = 1.into(),
        /// `"valid"` (default) or `"same"`.
        padding: Padding = Padding::Valid,
        /// `"channels_last"` (default) or `"channels_first"`.
        data_format: DataFormat = DataFormat::ChannelsLast,
    } = |_, &[x]| extract(*x, 3, [&size, strides.0.as_ref().unwrap_or(&size), &dilation_rate], &padding, &data_format);
}

fn extract<'s, 'b>(
    x: Formula<'s, 'b>,
    spatial: usize,
    [size, strides, dilation]: [&Integers; 3],
    padding: &Padding,
    format: &DataFormat,
) -> Result<Formula<'s, 'b>, TypeError> {
    let rank = x.shape().len();
    if rank != spatial + 1 && rank != spatial + 2 {
        return Err(wrong(format!("expected {} axes, or {} of a batch", spatial + 1, spatial + 2)));
    }
    let is_batch = rank == spatial + 2;
    let is_first = is_channels_first(format)?;
    let size = one_each("size", size, spatial, 1)?;
    let strides = one_each("strides", strides, spatial, 1)?;
    let dilation = one_each("dilation_rate", dilation, spatial, 1)?;
    let x = if is_batch { x } else { with_axis(x, 0) };
    // the channels last, so that a window's elements stand before them
    let to_last: Vec<usize> = [0].into_iter().chain(2..spatial + 2).chain([1]).collect();
    let mut x = if is_first { x.transpose(&to_last) } else { x };
    let channels = x.shape()[spatial + 1].clone();
    for i in 0..spatial {
        // each axis before this one has become two
        let axis = 1 + 2 * i;
        let (low, high) = amounts(padding, &x.shape()[axis], reach(size[i], dilation[i]), strides[i])?;
        let padded = if low + high > 0 { pad(x, axis, low, high, x.number(0.0)) } else { x };
        x = windows(padded, axis, (size[i], strides[i], dilation[i]))?;
    }
    let places: Vec<usize> = (0..spatial).map(|i| 1 + 2 * i).collect();
    let elements: Vec<usize> = (0..spatial).map(|i| 2 + 2 * i).collect();
    let order = [&[0][..], &places, &elements, &[2 * spatial + 1]].concat();
    let apart = x.transpose(&order);
    let mut shape = apart.shape()[..spatial + 1].to_vec();
    shape.push(channels * Dim::constant(size.iter().product()));
    let patches = apart.reshape(&shape);
    let back: Vec<usize> = [0, spatial + 1].into_iter().chain(1..=spatial).collect();
    let patches = if is_first { patches.transpose(&back) } else { patches };
    Ok(if is_batch { patches } else { without_axis(patches, 0) })
}
