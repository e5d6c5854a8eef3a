//! The ops. Each is declared once, in a file of its family: its attributes (a struct), its name in the text form, and
//! the methods of [`Operation`]. The enum [`Op`] lists them; back ends match it exhaustively.

mod contract;
mod control;
mod convolution;
mod cumulative;
mod custom_call;
mod derivatives;
mod elementwise;
mod gather;
mod indexed;
mod movement;
mod random;
mod reduce;
mod scalar;
mod scatter;
mod scopes;
mod sort;
mod source;
mod structure;
mod window;
mod window_gradient;

pub use contract::DotGeneral;
pub use control::{Cond, Scan, While};
pub use convolution::{Convolution, ConvolutionAxes};
pub use cumulative::{Cumulative, Recurrence};
pub use elementwise::{Binary, BitcastConvert, Compare, Convert, Domain, Select, Unary};
pub use gather::{Gather, GatherMode};
pub use indexed::{IndexedWindows, WindowAxis};
pub use movement::{Broadcast, Concatenate, Pad, Reshape, Reverse, Slice, Transpose};
pub use random::RandomBits;
pub use reduce::{ArgReduce, Extremum, Reduce, Reduction};
pub use scatter::{Scatter, ScatterKind, ScatterMode};

pub(crate) use custom_call::Transposed;
pub use custom_call::{CustomCall, CustomFunction, Diagonal, Factors, Triangle};
pub use scopes::{CustomGradient, OptimizationBarrier, Remat};
pub use sort::{Direction, Sort, TopK};
pub use source::{Constant, Dimension, Iota, Parameter};
pub use structure::{Gradient, Projection, StopGradient};
pub use window::{ReduceWindow, SelectAndScatter, Window};

use super::interpret::{Array, Evaluation};
use super::{Builder, Region, Type, TypeError, Value};
use kc_abi::TensorType;
use serde::{Deserialize, Serialize};

/// What every op declares.
pub trait Operation {
    /// The name in the text form.
    fn name(&self) -> &'static str;

    /// The graphs that it executes, in the order of the text form.
    fn regions(&self) -> Vec<&Region> {
        Vec::new()
    }

    /// The type rule: the type of the result, from the operands' types.
    fn infer(&self, operands: &[&Type]) -> Result<Type, TypeError>;

    /// The gradient rule: adds what computes the operands' cotangents; `None` for an operand that the result does not depend on
    /// smoothly (its derivative is zero). Asked only where a result is of a floating-point type.
    fn gradient(&self, builder: &mut Builder, at: &Backward<'_>) -> Result<Cotangents, TypeError>;

    /// The interpreter's evaluation: the results for the operands. An error says why there are none.
    fn evaluate(&self, at: &Evaluation<'_>) -> Result<Vec<Array>, String>;
}

/// One cotangent an operand.
pub type Cotangents = Vec<Option<Value>>;

/// Where a gradient rule is applied.
#[derive(Clone, Copy, Debug)]
pub struct Backward<'a> {
    /// The node's operands.
    pub operands: &'a [Value],
    /// The node's results: one, or those of a tuple.
    pub results: &'a [Value],
    /// One a result, at least one of them given; a missing one is zero.
    pub cotangents: &'a [Option<Value>],
    /// For each operand whether its cotangent will be used. A rule may leave out the others.
    pub wanted: &'a [bool],
}

impl Backward<'_> {
    /// The cotangent of the only result.
    pub fn cotangent(&self, op: &str) -> Result<Value, TypeError> {
        match self.cotangents {
            [Some(cotangent)] => Ok(*cotangent),
            _ => Err(TypeError::new(op, format!("got {} cotangents, expected one", self.cotangents.len()))),
        }
    }

    /// The cotangents of operands without any.
    pub fn none(&self) -> Cotangents {
        vec![None; self.operands.len()]
    }
}

