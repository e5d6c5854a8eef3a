//! Functions of `kc::ops` beside what Keras computed, on every runner: one test a row of the tables and runner, named `runner::row`;
//! and calls with operands that the functions do not take, `refusals::row`.

use kc_tests::golden::ops::{self, Row};
use kc_tests::runner::Runner;
use kc_tests::trials;
use libtest_mimic::{Arguments, Trial};

/// XLA takes long to compile: it gets every so many-th row, and all where `KC_XLA_ROWS` is `all`, as in the nightly command.
const XLA_ROWS: usize = 6;

fn main() {
    let arguments = Arguments::from_args();
    let rows = trials::read(ops::rows());
    let mut trials = trials::on_runners(&Runner::OWN, &rows, |row| &row.name, ops::check);
    let step = if std::env::var_os("KC_XLA_ROWS").is_some_and(|rows| rows == "all") { 1 } else { XLA_ROWS };
    let some: Vec<Row> = rows.iter().step_by(step).cloned().collect();
    trials.extend(trials::on_runners(&[Runner::Xla], &some, |row| &row.name, ops::check));
    for row in rows.into_iter().filter(|row| row.name.starts_with("ops_more/")) {
        trials.push(Trial::test(format!("refusals::{}", row.name), move || ops::refuse(&row).map_err(Into::into)));
    }
    libtest_mimic::run(&arguments, trials).exit();
}
