//! The interpreter: what a graph means. Simple and obviously right, not fast.
//!
//! Each primitive is evaluated in f64 or i128 and rounded once to its dtype; reductions and contractions accumulate in f64. A
//! composite is evaluated by its body. The evaluation of an op stands beside its declaration.

mod array;

pub use array::{Array, Data};
pub(crate) use array::{positions, strides};

use super::{Graph, Literal, Op, Region, Type, VerifyError, text, verify};
use kc_abi::{Dim, Symbol, TensorType};
use std::cell::Cell;
use std::collections::BTreeMap;
use thiserror::Error;

/// Why a graph has no value for its arguments.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InterpretError {
    /// The graph breaks a law of the IR.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// The number of arguments is not that of the parameters.
    #[error("the graph takes {expected} arguments, got {given}")]
    Count {
        /// Number of parameters.
        expected: usize,
        /// Number of arguments.
        given: usize,
    },
    /// An argument is not of its parameter's type.
    #[error("argument {position} (`{name}`) is {given}, expected {expected}")]
    Argument {
        /// The argument's position.
        position: usize,
        /// The parameter's name.
        name: String,
        /// The argument's type.
        given: String,
        /// The parameter's type, with what is known of its symbols.
        expected: String,
    },
    /// A node cannot be evaluated.
    #[error("{node}: {message}")]
    Node {
        /// The node's line in the text form.
        node: String,
        /// Why.
        message: String,
    },
}

/// Elements that a tensor of an interpreted graph may have.
const ELEMENT_LIMIT: usize = 1 << 28;

/// What an interpretation may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterpretOptions {
    /// Rounds of all loops together after which it is an error that there is another; without a limit, a loop may never end.
    pub round_limit: u64,
}

impl Default for InterpretOptions {
    fn default() -> Self {
        InterpretOptions { round_limit: u64::MAX }
    }
}

/// The results of a graph for arguments. Symbols in the parameters' shapes are bound by the arguments' shapes.
pub fn interpret(graph: &Graph, arguments: &[Literal]) -> Result<Vec<Literal>, InterpretError> {
    interpret_with(graph, arguments, &InterpretOptions::default())
}

/// [`interpret`] within limits.
pub fn interpret_with(
    graph: &Graph,
    arguments: &[Literal],
    options: &InterpretOptions,
) -> Result<Vec<Literal>, InterpretError> {
    verify(graph)?;
    let symbols = bind(graph, arguments)?;
    let arguments: Vec<Array> = arguments.iter().map(Array::from_literal).collect();
    let rounds = Cell::new(options.round_limit);
    let results = run(graph, &arguments, &symbols, &rounds)?;
    Ok(results.iter().map(Array::to_literal).collect())
}

/// The values of the symbols in the parameters' shapes.
fn bind(graph: &Graph, arguments: &[Literal]) -> Result<Symbols, InterpretError> {
    let expected = graph.parameters.len();
    if arguments.len() != expected {
        return Err(InterpretError::Count { expected, given: arguments.len() });
    }
    let mut symbols = Symbols::default();
    for (&parameter, argument) in graph.parameters.iter().zip(arguments) {
        for (dim, &extent) in graph.tensor_type(parameter).shape.iter().zip(argument.shape()) {
            if let Some(symbol) = dim.as_symbol() {
                symbols.values.entry(symbol.clone()).or_insert(extent as i64);
            }
        }
    }
    for (position, (&parameter, argument)) in graph.parameters.iter().zip(arguments).enumerate() {
        let ty = graph.tensor_type(parameter);
        let bound = symbols.shape(ty);
        if ty.dtype != argument.dtype() || bound.as_deref() != Ok(argument.shape()) {
            let name = match &graph.node(parameter).op {
                Op::Parameter(parameter) => parameter.name.clone(),
                op => op.operation().name().to_string(),
            };
            let expected = match bound {
                Ok(shape) if ty.constant_shape().is_none() => format!("{ty} = {}{shape:?}", ty.dtype),
                _ => ty.to_string(),
            };
            return Err(InterpretError::Argument { position, name, given: argument.ty().to_string(), expected });
        }
    }
    Ok(symbols)
}

/// The values of a graph's symbols.
#[derive(Clone, Debug, Default)]
pub struct Symbols {
    values: BTreeMap<Symbol, i64>,
}

impl Symbols {
    /// The value of a dimension.
    pub fn dim(&self, dim: &Dim) -> Result<i64, String> {
        dim.evaluate(&|symbol| self.values.get(symbol).copied())
            .ok_or_else(|| format!("the extent {dim} is not known from the arguments, or too large"))
    }

