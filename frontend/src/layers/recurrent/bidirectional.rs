use super::layer::Recurrent;
use crate::layer::{base, parts_of};
use crate::{Base, Config, Error, Layer, Result, Scope};
use kc_ir::TensorType;
use kc_ir::tensor::Value;
use kc_ir::tensor::ops::{Binary, Concatenate, Reverse};
use serde_json::json;
use std::sync::Arc;

/// A recurrent layer and its copy that goes from the last element to the first, joined. `keras.layers.Bidirectional`. First states
/// are those of the one, then those of the other.
#[derive(Clone, Debug)]
pub struct Bidirectional {
    base: Base,
    forward_layer: Arc<dyn Recurrent>,
    backward_layer: Arc<dyn Recurrent>,
    merge_mode: MergeMode,
}

/// How [`Bidirectional`] joins the outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MergeMode {
    /// Side by side.
    Concat,
    /// Their sum.
    Sum,
    /// Their product.
    Mul,
    /// Their mean.
    Ave,
    /// Not at all: there are two outputs.
    None,
    /// A name that no mode has; the layer that is called with it reports it.
    #[doc(hidden)]
    Unknown(String),
}

impl From<&str> for MergeMode {
    fn from(name: &str) -> Self {
        match name {
            "concat" => MergeMode::Concat,
            "sum" => MergeMode::Sum,
            "mul" => MergeMode::Mul,
            "ave" => MergeMode::Ave,
            _ => MergeMode::Unknown(name.to_string()),
        }
    }
}

impl From<Option<&str>> for MergeMode {
    fn from(name: Option<&str>) -> Self {
        name.map_or(MergeMode::None, MergeMode::from)
    }
}

impl MergeMode {
    fn name(&self) -> Option<&str> {
        match self {
            MergeMode::Concat => Some("concat"),
            MergeMode::Sum => Some("sum"),
            MergeMode::Mul => Some("mul"),
            MergeMode::Ave => Some("ave"),
            MergeMode::None => None,
            MergeMode::Unknown(name) => Some(name),
        }
    }

    fn join(&self, scope: &mut Scope, forward: Value, backward: Value) -> Result<Vec<Value>> {
        Ok(vec![match self {
            MergeMode::None => return Ok(vec![forward, backward]),
            MergeMode::Concat => {
                let axis = scope.tensor_type(forward).rank() - 1;
                scope.add(Concatenate { axis }, &[forward, backward])?
            }
            MergeMode::Sum => scope.binary(Binary::Add, forward, backward)?,
            MergeMode::Mul => scope.binary(Binary::Multiply, forward, backward)?,
            MergeMode::Ave => {
                let sum = scope.binary(Binary::Add, forward, backward)?;
                scope.binary_constant(Binary::Divide, sum, 2.0)?
            }
            MergeMode::Unknown(name) => {
                let expected = "expected `concat`, `sum`, `mul`, `ave` or `None`";
                return Err(Error::model(format!("`merge_mode` is `{name}`, {expected}")));
            }
        }])
    }
}

/// A copy of a layer for one direction, named after it.
fn copy(layer: &dyn Recurrent, direction: &str) -> Box<dyn Recurrent> {
    let name = layer.base().name();
    let mut copy = layer.copied(format!("{direction}_{}", name.strip_prefix(&format!("{direction}_")).unwrap_or(name)));
    copy.options_mut().zero_output_for_mask = copy.options().return_sequences;
    copy
}

impl Bidirectional {
    /// The layer and its opposite, whose outputs stand side by side.
    #[track_caller]
    pub fn new(layer: impl Recurrent) -> Self {
        let forward = copy(&layer, "forward");
        let mut backward = copy(&layer, "backward");
        backward.options_mut().go_backwards = true;
        Bidirectional {
            base: Base::new("Bidirectional"),
            forward_layer: forward.into(),
            backward_layer: backward.into(),
            merge_mode: MergeMode::Concat,
        }
    }

