//! What weights are held to: `keras.constraints`. Each is a projection of a weight that follows every step of the optimizer.

use crate::layer::arguments;
use crate::{Error, Result, Scope};
use kc_ir::tensor::Value;
use kc_ir::tensor::composites::EPSILON;
use kc_ir::tensor::ops::{Binary, Reduction, Unary};

/// What a weight is held to. Made from a name (`"max_norm"`) or from one of the types of this module.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Constraint {
    /// Nothing.
    #[default]
    None,
    /// Norms of at most a number.
    MaxNorm(MaxNorm),
    /// Numbers of at least 0.
    NonNeg(NonNeg),
    /// Norms of 1.
    UnitNorm(UnitNorm),
    /// Norms between two numbers.
    MinMaxNorm(MinMaxNorm),
    /// A name that no constraint has; the layer that is built with it reports it.
    #[doc(hidden)]
    Unknown(String),
}

/// The names that a text can give.
const NAMES: &[&str] = &["max_norm", "min_max_norm", "non_neg", "unit_norm"];

impl From<&str> for Constraint {
    fn from(name: &str) -> Self {
        match name {
            "max_norm" | "MaxNorm" => MaxNorm::new().into(),
            "min_max_norm" | "MinMaxNorm" => MinMaxNorm::new().into(),
            "non_neg" | "NonNeg" => NonNeg::new().into(),
            "unit_norm" | "UnitNorm" => UnitNorm::new().into(),
            _ => Constraint::Unknown(name.to_string()),
        }
    }
}

macro_rules! from {
    ($($name:ident)*) => {
        $(impl From<$name> for Constraint {
            fn from(given: $name) -> Constraint {
                Constraint::$name(given)
            }
        })*
    };
}
from!(MaxNorm NonNeg UnitNorm MinMaxNorm);

/// The axes along which a norm is taken: one, or a list; below 0 they count from the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NormAxes(Vec<i64>);

impl From<i64> for NormAxes {
    fn from(axis: i64) -> Self {
        NormAxes(vec![axis])
    }
}

impl<const N: usize> From<[i64; N]> for NormAxes {
    fn from(axes: [i64; N]) -> Self {
        NormAxes(axes.to_vec())
    }
}

impl From<Vec<i64>> for NormAxes {
    fn from(axes: Vec<i64>) -> Self {
        NormAxes(axes)
    }
}

impl NormAxes {
    /// The axes of a tensor of that rank, in ascending order.
    fn resolve(&self, rank: usize) -> Result<Vec<usize>> {
        let mut axes = Vec::with_capacity(self.0.len());
        for &axis in &self.0 {
            let place = if axis < 0 { axis + rank as i64 } else { axis };
            let place = usize::try_from(place).ok().filter(|&place| place < rank);
            match place {
                Some(place) if !axes.contains(&place) => axes.push(place),
                Some(_) => return Err(Error::model(format!("`axis` {:?} names one axis twice", self.0))),
                None => return Err(Error::model(format!("`axis` is {axis}, but the weight has {rank} axes"))),
            }
        }
        axes.sort_unstable();
        Ok(axes)
    }
}

/// Scales weights whose norm is above a number down to it. `keras.constraints.MaxNorm`.
#[derive(Clone, Debug, PartialEq)]
pub struct MaxNorm {
    max_value: f64,
    axis: NormAxes,
}

impl MaxNorm {
    /// With Keras' defaults: norms of at most 2 along axis 0.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        MaxNorm { max_value: 2.0, axis: 0.into() }
    }

    arguments! {
        /// The largest norm (default: 2).
        max_value: f64,
        /// The axes along which the norm is taken (default: 0).
        axis: NormAxes,
    }
}

/// Makes what is below 0 be 0. `keras.constraints.NonNeg`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NonNeg {}

impl NonNeg {
    /// The constraint, which has no arguments.
    pub fn new() -> Self {
        NonNeg {}
    }
}

/// Scales weights to a norm of 1. `keras.constraints.UnitNorm`.
#[derive(Clone, Debug, PartialEq)]
pub struct UnitNorm {
    axis: NormAxes,
}

impl UnitNorm {
    /// With Keras' default: norms along axis 0.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        UnitNorm { axis: 0.into() }
    }

    arguments! {
        /// The axes along which the norm is taken (default: 0).
        axis: NormAxes,
    }
}

/// Scales weights towards norms between two numbers: to `rate * clip(norm, min_value, max_value) + (1 - rate) * norm`.
/// `keras.constraints.MinMaxNorm`.
#[derive(Clone, Debug, PartialEq)]
pub struct MinMaxNorm {
    min_value: f64,
    max_value: f64,
    rate: f64,
    axis: NormAxes,
}

