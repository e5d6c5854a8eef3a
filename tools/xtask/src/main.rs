//! The project's chores: `cargo xtask help` lists them.

mod browser;
mod cross;
mod deploy;
mod gpu_check;
mod imports;
mod mlir_plugin;
mod mnist;
mod nightly;
mod nightly_xla;
mod peers;
mod process;
mod sanitize;
mod setup;
mod stages;
mod xla_plugin;

use process::Outcome;
use std::process::ExitCode;

const HELP: &str = "\
cargo xtask COMMAND

  test [STAGE...]     set up what is missing, then run every check and test, or only the stages named
  mnist [--model mlp|cnn]
                      build kc, get MNIST, train the example, evaluate it; ends with one line:
                      test_accuracy=0.9764 test_loss=0.0801 train_seconds=3.2
  nightly [STAGE...] [--seeds START..END] [--minutes N]
                      what is too long for every change: train every example to its accuracy, compile for
                      TPUs, fuzz every back end and every reader for long (readers and packages for N minutes, 10 without it)
  bench [--peers] [WORKLOAD...] [KC BENCH'S OPTIONS, AS --NAME=VALUE]
                      measure workloads (a to g, gemm512...: benches/README.md), all where none is named; --peers
                      installs other frameworks and measures them in turns with kc
  bench --deploy [--peers tract,candle,burn,onnxruntime,onnxruntime.py,torch.py,jax.py,keras.py]
                      size, start and latency of deployed MNIST models, beside other frameworks
  bench --growth      how the cost of dense layers grows with batch, width and depth
  bench --processes [--peers]
                      process start to first prediction and first train step, memory, threads, eager and fused
  mlir                build the MLIR plug-in into target/plugins (installs LLVM 22 where it may)
  xla                 get XLA's plug-in for the CPU into target/plugins, for tests (63 MB, by pip)
  gpu-check           a folder, target/gpu-check, with packages for GPUs and what a CPU computed of them: `sh run.sh`
                      in it on a machine with a GPU compares, and writes report.txt
  help                this text

";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = match arguments.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", &[][..]),
    };
    let asks_for_help = rest.iter().any(|argument| matches!(argument.as_str(), "--help" | "-h"));
    let outcome: Outcome = match if asks_for_help { "help" } else { command } {
        "test" => stages::test(rest),
        "mnist" => mnist::mnist(rest),
        "mlir" => mlir_plugin::command(rest),
        "xla" => xla_plugin::command(rest),
        "gpu-check" => gpu_check::gpu_check(rest),
        "nightly" => nightly::nightly(rest),
        "bench" => peers::bench(rest),
        "help" | "--help" | "-h" => {
            print!("{HELP}{}\n{}", stages::help(), nightly::help());
            Ok(())
        }
        other => Err(format!("unknown command `{other}`\n\n{HELP}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            if !message.is_empty() {
                eprintln!("error: {message}");
            }
            ExitCode::FAILURE
        }
    }
}
