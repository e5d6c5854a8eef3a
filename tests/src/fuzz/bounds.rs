//! What a graph's results are by the tensor interpreter, and how far another way of computing them may be off.
//!
//! The bound follows the values through the graph. It is 0 as long as every number is exact whatever the order of the
//! operations: then results must be equal. Behind a jump (a comparison, a rounding) of a number that is not exact nothing is
//! known.

use kc_ir::DType;
use kc_ir::tensor::composites::Composite;
use kc_ir::tensor::ops::{Binary, CustomFunction, Reduction, Unary};
use kc_ir::tensor::{Graph, Literal, Node, Op, Type, interpret};

/// Nothing is known.
const UNKNOWN: f64 = f64::INFINITY;

/// Results beside their bounds.
pub struct Expected(Vec<(Literal, f64)>);

/// What is known of a tensor's values.
#[derive(Clone, Copy, Debug)]
struct Facts {
    dtype: DType,
    elements: f64,
    /// Largest finite magnitude.
    largest: f64,
    /// Whether some are infinite or NaN.
    special: bool,
    /// Smallest magnitude.
    smallest: f64,
    /// All are multiples of this power of two.
    unit: f64,
    error: f64,
    /// Of a tuple: whether its integers are exact.
    exact_integers: bool,
}

impl Expected {
    /// Interprets a graph without `gradient` ops.
    pub fn new(graph: &Graph, arguments: &[Literal]) -> Result<Expected, String> {
        let tensors: Vec<_> = graph.values().filter(|&value| graph.node(value).ty.as_tensor().is_some()).collect();
        let all = Graph { results: tensors.clone(), ..graph.clone() };
        let values = interpret(&all, arguments).map_err(|error| error.to_string())?;
        let mut literals: Vec<Option<Literal>> = vec![None; graph.nodes.len()];
        tensors.iter().zip(values).for_each(|(value, literal)| literals[value.index()] = Some(literal));
        let mut facts: Vec<Facts> = Vec::with_capacity(graph.nodes.len());
        for (node, literal) in graph.nodes.iter().zip(&literals) {
            let operands: Vec<Facts> = node.operands.iter().map(|operand| facts[operand.index()]).collect();
            facts.push(match (literal, &node.ty) {
                (Some(literal), _) => {
                    let mut own = measured(literal);
                    own.error = error(graph, node, &operands, &own);
                    // what is not finite may be so for lack of exactness; zero times what is unknown is unknown
                    if own.special && own.error > 0.0 || own.error.is_nan() {
                        own.error = UNKNOWN;
                    }
                    own
                }
                (None, Type::Tensor(_) | Type::Tuple(_)) => {
                    let error = operands.iter().map(|operand| operand.error).fold(0.0, f64::max);
                    let largest = operands.iter().map(|operand| operand.largest).fold(1.0, f64::max);
                    let error = 10.0 * error * (1.0 + largest) + 1e-5 * (1.0 + largest);
                    let has_regions = !node.op.operation().regions().is_empty();
                    let exact_integers = has_regions && operands.iter().all(|operand| operand.error == 0.0);
                    let half = operands.iter().any(|operand| matches!(operand.dtype, DType::F16 | DType::Bf16));
                    let chosen = matches!(node.op, Op::Cond(_)) && operands[0].error > 0.0;
                    let error = match has_regions {
                        true if half || chosen => UNKNOWN,
                        true => 100.0 * error * (1.0 + largest),
                        false => error,
                    };
                    let special = operands.iter().any(|operand| operand.special);
                    // an order of rows, and vectors where two values are equal, may be any
                    let any = matches!(&node.op, Op::CustomCall(call) if matches!(
                        call.function,
                        CustomFunction::Lu | CustomFunction::Eigh | CustomFunction::Eig | CustomFunction::Svd { .. }
                    ));
                    let error = if special || any { UNKNOWN } else { error };
                    Facts {
                        dtype: DType::F32,
                        elements: 1.0,
                        largest,
                        special,
                        smallest: 0.0,
                        unit: 0.0,
                        error,
                        exact_integers,
                    }
                }
            });
        }
        let result = |value: &kc_ir::tensor::Value| {
            let literal = literals[value.index()].clone().ok_or("a result is a tuple")?;
            Ok((literal, facts[value.index()].error))
        };
        Ok(Expected(graph.results.iter().map(result).collect::<Result<_, String>>()?))
    }

    /// Whether any result can be compared.
    pub fn is_known(&self) -> bool {
        self.0.iter().any(|(_, error)| error.is_finite())
    }

    /// Compares a result.
    pub fn compare(&self, position: usize, ours: &Literal) -> Result<(), String> {
        let (right, error) = &self.0[position];
        if ours.ty() != right.ty() {
            return Err(format!("its type is {}, expected {}", ours.ty(), right.ty()));
        }
        let allowed = 16.0 * error;
        if !allowed.is_finite() {
            return Ok(());
        }
        let pairs = ours.to_f64_vec().into_iter().zip(right.to_f64_vec());
        let wrong: Vec<(usize, f64, f64)> = pairs
            .enumerate()
            .filter(|(_, (ours, right))| {
                !(ours == right || (ours.is_nan() && right.is_nan()) || (ours - right).abs() <= allowed)
            })
            .map(|(position, (ours, right))| (position, ours, right))
            .collect();
        match wrong.first() {
            None => Ok(()),
            Some((position, value, expected)) => Err(format!(
                "{} of {} elements are wrong, the first at {position}: {value} expected {expected}, allowed error {allowed:.1e}",
                wrong.len(),
                right.elements(),
            )),
        }
    }
}

