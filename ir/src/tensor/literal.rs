use kc_abi::DType;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::sync::Arc;

/// One element, widened: floats to f64, integers and booleans to i128.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar {
    /// An element of a floating-point tensor.
    Float(f64),
    /// An element of an integer or boolean tensor.
    Int(i128),
}

impl Scalar {
    /// The value as a float (integers rounded to nearest).
    pub fn to_f64(self) -> f64 {
        match self {
            Scalar::Float(x) => x,
            Scalar::Int(i) => i as f64,
        }
    }
    /// The value as an integer: floats truncated, NaN 0, saturating.
    pub fn to_i128(self) -> i128 {
        match self {
            Scalar::Float(x) => x as i128,
            Scalar::Int(i) => i,
        }
    }
    /// Whether the value is not zero.
    pub fn is_true(self) -> bool {
        match self {
            Scalar::Float(x) => x != 0.0,
            Scalar::Int(i) => i != 0,
        }
    }
}

/// A floating-point attribute of an op: compared, ordered and hashed by its bits.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Real(pub f64);

impl PartialEq for Real {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}
impl Eq for Real {}
impl PartialOrd for Real {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Real {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}
impl std::hash::Hash for Real {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

impl From<f64> for Scalar {
    fn from(x: f64) -> Self {
        Scalar::Float(x)
    }
}
impl From<i64> for Scalar {
    fn from(x: i64) -> Self {
        Scalar::Int(x.into())
    }
}

/// A constant tensor of known shape: row-major little-endian bytes. Equality, order and hash are by bits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Literal {
    dtype: DType,
    shape: Vec<usize>,
    bytes: Arc<[u8]>,
}

impl Literal {
    /// The tensor with these bytes; `None` if their number is not that of the type.
    pub fn from_bytes(dtype: DType, shape: Vec<usize>, bytes: impl Into<Arc<[u8]>>) -> Option<Self> {
        let bytes = bytes.into();
        let elements = shape.iter().try_fold(1usize, |product, &extent| {
            i64::try_from(extent).ok()?;
            product.checked_mul(extent)
        })?;
        (elements.checked_mul(dtype.bytes())? == bytes.len()).then_some(Literal { dtype, shape, bytes })
    }

    /// The tensor whose elements are these values, each rounded once to `dtype`.
    ///
    /// # Panics
    /// Where the number of values is not that of the shape.
    pub fn from_scalars(dtype: DType, shape: Vec<usize>, values: impl IntoIterator<Item = Scalar>) -> Self {
        let mut bytes = Vec::with_capacity(shape.iter().product::<usize>() * dtype.bytes());
        values.into_iter().for_each(|value| encode(dtype, value, &mut bytes));
        assert_eq!(
            bytes.len(),
            shape.iter().product::<usize>() * dtype.bytes(),
            "number of values and shape {shape:?} differ"
        );
        Literal { dtype, shape, bytes: bytes.into() }
    }

    /// A tensor of rank 0.
    pub fn scalar(dtype: DType, value: impl Into<Scalar>) -> Self {
        Literal::from_scalars(dtype, Vec::new(), [value.into()])
    }

    /// An f32 tensor.
    ///
    /// # Panics
    /// Where the number of values is not that of the shape.
    pub fn f32(shape: &[usize], values: &[f32]) -> Self {
        Literal::from_scalars(DType::F32, shape.to_vec(), values.iter().map(|&x| Scalar::Float(x.into())))
    }

    /// Type of the elements.
    pub fn dtype(&self) -> DType {
        self.dtype
    }
    /// Extents, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }
    /// The elements' bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }
    /// The type.
    pub fn ty(&self) -> kc_abi::TensorType {
        kc_abi::TensorType::new(self.dtype, self.shape.iter().copied())
    }

    /// The element at a flat (row-major) position.
    ///
    /// # Panics
    /// Where the position is not below `elements()`.
    pub fn get(&self, position: usize) -> Scalar {
        decode(self.dtype, &self.bytes[position * self.dtype.bytes()..])
    }

    /// All elements in row-major order.
    pub fn scalars(&self) -> impl Iterator<Item = Scalar> + '_ {
        self.bytes.chunks_exact(self.dtype.bytes()).map(|chunk| decode(self.dtype, chunk))
    }

