//! A register-blocked f32 matrix product in kernel IR against the FMA peak measured beside it, and what its compilation costs.

#[path = "../tests/support/mod.rs"]
mod support;

use kc_abi::DType;
use kc_abi::call::Environment;
use kc_ir::kernel::{Access, Index, Kernel, KernelBuilder};
use kc_mlir::interface::Options;
use std::time::Instant;

/// `c[rows, columns] += a * b` over a depth `d0`; `a` row-major with stride `d0` or packed by rows, `b` packed by columns.
fn microkernel(rows: i64, columns: i64, lanes: u32, packed: bool) -> Kernel {
    let mut builder = KernelBuilder::new(&format!("gemm_{rows}x{columns}"));
    let a = builder.parameter("a", DType::F32, Access::Read);
    let b = builder.parameter("b", DType::F32, Access::Read);
    let c = builder.parameter("c", DType::F32, Access::Write);
    let zero = builder.constant(DType::F32, lanes, 0.0);
    let vectors = columns / i64::from(lanes);
    let initial = vec![zero; (rows * vectors) as usize];
    let depth = Index::Dim(0);
    let sums = builder.for_carrying(0, depth.clone(), 1, &initial, |builder, k, sums| {
        let right: Vec<_> =
            (0..vectors).map(|j| builder.load(b, k.clone() * columns + j * i64::from(lanes), lanes, None)).collect();
        let mut next = Vec::new();
        for i in 0..rows {
            let position = if packed { k.clone() * rows + i } else { depth.clone() * i + k.clone() };
            let left = builder.load(a, position, 1, None);
            let left = builder.splat(lanes, left);
            for j in 0..vectors {
                next.push(builder.multiply_add(left, right[j as usize], sums[(i * vectors + j) as usize]));
            }
        }
        next
    });
    let task = builder.task();
    for i in 0..rows {
        for j in 0..vectors {
            let position = task.clone() * (rows * columns) + (i * columns + j * i64::from(lanes));
            builder.store(c, position, sums[(i * vectors + j) as usize], None);
        }
    }
    builder.finish(1)
}

/// GFLOP/s of independent FMAs in registers.
#[cfg(target_arch = "x86_64")]
fn peak() -> f64 {
    use std::arch::asm;
    let rounds = 20_000_000u64;
    let mut best = 0f64;
    for _ in 0..5 {
        let start = Instant::now();
        // SAFETY: only registers that are declared are written; the caller checked for AVX-512.
        unsafe {
            asm!(
                "2:",
                "vfmadd213ps zmm0, zmm12, zmm13", "vfmadd213ps zmm1, zmm12, zmm13", "vfmadd213ps zmm2, zmm12, zmm13",
                "vfmadd213ps zmm3, zmm12, zmm13", "vfmadd213ps zmm4, zmm12, zmm13", "vfmadd213ps zmm5, zmm12, zmm13",
                "vfmadd213ps zmm6, zmm12, zmm13", "vfmadd213ps zmm7, zmm12, zmm13", "vfmadd213ps zmm8, zmm12, zmm13",
                "vfmadd213ps zmm9, zmm12, zmm13", "vfmadd213ps zmm10, zmm12, zmm13", "vfmadd213ps zmm11, zmm12, zmm13",
                "dec {n}", "jnz 2b",
                n = inout(reg) rounds => _,
                out("zmm0") _, out("zmm1") _, out("zmm2") _, out("zmm3") _, out("zmm4") _, out("zmm5") _, out("zmm6") _,
                out("zmm7") _, out("zmm8") _, out("zmm9") _, out("zmm10") _, out("zmm11") _,
            );
        }
        best = best.max(rounds as f64 * 12.0 * 32.0 / start.elapsed().as_secs_f64() / 1e9);
    }
    best
}

#[cfg(target_arch = "x86_64")]
fn main() {
    if !std::arch::is_x86_feature_detected!("avx512f") {
        println!("needs AVX-512");
        return;
    }
    let depth = 256i64;
    println!("{:<16} {:>10} {:>12} {:>10} {:>8}", "kernel", "compile ms", "GFLOP/s", "FMA peak", "share");
    for packed in [true, false] {
        for (rows, columns) in [(8, 48), (12, 32), (14, 32), (6, 64), (6, 32), (4, 64)] {
            let kernel = microkernel(rows, columns, 16, packed);
            let start = Instant::now();
            let loaded = match support::Loaded::compile(std::slice::from_ref(&kernel), &Options::default()) {
                Ok(loaded) => loaded,
                Err(error) => return println!("{error}"),
            };
            let compile = start.elapsed();
            let mut a = aligned((rows * depth) as usize);
            let mut b = aligned((columns * depth) as usize);
            let mut c = aligned((rows * columns) as usize);
            let buffers = [a.as_mut_ptr().cast(), b.as_mut_ptr().cast(), c.as_mut_ptr().cast()];
            let environment = Environment { intrinsics: std::ptr::null(), scratch: std::ptr::null_mut() };
            let (calls, mut best, mut peak_best) = (20_000, 0f64, 0f64);
            for _ in 0..5 {
                peak_best = peak_best.max(peak());
                let start = Instant::now();
                for _ in 0..calls {
                    // SAFETY: the buffers are as large as the kernel's loops go.
                    unsafe { loaded.run(0, &buffers, &[depth], 0..1, &environment) };
                }
                let flops = (2 * rows * columns * depth * calls) as f64;
                best = best.max(flops / start.elapsed().as_secs_f64() / 1e9);
            }
            let name = format!("{rows}x{columns}{}", if packed { "" } else { " rows" });
            let share = 100.0 * best / peak_best;
            println!("{name:<16} {:>10.1} {best:>12.1} {peak_best:>10.1} {share:>7.1}%", compile.as_secs_f64() * 1e3);
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn main() {
    println!("measures AVX-512 only");
}

#[cfg(target_arch = "x86_64")]
#[repr(align(64))]
#[derive(Clone)]
struct Line([f32; 16]);

/// Zeroed memory that starts at a cache line.
#[cfg(target_arch = "x86_64")]
struct Aligned(Vec<Line>);

#[cfg(target_arch = "x86_64")]
impl Aligned {
    fn as_mut_ptr(&mut self) -> *mut f32 {
        self.0[0].0.as_mut_ptr()
    }
}

#[cfg(target_arch = "x86_64")]
fn aligned(elements: usize) -> Aligned {
    Aligned(vec![Line([0.5; 16]); elements.div_ceil(16)])
}
