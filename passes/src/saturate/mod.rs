//! Equality saturation: the cheapest graph that is equal to a graph by the rules, under a cost model of the machine.
//!
//! A graph is cut where equal blocks repeat (`regions`), and each kind of block becomes an e-graph (`convert`, `term`), whose classes know their type and constants (`facts`). The rules of the math
//! mode (`rules/`, by topic) add equal forms until nothing new is found or a limit is hit. Extraction (`extract`) chooses one
//! form of each value so that the whole costs least (`cost`); `exact` finds the optimum of small e-graphs. Nothing depends on time, addresses or the order of a hash table.

mod compute;
mod condition;
mod convert;
mod cost;
mod exact;
mod explain;
mod extract;
mod facts;
mod inner;
mod instance;
mod regions;
mod report;
mod rule;
pub mod rules;
mod term;

pub use cost::CostModel;
pub use extract::Extraction;
pub use instance::Binding;
pub use report::{OpCost, SaturationReport, Stop};
pub use rule::{Bound, MathMode, Numeric, Rule};

use crate::{Target, simplify};
use egg::{Rewrite, Runner, SimpleScheduler, StopReason};
use facts::{EGraph, Facts};
use kc_ir::tensor::{Graph, TypeError, verify};
use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;
use std::time::Duration;
use term::Term;

/// Topics of rules, for measurements of what each is worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RuleChoice {
    /// All.
    #[default]
    All,
    /// None: the graph is only cleaned up.
    None,
    /// All but that topic of [`rules::TOPICS`].
    Without(&'static str),
}

impl RuleChoice {
    fn admits(self, topic: &str) -> bool {
        match self {
            RuleChoice::All => true,
            RuleChoice::None => false,
            RuleChoice::Without(other) => topic != other,
        }
    }
}

/// What the back end takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Takes {
    /// Kernels: forms that are one kernel of ours are candidates.
    #[default]
    Kernels,
    /// Graphs: what becomes of them is another compiler's, so such forms are none.
    Graphs,
}

impl Takes {
    /// Whether what a rule makes is of use.
    fn admits(self, rule: &Rule) -> bool {
        self == Takes::Kernels || !rule.makes_kernels()
    }
}

/// What saturation may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SaturationOptions {
    /// What the result is for.
    pub takes: Takes,
    /// Which numeric classes of rules may fire.
    pub math: MathMode,
    /// Which topics of rules may fire.
    pub rules: RuleChoice,
    /// How the cheapest forms are searched for.
    pub extraction: Extraction,
    /// E-nodes after which no more rules are applied.
    pub node_limit: usize,
    /// Rounds of all rules after which none is applied.
    pub iteration_limit: usize,
    /// Whether the report says which rules made the chosen graph.
    pub explain: bool,
}

impl Default for SaturationOptions {
    fn default() -> Self {
        SaturationOptions {
            takes: Takes::Kernels,
            math: MathMode::Default,
            rules: RuleChoice::All,
            extraction: Extraction::Greedy,
            node_limit: 50_000,
            iteration_limit: 16,
            explain: false,
        }
    }
}

/// The result of [`saturate`].
#[derive(Clone, Debug, PartialEq)]
pub struct Saturation {
    /// The cheapest equal graph that was found, simplified.
    pub graph: Graph,
    /// How it came about.
    pub report: SaturationReport,
}

/// The cheapest graph that is equal to `graph` by the rules that the options admit. Parameters and results keep their number and
/// order. A limit that is hit makes the result less good, never wrong.
pub fn saturate(graph: &Graph, target: &Target, options: &SaturationOptions) -> Result<Saturation, TypeError> {
    saturate_with(graph, &CostModel::new(target), options)
}

