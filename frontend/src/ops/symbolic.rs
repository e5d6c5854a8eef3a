//! Expressions of symbolic tensors: operations of a functional model.

use super::build::Known;
use super::build::address;
use super::call::Call;
use super::function::Function;
use super::tensor::{Source, Tensor};
use crate::base::{Base, next_identity};
use crate::keras_tensor::{AsTensor, IntoTensors, Node, Tensor as Symbolic};
use crate::layer::base;
use crate::{Error, KerasTensor, Layer, Result, Scope};
use kc_ir::tensor::Value;
use std::panic::Location;
use std::sync::Arc;

/// A function of `kc::ops` in a functional model, as Keras' `Operation` is.
#[derive(Debug)]
struct Operation {
    base: Base,
    function: Arc<dyn Function>,
    operands: Vec<Slot>,
    place: &'static Location<'static>,
}

/// An operand of an operation.
#[derive(Debug)]
enum Slot {
    /// The operation's input of that index.
    Input(usize),
    /// A tensor that depends on no symbolic one.
    Constant(Tensor),
}

impl Layer for Operation {
    base!();

    /// A function's dtypes are those of its operands.
    fn autocast(&self) -> bool {
        false
    }

    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
        let operand = |slot: &Slot| match slot {
            Slot::Input(index) => match inputs.get(*index) {
                Some(&value) => Ok(scope.tensor(value)),
                None => Err(Error::model(format!("expected at least {} inputs, got {}", index + 1, inputs.len()))),
            },
            Slot::Constant(tensor) => Ok(tensor.clone()),
        };
        let operands = self.operands.iter().map(operand).collect::<Result<Vec<Tensor>>>()?;
        let results = Tensor::calls(self.function.clone(), operands, self.place);
        scope.build_known(&results, &mut Known::new())
    }
}

/// The symbolic tensor that an expression is: each function in it is an operation of the model, made once.
pub(super) fn symbolic(tensor: &Tensor) -> Result<KerasTensor> {
    tensor.result_type()?;
    if !tensor.node.is_symbolic {
        return Err(Error::model(format!("{tensor:?} depends on no symbolic tensor, expected a function of `Input`s")));
    }
    let mut stack = vec![(tensor, false)];
    while let Some((tensor, operands_are_known)) = stack.pop() {
        if tensor.node.symbolic.get().is_some() {
            continue;
        }
        match &tensor.node.source {
            Source::Symbolic(known) => {
                tensor.node.symbolic.get_or_init(|| vec![known.clone()]);
            }
            Source::Call { operands, .. } if !operands_are_known => {
                stack.push((tensor, true));
                stack
                    .extend(operands.iter().filter(|operand| operand.node.is_symbolic).map(|operand| (operand, false)));
            }
            Source::Call { function, operands, place } => {
                let outputs = operation(tensor, function, operands, place)?;
                tensor.node.symbolic.get_or_init(|| outputs);
            }
            Source::Array(_) | Source::Number(_) | Source::Traced { .. } | Source::Error => {
                return Err(Error::model(format!("{tensor:?} is no symbolic tensor")));
            }
        }
    }
    output(tensor)
}

fn output(tensor: &Tensor) -> Result<KerasTensor> {
    let known = tensor.node.symbolic.get().and_then(|outputs| outputs.get(tensor.index));
    known.cloned().ok_or_else(|| Error::model(format!("{tensor:?} has no result {}", tensor.index)))
}

/// The operation's results.
fn operation(
    tensor: &Tensor,
    function: &Arc<dyn Function>,
    operands: &[Tensor],
    place: &'static Location<'static>,
) -> Result<Vec<KerasTensor>> {
    let mut inputs: Vec<(KerasTensor, &Tensor)> = Vec::new();
    let mut slots = Vec::with_capacity(operands.len());
    for operand in operands {
        if !operand.node.is_symbolic {
            slots.push(Slot::Constant(operand.clone()));
            continue;
        }
        let same = |known: &Tensor| address(known) == address(operand) && known.index == operand.index;
        let position = match inputs.iter().position(|(_, known)| same(known)) {
            Some(position) => position,
            None => {
                inputs.push((output(operand)?, operand));
                inputs.len() - 1
            }
        };
        slots.push(Slot::Input(position));
    }
    let base = Base::made_at(function.class(), place);
    let layer = Arc::new(Operation { base, function: function.clone(), operands: slots, place });
    let inputs = inputs.into_iter().map(|(input, _)| input).collect();
    let node = Arc::new(Node { identity: next_identity(), layer, inputs });
    let types = tensor.node.types.clone()?;
    let output = |(index, ty)| KerasTensor(Arc::new(Symbolic { ty, mask: None, node: node.clone(), index }));
    Ok(types.into_iter().enumerate().map(output).collect())
}

impl AsTensor for Tensor {
    fn as_tensor(&self) -> Result<KerasTensor> {
        symbolic(self)
    }
}

impl<F: Function + Clone> AsTensor for Call<F> {
    fn as_tensor(&self) -> Result<KerasTensor> {
        symbolic(&self.into())
    }
}

macro_rules! one_tensor {
    ($([$($parameters:tt)*] $ty:ty;)*) => { $(
        impl<$($parameters)*> IntoTensors for $ty {
            fn into_tensors(self) -> Result<Vec<KerasTensor>> {
                Ok(vec![self.as_tensor()?])
            }
        }
    )* };
}
one_tensor! { [] Tensor; [] &Tensor; [F: Function + Clone] Call<F>; [F: Function + Clone] &Call<F>; }
