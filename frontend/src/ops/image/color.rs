//! Colours.

use super::super::arguments::wrong;
use super::super::declare::functions;
use super::super::formulas::{at, concatenate, with_axis};
use super::super::promotion::float;
use super::places;
use crate::layers::DataFormat;
use kc_ir::DType;
use kc_ir::tensor::{Tensor as Formula, TypeError};

/// The weights of red, green and blue in the brightness.
const BRIGHTNESS: [f64; 3] = [0.2989, 0.587, 0.114];

functions! {
    /// The brightness of images of red, green and blue, as one channel; of one channel the images as they are.
    rgb_to_grayscale RGBToGrayscale(images) {
        /// `"channels_last"` (default) or `"channels_first"`.
        data_format: DataFormat = DataFormat::ChannelsLast,
    } = |_, &[x]| {
        let axis = places(*x, &data_format)?.channels;
        let channels = &x.shape()[axis];
        if channels.is(1) {
            return Ok(vec![*x]);
        }
        if !channels.is(3) {
            return Err(wrong(format!("the images have {channels} channels, expected 3 or 1")));
        }
        let wide = float(x);
        let weighted = (0..3i64).map(|channel| at(wide, axis, channel) * BRIGHTNESS[channel as usize]);
        let sum = weighted.reduce(|sum, next| sum + next).unwrap_or(wide);
        Ok(vec![with_axis(sum, axis).convert(x.ty().dtype)])
    };
    /// Hue, saturation and value, all from 0 to 1, of red, green and blue from 0 to 1.
    rgb_to_hsv RGBToHSV(images) {
        /// `"channels_last"` (default) or `"channels_first"`.
        data_format: DataFormat = DataFormat::ChannelsLast,
    } = |_, &[x]| {
        let axis = places(*x, &data_format)?.channels;
        let [red, green, blue] = colours(*x, axis)?.map(|plane| {
            plane.abs().less(epsilon(x.ty().dtype)).select(plane.zeros_like(), plane)
        });
        let value = red.maximum(green).maximum(blue);
        let range = value - red.minimum(green).minimum(blue);
        let one = value.number(1.0).broadcast_to(&value.shape());
        let safe = |x: Formula<'s, 'b>| x.greater(0.0).select(x, one);
        let saturation = value.greater(0.0).select(range / safe(value), 0.0);
        let norm = 1.0 / (safe(range) * 6.0);
        let hue = value.equal(green).select(norm * (blue - red) + 2.0 / 6.0, norm * (red - green) + 4.0 / 6.0);
        let hue = value.equal(red).select(norm * (green - blue), hue);
        let turn = hue.less(0.0).convert(hue.ty().dtype);
        let hue = range.greater(0.0).select(hue, 0.0) + turn;
        Ok(stack([hue, saturation, value], axis))
    };
    /// Red, green and blue of hue, saturation and value.
    hsv_to_rgb HSVToRGB(images) {
        /// `"channels_last"` (default) or `"channels_first"`.
        data_format: DataFormat = DataFormat::ChannelsLast,
    } = |_, &[x]| {
        let axis = places(*x, &data_format)?.channels;
        let [hue, saturation, value] = colours(*x, axis)?;
        let turn = (hue - hue.floor()) * 6.0;
        let within = |x: Formula<'s, 'b>| x.maximum(0.0).minimum(1.0);
        let shares = [
            within((turn - 3.0).abs() - 1.0),
            within(2.0 - (turn - 2.0).abs()),
            within(2.0 - (turn - 4.0).abs()),
        ];
        Ok(stack(shares.map(|share| value * ((1.0 - saturation) + saturation * share)), axis))
    };
}

/// The three channels of images of floating-point numbers.
fn colours<'s, 'b>(x: Formula<'s, 'b>, axis: usize) -> Result<[Formula<'s, 'b>; 3], TypeError> {
    if !x.ty().dtype.is_float() || !x.shape()[axis].is(3) {
        return Err(wrong("expected images of 3 channels and a floating-point dtype"));
    }
    Ok([0i64, 1, 2].map(|channel| at(x, axis, channel)))
}

fn stack<'s, 'b>(planes: [Formula<'s, 'b>; 3], axis: usize) -> Formula<'s, 'b> {
    concatenate(planes[0].scope(), &planes.map(|plane| with_axis(plane, axis)), axis)
}

/// The distance of 1 from the next larger number of a floating-point dtype.
fn epsilon(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => f64::EPSILON,
        DType::F16 => 2f64.powi(-10),
        DType::Bf16 => 2f64.powi(-7),
        _ => f32::EPSILON.into(),
    }
}
