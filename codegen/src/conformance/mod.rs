//! The suite that every back end must pass, and every future one.
//!
//! A kernel is executed by the interpreter of [`kc_ir::kernel::interpret`] and by the back end's code; every buffer must have the
//! same bits afterwards (any NaN is equal to any NaN). Buffers end at pages that cannot be touched, so code that reads or
//! writes past them crashes. Scalar functions and matrix products come from the interpreter for both.
//!
//! * [`files`]: kernels with inputs and expected outputs, one text file each;
//! * [`functions`]: every basic function, of every dtype, in several numbers of lanes, on special values;
//! * [`programs`]: whole train steps, launch by launch;
//! * [`random`]: random kernels; a failure is shrunk and printed as text.

mod compare;
pub mod files;
pub mod functions;
mod generate;
mod memory;
pub mod programs;
pub mod random;
mod run;
mod shrink;

pub use compare::{Case, check};
pub use run::{Execute, Subject};

use kc_ir::DType;

/// Runs the whole suite; an error is the text of all failures.
pub fn conformance(backend: &dyn Subject) -> Result<(), String> {
    let mut failures = Vec::new();
    for result in [
        files::run(backend),
        functions::run(backend, DType::ALL),
        programs::run(backend),
        random::run(backend, random::seeds()),
    ] {
        if let Err(failure) = result {
            failures.push(failure);
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
}
