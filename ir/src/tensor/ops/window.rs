//! Reductions over sliding windows.

use super::movement::padded;
use super::{
    Backward, Binary, Compare, Cotangents, Operation, Pad, Reduction, Slice, Unary, arity, one_per_axis, one_tensor,
    tensor,
};
use crate::tensor::interpret::{Array, Data, Evaluation, strides};
use crate::tensor::{Builder, Literal, Scalar, Type, TypeError, Value};
use kc_abi::{DType, Dim, TensorType};
use serde::{Deserialize, Serialize};

/// A box that slides over a tensor; one entry an axis of the tensor in every list.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Extent of the window.
    pub size: Vec<i64>,
    /// Step from one position to the next.
    pub strides: Vec<i64>,
    /// Neutral elements before and after the tensor.
    pub padding: Vec<(i64, i64)>,
    /// 1 + neutral elements between two neighbours of the tensor.
    pub base_dilation: Vec<i64>,
    /// 1 + skipped positions between two neighbours of the window.
    pub window_dilation: Vec<i64>,
}

/// Number of window positions on an axis.
#[allow(clippy::too_many_arguments)]
pub(super) fn positions(
    op: &str,
    ty: &TensorType,
    extent: &Dim,
    size: i64,
    stride: i64,
    (low, high): (i64, i64),
    base_dilation: i64,
    window_dilation: i64,
) -> Result<Dim, TypeError> {
    super::movement::sensible(op, "window", &[size, stride, window_dilation])?;
    let reach = (size - 1) * window_dilation + 1;
    let padded = super::movement::padded(op, extent, low, high, base_dilation - 1)?;
    let free = padded.clone() - Dim::constant(reach);
    if free.as_constant().is_some_and(|free| free < 0) {
        return Err(TypeError::new(
            op,
            format!("a window of {reach} positions does not fit into the padded extent {padded} of {ty}"),
        ));
    }
    Ok(free.floor_div(&Dim::constant(stride)) + Dim::constant(1))
}

impl Window {
    pub(crate) fn infer(&self, op: &str, ty: &TensorType) -> Result<Vec<Dim>, TypeError> {
        for (what, given) in [
            ("size", self.size.len()),
            ("strides", self.strides.len()),
            ("padding", self.padding.len()),
            ("base_dilation", self.base_dilation.len()),
            ("window_dilation", self.window_dilation.len()),
        ] {
            one_per_axis(op, what, given, ty.rank())?;
        }
        if self.size.iter().chain(&self.strides).chain(&self.base_dilation).chain(&self.window_dilation).any(|&x| x < 1)
        {
            return Err(TypeError::new(op, "sizes, strides and dilations must be at least 1"));
        }
        (0..ty.rank())
            .map(|i| {
                positions(
                    op,
                    ty,
                    &ty.shape[i],
                    self.size[i],
                    self.strides[i],
                    self.padding[i],
                    self.base_dilation[i],
                    self.window_dilation[i],
                )
            })
            .collect()
    }
}

/// The reduction of every window position.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReduceWindow {
    /// How elements are combined.
    pub kind: Reduction,
    /// The windows.
    pub window: Window,
}

impl Operation for ReduceWindow {
    fn name(&self) -> &'static str {
        "reduce_window"
    }
    fn infer(&self, operands: &[&Type]) -> Result<Type, TypeError> {
        let ty = one_tensor("reduce_window", operands)?;
        if ty.dtype == DType::Bool {
            return Err(TypeError::new("reduce_window", format!("got {ty}, expected a number type")));
        }
        Ok(Type::Tensor(TensorType { dtype: ty.dtype, shape: self.window.infer("reduce_window", ty)? }))
    }
    /// Of a sum the windows of the cotangent, spread by the strides, that an element lies in; of an extremum
    /// [`SelectAndScatter`].
    fn gradient(&self, b: &mut Builder, at: &Backward<'_>) -> Result<Cotangents, TypeError> {
        let (x, g) = (at.operands[0], at.cotangent("reduce_window")?);
        let cotangent = match self.kind {
            Reduction::Sum => self.window.spread(b, x, g)?,
            Reduction::Max => b.add(SelectAndScatter { window: self.window.clone() }, &[x, g])?,
            Reduction::Min => {
                let negated = b.unary(Unary::Negate, x)?;
                b.add(SelectAndScatter { window: self.window.clone() }, &[negated, g])?
            }
            Reduction::Product => return Err(TypeError::new("reduce_window", "products of windows have no gradient")),
        };
        Ok(vec![Some(cotangent)])
    }
    fn evaluate(&self, at: &Evaluation<'_>) -> Result<Vec<Array>, String> {
        let x = &at.operands[0];
        let windows = self.window.elements(x.shape(), at.shape())?;
        at.result(match x.data() {
            Data::Float(values) => {
                let reduce = |window: Vec<usize>| {
                    window.into_iter().fold(self.kind.neutral_float(), |sum, i| self.kind.floats(sum, values[i]))
                };
                Data::Float(windows.map(reduce).collect())
            }
            Data::Int(values) => {
                let neutral = self.kind.neutral_int(x.dtype());
                let reduce =
                    |window: Vec<usize>| window.into_iter().fold(neutral, |sum, i| self.kind.ints(sum, values[i]));
                Data::Int(windows.map(reduce).collect())
            }
        })
    }
}

