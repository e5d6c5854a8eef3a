//! What the right sides of rules compute from the attributes, types and constants that their left sides bound.
//!
//! A computation that gives `None` says that the rule does not apply.

mod attention;
mod indexed;

use super::facts::EGraph;
use crate::simplify;
use egg::Id;
use kc_ir::tensor::composites::{
    Activation, CategoricalCrossEntropy, CategoricalCrossEntropyGradient, CategoricalCrossEntropyWithGradient,
    Composite, ConvolutionBias, Dense, Relu, Scores, WinogradConvolution, WinogradFilters,
};
use kc_ir::tensor::ops::{
    Broadcast, Concatenate, Constant, ConvolutionAxes, DotGeneral, Extremum, Gather, Projection, Reshape, Slice,
    Transpose,
};
use kc_ir::tensor::{Builder, Graph, Literal, Op, Value};
use kc_ir::{DType, Dim, TensorType};

/// What a computation is given.
pub(crate) struct Arguments<'a> {
    egraph: &'a EGraph,
    ids: Vec<Id>,
}

impl<'a> Arguments<'a> {
    pub fn new(egraph: &'a EGraph, ids: Vec<Id>) -> Self {
        Arguments { egraph, ids }
    }
    fn op(&self, position: usize) -> Option<&Op> {
        self.egraph[*self.ids.get(position)?].data.attributes().map(|op| &**op)
    }
    fn ty(&self, position: usize) -> Option<&TensorType> {
        self.egraph[*self.ids.get(position)?].data.tensor()
    }
    fn splat(&self, position: usize) -> Option<&Literal> {
        self.egraph[*self.ids.get(position)?].data.splat()
    }
    fn contraction(&self, position: usize) -> Option<&DotGeneral> {
        match self.op(position)? {
            Op::DotGeneral(contraction) => Some(contraction),
            _ => None,
        }
    }
    fn broadcast(&self, position: usize) -> Option<&Broadcast> {
        match self.op(position)? {
            Op::Broadcast(broadcast) => Some(broadcast),
            _ => None,
        }
    }
    fn gather(&self, position: usize) -> Option<&Gather> {
        match self.op(position)? {
            Op::Gather(gather) => Some(gather),
            _ => None,
        }
    }
    fn permutation(&self, position: usize) -> Option<&[usize]> {
        match self.op(position)? {
            Op::Transpose(Transpose { permutation }) => Some(permutation),
            _ => None,
        }
    }
    /// Parameters for the operands from a position on.
    fn parameters(&self, builder: &mut Builder, first: usize) -> Option<Vec<Value>> {
        (first..self.ids.len()).map(|position| builder.parameter("operand", self.ty(position)?.clone()).ok()).collect()
    }
    /// Inputs, heads and features of a kernel of a projection to heads.
    fn heads(&self, position: usize) -> Option<[Dim; 3]> {
        self.ty(position)?.shape.clone().try_into().ok()
    }
    /// The axis along which a broadcast lays a vector, where it repeats nothing of the vector itself.
    fn vector_axis(&self, broadcast: usize, vector: usize) -> Option<usize> {
        let (broadcast, ty) = (self.broadcast(broadcast)?, self.ty(vector)?);
        match broadcast.axes.as_slice() {
            [axis] if ty.shape[0] == broadcast.shape[*axis] => Some(*axis),
            _ => None,
        }
    }
}

type Computation = fn(&Arguments) -> Option<Op>;

