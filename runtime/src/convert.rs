//! Conversions of elements between dtypes, as data is copied into batches.
//!
//! A float becomes an integer by truncation towards zero, saturating; an integer becomes a narrower integer by
//! saturation; a float becomes a narrower float by rounding to nearest even; a number becomes a truth value by
//! comparison with 0.

use crate::heap::*;
use kc_abi::DType;

/// A float of 16 bits, of which so many hold the mantissa.
#[derive(Clone, Copy)]
struct Short<const MANTISSA: u32>(u16);
#[allow(non_camel_case_types)]
type f16 = Short<10>;
#[allow(non_camel_case_types)]
type bf16 = Short<7>;

impl<const MANTISSA: u32> Short<MANTISSA> {
    const INFINITY: u16 = 0x7fff >> MANTISSA << MANTISSA;
    /// Exponent of the least normal number.
    const LEAST: i32 = 2 - (1 << (14 - MANTISSA));

    fn from_ne_bytes(bytes: [u8; 2]) -> Self {
        Short(u16::from_ne_bytes(bytes))
    }

    fn to_ne_bytes(self) -> [u8; 2] {
        self.0.to_ne_bytes()
    }

    fn to_f64(self) -> f64 {
        let (exponent, fraction) = (i32::from(self.0 & 0x7fff) >> MANTISSA, self.0 & ((1 << MANTISSA) - 1));
        let value = if self.0 & Self::INFINITY == Self::INFINITY {
            if fraction == 0 { f64::INFINITY } else { f64::NAN }
        } else {
            let whole = if exponent == 0 { fraction } else { fraction | 1 << MANTISSA };
            f64::from(whole) * power_of_two(exponent.max(1) - 1 + Self::LEAST - MANTISSA as i32)
        };
        if self.0 >> 15 == 0 { value } else { -value }
    }

    /// To nearest, ties to even.
    fn from_f64(value: f64) -> Self {
        let sign = ((value.to_bits() >> 48) & 0x8000) as u16;
        if value.is_nan() {
            return Short(sign | Self::INFINITY | 1 << (MANTISSA - 1));
        }
        let magnitude = value.abs();
        let exponent = ((magnitude.to_bits() >> 52) as i32 - 1023).clamp(Self::LEAST, 1023);
        if exponent > 1 - Self::LEAST {
            return Short(sign | Self::INFINITY);
        }
        // whole units of the last place; one more bit carries into the exponent
        let units = libm::rint(magnitude * power_of_two(MANTISSA as i32 - exponent)) as u32;
        Short(sign | (((exponent - Self::LEAST) as u32) << MANTISSA).wrapping_add(units) as u16)
    }
}

/// 2 to the power of a normal number's exponent.
fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(((exponent + 1023) as u64) << 52)
}

/// Calls a macro with the Rust type of each dtype but `bool`.
macro_rules! with_type {
    ($dtype:expr, $type:ident => $body:expr, bool => $bool:expr) => {
        match $dtype {
            DType::F64 => {
                type $type = f64;
                $body
            }
            DType::F32 => {
                type $type = f32;
                $body
            }
            DType::F16 => {
                type $type = f16;
                $body
            }
            DType::Bf16 => {
                type $type = bf16;
                $body
            }
            DType::I8 => {
                type $type = i8;
                $body
            }
            DType::I16 => {
                type $type = i16;
                $body
            }
            DType::I32 => {
                type $type = i32;
                $body
            }
            DType::I64 => {
                type $type = i64;
                $body
            }
            DType::U8 => {
                type $type = u8;
                $body
            }
            DType::U16 => {
                type $type = u16;
                $body
            }
            DType::U32 => {
                type $type = u32;
                $body
            }
            DType::U64 => {
                type $type = u64;
                $body
            }
            DType::Bool => $bool,
        }
    };
}

