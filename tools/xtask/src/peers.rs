//! `cargo xtask bench`: workloads measured in turns with other houses' programs.

mod chart;
mod growth;
mod processes;

use crate::process::{Outcome, cargo, output, program, root, run, target_dir, works};
use crate::{deploy, mlir_plugin, setup};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// A model at a batch size, as kc and peers compute it.
struct Workload {
    name: String,
    /// The name that `benches/peers.py` knows.
    peers_name: &'static str,
    model: Model,
    /// In which products are computed: `f32` or `bf16`.
    dtype: &'static str,
    batch_size: i64,
    entries: &'static [&'static str],
    /// Frameworks of `benches/peers.py`.
    peers: &'static [&'static str],
}

/// Where the model's file is.
enum Model {
    File(&'static str),
    /// A product of a batch of rows with weights of these extents.
    Product([i64; 2]),
}

const BOTH: &[&str] = &["train_step", "predict"];
const PREDICT: &[&str] = &["predict"];

fn workloads() -> Vec<Workload> {
    let named = |name: &str, peers_name, file, batch_size, entries, peers| Workload {
        name: name.to_owned(),
        peers_name,
        model: Model::File(file),
        dtype: if name.ends_with("bf16") { "bf16" } else { "f32" },
        batch_size,
        entries,
        peers,
    };
    let resnet = "frontend/examples/resnet50.rs";
    let mut all = vec![
        named("a", "a", "benches/models/a.rs", 64, BOTH, &["jax", "torch", "keras", "onnxruntime"]),
        named("b", "b", "benches/models/b.rs", 128, BOTH, &["jax", "torch", "keras", "onnxruntime"]),
        named("c", "c", "benches/models/c.rs", 64, BOTH, &["torch", "jax", "keras", "onnxruntime", "openvino"]),
        named("d1", "d", resnet, 1, PREDICT, &["openvino", "onnxruntime", "torch"]),
        named("d8", "d", resnet, 8, PREDICT, &["openvino", "onnxruntime", "torch"]),
        named("d1bf16", "d", "benches/models/d_bf16.rs", 1, PREDICT, &["openvino", "torch"]),
        named("d8bf16", "d", "benches/models/d_bf16.rs", 8, PREDICT, &["openvino", "torch"]),
        named("e", "e", "benches/models/e.rs", 32, BOTH, &["torch", "torch.compile", "jax", "onnxruntime"]),
        named("f", "f", "benches/models/f.rs", 8, BOTH, &["torch", "jax", "onnxruntime", "openvino"]),
        named("g", "g", "benches/models/g.rs", 4096, PREDICT, &["torch.compile", "torch", "jax"]),
    ];
    const PRODUCTS: [[i64; 3]; 5] = [[512; 3], [1024; 3], [2048; 3], [64, 784, 128], [128, 512, 512]];
    let dtypes: [(_, _, &[&str]); 2] = [("", "f32", &["numpy", "torch", "jax"]), ("bf16", "bf16", &["torch"])];
    for (suffix, dtype, peers) in dtypes {
        for [m, k, n] in PRODUCTS {
            let extents = if m == n { m.to_string() } else { format!("{m}x{k}x{n}") };
            all.push(Workload {
                name: format!("gemm{extents}{suffix}"),
                peers_name: "gemm",
                model: Model::Product([k, n]),
                dtype,
                batch_size: m,
                entries: PREDICT,
                peers,
            });
        }
    }
    all
}

/// Measures the workloads that are named, all where none is; with `--peers` beside the frameworks, which are installed from PyPI.
/// With `--growth` first, how cost grows with sizes; with `--processes` first, what a process costs. Writes `target/kc-bench.json` and `target/kc-bench.svg`. Other options, written as `--name=value`, go to
/// `kc bench`.
pub fn bench(arguments: &[String]) -> Outcome {
    if let Some((option, rest)) = arguments.split_first()
        && option == "--deploy"
    {
        return deploy::deploy(rest);
    }
    let mut all = workloads();
    let (options, names): (Vec<&String>, Vec<&String>) =
        arguments.iter().partition(|argument| argument.starts_with('-'));
    if let Some((_, options)) = options.split_first().filter(|(first, _)| **first == "--growth") {
        build()?;
        return growth::growth(options);
    }
    if let Some((_, options)) = options.split_first().filter(|(first, _)| **first == "--processes") {
        return processes::processes(options);
    }
    let with_peers = options.iter().any(|option| *option == "--peers");
    let known: Vec<String> = all.iter().map(|workload| workload.name.clone()).collect();
    let is = |workload: &str, name: &str| {
        let rest = workload.strip_prefix(name).map(|rest| rest.strip_suffix("bf16").unwrap_or(rest));
        rest.is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit() || c == 'x'))
    };
    if let Some(unknown) = names.iter().find(|name| !known.iter().any(|workload| is(workload, name))) {
        return Err(format!("unknown workload `{unknown}`; known are: {}", known.join(", ")));
    }
    all.retain(|workload| names.is_empty() || names.iter().any(|name| is(&workload.name, name)));
    build()?;
    let python = with_peers.then(|| python(&target_dir().join("peers"), PACKAGES)).transpose()?;
    let mut rows = vec![];
    for workload in &all {
        let measured = measure(workload, python.as_deref(), &options)?;
        measured.iter().for_each(|row| println!("{}", line(row)));
        rows.extend(measured);
    }
    let report = json!({"processor": processor(), "date": date()?, "rows": rows});
    let write = |name: &str, text: String| {
        let path = target_dir().join(name);
        std::fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
    };
    write("kc-bench.json", format!("{report:#}\n"))?;
    write("kc-bench.svg", chart::chart(&rows))?;
    println!("\n{}", table(&rows));
    println!("{}, {}; target/kc-bench.json, target/kc-bench.svg", text(&report["processor"]), text(&report["date"]));
    Ok(())
}

