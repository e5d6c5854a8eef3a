//! What a recurrent layer repeats.

use super::super::dense::last_extent;
use crate::{Error, Layer, Result, Scope};
use kc_ir::tensor::composites::Dropout;
use kc_ir::tensor::ops::{Binary, DotGeneral, Slice};
use kc_ir::tensor::{Real, Value};
use kc_ir::{DType, Dim, TensorType};

/// A layer that makes an output and new states of an input and states, for [`RNN`](super::RNN) to repeat. As a layer it is called on the
/// input `(batch, features)` and the states `(batch, size)`, and its outputs are the output and the new states.
///
/// A cell of your own needs [`Layer`] and [`Cell::state_sizes`]:
///
/// ```
/// use kc::prelude::*;
///
/// /// The sum of all inputs so far.
/// #[derive(Clone, Debug)]
/// struct Sum {
///     base: Base,
/// }
///
/// impl Layer for Sum {
///     fn base(&self) -> &Base {
///         &self.base
///     }
///     fn base_mut(&mut self) -> &mut Base {
///         &mut self.base
///     }
///     fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> kc::Result<Vec<Value>> {
///         let sum = scope.binary(Binary::Add, inputs[0], inputs[1])?;
///         Ok(vec![sum, sum])
///     }
/// }
///
/// impl Cell for Sum {
///     fn state_sizes(&self) -> Vec<i64> {
///         vec![3]
///     }
/// }
///
/// let x = Input::new([5, 3]);
/// let y = RNN::new(Sum { base: Base::new("Sum") }).return_sequences(true).call(&x)?;
/// assert_eq!(y.shape_text(), "(None, 5, 3)");
/// # Ok::<(), kc::Error>(())
/// ```
pub trait Cell: Layer + CopyCell {
    /// The number of features of each state (Keras' `state_size`).
    fn state_sizes(&self) -> Vec<i64>;

    /// Which state is the output of the step before: what a step that a mask leaves out gives again.
    fn output_state(&self) -> usize {
        0
    }

    /// What is drawn once for all steps of a batch whose inputs are `[batch, features]` of this type.
    fn draw(&self, _scope: &mut Scope, _input: &TensorType) -> Result<Drawn> {
        Ok(Drawn::default())
    }

    /// What a step does with its input alone, for the inputs of one step `[batch, features]` or of all `[time, batch, features]`.
    fn project(&self, _scope: &mut Scope, x: Value, _drawn: &Drawn) -> Result<Value> {
        Ok(x)
    }

    /// The output and the new states of a step, of its projected input and the states; by default of [`Layer::forward`].
    fn step(&self, scope: &mut Scope, x: Value, states: &[Value], _drawn: &Drawn) -> Result<(Value, Vec<Value>)> {
        let inputs: Vec<Value> = std::iter::once(x).chain(states.iter().copied()).collect();
        let mut outputs = self.forward(scope, &inputs)?;
        if outputs.len() != states.len() + 1 {
            let (given, expected) = (outputs.len(), states.len() + 1);
            return Err(Error::model(format!(
                "a cell of {} states has {given} outputs, expected {expected}: the output and the states",
                states.len()
            )));
        }
        let next = outputs.split_off(1);
        Ok((outputs[0], next))
    }

    /// Makes this clone a cell of its own, which shares no weights with the original.
    fn renew(&mut self) {
        self.base_mut().renew();
    }
}

/// Copying of cells of unknown type; every [`Cell`] that is [`Clone`] has it.
pub trait CopyCell {
    /// A clone.
    fn copied(&self) -> Box<dyn Cell>;
}

impl<C: Cell + Clone> CopyCell for C {
    fn copied(&self) -> Box<dyn Cell> {
        Box::new(self.clone())
    }
}

impl Clone for Box<dyn Cell> {
    fn clone(&self) -> Self {
        (**self).copied()
    }
}

/// What a [`Cell`] draws once for all steps: factors of its inputs and of its states, and what its parts draw.
#[derive(Clone, Debug, Default)]
pub struct Drawn {
    /// Factors of the input, `[batch, features]`: one, or one a gate.
    pub inputs: Vec<Value>,
    /// Factors of the state, likewise.
    pub states: Vec<Value>,
    /// Of the cells of a stack.
    pub parts: Vec<Drawn>,
}

