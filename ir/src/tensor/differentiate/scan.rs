//! Derivatives through scans: on the way there a scan stacks what the way back needs of each round (`plan`), and the way back is a scan
//! in the other direction.

mod plan;

use super::Expansion;
use super::control::pullback;
use crate::tensor::Extract;
use crate::tensor::ops::*;
use crate::tensor::{Builder, Node, Op, Region, TypeError, Value};
use kc_abi::TensorType;
use plan::{Backward, Sum};
use std::collections::{BTreeMap, HashMap};

impl Expansion {
    /// The cotangents of the operands of a `scan`, which is replaced by one that stacks what they need.
    pub(super) fn scan_cotangents(
        &mut self,
        scan: &Scan,
        node: &Node,
        results: &[Value],
        cotangents: &[Option<Value>],
        wanted: &[bool],
    ) -> Result<Vec<Option<Value>>, TypeError> {
        let body = scan.body.graph();
        let by = active(scan, wanted);
        // the carried values whose cotangents are carried back: those that are given, and those that others lead to
        let mut seeded: Vec<bool> = cotangents
            .iter()
            .enumerate()
            .map(|(position, cotangent)| cotangent.is_some() && (position >= scan.carried || by[position]))
            .collect();
        let pullback = loop {
            let pullback = pullback(body, &seeded, &by)?;
            let more = (0..scan.carried).find(|&carry| pullback.cotangents[carry].is_some() && !seeded[carry]);
            match more {
                None => break pullback,
                Some(carry) => seeded[carry] = true,
            }
        };
        let mut backward = Backward::new(scan, &pullback, &seeded);
        let sums = backward.plan()?;
        let stacked = self.stack(scan, node, results, &backward)?;
        backward.build(self, node, cotangents, &stacked, sums)
    }

    /// The scan with what `backward` saves among its outputs; returns where each saved value is stacked.
    fn stack(
        &mut self,
        scan: &Scan,
        node: &Node,
        results: &[Value],
        backward: &Backward<'_>,
    ) -> Result<BTreeMap<Value, Value>, TypeError> {
        let graph = &backward.pullback.graph;
        let own = &graph.results[..results.len()];
        let mut outputs = own.to_vec();
        let mut positions: BTreeMap<Value, usize> = BTreeMap::new();
        for &value in &backward.saved {
            let known = own.iter().skip(scan.carried).position(|&output| output == value);
            positions.insert(value, known.map_or(outputs.len(), |output| scan.carried + output));
            if known.is_none() {
                outputs.push(value);
            }
        }
        if outputs.len() == own.len() {
            return Ok(positions.into_iter().map(|(value, position)| (value, results[position])).collect());
        }
        let mut extract = Extract::new(graph);
        for &parameter in graph.parameters.iter().take(node.operands.len()) {
            extract.bind(parameter, "operand")?;
        }
        let outputs = outputs.iter().map(|&output| extract.value(output)).collect::<Result<Vec<_>, _>>()?;
        let body = Region::new(extract.builder.finish(outputs));
        let tuple = self.builder.add(Scan { body, ..scan.clone() }, &node.operands)?;
        let stacked = self.builder.projections(tuple)?;
        self.replaced.extend(results.iter().copied().zip(stacked.iter().copied()));
        Ok(positions.into_iter().map(|(value, position)| (value, stacked[position])).collect())
    }
}

/// For each parameter of a scan's body whether a derivative by the wanted operands passes through it.
fn active(scan: &Scan, wanted: &[bool]) -> Vec<bool> {
    let body = scan.body.graph();
    let mut by = wanted.to_vec();
    loop {
        let targets = body.parameters.iter().zip(&by).filter(|(_, by)| **by).map(|(&value, _)| value).collect();
        let depends = super::dependents(body, &body.results[..scan.carried], &targets, &[]);
        let more = (0..scan.carried).find(|&carry| depends.contains(&body.results[carry]) && !by[carry]);
        match more {
            None => return by,
            Some(carry) => by[carry] = true,
        }
    }
}

