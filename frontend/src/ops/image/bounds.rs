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
        let mut x = *x;
        let given = [
            [("top_cropping", top_cropping), ("bottom_cropping", bottom_cropping), ("target_height", target_height)],
            [("left_cropping", left_cropping), ("right_cropping", right_cropping), ("target_width", target_width)],
        ];
        for (axis, given) in [places.height, places.width].into_iter().zip(given) {
            let [low, _, target] = complete(given, known_extent(&x.shape(), axis)?, Edges::CutOff)?;
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
        let mut x = *x;
        let given = [
            [("top_padding", top_padding), ("bottom_padding", bottom_padding), ("target_height", target_height)],
            [("left_padding", left_padding), ("right_padding", right_padding), ("target_width", target_width)],
        ];
        for (axis, given) in [places.height, places.width].into_iter().zip(given) {
            let [low, high, _] = complete(given, known_extent(&x.shape(), axis)?, Edges::Added)?;
            if low > 0 || high > 0 {
                x = pad(x, axis, low, high, x.number(0.0));
            }
        }
        Ok(x)
    };
}

/// What happens at the two ends of an axis.
#[derive(Clone, Copy)]
enum Edges {
    CutOff,
    Added,
}

/// How much happens at the start and the end of an axis, and its extent then: two are given by their names and the third follows; none
/// is negative.
fn complete(given: [(&str, Option<i64>); 3], extent: i64, edges: Edges) -> Result<[i64; 3], TypeError> {
    let (names, values) = (given.map(|(name, _)| name), given.map(|(_, value)| value));
    if values.iter().flatten().count() != 2 {
        return Err(wrong(format!("expected two of `{}`, `{}` and `{}`", names[0], names[1], names[2])));
    }
    if values.iter().flatten().any(|value| value.abs() > i64::from(i32::MAX)) {
        return Err(wrong(format!(
            "`{}`, `{}` and `{}` are {values:?}, which is too much",
            names[0], names[1], names[2]
        )));
    }
    let changed = |target: i64| match edges {
        Edges::CutOff => extent - target,
        Edges::Added => target - extent,
    };
    let all = match values {
        [None, Some(high), Some(target)] => [changed(target) - high, high, target],
        [Some(low), None, Some(target)] => [low, changed(target) - low, target],
        [low, high, _] => {
            let (low, high) = (low.unwrap_or(0), high.unwrap_or(0));
            let target = match edges {
                Edges::CutOff => extent - low - high,
                Edges::Added => extent + low + high,
            };
            [low, high, target]
        }
    };
    match all.iter().zip(names).find(|(value, _)| **value < 0) {
        Some((value, name)) => Err(wrong(format!("`{name}` is {value}, expected at least 0"))),
        None => Ok(all),
    }
}
