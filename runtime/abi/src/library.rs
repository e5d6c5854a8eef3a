//! The functions of the runtime's library that compiled code calls through [`Intrinsics::library`](crate::call::Intrinsics), and
//! what each of them takes: the one list that the kernel IR, the back ends and the runtime share.

use crate::DType;

/// A two-dimensional part of memory: element `[i, j]` is `i*row_stride + j*column_stride` elements behind the first. A vector has one
/// row. 6 fields of 8 bytes in this order.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Region {
    /// The first element.
    pub pointer: *mut u8,
    /// Number of rows.
    pub rows: i64,
    /// Number of columns.
    pub columns: i64,
    /// Elements from one row to the next.
    pub row_stride: i64,
    /// Elements from one column to the next.
    pub column_stride: i64,
    /// Type of the elements: a [`dtype_number`].
    pub dtype: i64,
}

/// Dtype and extents of a [`Region`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extents {
    /// Type of the elements.
    pub dtype: DType,
    /// Number of rows.
    pub rows: i64,
    /// Number of columns.
    pub columns: i64,
}

macro_rules! dtype_numbers {
    ($($variant:ident = $number:literal;)*) => {
        /// The number of a dtype in a [`Region`]; the numbers never change.
        pub const fn dtype_number(dtype: DType) -> i64 { match dtype { $(DType::$variant => $number,)* } }

        /// The dtype of that number.
        pub const fn dtype_of_number(number: i64) -> Option<DType> {
            match number { $($number => Some(DType::$variant),)* _ => None }
        }
    };
}

dtype_numbers! {
    F64 = 0; F32 = 1; F16 = 2; Bf16 = 3;
    I8 = 4; I16 = 5; I32 = 6; I64 = 7;
    U8 = 8; U16 = 9; U32 = 10; U64 = 11;
    Bool = 12;
}

/// The most regions that a call has.
pub const MAX_REGIONS: usize = 16;

/// How many regions a function reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// As many as this.
    Exactly(usize),
    /// At least one.
    Some,
}

/// The part of the runtime that computes a function; a runtime may be built without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// Always there.
    Core,
    /// The feature `fft`.
    Fft,
    /// The feature `linalg`.
    Linalg,
}

impl Provider {
    /// The runtime's feature, where it is one.
    pub const fn feature(self) -> Option<&'static str> {
        match self {
            Provider::Core => None,
            Provider::Fft => Some("fft"),
            Provider::Linalg => Some("linalg"),
        }
    }
}

