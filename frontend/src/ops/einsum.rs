//! Einstein's summation convention.

use super::arguments::wrong;
use super::contraction::{dot_general, widened};
use super::function::{Function, Operand};
use super::movement::diagonal_of;
use super::promotion::promote_all;
use super::tensor::Tensor;
use kc_ir::Dim;
use kc_ir::tensor::ops::{DotGeneral, Reduction};
use kc_ir::tensor::{Scope, Tensor as Formula, TypeError};

/// Sums of products of the operands' elements, named by their axes: `ops::einsum("ij,jk->ik", [&a, &b])` is the matrix product. What
/// stands on the left alone is summed; `...` are the axes that have no name; without `->` the result has the names that occur once,
/// sorted. Of `int8` operands the result is `int32`.
#[track_caller]
pub fn einsum(subscripts: impl Into<String>, operands: impl IntoIterator<Item = impl Into<Tensor>>) -> Tensor {
    super::Call::new(Einsum { subscripts: subscripts.into() }, operands.into_iter().map(Into::into)).into()
}

/// The arguments of [`einsum`].
#[derive(Clone, Debug)]
pub struct Einsum {
    subscripts: String,
}

impl Function for Einsum {
    fn name(&self) -> &'static str {
        "einsum"
    }
    fn class(&self) -> &'static str {
        "Einsum"
    }
    fn build<'s, 'b>(&self, _: &'s Scope<'b>, operands: &[Operand<'s, 'b>]) -> Result<Vec<Formula<'s, 'b>>, TypeError> {
        let operands = promote_all(operands).into_iter().map(|x| widened([x])[0]).collect();
        Ok(vec![summed(&self.subscripts, operands)?])
    }
}

/// The name of an axis: a letter, or the distance from the last of those that `...` stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    Unnamed(usize),
    Letter(char),
}

/// A tensor and the names of its axes.
struct Named<'s, 'b> {
    tensor: Formula<'s, 'b>,
    names: Vec<Name>,
}

/// The names of an operand's axes.
fn names(term: &str, rank: usize) -> Result<Vec<Name>, TypeError> {
    let letters = |text: &str| -> Result<Vec<Name>, TypeError> {
        match text.chars().find(|c| !c.is_ascii_alphabetic()) {
            None => Ok(text.chars().map(Name::Letter).collect()),
            Some(c) => Err(wrong(format!("`{c}` is no name of an axis, expected letters"))),
        }
    };
    let names = match term.split_once("...") {
        None => letters(term)?,
        Some((before, behind)) => {
            let (mut names, behind) = (letters(before)?, letters(behind)?);
            let unnamed = rank.saturating_sub(names.len() + behind.len());
            names.extend((0..unnamed).rev().map(Name::Unnamed));
            names.extend(behind);
            names
        }
    };
    if names.len() != rank {
        return Err(wrong(format!("`{term}` names {} axes of an operand that has {rank}", names.len())));
    }
    Ok(names)
}

fn summed<'s, 'b>(subscripts: &str, operands: Vec<Formula<'s, 'b>>) -> Result<Formula<'s, 'b>, TypeError> {
    let subscripts: String = subscripts.chars().filter(|c| !c.is_whitespace()).collect();
    let (left, right) = match subscripts.split_once("->") {
        Some((left, right)) => (left, Some(right)),
        None => (subscripts.as_str(), None),
    };
    let terms: Vec<&str> = left.split(',').collect();
    if terms.len() != operands.len() {
        return Err(wrong(format!("`{subscripts}` has {} operands, got {}", terms.len(), operands.len())));
    }
    let mut operands = terms
        .into_iter()
        .zip(operands)
        .map(|(term, tensor)| Ok(Named { tensor, names: names(term, tensor.shape().len())? }))
        .collect::<Result<Vec<_>, TypeError>>()?;
    let all: Vec<Name> = operands.iter().flat_map(|operand| operand.names.iter().copied()).collect();
    let output = output_names(right, &all)?;
    drop_units(&mut operands)?;
    let mut operands = operands.into_iter().map(diagonals).collect::<Result<std::collections::VecDeque<_>, _>>()?;
    let mut result = operands.pop_front().ok_or_else(|| wrong("expected at least one operand"))?;
    loop {
        let later = |name: &Name| output.contains(name) || operands.iter().any(|other| other.names.contains(name));
        result = sum_without(result, &later);
        let Some(next) = operands.pop_front() else { break };
        let later = |name: &Name| output.contains(name) || operands.iter().any(|other| other.names.contains(name));
        let own = |name: &Name| later(name) || result.names.contains(name);
        let next = sum_without(next, &own);
        result = multiply(&result, &next, &later);
    }
    let place = |name: &Name| result.names.iter().position(|own| own == name);
    let permutation = output.iter().map(place).collect::<Option<Vec<usize>>>();
    permutation.map(|permutation| result.tensor.transpose(&permutation)).ok_or_else(|| wrong("an axis is missing"))
}

