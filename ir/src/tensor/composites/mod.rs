//! Composites: named compositions with a body in other ops and, where it matters, a gradient of their own. Rules and back
//! ends may match one whole; everybody else sees its body.

mod activations;
mod attention;
mod batch_norm;
mod binary_cross_entropy;
mod cross_entropy;
mod elementwise;
mod fourier;
mod fused;
mod glu;
mod layer_norm;
mod linear_algebra;
mod log_sum_exp;
mod optimizer;
mod random;
mod random_binomial;
mod random_choices;
mod random_gamma;
mod random_values;
mod softmax;
mod sparsemax;
mod winograd;

pub use activations::{Gelu, GeluTanh, Relu, Silu};
pub use attention::{DotProductAttention, DotProductAttentionGradient};
pub use batch_norm::{BatchNormInfer, BatchNormTrain};
pub use binary_cross_entropy::BinaryCrossEntropy;
pub use layer_norm::{LayerNorm, RmsNorm};
pub use linear_algebra::{Determinant, Inverse, LogDeterminant, PseudoInverse, Solve};
pub use optimizer::{AdamStepSize, AdamUpdate, SgdUpdate};
pub use random::{Dropout, FoldIn, RandomNormal, RandomUniform, SplitKey, Threefry, TruncatedNormal};
pub use random_binomial::RandomBinomial;
pub use random_choices::{RandomClasses, RandomIntegers, Shuffle};
pub use random_gamma::{RandomBeta, RandomGamma};

pub use cross_entropy::{
    CategoricalCrossEntropy, CategoricalCrossEntropyGradient, CategoricalCrossEntropyWithGradient, EPSILON, Scores,
};
pub use elementwise::{
    Celu, Elu, HardShrink, HardSigmoid, HardSilu, HardTanh, LeakyRelu, LogSigmoid, Mish, Relu6, Selu, SoftShrink,
    Softplus, Softsign, SparsePlus, SparseSigmoid, Squareplus, TanhShrink, Threshold,
};
pub use fourier::{FramePadding, Frames, WindowShape};
pub use fused::{Activation, ConvolutionBias, Dense};
pub use glu::Glu;
pub use log_sum_exp::LogSumExp;
pub use softmax::{LogSoftmax, Softmax, SoftmaxGradient};
pub use sparsemax::Sparsemax;
pub use winograd::{SPAN, TILE, WinogradConvolution, WinogradFilters};

use super::interpret::{Array, Evaluation};
use super::ops::{Backward, Cotangents, Operation};
use super::{Builder, Type, TypeError, Value};
use kc_abi::TensorType;
use serde::{Deserialize, Serialize};

/// What every composite declares.
pub trait Composition {
    /// The name in the text form.
    fn name(&self) -> &'static str;

    /// Builds the body: the results in terms of the operands. An operand that the composite does not take is a [`TypeError`].
    fn body(&self, builder: &mut Builder, operands: &[Value]) -> Result<Vec<Value>, TypeError>;

    /// The gradient rule, as [`Operation::gradient`]. `None` (the default) means that the body's own gradient is good enough.
    fn gradient(&self, _builder: &mut Builder, _at: &Backward<'_>) -> Result<Option<Cotangents>, TypeError> {
        Ok(None)
    }
}