/// A cell that is called as a layer.
pub(super) fn call_cell(cell: &(impl Cell + ?Sized), scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
    let expected = cell.state_sizes();
    let Some((&x, states)) = inputs.split_first().filter(|(_, states)| states.len() == expected.len()) else {
        return Err(Error::model(format!(
            "expected {} inputs, the input of a step and {} states, got {}",
            expected.len() + 1,
            expected.len(),
            inputs.len()
        )));
    };
    let x = scope.float(x)?;
    let ty = scope.tensor_type(x).clone();
    let drawn = cell.draw(scope, &ty)?;
    let x = cell.project(scope, x, &drawn)?;
    let (output, next) = cell.step(scope, x, states, &drawn)?;
    Ok(std::iter::once(output).chain(next).collect())
}

/// The number of features of the input of a step.
pub(super) fn features(inputs: &[TensorType]) -> Result<i64> {
    last_extent(&inputs[..inputs.len().min(1)])
}

/// So many factors of dropout for a tensor of that type: each 0 or `1 / (1 - rate)`.
pub(super) fn dropout_factors(scope: &mut Scope, ty: &TensorType, rate: f64, count: usize) -> Result<Vec<Value>> {
    let ones = scope.splat(ty.dtype, 1.0, &ty.shape)?;
    let draw = |_| {
        let key = scope.draw_seed()?;
        Ok(scope.add(Dropout { rate: Real(rate) }, &[ones, key])?)
    };
    (0..count).map(draw).collect()
}

/// The contraction of the last axis with a kernel `[features, units]`, which must fit.
pub(super) fn contract(scope: &mut Scope, what: &str, x: Value, kernel: Value) -> Result<Value> {
    let (ty, kernel_ty) = (scope.tensor_type(x).clone(), scope.tensor_type(kernel).clone());
    if ty.shape.last() != kernel_ty.shape.first() {
        return Err(Error::model(format!(
            "the {what}'s shape is {}, but the layer was built for {} features",
            crate::shape_text(&ty.shape),
            kernel_ty.shape[0]
        )));
    }
    let last = ty.rank() - 1;
    let op = DotGeneral { lhs_batch: vec![], rhs_batch: vec![], lhs_contract: vec![last], rhs_contract: vec![0] };
    Ok(scope.add(op, &[x, kernel])?)
}

/// The part of that number of the last axis, which is split into so many.
pub(super) fn part(scope: &mut Scope, x: Value, number: i64, count: i64) -> Result<Value> {
    let whole = scope.tensor_type(x).shape.last().and_then(Dim::as_constant).unwrap_or(0);
    columns(scope, x, whole / count * number, whole / count * (number + 1))
}

/// Some columns of the last axis.
pub(super) fn columns(scope: &mut Scope, x: Value, from: i64, to: i64) -> Result<Value> {
    let shape = scope.tensor_type(x).shape.clone();
    let last = shape.len() - 1;
    let mut start = vec![Dim::constant(0); shape.len()];
    let mut limit = shape.clone();
    (start[last], limit[last]) = (Dim::constant(from), Dim::constant(to));
    Ok(scope.add(Slice { start, limit, stride: vec![1; shape.len()] }, &[x])?)
}

/// A tensor times a factor of its last axes.
pub(super) fn times(scope: &mut Scope, x: Value, factor: Option<&Value>) -> Result<Value> {
    match factor {
        Some(&factor) => Ok(scope.binary(Binary::Multiply, x, factor)?),
        None => Ok(x),
    }
}

/// States of zeros for a batch.
pub(super) fn zero_states(scope: &mut Scope, cell: &dyn Cell, batch: &Dim, dtype: DType) -> Result<Vec<Value>> {
    let zeros = |size| Ok(scope.splat(dtype, 0.0, &[batch.clone(), Dim::constant(size)])?);
    cell.state_sizes().into_iter().map(zeros).collect()
}
