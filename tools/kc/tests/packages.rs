//! Training, evaluating and running: the commands on small data, and what wrong input says.

mod common;

use common::{MODEL, Place, run};
use kc_runtime::{Array, npy};

/// Three classes of points, far enough apart to be learned in a moment.
fn write_data(place: &Place) {
    let (mut features, mut labels) = (Vec::new(), Vec::new());
    for sample in 0..300u32 {
        let class = sample % 3;
        labels.push(class as u8);
        for axis in 0..4u32 {
            let noise = (sample.wrapping_mul(2_654_435_761).rotate_left(axis * 8) >> 16) as f32 / 65536.0;
            features.push(if axis == class { 2.0 + noise } else { noise });
        }
    }
    let array = |name: &str, array: Array| npy::write(&place.path(name), &array).expect("a test's own folder");
    std::fs::create_dir_all(place.path("data")).expect("a test's own folder");
    array("data/x_train.npy", Array::from_slice(&features, &[300, 4]).expect("300 x 4"));
    array("data/y_train.npy", Array::from_slice(&labels, &[300]).expect("300"));
    array("data/x_test.npy", Array::from_slice(&features[..120], &[30, 4]).expect("30 x 4"));
    array("data/y_test.npy", Array::from_slice(&labels[..30], &[30]).expect("30"));
}

fn place(name: &str) -> Place {
    let place = Place::new(name);
    place.write("model.rs", MODEL);
    write_data(&place);
    place
}

#[test]
fn a_model_is_trained_evaluated_and_run() {
    let place = place("train");
    let fitted = place.succeed(&[
        "fit",
        "model.rs",
        "--data",
        "data",
        "--epochs",
        "20",
        "--batch-size",
        "16",
        "--validation-split",
        "0.1",
        "--callbacks",
        "early-stopping:patience=20",
        "--json",
        "-o",
        "model.kcp",
    ]);
    let fitted: serde_json::Value = serde_json::from_str(&fitted).expect("a JSON object and nothing else");
    assert_eq!(fitted["epochs"], 20);
    assert_eq!(fitted["history"]["val_loss"].as_array().map(Vec::len), Some(20));

    let evaluated = place.kc(&["evaluate", "model.kcp", "--data", "data", "--verbose", "2", "--json"]);
    assert!(evaluated.stderr.contains("accuracy: "), "{}", evaluated.stderr);
    let evaluated: serde_json::Value = serde_json::from_str(&evaluated.stdout).expect("a JSON object and nothing else");
    assert!(evaluated["accuracy"].as_f64() > Some(0.95), "{evaluated}");

    assert_eq!(place.succeed(&["predict", "model.kcp", "--input", "data/x_test.npy", "-o", "y.npy"]), "");
    let outputs = npy::read(&place.path("y.npy")).expect("written by kc");
    assert_eq!(outputs.shape(), [30, 3]);
    let printed = place.succeed(&["predict", "model.kcp", "--input", "data/x_test.npy"]);
    assert_eq!(printed.lines().count(), 30);

    let summary = place.succeed(&["summary", "model.kcp"]);
    assert_eq!(summary, place.succeed(&["summary", "model.rs"]));
}

/// Files of numpy have no bfloat16.
#[test]
fn predictions_in_bfloat16_are_written_as_float32() {
    let place = place("half");
    let policy = "kc::config::set_dtype_policy(\"bfloat16\")?; let mut model =";
    place.write("model.rs", MODEL.replacen("let mut model =", policy, 1));
    place.succeed(&["fit", "model.rs", "--data", "data", "--epochs", "1", "-o", "model.kcp"]);
    assert_eq!(place.succeed(&["predict", "model.kcp", "--input", "data/x_test.npy", "-o", "y.npy"]), "");
    let outputs = npy::read(&place.path("y.npy")).expect("written by kc");
    let values = outputs.as_slice::<f32>().expect("numbers in f32");
    assert!(values.len() == 90 && values.iter().all(|value| value.to_bits() & 0xFFFF == 0), "{values:?}");
}

#[test]
fn the_same_seed_gives_the_same_package_for_any_number_of_threads() {
    let place = place("seed");
    let train = |name: &str, seed: &str, threads: &str| {
        place.succeed(&[
            "fit",
            "model.rs",
            "--data",
            "data",
            "--epochs",
            "2",
            "--seed",
            seed,
            "--threads",
            threads,
            "-o",
            name,
        ]);
        std::fs::read(place.path(name)).expect("written by kc")
    };
    let first = train("a.kcp", "7", "1");
    assert!(first == train("b.kcp", "7", "1"), "two runs differ");
    assert!(first == train("c.kcp", "7", "2"), "one and two threads differ");
    assert!(first != train("d.kcp", "8", "1"), "the seed has no effect");
}

