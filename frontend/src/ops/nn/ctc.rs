//! Connectionist temporal classification (Graves et al., 2006): sequences of classes from longer sequences of scores.

use super::super::arguments::wrong;
use super::super::declare::functions;
use super::super::formulas::{concatenate, iota, pad, slice, with_axis};
use super::super::promotion::float;
use super::beam::Beams;
use kc_ir::tensor::composites::LogSoftmax;
use kc_ir::tensor::ops::{ArgReduce, Direction, DotGeneral, Extremum, Reduction, Sort};
use kc_ir::tensor::{Builder, ScanOptions, Scanned, Tensor as Formula, TypeError, Value, express};
use kc_ir::{DType, Dim};

/// What stands for the logarithm of 0.
const LOG_ZERO: f64 = -1e5;

functions! {
    /// The negative logarithm of the probability of each target `(batch, labels)`, given logits `(batch, time, classes)` and both
    /// lengths `(batch,)`.
    ctc_loss CTCLoss(target, output, target_length, output_length) {
        /// The class that stands between labels (default: 0).
        mask_index: i64 = 0,
    } = |scope, &[target, output, target_length, output_length]| {
        let (labels, times) = (target.shape(), output.shape());
        let [batch, count] = &labels[..] else { return Err(wrong("expected a target (batch, labels)")) };
        let [of_output, time, classes] = &times[..] else { return Err(wrong("expected an output (batch, time, classes)")) };
        let lengths = [batch.clone()];
        if of_output != batch || target_length.shape() != lengths || output_length.shape() != lengths {
            return Err(wrong("expected as many targets, outputs and lengths"));
        }
        let known = classes.as_constant().filter(|&classes| (0..classes).contains(&mask_index));
        if known.is_none() {
            return Err(wrong(format!("`mask_index` is {mask_index}, expected one of the {classes} classes")));
        }
        let output = float(output);
        let output = if output.ty().dtype == DType::F64 { output } else { output.convert(DType::F32) };
        let dtype = output.ty().dtype;
        let target = target.convert(DType::I32);
        let scores = scope.op(LogSoftmax { axis: 2 }, &[output]);
        // [time, batch, 1] of the mask, [time, batch, labels] of the labels
        let blank = slice(scores, 2, mask_index, mask_index + 1, 1).transpose(&[1, 0, 2]);
        let chosen = with_axis(target, 2).broadcast_to(&[batch.clone(), count.clone(), classes.clone()]);
        let chosen = chosen.equal(iota(scope, DType::I32, &chosen.shape(), 2)).convert(dtype);
        let products = DotGeneral { lhs_batch: vec![0], rhs_batch: vec![0], lhs_contract: vec![2], rhs_contract: vec![2] };
        let emitted = scope.op(products, &[scores, chosen]).transpose(&[1, 0, 2]);
        let place = iota(scope, DType::I32, &[batch.clone(), time.clone()], 1);
        let over = place.greater_equal(output_length.convert(DType::I32).broadcast(&place.shape(), &[0]));
        let over = over.transpose(&[1, 0]).broadcast(&[time.clone(), batch.clone(), Dim::constant(1)], &[0, 1]);
        // whether a label is that before the next
        let repeats = if count.is(0) || count.is(1) {
            chosen.number(0.0).broadcast_to(&labels)
        } else {
            let last = count.clone() - Dim::constant(1);
            let same = slice(target, 1, 0i64, last, 1).equal(slice(target, 1, 1i64, count.clone(), 1));
            pad(same.convert(dtype), 1, 0, 1, chosen.number(0.0))
        };
        let low = chosen.number(LOG_ZERO);
        let before = pad(low.broadcast_to(&labels), 1, 1, 0, chosen.number(0.0));
        let (repeats, initial) = (repeats.value(), [before.value(), low.broadcast_to(&labels).value()]);
        let sequences = [emitted, blank, over].map(Formula::value);
        let scanned = scope.with_builder(|b| -> Result<Scanned, TypeError> {
            b.scan(&initial, &sequences, &ScanOptions::default(), |b, carried, elements| {
                Ok((round(b, repeats, carried, elements)?, vec![]))
            })
        })?;
        let [phi, emit] = [0, 1].map(|i| scope.tensor(scanned.carried[i]));
        let ends = updated(phi, emit);
        // at each target's length
        let length = target_length.convert(DType::I32).maximum(0.0);
        let most = match count.as_constant() {
            Some(count) => scope.scalar(DType::I32, count),
            None => scope.op(kc_ir::tensor::ops::Dimension { dim: count.clone(), dtype: DType::I32 }, &[]),
        };
        let length = length.minimum(most).broadcast(&ends.shape(), &[0]);
        let at_length = length.equal(iota(scope, DType::I32, &ends.shape(), 1)).convert(dtype);
        Ok(-(ends * at_length).sum(&[1]))
    };
}

