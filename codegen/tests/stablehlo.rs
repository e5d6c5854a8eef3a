//! Graphs as StableHLO: one file a topic in `stablehlo/`, rewritten by `KC_BLESS=1`. `cargo xtask nightly` shows them to other readers of
//! StableHLO.

use kc_codegen::stablehlo::{Batch, print, print_spread};
use kc_ir::manifest::{Distribution, Input, InputRole, MeshAxis, Output};
use kc_ir::tensor::composites::Threefry;
use kc_ir::tensor::ops::*;
use kc_ir::tensor::{Argument, Builder, Function, Literal, Location, ResultSlot, Scalar, TypeError, Value};
use kc_ir::{DType, Dim, TensorType};
use kc_runtime::stablehlo::instantiate;
use std::path::Path;
use std::sync::Arc;

/// An entry point of a graph whose parameters are inputs.
fn function(name: &str, build: impl FnOnce(&mut Builder) -> Result<Vec<Value>, TypeError>) -> Function {
    let mut builder = Builder::new();
    builder.set_location(Some(Arc::new(Location { file: "model.rs".into(), line: 7, layer: "layer".into() })));
    let results = build(&mut builder).unwrap_or_else(|error| panic!("{name}: {error}"));
    let graph = builder.finish(results);
    let input = |(i, &value): (usize, &Value)| Input {
        name: format!("x{i}"),
        role: InputRole::Feature,
        ty: graph.tensor_type(value).clone(),
        checks: vec![],
    };
    let output = |(i, &value): (usize, &Value)| Output { name: format!("y{i}"), ty: graph.tensor_type(value).clone() };
    Function {
        name: name.to_string(),
        inputs: graph.parameters.iter().enumerate().map(input).collect(),
        outputs: graph.results.iter().enumerate().map(output).collect(),
        arguments: (0..graph.parameters.len()).map(Argument::Input).collect(),
        results: (0..graph.results.len()).map(ResultSlot::Output).collect(),
        graph,
    }
}

/// Compares a text with its file.
fn check(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stablehlo").join(format!("{name}.mlir"));
    if std::env::var_os("KC_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().expect("it has one")).expect("the checkout can be written");
        std::fs::write(&path, text).expect("the checkout can be written");
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected, "{} differs; KC_BLESS=1 rewrites it", path.display());
}

fn printed(function: &Function) -> String {
    let first = print(function).expect("it has a text").text;
    assert_eq!(first, print(function).expect("it has a text").text, "the same text each time");
    first
}

fn parameter(b: &mut Builder, dtype: DType, shape: &[i64]) -> Result<Value, TypeError> {
    b.parameter("x", TensorType::new(dtype, shape.iter().copied()))
}

#[test]
fn elementwise_functions() {
    let floats = function("floats", |b| {
        let x = parameter(b, DType::F32, &[3])?;
        let unary: Vec<Value> = Unary::ALL
            .iter()
            .filter(|function| function.domain().contains(DType::F32) && **function != Unary::IsFinite)
            .map(|&function| b.unary(function, x))
            .collect::<Result<_, _>>()?;
        let binary: Vec<Value> = Binary::ALL
            .iter()
            .filter(|function| function.domain().contains(DType::F32))
            .map(|&function| b.binary(function, x, x))
            .collect::<Result<_, _>>()?;
        Ok([unary, binary].concat())
    });
    check("floats", &printed(&floats));
    let others = function("others", |b| {
        let (i, u) = (parameter(b, DType::I32, &[3])?, parameter(b, DType::U8, &[3])?);
        let mut results = vec![];
        for x in [i, u] {
            let dtype = b.tensor_type(x).dtype;
            for function in Binary::ALL.iter().filter(|function| function.domain().contains(dtype)) {
                results.push(b.binary(*function, x, x)?);
            }
            for function in Unary::ALL.iter().filter(|function| function.domain().contains(dtype)) {
                results.push(b.unary(*function, x)?);
            }
            for function in Compare::ALL {
                results.push(b.compare(*function, x, x)?);
            }
            for dtype in [DType::F16, DType::Bool, DType::I64] {
                results.push(b.convert(dtype, x)?);
            }
        }
        Ok(results)
    });
    check("integers", &printed(&others));
}

