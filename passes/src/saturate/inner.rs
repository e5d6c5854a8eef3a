//! The regions of ops are saturated on their own, equal ones once.

use super::{CostModel, SaturationOptions, SaturationReport, saturate_with};
use kc_ir::tensor::{Graph, Region, TypeError};
use std::collections::HashMap;

/// The graph with the cheapest graph found for each region of its ops, and what was done for them.
pub(super) fn saturate_regions(
    mut graph: Graph,
    model: &CostModel,
    options: &SaturationOptions,
) -> Result<(Graph, Vec<SaturationReport>), TypeError> {
    let mut reports = vec![];
    let mut known: HashMap<Region, Region> = HashMap::new();
    for node in &mut graph.nodes {
        let mut cheapest = vec![];
        for region in node.op.operation().regions() {
            let found = match known.get(region) {
                Some(found) => found.clone(),
                None => {
                    let saturation = saturate_with(region.graph(), model, options)?;
                    reports.push(saturation.report);
                    known.entry(region.clone()).or_insert(Region::new(saturation.graph)).clone()
                }
            };
            cheapest.push(found);
        }
        if let Some(op) = node.op.with_regions(cheapest) {
            node.op = op;
        }
    }
    Ok((graph, reports))
}
