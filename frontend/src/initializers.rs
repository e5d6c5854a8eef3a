//! How weights start: `keras.initializers`. Each is a composition of ops in the entry point `init`. What is random has a seed of its own:
//! one that is given, or drawn when the initializer is made (see [`crate::random`]).

mod orthogonal;

use crate::ops::{self, Tensor};
use crate::quantizers::AbsMaxQuantizer;
use crate::random::{self, Seed};
use crate::{Result, Scope};
use kc_ir::tensor::composites::{self, RandomNormal as Normal, RandomUniform as Uniform};
use kc_ir::tensor::ops::{Binary, Compare, Concatenate, Iota};
use kc_ir::tensor::{Real, Scalar, Value};
use kc_ir::{DType, Dim, TensorType};

/// How a weight starts. Made from a name (`"he_normal"`) or from one of the types of this module.
#[derive(Clone, Debug, PartialEq)]
pub enum Initializer {
    /// All 0.
    Zeros,
    /// All 1.
    Ones,
    /// All the same.
    Constant(f64),
    /// Normal.
    RandomNormal {
        /// The mean.
        mean: f64,
        /// The standard deviation.
        stddev: f64,
        /// The seed.
        seed: Seed,
    },
    /// Normal, without what is more than two standard deviations from the mean.
    TruncatedNormal {
        /// The mean.
        mean: f64,
        /// The standard deviation before truncation.
        stddev: f64,
        /// The seed.
        seed: Seed,
    },
    /// Uniform.
    RandomUniform {
        /// The lower bound, which may occur.
        minval: f64,
        /// The upper bound, which does not occur.
        maxval: f64,
        /// The seed.
        seed: Seed,
    },
    /// Scaled by the number of inputs, outputs or their mean: variance `scale / n`.
    VarianceScaling {
        /// The numerator of the variance.
        scale: f64,
        /// What is counted.
        mode: FanMode,
        /// The distribution.
        distribution: Distribution,
        /// The axes of the inputs and those of the outputs, where they are not the last two.
        axes: Option<(Vec<usize>, Vec<usize>)>,
        /// The seed.
        seed: Seed,
    },
    /// A matrix (the last axis against the others) with orthonormal rows or columns, whichever are fewer, times a number.
    Orthogonal {
        /// The number.
        gain: f64,
        /// The seed.
        seed: Seed,
    },
    /// The identity matrix times a number.
    Identity(f64),
    /// A bias of four gates of which the second, that forgets, starts at 1 and the others by an initializer.
    #[doc(hidden)]
    UnitForgetBias(Box<Initializer>),
    /// A part of what another initializer gives, as integers with scales.
    #[doc(hidden)]
    Quantized(Box<Quantized>),
    /// The state of a seed generator: the seed and 0.
    #[doc(hidden)]
    Seed(Seed),
    /// A name that no initializer has; the layer that is built with it reports it.
    #[doc(hidden)]
    Unknown(String),
}

/// The integers or the scales of a quantised weight, of the numbers that it would start with.
#[doc(hidden)]
#[derive(Clone, Debug, PartialEq)]
pub struct Quantized {
    pub(crate) initializer: Initializer,
    /// Of the numbers.
    pub(crate) dtype: DType,
    pub(crate) shape: Vec<i64>,
    pub(crate) quantizer: AbsMaxQuantizer,
    /// The axes that share a scale, where the quantiser does not say.
    pub(crate) axes: Vec<i64>,
    /// Whether this is the scales, else the integers.
    pub(crate) scale: bool,
}

impl Quantized {
    /// The part of numbers, in the shape of the state tensor.
    pub(crate) fn of(&self, numbers: Tensor, shape: &[Dim]) -> Tensor {
        let (values, scales) = self.quantizer.quantize_along(numbers, &self.axes);
        if self.scale { ops::reshape(scales, shape) } else { values }
    }
}

/// What [`Initializer::VarianceScaling`] divides by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FanMode {
    /// The number of inputs of a unit.
    FanIn,
    /// The number of units that an input reaches.
    FanOut,
    /// The mean of both.
    FanAvg,
}

