//! One test a case and runner, named `runner::case`.

use crate::gaps;
use crate::runner::Runner;
use libtest_mimic::Trial;

/// The tests of all cases on those of the runners that this machine has; a known gap (`gaps.txt`) has to fail.
pub fn on_runners<C: Clone + Send + 'static>(
    runners: &[Runner],
    cases: &[C],
    name: fn(&C) -> &str,
    check: fn(&C, Runner) -> Result<(), String>,
) -> Vec<Trial> {
    let mut trials = Vec::new();
    for &runner in runners {
        if let Some(reason) = runner.unavailable() {
            eprintln!("{} is skipped: {reason}", runner.name());
            continue;
        }
        trials.extend(cases.iter().cloned().map(|case| {
            Trial::test(format!("{}::{}", runner.name(), name(&case)), move || {
                match (check(&case, runner), gaps::reason(runner.name(), name(&case))) {
                    (Ok(()), None) | (Err(_), Some(_)) => Ok(()),
                    (Err(message), None) => Err(message.into()),
                    (Ok(()), Some(reason)) => {
                        Err(format!("it passes: strike its line from tests/gaps.txt ({reason})").into())
                    }
                }
            })
        }));
    }
    trials
}

/// What was read, or the end of the program with the reason why it could not be.
pub fn read<T>(cases: Result<T, String>) -> T {
    cases.unwrap_or_else(|message| {
        eprintln!("{message}");
        std::process::exit(1);
    })
}
