//! [`Tensor`]: an expression that is typed when it is made and computed when it is asked for.

use super::function::{Function, infer};
use super::promotion::Kind;
use crate::base::next_identity;
use crate::{Error, Input, KerasTensor, Result};
use kc_ir::tensor::{Literal, Scalar, Value};
use kc_ir::{DType, TensorType};
use kc_runtime::Array;
use std::fmt;
use std::panic::Location;
use std::sync::{Arc, OnceLock};

/// A tensor that the functions of [`ops`](super) take and give: an array, a number, a symbolic tensor of a functional model, a value
/// of a layer that is being traced, or a function of such. A clone is the same tensor; what is used twice is computed once.
///
/// Dtype and shape are known at once, and what a function does not take is an error then: it names the function, what was given,
/// what was expected, and the line of the call. The error comes out where the tensor is used.
#[derive(Clone)]
pub struct Tensor {
    pub(super) node: Arc<Node>,
    pub(super) index: usize,
}

/// What one or several tensors are.
pub(super) struct Node {
    pub source: Source,
    /// One a result.
    pub types: Result<Vec<TensorType>>,
    /// Whether it depends on a symbolic tensor of a functional model.
    pub is_symbolic: bool,
    /// Whether it depends on arrays and numbers alone.
    pub is_concrete: bool,
    /// The results as symbolic tensors, once they were asked for.
    pub symbolic: OnceLock<Vec<KerasTensor>>,
}

/// Where tensors come from.
pub(super) enum Source {
    /// An array.
    Array(Array),
    /// A number, whose dtype gives way to that of what it meets.
    Number(Number),
    /// A tensor of a functional model.
    Symbolic(KerasTensor),
    /// A value of the scope of that identity.
    Traced { scope: u64, value: Value },
    /// A function of tensors.
    Call { function: Arc<dyn Function>, operands: Vec<Tensor>, place: &'static Location<'static> },
    /// Nothing: a mistake.
    Error,
}

/// A number: an integer or a float of no width.
#[derive(Clone, Copy)]
pub(super) struct Number {
    value: Scalar,
    dtype: DType,
}

impl Number {
    /// The number beside operands of these types: of 64 bits where one of them is.
    pub fn beside<'a>(self, others: impl IntoIterator<Item = &'a TensorType>) -> Literal {
        let is_wide = others.into_iter().any(|ty| ty.dtype.bits() == 64);
        let dtype = match (is_wide, self.dtype) {
            (true, DType::F32) => DType::F64,
            (true, DType::I32) => DType::I64,
            (_, dtype) => dtype,
        };
        Literal::scalar(dtype, self.value)
    }
}

impl Node {
    fn leaf(source: Source, types: Result<Vec<TensorType>>) -> Tensor {
        let is_symbolic = matches!(source, Source::Symbolic(_));
        let is_concrete = matches!(source, Source::Array(_) | Source::Number(_));
        let node = Node { source, types, is_symbolic, is_concrete, symbolic: OnceLock::new() };
        Tensor { node: Arc::new(node), index: 0 }
    }
}

impl Drop for Node {
    /// Takes the expression apart one node after the other, since one within the other would need a stack as deep as it.
    fn drop(&mut self) {
        let mut operands = Vec::new();
        let take = |source: &mut Source, into: &mut Vec<Tensor>| {
            if let Source::Call { operands, .. } = source {
                into.append(operands);
            }
        };
        take(&mut self.source, &mut operands);
        while let Some(operand) = operands.pop() {
            if let Some(mut node) = Arc::into_inner(operand.node) {
                take(&mut node.source, &mut operands);
            }
        }
    }
}

