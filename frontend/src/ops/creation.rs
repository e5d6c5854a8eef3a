//! Tensors made of no others, or of their shapes alone.

use super::arguments::{DTypeName, wrong};
use super::declare::functions;
use super::formulas::{concatenate, iota, move_axis, pad, slice, with_axis};
use super::movement::{Shape, diagonal_of};
use super::promotion::promote_float;
use kc_ir::tensor::{Scope, Tensor as Formula, TypeError};
use kc_ir::{DType, Dim};

functions! {
    /// Zeros of a shape.
    zeros Zeros(; shape: Shape) {
        /// The dtype (default: `"float32"`).
        dtype: DTypeName = DTypeName::Default,
    } = |scope, []| Ok(scope.scalar(dtype.or(DType::F32)?, 0.0).broadcast_to(&shape.0));
    /// Ones of a shape.
    ones Ones(; shape: Shape) {
        /// The dtype (default: `"float32"`).
        dtype: DTypeName = DTypeName::Default,
    } = |scope, []| Ok(scope.scalar(dtype.or(DType::F32)?, 1.0).broadcast_to(&shape.0));
    /// A tensor of a shape whose values are not to be relied on: zeros.
    empty Empty(; shape: Shape) {
        /// The dtype (default: `"float32"`).
        dtype: DTypeName = DTypeName::Default,
    } = |scope, []| Ok(scope.scalar(dtype.or(DType::F32)?, 0.0).broadcast_to(&shape.0));
    /// A shape filled with a value, which is broadcast to it.
    full Full(; shape: Shape; fill_value) {
        /// The dtype (default: `"float32"`).
        dtype: DTypeName = DTypeName::Default,
    } = |_, &[value]| Ok(value.convert(dtype.or(DType::F32)?).broadcast_to(&shape.0));
    /// Zeros of the shape of a tensor.
    zeros_like ZerosLike(x) {
        /// The dtype (default: that of `x`).
        dtype: DTypeName = DTypeName::Default,
    } = |scope, &[x]| Ok(scope.scalar(dtype.or(x.ty().dtype)?, 0.0).broadcast_to(&x.shape()));
    /// Ones of the shape of a tensor.
    ones_like OnesLike(x) {
        /// The dtype (default: that of `x`).
        dtype: DTypeName = DTypeName::Default,
    } = |scope, &[x]| Ok(scope.scalar(dtype.or(x.ty().dtype)?, 1.0).broadcast_to(&x.shape()));
    /// A tensor of the shape of another whose values are not to be relied on: zeros.
    empty_like EmptyLike(x) {
        /// The dtype (default: that of `x`).
        dtype: DTypeName = DTypeName::Default,
    } = |scope, &[x]| Ok(scope.scalar(dtype.or(x.ty().dtype)?, 0.0).broadcast_to(&x.shape()));
    /// The shape of a tensor filled with a value.
    full_like FullLike(x, fill_value) {
        /// The dtype (default: that of `x`).
        dtype: DTypeName = DTypeName::Default,
    } = |_, &[x, value]| Ok(value.convert(dtype.or(x.ty().dtype)?).broadcast_to(&x.shape()));
    /// The tensor of an array, a number or a list.
    array Array(x) {
        /// The dtype (default: its own).
        dtype: DTypeName = DTypeName::Default,
    } = |_, &[x]| Ok(x.convert(dtype.or(x.ty().dtype)?));
}

/// A number as an argument: an integer, a float, or an extent such as the batch size.
#[derive(Clone, Debug, PartialEq)]
pub enum Bound {
    /// None given: as the function says.
    None,
    /// An integer, an extent.
    Extent(Dim),
    /// A float.
    Float(f64),
}

impl From<i32> for Bound {
    fn from(value: i32) -> Self {
        Bound::Extent(Dim::constant(value.into()))
    }
}
impl From<i64> for Bound {
    fn from(value: i64) -> Self {
        Bound::Extent(Dim::constant(value))
    }
}
impl From<Dim> for Bound {
    fn from(value: Dim) -> Self {
        Bound::Extent(value)
    }
}
impl From<&Dim> for Bound {
    fn from(value: &Dim) -> Self {
        Bound::Extent(value.clone())
    }
}
impl From<f64> for Bound {
    fn from(value: f64) -> Self {
        Bound::Float(value)
    }
}

impl Bound {
    /// This, or that where this is none.
    fn or(self, default: &Bound) -> Bound {
        if self == Bound::None { default.clone() } else { self }
    }

