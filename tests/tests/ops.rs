//! Functions of `kc::ops` beside what Keras computed, on every runner: one test a row of the tables and runner, named `runner::row`;
//! and calls with operands that the functions do not take, `refusals::row`.

use kc_tests::runner::Runner;
use kc_tests::{gaps, golden::ops};
use libtest_mimic::{Arguments, Trial};

fn main() {
    let arguments = Arguments::from_args();
    let rows = match ops::rows() {
        Ok(rows) => rows,
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
        for row in &rows {
            let row = row.clone();
            trials.push(Trial::test(format!("{}::{}", runner.name(), row.name), move || {
                match (ops::check(&row, runner), gaps::reason(runner.name(), &row.name)) {
                    (Ok(()), None) | (Err(_), Some(_)) => Ok(()),
                    (Err(message), None) => Err(message.into()),
                    (Ok(()), Some(reason)) => {
                        Err(format!("it passes: strike its line from tests/gaps.txt ({reason})").into())
                    }
                }
            }));
        }
    }
    for row in rows.into_iter().filter(|row| row.name.starts_with("ops_more/")) {
        trials.push(Trial::test(format!("refusals::{}", row.name), move || ops::refuse(&row).map_err(Into::into)));
    }
    libtest_mimic::run(&arguments, trials).exit();
}
