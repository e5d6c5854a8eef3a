//! The cheapest selection of all: the optimum of the integer program that asks for one candidate of each needed class, of everything
//! that a chosen candidate needs, and for no cycle. Found by branch and bound, for e-graphs that are small.

use super::extract::{Assignment, Choices, TIE};
use std::collections::BTreeSet;

/// Classes looked at after which the search ends with the best selection so far.
const VISITS: usize = 20_000_000;

/// Classes above which it is not begun: each class has the set of those that it cannot do without.
const CLASSES: usize = 4_000;

/// Rounds in which those sets grow.
const ROUNDS: usize = 16;

/// A selection that costs no more than the given one, and whether it is known to be the cheapest.
pub(super) fn cheapest(choices: &Choices, start: (f64, Assignment)) -> ((f64, Assignment), bool) {
    if choices.candidates.len() > CLASSES {
        return (start, false);
    }
    let mut search = Search::new(choices, start);
    let proven = search.decide(0.0);
    (search.best, proven)
}

struct Search<'c> {
    choices: &'c Choices,
    /// For each class the class whose candidates alone need it.
    owner: Vec<Option<usize>>,
    /// For each class what it costs at least, with the classes that it owns.
    least: Vec<f64>,
    /// For each class the classes that every selection with it has, itself among them.
    certain: Vec<Vec<u64>>,
    assignment: Assignment,
    /// Classes that a choice or the roots need, in the order in which that was found out.
    needed: Vec<usize>,
    is_needed: Vec<bool>,
    best: (f64, Assignment),
    visits: usize,
}

impl<'c> Search<'c> {
    fn new(choices: &'c Choices, best: (f64, Assignment)) -> Self {
        let count = choices.candidates.len();
        let owner = owners(choices);
        let mut least = vec![None; count];
        (0..count).for_each(|class| {
            least_cost(choices, &owner, class, &mut least);
        });
        let mut search = Search {
            choices,
            owner,
            least: least.into_iter().map(Option::unwrap_or_default).collect(),
            certain: certain(choices),
            assignment: vec![None; count],
            needed: vec![],
            is_needed: vec![false; count],
            best,
            visits: 0,
        };
        choices.roots.iter().for_each(|&root| search.need(root));
        search
    }

    fn need(&mut self, class: usize) {
        if !std::mem::replace(&mut self.is_needed[class], true) {
            self.needed.push(class);
        }
    }

    /// What all classes cost at least that are needed for certain and not decided.
    fn outstanding(&self) -> f64 {
        let mut all = vec![0u64; self.least.len().div_ceil(64)];
        for &class in self.needed.iter().filter(|&&class| self.assignment[class].is_none()) {
            all.iter_mut().zip(&self.certain[class]).for_each(|(all, own)| *all |= own);
        }
        let is_open = |class: usize| self.assignment[class].is_none();
        // what an open class owns is in its own cost
        (0..self.least.len())
            .filter(|&class| contains(&all, class) && is_open(class) && !self.owner[class].is_some_and(is_open))
            .map(|class| self.least[class])
            .sum()
    }

    /// Tries all ways to decide what is needed, where the decisions so far cost `paid`. Whether that was brought to its end.
    fn decide(&mut self, paid: f64) -> bool {
        if paid + self.outstanding() >= self.best.0 - TIE {
            return true;
        }
        // what has fewest candidates first
        let open = self.needed.iter().copied().filter(|&class| self.assignment[class].is_none());
        let Some(class) = open.min_by_key(|&class| self.choices.candidates[class].len()) else {
            self.best = (paid, self.assignment.clone());
            return true;
        };
        let choices = self.choices;
        for (index, candidate) in choices.candidates[class].iter().enumerate() {
            // each need's set is looked at by words of 64 classes
            self.visits += self.least.len() + self.needed.len() * self.least.len().div_ceil(64);
            if self.visits > VISITS {
                return false;
            }
            if candidate.needs.iter().any(|&need| self.leads_to(need, class)) {
                continue;
            }
            let known = self.needed.len();
            self.assignment[class] = Some(index);
            candidate.needs.iter().for_each(|&need| self.need(need));
            let ended = self.decide(paid + candidate.cost);
            self.needed.drain(known..).for_each(|need| self.is_needed[need] = false);
            self.assignment[class] = None;
            if !ended {
                return false;
            }
        }
        true
    }

    /// Whether the decisions so far make a class need another.
    fn leads_to(&self, class: usize, to: usize) -> bool {
        let mut seen = vec![false; self.assignment.len()];
        let mut open = vec![class];
        while let Some(next) = open.pop() {
            if next == to {
                return true;
            }
            if !std::mem::replace(&mut seen[next], true)
                && let Some(index) = self.assignment[next]
            {
                open.extend(&self.choices.candidates[next][index].needs);
            }
        }
        false
    }
}

fn contains(set: &[u64], class: usize) -> bool {
    set[class / 64] >> (class % 64) & 1 == 1
}

