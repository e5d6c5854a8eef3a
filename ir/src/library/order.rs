//! Sorting.

use crate::tensor::interpret::Data;
use std::cmp::Ordering;

/// The stable order of `n` elements by several keys. -0 is equal to 0, NaN is behind all others.
pub(super) fn argsort(keys: &[&Data], n: usize, descending: bool) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| {
        let ordering = keys.iter().fold(Ordering::Equal, |ordering, key| ordering.then_with(|| compare(key, a, b)));
        if descending { ordering.reverse() } else { ordering }
    });
    order
}

fn compare(key: &Data, a: usize, b: usize) -> Ordering {
    match key {
        Data::Int(values) => values[a].cmp(&values[b]),
        Data::Float(values) => {
            let (a, b) = (values[a], values[b]);
            a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
        }
    }
}
