//! The derivatives of the elementwise functions: one line each. `x`, `a`, `b` are operands, `y` is the result, `g` its cotangent.

use super::{Binary, Unary};
use crate::tensor::{Tensor, TypeError};
use std::f64::consts::{FRAC_2_SQRT_PI, PI};

/// The cotangent of `x`; `None` where the derivative is zero.
#[rustfmt::skip]
pub(super) fn unary<'s, 'b>(function: Unary, x: Tensor<'s, 'b>, y: Tensor<'s, 'b>, g: Tensor<'s, 'b>) -> Result<Option<Tensor<'s, 'b>>, TypeError> {
    Ok(Some(match function {
        Unary::Negate   => -g,
        // 1 at 0, as of jax.lax.abs
        Unary::Abs      => x.greater_equal(0.0).select(g, -g),
        Unary::Exp      => g * y,
        Unary::Expm1    => g * (y + 1.0),
        Unary::Log      => g / x,
        Unary::Log1p    => g / (x + 1.0),
        Unary::Sqrt     => g * 0.5 / y,
        Unary::Rsqrt    => g * -0.5 * y / x,
        Unary::Cbrt     => g / (3.0 * y.square()),
        Unary::Sin      => g * x.cos(),
        Unary::Cos      => -(g * x.sin()),
        Unary::Tan      => g * (y.square() + 1.0),
        Unary::Asin     => g * (1.0 - x.square()).rsqrt(),
        Unary::Acos     => -(g * (1.0 - x.square()).rsqrt()),
        Unary::Atan     => g / (x.square() + 1.0),
        Unary::Sinh     => g * x.cosh(),
        Unary::Cosh     => g * x.sinh(),
        Unary::Tanh     => g * (1.0 - y.square()),
        Unary::Asinh    => g * (x.square() + 1.0).rsqrt(),
        Unary::Acosh    => g * ((x - 1.0) * (x + 1.0)).rsqrt(),
        Unary::Atanh    => g / (1.0 - x.square()),
        Unary::Logistic => g * (y * (1.0 - y)),
        Unary::Erf      => g * FRAC_2_SQRT_PI * (-x.square()).exp(),
        Unary::Erfc     => g * -FRAC_2_SQRT_PI * (-x.square()).exp(),
        Unary::ErfInv   => g * (PI.sqrt() / 2.0) * y.square().exp(),
        Unary::Lgamma   => g * x.digamma(),
        Unary::Digamma  => g * trigamma(x),
        Unary::Sign | Unary::Floor | Unary::Ceil | Unary::Trunc | Unary::RoundEven => return Ok(None),
        Unary::IsFinite | Unary::Not | Unary::PopulationCount | Unary::CountLeadingZeros => return Ok(None),
    }))
}

/// The derivative of the digamma function: `sum of 1/(x + k)^2` over all `k >= 0`.
fn trigamma<'s, 'b>(x: Tensor<'s, 'b>) -> Tensor<'s, 'b> {
    // below 1/2 by reflection, where the sine is that of the fraction; elsewhere the sine is not to be 0
    let is_low = x.less(0.5);
    let z = is_low.select(1.0 - x, x);
    let sine = (is_low.select(x - x.floor(), 0.5) * PI).sin();
    // the first terms, and the asymptotic series of the others
    const TERMS: usize = 8;
    let first = (0..TERMS).fold(x.zeros_like(), |sum, k| sum + 1.0 / (z + k as f64).square());
    let inverse = 1.0 / (z + TERMS as f64);
    let square = inverse.square();
    const BERNOULLI: [f64; 7] =
        [7.0 / 6.0, -691.0 / 2730.0, 5.0 / 66.0, -1.0 / 30.0, 1.0 / 42.0, -1.0 / 30.0, 1.0 / 6.0];
    let series = BERNOULLI.into_iter().fold(x.zeros_like(), |sum, number| (sum + number) * square);
    let sum = first + inverse * (inverse * 0.5 + series + 1.0);
    is_low.select((PI / sine).square() - sum, sum)
}

/// The cotangents of `a` and `b`; `None` where the derivatives are zero.
#[rustfmt::skip]
pub(super) fn binary<'s, 'b>(function: Binary, a: Tensor<'s, 'b>, b: Tensor<'s, 'b>, y: Tensor<'s, 'b>, g: Tensor<'s, 'b>) -> Option<[Tensor<'s, 'b>; 2]> {
    Some(match function {
        Binary::Add       => [g, g],
        Binary::Subtract  => [g, -g],
        Binary::Multiply  => [g * b, g * a],
        Binary::Divide    => [g / b, -(g * y / b)],
        Binary::Remainder => [g, -(g * (a / b).trunc())],
        // at b = 0 the first is 0, at a = 0 the second
        Binary::Power     => [g * b * a.power(b.equal(0.0).select(b.number(1.0), b - 1.0)), g * y * a.equal(0.0).select(a.number(1.0), a).log()],
        // equal operands share
        Binary::Maximum   => [g * share(a.greater(b), a, b), g * share(b.greater(a), a, b)],
        Binary::Minimum   => [g * share(a.less(b), a, b), g * share(b.less(a), a, b)],
        Binary::Atan2     => [g * b / (a.square() + b.square()), -(g * a / (a.square() + b.square()))],
        Binary::And | Binary::Or | Binary::Xor | Binary::ShiftLeft | Binary::ShiftRight => return None,
    })
}

/// 1 where the operand is chosen, 1/2 where both are equal, else 0.
fn share<'s, 'b>(chosen: Tensor<'s, 'b>, a: Tensor<'s, 'b>, b: Tensor<'s, 'b>) -> Tensor<'s, 'b> {
    chosen.select(a.number(1.0), a.equal(b).select(a.number(0.5), 0.0))
}
