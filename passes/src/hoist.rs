//! What is the same in all rounds of a loop, or can be computed for all rounds at once, leaves the loop.

use kc_ir::tensor::Extract;
use kc_ir::tensor::ops::{DotGeneral, Scan, While};
use kc_ir::tensor::{Builder, Graph, Node, Op, Region, TypeError, Value};
use std::collections::{BTreeSet, HashMap};

/// The same function with less in its loops: values that only depend on what a body reads besides its sequences are computed once,
/// and contractions of a sequence's elements (or of outputs) with such a value are one contraction over all rounds. Results have the
/// same bits by the interpreter's semantics.
pub fn hoist(graph: &Graph) -> Result<Graph, TypeError> {
    let mut builder = Builder::new();
    let mut values: Vec<Vec<Value>> = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        builder.set_location(node.location.clone());
        if let Op::Projection(projection) = &node.op
            && let Some(&value) = values[node.operands[0].index()].get(projection.index)
            && !graph.node(node.operands[0]).op.operation().regions().is_empty()
        {
            values.push(vec![value]);
            continue;
        }
        let operands: Vec<Value> = node.operands.iter().map(|operand| values[operand.index()][0]).collect();
        let op = node.op.map_graphs(hoist)?;
        values.push(match &op {
            Op::Parameter(parameter) => vec![builder.parameter(&parameter.name, parameter.ty.clone())?],
            Op::Scan(scan) => hoist_scan(&mut builder, scan, operands)?,
            Op::While(this) => hoist_while(&mut builder, this, operands)?,
            Op::Cond(_) => {
                let tuple = builder.add(op, &operands)?;
                builder.projections(tuple)?
            }
            _ => vec![builder.add(op, &operands)?],
        });
    }
    let results = graph.results.iter().map(|result| values[result.index()][0]).collect();
    Ok(builder.finish(results))
}

/// What is known of a body's values.
struct Rounds<'g> {
    body: &'g Graph,
    /// Values that only depend on captures.
    invariant: Vec<bool>,
    /// Of those the ones that depend on a capture at all.
    captured: Vec<bool>,
    /// Transposes that are right operands of contractions.
    carried_out: BTreeSet<Value>,
}

impl<'g> Rounds<'g> {
    fn of(body: &'g Graph, captures_from: usize) -> Self {
        let mut invariant = vec![false; body.nodes.len()];
        let mut captured = vec![false; body.nodes.len()];
        for value in body.values() {
            let node = body.node(value);
            (invariant[value.index()], captured[value.index()]) = match &node.op {
                Op::Parameter(parameter) => (parameter.index >= captures_from, parameter.index >= captures_from),
                _ => (
                    node.operands.iter().all(|operand| invariant[operand.index()]),
                    node.operands.iter().any(|operand| captured[operand.index()]),
                ),
            };
        }
        let right = |node: &Node| match &node.op {
            Op::DotGeneral(_) => Some(node.operands[1]),
            _ => None,
        };
        let is_transpose = |value: &Value| matches!(body.node(*value).op, Op::Transpose(_));
        let carried_out = body.nodes.iter().filter_map(right).filter(is_transpose).collect();
        Rounds { body, invariant, captured, carried_out }
    }

    /// Whether a value is computed once rather than in each round: moves of elements cost nothing where they are read, but those that
    /// a contraction needs carried out.
    fn leaves(&self, value: Value) -> bool {
        let node = self.body.node(value);
        let moves = matches!(
            &node.op,
            Op::Broadcast(_) | Op::Reshape(_) | Op::Transpose(_) | Op::Slice(_) | Op::Reverse(_) | Op::StopGradient(_)
        ) && !self.carried_out.contains(&value);
        let is_worth_it = !moves && !matches!(node.op, Op::Parameter(_));
        let (invariant, captured) = (self.invariant[value.index()], self.captured[value.index()]);
        invariant && captured && is_worth_it && node.ty.as_tensor().is_some()
    }

    /// The values that are computed once and read in rounds.
    fn hoisted(&self, results: &[Value]) -> BTreeSet<Value> {
        let mut hoisted = BTreeSet::new();
        let mut open = results.to_vec();
        let mut seen = BTreeSet::new();
        while let Some(value) = open.pop() {
            if seen.insert(value) {
                if self.leaves(value) {
                    hoisted.insert(value);
                } else {
                    open.extend(&self.body.node(value).operands);
                }
            }
        }
        hoisted
    }
}

