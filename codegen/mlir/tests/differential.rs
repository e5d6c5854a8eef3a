//! Every construct of the kernel IR against the kernel interpreter, bit for bit (any NaN equals any NaN).

mod support;

use kc_abi::DType;
use kc_abi::call::{Environment, MathFunction};
use kc_ir::kernel::interpret::{MultiplyAddRounding, run_kernel_rounding};
use kc_ir::kernel::*;
use kc_ir::tensor::ops::{Binary, Compare, Domain, Reduction, Unary};
use kc_ir::tensor::{Literal, Scalar};
use kc_mlir::interface::Options;
use support::{Loaded, intrinsics};

/// A kernel, what it is given, and which tasks run.
struct Case {
    kernel: Kernel,
    buffers: Vec<(DType, Vec<u8>)>,
    dims: Vec<i64>,
    tasks: i64,
}

/// Compiles all cases into one image, runs them, and compares every buffer with the interpreter's.
fn check(cases: &[Case], options: &Options) {
    let kernels: Vec<Kernel> = cases.iter().map(|case| case.kernel.clone()).collect();
    let loaded = Loaded::compile(&kernels, options).unwrap_or_else(|error| panic!("{error}"));
    let fused = loaded.features.iter().any(|feature| feature == "fma") || cfg!(target_arch = "aarch64");
    let rounding = if fused { MultiplyAddRounding::Once } else { MultiplyAddRounding::Twice };
    for (number, case) in cases.iter().enumerate() {
        let name = &case.kernel.name;
        let mut expected: Vec<Vec<u8>> = case.buffers.iter().map(|(_, bytes)| bytes.clone()).collect();
        run_kernel_rounding(&case.kernel, rounding, &mut expected, &case.dims, 0..case.tasks)
            .unwrap_or_else(|error| panic!("{error}"));
        let mut actual: Vec<support::Memory> =
            case.buffers.iter().map(|(_, bytes)| support::Memory::new(bytes)).collect();
        let mut scratch = support::Memory::new(&vec![0xff; case.kernel.scratch_layout().1 as usize]);
        let environment = Environment { intrinsics: intrinsics(), scratch: scratch.pointer() };
        let pointers: Vec<*mut u8> = actual.iter_mut().map(support::Memory::pointer).collect();
        let middle = case.tasks / 2;
        // SAFETY: the interpreter found no access out of bounds for the same sizes.
        unsafe {
            loaded.run(number, &pointers, &case.dims, middle..case.tasks, &environment);
            loaded.run(number, &pointers, &case.dims, 0..middle, &environment);
        }
        for (i, (dtype, given)) in case.buffers.iter().enumerate() {
            let writes = !matches!(case.kernel.memory[i].space, Space::Parameter(Access::Read));
            let expected = if writes { &expected[i] } else { given };
            compare(name, i, *dtype, actual[i].bytes(), expected);
        }
    }
}

fn compare(kernel: &str, buffer: usize, dtype: DType, actual: &[u8], expected: &[u8]) {
    let count = actual.len() / dtype.bytes();
    let read = |bytes: &[u8]| Literal::from_bytes(dtype, vec![count], bytes.to_vec()).expect("the sizes agree");
    let (a, e) = (read(actual), read(expected));
    for position in 0..count {
        let bits = position * dtype.bytes()..(position + 1) * dtype.bytes();
        let both_nan = matches!((a.get(position), e.get(position)), (Scalar::Float(x), Scalar::Float(y)) if x.is_nan() && y.is_nan());
        assert!(
            both_nan || actual[bits.clone()] == expected[bits],
            "{kernel}, buffer {buffer}, element {position}: {:?}, expected {:?}",
            a.get(position),
            e.get(position)
        );
    }
}

