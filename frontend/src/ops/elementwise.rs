//! Functions of one element of each operand: arithmetic, exponentials, trigonometry.

use super::declare::functions;
use super::promotion::{float, promote, promote_float};

functions! {
    /// `x1 + x2`
    add Add(x1, x2) = |_, &[a, b]| {
        let [a, b] = promote([a, b]);
        a + b
    };
    /// `x1 - x2`
    subtract Subtract(x1, x2) = |_, &[a, b]| {
        let [a, b] = promote([a, b]);
        a - b
    };
    /// `x1 * x2`
    multiply Multiply(x1, x2) = |_, &[a, b]| {
        let [a, b] = promote([a, b]);
        a * b
    };
    /// `x1 / x2`, of integers too a floating-point number.
    divide Divide(x1, x2) = |_, &[a, b]| {
        let [a, b] = promote_float([a, b]);
        a / b
    };
    /// `x1 - floor(x1 / x2) * x2`: the sign of `x2`. Keras' `mod`.
    mod_ Mod(x1, x2) = |_, &[a, b]| {
        let [a, b] = promote([a, b]);
        let rest = a.remainder(b);
        let differs = rest.not_equal(0.0).and(rest.less(0.0).not_equal(b.less(0.0)));
        differs.select(rest + b, rest)
    };
    /// `-x`
    negative Negative(x) = |_, &[x]| -*x;
    /// `e^x`
    exp Exp(x) = |_, &[x]| float(x).exp();
}
