//! Tiles of a product in the processor's vector registers.

#[cfg(target_arch = "x86_64")]
use crate::intrinsics::machine_has;
use core::ops::{Add, Mul};

/// Rows of a tile.
pub(super) const ROWS: usize = 6;
/// The most columns that a tile has.
pub(super) const MOST_COLUMNS: usize = 64;

/// A product's element type, with its tiles for this machine.
pub(super) trait Float: Copy + Add<Output = Self> + Mul<Output = Self> + 'static {
    const ZERO: Self;
    /// The tiles that this machine executes fastest.
    fn tiles() -> &'static Tiles<Self>;
}

/// One block of a product, all of whose columns are beside each other in `b` and `c`.
#[derive(Clone, Copy)]
pub(super) struct Tile<T> {
    pub(super) k: usize,
    pub(super) a: *const T,
    pub(super) a_row: isize,
    pub(super) a_column: isize,
    pub(super) b: *const T,
    pub(super) b_row: isize,
    pub(super) c: *mut T,
    pub(super) c_row: isize,
    /// Whether the products are added to what `c` holds.
    pub(super) accumulate: bool,
}

/// Computes a tile.
pub(super) type TileFn<T> = unsafe fn(&Tile<T>);

/// The tile functions of one instruction set.
pub(super) struct Tiles<T> {
    /// Elements of a vector.
    pub(super) lanes: usize,
    /// By number of rows less 1 and number of vectors (1, 2, 4).
    pub(super) functions: [[TileFn<T>; 3]; ROWS],
}

impl<T> Tiles<T> {
    /// The function of a tile of 1 to [`ROWS`] rows and of as few columns as hold `columns` (which are no more than
    /// [`Tiles::columns`]), and how many these are.
    pub(super) fn pick(&self, rows: usize, columns: usize) -> (TileFn<T>, usize) {
        let vectors = columns.div_ceil(self.lanes);
        let width = usize::from(vectors > 1) + usize::from(vectors > 2);
        (self.functions[rows - 1][width], self.lanes << width)
    }

    /// Columns of the widest tile.
    pub(super) fn columns(&self) -> usize {
        self.lanes * 4
    }
}

/// A vector register.
trait Vector: Copy {
    type Element: Float;
    const LANES: usize;
    /// # Safety
    /// The processor must have the vector's instructions, here and below.
    unsafe fn zero() -> Self;
    /// # Safety
    /// `LANES` elements must be readable.
    unsafe fn load(from: *const Self::Element) -> Self;
    /// # Safety
    /// `LANES` elements must be writable.
    unsafe fn store(self, to: *mut Self::Element);
    /// # Safety
    /// One element must be readable.
    unsafe fn splat(from: *const Self::Element) -> Self;
    /// `self * factor + sum`
    ///
    /// # Safety
    /// As [`Vector::zero`].
    unsafe fn multiply_add(self, factor: Self, sum: Self) -> Self;
}

/// # Safety
/// `a` must be readable at `R` rows and `k` columns, `b` at `k` rows and `N` vectors, `c` writable at `R` rows and `N` vectors.
#[inline(always)]
unsafe fn tile<V: Vector, const R: usize, const N: usize>(t: &Tile<V::Element>) {
    // SAFETY: by the caller.
    unsafe {
        let mut sums = [[V::zero(); N]; R];
        if t.accumulate {
            for (i, row) in sums.iter_mut().enumerate() {
                for (j, sum) in row.iter_mut().enumerate() {
                    *sum = V::load(t.c.offset(i as isize * t.c_row).add(j * V::LANES));
                }
            }
        }
        let rows: [*const V::Element; R] = core::array::from_fn(|i| t.a.wrapping_offset(i as isize * t.a_row));
        let mut b = t.b;
        let mut along = 0;
        for _ in 0..t.k {
            let columns: [V; N] = core::array::from_fn(|j| V::load(b.add(j * V::LANES)));
            for i in 0..R {
                let factor = V::splat(rows[i].offset(along));
                for j in 0..N {
                    sums[i][j] = factor.multiply_add(columns[j], sums[i][j]);
                }
            }
            along += t.a_column;
            b = b.wrapping_offset(t.b_row);
        }
        for (i, row) in sums.iter().enumerate() {
            for (j, sum) in row.iter().enumerate() {
                sum.store(t.c.offset(i as isize * t.c_row).add(j * V::LANES));
            }
        }
    }
}

