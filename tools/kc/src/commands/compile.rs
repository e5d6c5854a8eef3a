use crate::cli::{Compile, Extract, Form, Target};
use crate::compile::{self, compile_timed};
use crate::failure::{Context, Failure, Outcome};
use crate::{model, output, table};
use kc_codegen::{Backend, Optimised, optimise, schedule_function};
use kc_ir::kernel::{Kernel, Program, print_program};
use kc_ir::tensor::Module;
use kc_ir::tensor::text::print_module;
use std::path::PathBuf;
use std::time::Duration;

/// `kc compile`: an untrained package, or a form of the model on the way to it.
pub fn compile(arguments: &Compile) -> Outcome {
    match arguments.target {
        Target::Cpu => {}
    }
    let traced = model::trace(&arguments.model)?;
    if arguments.emit == Some(Form::Ir) {
        return give(arguments, &traced.text);
    }
    let backend = compile::open(arguments.code.backend)?;
    if let Some(form) = arguments.emit {
        return give(arguments, &emit(&traced.module, &*backend, form, arguments.code.extract)?);
    }
    let (package, times) = compile_timed(&traced.module, &*backend, arguments.code.extract)?;
    let path = arguments.output.clone().unwrap_or_else(|| {
        let mut path = PathBuf::from(arguments.model.file_stem().unwrap_or_default());
        path.set_extension("kcp");
        path
    });
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
