//! Groups the ops of an expanded graph into clusters: each becomes one kernel.
//!
//! A cluster has a space of indices over which its kernel iterates. An op joins the cluster of an operand where its result
//! has the same space, so that the operand stays in a register; ops that no cluster takes are *floating*: their
//! consumers compute them where they read them.

use super::contraction;
use super::expand::live;
use kc_ir::Dim;
use kc_ir::tensor::{Graph, Op, Type, TypeError, Value};
use std::collections::BTreeSet;

/// What a cluster's kernel iterates over.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Space {
    /// All elements of a shape.
    Map(Vec<Dim>),
    /// Rows: members have the shape `outer`, or `outer` followed by `inner`; reductions are over all of `inner`.
    Rows { outer: Vec<Dim>, inner: Vec<Dim> },
    /// The elements of one op that computes them by loops of its own (a contraction, a window op, a reduction over leading
    /// axes); the other members are elementwise functions of its result.
    Root { op: Value, shape: Vec<Dim> },
    /// No indices: steps that execute an op's regions. The other members are the tensors of its tuple.
    Regions { op: Value },
    /// The results of one op that computes them by loops of its own and shares them with nothing: the op and its projections.
    Alone { op: Value },
}

impl Space {
    /// Elements of the largest members of a cluster whose own indices these are; 0 for loops that an op has of its own.
    pub fn elements(&self) -> Dim {
        match self {
            Space::Map(shape) => shape.iter().cloned().product(),
            Space::Rows { outer, inner } => outer.iter().chain(inner).cloned().product(),
            Space::Root { .. } | Space::Regions { .. } | Space::Alone { .. } => Dim::default(),
        }
    }
}

/// Ops that become one kernel.
#[derive(Clone, Debug)]
pub(super) struct Cluster {
    /// What is iterated over.
    pub space: Space,
    /// The ops, in topological order.
    pub members: Vec<Value>,
    /// Clusters whose results it reads, directly or through floating ops.
    pub reads: BTreeSet<usize>,
}

/// The clusters of a graph.
#[derive(Clone, Debug)]
pub(super) struct Clusters {
    /// The clusters; indices are stable, the order is not an execution order.
    pub clusters: Vec<Cluster>,
    /// The cluster of each op; `None` for floating ones.
    pub cluster_of: Vec<Option<usize>>,
    /// Ops that would float, but for how often kernels would compute again what is behind them: their values are stored.
    pub long: Vec<Value>,
    /// The clusters that each op reads through itself and floating operands (its own cluster, if it has one).
    reads: Vec<BTreeSet<usize>>,
    /// How many ops a kernel computes where it reads each op: of one in a cluster 1, which stands for a load.
    computed: Vec<usize>,
    /// The ops that read each op.
    users: Vec<Vec<Value>>,
    /// Levels of the clusters so far: not always the lowest.
    levels: Levels,
}

/// The clusters in levels: each is above those that it reads.
#[derive(Clone, Debug, Default)]
pub(super) struct Levels {
    level: Vec<usize>,
    readers: Vec<Vec<usize>>,
}

impl Levels {
    /// The lowest levels of clusters that do not depend on themselves.
    pub fn of(clusters: &[Cluster]) -> Self {
        let mut readers = vec![vec![]; clusters.len()];
        for (number, cluster) in clusters.iter().enumerate() {
            cluster.reads.iter().for_each(|&read| readers[read].push(number));
        }
        let mut levels = Levels { level: vec![0; clusters.len()], readers };
        let mut missing: Vec<usize> = clusters.iter().map(|cluster| cluster.reads.len()).collect();
        let mut ready: Vec<usize> = (0..clusters.len()).filter(|&number| missing[number] == 0).collect();
        while let Some(number) = ready.pop() {
            for &reader in &levels.readers[number] {
                levels.level[reader] = levels.level[reader].max(levels.level[number] + 1);
                missing[reader] -= 1;
                if missing[reader] == 0 {
                    ready.push(reader);
                }
            }
        }
        levels
    }

    /// The level of a cluster: 0 where it reads none.
    pub fn level(&self, cluster: usize) -> usize {
        self.level[cluster]
    }

