//! Schedules compute what their graphs compute: every declared op by itself, and the networks of `schedule/`, on the
//! interpreters of both IRs.
//!
//! One file under `schedule/` is a module, a line `---`, and the program of its only function without the kernels' bodies.
//! `KC_BLESS=1` rewrites the program.

mod cases;

use kc_ir::kernel::interpret::run_program;
use kc_ir::kernel::{Kernel, Program, print_program, verify_program};
use kc_ir::manifest::{Input, InputRole, Output};
use kc_ir::tensor::ops::*;
use kc_ir::tensor::text::parse_module;
use kc_ir::tensor::{
    Argument, AssociativeScanOptions, Builder, Function, Graph, Literal, ResultSlot, Scalar, ScanOptions, TypeError,
    Value, interpret,
};
use kc_ir::{DType, Dim, Symbol, TensorType};
use kc_passes::{Contraction, Factors, TF32, Target, Traffic, differentiate, plan, schedule, schedule_apart, traffic};
use std::path::Path;

/// Machines whose programs differ.
fn targets() -> [Target; 3] {
    let baseline = Target::baseline();
    let wide = Target {
        vector_bytes: 64,
        vector_registers: 32,
        contraction: Contraction::Generated,
        groups: vec![DType::Bf16, DType::I8],
        ..baseline.clone()
    };
    // little contractions are large for these caches
    let small = Target { vector_bytes: 16, cache_bytes: [1 << 9, 1 << 11], ..wide.clone() };
    [baseline, wide, small]
}

/// Blocks of threads, and tensor cores.
fn gpu() -> Target {
    Target {
        vector_bytes: 2048,
        block_threads: 128,
        contraction: Contraction::Streamed,
        threads: 108,
        ..Target::baseline()
    }
}

/// A graph as an entry point whose parameters are inputs and whose results are outputs.
fn function(graph: Graph) -> Function {
    let input = |&value: &Value| Input {
        name: "x".into(),
        role: InputRole::Feature,
        ty: graph.tensor_type(value).clone(),
        checks: vec![],
    };
    let output = |&value: &Value| Output { name: "y".into(), ty: graph.tensor_type(value).clone() };
    Function {
        name: "f".into(),
        inputs: graph.parameters.iter().map(input).collect(),
        outputs: graph.results.iter().map(output).collect(),
        arguments: (0..graph.parameters.len()).map(Argument::Input).collect(),
        results: (0..graph.results.len()).map(ResultSlot::Output).collect(),
        graph,
    }
}

/// The largest difference that sums in f32 instead of f64 explain.
fn close(a: f64, b: f64, dtype: DType) -> bool {
    let tolerance = match dtype {
        DType::F64 => 1e-12,
        DType::F32 => 3e-6,
        DType::F16 => 2e-3,
        DType::Bf16 => 2e-2,
        _ => 0.0,
    };
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= tolerance * (1.0 + a.abs().max(b.abs()))
}

fn compare(name: &str, expected: &[Literal], given: &[Literal]) -> Result<(), String> {
    for (number, (expected, given)) in expected.iter().zip(given).enumerate() {
        if expected.ty() != given.ty() {
            return Err(format!("{name}: result {number} is {}, expected {}", given.ty(), expected.ty()));
        }
        for position in 0..expected.elements() {
            let (e, g) = (expected.get(position), given.get(position));
            if !close(e.to_f64(), g.to_f64(), expected.dtype()) {
                return Err(format!("{name}: result {number}, element {position} is {g:?}, expected {e:?}"));
            }
        }
    }
    Ok(())
}

/// Runs a function on the kernel interpreter for a target; the results in the function's order.
fn run(
    function: &Function,
    target: &Target,
    symbols: &[(Symbol, i64)],
    arguments: &[Literal],
) -> Result<Vec<Literal>, String> {
    let program = schedule(function, target).map_err(|error| error.to_string())?;
    verify_program(&program).map_err(|error| error.to_string())?;
    let values: Vec<i64> = program
        .symbols
        .iter()
        .map(|symbol| symbols.iter().find(|(known, _)| known == symbol).map_or(1, |(_, value)| *value))
        .collect();
    let mut inputs = vec![Literal::scalar(DType::F32, 0.0); function.inputs.len()];
    let mut state = vec![];
    for (&argument, literal) in function.arguments.iter().zip(arguments) {
        match argument {
            Argument::Input(input) => inputs[input] = literal.clone(),
            Argument::State(number) => {
                state.resize(state.len().max(number + 1), Literal::scalar(DType::F32, 0.0));
                state[number] = literal.clone();
            }
        }
    }
    let outputs = run_program(&program, &values, &inputs, &mut state)
        .map_err(|error| format!("{error}\n{}", print_program(&program)))?;
    Ok(function
        .results
        .iter()
        .map(|slot| match *slot {
            ResultSlot::Output(output) => outputs[output].clone(),
            ResultSlot::State(number) => state[number].clone(),
        })
        .collect())
}

/// An op that could join the kernel of an operand, which waits for what another operand is made of: the other way round it would wait
/// for itself.
#[test]
fn kernels_do_not_wait_for_each_other() {
    let mut b = Builder::new();
    let x = b.parameter("x", TensorType::new(DType::F32, [4i64, 8])).unwrap();
    let y = b.parameter("y", TensorType::new(DType::F32, [8i64])).unwrap();
    let c = b.unary(Unary::Exp, x).unwrap();
    let sums = b.reduce(Reduction::Sum, &[0], c).unwrap();
    let e = b.unary(Unary::Exp, y).unwrap();
    let spread = b.broadcast(e, &[Dim::constant(4), Dim::constant(8)], &[1]).unwrap();
    let shifted = b.binary(Binary::Add, c, spread).unwrap();
    let product = b.binary(Binary::Multiply, e, sums).unwrap();
    let function = function(b.finish(vec![shifted, product]));
    let numbers = |count: i64| (0..count).map(|i| Scalar::Float(i as f64 * 0.25 - 1.0)).collect::<Vec<_>>();
    let arguments = [
        Literal::from_scalars(DType::F32, vec![4, 8], numbers(32)),
        Literal::from_scalars(DType::F32, vec![8], numbers(8)),
    ];
    let expected = interpret(&function.graph, &arguments).unwrap();
    for target in targets() {
        let given = run(&function, &target, &[], &arguments).unwrap();
        compare("waiting", &expected, &given).unwrap();
    }
}

