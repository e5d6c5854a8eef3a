//! `cargo xtask bench --processes`: what a process costs from its start to its first prediction, to the end of its first train step, and in
//! memory; what a second thread gives, what fusing gives, and what the back ends are apart.

use super::{PACKAGES, build, number, python, text};
use crate::mnist;
use crate::process::{Outcome, cargo, output, program, root, run, show, target_dir};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Processes of kc of which the median is shown.
const PROCESSES: usize = 21;
/// Processes of a peer, which starts in seconds.
const SLOW_PROCESSES: usize = 3;
/// Steps of the training whose memory is measured.
const STEPS: &str = "50";
/// Measurements with each number of threads, taken in turns.
const ROUNDS: usize = 3;

/// Prints the rows, beside the frameworks with `--peers`, and writes `target/kc-processes.json`.
pub fn processes(options: &[&String]) -> Outcome {
    let with_peers = match options {
        [] => false,
        [option] if *option == "--peers" => true,
        _ => return Err("`cargo xtask bench --processes` takes `--peers` or nothing".to_owned()),
    };
    build()?;
    run(cargo().args(["build", "--release", "--package", "kc-run"]))?;
    let train = bench_program("train")?;
    let package = mnist::trained("mlp")?;
    let python = with_peers.then(|| python(&target_dir().join("peers"), PACKAGES)).transpose()?;
    let python = python.as_deref();
    let mut report = serde_json::Map::new();
    let mut note = |what: &str, values: Row| {
        let shown: Vec<String> = values.iter().map(|(name, value)| format!("{name} {}", number(value))).collect();
        println!("{what}: {}", shown.join(", "));
        report.insert(what.to_owned(), values.into());
    };

    let mut command = program(&target_dir().join("release/kc-run").to_string_lossy());
    command.arg("first-prediction").arg(&package);
    let mut predict = vec![Subject { says_first: false, ..Subject::new("kc", command) }];
    predict.extend(peers(python, &["jax", "torch", "keras"], "a", ["predict", "1", "0"]));
    note("start to first prediction of a, ms", measure(&mut predict, |sample| sample.first)?);
    for (workload, what) in [("a", "start to the end of the first train step of a, ms"), ("c", "the same of c, ms")] {
        let mut first = kc(&train, workload, "0");
        first.extend(peers(python, &["jax", "torch", "keras"], workload, ["train_step", "64", "0"]));
        note(what, measure(&mut first, |sample| sample.first)?);
    }
    let mut fit = kc(&train, "c", STEPS);
    fit.extend(peers(python, &["jax", "torch", "keras"], "c", ["train_step", "64", STEPS]));
    note("greatest memory of c fit, MB", measure(&mut fit, |sample| sample.memory)?);
    note("train step of c by threads, ms", threads(python)?);
    for workload in ["a", "c"] {
        note(&format!("train step of {workload}, ms"), modes(workload)?);
    }
    let path = target_dir().join("kc-processes.json");
    let text = format!("{:#}\n", Value::from(report));
    std::fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// Figures by name.
type Row = serde_json::Map<String, Value>;

/// A program that is started, again and again.
struct Subject {
    name: String,
    command: Command,
    processes: usize,
    /// Whether it prints `first` when what is measured has been done; else it ends then.
    says_first: bool,
    samples: Vec<Sample>,
}

/// What one process took.
#[derive(Clone, Copy)]
struct Sample {
    /// Milliseconds to the first call's end.
    first: f64,
    /// The greatest memory, in MB.
    memory: f64,
}

impl Subject {
    fn new(name: &str, command: Command) -> Self {
        Subject { name: name.to_owned(), command, processes: PROCESSES, says_first: true, samples: Vec::new() }
    }

    fn start(&mut self) -> Outcome {
        let failed = |command: &Command| format!("`{}` failed", show(command));
        let start = Instant::now();
        let child = self.command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut child = child.map_err(|error| format!("cannot run `{}`: {error}", show(&self.command)))?;
        let mut sample = Sample { first: f64::NAN, memory: f64::NAN };
        for line in BufReader::new(child.stdout.take().ok_or("a process without standard output")?).lines() {
            let line = line.map_err(|error| format!("{}: {error}", failed(&self.command)))?;
            if line == "first" {
                sample.first = start.elapsed().as_secs_f64() * 1e3;
            }
            sample.memory = line.parse().map_or(f64::NAN, |bytes: f64| bytes / 1e6);
        }
        let status = child.wait().map_err(|error| format!("{}: {error}", failed(&self.command)))?;
        if !self.says_first {
            sample.first = start.elapsed().as_secs_f64() * 1e3;
        }
        if !status.success() || sample.first.is_nan() {
            return Err(failed(&self.command));
        }
        self.samples.push(sample);
        Ok(())
    }
}

/// kc's training program with each back end.
fn kc(train: &Path, workload: &str, steps: &str) -> Vec<Subject> {
    let of = |backend: &str| {
        let mut command = program(&train.to_string_lossy());
        command.args([workload, steps]).env("KC_BACKEND", backend);
        Subject::new(&format!("kc {backend}"), command)
    };
    vec![of("mlir"), of("cranelift")]
}

/// Frameworks of `benches/peers.py` that do the same.
fn peers(python: Option<&Path>, names: &[&str], workload: &str, once: [&str; 3]) -> Vec<Subject> {
    let Some(python) = python else { return Vec::new() };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).to_string();
    let of = |name: &&str| {
        let mut command = program(&python.to_string_lossy());
        command.arg(root().join("benches/peers.py")).args([name, workload, "--threads", &threads, "--once"]).args(once);
        Subject { processes: SLOW_PROCESSES, ..Subject::new(name, command) }
    };
    names.iter().map(of).collect()
}

