//! Gamma and beta numbers of `jax.random`: by rejection, each element with a key of its own until it is accepted.

use super::Composition;
use super::random::{block, check_key, key_words};
use super::random_choices::child;
use super::random_values::{Floats, of_words};
use crate::tensor::ops::{Backward, Cotangents, Iota, Reduction};
use crate::tensor::{Builder, Tensor, TypeError, Value, express};
use kc_abi::{DType, Dim, TensorType};
use serde::{Deserialize, Serialize};

/// `jax.random.gamma`: numbers of the gamma distribution with scale 1 (Marsaglia and Tsang, 2000). Operands: the shape parameters
/// `alpha`, above 0, and a key `u32[2]`; the result has the type of `alpha`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomGamma {}

/// `jax.random.beta`: numbers of the beta distribution. Operands: the parameters `a` and `b` of one type, above 0, and a key `u32[2]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomBeta {}

impl Composition for RandomGamma {
    fn name(&self) -> &'static str {
        "random_gamma"
    }

    fn body(&self, b: &mut Builder, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
        let [alpha, key] = b.operands(self.name(), operands)?;
        check_key(b, self.name(), key)?;
        let kind = Floats::of(self.name(), b.tensor_type(alpha).dtype)?;
        let accepted = accept(b, kind, key, alpha)?;
        express(b, |scope| {
            let [alpha, d, v, u] = [alpha, accepted.d, accepted.v, accepted.u].map(|value| scope.tensor(value));
            let boost = alpha.greater_equal(1.0).select(alpha.number(1.0), (1.0 - u).power(1.0 / alpha));
            vec![(d * v * boost).value()]
        })
    }

    fn gradient(&self, _: &mut Builder, _: &Backward<'_>) -> Result<Option<Cotangents>, TypeError> {
        no_derivative(self.name())
    }
}

impl Composition for RandomBeta {
    fn name(&self) -> &'static str {
        "random_beta"
    }

    /// From the logarithms of two gamma numbers, so that small ones keep their precision.
    fn body(&self, builder: &mut Builder, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
        let [a, b, key] = builder.operands(self.name(), operands)?;
        check_key(builder, self.name(), key)?;
        let kind = Floats::of(self.name(), builder.tensor_type(a).dtype)?;
        let keys = express(builder, |scope| [0, 1].map(|number| child(scope.tensor(key), 2, number).value()))?;
        let [x, y] = [log_gamma(builder, kind, keys[0], a)?, log_gamma(builder, kind, keys[1], b)?];
        express(builder, |scope| {
            let [x, y] = [x, y].map(|value| scope.tensor(value));
            let largest = x.maximum(y);
            let [x, y] = [(x - largest).exp(), (y - largest).exp()];
            vec![(x / (x + y)).value()]
        })
    }

    fn gradient(&self, _: &mut Builder, _: &Backward<'_>) -> Result<Option<Cotangents>, TypeError> {
        no_derivative(self.name())
    }
}

/// Numbers that were accepted have no derivative by their parameters that a graph could take.
pub(super) fn no_derivative(op: &str) -> Result<Option<Cotangents>, TypeError> {
    Err(TypeError::new(op, "its derivative by the parameters is not an op; `stop_gradient` leaves it out"))
}

/// The logarithm of gamma numbers.
fn log_gamma(b: &mut Builder, kind: Floats, key: Value, alpha: Value) -> Result<Value, TypeError> {
    let accepted = accept(b, kind, key, alpha)?;
    express(b, |scope| {
        let [alpha, d, v, u] = [alpha, accepted.d, accepted.v, accepted.u].map(|value| scope.tensor(value));
        let log = (-u).log1p();
        let none = alpha.greater_equal(1.0).or(log.equal(0.0));
        (d.log() + v.log() + none.select(log.number(0.0), log * (1.0 / alpha))).value()
    })
}

/// What the gamma numbers of shapes of at least 1 are made of: `d * v`; and uniform numbers that bring them to smaller shapes.
struct Accepted {
    d: Value,
    v: Value,
    u: Value,
}

/// The keys of that number of those that each element's key is split into.
fn children<'s, 'b>(keys: [Tensor<'s, 'b>; 2], number: i64) -> [Tensor<'s, 'b>; 2] {
    let word = |value: i64| keys[0].scope().scalar(DType::U32, value);
    block(keys, word(0), word(number))
}

/// The bits of one number of each element's key.
fn bits<'s, 'b>(keys: [Tensor<'s, 'b>; 2], kind: Floats) -> Tensor<'s, 'b> {
    of_words(children(keys, 0), kind.bits)
}

