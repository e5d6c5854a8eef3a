//! Writing at positions that are data.

use super::indexed::{IndexedWindows, Place};
use super::{Backward, Cotangents, Gather, GatherMode, Iota, Operation, Reduction, tensor};
use crate::tensor::interpret::{Array, Data, Evaluation};
use crate::tensor::{Builder, Scalar, Scope, Tensor, Type, TypeError, express};
use kc_abi::{DType, Dim, TensorType};
use serde::{Deserialize, Serialize};

/// What becomes of an element that an update meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScatterKind {
    /// The update; of several the last.
    Set,
    /// The sum.
    Add,
    /// The product.
    Multiply,
    /// The larger; NaN if one is NaN.
    Maximum,
    /// The smaller; NaN if one is NaN.
    Minimum,
}

impl ScatterKind {
    /// How the element and the update are combined; `None` where the update replaces it.
    pub fn reduction(self) -> Option<Reduction> {
        match self {
            ScatterKind::Set => None,
            ScatterKind::Add => Some(Reduction::Sum),
            ScatterKind::Multiply => Some(Reduction::Product),
            ScatterKind::Maximum => Some(Reduction::Max),
            ScatterKind::Minimum => Some(Reduction::Min),
        }
    }
}

/// What becomes of a window of updates that does not lie in the operand as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScatterMode {
    /// It is moved to the nearest place that does. Where the operand has fewer elements than a window it is left out.
    Clip,
    /// It is left out.
    Drop,
}

/// The operand with updates at positions that are data: operands are the tensor, the indices and the updates. Windows are combined
/// with the operand one after the other, in row-major order of the indices. No index is an error, whatever its value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scatter {
    /// How updates are combined with the elements that they meet.
    pub kind: ScatterKind,
    /// How the windows lie in the operand and in the updates.
    pub windows: IndexedWindows,
    /// What becomes of windows that do not lie in the operand.
    pub mode: ScatterMode,
}

impl Operation for Scatter {
    fn name(&self) -> &'static str {
        "scatter"
    }
    fn infer(&self, operands: &[&Type]) -> Result<Type, TypeError> {
        let (operand, indices) = self.windows.check("scatter", operands, 3)?;
        let updates = tensor("scatter", operands, 2)?;
        let fail = |message: String| Err(TypeError::new("scatter", message));
        if operand.dtype == DType::Bool && matches!(self.kind, ScatterKind::Add | ScatterKind::Multiply) {
            return fail(format!("{operand} has no sum or product, expected a number type"));
        }
        let rank = self.windows.offset.len() + indices.rank() - 1;
        if updates.rank() != rank {
            return fail(format!("the updates are {updates}, expected {rank} axes"));
        }
        let sizes = self.windows.sizes(operand.rank(), &updates.shape);
        self.windows.check_sizes("scatter", operand, &sizes)?;
        let expected = TensorType { dtype: operand.dtype, shape: self.windows.shape(indices, &sizes) };
        if *updates != expected {
            return fail(format!("the updates are {updates}, expected {expected}"));
        }
        Ok(Type::Tensor(operand.clone()))
    }
    /// Of a sum the cotangent, and for the updates what is gathered from it; of `set` without what was overwritten; of an extremum in
    /// equal shares for all that are equal to it; of a product times the product of the other factors, where zeros are counted,
    /// so that the derivative's own derivative by a factor that is zero lacks what its place would add.
    fn gradient(&self, b: &mut Builder, at: &Backward<'_>) -> Result<Cotangents, TypeError> {
        let g = at.cotangent("scatter")?;
        let (operand, updates) = express(b, |scope| {
            let [x, indices, updates] = [at.operands[0], at.operands[1], at.operands[2]].map(|v| scope.tensor(v));
            let (y, g) = (scope.tensor(at.results[0]), scope.tensor(g));
            let moves = Moves { scope, scatter: self, operand: x, indices, updates };
            let (operand, updates) = match self.kind {
                ScatterKind::Add => (g, moves.gather(g)),
                ScatterKind::Set => {
                    let kept = moves.scatter(ScatterKind::Set, g, updates.zeros_like());
                    let taken = moves.gather(g);
                    (kept, moves.last().map_or(taken, |last| last.select(taken, 0.0)))
                }
                ScatterKind::Maximum | ScatterKind::Minimum => {
                    let dtype = x.ty().dtype;
                    let kept = x.equal(y).convert(dtype);
                    let taken = updates.equal(moves.gather(y)).convert(dtype);
                    let share = g / moves.scatter(ScatterKind::Add, kept, taken);
                    // where nothing is equal to a result, it is NaN
                    (share * kept, moves.gather(share) * taken)
                }
                ScatterKind::Multiply => {
                    let dtype = x.ty().dtype;
                    let [(zero_x, x), (zero_updates, updates)] = [x, updates].map(|factor| {
                        let is_zero = factor.equal(0.0);
                        (is_zero.convert(dtype), is_zero.select(factor.number(1.0), factor))
                    });
                    let zeros = moves.scatter(ScatterKind::Add, zero_x, zero_updates);
                    let product = moves.scatter(ScatterKind::Multiply, x, updates);
                    // the others' product is not 0 where there is no zero, or where this is the only one
                    let alone = zeros.equal(zero_x).convert(dtype);
                    let updates_alone = moves.gather(zeros).equal(zero_updates).convert(dtype);
                    (g * (product / x) * alone, moves.gather(g * product) / updates * updates_alone)
                }
            };
            (operand.value(), updates.value())
        })?;
        Ok(vec![Some(operand), None, Some(updates)])
    }
    fn evaluate(&self, at: &Evaluation<'_>) -> Result<Vec<Array>, String> {
        let (x, indices, updates) = (&at.operands[0], &at.operands[1], &at.operands[2]);
        let place = match self.mode {
            ScatterMode::Clip => Place::Moved,
            ScatterMode::Drop => Place::Nowhere,
        };
        let mut values: Vec<Scalar> = (0..x.elements()).map(|i| x.get(i)).collect();
        self.windows.visit(place, x.shape(), indices, updates.shape(), |own, target| {
            let Some(target) = target else { return };
            values[target] = match (self.kind.reduction(), values[target], updates.get(own)) {
                (None, _, update) => update,
                (Some(kind), Scalar::Float(a), update) => Scalar::Float(kind.floats(a, update.to_f64())),
                (Some(kind), Scalar::Int(a), update) => Scalar::Int(kind.ints(a, update.to_i128())),
            };
        });
        at.result(Data::collect(x.dtype().is_float(), values.into_iter()))
    }
}

