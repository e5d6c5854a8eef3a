//! From a model to its module: state, and one graph an entry point.

use super::Model;
use super::compile::Compiled;
use super::functional::Functional;
use crate::distribution;
use crate::initializers::{Initializer, Quantized};
use crate::losses;
use crate::metrics::{self, Metric};
use crate::optimizers::{Accumulation, LossScaleState, UpdateStep, set_where};
use crate::random::{DrawnSeed, GeneratorSeed};
use crate::scope::{Store, Variable};
use crate::{Error, Result, Scope, shape_text};
use kc_ir::manifest::{Input, InputRole, LayerInfo, ModelInfo, Output, StateRole, StateTensor, ValueCheck};
use kc_ir::tensor::ops::{Binary, Concatenate, Gradient, Slice};
use kc_ir::tensor::{Function, Literal, Module, Scalar, Value};
use kc_ir::{DType, Dim, TensorType};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A model that is traced.
pub(super) struct Traced {
    pub module: Module,
    /// The seeds that its `init` takes.
    pub seeds: Vec<Arc<DrawnSeed>>,
    /// The state tensors that are parts of quantised weights.
    pub quantized: Vec<(usize, Quantized)>,
}

/// The module of a model.
pub(super) fn module(model: &Model) -> Result<Traced> {
    let network = model.network()?;
    let mut store = build(network)?;
    let layers = layer_infos(network, &store);
    let mut fields = BTreeMap::new();
    let mut functions = Vec::new();
    let mut slots = BTreeMap::new();
    match &model.compiled {
        None => {
            functions.push(init(&store)?);
            functions.push(predict(network, &store)?);
        }
        Some(compiled) => {
            let place = |error: Error| error.at(compiled.place);
            let training = Training::new(network, compiled, &mut store).map_err(place)?;
            slots = training.weights_of_slots();
            functions.push(init(&store)?);
            functions.push(predict(network, &store)?);
            functions.push(training.step(&store, false).map_err(place)?);
            functions.push(training.step(&store, true).map_err(place)?);
            functions.push(training.results(&store).map_err(place)?);
            fields.insert("optimizer".to_string(), compiled.optimizer.name());
            let losses: Vec<String> = compiled.losses.iter().map(|(loss, _)| loss.name()).collect();
            fields.insert("loss".to_string(), losses.join(", "));
        }
    }
    if let Some(policies) = policies(network)? {
        fields.insert("dtype_policy".to_string(), policies);
    }
    let seeds = drawn_seeds(&store);
    let part = |(index, variable): (usize, &Variable)| match &variable.initializer {
        Initializer::Quantized(part) => Some((index, (**part).clone())),
        _ => None,
    };
    let quantized = store.variables.iter().enumerate().filter_map(part).collect();
    let state: Vec<StateTensor> = store.variables.into_iter().map(|variable| variable.state).collect();
    let spread = |distribution| distribution::of_state(model, distribution, &state, &slots);
    let distribution = model.distribution.as_ref().map(spread).transpose()?;
    let info =
        ModelInfo { name: model.base.name().to_string(), layers, fields, distribution, labels: Default::default() };
    Ok(Traced { module: Module { model: info, state, functions }, seeds, quantized })
}

