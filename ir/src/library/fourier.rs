//! The discrete Fourier transform by its definition.

use std::f64::consts::TAU;

/// `sum_j x[j] exp(-2 pi i j k / n)` for each `k`; of the inverse the conjugate exponential and `1/n`.
pub(super) fn transform(real: &[f64], imaginary: &[f64], inverse: bool) -> (Vec<f64>, Vec<f64>) {
    let n = real.len();
    let scale = if inverse { 1.0 / n as f64 } else { 1.0 };
    let roots: Vec<(f64, f64)> = (0..n)
        .map(|j| {
            let angle = TAU * j as f64 / n as f64 * if inverse { 1.0 } else { -1.0 };
            (libm::cos(angle), libm::sin(angle))
        })
        .collect();
    let sum = |k: usize| {
        let (mut re, mut im) = (0.0, 0.0);
        for j in 0..n {
            // the power is reduced first: n is at most a number of elements, so the product fits
            let (c, s) = roots[(j as u128 * k as u128 % n as u128) as usize];
            re += real[j] * c - imaginary[j] * s;
            im += real[j] * s + imaginary[j] * c;
        }
        (re * scale, im * scale)
    };
    (0..n).map(sum).unzip()
}
