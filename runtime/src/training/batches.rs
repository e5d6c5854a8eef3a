//! Batches: samples gathered, in order or shuffled, into arrays that an entry point takes.

use crate::array::{Array, ArrayError};
use crate::convert::convert;
use crate::random::NumpyRandom;
use crate::session::SessionError;
use kc_abi::DType;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Scope;

/// Where the values of an input come from.
pub(super) enum Source<'a> {
    /// An array whose first axis counts the samples.
    Array(&'a Array),
    /// One number a sample.
    Weights(Vec<f32>),
    /// The number 1 for each sample.
    Ones,
}

/// All samples of one input.
pub(super) struct Column<'a> {
    /// What the entry point takes.
    pub(super) dtype: DType,
    /// Extents of one sample.
    pub(super) row_shape: Vec<usize>,
    pub(super) source: Source<'a>,
}

impl Column<'_> {
    fn row_elements(&self) -> usize {
        self.row_shape.iter().product()
    }

    /// An array for that many samples.
    fn array(&self, rows: usize) -> Result<Array, ArrayError> {
        let shape: Vec<usize> = std::iter::once(rows).chain(self.row_shape.iter().copied()).collect();
        Array::zeros(self.dtype, &shape)
    }

    /// Writes the samples `first..first + rows` of `order` to `target`.
    fn gather(&self, order: Order, first: usize, rows: usize, target: &mut Array) {
        let (dtype, bytes): (DType, &[u8]) = match &self.source {
            Source::Array(array) => (array.dtype(), array.bytes()),
            Source::Weights(weights) => {
                let row = self.row_elements();
                for (i, chunk) in target.bytes_mut().chunks_exact_mut(row * self.dtype.bytes()).enumerate() {
                    let weight = weights[order.sample(first + i)].to_ne_bytes();
                    chunk.chunks_exact_mut(self.dtype.bytes()).for_each(|slot| {
                        convert(super::checks::WEIGHT_DTYPE, &weight, self.dtype, slot);
                    });
                }
                return;
            }
            Source::Ones => {
                let size = self.dtype.bytes();
                target.bytes_mut().chunks_exact_mut(size).for_each(|slot| convert(DType::U8, &[1], self.dtype, slot));
                return;
            }
        };
        let width = self.row_elements() * dtype.bytes();
        let target_width = self.row_elements() * self.dtype.bytes();
        if let Order::Range(start) = order {
            let from = (start + first) * width;
            convert(dtype, &bytes[from..from + rows * width], self.dtype, target.bytes_mut());
            return;
        }
        if width == 0 {
            return;
        }
        for (i, row) in target.bytes_mut().chunks_exact_mut(target_width).enumerate() {
            let from = order.sample(first + i) * width;
            convert(dtype, &bytes[from..from + width], self.dtype, row);
        }
    }
}

/// Which sample comes at which place.
#[derive(Clone, Copy)]
enum Order<'a> {
    /// In order, from that sample on.
    Range(usize),
    /// That sample plus the permutation's.
    Permuted(usize, &'a [usize]),
}

impl Order<'_> {
    fn sample(self, place: usize) -> usize {
        match self {
            Order::Range(start) => start + place,
            Order::Permuted(start, order) => start + order[place],
        }
    }
}

/// Samples in the form that an entry point takes.
pub(super) struct Batch {
    /// One array an input.
    pub(super) arrays: Vec<Array>,
}

/// How the samples are visited.
pub(super) struct Visit {
    /// The samples.
    pub(super) samples: Range<usize>,
    pub(super) batch_size: usize,
    /// What the order of each pass is drawn from; `None`: in order.
    pub(super) shuffle: Option<NumpyRandom>,
}

impl Visit {
    /// Batches of one pass; the last may be smaller.
    pub(super) fn batches(&self) -> usize {
        self.samples.len().div_ceil(self.batch_size)
    }
}

/// Makes batch after batch, pass after pass.
struct Maker<'a> {
    columns: Vec<Column<'a>>,
    visit: Visit,
    order: Vec<usize>,
    place: usize,
}