/// Every computation, by name.
const COMPUTATIONS: &[(&str, Computation)] = &[
    ("dense", |a| {
        let (contraction, broadcast) = (a.contraction(0)?, a.broadcast(1)?);
        let last = broadcast.shape.len().checked_sub(1)?;
        (a.vector_axis(1, 2)? == last)
            .then(|| Dense { contraction: contraction.clone(), activation: Activation::Identity }.into())
    }),
    ("convolution_bias", |a| {
        let Op::Convolution(convolution) = a.op(0)? else { return None };
        (a.vector_axis(1, 2)? == convolution.axes.out[1])
            .then(|| ConvolutionBias { convolution: convolution.clone(), activation: Activation::Identity }.into())
    }),
    ("relu_op", |_| Some(Relu {}.into())),
    ("relu", |a| activated(a, Activation::Relu)),
    ("logistic", |a| activated(a, Activation::Logistic)),
    ("tanh", |a| activated(a, Activation::Tanh)),
    ("gelu", |a| activated(a, Activation::Gelu)),
    // heads and their features, the last two axes of a kernel and of a result, as one axis
    ("heads_joined", |a| a.heads(0).map(|[inputs, heads, features]| reshape(vec![inputs, heads * features]))),
    ("heads_joined_bias", |a| match a.ty(0)?.shape.as_slice() {
        [heads, features] => Some(reshape(vec![heads.clone() * features.clone()])),
        _ => None,
    }),
    ("dense_of_heads", |a| {
        let (contraction, broadcast, rank) = (a.contraction(0)?, a.broadcast(1)?, a.broadcast(1)?.shape.len());
        let [_, heads, features] = a.heads(2)?;
        let fits = contraction.rhs_batch.is_empty()
            && contraction.rhs_contract == [0]
            && broadcast.axes == [rank.checked_sub(2)?, rank - 1]
            && a.ty(3)?.shape == [heads, features];
        fits.then(|| Dense { contraction: contraction.clone(), activation: Activation::Identity }.into())
    }),
    ("heads_apart", |a| Some(reshape(a.broadcast(0)?.shape.clone()))),
    // the heads of three projections side by side
    ("heads_beside", |a| {
        let contraction = a.contraction(0)?;
        let fits = contraction.rhs_batch.is_empty() && contraction.rhs_contract == [0] && a.heads(1).is_some();
        fits.then(|| Concatenate { axis: 1 }.into())
    }),
    ("biases_beside", |a| (a.ty(0)?.rank() == 2).then(|| Concatenate { axis: 0 }.into())),
    ("thrice_heads", |a| {
        let broadcast = a.broadcast(0)?;
        let shape = thrice(&broadcast.shape)?;
        (broadcast.axes == [2, 3]).then(|| Broadcast { shape, axes: vec![2, 3] }.into())
    }),
    ("first_heads", |a| heads_of(a, 0)),
    ("second_heads", |a| heads_of(a, 1)),
    ("third_heads", |a| heads_of(a, 2)),
    ("untransposed_lhs", |a| {
        let (contraction, permutation) = (a.contraction(0)?, a.permutation(1)?);
        let [batch, contract] =
            [&contraction.lhs_batch, &contraction.lhs_contract].map(|axes| through(axes, permutation));
        in_order(&contraction.lhs_free(permutation.len()), permutation)
            .then(|| DotGeneral { lhs_batch: batch, lhs_contract: contract, ..contraction.clone() }.into())
    }),
    ("untransposed_rhs", |a| {
        let (contraction, permutation) = (a.contraction(0)?, a.permutation(1)?);
        let [batch, contract] =
            [&contraction.rhs_batch, &contraction.rhs_contract].map(|axes| through(axes, permutation));
        in_order(&contraction.rhs_free(permutation.len()), permutation)
            .then(|| DotGeneral { rhs_batch: batch, rhs_contract: contract, ..contraction.clone() }.into())
    }),
    // the contraction with its sides exchanged, where the permutation does just that to the result
    ("exchanged", |a| {
        let (contraction, permutation) = (a.contraction(0)?, a.permutation(1)?);
        let (left, right) = (a.ty(2)?.rank(), a.ty(3)?.rank());
        let batch = contraction.lhs_batch.len();
        let left = contraction.lhs_free(left).len();
        let right = contraction.rhs_free(right).len();
        let exchange = (0..batch).chain(batch + left..batch + left + right).chain(batch..batch + left);
        permutation.iter().copied().eq(exchange).then(|| {
            let DotGeneral { lhs_batch, rhs_batch, lhs_contract, rhs_contract } = contraction.clone();
            DotGeneral {
                lhs_batch: rhs_batch,
                rhs_batch: lhs_batch,
                lhs_contract: rhs_contract,
                rhs_contract: lhs_contract,
            }
            .into()
        })
    }),
    // a vector along the last axis of a contraction, repeated to the shape of the right operand
    ("along_columns", |a| {
        let (contraction, broadcast, rhs) = (a.contraction(0)?, a.broadcast(1)?, a.ty(3)?);
        let last = broadcast.shape.len().checked_sub(1)?;
        let axis = *contraction.rhs_free(rhs.rank()).last()?;
        (a.vector_axis(1, 2)? == last).then(|| Broadcast { shape: rhs.shape.clone(), axes: vec![axis] }.into())
    }),
    // a vector along the features of a convolution, repeated to the shape of the kernel
    ("along_filters", |a| {
        let Op::Convolution(convolution) = a.op(0)? else { return None };
        let kernel = a.ty(3)?;
        let axes = vec![convolution.axes.rhs[0]];
        (a.vector_axis(1, 2)? == convolution.axes.out[1])
            .then(|| Broadcast { shape: kernel.shape.clone(), axes }.into())
    }),
    // the inverse of a splat, as a scalar
    ("inverse", |a| {
        let splat = a.splat(0)?;
        Some(Constant { value: Literal::scalar(splat.dtype(), 1.0 / splat.get(0).to_f64()) }.into())
    }),
    // a scalar repeated to the shape of a tensor
    ("filling", |a| Some(Broadcast { shape: a.ty(0)?.shape.clone(), axes: vec![] }.into())),
    // the cross-entropy of a softmax's operand; of its gradient where the softmax' gradient is along the same axis
    ("of_logits", |a| {
        let Op::Composite(Composite::Softmax(softmax)) = a.op(1)? else { return None };
        if matches!(a.op(2), Some(Op::Composite(Composite::SoftmaxGradient(gradient))) if gradient.axis != softmax.axis)
        {
            return None;
        }
        let clipped = |loss: &CategoricalCrossEntropy| {
            (loss.axis == softmax.axis && loss.scores == Scores::Probabilities)
                .then(|| CategoricalCrossEntropy { scores: Scores::ClippedLogits, ..loss.clone() })
        };
        match a.op(0)? {
            Op::Composite(Composite::CategoricalCrossEntropy(loss)) => Some(clipped(loss)?.into()),
            Op::Composite(Composite::CategoricalCrossEntropyGradient(gradient)) => {
                Some(CategoricalCrossEntropyGradient { loss: clipped(&gradient.loss)? }.into())
            }
            _ => None,
        }
    }),
    ("with_gradient", |a| Some(CategoricalCrossEntropyWithGradient { loss: loss(a.op(0)?)?.clone() }.into())),
    ("first", |_| Some(Projection { index: 0 }.into())),
    ("second", |_| Some(Projection { index: 1 }.into())),
    // a value for each row of a cross-entropy, repeated along the classes
    ("along_classes", |a| {
        let (loss, scores) = (loss(a.op(0)?)?, a.ty(1)?);
        let axes = (0..scores.rank()).filter(|&axis| axis != loss.axis).collect();
        Some(Broadcast { shape: scores.shape.clone(), axes }.into())
    }),
    // the position of the largest along the axis of a softmax
    ("largest_along", |a| match (a.op(0)?, a.op(1)?) {
        (Op::ArgReduce(reduce), Op::Composite(Composite::Softmax(softmax)))
            if reduce.kind == Extremum::Max && reduce.axis == softmax.axis =>
        {
            Some(reduce.clone().into())
        }
        _ => None,
    }),
];

