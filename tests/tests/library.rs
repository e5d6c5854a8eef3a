//! Functions of the runtime's library: values that JAX printed, every way of executing against the tensor interpreter, and the
//! runtime's functions against those of `kc_ir::library`.

use kc_ir::library::{Extents, LibraryFunction, Region, evaluate_bytes};
use kc_ir::manifest::{Input, InputRole, ModelInfo, Output};
use kc_ir::tensor::ops::*;
use kc_ir::tensor::{Argument, Builder, Function, Graph, Literal, Module, ResultSlot, Scalar, Value, interpret};
use kc_ir::{DType, Dim, TensorType};
use kc_runtime::kc_abi::library::dtype_number;
use kc_tests::arrays::{array, literal};
use kc_tests::runner::Runner;

/// A graph as a module of one entry point.
fn module(graph: Graph) -> Module {
    let ty = |value: &Value| graph.tensor_type(*value).clone();
    let input = |(i, value)| Input { name: format!("x{i}"), role: InputRole::Feature, ty: ty(value), checks: vec![] };
    let output = |(i, value)| Output { name: format!("y{i}"), ty: ty(value) };
    let function = Function {
        name: "call".into(),
        inputs: graph.parameters.iter().enumerate().map(input).collect(),
        outputs: graph.results.iter().enumerate().map(output).collect(),
        arguments: (0..graph.parameters.len()).map(Argument::Input).collect(),
        results: (0..graph.results.len()).map(ResultSlot::Output).collect(),
        graph,
    };
    Module { model: ModelInfo::default(), state: vec![], functions: vec![function] }
}

/// Reproducible numbers between -1 and 1.
fn numbers(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }
}

/// Few different values, special ones among them, so that many are equal.
fn sample(dtype: DType, shape: &[usize], seed: u64) -> Literal {
    const SPECIAL: [f64; 6] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.0, 1e30];
    let mut next = numbers(seed);
    let values = (0..shape.iter().product()).map(|_| {
        let x = (next() * 9.0).round();
        match dtype {
            dtype if dtype.is_float() && x.abs() > 6.0 => Scalar::Float(SPECIAL[(x + 9.0) as usize % 6]),
            dtype if dtype.is_float() => Scalar::Float(x),
            DType::Bool => Scalar::Int((x > 0.0).into()),
            dtype if dtype.is_unsigned_integer() => Scalar::Int(x.abs() as i128),
            _ => Scalar::Int(x as i128),
        }
    });
    Literal::from_scalars(dtype, shape.to_vec(), values.collect::<Vec<_>>())
}

/// Bits of the elements, all NaN alike.
fn bits(literal: &Literal) -> Vec<Option<u64>> {
    let bits = |value: Scalar| match value {
        Scalar::Float(x) if x.is_nan() => None,
        Scalar::Float(x) => Some(x.to_bits()),
        Scalar::Int(i) => Some(i as u64),
    };
    literal.scalars().map(bits).collect()
}

/// Every way of executing a graph gives the interpreter's bits.
fn agree(name: &str, graph: Graph, arguments: &[Literal]) {
    let expected = interpret(&graph, arguments).unwrap_or_else(|error| panic!("{name}: {error}"));
    let module = module(graph);
    for runner in Runner::ALL.into_iter().filter(|runner| runner.unavailable().is_none()) {
        let inputs: Vec<_> = arguments.iter().map(array).collect();
        let inputs: Vec<_> = inputs.iter().collect();
        let given = runner.load(&module, 2).and_then(|mut execution| execution.run("call", &inputs));
        let given = given.unwrap_or_else(|error| panic!("{name}, {}: {error}", runner.name()));
        for (number, (given, expected)) in given.iter().zip(&expected).enumerate() {
            assert_eq!(bits(&literal(given)), bits(expected), "{name}, {}, result {number}", runner.name());
        }
    }
}

fn sorted(operands: &[Literal], op: impl Into<Op>) -> Vec<Literal> {
    let mut b = Builder::new();
    let parameters: Vec<Value> = operands.iter().map(|x| b.parameter("x", x.ty()).unwrap()).collect();
    let value = b.add(op, &parameters).unwrap();
    let results = b.projections(value).unwrap();
    interpret(&b.finish(results), operands).unwrap()
}

