//! Elementwise ops. The functions themselves are one line each in the tables at the end, which kernels share.

use super::{Backward, Cotangents, Operation};
use crate::tensor::interpret::{Array, Data, Evaluation};
use crate::tensor::{Builder, Literal, Tensor, Type, TypeError, express, round};
use kc_abi::{DType, TensorType};
use serde::{Deserialize, Serialize};

macro_rules! functions {
    ($(#[$meta:meta])* $name:ident: $($(#[doc = $doc:literal])* $variant:ident $text:literal $domain:ident;)*) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name { $($(#[doc = $doc])* #[serde(rename = $text)] $variant,)* }

        impl $name {
            /// Every function.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];
            /// The name in the text forms.
            pub const fn text(self) -> &'static str { match self { $($name::$variant => $text),* } }
            /// The function of that name.
            pub fn from_text(text: &str) -> Option<Self> { match text { $($text => Some($name::$variant),)* _ => None } }
            /// The formula, or what it is in words.
            pub const fn summary(self) -> &'static str { match self { $($name::$variant => concat!($($doc),*).trim_ascii()),* } }
            /// The dtypes it takes.
            pub const fn domain(self) -> Domain { match self { $($name::$variant => Domain::$domain),* } }
        }
    };
}

/// The dtypes that an elementwise function takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// Floating-point types.
    Float,
    /// Floating-point and integer types.
    Number,
    /// Integer types.
    Integer,
    /// Integer types and bool.
    Bits,
    /// All types.
    Any,
}

impl Domain {
    /// Whether the dtype is one of them.
    pub fn contains(self, dtype: DType) -> bool {
        match self {
            Domain::Float => dtype.is_float(),
            Domain::Number => dtype != DType::Bool,
            Domain::Integer => dtype.is_integer(),
            Domain::Bits => !dtype.is_float(),
            Domain::Any => true,
        }
    }
    fn expected(self) -> &'static str {
        match self {
            Domain::Float => "a floating-point type",
            Domain::Number => "a floating-point or integer type",
            Domain::Integer => "an integer type",
            Domain::Bits => "an integer type or bool",
            Domain::Any => "any type",
        }
    }
}

fn in_domain(op: &str, domain: Domain, dtype: DType) -> Result<(), TypeError> {
    if domain.contains(dtype) {
        return Ok(());
    }
    Err(TypeError::new(op, format!("got {dtype}, expected {}", domain.expected())))
}

fn same_type<'a>(op: &str, operands: &[&'a Type]) -> Result<&'a TensorType, TypeError> {
    super::arity(op, operands, 2)?;
    let (a, b) = (super::tensor(op, operands, 0)?, super::tensor(op, operands, 1)?);
    if a == b {
        return Ok(a);
    }
    Err(TypeError::new(op, format!("got {a} and {b}, expected two tensors of one type")))
}

impl Operation for Unary {
    fn name(&self) -> &'static str {
        self.text()
    }
    fn infer(&self, operands: &[&Type]) -> Result<Type, TypeError> {
        let ty = super::one_tensor(self.text(), operands)?;
        in_domain(self.text(), self.domain(), ty.dtype)?;
        let dtype = if *self == Unary::IsFinite { DType::Bool } else { ty.dtype };
        Ok(Type::Tensor(TensorType { dtype, shape: ty.shape.clone() }))
    }
    fn gradient(&self, b: &mut Builder, at: &Backward<'_>) -> Result<Cotangents, TypeError> {
        let g = at.cotangent(self.text())?;
        let cotangent = express(b, |scope| {
            let [x, y, g] = [at.operands[0], at.results[0], g].map(|value| scope.tensor(value));
            Ok(vec![super::derivatives::unary(*self, x, y, g)?.map(Tensor::value)])
        });
        cotangent?
    }
    fn evaluate(&self, at: &Evaluation<'_>) -> Result<Vec<Array>, String> {
        let x = &at.operands[0];
        at.result(match x.data() {
            Data::Float(values) if *self == Unary::IsFinite => {
                Data::Int(values.iter().map(|x| x.is_finite().into()).collect())
            }
            Data::Float(values) => Data::Float(values.iter().map(|&x| self.of_float(x)).collect()),
            Data::Int(values) => Data::Int(values.iter().map(|&i| self.of_int(x.dtype(), i)).collect()),
        })
    }
}

