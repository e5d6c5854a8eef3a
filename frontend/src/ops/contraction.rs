//! Contractions.

use super::arguments::{Axes, axis as counted, distinct, wrong};
use super::declare::functions;
use super::formulas::{at, flat, with_axis};
use super::movement::Integers;
use super::promotion::{promote, promote_float};
use kc_ir::tensor::ops::{Convolution, ConvolutionAxes, DotGeneral};
use kc_ir::tensor::{Tensor as Formula, TypeError, broadcast_shapes};
use kc_ir::{DType, Dim};

functions! {
    /// The matrix product over the last axis of `x1` and the last but one of `x2` (the last, if it has one axis); leading axes are
    /// broadcast. Of two `int8` operands the result is `int32`.
    matmul Matmul(x1, x2) = |_, &[a, b]| {
        let [a, b] = widened(promote([a, b]));
        product(a, b)
    };
    /// The sum over the last axis of `x1` and the last but one of `x2`, for all pairs of the others; of scalars the product.
    dot Dot(x1, x2) = |_, &[a, b]| {
        let [a, b] = promote([a, b]);
        let (left, right) = (a.shape().len(), b.shape().len());
        if left == 0 || right == 0 {
            return Ok(vec![a * b]);
        }
        contract(a, b, vec![left - 1], vec![right.saturating_sub(2)])
    };
    /// The sum over the last axes of both, for all pairs of the others.
    inner Inner(x1, x2) = |_, &[a, b]| {
        let [a, b] = promote([a, b]);
        let (left, right) = (a.shape().len(), b.shape().len());
        if left == 0 || right == 0 {
            return Ok(vec![a * b]);
        }
        contract(a, b, vec![left - 1], vec![right - 1])
    };
    /// The sum of the products of all elements.
    vdot Vdot(x1, x2) = |_, &[a, b]| {
        let [a, b] = promote([a, b]);
        contract(flat(a), flat(b), vec![0], vec![0])
    };
    /// The products of all pairs of elements: a matrix.
    outer Outer(x1, x2) = |_, &[a, b]| {
        let [a, b] = promote([a, b]);
        let (a, b) = (flat(a), flat(b));
        let shape = [a.shape()[0].clone(), b.shape()[0].clone()];
        a.broadcast(&shape, &[0]) * b.broadcast(&shape, &[1])
    };
    /// The sum over axes of both, for all pairs of the others.
    tensordot Tensordot(x1, x2) {
        /// The axes: that many last ones of `x1` and first ones of `x2`, or those of `x1` and those of `x2` (default: 2).
        axes: ContractedAxes = ContractedAxes::from(2),
    } = |_, &[a, b]| {
        let [a, b] = promote([a, b]);
        let (left, right) = (a.shape().len(), b.shape().len());
        let (of_left, of_right) = match axes {
            ContractedAxes::Adjacent(count) => match usize::try_from(count) {
                Ok(count) if count <= left && count <= right => {
                    ((left - count..left).collect(), (0..count).collect())
                }
                _ => return Err(wrong(format!("`axes` is {count}, expected at most the number of axes of each"))),
            },
            ContractedAxes::Pairs(of_left, of_right) => (distinct(&of_left, left)?, distinct(&of_right, right)?),
        };
        contract(a, b, of_left, of_right)
    };
    /// The Kronecker product: every element of `x1` times the whole of `x2`.
    kron Kron(x1, x2) = |_, &[a, b]| {
        let [mut a, mut b] = promote([a, b]);
        while a.shape().len() < b.shape().len() {
            a = with_axis(a, 0);
        }
        while b.shape().len() < a.shape().len() {
            b = with_axis(b, 0);
        }
        let (left, right) = (a.shape(), b.shape());
        let rank = left.len();
        let spread: Vec<Dim> = (0..rank).flat_map(|axis| [left[axis].clone(), right[axis].clone()]).collect();
        let [even, odd] = [0, 1].map(|first| (0..rank).map(|axis| 2 * axis + first).collect::<Vec<usize>>());
        let result: Vec<Dim> = (0..rank).map(|axis| left[axis].clone() * right[axis].clone()).collect();
        (a.broadcast(&spread, &even) * b.broadcast(&spread, &odd)).reshape(&result)
    };
    /// The cross product of vectors of 3 or 2 elements; of two of 2 elements the third component alone.
    cross Cross(x1, x2) {
        /// The axis of the vectors in `x1` (default: the last).
        axisa: i64 = -1,
        /// The axis of the vectors in `x2` (default: the last).
        axisb: i64 = -1,
        /// The axis of the vectors in the result (default: the last).
        axisc: i64 = -1,
        /// One axis for all three (default: none).
        axis: Axes = Axes::All,
    } = |scope, &[a, b]| {
        let [a, b] = promote([a, b]);
        let (left, right) = (a.shape().len(), b.shape().len());
        let (axisa, axisb, axisc) = match axis {
            Axes::All => (axisa, axisb, axisc),
            Axes::Some(given) => match given[..] {
                [axis] => (axis, axis, axis),
                _ => return Err(wrong(format!("`axis` is {given:?}, expected one axis"))),
            },
        };
        let (of_left, of_right) = (counted(axisa, left)?, counted(axisb, right)?);
        let [count_left, count_right] = [a.shape()[of_left].clone(), b.shape()[of_right].clone()];
        if ![&count_left, &count_right].into_iter().all(|count| count.is(2) || count.is(3)) {
            return Err(wrong(format!("the vectors have {count_left} and {count_right} elements, expected 2 or 3")));
        }
        let part = |x: Formula<'s, 'b>, axis: usize, i: i64| {
            if x.shape()[axis].is(i) { at(x, axis, 0i64).zeros_like() } else { at(x, axis, i) }
        };
        let component = |i: i64, j: i64| {
            part(a, of_left, i) * part(b, of_right, j) - part(a, of_left, j) * part(b, of_right, i)
        };
        if count_left.is(2) && count_right.is(2) {
            return Ok(vec![component(0, 1)]);
        }
        let parts = [component(1, 2), component(2, 0), component(0, 1)];
        let axis = counted(axisc, parts[0].shape().len() + 1)?;
        super::formulas::concatenate(scope, &parts.map(|part| with_axis(part, axis)), axis)
    };
    /// The cross-correlation of two vectors, `sum over n of x1[n + k] x2[n]`.
    correlate Correlate(x1, x2) {
        /// For which `k`: `"valid"` (all products exist), `"same"` (as many as the longer has), `"full"` (some product exists).
        /// Default: `"valid"`.
        mode: String = "valid".to_string(),
    } = |scope, &[a, b]| {
        let [a, b] = promote_float([a, b]);
        let (left, right) = (a.shape(), b.shape());
        let ([first], [second]) = (&left[..], &right[..]) else {
            return Err(wrong("expected two vectors"));
        };
        let (Some(first), Some(second)) = (first.as_constant(), second.as_constant()) else {
            return Err(wrong("the vectors must have known extents"));
        };
        if first == 0 || second == 0 {
            return Err(wrong("a vector has no elements"));
        }
        let is_swapped = first < second;
        let (long, short, width) = if is_swapped { (b, a, first) } else { (a, b, second) };
        let padding = match mode.as_str() {
            "valid" => (0, 0),
            "same" => (width / 2, width - width / 2 - 1),
            "full" => (width - 1, width - 1),
            other => return Err(wrong(format!("`mode` is `{other}`, expected `valid`, `same` or `full`"))),
        };
        let op = Convolution {
            axes: ConvolutionAxes::channels_last(1),
            strides: vec![1],
            padding: vec![padding],
            lhs_dilation: vec![1],
            rhs_dilation: vec![1],
            feature_groups: 1,
            batch_groups: 1,
        };
        let long = with_axis(with_axis(long, 0), 2);
        let result = flat(scope.op(op, &[long, with_axis(with_axis(short, 1), 2)]));
        if is_swapped { super::formulas::reverse(result, &[0]) } else { result }
    };
}