macro_rules! operations {
    ($($(#[doc = $doc:literal])* $variant:ident,)*) => {
        /// An op with its attributes.
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Op { $($(#[doc = $doc])* $variant($variant),)* }

        impl Op {
            /// The declaration.
            pub fn operation(&self) -> &dyn Operation { match self { $(Op::$variant(op) => op),* } }
            /// The tags of the serialised form, in the order of the declarations.
            pub fn names() -> impl Iterator<Item = String> { [$(stringify!($variant)),*].into_iter().map(snake_case) }
            /// What each op is in a line, in the same order.
            pub fn summaries() -> impl Iterator<Item = &'static str> { [$(concat!($($doc),*).trim_ascii()),*].into_iter() }
        }

        $(impl From<$variant> for Op { fn from(op: $variant) -> Op { Op::$variant(op) } })*
    };
}

/// Bytes of a tensor at most: more than machines have memory for, and few enough for positions in it to be added up.
const MOST_BYTES: i64 = 1 << 46;

impl Op {
    /// The type of the result for operands of these types.
    ///
    /// # Errors
    /// Where the op does not take them, or a tensor of the result is larger than memory can be.
    pub fn infer(&self, operands: &[&Type]) -> Result<Type, TypeError> {
        let ty = self.operation().infer(operands)?;
        let tensors = match &ty {
            Type::Tensor(tensor) => std::slice::from_ref(tensor),
            Type::Tuple(tensors) => tensors,
        };
        match tensors.iter().find(|tensor| !is_possible(tensor)) {
            None => Ok(ty),
            Some(large) => {
                let most = MOST_BYTES >> 40;
                Err(TypeError::new(
                    self.operation().name(),
                    format!("{large} is too large, expected at most {most} TiB"),
                ))
            }
        }
    }
}

/// Whether memory can hold a tensor, of whose unknown extents each counts as 1.
fn is_possible(tensor: &TensorType) -> bool {
    let extents: Option<Vec<i64>> = tensor.shape.iter().map(|extent| extent.evaluate(&|_| Some(1))).collect();
    let Some(extents) = extents else { return false };
    let width = tensor.dtype.bytes() as i64;
    let mut extents = extents.iter().filter(|&&extent| extent != 0);
    let bytes = extents.try_fold(width, |bytes, &extent| bytes.checked_mul(extent.checked_abs()?));
    bytes.is_some_and(|bytes| bytes <= MOST_BYTES)
}

operations! {
    /// An argument of the graph.
    Parameter,
    /// A tensor known at compile time.
    Constant,
    /// Positions along an axis.
    Iota,
    /// An extent as a scalar.
    Dimension,
    /// Elementwise function of one operand.
    Unary,
    /// Elementwise function of two operands of one type.
    Binary,
    /// Elementwise comparison.
    Compare,
    /// Elementwise choice.
    Select,
    /// Conversion of the elements' values.
    Convert,
    /// Reinterpretation of the elements' bits.
    BitcastConvert,
    /// Repetition along new or unit axes.
    Broadcast,
    /// The same elements in another shape.
    Reshape,
    /// Permuted axes.
    Transpose,
    /// A strided sub-box.
    Slice,
    /// Padding at the edges and between elements.
    Pad,
    /// Reversed order along axes.
    Reverse,
    /// Operands side by side.
    Concatenate,
    /// Windows at positions that are data.
    Gather,
    /// Updates at positions that are data.
    Scatter,
    /// Reduction over axes.
    Reduce,
    /// Position of the largest or smallest element.
    ArgReduce,
    /// Running reduction along an axis.
    Cumulative,
    /// Linear recurrence along an axis.
    Recurrence,
    /// Batched contraction.
    DotGeneral,
    /// Convolution.
    Convolution,
    /// Reduction over sliding windows.
    ReduceWindow,
    /// Gradient of a maximum over sliding windows.
    SelectAndScatter,
    /// Random bits from a key.
    RandomBits,
    /// Operands sorted together along an axis.
    Sort,
    /// The largest elements along the last axis.
    TopK,
    /// Fourier transforms and dense linear algebra, by a library.
    CustomCall,
    /// A named composition of ops.
    Composite,
    /// Derivatives, before differentiation.
    Gradient,
    /// One tensor of a tuple.
    Projection,
    /// Identity without a derivative.
    StopGradient,
    /// The results of one of several regions.
    Cond,
    /// A loop while a condition holds.
    While,
    /// A loop over the leading axis of sequences.
    Scan,
    /// A region that derivatives compute again.
    Remat,
    /// A region with a derivative of its own.
    CustomGradient,
    /// A value that is not taken for what it is of.
    OptimizationBarrier,
}

impl Op {
    /// The op with other regions, as many as it has; `None` where the op takes another number.
    pub fn with_regions(&self, regions: Vec<Region>) -> Option<Op> {
        Some(match self {
            Op::Cond(_) if !regions.is_empty() => Cond { branches: regions }.into(),
            Op::While(this) => {
                let [condition, body] = <[Region; 2]>::try_from(regions).ok()?;
                While { condition, body, ..this.clone() }.into()
            }
            Op::Scan(this) => {
                let [body] = <[Region; 1]>::try_from(regions).ok()?;
                Scan { body, ..this.clone() }.into()
            }
            Op::Remat(_) => {
                let [body] = <[Region; 1]>::try_from(regions).ok()?;
                Remat { body }.into()
            }
            Op::CustomGradient(this) => {
                let [value, pullback] = <[Region; 2]>::try_from(regions).ok()?;
                CustomGradient { value, pullback, ..this.clone() }.into()
            }
            other if regions.is_empty() && other.operation().regions().is_empty() => other.clone(),
            _ => return None,
        })
    }

    /// The op with each region's graph mapped; an op without regions is copied.
    pub fn map_graphs<E>(&self, mut map: impl FnMut(&super::Graph) -> Result<super::Graph, E>) -> Result<Op, E> {
        let regions = self.operation().regions();
        let mapped =
            regions.iter().map(|region| map(region.graph()).map(Region::new)).collect::<Result<Vec<_>, E>>()?;
        Ok(self.with_regions(mapped).unwrap_or_else(|| self.clone()))
    }
}

pub use super::composites::Composite;

/// `SoftmaxCrossEntropy` -> `softmax_cross_entropy`, as serde does.
pub(crate) fn snake_case(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 4);
    for (i, c) in name.char_indices() {
        if i > 0 && c.is_ascii_uppercase() {
            text.push('_');
        }
        text.push(c.to_ascii_lowercase());
    }
    text
}

/// Checks the number of operands.
fn arity(op: &str, operands: &[&Type], expected: usize) -> Result<(), TypeError> {
    if operands.len() == expected {
        return Ok(());
    }
    Err(TypeError::new(op, format!("expected {expected} operands, got {}", operands.len())))
}

/// The operand of that position, which must be a tensor.
pub(crate) fn tensor<'a>(
    op: &str,
    operands: &[&'a Type],
    position: usize,
) -> Result<&'a kc_abi::TensorType, TypeError> {
    match operands.get(position) {
        Some(Type::Tensor(ty)) => Ok(ty),
        Some(ty @ Type::Tuple(_)) => {
            Err(TypeError::new(op, format!("operand {position} is the tuple {ty}, expected a tensor")))
        }
        None => Err(TypeError::new(op, format!("operand {position} is missing"))),
    }
}

/// The only operand, which must be a tensor.
fn one_tensor<'a>(op: &str, operands: &[&'a Type]) -> Result<&'a kc_abi::TensorType, TypeError> {
    arity(op, operands, 1)?;
    tensor(op, operands, 0)
}

