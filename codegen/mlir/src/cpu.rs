//! What is compiled for: triple, instruction sets, scheduling model.

use inkwell::targets::TargetMachine;
use kc_abi::DType;

/// Instruction sets that generated code makes use of, as Rust's feature detection and as LLVM name them, sorted.
const X86_FEATURES: &[(&str, &str)] = &[
    ("avx", "avx"),
    ("avx2", "avx2"),
    ("avx512bf16", "avx512bf16"),
    ("avx512bitalg", "avx512bitalg"),
    ("avx512bw", "avx512bw"),
    ("avx512cd", "avx512cd"),
    ("avx512dq", "avx512dq"),
    ("avx512f", "avx512f"),
    ("avx512ifma", "avx512ifma"),
    ("avx512vbmi", "avx512vbmi"),
    ("avx512vbmi2", "avx512vbmi2"),
    ("avx512vl", "avx512vl"),
    ("avx512vnni", "avx512vnni"),
    ("avx512vpopcntdq", "avx512vpopcntdq"),
    ("avxvnni", "avxvnni"),
    ("bmi1", "bmi"),
    ("bmi2", "bmi2"),
    ("f16c", "f16c"),
    ("fma", "fma"),
    ("gfni", "gfni"),
    ("lzcnt", "lzcnt"),
    ("popcnt", "popcnt"),
    ("sse3", "sse3"),
    ("sse4.1", "sse4.1"),
    ("sse4.2", "sse4.2"),
    ("ssse3", "ssse3"),
];

/// How the triple of a GPU starts.
const GPU: &str = "nvptx64";

/// Architectures of GPUs as LLVM names them, with the oldest version of PTX that has them.
const GPUS: &[(&str, &str)] = &[("sm_80", "+ptx70"), ("sm_90a", "+ptx80"), ("sm_100a", "+ptx86")];

/// A machine that code is made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cpu {
    triple: String,
    tune: String,
    features: Vec<String>,
}

/// The options name a machine that the plug-in does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CpuError {
    /// The triple's architecture.
    #[error(
        "the plug-in makes code for x86_64 and aarch64 with ELF objects, and for wasm32 and nvptx64, not for `{0}`"
    )]
    Triple(String),
    /// The architecture of a GPU.
    #[error(
        "the plug-in makes PTX for {}, not for {}",
        GPUS.iter().map(|(gpu, _)| *gpu).collect::<Vec<_>>().join(", "),
        .0.as_deref().unwrap_or("a GPU without a name")
    )]
    Gpu(Option<String>),
    /// A feature.
    #[error("`{feature}` is no instruction set that code for `{triple}` uses; known are: {known}")]
    Feature {
        /// What was given.
        feature: String,
        /// The triple.
        triple: String,
        /// The names that are known.
        known: String,
    },
}

impl Cpu {
    /// The machine that compiles, or what is given instead of parts of it.
    pub fn new(triple: Option<&str>, tune: Option<&str>, features: Option<&[String]>) -> Result<Self, CpuError> {
        let host = TargetMachine::get_default_triple().as_str().to_string_lossy().into_owned();
        let triple = triple.unwrap_or(&host).to_string();
        if triple.starts_with(GPU) {
            let Some((gpu, _)) = GPUS.iter().find(|(gpu, _)| Some(*gpu) == tune) else {
                return Err(CpuError::Gpu(tune.map(String::from)));
            };
            return Ok(Cpu { triple, tune: gpu.to_string(), features: vec![] });
        }
        if !["x86_64", "aarch64", "wasm32"].iter().any(|architecture| triple.starts_with(architecture))
            || ["darwin", "macos", "windows"].iter().any(|system| triple.contains(system))
        {
            return Err(CpuError::Triple(triple));
        }
        let is_host = triple == host;
        let known = if triple.starts_with("x86_64") { X86_FEATURES } else { &[] };
        let names = known.iter().map(|(name, _)| *name);
        let features = match features {
            Some(given) => {
                if let Some(feature) = given.iter().find(|feature| !names.clone().any(|name| name == **feature)) {
                    let known = names.collect::<Vec<_>>().join(", ");
                    return Err(CpuError::Feature { feature: feature.clone(), triple, known });
                }
                names.filter(|name| given.iter().any(|feature| feature == name)).map(String::from).collect()
            }
            None if is_host => {
                let detected = TargetMachine::get_host_cpu_features().to_string();
                let has = |llvm: &str| detected.split(',').any(|feature| feature.strip_prefix('+') == Some(llvm));
                known.iter().filter(|(_, llvm)| has(llvm)).map(|(name, _)| name.to_string()).collect()
            }
            None => vec![],
        };
        let tune = match tune {
            Some(tune) => tune.to_string(),
            None if is_host => TargetMachine::get_host_cpu_name().to_string(),
            None => "generic".to_string(),
        };
        Ok(Cpu { triple, tune, features })
    }

