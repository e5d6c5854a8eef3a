//! Functions of the runtime's library: values that JAX printed, every way of executing against the tensor interpreter, and the
//! runtime's functions against those of `kc_ir::library`.

use kc_ir::library::{Extents, LibraryFunction, Region, evaluate_bytes};
use kc_ir::manifest::{Input, InputRole, ModelInfo, Output};
use kc_ir::tensor::composites::{FramePadding, Frames, WindowShape};
use kc_ir::tensor::ops::*;
use kc_ir::tensor::{Argument, Builder, Function, Graph, Literal, Module, ResultSlot, Scalar, Value, interpret};
use kc_ir::{DType, Dim, TensorType};
use kc_runtime::kc_abi::library::dtype_number;
use kc_tests::arrays::{array, literal};
use kc_tests::runner::Runner;
use std::collections::BTreeMap;
use std::path::Path;

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

/// Those that are there.
fn runners() -> impl Iterator<Item = Runner> {
    Runner::common().filter(|runner| runner.unavailable().is_none())
}

/// Every way of executing a graph gives the interpreter's bits.
fn agree(name: &str, graph: Graph, arguments: &[Literal]) {
    let expected = interpret(&graph, arguments).unwrap_or_else(|error| panic!("{name}: {error}"));
    let module = module(graph);
    for runner in runners() {
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

/// What the runtime computes, called as compiled code calls it, on columns that stand `step` elements apart.
fn runtime(
    step: i64,
    function: LibraryFunction,
    attributes: &[i64],
    reads: &[Part],
    writes: &[Extents],
) -> Vec<Vec<u8>> {
    let spread = |extents: &Extents, bytes: Option<&[u8]>| {
        let size = extents.dtype.bytes();
        let elements = (extents.rows * extents.columns).max(0) as usize;
        let mut memory = vec![0xffu8; elements * size * step as usize];
        for (i, element) in bytes.unwrap_or_default().chunks_exact(size).enumerate() {
            memory[i * step as usize * size..][..size].copy_from_slice(element);
        }
        memory
    };
    // the positions of an order stand side by side
    let apart = |extents: &Extents| if extents.dtype == DType::U64 { 1 } else { step };
    let mut memory: Vec<(Extents, Vec<u8>)> =
        reads.iter().map(|part| (part.extents, spread(&part.extents, Some(&part.bytes)))).collect();
    memory.extend(writes.iter().map(|extents| (*extents, spread(extents, None))));
    let regions: Vec<Region> = memory
        .iter_mut()
        .enumerate()
        .map(|(i, (extents, bytes))| {
            let apart = if i < reads.len() { step } else { apart(extents) };
            let pointer = bytes.as_mut_ptr();
            let dtype = dtype_number(extents.dtype);
            let (rows, columns) = (extents.rows, extents.columns);
            Region { pointer, rows, columns, row_stride: columns * apart, column_stride: apart, dtype }
        })
        .collect();
    // SAFETY: each region lies in memory of its own, which holds its elements.
    unsafe {
        let library = kc_runtime::Functions::ALL.table().library;
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
    let ours = [1, 3].map(|step| runtime(step, function, attributes, reads, writes));
    assert_eq!(ours[0], ours[1], "{function:?}: side by side and apart");
    let [ours, _] = ours;
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

#[test]
fn fourier_transforms_are_those_of_the_definition() {
    let mut next = numbers(11);
    for (dtype, tolerance) in [(DType::F32, 60.0), (DType::F64, 60.0)] {
        for n in [0, 1, 2, 3, 7, 8, 30, 64, 97, 210] {
            let size = Extents { dtype, rows: 1, columns: n };
            for inverse in [0, 1] {
                let parts = [random_matrix(dtype, 1, n, &mut next), random_matrix(dtype, 1, n, &mut next)];
                compare(LibraryFunction::Fft, &[inverse], &parts, &[size, size], tolerance);
            }
        }
    }
}

/// Row-major matrices of f64, for checks of what factors must satisfy.
#[derive(Clone, Debug)]
struct Dense {
    rows: usize,
    columns: usize,
    values: Vec<f64>,
}

impl Dense {
    fn of(extents: Extents, bytes: &[u8]) -> Self {
        Dense { rows: extents.rows as usize, columns: extents.columns as usize, values: values(extents.dtype, bytes) }
    }

    fn at(&self, i: usize, j: usize) -> f64 {
        self.values[i * self.columns + j]
    }

    fn product(&self, other: &Dense) -> Dense {
        let (rows, columns) = (self.rows, other.columns);
        let sum = |i: usize, j: usize| (0..self.columns).map(|k| self.at(i, k) * other.at(k, j)).sum();
        let values = (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j))).map(|(i, j)| sum(i, j)).collect();
        Dense { rows, columns, values }
    }

    fn transposed(&self) -> Dense {
        let (rows, columns) = (self.columns, self.rows);
        let values = (0..rows).flat_map(|i| (0..columns).map(move |j| (j, i))).map(|(i, j)| self.at(i, j)).collect();
        Dense { rows, columns, values }
    }

    /// `diag(s)`, as large as is asked for.
    fn diagonal(s: &[f64], rows: usize, columns: usize) -> Dense {
        let value = |i: usize, j: usize| if i == j { s.get(i).copied().unwrap_or(0.0) } else { 0.0 };
        let values = (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j))).map(|(i, j)| value(i, j)).collect();
        Dense { rows, columns, values }
    }

    fn largest_difference(&self, other: &Dense) -> f64 {
        assert_eq!((self.rows, self.columns), (other.rows, other.columns));
        self.values.iter().zip(&other.values).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    }

    fn is_orthonormal(&self, tolerance: f64) -> bool {
        let product = self.transposed().product(self);
        product.largest_difference(&Dense::diagonal(&vec![1.0; self.columns], self.columns, self.columns)) <= tolerance
    }
}

