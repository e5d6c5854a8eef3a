//! Derivatives through regions.
//!
//! The region of a choice is computed again on the way back. A scan is: on the way there it stacks what the way back needs of each
//! round, and the way back is a scan in the other direction. What it needs is kept only where it is not the same in all rounds, is no
//! element of a sequence, and is neither a repetition of something smaller nor a cheap function of what is kept anyway.

use super::{Expansion, add_parameter};
use crate::operations;
use crate::region::Extract;
use kc_ir::TensorType;
use kc_ir::tensor::ops::*;
use kc_ir::tensor::{Builder, Graph, Node, Op, Region, TypeError, Value};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The largest number of ops that the way back executes again rather than reads the result of.
const COMPUTED_AGAIN: usize = 4;

/// A region's graph with the cotangents of its parameters.
struct Pullback {
    /// Its parameters are the region's, then a cotangent of each seeded result; its results are the region's, then the cotangents that
    /// there are.
    graph: Graph,
    /// For each parameter of the region where its cotangent is among the graph's results.
    cotangents: Vec<Option<usize>>,
}

/// Differentiates a region: `seeded` results have cotangents, those of the `wanted` parameters are computed.
fn pullback(region: &Graph, seeded: &[bool], wanted: &[bool]) -> Result<Pullback, TypeError> {
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
    let mut found = expansion.pull_back(&seeds, &by, true)?.into_iter();
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
        let depends = super::dependents(body, body.nodes.len(), &targets, false);
        let more = (0..scan.carried).find(|&carry| depends[body.results[carry].index()] && !by[carry]);
        match more {
            None => return by,
            Some(carry) => by[carry] = true,
        }
    }
}

/// The sum over all rounds of a value of the way back.
enum Sum {
    /// An op of other sums, which it commutes with.
    Of(Op, Vec<Sum>),
    /// One contraction over all rounds of two values that are stacked.
    Contraction(DotGeneral, [Value; 2]),
    /// One reduction over all rounds of a value that is stacked.
    Reduction(Reduce, Value),
    /// Added up round by round: the position among the values that are.
    Carried(usize),
}

/// The way back through a scan.
struct Backward<'p> {
    scan: &'p Scan,
    pullback: &'p Pullback,
    /// Results that have cotangents.
    seeded: &'p [bool],
    /// Values of the joint graph that cotangents take part in.
    back: Vec<bool>,
    /// Values that are the same in all rounds.
    invariant: Vec<bool>,
    /// Values of the way there that are stacked for the way back.
    saved: BTreeSet<Value>,
    /// Elements of sequences that the way back reads.
    elements: BTreeSet<Value>,
    /// Values of the way back that are stacked.
    stacked: Vec<Value>,
    /// Values of the way back that are added up round by round.
    summed: Vec<Value>,
}

impl<'p> Backward<'p> {
    fn new(scan: &'p Scan, pullback: &'p Pullback, seeded: &'p [bool]) -> Self {
        let graph = &pullback.graph;
        let region = scan.body.graph().parameters.len();
        let mut back = vec![false; graph.nodes.len()];
        let mut invariant = vec![false; graph.nodes.len()];
        for value in graph.values() {
            let node = graph.node(value);
            (back[value.index()], invariant[value.index()]) = match &node.op {
                Op::Parameter(parameter) => {
                    let captured = (scan.carried + scan.sequences..region).contains(&parameter.index);
                    (parameter.index >= region, captured)
                }
                _ => (
                    node.operands.iter().any(|operand| back[operand.index()]),
                    node.operands.iter().all(|operand| invariant[operand.index()]),
                ),
            };
        }
        let (saved, elements) = Default::default();
        Backward { scan, pullback, seeded, back, invariant, saved, elements, stacked: vec![], summed: vec![] }
    }

