//! What instructions compute from the values of their operands, after the PTX ISA.

use super::Compute;
use half::{bf16, f16};
use std::cmp::Ordering;
use std::sync::Arc;

/// A type's size in bytes in memory, and whether it is extended by its sign.
pub fn memory_type(ty: &str) -> Option<(usize, bool)> {
    let bits: usize = ty.get(1..)?.parse().ok()?;
    match (ty.as_bytes()[0], bits) {
        (b'b' | b'u', 8 | 16 | 32 | 64) | (b'f', 32 | 64) => Some((bits / 8, false)),
        (b's', 8 | 16 | 32 | 64) => Some((bits / 8, true)),
        _ => None,
    }
}

/// A type of operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Unsigned(u32),
    Signed(u32),
    Half,
    Brain,
    Single,
    Double,
    Predicate,
}

impl Type {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "pred" => Some(Type::Predicate),
            "f16" => Some(Type::Half),
            "bf16" => Some(Type::Brain),
            "f32" => Some(Type::Single),
            "f64" => Some(Type::Double),
            _ => {
                let bits = text.get(1..)?.parse().ok().filter(|bits| [8, 16, 32, 64].contains(bits))?;
                match text.as_bytes()[0] {
                    b'u' | b'b' => Some(Type::Unsigned(bits)),
                    b's' => Some(Type::Signed(bits)),
                    _ => None,
                }
            }
        }
    }

    fn bits(self) -> u32 {
        match self {
            Type::Unsigned(bits) | Type::Signed(bits) => bits,
            Type::Half | Type::Brain => 16,
            Type::Single => 32,
            Type::Double => 64,
            Type::Predicate => 1,
        }
    }

    fn is_signed(self) -> bool {
        matches!(self, Type::Signed(_))
    }

    fn is_float(self) -> bool {
        matches!(self, Type::Half | Type::Brain | Type::Single | Type::Double)
    }
}

fn mask(bits: u32) -> u64 {
    u64::MAX >> (64 - bits)
}

/// The integer that the lowest bits are.
fn integer(value: u64, ty: Type) -> i128 {
    let value = value & mask(ty.bits());
    let shift = 64 - ty.bits();
    if ty.is_signed() { i128::from((value << shift) as i64 >> shift) } else { i128::from(value) }
}

fn single(value: u64) -> f32 {
    f32::from_bits(value as u32)
}

fn double(value: u64) -> f64 {
    f64::from_bits(value)
}

fn of_single(value: f32) -> u64 {
    // NVIDIA's GPUs give one NaN
    u64::from(if value.is_nan() { 0x7fff_ffff } else { value.to_bits() })
}

fn of_double(value: f64) -> u64 {
    if value.is_nan() { 0x7fff_ffff_ffff_ffff } else { value.to_bits() }
}

/// Rounded once, to nearest.
fn of_half(value: f64) -> u64 {
    if value.is_nan() {
        return 0x7fff;
    }
    // `f16::from_f64` rounds twice; what is cut off shows in the last bit of the f32 (rounding to odd), which has bits enough for that
    let near = value as f32;
    let single = match f64::from(near).abs().total_cmp(&value.abs()) {
        Ordering::Equal => near,
        Ordering::Less => f32::from_bits(near.to_bits() | 1),
        Ordering::Greater => f32::from_bits((near.to_bits() - 1) | 1),
    };
    u64::from(f16::from_f32(single).to_bits())
}

/// A float as f64, which is exact.
fn float(value: u64, ty: Type) -> f64 {
    match ty {
        Type::Half => f16::from_bits(value as u16).to_f64(),
        Type::Brain => bf16::from_bits(value as u16).to_f64(),
        Type::Single => f64::from(single(value)),
        _ => double(value),
    }
}

fn boxed(function: impl Fn(u64, u64, u64) -> u64 + Send + Sync + 'static) -> Option<Compute> {
    Some(Arc::new(function))
}

