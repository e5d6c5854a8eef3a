//! Windows of signal processing.

use super::declare::functions;
use super::elementwise::bessel;
use super::formulas::iota;
use kc_ir::{DType, Dim};
use std::f64::consts::TAU;

macro_rules! windows {
    ($($(#[$doc:meta])* $name:ident $class:ident = |$x:ident| $body:expr;)*) => { functions! { $(
        $(#[$doc])*
        ///
        /// The argument is the number of points.
        $name $class(; x: i64) = |scope, []| {
            if x == 1 {
                return Ok(vec![scope.scalar(DType::F32, 1.0).broadcast_to(&[Dim::constant(1)])]);
            }
            // 0 at the first point, 1 at the last
            let $x = iota(scope, DType::F32, &[Dim::constant(x.max(0))], 0) / (x - 1).max(1) as f64;
            $body
        };
    )* } };
}
windows! {
    /// The Bartlett window: a triangle that is 0 at both ends, `1 - |2t - 1|`.
    bartlett Bartlett = |t| 1.0 - (t * 2.0 - 1.0).abs();
    /// The Blackman window, `0.42 - 0.5 cos(2 pi t) + 0.08 cos(4 pi t)`.
    blackman Blackman = |t| (t * TAU).cos() * -0.5 + 0.42 + (t * (2.0 * TAU)).cos() * 0.08;
    /// The Hamming window, `0.54 - 0.46 cos(2 pi t)`.
    hamming Hamming = |t| 0.54 - (t * TAU).cos() * 0.46;
    /// The Hann window, `0.5 - 0.5 cos(2 pi t)`.
    hanning Hanning = |t| 0.5 - (t * TAU).cos() * 0.5;
}

functions! {
    /// The Kaiser window, `i0(beta sqrt(1 - (2t - 1)^2)) / i0(beta)`. The first argument is the number of points.
    kaiser Kaiser(; x: i64, beta: f64) = |scope, []| {
        if x == 1 {
            return Ok(vec![scope.scalar(DType::F32, 1.0).broadcast_to(&[Dim::constant(1)])]);
        }
        let t = iota(scope, DType::F32, &[Dim::constant(x.max(0))], 0) / (x - 1).max(1) as f64 * 2.0 - 1.0;
        let inside = (1.0 - t * t).maximum(0.0).sqrt() * beta;
        bessel(inside) / bessel(t.number(beta))
    };
}
