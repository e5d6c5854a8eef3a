use super::Model;
use crate::layer::{IntoLayer, LayerRef};
use crate::{Base, Layer, Result, Scope};
use kc_ir::tensor::Value;
use std::ops::{Deref, DerefMut};
use std::sync::OnceLock;

/// A model whose layers follow each other. `keras.Sequential`.
///
/// ```
/// use kc::prelude::*;
///
/// let model = Sequential::new()
///     .add(Input::new([784]))
///     .add(Dense::new(128).activation("relu"))
///     .add(Dense::new(10).activation("softmax"));
/// let same = Sequential::from(layers![Input::new([784]), Dense::new(128).activation("relu"), Dense::new(10)]);
/// # assert_eq!(model.layers()?.len(), same.layers()?.len());
/// # Ok::<(), kc::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Sequential(Model);

impl Sequential {
    /// A model without layers.
    #[track_caller]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        let base = Base::new("Sequential");
        Sequential(Model {
            base,
            layers: Vec::new(),
            input: OnceLock::new(),
            network: OnceLock::new(),
            compiled: None,
            distribution: crate::distribution::distribution(),
            engine: Default::default(),
        })
    }

    /// Appends a layer. The first is an [`Input`](crate::Input), unless [`Model::build`] is called.
    #[allow(clippy::should_implement_trait)]
    pub fn add(mut self, layer: impl IntoLayer) -> Self {
        self.0.layers.push(layer.into_layer());
        self.0.network = OnceLock::new();
        self
    }

    /// [`Model::build`].
    pub fn build(&self, shape: impl crate::IntoShape) -> Result<()> {
        self.0.build(shape)
    }
}

impl From<Vec<LayerRef>> for Sequential {
    #[track_caller]
    fn from(layers: Vec<LayerRef>) -> Self {
        let mut model = Sequential::new();
        model.0.layers = layers;
        model
    }
}

impl From<Sequential> for Model {
    fn from(sequential: Sequential) -> Model {
        sequential.0
    }
}

impl Deref for Sequential {
    type Target = Model;
    fn deref(&self) -> &Model {
        &self.0
    }
}

impl DerefMut for Sequential {
    fn deref_mut(&mut self) -> &mut Model {
        &mut self.0
    }
}

impl Layer for Sequential {
    fn base(&self) -> &Base {
        self.0.base()
    }
    fn base_mut(&mut self) -> &mut Base {
        self.0.base_mut()
    }
    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
        self.0.forward(scope, inputs)
    }
    fn inside(&self) -> Vec<&dyn Layer> {
        self.0.inside()
    }
    fn quantize_by(&self, how: &crate::quantizers::Quantization) -> Result<()> {
        self.0.quantize_by(how)
    }
    fn parts(&self) -> Vec<(String, String)> {
        self.0.parts()
    }
    fn as_model(&self) -> Option<&Model> {
        Some(&self.0)
    }
}