    /// The extents of a type.
    pub fn shape(&self, ty: &TensorType) -> Result<Vec<usize>, String> {
        let mut elements = 1usize;
        let extent = |dim: &Dim| {
            let extent = self.dim(dim)?;
            let extent = usize::try_from(extent).map_err(|_| format!("the extent {dim} is {extent}"))?;
            elements = elements.saturating_mul(extent.max(1));
            Ok(extent)
        };
        let shape = ty.shape.iter().map(extent).collect::<Result<Vec<_>, String>>()?;
        if elements > ELEMENT_LIMIT {
            return Err(format!("{ty} with the extents {shape:?} is too large to interpret"));
        }
        Ok(shape)
    }
}

/// Where an op is evaluated.
pub struct Evaluation<'a> {
    /// The operands; of a projection all tensors of the tuple.
    pub operands: &'a [Array],
    /// The operands' types.
    pub operand_types: &'a [&'a Type],
    /// Dtypes and extents of the results.
    pub results: &'a [(kc_abi::DType, Vec<usize>)],
    /// Values of the symbols.
    pub symbols: &'a Symbols,
    /// Rounds that loops may still take.
    pub rounds: &'a Cell<u64>,
}

impl Evaluation<'_> {
    /// The extents of the only result.
    pub fn shape(&self) -> &[usize] {
        self.results.first().map_or(&[], |(_, shape)| shape)
    }

    /// The only result from its values, which are rounded to its dtype.
    pub fn result(&self, data: Data) -> Result<Vec<Array>, String> {
        let (dtype, shape) = self.results.first().ok_or("the op has no result")?;
        Ok(vec![Array::new(*dtype, shape.clone(), data.rounded(*dtype))?])
    }

    /// The values of a graph for these operands.
    pub(crate) fn by_body(&self, graph: &Graph) -> Result<Vec<Array>, String> {
        run(graph, self.operands, self.symbols, self.rounds).map_err(|error| error.to_string())
    }

    /// The results of a region for these arguments.
    pub(crate) fn region(&self, region: &Region, arguments: &[Array]) -> Result<Vec<Array>, String> {
        run(region.graph(), arguments, self.symbols, self.rounds).map_err(|error| error.to_string())
    }

    /// Counts a round of a loop.
    pub(crate) fn count_round(&self) -> Result<(), String> {
        let left = self.rounds.get().checked_sub(1).ok_or("its loops take more rounds than they may")?;
        self.rounds.set(left);
        Ok(())
    }
}

fn run(
    graph: &Graph,
    arguments: &[Array],
    symbols: &Symbols,
    rounds: &Cell<u64>,
) -> Result<Vec<Array>, InterpretError> {
    let mut uses = vec![0usize; graph.nodes.len()];
    let used = graph.nodes.iter().flat_map(|node| &node.operands).chain(&graph.results);
    used.for_each(|value| uses[value.index()] += 1);
    let mut values: Vec<Vec<Array>> = vec![Vec::new(); graph.nodes.len()];
    for (value, node) in graph.values().zip(&graph.nodes) {
        let wrong = |message: String| InterpretError::Node { node: text::print_node(value, node), message };
        if let Op::Parameter(parameter) = &node.op {
            let argument = arguments.get(parameter.index).cloned();
            values[value.index()] = vec![argument.ok_or_else(|| wrong("there is no such argument".into()))?];
            continue;
        }
        if uses[value.index()] == 0 {
            continue;
        }
        let types: Vec<&Type> = node.operands.iter().map(|&operand| &graph.node(operand).ty).collect();
        let operands: Vec<Array> = node.operands.iter().flat_map(|operand| values[operand.index()].clone()).collect();
        let result_types = match &node.ty {
            Type::Tensor(ty) => std::slice::from_ref(ty),
            Type::Tuple(types) => types,
        };
        let results = result_types.iter().map(|ty| Ok((ty.dtype, symbols.shape(ty)?)));
        let results = results.collect::<Result<Vec<_>, String>>().map_err(wrong)?;
        let at = Evaluation { operands: &operands, operand_types: &types, results: &results, symbols, rounds };
        values[value.index()] = node.op.operation().evaluate(&at).map_err(wrong)?;
        for operand in &node.operands {
            uses[operand.index()] -= 1;
            if uses[operand.index()] == 0 {
                values[operand.index()] = Vec::new();
            }
        }
    }
    Ok(graph.results.iter().flat_map(|result| values[result.index()].clone()).collect())
}
