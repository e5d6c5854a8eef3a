//! The calling convention of compiled kernels.
//!
//! A kernel is a function of a code image: it executes the tasks `first_task..end_task` of one launch. It
//! reads and writes only the buffers that it is given, and its thread's scratch memory. Any partition of a
//! launch's tasks over threads gives the same bits.

use crate::library::Region;
use core::ffi::c_void;

/// A compiled kernel.
///
/// * `buffers`: one pointer a buffer parameter, in the kernel's order, aligned to the size of an element: an element of a sequence
///   lies where it lies;
/// * `dims`: one value a dimension parameter;
/// * tasks `first_task..end_task` are executed;
/// * `environment`: what the kernel may use outside its own code.
///
/// # Safety
/// The buffers must be as large as the launch's plan says, and no other thread may write what the tasks
/// read or touch what they write.
pub type KernelFn = unsafe extern "C" fn(
    buffers: *const *mut u8,
    dims: *const i64,
    first_task: i64,
    end_task: i64,
    environment: *const Environment,
);

/// Arrays, the slots of the arena, constants and scratch memory start at a multiple of this many bytes. Kernels may count on it for
/// their scratch memory only.
pub const ALIGNMENT: usize = 64;

/// The version of [`Intrinsics`]; a table only grows, and a package names the version it needs.
pub const INTRINSICS_VERSION: u32 = 2;

/// What one thread hands to the kernels it runs.
#[repr(C)]
#[derive(Debug)]
pub struct Environment {
    /// The functions outside the image (offset 0).
    pub intrinsics: *const Intrinsics,
    /// The thread's own memory, as large as the largest `scratch_bytes` of the image's kernels (offset 8).
    pub scratch: *mut u8,
}

/// The versioned table of what compiled code may call outside its image. Back ends address the entries by
/// their byte offsets, which never change: 8 for `gemm_f32`, then 8 bytes each.
#[repr(C)]
#[derive(Debug)]
pub struct Intrinsics {
    /// [`INTRINSICS_VERSION`] of the runtime.
    pub version: u32,
    /// Size of the table in bytes.
    pub size: u32,
    /// `c = a*b` or `c += a*b` in f32 (offset 8).
    pub gemm_f32: unsafe extern "C" fn(*const GemmArguments),
    /// The same in f64 (offset 16).
    pub gemm_f64: unsafe extern "C" fn(*const GemmArguments),
    /// A scalar function of one operand; the function is a [`MathFunction`] by number (offset 24).
    pub math_f64: extern "C" fn(function: u32, x: f64) -> f64,
    /// A scalar function of two operands (offset 32).
    pub math2_f64: extern "C" fn(function: u32, x: f64, y: f64) -> f64,
    /// Reserved for extensions of the embedding program; null (offset 40).
    pub user_data: *const c_void,
    /// A function of the library on parts of memory: the number of a [`LibraryFunction`](crate::library::LibraryFunction), the regions
    /// and their number, and the attributes (offset 48). Since version 2.
    pub library: unsafe extern "C" fn(function: i64, regions: *const Region, region_count: i64, attributes: *const i64),
}

/// An entry of [`Intrinsics`] that code may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Intrinsic {
    /// [`Intrinsics::gemm_f32`]
    GemmF32,
    /// [`Intrinsics::gemm_f64`]
    GemmF64,
    /// [`Intrinsics::math_f64`]
    MathF64,
    /// [`Intrinsics::math2_f64`]
    Math2F64,
    /// [`Intrinsics::library`]
    Library,
}

impl Intrinsic {
    /// Every entry, in the order of the table.
    pub const ALL: [Intrinsic; 5] =
        [Intrinsic::GemmF32, Intrinsic::GemmF64, Intrinsic::MathF64, Intrinsic::Math2F64, Intrinsic::Library];