/// Results of the runtime and of the textbook for the same call.
fn both(function: LibraryFunction, a: &Part, writes: &[Extents]) -> [Vec<Dense>; 2] {
    let dense =
        |results: Vec<Vec<u8>>| results.iter().zip(writes).map(|(bytes, &extents)| Dense::of(extents, bytes)).collect();
    let ours = runtime(3, function, &[], std::slice::from_ref(a), writes);
    let right = evaluate_bytes(function, &[], &[(a.extents, a.bytes.clone())], writes).unwrap();
    [dense(ours), dense(right)]
}

fn of_values(dtype: DType, rows: i64, columns: i64, values: &[f64]) -> Part {
    let literal = Literal::from_scalars(dtype, vec![values.len()], values.iter().map(|&x| Scalar::Float(x)));
    Part { extents: Extents { dtype, rows, columns }, bytes: literal.bytes().to_vec() }
}

/// Matrices that are hard in some way: random, of low rank, zero, diagonal with equal elements, of very small and very large numbers.
fn hard_matrices(dtype: DType, m: i64, n: i64) -> Vec<Part> {
    let random = |seed| values(dtype, &random_matrix(dtype, m, n, &mut numbers(seed)).bytes);
    let index = |i: usize| (i / n.max(1) as usize, i % n.max(1) as usize);
    let count = (m * n) as usize;
    let made = |value: &dyn Fn(usize) -> f64| of_values(dtype, m, n, &(0..count).map(value).collect::<Vec<_>>());
    let (a, b) = (random(1), random(2));
    vec![
        made(&|i| a[i]),
        made(&|i| a[index(i).0 * n as usize] * b[index(i).1]),
        made(&|_| 0.0),
        made(&|i| if index(i).0 == index(i).1 { 2.0 } else { 0.0 }),
        made(&|i| a[i] * 1e-18),
        made(&|i| a[i] * 1e18),
        made(&|i| if index(i) == (0, 1) { 1.0 } else { 0.0 }),
    ]
}

const SQUARES_AND_OTHERS: [(i64, i64); 9] = [(1, 1), (2, 2), (3, 3), (6, 6), (15, 15), (5, 2), (2, 5), (12, 4), (1, 4)];

