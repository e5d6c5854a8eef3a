//! [`Array`]: a dense tensor in the machine's memory.

use crate::errors::errors;
use crate::heap::*;
use crate::memory::{AlignedBytes, Region};
use alloc::sync::Arc;
use core::fmt;
use core::ops::Range;
use kc_abi::DType;

/// A Rust type that is the element of an [`Array`].
///
/// # Safety
/// Every bit pattern of [`DType::bytes`] bytes must be a value of the type, and its size must be that.
pub unsafe trait Element: Copy + Send + Sync + 'static {
    /// The dtype.
    const DTYPE: DType;
}

macro_rules! elements {
    ($($type:ty => $dtype:ident),*) => {
        $(
            // SAFETY: a number type of that size; every bit pattern is a value.
            unsafe impl Element for $type { const DTYPE: DType = DType::$dtype; }
        )*
    };
}
#[cfg(feature = "half")]
elements!(half::f16 => F16, half::bf16 => Bf16);
elements!(f64 => F64, f32 => F32, i8 => I8, i16 => I16, i32 => I32, i64 => I64,
    u8 => U8, u16 => U16, u32 => U32, u64 => U64);

errors! {
    /// The product of the extents does not fit, or differs from what was given.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum ArrayError {
        /// Number of values and shape differ.
        #[error("{given} values were given for the shape {shape}, which holds {expected}")]
        Length {
            /// Number of values.
            given: usize,
            /// The shape, as text.
            shape: String,
            /// Product of its extents.
            expected: usize,
        },
        /// The shape has more elements than memory has bytes.
        #[error("the shape {shape} of {dtype} is larger than the address space")]
        TooLarge {
            /// The shape, as text.
            shape: String,
            /// Element type.
            dtype: DType,
        },
        /// The system has no memory for it.
        #[error("there is no memory for {bytes} bytes: an array of {dtype} of shape {shape}")]
        OutOfMemory {
            /// The shape, as text.
            shape: String,
            /// Element type.
            dtype: DType,
            /// Bytes of all elements.
            bytes: usize,
        },
        /// Read as another type than it has.
        #[error("the array holds {actual}, not {requested}")]
        DType {
            /// What it holds.
            actual: DType,
            /// What was asked for.
            requested: DType,
        },
    }
}

/// A dense, row-major tensor in memory: dtype, shape, and bytes that start at a multiple of 64, or, for a part of a package's file,
/// of an element's size.
#[derive(Clone)]
pub struct Array {
    dtype: DType,
    shape: Vec<usize>,
    bytes: AlignedBytes,
}