/// Elements of a dtype: what is special about it, then arbitrary bits.
fn values(dtype: DType, count: usize, mut seed: u64) -> Vec<u8> {
    let special: &[f64] = &[
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        -0.5,
        1.5,
        2.5,
        -2.5,
        3.0,
        127.0,
        128.0,
        -129.0,
        255.5,
        65504.0,
        65520.0,
        1e-7,
        -6e-8,
        2.98e-8,
        1e-40,
        1e-310,
        2147483647.0,
        2147483648.0,
        -2147483649.0,
        4294967295.5,
        9.3e18,
        -9.3e18,
        1.85e19,
        3.4e38,
        1e39,
        1e308,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        1.00390625,
        1.01171875,
        1.00048828125,
        2049.0,
        2051.0,
        1.0000000596046448,
        16777217.0,
        9007199254740993.0,
    ];
    let mut bytes = Vec::new();
    for i in 0..count {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let random = seed.rotate_left(27) ^ seed >> 7;
        let literal = match (i % 3, dtype) {
            (_, DType::Bool) => Literal::scalar(dtype, Scalar::Int(i128::from(random & 1))),
            (0, _) if dtype.is_float() => Literal::scalar(dtype, special[random as usize % special.len()]),
            (0, _) => {
                let edge = [0, 1, -1, i64::MIN, i64::MAX, 1 << 31, -(1 << 31), 0x7fff, -0x8000, 127, -128, 3]
                    [random as usize % 12];
                Literal::scalar(dtype, Scalar::Int(i128::from(edge)))
            }
            (1, _) if dtype.is_float() => {
                Literal::scalar(dtype, (random as i32 as f64) / f64::from(1 << (random >> 40 & 31).min(30) as u32))
            }
            _ => {
                bytes.extend_from_slice(&random.to_le_bytes()[..dtype.bytes()]);
                continue;
            }
        };
        bytes.extend_from_slice(literal.bytes());
    }
    bytes
}

/// Integers in `low..high`.
fn small(dtype: DType, count: usize, low: i64, high: i64) -> Vec<u8> {
    let values = (0..count as i64).map(|i| Scalar::Int(i128::from(low + i * 7 % (high - low))));
    Literal::from_scalars(dtype, vec![count], values).bytes().to_vec()
}

const TASKS: i64 = 12;

/// A kernel that applies functions lanewise to `x`, `y`, `z` of `lanes * TASKS` elements and writes each result behind the other.
fn lanewise(
    name: &str,
    lanes: u32,
    inputs: Vec<(DType, Vec<u8>)>,
    output: DType,
    functions: usize,
    body: impl Fn(&mut KernelBuilder, usize, &[Register]) -> Register,
) -> Case {
    let mut builder = KernelBuilder::new(name);
    let memories: Vec<MemoryId> = inputs
        .iter()
        .enumerate()
        .map(|(i, (dtype, _))| builder.parameter(&format!("x{i}"), *dtype, Access::Read))
        .collect();
    let out = builder.parameter("out", output, Access::Write);
    let position = builder.task() * i64::from(lanes);
    let registers: Vec<Register> =
        memories.iter().map(|&memory| builder.load(memory, position.clone(), lanes, None)).collect();
    for function in 0..functions {
        let result = body(&mut builder, function, &registers);
        let width = i64::from(builder.register_type(result).lanes);
        let place = (builder.task() * functions as i64 + function as i64) * width;
        builder.store(out, place, result, None);
    }
    let (kernel, results) = {
        let width = i64::from(lanes);
        (builder.finish(0), functions * (width * TASKS) as usize)
    };
    let mut buffers = inputs;
    buffers.push((output, vec![0xff; results * output.bytes()]));
    if output == DType::Bool {
        buffers.last_mut().expect("it was pushed").1.fill(0);
    }
    Case { kernel, buffers, dims: vec![], tasks: TASKS }
}

fn elements(lanes: u32) -> usize {
    lanes as usize * TASKS as usize
}

#[test]
fn functions_of_one_operand() {
    let mut cases = Vec::new();
    for &dtype in DType::ALL {
        let functions: Vec<Unary> = Unary::ALL
            .iter()
            .copied()
            .filter(|function| is_basic(*function) && function.domain().contains(dtype))
            .collect();
        for lanes in [1, 2, 16] {
            let inputs = vec![(dtype, values(dtype, elements(lanes), u64::from(lanes)))];
            let apply = |builder: &mut KernelBuilder, i: usize, x: &[Register]| builder.unary(functions[i], x[0]);
            cases.push(lanewise(&format!("unary_{dtype}_{lanes}"), lanes, inputs, dtype, functions.len(), apply));
        }
    }
    check(&cases, &Options::default());
}