    /// Puts a cluster, and those that read it, above one that it reads from now on.
    fn read(&mut self, cluster: usize, read: usize) {
        self.readers[read].push(cluster);
        let mut open = vec![(cluster, self.level[read] + 1)];
        while let Some((number, level)) = open.pop() {
            if self.level[number] < level {
                self.level[number] = level;
                open.extend(self.readers[number].iter().map(|&reader| (reader, level + 1)));
            }
        }
    }
}

/// How an op may take part in a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// No operands, or a graph's parameter: always floating.
    Source,
    /// The result's element depends on the operands' elements at the same index.
    Elementwise,
    /// Moves elements.
    View,
    /// Reduces.
    Reduction,
    /// Computes its result by loops of its own.
    Root,
    /// Executes regions.
    Regions,
    /// One tensor of what regions give.
    Projection,
}

/// The role of an op. Of composites only those of [`Space::Alone`] are there when clusters are made.
pub(super) fn role(op: &Op) -> Role {
    match op {
        Op::Parameter(_) | Op::Constant(_) | Op::Iota(_) | Op::Dimension(_) => Role::Source,
        Op::Unary(_)
        | Op::Binary(_)
        | Op::Compare(_)
        | Op::Select(_)
        | Op::Convert(_)
        | Op::BitcastConvert(_)
        | Op::StopGradient(_) => Role::Elementwise,
        Op::Broadcast(_)
        | Op::Reshape(_)
        | Op::Transpose(_)
        | Op::Slice(_)
        | Op::Pad(_)
        | Op::Reverse(_)
        | Op::Concatenate(_)
        | Op::Gather(_)
        | Op::RandomBits(_) => Role::View,
        Op::OptimizationBarrier(_) => Role::View,
        Op::Reduce(_) | Op::ArgReduce(_) => Role::Reduction,
        Op::DotGeneral(_) | Op::Convolution(_) | Op::ReduceWindow(_) | Op::SelectAndScatter(_) => Role::Root,
        Op::Scatter(_) | Op::Cumulative(_) | Op::Recurrence(_) => Role::Root,
        Op::Sort(_) | Op::TopK(_) | Op::CustomCall(_) => Role::Root,
        Op::Composite(_) | Op::Gradient(_) | Op::Remat(_) | Op::CustomGradient(_) => Role::Root,
        Op::Cond(_) | Op::While(_) | Op::Scan(_) => Role::Regions,
        Op::Projection(_) => Role::Projection,
    }
}

/// Whether the op's results are complete only when all of its loops have ended: its cluster takes no function of them, only the
/// projections that name them.
pub(super) fn is_whole(op: &Op) -> bool {
    scatters(op) || matches!(op, Op::Sort(_) | Op::TopK(_) | Op::CustomCall(_))
}

/// The reduced axes of a reduction.
pub(super) fn reduced_axes(op: &Op) -> Vec<usize> {
    match op {
        Op::Reduce(reduce) => reduce.axes.clone(),
        Op::ArgReduce(reduce) => vec![reduce.axis],
        _ => vec![],
    }
}

/// The largest number of ops that a kernel computes for one that floats.
///
/// A move of elements asks for its operand at other indices, so what two moves read is computed for each of them: without a limit, kernels
/// that weave halves together and take them apart again, level above level, would double at every level.
const LONGEST: usize = 128;

/// How many clusters back a reduction looks for one with the same rows: far ones have left the caches.
const NEAR: usize = 64;

impl Clusters {
    /// Clusters an expanded graph.
    pub fn of(graph: &Graph) -> Self {
        let mut this = Clusters {
            clusters: vec![],
            cluster_of: vec![None; graph.nodes.len()],
            long: vec![],
            reads: vec![BTreeSet::new(); graph.nodes.len()],
            computed: vec![1; graph.nodes.len()],
            users: vec![vec![]; graph.nodes.len()],
            levels: Levels::default(),
        };
        for value in graph.values() {
            graph.node(value).operands.iter().for_each(|operand| this.users[operand.index()].push(value));
        }
        for value in graph.values() {
            this.place(graph, value);
        }
        this.merge_maps(graph);
        this
    }

