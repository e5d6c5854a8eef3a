//! `info`, `fit`, `evaluate`, `predict`.

use crate::Failure;
use crate::arguments::Options;
use crate::output::print;
use kc_runtime::kc_abi::DType;
use kc_runtime::random::NumpyRandom;
use kc_runtime::samples::Samples;
use kc_runtime::{Array, Dataset, EvaluateOptions, FitOptions, Package, Session, SessionOptions, Verbose, npy};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// As a shell counts a process that SIGINT ended.
const INTERRUPTED: u8 = 130;

/// A session, and whether the package has weights.
fn session(path: &Path, threads: usize) -> Result<(Session, bool), Failure> {
    let package = Package::read(path)?;
    let session = Session::new(&package, &SessionOptions { threads, ..SessionOptions::default() })?;
    Ok((session, package.state.is_some()))
}

/// A session of a package that has weights.
pub fn trained(path: &Path, threads: usize) -> Result<Session, Failure> {
    match session(path, threads)? {
        (session, true) => Ok(session),
        _ => {
            let path = path.display();
            Err(format!("{path} holds no weights; train it first: kc-run fit {path} --data ... -o {path}").into())
        }
    }
}

/// The flag that the first Ctrl-C sets; the second ends the process.
fn interrupt_flag() -> Result<Arc<AtomicBool>, Failure> {
    let flag = Arc::new(AtomicBool::new(false));
    let set = flag.clone();
    ctrlc::set_handler(move || {
        if set.swap(true, Ordering::Relaxed) {
            std::process::exit(INTERRUPTED.into());
        }
    })
    .map_err(|error| format!("cannot watch for Ctrl-C: {error}"))?;
    Ok(flag)
}

/// `kc-run fit`: trains, from new weights where the package has none.
pub fn fit(options: &Options) -> Result<ExitCode, Failure> {
    let samples = Samples::read(&options.data)?;
    let (mut session, trained) = session(&options.package, options.threads)?;
    if !trained {
        session.init(options.seed)?;
    }
    let fit = FitOptions {
        batch_size: options.batch_size,
        epochs: options.epochs,
        initial_epoch: options.initial_epoch,
        verbose: options.verbose,
        validation_split: options.validation_split,
        shuffle: options.shuffle,
        order: NumpyRandom::new(options.seed),
        // one is drawn to find the shapes, as Keras does
        skipped_orders: 1 + options.initial_epoch,
        interrupt: Some(interrupt_flag()?),
        ..FitOptions::default()
    };
    let history = kc_runtime::fit(&mut session, &samples.train, &fit, &mut [])?;
    if let Some(path) = &options.output {
        session.package()?.write(path)?;
        print(&format!("saved {}\n", path.display()))?;
    }
    Ok(if history.interrupted { ExitCode::from(INTERRUPTED) } else { ExitCode::SUCCESS })
}

/// `kc-run evaluate`: loss and metrics on the test samples, or on all where none are for tests.
pub fn evaluate(options: &Options) -> Result<ExitCode, Failure> {
    let samples = Samples::read(&options.data)?;
    let mut session = trained(&options.package, options.threads)?;
    let flag = interrupt_flag()?;
    let evaluate = EvaluateOptions {
        batch_size: options.batch_size,
        verbose: options.verbose,
        interrupt: Some(flag.clone()),
        ..EvaluateOptions::default()
    };
    kc_runtime::evaluate(&mut session, &samples.test.unwrap_or(samples.train), &evaluate, &mut [])?;
    Ok(if flag.load(Ordering::Relaxed) { ExitCode::from(INTERRUPTED) } else { ExitCode::SUCCESS })
}

/// `kc-run predict`: the outputs, to a file or as text.
pub fn predict(options: &Options) -> Result<ExitCode, Failure> {
    let features = options.inputs.iter().map(|path| npy::read(path)).collect::<Result<_, _>>()?;
    let mut session = trained(&options.package, options.threads)?;
    let predict =
        EvaluateOptions { batch_size: options.batch_size, verbose: Verbose::Silent, ..EvaluateOptions::default() };
    let samples = Dataset { features, ..Dataset::default() };
    let outputs = kc_runtime::predict(&mut session, &samples, &predict, &mut [])?;
    for (index, output) in outputs.iter().enumerate() {
        match &options.output {
            Some(path) => npy::write(&numbered(path, index), output)?,
            None => print(&rows(output))?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `y.npy` for the first output, `y1.npy`, `y2.npy`, ... for further ones.
fn numbered(path: &Path, index: usize) -> PathBuf {
    if index == 0 {
        return path.to_owned();
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().map_or_else(String::new, |extension| format!(".{}", extension.to_string_lossy()));
    path.with_file_name(format!("{stem}{index}{extension}"))
}

/// One line a sample.
fn rows(array: &Array) -> String {
    let values = array.cast(DType::F64);
    let values = values.as_slice::<f64>().unwrap_or_default();
    let width = values.len() / array.shape().first().copied().unwrap_or(1).max(1);
    let mut text = String::new();
    for row in values.chunks(width.max(1)) {
        let row: Vec<String> = row.iter().map(|value| (*value as f32).to_string()).collect();
        text += &row.join(" ");
        text.push('\n');
    }
    text
}

/// `kc-run info`: what the package holds, line by line.
pub fn info(path: &Path) -> Result<ExitCode, Failure> {
    let package = Package::read(path)?;
    let manifest = &package.manifest;
    let code = &manifest.code;
    let mut text = String::new();
    let _ = writeln!(text, "model      {}", manifest.model.name);
    for (name, value) in &manifest.model.fields {
        let _ = writeln!(text, "{name:<10} {value}");
    }
    let _ = writeln!(
        text,
        "code       {} for {}, {} bytes, {} kernels",
        code.backend,
        code.target,
        package.code.len(),
        code.kernels.len()
    );
    if !code.features.is_empty() {
        let _ = writeln!(text, "features   {}", code.features.join(" "));
    }
    let _ = writeln!(text, "constants  {} bytes", package.constants.len());
    let _ = writeln!(
        text,
        "weights    {}",
        if package.state.is_some() { "present" } else { "none; `kc-run fit` makes new ones" }
    );
    for entry in &manifest.entries {
        let types = |types: Vec<String>| types.join(", ");
        let inputs = types(entry.inputs.iter().map(|input| format!("{} {}", input.name, input.ty)).collect());
        let outputs = types(entry.outputs.iter().map(|output| format!("{} {}", output.name, output.ty)).collect());
        let launches = kc_runtime::kc_abi::manifest::launches(&entry.plan.steps).len();
        let _ = writeln!(text, "entry      {}({inputs}) -> ({outputs}), {launches} launches", entry.name);
    }
    for tensor in &manifest.state {
        let _ = writeln!(text, "state      {} {} ({:?})", tensor.name, tensor.ty, tensor.role);
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}
