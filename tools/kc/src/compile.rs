//! The compiler, as the subcommands use it.

use crate::cli::{self, Code, Machine};
use crate::failure::{Failure, Outcome};
use crate::model;
use clap::ValueEnum;
use kc_codegen::mlir::{Mlir, NotAvailable};
use kc_codegen::{Backend, BackendChoice, Cranelift, Options, Stage};
use kc_ir::tensor::Module;
use kc_runtime::{Package, SessionOptions};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// Every back end by name, with what it is made for or why it cannot be used.
pub fn backends() -> Vec<(&'static str, Result<String, String>)> {
    vec![
        (
            "mlir",
            Mlir::find()
                .map(|plugin| format!("{}, {}", plugin.target().name, plugin.path().display()))
                .map_err(|error| error.to_string()),
        ),
        ("cranelift", Cranelift::new().map(|backend| backend.target().name.clone()).map_err(|error| error.to_string())),
    ]
}

/// The back end of that name.
pub fn open(backend: cli::Backend) -> Outcome<Box<dyn Backend>> {
    let choice = match backend {
        cli::Backend::Auto => BackendChoice::Auto,
        cli::Backend::Mlir => BackendChoice::Mlir,
        cli::Backend::Cranelift => BackendChoice::Cranelift,
    };
    let opened = choice.open().map_err(Failure::new)?;
    // Somebody who built the plug-in expects it to be used.
    if backend == cli::Backend::Auto
        && opened.name() != "mlir"
        && let Err(error @ (NotAvailable::Broken { .. } | NotAvailable::Version { .. })) = Mlir::find()
    {
        crate::output::note(&format!("note: {error}\nnote: the back end {} is used instead", opened.name()));
    }
    Ok(opened)
}

/// The back ends of those names; where none is named, all that are present.
pub fn present(names: &[cli::Backend]) -> Outcome<Vec<Box<dyn Backend>>> {
    if !names.is_empty() {
        return names.iter().map(|name| open(*name)).collect();
    }
    let all = [cli::Backend::Mlir, cli::Backend::Cranelift].map(open);
    let found: Vec<Box<dyn Backend>> = all.into_iter().filter_map(Result::ok).collect();
    if found.is_empty() { open(cli::Backend::Cranelift).map(|backend| vec![backend]) } else { Ok(found) }
}

/// Compiles a module.
pub fn compile(module: &Module, backend: &dyn Backend) -> Outcome<Package> {
    compile_with(module, backend, &Options::default())
}

/// The same with options.
pub fn compile_with(module: &Module, backend: &dyn Backend, options: &Options) -> Outcome<Package> {
    kc_codegen::compile(module, backend, options).map_err(Failure::new)
}

/// Compiles a module and takes the time of each stage.
pub fn compile_timed(module: &Module, backend: &dyn Backend) -> Outcome<(Package, Vec<(Stage, Duration)>)> {
    let mut times: BTreeMap<Stage, Duration> = BTreeMap::new();
    let mut running: Option<(Stage, Instant)> = None;
    let mut switch = |next: Option<Stage>| {
        let now = Instant::now();
        if let Some((stage, start)) = std::mem::replace(&mut running, next.map(|stage| (stage, now))) {
            *times.entry(stage).or_default() += now - start;
        }
    };
    let package =
        kc_codegen::compile_observed(module, backend, &Options::default(), &mut |stage, _| switch(Some(stage)));
    switch(None);
    Ok((package.map_err(Failure::new)?, times.into_iter().collect()))
}

/// A package that is read, or a model file that is traced and compiled.
pub fn package_or_model(path: &Path, code: &Code) -> Outcome<Package> {
    if is_package(path) {
        let package = Package::read(path).map_err(Failure::new)?;
        let made_by = &package.manifest.code.backend;
        return match code.backend.to_possible_value() {
            Some(asked) if code.backend != cli::Backend::Auto && asked.get_name() != made_by => {
                Err(Failure::new(format_args!(
                    "`--backend {}`: a package keeps its code, and that of {} is {made_by}'s; compile the model file anew \
                     for another back end",
                    asked.get_name(),
                    path.display()
                )))
            }
            _ => Ok(package),
        };
    }
    let traced = model::trace(path)?;
    compile(&traced.module, &*open(code.backend)?)
}

/// Whether a path names a package, by its extension.
pub fn is_package(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "kcp")
}

/// A package that was never trained or initialised has nothing to evaluate.
pub fn check_trained(package: &Package, path: &Path) -> Outcome {
    if package.state.is_some() {
        return Ok(());
    }
    Err(Failure::new(format_args!(
        "{} holds no weights; train it first: kc fit {} --data ... -o {}",
        path.display(),
        path.display(),
        path.display()
    )))
}

/// A session as the command line asks for it.
pub fn session_options(machine: &Machine) -> SessionOptions {
    SessionOptions { threads: machine.threads.unwrap_or(0), ..SessionOptions::default() }
}
