//! Golden cases from real Keras on every runner: one test a case and runner, named `runner::case`.

use kc_tests::runner::Runner;
use kc_tests::{gaps, golden};
use libtest_mimic::{Arguments, Trial};

fn main() {
    let arguments = Arguments::from_args();
    let cases = match golden::cases() {
        Ok(cases) => cases,
        Err(message) => {
            eprintln!("{message}");
            std::process::exit(1);
        }
    };
    let mut trials = Vec::new();
    for runner in Runner::ALL {
        if let Some(reason) = runner.unavailable() {
            eprintln!("{} is skipped: {reason}", runner.name());
            continue;
        }
        for case in &cases {
            let case = case.clone();
            trials.push(Trial::test(format!("{}::{}", runner.name(), case.name), move || {
                match (golden::check(&case, runner), gaps::reason(runner.name(), &case.name)) {
                    (Ok(()), None) | (Err(_), Some(_)) => Ok(()),
                    (Err(message), None) => Err(message.into()),
                    (Ok(()), Some(reason)) => {
                        Err(format!("it passes: strike its line from tests/gaps.txt ({reason})").into())
                    }
                }
            }));
        }
    }
    libtest_mimic::run(&arguments, trials).exit();
}
