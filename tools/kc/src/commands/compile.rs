use super::embed::embed;
use super::library::library;
use crate::cli::{self, Compile, CompileTarget, Extract, Form};
use crate::compile::{self, compile_timed};
use crate::failure::{Context, Failure, Outcome};
use crate::{model, output, table};
use clap::ValueEnum;
use kc_codegen::cuda::{Architecture, Cuda};
use kc_codegen::mlir::{Machine, Mlir};
use kc_codegen::{Backend, Optimised, Options, Stage, optimise, schedule_function};
use kc_ir::kernel::{Kernel, Program, print_program};
use kc_ir::manifest::TRAIN_STEPS;
use kc_ir::tensor::Module;
use kc_ir::tensor::text::print_module;
use kc_runtime::Package;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

/// `kc compile`: an untrained package, or a form of the model on the way to it.
pub fn compile(arguments: &Compile) -> Outcome {
    if let Some(size) = arguments.batch_size.iter().find(|size| **size == 0) {
        return Err(Failure::new(format_args!("`batch_size` must be at least 1, {size} was given")));
    }
    if let Some(size) = arguments.exact_batch.iter().find(|size| **size < 1) {
        return Err(Failure::new(format_args!("`--exact-batch {size}`: a batch has at least 1 sample")));
    }
    if arguments.steps_per_execution == 0 {
        return Err(Failure::new("`steps_per_execution` must be at least 1, 0 was given"));
    }
    let exact_batches: BTreeSet<i64> = arguments.exact_batch.iter().copied().collect();
    let is_for_tpu = arguments.target.contains(&CompileTarget::Tpu);
    if arguments.topology.is_some() && !is_for_tpu {
        return Err(Failure::new("`--topology` names TPUs; give `--target tpu` with it"));
    }
    if compile::is_package(&arguments.model) {
        return match is_for_tpu {
            true => again_for_tpu(arguments),
            false => Err(Failure::new(format_args!(
                "{} is a package; from one `--target tpu` alone compiles, the others need the model file",
                arguments.model.display()
            ))),
        };
    }
    let traced = model::trace(&arguments.model)?;
    if arguments.emit == Some(Form::Ir) {
        return give(arguments, &traced.text);
    }
    if arguments.emit == Some(Form::Stablehlo) {
        return give(arguments, &stablehlo(arguments, traced.module)?);
    }
    let extract = arguments.code.extract;
    let backends = if arguments.target.contains(&CompileTarget::Cuda) {
        vec![cuda(arguments)?]
    } else {
        if arguments.arch.is_some() {
            return Err(Failure::new("`--arch` names a GPU; give `--target cuda` with it"));
        }
        if arguments.tf32 {
            return Err(Failure::new("`--tf32` is for a GPU's tensor cores; give `--target cuda` with it"));
        }
        let Some(machines) = machines(&arguments.target)? else {
            if let Some(form) = arguments.emit {
                let name = form.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
                let message =
                    format!("`--emit {name}` is a form of `--target cpu`; for XLA there are ir and stablehlo");
                return Err(Failure::new(message));
            }
            return for_xla(arguments, traced.module);
        };
        if machines.contains(&Machine::Wasm32) && matches!(arguments.emit, None | Some(Form::Crate)) {
            return Err(Failure::new("no package holds WebAssembly; `--emit wasm` makes a module of it"));
        }
        if let Some(form @ (Form::Object | Form::Staticlib | Form::Cdylib | Form::Wasm)) = arguments.emit {
            return embed(arguments, &traced.module, &machines, form);
        }
        machines.into_iter().map(|machine| backend(arguments, machine)).collect::<Outcome<Vec<_>>>()?
    };
    if let Some(form) = arguments.emit.filter(|form| *form != Form::Crate) {
        return give(arguments, &emit(&traced.module, one(&backends)?, form, extract)?);
    }
    let mut module = traced.module;
    describe(arguments, &mut module)?;
    let mut compiled: Option<Package> = None;
    let mut times: BTreeMap<Stage, Duration> = BTreeMap::new();
    for backend in &backends {
        let exact_batches = exact_batches.iter().copied().collect();
        let options = Options { exact_batches, ..compile::options(extract) };
        let (package, stages) = compile_timed(&module, &**backend, &options)?;
        stages.into_iter().for_each(|(stage, time)| *times.entry(stage).or_default() += time);
        compiled = Some(match compiled {
            None => package,
            Some(compiled) => compiled.merge(package).map_err(Failure::new)?,
        });
    }
    let mut package = compiled.ok_or_else(|| Failure::new("give at least one `--target`"))?;
    take_weights(arguments, &mut package)?;
    if arguments.emit == Some(Form::Crate) {
        return library(arguments, &package);
    }
    let path = output_path(arguments);
    package.write(&path).map_err(Failure::new)?;
    if arguments.timings {
        let mut rows = vec![vec!["stage".to_owned(), "ms".to_owned()]];
        let mut row =
            |name: &str, time: Duration| rows.push(vec![name.to_owned(), format!("{:.1}", time.as_secs_f64() * 1e3)]);
        row("trace (building the model file in Rust)", traced.built.unwrap_or_default());
        times.iter().for_each(|(stage, time)| row(stage.name(), *time));
        row("compile, in all", times.values().copied().sum());
        output::print(&table::columns(&rows))?;
    }
    let kernels = package.manifest.code.kernels.len();
    let backend = &package.manifest.code.backend;
    output::print(&format!("wrote {} ({backend}, {kernels} kernels)\n", path.display()))
}

