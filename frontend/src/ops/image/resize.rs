//! Resizing: each element of the result is a weighted sum of elements of the images.

use super::super::arguments::wrong;
use super::super::call::Call;
use super::super::casting::saturate;
use super::super::declare::functions;
use super::super::formulas::{at, iota, known_extent, pad, slice};
use super::super::movement::Integers;
use super::super::movement::Shape;
use super::super::promotion::{float, promote_float, statistics_type};
use super::super::spatial::take;
use super::super::tensor::Tensor;
use super::places;
use crate::layers::DataFormat;
use kc_ir::tensor::ops::{Dimension, DotGeneral};
use kc_ir::tensor::{Tensor as Formula, TypeError};
use kc_ir::{DType, Dim};
use std::f64::consts::PI;

functions! {
    /// Images in another size `[height, width]`.
    resize Resize(images; size: [i64; 2]) {
        /// `"bilinear"` (default), `"nearest"`, `"bicubic"`, `"lanczos3"` or `"lanczos5"`.
        interpolation: String = "bilinear".to_string(),
        /// Whether images that become smaller are smoothed (default: no).
        antialias: bool = false,
        /// Whether they are cropped to the wanted ratio of height and width before (default: no).
        crop_to_aspect_ratio: bool = false,
        /// Whether they are padded to that ratio before (default: no).
        pad_to_aspect_ratio: bool = false,
        /// What they are padded with: `"constant"` (default).
        fill_mode: String = "constant".to_string(),
        /// The constant (default: 0).
        fill_value: f64 = 0.0,
        /// `"channels_last"` (default) or `"channels_first"`.
        data_format: DataFormat = DataFormat::ChannelsLast,
    } = |_, &[x]| {
        let places = places(*x, &data_format)?;
        if size.iter().any(|&extent| extent < 1) {
            return Err(wrong(format!("`size` is {size:?}, expected numbers of at least 1")));
        }
        if fill_mode != "constant" {
            return Err(wrong(format!("`fill_mode` is `{fill_mode}`, expected `constant`")));
        }
        if crop_to_aspect_ratio && pad_to_aspect_ratio {
            return Err(wrong("expected one of `crop_to_aspect_ratio` and `pad_to_aspect_ratio`, not both"));
        }
        let axes = [places.height, places.width];
        let given = x.ty().dtype;
        let x = match (crop_to_aspect_ratio, pad_to_aspect_ratio) {
            (true, _) => cropped(*x, axes, size)?,
            (_, true) => padded(float(x), axes, size, fill_value)?,
            _ => *x,
        };
        let changed = (0..2).filter(|&i| !x.shape()[axes[i]].is(size[i]));
        let resized = if interpolation == "nearest" {
            changed.fold(x, |x, i| nearest(x, axes[i], size[i]))
        } else {
            let kernel = Kernel::named(&interpolation)?;
            let x = if x.ty().dtype.is_float() { x } else { x.convert(DType::F32) };
            changed.fold(x, |x, i| {
                let dtype = statistics_type(x.ty().dtype);
                let extent = x.shape()[axes[i]].clone();
                // how far apart two neighbours of the result are in the images
                let step = extent_of(x, &extent, dtype) / size[i] as f64;
                let shift = step.number(0.0);
                contract(x, axes[i], Weights { kernel, antialias, step, shift, dtype }.matrix(&extent, size[i]))
            })
        };
        Ok(match resized.ty().dtype.is_float() && !given.is_float() {
            true => saturate(resized.round_even(), given),
            false => resized.convert(given),
        })
    };
}

/// An extent as a scalar.
fn extent_of<'s, 'b>(x: Formula<'s, 'b>, extent: &Dim, dtype: DType) -> Formula<'s, 'b> {
    match extent.as_constant() {
        Some(extent) => x.scope().scalar(dtype, extent as f64),
        None => x.scope().op(Dimension { dim: extent.clone(), dtype }, &[]),
    }
}

