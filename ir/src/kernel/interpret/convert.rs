use super::lanes::Lane;
use crate::tensor::{bf16_from_f64, f16_from_f64};
use half::{bf16, f16};
use kc_abi::DType;

/// Converts lanes, as the tensor op `convert`.
pub(super) fn convert(slots: &mut [u64], from: DType, to: DType, d: usize, a: usize, lanes: usize) {
    match from {
        DType::F64 => from_float::<f64>(slots, to, d, a, lanes, |x| x),
        DType::F32 => from_float::<f32>(slots, to, d, a, lanes, f64::from),
        DType::F16 => from_float::<f16>(slots, to, d, a, lanes, f16::to_f64),
        DType::Bf16 => from_float::<bf16>(slots, to, d, a, lanes, bf16::to_f64),
        DType::I8 => from_integer::<i8>(slots, to, d, a, lanes, i128::from),
        DType::I16 => from_integer::<i16>(slots, to, d, a, lanes, i128::from),
        DType::I32 => from_integer::<i32>(slots, to, d, a, lanes, i128::from),
        DType::I64 => from_integer::<i64>(slots, to, d, a, lanes, i128::from),
        DType::U8 | DType::Bool => from_integer::<u8>(slots, to, d, a, lanes, i128::from),
        DType::U16 => from_integer::<u16>(slots, to, d, a, lanes, i128::from),
        DType::U32 => from_integer::<u32>(slots, to, d, a, lanes, i128::from),
        DType::U64 => from_integer::<u64>(slots, to, d, a, lanes, i128::from),
    }
}

fn each<T: Lane, R: Lane>(slots: &mut [u64], d: usize, a: usize, lanes: usize, function: impl Fn(T) -> R) {
    for lane in 0..lanes {
        slots[d + lane] = function(T::of(slots[a + lane])).bits();
    }
}

/// `widen` is exact.
fn from_float<T: Lane>(s: &mut [u64], to: DType, d: usize, a: usize, n: usize, widen: impl Fn(T) -> f64) {
    match to {
        DType::F64 => each::<T, f64>(s, d, a, n, widen),
        DType::F32 => each::<T, f32>(s, d, a, n, |x| widen(x) as f32),
        DType::F16 => each::<T, f16>(s, d, a, n, |x| f16_from_f64(widen(x))),
        DType::Bf16 => each::<T, bf16>(s, d, a, n, |x| bf16_from_f64(widen(x))),
        DType::I8 => each::<T, i8>(s, d, a, n, |x| widen(x) as i8),
        DType::I16 => each::<T, i16>(s, d, a, n, |x| widen(x) as i16),
        DType::I32 => each::<T, i32>(s, d, a, n, |x| widen(x) as i32),
        DType::I64 => each::<T, i64>(s, d, a, n, |x| widen(x) as i64),
        DType::U8 => each::<T, u8>(s, d, a, n, |x| widen(x) as u8),
        DType::U16 => each::<T, u16>(s, d, a, n, |x| widen(x) as u16),
        DType::U32 => each::<T, u32>(s, d, a, n, |x| widen(x) as u32),
        DType::U64 => each::<T, u64>(s, d, a, n, |x| widen(x) as u64),
        DType::Bool => each::<T, u8>(s, d, a, n, |x| u8::from(widen(x) != 0.0)),
    }
}

fn from_integer<T: Lane>(s: &mut [u64], to: DType, d: usize, a: usize, n: usize, widen: impl Fn(T) -> i128) {
    match to {
        DType::F64 => each::<T, f64>(s, d, a, n, |x| widen(x) as f64),
        DType::F32 => each::<T, f32>(s, d, a, n, |x| widen(x) as f32),
        DType::F16 => each::<T, f16>(s, d, a, n, |x| f16_from_f64(widen(x) as f64)),
        DType::Bf16 => each::<T, bf16>(s, d, a, n, |x| bf16_from_f64(widen(x) as f64)),
        DType::I8 => each::<T, i8>(s, d, a, n, |x| widen(x) as i8),
        DType::I16 => each::<T, i16>(s, d, a, n, |x| widen(x) as i16),
        DType::I32 => each::<T, i32>(s, d, a, n, |x| widen(x) as i32),
        DType::I64 => each::<T, i64>(s, d, a, n, |x| widen(x) as i64),
        DType::U8 => each::<T, u8>(s, d, a, n, |x| widen(x) as u8),
        DType::U16 => each::<T, u16>(s, d, a, n, |x| widen(x) as u16),
        DType::U32 => each::<T, u32>(s, d, a, n, |x| widen(x) as u32),
        DType::U64 => each::<T, u64>(s, d, a, n, |x| widen(x) as u64),
        DType::Bool => each::<T, u8>(s, d, a, n, |x| u8::from(widen(x) != 0)),
    }
}
