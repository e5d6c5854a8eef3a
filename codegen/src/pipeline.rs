//! The one pipeline: from a traced module to a package.

use crate::mlir::Mlir;
use crate::object::{self, Object, ObjectOptions};
use crate::outside;
use crate::{Backend, CodegenError};
use kc_ir::kernel::{Access, Kernel, Program, Space, print_kernel};
use kc_ir::manifest::{self, Code, Distribution, Entry, ExactPlan, FORMAT_VERSION, Manifest, Place, Plan};
use kc_ir::tensor::{Function, Module, TypeError, specialise};
use kc_ir::{Dim, Symbol, TensorType};
use kc_passes::{
    SaturationOptions, SaturationReport, Target, differentiate, hoist, plan, saturate, schedule, simplify,
};
use kc_runtime::Package;
use kc_runtime::kc_abi::call::INTRINSICS_VERSION;
use std::collections::{BTreeMap, BTreeSet};

/// What a compilation may do.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Options {
    /// What equality saturation may do.
    pub saturation: SaturationOptions,
    /// Batch sizes that `predict` is compiled for apart, beside the code for any. The numbers may differ in their last bits: sums are
    /// taken in another order.
    pub exact_batches: Vec<i64>,
}

/// Why a module could not be compiled.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CompileError {
    /// A graph that is not well typed or that kernels cannot compute.
    #[error("{function}: {error}")]
    Graph {
        /// The entry point.
        function: String,
        /// What was given, what was expected.
        error: TypeError,
    },
    /// The back end.
    #[error(transparent)]
    Codegen(#[from] CodegenError),
    /// A package that is not for XLA.
    #[error("the package holds no StableHLO; make one with `--target xla` or `tpu`")]
    Texts,
    /// XLA's plug-in.
    #[error(transparent)]
    Plugin {
        /// What is wrong with it.
        #[from]
        error: Box<kc_runtime::pjrt::PjrtError>,
    },
    /// XLA could not compile a program.
    #[error("{function} for {topology}: {error}")]
    Program {
        /// The entry point.
        function: String,
        /// The devices.
        topology: String,
        /// What XLA says.
        error: Box<kc_runtime::pjrt::PjrtError>,
    },
}

/// A stage of the pipeline; `--timings` attributes time to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// `gradient` ops become reverse-mode graphs.
    Differentiate,
    /// Clean-up and equality saturation.
    Saturate,
    /// Graphs become kernels over planned buffers.
    Schedule,
    /// Kernels become machine code.
    Lower,
}

impl Stage {
    /// The name in `--timings`.
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Differentiate => "differentiate",
            Stage::Saturate => "saturate",
            Stage::Schedule => "schedule",
            Stage::Lower => "lower",
        }
    }
}

/// An entry point on its way to code.
#[derive(Clone, Debug)]
pub struct Optimised {
    /// The entry point with its optimised graph.
    pub function: Function,
    /// How equality saturation came to it.
    pub report: SaturationReport,
}

/// Compiles a module with a back end. The package holds no weights: `init` makes them.
pub fn compile(module: &Module, backend: &dyn Backend, options: &Options) -> Result<Package, CompileError> {
    compile_observed(module, backend, options, &mut |_, _| {})
}

/// The same; `observe` is called when a stage starts, with the entry point it works on (empty for all together).
pub fn compile_observed(
    module: &Module,
    backend: &dyn Backend,
    options: &Options,
    observe: &mut dyn FnMut(Stage, &str),
) -> Result<Package, CompileError> {
    let devices = module.model.distribution.as_ref().map_or(1, Distribution::devices);
    if devices > 1 {
        return Err(CodegenError::Unavailable {
            backend: backend.name().to_string(),
            reason: format!(
                "the model is spread over {devices} devices, which only XLA does; compile it for XLA (`--target xla` or `tpu`)"
            ),
        }
        .into());
    }
    let mut programs = Vec::with_capacity(module.functions.len());
    for function in &module.functions {
        let optimised = optimise(function, backend.target(), options, observe)?;
        observe(Stage::Schedule, &function.name);
        programs.push(schedule_function(&optimised.function, backend.target())?);
    }
    let mut exact = Vec::new();
    for (number, function) in module.functions.iter().enumerate().filter(|(_, function)| function.name == "predict") {
        let [symbol] = programs[number].symbols.as_slice() else { continue };
        for &batch in &options.exact_batches {
            let function = with_extent(function, symbol, batch)?;
            let optimised = optimise(&function, backend.target(), options, observe)?;
            observe(Stage::Schedule, &function.name);
            let program = schedule_function(&optimised.function, backend.target())?;
            exact.push(Exact { function: number, values: vec![batch], program });
        }
    }
    let all = programs.iter().chain(exact.iter().map(|exact| &exact.program));
    all.into_iter().try_for_each(|program| backend.check(program))?;
    observe(Stage::Lower, "");
    compile_planned(module, plan_programs(module, &programs, &exact), backend)
}

