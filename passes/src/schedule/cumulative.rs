//! Kernels of running reductions and recurrences: one pass along the axis, lines side by side in the lanes where they lie so.

use super::emit::{At, Coordinate, Emitter, Unsuited};
use super::functions;
use super::loops::Stored;
use super::map::nominal;
use super::roots::over_result;
use kc_ir::Dim;
use kc_ir::kernel::Register;
use kc_ir::tensor::ops::*;
use kc_ir::tensor::{Op, Value};

/// Vectors that are computed side by side.
const VECTORS: u32 = 4;

/// The running values of an op along its axis, and what else the cluster computes of them.
pub(super) fn running(em: &mut Emitter, lanes: u32, op: Value, outputs: &[Stored]) -> Result<Dim, Unsuited> {
    let node = em.graph.node(op);
    let (axis, reverse, start) = match &node.op {
        Op::Cumulative(cumulative) => (cumulative.axis, cumulative.reverse, cumulative.kind),
        Op::Recurrence(recurrence) => (recurrence.axis, recurrence.reverse, Reduction::Sum),
        _ => return Err(Unsuited),
    };
    let ty = em.ty(op);
    let mut lines = ty.shape.clone();
    let extent = lines.remove(axis);
    // a step along the axis reads whole lines of the cache
    let wide = i64::from(lanes * VECTORS);
    let is_whole = |extent: &Dim| extent.as_constant().is_some_and(|extent| extent % wide == 0);
    let lanes = if lanes > 1 && lines.last().is_some_and(is_whole) { lanes * VECTORS } else { lanes };
    over_result(em, lanes, &lines, nominal(&extent), |em, line| {
        let length = em.extent(&extent);
        let start = em.neutral(start, ty.dtype);
        em.for_carrying(0, length.clone(), 1, &[start], |em, round, carried| {
            let position = if reverse { em.hold(length + round * -1 + -1) } else { round };
            let mut coordinates = line.clone();
            coordinates.insert(axis, Coordinate::fixed(position));
            let at = At::Multi(coordinates);
            let next = next(em, &node.op, &node.operands, &at, carried[0])?;
            em.bind(op, at.clone(), next);
            em.store_all(outputs, &at)?;
            Ok(vec![next])
        })?;
        Ok(())
    })
}

/// The value at an index from the one before.
fn next(em: &mut Emitter, op: &Op, operands: &[Value], at: &At, last: Register) -> Result<Register, Unsuited> {
    let first = em.value(operands[0], at)?;
    match op {
        Op::Cumulative(cumulative) => Ok(em.combine(cumulative.kind, last, first)),
        Op::Recurrence(_) => {
            let addend = em.value(operands[1], at)?;
            let product = functions::binary(&mut em.b, Binary::Multiply, first, last);
            Ok(functions::binary(&mut em.b, Binary::Add, product, addend))
        }
        _ => Err(Unsuited),
    }
}
