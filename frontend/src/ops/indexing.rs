//! Elements by position.

use super::arguments::wrong;
use super::call::Call;
use super::formulas::{at, reverse, slice, with_axis};
use super::function::{Function, Operand};
use super::taking::{clipped, positions};
use super::tensor::Tensor;
use kc_ir::tensor::{Scope, Tensor as Formula, TypeError};
use kc_ir::{DType, Dim};

/// Elements by position, as `x[..]` takes them: one index an axis, `ops::get_item(&x, (.., 0, 1..3))`. At most one index can be a tensor of
/// integers, whose axes replace the axis; what lies outside is the nearest element.
#[track_caller]
pub fn get_item(x: impl Into<Tensor>, key: impl Into<Indices>) -> Tensor {
    let (mut key, mut operands) = (key.into().0, vec![x.into()]);
    for index in &mut key {
        if let Index::Take(positions) = index {
            // the tensor is an operand, a number holds its place
            operands.push(std::mem::replace(positions, Tensor::from(0)));
        }
    }
    Call::new(GetItem { key }, operands).into()
}

/// The arguments of [`get_item`].
#[derive(Clone, Debug)]
pub struct GetItem {
    key: Vec<Index>,
}

impl Function for GetItem {
    fn name(&self) -> &'static str {
        "get_item"
    }
    fn class(&self) -> &'static str {
        "GetItem"
    }
    fn build<'s, 'b>(&self, _: &'s Scope<'b>, operands: &[Operand<'s, 'b>]) -> Result<Vec<Formula<'s, 'b>>, TypeError> {
        let (x, taken) = operands.split_first().ok_or_else(|| wrong("expected a tensor"))?;
        match taken {
            [] => Ok(vec![item(**x, &self.key, None)?]),
            [positions] => Ok(vec![item(**x, &self.key, Some(**positions))?]),
            more => Err(wrong(format!("{} indices are tensors, expected at most one", more.len()))),
        }
    }
}

fn item<'s, 'b>(
    x: Formula<'s, 'b>,
    key: &[Index],
    taken: Option<Formula<'s, 'b>>,
) -> Result<Formula<'s, 'b>, TypeError> {
    let rank = x.shape().len();
    let named = key.iter().filter(|index| !matches!(index, Index::NewAxis | Index::Ellipsis)).count();
    let ellipses = key.iter().filter(|index| matches!(index, Index::Ellipsis)).count();
    if named > rank || ellipses > 1 {
        return Err(wrong(format!("{named} indices and {ellipses} ellipses, expected at most {rank} and 1")));
    }
    let is_point = |index: &Index| matches!(index, Index::At(_) | Index::Take(_));
    let (first, last) = (key.iter().position(is_point), key.iter().rposition(is_point));
    if let (Some(_), Some(first), Some(last)) = (taken, first, last)
        && !key[first..=last].iter().all(is_point)
    {
        return Err(wrong("a range stands between a tensor and a position, expected them side by side"));
    }
    let (mut x, mut axis) = (x, 0);
    let rest = [Index::Ellipsis];
    for index in key.iter().chain(rest.iter().filter(|_| ellipses == 0)) {
        match index {
            Index::Ellipsis => axis += rank - named,
            Index::NewAxis => {
                x = with_axis(x, axis);
                axis += 1;
            }
            Index::At(position) => {
                let extent = x.shape()[axis].clone();
                let known = extent.as_constant().unwrap_or(i64::MAX);
                if *position >= known || *position < -known {
                    return Err(wrong(format!("position {position} is out of range for axis of extent {extent}")));
                }
                let from = if *position < 0 { extent } else { Dim::constant(0) };
                x = at(x, axis, from + Dim::constant(*position));
            }
            Index::Take(_) => {
                let taken = taken.ok_or_else(|| wrong("the tensor of an index is missing"))?;
                let extent = x.shape()[axis].clone();
                if taken.ty().dtype == DType::Bool || extent.is(0) {
                    let taken = taken.ty();
                    return Err(wrong(format!(
                        "{taken} takes elements of an axis of extent {extent}, expected integers and some"
                    )));
                }
                x = clipped(x, positions(taken, &extent)?, axis);
                axis += taken.shape().len();
            }
            Index::Range { start, stop, step } => {
                x = range(x, axis, *start, *stop, *step)?;
                axis += 1;
            }
        }
    }
    Ok(x)
}

/// What is taken of an axis by [`get_item`].
#[derive(Clone, Debug)]
pub enum Index {
    /// The element at a position, which counts from the end where it is negative; the axis is left out.
    At(i64),
    /// `start:stop:step`
    Range {
        /// The first position (default: the first, for a negative step the last).
        start: Option<i64>,
        /// The position before which it ends (default: behind the last, for a negative step before the first).
        stop: Option<i64>,
        /// The distance from one position to the next, not 0.
        step: i64,
    },
    /// A new axis of extent 1 (`None`).
    NewAxis,
    /// As many whole axes as are not named (`...`).
    Ellipsis,
    /// The elements at these positions, which count from the end where they are negative.
    Take(Tensor),
}

