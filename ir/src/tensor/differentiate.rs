//! Reverse-mode differentiation: replaces `gradient` ops by the graph that computes the derivatives.

mod control;
mod scan;
mod scopes;

use crate::tensor::ops::{Backward, Binary};
use crate::tensor::{Builder, Graph, Location, Node, Op, Type, TypeError, Value};
use hashbrown::HashSet;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The graph with every [`Gradient`](crate::tensor::ops::Gradient) op expanded, inner ones first, and without what no result
/// needs.
///
/// The derivative by a value takes every way from the scalar back to it; by a value that the scalar does not depend on it is
/// zeros. Cotangents are added in the reverse order of the nodes that they come from. A composite without a gradient of its own
/// is replaced by its body where the derivative passes through it.
///
/// An op that has no gradient is an error only where the derivative needs one.
pub fn differentiate(graph: &Graph) -> Result<Graph, TypeError> {
    let mut expansion = Expansion::default();
    // for each node its value in the new graph, or its values where it is a gradient
    let mut values: Vec<Vec<Value>> = vec![Vec::new(); graph.nodes.len()];
    for &parameter in &graph.parameters {
        values[parameter.index()] = vec![add_parameter(&mut expansion.builder, graph.node(parameter))?];
    }
    for (index, node) in graph.nodes.iter().enumerate().filter(|(_, node)| !matches!(node.op, Op::Parameter(_))) {
        let operands: Vec<Value> = match &node.op {
            Op::Projection(projection) if is_gradient(graph, node) => {
                values[index] = vec![values[node.operands[0].index()][projection.index]];
                continue;
            }
            _ => node.operands.iter().map(|operand| values[operand.index()][0]).collect(),
        };
        expansion.builder.set_location(node.location.clone());
        values[index] = match &node.op {
            Op::Gradient(_) => expansion.gradient(operands[0], &operands[1..])?,
            op => vec![expansion.builder.add(op.map_graphs(differentiate)?, &operands)?],
        };
    }
    let results: Vec<Value> = graph.results.iter().map(|result| values[result.index()][0]).collect();
    expansion.finish(&results)
}

fn is_gradient(graph: &Graph, projection: &Node) -> bool {
    projection.operands.first().is_some_and(|&tuple| matches!(graph.node(tuple).op, Op::Gradient(_)))
}

#[derive(Default)]
struct Expansion {
    builder: Builder,
    /// Values of composites that are replaced by those of their bodies.
    replaced: HashMap<Value, Value>,
}

impl Expansion {
    /// The derivatives of a scalar by other values.
    fn gradient(&mut self, of: Value, by: &[Value]) -> Result<Vec<Value>, TypeError> {
        let outer = self.builder.set_location(None);
        let one = self.builder.splat_like(1.0, of)?;
        let cotangents = self.pull_back(&[(of, one)], by, None)?;
        self.builder.set_location(outer);
        by.iter()
            .zip(cotangents)
            .map(|(&value, cotangent)| cotangent.map_or_else(|| self.builder.splat_like(0.0, value), Ok))
            .collect()
    }

