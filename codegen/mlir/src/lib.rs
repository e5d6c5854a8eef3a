//! Plug-in of kc: kernel IR in, machine code out, through MLIR and LLVM.
//!
//! The C interface is in [`interface`]; [`compile`] is what stands behind it. A kernel becomes MLIR text ([`translate`]), LLVM IR and an object
//! file ([`machine`]), and part of a flat image ([`link`]). Kernels are compiled one by one, so the image does not depend on the
//! number of threads.

pub mod cpu;
#[path = "../../src/mlir/interface.rs"]
pub mod interface;
pub mod link;
pub mod machine;
pub mod translate;

use cpu::Cpu;
use interface::{API_VERSION, Blob, Failure, ImageHeader, Options, Output};
use kc_ir::kernel::Kernel;
use machine::Machine;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Why kernels could not be compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The input or the options are no UTF-8.
    #[error("the {0} are not UTF-8 text")]
    Encoding(&'static str),
    /// The kernels cannot be parsed.
    #[error("the kernels cannot be read: {0}")]
    Parse(#[from] kc_ir::kernel::ParseError),
    /// The options cannot be parsed.
    #[error("the options cannot be read: {0}")]
    Options(#[from] serde_json::Error),
    /// Unknown target.
    #[error(transparent)]
    Cpu(#[from] cpu::CpuError),
    /// A kernel failed.
    #[error("kernel `{kernel}`: {error}")]
    Kernel {
        /// Its name.
        kernel: String,
        /// What failed.
        error: KernelError,
    },
    /// A thread died.
    #[error("a compiling thread failed")]
    Thread,
}

/// Why a kernel could not be compiled.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// It is not well formed.
    #[error(transparent)]
    Verify(#[from] kc_ir::kernel::VerifyError),
    /// It is not lowered.
    #[error(transparent)]
    Translate(#[from] translate::TranslateError),
    /// MLIR or LLVM failed.
    #[error(transparent)]
    Machine(#[from] machine::MachineError),
    /// The object file needs more than an image has.
    #[error(transparent)]
    Link(#[from] link::LinkError),
}

/// Names the kernel at which something failed.
fn at<E: Into<KernelError>>(kernel: &Kernel) -> impl Fn(E) -> CompileError {
    |error| CompileError::Kernel { kernel: kernel.name.clone(), error: error.into() }
}

/// Compiles kernels and gives the bytes of [`interface::CompileFn`].
pub fn compile(kernels: &[Kernel], options: &Options) -> Result<Vec<u8>, CompileError> {
    let cpu = Cpu::new(options.triple.as_deref(), options.tune.as_deref(), options.features.as_deref())?;
    if options.output == Output::Mlir {
        let texts = kernels.iter().map(|kernel| verified_text(kernel, &cpu).map_err(at(kernel)));
        return Ok(texts.collect::<Result<Vec<_>, _>>()?.join("\n").into_bytes());
    }
    let parts = compile_all(kernels, options, &cpu)?;
    if options.output != Output::Image {
        return Ok(parts.join(&b'\n'));
    }
    let mut image = link::Image::default();
    let mut kernel_offsets = Vec::new();
    for (part, kernel) in parts.iter().zip(kernels) {
        kernel_offsets.push(image.add(part, translate::ENTRY).map_err(at(kernel))?);
    }
    let header = ImageHeader { kernel_offsets, features: cpu.features().to_vec() };
    Ok(encode_image(&header, &image.finish())?)
}

/// The bytes that [`interface::decode_image`] takes apart.
fn encode_image(header: &ImageHeader, code: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
    let header = serde_json::to_vec(header)?;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(&header);
    bytes.extend_from_slice(code);
    Ok(bytes)
}

/// One result a kernel, in their order; threads claim the largest kernels first.
fn compile_all(kernels: &[Kernel], options: &Options, cpu: &Cpu) -> Result<Vec<Vec<u8>>, CompileError> {
    let mut order: Vec<usize> = (0..kernels.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(kernels[i].registers.len()));
    let available = || std::thread::available_parallelism().map_or(1, usize::from);
    let threads = options.threads.unwrap_or_else(available).clamp(1, kernels.len().max(1));
    let next = AtomicUsize::new(0);
    let work = || -> Vec<(usize, Result<Vec<u8>, CompileError>)> {
        let mut machine = None;
        let mut done = Vec::new();
        while let Some(&i) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            done.push((i, compile_one(&mut machine, &kernels[i], options.output, cpu).map_err(at(&kernels[i]))));
        }
        done
    };
    let mut all: Vec<_> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut all = work();
        for other in others {
            all.extend(other.join().map_err(|_| CompileError::Thread)?);
        }
        Ok::<_, CompileError>(all)
    })?;
    all.sort_by_key(|(i, _)| *i);
    all.into_iter().map(|(_, result)| result).collect()
}

fn verified_text(kernel: &Kernel, cpu: &Cpu) -> Result<String, KernelError> {
    kc_ir::kernel::verify_kernel(kernel)?;
    Ok(translate::translate(kernel, cpu)?)
}

fn compile_one(
    machine: &mut Option<Machine>,
    kernel: &Kernel,
    output: Output,
    cpu: &Cpu,
) -> Result<Vec<u8>, KernelError> {
    let text = verified_text(kernel, cpu)?;
    let machine = match machine {
        Some(machine) => machine,
        None => machine.insert(Machine::new(cpu)?),
    };
    let module = machine.module(&text)?;
    machine.optimize(&module, machine::PASSES)?;
    Ok(match output {
        Output::Mlir => text.into_bytes(),
        Output::Llvm => module.print_to_string().to_string().into_bytes(),
        Output::Asm => machine.assembly(&module)?.into_bytes(),
        Output::Image => machine.object(&module)?,
    })
}

fn compile_text(kernels: &[u8], options: &[u8]) -> Result<Vec<u8>, CompileError> {
    let kernels = std::str::from_utf8(kernels).map_err(|_| CompileError::Encoding("kernels"))?;
    let options: Options = serde_json::from_slice(options)?;
    compile(&kc_ir::kernel::parse_kernels(kernels)?, &options)
}

fn failure(kernel: Option<String>, message: String) -> Vec<u8> {
    serde_json::to_vec(&Failure { kernel, message }).unwrap_or_default()
}

/// [`interface::ApiVersionFn`].
#[unsafe(no_mangle)]
pub extern "C" fn kc_mlir_api_version() -> u32 {
    API_VERSION
}

/// [`interface::CompileFn`].
///
/// # Safety
/// Both pairs describe readable bytes; `output` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_mlir_compile(
    kernels: *const u8,
    kernels_length: usize,
    options: *const u8,
    options_length: usize,
    output: *mut Blob,
) -> i32 {
    // SAFETY: the caller's promise.
    let (kernels, options) = unsafe {
        (std::slice::from_raw_parts(kernels, kernels_length), std::slice::from_raw_parts(options, options_length))
    };
    let result = std::panic::catch_unwind(|| compile_text(kernels, options));
    let (status, bytes) = match result {
        Ok(Ok(bytes)) => (0, bytes),
        Ok(Err(CompileError::Kernel { kernel, error })) => (1, failure(Some(kernel), error.to_string())),
        Ok(Err(error)) => (1, failure(None, error.to_string())),
        Err(_) => (2, failure(None, "the plug-in panicked".to_string())),
    };
    let mut bytes = std::mem::ManuallyDrop::new(bytes);
    // SAFETY: the caller's promise.
    unsafe {
        output.write(Blob { data: bytes.as_mut_ptr(), length: bytes.len(), capacity: bytes.capacity() });
    }
    status
}

/// [`interface::FreeFn`].
///
/// # Safety
/// The blob was filled by [`kc_mlir_compile`] and is given back once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_mlir_free(blob: *mut Blob) {
    // SAFETY: the caller's promise: these are the parts of a `Vec` that `kc_mlir_compile` took apart.
    unsafe {
        let blob = &mut *blob;
        drop(Vec::from_raw_parts(blob.data, blob.length, blob.capacity));
        *blob = Blob { data: std::ptr::NonNull::dangling().as_ptr(), length: 0, capacity: 0 };
    }
}
