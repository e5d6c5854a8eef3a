//! What saturation did, for people.

use super::cost::CostModel;
use kc_ir::tensor::{Graph, Op, Type};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Why no more rules were applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stop {
    /// No rule finds anything new.
    #[default]
    Saturated,
    /// There are more e-nodes than the limit.
    NodeLimit,
    /// There were as many rounds as the limit.
    IterationLimit,
}

/// The ops of one name in a graph.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OpCost {
    /// How many.
    pub count: usize,
    /// Their cost in nanoseconds.
    pub cost: f64,
}

/// What saturation did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SaturationReport {
    /// Why it ended.
    pub stop: Stop,
    /// Parts of the graph.
    pub regions: usize,
    /// Parts that were saturated: others equal one of them.
    pub saturated: usize,
    /// Parts, and regions of loops and branches, whose graph is known to be the cheapest of all that rules found; 0 where that was not
    /// asked for.
    pub proven: usize,
    /// Rounds of all rules, the most of any part.
    pub iterations: usize,
    /// E-nodes at the end, in all parts.
    pub nodes: usize,
    /// E-classes at the end, in all parts.
    pub classes: usize,
    /// How often each rule found something new, by name.
    pub fired: BTreeMap<String, usize>,
    /// The rules that made the chosen graph from the given one; only where it was asked for.
    pub led: Option<BTreeSet<String>>,
    /// Ops by name in the given graph (simplified) and in the chosen one.
    pub ops: BTreeMap<String, (OpCost, OpCost)>,
}

impl SaturationReport {
    /// Estimated nanoseconds of the given graph and of the chosen one.
    pub fn cost(&self) -> (f64, f64) {
        self.ops.values().fold((0.0, 0.0), |sum, (before, after)| (sum.0 + before.cost, sum.1 + after.cost))
    }

    /// Counts what saturating a part did.
    pub(super) fn add(&mut self, part: &SaturationReport) {
        if self.stop == Stop::Saturated {
            self.stop = part.stop;
        }
        self.iterations = self.iterations.max(part.iterations);
        self.nodes += part.nodes;
        self.classes += part.classes;
        self.proven += part.proven;
        for (name, count) in &part.fired {
            *self.fired.entry(name.clone()).or_default() += count;
        }
        if let Some(led) = &part.led {
            self.led.get_or_insert_default().extend(led.iter().cloned());
        }
    }

    pub(super) fn compare(&mut self, before: &Graph, after: &Graph, model: &CostModel) {
        for (graph, is_after) in [(before, false), (after, true)] {
            for node in &graph.nodes {
                if matches!(node.op, Op::Parameter(_) | Op::Constant(_) | Op::Projection(_)) {
                    continue;
                }
                let operands: Vec<&Type> = node.operands.iter().map(|&operand| &graph.node(operand).ty).collect();
                let entry = self.ops.entry(node.op.operation().name().to_string()).or_default();
                let entry = if is_after { &mut entry.1 } else { &mut entry.0 };
                entry.count += 1;
                entry.cost += model.op(&node.op, &operands, &node.ty);
            }
        }
    }
}

impl fmt::Display for SaturationReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, after) = self.cost();
        writeln!(
            formatter,
            "estimated cost: {:.1} us -> {:.1} us; {} regions, {} of them unlike others; {} rounds, {} e-nodes in {} classes",
            before / 1e3,
            after / 1e3,
            self.regions,
            self.saturated,
            self.iterations,
            self.nodes,
            self.classes
        )?;
        if self.proven > 0 {
            writeln!(formatter, "{} regions are known to be the cheapest of their forms", self.proven)?;
        }
        match self.stop {
            Stop::Saturated => {}
            Stop::NodeLimit => writeln!(
                formatter,
                "note: the limit of e-nodes ended the search; the graph is correct, a better one may exist"
            )?,
            Stop::IterationLimit => writeln!(
                formatter,
                "note: the limit of rounds ended the search; the graph is correct, a better one may exist"
            )?,
        }
        let rules = super::rules::all();
        let algebra: BTreeMap<&str, _> = rules.map(|rule| (rule.name, rule)).collect();
        let line = |formatter: &mut fmt::Formatter<'_>, count: &str, name: &str| match algebra.get(name) {
            Some(rule) => writeln!(formatter, "{count:>7}  {name:<38} {:<14} {}", class(rule.numeric), rule.algebra),
            None => writeln!(formatter, "{count:>7}  {name}"),
        };
        if let Some(led) = &self.led {
            writeln!(formatter, "\nrules that made the chosen graph")?;
            led.iter().try_for_each(|name| line(formatter, "", name))?;
        }
        writeln!(formatter, "\nrules that found equal forms, and how often")?;
        self.fired.iter().try_for_each(|(name, count)| line(formatter, &count.to_string(), name))?;
        writeln!(formatter, "\n{:<40} {:>6} {:>10}    {:>6} {:>10}", "op", "before", "us", "after", "us")?;
        for (name, (before, after)) in &self.ops {
            writeln!(
                formatter,
                "{name:<40} {:>6} {:>10.2}    {:>6} {:>10.2}",
                before.count,
                before.cost / 1e3,
                after.count,
                after.cost / 1e3
            )?;
        }
        Ok(())
    }
}

fn class(numeric: super::Numeric) -> &'static str {
    match numeric {
        super::Numeric::Exact => "exact",
        super::Numeric::Reassociates => "reassociates",
        super::Numeric::Approximates(_) => "approximates",
    }
}
