//! Crossentropies of targets and predictions.

use super::super::arguments::wrong;
use super::super::declare::functions;
use super::super::formulas::without_axis;
use super::super::promotion::{float, promote_float};
use kc_ir::DType;
use kc_ir::tensor::composites::{BinaryCrossEntropy, CategoricalCrossEntropy, Scores};

/// What the scores are.
fn scores(from_logits: bool) -> Scores {
    if from_logits { Scores::Logits } else { Scores::Probabilities }
}

functions! {
    /// `-target ln(output) - (1 - target) ln(1 - output)`, element by element.
    binary_crossentropy BinaryCrossentropy(target, output) {
        /// Whether `output` holds logits, whose sigmoid is meant (default: probabilities).
        from_logits: bool = false,
    } = |scope, &[target, output]| {
        let [target, output] = promote_float([target, output]);
        if target.shape() != output.shape() {
            return Err(wrong("expected a target and an output of one shape"));
        }
        Ok(scope.op(BinaryCrossEntropy { scores: scores(from_logits) }, &[target, output]))
    };
    /// `-sum(target ln(output))` along an axis; probabilities are divided by their sum.
    categorical_crossentropy CategoricalCrossentropy(target, output) {
        /// Whether `output` holds logits, whose softmax is meant (default: probabilities).
        from_logits: bool = false,
        /// The axis of the classes (default: the last).
        axis: i64 = -1,
    } = |scope, &[target, output]| {
        let [target, output] = promote_float([target, output]);
        if target.shape() != output.shape() || output.shape().is_empty() {
            return Err(wrong("expected a target and an output of one shape with at least one axis"));
        }
        let axis = super::super::arguments::axis(axis, output.shape().len())?;
        Ok(scope.op(CategoricalCrossEntropy { axis, sparse: false, scores: scores(from_logits) }, &[target, output]))
    };
    /// `-ln(output[target])` along an axis, for class numbers as targets; probabilities are divided by their sum. A number that is no
    /// class has the loss 0.
    sparse_categorical_crossentropy SparseCategoricalCrossentropy(target, output) {
        /// Whether `output` holds logits, whose softmax is meant (default: probabilities).
        from_logits: bool = false,
        /// The axis of the classes (default: the last).
        axis: i64 = -1,
    } = |scope, &[target, output]| {
        let (target, output) = (target.convert(DType::I32), float(output));
        let (rank, given) = (output.shape().len(), target.shape());
        let target = match given.last() {
            Some(last) if given.len() == rank && last.is(1) => without_axis(target, rank - 1),
            _ => target,
        };
        let axis = super::super::arguments::axis(axis, rank)?;
        let mut expected = output.shape();
        expected.remove(axis);
        if target.shape() != expected {
            return Err(wrong("expected a target of the output's shape without the axis of the classes"));
        }
        Ok(scope.op(CategoricalCrossEntropy { axis, sparse: true, scores: scores(from_logits) }, &[target, output]))
    };
}
