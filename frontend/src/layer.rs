use crate::base::Base;
use crate::{Error, Result, Scope};
use kc_ir::TensorType;
use kc_ir::tensor::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A layer's arguments by name, as Keras' `get_config` gives them.
pub type Config = BTreeMap<String, serde_json::Value>;

/// A layer: weights and a computation. Implement it to write a layer of your own:
///
/// ```
/// use kc::prelude::*;
///
/// #[derive(Clone, Debug)]
/// struct Scale {
///     base: Base,
/// }
///
/// impl Layer for Scale {
///     fn base(&self) -> &Base {
///         &self.base
///     }
///     fn base_mut(&mut self) -> &mut Base {
///         &mut self.base
///     }
///     fn build(&self, scope: &mut Scope, _inputs: &[TensorType]) -> kc::Result<()> {
///         scope.add_weight("scale", &[], &Initializer::Ones)
///     }
///     fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> kc::Result<Vec<Value>> {
///         let scale = scope.weight("scale")?;
///         Ok(vec![scope.binary(Binary::Multiply, inputs[0], scale)?])
///     }
/// }
///
/// let x = Input::new([3]);
/// let y = Scale { base: Base::new("Scale") }.call(&x)?;
/// assert_eq!(y.shape_text(), "(None, 3)");
/// # Ok::<(), kc::Error>(())
/// ```
///
/// A layer that contains layers calls them with [`Scope::call`].
pub trait Layer: fmt::Debug + Send + Sync + 'static {
    /// Identity, name and place.
    fn base(&self) -> &Base;

    /// Identity, name and place, to be set by arguments.
    fn base_mut(&mut self) -> &mut Base;

    /// Creates the weights for inputs of these types: [`Scope::add_weight`]. Called once, before the first `forward`.
    fn build(&self, _scope: &mut Scope, _inputs: &[TensorType]) -> Result<()> {
        Ok(())
    }

    /// The computation (Keras' `call`): the outputs in terms of the inputs. [`Scope::training`] tells training from inference.
    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>>;

    /// The layer's own arguments, as Keras' `get_config` names them.
    fn config(&self) -> Config {
        Config::new()
    }

    /// The layers inside, where a model is used as a layer.
    #[doc(hidden)]
    fn as_model(&self) -> Option<&crate::Model> {
        None
    }

    /// The input, where this is an input layer.
    #[doc(hidden)]
    fn as_input(&self) -> Option<&crate::Input> {
        None
    }
}

/// The arguments that every layer takes.
pub trait LayerArguments: Layer + Sized {
    /// Names the layer; names are unique in a model.
    fn name(mut self, name: impl Into<String>) -> Self {
        self.base_mut().set_name(name);
        self
    }

    /// Whether the optimizer updates the layer's weights (default: yes).
    fn trainable(mut self, trainable: bool) -> Self {
        self.base_mut().set_trainable(trainable);
        self
    }
}

impl<L: Layer> LayerArguments for L {}

/// Layers of any kind, for [`Sequential`](crate::Sequential) and friends.
pub type LayerRef = Arc<dyn Layer>;

/// What can be put where a list of layers is expected.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no layer",
    label = "expected a layer, such as `Dense::new(10)`",
    note = "a symbolic tensor is an output of a layer: models of those are made with `Model::new(inputs, outputs)`"
)]
pub trait IntoLayer {
    /// The layer.
    fn into_layer(self) -> LayerRef;
}

impl<L: Layer> IntoLayer for L {
    fn into_layer(self) -> LayerRef {
        Arc::new(self)
    }
}

impl IntoLayer for LayerRef {
    fn into_layer(self) -> LayerRef {
        self
    }
}

/// A list of layers: `layers![Dense::new(10), Activation::new("softmax")]`.
#[macro_export]
macro_rules! layers {
    ($($layer:expr),* $(,)?) => { vec![$($crate::IntoLayer::into_layer($layer)),*] };
}

/// The only input of a layer that takes one.
pub(crate) fn one_input(inputs: &[Value]) -> Result<Value> {
    match inputs {
        [input] => Ok(*input),
        _ => Err(Error::model(format!("expected 1 input, got {}", inputs.len()))),
    }
}

/// The methods of [`Layer`] that give its base.
macro_rules! base {
    () => {
        fn base(&self) -> &$crate::Base {
            &self.base
        }
        fn base_mut(&mut self) -> &mut $crate::Base {
            &mut self.base
        }
    };
}
pub(crate) use base;

/// Builder methods for a layer's arguments.
macro_rules! arguments {
    ($($(#[$doc:meta])* $name:ident: $ty:ty,)*) => {
        $($(#[$doc])*
        pub fn $name(mut self, $name: impl Into<$ty>) -> Self {
            $crate::random::replace(&mut self.$name, $name.into());
            self
        })*
    };
}
pub(crate) use arguments;
