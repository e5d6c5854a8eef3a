//! How long it takes from the start of a process to its first prediction.

use crate::Failure;
use crate::commands::trained;
use crate::output::print;
use kc_runtime::kc_abi::DType;
use kc_runtime::kc_abi::manifest::InputRole;
use kc_runtime::{Array, Package, Session, SessionOptions};
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

/// One sample of zeros for each input of the model; unknown extents are 1.
fn sample(session: &Session) -> Result<Vec<Array>, Failure> {
    let manifest = session.manifest();
    let inputs = manifest.entry("predict").into_iter().flat_map(|entry| &entry.inputs);
    let shape = |input: &kc_runtime::kc_abi::manifest::Input| -> Vec<usize> {
        input.ty.shape.iter().map(|extent| extent.as_constant().map_or(1, |extent| extent.max(0) as usize)).collect()
    };
    let inputs = inputs.filter(|input| input.role == InputRole::Feature);
    Ok(inputs.map(|input| Array::zeros(input.ty.dtype, &shape(input))).collect::<Result<_, _>>()?)
}

/// Loads the package and predicts once.
pub fn first_prediction(path: &Path) -> Result<ExitCode, Failure> {
    let mut session = trained(path, 0)?;
    let inputs = sample(&session)?;
    let outputs = session.run("predict", &inputs.iter().collect::<Vec<_>>())?;
    // a result that is read cannot be left out
    let sum: f64 = outputs.iter().filter_map(|output| output.cast(DType::F64).first_as_f64()).sum();
    print(&format!("{sum}\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// The middle of the sorted times.
fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// `kc-run bench`: processes from start to exit, and where their time goes, measured in this process.
pub fn bench(path: &Path, repeats: usize, json: bool) -> Result<ExitCode, Failure> {
    if repeats == 0 {
        return Err("`--repeats` must be at least 1, 0 was given".into());
    }
    trained(path, 0)?;
    let program = std::env::current_exe()?;
    let run = |arguments: &[&std::ffi::OsStr]| -> Result<Duration, Failure> {
        let start = Instant::now();
        let status = std::process::Command::new(&program).args(arguments).stdout(Stdio::null()).status()?;
        let time = start.elapsed();
        if status.success() { Ok(time) } else { Err(format!("the measured process ended with {status}").into()) }
    };
    // interleaved, so that a change of the machine's speed meets all
    let mut times: [Vec<Duration>; 6] = Default::default();
    for _ in 0..repeats {
        times[0].push(run(&["first-prediction".as_ref(), path.as_os_str()])?);
        times[1].push(run(&["--version".as_ref()])?);
        let start = Instant::now();
        let package = Package::read(path)?;
        times[2].push(start.elapsed());
        let start = Instant::now();
        let mut session = Session::new(&package, &SessionOptions::default())?;
        times[3].push(start.elapsed());
        let inputs = sample(&session)?;
        let inputs: Vec<&Array> = inputs.iter().collect();
        let start = Instant::now();
        session.run("predict", &inputs)?;
        times[4].push(start.elapsed());
        let start = Instant::now();
        session.run("predict", &inputs)?;
        times[5].push(start.elapsed());
    }
    const NAMES: [(&str, &str); 6] = [
        ("first_prediction_ms", "process start to first prediction and exit"),
        ("empty_process_ms", "a process that does nothing"),
        ("read_ms", "reading the package"),
        ("session_ms", "loading it"),
        ("first_call_ms", "first prediction of one sample"),
        ("second_call_ms", "second prediction"),
    ];
    let milliseconds = times.map(|times| median(times).as_secs_f64() * 1e3);
    if json {
        let fields: Vec<String> =
            NAMES.iter().zip(milliseconds).map(|((key, _), time)| format!("\"{key}\":{time:.4}")).collect();
        print(&format!("{{{}}}\n", fields.join(",")))?;
    } else {
        for ((_, name), time) in NAMES.iter().zip(milliseconds) {
            print(&format!("{name:<44}{time:>9.3} ms\n"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
