//! The table of intrinsics that a program's kernels are given, with no more in it than they call.

use super::{gemm, library, math};
use kc_abi::call::{GemmArguments, INTRINSICS_VERSION, Intrinsic, Intrinsics};
use kc_abi::library::Region;

/// What compiled code may call outside its image. A program holds the code of those functions alone that are named somewhere in it, so
/// one whose model is known when it is built names only what that model calls (`kc-build` writes it):
///
/// ```
/// use kc_runtime::Functions;
/// const FUNCTIONS: &Functions = &Functions::NONE.gemm_f32().math_f64();
/// ```
#[derive(Debug)]
pub struct Functions {
    table: Intrinsics,
    /// By the place in [`Intrinsic::ALL`].
    has: [bool; Intrinsic::ALL.len()],
}

// SAFETY: the table is never written, and its pointer is null.
unsafe impl Sync for Functions {}
// SAFETY: as above.
unsafe impl Send for Functions {}

impl Functions {
    /// No function.
    pub const NONE: Functions = Functions {
        table: Intrinsics {
            version: INTRINSICS_VERSION,
            size: size_of::<Intrinsics>() as u32,
            gemm_f32: absent::gemm,
            gemm_f64: absent::gemm,
            math_f64: absent::math,
            math2_f64: absent::math2,
            user_data: core::ptr::null(),
            library: absent::library,
        },
        has: [false; Intrinsic::ALL.len()],
    };

    /// Every function that this runtime has.
    pub const ALL: Functions = Functions::NONE.gemm_f32().gemm_f64().math_f64().math2_f64().library();

    /// Adds matrix products in f32.
    pub const fn gemm_f32(mut self) -> Self {
        self.table.gemm_f32 = gemm::gemm_f32;
        self.with(Intrinsic::GemmF32)
    }

    /// Adds matrix products in f64.
    pub const fn gemm_f64(mut self) -> Self {
        self.table.gemm_f64 = gemm::gemm_f64;
        self.with(Intrinsic::GemmF64)
    }

    /// Adds the scalar functions of one operand.
    pub const fn math_f64(mut self) -> Self {
        self.table.math_f64 = math::math_f64;
        self.with(Intrinsic::MathF64)
    }

    /// Adds the scalar functions of two operands.
    pub const fn math2_f64(mut self) -> Self {
        self.table.math2_f64 = math::math2_f64;
        self.with(Intrinsic::Math2F64)
    }

    /// Adds the library, as far as the runtime's features have it.
    pub const fn library(mut self) -> Self {
        self.table.library = library::library;
        self.with(Intrinsic::Library)
    }

    const fn with(mut self, entry: Intrinsic) -> Self {
        self.has[entry as usize] = true;
        self
    }

    /// Whether kernels may call it.
    pub const fn has(&self, entry: Intrinsic) -> bool {
        self.has[entry as usize]
    }

    /// What kernels are given.
    pub const fn table(&self) -> &Intrinsics {
        &self.table
    }
}

/// In the places of functions that a program does not have. Loading a model sees to it that its kernels call none of them; where a
/// manifest lied, the panic ends the process, as it cannot leave a function of C.
mod absent {
    use super::*;

    pub(super) unsafe extern "C" fn gemm(_: *const GemmArguments) {
        end()
    }

    pub(super) extern "C" fn math(_: u32, _: f64) -> f64 {
        end()
    }

    pub(super) extern "C" fn math2(_: u32, _: f64, _: f64) -> f64 {
        end()
    }

    pub(super) unsafe extern "C" fn library(_: i64, _: *const Region, _: i64, _: *const i64) {
        end()
    }

    #[cold]
    fn end() -> ! {
        panic!("a kernel calls a function that its manifest does not name")
    }
}
