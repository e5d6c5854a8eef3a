//! The command `kc-run`: everything that a compiled package can do, without the compiler.

mod arguments;
mod bench;
mod commands;
mod output;

use arguments::Command;
use std::io::Write;
use std::process::ExitCode;

/// As a shell counts a process that SIGPIPE ended.
const CLOSED: u8 = 141;

/// Why a command did not do its work, for the person at the terminal.
type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let done = arguments::parse(std::env::args_os().skip(1)).map_err(Failure::from).and_then(|command| match command {
        Command::Help => {
            output::print(arguments::HELP)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Version => {
            output::print(concat!("kc-run ", env!("CARGO_PKG_VERSION"), "\n"))?;
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
        if failure.downcast_ref::<output::Unwritten>().is_some_and(output::Unwritten::is_closed) {
            return ExitCode::from(CLOSED);
        }
        let _ = writeln!(std::io::stderr(), "error: {failure}");
        ExitCode::FAILURE
    })
}