fn measured(literal: &Literal) -> Facts {
    let (mut largest, mut smallest, mut unit) = (0f64, f64::INFINITY, f64::INFINITY);
    let mut special = false;
    for value in literal.to_f64_vec() {
        let size = value.abs();
        if !size.is_finite() {
            special = true;
            continue;
        }
        largest = largest.max(size);
        smallest = smallest.min(size);
        if size > 0.0 {
            unit = unit.min(lowest_bit(size));
        }
    }
    Facts {
        dtype: literal.dtype(),
        elements: literal.elements() as f64,
        largest,
        special,
        smallest,
        unit,
        error: 0.0,
        exact_integers: false,
    }
}

/// The value of the lowest bit of a positive number.
fn lowest_bit(x: f64) -> f64 {
    let bits = x.to_bits();
    let exponent = ((bits >> 52) as i32).max(1) - 1075;
    let mantissa = (bits & ((1 << 52) - 1)) | if bits >> 52 == 0 { 0 } else { 1 << 52 };
    2f64.powi(exponent + mantissa.trailing_zeros() as i32)
}

/// Bits of a mantissa, and the relative error of one operation.
fn precision(dtype: DType) -> (i32, f64) {
    match dtype {
        DType::F64 => (53, 1e-14),
        DType::F32 => (24, 3e-7),
        DType::F16 => (11, 2e-3),
        _ => (8, 2e-2),
    }
}

/// The error of a node's values, of which `own` is known already.
fn error(graph: &Graph, node: &Node, operands: &[Facts], own: &Facts) -> f64 {
    let worst = operands.iter().map(|operand| operand.error).fold(0.0, f64::max);
    let (bits, relative) = precision(own.dtype);
    // numbers up to `size` that are multiples of `unit` are exact
    let rounding = |size: f64, unit: f64| if size <= unit * 2f64.powi(bits) { 0.0 } else { relative * size };
    let jump = if worst > 0.0 { UNKNOWN } else { 0.0 };
    let special = operands.iter().any(|operand| operand.special);
    if !own.dtype.is_float() {
        let exact = matches!(node.op, Op::Projection(_)) && operands[0].exact_integers;
        return if exact { 0.0 } else { jump };
    }
    let first = operands.first().copied().unwrap_or(*own);
    let second = operands.get(1).copied().unwrap_or(*own);
    let product = |count: f64| {
        let size = count * first.largest * second.largest;
        count * (first.largest * second.error + second.largest * first.error) + rounding(size, first.unit * second.unit)
    };
    let sum = |count: f64, of: Facts| count * of.error + rounding(count * of.largest, of.unit);
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
        | Op::Select(_)
        | Op::Projection(_) => worst,
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
            Binary::Divide => {
                let below = second.smallest;
                first.error / below + first.largest * second.error / (below * below) + relative * first.largest / below
            }
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
        Op::Recurrence(recurrence) => {
            let count = extent(graph, node, recurrence.axis);
            let size = count * first.largest.max(1.0).powf(count) * (1.0 + second.largest);
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
        Op::Convolution(_) | Op::Composite(_) if special && !matches!(node.op, Op::Composite(Composite::Relu(_))) => {
            UNKNOWN
        }
        Op::Convolution(_) => product(second.elements.max(first.elements)),
        Op::Composite(Composite::Relu(_)) => worst,
        Op::Composite(_) => {
            let largest = operands.iter().map(|operand| operand.largest).fold(own.largest, f64::max);
            100.0 * relative * (1.0 + largest) * (1.0 + largest) + 20.0 * worst * (1.0 + largest)
        }
        // a rounding may exchange two elements: what is sorted by another operand then differs by any amount
        Op::Sort(_) if node.operands.len() > 1 => jump,
        Op::Sort(_) | Op::TopK(_) => worst,
        Op::CustomCall(call) => match call.function {
            CustomFunction::Fft | CustomFunction::InverseFft => {
                let count = 2.0 * own.elements.max(1.0);
                count * (worst + relative * (first.largest + second.largest)) * if special { UNKNOWN } else { 1.0 }
            }
            // of matrices whose condition is good
            CustomFunction::Cholesky | CustomFunction::SingularValues | CustomFunction::TriangularSolve { .. }
                if !special =>
            {
                let size = first.largest.max(1.0) * own.largest + second.largest;
                50.0 * own.elements * (worst * own.largest.max(1.0) + relative * size)
            }
            _ => UNKNOWN,
        },
        Op::Cond(_) | Op::While(_) | Op::Scan(_) | Op::Remat(_) | Op::CustomGradient(_) | Op::Gradient(_) => UNKNOWN,
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
        Unary::Sqrt => 0.5 / x.smallest.sqrt(),
        Unary::Rsqrt => 0.5 / x.smallest.powf(1.5),
        _ => UNKNOWN,
    };
    if x.error == 0.0 { own_error } else { slope * x.error + own_error }
}