    /// LLVM's target triple.
    pub fn triple(&self) -> &str {
        &self.triple
    }

    /// Whether it is a GPU.
    pub fn is_gpu(&self) -> bool {
        self.triple.starts_with(GPU)
    }

    /// The CPU whose instruction set is the common ground of all with that triple; of a GPU the architecture.
    pub fn base(&self) -> &str {
        if self.is_gpu() {
            return &self.tune;
        }
        if self.is_x86() { "x86-64" } else { "generic" }
    }

    /// Instruction sets beyond [`Cpu::base`], as Rust's feature detection names them.
    pub fn features(&self) -> &[String] {
        &self.features
    }

    /// The same in LLVM's form.
    pub fn llvm_features(&self) -> String {
        if self.is_wasm() {
            return "+simd128".to_owned();
        }
        if let Some((_, ptx)) = GPUS.iter().find(|(gpu, _)| self.is_gpu() && *gpu == self.tune) {
            return ptx.to_string();
        }
        let llvm = X86_FEATURES.iter().filter(|(name, _)| self.has(name)).map(|(_, llvm)| format!("+{llvm}"));
        llvm.collect::<Vec<_>>().join(",")
    }

    fn is_x86(&self) -> bool {
        self.triple.starts_with("x86_64")
    }

    /// Whether it is WebAssembly, with its vectors of 128 bits.
    pub fn is_wasm(&self) -> bool {
        self.triple.starts_with("wasm32")
    }

    fn has(&self, feature: &str) -> bool {
        self.features.iter().any(|known| known == feature)
    }

    /// Whether `a*b + c` has one rounding.
    pub fn fma(&self) -> bool {
        !self.is_wasm() && (!self.is_x86() || self.has("fma"))
    }

    /// Whether floats are rounded to whole numbers by an instruction.
    pub fn rounds(&self) -> bool {
        !self.is_x86() || self.has("sse4.1")
    }

    /// Whether f16 converts to and from f32.
    pub fn half_conversions(&self) -> bool {
        !self.is_wasm() && (!self.is_x86() || self.has("f16c"))
    }

    /// The name in LLVM of the instruction that multiplies groups of lanes and adds their products to so many lanes of that dtype.
    pub fn multiply_add_groups(&self, sums: DType, lanes: u32) -> Option<String> {
        let bits = 32 * lanes;
        let has_length = match bits {
            512 => self.has("avx512f"),
            128 | 256 => self.has("avx512vl"),
            _ => false,
        };
        match sums {
            DType::F32 if has_length && self.has("avx512bf16") => Some(format!("llvm.x86.avx512bf16.dpbf16ps.{bits}")),
            DType::I32 if has_length && self.has("avx512vnni") => Some(format!("llvm.x86.avx512.vpdpbusd.{bits}")),
            DType::I32 if [128, 256].contains(&bits) && self.has("avxvnni") => {
                Some(format!("llvm.x86.avx512.vpdpbusd.{bits}"))
            }
            _ => None,
        }
    }

    /// Attributes of every function, as MLIR text. Vectors are as wide as the kernel says; library functions are not recognised
    /// and so never called.
    pub fn function_attributes(&self) -> String {
        if self.is_gpu() {
            return "passthrough = [\"nounwind\", \"no-builtins\"]".to_string();
        }
        let width = if self.has("avx512f") {
            512
        } else if self.has("avx2") {
            256
        } else {
            128
        };
        format!(
            "passthrough = [\"nounwind\", \"no-builtins\", [\"tune-cpu\", \"{}\"], [\"prefer-vector-width\", \"{width}\"]]",
            self.tune
        )
    }
}
