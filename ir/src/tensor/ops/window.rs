//! Reductions over sliding windows.

use super::{Operation, Reduction, arity, one_per_axis, one_tensor, tensor};
use crate::tensor::{Type, TypeError};
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
}
