//! Golden cases from real Keras on every runner: one test a case and runner, named `runner::case`.

use kc_tests::runner::Runner;
use kc_tests::{golden, trials};
use libtest_mimic::Arguments;

fn main() {
    let arguments = Arguments::from_args();
    let cases = trials::read(golden::cases());
    let trials = trials::on_runners(&Runner::ALL, &cases, |case| &case.name, golden::check);
    libtest_mimic::run(&arguments, trials).exit();
}