macro_rules! library_functions {
    ($($(#[doc = $doc:literal])* $variant:ident = $number:literal $name:literal $reads:expr, $writes:literal, $attributes:literal, $provider:ident;)*) => {
        /// A function of the library. The regions that it reads come first, then those that it writes; no written one overlaps
        /// another. The numbers never change.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u32)]
        pub enum LibraryFunction { $($(#[doc = $doc])* $variant = $number,)* }

        impl LibraryFunction {
            /// Every function, in the order of the numbers.
            pub const ALL: &'static [LibraryFunction] = &[$(LibraryFunction::$variant),*];

            /// The function of that number.
            pub const fn from_number(number: i64) -> Option<Self> {
                match number { $($number => Some(LibraryFunction::$variant),)* _ => None }
            }

            /// The name in text forms and manifests.
            pub const fn name(self) -> &'static str { match self { $(LibraryFunction::$variant => $name,)* } }

            /// The function of that name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(LibraryFunction::$variant),)* _ => None }
            }

            /// How many regions are read.
            pub const fn reads(self) -> Reads { match self { $(LibraryFunction::$variant => $reads,)* } }

            /// How many regions are written.
            pub const fn writes(self) -> usize { match self { $(LibraryFunction::$variant => $writes,)* } }

            /// How many integer attributes there are.
            pub const fn attributes(self) -> usize { match self { $(LibraryFunction::$variant => $attributes,)* } }

            /// What computes it.
            pub const fn provider(self) -> Provider { match self { $(LibraryFunction::$variant => Provider::$provider,)* } }
        }
    };
}

library_functions! {
    /// The stable order of rows of keys, the first row's key first: reads keys (`1 x n` each, of any dtype), writes positions
    /// (`1 x n` of u64, side by side). Floats are ordered with -0 equal to 0 and NaN behind all others. Attribute: 1 for descending order (NaN
    /// first), else 0.
    Argsort = 0 "argsort" Reads::Some, 1, 1, Core;
    /// The positions of the largest elements, the largest first, of equal ones the first first: reads `1 x n` of any dtype, writes
    /// `1 x k` of u64, side by side, with `k <= n`. A NaN is larger than all others.
    Argtop = 1 "argtop" Reads::Exactly(1), 1, 0, Core;
    /// The discrete Fourier transform: reads real and imaginary parts (`1 x n`), writes the same of
    /// `sum_j x[j] exp(s 2 pi i j k / n)`, where `s` is -1, or with the attribute 1 it is 1 and the sum is divided by `n`.
    Fft = 2 "fft" Reads::Exactly(2), 2, 1, Fft;
    /// The lower triangular `L` with `L L^T = A`: reads the lower triangle of `A` (`n x n`), writes `L` with zeros above its diagonal;
    /// NaN in the lower triangle where `A` is not positive definite.
    Cholesky = 3 "cholesky" Reads::Exactly(1), 1, 0, Core;
    /// `X` with `A X = B`: reads a triangle of `A` (`n x n`) and `B` (`n x k`), writes `X` (`n x k`). Attributes: 1 where the
    /// triangle is the upper one, else 0; 1 where the diagonal is taken as ones, else 0.
    TriangularSolve = 4 "triangular_solve" Reads::Exactly(2), 1, 2, Core;
    /// The factors of `A` with exchanged rows, `L U = P A`: reads `A` (`m x n`), writes `L` (below its diagonal of ones, which is not
    /// written) and `U` in one matrix, the row that each of the first `min(m, n)` rows was exchanged with, in order (`1 x min(m, n)` of
    /// i32), and the rows of `A` in their new order (`1 x m` of i32).
    Lu = 5 "lu" Reads::Exactly(1), 3, 0, Core;
    /// `A = Q R` with orthonormal columns of `Q` and `R` upper triangular: reads `A` (`m x n`), writes `Q` (`m x k`) and `R` (`k x n`),
    /// where `k` is `min(m, n)` or `m`. By Householder reflections as LAPACK takes them.
    Qr = 6 "qr" Reads::Exactly(1), 2, 0, Core;
    /// Eigenvalues, ascending, and orthonormal eigenvectors of a symmetric matrix: reads the lower triangle (`n x n`), writes
    /// values (`1 x n`) and vectors as columns (`n x n`), the first of whose largest components is positive.
    Eigh = 7 "eigh" Reads::Exactly(1), 2, 0, Linalg;
    /// Eigenvalues and right eigenvectors of any matrix: reads `n x n`, writes real and imaginary parts of the values (`1 x n` each) and
    /// of the vectors (`n x n` each), which have norm 1 and of whose largest components the first is real and positive. The
    /// order of the values is not defined.
    Eig = 8 "eig" Reads::Exactly(1), 4, 0, Linalg;
    /// `A = U diag(s) V^T` with `s` descending: reads `A` (`m x n`), writes `U` (`m x p`), `s` (`1 x min(m, n)`) and `V^T` (`q x n`), where
    /// `p` and `q` are both `min(m, n)`, or `m` and `n`. The first of the largest components of a column of `U` is positive (of `V`, where
    /// `m < n`).
    Svd = 9 "svd" Reads::Exactly(1), 3, 0, Linalg;
    /// The singular values, descending: reads `m x n`, writes `1 x min(m, n)`.
    SingularValues = 10 "singular_values" Reads::Exactly(1), 1, 0, Linalg;
}

impl LibraryFunction {
    /// Whether the function takes so many regions in all.
    pub fn takes(self, regions: usize) -> bool {
        match self.reads() {
            Reads::Exactly(reads) => regions == reads + self.writes(),
            Reads::Some => regions > self.writes() && regions <= MAX_REGIONS,
        }
    }

    /// Whether the function takes regions of these dtypes, whatever their extents. An error says what it takes.
    ///
    /// # Errors
    /// Another number of regions, or other dtypes.
    pub fn check_dtypes(self, regions: &[Extents]) -> Result<(), &'static str> {
        if !self.takes(regions.len()) {
            return Err("another number of regions");
        }
        let dtype = |position: usize| regions[position].dtype;
        let reads = regions.len() - self.writes();
        match self {
            LibraryFunction::Argsort | LibraryFunction::Argtop => {
                if dtype(reads) == DType::U64 {
                    Ok(())
                } else {
                    Err("positions of u64")
                }
            }
            LibraryFunction::Lu => {
                let integers = dtype(reads + 1) == DType::I32 && dtype(reads + 2) == DType::I32;
                let fits = is_computed(dtype(0)) && dtype(0) == dtype(reads) && integers;
                if fits { Ok(()) } else { Err("matrices of f32 or f64, and pivots and rows of i32") }
            }
            _ => {
                let fits = is_computed(dtype(0)) && regions.iter().all(|region| region.dtype == dtype(0));
                if fits { Ok(()) } else { Err("f32 or f64 for all regions") }
            }
        }
    }

    /// Whether regions of these extents make a call. An error says what is expected.
    ///
    /// # Errors
    /// Extents that do not fit to each other, or dtypes that the function does not take.
    pub fn check(self, regions: &[Extents]) -> Result<(), &'static str> {
        self.check_dtypes(regions)?;
        if regions.iter().any(|region| region.rows < 0 || region.columns < 0) {
            return Err("no negative extents");
        }
        let size = |region: &Extents| (region.rows, region.columns);
        let (reads, writes) = regions.split_at(regions.len() - self.writes());
        let (m, n) = size(&reads[0]);
        let k = m.min(n);
        let written = |position: usize| size(&writes[position]);
        let (fits, expected) = match self {
            LibraryFunction::Argsort => {
                (m == 1 && regions.iter().all(|region| size(region) == (1, n)), "vectors of one length")
            }
            LibraryFunction::Argtop => (
                m == 1 && written(0).0 == 1 && written(0).1 <= n,
                "a vector, and no more positions than it has elements",
            ),
            LibraryFunction::Fft => {
                (m == 1 && regions.iter().all(|region| size(region) == (1, n)), "vectors of one length")
            }
            LibraryFunction::Cholesky => (m == n && written(0) == (n, n), "square matrices of one size"),
            LibraryFunction::TriangularSolve => (
                m == n && size(&reads[1]).0 == n && written(0) == size(&reads[1]),
                "a square matrix, and right sides and results with as many rows",
            ),
            LibraryFunction::Lu => (
                written(0) == (m, n) && written(1) == (1, k) && written(2) == (1, m),
                "factors of the matrix's size, a pivot for each of the lesser extent, and all rows",
            ),
            LibraryFunction::Qr => {
                let inner = written(0).1;
                (
                    written(0).0 == m && written(1) == (inner, n) && (inner == k || inner == m),
                    "Q with the matrix's rows, R with its columns, and the lesser extent or all rows between them",
                )
            }
            LibraryFunction::Eigh => (
                m == n && written(0) == (1, n) && written(1) == (n, n),
                "square matrices of one size and a value a column",
            ),
            LibraryFunction::Eig => (
                m == n
                    && writes[..2].iter().all(|region| size(region) == (1, n))
                    && writes[2..].iter().all(|region| size(region) == (n, n)),
                "square matrices of one size and a value a column",
            ),
            LibraryFunction::Svd => {
                let (p, q) = (written(0).1, written(2).0);
                (
                    written(0).0 == m
                        && written(1) == (1, k)
                        && written(2).1 == n
                        && ((p, q) == (k, k) || (p, q) == (m, n)),
                    "U with the matrix's rows, a value for each of the lesser extent, V^T with the matrix's columns",
                )
            }
            LibraryFunction::SingularValues => (written(0) == (1, k), "a value for each of the lesser extent"),
        };
        if fits { Ok(()) } else { Err(expected) }
    }
}

/// Whether floating-point functions compute in that dtype.
const fn is_computed(dtype: DType) -> bool {
    matches!(dtype, DType::F32 | DType::F64)
}
