//! Convolution of images with 3 x 3 filters by fewer multiplications: Winograd's minimal filtering F(2 x 2, 3 x 3), after Lavin and
//! Gray, "Fast Algorithms for Convolutional Neural Networks" (2016).
//!
//! A tile of 2 x 2 results is `A^T (U * (B^T d B)) A`, where `d` are the 4 x 4 elements of the image that it depends on, `U = G g G^T` is
//! the transformed filter, and `*` multiplies elements, of which there are 16 where the definition multiplies 36 times. The sum over
//! channels is taken of the products, so that these are 16 matrix products of tiles and channels by channels and features.

use super::Composition;
use crate::tensor::ops::{Concatenate, DotGeneral, Pad, Slice};
use crate::tensor::{Builder, Literal, Scalar, TypeError, Value};
use kc_abi::{DType, Dim};
use serde::{Deserialize, Serialize};

/// Results of a tile along an axis.
pub const TILE: i64 = 2;

/// Elements of an image that a tile depends on along an axis, and elements of a transformed filter.
pub const SPAN: i64 = 4;

/// The transform of images, `B^T`.
const IMAGES: [[f64; 4]; 4] = [[1., 0., -1., 0.], [0., 1., 1., 0.], [0., -1., 1., 0.], [0., 1., 0., -1.]];

/// The transform of filters, `G`.
const FILTERS: [[f64; 3]; 4] = [[1., 0., 0.], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0., 0., 1.]];

/// The transform of results, `A^T`.
const RESULTS: [[f64; 4]; 2] = [[1., 1., 1., 0.], [0., 1., -1., -1.]];

/// Transformed filters `[16, 1, channels, features]`, as [`WinogradConvolution`] takes them, of filters `[3, 3, channels, features]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WinogradFilters {}

/// The convolution with step 1 of images `[batch, height, width, channels]`, padded with zeros, and transformed filters
/// `[16, panels, channels, width]`, whose features lie in panels side by side; behind the last feature there may be others, which are
/// not used.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WinogradConvolution {
    /// Zeros before and behind the image, along its height and its width.
    pub padding: [(i64, i64); 2],
    /// Features of the result.
    pub features: i64,
}

/// `M X` along the first axis of `x`, for the matrix of a transform along two axes: each of `matrix` by each.
fn transform<const N: usize>(b: &mut Builder, matrix: &[[f64; N]], x: Value) -> Result<Value, TypeError> {
    let both = matrix.iter().flat_map(|rows| {
        let columns = matrix.iter();
        columns.flat_map(move |column| rows.iter().flat_map(move |r| column.iter().map(move |c| Scalar::Float(r * c))))
    });
    let shape = vec![matrix.len() * matrix.len(), N * N];
    let matrix = b.constant(Literal::from_scalars(b.tensor_type(x).dtype, shape, both))?;
    let by_first = DotGeneral { lhs_batch: vec![], rhs_batch: vec![], lhs_contract: vec![1], rhs_contract: vec![0] };
    b.add(by_first, &[matrix, x])
}

impl WinogradConvolution {
    /// The result's height and width for an image of these.
    pub fn extents(&self, image: [&Dim; 2]) -> [Dim; 2] {
        let of = |axis: usize| image[axis].clone() + Dim::constant(self.padding[axis].0 + self.padding[axis].1 - 2);
        [of(0), of(1)]
    }
}

impl Composition for WinogradFilters {
    fn name(&self) -> &'static str {
        "winograd_filters"
    }

    fn body(&self, b: &mut Builder, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
        let [filters] = b.operands("winograd_filters", operands)?;
        let ty = b.tensor_type(filters).clone();
        let (DType::F32 | DType::F64, [height, width, channels, features]) = (ty.dtype, ty.shape.as_slice()) else {
            return Err(TypeError::new(
                "winograd_filters",
                format!("the filters are {ty}, expected f32[3, 3, channels, features]"),
            ));
        };
        if !height.is(3) || !width.is(3) {
            return Err(TypeError::new("winograd_filters", format!("the filters are {ty}, expected 3 x 3 ones")));
        }
        let flat = b.reshape(filters, &[Dim::constant(9), channels.clone(), features.clone()])?;
        let transformed = transform(b, &FILTERS, flat)?;
        Ok(vec![b.reshape(transformed, &[Dim::constant(16), Dim::constant(1), channels.clone(), features.clone()])?])
    }
}