impl MinMaxNorm {
    /// With Keras' defaults: norms between 0 and 1 along axis 0, at once.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        MinMaxNorm { min_value: 0.0, max_value: 1.0, rate: 1.0, axis: 0.into() }
    }

    arguments! {
        /// The smallest norm (default: 0).
        min_value: f64,
        /// The largest norm (default: 1).
        max_value: f64,
        /// How much of the way is taken in a step (default: 1).
        rate: f64,
        /// The axes along which the norm is taken (default: 0).
        axis: NormAxes,
    }
}

impl Constraint {
    /// Whether a weight of that rank can be held to it.
    pub(crate) fn check(&self, rank: usize) -> Result<()> {
        match self {
            Constraint::None | Constraint::NonNeg(_) => Ok(()),
            Constraint::MaxNorm(MaxNorm { axis, .. })
            | Constraint::UnitNorm(UnitNorm { axis })
            | Constraint::MinMaxNorm(MinMaxNorm { axis, .. }) => axis.resolve(rank).map(drop),
            Constraint::Unknown(name) => {
                Err(Error::model(format!("unknown constraint `{name}`{}", crate::error::did_you_mean(name, NAMES))))
            }
        }
    }

    /// The weight as the constraint wants it.
    pub fn apply(&self, scope: &mut Scope, weight: Value) -> Result<Value> {
        self.check(scope.tensor_type(weight).rank())?;
        match self {
            Constraint::None | Constraint::Unknown(_) => Ok(weight),
            Constraint::NonNeg(_) => scope.binary_constant(Binary::Maximum, weight, 0.0),
            Constraint::UnitNorm(UnitNorm { axis }) => {
                let norms = Norms::of(scope, weight, axis)?;
                let divisor = scope.binary_constant(Binary::Add, norms.norm, EPSILON)?;
                norms.join(scope, Binary::Divide, weight, divisor)
            }
            &Constraint::MaxNorm(MaxNorm { max_value, ref axis }) => {
                let norms = Norms::of(scope, weight, axis)?;
                let wanted = clip(scope, norms.norm, 0.0, max_value)?;
                norms.scale(scope, weight, wanted)
            }
            &Constraint::MinMaxNorm(MinMaxNorm { min_value, max_value, rate, ref axis }) => {
                let norms = Norms::of(scope, weight, axis)?;
                let clipped = clip(scope, norms.norm, min_value, max_value)?;
                let moved = scope.binary_constant(Binary::Multiply, clipped, rate)?;
                let kept = scope.binary_constant(Binary::Multiply, norms.norm, 1.0 - rate)?;
                let wanted = scope.binary(Binary::Add, moved, kept)?;
                norms.scale(scope, weight, wanted)
            }
        }
    }
}

fn clip(scope: &mut Scope, x: Value, low: f64, high: f64) -> Result<Value> {
    let above = scope.binary_constant(Binary::Maximum, x, low)?;
    scope.binary_constant(Binary::Minimum, above, high)
}

/// Euclidean norms along some axes of a weight.
struct Norms {
    /// They have the other axes.
    norm: Value,
    kept: Vec<usize>,
}

impl Norms {
    fn of(scope: &mut Scope, weight: Value, axis: &NormAxes) -> Result<Self> {
        let rank = scope.tensor_type(weight).rank();
        let axes = axis.resolve(rank)?;
        let square = scope.binary(Binary::Multiply, weight, weight)?;
        let sum = scope.reduce(Reduction::Sum, &axes, square)?;
        let norm = scope.unary(Unary::Sqrt, sum)?;
        Ok(Norms { norm, kept: (0..rank).filter(|axis| !axes.contains(axis)).collect() })
    }

    /// A function of the weight and of one number a norm.
    fn join(&self, scope: &mut Scope, function: Binary, weight: Value, number: Value) -> Result<Value> {
        let shape = scope.tensor_type(weight).shape.clone();
        let number = scope.broadcast(number, &shape, &self.kept)?;
        Ok(scope.binary(function, weight, number)?)
    }

    /// The weight with the wanted norms.
    fn scale(&self, scope: &mut Scope, weight: Value, wanted: Value) -> Result<Value> {
        let divisor = scope.binary_constant(Binary::Add, self.norm, EPSILON)?;
        let factor = scope.binary(Binary::Divide, wanted, divisor)?;
        self.join(scope, Binary::Multiply, weight, factor)
    }
}
