use super::composites::Composite;
use super::ops::*;
use super::{Graph, Literal, Location, Node, Op, Scalar, Type, TypeError, Value};
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use kc_abi::{DType, Dim, TensorType};
use std::collections::HashSet;
use std::hash::BuildHasher;
use std::sync::Arc;

/// Builds a [`Graph`] in topological order. Each op is checked as it is added, and an op that is there already with the same
/// operands is not added again.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    graph: Graph,
    /// Nodes that later ones are taken for, each with the hash of its op and operands.
    known: HashTable<(u64, Value)>,
    hasher: DefaultHashBuilder,
    /// Types of composites, whose rule is that of their bodies.
    composites: HashMap<(Composite, Vec<Type>), Type>,
    location: Option<Arc<Location>>,
    /// Nodes that belong to regions, which [`Builder::finish`] leaves out.
    pub(super) in_regions: HashSet<Value>,
    /// Where each region that is being traced starts.
    pub(super) open_regions: Vec<Value>,
}

impl Builder {
    /// A builder of an empty graph.
    pub fn new() -> Self {
        Builder::default()
    }

    /// The graph so far.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The graph with these results.
    pub fn finish(mut self, results: Vec<Value>) -> Graph {
        self.graph.results = results;
        if !self.in_regions.is_empty() {
            self.leave_regions_out();
        }
        self.graph
    }

    fn leave_regions_out(&mut self) {
        let mut renamed: Vec<Value> = Vec::with_capacity(self.graph.nodes.len());
        let mut kept = 0;
        for value in self.graph.values() {
            renamed.push(Value(kept));
            kept += u32::from(!self.in_regions.contains(&value));
        }
        let rename = |value: &mut Value| *value = renamed[value.index()];
        let mut position = 0;
        self.graph.nodes.retain(|_| {
            position += 1;
            !self.in_regions.contains(&Value(position - 1))
        });
        let Graph { nodes, parameters, results } = &mut self.graph;
        nodes.iter_mut().flat_map(|node| &mut node.operands).for_each(rename);
        parameters.iter_mut().chain(results).for_each(rename);
    }

    /// Adds a node that no later one is taken for.
    pub(super) fn push(&mut self, op: Op, operands: Vec<Value>, ty: Type) -> Value {
        self.graph.nodes.push(Node { op, operands, ty, location: self.location.clone() });
        Value(self.graph.nodes.len() as u32 - 1)
    }

    /// Makes a node part of a region: no later op is taken for it.
    pub(super) fn move_to_region(&mut self, value: Value) {
        let node = self.graph.node(value);
        let hash = self.hash(&node.op, &node.operands);
        if let Ok(entry) = self.known.find_entry(hash, |&(_, known)| known == value) {
            entry.remove();
        }
        self.in_regions.insert(value);
    }

    /// Ops added from now on carry this location; returns the previous one.
    pub fn set_location(&mut self, location: Option<Arc<Location>>) -> Option<Arc<Location>> {
        std::mem::replace(&mut self.location, location)
    }

    /// The type of a value that is one tensor.
    ///
    /// # Panics
    /// Where the value is a tuple.
    pub fn tensor_type(&self, value: Value) -> &TensorType {
        self.graph.tensor_type(value)
    }

    /// Adds an op, or finds it.
    pub fn add(&mut self, op: impl Into<Op>, operands: &[Value]) -> Result<Value, TypeError> {
        let op = op.into();
        let hash = self.hash(&op, operands);
        let is_this = |&(_, value): &(u64, Value)| {
            let node = self.graph.node(value);
            node.operands == operands && node.op == op
        };
        if let Some(&(_, value)) = self.known.find(hash, is_this) {
            return Ok(value);
        }
        let ty = self.infer(&op, operands)?;
        let value = self.push(op, operands.to_vec(), ty);
        self.known.insert_unique(hash, (hash, value), |&(hash, _)| hash);
        Ok(value)
    }

    fn hash(&self, op: &Op, operands: &[Value]) -> u64 {
        self.hasher.hash_one((op, operands))
    }

    /// The type of an op; a composite's body is built once for operands of the same types.
    fn infer(&mut self, op: &Op, operands: &[Value]) -> Result<Type, TypeError> {
        let types: Vec<&Type> = operands.iter().map(|&operand| &self.graph.node(operand).ty).collect();
        let Op::Composite(composite) = op else { return op.infer(&types) };
        let key = (composite.clone(), types.iter().copied().cloned().collect());
        if let Some(ty) = self.composites.get(&key) {
            return Ok(ty.clone());
        }
        let ty = op.infer(&types)?;
        self.composites.insert(key, ty.clone());
        Ok(ty)
    }

