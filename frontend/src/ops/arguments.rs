//! Arguments that are no tensors.

use kc_ir::tensor::TypeError;
use kc_ir::{DType, Dim};

/// Axes, as Keras takes them: none given, one, or several; a negative one counts from the last.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Axes {
    /// `axis=None`: all of them, or as the function says.
    #[default]
    All,
    /// These.
    Some(Vec<i64>),
}

impl From<i32> for Axes {
    fn from(axis: i32) -> Self {
        Axes::Some(vec![axis.into()])
    }
}
impl From<i64> for Axes {
    fn from(axis: i64) -> Self {
        Axes::Some(vec![axis])
    }
}
impl<const N: usize> From<[i64; N]> for Axes {
    fn from(axes: [i64; N]) -> Self {
        Axes::Some(axes.to_vec())
    }
}
impl From<&[i64]> for Axes {
    fn from(axes: &[i64]) -> Self {
        Axes::Some(axes.to_vec())
    }
}
impl From<Vec<i64>> for Axes {
    fn from(axes: Vec<i64>) -> Self {
        Axes::Some(axes)
    }
}
impl From<Option<i64>> for Axes {
    fn from(axis: Option<i64>) -> Self {
        axis.map_or(Axes::All, Axes::from)
    }
}

/// An error of a function's own arguments.
pub(super) fn wrong(message: impl Into<String>) -> TypeError {
    TypeError::new("", message)
}

/// The axis, counted from the first.
pub(super) fn axis(axis: i64, rank: usize) -> Result<usize, TypeError> {
    let counted = if axis < 0 { axis.checked_add(rank as i64) } else { Some(axis) };
    match counted.and_then(|counted| usize::try_from(counted).ok()).filter(|&counted| counted < rank) {
        Some(counted) => Ok(counted),
        None if rank == 0 => Err(wrong(format!("axis {axis} was asked for, a scalar has none"))),
        None => Err(wrong(format!("axis {axis} is out of range, expected one from -{rank} to {}", rank - 1))),
    }
}

impl Axes {
    /// The axes of a tensor of that rank, counted from the first and ascending; all where none is given.
    pub(super) fn of_rank(&self, rank: usize) -> Result<Vec<usize>, TypeError> {
        match self {
            Axes::All => Ok((0..rank).collect()),
            Axes::Some(given) => {
                let mut axes = distinct(given, rank)?;
                axes.sort_unstable();
                Ok(axes)
            }
        }
    }

    /// The only axis, where one is given.
    pub(super) fn one(&self, rank: usize) -> Result<Option<usize>, TypeError> {
        match self {
            Axes::All => Ok(None),
            Axes::Some(given) => match given.as_slice() {
                [one] => axis(*one, rank).map(Some),
                _ => Err(wrong(format!("`axis` is {given:?}, expected one axis"))),
            },
        }
    }
}

/// Axes in the order given, counted from the first, each at most once.
pub(super) fn distinct(given: &[i64], rank: usize) -> Result<Vec<usize>, TypeError> {
    let axes = given.iter().map(|&one| axis(one, rank)).collect::<Result<Vec<usize>, TypeError>>()?;
    for (position, found) in axes.iter().enumerate() {
        if axes[..position].contains(found) {
            return Err(wrong(format!("`axis` {given:?} names the axis {found} twice")));
        }
    }
    Ok(axes)
}

/// A dtype by Keras' name, or none given.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum DTypeName {
    /// None given: as the function says.
    #[default]
    Default,
    /// This one.
    Named(String),
}

impl From<&str> for DTypeName {
    fn from(name: &str) -> Self {
        DTypeName::Named(name.to_string())
    }
}
impl From<DType> for DTypeName {
    fn from(dtype: DType) -> Self {
        DTypeName::Named(dtype.keras_name().to_string())
    }
}

impl DTypeName {
    /// The dtype, or this one where none is given.
    pub(super) fn or(&self, default: DType) -> Result<DType, TypeError> {
        match self {
            DTypeName::Default => Ok(default),
            DTypeName::Named(name) => name.parse().map_err(|_| {
                let known: Vec<&str> = DType::ALL.iter().map(|dtype| dtype.keras_name()).collect();
                wrong(format!("unknown dtype `{name}`{}", crate::error::did_you_mean(name, &known)))
            }),
        }
    }
}

/// A shape in which one extent may be -1, for what is left, as the extents of a tensor that has these.
pub(super) fn resolve_shape(given: &[Dim], of: &[Dim]) -> Result<Vec<Dim>, TypeError> {
    let elements = |shape: &[Dim]| shape.iter().cloned().product::<Dim>();
    let unknown: Vec<usize> = (0..given.len()).filter(|&i| given[i].is(-1)).collect();
    let mut shape = given.to_vec();
    let fits = match unknown.as_slice() {
        [] => elements(of) == elements(&shape),
        [position] => {
            shape[*position] = Dim::constant(1);
            let others = elements(&shape);
            let rest = if others.is(0) { None } else { elements(of).exact_div(&others) };
            rest.map(|rest| shape[*position] = rest).is_some()
        }
        _ => return Err(wrong("only one extent of the new shape can be -1")),
    };
    if fits {
        return Ok(shape);
    }
    let always = match elements(of).as_constant() {
        Some(_) => "",
        None => " whatever the unknown extents are",
    };
    let [from, to] = [of, given].map(crate::shape_text);
    Err(wrong(format!("expected a shape with as many elements as {from} has{always}, {to} is none")))
}
