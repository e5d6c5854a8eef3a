//! Cropping and padding.

use super::super::arguments::wrong;
use super::super::declare::functions;
use super::super::formulas::{known_extent, pad, slice};
use super::places;
use crate::layers::DataFormat;
use kc_ir::tensor::TypeError;

functions! {
    /// Images without elements at their edges. Of `top_cropping`, `bottom_cropping` and `target_height` two are given, and of
    /// `left_cropping`, `right_cropping` and `target_width`.
    crop_images CropImages(images) {
        /// Rows cut off at the top.
        top_cropping: Option<i64> = None,
        /// Columns cut off at the left.
        left_cropping: Option<i64> = None,
        /// Rows cut off at the bottom.
        bottom_cropping: Option<i64> = None,
        /// Columns cut off at the right.
        right_cropping: Option<i64> = None,
        /// The height of the result.
        target_height: Option<i64> = None,
        /// The width of the result.
        target_width: Option<i64> = None,
        /// `"channels_last"` (default) or `"channels_first"`.
        data_format: DataFormat = DataFormat::ChannelsLast,
    } = |_, &[x]| {
        let places = places(*x, &data_format)?;
        let (shape, mut x) = (x.shape(), *x);
        for (axis, [low, high, target], names) in [
            (places.height, [top_cropping, bottom_cropping, target_height], ["top_cropping", "bottom_cropping", "target_height"]),
            (places.width, [left_cropping, right_cropping, target_width], ["left_cropping", "right_cropping", "target_width"]),
        ] {
            let extent = known_extent(&shape, axis)?;
            let [low, _, target] = complete([low, high, target], names, |[low, high, target]| match (low, high, target) {
                (None, Some(high), Some(target)) => [extent - target - high, high, target],
                (Some(low), None, Some(target)) => [low, extent - target - low, target],
                (low, high, _) => {
                    let (low, high) = (low.unwrap_or(0), high.unwrap_or(0));
                    [low, high, extent - low - high]
                }
            })?;
            x = slice(x, axis, low, low + target, 1);
        }
        Ok(x)
    };
    /// Images with zeros at their edges. Of `top_padding`, `bottom_padding` and `target_height` two are given, and of `left_padding`,
    /// `right_padding` and `target_width`.
    pad_images PadImages(images) {
        /// Rows added at the top.
        top_padding: Option<i64> = None,
        /// Columns added at the left.
        left_padding: Option<i64> = None,
        /// Rows added at the bottom.
        bottom_padding: Option<i64> = None,
        /// Columns added at the right.
        right_padding: Option<i64> = None,
        /// The height of the result.
        target_height: Option<i64> = None,
        /// The width of the result.
        target_width: Option<i64> = None,
        /// `"channels_last"` (default) or `"channels_first"`.
        data_format: DataFormat = DataFormat::ChannelsLast,
    } = |_, &[x]| {
        let places = places(*x, &data_format)?;
        let (shape, mut x) = (x.shape(), *x);
        for (axis, [low, high, target], names) in [
            (places.height, [top_padding, bottom_padding, target_height], ["top_padding", "bottom_padding", "target_height"]),
            (places.width, [left_padding, right_padding, target_width], ["left_padding", "right_padding", "target_width"]),
        ] {
            let extent = known_extent(&shape, axis)?;
            let [low, high, _] = complete([low, high, target], names, |[low, high, target]| match (low, high, target) {
                (None, Some(high), Some(target)) => [target - high - extent, high, target],
                (Some(low), None, Some(target)) => [low, target - low - extent, target],
                (low, high, _) => {
                    let (low, high) = (low.unwrap_or(0), high.unwrap_or(0));
                    [low, high, extent + low + high]
                }
            })?;
            if low > 0 || high > 0 {
                x = pad(x, axis, low, high, x.number(0.0));
            }
        }
        Ok(x)
    };
}

/// Three numbers of which two are given and the third follows; none is negative.
fn complete(
    given: [Option<i64>; 3],
    names: [&str; 3],
    follow: impl Fn([Option<i64>; 3]) -> [i64; 3],
) -> Result<[i64; 3], TypeError> {
    if given.iter().flatten().count() != 2 {
        return Err(wrong(format!("expected two of `{}`, `{}` and `{}`", names[0], names[1], names[2])));
    }
    if given.iter().flatten().any(|value| value.abs() > i64::from(i32::MAX)) {
        return Err(wrong(format!(
            "`{}`, `{}` and `{}` are {given:?}, which is too much",
            names[0], names[1], names[2]
        )));
    }
    let all = follow(given);
    match all.iter().zip(names).find(|(value, _)| **value < 0) {
        Some((value, name)) => Err(wrong(format!("`{name}` is {value}, expected at least 0"))),
        None => Ok(all),
    }
}
