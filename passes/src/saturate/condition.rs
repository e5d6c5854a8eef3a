//! The facts that rules ask for, by name.

use super::facts::{EGraph, Fact};
use egg::{Subst, Var};
use kc_ir::DType;
use kc_ir::tensor::composites::{Activation, Composite, Scores};
use kc_ir::tensor::ops::ScatterKind;
use kc_ir::tensor::{Literal, Op, Scalar};

/// One condition: a fact about what a variable is bound to.
pub(crate) struct Condition {
    pub variable: Var,
    test: Test,
    words: Vec<String>,
}

type Test = fn(&Fact, &[String]) -> bool;

/// Every condition: `name ?variable words...`.
const CONDITIONS: &[(&str, Test)] = &[
    // `splat ?c 1`: every element is that number, to the bit
    ("splat", |fact, words| match (fact.splat().map(|splat| splat.get(0)), words) {
        (Some(Scalar::Float(x)), [word]) => word.parse::<f64>().is_ok_and(|y| x.to_bits() == y.to_bits()),
        (Some(Scalar::Int(i)), [word]) => word.parse::<i128>().is_ok_and(|j| i == j),
        _ => false,
    }),
    // `power_of_two ?c`: every element is one power of two whose inverse is exact and not denormal
    ("power_of_two", |fact, _| fact.splat().is_some_and(|splat| invertible(splat) && is_power_of_two(splat))),
    // `invertible ?c`: every element is one finite number with an inverse that is neither infinite nor denormal, in a dtype of which a
    // rounding more is little
    ("invertible", |fact, _| {
        let fits =
            |splat: &Literal| matches!(splat.dtype(), kc_ir::DType::F32 | kc_ir::DType::F64) && invertible(splat);
        fact.splat().is_some_and(|splat| fits(splat) && !is_power_of_two(splat))
    }),
    // `linear ?a`: a fused op without an activation
    ("linear", |fact, _| match fact.attributes().map(|op| &**op) {
        Some(Op::Composite(Composite::Dense(dense))) => dense.activation == Activation::Identity,
        Some(Op::Composite(Composite::ConvolutionBias(fused))) => fused.activation == Activation::Identity,
        _ => false,
    }),
    // `half ?x`: of half precision
    ("half", |fact, _| fact.tensor().is_some_and(|ty| matches!(ty.dtype, DType::F16 | DType::Bf16))),
    // `widens ?a`: a conversion to f32
    (
        "widens",
        |fact, _| matches!(fact.attributes().map(|op| &**op), Some(Op::Convert(convert)) if convert.dtype == DType::F32),
    ),
    // `adds ?a`: a scatter that adds
    (
        "adds",
        |fact, _| matches!(fact.attributes().map(|op| &**op), Some(Op::Scatter(scatter)) if scatter.kind == ScatterKind::Add),
    ),
    // `logits ?a`: a cross-entropy of logits, clipped or not
    ("logits", |fact, _| scores(fact).is_some_and(|scores| scores != Scores::Probabilities)),
    // `probabilities ?a`: a cross-entropy of probabilities
    ("probabilities", |fact, _| scores(fact) == Some(Scores::Probabilities)),
];

fn scores(fact: &Fact) -> Option<Scores> {
    match &**fact.attributes()? {
        Op::Composite(Composite::CategoricalCrossEntropy(loss)) => Some(loss.scores),
        Op::Composite(Composite::CategoricalCrossEntropyGradient(gradient)) => Some(gradient.loss.scores),
        _ => None,
    }
}

fn invertible(splat: &Literal) -> bool {
    let dtype = splat.dtype();
    let Scalar::Float(x) = splat.get(0) else { return false };
    let inverse = Literal::scalar(dtype, 1.0 / x).get(0).to_f64();
    // the smallest normal numbers of f16 and of the types with the exponents of f32 and f64
    let smallest = match dtype {
        kc_ir::DType::F64 => f64::MIN_POSITIVE,
        kc_ir::DType::F16 => 6.103515625e-5,
        _ => f32::MIN_POSITIVE as f64,
    };
    [x, inverse].iter().all(|value| value.is_finite() && value.abs() >= smallest)
}

fn is_power_of_two(splat: &Literal) -> bool {
    const MANTISSA: u64 = (1 << 52) - 1;
    matches!(splat.get(0), Scalar::Float(x) if x.to_bits() & MANTISSA == 0)
}

impl Condition {
    /// The condition of that text.
    pub fn parse(text: &str) -> Result<Condition, String> {
        let mut words = text.split_whitespace();
        let name = words.next().unwrap_or_default();
        let (_, test) = CONDITIONS
            .iter()
            .find(|(known, _)| *known == name)
            .ok_or_else(|| format!("`{name}` in `{text}` is no condition"))?;
        let variable = words.next().unwrap_or_default();
        let variable = variable.parse().map_err(|error| format!("`{variable}` in `{text}` is no variable: {error}"))?;
        Ok(Condition { variable, test: *test, words: words.map(str::to_string).collect() })
    }

    /// Whether it holds.
    pub fn holds(&self, egraph: &EGraph, subst: &Subst) -> bool {
        (self.test)(&egraph[subst[self.variable]].data, &self.words)
    }
}
