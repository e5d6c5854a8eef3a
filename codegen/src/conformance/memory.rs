//! Memory that ends at a page that cannot be touched.

use kc_runtime::kc_abi::call::ALIGNMENT;
use std::ptr::{NonNull, null_mut};

const CANARY: u8 = 0xa5;

/// Bytes whose end is that of a page, or as near to it as their alignment admits. What is left of their pages holds a pattern.
pub(super) struct Guarded {
    mapping: NonNull<u8>,
    mapped: usize,
    usable: usize,
    start: usize,
    bytes: usize,
}

impl Guarded {
    /// A copy of the elements of a buffer, which are aligned as elements are and no better.
    pub fn elements(bytes: &[u8]) -> Result<Self, String> {
        Self::aligned(bytes, 1)
    }

    /// A copy of the bytes of scratch memory, at a multiple of [`ALIGNMENT`].
    pub fn scratch(bytes: &[u8]) -> Result<Self, String> {
        Self::aligned(bytes, ALIGNMENT)
    }

    fn aligned(bytes: &[u8], alignment: usize) -> Result<Self, String> {
        // SAFETY: asks for a number.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        let data = bytes.len().max(1).next_multiple_of(page);
        let mapped = data + page;
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping at an address of the system's choice.
        let address = unsafe { libc::mmap(null_mut(), mapped, protection, flags, -1, 0) };
        if address == libc::MAP_FAILED {
            return Err(format!("no memory for {mapped} bytes"));
        }
        let mapping = NonNull::new(address.cast::<u8>()).ok_or("a mapping at address 0")?;
        let start = (data - bytes.len()) / alignment * alignment;
        let guarded = Guarded { mapping, mapped, usable: data, start, bytes: bytes.len() };
        // SAFETY: the last page of the mapping, which nothing refers to yet.
        if unsafe { libc::mprotect(address.byte_add(data), page, libc::PROT_NONE) } != 0 {
            return Err("a page could not be protected".to_string());
        }
        // SAFETY: within the mapping's readable and writable pages.
        unsafe {
            mapping.as_ptr().write_bytes(CANARY, data);
            guarded.pointer().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
        Ok(guarded)
    }

    /// The first byte.
    pub fn pointer(&self) -> *mut u8 {
        // SAFETY: within the mapping.
        unsafe { self.mapping.as_ptr().add(self.start) }
    }

    /// The bytes now; an error if something was written in front of them or behind them.
    pub fn take(&self) -> Result<Vec<u8>, String> {
        // SAFETY: the mapping's readable pages; whatever wrote to them has returned.
        let all = unsafe { std::slice::from_raw_parts(self.mapping.as_ptr(), self.usable) };
        let (front, rest) = all.split_at(self.start);
        let (bytes, behind) = rest.split_at(self.bytes);
        if front.iter().chain(behind).any(|&byte| byte != CANARY) {
            return Err("bytes outside of a buffer were written".to_string());
        }
        Ok(bytes.to_vec())
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the mapping that `new` made; nothing refers to it any more.
        unsafe { libc::munmap(self.mapping.as_ptr().cast(), self.mapped) };
    }
}
