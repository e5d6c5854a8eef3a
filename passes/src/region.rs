//! What regions read.

use kc_ir::tensor::{Graph, Value};
use std::collections::BTreeSet;

/// The parameters of a region that values need, by position.
pub(crate) fn needed_parameters(region: &Graph, values: impl IntoIterator<Item = Value>) -> BTreeSet<usize> {
    let mut needed = vec![false; region.nodes.len()];
    values.into_iter().for_each(|value| needed[value.index()] = true);
    for (index, node) in region.nodes.iter().enumerate().rev() {
        if needed[index] {
            node.operands.iter().for_each(|operand| needed[operand.index()] = true);
        }
    }
    (0..)
        .zip(&region.parameters)
        .filter(|(_, parameter)| needed[parameter.index()])
        .map(|(position, _)| position)
        .collect()
}