/// Gathers and scatters at the places of a scatter.
struct Moves<'a, 's, 'b> {
    scope: &'s Scope<'b>,
    scatter: &'a Scatter,
    operand: Tensor<'s, 'b>,
    indices: Tensor<'s, 'b>,
    updates: Tensor<'s, 'b>,
}

impl<'s, 'b> Moves<'_, 's, 'b> {
    /// The elements of a tensor like the operand where updates are written, 0 for those that are left out.
    fn gather(&self, x: Tensor<'s, 'b>) -> Tensor<'s, 'b> {
        let windows = self.scatter.windows.clone();
        let sizes = windows.sizes(x.ty().rank(), &self.updates.shape());
        let mode = match self.scatter.mode {
            ScatterMode::Clip => GatherMode::Clip,
            ScatterMode::Drop => GatherMode::Zero,
        };
        self.scope.op(Gather { windows, sizes, mode }, &[x, self.indices])
    }

    fn scatter(&self, kind: ScatterKind, x: Tensor<'s, 'b>, updates: Tensor<'s, 'b>) -> Tensor<'s, 'b> {
        self.scope.op(Scatter { kind, ..self.scatter.clone() }, &[x, self.indices, updates])
    }

    /// Whether an element of the updates is the last one that is written to its place; `None` where there is only one window.
    fn last(&self) -> Option<Tensor<'s, 'b>> {
        let shape = self.updates.shape();
        let batch = self.scatter.windows.batch_axes(shape.len());
        let extents: Vec<Dim> = batch.iter().map(|&axis| shape[axis].clone()).collect();
        let count: Dim = extents.iter().cloned().product();
        if count.is(1) {
            return None;
        }
        // windows are numbered from 1; the largest number that is written is the last one's
        let ty = TensorType { dtype: DType::I64, shape: vec![count] };
        let one = self.scope.scalar(DType::I64, Scalar::Int(1));
        let numbers = (self.scope.op(Iota { ty, axis: 0 }, &[]) + one).reshape(&extents).broadcast(&shape, &batch);
        let zero = self.scope.scalar(DType::I64, Scalar::Int(0));
        let nothing = zero.broadcast(&self.operand.shape(), &[]);
        let written = self.scatter(ScatterKind::Set, nothing, numbers);
        Some(self.gather(written).equal(numbers))
    }
}