/// Gives the package the weights that were asked for.
fn take_weights(arguments: &Compile, package: &mut Package) -> Outcome {
    let Some(path) = &arguments.weights else { return Ok(()) };
    let weights = Package::verify(path).map_err(Failure::new)?;
    if weights.manifest.state != package.manifest.state {
        return Err(Failure::new("`--weights`: the package is of another model"));
    }
    package.state = weights.state;
    Ok(())
}

/// The CPUs that are compiled for; `None` where XLA does it.
fn machines(targets: &[CompileTarget]) -> Outcome<Option<Vec<Machine>>> {
    let machines: Vec<Machine> = targets
        .iter()
        .filter_map(|target| match target {
            CompileTarget::Cpu(machine) => Some(*machine),
            CompileTarget::Cuda | CompileTarget::Xla | CompileTarget::Tpu => None,
        })
        .collect();
    match (machines.len(), targets.len()) {
        (0, 1) => Ok(None),
        (count, all) if count == all => Ok(Some(machines)),
        _ => Err(Failure::new("`--target xla` and `--target tpu` stand alone")),
    }
}

fn one(backends: &[Box<dyn Backend>]) -> Outcome<&dyn Backend> {
    match backends {
        [backend] => Ok(&**backend),
        _ => Err(Failure::new("a text form is for one machine; give one `--target`")),
    }
}

/// The back end for a machine: mlir alone makes code for others than this one.
fn backend(arguments: &Compile, machine: Machine) -> Outcome<Box<dyn Backend>> {
    match machine {
        Machine::Host if arguments.timings => return compile::open_fresh(arguments.code.backend),
        Machine::Host => return compile::open(arguments.code.backend),
        _ => {}
    }
    if arguments.code.backend == cli::Backend::Cranelift {
        return Err(Failure::new(format_args!("`--target {machine}` needs the back end mlir")));
    }
    Ok(Box::new(Mlir::find().map_err(Failure::new)?.for_machine(machine)))
}

/// The architecture of this machine's first GPU.
fn native() -> Outcome<Architecture> {
    let (_, devices) = kc_runtime::cuda::devices().map_err(Failure::new)?;
    let capability = devices.first().map_or((0, 0), |device| device.capability);
    Architecture::for_capability(capability).ok_or_else(|| {
        let (major, minor) = capability;
        Failure::new(format_args!("`--arch native`: this GPU is sm_{major}{minor}; PTX is made for sm_80 and later"))
    })
}

