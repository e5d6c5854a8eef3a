//! Images seen at other places.

use super::super::arguments::wrong;
use super::super::declare::functions;
use super::super::formulas::{at, elements, iota, with_axis};
use super::super::promotion::{FLOAT, result_type};
use super::{batched, channels_last, in_format, unbatched};
use crate::layers::DataFormat;
use kc_ir::tensor::ops::{Gather, GatherMode, IndexedWindows};
use kc_ir::tensor::{Tensor as Formula, TypeError};
use kc_ir::{DType, Dim};

functions! {
    /// The values of a tensor between its elements: `coordinates` has one entry for each of its axes, then any axes, which the result
    /// has.
    map_coordinates MapCoordinates(inputs, coordinates; order: i64) {
        /// What lies outside: `"constant"` (default), `"nearest"` (the element at the edge), `"wrap"` (from the other end), `"mirror"`
        /// (mirrored at the element at the edge) or `"reflect"` (mirrored at the edge).
        fill_mode: String = "constant".to_string(),
        /// The constant (default: 0).
        fill_value: f64 = 0.0,
    } = |_, &[x, coordinates]| {
        let (rank, given) = (x.shape().len(), coordinates.shape());
        if given.len() < 2 || !given[0].is(rank as i64) {
            return Err(wrong(format!("expected coordinates of at least 2 axes, the first of {rank} elements")));
        }
        let places: Vec<Formula<'s, 'b>> = (0..rank).map(|axis| with_axis(at(*coordinates, 0, axis as i64), 0)).collect();
        let sampler = Sampler { is_linear: is_linear(order)?, fill: Fill::named(&fill_mode)?, value: fill_value };
        Ok(super::super::formulas::without_axis(sampler.sample(with_axis(*x, 0), &places), 0))
    };
    /// Images under an affine map: the pixel at `(x, y)` of the result shows what lies at `(a0 x + a1 y + a2, b0 x + b1 y + b2)`, for
    /// a transform `(a0, a1, a2, b0, b1, b2, c0, c1)`, one for all images or one each.
    affine_transform AffineTransform(images, transform) {
        /// `"bilinear"` (default) or `"nearest"`.
        interpolation: String = "bilinear".to_string(),
        /// What lies outside, as [`map_coordinates`] has it (default: `"constant"`).
        fill_mode: String = "constant".to_string(),
        /// The constant (default: 0).
        fill_value: f64 = 0.0,
        /// `"channels_last"` (default) or `"channels_first"`.
        data_format: DataFormat = DataFormat::ChannelsLast,
    } = |scope, &[x, transform]| {
        super::places(*x, &data_format)?;
        let dtype = result_type([transform.kind, FLOAT]);
        let (images, is_batch) = batched(*x);
        let planes = Planes::of(images, &data_format)?;
        let transform = per_plane(transform.convert(dtype), &planes, 8, 1)?;
        let part = |index: i64| at(transform, 1, index).broadcast(&planes.shape(), &[0]);
        let [y, x, channel] = [1, 2, 0].map(|axis| iota(scope, dtype, &planes.shape(), axis));
        let channel = channel.remainder(channel.number(planes.channels as f64).broadcast_to(&planes.shape()));
        let places = [
            y * part(4) + x * part(3) + channel * part(6) + part(5),
            y * part(1) + x * part(0) + channel * part(7) + part(2),
        ];
        let sampler = Sampler::of_images(&interpolation, &fill_mode, fill_value)?;
        Ok(unbatched(planes.back(sampler.sample(planes.planes, &places), &data_format)?, is_batch))
    };
}

/// A batch of images as planes `[batch channels, height, width]`.
pub(super) struct Planes<'s, 'b> {
    pub planes: Formula<'s, 'b>,
    pub channels: i64,
    pub batch: Dim,
}

impl<'s, 'b> Planes<'s, 'b> {
    pub fn of(images: Formula<'s, 'b>, format: &DataFormat) -> Result<Self, TypeError> {
        let last = channels_last(images, format)?;
        let shape = last.shape();
        let channels = super::super::formulas::known_extent(&shape, 3)?;
        let all = shape[0].clone() * Dim::constant(channels);
        let planes = last.transpose(&[0, 3, 1, 2]).reshape(&[all, shape[1].clone(), shape[2].clone()]);
        Ok(Planes { planes, channels, batch: shape[0].clone() })
    }

