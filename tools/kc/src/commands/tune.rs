use crate::cli::{Extract, Tune, TuneTarget};
use crate::failure::{Context, Failure, Outcome};
use crate::{compile, output, table, tuning};
use kc::layers::Conv2D;
use kc::{Model, Sequential};
use kc_codegen::Backend;
use kc_ir::manifest::{Input, InputRole, ModelInfo, Output};
use kc_ir::tensor::ops::{Binary, Unary};
use kc_ir::tensor::{Argument, Builder, Function, Module, ResultSlot, TypeError, Value};
use kc_ir::{DType, TensorType};
use kc_passes::{Contraction, CostConstants, Target, TileTime, WinogradCost, register_tiles};
use kc_runtime::{Array, Session, SessionOptions};
use std::time::{Duration, Instant};

/// How long a measurement lasts at least.
const SAMPLE: Duration = Duration::from_millis(40);

/// Samples of which the shortest counts: what disturbs only makes them longer.
const SAMPLES: usize = 5;

/// `kc tune`: measures the constants of the cost model, the register tiles of contractions, and convolutions by Winograd's tiles beside direct
/// ones on this machine, and keeps them in a file.
pub fn tune(arguments: &Tune) -> Outcome {
    if arguments.target == TuneTarget::Cuda {
        let message = "`kc tune` does not measure GPUs yet; for them the constants of the code's table of targets hold";
        return Err(Failure::new(message));
    }
    let mut rows = vec![vec![
        "back end".to_owned(),
        "GB/s".into(),
        "GFLOP/s".into(),
        "Gop/s".into(),
        "Gexp/s".into(),
        "launch us".into(),
        "best tile".into(),
        "Winograd from".into(),
    ]];
    for mut backend in compile::present(&arguments.backend)? {
        output::note(&format!("measuring with the back end {}, some seconds", backend.name()));
        let tiles = tiles(&mut *backend)?;
        backend.target_mut().tiles = tiles;
        let mut cost = constants(&*backend)?;
        backend.target_mut().cost = cost;
        if backend.target().contraction == Contraction::Generated {
            cost.winograd = winograd(&mut *backend)?;
            backend.target_mut().cost = cost;
        }
        let path = tuning::keep(&*backend)?;
        rows.push(vec![
            backend.name().to_owned(),
            format!("{:.1}", cost.bytes_per_nanosecond),
            format!("{:.1}", cost.contraction_flops_per_nanosecond),
            format!("{:.1}", cost.elementwise_operations_per_nanosecond),
            format!("{:.2}", cost.exponentials_per_nanosecond),
            format!("{:.2}", cost.launch_nanoseconds / 1e3),
            best(backend.target()),
            least_channels(backend.target()),
        ]);
        rows.push(vec![format!("  {}", path.display())]);
    }
    output::print(&table::columns(&rows))
}

/// Rows and columns of the tile with the most multiply-adds in a nanosecond.
fn best(target: &Target) -> String {
    let speed = |time: &TileTime| f64::from(time.rows * time.vectors * target.lanes()) / time.nanoseconds;
    let best = target.tiles.iter().max_by(|a, b| speed(a).total_cmp(&speed(b)));
    best.map_or_else(|| "-".to_owned(), |time| format!("{}x{}", time.rows, time.vectors * target.lanes()))
}

/// From how many channels, to as many features, a convolution of large images goes by Winograd's tiles.
fn least_channels(target: &Target) -> String {
    if target.contraction != Contraction::Generated {
        return "-".to_owned();
    }
    let WinogradCost { products, transform } = target.cost.winograd;
    match 1.0 - PRODUCTS / products {
        ..=0.0 => "never".to_owned(),
        won => format!("{} channels", (TRANSFORMS * transform / won).ceil()),
    }
}

/// Of a convolution of n channels to n features, in a tile of 2 x 2 results: the products by tiles as a share of the direct one's n^2 * 72
/// operations, and the 2 n transforms.
const PRODUCTS: f64 = 32.0 / 72.0;
const TRANSFORMS: f64 = 2.0 / 72.0;