impl Maker<'_> {
    fn fill(&mut self, batch: &mut Batch) {
        let samples = self.visit.samples.len();
        if self.place >= samples {
            self.place = 0;
        }
        if let (Some(random), 0) = (&mut self.visit.shuffle, self.place) {
            self.order.resize(samples, 0);
            random.permutation(&mut self.order);
        }
        let rows = self.visit.batch_size.min(samples - self.place);
        let start = self.visit.samples.start;
        let order =
            if self.visit.shuffle.is_some() { Order::Permuted(start, &self.order) } else { Order::Range(start) };
        for (column, array) in self.columns.iter().zip(&mut batch.arrays) {
            array.set_rows(rows);
            column.gather(order, self.place, rows, array);
        }
        self.place += rows;
    }
}

/// Batches that are made while others are used.
pub(super) enum Batches<'a> {
    /// Made by the calling thread when asked for.
    Direct(Box<Direct<'a>>),
    /// Made ahead by a thread.
    Ahead(Arc<Exchange>),
}

/// A maker with its one batch.
pub(super) struct Direct<'a> {
    maker: Maker<'a>,
    batch: Option<Batch>,
}

/// Batches on their way between the thread that makes them and the one that uses them. Unlike a channel it allocates
/// nothing after its start.
pub(super) struct Exchange {
    queues: Mutex<Queues>,
    changed: Condvar,
}

struct Queues {
    full: VecDeque<Batch>,
    free: VecDeque<Batch>,
    closed: bool,
}

impl Exchange {
    fn lock(&self) -> MutexGuard<'_, Queues> {
        // Moving batches cannot leave the queues half changed.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, pick: impl Fn(&mut Queues) -> Option<Batch>) -> Option<Batch> {
        let mut queues = self.lock();
        loop {
            if queues.closed {
                return None;
            }
            if let Some(batch) = pick(&mut queues) {
                return Some(batch);
            }
            queues = self.changed.wait(queues).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn change(&self, change: impl FnOnce(&mut Queues)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }
}

/// Batches of fewer bytes than this are made faster than they are handed over.
const AHEAD_BYTES: usize = 1 << 15;
/// Batches made ahead.
const AHEAD: usize = 2;

impl<'a> Batches<'a> {
    /// Batches of the columns; a thread makes them ahead where that is worth its while.
    pub(super) fn new<'scope, 'env>(
        columns: Vec<Column<'a>>,
        visit: Visit,
        scope: &'scope Scope<'scope, 'env>,
    ) -> Result<Self, SessionError>
    where
        'a: 'scope,
    {
        let rows = visit.batch_size.min(visit.samples.len());
        let batch = || -> Result<Batch, SessionError> {
            let arrays = columns.iter().map(|column| column.array(rows)).collect::<Result<_, _>>();
            let arrays = arrays.map_err(SessionError::from);
            Ok(Batch { arrays: arrays.map_err(|e| e.for_memory_of(|| format!("a batch of {rows} samples")))? })
        };
        let mut batches = VecDeque::from([batch()?]);
        let bytes: usize = batches[0].arrays.iter().map(|array| array.bytes().len()).sum();
        let alone = bytes < AHEAD_BYTES || std::thread::available_parallelism().map_or(1, usize::from) == 1;
        if !alone {
            for _ in 0..AHEAD {
                batches.push_back(batch()?);
            }
        }
        let maker = Maker { columns, visit, order: Vec::new(), place: 0 };
        if alone {
            return Ok(Batches::Direct(Box::new(Direct { maker, batch: batches.pop_front() })));
        }
        let builder = std::thread::Builder::new().name("kc-batches".into());
        Ok(Self::ahead(maker, batches, builder, scope))
    }

    /// Batches that a thread makes; the calling thread where the system gives no other.
    fn ahead<'scope, 'env>(
        maker: Maker<'a>,
        batches: VecDeque<Batch>,
        builder: std::thread::Builder,
        scope: &'scope Scope<'scope, 'env>,
    ) -> Self
    where
        'a: 'scope,
    {
        let full = VecDeque::with_capacity(batches.len());
        let queues = Mutex::new(Queues { full, free: batches, closed: false });
        let exchange = Arc::new(Exchange { queues, changed: Condvar::new() });
        let theirs = exchange.clone();
        let maker = Arc::new(Mutex::new(Some(maker)));
        let taken = |maker: &Mutex<Option<Maker<'a>>>| maker.lock().unwrap_or_else(PoisonError::into_inner).take();
        let for_thread = maker.clone();
        let make = move || {
            let Some(mut maker) = taken(&for_thread) else { return };
            while let Some(mut batch) = theirs.take(|queues| queues.free.pop_front()) {
                maker.fill(&mut batch);
                theirs.change(|queues| queues.full.push_back(batch));
            }
        };
        if builder.spawn_scoped(scope, make).is_ok() {
            return Batches::Ahead(exchange);
        }
        let maker = taken(&maker).expect("a thread that did not start took nothing");
        let batch = exchange.lock().free.pop_front();
        Batches::Direct(Box::new(Direct { maker, batch }))
    }

