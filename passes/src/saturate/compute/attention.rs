//! Attention, of the products and the softmax that it was written as.

use super::Arguments;
use crate::simplify;
use kc_ir::tensor::composites::{Composite, DotProductAttention};
use kc_ir::tensor::{Builder, Graph, Op, Real, Value};
use kc_ir::{DType, Dim};

/// An operand of a product: its axes that the product has too, that of positions, that of features.
struct Axes {
    batch: Vec<usize>,
    position: usize,
    features: usize,
}

fn only(axes: &[usize]) -> Option<usize> {
    if let [axis] = axes { Some(*axis) } else { None }
}

/// `outer(softmax(inner(q, k) * scale + bias), v)` as attention, where the scores are `[batch.., rows, columns]` with two axes of a batch at
/// most, and the softmax is along the columns, by which the outer product sums. Attributes are those of the outer product, of the softmax
/// and of the inner product; `scale` is the position of the scale's, the operands follow.
pub(super) fn of_products(a: &Arguments, scale: Option<usize>) -> Option<(Graph, usize)> {
    let (outer, inner) = (a.contraction(0)?, a.contraction(2)?);
    let Op::Composite(Composite::Softmax(softmax)) = a.op(1)? else { return None };
    let first = scale.map_or(3, |position| position + 1);
    let scale = scale.map_or(Some(1.0), |position| Some(a.splat(position)?.get(0).to_f64()))?;
    let [query, key, value] = [a.ty(first)?, a.ty(first + 1)?, a.ty(first + 2)?];
    let batch = inner.lhs_batch.len();
    let columns = batch + 1;
    let fits = batch <= 2
        && matches!(query.dtype, DType::F32 | DType::F64)
        && softmax.axis == columns
        && outer.lhs_batch.iter().copied().eq(0..batch)
        && outer.lhs_contract == [columns];
    if !fits {
        return None;
    }
    let axes = [
        Axes {
            batch: inner.lhs_batch.clone(),
            position: only(&inner.lhs_free(query.rank()))?,
            features: only(&inner.lhs_contract)?,
        },
        Axes {
            batch: inner.rhs_batch.clone(),
            position: only(&inner.rhs_free(key.rank()))?,
            features: only(&inner.rhs_contract)?,
        },
        Axes {
            batch: outer.rhs_batch.clone(),
            position: only(&outer.rhs_contract)?,
            features: only(&outer.rhs_free(value.rank()))?,
        },
    ];
    let mut b = Builder::new();
    let operands = a.parameters(&mut b, first)?;
    let mut given: Vec<Value> =
        operands.iter().zip(&axes).map(|(&operand, axes)| laid(&mut b, operand, axes)).collect::<Option<_>>()?;
    let mut scores = b.tensor_type(given[0]).shape.clone();
    scores.swap(1, 2);
    scores[3] = b.tensor_type(given[1]).shape[1].clone();
    for &bias in &operands[3..] {
        given.push(b.reshape(bias, &scores).ok()?);
    }
    let attention = DotProductAttention {
        scale: Real(scale),
        causal: false,
        bias: operands.len() > 3,
        mask: false,
        zero_excluded: false,
        dropout: Real(0.0),
    };
    let all = b.add(attention, &given).ok()?;
    let heads_inside = b.projections(all).ok()?[0];
    // `[batch, rows, heads, features]`, as the product has it
    let heads_outside = b.transpose(heads_inside, &[0, 2, 1, 3]).ok()?;
    let shape = b.tensor_type(heads_outside).shape.clone();
    let result = b.reshape(heads_outside, &[&shape[..batch], &shape[2..]].concat()).ok()?;
    Some((simplify(&b.finish(vec![result])), first))
}

/// An operand as attention takes it, `[batch, positions, heads, features]`; a batch or heads that it lacks are one.
fn laid(b: &mut Builder, operand: Value, axes: &Axes) -> Option<Value> {
    let order: Vec<usize> = match axes.batch[..] {
        [] => vec![axes.position, axes.features],
        [batch] => vec![batch, axes.position, axes.features],
        [batch, heads] => vec![batch, axes.position, heads, axes.features],
        _ => return None,
    };
    let ordered = b.transpose(operand, &order).ok()?;
    let mut shape = b.tensor_type(ordered).shape.clone();
    if axes.batch.is_empty() {
        shape.insert(0, Dim::constant(1));
    }
    if axes.batch.len() < 2 {
        shape.insert(2, Dim::constant(1));
    }
    b.reshape(ordered, &shape).ok()
}