/// Measures convolutions by Winograd's tiles beside direct ones, with few and with many channels: from the two ratios follow what products
/// and what transforms cost.
fn winograd(backend: &mut dyn Backend) -> Outcome<WinogradCost> {
    const CHANNELS: [usize; 2] = [32, 192];
    // products so cheap, or so costly, that the choice is sure
    const CHOICES: [f64; 2] = [1e6, 1e-6];
    let mut ratios = [0.0; 2];
    for (ratio, channels) in ratios.iter_mut().zip(CHANNELS) {
        let mut times = [0.0; 2];
        for (time, products) in times.iter_mut().zip(CHOICES) {
            backend.target_mut().cost.winograd = WinogradCost { products, transform: 1.0 / products };
            *time = convolution(backend, channels)?;
        }
        *ratio = times[0] / times[1];
    }
    Ok(solved(CHANNELS.map(|channels| channels as f64), ratios))
}

/// The time of a convolution of eight images with filters of 3 x 3, which lie ready in the form that it takes.
fn convolution(backend: &dyn Backend, channels: usize) -> Outcome<f64> {
    let images = [8, 28, 28, channels as i64];
    let input = kc::Input::new([28, 28, channels as i64]).batch_size(8);
    let layer = Conv2D::new(channels, 3).padding("same").use_bias(false);
    let module = Model::from(Sequential::new().add(input).add(layer)).module().map_err(Failure::new)?;
    time(&module, backend, &[&images])
}

/// The costs by which convolutions of so many channels, to as many features, have these ratios of times by tiles and times of direct ones:
/// `ratio = PRODUCTS / products + TRANSFORMS * transform / channels`.
fn solved(channels: [f64; 2], ratios: [f64; 2]) -> WinogradCost {
    // what disturbed a measurement must not give costs that no machine has
    const LEAST: f64 = 1e-3;
    let slope = (ratios[0] - ratios[1]) / (1.0 / channels[0] - 1.0 / channels[1]);
    let products = PRODUCTS / (ratios[1] - slope / channels[1]).max(LEAST);
    WinogradCost { products, transform: (slope / TRANSFORMS).max(LEAST) }
}

/// The times of all register tiles, each from a product that is cut into whole tiles of it; none where a library has the products.
fn tiles(backend: &mut dyn Backend) -> Outcome<Vec<TileTime>> {
    const DEPTH: i64 = 256;
    // whole for one to four vectors of up to 16 lanes
    const COLUMNS: i64 = 768;
    const ROWS: i64 = 840;
    if backend.target().contraction != Contraction::Generated {
        return Ok(vec![]);
    }
    let (threads, lanes) = (i64::from(backend.target().threads), i64::from(backend.target().lanes()));
    let mut times = Vec::new();
    for [rows, vectors] in register_tiles(backend.target()).collect::<Vec<_>>() {
        let mut time = TileTime { rows, vectors, nanoseconds: 1.0 };
        backend.target_mut().tiles = vec![time];
        let row_tiles = ROWS / i64::from(rows);
        let shapes: [&[i64]; 2] = [&[row_tiles * i64::from(rows), DEPTH], &[DEPTH, COLUMNS]];
        let all = nanoseconds(backend, &shapes, |b, operands| b.matmul(operands[0], operands[1]))?;
        let steps = row_tiles * (COLUMNS / (i64::from(vectors) * lanes)) * DEPTH;
        time.nanoseconds = all * threads as f64 / steps as f64;
        times.push(time);
    }
    Ok(times)
}

/// The constants, from programs that do little but what each is about.
fn constants(backend: &dyn Backend) -> Outcome<CostConstants> {
    const LARGE: i64 = 1 << 24;
    const NEAR: i64 = 1 << 16;
    const STEPS: i64 = 16;
    const SIDE: i64 = 512;
    const LAUNCHES: i64 = 32;
    let copy = nanoseconds(backend, &[&[LARGE]], |b, x| {
        let one = b.splat_like(1.0, x[0])?;
        b.binary(Binary::Add, x[0], one)
    })?;
    let elementwise = nanoseconds(backend, &[&[NEAR]], |b, x| {
        let [factor, addend] = [b.splat_like(0.75, x[0])?, b.splat_like(0.5, x[0])?];
        let mut y = x[0];
        for _ in 0..STEPS {
            y = b.binary(Binary::Multiply, y, factor)?;
            y = b.binary(Binary::Add, y, addend)?;
        }
        Ok(y)
    })?;
    // each of a negative number
    let exponentials = nanoseconds(backend, &[&[NEAR]], |b, x| {
        (0..STEPS).try_fold(x[0], |y, _| {
            let y = b.unary(Unary::Negate, y)?;
            b.unary(Unary::Exp, y)
        })
    })?;
    let contraction = nanoseconds(backend, &[&[SIDE, SIDE]], |b, x| b.matmul(x[0], x[0]))?;
    let chain = |launches: i64| {
        let products = move |b: &mut Builder, x: &[Value]| (0..launches).try_fold(x[0], |y, _| b.matmul(y, x[0]));
        nanoseconds(backend, &[&[8, 8]], products)
    };
    let launch = (chain(1 + LAUNCHES)? - chain(1)?) / LAUNCHES as f64;
    Ok(CostConstants {
        bytes_per_nanosecond: 8.0 * LARGE as f64 / copy,
        contraction_flops_per_nanosecond: 2.0 * (SIDE * SIDE * SIDE) as f64 / contraction,
        elementwise_operations_per_nanosecond: 2.0 * (STEPS * NEAR) as f64 / elementwise,
        exponentials_per_nanosecond: (STEPS * NEAR) as f64 / exponentials,
        launch_nanoseconds: launch.max(1.0),
        winograd: backend.target().cost.winograd,
    })
}