    /// The name of its field.
    pub const fn name(self) -> &'static str {
        match self {
            Intrinsic::GemmF32 => "gemm_f32",
            Intrinsic::GemmF64 => "gemm_f64",
            Intrinsic::MathF64 => "math_f64",
            Intrinsic::Math2F64 => "math2_f64",
            Intrinsic::Library => "library",
        }
    }

    /// The entry of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|entry| entry.name() == name)
    }
}

/// Matrices of one product: `c[m, n] (+)= a[m, k] * b[k, n]`. Strides count elements and may be any
/// integer. 13 fields of 8 bytes in this order.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct GemmArguments {
    /// Rows of `a` and `c`.
    pub m: i64,
    /// Columns of `b` and `c`.
    pub n: i64,
    /// Columns of `a`, rows of `b`.
    pub k: i64,
    /// First element of `a`.
    pub a: *const u8,
    /// Distance between rows of `a`.
    pub a_row_stride: i64,
    /// Distance between columns of `a`.
    pub a_column_stride: i64,
    /// First element of `b`.
    pub b: *const u8,
    /// Distance between rows of `b`.
    pub b_row_stride: i64,
    /// Distance between columns of `b`.
    pub b_column_stride: i64,
    /// First element of `c`.
    pub c: *mut u8,
    /// Distance between rows of `c`.
    pub c_row_stride: i64,
    /// Distance between columns of `c`.
    pub c_column_stride: i64,
    /// 0: `c` is overwritten; 1: the product is added to it.
    pub accumulate: i64,
}

macro_rules! math_functions {
    ($($(#[$doc:meta])* $variant:ident = $number:literal $name:literal;)*) => {
        /// Functions behind [`Intrinsics::math_f64`] and [`Intrinsics::math2_f64`]; the numbers never change.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum MathFunction { $($(#[$doc])* $variant = $number,)* }

        impl MathFunction {
            /// Every function.
            pub const ALL: &[MathFunction] = &[$(MathFunction::$variant),*];

            /// The function of that number.
            pub const fn from_number(number: u32) -> Option<Self> {
                match number { $($number => Some(MathFunction::$variant),)* _ => None }
            }

            /// The name in text forms.
            pub const fn name(self) -> &'static str {
                match self { $(MathFunction::$variant => $name,)* }
            }

            /// The function of that name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(MathFunction::$variant),)* _ => None }
            }

            /// Number of operands.
            pub const fn operands(self) -> usize {
                if self as u32 >= 64 { 2 } else { 1 }
            }
        }
    };
}

math_functions! {
    /// e^x
    Exp = 0 "exp";
    /// e^x - 1
    Expm1 = 1 "expm1";
    /// ln x
    Log = 2 "log";
    /// ln(1 + x)
    Log1p = 3 "log1p";
    /// sin x
    Sin = 4 "sin";
    /// cos x
    Cos = 5 "cos";
    /// tan x
    Tan = 6 "tan";
    /// arcsin x
    Asin = 7 "asin";
    /// arccos x
    Acos = 8 "acos";
    /// arctan x
    Atan = 9 "atan";
    /// sinh x
    Sinh = 10 "sinh";
    /// cosh x
    Cosh = 11 "cosh";
    /// tanh x
    Tanh = 12 "tanh";
    /// arsinh x
    Asinh = 13 "asinh";
    /// arcosh x
    Acosh = 14 "acosh";
    /// artanh x
    Atanh = 15 "atanh";
    /// The cube root of x
    Cbrt = 16 "cbrt";
    /// The error function
    Erf = 17 "erf";
    /// 1 - erf x
    Erfc = 18 "erfc";
    /// The inverse of the error function
    ErfInv = 19 "erf_inv";
    /// ln |Gamma(x)|
    Lgamma = 20 "lgamma";
    /// The derivative of ln Gamma
    Digamma = 21 "digamma";
    /// x^y
    Pow = 64 "pow";
    /// The angle of the point (y, x): `atan2(x = first operand, y = second)` is the angle of first over second
    Atan2 = 65 "atan2";
    /// The remainder of x / y, with the sign of x
    Rem = 66 "rem";
}