/// The policies of the layers, where they are not all `float32`: in the order in which they are met.
fn policies(network: &Functional) -> Result<Option<String>> {
    let mut names: Vec<String> = Vec::new();
    for layer in network.layers.iter().filter(|layer| layer.as_input().is_none()) {
        let name = layer.dtype_policy()?.name().to_string();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(Some(names).filter(|names| names.iter().any(|name| name != "float32")).map(|names| names.join(", ")))
}

/// The weights: made in a first trace, then put in the order of the layers.
fn build(network: &Functional) -> Result<Store> {
    let mut scope = Scope::new(Store::default(), false);
    let inputs = features(&mut scope, network, &mut Vec::new())?;
    network.forward(&mut scope, &inputs)?;
    let order: BTreeMap<&str, usize> =
        network.layers.iter().enumerate().map(|(index, layer)| (layer.base().name(), index)).collect();
    let mut store = scope.into_store();
    store.sort_by_key(|path| order.get(path.split('/').next().unwrap_or(path)).copied().unwrap_or(usize::MAX));
    Ok(store)
}

/// Adds the model's inputs to a function.
fn features(scope: &mut Scope, network: &Functional, inputs: &mut Vec<Input>) -> Result<Vec<Value>> {
    let mut values = Vec::new();
    for (tensor, name) in network.inputs.iter().zip(network.input_names()) {
        let ty = tensor.0.ty.clone();
        values.push(scope.input(inputs.len(), &name, ty.clone())?);
        inputs.push(Input { name, role: InputRole::Feature, ty, checks: Vec::new() });
    }
    Ok(values)
}

fn function(name: &str, scope: Scope, inputs: Vec<Input>, outputs: Vec<(String, Value)>) -> Function {
    let (names, values): (Vec<String>, Vec<Value>) = outputs.into_iter().unzip();
    let outputs = names
        .into_iter()
        .zip(&values)
        .map(|(name, &value)| Output { name, ty: scope.tensor_type(value).clone() })
        .collect();
    let (graph, arguments, results) = scope.finish(values);
    Function { name: name.to_string(), inputs, outputs, arguments, results, graph }
}

/// The seeds that are drawn for the state tensors, in the order of the draws; some may be the seed of several.
fn drawn_seeds(store: &Store) -> Vec<Arc<DrawnSeed>> {
    let drawn = store.variables.iter().filter_map(|variable| match &variable.seed {
        Some((GeneratorSeed::Drawn(seed), _)) => Some((seed.number(), seed.clone())),
        Some((GeneratorSeed::Given(_), _)) | None => None,
    });
    drawn.collect::<BTreeMap<u64, _>>().into_values().collect()
}

/// Writes every state tensor, from the seeds of [`drawn_seeds`] where there are any.
fn init(store: &Store) -> Result<Function> {
    let mut scope = Scope::new(store.clone(), false);
    let drawn = drawn_seeds(store);
    let mut inputs = Vec::new();
    let mut seeds = None;
    if !drawn.is_empty() {
        let ty = TensorType::new(DType::U32, [drawn.len() as i64]);
        seeds = Some(scope.input(0, "seeds", ty.clone())?);
        inputs.push(Input { name: "seeds".to_string(), role: InputRole::Seeds, ty, checks: Vec::new() });
    }
    for (index, variable) in store.variables.iter().enumerate() {
        let key = match (&variable.seed, seeds) {
            (None, _) => None,
            (Some((GeneratorSeed::Given(seed), count)), _) => {
                let words = [*seed, *count].map(|word| Scalar::Int(word.into()));
                Some(scope.constant(Literal::from_scalars(DType::U32, vec![2], words))?)
            }
            (Some((GeneratorSeed::Drawn(seed), count)), Some(seeds)) => {
                let place = drawn.partition_point(|other| other.number() < seed.number()) as i64;
                let [start, limit] = [place, place + 1].map(|place| vec![Dim::constant(place)]);
                let seed = scope.add(Slice { start, limit, stride: vec![1] }, &[seeds])?;
                let count = Literal::from_scalars(DType::U32, vec![1], [Scalar::Int((*count).into())]);
                let count = scope.constant(count)?;
                Some(scope.add(Concatenate { axis: 0 }, &[seed, count])?)
            }
            (Some((GeneratorSeed::Drawn(_), _)), None) => {
                return Err(Error::model(format!("`{}` has no seed", variable.state.name)));
            }
        };
        let value = variable.initializer.build(&mut scope, &variable.state.ty, key)?;
        scope.set_state(index, value)?;
    }
    Ok(function("init", scope, inputs, Vec::new()))
}

/// Outputs from features.
fn predict(network: &Functional, store: &Store) -> Result<Function> {
    forward("predict", network, store, false)
}

fn forward(name: &str, network: &Functional, store: &Store, training: bool) -> Result<Function> {
    let mut scope = Scope::new(store.clone(), training);
    let mut inputs = Vec::new();
    let values = features(&mut scope, network, &mut inputs)?;
    let outputs = network.forward(&mut scope, &values)?;
    Ok(function(name, scope, inputs, network.output_names().into_iter().zip(outputs).collect()))
}

/// The model's call as a function of its own.
pub(super) fn call(model: &Model, training: bool) -> Result<Function> {
    let network = model.network()?;
    forward("call", network, &build(network)?, training)
}

/// A metric, what it looks at, and its accumulators.
struct Tracked {
    log: String,
    metric: Arc<dyn Metric>,
    output: usize,
    weighted: bool,
    state: Vec<usize>,
}

/// A trainable weight and what the optimizer keeps for it.
struct Trainable {
    weight: usize,
    slots: Vec<usize>,
    /// Its moving average.
    average: Option<usize>,
    /// The sum of its gradients since the last update.
    accumulator: Option<usize>,
}

/// A compiled model's steps.
struct Training<'a> {
    network: &'a Functional,
    compiled: &'a Compiled,
    targets: Vec<losses::Target>,
    learning_rate: usize,
    iterations: usize,
    loss_scale: Option<LossScaleState>,
    trainable: Vec<Trainable>,
    loss: [usize; 2],
    output_losses: Vec<(String, [usize; 2])>,
    metrics: Vec<Tracked>,
}

