//! Scalar functions in f64. They come from one portable library, so that a result does not depend on the system's.

use kc_abi::call::MathFunction;

/// See [`kc_abi::call::Intrinsics::math_f64`]; NaN for a number that names no function of one operand.
pub(super) extern "C" fn math_f64(function: u32, x: f64) -> f64 {
    MathFunction::from_number(function).map_or(f64::NAN, |function| evaluate(function, x))
}

/// See [`kc_abi::call::Intrinsics::math2_f64`]; NaN for a number that names no function of two operands.
pub(super) extern "C" fn math2_f64(function: u32, x: f64, y: f64) -> f64 {
    MathFunction::from_number(function).map_or(f64::NAN, |function| evaluate2(function, x, y))
}

/// A function of one operand; NaN where `function` takes two.
pub fn evaluate(function: MathFunction, x: f64) -> f64 {
    use MathFunction::*;
    match function {
        Exp => libm::exp(x),
        Expm1 => libm::expm1(x),
        Log => libm::log(x),
        Log1p => libm::log1p(x),
        Sin => libm::sin(x),
        Cos => libm::cos(x),
        Tan => libm::tan(x),
        Asin => libm::asin(x),
        Acos => libm::acos(x),
        Atan => libm::atan(x),
        Sinh => libm::sinh(x),
        Cosh => libm::cosh(x),
        Tanh => libm::tanh(x),
        Asinh => libm::asinh(x),
        Acosh => libm::acosh(x),
        Atanh => libm::atanh(x),
        Cbrt => libm::cbrt(x),
        Erf => libm::erf(x),
        Erfc => libm::erfc(x),
        ErfInv => erf_inv(x),
        Lgamma => libm::lgamma(x),
        Digamma => digamma(x),
        Pow | Atan2 | Rem => f64::NAN,
    }
}

/// A function of two operands; NaN where `function` takes one.
pub fn evaluate2(function: MathFunction, x: f64, y: f64) -> f64 {
    use MathFunction::*;
    match function {
        Pow => libm::pow(x, y),
        Atan2 => libm::atan2(x, y),
        Rem => libm::fmod(x, y),
        Exp | Expm1 | Log | Log1p | Sin | Cos | Tan | Asin | Acos | Atan | Sinh | Cosh | Tanh | Asinh | Acosh
        | Atanh | Cbrt | Erf | Erfc | ErfInv | Lgamma | Digamma => f64::NAN,
    }
}

/// The inverse of the error function: Winitzki's closed approximation, then Newton steps (Halley's form) on `erf`,
/// or on `erfc` where `erf` is close to 1.
fn erf_inv(x: f64) -> f64 {
    if x.abs() >= 1.0 || x.is_nan() {
        return if x.abs() == 1.0 { x * f64::INFINITY } else { f64::NAN };
    }
    if x == 0.0 {
        return x;
    }
    let (magnitude, complement) = (x.abs(), 1.0 - x.abs());
    let a = 0.147;
    let log = libm::log(complement * (1.0 + magnitude));
    let half = 2.0 / (core::f64::consts::PI * a) + log / 2.0;
    let mut y = libm::sqrt(libm::sqrt(half * half - log / a) - half);
    for _ in 0..4 {
        let error = if magnitude < 0.5 { libm::erf(y) - magnitude } else { complement - libm::erfc(y) };
        let newton = error / (core::f64::consts::FRAC_2_SQRT_PI * libm::exp(-y * y));
        y -= newton / (1.0 + y * newton);
    }
    y.copysign(x)
}

/// The derivative of ln Gamma: reflection for `x < 1/2`, recurrence up to 10, then the asymptotic series.
fn digamma(x: f64) -> f64 {
    if x == f64::NEG_INFINITY || (x <= 0.0 && x == libm::floor(x)) {
        return f64::NAN;
    }
    if x < 0.5 {
        let fraction = x - libm::floor(x);
        return digamma_above(1.0 - x) - core::f64::consts::PI / libm::tan(core::f64::consts::PI * fraction);
    }
    digamma_above(x)
}

/// The same for `x` of at least 1/2. It does not call itself: a GPU's threads have small stacks.
fn digamma_above(x: f64) -> f64 {
    let (mut x, mut shift) = (x, 0.0);
    while x < 10.0 {
        shift -= 1.0 / x;
        x += 1.0;
    }
    let r = 1.0 / (x * x);
    // Bernoulli numbers B_2k / 2k
    let series = r
        * (1.0 / 12.0
            - r * (1.0 / 120.0
                - r * (1.0 / 252.0 - r * (1.0 / 240.0 - r * (1.0 / 132.0 - r * (691.0 / 32760.0 - r / 12.0))))));
    shift + libm::log(x) - 0.5 / x - series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erf_inv_inverts_erf() {
        for i in -999..1000 {
            let x = f64::from(i) / 1000.0;
            let back = libm::erf(erf_inv(x));
            assert!((back - x).abs() <= 4.0 * f64::EPSILON * x.abs(), "{x}: {back}");
        }
        for exponent in [10, 30, 50] {
            let complement = 2f64.powi(-exponent);
            let back = libm::erfc(erf_inv(1.0 - complement));
            assert!((back - complement).abs() <= 1e-13 * complement, "1 - 2^-{exponent}: {back}");
        }
        assert_eq!((erf_inv(1.0), erf_inv(-1.0)), (f64::INFINITY, f64::NEG_INFINITY));
        assert!(erf_inv(1.5).is_nan());
    }

    #[test]
    fn digamma_has_its_known_values() {
        const EULER: f64 = 0.577_215_664_901_532_9;
        for (x, expected) in [
            (1.0, -EULER),
            (0.5, -EULER - 2.0 * std::f64::consts::LN_2),
            (2.0, 1.0 - EULER),
            (-0.5, 2.0 - EULER - 2.0 * std::f64::consts::LN_2),
            (100.0, 4.600_161_852_738_087),
        ] {
            assert!((digamma(x) - expected).abs() <= 1e-14 * expected.abs().max(1.0), "{x}: {}", digamma(x));
        }
        assert!(digamma(-3.0).is_nan());
    }

    #[test]
    fn every_number_of_the_table_has_its_function() {
        for number in 0..100 {
            match MathFunction::from_number(number) {
                Some(MathFunction::Pow | MathFunction::Atan2 | MathFunction::Rem) => {
                    assert!(!math2_f64(number, 0.75, 0.5).is_nan())
                }
                Some(MathFunction::Acosh) => assert!(!math_f64(number, 1.5).is_nan()),
                Some(_) => assert!(!math_f64(number, 0.5).is_nan(), "{number}"),
                None => assert!(math_f64(number, 0.5).is_nan() && math2_f64(number, 0.5, 0.5).is_nan()),
            }
        }
    }
}
