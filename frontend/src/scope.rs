//! The tracing context: what layers, losses, metrics and optimizers build their ops in.

use crate::constraints::Constraint;
use crate::dtype_policies::DTypePolicy;
use crate::initializers::Initializer;
use crate::layer::Layer;
use crate::quantizers::Int8QuantizationConfig;
use crate::random::{GeneratorSeed, Seed};
use crate::regularizers::Regularizer;
use crate::{Base, Error, LayerError, Result};
use kc_ir::manifest::{StateRole, StateTensor};
use kc_ir::tensor::ops::{Binary, Constant, Projection};
use kc_ir::tensor::{Argument, Builder, Graph, Literal, ResultSlot, Scalar, ScanOptions, Scanned, Value};
use kc_ir::{DType, TensorType};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Deref, DerefMut};

/// A state tensor of a model, how it starts, what it is held to after a step of the optimizer, and what it adds to the loss.
#[derive(Clone, Debug)]
pub(crate) struct Variable {
    pub state: StateTensor,
    pub initializer: Initializer,
    /// What its first value is drawn from: a seed, and how many a generator of that seed gave before.
    pub seed: Option<(GeneratorSeed, u32)>,
    pub constraint: Constraint,
    pub regularizer: Regularizer,
}

/// A tensor and, where there is one, its mask: a bool for each of its elements along the first axes, false where it is to be left out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Masked {
    pub value: Value,
    pub mask: Option<Value>,
}

/// The state tensors of a model, in the order in which they were made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Store {
    pub variables: Vec<Variable>,
    by_owner: BTreeMap<(u64, String), usize>,
    built: BTreeSet<u64>,
    paths: BTreeSet<String>,
}

impl Store {
    /// Adds a state tensor; its name must be new.
    pub fn add(&mut self, name: String, role: StateRole, ty: TensorType, initializer: Initializer) -> Result<usize> {
        if !self.paths.insert(name.clone()) {
            return Err(Error::model(format!(
                "the name `{name}` is taken: two layers of a model cannot have one name; rename one with `.name(\"...\")`"
            )));
        }
        let state = StateTensor { name, role, ty };
        self.variables.push(Variable {
            state,
            initializer,
            seed: None,
            constraint: Constraint::None,
            regularizer: Regularizer::None,
        });
        Ok(self.variables.len() - 1)
    }

    /// Puts the state tensors in the order of a key of their names; those of one key stay in order.
    pub fn sort_by_key(&mut self, key: impl Fn(&str) -> usize) {
        let mut order: Vec<usize> = (0..self.variables.len()).collect();
        order.sort_by_key(|&index| key(&self.variables[index].state.name));
        let mut places = vec![0; order.len()];
        order.iter().enumerate().for_each(|(new, &old)| places[old] = new);
        self.variables = order.iter().map(|&old| self.variables[old].clone()).collect();
        self.by_owner.values_mut().for_each(|index| *index = places[*index]);
    }

    /// The state tensors of that role.
    pub fn with_role(&self, role: StateRole) -> Vec<usize> {
        (0..self.variables.len()).filter(|&index| self.variables[index].state.role == role).collect()
    }
}

/// The layer that is being traced.
#[derive(Debug)]
struct Frame {
    identity: u64,
    path: String,
    trainable: bool,
    /// Whether derivatives compute activation functions again.
    activations_again: bool,
    dtypes: Dtypes,
    quantization: Option<Quantization>,
}

/// What a layer computes in and keeps its weights in, and whether that is done for it.
#[derive(Clone, Copy, Debug)]
struct Dtypes {
    compute: DType,
    variable: DType,
    autocast: bool,
}

/// How the weights of a layer are integers.
#[derive(Clone, Debug)]
pub(crate) enum Quantization {
    /// The weights were quantised.
    Weights(Int8QuantizationConfig),
    /// The layer was made with a policy of integers, whose values come from a file.
    Policy(Int8QuantizationConfig),
}

impl Quantization {
    /// What is quantised how.
    pub fn config(&self) -> &Int8QuantizationConfig {
        match self {
            Quantization::Weights(config) | Quantization::Policy(config) => config,
        }
    }
}