#[test]
fn functions_of_two_operands() {
    let mut cases = Vec::new();
    for &dtype in DType::ALL {
        for &function in Binary::ALL {
            if !is_basic_binary(function) || !function.domain().contains(dtype) {
                continue;
            }
            for lanes in [1, 8, 32] {
                let count = elements(lanes);
                let right = match function {
                    Binary::ShiftLeft | Binary::ShiftRight => small(dtype, count, 0, i64::from(dtype.bits())),
                    Binary::Divide if dtype.is_integer() => small(dtype, count, 1, 100),
                    _ => values(dtype, count, 99),
                };
                let inputs = vec![(dtype, values(dtype, count, 7)), (dtype, right)];
                let name = format!("{}_{dtype}_{lanes}", function.text());
                cases.push(lanewise(&name, lanes, inputs, dtype, 1, |builder, _, x| {
                    builder.binary(function, x[0], x[1])
                }));
            }
        }
    }
    check(&cases, &Options::default());
}

#[test]
fn comparisons_and_choices() {
    let mut cases = Vec::new();
    for &dtype in DType::ALL {
        for lanes in [1, 4, 16] {
            let count = elements(lanes);
            let inputs = || vec![(dtype, values(dtype, count, 3)), (dtype, values(dtype, count, 4))];
            let name = format!("compare_{dtype}_{lanes}");
            cases.push(lanewise(&name, lanes, inputs(), DType::Bool, Compare::ALL.len(), |builder, i, x| {
                builder.compare(Compare::ALL[i], x[0], x[1])
            }));
            let mut inputs = inputs();
            inputs.push((DType::Bool, values(DType::Bool, count, 5)));
            cases.push(lanewise(&format!("select_{dtype}_{lanes}"), lanes, inputs, dtype, 1, |builder, _, x| {
                builder.select(x[2], x[0], x[1])
            }));
        }
    }
    check(&cases, &Options::default());
}

fn conversions(lanes: &[u32]) -> Vec<Case> {
    let mut cases = Vec::new();
    for &from in DType::ALL {
        for &to in DType::ALL {
            for &lanes in lanes {
                let inputs = vec![(from, values(from, elements(lanes), 11))];
                let name = format!("convert_{from}_{to}_{lanes}");
                cases.push(lanewise(&name, lanes, inputs.clone(), to, 1, |builder, _, x| builder.convert(to, x[0])));
                let sized = from.bytes() == to.bytes() && from != DType::Bool && to != DType::Bool;
                if sized && from != to {
                    let name = format!("bitcast_{from}_{to}_{lanes}");
                    cases.push(lanewise(&name, lanes, inputs, to, 1, |builder, _, x| builder.bitcast(to, x[0])));
                }
            }
        }
    }
    cases
}

#[test]
fn conversions_of_vectors_and_scalars() {
    check(&conversions(&[1, 16]), &Options::default());
}

#[test]
fn sums_with_a_product() {
    let mut cases = Vec::new();
    for &dtype in DType::ALL.iter().filter(|dtype| Domain::Number.contains(**dtype)) {
        for lanes in [1, 16] {
            let count = elements(lanes);
            let inputs = (1..4).map(|seed| (dtype, values(dtype, count, seed))).collect();
            cases.push(lanewise(&format!("multiply_add_{dtype}_{lanes}"), lanes, inputs, dtype, 1, |builder, _, x| {
                builder.multiply_add(x[0], x[1], x[2])
            }));
        }
    }
    check(&cases, &Options::default());
}

#[test]
fn lanes_reduced_in_a_tree() {
    let mut cases = Vec::new();
    let kinds = [Reduction::Sum, Reduction::Product, Reduction::Max, Reduction::Min];
    for &dtype in DType::ALL {
        let first = if dtype == DType::Bool { 2 } else { 0 };
        for lanes in [2, 8, 64] {
            let inputs = vec![(dtype, values(dtype, elements(lanes), 21))];
            let name = format!("reduce_{dtype}_{lanes}");
            cases.push(lanewise(&name, lanes, inputs, dtype, 4 - first, |builder, i, x| {
                builder.reduce_lanes(kinds[i + first], x[0])
            }));
        }
    }
    check(&cases, &Options::default());
}

