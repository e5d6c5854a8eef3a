//! Contractions.

use super::{Backward, Cotangents, Operation, arity, axis, tensor};
use crate::tensor::interpret::{Array, Data, Evaluation};
use crate::tensor::{Builder, Type, TypeError, Value};
use kc_abi::TensorType;
use serde::{Deserialize, Serialize};

/// The sum over paired axes of products: `result[batch..., lhs free..., rhs free...]` (StableHLO's `dot_general`).
/// Sums of f16 and bf16 accumulate in f32.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DotGeneral {
    /// Batch axes of the left operand, paired in order with `rhs_batch`.
    pub lhs_batch: Vec<usize>,
    /// Batch axes of the right operand.
    pub rhs_batch: Vec<usize>,
    /// Summed axes of the left operand, paired in order with `rhs_contract`.
    pub lhs_contract: Vec<usize>,
    /// Summed axes of the right operand.
    pub rhs_contract: Vec<usize>,
}

impl DotGeneral {
    /// Axes of the left operand that are neither batch nor summed.
    pub fn lhs_free(&self, rank: usize) -> Vec<usize> {
        free(rank, &self.lhs_batch, &self.lhs_contract)
    }
    /// Axes of the right operand that are neither batch nor summed.
    pub fn rhs_free(&self, rank: usize) -> Vec<usize> {
        free(rank, &self.rhs_batch, &self.rhs_contract)
    }
}

fn free(rank: usize, batch: &[usize], contract: &[usize]) -> Vec<usize> {
    (0..rank).filter(|a| !batch.contains(a) && !contract.contains(a)).collect()
}

