//! Comparisons, logic, and choice.

use super::arguments::wrong;
use super::declare::functions;
use super::formulas::{infinity, is_nan, together, truth};
use super::function::Operand;
use super::promotion::{promote, promote_all, promote_float};
use super::tensor::Tensor;
use kc_ir::tensor::Tensor as Formula;
use kc_ir::tensor::{TypeError, broadcast_shapes};

macro_rules! comparisons {
    ($($(#[$doc:meta])* $name:ident $class:ident $method:ident;)*) => { functions! { $(
        $(#[$doc])*
        $name $class(x1, x2) = |_, &[a, b]| {
            let [a, b] = promote([a, b]);
            a.$method(b)
        };
    )* } };
}
comparisons! {
    /// `x1 == x2`, element by element.
    equal Equal equal;
    /// `x1 != x2`, element by element.
    not_equal NotEqual not_equal;
    /// `x1 < x2`, element by element.
    less Less less;
    /// `x1 <= x2`, element by element.
    less_equal LessEqual less_equal;
    /// `x1 > x2`, element by element.
    greater Greater greater;
    /// `x1 >= x2`, element by element.
    greater_equal GreaterEqual greater_equal;
}

functions! {
    /// Whether both are not zero.
    logical_and LogicalAnd(x1, x2) = |_, &[a, b]| truth(*a).and(truth(*b));
    /// Whether one is not zero.
    logical_or LogicalOr(x1, x2) = |_, &[a, b]| truth(*a).or(truth(*b));
    /// Whether one of them alone is not zero.
    logical_xor LogicalXor(x1, x2) = |_, &[a, b]| truth(*a).not_equal(truth(*b));
    /// Whether it is zero.
    logical_not LogicalNot(x) = |_, &[x]| truth(*x).complement();
    /// Whether `|x1 - x2| <= atol + rtol |x2|`, element by element; equal infinities are close.
    isclose Isclose(x1, x2) {
        /// The tolerance relative to `x2` (default: 1e-5).
        rtol: f64 = 1e-5,
        /// The absolute tolerance (default: 1e-8).
        atol: f64 = 1e-8,
        /// Whether NaN is close to NaN (default: no).
        equal_nan: bool = false,
    } = |_, &[a, b]| close([a, b], rtol, atol, equal_nan);
    /// Whether all elements are close, as [`isclose`] says.
    allclose AllClose(x1, x2) {
        /// The tolerance relative to `x2` (default: 1e-5).
        rtol: f64 = 1e-5,
        /// The absolute tolerance (default: 1e-8).
        atol: f64 = 1e-8,
        /// Whether NaN is close to NaN (default: no).
        equal_nan: bool = false,
    } = |_, &[a, b]| {
        let close = close([a, b], rtol, atol, equal_nan)?;
        Ok(close.reduce(kc_ir::tensor::ops::Reduction::Min, &(0..close.shape().len()).collect::<Vec<_>>()))
    };
    /// For each element of `x1` whether it is among those of `x2`.
    isin IsIn(x1, x2) {
        /// Whether both have each value once; it changes nothing (default: no).
        assume_unique: bool = false,
        /// Whether to tell the opposite (default: no).
        invert: bool = false,
    } = |_, &[a, b]| {
        let [a, b] = promote([a, b]);
        let shape = a.shape();
        let (all, some) = (super::formulas::flat(a), super::formulas::flat(b));
        let [count, others] = [all.shape()[0].clone(), some.shape()[0].clone()];
        let pairs = [count, others];
        let hits = all.broadcast(&pairs, &[0]).equal(some.broadcast(&pairs, &[1]));
        let found = hits.reduce(kc_ir::tensor::ops::Reduction::Max, &[1]).reshape(&shape);
        if invert { found.complement() } else { found }
    };
}

/// Of the tensors in `choicelist` the one whose condition in `condlist` is the first to hold, element by element; `default` where
/// none does. Keras' `select`, whose `default` is 0.
#[track_caller]
pub fn select(
    condlist: impl IntoIterator<Item = impl Into<Tensor>>,
    choicelist: impl IntoIterator<Item = impl Into<Tensor>>,
    default: impl Into<Tensor>,
) -> Tensor {
    let mut operands: Vec<Tensor> = condlist.into_iter().map(Into::into).collect();
    let conditions = operands.len();
    operands.extend(choicelist.into_iter().map(Into::into));
    operands.push(default.into());
    super::Call::new(Select { conditions }, operands).into()
}

/// The arguments of [`select`].
#[derive(Clone, Debug)]
pub struct Select {
    conditions: usize,
}

impl super::Function for Select {
    fn name(&self) -> &'static str {
        "select"
    }
    fn class(&self) -> &'static str {
        "Select"
    }
    fn build<'s, 'b>(
        &self,
        _: &'s kc_ir::tensor::Scope<'b>,
        operands: &[Operand<'s, 'b>],
    ) -> Result<Vec<Formula<'s, 'b>>, TypeError> {
        let (conditions, choices) = operands.split_at(self.conditions.min(operands.len()));
        match choices.split_last() {
            Some((default, choices)) => Ok(vec![choose(conditions, choices, *default)?]),
            None => Err(wrong("expected at least one condition")),
        }
    }
}

functions! {
    /// `x1` where the condition holds, else `x2`; all broadcast to each other. Keras' `where`; with the condition alone it is
    /// [`nonzero`](super::nonzero).
    where_ Where(condition, x1, x2) = |_, &[condition, a, b]| pick(truth(*condition), promote([a, b]));
}

/// The first where the condition holds, else the second, broadcast to one shape.
fn pick<'s, 'b>(condition: Formula<'s, 'b>, [a, b]: [Formula<'s, 'b>; 2]) -> Result<Formula<'s, 'b>, TypeError> {
    let [a, b] = together(a, b)?;
    let shape = broadcast_shapes(&condition.shape(), &a.shape())
        .ok_or_else(|| wrong(format!("the condition {} cannot be broadcast to {}", condition.ty(), a.ty())))?;
    Ok(condition.broadcast_to(&shape).select(a.broadcast_to(&shape), b.broadcast_to(&shape)))
}

fn choose<'s, 'b>(
    conditions: &[Operand<'s, 'b>],
    choices: &[Operand<'s, 'b>],
    default: Operand<'s, 'b>,
) -> Result<Formula<'s, 'b>, TypeError> {
    if conditions.len() != choices.len() || choices.is_empty() {
        return Err(wrong(format!(
            "{} conditions and {} choices, expected as many of both, at least one",
            conditions.len(),
            choices.len()
        )));
    }
    let promoted = promote_all(&[choices, &[default]].concat());
    let (choices, default) = promoted.split_at(choices.len());
    let pairs = conditions.iter().zip(choices).rev();
    pairs.into_iter().try_fold(default[0], |rest, (condition, choice)| pick(truth(**condition), [*choice, rest]))
}

fn close<'s, 'b>(
    operands: [Operand<'s, 'b>; 2],
    rtol: f64,
    atol: f64,
    equal_nan: bool,
) -> Result<Formula<'s, 'b>, TypeError> {
    let [a, b] = promote_float(operands);
    let [a, b] = together(a, b)?;
    let bound = b.abs() * rtol + atol;
    let is_infinite = a.abs().equal(infinity(a)).or(b.abs().equal(infinity(b)));
    let near = (a - b).abs().less_equal(bound).and(is_infinite.complement());
    let near = near.or(a.equal(b));
    Ok(if equal_nan { near.or(is_nan(a).and(is_nan(b))) } else { near })
}
