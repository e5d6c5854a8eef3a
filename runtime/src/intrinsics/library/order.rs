//! Sorting by keys of any dtype: the order of their elements, which are not moved. Nothing is allocated.

use kc_abi::DType;
use kc_abi::library::{Region, dtype_of_number};

/// A row of keys.
#[derive(Clone, Copy)]
struct Key<'a> {
    region: &'a Region,
    dtype: DType,
}

/// The unsigned number with the order of a float's bits: sign and magnitude become an offset, every NaN the largest number.
macro_rules! ordered_float {
    ($bits:expr, $unsigned:ty, $infinity:expr) => {{
        let bits: $unsigned = $bits;
        const SIGN: $unsigned = 1 << (<$unsigned>::BITS - 1);
        let magnitude = bits & !SIGN;
        let ordered = if magnitude > $infinity {
            <$unsigned>::MAX
        } else if magnitude == 0 {
            SIGN
        } else if bits & SIGN != 0 {
            !bits
        } else {
            bits | SIGN
        };
        ordered as u64
    }};
}

impl<'a> Key<'a> {
    /// # Safety
    /// The region's elements must be readable as long as the key is used, and be of its dtype.
    unsafe fn new(region: &'a Region) -> Self {
        Key { region, dtype: dtype_of_number(region.dtype).unwrap_or(DType::Bool) }
    }

    /// A number that has the order of the element among those of its dtype.
    fn ordered(&self, position: u64) -> u64 {
        let offset = (position as i64).wrapping_mul(self.region.column_stride) as isize;
        // SAFETY: by the promise at `new`: positions are those of the region's elements.
        unsafe {
            macro_rules! element {
                ($ty:ty) => {
                    self.region.pointer.cast::<$ty>().offset(offset).read()
                };
            }
            match self.dtype {
                DType::F64 => ordered_float!(element!(u64), u64, 0x7ff0_0000_0000_0000),
                DType::F32 => ordered_float!(element!(u32), u32, 0x7f80_0000),
                DType::F16 => ordered_float!(element!(u16), u16, 0x7c00),
                DType::Bf16 => ordered_float!(element!(u16), u16, 0x7f80),
                DType::I8 => (element!(u8) ^ (1 << 7)).into(),
                DType::I16 => (element!(u16) ^ (1 << 15)).into(),
                DType::I32 => (element!(u32) ^ (1 << 31)).into(),
                DType::I64 => element!(u64) ^ (1 << 63),
                DType::U8 => element!(u8).into(),
                DType::U16 => element!(u16).into(),
                DType::U32 => element!(u32).into(),
                DType::U64 => element!(u64),
                DType::Bool => (element!(u8) != 0).into(),
            }
        }
    }
}

/// How the elements are compared.
enum Comparison<'a> {
    /// By one key of at most 32 bits: an item is the key, then the position below it, so items are compared as numbers.
    Packed { key: Key<'a>, flip: u64 },
    /// By keys that are read again for each comparison: an item is a position.
    Read { keys: &'a [Region], descending: bool },
}

impl<'a> Comparison<'a> {
    fn new(keys: &'a [Region], descending: bool) -> Self {
        match keys {
            // SAFETY: by the caller of `argsort` and `argtop`.
            [key] if unsafe { Key::new(key) }.dtype.bytes() <= 4 && key.columns <= 1 << 32 => {
                // SAFETY: as above.
                Comparison::Packed { key: unsafe { Key::new(key) }, flip: if descending { 0xffff_ffff } else { 0 } }
            }
            _ => Comparison::Read { keys, descending },
        }
    }

    fn item(&self, position: u64) -> u64 {
        match self {
            Comparison::Packed { key, flip } => (key.ordered(position) ^ flip) << 32 | position,
            Comparison::Read { .. } => position,
        }
    }

    fn less(&self, a: u64, b: u64) -> bool {
        match self {
            Comparison::Packed { .. } => a < b,
            Comparison::Read { keys, descending } => {
                for key in *keys {
                    // SAFETY: by the caller of `argsort` and `argtop`.
                    let key = unsafe { Key::new(key) };
                    let (x, y) = (key.ordered(a), key.ordered(b));
                    if x != y {
                        return (x < y) != *descending;
                    }
                }
                a < b
            }
        }
    }

    /// Sorts items and leaves their positions.
    fn finish(&self, items: &mut [u64]) {
        match self {
            Comparison::Packed { .. } => {
                items.sort_unstable();
                items.iter_mut().for_each(|item| *item &= 0xffff_ffff);
            }
            Comparison::Read { .. } => items.sort_unstable_by(|&a, &b| {
                if a == b {
                    core::cmp::Ordering::Equal
                } else if self.less(a, b) {
                    core::cmp::Ordering::Less
                } else {
                    core::cmp::Ordering::Greater
                }
            }),
        }
    }
}

/// The positions as a slice.
///
/// # Safety
/// At the pointer so many u64 must lie, which nothing else uses meanwhile.
unsafe fn positions<'a>(pointer: *mut u8, count: i64) -> &'a mut [u64] {
    // SAFETY: by the caller.
    unsafe { core::slice::from_raw_parts_mut(pointer.cast(), count as usize) }
}

/// # Safety
/// See [`LibraryFunction::Argsort`](kc_abi::library::LibraryFunction::Argsort): the regions must be as it says.
pub(super) unsafe fn argsort(keys: &[Region], result: &Region, descending: bool) {
    if result.columns == 0 {
        return;
    }
    // SAFETY: by the caller.
    let items = unsafe { positions(result.pointer, result.columns) };
    let comparison = Comparison::new(keys, descending);
    (0..).zip(items.iter_mut()).for_each(|(position, item)| *item = comparison.item(position));
    comparison.finish(items);
}

/// # Safety
/// See [`LibraryFunction::Argtop`](kc_abi::library::LibraryFunction::Argtop): the regions must be as it says.
pub(super) unsafe fn argtop(key: &Region, result: &Region) {
    if result.columns == 0 {
        return;
    }
    // SAFETY: by the caller.
    let heap = unsafe { positions(result.pointer, result.columns) };
    let comparison = Comparison::new(core::slice::from_ref(key), true);
    // a heap of the best items so far, the worst of them on top
    (0..).zip(heap.iter_mut()).for_each(|(position, item)| *item = comparison.item(position));
    for root in (0..heap.len() / 2).rev() {
        sift(heap, root, &comparison);
    }
    for position in heap.len() as u64..key.columns as u64 {
        let item = comparison.item(position);
        if comparison.less(item, heap[0]) {
            heap[0] = item;
            sift(heap, 0, &comparison);
        }
    }
    comparison.finish(heap);
}

/// Moves an item down until no item below it comes later.
fn sift(heap: &mut [u64], mut root: usize, comparison: &Comparison) {
    loop {
        let mut last = root;
        for child in [2 * root + 1, 2 * root + 2] {
            if child < heap.len() && comparison.less(heap[last], heap[child]) {
                last = child;
            }
        }
        if last == root {
            return;
        }
        heap.swap(root, last);
        root = last;
    }
}
