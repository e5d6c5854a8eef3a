use super::{Case, between, case, dims, small};
use kc_ir::DType;
use kc_ir::tensor::ops::*;
use kc_ir::tensor::{Literal, Scalar};

/// Integers, out of range ones among them.
fn indices(dtype: DType, shape: &[usize], values: &[i128]) -> Literal {
    Literal::from_scalars(dtype, shape.to_vec(), values.iter().map(|&value| Scalar::Int(value)))
}

fn windows(offset: &[usize], collapsed: &[usize], batch: [&[usize]; 2], index_map: &[usize]) -> IndexedWindows {
    IndexedWindows {
        offset: offset.to_vec(),
        collapsed: collapsed.to_vec(),
        operand_batch: batch[0].to_vec(),
        indices_batch: batch[1].to_vec(),
        index_map: index_map.to_vec(),
    }
}

/// Windows with the extents of the operand, the indices, and the extents of one window.
fn forms() -> Vec<(IndexedWindows, Vec<usize>, Literal, Vec<i64>)> {
    const FAR: i128 = i64::MAX as i128;
    let rows = indices(DType::I32, &[4, 1], &[2, -1, 4, 2]);
    let columns = indices(DType::I64, &[2, 2, 1], &[1, FAR, -FAR - 1, 0]);
    let pairs = indices(DType::I8, &[3, 2], &[1, 2, 0, -3, 1, 2]);
    let in_batch = indices(DType::U64, &[3, 2, 1], &[0, 1, u64::MAX.into(), 1, 3, 2]);
    let boxes = indices(DType::U8, &[2, 2], &[1, 2, 255, 0]);
    vec![
        // rows of a table
        (windows(&[1], &[0], [&[], &[]], &[0]), vec![4, 17], rows, vec![1, 17]),
        // slices along a middle axis
        (windows(&[0, 3], &[1], [&[], &[]], &[1]), vec![2, 3, 5], columns, vec![2, 1, 5]),
        // single elements
        (windows(&[], &[0, 1], [&[], &[]], &[0, 1]), vec![2, 3], pairs.clone(), vec![1, 1]),
        // components in another order than the axes, a window of a part of an axis
        (windows(&[0, 2], &[1], [&[], &[]], &[2, 1]), vec![2, 3, 4], pairs, vec![2, 1, 2]),
        // rows of each batch
        (windows(&[2], &[1], [&[0], &[0]], &[1]), vec![3, 4, 6], in_batch.clone(), vec![1, 1, 6]),
        // elements of each batch, which is the last axis of the operand and the second of the indices
        (windows(&[1], &[0], [&[2], &[1]], &[0]), vec![3, 3, 2], in_batch, vec![1, 3, 1]),
        // overlapping boxes
        (windows(&[0, 2], &[], [&[], &[]], &[0, 1]), vec![3, 5], boxes, vec![2, 3]),
        // one box
        (windows(&[0, 1], &[], [&[], &[]], &[1, 0]), vec![5, 6], indices(DType::I32, &[2], &[5, 1]), vec![3, 2]),
        // nothing that is data
        (windows(&[1], &[], [&[], &[]], &[]), vec![4], indices(DType::I32, &[2, 0], &[]), vec![3]),
        // one number
        (windows(&[], &[], [&[], &[]], &[]), vec![], indices(DType::I32, &[2, 0], &[]), vec![]),
    ]
}

pub fn gather() -> Vec<Case> {
    let mut cases = vec![];
    for mode in [GatherMode::Clip, GatherMode::Zero] {
        cases.extend(forms().into_iter().map(|(windows, shape, indices, sizes)| {
            case(Gather { windows, sizes: dims(&sizes), mode }, vec![small(&shape), indices])
        }));
    }
    let (rows, far) = (windows(&[1], &[0], [&[], &[]], &[0]), indices(DType::I32, &[3, 1], &[0, -1, 2]));
    for table in [
        indices(DType::I16, &[2, 3], &[1, 2, 3, 4, 5, 6]),
        indices(DType::U8, &[2, 3], &[1, 2, 3, 4, 5, 6]),
        indices(DType::Bool, &[2, 3], &[1, 0, 1, 0, 0, 0]),
    ] {
        let op = Gather { windows: rows.clone(), sizes: dims(&[1, 3]), mode: GatherMode::Invalid };
        cases.push(case(op, vec![table, far.clone()]));
    }
    cases
}

pub fn scatter() -> Vec<Case> {
    let mut cases = vec![];
    let kinds = [ScatterKind::Set, ScatterKind::Add, ScatterKind::Multiply, ScatterKind::Maximum, ScatterKind::Minimum];
    for (mode, kinds) in [(ScatterMode::Drop, &kinds[..]), (ScatterMode::Clip, &kinds[..2])] {
        for &kind in kinds {
            cases.extend(forms().into_iter().map(|(windows, shape, indices, sizes)| {
                let rank = windows.offset.len() + indices.shape().len() - 1;
                let mut window = sizes
                    .iter()
                    .enumerate()
                    .filter(|(axis, _)| !windows.collapsed.contains(axis) && !windows.operand_batch.contains(axis));
                let mut batch = indices.shape().iter();
                let updates: Vec<usize> = (0..rank)
                    .filter_map(|axis| match windows.offset.contains(&axis) {
                        true => window.next().map(|(_, &size)| size as usize),
                        false => batch.next().copied(),
                    })
                    .collect();
                let updates = between(&updates, -1.13, 0.91);
                case(Scatter { kind, windows, mode }, vec![small(&shape), indices, updates])
            }));
        }
    }
    // products with no, one and two zeros
    let windows = windows(&[], &[0], [&[], &[]], &[0]);
    let f64s = |values: &[f64]| {
        Literal::from_scalars(DType::F64, vec![values.len()], values.iter().map(|&value| Scalar::Float(value)))
    };
    cases.push(case(
        Scatter { kind: ScatterKind::Multiply, windows, mode: ScatterMode::Drop },
        vec![
            f64s(&[2.0, 0.0, 3.0, 0.0]),
            indices(DType::I32, &[6, 1], &[0, 1, 2, 2, 3, 9]),
            f64s(&[1.5, 2.5, 0.0, 0.5, 0.0, 0.0]),
        ],
    ));
    cases
}
