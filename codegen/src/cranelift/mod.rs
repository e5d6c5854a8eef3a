//! The embedded back end: Cranelift, with 128-bit vectors.
//!
//! A kernel becomes one function. A register of several lanes becomes one or more 128-bit vectors ([`vector::Vector`]): wider
//! ones are split, narrower ones take the low lanes. Vectors of bool are masks, as wide as the lanes that were compared.
//! Functions are compiled one by one and laid out in one image; they contain their own constants, so nothing is left to
//! relocate.

mod arithmetic;
mod call;
mod convert;
mod half;
mod index;
mod memory;
mod translate;
mod vector;

use crate::{Backend, CodeImage, CodegenError, Form};
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_codegen::settings::{self, Configurable};
use cranelift_codegen::{Context, ir};
use cranelift_frontend::FunctionBuilderContext;
use kc_ir::kernel::{Kernel, verify_kernel};
use kc_passes::Target;
use kc_runtime::kc_abi::call::ALIGNMENT;
use std::sync::atomic::{AtomicUsize, Ordering};

const NAME: &str = "cranelift";

/// Flags of Cranelift, and the names of the CPU features in Rust.
const FEATURES: &[(&str, &str)] = &[
    ("has_sse3", "sse3"),
    ("has_ssse3", "ssse3"),
    ("has_sse41", "sse4.1"),
    ("has_sse42", "sse4.2"),
    ("has_popcnt", "popcnt"),
    ("has_avx", "avx"),
    ("has_avx2", "avx2"),
    ("has_fma", "fma"),
    ("has_bmi1", "bmi1"),
    ("has_bmi2", "bmi2"),
    ("has_lzcnt", "lzcnt"),
];

/// Flags of instruction sets that the kernels gain nothing from: left off, so that packages run on more machines.
const UNUSED: &[&str] = &[
    "has_avx_vnni",
    "has_avx512vnni",
    "has_avx512bitalg",
    "has_avx512dq",
    "has_avx512f",
    "has_avx512vl",
    "has_avx512vbmi",
    "has_cmpxchg16b",
];

/// The Cranelift back end, for the machine it runs on.
pub struct Cranelift {
    isa: OwnedTargetIsa,
    target: Target,
    features: Vec<String>,
}

impl Cranelift {
    /// A back end that uses the instruction sets of this machine.
    pub fn new() -> Result<Self, CodegenError> {
        let unavailable = |reason: String| CodegenError::Unavailable { backend: NAME.to_string(), reason };
        let mut flags = settings::builder();
        for (name, value) in [
            ("opt_level", "speed"),
            ("is_pic", "true"),
            ("enable_verifier", if cfg!(debug_assertions) { "true" } else { "false" }),
            ("unwind_info", "false"),
            ("enable_probestack", "false"),
        ] {
            flags.set(name, value).map_err(|error| unavailable(format!("setting {name}: {error}")))?;
        }
        let mut builder = cranelift_native::builder().map_err(|reason| unavailable(reason.to_string()))?;
        if cfg!(target_arch = "x86_64") {
            for name in UNUSED {
                builder.set(name, "false").map_err(|error| unavailable(format!("setting {name}: {error}")))?;
            }
        }
        let isa = builder.finish(settings::Flags::new(flags)).map_err(|error| unavailable(error.to_string()))?;
        let on = |flag: &str| isa.isa_flags().iter().any(|value| value.name == flag && value.as_bool() == Some(true));
        if cfg!(target_arch = "x86_64") && !(on("has_sse41") && on("has_ssse3")) {
            return Err(unavailable("the CPU lacks SSE4.1, which vectors and rounding need".to_string()));
        }
        let mut features: Vec<String> =
            FEATURES.iter().filter(|(flag, _)| on(flag)).map(|(_, name)| name.to_string()).collect();
        features.sort();
        let fused_multiply_add = cfg!(target_arch = "aarch64") || on("has_fma");
        let triple = isa.triple();
        let name = format!("{}-{} 128-bit", triple.architecture, triple.operating_system);
        let target = Target { name, fused_multiply_add, ..Target::baseline() };
        Ok(Cranelift { isa, target, features })
    }

    fn error(kernel: &Kernel, reason: String) -> CodegenError {
        CodegenError::Kernel { backend: NAME.to_string(), kernel: kernel.name.clone(), reason }
    }

