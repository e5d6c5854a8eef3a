//! A model as an object: the same bits from C, from Python and from the package, and near them from WebAssembly.

mod common;

use common::{MODEL, Place, run};
use kc_runtime::{Array, Model, Package, Session, SessionOptions, npy};
use std::process::Command;

const C: &str = r#"#include "points.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void) {
    float x[8] = {0.5f, -1.25f, 2.0f, 3.5f, -0.75f, 0.0f, 1.0f, 0.125f}, y[6];
    int64_t bytes = points_predict_workspace(2);
    void *workspace = aligned_alloc(64, (bytes + 64) / 64 * 64);
    int32_t code = points_predict(2, x, y, workspace, bytes);
    if (code != POINTS_OK) { puts(points_error(code)); return 1; }
    for (int i = 0; i < 6; i++) { uint32_t bits; memcpy(&bits, y + i, 4); printf("%08x\n", bits); }
    int32_t wrong[] = {
        points_predict(0, x, y, workspace, bytes), points_predict(2, 0, y, workspace, bytes),
        points_predict(2, x, y, (char *)workspace + 4, bytes), points_predict(2, x, y, workspace, bytes - 1),
    };
    for (int i = 0; i < 4; i++) puts(points_error(wrong[i]));
    puts(points_version());
    free(workspace);
    return 0;
}
"#;

const PYTHON: &str = r#"import ctypes, struct
model = ctypes.CDLL("./libpoints.so")
model.points_predict_workspace.restype = ctypes.c_int64
x = (ctypes.c_float * 8)(0.5, -1.25, 2.0, 3.5, -0.75, 0.0, 1.0, 0.125)
y = (ctypes.c_float * 6)()
size = model.points_predict_workspace(ctypes.c_int64(2))
memory = ctypes.create_string_buffer(size + 64)
start = (ctypes.addressof(memory) + 63) // 64 * 64
assert model.points_predict(ctypes.c_int64(2), x, y, ctypes.c_void_p(start), ctypes.c_int64(size)) == 0
for value in y: print("%08x" % struct.unpack("<I", struct.pack("<f", value))[0])
"#;

const NODE: &str = r#"const fs = require("fs");
WebAssembly.instantiate(fs.readFileSync("points.wasm")).then(({ instance }) => {
    const model = instance.exports, batch = 2n;
    const size = Number(model.points_predict_workspace(batch));
    const x = (model.__heap_base.value + 63) & ~63, y = x + 64, workspace = y + 64;
    const missing = workspace + size - model.memory.buffer.byteLength;
    if (missing > 0) model.memory.grow(Math.ceil(missing / 65536));
    new Float32Array(model.memory.buffer, x, 8).set([0.5, -1.25, 2.0, 3.5, -0.75, 0.0, 1.0, 0.125]);
    const code = model.points_predict(batch, x, y, workspace, BigInt(size));
    if (code !== 0) throw new Error("error " + code);
    for (const value of new Float32Array(model.memory.buffer, y, 6)) console.log(value);
});
"#;

const APP: &str = r#"use points_model::PointsModel;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut probabilities = [[0.0; 3]; 2];
    PointsModel::new()?.predict_batch(&[[0.5, -1.25, 2.0, 3.5], [-0.75, 0.0, 1.0, 0.125]], &mut probabilities)?;
    probabilities.as_flattened().iter().for_each(|value| println!("{:08x}", value.to_bits()));
    Ok(())
}
"#;

const SAMPLES: [f32; 8] = [0.5, -1.25, 2.0, 3.5, -0.75, 0.0, 1.0, 0.125];

fn there(program: &str) -> bool {
    let there = Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
    if !there {
        println!("skipped: `{program}` is not here");
    }
    there
}

