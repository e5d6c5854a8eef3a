//! The right operand of a contraction in blocks that is the same in each call: it is copied once, into the order in which it is read.

use super::super::emit::{Emitter, Unsuited};
use super::super::map::divide;
use super::Plan;
use super::cut::Blocks;
use super::groups::{Columns, whole};
use kc_ir::kernel::{Access, Index, Kernel, MemoryId};
use kc_ir::tensor::{Graph, Value};
use kc_ir::{DType, Dim, TensorType};

/// A contraction's right operand in the order in which register tiles read it: for each value of the variables that are in the result
/// too, for each panel of columns, for each group of summed values (mostly of one) the panel's columns; behind the last column zeros, and
/// where the innermost summed values fill no group.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::schedule) struct Packing {
    /// The value whose buffer has the operand.
    pub base: Value,
    dtype: DType,
    lanes: u32,
    /// Summed values of the innermost variable that lie together.
    group: i64,
    /// Position of the first element in that buffer.
    offset: i64,
    /// Extents and steps of the variables that are in the result too, then of the summed ones.
    both: Vec<(i64, i64)>,
    summed: Vec<(i64, i64)>,
    columns: i64,
    /// Columns of a panel.
    width: i64,
}

impl Packing {
    /// How the right operand of a contraction is packed that is cut into these blocks; `None` where an extent is unknown.
    pub(super) fn of(plan: &Plan, blocks: &Blocks) -> Option<Self> {
        let extent_and_step = |&v: &usize| {
            let variable = &plan.form.variables[v];
            Some((variable.extent.as_constant()?, variable.right.as_constant()?))
        };
        Some(Packing {
            base: plan.form.right.base,
            dtype: plan.factors[1],
            lanes: blocks.lanes,
            group: blocks.group,
            offset: plan.form.right.offset.as_constant()?,
            both: blocks.both.iter().map(extent_and_step).collect::<Option<_>>()?,
            summed: plan.summed().iter().map(extent_and_step).collect::<Option<_>>()?,
            columns: plan.extent(plan.vector).as_constant()?,
            width: blocks.width(),
        })
    }

    /// Elements of a panel.
    fn panel(&self) -> i64 {
        self.width * padded(self.summed.iter().map(|(extent, _)| *extent), self.group)
    }

    fn panels(&self) -> i64 {
        (self.columns + self.width - 1) / self.width
    }

    /// The type of the packed operand.
    pub(in crate::schedule) fn ty(&self) -> TensorType {
        let both: i64 = self.both.iter().map(|(extent, _)| extent).product();
        TensorType { dtype: self.dtype, shape: vec![Dim::constant(both * self.panels() * self.panel())] }
    }

    /// The variables of a contraction with their steps in the packed operand.
    pub(super) fn apply(&self, plan: &mut Plan, blocks: &Blocks) {
        let mut step = self.width;
        let mut unit = self.group;
        for v in plan.summed().into_iter().rev() {
            let variable = &mut plan.form.variables[v];
            variable.right = Dim::constant(step);
            step *= whole(variable.extent.as_constant().unwrap_or(1), unit);
            unit = 1;
        }
        step *= self.panels();
        for &v in blocks.both.iter().rev() {
            let variable = &mut plan.form.variables[v];
            variable.right = Dim::constant(step);
            step *= variable.extent.as_constant().unwrap_or(1);
        }
        plan.form.right.offset = Dim::default();
    }

    /// The kernel that packs: it reads its first buffer and writes its second.
    pub(in crate::schedule) fn kernel(&self, graph: &Graph, name: &str) -> Result<(Kernel, Dim), Unsuited> {
        const ELEMENTS_PER_TASK: i64 = 1 << 16;
        let buffers = [("operand", Access::Read), ("packed", Access::Write)];
        let buffers = buffers.map(|(name, access)| (name.to_string(), self.dtype, access));
        let mut em = Emitter::new(graph, name, &buffers);
        let [operand, packed] = [MemoryId(0), MemoryId(1)];
        let extents = self.both.iter().map(|(extent, _)| *extent).chain([self.panels()]);
        let units: Vec<Dim> = extents.map(Dim::constant).collect();
        let per_task = (ELEMENTS_PER_TASK / self.panel()).max(1);
        let (tasks, first, length) = divide(&mut em, &units.iter().cloned().product(), per_task);
        let end = em.hold(first.clone() + length);
        em.for_each(first, end, 1, |em, unit| {
            let to = em.hold(unit.clone() * self.panel());
            let mut indices = em.unravel(&units, unit);
            let column = em.hold(indices.pop().unwrap_or(Index::Constant(0)) * self.width);
            let start = column.clone() + Index::Constant(self.offset);
            let from = indices.iter().zip(&self.both).fold(start, |at, (index, (_, step))| at + index.clone() * *step);
            let from = em.hold(from);
            let is_whole = self.columns % self.width == 0;
            let rest = em.hold(Index::Constant(self.columns) - column);
            let columns = Columns {
                memory: [operand, packed],
                lanes: self.lanes,
                width: self.width,
                group: self.group,
                rest: (!is_whole).then_some(rest),
            };
            self.lines(em, &self.summed, [from, to], &columns)
        })?;
        Ok((em.b.finish(0), tasks))
    }

    /// Copies the columns of all summed values, of which the first lie at these positions of the operand and of the packed one.
    fn lines(
        &self,
        em: &mut Emitter,
        summed: &[(i64, i64)],
        [from, to]: [Index; 2],
        columns: &Columns,
    ) -> Result<(), Unsuited> {
        match summed {
            [] => columns.copy(em, [from, to], &Index::Constant(0), None),
            [(extent, step)] => columns.copy_lines(em, [from, to], Index::Constant(*extent), Index::Constant(*step))?,
            [(extent, step), rest @ ..] => {
                let packed_step = padded(rest.iter().map(|(extent, _)| *extent), self.group) * self.width;
                em.for_each(0, *extent, 1, |em, value| {
                    let from = em.hold(from + value.clone() * *step);
                    let to = em.hold(to + value * packed_step);
                    self.lines(em, rest, [from, to], columns)
                })?;
            }
        }
        Ok(())
    }
}

/// How many values variables have together, the innermost last, whose values are whole groups.
fn padded(extents: impl DoubleEndedIterator<Item = i64>, group: i64) -> i64 {
    let mut unit = group;
    extents.rev().fold(1, |product, extent| product * whole(extent, std::mem::replace(&mut unit, 1)))
}
