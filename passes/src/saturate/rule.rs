//! Rules: their declaration, and how they become egg's rewrites.

use super::compute::{self, Arguments};
use super::condition::Condition;
use super::facts::{EGraph, Fact, Facts};
use super::term::{Head, Term, head, is_leaf};
use egg::{Applier, ENodeOrVar, Id, Pattern, PatternAst, RecExpr, Rewrite, Subst, Symbol, Var};
use kc_ir::tensor::{Graph, Op};
use std::sync::Arc;

/// How far the two sides of a rule may differ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Numeric {
    /// Not at all: the same bits, any NaN for any NaN.
    Exact,
    /// By the rounding of sums and products taken in another order.
    Reassociates,
    /// By a named bound.
    Approximates(Bound),
}

/// The bound of an approximation, for finite operands whose intermediate results are neither huge nor denormal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bound {
    /// Largest error in units in the last place: of each result, or of the largest result or 1.
    pub ulps: f64,
    /// Whether the error is relative to each result.
    pub elementwise: bool,
    /// In words: where it comes from.
    pub words: &'static str,
}

impl std::fmt::Display for Numeric {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Numeric::Exact => formatter.write_str("exact"),
            Numeric::Reassociates => formatter.write_str("reassociates"),
            Numeric::Approximates(bound) => write!(formatter, "approximates ({})", bound.words),
        }
    }
}

/// Which classes of rules may fire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MathMode {
    /// Exact rules only: the result has the bits of the unoptimised graph.
    Strict,
    /// Results stay within Keras' own tolerance.
    #[default]
    Default,
}

/// Units in the last place that [`MathMode::Default`] admits: of f32, 1e-6.
const DEFAULT_ULPS: f64 = 16.0;

impl MathMode {
    /// Whether rules of the class may fire.
    pub fn admits(self, numeric: Numeric) -> bool {
        match (self, numeric) {
            (_, Numeric::Exact) => true,
            (MathMode::Strict, _) => false,
            (MathMode::Default, Numeric::Reassociates) => true,
            (MathMode::Default, Numeric::Approximates(bound)) => bound.ulps <= DEFAULT_ULPS,
        }
    }
}

/// A rule: wherever `left` matches and the conditions hold, it equals `right`.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Its name, for people.
    pub name: &'static str,
    /// The pattern.
    pub left: &'static str,
    /// What it equals; `!name` computes attributes from those that the pattern bound.
    pub right: &'static str,
    /// Facts that must hold, such as `splat ?c 1`; all of them.
    pub conditions: &'static [&'static str],
    /// How far the sides may differ.
    pub numeric: Numeric,
    /// The algebra in words.
    pub algebra: &'static str,
}

/// Composites that are worth nothing but to be one kernel.
const KERNELS: [&str; 4] =
    ["(dense ", "(convolution_bias ", "(!winograd ", "(categorical_cross_entropy_with_gradient "];

impl Rule {
    /// Whether its right side is of use only where it becomes one kernel.
    pub fn makes_kernels(&self) -> bool {
        KERNELS.iter().any(|kernel| self.right.contains(kernel))
    }

    /// The rewrite of egg.
    pub(crate) fn rewrite(&self) -> Rewrite<Term, Facts> {
        let (left, right) = self.compile();
        Rewrite::new(self.name, left, right).unwrap_or_else(|error| panic!("rule `{}`: {error}", self.name))
    }

    /// The two sides.
    ///
    /// # Panics
    /// Where the rule's text is malformed: rules are part of the program, and a test builds all of them.
    pub(crate) fn compile(&self) -> (Pattern<Term>, RightSide) {
        let fail = |what: &str, error: String| -> ! { panic!("rule `{}`: {what}: {error}", self.name) };
        let parse = |what: &str, text: &str| -> Pattern<Term> {
            text.parse().unwrap_or_else(|error| fail(what, format!("{error}")))
        };
        let conditions =
            self.conditions.iter().map(|text| Condition::parse(text).unwrap_or_else(|error| fail("condition", error)));
        let right = parse("right side", self.right).ast;
        (parse("left side", self.left), RightSide { ast: right, conditions: conditions.collect() })
    }
}

/// The right side of a rule, with its conditions.
pub(crate) struct RightSide {
    ast: PatternAst<Term>,
    conditions: Vec<Condition>,
}

impl RightSide {
    /// Whether the conditions hold.
    pub(crate) fn applies(&self, egraph: &EGraph, subst: &Subst) -> bool {
        self.conditions.iter().all(|condition| condition.holds(egraph, subst))
    }

