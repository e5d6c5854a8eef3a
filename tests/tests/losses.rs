//! Every loss: its derivative by the predictions against central differences in f64, and numbers at saturated predictions.

use kc::losses::*;
use kc::prelude::{Base, Call, DType, Input, Layer, LayerArguments, Model, Scope, Value};
use kc_ir::tensor::ops::{Gradient, Reduction};
use kc_ir::tensor::{Builder, Literal, Scalar, interpret};
use kc_passes::differentiate;
use std::sync::Arc;

/// The losses of a target and predictions, not reduced.
#[derive(Clone, Debug)]
struct LossOf {
    base: Base,
    loss: Arc<dyn Loss>,
}

impl Layer for LossOf {
    fn base(&self) -> &Base {
        &self.base
    }
    fn base_mut(&mut self) -> &mut Base {
        &mut self.base
    }
    fn autocast(&self) -> bool {
        false
    }
    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> kc::Result<Vec<Value>> {
        Ok(vec![self.loss.weighted(scope, inputs[0], inputs[1], None)?])
    }
}

/// What targets and predictions of a loss are.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Both between 0 and 1.
    Shares,
    /// Targets of 0 and 1, predictions of any size.
    Margins,
    /// Numbers of any size.
    Numbers,
    /// Classes, and probabilities.
    Classes,
    /// Classes, and logits or embeddings.
    ClassesOfNumbers,
    /// Shares, and logits.
    SharesOfNumbers,
}
use Kind::*;

/// `Class::new()` with these arguments, computed in f64.
macro_rules! losses {
    ($($kind:ident $class:ident $(.$argument:ident($value:expr))*;)*) => {
        vec![$((
            concat!(stringify!($class) $(, ".", stringify!($argument))*),
            $kind,
            Arc::new($class::new()$(.$argument($value))*.dtype(DType::F64)) as Arc<dyn Loss>,
        )),*]
    };
}

fn all() -> Vec<(&'static str, Kind, Arc<dyn Loss>)> {
    losses! {
        Shares BinaryCrossentropy;
        SharesOfNumbers BinaryCrossentropy.from_logits(true).label_smoothing(0.2);
        Shares BinaryCrossentropy.axis(0);
        Shares BinaryFocalCrossentropy.apply_class_balancing(true).gamma(1.5);
        SharesOfNumbers BinaryFocalCrossentropy.from_logits(true).label_smoothing(0.1);
        Shares CategoricalCrossentropy.label_smoothing(0.1);
        SharesOfNumbers CategoricalCrossentropy.from_logits(true).reduction("none");
        Shares CategoricalFocalCrossentropy.alpha([0.1, 0.2, 0.3, 0.4]);
        SharesOfNumbers CategoricalFocalCrossentropy.from_logits(true).gamma(3.0);
        Classes CategoricalGeneralizedCrossEntropy.q(0.3);
        Numbers CategoricalHinge;
        ClassesOfNumbers Circle.gamma(2.0);
        ClassesOfNumbers Circle.gamma(2.0).margin(0.2).remove_diagonal(false).reduction("sum");
        Numbers CosineSimilarity;
        Numbers CosineSimilarity.axis(0).reduction("none");
        Shares Dice;
        Shares Dice.axis([1]);
        Margins Hinge;
        Numbers Hinge;
        Numbers Huber.delta(0.7);
        Shares KLDivergence;
        Numbers LogCosh;
        Numbers MeanAbsoluteError;
        Numbers MeanAbsolutePercentageError;
        Numbers MeanSquaredError.reduction("sum");
        Shares MeanSquaredLogarithmicError;
        Shares Poisson;
        Classes SparseCategoricalCrossentropy;
        ClassesOfNumbers SparseCategoricalCrossentropy.from_logits(true).ignore_class(2);
        Margins SquaredHinge;
        Shares Tversky.alpha(0.3).beta(0.9);
        Shares Tversky.axis(-1);
    }
}

const ROWS: usize = 5;
const COLUMNS: usize = 4;

/// A number between 0 and 1 that looks random.
fn hash(i: usize) -> f64 {
    ((i as f64 * 12.9898 + 4.1414).sin() * 43758.5453).rem_euclid(1.0)
}

fn matrix(value: impl Fn(usize) -> f64) -> Literal {
    Literal::from_scalars(DType::F64, vec![ROWS, COLUMNS], (0..ROWS * COLUMNS).map(|i| Scalar::Float(value(i))))
}

fn operands(kind: Kind) -> [Literal; 2] {
    let classes = || Literal::from_scalars(DType::I32, vec![ROWS], [1, 3, 2, 1, 0].map(Scalar::Int));
    let shares = |salt: usize| matrix(move |i| 0.1 + 0.8 * hash(i + salt));
    let numbers = |salt: usize| matrix(move |i| 3.0 * hash(i + salt) - 1.5);
    match kind {
        Shares => [shares(0), shares(100)],
        Margins => [matrix(|i| f64::from(u8::from(hash(i) > 0.5))), numbers(100)],
        Numbers => [numbers(0), numbers(100)],
        Classes => [classes(), shares(100)],
        ClassesOfNumbers => [classes(), matrix(|i| hash(i + 100) - 0.4)],
        SharesOfNumbers => [shares(0), numbers(100)],
    }
}