/// Computes a value of a body outside, where its parameters are bound.
fn outside(
    builder: &mut Builder,
    body: &Graph,
    bound: &mut HashMap<Value, Value>,
    value: Value,
) -> Result<Value, TypeError> {
    let mut extract = Extract::new(body);
    std::mem::swap(&mut extract.builder, builder);
    std::mem::swap(&mut extract.values, bound);
    let computed = extract.value(value);
    std::mem::swap(&mut extract.builder, builder);
    std::mem::swap(&mut extract.values, bound);
    computed
}

/// A region of a body's results, in which some values are parameters of their own, in this order.
fn region_of(body: &Graph, parameters: &[Value], results: &[Value]) -> Result<Region, TypeError> {
    let mut extract = Extract::new(body);
    for &parameter in parameters {
        let name = match &body.node(parameter).op {
            Op::Parameter(declared) => declared.name.as_str(),
            _ => "hoisted",
        };
        extract.bind(parameter, name)?;
    }
    let results = results.iter().map(|&result| extract.value(result)).collect::<Result<_, _>>()?;
    Ok(Region::new(extract.builder.finish(results)))
}

fn hoist_while(builder: &mut Builder, this: &While, mut operands: Vec<Value>) -> Result<Vec<Value>, TypeError> {
    let mut regions = vec![];
    // each region takes what leaves either
    let (condition, body) = (this.condition.graph(), &with_free_axes_last(this.body.graph(), this.carried)?);
    let mut added: Vec<Vec<Value>> = vec![];
    for region in [condition, body] {
        let mut bound: HashMap<Value, Value> =
            region.parameters.iter().copied().zip(operands.iter().copied()).skip(this.carried).collect();
        let hoisted = Rounds::of(region, this.carried).hoisted(&region.results);
        added.push(hoisted.iter().copied().collect());
        for value in hoisted {
            let computed = outside(builder, region, &mut bound, value)?;
            operands.push(computed);
        }
    }
    let types: Vec<Vec<_>> = [condition, body]
        .iter()
        .zip(&added)
        .map(|(region, values)| values.iter().map(|&value| region.tensor_type(value).clone()).collect())
        .collect();
    for (number, region) in [condition, body].into_iter().enumerate() {
        let mut extract = Extract::new(region);
        region.parameters.iter().try_for_each(|&parameter| extract.bind(parameter, "operand"))?;
        for (other, types) in types.iter().enumerate() {
            for (position, ty) in types.iter().enumerate() {
                if other == number {
                    extract.bind(added[number][position], "hoisted")?;
                } else {
                    extract.builder.parameter("hoisted", ty.clone())?;
                }
            }
        }
        let results = region.results.iter().map(|&result| extract.value(result)).collect::<Result<_, _>>()?;
        regions.push(Region::new(extract.builder.finish(results)));
    }
    let [condition, body] = <[Region; 2]>::try_from(regions)
        .map_err(|regions| TypeError::new("while", format!("it has {} regions, expected 2", regions.len())))?;
    let tuple = builder.add(While { carried: this.carried, condition, body }, &operands)?;
    builder.projections(tuple)
}

/// A body in which the right operands of contractions that are the same in all rounds have their free axes last, where vectors run
/// along them: they are transposed once instead of in each round.
fn with_free_axes_last(body: &Graph, captures_from: usize) -> Result<Graph, TypeError> {
    let rounds = Rounds::of(body, captures_from);
    let mut builder = Builder::new();
    let mut values: Vec<Value> = Vec::with_capacity(body.nodes.len());
    for node in &body.nodes {
        let mut operands: Vec<Value> = node.operands.iter().map(|operand| values[operand.index()]).collect();
        builder.set_location(node.location.clone());
        let mut op = node.op.clone();
        if let Op::DotGeneral(dot) = &mut op
            && !rounds.invariant[node.operands[0].index()]
            && rounds.captured[node.operands[1].index()]
            && rounds.invariant[node.operands[1].index()]
        {
            let rank = body.tensor_type(node.operands[1]).rank();
            let permutation = [&dot.rhs_batch[..], &dot.rhs_contract, &dot.rhs_free(rank)].concat();
            if !permutation.is_sorted() {
                let (batch, contract) = (dot.rhs_batch.len(), dot.rhs_contract.len());
                operands[1] = builder.transpose(operands[1], &permutation)?;
                (dot.rhs_batch, dot.rhs_contract) = ((0..batch).collect(), (batch..batch + contract).collect());
            }
        }
        values.push(match op {
            Op::Parameter(parameter) => builder.parameter(&parameter.name, parameter.ty)?,
            op => builder.add(op, &operands)?,
        });
    }
    Ok(builder.finish(body.results.iter().map(|result| values[result.index()]).collect()))
}

