use super::names::Names;
use super::{Case, Kind, fit, losses, models};
use crate::arrays::{difference, literal, values};
use crate::runner::{Execution, Runner};
use kc::saving::assign;
use kc_ir::manifest::{Input, InputRole, Output, StateRole};
use kc_ir::tensor::ops::{Binary, Gradient, Reduction};
use kc_ir::tensor::{Argument, Builder, Function, Module, ResultSlot, Value};
use kc_runtime::Array;
use kc_runtime::random::initial_seeds;
use std::collections::BTreeMap;

/// Compares what a runner computes with what Keras computed; the errors are one line a tensor.
pub fn check(case: &Case, runner: Runner) -> Result<(), String> {
    let module = module(case)?;
    let names = if case.kind == Kind::Losses { Names::none() } else { Names::new(case, &module)? };
    let mut execution = runner.load(&module, 1)?;
    if let Some(init) = module.function("init") {
        let seeds = initial_seeds(&init.inputs, 0).map_err(|error| error.to_string())?;
        execution.run("init", &seeds.iter().collect::<Vec<_>>())?;
    }
    if case.kind != Kind::Losses {
        for (index, value) in assign(&module, &case.weights()?).map_err(|error| error.to_string())? {
            execution.set_state(index, &value)?;
        }
    }
    let mut comparison = Comparison { case, module: &module, names, arrays: case.arrays()?, wrong: Vec::new() };
    match case.kind {
        Kind::Layer | Kind::LayerTrain => comparison.layer(&mut *execution)?,
        Kind::Train => comparison.train(&mut *execution)?,
        Kind::Fit => fit::compare(&mut comparison, &mut *execution)?,
        Kind::Losses => losses::compare(&mut comparison, &mut *execution)?,
    }
    if comparison.wrong.is_empty() { Ok(()) } else { Err(comparison.wrong.join("\n")) }
}

/// Compares what the interpreter computes of a case in a policy of narrow dtypes with what Keras computed in f32: outputs may be off by so many
/// times the largest of them.
pub fn check_policy(case: &Case, policy: &str, share: f64) -> Result<(), String> {
    let model = models::build_in(case, policy).map_err(|error| error.to_string())?;
    let mut module = model.module().map_err(|error| error.to_string())?;
    let call = model.stateless_call(false).map_err(|error| error.to_string())?;
    // derivatives have the types that they should, at least
    let gradients = gradients(&module, &call).map_err(|error| error.to_string())?;
    kc_passes::differentiate(&gradients.graph).map_err(|error| error.to_string())?;
    module.functions = vec![call];
    let mut execution = Runner::Interpreter.load(&module, 1)?;
    for (index, value) in assign(&module, &case.weights()?).map_err(|error| error.to_string())? {
        execution.set_state(index, &value)?;
    }
    let arrays = case.arrays()?;
    let array = |name: String| arrays.get(&name).ok_or_else(|| format!("the case has no array `{name}`"));
    let inputs = (0..module.functions[0].inputs.len()).map(|index| array(format!("in{index}")));
    let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
    for (index, ours) in execution.run("call", &inputs)?.iter().enumerate() {
        let right = array(format!("out{index}"))?;
        let largest =
            values(right).into_iter().filter(|y| y.is_finite()).fold(0.0, |largest: f64, y| largest.max(y.abs()));
        let tolerance = crate::arrays::Tolerance { atol: share * largest, rtol: 0.0 };
        if let Some(wrong) = difference(&format!("out{index}"), ours, right, tolerance) {
            return Err(wrong);
        }
    }
    Ok(())
}

/// The functions that a case is compared by.
pub fn module(case: &Case) -> Result<Module, String> {
    let model = models::build(case).map_err(|error| error.to_string())?;
    let mut module = model.module().map_err(|error| error.to_string())?;
    if matches!(case.kind, Kind::Layer | Kind::LayerTrain) {
        let call = model.stateless_call(case.kind == Kind::LayerTrain).map_err(|error| error.to_string())?;
        module.functions = vec![gradients(&module, &call).map_err(|error| error.to_string())?, call];
    }
    if case.kind == Kind::Losses {
        module.functions = vec![model.stateless_call(false).map_err(|error| error.to_string())?];
    }
    Ok(module)
}

