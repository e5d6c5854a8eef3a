//! Scaled dot-product attention.

use super::layer_norm::computed_in;
use super::{Composition, Dropout, Softmax};
use crate::tensor::ops::{Backward, Compare, Cotangents, DotGeneral, Iota, Reduction};
use crate::tensor::{Builder, Real, Scope, Tensor, TypeError, Value, express};
use kc_abi::{DType, TensorType};
use serde::{Deserialize, Serialize};

/// `keras.ops.dot_product_attention`: operands are queries `[B, T, N, H]`, keys `[B, S, N, H]`, values `[B, S, N, V]`, then a bias and
/// a mask (bool) that broadcast to `[B, N, T, S]`, and a key `u32[2]` where there is dropout; results are
/// `y[b, t, n] = sum over s of p[b, n, t, s] * values[b, s, n]` with `p = softmax over s of scale * queries . keys + bias`, and the
/// largest score and the sum of `exp(score - largest)` of each row, `[B, N, T]`.
///
/// An excluded score is a large negative number: a row in which all are has equal probabilities, if those are not set to zero
/// (`zero_excluded`, as `keras.layers.Softmax` with a mask does). Scores narrower than f32 are computed in f32; `y` has the dtype of the queries.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DotProductAttention {
    /// The factor of the products.
    pub scale: Real,
    /// Whether a position attends only to those that are not after it.
    pub causal: bool,
    /// Whether there is a bias.
    pub bias: bool,
    /// Whether there is a mask.
    pub mask: bool,
    /// Whether what is excluded has the probability 0 also in a row in which everything is.
    pub zero_excluded: bool,
    /// The fraction of probabilities that is set to zero at random; there is no key where it is 0.
    pub dropout: Real,
}

/// The derivatives of [`DotProductAttention`] by the queries, the keys and the values. Operands are those of the attention, its two
/// statistics, the sums `[B, N, T]` over the last axis of the result times its cotangent, and that cotangent. Probabilities are
/// computed again.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DotProductAttentionGradient {
    /// The attention.
    pub attention: DotProductAttention,
}

/// The operands by name.
struct Operands<'s, 'b> {
    query: Tensor<'s, 'b>,
    key: Tensor<'s, 'b>,
    value: Tensor<'s, 'b>,
    bias: Option<Tensor<'s, 'b>>,
    mask: Option<Tensor<'s, 'b>>,
    seed: Option<Tensor<'s, 'b>>,
}

impl DotProductAttention {
    /// Number of operands.
    pub fn operands(&self) -> usize {
        3 + usize::from(self.bias) + usize::from(self.mask) + usize::from(self.dropout.0 > 0.0)
    }

    fn check(&self, b: &Builder, op: &str, operands: &[Value], expected: usize) -> Result<(), TypeError> {
        if operands.len() != expected {
            return Err(TypeError::new(op, format!("expected {expected} operands, got {}", operands.len())));
        }
        let [query, key, value] = [0, 1, 2].map(|position| b.tensor_type(operands[position]));
        let four =
            [query, key, value].iter().all(|ty| ty.rank() == 4 && ty.dtype == query.dtype && ty.dtype.is_float());
        let same =
            |a: &TensorType, b: &TensorType, axes: &[usize]| axes.iter().all(|&axis| a.shape[axis] == b.shape[axis]);
        if !four || !same(query, key, &[0, 2, 3]) || !same(key, value, &[0, 1, 2]) {
            return Err(TypeError::new(
                op,
                format!(
                    "got queries {query}, keys {key} and values {value}, expected [B, T, N, H], [B, S, N, H] and [B, S, N, V] \
                     of one floating-point dtype"
                ),
            ));
        }
        if !(0.0..1.0).contains(&self.dropout.0) {
            return Err(TypeError::new(
                op,
                format!("the rate of dropout is {}, expected 0 or more, below 1", self.dropout.0),
            ));
        }
        Ok(())
    }

    fn named<'s, 'b>(&self, scope: &'s Scope<'b>, operands: &[Value]) -> Operands<'s, 'b> {
        let mut rest = operands[3..].iter().map(|&value| scope.tensor(value));
        let [query, key, value] = [0, 1, 2].map(|position| {
            let given = scope.tensor(operands[position]);
            given.convert(computed_in(given.ty().dtype))
        });
        let bias = if self.bias { rest.next() } else { None };
        let mask = if self.mask { rest.next() } else { None };
        Operands { query, key, value, bias, mask, seed: if self.dropout.0 > 0.0 { rest.next() } else { None } }
    }

