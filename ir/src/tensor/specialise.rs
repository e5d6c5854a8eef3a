use super::composites::Composite;
use super::ops::*;
use super::{Builder, Graph, TypeError, Value};
use kc_abi::{Dim, Symbol, TensorType};

/// The graph for known extents: every symbol for which `value_of` gives a value is replaced by it.
///
/// # Errors
/// Where an extent makes an op impossible, such as a window larger than its input.
pub fn specialise(graph: &Graph, value_of: &dyn Fn(&Symbol) -> Option<i64>) -> Result<Graph, TypeError> {
    let dim = |dim: &Dim| dim.substitute(&|symbol| value_of(symbol).map(Dim::constant));
    let mut builder = Builder::new();
    let mut values: Vec<Value> = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        builder.set_location(node.location.clone());
        let operands: Vec<Value> = node.operands.iter().map(|operand| values[operand.index()]).collect();
        values.push(match &node.op {
            Op::Parameter(parameter) => builder.parameter(&parameter.name, tensor_type(&parameter.ty, &dim))?,
            op => {
                let op = op.map_graphs(|region| specialise(region, value_of))?;
                builder.add(with_dims(&op, &dim), &operands)?
            }
        });
    }
    let results = graph.results.iter().map(|result| values[result.index()]).collect();
    Ok(builder.finish(results))
}

/// The extents that a type with symbols has where it is bound to a tensor of known extents: the symbols that are extents by
/// themselves, with their values.
pub fn bind_symbols<'t>(types: impl IntoIterator<Item = (&'t TensorType, &'t [usize])>) -> Vec<(Symbol, i64)> {
    let mut bound: Vec<(Symbol, i64)> = vec![];
    for (ty, shape) in types {
        for (dim, &extent) in ty.shape.iter().zip(shape) {
            let mut symbols = vec![];
            dim.collect_symbols(&mut symbols);
            let [symbol] = symbols.as_slice() else { continue };
            if *dim == Dim::symbol(&symbol.0) && !bound.iter().any(|(known, _)| known == symbol) {
                bound.push((symbol.clone(), extent as i64));
            }
        }
    }
    bound
}

fn tensor_type(ty: &TensorType, dim: &dyn Fn(&Dim) -> Dim) -> TensorType {
    TensorType { dtype: ty.dtype, shape: ty.shape.iter().map(dim).collect() }
}

/// The op with the dimensions among its attributes replaced; its regions stay as they are.
pub fn with_dims(op: &Op, dim: &dyn Fn(&Dim) -> Dim) -> Op {
    let dims = |shape: &[Dim]| shape.iter().map(dim).collect::<Vec<_>>();
    match op {
        Op::Parameter(p) => Parameter { ty: tensor_type(&p.ty, dim), ..p.clone() }.into(),
        Op::Iota(iota) => Iota { ty: tensor_type(&iota.ty, dim), ..iota.clone() }.into(),
        Op::Dimension(d) => Dimension { dim: dim(&d.dim), ..d.clone() }.into(),
        Op::Broadcast(b) => Broadcast { shape: dims(&b.shape), ..b.clone() }.into(),
        Op::Reshape(r) => Reshape { shape: dims(&r.shape) }.into(),
        Op::Slice(s) => Slice { start: dims(&s.start), limit: dims(&s.limit), ..s.clone() }.into(),
        Op::Gather(g) => Gather { sizes: dims(&g.sizes), ..g.clone() }.into(),
        Op::Scan(scan) => Scan { length: dim(&scan.length), ..scan.clone() }.into(),
        Op::RandomBits(r) => RandomBits { shape: dims(&r.shape) }.into(),
        Op::Composite(composite) => Op::Composite(composite_with_dims(composite, &dims)),
        Op::Constant(_)
        | Op::Unary(_)
        | Op::Binary(_)
        | Op::Compare(_)
        | Op::Select(_)
        | Op::Convert(_)
        | Op::BitcastConvert(_)
        | Op::Transpose(_)
        | Op::Pad(_)
        | Op::Reverse(_)
        | Op::Concatenate(_)
        | Op::Scatter(_)
        | Op::Reduce(_)
        | Op::ArgReduce(_)
        | Op::Cumulative(_)
        | Op::Recurrence(_)
        | Op::DotGeneral(_)
        | Op::Convolution(_)
        | Op::ReduceWindow(_)
        | Op::SelectAndScatter(_)
        | Op::Sort(_)
        | Op::TopK(_)
        | Op::CustomCall(_)
        | Op::Gradient(_)
        | Op::Projection(_)
        | Op::StopGradient(_)
        | Op::Cond(_)
        | Op::While(_)
        | Op::Remat(_)
        | Op::CustomGradient(_)
        | Op::OptimizationBarrier(_) => op.clone(),
    }
}

