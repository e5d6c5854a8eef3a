//! Activations that work element by element: a line each, with a gradient of their own where the body's is not stable.

use super::Composition;
use crate::tensor::ops::{Backward, Cotangents};
use crate::tensor::{Builder, Real, Tensor, TypeError, Value, express};
use serde::{Deserialize, Serialize};

/// The body of each composite, and its derivative times the cotangent `g` in terms of the operand `x`, the result `y` and `g`.
macro_rules! elementwise {
    ($(
        $(#[$doc:meta])*
        $variant:ident $name:literal { $($(#[$field_doc:meta])* $field:ident),* } |$x:ident| $body:expr
        $(, gradient |$gx:ident, $gy:ident, $g:ident| $gradient:expr)?;
    )*) => { $(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $variant {
            $($(#[$field_doc])* pub $field: Real,)*
        }

        impl Composition for $variant {
            fn name(&self) -> &'static str {
                $name
            }

            fn body(&self, b: &mut Builder, operands: &[Value]) -> Result<Vec<Value>, TypeError> {
                let [x] = b.operands(self.name(), operands)?;
                floating($name, b, x)?;
                $(let $field = self.$field.0;)*
                express(b, |scope| {
                    let $x = scope.tensor(x);
                    vec![$body.value()]
                })
            }

            $(
            fn gradient(&self, b: &mut Builder, at: &Backward<'_>) -> Result<Option<Cotangents>, TypeError> {
                let g = at.cotangent(self.name())?;
                let cotangents = express(b, |scope| {
                    let [$gx, $gy, $g] = [at.operands[0], at.results[0], g].map(|value| scope.tensor(value));
                    let _ = ($gx, $gy);
                    vec![Some($gradient.value())]
                });
                cotangents.map(Some)
            }
            )?
        }
    )* };
}

fn floating(op: &str, b: &Builder, x: Value) -> Result<(), TypeError> {
    let ty = b.tensor_type(x);
    if ty.dtype.is_float() {
        return Ok(());
    }
    Err(TypeError::new(op, format!("the operand is {ty}, expected a floating-point type")))
}

elementwise! {
    /// `min(max(x, 0), 6)`; the derivative at both ends is 0.
    Relu6 "relu6" {} |x| x.clip(0.0, 6.0), gradient |_x, y, g| y.greater(0.0).and(y.less(6.0)).select(g, 0.0);

    /// `x` where `x >= 0`, else `negative_slope * x`.
    LeakyRelu "leaky_relu" {
        /// The slope below 0.
        negative_slope
    } |x| x.greater_equal(0.0).select(x, x * negative_slope);

    /// `x` where `x > 0`, else `alpha * (e^x - 1)`.
    Elu "elu" {
        /// The negative of the limit for small `x`.
        alpha
    } |x| x.greater(0.0).select(x, not_above_zero(x).expm1() * alpha);

    /// `scale * elu(x)` with the constants of self-normalising networks (Klambauer et al., 2017).
    Selu "selu" {} |x| x.greater(0.0).select(x, not_above_zero(x).expm1() * SELU_ALPHA) * SELU_SCALE;

    /// `max(x, 0) + alpha * (e^(min(x, 0) / alpha) - 1)`.
    Celu "celu" {
        /// The negative of the limit for small `x`.
        alpha
    } |x| x.maximum(0.0) + (x.minimum(0.0) / alpha).expm1() * alpha;

    /// `ln(1 + e^x)`, without overflow.
    Softplus "softplus" {} |x| x.maximum(0.0) + (-x.abs()).exp().log1p(), gradient |x, _y, g| g * x.logistic();

    /// `ln(1 / (1 + e^-x))`, without overflow.
    LogSigmoid "log_sigmoid" {} |x| x.minimum(0.0) - (-x.abs()).exp().log1p(), gradient |x, _y, g| g * (-x).logistic();

    /// `x / (1 + |x|)`.
    Softsign "softsign" {} |x| x / (x.abs() + 1.0);

    /// `x * tanh(ln(1 + e^x))`.
    Mish "mish" {} |x| x * x.with_op(Softplus {}).tanh();

    /// `(x + sqrt(x^2 + b)) / 2`.
    Squareplus "squareplus" {
        /// How smooth the bend is.
        b
    } |x| (x + (x.square() + b).sqrt()) / 2.0;

    /// 0 up to -1, `x` from 1 on, between them `(x + 1)^2 / 4`.
    SparsePlus "sparse_plus" {} |x| x.less_equal(-1.0).select(
        x.number(0.0),
        x.greater_equal(1.0).select(x, (x + 1.0).square() / 4.0),
    );

    /// `(x + 1) / 2`, at least 0 and at most 1.
    SparseSigmoid "sparse_sigmoid" {} |x| (x + 1.0).clip(0.0, 2.0) * 0.5;

    /// `(x + 3) / 6`, at least 0 and at most 1.
    HardSigmoid "hard_sigmoid" {} |x| (x + 3.0).with_op(Relu6 {}) / 6.0;

    /// `x * hard_sigmoid(x)`.
    HardSilu "hard_silu" {} |x| x * x.with_op(HardSigmoid {});

    /// `x`, at least -1 and at most 1; the derivative is 1 at both.
    HardTanh "hard_tanh" {} |x| x.greater(1.0).select(x.number(1.0), x.less(-1.0).select(x.number(-1.0), x));

    /// `x` where `|x| > threshold`, else 0.
    HardShrink "hard_shrink" {
        /// Up to which size elements become 0.
        threshold
    } |x| x.abs().greater(threshold).select(x, 0.0);

    /// `x` moved towards 0 by `threshold`, and 0 where it would pass it.
    SoftShrink "soft_shrink" {
        /// By how much.
        threshold
    } |x| x.greater(threshold).select(x - threshold, x.less(-threshold).select(x + threshold, 0.0));

    /// `x - tanh x`.
    TanhShrink "tanh_shrink" {} |x| x - x.tanh();

    /// `x` where `x > threshold`, else `default_value`.
    Threshold "threshold" {
        /// Above which elements are kept.
        threshold,
        /// What the others become.
        default_value
    } |x| x.greater(threshold).select(x, default_value);
}

/// The constants of self-normalising networks.
const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;
const SELU_SCALE: f64 = 1.050_700_987_355_480_5;

/// `x` where `x <= 0`, else 0: what an exponential that is not chosen is taken of, so that its derivative stays finite.
fn not_above_zero<'s, 'b>(x: Tensor<'s, 'b>) -> Tensor<'s, 'b> {
    x.greater(0.0).select(x.number(0.0), x)
}
