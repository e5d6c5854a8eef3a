use crate::cli::{Bench, BenchEntry, BenchMode, Device};
use crate::compile;
use crate::failure::{Context, Failure, Outcome};
use crate::measure::{self, EagerEntry, Kernels, Launch, Peer, PeerEntry, Time};
use crate::{model, output, plugins, synthetic, table};
use kc_codegen::eager::Eager;
use kc_codegen::roof::Roof;
use kc_codegen::{Backend, Options, optimise, schedule_function};
use kc_ir::DType;
use kc_ir::manifest::Entry;
use kc_ir::tensor::Module;
use kc_passes::{schedule_apart, traffic};
use kc_runtime::pjrt::VARIABLE;
use kc_runtime::random::initial_seeds;
use kc_runtime::{Session, SessionOptions};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

/// The entry points that can be measured.
pub const ENTRIES: [&str; 2] = [BenchEntry::TrainStep.name(), BenchEntry::Predict.name()];

/// One op after the other.
const EAGER: &str = "eager";
/// The whole step as one graph.
const FUSED: &str = "fused";

/// A model as one back end executes it.
struct Program<'b> {
    backend: &'static str,
    /// How long the package took to compile, with all that is measured.
    compile_milliseconds: f64,
    fused: Session,
    /// The same, with the time of each launch taken.
    profiled: Option<Session>,
    /// For each entry point the milliseconds that the cost model gives for each launch of the plan; empty where launches are not timed.
    predicted: BTreeMap<&'static str, Vec<f64>>,
    /// Op by op, where its back end makes kernels.
    eager: Option<Eager<'b>>,
}

/// What an entry point has to do at least.
#[derive(Clone, Copy, Debug, Default)]
struct Work {
    /// Operations of contractions.
    operations: f64,
    /// Bytes of inputs, outputs and state.
    bytes: f64,
}

/// The limits of the machine, each the best of its samples.
#[derive(Clone, Copy, Debug, Default)]
struct Limits {
    operations_per_nanosecond: f64,
    bytes_per_nanosecond: f64,
}

impl Limits {
    /// Milliseconds that the work takes at least. What caches may hold from one call to the next need not come from memory.
    fn floor(&self, work: Work) -> f64 {
        const CACHED: f64 = (32 << 20) as f64;
        let bytes = if work.bytes > CACHED { work.bytes } else { 0.0 };
        (work.operations / self.operations_per_nanosecond).max(bytes / self.bytes_per_nanosecond) * 1e-6
    }
}

struct Figure {
    entry: &'static str,
    /// The back end, or the peer.
    program: String,
    mode: &'static str,
    time: Time,
    kernels: Kernels,
    /// Milliseconds that the cost model gives for one call of each of the kernels.
    predicted: Vec<f64>,
    /// Of the machine, where it is asked for.
    floor: Option<f64>,
    /// Of a fused program: how long its package took to compile, and the bytes that it works in beside inputs, outputs and state; those
    /// on a plug-in's devices nobody tells.
    program_costs: Option<(f64, Option<f64>)>,
}

impl Figure {
    /// Milliseconds that the cost model gives for all calls of the launch of that number.
    fn predicted(&self, number: usize) -> Option<f64> {
        Some(self.predicted.get(number)? * self.kernels.launches.get(number)?.calls)
    }
}

