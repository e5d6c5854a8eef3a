//! Binomial numbers of `jax.random`: by inversion where few successes are expected, else by rejection.

use super::Composition;
use super::random::{RandomUniform, check_key};
use super::random_choices::child;
use super::random_gamma::{any, no_derivative};
use super::random_values::Floats;
use crate::tensor::ops::{Backward, Cotangents};
use crate::tensor::{Builder, Real, Tensor, TypeError, Value, express};
use kc_abi::{DType, Dim};
use serde::{Deserialize, Serialize};

/// `jax.random.binomial`: numbers of successes. Operands: the numbers of trials and the probabilities of a success, of one
/// floating-point type, and a key `u32[2]`. NaN where a probability is below 0 or NaN, or a number of trials is below 0.
///
/// By the gaps between successes (Devroye, 1986) up to 10 expected successes, else by the transformed rejection BTRS (Hörmann, 1993).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomBinomial {
    /// The result's dtype: f16, bf16, f32 or f64.
    pub dtype: DType,
}

impl Composition for RandomBinomial {
    fn name(&self) -> &'static str {
        "random_binomial"
    }

    fn body(&self, b: &mut Builder, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
        let [count, probability, key] = b.operands(self.name(), operands)?;
        check_key(b, self.name(), key)?;
        if b.tensor_type(count) != b.tensor_type(probability) {
            let (count, probability) = (b.tensor_type(count), b.tensor_type(probability));
            let message = format!("the trials are {count}, the probabilities {probability}, expected one type");
            return Err(TypeError::new(self.name(), message));
        }
        Floats::of(self.name(), self.dtype)?;
        let drawn = Draws { dtype: Floats::of(self.name(), b.tensor_type(count).dtype)?.dtype, key };
        let [few, of_few, of_many, q, q_of_many] = express(b, |scope| {
            let [count, probability] = [count, probability].map(|value| scope.tensor(value));
            let q = probability.less(0.5).select(probability, 1.0 - probability);
            let q = q.not_equal(q).or(q.less(0.0)).select(q.number(0.01).broadcast_to(&q.shape()), q);
            // the result is known: neither loop waits for it
            let known = count.not_equal(count).or(count.less(0.0)).or(count.equal(f64::INFINITY));
            let few = known.or((count * q).less_equal(10.0));
            let count = known.select(count.zeros_like(), count.floor());
            let like = |value: f64| count.number(value).broadcast_to(&count.shape());
            [few, few.select(count, 0.0), few.select(like(1e4), count), q, few.select(like(0.5), q)].map(Tensor::value)
        })?;
        let by_gaps = drawn.by_gaps(b, of_few, q)?;
        let by_rejection = drawn.by_rejection(b, of_many, q_of_many)?;
        express(b, |scope| {
            let [count, probability, few, by_gaps, by_rejection] =
                [count, probability, few, by_gaps, by_rejection].map(|value| scope.tensor(value));
            let [by_gaps, by_rejection] = [by_gaps, by_rejection].map(|x| x.convert(self.dtype));
            let (less, count_is_invalid) = (probability.less(0.5), count.not_equal(count).or(count.less(0.0)));
            let (infinite, q_is_nan) = (count.equal(f64::INFINITY), probability.not_equal(probability));
            let q = less.select(probability, 1.0 - probability);
            let invalid = q.less(0.0).or(q_is_nan).or(count_is_invalid);
            let sample = few.select(by_gaps, by_rejection);
            let like = |value: f64| sample.number(value).broadcast_to(&sample.shape());
            let sample = infinite.select(like(f64::INFINITY), sample);
            let sample = invalid.select(like(f64::NAN), sample);
            let as_drawn = less.or(count_is_invalid).or(q_is_nan).or(infinite);
            vec![as_drawn.select(sample, count.floor().convert(self.dtype) - sample).value()]
        })
    }

    fn gradient(&self, _: &mut Builder, _: &Backward<'_>) -> Result<Option<Cotangents>, TypeError> {
        no_derivative(self.name())
    }
}

/// What both ways draw from.
struct Draws {
    dtype: DType,
    key: Value,
}

impl Draws {
    fn uniform<'s, 'b>(&self, key: Tensor<'s, 'b>, shape: &[Dim]) -> Tensor<'s, 'b> {
        key.with_op(RandomUniform { dtype: self.dtype, shape: shape.to_vec(), low: Real(0.0), high: Real(1.0) })
    }

