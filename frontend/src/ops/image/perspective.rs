//! Images in perspective.

use super::super::arguments::wrong;
use super::super::declare::functions;
use super::super::formulas::{at, concatenate, iota, with_axis, without_axis};
use super::coordinates::{Planes, Sampler, per_plane};
use super::{batched, places, unbatched};
use crate::layers::DataFormat;
use kc_ir::DType;
use kc_ir::tensor::composites::Solve;
use kc_ir::tensor::{Tensor as Formula, TypeError};

functions! {
    /// Images seen so that four points `(x, y)`, `start_points`, come to lie at `end_points`: `(4, 2)` for all images, or as many for
    /// each.
    perspective_transform PerspectiveTransform(images, start_points, end_points) {
        /// `"bilinear"` (default) or `"nearest"`.
        interpolation: String = "bilinear".to_string(),
        /// What lies outside (default: 0).
        fill_value: f64 = 0.0,
        /// `"channels_last"` (default) or `"channels_first"`.
        data_format: DataFormat = DataFormat::ChannelsLast,
    } = |scope, &[x, start, end]| {
        places(*x, &data_format)?;
        let (images, is_batch) = batched(*x);
        let planes = Planes::of(images, &data_format)?;
        let is_wide = [start, end].iter().any(|points| points.ty().dtype == DType::F64);
        let dtype = if is_wide { DType::F64 } else { DType::F32 };
        let map = homography(start.convert(dtype), end.convert(dtype))?;
        let map = per_plane(map, &planes, 8, 1)?;
        let shape = planes.shape();
        let part = |index: i64| at(map, 1, index).broadcast(&shape, &[0]);
        let [y, x] = [1, 2].map(|axis| iota(scope, dtype, &shape, axis));
        let below = part(6) * x + part(7) * y + 1.0;
        let places = [
            (part(3) * x + part(4) * y + part(5)) / below,
            (part(0) * x + part(1) * y + part(2)) / below,
        ];
        let sampler = Sampler::of_images(&interpolation, "constant", fill_value)?;
        Ok(unbatched(planes.back(sampler.sample(planes.planes, &places), &data_format)?, is_batch))
    };
}

/// The eight numbers of the map that takes `end` to `start`, with an axis for the images.
fn homography<'s, 'b>(start: Formula<'s, 'b>, end: Formula<'s, 'b>) -> Result<Formula<'s, 'b>, TypeError> {
    let rank = start.shape().len();
    let is_points =
        |x: Formula<'_, '_>| (2..=3).contains(&rank) && x.shape()[rank - 2].is(4) && x.shape()[rank - 1].is(2);
    if start.shape() != end.shape() || !is_points(start) {
        return Err(wrong("expected start and end points of the shape (4, 2), or (batch, 4, 2)"));
    }
    let [start, end] = [start, end].map(|x| if rank == 2 { with_axis(x, 0) } else { x });
    let [from_x, from_y] = [0i64, 1].map(|i| at(start, 2, i));
    let [to_x, to_y] = [0i64, 1].map(|i| at(end, 2, i));
    let (zeros, ones) = (to_x.zeros_like(), to_x.number(1.0).broadcast_to(&to_x.shape()));
    let rows =
        |columns: [Formula<'s, 'b>; 8]| concatenate(start.scope(), &columns.map(|column| with_axis(column, 2)), 2);
    let of_x = rows([to_x, to_y, ones, zeros, zeros, zeros, -from_x * to_x, -from_x * to_y]);
    let of_y = rows([zeros, zeros, zeros, to_x, to_y, ones, -from_y * to_x, -from_y * to_y]);
    let matrix = concatenate(start.scope(), &[of_x, of_y], 1);
    let right = with_axis(concatenate(start.scope(), &[from_x, from_y], 1), 2);
    Ok(without_axis(start.scope().op(Solve {}, &[matrix, right]), 2))
}