/// The function of an instruction, by its name and modifiers, and the number of its operands; `None` where it is not known.
pub fn function(parts: &[&str]) -> Option<(Compute, usize)> {
    let ty = parts.last().copied()?;
    let operands = match parts[0] {
        "cvt" if parts.contains(&"f16x2") || parts.contains(&"bf16x2") => 2,
        "mov" | "not" | "neg" | "abs" | "sqrt" | "rcp" | "rsqrt" | "cvt" | "cvta" | "popc" | "clz" | "brev" | "ex2"
        | "lg2" | "sin" | "cos" | "tanh" | "testp" => 1,
        "fma" | "mad" | "selp" | "shf" | "prmt" | "bfe" => 3,
        _ => 2,
    };
    let function = match parts {
        ["mov", _] => {
            let bits = Type::parse(ty)?.bits();
            boxed(move |a, _, _| a & mask(bits))
        }
        ["cvt", rest @ ..] => convert(rest),
        ["setp", comparison, _] => compare(comparison, Type::parse(ty)?),
        ["selp", _] => {
            let bits = Type::parse(ty)?.bits();
            boxed(move |a, b, condition| if condition != 0 { a & mask(bits) } else { b & mask(bits) })
        }
        ["shf", direction, clamp, "b32"] => {
            let (left, wraps) = (*direction == "l", *clamp == "wrap");
            boxed(move |low, high, amount| {
                let amount = if wraps { amount & 31 } else { (amount & mask(32)).min(32) };
                let both = (high & mask(32)) << 32 | low & mask(32);
                if left { both << amount >> 32 & mask(32) } else { both >> amount & mask(32) }
            })
        }
        ["prmt", "b32"] => boxed(|a, b, selector| {
            let bytes = (b & mask(32)) << 32 | a & mask(32);
            (0..4).fold(0, |all, place| {
                let choice = selector >> (4 * place) & 15;
                let byte = bytes >> (8 * (choice & 7)) & 255;
                let byte = if choice & 8 == 0 { byte } else { u64::from(byte >= 128) * 255 };
                all | byte << (8 * place)
            })
        }),
        // addresses of the device's memory are the same in the window of all
        ["cvta", "to", "global" | "param", "u64"] | ["cvta", "global" | "param", "u64"] => boxed(|a, _, _| a),
        ["cvta", "to", "shared", "u64"] => boxed(|a, _, _| a - crate::execute::SHARED_WINDOW),
        ["cvta", "shared", "u64"] => boxed(|a, _, _| a + crate::execute::SHARED_WINDOW),
        ["cvta", "to", "local", "u64"] => boxed(|a, _, _| a - crate::execute::LOCAL_WINDOW),
        ["cvta", "local", "u64"] => boxed(|a, _, _| a + crate::execute::LOCAL_WINDOW),
        // two, each by itself
        [name @ ("add" | "sub" | "mul" | "fma"), modifiers @ .., "f32x2" | "f16x2"] => {
            let one = Type::parse(ty.strip_suffix("x2")?)?;
            let (each, bits) = (of_floats(name, modifiers, one)?, one.bits());
            boxed(move |a, b, c| {
                let low = mask(bits);
                each(a & low, b & low, c & low) | each(a >> bits, b >> bits, c >> bits) << bits
            })
        }
        [name, modifiers @ .., _] => {
            let ty = Type::parse(ty)?;
            if ty.is_float() { of_floats(name, modifiers, ty) } else { of_integers(name, modifiers, ty) }
        }
        _ => None,
    };
    function.map(|function| (function, operands))
}