/// The derivatives of `sum(out * g_out)` over the floating-point outputs, by the floating-point inputs and the trainable weights, as
/// outputs `grad_in*` and `grad_w_<name>`; the cotangents `g_out*` are inputs after the model's.
pub(in crate::golden) fn gradients(module: &Module, call: &Function) -> Result<Function, kc_ir::tensor::TypeError> {
    let mut builder = Builder::new();
    let mut inputs = call.inputs.clone();
    let mut arguments = call.arguments.clone();
    let mut parameters = Vec::new();
    for &parameter in &call.graph.parameters {
        let name = format!("p{}", parameters.len());
        parameters.push(builder.parameter(&name, call.graph.tensor_type(parameter).clone())?);
    }
    let results = builder.inline(&call.graph, &parameters)?;
    let mut total: Option<Value> = None;
    for (&value, slot) in results.iter().zip(&call.results) {
        let ResultSlot::Output(index) = slot else { continue };
        let (name, ty) = (format!("g_out{index}"), builder.tensor_type(value).clone());
        if !ty.dtype.is_float() {
            continue;
        }
        arguments.push(Argument::Input(inputs.len()));
        inputs.push(Input { name: name.clone(), role: InputRole::Feature, ty: ty.clone(), checks: Vec::new() });
        let cotangent = builder.parameter(&name, ty.clone())?;
        let product = builder.binary(Binary::Multiply, value, cotangent)?;
        let axes: Vec<usize> = (0..ty.rank()).collect();
        let sum = builder.reduce(Reduction::Sum, &axes, product)?;
        total = Some(match total {
            Some(total) => builder.binary(Binary::Add, total, sum)?,
            None => sum,
        });
    }
    let mut by = Vec::new();
    for (&parameter, argument) in parameters.iter().zip(&call.arguments) {
        match *argument {
            Argument::Input(index) if builder.tensor_type(parameter).dtype.is_float() => {
                by.push((format!("grad_in{index}"), parameter));
            }
            Argument::State(index) if module.state[index].role == StateRole::Trainable => {
                by.push((format!("grad_w_{}", module.state[index].name), parameter));
            }
            Argument::Input(_) | Argument::State(_) => {}
        }
    }
    let mut values = Vec::new();
    if let Some(total) = total.filter(|_| !by.is_empty()) {
        let operands: Vec<Value> = std::iter::once(total).chain(by.iter().map(|(_, value)| *value)).collect();
        let tuple = builder.add(Gradient {}, &operands)?;
        values = builder.projections(tuple)?;
    }
    let outputs = by
        .iter()
        .zip(&values)
        .map(|((name, _), &value)| Output { name: name.clone(), ty: builder.tensor_type(value).clone() });
    let outputs: Vec<Output> = outputs.collect();
    let results = (0..outputs.len()).map(ResultSlot::Output).collect();
    Ok(Function { name: "gradients".to_string(), inputs, outputs, arguments, results, graph: builder.finish(values) })
}

/// A case beside what was computed.
pub(super) struct Comparison<'a> {
    pub case: &'a Case,
    pub module: &'a Module,
    names: Names,
    pub arrays: BTreeMap<String, Array>,
    wrong: Vec<String>,
}

