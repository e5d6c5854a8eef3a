//! Running reductions along an axis, and the linear recurrence that they are differentiated by.

use super::{Backward, Cotangents, Operation, Pad, Reduction, arity, axis, one_tensor, tensor};
use crate::tensor::interpret::{Array, Data, Evaluation, positions, strides};
use crate::tensor::{Builder, Literal, Type, TypeError, Value, express};
use kc_abi::DType;
use serde::{Deserialize, Serialize};

/// The reduction of each element and all before it along an axis: `result[i] = operand[0] . operand[1] .. operand[i]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cumulative {
    /// How elements are combined.
    pub kind: Reduction,
    /// The axis.
    pub axis: usize,
    /// Whether it goes from the last element to the first.
    pub reverse: bool,
}

/// `result[i] = factor[i] * result[i - 1] + addend[i]` along an axis, 0 before the first: operands are the factors and the
/// addends.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recurrence {
    /// The axis.
    pub axis: usize,
    /// Whether it goes from the last element to the first.
    pub reverse: bool,
}

/// For each position the element before it in the direction of a recurrence, `first` for the first.
fn before(b: &mut Builder, along: &Recurrence, x: Value, first: f64) -> Result<Value, TypeError> {
    let ty = b.tensor_type(x).clone();
    let first = b.constant(Literal::scalar(ty.dtype, first))?;
    let mut shift = Pad { low: vec![0; ty.rank()], high: vec![0; ty.rank()], interior: vec![0; ty.rank()] };
    let by = if along.reverse { -1 } else { 1 };
    (shift.low[along.axis], shift.high[along.axis]) = (by, -by);
    b.add(shift, &[x, first])
}

impl Recurrence {
    fn opposite(&self) -> Recurrence {
        Recurrence { reverse: !self.reverse, ..self.clone() }
    }

    /// What reaches each element of the cotangents of the elements after it, where an element is a factor times the one before.
    fn back(&self, b: &mut Builder, factor: Value, g: Value) -> Result<Value, TypeError> {
        let opposite = self.opposite();
        let factor = before(b, &opposite, factor, 0.0)?;
        b.add(opposite, &[factor, g])
    }
}

/// Calls `visit` with the positions of each line along an axis, in the direction.
fn lines(shape: &[usize], axis: usize, reverse: bool, mut visit: impl FnMut(&mut dyn Iterator<Item = usize>)) {
    let steps = strides(shape);
    let (mut outer_shape, mut outer_steps) = (shape.to_vec(), steps.clone());
    outer_shape.remove(axis);
    outer_steps.remove(axis);
    for first in positions(&outer_shape, 0, &outer_steps) {
        let place = |i: usize| first as usize + i * steps[axis] as usize;
        match reverse {
            true => visit(&mut (0..shape[axis]).rev().map(place)),
            false => visit(&mut (0..shape[axis]).map(place)),
        }
    }
}