#[test]
fn singular_values_and_vectors_make_the_matrix_again() {
    for (dtype, unit) in [(DType::F32, 1e-6), (DType::F64, 1e-14)] {
        let size = |rows, columns| Extents { dtype, rows, columns };
        for (m, n) in SQUARES_AND_OTHERS {
            let k = m.min(n);
            for (number, a) in hard_matrices(dtype, m, n).into_iter().enumerate() {
                let given = Dense::of(a.extents, &a.bytes);
                let scale = given.values.iter().fold(0.0, |size: f64, x| size.max(x.abs()));
                let tolerance = 20.0 * unit * m.max(n) as f64;
                for (p, q) in [(k, k), (m, n)] {
                    let found = both(LibraryFunction::Svd, &a, &[size(m, p), size(1, k), size(q, n)]);
                    for (who, result) in ["runtime", "textbook"].iter().zip(&found) {
                        let name = format!("{who}, {dtype} {m} x {n}, matrix {number}");
                        let [u, s, vt] = &result[..] else { panic!("three results") };
                        let middle = Dense::diagonal(&s.values, p as usize, q as usize);
                        let again = u.product(&middle).product(vt);
                        let off = again.largest_difference(&given);
                        assert!(off <= tolerance * scale, "{name}: off by {off:e} of {scale:e}");
                        assert!(u.is_orthonormal(tolerance), "{name}: U {u:?}");
                        assert!(vt.transposed().is_orthonormal(tolerance), "{name}: V {vt:?}");
                        assert!(
                            s.values.is_sorted_by(|a, b| a >= b) && s.values.iter().all(|&s| s >= 0.0),
                            "{name}: {s:?}"
                        );
                    }
                    let off = found[0][1].largest_difference(&found[1][1]);
                    assert!(off <= tolerance * scale, "{dtype} {m} x {n}, matrix {number}: values off by {off:e}");
                }
                let [ours, right] = both(LibraryFunction::SingularValues, &a, &[size(1, k)]);
                assert!(ours[0].largest_difference(&right[0]) <= tolerance * scale);
            }
        }
    }
}

#[test]
fn eigenvalues_and_vectors_make_the_matrix_again() {
    for (dtype, unit) in [(DType::F32, 1e-6), (DType::F64, 1e-14)] {
        let size = |rows, columns| Extents { dtype, rows, columns };
        for n in [1, 2, 3, 6, 15] {
            for (number, a) in hard_matrices(dtype, n, n).into_iter().enumerate() {
                let tolerance = 20.0 * unit * n as f64;
                let given = Dense::of(a.extents, &a.bytes);
                let scale = given.values.iter().fold(0.0, |size: f64, x| size.max(x.abs()));
                // only the lower triangle is read
                let n = n as usize;
                let lower = |i: usize, j: usize| given.at(i.max(j), i.min(j));
                let symmetric = (0..n * n).map(|i| lower(i / n, i % n)).collect();
                let symmetric = Dense { rows: n, columns: n, values: symmetric };
                let vectors = size(n as i64, n as i64);
                let found = both(LibraryFunction::Eigh, &a, &[size(1, n as i64), vectors]);
                for (who, result) in ["runtime", "textbook"].iter().zip(&found) {
                    let name = format!("{who}, {dtype} {n}, matrix {number}");
                    let [w, v] = &result[..] else { panic!("two results") };
                    let again = v.product(&Dense::diagonal(&w.values, n, n)).product(&v.transposed());
                    let off = again.largest_difference(&symmetric);
                    assert!(off <= tolerance * scale, "{name}: off by {off:e} of {scale:e}");
                    assert!(v.is_orthonormal(tolerance), "{name}: {v:?}");
                    assert!(w.values.is_sorted(), "{name}: {w:?}");
                }
                let value = size(1, n as i64);
                let found = both(LibraryFunction::Eig, &a, &[value, value, vectors, vectors]);
                for (who, result) in ["runtime", "textbook"].iter().zip(&found) {
                    let name = format!("{who}, {dtype} {n}, matrix {number}");
                    let [wr, wi, vr, vi] = &result[..] else { panic!("four results") };
                    // A V = V diag(w)
                    let (left_real, left_imaginary) = (given.product(vr), given.product(vi));
                    let (wr, wi) = (Dense::diagonal(&wr.values, n, n), Dense::diagonal(&wi.values, n, n));
                    let combined = |a: Dense, b: Dense, sign: f64| Dense {
                        values: a.values.iter().zip(&b.values).map(|(a, b)| a + sign * b).collect(),
                        ..a
                    };
                    let right_real = combined(vr.product(&wr), vi.product(&wi), -1.0);
                    let right_imaginary = combined(vr.product(&wi), vi.product(&wr), 1.0);
                    let off = left_real
                        .largest_difference(&right_real)
                        .max(left_imaginary.largest_difference(&right_imaginary));
                    assert!(off <= tolerance * scale, "{name}: off by {off:e} of {scale:e}");
                    for j in 0..n {
                        let norm: f64 = (0..n).map(|i| vr.at(i, j).powi(2) + vi.at(i, j).powi(2)).sum();
                        assert!((norm - 1.0).abs() <= tolerance, "{name}: vector {j} has the square {norm}");
                    }
                }
            }
        }
    }
}