const F32: TensorType = TensorType { dtype: DType::F32, shape: Vec::new() };

impl<'a> Training<'a> {
    /// Adds the optimizer's and the metrics' state.
    fn new(network: &'a Functional, compiled: &'a Compiled, store: &mut Store) -> Result<Self> {
        let optimizer = &compiled.optimizer;
        let (name, settings) = (optimizer.name(), optimizer.settings());
        let trainable = store.with_role(StateRole::Trainable);
        let scalar = |store: &mut Store, name: &str, role, dtype, value: f64| {
            store.add(name.to_string(), role, TensorType::scalar(dtype), Initializer::Constant(value))
        };
        let loss_scale = compiled.loss_scale.as_ref().map(|scale| scale.add_state(store)).transpose()?;
        let iterations = scalar(store, &format!("{name}/iterations"), StateRole::Iterations, DType::I64, 0.0)?;
        let rate = settings.learning_rate;
        let learning_rate = scalar(store, &format!("{name}/learning_rate"), StateRole::LearningRate, DType::F32, rate)?;
        let slot = |store: &mut Store, weight: usize, what: &str| {
            let weight = &store.variables[weight].state;
            let (path, ty) = (format!("{name}/{}_{what}", weight.name.replace('/', "_")), weight.ty.clone());
            store.add(path, StateRole::Optimizer, ty, Initializer::Zeros)
        };
        let mut trainable: Vec<Trainable> = trainable
            .into_iter()
            .map(|weight| Trainable { weight, slots: Vec::new(), average: None, accumulator: None })
            .collect();
        if settings.use_ema {
            for kept in &mut trainable {
                kept.average = Some(slot(store, kept.weight, "average")?);
            }
        }
        if settings.accumulation().is_some() {
            for kept in &mut trainable {
                kept.accumulator = Some(slot(store, kept.weight, "gradient_accumulator")?);
            }
        }
        for kept in &mut trainable {
            let own = optimizer.slots().into_iter().map(|what| slot(store, kept.weight, what));
            kept.slots = own.collect::<Result<_>>()?;
        }

        let mean = |store: &mut Store, name: &str| -> Result<[usize; 2]> {
            let mut variable =
                |what: &str| store.add(format!("{name}/{what}"), StateRole::Metric, F32, Initializer::Zeros);
            Ok([variable("total")?, variable("count")?])
        };
        let loss = mean(store, "loss")?;
        let names = network.output_names();
        let mut logs: BTreeMap<String, usize> = BTreeMap::new();
        let mut tracked = Vec::new();
        for (list, weighted) in [(&compiled.metrics, false), (&compiled.weighted_metrics, true)] {
            for (output, metrics) in list.iter().enumerate() {
                for metric in metrics {
                    let prefix = if names.len() > 1 { format!("{}_", names[output]) } else { String::new() };
                    let mut log = format!("{prefix}{}", metric.name());
                    if weighted && logs.contains_key(&log) {
                        log = format!("{prefix}weighted_{}", metric.name());
                    }
                    let count = logs.entry(log.clone()).or_insert(0);
                    *count += 1;
                    if *count > 1 {
                        log = format!("{log}_{}", *count - 1);
                    }
                    let state = metric
                        .variables()
                        .into_iter()
                        .map(|(what, ty)| store.add(format!("{log}/{what}"), StateRole::Metric, ty, Initializer::Zeros))
                        .collect::<Result<_>>()?;
                    tracked.push(Tracked { log, metric: metric.clone(), output, weighted, state });
                }
            }
        }
        let mut output_losses = Vec::new();
        if names.len() > 1 {
            for name in &names {
                let log = format!("{name}_loss");
                let state = mean(store, &log)?;
                output_losses.push((log, state));
            }
        }
        let targets = compiled
            .losses
            .iter()
            .zip(&network.outputs)
            // targets are those of the predictions that the loss sees
            .map(|((loss, _), output)| loss.target(&TensorType { dtype: loss.dtype(), ..output.0.ty.clone() }))
            .collect::<Result<_>>()?;
        Ok(Training {
            network,
            compiled,
            targets,
            learning_rate,
            iterations,
            loss_scale,
            trainable,
            loss,
            output_losses,
            metrics: tracked,
        })
    }