impl Operation for Binary {
    fn name(&self) -> &'static str {
        self.text()
    }
    fn infer(&self, operands: &[&Type]) -> Result<Type, TypeError> {
        let ty = same_type(self.text(), operands)?;
        in_domain(self.text(), self.domain(), ty.dtype)?;
        Ok(Type::Tensor(ty.clone()))
    }
    fn gradient(&self, builder: &mut Builder, at: &Backward<'_>) -> Result<Cotangents, TypeError> {
        let g = at.cotangent(self.text())?;
        express(builder, |scope| {
            let [a, b, y, g] = [at.operands[0], at.operands[1], at.results[0], g].map(|value| scope.tensor(value));
            match super::derivatives::binary(*self, a, b, y, g) {
                Some(cotangents) => cotangents.map(|cotangent| Some(cotangent.value())).to_vec(),
                None => at.none(),
            }
        })
    }
    fn evaluate(&self, at: &Evaluation<'_>) -> Result<Vec<Array>, String> {
        let dtype = at.operands[0].dtype();
        at.result(match (at.operands[0].data(), at.operands[1].data()) {
            (Data::Float(a), Data::Float(b)) => {
                Data::Float(a.iter().zip(b).map(|(&a, &b)| self.of_float(a, b)).collect())
            }
            (Data::Int(a), Data::Int(b)) => {
                Data::Int(a.iter().zip(b).map(|(&a, &b)| self.of_int(dtype, a, b)).collect())
            }
            _ => return Err("the operands are of different kinds".into()),
        })
    }
}

impl Operation for Compare {
    fn name(&self) -> &'static str {
        self.text()
    }
    fn infer(&self, operands: &[&Type]) -> Result<Type, TypeError> {
        let ty = same_type(self.text(), operands)?;
        Ok(Type::Tensor(TensorType { dtype: DType::Bool, shape: ty.shape.clone() }))
    }
    fn gradient(&self, _: &mut Builder, at: &Backward<'_>) -> Result<Cotangents, TypeError> {
        Ok(at.none())
    }
    fn evaluate(&self, at: &Evaluation<'_>) -> Result<Vec<Array>, String> {
        let [a, b] = [&at.operands[0], &at.operands[1]];
        at.result(Data::Int((0..a.elements()).map(|i| self.holds(a.get(i), b.get(i)).into()).collect()))
    }
}

/// `condition ? on_true : on_false`, element by element; operands in that order, all of one shape.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Select {}

impl Operation for Select {
    fn name(&self) -> &'static str {
        "select"
    }
    fn infer(&self, operands: &[&Type]) -> Result<Type, TypeError> {
        super::arity("select", operands, 3)?;
        let condition = super::tensor("select", operands, 0)?;
        let ty = same_type("select", &operands[1..])?;
        if condition.dtype != DType::Bool || condition.shape != ty.shape {
            let expected = TensorType { dtype: DType::Bool, shape: ty.shape.clone() };
            return Err(TypeError::new("select", format!("the condition is {condition}, expected {expected}")));
        }
        Ok(Type::Tensor(ty.clone()))
    }
    fn gradient(&self, b: &mut Builder, at: &Backward<'_>) -> Result<Cotangents, TypeError> {
        let (condition, g) = (at.operands[0], at.cotangent("select")?);
        let zero = b.splat_like(0.0, g)?;
        Ok(vec![None, Some(b.select(condition, g, zero)?), Some(b.select(condition, zero, g)?)])
    }
    fn evaluate(&self, at: &Evaluation<'_>) -> Result<Vec<Array>, String> {
        let [condition, on_true, on_false] = [&at.operands[0], &at.operands[1], &at.operands[2]];
        let chosen = |i: usize| if condition.get(i).is_true() { on_true.get(i) } else { on_false.get(i) };
        at.result(Data::collect(on_true.dtype().is_float(), (0..condition.elements()).map(chosen)))
    }
}

/// The values in another dtype: rounded to nearest even; floats to integers truncate and saturate, NaN becomes 0;
/// integers wrap; to bool is "not zero".
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Convert {
    /// The result's dtype.
    pub dtype: DType,
}

impl Operation for Convert {
    fn name(&self) -> &'static str {
        "convert"
    }
    fn infer(&self, operands: &[&Type]) -> Result<Type, TypeError> {
        let ty = super::one_tensor("convert", operands)?;
        Ok(Type::Tensor(TensorType { dtype: self.dtype, shape: ty.shape.clone() }))
    }
    fn gradient(&self, b: &mut Builder, at: &Backward<'_>) -> Result<Cotangents, TypeError> {
        let dtype = b.tensor_type(at.operands[0]).dtype;
        Ok(vec![Some(b.convert(dtype, at.cotangent("convert")?)?)])
    }
    fn evaluate(&self, at: &Evaluation<'_>) -> Result<Vec<Array>, String> {
        let x = &at.operands[0];
        let values = (0..x.elements()).map(|i| round(self.dtype, x.get(i)));
        at.result(Data::collect(self.dtype.is_float(), values))
    }
}

/// The bits as another dtype of as many bits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BitcastConvert {
    /// The result's dtype.
    pub dtype: DType,
}

