//! Memory of tensors: allocated, or a part of a package's file.

use crate::heap::*;
use alloc::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use alloc::sync::Arc;
use core::ops::{Deref, DerefMut, Range};
use core::ptr::NonNull;
use kc_abi::call::ALIGNMENT;
#[cfg(feature = "std")]
use memmap2::MmapMut;
#[cfg(feature = "std")]
use std::fs::File;

/// Bytes in memory. Those that are allocated start at a multiple of [`ALIGNMENT`]; parts of a package start where they lie.
///
/// A part that others may read as well becomes a copy of its own when it is written.
pub struct AlignedBytes {
    start: NonNull<u8>,
    length: usize,
    capacity: usize,
    owner: Owner,
}

#[derive(Clone)]
enum Owner {
    /// This value alone.
    Allocated,
    /// The region, which is kept; no other value has this part, and it may be written.
    Part { _region: Arc<Region> },
    /// The region, which is kept; the part is only read.
    Shared { _region: Arc<Region> },
}

// SAFETY: the memory is owned, or a part of a region that no one else writes, and reached only through the borrows of `self`.
unsafe impl Send for AlignedBytes {}
// SAFETY: as above; shared borrows only read.
unsafe impl Sync for AlignedBytes {}

/// A package's bytes as they came: a file that is mapped, a static of the program, or a copy.
pub(crate) struct Region {
    start: NonNull<u8>,
    length: usize,
    writable: bool,
    /// Holds what `start` points into.
    _memory: Memory,
}

enum Memory {
    #[cfg(feature = "std")]
    Mapped {
        _mapping: MmapMut,
    },
    Copied {
        _bytes: AlignedBytes,
    },
    Static,
}