    /// For each state tensor that the optimizer keeps for a weight, that weight.
    fn weights_of_slots(&self) -> BTreeMap<usize, usize> {
        let of = |kept: &Trainable| {
            let all = kept.slots.iter().chain(&kept.average).chain(&kept.accumulator);
            all.map(|&slot| (slot, kept.weight)).collect::<Vec<_>>()
        };
        self.trainable.iter().flat_map(of).collect()
    }

    /// The train step or the test step.
    fn step(&self, store: &Store, training: bool) -> Result<Function> {
        let mut scope = Scope::new(store.clone(), training);
        let mut inputs = Vec::new();
        let values = features(&mut scope, self.network, &mut inputs)?;
        let several = self.targets.len() > 1;
        let named = |what: &str, output: &str| if several { format!("{what}_{output}") } else { what.to_string() };
        let names = self.network.output_names();
        let mut targets = Vec::new();
        for (target, output) in self.targets.iter().zip(&names) {
            let name = named("y", output);
            targets.push(scope.input(inputs.len(), &name, target.ty.clone())?);
            inputs.push(Input { name, role: InputRole::Target, ty: target.ty.clone(), checks: target.checks.clone() });
        }
        let mut weights = Vec::new();
        for (target, output) in self.targets.iter().zip(&names) {
            let batch = target
                .ty
                .shape
                .first()
                .cloned()
                .ok_or_else(|| Error::model(format!("the output `{output}` has no batch axis")))?;
            let (name, ty) = (named("sample_weight", output), TensorType { dtype: DType::F32, shape: vec![batch] });
            weights.push(scope.input(inputs.len(), &name, ty.clone())?);
            inputs.push(Input { name, role: InputRole::SampleWeight, ty, checks: Vec::new() });
        }

        for input in
            inputs.iter_mut().filter(|input| input.role != InputRole::SampleWeight && input.ty.dtype.is_float())
        {
            input.checks.push(ValueCheck::NotNan);
        }
        let outputs = self.network.forward(&mut scope, &values)?;
        let mut terms = Vec::new();
        let mut output_losses = Vec::new();
        for (index, (loss, factor)) in self.compiled.losses.iter().enumerate() {
            let value = losses::total(&**loss, &mut scope, targets[index], outputs[index], weights[index])?;
            output_losses.push(value);
            terms.push(match factor {
                Some(factor) => scope.binary_constant(Binary::Multiply, value, *factor)?,
                None => value,
            });
        }
        terms.extend(scope.take_losses());
        terms.extend(scope.regularization_losses()?);
        let mut loss = terms[0];
        let dtype = scope.tensor_type(loss).dtype;
        for &term in &terms[1..] {
            let term = scope.convert(dtype, term)?;
            loss = scope.binary(Binary::Add, loss, term)?;
        }

        if training {
            self.update_weights(&mut scope, loss)?;
        }

        // a loss counts as many times as there are samples
        let batch = scope.tensor_type(weights[0]).elements();
        let samples = scope.dimension(batch, DType::F32)?;
        let track = |scope: &mut Scope, state: [usize; 2], loss: Value| -> Result<()> {
            let before = [scope.state(state[0])?, scope.state(state[1])?];
            let loss = scope.convert(DType::F32, loss)?;
            let after = metrics::update_mean(scope, &before, loss, Some(samples))?;
            scope.set_state(state[0], after[0])?;
            scope.set_state(state[1], after[1])
        };
        track(&mut scope, self.loss, loss)?;
        if self.output_losses.len() == output_losses.len() {
            for ((_, state), &loss) in self.output_losses.iter().zip(&output_losses) {
                track(&mut scope, *state, loss)?;
            }
        }
        for tracked in &self.metrics {
            let before = tracked.state.iter().map(|&index| scope.state(index)).collect::<Result<Vec<_>>>()?;
            let weight = tracked.weighted.then_some(weights[tracked.output]);
            let (y_true, y_pred) = (targets[tracked.output], outputs[tracked.output]);
            let after = tracked.metric.update(&mut scope, &before, y_true, y_pred, weight)?;
            for (&index, value) in tracked.state.iter().zip(after) {
                scope.set_state(index, value)?;
            }
        }
        Ok(function(if training { "train_step" } else { "test_step" }, scope, inputs, Vec::new()))
    }