/// What is measured.
fn build() -> Outcome {
    mlir_plugin::build().map(drop).unwrap_or_else(|reason| println!("without the MLIR plug-in: {reason}"));
    run(cargo().args(["build", "--release", "--package", "kc-tool"]))
}

/// The rows of a workload: one for each entry point and back end.
fn measure(workload: &Workload, python: Option<&Path>, options: &[&String]) -> Outcome<Vec<Value>> {
    let kc = target_dir().join("release/kc");
    let mut command = program(&kc.to_string_lossy());
    let batch_size = workload.batch_size.to_string();
    command.arg("bench").arg(model(workload)?).args(["--batch-size", &batch_size, "--repeats", "21"]);
    command.args(["--json", "--floor", "--mode", "fused"]);
    for entry in workload.entries {
        command.args(["--entry", entry]);
    }
    for framework in python.iter().flat_map(|_| workload.peers) {
        let Some(python) = python else { continue };
        let shape = match workload.model {
            Model::File(_) => String::new(),
            Model::Product([k, n]) => format!("{k}x{n}"),
        };
        let (script, name) = (root().join("benches/peers.py"), workload.peers_name);
        command.arg("--peer").arg(format!(
            "{} {} {framework} {name}{shape} --dtype {}",
            python.display(),
            script.display(),
            workload.dtype
        ));
    }
    command.args(options.iter().filter(|option| **option != "--peers"));
    let text = output(&mut command)?;
    let report: Value = serde_json::from_str(&text).map_err(|error| format!("`kc bench` printed no JSON: {error}"))?;
    let figures: Vec<&Value> = report["figures"].as_array().into_iter().flatten().collect();
    let ours = figures.iter().filter(|figure| figure["mode"] == "fused");
    Ok(ours.map(|own| row(workload, own, &figures, &report)).collect())
}

fn row(workload: &Workload, own: &Value, figures: &[&Value], report: &Value) -> Value {
    let mut peers = serde_json::Map::new();
    for figure in figures.iter().filter(|figure| figure["mode"] == "-" && figure["entry"] == own["entry"]) {
        peers.insert(text(&figure["program"]), figure["milliseconds"].clone());
    }
    let ms = own["milliseconds"].as_f64().unwrap_or(f64::NAN);
    let best = peers.values().filter_map(Value::as_f64).min_by(f64::total_cmp);
    let floor = own["floor_milliseconds"].as_f64();
    let is_near = floor.is_some_and(|floor| ms * 0.9 <= floor);
    json!({
        "workload": workload.name,
        "phase": if own["entry"] == "train_step" { "fit" } else { "predict" },
        "batch_size": workload.batch_size,
        "dtype": workload.dtype,
        "backend": own["program"],
        "kc_ms": ms,
        "kc_least_ms": own["least_milliseconds"],
        "kc_greatest_ms": own["greatest_milliseconds"],
        "peers": peers,
        "ratio": best.map(|best| best / ms),
        "floor_ms": floor,
        "gflops": report["operations_per_nanosecond"],
        "gbytes": report["bytes_per_nanosecond"],
        "note": if is_near { "within 0.9 of the floor" } else { "" },
    })
}

