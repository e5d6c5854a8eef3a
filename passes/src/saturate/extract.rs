//! Extraction: which e-node stands for each class, so that the graph of all that the roots need costs least.
//!
//! The cost is that of the DAG: what is shared is paid once. A greedy choice from the leaves up is improved by moves that are
//! kept where they lower the cost of the whole: another e-node for one class, or for all classes that can share a value. Where it
//! is asked for, the cheapest selection of all is searched from there on (`exact`).

use super::cost::CostModel;
use super::exact;
use super::facts::{EGraph, Fact, op_of};
use super::term::Term;
use egg::Id;
use kc_ir::tensor::Type;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Rounds of moves after which the search ends.
const ROUNDS: usize = 8;

/// Classes that the search for moves may visit: it is for graphs of thousands of ops, whose moves are many.
const VISITS: usize = 20_000_000;

/// How the cheapest forms are searched for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Extraction {
    /// From the leaves up, with what is shared paid once, improved by moves.
    #[default]
    Greedy,
    /// The optimum of the integer program, where a region is small enough to find it; never worse than [`Extraction::Greedy`].
    Exact,
}

/// A way to compute a class.
pub(super) struct Candidate {
    pub term: Term,
    pub cost: f64,
    /// Positions of the classes that it needs, each once.
    pub needs: Vec<usize>,
}

/// The classes of an e-graph with their candidates.
pub(super) struct Choices {
    classes: Vec<Id>,
    pub candidates: Vec<Vec<Candidate>>,
    pub roots: Vec<usize>,
    /// Classes that were visited.
    visits: Cell<usize>,
}

/// The chosen e-node of each class that is needed.
pub(crate) struct Selection {
    terms: BTreeMap<Id, (Term, Vec<Id>)>,
}

impl Selection {
    /// The e-node of a class.
    ///
    /// # Panics
    /// Where the class is not needed by the roots that were selected for.
    pub fn term(&self, class: Id) -> &Term {
        &self.terms[&class].0
    }

    /// The classes that roots need, themselves included.
    pub fn reachable(&self, roots: impl IntoIterator<Item = Id>) -> HashSet<Id> {
        let mut seen = HashSet::new();
        let mut todo: Vec<Id> = roots.into_iter().collect();
        while let Some(class) = todo.pop() {
            if seen.insert(class) {
                todo.extend(&self.terms[&class].1);
            }
        }
        seen
    }
}

/// The cheapest selection found for the roots, and whether it is known to be the cheapest of all. `ids` are the original nodes'
/// e-nodes in topological order: their own graph is a candidate, so that the result never costs more.
pub(crate) fn extract(
    egraph: &EGraph,
    ids: &[Id],
    roots: &[Id],
    model: &CostModel,
    extraction: Extraction,
) -> (Selection, bool) {
    let choices = choices(egraph, roots, model);
    let mut original = choices.original(egraph, ids);
    let greedy = choices.greedy(&original);
    // what the graph did not have is there for moves to take
    original.iter_mut().zip(&greedy).for_each(|(own, other)| *own = own.or(*other));
    let mut best = (choices.cost(&original).unwrap_or(f64::INFINITY), original.clone());
    for start in [greedy, original] {
        if let Some(cost) = choices.cost(&start) {
            let improved = choices.improve(start, cost);
            if improved.0 < best.0 {
                best = improved;
            }
        }
    }
    let (best, proven) = match extraction {
        Extraction::Greedy => (best, false),
        Extraction::Exact => exact::cheapest(&choices, best),
    };
    (choices.selection(&best.1), proven)
}

/// An assignment after the moves that lower its cost, and that cost.
#[cfg(test)]
pub(super) fn improved(choices: &Choices, assignment: Assignment) -> (f64, Assignment) {
    let cost = choices.cost(&assignment).unwrap_or(f64::INFINITY);
    choices.improve(assignment, cost)
}

/// The selection in an e-graph where each class has one e-node.
pub(crate) fn all_of(egraph: &EGraph, roots: &[Id]) -> Selection {
    let mut terms = BTreeMap::new();
    let mut todo: Vec<Id> = roots.iter().map(|&id| egraph.find(id)).collect();
    while let Some(class) = todo.pop() {
        let term = &egraph[class].nodes[0];
        let Some((_, operands)) = op_of(egraph, term) else { continue };
        let needs: Vec<Id> = operands.iter().map(|&id| egraph.find(id)).collect();
        if terms.insert(class, (term.clone(), needs.clone())).is_none() {
            todo.extend(needs);
        }
    }
    Selection { terms }
}

