//! Choices and loops: what they carry, read or give without need, and choices that are known.

use super::{Simplifier, simplify_within};
use crate::region::needed_parameters;
use kc_ir::tensor::Extract;
use kc_ir::tensor::ops::{Broadcast, Cond, Scan, While};
use kc_ir::tensor::{Graph, Op, Region, TypeError, Value};
use std::collections::BTreeSet;

/// What a parameter of regions becomes.
#[derive(Clone, Copy, PartialEq)]
enum Parameter {
    /// It stays.
    Kept,
    /// It is what another one is.
    Same(usize),
    /// A value of the outer graph that is computed of nothing is computed in the region.
    Computed(Value),
}

/// What becomes of the parameters of an op's regions.
struct Plan {
    parameters: Vec<Parameter>,
    /// Their positions in their new order: carried values, sequences, the rest.
    order: Vec<usize>,
    /// Those that are needed.
    live: BTreeSet<usize>,
}

impl Plan {
    /// The positions of the parameters that stay, in their new order.
    fn kept(&self) -> impl Iterator<Item = usize> {
        let stays = |position: &usize| self.live.contains(position) && self.parameters[*position] == Parameter::Kept;
        self.order.iter().copied().filter(stays)
    }

    /// The operands that stay.
    fn given(&self, operands: &[Value]) -> Vec<Value> {
        self.kept().map(|position| operands[position]).collect()
    }
}

/// What the parameters of regions are.
struct Interface<'a> {
    carried: usize,
    sequences: usize,
    /// Carried values that are the same in all rounds.
    invariant: &'a BTreeSet<usize>,
}

/// The kinds of parameters, in their order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Carried,
    Sequence,
    Captured,
}

impl Interface<'_> {
    fn kind(&self, position: usize) -> Kind {
        match position {
            _ if self.invariant.contains(&position) => Kind::Captured,
            _ if position < self.carried => Kind::Carried,
            _ if position < self.carried + self.sequences => Kind::Sequence,
            _ => Kind::Captured,
        }
    }
}

/// The parameter that a value of a region is.
fn parameter_of(region: &Graph, value: Value) -> Option<usize> {
    match &region.node(value).op {
        Op::Parameter(parameter) => Some(parameter.index),
        _ => None,
    }
}

/// The carried values that a body passes on as they are.
fn invariants(body: &Graph, carried: usize) -> BTreeSet<usize> {
    (0..carried).filter(|&carry| parameter_of(body, body.results[carry]) == Some(carry)).collect()
}

/// The parameters of a body that its results `used` need in any round, with those that `decides` names; carried values that are used
/// are among them.
fn live(body: &Graph, moving: &BTreeSet<usize>, used: BTreeSet<usize>, decides: &BTreeSet<usize>) -> BTreeSet<usize> {
    let mut used = used;
    loop {
        let mut live = needed_parameters(body, used.iter().map(|&result| body.results[result]));
        live.extend(decides);
        let before = used.len();
        used.extend(live.intersection(moving));
        if used.len() == before {
            live.extend(used.intersection(moving));
            return live;
        }
    }
}

impl Simplifier {
    /// Adds an op with regions in its simplest form; returns those of its results that are `used`.
    pub(super) fn regions(
        &mut self,
        op: &Op,
        operands: Vec<Value>,
        used: &BTreeSet<usize>,
    ) -> Result<Vec<Option<Value>>, TypeError> {
        let op = op.map_graphs(|graph| Ok::<_, TypeError>(simplify_within(graph, self.keeps_stops)))?;
        match &op {
            Op::Cond(cond) => self.cond(cond, operands, used),
            Op::While(this) => self.while_loop(this, operands, used),
            Op::Scan(scan) => self.scan(scan, operands, used),
            // what they say is for differentiation
            Op::Remat(remat) if !self.keeps_stops => self.inlined(remat.body.graph(), &operands),
            Op::CustomGradient(custom) if !self.keeps_stops => self.inlined(custom.value.graph(), &operands),
            _ => {
                let tuple = self.builder.add(op, &operands)?;
                Ok(self.builder.projections(tuple)?.into_iter().map(Some).collect())
            }
        }
    }

    fn inlined(&mut self, region: &Graph, operands: &[Value]) -> Result<Vec<Option<Value>>, TypeError> {
        Ok(self.builder.inline(region, operands)?.into_iter().map(Some).collect())
    }

