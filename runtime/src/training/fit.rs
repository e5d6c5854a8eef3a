use super::batches::{Batches, Source, Visit};
use super::callback::{Callbacks, read_logs};
use super::evaluate::{EvaluateOptions, at_least_one, ended, interrupted, interruptible, test};
use super::progress::{Progress, Verbose};
use super::{Callback, Dataset, History, Training, TrainingError, checks};
use crate::array::Array;
use crate::random::NumpyRandom;
use crate::session::{EntryId, Session, SessionError};
use kc_abi::manifest::{InputRole, TRAIN_STEPS};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The arguments of Keras' `fit`, with its defaults.
#[derive(Clone, Debug)]
pub struct FitOptions<'a> {
    /// Samples of a step; the last step of an epoch takes what is left. Default: 32.
    pub batch_size: usize,
    /// Number of the last epoch. Default: 1.
    pub epochs: usize,
    /// What is shown. Default: [`Verbose::Auto`].
    pub verbose: Verbose,
    /// Whether it is shown on the standard error instead of the standard output. Default: no.
    pub on_stderr: bool,
    /// The fraction of the samples, taken from the end before shuffling, that is for validation. Default: 0.
    pub validation_split: f64,
    /// Samples for validation; they take precedence over `validation_split`.
    pub validation_data: Option<&'a Dataset>,
    /// Whether each pass over the samples has an order of its own. Default: yes.
    pub shuffle: bool,
    /// What the orders are drawn from. Default: that of the seed 0.
    pub order: NumpyRandom,
    /// How many orders are drawn and not used before the first pass. A training that goes on where another of so many passes
    /// ended skips theirs; Keras draws one to find the shapes of a model that is trained or evaluated for the first time.
    /// Default: 0.
    pub skipped_orders: usize,
    /// Weights of the samples by their class; 1 for a class that is not named.
    pub class_weight: Option<BTreeMap<i64, f64>>,
    /// Number of the first epoch, from 0, to go on with an earlier training. Default: 0.
    pub initial_epoch: usize,
    /// Steps of an epoch; the next epoch goes on where the last ended. Default: all samples.
    pub steps_per_epoch: Option<usize>,
    /// Steps of one call, where the package has such an entry point (those for XLA have), which leaves the device to itself for longer;
    /// callbacks are called for the last of them. Elsewhere the steps follow one another, with the same numbers. Default: 1.
    pub steps_per_execution: usize,
    /// At most that many steps of validation. Default: all samples.
    pub validation_steps: Option<usize>,
    /// Samples of a validation step. Default: `batch_size`.
    pub validation_batch_size: Option<usize>,
    /// Validation follows every epoch whose number, from 1, is a multiple of this. Default: 1.
    pub validation_freq: usize,
    /// Ends the training after a step when it is set; the history of the epochs that ended is kept. A step that is in a `while` loop
    /// ends before the loop's next round; the state may have some of its updates then.
    pub interrupt: Option<Arc<AtomicBool>>,
}

impl Default for FitOptions<'_> {
    fn default() -> Self {
        FitOptions {
            batch_size: 32,
            epochs: 1,
            verbose: Verbose::Auto,
            on_stderr: false,
            validation_split: 0.0,
            validation_data: None,
            shuffle: true,
            order: NumpyRandom::default(),
            skipped_orders: 0,
            class_weight: None,
            initial_epoch: 0,
            steps_per_epoch: None,
            steps_per_execution: 1,
            validation_steps: None,
            validation_batch_size: None,
            validation_freq: 1,
            interrupt: None,
        }
    }
}

impl FitOptions<'_> {
    fn check(&self) -> Result<(), TrainingError> {
        at_least_one("batch_size", self.batch_size)?;
        at_least_one("steps_per_epoch", self.steps_per_epoch.unwrap_or(1))?;
        at_least_one("steps_per_execution", self.steps_per_execution)?;
        at_least_one("validation_steps", self.validation_steps.unwrap_or(1))?;
        at_least_one("validation_batch_size", self.validation_batch_size.unwrap_or(1))?;
        at_least_one("validation_freq", self.validation_freq)?;
        if !(0.0..1.0).contains(&self.validation_split) {
            return Err(TrainingError::Option {
                option: "validation_split",
                given: self.validation_split.to_string(),
                expected: "at least 0 and less than 1".into(),
            });
        }
        Ok(())
    }
}

