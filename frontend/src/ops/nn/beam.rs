//! Beam search over what a network that was trained by connectionist temporal classification gives (Graves and Jaitly, 2014), as Keras on
//! JAX does it.

use super::super::arguments::wrong;
use super::super::formulas::{at, concatenate, iota, known_extent, pad, reverse, slice, with_axis};
use super::super::sorting::sorted_with_positions;
use super::super::taking::taken_along;
use kc_ir::tensor::composites::LogSoftmax;
use kc_ir::tensor::ops::{
    Constant, Cumulative, Direction, Gather, GatherMode, IndexedWindows, Reduction, Scatter, ScatterKind, ScatterMode,
    Sort,
};
use kc_ir::tensor::{Literal, Scalar, ScanOptions, Scanned, Tensor as Formula, TypeError, Value, express};
use kc_ir::{DType, Dim};

/// What stands behind the last label of a path.
const NONE: f64 = -1.0;

/// How the search goes.
pub(super) struct Beams {
    /// Paths that are followed.
    pub width: i64,
    /// Paths that are given, the likeliest first.
    pub top: i64,
    /// The class that stands between labels.
    pub mask_index: i64,
}

/// Paths `[batch, paths, time]` of labels, the logarithms of their probabilities `[batch, paths]`, and whether they end with the class
/// between labels, of that shape.
type Paths<'s, 'b> = [Formula<'s, 'b>; 3];

impl Beams {
    /// The likeliest paths `[top, batch, time]`, followed by -1, and the logarithms of their probabilities `[batch, top]`, given logits
    /// `[batch, time, classes]` and lengths `[batch]`.
    ///
    /// Classes are counted from the last one until the end: of equal scores the last comes first, and that is the least class.
    pub fn search<'s, 'b>(
        &self,
        logits: Formula<'s, 'b>,
        lengths: Formula<'s, 'b>,
    ) -> Result<Vec<Formula<'s, 'b>>, TypeError> {
        let scope = logits.scope();
        let shape = logits.shape();
        let (batch, time, classes) = (shape[0].clone(), known_extent(&shape, 1)?, known_extent(&shape, 2)?);
        if time < 1 {
            return Err(wrong("there is no time step, expected at least 1"));
        }
        if !(0..classes).contains(&self.mask_index) {
            let given = self.mask_index;
            return Err(wrong(format!("`mask_index` is {given}, expected one of the {classes} classes")));
        }
        if self.width < 1 || !(1..=2 * self.width).contains(&self.top) {
            let (width, top) = (self.width, self.top);
            return Err(wrong(format!(
                "`beam_width` is {width} and `top_paths` {top}, expected at least one path, and at most twice as many paths as beams"
            )));
        }
        let mask = classes - 1 - self.mask_index;
        let scores = reverse(scope.op(LogSoftmax { axis: 2 }, &[logits]), &[2]);
        let initial = self.first(at(scores, 1, 0i64), mask, time);
        let place = iota(scope, DType::I32, &[batch.clone(), Dim::constant(time)], 1);
        let over = place.greater_equal(with_axis(lengths.convert(DType::I32), 1));
        let sequences = [scores, over].map(|x| {
            let order: Vec<usize> = [1, 0].into_iter().chain(2..x.shape().len()).collect();
            slice(x, 1, 1i64, time, 1).transpose(&order).value()
        });
        let scanned = scope.with_builder(|b| -> Result<Scanned, TypeError> {
            b.scan(&initial.map(Formula::value), &sequences, &ScanOptions::default(), |b, carried, elements| {
                let next = express(b, |scope| -> Result<Vec<Value>, TypeError> {
                    let before = [0, 1, 2].map(|i| scope.tensor(carried[i]));
                    let next = self.round(before, scope.tensor(elements[0]), mask)?;
                    let over = scope.tensor(elements[1]);
                    let all = next.into_iter().zip(before);
                    Ok(all
                        .map(|(next, before)| over.broadcast(&next.shape(), &[0]).select(before, next).value())
                        .collect())
                })??;
                Ok((next, vec![]))
            })
        })?;
        let [paths, scores] = [0, 1].map(|i| scope.tensor(scanned.carried[i]));
        let distinct = Distinct::of(paths, classes)?;
        let scores = distinct.merged(scores)?;
        let (places, scores) = largest(scores, self.top)?;
        let paths = distinct.paths(reverse(places, &[1]))?;
        let paths = paths.equal(NONE).select(paths, (classes - 1) as f64 - paths);
        Ok(vec![paths.transpose(&[1, 0, 2]), reverse(scores, &[1])])
    }

