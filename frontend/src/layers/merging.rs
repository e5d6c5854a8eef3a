//! Layers of several inputs.

use crate::layer::{arguments, base};
use crate::{Base, Config, Error, Layer, Result, Scope, shape_text};
use kc_ir::tensor::ops::{self, Binary};
use kc_ir::tensor::{Value, broadcast_shapes};
use kc_ir::{Dim, TensorType};
use serde_json::json;

/// The shapes for messages: `(None, 4) and (None, 5)`.
fn shapes(types: &[TensorType]) -> String {
    types.iter().map(|ty| shape_text(&ty.shape)).collect::<Vec<_>>().join(" and ")
}

/// The sum of two or more inputs, broadcast to each other; an input with fewer axes gets unit axes after the batch.
/// `keras.layers.Add`.
#[derive(Clone, Debug)]
pub struct Add {
    base: Base,
}

impl Add {
    /// The layer, to be called on an array: `Add::new().call([&x, &y])?`.
    #[track_caller]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Add { base: Base::new("Add") }
    }
}

impl Layer for Add {
    base!();

    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
        let types: Vec<TensorType> = inputs.iter().map(|&input| scope.tensor_type(input).clone()).collect();
        if inputs.len() < 2 {
            return Err(Error::model(format!("expected at least 2 inputs, got {}", inputs.len())));
        }
        let rank = types.iter().map(TensorType::rank).max().unwrap_or(0);
        let mut sum = None;
        for (&input, ty) in inputs.iter().zip(&types) {
            let mut shape = ty.shape.clone();
            let batch = shape.len().min(1);
            shape.splice(batch..batch, vec![Dim::constant(1); rank - ty.rank()]);
            let input = scope.float(input)?;
            let input = scope.reshape(input, &shape)?;
            sum = Some(match sum {
                None => input,
                Some(sum) => {
                    if broadcast_shapes(&scope.tensor_type(sum).shape, &shape).is_none() {
                        return Err(Error::model(format!(
                            "the inputs' shapes {} cannot be broadcast to one shape",
                            shapes(&types)
                        )));
                    }
                    scope.binary(Binary::Add, sum, input)?
                }
            });
        }
        Ok(sum.into_iter().collect())
    }
}

/// The inputs side by side along an axis. `keras.layers.Concatenate`.
#[derive(Clone, Debug)]
pub struct Concatenate {
    base: Base,
    axis: i64,
}

impl Concatenate {
    /// Along the last axis; called on an array: `Concatenate::new().call([&x, &y])?`.
    #[track_caller]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Concatenate { base: Base::new("Concatenate"), axis: -1 }
    }

    arguments! {
        /// The axis; negative counts from the last (default: -1).
        axis: i64,
    }
}

impl Layer for Concatenate {
    base!();

    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
        let types: Vec<TensorType> = inputs.iter().map(|&input| scope.tensor_type(input).clone()).collect();
        let Some(first) = types.first() else {
            return Err(Error::model("expected at least 1 input, got 0"));
        };
        let axis = super::axis(first, "axis", self.axis)?;
        let fits = |ty: &TensorType| {
            ty.rank() == first.rank() && (0..ty.rank()).all(|i| i == axis || ty.shape[i] == first.shape[i])
        };
        if !types.iter().all(fits) {
            return Err(Error::model(format!(
                "the inputs' shapes {} differ outside of axis {axis}, along which they are concatenated",
                shapes(&types)
            )));
        }
        let same = types.iter().all(|ty| ty.dtype == first.dtype);
        let mut operands = inputs.to_vec();
        if !same {
            operands = operands.into_iter().map(|input| scope.float(input)).collect::<Result<_>>()?;
        }
        Ok(vec![scope.add(ops::Concatenate { axis }, &operands)?])
    }

    fn config(&self) -> Config {
        Config::from([("axis".into(), json!(self.axis))])
    }
}
