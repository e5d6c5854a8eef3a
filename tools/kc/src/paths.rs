//! Where kc keeps what it can make again.

use std::path::{Path, PathBuf};

/// The cache folder: `$KC_CACHE`, else `$XDG_CACHE_HOME/kc`, else `~/.cache/kc`, else a folder among the temporary files.
pub fn cache_dir() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable("KC_CACHE")
        .or_else(|| variable("XDG_CACHE_HOME").map(|dir| dir.join("kc")))
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache/kc")))
        .unwrap_or_else(|| std::env::temp_dir().join("kc"))
}

/// Writes a file so that a reader sees the old content or the new, never a part; does nothing where it is the same.
pub fn write_atomically(path: &Path, content: &[u8]) -> std::io::Result<()> {
    if std::fs::read(path).is_ok_and(|present| present == content) {
        return Ok(());
    }
    let mut part = path.as_os_str().to_owned();
    part.push(format!(".{}.part", std::process::id()));
    let part = PathBuf::from(part);
    let written = std::fs::write(&part, content).and_then(|()| std::fs::rename(&part, path));
    if written.is_err() {
        // The first error is the one to report.
        let _ = std::fs::remove_file(&part);
    }
    written
}
