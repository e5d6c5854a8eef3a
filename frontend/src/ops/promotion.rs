//! Which dtype tensors of different dtypes are computed in: Keras' `result_type`.
//!
//! The dtypes form a lattice, and the result is the least one above all operands. A Python number is *weak*: it is an integer or a
//! float of no width, which gives way to any tensor's integer or float dtype. Functions of real numbers take integers as `float32`.
//!
//! A result is never weak, not even that of numbers alone.
//!
//! Keras on JAX holds no 64-bit tensors unless JAX is told to. Here an operand of 64 bits keeps them, and a result has 64 bits only
//! where an operand has or a `dtype` asks for it; for all other dtypes the results are Keras'.

use super::function::Operand;
use kc_ir::DType;
use kc_ir::tensor::Tensor as Formula;

/// A dtype in a promotion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    dtype: DType,
    is_weak: bool,
}

/// The lattice's elements: the dtypes in their order, then the weak ones.
const WEAK_INTEGER: usize = DType::ALL.len();
const WEAK_FLOAT: usize = WEAK_INTEGER + 1;
const ELEMENTS: usize = WEAK_FLOAT + 1;

/// Where a dtype stands in the lattice.
fn element(dtype: DType) -> usize {
    DType::ALL.iter().position(|&known| known == dtype).unwrap_or(WEAK_FLOAT)
}

impl Kind {
    /// The dtype of a tensor.
    pub fn strong(dtype: DType) -> Self {
        Kind { dtype, is_weak: false }
    }

    /// The dtype of a number.
    pub fn weak(dtype: DType) -> Self {
        Kind { dtype, is_weak: true }
    }

    fn element(self) -> usize {
        match self {
            Kind { dtype, is_weak: false } => element(dtype),
            Kind { dtype, .. } if dtype.is_float() => WEAK_FLOAT,
            Kind { .. } => WEAK_INTEGER,
        }
    }
}

/// A number that is no integer.
pub(super) const FLOAT: Kind = Kind { dtype: DType::F32, is_weak: true };

/// What is immediately above an element.
fn above(element: usize) -> Vec<usize> {
    let strong = |dtypes: &[DType]| dtypes.iter().map(|&dtype| self::element(dtype)).collect();
    match element {
        WEAK_INTEGER => strong(&[DType::U8, DType::I8]),
        WEAK_FLOAT => strong(&[DType::Bf16, DType::F16]),
        _ => match DType::ALL[element] {
            DType::Bool => vec![WEAK_INTEGER],
            DType::U8 => strong(&[DType::I16, DType::U16]),
            DType::U16 => strong(&[DType::I32, DType::U32]),
            DType::U32 => strong(&[DType::I64, DType::U64]),
            DType::I8 => strong(&[DType::I16]),
            DType::I16 => strong(&[DType::I32]),
            DType::I32 => strong(&[DType::I64]),
            DType::I64 | DType::U64 => vec![WEAK_FLOAT],
            DType::Bf16 | DType::F16 => strong(&[DType::F32]),
            DType::F32 => strong(&[DType::F64]),
            DType::F64 => Vec::new(),
        },
    }
}

/// An element and all above it, as a set of bits.
fn upper_bounds(element: usize) -> u32 {
    above(element).into_iter().fold(1 << element, |bounds, next| bounds | upper_bounds(next))
}

/// The dtype of a result that operands of these dtypes are promoted to.
pub(super) fn result_type(kinds: impl IntoIterator<Item = Kind>) -> DType {
    let (mut common, mut is_wide) = (u32::MAX, false);
    for kind in kinds {
        common &= upper_bounds(kind.element());
        is_wide |= !kind.is_weak && kind.dtype.bits() == 64;
    }
    let least = (0..ELEMENTS).find(|&element| common & (1 << element) != 0 && common & !upper_bounds(element) == 0);
    let dtype = match least {
        Some(WEAK_INTEGER) => DType::I32,
        // the lattice has a top, so that some element is the least
        Some(WEAK_FLOAT) | None => DType::F32,
        Some(element) => DType::ALL[element],
    };
    match dtype {
        DType::I64 if !is_wide => DType::I32,
        DType::U64 if !is_wide => DType::U32,
        dtype => dtype,
    }
}

/// The operands in the dtype that they are promoted to.
pub(super) fn promote<'s, 'b, const N: usize>(operands: [Operand<'s, 'b>; N]) -> [Formula<'s, 'b>; N] {
    let dtype = result_type(operands.map(|operand| operand.kind));
    operands.map(|operand| operand.convert(dtype))
}

/// The operands in the number type that they are promoted to: bools as `int32`.
pub(super) fn promote_numbers<'s, 'b, const N: usize>(operands: [Operand<'s, 'b>; N]) -> [Formula<'s, 'b>; N] {
    promote(operands).map(|x| if x.ty().dtype == DType::Bool { x.convert(DType::I32) } else { x })
}