fn of_integers(name: &str, modifiers: &[&str], ty: Type) -> Option<Compute> {
    let bits = ty.bits();
    let wrap = move |value: i128| value as u64 & mask(bits);
    match (name, modifiers) {
        ("add", []) => boxed(move |a, b, _| a.wrapping_add(b) & mask(bits)),
        ("sub", []) => boxed(move |a, b, _| a.wrapping_sub(b) & mask(bits)),
        ("mul", ["lo"]) => boxed(move |a, b, _| a.wrapping_mul(b) & mask(bits)),
        ("mad", ["lo"]) => boxed(move |a, b, c| a.wrapping_mul(b).wrapping_add(c) & mask(bits)),
        ("mul", ["wide"]) => boxed(move |a, b, _| integer(a, ty).wrapping_mul(integer(b, ty)) as u64 & mask(2 * bits)),
        ("mad", ["wide"]) => {
            boxed(move |a, b, c| (integer(a, ty).wrapping_mul(integer(b, ty)) as u64).wrapping_add(c) & mask(2 * bits))
        }
        ("mul", ["hi"]) if ty.is_signed() => {
            boxed(move |a, b, _| wrap(integer(a, ty).wrapping_mul(integer(b, ty)) >> bits))
        }
        ("mul", ["hi"]) => {
            boxed(move |a, b, _| ((u128::from(a & mask(bits)) * u128::from(b & mask(bits))) >> bits) as u64)
        }
        ("div", []) => boxed(move |a, b, _| match integer(b, ty) {
            0 => mask(bits),
            by => wrap(integer(a, ty) / by),
        }),
        ("rem", []) => boxed(move |a, b, _| match integer(b, ty) {
            0 => a & mask(bits),
            by => wrap(integer(a, ty) % by),
        }),
        ("and", []) => boxed(move |a, b, _| a & b & mask(bits)),
        ("or", []) => boxed(move |a, b, _| (a | b) & mask(bits)),
        ("xor", []) => boxed(move |a, b, _| (a ^ b) & mask(bits)),
        ("not", []) => boxed(move |a, _, _| !a & mask(bits)),
        ("neg", []) => boxed(move |a, _, _| a.wrapping_neg() & mask(bits)),
        ("abs", []) => boxed(move |a, _, _| wrap(integer(a, ty).abs())),
        ("min", []) => boxed(move |a, b, _| wrap(integer(a, ty).min(integer(b, ty)))),
        ("max", []) => boxed(move |a, b, _| wrap(integer(a, ty).max(integer(b, ty)))),
        // amounts are 32 bits; large ones shift everything out
        ("shl", []) => boxed(move |a, by, _| match by & mask(32) {
            by if by < u64::from(bits) => a << by & mask(bits),
            _ => 0,
        }),
        ("shr", []) => boxed(move |a, by, _| wrap(integer(a, ty) >> (by & mask(32)).min(64))),
        ("popc", []) => boxed(move |a, _, _| u64::from((a & mask(bits)).count_ones())),
        ("clz", []) => boxed(move |a, _, _| u64::from((a & mask(bits)).leading_zeros() - (64 - bits))),
        ("brev", []) => boxed(move |a, _, _| (a & mask(bits)).reverse_bits() >> (64 - bits)),
        ("bfe", []) => boxed(move |a, start, length| {
            let (start, length) = (start as u32 & 255, length as u32 & 255);
            let top = (start + length).saturating_sub(1).min(bits - 1);
            let sign = ty.is_signed() && length > 0 && a >> top & 1 == 1;
            let taken = if start < bits { (a & mask(bits)) >> start } else { 0 };
            let held = length.min(bits.saturating_sub(start));
            let low = if held == 0 { 0 } else { taken & mask(held) };
            let high = if !sign || held >= bits { 0 } else { u64::MAX << held };
            (low | high) & mask(bits)
        }),
        _ => None,
    }
}

/// Bits of `a` put into `b` (`bfi`): `length` bits from `start` on.
pub fn insert_bits(a: u64, b: u64, start: u64, length: u64, bits: u32) -> u64 {
    let (start, length) = (start as u32 & 255, length as u32 & 255);
    if start >= bits || length == 0 {
        return b & mask(bits);
    }
    let taken = mask(length.min(bits - start)) << start;
    (b & !taken | a << start & taken) & mask(bits)
}