/// The back end for GPUs.
fn cuda(arguments: &Compile) -> Outcome<Box<dyn Backend>> {
    if arguments.target.len() > 1 {
        return Err(Failure::new("`--target cuda` stands alone"));
    }
    if arguments.code.backend == cli::Backend::Cranelift {
        return Err(Failure::new(
            "`--backend cranelift` makes no code for a GPU; leave it out, or give `--backend mlir`",
        ));
    }
    if let Some(Form::Object | Form::Staticlib | Form::Cdylib | Form::Wasm | Form::Crate) = arguments.emit {
        return Err(Failure::new("an object or library is for a CPU; for a GPU there are packages and `--emit ptx`"));
    }
    let architecture = match arguments.arch.unwrap_or(cli::Architecture::Sm80) {
        cli::Architecture::Sm80 => Architecture::Sm80,
        cli::Architecture::Sm90a => Architecture::Sm90a,
        cli::Architecture::Sm100a => Architecture::Sm100a,
        cli::Architecture::Native => native()?,
    };
    let mut backend = Cuda::new(architecture).map_err(Failure::new)?;
    if arguments.tf32 {
        backend.target_mut().factors = kc_passes::Factors::Tf32;
    }
    Ok(Box::new(backend))
}

/// Puts the names of classes and the model card into the module.
fn describe(arguments: &Compile, module: &mut Module) -> Outcome {
    for field in &arguments.card {
        let Some((name, text)) = field.split_once('=') else {
            return Err(Failure::new(format_args!("`--card {field}` must be FIELD=TEXT")));
        };
        module.model.fields.insert(name.to_owned(), text.to_owned());
    }
    let Some(path) = &arguments.labels else { return Ok(()) };
    let text = std::fs::read_to_string(path).context(|| format!("cannot read {}", path.display()))?;
    let labels: Vec<String> = text.lines().map(str::to_owned).collect();
    let predict = module.functions.iter().find(|function| function.name == "predict");
    let [output] = predict.map_or(&[][..], |predict| &predict.outputs) else {
        return Err(Failure::new("`--labels` is for models with one output"));
    };
    let classes = output.ty.shape.last().and_then(|dim| dim.as_constant());
    if classes != i64::try_from(labels.len()).ok() {
        let (name, count) = (path.display(), labels.len());
        return Err(Failure::new(format_args!(
            "{name} names {count} classes, output `{}` is {}",
            output.name, output.ty
        )));
    }
    module.model.labels.insert(output.name.clone(), labels);
    Ok(())
}

fn output_path(arguments: &Compile) -> PathBuf {
    arguments.output.clone().unwrap_or_else(|| {
        let mut path = PathBuf::from(arguments.model.file_stem().unwrap_or_default());
        path.set_extension("kcp");
        path
    })
}

/// A package of StableHLO, with programs that are compiled ahead where a topology is named.
fn for_xla(arguments: &Compile, mut module: Module) -> Outcome {
    refuse_options_of_cpus(arguments)?;
    describe(arguments, &mut module)?;
    let texts = compile::compile_for_xla(&module)?;
    let mut package = match &arguments.topology {
        None => texts,
        Some(topology) => ahead(arguments, texts, topology)?,
    };
    take_weights(arguments, &mut package)?;
    write_programs(arguments, &package)
}

/// A package with StableHLO, compiled for another topology.
fn again_for_tpu(arguments: &Compile) -> Outcome {
    refuse_options_of_cpus(arguments)?;
    if !arguments.card.is_empty() || arguments.labels.is_some() {
        return Err(Failure::new("`--card` and `--labels` describe a model file; this package has its own"));
    }
    let Some(topology) = &arguments.topology else { return Err(Failure::new("`--target tpu` needs `--topology`")) };
    if arguments.output.is_none() {
        return Err(Failure::new("give `-o`: the package's own name is taken"));
    }
    let package = Package::verify(&arguments.model).map_err(Failure::new)?;
    let mut package = ahead(arguments, package, topology)?;
    take_weights(arguments, &mut package)?;
    write_programs(arguments, &package)
}

/// The texts of a package, compiled for TPUs too.
fn ahead(arguments: &Compile, texts: Package, topology: &str) -> Outcome<Package> {
    let plugin = crate::plugins::usable_without_devices(arguments.device.plugin.as_deref())?;
    let sizes: BTreeSet<i64> = arguments.batch_size.iter().map(|&size| size as i64).collect();
    let sizes: Vec<i64> = sizes.into_iter().collect();
    kc_codegen::stablehlo::compile_ahead(texts, &plugin, topology, &sizes).map_err(Failure::new)
}