    /// The paths of one step: the likeliest classes, and as many as are missing that are not possible.
    fn first<'s, 'b>(&self, scores: Formula<'s, 'b>, mask: i64, time: i64) -> Paths<'s, 'b> {
        let scope = scores.scope();
        let (batch, classes) = (scores.shape()[0].clone(), scores.shape()[1].as_constant().unwrap_or(0));
        let count = classes.min(self.width);
        let [ordered, order] = sorted_with_positions(scores, 1);
        let [scores, likeliest] = [ordered, order].map(|x| slice(x, 1, classes - count, classes, 1));
        let none = likeliest.number(NONE);
        let labels = likeliest.equal(mask as f64).select(none, likeliest);
        let missing = 2 * self.width - count;
        let labels = pad(labels, 1, 0, missing, none);
        let scores = pad(scores, 1, 0, missing, scores.number(f64::NEG_INFINITY));
        let shape = [batch, Dim::constant(2 * self.width), Dim::constant(time)];
        let start = iota(scope, DType::I32, &shape, 2).equal(0.0);
        [start.select(labels.broadcast(&shape, &[0, 1]), none), scores, labels.equal(none)]
    }

    /// Each path followed by each class; of equal ones the probabilities are added; the likeliest are kept, as those that end with a
    /// label and those that do not.
    fn round<'s, 'b>(
        &self,
        [paths, scores, masked]: Paths<'s, 'b>,
        x: Formula<'s, 'b>,
        mask: i64,
    ) -> Result<Paths<'s, 'b>, TypeError> {
        let scope = paths.scope();
        let (batch, time) = (paths.shape()[0].clone(), paths.shape()[2].clone());
        let classes = known_extent(&x.shape(), 1)?;
        let each = [batch.clone(), Dim::constant(2 * self.width), Dim::constant(classes)];
        let all = [batch.clone(), Dim::constant(2 * self.width * classes)];
        let none = paths.number(NONE);
        // the first free place of each path, and the label before it
        let place = iota(scope, DType::I32, &paths.shape(), 2);
        let length = paths.not_equal(none).convert(DType::I32).sum(&[2]);
        let before = place.equal(with_axis(length, 2) - 1.0);
        let tail = length.equal(0.0).select(none, before.select(paths, 0.0).sum(&[2]));
        let class = iota(scope, DType::I32, &each, 2);
        let class = class.equal(mask as f64).select(none, class);
        let ends_masked = class.equal(none);
        let repeats = class.equal(with_axis(tail, 2)).and(with_axis(masked.complement(), 2));
        let label = repeats.select(none, class);
        let wide = [each.to_vec(), vec![time.clone()]].concat();
        let [longer, kept, label] =
            [(place.equal(with_axis(length, 2)), &[0, 1, 3][..]), (paths, &[0, 1, 3]), (label, &[0, 1, 2])]
                .map(|(x, axes)| x.broadcast(&wide, axes));
        let paths = longer.select(label, kept).reshape(&[all[0].clone(), all[1].clone(), time]);
        let scores = (with_axis(scores, 2) + with_axis(x, 1)).reshape(&all);
        let ends_masked = ends_masked.reshape(&all);

        let distinct = Distinct::of(paths, classes)?;
        let impossible = scores.number(f64::NEG_INFINITY);
        let emitted = distinct.merged(ends_masked.select(impossible, scores))?;
        let blank = distinct.merged(ends_masked.select(scores, impossible))?;
        // where neither is possible there is no difference
        let apart = emitted - blank;
        let neither = apart.not_equal(apart);
        let nearness = -neither.select(apart.number(0.0), apart).abs();
        let total = neither.select(emitted + blank, emitted.maximum(blank) + nearness.exp().log1p());
        let (places, _) = largest(total, self.width)?;
        let paths = distinct.paths(places)?;
        let scores = [taken_along(emitted, places, 1)?, taken_along(blank, places, 1)?];
        let halves = iota(scope, DType::I32, &[batch, Dim::constant(2 * self.width)], 1);
        Ok([
            concatenate(scope, &[paths, paths], 1),
            concatenate(scope, &scores, 1),
            halves.greater_equal(self.width as f64),
        ])
    }
}

/// The positions `[batch, count]` of the largest elements of each line, ascending, and those elements.
fn largest<'s, 'b>(x: Formula<'s, 'b>, count: i64) -> Result<(Formula<'s, 'b>, Formula<'s, 'b>), TypeError> {
    let extent = known_extent(&x.shape(), 1)?;
    let [ordered, order] = sorted_with_positions(x, 1).map(|x| slice(x, 1, extent - count, extent, 1));
    Ok((order, ordered))
}

/// The distinct ones of some paths, in the order of their labels.
struct Distinct<'s, 'b> {
    given: Formula<'s, 'b>,
    /// Where the paths stood, in the order of their labels.
    origin: Formula<'s, 'b>,
    /// Whether each is not the one before, in that order.
    is_first: Formula<'s, 'b>,
}

