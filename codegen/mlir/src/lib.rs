//! Plug-in of kc: kernel IR in, machine code out, through MLIR and LLVM.
//!
//! The C interface is in [`interface`]; [`compile`] is what stands behind it. Kernels become MLIR text ([`translate`]), LLVM IR and
//! object files ([`machine`]), and a flat image ([`link`]). They are compiled in groups, which depend on the kernels alone: the image
//! does not depend on the number of threads.

pub mod cpu;
mod group;
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
    /// An image of PTX.
    #[error("code for a GPU is text, not an image; ask for `asm`")]
    Image,
    /// A kernel failed.
    #[error("kernel `{kernel}`: {error}")]
    Kernel {
        /// Its name.
        kernel: String,
        /// What failed.
        error: KernelError,
    },
    /// The program around the kernels failed.
    #[error("the entry points: {0}")]
    Program(KernelError),
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
    for kernel in kernels {
        kc_ir::kernel::verify_kernel(kernel).map_err(at(kernel))?;
    }
    let job = Job { kernels, cpu: &cpu, output: options.output };
    if options.output == Output::Object {
        return job.object(options);
    }
    if options.output != Output::Image {
        return job.text(&(0..kernels.len()).collect::<Vec<_>>());
    }
    if cpu.is_gpu() {
        return Err(CompileError::Image);
    }
    let groups = group::groups(kernels);
    let objects = job.objects(&groups, options.threads)?;
    let mut image = link::Image::default();
    let mut kernel_offsets = vec![0; kernels.len()];
    let mut parts = vec![];
    for (group, object) in groups.iter().zip(&objects) {
        let entries: Vec<String> = group.iter().map(|&number| translate::entry(number)).collect();
        parts.push(image.next());
        let offsets = image.add(object, &entries).map_err(|error| job.blame(group, error.into()))?;
        group.iter().zip(offsets).for_each(|(&number, offset)| kernel_offsets[number] = offset);
    }
    let header = ImageHeader { kernel_offsets, features: cpu.features().to_vec(), parts };
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

/// What is compiled, and to what.
struct Job<'k> {
    kernels: &'k [Kernel],
    cpu: &'k Cpu,
    output: Output,
}

impl Job<'_> {
    /// One MLIR module with these kernels.
    fn module_text(&self, group: &[usize]) -> Result<String, CompileError> {
        let functions = group.iter().map(|&number| {
            let kernel = &self.kernels[number];
            translate::translate(kernel, number, self.cpu).map_err(at(kernel))
        });
        let functions = functions.collect::<Result<String, _>>()?;
        let declared = if self.cpu.is_gpu() { translate::device::declarations(&functions) } else { String::new() };
        Ok(format!("module {{\n{declared}{functions}}}\n"))
    }

    /// One object file with all kernels and the program around them.
    fn object(&self, options: &Options) -> Result<Vec<u8>, CompileError> {
        let all: Vec<usize> = (0..self.kernels.len()).collect();
        let kernels = self.module_text(&all)?;
        let text = kernels.trim_end().strip_suffix('}').unwrap_or(&kernels).to_owned() + &options.program + "}\n";
        let compile = || -> Result<Vec<u8>, machine::MachineError> {
            let machine = Machine::new(self.cpu)?;
            let module = machine.module(&text)?;
            machine::export_only(&module, &options.exports);
            machine.optimize(&module, machine::PASSES)?;
            machine.object(&module)
        };
        compile().map_err(|error| match self.blame(&all, error.into()) {
            CompileError::Kernel { error, .. } => CompileError::Program(error),
            other => other,
        })
    }

    /// All kernels in the text form that is asked for.
    fn text(&self, all: &[usize]) -> Result<Vec<u8>, CompileError> {
        let text = self.module_text(all)?;
        if self.output == Output::Mlir {
            return Ok(text.into_bytes());
        }
        self.machine_code(&mut None, &text).map_err(|error| self.blame(all, error))
    }

    /// One object file a group; threads claim one after the other.
    fn objects(&self, groups: &[Vec<usize>], threads: Option<usize>) -> Result<Vec<Vec<u8>>, CompileError> {
        let available = || std::thread::available_parallelism().map_or(1, usize::from);
        let threads = threads.unwrap_or_else(available).clamp(1, groups.len().max(1));
        let next = AtomicUsize::new(0);
        let work = || {
            let mut machine = None;
            let mut done = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(group) = groups.get(number) else { return done };
                let object = self
                    .module_text(group)
                    .and_then(|text| self.machine_code(&mut machine, &text).map_err(|error| self.blame(group, error)));
                done.push((number, object));
            }
        };
        let mut all = std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let mut all = work();
            for other in others {
                all.extend(other.join().map_err(|_| CompileError::Thread)?);
            }
            Ok::<_, CompileError>(all)
        })?;
        all.sort_by_key(|(number, _)| *number);
        all.into_iter().map(|(_, object)| object).collect()
    }

    fn machine_code(&self, machine: &mut Option<Machine>, text: &str) -> Result<Vec<u8>, KernelError> {
        let machine = match machine {
            Some(machine) => machine,
            None => machine.insert(Machine::new(self.cpu)?),
        };
        let module = machine.module(text)?;
        if self.cpu.is_gpu() {
            machine.link_device_math(&module)?;
        }
        machine.optimize(&module, machine::PASSES)?;
        Ok(match self.output {
            Output::Llvm => module.print_to_string().to_string().into_bytes(),
            Output::Asm => machine.assembly(&module)?.into_bytes(),
            Output::Mlir | Output::Image | Output::Object => machine.object(&module)?,
        })
    }

    /// Names the kernel at which a group failed: the first that fails alone.
    fn blame(&self, group: &[usize], error: KernelError) -> CompileError {
        let alone = |number: usize| -> Result<(), CompileError> {
            let kernel = &self.kernels[number];
            let object = self.machine_code(&mut None, &self.module_text(&[number])?).map_err(at(kernel))?;
            if self.output == Output::Image {
                link::Image::default().add(&object, &[translate::entry(number)]).map_err(at(kernel))?;
            }
            Ok(())
        };
        if let Some(error) = group.iter().find_map(|&number| alone(number).err()) {
            return error;
        }
        let names: Vec<&str> = group.iter().map(|&number| self.kernels[number].name.as_str()).collect();
        CompileError::Kernel { kernel: names.join(", "), error }
    }
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