#[test]
fn movement_and_constants() {
    let movement = function("movement", |b| {
        let x = parameter(b, DType::F32, &[2, 3])?;
        let value = b.constant(Literal::from_scalars(DType::F32, vec![], [Scalar::Float(f64::NEG_INFINITY)]))?;
        let list = (0..4).map(|i| Scalar::Float(0.1 * f64::from(i)));
        let list = b.constant(Literal::from_scalars(DType::Bf16, vec![2, 2], list))?;
        let long = (0..40).map(|i| Scalar::Int(i * i));
        let long = b.constant(Literal::from_scalars(DType::U16, vec![40], long))?;
        let start = vec![Dim::constant(0), Dim::constant(1)];
        let slice = Slice { start, limit: vec![Dim::constant(2), Dim::constant(3)], stride: vec![1, 2] };
        Ok(vec![
            b.add(Pad { low: vec![1, -1], high: vec![0, 2], interior: vec![0, 1] }, &[x, value])?,
            b.add(slice, &[x])?,
            b.add(Reverse { axes: vec![0] }, &[x])?,
            b.add(Concatenate { axis: 1 }, &[x, x])?,
            b.transpose(x, &[1, 0])?,
            b.reshape(x, &[Dim::constant(6)])?,
            b.broadcast(x, &[4, 2, 3].map(Dim::constant), &[1, 2])?,
            b.add(BitcastConvert { dtype: DType::U32 }, &[x])?,
            list,
            long,
        ])
    });
    check("movement", &printed(&movement));
}

#[test]
fn reductions_and_contractions() {
    let reductions = function("reductions", |b| {
        let (x, h) = (parameter(b, DType::F32, &[2, 5])?, parameter(b, DType::Bf16, &[5, 4])?);
        let wide = b.convert(DType::F32, h)?;
        let dot = DotGeneral { lhs_batch: vec![], rhs_batch: vec![], lhs_contract: vec![1], rhs_contract: vec![0] };
        let halves =
            DotGeneral { lhs_batch: vec![1], rhs_batch: vec![1], lhs_contract: vec![0], rhs_contract: vec![0] };
        Ok(vec![
            b.reduce(Reduction::Sum, &[1], x)?,
            b.reduce(Reduction::Product, &[0], h)?,
            b.add(ArgReduce { kind: Extremum::Max, axis: 1, dtype: DType::I64 }, &[x])?,
            b.add(ArgReduce { kind: Extremum::Min, axis: 0, dtype: DType::I8 }, &[x])?,
            b.add(Cumulative { kind: Reduction::Sum, axis: 1, reverse: true }, &[x])?,
            b.add(Recurrence { axis: 1, reverse: false }, &[x, x])?,
            b.add(dot, &[x, wide])?,
            b.add(halves, &[h, h])?,
        ])
    });
    check("reductions", &printed(&reductions));
}