fn choices(egraph: &EGraph, roots: &[Id], model: &CostModel) -> Choices {
    let mut classes: Vec<Id> =
        egraph.classes().filter(|class| matches!(class.data, Fact::Value { .. })).map(|class| class.id).collect();
    classes.sort_unstable();
    let position: HashMap<Id, usize> = classes.iter().enumerate().map(|(position, &id)| (id, position)).collect();
    let fused: Vec<bool> = classes.iter().map(|&id| is_only_fused(egraph, id, model)).collect();
    let candidates = classes.iter().enumerate().map(|(own, &id)| {
        let class = &egraph[id];
        let Fact::Value { ty, .. } = &class.data else { return vec![] };
        let mut candidates: Vec<Candidate> = class
            .nodes
            .iter()
            .filter_map(|term| {
                let (op, operands) = op_of(egraph, term)?;
                let types: Vec<&Type> = operands.iter().map(|&id| egraph[id].data.ty()).collect::<Option<_>>()?;
                let needs: BTreeSet<usize> =
                    operands.iter().map(|&id| position.get(&egraph.find(id)).copied()).collect::<Option<_>>()?;
                let written =
                    needs.iter().filter(|&&need| fused[need]).filter_map(|&need| egraph[classes[need]].data.ty());
                let operands = if CostModel::contracts(&op) { written.map(|ty| model.written(ty)).sum() } else { 0.0 };
                (!needs.contains(&own)).then(|| Candidate {
                    term: term.clone(),
                    cost: model.op(&op, &types, ty) + operands,
                    needs: needs.into_iter().collect(),
                })
            })
            .collect();
        candidates.sort_by(|a, b| a.cost.total_cmp(&b.cost).then_with(|| a.term.cmp(&b.term)));
        candidates
    });
    let candidates = candidates.collect();
    let roots = roots.iter().map(|&id| position[&egraph.find(id)]).collect();
    Choices::new(classes, candidates, roots)
}

/// Whether a class is computed elementwise in all its forms, so that nothing but a kernel of its own writes it.
fn is_only_fused(egraph: &EGraph, id: Id, model: &CostModel) -> bool {
    let class = &egraph[id];
    let Fact::Value { ty, .. } = &class.data else { return false };
    let mut forms = class.nodes.iter().filter_map(|term| {
        let (op, operands) = op_of(egraph, term)?;
        let types: Vec<&Type> = operands.iter().map(|&id| egraph[id].data.ty()).collect::<Option<_>>()?;
        Some(model.is_fused(&op, &types, ty))
    });
    forms.all(|fused| fused)
}

/// For each class the position of its candidate, where it has one yet.
pub(super) type Assignment = Vec<Option<usize>>;

impl Choices {
    pub(super) fn new(classes: Vec<Id>, candidates: Vec<Vec<Candidate>>, roots: Vec<usize>) -> Self {
        Choices { classes, candidates, roots, visits: Cell::new(0) }
    }

    /// The first original node of each class: its operands' first nodes come before it, so there is no cycle.
    fn original(&self, egraph: &EGraph, ids: &[Id]) -> Assignment {
        let mut assignment = vec![None; self.classes.len()];
        for &id in ids {
            let Ok(class) = self.classes.binary_search(&egraph.find(id)) else { continue };
            if assignment[class].is_none() {
                let term = egg::Language::map_children(egraph.id_to_node(id).clone(), |child| egraph.find(child));
                let same = |candidate: &Candidate| {
                    egg::Language::map_children(candidate.term.clone(), |child| egraph.find(child)) == term
                };
                assignment[class] = self.candidates[class].iter().position(same);
            }
        }
        assignment
    }

    /// Bottom up, for each class the candidate whose needs cost least together.
    fn greedy(&self, original: &Assignment) -> Assignment {
        let count = self.classes.len();
        let words = count.div_ceil(64);
        let mut assignment: Assignment = vec![None; count];
        let mut own = vec![0.0; count];
        let mut totals = vec![f64::INFINITY; count];
        let mut needed: Vec<Vec<u64>> = vec![vec![]; count];
        let mut changed = true;
        let mut rounds = 0;
        while changed && rounds < 64 {
            (changed, rounds) = (false, rounds + 1);
            for class in 0..count {
                for (index, candidate) in self.candidates[class].iter().enumerate() {
                    if candidate.needs.iter().any(|&need| assignment[need].is_none()) {
                        continue;
                    }
                    let mut set = vec![0u64; words];
                    for &need in &candidate.needs {
                        set.iter_mut().zip(&needed[need]).for_each(|(a, b)| *a |= b);
                    }
                    if set[class / 64] >> (class % 64) & 1 == 1 {
                        continue;
                    }
                    let total = candidate.cost + sum(&set, &own);
                    // a tie stays with what the graph had
                    let better = total < totals[class] - TIE
                        || total <= totals[class] + TIE
                            && original[class] == Some(index)
                            && assignment[class] != Some(index);
                    if better {
                        set[class / 64] |= 1 << (class % 64);
                        assignment[class] = Some(index);
                        (own[class], totals[class]) = (candidate.cost, total);
                        needed[class] = set;
                        changed = true;
                    }
                }
            }
        }
        assignment
    }