/// Starts the programs in turns; the medians.
fn measure(subjects: &mut [Subject], of: impl Fn(&Sample) -> f64) -> Outcome<Row> {
    for round in 0..PROCESSES {
        for subject in subjects.iter_mut().filter(|subject| round < subject.processes) {
            subject.start()?;
        }
    }
    let medians =
        subjects.iter().map(|subject| (subject.name.clone(), json!(median(subject.samples.iter().map(&of).collect()))));
    Ok(medians.collect())
}

/// Train steps of c with one thread and with two, in turns, beside the peak of multiply-adds in the same moments.
fn threads(python: Option<&Path>) -> Outcome<Row> {
    let mut samples: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let mut scaling: [Vec<f64>; 2] = Default::default();
    for _ in 0..ROUNDS {
        let mut ours = Vec::new();
        for threads in ["1", "2"] {
            let options = ["--mode", "fused", "--backend", "mlir", "--floor", "--threads", threads];
            let report = kc_bench("c", &options, python.map(|python| (python, &["torch", "jax"][..])))?;
            for figure in report["figures"].as_array().into_iter().flatten() {
                let time = figure["milliseconds"].as_f64().unwrap_or(f64::NAN);
                samples.entry(format!("{} {threads}", text(&figure["program"]))).or_default().push(time);
                if figure["mode"] == "fused" {
                    ours.push((time, report["operations_per_nanosecond"].as_f64().unwrap_or(f64::NAN)));
                }
            }
        }
        if let [one, two] = ours[..] {
            scaling[0].push(one.0 / two.0);
            scaling[1].push(two.1 / one.1);
        }
    }
    let mut row: Row = samples.into_iter().map(|(name, samples)| (name, json!(median(samples)))).collect();
    let [kc, machine] = scaling.map(median);
    row.insert("kc's speed with two over one".to_owned(), json!(kc));
    row.insert("of multiply-adds".to_owned(), json!(machine));
    Ok(row)
}

/// Train steps op by op and fused, with both back ends, in turns.
fn modes(workload: &str) -> Outcome<Row> {
    let options = ["--mode", "fused", "--mode", "eager", "--backend", "mlir", "--backend", "cranelift"];
    let report = kc_bench(workload, &options, None)?;
    let mut row = Row::new();
    for figure in report["figures"].as_array().into_iter().flatten() {
        row.insert(format!("{} {}", text(&figure["program"]), text(&figure["mode"])), figure["milliseconds"].clone());
    }
    let ratio = |other: &str, own: &str| Some(row.get(other)?.as_f64()? / row.get(own)?.as_f64()?);
    let ratios = [("eager over fused", "mlir eager"), ("Cranelift over MLIR", "cranelift fused")]
        .map(|(what, other)| (what.to_owned(), json!(ratio(other, "mlir fused"))));
    row.extend(ratios);
    Ok(row)
}

/// What `kc bench` says of a workload's train step.
fn kc_bench(workload: &str, options: &[&str], peers: Option<(&Path, &[&str])>) -> Outcome<Value> {
    let mut command = program(&target_dir().join("release/kc").to_string_lossy());
    command.arg("bench").arg(root().join(format!("benches/models/{workload}.rs")));
    command.args(["--entry", "train_step", "--batch-size", "64", "--repeats", "11", "--json"]).args(options);
    if let Some((python, names)) = peers {
        for name in names {
            let script = root().join("benches/peers.py");
            command.arg("--peer").arg(format!("{} {} {name} {workload}", python.display(), script.display()));
        }
    }
    serde_json::from_str(&output(&mut command)?).map_err(|error| format!("`kc bench` printed no JSON: {error}"))
}

/// A program of `benches` that kc-tests builds.
fn bench_program(name: &str) -> Outcome<PathBuf> {
    let mut command = cargo();
    command.args(["bench", "--package", "kc-tests", "--bench", name, "--no-run", "--message-format", "json"]);
    let built = output(&mut command)?;
    let messages = built.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut programs = messages
        .filter(|message| message["target"]["name"] == name)
        .filter_map(|message| Some(PathBuf::from(message["executable"].as_str()?)));
    programs.next().ok_or_else(|| format!("`{}` built no program", show(&command)))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
