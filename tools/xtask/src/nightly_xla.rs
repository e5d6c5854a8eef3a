//! What `cargo xtask nightly` checks of the back end xla: other readers of its text, all functions, MNIST, and compiling for TPUs.

use crate::mnist;
use crate::process::{Outcome, cargo, output, program, root, run, target_dir};
use crate::xla_plugin::{install, pip_install};
use std::path::{Path, PathBuf};

/// Readers of StableHLO that are not XLA.
const JUDGES: &str = "jaxlib==0.10.2\nnumpy\nml_dtypes\niree-base-compiler==3.13.0";
/// XLA for TPUs; it compiles where there is none.
const LIBTPU: &str = "libtpu==0.0.51";
const TOPOLOGIES: [&str; 3] = ["v5e:2x2", "v5p:2x2x1", "v6e:2x2"];
const MODELS: [&str; 4] = ["mnist_mlp", "mnist_cnn", "resnet18", "transformer"];

/// Random graphs on XLA.
const GRAPHS: u64 = 500;

/// What needs no TPU compiler; says what it reached. Random graphs are those of the seeds from `first_seed` on.
pub fn check(first_seed: u64) -> Outcome<String> {
    judge(&kc()?)?;
    let plugin = install()?;
    test("ops", "xla::", [("KC_XLA_ROWS", "all".to_owned())])?;
    let seeds = [("KC_FUZZ_SEED", first_seed.to_string()), ("KC_FUZZ_CASES", GRAPHS.to_string())];
    test("fuzz", "xla_means_the_same_by_random_graphs", seeds)?;
    let accuracy = mnist::check_all(Some(&plugin))?;
    Ok(format!("judges, all functions, {GRAPHS} random graphs, {accuracy}"))
}

/// The command, built.
fn kc() -> Outcome<PathBuf> {
    run(cargo().args(["build", "--release", "--package", "kc-tool"]))?;
    Ok(target_dir().join("release/kc"))
}

/// Tests on XLA's plug-in for the CPU, optimised.
fn test<const N: usize>(target: &str, filter: &str, variables: [(&str, String); N]) -> Outcome {
    let mut tests = cargo();
    tests.args(["test", "--profile", "nightly", "--quiet", "--package", "kc-tests", "--test", target]);
    run(tests.args(["--", filter]).envs(variables))
}

/// Shows the texts of the file tests and of the example models to the judges.
fn judge(kc: &Path) -> Outcome {
    let folder = target_dir().join("judges");
    pip_install(&folder, JUDGES)?;
    let texts = folder.join("texts");
    std::fs::create_dir_all(&texts).map_err(|error| format!("cannot make {}: {error}", texts.display()))?;
    let mut files = Vec::new();
    let tests = root().join("codegen/tests/stablehlo");
    let entries = std::fs::read_dir(&tests).map_err(|error| format!("cannot read {}: {error}", tests.display()))?;
    files.extend(entries.flatten().map(|entry| entry.path()));
    files.sort();
    for model in MODELS {
        let text = texts.join(format!("{model}.mlir"));
        run(kc_on(kc, model).args(["--emit", "stablehlo", "--batch-size", "64", "--output"]).arg(&text))?;
        files.push(text);
    }
    let python = folder.join("bin/python").to_string_lossy().into_owned();
    let script = root().join("codegen/tests/judges.py");
    run(program(&python).arg(script).arg(folder.join("bin/iree-compile")).args(files))
}

fn kc_on(kc: &Path, model: &str) -> std::process::Command {
    let mut command = program(&kc.to_string_lossy());
    command.arg("compile").arg(format!("frontend/examples/{model}.rs"));
    command
}

