use super::bench::ENTRIES;
use crate::cli::Bench;
use crate::failure::{Context, Failure, Outcome};
use crate::measure::{self, Time};
use crate::{compile, model, output, synthetic, table};
use kc_codegen::{Backend, Options, optimise, schedule_function};
use kc_ir::Symbol;
use kc_ir::tensor::Function;
use kc_passes::saturate::rules::TOPICS;
use kc_passes::{RuleChoice, Traffic, schedule_apart, traffic, unfused};
use kc_runtime::Session;
use serde_json::json;

/// One way of compiling an entry point.
struct Figure {
    entry: &'static str,
    backend: &'static str,
    rules: String,
    traffic: Traffic,
    time: Option<Time>,
}

/// What each op by itself is called in tables.
const UNFUSED: &str = "each op by itself";

/// `kc bench --ablate`: what equality saturation, and each topic of its rules, is worth in bytes, kernels and time.
pub fn ablate(arguments: &Bench) -> Outcome {
    let traced = model::trace(&arguments.model)?;
    let mut figures = Vec::new();
    for backend in compile::present(&arguments.backend)? {
        let choices = [("clean-up only".to_owned(), RuleChoice::None), ("all rules".to_owned(), RuleChoice::All)];
        let without = TOPICS.iter().map(|(topic, _)| (format!("without {topic}"), RuleChoice::Without(topic)));
        let choices: Vec<(String, Options)> = choices
            .into_iter()
            .chain(without)
            .map(|(name, rules)| (name, options(&*backend, rules, arguments)))
            .collect();
        let mut sessions = Vec::new();
        for (_, options) in choices.iter().filter(|_| arguments.repeats > 0) {
            let package = compile::compile_with(&traced.module, &*backend, options)?;
            let mut session = Session::new(&package, &compile::session_options(&arguments.machine))
                .context(|| "cannot load the program".to_owned())?;
            session.init(0).context(|| "cannot initialise the model".to_owned())?;
            sessions.push(session);
        }
        let is_wanted = |name: &&str| arguments.entry.is_empty() || arguments.entry.iter().any(|e| e.name() == *name);
        for entry in ENTRIES.into_iter().filter(is_wanted) {
            let Some(function) = traced.module.function(entry) else { continue };
            figures.extend(measured(function, entry, &*backend, &choices, &mut sessions, arguments)?);
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
    let head = format!("batch {batch_size}{times}; MB: what kernels read and write, those of a launch each\n");
    output::print(&format!("{head}\n{}", as_table(&figures)))
}

fn options(backend: &dyn Backend, rules: RuleChoice, arguments: &Bench) -> Options {
    let mut options = compile::options(backend, arguments.extract);
    options.saturation.rules = rules;
    options
}

fn measured(
    function: &Function,
    entry: &'static str,
    backend: &dyn Backend,
    choices: &[(String, Options)],
    sessions: &mut [Session],
    arguments: &Bench,
) -> Outcome<Vec<Figure>> {
    let batch_size = arguments.batch_size;
    let extent = |_: &Symbol| i64::try_from(batch_size).ok();
    let mut figures = Vec::new();
    for (rules, options) in choices {
        let optimised = optimise(function, backend.target(), options, &mut |_, _| {}).map_err(Failure::new)?;
        let program = schedule_function(&optimised.function, backend.target()).map_err(Failure::new)?;
        let figure = |rules: &str, traffic| Figure {
            entry,
            backend: backend.name(),
            rules: rules.to_owned(),
            traffic,
            time: None,
        };
        if options.saturation.rules == RuleChoice::None {
            figures.push(figure(UNFUSED, unfused(&optimised.function.graph, &extent)));
        }
        // kernels that are launched as one read a buffer that they share once each
        let apart = schedule_apart(&optimised.function, backend.target()).map_err(Failure::new)?;
        let moved = Traffic { bytes: traffic(&apart, &extent).bytes, ..traffic(&program, &extent) };
        figures.push(figure(rules, moved));
    }
    if sessions.is_empty() {
        return Ok(figures);
    }
    let mut subjects: Vec<Box<dyn measure::Program + '_>> = Vec::new();
    for session in sessions {
        let description = session.manifest().entry(entry);
        let description = description.ok_or_else(|| Failure::new(format_args!("the package has no `{entry}`")))?;
        let inputs = synthetic::inputs(description, batch_size)?;
        subjects.push(Box::new(measure::Entry { session, entry, inputs, outputs: Vec::new() }));
    }
    let times = measure::times(&mut subjects, arguments.repeats)?;
    figures.iter_mut().filter(|figure| figure.rules != UNFUSED).zip(times).for_each(|(figure, time)| {
        figure.time = Some(time);
    });
    Ok(figures)
}

/// The figure of the same entry point and back end without any fusion.
fn unfused_of<'f>(figures: &'f [Figure], figure: &Figure) -> Option<&'f Figure> {
    figures
        .iter()
        .find(|other| other.entry == figure.entry && other.backend == figure.backend && other.rules == UNFUSED)
}

fn as_table(figures: &[Figure]) -> String {
    let head = ["entry       rules", "back end", "kernels", "of unfused", "MB", "of unfused", "ms", "least ms"];
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