fn composite_with_dims(composite: &Composite, dims: &dyn Fn(&[Dim]) -> Vec<Dim>) -> Composite {
    use super::composites::{RandomIntegers, RandomNormal, RandomUniform, TruncatedNormal};
    match composite {
        Composite::RandomUniform(r) => Composite::RandomUniform(RandomUniform { shape: dims(&r.shape), ..r.clone() }),
        Composite::RandomNormal(r) => Composite::RandomNormal(RandomNormal { shape: dims(&r.shape), ..r.clone() }),
        Composite::TruncatedNormal(r) => {
            Composite::TruncatedNormal(TruncatedNormal { shape: dims(&r.shape), ..r.clone() })
        }
        Composite::RandomIntegers(r) => {
            Composite::RandomIntegers(RandomIntegers { shape: dims(&r.shape), ..r.clone() })
        }
        Composite::Relu(_)
        | Composite::Gelu(_)
        | Composite::GeluTanh(_)
        | Composite::Silu(_)
        | Composite::LayerNorm(_)
        | Composite::RmsNorm(_)
        | Composite::DotProductAttention(_)
        | Composite::DotProductAttentionGradient(_)
        | Composite::Relu6(_)
        | Composite::LeakyRelu(_)
        | Composite::Elu(_)
        | Composite::Selu(_)
        | Composite::Celu(_)
        | Composite::Softplus(_)
        | Composite::LogSigmoid(_)
        | Composite::Softsign(_)
        | Composite::Mish(_)
        | Composite::Squareplus(_)
        | Composite::SparsePlus(_)
        | Composite::SparseSigmoid(_)
        | Composite::HardSigmoid(_)
        | Composite::HardSilu(_)
        | Composite::HardTanh(_)
        | Composite::HardShrink(_)
        | Composite::SoftShrink(_)
        | Composite::TanhShrink(_)
        | Composite::Threshold(_)
        | Composite::Glu(_)
        | Composite::LogSumExp(_)
        | Composite::Softmax(_)
        | Composite::SoftmaxGradient(_)
        | Composite::LogSoftmax(_)
        | Composite::Sparsemax(_)
        | Composite::CategoricalCrossEntropy(_)
        | Composite::CategoricalCrossEntropyGradient(_)
        | Composite::CategoricalCrossEntropyWithGradient(_)
        | Composite::BinaryCrossEntropy(_)
        | Composite::BatchNormTrain(_)
        | Composite::BatchNormInfer(_)
        | Composite::Dropout(_)
        | Composite::Threefry(_)
        | Composite::FoldIn(_)
        | Composite::SplitKey(_)
        | Composite::RandomClasses(_)
        | Composite::Shuffle(_)
        | Composite::RandomGamma(_)
        | Composite::RandomBeta(_)
        | Composite::RandomBinomial(_)
        | Composite::SgdUpdate(_)
        | Composite::AdamStepSize(_)
        | Composite::AdamUpdate(_)
        | Composite::Dense(_)
        | Composite::ConvolutionBias(_)
        | Composite::WinogradConvolution(_)
        | Composite::WinogradFilters(_)
        | Composite::Solve(_)
        | Composite::Inverse(_)
        | Composite::Determinant(_)
        | Composite::LogDeterminant(_)
        | Composite::PseudoInverse(_) => composite.clone(),
    }
}