    /// Adds the next parameter of the graph.
    pub fn parameter(&mut self, name: &str, ty: TensorType) -> Result<Value, TypeError> {
        let value = self.add(Parameter { index: self.graph.parameters.len(), name: name.to_string(), ty }, &[])?;
        self.graph.parameters.push(value);
        Ok(value)
    }

    /// Adds another graph's nodes with its parameters bound to `arguments`; returns its results' values.
    pub fn inline(&mut self, graph: &Graph, arguments: &[Value]) -> Result<Vec<Value>, TypeError> {
        let mut values = Vec::with_capacity(graph.nodes.len());
        for node in &graph.nodes {
            let value = match &node.op {
                Op::Parameter(parameter) => *arguments.get(parameter.index).ok_or_else(|| {
                    TypeError::new(
                        "inline",
                        format!("the graph takes {} arguments, got {}", graph.parameters.len(), arguments.len()),
                    )
                })?,
                op => {
                    let operands: Vec<Value> = node.operands.iter().map(|operand| values[operand.index()]).collect();
                    let outer = self.location.clone();
                    if node.location.is_some() {
                        self.location = node.location.clone();
                    }
                    let added = self.add(op.clone(), &operands);
                    self.location = outer;
                    added?
                }
            };
            values.push(value);
        }
        Ok(graph.results.iter().map(|result| values[result.index()]).collect())
    }

    /// The tensors of a value: itself, or the projections of a tuple.
    pub fn projections(&mut self, value: Value) -> Result<Vec<Value>, TypeError> {
        match self.graph.node(value).ty.clone() {
            Type::Tensor(_) => Ok(vec![value]),
            Type::Tuple(types) => (0..types.len()).map(|index| self.add(Projection { index }, &[value])).collect(),
        }
    }

    /// The operands of a composite as an array, where their number is right.
    pub fn operands<const N: usize>(&self, op: &str, operands: &[Value]) -> Result<[Value; N], TypeError> {
        operands.try_into().map_err(|_| TypeError::new(op, format!("expected {N} operands, got {}", operands.len())))
    }

    // --- conveniences that add one or two ops ---

    /// A constant.
    pub fn constant(&mut self, value: Literal) -> Result<Value, TypeError> {
        self.add(Constant { value }, &[])
    }

    /// The value of a dimension as a scalar: a constant where it is known.
    pub fn dimension(&mut self, dim: Dim, dtype: DType) -> Result<Value, TypeError> {
        match dim.as_constant() {
            Some(extent) => self.constant(Literal::scalar(dtype, extent)),
            None => self.add(Dimension { dim, dtype }, &[]),
        }
    }

    /// A scalar constant, broadcast to a shape.
    pub fn splat(&mut self, dtype: DType, value: impl Into<Scalar>, shape: &[Dim]) -> Result<Value, TypeError> {
        let scalar = self.constant(Literal::scalar(dtype, value))?;
        self.broadcast(scalar, shape, &[])
    }

    /// A scalar constant with the type of another value.
    pub fn splat_like(&mut self, value: impl Into<Scalar>, like: Value) -> Result<Value, TypeError> {
        let ty = self.tensor_type(like).clone();
        self.splat(ty.dtype, value, &ty.shape)
    }

    /// Elementwise function.
    pub fn unary(&mut self, function: Unary, x: Value) -> Result<Value, TypeError> {
        self.add(function, &[x])
    }

    /// Elementwise function; the operands' shapes are broadcast to each other as numpy does, their dtypes must agree.
    pub fn binary(&mut self, function: Binary, a: Value, b: Value) -> Result<Value, TypeError> {
        let (a, b) = self.broadcast_together(function.text(), a, b)?;
        self.add(function, &[a, b])
    }

    /// Elementwise comparison, broadcast likewise.
    pub fn compare(&mut self, function: Compare, a: Value, b: Value) -> Result<Value, TypeError> {
        let (a, b) = self.broadcast_together(function.text(), a, b)?;
        self.add(function, &[a, b])
    }

    /// Elementwise choice; all operands must be of one shape.
    pub fn select(&mut self, condition: Value, on_true: Value, on_false: Value) -> Result<Value, TypeError> {
        self.add(Select {}, &[condition, on_true, on_false])
    }

