//! How long compilation takes up to the kernels, by stage: train steps of a ResNet-50, of a transformer of 12 blocks, and of
//! transformers of 1 to 48 blocks. Prints a table and writes `target/compile.svg`, milliseconds per block over blocks.
//!
//! `cargo bench -p kc-tests --bench compile`, with the names of models (`resnet50`, `transformer12`, `blocks`) to measure only those.

use kc::prelude::*;
use kc_ir::manifest::Step;
use kc_ir::tensor::Module;
use kc_passes::{SaturationOptions, Target, differentiate, saturate, schedule, simplify};
use std::fmt::Write;
use std::time::Instant;

/// Each stage's milliseconds, and what came out.
struct Measured {
    stages: [f64; 4],
    nodes: usize,
    kernels: usize,
    note: String,
}

const STAGES: [&str; 4] = ["trace", "differentiate", "saturate", "schedule"];

fn measure(model: impl Fn() -> kc::Result<Model>) -> Result<Measured, Box<dyn std::error::Error>> {
    let target = Target::baseline();
    let mut best: Option<Measured> = None;
    for _ in 0..3 {
        kc::utils::clear_session();
        let mut stages = [0.0; 4];
        let start = Instant::now();
        let module: Module = model()?.module()?;
        stages[0] = milliseconds(start);
        let step = module.function("train_step").ok_or("the model has no train step")?;
        let start = Instant::now();
        let graph = simplify(&differentiate(&step.graph)?);
        stages[1] = milliseconds(start);
        let start = Instant::now();
        let saturation = saturate(&graph, &target, &SaturationOptions::default())?;
        stages[2] = milliseconds(start);
        let function = kc_ir::tensor::Function { graph: saturation.graph, ..step.clone() };
        let start = Instant::now();
        let program = schedule(&function, &target)?;
        stages[3] = milliseconds(start);
        let kernels = launches(&program.steps);
        let note = {
            let report = &saturation.report;
            format!(
                "{:?}, {} e-nodes; {} of {} regions saturated",
                report.stop, report.nodes, report.saturated, report.regions
            )
        };
        let measured = Measured { stages, nodes: graph.nodes.len(), kernels, note };
        if best.as_ref().is_none_or(|best| measured.stages.iter().sum::<f64>() < best.stages.iter().sum()) {
            best = Some(measured);
        }
    }
    best.ok_or_else(|| "nothing was measured".into())
}

/// Launches of some steps, those of loops counted once.
fn launches(steps: &[Step]) -> usize {
    let of = |step: &Step| match step {
        Step::Launches(launches) => launches.len(),
        other => other.blocks().into_iter().map(launches).sum(),
    };
    steps.iter().map(of).sum()
}

fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

fn row(name: &str, measured: &Measured) {
    let [trace, differentiate, saturate, schedule] = measured.stages;
    println!(
        "{name:<16} {trace:>9.1} {differentiate:>13.1} {saturate:>9.1} {:>9.1} {schedule:>9.1} {:>7} {:>8}  {}",
        trace + differentiate + saturate,
        measured.nodes,
        measured.kernels,
        measured.note
    );
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let named: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |name: &str| named.is_empty() || named.iter().any(|other| other == name);
    println!(
        "milliseconds, the fastest of three; sum: of the first three\n\n{:<16} {:>9} {:>13} {:>9} {:>9} {:>9} {:>7} {:>8}",
        "train step", STAGES[0], STAGES[1], STAGES[2], "sum", STAGES[3], "ops", "kernels"
    );
    if wanted("resnet50") {
        row("resnet50", &measure(resnet50)?);
    }
    if wanted("transformer12") {
        row("transformer12", &measure(|| transformer(12))?);
    }
    if wanted("blocks") {
        let mut points = vec![];
        for blocks in [1, 2, 4, 8, 12, 16, 24, 32, 48] {
            let measured = measure(|| transformer(blocks))?;
            row(&format!("{blocks} blocks"), &measured);
            points.push((blocks as f64, measured.stages.map(|stage| stage / blocks as f64)));
        }
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/compile.svg");
        std::fs::write(path, plot(&points))?;
        println!("\n{path}");
    }
    Ok(())
}

