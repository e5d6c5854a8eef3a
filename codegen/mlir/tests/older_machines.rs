//! Code for machines that have less than this one, against the kernel interpreter, bit for bit (any NaN equals any NaN). The suite of
//! all back ends runs on what this machine has.

mod support;

use kc_abi::DType;
use kc_abi::call::Environment;
use kc_ir::kernel::interpret::{MultiplyAddRounding, run_kernel_rounding};
use kc_ir::kernel::*;
use kc_ir::tensor::ops::{Binary, Unary};
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

/// Less than this machine has: other expansions, the same bits.
#[cfg(target_arch = "x86_64")]
/// Products of groups of lanes: the group of one factor in all lanes, and a group of which only the first lanes are read.
fn groups() -> Vec<Case> {
    let mut cases = Vec::new();
    let integers = [(DType::I8, DType::I8), (DType::I8, DType::U8), (DType::U8, DType::I8), (DType::U8, DType::U8)];
    for (left, right) in [(DType::Bf16, DType::Bf16)].into_iter().chain(integers) {
        let (sums, group) = if left.is_float() { (DType::F32, 2) } else { (DType::I32, 4) };
        // neither subnormal nor with subnormal products: these may be taken for zeros
        let numbers = |dtype: DType, count: usize, seed: i64| -> Vec<u8> {
            let number = |i: i64| (i * 7919 + seed * 104729) % 255 - 127;
            let literal = |i: i64| match dtype {
                DType::U8 => Literal::scalar(dtype, Scalar::Int((number(i) + 127).into())),
                _ if dtype.is_float() => Literal::scalar(dtype, number(i) as f64 / 3.0),
                _ => Literal::scalar(dtype, Scalar::Int(number(i).into())),
            };
            (0..count as i64).flat_map(|i| literal(i).bytes().to_vec()).collect()
        };
        for lanes in [1u32, 2, 4, 8, 16, 32] {
            let mut builder = KernelBuilder::new(&format!("groups_{left}_{right}_{lanes}"));
            let x = builder.parameter("x", left, Access::Read);
            let y = builder.parameter("y", right, Access::Read);
            let z = builder.parameter("z", sums, Access::ReadWrite);
            let width = lanes * group;
            let place = builder.task() * i64::from(width);
            let vector = builder.load(x, place.clone(), width, None);
            let sum = builder.load(z, builder.task() * i64::from(lanes), lanes, None);
            let one = builder.load(y, place.clone(), group, None);
            let part = builder.load(y, place + i64::from(group), group, Some(Index::Constant(1)));
            let sum = [one, part].into_iter().fold(sum, |sum, factor| {
                let factor = builder.splat(width, factor);
                builder.multiply_add_groups(vector, factor, sum)
            });
            builder.store(z, builder.task() * i64::from(lanes), sum, None);
            let factors = elements(width) + group as usize;
            let buffers = vec![
                (left, numbers(left, factors, 1)),
                (right, numbers(right, factors, 2)),
                (sums, numbers(sums, elements(lanes), 3)),
            ];
            cases.push(Case { kernel: builder.finish(0), buffers, dims: vec![], tasks: TASKS });
        }
    }
    cases
}

#[test]
fn groups_of_lanes_on_this_machine() {
    check(&groups(), &Options::default());
}

#[test]
fn older_machines() {
    for features in [
        &[][..],
        &["avx", "avx2", "fma"],
        &["sse4.1"],
        &["avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "lzcnt", "popcnt"],
    ] {
        if !features.iter().all(|feature| {
            kc_mlir::cpu::Cpu::new(None, None, None).is_ok_and(|cpu| cpu.features().iter().any(|f| f == feature))
        }) {
            continue;
        }
        let options =
            Options { features: Some(features.iter().map(|f| f.to_string()).collect()), ..Options::default() };
        let mut cases = conversions(&[8]);
        cases.extend(parts());
        cases.extend(groups());
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