#[test]
fn windows() {
    let windows = function("windows", |b| {
        let (x, k) = (parameter(b, DType::F32, &[1, 6, 6, 2])?, parameter(b, DType::F32, &[3, 3, 1, 4])?);
        let window = Window {
            size: vec![1, 2, 2, 1],
            strides: vec![1, 2, 2, 1],
            padding: vec![(0, 0), (1, 1), (0, 0), (0, 0)],
            base_dilation: vec![1; 4],
            window_dilation: vec![1; 4],
        };
        let dilated = Window { window_dilation: vec![1, 2, 1, 1], ..window.clone() };
        let convolution = Convolution {
            axes: ConvolutionAxes::channels_last(2),
            strides: vec![2, 1],
            padding: vec![(1, 1), (0, 0)],
            lhs_dilation: vec![1, 1],
            rhs_dilation: vec![1, 2],
            feature_groups: 2,
            batch_groups: 1,
        };
        let pooled = b.add(ReduceWindow { kind: Reduction::Max, window: window.clone() }, &[x])?;
        let spread = b.add(ReduceWindow { kind: Reduction::Max, window: dilated.clone() }, &[x])?;
        Ok(vec![
            b.add(convolution, &[x, k])?,
            b.add(SelectAndScatter { window }, &[x, pooled])?,
            b.add(SelectAndScatter { window: dilated }, &[x, spread])?,
        ])
    });
    check("windows", &printed(&windows));
}

#[test]
fn indexed() {
    let indexed = function("indexed", |b| {
        let (x, i) = (parameter(b, DType::F32, &[5, 3])?, parameter(b, DType::U8, &[4, 1])?);
        let windows = IndexedWindows {
            offset: vec![1],
            collapsed: vec![0],
            operand_batch: vec![],
            indices_batch: vec![],
            index_map: vec![0],
        };
        let gather = |mode| Gather { windows: windows.clone(), sizes: vec![Dim::constant(1), Dim::constant(3)], mode };
        let taken = b.add(gather(GatherMode::Clip), &[x, i])?;
        let filled = b.add(gather(GatherMode::Invalid), &[x, i])?;
        let scatter = |kind, mode| Scatter { kind, windows: windows.clone(), mode };
        Ok(vec![
            taken,
            b.add(scatter(ScatterKind::Add, ScatterMode::Drop), &[x, i, filled])?,
            b.add(scatter(ScatterKind::Set, ScatterMode::Clip), &[x, i, taken])?,
        ])
    });
    check("indexed", &printed(&indexed));
}

#[test]
fn sorting_and_random_bits() {
    let sorting = function("sorting", |b| {
        let (x, n) = (parameter(b, DType::F32, &[2, 6])?, parameter(b, DType::I32, &[2, 6])?);
        let key = parameter(b, DType::U32, &[2])?;
        let both = b.add(Sort { axis: 1, keys: 2, direction: Direction::Ascending }, &[n, x])?;
        let top = b.top_k(x, 2)?;
        let bits = b.add(RandomBits { shape: vec![Dim::constant(3)] }, &[key])?;
        let low = b.splat(DType::U32, 1i64, &[])?;
        let words = b.add(Threefry {}, &[key, low, low])?;
        Ok([b.projections(both)?, top.to_vec(), vec![bits], b.projections(words)?].concat())
    });
    check("sorting", &printed(&sorting));
}

#[test]
fn control_flow() {
    use kc_ir::tensor::Region;
    let control = function("control", |b| {
        let (x, s, i) =
            (parameter(b, DType::F32, &[3])?, parameter(b, DType::F32, &[4, 3])?, parameter(b, DType::I8, &[])?);
        let ty = TensorType::new(DType::F32, [3i64]);
        let body = |build: &dyn Fn(&mut Builder, Value, Value) -> Result<Vec<Value>, TypeError>| {
            let mut body = Builder::new();
            let (first, second) = (body.parameter("a", ty.clone())?, body.parameter("b", ty.clone())?);
            let results = build(&mut body, first, second)?;
            Ok::<_, TypeError>(Region::new(body.finish(results)))
        };
        let sum = body(&|b, x, y| Ok(vec![b.binary(Binary::Add, x, y)?]))?;
        let product = body(&|b, x, y| Ok(vec![b.binary(Binary::Multiply, x, y)?]))?;
        let next = body(&|b, x, y| {
            let sum = b.binary(Binary::Add, x, y)?;
            Ok(vec![sum, sum])
        })?;
        let small = body(&|b, x, y| {
            let sum = b.binary(Binary::Add, x, y)?;
            let sum = b.reduce(Reduction::Sum, &[0], sum)?;
            let limit = b.constant(Literal::scalar(DType::F32, 10.0))?;
            Ok(vec![b.compare(Compare::Less, sum, limit)?])
        })?;
        let chosen = b.add(Cond { branches: vec![sum.clone(), product] }, &[i, x, x])?;
        let grown = b.add(While { carried: 1, condition: small, body: sum }, &[x, x])?;
        let scan = Scan { carried: 1, sequences: 1, length: Dim::constant(4), reverse: true, body: next };
        let scanned = b.add(scan, &[x, s])?;
        Ok([b.projections(chosen)?, b.projections(grown)?, b.projections(scanned)?].concat())
    });
    check("control", &printed(&control));
}