fn hoist_scan(builder: &mut Builder, scan: &Scan, operands: Vec<Value>) -> Result<Vec<Value>, TypeError> {
    let body = &with_free_axes_last(scan.body.graph(), scan.carried + scan.sequences)?;
    let captures_from = scan.carried + scan.sequences;
    let rounds = Rounds::of(body, captures_from);
    let mut bound: HashMap<Value, Value> =
        body.parameters.iter().copied().zip(operands.iter().copied()).skip(captures_from).collect();
    let uses = |value: Value| {
        let operands = body.nodes.iter().flat_map(|node| &node.operands);
        operands.chain(&body.results).filter(|used| **used == value).count()
    };
    // outputs that are contractions of a value of the round: the value is stacked in their place
    let mut stacked: Vec<Value> = body.results[scan.carried..].to_vec();
    let mut after: Vec<Option<(DotGeneral, Value, Value)>> = vec![None; stacked.len()];
    for (position, &output) in body.results[scan.carried..].iter().enumerate() {
        if let Some((dot, lhs, rhs)) = contraction(&rounds, output)
            && uses(output) == 1
            && body.results[scan.carried..].contains(&lhs)
        {
            after[position] = Some((dot, lhs, rhs));
            stacked[position] = lhs;
        }
    }
    let results: Vec<Value> = body.results[..scan.carried].iter().copied().chain(stacked).collect();
    // contractions of elements: new sequences
    let is_element = |value: Value| match &body.node(value).op {
        Op::Parameter(parameter) => (scan.carried..captures_from).contains(&parameter.index),
        _ => false,
    };
    let mut sequences: Vec<(Value, Value)> =
        (scan.carried..captures_from).map(|position| (body.parameters[position], operands[position])).collect();
    for value in body.values() {
        if let Some((dot, lhs, rhs)) = contraction(&rounds, value)
            && is_element(lhs)
        {
            let rhs = outside(builder, body, &mut bound, rhs)?;
            let Op::Parameter(parameter) = &body.node(lhs).op else { continue };
            let all = builder.add(over_rounds(&dot), &[operands[parameter.index], rhs])?;
            sequences.push((value, all));
        }
    }
    let hoisted = rounds.hoisted(&results);
    let mut parameters: Vec<Value> = body.parameters[..scan.carried].to_vec();
    let mut given: Vec<Value> = operands[..scan.carried].to_vec();
    parameters.extend(sequences.iter().map(|(value, _)| *value));
    given.extend(sequences.iter().map(|(_, operand)| *operand));
    parameters.extend(&body.parameters[captures_from..]);
    given.extend(&operands[captures_from..]);
    for value in hoisted {
        given.push(outside(builder, body, &mut bound, value)?);
        parameters.push(value);
    }
    let op = Scan { sequences: sequences.len(), body: region_of(body, &parameters, &results)?, ..scan.clone() };
    let tuple = builder.add(op, &given)?;
    let mut values = builder.projections(tuple)?;
    for (position, after) in after.into_iter().enumerate() {
        if let Some((dot, _, rhs)) = after {
            let rhs = outside(builder, body, &mut bound, rhs)?;
            let all = values[scan.carried + position];
            values[scan.carried + position] = builder.add(over_rounds(&dot), &[all, rhs])?;
        }
    }
    Ok(values)
}

/// A contraction of a value of the round with one that is the same in all rounds, whose result has the first one's free axes first.
fn contraction(rounds: &Rounds<'_>, value: Value) -> Option<(DotGeneral, Value, Value)> {
    let node = rounds.body.node(value);
    match &node.op {
        Op::DotGeneral(dot) if dot.lhs_batch.is_empty() => {
            let (lhs, rhs) = (node.operands[0], node.operands[1]);
            let suits = !rounds.invariant[lhs.index()] && rounds.invariant[rhs.index()];
            suits.then(|| (dot.clone(), lhs, rhs))
        }
        _ => None,
    }
}

/// The contraction of the left operands of all rounds, stacked.
fn over_rounds(dot: &DotGeneral) -> DotGeneral {
    DotGeneral { lhs_contract: dot.lhs_contract.iter().map(|axis| axis + 1).collect(), ..dot.clone() }
}
