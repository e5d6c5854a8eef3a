//! Cutting a graph into regions that are saturated one by one, so that what is repeated (the equal blocks of a deep network, forward
//! and backward) is saturated once.
//!
//! A region is a range of the graph's ops in their order: it depends on earlier regions only. Repetition is found in the sequence of
//! ops with their types; whether two regions are equal is then checked on their graphs.

use kc_ir::tensor::ops::Parameter;
use kc_ir::tensor::{Builder, Graph, Location, Node, Op, Type, TypeError, Value};
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

/// Ops that a repeated block has at least: less is left together, so that rules see the neighbours.
const LEAST_PERIOD: usize = 16;

/// Periods that are tried in one stretch.
const PERIODS: usize = 16;

/// A part of a graph as a graph of its own.
#[derive(Clone, Debug)]
pub(crate) struct Region {
    /// Its ops; parameters stand for what comes from outside, results are what is used outside.
    pub graph: Graph,
    /// The values that the parameters stand for.
    pub inputs: Vec<Value>,
    /// The values that the results are.
    pub outputs: Vec<Value>,
}

/// The regions of a graph, in order: each needs parameters of the graph and results of earlier regions only.
pub(crate) fn regions(graph: &Graph) -> Vec<Region> {
    let constant = constants(graph);
    let sequence = sequence(graph, &constant);
    let signatures: Vec<u64> = sequence.iter().map(|&value| signature(graph.node(value))).collect();
    let mut cuts = BTreeSet::from([0, sequence.len()]);
    let mut open: Vec<Range<usize>> = Vec::new();
    open.push(0..sequence.len());
    while let Some(stretch) = open.pop() {
        let Some(run) = longest_run(&signatures, &stretch) else { continue };
        let rotation = best_rotation(graph, &sequence, &run);
        let first = run.range.start + rotation;
        let blocks = (run.range.end - first) / run.period;
        let last = first + blocks * run.period;
        cuts.extend((0..=blocks).map(|block| first + block * run.period));
        open.extend([stretch.start..first, last..stretch.end]);
    }
    let cuts: Vec<usize> = cuts.into_iter().collect();
    let mut place = vec![None; graph.nodes.len()];
    for (number, pair) in cuts.windows(2).enumerate() {
        sequence[pair[0]..pair[1]].iter().for_each(|value| place[value.index()] = Some(number));
    }
    let mut used_outside: BTreeSet<Value> = graph.results.iter().copied().collect();
    for &value in &sequence {
        let own = place[value.index()];
        used_outside.extend(graph.node(value).operands.iter().filter(|operand| place[operand.index()] != own));
    }
    let cut = Cut { graph, constant: &constant, used_outside: &used_outside };
    cuts.windows(2).map(|pair| cut.region(&sequence[pair[0]..pair[1]])).collect()
}

/// For each node whether it is made of constants, positions and extents only: regions have their own copies of those.
fn constants(graph: &Graph) -> Vec<bool> {
    let mut constant: Vec<bool> = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        let tensor = node.ty.as_tensor().is_some() && !matches!(node.op, Op::Parameter(_));
        constant.push(tensor && node.operands.iter().all(|operand| constant[operand.index()]));
    }
    constant
}

/// The other ops in order, the tensors of a tuple right behind it.
fn sequence(graph: &Graph, constant: &[bool]) -> Vec<Value> {
    let mut projections: BTreeMap<Value, Vec<Value>> = BTreeMap::new();
    for value in graph.values() {
        if let Op::Projection(_) = graph.node(value).op {
            projections.entry(graph.node(value).operands[0]).or_default().push(value);
        }
    }
    let mut sequence = Vec::with_capacity(graph.nodes.len());
    for value in graph.values() {
        let op = &graph.node(value).op;
        if !constant[value.index()] && !matches!(op, Op::Parameter(_) | Op::Projection(_)) {
            sequence.push(value);
            sequence.extend(projections.remove(&value).unwrap_or_default());
        }
    }
    sequence
}

fn signature(node: &Node) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&node.op, &node.ty, node.operands.len()).hash(&mut hasher);
    hasher.finish()
}

