use super::COUNTED;
use crate::cli::{Explain, ExplainFormat};
use crate::drawing::{self, Node, escaped};
use crate::failure::{Context, Failure, Outcome};
use crate::{compile, measure, model, output, synthetic, table};
use kc_codegen::{Backend, Stage, optimise, schedule_function};
use kc_ir::Symbol;
use kc_ir::kernel::{Access, Program, Space, Step};
use kc_ir::tensor::{Function, Graph, Module, Op};
use kc_passes::{RuleChoice, SaturationReport, Traffic};
use kc_runtime::{Session, SessionOptions};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Executions of which a kernel's time is the mean.
const REPEATS: usize = 10;

/// An entry point, compiled.
struct Explained {
    head: String,
    function: Function,
    report: SaturationReport,
    /// The kernels without any rule, and with all.
    before: Program,
    after: Program,
    batch_size: usize,
    /// Stages with their times.
    timings: Vec<(&'static str, Duration)>,
}

/// `kc explain`: how one entry point was optimised.
pub fn explain(arguments: &Explain) -> Outcome {
    if arguments.batch_size == 0 {
        return Err(Failure::new("`batch_size` must be at least 1, 0 was given"));
    }
    let traced = model::trace(&arguments.model)?;
    let function = traced.module.function(&arguments.entry).ok_or_else(|| {
        let names: Vec<&str> = traced.module.functions.iter().map(|function| function.name.as_str()).collect();
        Failure::new(format_args!("the model has no entry point `{}`; there are {}", arguments.entry, names.join(", ")))
    })?;
    let backend = compile::open_fresh(arguments.code.backend)?;
    let explained = Explained::new(function, &*backend, traced.built, arguments)?;
    let text = match arguments.format {
        ExplainFormat::Dot => dot(&arguments.entry, &explained.function.graph),
        ExplainFormat::Text => explained.text(arguments.timings),
        ExplainFormat::Svg => {
            let times = kernel_times(&traced.module, &*backend, arguments)?;
            explained.picture_of_kernels(&times)
        }
        ExplainFormat::Html => {
            let times = kernel_times(&traced.module, &*backend, arguments)?;
            explained.page(&times)
        }
    };
    output::print(&text)
}

/// Mean milliseconds of each launch.
fn kernel_times(module: &Module, backend: &dyn Backend, arguments: &Explain) -> Outcome<Vec<f64>> {
    let package = compile::compile(module, backend, arguments.code.extract)?;
    let options = SessionOptions { profile: true, ..SessionOptions::default() };
    let mut session = Session::new(&package, &options).context(|| "cannot load the program".to_owned())?;
    session.init(0).context(|| "cannot initialise the model".to_owned())?;
    let entry = session.manifest().entry(&arguments.entry);
    let entry = entry.ok_or_else(|| Failure::new(format_args!("the package has no `{}`", arguments.entry)))?;
    let inputs = synthetic::inputs(&entry.inputs, arguments.batch_size)?;
    let kernels = measure::kernel_times(&mut session, &arguments.entry, &inputs, REPEATS)?;
    Ok(kernels.launches.into_iter().map(|launch| launch.milliseconds).collect())
}

impl Explained {
    fn new(
        function: &Function,
        backend: &dyn Backend,
        built: Option<Duration>,
        arguments: &Explain,
    ) -> Outcome<Explained> {
        let mut plain = compile::options(arguments.code.extract);
        plain.saturation.rules = RuleChoice::None;
        let before = optimise(function, backend.target(), &plain, &mut |_, _| {}).map_err(Failure::new)?;
        let before = schedule_function(&before.function, backend.target()).map_err(Failure::new)?;
        // with proofs it takes longer: the stages are timed without
        let mut timings = vec![("trace (building the model file in Rust)", built.unwrap_or_default())];
        let mut running: Option<(Stage, Instant)> = None;
        let mut ended = |next: Option<Stage>| {
            let now = Instant::now();
            if let Some((stage, start)) = std::mem::replace(&mut running, next.map(|stage| (stage, now))) {
                timings.push((stage.name(), now - start));
            }
        };
        let optimised =
            optimise(function, backend.target(), &compile::options(arguments.code.extract), &mut |stage, _| {
                ended(Some(stage))
            })
            .map_err(Failure::new)?;
        ended(Some(Stage::Schedule));
        let after = schedule_function(&optimised.function, backend.target()).map_err(Failure::new)?;
        ended(Some(Stage::Lower));
        backend.compile(&after.kernels).map_err(Failure::new)?;
        ended(None);
        let mut options = compile::options(arguments.code.extract);
        options.saturation.explain = true;
        let optimised = optimise(function, backend.target(), &options, &mut |_, _| {}).map_err(Failure::new)?;
        Ok(Explained {
            head: format!("{} on {} ({})", arguments.entry, backend.name(), backend.target().name),
            function: optimised.function,
            report: optimised.report,
            before,
            after,
            batch_size: arguments.batch_size,
            timings,
        })
    }