/// For each class that is no root the class whose candidates alone need it.
fn owners(choices: &Choices) -> Vec<Option<usize>> {
    let mut users: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); choices.candidates.len()];
    for (class, candidates) in choices.candidates.iter().enumerate() {
        candidates.iter().flat_map(|candidate| &candidate.needs).for_each(|&need| {
            users[need].insert(class);
        });
    }
    let owner = |(class, users): (usize, &BTreeSet<usize>)| match users.len() {
        1 if !choices.roots.contains(&class) => users.first().copied(),
        _ => None,
    };
    users.iter().enumerate().map(owner).collect()
}

/// What a class costs at least, with the classes that it owns; what is being computed, in a cycle, counts as nothing.
fn least_cost(choices: &Choices, owner: &[Option<usize>], class: usize, known: &mut Vec<Option<f64>>) -> f64 {
    if let Some(cost) = known[class] {
        return cost;
    }
    known[class] = Some(0.0);
    let mut least = f64::INFINITY;
    for candidate in &choices.candidates[class] {
        let owned = candidate.needs.iter().filter(|&&need| owner[need] == Some(class));
        let owned: f64 = owned.map(|&need| least_cost(choices, owner, need, known)).sum();
        least = least.min(candidate.cost + owned);
    }
    known[class] = Some(least);
    least
}

/// For each class the classes that every selection with it has: itself, and what all of its candidates need.
fn certain(choices: &Choices) -> Vec<Vec<u64>> {
    let count = choices.candidates.len();
    let words = count.div_ceil(64);
    let own = |class: usize| {
        let mut set = vec![0u64; words];
        set[class / 64] |= 1 << (class % 64);
        set
    };
    let mut certain: Vec<Vec<u64>> = (0..count).map(own).collect();
    // any number of rounds gives sets of certain classes; more give larger ones
    for _ in 0..ROUNDS {
        let mut changed = false;
        for class in 0..count {
            let mut common: Option<Vec<u64>> = None;
            for candidate in &choices.candidates[class] {
                let mut needs = vec![0u64; words];
                for &need in &candidate.needs {
                    needs.iter_mut().zip(&certain[need]).for_each(|(all, own)| *all |= own);
                }
                match &mut common {
                    None => common = Some(needs),
                    Some(common) => common.iter_mut().zip(needs).for_each(|(all, own)| *all &= own),
                }
            }
            for (old, new) in certain[class].iter_mut().zip(common.into_iter().flatten()) {
                changed |= new & !*old != 0;
                *old |= new;
            }
        }
        if !changed {
            break;
        }
    }
    certain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::saturate::extract::{Candidate, improved};
    use crate::saturate::term::Term;
    use kc_ir::tensor::Op;
    use kc_ir::tensor::ops::StopGradient;
    use std::sync::Arc;

    /// Classes with up to three candidates each, which need up to three classes, now and then in a cycle.
    fn random(seed: u64) -> Choices {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut below = |limit: usize| {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            ((state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit as u64) as usize
        };
        let count = 9;
        let candidates = (0..count).map(|class| {
            let leaf = class < 2;
            (0..if leaf { 1 } else { 1 + below(3) })
                .map(|index| {
                    // the first candidate leads to the leaves, so that there is a selection
                    let limit = if index == 0 { class } else { count };
                    let mut needs: Vec<usize> =
                        (0..if leaf { 0 } else { 1 + below(3) }).map(|_| below(limit)).collect();
                    needs.retain(|&need| need != class);
                    needs.sort_unstable();
                    needs.dedup();
                    let term = Term::Leaf(Arc::new(Op::from(StopGradient {})));
                    Candidate { term, cost: (1 + below(9)) as f64, needs }
                })
                .collect::<Vec<_>>()
        });
        let candidates = candidates.collect::<Vec<_>>();
        Choices::new((0..count).map(egg::Id::from).collect(), candidates, vec![count - 1, count - 2])
    }

    /// The cost of the best of all assignments.
    fn by_trying_all(choices: &Choices) -> f64 {
        let mut best = f64::INFINITY;
        let mut assignment: Vec<usize> = vec![0; choices.candidates.len()];
        loop {
            let all: Assignment = assignment.iter().map(|&index| Some(index)).collect();
            best = best.min(choices.cost(&all).unwrap_or(f64::INFINITY));
            let place = (0..assignment.len()).find(|&class| assignment[class] + 1 < choices.candidates[class].len());
            let Some(place) = place else { return best };
            assignment[place] += 1;
            assignment[..place].fill(0);
        }
    }

    #[test]
    fn no_selection_costs_less_and_moves_do_not_find_all_of_them() {
        let mut better = 0;
        for seed in 0..400 {
            let choices = random(seed);
            let first: Assignment = vec![Some(0); choices.candidates.len()];
            let greedy = improved(&choices, first);
            let ((cost, assignment), proven) = cheapest(&choices, greedy.clone());
            assert!(proven, "sample {seed}");
            assert_eq!(choices.cost(&assignment), Some(cost), "sample {seed}");
            assert_eq!(cost, by_trying_all(&choices), "sample {seed}");
            better += usize::from(cost < greedy.0);
        }
        assert!(better > 0);
    }
}