    /// Conversion; nothing is added where the dtype is that already.
    pub fn convert(&mut self, dtype: DType, x: Value) -> Result<Value, TypeError> {
        if self.tensor_type(x).dtype == dtype { Ok(x) } else { self.add(Convert { dtype }, &[x]) }
    }

    /// Broadcast; nothing is added where the shape is that already.
    pub fn broadcast(&mut self, x: Value, shape: &[Dim], axes: &[usize]) -> Result<Value, TypeError> {
        if self.tensor_type(x).shape == shape && axes.iter().copied().eq(0..shape.len()) {
            return Ok(x);
        }
        self.add(Broadcast { shape: shape.to_vec(), axes: axes.to_vec() }, &[x])
    }

    /// Broadcast to a shape as numpy does: missing axes are leading, unit extents are repeated.
    pub fn broadcast_to(&mut self, x: Value, shape: &[Dim]) -> Result<Value, TypeError> {
        let rank = self.tensor_type(x).rank();
        let Some(missing) = shape.len().checked_sub(rank) else {
            let ty = self.tensor_type(x);
            return Err(TypeError::new(
                "broadcast",
                format!("{ty} has more axes than the shape to broadcast to, which has {}", shape.len()),
            ));
        };
        self.broadcast(x, shape, &(missing..shape.len()).collect::<Vec<_>>())
    }

    /// Both operands, broadcast to their common shape.
    pub fn broadcast_together(&mut self, op: &str, a: Value, b: Value) -> Result<(Value, Value), TypeError> {
        let (left, right) = (self.tensor_type(a), self.tensor_type(b));
        if left.shape == right.shape {
            return Ok((a, b));
        }
        let shape = broadcast_shapes(&left.shape, &right.shape)
            .ok_or_else(|| TypeError::new(op, format!("{left} and {right} cannot be broadcast to one shape")))?;
        Ok((self.broadcast_to(a, &shape)?, self.broadcast_to(b, &shape)?))
    }

    /// Reshape; nothing is added where the shape is that already.
    pub fn reshape(&mut self, x: Value, shape: &[Dim]) -> Result<Value, TypeError> {
        if self.tensor_type(x).shape == shape { Ok(x) } else { self.add(Reshape { shape: shape.to_vec() }, &[x]) }
    }

    /// Transpose; nothing is added for the identity.
    pub fn transpose(&mut self, x: Value, permutation: &[usize]) -> Result<Value, TypeError> {
        if permutation.len() == self.tensor_type(x).rank() && permutation.iter().copied().eq(0..permutation.len()) {
            return Ok(x);
        }
        self.add(Transpose { permutation: permutation.to_vec() }, &[x])
    }

    /// Reduction; nothing is added for no axes.
    pub fn reduce(&mut self, kind: Reduction, axes: &[usize], x: Value) -> Result<Value, TypeError> {
        if axes.is_empty() { Ok(x) } else { self.add(Reduce { kind, axes: axes.to_vec() }, &[x]) }
    }

    /// Reduction, repeated along the reduced axes: a tensor of the operand's shape.
    pub fn reduce_keep(&mut self, kind: Reduction, axes: &[usize], x: Value) -> Result<Value, TypeError> {
        let shape = self.tensor_type(x).shape.clone();
        let reduced = self.reduce(kind, axes, x)?;
        let kept: Vec<usize> = (0..shape.len()).filter(|a| !axes.contains(a)).collect();
        self.broadcast(reduced, &shape, &kept)
    }

    /// Matrix product of `[m, k]` and `[k, n]`.
    pub fn matmul(&mut self, a: Value, b: Value) -> Result<Value, TypeError> {
        let op = DotGeneral { lhs_batch: vec![], rhs_batch: vec![], lhs_contract: vec![1], rhs_contract: vec![0] };
        self.add(op, &[a, b])
    }
}

/// The shape that two shapes are broadcast to, as numpy does; `None` if there is none.
pub fn broadcast_shapes(a: &[Dim], b: &[Dim]) -> Option<Vec<Dim>> {
    let rank = a.len().max(b.len());
    let at = |shape: &[Dim], i: usize| {
        (i + shape.len()).checked_sub(rank).map(|i| shape[i].clone()).unwrap_or(Dim::constant(1))
    };
    (0..rank)
        .map(|i| {
            let (x, y) = (at(a, i), at(b, i));
            if x == y || y.is(1) {
                Some(x)
            } else if x.is(1) {
                Some(y)
            } else {
                None
            }
        })
        .collect()
}
