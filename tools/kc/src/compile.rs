//! The compiler, as the subcommands use it.

use crate::cli::{self, Code, Extract, Machine};
use crate::failure::{Context, Failure, Outcome};
use crate::{code_cache, model, tuning};
use clap::ValueEnum;
use kc_codegen::mlir::{Mlir, NotAvailable};
use kc_codegen::{Backend, BackendChoice, Cranelift, Options, Stage};
use kc_ir::tensor::Module;
use kc_passes::SaturationOptions;
use kc_passes::saturate::Extraction;
use kc_runtime::{Package, Session, SessionOptions};
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

/// The back end of that name; code that it made before it takes from the cache.
pub fn open(backend: cli::Backend) -> Outcome<Box<dyn Backend>> {
    let opened = open_fresh(backend)?;
    let plugin = (opened.name() == "mlir").then(Mlir::find).and_then(Result::ok);
    let files = plugin.map(|plugin| plugin.path().to_owned()).into_iter().chain(std::env::current_exe().ok());
    Ok(code_cache::kept(opened, &files.collect::<Vec<_>>()))
}

/// The back end of that name, which makes all code anew, by what was measured on this machine, where it was.
pub fn open_fresh(backend: cli::Backend) -> Outcome<Box<dyn Backend>> {
    let choice = match backend {
        cli::Backend::Auto => BackendChoice::Auto,
        cli::Backend::Mlir => BackendChoice::Mlir,
        cli::Backend::Cranelift => BackendChoice::Cranelift,
    };
    let mut opened = choice.open().map_err(Failure::new)?;
    tuning::apply(&mut *opened);
    // Somebody who built the plug-in expects it to be used.
    if backend == cli::Backend::Auto
        && opened.name() != "mlir"
        && let Err(error @ (NotAvailable::Broken { .. } | NotAvailable::Version { .. })) = Mlir::find()
    {
        crate::output::note(&format!("note: {error}\nnote: the back end {} is used instead", opened.name()));
    }
    Ok(opened)
}

/// The back ends of those names; where none is named, all that are present. They make all code anew: what is measured includes that.
pub fn present(names: &[cli::Backend]) -> Outcome<Vec<Box<dyn Backend>>> {
    if !names.is_empty() {
        return names.iter().map(|name| open_fresh(*name)).collect();
    }
    let all = [cli::Backend::Mlir, cli::Backend::Cranelift].map(open_fresh);
    let found: Vec<Box<dyn Backend>> = all.into_iter().filter_map(Result::ok).collect();
    if found.is_empty() { open_fresh(cli::Backend::Cranelift).map(|backend| vec![backend]) } else { Ok(found) }
}

/// How programs are compiled.
pub fn options(extract: Extract) -> Options {
    let extraction = match extract {
        Extract::Greedy => Extraction::Greedy,
        Extract::Exact => Extraction::Exact,
    };
    let saturation = SaturationOptions { extraction, ..SaturationOptions::default() };
    Options { saturation, ..Options::default() }
}

/// Compiles a module.
pub fn compile(module: &Module, backend: &dyn Backend, extract: Extract) -> Outcome<Package> {
    compile_with(module, backend, &options(extract))
}

/// The same with options.
pub fn compile_with(module: &Module, backend: &dyn Backend, options: &Options) -> Outcome<Package> {
    kc_codegen::compile(module, backend, options).map_err(Failure::new)
}

/// Compiles a module and takes the time of each stage.
pub fn compile_timed(
    module: &Module,
    backend: &dyn Backend,
    options: &Options,
) -> Outcome<(Package, Vec<(Stage, Duration)>)> {
    let mut times: BTreeMap<Stage, Duration> = BTreeMap::new();
    let mut running: Option<(Stage, Instant)> = None;
    let mut switch = |next: Option<Stage>| {
        let now = Instant::now();
        if let Some((stage, start)) = std::mem::replace(&mut running, next.map(|stage| (stage, now))) {
            *times.entry(stage).or_default() += now - start;
        }
    };
    let package = kc_codegen::compile_observed(module, backend, options, &mut |stage, _| switch(Some(stage)));
    switch(None);
    Ok((package.map_err(Failure::new)?, times.into_iter().collect()))
}

/// A package that is read, or a model file that is traced and compiled.
pub fn package_or_model(path: &Path, target: cli::Target, code: &Code) -> Outcome<Package> {
    if is_package(path) {
        let package = Package::read(path).map_err(Failure::new)?;
        let made_by = &package.manifest.code.backend;
        if target != cli::Target::Cpu && made_by != kc_codegen::stablehlo::NAME {
            return Err(Failure::new(format_args!(
                "`--target`: a package keeps its code, and that of {} is {made_by}'s; compile the model file anew for XLA",
                path.display()
            )));
        }
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
    match target {
        cli::Target::Cpu => compile(&traced.module, &*open(code.backend)?, code.extract),
        cli::Target::Xla => compile_for_xla(&traced.module),
        cli::Target::Tpu => Err(Failure::new(
            "`--target tpu` compiles for TPUs that need not be here (`kc compile`); to train on those of this machine take \
             `--target xla --plugin .../libtpu.so`",
        )),
    }
}

/// Compiles a module for XLA.
pub fn compile_for_xla(module: &Module) -> Outcome<Package> {
    kc_codegen::stablehlo::compile(module, &Options::default(), &mut |_, _| {}).map_err(Failure::new)
}

/// Whether a path names a package, by its extension.
pub fn is_package(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "kcp")
}

/// A package in execution, as the command line asks for it.
pub fn open_session(package: &Package, machine: &Machine, device: &cli::Device) -> Outcome<Session> {
    let mut options = session_options(machine);
    if !package.manifest.code.programs.is_empty() {
        options.device.plugin = Some(crate::plugins::usable(device.plugin.as_deref())?);
        options.device.cache = Some(kc::datasets::cache_dir().join("xla"));
    }
    Session::new(package, &options).map_err(Failure::new)
}

/// The same of a package that was trained; one without weights needs no training.
pub fn open_trained(package: &Package, path: &Path, machine: &Machine, device: &cli::Device) -> Outcome<Session> {
    if package.state.is_none() && package.manifest.has_weights() {
        return Err(Failure::new(format_args!(
            "{} holds no weights; train it first: kc fit {} --data ... -o {}",
            path.display(),
            path.display(),
            path.display()
        )));
    }
    let mut session = open_session(package, machine, device)?;
    if package.state.is_none() {
        session.init(0).context(|| "cannot initialise the model".to_owned())?;
    }
    Ok(session)
}

/// A session as the command line asks for it.
pub fn session_options(machine: &Machine) -> SessionOptions {
    SessionOptions { threads: machine.threads.unwrap_or(0), ..SessionOptions::default() }
}
