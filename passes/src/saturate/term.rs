//! The language of the e-graph: ops as e-nodes, their attributes as leaves.

use egg::{FromOp, Id, Language};
use kc_ir::tensor::Op;
use kc_ir::tensor::composites::Composite;
use kc_ir::tensor::ops::{Binary, Compare, Select, Unary};
use std::fmt;
use std::sync::{Arc, LazyLock};

/// An e-node. An elementwise function has its operands as children; any other op has its attributes (a leaf, so that patterns
/// can bind them) before its operands: `(add ?x ?y)`, `(dot_general ?attributes ?lhs ?rhs)`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Term {
    /// An op without operands.
    Leaf(Arc<Op>),
    /// The attributes of the op whose first child this is.
    Attributes(Arc<Op>),
    /// An op of children.
    Apply(Head, Box<[Id]>),
    /// In right sides only: attributes (or a constant) computed from those of the children.
    Compute(Computed, Box<[Id]>),
}

/// Which op an e-node applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Head {
    Unary(Unary),
    Binary(Binary),
    Compare(Compare),
    Select,
    /// An op with attributes, by its name.
    Attributed(&'static str),
}

/// The name of a computation, from the table in `compute.rs`.
pub(crate) type Computed = &'static str;

/// What two e-nodes of one operator and arity share.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Operator {
    Leaf,
    Attributes,
    Apply(Head, usize),
    Compute(Computed),
}

/// The head of an op with operands.
pub(crate) fn head(op: &Op) -> Head {
    match op {
        Op::Unary(function) => Head::Unary(*function),
        Op::Binary(function) => Head::Binary(*function),
        Op::Compare(function) => Head::Compare(*function),
        Op::Select(_) => Head::Select,
        other => Head::Attributed(other.operation().name()),
    }
}

/// Whether the op is a leaf of the e-graph.
pub(crate) fn is_leaf(op: &Op) -> bool {
    matches!(op, Op::Parameter(_) | Op::Constant(_) | Op::Iota(_) | Op::Dimension(_))
}

impl Head {
    /// The op, where it has no attributes.
    pub fn plain_op(self) -> Option<Op> {
        match self {
            Head::Unary(function) => Some(function.into()),
            Head::Binary(function) => Some(function.into()),
            Head::Compare(function) => Some(function.into()),
            Head::Select => Some(Select {}.into()),
            Head::Attributed(_) => None,
        }
    }

    fn parse(name: &str) -> Option<Head> {
        static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| Op::names().chain(Composite::names()).collect());
        if name == "select" {
            return Some(Head::Select);
        }
        Unary::from_text(name)
            .map(Head::Unary)
            .or_else(|| Binary::from_text(name).map(Head::Binary))
            .or_else(|| Compare::from_text(name).map(Head::Compare))
            .or_else(|| NAMES.iter().find(|known| *known == name).map(|known| Head::Attributed(known)))
    }
}

impl fmt::Display for Head {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Head::Unary(function) => function.text(),
            Head::Binary(function) => function.text(),
            Head::Compare(function) => function.text(),
            Head::Select => "select",
            Head::Attributed(name) => name,
        })
    }
}

impl fmt::Display for Term {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Term::Leaf(op) => match &**op {
                Op::Parameter(parameter) => write!(formatter, "parameter{}", parameter.index),
                op => formatter.write_str(op.operation().name()),
            },
            Term::Attributes(_) => formatter.write_str("attributes"),
            Term::Apply(head, _) => write!(formatter, "{head}"),
            Term::Compute(name, _) => write!(formatter, "!{name}"),
        }
    }
}

impl Language for Term {
    type Discriminant = Operator;

    fn discriminant(&self) -> Operator {
        match self {
            Term::Leaf(_) => Operator::Leaf,
            Term::Attributes(_) => Operator::Attributes,
            Term::Apply(head, children) => Operator::Apply(*head, children.len()),
            Term::Compute(name, _) => Operator::Compute(name),
        }
    }

    fn matches(&self, other: &Self) -> bool {
        match (self, other) {
            (Term::Leaf(a), Term::Leaf(b)) | (Term::Attributes(a), Term::Attributes(b)) => a == b,
            (Term::Apply(a, x), Term::Apply(b, y)) => a == b && x.len() == y.len(),
            (Term::Compute(a, x), Term::Compute(b, y)) => a == b && x.len() == y.len(),
            _ => false,
        }
    }

    fn children(&self) -> &[Id] {
        match self {
            Term::Leaf(_) | Term::Attributes(_) => &[],
            Term::Apply(_, children) | Term::Compute(_, children) => children,
        }
    }

    fn children_mut(&mut self) -> &mut [Id] {
        match self {
            Term::Leaf(_) | Term::Attributes(_) => &mut [],
            Term::Apply(_, children) | Term::Compute(_, children) => children,
        }
    }
}

impl FromOp for Term {
    type Error = String;

    fn from_op(name: &str, children: Vec<Id>) -> Result<Self, String> {
        if let Some(computed) = name.strip_prefix('!') {
            let known = super::compute::name(computed).ok_or_else(|| format!("`{name}` is no computation"))?;
            return Ok(Term::Compute(known, children.into()));
        }
        let head = Head::parse(name).ok_or_else(|| format!("`{name}` is no op"))?;
        Ok(Term::Apply(head, children.into()))
    }
}