/// A folder with a trained package, and what it predicts; `None` where the plug-in is not built.
fn trained(name: &str) -> Option<(Place, Vec<f32>)> {
    if let Err(error) = kc_codegen::mlir::Mlir::find() {
        println!("skipped: {error}");
        return None;
    }
    let place = Place::new(name);
    place.write("points.rs", MODEL);
    std::fs::create_dir_all(place.path("data")).expect("a test's own folder");
    let features: Vec<f32> = (0..120).map(|i| (i * 37 % 50) as f32 / 10.0 - 2.0).collect();
    let labels: Vec<u8> = (0..30).map(|i| (i % 3) as u8).collect();
    npy::write(&place.path("data/x.npy"), &Array::from_slice(&features, &[30, 4]).expect("30 x 4")).expect("written");
    npy::write(&place.path("data/y.npy"), &Array::from_slice(&labels, &[30]).expect("30")).expect("written");
    place.succeed(&["fit", "points.rs", "--data", "data", "--backend", "mlir", "-o", "trained.kcp"]);
    let model = Model::new(Package::read(&place.path("trained.kcp")).expect("a package")).expect("a model");
    let input = Array::from_slice(&SAMPLES, &[2, 4]).expect("2 x 4");
    let output = model.predict(&[&input]).expect("a prediction").remove(0);
    Some((place, output.as_slice::<f32>().expect("floats").to_vec()))
}

fn bits(values: &[f32]) -> String {
    values.iter().map(|value| format!("{:08x}\n", value.to_bits())).collect()
}

#[test]
#[cfg(target_os = "linux")]
fn c_and_python_get_the_bits_of_the_package() {
    let Some((place, expected)) = trained("embed_c") else { return };
    for (form, file) in [("staticlib", "libpoints.a"), ("cdylib", "libpoints.so"), ("object", "points.o")] {
        place.succeed(&["compile", "points.rs", "--emit", form, "--weights", "trained.kcp", "-o", file]);
    }
    let errors = "an extent is below 1 or too large\na pointer is null\n\
                  the workspace must start at a multiple of 64 bytes, tensors at multiples of their elements\n\
                  the workspace is too small\n";
    let expected_of_c = format!("{}{errors}{}\n", bits(&expected), env!("CARGO_PKG_VERSION"));
    place.write("main.c", C);
    for library in ["libpoints.a", "points.o"] {
        let mut compile = Command::new("cc");
        compile.args(["-Wall", "-Wextra", "-Werror", "-o", "main", "main.c", library]).current_dir(place.path(""));
        let compiled = run(&mut compile);
        assert_eq!(compiled.code, Some(0), "{}", compiled.stderr);
        let output = run(&mut Command::new(place.path("main")));
        assert_eq!((output.code, output.stdout), (Some(0), expected_of_c.clone()), "{library}");
    }
    if there("python3") {
        place.write("main.py", PYTHON);
        let output = run(Command::new("python3").arg("main.py").current_dir(place.path("")));
        assert_eq!((output.stdout, output.stderr), (bits(&expected), String::new()));
    }
}

#[test]
fn a_browser_gets_nearly_the_same_numbers() {
    let Some((place, expected)) = trained("embed_wasm") else { return };
    let arguments = ["--target", "wasm32", "--weights", "trained.kcp", "-o", "points.wasm"];
    place.succeed(&[&["compile", "points.rs", "--emit", "wasm"], &arguments[..]].concat());
    if !there("node") {
        return;
    }
    place.write("main.js", NODE);
    let output = run(Command::new("node").arg("main.js").current_dir(place.path("")));
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
    let values: Vec<f32> = output.stdout.lines().map(|line| line.parse().expect("a number")).collect();
    assert_eq!(values.len(), expected.len());
    for (value, expected) in values.iter().zip(&expected) {
        assert!((value - expected).abs() <= 1e-6, "{values:?} {expected:?}");
    }
}

