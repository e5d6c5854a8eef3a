//! The compiler, as the subcommands use it.

use crate::cli::{self, Code, Machine, Mode};
use crate::failure::{Failure, Outcome};
use crate::model;
use kc_codegen::Cranelift;
use kc_codegen::mlir::{Mlir, NotAvailable};
use kc_codegen::{Backend, Options, Stage};
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
    match backend {
        cli::Backend::Mlir => Ok(Box::new(Mlir::find().map_err(Failure::new)?)),
        cli::Backend::Cranelift => Ok(Box::new(Cranelift::new().map_err(Failure::new)?)),
        cli::Backend::Auto => match Mlir::find() {
            Ok(plugin) => Ok(Box::new(plugin)),
            Err(NotAvailable::Missing(_)) => open(cli::Backend::Cranelift),
            // Somebody built it and expects it to be used.
            Err(error) => {
                eprintln!("note: {error}\nnote: the back end cranelift is used instead");
                open(cli::Backend::Cranelift)
            }
        },
    }
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

/// The pipeline's options for a mode.
pub fn options(mode: Mode) -> Options {
    let _ = mode;
    Options::default()
}

/// Compiles a module.
pub fn compile(module: &Module, backend: &dyn Backend, mode: Mode) -> Outcome<Package> {
    kc_codegen::compile(module, backend, &options(mode)).map_err(Failure::new)
}

/// Compiles a module and takes the time of each stage.
pub fn compile_timed(module: &Module, backend: &dyn Backend, mode: Mode) -> Outcome<(Package, Vec<(Stage, Duration)>)> {
    let mut times: BTreeMap<Stage, Duration> = BTreeMap::new();
    let mut running: Option<(Stage, Instant)> = None;
    let mut switch = |next: Option<Stage>| {
        let now = Instant::now();
        if let Some((stage, start)) = std::mem::replace(&mut running, next.map(|stage| (stage, now))) {
            *times.entry(stage).or_default() += now - start;
        }
    };
    let package = kc_codegen::compile_observed(module, backend, &options(mode), &mut |stage, _| switch(Some(stage)));
    switch(None);
    Ok((package.map_err(Failure::new)?, times.into_iter().collect()))
}

/// A package that is read, or a model file that is traced and compiled.
pub fn package_or_model(path: &Path, code: &Code) -> Outcome<Package> {
    if is_package(path) {
        return Package::read(path).map_err(Failure::new);
    }
    let traced = model::trace(path)?;
    compile(&traced.module, &*open(code.backend)?, code.mode)
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
