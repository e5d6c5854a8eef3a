use super::COUNTED;
use super::bench::ENTRIES;
use crate::cli::{Bench, BenchMode};
use crate::failure::{Context, Failure, Outcome};
use crate::measure::{self, Time};
use crate::{compile, model, output, synthetic, table};
use kc_codegen::eager::Eager;
use kc_codegen::{Backend, Options, optimise, schedule_function};
use kc_ir::Symbol;
use kc_ir::tensor::{Function, Module};
use kc_passes::saturate::rules::TOPICS;
use kc_passes::{RuleChoice, Traffic, traffic, unfused};
use kc_runtime::Session;
use kc_runtime::random::initial_seeds;
use serde_json::json;

/// One way of compiling an entry point.
struct Figure {
    entry: &'static str,
    backend: &'static str,
    rules: String,
    /// Of a call.
    traffic: Traffic,
    /// Of what is kept from call to call.
    kept: Traffic,
    time: Option<Time>,
}

/// What each op by itself is called in tables.
const UNFUSED: &str = "each op by itself";

/// `kc bench --ablate`: what equality saturation, and each topic of its rules, is worth in bytes, kernels and time.
pub fn ablate(arguments: &Bench) -> Outcome {
    let traced = model::trace(&arguments.model)?;
    let times = |mode| arguments.repeats > 0 && arguments.wants(mode);
    let mut figures = Vec::new();
    for backend in compile::present(&arguments.backend)? {
        let choices = [("clean-up only".to_owned(), RuleChoice::None), ("all rules".to_owned(), RuleChoice::All)];
        let without = TOPICS.iter().map(|(topic, _)| (format!("without {topic}"), RuleChoice::Without(topic)));
        let choices: Vec<(String, Options)> = choices
            .into_iter()
            .chain(without)
            .filter(|_| arguments.wants(BenchMode::Fused))
            .map(|(name, rules)| (name, options(rules, arguments)))
            .collect();
        let mut sessions = Vec::new();
        for (_, options) in choices.iter().filter(|_| times(BenchMode::Fused)) {
            let package = compile::compile_with(&traced.module, &*backend, options)?;
            let mut session = Session::new(&package, &compile::session_options(&arguments.machine))
                .context(|| "cannot load the program".to_owned())?;
            session.init(0).context(|| "cannot initialise the model".to_owned())?;
            sessions.push(session);
        }
        let mut eager = None;
        if times(BenchMode::Eager) {
            let options = compile::session_options(&arguments.machine);
            eager = Some(Eager::new(traced.module.clone(), &*backend, options).map_err(Failure::new)?);
        }
        for entry in ENTRIES.into_iter().filter(|name| arguments.wants_entry(name)) {
            let Some(function) = traced.module.function(entry) else { continue };
            let mut counted = counted(function, entry, &*backend, &choices, arguments)?;
            time(&mut counted, &traced.module, entry, &mut sessions, eager.as_mut(), arguments)?;
            figures.extend(counted);
        }
    }
    if arguments.json {
        return output::print(&format!("{}\n", as_json(&figures, arguments)));
    }
    let Bench { batch_size, repeats, .. } = arguments;
    let times = match repeats {
        0 => String::new(),
        _ => format!(", medians of {repeats} samples taken in turns"),
    };
    output::print(&format!("batch {batch_size}{times}\n{COUNTED}\n\n{}", as_table(&figures)))
}

fn options(rules: RuleChoice, arguments: &Bench) -> Options {
    let mut options = compile::options(arguments.extract);
    options.saturation.rules = rules;
    options
}

/// What each choice of rules launches and moves, behind what each op by itself does.
fn counted(
    function: &Function,
    entry: &'static str,
    backend: &dyn Backend,
    choices: &[(String, Options)],
    arguments: &Bench,
) -> Outcome<Vec<Figure>> {
    let extent = |_: &Symbol| i64::try_from(arguments.batch_size).ok();
    let optimised = |options: &Options| {
        let optimised = optimise(function, backend.target(), options, &mut |_, _| {}).map_err(Failure::new)?;
        Ok::<Function, Failure>(optimised.function)
    };
    let figure = |rules: &str, [traffic, kept]: [Traffic; 2]| Figure {
        entry,
        backend: backend.name(),
        rules: rules.to_owned(),
        traffic,
        kept,
        time: None,
    };
    let plain = optimised(&options(RuleChoice::None, arguments))?;
    let mut figures = vec![figure(UNFUSED, [unfused(&plain.graph, &extent), Traffic::default()])];
    for (rules, options) in choices {
        let program = schedule_function(&optimised(options)?, backend.target()).map_err(Failure::new)?;
        figures.push(figure(rules, traffic(&program, &extent)));
    }
    Ok(figures)
}