    /// The elements as f64.
    pub fn to_f64_vec(&self) -> Vec<f64> {
        self.scalars().map(Scalar::to_f64).collect()
    }

    /// The value that all elements have bit for bit, if there is one.
    pub fn splat_value(&self) -> Option<Scalar> {
        let mut chunks = self.bytes.chunks_exact(self.dtype.bytes());
        let first = chunks.next()?;
        chunks.all(|chunk| chunk == first).then(|| decode(self.dtype, first))
    }

    /// The same elements in another shape of as many elements.
    pub fn reshaped(&self, shape: Vec<usize>) -> Option<Self> {
        Literal::from_bytes(self.dtype, shape, self.bytes.clone())
    }
}

/// Rounds `value` once to `dtype` (ties to even; integers wrap; floats to integers saturate, NaN is 0).
pub fn round(dtype: DType, value: Scalar) -> Scalar {
    let mut bytes = Vec::with_capacity(8);
    encode(dtype, value, &mut bytes);
    decode(dtype, &bytes)
}

fn encode(dtype: DType, value: Scalar, bytes: &mut Vec<u8>) {
    let int = || match value {
        Scalar::Int(i) => i,
        Scalar::Float(x) => {
            let (low, high) = integer_range(dtype);
            (x as i128).clamp(low, high)
        }
    };
    match dtype {
        DType::F64 => bytes.extend(value.to_f64().to_le_bytes()),
        DType::F32 => bytes.extend(
            match value {
                Scalar::Float(x) => x as f32,
                Scalar::Int(i) => i as f32,
            }
            .to_le_bytes(),
        ),
        DType::F16 => bytes.extend(f16_from_f64(value.to_f64()).to_le_bytes()),
        DType::Bf16 => bytes.extend(bf16_from_f64(value.to_f64()).to_le_bytes()),
        DType::I8 | DType::U8 => bytes.push(int() as u8),
        DType::I16 | DType::U16 => bytes.extend((int() as u16).to_le_bytes()),
        DType::I32 | DType::U32 => bytes.extend((int() as u32).to_le_bytes()),
        DType::I64 | DType::U64 => bytes.extend((int() as u64).to_le_bytes()),
        DType::Bool => bytes.push(value.is_true() as u8),
    }
}

/// `x` in f32, rounded to the neighbour whose last bit is 1 where it is not exact: a later rounding to a narrower type
/// then gives what one rounding of `x` gives.
fn round_to_odd(x: f64) -> f32 {
    let nearest = x as f32;
    let back = f64::from(nearest);
    if back == x || x.is_nan() {
        return nearest;
    }
    let toward_zero = if back.abs() > x.abs() { nearest.to_bits() - 1 } else { nearest.to_bits() };
    f32::from_bits(toward_zero | 1)
}

/// The nearest f16, ties to even.
pub fn f16_from_f64(x: f64) -> half::f16 {
    half::f16::from_f32(round_to_odd(x))
}

/// The nearest bf16, ties to even.
pub fn bf16_from_f64(x: f64) -> half::bf16 {
    half::bf16::from_f32(round_to_odd(x))
}

/// Smallest and largest value of an integer dtype (0 and 1 for `bool`, all of i128 for floats).
pub fn integer_range(dtype: DType) -> (i128, i128) {
    let bits = dtype.bits();
    if dtype == DType::Bool {
        (0, 1)
    } else if dtype.is_signed_integer() {
        (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1)
    } else if dtype.is_unsigned_integer() {
        (0, (1i128 << bits) - 1)
    } else {
        (i128::MIN, i128::MAX)
    }
}