/// [`saturate`] under a cost model.
pub fn saturate_with(graph: &Graph, model: &CostModel, options: &SaturationOptions) -> Result<Saturation, TypeError> {
    let (before, inner) = inner::saturate_regions(simplify(graph), model, options)?;
    let regions = regions::regions(&before);
    // for each region the number of the first equal one, and the result of those
    let mut firsts: Vec<usize> = Vec::with_capacity(regions.len());
    let mut made: BTreeMap<usize, Saturation> = BTreeMap::new();
    let mut known: HashMap<u64, Vec<usize>> = HashMap::new();
    for (number, region) in regions.iter().enumerate() {
        let same = known.entry(region.signature()).or_default();
        let first = same.iter().copied().find(|&other| regions[other].equals(region));
        if first.is_none() {
            same.push(number);
            made.insert(number, saturate_region(&region.graph, model, options)?);
        }
        firsts.push(first.unwrap_or(number));
    }
    let parts = regions.iter().zip(&firsts).map(|(region, first)| (region, &regions[*first], &made[first].graph));
    let after = simplify(&regions::join(&before, parts)?);
    debug_assert_eq!(verify(&after), Ok(()), "saturation made a graph that breaks the laws of the IR");
    let mut report = SaturationReport { regions: regions.len(), saturated: made.len(), ..SaturationReport::default() };
    firsts.iter().map(|first| &made[first].report).chain(&inner).for_each(|part| report.add(part));
    report.compare(&before, &after, model);
    Ok(Saturation { graph: after, report })
}

/// Saturates a simplified graph as a whole.
fn saturate_region(before: &Graph, model: &CostModel, options: &SaturationOptions) -> Result<Saturation, TypeError> {
    let egraph = EGraph::new(Facts);
    let egraph = if options.explain { egraph.with_explanations_enabled() } else { egraph };
    let mut entered = convert::enter(before, egraph);
    for (&id, node) in entered.ids.iter().zip(&before.nodes) {
        if let facts::Fact::Invalid(message) = &entered.egraph[id].data {
            return Err(TypeError::new(node.op.operation().name(), message.clone()));
        }
    }
    let runner = Runner::<Term, Facts>::new(Facts)
        .with_egraph(entered.egraph)
        .with_scheduler(SimpleScheduler)
        .with_node_limit(options.node_limit)
        .with_iter_limit(options.iteration_limit)
        .with_time_limit(Duration::MAX)
        .run(rewrites(options));
    let mut report = SaturationReport {
        stop: match runner.stop_reason {
            Some(StopReason::NodeLimit(_)) => Stop::NodeLimit,
            Some(StopReason::IterationLimit(_)) => Stop::IterationLimit,
            _ => Stop::Saturated,
        },
        iterations: runner.iterations.len(),
        nodes: runner.egraph.total_number_of_nodes(),
        classes: runner.egraph.number_of_classes(),
        ..SaturationReport::default()
    };
    for (name, count) in runner.iterations.iter().flat_map(|iteration| &iteration.applied) {
        *report.fired.entry(name.to_string()).or_default() += count;
    }
    entered.egraph = runner.egraph;
    let roots: Vec<_> = before
        .results
        .iter()
        .chain(&before.parameters)
        .map(|value| entered.egraph.find(entered.ids[value.index()]))
        .collect();
    let (selection, proven) = extract::extract(&entered.egraph, &entered.ids, &roots, model, options.extraction);
    report.proven = usize::from(proven);
    let after = convert::leave(before, &entered, &selection)?;
    if options.explain {
        report.led = Some(explain::rules_used(&mut entered, before, &selection));
    }
    Ok(Saturation { graph: after, report })
}

/// The rewrites of the rules that the options admit.
fn rewrites(options: &SaturationOptions) -> impl Iterator<Item = &'static Rewrite<Term, Facts>> {
    static ALL: LazyLock<Vec<(&str, &Rule, Rewrite<Term, Facts>)>> = LazyLock::new(|| {
        let of = |(topic, rules): &(&'static str, &'static [Rule])| {
            let topic = *topic;
            rules.iter().map(move |rule| (topic, rule, rule.rewrite()))
        };
        rules::TOPICS.iter().flat_map(of).collect()
    });
    let admitted = move |topic: &str, rule: &Rule| {
        options.math.admits(rule.numeric) && options.rules.admits(topic) && options.takes.admits(rule)
    };
    ALL.iter().filter(move |(topic, rule, _)| admitted(topic, rule)).map(|(_, _, rewrite)| rewrite)
}