/// Keras' `fit`: trains the model on the samples for a number of epochs.
///
/// The data is checked once, before the first step. The logs of an epoch are the means over its samples, weighted where sample
/// weights are given; those of the validation have the prefix `val_`. Sample weights are part of the [`Dataset`].
pub fn fit(
    session: &mut Session,
    data: &Dataset,
    options: &FitOptions,
    callbacks: &mut [&mut dyn Callback],
) -> Result<History, TrainingError> {
    options.check()?;
    interruptible(session, &options.interrupt, |session| fit_all(session, data, options, callbacks))
}

fn fit_all(
    session: &mut Session,
    data: &Dataset,
    options: &FitOptions,
    callbacks: &mut [&mut dyn Callback],
) -> Result<History, TrainingError> {
    let entry = session.entry("train_step")?;
    let manifest = session.manifest().clone();
    let description = manifest.entry("train_step").expect("found above");
    let (mut columns, samples) = checks::columns(description, data)?;
    if let Some(class_weight) = &options.class_weight {
        let weights = checks::class_weights(data, samples, class_weight)?;
        let is_weight = |index: &usize| description.inputs[*index].role == InputRole::SampleWeight;
        if let Some(index) = (0..columns.len()).find(is_weight) {
            columns[index].source = Source::Weights(weights);
        }
    }
    let (range, validation) = match options.validation_data {
        Some(other) => (0..samples, Some((other, None))),
        None if options.validation_split > 0.0 => {
            let (training, validation) = checks::split(samples, options.validation_split)?;
            (training, Some((data, Some(validation))))
        }
        None => (0..samples, None),
    };
    if let Some((other, _)) = &validation {
        let test_step = manifest.entries.iter().find(|entry| entry.name == "test_step");
        checks::columns(test_step.unwrap_or(description), other)?;
    }
    let validate = EvaluateOptions {
        batch_size: options.validation_batch_size.unwrap_or(options.batch_size),
        steps: options.validation_steps,
        verbose: Verbose::Silent,
        on_stderr: options.on_stderr,
        interrupt: options.interrupt.clone(),
    };

    let mut order = options.order.clone();
    let mut places = vec![0; if options.shuffle { range.len() } else { 0 }];
    let mut draw_orders = |order: &mut NumpyRandom, count: usize| {
        (0..count).for_each(|_| order.permutation(&mut places));
    };
    draw_orders(&mut order, options.skipped_orders);
    let visit =
        Visit { samples: range, batch_size: options.batch_size, shuffle: options.shuffle.then(|| order.clone()) };
    let batches_of_pass = visit.batches();
    let steps = options.steps_per_epoch.unwrap_or(batches_of_pass);
    let session_has_steps = options.steps_per_execution > 1 && session.has_entry(TRAIN_STEPS);
    let mut training = Training::new(session, options.epochs, steps);
    let training = &mut training;
    let mut callbacks = Callbacks(callbacks);
    let mut progress = Progress::new(options.verbose, options.on_stderr);
    if let Some(note) = larger_batch(options.batch_size, visit.samples.len()) {
        progress.note(&note);
    }
    let mut execution = Execution {
        step: entry,
        steps: match session_has_steps {
            true => Some(training.session().entry(TRAIN_STEPS)?),
            false => None,
        },
        stacked: Vec::new(),
        outputs: Vec::new(),
    };
    let ragged = !visit.samples.len().is_multiple_of(visit.batch_size);
    let mut history = History::default();
    // passes that have begun, and batches of the last that have been taken
    let (mut passes, mut taken) = (0, 0);

    std::thread::scope(|scope| -> Result<(), TrainingError> {
        let mut batches = Batches::new(columns, visit, scope)?;
        callbacks.each(|callback| callback.on_train_begin(training))?;
        for epoch in options.initial_epoch..options.epochs {
            training.session().reset_metrics();
            training.stepped();
            callbacks.each(|callback| callback.on_epoch_begin(training, epoch))?;
            progress.begin(Some((epoch, options.epochs)), steps);
            let mut step = 0;
            while step < steps {
                if taken == batches_of_pass {
                    // The next epoch starts a new pass; within one, Keras ends the epoch where the data ends.
                    taken = 0;
                    if step > 0 {
                        training.note(format!(
                            "the data ended after {step} of the epoch's {steps} steps; the epoch ends here"
                        ));
                        break;
                    }
                }
                callbacks.each(|callback| callback.on_train_batch_begin(training, step))?;
                let count = options.steps_per_execution.min(steps - step).min(batches_of_pass - taken);
                passes += usize::from(taken == 0);
                taken += count;
                step += count;
                let alike = count - usize::from(ragged && taken == batches_of_pass);
                let result = execution.run(training.session(), &mut batches, alike, count);
                if !ended(result, &options.interrupt)? {
                    history.interrupted = true;
                    break;
                }
                training.stepped();
                callbacks.each(|callback| callback.on_train_batch_end(training, step - 1))?;
                progress.step(step, || training.logs().cloned())?;
                history.interrupted = interrupted(&options.interrupt);
                if training.stops() || history.interrupted {
                    break;
                }
            }
            if history.interrupted {
                progress.interrupted();
                break;
            }
            let mut logs = read_logs(training.session())?;
            if let Some((other, range)) = &validation
                && (epoch + 1) % options.validation_freq == 0
            {
                let values = test(training, other, range.clone(), &validate, &mut callbacks, None)?;
                values.iter().for_each(|(name, value)| logs.set(format!("val_{name}"), value));
                history.interrupted = interrupted(&options.interrupt);
                if history.interrupted {
                    progress.interrupted();
                    break;
                }
            }
            callbacks.each(|callback| callback.on_epoch_end(training, epoch, &mut logs))?;
            progress.end(&logs);
            training.take_notes().iter().for_each(|note| progress.note(note));
            history.push(epoch, &logs);
            if training.stops() {
                break;
            }
        }
        callbacks.each(|callback| callback.on_train_end(training, &history))
    })?;
    training.take_notes().iter().for_each(|note| progress.note(note));
    // batches may have been made ahead: only orders that were used count
    draw_orders(&mut order, passes);
    history.order = order;
    Ok(history)
}

