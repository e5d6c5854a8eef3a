//! What an entry point takes.

use crate::array::{Array, Element};
use kc_abi::DType;

/// A tensor that an entry point reads: an [`Array`], or a [`View`] of the caller's memory.
pub trait Argument {
    /// Type of the elements.
    fn dtype(&self) -> DType;
    /// Extents, outermost first.
    fn shape(&self) -> &[usize];
    /// The first element, aligned to the size of one; as many follow as the shape says.
    #[doc(hidden)]
    fn pointer(&self) -> *const u8;
}

impl Argument for Array {
    fn dtype(&self) -> DType {
        Array::dtype(self)
    }
    fn shape(&self) -> &[usize] {
        Array::shape(self)
    }
    fn pointer(&self) -> *const u8 {
        Array::pointer(self)
    }
}

impl<A: Argument> Argument for &A {
    fn dtype(&self) -> DType {
        A::dtype(self)
    }
    fn shape(&self) -> &[usize] {
        A::shape(self)
    }
    fn pointer(&self) -> *const u8 {
        A::pointer(self)
    }
}

/// A tensor in the caller's memory, row-major.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    dtype: DType,
    shape: &'a [usize],
    bytes: &'a [u8],
}

impl<'a> View<'a> {
    /// The values as a tensor of that shape; `None` where they are more or fewer than it has.
    pub fn new<T: Element>(values: &'a [T], shape: &'a [usize]) -> Option<Self> {
        let elements = shape.iter().try_fold(1usize, |product, &extent| product.checked_mul(extent));
        // SAFETY: numbers may be read as bytes.
        let bytes = unsafe { core::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) };
        (elements == Some(values.len())).then_some(View { dtype: T::DTYPE, shape, bytes })
    }
}

impl Argument for View<'_> {
    fn dtype(&self) -> DType {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        self.shape
    }
    fn pointer(&self) -> *const u8 {
        self.bytes.as_ptr()
    }
}
