//! `keras.ops.image`: images `(height, width, channels)` or batches of them.

mod bounds;
mod color;
mod coordinates;
mod elastic;
mod filters;
mod patches;
mod perspective;
mod resize;

pub use bounds::*;
pub use color::*;
pub use coordinates::*;
pub use elastic::*;
pub use filters::*;
pub use patches::*;
pub use perspective::*;
pub use resize::*;

use super::arguments::wrong;
use super::spatial::is_channels_first;
use crate::layers::DataFormat;
use kc_ir::tensor::{Tensor as Formula, TypeError};

/// Where height, width and channels of an image, or of a batch of images, are.
#[derive(Clone, Copy)]
struct Places {
    height: usize,
    width: usize,
    channels: usize,
}

/// The axes of an image or of a batch of images.
fn places(x: Formula<'_, '_>, format: &DataFormat) -> Result<Places, TypeError> {
    let is_first = is_channels_first(format)?;
    let rank = x.shape().len();
    if rank != 3 && rank != 4 {
        return Err(wrong("expected 3 axes, an image, or 4, a batch of images"));
    }
    let batch = rank - 3;
    Ok(match is_first {
        true => Places { height: batch + 1, width: batch + 2, channels: batch },
        false => Places { height: batch, width: batch + 1, channels: batch + 2 },
    })
}

/// A batch of one for an image, a batch as it is; and whether it was one.
fn batched<'s, 'b>(x: Formula<'s, 'b>) -> (Formula<'s, 'b>, bool) {
    let is_batch = x.shape().len() == 4;
    (if is_batch { x } else { super::formulas::with_axis(x, 0) }, is_batch)
}

/// What [`batched`] added taken away.
fn unbatched<'s, 'b>(x: Formula<'s, 'b>, is_batch: bool) -> Formula<'s, 'b> {
    if is_batch { x } else { super::formulas::without_axis(x, 0) }
}

/// Axes `(batch, height, width, channels)` of a batch of images.
fn channels_last<'s, 'b>(x: Formula<'s, 'b>, format: &DataFormat) -> Result<Formula<'s, 'b>, TypeError> {
    Ok(if is_channels_first(format)? { x.transpose(&[0, 2, 3, 1]) } else { x })
}

/// The axes that a batch `(batch, height, width, channels)` has in a format.
fn in_format<'s, 'b>(x: Formula<'s, 'b>, format: &DataFormat) -> Result<Formula<'s, 'b>, TypeError> {
    Ok(if is_channels_first(format)? { x.transpose(&[0, 3, 1, 2]) } else { x })
}