/// What a policy says of a layer.
fn of_policy(policy: &DTypePolicy, base: &Base, autocast: bool) -> (Dtypes, Option<Quantization>) {
    let dtypes = Dtypes { compute: policy.compute_dtype(), variable: policy.variable_dtype(), autocast };
    let quantization = policy.quantization_mode().map(|_| match base.quantization() {
        Some(config) => Quantization::Weights(config.clone()),
        None => Quantization::Policy(Int8QuantizationConfig::new()),
    });
    (dtypes, quantization)
}

/// The context in which layers, losses, metrics and optimizers build their ops. It is a [`Builder`] that also knows the
/// model's weights, and whether it traces training.
#[derive(Debug, Default)]
pub struct Scope {
    identity: u64,
    builder: Builder,
    store: Store,
    training: bool,
    frames: Vec<Frame>,
    initial: BTreeMap<usize, Value>,
    current: BTreeMap<usize, Value>,
    arguments: Vec<Argument>,
    losses: Vec<Value>,
    /// The masks of the tensors that the layer which is being traced knows.
    masks: BTreeMap<Value, Value>,
    /// What Keras puts before the names of the layers that are entered: the path of the layer around them, or of a sequential model.
    prefix: String,
}

impl Deref for Scope {
    type Target = Builder;
    fn deref(&self) -> &Builder {
        &self.builder
    }
}

impl DerefMut for Scope {
    fn deref_mut(&mut self) -> &mut Builder {
        &mut self.builder
    }
}

impl Scope {
    pub(crate) fn new(store: Store, training: bool) -> Self {
        Scope { identity: crate::ops::scope_identity(), store, training, ..Scope::default() }
    }

    /// Traces layers whose paths begin so in Keras.
    pub(crate) fn prefixed<R>(&mut self, prefix: String, trace: impl FnOnce(&mut Scope) -> R) -> R {
        let outside = std::mem::replace(&mut self.prefix, prefix);
        let result = trace(self);
        self.prefix = outside;
        result
    }

    /// What tells two scopes apart.
    pub(crate) fn identity(&self) -> u64 {
        self.identity
    }

    /// The path of the layer that is being traced, empty outside of layers.
    pub(crate) fn path(&self) -> &str {
        self.frames.last().map_or("", |frame| &frame.path)
    }

    /// The state tensors, once everything is built.
    pub(crate) fn into_store(self) -> Store {
        self.store
    }

    /// The graph, what its parameters are bound to, and what its results are bound to: the outputs, then changed state.
    pub(crate) fn finish(self, outputs: Vec<Value>) -> (Graph, Vec<Argument>, Vec<ResultSlot>) {
        let mut slots: Vec<ResultSlot> = (0..outputs.len()).map(ResultSlot::Output).collect();
        let mut results = outputs;
        for (&index, &value) in &self.current {
            if self.initial.get(&index) != Some(&value) {
                slots.push(ResultSlot::State(index));
                results.push(value);
            }
        }
        (self.builder.finish(results), self.arguments, slots)
    }

    /// Whether the graph being traced is the train step's.
    pub fn training(&self) -> bool {
        self.training
    }

    /// Whether the layer that is being traced is trainable, and all that it is part of.
    pub fn trainable(&self) -> bool {
        self.frames.last().is_none_or(|frame| frame.trainable)
    }

    /// Adds a parameter that is bound to the function's input of that index.
    pub(crate) fn input(&mut self, index: usize, name: &str, ty: TensorType) -> Result<Value> {
        let value = self.builder.parameter(name, ty)?;
        self.arguments.push(Argument::Input(index));
        Ok(value)
    }

    // --- state ---

    /// The present value of a state tensor.
    pub(crate) fn state(&mut self, index: usize) -> Result<Value> {
        if let Some(&value) = self.current.get(&index) {
            return Ok(value);
        }
        let StateTensor { name, ty, .. } = self.store.variables[index].state.clone();
        let outside = self.builder.set_location(None);
        let value = self.builder.parameter(&name, ty)?;
        self.builder.set_location(outside);
        self.arguments.push(Argument::State(index));
        self.initial.insert(index, value);
        self.current.insert(index, value);
        Ok(value)
    }

