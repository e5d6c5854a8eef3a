//! Windows at positions that are data.

use super::write::{Ssa, Writer, array, dims, list, names, types};
use kc_ir::tensor::ops::{
    Binary, Compare, Gather, GatherMode, IndexedWindows, Scatter, ScatterKind, ScatterMode, WindowAxis,
};
use kc_ir::tensor::{Scalar, TypeError};
use kc_ir::{DType, Dim, TensorType};

impl Writer {
    /// Indices in a dtype in which positions can be computed.
    fn positions(&mut self, indices: &Ssa) -> Ssa {
        match indices.ty.dtype {
            DType::I32 | DType::I64 => indices.clone(),
            DType::U32 => self.convert(indices, DType::I64),
            DType::U64 => {
                let last = self.splat_like(indices, Scalar::Int(i64::MAX.into()));
                let bounded = self.same("minimum", &[indices.clone(), last]);
                self.convert(&bounded, DType::I64)
            }
            _ => self.convert(indices, DType::I32),
        }
    }

    /// For each component of the indices the last position at which a window lies in the operand, as a tensor like the indices.
    fn last_positions(&mut self, windows: &IndexedWindows, indices: &Ssa, operand: &TensorType, sizes: &[Dim]) -> Ssa {
        let dtype = indices.ty.dtype;
        let mut last = Vec::with_capacity(windows.index_map.len());
        for &axis in &windows.index_map {
            let bound = self.extent(&(operand.shape[axis].clone() - sizes[axis].clone()), dtype);
            last.push(self.typed("reshape", &[bound], "", TensorType { dtype, shape: vec![Dim::constant(1)] }));
        }
        let ty = TensorType { dtype, shape: vec![Dim::constant(last.len() as i64)] };
        let last = match last.as_slice() {
            [only] => only.clone(),
            all => self.typed("concatenate", all, "dim = 0", ty),
        };
        self.broadcast(&last, &indices.ty.shape, &[indices.ty.rank() - 1])
    }

    /// Whether each window lies in the operand: a bool for each index of the batch axes.
    fn lies_within(&mut self, windows: &IndexedWindows, indices: &Ssa, operand: &TensorType, sizes: &[Dim]) -> Ssa {
        let last = self.last_positions(windows, indices, operand, sizes);
        let zero = self.splat_like(indices, Scalar::Int(0));
        let (from, to) =
            (self.compare(Compare::GreaterEqual, indices, &zero), self.compare(Compare::LessEqual, indices, &last));
        let within = self.same(Binary::And.text(), &[from, to]);
        let rank = indices.ty.rank();
        let truth = self.scalar(DType::Bool, Scalar::Int(1));
        let ty = TensorType { dtype: DType::Bool, shape: indices.ty.shape[..rank - 1].to_vec() };
        let body = format!(
            "stablehlo.reduce({} init: {}) applies stablehlo.and across dimensions = [{}] : ({}) -> {}",
            within.name,
            truth.name,
            rank - 1,
            types(&[within.clone(), truth.clone()]),
            super::write::tensor_type(&ty)
        );
        self.assign(ty, &body)
    }

    pub(super) fn gather(&mut self, gather: &Gather, operand: &Ssa, indices: &Ssa, ty: TensorType) -> Ssa {
        let filler = |writer: &mut Writer| {
            let filler = writer.scalar(ty.dtype, gather.mode.filler(ty.dtype));
            writer.broadcast(&filler, &ty.shape, &[])
        };
        if ty.shape.iter().chain(&operand.ty.shape).any(|extent| extent.is(0)) {
            return filler(self);
        }
        let windows = &gather.windows;
        let indices = self.positions(indices);
        if windows.index_map.is_empty() && gather.mode != GatherMode::Clip {
            return self.gather_within(gather, operand, &indices, ty.clone());
        }
        let taken = self.gather_within(gather, operand, &indices, ty.clone());
        if gather.mode == GatherMode::Clip {
            return taken;
        }
        let within = self.lies_within(windows, &indices, &operand.ty, &gather.sizes);
        let within = self.broadcast(&within, &ty.shape, &windows.batch_axes(ty.rank()));
        let filler = filler(self);
        self.select(&within, &taken, &filler)
    }

