use std::path::{Path, PathBuf};
use thiserror::Error;

/// A data set that cannot be had, or a data file that cannot be read.
#[derive(Debug, Error)]
pub enum DatasetError {
    /// The operating system refused.
    #[error("cannot {action} {}: {error}", path.display())]
    Io {
        /// `read`, `write`, ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("{} is damaged or no {expected}: {message}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The format, such as `IDX file`.
        expected: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// The content is not the published one.
    #[error(
        "{} is not the file that was published: its SHA-256 is {actual}, expected {expected}; delete it to fetch it again",
        path.display()
    )]
    Checksum {
        /// The file.
        path: PathBuf,
        /// Its hash.
        actual: String,
        /// The published hash.
        expected: &'static str,
    },
    /// Neither a cache nor the network has it.
    #[error("cannot get the data set {name}: {message}\nlooked for it in {}", searched.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "))]
    Unavailable {
        /// The data set.
        name: &'static str,
        /// What was tried last, and what it said.
        message: String,
        /// The files that would have held it.
        searched: Vec<PathBuf>,
    },
}

impl DatasetError {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> DatasetError {
        let path = path.to_owned();
        move |error| DatasetError::Io { action, path, error }
    }
}