/// The middle of the images that has the ratio of height and width.
fn cropped<'s, 'b>(x: Formula<'s, 'b>, axes: [usize; 2], size: [i64; 2]) -> Result<Formula<'s, 'b>, TypeError> {
    let extents = [known_extent(&x.shape(), axes[0])?, known_extent(&x.shape(), axes[1])?];
    Ok((0..2).fold(x, |x, i| {
        let kept = in_ratio(extents, size, i).min(extents[i]).max(1);
        let start = (extents[i] - kept) / 2;
        slice(x, axes[i], start, start + kept, 1)
    }))
}

/// The images in the middle of others that have the ratio of height and width.
fn padded<'s, 'b>(
    x: Formula<'s, 'b>,
    axes: [usize; 2],
    size: [i64; 2],
    value: f64,
) -> Result<Formula<'s, 'b>, TypeError> {
    let extents = [known_extent(&x.shape(), axes[0])?, known_extent(&x.shape(), axes[1])?];
    let margin = |i: usize| (in_ratio(extents, size, i).max(extents[i]) - extents[i]) / 2;
    let value = x.number(value);
    Ok(match (margin(0), margin(1)) {
        (0, 0) => x,
        (0, columns) => pad(x, axes[1], columns, columns, value),
        (rows, _) => pad(x, axes[0], rows, rows, value),
    })
}

/// The extent that an axis would have, beside the other one's, in the ratio of the wanted size.
fn in_ratio(extents: [i64; 2], size: [i64; 2], i: usize) -> i64 {
    ((extents[1 - i] * size[i]) as f64 / size[1 - i] as f64) as i64
}

/// The nearest element for each of the result.
fn nearest<'s, 'b>(x: Formula<'s, 'b>, axis: usize, extent: i64) -> Formula<'s, 'b> {
    let own = extent_of(x, &x.shape()[axis], DType::F32);
    let centre = iota(x.scope(), DType::F32, &[Dim::constant(extent)], 0) + 0.5;
    take(x, axis, (centre * own / extent as f64).floor().convert(DType::I32))
}

/// A function of the distance that weights are made by.
#[derive(Clone, Copy)]
enum Kernel {
    Triangle,
    Cubic,
    Lanczos(f64),
}

impl Kernel {
    fn named(name: &str) -> Result<Kernel, TypeError> {
        Ok(match name {
            "linear" | "bilinear" | "trilinear" => Kernel::Triangle,
            "cubic" | "bicubic" | "tricubic" => Kernel::Cubic,
            "lanczos3" => Kernel::Lanczos(3.0),
            "lanczos5" => Kernel::Lanczos(5.0),
            other => {
                let known = ["bilinear", "nearest", "bicubic", "lanczos3", "lanczos5"];
                return Err(wrong(format!(
                    "unknown interpolation `{other}`{}",
                    crate::error::did_you_mean(other, &known)
                )));
            }
        })
    }

    /// The weight at a distance.
    fn weight<'s, 'b>(self, x: Formula<'s, 'b>) -> Formula<'s, 'b> {
        match self {
            Kernel::Triangle => (1.0 - x).maximum(0.0),
            Kernel::Cubic => {
                let near = (x * 1.5 - 2.5) * x * x + 1.0;
                let far = ((x * -0.5 + 2.5) * x - 4.0) * x + 2.0;
                let weight = x.greater_equal(1.0).select(far, near);
                x.less(2.0).select(weight, 0.0)
            }
            Kernel::Lanczos(radius) => {
                let waves = (x * PI).sin() * (x * PI / radius).sin() * radius;
                let one = x.number(1.0).broadcast_to(&x.shape());
                let below = x.not_equal(0.0).select(x.square() * (PI * PI), 1.0);
                let weight = x.greater(1e-3).select(waves / below, one);
                x.greater(radius).select(x.zeros_like(), weight)
            }
        }
    }
}

/// How the elements of a result come from those of an axis: element `i` lies at `(i + 1/2) step - shift - 1/2`.
struct Weights<'s, 'b> {
    kernel: Kernel,
    antialias: bool,
    step: Formula<'s, 'b>,
    shift: Formula<'s, 'b>,
    dtype: DType,
}