/// The distribution of [`Initializer::VarianceScaling`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// Normal without what is more than two standard deviations from 0, widened to have the wanted variance.
    TruncatedNormal,
    /// Normal.
    UntruncatedNormal,
    /// Uniform.
    Uniform,
}

macro_rules! variance_scaling {
    ($($name:ident $function:literal $scale:literal $mode:ident $distribution:ident;)*) => {
        $(#[doc = concat!("`keras.initializers.", stringify!($name), "`.")]
        #[derive(Clone, Debug, Default)]
        pub struct $name {
            seed: Seed,
        }

        impl $name {
            #[doc = concat!("`", stringify!($name), "(seed=None)`.")]
            pub fn new() -> Self {
                Self::default()
            }
            /// The seed (default: drawn where the initializer is made). All weights of one seed and shape start alike.
            pub fn seed(mut self, seed: impl Into<Seed>) -> Self {
                random::replace(&mut self.seed, seed.into());
                self
            }
        }

        impl From<$name> for Initializer {
            fn from(given: $name) -> Initializer {
                Initializer::VarianceScaling {
                    scale: $scale,
                    mode: FanMode::$mode,
                    distribution: Distribution::$distribution,
                    axes: None,
                    seed: given.seed,
                }
            }
        })*

        /// The names that a text can give.
        pub(crate) const NAMES: &[&str] = &[$($function,)* "zeros", "ones", "random_normal", "random_uniform", "truncated_normal", "orthogonal", "identity"];

        impl From<&str> for Initializer {
            fn from(name: &str) -> Self {
                match name {
                    $($function | stringify!($name) => $name { seed: Seed::by_name() }.into(),)*
                    "zeros" | "Zeros" | "zero" => Initializer::Zeros,
                    "ones" | "Ones" | "one" => Initializer::Ones,
                    "random_normal" | "RandomNormal" | "normal" => RandomNormal::with(Seed::by_name()).into(),
                    "random_uniform" | "RandomUniform" | "uniform" => RandomUniform::with(Seed::by_name()).into(),
                    "truncated_normal" | "TruncatedNormal" => TruncatedNormal::with(Seed::by_name()).into(),
                    "orthogonal" | "Orthogonal" | "OrthogonalInitializer" => Orthogonal::with(Seed::by_name()).into(),
                    "identity" | "Identity" | "IdentityInitializer" => Initializer::Identity(1.0),
                    _ => Initializer::Unknown(name.to_string()),
                }
            }
        }
    };
}

variance_scaling! {
    GlorotUniform "glorot_uniform" 1.0 FanAvg Uniform;
    GlorotNormal "glorot_normal" 1.0 FanAvg TruncatedNormal;
    HeUniform "he_uniform" 2.0 FanIn Uniform;
    HeNormal "he_normal" 2.0 FanIn TruncatedNormal;
    LecunUniform "lecun_uniform" 1.0 FanIn Uniform;
    LecunNormal "lecun_normal" 1.0 FanIn TruncatedNormal;
}

