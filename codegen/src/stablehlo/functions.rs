//! Functions that StableHLO lacks, as formulas of those that it has. Coefficients have the digits that were published.
#![allow(clippy::excessive_precision)]

use kc_ir::DType;
use kc_ir::tensor::ops::Unary;
use kc_ir::tensor::{Builder, Operand, Tensor, TypeError, Value, express};
use std::f64::consts::{FRAC_PI_2, LN_2, PI};

/// A function of one operand: itself where StableHLO has it.
pub(super) fn unary(b: &mut Builder, function: Unary, x: Value) -> Result<Value, TypeError> {
    let formula: for<'s, 'b> fn(Tensor<'s, 'b>) -> Tensor<'s, 'b> = match function {
        Unary::Asin => |x| 2.0 * x.atan2(1.0 + ((1.0 - x) * (1.0 + x)).sqrt()),
        Unary::Acos => acos,
        Unary::Atan => |x| x.atan2(1.0),
        Unary::Sinh => sinh,
        Unary::Cosh => |x| {
            // e^x / 2 without overflow before the result's
            let halved = x.abs() - LN_2;
            halved.exp() + (-(x.abs() + LN_2)).exp()
        },
        Unary::Asinh => asinh,
        Unary::Acosh => acosh,
        Unary::Atanh => |x| (x.log1p() - (-x).log1p()) * 0.5,
        Unary::Erf => erf,
        Unary::Erfc => erfc,
        Unary::ErfInv => erf_inv,
        Unary::Lgamma => lgamma,
        Unary::Digamma => digamma,
        Unary::Trunc => |x| x.less(0.0).select(x.ceil(), x.floor()),
        Unary::Negate
        | Unary::Abs
        | Unary::Sign
        | Unary::Exp
        | Unary::Expm1
        | Unary::Log
        | Unary::Log1p
        | Unary::Sqrt
        | Unary::Rsqrt
        | Unary::Cbrt
        | Unary::Sin
        | Unary::Cos
        | Unary::Tan
        | Unary::Tanh
        | Unary::Logistic
        | Unary::Floor
        | Unary::Ceil
        | Unary::RoundEven
        | Unary::IsFinite
        | Unary::Not
        | Unary::PopulationCount
        | Unary::CountLeadingZeros => return b.unary(function, x),
    };
    let dtype = b.tensor_type(x).dtype;
    let wide = if matches!(dtype, DType::F16 | DType::Bf16) { DType::F32 } else { dtype };
    let x = b.convert(wide, x)?;
    let y = express(b, |scope| formula(scope.tensor(x)).value())?;
    b.convert(dtype, y)
}

/// The power of integers by squaring, modulo the dtype's range: XLA's own looks at six bits of the exponent. With a negative exponent 1 and
/// -1 have a power, and that of all else is 0.
pub(super) fn integer_power(b: &mut Builder, base: Value, exponent: Value) -> Result<Value, TypeError> {
    let ty = b.tensor_type(base).clone();
    let is_signed = ty.dtype.is_signed_integer();
    express(b, |scope| {
        let (base, mut rest) = (scope.tensor(base), scope.tensor(exponent));
        let one = base.number(1.0).broadcast_to(&ty.shape);
        let is_odd = rest.and(one).equal(1i64);
        let negative = base.equal(-1i64).select(is_odd.select(base, one), base.equal(1i64).select(one, 0i64));
        let (is_negative, mut result, mut square) = (rest.less(0i64), one, base);
        for _ in 0..ty.dtype.bits() - u32::from(is_signed) {
            result = rest.and(one).equal(1i64).select(result * square, result);
            (rest, square) = (rest.shift_right(one), square.square());
        }
        if is_signed { is_negative.select(negative, result) } else { result }.value()
    })
}

/// `c[0] + x (c[1] + x (c[2] + ...))`
fn polynomial<'s, 'b>(x: Tensor<'s, 'b>, coefficients: &[f64]) -> Tensor<'s, 'b> {
    let mut terms = coefficients.iter().rev();
    let first = x.number(terms.next().copied().unwrap_or_default()).broadcast_to(&x.shape());
    terms.fold(first, |sum, &c| sum * x + c)
}

