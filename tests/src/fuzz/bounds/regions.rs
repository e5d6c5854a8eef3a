//! Bounds of ops that are graphs: those of the graphs, for the values that they have there.

use super::{Known, UNKNOWN, results};
use kc_ir::tensor::composites::Composite;
use kc_ir::tensor::ops::{Scan, While};
use kc_ir::tensor::{Literal, Node, Op, Region, Type};
use kc_ir::{DType, TensorType};

/// The errors of the op's results; `None` for an op without a graph.
pub fn errors(node: &Node, operands: &[Known]) -> Result<Option<Vec<f64>>, String> {
    let of = |region: &Region| results(region.graph(), operands).map(errors_of);
    let errors = match &node.op {
        Op::Composite(composite) => of_composite(composite, node, operands)?,
        Op::Remat(remat) => of(&remat.body)?,
        Op::CustomGradient(custom) => of(&custom.value)?,
        Op::Cond(cond) => {
            let (index, operands) = operands.split_first().ok_or("a choice without an operand")?;
            let last = cond.branches.len() - 1;
            let index_error = index.facts.error;
            let index = (index.literal.get(0).to_i128().max(0) as usize).min(last);
            let branch = results(cond.branches[index].graph(), operands).map(errors_of)?;
            if index_error > 0.0 { vec![UNKNOWN; branch.len()] } else { branch }
        }
        Op::While(op) => of_while(op, operands)?,
        Op::Scan(scan) => of_scan(scan, operands)?,
        _ => return Ok(None),
    };
    Ok(Some(errors))
}

fn errors_of(known: Vec<Known>) -> Vec<f64> {
    known.into_iter().map(|known| known.facts.error).collect()
}

/// Rounds as long as the condition is known.
fn of_while(op: &While, operands: &[Known]) -> Result<Vec<f64>, String> {
    let (initial, read) = operands.split_at(op.carried);
    let mut carried = initial.to_vec();
    loop {
        let arguments = [&carried[..], read].concat();
        let goes_on = results(op.condition.graph(), &arguments)?.remove(0);
        if goes_on.facts.error > 0.0 {
            return Ok(vec![UNKNOWN; op.carried]);
        }
        if !goes_on.literal.get(0).is_true() {
            return Ok(errors_of(carried));
        }
        carried = results(op.body.graph(), &arguments)?;
    }
}

fn of_scan(scan: &Scan, operands: &[Known]) -> Result<Vec<f64>, String> {
    let length = scan.length.as_constant().ok_or("a loop of an unknown number of rounds")? as usize;
    let (initial, rest) = operands.split_at(scan.carried);
    let (sequences, read) = rest.split_at(scan.sequences);
    let mut carried = initial.to_vec();
    let mut outputs = vec![0.0; scan.body.graph().results.len() - scan.carried];
    for round in 0..length {
        let index = if scan.reverse { length - 1 - round } else { round };
        let elements = sequences.iter().map(|sequence| element(sequence, index));
        let arguments: Vec<Known> = carried.into_iter().chain(elements).chain(read.iter().cloned()).collect();
        carried = results(scan.body.graph(), &arguments)?;
        let made = carried.split_off(scan.carried);
        outputs.iter_mut().zip(made).for_each(|(error, made)| *error = made.facts.error.max(*error));
        if carried.iter().all(|known| known.facts.error == UNKNOWN) && outputs.iter().all(|&error| error == UNKNOWN) {
            break;
        }
    }
    Ok(errors_of(carried).into_iter().chain(outputs).collect())
}

/// An element of a sequence.
fn element(sequence: &Known, index: usize) -> Known {
    let shape = sequence.literal.shape()[1..].to_vec();
    let elements: usize = shape.iter().product();
    let values = (index * elements..(index + 1) * elements).map(|position| sequence.literal.get(position));
    let mut known = Known::new(Literal::from_scalars(sequence.literal.dtype(), shape, values), sequence.facts.error);
    known.facts.signed = sequence.facts.signed || known.facts.smallest > 0.0;
    known
}

fn of_composite(composite: &Composite, node: &Node, operands: &[Known]) -> Result<Vec<f64>, String> {
    let exact = operands.iter().all(|operand| operand.facts.error == 0.0);
    let is_float = |ty: &TensorType| ty.dtype.is_float();
    let types = match &node.ty {
        Type::Tensor(ty) => std::slice::from_ref(ty),
        Type::Tuple(types) => types,
    };
    if exact && !types.iter().any(is_float) {
        return Ok(vec![0.0; types.len()]);
    }
    let operand_types: Vec<Type> = operands.iter().map(|operand| Type::Tensor(operand.literal.ty())).collect();
    let body = composite.body_graph(&operand_types.iter().collect::<Vec<_>>()).map_err(|error| error.to_string())?;
    let made = results(&body, operands)?;
    let largest: Vec<f64> = made.iter().map(|known| known.facts.largest).collect();
    let mut errors = errors_of(made);
    let worst = operands.iter().map(|operand| operand.facts.error).fold(0.0, f64::max);
    let special = operands.iter().any(|operand| operand.facts.special);
    if let Some(slope) = slope(composite)
        && let [error @ UNKNOWN] = errors.as_mut_slice()
        && !special
    {
        let largest = operands.iter().map(|operand| operand.facts.largest).fold(0.0, f64::max);
        *error = slope * worst + 10.0 * relative(operands[0].facts.dtype) * (1.0 + largest);
    }
    // of a matrix whose condition is good, whichever way its rows are exchanged
    if is_of_matrix(composite) {
        let matrix = operands[0].facts;
        let share = 50.0 * matrix.elements * (worst + relative(matrix.dtype));
        errors = largest.into_iter().map(|largest| share * (1.0 + largest)).collect();
    }
    // whether an infinity is one after another way of computing the same is not said
    if special && !matches!(composite, Composite::Relu(_)) {
        errors.fill(UNKNOWN);
    }
    Ok(errors)
}

fn relative(dtype: DType) -> f64 {
    super::rules::precision(dtype).1
}

fn is_of_matrix(composite: &Composite) -> bool {
    matches!(
        composite,
        Composite::Solve(_)
            | Composite::Inverse(_)
            | Composite::Determinant(_)
            | Composite::LogDeterminant(_)
            | Composite::PseudoInverse(_)
    )
}

/// A bound of the slope of composites that are continuous, though their bodies choose by comparisons.
fn slope(composite: &Composite) -> Option<f64> {
    match composite {
        Composite::Relu(_)
        | Composite::Relu6(_)
        | Composite::HardTanh(_)
        | Composite::SoftShrink(_)
        | Composite::SparsePlus(_)
        | Composite::SparseSigmoid(_)
        | Composite::HardSigmoid(_)
        | Composite::LogSumExp(_) => Some(1.0),
        Composite::HardSilu(_) | Composite::Selu(_) => Some(2.0),
        Composite::LeakyRelu(relu) => Some(relu.negative_slope.0.abs().max(1.0)),
        Composite::Elu(elu) => Some(elu.alpha.0.abs().max(1.0)),
        Composite::Celu(_) => Some(1.0),
        _ => None,
    }
}
