//! The program that the `kc` command builds around a model file.
//!
//! # Protocol
//!
//! The program includes the file as a module and calls [`trace_main`] with its entry points. A file without `#[kc::data]` (or
//! without `#[kc::model]`) has no such function, so the ones of [`missing`] stand behind a glob import and are shadowed by the
//! file's own:
//!
//! ```text
//! #[path = "/path/to/model.rs"]
//! mod model;
//!
//! #[allow(unused_imports)]
//! use kc::missing::*;
//!
//! fn main() -> std::process::ExitCode {
//!     #[allow(unused_imports)]
//!     use model::*;
//!     kc::trace_main(kc_model, kc_data)
//! }
//! ```
//!
//! | arguments | what the program does |
//! |---|---|
//! | `module` | prints the traced module's text (`kc_ir::tensor::text`) to standard output |
//! | `data FOLDER` | writes `x_train.npy`, `y_train.npy` and, where there are any, `x_test.npy`, `y_test.npy` into the folder; further inputs and targets are `x1_train.npy`, `y1_train.npy`, ... |
//!
//! A mistake in the model or its data is printed to standard error as `error: ...` and the program ends with exit code 1.
//! Arguments that are none of these end it with exit code 2.

use crate::{Data, Model};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

/// Runs the protocol of this module on the program's arguments.
pub fn trace_main(model: fn() -> Result<Model, String>, data: fn() -> Result<Data, String>) -> ExitCode {
    if std::env::var_os("RUST_BACKTRACE").is_none_or(|value| value == "0") {
        std::panic::set_hook(Box::new(|panic| eprintln!("{}", panic_message(panic))));
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["module"] => print_module(model),
        ["data", folder] => data().and_then(|data| data.write(Path::new(folder)).map_err(|error| error.to_string())),
        _ => {
            eprintln!("error: expected the arguments `module` or `data FOLDER`, got: {}", words.join(" "));
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

/// A panic in the form of all other errors; who asks for a backtrace gets Rust's own message.
fn panic_message(panic: &std::panic::PanicHookInfo<'_>) -> String {
    let message = panic.payload_as_str().unwrap_or("the program panicked");
    let place = panic.location().map_or_else(String::new, |place| format!("\n  --> {place}"));
    format!("error: {message}{place}")
}

fn print_module(model: fn() -> Result<Model, String>) -> Result<(), String> {
    let module = model()?.module().map_err(|error| error.to_string())?;
    let text = kc_ir::tensor::text::print_module(&module);
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| format!("cannot print the module: {error}"))
}

/// What a model file's entry points are where it has none.
pub mod missing {
    use crate::{Data, Model};

    /// Says that the file marks no model.
    pub fn kc_model() -> Result<Model, String> {
        Err("the file marks no model: put `#[kc::model]` before the function that returns it".to_string())
    }

    /// Says that the file marks no data.
    pub fn kc_data() -> Result<Data, String> {
        Err("the file marks no data: put `#[kc::data]` before the function that returns them, or name a data set"
            .to_string())
    }
}
