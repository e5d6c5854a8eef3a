//! Which rules made the chosen graph, from egg's proofs.

use super::convert::Entered;
use super::extract::Selection;
use super::term::Term;
use egg::{Id, Language, RecExpr, TreeTerm};
use kc_ir::tensor::Graph;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;

/// The rules in the proofs that each result's chosen form equals the given one.
pub(crate) fn rules_used(entered: &mut Entered, graph: &Graph, selection: &Selection) -> BTreeSet<String> {
    let mut proofs = Vec::with_capacity(graph.results.len());
    for result in &graph.results {
        let given = entered.ids[result.index()];
        let chosen = chosen(entered, selection, given);
        let id = entered.egraph.add_expr_uncanonical(&chosen);
        proofs.push(entered.egraph.explain_id_equivalence(given, id));
    }
    let mut used = BTreeSet::new();
    // proofs share steps
    let mut seen: HashSet<*const TreeTerm<Term>> = HashSet::new();
    let mut todo: Vec<Rc<TreeTerm<Term>>> = proofs.iter().flat_map(|proof| proof.explanation_trees.clone()).collect();
    while let Some(tree) = todo.pop() {
        if !seen.insert(Rc::as_ptr(&tree)) {
            continue;
        }
        used.extend([tree.forward_rule, tree.backward_rule].iter().flatten().map(|rule| rule.to_string()));
        todo.extend(tree.child_proofs.iter().flatten().cloned());
    }
    used
}

/// The chosen form of a class as an expression with shared nodes.
fn chosen(entered: &Entered, selection: &Selection, class: Id) -> RecExpr<Term> {
    let egraph = &entered.egraph;
    let mut expression = RecExpr::default();
    let mut done: HashMap<Id, Id> = HashMap::new();
    let mut todo = vec![egraph.find(class)];
    while let Some(class) = todo.last().copied() {
        if done.contains_key(&class) {
            todo.pop();
            continue;
        }
        // attributes are leaves outside of the selection
        let term = match &egraph[class].nodes[0] {
            leaf @ Term::Attributes(_) => leaf.clone(),
            _ => selection.term(class).clone(),
        };
        let before = todo.len();
        todo.extend(term.children().iter().map(|&id| egraph.find(id)).filter(|id| !done.contains_key(id)));
        if todo.len() == before {
            let id = expression.add(term.map_children(|id| done[&egraph.find(id)]));
            done.insert(class, id);
            todo.pop();
        }
    }
    expression
}