/// The gradient of a maximum over windows: operands are the tensor and a source of one element a window position; each
/// source element is added to a zero tensor at the first largest element of its window (row-major; a NaN is largest).
/// Dilations must be 1.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SelectAndScatter {
    /// The windows.
    pub window: Window,
}

impl Operation for SelectAndScatter {
    fn name(&self) -> &'static str {
        "select_and_scatter"
    }
    fn infer(&self, operands: &[&Type]) -> Result<Type, TypeError> {
        let op = "select_and_scatter";
        arity(op, operands, 2)?;
        let (ty, source) = (tensor(op, operands, 0)?, tensor(op, operands, 1)?);
        if self.window.base_dilation.iter().chain(&self.window.window_dilation).any(|&d| d != 1) {
            return Err(TypeError::new(op, "dilations must be 1"));
        }
        let expected = TensorType { dtype: ty.dtype, shape: self.window.infer(op, ty)? };
        if *source != expected {
            return Err(TypeError::new(op, format!("the source is {source}, expected {expected}")));
        }
        Ok(Type::Tensor(ty.clone()))
    }
    /// The source's cotangent is the result's at the chosen positions.
    fn gradient(&self, b: &mut Builder, at: &Backward<'_>) -> Result<Cotangents, TypeError> {
        let g = at.cotangent("select_and_scatter")?;
        Ok(vec![None, Some(self.window.gather_largest(b, at.operands[0], g)?)])
    }
    fn evaluate(&self, at: &Evaluation<'_>) -> Result<Vec<Array>, String> {
        let (x, source) = (&at.operands[0], &at.operands[1]);
        let mut sums = vec![Scalar::Int(0); x.elements()];
        for (i, window) in self.window.elements(x.shape(), source.shape())?.enumerate() {
            let better = |i: usize, best: usize| {
                !x.get(best).to_f64().is_nan()
                    && (x.get(i).to_f64().is_nan() || Compare::Greater.holds(x.get(i), x.get(best)))
            };
            // a window that lies in the padding alone selects nothing
            if let Some(best) = window.into_iter().reduce(|best, i| if better(i, best) { i } else { best }) {
                sums[best] = match (sums[best], source.get(i)) {
                    (Scalar::Int(sum), Scalar::Int(value)) => Scalar::Int(sum.wrapping_add(value)),
                    (sum, value) => Scalar::Float(sum.to_f64() + value.to_f64()),
                };
            }
        }
        at.result(Data::collect(x.dtype().is_float(), sums.into_iter()))
    }
}

impl Window {
    /// Number of positions in a window, where it is below a limit.
    fn positions_below(&self, limit: usize) -> Option<usize> {
        let product = |product: usize, &size: &i64| product.checked_mul(usize::try_from(size).ok()?);
        self.size.iter().try_fold(1usize, product).filter(|&positions| positions < limit)
    }

    /// For each element of `x` the sum of `g` over the windows that the element lies in.
    fn spread(&self, b: &mut Builder, x: Value, g: Value) -> Result<Value, TypeError> {
        let (extents, positions) = (b.tensor_type(x).shape.clone(), b.tensor_type(g).shape.clone());
        let rank = extents.len();
        let (mut low, mut high) = (vec![0; rank], vec![0; rank]);
        for i in 0..rank {
            let input = padded("reduce_window", &extents[i], 0, 0, self.base_dilation[i] - 1)?;
            let result = padded("reduce_window", &positions[i], 0, 0, self.strides[i] - 1)?;
            let reach = (self.size[i] - 1) * self.window_dilation[i];
            low[i] = reach - self.padding[i].0;
            high[i] = (input - result).as_constant().map(|rest| rest + self.padding[i].0).ok_or_else(|| {
                let message =
                    format!("with a stride on axis {i} its extent {} must be known for the gradient", extents[i]);
                TypeError::new("reduce_window", message)
            })?;
        }
        let zero = b.constant(Literal::scalar(b.tensor_type(g).dtype, 0.0))?;
        let interior = self.strides.iter().map(|stride| stride - 1).collect();
        let spread = b.add(Pad { low, high, interior }, &[g, zero])?;
        let window = Window {
            size: self.size.clone(),
            strides: self.base_dilation.clone(),
            padding: vec![(0, 0); rank],
            base_dilation: vec![1; rank],
            window_dilation: self.window_dilation.clone(),
        };
        b.add(ReduceWindow { kind: Reduction::Sum, window }, &[spread])
    }

