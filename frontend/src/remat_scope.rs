//! Layers whose derivatives compute again what lies within them. `keras.RematScope`.

use crate::error::did_you_mean;
use crate::{Error, Result};
use kc_ir::TensorType;
use std::cell::RefCell;
use std::marker::PhantomData;
use std::sync::Arc;

thread_local! {
    /// The scopes that are open, innermost last.
    static OPEN: RefCell<Vec<Arc<RematScope>>> = const { RefCell::new(Vec::new()) };
}

/// What of the layers that are made in it derivatives compute again: less memory in training for more work. `keras.RematScope`.
///
/// ```
/// use kc::prelude::*;
///
/// let scope = RematScope::new().mode("larger_than").output_size_threshold(512).enter()?;
/// let hidden = Dense::new(1024).activation("gelu");
/// drop(scope);
/// // `hidden` gives more than 512 numbers a sample, so a train step keeps its input only; `classes` is as always
/// let classes = Dense::new(10);
/// # let _ = Sequential::new().add(Input::new([64])).add(hidden).add(classes);
/// # Ok::<(), kc::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct RematScope {
    mode: Option<String>,
    output_size_threshold: i64,
    layer_names: Vec<String>,
}

const MODES: &[&str] = &["full", "activations", "larger_than", "list_of_layers"];

/// An open [`RematScope`], which ends when this is dropped.
#[derive(Debug)]
#[must_use]
pub struct OpenRematScope {
    /// It ends in the thread that it began in.
    thread: PhantomData<*const ()>,
}

impl Drop for OpenRematScope {
    fn drop(&mut self) {
        OPEN.with_borrow_mut(Vec::pop);
    }
}

impl Default for RematScope {
    fn default() -> Self {
        RematScope { mode: Some("full".to_string()), output_size_threshold: 1024, layer_names: vec![] }
    }
}

impl RematScope {
    /// A scope of whose layers everything is computed again.
    pub fn new() -> Self {
        Self::default()
    }

    /// `"full"`: everything in every layer (default); `"activations"`: the functions that layers have as `activation`;
    /// `"larger_than"`: everything in layers with more than `output_size_threshold` outputs; `"list_of_layers"`: everything in layers with
    /// the names `layer_names`; `None`: nothing.
    pub fn mode(mut self, mode: impl Into<Option<&'static str>>) -> Self {
        self.mode = mode.into().map(str::to_string);
        self
    }

    /// The number of outputs up to which a layer is not `"larger_than"`; an unknown batch counts as one sample (default: 1024).
    pub fn output_size_threshold(mut self, output_size_threshold: i64) -> Self {
        self.output_size_threshold = output_size_threshold;
        self
    }

    /// The layers of the mode `"list_of_layers"` (default: none).
    pub fn layer_names<N: Into<String>>(mut self, layer_names: impl IntoIterator<Item = N>) -> Self {
        self.layer_names = layer_names.into_iter().map(Into::into).collect();
        self
    }

    /// Begins the scope, which layers are in that are made until the result is dropped; of scopes in each other the innermost counts.
    ///
    /// # Errors
    /// A mode that is none.
    pub fn enter(self) -> Result<OpenRematScope> {
        if let Some(mode) = &self.mode
            && !MODES.contains(&mode.as_str())
        {
            return Err(Error::model(format!("`RematScope`: unknown mode `{mode}`{}", did_you_mean(mode, MODES))));
        }
        OPEN.with_borrow_mut(|open| open.push(Arc::new(self)));
        Ok(OpenRematScope { thread: PhantomData })
    }

    /// The innermost open scope of this thread.
    pub(crate) fn current() -> Option<Arc<RematScope>> {
        OPEN.with_borrow(|open| open.last().cloned())
    }

    /// Whether functions that layers have as `activation` are computed again.
    pub(crate) fn is_of_activations(&self) -> bool {
        self.mode.as_deref() == Some("activations")
    }

    /// Whether everything in a layer of that name with outputs of these types is computed again; `None` where the outputs decide and are
    /// not known.
    pub(crate) fn is_of_layer(&self, name: &str, outputs: Option<&[TensorType]>) -> Option<bool> {
        match self.mode.as_deref() {
            Some("full") => Some(true),
            Some("list_of_layers") => Some(self.layer_names.iter().any(|listed| listed == name)),
            Some("larger_than") => outputs.map(|outputs| {
                let size = |ty: &TensorType| ty.elements().evaluate(&|_| Some(1)).unwrap_or(0);
                outputs.iter().map(size).sum::<i64>() > self.output_size_threshold
            }),
            _ => Some(false),
        }
    }
}