    /// The number of gaps, of the geometric distribution, that fit into the trials.
    fn by_gaps(&self, b: &mut Builder, count: Value, q: Value) -> Result<Value, TypeError> {
        let shape = b.tensor_type(q).shape.clone();
        let zeros = b.splat_like(0.0, q)?;
        let results = b.while_loop(
            &[zeros, zeros, self.key],
            |b, carried| express(b, |scope| any(scope.tensor(carried[1]).less_equal(scope.tensor(count))).value()),
            |b, carried| {
                express(b, |scope| {
                    let [gaps, sum, key] = [carried[0], carried[1], carried[2]].map(|value| scope.tensor(value));
                    let gaps = sum.less_equal(scope.tensor(count)).select(gaps + 1.0, gaps);
                    let failure = (-scope.tensor(q)).log1p();
                    let gap = (self.uniform(child(key, 2, 0), &shape).log() / failure).ceil();
                    [gaps, sum + gap, child(key, 2, 1)].map(Tensor::value).to_vec()
                })
            },
        )?;
        express(b, |scope| (scope.tensor(results[0]) - 1.0).value())
    }

    /// BTRS, whose names of the quantities these are.
    fn by_rejection(&self, b: &mut Builder, count: Value, p: Value) -> Result<Value, TypeError> {
        let shape = b.tensor_type(p).shape.clone();
        let [none, open] = express(b, |scope| {
            let zeros = scope.tensor(p).zeros_like();
            [zeros - 1.0, zeros.equal(0.0)].map(Tensor::value)
        })?;
        let results = b.while_loop(
            &[none, open, self.key],
            |b, carried| express(b, |scope| any(scope.tensor(carried[1])).value()),
            |b, carried| {
                express(b, |scope| {
                    let [k_out, open, key] = [carried[0], carried[1], carried[2]].map(|value| scope.tensor(value));
                    let [n, p] = [count, p].map(|value| scope.tensor(value));
                    let stddev = (n * p * (1.0 - p)).sqrt();
                    let b = stddev * 2.53 + 1.15;
                    let a = b * 0.0248 - 0.0873 + p * 0.01;
                    let c = n * p + 0.5;
                    let v_r = 0.92 - 4.2 / b;
                    let r = p / (1.0 - p);
                    let alpha = (2.83 + 5.1 / b) * stddev;
                    let m = ((n + 1.0) * p).floor();
                    let u = self.uniform(child(key, 3, 1), &shape) - 0.5;
                    let v = self.uniform(child(key, 3, 2), &shape);
                    let us = 0.5 - u.abs();
                    let within = us.greater_equal(0.07).and(v.less_equal(v_r));
                    let k = ((a * 2.0 / us + b) * u + c).floor();
                    let possible = k.greater_equal(0.0).and(k.less_equal(n));
                    let v = (v * alpha / (a / (us * us) + b)).log();
                    let bound = (m + 0.5) * ((m + 1.0) / (r * (n - m + 1.0))).log()
                        + (n + 1.0) * ((n - m + 1.0) / (n - k + 1.0)).log()
                        + (k + 0.5) * (r * (n - k + 1.0) / (k + 1.0)).log()
                        + stirling_tail(m)
                        + stirling_tail(n - m)
                        - stirling_tail(k)
                        - stirling_tail(n - k);
                    let accepted = within.or(possible.and(v.less_equal(bound)));
                    [accepted.select(k, k_out), open.and(accepted.complement()), child(key, 3, 0)]
                        .map(Tensor::value)
                        .to_vec()
                })
            },
        )?;
        Ok(results[0])
    }
}

/// What Stirling's formula for `ln k!` leaves, of whole numbers: exact to 9, behind that as `jax.random` has it, which is that of 9.
fn stirling_tail<'s, 'b>(k: Tensor<'s, 'b>) -> Tensor<'s, 'b> {
    const TAILS: [f64; 10] = [
        0.081_061_466_795_327_2,
        0.041_340_695_955_409_2,
        0.027_677_925_684_998_3,
        0.020_790_672_103_765_09,
        0.016_644_691_189_821_1,
        0.013_876_128_823_070_7,
        0.011_896_709_945_891_7,
        0.010_411_265_261_972_0,
        0.009_255_462_182_712_73,
        0.008_330_563_433_362_87,
    ];
    const BEYOND: f64 = (1.0 / 12.0 - (1.0 / 360.0 - 1.0 / 1260.0 / 100.0) / 100.0) / 10.0;
    let beyond = k.number(BEYOND).broadcast_to(&k.shape());
    TAILS.iter().enumerate().fold(beyond, |tail, (value, &known)| {
        k.equal(value as f64).select(k.number(known).broadcast_to(&k.shape()), tail)
    })
}