#[test]
fn the_order_of_floats_is_that_of_jax() {
    let nan = f32::NAN;
    let x = Literal::f32(&[11], &[1.0, nan, -0.0, 0.0, f32::INFINITY, -3.5, -nan, f32::NEG_INFINITY, 1.0, 0.0, -0.0]);
    let order = |direction| {
        let positions = Literal::from_scalars(DType::I32, vec![11], (0..11).map(Scalar::Int));
        sorted(&[x.clone(), positions], Sort { axis: 0, keys: 1, direction })[1].to_f64_vec()
    };
    assert_eq!(order(Direction::Ascending), [7., 5., 2., 3., 9., 10., 0., 8., 4., 1., 6.]);
    assert_eq!(order(Direction::Descending), [1., 6., 4., 0., 8., 2., 3., 9., 10., 5., 7.]);
    let top = sorted(&[Literal::f32(&[6], &[2.0, 5.0, nan, 5.0, -1.0, 4.0])], TopK { k: 4 });
    assert_eq!(top[1].to_f64_vec(), [2., 1., 3., 5.]);
    let ints = |values: [i128; 5]| Literal::from_scalars(DType::I32, vec![5], values.map(Scalar::Int));
    let operands = [ints([2, 1, 2, 1, 1]), Literal::f32(&[5], &[5., 4., 3., 4., 1.]), ints([0, 1, 2, 3, 4])];
    let both = sorted(&operands, Sort { axis: 0, keys: 2, direction: Direction::Ascending });
    assert_eq!(both[1].to_f64_vec(), [1., 4., 4., 3., 5.]);
    assert_eq!(both[2].to_f64_vec(), [4., 1., 3., 2., 0.]);
}

#[test]
fn every_dtype_is_sorted_everywhere() {
    for (seed, &dtype) in (1..).zip(DType::ALL) {
        let mut b = Builder::new();
        let x =
            b.parameter("x", TensorType::new(dtype, [Dim::symbol("B"), Dim::constant(7), Dim::constant(3)])).unwrap();
        let mut results = vec![
            b.sort(x, 1, Direction::Ascending).unwrap(),
            b.sort(x, 0, Direction::Descending).unwrap(),
            b.argsort(x, 2, Direction::Descending, DType::I64).unwrap(),
            b.argsort(x, 0, Direction::Ascending, DType::I32).unwrap(),
        ];
        results.extend(b.top_k(x, 2).unwrap());
        agree(dtype.name(), b.finish(results), &[sample(dtype, &[19, 7, 3], seed)]);
    }
}

#[test]
fn long_lines_and_several_keys_are_sorted_everywhere() {
    let mut b = Builder::new();
    let [x, y] = [DType::F32, DType::I16].map(|dtype| TensorType::new(dtype, [Dim::constant(2), Dim::symbol("N")]));
    let (x, y) = (b.parameter("x", x).unwrap(), b.parameter("y", y).unwrap());
    // keys that are computed, and an operand that is one number
    let key = b.unary(Unary::Abs, x).unwrap();
    let one = b.splat_like(1.0, x).unwrap();
    let mut results = b.sort_by(&[y, key], &[x, one], 1, Direction::Ascending).unwrap();
    results.push(b.sort(x, 1, Direction::Descending).unwrap());
    let arguments = [sample(DType::F32, &[2, 40_000], 5), sample(DType::I16, &[2, 40_000], 6)];
    agree("long lines", b.finish(results), &arguments);
}

#[test]
fn what_cannot_be_sorted_is_told() {
    let mut b = Builder::new();
    let mut parameter = |dtype, shape: &[i64]| b.parameter("x", TensorType::new(dtype, shape.iter().copied())).unwrap();
    let [x, y] = [parameter(DType::F32, &[2, 3]), parameter(DType::I32, &[3, 2])];
    let mut error = |op: Op, operands: &[Value]| b.add(op, operands).unwrap_err().to_string();
    let sort = |axis, keys| Sort { axis, keys, direction: Direction::Ascending };
    assert_eq!(error(sort(2, 1).into(), &[x]), "sort: axis 2 is out of range for rank 2");
    assert_eq!(error(sort(0, 2).into(), &[x]), "sort: got 1 operands and 2 keys, expected 1 to 1 keys");
    assert_eq!(error(sort(0, 1).into(), &[x, y]), "sort: got f32[2, 3] and i32[3, 2], expected operands of one shape");
    assert_eq!(error(TopK { k: 4 }.into(), &[x]), "top_k: f32[2, 3] has no 4 elements along its last axis");
}

