//! NumPy's `.npz` archives.

use crate::array::Array;
use crate::errors::errors;
use crate::npy;
use std::collections::BTreeMap;
use std::io::{Cursor, Read, Seek};
use std::path::{Path, PathBuf};
use zip::ZipArchive;

errors! {
    /// An archive that cannot be read.
    #[derive(Debug)]
    pub enum NpzError {
        /// The operating system refused.
        #[error("cannot read {}: {source}", path.display())]
        Io {
            /// The file.
            path: PathBuf,
            /// Why.
            source: std::io::Error,
        },
        /// The file is not what it should be.
        #[error("{} is damaged or no .npz archive: {message}", path.display())]
        Format {
            /// The file.
            path: PathBuf,
            /// What is wrong with it.
            message: String,
        },
    }
}

/// The arrays of an archive by their names. numpy: `numpy.load`.
pub fn read(path: &Path) -> Result<BTreeMap<String, Array>, NpzError> {
    let bytes = std::fs::read(path).map_err(|source| NpzError::Io { path: path.to_owned(), source })?;
    parse(Cursor::new(bytes)).map_err(|message| NpzError::Format { path: path.to_owned(), message })
}

fn parse(archive: impl Read + Seek) -> Result<BTreeMap<String, Array>, String> {
    let mut archive = ZipArchive::new(archive).map_err(|error| error.to_string())?;
    let mut arrays = BTreeMap::new();
    for index in 0..archive.len() {
        let mut file = archive.by_index(index).map_err(|error| error.to_string())?;
        let name = file.name().map_err(|error| error.to_string())?.into_owned();
        let Some(name) = name.strip_suffix(".npy") else { continue };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|error| format!("array `{name}`: {error}"))?;
        let array = npy::parse(&bytes).map_err(|error| format!("array `{name}`: {error}"))?;
        arrays.insert(name.to_owned(), array);
    }
    Ok(arrays)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use zip::write::{SimpleFileOptions, ZipWriter};

    #[test]
    fn stored_and_compressed_arrays_are_read_by_name() {
        let array = Array::from_slice(&[1f32, 2.0, 3.0], &[3]).expect("three");
        let bytes = npy::to_bytes(&array).expect("f32");
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, method) in
            [("x_train.npy", zip::CompressionMethod::Stored), ("y_train.npy", zip::CompressionMethod::Deflated)]
        {
            writer.start_file(name, SimpleFileOptions::default().compression_method(method)).expect("in memory");
            writer.write_all(&bytes).expect("in memory");
        }
        let archive = writer.finish().expect("in memory").into_inner();
        let arrays = parse(Cursor::new(&archive)).expect("just written");
        assert_eq!(arrays.keys().collect::<Vec<_>>(), ["x_train", "y_train"]);
        assert_eq!(arrays["y_train"], array);
        for length in 0..archive.len() {
            assert!(parse(Cursor::new(&archive[..length])).is_err(), "{length} bytes");
        }
    }
}
