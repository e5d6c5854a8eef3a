//! Instances of rules: both sides as graphs, for what checks rules.

use super::convert::enter;
use super::extract::all_of;
use super::facts::{EGraph, Facts};
use super::rule::Rule;
use super::term::{Head, Term};
use super::{convert, rule::RightSide};
use egg::{ENodeOrVar, Id, Pattern, Searcher};
use kc_ir::TensorType;
use kc_ir::tensor::{Builder, Graph, Literal, Op, TypeError, Value};

/// What a variable of a rule's left side stands for.
#[derive(Clone, Debug, PartialEq)]
pub enum Binding {
    /// A parameter of that type.
    Tensor(TensorType),
    /// A constant.
    Constant(Literal),
    /// A scalar constant, repeated.
    Splat(Literal, TensorType),
    /// The attributes of that op.
    Attributes(Op),
}

impl Rule {
    /// Both sides with these bindings, as graphs with one result and the same parameters: the tensors in the order of the bindings.
    /// `None` for the right side where the rule says that it does not apply.
    ///
    /// An error is a binding that an op of the left side does not take, or one that is missing.
    pub fn instance(&self, bindings: &[(&str, Binding)]) -> Result<(Graph, Option<Graph>), TypeError> {
        let left = self.left_graph(bindings)?;
        let mut entered = enter(&left, EGraph::new(Facts));
        let root = entered.ids[left.results[0].index()];
        let (pattern, right): (Pattern<Term>, RightSide) = self.compile();
        let matches = pattern.search_eclass(&entered.egraph, root);
        let found = matches.into_iter().flat_map(|found| found.substs).find_map(|subst| {
            right.applies(&entered.egraph, &subst).then(|| right.instantiate(&mut entered.egraph, &subst)).flatten()
        });
        let Some((id, _)) = found else { return Ok((left, None)) };
        if entered.egraph[id].data.ty() != entered.egraph[root].data.ty() {
            return Ok((left, None));
        }
        // nothing was united, so each class has one e-node
        entered.egraph.rebuild();
        entered.ids[left.results[0].index()] = id;
        let selection = all_of(&entered.egraph, &[id]);
        let right = convert::leave(&left, &entered, &selection)?;
        Ok((left, Some(right)))
    }

    fn left_graph(&self, bindings: &[(&str, Binding)]) -> Result<Graph, TypeError> {
        let (pattern, _): (Pattern<Term>, RightSide) = self.compile();
        let missing = |what: String| TypeError::new(self.name, what);
        let mut builder = Builder::new();
        let mut bound: Vec<(String, Option<Value>, Option<&Op>)> = vec![];
        for (name, binding) in bindings {
            let variable = format!("?{name}");
            bound.push(match binding {
                Binding::Tensor(ty) => (variable, Some(builder.parameter(name, ty.clone())?), None),
                Binding::Constant(literal) => (variable, Some(builder.constant(literal.clone())?), None),
                Binding::Splat(literal, ty) => {
                    let scalar = builder.constant(literal.clone())?;
                    (variable, Some(builder.broadcast(scalar, &ty.shape, &[])?), None)
                }
                Binding::Attributes(op) => (variable, None, Some(op)),
            });
        }
        let nodes: &[ENodeOrVar<Term>] = &pattern.ast;
        let mut values: Vec<(Option<Value>, Option<&Op>)> = Vec::with_capacity(nodes.len());
        for node in nodes {
            values.push(match node {
                ENodeOrVar::Var(var) => {
                    let name = var.to_string();
                    let found = bound.iter().find(|(known, ..)| *known == name);
                    let (_, value, op) = found.ok_or_else(|| missing(format!("`{name}` is not bound")))?;
                    (*value, *op)
                }
                ENodeOrVar::ENode(Term::Apply(head, children)) => {
                    let at = |id: &Id| values[usize::from(*id)];
                    let (op, operands) = match (head, children.split_first()) {
                        (Head::Attributed(_), Some((first, operands))) => (at(first).1.cloned(), operands),
                        _ => (head.plain_op(), &children[..]),
                    };
                    let op = op.ok_or_else(|| missing(format!("`{head}` has no attributes")))?;
                    let operands: Option<Vec<Value>> = operands.iter().map(|id| at(id).0).collect();
                    let operands = operands.ok_or_else(|| missing(format!("an operand of `{head}` is no value")))?;
                    (Some(builder.add(op, &operands)?), None)
                }
                ENodeOrVar::ENode(_) => return Err(missing("a left side has only ops and variables".to_string())),
            });
        }
        let result = values.last().and_then(|(value, _)| *value);
        let result = result.ok_or_else(|| missing("the left side is no value".to_string()))?;
        Ok(builder.finish(vec![result]))
    }
}
