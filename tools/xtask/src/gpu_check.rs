//! `cargo xtask gpu-check`: a folder with all that shows on a machine with a GPU whether packages for GPUs are right: the runtime, packages,
//! inputs, and what a CPU computed of them. `sh run.sh` executes it there and writes `report.txt`.

use crate::mlir_plugin;
use crate::process::{Outcome, cargo, output, program, run, target_dir};
use std::fs;
use std::path::Path;

/// Examples and the architectures that they are compiled for.
const MODELS: [&str; 2] = ["mnist_mlp", "mnist_cnn"];
const ARCHITECTURES: [&str; 2] = ["sm_80", "sm_90a"];

/// Samples to train on and to predict.
const TRAINING: usize = 512;
const TESTING: usize = 100;

/// Arguments of a training whose losses are compared.
const TRAINING_ARGUMENTS: [&str; 8] = ["--epochs", "3", "--batch-size", "64", "--seed", "1", "--verbose", "2"];

/// The most that the folder may hold.
const MOST_BYTES: u64 = 64 << 20;

const SCRIPT: &str = include_str!("gpu_check/run.sh");
const COMPARE: &str = include_str!("gpu_check/compare.py");

/// The chore.
pub fn gpu_check(arguments: &[String]) -> Outcome {
    if !arguments.is_empty() {
        return Err(format!("`cargo xtask gpu-check` takes no arguments, got `{}`", arguments.join(" ")));
    }
    mlir_plugin::build()?;
    run(cargo().args(["build", "--quiet", "--release", "--package", "kc-tool", "--package", "kc-run"]))?;
    let (kc, kc_run) = (target_dir().join("release/kc"), target_dir().join("release/kc-run"));
    let (kc, kc_run) = (kc.to_string_lossy(), kc_run.to_string_lossy());
    let folder = target_dir().join("gpu-check");
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(failed)?;
    }
    fs::create_dir_all(folder.join("data")).map_err(failed)?;
    samples(&folder).map_err(failed)?;
    let path = |name: String| folder.join(name).to_string_lossy().into_owned();
    for model in MODELS {
        let source = format!("frontend/examples/{model}.rs");
        let untrained = path(format!("{model}-cpu.kcp"));
        let (trained, expected) = (path(format!("{model}-cpu-trained.kcp")), path(format!("{model}-expected.npy")));
        run(program(&kc).args(["compile", &source, "-o", &untrained]))?;
        let data = path("data".into());
        let mut fit = program(&kc_run);
        fit.args(["fit", &untrained, "--data", &data, "-o", &trained]).args(TRAINING_ARGUMENTS);
        fs::write(path(format!("{model}-expected.txt")), output(&mut fit)?).map_err(failed)?;
        let input = path("x.npy".into());
        run(program(&kc_run).args(["predict", &trained, "--input", &input, "-o", &expected]))?;
        for architecture in ARCHITECTURES {
            let compile = |weights: &[&str], name: &str| {
                let output = path(format!("{model}-{architecture}{name}.kcp"));
                let mut command = program(&kc);
                command.args(["compile", &source, "--target", "cuda", "--arch", architecture, "-o", &output]);
                run(command.args(weights))
            };
            compile(&[], "")?;
            compile(&["--weights", &trained], "-trained")?;
        }
        for file in [untrained, trained] {
            fs::remove_file(file).map_err(failed)?;
        }
    }
    fs::copy(&*kc_run, folder.join("kc-run")).map_err(failed)?;
    let script = SCRIPT.replace("@MODELS@", &MODELS.join(" ")).replace("@ARCHITECTURES@", &ARCHITECTURES.join(" "));
    fs::write(folder.join("run.sh"), script.replace("@ARGUMENTS@", &TRAINING_ARGUMENTS.join(" "))).map_err(failed)?;
    fs::write(folder.join("compare.py"), COMPARE).map_err(failed)?;
    let bytes = size(&folder).map_err(failed)?;
    if bytes > MOST_BYTES {
        return Err(format!("{} has {bytes} bytes, at most {MOST_BYTES} were expected", folder.display()));
    }
    println!("{} ({:.1} MB); `sh run.sh` in it, on a machine with a GPU", folder.display(), bytes as f64 / 1e6);
    Ok(())
}

fn size(folder: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { size(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

/// Images with a bright row of pixels that says their class, under noise.
fn samples(folder: &Path) -> std::io::Result<()> {
    let class = |sample: usize| sample * 7 % 10;
    let pixel = |sample: usize, place: usize| {
        let bright = place / 28 % 10 == class(sample);
        (usize::from(bright) * 190 + (sample * 7919 + place * 104_729) % 64) as u8
    };
    let images = |range: std::ops::Range<usize>| -> Vec<u8> {
        range.flat_map(|sample| (0..784).map(move |place| pixel(sample, place))).collect()
    };
    let classes: Vec<u8> = (0..TRAINING).map(|sample| class(sample) as u8).collect();
    npy(&folder.join("data/x_train.npy"), &[TRAINING, 28, 28], &images(0..TRAINING))?;
    npy(&folder.join("data/y_train.npy"), &[TRAINING], &classes)?;
    npy(&folder.join("x.npy"), &[TESTING, 28, 28], &images(TRAINING..TRAINING + TESTING))
}

/// A file of NumPy's of bytes.
fn npy(path: &Path, shape: &[usize], bytes: &[u8]) -> std::io::Result<()> {
    let extents: String = shape.iter().map(|extent| format!("{extent}, ")).collect();
    let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({extents}), }}");
    let length = (10 + header.len() + 1).next_multiple_of(64) - 10;
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((length as u16).to_le_bytes());
    file.extend(format!("{header:<width$}\n", width = length - 1).bytes());
    file.extend(bytes);
    fs::write(path, file)
}