#[test]
fn what_is_not_finite_gives_nan_and_ends() {
    for x in [f64::NAN, f64::INFINITY] {
        for dtype in [DType::F32, DType::F64] {
            let size = |rows, columns| Extents { dtype, rows, columns };
            let a = of_values(dtype, 2, 2, &[1.0, 0.0, x, 1.0]);
            let (value, matrix) = (size(1, 2), size(2, 2));
            for (function, writes) in [
                (LibraryFunction::Eigh, vec![value, matrix]),
                (LibraryFunction::Eig, vec![value, value, matrix, matrix]),
                (LibraryFunction::Svd, vec![matrix, value, matrix]),
                (LibraryFunction::SingularValues, vec![value]),
            ] {
                for results in both(function, &a, &writes) {
                    assert!(results.iter().flat_map(|result| &result.values).all(|x| x.is_nan()), "{function:?}");
                }
            }
        }
    }
}

/// What the interpreter makes of functions of f64 matrices.
fn interpreted(operands: &[Literal], build: impl FnOnce(&mut Builder, &[Value]) -> Vec<Value>) -> Vec<Vec<f64>> {
    let mut b = Builder::new();
    let parameters: Vec<Value> = operands.iter().map(|x| b.parameter("x", x.ty()).unwrap()).collect();
    let results = build(&mut b, &parameters);
    interpret(&b.finish(results), operands).unwrap().iter().map(Literal::to_f64_vec).collect()
}

fn f64s(shape: &[usize], values: &[f64]) -> Literal {
    Literal::from_scalars(DType::F64, shape.to_vec(), values.iter().map(|&x| Scalar::Float(x)))
}

fn near(name: &str, given: &[f64], expected: &[f64]) {
    assert_eq!(given.len(), expected.len(), "{name}");
    for (i, (x, y)) in given.iter().zip(expected).enumerate() {
        let close = (x - y).abs() <= 1e-12 * (1.0 + y.abs()) || (x.is_nan() && y.is_nan()) || x == y;
        assert!(close, "{name}: element {i} is {x}, expected {y}");
    }
}

/// Not symmetric: factors of symmetric matrices are those of its symmetric part.
fn square_example() -> Literal {
    f64s(&[3, 3], &[2.0, 1.0, 0.5, 1.0, 3.0, -1.0, 0.25, -1.0, 4.0])
}

fn tall_example() -> Literal {
    f64s(&[4, 3], &[1., 2., 3., 4., 5., 6., 7., 8., 10., -1., 0., 2.])
}