    pub fn shape(&self) -> Vec<Dim> {
        self.planes.shape()
    }

    /// Planes as a batch of images.
    pub fn back(&self, planes: Formula<'s, 'b>, format: &DataFormat) -> Result<Formula<'s, 'b>, TypeError> {
        let shape = planes.shape();
        let apart = [self.batch.clone(), Dim::constant(self.channels), shape[1].clone(), shape[2].clone()];
        in_format(planes.reshape(&apart).transpose(&[0, 2, 3, 1]), format)
    }
}

/// What is given for all images (with `rank` axes) or for each, for each plane.
pub(super) fn per_plane<'s, 'b>(
    given: Formula<'s, 'b>,
    planes: &Planes<'s, 'b>,
    last: i64,
    rank: usize,
) -> Result<Formula<'s, 'b>, TypeError> {
    let shape = given.shape();
    let given = if shape.len() == rank { with_axis(given, 0) } else { given };
    let shape = given.shape();
    if shape.len() != rank + 1 || !shape[rank].is(last) || !(shape[0].is(1) || shape[0] == planes.batch) {
        return Err(wrong(format!("expected {last} numbers for all images, or as many for each")));
    }
    let mut wide = shape.clone();
    wide[0] = planes.batch.clone();
    wide.insert(1, Dim::constant(planes.channels));
    let mut joined = shape;
    joined[0] = planes.shape()[0].clone();
    Ok(with_axis(given, 1).broadcast_to(&wide).reshape(&joined))
}

/// Whether elements are interpolated linearly; otherwise the nearest is taken.
fn is_linear(order: i64) -> Result<bool, TypeError> {
    match order {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(wrong(format!("`order` is {other}, expected 0 (nearest) or 1 (linear)"))),
    }
}

/// What lies outside.
#[derive(Clone, Copy, PartialEq)]
enum Fill {
    Constant,
    Nearest,
    Wrap,
    Mirror,
    Reflect,
}

impl Fill {
    fn named(name: &str) -> Result<Fill, TypeError> {
        Ok(match name {
            "constant" => Fill::Constant,
            "nearest" => Fill::Nearest,
            "wrap" => Fill::Wrap,
            "mirror" => Fill::Mirror,
            "reflect" => Fill::Reflect,
            other => {
                let known = ["constant", "nearest", "wrap", "mirror", "reflect"];
                return Err(wrong(format!("unknown fill mode `{other}`{}", crate::error::did_you_mean(other, &known))));
            }
        })
    }

    /// The position that stands for one, which may lie outside.
    fn position<'s, 'b>(self, index: Formula<'s, 'b>, extent: Formula<'s, 'b>) -> Formula<'s, 'b> {
        match self {
            Fill::Constant | Fill::Nearest => index.maximum(0.0).minimum(extent - 1i64),
            Fill::Wrap => modulo(index, extent),
            Fill::Mirror => mirrored(index, extent),
            Fill::Reflect => (mirrored(index * 2i64 + 1i64, extent * 2i64 + 1i64) - 1i64).shift_right(1i64),
        }
    }
}

/// The remainder that is not negative.
fn modulo<'s, 'b>(a: Formula<'s, 'b>, b: Formula<'s, 'b>) -> Formula<'s, 'b> {
    let b = b.broadcast_to(&a.shape());
    let rest = a.remainder(b);
    rest.less(0.0).select(rest + b, rest)
}

/// A position mirrored at the first and the last one; of a single one that.
fn mirrored<'s, 'b>(index: Formula<'s, 'b>, extent: Formula<'s, 'b>) -> Formula<'s, 'b> {
    let last = extent - 1i64;
    let period = (last * 2i64).maximum(1.0);
    (modulo(index + last, period) - last).abs().minimum(last)
}

/// How values between elements are found.
pub(super) struct Sampler {
    is_linear: bool,
    fill: Fill,
    value: f64,
}

impl Sampler {
    pub fn of_images(interpolation: &str, fill_mode: &str, value: f64) -> Result<Self, TypeError> {
        let is_linear = match interpolation {
            "nearest" => false,
            "bilinear" => true,
            other => return Err(wrong(format!("`interpolation` is `{other}`, expected `bilinear` or `nearest`"))),
        };
        Ok(Sampler { is_linear, fill: Fill::named(fill_mode)?, value })
    }