/// The first where a condition holds, else the second; tensors of one shape.
fn choose<'s, 'b>(
    condition: Tensor<'s, 'b>,
    on_true: impl Operand<'s, 'b>,
    on_false: Tensor<'s, 'b>,
) -> Tensor<'s, 'b> {
    let on_true = on_true.tensor_like(on_false);
    condition.select(on_true, on_false)
}

fn acos<'s, 'b>(x: Tensor<'s, 'b>) -> Tensor<'s, 'b> {
    let value = 2.0 * ((1.0 - x) * (1.0 + x)).sqrt().atan2(1.0 + x);
    choose(x.equal(-1.0), 2.0 * FRAC_PI_2, value)
}

/// `(e^x - e^-x) / 2`, near 0 by `expm1`.
fn sinh<'s, 'b>(x: Tensor<'s, 'b>) -> Tensor<'s, 'b> {
    let far = (x - LN_2).exp() - (-(x + LN_2)).exp();
    let e = x.expm1();
    let near = (e + e / (e + 1.0)) * 0.5;
    x.abs().less(1.0).select(near, far)
}

/// `sign(x) ln(|x| + sqrt(x^2 + 1))`
fn asinh<'s, 'b>(x: Tensor<'s, 'b>) -> Tensor<'s, 'b> {
    let a = x.abs();
    let large = a.log() + LN_2;
    let square = a * a;
    let near = (a + square / (1.0 + (square + 1.0).sqrt())).log1p();
    x.sign() * a.greater(1e10).select(large, near)
}

/// `ln(x + sqrt((x + 1) (x - 1)))`
fn acosh<'s, 'b>(x: Tensor<'s, 'b>) -> Tensor<'s, 'b> {
    let large = x.log() + LN_2;
    let above = x - 1.0;
    let near = (above + (above * (x + 1.0)).sqrt()).log1p();
    let value = x.greater(1e10).select(large, near);
    choose(x.less(1.0), f64::NAN, value)
}

/// S. L. Moshier, Cephes, `ndtr.c`: near 0.
const ERF_NUMERATOR: [f64; 5] = [
    5.55923013010394962768e4,
    7.00332514112805075473e3,
    2.23200534594684319226e3,
    9.00260197203842689217e1,
    9.60497373987051638749,
];
const ERF_DENOMINATOR: [f64; 6] = [
    4.92673942608635921086e4,
    2.26290000613890934246e4,
    4.59432382970980127987e3,
    5.21357949780152679795e2,
    3.35617141647503099647e1,
    1.0,
];
/// From 1 to 8.
const ERFC_NUMERATOR: [f64; 9] = [
    5.57535335369399327526e2,
    1.02755188689515710272e3,
    9.34528527171957607540e2,
    5.26445194995477358631e2,
    1.96520832956077098242e2,
    4.86371970985681366614e1,
    7.46321056442269912687,
    5.64189564831068821977e-1,
    2.46196981473530512524e-10,
];
const ERFC_DENOMINATOR: [f64; 9] = [
    5.57535340817727675546e2,
    1.65666309194161350182e3,
    2.24633760818710981792e3,
    1.82390916687909736289e3,
    9.75708501743205489753e2,
    3.54937778887819891062e2,
    8.67072140885989742329e1,
    1.32281951154744992508e1,
    1.0,
];
/// From 8 on.
const ERFC_FAR_NUMERATOR: [f64; 6] = [
    2.97886665372100240670,
    7.40974269950448939160,
    6.16021097993053585195,
    5.01905042251180477414,
    1.27536670759978104416,
    5.64189583547755073984e-1,
];
const ERFC_FAR_DENOMINATOR: [f64; 7] = [
    3.36907645100081516050,
    9.60896809063285878198,
    1.70814450747565897222e1,
    1.20489539808096656605e1,
    9.39603524938001434673,
    2.26052863220117276590,
    1.0,
];

