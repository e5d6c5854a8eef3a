//! Compiled kernels in memory.

use super::memory::Guarded;
use crate::Backend;
use kc_ir::kernel::Kernel;
use kc_ir::kernel::interpret::{MultiplyAddRounding, math};
use kc_ir::library::evaluate_bytes;
use kc_runtime::image::Image;
use kc_runtime::kc_abi::call::{Environment, GemmArguments, INTRINSICS_VERSION, Intrinsics, KernelFn, MathFunction};
use kc_runtime::kc_abi::library::{Extents, LibraryFunction, Region, dtype_of_number};
use std::ops::Range;

/// What the suite is run on: a back end, with a machine that executes its code.
pub trait Subject {
    /// The name in reports.
    fn name(&self) -> &str;

    /// How its multiply-add rounds.
    fn rounding(&self) -> MultiplyAddRounding;

    /// Whether it has code for a kernel; the suite passes over those that it has none for.
    fn takes(&self, kernel: &Kernel) -> bool;

    /// Compiles kernels.
    fn load(&self, kernels: &[Kernel]) -> Result<Box<dyn Execute>, String>;
}

/// Compiled kernels.
pub trait Execute {
    /// Executes tasks of the kernel of that number (which is `kernel`) on the buffers.
    fn run(
        &self,
        number: usize,
        kernel: &Kernel,
        buffers: &mut [Vec<u8>],
        dims: &[i64],
        tasks: Range<i64>,
    ) -> Result<(), String>;
}

/// A back end for this processor.
impl<B: Backend> Subject for B {
    fn name(&self) -> &str {
        Backend::name(self)
    }

    fn rounding(&self) -> MultiplyAddRounding {
        if self.target().fused_multiply_add { MultiplyAddRounding::Once } else { MultiplyAddRounding::Twice }
    }

    fn takes(&self, kernel: &Kernel) -> bool {
        !kernel.is_for_gpu()
    }

    fn load(&self, kernels: &[Kernel]) -> Result<Box<dyn Execute>, String> {
        Ok(Box::new(Loaded::new(self, kernels)?))
    }
}

/// Kernels in this process.
struct Loaded {
    kernels: Vec<KernelFn>,
    /// Holds the code that `kernels` points to.
    _image: Image,
}

impl Loaded {
    /// Compiles and maps kernels.
    fn new(backend: &dyn Backend, kernels: &[Kernel]) -> Result<Self, String> {
        let code = backend.compile(kernels).map_err(|error| error.to_string())?;
        let image = Image::load(&code.bytes).map_err(|error| error.to_string())?;
        if code.kernel_offsets.len() != kernels.len() {
            return Err(format!("got {} kernels, expected {}", code.kernel_offsets.len(), kernels.len()));
        }
        // SAFETY: the back end put a kernel for this machine at each offset, and the image lives as long as the pointers.
        let functions = code.kernel_offsets.iter().map(|&offset| unsafe { image.kernel(offset) });
        let functions: Result<Vec<KernelFn>, _> = functions.collect();
        Ok(Loaded { kernels: functions.map_err(|error| error.to_string())?, _image: image })
    }
}

impl Execute for Loaded {
    /// On copies of the buffers, whose contents afterwards are put back. The later half of the tasks runs first.
    fn run(
        &self,
        number: usize,
        kernel: &Kernel,
        buffers: &mut [Vec<u8>],
        dims: &[i64],
        tasks: Range<i64>,
    ) -> Result<(), String> {
        let guarded = buffers.iter().map(|bytes| Guarded::elements(bytes)).collect::<Result<Vec<_>, _>>()?;
        let scratch = Guarded::scratch(&vec![0xff; kernel.scratch_layout().1 as usize])?;
        let pointers: Vec<*mut u8> = guarded.iter().map(Guarded::pointer).collect();
        let intrinsics = Intrinsics {
            version: INTRINSICS_VERSION,
            size: size_of::<Intrinsics>() as u32,
            gemm_f32,
            gemm_f64,
            math_f64,
            math2_f64,
            user_data: std::ptr::null(),
            library,
        };
        let environment = Environment { intrinsics: &intrinsics, scratch: scratch.pointer() };
        let middle = tasks.start + (tasks.end - tasks.start) / 2;
        for part in [middle..tasks.end, tasks.start..middle] {
            // SAFETY: the interpreter has executed the same tasks on buffers of these sizes without leaving them; nothing else
            // uses the copies.
            unsafe {
                self.kernels[number](pointers.as_ptr(), dims.as_ptr(), part.start, part.end, &environment);
            }
        }
        scratch.take().map_err(|error| format!("scratch memory: {error}"))?;
        for (buffer, (guarded, memory)) in buffers.iter_mut().zip(guarded.iter().zip(&kernel.memory)) {
            *buffer = guarded.take().map_err(|error| format!("`{}`: {error}", memory.name))?;
        }
        Ok(())
    }
}

