//! Several train steps as one program: a loop on the device.

use kc_ir::manifest::{Input, TRAIN_STEPS};
use kc_ir::tensor::ops::Scan;
use kc_ir::tensor::{Argument, Builder, Function, Region, ResultSlot, TypeError, Value};
use kc_ir::{Dim, TensorType};

/// The number of steps.
const STEPS: &str = "Steps";

/// The function that executes a step for each element of its inputs, which have one more axis, the first; `None` for a function with
/// outputs, of which a loop would keep all.
pub(super) fn several(step: &Function) -> Result<Option<Function>, TypeError> {
    if !step.outputs.is_empty() || step.inputs.is_empty() {
        return Ok(None);
    }
    let steps = Dim::symbol(STEPS);
    let longer = |ty: &TensorType| TensorType {
        dtype: ty.dtype,
        shape: [steps.clone()].into_iter().chain(ty.shape.iter().cloned()).collect(),
    };
    // what each parameter of the step is: carried where it is written, an element of a sequence, or read in every round
    let written = |index: usize| step.results.contains(&ResultSlot::State(index));
    let part = |argument: &Argument| match *argument {
        Argument::State(index) if written(index) => 0,
        Argument::Input(_) => 1,
        Argument::State(_) => 2,
    };
    let mut order: Vec<usize> = (0..step.arguments.len()).collect();
    order.sort_by_key(|&parameter| part(&step.arguments[parameter]));
    let count = |which: usize| step.arguments.iter().filter(|argument| part(argument) == which).count();
    let types: Vec<TensorType> = step.graph.parameters.iter().map(|&v| step.graph.tensor_type(v).clone()).collect();
    let carried: Vec<usize> = order[..count(0)]
        .iter()
        .filter_map(|&parameter| match step.arguments[parameter] {
            Argument::State(index) => Some(index),
            Argument::Input(_) => None,
        })
        .collect();
    // state that is written and never read has no first value to carry
    if step.results.len() != carried.len() {
        return Ok(None);
    }

    let mut body = Builder::new();
    let mut values = vec![Value(0); types.len()];
    for &parameter in &order {
        values[parameter] = body.parameter("value", types[parameter].clone())?;
    }
    let results = body.inline(&step.graph, &values)?;
    let next: Option<Vec<Value>> = carried
        .iter()
        .map(|&index| step.results.iter().position(|slot| *slot == ResultSlot::State(index)).map(|at| results[at]))
        .collect();
    let Some(next) = next else { return Ok(None) };

    let mut builder = Builder::new();
    let mut operands = vec![Value(0); types.len()];
    for (parameter, argument) in step.arguments.iter().enumerate() {
        let ty = match argument {
            Argument::Input(_) => longer(&types[parameter]),
            Argument::State(_) => types[parameter].clone(),
        };
        operands[parameter] = builder.parameter("value", ty)?;
    }
    let operands: Vec<Value> = order.iter().map(|&parameter| operands[parameter]).collect();
    let scan = Scan {
        carried: carried.len(),
        sequences: count(1),
        length: steps.clone(),
        reverse: false,
        body: Region::new(body.finish(next)),
    };
    let scanned = builder.add(scan, &operands)?;
    let last = builder.projections(scanned)?;
    Ok(Some(Function {
        name: TRAIN_STEPS.to_string(),
        inputs: step.inputs.iter().map(|input| Input { ty: longer(&input.ty), ..input.clone() }).collect(),
        outputs: vec![],
        arguments: step.arguments.clone(),
        results: carried.into_iter().map(ResultSlot::State).collect(),
        graph: builder.finish(last),
    }))
}