    /// Adds the right side; `None` where a computation or a type rule says that the rule does not apply. Also gives the right
    /// side with its computations replaced by their results.
    pub(crate) fn instantiate(&self, egraph: &mut EGraph, subst: &Subst) -> Option<(Id, PatternAst<Term>)> {
        let mut added = Added::default();
        for node in &self.ast {
            match node {
                ENodeOrVar::Var(var) => added.push(subst[*var], node.clone()),
                ENodeOrVar::ENode(Term::Compute(name, children)) => {
                    let arguments = children.iter().map(|&child| added.ids[usize::from(child)]).collect();
                    let arguments = Arguments::new(egraph, arguments);
                    if let Some(graph) = compute::graph(name) {
                        let (graph, first) = graph(&arguments)?;
                        added.graph(egraph, &graph, &children[first..])?;
                    } else {
                        let op = compute::evaluate(name, &arguments)?;
                        let term = if is_leaf(&op) { Term::Leaf(Arc::new(op)) } else { Term::Attributes(Arc::new(op)) };
                        added.term(egraph, term)?;
                    }
                }
                ENodeOrVar::ENode(term) => {
                    added.term(egraph, term.clone())?;
                }
            }
        }
        Some((*added.ids.last()?, RecExpr::from(added.concrete)))
    }
}

/// A right side in the making: for each node its class, and the node itself without computations.
#[derive(Default)]
struct Added {
    ids: Vec<Id>,
    concrete: Vec<ENodeOrVar<Term>>,
}

impl Added {
    fn push(&mut self, id: Id, node: ENodeOrVar<Term>) {
        self.ids.push(id);
        self.concrete.push(node);
    }

    /// Adds a term whose children are positions in this right side; `None` where its op does not take them.
    fn term(&mut self, egraph: &mut EGraph, term: Term) -> Option<Id> {
        let canonical = egg::Language::map_children(term.clone(), |child| self.ids[usize::from(child)]);
        let id = egraph.add(canonical);
        if matches!(egraph[id].data, Fact::Invalid(_)) {
            return None;
        }
        self.push(id, ENodeOrVar::ENode(term));
        Some(Id::from(self.ids.len() - 1))
    }

    /// Adds a graph of one result whose parameters are at those positions.
    fn graph(&mut self, egraph: &mut EGraph, graph: &Graph, parameters: &[Id]) -> Option<()> {
        let mut at: Vec<Id> = Vec::with_capacity(graph.nodes.len());
        for node in &graph.nodes {
            let operands: Vec<Id> = node.operands.iter().map(|operand| at[operand.index()]).collect();
            at.push(match &node.op {
                Op::Parameter(parameter) => parameters[parameter.index],
                op if is_leaf(op) => self.term(egraph, Term::Leaf(Arc::new(op.clone())))?,
                op => {
                    let head = head(op);
                    let mut children = vec![];
                    if let Head::Attributed(_) = head {
                        children.push(self.term(egraph, Term::Attributes(Arc::new(op.clone())))?);
                    }
                    children.extend(operands);
                    self.term(egraph, Term::Apply(head, children.into()))?
                }
            });
        }
        // the result is the last node: it needs all others
        (graph.results.first()?.index() + 1 == graph.nodes.len()).then_some(())
    }
}

impl Applier<Term, Facts> for RightSide {
    fn apply_one(
        &self,
        egraph: &mut EGraph,
        eclass: Id,
        subst: &Subst,
        searched: Option<&PatternAst<Term>>,
        rule_name: Symbol,
    ) -> Vec<Id> {
        if !self.applies(egraph, subst) {
            return vec![];
        }
        let Some((id, concrete)) = self.instantiate(egraph, subst) else { return vec![] };
        if egraph[id].data.ty() != egraph[eclass].data.ty() {
            return vec![];
        }
        let united = match searched {
            Some(left) => egraph.union_instantiations(left, &concrete, subst, rule_name).1,
            None => egraph.union(eclass, id),
        };
        if united { vec![eclass] } else { vec![] }
    }

    fn vars(&self) -> Vec<Var> {
        let in_right = self.ast.iter().filter_map(|node| match node {
            ENodeOrVar::Var(var) => Some(*var),
            ENodeOrVar::ENode(_) => None,
        });
        in_right.chain(self.conditions.iter().map(|condition| condition.variable)).collect()
    }
}
