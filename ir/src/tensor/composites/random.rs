//! Random numbers of `jax.random` (threefry2x32, partitionable): bits and uniforms bit for bit.

use super::Composition;
use super::random_values::{Floats, random_bits};
use crate::tensor::ops::{Concatenate, Iota, Slice};
use crate::tensor::{Builder, Real, Tensor, TypeError, Value, express};
use kc_abi::{DType, Dim, TensorType};
use serde::{Deserialize, Serialize};

/// The block function threefry2x32 of 20 rounds (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011). Operands: the
/// key `u32[2]` and the two words of the counters, `u32` of one shape; results: the two words of the blocks.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Threefry {}

/// Rotations of the rounds: the first four in even groups, the others in odd ones.
const ROTATIONS: [[i64; 4]; 2] = [[13, 15, 26, 6], [17, 29, 16, 24]];

/// The two words of a key as scalars.
pub(super) fn key_words<'s, 'b>(key: Tensor<'s, 'b>) -> [Tensor<'s, 'b>; 2] {
    [0i64, 1].map(|word| {
        let slice = Slice { start: vec![Dim::constant(word)], limit: vec![Dim::constant(word + 1)], stride: vec![1] };
        key.with_op(slice).reshape(&[])
    })
}

pub(super) fn check_key(b: &Builder, op: &str, key: Value) -> Result<(), TypeError> {
    let expected = TensorType::new(DType::U32, [2i64]);
    if *b.tensor_type(key) == expected {
        return Ok(());
    }
    Err(TypeError::new(op, format!("the key is {}, expected {expected}", b.tensor_type(key))))
}

impl Composition for Threefry {
    fn name(&self) -> &'static str {
        "threefry"
    }

    fn body(&self, b: &mut Builder, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
        let [key, high, low] = b.operands(self.name(), operands)?;
        check_key(b, self.name(), key)?;
        express(b, |scope| {
            let [high, low] = [high, low].map(|value| scope.tensor(value));
            block(key_words(scope.tensor(key)), high, low).map(Tensor::value).to_vec()
        })
    }
}

/// The words of the blocks of counters under keys.
pub(super) fn block<'s, 'b>(
    [k0, k1]: [Tensor<'s, 'b>; 2],
    high: Tensor<'s, 'b>,
    low: Tensor<'s, 'b>,
) -> [Tensor<'s, 'b>; 2] {
    let number = |value: i64| k0.scope().scalar(DType::U32, value);
    let keys = [k0, k1, k0.xor(k1).xor(number(0x1BD1_1BDA))];
    let (mut x0, mut x1) = (high + keys[0], low + keys[1]);
    for group in 0..5usize {
        for rotation in ROTATIONS[group % 2] {
            x0 = x0 + x1;
            let rotated = x1.shift_left(number(rotation)).or(x1.shift_right(number(32 - rotation)));
            x1 = rotated.xor(x0);
        }
        x0 = x0 + keys[(group + 1) % 3];
        x1 = x1 + (keys[(group + 2) % 3] + number(group as i64 + 1));
    }
    [x0, x1]
}

/// `jax.random.fold_in`: a key `u32[2]` from a key and a number `u32[]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FoldIn {}

impl Composition for FoldIn {
    fn name(&self) -> &'static str {
        "fold_in"
    }

    fn body(&self, b: &mut Builder, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
        let [key, data] = b.operands(self.name(), operands)?;
        express(b, |scope| {
            let (key, data) = (scope.tensor(key), scope.tensor(data));
            let words: [Tensor<'_, '_>; 2] = scope.ops(Threefry {}, &[key, data.number(0.0), data]);
            vec![scope.op(Concatenate { axis: 0 }, &words.map(|word| word.reshape(&[Dim::constant(1)]))).value()]
        })
    }
}

/// `jax.random.split`: keys `u32[count, 2]` from a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitKey {
    /// Number of keys.
    pub count: i64,
}