extern "C" fn math_f64(function: u32, x: f64) -> f64 {
    MathFunction::from_number(function).map_or(f64::NAN, |function| math(function, x, 0.0))
}

extern "C" fn math2_f64(function: u32, x: f64, y: f64) -> f64 {
    MathFunction::from_number(function).map_or(f64::NAN, |function| math(function, x, y))
}

unsafe extern "C" fn gemm_f32(arguments: *const GemmArguments) {
    // SAFETY: the kernel passes the arguments of one product.
    unsafe { gemm::<f32>(arguments, f64::from, |x| x as f32) }
}

unsafe extern "C" fn gemm_f64(arguments: *const GemmArguments) {
    // SAFETY: the kernel passes the arguments of one product.
    unsafe { gemm::<f64>(arguments, |x| x, |x| x) }
}

/// As the interpreter computes it.
unsafe extern "C" fn library(function: i64, regions: *const Region, region_count: i64, attributes: *const i64) {
    let Some(function) = LibraryFunction::from_number(function) else { return };
    // SAFETY: the kernel passes so many regions, and as many attributes as the function has.
    let (regions, attributes) = unsafe {
        (
            std::slice::from_raw_parts(regions, region_count as usize),
            std::slice::from_raw_parts(attributes, function.attributes()),
        )
    };
    let extents = |region: &Region| {
        let dtype = dtype_of_number(region.dtype)?;
        Some(Extents { dtype, rows: region.rows, columns: region.columns })
    };
    let (Some(all), true) = (regions.iter().map(extents).collect::<Option<Vec<_>>>(), function.takes(regions.len()))
    else {
        return;
    };
    let elements = |number: usize| {
        let (region, size) = (&regions[number], all[number].dtype.bytes() as i64);
        (0..region.rows).flat_map(move |i| {
            (0..region.columns).map(move |j| {
                region.pointer.wrapping_offset(((i * region.row_stride + j * region.column_stride) * size) as isize)
            })
        })
    };
    let reads = regions.len() - function.writes();
    let given: Vec<(Extents, Vec<u8>)> = (0..reads)
        .map(|number| {
            let size = all[number].dtype.bytes();
            // SAFETY: the kernel's regions lie in its memory.
            let bytes = elements(number).flat_map(|start| unsafe { std::slice::from_raw_parts(start, size) }.to_vec());
            (all[number], bytes.collect())
        })
        .collect();
    let Ok(results) = evaluate_bytes(function, attributes, &given, &all[reads..]) else { return };
    for (number, result) in (reads..).zip(results) {
        for (start, element) in elements(number).zip(result.chunks_exact(all[number].dtype.bytes())) {
            // SAFETY: as above.
            unsafe { std::ptr::copy_nonoverlapping(element.as_ptr(), start, element.len()) };
        }
    }
}

/// As the interpreter computes it: accumulated in f64 in order of `k`, rounded once.
unsafe fn gemm<T: Copy>(arguments: *const GemmArguments, widen: fn(T) -> f64, narrow: fn(f64) -> T) {
    // SAFETY: the caller passes a valid pointer.
    let g = unsafe { *arguments };
    let (a, b, c) = (g.a.cast::<T>(), g.b.cast::<T>(), g.c.cast::<T>());
    for i in 0..g.m {
        for j in 0..g.n {
            let mut sum = 0.0;
            for k in 0..g.k {
                let (at_a, at_b) =
                    (i * g.a_row_stride + k * g.a_column_stride, k * g.b_row_stride + j * g.b_column_stride);
                // SAFETY: the kernel's matrices lie in its buffers.
                sum += unsafe { widen(*a.offset(at_a as isize)) * widen(*b.offset(at_b as isize)) };
            }
            // SAFETY: as above.
            let element = unsafe { &mut *c.offset((i * g.c_row_stride + j * g.c_column_stride) as isize) };
            let before = if g.accumulate == 0 { 0.0 } else { widen(*element) };
            *element = narrow(sum + before);
        }
    }
}