#[test]
fn training_goes_on_with_a_package() {
    let place = place("resume");
    place.succeed(&["fit", "model.rs", "--data", "data", "--no-shuffle", "--epochs", "2", "-o", "two.kcp"]);
    place.succeed(&["fit", "model.rs", "--data", "data", "--no-shuffle", "-o", "one.kcp"]);
    place.succeed(&["fit", "one.kcp", "--data", "data", "--no-shuffle", "-o", "two_again.kcp"]);
    let read = |name: &str| std::fs::read(place.path(name)).expect("written by kc");
    assert!(read("two.kcp") == read("two_again.kcp"), "the state that a package keeps is not whole");
}

#[test]
fn fused_and_eager_execution_are_timed_side_by_side() {
    let place = place("bench");
    let arguments = ["bench", "model.rs", "--backend", "cranelift", "--batch-size", "8", "--repeats", "3"];
    let table = place.succeed(&arguments);
    for line in ["train_step  cranelift  eager", "train_step  cranelift  fused", "predict     cranelift  fused"] {
        assert!(table.contains(line), "{table}");
    }
    let json = place.succeed(&[&arguments[..], &["--json", "--explain"]].concat());
    let json: serde_json::Value = serde_json::from_str(&json).expect("a JSON object");
    let figures = json["figures"].as_array().expect("a list");
    assert_eq!(figures.len(), 4);
    for figure in figures {
        assert!(figure["milliseconds"].as_f64() >= figure["least_milliseconds"].as_f64(), "{figure}");
        assert_eq!(figure["mode"] == "fused", figure["kernel_share"].is_number(), "{figure}");
    }
}

#[test]
fn rules_are_weighed_by_leaving_them_out() {
    let place = place("ablate");
    let arguments = ["bench", "model.rs", "--ablate", "--backend", "cranelift", "--batch-size", "8", "--repeats", "1"];
    let table = place.succeed(&arguments);
    for row in ["train_step  each op by itself", "train_step  clean-up only", "predict     without contraction"] {
        assert!(table.contains(row), "{table}");
    }
    let counted = place.succeed(&[&arguments[..8], &["0"]].concat());
    assert!(counted.starts_with("batch 8\nkernels: launches a call"), "{counted}");
    let alone = place.succeed(&[&arguments[..], &["--mode", "eager", "--entry", "predict"]].concat());
    assert!(alone.contains("predict     each op by itself") && !alone.contains("clean-up"), "{alone}");
    let json = place.succeed(&[&arguments[..], &["--json"]].concat());
    let json: serde_json::Value = serde_json::from_str(&json).expect("a JSON object");
    let figure = |rules: &str| {
        let figures = json["figures"].as_array().expect("a list");
        let found = figures.iter().find(|figure| figure["entry"] == "train_step" && figure["rules"] == rules);
        found.expect("a figure").clone()
    };
    let kernels = |rules: &str| figure(rules)["kernels"].as_f64().expect("a number");
    assert!(kernels("all rules") <= kernels("clean-up only"), "{json}");
    assert!(kernels("clean-up only") < kernels("each op by itself"), "{json}");
    assert!(["each op by itself", "all rules"].iter().all(|rules| figure(rules)["milliseconds"].is_number()), "{json}");
    // the other command counts the same
    let explained = place.succeed(&["explain", "model.rs", "--backend", "cranelift", "--batch-size", "8"]);
    let all = explained.lines().find(|line| line.starts_with("all of a call")).expect("a sum");
    let all: Vec<&str> = all["all of a call".len()..].split_whitespace().collect();
    for (rules, told) in [("clean-up only", &all[..2]), ("all rules", &all[2..])] {
        let megabytes = figure(rules)["bytes"].as_f64().expect("a number") / 1e6;
        assert_eq!(told, [kernels(rules).to_string(), format!("{megabytes:.3}")], "{rules}");
    }
}