/// A stretch in which signatures repeat with a period.
struct Run {
    range: Range<usize>,
    period: usize,
}

/// The longest stretch in which signatures repeat, with its shortest period.
fn longest_run(signatures: &[u64], stretch: &Range<usize>) -> Option<Run> {
    let mut last: HashMap<u64, usize> = HashMap::new();
    let mut votes: BTreeMap<usize, usize> = BTreeMap::new();
    for position in stretch.clone() {
        if let Some(before) = last.insert(signatures[position], position) {
            *votes.entry(position - before).or_default() += position - before;
        }
    }
    let mut periods: Vec<(usize, usize)> =
        votes.into_iter().filter(|&(period, _)| period >= LEAST_PERIOD).map(|(period, vote)| (vote, period)).collect();
    periods.sort_by_key(|&(vote, period)| (std::cmp::Reverse(vote), period));
    let mut best: Option<Run> = None;
    let mut tried: Vec<usize> = periods.into_iter().take(PERIODS).map(|(_, period)| period).collect();
    tried.sort_unstable();
    for period in tried {
        let mut start = stretch.start;
        for position in stretch.start..stretch.end.saturating_sub(period) + 1 {
            let repeats = position + period < stretch.end && signatures[position] == signatures[position + period];
            if repeats {
                continue;
            }
            let (length, range) = (position - start, start..(position + period).min(stretch.end));
            let longer = best.as_ref().is_none_or(|best| range.len() > best.range.len() + best.range.len() / 8);
            if length >= period && longer {
                best = Some(Run { range, period });
            }
            start = position + 1;
        }
    }
    best
}

/// How far behind a run's start to cut so that the fewest values cross from one block to the next.
fn best_rotation(graph: &Graph, sequence: &[Value], run: &Run) -> usize {
    let spare = run.range.len() % run.period;
    let second = run.range.start + run.period;
    let place: HashMap<Value, usize> =
        (run.range.start..run.range.end).map(|position| (sequence[position], position)).collect();
    let crossing = |rotation: usize| {
        let cut = second + rotation;
        let users = &sequence[cut..(cut + run.period).min(run.range.end)];
        let before = |value: &Value| place.get(value).is_some_and(|&position| position < cut);
        let crossing: BTreeSet<Value> =
            users.iter().flat_map(|&user| &graph.node(user).operands).copied().filter(before).collect();
        crossing.len()
    };
    (0..=spare.min(run.period - 1)).min_by_key(|&rotation| (crossing(rotation), rotation)).unwrap_or(0)
}

struct Cut<'c> {
    graph: &'c Graph,
    constant: &'c [bool],
    used_outside: &'c BTreeSet<Value>,
}

impl Cut<'_> {
    /// The region of some ops in order.
    fn region(&self, members: &[Value]) -> Region {
        let mut region = Graph::default();
        let mut known: HashMap<Value, Value> = HashMap::new();
        let mut inputs = vec![];
        for &member in members {
            for &operand in &self.graph.node(member).operands {
                self.add_operand(operand, &mut region, &mut known, &mut inputs);
            }
            add(&mut region, &mut known, member, self.graph.node(member));
        }
        let outputs: Vec<Value> = members
            .iter()
            .copied()
            .filter(|member| self.used_outside.contains(member))
            .filter(|&member| matches!(self.graph.node(member).ty, Type::Tensor(_)))
            .collect();
        region.results = outputs.iter().map(|output| known[output]).collect();
        Region { graph: region, inputs, outputs }
    }

    /// Makes an operand known: a constant with all that it is made of, or a parameter.
    fn add_operand(
        &self,
        value: Value,
        region: &mut Graph,
        known: &mut HashMap<Value, Value>,
        inputs: &mut Vec<Value>,
    ) {
        let mut open = vec![value];
        while let Some(&value) = open.last() {
            let node = self.graph.node(value);
            if known.contains_key(&value) {
                open.pop();
            } else if !self.constant[value.index()] {
                let Type::Tensor(ty) = &node.ty else { return };
                let parameter = Parameter { index: inputs.len(), name: String::new(), ty: ty.clone() };
                let node = Node { op: parameter.into(), operands: vec![], ty: node.ty.clone(), location: None };
                add(region, known, value, &node);
                region.parameters.push(known[&value]);
                inputs.push(value);
                open.pop();
            } else if let Some(&missing) = node.operands.iter().find(|operand| !known.contains_key(operand)) {
                open.push(missing);
            } else {
                add(region, known, value, node);
                open.pop();
            }
        }
    }
}