impl Tensor {
    /// The results of a function of tensors: one where the types cannot be inferred, which carries the error.
    pub(super) fn calls(
        function: Arc<dyn Function>,
        operands: Vec<Tensor>,
        place: &'static Location<'static>,
    ) -> Vec<Tensor> {
        let function = match function.with_values(&operands) {
            Ok(None) => function,
            Ok(Some(known)) => known,
            Err(error) => return vec![Tensor::error(error.at((place.file(), place.line())))],
        };
        let types = infer(&*function, &operands, place);
        let count = types.as_ref().map_or(1, Vec::len);
        let is_symbolic = operands.iter().any(|operand| operand.node.is_symbolic);
        let is_concrete = operands.iter().all(|operand| operand.node.is_concrete);
        let source = Source::Call { function, operands, place };
        let node = Arc::new(Node { source, types, is_symbolic, is_concrete, symbolic: OnceLock::new() });
        (0..count).map(|index| Tensor { node: node.clone(), index }).collect()
    }

    /// The only result of a function of tensors.
    pub(super) fn call(
        function: Arc<dyn Function>,
        operands: Vec<Tensor>,
        place: &'static Location<'static>,
    ) -> Tensor {
        let name = function.name();
        let mut results = Tensor::calls(function, operands, place);
        match (results.pop(), results.len()) {
            (Some(result), 0) => result,
            (_, others) => Tensor::error(
                Error::model(format!("`ops::{name}` has {} results, expected 1: use `results`", others + 1))
                    .at((place.file(), place.line())),
            ),
        }
    }

    /// The tensor that carries an error.
    pub(super) fn error(error: Error) -> Tensor {
        Node::leaf(Source::Error, Err(error))
    }

    /// A value of the scope of that identity.
    pub(crate) fn traced(scope: u64, value: Value, ty: TensorType) -> Tensor {
        Node::leaf(Source::Traced { scope, value }, Ok(vec![ty]))
    }

    /// Dtype and shape, or what is wrong with the expression.
    pub(super) fn result_type(&self) -> Result<TensorType> {
        let types = self.node.types.as_ref().map_err(Clone::clone)?;
        types.get(self.index).cloned().ok_or_else(|| Error::model(format!("there is no result {}", self.index)))
    }

    /// The array that it is, where nothing is to be computed.
    pub(super) fn as_array(&self) -> Option<&Array> {
        match &self.node.source {
            Source::Array(array) => Some(array),
            _ => None,
        }
    }

    /// The dtype for promotion: that of a number gives way.
    pub(super) fn kind(&self, dtype: DType) -> Kind {
        match self.node.source {
            Source::Number(_) => Kind::weak(dtype),
            _ => Kind::strong(dtype),
        }
    }
}

impl fmt::Debug for Tensor {
    /// `add: float32 (2, 3)`, or the error.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match &self.node.source {
            Source::Array(_) => "array",
            Source::Number(_) => "number",
            Source::Symbolic(_) => "symbolic tensor",
            Source::Traced { .. } => "traced value",
            Source::Call { function, .. } => function.name(),
            Source::Error => "error",
        };
        match self.result_type() {
            Ok(ty) => write!(formatter, "{what}: {}", type_text(&ty)),
            Err(error) => write!(formatter, "{what}: {error}"),
        }
    }
}

/// A type as messages show it: `float32 (None, 784)`.
pub(super) fn type_text(ty: &TensorType) -> String {
    format!("{} {}", ty.dtype.keras_name(), crate::shape_text(&ty.shape))
}

impl From<&Tensor> for Tensor {
    fn from(tensor: &Tensor) -> Tensor {
        tensor.clone()
    }
}

impl From<Array> for Tensor {
    fn from(array: Array) -> Tensor {
        let ty = TensorType::new(array.dtype(), array.shape().iter().copied());
        Node::leaf(Source::Array(array), Ok(vec![ty]))
    }
}

impl From<&Array> for Tensor {
    fn from(array: &Array) -> Tensor {
        array.clone().into()
    }
}

impl From<KerasTensor> for Tensor {
    fn from(tensor: KerasTensor) -> Tensor {
        let ty = TensorType { dtype: tensor.dtype(), shape: tensor.shape().to_vec() };
        Node::leaf(Source::Symbolic(tensor), Ok(vec![ty]))
    }
}

