//! What the machine can do at most: the limits that measurements are set beside.

use crate::{Backend, CodegenError};
use kc_ir::kernel::{Access, Index, Kernel, KernelBuilder};
use kc_ir::{DType, tensor::Scalar};
use kc_runtime::AlignedBytes;
use kc_runtime::image::{Image, ImageError};
use kc_runtime::kc_abi::call::{Environment, KernelFn};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Barrier, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Chains of multiply-adds that do not depend on each other, each of one vector: they hide the latency of all kinds, where so many registers are.
const CHAINS: [usize; 2] = [12, 24];

/// Multiply-adds of each chain in a measurement.
const STEPS: i64 = 1 << 18;

/// Elements that a thread copies in a measurement: more than caches hold.
const COPIED: usize = 1 << 23;

/// Kernels that do nothing but multiply and add in registers, or copy memory.
pub struct Roof {
    /// Multiply-adds of f32, then of the dtypes whose products are summed by groups.
    multiply_adds: Vec<(DType, KernelFn)>,
    copy: KernelFn,
    lanes: usize,
    chains: usize,
    /// The code of the kernels.
    _image: Image,
}

/// Why the limits cannot be measured.
#[derive(Debug, thiserror::Error)]
pub enum RoofError {
    /// The back end does not make the code.
    #[error(transparent)]
    Code(#[from] CodegenError),
    /// The system does not execute it.
    #[error(transparent)]
    Image(#[from] ImageError),
}

impl Roof {
    /// The kernels, made by a back end.
    ///
    /// # Errors
    /// Where the back end makes no code.
    pub fn new(backend: &dyn Backend) -> Result<Self, RoofError> {
        let lanes = backend.target().lanes();
        let chains = CHAINS[usize::from(backend.target().vector_registers >= 32)];
        let factors = [&[DType::F32], &backend.target().groups[..]].concat();
        let kernels =
            [copy(lanes)].into_iter().chain(factors.iter().map(|&factor| multiply_adds(lanes, factor, chains)));
        let code = backend.compile(&kernels.collect::<Vec<_>>())?;
        let image = Image::load(&code.bytes)?;
        // SAFETY: the back end put a kernel for this machine at each offset; the image lives as long as the pointers.
        let kernel = |&offset| unsafe { image.kernel(offset) };
        let mut functions = code.kernel_offsets.iter().map(kernel).collect::<Result<Vec<_>, _>>()?;
        let copy = functions.remove(0);
        let multiply_adds = factors.into_iter().zip(functions).collect();
        Ok(Roof { multiply_adds, copy, lanes: lanes as usize, chains, _image: image })
    }

    /// Executes the multiply-adds of factors of a dtype once on the calling thread; returns how many operations that are. Those of a dtype without
    /// an instruction of its own are f32's.
    pub fn multiply_add(&self, factor: DType) -> f64 {
        let known = self.multiply_adds.iter().find(|(known, _)| *known == factor);
        let (factor, function) = known.copied().unwrap_or(self.multiply_adds[0]);
        let mut result = vec![0f32; self.chains * self.lanes];
        let buffers = [result.as_mut_ptr().cast::<u8>()];
        let environment = Environment { intrinsics: std::ptr::null(), scratch: std::ptr::null_mut() };
        // SAFETY: the kernel writes a vector for each chain, for which there is room, and calls nothing.
        unsafe { function(buffers.as_ptr(), [STEPS].as_ptr(), 0, 1, &environment) };
        std::hint::black_box(result);
        2.0 * STEPS as f64 * (self.chains * self.lanes * group_of(factor)) as f64
    }

    /// Operations a nanosecond of so many threads with factors of a dtype: a multiply-add counts as two.
    pub fn operations_per_nanosecond(&self, threads: usize, factor: DType) -> f64 {
        let operations = AtomicU64::new(0);
        let time = at_once(threads, || {
            operations.fetch_add(self.multiply_add(factor) as u64, Ordering::Relaxed);
        });
        operations.into_inner() as f64 / time.as_nanos() as f64
    }

    /// Bytes a nanosecond that so many threads read and write, copying from memory to memory.
    pub fn bytes_per_nanosecond(&self, threads: usize) -> f64 {
        // in large pages, as a session's memory is, and written before: what a system does at a page's first write is no copying
        let written = || {
            let mut bytes = AlignedBytes::zeros(COPIED * size_of::<f32>());
            bytes.fill(1);
            bytes
        };
        let mut arrays: Vec<(AlignedBytes, AlignedBytes)> =
            (0..threads.max(1)).map(|_| (written(), written())).collect();
        let free: Mutex<Vec<_>> = Mutex::new(arrays.iter_mut().collect());
        let time = at_once(threads, || {
            let Some((from, to)) = free.lock().unwrap_or_else(PoisonError::into_inner).pop() else { return };
            let buffers = [from.as_pointer(), to.as_pointer()];
            let environment = Environment { intrinsics: std::ptr::null(), scratch: std::ptr::null_mut() };
            // SAFETY: each thread has two arrays of its own with as many elements as the kernel is told, and it calls nothing.
            unsafe { (self.copy)(buffers.as_ptr(), [COPIED as i64].as_ptr(), 0, 1, &environment) };
        });
        (arrays.len() * COPIED * 2 * size_of::<f32>()) as f64 / time.as_nanos() as f64
    }
}

/// How long so many threads take that do the same from one moment on. Starting them does not count.
fn at_once(threads: usize, work: impl Fn() + Sync) -> Duration {
    let ready = Barrier::new(threads.max(1));
    let timed = || {
        ready.wait();
        let start = Instant::now();
        work();
        start.elapsed()
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(timed)).collect();
        let own = timed();
        others.into_iter().filter_map(|other| other.join().ok()).fold(own, Duration::max)
    })
}

/// Factors of a dtype whose products are one sum.
fn group_of(factor: DType) -> usize {
    match factor {
        DType::Bf16 => 2,
        DType::I8 => 4,
        _ => 1,
    }
}

fn multiply_adds(lanes: u32, factor: DType, chains: usize) -> Kernel {
    let mut b = KernelBuilder::new(&format!("multiply_adds_{factor}"));
    let (sums, other) = match factor {
        DType::I8 => (DType::I32, DType::U8),
        _ => (DType::F32, factor),
    };
    let y = b.parameter("y", sums, Access::Write);
    let number = |dtype: DType| if dtype.is_float() { Scalar::Float(0.999) } else { Scalar::Int(99) };
    let [left, right] = [other, factor].map(|dtype| b.constant(dtype, lanes * group_of(factor) as u32, number(dtype)));
    let first = b.constant(sums, lanes, number(sums));
    let sums = b.for_carrying(0, Index::Dim(0), 1, &vec![first; chains], |b, _, sums| {
        let next = |&sum: &_| match factor {
            DType::F32 => b.multiply_add(sum, left, right),
            _ => b.multiply_add_groups(left, right, sum),
        };
        sums.iter().map(next).collect()
    });
    for (chain, sum) in sums.into_iter().enumerate() {
        b.store(y, Index::Constant(chain as i64 * i64::from(lanes)), sum, None);
    }
    b.finish(1)
}

fn copy(lanes: u32) -> Kernel {
    let mut b = KernelBuilder::new("copy");
    let x = b.parameter("x", DType::F32, Access::Read);
    let y = b.parameter("y", DType::F32, Access::Write);
    b.for_each(0, Index::Dim(0), i64::from(lanes), |b, at| {
        let vector = b.load(x, at.clone(), lanes, None);
        b.store(y, at, vector, None);
    });
    b.finish(1)
}
