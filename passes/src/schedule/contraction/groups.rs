//! Groups of neighbouring summed values, whose products one instruction adds ([`MultiplyAddGroups`](kc_ir::kernel::Instruction)): where register
//! tiles read the right operand, each column has its values of a group side by side.

use super::super::emit::{Emitter, Unsuited};
use super::Plan;
use crate::Target;
use kc_ir::DType;
use kc_ir::kernel::{Half, Index, MemoryId, Register};
use kc_ir::tensor::Scalar;
use kc_ir::tensor::ops::Binary;

/// The least multiple of `group` from `extent` on.
pub(super) fn whole(extent: i64, group: i64) -> i64 {
    (extent + group - 1) / group * group
}

/// The same of an index.
pub(super) fn whole_index(em: &mut Emitter, extent: &Index, group: i64) -> Index {
    match extent.as_constant() {
        Some(n) => Index::Constant(whole(n, group)),
        None if group == 1 => extent.clone(),
        None => em.hold((extent.clone() + (group - 1)).floor_div(group) * group),
    }
}

impl Plan<'_> {
    /// How many neighbours of the innermost summed variable are multiplied at once; 1 where each is by itself.
    pub(super) fn group(&self, target: &Target) -> i64 {
        match (self.factors, self.dtype) {
            ([DType::Bf16, DType::Bf16], _) if target.groups.contains(&DType::Bf16) => 2,
            ([DType::I8, DType::I8 | DType::U8] | [DType::U8, DType::I8], DType::I32)
                if target.groups.contains(&DType::I8) =>
            {
                4
            }
            _ => 1,
        }
    }

    /// Whether both factors are signed 8-bit integers: of the pairs that are multiplied one is unsigned, so that the left factors are
    /// moved by [`OFFSET`], and what that adds is taken from the sums.
    pub(super) fn is_offset(&self) -> bool {
        self.factors == [DType::I8; 2]
    }
}

/// What is added to signed factors that are to be unsigned.
pub(super) const OFFSET: i64 = 128;

/// Signed 8-bit integers and [`OFFSET`], unsigned.
pub(super) fn offset(em: &mut Emitter, x: Register) -> Register {
    let lanes = em.b.register_type(x).lanes;
    let bits = em.b.bitcast(DType::U8, x);
    let offset = em.b.constant(DType::U8, lanes, Scalar::Int(OFFSET.into()));
    em.b.binary(Binary::Xor, bits, offset)
}

/// Lines whose elements lie in turns: those of the first position of all lines, then those of the second.
pub(super) fn woven(em: &mut Emitter, lines: &[Register]) -> Vec<Register> {
    if lines.len() < 2 {
        return lines.to_vec();
    }
    let [even, odd] = [0, 1].map(|first| lines.iter().copied().skip(first).step_by(2).collect::<Vec<_>>());
    let (even, odd) = (woven(em, &even), woven(em, &odd));
    let pairs = even.into_iter().zip(odd);
    pairs.flat_map(|(a, b)| [Half::Low, Half::High].map(|half| em.b.interleave(half, a, b))).collect()
}

/// The columns of a panel, which are copied from a matrix.
pub(super) struct Columns {
    /// What is read and what is written.
    pub memory: [MemoryId; 2],
    pub lanes: u32,
    /// Columns of the panel.
    pub width: i64,
    pub group: i64,
    /// Columns that there are, where these may be fewer: the others are 0.
    pub rest: Option<Index>,
}

impl Columns {
    /// Copies a group of lines that are `step` apart; of the lines, where `lines` may be fewer than a group, the others are 0.
    pub fn copy(&self, em: &mut Emitter, [from, to]: [Index; 2], step: &Index, lines: Option<&Index>) {
        for offset in (0..self.width).step_by(self.lanes as usize) {
            let rest = self.rest.as_ref().map(|rest| rest.clone() - Index::Constant(offset));
            let loaded: Vec<Register> = (0..self.group)
                .map(|line| {
                    let there = lines.map(|lines| (lines.clone() - Index::Constant(line)) * i64::from(self.lanes));
                    let count = match (rest.clone(), there) {
                        (Some(rest), Some(there)) => Some(rest.min(there)),
                        (rest, there) => rest.or(there),
                    };
                    em.b.load(self.memory[0], from.clone() + step.clone() * line + offset, self.lanes, count)
                })
                .collect();
            for (number, vector) in (0..).zip(woven(em, &loaded)) {
                let at = to.clone() + (offset * self.group + number * i64::from(self.lanes));
                em.b.store(self.memory[1], at, vector, None);
            }
        }
    }

    /// Copies so many lines.
    pub fn copy_lines(
        &self,
        em: &mut Emitter,
        [from, to]: [Index; 2],
        lines: Index,
        step: Index,
    ) -> Result<(), Unsuited> {
        for_groups(em, &lines, self.group, &[], |em, line, rest, _| {
            let from = em.hold(from.clone() + line.clone() * step.clone());
            let to = em.hold(to.clone() + line * self.width);
            self.copy(em, [from, to], &step, rest.as_ref());
            Ok(vec![])
        })?;
        Ok(())
    }
}

/// A loop over groups of values that carries registers: with the first value, and, where the group may have fewer values, their number.
pub(super) fn for_groups(
    em: &mut Emitter,
    extent: &Index,
    group: i64,
    initial: &[Register],
    mut body: impl FnMut(&mut Emitter, Index, Option<Index>, &[Register]) -> Result<Vec<Register>, Unsuited>,
) -> Result<Vec<Register>, Unsuited> {
    let whole = match extent.as_constant() {
        Some(n) => Index::Constant(n / group * group),
        None if group == 1 => extent.clone(),
        None => em.hold(extent.clone().floor_div(group) * group),
    };
    let mut carried = initial.to_vec();
    if whole.as_constant() != Some(0) {
        carried =
            em.for_carrying(0, whole.clone(), group, &carried, |em, value, carried| body(em, value, None, carried))?;
    }
    if whole != *extent {
        carried = em.for_carrying(whole, extent.clone(), group, &carried, |em, value, carried| {
            let rest = em.hold(extent.clone() - value.clone());
            body(em, value, Some(rest), carried)
        })?;
    }
    Ok(carried)
}