    fn extent(&self) -> impl Fn(&Symbol) -> Option<i64> + '_ {
        |_| i64::try_from(self.batch_size).ok()
    }

    fn text(&self, timings: bool) -> String {
        let Explained { head, report, .. } = self;
        let mut text = format!("{head}\n\n{report}\n{}\n{}", self.kernels_by_name(), self.launches());
        if timings {
            text += &format!("\n{}", self.timings());
        }
        text
    }

    fn timings(&self) -> String {
        let mut rows = vec![vec!["stage".to_owned(), "ms".to_owned()]];
        let row = |name: &str, time: Duration| vec![name.to_owned(), format!("{:.1}", time.as_secs_f64() * 1e3)];
        rows.extend(self.timings.iter().map(|(name, time)| row(name, *time)));
        rows.push(row("all", self.timings.iter().map(|(_, time)| *time).sum()));
        table::columns(&rows)
    }

    /// How often kernels of each name are launched and what they move, without any rule and with all.
    fn kernels_by_name(&self) -> String {
        let mut by_name: BTreeMap<(bool, &str), [Traffic; 2]> = BTreeMap::new();
        for (side, program) in [&self.before, &self.after].into_iter().enumerate() {
            for launch in kc_passes::count(program, &self.extent()) {
                let name = program.kernels[launch.kernel].name.as_str();
                by_name.entry((launch.kept, name)).or_default()[side] += launch.traffic();
            }
        }
        let mut rows = vec![["kernels", "before", "MB", "after", "MB"].map(str::to_owned).to_vec()];
        let mut row = |name: String, sides: &[Traffic; 2]| {
            let cells = sides.map(|side| [side.launches.to_string(), format!("{:.3}", side.bytes / 1e6)]);
            rows.push([name].into_iter().chain(cells.into_iter().flatten()).collect());
        };
        for kept in [false, true] {
            let mut all = [Traffic::default(); 2];
            for ((_, name), sides) in by_name.iter().filter(|((is_kept, _), _)| *is_kept == kept) {
                all.iter_mut().zip(sides).for_each(|(all, side)| *all += *side);
                row(if kept { format!("kept: {name}") } else { (*name).to_owned() }, sides);
            }
            match kept {
                false => row("all of a call".to_owned(), &all),
                true if all.iter().any(|side| side.launches > 0.0) => row("all kept".to_owned(), &all),
                true => {}
            }
        }
        format!("before: without any rule; batch {}\n{COUNTED}\n{}", self.batch_size, table::columns(&rows))
    }

    /// The launches in order, with what they compute.
    fn launches(&self) -> String {
        let mut rows = vec![["step  kernel", "tasks", "work"].map(str::to_owned).to_vec()];
        rows_of(&self.after, &self.after.steps, "", self.after.kept, &mut rows);
        format!(
            "kernels in order, kept ones first; work: estimate of bytes moved and arithmetic operations, - where there is none\n{}",
            table::columns(&rows)
        )
    }

    /// A box a launch, a row a step.
    fn picture_of_kernels(&self, times: &[f64]) -> String {
        let counted = kc_passes::count(&self.after, &self.extent());
        let total: f64 = times.iter().sum();
        let mut nodes = vec![];
        let mut edges = vec![];
        let mut writers: BTreeMap<usize, usize> = BTreeMap::new();
        for (row, buffers, kernel) in flat(&self.after) {
            let number = nodes.len();
            let time = times.get(number).copied().unwrap_or_default();
            let mut written = vec![];
            for (memory, &buffer) in kernel.memory.iter().zip(&buffers) {
                let Space::Parameter(access) = memory.space else { continue };
                let (root, _) = self.after.root(buffer);
                if access != Access::Write
                    && let Some(&writer) = writers.get(&root)
                {
                    edges.push((writer, number));
                }
                if access != Access::Read {
                    written.push(root);
                }
            }
            writers.extend(written.into_iter().map(|root| (root, number)));
            let bytes = counted.get(number).map_or(0.0, |launch| launch.traffic().bytes);
            let lines = vec![kernel.name.clone(), format!("{time:.3} ms  {:.2} MB", bytes / 1e6)];
            nodes.push(Node { lines, row, share: if total > 0.0 { time / total } else { 0.0 } });
        }
        edges.dedup();
        drawing::svg(&nodes, &edges)
    }