impl Composition for WinogradConvolution {
    fn name(&self) -> &'static str {
        "winograd_convolution"
    }

    fn body(&self, b: &mut Builder, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
        let [images, filters] = b.operands("winograd_convolution", operands)?;
        let (ty, filters_ty) = (b.tensor_type(images).clone(), b.tensor_type(filters).clone());
        let wrong = |what: String| Err(TypeError::new("winograd_convolution", what));
        let (DType::F32 | DType::F64, [batch, height, width, channels]) = (ty.dtype, ty.shape.as_slice()) else {
            return wrong(format!("the images are {ty}, expected f32[batch, height, width, channels]"));
        };
        let [sixteen, panels, depth, columns] = filters_ty.shape.as_slice() else {
            return wrong(format!(
                "the transformed filters are {filters_ty}, expected f32[16, panels, channels, width]"
            ));
        };
        let all = panels.clone() * columns.clone();
        let fits = sixteen.is(16) && depth == channels && all.as_constant().is_none_or(|all| all >= self.features);
        if !fits || self.features < 1 || filters_ty.dtype != ty.dtype {
            let features = self.features;
            return wrong(format!(
                "images {ty} and transformed filters {filters_ty} do not make {features} features: expected the same channels, and as many features in all panels"
            ));
        }
        let extents = self.extents([height, width]);
        if self.padding.iter().any(|&(low, high)| low < 0 || high < 0)
            || extents.iter().any(|extent| extent.as_constant().is_some_and(|n| n < 1))
        {
            return wrong(format!("images {ty} padded by {:?} are smaller than 3 x 3", self.padding));
        }
        let tiles = extents.each_ref().map(|extent| extent.ceil_div(TILE));
        // padded to whole tiles
        let zero = b.constant(Literal::scalar(ty.dtype, 0.0))?;
        let missing = |axis: usize| extents[axis].as_constant().map_or(1, |n| n % TILE);
        let pad = Pad {
            low: vec![0, self.padding[0].0, self.padding[1].0, 0],
            high: vec![0, self.padding[0].1 + missing(0), self.padding[1].1 + missing(1), 0],
            interior: vec![0; 4],
        };
        let padded = b.add(pad, &[images, zero])?;
        let mut spans = vec![];
        for place in 0..SPAN * SPAN {
            let start = [place / SPAN, place % SPAN];
            let limit = |axis: usize| tiles[axis].clone() * Dim::constant(TILE) + Dim::constant(start[axis] + 1 - TILE);
            let slice = Slice {
                start: [0, start[0], start[1], 0].map(Dim::constant).to_vec(),
                limit: vec![batch.clone(), limit(0), limit(1), channels.clone()],
                stride: vec![1, TILE, TILE, 1],
            };
            let part = b.add(slice, &[padded])?;
            let shape: Vec<Dim> = [Dim::constant(1)].into_iter().chain(b.tensor_type(part).shape.clone()).collect();
            spans.push(b.reshape(part, &shape)?);
        }
        let spans = b.add(Concatenate { axis: 0 }, &spans)?;
        let spans = transform(b, &IMAGES, spans)?;
        let filters = b.transpose(filters, &[0, 2, 1, 3])?;
        let filters = b.reshape(filters, &[Dim::constant(16), channels.clone(), all])?;
        let products =
            DotGeneral { lhs_batch: vec![0], rhs_batch: vec![0], lhs_contract: vec![4], rhs_contract: vec![1] };
        let products = b.add(products, &[spans, filters])?;
        let results = transform(b, &RESULTS, products)?;
        let mut shape = b.tensor_type(results).shape.clone();
        shape.splice(..1, [Dim::constant(TILE), Dim::constant(TILE)]);
        let results = b.reshape(results, &shape)?;
        let woven = b.transpose(results, &[2, 3, 0, 4, 1, 5])?;
        let whole = tiles.map(|tiles| tiles * Dim::constant(TILE));
        let woven = b.reshape(woven, &[batch.clone(), whole[0].clone(), whole[1].clone(), shape[5].clone()])?;
        let [height, width] = extents;
        let slice = Slice {
            start: vec![Dim::default(); 4],
            limit: vec![batch.clone(), height, width, Dim::constant(self.features)],
            stride: vec![1; 4],
        };
        Ok(vec![b.add(slice, &[woven])?])
    }
}