    /// Gives a state tensor a new value.
    pub(crate) fn set_state(&mut self, index: usize, value: Value) -> Result<()> {
        let state = &self.store.variables[index].state;
        let ty = self.builder.tensor_type(value);
        if *ty != state.ty {
            return Err(Error::model(format!("`{}` is {}, cannot become {ty}", state.name, state.ty)));
        }
        self.current.insert(index, value);
        Ok(())
    }

    fn frame(&self) -> Result<&Frame> {
        self.frames.last().ok_or_else(|| Error::model("weights belong to layers: call the layer with `Scope::call`"))
    }

    fn add_variable(&mut self, name: &str, role: StateRole, ty: TensorType, initializer: &Initializer) -> Result<()> {
        if let Initializer::Unknown(unknown) = initializer {
            return Err(Error::model(format!(
                "unknown initializer `{unknown}` for `{name}`{}",
                crate::error::did_you_mean(unknown, crate::initializers::NAMES)
            )));
        }
        let frame = self.frame()?;
        let (identity, path) = (frame.identity, format!("{}/{name}", frame.path));
        let index = self.store.add(path, role, ty, initializer.clone())?;
        self.store.variables[index].seed = match initializer {
            Initializer::Seed(seed) => Some((seed.of_generator(), 0)),
            other => other.seed().map(|seed| seed.of_weight(identity, name)),
        };
        self.store.by_owner.insert((identity, name.to_string()), index);
        Ok(())
    }

    /// Creates a weight of the layer that is being built, of its variable dtype; the optimizer updates it where the layer is trainable.
    pub fn add_weight(&mut self, name: &str, shape: &[i64], initializer: &Initializer) -> Result<()> {
        let role = if self.frame()?.trainable { StateRole::Trainable } else { StateRole::NonTrainable };
        let ty = TensorType::new(self.frame()?.dtypes.variable, shape.iter().copied());
        self.add_variable(name, role, ty, initializer)
    }

    /// Creates the integers of a quantised weight of the layer that is being built.
    pub(crate) fn add_quantized_weight(&mut self, name: &str, shape: &[i64], initializer: Initializer) -> Result<()> {
        let ty = TensorType::new(DType::I8, shape.iter().copied());
        self.add_variable(name, StateRole::NonTrainable, ty, &initializer)
    }

    /// Creates the scales of the quantised weight of that name, which is built, as `<name>_scale`.
    pub(crate) fn add_quantization_scale(
        &mut self,
        name: &str,
        shape: &[i64],
        initializer: &Initializer,
    ) -> Result<()> {
        let scale = format!("{name}_scale");
        self.add_non_trainable_weight(&scale, shape, initializer)?;
        let (values, scales) = (self.owned(name)?, self.owned(&scale)?);
        // of the same numbers
        self.store.variables[scales].seed = self.store.variables[values].seed.clone();
        Ok(())
    }

    /// How the weights of the layer that is being traced are integers, where they are.
    pub(crate) fn quantization(&self) -> Option<&Quantization> {
        self.frames.last()?.quantization.as_ref()
    }

    /// What the layer that is being traced keeps its weights in.
    pub(crate) fn variable_dtype(&self) -> DType {
        self.frames.last().map_or(DType::F32, |frame| frame.dtypes.variable)
    }

    /// Creates a weight as [`Scope::add_weight`] does, which is held to a constraint after each step of the optimizer.
    pub fn add_constrained_weight(
        &mut self,
        name: &str,
        shape: &[i64],
        initializer: &Initializer,
        constraint: &Constraint,
    ) -> Result<()> {
        constraint.check(shape.len()).map_err(|error| Error::model(format!("`{name}_constraint`: {error}")))?;
        self.add_weight(name, shape, initializer)?;
        let index = self.owned(name)?;
        self.store.variables[index].constraint = constraint.clone();
        Ok(())
    }

    /// Lets a weight of the layer that is being built add to the loss.
    pub fn regularize(&mut self, name: &str, regularizer: &Regularizer) -> Result<()> {
        let index = self.owned(name)?;
        let rank = self.store.variables[index].state.ty.rank();
        regularizer.check(rank).map_err(|error| Error::model(format!("`{name}_regularizer`: {error}")))?;
        self.store.variables[index].regularizer = regularizer.clone();
        Ok(())
    }

