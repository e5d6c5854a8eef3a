//! How near contractions and convolutions come to the machine's peak: operations a nanosecond of generated code on one thread
//! and on two, beside independent multiply-adds in registers on as many, measured in turns. One thread is measured by the time that
//! the processor gave it, so that other programs disturb little. Also says whether both gave the same bits.
//!
//! `cargo bench -p kc-codegen --bench contractions`, with parts of names to measure only those; `kernels` prints their kernels, `asm` the
//! code of these.

use kc_codegen::roof::Roof;
use kc_codegen::{BackendChoice, Form, Options, compile, optimise, schedule_function};
use kc_ir::kernel::print_program;
use kc_ir::manifest::{Input, InputRole, ModelInfo, Output};
use kc_ir::tensor::ops::{Binary, Convolution, ConvolutionAxes, DotGeneral, Gradient, Reduction};
use kc_ir::tensor::{Argument, Builder, Function, Graph, Literal, Module, ResultSlot, Scalar, TypeError, Value};
use kc_ir::{DType, Dim, TensorType};
use kc_runtime::{Array, Session, SessionOptions};
use std::time::Instant;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// A graph and its arithmetic operations.
struct Case {
    name: String,
    operations: f64,
    /// Of what is multiplied.
    factor: DType,
    graph: Graph,
}

/// An operand; 8-bit integers are multiplied as i32.
fn parameter(b: &mut Builder, shape: &[i64], dtype: DType) -> Result<Value, TypeError> {
    let name = format!("x{}", b.graph().parameters.len());
    let shape: Vec<Dim> = shape.iter().map(|&n| Dim::constant(n)).collect();
    let x = b.parameter(&name, TensorType { dtype, shape })?;
    if dtype == DType::I8 { b.convert(DType::I32, x) } else { Ok(x) }
}

/// A product summed over one axis of each operand: `[m, k] x [k, n]`, or with operands that lie transposed.
fn product(name: &str, [m, k, n]: [i64; 3], transposed: [bool; 2], factor: DType) -> Result<Case, TypeError> {
    let mut b = Builder::new();
    let left = parameter(&mut b, &if transposed[0] { [k, m] } else { [m, k] }, factor)?;
    let right = parameter(&mut b, &if transposed[1] { [n, k] } else { [k, n] }, factor)?;
    let dot = DotGeneral {
        lhs_batch: vec![],
        rhs_batch: vec![],
        lhs_contract: vec![usize::from(!transposed[0])],
        rhs_contract: vec![usize::from(transposed[1])],
    };
    let result = b.add(dot, &[left, right])?;
    let layout = |transposed: bool| if transposed { "'" } else { "" };
    let name = format!("{name}{} {m}x{k}{} {k}x{n}{}", narrow(factor), layout(transposed[0]), layout(transposed[1]));
    Ok(Case { name, operations: 2.0 * (m * n * k) as f64, factor, graph: b.finish(vec![result]) })
}

/// The name of a dtype other than f32.
fn narrow(factor: DType) -> String {
    if factor == DType::F32 { String::new() } else { format!(" {factor}") }
}

/// The gradient of a recurrent layer's kernel: summed over time and batch.
fn recurrent(time: i64, batch: i64, from: i64, to: i64) -> Result<Case, TypeError> {
    let mut b = Builder::new();
    let left = parameter(&mut b, &[time, batch, from], DType::F32)?;
    let right = parameter(&mut b, &[time, batch, to], DType::F32)?;
    let dot = DotGeneral { lhs_batch: vec![], rhs_batch: vec![], lhs_contract: vec![0, 1], rhs_contract: vec![0, 1] };
    let result = b.add(dot, &[left, right])?;
    let name = format!("recurrent kernel gradient {time}x{batch} {from}->{to}");
    Ok(Case {
        name,
        operations: 2.0 * (time * batch * from * to) as f64,
        factor: DType::F32,
        graph: b.finish(vec![result]),
    })
}

/// A convolution of square images by square windows, or one of its gradients.
struct Image2 {
    batch: i64,
    size: i64,
    inputs: i64,
    outputs: i64,
    window: i64,
    stride: i64,
    same: bool,
}