/// `ln(e^a + e^b)`
fn log_sum<'s, 'b>(a: Formula<'s, 'b>, b: Formula<'s, 'b>) -> Formula<'s, 'b> {
    // -|a - b|, whose derivative at 0 is 0
    let below = (a - b).minimum(0.0) - (a - b).maximum(0.0);
    a.maximum(b) + below.exp().log1p()
}

/// The scores between labels, with others added behind the first.
fn updated<'s, 'b>(phi: Formula<'s, 'b>, added: Formula<'s, 'b>) -> Formula<'s, 'b> {
    let extent = phi.shape()[1].clone();
    let (first, rest) = (slice(phi, 1, 0i64, 1i64, 1), slice(phi, 1, 1i64, extent, 1));
    concatenate(phi.scope(), &[first, log_sum(rest, added)], 1)
}

/// One step of time: the scores of having emitted each number of labels, last a blank and last a label.
fn round(b: &mut Builder, repeats: Value, carried: &[Value], elements: &[Value]) -> Result<Vec<Value>, TypeError> {
    express(b, |scope| {
        let [phi, emit, repeats] = [carried[0], carried[1], repeats].map(|value| scope.tensor(value));
        let [emitted, blank, over] = [0, 1, 2].map(|i| scope.tensor(elements[i]));
        let reached = updated(phi, emit + repeats * LOG_ZERO);
        let count = phi.shape()[1].clone();
        let from_blank = slice(reached, 1, 0i64, count - Dim::constant(1), 1) + emitted;
        let next_emit = log_sum(from_blank, emit + emitted);
        let wide = blank.broadcast_to(&phi.shape());
        let narrow = blank.broadcast_to(&emit.shape());
        let next_phi = updated(reached + wide, emit + narrow + (1.0 - repeats) * LOG_ZERO);
        let kept = |next: Formula<'_, '_>, before: Formula<'_, '_>| {
            let (next, before) = (scope.tensor(next.value()), scope.tensor(before.value()));
            over.broadcast_to(&next.shape()).select(before, next).value()
        };
        vec![kept(next_phi, phi), kept(next_emit, emit)]
    })
}

functions! {
    /// The likeliest labels of `(batch, time, classes)` up to the lengths `(batch,)`, followed by -1, as `(paths, batch, time)`; and their
    /// scores `(batch, paths)`: two results, `.results()`. `"greedy"` gives one path and the negative sum of what was chosen,
    /// `"beam_search"` the logarithms of the probabilities.
    ctc_decode CTCDecode(inputs, sequence_lengths) {
        /// `"greedy"`: at each time the likeliest class (default); `"beam_search"`: the likeliest paths.
        strategy: String = "greedy".to_string(),
        /// Paths that a beam search follows (default: 100).
        beam_width: i64 = 100,
        /// Paths that a beam search gives (default: 1).
        top_paths: i64 = 1,
        /// Whether equal neighbours are one label, where the strategy is greedy (default: yes).
        merge_repeated: bool = true,
        /// The class that stands between labels (default: 0).
        mask_index: i64 = 0,
    } = |scope, &[inputs, lengths]| {
        let inputs = float(inputs);
        let inputs = if inputs.ty().dtype == DType::F64 { inputs } else { inputs.convert(DType::F32) };
        let [batch, time, _] = &inputs.shape()[..] else { return Err(wrong("expected inputs (batch, time, classes)")) };
        if lengths.shape() != [batch.clone()] {
            return Err(wrong("expected one length for each of the batch"));
        }
        match strategy.as_str() {
            "greedy" => {}
            "beam_search" => {
                return Beams { width: beam_width, top: top_paths, mask_index }.search(inputs, *lengths);
            }
            other => {
                return Err(wrong(format!("the strategy is `{other}`, expected `greedy` or `beam_search`")));
            }
        }
        let shape = [batch.clone(), time.clone()];
        let place = iota(scope, DType::I32, &shape, 1);
        let over = place.greater_equal(lengths.convert(DType::I32).broadcast(&shape, &[0]));
        let mask = scope.scalar(DType::I32, mask_index);
        let likeliest = scope.op(ArgReduce { kind: Extremum::Max, axis: 2, dtype: DType::I32 }, &[inputs]);
        let classes = over.select(mask, likeliest);
        let scores = over.select(inputs.number(0.0), inputs.reduce(Reduction::Max, &[2]));
        let merged = if merge_repeated {
            let last = time.clone() - Dim::constant(1);
            let same = slice(classes, 1, 1i64, time.clone(), 1).equal(slice(classes, 1, 0i64, last, 1));
            pad(same, 1, 1, 0, scope.scalar(DType::Bool, 0i64)).select(mask, classes)
        } else {
            classes
        };
        let is_blank = merged.equal(mask.broadcast_to(&shape));
        let labels = is_blank.select(scope.scalar(DType::I32, -1i64), merged);
        // labels keep their order and stand before what is none
        let order = is_blank.convert(DType::I32);
        let sort = Sort { axis: 1, keys: 1, direction: Direction::Ascending };
        let [_, labels] = scope.ops(sort, &[order, labels]);
        Ok(vec![with_axis(labels, 0), with_axis(-scores.sum(&[1]), 1)])
    };
}
