//! From a traced module to a package for XLA.

use super::Batch;
use super::steps::several;
use crate::pipeline::{Options, Stage, optimise};
use crate::{CompileError, Optimised};
use kc_ir::manifest::{
    Code, DeviceProgram, Distribution, Entry, FORMAT_VERSION, Input, Manifest, Plan, ProgramCost, ProgramForm,
    TRAIN_STEPS,
};
use kc_ir::tensor::{Function, Module, ResultSlot, TypeError};
use kc_ir::{Dim, Symbol};
use kc_passes::{CostConstants, SaturationOptions, Takes, Target, WinogradCost};
use kc_runtime::Package;
use kc_runtime::kc_abi::call::INTRINSICS_VERSION;
use kc_runtime::pjrt::{CompileOptions, PjrtError, Plugin, Topology};
use kc_runtime::stablehlo::instantiate;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

/// The name in `--target` and in packages.
pub const NAME: &str = "xla";

/// An accelerator, as the cost model sees it: contractions cost next to nothing beside memory.
pub fn target() -> Target {
    Target {
        name: NAME.to_string(),
        cost: CostConstants {
            bytes_per_nanosecond: 800.0,
            contraction_flops_per_nanosecond: 100_000.0,
            elementwise_operations_per_nanosecond: 2_000.0,
            exponentials_per_nanosecond: 500.0,
            launch_nanoseconds: 1_000.0,
            winograd: WinogradCost::default(),
        },
        ..Target::baseline()
    }
}

/// [`optimise`] for XLA: without the forms that only our own kernels make cheap.
pub fn optimise_for_xla(
    function: &Function,
    options: &Options,
    observe: &mut dyn FnMut(Stage, &str),
) -> Result<Optimised, CompileError> {
    let saturation = SaturationOptions { takes: Takes::Graphs, ..options.saturation };
    optimise(function, &target(), &Options { saturation, ..options.clone() }, observe)
}

/// A package of [`compile`]'s texts with programs that a plug-in compiled for a topology, such as `v5e:2x2`: of each entry point one for
/// each size of the batch. The texts stay, so that the package also runs with other batches, and can be compiled for another topology;
/// what was compiled for one before goes.
///
/// # Errors
/// Where the package has no texts, where the plug-in cannot be opened, does not know the topology, or cannot compile a program; what XLA
/// says is in the message.
pub fn compile_ahead(
    mut package: Package,
    plugin: &Path,
    topology: &str,
    batch_sizes: &[i64],
) -> Result<Package, CompileError> {
    let texts: Vec<DeviceProgram> =
        package.manifest.code.programs.drain(..).filter(|program| program.form == ProgramForm::Stablehlo).collect();
    if texts.is_empty() {
        return Err(CompileError::Texts);
    }
    let failed = |error: PjrtError| CompileError::Plugin { error: Box::new(error) };
    let plugin = Plugin::open(plugin).map_err(failed)?;
    let devices = Topology::new(plugin, topology).map_err(failed)?;
    let partitions = package.manifest.model.distribution.as_ref().map_or(1, Distribution::devices).max(1);
    if partitions > devices.kinds().len() {
        let (name, devices) = (topology.to_string(), devices.kinds().len());
        return Err(failed(PjrtError::TooFew { name, devices, mesh: partitions }));
    }
    let (mut programs, mut code) = (Vec::new(), Vec::new());
    for text in texts {
        let (bytes, entry) = lies(&package, &text)?;
        programs.push(DeviceProgram { offset: code.len() as u64, ..text.clone() });
        code.extend_from_slice(bytes);
        let in_entry = |error: PjrtError| CompileError::Program {
            function: entry.name.clone(),
            topology: topology.to_string(),
            error: Box::new(error),
        };
        let sizes = if entry.symbols.is_empty() { &[0][..] } else { batch_sizes };
        if entry.name == TRAIN_STEPS {
            // how many steps there will be is not known
            continue;
        }
        for &size in sizes {
            let Some((exact, values)) = text_for(&package, &text, size, 1)? else { continue };
            let start = Instant::now();
            let compiled = devices.compile(&exact, &CompileOptions { partitions }).map_err(in_entry)?;
            let compile_nanoseconds = start.elapsed().as_nanos() as u64;
            let serialized = compiled.serialize().map_err(in_entry)?;
            let (analysis, memory) = (compiled.analysis(), compiled.analysis().memory.unwrap_or_default());
            let positive = |bytes: i64| u64::try_from(bytes).unwrap_or_default();
            let cost = ProgramCost {
                flops: analysis.flops.max(0.0) as u64,
                bytes: analysis.bytes_accessed.max(0.0) as u64,
                nanoseconds: (analysis.seconds.unwrap_or_default() * 1e9) as u64,
                code_bytes: positive(memory.code),
                // a plug-in that knows no peak knows what lies there at one time
                peak_bytes: match positive(memory.peak) {
                    0 => positive(memory.arguments + memory.results - memory.donated + memory.temporary),
                    peak => peak,
                },
                compile_nanoseconds,
            };
            let platform = PLATFORM.to_string();
            programs.push(DeviceProgram {
                form: ProgramForm::Executable { platform, topology: topology.to_string(), values, cost },
                offset: code.len() as u64,
                bytes: serialized.len() as u64,
                ..text.clone()
            });
            code.extend_from_slice(&serialized);
        }
    }
    package.code = code.into();
    package.manifest.code.programs = programs;
    package.manifest.code.target = format!("{PLATFORM} {topology}");
    Ok(package)
}