fn convolution(image: &Image2, gradient: Option<usize>, factor: DType) -> Result<Case, TypeError> {
    let Image2 { batch, size, inputs, outputs, window, stride, same } = *image;
    let mut b = Builder::new();
    let x = parameter(&mut b, &[batch, size, size, inputs], factor)?;
    let w = parameter(&mut b, &[window, window, inputs, outputs], factor)?;
    let pad = if same { (window - 1) / 2 } else { 0 };
    let convolution = Convolution {
        axes: ConvolutionAxes::channels_last(2),
        strides: vec![stride; 2],
        padding: vec![(pad, pad); 2],
        lhs_dilation: vec![1; 2],
        rhs_dilation: vec![1; 2],
        feature_groups: 1,
        batch_groups: 1,
    };
    let y = b.add(convolution, &[x, w])?;
    let shape: Vec<i64> = b.tensor_type(y).shape.iter().filter_map(Dim::as_constant).collect();
    let operations = 2.0 * (shape.iter().product::<i64>() * window * window * inputs) as f64;
    let (what, result) = match gradient {
        None => ("convolution", y),
        Some(operand) => {
            let dy = parameter(&mut b, &shape, factor)?;
            let weighted = b.binary(Binary::Multiply, y, dy)?;
            let loss = b.reduce(Reduction::Sum, &[0, 1, 2, 3], weighted)?;
            let gradient = b.add(Gradient {}, &[loss, [x, w][operand]])?;
            (["input gradient", "kernel gradient"][operand], b.projections(gradient)?[0])
        }
    };
    let name =
        format!("{what}{} {batch}x{size}x{size}x{inputs}->{outputs} window {window} stride {stride}", narrow(factor));
    Ok(Case { name, operations, factor, graph: b.finish(vec![result]) })
}

fn cases() -> Result<Vec<Case>, TypeError> {
    let mut cases = vec![];
    for n in [256, 512, 1024, 2048] {
        cases.push(product("product", [n; 3], [false; 2], DType::F32)?);
    }
    for extents in [[64, 784, 128], [128, 784, 512], [128, 512, 512], [1000, 1000, 1000], [3200, 64, 512]] {
        cases.push(product("product", extents, [false; 2], DType::F32)?);
    }
    for extents in [[784, 64, 128], [784, 128, 512], [512, 128, 512], [1024, 1024, 1024]] {
        cases.push(product("left transposed", extents, [true, false], DType::F32)?);
    }
    for extents in [[128, 512, 512], [1024, 1024, 1024], [64, 128, 9216]] {
        cases.push(product("right transposed", extents, [false, true], DType::F32)?);
    }
    cases.push(recurrent(100, 32, 128, 512)?);
    cases.push(recurrent(100, 32, 64, 512)?);
    let image = |batch, size, inputs, outputs, window, stride, same| Image2 {
        batch,
        size,
        inputs,
        outputs,
        window,
        stride,
        same,
    };
    let small = image(64, 28, 1, 32, 3, 1, false);
    let second = image(64, 26, 32, 64, 3, 1, false);
    cases.push(convolution(&small, None, DType::F32)?);
    cases.push(convolution(&small, Some(1), DType::F32)?);
    cases.push(convolution(&second, None, DType::F32)?);
    cases.push(convolution(&second, Some(0), DType::F32)?);
    cases.push(convolution(&second, Some(1), DType::F32)?);
    for (size, inputs, outputs, window, stride) in [
        (224, 3, 64, 7, 2),
        (56, 64, 64, 1, 1),
        (56, 64, 64, 3, 1),
        (56, 256, 64, 1, 1),
        (56, 256, 512, 1, 2),
        (28, 128, 128, 3, 1),
        (14, 256, 256, 3, 1),
        (14, 1024, 256, 1, 1),
        (7, 512, 512, 3, 1),
        (7, 512, 2048, 1, 1),
    ] {
        for factor in [DType::F32, DType::Bf16] {
            cases.push(convolution(&image(1, size, inputs, outputs, window, stride, window > 1), None, factor)?);
        }
    }
    for factor in [DType::Bf16, DType::I8] {
        for extents in [[512; 3], [1024; 3], [2048; 3], [64, 784, 128], [128, 512, 512], [1000, 1001, 1000]] {
            cases.push(product("product", extents, [false; 2], factor)?);
        }
        cases.push(product("left transposed", [1024; 3], [true, false], factor)?);
        cases.push(product("right transposed", [1024; 3], [false, true], factor)?);
    }
    for gradient in [0, 1] {
        cases.push(convolution(&second, Some(gradient), DType::Bf16)?);
    }
    Ok(cases)
}

/// A graph as a module of one entry point.
fn module(graph: &Graph) -> Module {
    let ty = |value: &Value| graph.tensor_type(*value).clone();
    let input = |(i, value)| Input { name: format!("x{i}"), role: InputRole::Feature, ty: ty(value), checks: vec![] };
    let output = |(i, value)| Output { name: format!("y{i}"), ty: ty(value) };
    let function = Function {
        name: "call".into(),
        inputs: graph.parameters.iter().enumerate().map(input).collect(),
        outputs: graph.results.iter().enumerate().map(output).collect(),
        arguments: (0..graph.parameters.len()).map(Argument::Input).collect(),
        results: (0..graph.results.len()).map(ResultSlot::Output).collect(),
        graph: graph.clone(),
    };
    Module { model: ModelInfo::default(), state: vec![], functions: vec![function] }
}

