//! What layers over images share: windows, padding, data formats.

use crate::error::did_you_mean;
use crate::{Error, Result, shape_text};
use kc_ir::tensor::ops::ConvolutionAxes;
use kc_ir::{Dim, TensorType};

/// One number for both spatial axes, or one each: `2`, `(2, 3)`, `[2, 3]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair(pub(crate) [i64; 2]);

impl From<i64> for Pair {
    fn from(both: i64) -> Self {
        Pair([both, both])
    }
}

impl From<(i64, i64)> for Pair {
    fn from((height, width): (i64, i64)) -> Self {
        Pair([height, width])
    }
}

impl From<[i64; 2]> for Pair {
    fn from(pair: [i64; 2]) -> Self {
        Pair(pair)
    }
}

impl Pair {
    /// The numbers, which must be at least 1.
    pub(super) fn positive(self, argument: &str) -> Result<[i64; 2]> {
        let [height, width] = self.0;
        if height >= 1 && width >= 1 {
            return Ok(self.0);
        }
        Err(Error::model(format!("`{argument}` is ({height}, {width}), expected numbers of at least 1")))
    }

    /// The numbers, which must not be negative.
    pub(super) fn not_negative(self, argument: &str) -> Result<[i64; 2]> {
        let [height, width] = self.0;
        if height >= 0 && width >= 0 {
            return Ok(self.0);
        }
        Err(Error::model(format!("`{argument}` is ({height}, {width}), expected numbers of at least 0")))
    }
}

/// What a window may see beyond the edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Padding {
    /// Nothing: windows lie inside.
    Valid,
    /// As much as needed for `ceil(extent / stride)` windows, evenly on both sides, the odd one after the last element.
    Same,
    /// A name that no padding has; the layer that is called with it reports it.
    #[doc(hidden)]
    Unknown(String),
}

impl From<&str> for Padding {
    fn from(name: &str) -> Self {
        match name.to_lowercase().as_str() {
            "valid" => Padding::Valid,
            "same" => Padding::Same,
            _ => Padding::Unknown(name.to_string()),
        }
    }
}

impl Padding {
    /// Keras' name.
    pub(super) fn name(&self) -> &str {
        match self {
            Padding::Valid => "valid",
            Padding::Same => "same",
            Padding::Unknown(name) => name,
        }
    }

    /// Elements before and after an axis for windows that reach over so many elements.
    pub(crate) fn amounts(&self, extent: &Dim, reach: i64, stride: i64) -> Result<(i64, i64)> {
        let total = match (self, extent.as_constant()) {
            (Padding::Valid, _) => 0,
            (Padding::Same, Some(extent)) => {
                let positions = (extent + stride - 1) / stride;
                ((positions - 1) * stride + reach - extent).max(0)
            }
            (Padding::Same, None) if stride == 1 => reach - 1,
            (Padding::Same, None) => {
                return Err(Error::model(format!(
                    "`padding` \"same\" with a stride of {stride} needs a known extent, the input's is {extent}"
                )));
            }
            (Padding::Unknown(given), _) => {
                return Err(unknown_padding(given));
            }
        };
        Ok((total / 2, total - total / 2))
    }
}

/// What is reported of [`Padding::Unknown`].
pub(super) fn unknown_padding(given: &str) -> Error {
    Error::model(format!("unknown padding `{given}`{}", did_you_mean(given, &["valid", "same"])))
}

/// Where the channels are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataFormat {
    /// `(batch, height, width, channels)`, Keras' default.
    ChannelsLast,
    /// `(batch, channels, height, width)`.
    ChannelsFirst,
    /// A name that no format has; the layer that is called with it reports it.
    #[doc(hidden)]
    Unknown(String),
}

impl From<&str> for DataFormat {
    fn from(name: &str) -> Self {
        match name {
            "channels_last" => DataFormat::ChannelsLast,
            "channels_first" => DataFormat::ChannelsFirst,
            _ => DataFormat::Unknown(name.to_string()),
        }
    }
}

impl DataFormat {
    /// Keras' name.
    pub(super) fn name(&self) -> &str {
        match self {
            DataFormat::ChannelsLast => "channels_last",
            DataFormat::ChannelsFirst => "channels_first",
            DataFormat::Unknown(name) => name,
        }
    }

    /// Whether the channels come before the positions.
    pub(super) fn is_channels_first(&self) -> Result<bool> {
        match self {
            DataFormat::ChannelsLast => Ok(false),
            DataFormat::ChannelsFirst => Ok(true),
            DataFormat::Unknown(given) => {
                let known = did_you_mean(given, &["channels_last", "channels_first"]);
                Err(Error::model(format!("unknown data format `{given}`{known}")))
            }
        }
    }

    /// The spatial axes and the channels' axis of an input, which must be an image.
    pub(super) fn axes(&self, input: &TensorType) -> Result<([usize; 2], usize)> {
        let channels_first = self.is_channels_first()?;
        let expected =
            if channels_first { "(batch, channels, height, width)" } else { "(batch, height, width, channels)" };
        if input.rank() != 4 {
            return Err(Error::model(format!(
                "the input's shape is {}, expected 4 axes: {expected}",
                shape_text(&input.shape)
            )));
        }
        Ok(if channels_first { ([2, 3], 1) } else { ([1, 2], 3) })
    }

    /// The number of channels of an input, which must be known.
    pub(super) fn channels(&self, input: &TensorType) -> Result<i64> {
        let (_, channel_axis) = self.axes(input)?;
        input.shape[channel_axis].as_constant().ok_or_else(|| {
            Error::model(format!(
                "the number of channels in the input's shape {} is not known",
                shape_text(&input.shape)
            ))
        })
    }

    /// The axes of a convolution of such images with a kernel `[height, width, in, out]`.
    pub(super) fn convolution_axes(&self) -> ConvolutionAxes {
        match self {
            DataFormat::ChannelsFirst => ConvolutionAxes::channels_first(2),
            DataFormat::ChannelsLast | DataFormat::Unknown(_) => ConvolutionAxes::channels_last(2),
        }
    }
}

/// Checks that a window fits into a padded extent.
pub(super) fn check_fit(input: &TensorType, axis: usize, reach: i64, padding: (i64, i64)) -> Result<()> {
    match input.shape[axis].as_constant() {
        Some(extent) if extent + padding.0 + padding.1 < reach => Err(Error::model(format!(
            "a window that reaches over {reach} elements does not fit into axis {axis} of the input's shape {}; \
             use `padding(\"same\")` or a smaller window",
            shape_text(&input.shape)
        ))),
        _ => Ok(()),
    }
}
