//! What weights and outputs add to the loss: `keras.regularizers`.

use crate::layer::arguments;
use crate::{Error, Result, Scope};
use kc_ir::tensor::ops::{Binary, Compare, DotGeneral, Iota, Reduction, Unary};
use kc_ir::tensor::{Value, composites::EPSILON};
use kc_ir::{DType, TensorType};

/// What is added to the loss for a weight or an output. Made from a name (`"l2"`) or from one of the types of this module.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Regularizer {
    /// Nothing.
    #[default]
    None,
    /// Sums of absolute values and of squares.
    L1L2(L1L2),
    /// How far rows or columns are from being orthogonal.
    Orthogonal(OrthogonalRegularizer),
    /// A name that no regularizer has; the layer that is built with it reports it.
    #[doc(hidden)]
    Unknown(String),
}

/// The names that a text can give.
const NAMES: &[&str] = &["l1", "l2", "l1_l2", "orthogonal_regularizer"];

impl From<&str> for Regularizer {
    fn from(name: &str) -> Self {
        match name {
            "l1" | "L1" => L1::new(0.01).into(),
            "l2" | "L2" => L2::new(0.01).into(),
            "l1_l2" => L1L2::new().l1(0.01).l2(0.01).into(),
            "L1L2" => L1L2::new().into(),
            "orthogonal_regularizer" | "OrthogonalRegularizer" => OrthogonalRegularizer::new().into(),
            _ => Regularizer::Unknown(name.to_string()),
        }
    }
}

/// `l1 * sum(|x|) + l2 * sum(x^2)`. `keras.regularizers.L1L2`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct L1L2 {
    l1: f64,
    l2: f64,
}

impl L1L2 {
    /// With Keras' defaults, by which nothing is added.
    pub fn new() -> Self {
        L1L2::default()
    }

    arguments! {
        /// The factor of the absolute values (default: 0).
        l1: f64,
        /// The factor of the squares (default: 0).
        l2: f64,
    }
}

/// `l1 * sum(|x|)`. `keras.regularizers.L1`.
#[derive(Clone, Debug, PartialEq)]
pub struct L1(f64);

impl L1 {
    /// With that factor; Keras' default is 0.01.
    pub fn new(l1: f64) -> Self {
        L1(l1)
    }
}

/// `l2 * sum(x^2)`. `keras.regularizers.L2`.
#[derive(Clone, Debug, PartialEq)]
pub struct L2(f64);

impl L2 {
    /// With that factor; Keras' default is 0.01.
    pub fn new(l2: f64) -> Self {
        L2(l2)
    }
}

/// `factor` times the mean of the absolute products of two different rows or columns of a matrix, each scaled to a length of 1.
/// `keras.regularizers.OrthogonalRegularizer`.
#[derive(Clone, Debug, PartialEq)]
pub struct OrthogonalRegularizer {
    factor: f64,
    mode: Lines,
}

impl OrthogonalRegularizer {
    /// With Keras' defaults.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        OrthogonalRegularizer { factor: 0.01, mode: Lines::Rows }
    }

    arguments! {
        /// The factor (default: 0.01).
        factor: f64,
        /// `"rows"` (default) or `"columns"`.
        mode: Lines,
    }
}

/// What [`OrthogonalRegularizer`] compares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lines {
    /// Rows.
    Rows,
    /// Columns.
    Columns,
    /// Neither; the layer that is built with it reports it.
    #[doc(hidden)]
    Unknown(String),
}

impl From<&str> for Lines {
    fn from(mode: &str) -> Self {
        match mode {
            "rows" => Lines::Rows,
            "columns" => Lines::Columns,
            _ => Lines::Unknown(mode.to_string()),
        }
    }
}

impl From<L1> for Regularizer {
    fn from(L1(l1): L1) -> Self {
        L1L2::new().l1(l1).into()
    }
}

impl From<L2> for Regularizer {
    fn from(L2(l2): L2) -> Self {
        L1L2::new().l2(l2).into()
    }
}

impl From<L1L2> for Regularizer {
    fn from(given: L1L2) -> Self {
        Regularizer::L1L2(given)
    }
}

impl From<OrthogonalRegularizer> for Regularizer {
    fn from(given: OrthogonalRegularizer) -> Self {
        Regularizer::Orthogonal(given)
    }
}