/// A matrix of a dtype that a function reads or writes.
struct Part {
    extents: Extents,
    bytes: Vec<u8>,
}

/// What the runtime computes, called as compiled code calls it, on columns that stand apart.
fn runtime(function: LibraryFunction, attributes: &[i64], reads: &[Part], writes: &[Extents]) -> Vec<Vec<u8>> {
    const APART: i64 = 3;
    let spread = |extents: &Extents, bytes: Option<&[u8]>| {
        let size = extents.dtype.bytes();
        let elements = (extents.rows * extents.columns).max(0) as usize;
        let mut memory = vec![0xffu8; elements * size * APART as usize];
        for (i, element) in bytes.unwrap_or_default().chunks_exact(size).enumerate() {
            memory[i * APART as usize * size..][..size].copy_from_slice(element);
        }
        memory
    };
    // the positions of an order stand side by side
    let apart = |extents: &Extents| if extents.dtype == DType::U64 { 1 } else { APART };
    let mut memory: Vec<(Extents, Vec<u8>)> =
        reads.iter().map(|part| (part.extents, spread(&part.extents, Some(&part.bytes)))).collect();
    memory.extend(writes.iter().map(|extents| (*extents, spread(extents, None))));
    let regions: Vec<Region> = memory
        .iter_mut()
        .enumerate()
        .map(|(i, (extents, bytes))| {
            let apart = if i < reads.len() { APART } else { apart(extents) };
            let pointer = bytes.as_mut_ptr();
            let dtype = dtype_number(extents.dtype);
            let (rows, columns) = (extents.rows, extents.columns);
            Region { pointer, rows, columns, row_stride: columns * apart, column_stride: apart, dtype }
        })
        .collect();
    // SAFETY: each region lies in memory of its own, which holds its elements.
    unsafe {
        let library = kc_runtime::intrinsics::table().library;
        library(i64::from(function as u32), regions.as_ptr(), regions.len() as i64, attributes.as_ptr());
    }
    let written = memory.iter().skip(reads.len());
    written
        .map(|(extents, bytes)| {
            let size = extents.dtype.bytes();
            let elements = (extents.rows * extents.columns) as usize;
            (0..elements).flat_map(|i| bytes[i * apart(extents) as usize * size..][..size].iter().copied()).collect()
        })
        .collect()
}

fn random_matrix(dtype: DType, rows: i64, columns: i64, next: &mut impl FnMut() -> f64) -> Part {
    let elements = (rows * columns) as usize;
    let values: Vec<Scalar> = (0..elements).map(|_| Scalar::Float(next())).collect();
    let literal = Literal::from_scalars(dtype, vec![elements], values);
    Part { extents: Extents { dtype, rows, columns }, bytes: literal.bytes().to_vec() }
}

/// `A A^T + 0.1`, which is positive definite.
fn positive(part: &Part) -> Part {
    let n = part.extents.rows as usize;
    let a = values(part.extents.dtype, &part.bytes);
    let product = |i: usize, j: usize| (0..n).map(|k| a[i * n + k] * a[j * n + k]).sum::<f64>();
    let sum = (0..n * n).map(|i| Scalar::Float(product(i / n, i % n) + if i / n == i % n { 0.1 } else { 0.0 }));
    let literal = Literal::from_scalars(part.extents.dtype, vec![n * n], sum.collect::<Vec<_>>());
    Part { extents: part.extents, bytes: literal.bytes().to_vec() }
}

fn values(dtype: DType, bytes: &[u8]) -> Vec<f64> {
    let elements = bytes.len() / dtype.bytes();
    Literal::from_bytes(dtype, vec![elements], bytes).expect("whole elements").to_f64_vec()
}