    fn cond(
        &mut self,
        cond: &Cond,
        operands: Vec<Value>,
        used: &BTreeSet<usize>,
    ) -> Result<Vec<Option<Value>>, TypeError> {
        let (index, captures) = (operands[0], &operands[1..]);
        let last = cond.branches.len() - 1;
        let known = self.splat(index).map(|index| index.to_i128().clamp(0, last as i128) as usize);
        let known = known.or_else(|| cond.branches.iter().all(|branch| *branch == cond.branches[0]).then_some(0));
        if let Some(branch) = known {
            return self.inlined(cond.branches[branch].graph(), captures);
        }
        let graphs: Vec<&Graph> = cond.branches.iter().map(Region::graph).collect();
        let mut results = vec![None; graphs[0].results.len()];
        let mut kept = vec![];
        for &result in used {
            // what all branches pass on
            let passed = |graph: &&Graph| parameter_of(graph, graph.results[result]);
            match passed(&graphs[0]).filter(|first| graphs.iter().all(|graph| passed(graph) == Some(*first))) {
                Some(parameter) => results[result] = Some(captures[parameter]),
                None => kept.push(result),
            }
        }
        if kept.is_empty() {
            return Ok(results);
        }
        let live = |graph: &&Graph| needed_parameters(graph, kept.iter().map(|&result| graph.results[result]));
        let live: BTreeSet<usize> = graphs.iter().flat_map(live).collect();
        let plan = self.plan(&Interface { carried: 0, sequences: 0, invariant: &BTreeSet::new() }, captures, live);
        let branches = graphs.iter().map(|graph| self.rebuilt(graph, &plan, &kept));
        let branches = branches.collect::<Result<Vec<_>, _>>()?;
        let given: Vec<Value> = std::iter::once(index).chain(plan.given(captures)).collect();
        let tuple = self.builder.add(Cond { branches }, &given)?;
        for (&result, value) in kept.iter().zip(self.builder.projections(tuple)?) {
            results[result] = Some(value);
        }
        Ok(results)
    }

    fn while_loop(
        &mut self,
        this: &While,
        operands: Vec<Value>,
        used: &BTreeSet<usize>,
    ) -> Result<Vec<Option<Value>>, TypeError> {
        let (condition, body) = (this.condition.graph(), this.body.graph());
        let mut results = vec![None; this.carried];
        let invariant = invariants(body, this.carried);
        for &carry in &invariant {
            results[carry] = Some(operands[carry]);
        }
        if used.iter().all(|carry| results[*carry].is_some()) {
            return Ok(results);
        }
        let decides = needed_parameters(condition, condition.results.iter().copied());
        let moving: BTreeSet<usize> = (0..this.carried).filter(|carry| !invariant.contains(carry)).collect();
        let live = live(body, &moving, used.intersection(&moving).copied().collect(), &decides);
        let kept: Vec<usize> = moving.intersection(&live).copied().collect();
        let interface = Interface { carried: this.carried, sequences: 0, invariant: &invariant };
        let plan = self.plan(&interface, &operands, live);
        let condition = self.rebuilt(condition, &plan, &[0])?;
        let body = self.rebuilt(body, &plan, &kept)?;
        let given = plan.given(&operands);
        let tuple = self.builder.add(While { carried: kept.len(), condition, body }, &given)?;
        for (&carry, value) in kept.iter().zip(self.builder.projections(tuple)?) {
            results[carry] = Some(value);
        }
        Ok(results)
    }