macro_rules! distributions {
    ($($name:ident { $($field:ident: $default:literal),* };)*) => {
        $(#[doc = concat!("`keras.initializers.", stringify!($name), "`.")]
        #[derive(Clone, Debug)]
        pub struct $name {
            $($field: f64,)*
            seed: Seed,
        }

        impl $name {
            /// With Keras' defaults.
            pub fn new() -> Self {
                Self::with(Seed::drawn())
            }
            fn with(seed: Seed) -> Self {
                $name { $($field: $default,)* seed }
            }
            $(#[doc = concat!("Keras' argument `", stringify!($field), "` (default: ", stringify!($default), ").")]
            pub fn $field(mut self, $field: f64) -> Self {
                self.$field = $field;
                self
            })*
            /// The seed (default: drawn where the initializer is made). All weights of one seed and shape start alike.
            pub fn seed(mut self, seed: impl Into<Seed>) -> Self {
                random::replace(&mut self.seed, seed.into());
                self
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }

        impl From<$name> for Initializer {
            fn from(given: $name) -> Initializer {
                Initializer::$name { $($field: given.$field,)* seed: given.seed }
            }
        })*
    };
}

distributions! {
    RandomNormal { mean: 0.0, stddev: 0.05 };
    TruncatedNormal { mean: 0.0, stddev: 0.05 };
    RandomUniform { minval: -0.05, maxval: 0.05 };
    Orthogonal { gain: 1.0 };
}

impl From<f64> for Initializer {
    fn from(value: f64) -> Self {
        Initializer::Constant(value)
    }
}

/// The seed of an initializer that is borrowed in either way; `$method` is the one that asks.
macro_rules! seed_of {
    ($initializer:ident, $method:ident) => {
        match $initializer {
            Initializer::RandomNormal { seed, .. }
            | Initializer::TruncatedNormal { seed, .. }
            | Initializer::RandomUniform { seed, .. }
            | Initializer::VarianceScaling { seed, .. }
            | Initializer::Orthogonal { seed, .. }
            | Initializer::Seed(seed) => Some(seed),
            Initializer::UnitForgetBias(others) => others.$method(),
            Initializer::Quantized(part) => part.initializer.$method(),
            Initializer::Zeros
            | Initializer::Ones
            | Initializer::Constant(_)
            | Initializer::Identity(_)
            | Initializer::Unknown(_) => None,
        }
    };
}

impl Initializer {
    /// The same where the units of a kernel are counted along these axes.
    pub(crate) fn counting(mut self, inputs: Vec<usize>, outputs: Vec<usize>) -> Self {
        if let Initializer::VarianceScaling { axes: axes @ None, .. } = &mut self {
            *axes = Some((inputs, outputs));
        }
        self
    }

    /// The seed of what is random.
    pub(crate) fn seed(&self) -> Option<&Seed> {
        seed_of!(self, seed)
    }

    /// The same, to be changed.
    pub(crate) fn seed_mut(&mut self) -> Option<&mut Seed> {
        seed_of!(self, seed_mut)
    }

    /// A copy for another layer: where its seed was drawn, it has one of its own.
    pub(crate) fn renewed(&self) -> Self {
        let mut copy = self.clone();
        if let Some(seed) = copy.seed_mut() {
            *seed = seed.renewed();
        }
        copy
    }

    /// The first value of a weight; `key` is the key of its [`Self::seed`].
    pub(crate) fn build(&self, scope: &mut Scope, ty: &TensorType, key: Option<Value>) -> Result<Value> {
        let drawn = key;
        let key = || drawn.ok_or_else(|| crate::Error::model("a random first value has no key"));
        let constant = |scope: &mut Scope, value: f64| {
            let value = if ty.dtype.is_float() { Scalar::Float(value) } else { Scalar::Int(value as i128) };
            Ok(scope.splat(ty.dtype, value, &ty.shape)?)
        };
        match *self {
            Initializer::Zeros => constant(scope, 0.0),
            Initializer::Ones => constant(scope, 1.0),
            Initializer::Constant(value) => constant(scope, value),
            Initializer::RandomNormal { mean, stddev, .. } => {
                let key = key()?;
                let sample = scope.add(Normal { dtype: ty.dtype, shape: ty.shape.clone() }, &[key])?;
                affine(scope, sample, stddev, mean)
            }
            Initializer::TruncatedNormal { mean, stddev, .. } => {
                let key = key()?;
                let sample =
                    scope.add(composites::TruncatedNormal { dtype: ty.dtype, shape: ty.shape.clone() }, &[key])?;
                affine(scope, sample, stddev, mean)
            }
            Initializer::RandomUniform { minval, maxval, .. } => {
                let key = key()?;
                uniform(scope, key, ty, minval, maxval)
            }
            Initializer::VarianceScaling { scale, mode, distribution, ref axes, .. } => {
                let key = key()?;
                let (fan_in, fan_out) = fans(ty, axes);
                let fan = match mode {
                    FanMode::FanIn => fan_in,
                    FanMode::FanOut => fan_out,
                    FanMode::FanAvg => (fan_in + fan_out) / 2.0,
                };
                let variance = scale / fan.max(1.0);
                match distribution {
                    Distribution::TruncatedNormal => {
                        // the standard deviation of a normal truncated to (-2, 2)
                        let stddev = variance.sqrt() / 0.879_625_661_034_239_8;
                        let sample = scope
                            .add(composites::TruncatedNormal { dtype: ty.dtype, shape: ty.shape.clone() }, &[key])?;
                        affine(scope, sample, stddev, 0.0)
                    }
                    Distribution::UntruncatedNormal => {
                        let sample = scope.add(Normal { dtype: ty.dtype, shape: ty.shape.clone() }, &[key])?;
                        affine(scope, sample, variance.sqrt(), 0.0)
                    }
                    Distribution::Uniform => {
                        let limit = (3.0 * variance).sqrt();
                        uniform(scope, key, ty, -limit, limit)
                    }
                }
            }
            Initializer::Orthogonal { gain, .. } => orthogonal::matrix(scope, key()?, ty, gain),
            Initializer::Identity(gain) => identity(scope, ty, gain),
            Initializer::UnitForgetBias(ref others) => {
                let units = ty.elements().as_constant().unwrap_or(0) / 4;
                let of = |gates: i64| TensorType::new(ty.dtype, [gates * units]);
                let parts = [
                    others.build(scope, &of(1), drawn)?,
                    Initializer::Ones.build(scope, &of(1), None)?,
                    others.build(scope, &of(2), drawn)?,
                ];
                Ok(scope.add(Concatenate { axis: 0 }, &parts)?)
            }
            Initializer::Quantized(ref part) => {
                let numbers = TensorType::new(part.dtype, part.shape.iter().copied());
                let numbers = part.initializer.build(scope, &numbers, drawn)?;
                let numbers = scope.tensor(numbers);
                scope.build(part.of(numbers, &ty.shape))
            }
            Initializer::Seed(_) => key(),
            Initializer::Unknown(ref name) => Err(crate::Error::model(format!("unknown initializer `{name}`"))),
        }
    }
}

fn identity(scope: &mut Scope, ty: &TensorType, gain: f64) -> Result<Value> {
    if ty.rank() != 2 {
        let shape = crate::shape_text(&ty.shape);
        return Err(crate::Error::model(format!("an identity has 2 axes, the weight's shape is {shape}")));
    }
    let positions = TensorType { dtype: kc_ir::DType::I32, shape: ty.shape.clone() };
    let row = scope.add(Iota { ty: positions.clone(), axis: 0 }, &[])?;
    let column = scope.add(Iota { ty: positions, axis: 1 }, &[])?;
    let diagonal = scope.compare(Compare::Equal, row, column)?;
    let (on, off) = (scope.splat(ty.dtype, gain, &ty.shape)?, scope.splat(ty.dtype, 0.0, &ty.shape)?);
    Ok(scope.select(diagonal, on, off)?)
}

fn uniform(scope: &mut Scope, key: Value, ty: &TensorType, low: f64, high: f64) -> Result<Value> {
    Ok(scope.add(Uniform { dtype: ty.dtype, shape: ty.shape.clone(), low: Real(low), high: Real(high) }, &[key])?)
}

fn affine(scope: &mut Scope, x: Value, factor: f64, offset: f64) -> Result<Value> {
    let scaled = scope.binary_constant(Binary::Multiply, x, factor)?;
    scope.binary_constant(Binary::Add, scaled, offset)
}

/// The number of inputs and outputs of a unit of a kernel `[..., in, out]`, or of one with these axes.
fn fans(ty: &TensorType, axes: &Option<(Vec<usize>, Vec<usize>)>) -> (f64, f64) {
    let extents: Vec<f64> = ty.shape.iter().map(|dim| dim.as_constant().unwrap_or(1) as f64).collect();
    if let Some((inputs, outputs)) = axes {
        let product = |axes: &[usize]| axes.iter().filter_map(|&axis| extents.get(axis)).product();
        return (product(inputs), product(outputs));
    }
    match extents.as_slice() {
        [] => (1.0, 1.0),
        [n] => (*n, *n),
        [window @ .., fan_in, fan_out] => {
            let field: f64 = window.iter().product();
            (fan_in * field, fan_out * field)
        }
    }
}
