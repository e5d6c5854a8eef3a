//! From expressions to graphs.

use super::function::add_ops;
use super::tensor::{Node, Source, Tensor};
use crate::{Error, Result, Scope};
use kc_ir::tensor::{Builder, Literal, Location, Value};
use kc_runtime::Array;
use std::collections::HashMap;
use std::sync::Arc;

/// What is known of an expression: the values of nodes, by their addresses.
pub(super) type Known = HashMap<*const Node, Vec<Value>>;

/// The address that tells nodes apart.
pub(super) fn address(tensor: &Tensor) -> *const Node {
    Arc::as_ptr(&tensor.node)
}

/// Adds what tensors need to a graph, each node once, and gives their values. `leaf` gives the values of tensors that are no
/// functions of others; `layer` is the path of the layer that asks, `None` where ops shall not carry their places.
pub(super) fn build(
    builder: &mut Builder,
    tensors: &[Tensor],
    known: &mut Known,
    layer: Option<&str>,
    leaf: &mut dyn FnMut(&mut Builder, &Tensor) -> Result<Value>,
) -> Result<Vec<Value>> {
    // an explicit stack: a node is met once before its operands and once behind them
    let mut stack: Vec<(&Tensor, bool)> = tensors.iter().rev().map(|tensor| (tensor, false)).collect();
    while let Some((tensor, operands_are_known)) = stack.pop() {
        if known.contains_key(&address(tensor)) {
            continue;
        }
        tensor.result_type()?;
        let Source::Call { function, operands, place } = &tensor.node.source else {
            let value = leaf(builder, tensor)?;
            known.insert(address(tensor), vec![value]);
            continue;
        };
        if !operands_are_known {
            stack.push((tensor, true));
            let others = operands.iter().rev().filter(|operand| !matches!(operand.node.source, Source::Number(_)));
            stack.extend(others.map(|operand| (operand, false)));
            continue;
        }
        let types = operands.iter().map(Tensor::result_type).collect::<Result<Vec<_>>>()?;
        let mut values = Vec::with_capacity(operands.len());
        for operand in operands {
            let value = match &operand.node.source {
                Source::Number(number) => builder.constant(number.beside(&types))?,
                _ => value(known, operand)?,
            };
            values.push((value, operand.kind(builder.tensor_type(value).dtype)));
        }
        let location = layer.map(|layer| {
            Arc::new(Location { file: place.file().to_string(), line: place.line(), layer: layer.to_string() })
        });
        let outside = layer.is_some().then(|| builder.set_location(location));
        let results = add_ops(builder, &**function, &values);
        if let Some(outside) = outside {
            builder.set_location(outside);
        }
        known.insert(address(tensor), results?);
    }
    tensors.iter().map(|tensor| value(known, tensor)).collect()
}

fn value(known: &Known, tensor: &Tensor) -> Result<Value> {
    let values = known.get(&address(tensor)).and_then(|values| values.get(tensor.index));
    values.copied().ok_or_else(|| Error::model(format!("{tensor:?} has no value in the graph")))
}

/// The array as a constant of a graph.
pub(super) fn literal(array: &Array) -> Result<Literal> {
    Literal::from_bytes(array.dtype(), array.shape().to_vec(), array.bytes())
        .ok_or_else(|| Error::run("the array's bytes do not fill its shape"))
}

/// Says that a symbolic tensor has no value.
pub(super) fn is_symbolic(tensor: &Tensor) -> Error {
    Error::model(format!(
        "{tensor:?} of a functional model has no value here: make a model of it, `Model::new(&inputs, &outputs)`"
    ))
}

impl Scope {
    /// A value of this scope as a tensor that the functions of [`ops`](crate::ops) take.
    pub fn tensor(&self, value: Value) -> Tensor {
        Tensor::traced(self.identity(), value, self.tensor_type(value).clone())
    }

    /// Adds an expression to the graph. Its arrays become constants.
    pub fn build(&mut self, tensor: impl Into<Tensor>) -> Result<Value> {
        Ok(self.build_all(&[tensor.into()])?[0])
    }

    /// Adds several expressions to the graph; what they share is added once.
    pub fn build_all(&mut self, tensors: &[Tensor]) -> Result<Vec<Value>> {
        self.build_known(tensors, &mut Known::new())
    }

    /// Adds expressions of which some nodes have values already.
    pub(super) fn build_known(&mut self, tensors: &[Tensor], known: &mut Known) -> Result<Vec<Value>> {
        let (identity, path) = (self.identity(), self.path().to_string());
        build(self, tensors, known, Some(&path), &mut |builder, tensor| match &tensor.node.source {
            Source::Array(array) => Ok(builder.constant(literal(array)?)?),
            Source::Number(number) => Ok(builder.constant(number.beside(&[]))?),
            Source::Traced { scope, value } if *scope == identity => Ok(*value),
            Source::Traced { .. } => Err(Error::model(format!("{tensor:?} belongs to another scope"))),
            Source::Symbolic(_) => Err(is_symbolic(tensor)),
            Source::Call { .. } | Source::Error => tensor.result_type().and_then(|_| Err(Error::model("no leaf"))),
        })
    }
}