/// A number type that converts through `f64`, and between integers through `i128`.
trait Number: Copy {
    const FLOAT: bool;
    fn read(bytes: &[u8]) -> Self;
    fn write(self, bytes: &mut [u8]);
    fn to_f64(self) -> f64;
    fn from_f64(value: f64) -> Self;
    fn to_i128(self) -> i128;
    fn from_i128(value: i128) -> Self;
}

macro_rules! bytes_of {
    ($type:ty) => {
        #[inline(always)]
        fn read(bytes: &[u8]) -> Self {
            let mut array = [0; size_of::<$type>()];
            array.copy_from_slice(bytes);
            <$type>::from_ne_bytes(array)
        }
        #[inline(always)]
        fn write(self, bytes: &mut [u8]) {
            bytes.copy_from_slice(&self.to_ne_bytes());
        }
    };
}

macro_rules! integers {
    ($($type:ty),*) => { $(impl Number for $type {
        const FLOAT: bool = false;
        bytes_of!($type);
        #[inline(always)]
        fn to_f64(self) -> f64 { self as f64 }
        #[inline(always)]
        fn from_f64(value: f64) -> Self { value as $type }
        #[inline(always)]
        fn to_i128(self) -> i128 { i128::from(self) }
        #[inline(always)]
        fn from_i128(value: i128) -> Self { value.clamp(<$type>::MIN as i128, <$type>::MAX as i128) as $type }
    })* };
}
integers!(i8, i16, i32, i64, u8, u16, u32, u64);

macro_rules! floats {
    ($($type:ty, $to:expr, $from:expr;)*) => { $(impl Number for $type {
        const FLOAT: bool = true;
        bytes_of!($type);
        #[inline(always)]
        fn to_f64(self) -> f64 { $to(self) }
        #[inline(always)]
        fn from_f64(value: f64) -> Self { $from(value) }
        #[inline(always)]
        fn to_i128(self) -> i128 { self.to_f64() as i128 }
        #[inline(always)]
        fn from_i128(value: i128) -> Self { Self::from_f64(value as f64) }
    })* };
}
floats! {
    f64, |x| x, |x| x;
    f32, f64::from, |x| x as f32;
    f16, f16::to_f64, f16::from_f64;
    bf16, bf16::to_f64, bf16::from_f64;
}

/// Element `index` of `bytes` as a number. (An `i64` or `u64` is rounded to 53 bits.)
pub(crate) fn element_as_f64(dtype: DType, bytes: &[u8], index: usize) -> f64 {
    let size = dtype.bytes();
    let element = &bytes[index * size..(index + 1) * size];
    with_type!(dtype, T => T::read(element).to_f64(), bool => f64::from(u8::from(element[0] != 0)))
}

/// Converts every element of `source` into `target`, which must hold as many.
pub fn convert(from: DType, source: &[u8], to: DType, target: &mut [u8]) {
    debug_assert_eq!(source.len() / from.bytes(), target.len() / to.bytes());
    if from == to {
        target.copy_from_slice(source);
        return;
    }
    with_type!(from, S => with_type!(to,
        D => loop_over(source, target, |x: S| if S::FLOAT || D::FLOAT { D::from_f64(x.to_f64()) } else { D::from_i128(x.to_i128()) }),
        bool => for (value, slot) in source.chunks_exact(size_of::<S>()).zip(target) {
            *slot = u8::from(S::read(value).to_f64() != 0.0);
        }),
        bool => with_type!(to, D => for (value, slot) in source.iter().zip(target.chunks_exact_mut(size_of::<D>())) {
            D::from_f64(f64::from(u8::from(*value != 0))).write(slot);
        }, bool => target.copy_from_slice(source)));
}

#[inline(always)]
fn loop_over<S: Number, D: Number>(source: &[u8], target: &mut [u8], function: impl Fn(S) -> D) {
    for (value, slot) in source.chunks_exact(size_of::<S>()).zip(target.chunks_exact_mut(size_of::<D>())) {
        function(S::read(value)).write(slot);
    }
}

