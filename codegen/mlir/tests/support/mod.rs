//! Code images in executable memory, and what they may call.

// each test and measurement uses a part
#![allow(dead_code)]

use kc_abi::call::{ALIGNMENT, Environment, GemmArguments, INTRINSICS_VERSION, Intrinsics, KernelFn, MathFunction};
use kc_ir::kernel::{Kernel, interpret};
use kc_mlir::interface::{Options, decode_image};

/// A compiled image that can be called.
pub struct Loaded {
    memory: *mut u8,
    length: usize,
    offsets: Vec<u64>,
    /// Instruction sets that the code needs.
    pub features: Vec<String>,
}

impl Loaded {
    /// Compiles for this machine and maps the code.
    pub fn compile(kernels: &[Kernel], options: &Options) -> Result<Self, String> {
        let bytes = kc_mlir::compile(kernels, options).map_err(|error| error.to_string())?;
        let (header, code) = decode_image(&bytes).ok_or("no image")?;
        // SAFETY: a fresh private mapping of at least one byte, filled before it becomes executable.
        let memory = unsafe {
            let memory = libc::mmap(
                std::ptr::null_mut(),
                code.len().max(1),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            if memory == libc::MAP_FAILED {
                return Err("mmap failed".to_string());
            }
            std::ptr::copy_nonoverlapping(code.as_ptr(), memory.cast(), code.len());
            if libc::mprotect(memory, code.len().max(1), libc::PROT_READ | libc::PROT_EXEC) != 0 {
                return Err("mprotect failed".to_string());
            }
            memory.cast()
        };
        Ok(Loaded { memory, length: code.len().max(1), offsets: header.kernel_offsets, features: header.features })
    }

    /// Runs tasks of a kernel.
    ///
    /// # Safety
    /// As for [`KernelFn`].
    pub unsafe fn run(
        &self,
        kernel: usize,
        buffers: &[*mut u8],
        dims: &[i64],
        tasks: std::ops::Range<i64>,
        environment: &Environment,
    ) {
        // SAFETY: the offset is that of a function of this signature; the rest is the caller's promise.
        unsafe {
            let function: KernelFn = std::mem::transmute(self.memory.add(self.offsets[kernel] as usize));
            function(buffers.as_ptr(), dims.as_ptr(), tasks.start, tasks.end, environment);
        }
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `compile`.
        unsafe { libc::munmap(self.memory.cast(), self.length) };
    }
}

/// Bytes that start at a multiple of [`ALIGNMENT`].
pub struct Memory {
    lines: Vec<Line>,
    length: usize,
}

#[repr(align(64))]
#[derive(Clone, Copy)]
struct Line([u8; ALIGNMENT]);

impl Memory {
    /// A copy of the bytes.
    pub fn new(bytes: &[u8]) -> Self {
        let mut lines = vec![Line([0; ALIGNMENT]); bytes.len().div_ceil(ALIGNMENT).max(1)];
        for (line, chunk) in lines.iter_mut().zip(bytes.chunks(ALIGNMENT)) {
            line.0[..chunk.len()].copy_from_slice(chunk);
        }
        Memory { lines, length: bytes.len() }
    }

    /// The first byte.
    pub fn pointer(&mut self) -> *mut u8 {
        self.lines.as_mut_ptr().cast()
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the lines are contiguous and hold at least as many bytes.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.length) }
    }
}

/// A table whose functions compute as the interpreter does.
pub fn intrinsics() -> *const Intrinsics {
    struct Table(Intrinsics);
    // SAFETY: the table is never written and its pointer is null.
    unsafe impl Sync for Table {}
    static TABLE: Table = Table(Intrinsics {
        version: INTRINSICS_VERSION,
        size: size_of::<Intrinsics>() as u32,
        gemm_f32: gemm::<f32>,
        gemm_f64: gemm::<f64>,
        math_f64,
        math2_f64,
        user_data: std::ptr::null(),
        library,
    });
    &raw const TABLE.0
}

extern "C" fn math_f64(function: u32, x: f64) -> f64 {
    MathFunction::from_number(function).map_or(f64::NAN, |function| interpret::math(function, x, 0.0))
}

extern "C" fn math2_f64(function: u32, x: f64, y: f64) -> f64 {
    MathFunction::from_number(function).map_or(f64::NAN, |function| interpret::math(function, x, y))
}

/// The library's functions are compared in the workspace's tests; kernels of the plug-in's own tests call none.
unsafe extern "C" fn library(_: i64, _: *const kc_abi::library::Region, _: i64, _: *const i64) {}

trait Element: Copy {
    fn wide(self) -> f64;
    fn rounded(x: f64) -> Self;
}

impl Element for f32 {
    fn wide(self) -> f64 {
        self.into()
    }
    fn rounded(x: f64) -> Self {
        x as f32
    }
}

impl Element for f64 {
    fn wide(self) -> f64 {
        self
    }
    fn rounded(x: f64) -> Self {
        x
    }
}

/// Sums in f64 in order of `k`, rounded once.
unsafe extern "C" fn gemm<T: Element>(arguments: *const GemmArguments) {
    // SAFETY: kernels pass arguments whose matrices lie in their buffers.
    unsafe {
        let g = *arguments;
        let (a, b, c) = (g.a.cast::<T>(), g.b.cast::<T>(), g.c.cast::<T>());
        for i in 0..g.m {
            for j in 0..g.n {
                let place = c.offset((i * g.c_row_stride + j * g.c_column_stride) as isize);
                let mut sum = 0.0;
                for k in 0..g.k {
                    let x = a.offset((i * g.a_row_stride + k * g.a_column_stride) as isize);
                    let y = b.offset((k * g.b_row_stride + j * g.b_column_stride) as isize);
                    sum += x.read().wide() * y.read().wide();
                }
                let before = if g.accumulate == 1 { place.read().wide() } else { 0.0 };
                place.write(T::rounded(sum + before));
            }
        }
    }
}
