//! [`Machine`]: what code is made for.

use kc_ir::DType;
use kc_passes::{Contraction, CostConstants, Factors, Target};
use std::fmt;
use std::str::FromStr;

/// A machine that the back end mlir makes code for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Machine {
    /// The one that compiles, with all its instruction sets.
    #[default]
    Host,
    /// x86-64 with Linux: what every such CPU has (SSE2).
    X86V1,
    /// x86-64-v3: AVX2, FMA, BMI, F16C.
    X86V3,
    /// x86-64-v4: AVX-512 F, BW, CD, DQ, VL.
    X86V4,
    /// 64-bit ARM with Linux: what every such CPU has (NEON).
    Aarch64,
    /// WebAssembly with vectors of 128 bits, without a system.
    Wasm32,
}

const V3: [&str; 12] =
    ["avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "lzcnt", "popcnt", "sse3", "sse4.1", "sse4.2", "ssse3"];
const V4: [&str; 5] = ["avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl"];

impl Machine {
    /// All, in the order of [`Machine::name`]'s documentation.
    pub const ALL: [Machine; 6] =
        [Machine::Host, Machine::X86V1, Machine::X86V3, Machine::X86V4, Machine::Aarch64, Machine::Wasm32];

    /// The name in `--target`: `cpu`, `x86-64`, `x86-64-v3`, `x86-64-v4`, `aarch64-linux`, `wasm32`.
    pub const fn name(self) -> &'static str {
        match self {
            Machine::Host => "cpu",
            Machine::X86V1 => "x86-64",
            Machine::X86V3 => "x86-64-v3",
            Machine::X86V4 => "x86-64-v4",
            Machine::Aarch64 => "aarch64-linux",
            Machine::Wasm32 => "wasm32",
        }
    }

    /// What packages say.
    pub(super) fn package_target(self) -> &'static str {
        match self {
            Machine::Host => kc_runtime::intrinsics::host_target(),
            Machine::X86V1 | Machine::X86V3 | Machine::X86V4 => "x86_64-linux",
            Machine::Aarch64 => "aarch64-linux",
            Machine::Wasm32 => "wasm32-unknown",
        }
    }

    /// LLVM's triple; `None` for the host's.
    pub(super) fn triple(self) -> Option<String> {
        let triple = match self {
            Machine::Host => return None,
            Machine::X86V1 | Machine::X86V3 | Machine::X86V4 => "x86_64-unknown-linux-gnu",
            Machine::Aarch64 => "aarch64-unknown-linux-gnu",
            Machine::Wasm32 => "wasm32-unknown-unknown",
        };
        Some(triple.to_owned())
    }

    /// Instruction sets beyond the common ground, as Rust names them; `None` for the host's.
    pub(super) fn features(self) -> Option<Vec<String>> {
        let names: Vec<&str> = match self {
            Machine::Host => return None,
            Machine::X86V1 | Machine::Aarch64 | Machine::Wasm32 => vec![],
            Machine::X86V3 => V3.to_vec(),
            Machine::X86V4 => [&V3[..], &V4].concat(),
        };
        Some(names.into_iter().map(String::from).collect())
    }

    /// What kernels are scheduled for.
    pub(super) fn target(self) -> Target {
        let (architecture, (vectors, vector_bytes, vector_registers, fused_multiply_add)) = match self {
            Machine::Host => (format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS), host_vectors()),
            Machine::X86V1 => ("x86_64-linux".to_owned(), ("sse", 16, 16, false)),
            Machine::X86V3 => ("x86_64-linux".to_owned(), ("avx2", 32, 16, true)),
            Machine::X86V4 => ("x86_64-linux".to_owned(), ("avx512", 64, 32, true)),
            Machine::Aarch64 => ("aarch64-linux".to_owned(), ("neon", 16, 32, true)),
            Machine::Wasm32 => ("wasm32".to_owned(), ("simd128", 16, 16, false)),
        };
        let baseline = Target::baseline();
        let flops_per_cycle = f64::from(vector_bytes / 4) * if fused_multiply_add { 4.0 } else { 2.0 };
        Target {
            name: format!("{architecture} {vectors}"),
            vector_bytes,
            block_threads: 1,
            vector_registers,
            fused_multiply_add,
            cache_bytes: if self == Machine::Host { host_caches() } else { None }.unwrap_or(baseline.cache_bytes),
            threads: match self {
                Machine::Host => std::thread::available_parallelism().map_or(1, |threads| threads.get() as u32),
                Machine::Wasm32 => 1,
                _ => baseline.threads,
            },
            contraction: Contraction::Generated,
            factors: Factors::F32,
            groups: if self == Machine::Host { host_groups() } else { vec![] },
            cost: CostConstants {
                contraction_flops_per_nanosecond: 2.4 * flops_per_cycle,
                elementwise_operations_per_nanosecond: f64::from(vector_bytes / 4),
                exponentials_per_nanosecond: f64::from(vector_bytes / 4) / 12.0,
                ..baseline.cost
            },
            tiles: vec![],
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Machine {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Machine::ALL.into_iter().find(|machine| machine.name() == text).ok_or_else(|| {
            let names = Machine::ALL.map(Machine::name).join(", ");
            format!("unknown machine `{text}`; expected one of {names}")
        })
    }
}

/// Name of the vector instructions, bytes and number of vector registers, whether `a*b + c` is one instruction.
fn host_vectors() -> (&'static str, u32, u32, bool) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::is_x86_feature_detected as has;
        if has!("avx512f") && has!("avx512bw") && has!("avx512dq") && has!("avx512vl") && has!("fma") {
            return ("avx512", 64, 32, true);
        }
        if has!("avx2") && has!("fma") {
            return ("avx2", 32, 16, true);
        }
        ("sse", 16, 16, has!("fma"))
    }
    #[cfg(not(target_arch = "x86_64"))]
    ("neon", 16, 32, true)
}

/// Dtypes whose products are summed by groups in one instruction, for vectors as [`host_vectors`] has them.
fn host_groups() -> Vec<DType> {
    let mut groups = vec![];
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::is_x86_feature_detected as has;
        let (vectors, _, _, _) = host_vectors();
        if vectors == "avx512" && has!("avx512bf16") {
            groups.push(DType::Bf16);
        }
        if vectors == "avx512" && has!("avx512vnni") || vectors == "avx2" && has!("avxvnni") {
            groups.push(DType::I8);
        }
    }
    groups
}

/// Bytes of the two nearest data caches of a core, where the processor says them.
fn host_caches() -> Option<[u64; 2]> {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{__cpuid, __cpuid_count};
        // Intel's leaf of caches, and AMD's, which has the same form
        let leaf = [4, 0x8000_001d].into_iter().find(|&leaf| {
            let most = __cpuid(leaf & 0x8000_0000).eax;
            leaf <= most && __cpuid_count(leaf, 0).eax & 31 != 0
        })?;
        let mut caches = (0..8).map(|number| __cpuid_count(leaf, number)).take_while(|cache| cache.eax & 31 != 0);
        let mut level = |wanted: u32| {
            let is_instructions = |eax: u32| eax & 31 == 2;
            let cache = caches.find(|cache| cache.eax >> 5 & 7 == wanted && !is_instructions(cache.eax))?;
            let part = |shift: u32, bits: u32| u64::from((cache.ebx >> shift & ((1 << bits) - 1)) + 1);
            Some(part(22, 10) * part(12, 10) * part(0, 12) * (u64::from(cache.ecx) + 1))
        };
        Some([level(1)?, level(2)?])
    }
    #[cfg(not(target_arch = "x86_64"))]
    None
}