impl Regularizer {
    /// Whether it is defined for tensors of that rank.
    pub(crate) fn check(&self, rank: usize) -> Result<()> {
        let finite = |name: &str, factor: f64| {
            if factor.is_finite() && factor >= 0.0 {
                return Ok(());
            }
            Err(Error::model(format!("`{name}` is {factor}, expected a finite number of at least 0")))
        };
        match self {
            Regularizer::None => Ok(()),
            Regularizer::L1L2(L1L2 { l1, l2 }) => finite("l1", *l1).and_then(|()| finite("l2", *l2)),
            Regularizer::Orthogonal(OrthogonalRegularizer { mode: Lines::Unknown(mode), .. }) => {
                Err(Error::model(format!("`mode` is `{mode}`, expected `rows` or `columns`")))
            }
            Regularizer::Orthogonal(_) if rank != 2 => {
                Err(Error::model(format!("an orthogonal regularizer takes matrices, this has {rank} axes")))
            }
            Regularizer::Orthogonal(OrthogonalRegularizer { factor, .. }) => finite("factor", *factor),
            Regularizer::Unknown(name) => {
                Err(Error::model(format!("unknown regularizer `{name}`{}", crate::error::did_you_mean(name, NAMES))))
            }
        }
    }

    /// What a tensor adds to the loss: a scalar.
    pub fn apply(&self, scope: &mut Scope, x: Value) -> Result<Value> {
        let ty = scope.tensor_type(x).clone();
        self.check(ty.rank())?;
        let nothing = |scope: &mut Scope| Ok(scope.splat(ty.dtype, 0.0, &[])?);
        match self {
            Regularizer::None | Regularizer::Unknown(_) => nothing(scope),
            &Regularizer::L1L2(L1L2 { l1, l2 }) => {
                let mut terms = Vec::new();
                if l1 != 0.0 {
                    let absolute = scope.unary(Unary::Abs, x)?;
                    terms.push(scaled_sum(scope, absolute, l1)?);
                }
                if l2 != 0.0 {
                    let square = scope.binary(Binary::Multiply, x, x)?;
                    terms.push(scaled_sum(scope, square, l2)?);
                }
                match terms[..] {
                    [] => nothing(scope),
                    [term] => Ok(term),
                    [first, second, ..] => Ok(scope.binary(Binary::Add, first, second)?),
                }
            }
            Regularizer::Orthogonal(OrthogonalRegularizer { factor, mode }) => orthogonal(scope, x, &ty, *factor, mode),
        }
    }
}

fn scaled_sum(scope: &mut Scope, x: Value, factor: f64) -> Result<Value> {
    let axes: Vec<usize> = (0..scope.tensor_type(x).rank()).collect();
    let sum = scope.reduce(Reduction::Sum, &axes, x)?;
    scope.binary_constant(Binary::Multiply, sum, factor)
}

fn orthogonal(scope: &mut Scope, x: Value, ty: &TensorType, factor: f64, mode: &Lines) -> Result<Value> {
    let (kept, along) = if *mode == Lines::Columns { (1, 0) } else { (0, 1) };
    let square = scope.binary(Binary::Multiply, x, x)?;
    let length = scope.reduce(Reduction::Sum, &[along], square)?;
    let inverse = scope.unary(Unary::Rsqrt, length)?;
    let inverse = scope.binary_constant(Binary::Minimum, inverse, 1.0 / EPSILON)?;
    let inverse = scope.broadcast(inverse, &ty.shape, &[kept])?;
    let unit = scope.binary(Binary::Multiply, x, inverse)?;
    let op = DotGeneral { lhs_batch: vec![], rhs_batch: vec![], lhs_contract: vec![along], rhs_contract: vec![along] };
    let products = scope.add(op, &[unit, unit])?;
    let absolute = scope.unary(Unary::Abs, products)?;
    let shape = scope.tensor_type(absolute).shape.clone();
    let positions = TensorType { dtype: DType::I32, shape };
    let (row, column) =
        (scope.add(Iota { ty: positions.clone(), axis: 0 }, &[])?, scope.add(Iota { ty: positions, axis: 1 }, &[])?);
    let same = scope.compare(Compare::Equal, row, column)?;
    let zero = scope.splat_like(0.0, absolute)?;
    let others = scope.select(same, zero, absolute)?;
    let count = ty.shape[kept].as_constant().unwrap_or(1) as f64;
    let pairs = count * (count - 1.0) / 2.0;
    scaled_sum(scope, others, factor * 0.5 / pairs)
}
