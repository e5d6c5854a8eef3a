use crate::cli::{Compile, Extract, Form, Target};
use crate::compile::{self, compile_timed};
use crate::failure::{Context, Failure, Outcome};
use crate::{model, output, table};
use clap::ValueEnum;
use kc_codegen::{Backend, Optimised, Options, optimise, schedule_function};
use kc_ir::kernel::{Kernel, Program, print_program};
use kc_ir::tensor::Module;
use kc_ir::tensor::text::print_module;
use std::path::PathBuf;
use std::time::Duration;

/// `kc compile`: an untrained package, or a form of the model on the way to it.
pub fn compile(arguments: &Compile) -> Outcome {
    if let Some(size) = arguments.batch_size.iter().find(|size| **size == 0) {
        return Err(Failure::new(format_args!("`batch_size` must be at least 1, {size} was given")));
    }
    let traced = model::trace(&arguments.model)?;
    if arguments.emit == Some(Form::Ir) {
        return give(arguments, &traced.text);
    }
    if arguments.emit == Some(Form::Stablehlo) {
        return give(arguments, &stablehlo(arguments, &traced.module)?);
    }
    if arguments.target != Target::Cpu {
        if let Some(form) = arguments.emit {
            let name = form.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
            let message = format!("`--emit {name}` is a form of `--target cpu`; for XLA there are ir and stablehlo");
            return Err(Failure::new(message));
        }
        return for_xla(arguments, &traced.module);
    }
    let backend = compile::open(arguments.code.backend)?;
    if let Some(form) = arguments.emit {
        return give(arguments, &emit(&traced.module, &*backend, form, arguments.code.extract)?);
    }
    let (package, times) = compile_timed(&traced.module, &*backend, arguments.code.extract)?;
    let path = output_path(arguments);
    package.write(&path).map_err(Failure::new)?;
    if arguments.timings {
        let mut rows = vec![vec!["stage".to_owned(), "ms".to_owned()]];
        let mut row =
            |name: &str, time: Duration| rows.push(vec![name.to_owned(), format!("{:.1}", time.as_secs_f64() * 1e3)]);
        row("trace (building the model file in Rust)", traced.built.unwrap_or_default());
        times.iter().for_each(|(stage, time)| row(stage.name(), *time));
        row("compile, in all", times.iter().map(|(_, time)| *time).sum());
        output::print(&table::columns(&rows))?;
    }
    let kernels = package.manifest.code.kernels.len();
    output::print(&format!("wrote {} ({}, {kernels} kernels)\n", path.display(), backend.name()))
}

fn output_path(arguments: &Compile) -> PathBuf {
    arguments.output.clone().unwrap_or_else(|| {
        let mut path = PathBuf::from(arguments.model.file_stem().unwrap_or_default());
        path.set_extension("kcp");
        path
    })
}

/// A package of StableHLO, with programs that are compiled ahead where a topology is named.
fn for_xla(arguments: &Compile, module: &Module) -> Outcome {
    let path = output_path(arguments);
    let package = match &arguments.topology {
        None => compile::compile_for_xla(module)?,
        Some(topology) => {
            let plugin = crate::plugins::usable_without_devices(arguments.device.plugin.as_deref())?;
            let sizes: Vec<i64> = arguments.batch_size.iter().map(|&size| size as i64).collect();
            kc_codegen::stablehlo::compile_ahead(module, &Options::default(), &plugin, topology, &sizes)
                .map_err(Failure::new)?
        }
    };
    package.write(&path).map_err(Failure::new)?;
    let programs = package.manifest.code.programs.len();
    let target = &package.manifest.code.target;
    output::print(&format!("wrote {} ({target}, {programs} programs)\n", path.display()))
}

/// The StableHLO of the entry points for the batch sizes, each a module of its own.
fn stablehlo(arguments: &Compile, module: &Module) -> Outcome<String> {
    if let Some(name) = &arguments.entry
        && module.function(name).is_none()
    {
        let known: Vec<&str> = module.functions.iter().map(|function| function.name.as_str()).collect();
        let message = format!("`--entry {name}`: the model has no such entry point; it has {}", known.join(", "));
        return Err(Failure::new(message));
    }
    let mut texts = Vec::new();
    for function in &module.functions {
        if arguments.entry.as_ref().is_some_and(|name| *name != function.name) {
            continue;
        }
        let optimised = kc_codegen::stablehlo::optimise_for_xla(function, &Options::default(), &mut |_, _| {});
        let optimised = optimised.map_err(Failure::new)?;
        let printed = kc_codegen::stablehlo::print(&optimised.function).map_err(Failure::new)?;
        for (number, &size) in arguments.batch_size.iter().enumerate() {
            let text =
                kc_runtime::stablehlo::instantiate(&printed.text, &|_| Some(size as i64)).map_err(Failure::new)?;
            // an entry point without a batch is the same for all
            if number == 0 || text != *texts.last().unwrap_or(&String::new()) {
                texts.push(text);
            }
        }
    }
    Ok(texts.join("// -----\n"))
}

/// An emitted form, to the file that was asked for or to standard output.
fn give(arguments: &Compile, text: &str) -> Outcome {
    match &arguments.output {
        Some(path) => std::fs::write(path, text).context(|| format!("cannot write {}", path.display())),
        None => output::print(text),
    }
}

fn emit(module: &Module, backend: &dyn Backend, form: Form, extract: Extract) -> Outcome<String> {
    let optimised = optimised(module, backend, extract)?;
    let form = match form {
        Form::Ir | Form::Opt => {
            let functions = optimised.into_iter().map(|optimised| optimised.function).collect();
            return Ok(print_module(&Module { functions, ..module.clone() }));
        }
        Form::Kernels => {
            let programs = programs(&optimised, backend)?;
            return Ok(programs.iter().map(print_program).collect::<Vec<_>>().join("\n"));
        }
        Form::Clif => kc_codegen::Form::Clif,
        Form::Mlir => kc_codegen::Form::Mlir,
        Form::Llvm => kc_codegen::Form::Llvm,
        Form::Asm => kc_codegen::Form::Asm,
        Form::Stablehlo => return Err(Failure::new("`--emit stablehlo` needs no back end")),
    };
    let kernels: Vec<Kernel> = programs(&optimised, backend)?.into_iter().flat_map(|program| program.kernels).collect();
    backend.emit(&kernels, form).map_err(Failure::new)
}

fn optimised(module: &Module, backend: &dyn Backend, extract: Extract) -> Outcome<Vec<Optimised>> {
    let options = compile::options(backend, extract);
    let functions = module.functions.iter();
    functions
        .map(|function| optimise(function, backend.target(), &options, &mut |_, _| {}).map_err(Failure::new))
        .collect()
}

fn programs(optimised: &[Optimised], backend: &dyn Backend) -> Outcome<Vec<Program>> {
    let functions = optimised.iter().map(|optimised| &optimised.function);
    functions.map(|function| schedule_function(function, backend.target()).map_err(Failure::new)).collect()
}