    /// One step of the optimizer.
    fn update_weights(&self, scope: &mut Scope, loss: Value) -> Result<()> {
        let (optimizer, settings) = (&self.compiled.optimizer, self.compiled.optimizer.settings());
        let learning_rate = scope.state(self.learning_rate)?;
        let iterations = scope.state(self.iterations)?;
        if self.trainable.is_empty() {
            return self.count_step(scope, iterations, None);
        }
        let scale = match (self.loss_scale, settings.loss_scale_factor) {
            (Some(state), _) => Some(state.scale(scope)?),
            (None, Some(factor)) => Some(scope.splat_like(factor, loss)?),
            (None, None) => None,
        };
        let loss = match scale {
            Some(scale) => {
                let dtype = scope.tensor_type(loss).dtype;
                let scale = scope.convert(dtype, scale)?;
                scope.binary(Binary::Multiply, loss, scale)?
            }
            None => loss,
        };
        let mut operands = vec![loss];
        for kept in &self.trainable {
            operands.push(scope.state(kept.weight)?);
        }
        let tuple = scope.add(Gradient {}, &operands)?;
        let mut gradients =
            (0..self.trainable.len()).map(|index| scope.projection(tuple, index)).collect::<Result<Vec<_>>>()?;
        let mut finite = None;
        if let (Some(scale), Some(state)) = (&self.compiled.loss_scale, self.loss_scale) {
            finite = Some(scale.update(scope, state, &gradients)?);
        }
        if let Some(scale) = scale {
            for gradient in &mut gradients {
                let ty = scope.tensor_type(*gradient).clone();
                let scale = scope.convert(ty.dtype, scale)?;
                let scale = scope.broadcast_to(scale, &ty.shape)?;
                *gradient = scope.binary(Binary::Divide, *gradient, scale)?;
            }
        }
        let set = |scope: &mut Scope, index, value| set_where(scope, finite, index, value);
        let (accumulation, updates) = Accumulation::new(scope, settings, iterations)?;
        for (kept, gradient) in self.trainable.iter().zip(&mut gradients) {
            if let (Some(accumulation), Some(index)) = (accumulation, kept.accumulator) {
                let before = scope.state(index)?;
                let (mean, after) = accumulation.add(scope, *gradient, before)?;
                *gradient = mean;
                set(scope, index, after)?;
            }
        }
        let gradients = settings.clip(scope, gradients)?;
        for (kept, gradient) in self.trainable.iter().zip(gradients) {
            let old = scope.state(kept.weight)?;
            let variable = settings.decay(scope, old, learning_rate)?;
            let before = kept.slots.iter().map(|&slot| scope.state(slot)).collect::<Result<Vec<_>>>()?;
            let slots = before.clone();
            let mut step = UpdateStep { variable, gradient, slots, learning_rate, iterations: updates };
            let mut variable = optimizer.update(scope, &mut step)?;
            if let Some(accumulation) = accumulation {
                variable = accumulation.choose(scope, variable, old)?;
                for (new, &old) in step.slots.iter_mut().zip(&before) {
                    *new = accumulation.choose(scope, *new, old)?;
                }
            }
            for (&slot, &value) in kept.slots.iter().zip(&step.slots) {
                set(scope, slot, value)?;
            }
            if let Some(index) = kept.average {
                let before = scope.state(index)?;
                let (new, after) = settings.average(scope, variable, before, updates)?;
                variable = new;
                set(scope, index, after)?;
            }
            let held = scope.constrained(kept.weight, variable)?;
            set(scope, kept.weight, held)?;
        }
        self.count_step(scope, iterations, finite)
    }

