use crate::layer::{base, one_input, passes_masks};
use crate::random::{self, Seed};
use crate::{Base, Config, Error, Layer, Result, Scope};
use kc_ir::tensor::ops::{Binary, Compare};
use kc_ir::tensor::{Real, Value, composites};
use kc_ir::{Dim, TensorType};
use serde_json::json;

/// In training sets a fraction of the elements, drawn anew in each step, to 0 and scales the others by `1 / (1 - rate)`;
/// otherwise the identity. `keras.layers.Dropout`.
#[derive(Clone, Debug)]
pub struct Dropout {
    base: Base,
    rate: f64,
    noise_shape: Option<Vec<Option<i64>>>,
    /// Where elements are dropped.
    seed: Option<Seed>,
}

impl Dropout {
    /// Dropout of that fraction, between 0 and 1.
    #[track_caller]
    pub fn new(rate: f64) -> Self {
        Dropout { base: Base::new("Dropout"), rate, noise_shape: None, seed: (rate > 0.0).then(Seed::drawn) }
    }

    /// The shape of the mask, broadcast to the input's: `None` stands for the input's extent (default: the input's shape).
    pub fn noise_shape(mut self, noise_shape: impl IntoIterator<Item = Option<i64>>) -> Self {
        self.noise_shape = Some(noise_shape.into_iter().collect());
        self
    }

    /// The seed (default: drawn where the layer is made).
    pub fn seed(mut self, seed: u32) -> Self {
        if let Some(own) = &mut self.seed {
            random::replace(own, seed.into());
        }
        self
    }
}

impl Layer for Dropout {
    base!();
    passes_masks!();

    fn build(&self, scope: &mut Scope, inputs: &[TensorType]) -> Result<()> {
        if !(0.0..=1.0).contains(&self.rate) {
            return Err(Error::model(format!("`rate` is {}, expected a number between 0 and 1", self.rate)));
        }
        if let (Some(noise_shape), [input]) = (&self.noise_shape, inputs) {
            let fits = noise_shape.len() == input.rank()
                && noise_shape
                    .iter()
                    .zip(&input.shape)
                    .all(|(noise, dim)| noise.is_none_or(|noise| noise == 1 || dim.is(noise)));
            if !fits {
                return Err(Error::model(format!(
                    "`noise_shape` {noise_shape:?} cannot be broadcast to the input's shape {}",
                    crate::shape_text(&input.shape)
                )));
            }
        }
        self.seed.as_ref().map_or(Ok(()), |seed| scope.add_seed_generator(seed))
    }

    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
        let x = one_input(inputs)?;
        if !scope.training() || self.rate == 0.0 {
            return Ok(vec![x]);
        }
        let x = scope.float(x)?;
        let key = scope.draw_seed()?;
        let Some(noise_shape) = &self.noise_shape else {
            return Ok(vec![scope.add(composites::Dropout { rate: Real(self.rate) }, &[x, key])?]);
        };
        let keep = 1.0 - self.rate;
        let shape = scope.tensor_type(x).shape.clone();
        let noise: Vec<Dim> =
            noise_shape.iter().zip(&shape).map(|(noise, dim)| noise.map_or(dim.clone(), Dim::constant)).collect();
        let uniform =
            composites::RandomUniform { dtype: kc_ir::DType::F32, shape: noise, low: Real(0.0), high: Real(1.0) };
        let uniform = scope.add(uniform, &[key])?;
        let limit = scope.splat_like(keep, uniform)?;
        let kept = scope.compare(Compare::Less, uniform, limit)?;
        let kept = scope.broadcast_to(kept, &shape)?;
        let zero = scope.splat_like(0.0, x)?;
        // nothing is kept at a rate of 1
        let scaled = if keep > 0.0 { scope.binary_constant(Binary::Divide, x, keep)? } else { zero };
        Ok(vec![scope.select(kept, scaled, zero)?])
    }

    fn config(&self) -> Config {
        Config::from([
            ("rate".into(), json!(self.rate)),
            ("seed".into(), json!(self.seed.as_ref().and_then(Seed::given))),
            ("noise_shape".into(), json!(self.noise_shape)),
        ])
    }
}