impl From<Tensor> for Index {
    fn from(positions: Tensor) -> Self {
        Index::Take(positions)
    }
}
impl From<&Tensor> for Index {
    fn from(positions: &Tensor) -> Self {
        Index::Take(positions.clone())
    }
}
impl From<i32> for Index {
    fn from(position: i32) -> Self {
        Index::At(position.into())
    }
}
impl From<i64> for Index {
    fn from(position: i64) -> Self {
        Index::At(position)
    }
}
impl From<std::ops::RangeFull> for Index {
    fn from(_: std::ops::RangeFull) -> Self {
        Index::Range { start: None, stop: None, step: 1 }
    }
}
impl From<std::ops::Range<i64>> for Index {
    fn from(range: std::ops::Range<i64>) -> Self {
        Index::Range { start: Some(range.start), stop: Some(range.end), step: 1 }
    }
}
impl From<std::ops::RangeFrom<i64>> for Index {
    fn from(range: std::ops::RangeFrom<i64>) -> Self {
        Index::Range { start: Some(range.start), stop: None, step: 1 }
    }
}
impl From<std::ops::RangeTo<i64>> for Index {
    fn from(range: std::ops::RangeTo<i64>) -> Self {
        Index::Range { start: None, stop: Some(range.end), step: 1 }
    }
}

/// The indices of [`get_item`]: one, or a tuple or array of them.
#[derive(Clone, Debug)]
pub struct Indices(Vec<Index>);

impl From<Vec<Index>> for Indices {
    fn from(indices: Vec<Index>) -> Self {
        Indices(indices)
    }
}
impl<const N: usize> From<[Index; N]> for Indices {
    fn from(indices: [Index; N]) -> Self {
        Indices(indices.to_vec())
    }
}
impl<const N: usize> From<[i64; N]> for Indices {
    fn from(indices: [i64; N]) -> Self {
        Indices(indices.map(Index::At).to_vec())
    }
}

macro_rules! indices {
    ($($($name:ident)+;)*) => { $(
        impl<$($name: Into<Index>),+> From<($($name,)+)> for Indices {
            #[allow(non_snake_case)]
            fn from(indices: ($($name,)+)) -> Self {
                let ($($name,)+) = indices;
                Indices(vec![$($name.into()),+])
            }
        }
    )* };
}
indices! { A; A B; A B C; A B C D; A B C D E; }

macro_rules! one_index {
    ($($ty:ty),*) => { $(
        impl From<$ty> for Indices {
            fn from(index: $ty) -> Self {
                Indices(vec![index.into()])
            }
        }
    )* };
}
one_index!(
    Tensor,
    &Tensor,
    Index,
    i32,
    i64,
    std::ops::Range<i64>,
    std::ops::RangeFrom<i64>,
    std::ops::RangeTo<i64>,
    std::ops::RangeFull
);

/// `start:stop:step` of an axis.
fn range<'s, 'b>(
    x: Formula<'s, 'b>,
    axis: usize,
    start: Option<i64>,
    stop: Option<i64>,
    step: i64,
) -> Result<Formula<'s, 'b>, TypeError> {
    let extent = x.shape()[axis].clone();
    if step == 0 {
        return Err(wrong("the step of a range is 0"));
    }
    let Some(known) = extent.as_constant() else {
        // of an extent that is not known positions from both ends are
        let place = |position: Option<i64>, default: Dim| match position {
            None => default,
            Some(position) if position < 0 => extent.clone() + Dim::constant(position),
            Some(position) => Dim::constant(position),
        };
        if step < 0 && (start.is_some() || stop.is_some()) {
            return Err(wrong(format!(
                "a range with a negative step of axis {axis} must be whole: its extent is {extent}"
            )));
        }
        let x = if step < 0 { reverse(x, &[axis]) } else { x };
        return Ok(slice(x, axis, place(start, Dim::constant(0)), place(stop, extent.clone()), step.abs()));
    };
    let clip = |position: i64, low: i64, high: i64| {
        (if position < 0 { position.saturating_add(known) } else { position }).clamp(low, high)
    };
    if step > 0 {
        let start = start.map_or(0, |start| clip(start, 0, known));
        let stop = stop.map_or(known, |stop| clip(stop, 0, known)).max(start);
        return Ok(slice(x, axis, start, stop, step));
    }
    let start = start.map_or(known - 1, |start| clip(start, -1, known - 1));
    let stop = stop.map_or(-1, |stop| clip(stop, -1, known - 1)).min(start);
    // the same in the reversed axis
    Ok(slice(reverse(x, &[axis]), axis, known - 1 - start, known - 1 - stop, step.abs()))
}