impl Composition for SplitKey {
    fn name(&self) -> &'static str {
        "split_key"
    }

    fn body(&self, b: &mut Builder, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
        let [key] = b.operands(self.name(), operands)?;
        express(b, |scope| {
            let key = scope.tensor(key);
            let low = scope.op(Iota { ty: TensorType::new(DType::U32, [self.count]), axis: 0 }, &[]);
            let words: [Tensor<'_, '_>; 2] = scope.ops(Threefry {}, &[key, low.zeros_like(), low]);
            let column = [Dim::constant(self.count), Dim::constant(1)];
            vec![scope.op(Concatenate { axis: 1 }, &words.map(|word| word.reshape(&column))).value()]
        })
    }
}

/// `jax.random.uniform`: floating-point values in `low..high` from a key `u32[2]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomUniform {
    /// The result's dtype: f16, bf16, f32 or f64.
    pub dtype: DType,
    /// The result's shape.
    pub shape: Vec<Dim>,
    /// The smallest value.
    pub low: Real,
    /// Above the largest value.
    pub high: Real,
}

impl Composition for RandomUniform {
    fn name(&self) -> &'static str {
        "random_uniform"
    }

    fn body(&self, b: &mut Builder, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
        let [key] = b.operands(self.name(), operands)?;
        let kind = Floats::of(self.name(), self.dtype)?;
        express(b, |scope| {
            let bits = random_bits(scope.tensor(key), &self.shape, kind.bits);
            vec![kind.uniform(bits, self.low.0, self.high.0).value()]
        })
    }
}

/// `jax.random.normal`: `sqrt(2) * erf_inv(u)` of `u` uniform in `-1..1`, from a key `u32[2]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomNormal {
    /// The result's dtype: f16, bf16, f32 or f64.
    pub dtype: DType,
    /// The result's shape.
    pub shape: Vec<Dim>,
}

impl Composition for RandomNormal {
    fn name(&self) -> &'static str {
        "random_normal"
    }

    fn body(&self, b: &mut Builder, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
        let [key] = b.operands(self.name(), operands)?;
        let kind = Floats::of(self.name(), self.dtype)?;
        express(b, |scope| vec![kind.normal(random_bits(scope.tensor(key), &self.shape, kind.bits)).value()])
    }
}

/// `jax.random.truncated_normal` between -2 and 2: `sqrt(2) * erf_inv(u)` of `u` uniform in `erf(-sqrt 2)..erf(sqrt 2)`, from a
/// key `u32[2]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TruncatedNormal {
    /// The result's dtype: f16, bf16, f32 or f64.
    pub dtype: DType,
    /// The result's shape.
    pub shape: Vec<Dim>,
}

/// `erf(sqrt 2)`
const ERF_SQRT_2: f64 = 0.954_499_736_103_641_6;

impl Composition for TruncatedNormal {
    fn name(&self) -> &'static str {
        "truncated_normal"
    }

    fn body(&self, b: &mut Builder, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
        let [key] = b.operands(self.name(), operands)?;
        let kind = Floats::of(self.name(), self.dtype)?;
        express(b, |scope| {
            let bits = random_bits(scope.tensor(key), &self.shape, kind.bits);
            let bound = kind.round(ERF_SQRT_2);
            let u = kind.uniform(bits, -bound, bound);
            let limit = 2.0 - kind.step_below_two;
            vec![(u.erf_inv() * kind.sqrt_2()).clip(-limit, limit).value()]
        })
    }
}

/// `keras.random.dropout` on JAX: `x / (1 - rate)` where a uniform number of the key is below `1 - rate`, else 0. Operands: `x` and a
/// key `u32[2]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dropout {
    /// The share that is dropped, from 0 to 1.
    pub rate: Real,
}

impl Composition for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn body(&self, b: &mut Builder, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
        let [x, key] = b.operands(self.name(), operands)?;
        if !(0.0..=1.0).contains(&self.rate.0) {
            return Err(TypeError::new(self.name(), format!("the rate is {}, expected 0 to 1", self.rate.0)));
        }
        express(b, |scope| {
            let x = scope.tensor(x);
            let keep = 1.0 - self.rate.0;
            let result = if keep == 0.0 {
                x.zeros_like()
            } else if keep == 1.0 {
                x
            } else {
                let uniform = RandomUniform { dtype: DType::F32, shape: x.shape(), low: Real(0.0), high: Real(1.0) };
                scope.op(uniform, &[scope.tensor(key)]).less(keep).select(x / keep, 0.0)
            };
            vec![result.value()]
        })
    }
}