/// The names of the result's axes.
fn output_names(given: Option<&str>, all: &[Name]) -> Result<Vec<Name>, TypeError> {
    let unnamed = all.iter().filter_map(|name| match name {
        Name::Unnamed(i) => Some(i + 1),
        Name::Letter(_) => None,
    });
    let unnamed = unnamed.max().unwrap_or(0);
    let Some(given) = given else {
        let once = |name: &&Name| all.iter().filter(|other| other == name).count() == 1;
        let mut letters: Vec<Name> =
            all.iter().filter(|name| matches!(name, Name::Letter(_))).filter(once).copied().collect();
        letters.sort_unstable();
        return Ok((0..unnamed).rev().map(Name::Unnamed).chain(letters).collect());
    };
    let letters = given.chars().filter(|&c| c != '.').count();
    let output = names(given, letters + if given.contains("...") { unnamed } else { 0 })?;
    for (i, name) in output.iter().enumerate() {
        if !all.contains(name) || output[..i].contains(name) {
            return Err(wrong(format!("the result `{given}` names an axis twice, or one that no operand has")));
        }
    }
    Ok(output)
}

/// Checks that axes of one name have one extent, and leaves out those of extent 1 that others are longer than.
fn drop_units(operands: &mut [Named<'_, '_>]) -> Result<(), TypeError> {
    let mut extents: Vec<(Name, Dim)> = Vec::new();
    for operand in operands.iter() {
        for (&name, extent) in operand.names.iter().zip(operand.tensor.shape()) {
            match extents.iter_mut().find(|(known, _)| *known == name) {
                None => extents.push((name, extent)),
                Some((_, known)) if known.is(1) => *known = extent,
                Some((_, known)) if *known == extent || extent.is(1) => {}
                Some((_, known)) => {
                    return Err(wrong(format!("axes of one name have the extents {known} and {extent}")));
                }
            }
        }
    }
    for operand in operands {
        let shape = operand.tensor.shape();
        let is_kept =
            |axis: usize| extents.iter().any(|(name, extent)| *name == operand.names[axis] && *extent == shape[axis]);
        let kept: Vec<usize> = (0..shape.len()).filter(|&axis| is_kept(axis)).collect();
        if kept.len() < shape.len() {
            operand.tensor = operand.tensor.reshape(&kept.iter().map(|&axis| shape[axis].clone()).collect::<Vec<_>>());
            operand.names = kept.iter().map(|&axis| operand.names[axis]).collect();
        }
    }
    Ok(())
}

/// Each name once: the diagonal of axes of one name.
fn diagonals<'s, 'b>(mut operand: Named<'s, 'b>) -> Result<Named<'s, 'b>, TypeError> {
    loop {
        let names = &operand.names;
        let twice =
            (0..names.len()).find_map(|i| Some((i, i + 1 + names[i + 1..].iter().position(|n| *n == names[i])?)));
        let Some((i, j)) = twice else { return Ok(operand) };
        let name = names[i];
        operand.tensor = diagonal_of(operand.tensor, 0, i, j)?;
        operand.names.remove(j);
        operand.names.remove(i);
        operand.names.push(name);
    }
}

/// The sum over the axes that are not wanted.
fn sum_without<'s, 'b>(operand: Named<'s, 'b>, is_wanted: &dyn Fn(&Name) -> bool) -> Named<'s, 'b> {
    let (kept, summed): (Vec<usize>, Vec<usize>) =
        (0..operand.names.len()).partition(|&axis| is_wanted(&operand.names[axis]));
    Named {
        tensor: operand.tensor.reduce(Reduction::Sum, &summed),
        names: kept.into_iter().map(|axis| operand.names[axis]).collect(),
    }
}

/// The product of two, summed over the common axes that are not wanted later.
fn multiply<'s, 'b>(a: &Named<'s, 'b>, b: &Named<'s, 'b>, is_wanted: &dyn Fn(&Name) -> bool) -> Named<'s, 'b> {
    let common: Vec<Name> = a.names.iter().filter(|name| b.names.contains(name)).copied().collect();
    let (batch, contracted): (Vec<Name>, Vec<Name>) = common.iter().partition(|name| is_wanted(name));
    let free = |names: &[Name]| -> Vec<Name> { names.iter().filter(|name| !common.contains(name)).copied().collect() };
    let (left, right) = (free(&a.names), free(&b.names));
    let names = [batch.clone(), left, right].concat();
    let axes = |operand: &Named<'_, '_>, wanted: &[Name]| -> Vec<usize> {
        wanted.iter().filter_map(|name| operand.names.iter().position(|own| own == name)).collect()
    };
    if contracted.is_empty() {
        // no sum: both spread over all axes
        let extent = |name: &Name| {
            let of = |operand: &Named<'_, '_>| {
                Some(operand.tensor.shape()[operand.names.iter().position(|own| own == name)?].clone())
            };
            of(a).or_else(|| of(b)).unwrap_or_default()
        };
        let shape: Vec<Dim> = names.iter().map(extent).collect();
        let spread = |operand: &Named<'s, 'b>| {
            let own: Vec<Name> = names.iter().filter(|name| operand.names.contains(name)).copied().collect();
            let places: Vec<usize> = (0..names.len()).filter(|&axis| own.contains(&names[axis])).collect();
            operand.tensor.transpose(&axes(operand, &own)).broadcast(&shape, &places)
        };
        return Named { tensor: spread(a) * spread(b), names };
    }
    let op = DotGeneral {
        lhs_batch: axes(a, &batch),
        rhs_batch: axes(b, &batch),
        lhs_contract: axes(a, &contracted),
        rhs_contract: axes(b, &contracted),
    };
    Named { tensor: dot_general(op, a.tensor, b.tensor), names }
}
