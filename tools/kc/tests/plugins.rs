//! Training and running on XLA, and plug-ins that cannot be used: each is one clear message.

mod common;

use common::{MODEL, Place};
use kc_runtime::{Array, npy};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Three classes of points.
fn place(name: &str) -> Place {
    let place = Place::new(name);
    place.write("model.rs", MODEL);
    let labels: Vec<u8> = (0..120u32).map(|sample| (sample % 3) as u8).collect();
    let noise = |place: u32| (place.wrapping_mul(2_654_435_761) >> 16) as f32 / 65536.0;
    let number = |place: u32| noise(place) + if place % 4 == place / 4 % 3 { 2.0 } else { 0.0 };
    let features: Vec<f32> = (0..480).map(number).collect();
    std::fs::create_dir_all(place.path("data")).expect("a test's own folder");
    let write = |name: &str, array: Array| npy::write(&place.path(name), &array).expect("a test's own folder");
    write("data/x_train.npy", Array::from_slice(&features, &[120, 4]).expect("120 x 4"));
    write("data/y_train.npy", Array::from_slice(&labels, &[120]).expect("120"));
    place
}

/// The plug-in for the CPU; without it the test has nothing to do, and says so.
fn xla() -> Option<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/plugins/xla_cpu_pjrt.so");
    if !path.is_file() {
        eprintln!("skipped: there is no {}; `cargo xtask xla` installs it", path.display());
        return None;
    }
    Some(path.to_string_lossy().into_owned())
}

#[test]
fn xla_trains_as_the_processor_does() {
    let Some(plugin) = xla() else { return };
    let place = place("xla_train");
    let fit = |target: &[&str]| -> Vec<f64> {
        let common = ["fit", "model.rs", "--data", "data", "--epochs", "5", "--batch-size", "16", "--json"];
        let fitted = place.succeed(&[&common[..], target].concat());
        let fitted: serde_json::Value = serde_json::from_str(&fitted).expect("a JSON object and nothing else");
        let losses = fitted["history"]["loss"].as_array().expect("one an epoch").clone();
        losses.iter().filter_map(serde_json::Value::as_f64).collect()
    };
    let here = fit(&["--backend", "cranelift"]);
    let there = fit(&["--target", "xla", "--plugin", &plugin, "-o", "model.kcp"]);
    let together = fit(&["--target", "xla", "--plugin", &plugin, "--steps-per-execution", "3"]);
    for others in [&there, &together] {
        assert_eq!(here.len(), others.len());
        for (a, b) in here.iter().zip(others) {
            assert!((a - b).abs() < 1e-4, "{here:?} {others:?}");
        }
    }
    place.succeed(&["evaluate", "model.kcp", "--data", "data", "--plugin", &plugin, "--verbose", "0"]);
    let predict =
        |package: &str| place.succeed(&["predict", package, "--input", "data/x_train.npy", "--plugin", &plugin]);
    let predicted = predict("model.kcp");
    assert_eq!(predicted.lines().count(), 120);
    place.succeed(&["strip", "model.kcp", "-o", "stripped.kcp"]);
    let compile = ["compile", "model.rs", "--target", "xla", "--weights", "model.kcp", "-o", "again.kcp"];
    place.succeed(&compile);
    assert!(predict("stripped.kcp") == predicted && predict("again.kcp") == predicted);
    let inspected = place.succeed(&["inspect", "model.kcp"]);
    assert!(inspected.contains("train_step") && inspected.contains("stablehlo, "), "{inspected}");
    // a package that goes on
    place.succeed(&["fit", "model.kcp", "--data", "data", "--plugin", &plugin, "--verbose", "0"]);
}

#[test]
fn xla_is_timed_beside_the_processor() {
    let Some(plugin) = xla() else { return };
    let place = place("xla_bench");
    let arguments = ["bench", "model.rs", "--backend", "cranelift", "--batch-size", "8", "--repeats", "3"];
    let table = place.succeed(&[&arguments[..], &["--plugin", &plugin]].concat());
    for line in ["train_step  cranelift  fused", "train_step        xla  fused", "predict           xla  fused"] {
        assert!(table.contains(line), "{table}");
    }
}

