//! Symbolic tensors: what a functional model is made of.

use crate::base::{Base, next_identity};
use crate::layer::{Layer, LayerRef};
use crate::scope::{Masked, Scope, Store};
use crate::{Error, Result};
use kc_ir::{DType, Dim, TensorType};
use std::sync::Arc;

/// A symbolic tensor: type, and how it comes from a model's inputs. A clone is the same tensor.
#[derive(Clone, Debug)]
pub struct KerasTensor(pub(crate) Arc<Tensor>);

#[derive(Debug)]
pub(crate) struct Tensor {
    pub ty: TensorType,
    /// The type of its mask, where it has one.
    pub mask: Option<TensorType>,
    pub node: Arc<Node>,
    pub index: usize,
}

/// One call of a layer; an input is a node without inputs.
#[derive(Debug)]
pub(crate) struct Node {
    pub identity: u64,
    pub layer: LayerRef,
    pub inputs: Vec<KerasTensor>,
}

impl Drop for Node {
    /// Takes a chain of calls apart one after the other, since one within the other would need a stack as deep as it.
    fn drop(&mut self) {
        let mut inputs = std::mem::take(&mut self.inputs);
        while let Some(input) = inputs.pop() {
            if let Some(mut node) = Arc::into_inner(input.0).and_then(|tensor| Arc::into_inner(tensor.node)) {
                inputs.append(&mut node.inputs);
            }
        }
    }
}

impl KerasTensor {
    /// Element type.
    pub fn dtype(&self) -> DType {
        self.0.ty.dtype
    }
    /// Extents; the batch is the symbol `B`.
    pub fn shape(&self) -> &[Dim] {
        &self.0.ty.shape
    }
    /// The shape as Keras prints it: `(None, 784)`.
    pub fn shape_text(&self) -> String {
        shape_text(&self.0.ty.shape)
    }
}

/// A shape as Keras prints it: `(None, 784)`; an extent with a symbol is `None`.
pub fn shape_text(shape: &[Dim]) -> String {
    let extents: Vec<String> =
        shape.iter().map(|dim| dim.as_constant().map_or("None".to_string(), |extent| extent.to_string())).collect();
    match extents.as_slice() {
        [one] => format!("({one},)"),
        _ => format!("({})", extents.join(", ")),
    }
}

/// The shape of a sample: `[28, 28]`, `()` for a single number, dimensions where an extent has a symbol.
pub trait IntoShape {
    /// The extents.
    fn into_shape(self) -> Vec<Dim>;
}

impl<const N: usize> IntoShape for [i64; N] {
    fn into_shape(self) -> Vec<Dim> {
        self.map(Dim::constant).into()
    }
}

impl<const N: usize> IntoShape for [Dim; N] {
    fn into_shape(self) -> Vec<Dim> {
        self.into()
    }
}

impl IntoShape for &[i64] {
    fn into_shape(self) -> Vec<Dim> {
        self.iter().map(|&extent| Dim::constant(extent)).collect()
    }
}

impl IntoShape for Vec<i64> {
    fn into_shape(self) -> Vec<Dim> {
        self.as_slice().into_shape()
    }
}

impl IntoShape for Vec<Dim> {
    fn into_shape(self) -> Vec<Dim> {
        self
    }
}

impl IntoShape for &[Dim] {
    fn into_shape(self) -> Vec<Dim> {
        self.to_vec()
    }
}

impl IntoShape for () {
    fn into_shape(self) -> Vec<Dim> {
        Vec::new()
    }
}

/// An input of a model: `Input::new([28, 28]).dtype("uint8")`. The batch axis is not named.
#[derive(Clone, Debug)]
pub struct Input {
    base: Base,
    shape: Vec<Dim>,
    dtype: Result<DType, String>,
    tensor: std::sync::OnceLock<KerasTensor>,
}

impl Input {
    /// An input whose samples have this shape.
    #[track_caller]
    pub fn new(shape: impl IntoShape) -> Self {
        let shape = std::iter::once(Dim::symbol("B")).chain(shape.into_shape()).collect();
        Input { base: Base::new("InputLayer"), shape, dtype: Ok(DType::F32), tensor: Default::default() }
    }

    /// The dtype (default: `"float32"`), by Keras' name.
    pub fn dtype(mut self, dtype: &str) -> Self {
        self.dtype = dtype.parse().map_err(|_| dtype.to_string());
        self
    }

    /// The size of every batch, where it must be known (default: any size). Keras' argument `batch_size`.
    pub fn batch_size(mut self, batch_size: usize) -> Self {
        self.shape[0] = Dim::constant(i64::try_from(batch_size).unwrap_or(i64::MAX));
        self
    }

    /// The symbolic tensor.
    pub fn tensor(&self) -> Result<KerasTensor> {
        let dtype = self.dtype.clone().map_err(|name| {
            let known: Vec<&str> = DType::ALL.iter().map(|dtype| dtype.keras_name()).collect();
            Error::model(format!(
                "input `{}`: unknown dtype `{name}`{}",
                self.base.name(),
                crate::error::did_you_mean(&name, &known)
            ))
        })?;
        if let Some(extent) = self.shape.iter().find(|dim| dim.as_constant().is_some_and(|extent| extent < 1)) {
            return Err(Error::model(format!(
                "input `{}`: the shape {} has the extent {extent}, expected extents of at least 1",
                self.base.name(),
                shape_text(&self.shape)
            )));
        }
        let tensor = self.tensor.get_or_init(|| {
            let ty = TensorType { dtype, shape: self.shape.clone() };
            let node = Node { identity: next_identity(), layer: Arc::new(self.clone()), inputs: Vec::new() };
            KerasTensor(Arc::new(Tensor { ty, mask: None, node: Arc::new(node), index: 0 }))
        });
        Ok(tensor.clone())
    }
}