    fn to_f64(&self) -> Option<f64> {
        match self {
            Bound::Extent(dim) => dim.as_constant().map(|value| value as f64),
            Bound::Float(value) => Some(*value),
            Bound::None => None,
        }
    }
}

functions! {
    /// `start`, `start + step`, .. before `stop`; with one argument from 0 up to it.
    arange Arange(; start: Bound) {
        /// The end (default: `start` is it).
        stop: Bound = Bound::None,
        /// The distance (default: 1).
        step: Bound = Bound::from(1),
        /// The dtype (default: `"int32"` of integers, `"float32"` of floats).
        dtype: DTypeName = DTypeName::Default,
    } = |scope, []| {
        let (start, stop) = if stop == Bound::None { (Bound::from(0), start) } else { (start, stop) };
        progression(scope, start, stop, step, &dtype)
    };
    /// Ones on a diagonal of `N` rows, zeros elsewhere. Keras' `N` is `n`.
    eye Eye(; n: Bound) {
        /// The number of columns (default: `N`).
        m: Bound = Bound::None,
        /// How far above the main diagonal; negative for below (default: 0).
        k: i64 = 0,
        /// The dtype (default: `"float32"`).
        dtype: DTypeName = DTypeName::Default,
    } = |scope, []| {
        let shape = [extent(&n)?, extent(&m.or(&n))?];
        let (rows, columns) = places(scope, &shape);
        Ok((rows + k).equal(columns).convert(dtype.or(DType::F32)?))
    };
    /// The identity matrix of `n` rows.
    identity Identity(; n: Bound) {
        /// The dtype (default: `"float32"`).
        dtype: DTypeName = DTypeName::Default,
    } = |scope, []| {
        let shape = [extent(&n)?, extent(&n)?];
        let (rows, columns) = places(scope, &shape);
        Ok(rows.equal(columns).convert(dtype.or(DType::F32)?))
    };
    /// Ones at and below a diagonal of `N` rows, zeros above it. Keras' `N` is `n`.
    tri Tri(; n: Bound) {
        /// The number of columns (default: `N`).
        m: Bound = Bound::None,
        /// How far above the main diagonal; negative for below (default: 0).
        k: i64 = 0,
        /// The dtype (default: `"float32"`).
        dtype: DTypeName = DTypeName::Default,
    } = |scope, []| {
        let shape = [extent(&n)?, extent(&m.or(&n))?];
        let (rows, columns) = places(scope, &shape);
        Ok((rows + k).greater_equal(columns).convert(dtype.or(DType::F32)?))
    };
    /// The last two axes with zeros above a diagonal.
    tril Tril(x) {
        /// How far above the main diagonal; negative for below (default: 0).
        k: i64 = 0,
    } = |_, &[x]| {
        let (rows, columns) = matrix_places(*x)?;
        Ok((rows + k).greater_equal(columns).select(*x, x.zeros_like()))
    };
    /// The last two axes with zeros below a diagonal.
    triu Triu(x) {
        /// How far above the main diagonal; negative for below (default: 0).
        k: i64 = 0,
    } = |_, &[x]| {
        let (rows, columns) = matrix_places(*x)?;
        Ok((rows + k).less_equal(columns).select(*x, x.zeros_like()))
    };
    /// Of a vector the matrix with it on a diagonal; of a matrix its diagonal.
    diag Diag(x) {
        /// How far above the main diagonal; negative for below (default: 0).
        k: i64 = 0,
    } = |_, &[x]| match x.shape().len() {
        1 => on_diagonal(*x, k),
        2 => diagonal_of(*x, k, 0, 1)?,
        rank => return Err(wrong(format!("it has {rank} axes, expected 1 or 2"))),
    };
    /// The matrix with all elements of a tensor on a diagonal.
    diagflat Diagflat(x) {
        /// How far above the main diagonal; negative for below (default: 0).
        k: i64 = 0,
    } = |_, &[x]| on_diagonal(super::formulas::flat(*x), k);
    /// The powers of a vector's elements as rows: `x^(N-1)`, .., `x^0`. Keras' `N` is `n`.
    vander Vander(x) {
        /// The number of columns (default: as many as rows).
        n: Bound = Bound::None,
        /// Whether powers grow from left to right (default: no).
        increasing: bool = false,
    } = |scope, &[x]| {
        let shape = x.shape();
        if shape.len() != 1 {
            return Err(wrong(format!("it has {} axes, expected 1", shape.len())));
        }
        let columns = extent(&n.or(&Bound::Extent(shape[0].clone())))?;
        let shape = [shape[0].clone(), columns.clone()];
        let dtype = x.ty().dtype;
        let count = iota(scope, DType::I32, &shape, 1);
        let count = if increasing {
            count
        } else {
            // the last column is that of the power 0
            super::formulas::reverse(count, &[1])
        };
        x.broadcast(&shape, &[0]).power(count.convert(dtype))
    };
}