/// What a call launches and moves: rounds of loops each, parts of a launch each with its own buffers, what is kept apart.
#[test]
fn kernels_are_counted() {
    let target = Target::baseline();
    let count = |b: Builder, results: Vec<Value>, states: usize| {
        let mut function = function(b.finish(results));
        (0..states).for_each(|state| function.arguments[state] = Argument::State(state));
        traffic(&schedule(&function, &target).unwrap(), &|_| None)
    };
    let matrix = || TensorType::new(DType::F32, [64i64, 32]);
    let counted = |launches: f64, bytes: usize| (launches, bytes as f64);
    let of = |traffic: Traffic| (traffic.launches, traffic.bytes);

    // two sums over all rows of one matrix: one launch, in which each part reads the matrix
    let mut b = Builder::new();
    let x = b.parameter("x", matrix()).unwrap();
    let sums = [Reduction::Sum, Reduction::Max].map(|kind| b.reduce(kind, &[0], x).unwrap());
    let [call, kept] = count(b, sums.to_vec(), 0);
    assert_eq!((of(call), of(kept)), (counted(1.0, 4 * (2 * 64 * 32 + 2 * 32)), counted(0.0, 0)));

    // a scan of ten rounds, which starts from a copy and ends with one
    let mut b = Builder::new();
    let first = b.parameter("first", TensorType::new(DType::F32, [32i64])).unwrap();
    let rows = b.parameter("rows", TensorType::new(DType::F32, [10i64, 32])).unwrap();
    let options = ScanOptions { length: None, reverse: false };
    let scanned = b.scan(&[first], &[rows], &options, |b, carried, element| {
        let next = b.binary(Binary::Multiply, carried[0], element[0])?;
        Ok::<_, TypeError>((vec![next], vec![]))
    });
    let [call, _] = count(b, scanned.unwrap().carried, 0);
    assert_eq!(of(call), counted(12.0, 4 * (10 * 2 * 32 + 2 * 2 * 32)));

    // what depends on a weight alone is kept
    let mut b = Builder::new();
    let w = b.parameter("w", TensorType::new(DType::F32, [32i64])).unwrap();
    let x = b.parameter("x", matrix()).unwrap();
    let scaled = b.unary(Unary::Exp, w).unwrap();
    let sum = b.reduce(Reduction::Sum, &[0], scaled).unwrap();
    let y = b.reduce(Reduction::Sum, &[1], x).unwrap();
    let product = b.binary(Binary::Multiply, y, sum).unwrap();
    let [call, kept] = count(b, vec![product], 1);
    assert_eq!(of(kept), counted(1.0, 4 * (32 + 1)));
    assert_eq!(of(call), counted(1.0, 4 * (64 * 32 + 1 + 64)));
}

/// Products of bf16 and of 8-bit integers, which instructions sum by groups: of all layouts, with extents that fill no group, no tile and no
/// block, known and unknown, of operands that stay the same and of others.
#[test]
fn products_of_groups() {
    /// Extents of batch, rows, summed values and columns; whether either operand lies transposed.
    const PRODUCTS: [([i64; 4], [bool; 2]); 8] = [
        ([1, 40, 33, 21], [false, false]),
        ([1, 64, 64, 32], [false, false]),
        ([3, 17, 7, 16], [false, false]),
        ([1, 9, 2, 40], [false, true]),
        ([1, 70, 31, 37], [true, false]),
        ([2, 33, 130, 18], [true, true]),
        ([1, 1, 96, 48], [false, false]),
        ([1, 30, 5, 3], [false, false]),
    ];
    let dtypes = [(DType::Bf16, DType::Bf16), (DType::I8, DType::I8), (DType::U8, DType::I8), (DType::I8, DType::U8)];
    let values = |ty: &TensorType, batch: i64, seed: i64| {
        let shape: Vec<usize> = ty.shape.iter().map(|dim| dim.evaluate(&|_| Some(batch)).unwrap() as usize).collect();
        let number = |i: i64| (i * 7919 + seed * 31) % 256;
        let values = (0..shape.iter().product::<usize>() as i64).map(|i| match ty.dtype {
            DType::I8 => Scalar::Int((number(i) - 128).into()),
            DType::U8 => Scalar::Int(number(i).into()),
            _ => Scalar::Float((number(i) - 128) as f64 / 128.0),
        });
        Literal::from_scalars(ty.dtype, shape, values)
    };
    let operand = |b: &mut Builder, dtype: DType, shape: &[Dim]| {
        let x = b.parameter("x", TensorType { dtype, shape: shape.to_vec() }).unwrap();
        if dtype.is_float() { x } else { b.convert(DType::I32, x).unwrap() }
    };
    // programs with instructions of groups, and all
    let counts = std::cell::Cell::new([0, 0]);
    let check = |name: &str, mut b: Builder, result: Value, batch: i64| {
        // an epilogue
        let result = b.binary(Binary::Maximum, result, result).unwrap();
        let function = function(b.finish(vec![result]));
        let symbols = [(Symbol::new("B"), batch)];
        let graph = &function.graph;
        let arguments: Vec<Literal> =
            graph.parameters.iter().zip(1..).map(|(&p, seed)| values(graph.tensor_type(p), batch, seed)).collect();
        let expected = interpret(graph, &arguments).unwrap();
        for kept in [false, true] {
            let mut function = function.clone();
            if kept {
                function.arguments[1] = Argument::State(0);
            }
            for target in targets() {
                let program = schedule(&function, &target).unwrap();
                let has_groups = print_program(&program).contains("multiply_add_groups");
                assert!(!has_groups || !target.groups.is_empty());
                counts.set([counts.get()[0] + usize::from(has_groups), counts.get()[1] + 1]);
                let given = run(&function, &target, &symbols, &arguments);
                given.and_then(|given| compare(name, &expected, &given)).unwrap_or_else(|error| panic!("{error}"));
            }
        }
    };
    for (left, right) in dtypes {
        for ([batch, rows, summed, columns], transposed) in PRODUCTS {
            for symbolic in [false, true] {
                let mut b = Builder::new();
                // the extent that may be unknown is that of the rows, of the summed values where the left operand lies transposed
                let unknown = |n: i64, is_it: bool| if symbolic && is_it { Dim::symbol("B") } else { Dim::constant(n) };
                let (rows_extent, depth) = (unknown(rows, !transposed[0]), unknown(summed, transposed[0]));
                let extent = if transposed[0] { summed } else { rows };
                let mut shapes = [[rows_extent, depth.clone()], [depth, Dim::constant(columns)]];
                shapes.iter_mut().zip(transposed).filter(|(_, swapped)| *swapped).for_each(|(s, _)| s.reverse());
                let [lhs, rhs] = shapes.map(|shape| [vec![Dim::constant(batch)], shape.to_vec()].concat());
                let x = operand(&mut b, left, &lhs);
                let y = operand(&mut b, right, &rhs);
                let dot = DotGeneral {
                    lhs_batch: vec![0],
                    rhs_batch: vec![0],
                    lhs_contract: vec![if transposed[0] { 1 } else { 2 }],
                    rhs_contract: vec![if transposed[1] { 2 } else { 1 }],
                };
                let result = b.add(dot, &[x, y]).unwrap();
                let name = format!("{left} x {right}, {batch}x{rows}x{summed}x{columns}, {transposed:?}");
                check(&name, b, result, extent);
            }
        }
        // a matrix and a vector
        let mut b = Builder::new();
        let x = operand(&mut b, left, &[40, 33].map(Dim::constant));
        let y = operand(&mut b, right, &[Dim::constant(33)]);
        let dot = DotGeneral { lhs_batch: vec![], rhs_batch: vec![], lhs_contract: vec![1], rhs_contract: vec![0] };
        let result = b.add(dot, &[x, y]).unwrap();
        check(&format!("{left} x {right}, matrix and vector"), b, result, 1);
        // extent of images and channels, filters and features, stride
        for (size, channels, filter, features, stride) in
            [(6, 5, 3, 17, 1), (9, 3, 3, 20, 2), (5, 32, 1, 33, 1), (6, 8, 1, 16, 2), (4, 1, 2, 16, 1)]
        {
            let mut b = Builder::new();
            let images = [Dim::symbol("B"), Dim::constant(size), Dim::constant(size), Dim::constant(channels)];
            let x = operand(&mut b, left, &images);
            let y = operand(&mut b, right, &[filter, filter, channels, features].map(Dim::constant));
            let convolution = Convolution {
                strides: vec![stride; 2],
                padding: vec![(filter / 2, filter / 2); 2],
                lhs_dilation: vec![1; 2],
                rhs_dilation: vec![1; 2],
                ..cases::convolution(ConvolutionAxes::channels_last(2))
            };
            let result = b.add(convolution, &[x, y]).unwrap();
            let name = format!("{left} x {right}, image {size}, {channels} -> {features} by {filter}, stride {stride}");
            check(&name, b, result, 2);
        }
    }
    let [grouped, all] = counts.get();
    assert!(grouped > all / 3, "{grouped} of {all} have instructions of groups");
}