/// `(60000, 28, 28)`: a shape as Keras prints it.
pub fn shape_text(shape: &[usize]) -> String {
    match shape {
        [only] => format!("({only},)"),
        _ => format!("({})", shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")),
    }
}

fn byte_length(dtype: DType, shape: &[usize]) -> Result<usize, ArrayError> {
    shape
        .iter()
        .try_fold(dtype.bytes(), |bytes, &extent| bytes.checked_mul(extent))
        .filter(|&bytes| bytes <= isize::MAX as usize - 64)
        .ok_or_else(|| ArrayError::TooLarge { shape: shape_text(shape), dtype })
}

impl Array {
    /// An array of zeros.
    pub fn zeros(dtype: DType, shape: &[usize]) -> Result<Self, ArrayError> {
        let length = byte_length(dtype, shape)?;
        let bytes = AlignedBytes::try_zeros(length).ok_or_else(|| ArrayError::OutOfMemory {
            shape: shape_text(shape),
            dtype,
            bytes: length,
        })?;
        Ok(Array { dtype, shape: shape.to_vec(), bytes })
    }

    /// An array of the values, in row-major order.
    pub fn from_slice<T: Element>(values: &[T], shape: &[usize]) -> Result<Self, ArrayError> {
        // SAFETY: numbers may be read as bytes.
        let bytes = unsafe { core::slice::from_raw_parts(values.as_ptr().cast::<u8>(), size_of_val(values)) };
        Self::from_bytes(T::DTYPE, shape, bytes)
    }

    /// An array of truth values, in row-major order.
    pub fn from_bools(values: &[bool], shape: &[usize]) -> Result<Self, ArrayError> {
        let bytes: Vec<u8> = values.iter().map(|&value| u8::from(value)).collect();
        Self::from_bytes(DType::Bool, shape, &bytes)
    }

    /// A scalar: an array without axes.
    pub fn scalar<T: Element>(value: T) -> Self {
        Self::from_slice(&[value], &[]).expect("one value is what a scalar holds")
    }

    /// An array of elements in the machine's byte order; truth values are 0 for a 0 byte, else 1.
    pub fn from_bytes(dtype: DType, shape: &[usize], bytes: &[u8]) -> Result<Self, ArrayError> {
        let expected = byte_length(dtype, shape)?;
        if bytes.len() != expected {
            let size = dtype.bytes();
            return Err(ArrayError::Length {
                given: bytes.len() / size,
                shape: shape_text(shape),
                expected: expected / size,
            });
        }
        let mut array = Array::zeros(dtype, shape)?;
        array.bytes.copy_from_slice(bytes);
        if dtype == DType::Bool {
            array.bytes.iter_mut().for_each(|byte| *byte = u8::from(*byte != 0));
        }
        Ok(array)
    }

    /// An array in a part of a package's bytes, of which it takes the place; a copy where its elements are not aligned there, or must be
    /// looked at.
    pub(crate) fn of_region(dtype: DType, shape: &[usize], region: &Arc<Region>, place: Range<usize>) -> Self {
        // SAFETY: the layout's tensors lie one after the other, and each is taken once.
        let bytes = unsafe { AlignedBytes::part(region, place) };
        if dtype == DType::Bool || !bytes.as_pointer().addr().is_multiple_of(dtype.bytes()) {
            return Array::from_bytes(dtype, shape, &bytes).expect("the layout says how many bytes it has");
        }
        Array { dtype, shape: shape.to_vec(), bytes }
    }

    /// Sees to it that the elements may be written through [`Array::pointer`].
    pub(crate) fn make_writable(&mut self) {
        self.bytes.make_writable();
    }

    /// Type of the elements.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Extents, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.bytes.len() / self.dtype.bytes()
    }

    /// The elements as bytes, in the machine's byte order.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The elements as bytes, to be written. Truth values must be written as 0 or 1.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// The elements.
    pub fn as_slice<T: Element>(&self) -> Result<&[T], ArrayError> {
        if T::DTYPE != self.dtype {
            return Err(ArrayError::DType { actual: self.dtype, requested: T::DTYPE });
        }
        // SAFETY: aligned, initialised, and every bit pattern is a `T`.
        Ok(unsafe { core::slice::from_raw_parts(self.bytes.as_ptr().cast(), self.elements()) })
    }

    /// The elements, to be written.
    pub fn as_mut_slice<T: Element>(&mut self) -> Result<&mut [T], ArrayError> {
        if T::DTYPE != self.dtype {
            return Err(ArrayError::DType { actual: self.dtype, requested: T::DTYPE });
        }
        let elements = self.elements();
        // SAFETY: aligned, initialised, every bit pattern is a `T`, and `self` is borrowed exclusively.
        Ok(unsafe { core::slice::from_raw_parts_mut(self.bytes.as_mut_ptr().cast(), elements) })
    }

    /// The first element as a number; `None` of an empty array.
    pub fn first_as_f64(&self) -> Option<f64> {
        (self.elements() > 0).then(|| crate::convert::element_as_f64(self.dtype, &self.bytes, 0))
    }

    /// The array with other extents of the same product.
    pub fn reshaped(mut self, shape: &[usize]) -> Result<Self, ArrayError> {
        let expected = byte_length(self.dtype, shape)?;
        if expected != self.bytes.len() {
            let size = self.dtype.bytes();
            return Err(ArrayError::Length {
                given: self.bytes.len() / size,
                shape: shape_text(shape),
                expected: expected / size,
            });
        }
        self.shape = shape.to_vec();
        Ok(self)
    }

    /// The elements rounded or widened to `dtype` (see [`crate::convert`]).
    pub fn cast(&self, dtype: DType) -> Self {
        let mut result = Array::zeros(dtype, &self.shape).expect("a conversion grows an array at most eightfold");
        crate::convert::convert(self.dtype, &self.bytes, dtype, &mut result.bytes);
        result
    }

    /// Makes the array one of `rows` rows (extents of the first axis) without new memory; `false`, and no change,
    /// where it was made with fewer rows or has no axis.
    #[cfg(feature = "train")]
    pub(crate) fn set_rows(&mut self, rows: usize) -> bool {
        let Some((first, rest)) = self.shape.split_first_mut() else { return false };
        let row_bytes = rest.iter().product::<usize>() * self.dtype.bytes();
        let fits = rows.checked_mul(row_bytes).is_some_and(|bytes| self.bytes.set_length(bytes));
        if fits {
            *first = rows;
        }
        fits
    }

    /// Where the elements lie, for kernels. Writing through it needs what [`Array::bytes_mut`] needs.
    pub fn pointer(&self) -> *mut u8 {
        self.bytes.as_pointer()
    }
}

impl PartialEq for Array {
    /// Same dtype, shape and bits.
    fn eq(&self, other: &Self) -> bool {
        self.dtype == other.dtype && self.shape == other.shape && *self.bytes == *other.bytes
    }
}

impl fmt::Debug for Array {
    /// `f32(2, 3) [0.0, 1.0, ...]`, `i32(2) [0, 1]`, `bool(2) [false, true]`
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{} [", self.dtype, shape_text(&self.shape))?;
        let shown = self.elements().min(8);
        for i in 0..shown {
            formatter.write_str(if i == 0 { "" } else { ", " })?;
            match self.dtype {
                DType::Bool => write!(formatter, "{}", self.bytes[i] != 0)?,
                dtype if dtype.is_integer() => {
                    formatter.write_str(&crate::convert::element_text(dtype, &self.bytes, i))?
                }
                dtype => write!(formatter, "{:?}", crate::convert::element_as_f64(dtype, &self.bytes, i))?,
            }
        }
        formatter.write_str(if self.elements() > shown { ", ...]" } else { "]" })
    }
}