macro_rules! composites {
    ($($(#[doc = $doc:literal])* $variant:ident,)*) => {
        /// A composite with its attributes.
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Composite { $($(#[doc = $doc])* $variant($variant),)* }

        impl Composite {
            /// The declaration.
            pub fn composition(&self) -> &dyn Composition { match self { $(Composite::$variant(composite) => composite),* } }
            /// The names in the text form, in the order of the declarations.
            pub fn names() -> impl Iterator<Item = String> { [$(stringify!($variant)),*].into_iter().map(super::ops::snake_case) }
            /// What each composite is in a line, in the same order.
            pub fn summaries() -> impl Iterator<Item = &'static str> { [$(concat!($($doc),*).trim_ascii()),*].into_iter() }
        }

        $(impl From<$variant> for super::Op { fn from(composite: $variant) -> super::Op { super::Op::Composite(Composite::$variant(composite)) } })*
    };
}

composites! {
    /// max(x, 0)
    Relu,
    /// x (1 + erf(x / sqrt 2)) / 2
    Gelu,
    /// The same by tanh, nearly.
    GeluTanh,
    /// x / (1 + e^-x)
    Silu,
    /// max(x, 0), at most 6
    Relu6,
    /// x, below 0 times a slope
    LeakyRelu,
    /// x, below 0 alpha (e^x - 1)
    Elu,
    /// elu with the constants of self-normalising networks
    Selu,
    /// elu with a continuous derivative
    Celu,
    /// ln(1 + e^x)
    Softplus,
    /// ln(1 / (1 + e^-x))
    LogSigmoid,
    /// x / (1 + |x|)
    Softsign,
    /// x tanh(softplus x)
    Mish,
    /// (x + sqrt(x^2 + b)) / 2
    Squareplus,
    /// 0, a parabola from -1 to 1, then x
    SparsePlus,
    /// (x + 1) / 2 between 0 and 1
    SparseSigmoid,
    /// (x + 3) / 6 between 0 and 1
    HardSigmoid,
    /// x hard_sigmoid(x)
    HardSilu,
    /// x between -1 and 1
    HardTanh,
    /// x, small ones 0
    HardShrink,
    /// x, moved towards 0
    SoftShrink,
    /// x - tanh x
    TanhShrink,
    /// x above a threshold, else a number
    Threshold,
    /// A half of an axis gated by the other.
    Glu,
    /// ln sum e^x over axes
    LogSumExp,
    /// Softmax along an axis.
    Softmax,
    /// The gradient of softmax.
    SoftmaxGradient,
    /// Logarithm of softmax along an axis.
    LogSoftmax,
    /// Keras' sparsemax along an axis.
    Sparsemax,
    /// Categorical cross-entropy.
    CategoricalCrossEntropy,
    /// Its gradient.
    CategoricalCrossEntropyGradient,
    /// Both at once.
    CategoricalCrossEntropyWithGradient,
    /// Binary cross-entropy.
    BinaryCrossEntropy,
    /// Batch normalisation by the batch's statistics.
    BatchNormTrain,
    /// Batch normalisation by given statistics.
    BatchNormInfer,
    /// Layer normalisation.
    LayerNorm,
    /// Normalisation by the root mean square.
    RmsNorm,
    /// Scaled dot-product attention.
    DotProductAttention,
    /// Its gradient.
    DotProductAttentionGradient,
    /// Elements set to zero at random.
    Dropout,
    /// The random block function.
    Threefry,
    /// A key from a key and a number.
    FoldIn,
    /// Keys from a key.
    SplitKey,
    /// Uniform random numbers.
    RandomUniform,
    /// Normal random numbers.
    RandomNormal,
    /// Normal random numbers within two standard deviations.
    TruncatedNormal,
    /// Random integers.
    RandomIntegers,
    /// Random classes of logits.
    RandomClasses,
    /// Lines in random orders.
    Shuffle,
    /// Random numbers of the gamma distribution.
    RandomGamma,
    /// Random numbers of the beta distribution.
    RandomBeta,
    /// Random numbers of the binomial distribution.
    RandomBinomial,
    /// Stochastic gradient descent.
    SgdUpdate,
    /// The step size of Adam.
    AdamStepSize,
    /// Adam.
    AdamUpdate,
    /// Contraction, bias and activation.
    Dense,
    /// Convolution, bias and activation.
    ConvolutionBias,
    /// Convolution with transformed 3 x 3 filters, by fewer multiplications.
    WinogradConvolution,
    /// The transformed filters.
    WinogradFilters,
    /// Systems of linear equations.
    Solve,
    /// The inverse of a matrix.
    Inverse,
    /// The determinant.
    Determinant,
    /// Sign and logarithm of the determinant.
    LogDeterminant,
    /// The pseudo-inverse.
    PseudoInverse,
}

impl Composite {
    /// The body as a graph of its own, for operands of these types.
    pub fn body_graph(&self, operands: &[&Type]) -> Result<super::Graph, TypeError> {
        let mut builder = Builder::new();
        let mut parameters = Vec::with_capacity(operands.len());
        for position in 0..operands.len() {
            let ty = super::ops::tensor(self.name(), operands, position)?;
            parameters.push(builder.parameter("operand", ty.clone())?);
        }
        let results = self.composition().body(&mut builder, &parameters)?;
        Ok(builder.finish(results))
    }
}

impl Operation for Composite {
    fn name(&self) -> &'static str {
        self.composition().name()
    }
    /// The type rule is the body's.
    fn infer(&self, operands: &[&Type]) -> Result<Type, TypeError> {
        let body = self.body_graph(operands)?;
        let types: Vec<TensorType> = body.results.iter().map(|&value| body.tensor_type(value).clone()).collect();
        Ok(match <[TensorType; 1]>::try_from(types) {
            Ok([ty]) => Type::Tensor(ty),
            Err(types) => Type::Tuple(types),
        })
    }

    /// Its own; differentiation takes the body's where it has none.
    fn gradient(&self, builder: &mut Builder, at: &Backward<'_>) -> Result<Cotangents, TypeError> {
        let own = self.composition().gradient(builder, at)?;
        own.ok_or_else(|| TypeError::new(self.name(), "it has no gradient of its own, differentiate its body"))
    }

    /// That of the body.
    fn evaluate(&self, at: &Evaluation<'_>) -> Result<Vec<Array>, String> {
        let body = self.body_graph(at.operand_types).map_err(|error| error.to_string())?;
        at.by_body(&body)
    }
}