/// erf x for |x| below 1.
fn erf_near<'s, 'b>(x: Tensor<'s, 'b>) -> Tensor<'s, 'b> {
    let z = x * x;
    x * polynomial(z, &ERF_NUMERATOR) / polynomial(z, &ERF_DENOMINATOR)
}

/// erfc |x| for |x| from 1 on.
fn erfc_far<'s, 'b>(x: Tensor<'s, 'b>) -> Tensor<'s, 'b> {
    // beyond 28 the result is 0, and powers of a larger number would overflow
    let a = x.abs().minimum(28.0);
    let near = polynomial(a, &ERFC_NUMERATOR) / polynomial(a, &ERFC_DENOMINATOR);
    let far = polynomial(a, &ERFC_FAR_NUMERATOR) / polynomial(a, &ERFC_FAR_DENOMINATOR);
    (-(a * a)).exp() * a.less(8.0).select(near, far)
}

fn erf<'s, 'b>(x: Tensor<'s, 'b>) -> Tensor<'s, 'b> {
    let far = x.sign() * (1.0 - erfc_far(x));
    x.abs().less(1.0).select(erf_near(x), far)
}

fn erfc<'s, 'b>(x: Tensor<'s, 'b>) -> Tensor<'s, 'b> {
    let far = erfc_far(x);
    let far = x.less(0.0).select(2.0 - far, far);
    x.abs().less(1.0).select(1.0 - erf_near(x), far)
}

/// M. Giles, "Approximating the erfinv function", GPU Computing Gems 2011: by `w = -ln(1 - x^2)`.
fn erf_inv<'s, 'b>(x: Tensor<'s, 'b>) -> Tensor<'s, 'b> {
    let w = -((-(x * x)).log1p());
    let factor = if x.ty().dtype == DType::F64 {
        let near = polynomial(
            w - 3.125,
            &[
                1.6536545626831027356,
                0.24015818242558961693,
                -0.0060336708714301490533,
                -0.00074070253416626697512,
                0.0001867342080340571352,
                -1.3882523362786468719e-05,
                -1.3654692000834678645e-06,
                4.2347877827932403518e-07,
                -2.9070369957882005086e-08,
                -4.1126339803469836976e-09,
                1.051212273321532285e-09,
                -5.4154120542946279317e-11,
                -1.2975133253453532498e-11,
                2.6335093153082322977e-12,
                -8.1519341976054721522e-14,
                -4.0545662729752068639e-14,
                6.6376381343583238325e-15,
                2.0972767875968561637e-17,
                -1.333171662854620906e-16,
                1.115787767802518096e-17,
                1.2858480715256400167e-18,
                -1.685059138182016589e-19,
                -3.6444120640178196996e-21,
            ],
        );
        let middle = polynomial(
            w.sqrt() - 3.25,
            &[
                3.0838856104922207635,
                1.0052589676941592334,
                0.005370914553590063617,
                -0.0037512085075692412107,
                0.0024914420961078508066,
                -0.0016882755560235047313,
                0.00095328937973738049703,
                -0.0003550375203628474796,
                2.4031110387097893999e-05,
                6.8284851459573175448e-05,
                -4.7318229009055733981e-05,
                1.2475304481671778723e-05,
                2.9234449089955446044e-06,
                -4.013867526981545969e-06,
                1.5027403968909827627e-06,
                1.8239629214389227755e-08,
                -2.7517406297064545428e-07,
                9.0756561938885390979e-08,
                2.2137376921775787049e-09,
            ],
        );
        let far = polynomial(
            w.sqrt() - 5.0,
            &[
                4.8499064014085844221,
                1.0103004648645343977,
                -0.00013871931833623122026,
                -0.00021503011930044477347,
                7.5995277030017761139e-05,
                -1.9681778105531670567e-05,
                4.5260625972231537039e-06,
                -9.9298272942317002539e-07,
                2.2900482228026654717e-07,
                -6.7711997758452339498e-08,
                2.9147953450901080826e-08,
                -1.4960026627149240478e-08,
                7.6157012080783393804e-09,
                -3.7894654401267369937e-09,
                1.5076572693500548083e-09,
                -2.5556418169965252055e-10,
                -2.7109920616438573243e-11,
            ],
        );
        w.less(6.25).select(near, w.less(16.0).select(middle, far))
    } else {
        let near = polynomial(
            w - 2.5,
            &[
                1.50140941,
                0.246640727,
                -0.00417768164,
                -0.00125372503,
                0.00021858087,
                -4.39150654e-06,
                -3.5233877e-06,
                3.43273939e-07,
                2.81022636e-08,
            ],
        );
        let far = polynomial(
            w.sqrt() - 3.0,
            &[
                2.83297682,
                1.00167406,
                0.00943887047,
                -0.0076224613,
                0.00573950773,
                -0.00367342844,
                0.00134934322,
                0.000100950558,
                -0.000200214257,
            ],
        );
        w.less(5.0).select(near, far)
    };
    x.abs().equal(1.0).select(x * f64::INFINITY, x * factor)
}