// SAFETY: the memory is kept by the region, and written only through the one value that has the part.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// Maps a whole file; what is written stays in this process. The file must not be cut off while it is mapped: the process would be
    /// ended by a signal. Files that are replaced by renaming, as packages are, keep what is mapped.
    #[cfg(feature = "std")]
    pub(crate) fn map(file: &File) -> std::io::Result<Self> {
        if file.metadata()?.len() == 0 {
            return Ok(Region::of_static(&[]));
        }
        // SAFETY: the mapping is private; the file's owner does not cut it off, as documented.
        let mut mapping = unsafe { memmap2::MmapOptions::new().map_copy(file) }?;
        let (start, length) = (NonNull::from(&mut *mapping).cast(), mapping.len());
        Ok(Region { start, length, writable: true, _memory: Memory::Mapped { _mapping: mapping } })
    }

    /// Zeros in pages as large as the system has: of small ones a processor knows the places of few, and kernels go through many.
    #[cfg(all(feature = "std", target_os = "linux"))]
    fn large(length: usize) -> std::io::Result<Self> {
        let mut mapping = memmap2::MmapOptions::new().len(length).map_anon()?;
        // a system without large pages has others
        let _ = mapping.advise(memmap2::Advice::HugePage);
        let start = NonNull::from(&mut *mapping).cast();
        Ok(Region { start, length, writable: true, _memory: Memory::Mapped { _mapping: mapping } })
    }

    /// Bytes within the program.
    pub(crate) fn of_static(bytes: &'static [u8]) -> Self {
        Region { start: NonNull::from(bytes).cast(), length: bytes.len(), writable: false, _memory: Memory::Static }
    }

    /// A copy of bytes.
    pub(crate) fn copy_of(bytes: &[u8]) -> Self {
        let bytes = AlignedBytes::copy_of(bytes);
        Region { start: bytes.start, length: bytes.length, writable: true, _memory: Memory::Copied { _bytes: bytes } }
    }

    /// All bytes, while no part of them is written.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the memory is kept, and initialised.
        unsafe { core::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

/// Bytes from which on memory is in pages of its own.
#[cfg(all(feature = "std", target_os = "linux"))]
const LARGE: usize = 4 << 20;

impl AlignedBytes {
    /// `length` bytes of zeros. Ends the process where there are not so many: for sizes that no model or data chooses.
    pub fn zeros(length: usize) -> Self {
        Self::try_zeros(length)
            .unwrap_or_else(|| handle_alloc_error(Self::layout(length).expect("no bytes are always there")))
    }

    /// `length` bytes of zeros; `None` where there are not so many.
    pub fn try_zeros(length: usize) -> Option<Self> {
        let owner = Owner::Allocated;
        let Some(layout) = Self::layout(length) else {
            let start = NonNull::<Aligned>::dangling().cast();
            return Some(AlignedBytes { start, length: 0, capacity: 0, owner });
        };
        #[cfg(all(feature = "std", target_os = "linux"))]
        if length >= LARGE {
            let region = Arc::new(Region::large(layout.size()).ok()?);
            // SAFETY: the region is new.
            return Some(unsafe { Self::part(&region, 0..length) });
        }
        // SAFETY: the layout's size is not 0.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        Some(AlignedBytes { start, length, capacity: length, owner })
    }

    /// A copy of `bytes`.
    pub fn copy_of(bytes: &[u8]) -> Self {
        let mut copy = Self::zeros(bytes.len());
        copy.copy_from_slice(bytes);
        copy
    }

    /// A part of a region that is only read.
    pub(crate) fn shared(region: &Arc<Region>, range: Range<usize>) -> Self {
        Self::part_with(region, range, Owner::Shared { _region: region.clone() })
    }

    /// A part of a region, to be written where the region can be.
    ///
    /// # Safety
    /// There must be no other value for any of these bytes, and nobody may borrow them.
    pub(crate) unsafe fn part(region: &Arc<Region>, range: Range<usize>) -> Self {
        let owner = if region.writable {
            Owner::Part { _region: region.clone() }
        } else {
            Owner::Shared { _region: region.clone() }
        };
        Self::part_with(region, range, owner)
    }

    fn part_with(region: &Arc<Region>, range: Range<usize>, owner: Owner) -> Self {
        assert!(range.start <= range.end && range.end <= region.length, "a part of a region lies within it");
        // SAFETY: within the region.
        let start = unsafe { region.start.add(range.start) };
        AlignedBytes { start, length: range.len(), capacity: range.len(), owner }
    }

    /// Sees to it that the bytes may be written through [`AlignedBytes::as_pointer`]: a part that is only read becomes a copy.
    pub fn make_writable(&mut self) {
        if matches!(self.owner, Owner::Shared { .. }) {
            *self = Self::copy_of(self);
        }
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

    /// The first byte, for kernels. Writing through it needs what [`AlignedBytes::make_writable`] sees to.
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
        if let (Owner::Allocated, Some(layout)) = (&self.owner, Self::layout(self.capacity)) {
            // SAFETY: allocated by `zeros` with the same layout.
            unsafe { dealloc(self.start.as_ptr(), layout) }
        }
    }
}

impl Deref for AlignedBytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: `length` initialised bytes are owned, or a part of the region that is kept.
        unsafe { core::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl DerefMut for AlignedBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.make_writable();
        // SAFETY: `length` initialised bytes are owned, and `self` is borrowed exclusively.
        unsafe { core::slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

impl Clone for AlignedBytes {
    /// A copy; of a part that is only read, the same part.
    fn clone(&self) -> Self {
        match &self.owner {
            Owner::Shared { .. } => AlignedBytes { owner: self.owner.clone(), ..*self },
            Owner::Allocated | Owner::Part { .. } => Self::copy_of(self),
        }
    }
}

impl Default for AlignedBytes {
    fn default() -> Self {
        Self::zeros(0)
    }
}

impl From<Vec<u8>> for AlignedBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self::copy_of(&bytes)
    }
}

impl core::fmt::Debug for AlignedBytes {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(formatter, "{} bytes", self.length)
    }
}

impl PartialEq for AlignedBytes {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}
