use crate::failure::Outcome;
use crate::{compile, output};
use kc::datasets;
use kc_runtime::intrinsics::{host_target, machine_has};
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

/// The processor's features that decide how fast code is, slowest first.
const FEATURES: [&str; 12] = [
    "sse4.2",
    "avx",
    "avx2",
    "fma",
    "f16c",
    "avx512f",
    "avx512bw",
    "avx512vnni",
    "avx512bf16",
    "neon",
    "dotprod",
    "sve",
];

/// `kc doctor`: what this machine offers, and what to do about what it lacks.
pub fn doctor() -> Outcome {
    output::print(&report())
}

fn report() -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        for (i, part) in value.lines().enumerate() {
            let _ = writeln!(text, "{:<12} {part}", if i == 0 { name } else { "" });
        }
    };
    line("kc", env!("CARGO_PKG_VERSION"));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let features: Vec<&str> = FEATURES.into_iter().filter(|feature| machine_has(feature)).collect();
    line("machine", &format!("{}, {threads} threads, {}", host_target(), features.join(" ")));
    for (name, state) in compile::backends() {
        line(&format!("  {name}"), &state.unwrap_or_else(|reason| format!("not available: {reason}")));
    }
    line("gpu", &gpus());
    for (name, value) in crate::plugins::report() {
        line(&name, &value);
    }
    line(
        "cargo",
        &version("cargo")
            .unwrap_or_else(|| "missing; model files cannot be built (see rust-lang.org/tools/install)".into()),
    );
    line("npm", &version("npm").unwrap_or_else(|| "missing; data sets can only be read from a cache".into()));
    let cache = datasets::cache_dir();
    line("cache", &cache.display().to_string());
    for part in ["models", "target", "datasets", "code"] {
        line(&format!("  {part}"), &megabytes(&cache.join(part)));
    }
    let mnist = datasets::mnist_cached();
    line("mnist", &mnist.map_or_else(|| "not fetched yet".into(), |path| format!("in {}", path.display())));
    text
}

/// NVIDIA's driver and the GPUs that it finds.
fn gpus() -> String {
    let (version, devices) = match kc_runtime::cuda::devices() {
        Ok(found) => found,
        Err(reason) => return format!("not available: {reason}"),
    };
    let device = |device: &kc_runtime::cuda::DeviceInfo| {
        let (major, minor) = device.capability;
        format!("{}, sm_{major}{minor}, {:.1} GB", device.name, device.memory as f64 / 1e9)
    };
    let driver = format!("driver of CUDA {}.{}", version / 1000, version % 1000 / 10);
    [driver].into_iter().chain(devices.iter().map(device)).collect::<Vec<_>>().join("\n")
}

fn version(program: &str) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn megabytes(folder: &Path) -> String {
    if folder.is_dir() { format!("{:.1} MB", size(folder) as f64 / 1e6) } else { "none".to_owned() }
}

/// Bytes of the files in a folder; what cannot be read counts nothing.
fn size(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .filter_map(|entry| Some((entry.path(), entry.metadata().ok()?)))
        .map(|(path, metadata)| if metadata.is_dir() { size(&path) } else { metadata.len() })
        .sum()
}
