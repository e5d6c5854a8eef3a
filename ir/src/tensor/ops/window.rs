//! Reductions over sliding windows.

use super::{Backward, Compare, Cotangents, Operation, Reduction, Unary, arity, one_per_axis, one_tensor, tensor};
use crate::tensor::interpret::{Array, Data, Evaluation, strides};
use crate::tensor::{Builder, Scalar, Type, TypeError};
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
    let reach = if size == 0 { 0 } else { (size - 1) * window_dilation + 1 };
    let padded = super::movement::padded(op, extent, low, high, base_dilation - 1)?;
    let free = padded.clone() - Dim::constant(reach);
    // single positions there may be none of
    if reach > 1 && free.as_constant().is_some_and(|free| free < 0) {
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
    /// [`SelectAndScatter`]; of a product by the products of all other elements of the window.
    fn gradient(&self, b: &mut Builder, at: &Backward<'_>) -> Result<Cotangents, TypeError> {
        let (x, g) = (at.operands[0], at.cotangent("reduce_window")?);
        let cotangent = match self.kind {
            Reduction::Sum => self.window.spread(b, x, g)?,
            Reduction::Max => b.add(SelectAndScatter { window: self.window.clone() }, &[x, g])?,
            Reduction::Min => {
                let negated = b.unary(Unary::Negate, x)?;
                b.add(SelectAndScatter { window: self.window.clone() }, &[negated, g])?
            }
            Reduction::Product => self.window.product_cotangent(b, x, g)?,
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