    /// Makes one of two clusters over the elements of one shape where one reads the other at its own index: an op joins the cluster of
    /// one operand only, and the others' may have begun by themselves.
    fn merge_maps(&mut self, graph: &Graph) {
        for reader in 0..self.clusters.len() {
            let Space::Map(shape) = self.clusters[reader].space.clone() else { continue };
            loop {
                let merges = |&read: &usize| {
                    let others = self.clusters[reader].reads.iter();
                    matches!(&self.clusters[read].space, Space::Map(space) if *space == shape)
                        && !self.reads_through_floating(graph, reader, read)
                        && !others.into_iter().any(|&other| other != read && self.depends(other, read))
                };
                let Some(read) = self.clusters[reader].reads.iter().copied().find(merges) else { break };
                self.merge(read, reader);
            }
        }
    }

    /// Whether a cluster reads another through floating ops, so perhaps at another index.
    fn reads_through_floating(&self, graph: &Graph, cluster: usize, read: usize) -> bool {
        let mut operands = self.clusters[cluster].members.iter().flat_map(|&member| &graph.node(member).operands);
        operands
            .any(|operand| self.cluster_of[operand.index()].is_none() && self.reads[operand.index()].contains(&read))
    }

    /// Moves the members of a cluster to one that reads it, and on which nothing depends that it reads otherwise.
    fn merge(&mut self, from: usize, to: usize) {
        let Cluster { members, reads, .. } = std::mem::replace(
            &mut self.clusters[from],
            Cluster { space: Space::Map(vec![]), members: vec![], reads: BTreeSet::new() },
        );
        let (floating, _) = self.readers(&members);
        for value in floating {
            let reads = &mut self.reads[value.index()];
            if reads.remove(&from) {
                reads.insert(to);
            }
        }
        members.iter().for_each(|member| self.cluster_of[member.index()] = Some(to));
        let cluster = &mut self.clusters[to];
        cluster.members.extend(members);
        cluster.members.sort_unstable();
        self.wait(to, reads);
        for reader in std::mem::take(&mut self.levels.readers[from]) {
            if self.clusters[reader].reads.remove(&from) {
                self.wait(reader, [to]);
            }
        }
    }

    /// Lets a cluster, which they do not depend on, wait for others.
    pub fn wait(&mut self, cluster: usize, others: impl IntoIterator<Item = usize>) {
        for other in others {
            if other != cluster && self.clusters[cluster].reads.insert(other) {
                self.levels.read(cluster, other);
            }
        }
    }

    /// The floating ops, and the clusters, that read values, directly or through floating ops.
    fn readers(&self, values: &[Value]) -> (BTreeSet<Value>, BTreeSet<usize>) {
        let (mut floating, mut clusters) = (BTreeSet::new(), BTreeSet::new());
        let mut open = values.to_vec();
        while let Some(value) = open.pop() {
            for &user in &self.users[value.index()] {
                match self.cluster_of[user.index()] {
                    Some(cluster) => {
                        clusters.insert(cluster);
                    }
                    None if floating.insert(user) => open.push(user),
                    None => {}
                }
            }
        }
        (floating, clusters)
    }