/// A function for a known extent.
fn with_extent(function: &Function, symbol: &Symbol, value: i64) -> Result<Function, CompileError> {
    let failed = |error| CompileError::Graph { function: function.name.clone(), error };
    let value_of = |other: &Symbol| (other == symbol).then_some(value);
    let known = |ty: &TensorType| TensorType {
        shape: ty.shape.iter().map(|dim| dim.substitute(&|other| value_of(other).map(Dim::constant))).collect(),
        ..ty.clone()
    };
    let inputs = function.inputs.iter().map(|input| manifest::Input { ty: known(&input.ty), ..input.clone() });
    let outputs = function.outputs.iter().map(|output| manifest::Output { ty: known(&output.ty), ..output.clone() });
    Ok(Function {
        inputs: inputs.collect(),
        outputs: outputs.collect(),
        graph: specialise(&function.graph, &value_of).map_err(failed)?,
        ..function.clone()
    })
}

/// Compiles entry points of a module to an object that needs no runtime, with the weights of a package of the same model.
pub fn compile_object(
    module: &Module,
    weights: &Package,
    backend: &Mlir,
    options: &Options,
    object: &ObjectOptions,
) -> Result<Object, CompileError> {
    let wrong = |reason: &str| CompileError::from(CodegenError::Object { reason: reason.to_owned() });
    let Some(state) = &weights.state else {
        return Err(wrong("the package that gives the weights has none; train it"));
    };
    let mut bytes = Vec::with_capacity(module.state.len());
    for tensor in &module.state {
        let index = weights.manifest.state.iter().position(|given| given.name == tensor.name && given.ty == tensor.ty);
        bytes.push(index.map(|index| state[index].bytes().to_vec()).unwrap_or_default());
    }
    let functions: Vec<Function> =
        module.functions.iter().filter(|function| object.entries.contains(&function.name)).cloned().collect();
    let module = Module { functions, ..module.clone() };
    let mut programs = Vec::with_capacity(module.functions.len());
    for function in &module.functions {
        let optimised = optimise(function, backend.target(), options, &mut |_, _| {})?;
        programs.push(schedule_function(&optimised.function, backend.target())?);
    }
    object::emit(&module, &plan_programs(&module, &programs, &[]), &bytes, backend, object)
}

/// The first half of the pipeline for one entry point: differentiation and equality saturation.
pub fn optimise(
    function: &Function,
    target: &Target,
    options: &Options,
    observe: &mut dyn FnMut(Stage, &str),
) -> Result<Optimised, CompileError> {
    let failed = |error| CompileError::Graph { function: function.name.clone(), error };
    observe(Stage::Differentiate, &function.name);
    let graph = hoist(&simplify(&differentiate(&function.graph).map_err(failed)?)).map_err(failed)?;
    observe(Stage::Saturate, &function.name);
    let saturation = saturate(&graph, target, &options.saturation).map_err(failed)?;
    Ok(Optimised { function: Function { graph: saturation.graph, ..function.clone() }, report: saturation.report })
}

/// The kernels of an optimised entry point.
pub fn schedule_function(function: &Function, target: &Target) -> Result<Program, CompileError> {
    schedule(function, target).map_err(|error| CompileError::Graph { function: function.name.clone(), error })
}

/// Kernels of all entry points, equal ones once, and the entry points' plans over them.
pub(crate) struct Planned {
    pub(crate) kernels: Vec<Kernel>,
    pub(crate) constants: Vec<u8>,
    pub(crate) entries: Vec<Entry>,
}

