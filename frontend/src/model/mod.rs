//! Models: layers that know their inputs, and can be compiled, trained and run.

mod compile;
mod engine;
mod functional;
mod paths;
mod run;
mod sequential;
mod trace;

#[cfg(feature = "compile")]
pub(crate) use engine::compile_module;

pub use compile::{Compile, IntoLosses, IntoMetrics, IntoOptimizer};
pub use run::{Fit, IntoArrays};
pub use sequential::Sequential;

use crate::distribution::{self, Distribution};
use crate::keras_tensor::IntoTensors;
use crate::layer::{LayerRef, base, file_names, parts_of};
use crate::quantizers::Quantization;
use crate::{Base, Input, Layer, Result, Scope};
use compile::Compiled;
use engine::Engine;
use functional::Functional;
use kc_ir::tensor::{Module, Value};
use std::sync::OnceLock;

/// A model. Made from symbolic tensors (functional), or by [`Sequential`].
#[derive(Clone, Debug)]
pub struct Model {
    pub(crate) base: Base,
    layers: Vec<LayerRef>,
    /// The input of a sequential model that starts with another layer.
    input: OnceLock<LayerRef>,
    network: OnceLock<Functional>,
    compiled: Option<Compiled>,
    /// How it is spread: what was set when it was compiled, before that when it was made.
    distribution: Option<Distribution>,
    engine: Engine,
}

impl Model {
    /// The functional model that computes the outputs from the inputs: `Model::new(&x, &y)?`. Keras' `Model(inputs, outputs)`.
    #[track_caller]
    pub fn new(inputs: impl IntoTensors, outputs: impl IntoTensors) -> Result<Model> {
        let base = Base::new("Functional");
        let network = Functional::new(base.name(), inputs.into_tensors()?, outputs.into_tensors()?)
            .map_err(|error| error.at(base.place()))?;
        Ok(Model {
            base,
            layers: Vec::new(),
            input: OnceLock::new(),
            network: OnceLock::from(network),
            compiled: None,
            distribution: distribution::distribution(),
            engine: Engine::default(),
        })
    }

    /// The layers, in Keras' order. As in Keras, the input layer is none of a sequential model's.
    pub fn layers(&self) -> Result<Vec<LayerRef>> {
        let sequential = self.base.class() == "Sequential";
        let layers = self.network()?.layers.iter();
        Ok(layers.filter(|layer| !sequential || layer.as_input().is_none()).cloned().collect())
    }

    /// Gives a sequential model that does not start with an [`Input`] the shape of a sample. Keras' `build`, without the batch.
    pub fn build(&self, shape: impl crate::IntoShape) -> Result<()> {
        self.input.get_or_init(|| std::sync::Arc::new(Input::new(shape)));
        self.network().map(|_| ())
    }

    fn network(&self) -> Result<&Functional> {
        if let Some(network) = self.network.get() {
            return Ok(network);
        }
        let mut layers = self.layers.clone();
        if let Some(input) = self.input.get()
            && layers.first().is_none_or(|layer| layer.as_input().is_none())
        {
            layers.insert(0, input.clone());
        }
        let network = Functional::sequential(self.base.name(), &layers).map_err(|error| error.at(self.base.place()))?;
        Ok(self.network.get_or_init(|| network))
    }

    /// The layers with their output shapes and numbers of parameters, as Keras' `summary()` prints them.
    pub fn summary(&self) -> Result<String> {
        let module = self.module()?;
        Ok(kc_runtime::summary_text(&module.model, &module.state))
    }

    /// Traces the model: its state and entry points. A compiled model has all of them, another only `init` and `predict`.
    pub fn module(&self) -> Result<Module> {
        Ok(trace::module(self)?.module)
    }

    /// Traces the model's call alone: its outputs from its features and, in training, the state that it changes. The state
    /// tensors are those of [`Model::module`]. Keras' `model.stateless_call(..., training=training)`.
    pub fn stateless_call(&self, training: bool) -> Result<kc_ir::tensor::Function> {
        trace::call(self, training)
    }
}

impl Layer for Model {
    base!();

    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
        self.network()?.forward(scope, inputs)
    }

    fn inside(&self) -> Vec<&dyn Layer> {
        self.network().map_or(Vec::new(), |network| network.layers.iter().map(|layer| &**layer).collect())
    }

    fn quantize_by(&self, how: &Quantization) -> Result<()> {
        self.network()?;
        let done = how.of_layers(self.inside());
        self.engine.reset();
        done
    }

    fn parts(&self) -> Vec<(String, String)> {
        let layers = self.layers().unwrap_or_default();
        let names = file_names(layers.iter().map(|layer| layer.base().class()));
        layers.iter().zip(names).flat_map(|(layer, name)| parts_of(&format!("layers/{name}"), &**layer)).collect()
    }

    fn as_model(&self) -> Option<&Model> {
        Some(self)
    }
}

/// What a function marked `#[kc::model]` returns: a model, or a result of one.
#[diagnostic::on_unimplemented(
    message = "a function marked `#[kc::model]` returns `{Self}`, which is no model",
    label = "expected a `Model`, a `Sequential`, or a `Result` of one"
)]
pub trait IntoModel {
    /// The model.
    fn into_model(self) -> Result<Model, String>;
}

impl IntoModel for Model {
    fn into_model(self) -> Result<Model, String> {
        Ok(self)
    }
}

impl IntoModel for Sequential {
    fn into_model(self) -> Result<Model, String> {
        Ok(self.into())
    }
}

impl<M: IntoModel, E: std::fmt::Display> IntoModel for std::result::Result<M, E> {
    fn into_model(self) -> Result<Model, String> {
        self.map_err(|error| error.to_string())?.into_model()
    }
}
