//! Activations, element by element: the composites that `keras.activations` are too.

use super::super::declare::functions;
use super::super::promotion::float;
use kc_ir::tensor::ops::Unary;
use kc_ir::tensor::{Real, composites};

macro_rules! activations {
    ($($(#[$doc:meta])* $name:ident $class:ident $op:expr;)*) => { functions! { $(
        $(#[$doc])*
        $name $class(x) = |scope, &[x]| scope.op($op, &[float(x)]);
    )* } };
}
activations! {
    /// `min(max(x, 0), 6)`
    relu6 Relu6 composites::Relu6 {};
    /// `1 / (1 + e^-x)`
    sigmoid Sigmoid Unary::Logistic;
    /// `ln(1 + e^x)`
    softplus Softplus composites::Softplus {};
    /// `x / (1 + |x|)`
    softsign Softsign composites::Softsign {};
    /// `x / (1 + e^-x)`
    silu Silu composites::Silu {};
    /// `x / (1 + e^-x)`
    swish Swish composites::Silu {};
    /// `-ln(1 + e^-x)`
    log_sigmoid LogSigmoid composites::LogSigmoid {};
    /// `min(max(x / 6 + 1/2, 0), 1)`
    hard_sigmoid HardSigmoid composites::HardSigmoid {};
    /// `x hard_sigmoid(x)`
    hard_silu HardSilu composites::HardSilu {};
    /// `x hard_sigmoid(x)`
    hard_swish HardSwish composites::HardSilu {};
    /// [`elu`] with the constants of self-normalising networks.
    selu Selu composites::Selu {};
    /// `x - tanh(x)`
    tanh_shrink TanhShrink composites::TanhShrink {};
    /// `min(max(x / 2 + 1/2, 0), 1)`
    sparse_sigmoid SparseSigmoid composites::SparseSigmoid {};
    /// 0 up to -1, `x` from 1 on, between them `(x + 1)^2 / 4`.
    sparse_plus SparsePlus composites::SparsePlus {};
}

functions! {
    /// `min(max(x, -1), 1)`
    hard_tanh HardTanh(x) = |scope, &[x]| scope.op(composites::HardTanh {}, &[float(x)]).convert(x.ty().dtype);
    /// `max(x, 0)`
    relu Relu(x) = |scope, &[x]| scope.op(composites::Relu {}, &[*x]);
    /// `x` where it is not negative, else `negative_slope x`.
    leaky_relu LeakyRelu(x) {
        /// The slope below 0 (default: 0.2).
        negative_slope: f64 = 0.2,
    } = |scope, &[x]| scope.op(composites::LeakyRelu { negative_slope: Real(negative_slope) }, &[float(x)]);
    /// `x` where it is positive, else `alpha (e^x - 1)`.
    elu Elu(x) {
        /// The negative of the limit for small `x` (default: 1).
        alpha: f64 = 1.0,
    } = |scope, &[x]| scope.op(composites::Elu { alpha: Real(alpha) }, &[float(x)]);
    /// `max(x, 0) + alpha (e^(min(x, 0) / alpha) - 1)`
    celu Celu(x) {
        /// The negative of the limit for small `x` (default: 1).
        alpha: f64 = 1.0,
    } = |scope, &[x]| scope.op(composites::Celu { alpha: Real(alpha) }, &[float(x)]);
    /// `x (1 + erf(x / sqrt(2))) / 2`
    gelu Gelu(x) {
        /// Whether the error function is approximated by a hyperbolic tangent (default: yes).
        approximate: bool = true,
    } = |scope, &[x]| match approximate {
        true => scope.op(composites::GeluTanh {}, &[float(x)]),
        false => scope.op(composites::Gelu {}, &[float(x)]),
    };
    /// `a sigmoid(b)` of the halves of an axis.
    glu Glu(x) {
        /// The axis (default: the last).
        axis: i64 = -1,
    } = |scope, &[x]| {
        let axis = super::super::arguments::axis(axis, x.shape().len())?;
        Ok(scope.op(composites::Glu { axis }, &[float(x)]))
    };
    /// `x` where `|x|` is above the threshold, else 0.
    hard_shrink HardShrink(x) {
        /// Up to which size elements become 0 (default: 0.5).
        threshold: f64 = 0.5,
    } = |scope, &[x]| scope.op(composites::HardShrink { threshold: Real(threshold) }, &[float(x)]);
    /// `x` moved towards 0 by the threshold, 0 where it would pass it.
    soft_shrink SoftShrink(x) {
        /// By how much (default: 0.5).
        threshold: f64 = 0.5,
    } = |scope, &[x]| scope.op(composites::SoftShrink { threshold: Real(threshold) }, &[float(x)]);
    /// `x` where it is above the threshold, else `default_value`.
    threshold Threshold(x; threshold: f64, default_value: f64) = |scope, &[x]| {
        let op = composites::Threshold { threshold: Real(threshold), default_value: Real(default_value) };
        scope.op(op, &[float(x)])
    };
    /// `(x + sqrt(x^2 + b)) / 2`
    squareplus Squareplus(x) {
        /// How smooth the bend is (default: 4).
        b: f64 = 4.0,
    } = |scope, &[x]| scope.op(composites::Squareplus { b: Real(b) }, &[float(x)]);
}