/// `y[i] = x[i]`, a part of the lanes at a time, at positions that are not aligned; a constant lies beyond.
fn parts() -> Vec<Case> {
    let mut cases = Vec::new();
    for &dtype in DType::ALL {
        for lanes in [1u32, 4, 16, 64] {
            let mut builder = KernelBuilder::new(&format!("part_{dtype}_{lanes}"));
            let x = builder.parameter("x", dtype, Access::Read);
            let y = builder.parameter("y", dtype, Access::ReadWrite);
            let whole = builder.parameter("whole", dtype, Access::Write);
            let count = builder.task() - 1;
            let position = builder.task() * i64::from(lanes) + 1;
            let value = builder.load(x, position.clone(), lanes, Some(count.clone()));
            builder.store(y, position, value, Some(count));
            // lanes that are not read are 0
            let place = builder.task() * i64::from(lanes);
            builder.store(whole, place, value, None);
            let tasks = i64::from(lanes) + 4;
            let n = (tasks * i64::from(lanes)) as usize;
            let buffers = vec![
                (dtype, values(dtype, n + 1, 1)),
                (dtype, values(dtype, n + 1, 2)),
                (dtype, vec![0; n * dtype.bytes()]),
            ];
            cases.push(Case { kernel: builder.finish(0), buffers, dims: vec![], tasks });
        }
    }
    cases
}

#[test]
fn parts_of_vectors() {
    check(&parts(), &Options::default());
}

#[test]
fn text_kernels() {
    let index = r#"kernel index(y: i64 write; dims 2) task t0 {
  %0: i64 = position t0*3 - 7 step 0
  %1: i64 = position (t0 - 5)//d0 step 0
  %2: i64 = position (t0 - 5)%d0 step 0
  %3: i64 = position (t0 - 5)//8 step 0
  %4: i64 = position (t0 - 5)%8 step 0
  %5: i64 = position (t0 - 5)//7 step 0
  %6: i64 = position (t0 - 5)%7 step 0
  %7: i64 = position max(min(t0, d1), 3 - t0) step 0
  %8: i64 = position max(%0, 0)*t0 step 0
  %9: i8x16 = position t0*100 step 77
  %10: u32x4 = position t0 - 3 step -5
  %11: i64x16 = convert %9
  %12: i64x4 = convert %10
  store y[t0*32], %0
  store y[t0*32 + 1], %1
  store y[t0*32 + 2], %2
  store y[t0*32 + 3], %3
  store y[t0*32 + 4], %4
  store y[t0*32 + 5], %5
  store y[t0*32 + 6], %6
  store y[t0*32 + 7], %7
  store y[t0*32 + 8], %8
  store y[t0*32 + 12], %12
  store y[t0*32 + 16], %11
}
"#;
    let control = r#"kernel control(x: f32 read, "1 y": f32 readwrite; scratch row: f32[40], scratch other: i32[3]; dims 1) task t0 {
  %0: f32 = constant 0.0
  %1: f32 = constant 1.0
  %15: i32 = constant 41
  store other[1], %15
  (%2: f32, %3: f32) = for i1 in 0..d0 step 3 carry (%4 = %0, %5 = %1) {
    %6: f32 = load x[t0*d0 + i1]
    %7: bool = greater %6, %0
    (%8: f32) = if %7 {
      %9: f32 = add %4, %6
      yield %9
    } else {
      yield %5
    }
    store row[i1], %8
    yield %5, %8
  }
  for i2 in 0..d0 step 3 {
    %10: f32 = load row[i2]
    %11: bool = less %10, %1
    if %11 {
      store @1[t0*d0 + i2], %10
    }
  }
  %12: i32 = load other[1]
  %13: f32 = convert %12
  %14: f32 = add %2, %13
  store @1[t0*d0 + 1], %14
  store @1[t0*d0 + 2], %3
}
"#;
    let library = r#"kernel library(a: f32 read, b: f32 read, c: f32 readwrite, d: f64 readwrite; dims 1) task t0 {
  gemm c[t0*12 strides 4, 1] = a[t0*6 strides 1, 3] * b[0 strides 4, 1] size 3 by 4 by 2
  gemm c[t0*12 strides 4, 1] += a[t0*6 strides 2, 1] * b[0 strides 4, 1] size 3 by d0 by 2
  gemm d[t0*4 strides 2, 1] += d[t0*4 strides 2, 1] * d[t0*4 strides 1, 2] size 0 by 2 by 2
  %0: f32x4 = load c[t0*12]
  %1: f32x4 = math tanh(%0)
  %2: f32x4 = math atan2(%1, %0)
  store c[t0*12 + 4], %2
  %3: f64 = load d[t0*4]
  %4: f64 = math exp(%3)
  %5: f64 = math pow(%4, %3)
  store d[t0*4 + 1], %5
}
"#;
    let parse = |text: &str| parse_kernel(text).unwrap_or_else(|error| panic!("{error}"));
    let floats = |count: usize| {
        let values = (0..count).map(|i| Scalar::Float((i as f64 * 0.37).sin() * 2.0));
        Literal::from_scalars(DType::F32, vec![count], values).bytes().to_vec()
    };
    let doubles = Literal::from_scalars(DType::F64, vec![16], (0..16).map(|i| Scalar::Float(0.1 * f64::from(i))));
    let cases = [
        Case { kernel: parse(index), buffers: vec![(DType::I64, vec![0; 20 * 32 * 8])], dims: vec![3, 9], tasks: 20 },
        Case {
            kernel: parse(control),
            buffers: vec![(DType::F32, floats(40 * 5)), (DType::F32, floats(40 * 5))],
            dims: vec![37],
            tasks: 5,
        },
        Case {
            kernel: parse(library),
            buffers: vec![
                (DType::F32, floats(24)),
                (DType::F32, floats(8)),
                (DType::F32, floats(48)),
                (DType::F64, doubles.bytes().to_vec()),
            ],
            dims: vec![4],
            tasks: 4,
        },
    ];
    check(&cases, &Options::default());
}

