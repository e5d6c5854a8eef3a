//! Convolutions.

use super::super::arguments::wrong;
use super::super::declare::functions;
use super::super::formulas::{known_extent, reverse};
use super::super::movement::{Integers, OptionalIntegers};
use super::super::spatial::{amounts, is_channels_first, layout, one_each, reach};
use crate::layers::{DataFormat, Padding};
use kc_ir::Dim;
use kc_ir::tensor::ops::{Convolution, ConvolutionAxes};
use kc_ir::tensor::{Tensor as Formula, TypeError};

/// How a kernel moves over an input.
pub(in crate::ops) struct Steps<'a> {
    /// The step from one window to the next.
    pub strides: &'a Integers,
    /// What windows see beyond the edge.
    pub padding: &'a Padding,
    /// Where the channels are.
    pub format: &'a DataFormat,
    /// The step between the elements of a window.
    pub dilation: &'a Integers,
}

functions! {
    /// The convolution of inputs `(batch, spatial.., channels)` with a kernel `(spatial.., channels in, channels out)`, over one or more
    /// spatial axes. A kernel with fewer channels convolves as many groups of channels apart.
    conv Conv(inputs, kernel) {
        /// The step from one window to the next (default: 1).
        strides: Integers = 1.into(),
        /// `"valid"` (default) or `"same"`.
        padding: Padding = Padding::Valid,
        /// `"channels_last"` (default) or `"channels_first"`.
        data_format: DataFormat = DataFormat::ChannelsLast,
        /// The step between the elements of a window (default: 1).
        dilation_rate: Integers = 1.into(),
    } = |_, &[x, kernel]| {
        convolve(*x, *kernel, Steps { strides: &strides, padding: &padding, format: &data_format, dilation: &dilation_rate })
    };
    /// The convolution of each channel with kernels of its own: `(spatial.., channels, multiplier)`.
    depthwise_conv DepthwiseConv(inputs, kernel) {
        /// The step from one window to the next (default: 1).
        strides: Integers = 1.into(),
        /// `"valid"` (default) or `"same"`.
        padding: Padding = Padding::Valid,
        /// `"channels_last"` (default) or `"channels_first"`.
        data_format: DataFormat = DataFormat::ChannelsLast,
        /// The step between the elements of a window (default: 1).
        dilation_rate: Integers = 1.into(),
    } = |_, &[x, kernel]| {
        depthwise(*x, *kernel, Steps { strides: &strides, padding: &padding, format: &data_format, dilation: &dilation_rate })
    };
    /// [`depthwise_conv`], then [`conv`] with a pointwise kernel `(1.., channels multiplier, channels out)`.
    separable_conv SeparableConv(inputs, depthwise_kernel, pointwise_kernel) {
        /// The step from one window to the next (default: 1).
        strides: Integers = 1.into(),
        /// `"valid"` (default) or `"same"`.
        padding: Padding = Padding::Valid,
        /// `"channels_last"` (default) or `"channels_first"`.
        data_format: DataFormat = DataFormat::ChannelsLast,
        /// The step between the elements of a window (default: 1).
        dilation_rate: Integers = 1.into(),
    } = |_, &[x, kernel, pointwise]| {
        let steps = Steps { strides: &strides, padding: &padding, format: &data_format, dilation: &dilation_rate };
        let deep = depthwise(*x, *kernel, steps)?;
        let padding = Padding::Valid;
        let steps = Steps { strides: &1.into(), padding: &padding, format: &data_format, dilation: &dilation_rate };
        convolve(deep, *pointwise, steps)
    };
    /// The transposed convolution of inputs `(batch, spatial.., channels)` with a kernel `(spatial.., channels out, channels in)`: what
    /// the gradient of a convolution with that kernel computes.
    conv_transpose ConvTranspose(inputs, kernel) {
        /// How far apart two neighbours of the inputs are in the result (default: 1).
        strides: Integers = 1.into(),
        /// `"valid"` (default) or `"same"`.
        padding: Padding = Padding::Valid,
        /// Elements of the result beyond the least that there could be (default: as many as give `extent strides` elements).
        output_padding: OptionalIntegers = OptionalIntegers::default(),
        /// `"channels_last"` (default) or `"channels_first"`.
        data_format: DataFormat = DataFormat::ChannelsLast,
        /// The step between the elements of a window (default: 1).
        dilation_rate: Integers = 1.into(),
    } = |scope, &[x, kernel]| {
        let x = x.convert(kernel.ty().dtype);
        let spatial = spatial_axes(x, *kernel)?;
        let layout = layout(&data_format, x.shape().len())?;
        let strides = one_each("strides", &strides, spatial, 1)?;
        let dilation = one_each("dilation_rate", &dilation_rate, spatial, 1)?;
        let extra = output_padding.0.map(|given| one_each("output_padding", &given, spatial, 0)).transpose()?;
        let (channels, takes) = (&x.shape()[layout.channels], &kernel.shape()[spatial + 1]);
        if channels != takes {
            return Err(wrong(format!("the inputs have {channels} channels, the kernel takes {takes}")));
        }
        let mut pads = Vec::with_capacity(spatial);
        for i in 0..spatial {
            let reach = reach(known_extent(&kernel.shape(), i)?, dilation[i]);
            pads.push(transposed_amounts(&padding, reach, strides[i], extra.as_ref().map(|extra| extra[i]))?);
        }
        let mut axes = convolution_axes(&data_format, spatial)?;
        // the kernel is that of the convolution that is transposed
        axes.rhs.swap(0, 1);
        let op = Convolution {
            axes,
            strides: vec![1; spatial],
            padding: pads,
            lhs_dilation: strides,
            rhs_dilation: dilation,
            feature_groups: 1,
            batch_groups: 1,
        };
        Ok(scope.op(op, &[x, reverse(*kernel, &(0..spatial).collect::<Vec<_>>())]))
    };
}

