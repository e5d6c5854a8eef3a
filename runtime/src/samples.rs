//! Data sets in NumPy's files.

use crate::array::Array;
use crate::errors::{errors, from_errors};
use crate::npy::{self, NpyError};
use crate::npz::{self, NpzError};
use crate::training::Dataset;
use std::path::Path;

/// Samples to train on and, where there are any, samples to test on.
#[derive(Clone, Debug)]
pub struct Samples {
    /// Training samples.
    pub train: Dataset,
    /// Test samples.
    pub test: Option<Dataset>,
}

/// What [`Samples::read`] takes, for messages.
pub const EXPECTED: &str =
    "an .npz file, or a folder of .npy files, with arrays x_train, y_train and perhaps x_test, y_test, or x and y";

errors! {
    /// Why there are no samples.
    #[derive(Debug)]
    pub enum SamplesError {
        /// No file or folder.
        #[error("there is no file or folder {0}; expected {EXPECTED}")]
        Missing(String),
        /// Another kind of file.
        #[error("{0} is no data; expected {EXPECTED}")]
        Kind(String),
        /// Without features.
        #[error("{0} has no array x_train or x; expected {EXPECTED}")]
        NoFeatures(String),
        /// A file that cannot be read.
        #[error("{0}")]
        Npy(NpyError),
        /// An archive that cannot be read.
        #[error("{0}")]
        Npz(NpzError),
    }
}
from_errors!(NpyError => SamplesError::Npy, NpzError => SamplesError::Npz);

impl Samples {
    /// The samples in an .npz file or in a folder of .npy files: arrays `x_train`, `x1_train`, ..., `y_train`, ... and the same
    /// with `test`; or `x`, `x1`, ..., `y`, ...
    pub fn read(path: &Path) -> Result<Self, SamplesError> {
        let collected = if path.is_dir() {
            collect(|name| {
                let file = path.join(format!("{name}.npy"));
                if file.is_file() { npy::read(&file).map(Some).map_err(SamplesError::from) } else { Ok(None) }
            })?
        } else if path.extension().is_some_and(|extension| extension == "npz") && path.is_file() {
            let mut arrays = npz::read(path)?;
            collect(|name| Ok(arrays.remove(name)))?
        } else if path.exists() {
            return Err(SamplesError::Kind(path.display().to_string()));
        } else {
            return Err(SamplesError::Missing(path.display().to_string()));
        };
        collected.ok_or_else(|| SamplesError::NoFeatures(path.display().to_string()))
    }
}

/// Puts arrays together by their names; `None` where there are no features.
fn collect(
    mut array: impl FnMut(&str) -> Result<Option<Array>, SamplesError>,
) -> Result<Option<Samples>, SamplesError> {
    let mut part = |suffix: &str| -> Result<Option<Dataset>, SamplesError> {
        let mut all = |letter: &str| -> Result<Vec<Array>, SamplesError> {
            let mut arrays = Vec::new();
            while let Some(next) = array(&match arrays.len() {
                0 => format!("{letter}{suffix}"),
                number => format!("{letter}{number}{suffix}"),
            })? {
                arrays.push(next);
            }
            Ok(arrays)
        };
        let (features, targets) = (all("x")?, all("y")?);
        Ok((!features.is_empty()).then_some(Dataset { features, targets, sample_weights: Vec::new() }))
    };
    let train = match part("_train")? {
        Some(train) => Some(train),
        None => part("")?,
    };
    let Some(train) = train else { return Ok(None) };
    Ok(Some(Samples { train, test: part("_test")? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gather(names: &[&str]) -> Option<Samples> {
        collect(|name| Ok(names.contains(&name).then(|| Array::scalar(1f32)))).expect("nothing is read")
    }

    #[test]
    fn arrays_are_found_by_their_names() {
        let samples = gather(&["x_train", "x1_train", "y_train", "x_test"]).expect("there are samples");
        assert_eq!((samples.train.features.len(), samples.train.targets.len()), (2, 1));
        assert_eq!(samples.test.map(|test| (test.features.len(), test.targets.len())), Some((1, 0)));
        let samples = gather(&["x", "y"]).expect("there are samples");
        assert!(samples.test.is_none() && samples.train.targets.len() == 1);
        assert!(gather(&["images"]).is_none());
    }

    #[test]
    fn what_is_no_data_says_what_is_expected() {
        let message = |path: &Path| Samples::read(path).expect_err("no data").to_string();
        let folder = std::env::temp_dir().join(format!("kc-runtime-samples-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder for the test");
        let shown = folder.display();
        assert_eq!(message(&folder), format!("{shown} has no array x_train or x; expected {EXPECTED}"));
        let missing = folder.join("data");
        assert_eq!(message(&missing), format!("there is no file or folder {shown}/data; expected {EXPECTED}"));
        std::fs::write(folder.join("data"), "text").expect("a file for the test");
        assert_eq!(message(&missing), format!("{shown}/data is no data; expected {EXPECTED}"));
        npy::write(&folder.join("x.npy"), &Array::scalar(1f32)).expect("a file for the test");
        assert!(Samples::read(&folder).is_ok());
        std::fs::remove_dir_all(&folder).expect("the test's own folder");
    }
}
