use super::batches::{Batches, Visit};
use super::callback::{Callbacks, read_logs};
use super::progress::{Progress, Verbose};
use super::{Callback, Dataset, Logs, Training, TrainingError, checks};
use crate::array::Array;
use crate::session::{Session, SessionError};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How [`evaluate`] and [`predict`] visit the samples.
#[derive(Clone, Debug)]
pub struct EvaluateOptions {
    /// Samples of a step; the last step takes what is left. Default: 32.
    pub batch_size: usize,
    /// At most that many steps. Default: all samples.
    pub steps: Option<usize>,
    /// What is shown. Default: [`Verbose::Auto`].
    pub verbose: Verbose,
    /// Whether it is shown on the standard error instead of the standard output. Default: no.
    pub on_stderr: bool,
    /// Ends the loop after a step when it is set, or before the next round of a step's `while` loop.
    pub interrupt: Option<Arc<AtomicBool>>,
}

impl Default for EvaluateOptions {
    fn default() -> Self {
        EvaluateOptions { batch_size: 32, steps: None, verbose: Verbose::Auto, on_stderr: false, interrupt: None }
    }
}

/// Has the session stop for the flag too, where there is one, as long as `body` runs.
pub(super) fn interruptible<T>(
    session: &mut Session,
    flag: &Option<Arc<AtomicBool>>,
    body: impl FnOnce(&mut Session) -> Result<T, TrainingError>,
) -> Result<T, TrainingError> {
    let Some(flag) = flag else { return body(session) };
    let before = session.set_interrupt(Some(flag.clone()));
    let result = body(session);
    session.set_interrupt(before);
    result
}

/// Whether a step came to its end; `false` where the flag ended it in a loop.
pub(super) fn ended(result: Result<(), SessionError>, flag: &Option<Arc<AtomicBool>>) -> Result<bool, TrainingError> {
    match result {
        Err(SessionError::Interrupted { .. }) if flag.is_some() => Ok(false),
        other => Ok(other.map(|()| true)?),
    }
}

pub(super) fn interrupted(flag: &Option<Arc<AtomicBool>>) -> bool {
    flag.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed))
}

/// An option that must not be 0.
pub(super) fn at_least_one(option: &'static str, value: usize) -> Result<(), TrainingError> {
    if value > 0 {
        return Ok(());
    }
    Err(TrainingError::Option { option, given: value.to_string(), expected: "at least 1".into() })
}

/// Keras' `evaluate(return_dict=True)`: the loss and the metrics over the samples, in inference mode.
pub fn evaluate(
    session: &mut Session,
    data: &Dataset,
    options: &EvaluateOptions,
    callbacks: &mut [&mut dyn Callback],
) -> Result<Logs, TrainingError> {
    at_least_one("batch_size", options.batch_size)?;
    interruptible(session, &options.interrupt, |session| {
        let mut training = Training::new(session, 1, 0);
        let mut progress = Progress::new(options.verbose, options.on_stderr);
        let logs = test(&mut training, data, None, options, &mut Callbacks(callbacks), Some(&mut progress))?;
        training.take_notes().iter().for_each(|note| progress.note(note));
        Ok(logs)
    })
}

/// Test steps over the samples (all, or those of the range).
pub(super) fn test(
    training: &mut Training,
    data: &Dataset,
    range: Option<Range<usize>>,
    options: &EvaluateOptions,
    callbacks: &mut Callbacks,
    mut progress: Option<&mut Progress>,
) -> Result<Logs, TrainingError> {
    let entry = training.session().entry("test_step")?;
    let manifest = training.session().manifest().clone();
    let description = manifest.entry("test_step").expect("found above");
    let (columns, samples) = checks::columns(description, data)?;
    let visit = Visit { samples: range.unwrap_or(0..samples), batch_size: options.batch_size, shuffle: None };
    let steps = options.steps.map_or(visit.batches(), |steps| steps.min(visit.batches()));
    let steps_of_epoch = std::mem::replace(&mut training.steps, steps);
    training.session().reset_metrics();
    callbacks.each(|callback| callback.on_test_begin(training))?;
    if let Some(progress) = &mut progress {
        progress.begin(None, steps);
    }
    std::thread::scope(|scope| -> Result<(), TrainingError> {
        let mut batches = Batches::new(columns, visit, scope)?;
        let mut outputs = Vec::new();
        for step in 0..steps {
            callbacks.each(|callback| callback.on_test_batch_begin(training, step))?;
            let batch = batches.take();
            let result = training.session().run_into(entry, &batch.arrays, &mut outputs);
            batches.give_back(batch);
            if !ended(result, &options.interrupt)? {
                break;
            }
            training.stepped();
            callbacks.each(|callback| callback.on_test_batch_end(training, step))?;
            if let Some(progress) = &mut progress {
                progress.step(step + 1, || training.logs().cloned())?;
            }
            if interrupted(&options.interrupt) {
                break;
            }
        }
        Ok(())
    })?;
    let logs = read_logs(training.session())?;
    if let Some(progress) = &mut progress {
        progress.end(&logs);
    }
    callbacks.each(|callback| callback.on_test_end(training, &logs))?;
    training.steps = steps_of_epoch;
    Ok(logs)
}

