//! Recurrent layers: a cell, repeated along time.

use super::cell::{Cell, Drawn, zero_states};
use crate::initializers::Initializer;
use crate::{Config, Error, Layer, Result, Scope, shape_text};
use kc_ir::tensor::ops::{Concatenate, Reverse, Slice};
use kc_ir::tensor::{ScanOptions, Value};
use kc_ir::{DType, Dim, TensorType};
use serde_json::json;

/// How a cell is repeated: the arguments that all recurrent layers have.
#[doc(hidden)]
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub(super) return_sequences: bool,
    pub(super) return_state: bool,
    pub(super) go_backwards: bool,
    pub(super) stateful: bool,
    pub(super) unroll: bool,
    pub(super) zero_output_for_mask: bool,
}

/// A recurrent layer, for [`Bidirectional`](super::Bidirectional).
pub trait Recurrent: Layer {
    /// The number of states.
    #[doc(hidden)]
    fn states(&self) -> usize;

    /// How the cell is repeated.
    #[doc(hidden)]
    fn options(&self) -> &Options;

    /// How the cell is repeated, to be changed.
    #[doc(hidden)]
    fn options_mut(&mut self) -> &mut Options;

    /// A layer of the same arguments with a name and weights of its own.
    #[doc(hidden)]
    fn copied(&self, name: String) -> Box<dyn Recurrent>;
}