    /// The scores `[B, N, T, S]`, those that are excluded replaced.
    fn scores<'s, 'b>(&self, scope: &'s Scope<'b>, of: &Operands<'s, 'b>) -> Tensor<'s, 'b> {
        let scores = scope.op(products(&[0, 2], &[0, 2], &[3], &[3]), &[of.query, of.key]) * self.scale.0;
        let scores =
            of.bias.map_or(scores, |bias| scores + bias.convert(scores.ty().dtype).broadcast_to(&scores.shape()));
        self.kept(scope, of, scores, large_negative(scores.ty().dtype))
    }

    /// Scores, with a number in the place of those that are excluded.
    fn kept<'s, 'b>(
        &self,
        scope: &'s Scope<'b>,
        of: &Operands<'s, 'b>,
        scores: Tensor<'s, 'b>,
        otherwise: f64,
    ) -> Tensor<'s, 'b> {
        let shape = scores.shape();
        let mask = of.mask.map(|mask| mask.broadcast_to(&shape));
        let causal = self.causal.then(|| {
            let ty = TensorType { dtype: DType::I32, shape: shape[2..].to_vec() };
            let [row, column] = [0, 1].map(|axis| scope.op(Iota { ty: ty.clone(), axis }, &[]));
            scope.op(Compare::LessEqual, &[column, row]).broadcast_to(&shape)
        });
        match (mask, causal) {
            (Some(mask), Some(causal)) => mask.and(causal).select(scores, otherwise),
            (Some(kept), None) | (None, Some(kept)) => kept.select(scores, otherwise),
            (None, None) => scores,
        }
    }

    /// Probabilities, where excluded ones are to be 0 with that.
    fn zeroed<'s, 'b>(
        &self,
        scope: &'s Scope<'b>,
        of: &Operands<'s, 'b>,
        probabilities: Tensor<'s, 'b>,
    ) -> Tensor<'s, 'b> {
        if self.zero_excluded { self.kept(scope, of, probabilities, 0.0) } else { probabilities }
    }

    /// The probabilities `[B, N, T, S]` before dropout, of the attention's operands, for those who want to see them.
    pub fn probabilities(&self, b: &mut Builder, operands: &[Value]) -> Result<Value, TypeError> {
        self.check(b, "dot_product_attention", operands, self.operands())?;
        express(b, |scope| {
            let of = self.named(scope, operands);
            let scores = self.scores(scope, &of);
            let probabilities = scope.op(Softmax { axis: 3 }, &[scores]);
            self.zeroed(scope, &of, probabilities).value()
        })
    }

    fn dropped<'s, 'b>(&self, scope: &'s Scope<'b>, of: &Operands<'s, 'b>, x: Tensor<'s, 'b>) -> Tensor<'s, 'b> {
        of.seed.map_or(x, |seed| scope.op(Dropout { rate: self.dropout }, &[x, seed]))
    }

    /// Probabilities before and after dropout, from the statistics of the rows, and the derivative by the scores.
    fn derivative<'s, 'b>(
        &self,
        scope: &'s Scope<'b>,
        of: &Operands<'s, 'b>,
        [largest, sum, delta, g]: [Tensor<'s, 'b>; 4],
    ) -> [Tensor<'s, 'b>; 2] {
        let scores = self.scores(scope, of);
        let shape = scores.shape();
        let [largest, sum, delta] = [largest, sum, delta].map(|statistic| statistic.broadcast_along(&shape, &[3]));
        let probabilities = self.zeroed(scope, of, (scores - largest).exp() / sum);
        let by_dropped = scope.op(products(&[0, 2], &[0, 2], &[3], &[3]), &[g, of.value]);
        let by_probabilities = self.dropped(scope, of, by_dropped);
        let by_scores = probabilities * (by_probabilities - delta);
        let by_scores = if self.mask { self.kept(scope, of, by_scores, 0.0) } else { by_scores };
        [self.dropped(scope, of, probabilities), by_scores]
    }

    /// The statistics, sums and cotangent behind the attention's operands.
    fn given<'s, 'b>(&self, scope: &'s Scope<'b>, operands: &[Value], of: &Operands<'s, 'b>) -> [Tensor<'s, 'b>; 4] {
        let first = self.operands();
        let given = [0, 1, 2, 3].map(|index| scope.tensor(operands[first + index]));
        given.map(|tensor| tensor.convert(of.query.ty().dtype))
    }