/// The axes of [`tensordot`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContractedAxes {
    /// That many last ones of the first and first ones of the second.
    Adjacent(i64),
    /// Those of the first, and those of the second.
    Pairs(Vec<i64>, Vec<i64>),
}

impl From<i32> for ContractedAxes {
    fn from(count: i32) -> Self {
        ContractedAxes::Adjacent(count.into())
    }
}
impl<A: Into<Integers>, B: Into<Integers>> From<(A, B)> for ContractedAxes {
    fn from((a, b): (A, B)) -> Self {
        ContractedAxes::Pairs(a.into().values, b.into().values)
    }
}

/// `int8` as `int32`, in which Keras has its products.
pub(super) fn widened<'s, 'b, const N: usize>(xs: [Formula<'s, 'b>; N]) -> [Formula<'s, 'b>; N] {
    xs.map(|x| if x.ty().dtype == DType::I8 { x.convert(DType::I32) } else { x })
}

/// The sum over paired axes, for all pairs of the others.
pub(super) fn contract<'s, 'b>(
    a: Formula<'s, 'b>,
    b: Formula<'s, 'b>,
    lhs_contract: Vec<usize>,
    rhs_contract: Vec<usize>,
) -> Result<Formula<'s, 'b>, TypeError> {
    let (left, right) = (a.shape(), b.shape());
    if lhs_contract.len() != rhs_contract.len() {
        return Err(wrong(format!(
            "{} axes of the first and {} of the second",
            lhs_contract.len(),
            rhs_contract.len()
        )));
    }
    for (&i, &j) in lhs_contract.iter().zip(&rhs_contract) {
        if left[i] != right[j] {
            return Err(wrong(format!(
                "axis {i} of the first has the extent {}, axis {j} of the second {}: expected equal ones",
                left[i], right[j]
            )));
        }
    }
    Ok(dot_general(DotGeneral { lhs_batch: vec![], rhs_batch: vec![], lhs_contract, rhs_contract }, a, b))
}