    fn place(&mut self, graph: &Graph, value: Value) {
        let node = graph.node(value);
        let mut reads = BTreeSet::new();
        for &operand in &node.operands {
            match self.cluster_of[operand.index()] {
                Some(cluster) => reads.extend([cluster]),
                None => reads.extend(&self.reads[operand.index()]),
            }
        }
        let joined = match role(&node.op) {
            Role::Source => None,
            Role::Root => Some(match (&node.op, &node.ty) {
                (Op::Composite(_), _) if !contraction::is_one(&node.op) => self.create(Space::Alone { op: value }),
                (_, Type::Tensor(ty)) => self.create(Space::Root { op: value, shape: ty.shape.clone() }),
                // the projections say the shapes
                (_, Type::Tuple(_)) => self.create(Space::Root { op: value, shape: vec![] }),
            }),
            Role::Regions => Some(self.create(Space::Regions { op: value })),
            Role::Projection => self.cluster_of[node.operands[0].index()],
            Role::View => self
                .candidates(graph, value)
                .into_iter()
                .find(|&c| self.takes_view(c, graph, value) && self.can_join(c, graph, value, &reads)),
            Role::Elementwise => {
                let shape = &graph.tensor_type(value).shape;
                let found = self
                    .candidates(graph, value)
                    .into_iter()
                    .find(|&c| self.takes_shape(c, graph, shape) && self.can_join(c, graph, value, &reads));
                // a function of parameters only is computed where it is read
                found.or_else(|| (!reads.is_empty()).then(|| self.create(Space::Map(shape.to_vec()))))
            }
            Role::Reduction => Some(self.place_reduction(graph, value, &reads)),
        };
        let joined = joined.or_else(|| {
            let computed = self.computed_by(graph, value);
            if computed <= LONGEST {
                self.computed[value.index()] = computed;
                return None;
            }
            self.long.push(value);
            Some(self.create(Space::Map(graph.tensor_type(value).shape.clone())))
        });
        if let Some(cluster) = joined {
            self.cluster_of[value.index()] = Some(cluster);
            self.clusters[cluster].members.push(value);
            self.wait(cluster, reads);
            reads = BTreeSet::from([cluster]);
        }
        self.reads[value.index()] = reads;
    }

    /// How many ops a kernel computes where it reads a floating op: at one index each elementwise function once, of what moves read
    /// everything for each of them.
    fn computed_by(&self, graph: &Graph, value: Value) -> usize {
        let mut total = 0;
        let mut open = vec![value];
        let mut seen = BTreeSet::from([value]);
        while let Some(next) = open.pop() {
            total += 1;
            let node = graph.node(next);
            for &operand in &node.operands {
                let floats = self.cluster_of[operand.index()].is_none();
                if role(&node.op) != Role::Elementwise {
                    total += self.computed[operand.index()];
                } else if seen.insert(operand) {
                    match role(&graph.node(operand).op) {
                        Role::Elementwise if floats => open.push(operand),
                        _ => total += self.computed[operand.index()],
                    }
                }
            }
        }
        total
    }

    /// Clusters of the operands, the latest first.
    fn candidates(&self, graph: &Graph, value: Value) -> Vec<usize> {
        let found: BTreeSet<usize> =
            graph.node(value).operands.iter().filter_map(|operand| self.cluster_of[operand.index()]).collect();
        found.into_iter().rev().collect()
    }

    fn create(&mut self, space: Space) -> usize {
        self.clusters.push(Cluster { space, members: vec![], reads: BTreeSet::new() });
        self.levels.level.push(0);
        self.levels.readers.push(vec![]);
        self.clusters.len() - 1
    }

    fn takes_shape(&self, cluster: usize, graph: &Graph, shape: &[Dim]) -> bool {
        match &self.clusters[cluster].space {
            Space::Root { op, .. } if is_whole(&graph.node(*op).op) => false,
            Space::Alone { .. } => false,
            Space::Map(space) => space == shape,
            Space::Rows { outer, inner } => outer == shape || outer.iter().chain(inner).eq(shape),
            Space::Root { shape: space, .. } => space == shape,
            Space::Regions { .. } => false,
        }
    }

    /// Whether a view of a row's value is that value for the whole row: rows keep such views in registers.
    fn takes_view(&self, cluster: usize, graph: &Graph, value: Value) -> bool {
        let Space::Rows { outer, inner } = &self.clusters[cluster].space else { return false };
        let node = graph.node(value);
        let operand = node.operands[0];
        if self.cluster_of[operand.index()] != Some(cluster) || graph.tensor_type(operand).shape != *outer {
            return false;
        }
        let shape = &graph.tensor_type(value).shape;
        matches!(&node.op, Op::Broadcast(b) if outer.iter().chain(inner).eq(shape) && b.axes.iter().copied().eq(0..outer.len()))
    }

