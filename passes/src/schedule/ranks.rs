//! Sorts without the runtime's library, for GPUs: an element's place is the number of those before it. Each is compared with each, all lanes
//! at once, so that a line of `n` elements takes about `2*n*n` operations of lanes; no order of threads is seen in the result.

use super::emit::{At, Coordinate, Emitter, Unsuited};
use super::library::{number, workspace};
use super::loops::Stored;
use super::map::divide;
use kc_ir::kernel::{Index, Instruction, MemoryId, Register};
use kc_ir::tensor::Op;
use kc_ir::tensor::Scalar;
use kc_ir::tensor::Value;
use kc_ir::tensor::ops::*;
use kc_ir::{DType, Dim};

/// Sorts: each line's keys are copied side by side, ranks are computed beside them, and each place takes the element of its rank.
pub(super) fn sort(
    em: &mut Emitter,
    lanes: u32,
    op: Value,
    outputs: &[Stored],
    temporaries: &[MemoryId],
    scratch_bytes: i64,
) -> Result<Dim, Unsuited> {
    let node = em.graph.node(op);
    let first = em.ty(node.operands[0]);
    let (axis, keys, direction, taken) = match &node.op {
        Op::Sort(sort) => (sort.axis, sort.keys, sort.direction, first.shape[sort.axis].clone()),
        Op::TopK(top) => (first.rank() - 1, 1, Direction::Descending, Dim::constant(top.k as i64)),
        _ => return Err(Unsuited),
    };
    let space = workspace(em.graph, op).ok_or(Unsuited)?;
    let scratch = space.declare(em, scratch_bytes);
    let memory = scratch.as_deref().unwrap_or(temporaries).to_vec();
    let mut others = first.shape.clone();
    others.remove(axis);
    let (tasks, line, _) = divide(em, &space.lines, 1);
    let (length, taken) = (em.extent(&space.length), em.extent(&taken));
    let place = match scratch {
        Some(_) => Index::Constant(0),
        None => em.hold(line.clone() * length.clone()),
    };
    let fixed: Vec<Coordinate> = em.unravel(&others, line).into_iter().map(Coordinate::fixed).collect();
    let at = |along: Coordinate| {
        let mut coordinates = fixed.clone();
        coordinates.insert(axis, along);
        At::Multi(coordinates)
    };
    let positions = |em: &mut Emitter, dtype: DType, index: Index, step: i64| {
        let lanes = em.lanes;
        em.b.instruction(dtype, lanes, Instruction::Position { index, step })
    };
    let splat = |em: &mut Emitter, memory: MemoryId, position: Index| {
        let (scalar, lanes) = (em.b.load(memory, position, 1, None), em.lanes);
        em.b.splat(lanes, scalar)
    };
    let zero = Index::Constant(0);
    em.vector_loop(lanes, zero.clone(), length.clone(), &[], |em, position, _| {
        for (key, &memory) in memory.iter().enumerate().take(keys) {
            let value = em.value(node.operands[key], &at(Coordinate::lanes(position.clone())))?;
            em.b.store(memory, place.clone() + position.clone(), value, em.count.clone());
        }
        Ok(vec![])
    })?;
    em.vector_loop(lanes, zero.clone(), length.clone(), &[], |em, position, _| {
        let here = place.clone() + position.clone();
        let own: Vec<Register> =
            memory[..keys].iter().map(|&key| em.b.load(key, here.clone(), em.lanes, em.count.clone())).collect();
        let own_position = positions(em, DType::U64, position, 1);
        let [none, one] = [0, 1].map(|value| em.b.constant(DType::U64, em.lanes, Scalar::Int(value)));
        let rank = em.for_carrying(0, length.clone(), 1, &[none], |em, other, ranks| {
            let other_position = positions(em, DType::U64, other.clone(), 0);
            // what is equal in all keys keeps its order
            let mut is_before = em.b.compare(Compare::Less, other_position, own_position);
            for (&key, &own) in memory[..keys].iter().zip(&own).rev() {
                let other = splat(em, key, place.clone() + other.clone());
                let [before, after] = [(other, own), (own, other)].map(|(a, b)| precedes(em, direction, a, b));
                let not_after = em.b.unary(Unary::Not, after);
                let equal = em.b.binary(Binary::And, not_after, is_before);
                is_before = em.b.binary(Binary::Or, before, equal);
            }
            let counted = em.b.select(is_before, one, none);
            Ok(vec![em.b.binary(Binary::Add, ranks[0], counted)])
        })?;
        em.b.store(memory[keys], here, rank[0], em.count.clone());
        Ok(vec![])
    })?;
    em.vector_loop(lanes, zero, taken, &[], |em, place_taken, _| {
        let wanted = positions(em, DType::U64, place_taken.clone(), 1);
        let initial: Vec<Register> = outputs
            .iter()
            .map(|output| {
                let dtype = em.ty(output.value).dtype;
                let zero = if dtype.is_float() { Scalar::Float(0.0) } else { Scalar::Int(0) };
                em.b.constant(dtype, em.lanes, zero)
            })
            .collect();
        let found = em.for_carrying(0, length.clone(), 1, &initial, |em, from, found| {
            let rank = splat(em, memory[keys], place.clone() + from.clone());
            let is_it = em.b.compare(Compare::Equal, rank, wanted);
            let mut next = vec![];
            for (output, &found) in outputs.iter().zip(found) {
                let value = match (&node.op, number(em.graph, output.value)) {
                    (Op::TopK(_), 1) => positions(em, DType::I32, from.clone(), 0),
                    (_, number) => em.value(node.operands[number], &at(Coordinate::fixed(from.clone())))?,
                };
                next.push(em.b.select(is_it, value, found));
            }
            Ok(next)
        })?;
        for (output, value) in outputs.iter().zip(found) {
            em.store(output.memory, output.shape, &at(Coordinate::lanes(place_taken.clone())), value)?;
        }
        Ok(vec![])
    })?;
    Ok(tasks)
}

/// Whether `a` comes before `b` by one key: NaN is larger than all others.
fn precedes(em: &mut Emitter, direction: Direction, a: Register, b: Register) -> Register {
    let (function, larger, smaller) = match direction {
        Direction::Ascending => (Compare::Less, b, a),
        Direction::Descending => (Compare::Greater, a, b),
    };
    let before = em.b.compare(function, a, b);
    if !em.b.register_type(a).dtype.is_float() {
        return before;
    }
    let [larger, smaller] = [larger, smaller].map(|x| em.b.compare(Compare::NotEqual, x, x));
    let smaller = em.b.unary(Unary::Not, smaller);
    let by_nan = em.b.binary(Binary::And, larger, smaller);
    em.b.binary(Binary::Or, before, by_nan)
}