/// Less than this machine has: other expansions, the same bits.
#[cfg(target_arch = "x86_64")]
#[test]
fn older_machines() {
    for features in
        [&["avx", "avx2", "fma"][..], &["sse4.1"], &["avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "lzcnt", "popcnt"]]
    {
        if !features.iter().all(|feature| {
            kc_mlir::cpu::Cpu::new(None, None, None).is_ok_and(|cpu| cpu.features().iter().any(|f| f == feature))
        }) {
            continue;
        }
        let options =
            Options { features: Some(features.iter().map(|f| f.to_string()).collect()), ..Options::default() };
        let mut cases = conversions(&[8]);
        cases.extend(parts());
        for dtype in [DType::F16, DType::F32, DType::F64, DType::Bf16] {
            let inputs: Vec<_> = (1..4).map(|seed| (dtype, values(dtype, elements(8), seed))).collect();
            cases.push(lanewise(&format!("old_{dtype}"), 8, inputs, dtype, 5, |builder, i, x| match i {
                0 => builder.multiply_add(x[0], x[1], x[2]),
                1 => builder.binary(Binary::Maximum, x[0], x[1]),
                2 => builder.unary(Unary::RoundEven, x[0]),
                3 => builder.unary(Unary::Floor, x[1]),
                _ => builder.unary(Unary::Sqrt, x[2]),
            }));
        }
        check(&cases, &options);
    }
}

#[test]
fn the_image_does_not_depend_on_the_number_of_threads() {
    let kernels: Vec<Kernel> = conversions(&[4]).into_iter().take(20).map(|case| case.kernel).collect();
    let image = |threads| {
        kc_mlir::compile(&kernels, &Options { threads: Some(threads), ..Options::default() }).expect("they compile")
    };
    let one = image(1);
    assert_eq!(one, image(3));
    assert_eq!(one, image(1));
}

#[test]
fn every_function_of_the_table_has_a_number() {
    let kernel = |function| {
        let mut builder = KernelBuilder::new("math");
        let x = builder.parameter("x", DType::F64, Access::ReadWrite);
        let value = builder.load(x, Index::Constant(0), 1, None);
        let operands = if function as u32 >= 64 { vec![value, value] } else { vec![value] };
        let result = builder.instruction(DType::F64, 1, Instruction::Math(function, operands));
        builder.store(x, Index::Constant(0), result, None);
        builder.finish(0)
    };
    let functions: Vec<MathFunction> = (0..128).filter_map(MathFunction::from_number).collect();
    assert!(functions.len() > 20);
    let half = || Literal::scalar(DType::F64, 0.5).bytes().to_vec();
    let cases: Vec<Case> = functions
        .into_iter()
        .map(|function| Case { kernel: kernel(function), buffers: vec![(DType::F64, half())], dims: vec![], tasks: 1 })
        .collect();
    check(&cases, &Options::default());
}
