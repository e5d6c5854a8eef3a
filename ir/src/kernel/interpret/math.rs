//! Scalar functions in f64, independent of the runtime's.

use kc_abi::call::MathFunction;
use std::f64::consts::{FRAC_2_SQRT_PI, PI};

/// The function of one operand, or of two. What it is given beyond its operands is not read.
pub fn math(function: MathFunction, x: f64, y: f64) -> f64 {
    match function {
        MathFunction::Exp => libm::exp(x),
        MathFunction::Expm1 => libm::expm1(x),
        MathFunction::Log => libm::log(x),
        MathFunction::Log1p => libm::log1p(x),
        MathFunction::Sin => libm::sin(x),
        MathFunction::Cos => libm::cos(x),
        MathFunction::Tan => libm::tan(x),
        MathFunction::Asin => libm::asin(x),
        MathFunction::Acos => libm::acos(x),
        MathFunction::Atan => libm::atan(x),
        MathFunction::Sinh => libm::sinh(x),
        MathFunction::Cosh => libm::cosh(x),
        MathFunction::Tanh => libm::tanh(x),
        MathFunction::Asinh => libm::asinh(x),
        MathFunction::Acosh => libm::acosh(x),
        MathFunction::Atanh => libm::atanh(x),
        MathFunction::Cbrt => libm::cbrt(x),
        MathFunction::Erf => libm::erf(x),
        MathFunction::Erfc => libm::erfc(x),
        MathFunction::ErfInv => erf_inv(x),
        MathFunction::Lgamma => libm::lgamma(x),
        MathFunction::Digamma => digamma(x),
        MathFunction::Pow => libm::pow(x, y),
        MathFunction::Atan2 => libm::atan2(x, y),
        MathFunction::Rem => x % y,
    }
}

/// Newton's method on `erfc(z) = 1 - |x|`, from below the root, where it converges from one side: `erfc` is convex.
fn erf_inv(x: f64) -> f64 {
    if x.is_nan() || x.abs() >= 1.0 {
        return if x.abs() == 1.0 { x * f64::INFINITY } else { f64::NAN };
    }
    // erf(z) = z * 2/sqrt(pi) to the last bit there, and 1 - |x| would lose x
    if x.abs() < 1e-8 {
        return x / FRAC_2_SQRT_PI;
    }
    let goal = x.abs();
    let mut z = 0.0;
    for _ in 0..200 {
        let slope = FRAC_2_SQRT_PI * libm::exp(-z * z);
        let rest = if goal < 0.5 { goal - libm::erf(z) } else { libm::erfc(z) - (1.0 - goal) };
        let step = rest / slope;
        z += step;
        if step.abs() <= z.abs() * 1e-16 {
            break;
        }
    }
    z.copysign(x)
}

/// Reflection below 0, recurrence up to 8, then the asymptotic series (Abramowitz and Stegun 6.3.18).
fn digamma(x: f64) -> f64 {
    if x == f64::NEG_INFINITY || (x <= 0.0 && x == x.floor()) {
        return f64::NAN;
    }
    if x < 0.0 {
        return digamma(1.0 - x) - PI / libm::tan(PI * x);
    }
    let (mut z, mut sum) = (x, 0.0);
    while z < 8.0 {
        sum -= 1.0 / z;
        z += 1.0;
    }
    let square = 1.0 / (z * z);
    // B_2n / 2n for n = 1..7
    const TERMS: [f64; 7] =
        [1.0 / 12.0, -1.0 / 120.0, 1.0 / 252.0, -1.0 / 240.0, 1.0 / 132.0, -691.0 / 32760.0, 1.0 / 12.0];
    let series = TERMS.iter().rev().fold(0.0, |series, term| (series + term) * square);
    sum + libm::log(z) - 0.5 / z - series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erf_inv_inverts_erf() {
        for z in [-3.5, -1.0, -0.3, -1e-5, 1e-12, 0.2, 0.7, 2.0, 4.0] {
            let x = libm::erf(z);
            let error = (erf_inv(x) - z).abs();
            // one unit in the last place of x, as far as the slope spreads it
            let bound = 4e-16 * (x.abs() / (FRAC_2_SQRT_PI * libm::exp(-z * z)) + z.abs());
            assert!(error <= bound, "erf_inv(erf({z})) is off by {error:e}, more than {bound:e}");
        }
        assert_eq!(erf_inv(1.0), f64::INFINITY);
        assert_eq!(erf_inv(-1.0), f64::NEG_INFINITY);
        assert!(erf_inv(1.5).is_nan());
    }

    #[test]
    fn digamma_has_its_known_values() {
        const EULER: f64 = 0.577_215_664_901_532_9;
        for (x, expected) in [
            (1.0, -EULER),
            (0.5, -EULER - 2.0 * std::f64::consts::LN_2),
            (10.0, 2.251_752_589_066_721),
            (-0.5, 0.036_489_973_978_576_52),
        ] {
            assert!((digamma(x) - expected).abs() < 1e-14, "digamma({x}) is {}, expected {expected}", digamma(x));
        }
        assert!(digamma(-2.0).is_nan());
    }
}
