//! The functions that compiled code may call outside its image: matrix products, scalar functions, and those of the library.

mod functions;
mod gemm;
mod library;
mod math;

pub use functions::Functions;
pub use library::provides;
pub use math::{evaluate, evaluate2};

/// CPU features, by the names LLVM and Cranelift's callers use, that this machine has. Of a feature that the runtime
/// cannot detect it is assumed that the machine lacks it; without `std` it has those that this program was compiled for.
pub fn machine_has(feature: &str) -> bool {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    macro_rules! detect {
        ($detect:ident: $($name:tt)*) => {
            match feature {
                $(
                    #[cfg(feature = "std")]
                    $name => std::arch::$detect!($name),
                    #[cfg(not(feature = "std"))]
                    $name => cfg!(target_feature = $name),
                )*
                _ => false,
            }
        };
    }
    #[cfg(target_arch = "x86_64")]
    return detect!(is_x86_feature_detected: "sse" "sse2" "sse3" "ssse3" "sse4.1" "sse4.2" "avx" "avx2" "fma" "f16c" "popcnt"
        "bmi1" "bmi2" "lzcnt" "movbe" "aes" "pclmulqdq" "avx512f" "avx512bw" "avx512cd" "avx512dq" "avx512vl" "avx512vnni"
        "avx512bf16" "avx512fp16" "avx512ifma" "avx512vbmi" "avx512vbmi2" "avx512bitalg" "avx512vpopcntdq" "avxvnni" "gfni"
        "vaes" "vpclmulqdq" "sha" "adx" "rdrand" "rdseed" "fxsr" "xsave" "xsavec" "xsaveopt" "xsaves" "cmpxchg16b");
    #[cfg(target_arch = "aarch64")]
    return detect!(is_aarch64_feature_detected: "neon" "fp" "fp16" "dotprod" "i8mm" "bf16" "sve" "sve2" "lse" "crc" "aes" "sha2");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        let _ = feature;
        false
    }
}

/// `x86_64-linux`: what [`kc_abi::manifest::Code::target`] must say for code of this process.
pub const fn host_target() -> &'static str {
    macro_rules! pick {
        ($($arch:literal $os:literal)*) => {
            $(if cfg!(all(target_arch = $arch, target_os = $os)) { return concat!($arch, "-", $os); })*
        };
    }
    pick!("x86_64" "linux" "x86_64" "macos" "x86_64" "windows" "aarch64" "linux" "aarch64" "macos" "aarch64" "windows");
    "unknown"
}

/// `x86_64`: the first part of [`host_target`], which is there without a system too.
pub(crate) const fn host_architecture() -> &'static str {
    macro_rules! pick {
        ($($arch:literal)*) => { $(if cfg!(target_arch = $arch) { return $arch; })* };
    }
    pick!("x86_64" "aarch64");
    "unknown"
}
