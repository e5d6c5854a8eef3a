//! What the way back through a scan needs of the way there, and what becomes of it. A value is kept only where it is not the same in
//! all rounds, is no element of a sequence, and is neither a repetition of something smaller nor a cheap function of what is kept anyway.

use super::super::control::Pullback;
use crate::tensor::operations;
use crate::tensor::ops::*;
use crate::tensor::{Graph, Node, Op, TypeError, Value};
use std::collections::{BTreeMap, BTreeSet};

/// The largest number of ops that the way back executes again rather than reads the result of.
const COMPUTED_AGAIN: usize = 4;

/// The sum over all rounds of a value of the way back.
pub(super) enum Sum {
    /// An op of other sums, which it commutes with.
    Of(Op, Vec<Sum>),
    /// One contraction over all rounds of two values that are stacked.
    Contraction(DotGeneral, [Value; 2]),
    /// One reduction over all rounds of a value that is stacked.
    Reduction(Reduce, Value),
    /// Added up round by round: the position among the values that are.
    Carried(usize),
}

/// The way back through a scan.
pub(super) struct Backward<'p> {
    pub scan: &'p Scan,
    pub pullback: &'p Pullback,
    /// Results that have cotangents.
    pub seeded: &'p [bool],
    /// Values of the joint graph that cotangents take part in.
    back: Vec<bool>,
    /// Values that are the same in all rounds.
    invariant: Vec<bool>,
    /// Values of the way there that are stacked for the way back.
    pub saved: BTreeSet<Value>,
    /// Elements of sequences that the way back reads.
    pub elements: BTreeSet<Value>,
    /// Values of the way back that are stacked.
    pub stacked: Vec<Value>,
    /// Values of the way back that are added up round by round.
    pub summed: Vec<Value>,
}

impl<'p> Backward<'p> {
    pub fn new(scan: &'p Scan, pullback: &'p Pullback, seeded: &'p [bool]) -> Self {
        let graph = &pullback.graph;
        let region = scan.body.graph().parameters.len();
        let mut back = vec![false; graph.nodes.len()];
        let mut invariant = vec![false; graph.nodes.len()];
        for value in graph.values() {
            let node = graph.node(value);
            (back[value.index()], invariant[value.index()]) = match &node.op {
                Op::Parameter(parameter) => {
                    let captured = (scan.carried + scan.sequences..region).contains(&parameter.index);
                    (parameter.index >= region, captured)
                }
                _ => (
                    node.operands.iter().any(|operand| back[operand.index()]),
                    node.operands.iter().all(|operand| invariant[operand.index()]),
                ),
            };
        }
        let (saved, elements) = Default::default();
        Backward { scan, pullback, seeded, back, invariant, saved, elements, stacked: vec![], summed: vec![] }
    }

