//! Layers that compute nothing.

use super::spatial::DataFormat;
use crate::layer::{arguments, base, one_input};
use crate::{Base, Config, Error, Layer, Result, Scope, shape_text};
use kc_ir::Dim;
use kc_ir::tensor::Value;
use serde_json::json;

/// One axis beside the batch. `keras.layers.Flatten`.
#[derive(Clone, Debug)]
pub struct Flatten {
    base: Base,
    data_format: DataFormat,
}

impl Flatten {
    /// Flattens all axes but the first.
    #[track_caller]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Flatten { base: Base::new("Flatten"), data_format: DataFormat::ChannelsLast }
    }

    arguments! {
        /// `"channels_last"` (default), or `"channels_first"`, whose channels are moved to the end before.
        data_format: DataFormat,
    }
}

impl Layer for Flatten {
    base!();

    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
        let mut x = one_input(inputs)?;
        let rank = scope.tensor_type(x).rank();
        if self.data_format == DataFormat::ChannelsFirst && rank > 1 {
            let order: Vec<usize> = [0].into_iter().chain(2..rank).chain([1]).collect();
            x = scope.transpose(x, &order)?;
        }
        let shape = &scope.tensor_type(x).shape;
        let [batch, rest @ ..] = shape.as_slice() else {
            return Err(Error::model("the input is a scalar, expected at least a batch axis"));
        };
        let shape = vec![batch.clone(), rest.iter().cloned().product::<Dim>()];
        Ok(vec![scope.reshape(x, &shape)?])
    }

    fn config(&self) -> Config {
        Config::from([("data_format".into(), json!(self.data_format.name()))])
    }
}

/// The same elements in another shape; the batch stays. `keras.layers.Reshape`.
#[derive(Clone, Debug)]
pub struct Reshape {
    base: Base,
    target_shape: Vec<i64>,
}

impl Reshape {
    /// The shape of a sample; one extent may be -1, which is what remains.
    #[track_caller]
    pub fn new(target_shape: impl Into<Vec<i64>>) -> Self {
        Reshape { base: Base::new("Reshape"), target_shape: target_shape.into() }
    }
}

impl Layer for Reshape {
    base!();

    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
        let x = one_input(inputs)?;
        let shape = scope.tensor_type(x).shape.clone();
        let target = &self.target_shape;
        let [batch, rest @ ..] = shape.as_slice() else {
            return Err(Error::model("the input is a scalar, expected at least a batch axis"));
        };
        if target.iter().filter(|&&extent| extent == -1).count() > 1 || target.iter().any(|&extent| extent < -1) {
            return Err(Error::model(format!(
                "`target_shape` is {target:?}, expected extents of at least 0, of which one may be -1"
            )));
        }
        let elements: Dim = rest.iter().cloned().product();
        let known: Dim = target.iter().filter(|&&extent| extent != -1).map(|&extent| Dim::constant(extent)).product();
        let remaining = if target.contains(&-1) {
            elements.exact_div(&known).filter(|_| !known.is(0))
        } else {
            (elements == known).then(|| Dim::constant(1))
        };
        let Some(remaining) = remaining else {
            return Err(Error::model(format!(
                "the input's shape is {}, whose samples have {elements} elements; they cannot be reshaped to {target:?}",
                shape_text(&shape)
            )));
        };
        let target = target.iter().map(|&extent| if extent == -1 { remaining.clone() } else { Dim::constant(extent) });
        let shape: Vec<Dim> = std::iter::once(batch.clone()).chain(target).collect();
        Ok(vec![scope.reshape(x, &shape)?])
    }

    fn config(&self) -> Config {
        Config::from([("target_shape".into(), json!(self.target_shape))])
    }
}

/// The axes of a sample in another order. `keras.layers.Permute`.
#[derive(Clone, Debug)]
pub struct Permute {
    base: Base,
    dims: Vec<usize>,
}

impl Permute {
    /// The axes in their new order, counted from 1; the batch stays the first.
    #[track_caller]
    pub fn new(dims: impl Into<Vec<usize>>) -> Self {
        Permute { base: Base::new("Permute"), dims: dims.into() }
    }
}

impl Layer for Permute {
    base!();

    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
        let x = one_input(inputs)?;
        let shape = &scope.tensor_type(x).shape;
        let mut sorted = self.dims.clone();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(1..shape.len()) {
            return Err(Error::model(format!(
                "`dims` is {:?}, expected each axis of the input's shape {} once, from 1",
                self.dims,
                shape_text(shape)
            )));
        }
        let order: Vec<usize> = std::iter::once(0).chain(self.dims.iter().copied()).collect();
        Ok(vec![scope.transpose(x, &order)?])
    }

    fn config(&self) -> Config {
        Config::from([("dims".into(), json!(self.dims))])
    }
}

/// A vector so many times: `(batch, features)` becomes `(batch, n, features)`. `keras.layers.RepeatVector`.
#[derive(Clone, Debug)]
pub struct RepeatVector {
    base: Base,
    n: usize,
}

impl RepeatVector {
    /// So many times.
    #[track_caller]
    pub fn new(n: usize) -> Self {
        RepeatVector { base: Base::new("RepeatVector"), n }
    }
}

impl Layer for RepeatVector {
    base!();

    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
        let x = one_input(inputs)?;
        let shape = scope.tensor_type(x).shape.clone();
        let [batch, features] = shape.as_slice() else {
            return Err(Error::model(format!(
                "the input's shape is {}, expected 2 axes: (batch, features)",
                shape_text(&shape)
            )));
        };
        let count = i64::try_from(self.n).ok().filter(|&count| count > 0);
        let count = count.ok_or_else(|| Error::model(format!("`n` is {}, expected a number of at least 1", self.n)))?;
        Ok(vec![scope.broadcast(x, &[batch.clone(), Dim::constant(count), features.clone()], &[0, 2])?])
    }

    fn config(&self) -> Config {
        Config::from([("n".into(), json!(self.n))])
    }
}
