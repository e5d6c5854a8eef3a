//! What `--data` names.

use crate::failure::{Context, Failure, Outcome};
use crate::model;
use kc::datasets;
use kc_runtime::{Array, Dataset, npy};
use std::path::Path;

/// Samples to train on and, where there are any, samples to test on.
pub struct Data {
    /// Training samples.
    pub train: Dataset,
    /// Test samples.
    pub test: Option<Dataset>,
}

/// What names and files `--data` takes, for messages.
const EXPECTED: &str = "expected `mnist`, an .npz file, or a folder of .npy files, with arrays x_train, y_train and perhaps x_test, y_test, or x and y";

/// The data set, file or folder of that name.
pub fn named(name: &str) -> Outcome<Data> {
    let path = Path::new(name);
    if name == "mnist" {
        let (train, test) = datasets::mnist().map_err(Failure::new)?;
        return Ok(Data { train: Dataset::new(train.0, train.1), test: Some(Dataset::new(test.0, test.1)) });
    }
    if path.is_dir() {
        return from_folder(path);
    }
    if path.extension().is_some_and(|extension| extension == "npz") {
        let mut arrays = datasets::read_npz(path).map_err(Failure::new)?;
        return collect(name, |array| Ok(arrays.remove(array)));
    }
    if path.exists() {
        return Err(Failure::new(format_args!("{name} is no data; {EXPECTED}")));
    }
    Err(Failure::new(format_args!("there is no data set, file or folder `{name}`; {EXPECTED}")))
}

/// What the `#[kc::data] fn` of a model file returns.
pub fn of_model(path: &Path) -> Outcome<Data> {
    let folder = model::data(path)?;
    from_folder(&folder)
}

fn from_folder(folder: &Path) -> Outcome<Data> {
    collect(&folder.display().to_string(), |array| {
        let file = folder.join(format!("{array}.npy"));
        if file.is_file() { npy::read(&file).map(Some).map_err(Failure::new) } else { Ok(None) }
    })
}

/// Puts arrays together by their names: `x_train`, `x1_train`, ..., `y_train`, ..., and the same with `test`; or `x` and `y`.
fn collect(place: &str, mut array: impl FnMut(&str) -> Outcome<Option<Array>>) -> Outcome<Data> {
    let mut part = |suffix: &str| -> Outcome<Option<Dataset>> {
        let mut all = |letter: &str| -> Outcome<Vec<Array>> {
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
    let train = train.ok_or_else(|| Failure::new(format_args!("{place} has no array x_train or x; {EXPECTED}")))?;
    Ok(Data { train, test: part("_test")? })
}

/// Reads the arrays of `kc predict --input`.
pub fn inputs(paths: &[std::path::PathBuf]) -> Outcome<Dataset> {
    let features =
        paths.iter().map(|path| npy::read(path).context(|| "`--input`".to_owned())).collect::<Outcome<Vec<Array>>>()?;
    Ok(Dataset { features, ..Dataset::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gather(names: &[&str]) -> Outcome<Data> {
        collect("here", |name| Ok(names.contains(&name).then(|| Array::scalar(1f32))))
    }

    #[test]
    fn arrays_are_found_by_their_names() {
        let data = gather(&["x_train", "x1_train", "y_train", "x_test"]).expect("there is data");
        assert_eq!((data.train.features.len(), data.train.targets.len()), (2, 1));
        assert_eq!(data.test.map(|test| (test.features.len(), test.targets.len())), Some((1, 0)));
        let data = gather(&["x", "y"]).expect("there is data");
        assert!(data.test.is_none() && data.train.targets.len() == 1);
    }

    #[test]
    fn no_array_says_what_is_expected() {
        let message = gather(&["images"]).err().map(|failure| failure.to_string());
        assert_eq!(message, Some(format!("error: here has no array x_train or x; {EXPECTED}")));
    }
}