#[test]
#[rustfmt::skip]
fn factors_are_those_of_jax() {
    let nan = f64::NAN;
    let found = interpreted(&[square_example(), tall_example()], |b, x| {
        let negative = b.unary(Unary::Negate, x[0]).unwrap();
        let wide = b.matrix_transpose(x[1]).unwrap();
        let mut results = vec![b.cholesky(x[0]).unwrap(), b.cholesky(negative).unwrap()];
        // other rows, so that no two pivots are alike
        let rows = b.constant(f64s(&[4], &[1.0, 1.5, 1.0, 2.0])).unwrap();
        let rows = b.broadcast(rows, &[Dim::constant(4), Dim::constant(3)], &[0]).unwrap();
        let rows = b.binary(Binary::Multiply, x[1], rows).unwrap();
        results.extend(b.lu(rows).unwrap());
        results.extend(b.qr(x[1], Factors::Reduced).unwrap());
        results.extend(b.qr(wide, Factors::Reduced).unwrap());
        results.extend(b.eigh(x[0]).unwrap());
        results.extend(b.svd(x[1], Factors::Reduced).unwrap());
        results.push(b.singular_values(wide).unwrap());
        results
    });
    let expected: [&[f64]; 15] = [
        &[std::f64::consts::SQRT_2, 0.0, 0.0, std::f64::consts::FRAC_1_SQRT_2, 1.5811388300841898, 0.0, 0.2651650429449553, -0.7510409442899901, 1.8345639808957332],
        &[nan, 0.0, 0.0, nan, nan, 0.0, nan, nan, nan],
        &[7.0, 8.0, 10.0, -0.2857142857142857, 2.2857142857142856, 6.857142857142857, 0.8571428571428571, 0.28125000000000017, -1.5, 0.14285714285714285, 0.375, 0.6666666666666663],
        &[2.0, 3.0, 3.0],
        &[2.0, 3.0, 1.0, 0.0],
        &[-0.12216944435630528, 0.5642764926868793, 0.47781848256749826, -0.48867777742522095, 0.23175641663925378, 0.5187743525018512, -0.8551861104941366, -0.10076365940837123, -0.4436885909555317, 0.12216944435630524, 0.7859565433852946, -0.5529042441138187],
        &[-8.18535277187245, -9.529216659791809, -11.606097213848996, 0.0, 1.4812257933030573, 3.6476444705830344, 0.0, 0.0, -0.9965928350693529],
        &[-0.2672612419124243, 0.8728715609439696, 0.40824829046386285, -0.5345224838248488, 0.21821789023599236, -0.816496580927726, -0.8017837257372732, -0.4364357804719846, 0.40824829046386313],
        &[-3.7416573867739413, -8.55235974119758, -14.164845821358494, -1.336306209562122, 0.0, 1.963961012123933, 3.4914862437758805, -1.745743121887939, 0.0, 0.0, 0.40824829046386313, 0.40824829046386335],
        &[1.11870105403852, 3.243397218095059, 4.6379017278664225],
        // the signs of eigenvectors and singular vectors are ours
        &[0.7688992258954163, 0.6321874940306861, -0.09556648370966789, -0.5663879160158105, 0.6041313168365283, -0.5605622896776324, -0.2966457635104478, 0.4851436121485716, 0.8225794591300831],
        &[0.20933067336566324, 0.3627606877434742, 0.6214734010660474, 0.5031230395354763, -0.03192721605929438, 0.5545193374263182, 0.8367814747333489, -0.13033004262061518, -0.47028396519246896, 0.053335164947181296, 0.922171034186768, -0.2917397954865359],
        &[17.436984282741232, 2.202867477135056, 0.31456954972769685],
        &[0.46028360521249995, 0.5521899994946731, 0.6951440190569553, -0.7260670583347659, -0.21642475124944355, 0.652676760615633, -0.510847951521471, 0.8051375854502694, -0.3013102038126606],
        &[17.436984282741232, 2.202867477135056, 0.31456954972769685],
    ];
    for (number, (given, expected)) in found.iter().zip(expected).enumerate() {
        near(&format!("result {number}"), given, expected);
    }
    let parts = [f64s(&[5], &[1., 2., -1., 3., 0.5]), f64s(&[5], &[0.0; 5])];
    let found = interpreted(&parts, |b, x| b.fft(x[0], x[1]).unwrap().to_vec());
    near("real", &found[0], &[5.5, 0.15450849718747373, -0.4045084971874737, -0.4045084971874737, 0.15450849718747373]);
    near("imaginary", &found[1], &[0.0, 0.9245562347271623, -4.685903943619324, 4.685903943619324, -0.9245562347271623]);
}