/// The tile functions of a vector type, compiled for a set of processor features.
macro_rules! tiles {
    ($vector:ty $(, $feature:literal)?) => {{
        macro_rules! function {
            ($rows:expr, $vectors:literal) => {{
                $(#[target_feature(enable = $feature)])?
                unsafe fn function(t: &Tile<<$vector as Vector>::Element>) {
                    // SAFETY: by the caller, who has seen that the processor has the features.
                    unsafe { tile::<$vector, { $rows }, $vectors>(t) }
                }
                function
            }};
        }
        const _: () = assert!(<$vector as Vector>::LANES * 4 <= MOST_COLUMNS);
        Tiles {
            lanes: <$vector as Vector>::LANES,
            functions: [
                [function!(1, 1), function!(1, 2), function!(1, 4)],
                [function!(2, 1), function!(2, 2), function!(2, 4)],
                [function!(3, 1), function!(3, 2), function!(3, 4)],
                [function!(4, 1), function!(4, 2), function!(4, 4)],
                [function!(5, 1), function!(5, 2), function!(5, 4)],
                [function!(ROWS, 1), function!(ROWS, 2), function!(ROWS, 4)],
            ],
        }
    }};
}

/// Four elements, which every compiler turns into the registers that all processors of an architecture have.
#[derive(Clone, Copy)]
struct Plain<T>([T; 4]);

/// The fused operation, which `core` has no function for.
macro_rules! multiply_add {
    ($type:ty, $x:expr, $factor:expr, $sum:expr) => {{
        #[cfg(feature = "std")]
        let result = <$type>::mul_add($x, $factor, $sum);
        #[cfg(not(feature = "std"))]
        let result = libm::Libm::<$type>::fma($x, $factor, $sum);
        result
    }};
}

macro_rules! plain {
    ($($type:ty),*) => { $(
        impl Vector for Plain<$type> {
            type Element = $type;
            const LANES: usize = 4;
            #[inline(always)]
            unsafe fn zero() -> Self {
                Plain([0.0; 4])
            }
            #[inline(always)]
            unsafe fn load(from: *const $type) -> Self {
                // SAFETY: by the caller.
                Plain(unsafe { from.cast::<[$type; 4]>().read() })
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut $type) {
                // SAFETY: by the caller.
                unsafe { to.cast::<[$type; 4]>().write(self.0) }
            }
            #[inline(always)]
            unsafe fn splat(from: *const $type) -> Self {
                // SAFETY: by the caller.
                Plain([unsafe { *from }; 4])
            }
            #[inline(always)]
            unsafe fn multiply_add(self, factor: Self, sum: Self) -> Self {
                // aarch64 has the fused operation always, x86-64 only with a feature
                Plain(core::array::from_fn(|i| match cfg!(target_arch = "aarch64") {
                    true => multiply_add!($type, self.0[i], factor.0[i], sum.0[i]),
                    false => self.0[i] * factor.0[i] + sum.0[i],
                }))
            }
        }
    )* };
}
plain!(f32, f64);

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Vector;
    use core::arch::x86_64::*;

    macro_rules! vector {
        ($name:ident, $register:ty, $element:ty, $lanes:literal, $zero:ident, $load:ident, $store:ident, $splat:ident, $fma:ident) => {
            #[derive(Clone, Copy)]
            pub(super) struct $name($register);
            impl Vector for $name {
                type Element = $element;
                const LANES: usize = $lanes;
                #[inline(always)]
                unsafe fn zero() -> Self {
                    // SAFETY: by the caller, here and below.
                    $name(unsafe { $zero() })
                }
                #[inline(always)]
                unsafe fn load(from: *const $element) -> Self {
                    // SAFETY: see above.
                    $name(unsafe { $load(from) })
                }
                #[inline(always)]
                unsafe fn store(self, to: *mut $element) {
                    // SAFETY: see above.
                    unsafe { $store(to, self.0) }
                }
                #[inline(always)]
                unsafe fn splat(from: *const $element) -> Self {
                    // SAFETY: see above.
                    $name(unsafe { $splat(*from) })
                }
                #[inline(always)]
                unsafe fn multiply_add(self, factor: Self, sum: Self) -> Self {
                    // SAFETY: see above.
                    $name(unsafe { $fma(self.0, factor.0, sum.0) })
                }
            }
        };
    }
    vector!(
        F32x8,
        __m256,
        f32,
        8,
        _mm256_setzero_ps,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_set1_ps,
        _mm256_fmadd_ps
    );
    vector!(
        F64x4,
        __m256d,
        f64,
        4,
        _mm256_setzero_pd,
        _mm256_loadu_pd,
        _mm256_storeu_pd,
        _mm256_set1_pd,
        _mm256_fmadd_pd
    );
    vector!(
        F32x16,
        __m512,
        f32,
        16,
        _mm512_setzero_ps,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_set1_ps,
        _mm512_fmadd_ps
    );
    vector!(
        F64x8,
        __m512d,
        f64,
        8,
        _mm512_setzero_pd,
        _mm512_loadu_pd,
        _mm512_storeu_pd,
        _mm512_set1_pd,
        _mm512_fmadd_pd
    );
}

macro_rules! floats {
    ($($type:ty, $wide:ident, $widest:ident;)*) => { $(
        impl Float for $type {
            const ZERO: Self = 0.0;
            fn tiles() -> &'static Tiles<Self> {
                #[cfg(target_arch = "x86_64")]
                {
                    static WIDE: Tiles<$type> = tiles!(x86::$wide, "avx2,fma");
                    static WIDEST: Tiles<$type> = tiles!(x86::$widest, "avx512f");
                    if machine_has("avx512f") {
                        return &WIDEST;
                    }
                    if machine_has("avx2") && machine_has("fma") {
                        return &WIDE;
                    }
                }
                static PLAIN: Tiles<$type> = tiles!(Plain<$type>);
                &PLAIN
            }
        }
    )* };
}
floats! {
    f32, F32x8, F32x16;
    f64, F64x4, F64x8;
}