    /// What the trainable weights add to the loss.
    pub(crate) fn regularization_losses(&mut self) -> Result<Vec<Value>> {
        let mut losses = Vec::new();
        for index in self.store.with_role(StateRole::Trainable) {
            let regularizer = self.store.variables[index].regularizer.clone();
            if regularizer != Regularizer::None {
                let weight = self.state(index)?;
                losses.push(regularizer.apply(self, weight)?);
            }
        }
        Ok(losses)
    }

    /// The new value of a weight, held to its constraint.
    pub(crate) fn constrained(&mut self, index: usize, value: Value) -> Result<Value> {
        let constraint = self.store.variables[index].constraint.clone();
        constraint.apply(self, value)
    }

    /// Creates a weight of the layer that is being built, which only [`Scope::assign`] updates.
    pub fn add_non_trainable_weight(&mut self, name: &str, shape: &[i64], initializer: &Initializer) -> Result<()> {
        let ty = TensorType::new(self.frame()?.dtypes.variable, shape.iter().copied());
        self.add_variable(name, StateRole::NonTrainable, ty, initializer)
    }

    /// Creates the state of a seed generator (Keras' `SeedGenerator`): `u32[2]`, at first the seed and 0; one that
    /// is drawn is part of what the layer is made of, not of its building: see [`Seed::drawn`].
    pub fn add_seed_generator(&mut self, seed: &Seed) -> Result<()> {
        let ty = TensorType::new(DType::U32, [2i64]);
        self.add_variable(SEED, StateRole::Seed, ty, &Initializer::Seed(seed.clone()))
    }

    fn owned(&self, name: &str) -> Result<usize> {
        let identity = self.frame()?.identity;
        self.store.by_owner.get(&(identity, name.to_string())).copied().ok_or_else(|| {
            let known: Vec<&str> = self
                .store
                .by_owner
                .keys()
                .filter(|(owner, _)| *owner == identity)
                .map(|(_, name)| name.as_str())
                .collect();
            Error::model(format!("has no weight `{name}`; `build` made: {}", known.join(", ")))
        })
    }

    /// The present value of a weight of the layer that is being traced, in the layer's compute dtype.
    pub fn weight(&mut self, name: &str) -> Result<Value> {
        let value = self.variable(name)?;
        let Dtypes { compute, autocast, .. } = self.frame()?.dtypes;
        let converted = autocast && compute.is_float() && self.tensor_type(value).dtype.is_float();
        if converted { Ok(self.builder.convert(compute, value)?) } else { Ok(value) }
    }

    /// The present value of a weight of the layer that is being traced, as it is kept. Keras' weights with `autocast=False`.
    pub fn variable(&mut self, name: &str) -> Result<Value> {
        let index = self.owned(name)?;
        self.state(index)
    }

    /// Gives a weight of the layer that is being traced a new value, which is converted to its dtype, and which the step writes back.
    pub fn assign(&mut self, name: &str, value: Value) -> Result<()> {
        let index = self.owned(name)?;
        let value = self.builder.convert(self.store.variables[index].state.ty.dtype, value)?;
        self.set_state(index, value)
    }

    /// What the layer that is being traced computes in, where that is a floating-point dtype; else f32, as outside of layers.
    pub fn float_dtype(&self) -> DType {
        let dtype = self.frames.last().map_or(DType::F32, |frame| frame.dtypes.compute);
        if dtype.is_float() { dtype } else { DType::F32 }
    }

    /// The tensor in f32 where it is narrower, or no floating-point number.
    pub fn widened(&mut self, x: Value) -> Result<Value> {
        let wide = self.tensor_type(x).dtype == DType::F64;
        if wide { Ok(x) } else { Ok(self.builder.convert(DType::F32, x)?) }
    }

    /// The tensor in the compute dtype of the layer that is being traced: what layers give that compute in another.
    pub fn narrowed(&mut self, x: Value) -> Result<Value> {
        let dtype = self.float_dtype();
        Ok(self.builder.convert(dtype, x)?)
    }

    /// An input as the layer that is being traced takes it: in its compute dtype where it is a floating-point number.
    fn cast(&mut self, layer: &dyn Layer, x: Value) -> Result<Value> {
        let Dtypes { compute, autocast, .. } = self.frame()?.dtypes;
        // a model's inputs say what they are
        let kept = !autocast || layer.as_model().is_some() || !self.tensor_type(x).dtype.is_float();
        if kept { Ok(x) } else { Ok(self.builder.convert(compute, x)?) }
    }

