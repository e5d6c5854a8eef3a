use crate::cli::{Extract, Tune};
use crate::failure::{Context, Failure, Outcome};
use crate::{compile, output, paths, table};
use kc_codegen::Backend;
use kc_ir::manifest::{Input, InputRole, ModelInfo, Output};
use kc_ir::tensor::ops::{Binary, Unary};
use kc_ir::tensor::{Argument, Builder, Function, Module, ResultSlot, TypeError, Value};
use kc_ir::{DType, TensorType};
use kc_passes::CostConstants;
use kc_runtime::{Array, Session, SessionOptions};
use std::time::{Duration, Instant};

/// How long a measurement lasts at least.
const SAMPLE: Duration = Duration::from_millis(40);

/// Samples of which the shortest counts: what disturbs only makes them longer.
const SAMPLES: usize = 5;

/// `kc tune`: measures the constants of the cost model on this machine and keeps them in a file.
pub fn tune(arguments: &Tune) -> Outcome {
    let mut rows = vec![vec![
        "back end".to_owned(),
        "GB/s".into(),
        "GFLOP/s".into(),
        "Gop/s".into(),
        "Gexp/s".into(),
        "launch us".into(),
    ]];
    for backend in compile::present(&arguments.backend)? {
        let constants = measured(&*backend)?;
        let path = compile::tuned_path(&*backend);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).context(|| format!("cannot make {}", folder.display()))?;
        }
        let text = format!("{:#}\n", compile::constants_as_json(&constants));
        paths::write_atomically(&path, text.as_bytes()).context(|| format!("cannot write {}", path.display()))?;
        rows.push(vec![
            backend.name().to_owned(),
            format!("{:.1}", constants.bytes_per_nanosecond),
            format!("{:.1}", constants.contraction_flops_per_nanosecond),
            format!("{:.1}", constants.elementwise_operations_per_nanosecond),
            format!("{:.2}", constants.exponentials_per_nanosecond),
            format!("{:.2}", constants.launch_nanoseconds / 1e3),
        ]);
        rows.push(vec![format!("  {}", path.display())]);
    }
    output::print(&table::columns(&rows))
}

/// The constants, from programs that do little but what each is about.
fn measured(backend: &dyn Backend) -> Outcome<CostConstants> {
    const LARGE: i64 = 1 << 24;
    const NEAR: i64 = 1 << 16;
    const STEPS: i64 = 16;
    const SIDE: i64 = 512;
    const LAUNCHES: i64 = 32;
    let copy = nanoseconds(backend, &[LARGE], |b, x| {
        let one = b.splat_like(1.0, x)?;
        b.binary(Binary::Add, x, one)
    })?;
    let elementwise = nanoseconds(backend, &[NEAR], |b, x| {
        let [factor, addend] = [b.splat_like(0.75, x)?, b.splat_like(0.5, x)?];
        let mut y = x;
        for _ in 0..STEPS {
            y = b.binary(Binary::Multiply, y, factor)?;
            y = b.binary(Binary::Add, y, addend)?;
        }
        Ok(y)
    })?;
    // each of a negative number
    let exponentials = nanoseconds(backend, &[NEAR], |b, x| {
        (0..STEPS).try_fold(x, |y, _| {
            let y = b.unary(Unary::Negate, y)?;
            b.unary(Unary::Exp, y)
        })
    })?;
    let contraction = nanoseconds(backend, &[SIDE, SIDE], |b, x| b.matmul(x, x))?;
    let chain = |launches: i64| {
        nanoseconds(backend, &[8, 8], move |b, x| (0..launches).try_fold(x, |product, _| b.matmul(product, x)))
    };
    let launch = (chain(1 + LAUNCHES)? - chain(1)?) / LAUNCHES as f64;
    Ok(CostConstants {
        bytes_per_nanosecond: 8.0 * LARGE as f64 / copy,
        contraction_flops_per_nanosecond: 2.0 * (SIDE * SIDE * SIDE) as f64 / contraction,
        elementwise_operations_per_nanosecond: 2.0 * (STEPS * NEAR) as f64 / elementwise,
        exponentials_per_nanosecond: (STEPS * NEAR) as f64 / exponentials,
        launch_nanoseconds: launch.max(1.0),
    })
}

/// The time of one execution of a formula of a tensor of f32.
fn nanoseconds(
    backend: &dyn Backend,
    shape: &[i64],
    formula: impl FnOnce(&mut Builder, Value) -> Result<Value, TypeError>,
) -> Outcome<f64> {
    let module = module(shape, formula).map_err(Failure::new)?;
    let package = compile::compile(&module, backend, Extract::Greedy)?;
    let failed = || "cannot run the measurement".to_owned();
    let mut session = Session::new(&package, &SessionOptions::default()).context(failed)?;
    let shape: Vec<usize> = shape.iter().map(|&extent| extent.unsigned_abs() as usize).collect();
    let input = Array::from_slice(&vec![0.5f32; shape.iter().product()], &shape).context(failed)?;
    let entry = session.entry("predict").context(failed)?;
    let mut outputs = Vec::new();
    let mut best = f64::INFINITY;
    for _ in 0..SAMPLES {
        let start = Instant::now();
        let mut calls = 0u32;
        while start.elapsed() < SAMPLE {
            session.run_into(entry, &[&input], &mut outputs).context(failed)?;
            calls += 1;
        }
        best = best.min(start.elapsed().as_nanos() as f64 / f64::from(calls));
    }
    Ok(best)
}

fn module(
    shape: &[i64],
    formula: impl FnOnce(&mut Builder, Value) -> Result<Value, TypeError>,
) -> Result<Module, TypeError> {
    let mut builder = Builder::new();
    let ty = TensorType::new(DType::F32, shape.iter().copied());
    let x = builder.parameter("x", ty.clone())?;
    let y = formula(&mut builder, x)?;
    let output = Output { name: "y".into(), ty: builder.tensor_type(y).clone() };
    let function = Function {
        name: "predict".into(),
        inputs: vec![Input { name: "x".into(), role: InputRole::Feature, ty, checks: vec![] }],
        outputs: vec![output],
        arguments: vec![Argument::Input(0)],
        results: vec![ResultSlot::Output(0)],
        graph: builder.finish(vec![y]),
    };
    Ok(Module { model: ModelInfo::default(), state: vec![], functions: vec![function] })
}
