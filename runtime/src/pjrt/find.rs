//! Where plug-ins are.

use super::PjrtError;
use std::path::{Path, PathBuf};

/// The variable that names the plug-in's file.
pub const VARIABLE: &str = "KC_PJRT_PLUGIN";

/// How a person comes by a plug-in.
pub const INSTALL: &str =
    "install one by pip: libtpu for TPUs, jax-cuda13-pjrt for NVIDIA's GPUs, xla-cpu-pjrt for an x86-64 processor";

/// A plug-in's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What it is: `libtpu`, `jax-cuda-pjrt`, `xla-cpu-pjrt`, or that a person named it.
    pub name: String,
    /// The file.
    pub path: PathBuf,
}

/// The plug-in to use: the file that is named; else that of the variable `KC_PJRT_PLUGIN`; else the first that pip installed.
pub fn find(named: Option<&Path>) -> Result<PathBuf, PjrtError> {
    let given = named.map(Path::to_path_buf).or_else(variable);
    if let Some(path) = given {
        return match path.is_file() {
            true => Ok(path),
            false => Err(PjrtError::Open { path, reason: "there is no such file".into() }),
        };
    }
    let found = candidates();
    let looked = || packages().into_iter().flat_map(|site| PLACES.iter().map(move |(_, place)| site.join(place)));
    found.into_iter().next().map(|found| found.path).ok_or_else(|| PjrtError::Missing { looked: looked().collect() })
}

fn variable() -> Option<PathBuf> {
    std::env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// Where pip puts plug-ins, in a folder of packages; `*` is any folder.
const PLACES: [(&str, &str); 3] = [
    ("libtpu", "libtpu/libtpu.so"),
    ("jax-cuda-pjrt", "jax_plugins/*/xla_cuda_plugin.so"),
    ("xla-cpu-pjrt", "xla_plugins/xla_cpu_pjrt/xla_cpu_pjrt.so"),
];

/// All plug-ins that are found without being named, those that are named by the variable first.
pub fn candidates() -> Vec<Found> {
    let named = variable().map(|path| Found { name: VARIABLE.into(), path });
    let mut found: Vec<Found> = named.into_iter().collect();
    for site in packages() {
        for (name, place) in PLACES {
            found.extend(matches(&site, place).into_iter().map(|path| Found { name: name.into(), path }));
        }
    }
    found
}

/// The files of a folder that a place names.
fn matches(site: &Path, place: &str) -> Vec<PathBuf> {
    let mut paths = vec![site.to_path_buf()];
    for part in place.split('/') {
        paths = match part {
            "*" => paths.iter().flat_map(|path| folders(path)).collect(),
            part => paths.into_iter().map(|path| path.join(part)).filter(|path| path.exists()).collect(),
        };
    }
    paths
}

/// The folders in a folder, sorted.
fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

/// Python's folders of packages: of the active environment, of the user, of the system.
fn packages() -> Vec<PathBuf> {
    let mut roots: Vec<PathBuf> =
        ["VIRTUAL_ENV", "CONDA_PREFIX"].iter().filter_map(std::env::var_os).map(PathBuf::from).collect();
    roots.extend(std::env::var_os("HOME").map(|home| Path::new(&home).join(".local")));
    roots.extend(["/usr/local", "/usr"].map(PathBuf::from));
    let mut found = Vec::new();
    for root in roots {
        for python in folders(&root.join("lib")) {
            let is_python = python.file_name().is_some_and(|name| name.to_string_lossy().starts_with("python"));
            if is_python {
                found.extend(
                    ["site-packages", "dist-packages"]
                        .map(|name| python.join(name))
                        .into_iter()
                        .filter(|path| path.is_dir()),
                );
            }
        }
    }
    found
}