/// The index of the first element of which `test` holds.
#[cfg(feature = "train")]
pub(crate) fn find(dtype: DType, bytes: &[u8], test: impl Fn(f64) -> bool) -> Option<usize> {
    with_type!(dtype, T => bytes.chunks_exact(size_of::<T>()).position(|element| test(T::read(element).to_f64())),
        bool => bytes.iter().position(|&byte| test(f64::from(u8::from(byte != 0)))))
}

/// The least and the greatest value of an integer type.
#[cfg(feature = "train")]
pub(crate) fn range(dtype: DType) -> Option<(i128, i128)> {
    let bits = dtype.bytes() * 8;
    match dtype {
        DType::I8 | DType::I16 | DType::I32 | DType::I64 => Some((-(1 << (bits - 1)), (1 << (bits - 1)) - 1)),
        DType::U8 | DType::U16 | DType::U32 | DType::U64 => Some((0, (1 << bits) - 1)),
        _ => None,
    }
}

/// The index of the first element that [`convert`] would change: one that the integer type `to` does not have.
/// To other types it rounds, which changes nothing in this sense.
#[cfg(feature = "train")]
pub(crate) fn find_changed(from: DType, bytes: &[u8], to: DType) -> Option<usize> {
    let (least, greatest) = range(to)?;
    if range(from).is_some_and(|(low, high)| low >= least && high <= greatest) {
        return None;
    }
    // a power of two, or 0: exact
    let limit = (greatest + 1) as f64;
    with_type!(from,
    S => with_type!(to, D => bytes.chunks_exact(size_of::<S>()).position(|element| {
        let value = S::read(element);
        if S::FLOAT {
            // NaN differs from everything, also from itself
            D::from_f64(value.to_f64()).to_f64() != value.to_f64() || value.to_f64() >= limit
        } else {
            D::from_i128(value.to_i128()).to_i128() != value.to_i128()
        }
    }), bool => None),
    bool => None)
}

/// Element `index` of `bytes` as text, with as many digits as its type has.
pub(crate) fn element_text(dtype: DType, bytes: &[u8], index: usize) -> String {
    let value = element_as_f64(dtype, bytes, index);
    match dtype {
        DType::F32 | DType::F16 | DType::Bf16 => (value as f32).to_string(),
        DType::F64 | DType::Bool => value.to_string(),
        _ => {
            let size = dtype.bytes();
            let element = &bytes[index * size..(index + 1) * size];
            with_type!(dtype, T => T::read(element).to_i128().to_string(), bool => value.to_string())
        }
    }
}

#[cfg(all(test, feature = "train"))]
mod tests {
    use super::find_changed;
    use crate::Array;
    use kc_abi::DType;

    #[test]
    #[cfg(feature = "half")]
    fn short_floats_are_those_of_the_crate_half() {
        for bits in 0..=u16::MAX {
            let (own, other) = (super::f16::from_ne_bytes(bits.to_ne_bytes()), half::f16::from_bits(bits));
            assert!(own.to_f64() == other.to_f64() || own.to_f64().is_nan() && other.is_nan(), "{bits:x}");
            let (own, other) = (super::bf16::from_ne_bytes(bits.to_ne_bytes()), half::bf16::from_bits(bits));
            assert!(own.to_f64() == other.to_f64() || own.to_f64().is_nan() && other.is_nan(), "{bits:x}");
            // each, the numbers halfway to the next, and those beside these; exact in f32, from which `half` rounds once
            let halfway = |x: f32| f32::from_bits(x.to_bits() | 0x8000);
            for value in [f32::from_bits(u32::from(bits) << 16), halfway(f32::from_bits(u32::from(bits) << 16))] {
                for value in [value, f32::from_bits(value.to_bits() ^ 1), f32::from_bits(value.to_bits() ^ 0x1000)] {
                    let own = super::f16::from_f64(f64::from(value)).0;
                    let other = half::f16::from_f32_const(value);
                    assert!(own == other.to_bits() || other.is_nan() && value.is_nan(), "{value:e} {own:x} {other:e}");
                    let own = super::bf16::from_f64(f64::from(value)).0;
                    let other = half::bf16::from_f32_const(value);
                    assert!(own == other.to_bits() || other.is_nan() && value.is_nan(), "{value:e} {own:x} {other:e}");
                }
            }
        }
        // between two numbers of f32, where rounding twice goes wrong
        assert_eq!(super::f16::from_f64(1.0 + 2f64.powi(-11) + 2f64.powi(-40)).0, 0x3c01);
    }