fn of_floats(name: &str, modifiers: &[&str], ty: Type) -> Option<Compute> {
    // every modifier must be one that the function below has
    let (mut nan, mut approximate) = (false, false);
    for modifier in modifiers {
        match *modifier {
            "rn" => {}
            "NaN" if matches!(name, "min" | "max") => nan = true,
            "approx" => approximate = true,
            _ => return None,
        }
    }
    if approximate != matches!(name, "ex2" | "lg2" | "sin" | "cos" | "tanh" | "rsqrt") {
        return None;
    }
    macro_rules! function {
        ($read:expr, $write:ident, $float:ty, $sign:literal) => {{
            let read: fn(u64) -> $float = $read;
            match name {
                "add" => boxed(move |a, b, _| $write(read(a) + read(b))),
                "sub" => boxed(move |a, b, _| $write(read(a) - read(b))),
                "mul" => boxed(move |a, b, _| $write(read(a) * read(b))),
                "div" => boxed(move |a, b, _| $write(read(a) / read(b))),
                "fma" => boxed(move |a, b, c| $write(read(a).mul_add(read(b), read(c)))),
                "neg" => boxed(move |a, _, _| a ^ $sign),
                "abs" => boxed(move |a, _, _| a & ($sign - 1)),
                "copysign" => boxed(move |sign, value, _| value & ($sign - 1) | sign & $sign),
                "sqrt" => boxed(move |a, _, _| $write(read(a).sqrt())),
                "rcp" => boxed(move |a, _, _| $write(1.0 / read(a))),
                "rsqrt" => boxed(move |a, _, _| $write(1.0 / read(a).sqrt())),
                "ex2" => boxed(move |a, _, _| $write(read(a).exp2())),
                "lg2" => boxed(move |a, _, _| $write(read(a).log2())),
                "sin" => boxed(move |a, _, _| $write(read(a).sin())),
                "cos" => boxed(move |a, _, _| $write(read(a).cos())),
                "tanh" => boxed(move |a, _, _| $write(read(a).tanh())),
                "min" | "max" => {
                    let greater = name == "max";
                    boxed(move |a, b, _| {
                        let (x, y) = (read(a), read(b));
                        if x.is_nan() || y.is_nan() {
                            if nan || (x.is_nan() && y.is_nan()) {
                                return $write(<$float>::NAN);
                            }
                            return if x.is_nan() { b } else { a };
                        }
                        // -0 is below +0
                        let first = x < y || (x == y && x.is_sign_negative());
                        if first == greater { b } else { a }
                    })
                }
                _ => None,
            }
        }};
    }
    match ty {
        Type::Single => function!(single, of_single, f32, 0x8000_0000u64),
        Type::Double => function!(double, of_double, f64, 0x8000_0000_0000_0000u64),
        // these are exact in f64, or so near that rounding that once more changes nothing
        Type::Half if matches!(name, "min" | "max" | "neg" | "abs" | "add" | "sub" | "mul" | "fma") => {
            function!(|value| float(value, Type::Half), of_half, f64, 0x8000u64)
        }
        _ => None,
    }
}

fn compare(comparison: &str, ty: Type) -> Option<Compute> {
    use Ordering::{Equal, Greater, Less};
    let ordering = move |a: u64, b: u64| {
        if ty.is_float() { float(a, ty).partial_cmp(&float(b, ty)) } else { Some(integer(a, ty).cmp(&integer(b, ty))) }
    };
    // comparisons of floats that end with `u` hold where one is no number
    let (unordered, comparison) = match comparison {
        "num" if ty.is_float() => return boxed(move |a, b, _| u64::from(ordering(a, b).is_some())),
        "nan" if ty.is_float() => return boxed(move |a, b, _| u64::from(ordering(a, b).is_none())),
        "equ" | "neu" | "ltu" | "leu" | "gtu" | "geu" if ty.is_float() => (true, &comparison[..2]),
        other => (false, other),
    };
    let holds: &'static [Ordering] = match comparison {
        "eq" => &[Equal],
        "ne" => &[Less, Greater],
        "lt" => &[Less],
        "le" => &[Less, Equal],
        "gt" => &[Greater],
        "ge" => &[Greater, Equal],
        _ => return None,
    };
    boxed(move |a, b, _| u64::from(ordering(a, b).map_or(unordered, |ordering| holds.contains(&ordering))))
}

/// A rounding to whole numbers.
fn whole(modifier: &str) -> Option<fn(f64) -> f64> {
    match modifier {
        "rni" => Some(f64::round_ties_even),
        "rmi" => Some(f64::floor),
        "rpi" => Some(f64::ceil),
        "rzi" => Some(f64::trunc),
        _ => None,
    }
}