fn decode(dtype: DType, bytes: &[u8]) -> Scalar {
    fn take<const N: usize>(bytes: &[u8]) -> [u8; N] {
        let mut out = [0; N];
        out.copy_from_slice(&bytes[..N]);
        out
    }
    match dtype {
        DType::F64 => Scalar::Float(f64::from_le_bytes(take(bytes))),
        DType::F32 => Scalar::Float(f32::from_le_bytes(take(bytes)).into()),
        DType::F16 => Scalar::Float(half::f16::from_le_bytes(take(bytes)).to_f64()),
        DType::Bf16 => Scalar::Float(half::bf16::from_le_bytes(take(bytes)).to_f64()),
        DType::I8 => Scalar::Int((bytes[0] as i8).into()),
        DType::I16 => Scalar::Int(i16::from_le_bytes(take(bytes)).into()),
        DType::I32 => Scalar::Int(i32::from_le_bytes(take(bytes)).into()),
        DType::I64 => Scalar::Int(i64::from_le_bytes(take(bytes)).into()),
        DType::U8 | DType::Bool => Scalar::Int(bytes[0].into()),
        DType::U16 => Scalar::Int(u16::from_le_bytes(take(bytes)).into()),
        DType::U32 => Scalar::Int(u32::from_le_bytes(take(bytes)).into()),
        DType::U64 => Scalar::Int(u64::from_le_bytes(take(bytes)).into()),
    }
}

/// The serialised form: `{"type": "f32", "shape": [2], "data": [1.5, "nan"]}`; a NaN of other bits than usual is `"nan:ffc00000"`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    #[serde(rename = "type")]
    dtype: DType,
    shape: Vec<usize>,
    data: Vec<Element>,
}

/// An element in the serialised form: a number, or a text for what JSON's numbers cannot say.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Element {
    Int(i64),
    Unsigned(u64),
    Float(f64),
    Text(String),
}

/// The number with the shortest decimal form that rounds to `x`, which is a value of `dtype`.
fn shortest(dtype: DType, x: f64) -> f64 {
    match (x as f32).to_string().parse::<f64>() {
        Ok(short) if dtype == DType::F32 && (short as f32).to_bits() == (x as f32).to_bits() => short,
        _ => x,
    }
}

fn is_default_nan(dtype: DType, chunk: &[u8]) -> bool {
    let mut default = Vec::with_capacity(8);
    encode(dtype, Scalar::Float(f64::NAN), &mut default);
    default == chunk
}

/// The bytes of `nan:BITS`, a NaN whose bits are written in hexadecimal digits.
fn nan_bytes(dtype: DType, text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("nan:").filter(|digits| digits.len() == 2 * dtype.bytes() && dtype.is_float())?;
    let bits = u64::from_str_radix(digits, 16).ok()?;
    let bytes = bits.to_le_bytes()[..dtype.bytes()].to_vec();
    decode(dtype, &bytes).to_f64().is_nan().then_some(bytes)
}

impl Serialize for Literal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let data = self.bytes.chunks_exact(self.dtype.bytes()).map(|chunk| match decode(self.dtype, chunk) {
            Scalar::Int(i) => i64::try_from(i).map(Element::Int).unwrap_or(Element::Unsigned(i as u64)),
            Scalar::Float(x) if x.is_finite() => Element::Float(shortest(self.dtype, x)),
            Scalar::Float(x) if x.is_nan() && !is_default_nan(self.dtype, chunk) => Element::Text(format!(
                "nan:{}",
                chunk.iter().rev().map(|byte| format!("{byte:02x}")).collect::<String>()
            )),
            Scalar::Float(x) => Element::Text(x.to_string().to_lowercase()),
        });
        Form { dtype: self.dtype, shape: self.shape.clone(), data: data.collect() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Literal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let form = Form::deserialize(deserializer)?;
        let mut bytes = Vec::with_capacity(form.data.len() * form.dtype.bytes());
        for element in form.data {
            let scalar = match element {
                Element::Int(i) => Scalar::Int(i.into()),
                Element::Unsigned(u) => Scalar::Int(u.into()),
                Element::Float(x) => Scalar::Float(x),
                Element::Text(text) => {
                    if let Some(bits) = nan_bytes(form.dtype, &text) {
                        bytes.extend(bits);
                        continue;
                    }
                    Scalar::Float(text.parse().map_err(|_| D::Error::custom(format!("`{text}` is no number")))?)
                }
            };
            encode(form.dtype, scalar, &mut bytes);
        }
        let elements = bytes.len() / form.dtype.bytes();
        Literal::from_bytes(form.dtype, form.shape.clone(), bytes)
            .ok_or_else(|| D::Error::custom(format!("{elements} elements do not fill the shape {:?}", form.shape)))
    }
}