    #[test]
    fn pixels_become_floats() {
        let pixels = Array::from_slice(&[0u8, 7, 255], &[3]).unwrap();
        assert_eq!(pixels.cast(DType::F32).as_slice::<f32>().unwrap(), [0.0, 7.0, 255.0]);
    }

    #[test]
    fn integers_saturate_and_floats_truncate() {
        let wide = Array::from_slice(&[-1i64, 300, i64::MAX], &[3]).unwrap();
        assert_eq!(wide.cast(DType::U8).as_slice::<u8>().unwrap(), [0, 255, 255]);
        assert_eq!(wide.cast(DType::U64).as_slice::<u64>().unwrap(), [0, 300, i64::MAX as u64]);
        let floats = Array::from_slice(&[-1.7f32, f32::NAN, 1e20], &[3]).unwrap();
        assert_eq!(floats.cast(DType::I32).as_slice::<i32>().unwrap(), [-1, 0, i32::MAX]);
    }

    #[test]
    fn what_an_integer_type_does_not_have_is_found() {
        let find = |array: Array, to| find_changed(array.dtype(), array.bytes(), to);
        let floats = |values: &[f32]| Array::from_slice(values, &[values.len()]).unwrap();
        assert_eq!(find(floats(&[0.0, -0.0, 255.0]), DType::U8), None);
        for (value, to) in [
            (f32::NAN, DType::U8),
            (f32::INFINITY, DType::I64),
            (f32::NEG_INFINITY, DType::I64),
            (-1.0, DType::U8),
            (256.0, DType::U8),
            (0.5, DType::U8),
            (9_223_372_036_854_775_808.0, DType::I64),
            (18_446_744_073_709_551_616.0, DType::U64),
        ] {
            assert_eq!(find(floats(&[1.0, value]), to), Some(1), "{value} to {to}");
        }
        assert_eq!(find(floats(&[9_223_372_036_854_775_808.0]), DType::U64), None);
        assert_eq!(find(floats(&[-9_223_372_036_854_775_808.0]), DType::I64), None);
        assert_eq!(find(floats(&[f32::NAN, 0.5]), DType::F16), None);
        let wide = |values: &[i64]| Array::from_slice(values, &[values.len()]).unwrap();
        assert_eq!(find(wide(&[0, 255, 256]), DType::U8), Some(2));
        assert_eq!(find(wide(&[0, -1]), DType::U64), Some(1));
        assert_eq!(find(wide(&[i64::MAX, i64::MIN]), DType::I64), None);
        assert_eq!(find(Array::from_slice(&[u64::MAX], &[1]).unwrap(), DType::I64), Some(0));
    }

    #[test]
    fn truth_values_are_zero_or_one() {
        let values = Array::from_slice(&[0.0f32, -0.5], &[2]).unwrap().cast(DType::Bool);
        assert_eq!(values.bytes(), [0, 1]);
        assert_eq!(values.cast(DType::F64).as_slice::<f64>().unwrap(), [0.0, 1.0]);
    }

    #[test]
    fn every_pair_of_dtypes_keeps_small_numbers() {
        for &from in DType::ALL {
            for &to in DType::ALL {
                let there = Array::from_slice(&[0u8, 1], &[2]).unwrap().cast(from).cast(to);
                assert_eq!(there.cast(DType::U8).bytes(), [0, 1], "{from} -> {to}");
            }
        }
    }
}
