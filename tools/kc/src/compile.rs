//! The compiler, as the subcommands use it.

use crate::cli::{self, Code, Extract, Machine};
use crate::failure::{Context, Failure, Outcome};
use crate::{code_cache, model};
use clap::ValueEnum;
use kc_codegen::mlir::{Mlir, NotAvailable};
use kc_codegen::{Backend, BackendChoice, Cranelift, Options, Stage};
use kc_ir::tensor::Module;
use kc_passes::saturate::Extraction;
use kc_passes::{CostConstants, SaturationOptions};
use kc_runtime::{Package, Session, SessionOptions};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
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

/// The back end of that name, which makes all code anew.
pub fn open_fresh(backend: cli::Backend) -> Outcome<Box<dyn Backend>> {
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

/// The back ends of those names; where none is named, all that are present. They make all code anew: what is measured includes that.
pub fn present(names: &[cli::Backend]) -> Outcome<Vec<Box<dyn Backend>>> {
    if !names.is_empty() {
        return names.iter().map(|name| open_fresh(*name)).collect();
    }
    let all = [cli::Backend::Mlir, cli::Backend::Cranelift].map(open_fresh);
    let found: Vec<Box<dyn Backend>> = all.into_iter().filter_map(Result::ok).collect();
    if found.is_empty() { open_fresh(cli::Backend::Cranelift).map(|backend| vec![backend]) } else { Ok(found) }
}

/// Where `kc tune` keeps the cost model's constants of this processor and a back end.
pub fn tuned_path(backend: &dyn Backend) -> PathBuf {
    let information = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = information.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model =
        model.map_or_else(|| kc_runtime::intrinsics::host_target().to_string(), |(_, name)| name.trim().to_owned());
    let name: String = format!("{model} {}", backend.name())
        .to_lowercase()
        .chars()
        .map(|character| if character.is_ascii_alphanumeric() { character } else { '-' })
        .collect();
    kc::datasets::cache_dir().join("tune").join(format!("{name}.json"))
}

/// The constants as they are kept.
pub fn constants_as_json(constants: &CostConstants) -> serde_json::Value {
    serde_json::json!({
        "bytes_per_nanosecond": constants.bytes_per_nanosecond,
        "contraction_flops_per_nanosecond": constants.contraction_flops_per_nanosecond,
        "elementwise_operations_per_nanosecond": constants.elementwise_operations_per_nanosecond,
        "exponentials_per_nanosecond": constants.exponentials_per_nanosecond,
        "launch_nanoseconds": constants.launch_nanoseconds,
    })
}

/// The constants that `kc tune` measured; `None` where there are none that are positive numbers.
fn tuned(backend: &dyn Backend) -> Option<CostConstants> {
    let text = std::fs::read_to_string(tuned_path(backend)).ok()?;
    let kept: serde_json::Value = serde_json::from_str(&text).ok()?;
    let number = |name: &str| kept[name].as_f64().filter(|number| number.is_finite() && *number > 0.0);
    Some(CostConstants {
        bytes_per_nanosecond: number("bytes_per_nanosecond")?,
        contraction_flops_per_nanosecond: number("contraction_flops_per_nanosecond")?,
        elementwise_operations_per_nanosecond: number("elementwise_operations_per_nanosecond")?,
        exponentials_per_nanosecond: number("exponentials_per_nanosecond")?,
        launch_nanoseconds: number("launch_nanoseconds")?,
    })
}

/// How a back end's programs are compiled: by the constants that were measured on this machine, where they were.
pub fn options(backend: &dyn Backend, extract: Extract) -> Options {
    let extraction = match extract {
        Extract::Greedy => Extraction::Greedy,
        Extract::Exact => Extraction::Exact,
    };
    let saturation = SaturationOptions { extraction, ..SaturationOptions::default() };
    Options { saturation, cost: tuned(backend), ..Options::default() }
}

/// Compiles a module.
pub fn compile(module: &Module, backend: &dyn Backend, extract: Extract) -> Outcome<Package> {
    compile_with(module, backend, &options(backend, extract))
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