    /// Whether an op may join: what it reads of the cluster it reads directly (so at the same index), and nothing else that it
    /// reads depends on the cluster.
    fn can_join(&self, cluster: usize, graph: &Graph, value: Value, reads: &BTreeSet<usize>) -> bool {
        let through_floating = graph.node(value).operands.iter().any(|operand| {
            self.cluster_of[operand.index()].is_none() && self.reads[operand.index()].contains(&cluster)
        });
        // rows and elements are different indices: an op of one shape must not read a member of the other directly
        let same_shape = graph.node(value).operands.iter().all(|operand| {
            self.cluster_of[operand.index()] != Some(cluster)
                || !matches!(role(&graph.node(value).op), Role::Elementwise)
                || graph.tensor_type(*operand).shape == graph.tensor_type(value).shape
        });
        let depends = |&other: &usize| other != cluster && self.depends(other, cluster);
        !through_floating && same_shape && !reads.iter().any(depends)
    }

    /// Whether `cluster` depends on `on`.
    pub fn depends(&self, cluster: usize, on: usize) -> bool {
        let mut seen = BTreeSet::new();
        let mut open = vec![cluster];
        while let Some(next) = open.pop() {
            if next == on {
                return true;
            }
            if self.levels.level[next] > self.levels.level[on] && seen.insert(next) {
                open.extend(&self.clusters[next].reads);
            }
        }
        false
    }

    fn place_reduction(&mut self, graph: &Graph, value: Value, reads: &BTreeSet<usize>) -> usize {
        let node = graph.node(value);
        let operand = node.operands[0];
        let operand_shape = &graph.tensor_type(operand).shape;
        let axes = reduced_axes(&node.op);
        let outer_rank = operand_shape.len() - axes.len();
        if !axes.iter().copied().eq(outer_rank..operand_shape.len()) {
            return self.create(Space::Root { op: value, shape: graph.tensor_type(value).shape.clone() });
        }
        let space =
            Space::Rows { outer: operand_shape[..outer_rank].to_vec(), inner: operand_shape[outer_rank..].to_vec() };
        // the operand's own cluster first, then any with the same rows
        let own = self.cluster_of[operand.index()];
        let others = (0..self.clusters.len()).rev().take(NEAR).filter(|&c| self.clusters[c].space == space);
        let candidates: Vec<usize> = own.into_iter().chain(others).collect();
        for cluster in candidates {
            let fits = self.clusters[cluster].space == space
                || matches!(&self.clusters[cluster].space, Space::Map(shape) if shape == operand_shape);
            if fits && self.can_join(cluster, graph, value, reads) {
                self.clusters[cluster].space = space;
                return cluster;
            }
        }
        self.create(space)
    }

    /// Gives a floating op a cluster of its own.
    pub fn anchor(&mut self, graph: &Graph, value: Value) -> usize {
        let cluster = self.create(Space::Map(graph.tensor_type(value).shape.clone()));
        self.clusters[cluster].members.push(value);
        self.wait(cluster, self.reads[value.index()].clone());
        self.cluster_of[value.index()] = Some(cluster);
        // the clusters that the op reads stay among its readers' reads: they must run before all the same
        self.announce(value, cluster);
        cluster
    }

    /// Whether a cluster reads a value through a view, that is, at an index that may not be its own. What it reads `is_given`, or is
    /// computed by it once more.
    pub fn reads_through_view(
        &self,
        graph: &Graph,
        cluster: usize,
        value: Value,
        is_given: impl Fn(Value) -> bool,
    ) -> bool {
        let mut through_view = BTreeSet::new();
        let mut open: Vec<(Value, bool)> = self.clusters[cluster]
            .members
            .iter()
            .flat_map(|&member| {
                let operands = graph.node(member).operands.iter().enumerate();
                operands.map(move |(position, &operand)| (operand, !reads_at_own_index(graph, member, position)))
            })
            .collect();
        let mut seen = BTreeSet::new();
        while let Some((next, viewed)) = open.pop() {
            if !seen.insert((next, viewed)) || self.cluster_of[next.index()] == Some(cluster) {
                continue;
            }
            if viewed {
                through_view.insert(next);
            }
            if is_given(next) {
                continue;
            }
            let operands = graph.node(next).operands.iter().enumerate();
            open.extend(
                operands.map(|(position, &operand)| (operand, viewed || !reads_at_own_index(graph, next, position))),
            );
        }
        through_view.contains(&value)
    }