impl<'s, 'b> Distinct<'s, 'b> {
    /// Of paths `[batch, paths, time]` with labels below `classes`.
    fn of(paths: Formula<'s, 'b>, classes: i64) -> Result<Self, TypeError> {
        let scope = paths.scope();
        let shape = paths.shape();
        let time = known_extent(&shape, 2)?;
        // as many labels as fit are one number, which is compared as they are
        let base = classes + 1;
        let fit = (1..).take_while(|&n| base.checked_pow(n).is_some()).last().unwrap_or(1).min(time as u32);
        let numbers = (time + i64::from(fit) - 1) / i64::from(fit);
        let digits = pad(paths + 1.0, 2, 0, numbers * i64::from(fit) - time, paths.number(0.0)).convert(DType::I64);
        let rows = [shape[0].clone(), shape[1].clone()];
        let parted = [&rows[..], &[Dim::constant(numbers), Dim::constant(i64::from(fit))]].concat();
        let powers = (0..fit).rev().map(|n| Scalar::Int(base.pow(n).into()));
        let powers = Literal::from_scalars(DType::I64, vec![fit as usize], powers);
        let powers = scope.op(Constant { value: powers }, &[]);
        let keys = (digits.reshape(&parted) * powers).sum(&[3]);
        let mut operands: Vec<Formula<'s, 'b>> = (0..numbers).map(|n| at(keys, 2, n)).collect();
        operands.push(iota(scope, DType::I32, &rows, 1));
        let keys = operands.len() - 1;
        let sort = scope.op(Sort { axis: 1, keys, direction: Direction::Ascending }, &operands);
        let mut sorted =
            scope.with_builder(|b| b.projections(sort.value()))?.into_iter().map(|value| scope.tensor(value));
        let count = known_extent(&shape, 1)?;
        let differs = sorted
            .by_ref()
            .take(keys)
            .map(|key| slice(key, 1, 1i64, count, 1).not_equal(slice(key, 1, 0i64, count - 1, 1)));
        let differs =
            differs.reduce(|a, b| a.or(b)).ok_or_else(|| wrong("there is no time step, expected at least 1"))?;
        let is_first = pad(differs, 1, 1, 0, scope.scalar(DType::Bool, 1i64));
        let origin = sorted.next().ok_or_else(|| wrong("there is no path, expected at least 1"))?;
        Ok(Distinct { given: paths, origin, is_first })
    }

    /// The logarithms of the sums of the probabilities of equal paths, of which these are the logarithms; behind the last path 0's.
    fn merged(&self, scores: Formula<'s, 'b>) -> Result<Formula<'s, 'b>, TypeError> {
        let scope = scores.scope();
        let most = with_axis(scores.reduce(Reduction::Max, &[1]), 1);
        let sorted = taken_along(scores, self.origin, 1)?;
        let running = Cumulative { kind: Reduction::Sum, axis: 1, reverse: false };
        let numbers = scope.op(running, &[self.is_first.convert(DType::I32)]) - 1.0;
        let windows = IndexedWindows {
            offset: vec![],
            collapsed: vec![1],
            operand_batch: vec![0],
            indices_batch: vec![0],
            index_map: vec![1],
        };
        let add = Scatter { kind: ScatterKind::Add, windows, mode: ScatterMode::Drop };
        let sums = scope.op(add, &[scores.zeros_like(), with_axis(numbers, 2), (sorted - most).exp()]);
        // the derivative of what is not there is 0
        let none = sums.equal(0.0);
        let logarithms = none.select(sums.number(1.0), sums).log();
        Ok(none.select(sums.number(f64::NEG_INFINITY), logarithms) + most)
    }

    /// The paths of those numbers `[batch, n]`; there are none behind the last.
    fn paths(&self, numbers: Formula<'s, 'b>) -> Result<Formula<'s, 'b>, TypeError> {
        let scope = numbers.scope();
        let is_first = self.is_first.convert(DType::I32);
        let [_, places] = sorted_with_positions(1.0 - is_first, 1);
        let origin = taken_along(self.origin, taken_along(places, numbers, 1)?, 1)?;
        let mut sizes = self.given.shape();
        (sizes[0], sizes[1]) = (Dim::constant(1), Dim::constant(1));
        let windows = IndexedWindows {
            offset: vec![2],
            collapsed: vec![1],
            operand_batch: vec![0],
            indices_batch: vec![0],
            index_map: vec![1],
        };
        let rows = scope.op(Gather { windows, sizes, mode: GatherMode::Clip }, &[self.given, with_axis(origin, 2)]);
        let is_there = numbers.less(with_axis(is_first.sum(&[1]), 1));
        Ok(is_there.broadcast(&rows.shape(), &[0, 1]).select(rows, NONE))
    }
}
