//! Machine code that was made before, in files.
//!
//! A file is named by the hash of all that its code depends on, and holds the hash of that name and its contents. One that is not whole,
//! that is another's, or that others than its owner may write counts for nothing: its code is made again. What cannot be written is not
//! kept, and nothing else changes.

use crate::package::replace_file;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// A folder of such files.
#[derive(Clone, Debug)]
pub struct CodeCache {
    folder: PathBuf,
    most_bytes: u64,
}

/// The end of the files' names.
const EXTENSION: &str = "code";

/// Bytes of the hash before a file's contents.
const HASH_BYTES: usize = 16;

impl CodeCache {
    /// The files of a folder, which is made when the first is written. When they have more bytes together than `most_bytes`, those go
    /// that were not read for the longest time.
    pub fn new(folder: impl Into<PathBuf>, most_bytes: u64) -> Self {
        CodeCache { folder: folder.into(), most_bytes }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the code is kept that depends on these bytes.
    pub fn path(&self, key: &[u8]) -> PathBuf {
        self.folder.join(format!("{:032x}.{EXTENSION}", xxh3_128(key)))
    }

    /// The code that was kept for these bytes.
    pub fn read(&self, key: &[u8]) -> Option<Vec<u8>> {
        let path = self.path(key);
        if !(is_only_owners(&self.folder) && is_only_owners(&path)) {
            return None;
        }
        let mut bytes = fs::read(&path).ok()?;
        let (hash, contents) = bytes.split_first_chunk::<HASH_BYTES>()?;
        if *hash != hash_of(key, contents) {
            return None;
        }
        // the least recently read go first; a file whose time cannot be set goes sooner
        let file = fs::File::options().append(true).open(path).ok();
        let _ = file.map(|file| file.set_modified(SystemTime::now()));
        bytes.drain(..HASH_BYTES);
        Some(bytes)
    }

    /// Keeps code for a later process.
    ///
    /// # Errors
    /// Where it cannot be written; nothing depends on it.
    pub fn write(&self, key: &[u8], code: &[u8]) -> io::Result<()> {
        make_folder(&self.folder)?;
        let path = self.path(key);
        replace_file(&path, &[&hash_of(key, code), code].concat())?;
        make_only_owners(&path)?;
        self.remove_oldest()
    }

    fn remove_oldest(&self) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            // also what a killed process had half written
            if entry.file_name().to_string_lossy().contains(EXTENSION) {
                let metadata = entry.metadata()?;
                files.push((metadata.modified()?, metadata.len(), entry.path()));
            }
        }
        files.sort();
        let mut bytes: u64 = files.iter().map(|(_, length, _)| length).sum();
        for (_, length, path) in files {
            if bytes <= self.most_bytes {
                break;
            }
            fs::remove_file(path)?;
            bytes -= length;
        }
        Ok(())
    }
}

fn hash_of(key: &[u8], contents: &[u8]) -> [u8; HASH_BYTES] {
    let mut hasher = Xxh3::new();
    hasher.update(&xxh3_128(key).to_le_bytes());
    hasher.update(contents);
    hasher.digest128().to_le_bytes()
}

/// Whether none but the owner may write a file or a folder.
#[cfg(unix)]
fn is_only_owners(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o022 == 0)
}

#[cfg(unix)]
fn make_only_owners(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
}

#[cfg(not(unix))]
fn is_only_owners(_: &Path) -> bool {
    true
}

#[cfg(not(unix))]
fn make_only_owners(_: &Path) -> io::Result<()> {
    Ok(())
}

fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn cache(name: &str, most_bytes: u64) -> CodeCache {
        CodeCache::new(std::env::temp_dir().join(format!("kc-{name}-{}", std::process::id())), most_bytes)
    }

    #[test]
    fn what_is_not_as_it_was_written_counts_for_nothing() {
        let cache = cache("damaged", 1 << 20);
        let code: Vec<u8> = (0..100).collect();
        assert_eq!(cache.read(b"a"), None);
        cache.write(b"a", &code).unwrap();
        assert_eq!(cache.read(b"a"), Some(code.clone()));
        let path = cache.path(b"a");
        let whole = fs::read(&path).unwrap();
        // another's whole file
        cache.write(b"b", &code).unwrap();
        fs::copy(cache.path(b"b"), &path).unwrap();
        assert_eq!(cache.read(b"a"), None);
        let cut = (0..whole.len()).map(|length| whole[..length].to_vec());
        let changed = (0..whole.len()).map(|place| {
            let mut bytes = whole.clone();
            bytes[place] ^= 1;
            bytes
        });
        for bytes in cut.chain(changed) {
            fs::write(&path, bytes).unwrap();
            assert_eq!(cache.read(b"a"), None);
        }
        cache.write(b"a", &code).unwrap();
        assert_eq!(cache.read(b"a"), Some(code));
        fs::remove_dir_all(cache.folder()).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn what_others_may_write_counts_for_nothing() {
        use std::os::unix::fs::PermissionsExt;
        let cache = cache("foreign", 1 << 20);
        cache.write(b"a", b"code").unwrap();
        for path in [cache.path(b"a"), cache.folder().to_path_buf()] {
            let own = fs::metadata(&path).unwrap().permissions();
            fs::set_permissions(&path, fs::Permissions::from_mode(own.mode() | 0o002)).unwrap();
            assert_eq!(cache.read(b"a"), None);
            fs::set_permissions(&path, own).unwrap();
            assert!(cache.read(b"a").is_some());
        }
        fs::remove_dir_all(cache.folder()).unwrap();
    }

    #[test]
    fn the_least_recently_read_goes_first() {
        let large = cache("bounded", 1 << 20);
        let code = [7; 100];
        let long_ago = SystemTime::now() - Duration::from_secs(60);
        for key in [b"a", b"b"] {
            large.write(key, &code).unwrap();
            fs::File::options().append(true).open(large.path(key)).unwrap().set_modified(long_ago).unwrap();
        }
        // one that a killed process left
        let left = large.folder().join(".0.code.1.0.tmp");
        fs::write(&left, code).unwrap();
        fs::File::options().append(true).open(&left).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert!(large.read(b"a").is_some());
        let small = cache("bounded", 2 * (100 + HASH_BYTES as u64));
        small.write(b"c", &code).unwrap();
        assert_eq!([b"a", b"b", b"c"].map(|key| small.read(key).is_some()), [true, false, true]);
        assert!(!left.exists());
        fs::remove_dir_all(small.folder()).unwrap();
    }
}