impl Operation for BitcastConvert {
    fn name(&self) -> &'static str {
        "bitcast_convert"
    }
    fn infer(&self, operands: &[&Type]) -> Result<Type, TypeError> {
        let ty = super::one_tensor("bitcast_convert", operands)?;
        if ty.dtype.bytes() != self.dtype.bytes() || ty.dtype == DType::Bool || self.dtype == DType::Bool {
            return Err(TypeError::new(
                "bitcast_convert",
                format!("{} and {} differ in size or are bool", ty.dtype, self.dtype),
            ));
        }
        Ok(Type::Tensor(TensorType { dtype: self.dtype, shape: ty.shape.clone() }))
    }
    fn gradient(&self, _: &mut Builder, at: &Backward<'_>) -> Result<Cotangents, TypeError> {
        Ok(at.none())
    }
    fn evaluate(&self, at: &Evaluation<'_>) -> Result<Vec<Array>, String> {
        let x = at.operands[0].to_literal();
        let bits = Literal::from_bytes(self.dtype, x.shape().to_vec(), x.bytes());
        Ok(vec![Array::from_literal(&bits.ok_or("the dtypes differ in size")?)])
    }
}

functions! {
    /// Elementwise functions of one operand.
    Unary:
    /// -x; integers wrap
    Negate "negate" Number;
    /// |x|
    Abs "abs" Number;
    /// -1, 0 or 1; of a float also -0 and NaN
    Sign "sign" Number;
    /// e^x
    Exp "exp" Float;
    /// e^x - 1
    Expm1 "expm1" Float;
    /// ln x
    Log "log" Float;
    /// ln(1 + x)
    Log1p "log1p" Float;
    /// The square root
    Sqrt "sqrt" Float;
    /// 1 / the square root
    Rsqrt "rsqrt" Float;
    /// The cube root
    Cbrt "cbrt" Float;
    /// sin x
    Sin "sin" Float;
    /// cos x
    Cos "cos" Float;
    /// tan x
    Tan "tan" Float;
    /// arcsin x
    Asin "asin" Float;
    /// arccos x
    Acos "acos" Float;
    /// arctan x
    Atan "atan" Float;
    /// sinh x
    Sinh "sinh" Float;
    /// cosh x
    Cosh "cosh" Float;
    /// tanh x
    Tanh "tanh" Float;
    /// arsinh x
    Asinh "asinh" Float;
    /// arcosh x
    Acosh "acosh" Float;
    /// artanh x
    Atanh "atanh" Float;
    /// 1 / (1 + e^-x)
    Logistic "logistic" Float;
    /// The error function
    Erf "erf" Float;
    /// 1 - erf x
    Erfc "erfc" Float;
    /// The inverse of the error function
    ErfInv "erf_inv" Float;
    /// ln |Gamma(x)|
    Lgamma "lgamma" Float;
    /// The derivative of ln Gamma
    Digamma "digamma" Float;
    /// The largest integer not above x
    Floor "floor" Float;
    /// The smallest integer not below x
    Ceil "ceil" Float;
    /// x without its fraction
    Trunc "trunc" Float;
    /// The nearest integer, ties to even
    RoundEven "round_even" Float;
    /// Neither infinite nor NaN; the result is bool
    IsFinite "is_finite" Float;
    /// The complement of the bits; of a bool its negation
    Not "not" Bits;
    /// The number of ones among the bits
    PopulationCount "population_count" Integer;
    /// The number of zeros above the highest one
    CountLeadingZeros "count_leading_zeros" Integer;
}

functions! {
    /// Elementwise functions of two operands of one type.
    Binary:
    /// a + b; integers wrap; of bools "or"
    Add "add" Any;
    /// a - b; integers wrap
    Subtract "subtract" Number;
    /// a * b; integers wrap; of bools "and"
    Multiply "multiply" Any;
    /// a / b; integers truncate, a / 0 is -1 (all ones)
    Divide "divide" Number;
    /// a - trunc(a / b) * b: the sign of a; of integers a % 0 is a
    Remainder "remainder" Number;
    /// a^b; for integers b below 0 gives 0 unless a is 1 or -1
    Power "power" Number;
    /// The larger; NaN if one is NaN; of bools "or"
    Maximum "maximum" Any;
    /// The smaller; NaN if one is NaN; of bools "and"
    Minimum "minimum" Any;
    /// The angle of the point (x = b, y = a)
    Atan2 "atan2" Float;
    /// Bitwise and
    And "and" Bits;
    /// Bitwise or
    Or "or" Bits;
    /// Bitwise exclusive or
    Xor "xor" Bits;
    /// a shifted left by b bits; 0 for b outside 0..bits
    ShiftLeft "shift_left" Integer;
    /// a shifted right by b bits, sign bits (for unsigned zeros) moving in; for b outside 0..bits all of them
    ShiftRight "shift_right" Integer;
}

functions! {
    /// Elementwise comparisons; the result is bool. With a NaN all but `not_equal` are false.
    Compare:
    /// a == b
    Equal "equal" Any;
    /// a != b
    NotEqual "not_equal" Any;
    /// a < b
    Less "less" Any;
    /// a <= b
    LessEqual "less_equal" Any;
    /// a > b
    Greater "greater" Any;
    /// a >= b
    GreaterEqual "greater_equal" Any;
}
