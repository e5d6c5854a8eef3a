//! PJRT plug-ins: each is opened in a process of its own first, since one that crashes takes its process with it.

use crate::failure::{Failure, Outcome};
use crate::output;
use kc_runtime::pjrt::{Client, Plugin, candidates, find};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What `libtpu` asks of its surroundings where there is no TPU: it would wait for a cloud's answers for minutes.
const WITHOUT_TPU: [(&str, &str); 4] = [
    ("TPU_SKIP_MDS_QUERY", "1"),
    ("TPU_ACCELERATOR_TYPE", "v5litepod-4"),
    ("TPU_WORKER_HOSTNAMES", "localhost"),
    ("ALLOW_MULTIPLE_LIBTPU_LOAD", "1"),
];

/// Whether the system shows a TPU.
fn has_tpu() -> bool {
    let vfio = || std::fs::read_dir("/dev/vfio").is_ok_and(|mut entries| entries.next().is_some());
    Path::new("/dev/accel0").exists() || vfio()
}

/// Sets what plug-ins read from the environment; called before there is any other thread.
pub fn prepare_environment() {
    if has_tpu() {
        return;
    }
    for (name, value) in WITHOUT_TPU {
        if std::env::var_os(name).is_none() {
            // SAFETY: the process has one thread yet.
            unsafe { std::env::set_var(name, value) };
        }
    }
}

/// The plug-in to run on: it opens, and has devices here.
pub fn usable(named: Option<&Path>) -> Outcome<PathBuf> {
    checked(named, true)
}

/// The plug-in to compile with for devices that are elsewhere.
pub fn usable_without_devices(named: Option<&Path>) -> Outcome<PathBuf> {
    checked(named, false)
}

fn checked(named: Option<&Path>, devices: bool) -> Outcome<PathBuf> {
    let path = find(named).map_err(Failure::new)?;
    probe(&path, devices).map_err(Failure::new)?;
    Ok(path)
}

/// Opens a plug-in in a process of its own: what it says of itself, or what is wrong.
fn probe(path: &Path, devices: bool) -> Result<String, String> {
    let own = std::env::current_exe().map_err(|error| format!("cannot find the running program: {error}"))?;
    let mut command = Command::new(own);
    command.arg("probe-plugin").arg(path);
    if devices {
        command.arg("--devices");
    }
    let ended = command.output().map_err(|error| format!("cannot start a process to try the plug-in in: {error}"))?;
    if ended.status.success() {
        return Ok(String::from_utf8_lossy(&ended.stdout).trim_end().to_owned());
    }
    let said = String::from_utf8_lossy(&ended.stderr);
    let said = said.trim_end();
    match ended.status.code() {
        // our own messages end with exit code 1; what a plug-in logs comes before them
        Some(1) => {
            let own = said.rfind("error: ").map_or(said, |start| &said[start + "error: ".len()..]);
            Err(own.to_owned())
        }
        _ => {
            let last = said.lines().last().map_or(String::new(), |line| format!("; its last line: {line}"));
            Err(format!(
                "the PJRT plug-in {} crashed when it was opened ({}){last}; take another one by `--plugin` or KC_PJRT_PLUGIN",
                path.display(),
                ended.status
            ))
        }
    }
}

/// `kc probe-plugin`: the process that a plug-in is tried in.
pub fn probe_here(path: &Path, devices: bool) -> Outcome {
    let plugin = Plugin::open(path).map_err(Failure::new)?;
    let (major, minor) = plugin.version();
    let mut text = format!("API {major}.{minor}");
    for name in ["stablehlo_current_version", "xla_version"] {
        if let Some(value) = plugin.attributes().get(name) {
            text += &format!(", {} {value}", name.trim_end_matches("_current_version"));
        }
    }
    if devices {
        let client = Client::new(plugin).map_err(Failure::new)?;
        let kind = client.devices().first().map(|device| device.kind.clone()).unwrap_or_default();
        text += &format!(", {} {} ({kind})", client.devices().len(), client.platform());
    }
    output::print(&format!("{text}\n"))
}

/// The plug-ins that are found, for `kc doctor`.
pub fn report() -> Vec<(String, String)> {
    let found = candidates();
    if found.is_empty() {
        let advice =
            "no PJRT plug-in found; `pip install libtpu`, or name one by KC_PJRT_PLUGIN, for `--target xla` and `tpu`";
        return vec![("xla".to_owned(), advice.to_owned())];
    }
    let mut lines = vec![("xla".to_owned(), "PJRT plug-ins".to_owned())];
    for plugin in found {
        let about = match probe(&plugin.path, true) {
            Ok(about) => about,
            // it may compile all the same
            Err(reason) => match probe(&plugin.path, false) {
                Ok(about) => {
                    format!("{about}, compiles ahead of time only: {}", reason.lines().next().unwrap_or_default())
                }
                Err(reason) => format!("not available: {reason}"),
            },
        };
        lines.push((format!("  {}", plugin.name), format!("{about}\n{}", plugin.path.display())));
    }
    let tpu =
        if has_tpu() { "present" } else { "none here: programs can be compiled for TPUs, executing them needs one" };
    lines.push(("  tpu".to_owned(), tpu.to_owned()));
    lines
}
