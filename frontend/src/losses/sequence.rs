//! Losses of sequences.

use super::class::{common, loss_class};
use super::{Loss, Target};
use crate::{Error, Result, Scope, shape_text};
use kc_ir::tensor::composites::LogSoftmax;
use kc_ir::tensor::ops::{Concatenate, DotGeneral, Pad, Slice};
use kc_ir::tensor::{ScanOptions, Tensor, Value, express};
use kc_ir::{DType, Dim, TensorType};

/// The logarithm that stands for that of 0.
const LOG_OF_NOTHING: f64 = -1e5;

loss_class! {
    /// Connectionist temporal classification of logits `[B, T, classes]` and labels `[B, N]`, whose trailing zeros are padding: class 0
    /// is the blank (Graves et al., 2006). `keras.losses.CTC`.
    CTC "ctc" {}
}

impl Loss for CTC {
    common!();

    /// Integers `[B, L]`.
    fn target(&self, prediction: &TensorType) -> Result<Target> {
        match prediction.shape.as_slice() {
            [batch, _, _] => {
                let ty = TensorType { dtype: DType::I32, shape: vec![batch.clone(), Dim::symbol("L")] };
                Ok(Target { ty, checks: Vec::new() })
            }
            shape => Err(Error::model(format!(
                "loss `{}` takes predictions of shape (None, time, classes), the model's output is {}",
                Loss::name(self),
                shape_text(shape)
            ))),
        }
    }

    fn call(&self, scope: &mut Scope, y_true: Value, y_pred: Value) -> Result<Value> {
        self.target(scope.tensor_type(y_pred))?;
        let labels = scope.convert(DType::I32, y_true)?;
        let [batch, length] = scope.tensor_type(labels).shape.as_slice() else {
            let shape = shape_text(&scope.tensor_type(labels).shape);
            return Err(Error::model(format!(
                "loss `{}` takes labels of shape (None, length), got {shape}",
                Loss::name(self)
            )));
        };
        let (batch, length) = (batch.clone(), length.clone());
        let states = [batch.clone(), length.clone() + Dim::constant(1)];
        let [emitted, blank, repeats, between, within] = express(scope, |formula| {
            let (labels, y_pred) = (formula.tensor(labels), formula.tensor(y_pred));
            let log = y_pred.with_op(LogSoftmax { axis: 2 });
            let one_hot = [batch.clone(), length.clone(), y_pred.shape()[2].clone()];
            let hit = labels.broadcast(&one_hot, &[0, 1]).equal(labels.positions(&one_hot, 2));
            let product =
                DotGeneral { lhs_batch: vec![0], rhs_batch: vec![0], lhs_contract: vec![2], rhs_contract: vec![2] };
            let emitted = formula.op(product, &[log, hit.convert(log.ty().dtype)]).transpose(&[1, 0, 2]);
            let mut limit = log.shape();
            limit[2] = Dim::constant(1);
            let blank = log.with_op(Slice { start: vec![Dim::constant(0); 3], limit, stride: vec![1; 3] });
            // whether a label is that of its successor
            let last = length.clone() - Dim::constant(1);
            let [first, second] = [(Dim::constant(0), last), (Dim::constant(1), length.clone())]
                .map(|(from, to)| columns(labels, from, to));
            let repeats = first.equal(second).convert(log.ty().dtype);
            let pad = Pad { low: vec![0, 0], high: vec![0, 1], interior: vec![0, 0] };
            let repeats = formula.op(pad, &[repeats, repeats.number(0.0)]);
            let nothing = log.number(LOG_OF_NOTHING);
            let between = log.positions(&states, 1).equal(0.0).select(log.number(0.0), LOG_OF_NOTHING);
            let within = nothing.broadcast_to(&[batch.clone(), length.clone()]);
            [emitted, blank.transpose(&[1, 0, 2]), repeats, between, within].map(Tensor::value)
        })?;
        let scanned = scope.scan(
            &[between, within],
            &[emitted, blank],
            &ScanOptions::default(),
            |scope, carried, elements| {
                let (&[between, within], &[emitted, blank]) = (carried, elements) else {
                    return Err(Error::model("a round has two states and two logarithms"));
                };
                Ok(express(scope, |formula| {
                    let [between, within, emitted, blank, repeats] =
                        [between, within, emitted, blank, repeats].map(|value| formula.tensor(value));
                    let ended = reached(between, within + repeats * LOG_OF_NOTHING);
                    let before = columns(ended, Dim::constant(0), length.clone());
                    let next_within = log_add(before + emitted, within + emitted);
                    let next_between = reached(ended + blank, within + blank + (1.0 - repeats) * LOG_OF_NOTHING);
                    (vec![next_between.value(), next_within.value()], vec![])
                })?)
            },
        )?;
        let [between, within] = scanned.carried[..] else {
            return Err(Error::model("a scan has as many states as it began with"));
        };
        Ok(express(scope, |formula| {
            let [labels, between, within] = [labels, between, within].map(|value| formula.tensor(value));
            let last = reached(between, within);
            let one = labels.number(1.0);
            let lengths = labels.not_equal(0.0).select(one, 0.0).sum(&[1]);
            let at_end = lengths.broadcast(&states, &[0]).equal(labels.positions(&states, 1));
            (-at_end.select(last, 0.0).sum(&[1])).value()
        })?)
    }
}

/// Columns of a matrix.
fn columns<'s, 'b>(x: Tensor<'s, 'b>, from: Dim, to: Dim) -> Tensor<'s, 'b> {
    let limit = vec![x.shape()[0].clone(), to];
    x.with_op(Slice { start: vec![Dim::constant(0), from], limit, stride: vec![1, 1] })
}

/// `ln(e^a + e^b)`
fn log_add<'s, 'b>(a: Tensor<'s, 'b>, b: Tensor<'s, 'b>) -> Tensor<'s, 'b> {
    // -|a - b|, whose derivative at 0 is 0
    let below = (a - b).minimum(0.0) - (a - b).maximum(0.0);
    a.maximum(b) + below.exp().log1p()
}

/// The states behind labels, with what the labels before them add; the first is behind none.
fn reached<'s, 'b>(states: Tensor<'s, 'b>, added: Tensor<'s, 'b>) -> Tensor<'s, 'b> {
    let count = states.shape()[1].clone();
    let first = columns(states, Dim::constant(0), Dim::constant(1));
    let others = columns(states, Dim::constant(1), count);
    states.scope().op(Concatenate { axis: 1 }, &[first, log_add(others, added)])
}
