//! Calls with operands of other shapes: what a function does not take is an error with a place, never a panic.

use super::calls;
use super::table::{Argument, Call, Row};
use kc_runtime::Array;
use serde_json::json;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Shapes that operands are replaced by.
const SHAPES: &[&[usize]] = &[&[], &[0], &[3], &[0, 2], &[2, 2], &[1, 2, 3], &[2, 1, 1, 3, 1]];

/// Calls a row's functions with one or all operands of other shapes, and with an axis that none has; the errors are the calls that
/// panicked, and errors without a message.
pub fn refuse(row: &Row) -> Result<(), String> {
    let mut wrong = Vec::new();
    for call in &row.calls {
        for changed in changed(call) {
            match catch_unwind(AssertUnwindSafe(|| calls::results(&changed))) {
                Ok(Ok(_)) => {}
                Ok(Err(message)) if !message.is_empty() => {}
                Ok(Err(_)) => wrong.push(format!("{}: an error without a message", changed.text)),
                Err(_) => wrong.push(format!("{}: it panics", changed.text)),
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

fn changed(call: &Call) -> Vec<Call> {
    let mut calls = Vec::new();
    for shape in SHAPES {
        for only in (0..call.args.len()).map(Some).chain([None]) {
            let mut changed = call.clone();
            let each = changed.args.iter_mut().enumerate();
            each.filter(|(position, _)| only.is_none_or(|only| only == *position))
                .for_each(|(_, arg)| replace(arg, shape));
            changed.text = format!("{} with {only:?} of shape {shape:?}", call.text);
            calls.push(changed);
        }
        let mut named = call.clone();
        named.tensors.values_mut().for_each(|array| *array = zeros(array, shape));
        named.text = format!("{} with named tensors of shape {shape:?}", call.text);
        calls.push(named);
    }
    let mut beyond = call.clone();
    beyond.kwargs.iter_mut().filter(|(name, _)| name.starts_with("axis")).for_each(|(_, axis)| *axis = json!(9));
    beyond.text = format!("{} with axis 9", call.text);
    calls.push(beyond);
    calls
}

fn replace(argument: &mut Argument, shape: &[usize]) {
    match argument {
        Argument::Array(array) => *array = zeros(array, shape),
        Argument::List(list) => list.iter_mut().for_each(|argument| replace(argument, shape)),
        Argument::Plain(_) => {}
    }
}

fn zeros(like: &Array, shape: &[usize]) -> Array {
    Array::zeros(like.dtype(), shape).expect("small")
}