/// Compares the runtime's function with the one of `kc_ir::library`, up to `tolerance` roundings of the results' sizes.
fn compare(function: LibraryFunction, attributes: &[i64], reads: &[Part], writes: &[Extents], tolerance: f64) {
    let given: Vec<(Extents, Vec<u8>)> = reads.iter().map(|part| (part.extents, part.bytes.clone())).collect();
    let right = evaluate_bytes(function, attributes, &given, writes).unwrap();
    let ours = runtime(function, attributes, reads, writes);
    for (number, ((ours, right), extents)) in ours.iter().zip(&right).zip(writes).enumerate() {
        let [ours, right] = [ours, right].map(|bytes| values(extents.dtype, bytes));
        let unit = if extents.dtype == DType::F32 { f32::EPSILON.into() } else { f64::EPSILON };
        let unit = if extents.dtype.is_float() { unit } else { 0.0 };
        let size = right.iter().fold(1.0, |size: f64, x| size.max(x.abs()));
        for (place, (x, y)) in ours.iter().zip(&right).enumerate() {
            let close = (x - y).abs() <= tolerance * unit * size || (x.is_nan() && y.is_nan()) || x == y;
            let shape = reads[0].extents;
            assert!(close, "{function:?} of {shape:?}, result {number}, element {place} is {x}, expected {y}");
        }
    }
}

const SIZES: [(i64, i64); 9] = [(1, 1), (2, 2), (5, 5), (3, 7), (7, 3), (12, 12), (20, 6), (0, 3), (3, 0)];

#[test]
fn factors_are_those_of_the_textbook() {
    let mut next = numbers(3);
    for dtype in [DType::F32, DType::F64] {
        let size = |rows, columns| Extents { dtype, rows, columns };
        let vector = |columns| Extents { dtype: DType::I32, rows: 1, columns };
        for (m, n) in SIZES {
            let k = m.min(n);
            let a = || random_matrix(dtype, m, n, &mut numbers((m * 100 + n) as u64 + 1));
            compare(LibraryFunction::Lu, &[], &[a()], &[size(m, n), vector(k), vector(m)], 300.0);
            compare(LibraryFunction::Qr, &[], &[a()], &[size(m, k), size(k, n)], 300.0);
            compare(LibraryFunction::Qr, &[], &[a()], &[size(m, m), size(m, n)], 300.0);
            if m != n {
                continue;
            }
            compare(LibraryFunction::Cholesky, &[], &[positive(&a())], &[size(n, n)], 1e4);
            compare(LibraryFunction::Cholesky, &[], &[a()], &[size(n, n)], 0.0);
            for attributes in [[0, 0], [1, 0], [0, 1], [1, 1]] {
                // a triangle whose inverse is small
                let mut triangle = a();
                let mut numbers = values(dtype, &triangle.bytes);
                (0..n as usize).for_each(|i| numbers[i * n as usize + i] += 4.0);
                let numbers = numbers.into_iter().map(|x| Scalar::Float(x / 4.0)).collect::<Vec<_>>();
                triangle.bytes = Literal::from_scalars(dtype, vec![numbers.len()], numbers).bytes().to_vec();
                let sides = random_matrix(dtype, n, 3, &mut next);
                compare(LibraryFunction::TriangularSolve, &attributes, &[triangle, sides], &[size(n, 3)], 1e4);
            }
        }
    }
}

#[test]
fn singular_matrices_have_factors_and_indefinite_ones_are_nan() {
    let f64s = |rows: i64, columns: i64, values: &[f64]| {
        let literal = Literal::from_scalars(DType::F64, vec![values.len()], values.iter().map(|&x| Scalar::Float(x)));
        Part { extents: Extents { dtype: DType::F64, rows, columns }, bytes: literal.bytes().to_vec() }
    };
    let size = |rows, columns| Extents { dtype: DType::F64, rows, columns };
    let vector = |columns| Extents { dtype: DType::I32, rows: 1, columns };
    let singular = [1.0, 2.0, 3.0, 2.0, 4.0, 6.0, 0.0, 0.0, 0.0];
    for values in [singular, [0.0; 9], [f64::NAN; 9]] {
        let a = || f64s(3, 3, &values);
        compare(LibraryFunction::Lu, &[], &[a()], &[size(3, 3), vector(3), vector(3)], 10.0);
        compare(LibraryFunction::Qr, &[], &[a()], &[size(3, 3), size(3, 3)], 10.0);
        compare(LibraryFunction::Cholesky, &[], &[a()], &[size(3, 3)], 10.0);
    }
}