/// Steps in execution.
struct Execution {
    step: EntryId,
    /// Several steps in one call.
    steps: Option<EntryId>,
    /// The batches of several steps, one behind the other.
    stacked: Vec<Array>,
    outputs: Vec<Array>,
}

impl Execution {
    /// Executes the steps of the next `count` batches, of which the first `alike` have as many samples.
    fn run(
        &mut self,
        session: &mut Session,
        batches: &mut Batches<'_>,
        alike: usize,
        count: usize,
    ) -> Result<(), SessionError> {
        let mut rest = count;
        if let Some(steps) = self.steps.filter(|_| alike > 1) {
            for place in 0..alike {
                let batch = batches.take();
                let stacked = self.stack(&batch.arrays, place, alike);
                batches.give_back(batch);
                stacked?;
            }
            session.run_into(steps, &self.stacked, &mut self.outputs)?;
            rest -= alike;
        }
        for _ in 0..rest {
            let batch = batches.take();
            let result = session.run_into(self.step, &batch.arrays, &mut self.outputs);
            batches.give_back(batch);
            result?;
        }
        Ok(())
    }

    /// Copies a batch to its place among `count`.
    fn stack(&mut self, arrays: &[Array], place: usize, count: usize) -> Result<(), SessionError> {
        if place == 0 {
            let fits =
                |(stacked, array): (&Array, &Array)| stacked.shape().split_first() == Some((&count, array.shape()));
            if self.stacked.len() != arrays.len() || !self.stacked.iter().zip(arrays).all(fits) {
                let longer = |array: &Array| {
                    let shape: Vec<usize> = [count].iter().chain(array.shape()).copied().collect();
                    Array::zeros(array.dtype(), &shape)
                };
                self.stacked = arrays.iter().map(longer).collect::<Result<_, _>>()?;
            }
        }
        for (stacked, array) in self.stacked.iter_mut().zip(arrays) {
            let length = array.bytes().len();
            stacked.bytes_mut()[place * length..(place + 1) * length].copy_from_slice(array.bytes());
        }
        Ok(())
    }
}

/// What is said, once, where a batch takes more samples than there are.
fn larger_batch(batch_size: usize, samples: usize) -> Option<String> {
    let note = || {
        format!("batch_size {batch_size} is larger than the {samples} samples: each epoch is one batch of {samples}")
    };
    (batch_size > samples).then(note)
}

#[cfg(test)]
mod tests {
    use super::larger_batch;

    #[test]
    fn a_batch_larger_than_the_data_is_said() {
        assert_eq!(
            larger_batch(64, 10).as_deref(),
            Some("batch_size 64 is larger than the 10 samples: each epoch is one batch of 10")
        );
        assert_eq!(larger_batch(10, 10), None);
    }
}