/// The same with a result that is extended to a destination of more bits, as the results of `cvt` alone are.
pub fn extended(function: Compute, to: &str, register_bits: u32) -> Option<Compute> {
    let to = Type::parse(to)?;
    boxed(move |a, b, c| integer(function(a, b, c), to) as u64 & mask(register_bits))
}

/// `cvt` with these modifiers and types, the result's first.
fn convert(parts: &[&str]) -> Option<Compute> {
    // two results side by side, the first operand's above
    if let &["rn", pair @ ("f16x2" | "bf16x2"), from] = parts {
        let half = convert(&["rn", pair.strip_suffix("x2")?, from])?;
        return boxed(move |above, below, _| half(above, 0, 0) << 16 | half(below, 0, 0));
    }
    // to the nearest with 10 bits behind the point, of two that are as near to that away from zero
    if parts == ["rna", "tf32", "f32"] {
        return boxed(|a, _, _| if single(a).is_finite() { (a + 0x1000) & 0xffff_e000 } else { a });
    }
    let [modifiers @ .., to, from] = parts else { return None };
    let (to, from) = (Type::parse(to)?, Type::parse(from)?);
    match (to.is_float(), from.is_float(), modifiers) {
        (false, false, []) => boxed(move |a, _, _| integer(a, from) as u64 & mask(to.bits().max(1))),
        // out of range is the nearest integer there is, NaN 0
        (false, true, [modifier]) => {
            let whole = whole(modifier)?;
            let (bits, signed) = (to.bits(), to.is_signed());
            boxed(move |a, _, _| {
                let value = whole(float(a, from));
                let value = match (signed, bits) {
                    (true, 64) => return value as i64 as u64,
                    (false, 64) => return value as u64,
                    (true, _) => {
                        let limit = 1i64 << (bits - 1);
                        (value as i64).clamp(-limit, limit - 1) as u64
                    }
                    (false, _) => (value as u64).min(mask(bits)),
                };
                value & mask(bits)
            })
        }
        (true, false, ["rn"]) => match to {
            Type::Single if from.is_signed() => boxed(move |a, _, _| of_single(integer(a, from) as i64 as f32)),
            Type::Single => boxed(move |a, _, _| of_single(integer(a, from) as u64 as f32)),
            Type::Double if from.is_signed() => boxed(move |a, _, _| of_double(integer(a, from) as i64 as f64)),
            Type::Double => boxed(move |a, _, _| of_double(integer(a, from) as u64 as f64)),
            Type::Half => boxed(move |a, _, _| of_half(integer(a, from) as f64)),
            _ => None,
        },
        (true, true, [modifier]) if to == from => {
            let whole = whole(modifier)?;
            match to {
                Type::Single => boxed(move |a, _, _| of_single(whole(f64::from(single(a))) as f32)),
                Type::Double => boxed(move |a, _, _| of_double(whole(double(a)))),
                Type::Half => boxed(move |a, _, _| of_half(whole(float(a, from)))),
                _ => None,
            }
        }
        (true, true, []) if to.bits() > from.bits() => match to {
            Type::Single => boxed(move |a, _, _| of_single(float(a, from) as f32)),
            _ => boxed(move |a, _, _| of_double(float(a, from))),
        },
        (true, true, ["rn"]) if to.bits() < from.bits() => match (to, from) {
            (Type::Single, Type::Double) => boxed(|a, _, _| of_single(double(a) as f32)),
            (Type::Half, Type::Single | Type::Double) => boxed(move |a, _, _| of_half(float(a, from))),
            (Type::Brain, Type::Single) => boxed(|a, _, _| u64::from(bf16::from_f32(single(a)).to_bits())),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str, a: u64, b: u64, c: u64) -> u64 {
        let parts: Vec<&str> = name.split('.').collect();
        function(&parts).unwrap_or_else(|| panic!("{name} is not known")).0(a, b, c)
    }

    fn f(value: f32) -> u64 {
        u64::from(value.to_bits())
    }

    /// Results that the PTX ISA's text gives.
    #[test]
    fn instructions_compute_what_the_manual_says() {
        assert_eq!(call("mul.hi.s64", u64::MAX, 2, 0), u64::MAX);
        assert_eq!(call("mul.hi.u64", u64::MAX, 2, 0), 1);
        assert_eq!(call("mul.wide.s32", 0xffff_ffff, 2, 0), (-2i64) as u64);
        assert_eq!(call("shr.s32", 0x8000_0000, 40, 0), 0xffff_ffff);
        assert_eq!(call("shl.b32", 1, 32, 0), 0);
        assert_eq!(call("shf.l.wrap.b32", 0x8000_0001, 0x8000_0001, 1), 3);
        assert_eq!(call("prmt.b32", 0x4433_2211, 0x8877_6655, 0x7650), 0x8877_6611);
        assert_eq!(call("prmt.b32", 0x80, 0, 0x8888), 0xffff_ffff);
        assert_eq!(call("bfe.s32", 0xf0, 4, 4), 0xffff_ffff);
        assert_eq!(call("bfe.u32", 0xf0, 4, 4), 0xf);
        assert_eq!(call("clz.b32", 1, 0, 0), 31);
        assert_eq!(call("cvt.rzi.s32.f32", f(3e9), 0, 0), 0x7fff_ffff);
        assert_eq!(call("cvt.rzi.s32.f32", f(f32::NAN), 0, 0), 0);
        assert_eq!(call("cvt.rni.f32.f32", f(2.5), 0, 0), f(2.0));
        assert_eq!(call("cvt.rna.tf32.f32", f(1.0 + 2f32.powi(-11)), 0, 0), f(1.0 + 2f32.powi(-10)));
        assert_eq!(call("cvt.s64.s32", 0xffff_fffe, 0, 0), (-2i64) as u64);
        assert_eq!(call("cvt.u16.u64", 0x12345, 0, 0), 0x2345);
        assert_eq!(call("max.NaN.f32", f(1.0), f(f32::NAN), 0), 0x7fff_ffff);
        assert_eq!(call("max.f32", f(1.0), f(f32::NAN), 0), f(1.0));
        assert_eq!(call("min.f32", f(0.0), f(-0.0), 0), f(-0.0));
        assert_eq!(call("setp.ltu.f32", f(1.0), f(f32::NAN), 0), 1);
        assert_eq!(call("setp.ne.f32", f(1.0), f(f32::NAN), 0), 0);
        assert_eq!(call("setp.neu.f32", f(1.0), f(f32::NAN), 0), 1);
        let two = |low: f32, high: f32| f(high) << 32 | f(low);
        assert_eq!(call("fma.rn.f32x2", two(2.0, 3.0), two(5.0, 7.0), two(1.0, -1.0)), two(11.0, 20.0));
        let half = |value: f32| u64::from(f16::from_f32(value).to_bits());
        assert_eq!(call("add.rn.f16", half(1.0), half(4.8876e-4), 0), half(1.0 + 9.765625e-4), "above the middle");
        assert_eq!(call("fma.rn.f16", half(65504.0), half(1.0), half(16.0)), half(f32::INFINITY));
        assert_eq!(call("mul.rn.f16", half(6e-8), half(0.5), 0), 0, "half of the least, to even");
        assert_eq!(
            call("mul.rn.f16x2", half(3.0) << 16 | half(2.0), half(0.5) << 16 | half(4.0), 0),
            half(1.5) << 16 | half(8.0)
        );
        assert_eq!(call("cvt.rn.f16x2.f32", f(2.0), f(1.0), 0), half(2.0) << 16 | half(1.0));
        assert_eq!(call("cvt.rn.bf16x2.f32", f(-1.0), f(257.0 / 256.0), 0), 0xbf80_3f80, "to even");
        assert_eq!(insert_bits(0xff, 0, 8, 4, 32), 0xf00);
        assert_eq!(insert_bits(0x1, 0x1234_0000, 16, 16, 32), 0x1_0000);
        assert!(function(&["fma", "rz", "f32"]).is_none() && function(&["add", "sat", "f32"]).is_none());
    }
}