/// The operands with numbers taken as tensors of their dtypes, as Keras takes them in some functions.
pub(super) fn strong<'s, 'b, const N: usize>(operands: [Operand<'s, 'b>; N]) -> [Operand<'s, 'b>; N] {
    operands.map(|operand| Operand { kind: Kind { is_weak: false, ..operand.kind }, ..operand })
}

/// The operands in the floating-point dtype that they are promoted to.
pub(super) fn promote_float<'s, 'b, const N: usize>(operands: [Operand<'s, 'b>; N]) -> [Formula<'s, 'b>; N] {
    let dtype = result_type(operands.map(|operand| operand.kind).into_iter().chain([FLOAT]));
    operands.map(|operand| operand.convert(dtype))
}

/// Any number of operands in the dtype that they are promoted to.
pub(super) fn promote_all<'s, 'b>(operands: &[Operand<'s, 'b>]) -> Vec<Formula<'s, 'b>> {
    let dtype = result_type(operands.iter().map(|operand| operand.kind));
    operands.iter().map(|operand| operand.convert(dtype)).collect()
}

/// The operand in a floating-point dtype.
pub(super) fn float<'s, 'b>(operand: Operand<'s, 'b>) -> Formula<'s, 'b> {
    let [x] = promote_float([operand]);
    x
}

/// The dtype that sums and products of a dtype have: integers of at least 32 bits.
pub(super) fn accumulation_type(dtype: DType) -> DType {
    match dtype {
        DType::Bool | DType::I8 | DType::I16 => DType::I32,
        DType::U8 | DType::U16 => DType::U32,
        wide => wide,
    }
}

/// The dtype in which statistics of a dtype are computed: at least `float32`.
pub(super) fn statistics_type(dtype: DType) -> DType {
    result_type([Kind::strong(dtype), Kind::strong(DType::F32)])
}

#[cfg(test)]
mod tests {
    use super::{Kind, result_type};
    use kc_ir::DType;

    /// What Keras' `result_type` gives for two dtypes, with 64 bits kept where one of them has them; `int` and `float` are Python
    /// numbers.
    const KERAS: &str = "
       f64  f32  f16 bf16   i8  i16  i32  i64   u8  u16  u32  u64 bool  int float
  f64  f64  f64  f64  f64  f64  f64  f64  f64  f64  f64  f64  f64  f64  f64  f64
  f32  f64  f32  f32  f32  f32  f32  f32  f32  f32  f32  f32  f32  f32  f32  f32
  f16  f64  f32  f16  f32  f16  f16  f16  f16  f16  f16  f16  f16  f16  f16  f16
 bf16  f64  f32  f32 bf16 bf16 bf16 bf16 bf16 bf16 bf16 bf16 bf16 bf16 bf16 bf16
   i8  f64  f32  f16 bf16   i8  i16  i32  i64  i16  i32  i32  f32   i8   i8  f32
  i16  f64  f32  f16 bf16  i16  i16  i32  i64  i16  i32  i32  f32  i16  i16  f32
  i32  f64  f32  f16 bf16  i32  i32  i32  i64  i32  i32  i32  f32  i32  i32  f32
  i64  f64  f32  f16 bf16  i64  i64  i64  i64  i64  i64  i64  f32  i64  i64  f32
   u8  f64  f32  f16 bf16  i16  i16  i32  i64   u8  u16  u32  u64   u8   u8  f32
  u16  f64  f32  f16 bf16  i32  i32  i32  i64  u16  u16  u32  u64  u16  u16  f32
  u32  f64  f32  f16 bf16  i32  i32  i32  i64  u32  u32  u32  u64  u32  u32  f32
  u64  f64  f32  f16 bf16  f32  f32  f32  f32  u64  u64  u64  u64  u64  u64  f32
 bool  f64  f32  f16 bf16   i8  i16  i32  i64   u8  u16  u32  u64 bool  i32  f32
  int  f64  f32  f16 bf16   i8  i16  i32  i64   u8  u16  u32  u64  i32  i32  f32
float  f64  f32  f16 bf16  f32  f32  f32  f32  f32  f32  f32  f32  f32  f32  f32";

    fn kind(name: &str) -> Kind {
        match name {
            "int" => Kind::weak(DType::I32),
            "float" => Kind::weak(DType::F32),
            name => Kind::strong(name.parse().expect("a dtype")),
        }
    }

    #[test]
    fn dtypes_are_promoted_as_keras_does() {
        let mut lines = KERAS.trim_matches('\n').lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let names = lines.next().expect("a line of names");
        assert_eq!(names.len(), DType::ALL.len() + 2);
        for (line, row) in lines.zip(&names) {
            assert_eq!(line[0], *row);
            for (right, column) in line[1..].iter().zip(&names) {
                let ours = result_type([kind(row), kind(column)]);
                assert_eq!(ours.name(), *right, "{row} and {column}");
            }
        }
    }
}
