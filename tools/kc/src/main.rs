//! The command `kc`: compile, train and run Keras models written in Rust.

mod cli;
mod commands;
mod failure;
mod model;
mod paths;

use clap::Parser;
use cli::Command;
use std::process::ExitCode;

fn main() -> ExitCode {
    let outcome = match cli::Cli::parse().command {
        Command::Summary(arguments) => commands::summary(&arguments),
        _ => Err(failure::Failure::new("later")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}