#[test]
fn library_functions() {
    let library = function("library", |b| {
        let (a, y) = (parameter(b, DType::F32, &[2, 3, 3])?, parameter(b, DType::F32, &[2, 3, 1])?);
        let solve = CustomFunction::TriangularSolve { triangle: Triangle::Lower, diagonal: Diagonal::Ones };
        let mut results = b.custom_call(CustomFunction::Cholesky, &[a])?;
        results.extend(b.custom_call(solve, &[a, y])?);
        results.extend(b.fft(a, a)?);
        results.extend(b.inverse_fft(a, a)?);
        Ok(results)
    });
    check("library", &printed(&library));
    let factors = function("factors", |b| {
        let (square, wide) = (parameter(b, DType::F32, &[2, 3, 3])?, parameter(b, DType::F64, &[2, 3])?);
        let mut results = b.custom_call(CustomFunction::Lu, &[square])?;
        results.extend(b.custom_call(CustomFunction::Qr { factors: Factors::Full }, &[wide])?);
        results.extend(b.custom_call(CustomFunction::Eigh, &[square])?);
        results.extend(b.custom_call(CustomFunction::Svd { factors: Factors::Reduced }, &[wide])?);
        results.extend(b.custom_call(CustomFunction::SingularValues, &[square])?);
        Ok(results)
    });
    check("factors", &printed(&factors));
    let missing = function("missing", |b| {
        let a = parameter(b, DType::F32, &[3, 3])?;
        b.custom_call(CustomFunction::Eig, &[a])
    });
    assert_eq!(
        print(&missing).expect_err("XLA has no such op").to_string(),
        "eig: XLA has no eigenvalues of matrices that are not symmetric, so the back end xla cannot compute them; take `eigh` where \
         the matrix is symmetric, or compile the model for `--target cpu`"
    );
}

#[test]
fn unknown_extents_become_numbers() {
    let batch = |b: &mut Builder| {
        let ty = TensorType { dtype: DType::F32, shape: vec![Dim::symbol("B"), Dim::constant(3)] };
        let x = b.parameter("x", ty)?;
        let ty = b.tensor_type(x).clone();
        let all: Dim = ty.elements();
        let flat = b.reshape(x, std::slice::from_ref(&all))?;
        let count = b.dimension(all, DType::F32)?;
        let sum = b.reduce(Reduction::Sum, &[0], flat)?;
        let running = b.add(Cumulative { kind: Reduction::Sum, axis: 0, reverse: false }, &[x])?;
        Ok(vec![b.binary(Binary::Divide, sum, count)?, running])
    };
    let function = function("batch", batch);
    let text = printed(&function);
    assert!(text.contains("tensor<${B}x3xf32>"), "{text}");
    check("batch", &instantiate(&text, &|_| Some(8)).expect("B is known"));
    let mesh = vec![MeshAxis { name: "batch".into(), size: 4 }];
    let distribution = Distribution { mesh, state: vec![], batch: Some(0) };
    let divided = print_spread(&function, &distribution, Batch::Divided).expect("it has a text").text;
    check("divided", &instantiate(&divided, &|_| Some(8)).expect("B is known"));
}
