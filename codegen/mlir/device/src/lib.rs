//! The scalar functions of the runtime's table for machines that the table does not reach: the same source, so the same bits.
#![no_std]

#[path = "../../../../runtime/src/intrinsics/math.rs"]
#[allow(dead_code, reason = "the table's own functions")]
mod math;

use core::alloc::{GlobalAlloc, Layout};
use kc_abi::call::MathFunction;

/// Nothing here allocates; a library that may be asked for it says so.
struct NoMemory;

// SAFETY: it gives no memory.
unsafe impl GlobalAlloc for NoMemory {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        core::ptr::null_mut()
    }
    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static MEMORY: NoMemory = NoMemory;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}

macro_rules! functions {
    ($($symbol:ident: $function:ident($($operand:ident),+) by $evaluate:ident;)*) => {$(
        /// The function of the table.
        #[unsafe(no_mangle)]
        pub extern "C" fn $symbol($($operand: f64),+) -> f64 {
            math::$evaluate(MathFunction::$function, $($operand),+)
        }
    )*};
}

// `kc_math_` and the function's name in text forms
functions! {
    kc_math_exp: Exp(x) by evaluate;
    kc_math_expm1: Expm1(x) by evaluate;
    kc_math_log: Log(x) by evaluate;
    kc_math_log1p: Log1p(x) by evaluate;
    kc_math_sin: Sin(x) by evaluate;
    kc_math_cos: Cos(x) by evaluate;
    kc_math_tan: Tan(x) by evaluate;
    kc_math_asin: Asin(x) by evaluate;
    kc_math_acos: Acos(x) by evaluate;
    kc_math_atan: Atan(x) by evaluate;
    kc_math_sinh: Sinh(x) by evaluate;
    kc_math_cosh: Cosh(x) by evaluate;
    kc_math_tanh: Tanh(x) by evaluate;
    kc_math_asinh: Asinh(x) by evaluate;
    kc_math_acosh: Acosh(x) by evaluate;
    kc_math_atanh: Atanh(x) by evaluate;
    kc_math_cbrt: Cbrt(x) by evaluate;
    kc_math_erf: Erf(x) by evaluate;
    kc_math_erfc: Erfc(x) by evaluate;
    kc_math_erf_inv: ErfInv(x) by evaluate;
    kc_math_lgamma: Lgamma(x) by evaluate;
    kc_math_digamma: Digamma(x) by evaluate;
    kc_math_pow: Pow(x, y) by evaluate2;
    kc_math_atan2: Atan2(x, y) by evaluate2;
    kc_math_rem: Rem(x, y) by evaluate2;
}
