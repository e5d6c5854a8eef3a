//! What is known of every e-class: its type, and its value where all elements are one constant.

use super::term::{Head, Term};
use egg::{Analysis, DidMerge, Id};
use kc_ir::TensorType;
use kc_ir::tensor::{Literal, Op, Type};
use std::sync::Arc;

pub(crate) type EGraph = egg::EGraph<Term, Facts>;

/// The e-class analysis.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts;

/// What is known of an e-class.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fact {
    /// It is the attributes of an op.
    Attributes(Arc<Op>),
    /// It is a value.
    Value {
        /// Its type.
        ty: Arc<Type>,
        /// The scalar that all its elements are.
        splat: Option<Literal>,
    },
    /// The op does not take these operands; never united with anything.
    Invalid(String),
}

impl Fact {
    /// The type of a value.
    pub fn ty(&self) -> Option<&Type> {
        match self {
            Fact::Value { ty, .. } => Some(ty),
            Fact::Attributes(_) | Fact::Invalid(_) => None,
        }
    }
    /// The type of a value that is one tensor.
    pub fn tensor(&self) -> Option<&TensorType> {
        self.ty().and_then(Type::as_tensor)
    }
    /// The op whose attributes these are.
    pub fn attributes(&self) -> Option<&Arc<Op>> {
        match self {
            Fact::Attributes(op) => Some(op),
            Fact::Value { .. } | Fact::Invalid(_) => None,
        }
    }
    /// The scalar that all elements are.
    pub fn splat(&self) -> Option<&Literal> {
        match self {
            Fact::Value { splat, .. } => splat.as_ref(),
            Fact::Attributes(_) | Fact::Invalid(_) => None,
        }
    }
}

/// The op of an e-node and its operands (the children without attributes).
pub(crate) fn op_of<'a>(egraph: &'a EGraph, term: &'a Term) -> Option<(Arc<Op>, &'a [Id])> {
    match term {
        Term::Leaf(op) => Some((op.clone(), &[])),
        Term::Apply(Head::Attributed(_), children) => {
            let (first, operands) = children.split_first()?;
            Some((egraph[*first].data.attributes()?.clone(), operands))
        }
        Term::Apply(head, children) => Some((Arc::new(head.plain_op()?), children)),
        Term::Attributes(_) | Term::Compute(..) => None,
    }
}

fn fact(egraph: &EGraph, term: &Term) -> Fact {
    if let Term::Attributes(op) = term {
        return Fact::Attributes(op.clone());
    }
    let Some((op, operands)) = op_of(egraph, term) else {
        return Fact::Invalid(format!("`{term}` has no attributes"));
    };
    if let Term::Apply(head, _) = term
        && super::term::head(&op) != *head
    {
        return Fact::Invalid(format!("`{term}` has the attributes of {}", op.operation().name()));
    }
    let Some(types) = operands.iter().map(|&id| egraph[id].data.ty()).collect::<Option<Vec<&Type>>>() else {
        return Fact::Invalid(format!("an operand of `{term}` is no value"));
    };
    match op.infer(&types) {
        Ok(ty) => Fact::Value { splat: splat(egraph, &op, operands), ty: Arc::new(ty) },
        Err(error) => Fact::Invalid(error.to_string()),
    }
}

fn splat(egraph: &EGraph, op: &Op, operands: &[Id]) -> Option<Literal> {
    match op {
        Op::Constant(constant) => {
            constant.value.splat_value()?;
            let bytes = constant.value.dtype().bytes();
            Literal::from_bytes(constant.value.dtype(), vec![], &constant.value.bytes()[..bytes])
        }
        Op::Broadcast(_) | Op::Reshape(_) | Op::Transpose(_) => egraph[operands[0]].data.splat().cloned(),
        _ => None,
    }
}

impl Analysis<Term> for Facts {
    type Data = Fact;

    fn make(egraph: &mut EGraph, term: &Term, _: Id) -> Fact {
        fact(egraph, term)
    }

    /// # Panics
    /// Where the facts contradict each other: a rule united values of two types, or two different constants.
    fn merge(&mut self, to: &mut Fact, from: Fact) -> DidMerge {
        match (&mut *to, from) {
            (Fact::Value { ty, splat }, Fact::Value { ty: other, splat: other_splat }) => {
                assert_eq!(*ty, other, "a rule united values of two types");
                match (splat.as_ref(), other_splat) {
                    (None, Some(known)) => {
                        *splat = Some(known);
                        DidMerge(true, false)
                    }
                    (Some(_), None) => DidMerge(false, true),
                    (None, None) => DidMerge(false, false),
                    (Some(known), Some(also)) => {
                        let nan = |literal: &Literal| literal.get(0).to_f64().is_nan();
                        assert!(*known == also || nan(known) && nan(&also), "a rule united {known:?} and {also:?}");
                        DidMerge(false, false)
                    }
                }
            }
            (to, from) => {
                assert_eq!(*to, from, "a rule united a value with attributes");
                DidMerge(false, false)
            }
        }
    }
}