fn reshape(shape: Vec<Dim>) -> Op {
    Reshape { shape }.into()
}

/// `[batch, positions, heads, features]` with three times the heads.
fn thrice(shape: &[Dim]) -> Option<Vec<Dim>> {
    let [batch, positions, heads, features] = shape else { return None };
    Some(vec![batch.clone(), positions.clone(), heads.clone() * Dim::constant(3), features.clone()])
}

/// The heads of that number among three.
fn heads_of(a: &Arguments, number: i64) -> Option<Op> {
    let shape = &a.broadcast(0)?.shape;
    let (mut start, mut limit) = (vec![Dim::default(); 4], thrice(shape)?);
    start[2] = shape[2].clone() * Dim::constant(number);
    limit[2] = shape[2].clone() * Dim::constant(number + 1);
    Some(Slice { start, limit, stride: vec![1; 4] }.into())
}

fn activated(a: &Arguments, activation: Activation) -> Option<Op> {
    match a.op(0)? {
        Op::Composite(Composite::Dense(dense)) => Some(Dense { activation, ..dense.clone() }.into()),
        Op::Composite(Composite::ConvolutionBias(fused)) => {
            Some(ConvolutionBias { activation, ..fused.clone() }.into())
        }
        _ => None,
    }
}

fn loss(op: &Op) -> Option<&CategoricalCrossEntropy> {
    match op {
        Op::Composite(Composite::CategoricalCrossEntropy(loss)) => Some(loss),
        Op::Composite(Composite::CategoricalCrossEntropyGradient(gradient)) => Some(&gradient.loss),
        _ => None,
    }
}

/// The axes before a transposition.
fn through(axes: &[usize], permutation: &[usize]) -> Vec<usize> {
    axes.iter().map(|&axis| permutation[axis]).collect()
}

/// Whether the axes have the same order before a transposition.
fn in_order(axes: &[usize], permutation: &[usize]) -> bool {
    through(axes, permutation).is_sorted()
}

