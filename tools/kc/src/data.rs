//! What `--data` names.

use crate::failure::{Context, Failure, Outcome};
use crate::model;
use kc::datasets;
use kc_runtime::samples::{EXPECTED, Samples};
use kc_runtime::{Array, Dataset, npy};
use std::path::Path;

/// The data set, file or folder of that name.
pub fn named(name: &str) -> Outcome<Samples> {
    let path = Path::new(name);
    if name == "mnist" {
        let (train, test) = datasets::mnist().map_err(Failure::new)?;
        return Ok(Samples { train: Dataset::new(train.0, train.1), test: Some(Dataset::new(test.0, test.1)) });
    }
    if !path.exists() {
        return Err(Failure::new(format_args!(
            "there is no data set, file or folder `{name}`; expected `mnist`, {EXPECTED}"
        )));
    }
    Samples::read(path).map_err(Failure::new)
}

/// What the `#[kc::data] fn` of a model file returns.
pub fn of_model(path: &Path) -> Outcome<Samples> {
    let folder = model::data(path)?;
    Samples::read(&folder).map_err(Failure::new)
}

/// Reads the arrays of `kc predict --input`.
pub fn inputs(paths: &[std::path::PathBuf]) -> Outcome<Dataset> {
    let features =
        paths.iter().map(|path| npy::read(path).context(|| "`--input`".to_owned())).collect::<Outcome<Vec<Array>>>()?;
    Ok(Dataset { features, ..Dataset::default() })
}