/// A transformer encoder of so many blocks over 128 positions of 256 features.
fn transformer(blocks: usize) -> kc::Result<Model> {
    let input = Input::new([128, 256]);
    let mut x = input.tensor()?;
    for _ in 0..blocks {
        let h = LayerNormalization::new().call(&x)?;
        let h = MultiHeadAttention::new(8, 32).call([&h, &h])?;
        x = Add::new().call([&x, &h])?;
        let h = LayerNormalization::new().call(&x)?;
        let h = Dense::new(1024).activation("gelu").call(&h)?;
        let h = Dense::new(256).call(&h)?;
        x = Add::new().call([&x, &h])?;
    }
    let x = Flatten::new().call(&x)?;
    let y = Dense::new(10).activation("softmax").call(&x)?;
    compiled(Model::new(&input, &y)?)
}

fn compiled(mut model: Model) -> kc::Result<Model> {
    model.compile(Adam::new(), "sparse_categorical_crossentropy", ["accuracy"])?;
    Ok(model)
}

fn convolution(x: &KerasTensor, filters: usize, size: i64, strides: i64) -> kc::Result<KerasTensor> {
    let x = Conv2D::new(filters, size).strides(strides).padding("same").use_bias(false).call(x)?;
    BatchNormalization::new().call(&x)
}

/// ResNet-50 with 1000 classes.
fn resnet50() -> kc::Result<Model> {
    let input = Input::new([224, 224, 3]);
    let x = convolution(&input.tensor()?, 64, 7, 2)?;
    let x = ReLU::new().call(&x)?;
    let mut x = MaxPooling2D::new(3).strides(2).padding("same").call(&x)?;
    for (stage, (blocks, filters)) in [(3, 64), (4, 128), (6, 256), (3, 512)].into_iter().enumerate() {
        for block in 0..blocks {
            let strides = if block == 0 && stage > 0 { 2 } else { 1 };
            let y = convolution(&x, filters, 1, strides)?;
            let y = ReLU::new().call(&y)?;
            let y = convolution(&y, filters, 3, 1)?;
            let y = ReLU::new().call(&y)?;
            let y = convolution(&y, filters * 4, 1, 1)?;
            let shortcut = if block == 0 { convolution(&x, filters * 4, 1, strides)? } else { x };
            let sum = Add::new().call([&shortcut, &y])?;
            x = ReLU::new().call(&sum)?;
        }
    }
    let x = GlobalAveragePooling2D::new().call(&x)?;
    let y = Dense::new(1000).activation("softmax").call(&x)?;
    compiled(Model::new(&input, &y)?)
}

/// A line for each stage: milliseconds per block over the number of blocks.
fn plot(points: &[(f64, [f64; 4])]) -> String {
    const COLOURS: [&str; 4] = ["#4477aa", "#66ccee", "#cc3311", "#228833"];
    let (width, height, margin) = (720.0, 420.0, 60.0);
    let most_blocks = points.iter().map(|(blocks, _)| *blocks).fold(1.0, f64::max);
    let most = points.iter().flat_map(|(_, stages)| stages).copied().fold(1.0, f64::max) * 1.1;
    let x = |blocks: f64| margin + (width - 2.0 * margin) * blocks / most_blocks;
    let y = |value: f64| height - margin - (height - 2.0 * margin) * value / most;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <path d=\"M{margin} {margin}V{0}H{1}\" stroke=\"black\" fill=\"none\"/>\n\
         <text x=\"{margin}\" y=\"30\">compile time of a train step, milliseconds per block over blocks</text>\n",
        height - margin,
        width - margin
    );
    for tick in 0..=5 {
        let value = most * f64::from(tick) / 5.0;
        let _ = writeln!(svg, "<text x=\"10\" y=\"{:.1}\">{value:.1}</text>", y(value) + 4.0);
    }
    for (blocks, _) in points {
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{blocks}</text>",
            x(*blocks),
            height - margin + 18.0
        );
    }
    for (stage, (name, colour)) in STAGES.iter().zip(COLOURS).enumerate() {
        let line: Vec<String> =
            points.iter().map(|(blocks, values)| format!("{:.1},{:.1}", x(*blocks), y(values[stage]))).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" stroke=\"{colour}\" stroke-width=\"2\" fill=\"none\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{name}</text>",
            line.join(" "),
            width - margin - 80.0,
            margin + 18.0 * stage as f64
        );
    }
    svg + "</svg>\n"
}