fn add(region: &mut Graph, known: &mut HashMap<Value, Value>, value: Value, node: &Node) {
    let operands = node.operands.iter().map(|operand| known[operand]).collect();
    known.insert(value, Value(region.nodes.len() as u32));
    region.nodes.push(Node { operands, ..node.clone() });
}

impl Region {
    /// Whether another region is the same, but for where it comes from.
    pub fn equals(&self, other: &Region) -> bool {
        let (one, two) = (&self.graph, &other.graph);
        let same = |(a, b): (&Node, &Node)| a.op == b.op && a.operands == b.operands && a.ty == b.ty;
        one.nodes.len() == two.nodes.len() && one.results == two.results && one.nodes.iter().zip(&two.nodes).all(same)
    }

    /// What equal regions share.
    pub fn signature(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.graph.nodes.iter().for_each(|node| signature(node).hash(&mut hasher));
        hasher.finish()
    }
}

/// The graph that regions make up: of each the graph that takes its place, and the region (equal to it) that this was made from.
pub(crate) fn join<'r>(
    original: &Graph,
    parts: impl Iterator<Item = (&'r Region, &'r Region, &'r Graph)>,
) -> Result<Graph, TypeError> {
    let mut builder = Builder::new();
    let mut values: HashMap<Value, Value> = HashMap::new();
    for &parameter in &original.parameters {
        let node = original.node(parameter);
        let Op::Parameter(declared) = &node.op else { continue };
        builder.set_location(node.location.clone());
        values.insert(parameter, builder.parameter(&declared.name, declared.ty.clone())?);
    }
    let missing = || TypeError::new("saturate", "a region needs what comes after it");
    for (region, made_from, graph) in parts {
        let locations = locations(made_from, region);
        let mut inner: Vec<Value> = Vec::with_capacity(graph.nodes.len());
        for node in &graph.nodes {
            let moved =
                node.location.as_ref().map(|location| locations.get(location).copied().unwrap_or(location).clone());
            builder.set_location(moved);
            inner.push(match &node.op {
                Op::Parameter(parameter) => *values.get(&region.inputs[parameter.index]).ok_or_else(missing)?,
                op => {
                    let operands: Vec<Value> = node.operands.iter().map(|operand| inner[operand.index()]).collect();
                    builder.add(op.clone(), &operands)?
                }
            });
        }
        for (&output, result) in region.outputs.iter().zip(&graph.results) {
            values.insert(output, inner[result.index()]);
        }
    }
    // results that are constants belong to no region
    for &result in &original.results {
        if !values.contains_key(&result) {
            let mut open = vec![result];
            while let Some(&value) = open.last() {
                let node = original.node(value);
                if values.contains_key(&value) {
                    open.pop();
                } else if let Some(&operand) = node.operands.iter().find(|operand| !values.contains_key(operand)) {
                    open.push(operand);
                } else {
                    let operands: Vec<Value> = node.operands.iter().map(|operand| values[operand]).collect();
                    builder.set_location(node.location.clone());
                    values.insert(value, builder.add(node.op.clone(), &operands)?);
                    open.pop();
                }
            }
        }
    }
    Ok(builder.finish(original.results.iter().map(|result| values[result]).collect()))
}

/// For each location in one region the location at the same place of an equal one.
fn locations<'r>(from: &'r Region, to: &'r Region) -> HashMap<&'r Arc<Location>, &'r Arc<Location>> {
    let pairs = from.graph.nodes.iter().zip(&to.graph.nodes);
    pairs.filter_map(|(from, to)| Some((from.location.as_ref()?, to.location.as_ref()?))).collect()
}