    /// How the outputs are joined: `"concat"` (default), `"sum"`, `"mul"`, `"ave"`, or `None`, which gives two outputs.
    pub fn merge_mode(mut self, merge_mode: impl Into<MergeMode>) -> Self {
        self.merge_mode = merge_mode.into();
        self
    }

    /// Another layer for the other direction (default: a copy of the layer). It must go backwards.
    pub fn backward_layer(mut self, layer: impl Recurrent) -> Self {
        let mut layer: Arc<dyn Recurrent> = Arc::new(layer);
        if let Some(layer) = Arc::get_mut(&mut layer) {
            layer.options_mut().zero_output_for_mask = layer.options().return_sequences;
        }
        self.backward_layer = layer;
        self
    }

    fn check(&self) -> Result<()> {
        let (forward, backward) = (self.forward_layer.options(), self.backward_layer.options());
        if forward.go_backwards == backward.go_backwards {
            return Err(Error::model(format!(
                "`go_backwards` is {} for both layers, expected one of each direction",
                forward.go_backwards
            )));
        }
        for (argument, one, other) in [
            ("stateful", forward.stateful, backward.stateful),
            ("return_sequences", forward.return_sequences, backward.return_sequences),
            ("return_state", forward.return_state, backward.return_state),
        ] {
            if one != other {
                return Err(Error::model(format!(
                    "`{argument}` is {one} for the forward layer and {other} for the backward layer, expected the same"
                )));
            }
        }
        Ok(())
    }
}

impl Layer for Bidirectional {
    base!();

    fn build(&self, _scope: &mut Scope, _inputs: &[TensorType]) -> Result<()> {
        self.check()
    }

    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
        let Some((&sequences, rest)) = inputs.split_first() else {
            return Err(Error::model("expected sequences, got no input"));
        };
        let count = self.forward_layer.states();
        let (states, mask) = match rest.len() {
            given if given == 2 * count => (rest, None),
            given if given == 2 * count + 1 => (&rest[..2 * count], rest.last()),
            0 => (rest, None),
            1 => (&rest[..0], rest.first()),
            given => {
                return Err(Error::model(format!(
                    "expected sequences, then {} first states and a mask of dtype bool where there are some; got {} inputs",
                    2 * count,
                    given + 1
                )));
            }
        };
        let (first, second) = states.split_at(states.len() / 2);
        let call = |scope: &mut Scope, layer: &Arc<dyn Recurrent>, states: &[Value]| {
            let inputs: Vec<Value> = std::iter::once(sequences).chain(states.iter().chain(mask).copied()).collect();
            let layer: &dyn Layer = &**layer;
            scope.call(layer, &inputs)
        };
        let mut forward = call(scope, &self.forward_layer, first)?;
        let mut backward = call(scope, &self.backward_layer, second)?;
        let options = self.forward_layer.options();
        if options.return_sequences {
            backward[0] = scope.add(Reverse { axes: vec![1] }, &[backward[0]])?;
        }
        let (forward_states, backward_states) = (forward.split_off(1), backward.split_off(1));
        let outputs = self.merge_mode.join(scope, forward[0], backward[0])?;
        let outputs = outputs.into_iter().map(|output| scope.narrowed(output)).collect::<Result<Vec<_>>>()?;
        if let Some(mask) = mask.copied().or_else(|| scope.mask_of(sequences)).filter(|_| options.return_sequences) {
            outputs.iter().for_each(|&output| scope.set_mask(output, mask));
        }
        Ok(outputs.into_iter().chain(forward_states).chain(backward_states).collect())
    }

    fn parts(&self) -> Vec<(String, String)> {
        let mut parts = parts_of("forward_layer", &*self.forward_layer);
        parts.extend(parts_of("backward_layer", &*self.backward_layer));
        parts
    }

    fn config(&self) -> Config {
        let layer = &self.forward_layer;
        Config::from([
            ("merge_mode".into(), json!(self.merge_mode.name())),
            ("layer".into(), json!({ "class_name": layer.base().class(), "config": layer.config() })),
        ])
    }
}
