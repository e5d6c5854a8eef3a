//! Computations of rules for what repeats, moves or is read at positions that are data.

use super::{Arguments, Computation};
use kc_ir::Dim;
use kc_ir::tensor::Op;
use kc_ir::tensor::ops::{
    Concatenate, Constant, DotGeneral, Gather, GatherMode, Pad, ReduceWindow, Reduction, Transpose,
};

/// Every computation, by the name that right sides call it by.
pub(super) const COMPUTATIONS: &[(&str, Computation)] = &[
    // a splat's element
    ("element", |a| Some(Constant { value: a.splat(0)?.clone() }.into())),
    // the largest element of each window of a pooling's gradient
    ("largest_of_windows", |a| match a.op(0)? {
        Op::SelectAndScatter(select) => {
            Some(ReduceWindow { kind: Reduction::Max, window: select.window.clone() }.into())
        }
        _ => None,
    }),
    // the contraction of a matrix whose rows a left operand is made of
    ("product_of_rows", |a| {
        rows(a.gather(1)?, a, 2)?;
        let contraction = a.contraction(0)?;
        Some(DotGeneral { lhs_contract: vec![1], ..contraction.clone() }.into())
    }),
    // the rows of that product
    ("rows_of_product", |a| {
        let (contraction, gather) = (a.contraction(0)?, a.gather(1)?);
        let last = rows(gather, a, 2)?;
        let rhs = a.ty(3)?;
        let fits = contraction.lhs_batch.is_empty() && contraction.lhs_contract == [last];
        let free = contraction.rhs_free(rhs.rank());
        let mut windows = gather.windows.clone();
        windows.offset = (last..last + free.len()).collect();
        let sizes = [Dim::constant(1)].into_iter().chain(free.iter().map(|&axis| rhs.shape[axis].clone()));
        fits.then(|| Gather { windows, sizes: sizes.collect(), mode: gather.mode }.into())
    }),
    // a gather whose windows come in another order
    ("gather_transposed", |a| {
        let (permutation, gather) = (a.permutation(0)?, a.gather(1)?);
        let window = permutation.iter().enumerate().filter(|(_, axis)| gather.windows.offset.contains(axis));
        let (offset, before): (Vec<usize>, Vec<usize>) = window.unzip();
        let mut windows = gather.windows.clone();
        windows.offset = offset;
        (windows.operand_batch.is_empty() && before.is_sorted()).then(|| Gather { windows, ..gather.clone() }.into())
    }),
    // that order of the indices
    ("indices_transposed", |a| {
        let (permutation, gather) = (a.permutation(0)?, a.gather(1)?);
        let batch = gather.windows.batch_axes(permutation.len());
        let moved = permutation.iter().filter_map(|axis| batch.iter().position(|other| other == axis));
        Some(Transpose { permutation: moved.chain([batch.len()]).collect() }.into())
    }),
    // two paddings of zeros around neighbours, as one
    ("pad_of_both", |a| {
        let (first, second, _) = neighbours(a)?;
        Some(Pad { low: first.low.clone(), high: second.high.clone(), interior: first.interior.clone() }.into())
    }),
    ("side_by_side", |a| Some(Concatenate { axis: neighbours(a)?.2 }.into())),
];

/// The last axis of a gather of whole rows of a matrix (the operand of that position), each of which has a product: rows that are
/// not there are NaN, as their products are.
fn rows(gather: &Gather, a: &Arguments, matrix: usize) -> Option<usize> {
    let [count, features] = a.ty(matrix)?.shape.as_slice() else { return None };
    let windows = &gather.windows;
    let some = |extent: &Dim| extent.as_constant().is_some_and(|extent| extent > 0);
    let there = match gather.mode {
        GatherMode::Clip => some(count),
        GatherMode::Invalid => a.ty(matrix)?.dtype.is_float() && some(features),
        GatherMode::Zero => false,
    };
    let [last] = windows.offset.as_slice() else { return None };
    let whole = windows.collapsed == [0] && windows.index_map == [0] && gather.sizes[1] == *features;
    // the row is the last axis where all others are those of the indices
    (there && whole && gather.sizes[0].is(1) && windows.operand_batch.is_empty()).then_some(*last)
}

/// Two paddings of tensors that lie one right behind the other, and the axis on which they do.
fn neighbours<'a>(a: &'a Arguments) -> Option<(&'a Pad, &'a Pad, usize)> {
    let (Op::Pad(first), Op::Pad(second)) = (a.op(0)?, a.op(1)?) else { return None };
    let extent = |position: usize, axis: usize| a.ty(position)?.shape[axis].as_constant();
    let same = |axis: &usize| first.low[*axis] == second.low[*axis] && first.high[*axis] == second.high[*axis];
    let mut others = (0..first.low.len()).filter(|axis| !same(axis));
    let (axis, more) = (others.next()?, others.next());
    let behind = second.low[axis] == first.low[axis] + extent(2, axis)?;
    let before = first.high[axis] == second.high[axis] + extent(3, axis)?;
    let whole = first.interior.iter().chain(&second.interior).all(|&count| count == 0);
    (behind && before && whole && more.is_none()).then_some((first, second, axis))
}