#[test]
fn the_machine_is_measured_for_the_cost_model() {
    let place = place("tune");
    let folder = place.path("cache_of_its_own");
    let measured = run(place.command(&["tune", "--backend", "cranelift"]).env("KC_CACHE", &folder));
    assert_eq!(measured.code, Some(0), "{}", measured.stderr);
    let table = measured.stdout;
    let file = table.lines().find(|line| line.ends_with(".json")).expect("a path").trim().to_owned();
    let kept: serde_json::Value = serde_json::from_slice(&std::fs::read(file).expect("written")).expect("an object");
    let kept = kept.as_object().expect("an object");
    assert_eq!(kept.len(), 7);
    let is_good = |value: &serde_json::Value| match value {
        // Cranelift's products are a library's
        serde_json::Value::Array(tiles) => tiles.is_empty(),
        serde_json::Value::Object(winograd) => winograd.values().all(|value| value.as_f64().is_some_and(|n| n > 0.0)),
        value => value.as_f64().is_some_and(|number| number > 0.0),
    };
    assert!(kept.values().all(is_good), "{kept:?}");
    let of_gpu = run(&mut place.command(&["tune", "--target", "cuda"]));
    assert_eq!(of_gpu.code, Some(1));
    assert!(of_gpu.stderr.contains("does not measure GPUs yet"), "{}", of_gpu.stderr);
}

#[test]
fn graphs_and_kernels_are_drawn() {
    let place = place("draw");
    let model = ["explain", "model.rs", "--backend", "cranelift", "--batch-size", "4"];
    let picture = place.succeed(&[&model[..], &["--format", "svg"]].concat());
    assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n") && picture.contains(" ms  "), "{picture}");
    let page = place.succeed(&[&model[..], &["--format", "html"]].concat());
    assert_eq!(page.matches("<svg ").count(), 2);
    assert!(page.starts_with("<!doctype html>") && page.contains("max(x w + b, 0)"), "{page}");
    let text = place.succeed(&[&model[..], &["--timings"]].concat());
    for stage in ["trace", "differentiate", "saturate", "schedule", "lower", "all"] {
        assert!(text.lines().any(|line| line.starts_with(stage)), "{stage}: {text}");
    }
}

#[test]
fn the_rules_that_made_a_graph_are_named() {
    let place = place("explain");
    let text = place.succeed(&["explain", "model.rs", "--backend", "cranelift"]);
    assert!(text.lines().all(|line| line == line.trim_end()), "{text}");
    assert!(text.contains("\nrules that made the chosen graph\n") && text.contains("max(x w + b, 0)"), "{text}");
    let graph = place.succeed(&["explain", "model.rs", "--entry", "predict", "--format", "dot"]);
    assert!(graph.starts_with("digraph \"predict\" {") && graph.ends_with("}\n"), "{graph}");
    let message = place.fail(&["explain", "model.rs", "--entry", "train"]);
    assert!(message.starts_with("error: the model has no entry point `train`; there are init, "), "{message}");
}

#[test]
fn every_form_is_printed_the_same_twice() {
    let place = place("emit");
    for form in ["ir", "opt", "kernels", "clif", "asm"] {
        let arguments = ["compile", "model.rs", "--backend", "cranelift", "--emit", form];
        let text = place.succeed(&arguments);
        assert!(!text.is_empty() && text == place.succeed(&arguments), "{form}");
    }
    let printed = place.succeed(&["compile", "model.rs", "--emit", "ir"]);
    assert_eq!(place.succeed(&["compile", "model.rs", "--emit", "ir", "-o", "model.ir"]), "");
    assert_eq!(std::fs::read_to_string(place.path("model.ir")).expect("written by kc"), printed);
    let compiled = place.succeed(&["compile", "model.rs", "--backend", "cranelift", "-o", "model.kcp", "--timings"]);
    for stage in ["trace", "differentiate", "saturate", "schedule", "lower"] {
        assert!(compiled.contains(stage), "{compiled}");
    }
}

#[test]
fn options_of_another_target_are_refused() {
    let place = place("targets");
    assert_eq!(
        place.fail(&["compile", "model.rs", "--arch", "sm_90a"]),
        "error: `--arch` names a GPU; give `--target cuda` with it\n"
    );
    assert_eq!(
        place.fail(&["compile", "model.rs", "--tf32"]),
        "error: `--tf32` is for a GPU's tensor cores; give `--target cuda` with it\n"
    );
    assert_eq!(
        place.fail(&["compile", "model.rs", "--target", "cuda", "--backend", "cranelift"]),
        "error: `--backend cranelift` makes no code for a GPU; leave it out, or give `--backend mlir`\n"
    );
}

#[test]
fn a_package_that_was_not_trained_is_refused() {
    let place = place("untrained");
    place.succeed(&["compile", "model.rs", "-o", "model.kcp"]);
    assert_eq!(
        place.fail(&["evaluate", "model.kcp", "--data", "data"]),
        "error: model.kcp holds no weights; train it first: kc fit model.kcp --data ... -o model.kcp\n"
    );
}

