//! Decides which values are stored in buffers; all others are computed where they are read.

use super::cluster::{Clusters, Role, Space, is_whole, role};
use super::expand::strides;
use kc_ir::Dim;
use kc_ir::tensor::operations;
use kc_ir::tensor::{Graph, Op, Value};
use std::collections::{BTreeMap, BTreeSet};

/// A value seen through moves of its elements: the element at index `i` is at `offset + sum of i[axis]*strides[axis]` of the
/// buffer of `base`.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub base: Value,
    pub offset: Dim,
    pub strides: Vec<Dim>,
}

/// Follows transposes, broadcasts, slices and reshapes of dense tensors down to what they move.
pub(super) fn view(graph: &Graph, value: Value) -> View {
    let node = graph.node(value);
    let shape = &graph.tensor_type(value).shape;
    let dense = View { base: value, offset: Dim::default(), strides: strides(shape) };
    let inner = |operand: Value| view(graph, operand);
    match &node.op {
        Op::OptimizationBarrier(_) => inner(node.operands[0]),
        Op::Transpose(transpose) => {
            let mut view = inner(node.operands[0]);
            view.strides = transpose.permutation.iter().map(|&axis| view.strides[axis].clone()).collect();
            view
        }
        Op::Broadcast(broadcast) => {
            let view = inner(node.operands[0]);
            let operand_shape = &graph.tensor_type(node.operands[0]).shape;
            let mut moved = vec![Dim::default(); shape.len()];
            for (i, &axis) in broadcast.axes.iter().enumerate() {
                if !operand_shape[i].is(1) {
                    moved[axis] = view.strides[i].clone();
                }
            }
            View { strides: moved, ..view }
        }
        Op::Slice(slice) => {
            let mut view = inner(node.operands[0]);
            for axis in 0..shape.len() {
                view.offset = view.offset.clone() + slice.start[axis].clone() * view.strides[axis].clone();
                view.strides[axis] = view.strides[axis].clone() * Dim::constant(slice.stride[axis]);
            }
            view
        }
        Op::Reshape(_) => {
            let view = inner(node.operands[0]);
            let operand_shape = &graph.tensor_type(node.operands[0]).shape;
            let is_dense = view
                .strides
                .iter()
                .zip(strides(operand_shape))
                .zip(operand_shape)
                .all(|((a, b), extent)| extent.is(1) || *a == b);
            if is_dense { View { strides: strides(shape), ..view } } else { dense }
        }
        _ => dense,
    }
}

/// The largest number of elementwise ops that are computed again rather than stored and loaded.
const CHEAP: usize = 4;

/// Values in buffers.
#[derive(Clone, Debug, Default)]
pub(super) struct Stored {
    /// The values, parameters and constants not among them.
    pub values: BTreeSet<Value>,
}

impl Stored {
    /// Decides for a graph whose results (all of them computed values) must be stored. Floating values that must be stored are
    /// given clusters.
    pub fn decide(graph: &Graph, clusters: &mut Clusters, operands_of_roots: &[Value]) -> Self {
        let mut stored = Stored::default();
        for &value in graph.results.iter().chain(operands_of_roots) {
            stored.require(graph, clusters, value);
        }
        stored.share_expensive(graph, clusters);
        for cluster in 0..clusters.clusters.len() {
            let mut open: Vec<Value> = clusters.clusters[cluster]
                .members
                .iter()
                .flat_map(|&member| graph.node(member).operands.clone())
                .collect();
            let mut seen = BTreeSet::new();
            while let Some(value) = open.pop() {
                if !seen.insert(value)
                    || stored.is_leaf(graph, value)
                    || clusters.cluster_of[value.index()] == Some(cluster)
                {
                    continue;
                }
                if clusters.cluster_of[value.index()].is_some() && !stored.is_cheap(graph, value) {
                    stored.values.insert(value);
                    continue;
                }
                open.extend(&graph.node(value).operands);
            }
        }
        stored
    }