#[test]
fn every_op_by_itself() {
    let mut failures = vec![];
    let mut tried = 0;
    for case in cases::all() {
        if matches!(case.op, Op::Parameter(_) | Op::Gradient(Gradient {})) {
            continue;
        }
        let mut b = Builder::new();
        let operands: Vec<Value> =
            case.operands.iter().map(|operand| b.parameter("x", operand.ty()).unwrap()).collect();
        let value = b.add(case.op.clone(), &operands).unwrap();
        let results = b.projections(value).unwrap();
        let function = function(b.finish(results));
        let expected = interpret(&function.graph, &case.operands).unwrap();
        for target in targets().into_iter().chain([gpu()]) {
            tried += 1;
            let outcome =
                run(&function, &target, &[], &case.operands).map_err(|error| format!("{}: {error}", case.name));
            if let Err(failure) = outcome.and_then(|given| compare(&case.name, &expected, &given)) {
                failures.push(format!("{} lanes: {failure}", target.lanes()));
            }
        }
    }
    assert!(failures.is_empty(), "{} of {tried} fail\n{}", failures.len(), failures.join("\n"));
    assert!(tried > 100);
}

/// The derivatives of an op's weighted result by its operands, of which `shape` is the first one's.
fn derivatives(op: impl Into<Op>, shape: &[Dim], others: &[TensorType]) -> Graph {
    let mut b = Builder::new();
    let mut operands = vec![b.parameter("x", TensorType { dtype: DType::F64, shape: shape.to_vec() }).unwrap()];
    operands.extend(others.iter().map(|ty| b.parameter("w", ty.clone()).unwrap()));
    let y = b.add(op, &operands).unwrap();
    // weights that follow from the position
    let ty = b.tensor_type(y).clone();
    let mut scalar = b.binary(Binary::Multiply, y, y).unwrap();
    for axis in 0..ty.rank() {
        let position = b.add(Iota { ty: ty.clone(), axis }, &[]).unwrap();
        let position = b.unary(Unary::Cos, position).unwrap();
        scalar = b.binary(Binary::Multiply, scalar, position).unwrap();
    }
    let axes: Vec<usize> = (0..ty.rank()).collect();
    scalar = b.reduce(Reduction::Sum, &axes, scalar).unwrap();
    let arguments: Vec<Value> = [scalar].into_iter().chain(operands).collect();
    let gradient = b.add(Gradient {}, &arguments).unwrap();
    let results = b.projections(gradient).unwrap();
    differentiate(&b.finish(results)).unwrap()
}

#[test]
fn derivatives_over_unknown_extents_are_those_over_known_ones() {
    let window = |size: i64, stride: i64, padding: (i64, i64), dilation: (i64, i64)| Window {
        size: vec![1, size, 1],
        strides: vec![1, stride, 1],
        padding: vec![(0, 0), padding, (0, 0)],
        base_dilation: vec![1, dilation.0, 1],
        window_dilation: vec![1, dilation.1, 1],
    };
    let pooled = |kind, window| Op::from(ReduceWindow { kind, window });
    let convolution = |stride: i64, padding: (i64, i64), dilation: (i64, i64)| {
        Op::from(Convolution {
            strides: vec![stride],
            padding: vec![padding],
            lhs_dilation: vec![dilation.0],
            rhs_dilation: vec![dilation.1],
            ..cases::convolution(ConvolutionAxes::channels_last(1))
        })
    };
    let slice = |extent: &Dim| {
        let start = [0i64, 1, 0].map(Dim::constant).to_vec();
        let limit = vec![Dim::constant(2), extent.clone(), Dim::constant(3)];
        Op::from(Slice { start, limit, stride: vec![1, 3, 1] })
    };
    let kernel = TensorType::new(DType::F64, [3i64, 3, 2]);
    type Build<'a> = Box<dyn Fn(&Dim) -> Op + 'a>;
    let ops: Vec<(Build<'_>, Vec<TensorType>)> = vec![
        (Box::new(|_| pooled(Reduction::Sum, window(3, 2, (1, 1), (1, 1)))), vec![]),
        (Box::new(|_| pooled(Reduction::Sum, window(2, 3, (0, 1), (2, 2)))), vec![]),
        (Box::new(|_| pooled(Reduction::Max, window(2, 2, (0, 0), (1, 1)))), vec![]),
        (Box::new(|_| pooled(Reduction::Product, window(2, 2, (0, 1), (1, 2)))), vec![]),
        (Box::new(|_| convolution(2, (0, 1), (1, 1))), vec![kernel.clone()]),
        (Box::new(|_| convolution(3, (1, 2), (1, 1))), vec![kernel.clone()]),
        (Box::new(|_| convolution(2, (2, 2), (2, 2))), vec![kernel]),
        (Box::new(slice), vec![]),
    ];
    for (op, others) in &ops {
        let shape = |extent: Dim| vec![Dim::constant(2), extent, Dim::constant(3)];
        let unknown = derivatives(op(&Dim::symbol("T")), &shape(Dim::symbol("T")), others);
        let function = function(unknown);
        for extent in 4..10 {
            let known = derivatives(op(&Dim::constant(extent)), &shape(Dim::constant(extent)), others);
            let arguments: Vec<Literal> =
                known.parameters.iter().zip(1..).map(|(&p, seed)| sample(known.tensor_type(p), 1, seed)).collect();
            let expected = interpret(&known, &arguments).unwrap();
            let name = format!("{:?} of {extent}", op(&Dim::symbol("T")));
            let given = interpret(&function.graph, &arguments).unwrap_or_else(|error| panic!("{name}: {error}"));
            compare(&name, &expected, &given).unwrap();
            let given = run(&function, &targets()[1], &[(Symbol::new("T"), extent)], &arguments);
            given.and_then(|given| compare(&name, &expected, &given)).unwrap_or_else(|error| panic!("{error}"));
        }
    }
}

