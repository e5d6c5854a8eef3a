//! Reductions over sliding windows, and running reductions, which are such.

use super::write::{Ssa, Writer, array, dim, dims, list, names, types};
use kc_ir::tensor::ops::{Binary, Compare, Cumulative, Reduction, Window};
use kc_ir::tensor::{Scalar, TypeError, integer_range};
use kc_ir::{Dim, TensorType};

/// The windows of XLA, whose extents may be the program's.
struct Windows {
    size: Vec<Dim>,
    strides: Vec<i64>,
    padding: Vec<(Dim, Dim)>,
    base_dilation: Vec<i64>,
    window_dilation: Vec<i64>,
}

impl From<&Window> for Windows {
    fn from(window: &Window) -> Self {
        Windows {
            size: window.size.iter().copied().map(Dim::constant).collect(),
            strides: window.strides.clone(),
            padding: window.padding.iter().map(|&(low, high)| (Dim::constant(low), Dim::constant(high))).collect(),
            base_dilation: window.base_dilation.clone(),
            window_dilation: window.window_dilation.clone(),
        }
    }
}

impl Windows {
    fn padding_text(&self) -> String {
        let pairs = list(self.padding.iter().map(|(low, high)| format!("[{}, {}]", dim(low), dim(high))));
        format!("dense<[{pairs}]> : tensor<{}x2xi64>", self.padding.len())
    }
}

impl Writer {
    pub(super) fn reduce_window(
        &mut self,
        kind: Reduction,
        window: &Window,
        x: &Ssa,
        ty: TensorType,
    ) -> Result<Ssa, TypeError> {
        self.windows(kind, &window.into(), x, ty)
    }

    fn windows(&mut self, kind: Reduction, windows: &Windows, x: &Ssa, ty: TensorType) -> Result<Ssa, TypeError> {
        if windows.size.is_empty() {
            return Ok(x.clone());
        }
        let wide = Writer::accumulator(kind, ty.dtype);
        let operands = [self.convert(x, wide), self.neutral(kind, wide)];
        let head = format!(
            "\"stablehlo.reduce_window\"({}) <{{base_dilations = {}, padding = {}, window_dilations = {}, window_dimensions = array<i64: {}>, \
             window_strides = {}}}>",
            names(&operands),
            array(&windows.base_dilation),
            windows.padding_text(),
            array(&windows.window_dilation),
            dims(&windows.size),
            array(&windows.strides),
        );
        let scalars = vec![TensorType::scalar(wide); 2];
        let mut combine = |writer: &mut Writer, values: &[Ssa]| Ok(vec![writer.same(Writer::reducer(kind), values)]);
        let result = [TensorType { dtype: wide, shape: ty.shape.clone() }];
        let values = self.with_regions(&head, &types(&operands), &result, &mut [(&scalars, &mut combine)])?;
        Ok(self.convert(&values[0], ty.dtype))
    }

    /// Windows over all elements up to each, or from each on.
    pub(super) fn cumulative(&mut self, cumulative: &Cumulative, x: &Ssa) -> Result<Ssa, TypeError> {
        let rank = x.ty.rank();
        let extent = x.ty.shape[cumulative.axis].clone();
        if extent.is(0) {
            return Ok(x.clone());
        }
        let before = extent.clone() - Dim::constant(1);
        let one_axis = |value: Dim, otherwise: i64| {
            let mut all = vec![Dim::constant(otherwise); rank];
            all[cumulative.axis] = value;
            all
        };
        let (low, high) = if cumulative.reverse { (Dim::constant(0), before) } else { (before, Dim::constant(0)) };
        let windows = Windows {
            size: one_axis(extent, 1),
            strides: vec![1; rank],
            padding: one_axis(low, 0).into_iter().zip(one_axis(high, 0)).collect(),
            base_dilation: vec![1; rank],
            window_dilation: vec![1; rank],
        };
        self.windows(cumulative.kind, &windows, x, x.ty.clone())
    }

    /// Windows that are dilated are expanded before.
    pub(super) fn select_and_scatter(&mut self, window: &Window, operands: &[Ssa]) -> Result<Ssa, TypeError> {
        let (x, source) = (&operands[0], &operands[1]);
        if window.size.is_empty() {
            return Ok(source.clone());
        }
        let dtype = x.ty.dtype;
        let wide = Writer::accumulator(Reduction::Sum, dtype);
        // a tensor without padding: XLA's own padding would be chosen in a window that lies in nothing else
        let lowest =
            if wide.is_float() { Scalar::Float(f64::NEG_INFINITY) } else { Scalar::Int(integer_range(wide).0) };
        let (low, high): (Vec<i64>, Vec<i64>) = window.padding.iter().copied().unzip();
        let padded = low.iter().chain(&high).any(|&padding| padding != 0);
        let mut given = self.convert(x, wide);
        if padded {
            let lowest = self.scalar(wide, lowest);
            let shape = (0..low.len()).map(|axis| x.ty.shape[axis].clone() + Dim::constant(low[axis] + high[axis]));
            let ty = TensorType { dtype: wide, shape: shape.collect() };
            let attributes =
                format!("low = [{}], high = [{}], interior = [{}]", list(&low), list(&high), list(vec![0; low.len()]));
            given = self.typed("pad", &[given, lowest], &attributes, ty);
        }
        let zero = if wide.is_float() { Scalar::Float(0.0) } else { Scalar::Int(0) };
        let operands = [given.clone(), self.convert(source, wide), self.scalar(wide, zero)];
        let head = format!(
            "\"stablehlo.select_and_scatter\"({}) <{{padding = dense<0> : tensor<{}x2xi64>, window_dimensions = {}, window_strides = {}}}>",
            names(&operands),
            low.len(),
            array(&window.size),
            array(&window.strides),
        );
        let scalars = vec![TensorType::scalar(wide); 2];
        // the first largest; a NaN is larger than all numbers
        let mut select = |writer: &mut Writer, values: &[Ssa]| {
            let kept = writer.compare(Compare::GreaterEqual, &values[0], &values[1]);
            if !wide.is_float() {
                return Ok(vec![kept]);
            }
            let is_nan = writer.compare(Compare::NotEqual, &values[0], &values[0]);
            Ok(vec![writer.same(Binary::Or.text(), &[kept, is_nan])])
        };
        let mut add = |writer: &mut Writer, values: &[Ssa]| Ok(vec![writer.same("add", values)]);
        let result = [given.ty.clone()];
        let values = self.with_regions::<TypeError>(
            &head,
            &types(&operands),
            &result,
            &mut [(&scalars, &mut select), (&scalars, &mut add)],
        )?;
        let mut result = values[0].clone();
        if padded {
            // what was given to the padding is left out
            let (low, high) = (low.iter().map(|&low| -low), high.iter().map(|&high| -high));
            let attributes =
                format!("low = [{}], high = [{}], interior = [{}]", list(low), list(high), list(vec![0; x.ty.rank()]));
            let ty = TensorType { dtype: wide, shape: x.ty.shape.clone() };
            let zero = operands[2].clone();
            result = self.typed("pad", &[result, zero], &attributes, ty);
        }
        Ok(self.convert(&result, dtype))
    }
}