/// Every way of executing a graph gives the interpreter's numbers.
fn agree_nearly(name: &str, graph: Graph, arguments: &[Literal]) {
    let expected = interpret(&graph, arguments).unwrap_or_else(|error| panic!("{name}: {error}"));
    let module = module(graph);
    for runner in runners() {
        let inputs: Vec<_> = arguments.iter().map(array).collect();
        let inputs: Vec<_> = inputs.iter().collect();
        let given = runner.load(&module, 2).and_then(|mut execution| execution.run("call", &inputs));
        let given = given.unwrap_or_else(|error| panic!("{name}, {}: {error}", runner.name()));
        for (number, (given, expected)) in given.iter().zip(&expected).enumerate() {
            let tolerance = if expected.dtype() == DType::F32 { 2e-5 } else { 1e-11 };
            for (x, y) in literal(given).to_f64_vec().iter().zip(expected.to_f64_vec()) {
                let close = (x - y).abs() <= tolerance * (1.0 + y.abs()) || (x.is_nan() && y.is_nan());
                assert!(close, "{name}, {}, result {number}: {x} expected {y}", runner.name());
            }
        }
    }
}

#[test]
fn library_functions_are_executed_everywhere() {
    for dtype in [DType::F32, DType::F64] {
        let mut b = Builder::new();
        let batch = Dim::symbol("B");
        let mut parameter = |shape: &[Dim]| b.parameter("x", TensorType { dtype, shape: shape.to_vec() }).unwrap();
        let size = |n: i64| Dim::constant(n);
        let a = parameter(&[batch.clone(), size(4), size(4)]);
        let c = parameter(&[batch, size(4), size(3)]);
        let square = b.matrix_transpose(a).unwrap();
        let square = b.matrix_product(a, square).unwrap();
        let shape = b.tensor_type(a).shape.clone();
        let unit = b.unit_matrix(dtype, &shape[..1], &shape[1]).unwrap();
        let positive = b.binary(Binary::Add, square, unit).unwrap();
        let l = b.cholesky(positive).unwrap();
        // a result of one call is an operand of another, and some results are not read
        let mut results = vec![l, b.triangular_solve(l, c, Triangle::Lower, Diagonal::Given).unwrap()];
        results.extend(b.lu(a).unwrap());
        results.push(b.qr(c, Factors::Full).unwrap()[1]);
        results.extend(b.eigh(positive).unwrap());
        results.push(b.svd(c, Factors::Reduced).unwrap()[1]);
        results.push(b.singular_values(c).unwrap());
        let zeros = b.splat_like(0.0, c).unwrap();
        results.extend(b.fft(c, zeros).unwrap());
        results.push(b.inverse_fft(c, c).unwrap()[1]);
        let mut next = numbers(17);
        let mut random = |shape: &[usize]| {
            let values = (0..shape.iter().product()).map(|_| Scalar::Float(next())).collect::<Vec<_>>();
            Literal::from_scalars(dtype, shape.to_vec(), values)
        };
        agree_nearly(dtype.name(), b.finish(results), &[random(&[5, 4, 4]), random(&[5, 4, 3])]);
    }
}

#[test]
fn operands_that_a_function_does_not_take_are_told() {
    let mut b = Builder::new();
    let mut parameter = |dtype, shape: &[i64]| b.parameter("x", TensorType::new(dtype, shape.iter().copied())).unwrap();
    let x = parameter(DType::F32, &[2, 3]);
    let half = parameter(DType::F16, &[2, 2]);
    let line = parameter(DType::F32, &[3]);
    let square = parameter(DType::F32, &[3, 3]);
    let ragged = TensorType { dtype: DType::F32, shape: vec![Dim::symbol("B"), Dim::constant(3)] };
    let ragged = b.parameter("x", ragged).unwrap();
    let mut error = |function, operands: &[Value]| b.custom_call(function, operands).unwrap_err().to_string();
    let solve = CustomFunction::TriangularSolve { triangle: Triangle::Lower, diagonal: Diagonal::Given };
    assert_eq!(error(CustomFunction::Cholesky, &[x]), "cholesky: the matrix is 2 x 3, expected a square one");
    assert_eq!(
        error(CustomFunction::Eigh, &[half]),
        "eigh: got f16[2, 2]; expected f32 or f64, the same for all operands"
    );
    assert_eq!(error(CustomFunction::Lu, &[line]), "lu: got f32[3], expected at least 2 axes");
    assert_eq!(error(CustomFunction::Fft, &[x]), "fft: expected 2 operands, got 1");
    assert_eq!(error(solve, &[square, x]), "triangular_solve: the right side has 2 rows, the matrix has 3");
    assert_eq!(
        error(CustomFunction::SingularValues, &[ragged]),
        "singular_values: of a matrix of B x 3 it is not known which extent is less; expected known extents"
    );
}