    /// The next key `u32[2]` of the layer's seed generator, which is advanced: its second word counts the draws.
    pub fn draw_seed(&mut self) -> Result<Value> {
        let index = self.owned(SEED)?;
        let key = self.state(index)?;
        let step = Literal::from_scalars(DType::U32, vec![2], [Scalar::Int(0), Scalar::Int(1)]);
        let step = self.builder.constant(step)?;
        let next = self.builder.binary(Binary::Add, key, step)?;
        self.set_state(index, next)?;
        Ok(key)
    }

    /// Adds a scalar to the loss.
    pub fn add_loss(&mut self, loss: Value) {
        self.losses.push(loss);
    }

    pub(crate) fn take_losses(&mut self) -> Vec<Value> {
        std::mem::take(&mut self.losses)
    }

    // --- loops ---

    /// [`Builder::scan`] with a body that may use weights and call layers; none of them may change its state in the loop.
    pub fn scan(
        &mut self,
        initial: &[Value],
        sequences: &[Value],
        options: &ScanOptions,
        body: impl FnOnce(&mut Scope, &[Value], &[Value]) -> Result<(Vec<Value>, Vec<Value>)>,
    ) -> Result<Scanned> {
        let (length, types) = self.builder.scan_parameters(initial, sequences, options)?;
        let (before, losses) = (self.current.clone(), self.losses.len());
        let region = self.builder.begin_region(&types);
        let parameters = region.parameters().to_vec();
        let (carried, elements) = parameters.split_at(initial.len());
        let traced = body(self, carried, elements).and_then(|(mut next, outputs)| {
            if next.len() != initial.len() {
                let (given, expected) = (next.len(), initial.len());
                return Err(Error::model(format!("a loop gives {given} carried values, expected {expected}")));
            }
            let known = |index: &usize| before.get(index).or_else(|| self.initial.get(index));
            if let Some((&index, _)) = self.current.iter().find(|(index, value)| known(index) != Some(value)) {
                let name = &self.store.variables[index].state.name;
                return Err(Error::model(format!("`{name}` changes within a loop, which only carried values can")));
            }
            if self.losses.len() != losses {
                return Err(Error::model(
                    "a layer within a loop adds to the loss, which only layers outside of loops can",
                ));
            }
            next.extend(outputs);
            Ok(next)
        });
        match traced {
            Ok(results) => {
                let body = self.builder.end_region(region, &results)?;
                let options = ScanOptions { length: Some(length), ..options.clone() };
                Ok(self.builder.scan_of(initial, sequences, &options, &body)?)
            }
            Err(error) => {
                self.builder.end_region(region, &[])?;
                Err(error)
            }
        }
    }

    // --- masks ---

    /// The mask of a tensor, where it has one: a bool for each of its elements along the first axes, false for what is to be left out
    /// (padding). Of the inputs of the layer that is being traced, and of what the layers that it calls gave. Keras' `_keras_mask`.
    pub fn mask_of(&self, value: Value) -> Option<Value> {
        self.masks.get(&value).copied()
    }

    /// Gives a tensor a mask of dtype bool, which the layers that it is given to see. Keras' `set_keras_mask`.
    pub fn set_mask(&mut self, value: Value, mask: Value) {
        self.masks.insert(value, mask);
    }

    /// The tensor with its mask.
    pub(crate) fn masked(&self, value: Value) -> Masked {
        Masked { value, mask: self.mask_of(value) }
    }

    // --- layers ---

    /// Calls a layer on inputs: builds it the first time, then traces it. Errors carry the layer's path and place. The inputs' masks
    /// go along, and the outputs get those that the layer says.
    pub fn call(&mut self, layer: &dyn Layer, inputs: &[Value]) -> Result<Vec<Value>> {
        let masked: Vec<Masked> = inputs.iter().map(|&input| self.masked(input)).collect();
        let outputs = self.call_masked(layer, &masked)?;
        for output in &outputs {
            match output.mask {
                Some(mask) => self.masks.insert(output.value, mask),
                None => self.masks.remove(&output.value),
            };
        }
        Ok(outputs.into_iter().map(|output| output.value).collect())
    }

