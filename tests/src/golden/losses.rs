//! The table `losses`: an array `Class|y_true|y_pred|reduction` (and `|SW`, with sample weights) holds what the loss class gives
//! for the arrays of those names. All are outputs of one model.

use super::check::Comparison;
use crate::runner::Execution;
use kc::prelude::*;
use kc::{Error, Result};
use kc_runtime::Array;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A loss of a table, with the names of what it is called with.
#[derive(Clone, Debug)]
struct Entry {
    name: String,
    loss: Arc<dyn Loss>,
    y_true: String,
    y_pred: String,
    sample_weight: Option<String>,
}

/// A layer whose outputs are losses of its inputs.
#[derive(Clone, Debug)]
struct Losses {
    base: Base,
    inputs: Vec<String>,
    entries: Vec<Entry>,
}

impl Losses {
    fn input(&self, inputs: &[Value], name: &str) -> Result<Value> {
        let position = self.inputs.iter().position(|input| input == name);
        let value = position.and_then(|position| inputs.get(position)).copied();
        value.ok_or_else(|| Error::model(format!("there is no array `{name}`")))
    }
}

impl Layer for Losses {
    fn base(&self) -> &Base {
        &self.base
    }
    fn base_mut(&mut self) -> &mut Base {
        &mut self.base
    }
    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
        let mut outputs = Vec::new();
        for entry in &self.entries {
            let y_true = self.input(inputs, &entry.y_true)?;
            let y_pred = self.input(inputs, &entry.y_pred)?;
            let weight = entry.sample_weight.as_ref().map(|name| self.input(inputs, name)).transpose()?;
            outputs.push(entry.loss.weighted(scope, y_true, y_pred, weight)?);
        }
        Ok(outputs)
    }
}

/// The loss that the table calls by that name, with this reduction.
fn loss(name: &str, reduction: &str) -> Result<Arc<dyn Loss>> {
    macro_rules! classes {
        ($($class:ident)*) => {
            match name {
                $(stringify!($class) => Arc::new($class::new().reduction(reduction)),)*
                "BinaryCrossentropy_ls_logits" => {
                    Arc::new(BinaryCrossentropy::new().label_smoothing(0.1).from_logits(true).reduction(reduction))
                }
                "SparseCategoricalCrossentropy_logits_ignore0" => Arc::new(
                    SparseCategoricalCrossentropy::new().from_logits(true).ignore_class(0).reduction(reduction),
                ),
                _ => return Err(Error::model(format!("no loss is known for `{name}`"))),
            }
        };
    }
    Ok(classes! {
        BinaryCrossentropy BinaryFocalCrossentropy CTC CategoricalCrossentropy CategoricalFocalCrossentropy
        CategoricalGeneralizedCrossEntropy CategoricalHinge Circle CosineSimilarity Dice Hinge Huber KLDivergence LogCosh
        MeanAbsoluteError MeanAbsolutePercentageError MeanSquaredError MeanSquaredLogarithmicError Poisson
        SparseCategoricalCrossentropy SquaredHinge Tversky
    })
}

fn entry(name: &str) -> Result<Option<Entry>> {
    let parts: Vec<&str> = name.split('|').collect();
    let (class, y_true, y_pred, reduction, sample_weight) = match parts[..] {
        [class, y_true, y_pred, reduction] => (class, y_true, y_pred, reduction, None),
        [class, y_true, y_pred, reduction, weight] => (class, y_true, y_pred, reduction, Some(weight.to_string())),
        _ => return Ok(None),
    };
    let (y_true, y_pred) = (y_true.to_string(), y_pred.to_string());
    Ok(Some(Entry { name: name.to_string(), loss: loss(class, reduction)?, y_true, y_pred, sample_weight }))
}

/// What the table's model takes: the arrays that losses are called with, in order.
fn inputs(entries: &[Entry]) -> Vec<String> {
    let mut names: Vec<String> = entries
        .iter()
        .flat_map(|entry| [Some(&entry.y_true), Some(&entry.y_pred), entry.sample_weight.as_ref()])
        .flatten()
        .cloned()
        .collect();
    names.sort();
    names.dedup();
    names
}

fn entries(arrays: &BTreeMap<String, Array>) -> Result<Vec<Entry>> {
    Ok(arrays.keys().map(|name| entry(name)).collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

/// The model of the table.
pub(super) fn model(case: &super::Case) -> Result<Model> {
    let arrays = case.arrays().map_err(Error::model)?;
    let entries = entries(&arrays)?;
    let names = inputs(&entries);
    let inputs: Vec<Input> = names
        .iter()
        .map(|name| {
            let array = &arrays[name];
            let extents: Vec<i64> = array.shape()[1..].iter().map(|&extent| extent as i64).collect();
            Input::new(extents).dtype(&array.dtype().to_string()).name(name.as_str())
        })
        .collect();
    let inputs: Vec<KerasTensor> = inputs.iter().map(kc::AsTensor::as_tensor).collect::<Result<_>>()?;
    let outputs = Losses { base: Base::new("Losses"), inputs: names, entries }.call_all(inputs.as_slice())?;
    Model::new(inputs.as_slice(), outputs.as_slice())
}

/// Compares every loss of the table.
pub(super) fn compare(comparison: &mut Comparison, execution: &mut dyn Execution) -> std::result::Result<(), String> {
    let entries = entries(&comparison.arrays).map_err(|error| error.to_string())?;
    let names = inputs(&entries);
    let arrays: Vec<Array> =
        names.iter().map(|name| comparison.array(name).cloned()).collect::<std::result::Result<_, _>>()?;
    let outputs = execution.run("call", &arrays.iter().collect::<Vec<_>>())?;
    if entries.is_empty() || outputs.len() != entries.len() {
        return Err(format!("{} losses were computed, expected {}", outputs.len(), entries.len()));
    }
    for (entry, ours) in entries.iter().zip(&outputs) {
        let right = comparison.array(&entry.name)?.clone();
        comparison.compare(&entry.name, ours, &right);
    }
    Ok(())
}
