//! Gathers and scatters, at any positions.

use super::{Generator, Made};
use kc_ir::tensor::ops::*;
use kc_ir::tensor::{TypeError, Value};
use kc_ir::{DType, Dim, TensorType};

impl Generator {
    /// Windows into a tensor, their extents, and the shape of the indices.
    fn windows(&mut self, ty: &TensorType) -> (IndexedWindows, Vec<Dim>, Vec<Dim>) {
        let rank = ty.rank();
        let (mut collapsed, mut operand_batch, mut index_map, mut offset) = (vec![], vec![], vec![], 0);
        let mut sizes = vec![];
        for axis in 0..rank {
            let extent = ty.shape[axis].clone();
            let kind = self.random.below(10);
            if kind < 2 {
                operand_batch.push(axis);
                sizes.push(Dim::constant(1));
                continue;
            }
            if kind < 7 {
                index_map.push(axis);
            }
            if kind < 5 {
                collapsed.push(axis);
                sizes.push(Dim::constant(1));
                continue;
            }
            offset += 1;
            sizes.push(match extent.as_constant() {
                Some(extent) if extent > 0 && self.random.chance(50) => Dim::constant(self.random.between(1, extent)),
                _ => extent,
            });
        }
        let index_map = self.random.shuffled(index_map);
        // the batch axes of the indices: those of the operand in any order, and others
        let mut batch: Vec<Option<usize>> = operand_batch.iter().map(|&axis| Some(axis)).collect();
        let others = if batch.len() < 2 { self.random.below(3) } else { 0 };
        batch.extend(vec![None; others]);
        let batch = self.random.shuffled(batch);
        let place = |axis: &usize| batch.iter().position(|other| *other == Some(*axis)).unwrap_or(0);
        let indices_batch = operand_batch.iter().map(place).collect();
        let mut indices = vec![];
        for axis in &batch {
            indices.push(match axis {
                Some(axis) => ty.shape[*axis].clone(),
                None => self.extent(),
            });
        }
        let axes = self.random.shuffled((0..batch.len() + offset).collect());
        let mut offset = axes[..offset].to_vec();
        offset.sort_unstable();
        indices.push(Dim::constant(index_map.len() as i64));
        (IndexedWindows { offset, collapsed, operand_batch, indices_batch, index_map }, sizes, indices)
    }

    /// Integers of that shape: an argument, or computed.
    fn indices(&mut self, shape: Vec<Dim>) -> Result<Value, TypeError> {
        let dtype = self.random.pick(&[DType::I32, DType::I32, DType::I64, DType::U8, DType::I8]);
        self.of_type(&TensorType { dtype, shape })
    }

    pub(super) fn gather(&mut self) -> Made {
        let x = self.any();
        let (windows, sizes, shape) = self.windows(&self.ty(x));
        let indices = self.indices(shape)?;
        let mode = self.random.pick(&[GatherMode::Clip, GatherMode::Zero, GatherMode::Invalid]);
        self.builder.add(Gather { windows, sizes, mode }, &[x, indices]).map(Some)
    }

    pub(super) fn scatter(&mut self) -> Made {
        let x = self.any();
        let ty = self.ty(x);
        let (windows, sizes, shape) = self.windows(&ty);
        let indices = self.indices(shape)?;
        // a gather of these windows has the shape of the updates
        let gather = Gather { windows: windows.clone(), sizes, mode: GatherMode::Clip };
        let before = self.builder.clone();
        let gathered = self.builder.add(gather, &[x, indices])?;
        let shape = self.ty(gathered).shape;
        self.builder = before;
        let updates = self.of_type(&TensorType { dtype: ty.dtype, shape })?;
        let kind = self.random.pick(&[
            ScatterKind::Set,
            ScatterKind::Add,
            ScatterKind::Add,
            ScatterKind::Multiply,
            ScatterKind::Maximum,
            ScatterKind::Minimum,
        ]);
        let mode = self.random.pick(&[ScatterMode::Clip, ScatterMode::Drop]);
        self.builder.add(Scatter { kind, windows, mode }, &[x, indices, updates]).map(Some)
    }
}