    /// A box an op, a row below all that it needs.
    fn picture_of_graph(&self) -> String {
        let graph = &self.function.graph;
        let mut depth = vec![0; graph.nodes.len()];
        for value in graph.values() {
            let below = graph.node(value).operands.iter().map(|operand| depth[operand.index()] + 1);
            depth[value.index()] = below.max().unwrap_or(0);
        }
        let nodes: Vec<Node> = graph
            .values()
            .map(|value| Node { lines: label(graph, value), row: depth[value.index()], share: 0.0 })
            .collect();
        let edges: Vec<(usize, usize)> = graph
            .values()
            .flat_map(|value| graph.node(value).operands.iter().map(move |operand| (operand.index(), value.index())))
            .collect();
        drawing::svg(&nodes, &edges)
    }

    fn page(&self, times: &[f64]) -> String {
        let head = escaped(&self.head);
        let part = |title: &str, content: String| format!("<h2>{title}</h2>\n{content}\n");
        let plain = |text: String| format!("<pre>{}</pre>", escaped(&text));
        let picture = |svg: String| format!("<div class=\"picture\">{svg}</div>");
        let parts = [
            part("Rules and costs", plain(self.report.to_string())),
            part("Kernels by name", plain(self.kernels_by_name())),
            part("Kernels, the redder the longer", picture(self.picture_of_kernels(times))),
            part("Kernels in order", plain(self.launches())),
            part("Compilation", plain(self.timings())),
            part("Graph", picture(self.picture_of_graph())),
        ];
        format!(
            "<!doctype html>\n<html><head><meta charset=\"utf-8\"><title>{head}</title>\n\
             <style>body {{ font-family: sans-serif; margin: 2em }} .picture {{ overflow: auto; max-height: 90vh; border: 1px solid #ccc }}</style>\n\
             </head><body>\n<h1>{head}</h1>\n{}</body></html>\n",
            parts.concat()
        )
    }
}

/// Each launch with its step, its buffers and its kernel; loops once.
fn flat(program: &Program) -> Vec<(usize, Vec<usize>, &kc_ir::kernel::Kernel)> {
    let mut found = vec![];
    let mut open: Vec<&Step> = program.steps.iter().rev().collect();
    let mut row = 0;
    while let Some(step) = open.pop() {
        match step {
            Step::Launches(launches) => {
                for launch in launches {
                    if let Some(kernel) = program.kernels.get(launch.kernel) {
                        found.push((row, launch.buffers.clone(), kernel));
                    }
                }
                row += 1;
            }
            other => open.extend(other.blocks().into_iter().flatten().rev()),
        }
    }
    found
}

/// The rows of steps; `around` is the number of the step that they are in, the first of them are kept.
fn rows_of(program: &Program, steps: &[Step], around: &str, kept: usize, rows: &mut Vec<Vec<String>>) {
    for (number, step) in steps.iter().enumerate() {
        let mark = if number < kept { "kept: " } else { "" };
        let number = format!("{around}{number}");
        let mut inner = |what: String, blocks: &[&[Step]]| {
            rows.push(vec![format!("{number:>4}  {what}"), String::new(), String::new()]);
            blocks.iter().for_each(|steps| rows_of(program, steps, &format!("{number}."), 0, rows));
        };
        match step {
            Step::Launches(launches) => {
                for launch in launches {
                    let kernel = program.kernels.get(launch.kernel).map_or("", |kernel| &kernel.name);
                    let work = if launch.work.is(0) { "-".to_owned() } else { launch.work.to_string() };
                    rows.push(vec![format!("{number:>4}  {mark}{kernel}"), launch.tasks.to_string(), work]);
                }
            }
            Step::Loop { rounds, .. } => inner(format!("loop of {rounds} rounds"), &step.blocks()),
            Step::While { .. } => inner("loop while the condition holds".into(), &step.blocks()),
            Step::Branch { branches, .. } => inner(format!("one of {} branches", branches.len()), &step.blocks()),
        }
    }
}

/// An op's name and type.
fn label(graph: &Graph, value: kc_ir::tensor::Value) -> Vec<String> {
    let node = graph.node(value);
    let name = match &node.op {
        Op::Parameter(parameter) => format!("parameter {}", parameter.name),
        op => op.operation().name().to_string(),
    };
    vec![name, node.ty.to_string()]
}

/// The graph for Graphviz.
fn dot(name: &str, graph: &Graph) -> String {
    let text = kc_passes::dot(graph);
    text.replacen("digraph {", &format!("digraph \"{name}\" {{"), 1)
}
