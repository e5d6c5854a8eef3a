use crate::cli::Evaluate;
use crate::failure::{Failure, Outcome};
use crate::{compile, data, interrupt, output};
use kc_runtime::{EvaluateOptions, Package, evaluate as run_evaluate};

/// `kc evaluate`: loss and metrics of a trained package on test data (or all data, where no part of it is for tests).
pub fn evaluate(arguments: &Evaluate) -> Outcome {
    let package = Package::read(&arguments.package).map_err(Failure::new)?;
    let mut session = compile::open_trained(&package, &arguments.package, &arguments.machine, &arguments.device)?;
    let samples = data::named(&arguments.data)?;
    let samples = samples.test.unwrap_or(samples.train);
    let flag = interrupt::flag()?;
    let options = EvaluateOptions {
        batch_size: arguments.batch_size,
        verbose: arguments.verbose.into(),
        on_stderr: arguments.json,
        interrupt: Some(flag.clone()),
        ..EvaluateOptions::default()
    };
    let logs = run_evaluate(&mut session, &samples, &options, &mut []).map_err(Failure::new)?;
    if flag.load(std::sync::atomic::Ordering::Relaxed) {
        return Err(interrupt::interrupted(None));
    }
    if arguments.json {
        let values: serde_json::Map<String, serde_json::Value> =
            logs.iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        output::print(&format!("{}\n", serde_json::Value::Object(values)))?;
    }
    Ok(())
}