impl Operation for Cumulative {
    fn name(&self) -> &'static str {
        "cumulative"
    }
    fn infer(&self, operands: &[&Type]) -> Result<Type, TypeError> {
        let ty = one_tensor("cumulative", operands)?;
        axis("cumulative", self.axis, ty.rank())?;
        if ty.dtype == DType::Bool && matches!(self.kind, Reduction::Sum | Reduction::Product) {
            return Err(TypeError::new("cumulative", format!("{ty} has no sum or product, expected a number type")));
        }
        Ok(Type::Tensor(ty.clone()))
    }
    /// Of a sum the sums of the cotangents from the other end; of a product by the products of all other factors, without a
    /// division, so that zeros are no exception; of an extremum to the element that it is, in equal shares for one and the extremum before that are equal.
    fn gradient(&self, b: &mut Builder, at: &Backward<'_>) -> Result<Cotangents, TypeError> {
        let (x, y, g) = (at.operands[0], at.results[0], at.cotangent("cumulative")?);
        let along = Recurrence { axis: self.axis, reverse: self.reverse };
        let cotangent = match self.kind {
            Reduction::Sum => b.add(Cumulative { reverse: !self.reverse, ..self.clone() }, &[g])?,
            Reduction::Product => {
                let (product, sum) = (before(b, &along, y, 1.0)?, along.back(b, x, g)?);
                b.binary(super::Binary::Multiply, product, sum)?
            }
            Reduction::Max | Reduction::Min => {
                let last = before(b, &along, y, self.kind.neutral_float())?;
                let (hit, miss) = express(b, |scope| {
                    let [x, last] = [x, last].map(|value| scope.tensor(value));
                    let better = if self.kind == Reduction::Max { x.greater(last) } else { x.less(last) };
                    let hit = better.select(x.number(1.0), x.equal(last).select(x.number(0.5), 0.0));
                    (hit.value(), (1.0 - hit).value())
                })?;
                let reaching = along.back(b, miss, g)?;
                b.binary(super::Binary::Multiply, hit, reaching)?
            }
        };
        Ok(vec![Some(cotangent)])
    }
    fn evaluate(&self, at: &Evaluation<'_>) -> Result<Vec<Array>, String> {
        let x = &at.operands[0];
        let data = match x.data() {
            Data::Float(values) => {
                let mut results = values.clone();
                lines(x.shape(), self.axis, self.reverse, |line| {
                    line.fold(self.kind.neutral_float(), |sum, i| {
                        results[i] = self.kind.floats(sum, values[i]);
                        results[i]
                    });
                });
                Data::Float(results)
            }
            Data::Int(values) => {
                let mut results = values.clone();
                lines(x.shape(), self.axis, self.reverse, |line| {
                    line.fold(self.kind.neutral_int(x.dtype()), |sum, i| {
                        results[i] = self.kind.ints(sum, values[i]);
                        results[i]
                    });
                });
                Data::Int(results)
            }
        };
        at.result(data)
    }
}

impl Operation for Recurrence {
    fn name(&self) -> &'static str {
        "recurrence"
    }
    fn infer(&self, operands: &[&Type]) -> Result<Type, TypeError> {
        arity("recurrence", operands, 2)?;
        let (factor, addend) = (tensor("recurrence", operands, 0)?, tensor("recurrence", operands, 1)?);
        axis("recurrence", self.axis, factor.rank())?;
        if factor != addend {
            return Err(TypeError::new("recurrence", format!("the addends are {addend}, expected {factor}")));
        }
        if factor.dtype == DType::Bool {
            return Err(TypeError::new("recurrence", format!("got {factor}, expected a number type")));
        }
        Ok(Type::Tensor(factor.clone()))
    }
    /// The addends' cotangents are the recurrence of the cotangents from the other end; a factor's is that times the element
    /// before.
    fn gradient(&self, b: &mut Builder, at: &Backward<'_>) -> Result<Cotangents, TypeError> {
        let of_addend = self.back(b, at.operands[0], at.cotangent("recurrence")?)?;
        let previous = before(b, self, at.results[0], 0.0)?;
        Ok(vec![Some(b.binary(super::Binary::Multiply, previous, of_addend)?), Some(of_addend)])
    }
    fn evaluate(&self, at: &Evaluation<'_>) -> Result<Vec<Array>, String> {
        let (factor, addend) = (&at.operands[0], &at.operands[1]);
        let data = match (factor.data(), addend.data()) {
            (Data::Float(factors), Data::Float(addends)) => {
                let mut results = addends.clone();
                lines(factor.shape(), self.axis, self.reverse, |line| {
                    line.reduce(|last, i| {
                        results[i] += factors[i] * results[last];
                        i
                    });
                });
                Data::Float(results)
            }
            (Data::Int(factors), Data::Int(addends)) => {
                let mut results = addends.clone();
                lines(factor.shape(), self.axis, self.reverse, |line| {
                    line.reduce(|last, i| {
                        results[i] = factors[i].wrapping_mul(results[last]).wrapping_add(results[i]);
                        i
                    });
                });
                Data::Int(results)
            }
            (Data::Float(_), Data::Int(_)) | (Data::Int(_), Data::Float(_)) => {
                return Err("the factors and the addends differ in dtype".into());
            }
        };
        at.result(data)
    }
}