/// Compiles every model for every topology, and prints what XLA says that it costs.
pub fn tpu() -> Outcome<String> {
    let kc = &kc()?;
    let folder = target_dir().join("tpu");
    let plugin: PathBuf = pip_install(&folder, LIBTPU)?.join("libtpu/libtpu.so");
    let mut collectives = cargo();
    collectives.args(["test", "--quiet", "--package", "kc-tests", "--test", "xla", "tpus"]).env("KC_LIBTPU", &plugin);
    // without a TPU, libtpu would ask a cloud about one
    collectives.envs([("TPU_SKIP_MDS_QUERY", "1"), ("TPU_ACCELERATOR_TYPE", "v5litepod-4")]);
    run(collectives.env("TPU_WORKER_HOSTNAMES", "localhost"))?;
    let mut table = Vec::new();
    for topology in TOPOLOGIES {
        for model in MODELS {
            println!("\n{model} for {topology}");
            let package = folder.join(format!("{model}.kcp"));
            let mut compile = kc_on(kc, model);
            compile.args(["--target", "tpu", "--topology", topology, "--batch-size", "64", "--plugin"]).arg(&plugin);
            run(compile.arg("--output").arg(&package))?;
            let inspected = output(program(&kc.to_string_lossy()).arg("inspect").arg(&package))?;
            let rows = programs(model, topology, &inspected, table.is_empty());
            // as they come, for the whole takes long
            println!("{}", rows.join("\n"));
            table.extend(rows);
        }
    }
    println!("\n{}\n", table.join("\n"));
    // from the text in a package
    let (package, again) = (folder.join(format!("{}.kcp", MODELS[0])), folder.join("again.kcp"));
    let mut other = program(&kc.to_string_lossy());
    other.arg("compile").arg(&package).args(["--target", "tpu", "--topology", TOPOLOGIES[0], "--batch-size", "64"]);
    run(other.arg("--plugin").arg(&plugin).arg("--output").arg(&again))?;
    let inspected = output(program(&kc.to_string_lossy()).arg("inspect").arg(&again))?;
    if programs(MODELS[0], TOPOLOGIES[0], &inspected, false).is_empty() {
        return Err(format!("{} holds nothing for {}: {inspected}", again.display(), TOPOLOGIES[0]));
    }
    let mut wrong = kc_on(kc, MODELS[0]);
    wrong.args(["--target", "tpu", "--topology", "v5e:17x3", "--plugin"]).arg(&plugin);
    let ended = wrong.output().map_err(|error| format!("cannot run kc: {error}"))?;
    let said = String::from_utf8_lossy(&ended.stderr);
    if ended.status.code() == Some(1) && said.contains("the plug-in knows no topology `v5e:17x3`") {
        return Ok(format!("{} models for {} topologies", MODELS.len(), TOPOLOGIES.len()));
    }
    Err(format!("a topology that does not exist: expected a message that says so, got {}: {said}", ended.status))
}

/// What `kc inspect` says of the programs for a topology, a line each, the heads of the columns before them where they are wanted.
fn programs(model: &str, topology: &str, inspected: &str, heads: bool) -> Vec<String> {
    let is_one = |line: &&str| line.split_whitespace().nth(2) == Some(topology);
    let head = inspected.lines().find(|line| heads && line.starts_with("program "));
    let shown = |model: &str, line: &str| format!("{model:<12} {line}");
    let rows = inspected.lines().filter(is_one).map(|line| shown(model, line));
    head.map(|line| shown("model", line)).into_iter().chain(rows).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_taken_from_what_is_inspected() {
        let inspected = "MODEL: xla, tpu v5e:2x2\ncode for   tpu v5e:2x2, 9 bytes\n\nprogram  batch  form  us\ninit  any  stablehlo, 5 bytes\n\
             init  -  v5e:2x2  12.30\npredict  64  v5e:2x2  1.20\n";
        let expected = [
            "model        program  batch  form  us",
            "mlp          init  -  v5e:2x2  12.30",
            "mlp          predict  64  v5e:2x2  1.20",
        ];
        assert_eq!(programs("mlp", "v5e:2x2", inspected, true), expected);
        assert_eq!(programs("mlp", "v5e:2x2", inspected, false), expected[1..]);
    }
}