/// Adds the times of an entry point: of each op by itself where it is executed so, of each choice of rules where there are sessions.
fn time(
    figures: &mut [Figure],
    module: &Module,
    entry: &'static str,
    sessions: &mut [Session],
    eager: Option<&mut Eager<'_>>,
    arguments: &Bench,
) -> Outcome {
    let unknown = || Failure::new(format_args!("the model has no entry point `{entry}`"));
    let inputs = &module.function(entry).ok_or_else(unknown)?.inputs;
    let inputs = synthetic::inputs(inputs, arguments.batch_size)?;
    let mut subjects: Vec<Box<dyn measure::Program + '_>> = Vec::new();
    let (alone, chosen) = figures.split_at_mut(1);
    let mut timed: Vec<&mut Figure> = Vec::new();
    if let Some(eager) = eager {
        let init = module.function("init").map_or(&[][..], |init| &init.inputs);
        let seeds = initial_seeds(init, 0).context(|| "cannot draw seeds".to_owned())?;
        subjects.push(Box::new(measure::EagerEntry { eager, entry, inputs: inputs.clone(), seeds }));
        timed.extend(alone);
    }
    for (session, figure) in sessions.iter_mut().zip(chosen) {
        subjects.push(Box::new(measure::Entry { session, entry, inputs: inputs.clone(), outputs: Vec::new() }));
        timed.push(figure);
    }
    if subjects.is_empty() {
        return Ok(());
    }
    let times = measure::times(&mut subjects, arguments.repeats)?;
    timed.into_iter().zip(times).for_each(|(figure, time)| figure.time = Some(time));
    Ok(())
}

/// The figure of the same entry point and back end without any fusion.
fn unfused_of<'f>(figures: &'f [Figure], figure: &Figure) -> Option<&'f Figure> {
    figures
        .iter()
        .find(|other| other.entry == figure.entry && other.backend == figure.backend && other.rules == UNFUSED)
}

fn as_table(figures: &[Figure]) -> String {
    let head = [
        "entry       rules",
        "back end",
        "kernels",
        "of unfused",
        "MB",
        "of unfused",
        "kept kernels",
        "kept MB",
        "ms",
        "least ms",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for figure in figures {
        let share = |of: fn(&Traffic) -> f64| {
            unfused_of(figures, figure)
                .map_or_else(String::new, |other| format!("{:.3}", of(&figure.traffic) / of(&other.traffic)))
        };
        let time =
            |of: fn(&Time) -> f64| figure.time.as_ref().map_or("-".to_owned(), |time| format!("{:.4}", of(time)));
        rows.push(vec![
            format!("{:<10}  {}", figure.entry, figure.rules),
            figure.backend.to_owned(),
            format!("{:.0}", figure.traffic.launches),
            share(|traffic| traffic.launches),
            format!("{:.3}", figure.traffic.bytes / 1e6),
            share(|traffic| traffic.bytes),
            format!("{:.0}", figure.kept.launches),
            format!("{:.3}", figure.kept.bytes / 1e6),
            time(|time| time.median),
            time(|time| time.least),
        ]);
    }
    table::columns(&rows)
}

fn as_json(figures: &[Figure], arguments: &Bench) -> serde_json::Value {
    let figures = figures.iter().map(|figure| {
        json!({
            "entry": figure.entry,
            "backend": figure.backend,
            "rules": figure.rules,
            "kernels": figure.traffic.launches,
            "bytes": figure.traffic.bytes,
            "kept_kernels": figure.kept.launches,
            "kept_bytes": figure.kept.bytes,
            "milliseconds": figure.time.map(|time| time.median),
            "least_milliseconds": figure.time.map(|time| time.least),
        })
    });
    json!({
        "batch_size": arguments.batch_size,
        "repeats": arguments.repeats,
        "figures": figures.collect::<Vec<_>>(),
    })
}