impl Comparison<'_> {
    /// The golden array of that name.
    pub fn array(&self, name: &str) -> Result<&Array, String> {
        self.arrays.get(name).ok_or_else(|| format!("the case has no array `{name}`"))
    }

    /// The golden arrays whose names start with a prefix, without it.
    fn with_prefix(&self, prefix: &str) -> Vec<(String, Array)> {
        let named = |(name, array): (&String, &Array)| Some((name.strip_prefix(prefix)?.to_string(), array.clone()));
        self.arrays.iter().filter_map(named).collect()
    }

    /// Compares a tensor with the golden one.
    pub fn compare(&mut self, what: &str, ours: &Array, right: &Array) {
        self.wrong.extend(difference(what, ours, right, self.case.tolerance()));
    }

    /// Compares a number with the golden one.
    pub fn compare_number(&mut self, what: &str, ours: f64, right: f64) -> Result<(), String> {
        let scalar = |x: f64| Array::from_slice(&[x], &[]).map_err(|error| error.to_string());
        self.compare(what, &scalar(ours)?, &scalar(right)?);
        Ok(())
    }

    fn state<'s>(&self, state: &'s [Array], name: &str) -> Result<&'s Array, String> {
        let position = self.module.state.iter().position(|tensor| tensor.name == name);
        position.and_then(|position| state.get(position)).ok_or_else(|| format!("the model has no state `{name}`"))
    }

    /// Compares the weights that the golden arrays with a prefix name.
    pub fn weights(&mut self, prefix: &str, execution: &mut dyn Execution) -> Result<(), String> {
        let state = execution.state()?;
        for (path, right) in self.with_prefix(prefix) {
            let name = self.names.weight(&path).ok_or_else(|| format!("no layer is known for `{path}`"))?;
            let ours = self.state(&state, &name)?.clone();
            self.compare(&format!("{prefix}{path}"), &ours, &right);
        }
        Ok(())
    }

    fn layer(&mut self, execution: &mut dyn Execution) -> Result<(), String> {
        let call = self.module.function("call").ok_or("the module has no `call`")?;
        let (features, outputs) = (call.inputs.len(), call.outputs.len());
        let inputs: Vec<Array> =
            (0..features).map(|index| self.array(&format!("in{index}")).cloned()).collect::<Result<_, _>>()?;
        // files have what is narrower than f32 as f32
        let narrow =
            |(index, output): (usize, &Output)| Some(self.arrays.get(&format!("g_out{index}"))?.cast(output.ty.dtype));
        let cotangents: Vec<Array> = call.outputs.iter().enumerate().filter_map(narrow).collect();
        // before the call changes the state
        if cotangents.len() == outputs {
            let arguments: Vec<&Array> = inputs.iter().chain(&cotangents).collect();
            let computed = execution.run("gradients", &arguments)?;
            let function = self.module.function("gradients").ok_or("the module has no `gradients`")?;
            let mut computed: BTreeMap<&str, Array> =
                function.outputs.iter().map(|output| output.name.as_str()).zip(computed).collect();
            for (path, right) in self.with_prefix("grad_") {
                let name = match path.strip_prefix("w_") {
                    Some(weight) => {
                        let name =
                            self.names.weight(weight).ok_or_else(|| format!("no layer is known for `{path}`"))?;
                        format!("grad_w_{name}")
                    }
                    None => format!("grad_{path}"),
                };
                let ours = computed.remove(name.as_str()).ok_or_else(|| format!("`{name}` was not computed"))?;
                self.wrong.extend(difference(&name, &ours, &right, self.case.gradient_tolerance()));
            }
            if let Some(name) = computed.keys().next() {
                return Err(format!("the case has no array for `{name}`"));
            }
        }
        let arguments: Vec<&Array> = inputs.iter().collect();
        for (index, ours) in execution.run("call", &arguments)?.iter().enumerate() {
            let right = self.array(&format!("out{index}"))?.clone();
            self.compare(&format!("out{index}"), ours, &right);
        }
        self.weights("state_after_", execution)
    }

    fn train(&mut self, execution: &mut dyn Execution) -> Result<(), String> {
        let (x, y) = (self.array("x")?.clone(), self.array("y")?.clone());
        let (losses, metrics) = (values(self.array("loss")?), values(self.array("metrics")?));
        let batch = self.case.batch;
        for step in 0..self.case.steps {
            reset_metrics(self.module, execution)?;
            let rows = step * batch..(step + 1) * batch;
            let weights = Array::from_slice(&vec![1f32; batch], &[batch]).map_err(|error| error.to_string())?;
            execution.run("train_step", &[&self::rows(&x, rows.clone())?, &self::rows(&y, rows)?, &weights])?;
            let results = execution.run("metric_results", &[])?;
            let results: Vec<f64> = results.iter().flat_map(values).collect();
            self.compare_number(&format!("loss of step {step}"), results[0], losses[step])?;
            let count = results.len() - 1;
            for (index, (ours, right)) in results[1..].iter().zip(&metrics[step * count..]).enumerate() {
                self.compare_number(&format!("metric {index} of step {step}"), *ours, *right)?;
            }
        }
        self.weights("w_final_", execution)?;
        let state = execution.state()?;
        for (path, right) in self.with_prefix("opt_var_") {
            let name =
                self.names.optimizer_variable(&path).ok_or_else(|| format!("no variable is known for `{path}`"))?;
            let ours = self.state(&state, &name)?.clone();
            self.compare(&format!("opt_var_{path}"), &ours, &right);
        }
        Ok(())
    }
}

/// Rows of an array.
pub(super) fn rows(array: &Array, rows: std::ops::Range<usize>) -> Result<Array, String> {
    let literal = literal(array);
    let row = literal.bytes().len() / array.shape()[0].max(1);
    let shape: Vec<usize> = std::iter::once(rows.len()).chain(array.shape()[1..].iter().copied()).collect();
    Array::from_bytes(array.dtype(), &shape, &literal.bytes()[rows.start * row..rows.end * row])
        .map_err(|error| error.to_string())
}

/// Sets the accumulators of the metrics to zero.
pub(super) fn reset_metrics(module: &Module, execution: &mut dyn Execution) -> Result<(), String> {
    let state = execution.state()?;
    for (index, tensor) in module.state.iter().enumerate().filter(|(_, tensor)| tensor.role == StateRole::Metric) {
        let zero = Array::zeros(tensor.ty.dtype, state[index].shape()).map_err(|error| error.to_string())?;
        execution.set_state(index, &zero)?;
    }
    Ok(())
}
