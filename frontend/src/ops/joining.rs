//! Several tensors as one, one as several.

use super::arguments::{Axes, axis as counted, wrong};
use super::declare::functions;
use super::formulas::{concatenate as join, flat, known_extent, slice, with_axis};
use super::function::Operand;
use super::movement::Integers;
use super::promotion::promote_all;
use kc_ir::Dim;
use kc_ir::tensor::{Tensor as Formula, TypeError};

functions! {
    /// The tensors side by side along an axis.
    concatenate Concatenate(..xs) {
        /// The axis (default: 0).
        axis: i64 = 0,
    } = |_, xs| {
        let rank = some(xs)?.shape().len();
        side_by_side(promote_all(xs), counted(axis, rank)?)
    };
    /// The elements of `x2` behind those of `x1`.
    append Append(x1, x2) {
        /// The axis (default: all elements in one axis).
        axis: Axes = Axes::All,
    } = |_, &[a, b]| {
        let parts = promote_all(&[a, b]);
        match axis.one(a.shape().len())? {
            Some(axis) => side_by_side(parts, axis),
            None => side_by_side(parts.into_iter().map(flat).collect(), 0),
        }
    };
    /// The tensors side by side along a new axis.
    stack Stack(..x) {
        /// The axis in the result (default: 0).
        axis: i64 = 0,
    } = |_, xs| {
        let axis = counted(axis, some(xs)?.shape().len() + 1)?;
        side_by_side(promote_all(xs).into_iter().map(|x| with_axis(x, axis)).collect(), axis)
    };
    /// The tensors one above the other: along the first axis, vectors as rows.
    vstack Vstack(..xs) = |_, xs| side_by_side(promote_all(xs).into_iter().map(|x| at_least(x, 2)).collect(), 0);
    /// The tensors beside each other: along the second axis, vectors along their only one.
    hstack Hstack(..xs) = |_, xs| {
        let xs: Vec<Formula<'s, 'b>> = promote_all(xs).into_iter().map(|x| at_least(x, 1)).collect();
        let axis = xs.first().map_or(0, |first| (first.shape().len() - 1).min(1));
        side_by_side(xs, axis)
    };
    /// The tensors behind each other: along the third axis.
    dstack Dstack(..xs) = |_, xs| side_by_side(promote_all(xs).into_iter().map(|x| at_least(x, 3)).collect(), 2);
}

fn some<'a, 's, 'b>(xs: &'a [Operand<'s, 'b>]) -> Result<&'a Operand<'s, 'b>, TypeError> {
    xs.first().ok_or_else(|| wrong("expected at least one tensor, got none"))
}

fn side_by_side<'s, 'b>(xs: Vec<Formula<'s, 'b>>, axis: usize) -> Result<Formula<'s, 'b>, TypeError> {
    let first = *xs.first().ok_or_else(|| wrong("expected at least one tensor, got none"))?;
    let shape = first.shape();
    for x in &xs[1..] {
        let other = x.shape();
        let fits = other.len() == shape.len() && (0..shape.len()).all(|i| i == axis || shape[i] == other[i]);
        if !fits {
            let [first, other] = [&shape, &other].map(|shape| crate::shape_text(shape));
            return Err(wrong(format!("the shapes {first} and {other} differ outside of axis {axis}")));
        }
    }
    Ok(join(first.scope(), &xs, axis))
}

/// With at least that many axes, as `numpy.atleast_2d` and its kin have them.
fn at_least<'s, 'b>(x: Formula<'s, 'b>, rank: usize) -> Formula<'s, 'b> {
    match (x.shape().len(), rank) {
        (own, wanted) if own >= wanted => x,
        (1, 3) => with_axis(with_axis(x, 0), 2),
        (2, 3) => with_axis(x, 2),
        (_, wanted) => at_least(with_axis(x, 0), wanted),
    }
}