    /// The cost of all that the roots need; `None` for a cycle or a class without a candidate.
    pub(super) fn cost(&self, assignment: &Assignment) -> Option<f64> {
        // 1: on the path from a root, 2: paid
        let mut state = vec![0u8; self.classes.len()];
        let mut todo: Vec<(usize, bool)> = self.roots.iter().map(|&root| (root, false)).collect();
        let mut total = 0.0;
        self.visits.set(self.visits.get() + self.classes.len());
        while let Some((class, leaving)) = todo.pop() {
            if leaving {
                state[class] = 2;
                continue;
            }
            match state[class] {
                1 => return None,
                2 => continue,
                _ => {}
            }
            state[class] = 1;
            let candidate = &self.candidates[class][assignment[class]?];
            total += candidate.cost;
            todo.push((class, true));
            for &need in &candidate.needs {
                match state[need] {
                    0 => todo.push((need, false)),
                    1 => return None,
                    _ => {}
                }
            }
        }
        Some(total)
    }

    fn reachable(&self, assignment: &Assignment) -> Vec<bool> {
        let mut seen = vec![false; self.classes.len()];
        let mut todo = self.roots.clone();
        while let Some(class) = todo.pop() {
            if !std::mem::replace(&mut seen[class], true)
                && let Some(index) = assignment[class]
            {
                todo.extend(&self.candidates[class][index].needs);
            }
        }
        seen
    }

    /// Moves until none lowers the cost.
    fn improve(&self, mut assignment: Assignment, mut cost: f64) -> (f64, Assignment) {
        for _ in 0..ROUNDS {
            let before = cost;
            let reachable = self.reachable(&assignment);
            for class in (0..self.classes.len()).filter(|&class| reachable[class]) {
                for index in 0..self.candidates[class].len() {
                    self.attempt(&mut assignment, &mut cost, &[(class, index)]);
                }
            }
            for moves in self.joint_moves(&reachable) {
                self.attempt(&mut assignment, &mut cost, &moves);
            }
            if cost >= before - TIE {
                break;
            }
        }
        (cost, assignment)
    }

    /// For each value that is not computed: all classes that would take it, directly or by way of other values that are not
    /// computed.
    fn joint_moves(&self, reachable: &[bool]) -> Vec<Vec<(usize, usize)>> {
        let mut takers: BTreeMap<usize, Vec<(usize, usize)>> = BTreeMap::new();
        for (class, candidates) in self.candidates.iter().enumerate() {
            for (index, candidate) in candidates.iter().enumerate() {
                for &need in candidate.needs.iter().filter(|&&need| !reachable[need]) {
                    takers.entry(need).or_default().push((class, index));
                }
            }
        }
        let joint = takers.keys().map(|&shared| {
            let mut moves: BTreeMap<usize, usize> = BTreeMap::new();
            let mut todo = vec![shared];
            while let Some(need) = todo.pop() {
                for &(class, index) in takers.get(&need).into_iter().flatten() {
                    if class != shared && !moves.contains_key(&class) {
                        moves.insert(class, index);
                        if !reachable[class] {
                            todo.push(class);
                        }
                    }
                }
            }
            moves.into_iter().collect::<Vec<_>>()
        });
        joint.filter(|moves| moves.iter().filter(|(class, _)| reachable[*class]).count() > 1).collect()
    }

    /// Makes moves, and takes them back where they do not lower the cost.
    fn attempt(&self, assignment: &mut Assignment, cost: &mut f64, moves: &[(usize, usize)]) {
        if self.visits.get() > VISITS {
            return;
        }
        let undo: Vec<(usize, Option<usize>)> = moves.iter().map(|&(class, _)| (class, assignment[class])).collect();
        if moves.iter().all(|&(class, index)| assignment[class] == Some(index)) {
            return;
        }
        for &(class, index) in moves {
            assignment[class] = Some(index);
        }
        match self.cost(assignment) {
            Some(lower) if lower < *cost - TIE => *cost = lower,
            _ => undo.into_iter().for_each(|(class, index)| assignment[class] = index),
        }
    }

    fn selection(&self, assignment: &Assignment) -> Selection {
        let reachable = self.reachable(assignment);
        let chosen = |class: usize| Some(&self.candidates[class][assignment[class]?]);
        let terms = (0..self.classes.len()).filter(|&class| reachable[class]).filter_map(|class| {
            let candidate = chosen(class)?;
            let needs = candidate.needs.iter().map(|&need| self.classes[need]).collect();
            Some((self.classes[class], (candidate.term.clone(), needs)))
        });
        Selection { terms: terms.collect() }
    }
}

/// Costs closer than this, in nanoseconds, are equal.
pub(super) const TIE: f64 = 1e-6;

fn sum(set: &[u64], costs: &[f64]) -> f64 {
    let mut total = 0.0;
    for (position, &word) in set.iter().enumerate() {
        let mut rest = word;
        while rest != 0 {
            total += costs[position * 64 + rest.trailing_zeros() as usize];
            rest &= rest - 1;
        }
    }
    total
}
