use crate::cli::Fit;
use crate::compile::{self, is_package, package_or_model};
use crate::failure::{Failure, Outcome};
use crate::{callbacks, data, interrupt, output};
use kc_runtime::random::NumpyRandom;
use kc_runtime::{Callback, FitOptions, fit as run_fit};
use serde_json::json;
use std::time::Instant;

/// `kc fit`: trains a model, or goes on with a trained package.
pub fn fit(arguments: &Fit) -> Outcome {
    if let Some(folder) = arguments.output.as_deref().and_then(|path| path.parent())
        && !folder.as_os_str().is_empty()
        && !folder.is_dir()
    {
        return Err(Failure::new(format_args!("`--output`: there is no folder {}", folder.display())));
    }
    let package = package_or_model(&arguments.model, arguments.target, &arguments.code)?;
    if package.manifest.entry("train_step").is_none() {
        return Err(Failure::new(format_args!(
            "model `{}` was not compiled, so it cannot be trained: call `model.compile(optimizer, loss, metrics)` in {}",
            package.manifest.model.name,
            if is_package(&arguments.model) {
                "its model file, and make the package anew".to_owned()
            } else {
                arguments.model.display().to_string()
            }
        )));
    }
    let samples = match &arguments.data {
        Some(name) => data::named(name)?,
        None if is_package(&arguments.model) => {
            return Err(Failure::new("a package brings no data: name some with `--data`"));
        }
        None => data::of_model(&arguments.model)?,
    };
    let validation = match arguments.validation_data.as_deref() {
        None => None,
        Some("test") => Some(samples.test.clone().ok_or_else(|| {
            Failure::new("`--validation-data test`: the data has no test part (arrays x_test and y_test)")
        })?),
        Some(name) => {
            let other = data::named(name)?;
            Some(other.test.unwrap_or(other.train))
        }
    };
    let has_validation = validation.is_some() || arguments.validation_split > 0.0;
    let mut callbacks = arguments
        .callbacks
        .iter()
        .map(|text| callbacks::parse(text, has_validation))
        .collect::<Outcome<Vec<Box<dyn Callback>>>>()?;
    let mut callbacks: Vec<&mut dyn Callback> = callbacks.iter_mut().map(|callback| &mut **callback as _).collect();

    let mut session = compile::open_session(&package, &arguments.machine, &arguments.device)?;
    if package.state.is_none() {
        session.init(arguments.seed).map_err(Failure::new)?;
    }
    let options = FitOptions {
        batch_size: arguments.batch_size,
        epochs: arguments.epochs,
        steps_per_execution: arguments.steps_per_execution,
        verbose: arguments.verbose.into(),
        on_stderr: arguments.json,
        validation_split: arguments.validation_split,
        validation_data: validation.as_ref(),
        shuffle: !arguments.no_shuffle,
        order: NumpyRandom::new(arguments.seed),
        // one is drawn to find the shapes, as Keras does
        skipped_orders: 1,
        interrupt: Some(interrupt::flag()?),
        ..FitOptions::default()
    };
    let start = Instant::now();
    let history = run_fit(&mut session, &samples.train, &options, &mut callbacks).map_err(Failure::new)?;
    let seconds = start.elapsed().as_secs_f64();
    if let Some(path) = &arguments.output {
        let trained = session.package().map_err(Failure::new)?;
        trained.write(path).map_err(Failure::new)?;
        if !arguments.json {
            output::print(&format!("saved {}\n", path.display()))?;
        }
    }
    if arguments.json {
        let object = json!({
            "backend": package.manifest.code.backend,
            "epochs": history.epochs.len(),
            "history": history.logs,
            "interrupted": history.interrupted,
            "train_seconds": seconds,
        });
        output::print(&format!("{object}\n"))?;
    }
    let is_checkpoint = |text: &String| text.starts_with("model-checkpoint");
    if arguments.output.is_none() && !arguments.callbacks.iter().any(is_checkpoint) {
        output::note("note: the trained model was not saved; `-o FILE.kcp` saves it");
    }
    if history.interrupted {
        return Err(interrupt::interrupted(arguments.output.as_deref()));
    }
    Ok(())
}