#[test]
#[rustfmt::skip]
fn solutions_and_determinants_are_those_of_jax() {
    let right = f64s(&[3, 2], &[1.0, 2.0, -1.0, 0.5, 3.0, 1.0]);
    let of_tall = f64s(&[4, 1], &[1.0, 2.0, 3.0, 5.0]);
    let singular = f64s(&[4, 4], &[1., 2., 3., 4., 2., 4., 6., 8., 0., 1., 0., 2., 1., 0., 1., 5.]);
    let found = interpreted(&[square_example(), right, tall_example(), of_tall, singular], |b, x| {
        let negative = b.unary(Unary::Negate, x[0]).unwrap();
        let mut results = vec![
            b.solve(x[0], x[1]).unwrap(),
            b.inverse(x[0]).unwrap(),
            b.determinant(x[0]).unwrap(),
            b.determinant(x[4]).unwrap(),
            b.pseudo_inverse(x[2], None).unwrap(),
            b.least_squares(x[2], x[3], None).unwrap(),
            b.matrix_rank(x[4], None).unwrap(),
        ];
        results.extend(b.log_determinant(negative).unwrap());
        results.extend(b.log_determinant(x[4]).unwrap());
        let factor = b.cholesky(x[0]).unwrap();
        results.push(b.cholesky_inverse(factor, Triangle::Lower).unwrap());
        let symmetric = b.symmetric_part(x[0]).unwrap();
        results.push(b.inverse(symmetric).unwrap());
        results
    });
    let expected: [&[f64]; 11] = [
        &[0.4740740740740741, 1.0222222222222221, -0.2740740740740741, -0.12222222222222223, 0.6518518518518519, 0.15555555555555556],
        &[0.6518518518518518, -0.2666666666666667, -0.14814814814814814, -0.2518518518518518, 0.46666666666666673, 0.14814814814814814, -0.10370370370370369, 0.13333333333333333, 0.2962962962962963],
        &[16.875],
        &[0.0],
        &[-1.1232876712328763, -0.8767123287671168, 0.8287671232876676, 0.17123287671232745, 1.5616438356164393, 1.438356164383553, -1.1643835616438312, -0.8356164383561635, -0.47945205479452113, -0.5205479452054764, 0.44520547945205324, 0.5547945205479451],
        &[0.46575342465753017, -3.232876712328765, 2.5890410958904106],
        &[3.0],
        &[-1.0],
        &[2.8258332367585934],
        &[0.0],
        &[f64::NEG_INFINITY],
    ];
    for (number, (given, expected)) in found.iter().zip(expected).enumerate() {
        near(&format!("result {number}"), given, expected);
    }
    near("cholesky_inverse", &found[11], &found[12]);
}

/// What Keras on JAX printed: by name the tensor.
fn reference(file: &str) -> BTreeMap<String, Literal> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let read: BTreeMap<String, serde_json::Value> = serde_json::from_str(&text).expect("a JSON object");
    let tensor = |value: serde_json::Value| {
        let shape: Vec<usize> = serde_json::from_value(value["shape"].clone()).expect("a shape");
        let values: Vec<f64> = serde_json::from_value(value["values"].clone()).expect("values");
        f64s(&shape, &values)
    };
    read.into_iter().map(|(name, value)| (name, tensor(value))).collect()
}

