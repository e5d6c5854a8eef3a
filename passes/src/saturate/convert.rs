//! Graphs into e-graphs and back.

use super::extract::Selection;
use super::facts::{EGraph, op_of};
use super::term::{Head, Term, head, is_leaf};
use egg::Id;
use kc_ir::tensor::{Builder, Graph, Location, Op, TypeError, Value};
use std::collections::HashMap;
use std::sync::Arc;

/// A graph in an e-graph.
pub(crate) struct Entered {
    /// The e-graph.
    pub egraph: EGraph,
    /// For each node of the graph its e-node's id when it was added.
    pub ids: Vec<Id>,
}

/// Adds all nodes of a graph.
pub(crate) fn enter(graph: &Graph, mut egraph: EGraph) -> Entered {
    let mut ids: Vec<Id> = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        let operands = node.operands.iter().map(|operand| ids[operand.index()]);
        let term = if is_leaf(&node.op) {
            Term::Leaf(Arc::new(node.op.clone()))
        } else {
            let head = head(&node.op);
            let attributes = match head {
                Head::Attributed(_) => Some(egraph.add(Term::Attributes(Arc::new(node.op.clone())))),
                Head::Unary(_) | Head::Binary(_) | Head::Compare(_) | Head::Select => None,
            };
            Term::Apply(head, attributes.into_iter().chain(operands).collect())
        };
        ids.push(egraph.add(term));
    }
    egraph.rebuild();
    Entered { egraph, ids }
}

/// The graph of the selected e-nodes. Ops that stand for a node of the original graph come in its order and keep its location;
/// what is new has the location of the op that needs it.
pub(crate) fn leave(original: &Graph, entered: &Entered, selection: &Selection) -> Result<Graph, TypeError> {
    let egraph = &entered.egraph;
    let mut leaving =
        Leaving { egraph, selection, builder: Builder::new(), values: HashMap::new(), locations: HashMap::new() };
    for (node, &id) in original.nodes.iter().zip(&entered.ids) {
        leaving.locations.entry(egraph.find(id)).or_insert_with(|| node.location.clone());
    }
    for &parameter in &original.parameters {
        let Op::Parameter(declared) = &original.node(parameter).op else { continue };
        leaving.builder.set_location(original.node(parameter).location.clone());
        let value = leaving.builder.parameter(&declared.name, declared.ty.clone())?;
        leaving.values.insert(egraph.find(entered.ids[parameter.index()]), value);
    }
    let class = |value: &Value| egraph.find(entered.ids[value.index()]);
    let needed = selection.reachable(original.results.iter().map(class));
    for &id in &entered.ids {
        if needed.contains(&egraph.find(id)) {
            leaving.value(egraph.find(id), None)?;
        }
    }
    let results = original.results.iter().map(|result| leaving.value(class(result), None)).collect::<Result<_, _>>()?;
    Ok(leaving.builder.finish(results))
}

struct Leaving<'a> {
    egraph: &'a EGraph,
    selection: &'a Selection,
    builder: Builder,
    values: HashMap<Id, Value>,
    locations: HashMap<Id, Option<Arc<Location>>>,
}

impl Leaving<'_> {
    /// The value of a class, built with everything that it needs.
    fn value(&mut self, class: Id, consumer: Option<Arc<Location>>) -> Result<Value, TypeError> {
        // an explicit stack: graphs are deep
        let mut todo = vec![(class, consumer)];
        while let Some((class, consumer)) = todo.last().cloned() {
            if self.values.contains_key(&class) {
                todo.pop();
                continue;
            }
            let term = self.selection.term(class);
            let missing = || TypeError::new("saturate", "a value was selected that is none");
            let (op, operands) = op_of(self.egraph, term).ok_or_else(missing)?;
            let location = self.locations.get(&class).cloned().unwrap_or(consumer);
            let operands: Vec<Id> = operands.iter().map(|&id| self.egraph.find(id)).collect();
            let before = todo.len();
            todo.extend(
                operands.iter().rev().filter(|id| !self.values.contains_key(id)).map(|&id| (id, location.clone())),
            );
            if todo.len() == before {
                let operands: Vec<Value> = operands.iter().map(|id| self.values[id]).collect();
                self.builder.set_location(location);
                let value = self.builder.add((*op).clone(), &operands)?;
                self.values.insert(class, value);
                todo.pop();
            }
        }
        self.values.get(&class).copied().ok_or_else(|| TypeError::new("saturate", "a value was not built"))
    }
}