functions! {
    /// The parts along an axis: that many equal ones, or those between the positions given. Its results are `.tensors()?`.
    split Split(x; indices_or_sections: Integers) {
        /// The axis (default: 0).
        axis: i64 = 0,
    } = |_, &[x]| parts(*x, &indices_or_sections, counted(axis, x.shape().len())?, Sections::Equal);
    /// The parts along an axis: that many, of which the first may be one longer, or those between the positions given. Its results
    /// are `.tensors()?`.
    array_split ArraySplit(x; indices_or_sections: Integers) {
        /// The axis (default: 0).
        axis: i64 = 0,
    } = |_, &[x]| parts(*x, &indices_or_sections, counted(axis, x.shape().len())?, Sections::NearlyEqual);
    /// [`split`] along the first axis.
    vsplit Vsplit(x; indices_or_sections: Integers) {} = |_, &[x]| {
        parts(*x, &indices_or_sections, counted(0, x.shape().len())?, Sections::Equal)
    };
    /// [`split`] along the second axis; of a vector along its only one.
    hsplit Hsplit(x; indices_or_sections: Integers) {} = |_, &[x]| {
        let rank = x.shape().len();
        parts(*x, &indices_or_sections, counted(i64::from(rank > 1), rank)?, Sections::Equal)
    };
    /// [`split`] along the third axis.
    dsplit Dsplit(x; indices_or_sections: Integers) {} = |_, &[x]| {
        parts(*x, &indices_or_sections, counted(2, x.shape().len())?, Sections::Equal)
    };
    /// The tensors of one axis each as grids of their common shape. Its results are `.tensors()?`.
    meshgrid Meshgrid(..x) {
        /// `"xy"`: the first tensor runs along the second axis, as a picture's columns do; or `"ij"` (default: `"xy"`).
        indexing: String = "xy".to_string(),
    } = |_, xs| {
        let flats: Vec<Formula<'s, 'b>> = xs.iter().map(|x| flat(**x)).collect();
        let mut shape: Vec<Dim> = flats.iter().map(|x| x.shape()[0].clone()).collect();
        let is_picture = match indexing.as_str() {
            "xy" => shape.len() >= 2,
            "ij" => false,
            other => return Err(wrong(format!("`indexing` is `{other}`, expected `xy` or `ij`"))),
        };
        if is_picture {
            shape.swap(0, 1);
        }
        let place = |axis: usize| if is_picture && axis < 2 { 1 - axis } else { axis };
        flats.into_iter().enumerate().map(|(axis, x)| x.broadcast(&shape, &[place(axis)])).collect::<Vec<_>>()
    };
}

enum Sections {
    Equal,
    NearlyEqual,
}

fn parts<'s, 'b>(
    x: Formula<'s, 'b>,
    given: &Integers,
    axis: usize,
    sections: Sections,
) -> Result<Vec<Formula<'s, 'b>>, TypeError> {
    let shape = x.shape();
    if !given.is_one {
        let extent = known_extent(&shape, axis)?;
        let clip = |position: i64| if position < 0 { (position + extent).max(0) } else { position.min(extent) };
        let inner = given.values.iter().map(|&position| clip(position));
        let bounds: Vec<i64> = std::iter::once(0).chain(inner).chain([extent]).collect();
        return Ok(bounds.windows(2).map(|pair| slice(x, axis, pair[0], pair[1].max(pair[0]), 1)).collect());
    }
    let count = given.values[0];
    if count < 1 {
        return Err(wrong(format!("{count} parts were asked for, expected at least 1")));
    }
    if let Sections::Equal = sections {
        let part = shape[axis].exact_div(&Dim::constant(count)).ok_or_else(|| {
            wrong(format!("axis {axis} of extent {} cannot be split into {count} equal parts", shape[axis]))
        })?;
        let start = |i: i64| part.clone() * Dim::constant(i);
        return Ok((0..count).map(|i| slice(x, axis, start(i), start(i + 1), 1)).collect());
    }
    let extent = known_extent(&shape, axis)?;
    let start = |i: i64| i * (extent / count) + i.min(extent % count);
    Ok((0..count).map(|i| slice(x, axis, start(i), start(i + 1), 1)).collect())
}
