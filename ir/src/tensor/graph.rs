use super::Op;
use kc_abi::TensorType;
use kc_abi::manifest::{Input, ModelInfo, Output, StateTensor};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// A value of a graph: the result of the node of that index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Value(pub u32);

impl Value {
    /// The node's position in [`Graph::nodes`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "%{}", self.0)
    }
}

/// The type of a node's result.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// One tensor.
    Tensor(TensorType),
    /// Several tensors, taken apart by [`ops::Projection`](super::ops::Projection).
    Tuple(Vec<TensorType>),
}

impl Type {
    /// The tensor's type, where it is one tensor.
    pub fn as_tensor(&self) -> Option<&TensorType> {
        match self {
            Type::Tensor(ty) => Some(ty),
            Type::Tuple(_) => None,
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Tensor(ty) => write!(formatter, "{ty}"),
            Type::Tuple(types) => {
                formatter.write_str("(")?;
                for (i, ty) in types.iter().enumerate() {
                    write!(formatter, "{}{ty}", if i == 0 { "" } else { ", " })?;
                }
                formatter.write_str(")")
            }
        }
    }
}

/// Where the user's program created a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Location {
    /// Source file.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Path of the layer, empty outside of layers.
    pub layer: String,
}

impl Location {
    /// What leads to the place in an error's text.
    pub const ARROW: &str = "\n  --> ";

    /// The end of an error's text: a line with file and line.
    pub fn shown(&self) -> String {
        format!("{}{}:{}", Self::ARROW, self.file, self.line)
    }
}

/// One op applied to operands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What is computed.
    pub op: Op,
    /// Values of earlier nodes.
    pub operands: Vec<Value>,
    /// Type of the result.
    pub ty: Type,
    /// Who asked for it.
    pub location: Option<Arc<Location>>,
}

/// A graph in topological order: each node's operands come before it.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Graph {
    /// The nodes.
    pub nodes: Vec<Node>,
    /// The parameters (nodes with [`Op::Parameter`]) in order.
    pub parameters: Vec<Value>,
    /// The results in order.
    pub results: Vec<Value>,
}

impl Graph {
    /// The node that computes a value.
    pub fn node(&self, value: Value) -> &Node {
        &self.nodes[value.index()]
    }

    /// The tensor type of a value.
    ///
    /// # Panics
    /// Where the value is a tuple: the verifier admits those only as operands of projections.
    pub fn tensor_type(&self, value: Value) -> &TensorType {
        self.node(value).ty.as_tensor().unwrap_or_else(|| panic!("{value} is a tuple, not a tensor"))
    }

    /// All values in topological order.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = Value> + use<> {
        (0..self.nodes.len() as u32).map(Value)
    }
}

/// What a parameter of an entry point's graph is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Argument {
    /// The module's state tensor of that index.
    State(usize),
    /// The function's input of that index.
    Input(usize),
}

/// What a result of an entry point's graph is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResultSlot {
    /// The new value of the module's state tensor of that index. State tensors that no result names stay as they are.
    State(usize),
    /// The function's output of that index.
    Output(usize),
}

/// An entry point: a graph, and what its parameters and results are.
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    /// `init`, `predict`, `train_step`, `test_step`, `metric_results`.
    pub name: String,
    /// Arguments that are not state.
    pub inputs: Vec<Input>,
    /// Results that are not state.
    pub outputs: Vec<Output>,
    /// One a parameter of the graph.
    pub arguments: Vec<Argument>,
    /// One a result of the graph.
    pub results: Vec<ResultSlot>,
    /// The computation.
    pub graph: Graph,
}

/// A traced model: its state and its entry points.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Module {
    /// Facts for people.
    pub model: ModelInfo,
    /// The state tensors that functions refer to by index.
    pub state: Vec<StateTensor>,
    /// The entry points.
    pub functions: Vec<Function>,
}

impl Module {
    /// The function of that name.
    pub fn function(&self, name: &str) -> Option<&Function> {
        self.functions.iter().find(|function| function.name == name)
    }
}