    /// [`Scope::call`] of inputs with masks of their own.
    pub(crate) fn call_masked(&mut self, layer: &dyn Layer, inputs: &[Masked]) -> Result<Vec<Masked>> {
        let masks: Vec<Option<Value>> = inputs.iter().map(|input| input.mask).collect();
        let outside = std::mem::take(&mut self.masks);
        let result = self.enter(layer, |scope| {
            let values = inputs.iter().map(|input| scope.cast(layer, input.value)).collect::<Result<Vec<Value>>>()?;
            scope.masks = values.iter().zip(&masks).filter_map(|(&value, &mask)| Some((value, mask?))).collect();
            let types: Vec<TensorType> = values.iter().map(|&value| scope.tensor_type(value).clone()).collect();
            scope.build_layer(layer, &types)?;
            let outputs = scope.forward(layer, &values)?;
            scope.regularize_activity(layer.base().activity_regularizer(), &outputs)?;
            let said = layer.compute_mask(scope, &values, &masks)?;
            let own = outputs.into_iter().enumerate().map(|(position, value)| {
                let mask = scope.mask_of(value).or_else(|| said.get(position).copied().flatten());
                Masked { value, mask }
            });
            Ok(own.collect())
        });
        self.masks = outside;
        result
    }

    /// Traces a layer that is built, in training as a region that derivatives compute again where the layer's [`RematScope`] says so.
    fn forward(&mut self, layer: &dyn Layer, inputs: &[Value]) -> Result<Vec<Value>> {
        let base = layer.base();
        let remat = base.remat().filter(|_| self.training).cloned();
        let Some(remat) = remat.filter(|remat| remat.is_of_layer(base.name(), None) != Some(false)) else {
            return layer.forward(self, inputs);
        };
        let (before, losses) = (self.current.clone(), self.losses.len());
        let region = self.builder.begin_region(&[]);
        let outputs = match layer.forward(self, inputs) {
            Ok(outputs) => outputs,
            Err(error) => {
                self.builder.end_region(region, &[])?;
                return Err(error);
            }
        };
        // what the layer changed and said beside its outputs lies in the region too
        let known = |index: &usize| before.get(index).or_else(|| self.initial.get(index));
        let changed = self.current.iter().filter(|(index, value)| known(index) != Some(value));
        let (changed, states): (Vec<usize>, Vec<Value>) = changed.map(|(&index, &value)| (index, value)).unzip();
        let losses = self.losses.split_off(losses);
        let masks =
            outputs.iter().enumerate().filter_map(|(position, &output)| Some((position, self.mask_of(output)?)));
        let (masked, masks): (Vec<usize>, Vec<Value>) = masks.unzip();
        let results = [&outputs[..], &states, &losses, &masks].concat();
        let types: Vec<TensorType> = outputs.iter().map(|&output| self.tensor_type(output).clone()).collect();
        let traced = self.builder.end_region(region, &results)?;
        let mut values = match remat.is_of_layer(base.name(), Some(&types)) {
            Some(true) => self.builder.remat_of(&traced)?,
            _ => self.builder.inline_region(&traced)?,
        };
        let masks = values.split_off(values.len() - masks.len());
        self.losses.extend(values.split_off(values.len() - losses.len()));
        self.current.extend(changed.into_iter().zip(values.split_off(outputs.len())));
        self.masks.extend(masked.into_iter().map(|position| values[position]).zip(masks));
        Ok(values)
    }

    /// Traces the function that a layer has as `activation`.
    pub(crate) fn activation(
        &mut self,
        x: Value,
        function: impl FnOnce(&mut Scope, Value) -> Result<Value>,
    ) -> Result<Value> {
        if !self.training || !self.frames.last().is_some_and(|frame| frame.activations_again) {
            return function(self, x);
        }
        let region = self.builder.begin_region(&[]);
        let result = function(self, x);
        let results: Vec<Value> = result.iter().copied().collect();
        let traced = self.builder.end_region(region, &results)?;
        result?;
        Ok(self.builder.remat_of(&traced)?[0])
    }