/// `kc bench`: medians of fused and eager execution with every back end, measured in turns.
pub fn bench(arguments: &Bench) -> Outcome {
    for (option, value) in [("batch_size", arguments.batch_size), ("repeats", arguments.repeats)] {
        // without measurements `--ablate` counts all the same
        if value == 0 && !(arguments.ablate && option == "repeats") {
            return Err(Failure::new(format_args!("`{option}` must be at least 1, 0 was given")));
        }
    }
    if arguments.ablate {
        return super::ablate::ablate(arguments);
    }
    let mut traced = model::trace(&arguments.model)?;
    let entries: Vec<&'static str> = ENTRIES.into_iter().filter(|name| arguments.wants_entry(name)).collect();
    // what is not measured need not be compiled
    traced
        .module
        .functions
        .retain(|function| function.name == "init" || entries.iter().any(|&entry| entry == function.name));
    let is_spread = traced.module.model.distribution.is_some();
    let backends = if is_spread && arguments.backend.is_empty() {
        output::note("note: the model is spread over devices: XLA alone is measured");
        vec![]
    } else {
        compile::present(&arguments.backend)?
    };
    let mut programs = Vec::new();
    for backend in &backends {
        let start = Instant::now();
        let package = compile::compile(&traced.module, &**backend, arguments.extract)?;
        let compile_milliseconds = start.elapsed().as_secs_f64() * 1e3;
        let options = |profile| SessionOptions { profile, ..compile::session_options(&arguments.machine) };
        let open = |profile| -> Outcome<Session> {
            let mut session =
                Session::new(&package, &options(profile)).context(|| "cannot load the program".to_owned())?;
            session.init(0).context(|| "cannot initialise the model".to_owned())?;
            Ok(session)
        };
        let mut predictions = BTreeMap::new();
        for &entry in entries.iter().filter(|_| arguments.explain) {
            predictions.insert(entry, predicted(&traced.module, entry, &**backend, arguments)?);
        }
        programs.push(Program {
            backend: backend.name(),
            compile_milliseconds,
            fused: open(false)?,
            profiled: arguments.explain.then(|| open(true)).transpose()?,
            predicted: predictions,
            eager: Some(Eager::new(traced.module.clone(), &**backend, options(false)).map_err(Failure::new)?),
        });
    }
    if let Some(plugin) = xla(arguments, backends.is_empty())? {
        let start = Instant::now();
        let package = compile::compile_for_xla(&traced.module)?;
        let compile_milliseconds = start.elapsed().as_secs_f64() * 1e3;
        let device = Device { plugin: Some(plugin) };
        let fused = compile::open_session(&package, &arguments.machine, &device)?;
        programs.push(Program {
            backend: kc_codegen::stablehlo::NAME,
            compile_milliseconds,
            fused,
            profiled: None,
            predicted: BTreeMap::new(),
            eager: None,
        });
    }
    let threads = programs.first().map_or(1, |program| program.fused.pool().threads());
    let mut peers = Vec::new();
    for command in &arguments.peer {
        peers.push(Peer::start(command, threads)?);
    }
    let mut figures = Vec::new();
    let mut roof = None;
    if let (true, Some(backend)) = (arguments.floor, backends.first()) {
        roof = Some((Roof::new(&**backend).map_err(Failure::new)?, Limits::default()));
    }
    for entry in entries {
        let mut measured = measure(&mut programs, &mut peers, entry, arguments)?;
        if let (Some((roof, limits)), Some(backend)) = (&mut roof, backends.first()) {
            for _ in 0..ROOF_SAMPLES {
                limits.operations_per_nanosecond =
                    limits.operations_per_nanosecond.max(roof.operations_per_nanosecond(threads, DType::F32));
                limits.bytes_per_nanosecond = limits.bytes_per_nanosecond.max(roof.bytes_per_nanosecond(threads));
            }
            let work = work(&traced.module, entry, &**backend, arguments.batch_size as i64)?;
            measured.iter_mut().for_each(|figure| figure.floor = Some(limits.floor(work)));
        }
        figures.extend(measured);
    }
    let limits = roof.map(|(_, limits)| limits);
    if arguments.json {
        output::print(&format!("{}\n", as_json(&figures, limits, arguments)))
    } else {
        let Bench { batch_size, repeats, .. } = arguments;
        let head = format!("batch {batch_size}, threads {threads}, medians of {repeats} samples taken in turns\n");
        // Without `--explain` no kernel was timed, and there is no table of them.
        output::print(&format!("{head}\n{}{}", as_table(&figures), as_kernels(&figures)))
    }
}

/// The plug-in to measure XLA with: the one that is named; where no back end is chosen, any that executes here, if there is one.
fn xla(arguments: &Bench, is_needed: bool) -> Outcome<Option<PathBuf>> {
    match &arguments.device.plugin {
        Some(named) => plugins::usable(Some(named)).map(Some),
        None if std::env::var_os(VARIABLE).is_some_and(|value| !value.is_empty()) => plugins::usable(None).map(Some),
        None if is_needed => plugins::usable(None).map(Some),
        None if arguments.backend.is_empty() => Ok(plugins::usable(None).ok()),
        None => Ok(None),
    }
}

/// Measurements of each limit of the machine, after those of each entry point.
const ROOF_SAMPLES: usize = 5;