/// C. Lanczos, "A precision approximation of the gamma function", 1964, with the coefficients for g = 7.
const LANCZOS: [f64; 8] = [
    676.5203681218851,
    -1259.1392167224028,
    771.3234287776531,
    -176.61502916214059,
    12.507343278686905,
    -0.13857109526572012,
    9.984369578019572e-6,
    1.5056327351493116e-7,
];
const LANCZOS_FIRST: f64 = 0.999_999_999_999_809_9;

/// `z` with `Gamma(z + 1)`, reflected below 1/2, and the logarithm of `z + 7.5`.
fn lanczos_argument<'s, 'b>(x: Tensor<'s, 'b>) -> (Tensor<'s, 'b>, Tensor<'s, 'b>, Tensor<'s, 'b>) {
    let reflected = x.less(0.5);
    let z = reflected.select(-x, x - 1.0);
    let log = (z / 7.5).log1p() + 7.5f64.ln();
    (reflected, z, log)
}

fn lgamma<'s, 'b>(x: Tensor<'s, 'b>) -> Tensor<'s, 'b> {
    let (reflected, z, log) = lanczos_argument(x);
    let sum = (1..).zip(LANCZOS).fold(x.number(LANCZOS_FIRST).broadcast_to(&x.shape()), |sum, (i, coefficient)| {
        sum + coefficient / (z + f64::from(i))
    });
    let t = z + 7.5;
    let value = (z + 0.5 - t / log) * log + 0.5 * (2.0 * PI).ln() + sum.log();
    // Gamma(x) Gamma(1 - x) = pi / sin(pi x)
    let fraction = x.abs() - x.abs().floor();
    let fraction = fraction.greater(0.5).select(1.0 - fraction, fraction);
    let sine = (fraction * PI).sin().log();
    let reflection = sine.is_finite().select(PI.ln() - sine - value, -sine);
    let value = reflected.select(reflection, value);
    let infinite = x.abs().equal(f64::INFINITY);
    choose(infinite, f64::INFINITY, value)
}

fn digamma<'s, 'b>(x: Tensor<'s, 'b>) -> Tensor<'s, 'b> {
    let (reflected, z, log) = lanczos_argument(x);
    let mut numerator = x.zeros_like();
    let mut denominator = x.number(LANCZOS_FIRST).broadcast_to(&x.shape());
    for (i, coefficient) in (1..).zip(LANCZOS) {
        let place = z + f64::from(i);
        numerator = numerator - coefficient / (place * place);
        denominator = denominator + coefficient / place;
    }
    let value = log + numerator / denominator - 7.0 / (z + 7.5);
    // the pole's cotangent of the distance to the nearest whole number
    let near = x + (x + 0.5).floor().abs();
    let reflection = value - PI * (near * PI).cos() / (near * PI).sin();
    let value = reflected.select(reflection, value);
    let pole = x.less_equal(0.0).and(x.equal(x.floor()));
    choose(pole, f64::NAN, value)
}