    /// The derivative by the bias: that by the scores, summed over the axes along which the bias is repeated.
    fn bias_gradient(&self, b: &mut Builder, operands: &[Value]) -> Result<Value, TypeError> {
        express(b, |scope| {
            let of = self.named(scope, operands);
            let given = self.given(scope, operands, &of);
            let [_, by_scores] = self.derivative(scope, &of, given);
            let bias = scope.tensor(operands[3]).ty();
            let missing = 4 - bias.rank();
            let scores = by_scores.shape();
            let repeated = |&axis: &usize| axis < missing || bias.shape[axis - missing].is(1) && !scores[axis].is(1);
            let axes: Vec<usize> = (0..4).filter(repeated).collect();
            by_scores.sum(&axes).reshape(&bias.shape).convert(bias.dtype).value()
        })
    }
}

/// A contraction.
fn products(lhs_batch: &[usize], rhs_batch: &[usize], lhs_contract: &[usize], rhs_contract: &[usize]) -> DotGeneral {
    DotGeneral {
        lhs_batch: lhs_batch.to_vec(),
        rhs_batch: rhs_batch.to_vec(),
        lhs_contract: lhs_contract.to_vec(),
        rhs_contract: rhs_contract.to_vec(),
    }
}

/// What excluded scores are: 0.7 of the smallest finite number, as JAX has it.
fn large_negative(dtype: DType) -> f64 {
    -0.7 * if dtype == DType::F64 { f64::MAX } else { f64::from(f32::MAX) }
}

impl Composition for DotProductAttention {
    fn name(&self) -> &'static str {
        "dot_product_attention"
    }

    fn body(&self, b: &mut Builder, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
        self.check(b, self.name(), operands, self.operands())?;
        express(b, |scope| {
            let of = self.named(scope, operands);
            let scores = self.scores(scope, &of);
            let shape = scores.shape();
            let largest = scores.reduce(Reduction::Max, &[3]);
            let powers = (scores - largest.broadcast_along(&shape, &[3])).exp();
            let sum = powers.sum(&[3]);
            let probabilities = powers / sum.broadcast_along(&shape, &[3]);
            let probabilities = self.zeroed(scope, &of, probabilities);
            let probabilities = self.dropped(scope, &of, probabilities);
            let y = scope.op(products(&[0, 1], &[0, 2], &[3], &[1]), &[probabilities, of.value]);
            let y = y.transpose(&[0, 2, 1, 3]).convert(scope.tensor(operands[0]).ty().dtype);
            [y, largest, sum].map(Tensor::value).to_vec()
        })
    }

    /// By [`DotProductAttentionGradient`]; by the bias in primitives. The statistics' own derivatives are those of the body.
    fn gradient(&self, b: &mut Builder, at: &Backward<'_>) -> Result<Option<Cotangents>, TypeError> {
        let [Some(g), None, None] = *at.cotangents else { return Ok(None) };
        let delta = express(b, |scope| {
            let [y, g] = [at.results[0], g].map(|value| scope.tensor(value));
            let dtype = computed_in(y.ty().dtype);
            (y.convert(dtype) * g.convert(dtype)).sum(&[3]).transpose(&[0, 2, 1]).value()
        })?;
        let operands: Vec<Value> =
            at.operands.iter().copied().chain([at.results[1], at.results[2], delta, g]).collect();
        let mut cotangents = at.none();
        if at.wanted[..3].contains(&true) {
            let all = b.add(DotProductAttentionGradient { attention: self.clone() }, &operands)?;
            let all = b.projections(all)?;
            cotangents.iter_mut().zip(all).for_each(|(cotangent, value)| *cotangent = Some(value));
        }
        if self.bias && at.wanted[3] {
            cotangents[3] = Some(self.bias_gradient(b, &operands)?);
        }
        Ok(Some(cotangents))
    }
}

impl Composition for DotProductAttentionGradient {
    fn name(&self) -> &'static str {
        "dot_product_attention_gradient"
    }

    fn body(&self, b: &mut Builder, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
        let attention = &self.attention;
        attention.check(b, self.name(), operands, attention.operands() + 4)?;
        express(b, |scope| {
            let of = attention.named(scope, operands);
            let given = attention.given(scope, operands, &of);
            let [probabilities, by_scores] = attention.derivative(scope, &of, given);
            let by_products = by_scores * attention.scale.0;
            let by_query = scope.op(products(&[0, 1], &[0, 2], &[3], &[1]), &[by_products, of.key]);
            let by_key = scope.op(products(&[0, 1], &[0, 2], &[2], &[1]), &[by_products, of.query]);
            let by_value = scope.op(products(&[0, 1], &[0, 2], &[2], &[1]), &[probabilities, given[3]]);
            let dtype = scope.tensor(operands[0]).ty().dtype;
            [by_query, by_key, by_value].map(|by| by.transpose(&[0, 2, 1, 3]).convert(dtype).value()).to_vec()
        })
    }
}
