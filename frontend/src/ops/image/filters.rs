//! Filters of neighbouring pixels, and the likeness of images.

use super::super::arguments::wrong;
use super::super::declare::functions;
use super::super::formulas::with_axis;
use super::super::movement::Integers;
use super::super::nn::{Steps, convolve};
use super::super::promotion::{FLOAT, result_type};
use super::{batched, channels_last, places, unbatched};
use crate::layers::{DataFormat, Padding};
use kc_ir::tensor::ops::Constant;
use kc_ir::tensor::{Literal, Scalar, Scope, Tensor as Formula, TypeError};
use kc_ir::{DType, Dim};

functions! {
    /// Images blurred by a bell curve; what lies beyond the edges is 0.
    gaussian_blur GaussianBlur(images) {
        /// The numbers of columns and rows that a pixel is made of (default: `[3, 3]`).
        kernel_size: [i64; 2] = [3, 3],
        /// The standard deviations along columns and rows (default: `[1, 1]`).
        sigma: [f64; 2] = [1.0, 1.0],
        /// `"channels_last"` or `"channels_first"` (default: as Keras has it when this is left out, `"channels_first"`).
        data_format: Option<DataFormat> = None,
    } = |_, &[x]| {
        let format = data_format.unwrap_or(DataFormat::ChannelsFirst);
        places(*x, &format)?;
        if kernel_size.iter().any(|&size| size < 1) {
            return Err(wrong(format!("`kernel_size` is {kernel_size:?}, expected numbers of at least 1")));
        }
        let (images, is_batch) = batched(*x);
        Ok(unbatched(blur(images, kernel_size, sigma, &format)?, is_batch))
    };
    /// The edges along rows and columns by the filters of Sobel, as a new last axis of 2: the vertical and the horizontal ones.
    sobel_edges SobelEdges(images) {
        /// `"channels_last"` (default) or `"channels_first"`.
        data_format: DataFormat = DataFormat::ChannelsLast,
    } = |scope, &[x]| {
        if x.shape().len() != 4 {
            return Err(wrong("expected 4 axes, a batch of images"));
        }
        let across = [-1.0, 0.0, 1.0, -2.0, 0.0, 2.0, -1.0, 0.0, 1.0];
        let down = [-1.0, -2.0, -1.0, 0.0, 0.0, 0.0, 1.0, 2.0, 1.0];
        let mut edges = Vec::with_capacity(2);
        for values in [down, across] {
            let edge = filter(*x, kernel(scope, x.ty().dtype, [3, 3], &values), &Padding::Same, &data_format)?;
            edges.push(with_axis(edge, 4));
        }
        Ok(super::super::formulas::concatenate(scope, &edges, 4))
    };
    /// The structural similarity of images, one number an image: at most 1, which equal ones have.
    ssim SSIM(image1, image2) {
        /// The largest value that a pixel can have (default: 1).
        max_val: f64 = 1.0,
        /// The extent of the windows that are compared (default: 11).
        filter_size: i64 = 11,
        /// The standard deviation of their bell curve (default: 1.5).
        filter_sigma: f64 = 1.5,
        /// The stabiliser of means (default: 0.01).
        k1: f64 = 0.01,
        /// The stabiliser of variances (default: 0.03).
        k2: f64 = 0.03,
        /// `"channels_last"` (default) or `"channels_first"`.
        data_format: DataFormat = DataFormat::ChannelsLast,
    } = |scope, &[a, b]| {
        let given = a.ty().dtype;
        let dtype = result_type([a.kind, FLOAT]);
        places(*a, &data_format)?;
        if a.shape() != b.shape() || filter_size < 1 {
            return Err(wrong("expected two images of one shape, and a `filter_size` of at least 1"));
        }
        let ((a, is_batch), (b, _)) = (batched(a.convert(dtype)), batched(b.convert(dtype)));
        let (a, b) = (channels_last(a, &data_format)?, channels_last(b, &data_format)?);
        let curve = bell(filter_size, filter_sigma);
        let weights: Vec<f64> = curve.iter().flat_map(|y| curve.iter().map(move |x| y * x)).collect();
        let weights = kernel(scope, dtype, [filter_size; 2], &weights);
        let smooth = |x: Formula<'s, 'b>| filter(x, weights, &Padding::Valid, &DataFormat::ChannelsLast);
        let (mean_a, mean_b) = (smooth(a)?, smooth(b)?);
        let variance_a = smooth(a * a)? - mean_a * mean_a;
        let variance_b = smooth(b * b)? - mean_b * mean_b;
        let covariance = smooth(a * b)? - mean_a * mean_b;
        let (c1, c2) = ((k1 * max_val).powi(2), (k2 * max_val).powi(2));
        let above = (mean_a * mean_b * 2.0 + c1) * (covariance * 2.0 + c2);
        let below = (mean_a * mean_a + mean_b * mean_b + c1) * (variance_a + variance_b + c2);
        let likeness = (above / below).mean(&[1, 2, 3]).convert(given);
        Ok(if is_batch { likeness } else { likeness.reshape(&[]) })
    };
}

/// A bell curve of that many points whose sum is 1.
fn bell(size: i64, sigma: f64) -> Vec<f64> {
    let middle = (size - 1) as f64 / 2.0;
    let curve: Vec<f64> = (0..size).map(|i| (-0.5 * ((i as f64 - middle) / sigma).powi(2)).exp()).collect();
    let sum: f64 = curve.iter().sum();
    curve.iter().map(|value| value / sum).collect()
}

/// A matrix of constants.
fn kernel<'s, 'b>(scope: &'s Scope<'b>, dtype: DType, size: [i64; 2], values: &[f64]) -> Formula<'s, 'b> {
    let scalars = values.iter().map(|&value| Scalar::Float(value));
    let shape = size.map(|extent| extent as usize).to_vec();
    let scalars: Vec<Scalar> = match dtype.is_float() {
        true => scalars.collect(),
        false => values.iter().map(|&value| Scalar::Int(value as i128)).collect(),
    };
    scope.op(Constant { value: Literal::from_scalars(dtype, shape, scalars) }, &[])
}

/// A batch of images blurred by a bell curve.
pub(super) fn blur<'s, 'b>(
    x: Formula<'s, 'b>,
    [columns, rows]: [i64; 2],
    sigma: [f64; 2],
    format: &DataFormat,
) -> Result<Formula<'s, 'b>, TypeError> {
    let (across, down) = (bell(columns, sigma[0]), bell(rows, sigma[1]));
    let weights: Vec<f64> = down.iter().flat_map(|y| across.iter().map(move |x| y * x)).collect();
    filter(x, kernel(x.scope(), x.ty().dtype, [rows, columns], &weights), &Padding::Same, format)
}

/// The convolution of each channel with one kernel `[height, width]`.
fn filter<'s, 'b>(
    x: Formula<'s, 'b>,
    kernel: Formula<'s, 'b>,
    padding: &Padding,
    format: &DataFormat,
) -> Result<Formula<'s, 'b>, TypeError> {
    let channels = x.shape()[places(x, format)?.channels].clone();
    let [height, width] = [0, 1].map(|axis| kernel.shape()[axis].clone());
    let kernel = kernel.broadcast(&[height, width, Dim::constant(1), channels], &[0, 1]);
    let one = Integers::from(1);
    convolve(x, kernel, Steps { strides: &one, padding, format, dilation: &one })
}
