//! Bounds of ops by what is known of their operands.

use super::{Facts, UNKNOWN};
use kc_ir::DType;
use kc_ir::tensor::ops::{Binary, CustomFunction, Reduction, Unary};
use kc_ir::tensor::{Graph, Node, Op};

/// Bits of a mantissa, and the relative error of one operation.
pub fn precision(dtype: DType) -> (i32, f64) {
    match dtype {
        DType::F64 => (53, 1e-14),
        DType::F32 => (24, 3e-7),
        DType::F16 => (11, 2e-3),
        _ => (8, 2e-2),
    }
}

/// The largest number.
fn greatest(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => f64::MAX,
        DType::F16 => 65504.0,
        _ => f64::from(f32::MAX),
    }
}

/// The smallest positive number.
fn least(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => f64::from_bits(1),
        DType::F32 => 2f64.powi(-149),
        DType::F16 => 2f64.powi(-24),
        _ => 2f64.powi(-133),
    }
}

/// The error of a node's values, of which `own` is known already.
pub fn error(graph: &Graph, node: &Node, operands: &[Facts], own: &Facts) -> f64 {
    let worst = operands.iter().map(|operand| operand.error).fold(0.0, f64::max);
    let (bits, relative) = precision(own.dtype);
    let least = least(own.dtype);
    // numbers up to `size` that are multiples of `unit` are exact; what may be infinite on the way is not known
    let rounding = |size: f64, unit: f64| match size {
        size if size > greatest(own.dtype) => UNKNOWN,
        size if size <= unit * 2f64.powi(bits) && unit >= least => 0.0,
        size => relative * size + least,
    };
    let jump = if worst > 0.0 { UNKNOWN } else { 0.0 };
    let special = operands.iter().any(|operand| operand.special);
    if !own.dtype.is_float() {
        // what is finite stays so, if it is not near the largest number
        let stays = matches!(node.op, Op::Unary(Unary::IsFinite)) && worst.is_finite() && !special;
        // the bits of NaN, and the sign of a zero that was computed, are not said
        let bits = matches!(node.op, Op::BitcastConvert(_)) && operands[0].dtype.is_float();
        if bits && (special || !operands[0].signed) {
            return UNKNOWN;
        }
        return if stays && operands[0].largest < 1e4 { 0.0 } else { jump };
    }
    let first = operands.first().copied().unwrap_or(*own);
    let second = operands.get(1).copied().unwrap_or(*own);
    // where all roundings of a long sum go one way, as with equal addends, they add up
    let roundings = |count: f64, size: f64, unit: f64| (count / 128.0).max(1.0) * rounding(size, unit);
    let product = |count: f64| {
        let size = count * first.largest * second.largest;
        count * (first.largest * second.error + second.largest * first.error + first.error * second.error)
            + roundings(count, size, first.unit * second.unit)
    };
    let sum = |count: f64, of: Facts| count * of.error + roundings(count, count * of.largest, of.unit);
    match &node.op {
        Op::Parameter(_) | Op::Constant(_) => 0.0,
        Op::Iota(_) | Op::Dimension(_) => rounding(own.largest, 1.0),
        Op::Broadcast(_)
        | Op::Reshape(_)
        | Op::Transpose(_)
        | Op::Slice(_)
        | Op::Reverse(_)
        | Op::StopGradient(_)
        | Op::OptimizationBarrier(_)
        | Op::Pad(_)
        | Op::Concatenate(_)
        | Op::Gather(_)
        | Op::Select(_) => worst,
        Op::Convert(_) => {
            let kept = if first.dtype.is_float() { first.unit } else { 1.0 };
            worst + rounding(own.largest.max(first.largest), kept)
        }
        Op::BitcastConvert(_) | Op::RandomBits(_) | Op::ArgReduce(_) | Op::Compare(_) => jump,
        Op::Unary(function) => unary(*function, &first, own, relative),
        Op::Binary(function) => match function {
            Binary::Add | Binary::Subtract => {
                first.error + second.error + rounding(first.largest + second.largest, first.unit.min(second.unit))
            }
            Binary::Multiply => product(1.0),
            Binary::Maximum | Binary::Minimum => worst,
            // which quotient is infinite or NaN is not known of a divisor that may be 0
            Binary::Divide if second.error > 0.0 && 2.0 * second.error >= second.smallest => UNKNOWN,
            Binary::Divide => {
                let below = second.smallest;
                first.error / below
                    + first.largest * second.error / (below * below)
                    + relative * first.largest / below
                    + least
            }
            // the angle of a point whose coordinate is a zero of either sign
            Binary::Atan2 if !first.signed || !second.signed => UNKNOWN,
            _ => jump.max(10.0 * relative * (1.0 + own.largest)),
        },
        Op::Reduce(reduce) => {
            let count = (first.elements / own.elements.max(1.0)).max(1.0);
            reduction(reduce.kind, count, first, sum(count, first), relative)
        }
        Op::Cumulative(cumulative) => {
            let count = extent(graph, node, cumulative.axis);
            reduction(cumulative.kind, count, first, sum(count, first), relative)
        }
        // what comes of an infinity and a zero depends on the order
        Op::Recurrence(_) if special => UNKNOWN,
        Op::Recurrence(recurrence) => {
            let count = extent(graph, node, recurrence.axis);
            let size = count * first.largest.max(1.0).powf(count) * (1.0 + second.largest);
            if size > greatest(own.dtype) {
                return UNKNOWN;
            }
            count * size * (first.error + second.error + relative)
        }
        Op::ReduceWindow(window) => {
            let count = window.window.size.iter().product::<i64>() as f64;
            reduction(window.kind, count, first, sum(count, first), relative)
        }
        Op::SelectAndScatter(scatter) => {
            let count = scatter.window.size.iter().product::<i64>() as f64;
            (if first.error > 0.0 { UNKNOWN } else { 0.0 }) + sum(count, second)
        }
        Op::Scatter(scatter) => {
            let updates = operands.get(2).copied().unwrap_or(*own);
            let count = 1.0 + updates.elements;
            let both = Facts {
                largest: first.largest.max(updates.largest),
                unit: first.unit.min(updates.unit),
                error: worst,
                ..first
            };
            scatter.kind.reduction().map_or(worst, |kind| reduction(kind, count, both, sum(count, both), relative))
        }
        Op::DotGeneral(dot) => {
            let shape = &graph.tensor_type(node.operands[0]).shape;
            let terms = dot.lhs_contract.iter().map(|&axis| shape[axis].evaluate(&|_| Some(64)).unwrap_or(64) as f64);
            product(terms.product())
        }
        // whether an infinity meets the zeros of the padding is not said
        Op::Convolution(_) if special => UNKNOWN,
        Op::Convolution(_) => product(second.elements.max(first.elements)),
        Op::Sort(_) => projected(node, 0, operands, own),
        Op::CustomCall(_) => projected(node, 0, operands, own),
        Op::TopK(_)
        | Op::Projection(_)
        | Op::Composite(_)
        | Op::Cond(_)
        | Op::While(_)
        | Op::Scan(_)
        | Op::Remat(_)
        | Op::CustomGradient(_)
        | Op::Gradient(_) => UNKNOWN,
    }
}

