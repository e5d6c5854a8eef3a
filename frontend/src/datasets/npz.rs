use super::DatasetError;
use kc_runtime::Array;
use kc_runtime::npz::{self, NpzError};
use std::collections::BTreeMap;
use std::path::Path;

/// The arrays of a NumPy `.npz` archive by their names. numpy: `numpy.load`.
pub fn read_npz(path: &Path) -> Result<BTreeMap<String, Array>, DatasetError> {
    npz::read(path).map_err(|error| match error {
        NpzError::Io { path, source } => DatasetError::Io { action: "read", path, error: source },
        NpzError::Format { path, message } => DatasetError::Format { path, expected: ".npz archive", message },
    })
}
