//! The trained example on other machines: packages for another architecture, executed by an emulator, beside this machine's.

use crate::process::{Outcome, cargo, output, program, run, target_dir, works};
use crate::{mlir_plugin, mnist, setup};
use std::path::{Path, PathBuf};

const TARGET: &str = "aarch64-unknown-linux-musl";
/// The example.
pub const MODEL: &str = "frontend/examples/mnist_mlp.rs";
/// How many images are compared.
pub const IMAGES: usize = 64;

/// The example's trained package, with `kc` and `kc-run` built.
pub enum Trained {
    /// It is there.
    Package(PathBuf),
    /// There is no back end that makes code for other machines: why.
    Skipped(String),
}

/// Trains the example where it is not there.
pub fn trained() -> Outcome<Trained> {
    if let Err(reason) = mlir_plugin::build() {
        return Ok(Trained::Skipped(reason.lines().next().unwrap_or_default().to_owned()));
    }
    run(cargo().args(["build", "--release", "--package", "kc-run"]))?;
    Ok(Trained::Package(mnist::trained("mlp")?))
}

/// A trained package and one of the same weights for AArch64 predict the same, within 1e-6.
pub fn aarch64() -> Outcome<String> {
    let trained = match trained()? {
        Trained::Package(path) => path,
        Trained::Skipped(reason) => return Ok(format!("skipped: {reason}")),
    };
    if !works(program("qemu-aarch64-static").arg("--version")) {
        setup::apt_install(&["qemu-user-static"])?;
    }
    run(program("rustup").args(["target", "add", TARGET]))?;
    // rust-lld and musl, which come with Rust, make the program: no other compiler is needed. musl has all of libdl in its own
    // library; an empty one stands for it where Rust's copy of musl brings none.
    let target = target_dir();
    let libraries = target.join("libdl");
    std::fs::create_dir_all(&libraries)
        .and_then(|()| std::fs::write(libraries.join("libdl.a"), b"!<arch>\n"))
        .map_err(|error| format!("cannot write {}: {error}", libraries.display()))?;
    run(cargo()
        .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER", "rust-lld")
        .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_RUSTFLAGS", format!("-L {}", libraries.display()))
        .args(["build", "--release", "--package", "kc-run", "--target", TARGET]))?;
    let other = target.join("mnist_mlp_aarch64.kcp");
    run(program(&target.join("release/kc").to_string_lossy())
        .args(["compile", MODEL, "--target", "aarch64-linux", "--weights"])
        .arg(&trained)
        .arg("-o")
        .arg(&other))?;
    let mut emulated = program("qemu-aarch64-static");
    emulated.arg(target.join(TARGET).join("release/kc-run"));
    let there = predicted(&mut emulated, &other)?;
    let worst = largest_difference(&predicted_here(&trained)?, &there)?;
    Ok(format!("{} probabilities differ by {worst:.1e} at most", there.len()))
}

/// The probabilities of [`images`] on this machine.
pub fn predicted_here(package: &Path) -> Outcome<Vec<f64>> {
    predicted(&mut program(&target_dir().join("release/kc-run").to_string_lossy()), package)
}

fn predicted(kc_run: &mut std::process::Command, package: &Path) -> Outcome<Vec<f64>> {
    let file = target_dir().join("mnist_mlp_images.npy");
    std::fs::write(&file, npy()).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    Ok(numbers(&output(kc_run.arg("predict").arg(package).arg("--input").arg(&file))?))
}

/// The numbers in a text.
pub fn numbers(text: &str) -> Vec<f64> {
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// How far probabilities are apart; an error where they are not as many as they must be, or further apart than 1e-6.
pub fn largest_difference(here: &[f64], there: &[f64]) -> Outcome<f64> {
    let worst = here.iter().zip(there).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    if here.len() == IMAGES * 10 && here.len() == there.len() && worst <= 1e-6 {
        return Ok(worst);
    }
    Err(format!("other numbers are predicted: {} and {} of them, by up to {worst:e}", here.len(), there.len()))
}

/// Images of some pattern, one byte a pixel.
pub fn images() -> Vec<u8> {
    (0..IMAGES * 784).map(|i| (i * 31 % 251) as u8).collect()
}

/// The same as NumPy writes them.
fn npy() -> Vec<u8> {
    let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({IMAGES}, 28, 28), }}");
    let header = format!("{header:<117}\n");
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.as_bytes());
    file.extend(images());
    file
}