/// An argument that is an extent.
fn extent(bound: &Bound) -> Result<Dim, TypeError> {
    match bound {
        Bound::Extent(dim) if dim.as_constant().is_some_and(|extent| extent < 0) => Ok(Dim::constant(0)),
        Bound::Extent(dim) => Ok(dim.clone()),
        Bound::Float(value) => Err(wrong(format!("an extent is {value}, expected an integer"))),
        Bound::None => Err(wrong("an extent is missing")),
    }
}

/// Row and column of each element of a matrix.
fn places<'s, 'b>(scope: &'s Scope<'b>, shape: &[Dim; 2]) -> (Formula<'s, 'b>, Formula<'s, 'b>) {
    (iota(scope, DType::I32, shape, 0), iota(scope, DType::I32, shape, 1))
}

/// Row and column of each element of the last two axes.
fn matrix_places<'s, 'b>(x: Formula<'s, 'b>) -> Result<(Formula<'s, 'b>, Formula<'s, 'b>), TypeError> {
    let shape = x.shape();
    let rank = shape.len();
    if rank < 2 {
        return Err(wrong(format!("it has {rank} axes, expected at least 2")));
    }
    let [rows, columns] = [rank - 2, rank - 1].map(|axis| iota(x.scope(), DType::I32, &shape, axis));
    Ok((rows, columns))
}

/// The vector on a diagonal of a square matrix of zeros.
fn on_diagonal<'s, 'b>(x: Formula<'s, 'b>, k: i64) -> Formula<'s, 'b> {
    let zero = x.number(0.0);
    // the vector as a row, so that each element stands in its column
    let row = pad(x, 0, k.max(0), (-k).max(0), zero);
    let extent = row.shape()[0].clone();
    let shape = [extent.clone(), extent];
    let (rows, columns) = places(x.scope(), &shape);
    let row = row.broadcast(&shape, &[1]);
    (rows + k).equal(columns).select(row, row.zeros_like())
}

fn progression<'s, 'b>(
    scope: &'s Scope<'b>,
    start: Bound,
    stop: Bound,
    step: Bound,
    dtype: &DTypeName,
) -> Result<Formula<'s, 'b>, TypeError> {
    let zero_step = || wrong("`step` is 0");
    if let (Bound::Extent(start), Bound::Extent(stop), Bound::Extent(step)) = (&start, &stop, &step) {
        let dtype = dtype.or(DType::I32)?;
        let step = step.as_constant().ok_or_else(|| wrong("`step` must be known"))?;
        let span = if step < 0 { start.clone() - stop.clone() } else { stop.clone() - start.clone() };
        if step == 0 {
            return Err(zero_step());
        }
        let count = span.ceil_div(step.abs());
        let count = count.as_constant().map_or(count, |count| Dim::constant(count.max(0)));
        // counted in integers, so that nothing is rounded but the result
        let counted = if dtype.is_float() || dtype == DType::Bool { DType::I32 } else { dtype };
        let positions = iota(scope, counted, &[count], 0);
        let positions = if step == 1 { positions } else { positions * step };
        let positions = match start.as_constant() {
            Some(0) => positions,
            Some(start) => positions + start,
            None => return Err(wrong("`start` must be known")),
        };
        return Ok(positions.convert(dtype));
    }
    let known = |bound: &Bound| bound.to_f64().ok_or_else(|| wrong("a range of floats must be known"));
    let (start, stop, step) = (known(&start)?, known(&stop)?, known(&step)?);
    let dtype = dtype.or(DType::F32)?;
    let count = ((stop - start) / step).ceil();
    if step == 0.0 || !count.is_finite() || count > 1e9 {
        return Err(if step == 0.0 { zero_step() } else { wrong(format!("the range has {count} elements")) });
    }
    let computed = if dtype == DType::F64 { DType::F64 } else { DType::F32 };
    let positions = iota(scope, computed, &[Dim::constant(count.max(0.0) as i64)], 0);
    Ok((positions * step + start).convert(dtype))
}