    /// Gives an op that nothing else reads a cluster of its own.
    pub fn expel(&mut self, graph: &Graph, value: Value) {
        let Some(old) = self.cluster_of[value.index()] else {
            self.anchor(graph, value);
            return;
        };
        self.clusters[old].members.retain(|&member| member != value);
        let cluster = self.create(Space::Map(graph.tensor_type(value).shape.clone()));
        self.clusters[cluster].members.push(value);
        self.wait(cluster, [old]);
        self.cluster_of[value.index()] = Some(cluster);
    }

    /// Makes a floating op that has the cluster's space a member of it.
    pub fn adopt(&mut self, cluster: usize, value: Value) {
        self.cluster_of[value.index()] = Some(cluster);
        let members = &mut self.clusters[cluster].members;
        let place = members.partition_point(|&member| member < value);
        members.insert(place, value);
        self.wait(cluster, self.reads[value.index()].clone());
        self.announce(value, cluster);
    }

    /// Everything that reads a value, directly or through floating ops, reads its new cluster.
    fn announce(&mut self, value: Value, cluster: usize) {
        let (floating, readers) = self.readers(&[value]);
        floating.into_iter().for_each(|value| {
            self.reads[value.index()].insert(cluster);
        });
        readers.into_iter().for_each(|reader| self.wait(reader, [cluster]));
    }
}

/// Whether an op reads the operand of that position at its own index only.
fn reads_at_own_index(graph: &Graph, value: Value, position: usize) -> bool {
    match &graph.node(value).op {
        // the tensor that is updated
        Op::Scatter(_) => position == 0,
        op => role(op) == Role::Elementwise,
    }
}

/// Whether an op's result is complete only when all tasks have ended.
pub(super) fn scatters(op: &Op) -> bool {
    matches!(op, Op::SelectAndScatter(_) | Op::Scatter(_))
}

/// Splits reductions over several axes: large ones first over all but the first axis, then over that, so that the first part
/// has independent rows to share among threads; others such that trailing axes are reduced by themselves.
pub(super) fn split_reductions(graph: Graph, nominal: &dyn Fn(&Dim) -> i64) -> Result<Graph, TypeError> {
    const LARGE: i64 = 1 << 14;
    let mut builder = kc_ir::tensor::Builder::new();
    let mut values: Vec<Value> = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        builder.set_location(node.location.clone());
        let operands: Vec<Value> = node.operands.iter().map(|operand| values[operand.index()]).collect();
        let value = match &node.op {
            Op::Parameter(parameter) => builder.parameter(&parameter.name, parameter.ty.clone())?,
            Op::Reduce(reduce) => {
                let rank = builder.tensor_type(operands[0]).rank();
                let large = reduce.axes.len() > 1
                    && reduce.axes[0] == 0
                    && nominal(&builder.tensor_type(operands[0]).elements()) > LARGE;
                let suffix =
                    reduce.axes.iter().rev().zip((0..rank).rev()).take_while(|(axis, last)| **axis == *last).count();
                if large {
                    let partial = builder.reduce(reduce.kind, &reduce.axes[1..], operands[0])?;
                    builder.reduce(reduce.kind, &[0], partial)?
                } else if suffix > 0 && suffix < reduce.axes.len() {
                    let (leading, trailing) = reduce.axes.split_at(reduce.axes.len() - suffix);
                    let partial = builder.reduce(reduce.kind, trailing, operands[0])?;
                    builder.reduce(reduce.kind, leading, partial)?
                } else {
                    builder.reduce(reduce.kind, &reduce.axes, operands[0])?
                }
            }
            op => builder.add(op.clone(), &operands)?,
        };
        values.push(value);
    }
    let results = graph.results.iter().map(|result| values[result.index()]).collect();
    Ok(live(builder.finish(results)))
}