    /// Carries cotangents of values (seeds) back to the values `by`. Where there are `ends`, what the seeds are functions of and among
    /// them `by`, these are taken as independent of each other.
    fn pull_back(
        &mut self,
        seeds: &[(Value, Value)],
        by: &[Value],
        ends: Option<&[Value]>,
    ) -> Result<Vec<Option<Value>>, TypeError> {
        let targets: BTreeSet<Value> = by.iter().copied().collect();
        let from: Vec<Value> = seeds.iter().map(|&(value, _)| value).collect();
        let depends = dependents(self.builder.graph(), &from, &targets, ends.unwrap_or_default());
        let mut found: BTreeMap<Value, Value> = BTreeMap::new();
        // cotangents of each node's results, of the nodes that are still to be visited
        let mut pending: BTreeMap<Value, Vec<Option<Value>>> = BTreeMap::new();
        for &(value, cotangent) in seeds {
            self.contribute(&mut pending, &depends, (value, 0), cotangent)?;
        }
        // a node comes after its operands, so the last pending node has all of its cotangents
        while let Some((value, cotangents)) = pending.pop_last() {
            if targets.contains(&value) {
                if let [Some(cotangent)] = cotangents[..] {
                    found.insert(value, cotangent);
                }
                if ends.is_some() {
                    continue;
                }
            }
            let node = self.builder.graph().node(value).clone();
            let wanted: Vec<bool> = node.operands.iter().map(|operand| depends.contains(operand)).collect();
            if !wanted.contains(&true) {
                continue;
            }
            if let (Op::Projection(projection), [Some(cotangent)]) = (&node.op, &cotangents[..]) {
                self.contribute(&mut pending, &depends, (node.operands[0], projection.index), *cotangent)?;
                continue;
            }
            self.builder.set_location(node.location.clone());
            let given = self.node_cotangents(value, &node, &cotangents, &wanted).map_err(|error| at(&node, error))?;
            for ((&operand, cotangent), wanted) in node.operands.iter().zip(given).zip(wanted) {
                if let Some(cotangent) = cotangent.filter(|_| wanted) {
                    self.contribute(&mut pending, &depends, (operand, 0), cotangent)?;
                }
            }
        }
        Ok(by.iter().map(|value| found.get(value).copied()).collect())
    }

    /// Adds a cotangent of a value's result to what is there.
    fn contribute(
        &mut self,
        pending: &mut BTreeMap<Value, Vec<Option<Value>>>,
        depends: &HashSet<Value>,
        (value, result): (Value, usize),
        cotangent: Value,
    ) -> Result<(), TypeError> {
        if !depends.contains(&value) {
            return Ok(());
        }
        let results = match &self.builder.graph().node(value).ty {
            Type::Tensor(_) => 1,
            Type::Tuple(types) => types.len(),
        };
        let place = &mut pending.entry(value).or_insert_with(|| vec![None; results])[result];
        *place = Some(match *place {
            None => cotangent,
            Some(sum) => self.builder.binary(Binary::Add, sum, cotangent)?,
        });
        Ok(())
    }

    /// The cotangents of a node's operands from those of its results.
    fn node_cotangents(
        &mut self,
        value: Value,
        node: &Node,
        cotangents: &[Option<Value>],
        wanted: &[bool],
    ) -> Result<Vec<Option<Value>>, TypeError> {
        let results = self.builder.projections(value)?;
        let at = Backward { operands: &node.operands, results: &results, cotangents, wanted };
        let composite = match &node.op {
            Op::Composite(composite) => composite,
            Op::Cond(cond) => return self.cond_cotangents(cond, node, cotangents, wanted),
            Op::Remat(remat) => return self.remat_cotangents(remat, node, &results, cotangents, wanted),
            Op::CustomGradient(custom) => return self.custom_cotangents(custom, node, &results, cotangents),
            Op::Scan(scan) => return self.scan_cotangents(scan, node, &results, cotangents, wanted),
            op => return op.operation().gradient(&mut self.builder, &at),
        };
        let composition = composite.composition();
        if let Some(own) = composition.gradient(&mut self.builder, &at)? {
            return Ok(own);
        }
        let body = composition.body(&mut self.builder, &node.operands)?;
        self.replaced.extend(results.iter().copied().zip(body.iter().copied()).filter(|(result, body)| result != body));
        let seeds: Vec<(Value, Value)> =
            body.into_iter().zip(cotangents).filter_map(|(result, cotangent)| Some((result, (*cotangent)?))).collect();
        let by: BTreeSet<Value> =
            node.operands.iter().zip(wanted).filter(|(_, wanted)| **wanted).map(|(&value, _)| value).collect();
        let by: Vec<Value> = by.into_iter().collect();
        let found = self.pull_back(&seeds, &by, Some(&node.operands))?;
        let mut found: BTreeMap<Value, Option<Value>> = by.into_iter().zip(found).collect();
        // an operand that is given twice has its whole cotangent at its first place
        Ok(node.operands.iter().map(|operand| found.remove(operand).flatten()).collect())
    }