impl From<&KerasTensor> for Tensor {
    fn from(tensor: &KerasTensor) -> Tensor {
        tensor.clone().into()
    }
}

impl From<&Input> for Tensor {
    fn from(input: &Input) -> Tensor {
        input.tensor().into()
    }
}

/// What a layer gave, or its error.
impl<T: Into<Tensor>> From<Result<T>> for Tensor {
    fn from(result: Result<T>) -> Tensor {
        match result {
            Ok(tensor) => tensor.into(),
            Err(error) => Tensor::error(error),
        }
    }
}

/// As Keras has it, a number is of 32 bits unless it meets a wider tensor or is too large.
fn number(value: Scalar) -> Tensor {
    let dtype = match value {
        Scalar::Float(_) => DType::F32,
        Scalar::Int(value) if i32::try_from(value).is_ok() => DType::I32,
        Scalar::Int(_) => DType::I64,
    };
    Node::leaf(Source::Number(Number { value, dtype }), Ok(vec![TensorType::scalar(dtype)]))
}

macro_rules! numbers {
    ($($ty:ty => $scalar:ident $wide:ty;)*) => { $(
        impl From<$ty> for Tensor {
            fn from(value: $ty) -> Tensor {
                number(Scalar::$scalar(value as $wide))
            }
        }
    )* };
}

numbers! {
    f32 => Float f64;
    f64 => Float f64;
    i32 => Int i128;
    i64 => Int i128;
    usize => Int i128;
}

impl From<bool> for Tensor {
    fn from(value: bool) -> Tensor {
        list(DType::Bool, &[], [Scalar::Int(value.into())])
    }
}

fn list(dtype: DType, shape: &[usize], values: impl IntoIterator<Item = Scalar>) -> Tensor {
    let values: Vec<Scalar> = values.into_iter().collect();
    let too_large = values.iter().find_map(|value| match value {
        Scalar::Int(number) if dtype == DType::I32 && i32::try_from(*number).is_err() => Some(number),
        _ => None,
    });
    if let Some(number) = too_large {
        return Tensor::error(Error::run(format!(
            "{number} does not fit int32, which a list of integers becomes; give an `Array` of int64"
        )));
    }
    let literal = Literal::from_scalars(dtype, shape.to_vec(), values);
    match Array::from_bytes(dtype, shape, literal.bytes()) {
        Ok(array) => array.into(),
        Err(error) => Tensor::error(Error::run(error.to_string())),
    }
}

macro_rules! lists {
    ($($ty:ty => $dtype:ident $scalar:ident $wide:ty;)*) => { $(
        impl From<&[$ty]> for Tensor {
            fn from(values: &[$ty]) -> Tensor {
                list(DType::$dtype, &[values.len()], values.iter().map(|&value| Scalar::$scalar(value as $wide)))
            }
        }
        impl From<Vec<$ty>> for Tensor {
            fn from(values: Vec<$ty>) -> Tensor {
                values.as_slice().into()
            }
        }
        impl<const N: usize> From<[$ty; N]> for Tensor {
            fn from(values: [$ty; N]) -> Tensor {
                values.as_slice().into()
            }
        }
        impl<const M: usize, const N: usize> From<[[$ty; N]; M]> for Tensor {
            fn from(rows: [[$ty; N]; M]) -> Tensor {
                let values = rows.as_flattened().iter().map(|&value| Scalar::$scalar(value as $wide));
                list(DType::$dtype, &[M, N], values)
            }
        }
    )* };
}

// lists of numbers are tensors of 32 bits, as in Keras
lists! {
    f32 => F32 Float f64;
    f64 => F32 Float f64;
    i32 => I32 Int i128;
    i64 => I32 Int i128;
    bool => Bool Int i128;
}

/// A new identity for a scope.
pub(crate) fn scope_identity() -> u64 {
    next_identity()
}