    fn require(&mut self, graph: &Graph, clusters: &mut Clusters, value: Value) {
        if self.is_leaf(graph, value) {
            return;
        }
        if clusters.cluster_of[value.index()].is_none() {
            clusters.anchor(graph, value);
        }
        self.values.insert(value);
    }

    /// Whether a value is read from a buffer or needs no reading.
    pub fn is_leaf(&self, graph: &Graph, value: Value) -> bool {
        role(&graph.node(value).op) == Role::Source || self.values.contains(&value)
    }

    /// Whether computing a value again costs less than a buffer: few elementwise ops of stored values, none of them a
    /// reduction, a random number or a transcendental function.
    fn is_cheap(&self, graph: &Graph, value: Value) -> bool {
        let mut ops = 0;
        let mut open = vec![value];
        let mut seen = BTreeSet::new();
        while let Some(next) = open.pop() {
            if !seen.insert(next) || (next != value && self.is_leaf(graph, next)) {
                continue;
            }
            let op = &graph.node(next).op;
            ops += 1;
            if ops > CHEAP
                || is_expensive(op)
                || matches!(role(op), Role::Root | Role::Reduction | Role::Regions | Role::Projection)
            {
                return false;
            }
            open.extend(&graph.node(next).operands);
        }
        true
    }

    /// Stores floating values that are expensive and read by several clusters: the last op of each such chain.
    fn share_expensive(&mut self, graph: &Graph, clusters: &mut Clusters) {
        let mut expensive = vec![false; graph.nodes.len()];
        for value in graph.values() {
            let node = graph.node(value);
            let floating = clusters.cluster_of[value.index()].is_none() && !self.is_leaf(graph, value);
            expensive[value.index()] =
                floating && (is_expensive(&node.op) || node.operands.iter().any(|operand| expensive[operand.index()]));
        }
        // the clusters that read each of them, directly or through floating ops: those of later ops are known before
        let mut readers: BTreeMap<Value, BTreeSet<usize>> = BTreeMap::new();
        for value in graph.values().rev() {
            let mut own = readers.remove(&value).unwrap_or_default();
            if expensive[value.index()] && own.len() > 1 {
                match self.host(graph, clusters, value, &own) {
                    Some(host) => clusters.adopt(host, value),
                    None => {
                        clusters.anchor(graph, value);
                    }
                }
                self.values.insert(value);
            }
            if let Some(cluster) = clusters.cluster_of[value.index()] {
                own = BTreeSet::from([cluster]);
            }
            for &operand in graph.node(value).operands.iter().filter(|operand| expensive[operand.index()]) {
                readers.entry(operand).or_default().extend(&own);
            }
        }
    }

    /// The first of the clusters that read a value which has the same elements and may compute it.
    fn host(&self, graph: &Graph, clusters: &Clusters, value: Value, readers: &BTreeSet<usize>) -> Option<usize> {
        let shape = &graph.tensor_type(value).shape;
        readers.iter().copied().find(|&c| {
            let same_elements = match &clusters.clusters[c].space {
                Space::Root { op, .. } if is_whole(&graph.node(*op).op) => false,
                Space::Map(space) | Space::Root { shape: space, .. } => space == shape,
                Space::Rows { .. } | Space::Regions { .. } | Space::Alone { .. } => false,
            };
            let is_given = |other: Value| clusters.cluster_of[other.index()].is_some();
            same_elements
                && role(&graph.node(value).op) == Role::Elementwise
                && !clusters.reads_through_view(graph, c, value, is_given)
                && !readers.iter().any(|&other| other != c && clusters.depends(c, other))
        })
    }
}

/// Ops that cost more than a load and a store.
fn is_expensive(op: &Op) -> bool {
    let costs_more = |each: operations::Executed| each.operations() > operations::LOAD_AND_STORE;
    matches!(op, Op::RandomBits(_)) || operations::elementwise(op).is_some_and(costs_more)
}