/// The peak of so many threads, in operations a nanosecond.
fn peak_of(roof: &Roof, threads: usize, factor: DType) -> f64 {
    if threads > 1 {
        return roof.operations_per_nanosecond(threads, factor);
    }
    let start = Clock::start(1);
    let operations = roof.multiply_add(factor);
    operations / start.nanoseconds()
}

/// The time that passes, or that the processor gives the program's only thread.
enum Clock {
    Wall(Instant),
    #[cfg(unix)]
    Processor(f64),
}

impl Clock {
    fn start(threads: usize) -> Self {
        #[cfg(unix)]
        if threads == 1 {
            return Clock::Processor(processor_nanoseconds());
        }
        let _ = threads;
        Clock::Wall(Instant::now())
    }

    fn nanoseconds(&self) -> f64 {
        match self {
            Clock::Wall(start) => start.elapsed().as_nanos() as f64,
            #[cfg(unix)]
            Clock::Processor(start) => processor_nanoseconds() - start,
        }
    }
}

/// Processor time of the calling thread.
#[cfg(unix)]
fn processor_nanoseconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the time is writable.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

fn array(ty: &TensorType, seed: usize) -> Outcome<Array> {
    let shape: Vec<usize> = ty.shape.iter().map(|dim| dim.as_constant().unwrap_or(1) as usize).collect();
    let values: Vec<f32> = (0..shape.iter().product::<usize>()).map(|i| ((i * 7 + seed) as f32 * 0.37).sin()).collect();
    let numbers = values.iter().map(|&x| match ty.dtype {
        DType::I8 => Scalar::Int((100.0 * x) as i128),
        _ => Scalar::Float(x.into()),
    });
    let literal = Literal::from_scalars(ty.dtype, shape.clone(), numbers);
    Ok(Array::from_bytes(ty.dtype, &shape, literal.bytes())?)
}

fn middle(samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied().unwrap_or_default()
}

fn main() -> Outcome<()> {
    let named: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_print = |name: &String| name == "kernels" || name == "asm";
    let (prints, named): (Vec<String>, Vec<String>) = named.into_iter().partition(is_print);
    let backend = BackendChoice::Auto.open()?;
    let roof = Roof::new(&*backend)?;
    println!(
        "{}, {}: operations a nanosecond, part of the peak\n\n{:<62} {:>7} {:>5} {:>7} {:>5} {:>9}",
        backend.name(),
        backend.target().name,
        "",
        "1",
        "",
        "2",
        "",
        "ms"
    );
    for case in cases()? {
        if !named.is_empty() && !named.iter().any(|name| case.name.contains(name.as_str())) {
            continue;
        }
        let module = module(&case.graph);
        if !prints.is_empty() {
            let optimised = optimise(&module.functions[0], backend.target(), &Options::default(), &mut |_, _| {})?;
            let program = schedule_function(&optimised.function, backend.target())?;
            for print in &prints {
                match print.as_str() {
                    "asm" => println!("{}", backend.emit(&program.kernels, Form::Asm)?),
                    _ => println!("{}", print_program(&program)),
                }
            }
        }
        let package = compile(&module, &*backend, &Options::default())?;
        let types = module.functions[0].inputs.iter().map(|input| &input.ty);
        let inputs = types.enumerate().map(|(i, ty)| array(ty, i)).collect::<Outcome<Vec<_>>>()?;
        let inputs: Vec<&Array> = inputs.iter().collect();
        let mut rates = [vec![], vec![]];
        let mut peaks = [vec![], vec![]];
        let mut sessions = vec![];
        for threads in [1, 2] {
            let mut session = Session::new(&package, &SessionOptions { threads, ..SessionOptions::default() })?;
            let entry = session.entry("call")?;
            let outputs = session.run("call", &inputs)?;
            sessions.push((session, entry, outputs));
        }
        let same = sessions[0].2.iter().zip(&sessions[1].2).all(|(a, b)| a.bytes() == b.bytes());
        let calls = ((case.operations / 100e6).recip() as usize).clamp(1, 1000);
        for _ in 0..15 {
            for (place, (session, entry, outputs)) in sessions.iter_mut().enumerate() {
                session.run_into(*entry, &inputs, outputs)?;
                let start = Clock::start(place + 1);
                for _ in 0..calls {
                    session.run_into(*entry, &inputs, outputs)?;
                }
                rates[place].push(case.operations * calls as f64 / start.nanoseconds());
                peaks[place].push(peak_of(&roof, place + 1, case.factor));
            }
        }
        let [one, two] = rates.map(|mut samples| middle(&mut samples));
        let [peak_one, peak_two] = peaks.map(|mut samples| middle(&mut samples));
        println!(
            "{:<62} {one:>7.1} {:>5.2} {two:>7.1} {:>5.2} {:>9.4}{}",
            case.name,
            one / peak_one,
            two / peak_two,
            case.operations / two * 1e-6,
            if same { "" } else { "  BITS DIFFER" }
        );
    }
    Ok(())
}