    pub fn graph(&self) -> &'p Graph {
        &self.pullback.graph
    }

    /// The cotangent of the body's parameter of that position.
    pub fn cotangent(&self, position: usize) -> Option<Value> {
        self.pullback.cotangents[position].map(|result| self.graph().results[result])
    }

    /// Decides what is saved, stacked and summed; returns the sums of the captures' cotangents by parameter.
    pub fn plan(&mut self) -> Result<BTreeMap<usize, Sum>, TypeError> {
        let captures = self.scan.carried + self.scan.sequences..self.scan.body.graph().parameters.len();
        // contractions first: what they stack, reductions find
        let given: Vec<(usize, Value)> =
            captures.filter_map(|position| Some((position, self.cotangent(position)?))).collect();
        for (_, cotangent) in &given {
            self.contractions(*cotangent);
        }
        let sums = given.into_iter().map(|(position, cotangent)| (position, self.sum(cotangent))).collect();
        let kept = self.saved.clone();
        let mut needed: Vec<Value> = (0..self.scan.carried).filter_map(|carry| self.cotangent(carry)).collect();
        needed.extend((self.scan.carried..self.scan.carried + self.scan.sequences).filter_map(|x| self.cotangent(x)));
        needed.extend(self.stacked.iter().chain(&self.summed));
        self.need(needed);
        self.compute_again(&kept);
        Ok(sums)
    }

    /// The operands of an op that sums commute with: the sum of its results is its result of the sums.
    fn summands(&self, value: Value) -> Option<&'p [Value]> {
        let node = self.graph().node(value);
        let commutes =
            matches!(&node.op, Op::Binary(Binary::Add) | Op::Unary(Unary::Negate) | Op::Transpose(_) | Op::Reshape(_));
        (commutes && self.back[value.index()] && !self.is_parameter(value)).then_some(&node.operands)
    }

    fn is_parameter(&self, value: Value) -> bool {
        matches!(self.graph().node(value).op, Op::Parameter(_))
    }

    /// Stacks the operands of contractions that a sum is made of.
    fn contractions(&mut self, value: Value) {
        if let Some(operands) = self.summands(value) {
            operands.iter().for_each(|&operand| self.contractions(operand));
            return;
        }
        let node = self.graph().node(value);
        if matches!(node.op, Op::DotGeneral(_)) && self.back[value.index()] {
            for &operand in &node.operands {
                if self.back[operand.index()] && !self.stacked.contains(&operand) && !self.is_parameter(operand) {
                    self.stacked.push(operand);
                } else if !self.back[operand.index()] && !self.invariant[operand.index()] {
                    self.save(operand);
                }
            }
        }
    }

    /// Whether a value's elements of all rounds are, or will be, in one tensor.
    fn is_stacked(&self, value: Value) -> bool {
        self.stacked.contains(&value)
            || self.saved.contains(&value)
            || self.elements.contains(&value)
            || self.back[value.index()] && self.is_parameter(value) && self.is_output_cotangent(value)
    }

    /// Whether a value is the cotangent of an output, which is stacked already.
    fn is_output_cotangent(&self, value: Value) -> bool {
        self.seed_of(value).is_some_and(|result| result >= self.scan.carried)
    }

    /// The result whose cotangent a parameter of the joint graph is.
    pub fn seed_of(&self, value: Value) -> Option<usize> {
        let Op::Parameter(parameter) = &self.graph().node(value).op else { return None };
        let number = parameter.index.checked_sub(self.scan.body.graph().parameters.len())?;
        (0..self.seeded.len()).filter(|&result| self.seeded[result]).nth(number)
    }

    fn sum(&mut self, value: Value) -> Sum {
        if let Some(operands) = self.summands(value) {
            let op = self.graph().node(value).op.clone();
            return Sum::Of(op, operands.iter().map(|&operand| self.sum(operand)).collect());
        }
        let node = self.graph().node(value);
        match &node.op {
            Op::DotGeneral(dot) if node.operands.iter().all(|&operand| self.is_stacked(operand)) => {
                Sum::Contraction(dot.clone(), [node.operands[0], node.operands[1]])
            }
            Op::Reduce(reduce) if reduce.kind == Reduction::Sum && self.is_stacked(node.operands[0]) => {
                Sum::Reduction(reduce.clone(), node.operands[0])
            }
            _ => {
                let known = self.summed.iter().position(|&summed| summed == value);
                Sum::Carried(known.unwrap_or_else(|| {
                    self.summed.push(value);
                    self.summed.len() - 1
                }))
            }
        }
    }

    /// Keeps a value of the way there, where it is not an element of a sequence.
    fn save(&mut self, value: Value) {
        match &self.graph().node(value).op {
            Op::Parameter(parameter) if parameter.index >= self.scan.carried => self.elements.insert(value),
            _ => self.saved.insert(value),
        };
    }

    /// Saves what computing values of the way back reads of the way there.
    fn need(&mut self, mut open: Vec<Value>) {
        let mut seen = BTreeSet::new();
        while let Some(value) = open.pop() {
            if !seen.insert(value) || self.saved.contains(&value) || self.elements.contains(&value) {
                continue;
            }
            let node = self.graph().node(value);
            let again = self.back[value.index()] || self.invariant[value.index()] || self.is_repetition(node);
            if again {
                open.extend(&node.operands);
            } else {
                self.save(value);
            }
        }
    }

    /// Saves no value, but for those that are kept, that follows from others.
    fn compute_again(&mut self, kept: &BTreeSet<Value>) {
        for value in self.saved.clone().into_iter().rev().filter(|value| !kept.contains(value)) {
            self.saved.remove(&value);
            if !self.follows(value, &mut { COMPUTED_AGAIN }) {
                self.saved.insert(value);
            }
        }
    }

    /// Whether a value of the way there is made of what the way back reads in no more than so many cheap elementwise ops.
    fn follows(&self, value: Value, left: &mut usize) -> bool {
        if self.saved.contains(&value) || self.elements.contains(&value) || self.invariant[value.index()] {
            return true;
        }
        let node = self.graph().node(value);
        let cheap = match operations::elementwise(&node.op) {
            Some(each) => each.operations() <= operations::LOAD_AND_STORE,
            None => self.is_repetition(node),
        };
        if !cheap || *left == 0 {
            return false;
        }
        *left -= 1;
        node.operands.iter().all(|&operand| self.follows(operand, left))
    }

    /// Whether an op gives the elements of its operand again, not fewer bytes of them.
    fn is_repetition(&self, node: &Node) -> bool {
        match &node.op {
            Op::Broadcast(_) | Op::Reshape(_) | Op::Transpose(_) | Op::StopGradient(_) => true,
            Op::Convert(convert) => self.graph().tensor_type(node.operands[0]).dtype.bytes() <= convert.dtype.bytes(),
            _ => false,
        }
    }
}