    fn scan(
        &mut self,
        scan: &Scan,
        operands: Vec<Value>,
        used: &BTreeSet<usize>,
    ) -> Result<Vec<Option<Value>>, TypeError> {
        let body = scan.body.graph();
        let (carried, captured) = (scan.carried, scan.carried + scan.sequences);
        let mut results = vec![None; body.results.len()];
        let invariant = invariants(body, carried);
        for &carry in &invariant {
            results[carry] = Some(operands[carry]);
        }
        let mut kept: Vec<usize> = vec![];
        for &output in used.range(carried..) {
            let value = body.results[output];
            let earlier = kept.iter().copied().find(|&earlier| body.results[earlier] == value);
            match parameter_of(body, value) {
                // an element of a sequence, and what is the same in all rounds
                Some(parameter) if (carried..captured).contains(&parameter) => {
                    results[output] = Some(operands[parameter])
                }
                Some(parameter) if parameter >= captured || invariant.contains(&parameter) => {
                    let ty = self.ty(operands[parameter]).clone();
                    let shape = std::iter::once(&scan.length).chain(&ty.shape).cloned().collect();
                    let broadcast = Broadcast { shape, axes: (1..=ty.rank()).collect() };
                    results[output] = Some(self.add(broadcast, vec![operands[parameter]])?);
                }
                _ if earlier.is_some() => {}
                _ => kept.push(output),
            }
        }
        let moving: BTreeSet<usize> = (0..carried).filter(|carry| !invariant.contains(carry)).collect();
        let needed = used.intersection(&moving).copied().chain(kept.iter().copied()).collect();
        let live = live(body, &moving, needed, &BTreeSet::new());
        let carries: Vec<usize> = moving.intersection(&live).copied().collect();
        let outputs = kept.clone();
        kept = carries.iter().copied().chain(kept).collect();
        if !kept.is_empty() {
            let interface = Interface { carried, sequences: scan.sequences, invariant: &invariant };
            let plan = self.plan(&interface, &operands, live);
            let sequences = plan.kept().filter(|&position| interface.kind(position) == Kind::Sequence).count();
            let body = self.rebuilt(body, &plan, &kept)?;
            let op = Scan { carried: carries.len(), sequences, body, ..scan.clone() };
            let given = plan.given(&operands);
            let tuple = self.builder.add(op, &given)?;
            for (&result, value) in kept.iter().zip(self.builder.projections(tuple)?) {
                results[result] = Some(value);
            }
        }
        // outputs that are another one
        for &output in used.range(carried..) {
            if results[output].is_none() {
                let same = outputs.iter().find(|&&other| body.results[other] == body.results[output]);
                results[output] = same.and_then(|&other| results[other]);
            }
        }
        Ok(results)
    }

    /// What becomes of the parameters, of which these are the operands and `live` are needed.
    fn plan(&self, interface: &Interface<'_>, operands: &[Value], mut live: BTreeSet<usize>) -> Plan {
        let of = |(position, &operand): (usize, &Value)| {
            let kind = interface.kind(position);
            if kind == Kind::Captured && self.is_source(operand) {
                return Parameter::Computed(operand);
            }
            let same = |other: &usize| interface.kind(*other) == kind && operands[*other] == operand;
            match (0..position).find(same) {
                Some(other) if kind != Kind::Carried => Parameter::Same(other),
                _ => Parameter::Kept,
            }
        };
        let parameters: Vec<Parameter> = operands.iter().enumerate().map(of).collect();
        for position in live.clone() {
            if let Parameter::Same(other) = parameters[position] {
                live.insert(other);
            }
        }
        let mut order: Vec<usize> = (0..operands.len()).collect();
        order.sort_by_key(|&position| (interface.kind(position), position));
        Plan { parameters, order, live }
    }

    /// Whether a value is computed of nothing.
    fn is_source(&self, value: Value) -> bool {
        match self.op(value) {
            Op::Constant(constant) => constant.value.splat_value().is_some(),
            Op::Iota(_) | Op::Dimension(_) => true,
            Op::Broadcast(_) => self.is_source(self.operand(value)),
            _ => false,
        }
    }

    /// The region with these results and the parameters that stay.
    fn rebuilt(&self, graph: &Graph, plan: &Plan, results: &[usize]) -> Result<Region, TypeError> {
        let mut extract = Extract::new(graph);
        for position in plan.kept() {
            let parameter = graph.parameters[position];
            let Op::Parameter(declared) = &graph.node(parameter).op else { continue };
            extract.bind(parameter, &declared.name)?;
        }
        for &position in &plan.live {
            let value = match plan.parameters[position] {
                Parameter::Kept => continue,
                Parameter::Same(other) => extract.values[&graph.parameters[other]],
                Parameter::Computed(source) => {
                    let mut outer = Extract::new(self.builder.graph());
                    outer.builder = std::mem::take(&mut extract.builder);
                    let computed = outer.value(source)?;
                    extract.builder = outer.builder;
                    computed
                }
            };
            extract.values.insert(graph.parameters[position], value);
        }
        let results = results.iter().map(|&result| extract.value(graph.results[result])).collect::<Result<_, _>>()?;
        Ok(Region::new(extract.builder.finish(results)))
    }
}
