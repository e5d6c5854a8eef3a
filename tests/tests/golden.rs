//! Golden cases from real Keras on every runner: one test a case and runner, named `runner::case`.
//!
//! The test device executes each thread of a GPU by itself: it gets a sample of the cases, or all with `KC_GOLDEN_CUDA=all`.

use kc_tests::runner::Runner;
use kc_tests::{golden, trials};
use libtest_mimic::Arguments;

/// The cases that the test device executes in any case.
const ON_DEVICE: [&str; 11] = [
    "dense",
    "conv2d_same_s2",
    "batchnorm_train",
    "layernorm",
    "embedding",
    "mha_causal",
    "lstm_state",
    "gru_seq",
    "masking_lstm",
    "mixed_bfloat16_cnn_steps",
    "mixed_float16_mlp_overflow",
];

fn main() {
    let arguments = Arguments::from_args();
    let cases = trials::read(golden::cases());
    let mut trials = trials::on_runners(&Runner::ALL, &cases, |case| &case.name, golden::check);
    let mut on_device = cases;
    if std::env::var("KC_GOLDEN_CUDA").as_deref() != Ok("all") {
        on_device.retain(|case| ON_DEVICE.contains(&case.name.as_str()));
    }
    trials.extend(trials::on_runners(&[Runner::Cuda], &on_device, |case| &case.name, golden::check));
    libtest_mimic::run(&arguments, trials).exit();
}
