//! Derivatives through the regions of choices, which are computed again on the way back, and of a region as such.

use super::{Expansion, add_parameter};
use crate::tensor::Extract;
use crate::tensor::ops::*;
use crate::tensor::{Graph, Node, Region, TypeError, Value};

/// A region's graph with the cotangents of its parameters.
pub(super) struct Pullback {
    /// Its parameters are the region's, then a cotangent of each seeded result; its results are the region's, then the cotangents that
    /// there are.
    pub graph: Graph,
    /// For each parameter of the region where its cotangent is among the graph's results.
    pub cotangents: Vec<Option<usize>>,
}

/// Differentiates a region: `seeded` results have cotangents, those of the `wanted` parameters are computed.
pub(super) fn pullback(region: &Graph, seeded: &[bool], wanted: &[bool]) -> Result<Pullback, TypeError> {
    let mut expansion = Expansion::default();
    let parameters = region
        .parameters
        .iter()
        .map(|&parameter| add_parameter(&mut expansion.builder, region.node(parameter)))
        .collect::<Result<Vec<_>, _>>()?;
    let mut results = expansion.builder.inline(region, &parameters)?;
    let mut seeds = vec![];
    for (&result, _) in results.iter().zip(seeded).filter(|(_, seeded)| **seeded) {
        let ty = expansion.builder.tensor_type(result).clone();
        // a tensor that is two results has two cotangents
        seeds.push((result, expansion.builder.parameter("cotangent", ty)?));
    }
    let by: Vec<Value> =
        parameters.iter().zip(wanted).filter(|(_, wanted)| **wanted).map(|(&value, _)| value).collect();
    let mut found = expansion.pull_back(&seeds, &by, Some(&parameters))?.into_iter();
    let mut cotangents = vec![];
    for wanted in wanted {
        cotangents.push(match if *wanted { found.next().flatten() } else { None } {
            Some(cotangent) => {
                results.push(cotangent);
                Some(results.len() - 1)
            }
            None => None,
        });
    }
    Ok(Pullback { graph: expansion.finish(&results)?, cotangents })
}

impl Expansion {
    /// The cotangents of the operands of a `cond`.
    pub(super) fn cond_cotangents(
        &mut self,
        cond: &Cond,
        node: &Node,
        cotangents: &[Option<Value>],
        wanted: &[bool],
    ) -> Result<Vec<Option<Value>>, TypeError> {
        let seeded: Vec<bool> = cotangents.iter().map(Option::is_some).collect();
        let branches = cond.branches.iter().map(|branch| pullback(branch.graph(), &seeded, &wanted[1..]));
        let branches = branches.collect::<Result<Vec<_>, _>>()?;
        let given: Vec<usize> = (0..node.operands.len() - 1)
            .filter(|&position| branches.iter().any(|branch| branch.cotangents[position].is_some()))
            .collect();
        let mut regions = vec![];
        for Pullback { graph, cotangents } in branches {
            let mut extract = Extract::new(&graph);
            graph.parameters.iter().try_for_each(|&parameter| extract.bind(parameter, "operand"))?;
            let mut results = vec![];
            for &position in &given {
                results.push(match cotangents[position] {
                    Some(result) => extract.value(graph.results[result])?,
                    None => {
                        let ty = graph.tensor_type(graph.parameters[position]);
                        extract.builder.splat(ty.dtype, 0.0, &ty.shape)?
                    }
                });
            }
            regions.push(Region::new(extract.builder.finish(results)));
        }
        let mut all = vec![None; node.operands.len()];
        if given.is_empty() {
            return Ok(all);
        }
        let operands: Vec<Value> = node.operands.iter().copied().chain(cotangents.iter().copied().flatten()).collect();
        let tuple = self.builder.add(Cond { branches: regions }, &operands)?;
        for (position, cotangent) in given.into_iter().zip(self.builder.projections(tuple)?) {
            all[position + 1] = Some(cotangent);
        }
        Ok(all)
    }
}