/// The error of the tensor at a position among a node's results, of which `own` is known already.
pub fn projected(node: &Node, index: usize, operands: &[Facts], own: &Facts) -> f64 {
    let worst = operands.iter().map(|operand| operand.error).fold(0.0, f64::max);
    let jump = if worst > 0.0 { UNKNOWN } else { 0.0 };
    let special = operands.iter().any(|operand| operand.special);
    let (_, relative) = precision(own.dtype);
    match &node.op {
        Op::OptimizationBarrier(_) => operands[index].error,
        // a rounding may exchange two elements: what is sorted by another operand then differs by any amount
        Op::Sort(sort) => {
            let keys = operands[..sort.keys].iter().map(|key| key.error).fold(0.0, f64::max);
            if keys == 0.0 || index == 0 { operands[index].error } else { UNKNOWN }
        }
        Op::TopK(_) => {
            if index == 0 {
                worst
            } else {
                jump
            }
        }
        Op::CustomCall(call) if !special => match call.function {
            CustomFunction::Fft | CustomFunction::InverseFft => {
                let count = 2.0 * own.elements.max(1.0);
                count * (worst + relative * (operands[0].largest + operands[1].largest))
            }
            // of matrices whose condition is good
            CustomFunction::Cholesky
            | CustomFunction::SingularValues
            | CustomFunction::TriangularSolve { .. }
            | CustomFunction::Qr { .. } => {
                let size =
                    operands[0].largest.max(1.0) * own.largest + operands.get(1).map_or(0.0, |other| other.largest);
                50.0 * own.elements * (worst * own.largest.max(1.0) + relative * size)
            }
            // an order of rows, and vectors where two values are equal, may be any
            CustomFunction::Lu | CustomFunction::Eigh | CustomFunction::Eig | CustomFunction::Svd { .. } => UNKNOWN,
        },
        _ => UNKNOWN,
    }
}

