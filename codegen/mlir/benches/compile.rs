//! What compilation costs, by stage, for a matrix product with its edges and an elementwise kernel with long bodies.

use kc_abi::DType;
use kc_ir::kernel::{Access, Index, Kernel, KernelBuilder};
use kc_ir::tensor::ops::Binary;
use kc_mlir::cpu::Cpu;
use kc_mlir::interface::{Options, Output};
use kc_mlir::machine::{Machine, PASSES};
use std::time::{Duration, Instant};

/// A tile of `c[d0, d1] = a[d0, d2] * b[d2, d1]` a task; the last columns are masked.
fn matrix_product(rows: i64, vectors: i64) -> Kernel {
    let lanes = 16u32;
    let mut builder = KernelBuilder::new(&format!("product_{rows}x{vectors}"));
    let a = builder.parameter("a", DType::F32, Access::Read);
    let b = builder.parameter("b", DType::F32, Access::Read);
    let c = builder.parameter("c", DType::F32, Access::Write);
    let (n, depth) = (Index::Dim(1), Index::Dim(2));
    let first_row = builder.task() * rows;
    builder.for_each(0, n.clone(), vectors * i64::from(lanes), |builder, column| {
        let zero = builder.constant(DType::F32, lanes, 0.0);
        let initial = vec![zero; (rows * vectors) as usize];
        let left = |j: i64| n.clone() - column.clone() - j * i64::from(lanes);
        let sums = builder.for_carrying(0, depth.clone(), 1, &initial, |builder, k, sums| {
            let right: Vec<_> = (0..vectors)
                .map(|j| {
                    let position = k.clone() * n.clone() + column.clone() + j * i64::from(lanes);
                    builder.load(b, position, lanes, Some(left(j)))
                })
                .collect();
            let mut next = Vec::new();
            for i in 0..rows {
                let x = builder.load(a, (first_row.clone() + i) * depth.clone() + k.clone(), 1, None);
                let x = builder.splat(lanes, x);
                for j in 0..vectors {
                    next.push(builder.multiply_add(x, right[j as usize], sums[(i * vectors + j) as usize]));
                }
            }
            next
        });
        for i in 0..rows {
            for j in 0..vectors {
                let position = (first_row.clone() + i) * n.clone() + column.clone() + j * i64::from(lanes);
                builder.store(c, position, sums[(i * vectors + j) as usize], Some(left(j)));
            }
        }
    });
    builder.finish(3)
}

/// `operations` dependent operations on every element.
fn elementwise(operations: usize) -> Kernel {
    let mut builder = KernelBuilder::new(&format!("elementwise_{operations}"));
    let x = builder.parameter("x", DType::F32, Access::Read);
    let y = builder.parameter("y", DType::F32, Access::ReadWrite);
    let (task, end) = (builder.task() * 1024, Index::Dim(0));
    builder.for_each(0, 1024, 16, |builder, i| {
        let position = task.clone() + i;
        let count = end.clone() - position.clone();
        let mut a = builder.load(x, position.clone(), 16, Some(count.clone()));
        let b = builder.load(y, position.clone(), 16, Some(count.clone()));
        for i in 0..operations {
            let c = builder.constant(DType::F32, 16, 0.1 + i as f64);
            a = match i % 4 {
                0 => builder.multiply_add(a, b, c),
                1 => builder.binary(Binary::Maximum, a, c),
                2 => builder.binary(Binary::Divide, a, b),
                _ => builder.binary(Binary::Subtract, a, b),
            };
        }
        builder.store(y, position, a, Some(count));
    });
    builder.finish(1)
}

fn main() {
    let pipelines = [("lean", PASSES), ("O1", "default<O1>"), ("O2", "default<O2>"), ("O3", "default<O3>")];
    let large: Vec<Kernel> = (0..4)
        .flat_map(|i| [matrix_product(12, 2), matrix_product(8, 3), elementwise(20 + i), elementwise(80 + i)])
        .collect();
    let small: Vec<Kernel> = (0..16).map(|_| elementwise(1)).collect();
    for kernels in [large, small] {
        measure(&kernels, &pipelines);
    }
}

fn measure(kernels: &[Kernel], pipelines: &[(&str, &str)]) {
    let cpu = Cpu::new(None, None, None).expect("the host is supported");
    let start = Instant::now();
    let machine = Machine::new(&cpu).expect("the host is supported");
    println!("machine {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
    println!("{} kernels, milliseconds", kernels.len());
    println!(
        "{:<6} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "passes", "translate", "mlir", "llvm", "object", "sum", "bytes"
    );
    for &(name, passes) in pipelines {
        let mut times = [Duration::ZERO; 4];
        let mut start = Instant::now();
        let mut lap = |i: usize| {
            times[i] += start.elapsed();
            start = Instant::now();
        };
        let functions = kernels.iter().enumerate().map(|(i, kernel)| kc_mlir::translate::translate(kernel, i, &cpu));
        let text = format!("module {{{}}}", functions.collect::<Result<String, _>>().expect("the kernels are lowered"));
        lap(0);
        let module = machine.module(&text).expect("the text is MLIR");
        lap(1);
        machine.optimize(&module, passes).expect("the passes exist");
        lap(2);
        let bytes = machine.object(&module).expect("the module is LLVM IR").len();
        lap(3);
        let [a, b, c, d] = times.map(|time| time.as_secs_f64() * 1e3);
        println!("{name:<6} {a:>9.1} {b:>9.1} {c:>9.1} {d:>9.1} {:>9.1} {bytes:>9}", a + b + c + d);
    }
    for threads in [1, 2] {
        let start = Instant::now();
        let options = Options { threads: Some(threads), output: Output::Image, ..Options::default() };
        let image = kc_mlir::compile(kernels, &options).expect("the kernels compile");
        println!("{threads} threads: {:.1} ms, {} bytes", start.elapsed().as_secs_f64() * 1e3, image.len());
    }
}
