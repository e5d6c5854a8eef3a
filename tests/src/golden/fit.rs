//! The case `fit_history`: `fit(x[:64], batch 12, 3 epochs, not shuffled, validation on x[64:], class weights 1, 2, 0.5, 1)`,
//! `evaluate(batch 32)`, `predict(x[:7], batch 4)`.

use super::check::{Comparison, reset_metrics, rows};
use crate::arrays::values;
use crate::runner::Execution;
use kc_ir::tensor::Module;
use kc_runtime::{
    Array, Dataset, EvaluateOptions, FitOptions, Session, Verbose, evaluate, fit as runtime_fit, predict,
};
use std::collections::BTreeMap;
use std::ops::Range;

const CLASS_WEIGHTS: [f64; 4] = [1.0, 2.0, 0.5, 1.0];
const EPOCHS: usize = 3;
const BATCH: usize = 12;
const SPLIT: usize = 64;

/// What a fit gives.
struct Outcome {
    history: BTreeMap<String, Vec<f64>>,
    /// The loss, then the accuracy.
    evaluated: Vec<f64>,
    predicted: Array,
}

pub(super) fn compare(comparison: &mut Comparison, execution: &mut dyn Execution) -> Result<(), String> {
    let (x, y) = (comparison.array("x")?.clone(), comparison.array("y")?.clone());
    let outcome = match execution.session() {
        Some(session) => by_runtime(session, &x, &y)?,
        None => step_by_step(comparison.module, execution, &x, &y)?,
    };
    for (log, ours) in &outcome.history {
        let right = values(comparison.array(&format!("hist_{log}"))?);
        if ours.len() != right.len() {
            return Err(format!("`{log}` has {} epochs, expected {}", ours.len(), right.len()));
        }
        for (epoch, (ours, right)) in ours.iter().zip(right).enumerate() {
            comparison.compare_number(&format!("{log} of epoch {epoch}"), *ours, right)?;
        }
    }
    if outcome.history.len() != 4 {
        return Err(format!("the logs are {:?}", outcome.history.keys()));
    }
    let right = values(comparison.array("evaluate")?);
    for (index, (ours, right)) in outcome.evaluated.iter().zip(right).enumerate() {
        comparison.compare_number(&format!("evaluate[{index}]"), *ours, right)?;
    }
    let right = comparison.array("predict7")?.clone();
    comparison.compare("predict7", &outcome.predicted, &right);
    comparison.weights("w_final_", execution)
}

/// Through the runtime's loops.
fn by_runtime(session: &mut Session, x: &Array, y: &Array) -> Result<Outcome, String> {
    let text = |error: kc_runtime::TrainingError| error.to_string();
    let part = |range: Range<usize>| Ok::<_, String>(Dataset::new(rows(x, range.clone())?, rows(y, range)?));
    let validation = part(SPLIT..x.shape()[0])?;
    let options = FitOptions {
        batch_size: BATCH,
        epochs: EPOCHS,
        shuffle: false,
        verbose: Verbose::Silent,
        validation_data: Some(&validation),
        class_weight: Some((0..).zip(CLASS_WEIGHTS).collect()),
        ..FitOptions::default()
    };
    let history = runtime_fit(session, &part(0..SPLIT)?, &options, &mut []).map_err(text)?.logs;
    let options = EvaluateOptions { batch_size: 32, verbose: Verbose::Silent, ..EvaluateOptions::default() };
    let logs = evaluate(session, &part(0..x.shape()[0])?, &options, &mut []).map_err(text)?;
    let log = |name: &str| logs.get(name).ok_or_else(|| format!("evaluate gave no `{name}`"));
    let evaluated = vec![log("loss")?, log("accuracy")?];
    let options = EvaluateOptions { batch_size: 4, ..options };
    let mut outputs = predict(session, &Dataset::unlabelled(rows(x, 0..7)?), &options, &mut []).map_err(text)?;
    let predicted = outputs.pop().ok_or("predict gave no output")?;
    Ok(Outcome { history, evaluated, predicted })
}

/// The loops written out, for what is no session.
fn step_by_step(module: &Module, execution: &mut dyn Execution, x: &Array, y: &Array) -> Result<Outcome, String> {
    let samples = x.shape()[0];
    let mut history: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for _ in 0..EPOCHS {
        let training = epoch(module, execution, "train_step", (x, y), 0..SPLIT, BATCH, &CLASS_WEIGHTS)?;
        let validation = epoch(module, execution, "test_step", (x, y), SPLIT..samples, BATCH, &[1.0; 4])?;
        for (name, value) in ["loss", "accuracy"].into_iter().zip(training) {
            history.entry(name.to_string()).or_default().push(value);
        }
        for (name, value) in ["val_loss", "val_accuracy"].into_iter().zip(validation) {
            history.entry(name.to_string()).or_default().push(value);
        }
    }
    let evaluated = epoch(module, execution, "test_step", (x, y), 0..samples, 32, &[1.0; 4])?;
    let mut bytes = Vec::new();
    for batch in batches(0..7, 4) {
        let outputs = execution.run("predict", &[&rows(x, batch)?])?;
        bytes.extend(outputs[0].bytes());
    }
    let predicted = Array::from_bytes(kc_ir::DType::F32, &[7, 4], &bytes).map_err(|error| error.to_string())?;
    Ok(Outcome { history, evaluated, predicted })
}

fn batches(range: Range<usize>, size: usize) -> impl Iterator<Item = Range<usize>> {
    range.clone().step_by(size).map(move |start| start..(start + size).min(range.end))
}

fn epoch(
    module: &Module,
    execution: &mut dyn Execution,
    entry: &str,
    (x, y): (&Array, &Array),
    range: Range<usize>,
    size: usize,
    class_weights: &[f64; 4],
) -> Result<Vec<f64>, String> {
    reset_metrics(module, execution)?;
    for batch in batches(range, size) {
        let targets = rows(y, batch.clone())?;
        let weights: Vec<f32> = values(&targets).iter().map(|&class| class_weights[class as usize] as f32).collect();
        let weights = Array::from_slice(&weights, &[weights.len()]).map_err(|error| error.to_string())?;
        execution.run(entry, &[&rows(x, batch)?, &targets, &weights])?;
    }
    Ok(execution.run("metric_results", &[])?.iter().flat_map(values).collect())
}