    fn graph(&self) -> &'p Graph {
        &self.pullback.graph
    }

    /// The cotangent of the body's parameter of that position.
    fn cotangent(&self, position: usize) -> Option<Value> {
        self.pullback.cotangents[position].map(|result| self.graph().results[result])
    }

    /// Decides what is saved, stacked and summed; returns the sums of the captures' cotangents by parameter.
    fn plan(&mut self) -> Result<BTreeMap<usize, Sum>, TypeError> {
        let captures = self.scan.carried + self.scan.sequences..self.scan.body.graph().parameters.len();
        // contractions first: what they stack, reductions find
        let given: Vec<(usize, Value)> =
            captures.filter_map(|position| Some((position, self.cotangent(position)?))).collect();
        for (_, cotangent) in &given {
            self.contractions(*cotangent);
        }
        let sums = given.into_iter().map(|(position, cotangent)| (position, self.sum(cotangent))).collect();
        let kept = self.saved.clone();
        let mut needed: Vec<Value> = (0..self.scan.carried).filter_map(|carry| self.cotangent(carry)).collect();
        needed.extend((self.scan.carried..self.scan.carried + self.scan.sequences).filter_map(|x| self.cotangent(x)));
        needed.extend(self.stacked.iter().chain(&self.summed));
        self.need(needed);
        self.compute_again(&kept);
        Ok(sums)
    }

    /// The operands of an op that sums commute with: the sum of its results is its result of the sums.
    fn summands(&self, value: Value) -> Option<&'p [Value]> {
        let node = self.graph().node(value);
        let commutes =
            matches!(&node.op, Op::Binary(Binary::Add) | Op::Unary(Unary::Negate) | Op::Transpose(_) | Op::Reshape(_));
        (commutes && self.back[value.index()] && !self.is_parameter(value)).then_some(&node.operands)
    }

    fn is_parameter(&self, value: Value) -> bool {
        matches!(self.graph().node(value).op, Op::Parameter(_))
    }

    /// Stacks the operands of contractions that a sum is made of.
    fn contractions(&mut self, value: Value) {
        if let Some(operands) = self.summands(value) {
            operands.iter().for_each(|&operand| self.contractions(operand));
            return;
        }
        let node = self.graph().node(value);
        if matches!(node.op, Op::DotGeneral(_)) && self.back[value.index()] {
            for &operand in &node.operands {
                if self.back[operand.index()] && !self.stacked.contains(&operand) && !self.is_parameter(operand) {
                    self.stacked.push(operand);
                } else if !self.back[operand.index()] && !self.invariant[operand.index()] {
                    self.save(operand);
                }
            }
        }
    }

    /// Whether a value's elements of all rounds are, or will be, in one tensor.
    fn is_stacked(&self, value: Value) -> bool {
        self.stacked.contains(&value)
            || self.saved.contains(&value)
            || self.elements.contains(&value)
            || self.back[value.index()] && self.is_parameter(value) && self.is_output_cotangent(value)
    }

    /// Whether a value is the cotangent of an output, which is stacked already.
    fn is_output_cotangent(&self, value: Value) -> bool {
        self.seed_of(value).is_some_and(|result| result >= self.scan.carried)
    }

    /// The result whose cotangent a parameter of the joint graph is.
    fn seed_of(&self, value: Value) -> Option<usize> {
        let Op::Parameter(parameter) = &self.graph().node(value).op else { return None };
        let number = parameter.index.checked_sub(self.scan.body.graph().parameters.len())?;
        (0..self.seeded.len()).filter(|&result| self.seeded[result]).nth(number)
    }

    fn sum(&mut self, value: Value) -> Sum {
        if let Some(operands) = self.summands(value) {
            let op = self.graph().node(value).op.clone();
            return Sum::Of(op, operands.iter().map(|&operand| self.sum(operand)).collect());
        }
        let node = self.graph().node(value);
        match &node.op {
            Op::DotGeneral(dot) if node.operands.iter().all(|&operand| self.is_stacked(operand)) => {
                Sum::Contraction(dot.clone(), [node.operands[0], node.operands[1]])
            }
            Op::Reduce(reduce) if reduce.kind == Reduction::Sum && self.is_stacked(node.operands[0]) => {
                Sum::Reduction(reduce.clone(), node.operands[0])
            }
            _ => {
                let known = self.summed.iter().position(|&summed| summed == value);
                Sum::Carried(known.unwrap_or_else(|| {
                    self.summed.push(value);
                    self.summed.len() - 1
                }))
            }
        }
    }

    /// Keeps a value of the way there, where it is not an element of a sequence.
    fn save(&mut self, value: Value) {
        match &self.graph().node(value).op {
            Op::Parameter(parameter) if parameter.index >= self.scan.carried => self.elements.insert(value),
            _ => self.saved.insert(value),
        };
    }

    /// Saves what computing values of the way back reads of the way there.
    fn need(&mut self, mut open: Vec<Value>) {
        let mut seen = BTreeSet::new();
        while let Some(value) = open.pop() {
            if !seen.insert(value) || self.saved.contains(&value) || self.elements.contains(&value) {
                continue;
            }
            let node = self.graph().node(value);
            let again = self.back[value.index()] || self.invariant[value.index()] || self.is_repetition(node);
            if again {
                open.extend(&node.operands);
            } else {
                self.save(value);
            }
        }
    }

    /// Saves no value, but for those that are kept, that follows from others.
    fn compute_again(&mut self, kept: &BTreeSet<Value>) {
        for value in self.saved.clone().into_iter().rev().filter(|value| !kept.contains(value)) {
            self.saved.remove(&value);
            if !self.follows(value, &mut { COMPUTED_AGAIN }) {
                self.saved.insert(value);
            }
        }
    }

    /// Whether a value of the way there is made of what the way back reads in no more than so many cheap elementwise ops.
    fn follows(&self, value: Value, left: &mut usize) -> bool {
        if self.saved.contains(&value) || self.elements.contains(&value) || self.invariant[value.index()] {
            return true;
        }
        let node = self.graph().node(value);
        let cheap = match &node.op {
            Op::Unary(function) => operations::unary(*function).operations() <= operations::LOAD_AND_STORE,
            Op::Binary(function) => operations::binary(*function).operations() <= operations::LOAD_AND_STORE,
            Op::Compare(_) | Op::Select(_) | Op::Convert(_) => true,
            _ => self.is_repetition(node),
        };
        if !cheap || *left == 0 {
            return false;
        }
        *left -= 1;
        node.operands.iter().all(|&operand| self.follows(operand, left))
    }

    /// Whether an op gives the elements of its operand again, not fewer bytes of them.
    fn is_repetition(&self, node: &Node) -> bool {
        match &node.op {
            Op::Broadcast(_) | Op::Reshape(_) | Op::Transpose(_) | Op::StopGradient(_) => true,
            Op::Convert(convert) => self.graph().tensor_type(node.operands[0]).dtype.bytes() <= convert.dtype.bytes(),
            _ => false,
        }
    }

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
