//! Norms of vectors and matrices.

use super::super::arguments::{Axes, distinct, wrong};
use super::super::declare::functions;
use super::super::promotion::float;
use super::super::reduction::{keep, reduce};
use super::built;
use kc_ir::tensor::ops::Reduction;
use kc_ir::tensor::{Tensor as Formula, TypeError};

/// The order of a norm: a number, infinite ones among them, or `"fro"` or `"nuc"`.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// 2 of a vector, Frobenius' of a matrix.
    Default,
    /// A number.
    Number(f64),
    /// A name.
    Named(String),
}

impl From<i32> for Order {
    fn from(order: i32) -> Self {
        Order::Number(order.into())
    }
}
impl From<f64> for Order {
    fn from(order: f64) -> Self {
        Order::Number(order)
    }
}
impl From<&str> for Order {
    fn from(name: &str) -> Self {
        Order::Named(name.to_string())
    }
}

functions! {
    /// The norm of vectors (along one axis) or of matrices (along two), or of all elements together.
    norm Norm(x) {
        /// The order: of vectors `sum(|x|^ord)^(1 / ord)`, the largest for infinity, the smallest for -infinity, the number of elements
        /// that are not 0 for 0; of matrices `"fro"`, `"nuc"`, 1, 2, infinity and their negatives (default: 2, `"fro"`).
        ord: Order = Order::Default,
        /// The axes (default: all).
        axis: Axes = Axes::All,
        /// Whether the result keeps the axes, with extent 1 (default: no).
        keepdims: bool = false,
    } = |_, &[x]| {
        let x = float(x);
        let rank = x.shape().len();
        let all: Vec<usize> = (0..rank).collect();
        let axes = match &axis {
            Axes::All => all.clone(),
            Axes::Some(given) => distinct(given, rank)?,
        };
        match axes[..] {
            _ if axis == Axes::All && ord == Order::Default => {
                Ok(keep(x.square().sum(&all).sqrt(), &x.shape(), &all, keepdims))
            }
            [axis] => of_vectors(x, &ord, axis, keepdims),
            [rows, columns] => of_matrices(x, &ord, rows, columns, keepdims),
            _ => Err(wrong(format!("a norm is taken along one axis or two, not {}", axes.len()))),
        }
    };
}

fn of_vectors<'s, 'b>(
    x: Formula<'s, 'b>,
    order: &Order,
    axis: usize,
    keepdims: bool,
) -> Result<Formula<'s, 'b>, TypeError> {
    let over = |kind: Reduction, x: Formula<'s, 'b>| reduce(kind, x, &[axis], keepdims);
    Ok(match *order {
        Order::Default => over(Reduction::Sum, x.square()).sqrt(),
        Order::Named(ref name) => {
            return Err(wrong(format!("vectors have no norm of the order `{name}`, expected a number")));
        }
        Order::Number(2.0) => over(Reduction::Sum, x.square()).sqrt(),
        // of no elements 0
        Order::Number(f64::INFINITY) => over(Reduction::Max, x.abs()).maximum(0.0),
        Order::Number(f64::NEG_INFINITY) => over(Reduction::Min, x.abs()),
        Order::Number(0.0) => over(Reduction::Sum, x.not_equal(0.0).convert(x.ty().dtype)),
        Order::Number(1.0) => over(Reduction::Sum, x.abs()),
        Order::Number(order) => {
            let powers = x.abs().power(x.number(order).broadcast_to(&x.shape()));
            let sum = over(Reduction::Sum, powers);
            sum.power(sum.number(1.0 / order).broadcast_to(&sum.shape()))
        }
    })
}

fn of_matrices<'s, 'b>(
    x: Formula<'s, 'b>,
    order: &Order,
    rows: usize,
    columns: usize,
    keepdims: bool,
) -> Result<Formula<'s, 'b>, TypeError> {
    let both = [rows.min(columns), rows.max(columns)];
    // the sums along one axis, then an extremum along the other
    let of_sums = |sum: usize, other: usize, kind: Reduction| {
        let sums = reduce(Reduction::Sum, x.abs(), &[sum], true);
        keep(sums.reduce(kind, &[other]).reshape(&without(&x.shape(), &both)), &x.shape(), &both, keepdims)
    };
    let of_singular_values = |kind: Reduction| -> Result<Formula<'s, 'b>, TypeError> {
        let mut order: Vec<usize> = (0..x.shape().len()).filter(|axis| !both.contains(axis)).collect();
        order.extend([rows, columns]);
        let [s] = built(x.transpose(&order), |b, x| Ok([b.singular_values(x)?]))?;
        Ok(keep(s.reduce(kind, &[s.shape().len() - 1]), &x.shape(), &both, keepdims))
    };
    Ok(match order {
        Order::Default => keep(x.square().sum(&both).sqrt(), &x.shape(), &both, keepdims),
        Order::Named(name) if name == "fro" || name == "f" => {
            keep(x.square().sum(&both).sqrt(), &x.shape(), &both, keepdims)
        }
        Order::Named(name) if name == "nuc" => of_singular_values(Reduction::Sum)?,
        Order::Number(1.0) => of_sums(rows, columns, Reduction::Max),
        Order::Number(-1.0) => of_sums(rows, columns, Reduction::Min),
        Order::Number(f64::INFINITY) => of_sums(columns, rows, Reduction::Max),
        Order::Number(f64::NEG_INFINITY) => of_sums(columns, rows, Reduction::Min),
        Order::Number(2.0) => of_singular_values(Reduction::Max)?,
        Order::Number(-2.0) => of_singular_values(Reduction::Min)?,
        Order::Number(order) => return Err(no_norm_of_matrices(&order.to_string())),
        Order::Named(name) => return Err(no_norm_of_matrices(&format!("`{name}`"))),
    })
}

fn no_norm_of_matrices(order: &str) -> TypeError {
    wrong(format!(
        "matrices have no norm of the order {order}, expected `fro`, `nuc`, 1, -1, 2, -2, infinity or -infinity"
    ))
}

/// A shape without axes.
fn without(shape: &[kc_ir::Dim], axes: &[usize]) -> Vec<kc_ir::Dim> {
    (0..shape.len()).filter(|axis| !axes.contains(axis)).map(|axis| shape[axis].clone()).collect()
}