    /// XLA moves windows that do not lie in the operand to the nearest place that does.
    fn gather_within(&mut self, gather: &Gather, operand: &Ssa, indices: &Ssa, ty: TensorType) -> Ssa {
        let windows = &gather.windows;
        let (operand_batch, indices_batch) = batch_pairs(windows);
        let operands = [operand.clone(), indices.clone()];
        let body = format!(
            "\"stablehlo.gather\"({}) <{{dimension_numbers = #stablehlo.gather<offset_dims = [{}], collapsed_slice_dims = [{}], \
             operand_batching_dims = [{}], start_indices_batching_dims = [{}], start_index_map = [{}], index_vector_dim = {}>, \
             indices_are_sorted = false, slice_sizes = array<i64: {}>}}> : ({}) -> {}",
            names(&operands),
            list(&windows.offset),
            list(&windows.collapsed),
            list(operand_batch),
            list(indices_batch),
            list(&windows.index_map),
            indices.ty.rank() - 1,
            dims(&gather.sizes),
            types(&operands),
            super::write::tensor_type(&ty)
        );
        let body = if gather.sizes.is_empty() {
            body.replace("slice_sizes = array<i64: >", &format!("slice_sizes = {}", array::<i64>([])))
        } else {
            body
        };
        self.assign(ty, &body)
    }

    pub(super) fn scatter(&mut self, scatter: &Scatter, operands: &[Ssa]) -> Result<Ssa, TypeError> {
        let [operand, indices, updates] = operands else {
            return Err(TypeError::new("scatter", "expected three operands"));
        };
        if updates.ty.shape.iter().chain(&operand.ty.shape).any(|extent| extent.is(0)) {
            return Ok(operand.clone());
        }
        let windows = &scatter.windows;
        let dtype = operand.ty.dtype;
        let wide = scatter.kind.reduction().map_or(dtype, |kind| Writer::accumulator(kind, dtype));
        let mut indices = self.positions(indices);
        if scatter.mode == ScatterMode::Clip && !windows.index_map.is_empty() {
            // XLA leaves out what does not lie in the operand
            let sizes = windows.sizes(operand.ty.rank(), &updates.ty.shape);
            let last = self.last_positions(windows, &indices, &operand.ty, &sizes);
            let zero = self.splat_like(&indices, Scalar::Int(0));
            indices = self.same("minimum", &[indices, last]);
            indices = self.same("maximum", &[indices, zero]);
        }
        let operands = [self.convert(operand, wide), indices, self.convert(updates, wide)];
        let (operand_batch, indices_batch) = batch_pairs(windows);
        // the axes of the operand that updates lack and that are no batch axes
        let inserted: Vec<usize> = windows
            .axes(operand.ty.rank(), updates.ty.rank())
            .into_iter()
            .enumerate()
            .filter(|(_, axis)| matches!(axis, WindowAxis::Window { offset: None, .. }))
            .map(|(axis, _)| axis)
            .collect();
        let head = format!(
            "\"stablehlo.scatter\"({}) <{{scatter_dimension_numbers = #stablehlo.scatter<update_window_dims = [{}], \
             inserted_window_dims = [{}], input_batching_dims = [{}], scatter_indices_batching_dims = [{}], \
             scatter_dims_to_operand_dims = [{}], index_vector_dim = {}>, indices_are_sorted = false, unique_indices = false}}>",
            names(&operands),
            list(&windows.offset),
            list(inserted),
            list(operand_batch),
            list(indices_batch),
            list(&windows.index_map),
            operands[1].ty.rank() - 1,
        );
        let scalars = vec![TensorType::scalar(wide); 2];
        let mut combine = |writer: &mut Writer, values: &[Ssa]| {
            Ok::<_, TypeError>(vec![match scatter.kind {
                ScatterKind::Set => values[1].clone(),
                ScatterKind::Add => writer.same("add", values),
                ScatterKind::Multiply => writer.same("multiply", values),
                ScatterKind::Maximum => writer.same("maximum", values),
                ScatterKind::Minimum => writer.same("minimum", values),
            }])
        };
        let result = [operands[0].ty.clone()];
        let values = self.with_regions(&head, &types(&operands), &result, &mut [(&scalars, &mut combine)])?;
        Ok(self.convert(&values[0], dtype))
    }
}

/// The batch axes of operand and indices, in the operand's order.
fn batch_pairs(windows: &IndexedWindows) -> (Vec<usize>, Vec<usize>) {
    let mut pairs: Vec<(usize, usize)> =
        windows.operand_batch.iter().copied().zip(windows.indices_batch.iter().copied()).collect();
    pairs.sort_unstable();
    pairs.into_iter().unzip()
}