impl<'s, 'b> Weights<'s, 'b> {
    /// The weights `[element of the axis, element of the result]`; those of a result sum to 1, or are 0 where it lies outside.
    fn matrix(&self, extent: &Dim, count: i64) -> Formula<'s, 'b> {
        let shape = [extent.clone(), Dim::constant(count)];
        let scope = self.step.scope();
        let place = (iota(scope, self.dtype, &shape, 1) + 0.5) * self.step - self.shift - 0.5;
        let distance = (place - iota(scope, self.dtype, &shape, 0)).abs();
        let distance = if self.antialias { distance / self.step.maximum(1.0) } else { distance };
        let weights = self.kernel.weight(distance);
        let total = weights.sum_keep(&[0]);
        let safe = total.not_equal(0.0).select(total, 1.0);
        let counts = total.abs().greater(1000.0 * f64::from(f32::EPSILON));
        let last = extent_of(self.step, extent, self.dtype) - 0.5;
        let inside = place.greater_equal(-0.5).and(place.less_equal(last));
        counts.and(inside).select(weights / safe, 0.0)
    }
}

/// The axis contracted with the rows of a matrix, whose columns become the axis.
fn contract<'s, 'b>(x: Formula<'s, 'b>, axis: usize, weights: Formula<'s, 'b>) -> Formula<'s, 'b> {
    let op = DotGeneral { lhs_batch: vec![], rhs_batch: vec![], lhs_contract: vec![axis], rhs_contract: vec![0] };
    let product = x.scope().op(op, &[x, weights.convert(x.ty().dtype)]);
    let last = product.shape().len() - 1;
    let order: Vec<usize> = (0..axis).chain([last]).chain(axis..last).collect();
    product.transpose(&order)
}

/// Images scaled and moved along axes: the element at `y` of the result shows what lies at `(y - translation) / scale`.
#[track_caller]
pub fn scale_and_translate(
    images: impl Into<Tensor>,
    output_shape: impl Into<Shape>,
    scale: impl Into<Tensor>,
    translation: impl Into<Tensor>,
    spatial_dims: impl Into<Integers>,
    method: impl Into<String>,
) -> Call<declared::ScaleAndTranslate> {
    declared::scale_and_translate(images, scale, translation, output_shape, spatial_dims, method)
}

pub use declared::ScaleAndTranslate;

mod declared {
    use super::*;

    functions! {
        /// As [`super::scale_and_translate`], with the tensors before the other arguments.
        scale_and_translate ScaleAndTranslate(images, scale, translation;
            output_shape: Shape, spatial_dims: Integers, method: String
        ) {
            /// Whether images that become smaller are smoothed (default: yes).
            antialias: bool = true,
        } = |_, &[x, scale, translation]| {
            let kernel = Kernel::named(&method)?;
            let x = float(x);
            let [scale, translation] = promote_float([scale, translation]);
            let rank = x.shape().len();
            let axes = super::super::super::arguments::distinct(&spatial_dims.values, rank)?;
            let count = [Dim::constant(axes.len() as i64)];
            if output_shape.0.len() != rank || scale.shape() != count || translation.shape() != count {
                return Err(wrong(format!("expected {rank} extents, and {} scales and translations", axes.len())));
            }
            let mut result = x;
            for (i, &axis) in axes.iter().enumerate() {
                let extent = known_extent(&output_shape.0, axis)?;
                let step = 1.0 / at(scale, 0, i as i64);
                let shift = at(translation, 0, i as i64) * step;
                let weights = Weights { kernel, antialias, step, shift, dtype: scale.ty().dtype };
                result = contract(result, axis, weights.matrix(&x.shape()[axis], extent));
            }
            if result.shape() != output_shape.0 {
                return Err(wrong(format!(
                    "`output_shape` differs from {} on an axis that is not among `spatial_dims`",
                    crate::shape_text(&result.shape())
                )));
            }
            Ok(result)
        };
    }
}