/// What an entry point has to do for a batch.
fn work(module: &Module, entry: &str, backend: &dyn Backend, batch_size: i64) -> Outcome<Work> {
    let Some(function) = module.function(entry) else { return Ok(Work::default()) };
    let optimised = optimise(function, backend.target(), &Options::default(), &mut |_, _| {}).map_err(Failure::new)?;
    let program = schedule_apart(&optimised.function, backend.target()).map_err(Failure::new)?;
    let value_of = |_: &kc_ir::Symbol| Some(batch_size);
    let bytes =
        |ty: &kc_ir::TensorType| ty.elements().evaluate(&value_of).unwrap_or(0).max(0) as f64 * ty.dtype.bytes() as f64;
    let graph = &optimised.function.graph;
    let ends = graph.parameters.iter().chain(&graph.results).map(|&value| bytes(graph.tensor_type(value)));
    let [call, kept] = traffic(&program, &value_of);
    Ok(Work { operations: call.operations + kept.operations, bytes: ends.sum() })
}

/// Milliseconds that the cost model gives for one call of each launch of an entry point's plan.
fn predicted(module: &Module, entry: &str, backend: &dyn Backend, arguments: &Bench) -> Outcome<Vec<f64>> {
    let Some(function) = module.function(entry) else { return Ok(vec![]) };
    let options = compile::options(arguments.extract);
    let optimised = optimise(function, backend.target(), &options, &mut |_, _| {}).map_err(Failure::new)?;
    let program = schedule_function(&optimised.function, backend.target()).map_err(Failure::new)?;
    let constants = backend.target().cost;
    let launches = kc_passes::count(&program, &|_| Some(arguments.batch_size as i64));
    Ok(launches.iter().map(|launch| constants.nanoseconds(&launch.once) * 1e-6).collect())
}

/// Bytes of an entry point's arena for a batch.
fn arena_bytes(entry: &Entry, batch_size: usize) -> f64 {
    let bytes = |dim: &kc_ir::Dim| dim.evaluate(&|_| Some(batch_size as i64)).unwrap_or(0).max(0);
    entry.plan.slots.iter().map(|slot| slot.iter().map(bytes).max().unwrap_or(0) as f64).sum()
}

fn measure(
    programs: &mut [Program<'_>],
    peers: &mut [Peer],
    entry: &'static str,
    arguments: &Bench,
) -> Outcome<Vec<Figure>> {
    let batch_size = arguments.batch_size;
    let mut subjects: Vec<Box<dyn measure::Program + '_>> = Vec::new();
    let mut figures = Vec::new();
    for Program { backend, compile_milliseconds, fused, profiled, predicted, eager } in programs {
        let Some(description) = fused.manifest().entry(entry) else { continue };
        let inputs = synthetic::inputs(&description.inputs, batch_size)?;
        let kernels = match profiled {
            Some(session) => measure::kernel_times(session, entry, &inputs, arguments.repeats)?,
            None => Kernels::default(),
        };
        let arena = fused.manifest().code.programs.is_empty().then(|| arena_bytes(description, batch_size));
        let figure = |mode, kernels| Figure {
            entry,
            program: backend.to_string(),
            mode,
            time: Time::default(),
            predicted: predicted.get(entry).filter(|_| mode == FUSED).cloned().unwrap_or_default(),
            kernels,
            floor: None,
            program_costs: (mode == FUSED).then_some((*compile_milliseconds, arena)),
        };
        if let Some(eager) = eager.as_mut().filter(|_| arguments.wants(BenchMode::Eager)) {
            figures.push(figure(EAGER, Kernels::default()));
            let init = fused.manifest().entry("init").map_or(&[][..], |init| &init.inputs);
            let seeds = initial_seeds(init, 0).context(|| "cannot draw seeds".to_owned())?;
            subjects.push(Box::new(EagerEntry { eager, entry, inputs: inputs.clone(), seeds }));
        }
        if arguments.wants(BenchMode::Fused) {
            figures.push(figure(FUSED, kernels));
            subjects.push(Box::new(measure::Entry { session: fused, entry, inputs, outputs: Vec::new() }));
        }
    }
    for peer in peers {
        if peer.time(entry, batch_size, 1)?.is_some() {
            let program = peer.name().to_owned();
            let (time, kernels) = (Time::default(), Kernels::default());
            let predicted = vec![];
            figures.push(Figure {
                entry,
                program,
                mode: "-",
                time,
                kernels,
                predicted,
                floor: None,
                program_costs: None,
            });
            subjects.push(Box::new(PeerEntry { peer, entry, batch_size }));
        }
    }
    for (figure, time) in figures.iter_mut().zip(measure::times(&mut subjects, arguments.repeats)?) {
        figure.time = time;
    }
    Ok(figures)
}

/// The figure of the same entry point and back end in eager mode, divided by this one.
fn ratio(figures: &[Figure], figure: &Figure) -> Option<f64> {
    let eager = figures
        .iter()
        .find(|other| other.entry == figure.entry && other.program == figure.program && other.mode == EAGER)?;
    Some(eager.time.median / figure.time.median)
}

fn as_table(figures: &[Figure]) -> String {
    let mut rows =
        vec![["entry", "program", "mode", "ms", "least ms", "eager/this", "floor ms"].map(str::to_owned).to_vec()];
    for figure in figures {
        rows.push(vec![
            figure.entry.to_owned(),
            figure.program.clone(),
            figure.mode.to_owned(),
            format!("{:.4}", figure.time.median),
            format!("{:.4}", figure.time.least),
            ratio(figures, figure).map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}")),
            figure.floor.map_or_else(|| "-".to_owned(), |floor| format!("{floor:.4}")),
        ]);
    }
    table::columns(&rows)
}