impl Layer for Input {
    crate::layer::base!();
    fn forward(&self, _scope: &mut Scope, inputs: &[kc_ir::tensor::Value]) -> Result<Vec<kc_ir::tensor::Value>> {
        Ok(inputs.to_vec())
    }
    fn as_input(&self) -> Option<&Input> {
        Some(self)
    }
}

/// What has one symbolic tensor: a [`KerasTensor`], or an [`Input`].
pub trait AsTensor {
    /// The tensor.
    fn as_tensor(&self) -> Result<KerasTensor>;
}

impl AsTensor for KerasTensor {
    fn as_tensor(&self) -> Result<KerasTensor> {
        Ok(self.clone())
    }
}

impl AsTensor for Input {
    fn as_tensor(&self) -> Result<KerasTensor> {
        self.tensor()
    }
}

impl<T: AsTensor> AsTensor for &T {
    fn as_tensor(&self) -> Result<KerasTensor> {
        (**self).as_tensor()
    }
}

/// What layers are called on and models are made of: one tensor (`&x`), an array or slice of them (`[&x, &y]`), or a tuple
/// (`(&input, &x)`).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no symbolic tensor, nor an array or tuple of them",
    label = "expected a tensor (`&x`), an array (`[&x, &y]`) or a tuple (`(&input, &x)`)",
    note = "calling a layer returns a `Result`: put `?` behind the call"
)]
pub trait IntoTensors {
    /// The tensors in order.
    fn into_tensors(self) -> Result<Vec<KerasTensor>>;
}

macro_rules! one_tensor {
    ($($ty:ty),*) => {
        $(impl IntoTensors for $ty {
            fn into_tensors(self) -> Result<Vec<KerasTensor>> {
                Ok(vec![self.as_tensor()?])
            }
        })*
    };
}

one_tensor!(&KerasTensor, KerasTensor, &Input, Input);

impl<T: AsTensor, const N: usize> IntoTensors for [T; N] {
    fn into_tensors(self) -> Result<Vec<KerasTensor>> {
        self.iter().map(T::as_tensor).collect()
    }
}

impl<T: AsTensor> IntoTensors for Vec<T> {
    fn into_tensors(self) -> Result<Vec<KerasTensor>> {
        self.iter().map(T::as_tensor).collect()
    }
}

impl<T: AsTensor> IntoTensors for &[T] {
    fn into_tensors(self) -> Result<Vec<KerasTensor>> {
        self.iter().map(T::as_tensor).collect()
    }
}

macro_rules! tuples {
    ($($($name:ident)+;)*) => {
        $(impl<$($name: AsTensor),+> IntoTensors for ($($name,)+) {
            #[allow(non_snake_case)]
            fn into_tensors(self) -> Result<Vec<KerasTensor>> {
                let ($($name,)+) = self;
                Ok(vec![$($name.as_tensor()?),+])
            }
        })*
    };
}

tuples! { A B; A B C; A B C D; }

/// Calling a layer on symbolic tensors: Keras' `layer(x)`.
pub trait Call: Layer + Clone {
    /// The layer's only output for these inputs. Calls of clones of a layer share its weights.
    fn call(&self, inputs: impl IntoTensors) -> Result<KerasTensor> {
        let mut outputs = self.call_all(inputs)?;
        match (outputs.pop(), outputs.len()) {
            (Some(output), 0) => Ok(output),
            (_, rest) => Err(Error::model(format!(
                "layer `{}` has {} outputs, expected 1: use `call_all`",
                self.base().name(),
                rest + 1
            ))),
        }
    }

    /// All of the layer's outputs for these inputs.
    fn call_all(&self, inputs: impl IntoTensors) -> Result<Vec<KerasTensor>> {
        record(Arc::new(self.clone()), inputs.into_tensors()?, "")
    }
}

impl<L: Layer + Clone> Call for L {}

/// The outputs of a layer, whose path begins with a prefix in Keras, for symbolic inputs; a wrong shape is found here, on a graph that is
/// thrown away.
pub(crate) fn record(layer: LayerRef, inputs: Vec<KerasTensor>, prefix: &str) -> Result<Vec<KerasTensor>> {
    let mut scope = Scope::new(Store::default(), false);
    let mut values = Vec::with_capacity(inputs.len());
    for (index, input) in inputs.iter().enumerate() {
        let value = scope.input(index, "input", input.0.ty.clone())?;
        let mask = input.0.mask.clone().map(|ty| scope.input(inputs.len() + index, "mask", ty)).transpose()?;
        values.push(Masked { value, mask });
    }
    let outputs = scope.prefixed(prefix.to_string(), |scope| scope.call_masked(&*layer, &values))?;
    let types: Vec<(TensorType, Option<TensorType>)> = outputs
        .iter()
        .map(|output| {
            (scope.tensor_type(output.value).clone(), output.mask.map(|mask| scope.tensor_type(mask).clone()))
        })
        .collect();
    let node = Arc::new(Node { identity: next_identity(), layer, inputs });
    Ok(types
        .into_iter()
        .enumerate()
        .map(|(index, (ty, mask))| KerasTensor(Arc::new(Tensor { ty, mask, node: node.clone(), index })))
        .collect())
}
