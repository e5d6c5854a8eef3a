//! Regions that say how their derivative is taken.

use super::Expansion;
use crate::tensor::ops::{CustomGradient, OptimizationBarrier, Remat};
use crate::tensor::{Node, TypeError, Value};
use std::collections::{BTreeMap, BTreeSet};

impl Expansion {
    /// The cotangents of the operands of a `remat`: the region is computed again of operands that are not taken for those of the way
    /// there, and not before the cotangents are there.
    pub(super) fn remat_cotangents(
        &mut self,
        remat: &Remat,
        node: &Node,
        results: &[Value],
        cotangents: &[Option<Value>],
        wanted: &[bool],
    ) -> Result<Vec<Option<Value>>, TypeError> {
        let there = self.builder.inline(remat.body.graph(), &node.operands)?;
        self.replaced.extend(results.iter().copied().zip(there).filter(|(result, there)| result != there));
        let mut again = vec![];
        for &operand in &node.operands {
            let operands: Vec<Value> = std::iter::once(operand).chain(cotangents.iter().copied().flatten()).collect();
            again.push(self.builder.add(OptimizationBarrier {}, &operands)?);
        }
        let body = self.builder.inline(remat.body.graph(), &again)?;
        let seeds: Vec<(Value, Value)> =
            body.into_iter().zip(cotangents).filter_map(|(result, cotangent)| Some((result, (*cotangent)?))).collect();
        let by: BTreeSet<Value> =
            again.iter().zip(wanted).filter(|(_, wanted)| **wanted).map(|(&value, _)| value).collect();
        let by: Vec<Value> = by.into_iter().collect();
        let found = self.pull_back(&seeds, &by, Some(&again))?;
        let mut found: BTreeMap<Value, Option<Value>> = by.into_iter().zip(found).collect();
        // an operand that is given twice has its whole cotangent at its first place
        Ok(again.iter().map(|value| found.remove(value).flatten()).collect())
    }

    /// The cotangents of the operands of a `custom_gradient`, by its pullback.
    pub(super) fn custom_cotangents(
        &mut self,
        custom: &CustomGradient,
        node: &Node,
        results: &[Value],
        cotangents: &[Option<Value>],
    ) -> Result<Vec<Option<Value>>, TypeError> {
        let there = self.builder.inline(custom.value.graph(), &node.operands)?;
        let (own, residuals) = there.split_at(custom.results);
        let replaced = results.iter().copied().zip(own.iter().copied());
        self.replaced.extend(replaced.filter(|(result, there)| result != there));
        let mut operands = residuals.to_vec();
        for (&result, cotangent) in results.iter().zip(cotangents) {
            operands.push(match cotangent {
                Some(cotangent) => *cotangent,
                None => self.builder.splat_like(0, result)?,
            });
        }
        let given = self.builder.inline(custom.pullback.graph(), &operands)?;
        let mut all = vec![None; node.operands.len()];
        for ((place, &operand), cotangent) in all.iter_mut().zip(&node.operands).zip(given) {
            *place = Some(cotangent).filter(|_| self.builder.tensor_type(operand).dtype.is_float());
        }
        Ok(all)
    }
}