impl Backward<'_> {
    /// Adds the scan back and what follows it; returns the cotangents of the scan's operands.
    fn build(
        &self,
        expansion: &mut Expansion,
        node: &Node,
        cotangents: &[Option<Value>],
        saved: &BTreeMap<Value, Value>,
        sums: BTreeMap<usize, Sum>,
    ) -> Result<Vec<Option<Value>>, TypeError> {
        let (scan, graph) = (self.scan, self.graph());
        let builder = &mut expansion.builder;
        let region = scan.body.graph().parameters.len();
        let zeros = |builder: &mut Builder, ty: &TensorType| builder.splat(ty.dtype, 0.0, &ty.shape);
        let seeds: Vec<(usize, Value)> =
            graph.parameters[region..].iter().filter_map(|&value| Some((self.seed_of(value)?, value))).collect();
        let mut extract = Extract::new(graph);
        let (mut carried, mut sequences, mut captures) = (vec![], vec![], vec![]);
        // carried: cotangents of carried values, sums
        for &(result, value) in seeds.iter().filter(|(result, _)| *result < scan.carried) {
            extract.bind(value, "cotangent")?;
            carried.push(match cotangents[result] {
                Some(cotangent) => cotangent,
                None => zeros(builder, graph.tensor_type(value))?,
            });
        }
        let mut sums_so_far = vec![];
        for &value in &self.summed {
            let ty = graph.tensor_type(value).clone();
            sums_so_far.push(extract.builder.parameter("sum", ty.clone())?);
            carried.push(zeros(builder, &ty)?);
        }
        // sequences: cotangents of outputs, saved values, the sequences themselves
        for &(result, value) in seeds.iter().filter(|(result, _)| *result >= scan.carried) {
            extract.bind(value, "cotangent")?;
            sequences.extend(cotangents[result]);
        }
        for (&value, &stack) in saved {
            extract.bind(value, "saved")?;
            sequences.push(stack);
        }
        let index = |value: Value| match &graph.node(value).op {
            Op::Parameter(parameter) => parameter.index,
            _ => 0,
        };
        for &value in &self.elements {
            extract.bind(value, "element")?;
            sequences.push(node.operands[index(value)]);
        }
        for position in scan.carried + scan.sequences..region {
            extract.bind(graph.parameters[position], "capture")?;
            captures.push(node.operands[position]);
        }
        // results: the next of what is carried, then outputs
        let mut results = vec![];
        for &(result, value) in seeds.iter().filter(|(result, _)| *result < scan.carried) {
            results.push(match self.cotangent(result) {
                Some(cotangent) => extract.value(cotangent)?,
                None => zeros(&mut extract.builder, graph.tensor_type(value))?,
            });
        }
        for (&value, sum) in self.summed.iter().zip(sums_so_far) {
            let term = extract.value(value)?;
            results.push(extract.builder.binary(Binary::Add, sum, term)?);
        }
        let mut outputs: Vec<Value> = self.stacked.clone();
        let by_elements: Vec<(usize, Value)> = (scan.carried..scan.carried + scan.sequences)
            .filter_map(|position| Some((position, self.cotangent(position)?)))
            .collect();
        for (_, cotangent) in &by_elements {
            if !outputs.contains(cotangent) {
                outputs.push(*cotangent);
            }
        }
        for &output in &outputs {
            results.push(extract.value(output)?);
        }
        let op = Scan {
            carried: carried.len(),
            sequences: sequences.len(),
            length: scan.length.clone(),
            reverse: !scan.reverse,
            body: Region::new(extract.builder.finish(results)),
        };
        let count = carried.len();
        let operands: Vec<Value> = carried.into_iter().chain(sequences).chain(captures).collect();
        let tuple = builder.add(op, &operands)?;
        let last = builder.projections(tuple)?;
        let (last, stacks) = last.split_at(count);
        let carries: Vec<usize> = seeds.iter().map(|(result, _)| *result).filter(|&r| r < scan.carried).collect();
        let mut all = vec![None; node.operands.len()];
        for (position, &carry) in carries.iter().enumerate() {
            all[carry] = Some(last[position]);
        }
        for (position, cotangent) in by_elements {
            all[position] = outputs.iter().position(|&output| output == cotangent).map(|output| stacks[output]);
        }
        // where all elements of a value are
        let mut stack_of: HashMap<Value, Value> = outputs.iter().copied().zip(stacks.iter().copied()).collect();
        stack_of.extend(saved.iter().map(|(&value, &stack)| (value, stack)));
        stack_of.extend(self.elements.iter().map(|&value| (value, node.operands[index(value)])));
        stack_of.extend(seeds.iter().filter_map(|&(result, value)| {
            cotangents[result].filter(|_| result >= scan.carried).map(|cotangent| (value, cotangent))
        }));
        for (position, sum) in sums {
            all[position] = Some(total(builder, &sum, &stack_of, &last[carries.len()..])?);
        }
        Ok(all)
    }
}

/// Adds what a sum is made of.
fn total(
    builder: &mut Builder,
    sum: &Sum,
    stacks: &HashMap<Value, Value>,
    carried: &[Value],
) -> Result<Value, TypeError> {
    let later = |axes: &[usize]| axes.iter().map(|axis| axis + 1).collect::<Vec<_>>();
    let with_rounds = |axes: &[usize]| std::iter::once(0).chain(later(axes)).collect::<Vec<_>>();
    match sum {
        Sum::Carried(number) => Ok(carried[*number]),
        Sum::Of(op, operands) => {
            let operands = operands.iter().map(|operand| total(builder, operand, stacks, carried));
            let operands = operands.collect::<Result<Vec<_>, _>>()?;
            builder.add(op.clone(), &operands)
        }
        Sum::Contraction(dot, [lhs, rhs]) => {
            let dot = DotGeneral {
                lhs_batch: later(&dot.lhs_batch),
                rhs_batch: later(&dot.rhs_batch),
                lhs_contract: with_rounds(&dot.lhs_contract),
                rhs_contract: with_rounds(&dot.rhs_contract),
            };
            builder.add(dot, &[stacks[lhs], stacks[rhs]])
        }
        Sum::Reduction(reduce, operand) => builder.reduce(reduce.kind, &with_rounds(&reduce.axes), stacks[operand]),
    }
}