#[test]
fn wrong_data_is_named() {
    let place = place("wrong_data");
    const EXPECTED: &str = "an .npz file, or a folder of .npy files, with arrays x_train, y_train and perhaps \
                            x_test, y_test, or x and y";
    let fit = |data: &str| place.fail(&["fit", "model.rs", "--data", data]);
    assert_eq!(
        fit("minst"),
        format!("error: there is no data set, file or folder `minst`; expected `mnist`, {EXPECTED}\n")
    );
    assert_eq!(fit("model.rs"), format!("error: model.rs is no data; expected {EXPECTED}\n"));
    std::fs::create_dir_all(place.path("empty")).expect("a test's own folder");
    assert_eq!(fit("empty"), format!("error: empty has no array x_train or x; expected {EXPECTED}\n"));

    let labels = Array::from_slice(&[7u8; 300], &[300]).expect("300");
    npy::write(&place.path("data/y_train.npy"), &labels).expect("a test's own folder");
    let message = fit("data");
    assert!(message.contains("must hold class labels, whole numbers from 0 to 2, but sample 0 has 7"), "{message}");
}

#[test]
fn wrong_options_are_named() {
    let place = place("wrong_options");
    let fit = |option: &str, value: &str| place.fail(&["fit", "model.rs", "--data", "data", option, value]);
    assert_eq!(fit("--batch-size", "0"), "error: `batch_size` must be at least 1, 0 was given\n");
    assert_eq!(
        fit("--validation-split", "1"),
        "error: `validation_split` must be at least 0 and less than 1, 1 was given\n"
    );
    assert_eq!(
        fit("--validation-split", "-1"),
        "error: `validation_split` must be at least 0 and less than 1, -1 was given\n"
    );
    for (option, name) in [("--batch-size", "batch_size"), ("--repeats", "repeats")] {
        assert_eq!(
            place.fail(&["bench", "model.rs", option, "0"]),
            format!("error: `{name}` must be at least 1, 0 was given\n")
        );
    }
    assert_eq!(fit("--output", "nowhere/model.kcp"), "error: `--output`: there is no folder nowhere\n");
    assert!(
        fit("--callbacks", "stopping").starts_with("error: unknown callback `stopping`; there are early-stopping, ")
    );
    let unknown = place.kc(&["fit", "model.rs", "--backend", "gcc"]);
    assert_eq!(unknown.code, Some(2));
    assert!(unknown.stderr.contains("[possible values: auto, mlir, cranelift]"), "{}", unknown.stderr);
}

#[test]
fn what_cannot_be_trained_or_would_be_lost_is_said() {
    let place = place("untrainable");
    let kept = place.kc(&["fit", "model.rs", "--data", "data", "--backend", "cranelift"]);
    assert_eq!(
        (kept.code, kept.stderr.as_str()),
        (Some(0), "note: the trained model was not saved; `-o FILE.kcp` saves it\n")
    );
    place.succeed(&["compile", "model.rs", "--backend", "cranelift", "-o", "model.kcp"]);
    assert_eq!(
        place.fail(&["fit", "model.kcp", "--data", "data", "--backend", "mlir"]),
        "error: `--backend mlir`: a package keeps its code, and that of model.kcp is cranelift's; compile the model file \
         anew for another back end\n"
    );
    let without = MODEL.lines().filter(|line| !line.contains("model.compile(")).collect::<Vec<_>>().join("\n");
    place.write("bare.rs", without.replace("let mut model", "let model"));
    assert_eq!(
        place.fail(&["fit", "bare.rs", "--data", "data"]),
        "error: model `sequential` was not compiled, so it cannot be trained: call `model.compile(optimizer, loss, metrics)` \
         in bare.rs\n"
    );
}

#[test]
#[cfg(target_os = "linux")]
fn output_that_nobody_reads_ends_quietly_and_a_full_disk_is_an_error() {
    use std::process::Stdio;
    let place = place("output");
    place.succeed(&["compile", "model.rs", "-o", "model.kcp"]);
    let mut command = place.command(&["summary", "model.kcp"]);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let closed = run_to(&mut command, writer.into());
    assert_eq!(closed, (Some(141), String::new()));
    let full = std::fs::File::options().write(true).open("/dev/full").expect("Linux has it");
    let full = run_to(&mut command, Stdio::from(full));
    assert_eq!(
        full,
        (Some(1), "error: cannot write to standard output: No space left on device (os error 28)\n".to_owned())
    );
}

