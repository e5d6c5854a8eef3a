//! Rearranged axes by a pattern.

use super::arguments::wrong;
use super::declare::functions;
use kc_ir::Dim;
use kc_ir::tensor::TypeError;
use std::collections::BTreeMap;

functions! {
    /// Axes split, joined and permuted as a pattern says: `"b (h p) (w q) c -> b h w (p q c)"`. Of a split axis all extents but one
    /// must be given.
    rearrange Rearrange(tensor; pattern: String) {
        /// Extents of axes by their names (default: none).
        axes_lengths: Lengths = Lengths(BTreeMap::new()),
    } = |_, &[x]| {
        let (from, to) = pattern.split_once("->").ok_or_else(|| wrong(format!("`{pattern}` has no `->`")))?;
        let (from, to) = (groups(from)?, groups(to)?);
        let shape = x.shape();
        if from.len() != shape.len() {
            return Err(wrong(format!("`{pattern}` names {} axes of the operand, which has {}", from.len(), shape.len())));
        }
        let mut extents: BTreeMap<&str, Dim> = BTreeMap::new();
        for (group, extent) in from.iter().zip(&shape) {
            for (name, extent) in split(group, extent, &axes_lengths.0)? {
                if extents.insert(name, extent).is_some() {
                    return Err(wrong(format!("`{pattern}` names the axis `{name}` twice")));
                }
            }
        }
        let names: Vec<&str> = from.concat();
        let wanted: Vec<&str> = to.concat();
        let place = |name: &&str| names.iter().position(|known| known == name);
        let order: Option<Vec<usize>> = wanted.iter().map(place).collect();
        let order = order.filter(|order| order.len() == names.len() && (0..names.len()).all(|axis| order.contains(&axis)));
        let order = order.ok_or_else(|| wrong(format!("`{pattern}` does not have the same axes on both sides")))?;
        let apart: Vec<Dim> = names.iter().map(|name| extents[name].clone()).collect();
        let joined: Vec<Dim> = to.iter().map(|group| group.iter().map(|name| extents[name].clone()).product()).collect();
        Ok(x.reshape(&apart).transpose(&order).reshape(&joined))
    };
}

/// Extents of axes by their names: `[("h", 2), ("w", 3)]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lengths(BTreeMap<String, i64>);

impl<const N: usize> From<[(&str, i64); N]> for Lengths {
    fn from(lengths: [(&str, i64); N]) -> Self {
        Lengths(lengths.into_iter().map(|(name, length)| (name.to_string(), length)).collect())
    }
}

impl From<Vec<(String, i64)>> for Lengths {
    fn from(lengths: Vec<(String, i64)>) -> Self {
        Lengths(lengths.into_iter().collect())
    }
}

/// The axes of one side, each a list of names.
fn groups(side: &str) -> Result<Vec<Vec<&str>>, TypeError> {
    let mut groups = Vec::new();
    let mut rest = side.trim();
    while !rest.is_empty() {
        let (names, behind) = match rest.strip_prefix('(') {
            Some(inner) => inner.split_once(')').ok_or_else(|| wrong(format!("`{side}` has a `(` without `)`")))?,
            None => rest.split_at(rest.find([' ', '(']).unwrap_or(rest.len())),
        };
        let names: Vec<&str> = names.split_whitespace().collect();
        if let Some(name) = names.iter().find(|name| !name.chars().all(|c| c.is_alphanumeric() || c == '_')) {
            return Err(wrong(format!("`{name}` is no name of an axis")));
        }
        groups.push(names);
        rest = behind.trim_start();
    }
    Ok(groups)
}

/// The extents of the axes that one is split into.
fn split<'p>(
    group: &[&'p str],
    extent: &Dim,
    lengths: &BTreeMap<String, i64>,
) -> Result<Vec<(&'p str, Dim)>, TypeError> {
    let unknown: Vec<&str> = group.iter().copied().filter(|name| !lengths.contains_key(*name)).collect();
    let known: Dim = group.iter().filter_map(|name| lengths.get(*name)).map(|&length| Dim::constant(length)).product();
    let rest = if known.is(0) { None } else { extent.exact_div(&known) };
    match (rest, unknown.len()) {
        (Some(rest), 1) => Ok(group
            .iter()
            .map(|&name| (name, lengths.get(name).map_or(rest.clone(), |&length| Dim::constant(length))))
            .collect()),
        (Some(rest), 0) if rest.is(1) => Ok(group.iter().map(|&name| (name, Dim::constant(lengths[name]))).collect()),
        (_, 0 | 1) => Err(wrong(format!(
            "an axis of extent {extent} cannot be split into `({})` with {known} known",
            group.join(" ")
        ))),
        _ => Err(wrong(format!("of the axes `({})` all extents but one must be given", group.join(" ")))),
    }
}