/// Keras' `predict`: the model's outputs for all samples, in inference mode.
pub fn predict(
    session: &mut Session,
    data: &Dataset,
    options: &EvaluateOptions,
    callbacks: &mut [&mut dyn Callback],
) -> Result<Vec<Array>, TrainingError> {
    at_least_one("batch_size", options.batch_size)?;
    interruptible(session, &options.interrupt, |session| predict_all(session, data, options, callbacks))
}

fn predict_all(
    session: &mut Session,
    data: &Dataset,
    options: &EvaluateOptions,
    callbacks: &mut [&mut dyn Callback],
) -> Result<Vec<Array>, TrainingError> {
    let entry = session.entry("predict")?;
    let manifest = session.manifest().clone();
    let description = manifest.entry("predict").expect("found above");
    let (columns, samples) = checks::columns(description, data)?;
    let visit = Visit { samples: 0..samples, batch_size: options.batch_size, shuffle: None };
    let steps = options.steps.map_or(visit.batches(), |steps| steps.min(visit.batches()));
    let rows = samples.min(steps.saturating_mul(options.batch_size));
    let mut training = Training::new(session, 1, steps);
    let mut callbacks = Callbacks(callbacks);
    let mut progress = Progress::new(options.verbose, options.on_stderr);
    progress.begin(None, steps);
    callbacks.each(|callback| callback.on_predict_begin(&mut training))?;
    let mut results: Vec<Array> = Vec::new();
    std::thread::scope(|scope| -> Result<(), TrainingError> {
        let mut batches = Batches::new(columns, visit, scope)?;
        let mut outputs = Vec::new();
        let mut written = 0;
        for step in 0..steps {
            callbacks.each(|callback| callback.on_predict_batch_begin(&mut training, step))?;
            let batch = batches.take();
            let result = training.session().run_into(entry, &batch.arrays, &mut outputs);
            let batch_rows = batch.arrays.first().and_then(|array| array.shape().first()).copied().unwrap_or(0);
            batches.give_back(batch);
            if !ended(result, &options.interrupt)? {
                break;
            }
            if step == 0 {
                for output in &outputs {
                    let sample = output.shape().get(1..).unwrap_or_default();
                    let shape: Vec<usize> = std::iter::once(rows).chain(sample.iter().copied()).collect();
                    results.push(Array::zeros(output.dtype(), &shape)?);
                }
            }
            for (result, output) in results.iter_mut().zip(&outputs) {
                let width = result.bytes().len() / rows.max(1);
                let target = &mut result.bytes_mut()[written * width..(written + batch_rows) * width];
                if target.len() != output.bytes().len() {
                    return Err(TrainingError::Session(crate::SessionError::Manifest(format!(
                        "an output of `predict` has the shape {} for {batch_rows} samples",
                        crate::array::shape_text(output.shape())
                    ))));
                }
                target.copy_from_slice(output.bytes());
            }
            written += batch_rows;
            callbacks.each(|callback| callback.on_predict_batch_end(&mut training, step))?;
            progress.step(step + 1, || Ok(Logs::new()))?;
            if interrupted(&options.interrupt) {
                break;
            }
        }
        for result in &mut results {
            result.set_rows(written);
        }
        Ok(())
    })?;
    progress.end(&Logs::new());
    callbacks.each(|callback| callback.on_predict_end(&mut training))?;
    training.take_notes().iter().for_each(|note| progress.note(note));
    Ok(results)
}
