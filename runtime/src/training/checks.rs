//! Data against the manifest, once before it is used.

use super::batches::{Column, Source};
use super::{DataError, Dataset};
use crate::array::{Array, shape_text};
use crate::convert;
use kc_abi::manifest::{Entry, Input, InputRole, ValueCheck};
use kc_abi::{DType, Dim};
use std::collections::BTreeMap;
use std::ops::Range;

/// The samples of a data set in the form in which an entry point takes them: one column an input of the entry.
pub(super) fn columns<'a>(entry: &Entry, data: &'a Dataset) -> Result<(Vec<Column<'a>>, usize), DataError> {
    let inputs = |role: InputRole| entry.inputs.iter().filter(move |input| input.role == role);
    let names = |role| inputs(role).map(|input| format!("`{}`", input.name)).collect::<Vec<_>>().join(", ");
    let count = |what, role, given: usize| {
        let expected = inputs(role).count();
        let fits = given == expected;
        if fits { Ok(()) } else { Err(DataError::Count { what, expected, names: names(role), given }) }
    };
    count("inputs", InputRole::Feature, data.features.len())?;
    // An entry point without targets, such as `predict`, leaves those of the data aside.
    let has_targets = inputs(InputRole::Target).next().is_some();
    if has_targets {
        count("targets", InputRole::Target, data.targets.len())?;
        if data.sample_weights.len() > 1 {
            count("sample weights", InputRole::SampleWeight, data.sample_weights.len())?;
        }
    }

    let mut given: Vec<(&Input, &'a Array)> = inputs(InputRole::Feature).zip(&data.features).collect();
    given.extend(inputs(InputRole::Target).zip(&data.targets));
    if let [only] = data.sample_weights.as_slice() {
        given.extend(inputs(InputRole::SampleWeight).map(|input| (input, only)));
    } else {
        given.extend(inputs(InputRole::SampleWeight).zip(&data.sample_weights));
    }
    for (input, array) in &given {
        if array.shape().is_empty() || !fits(input, array.shape()) {
            return Err(DataError::Shape {
                input: input.name.clone(),
                expected: keras_shape(&input.ty.shape),
                given: shape_text(array.shape()),
            });
        }
    }
    let samples = given.first().map_or(0, |(_, array)| array.shape()[0]);
    if given.iter().any(|(_, array)| array.shape()[0] != samples) {
        let lengths = given.iter().map(|(input, array)| format!("`{}` has {}", input.name, array.shape()[0]));
        return Err(DataError::Lengths(lengths.collect::<Vec<_>>().join(", ")));
    }
    if samples == 0 {
        let (input, shape) = given
            .first()
            .map_or(("the data".into(), "()".into()), |(input, array)| (input.name.clone(), shape_text(array.shape())));
        return Err(DataError::Empty { input, shape });
    }
    for (input, array) in &given {
        for check in &input.checks {
            check_values(input, array, check)?;
        }
        check_conversion(input, array)?;
    }

    let columns = entry.inputs.iter().map(|input| {
        let array = given.iter().find(|(other, _)| std::ptr::eq(*other, input)).map(|(_, array)| *array);
        let row_shape = match array {
            Some(array) => batch_shape(input, array.shape()),
            None => input.ty.shape.iter().skip(1).map(|dim| dim.as_constant().unwrap_or(1) as usize).collect(),
        };
        Column { dtype: input.ty.dtype, row_shape, source: array.map_or(Source::Ones, Source::Array) }
    });
    Ok((columns.collect(), samples))
}

/// Whether an array of that shape can be the input, a trailing axis of extent 1 added or dropped.
fn fits(input: &Input, shape: &[usize]) -> bool {
    let matches = |shape: &[usize]| {
        shape.len() == input.ty.rank()
            && shape.iter().zip(&input.ty.shape).skip(1).all(|(&extent, dim)| match dim.as_constant() {
                Some(expected) => i64::try_from(extent) == Ok(expected),
                None => true,
            })
    };
    matches(shape) || matches(&[shape, &[1]].concat()) || shape.split_last().is_some_and(|(l, r)| *l == 1 && matches(r))
}

/// The extents of one sample as the entry point takes it.
fn batch_shape(input: &Input, shape: &[usize]) -> Vec<usize> {
    let rank = input.ty.rank();
    let mut sample = shape[1..].to_vec();
    if shape.len() + 1 == rank {
        sample.push(1);
    } else if shape.len() == rank + 1 {
        sample.pop();
    }
    sample
}

/// `(None, 28, 28)`: a shape as Keras writes it, unknown extents as `None`.
fn keras_shape(shape: &[Dim]) -> String {
    let extent = |dim: &Dim| dim.as_constant().map_or("None".to_owned(), |value| value.to_string());
    match shape {
        [only] => format!("({},)", extent(only)),
        _ => format!("({})", shape.iter().map(extent).collect::<Vec<_>>().join(", ")),
    }
}

fn check_values(input: &Input, array: &Array, check: &ValueCheck) -> Result<(), DataError> {
    let row = array.elements() / array.shape()[0].max(1);
    match *check {
        ValueCheck::NotNan if !array.dtype().is_float() => Ok(()),
        ValueCheck::NotNan => {
            let Some(index) = convert::find(array.dtype(), array.bytes(), |value| value.is_nan()) else {
                return Ok(());
            };
            Err(DataError::NotANumber {
                input: input.name.clone(),
                sample: index / row,
                position: position(&array.shape()[1..], index % row),
            })
        }
        ValueCheck::ClassLabels { classes } => {
            let is_class = |value: f64| value >= 0.0 && value < classes as f64 && value.fract() == 0.0;
            let Some(index) = convert::find(array.dtype(), array.bytes(), |value| !is_class(value)) else {
                return Ok(());
            };
            let value = convert::element_text(array.dtype(), array.bytes(), index);
            Err(DataError::Label { input: input.name.clone(), sample: index / row, value, classes })
        }
    }
}

/// Whether the input's dtype has all values: an integer has no fractions and no NaN.
fn check_conversion(input: &Input, array: &Array) -> Result<(), DataError> {
    let (from, to) = (array.dtype(), input.ty.dtype);
    let row = array.elements() / array.shape()[0].max(1);
    if to == DType::Bool && from.is_float() {
        return check_values(input, array, &ValueCheck::NotNan);
    }
    let Some((least, greatest)) = convert::range(to) else { return Ok(()) };
    let Some(index) = convert::find_changed(from, array.bytes(), to) else { return Ok(()) };
    let value = convert::element_as_f64(from, array.bytes(), index);
    let advice = match input.role {
        _ if !value.is_finite() => "remove or replace such samples",
        InputRole::Feature if value.fract() != 0.0 => "give whole numbers, or give the model a float32 input",
        InputRole::Feature => "give values in that range, or give the model an input of another dtype",
        _ => "give whole numbers in that range",
    };
    Err(DataError::Range {
        input: input.name.clone(),
        expected: format!("{}, whole numbers from {least} to {greatest}", to.keras_name()),
        sample: index / row,
        value: convert::element_text(from, array.bytes(), index),
        position: position(&array.shape()[1..], index % row),
        advice,
    })
}

/// `at (3, 4)`: where in a sample of that shape the element is; nothing to say for a scalar.
fn position(shape: &[usize], index: usize) -> String {
    if shape.is_empty() {
        return "as its value".into();
    }
    let mut rest = index;
    let mut place: Vec<usize> = shape
        .iter()
        .rev()
        .map(|&extent| {
            let coordinate = rest % extent.max(1);
            rest /= extent.max(1);
            coordinate
        })
        .collect();
    place.reverse();
    format!("at {}", shape_text(&place))
}

/// The training and the validation samples of Keras' `validation_split`: the last fraction is for validation.
pub(super) fn split(samples: usize, validation_split: f64) -> Result<(Range<usize>, Range<usize>), DataError> {
    let training = (samples as f64 * (1.0 - validation_split)).floor() as usize;
    if training == 0 || training >= samples {
        return Err(DataError::Split { samples, split: validation_split.to_string(), training });
    }
    Ok((0..training, training..samples))
}

/// The weight of each sample that `class_weight` gives: by its label, or by the largest entry of a one-hot target; 1 for classes
/// that are not named.
pub(super) fn class_weights(
    data: &Dataset,
    samples: usize,
    class_weight: &BTreeMap<i64, f64>,
) -> Result<Vec<f32>, DataError> {
    if !data.sample_weights.is_empty() {
        return Err(DataError::BothWeights);
    }
    let [target] = data.targets.as_slice() else { return Err(DataError::ClassWeightTargets(data.targets.len())) };
    let row = target.elements() / samples.max(1);
    let width = match target.shape() {
        [_] | [] => 1,
        [_, .., last] => (*last).max(1),
    };
    let value = |index: usize| convert::element_as_f64(target.dtype(), target.bytes(), index);
    let label = |sample: usize| {
        let first = sample * row;
        if width == 1 {
            return value(first).round_ties_even() as i64;
        }
        let largest = (1..width).fold(0, |best, i| if value(first + i) > value(first + best) { i } else { best });
        largest as i64
    };
    Ok((0..samples).map(|sample| class_weight.get(&label(sample)).copied().unwrap_or(1.0) as f32).collect())
}

/// Dtype of the weights that [`class_weights`] gives.
pub(super) const WEIGHT_DTYPE: DType = DType::F32;
