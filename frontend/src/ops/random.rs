//! Random tensors: `keras.random`, which `kc::random` gives.

use super::arguments::{axis, wrong};
use super::function::IntoResults;
use super::movement::Shape;
use super::{DTypeName, Expression, Function, Operand, Tensor};
use crate::Error;
use crate::random::Seed;
use kc_ir::tensor::composites::{
    RandomBeta, RandomBinomial, RandomClasses, RandomGamma, RandomIntegers, RandomNormal, RandomUniform,
    Shuffle as ShuffleLines, TruncatedNormal as Truncated,
};
use kc_ir::tensor::{Real, Scope, Tensor as Formula, TypeError};
use kc_ir::{DType, Dim};
use kc_runtime::Array;
use std::panic::Location;
use std::sync::{Arc, OnceLock};

/// A random function with its operands. Methods named after Keras' optional arguments set them: `random::normal([2, 3]).seed(42)`. It is
/// a tensor wherever one is expected, and the same tensor each time: its seed is taken when it is first used.
#[derive(Clone, Debug)]
pub struct Draw<F> {
    function: F,
    operands: Vec<Tensor>,
    seed: Option<Seed>,
    place: &'static Location<'static>,
    drawn: OnceLock<Tensor>,
}

impl<F: Function + Clone> Draw<F> {
    #[track_caller]
    fn new(function: F, operands: Vec<Tensor>) -> Self {
        Draw { function, operands, seed: None, place: Location::caller(), drawn: OnceLock::new() }
    }

    /// The seed (default: the next of the thread's own generator): a number, with which the numbers are always the same, or a
    /// [`SeedGenerator`](crate::random::SeedGenerator), which gives each draw another one.
    pub fn seed(mut self, seed: impl Into<Seed>) -> Self {
        self.seed = Some(seed.into());
        self
    }

    fn draw(&self) -> Tensor {
        let key = self.seed.as_ref().map_or_else(crate::random::next_key, Seed::next_key);
        match Array::from_slice(&key, &[2]) {
            Ok(key) => {
                let operands = std::iter::once(key.into()).chain(self.operands.iter().cloned()).collect();
                Tensor::call(Arc::new(self.function.clone()), operands, self.place)
            }
            Err(error) => Tensor::error(Error::run(error.to_string())),
        }
    }
}

impl<F: Function + Clone> Expression for Draw<F> {
    fn tensor(&self) -> Tensor {
        self.drawn.get_or_init(|| self.draw()).clone()
    }
}

impl<F: Function + Clone> From<Draw<F>> for Tensor {
    fn from(draw: Draw<F>) -> Tensor {
        draw.tensor()
    }
}

impl<F: Function + Clone> From<&Draw<F>> for Tensor {
    fn from(draw: &Draw<F>) -> Tensor {
        draw.tensor()
    }
}