fn as_kernels(figures: &[Figure]) -> String {
    let mut text = String::new();
    for figure in figures.iter().filter(|figure| !figure.kernels.launches.is_empty()) {
        let total: f64 = figure.kernels.launches.iter().map(|launch| launch.milliseconds).sum();
        let head = format!("{} {} {}", figure.entry, figure.program, figure.mode);
        let mut rows = vec![vec![head, "calls".into(), "ms".into(), "predicted".into(), "%".into()]];
        for (number, launch) in figure.kernels.launches.iter().enumerate() {
            let Launch { kernel, calls, milliseconds } = launch;
            let share = 100.0 * milliseconds / total;
            rows.push(vec![
                format!("  {kernel}"),
                calls.to_string(),
                format!("{milliseconds:.4}"),
                figure.predicted(number).map_or_else(|| "-".to_owned(), |predicted| format!("{predicted:.4}")),
                format!("{share:.1}"),
            ]);
        }
        text += &format!("\n{}", table::columns(&rows));
        if let Some(share) = figure.kernels.share {
            text += &format!("  {:.1} % of the time is spent in kernels\n", 100.0 * share);
        }
    }
    text
}

fn as_json(figures: &[Figure], limits: Option<Limits>, arguments: &Bench) -> serde_json::Value {
    let figures: Vec<_> = figures
        .iter()
        .map(|figure| {
            let kernels: Vec<_> = figure
                .kernels
                .launches
                .iter()
                .enumerate()
                .map(|(number, launch)| {
                    json!({
                        "kernel": launch.kernel,
                        "calls": launch.calls,
                        "milliseconds": launch.milliseconds,
                        "predicted_milliseconds": figure.predicted(number),
                    })
                })
                .collect();
            let mut object = json!({
                "entry": figure.entry,
                "program": figure.program,
                "mode": figure.mode,
                "milliseconds": figure.time.median,
                "least_milliseconds": figure.time.least,
                "greatest_milliseconds": figure.time.greatest,
                "eager_ratio": ratio(figures, figure),
                "floor_milliseconds": figure.floor,
            });
            if let Some((compile_milliseconds, arena_bytes)) = figure.program_costs {
                object["compile_milliseconds"] = compile_milliseconds.into();
                object["arena_bytes"] = arena_bytes.into();
            }
            // Where launches were not timed, nothing is said of them.
            if let Some(share) = figure.kernels.share {
                object["kernels"] = kernels.into();
                object["kernel_share"] = share.into();
            }
            object
        })
        .collect();
    let mut object = json!({"batch_size": arguments.batch_size, "repeats": arguments.repeats, "figures": figures});
    if let Some(limits) = limits {
        object["operations_per_nanosecond"] = limits.operations_per_nanosecond.into();
        object["bytes_per_nanosecond"] = limits.bytes_per_nanosecond.into();
    }
    object
}
