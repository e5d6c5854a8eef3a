//! What a graph's results are by the tensor interpreter, and how far another way of computing them may be off.
//!
//! The bound follows the values through the graph, into regions and the bodies of composites. It is 0 as long as every number is
//! exact whatever the order of the operations: then results must be equal. Behind a jump (a comparison, a rounding) of a number
//! that is not exact nothing is known.

mod regions;
mod rules;

use kc_ir::tensor::{
    Graph, InterpretOptions, Literal, Node, Op, Type, Value, bind_symbols, interpret_with, specialise,
};
use kc_ir::{DType, Symbol};

/// Nothing is known.
const UNKNOWN: f64 = f64::INFINITY;

/// A loop of a random graph that takes longer does not end.
const LIMITS: InterpretOptions = InterpretOptions { round_limit: 20_000 };

/// Results beside their bounds.
pub struct Expected(Vec<Known>);

/// A tensor, and what is known of its values.
#[derive(Clone)]
struct Known {
    literal: Literal,
    facts: Facts,
}

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
    /// Smallest value.
    lowest: f64,
    /// All are multiples of this power of two.
    unit: f64,
    /// Whether zeros have the sign that they should have: what is computed may have another.
    signed: bool,
    error: f64,
}

impl Expected {
    /// Interprets a graph without `gradient` ops.
    pub fn new(graph: &Graph, arguments: &[Literal]) -> Result<Expected, String> {
        let types = graph.parameters.iter().map(|&parameter| graph.tensor_type(parameter));
        let symbols = bind_symbols(types.zip(arguments.iter().map(Literal::shape)));
        let value_of = |symbol: &Symbol| symbols.iter().find(|(known, _)| known == symbol).map(|(_, value)| *value);
        let graph = specialise(graph, &value_of).map_err(|error| error.to_string())?;
        let arguments: Vec<Known> = arguments.iter().map(|literal| Known::new(literal.clone(), 0.0)).collect();
        results(&graph, &arguments).map(Expected)
    }

    /// Whether any result can be compared.
    pub fn is_known(&self) -> bool {
        self.0.iter().any(|known| known.facts.error.is_finite())
    }

    /// Compares a result.
    pub fn compare(&self, position: usize, ours: &Literal) -> Result<(), String> {
        let Known { literal: right, facts } = &self.0[position];
        if ours.ty() != right.ty() {
            return Err(format!("its type is {}, expected {}", ours.ty(), right.ty()));
        }
        let allowed = 16.0 * facts.error;
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

/// The results of a graph of known extents for arguments.
fn results(graph: &Graph, arguments: &[Known]) -> Result<Vec<Known>, String> {
    let tensors: Vec<Value> = graph.values().filter(|&value| graph.node(value).ty.as_tensor().is_some()).collect();
    let all = Graph { results: tensors.clone(), ..graph.clone() };
    let literals: Vec<Literal> = arguments.iter().map(|argument| argument.literal.clone()).collect();
    let mut values = interpret_with(&all, &literals, &LIMITS).map_err(|error| error.to_string())?.into_iter();
    // of each value, of a tuple the errors of its tensors where they are not known from its operands
    let mut known: Vec<Option<Known>> = Vec::with_capacity(graph.nodes.len());
    let mut errors: Vec<Option<Vec<f64>>> = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        let operands = |of: &Node| -> Vec<Known> {
            of.operands.iter().filter_map(|operand| known[operand.index()].clone()).collect()
        };
        let facts = |operands: &[Known]| -> Vec<Facts> { operands.iter().map(|operand| operand.facts).collect() };
        let Type::Tensor(_) = node.ty else {
            errors.push(regions::errors(node, &operands(node))?);
            known.push(None);
            continue;
        };
        let mut own = Known::new(values.next().ok_or("a value is missing")?, 0.0);
        let error = match &node.op {
            Op::Parameter(parameter) => arguments[parameter.index].facts.error,
            Op::Projection(projection) => {
                let tuple = node.operands[0];
                let of = graph.node(tuple);
                match &errors[tuple.index()] {
                    Some(errors) => errors[projection.index],
                    None => rules::projected(of, projection.index, &facts(&operands(of)), &own.facts),
                }
            }
            _ => {
                let operands = operands(node);
                match regions::errors(node, &operands)? {
                    Some(errors) => errors[0],
                    None => rules::error(graph, node, &facts(&operands), &own.facts),
                }
            }
        };
        // what is not finite may be so for lack of exactness; zero times what is unknown is unknown
        own.facts.error = if own.facts.special && error > 0.0 || error.is_nan() { UNKNOWN } else { error };
        own.facts.signed = own.facts.smallest > 0.0
            || match &node.op {
                Op::Parameter(parameter) => arguments[parameter.index].facts.signed,
                Op::Constant(_) | Op::Iota(_) => true,
                Op::Broadcast(_)
                | Op::Reshape(_)
                | Op::Transpose(_)
                | Op::Slice(_)
                | Op::Reverse(_)
                | Op::Gather(_) => facts(&operands(node)).iter().all(|operand| operand.signed),
                _ => false,
            };
        errors.push(None);
        known.push(Some(own));
    }
    let result = |value: &Value| known[value.index()].clone().ok_or_else(|| "a result is a tuple".to_string());
    graph.results.iter().map(result).collect()
}

impl Known {
    fn new(literal: Literal, error: f64) -> Known {
        let (mut largest, mut smallest, mut lowest, mut unit) = (0f64, f64::INFINITY, f64::INFINITY, f64::INFINITY);
        let mut special = false;
        for value in literal.to_f64_vec() {
            let size = value.abs();
            if !size.is_finite() {
                special = true;
                continue;
            }
            largest = largest.max(size);
            smallest = smallest.min(size);
            lowest = lowest.min(value);
            if size > 0.0 {
                unit = unit.min(lowest_bit(size));
            }
        }
        let (dtype, elements) = (literal.dtype(), literal.elements() as f64);
        Known {
            facts: Facts { dtype, elements, largest, special, smallest, lowest, unit, signed: true, error },
            literal,
        }
    }
}

/// The value of the lowest bit of a positive number.
fn lowest_bit(x: f64) -> f64 {
    let bits = x.to_bits();
    let exponent = ((bits >> 52) as i32).max(1) - 1075;
    let mantissa = (bits & ((1 << 52) - 1)) | if bits >> 52 == 0 { 0 } else { 1 << 52 };
    2f64.powi(exponent + mantissa.trailing_zeros() as i32)
}
