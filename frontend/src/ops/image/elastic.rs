//! Images distorted at random.

use super::super::arguments::wrong;
use super::super::declare::functions;
use super::super::formulas::{iota, with_axis, without_axis};
use super::coordinates::{Planes, Sampler};
use super::filters::blur;
use super::{batched, places, unbatched};
use crate::layers::DataFormat;
use crate::random::{GeneratorSeed, Seed, SeedGenerator};
use kc_ir::DType;
use kc_ir::tensor::composites::RandomNormal;
use kc_ir::tensor::ops::Constant;
use kc_ir::tensor::{Literal, Scalar};
use std::sync::{Arc, OnceLock};

/// A key of random numbers: of a number, the next of a generator, or drawn when it is needed. Clones are the same key.
#[derive(Clone, Debug, Default)]
pub struct Key(Arc<OnceLock<[u32; 2]>>);

impl Key {
    fn words(&self) -> [u32; 2] {
        *self.0.get_or_init(|| match Seed::drawn().of_generator() {
            GeneratorSeed::Given(seed) => [seed, 0],
            GeneratorSeed::Drawn(seed) => [seed.value(), 0],
        })
    }
}

impl From<u32> for Key {
    fn from(seed: u32) -> Self {
        Key(Arc::new(OnceLock::from([seed, 0])))
    }
}

impl From<&SeedGenerator> for Key {
    fn from(generator: &SeedGenerator) -> Self {
        Key(Arc::new(OnceLock::from(generator.next_seed())))
    }
}

functions! {
    /// Images whose pixels are moved by smooth random distances, the same along rows and columns.
    elastic_transform ElasticTransform(images) {
        /// How far pixels are moved (default: 20).
        alpha: f64 = 20.0,
        /// How smooth the distances are (default: 5).
        sigma: f64 = 5.0,
        /// `"bilinear"` (default) or `"nearest"`.
        interpolation: String = "bilinear".to_string(),
        /// What lies outside, as [`map_coordinates`](super::map_coordinates) has it (default: `"reflect"`).
        fill_mode: String = "reflect".to_string(),
        /// The constant (default: 0).
        fill_value: f64 = 0.0,
        /// The seed, a number or a generator (default: it is drawn).
        seed: Key = Key::default(),
        /// `"channels_last"` (default) or `"channels_first"`.
        data_format: DataFormat = DataFormat::ChannelsLast,
    } = |scope, &[x]| {
        places(*x, &data_format)?;
        let width = ((6.0 * sigma) as i64) | 1;
        if !x.ty().dtype.is_float() || sigma <= 0.0 || width > 10_000 {
            return Err(wrong(format!("expected images of a floating-point dtype and a `sigma` above 0, got {sigma}")));
        }
        let (images, is_batch) = batched(*x);
        let planes = Planes::of(images, &data_format)?;
        let all = planes.shape();
        let shape = [planes.batch.clone(), all[1].clone(), all[2].clone()];
        let words = seed.words().map(|word| Scalar::Int(word.into()));
        let key = scope.op(Constant { value: Literal::from_scalars(DType::U32, vec![2], words) }, &[]);
        let noise = scope.op(RandomNormal { dtype: DType::F32, shape: shape.to_vec() }, &[key]) * sigma;
        let smooth = blur(with_axis(noise, 3), [width; 2], [sigma; 2], &DataFormat::ChannelsLast)?;
        let distances = without_axis(smooth, 3) * alpha;
        let places = [1, 2].map(|axis| {
            let place = iota(scope, DType::F32, &shape, axis) + distances;
            let mut wide = shape.to_vec();
            wide.insert(1, kc_ir::Dim::constant(planes.channels));
            with_axis(place, 1).broadcast_to(&wide).reshape(&all)
        });
        let sampler = Sampler::of_images(&interpolation, &fill_mode, fill_value)?;
        Ok(unbatched(planes.back(sampler.sample(planes.planes, &places), &data_format)?, is_batch))
    };
}