    /// The graph of these results: nodes keep their order, but what replaces a node stands before the node's first use.
    fn finish(self, results: &[Value]) -> Result<Graph, TypeError> {
        let graph = self.builder.graph();
        let resolve = |mut value: Value| {
            while let Some(&by) = self.replaced.get(&value) {
                value = by;
            }
            value
        };
        let mut live = vec![false; graph.nodes.len()];
        let mut reached: Vec<Value> = results.iter().map(|&result| resolve(result)).collect();
        while let Some(value) = reached.pop() {
            if !std::mem::replace(&mut live[value.index()], true) {
                reached.extend(graph.node(value).operands.iter().map(|&operand| resolve(operand)));
            }
        }
        let mut builder = Builder::new();
        let mut new: HashMap<Value, Value> = HashMap::new();
        for &value in &graph.parameters {
            new.insert(value, add_parameter(&mut builder, graph.node(value))?);
        }
        for root in graph.values().filter(|value| live[value.index()]) {
            let mut stack = vec![root];
            while let Some(&value) = stack.last() {
                let node = graph.node(value);
                let operands: Vec<Value> = node.operands.iter().map(|&operand| resolve(operand)).collect();
                if new.contains_key(&value) {
                    stack.pop();
                } else if let Some(&missing) = operands.iter().find(|operand| !new.contains_key(operand)) {
                    stack.push(missing);
                } else {
                    let operands: Vec<Value> = operands.iter().map(|operand| new[operand]).collect();
                    builder.set_location(node.location.clone());
                    new.insert(value, builder.add(node.op.clone(), &operands)?);
                }
            }
        }
        Ok(builder.finish(results.iter().map(|&result| new[&resolve(result)]).collect()))
    }
}

/// The error with the place in the user's program that asked for the op, where it has none yet.
fn at(node: &Node, error: TypeError) -> TypeError {
    match &node.location {
        Some(location) if !error.message.contains(Location::ARROW) => {
            let layer = match location.layer.as_str() {
                "" => String::new(),
                layer => format!(" (in layer `{layer}`)"),
            };
            TypeError { message: format!("{}{layer}{}", error.message, location.shown()), ..error }
        }
        _ => error,
    }
}

/// The values on the way from targets to other values that a derivative may pass through. Nothing is looked for before `ends`, so that a
/// composite costs what its body is, wherever it stands.
fn dependents(graph: &Graph, from: &[Value], targets: &BTreeSet<Value>, ends: &[Value]) -> HashSet<Value> {
    let ends: HashSet<Value> = ends.iter().copied().collect();
    let mut depends = HashSet::new();
    let mut visited = HashSet::new();
    let mut open: Vec<(Value, bool)> = from.iter().map(|&value| (value, false)).collect();
    while let Some((value, operands_are_known)) = open.pop() {
        let node = graph.node(value);
        let ends_here = matches!(node.op, Op::StopGradient(_)) || ends.contains(&value);
        if !operands_are_known {
            if visited.insert(value) {
                open.push((value, true));
                open.extend(node.operands.iter().filter(|_| !ends_here).map(|&operand| (operand, false)));
            }
            continue;
        }
        let smooth = match &node.ty {
            Type::Tensor(ty) => ty.dtype.is_float(),
            Type::Tuple(_) => true,
        };
        let through = !ends_here && node.operands.iter().any(|operand| depends.contains(operand));
        if smooth && (targets.contains(&value) || through) {
            depends.insert(value);
        }
    }
    depends
}

/// Adds a parameter node as the builder's next parameter.
fn add_parameter(builder: &mut Builder, node: &Node) -> Result<Value, TypeError> {
    builder.set_location(node.location.clone());
    match &node.op {
        Op::Parameter(parameter) => builder.parameter(&parameter.name, parameter.ty.clone()),
        op => Err(TypeError::new(
            op.operation().name(),
            "it is listed among the graph's parameters, expected `parameter`",
        )),
    }
}
