//! The command `kc`: compile, train and run Keras models written in Rust.

mod callbacks;
mod cli;
mod code_cache;
mod commands;
mod compile;
mod data;
mod drawing;
mod failure;
mod interrupt;
mod measure;
mod model;
mod output;
mod paths;
mod plugins;
mod synthetic;
mod table;
mod tuning;

use clap::Parser;
use cli::Command;
use std::process::ExitCode;

fn main() -> ExitCode {
    plugins::prepare_environment();
    let outcome = match cli::Cli::parse().command {
        Command::Fit(arguments) => commands::fit(&arguments),
        Command::Compile(arguments) => commands::compile(&arguments),
        Command::Evaluate(arguments) => commands::evaluate(&arguments),
        Command::Predict(arguments) => commands::predict(&arguments),
        Command::Bench(arguments) => commands::bench(&arguments),
        Command::Summary(arguments) => commands::summary(&arguments),
        Command::Explain(arguments) => commands::explain(&arguments),
        Command::Tune(arguments) => commands::tune(&arguments),
        Command::Inspect(arguments) => commands::inspect(&arguments),
        Command::Verify(arguments) => commands::verify(&arguments),
        Command::Keygen(arguments) => commands::keygen(&arguments),
        Command::Sign(arguments) => commands::sign(&arguments),
        Command::Strip(arguments) => commands::strip(&arguments),
        Command::Merge(arguments) => commands::merge(&arguments),
        Command::Doctor(_) => commands::doctor(),
        Command::ProbePlugin(arguments) => plugins::probe_here(&arguments.plugin, arguments.devices),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !matches!(failure, failure::Failure::Closed) {
                output::note(&failure.to_string());
            }
            ExitCode::from(failure.exit_code())
        }
    }
}