impl Operation for DotGeneral {
    fn name(&self) -> &'static str {
        "dot_general"
    }
    fn infer(&self, operands: &[&Type]) -> Result<Type, TypeError> {
        let op = "dot_general";
        arity(op, operands, 2)?;
        let (lhs, rhs) = (tensor(op, operands, 0)?, tensor(op, operands, 1)?);
        if lhs.dtype != rhs.dtype {
            return Err(TypeError::new(op, format!("got {lhs} and {rhs}, expected one dtype")));
        }
        if self.lhs_batch.len() != self.rhs_batch.len() || self.lhs_contract.len() != self.rhs_contract.len() {
            return Err(TypeError::new(op, "batch or contracting axes of the two sides differ in number"));
        }
        for (ty, batch, contract) in
            [(lhs, &self.lhs_batch, &self.lhs_contract), (rhs, &self.rhs_batch, &self.rhs_contract)]
        {
            let mut seen = vec![false; ty.rank()];
            for &a in batch.iter().chain(contract) {
                axis(op, a, ty.rank())?;
                if std::mem::replace(&mut seen[a], true) {
                    return Err(TypeError::new(op, format!("axis {a} of {ty} is named twice")));
                }
            }
        }
        for (what, left, right) in
            [("batch", &self.lhs_batch, &self.rhs_batch), ("contracting", &self.lhs_contract, &self.rhs_contract)]
        {
            for (&l, &r) in left.iter().zip(right) {
                if lhs.shape[l] != rhs.shape[r] {
                    return Err(TypeError::new(
                        op,
                        format!(
                            "{what} axis {l} of {lhs} has extent {}, axis {r} of {rhs} has {}",
                            lhs.shape[l], rhs.shape[r]
                        ),
                    ));
                }
            }
        }
        let batch = self.lhs_batch.iter().map(|&a| lhs.shape[a].clone());
        let left = self.lhs_free(lhs.rank()).into_iter().map(|a| lhs.shape[a].clone());
        let right = self.rhs_free(rhs.rank()).into_iter().map(|a| rhs.shape[a].clone());
        Ok(Type::Tensor(TensorType { dtype: lhs.dtype, shape: batch.chain(left).chain(right).collect() }))
    }
    /// Each side's cotangent is the contraction of the result's cotangent with the other side over the other's free axes.
    fn gradient(&self, b: &mut Builder, at: &Backward<'_>) -> Result<Cotangents, TypeError> {
        let g = at.cotangent("dot_general")?;
        let (lhs, rhs) = (at.operands[0], at.operands[1]);
        let (lhs_rank, rhs_rank) = (b.tensor_type(lhs).rank(), b.tensor_type(rhs).rank());
        let batch = self.lhs_batch.len();
        let left = batch..batch + self.lhs_free(lhs_rank).len();
        let right = left.end..b.tensor_type(g).rank();
        let by_lhs = Side { batch: &self.lhs_batch, contract: &self.lhs_contract, free: self.lhs_free(lhs_rank) };
        let by_rhs = Side { batch: &self.rhs_batch, contract: &self.rhs_contract, free: self.rhs_free(rhs_rank) };
        let cotangent = |b: &mut Builder, wanted: bool, side: &Side<'_>, other: Value, of_other: &Side<'_>, axes| {
            if wanted { side.cotangent(b, g, axes, other, of_other).map(Some) } else { Ok(None) }
        };
        Ok(vec![
            cotangent(b, at.wanted[0], &by_lhs, rhs, &by_rhs, right)?,
            cotangent(b, at.wanted[1], &by_rhs, lhs, &by_lhs, left)?,
        ])
    }
    fn evaluate(&self, at: &Evaluation<'_>) -> Result<Vec<Array>, String> {
        let (lhs, rhs) = (&at.operands[0], &at.operands[1]);
        let (lhs_free, rhs_free) = (self.lhs_free(lhs.shape().len()), self.rhs_free(rhs.shape().len()));
        // both as [batch, free, contracted]
        let lhs = lhs.transposed(&[&self.lhs_batch[..], &lhs_free, &self.lhs_contract].concat())?;
        let rhs = rhs.transposed(&[&self.rhs_batch[..], &rhs_free, &self.rhs_contract].concat())?;
        let count = |shape: &[usize]| shape.iter().product::<usize>();
        let (batch, left) = (self.lhs_batch.len(), self.lhs_batch.len() + lhs_free.len());
        let k = count(&lhs.shape()[left..]);
        let (m, n) = (count(&lhs.shape()[batch..left]), count(&rhs.shape()[batch..batch + rhs_free.len()]));
        let rows = |i: usize| {
            let (batch, row, column) = (i / (m * n), i / n % m, i % n);
            ((batch * m + row) * k, (batch * n + column) * k)
        };
        let elements = 0..count(at.shape());
        at.result(match (lhs.data(), rhs.data()) {
            (Data::Float(a), Data::Float(b)) => {
                let dot = |i: usize| {
                    let (a_row, b_row) = rows(i);
                    a[a_row..a_row + k].iter().zip(&b[b_row..b_row + k]).map(|(a, b)| a * b).sum()
                };
                Data::Float(elements.map(dot).collect())
            }
            (Data::Int(a), Data::Int(b)) => {
                let dot = |i: usize| {
                    let (a_row, b_row) = rows(i);
                    let products =
                        a[a_row..a_row + k].iter().zip(&b[b_row..b_row + k]).map(|(a, b)| a.wrapping_mul(*b));
                    products.fold(0, i128::wrapping_add)
                };
                Data::Int(elements.map(dot).collect())
            }
            _ => return Err("the operands are of different kinds".into()),
        })
    }
}

/// The axes of one side of a contraction.
struct Side<'a> {
    batch: &'a [usize],
    contract: &'a [usize],
    free: Vec<usize>,
}

impl Side<'_> {
    /// The cotangent of this side, where `axes` are the axes of the result's cotangent `g` that are the other side's free axes.
    fn cotangent(
        &self,
        b: &mut Builder,
        g: Value,
        axes: std::ops::Range<usize>,
        other: Value,
        of_other: &Side<'_>,
    ) -> Result<Value, TypeError> {
        let product = DotGeneral {
            lhs_batch: (0..self.batch.len()).collect(),
            rhs_batch: of_other.batch.to_vec(),
            lhs_contract: axes.collect(),
            rhs_contract: of_other.free.clone(),
        };
        let product = b.add(product, &[g, other])?;
        // its axes: batch, this side's free ones, then the other side's contracted ones, ascending
        let mut pairs: Vec<(usize, usize)> =
            of_other.contract.iter().copied().zip(self.contract.iter().copied()).collect();
        pairs.sort_unstable();
        let axes = self.batch.iter().chain(&self.free).copied().chain(pairs.into_iter().map(|(_, own)| own));
        let mut permutation = vec![0; b.tensor_type(product).rank()];
        axes.enumerate().for_each(|(position, axis)| permutation[axis] = position);
        b.transpose(product, &permutation)
    }
}
