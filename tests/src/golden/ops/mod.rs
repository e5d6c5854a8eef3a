//! Functions of `kc::ops` beside what Keras computed: the tables `ops.npz` and `ops_*.npz`.

mod calls;
mod differences;
mod network;
mod refusals;
mod table;

pub use differences::{Domain, Slope, slope, slope_of};
pub use refusals::refuse;
pub use table::{Argument, Call, Row, rows};

use crate::arrays::{Tolerance, difference};
use crate::runner::Runner;
use kc::ops::{self, Tensor};
use kc_ir::DType;
use kc_ir::tensor::Module;
use kc_runtime::Array;

/// How far an element may be off: as far as the computations of two compilers differ in that dtype.
fn tolerance(dtype: DType, at_least: f64) -> Tolerance {
    let relative = match dtype {
        DType::F16 => 4e-3,
        DType::Bf16 => 3e-2,
        _ if dtype.is_float() => 2e-5,
        _ => return Tolerance { atol: 0.0, rtol: 0.0 },
    };
    Tolerance { atol: at_least.max(relative), rtol: at_least.max(relative) }
}

/// What the calls of a row compute, and where Keras' table has them the derivatives.
pub fn module(row: &Row) -> Result<Module, String> {
    // a call that is not there yet is a line of `gaps.txt`
    let tensors: Vec<Tensor> = row.calls.iter().filter_map(|call| calls::results(call).ok()).flatten().collect();
    let (mut module, _) = ops::module(&tensors).map_err(|error| error.to_string())?;
    if row.calls.iter().any(|call| call.gradients.is_some()) {
        let gradients = super::check::gradients(&module, &module.functions[0]).map_err(|error| error.to_string())?;
        module.functions.push(gradients);
    }
    Ok(module)
}

/// Compares what a runner computes with what Keras computed; the errors are one line a tensor.
pub fn check(row: &Row, runner: Runner) -> Result<(), String> {
    let mut wrong = Vec::new();
    let mut tensors: Vec<Tensor> = Vec::new();
    let mut expected: Vec<(String, &Array)> = Vec::new();
    for case in &row.calls {
        let results = match calls::results(case) {
            Ok(results) => results,
            Err(message) => {
                wrong.push(format!("{}: {message}", case.text));
                continue;
            }
        };
        if results.len() != case.out.len() {
            wrong.push(format!("{}: {} results, expected {}", case.text, results.len(), case.out.len()));
            continue;
        }
        tensors.extend(results);
        expected.extend(case.out.iter().map(|out| (case.text.clone(), out)));
    }
    let (mut module, arrays) = ops::module(&tensors).map_err(|error| error.to_string())?;
    let mut execution = runner.load(&module, 1)?;
    let inputs: Vec<&Array> = arrays.iter().collect();
    for (ours, (text, right)) in execution.run("call", &inputs)?.iter().zip(expected) {
        if ours.dtype() != right.dtype() {
            wrong.push(format!("{text}: its dtype is {}, expected {}", ours.dtype(), right.dtype()));
        }
        wrong.extend(difference(&text, ours, right, tolerance(right.dtype(), row.tolerance)));
    }
    let derivatives: Vec<_> =
        row.calls.iter().filter_map(|case| Some((&case.text, case.gradients.as_ref()?))).collect();
    if !derivatives.is_empty() && wrong.is_empty() {
        module.functions =
            vec![super::check::gradients(&module, &module.functions[0]).map_err(|error| error.to_string())?];
        let mut execution = runner.load(&module, 1)?;
        let cotangents = derivatives.iter().flat_map(|(_, (cotangents, _))| cotangents);
        let inputs: Vec<&Array> = arrays.iter().chain(cotangents).collect();
        let expected =
            derivatives.iter().flat_map(|(text, (_, gradients))| gradients.iter().map(move |right| (text, right)));
        let ours = execution.run("gradients", &inputs)?;
        if ours.len() != expected.clone().count() {
            return Err(format!("{} derivatives, expected {}", ours.len(), expected.count()));
        }
        for (ours, (text, right)) in ours.iter().zip(expected) {
            let what = format!("the derivative of {text}");
            wrong.extend(difference(&what, ours, right, Tolerance { atol: 5e-5, rtol: 1e-4 }));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}