/// An extent of a node's first operand.
fn extent(graph: &Graph, node: &Node, axis: usize) -> f64 {
    graph.tensor_type(node.operands[0]).shape[axis].evaluate(&|_| Some(64)).unwrap_or(64) as f64
}

fn reduction(kind: Reduction, count: f64, of: Facts, sum: f64, relative: f64) -> f64 {
    match kind {
        Reduction::Sum => sum,
        Reduction::Max | Reduction::Min => of.error,
        Reduction::Product => {
            let size = of.largest.max(1.0).powf(count);
            if size > greatest(of.dtype) {
                return UNKNOWN;
            }
            if of.error == 0.0 && size <= 2f64.powi(20) && of.unit >= 1.0 {
                return 0.0;
            }
            count * size * (of.error + relative)
        }
    }
}

fn unary(function: Unary, x: &Facts, own: &Facts, relative: f64) -> f64 {
    let own_error = 4.0 * relative * (1.0 + own.largest);
    if x.special && x.error > 0.0 {
        return UNKNOWN;
    }
    let slope = match function {
        Unary::Log | Unary::Sqrt | Unary::Rsqrt | Unary::Cbrt if 2.0 * x.error >= x.smallest && x.error > 0.0 => {
            UNKNOWN
        }
        Unary::Negate | Unary::Abs => return x.error,
        Unary::Sign | Unary::Floor | Unary::Ceil | Unary::Trunc | Unary::RoundEven => {
            return if x.error > 0.0 { UNKNOWN } else { 0.0 };
        }
        Unary::Tanh
        | Unary::Logistic
        | Unary::Sin
        | Unary::Cos
        | Unary::Atan
        | Unary::Asinh
        | Unary::Erf
        | Unary::Erfc => 1.2,
        Unary::Exp | Unary::Expm1 | Unary::Sinh | Unary::Cosh => own.largest + 1.0,
        Unary::Log => 1.0 / x.smallest,
        Unary::Log1p if x.lowest > -1.0 => 1.0 / (1.0 + x.lowest.min(0.0)),
        Unary::Sqrt => 0.5 / x.smallest.sqrt(),
        Unary::Rsqrt => 0.5 / x.smallest.powf(1.5),
        Unary::Cbrt => x.smallest.powf(-2.0 / 3.0),
        Unary::Tan => 1.0 + own.largest * own.largest,
        Unary::Asin | Unary::Acos if x.largest < 1.0 => 1.0 / (1.0 - x.largest * x.largest).sqrt(),
        Unary::Atanh if x.largest < 1.0 => 1.0 / (1.0 - x.largest * x.largest),
        Unary::Acosh if x.lowest > 1.0 => 1.0 / (x.lowest * x.lowest - 1.0).sqrt(),
        Unary::ErfInv => (own.largest * own.largest).exp(),
        Unary::Lgamma | Unary::Digamma if x.lowest >= 1.0 => 2.0 + x.largest,
        _ => UNKNOWN,
    };
    if x.error == 0.0 { own_error } else { slope * x.error + own_error }
}
