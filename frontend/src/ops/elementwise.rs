//! Exponentials, logarithms, trigonometry: real functions of one element. Integers are taken as `float32`.

use super::declare::functions;
use super::formulas::infinity;
use super::promotion::{float, promote_float, strong};
use kc_ir::tensor::Tensor as Formula;
use std::f64::consts::{LN_2, LN_10, PI};

macro_rules! real_functions {
    ($($(#[$doc:meta])* $name:ident $class:ident $method:ident;)*) => { functions! { $(
        $(#[$doc])*
        $name $class(x) = |_, &[x]| float(x).$method();
    )* } };
}
real_functions! {
    /// arccos x
    arccos Arccos acos;
    /// arcosh x
    arccosh Arccosh acosh;
    /// arcsin x
    arcsin Arcsin asin;
    /// arsinh x
    arcsinh Arcsinh asinh;
    /// arctan x
    arctan Arctan atan;
    /// artanh x
    arctanh Arctanh atanh;
    /// The cube root.
    cbrt Cbrt cbrt;
    /// cos x
    cos Cos cos;
    /// cosh x
    cosh Cosh cosh;
    /// e^x
    exp Exp exp;
    /// e^x - 1
    expm1 Expm1 expm1;
    /// |x| as a floating-point number.
    fabs Fabs abs;
    /// ln x
    log Log log;
    /// ln(1 + x)
    log1p Log1p log1p;
    /// sin x
    sin Sin sin;
    /// sinh x
    sinh Sinh sinh;
    /// The square root.
    sqrt Sqrt sqrt;
    /// tan x
    tan Tan tan;
    /// tanh x
    tanh Tanh tanh;
}

functions! {
    /// The angle of the point (x = `x2`, y = `x1`).
    arctan2 Arctan2(x1, x2) = |_, &[y, x]| {
        let [y, x] = promote_float(strong([y, x]));
        y.atan2(x)
    };
    /// The angle of a number in the complex plane: 0, or pi of a negative number.
    angle Angle(x) = |_, &[x]| {
        let x = float(x);
        x.zeros_like().atan2(x)
    };
    /// x in radians, of degrees.
    deg2rad Deg2rad(x) = |_, &[x]| float(x) * (PI / 180.0);
    /// x in degrees, of radians.
    rad2deg Rad2deg(x) = |_, &[x]| float(x) * (180.0 / PI);
    /// 2^x
    exp2 Exp2(x) = |_, &[x]| {
        let x = float(x);
        x.number(2.0).broadcast_to(&x.shape()).power(x)
    };
    /// sqrt(x1^2 + x2^2), without overflow on the way.
    hypot Hypot(x1, x2) = |_, &[a, b]| {
        let [a, b] = promote_float([a, b]);
        let (a, b) = (a.abs(), b.abs());
        let (large, small) = (a.maximum(b), a.minimum(b));
        // of 0 and infinity no quotient is taken
        let is_plain = large.greater(0.0).and(large.less(infinity(large)));
        let safe = is_plain.select(large, 1.0);
        let ratio = is_plain.select(small, 0.0) / safe;
        let length = safe * (ratio * ratio + 1.0).sqrt();
        let is_infinite = a.equal(infinity(a)).or(b.equal(infinity(b)));
        is_infinite.select(infinity(large), is_plain.select(length, large))
    };
    /// The logarithm to base 2.
    log2 Log2(x) = |_, &[x]| float(x).log() / LN_2;
    /// The logarithm to base 10.
    log10 Log10(x) = |_, &[x]| float(x).log() / LN_10;
    /// ln(e^x1 + e^x2)
    logaddexp Logaddexp(x1, x2) = |_, &[a, b]| {
        let [a, b] = promote_float(strong([a, b]));
        add_exponentials(a, b, |below| below.exp().log1p())
    };
    /// log2(2^x1 + 2^x2)
    logaddexp2 Logaddexp2(x1, x2) = |_, &[a, b]| {
        let [a, b] = promote_float(strong([a, b]));
        add_exponentials(a, b, |below| (below * LN_2).exp().log1p() / LN_2)
    };
    /// sin(pi x) / (pi x), 1 at 0.
    sinc Sinc(x) = |_, &[x]| {
        let x = float(x);
        let is_zero = x.equal(0.0);
        let angle = is_zero.select(x.number(1.0), x) * PI;
        is_zero.select(x.number(1.0), angle.sin() / angle)
    };
    /// The modified Bessel function of the first kind and order 0.
    i0 I0(x) = |_, &[x]| bessel(float(x));
}

/// The modified Bessel function of the first kind and order 0.
pub(super) fn bessel<'s, 'b>(x: Formula<'s, 'b>) -> Formula<'s, 'b> {
    let x = x.abs();
    // Chebyshev series of e^-x I0(x) on 0..8, and of e^-x sqrt(x) I0(x) above (Cephes)
    let near = chebyshev(x.minimum(8.0) / 2.0 - 2.0, &BESSEL_NEAR);
    let far = chebyshev(32.0 / x.maximum(8.0) - 2.0, &BESSEL_FAR) / x.maximum(8.0).sqrt();
    x.exp() * x.less_equal(8.0).select(near, far)
}

/// `max(a, b) + rest(-|a - b|)`; of equal infinities, whose difference is NaN, and of NaN the sum.
fn add_exponentials<'s, 'b>(
    a: Formula<'s, 'b>,
    b: Formula<'s, 'b>,
    rest: impl FnOnce(Formula<'s, 'b>) -> Formula<'s, 'b>,
) -> Formula<'s, 'b> {
    let delta = a - b;
    let is_plain = delta.equal(delta);
    let safe = is_plain.select(delta, 0.0);
    // -|safe|, whose derivative at 0 is 0
    is_plain.select(a.maximum(b) + rest(safe.minimum(0.0) - safe.maximum(0.0)), a + b)
}

/// The sum of a Chebyshev series, highest coefficient first, halved at the constant (Clenshaw).
fn chebyshev<'s, 'b>(x: Formula<'s, 'b>, coefficients: &[f64]) -> Formula<'s, 'b> {
    let (mut b0, mut b1) = (x.zeros_like() + coefficients[0], x.zeros_like());
    let mut b2 = b1;
    for &coefficient in &coefficients[1..] {
        (b2, b1) = (b1, b0);
        b0 = x * b1 - b2 + coefficient;
    }
    (b0 - b2) * 0.5
}

/// For 0 <= x <= 8.
const BESSEL_NEAR: [f64; 30] = [
    -4.4153416464793395e-18,
    3.3307945188222384e-17,
    -2.431279846547955e-16,
    1.715391285555133e-15,
    -1.1685332877993451e-14,
    7.676185498604936e-14,
    -4.856446783111929e-13,
    2.95505266312964e-12,
    -1.726826291441556e-11,
    9.675809035373237e-11,
    -5.189795601635263e-10,
    2.6598237246823866e-09,
    -1.300025009986248e-08,
    6.046995022541919e-08,
    -2.670793853940612e-07,
    1.1173875391201037e-06,
    -4.4167383584587505e-06,
    1.6448448070728896e-05,
    -5.754195010082104e-05,
    0.00018850288509584165,
    -0.0005763755745385824,
    0.0016394756169413357,
    -0.004324309995050576,
    0.010546460394594998,
    -0.02373741480589947,
    0.04930528423967071,
    -0.09490109704804764,
    0.17162090152220877,
    -0.3046826723431984,
    0.6767952744094761,
];

/// For x >= 8.
const BESSEL_FAR: [f64; 25] = [
    -7.233180487874754e-18,
    -4.830504485944182e-18,
    4.46562142029676e-17,
    3.461222867697461e-17,
    -2.8276239805165836e-16,
    -3.425485619677219e-16,
    1.7725601330565263e-15,
    3.8116806693526224e-15,
    -9.554846698828307e-15,
    -4.150569347287222e-14,
    1.54008621752141e-14,
    3.8527783827421426e-13,
    7.180124451383666e-13,
    -1.7941785315068062e-12,
    -1.3215811840447713e-11,
    -3.1499165279632416e-11,
    1.1889147107846439e-11,
    4.94060238822497e-10,
    3.3962320257083865e-09,
    2.266668990498178e-08,
    2.0489185894690638e-07,
    2.8913705208347567e-06,
    6.889758346916825e-05,
    0.0033691164782556943,
    0.8044904110141088,
];