/// The program of a function for known extents.
pub(crate) struct Exact {
    function: usize,
    values: Vec<i64>,
    program: Program,
}

/// Plans memory and numbers the kernels.
pub(crate) fn plan_programs(module: &Module, programs: &[Program], exact: &[Exact]) -> Planned {
    let mut kernels: Vec<Kernel> = vec![];
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    let mut constants = vec![];
    let mut entries = vec![];
    let mut planned = |program: &Program, kernels: &mut Vec<Kernel>| {
        let numbers: Vec<usize> = program.kernels.iter().map(|kernel| number(kernel, kernels, &mut known)).collect();
        let mut plan = plan(program, &mut constants);
        for launch in manifest::launches_mut(&mut plan.steps) {
            launch.kernel = numbers[launch.kernel];
        }
        plan
    };
    for (position, (function, program)) in module.functions.iter().zip(programs).enumerate() {
        let plan = planned(program, &mut kernels);
        let own = exact.iter().filter(|exact| exact.function == position);
        let exact: Vec<ExactPlan> = own
            .map(|exact| ExactPlan { values: exact.values.clone(), plan: planned(&exact.program, &mut kernels) })
            .collect();
        let all = [&plan].into_iter().chain(exact.iter().map(|exact| &exact.plan));
        let updates: BTreeSet<usize> = all.flat_map(|plan| updates(plan, &kernels)).collect();
        entries.push(Entry {
            name: function.name.clone(),
            symbols: program.symbols.clone(),
            inputs: function.inputs.clone(),
            outputs: function.outputs.clone(),
            plan,
            exact,
            updates: updates.into_iter().collect(),
        });
    }
    Planned { kernels, constants, entries }
}

/// Makes code of all kernels, and packs it with the manifest.
pub(crate) fn compile_programs(
    module: &Module,
    programs: &[Program],
    backend: &dyn Backend,
) -> Result<Package, CompileError> {
    compile_planned(module, plan_programs(module, programs, &[]), backend)
}

fn compile_planned(module: &Module, planned: Planned, backend: &dyn Backend) -> Result<Package, CompileError> {
    let Planned { kernels, constants, entries } = planned;
    let image = backend.compile(&kernels)?;
    let described = kernels.iter().zip(&image.kernel_offsets).map(|(kernel, &offset)| manifest::Kernel {
        name: kernel.name.clone(),
        offset,
        scratch_bytes: kernel.scratch_layout().1,
        calls: Some(outside::entries(kernel)),
        block_threads: backend.block_threads(kernel),
    });
    let code = Code {
        backend: backend.name().to_string(),
        target: backend.machine().to_string(),
        features: image.features.clone(),
        intrinsics_version: INTRINSICS_VERSION,
        library: outside::library_functions(&kernels),
        kernels: described.collect(),
        parts: image.parts.clone(),
        programs: vec![],
    };
    let manifest =
        Manifest { format: FORMAT_VERSION, model: module.model.clone(), state: module.state.clone(), entries, code };
    Ok(Package { manifest, code: image.bytes.into(), constants: constants.into(), state: None, others: vec![] })
}

/// The state tensors that a plan's launches write.
fn updates(plan: &Plan, kernels: &[Kernel]) -> BTreeSet<usize> {
    let mut updates = BTreeSet::new();
    for launch in manifest::launches(&plan.steps) {
        let parameters = kernels[launch.kernel].memory.iter().filter_map(|memory| match memory.space {
            Space::Parameter(access) => Some(access),
            _ => None,
        });
        for (&buffer, access) in launch.buffers.iter().zip(parameters) {
            if let (Place::State(index), Access::Write | Access::ReadWrite) = (&plan.buffers[buffer].place, access) {
                updates.insert(*index);
            }
        }
    }
    updates
}

/// The kernel's number among all; equal kernels have one.
fn number(kernel: &Kernel, kernels: &mut Vec<Kernel>, known: &mut BTreeMap<String, usize>) -> usize {
    let anonymous = Kernel { name: String::new(), ..kernel.clone() };
    *known.entry(print_kernel(&anonymous)).or_insert_with(|| {
        kernels.push(kernel.clone());
        kernels.len() - 1
    })
}
