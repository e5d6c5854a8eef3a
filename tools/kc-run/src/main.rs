//! The command `kc-run`: everything that a compiled package can do, without the compiler.

mod arguments;
mod bench;
mod commands;

use arguments::Command;
use std::process::ExitCode;

/// Why a command did not do its work, for the person at the terminal.
type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let done = arguments::parse(std::env::args_os().skip(1)).map_err(Failure::from).and_then(|command| match command {
        Command::Help => {
            print!("{}", arguments::HELP);
            Ok(ExitCode::SUCCESS)
        }
        Command::Version => {
            println!("kc-run {}", env!("CARGO_PKG_VERSION"));
            Ok(ExitCode::SUCCESS)
        }
        Command::Info { package } => commands::info(&package),
        Command::Fit(options) => commands::fit(&options),
        Command::Evaluate(options) => commands::evaluate(&options),
        Command::Predict(options) => commands::predict(&options),
        Command::Bench { package, repeats, json } => bench::bench(&package, repeats, json),
        Command::FirstPrediction { package } => bench::first_prediction(&package),
    });
    done.unwrap_or_else(|failure| {
        eprintln!("error: {failure}");
        ExitCode::FAILURE
    })
}