/// XLA would do nothing about them.
fn refuse_options_of_cpus(arguments: &Compile) -> Outcome {
    let given = [
        ("--timings", arguments.timings),
        ("--exact-batch", !arguments.exact_batch.is_empty()),
        ("--entry", !arguments.entry.is_empty()),
        ("--extract", arguments.code.extract != Extract::Greedy),
        ("--backend", arguments.code.backend != cli::Backend::Auto),
    ];
    let given: Vec<String> =
        given.iter().filter(|(_, given)| *given).map(|(option, _)| format!("`{option}`")).collect();
    match given.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(format_args!("{}: no meaning for a package for XLA", given.join(" and ")))),
    }
}

fn write_programs(arguments: &Compile, package: &Package) -> Outcome {
    let path = output_path(arguments);
    package.write(&path).map_err(Failure::new)?;
    let programs = package.manifest.code.programs.len();
    let target = &package.manifest.code.target;
    output::print(&format!("wrote {} ({target}, {programs} programs)\n", path.display()))
}

/// The StableHLO that is compiled of the entry points for the batch sizes, each a module of its own.
fn stablehlo(arguments: &Compile, mut module: Module) -> Outcome<String> {
    let mut known: Vec<&str> = module.functions.iter().map(|function| function.name.as_str()).collect();
    if known.contains(&TRAIN_STEP) {
        known.push(TRAIN_STEPS);
    }
    if let Some(name) = arguments.entry.iter().find(|name| !known.contains(&name.as_str())) {
        let message = format!("`--entry {name}`: the model has no such entry point; it has {}", known.join(", "));
        return Err(Failure::new(message));
    }
    let is_wanted = |name: &str| arguments.entry.is_empty() || arguments.entry.iter().any(|entry| entry == name);
    // the loop is made of the step
    let is_needed = |name: &str| is_wanted(name) || (name == TRAIN_STEP && is_wanted(TRAIN_STEPS));
    module.functions.retain(|function| is_needed(&function.name));
    let package = compile::compile_for_xla(&module)?;
    let mut texts: Vec<String> = Vec::new();
    let entries = package.manifest.entries.iter().enumerate();
    for (entry, _) in entries.filter(|(_, entry)| is_wanted(&entry.name)) {
        // an entry point without a batch is the same for all
        let first = texts.len();
        for &size in &arguments.batch_size {
            for program in package.manifest.code.programs.iter().filter(|program| program.entry == entry) {
                let (size, steps) = (size as i64, arguments.steps_per_execution as i64);
                let text = kc_codegen::stablehlo::text_for(&package, program, size, steps).map_err(Failure::new)?;
                texts.extend(text.map(|(text, _)| text).filter(|text| !texts[first..].contains(text)));
            }
        }
    }
    Ok(texts.join("// -----\n"))
}

const TRAIN_STEP: &str = "train_step";

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
        Form::Object | Form::Staticlib | Form::Cdylib | Form::Wasm | Form::Crate => {
            return Err(Failure::new("an object or crate is no text"));
        }
        Form::Ptx => kc_codegen::Form::Ptx,
    };
    let kernels: Vec<Kernel> = programs(&optimised, backend)?.into_iter().flat_map(|program| program.kernels).collect();
    backend.emit(&kernels, form).map_err(Failure::new)
}

fn optimised(module: &Module, backend: &dyn Backend, extract: Extract) -> Outcome<Vec<Optimised>> {
    let options = compile::options(extract);
    let functions = module.functions.iter();
    functions
        .map(|function| optimise(function, backend.target(), &options, &mut |_, _| {}).map_err(Failure::new))
        .collect()
}

fn programs(optimised: &[Optimised], backend: &dyn Backend) -> Outcome<Vec<Program>> {
    let functions = optimised.iter().map(|optimised| &optimised.function);
    functions.map(|function| schedule_function(function, backend.target()).map_err(Failure::new)).collect()
}