/// A tensor of reproducible values: integers below 7, floats within 1 of 0.
fn sample(ty: &kc_ir::TensorType, batch: i64, seed: u64) -> Literal {
    let shape: Vec<usize> = ty.shape.iter().map(|dim| dim.evaluate(&|_| Some(batch)).unwrap() as usize).collect();
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let values: Vec<Scalar> = (0..shape.iter().product::<usize>())
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            if ty.dtype.is_float() {
                Scalar::Float((state >> 11) as f64 / (1u64 << 52) as f64 - 1.0)
            } else {
                Scalar::Int((state % 7).into())
            }
        })
        .collect();
    Literal::from_scalars(ty.dtype, shape, values)
}

/// The program without the kernels' bodies: what shares a kernel, what is stored, in which step.
fn outline(program: &Program) -> String {
    let plan = plan(program, &mut vec![]);
    let text = print_program(program);
    let head = text.split("\n\nkernel ").next().unwrap_or(&text);
    format!("{head}\nslots {}\n", plan.slots.len())
}

#[test]
fn every_network_of_the_folder() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schedule");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut failures = vec![];
    for path in &paths {
        let text = std::fs::read_to_string(path).unwrap();
        let (input, expected) = text.split_once("---\n").unwrap_or((&text, ""));
        let module = parse_module(input).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let function = &module.functions[0];
        let name = path.file_name().unwrap().to_string_lossy().to_string();
        for batch in [1, 5, 16] {
            let arguments: Vec<Literal> = function
                .graph
                .parameters
                .iter()
                .zip(1..)
                .map(|(&p, seed)| sample(function.graph.tensor_type(p), batch, seed))
                .collect();
            let expected = interpret(&function.graph, &arguments).unwrap();
            for target in targets() {
                let outcome = run(function, &target, &[(Symbol::new("B"), batch)], &arguments);
                if let Err(failure) = outcome.and_then(|given| compare(&name, &expected, &given)) {
                    failures.push(format!("batch {batch}, {} lanes: {failure}", target.lanes()));
                }
            }
        }
        let given = outline(&schedule(function, &targets()[1]).unwrap());
        if given != expected && std::env::var_os("KC_BLESS").is_some() {
            std::fs::write(path, format!("{input}---\n{given}")).unwrap();
        } else if given != expected {
            failures.push(format!("{name}: expected\n{expected}got\n{given}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(!paths.is_empty());
}

#[test]
fn parts_along_the_last_axis_need_no_conditions() {
    let text = include_str!("schedule/parts_along_the_last_axis.txt");
    let module = parse_module(text.split_once("---\n").expect("a program follows").0).unwrap();
    for target in targets() {
        let program = print_program(&schedule_apart(&module.functions[0], &target).unwrap());
        assert!(!program.contains(" = if "), "{program}");
    }
}

/// Convolutions by tiles: at the edges of images, of odd extents, over several tasks and panels, of images seen through moves, with what
/// follows in the same kernel.
#[test]
fn products_of_one_column_are_sums_along_lines() {
    let n = Dim::constant;
    for (shape, column) in [
        (vec![Dim::symbol("B"), n(100)], vec![n(100), n(1)]),
        (vec![n(3), n(2), n(257)], vec![n(1), n(257), n(1)]),
        (vec![n(64)], vec![n(64), n(1)]),
    ] {
        let contract = column.iter().position(|extent| !extent.is(1)).unwrap();
        let mut b = Builder::new();
        let x = b.parameter("x", TensorType { dtype: DType::F32, shape: shape.clone() }).unwrap();
        let w = b.parameter("w", TensorType { dtype: DType::F32, shape: column }).unwrap();
        let dot = DotGeneral {
            lhs_batch: vec![],
            rhs_batch: vec![],
            lhs_contract: vec![shape.len() - 1],
            rhs_contract: vec![contract],
        };
        let y = b.add(dot, &[x, w]).unwrap();
        let function = function(b.finish(vec![y]));
        for (extent, target) in [1, 5].into_iter().flat_map(|extent| targets().map(|target| (extent, target))) {
            let arguments: Vec<Literal> = (function.graph.parameters.iter().zip(1..))
                .map(|(&p, seed)| sample(function.graph.tensor_type(p), extent, seed))
                .collect();
            let expected = interpret(&function.graph, &arguments).unwrap();
            let given = run(&function, &target, &[(Symbol::new("B"), extent)], &arguments).unwrap();
            for (e, g) in expected[0].scalars().zip(given[0].scalars()) {
                assert!((e.to_f64() - g.to_f64()).abs() < 1e-4, "{shape:?}: {g:?}, expected {e:?}");
            }
            let text = print_program(&schedule(&function, &target).unwrap());
            let by_lines = target.contraction == Contraction::Generated;
            assert_eq!(text.contains("reduce_sum"), by_lines, "{text}");
        }
    }
}

/// Transposes of whole squares, of incomplete ones, of unknown extents, of every dtype, and with what is computed on the way.
#[test]
fn transposes_go_by_squares() {
    let batch = Dim::symbol("B");
    let n = Dim::constant;
    let floats = [DType::F32, DType::F64, DType::Bf16, DType::I64, DType::U8, DType::Bool];
    for (shape, permutation) in [
        (vec![n(32), n(48)], vec![1, 0]),
        (vec![n(5), n(600)], vec![1, 0]),
        (vec![n(67), n(19)], vec![1, 0]),
        (vec![batch.clone(), n(40)], vec![1, 0]),
        (vec![n(33), batch.clone()], vec![1, 0]),
        (vec![batch.clone(), n(6), n(9), n(20)], vec![0, 3, 1, 2]),
        (vec![n(2), n(17), n(3), n(16)], vec![0, 2, 3, 1]),
        (vec![n(6), n(17), n(3), n(16)], vec![3, 2, 1, 0]),
    ] {
        for dtype in floats {
            let mut b = Builder::new();
            let x = b.parameter("x", TensorType { dtype, shape: shape.clone() }).unwrap();
            let last = shape.len() - 1;
            let y = b.transpose(x, &permutation).unwrap();
            let results = match dtype.is_float() {
                false => vec![y],
                true => {
                    let by_column =
                        b.parameter("c", TensorType { dtype, shape: vec![shape[permutation[last]].clone()] });
                    let turned = b.tensor_type(y).shape.clone();
                    let by_column = b.broadcast(by_column.unwrap(), &turned, &[last]).unwrap();
                    let sum = b.binary(Binary::Add, y, by_column).unwrap();
                    vec![sum, b.unary(Unary::Negate, sum).unwrap()]
                }
            };
            let function = function(b.finish(results));
            for (extent, target) in [1, 16, 21].into_iter().flat_map(|extent| targets().map(|target| (extent, target)))
            {
                let arguments: Vec<Literal> = (function.graph.parameters.iter().zip(1..))
                    .map(|(&p, seed)| sample(function.graph.tensor_type(p), extent, seed))
                    .collect();
                let expected = interpret(&function.graph, &arguments).unwrap();
                let given = run(&function, &target, &[(Symbol::new("B"), extent)], &arguments).unwrap();
                assert_eq!(expected, given, "{dtype} {shape:?} {permutation:?}");
                let text = print_program(&schedule(&function, &target).unwrap());
                let by_squares = target.vector_bytes as usize / dtype.bytes().max(4) >= 4;
                assert_eq!(text.contains("interleave_low"), by_squares, "{text}");
            }
        }
    }
}

#[test]
fn convolutions_by_tiles() {
    use kc_ir::tensor::composites::{WinogradConvolution, WinogradFilters};
    for (image, channels, features, padding) in [
        ([6, 6], 16, 32, [(1, 1), (1, 1)]),
        ([7, 5], 3, 10, [(1, 1), (0, 2)]),
        ([9, 4], 20, 70, [(0, 0), (2, 1)]),
        ([3, 13], 33, 17, [(0, 1), (0, 0)]),
    ] {
        let mut b = Builder::new();
        let ty = |shape: [Dim; 4]| TensorType { dtype: DType::F32, shape: shape.to_vec() };
        let batch = Dim::symbol("B");
        let [height, width] = image.map(Dim::constant);
        let x = b.parameter("x", ty([batch.clone(), width, height, Dim::constant(channels)])).unwrap();
        let k = b.parameter("k", ty([3, 3, channels, features].map(Dim::constant))).unwrap();
        let bias = b.parameter("b", TensorType::new(DType::F32, [features])).unwrap();
        let turned = b.transpose(x, &[0, 2, 1, 3]).unwrap();
        let filters = b.add(WinogradFilters {}, &[k]).unwrap();
        let y = b.add(WinogradConvolution { padding, features }, &[turned, filters]).unwrap();
        let shape = b.tensor_type(y).shape.clone();
        let bias = b.broadcast(bias, &shape, &[3]).unwrap();
        let sum = b.binary(Binary::Add, y, bias).unwrap();
        let zero = b.splat_like(0.0, sum).unwrap();
        let relu = b.binary(Binary::Maximum, sum, zero).unwrap();
        let function = function(b.finish(vec![relu]));
        for (batch, target) in [1, 3].into_iter().flat_map(|batch| targets().map(|target| (batch, target))) {
            let arguments: Vec<Literal> = (function.graph.parameters.iter().zip(1..))
                .map(|(&p, seed)| sample(function.graph.tensor_type(p), batch, seed))
                .collect();
            let expected = interpret(&function.graph, &arguments).unwrap();
            let largest = expected[0].scalars().map(|x| x.to_f64().abs()).fold(1.0, f64::max);
            let given = run(&function, &target, &[(Symbol::new("B"), batch)], &arguments).unwrap();
            for (e, g) in expected[0].scalars().zip(given[0].scalars()) {
                let difference = (e.to_f64() - g.to_f64()).abs();
                assert!(difference <= 16.0 * f64::from(f32::EPSILON) * largest, "{image:?}: {g:?}, expected {e:?}");
            }
            let program = schedule_apart(&function, &target).unwrap();
            let is_one = target.contraction == Contraction::Generated;
            assert!(
                !is_one || program.kernels.iter().any(|kernel| kernel.name.contains("winograd")),
                "{}",
                print_program(&program)
            );
        }
    }
}

/// Attention and its gradients over several blocks of rows and columns; no buffer holds all scores.
#[test]
fn attention_in_blocks() {
    use kc_ir::Dim;
    use kc_ir::tensor::Real;
    use kc_ir::tensor::composites::DotProductAttention;
    use kc_ir::tensor::ops::{Binary, Reduction};
    let plain = DotProductAttention {
        scale: Real(0.4),
        causal: false,
        bias: false,
        mask: false,
        zero_excluded: false,
        dropout: Real(0.0),
    };
    let causal = DotProductAttention { causal: true, ..plain.clone() };
    let masked = DotProductAttention { mask: true, ..plain.clone() };
    let symbol = || Dim::symbol("T");
    let [long, longer] = [70, 150].map(Dim::constant);
    for (attention, rows, columns) in [
        (plain.clone(), long.clone(), longer.clone()),
        (causal.clone(), longer.clone(), longer.clone()),
        (causal, symbol(), symbol()),
        (DotProductAttention { bias: true, zero_excluded: true, ..masked.clone() }, long.clone(), longer.clone()),
        (DotProductAttention { causal: true, ..masked }, long, symbol()),
    ] {
        let mut b = Builder::new();
        let ty = |dtype, shape: [Dim; 4]| kc_ir::TensorType { dtype, shape: shape.to_vec() };
        let float = |shape| ty(DType::F32, shape);
        let (batch, two) = (Dim::symbol("B"), Dim::constant(2));
        let [five, three] = [5, 3].map(Dim::constant);
        let mut types = vec![
            float([batch.clone(), rows.clone(), two.clone(), five.clone()]),
            float([batch.clone(), columns.clone(), two.clone(), five]),
            float([batch.clone(), columns.clone(), two.clone(), three.clone()]),
        ];
        if attention.bias {
            types.push(float([Dim::constant(1), two.clone(), rows.clone(), columns.clone()]));
        }
        if attention.mask {
            types.push(ty(DType::Bool, [batch.clone(), Dim::constant(1), rows.clone(), columns.clone()]));
        }
        types.push(float([batch, rows.clone(), two, three]));
        let operands: Vec<Value> = types.iter().map(|ty| b.parameter("x", ty.clone()).unwrap()).collect();
        let tuple = b.add(attention.clone(), &operands[..operands.len() - 1]).unwrap();
        let results = b.projections(tuple).unwrap();
        let product = b.binary(Binary::Multiply, results[0], operands[operands.len() - 1]).unwrap();
        let loss = b.reduce(Reduction::Sum, &[0, 1, 2, 3], product).unwrap();
        let gradients = b.add(Gradient {}, &[loss, operands[0], operands[1], operands[2]]).unwrap();
        let gradients = b.projections(gradients).unwrap();
        // GPUs have a kernel of the attention, and compute the gradient from its parts
        let mut alone = Builder::new();
        let given: Vec<Value> = types.iter().map(|ty| alone.parameter("x", ty.clone()).unwrap()).collect();
        let tuple = alone.add(attention.clone(), &given[..given.len() - 1]).unwrap();
        let attended = alone.projections(tuple).unwrap()[0];
        let forward = function(alone.finish(vec![attended]));
        let graph = kc_passes::differentiate(&b.finish([&results[..1], &gradients].concat())).unwrap();
        let function = function(graph);
        for (batch, positions) in [(2, 45), (1, 130)] {
            let extent = |dim: &Dim| {
                dim.evaluate(&|symbol| Some(if *symbol == Symbol::new("B") { batch } else { positions })).unwrap()
                    as usize
            };
            let mut arguments = vec![];
            for (seed, ty) in (1..).zip(&types) {
                let shape: Vec<i64> = ty.shape.iter().map(|dim| extent(dim) as i64).collect();
                let literal = sample(&kc_ir::TensorType::new(ty.dtype, shape.iter().copied()), 1, seed);
                // the first row is excluded whole
                let first = |i: usize, value: Scalar| match i / shape[3] as usize % shape[2] as usize {
                    0 if ty.dtype == DType::Bool => Scalar::Int(0),
                    _ => value,
                };
                let values: Vec<Scalar> = literal.scalars().enumerate().map(|(i, value)| first(i, value)).collect();
                arguments.push(Literal::from_scalars(ty.dtype, literal.shape().to_vec(), values));
            }
            let expected = interpret(&function.graph, &arguments).unwrap();
            let whole = targets().map(|target| (&function, target));
            for (function, target) in whole.into_iter().chain([(&forward, gpu())]) {
                let symbols = [(Symbol::new("B"), batch), (Symbol::new("T"), positions)];
                let given = run(function, &target, &symbols, &arguments).unwrap();
                let expected = &expected[..given.len()];
                compare(&format!("{attention:?} {rows} {columns}"), expected, &given).unwrap();
                let program = schedule(function, &target).unwrap();
                let most = |dim: Dim| dim.evaluate(&|_| Some(64)).unwrap();
                let scores = most(Dim::constant(2) * Dim::symbol("B") * rows.clone() * columns.clone());
                let temporaries = program.buffers.iter().filter(|buffer| buffer.role == kc_ir::kernel::Role::Temporary);
                assert!(temporaries.map(|buffer| most(buffer.ty.elements())).all(|elements| elements < scores));
            }
        }
    }
}

/// The function with its second argument from the state.
fn with_state(function: &Function) -> Function {
    let mut arguments: Vec<Argument> = (0..function.arguments.len()).map(Argument::Input).collect();
    arguments[1] = Argument::State(0);
    Function { arguments, ..function.clone() }
}

/// Contractions in all layouts, with rows, columns and sums that fill no block.
fn contractions(dtype: DType) -> Vec<Graph> {
    let symbol = || Dim::symbol("B");
    let number = Dim::constant;
    let product = |left: [Dim; 2], right: [Dim; 2], axes: [usize; 2]| {
        let mut b = Builder::new();
        let left = b.parameter("left", TensorType { dtype, shape: left.to_vec() }).unwrap();
        let right = b.parameter("right", TensorType { dtype, shape: right.to_vec() }).unwrap();
        let (lhs_contract, rhs_contract) = (vec![axes[0]], vec![axes[1]]);
        let dot = DotGeneral { lhs_batch: vec![], rhs_batch: vec![], lhs_contract, rhs_contract };
        let product = b.add(dot, &[left, right]).unwrap();
        // an epilogue that reads another tensor at the same index
        let shape = b.tensor_type(product).clone();
        let other = b.parameter("other", shape).unwrap();
        let sum = b.binary(Binary::Add, product, other).unwrap();
        b.finish(vec![sum])
    };
    let convolution = |stride: i64, gradient: Option<usize>| {
        let mut b = Builder::new();
        let x = b.parameter("x", TensorType { dtype, shape: vec![symbol(), number(11), number(12), number(8)] });
        let w = b.parameter("w", TensorType::new(dtype, [3i64, 3, 8, 20])).unwrap();
        let operands = [x.unwrap(), w];
        let channels_last = cases::convolution(ConvolutionAxes::channels_last(2));
        let y = b.add(Convolution { strides: vec![stride; 2], ..channels_last }, &operands).unwrap();
        let Some(operand) = gradient else { return b.finish(vec![y]) };
        let shape = b.tensor_type(y).clone();
        let dy = b.parameter("dy", shape).unwrap();
        let weighted = b.binary(Binary::Multiply, y, dy).unwrap();
        let loss = b.reduce(Reduction::Sum, &[0, 1, 2, 3], weighted).unwrap();
        let gradient = b.add(Gradient {}, &[loss, operands[operand]]).unwrap();
        let results = b.projections(gradient).unwrap();
        differentiate(&b.finish(results)).unwrap()
    };
    let mut graphs = vec![
        product([symbol(), number(40)], [number(40), number(37)], [1, 0]),
        product([number(59), number(64)], [number(64), number(32)], [1, 0]),
        product([number(40), number(61)], [number(40), number(33)], [0, 0]),
        product([number(64), number(61)], [number(64), number(33)], [0, 0]),
        product([symbol(), number(70)], [symbol(), number(36)], [0, 0]),
        product([number(45), number(50)], [number(26), number(50)], [1, 1]),
    ];
    for stride in [1, 2] {
        graphs.extend([None, Some(0), Some(1)].map(|gradient| convolution(stride, gradient)));
    }
    // values of the right operand for each of a batch, and with two axes in the result
    let weights = |left: [Dim; 3], right: [i64; 3], batch: Vec<usize>| {
        let mut b = Builder::new();
        let left = b.parameter("left", TensorType { dtype, shape: left.to_vec() }).unwrap();
        let right = b.parameter("right", TensorType::new(dtype, right)).unwrap();
        let rhs_contract = vec![batch.len()];
        let dot = DotGeneral { lhs_batch: batch.clone(), rhs_batch: batch, lhs_contract: vec![2], rhs_contract };
        let product = b.add(dot, &[left, right]).unwrap();
        let product = b.unary(Unary::Negate, product).unwrap();
        b.finish(vec![product])
    };
    graphs.push(weights([number(3), number(50), number(34)], [3, 34, 21], vec![0]));
    graphs.push(weights([symbol(), number(40), number(34)], [34, 2, 21], vec![]));
    // few rows of each of a batch
    graphs.push(weights([symbol(), number(3), number(34)], [34, 2, 21], vec![]));
    graphs
}

/// Values of a tensor that are quarters, so that every order of summation gives the same.
fn quarters(literal: Literal) -> Literal {
    let values: Vec<Scalar> =
        literal.scalars().map(|value| Scalar::Float((value.to_f64() * 4.0).round() / 4.0)).collect();
    Literal::from_scalars(literal.dtype(), literal.shape().to_vec(), values)
}

/// Contractions that are large for the caches are computed in blocks, with the same result; so are those whose right operand is state, which
/// is packed once for all calls.
#[test]
fn contractions_in_blocks() {
    let graphs = contractions(DType::F32);
    let (mut in_blocks, mut packed) = (0, 0);
    for (number, graph) in graphs.into_iter().enumerate() {
        let function = function(graph);
        for target in targets() {
            let has = |program: &Program, name: &str| {
                program.kernels.iter().any(|kernel| kernel.memory.iter().any(|memory| memory.name == name))
            };
            in_blocks += usize::from(has(&schedule(&function, &target).unwrap(), "right"));
            let program = schedule(&with_state(&function), &target).unwrap();
            packed += usize::from(has(&program, "packed") && program.kept > 0);
        }
        for batch in [1, 5, 70] {
            let parameters = function.graph.parameters.iter().zip(1..);
            let arguments: Vec<Literal> =
                parameters.map(|(&p, seed)| quarters(sample(function.graph.tensor_type(p), batch, seed))).collect();
            let expected = interpret(&function.graph, &arguments).unwrap();
            for target in targets() {
                // of many rows once is enough
                let with_state = (batch < 70 && target.lanes() == 4).then(|| with_state(&function));
                for function in [Some(&function), with_state.as_ref()].into_iter().flatten() {
                    let given = run(function, &target, &[(Symbol::new("B"), batch)], &arguments).unwrap();
                    let name = format!("graph {number}, batch {batch}, {} lanes", target.lanes());
                    compare(&name, &expected, &given).unwrap();
                }
            }
            if function
                .graph
                .parameters
                .iter()
                .all(|&p| function.graph.tensor_type(p).elements().as_constant().is_some())
            {
                break;
            }
        }
    }
    assert!(in_blocks >= 12, "{in_blocks} programs copy operands");
    assert!(packed >= 9, "{packed} programs pack an operand");
}

/// Contractions on a GPU are products of tiles in shared memory, whatever the layouts and extents are: those of half-precision floats tensor
/// cores', those of f32 the threads' own.
#[test]
fn contractions_by_tiles() {
    let mut by_tiles = 0;
    for (dtype, processors, batch) in [(DType::Bf16, 2, 21), (DType::F16, 108, 1), (DType::F32, 2, 3)] {
        let target = Target { threads: processors, ..gpu() };
        for (number, graph) in contractions(dtype).into_iter().enumerate() {
            let function = function(graph);
            let program = schedule(&function, &target).unwrap();
            by_tiles += usize::from(program.kernels.iter().any(Kernel::is_for_gpu));
            let parameters = function.graph.parameters.iter().zip(1..);
            let arguments: Vec<Literal> =
                parameters.map(|(&p, seed)| quarters(sample(function.graph.tensor_type(p), batch, seed))).collect();
            let expected = interpret(&function.graph, &arguments).unwrap();
            let given = run(&function, &target, &[(Symbol::new("B"), batch)], &arguments).unwrap();
            compare(&format!("graph {number} of {dtype}, batch {batch}"), &expected, &given).unwrap();
        }
    }
    assert!(by_tiles >= 39, "{by_tiles} programs have tiles in shared memory");
}

/// Products of f32 by tensor cores have factors in tf32 where the target says so: within the bound, which factors of fewer bits exceed, and
/// not without an error.
#[test]
fn factors_in_tf32() {
    use kc_ir::kernel::fragment::to_tf32;
    let layouts = [([1], [0]), ([0], [0]), ([1], [1]), ([0], [1])];
    let (rows, depth, columns) = (40i64, 50i64, 36i64);
    let mut largest = [0.0f64; 2];
    for ([left], [right]) in layouts {
        let mut b = Builder::new();
        let x = b.parameter("x", TensorType::new(DType::F32, if left == 1 { [rows, depth] } else { [depth, rows] }));
        let w = TensorType::new(DType::F32, if right == 0 { [depth, columns] } else { [columns, depth] });
        let operands = [x.unwrap(), b.parameter("w", w).unwrap()];
        let dot =
            DotGeneral { lhs_batch: vec![], rhs_batch: vec![], lhs_contract: vec![left], rhs_contract: vec![right] };
        let product = b.add(dot, &operands).unwrap();
        let function = function(b.finish(vec![product]));
        let arguments: Vec<Literal> =
            (1..).zip(operands).map(|(seed, p)| sample(function.graph.tensor_type(p), 1, seed)).collect();
        let with = |round: fn(f32) -> f32| {
            let rounded: Vec<Literal> = arguments
                .iter()
                .map(|literal| {
                    let values = literal.scalars().map(|x| Scalar::Float(round(x.to_f64() as f32).into()));
                    Literal::from_scalars(DType::F32, literal.shape().to_vec(), values.collect::<Vec<_>>())
                })
                .collect();
            interpret(&function.graph, &rounded).unwrap().remove(0)
        };
        let (exact, magnitudes) = (with(|x| x), with(f32::abs));
        let brain = with(|x| f32::from_bits((x.to_bits() + 0x8000) & 0xffff_0000));
        let target = Target { factors: Factors::Tf32, ..gpu() };
        let given = run(&function, &target, &[], &arguments).unwrap().remove(0);
        compare("factors in tf32", &[with(to_tf32)], std::slice::from_ref(&given)).unwrap();
        for (largest, result) in largest.iter_mut().zip([&given, &brain]) {
            for ((result, exact), magnitude) in result.scalars().zip(exact.scalars()).zip(magnitudes.scalars()) {
                *largest = largest.max((result.to_f64() - exact.to_f64()).abs() / magnitude.to_f64());
            }
        }
    }
    let [tf32, brain] = largest;
    assert!(tf32 <= TF32 && tf32 > TF32 / 64.0, "{tf32} of {TF32}");
    assert!(brain > TF32 / 2.0 && brain > 4.0 * tf32, "{brain}, a mutant's");
}

/// Convolutions and both their gradients are products of tiles on a GPU, whose rows are all places of the result, whatever the strides,
/// dilations and padding are. Where there are too few tiles for the processors, the sums are computed in parts.
#[test]
fn convolutions_on_gpus_by_tiles() {
    let mut in_parts = 0;
    for (dtype, multiplied, processors, stride, dilation, padding) in [
        (DType::F32, Factors::F32, 2, 1, 1, (1, 1)),
        (DType::F32, Factors::F32, 108, 2, 1, (0, 1)),
        (DType::F32, Factors::Tf32, 2, 1, 2, (2, 2)),
        (DType::Bf16, Factors::F32, 2, 2, 1, (1, 1)),
    ] {
        let mut b = Builder::new();
        let shape = [Dim::symbol("B"), Dim::constant(5), Dim::constant(6), Dim::constant(8)];
        let images = b.parameter("images", TensorType { dtype, shape: shape.to_vec() }).unwrap();
        let weights = b.parameter("weights", TensorType::new(dtype, [3i64, 3, 8, 16])).unwrap();
        let convolution = Convolution {
            strides: vec![stride; 2],
            rhs_dilation: vec![dilation; 2],
            padding: vec![padding; 2],
            ..cases::convolution(ConvolutionAxes::channels_last(2))
        };
        let convolved = b.add(convolution, &[images, weights]).unwrap();
        let ty = b.tensor_type(convolved).clone();
        let factors = b.parameter("factors", ty).unwrap();
        let product = b.binary(Binary::Multiply, convolved, factors).unwrap();
        let loss = b.reduce(Reduction::Sum, &[0, 1, 2, 3], product).unwrap();
        let gradients = b.add(Gradient {}, &[loss, images, weights]).unwrap();
        let gradients = b.projections(gradients).unwrap();
        let graph = differentiate(&b.finish([&[convolved], &gradients[..]].concat())).unwrap();
        let function = function(graph);
        let mut target = Target { threads: processors, factors: multiplied, ..gpu() };
        // small sums are computed in parts too, where that costs nothing
        target.cost.launch_nanoseconds = 0.0;
        let name = format!("{dtype} by {stride}, {dilation} apart, {padding:?}");
        let program = schedule_apart(&function, &target).unwrap();
        let by_tiles = program.kernels.iter().filter(|kernel| kernel.is_for_gpu()).count();
        assert_eq!(by_tiles, 3, "{name}:\n{}", print_program(&program));
        in_parts += program.kernels.iter().filter(|kernel| kernel.name.ends_with("_parts")).count();
        let parameters = function.graph.parameters.iter().zip(1..);
        let arguments: Vec<Literal> =
            parameters.map(|(&p, seed)| quarters(sample(function.graph.tensor_type(p), 2, seed))).collect();
        let expected = interpret(&function.graph, &arguments).unwrap();
        let given = run(&function, &target, &[(Symbol::new("B"), 2)], &arguments).unwrap();
        compare(&name, &expected, &given).unwrap();
    }
    assert!(in_parts >= 2, "{in_parts} kernels compute parts of sums");
}

/// Small results of erfc keep their relative accuracy; its limits and NaN are exact.
#[test]
fn erfc_is_accurate_where_it_is_small() {
    let mut b = Builder::new();
    let x = b.parameter("x", TensorType::new(DType::F32, [1024i64])).unwrap();
    let y = b.unary(Unary::Erfc, x).unwrap();
    let function = function(b.finish(vec![y]));
    let special = [f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 0.0, 1e-30, 1.0, 2.0, -1.0];
    let values = special.into_iter().chain((8..1024).map(|i| f64::from(i) / 80.0 - 4.0));
    let argument = Literal::from_scalars(DType::F32, vec![1024], values.map(Scalar::Float).collect::<Vec<_>>());
    let expected = interpret(&function.graph, std::slice::from_ref(&argument)).unwrap();
    for target in targets() {
        let given = run(&function, &target, &[], std::slice::from_ref(&argument)).unwrap();
        for i in 0..1024 {
            let [x, e, g] = [&argument, &expected[0], &given[0]].map(|literal| literal.get(i).to_f64());
            let is_near = (e - g).abs() <= 1e-5 * e + 1e-38 || (e.is_nan() && g.is_nan());
            assert!(is_near, "erfc({x}) is {g}, expected {e}");
        }
    }
}

/// Running sums weave halves together, level above level, and their derivative takes them apart: what kernels execute grows with the
/// number of ops, not by a factor at every level.
#[test]
fn kernels_of_running_sums_grow_with_the_graph() {
    let mut sizes = vec![];
    for rows in [9, 33, 129, 513] {
        let mut b = Builder::new();
        let x = b.parameter("x", TensorType::new(DType::F32, [rows, 3i64])).unwrap();
        let mut sum = |b: &mut Builder, before: &[Value], after: &[Value]| {
            b.binary(Binary::Add, before[0], after[0]).map(|sum| vec![sum])
        };
        let options = AssociativeScanOptions::default();
        let sums = b.associative_scan::<TypeError>(&[x], &options, &mut sum).unwrap()[0];
        let squares = b.binary(Binary::Multiply, sums, sums).unwrap();
        let loss = b.reduce(Reduction::Sum, &[0, 1], squares).unwrap();
        let gradient = b.add(Gradient {}, &[loss, x]).unwrap();
        let results = b.projections(gradient).unwrap();
        let function = function(differentiate(&b.finish(results)).unwrap());
        let argument = sample(function.graph.tensor_type(function.graph.parameters[0]), 1, 7);
        let expected = interpret(&function.graph, std::slice::from_ref(&argument)).unwrap();
        let target = &targets()[1];
        let lines = print_program(&schedule(&function, target).unwrap()).lines().count();
        sizes.push((rows, function.graph.nodes.len(), lines));
        let given = run(&function, target, &[], std::slice::from_ref(&argument)).unwrap();
        compare(&format!("{rows} rows"), &expected, &given).unwrap();
    }
    for (rows, ops, lines) in &sizes {
        assert!(*lines < 16 * ops, "{rows} rows: {lines} lines of kernels for {ops} ops; {sizes:?}");
    }
}