#[test]
fn one_package_serves_several_machines() {
    let Some((place, expected)) = trained("embed_merge") else { return };
    place.write("labels.txt", "left\nmiddle\nright\n");
    let compile = |target: &str, file: &str| {
        let options = ["--labels", "labels.txt", "--card", "license=MIT", "--exact-batch", "1,2"];
        let arguments = ["compile", "points.rs", "--target", target, "--weights", "trained.kcp", "-o", file];
        place.succeed(&[&arguments[..], &options].concat())
    };
    compile("x86-64,x86-64-v3,x86-64-v4,aarch64-linux", "all.kcp");
    compile("cpu", "cpu.kcp");
    assert!(place.succeed(&["verify", "all.kcp"]).ends_with("all.kcp is whole, with code for 4 machines\n"));
    let shown = place.succeed(&["inspect", "all.kcp"]);
    for part in ["license    MIT", ": left, middle, right", "also for", "aarch64-linux (mlir)", ", apart for 1, 2"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    place.succeed(&["strip", "all.kcp", "-o", "small.kcp"]);
    let size = |file: &str| std::fs::metadata(place.path(file)).expect("a file").len();
    assert!(size("small.kcp") < size("all.kcp"), "{} of {}", size("small.kcp"), size("all.kcp"));
    for file in ["all.kcp", "small.kcp", "cpu.kcp"] {
        let model = Model::new(Package::read(&place.path(file)).expect("a package")).expect("a model");
        for rows in [1, 2] {
            let input = Array::from_slice(&SAMPLES[..rows * 4], &[rows, 4]).expect("rows of 4");
            let output = model.predict(&[&input]).expect("a prediction").remove(0);
            for (value, expected) in output.as_slice::<f32>().expect("floats").iter().zip(&expected) {
                assert!((value - expected).abs() <= 1e-6, "{file}");
            }
        }
    }
    place.succeed(&["compile", "points.rs", "--target", "x86-64", "-o", "base.kcp"]);
    place.succeed(&["compile", "points.rs", "--target", "x86-64-v3", "-o", "v3.kcp"]);
    place.succeed(&["merge", "base.kcp", "v3.kcp", "-o", "both.kcp"]);
    assert_eq!(
        place.fail(&["merge", "base.kcp", "both.kcp", "-o", "again.kcp"]),
        "error: both packages have code for x86_64-linux (mlir)\n"
    );
}

#[test]
fn what_cannot_be_an_object_is_said() {
    let place = Place::new("embed_errors");
    place.write("points.rs", MODEL);
    assert_eq!(
        place.fail(&["compile", "points.rs", "--emit", "object"]),
        "error: an object holds its weights; give a trained package of this model: `--weights FILE.kcp`\n"
    );
    assert_eq!(
        place.fail(&["compile", "points.rs", "--emit", "wasm", "--weights", "points.rs"]),
        "error: `--emit wasm` and `--target wasm32` belong together\n"
    );
    assert_eq!(
        place.fail(&["compile", "points.rs", "--emit", "object", "--weights", "points.rs", "--backend", "cranelift"]),
        "error: an object or library needs the back end mlir\n"
    );
    assert_eq!(
        place.fail(&["compile", "points.rs", "--exact-batch", "1,0"]),
        "error: `--exact-batch 0`: a batch has at least 1 sample\n"
    );
    assert_eq!(
        place.fail(&["compile", "points.rs", "--target", "wasm32"]),
        "error: no package holds WebAssembly; `--emit wasm` makes a module of it\n"
    );
    let message = place.fail(&["compile", "points.rs", "--target", "aarch64-linux", "--backend", "cranelift"]);
    assert_eq!(message, "error: `--target aarch64-linux` needs the back end mlir\n");
}

#[test]
fn a_crate_of_the_model_is_built_and_predicts_the_bits_of_the_package() {
    let place = Place::new("embed_crate");
    place.write("points.rs", MODEL);
    place.succeed(&["compile", "points.rs", "-o", "untrained.kcp"]);
    let package = Package::read(&place.path("untrained.kcp")).expect("a package");
    let mut session = Session::from_package(package, &SessionOptions::default()).expect("a session");
    session.init(3).expect("weights");
    session.package().expect("a package").write(&place.path("weights.kcp")).expect("written");
    let input = Array::from_slice(&SAMPLES, &[2, 4]).expect("2 x 4");
    let expected = session.into_model().expect("a model").predict(&[&input]).expect("a prediction").remove(0);

    let arguments = ["compile", "points.rs", "--emit", "crate", "--weights", "weights.kcp", "-o", "points-model"];
    assert_eq!(place.succeed(&arguments), "wrote points-model (`use points_model::PointsModel;`)\n");
    let app = "[package]\nname = \"app\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\npoints_model = { path = \"../points-model\" }\n";
    std::fs::create_dir_all(place.path("app/src")).expect("a test's own folder");
    place.write("app/Cargo.toml", app);
    place.write("app/src/main.rs", APP);
    let lock = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock");
    std::fs::copy(lock, place.path("app/Cargo.lock")).expect("copied");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["run", "--quiet", "--offline"]).current_dir(place.path("app")).env_remove("CARGO_TARGET_DIR");
    let output = run(&mut cargo);
    assert_eq!((output.stderr, output.stdout), (String::new(), bits(expected.as_slice().expect("floats"))));

    assert_eq!(
        place.fail(&["compile", "points.rs", "--emit", "crate", "-o", "app"]),
        "error: app holds another crate; name a new folder with `-o`\n"
    );
}