    fn count_step(&self, scope: &mut Scope, iterations: Value, finite: Option<Value>) -> Result<()> {
        let one = scope.splat_like(1i64, iterations)?;
        let next = scope.binary(Binary::Add, iterations, one)?;
        set_where(scope, finite, self.iterations, next)
    }

    /// The logs: `loss`, the metrics, the outputs' losses.
    fn results(&self, store: &Store) -> Result<Function> {
        let mut scope = Scope::new(store.clone(), false);
        let mut outputs = Vec::new();
        let mean = |scope: &mut Scope, state: &[usize; 2]| -> Result<Value> {
            let values = [scope.state(state[0])?, scope.state(state[1])?];
            metrics::mean_result(scope, &values)
        };
        outputs.push(("loss".to_string(), mean(&mut scope, &self.loss)?));
        for tracked in &self.metrics {
            let values = tracked.state.iter().map(|&index| scope.state(index)).collect::<Result<Vec<_>>>()?;
            outputs.push((tracked.log.clone(), tracked.metric.result(&mut scope, &values)?));
        }
        for (log, state) in &self.output_losses {
            outputs.push((log.clone(), mean(&mut scope, state)?));
        }
        Ok(function("metric_results", scope, Vec::new(), outputs))
    }
}

/// The lines of a summary.
fn layer_infos(network: &Functional, store: &Store) -> Vec<LayerInfo> {
    let info = |layer: &crate::layer::LayerRef| {
        let base = layer.base();
        let name = base.name().to_string();
        let prefix = format!("{name}/");
        let parameters = store.variables.iter().map(|variable| &variable.state).filter(|state| {
            state.name.starts_with(&prefix) && matches!(state.role, StateRole::Trainable | StateRole::NonTrainable)
        });
        let calls = || network.nodes.iter().filter(|node| node.layer.base().identity() == base.identity());
        let mut inbound = Vec::new();
        for input in calls().flat_map(|node| &node.inputs) {
            let from = input.0.node.layer.base().name().to_string();
            if !inbound.contains(&from) {
                inbound.push(from);
            }
        }
        LayerInfo {
            class: base.class().to_string(),
            output_shape: calls().next().map(|node| network.output_shape(node)).unwrap_or_default(),
            parameters: parameters.filter_map(|state| state.ty.elements().as_constant()).sum::<i64>() as u64,
            inbound,
            parts: layer.parts().into_iter().collect(),
            name,
        }
    };
    network.layers.iter().map(info).collect()
}

impl Functional {
    /// The shape of a call's first output.
    fn output_shape(&self, node: &crate::keras_tensor::Node) -> String {
        let tensors = self.nodes.iter().flat_map(|node| &node.inputs).chain(&self.outputs).chain(&self.inputs);
        tensors
            .filter(|tensor| tensor.0.node.identity == node.identity)
            .min_by_key(|tensor| tensor.0.index)
            .map(|tensor| shape_text(tensor.shape()))
            .unwrap_or_default()
    }
}