/// The sum of a loss, and its derivatives by the predictions.
fn evaluate(loss: &Arc<dyn Loss>, operands: &[Literal; 2]) -> (f64, Vec<f64>) {
    let input = |name: &str, literal: &Literal| {
        let extents: Vec<i64> = literal.shape()[1..].iter().map(|&extent| extent as i64).collect();
        Input::new(extents).dtype(&literal.dtype().to_string()).name(name)
    };
    let inputs = [input("y_true", &operands[0]), input("y_pred", &operands[1])];
    let layer = LossOf { base: Base::new("LossOf"), loss: loss.clone() };
    let outputs = layer.call([&inputs[0], &inputs[1]]).unwrap_or_else(|error| panic!("{error}"));
    let call = Model::new([&inputs[0], &inputs[1]], &outputs).unwrap().stateless_call(false).unwrap();
    let mut b = Builder::new();
    let y_true = b.parameter("y_true", operands[0].ty()).unwrap();
    let y_pred = b.parameter("y_pred", operands[1].ty()).unwrap();
    // the batch is a number here
    let graph = kc_ir::tensor::specialise(&call.graph, &|_| Some(operands[0].shape()[0] as i64)).unwrap();
    let losses = b.inline(&graph, &[y_true, y_pred]).unwrap()[0];
    let axes: Vec<usize> = (0..b.tensor_type(losses).rank()).collect();
    let sum = b.reduce(Reduction::Sum, &axes, losses).unwrap();
    let gradient = b.add(Gradient {}, &[sum, y_pred]).unwrap();
    let gradient = b.projections(gradient).unwrap();
    let graph = differentiate(&b.finish(vec![sum, gradient[0]])).unwrap();
    let results = interpret(&graph, operands).unwrap();
    (results[0].get(0).to_f64(), results[1].to_f64_vec())
}

#[test]
fn derivatives_are_those_of_central_differences() {
    for (name, kind, loss) in all() {
        let given = operands(kind);
        let (_, derivatives) = evaluate(&loss, &given);
        for (position, derivative) in derivatives.iter().enumerate() {
            let nudged = |by: f64| {
                let values = given[1].scalars().enumerate();
                let values =
                    values.map(|(i, value)| Scalar::Float(value.to_f64() + if i == position { by } else { 0.0 }));
                let nudged = Literal::from_scalars(DType::F64, vec![ROWS, COLUMNS], values.collect::<Vec<_>>());
                evaluate(&loss, &[given[0].clone(), nudged]).0
            };
            let expected = (nudged(1e-5) - nudged(-1e-5)) / 2e-5;
            let error = (derivative - expected).abs();
            assert!(
                error <= 1e-6 * (1.0 + expected.abs()),
                "{name}: the derivative by element {position} is {derivative}, differences give {expected}"
            );
        }
    }
}

#[test]
fn saturated_predictions_have_losses_and_derivatives() {
    for (name, kind, loss) in all() {
        let [y_true, _] = operands(kind);
        let extremes: &[f64] = match kind {
            // of a probability of 0 its slope is infinite
            Classes if name.starts_with("CategoricalGeneralized") => &[1e-300, 1.0, 1e-30, 0.5],
            Shares | Classes => &[0.0, 1.0, 1e-300, 0.5],
            Margins | Numbers | ClassesOfNumbers | SharesOfNumbers => &[1e4, -1e4, 0.0, 1.0],
        };
        // the rows end in other places, and one is constant
        let saturated = matrix(|i| if i / COLUMNS == 2 { extremes[1] } else { extremes[(i + i / COLUMNS) % 4] });
        let (value, derivatives) = evaluate(&loss, &[y_true, saturated]);
        assert!(value.is_finite(), "{name} is {value}");
        assert!(derivatives.iter().all(|derivative| derivative.is_finite()), "{name}: {derivatives:?}");
    }
}

#[test]
fn the_derivatives_of_ctc_are_those_of_central_differences() {
    let labels = Literal::from_scalars(DType::I32, vec![2, 3], [1, 1, 2, 3, 0, 0].map(Scalar::Int));
    let logits = |at: Option<usize>, by: f64| {
        let value = |i: usize| 3.0 * hash(i) - 1.5 + if at == Some(i) { by } else { 0.0 };
        Literal::from_scalars(DType::F64, vec![2, 5, 4], (0..40).map(|i| Scalar::Float(value(i))))
    };
    let loss: Arc<dyn Loss> = Arc::new(CTC::new().dtype(DType::F64));
    let (_, derivatives) = evaluate(&loss, &[labels.clone(), logits(None, 0.0)]);
    for (position, derivative) in derivatives.into_iter().enumerate() {
        let nudged = |by: f64| evaluate(&loss, &[labels.clone(), logits(Some(position), by)]).0;
        let expected = (nudged(1e-5) - nudged(-1e-5)) / 2e-5;
        assert!(
            (derivative - expected).abs() <= 1e-6,
            "by element {position}: {derivative}, differences give {expected}"
        );
    }
}