    /// For each window position the element of `values` where `x` is largest in the window (the first one): position by position
    /// of the window, the better so far is kept.
    fn gather_largest(&self, b: &mut Builder, x: Value, values: Value) -> Result<Value, TypeError> {
        let ty = b.tensor_type(x).clone();
        if self.positions_below(1 << 12).is_none() {
            let message =
                format!("with windows of {:?} it has no gradient, which takes ops for each position", self.size);
            return Err(TypeError::new("select_and_scatter", message));
        }
        let shape = self.infer("select_and_scatter", &ty)?;
        let lowest = b.constant(Literal::scalar(ty.dtype, f64::NEG_INFINITY))?;
        let zero = b.constant(Literal::scalar(ty.dtype, 0.0))?;
        let (low, high): (Vec<i64>, Vec<i64>) = self.padding.iter().copied().unzip();
        let pad = Pad { low, high, interior: vec![0; ty.rank()] };
        let (x, values) = (b.add(pad.clone(), &[x, lowest])?, b.add(pad, &[values, zero])?);
        let mut best: Option<(Value, Value)> = None;
        let mut offset = vec![0i64; ty.rank()];
        loop {
            let start: Vec<Dim> = offset.iter().map(|&o| Dim::constant(o)).collect();
            let limit = (0..ty.rank())
                .map(|i| Ok(start[i].clone() + padded("select_and_scatter", &shape[i], 0, 0, self.strides[i] - 1)?))
                .collect::<Result<_, TypeError>>()?;
            let slice = Slice { start, limit, stride: self.strides.clone() };
            let (candidate, value) = (b.add(slice.clone(), &[x])?, b.add(slice, &[values])?);
            best = Some(match best {
                None => (candidate, value),
                Some((best, chosen)) => {
                    // larger, or the first NaN
                    let not_above = b.compare(Compare::LessEqual, candidate, best)?;
                    let is_number = b.compare(Compare::Equal, best, best)?;
                    let above = b.unary(Unary::Not, not_above)?;
                    let better = b.binary(Binary::And, above, is_number)?;
                    (b.select(better, candidate, best)?, b.select(better, value, chosen)?)
                }
            });
            // the next offset in row-major order
            let Some(axis) = (0..ty.rank()).rev().find(|&axis| offset[axis] + 1 < self.size[axis]) else { break };
            offset[axis] += 1;
            offset[axis + 1..].fill(0);
        }
        best.map(|(_, value)| value).ok_or_else(|| TypeError::new("select_and_scatter", "a window without elements"))
    }
}

impl Window {
    /// For each window position, in row-major order, the positions of the elements that lie in the window, in row-major order.
    fn elements<'a>(
        &'a self,
        shape: &'a [usize],
        windows: &'a [usize],
    ) -> Result<impl Iterator<Item = Vec<usize>> + 'a, String> {
        let own = strides(shape);
        let size = self.positions_below(1 << 28).ok_or_else(|| format!("windows of {:?} are too large", self.size))?;
        Ok((0..windows.iter().product()).map(move |window: usize| {
            let element = |offset: usize| {
                let (mut window, mut offset, mut position) = (window, offset, 0);
                for axis in (0..shape.len()).rev() {
                    let (w, o) = (window % windows[axis], offset % self.size[axis] as usize);
                    (window, offset) = (window / windows[axis], offset / self.size[axis] as usize);
                    let dilated =
                        w as i64 * self.strides[axis] - self.padding[axis].0 + o as i64 * self.window_dilation[axis];
                    let (p, between) =
                        (dilated.div_euclid(self.base_dilation[axis]), dilated.rem_euclid(self.base_dilation[axis]));
                    if between != 0 || !(0..shape[axis] as i64).contains(&p) {
                        return None;
                    }
                    position += p * own[axis];
                }
                Some(position as usize)
            };
            (0..size).filter_map(element).collect()
        }))
    }
}
