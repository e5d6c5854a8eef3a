use super::ops::{Binary, Compare, Op, Reduction, Unary};
use super::{Builder, Scalar, TypeError, Value};
use kc_abi::{DType, Dim, TensorType};
use std::cell::RefCell;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// Writes formulas as formulas: within `formula`, values are [`Tensor`]s with operators and methods. The first op that does not
/// take its operands is the error of the whole.
///
/// ```
/// # use kc_ir::{DType, TensorType, tensor::{Builder, express}};
/// # let mut builder = Builder::new();
/// # let x = builder.parameter("x", TensorType::new(DType::F32, [2i64, 3])).unwrap();
/// let variance = express(&mut builder, |scope| {
///     let x = scope.tensor(x);
///     let centred = x - x.mean_keep(&[1]);
///     (centred * centred).mean(&[1]).value()
/// });
/// # assert!(variance.is_ok());
/// ```
pub fn express<R>(builder: &mut Builder, formula: impl FnOnce(&Scope<'_>) -> R) -> Result<R, TypeError> {
    let scope = Scope { state: RefCell::new((builder, None)) };
    let result = formula(&scope);
    match scope.state.into_inner().1 {
        None => Ok(result),
        Some(error) => Err(error),
    }
}

/// Where a formula's ops are added.
pub struct Scope<'b> {
    /// The graph, and the first error.
    state: RefCell<(&'b mut Builder, Option<TypeError>)>,
}

impl<'b> Scope<'b> {
    /// A value as a tensor of formulas.
    pub fn tensor(&self, value: Value) -> Tensor<'_, 'b> {
        Tensor { scope: self, value }
    }

    /// A scalar constant.
    pub fn scalar(&self, dtype: DType, value: impl Into<Scalar>) -> Tensor<'_, 'b> {
        let literal = super::Literal::scalar(dtype, value);
        self.add(None, |b| b.constant(literal))
    }

    /// Runs a function on the graph's builder, for what no formula says: regions. Formulas must not be used in it.
    pub fn with_builder<R>(&self, build: impl FnOnce(&mut Builder) -> R) -> R {
        build(self.state.borrow_mut().0)
    }

    /// Any op.
    pub fn op(&self, op: impl Into<Op>, operands: &[Tensor<'_, 'b>]) -> Tensor<'_, 'b> {
        let values: Vec<Value> = operands.iter().map(|operand| operand.value).collect();
        self.add(values.first().copied(), |b| b.add(op, &values))
    }

    /// The tensors of an op with `N` results, at least 2.
    pub fn ops<const N: usize>(&self, op: impl Into<Op>, operands: &[Tensor<'_, 'b>]) -> [Tensor<'_, 'b>; N] {
        let values: Vec<Value> = operands.iter().map(|operand| operand.value).collect();
        let mut results = Vec::new();
        let first = self.add(values.first().copied(), |b| {
            let tuple = b.add(op, &values)?;
            results = b.projections(tuple)?;
            let found = results.len();
            results.first().copied().filter(|_| found == N).ok_or_else(|| {
                TypeError::new("formula", format!("an op with {N} results was expected, it has {found}"))
            })
        });
        std::array::from_fn(|i| self.tensor(results.get(i).copied().unwrap_or(first.value)))
    }

    /// Runs a builder's method; after an error the value is `instead` (or an empty constant), so that the formula can go on.
    fn add(
        &self,
        instead: Option<Value>,
        build: impl FnOnce(&mut Builder) -> Result<Value, TypeError>,
    ) -> Tensor<'_, 'b> {
        let mut state = self.state.borrow_mut();
        let (builder, first_error) = &mut *state;
        let value = match build(builder) {
            Ok(value) => value,
            Err(error) => {
                first_error.get_or_insert(error);
                instead.unwrap_or(Value(0))
            }
        };
        Tensor { scope: self, value }
    }
}

/// A tensor within [`express`]. Operators and methods of two tensors broadcast as numpy does; a number beside a tensor has its
/// dtype.
#[derive(Clone, Copy)]
pub struct Tensor<'s, 'b> {
    scope: &'s Scope<'b>,
    value: Value,
}

macro_rules! unary_methods {
    ($($method:ident $function:ident;)*) => { $(
        #[doc = concat!("Elementwise [`Unary::", stringify!($function), "`].")]
        pub fn $method(self) -> Self { self.with(|b| b.unary(Unary::$function, self.value)) }
    )* };
}

macro_rules! binary_methods {
    ($($method:ident $kind:ident $call:ident $function:ident;)*) => { $(
        #[doc = concat!("Elementwise [`", stringify!($kind), "::", stringify!($function), "`].")]
        pub fn $method(self, other: impl Operand<'s, 'b>) -> Self {
            let other = other.tensor_like(self);
            self.with(|b| b.$call($kind::$function, self.value, other.value))
        }
    )* };
}

impl<'s, 'b> Tensor<'s, 'b> {
    fn with(self, build: impl FnOnce(&mut Builder) -> Result<Value, TypeError>) -> Self {
        Tensor { value: self.scope.add(Some(self.value), build).value, ..self }
    }

    /// Where the formula's ops are added.
    pub fn scope(self) -> &'s Scope<'b> {
        self.scope
    }

    /// The value in the graph.
    pub fn value(self) -> Value {
        self.value
    }

    /// Dtype and shape.
    pub fn ty(self) -> TensorType {
        self.scope.state.borrow().0.tensor_type(self.value).clone()
    }

    /// The shape.
    pub fn shape(self) -> Vec<Dim> {
        self.ty().shape
    }

    unary_methods! {
        abs Abs; sign Sign; exp Exp; expm1 Expm1; log Log; log1p Log1p; sqrt Sqrt; rsqrt Rsqrt; cbrt Cbrt; sin Sin; cos Cos; tan Tan;
        asin Asin; acos Acos; atan Atan; sinh Sinh; cosh Cosh; tanh Tanh; asinh Asinh; acosh Acosh; atanh Atanh; logistic Logistic;
        erf Erf; erfc Erfc; erf_inv ErfInv; lgamma Lgamma; digamma Digamma; trunc Trunc; floor Floor; ceil Ceil;
        round_even RoundEven; is_finite IsFinite; complement Not;
    }

    binary_methods! {
        atan2 Binary binary Atan2; maximum Binary binary Maximum; minimum Binary binary Minimum; power Binary binary Power; remainder Binary binary Remainder;
        and Binary binary And; or Binary binary Or; xor Binary binary Xor;
        shift_left Binary binary ShiftLeft; shift_right Binary binary ShiftRight;
        equal Compare compare Equal; not_equal Compare compare NotEqual; less Compare compare Less;
        less_equal Compare compare LessEqual; greater Compare compare Greater; greater_equal Compare compare GreaterEqual;
    }

    /// An op of this alone.
    pub fn with_op(self, op: impl Into<Op>) -> Self {
        self.scope.op(op, &[self])
    }

    /// At least `low` and at most `high`.
    pub fn clip(self, low: f64, high: f64) -> Self {
        self.maximum(low).minimum(high)
    }

    /// The positions along an axis of a shape, in this dtype.
    pub fn positions(self, shape: &[Dim], axis: usize) -> Self {
        let ty = TensorType { dtype: self.ty().dtype, shape: shape.to_vec() };
        self.with(|b| b.add(super::ops::Iota { ty, axis }, &[]))
    }

    /// `x * x`
    pub fn square(self) -> Self {
        self * self
    }

    /// Where this is true the first, else the second: tensors of this shape, or scalars and numbers.
    pub fn select(self, on_true: Tensor<'s, 'b>, on_false: impl Operand<'s, 'b>) -> Self {
        let on_false = on_false.tensor_like(on_true);
        let shape = self.shape();
        let (on_true, on_false) = (on_true.broadcast_to(&shape), on_false.broadcast_to(&shape));
        self.with(|b| b.select(self.value, on_true.value, on_false.value))
    }

    /// The values in another dtype.
    pub fn convert(self, dtype: DType) -> Self {
        self.with(|b| b.convert(dtype, self.value))
    }

    /// Broadcast as numpy does.
    pub fn broadcast_to(self, shape: &[Dim]) -> Self {
        self.with(|b| b.broadcast_to(self.value, shape))
    }

    /// Broadcast with the axes of the result named.
    pub fn broadcast(self, shape: &[Dim], axes: &[usize]) -> Self {
        self.with(|b| b.broadcast(self.value, shape, axes))
    }

    /// Broadcast to a shape in which this has all axes but `missing`.
    pub fn broadcast_along(self, shape: &[Dim], missing: &[usize]) -> Self {
        let kept: Vec<usize> = (0..shape.len()).filter(|axis| !missing.contains(axis)).collect();
        self.broadcast(shape, &kept)
    }

    /// The same elements in another shape.
    pub fn reshape(self, shape: &[Dim]) -> Self {
        self.with(|b| b.reshape(self.value, shape))
    }

    /// Permuted axes.
    pub fn transpose(self, permutation: &[usize]) -> Self {
        self.with(|b| b.transpose(self.value, permutation))
    }

    /// A reduction; the result does not have the axes.
    pub fn reduce(self, kind: Reduction, axes: &[usize]) -> Self {
        self.with(|b| b.reduce(kind, axes, self.value))
    }

    /// The sum over axes.
    pub fn sum(self, axes: &[usize]) -> Self {
        self.reduce(Reduction::Sum, axes)
    }

    /// The sum over axes, repeated along them.
    pub fn sum_keep(self, axes: &[usize]) -> Self {
        self.with(|b| b.reduce_keep(Reduction::Sum, axes, self.value))
    }

    /// The sum over all axes.
    pub fn sum_all(self) -> Self {
        self.sum(&(0..self.shape().len()).collect::<Vec<_>>())
    }

    /// The largest over axes, repeated along them.
    pub fn max_keep(self, axes: &[usize]) -> Self {
        self.with(|b| b.reduce_keep(Reduction::Max, axes, self.value))
    }

    /// The mean over axes.
    pub fn mean(self, axes: &[usize]) -> Self {
        self.sum(axes) / self.count(axes)
    }

    /// The mean over axes, repeated along them.
    pub fn mean_keep(self, axes: &[usize]) -> Self {
        self.mean(axes).broadcast_along(&self.shape(), axes)
    }

    /// The number of elements along axes, as a scalar of this dtype.
    pub fn count(self, axes: &[usize]) -> Self {
        let ty = self.ty();
        let elements = axes.iter().filter_map(|&axis| ty.shape.get(axis)).cloned().product::<Dim>();
        self.with(|b| b.dimension(elements, ty.dtype))
    }

    /// The scalar of that value in this dtype.
    pub fn number(self, value: f64) -> Self {
        self.scope.scalar(self.ty().dtype, value)
    }

    /// The smallest normal number of this floating-point dtype.
    pub fn smallest_normal(self) -> Self {
        self.number(match self.ty().dtype {
            DType::F64 => f64::MIN_POSITIVE,
            DType::F16 => 2f64.powi(-14),
            _ => f32::MIN_POSITIVE.into(),
        })
    }

    /// Zeros like this.
    pub fn zeros_like(self) -> Self {
        self.number(0.0).broadcast_to(&self.shape())
    }
}

/// What stands at the right of an operator: a tensor, or a number that becomes a scalar of the left one's dtype.
pub trait Operand<'s, 'b> {
    /// The tensor, beside `other`.
    fn tensor_like(self, other: Tensor<'s, 'b>) -> Tensor<'s, 'b>;
}
impl<'s, 'b> Operand<'s, 'b> for Tensor<'s, 'b> {
    fn tensor_like(self, _: Tensor<'s, 'b>) -> Tensor<'s, 'b> {
        self
    }
}
impl<'s, 'b> Operand<'s, 'b> for i64 {
    fn tensor_like(self, other: Tensor<'s, 'b>) -> Tensor<'s, 'b> {
        other.scope.scalar(other.ty().dtype, self)
    }
}
impl<'s, 'b> Operand<'s, 'b> for f64 {
    fn tensor_like(self, other: Tensor<'s, 'b>) -> Tensor<'s, 'b> {
        other.number(self)
    }
}

macro_rules! operators {
    ($($trait:ident $method:ident $function:ident;)*) => { $(
        impl<'s, 'b, T: Operand<'s, 'b>> $trait<T> for Tensor<'s, 'b> {
            type Output = Self;
            fn $method(self, other: T) -> Self {
                let other = other.tensor_like(self);
                Tensor::with(self, |b| b.binary(Binary::$function, self.value, other.value))
            }
        }
        impl<'s, 'b> $trait<Tensor<'s, 'b>> for f64 {
            type Output = Tensor<'s, 'b>;
            fn $method(self, other: Tensor<'s, 'b>) -> Tensor<'s, 'b> {
                $trait::$method(other.number(self), other)
            }
        }
    )* };
}
operators! { Add add Add; Sub sub Subtract; Mul mul Multiply; Div div Divide; }

impl Neg for Tensor<'_, '_> {
    type Output = Self;
    fn neg(self) -> Self {
        Tensor::with(self, |b| b.unary(Unary::Negate, self.value))
    }
}