/// Declares random functions: their tensors, behind `;` the other arguments, behind another `;` tensors that follow them, in braces the optional ones with their defaults; then the
/// formula of the key and the tensors.
macro_rules! draws {
    ($(
        $(#[$meta:meta])*
        $name:ident $class:ident ($($operand:ident),* ; $($argument:ident: $argument_type:ty),* $(; $($behind:ident),+)?) {
            $($(#[$option_meta:meta])* $option:ident: $option_type:ty = $default:expr,)*
        } = |$key:ident| $body:expr;
    )*) => { $(
        $(#[$meta])*
        #[track_caller]
        pub fn $name(
            $($operand: impl Into<Tensor>,)*
            $($argument: impl Into<$argument_type>,)*
            $($($behind: impl Into<Tensor>,)+)?
        ) -> Draw<$class> {
            let function = $class { $($argument: $argument.into(),)* $($option: $default,)* };
            Draw::new(function, vec![$($operand.into(),)* $($($behind.into(),)+)?])
        }

        #[doc = concat!("The arguments of [`", stringify!($name), "`].")]
        #[derive(Clone, Debug)]
        pub struct $class { $($argument: $argument_type,)* $($option: $option_type,)* }

        impl Draw<$class> { $(
            $(#[$option_meta])*
            pub fn $option(mut self, $option: impl Into<$option_type>) -> Self {
                self.function.$option = $option.into();
                self
            }
        )* }

        impl Function for $class {
            fn name(&self) -> &'static str {
                stringify!($name)
            }
            fn class(&self) -> &'static str {
                stringify!($class)
            }
            fn hidden(&self) -> usize {
                1
            }
            fn build<'s, 'b>(
                &self,
                _: &'s Scope<'b>,
                operands: &[Operand<'s, 'b>],
            ) -> Result<Vec<Formula<'s, 'b>>, TypeError> {
                let [$key, $($operand,)* $($($behind,)+)?] = operands else {
                    return Err(wrong(format!("{} operands are not as many as it takes", operands.len())));
                };
                let Self { $($argument,)* $($option,)* } = self.clone();
                $body.into_results()
            }
        }
    )* };
}

draws! {
    /// Normal numbers of a shape. `keras.random.normal`.
    normal Normal(; shape: Shape) {
        /// The mean (default: 0).
        mean: f64 = 0.0,
        /// The standard deviation (default: 1).
        stddev: f64 = 1.0,
        /// The dtype (default: `"float32"`).
        dtype: DTypeName = DTypeName::Default,
    } = |key| {
        let sample = key.with_op(RandomNormal { dtype: float(&dtype)?, shape: shape.0 });
        affine(sample, stddev, mean)
    };
    /// Normal numbers of a shape without those more than two standard deviations from the mean. `keras.random.truncated_normal`.
    truncated_normal TruncatedNormal(; shape: Shape) {
        /// The mean (default: 0).
        mean: f64 = 0.0,
        /// The standard deviation before numbers are left out (default: 1).
        stddev: f64 = 1.0,
        /// The dtype (default: `"float32"`).
        dtype: DTypeName = DTypeName::Default,
    } = |key| {
        let sample = key.with_op(Truncated { dtype: float(&dtype)?, shape: shape.0 });
        affine(sample, stddev, mean)
    };
    /// Numbers of a shape, of at least `minval` and below `maxval`. `keras.random.uniform`.
    uniform Uniform(; shape: Shape) {
        /// The lower bound (default: 0).
        minval: f64 = 0.0,
        /// The upper bound (default: 1).
        maxval: f64 = 1.0,
        /// The dtype (default: `"float32"`).
        dtype: DTypeName = DTypeName::Default,
    } = |key| {
        key.with_op(RandomUniform { dtype: float(&dtype)?, shape: shape.0, low: Real(minval), high: Real(maxval) })
    };
    /// Integers of a shape, of at least `minval` and below `maxval`. `keras.random.randint`.
    randint Randint(; shape: Shape, minval: i64, maxval: i64) {
        /// The dtype (default: `"int32"`).
        dtype: DTypeName = DTypeName::Default,
    } = |key| {
        let bound = |value: i64| key.scope().scalar(DType::I64, value);
        let op = RandomIntegers { dtype: dtype.or(DType::I32)?, shape: shape.0 };
        key.scope().op(op, &[key.tensor, bound(minval), bound(maxval)])
    };
    /// Classes, so many for each row of logits `[B, classes]`. `keras.random.categorical`.
    categorical Categorical(logits; num_samples: i64) {
        /// The dtype (default: `"int32"`).
        dtype: DTypeName = DTypeName::Default,
    } = |key| {
        if num_samples < 0 {
            return Err(wrong(format!("`num_samples` is {num_samples}, expected 0 or more")));
        }
        let op = RandomClasses { dtype: dtype.or(DType::I32)?, count: num_samples };
        key.scope().op(op, &[logits.tensor, key.tensor])
    };
    /// The inputs divided by `1 - rate`, but 0 where a random number is not below `1 - rate`. `keras.random.dropout`.
    dropout Dropout(inputs; rate: f64) {
        /// The shape of the mask, broadcast to the inputs': `None` stands for the inputs' extent (default: their shape).
        noise_shape: Option<Vec<Option<i64>>> = None,
    } = |key| {
        let keep = 1.0 - rate;
        if !(0.0..=1.0).contains(&rate) {
            return Err(wrong(format!("`rate` is {rate}, expected a number from 0 to 1")));
        }
        if keep == 1.0 {
            inputs.tensor
        } else if keep == 0.0 {
            inputs.zeros_like()
        } else {
            let shape = inputs.shape();
            let noise = noise_shape.unwrap_or_else(|| vec![None; shape.len()]);
            if noise.len() != shape.len() {
                return Err(wrong(format!("`noise_shape` has {} axes, expected {}", noise.len(), shape.len())));
            }
            let noise = noise.iter().zip(&shape).map(|(noise, own)| noise.map_or(own.clone(), Dim::constant)).collect();
            let uniform = RandomUniform { dtype: DType::F32, shape: noise, low: Real(0.0), high: Real(1.0) };
            key.with_op(uniform).less(keep).broadcast_to(&shape).select(inputs.tensor / keep, 0.0)
        }
    };
    /// Numbers of the gamma distribution of a shape, with these parameters, above 0, that broadcast to it. `keras.random.gamma`.
    gamma Gamma(; shape: Shape; alpha) {
        /// The dtype (default: `"float32"`).
        dtype: DTypeName = DTypeName::Default,
    } = |key| {
        let alpha = alpha.convert(float(&dtype)?).broadcast_to(&shape.0);
        key.scope().op(RandomGamma {}, &[alpha, key.tensor])
    };
    /// Numbers of the beta distribution of a shape, with these parameters, above 0, that broadcast to it. `keras.random.beta`.
    beta Beta(; shape: Shape; alpha, beta) {
        /// The dtype (default: `"float32"`).
        dtype: DTypeName = DTypeName::Default,
    } = |key| {
        let dtype = float(&dtype)?;
        let [alpha, beta] = [alpha, beta].map(|given| given.convert(dtype).broadcast_to(&shape.0));
        key.scope().op(RandomBeta {}, &[alpha, beta, key.tensor])
    };
    /// Numbers of successes of a shape: of so many trials, `counts`, each with the probability `probabilities`, which broadcast to
    /// the shape. `keras.random.binomial`, with its JAX back end: a number of trials is rounded down; NaN where it is below 0, or a
    /// probability is.
    binomial Binomial(; shape: Shape; counts, probabilities) {
        /// The dtype (default: `"float32"`).
        dtype: DTypeName = DTypeName::Default,
    } = |key| {
        let dtype = float(&dtype)?;
        let computed = if probabilities.ty().dtype.is_float() { probabilities.ty().dtype } else { DType::F32 };
        let [counts, probabilities] = [counts, probabilities].map(|given| given.convert(computed).broadcast_to(&shape.0));
        key.scope().op(RandomBinomial { dtype }, &[counts, probabilities, key.tensor])
    };
    /// Every line along an axis in a random order of its own. `keras.random.shuffle`, with its JAX back end.
    shuffle Shuffle(x;) {
        /// The axis (default: 0).
        axis: i64 = 0,
    } = |key| {
        let axis = self::axis(axis, x.shape().len())?;
        key.scope().op(ShuffleLines { axis }, &[x.tensor, key.tensor])
    };
}

/// A floating-point dtype, by default f32.
fn float(dtype: &DTypeName) -> Result<DType, TypeError> {
    let dtype = dtype.or(DType::F32)?;
    if dtype.is_float() {
        return Ok(dtype);
    }
    Err(wrong(format!("the dtype is {}, expected a floating-point dtype", dtype.keras_name())))
}

/// `sample * factor + offset`, each rounded.
fn affine<'s, 'b>(sample: Formula<'s, 'b>, factor: f64, offset: f64) -> Formula<'s, 'b> {
    if (factor, offset) == (1.0, 0.0) { sample } else { sample * factor + offset }
}
