//! Blocks of images as columns and as channels.

use super::super::arguments::wrong;
use super::super::declare::functions;
use super::super::formulas::{pad, slice};
use super::super::movement::Integers;
use super::super::spatial::{is_channels_first, one_each, reach, sum_windows, windows};
use crate::layers::DataFormat;
use kc_ir::Dim;
use kc_ir::tensor::{Tensor as Formula, TypeError};

functions! {
    /// The blocks of images `(batch, channels, height, width)` as columns: `(batch, channels elements, blocks)`.
    unfold Unfold(x; kernel_size: Integers) {
        /// The step between the elements of a block (default: 1).
        dilation: Integers = 1.into(),
        /// Zeros around the images (default: 0).
        padding: Integers = 0.into(),
        /// The step from one block to the next (default: 1).
        stride: Integers = 1.into(),
    } = |_, &[x]| {
        let [batch, channels, _, _] = &x.shape()[..] else {
            return Err(wrong("expected 4 axes: (batch, channels, height, width)"));
        };
        let (size, dilation) = (one_each("kernel_size", &kernel_size, 2, 1)?, one_each("dilation", &dilation, 2, 1)?);
        let (padding, stride) = (one_each("padding", &padding, 2, 0)?, one_each("stride", &stride, 2, 1)?);
        let zero = x.number(0.0);
        let padded = (0..2).fold(*x, |x, i| if padding[i] > 0 { pad(x, 2 + i, padding[i], padding[i], zero) } else { x });
        // (batch, channels, rows of blocks, height, columns of blocks, width)
        let rows = windows(padded, 2, (size[0], stride[0], dilation[0]))?;
        let blocks = windows(rows, 4, (size[1], stride[1], dilation[1]))?;
        let count = blocks.shape()[2].clone() * blocks.shape()[4].clone();
        let columns = blocks.transpose(&[0, 1, 3, 5, 2, 4]);
        Ok(columns.reshape(&[batch.clone(), channels.clone() * Dim::constant(size[0] * size[1]), count]))
    };
    /// The sum of blocks that are columns `(batch, channels elements, blocks)` where they lie in images `(batch, channels, height,
    /// width)`: the transpose of [`unfold`].
    fold Fold(x; output_size: Integers, kernel_size: Integers) {
        /// The step between the elements of a block (default: 1).
        dilation: Integers = 1.into(),
        /// Zeros around the images (default: 0).
        padding: Integers = 0.into(),
        /// The step from one block to the next (default: 1).
        stride: Integers = 1.into(),
    } = |_, &[x]| {
        let [batch, columns, blocks] = &x.shape()[..] else {
            return Err(wrong("expected 3 axes: (batch, channels elements, blocks)"));
        };
        let (output, size) = (one_each("output_size", &output_size, 2, 1)?, one_each("kernel_size", &kernel_size, 2, 1)?);
        let (dilation, stride) = (one_each("dilation", &dilation, 2, 1)?, one_each("stride", &stride, 2, 1)?);
        let padding = one_each("padding", &padding, 2, 0)?;
        let whole = |i: usize| output[i] + 2 * padding[i];
        let count = |i: usize| (whole(i) - reach(size[i], dilation[i])).div_euclid(stride[i]) + 1;
        let channels = columns.exact_div(&Dim::constant(size[0] * size[1])).filter(|_| {
            count(0) > 0 && count(1) > 0 && blocks.is(count(0) * count(1))
        });
        let channels = channels.ok_or_else(|| wrong(format!(
            "expected columns of {} elements a channel and {} blocks", size[0] * size[1], count(0).max(0) * count(1).max(0)
        )))?;
        let extents = [size[0], size[1], count(0), count(1)].map(Dim::constant);
        let split = x.reshape(&[&[batch.clone(), channels][..], &extents].concat());
        // (batch, channels, rows of blocks, height, columns of blocks, width)
        let apart = split.transpose(&[0, 1, 4, 2, 5, 3]);
        let rows = sum_windows(apart, 4, whole(1), (stride[1], dilation[1]));
        let all = sum_windows(rows, 2, whole(0), (stride[0], dilation[0]));
        Ok((0..2).fold(all, |all, i| slice(all, 2 + i, padding[i], padding[i] + output[i], 1)))
    };
    /// Channels as blocks of neighbours: images `(batch, height, width, channels)` become `(batch, height block_size, width block_size,
    /// channels / block_size^2)`.
    depth_to_space DepthToSpace(x; block_size: i64) {
        /// `"channels_last"` (default) or `"channels_first"`.
        data_format: DataFormat = DataFormat::ChannelsLast,
    } = |_, &[x]| {
        let is_first = is_channels_first(&data_format)?;
        let [batch, height, width, channels] = image(*x, is_first, block_size)?;
        let block = Dim::constant(block_size);
        let depth = channels.exact_div(&(block.clone() * block.clone())).ok_or_else(|| {
            wrong(format!("{channels} channels cannot be divided into blocks of {block_size} by {block_size}"))
        })?;
        let (tall, wide) = (height.clone() * block.clone(), width.clone() * block.clone());
        Ok(if is_first {
            let split = x.reshape(&[batch.clone(), depth.clone(), block.clone(), block, height, width]);
            split.transpose(&[0, 1, 4, 2, 5, 3]).reshape(&[batch, depth, tall, wide])
        } else {
            let split = x.reshape(&[batch.clone(), height, width, block.clone(), block, depth.clone()]);
            split.transpose(&[0, 1, 3, 2, 4, 5]).reshape(&[batch, tall, wide, depth])
        })
    };
    /// Blocks of neighbours as channels: the inverse of [`depth_to_space`].
    space_to_depth SpaceToDepth(x; block_size: i64) {
        /// `"channels_last"` (default) or `"channels_first"`.
        data_format: DataFormat = DataFormat::ChannelsLast,
    } = |_, &[x]| {
        let is_first = is_channels_first(&data_format)?;
        let [batch, height, width, channels] = image(*x, is_first, block_size)?;
        let block = Dim::constant(block_size);
        let (Some(low), Some(narrow)) = (height.exact_div(&block), width.exact_div(&block)) else {
            return Err(wrong(format!("{height} by {width} cannot be divided into blocks of {block_size} by {block_size}")));
        };
        let depth = channels.clone() * block.clone() * block.clone();
        Ok(if is_first {
            let split = x.reshape(&[batch.clone(), channels, low.clone(), block.clone(), narrow.clone(), block]);
            split.transpose(&[0, 1, 3, 5, 2, 4]).reshape(&[batch, depth, low, narrow])
        } else {
            let split = x.reshape(&[batch.clone(), low.clone(), block.clone(), narrow.clone(), block, channels]);
            split.transpose(&[0, 1, 3, 2, 4, 5]).reshape(&[batch, low, narrow, depth])
        })
    };
}

/// Batch, height, width and channels of images.
fn image(x: Formula<'_, '_>, is_channels_first: bool, block_size: i64) -> Result<[Dim; 4], TypeError> {
    if block_size < 2 {
        return Err(wrong(format!("`block_size` is {block_size}, expected at least 2")));
    }
    let shape: [Dim; 4] = x.shape().try_into().map_err(|_| wrong("expected 4 axes: a batch of images"))?;
    let [batch, a, b, c] = shape;
    Ok(if is_channels_first { [batch, b, c, a] } else { [batch, a, b, c] })
}