#[test]
fn a_topology_that_does_not_exist_is_named() {
    let Some(plugin) = xla() else { return };
    let place = place("xla_topology");
    let says = place.fail(&["compile", "model.rs", "--target", "tpu", "--topology", "v5e:17x3", "--plugin", &plugin]);
    assert!(says.starts_with("error: the plug-in knows no topology `v5e:17x3`: "), "{says}");
    assert!(says.ends_with("; expected a name such as v5e:2x2, v5p:2x2x1 or v6e:2x2\n"), "{says}");
}

#[test]
fn the_text_is_emitted_for_a_batch() {
    let place = place("xla_emit");
    let emit = ["compile", "model.rs", "--emit", "stablehlo", "--entry", "predict", "--batch-size", "8"];
    let text = place.succeed(&emit);
    assert!(text.starts_with("module @kc_predict") && text.contains("tensor<8x4xf32>"), "{text}");
    assert_eq!(place.succeed(&emit), text, "the same text each time");
    let steps = ["compile", "model.rs", "--emit", "stablehlo", "--entry", "train_steps", "--steps-per-execution", "3"];
    let steps = place.succeed(&steps);
    assert!(steps.starts_with("module @kc_train_steps") && steps.contains("tensor<3x32x4xf32>"), "{steps}");
    assert!(!steps.contains("// -----"), "only that: {steps}");
    let wrong = place.fail(&["compile", "model.rs", "--emit", "stablehlo", "--entry", "train"]);
    assert!(
        wrong.starts_with("error: `--entry train`: the model has no such entry point; it has init, predict"),
        "{wrong}"
    );
}

/// A model file is traced by a program of its own, which trains nothing: what it says of processes would be lost.
#[test]
fn a_model_file_cannot_say_which_process_it_is_in() {
    let place = Place::new("initialize");
    let call = "kc::distribution::initialize(Some(\"10.0.0.1:1234\"), None, Some(1))?; let mut model =";
    place.write("model.rs", MODEL.replacen("let mut model =", call, 1));
    assert_eq!(
        place.fail(&["compile", "model.rs", "--emit", "ir"]),
        "error: `distribution::initialize`: one model file is the same in all processes, so it cannot say which of them it is in; call it \
         with `None, None, None` and run `kc` with the variables KERAS_DISTRIBUTION_JOB_ADDRESSES=10.0.0.1:1234 \
         KERAS_DISTRIBUTION_NUM_PROCESSES=... KERAS_DISTRIBUTION_PROCESS_ID=1\n"
    );
}

/// A shared library of a few lines of Rust.
fn library(place: &Place, name: &str, source: &str) -> PathBuf {
    place.write(&format!("{name}.rs"), source);
    let path = place.path(&format!("lib{name}.so"));
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let built = Command::new(rustc)
        .args(["--edition=2024", "--crate-type=cdylib", "-Cpanic=abort", "-o"])
        .arg(&path)
        .arg(place.path(&format!("{name}.rs")))
        .output()
        .expect("rustc builds what tests need");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    path
}

/// What `kc fit --target xla` says with a plug-in.
fn refusal(place: &Place, plugin: &Path) -> String {
    let plugin = plugin.to_string_lossy();
    place.fail(&["fit", "model.rs", "--data", "data", "--target", "xla", "--plugin", &plugin])
}

#[test]
fn plug_ins_that_cannot_be_used_are_named() {
    let place = place("xla_wrong");
    let shown = |path: &Path| path.display().to_string();
    let missing = place.path("missing.so");
    let expected = format!(
        "error: the PJRT plug-in {} cannot be opened: there is no such file; expected a shared library that exports `GetPjrtApi`\n",
        shown(&missing)
    );
    assert_eq!(refusal(&place, &missing), expected);

    place.write("text.so", "no library");
    let text = refusal(&place, &place.path("text.so"));
    let start = format!("error: the PJRT plug-in {} cannot be opened: ", shown(&place.path("text.so")));
    // with what the system says
    assert!(text.starts_with(&start) && text.contains("file too short"), "{text}");

    let other = library(&place, "other", "#[unsafe(no_mangle)] pub extern \"C\" fn something() {}");
    let other_says = refusal(&place, &other);
    assert!(other_says.contains("GetPjrtApi"), "{other_says}");

    // a table that says that it is of version 1.0
    let newer = "#[repr(C)] pub struct Table { size: usize, extension: usize, version: [usize; 2], major: i32, minor: i32 }\n\
        static TABLE: Table = Table { size: 40, extension: 0, version: [24, 0], major: 1, minor: 0 };\n\
        #[unsafe(no_mangle)] pub extern \"C\" fn GetPjrtApi() -> *const Table { &TABLE }";
    let newer = library(&place, "newer", newer);
    let expected = format!(
        "error: the PJRT plug-in {} speaks version 1.0 of the API, expected 0.x; install one that fits\n",
        shown(&newer)
    );
    assert_eq!(refusal(&place, &newer), expected);

    let crashing = "#[unsafe(no_mangle)] pub extern \"C\" fn GetPjrtApi() -> usize { std::process::abort() }";
    let crashing = library(&place, "crashing", crashing);
    let says = refusal(&place, &crashing);
    let start = format!("error: the PJRT plug-in {} crashed when it was opened (signal: 6 (SIGABRT)", shown(&crashing));
    assert!(says.starts_with(&start), "{says}");
    assert!(says.ends_with("take another one by `--plugin` or KC_PJRT_PLUGIN\n"), "{says}");

    let ending = "#[unsafe(no_mangle)] pub extern \"C\" fn GetPjrtApi() -> usize { std::process::exit(0) }";
    let ending = library(&place, "ending", ending);
    let expected = format!(
        "error: the PJRT plug-in {} ended the process when it was opened; take another one by `--plugin` or KC_PJRT_PLUGIN\n",
        shown(&ending)
    );
    assert_eq!(refusal(&place, &ending), expected);
}