/// The time of one execution of a formula of tensors of f32.
fn nanoseconds(
    backend: &dyn Backend,
    shapes: &[&[i64]],
    formula: impl FnOnce(&mut Builder, &[Value]) -> Result<Value, TypeError>,
) -> Outcome<f64> {
    time(&module(shapes, formula).map_err(Failure::new)?, backend, shapes)
}

/// The time of one prediction for tensors of f32.
fn time(module: &Module, backend: &dyn Backend, shapes: &[&[i64]]) -> Outcome<f64> {
    let package = compile::compile(module, backend, Extract::Greedy)?;
    let failed = || "cannot run the measurement".to_owned();
    let mut session = Session::new(&package, &SessionOptions::default()).context(failed)?;
    if module.function("init").is_some() {
        session.init(0).context(failed)?;
    }
    let input = |shape: &&[i64]| {
        let shape: Vec<usize> = shape.iter().map(|&extent| extent.unsigned_abs() as usize).collect();
        Array::from_slice(&vec![0.5f32; shape.iter().product()], &shape)
    };
    let inputs = shapes.iter().map(input).collect::<Result<Vec<_>, _>>().context(failed)?;
    let inputs: Vec<&Array> = inputs.iter().collect();
    let entry = session.entry("predict").context(failed)?;
    let mut outputs = Vec::new();
    let mut best = f64::INFINITY;
    for _ in 0..SAMPLES {
        let start = Instant::now();
        let mut calls = 0u32;
        while start.elapsed() < SAMPLE {
            session.run_into(entry, &inputs, &mut outputs).context(failed)?;
            calls += 1;
        }
        best = best.min(start.elapsed().as_nanos() as f64 / f64::from(calls));
    }
    Ok(best)
}

fn module(
    shapes: &[&[i64]],
    formula: impl FnOnce(&mut Builder, &[Value]) -> Result<Value, TypeError>,
) -> Result<Module, TypeError> {
    let mut builder = Builder::new();
    let (mut inputs, mut operands) = (Vec::new(), Vec::new());
    for (number, shape) in shapes.iter().enumerate() {
        let (name, ty) = (format!("x{number}"), TensorType::new(DType::F32, shape.iter().copied()));
        operands.push(builder.parameter(&name, ty.clone())?);
        inputs.push(Input { name, role: InputRole::Feature, ty, checks: vec![] });
    }
    let y = formula(&mut builder, &operands)?;
    let output = Output { name: "y".into(), ty: builder.tensor_type(y).clone() };
    let function = Function {
        name: "predict".into(),
        arguments: (0..inputs.len()).map(Argument::Input).collect(),
        inputs,
        outputs: vec![output],
        results: vec![ResultSlot::Output(0)],
        graph: builder.finish(vec![y]),
    };
    Ok(Module { model: ModelInfo::default(), state: vec![], functions: vec![function] })
}

#[cfg(test)]
mod tests {
    use super::{PRODUCTS, TRANSFORMS, solved};

    #[test]
    fn costs_follow_from_two_ratios() {
        let ratio = |channels: f64| PRODUCTS / 0.8 + TRANSFORMS * 120.0 / channels;
        let cost = solved([32.0, 192.0], [ratio(32.0), ratio(192.0)]);
        assert!((cost.products - 0.8).abs() < 1e-9 && (cost.transform - 120.0).abs() < 1e-9, "{cost:?}");
        for ratios in [[0.5, 0.6], [0.1, 9.0], [9.0, 0.1], [0.0, 0.0]] {
            let cost = solved([32.0, 192.0], ratios);
            assert!(cost.products > 0.0 && cost.transform > 0.0, "{ratios:?}: {cost:?}");
        }
    }
}
