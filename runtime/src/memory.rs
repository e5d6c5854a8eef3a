//! Memory that starts at a multiple of [`ALIGNMENT`] bytes.

use kc_abi::call::ALIGNMENT;
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// Bytes, zero at first, that start at a multiple of [`ALIGNMENT`].
pub struct AlignedBytes {
    start: NonNull<u8>,
    length: usize,
    capacity: usize,
}

// SAFETY: the memory is owned and reached only through the borrows of `self`.
unsafe impl Send for AlignedBytes {}
// SAFETY: as above; shared borrows only read.
unsafe impl Sync for AlignedBytes {}

impl AlignedBytes {
    /// `length` bytes of zeros. Ends the process where there are not so many: for sizes that no model or data chooses.
    pub fn zeros(length: usize) -> Self {
        Self::try_zeros(length)
            .unwrap_or_else(|| handle_alloc_error(Self::layout(length).expect("no bytes are always there")))
    }

    /// `length` bytes of zeros; `None` where there are not so many.
    pub fn try_zeros(length: usize) -> Option<Self> {
        let Some(layout) = Self::layout(length) else {
            return Some(AlignedBytes { start: NonNull::<Aligned>::dangling().cast(), length: 0, capacity: 0 });
        };
        // SAFETY: the layout's size is not 0.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        Some(AlignedBytes { start, length, capacity: length })
    }

    /// A copy of `bytes`.
    pub fn copy_of(bytes: &[u8]) -> Self {
        let mut copy = Self::zeros(bytes.len());
        copy.copy_from_slice(bytes);
        copy
    }

    /// Makes the first `length` bytes of the memory visible; `false`, and no change, where it is smaller than that.
    /// Bytes that were written before keep their values.
    pub fn set_length(&mut self, length: usize) -> bool {
        let fits = length <= self.capacity;
        if fits {
            self.length = length;
        }
        fits
    }

    /// The layout of that many bytes, rounded up to whole units of [`ALIGNMENT`]; `None` for none.
    fn layout(length: usize) -> Option<Layout> {
        if length == 0 {
            return None;
        }
        let size = length.checked_next_multiple_of(ALIGNMENT).expect("more bytes than an address space has");
        Some(Layout::from_size_align(size, ALIGNMENT).expect("more bytes than an address space has"))
    }

    /// The first byte, for kernels.
    pub fn as_pointer(&self) -> *mut u8 {
        self.start.as_ptr()
    }
}

/// A type of the alignment that a dangling start needs.
#[repr(align(64))]
struct Aligned;
const _: () = assert!(align_of::<Aligned>() == ALIGNMENT);

impl Drop for AlignedBytes {
    fn drop(&mut self) {
        if let Some(layout) = Self::layout(self.capacity) {
            // SAFETY: allocated by `zeros` with the same layout.
            unsafe { dealloc(self.start.as_ptr(), layout) }
        }
    }
}

impl Deref for AlignedBytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: `length` initialised bytes are owned.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl DerefMut for AlignedBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: `length` initialised bytes are owned, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

impl Clone for AlignedBytes {
    fn clone(&self) -> Self {
        Self::copy_of(self)
    }
}

impl Default for AlignedBytes {
    fn default() -> Self {
        Self::zeros(0)
    }
}