/// A text of a package as it is compiled for a size of the batch and a number of steps in one call, and what the symbols of its entry
/// point are; `None` where a session takes the other text for a batch of that size, divided or not.
///
/// # Errors
/// Where an extent is neither of the two, so that nobody knows it.
pub fn text_for(
    package: &Package,
    program: &DeviceProgram,
    batch: i64,
    steps: i64,
) -> Result<Option<(String, Vec<i64>)>, CompileError> {
    let (bytes, entry) = lies(package, program)?;
    let parts = package.manifest.model.distribution.as_ref().map_or(1, |mesh| mesh.parts(mesh.batch)) as i64;
    if parts > 1 && has_batch(&entry.inputs, &entry.name) && program.batch_divided != (batch % parts == 0) {
        return Ok(None);
    }
    let failed = |message: String| CompileError::Graph {
        function: entry.name.clone(),
        error: TypeError::new("stablehlo", message),
    };
    let mut values = Vec::with_capacity(entry.symbols.len());
    for symbol in &entry.symbols {
        let is_axis = |input: &Input, axis: usize| input.ty.shape.get(axis).and_then(Dim::as_symbol) == Some(symbol);
        let is_batch = |input: &Input| input.batch_axis(&entry.name).is_some_and(|axis| is_axis(input, axis));
        if entry.inputs.iter().any(is_batch) {
            values.push(batch);
        } else if entry.name == TRAIN_STEPS && entry.inputs.iter().any(|input| is_axis(input, 0)) {
            values.push(steps);
        } else {
            let input =
                entry.inputs.iter().find(|input| input.ty.shape.iter().any(|dim| dim.as_symbol() == Some(symbol)));
            let input = input.map_or(String::new(), |input| format!("`{}` is {}: ", input.name, input.ty));
            return Err(failed(format!(
                "{input}the extent {symbol} is no size of a batch, so it is not known before the program runs; give `Input` a number for \
                 it, or compile for `--target xla`, which compiles for the shapes that come"
            )));
        }
    }
    let value = |symbol: &Symbol| entry.symbols.iter().position(|known| known == symbol).map(|at| values[at]);
    let text = instantiate(&String::from_utf8_lossy(bytes), &value).map_err(failed)?;
    Ok(Some((text, values)))
}

/// A program's bytes and its entry point.
fn lies<'p>(package: &'p Package, program: &DeviceProgram) -> Result<(&'p [u8], &'p Entry), CompileError> {
    let end = program.offset.saturating_add(program.bytes);
    let bytes = package.code.get(program.offset as usize..end as usize);
    bytes.zip(package.manifest.entries.get(program.entry)).ok_or(CompileError::Texts)
}

/// The platform that is compiled for ahead of time.
const PLATFORM: &str = "tpu";

/// The state tensors that a function writes, ascending.
fn updates(function: &Function) -> Vec<usize> {
    let of = |slot: &ResultSlot| match *slot {
        ResultSlot::State(index) => Some(index),
        ResultSlot::Output(_) => None,
    };
    function.results.iter().filter_map(of).collect::<BTreeSet<usize>>().into_iter().collect()
}

fn in_graph(function: &Function, error: TypeError) -> CompileError {
    CompileError::Graph { function: function.name.clone(), error }
}

/// Whether inputs of an entry point have a batch.
fn has_batch(inputs: &[Input], entry: &str) -> bool {
    inputs.iter().any(|input| input.batch_axis(entry).is_some())
}

/// A package of StableHLO texts, which the plug-in compiles when they are first needed, for whatever batch is given. It holds no
/// weights: `init` makes them.
pub fn compile(
    module: &Module,
    options: &Options,
    observe: &mut dyn FnMut(Stage, &str),
) -> Result<Package, CompileError> {
    let distribution = module.model.distribution.clone().unwrap_or_default();
    let mut code = Vec::new();
    let mut programs = Vec::with_capacity(module.functions.len());
    let mut entries = Vec::with_capacity(module.functions.len());
    let mut add = |function: &Function| -> Result<(), CompileError> {
        let divides = distribution.parts(distribution.batch) > 1 && has_batch(&function.inputs, &function.name);
        let batches = match divides {
            true => &[Batch::Divided, Batch::Whole][..],
            false => &[Batch::Whole],
        };
        for &batch in batches {
            let program =
                super::print_spread(function, &distribution, batch).map_err(|error| in_graph(function, error))?;
            programs.push(DeviceProgram {
                entry: entries.len(),
                form: ProgramForm::Stablehlo,
                offset: code.len() as u64,
                bytes: program.text.len() as u64,
                arguments: program.arguments,
                results: program.results,
                batch_divided: batch == Batch::Divided,
            });
            code.extend_from_slice(program.text.as_bytes());
        }
        entries.push(Entry {
            name: function.name.clone(),
            symbols: super::symbols(function.inputs.iter().map(|input| input.ty.clone())),
            inputs: function.inputs.clone(),
            outputs: function.outputs.clone(),
            plan: Plan::default(),
            exact: vec![],
            updates: updates(function),
        });
        Ok(())
    };
    for function in &module.functions {
        let optimised = optimise_for_xla(function, options, observe)?.function;
        observe(Stage::Lower, &function.name);
        add(&optimised)?;
        if function.name == "train_step"
            && let Some(several) = several(&optimised).map_err(|error| in_graph(function, error))?
        {
            add(&several)?;
        }
    }
    let code_section = Code {
        backend: NAME.to_string(),
        target: NAME.to_string(),
        features: vec![],
        intrinsics_version: INTRINSICS_VERSION,
        library: vec![],
        kernels: vec![],
        parts: vec![],
        programs,
    };
    let manifest = Manifest {
        format: FORMAT_VERSION,
        model: module.model.clone(),
        state: module.state.clone(),
        entries,
        code: code_section,
    };
    Ok(Package { manifest, code: code.into(), constants: vec![].into(), state: None, others: vec![] })
}