/// A contraction; of bools, whether any pair holds.
pub(super) fn dot_general<'s, 'b>(op: DotGeneral, a: Formula<'s, 'b>, b: Formula<'s, 'b>) -> Formula<'s, 'b> {
    if a.ty().dtype == DType::Bool {
        return a.scope().op(op, &[a, b].map(|x| x.convert(DType::I32))).not_equal(0.0);
    }
    a.scope().op(op, &[a, b])
}

/// The matrix product as numpy has it.
pub(super) fn product<'s, 'b>(a: Formula<'s, 'b>, b: Formula<'s, 'b>) -> Result<Formula<'s, 'b>, TypeError> {
    let (left, right) = (a.shape(), b.shape());
    if left.is_empty() || right.is_empty() {
        return Err(wrong("a scalar has no matrix product, expected at least one axis of each: use `multiply`"));
    }
    let contracted = right.len().saturating_sub(2);
    let (left_batch, right_batch) = (&left[..left.len().saturating_sub(2)], &right[..contracted]);
    if left_batch.is_empty() || right_batch.is_empty() {
        let result = contract(a, b, vec![left.len() - 1], vec![contracted])?;
        // free axes of the left come first: the right's leading ones belong before the left's row
        let rank = result.shape().len();
        let rows = left.len() - 1;
        let permutation: Vec<usize> = (rows..rows + contracted).chain(0..rows).chain(rows + contracted..rank).collect();
        return Ok(result.transpose(&permutation));
    }
    let batch = broadcast_shapes(left_batch, right_batch)
        .ok_or_else(|| wrong("the leading axes cannot be broadcast to each other"))?;
    let [a, b] =
        [(a, &left), (b, &right)].map(|(x, shape)| x.broadcast_to(&[&batch[..], &shape[shape.len() - 2..]].concat()));
    let (rank, axes) = (batch.len(), (0..batch.len()).collect::<Vec<usize>>());
    if a.shape()[rank + 1] != b.shape()[rank] {
        return Err(wrong(format!(
            "the last axis of the first has the extent {}, axis {contracted} of the second {}: expected equal ones",
            left[left.len() - 1],
            right[contracted]
        )));
    }
    let op =
        DotGeneral { lhs_batch: axes.clone(), rhs_batch: axes, lhs_contract: vec![rank + 1], rhs_contract: vec![rank] };
    Ok(dot_general(op, a, b))
}
