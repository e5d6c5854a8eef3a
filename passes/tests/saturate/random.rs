//! Random operands from a seed, special values among them.

use kc_ir::tensor::{Graph, Literal, Scalar};
use kc_ir::{DType, TensorType};

/// xorshift64*
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// From 0 up to and without `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        ((self.bits() >> 33) % limit as u64) as usize
    }

    /// From `low` to `high`.
    pub fn extent(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low + 1) as usize) as i64
    }

    pub fn one_of<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// From -1 to 1.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }
}

/// What values a random tensor takes.
#[derive(Clone, Copy, PartialEq)]
pub enum Values {
    /// Any number of the dtype: zeros of both signs, infinities, NaN, denormals, huge and tiny ones.
    Special,
    /// Floats between minus and plus that many.
    Within(f64),
    /// Floats from 0 to 1 that sum to 1 along the last axis.
    Shares,
    /// Integers below.
    Below(i64),
}

pub fn literal(random: &mut Random, ty: &TensorType, values: Values) -> Literal {
    let shape: Vec<usize> = ty.shape.iter().map(|dim| dim.as_constant().expect("a known extent") as usize).collect();
    let count = shape.iter().product::<usize>();
    let mut scalars: Vec<Scalar> = (0..count).map(|_| scalar(random, ty.dtype, values)).collect();
    if values == Values::Shares {
        let classes = shape.last().copied().unwrap_or(1);
        for row in scalars.chunks_mut(classes) {
            let sum: f64 = row.iter().map(|x| x.to_f64()).sum();
            row.iter_mut().for_each(|x| *x = Scalar::Float(x.to_f64() / sum));
        }
    }
    Literal::from_scalars(ty.dtype, shape, scalars)
}

fn scalar(random: &mut Random, dtype: DType, values: Values) -> Scalar {
    if let Values::Below(limit) = values {
        return Scalar::Int(random.below(limit as usize) as i128);
    }
    if dtype.is_float() {
        let unit = random.unit();
        return Scalar::Float(match values {
            Values::Within(size) => unit * size,
            Values::Shares => unit.abs() + 1e-3,
            Values::Special | Values::Below(_) => match random.below(16) {
                0 => 0.0,
                1 => -0.0,
                2 => f64::INFINITY,
                3 => f64::NEG_INFINITY,
                4 => f64::NAN,
                5 => unit * 1e-40,
                6 => unit * 1e30,
                7 => unit * 1e-30,
                8 => 1.0,
                _ => unit * 4.0,
            },
        });
    }
    match dtype {
        DType::Bool => Scalar::Int((random.bits() & 1) as i128),
        _ => match random.below(4) {
            0 => Scalar::Int(random.bits() as i128),
            1 => Scalar::Int(-1),
            _ => Scalar::Int(random.below(7) as i128 - 3),
        },
    }
}

/// The graph's arguments with the symbol `B` bound.
pub fn arguments(
    random: &mut Random,
    graph: &Graph,
    batch: i64,
    values: impl Fn(&str, &TensorType) -> Values,
) -> Vec<Literal> {
    let parameters = graph.parameters.iter().map(|&parameter| {
        let kc_ir::tensor::Op::Parameter(declared) = &graph.node(parameter).op else { panic!("no parameter") };
        let bound = |dim: &kc_ir::Dim| dim.substitute(&|_| Some(kc_ir::Dim::constant(batch)));
        let ty = TensorType { dtype: declared.ty.dtype, shape: declared.ty.shape.iter().map(bound).collect() };
        let values = values(&declared.name, &ty);
        literal(random, &ty, values)
    });
    parameters.collect()
}

/// Whether two tensors have the same bits, any NaN equal to any NaN.
pub fn same_bits(a: &Literal, b: &Literal) -> Result<(), String> {
    if a.ty() != b.ty() {
        return Err(format!("{} against {}", a.ty(), b.ty()));
    }
    let equal = |(x, y): &(Scalar, Scalar)| match (x, y) {
        (Scalar::Float(x), Scalar::Float(y)) => x.to_bits() == y.to_bits() || x.is_nan() && y.is_nan(),
        (x, y) => x == y,
    };
    match a.scalars().zip(b.scalars()).position(|pair| !equal(&pair)) {
        None => Ok(()),
        Some(at) => Err(format!("element {at} is {:?} against {:?}", a.get(at), b.get(at))),
    }
}

/// The largest difference, relative to each element of `a` or (not `elementwise`) to the largest of `a` or 1, in units in the last
/// place of the dtype. Infinite where one side is not finite and the other differs from it.
pub fn ulps(a: &Literal, b: &Literal, elementwise: bool) -> f64 {
    if a.ty() != b.ty() || !a.dtype().is_float() {
        return if same_bits(a, b).is_ok() { 0.0 } else { f64::INFINITY };
    }
    let (epsilon, smallest) = match a.dtype() {
        DType::F64 => (f64::EPSILON, f64::MIN_POSITIVE),
        DType::F16 => (9.765625e-4, 6.1e-5),
        DType::Bf16 => (0.0078125, f32::MIN_POSITIVE as f64),
        _ => (f32::EPSILON as f64, f32::MIN_POSITIVE as f64),
    };
    let largest = a.scalars().map(|x| x.to_f64().abs()).filter(|x| x.is_finite()).fold(1.0, f64::max);
    let pairs = a.scalars().zip(b.scalars()).map(|(x, y)| (x.to_f64(), y.to_f64()));
    pairs.fold(0.0, |worst: f64, (x, y)| {
        let difference = if x == y || x.is_nan() && y.is_nan() { 0.0 } else { (x - y).abs() };
        let scale = if elementwise { x.abs().max(smallest) } else { largest };
        let ulps = difference / (epsilon * scale);
        if ulps.is_nan() { f64::INFINITY } else { worst.max(ulps) }
    })
}