#[test]
fn a_plug_in_that_crashes_at_work_is_named() {
    let Some(plugin) = xla() else { return };
    let place = place("xla_crash");
    // XLA's plug-in with another function in the place of `PJRT_Client_Compile`
    let source = format!(
        "use std::ffi::{{c_char, c_int, c_void}};
        unsafe extern \"C\" {{
            fn dlopen(name: *const c_char, flags: c_int) -> *mut c_void;
            fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
        }}
        extern \"C\" fn crash() {{ std::process::abort() }}
        #[unsafe(no_mangle)] pub extern \"C\" fn GetPjrtApi() -> *const usize {{
            unsafe {{
                let get = dlsym(dlopen(c{plugin:?}.as_ptr(), 2), c\"GetPjrtApi\".as_ptr());
                let table = std::mem::transmute::<*mut c_void, extern \"C\" fn() -> *const usize>(get)();
                let copy = std::slice::from_raw_parts(table, *table / 8).to_vec().leak();
                copy[25] = crash as usize;
                copy.as_ptr()
            }}
        }}"
    );
    let crashing = library(&place, "at_work", &source).display().to_string();
    let fit = ["fit", "model.rs", "--data", "data", "--target", "xla", "--plugin", &crashing];
    let mut command = place.command(&fit);
    let ended = command.env("KC_CACHE", place.path("cache_of_its_own")).output().expect("kc starts");
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended.status), Some(6));
    let says = String::from_utf8_lossy(&ended.stderr);
    let expected = format!(
        "\nerror: the process crashed while the PJRT plug-in {crashing} was at work; take another one by `--plugin` or KC_PJRT_PLUGIN\n"
    );
    assert!(says.contains(&expected), "{says}");
}

#[test]
fn a_plug_in_may_be_named_by_its_file_alone() {
    let Some(plugin) = xla() else { return };
    let place = place("xla_relative");
    std::fs::hard_link(&plugin, place.path("plugin.so"))
        .or_else(|_| std::fs::copy(&plugin, place.path("plugin.so")).map(drop))
        .expect("a test's own folder");
    let fit = ["fit", "model.rs", "--data", "data", "--target", "xla", "--plugin", "plugin.so", "--verbose", "0"];
    place.succeed(&fit);
}

#[test]
fn options_without_meaning_for_xla_are_refused() {
    let place = place("xla_options");
    let refused = |options: &[&str], expected: &str| {
        let says = place.fail(&[&["compile", "model.rs"], options].concat());
        assert!(says.contains(expected), "{says}");
    };
    refused(&["--topology", "v5e:2x2"], "`--topology` names TPUs; give `--target tpu` with it");
    refused(
        &["--target", "xla", "--timings", "--exact-batch", "1"],
        "`--timings` and `--exact-batch`: no meaning for a package for XLA",
    );
    place.succeed(&["compile", "model.rs", "--target", "xla", "-o", "texts.kcp"]);
    let from_package = place.fail(&["compile", "texts.kcp"]);
    assert!(from_package.contains("texts.kcp is a package; from one `--target tpu` alone compiles"), "{from_package}");
}