    /// The kernel as a function of Cranelift's.
    fn function(&self, kernel: &Kernel, builders: &mut FunctionBuilderContext) -> Result<ir::Function, CodegenError> {
        verify_kernel(kernel).map_err(|error| Self::error(kernel, error.to_string()))?;
        translate::function(kernel, self.isa.frontend_config(), self.target.fused_multiply_add, builders)
            .map_err(|reason| Self::error(kernel, reason))
    }

    fn compiled(&self, kernel: &Kernel, scratch: &mut Scratch) -> Result<Compiled, CodegenError> {
        let function = self.function(kernel, &mut scratch.builders)?;
        let context = &mut scratch.context;
        context.clear();
        context.func = function;
        context.set_disasm(scratch.disassembly);
        let code = context
            .compile(&*self.isa, &mut ControlPlane::default())
            .map_err(|error| Self::error(kernel, format!("{:?}", error.inner)))?;
        if let Some(relocation) = code.buffer.relocs().first() {
            return Err(Self::error(kernel, format!("its code refers to {:?}, outside of itself", relocation.target)));
        }
        Ok(Compiled {
            bytes: code.code_buffer().to_vec(),
            alignment: code.buffer.alignment as usize,
            assembly: code.vcode.clone().unwrap_or_default(),
        })
    }

    /// All kernels, in order; compiled by several threads where there are many.
    fn compile_all(&self, kernels: &[Kernel], disassembly: bool) -> Result<Vec<Compiled>, CodegenError> {
        const KERNELS_PER_THREAD: usize = 4;
        let available = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = available.min(kernels.len().div_ceil(KERNELS_PER_THREAD)).max(1);
        let next = AtomicUsize::new(0);
        let worker = || {
            let mut scratch = Scratch::new(disassembly);
            let mut done = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(kernel) = kernels.get(number) else { return done };
                done.push((number, self.compiled(kernel, &mut scratch)));
            }
        };
        let mut results = std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(worker)).collect();
            let mut results = worker();
            for other in others {
                match other.join() {
                    Ok(more) => results.extend(more),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            results
        });
        results.sort_by_key(|(number, _)| *number);
        results.into_iter().map(|(_, result)| result).collect()
    }
}

/// What is reused from one function to the next.
struct Scratch {
    builders: FunctionBuilderContext,
    context: Context,
    disassembly: bool,
}

impl Scratch {
    fn new(disassembly: bool) -> Self {
        Scratch { builders: FunctionBuilderContext::new(), context: Context::new(), disassembly }
    }
}

struct Compiled {
    bytes: Vec<u8>,
    alignment: usize,
    assembly: String,
}

impl Backend for Cranelift {
    fn name(&self) -> &'static str {
        NAME
    }

    fn target(&self) -> &Target {
        &self.target
    }

    fn target_mut(&mut self) -> &mut Target {
        &mut self.target
    }

    fn compile(&self, kernels: &[Kernel]) -> Result<CodeImage, CodegenError> {
        let mut image = CodeImage { features: self.features.clone(), ..CodeImage::default() };
        for (kernel, compiled) in kernels.iter().zip(self.compile_all(kernels, false)?) {
            if compiled.alignment > ALIGNMENT {
                let reason = format!("its code needs an alignment of {}, above {ALIGNMENT}", compiled.alignment);
                return Err(Self::error(kernel, reason));
            }
            image.bytes.resize(image.bytes.len().next_multiple_of(ALIGNMENT), 0);
            image.kernel_offsets.push(image.bytes.len() as u64);
            image.parts.push(image.bytes.len() as u64);
            image.bytes.extend_from_slice(&compiled.bytes);
        }
        Ok(image)
    }

    fn emit(&self, kernels: &[Kernel], form: Form) -> Result<String, CodegenError> {
        let mut text = String::new();
        match form {
            Form::Clif => {
                let mut builders = FunctionBuilderContext::new();
                for kernel in kernels {
                    let function = self.function(kernel, &mut builders)?;
                    text.push_str(&format!("; kernel {}\n{}\n", kernel.name, function.display()));
                }
            }
            Form::Asm => {
                for (kernel, compiled) in kernels.iter().zip(self.compile_all(kernels, true)?) {
                    text.push_str(&format!("; kernel {}\n{}\n", kernel.name, compiled.assembly));
                }
            }
            Form::Mlir | Form::Llvm | Form::Ptx => {
                return Err(CodegenError::Form { backend: NAME.to_string(), form, expected: "clif, asm".to_string() });
            }
        }
        Ok(text)
    }
}
