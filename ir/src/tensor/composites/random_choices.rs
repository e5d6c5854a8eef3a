//! Random integers, classes and orders of `jax.random`, number for number.

use super::random::check_key;
use super::random_values::{Floats, random_bits, unsigned};
use super::{Composition, SplitKey};
use crate::tensor::ops::{ArgReduce, Direction, Extremum, Slice, Sort};
use crate::tensor::{Builder, Tensor, TypeError, Value, express};
use kc_abi::{DType, Dim};
use serde::{Deserialize, Serialize};

/// The key of that number of those that `jax.random.split` makes of a key.
pub(super) fn child<'s, 'b>(key: Tensor<'s, 'b>, count: i64, number: i64) -> Tensor<'s, 'b> {
    let row = |number: i64, column: i64| vec![Dim::constant(number), Dim::constant(column)];
    let slice = Slice { start: row(number, 0), limit: row(number + 1, 2), stride: vec![1, 1] };
    key.with_op(SplitKey { count }).with_op(slice).reshape(&[Dim::constant(2)])
}

/// `jax.random.randint`: integers of at least `low` and below `high`; `low` where there are none. Operands: a key `u32[2]`, `low`
/// and `high`, i64 scalars or tensors that broadcast to the shape.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomIntegers {
    /// The result's dtype: an integer type of 8 bits or more.
    pub dtype: DType,
    /// The result's shape.
    pub shape: Vec<Dim>,
}

impl Composition for RandomIntegers {
    fn name(&self) -> &'static str {
        "random_integers"
    }

    fn body(&self, b: &mut Builder, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
        let [key, low, high] = b.operands(self.name(), operands)?;
        check_key(b, self.name(), key)?;
        for value in [low, high] {
            let ty = b.tensor_type(value);
            if ty.dtype != DType::I64 {
                return Err(TypeError::new(self.name(), format!("a bound is {ty}, expected i64")));
            }
        }
        let bits = self.dtype.bits();
        if !self.dtype.is_integer() || !matches!(bits, 8 | 16 | 32 | 64) {
            let message = format!("the dtype is {}, expected an integer type of 8 bits or more", self.dtype);
            return Err(TypeError::new(self.name(), message));
        }
        // small types are drawn as i32
        let drawn = if bits < 32 { DType::I32 } else { self.dtype };
        let (least, most) = range(drawn);
        let (bits, word) = (drawn.bits(), unsigned(drawn.bits()));
        express(b, |scope| {
            let [key, low, high] = [key, low, high].map(|value| scope.tensor(value));
            let (low, high) = if drawn == self.dtype {
                (low, high)
            } else {
                let (least, most) = range(self.dtype);
                let [low, high] = [low, high].map(|bound| bound.convert(DType::I32).convert(DType::I64));
                (within(low, least, most), within(high, least, most + 1))
            };
            let beyond = high.greater(scope.scalar(DType::I64, most));
            let (low, high) = (within(low, least, most), within(high, least, most));
            let one = scope.scalar(word, 1i64);
            // the difference of two numbers of the dtype wraps
            let span = high.convert(drawn).convert(word) - low.convert(drawn).convert(word);
            let some = high.greater(low).broadcast_to(&span.shape());
            let span = some.select(span, one);
            let beyond = beyond.broadcast_to(&span.shape()).and(some);
            let span = beyond.select(span + one, span);
            let draws = [0, 1].map(|number| random_bits(child(key, 2, number), &self.shape, bits));
            let half = scope.scalar(word, 1i64 << (bits / 2)).remainder(span);
            let factor = (half * half).remainder(span);
            let offset = (draws[0].remainder(span) * factor + draws[1].remainder(span)).remainder(span);
            let drawn = (low.convert(drawn) + offset.convert(drawn)).broadcast_to(&self.shape);
            vec![drawn.convert(self.dtype).value()]
        })
    }
}

/// The least and the most number of an integer type, of 64 bits those that an i64 can hold.
fn range(dtype: DType) -> (i64, i64) {
    match (dtype, dtype.bits()) {
        (DType::U64, _) => (0, i64::MAX),
        (_, 64) => (i64::MIN, i64::MAX),
        (DType::U8 | DType::U16 | DType::U32, bits) => (0, (1i64 << bits) - 1),
        (_, bits) => (-(1i64 << (bits - 1)), (1i64 << (bits - 1)) - 1),
    }
}

/// A bound, at least `least` and at most `most`.
fn within<'s, 'b>(bound: Tensor<'s, 'b>, least: i64, most: i64) -> Tensor<'s, 'b> {
    let [least, most] = [least, most].map(|value| bound.scope().scalar(DType::I64, value));
    bound.maximum(least).minimum(most)
}

/// `keras.random.categorical` on JAX: for each row of logits `[B, n]` so many classes, `[B, count]`: where the logits plus numbers of
/// the Gumbel distribution are largest. Operands: the logits and a key `u32[2]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomClasses {
    /// The result's dtype.
    pub dtype: DType,
    /// How many are drawn for a row.
    pub count: i64,
}

impl Composition for RandomClasses {
    fn name(&self) -> &'static str {
        "random_classes"
    }

    fn body(&self, b: &mut Builder, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
        let [logits, key] = b.operands(self.name(), operands)?;
        check_key(b, self.name(), key)?;
        let ty = b.tensor_type(logits).clone();
        let [rows, classes] = ty.shape.as_slice() else {
            return Err(TypeError::new(self.name(), format!("the logits are {ty}, expected 2 axes")));
        };
        let kind = Floats::of(self.name(), ty.dtype)?;
        let shape = [rows.clone(), classes.clone(), Dim::constant(self.count)];
        express(b, |scope| {
            let (logits, key) = (scope.tensor(logits), scope.tensor(key));
            let noise = kind.gumbel(random_bits(key, &shape, kind.bits));
            let arg = ArgReduce { kind: Extremum::Max, axis: 1, dtype: DType::I32 };
            vec![(noise + logits.broadcast(&shape, &[0, 1])).with_op(arg).convert(self.dtype).value()]
        })
    }
}

/// `jax.random.permutation(key, x, axis, independent=True)`: every line along an axis in an order of its own. Operands: `x`, whose
/// shape is known, and a key `u32[2]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shuffle {
    /// The axis.
    pub axis: usize,
}

impl Composition for Shuffle {
    fn name(&self) -> &'static str {
        "shuffle"
    }

    fn body(&self, b: &mut Builder, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
        let [x, key] = b.operands(self.name(), operands)?;
        check_key(b, self.name(), key)?;
        let ty = b.tensor_type(x).clone();
        let Some(elements) = ty.elements().as_constant() else {
            return Err(TypeError::new(
                self.name(),
                format!("the operand is {ty}, expected a known number of elements"),
            ));
        };
        if self.axis >= ty.rank() {
            return Err(TypeError::new(self.name(), format!("axis {} is out of range for {ty}", self.axis)));
        }
        // sorted by random keys, as often as makes equal keys unlikely to matter
        let rounds = (3.0 * (elements.max(1) as f64).ln() / f64::from(u32::MAX).ln()).ceil() as usize;
        express(b, |scope| {
            let (mut x, mut key) = (scope.tensor(x), scope.tensor(key));
            let sort = Sort { axis: self.axis, keys: 1, direction: Direction::Ascending };
            for _ in 0..rounds {
                let order = random_bits(child(key, 2, 1), &ty.shape, 32);
                key = child(key, 2, 0);
                [_, x] = scope.ops(sort.clone(), &[order, x]);
            }
            vec![x.value()]
        })
    }
}