/// A right side `(!name ?attributes.. ?operands..)` that is a graph of the operands; and the position of the first operand.
type Graphs = fn(&Arguments) -> Option<(Graph, usize)>;

/// Every right side that is a graph, by name.
const GRAPHS: &[(&str, Graphs)] = &[
    // `(!body ?attributes ?operands..)`: a composite's body
    ("body", |a| body(a, 0, None)),
    // `(!part ?projection ?attributes ?operands..)`: one of the results of a composite's body
    ("part", |a| match a.op(0)? {
        Op::Projection(projection) => body(a, 1, Some(projection.index)),
        _ => None,
    }),
    // `(!attended ?outer ?softmax ?inner ?q ?k ?v ?m)`: attention, with a bias or without one
    ("attended", |a| attention::of_products(a, None)),
    // `(!attended_scaled ?outer ?softmax ?inner ?scale ?q ?k ?v ?m)`: the same with a scale
    ("attended_scaled", |a| attention::of_products(a, Some(3))),
    // `(!winograd ?convolution ?images ?filters)`: the convolution by tiles of 2 x 2 results
    ("winograd", winograd),
];

/// The body of a composite, simplified, with the operands as parameters, for a right side that is one: its only result, or that of an
/// index.
fn body(arguments: &Arguments, attributes: usize, index: Option<usize>) -> Option<(Graph, usize)> {
    let Op::Composite(composite) = arguments.op(attributes)? else { return None };
    let first = attributes + 1;
    let mut builder = Builder::new();
    let parameters = arguments.parameters(&mut builder, first)?;
    let results = composite.composition().body(&mut builder, &parameters).ok()?;
    let result = match index {
        Some(index) => *results.get(index)?,
        None => *results.first().filter(|_| results.len() == 1)?,
    };
    Some((simplify(&builder.finish(vec![result])), first))
}

/// A convolution of f32 images of known extents, channels last, with 3 x 3 filters, as one by Winograd's tiles.
fn winograd(a: &Arguments) -> Option<(Graph, usize)> {
    let (Op::Convolution(convolution), images, filters) = (a.op(0)?, a.ty(1)?, a.ty(2)?) else { return None };
    let channels_last = ConvolutionAxes::channels_last(2);
    let [features, channels, height, width] = *convolution.axes.rhs.as_slice() else { return None };
    let ones = |values: &[i64]| values.iter().all(|&value| value == 1);
    let &[(top, bottom), (left, right)] = convolution.padding.as_slice() else { return None };
    let fits = images.dtype == DType::F32
        && (&convolution.axes.lhs, &convolution.axes.out) == (&channels_last.lhs, &channels_last.out)
        && ones(&convolution.strides)
        && ones(&convolution.lhs_dilation)
        && ones(&convolution.rhs_dilation)
        && (convolution.feature_groups, convolution.batch_groups) == (1, 1)
        && filters.shape[height].is(3)
        && filters.shape[width].is(3)
        && images.shape[1..].iter().all(|extent| extent.as_constant().is_some());
    let features_extent = filters.shape[features].as_constant()?;
    if !fits {
        return None;
    }
    let mut b = Builder::new();
    let operands = a.parameters(&mut b, 1)?;
    let filters = b.transpose(operands[1], &[height, width, channels, features]).ok()?;
    let filters = b.add(WinogradFilters {}, &[filters]).ok()?;
    let tiled = WinogradConvolution { padding: [(top, bottom), (left, right)], features: features_extent };
    let result = b.add(tiled, &[operands[0], filters]).ok()?;
    Some((simplify(&b.finish(vec![result])), 1))
}

/// What makes the graph of a right side, where the name is of one that is.
pub(crate) fn graph(name: &str) -> Option<Graphs> {
    GRAPHS.iter().find(|(known, _)| *known == name).map(|(_, graph)| *graph)
}

fn computations() -> impl Iterator<Item = &'static (&'static str, Computation)> {
    COMPUTATIONS.iter().chain(indexed::COMPUTATIONS)
}

/// The name in the tables, where it is there.
pub(crate) fn name(name: &str) -> Option<&'static str> {
    let mut known = GRAPHS.iter().map(|(known, _)| *known).chain(computations().map(|(known, _)| *known));
    known.find(|known| *known == name)
}

/// The result of a computation.
pub(crate) fn evaluate(name: &str, arguments: &Arguments) -> Option<Op> {
    computations().find(|(known, _)| *known == name).and_then(|(_, computation)| computation(arguments))
}