    /// The values of `[n, extents..]` at places `[n, ..]`, one tensor an axis.
    pub fn sample<'s, 'b>(&self, x: Formula<'s, 'b>, places: &[Formula<'s, 'b>]) -> Formula<'s, 'b> {
        let (shape, dtype) = (x.shape(), x.ty().dtype);
        // images of 64 bits keep them
        let wide = |place: Formula<'s, 'b>| if dtype == DType::F64 { place.convert(dtype) } else { place };
        let flat = x.reshape(&[shape[0].clone(), elements(&shape[1..])]);
        // for each axis the neighbours: position, weight, whether it lies inside
        let neighbours: Vec<Vec<[Formula<'s, 'b>; 3]>> =
            places.iter().zip(&shape[1..]).map(|(&place, extent)| self.neighbours(wide(place), extent)).collect();
        let mut sum: Option<Formula<'s, 'b>> = None;
        for choice in 0..neighbours.iter().map(Vec::len).product::<usize>() {
            let mut rest = choice;
            let (mut position, mut weight, mut inside) = (None, None, None);
            for (axis, nodes) in neighbours.iter().enumerate() {
                let [place, share, valid] = nodes[rest % nodes.len()];
                rest /= nodes.len();
                let stride = extent_of(x, &elements(&shape[axis + 2..]));
                let place = place * stride;
                position = Some(position.map_or(place, |position: Formula<'s, 'b>| position + place));
                weight = Some(weight.map_or(share, |weight: Formula<'s, 'b>| weight * share));
                inside = Some(inside.map_or(valid, |inside: Formula<'s, 'b>| inside.and(valid)));
            }
            let (Some(position), Some(weight), Some(inside)) = (position, weight, inside) else { continue };
            let taken = gather(flat, position);
            let taken = if self.fill == Fill::Constant { inside.select(taken, self.value) } else { taken };
            let part = weight * taken.convert(weight.ty().dtype);
            sum = Some(sum.map_or(part, |sum| sum + part));
        }
        let sum = sum.unwrap_or(x);
        if dtype.is_float() { sum.convert(dtype) } else { round_away(sum).convert(dtype) }
    }

    fn neighbours<'s, 'b>(&self, place: Formula<'s, 'b>, extent: &Dim) -> Vec<[Formula<'s, 'b>; 3]> {
        let extent = extent_of(place, extent);
        let node = |index: Formula<'s, 'b>, weight: Formula<'s, 'b>| {
            let inside = index.greater_equal(0.0).and(index.less(extent));
            [self.fill.position(index, extent), weight, inside]
        };
        let place = if place.ty().dtype.is_float() { place } else { place.convert(DType::F32) };
        let one = place.number(1.0).broadcast_to(&place.shape());
        if !self.is_linear {
            return vec![node(round_away(place).convert(DType::I32), one)];
        }
        let lower = place.floor();
        let upper_weight = place - lower;
        let index = lower.convert(DType::I32);
        vec![node(index, one - upper_weight), node(index + 1i64, upper_weight)]
    }
}

/// An extent as a scalar of `int32`.
fn extent_of<'s, 'b>(x: Formula<'s, 'b>, extent: &Dim) -> Formula<'s, 'b> {
    match extent.as_constant() {
        Some(extent) => x.scope().scalar(DType::I32, extent),
        None => x.scope().op(kc_ir::tensor::ops::Dimension { dim: extent.clone(), dtype: DType::I32 }, &[]),
    }
}

/// The nearest integer, of two the one further from 0.
fn round_away<'s, 'b>(x: Formula<'s, 'b>) -> Formula<'s, 'b> {
    let whole = x.trunc();
    whole + (x - whole).abs().greater_equal(0.5).select(x.sign(), 0.0)
}

/// Of each row of `[n, elements]` those at positions `[n, ..]`.
fn gather<'s, 'b>(x: Formula<'s, 'b>, positions: Formula<'s, 'b>) -> Formula<'s, 'b> {
    let mut indices = positions.shape();
    indices.push(Dim::constant(1));
    let windows = IndexedWindows {
        offset: vec![],
        collapsed: vec![1],
        operand_batch: vec![0],
        indices_batch: vec![0],
        index_map: vec![1],
    };
    let sizes = vec![Dim::constant(1); 2];
    x.scope().op(Gather { windows, sizes, mode: GatherMode::Clip }, &[x, positions.reshape(&indices)])
}