#[test]
fn transforms_of_signals_are_those_of_keras() {
    let expected = reference("fourier.json");
    let x = &expected["x"];
    let matrix = f64s(&[3, 4], &x.to_f64_vec());
    let mut b = Builder::new();
    let signal = b.parameter("x", x.ty()).unwrap();
    let image = b.parameter("m", matrix.ty()).unwrap();
    let mut named: Vec<(String, Value)> = vec![];
    let mut add = |name: String, values: &[Value]| {
        let parts = if values.len() == 1 { &[""][..] } else { &["r", "i"] };
        named.extend(values.iter().zip(parts).map(|(&value, part)| (format!("{name}{part}"), value)));
    };
    for (name, length) in [("None", None), ("8", Some(8)), ("15", Some(15))] {
        add(format!("rfft{name}"), &b.real_fft(signal, length).unwrap());
    }
    let bins = b.real_fft(signal, None).unwrap();
    for (name, length) in [("None", None), ("9", Some(9)), ("16", Some(16))] {
        add(format!("irfft{name}"), &[b.inverse_real_fft(bins, length).unwrap()]);
    }
    let half = b.splat_like(0.5, image).unwrap();
    let one = b.splat_like(1.0, image).unwrap();
    let imaginary = b.binary(Binary::Multiply, image, half).unwrap();
    let imaginary = b.binary(Binary::Subtract, imaginary, one).unwrap();
    add("fft2".into(), &b.fft2([image, imaginary]).unwrap());
    add("ifft2".into(), &b.inverse_fft2([image, imaginary]).unwrap());
    for (name, shape, padding, fft_length) in [
        ("hannTrue", Some(WindowShape::Hann), FramePadding::Centered, 6),
        ("hammingFalse", Some(WindowShape::Hamming), FramePadding::None, 5),
        ("NoneTrue", None, FramePadding::Centered, 4),
    ] {
        let frames = Frames { sequence_length: 4, sequence_stride: 2, fft_length };
        let window = shape.map(|shape| b.constant(shape.literal(4, DType::F64)).unwrap());
        let found = b.stft(signal, frames, window, padding).unwrap();
        add(format!("stft{name}"), &found);
        add(format!("istft{name}"), &[b.inverse_stft(found, frames, None, window, padding).unwrap()]);
        add(format!("istft{name}7"), &[b.inverse_stft(found, frames, Some(7), window, padding).unwrap()]);
    }
    // all but the signal itself
    assert_eq!(named.len(), expected.len() - 1);
    let graph = b.finish(named.iter().map(|(_, value)| *value).collect());
    let arguments = [x.clone(), matrix];
    let given = interpret(&graph, &arguments).unwrap();
    for ((name, _), given) in named.iter().zip(&given) {
        assert_eq!(given.shape(), expected[name].shape(), "{name}");
        near(name, &given.to_f64_vec(), &expected[name].to_f64_vec());
    }
    agree_nearly("signals", graph, &arguments);
}

#[test]
fn frames_of_a_batch_of_unknown_size_are_transformed_everywhere() {
    let mut b = Builder::new();
    let ty = TensorType { dtype: DType::F32, shape: vec![Dim::symbol("B"), Dim::constant(2), Dim::constant(23)] };
    let x = b.parameter("x", ty).unwrap();
    let frames = Frames { sequence_length: 6, sequence_stride: 3, fft_length: 8 };
    let window = b.constant(WindowShape::Hann.literal(6, DType::F32)).unwrap();
    let found = b.stft(x, frames, Some(window), FramePadding::Centered).unwrap();
    let again = b.inverse_stft(found, frames, None, Some(window), FramePadding::Centered).unwrap();
    let square = b.binary(Binary::Multiply, again, again).unwrap();
    let sum = b.reduce(Reduction::Sum, &[0, 1, 2], square).unwrap();
    let gradient = b.add(Gradient {}, &[sum, x]).unwrap();
    let gradient = b.projections(gradient).unwrap()[0];
    let values = sample(DType::I8, &[3, 2, 23], 4).scalars().map(|x| Scalar::Float(x.to_f64())).collect::<Vec<_>>();
    let mut graph = b.finish(vec![found[0], found[1], again, gradient]);
    graph = kc_passes::differentiate(&graph).unwrap();
    agree_nearly("frames", graph, &[Literal::from_scalars(DType::F32, vec![3, 2, 23], values)]);
    let mut b = Builder::new();
    let x = b.parameter("x", TensorType::new(DType::F32, [9i64])).unwrap();
    let long = Frames { sequence_length: 6, sequence_stride: 3, fft_length: 4 };
    let error = b.stft(x, long, None, FramePadding::None).unwrap_err().to_string();
    assert_eq!(error, "stft: `fft_length` 4 must not be below `sequence_length` 6");
    let long = Frames { sequence_length: 6, sequence_stride: 3, fft_length: 10 };
    let error = b.stft(x, long, None, FramePadding::None).unwrap_err().to_string();
    assert_eq!(error, "stft: a signal of 9 elements has no frame of 10");
}