    fn regularize_activity(&mut self, regularizer: &Regularizer, outputs: &[Value]) -> Result<()> {
        if *regularizer == Regularizer::None {
            return Ok(());
        }
        for &output in outputs {
            let ty = self.tensor_type(output).clone();
            let mut loss = regularizer
                .apply(self, output)
                .map_err(|error| Error::model(format!("`activity_regularizer`: {error}")))?;
            if let Some(batch) = ty.shape.first() {
                let batch = self.dimension(batch.clone(), ty.dtype)?;
                loss = self.binary(Binary::Divide, loss, batch)?;
            }
            self.add_loss(loss);
        }
        Ok(())
    }

    /// Builds the layer that is being traced for inputs of these types, unless it is built.
    pub(crate) fn build_layer(&mut self, layer: &dyn Layer, inputs: &[TensorType]) -> Result<()> {
        if self.store.built.insert(layer.base().identity()) { layer.build(self, inputs) } else { Ok(()) }
    }

    /// Traces something as a part of a layer, whose weights it may use.
    pub(crate) fn enter<R>(&mut self, layer: &dyn Layer, trace: impl FnOnce(&mut Scope) -> Result<R>) -> Result<R> {
        let base = layer.base();
        let (path, trainable) = match self.frames.last() {
            Some(frame) => (format!("{}/{}", frame.path, base.name()), frame.trainable && base.is_trainable()),
            None => (base.name().to_string(), base.is_trainable()),
        };
        let keras_path = format!("{}{}", self.prefix, base.name());
        let location = base.location(&path);
        let outside = self.builder.set_location(Some(location.clone()));
        let activations_again = base.remat().is_some_and(|remat| remat.is_of_activations());
        let policy = base.policy_at(Some(&keras_path));
        let result = policy.and_then(|policy| {
            let (dtypes, quantization) = of_policy(&policy, base, layer.autocast());
            let (identity, path) = (base.identity(), path.clone());
            self.frames.push(Frame { identity, path, trainable, activations_again, dtypes, quantization });
            let result = self.prefixed(format!("{keras_path}/"), trace);
            self.frames.pop();
            result
        });
        self.builder.set_location(outside);
        result.map_err(|error| {
            let message = match error {
                Error::Model { message, .. } => message,
                Error::Op(error) => error.to_string(),
                other => return other,
            };
            let (layer, class) = (path, base.class().to_string());
            Error::Layer(Box::new(LayerError { layer, class, message, location: Some(location) }))
        })
    }

    /// Traces a part of the layer that is being traced, which is a layer of its own in Keras: with the policy of that one's path.
    pub(crate) fn part<R>(
        &mut self,
        layer: &dyn Layer,
        name: &str,
        trace: impl FnOnce(&mut Scope) -> Result<R>,
    ) -> Result<R> {
        let policy = layer.base().policy_at(Some(&format!("{}{name}", self.prefix)))?;
        let frame = self.frame()?;
        let (identity, path, trainable) = (frame.identity, frame.path.clone(), frame.trainable);
        let activations_again = frame.activations_again;
        let (dtypes, quantization) = of_policy(&policy, layer.base(), true);
        self.frames.push(Frame { identity, path, trainable, activations_again, dtypes, quantization });
        let result = trace(self);
        self.frames.pop();
        result
    }

    // --- conveniences ---

    /// A scalar constant of f32.
    pub fn f32(&mut self, value: f64) -> Result<Value> {
        Ok(self.builder.constant(Literal::scalar(DType::F32, value))?)
    }

    /// A function of a tensor and a constant.
    pub fn binary_constant(&mut self, function: Binary, x: Value, constant: f64) -> Result<Value> {
        let dtype = self.tensor_type(x).dtype;
        let scalar = Literal::scalar(dtype, constant);
        let constant = self.builder.add(Constant { value: scalar }, &[])?;
        Ok(self.builder.binary(function, x, constant)?)
    }

    /// The tensor of that index of a tuple.
    pub fn projection(&mut self, tuple: Value, index: usize) -> Result<Value> {
        Ok(self.builder.add(Projection { index }, &[tuple])?)
    }

    /// The tensor, converted to what the layer computes in (outside of layers f32) where it is not a floating-point type.
    pub fn float(&mut self, x: Value) -> Result<Value> {
        let dtype = self.float_dtype();
        if self.tensor_type(x).dtype.is_float() { Ok(x) } else { Ok(self.builder.convert(dtype, x)?) }
    }
}

/// The name of a seed generator's state within its layer.
const SEED: &str = "seed_generator_state";