/// The number of spatial axes.
fn spatial_axes<'s, 'b>(x: Formula<'s, 'b>, kernel: Formula<'s, 'b>) -> Result<usize, TypeError> {
    let rank = x.shape().len();
    if rank < 3 || kernel.shape().len() != rank {
        return Err(wrong("expected inputs and a kernel of one rank: two axes and at least a spatial one"));
    }
    Ok(rank - 2)
}

fn convolution_axes(format: &DataFormat, spatial: usize) -> Result<ConvolutionAxes, TypeError> {
    Ok(match is_channels_first(format)? {
        true => ConvolutionAxes::channels_first(spatial),
        false => ConvolutionAxes::channels_last(spatial),
    })
}

/// A convolution; the groups are as many as the inputs have times the channels that the kernel takes.
pub(in crate::ops) fn convolve<'s, 'b>(
    x: Formula<'s, 'b>,
    kernel: Formula<'s, 'b>,
    steps: Steps<'_>,
) -> Result<Formula<'s, 'b>, TypeError> {
    let x = x.convert(kernel.ty().dtype);
    let spatial = spatial_axes(x, kernel)?;
    let layout = layout(steps.format, x.shape().len())?;
    let strides = one_each("strides", steps.strides, spatial, 1)?;
    let dilation = one_each("dilation_rate", steps.dilation, spatial, 1)?;
    let channels = known_extent(&x.shape(), layout.channels)?;
    let takes = known_extent(&kernel.shape(), spatial)?;
    if takes < 1 || channels % takes != 0 {
        return Err(wrong(format!(
            "the inputs have {channels} channels, expected a multiple of the {takes} that the kernel takes"
        )));
    }
    let mut padding = Vec::with_capacity(spatial);
    for (i, &axis) in layout.spatial.iter().enumerate() {
        let reach = reach(known_extent(&kernel.shape(), i)?, dilation[i]);
        padding.push(amounts(steps.padding, &x.shape()[axis], reach, strides[i])?);
    }
    let op = Convolution {
        axes: convolution_axes(steps.format, spatial)?,
        strides,
        padding,
        lhs_dilation: vec![1; spatial],
        rhs_dilation: dilation,
        feature_groups: channels / takes,
        batch_groups: 1,
    };
    Ok(x.scope().op(op, &[x, kernel]))
}

/// Each channel with kernels of its own.
fn depthwise<'s, 'b>(
    x: Formula<'s, 'b>,
    kernel: Formula<'s, 'b>,
    steps: Steps<'_>,
) -> Result<Formula<'s, 'b>, TypeError> {
    let spatial = spatial_axes(x, kernel)?;
    let layout = layout(steps.format, x.shape().len())?;
    let mut shape = kernel.shape();
    let (channels, takes) = (&x.shape()[layout.channels], shape[spatial].clone());
    if *channels != takes {
        return Err(wrong(format!("the inputs have {channels} channels, the kernel {takes}")));
    }
    shape[spatial + 1] = takes * shape[spatial + 1].clone();
    shape[spatial] = Dim::constant(1);
    convolve(x, kernel.reshape(&shape), steps)
}

/// Elements before and after an axis of a transposed convolution.
fn transposed_amounts(
    padding: &Padding,
    reach: i64,
    stride: i64,
    output_padding: Option<i64>,
) -> Result<(i64, i64), TypeError> {
    let edge = reach - 1;
    let total = match (padding, output_padding) {
        (Padding::Valid, given) => {
            let extra = given.unwrap_or((stride - reach).max(0));
            return Ok((edge, edge.saturating_add(extra)));
        }
        (Padding::Same, None) => edge.saturating_add(stride - 1),
        (Padding::Same, Some(extra)) => (edge - 1 + reach % 2).saturating_add(extra),
        (Padding::Unknown(_), _) => return amounts(padding, &Dim::constant(1), reach, stride),
    };
    let before = (total / 2 + total % 2).min(edge);
    Ok((before, total - before))
}
