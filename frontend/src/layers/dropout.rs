use crate::layer::{base, one_input};
use crate::{Base, Config, Error, Layer, Result, Scope, random};
use kc_ir::TensorType;
use kc_ir::tensor::Value;
use kc_ir::tensor::ops::Binary;
use serde_json::json;

/// In training sets a fraction of the elements, drawn anew in each step, to 0 and scales the others by `1 / (1 - rate)`;
/// otherwise the identity. `keras.layers.Dropout`.
#[derive(Clone, Debug)]
pub struct Dropout {
    base: Base,
    rate: f64,
    noise_shape: Option<Vec<Option<i64>>>,
    seed: Option<u32>,
}

impl Dropout {
    /// Dropout of that fraction, between 0 and 1.
    #[track_caller]
    pub fn new(rate: f64) -> Self {
        Dropout { base: Base::new("Dropout"), rate, noise_shape: None, seed: None }
    }

    /// The shape of the mask, broadcast to the input's: `None` stands for the input's extent (default: the input's shape).
    pub fn noise_shape(mut self, noise_shape: impl IntoIterator<Item = Option<i64>>) -> Self {
        self.noise_shape = Some(noise_shape.into_iter().collect());
        self
    }

    /// The seed (default: drawn when the model is initialised).
    pub fn seed(mut self, seed: u32) -> Self {
        self.seed = Some(seed);
        self
    }
}

impl Layer for Dropout {
    base!();

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
        if self.rate > 0.0 { scope.add_seed_generator(self.seed) } else { Ok(()) }
    }

    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
        let x = one_input(inputs)?;
        if !scope.training() || self.rate == 0.0 {
            return Ok(vec![x]);
        }
        let x = scope.float(x)?;
        let zero = scope.splat_like(0.0, x)?;
        if self.rate == 1.0 {
            return Ok(vec![zero]);
        }
        let shape = scope.tensor_type(x).shape.clone();
        let noise_shape: Vec<kc_ir::Dim> = match &self.noise_shape {
            None => shape.clone(),
            Some(noise) => {
                noise.iter().zip(&shape).map(|(noise, dim)| noise.map_or(dim.clone(), kc_ir::Dim::constant)).collect()
            }
        };
        let key = scope.draw_seed()?;
        let mask = random::bernoulli(scope, key, &noise_shape, 1.0 - self.rate)?;
        let mask = scope.broadcast_to(mask, &shape)?;
        let scaled = scope.binary_constant(Binary::Divide, x, 1.0 - self.rate)?;
        Ok(vec![scope.select(mask, scaled, zero)?])
    }

    fn config(&self) -> Config {
        Config::from([
            ("rate".into(), json!(self.rate)),
            ("seed".into(), json!(self.seed)),
            ("noise_shape".into(), json!(self.noise_shape)),
        ])
    }
}
