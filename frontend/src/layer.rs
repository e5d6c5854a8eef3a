use crate::base::Base;
use crate::dtype_policies::{DTypePolicy, DTypePolicySpec};
use crate::quantizers::{Quantization, Quantize};
use crate::regularizers::Regularizer;
use crate::{Error, Result, Scope};
use kc_ir::tensor::Value;
use kc_ir::{DType, TensorType};
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

    /// Whether the mask of the first input is the first output's (Keras' `supports_masking`). Otherwise masks end at this layer.
    fn supports_masking(&self) -> bool {
        false
    }

    /// The outputs' masks, in order, from the inputs' (Keras' `compute_mask`): bools of the first axes, false for what is to be left
    /// out. A mask that `forward` gave an output by [`Scope::set_mask`] comes first.
    fn compute_mask(
        &self,
        _scope: &mut Scope,
        _inputs: &[Value],
        masks: &[Option<Value>],
    ) -> Result<Vec<Option<Value>>> {
        Ok(if self.supports_masking() { masks.iter().take(1).copied().collect() } else { Vec::new() })
    }

    /// What Keras' files call the parts of the layer: pairs of a part's path in the names of the weights (`lstm_cell`) and of the
    /// attribute of Keras' class that holds it (`cell`). [`parts_of`](crate::layers::parts_of) gives those of a layer inside.
    fn parts(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// The layer's own arguments, as Keras' `get_config` names them.
    fn config(&self) -> Config {
        Config::new()
    }

    /// Whether floating-point inputs are converted to the compute dtype and weights are read in it (Keras' attribute `autocast`); else
    /// both are as they are, and `forward` converts what it gives: [`Scope::narrowed`].
    fn autocast(&self) -> bool {
        true
    }

    /// What the layer computes in and keeps its weights in. Of a [`DTypePolicyMap`](crate::dtype_policies::DTypePolicyMap) the default: which
    /// entry is the layer's own is known where it is called.
    ///
    /// # Errors
    ///
    /// The layer was given a name that no policy has.
    fn dtype_policy(&self) -> Result<DTypePolicy> {
        self.base().policy_at(None)
    }

    /// How the layer's weights are quantised, where they are: `"int8"`.
    ///
    /// # Errors
    ///
    /// As [`Layer::dtype_policy`].
    fn quantization_mode(&self) -> Result<Option<&'static str>> {
        Ok(self.dtype_policy()?.quantization_mode())
    }

    /// What the layer computes in: that of its policy.
    ///
    /// # Errors
    ///
    /// As [`Layer::dtype_policy`].
    fn compute_dtype(&self) -> Result<DType> {
        Ok(self.dtype_policy()?.compute_dtype())
    }

    /// What the layer keeps its weights in: that of its policy.
    ///
    /// # Errors
    ///
    /// As [`Layer::dtype_policy`].
    fn variable_dtype(&self) -> Result<DType> {
        Ok(self.dtype_policy()?.variable_dtype())
    }

    /// Whether the layer's weights can be quantised: then `build` and `forward` do what the policy says.
    #[doc(hidden)]
    fn quantizes(&self) -> bool {
        false
    }

    /// The layers inside whose weights may be quantised.
    #[doc(hidden)]
    fn inside(&self) -> Vec<&dyn Layer> {
        Vec::new()
    }

    /// Quantises the layer's weights, or those of the layers inside that can be.
    #[doc(hidden)]
    fn quantize_by(&self, how: &Quantization) -> Result<()> {
        let base = self.base();
        let named = |error: Error| match error {
            Error::Model { message, place } => {
                Error::Model { message: format!("layer `{}` ({}): {message}", base.name(), base.class()), place }
            }
            other => other,
        };
        if self.quantizes() {
            return base.quantize(&how.config).map_err(named);
        }
        let inside = self.inside();
        if inside.is_empty() {
            return Err(named(Error::model(
                "it has no weights that can be quantised; those of Dense, EinsumDense, Embedding and MultiHeadAttention can",
            )));
        }
        how.of_layers(inside)
    }

    /// Says what the layer, and what it made itself of, computes in and keeps weights in.
    fn set_dtype_policy(&mut self, policy: DTypePolicySpec) {
        self.base_mut().set_dtype_policy(policy);
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

    /// What the layer computes in and keeps its weights in (default: the [global policy](crate::config::dtype_policy)): a policy, its name
    /// or that of a dtype, or a map of policies for the layers inside.
    fn dtype(mut self, dtype: impl Into<DTypePolicySpec>) -> Self {
        self.set_dtype_policy(dtype.into());
        self
    }

    /// Quantises the layer's weights, of a model those of all its layers that can be: by a mode's name, of which `"int8"` is there, or a
    /// configuration, or both with [`filters`](Quantize::filters). What the weights are now is quantised; what the layer makes of them has the policy `int8_from_..`. A layer of a model
    /// that has run is quantised with the model.
    ///
    /// # Errors
    ///
    /// The mode is not there, the layer cannot be quantised or is so already, or it computes in f16.
    fn quantize(&self, mode: impl Into<Quantize>) -> Result<()> {
        self.quantize_by(&mode.into().resolve()?)
    }

    /// What the layer's outputs add to the loss, divided by the batch's size (default: nothing), a [`Regularizer`] or its name.
    fn activity_regularizer(mut self, regularizer: impl Into<Regularizer>) -> Self {
        self.base_mut().set_activity_regularizer(regularizer.into());
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

/// Makes the mask of the only input the output's.
macro_rules! passes_masks {
    () => {
        fn supports_masking(&self) -> bool {
            true
        }
    };
}
pub(crate) use passes_masks;

/// The parts of a layer with a layer inside, which the attribute `file` of Keras' class holds: that and its own parts.
pub fn parts_of(file: &str, inner: &dyn Layer) -> Vec<(String, String)> {
    let name = inner.base().name();
    let own =
        inner.parts().into_iter().map(|(part, attribute)| (format!("{name}/{part}"), format!("{file}/{attribute}")));
    std::iter::once((name.to_string(), file.to_string())).chain(own).collect()
}

/// Layers numbered by class, as Keras' files name them: `dense`, `dense_1`.
pub(crate) fn file_names<'a>(classes: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let numbered = |class: &str| {
        let name = crate::base::snake_case(class);
        let count = counts.entry(name.clone()).or_insert(0);
        *count += 1;
        if *count == 1 { name } else { format!("{name}_{}", *count - 1) }
    };
    classes.map(numbered).collect()
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
