//! Elements by position.

use super::arguments::wrong;
use super::declare::functions;
use super::formulas::{at, reverse, slice, with_axis};
use kc_ir::Dim;
use kc_ir::tensor::{Tensor as Formula, TypeError};

functions! {
    /// Elements by position, as `x[..]` takes them: one index an axis.
    get_item GetItem(x; key: Indices) = |_, &[x]| {
        let rank = x.shape().len();
        let named = key.0.iter().filter(|index| !matches!(index, Index::NewAxis | Index::Ellipsis)).count();
        let ellipses = key.0.iter().filter(|index| matches!(index, Index::Ellipsis)).count();
        if named > rank || ellipses > 1 {
            return Err(wrong(format!("{named} indices and {ellipses} ellipses, expected at most {rank} and 1")));
        }
        let mut indices = key.0;
        if ellipses == 0 {
            indices.push(Index::Ellipsis);
        }
        let (mut x, mut axis) = (*x, 0);
        for index in indices {
            match index {
                Index::Ellipsis => axis += rank - named,
                Index::NewAxis => {
                    x = with_axis(x, axis);
                    axis += 1;
                }
                Index::At(position) => {
                    let extent = x.shape()[axis].clone();
                    let known = extent.as_constant().unwrap_or(i64::MAX);
                    if position >= known || position < -known {
                        return Err(wrong(format!("position {position} is out of range for axis of extent {extent}")));
                    }
                    let position =
                        if position < 0 { extent + Dim::constant(position) } else { Dim::constant(position) };
                    x = at(x, axis, position);
                }
                Index::Range { start, stop, step } => {
                    x = range(x, axis, start, stop, step)?;
                    axis += 1;
                }
            }
        }
        x
    };
}

/// What is taken of an axis by [`get_item`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