    /// The next batch; give it back with [`Batches::give_back`].
    pub(super) fn take(&mut self) -> Batch {
        match self {
            Batches::Direct(direct) => {
                let mut batch = direct.batch.take().expect("the batch was given back");
                direct.maker.fill(&mut batch);
                batch
            }
            Batches::Ahead(exchange) => {
                exchange.take(|queues| queues.full.pop_front()).expect("closed only when this end is dropped")
            }
        }
    }

    /// Returns a batch to be filled again.
    pub(super) fn give_back(&mut self, batch: Batch) {
        match self {
            Batches::Direct(direct) => direct.batch = Some(batch),
            Batches::Ahead(exchange) => exchange.change(|queues| queues.free.push_back(batch)),
        }
    }
}

impl Drop for Batches<'_> {
    fn drop(&mut self) {
        if let Batches::Ahead(exchange) = self {
            exchange.change(|queues| queues.closed = true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(rows: usize, width: usize, batch_size: usize, shuffle: Option<u32>, count: usize) -> Vec<Vec<f32>> {
        let values: Vec<u8> = (0..rows * width).map(|i| (i / width) as u8).collect();
        let array = Array::from_slice(&values, &[rows, width]).unwrap();
        let column = Column { dtype: DType::F32, row_shape: vec![width], source: Source::Array(&array) };
        let visit = Visit { samples: 0..rows, batch_size, shuffle: shuffle.map(NumpyRandom::new) };
        std::thread::scope(|scope| {
            let mut batches = Batches::new(vec![column], visit, scope).unwrap();
            (0..count)
                .map(|_| {
                    let batch = batches.take();
                    let values = batch.arrays[0].as_slice::<f32>().unwrap();
                    let samples = values.iter().step_by(width).copied().collect();
                    assert!(values.chunks(width).all(|row| row.iter().all(|&x| x == row[0])));
                    batches.give_back(batch);
                    samples
                })
                .collect()
        })
    }

    #[test]
    fn batches_in_order_end_with_a_smaller_one() {
        // narrow rows are gathered directly, wide ones ahead
        for width in [1, 10_000] {
            let expected: [&[f32]; 4] = [&[0.0, 1.0], &[2.0, 3.0], &[4.0], &[0.0, 1.0]];
            assert_eq!(sequence(5, width, 2, None, 4), expected, "{width}");
        }
    }

    #[test]
    fn shuffled_passes_hold_every_sample_once() {
        for width in [1, 10_000] {
            let batches = sequence(10, width, 4, Some(3), 6);
            let mut order = vec![0; 10];
            let mut random = NumpyRandom::new(3);
            for pass in 0..2 {
                let samples: Vec<f32> = batches[pass * 3..pass * 3 + 3].concat();
                random.permutation(&mut order);
                assert_eq!(samples, order.iter().map(|&i| i as f32).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn without_another_thread_batches_are_made_by_the_calling_one() {
        let array = Array::from_slice(&[1f32, 2.0, 3.0], &[3]).unwrap();
        let column = Column { dtype: DType::F32, row_shape: vec![], source: Source::Array(&array) };
        let batch = Batch { arrays: vec![column.array(2).unwrap()] };
        let visit = Visit { samples: 0..3, batch_size: 2, shuffle: None };
        let maker = Maker { columns: vec![column], visit, order: Vec::new(), place: 0 };
        std::thread::scope(|scope| {
            // a stack that no address space has
            let builder = std::thread::Builder::new().stack_size(1 << 56);
            let mut batches = Batches::ahead(maker, VecDeque::from([batch]), builder, scope);
            assert!(matches!(batches, Batches::Direct(_)));
            for expected in [&[1f32, 2.0][..], &[3.0]] {
                let batch = batches.take();
                assert_eq!(batch.arrays[0].as_slice::<f32>().unwrap(), expected);
                batches.give_back(batch);
            }
        });
    }

    #[test]
    fn a_batch_larger_than_the_data_is_all_the_data() {
        assert_eq!(sequence(3, 1, 100, None, 1), [[0.0, 1.0, 2.0]]);
    }
}