functions! {
    /// Numbers at equal distances from `start` to `stop`. With `retstep` it has two results: `.results()`.
    linspace Linspace(start, stop) {
        /// How many (default: 50).
        num: i64 = 50,
        /// Whether `stop` is the last of them (default: yes).
        endpoint: bool = true,
        /// Whether the distance is a second result (default: no).
        retstep: bool = false,
        /// The dtype (default: that of `start` and `stop`, floating-point).
        dtype: DTypeName = DTypeName::Default,
        /// The axis of the numbers in the result (default: 0).
        axis: i64 = 0,
    } = |_, &[start, stop]| {
        let [a, b] = promote_float([start, stop]);
        let dtype = dtype.or(a.ty().dtype)?;
        let (numbers, step) = spaced(a, b, num, endpoint)?;
        let numbers = if dtype.is_integer() { numbers.floor() } else { numbers };
        let numbers = move_axis(numbers, 0, super::arguments::axis(axis, numbers.shape().len())?).convert(dtype);
        if retstep { vec![numbers, step] } else { vec![numbers] }
    };
    /// `base` to the power of numbers at equal distances.
    logspace Logspace(start, stop) {
        /// How many (default: 50).
        num: i64 = 50,
        /// Whether `base^stop` is the last of them (default: yes).
        endpoint: bool = true,
        /// The base (default: 10).
        base: f64 = 10.0,
        /// The dtype (default: that of `start` and `stop`, floating-point).
        dtype: DTypeName = DTypeName::Default,
        /// The axis of the numbers in the result (default: 0).
        axis: i64 = 0,
    } = |_, &[start, stop]| {
        let [a, b] = promote_float([start, stop]);
        let dtype = dtype.or(a.ty().dtype)?;
        let (exponents, _) = spaced(a, b, num, endpoint)?;
        let numbers = exponents.number(base).broadcast_to(&exponents.shape()).power(exponents);
        Ok(move_axis(numbers, 0, super::arguments::axis(axis, numbers.shape().len())?).convert(dtype))
    };
    /// Numbers of equal ratios from `start` to `stop`, which have one sign.
    geomspace Geomspace(start, stop) {
        /// How many (default: 50).
        num: i64 = 50,
        /// Whether `stop` is the last of them (default: yes).
        endpoint: bool = true,
        /// The dtype (default: that of `start` and `stop`, floating-point).
        dtype: DTypeName = DTypeName::Default,
        /// The axis of the numbers in the result (default: 0).
        axis: i64 = 0,
    } = |scope, &[start, stop]| {
        let [a, b] = promote_float([start, stop]);
        let [a, b] = super::formulas::together(a, b)?;
        let dtype = dtype.or(a.ty().dtype)?;
        let sign = a.sign();
        let (logarithms, _) = spaced((a * sign).log(), (b * sign).log(), num, endpoint)?;
        let mut numbers = logarithms.exp() * sign;
        if num > 1 {
            // the ends are what was given, to the last bit
            let last = if endpoint { num - 1 } else { num };
            let inner = slice(numbers, 0, 1i64, last, 1);
            let mut parts = vec![with_axis(a, 0), inner];
            parts.extend(endpoint.then(|| with_axis(b, 0)));
            numbers = concatenate(scope, &parts, 0);
        }
        Ok(move_axis(numbers, 0, super::arguments::axis(axis, numbers.shape().len())?).convert(dtype))
    };
}

/// That many numbers at equal distances, along a new first axis, and their distance.
pub(super) fn spaced<'s, 'b>(
    start: Formula<'s, 'b>,
    stop: Formula<'s, 'b>,
    num: i64,
    endpoint: bool,
) -> Result<(Formula<'s, 'b>, Formula<'s, 'b>), TypeError> {
    if num < 0 {
        return Err(wrong(format!("`num` is {num}, expected at least 0")));
    }
    let scope = start.scope();
    let [start, stop] = super::formulas::together(start, stop)?;
    let ty = start.ty();
    let gaps = if endpoint { num - 1 } else { num };
    let step = if gaps > 0 { (stop - start) / gaps as f64 } else { start.zeros_like() + f64::NAN };
    let inner = if endpoint { (num - 1).max(num.min(1)) } else { num };
    let shape = [&[Dim::constant(inner)][..], &ty.shape].concat();
    let share = iota(scope, ty.dtype, &shape, 0) / gaps.max(1) as f64;
    let [first, last] = [start, stop].map(|end| with_axis(end, 0));
    let numbers = first.broadcast_to(&shape) * (1.0 - share) + last.broadcast_to(&shape) * share;
    // the end is what was given, to the last bit
    let numbers = if endpoint && num > 1 { concatenate(scope, &[numbers, last], 0) } else { numbers };
    Ok((numbers, step))
}