/// Checks that an axis exists.
fn axis(op: &str, axis: usize, rank: usize) -> Result<(), TypeError> {
    if axis < rank {
        return Ok(());
    }
    Err(TypeError::new(op, format!("axis {axis} is out of range for rank {rank}")))
}

/// Checks that no extent of a result's shape is known to be negative.
fn extents(op: &str, shape: &[kc_abi::Dim]) -> Result<(), TypeError> {
    match shape.iter().find(|dim| dim.as_constant().is_some_and(|extent| extent < 0)) {
        Some(dim) => Err(TypeError::new(op, format!("an extent cannot be {dim}"))),
        None => Ok(()),
    }
}

/// Checks that axes exist and are strictly ascending.
fn ascending_axes(op: &str, axes: &[usize], rank: usize) -> Result<(), TypeError> {
    axes.iter().try_for_each(|&a| axis(op, a, rank))?;
    if axes.windows(2).all(|pair| pair[0] < pair[1]) {
        return Ok(());
    }
    Err(TypeError::new(op, format!("axes {axes:?} must be ascending and distinct")))
}

/// Checks that a list has one entry an axis.
fn one_per_axis(op: &str, what: &str, given: usize, rank: usize) -> Result<(), TypeError> {
    if given == rank {
        return Ok(());
    }
    Err(TypeError::new(op, format!("`{what}` has {given} entries, expected one for each of {rank} axes")))
}

/// Checks that a permutation names each axis once.
fn permutation(op: &str, permutation: &[usize], rank: usize) -> Result<(), TypeError> {
    let mut sorted = permutation.to_vec();
    sorted.sort_unstable();
    if sorted.iter().copied().eq(0..rank) {
        return Ok(());
    }
    Err(TypeError::new(op, format!("{permutation:?} is no permutation of {rank} axes")))
}