/// The model's file; that of a product is written first.
fn model(workload: &Workload) -> Outcome<PathBuf> {
    match workload.model {
        Model::File(file) => Ok(root().join(file)),
        Model::Product([k, n]) => {
            let folder = target_dir().join("bench");
            let path = folder.join(format!("{}.rs", workload.name));
            let policy = match workload.dtype {
                "bf16" => "    kc::config::set_dtype_policy(\"mixed_bfloat16\")?;\n",
                _ => "",
            };
            let text = format!(
                "use kc::prelude::*;\n\n#[kc::model]\nfn product() -> kc::Result<Sequential> {{\n{policy}    let mut model = \
                 Sequential::new().add(Input::new([{k}])).add(Dense::new({n}).use_bias(false));\n    \
                 model.compile(SGD::new(), \"mean_squared_error\", ())?;\n    Ok(model)\n}}\n"
            );
            let written = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&path, text));
            written.map_err(|error| format!("cannot write {}: {error}", path.display()))?;
            Ok(path)
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn number(value: &Value) -> String {
    match value.as_f64() {
        Some(value) if value >= 100.0 => format!("{value:.0}"),
        Some(value) if value >= 1.0 => format!("{value:.2}"),
        Some(value) => format!("{value:.3}"),
        None => "-".to_owned(),
    }
}

/// The peers of a row, the quickest first.
fn peers(row: &Value) -> Vec<(String, f64)> {
    let all = row["peers"].as_object().into_iter().flatten();
    let mut peers: Vec<(String, f64)> = all.filter_map(|(name, ms)| Some((name.clone(), ms.as_f64()?))).collect();
    peers.sort_by(|a, b| a.1.total_cmp(&b.1));
    peers
}

fn line(row: &Value) -> String {
    let others: Vec<String> = peers(row).iter().map(|(name, ms)| format!("{name} {}", number(&json!(ms)))).collect();
    format!(
        "{} {} {}: {} ms ({} to {}), floor {}; {}",
        text(&row["workload"]),
        text(&row["phase"]),
        text(&row["backend"]),
        number(&row["kc_ms"]),
        number(&row["kc_least_ms"]),
        number(&row["kc_greatest_ms"]),
        number(&row["floor_ms"]),
        others.join(", ")
    )
}

/// The rows as a table in Markdown.
fn table(rows: &[Value]) -> String {
    let mut table =
        "| workload | back end | kc ms | best peer ms | ratio | next | floor ms |\n|---|---|---|---|---|---|---|\n"
            .to_owned();
    for row in rows {
        let peers = peers(row);
        let peer = |place: usize| {
            peers.get(place).map_or("-".to_owned(), |(name, ms)| format!("{name} {}", number(&json!(ms))))
        };
        table += &format!(
            "| {} {} | {} | {} | {} | {} | {} | {} |\n",
            text(&row["workload"]),
            text(&row["phase"]),
            text(&row["backend"]),
            number(&row["kc_ms"]),
            peer(0),
            row["ratio"].as_f64().map_or("-".to_owned(), |ratio| format!("{ratio:.2}")),
            peer(1),
            number(&row["floor_ms"])
        );
    }
    table
}

/// The processor's model.
fn processor() -> String {
    let information = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = information.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{}, {threads} threads", model.map_or(std::env::consts::ARCH, |(_, name)| name.trim()))
}

/// Today, as `2026-01-31`.
fn date() -> Outcome<String> {
    output(program("date").args(["-u", "+%F"])).map(|date| date.trim().to_owned())
}

/// What the peers need.
const PACKAGES: &[&str] = &["torch", "numpy", "jax", "keras", "onnx", "onnxscript", "onnxruntime", "openvino"];

/// The Python of a virtual environment that has these packages of PyPI, installed where they are missing.
pub fn python(folder: &Path, packages: &[&str]) -> Outcome<PathBuf> {
    let python = folder.join("bin/python");
    let interpreter = python.to_string_lossy().into_owned();
    if works(program(&interpreter).args(["-c", &format!("import {}", packages.join(", "))]).env("KERAS_BACKEND", "jax"))
    {
        return Ok(python);
    }
    if !works(program("python3").args(["-c", "import venv, ensurepip"])) {
        setup::apt_install(&["python3-venv"])?;
    }
    println!("installing {} into {}", packages.join(", "), folder.display());
    run(program("python3").args(["-m", "venv"]).arg(folder))?;
    run(program(&interpreter).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(packages))?;
    Ok(python)
}