/// The methods for [`Options`], of a struct that has them as `options`.
macro_rules! recurrent_options {
    () => {
        super::layer::recurrent_options! {
            /// Whether the outputs of all steps are returned, `(batch, time, units)`, not only the last (default: no).
            return_sequences,
            /// Whether the last states are further outputs (default: no).
            return_state,
            /// Whether the steps go from the last element to the first; the first output is then the last element's (default: no).
            go_backwards,
            /// Whether a batch starts from the last states of the batch before (default: no); the size of the batch must be known.
            stateful,
            /// Whether each step has ops of its own, instead of one loop (default: no). The number of steps must be known.
            unroll,
        }
    };
    ($($(#[$doc:meta])* $name:ident,)*) => {
        $($(#[$doc])*
        pub fn $name(mut self, $name: bool) -> Self {
            self.options.$name = $name;
            self
        })*
    };
}
pub(super) use recurrent_options;

/// A layer that repeats a cell of its own: struct, constructor, arguments, and what it is as a layer.
macro_rules! recurrent_layer {
    ($(#[$doc:meta])* $layer:ident of $cell:ident $cell_name:literal; $($extra:tt)*) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $layer {
            base: Base,
            options: Options,
            cell: $cell,
        }

        impl $layer {
            /// A layer of that many units.
            #[track_caller]
            pub fn new(units: usize) -> Self {
                let base = Base::new(stringify!($layer));
                let mut cell = $cell::new(units);
                cell.base_mut().set_name($cell_name);
                $layer { base, options: Options::default(), cell }
            }

            super::weights::weight_arguments! { cell.weights; $($extra)* }
            super::layer::recurrent_options! {}
        }

        super::layer::recurrent! { $layer, |layer| &layer.cell, layer.cell.config();
            fn set_dtype_policy(&mut self, policy: crate::dtype_policies::DTypePolicySpec) {
                self.base.set_dtype_policy(policy.clone());
                self.cell.set_dtype_policy(policy);
            }
        }
    };
}
pub(super) use recurrent_layer;

/// What a struct of a base, options and a cell is as a layer.
macro_rules! recurrent {
    ($layer:ident, |$this:ident| $cell:expr, $config:expr $(; $($own:item)*)?) => {
        impl Layer for $layer {
            base!();
            crate::layer::passes_masks!();

            fn build(&self, scope: &mut Scope, inputs: &[TensorType]) -> Result<()> {
                let $this = self;
                super::layer::build(&self.options, $cell, scope, inputs)
            }

            fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
                let $this = self;
                super::layer::forward(&self.options, $cell, scope, inputs)
            }

            fn compute_mask(
                &self,
                _scope: &mut Scope,
                _inputs: &[Value],
                masks: &[Option<Value>],
            ) -> Result<Vec<Option<Value>>> {
                Ok(if self.options.return_sequences { masks.iter().take(1).copied().collect() } else { Vec::new() })
            }

            fn parts(&self) -> Vec<(String, String)> {
                let $this = self;
                crate::layer::parts_of("cell", $cell)
            }

            $($($own)*)?

            fn config(&self) -> Config {
                let $this = self;
                let mut config: Config = $config;
                config.extend(self.options.config());
                config
            }
        }

        impl super::layer::Recurrent for $layer {
            fn states(&self) -> usize {
                self.cell.state_sizes().len()
            }
            fn options(&self) -> &super::layer::Options {
                &self.options
            }
            fn options_mut(&mut self) -> &mut super::layer::Options {
                &mut self.options
            }
            fn copied(&self, name: String) -> Box<dyn super::layer::Recurrent> {
                let mut copy = self.clone();
                copy.base.renew();
                copy.base.set_name(name);
                copy.cell.renew();
                Box::new(copy)
            }
        }
    };
}
pub(super) use recurrent;

impl Options {
    pub(super) fn config(&self) -> Config {
        Config::from([
            ("return_sequences".into(), json!(self.return_sequences)),
            ("return_state".into(), json!(self.return_state)),
            ("go_backwards".into(), json!(self.go_backwards)),
            ("stateful".into(), json!(self.stateful)),
            ("unroll".into(), json!(self.unroll)),
            ("zero_output_for_mask".into(), json!(self.zero_output_for_mask)),
        ])
    }
}

/// The name of a state that a stateful layer keeps.
fn state_name(position: usize) -> String {
    if position == 0 { "rnn_state".to_string() } else { format!("rnn_state_{position}") }
}

/// The type of the inputs of a step, of sequences `(batch, time, features)`: what the cell computes in.
fn step_type(scope: &mut Scope, cell: &dyn Cell, sequences: &TensorType) -> Result<TensorType> {
    match sequences.shape.as_slice() {
        [batch, _, features @ ..] if !features.is_empty() => {
            let dtype = scope.enter(cell, |scope| Ok(scope.float_dtype()))?;
            Ok(TensorType { dtype, shape: std::iter::once(batch).chain(features).cloned().collect() })
        }
        shape => Err(Error::model(format!(
            "the input's shape is {}, expected 3 axes: (batch, time, features)",
            shape_text(shape)
        ))),
    }
}

/// Creates the weights of the cell, and the states that the layer keeps.
pub(super) fn build(options: &Options, cell: &dyn Cell, scope: &mut Scope, inputs: &[TensorType]) -> Result<()> {
    let sequences = inputs.first().ok_or_else(|| Error::model("expected sequences, got no input"))?;
    let step = step_type(scope, cell, sequences)?;
    let sizes = cell.state_sizes();
    if options.stateful {
        let batch = step.shape[0].as_constant().ok_or_else(|| {
            Error::model(format!(
                "`stateful` needs to know the size of the batch, the input's shape is {}; \
                 give it with `Input::new(..).batch_size(..)`",
                shape_text(&sequences.shape)
            ))
        })?;
        for (position, &size) in sizes.iter().enumerate() {
            scope.add_non_trainable_weight(&state_name(position), &[batch, size], &Initializer::Zeros)?;
        }
    }
    let batch = step.shape[0].clone();
    let states =
        sizes.iter().map(|&size| TensorType { dtype: step.dtype, shape: vec![batch.clone(), Dim::constant(size)] });
    let types: Vec<TensorType> = std::iter::once(step.clone()).chain(states).collect();
    scope.enter(cell, |scope| scope.build_layer(cell, &types))
}

/// Sequences, first states, and the mask of a call.
fn arguments(cell: &dyn Cell, scope: &Scope, inputs: &[Value]) -> Result<(Value, Vec<Value>, Option<Value>)> {
    let (tensors, mask) = match inputs.split_last() {
        Some((last, others)) if !others.is_empty() && scope.tensor_type(*last).dtype == DType::Bool => {
            (others, Some(*last))
        }
        _ => (inputs, None),
    };
    let sizes = cell.state_sizes();
    let Some((&sequences, states)) =
        tensors.split_first().filter(|(_, states)| states.is_empty() || states.len() == sizes.len())
    else {
        return Err(Error::model(format!(
            "expected sequences, then {} first states and a mask of dtype bool where there are some; got {} inputs",
            sizes.len(),
            inputs.len()
        )));
    };
    let ty = scope.tensor_type(sequences);
    for (&state, &size) in states.iter().zip(&sizes) {
        let given = &scope.tensor_type(state).shape;
        let expected = [ty.shape[0].clone(), Dim::constant(size)];
        if *given != expected {
            return Err(Error::model(format!(
                "a first state's shape is {}, expected {}",
                shape_text(given),
                shape_text(&expected)
            )));
        }
    }
    let mask = mask.or_else(|| scope.mask_of(sequences));
    if let Some(mask) = mask {
        let given = &scope.tensor_type(mask).shape;
        if given[..] != ty.shape[..2] {
            return Err(Error::model(format!(
                "the mask's shape is {}, expected {}",
                shape_text(given),
                shape_text(&ty.shape[..2])
            )));
        }
    }
    Ok((sequences, states.to_vec(), mask))
}

/// Batch and time changed over.
fn swapped(scope: &mut Scope, x: Value) -> Result<Value> {
    let order: Vec<usize> = [1, 0].into_iter().chain(2..scope.tensor_type(x).rank()).collect();
    Ok(scope.transpose(x, &order)?)
}

/// `on_true` for the samples that a mask `[batch]` keeps.
fn choose(scope: &mut Scope, mask: Value, on_true: Value, on_false: Value) -> Result<Value> {
    let (shape, other) = (scope.tensor_type(on_true).shape.clone(), &scope.tensor_type(on_false).shape);
    if shape != *other {
        return Err(Error::model(format!(
            "the output's shape is {}, that of the state which stands for it where the mask leaves a step out is {}",
            shape_text(&shape),
            shape_text(other)
        )));
    }
    let mask = scope.broadcast(mask, &shape, &[0])?;
    Ok(scope.select(mask, on_true, on_false)?)
}

/// A step of the samples that a mask keeps; the others keep their states and give `left_out`.
fn step(
    cell: &dyn Cell,
    scope: &mut Scope,
    (x, mask, left_out): (Value, Option<Value>, Option<Value>),
    states: &[Value],
    drawn: &Drawn,
) -> Result<(Value, Vec<Value>)> {
    let (output, next) = scope.enter(cell, |scope| cell.step(scope, x, states, drawn))?;
    let Some(mask) = mask else { return Ok((output, next)) };
    let left_out = match left_out {
        Some(left_out) => left_out,
        None => scope.splat_like(0.0, output)?,
    };
    let output = choose(scope, mask, output, left_out)?;
    let kept = next.iter().zip(states).map(|(&new, &old)| choose(scope, mask, new, old));
    Ok((output, kept.collect::<Result<_>>()?))
}

/// What repeating a cell gives: the last output, all of them in the order of the steps `[time, batch, features]`, the last states.
struct Repeated {
    last: Value,
    outputs: Option<Value>,
    states: Vec<Value>,
}

/// The element of that number of the leading axis.
fn element(scope: &mut Scope, x: Value, number: Dim) -> Result<Value> {
    let shape = scope.tensor_type(x).shape.clone();
    let (mut start, mut limit) = (vec![Dim::constant(0); shape.len()], shape.clone());
    limit[0] = number.clone() + Dim::constant(1);
    start[0] = number;
    let row = scope.add(Slice { start, limit, stride: vec![1; shape.len()] }, &[x])?;
    Ok(scope.reshape(row, &shape[1..])?)
}

/// One loop over the steps.
fn scanned(
    (options, cell): (&Options, &dyn Cell),
    scope: &mut Scope,
    (x, mask): (Value, Option<Value>),
    states: &[Value],
    drawn: &Drawn,
) -> Result<Repeated> {
    let length = scope.tensor_type(x).shape[0].clone();
    let sequences: Vec<Value> = std::iter::once(x).chain(mask).collect();
    let scan = ScanOptions { length: Some(length.clone()), reverse: options.go_backwards };
    let mut output_state = None;
    let scanned = scope.scan(states, &sequences, &scan, |scope, states, elements| {
        let left_out = if options.zero_output_for_mask { None } else { states.get(cell.output_state()).copied() };
        let (output, next) = step(cell, scope, (elements[0], elements.get(1).copied(), left_out), states, drawn)?;
        output_state = next.iter().position(|&state| state == output);
        let stacked = options.return_sequences || output_state.is_none();
        Ok((next, if stacked { vec![output] } else { vec![] }))
    })?;
    let outputs = match scanned.outputs.first() {
        Some(&outputs) if options.go_backwards => Some(scope.add(Reverse { axes: vec![0] }, &[outputs])?),
        outputs => outputs.copied(),
    };
    let last = match (output_state, outputs) {
        (Some(position), _) => scanned.carried[position],
        (None, Some(outputs)) => element(scope, outputs, length - Dim::constant(1))?,
        (None, None) => return Err(Error::model("a step gives no output")),
    };
    Ok(Repeated { last, outputs, states: scanned.carried })
}

/// Ops for each step.
fn unrolled(
    (options, cell): (&Options, &dyn Cell),
    scope: &mut Scope,
    (x, mask): (Value, Option<Value>),
    states: &[Value],
    drawn: &Drawn,
) -> Result<Repeated> {
    let Some(length) = scope.tensor_type(x).shape[0].as_constant().filter(|&length| length > 0) else {
        return Err(Error::model("`unroll` needs to know the number of steps: give it in the shape of the `Input`"));
    };
    let (mut states, mut outputs) = (states.to_vec(), Vec::<Value>::new());
    for number in 0..length {
        let at = Dim::constant(if options.go_backwards { length - 1 - number } else { number });
        let x = element(scope, x, at.clone())?;
        let mask = mask.map(|mask| element(scope, mask, at)).transpose()?;
        let (output, next) = step(cell, scope, (x, mask, outputs.last().copied()), &states, drawn)?;
        outputs.push(output);
        states = next;
    }
    let last = outputs[outputs.len() - 1];
    if !options.return_sequences {
        return Ok(Repeated { last, outputs: None, states });
    }
    let mut shape = scope.tensor_type(last).shape.clone();
    shape.insert(0, Dim::constant(1));
    let rows = outputs.iter().map(|&output| scope.reshape(output, &shape)).collect::<Result<Vec<_>, _>>()?;
    let outputs = scope.add(Concatenate { axis: 0 }, &rows)?;
    Ok(Repeated { last, outputs: Some(outputs), states })
}

/// The outputs of a recurrent layer.
pub(super) fn forward(options: &Options, cell: &dyn Cell, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
    let sequences = *inputs.first().ok_or_else(|| Error::model("expected sequences"))?;
    let step = step_type(scope, cell, &scope.tensor_type(sequences).clone())?;
    let (sequences, mut states, mask) = arguments(cell, scope, inputs)?;
    let count = cell.state_sizes().len();
    let kept = options.stateful && states.is_empty();
    if kept {
        states = (0..count).map(|position| scope.weight(&state_name(position))).collect::<Result<_>>()?;
    } else if states.is_empty() {
        states = zero_states(scope, cell, &step.shape[0], step.dtype)?;
    }
    states = states.into_iter().map(|state| scope.convert(step.dtype, state)).collect::<Result<_, _>>()?;
    let x = scope.convert(step.dtype, sequences)?;
    let x = swapped(scope, x)?;
    let mask = mask.map(|mask| swapped(scope, mask)).transpose()?;
    let (drawn, x) = scope.enter(cell, |scope| {
        let drawn = cell.draw(scope, &step)?;
        let x = cell.project(scope, x, &drawn)?;
        Ok((drawn, x))
    })?;
    let repeat = if options.unroll { unrolled } else { scanned };
    let repeated = repeat((options, cell), scope, (x, mask), &states, &drawn)?;
    if options.stateful {
        for (position, &state) in repeated.states.iter().enumerate() {
            scope.assign(&state_name(position), state)?;
        }
    }
    let output = match repeated.outputs.filter(|_| options.return_sequences) {
        Some(outputs) => swapped(scope, outputs)?,
        None => repeated.last,
    };
    let states = if options.return_state { repeated.states } else { Vec::new() };
    std::iter::once(output).chain(states).map(|given| scope.narrowed(given)).collect()
}