/// Whether something holds of any element, as a scalar.
pub(super) fn any<'s, 'b>(holds: Tensor<'s, 'b>) -> Tensor<'s, 'b> {
    let (no, yes) = (holds.scope().scalar(DType::I32, 0i64), holds.scope().scalar(DType::I32, 1i64));
    let axes: Vec<usize> = (0..holds.shape().len()).collect();
    holds.select(yes, no).reduce(Reduction::Max, &axes).greater(0.0)
}

/// Whether the numbers of an element are not accepted.
fn is_rejected<'s, 'b>([d, x, v, u]: [Tensor<'s, 'b>; 4]) -> Tensor<'s, 'b> {
    let squeezed = u.greater_equal(1.0 - x * x * 0.0331);
    squeezed.and(u.log().greater_equal(x * 0.5 + d * (1.0 - v + v.log())))
}

/// Draws for each element until its numbers are accepted.
fn accept(b: &mut Builder, kind: Floats, key: Value, alpha: Value) -> Result<Accepted, TypeError> {
    const THIRD: f64 = 1.0 / 3.0;
    let shape = b.tensor_type(alpha).shape.clone();
    let elements = shape.iter().cloned().product::<Dim>();
    let [d, c, k0, k1, x, v, u, last] = express(b, |scope| {
        let (key, alpha) = (scope.tensor(key), scope.tensor(alpha));
        let d = alpha.greater_equal(1.0).select(alpha, alpha + 1.0) - THIRD;
        let c = d.number(THIRD) / d.sqrt();
        let iota = Iota { ty: TensorType { dtype: DType::U32, shape: vec![elements] }, axis: 0 };
        let counter = scope.op(iota, &[]);
        let own = block(key_words(key), counter.number(0.0), counter).map(|word| word.reshape(&shape));
        let keys = children(own, 0);
        let like = |value: f64| alpha.number(value).broadcast_to(&shape);
        let last = kind.uniform(bits(children(own, 1), kind), 0.0, 1.0);
        [d, c, keys[0], keys[1], like(0.0), like(1.0), like(2.0), last].map(Tensor::value)
    })?;
    let rejected = |b: &mut Builder, x: Value, v: Value, u: Value| {
        express(b, |scope| is_rejected([d, x, v, u].map(|value| scope.tensor(value))).value())
    };
    let holds = |b: &mut Builder, value: Value| express(b, |scope| any(scope.tensor(value)).value());
    let results = b.while_loop(
        &[k0, k1, x, v, u],
        |b, carried| {
            let rejected = rejected(b, carried[2], carried[3], carried[4])?;
            holds(b, rejected)
        },
        |b, carried| -> Result<Vec<Value>, TypeError> {
            let rejected = rejected(b, carried[2], carried[3], carried[4])?;
            let [next0, next1, x0, x1, zero, below, u] = express(b, |scope| {
                let keys = [carried[0], carried[1]].map(|value| scope.tensor(value));
                let (next, of_x, of_u) = (children(keys, 0), children(keys, 1), children(keys, 2));
                let like = |value: f64| scope.tensor(d).number(value).broadcast_to(&shape);
                let u = kind.uniform(bits(of_u, kind), 0.0, 1.0);
                [next[0], next[1], of_x[0], of_x[1], like(0.0), like(-1.0), u].map(Tensor::value)
            })?;
            let normal = b.while_loop(
                &[x0, x1, zero, below],
                |b, carried| -> Result<Value, TypeError> {
                    express(b, |scope| any(scope.tensor(carried[3]).less_equal(0.0)).value())
                },
                |b, carried| {
                    express(b, |scope| {
                        let [k0, k1, x, v, c] =
                            [carried[0], carried[1], carried[2], carried[3], c].map(|value| scope.tensor(value));
                        let goes_on = v.less_equal(0.0);
                        let (next, own) = (children([k0, k1], 0), children([k0, k1], 1));
                        let drawn = kind.normal(bits(own, kind));
                        let raised = 1.0 + drawn * c;
                        [(next[0], k0), (next[1], k1), (drawn, x), (raised, v)]
                            .map(|(new, old)| goes_on.select(new, old).value())
                            .to_vec()
                    })
                },
            )?;
            express(b, |scope| {
                let rejected = scope.tensor(rejected);
                let [x, v] = [normal[2], normal[3]].map(|value| scope.tensor(value));
                let new = [scope.tensor(next0), scope.tensor(next1), x * x, v * v * v, scope.tensor(u)];
                let chosen = new.into_iter().zip(carried).map(|(new, &old)| rejected.select(new, scope.tensor(old)));
                chosen.map(Tensor::value).collect()
            })
        },
    )?;
    Ok(Accepted { d, v: results[3], u: last })
}