/// Exit code and standard error of a command that writes to `stdout`.
#[cfg(target_os = "linux")]
fn run_to(command: &mut std::process::Command, stdout: std::process::Stdio) -> (Option<i32>, String) {
    let child = command.stdout(stdout).stderr(std::process::Stdio::piped()).spawn().expect("kc starts");
    // The command holds the other end of the pipe.
    command.stdout(std::process::Stdio::null());
    let output = child.wait_with_output().expect("kc ends");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_damaged_package_is_refused() {
    let place = place("damaged");
    place.succeed(&["fit", "model.rs", "--data", "data", "-o", "model.kcp"]);
    let whole = std::fs::read(place.path("model.kcp")).expect("written by kc");
    place.write("cut.kcp", &whole[..whole.len() / 2]);
    let message = place.fail(&["predict", "cut.kcp", "--input", "data/x_test.npy"]);
    assert_eq!(
        message,
        format!(
            "error: cannot read the package `cut.kcp`: it is truncated: {} bytes were expected, {} were found\n",
            whole.len(),
            whole.len() / 2
        )
    );
    place.write("text.kcp", "no package at all");
    let message = place.fail(&["predict", "text.kcp", "--input", "data/x_test.npy"]);
    assert!(message.starts_with("error: cannot read the package `text.kcp`: it is no kc package"), "{message}");
}

#[test]
#[cfg(unix)]
fn ctrl_c_ends_the_training_after_its_step_and_keeps_the_model() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};
    let place = place("interrupt");
    // Built beforehand, so that the training starts at once.
    place.succeed(&["summary", "model.rs"]);
    let arguments = ["fit", "model.rs", "--data", "data", "--epochs", "1000000", "--verbose", "2", "-o", "model.kcp"];
    let mut child = place.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("kc starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    assert!(lines.next().expect("a first epoch").expect("text").contains("Epoch 1/1000000"));
    let killed = run(Command::new("kill").args(["-INT", &child.id().to_string()]));
    assert_eq!(killed.code, Some(0), "{}", killed.stderr);
    let rest: Vec<String> = lines.map(|line| line.expect("text")).collect();
    assert!(rest.iter().any(|line| line.contains("interrupted after")), "{:?}", rest.last());
    let output = child.wait_with_output().expect("kc ends");
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "interrupted; the model as it is was saved to model.kcp\n");
    assert_eq!(place.succeed(&["predict", "model.kcp", "--input", "data/x_test.npy"]).lines().count(), 30);
}

#[test]
fn a_package_is_signed_and_its_author_known() {
    let place = Place::new("signed");
    place.write("model.rs", MODEL);
    place.succeed(&["compile", "model.rs", "--backend", "cranelift", "-o", "model.kcp"]);
    for name in ["ada", "eve"] {
        let said = place.succeed(&["keygen", "-o", &format!("{name}.key")]);
        assert_eq!(said, format!("wrote {name}.key, to be kept secret, and {name}.pub, to be given to others\n"));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(place.path("ada.key")).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    assert_eq!(
        place.fail(&["keygen", "-o", "ada.key"]),
        "error: ada.pub is there already; name another file with `-o`\n"
    );
    let key = |name: &str| std::fs::read_to_string(place.path(name)).expect("a key").trim().to_owned();
    let whole = "model.kcp is whole, with code for one machine\n";
    assert_eq!(place.succeed(&["verify", "model.kcp"]), whole);
    assert_eq!(
        place.fail(&["verify", "model.kcp", "--public-key", "ada.pub"]),
        "error: model.kcp: the package is not signed; its author signs it with `kc sign`\n"
    );
    let ada = key("ada.pub");
    assert_eq!(place.succeed(&["sign", "model.kcp", "--key", "ada.key"]), format!("model.kcp is signed by {ada}\n"));
    assert_eq!(
        place.succeed(&["verify", "model.kcp", "--public-key", "ada.pub"]),
        format!("{whole}model.kcp is signed by {ada}\n")
    );
    assert_eq!(
        place.succeed(&["verify", "model.kcp"]),
        format!("{whole}it names {ada} as its author; `--public-key FILE` checks that\n")
    );
    assert!(place.succeed(&["inspect", "model.kcp"]).contains(&format!("\nsigned by  {ada}, not checked\n")));
    assert_eq!(
        place.fail(&["verify", "model.kcp", "--public-key", "eve.pub"]),
        format!("error: model.kcp: the package is signed by {ada}, not by {}\n", key("eve.pub"))
    );
    assert_eq!(
        place.fail(&["sign", "model.kcp", "--key", "ada.pub"]),
        "error: ada.pub: this is no secret key: expected `kc-ed25519-secret` and 64 hexadecimal digits\n"
    );
}
