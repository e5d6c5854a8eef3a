//! Ctrl-C: the first ends the loop after its step, the second ends the process.

use crate::failure::{Failure, Outcome};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The flag that Ctrl-C sets. Call it once.
pub fn flag() -> Outcome<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let set = flag.clone();
    ctrlc::set_handler(move || {
        if set.swap(true, Ordering::Relaxed) {
            std::process::exit(Failure::Interrupted(String::new()).exit_code().into());
        }
    })
    .map_err(|error| Failure::new(format_args!("cannot watch for Ctrl-C: {error}")))?;
    Ok(flag)
}

/// What is said after an interruption.
pub fn interrupted(saved: Option<&Path>) -> Failure {
    let saved = saved.map_or_else(String::new, |path| format!("; the model as it is was saved to {}", path.display()));
    Failure::Interrupted(format!("interrupted{saved}"))
}
