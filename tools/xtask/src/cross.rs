//! Packages for another architecture, executed by an emulator.

use crate::process::{Outcome, cargo, output, program, run, target_dir, works};
use crate::{mlir_plugin, mnist, setup};
use std::path::Path;

const TARGET: &str = "aarch64-unknown-linux-musl";
const MODEL: &str = "frontend/examples/mnist_mlp.rs";

/// A trained package and one of the same weights for AArch64 predict the same, within 1e-6.
pub fn aarch64() -> Outcome<String> {
    if let Err(reason) = mlir_plugin::build() {
        return Ok(format!("skipped: {}", reason.lines().next().unwrap_or_default()));
    }
    if !target_dir().join("mnist_mlp.kcp").exists() {
        mnist::mnist(&[])?;
    }
    if !works(program("qemu-aarch64-static").arg("--version")) {
        setup::apt_install(&["qemu-user-static"])?;
    }
    run(program("rustup").args(["target", "add", TARGET]))?;
    run(cargo().args(["build", "--release", "--package", "kc-tool", "--package", "kc-run"]))?;
    // rust-lld and musl, which come with Rust, make the program: no other compiler is needed
    run(cargo().env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER", "rust-lld").args([
        "build",
        "--release",
        "--package",
        "kc-run",
        "--target",
        TARGET,
    ]))?;
    let target = target_dir();
    let (kc, trained) = (target.join("release/kc"), target.join("mnist_mlp.kcp"));
    let (other, images) = (target.join("mnist_mlp_aarch64.kcp"), target.join("mnist_mlp_images.npy"));
    let path = |path: &Path| path.to_string_lossy().into_owned();
    run(program(&path(&kc))
        .args(["compile", MODEL, "--target", "aarch64-linux", "--weights"])
        .arg(&trained)
        .arg("-o")
        .arg(&other))?;
    std::fs::write(&images, npy(64)).map_err(|error| format!("cannot write {}: {error}", images.display()))?;
    let here = output(
        program(&path(&target.join("release/kc-run"))).arg("predict").arg(&trained).arg("--input").arg(&images),
    )?;
    let program_there = target.join(TARGET).join("release/kc-run");
    let there = output(
        program("qemu-aarch64-static").arg(program_there).arg("predict").arg(&other).arg("--input").arg(&images),
    )?;
    let numbers = |text: &str| -> Vec<f64> { text.split_whitespace().filter_map(|word| word.parse().ok()).collect() };
    let (here, there) = (numbers(&here), numbers(&there));
    let worst = here.iter().zip(&there).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    if here.len() == 640 && here.len() == there.len() && worst <= 1e-6 {
        return Ok(format!("{} probabilities differ by {worst:.1e} at most", here.len()));
    }
    Err(format!("aarch64 predicts other numbers: {} and {} of them, by up to {worst:e}", here.len(), there.len()))
}

/// So many images of some pattern as NumPy writes them.
fn npy(images: usize) -> Vec<u8> {
    let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({images}, 28, 28), }}");
    let header = format!("{header:<117}\n");
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.as_bytes());
    file.extend((0..images * 784).map(|i| (i * 31 % 251) as u8));
    file
}
